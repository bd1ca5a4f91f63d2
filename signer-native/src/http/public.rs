//! The public listener: JWK Set, discovery, health. Served from memory, so that they stay up while the HSM is down.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};
use utoipa_axum::routes;

use super::{
    Shared, enroll,
    openapi::{self, Listener, Routes},
    problem::{Code, Problem},
    revocations,
};
use crate::config::path_of;

/// What stands below an issuer's URL.
const JWKS: &str = "/.well-known/jwks.json";
const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
/// What stands before an issuer's path (RFC 8414 section 3.1).
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
/// What stands between an issuer's URL and the name of an agent whose own keys are shown below.
const AGENTS: &str = "/agents/";

/// The resources of every issuer, and of the keys that belong to one agent alone below `{issuer}/agents/{agent}`.
pub fn router(service: Shared) -> axum::Router {
    let (router, _) = routes().split_for_parts();
    router.fallback(elsewhere).method_not_allowed_fallback(method_not_allowed).with_state(service)
}

/// What is served, and its document. Issuers with a path of their own are `elsewhere`.
pub fn routes() -> Routes {
    Routes::default()
        .routes(routes!(jwks))
        .routes(routes!(openid_configuration))
        .routes(routes!(authorization_server))
        .routes(routes!(agent_jwks))
        .routes(routes!(agent_openid_configuration))
        .routes(routes!(agent_authorization_server))
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(document))
        .merge(revocations::published())
        .merge(enroll::enrolment())
}

/// A public document of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    JwkSet,
    OpenidConfiguration,
    AuthorizationServer,
}

impl What {
    /// What a path asks for, and the path of the issuer that it asks it of.
    fn of(path: &str) -> Option<(Self, &str)> {
        if let Some(base) = path.strip_suffix(JWKS) {
            return Some((Self::JwkSet, base));
        }
        if let Some(base) = path.strip_suffix(OPENID_CONFIGURATION) {
            return Some((Self::OpenidConfiguration, base));
        }
        let base = path.strip_prefix(AUTHORIZATION_SERVER)?;
        (base.is_empty() || base.starts_with('/')).then_some((Self::AuthorizationServer, base))
    }

    /// The route that stands for it in the metrics.
    fn route(self) -> &'static str {
        match self {
            Self::JwkSet => JWKS,
            Self::OpenidConfiguration => OPENID_CONFIGURATION,
            Self::AuthorizationServer => AUTHORIZATION_SERVER,
        }
    }
}

/// The route of a response that no route of the router was for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route(pub(crate) &'static str);

