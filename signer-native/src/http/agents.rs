//! The agents' listener. Whoever comes here has shown a certificate of the agents' authority; the name in it decides.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use edgeseal_core::json;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

use super::{
    Shared,
    listener::Peer,
    problem::{Code, Problem},
    public::{method_not_allowed, not_found},
};
use crate::{
    agents::Known,
    issue::{Agent, IssueError, Issued, Lifetime, MAX_BATCH, Mode, Renewal, Request, Stamp},
    keys::{Moment, registry::RegistryError},
};

/// Octets of a request: what fits into a token, and room for JSON around it.
const MAX_BODY: usize = 32 * 1024;
/// Octets of a batch.
const MAX_BATCH_BODY: usize = MAX_BATCH * MAX_BODY;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The resources of agents.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/v1/tokens", post(issue))
        .route("/v1/tokens/batch", post(batch))
        .route("/v1/tokens/renew", post(renew))
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
    mode: Mode,
    #[serde(default)]
    claims: Option<Box<RawValue>>,
    #[serde(default)]
    audience: Option<Audience>,
    #[serde(default)]
    ttl: Option<Lifetime>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    requests: Vec<TokenRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewRequest {
    token: String,
    #[serde(default)]
    audience: Option<Audience>,
    #[serde(default)]
    ttl: Option<Lifetime>,
}

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn names(audience: Option<Self>) -> Vec<String> {
        match audience {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Many(many)) => many,
        }
    }
}

async fn issue(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let request = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    Ok(uncached(&issue_one(&service, &agent, request).await?))
}

/// Each request has its own outcome: a token, or a problem document.
async fn batch(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let BatchRequest { requests } = parse(&read_json(&headers, body, MAX_BATCH_BODY).await?)?;
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let detail = format!("requests has {} members; it takes 1 to {MAX_BATCH}", requests.len());
        return Err(Problem::new(Code::RequestMalformed, detail));
    }
    let outcomes = join_all(requests.into_iter().map(|request| issue_one(&service, &agent, request))).await;
    let results: Vec<Value> = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|problem| problem.document())).collect();
    Ok(uncached(&json!({ "results": results })))
}

async fn renew(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let RenewRequest { token, audience, ttl } = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    let renewal = Renewal { audience: Audience::names(audience), ttl };
    let issued = service.issuer.renew(&agent, &token, renewal, Stamp::now()?).await?;
    Ok(uncached(&told(&agent, "renewed", issued)))
}

async fn issue_one(service: &Shared, agent: &Agent, request: TokenRequest) -> Result<Value, Problem> {
    let TokenRequest { profile, mode, claims, audience, ttl } = request;
    let claims = match claims {
        Some(claims) => {
            json::parse_object(claims.get().as_bytes())
                .map_err(|error| Problem::new(Code::RequestMalformed, format!("claims: {error}")))?
                .1
        }
        None => serde_json::Map::new(),
    };
    let request = Request { mode, claims, audience: Audience::names(audience), ttl };
    let outcome = match Stamp::now() {
        Ok(stamp) => service.issuer.issue(agent, &profile, request, stamp).await,
        Err(error) => Err(error),
    };
    let outcome = outcome.map_err(Problem::from);
    // Whoever asks for what is not there shall not make up names for the metrics.
    let known = if service.issuer.has_profile(&profile) { profile.as_str() } else { "none" };
    let code = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "issued");
    service.metrics.token(known, mode.as_str(), code);
    Ok(told(agent, "issued", outcome?))
}

fn told(agent: &Agent, what: &'static str, issued: Issued) -> Value {
    let Issued { token, expires_at, kid, jwt_id } = issued;
    let expires_at = Moment(expires_at).to_string();
    tracing::info!(agent = agent.name, kid, jti = jwt_id, expires_at, what);
    json!({ "token": token, "expires_at": expires_at, "kid": kid })
}

/// RFC 6749 section 5.1: tokens are not to be cached.
fn uncached(answer: &Value) -> Response {
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn profile(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let profile = service.issuer.profile(&agent, &name).map_err(IssueError::Denied)?;
    let snapshot = service.issuer.registry().snapshot();
    let answer = json!({
        "profile": profile.name,
        "agent": agent.name,
        "issuer": service.issuer.url_of(&profile.name),
        "algorithm": profile.algorithm,
        "typ": profile.typ,
        "kid": snapshot.active.get(&profile.name).map(|key| key.kid.as_str()),
        "audiences": profile.audiences,
        "default_lifetime": profile.default_lifetime.as_secs(),
        "max_lifetime": profile.max_lifetime.as_secs(),
        "max_session": profile.max_session.map(Lifetime::as_secs),
        "modes": profile.modes,
        "required_claims": agent.required_claims,
        "forbidden_claims": agent.forbidden_claims,
        "schema": service.issuer.schema(&name).map(|schema| schema.document()),
    });
    Ok(Json(answer).into_response())
}

/// Who is asking, as of a moment ago: a revocation counts on open connections too.
pub(super) async fn agent(service: &Shared, peer: &Peer) -> Result<Arc<Agent>, Problem> {
    match service.agents.identify(peer).await.map_err(RegistryError::Store)? {
        Known::Agent { agent, .. } => Ok(agent),
        Known::Nobody(why) => Err(Problem::new(Code::AgentUnknown, why)),
    }
}

/// Whether a request says that its body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case("application/json")
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

pub(super) async fn read_json(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        let detail = format!("content-type is {:?}; it takes application/json", media_type(headers));
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    read(body, most).await
}

/// A whole body, bounded in size and time.
pub(crate) async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Err(_) => Err(Problem::new(Code::RequestTimeout, format!("the body did not come within {} s", BODY_TIMEOUT.as_secs()))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, format!("the body has more than {most} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(Code::RequestMalformed, format!("the body broke off: {error}"))),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(Code::RequestMalformed, error.to_string()))
}
