//! The public listener: JWK Set, discovery, health. Served from memory, so that they stay up while the HSM is down.

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

use super::{
    Shared,
    problem::{Code, Problem},
    revocations,
};
use crate::{config::path_of, hsm::BreakerState};

/// The resources of every issuer, and of the keys that belong to one agent alone below `{issuer}/agents/{agent}`.
pub fn router(service: Shared) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/.well-known/edgeseal-revocations", get(revocations::document));
    for (name, url) in &service.issuers {
        let path = path_of(url);
        // RFC 8414 section 3.1 puts the issuer's path behind the well-known part, OpenID Connect Discovery before it.
        for base in [path.to_owned(), format!("{path}/agents/{{agent}}")] {
            let shown = |what| {
                let (name, url) = (name.clone(), url.clone());
                get(move |state, agent, headers| serve(what, name, url, state, agent, headers))
            };
            router = router
                .route(&format!("{base}/.well-known/jwks.json"), shown(What::JwkSet))
                .route(&format!("{base}/.well-known/openid-configuration"), shown(What::OpenidConfiguration))
                .route(&format!("/.well-known/oauth-authorization-server{base}"), shown(What::AuthorizationServer));
        }
    }
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(service)
}

/// A public document of an issuer.
#[derive(Clone, Copy)]
enum What {
    JwkSet,
    OpenidConfiguration,
    AuthorizationServer,
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

async fn serve(
    what: What,
    name: String,
    url: String,
    State(service): State<Shared>,
    agent: Option<Path<String>>,
    headers: HeaderMap,
) -> Response {
    let registry = service.issuer.registry();
    let snapshot = registry.snapshot();
    if snapshot.read_at.is_none() {
        return Problem::new(Code::StoreUnavailable, "the registry of keys has not been read yet").into_response();
    }
    let agent = agent.map(|Path(agent)| agent);
    // An agent without keys of its own is no issuer.
    let Some(set) = snapshot.document(&name, agent.as_deref()) else { return not_found().await.into_response() };
    let issuer = agent.map_or(url.clone(), |agent| format!("{url}/agents/{agent}"));
    let algorithms: Vec<&str> = set.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    let body = match what {
        What::JwkSet => {
            return document(&headers, set.jwks, &set.etag, "application/jwk-set+json", registry.timing().jwks_max_age);
        }
        // There is no authorization endpoint: the form that Kubernetes made common for issuers that only sign.
        What::OpenidConfiguration => serde_json::json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri(&issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }),
        What::AuthorizationServer => serde_json::json!({
            "issuer": issuer,
            "jwks_uri": jwks_uri(&issuer),
            "response_types_supported": [],
            "grant_types_supported": [],
        }),
    };
    let body = body.to_string();
    let etag = format!("\"{}\"", Base64UrlUnpadded::encode_string(&Sha256::digest(body.as_bytes())));
    document(&headers, body, &etag, "application/json", registry.timing().jwks_max_age)
}

/// A public document: the only ones that any origin may read.
fn document(request: &HeaderMap, body: String, etag: &str, content_type: &'static str, max_age: u64) -> Response {
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

/// The process lives.
async fn healthz() -> &'static str {
    "ok\n"
}

/// It can sign: a test signature succeeded lately, and the registry was read within the lease.
async fn readyz(State(service): State<Shared>) -> Response {
    let stale = service.issuer.registry().snapshot().is_expired(service.issuer.lease());
    let held_back = service.issuer.registry().hsm_stats().breaker != BreakerState::Closed;
    let reason = held_back
        .then(|| "the HSM does not answer; calls to it are held back".to_owned())
        .or_else(|| service.health.not_ready())
        .or_else(|| stale.then(|| "the registry of keys could not be read lately".to_owned()));
    match reason {
        None => "ready\n".into_response(),
        Some(reason) => Problem::new(Code::NotReady, reason).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_issuers() {
        assert_eq!(path_of("https://signer.example.com"), "");
        assert_eq!(path_of("https://signer.example.com:8443/tenant/a"), "/tenant/a");
    }
}