/// The JWK Set of the issuer
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "getJwks", tag = "keys",
    responses((status = 200, description = "The JWK Set", content_type = "application/jwk-set+json", body = JwkSetDocument),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn jwks(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// OpenID Connect Discovery of the issuer
#[utoipa::path(get, path = "/.well-known/openid-configuration", operation_id = "getOpenidConfiguration", tag = "keys",
    responses((status = 200, description = "The document", body = Discovery),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn openid_configuration(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// Authorization server metadata of the issuer (RFC 8414)
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", operation_id = "getAuthorizationServer", tag = "keys",
    responses((status = 200, description = "The document", body = Discovery),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn authorization_server(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// The JWK Set of one agent's own keys (mode digest)
#[utoipa::path(get, path = "/agents/{agent}/.well-known/jwks.json", operation_id = "getAgentJwks", tag = "keys",
    params(("agent" = String, Path, description = "The agent's name")),
    responses((status = 200, description = "The JWK Set", content_type = "application/jwk-set+json", body = JwkSetDocument),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn agent_jwks(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// OpenID Connect Discovery of the issuer that one agent is (mode digest)
#[utoipa::path(get, path = "/agents/{agent}/.well-known/openid-configuration", operation_id = "getAgentOpenidConfiguration", tag = "keys",
    params(("agent" = String, Path, description = "The agent's name")),
    responses((status = 200, description = "The document", body = Discovery),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn agent_openid_configuration(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// Authorization server metadata of the issuer that one agent is (mode digest)
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server/agents/{agent}", operation_id = "getAgentAuthorizationServer", tag = "keys",
    params(("agent" = String, Path, description = "The agent's name")),
    responses((status = 200, description = "The document", body = Discovery),
        (status = 304, description = "Not changed since the ETag of If-None-Match")))]
async fn agent_authorization_server(state: State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
    show(&state, &uri, &headers)
}

/// The documents of issuers whose URL has a path: which these are may change at any time, and no router knows.
async fn elsewhere(state: State<Shared>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let Some((what, _)) = What::of(uri.path()) else { return not_found().await.into_response() };
    let mut response = match method {
        Method::GET | Method::HEAD => show(&state, &uri, &headers),
        _ => only_read(method_not_allowed().await),
    };
    response.extensions_mut().insert(Route(what.route()));
    response
}

/// A JWK Set (RFC 7517).
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(as = JwkSet)]
struct JwkSetDocument {
    /// RSA keys before EC before OKP, each with `kid`, `alg` and `use`.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<serde_json::Value>,
}

/// What there is to know about an issuer.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Discovery {
    /// The issuer: `iss` of its tokens.
    issuer: String,
    /// Where its JWK Set is.
    jwks_uri: String,
    /// `id_token` in the OpenID configuration, which must name one; else empty, since tokens are not obtained here.
    response_types_supported: Vec<&'static str>,
    /// Empty, since tokens are not obtained here; of the authorization server alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    grant_types_supported: Option<Vec<&'static str>>,
    /// Of the OpenID configuration alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subject_types_supported: Option<Vec<&'static str>>,
    /// What its tokens may be signed with; of the OpenID configuration alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id_token_signing_alg_values_supported: Option<Vec<&'static str>>,
}

/// Where the JWK Set of an issuer is.
pub fn jwks_uri(issuer: &str) -> String {
    format!("{issuer}/.well-known/jwks.json")
}

pub(crate) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no resource has this path")
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "the resource has another method")
}

/// The same, where no method of the router is known: RFC 9110 section 15.5.6 wants to hear which there are.
pub(crate) fn only_read(problem: Problem) -> Response {
    ([(header::ALLOW, "GET,HEAD")], problem).into_response()
}

fn show(service: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let registry = service.issuer.registry();
    let snapshot = registry.snapshot();
    let Some(age) = snapshot.age() else {
        return Problem::new(Code::StoreUnavailable, "the registry of keys has not been read yet").into_response();
    };
    let max_age = max_age(registry.timing().jwks_max_age, age, service.issuer.lease());
    let absent = || Problem::new(Code::NotFound, "no issuer has this path").into_response();
    let Some((what, base)) = What::of(uri.path()) else { return absent() };
    let of = |base: &str| service.issuers.iter().find(|(_, url)| path_of(url) == base);
    let agents = || {
        let (base, agent) = base.rsplit_once(AGENTS)?;
        of(base).map(|issuer| (issuer, Some(agent)))
    };
    let Some(((name, url), agent)) = of(base).map(|issuer| (issuer, None)).or_else(agents) else { return absent() };
    // An agent without keys of its own is no issuer.
    let Some(set) = snapshot.document(name, agent) else { return absent() };
    let issuer = agent.map_or(url.clone(), |agent| format!("{url}{AGENTS}{agent}"));
    let algorithms: Vec<&str> = set.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    let jwks_uri = jwks_uri(&issuer);
    let discovery = match what {
        What::JwkSet => {
            return document_of(headers, set.jwks, &set.etag, "application/jwk-set+json", max_age);
        }
        // There is no authorization endpoint: the form that Kubernetes made common for issuers that only sign.
        What::OpenidConfiguration => Discovery {
            issuer,
            jwks_uri,
            response_types_supported: vec!["id_token"],
            grant_types_supported: None,
            subject_types_supported: Some(vec!["public"]),
            id_token_signing_alg_values_supported: Some(algorithms),
        },
        What::AuthorizationServer => Discovery {
            issuer,
            jwks_uri,
            response_types_supported: Vec::new(),
            grant_types_supported: Some(Vec::new()),
            subject_types_supported: None,
            id_token_signing_alg_values_supported: None,
        },
    };
    let body = serde_json::json!(discovery).to_string();
    let etag = format!("\"{}\"", Base64UrlUnpadded::encode_string(&Sha256::digest(body.as_bytes())));
    document_of(headers, body, &etag, "application/json", max_age)
}

/// Seconds for which a document may be kept. A signer that cannot read the store shows what it read last, which others may have changed
/// since: by then it may be kept as if it had been given out when it was read.
fn max_age(configured: u64, age: Duration, lease: Duration) -> u64 {
    if age > lease { configured.saturating_sub(age.as_secs()) } else { configured }
}

/// A public document: the only ones that any origin may read.
fn document_of(request: &HeaderMap, body: String, etag: &str, content_type: &'static str, max_age: u64) -> Response {
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let unchanged = known.into_iter().any(|tag| tag == etag || tag == "*");
    let mut response = Response::new(if unchanged { Body::empty() } else { Body::from(body) });
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [(header::ETAG, etag.to_owned()), (header::CACHE_CONTROL, format!("public, max-age={max_age}"))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn document() -> Response {
    openapi::answer(Listener::Public)
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", operation_id = "getHealth", tag = "about",
    responses((status = 200, description = "It does", content_type = "text/plain", body = String)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it can sign
///
/// It can when a test signature succeeded lately, and the registry of keys was read within the lease.
#[utoipa::path(get, path = "/readyz", operation_id = "getReadiness", tag = "about",
    responses((status = 200, description = "It can", content_type = "text/plain", body = String)))]
async fn readyz(State(service): State<Shared>) -> Response {
    match service.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => Problem::new(Code::NotReady, reason).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_documents() {
        assert_eq!(What::of("/.well-known/jwks.json"), Some((What::JwkSet, "")));
        assert_eq!(What::of("/tenant/a/.well-known/openid-configuration"), Some((What::OpenidConfiguration, "/tenant/a")));
        let server = "/.well-known/oauth-authorization-server";
        assert_eq!(What::of(&format!("{server}/tenant/a")), Some((What::AuthorizationServer, "/tenant/a")));
        assert_eq!(What::of(server), Some((What::AuthorizationServer, "")));
        for path in ["/", "/jwks.json", "/.well-known/oauth-authorization-servers"] {
            assert_eq!(What::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_document_of_before_may_not_be_kept_longer_than_one_of_then() {
        let lease = Duration::from_secs(10);
        for (age, kept) in [(0, 300), (10, 300), (11, 289), (299, 1), (300, 0), (9_999, 0)] {
            assert_eq!(max_age(300, Duration::from_secs(age), lease), kept, "{age} s");
        }
    }

    #[test]
    fn paths_of_issuers() {
        assert_eq!(path_of("https://signer.example.com"), "");
        assert_eq!(path_of("https://signer.example.com:8443/tenant/a"), "/tenant/a");
    }
}
