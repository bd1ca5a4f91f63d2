//! The agents' listener. Whoever comes here has shown a certificate of the agents' authority; the name in it decides.

use std::time::Duration;

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use edgeseal_core::json;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Shared,
    listener::Peer,
    problem::{Code, Problem},
    public::{method_not_allowed, not_found},
};
use crate::{
    issue::{Agent, Lifetime, Request},
    keys::Moment,
};

/// Octets of a request: what fits into a token, and room for JSON around it.
const MAX_BODY: usize = 32 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The resources of agents.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/v1/tokens", post(issue))
        .route("/v1/profiles/{profile}", get(profile))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(service)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    profile: String,
    #[serde(default)]
    claims: Option<Box<RawValue>>,
    #[serde(default)]
    audience: Option<Audience>,
    #[serde(default)]
    ttl: Option<Lifetime>,
}

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

async fn issue(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer)?;
    let (profile, request) = read(&headers, body).await?;
    let issued = service.issuer.issue(agent, &profile, request).await?;
    tracing::info!(agent = agent.name, profile, kid = issued.kid, jti = issued.jwt_id, expires_at = %Moment(issued.expires_at), "issued");
    let answer = Json(serde_json::json!({
        "token": issued.token,
        "expires_at": Moment(issued.expires_at).to_string(),
        "kid": issued.kid,
    }));
    let mut response = answer.into_response();
    // RFC 6749 section 5.1: tokens are not to be cached.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn profile(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer)?;
    let profile = service.issuer.profile(agent, &name).map_err(|denial| Problem::new(Code::PolicyDenied, denial.to_string()))?;
    let snapshot = service.issuer.registry().snapshot();
    let answer = serde_json::json!({
        "profile": profile.name,
        "issuer": service.issuer.url(),
        "algorithm": profile.algorithm,
        "kid": snapshot.active.get(&profile.name).map(|key| key.kid.as_str()),
        "audiences": profile.audiences,
        "default_lifetime": profile.default_lifetime.as_secs(),
        "max_lifetime": profile.max_lifetime.as_secs(),
    });
    Ok(Json(answer).into_response())
}

fn agent<'service>(service: &'service Shared, peer: &Peer) -> Result<&'service Agent, Problem> {
    let Some(name) = &peer.agent else {
        return Err(Problem::new(
            Code::AgentUnknown,
            "the certificate has no single SAN URI of the form urn:edgeseal:agent:NAME",
        ));
    };
    service.agents.get(name).ok_or_else(|| Problem::new(Code::AgentUnknown, format!("no agents.{name} is configured here")))
}

async fn read(headers: &HeaderMap, body: Body) -> Result<(String, Request), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("content-type is {media_type:?}; it takes application/json"),
        ));
    }
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    let bytes = match collected {
        Err(_) => {
            return Err(Problem::new(Code::RequestTimeout, format!("the body did not come within {} s", BODY_TIMEOUT.as_secs())));
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::new(Code::BodyTooLarge, format!("the body has more than {MAX_BODY} bytes")));
        }
        Ok(Err(error)) => return Err(Problem::new(Code::RequestMalformed, format!("the body broke off: {error}"))),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    let malformed = |error: &dyn std::fmt::Display| Problem::new(Code::RequestMalformed, error.to_string());
    let TokenRequest { profile, claims, audience, ttl } = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
    let claims = match claims {
        Some(claims) => {
            json::parse_object(claims.get().as_bytes()).map_err(|error| malformed(&format_args!("claims: {error}")))?.1
        }
        None => serde_json::Map::new(),
    };
    let audience = match audience {
        None => Vec::new(),
        Some(Audience::One(one)) => vec![one],
        Some(Audience::Many(many)) => many,
    };
    Ok((profile, Request { claims, audience, ttl }))
}
