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
use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::json;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json, value::RawValue};
use sha2::{Digest as _, Sha256};

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
    store::Repeatable,
};

/// Octets of a request: what fits into a token, and room for JSON around it.
const MAX_BODY: usize = 32 * 1024;
/// Octets of a batch.
const MAX_BATCH_BODY: usize = MAX_BATCH * MAX_BODY;
/// Characters of an `Idempotency-Key`.
const MAX_IDEMPOTENCY_KEY: usize = 128;
/// Seconds for which a request may be repeated: longer than anybody retries.
const REPEATABLE: u64 = 600;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The resources of agents.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/v1/tokens", post(issue))
        .route("/v1/tokens/batch", post(batch))
        .route("/v1/tokens/renew", post(renew))
        .route("/v1/signatures", post(sign))
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
    // In a batch, and with mode digest alone: the members of a SignatureRequest.
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    declared: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureRequest {
    profile: String,
    /// The digest as base64url.
    digest: String,
    /// The key that must sign it.
    #[serde(default)]
    kid: Option<String>,
    /// What the agent says that it is a digest of: its statement, and no fact.
    #[serde(default)]
    declared: Option<Box<RawValue>>,
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
    let body = read_json(&headers, body, MAX_BODY).await?;
    let request: TokenRequest = parse(&body)?;
    if request.mode == Mode::Digest {
        return Err(Problem::new(Code::RequestMalformed, "mode digest is asked for at /v1/signatures, or in a batch"));
    }
    let stamp = stamp(&service, &agent, &headers, "/v1/tokens", &body).await?;
    Ok(uncached(&issue_one(&service, &agent, request, stamp).await?))
}

/// Each request has its own outcome: a token, or a problem document.
async fn batch(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let body = read_json(&headers, body, MAX_BATCH_BODY).await?;
    let BatchRequest { requests } = parse(&body)?;
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let detail = format!("requests has {} members; it takes 1 to {MAX_BATCH}", requests.len());
        return Err(Problem::new(Code::RequestMalformed, detail));
    }
    let stamp = stamp(&service, &agent, &headers, "/v1/tokens/batch", &body).await?;
    let one = |(index, request)| issue_one(&service, &agent, request, member(&stamp, index));
    let outcomes = join_all(requests.into_iter().enumerate().map(one)).await;
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
    let body = read_json(&headers, body, MAX_BODY).await?;
    let RenewRequest { token, audience, ttl } = parse(&body)?;
    let renewal = Renewal { audience: Audience::names(audience), ttl };
    let stamp = stamp(&service, &agent, &headers, "/v1/tokens/renew", &body).await?;
    let issued = service.issuer.renew(&agent, &token, renewal, stamp).await?;
    Ok(uncached(&told(&agent, "renewed", issued)))
}

async fn sign(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let body = read_json(&headers, body, MAX_BODY).await?;
    let request = parse(&body)?;
    // A repetition is signed again: there is nothing to remember, but that the body must be the same.
    stamp(&service, &agent, &headers, "/v1/signatures", &body).await?;
    Ok(uncached(&sign_one(&service, &agent, request).await?))
}

async fn sign_one(service: &Shared, agent: &Agent, request: SignatureRequest) -> Result<Value, Problem> {
    let SignatureRequest { profile, digest, kid, declared } = request;
    let declared = object("declared", declared)?;
    let outcome = service.issuer.sign_digest(agent, &profile, &digest, kid.as_deref(), &declared).await;
    let signed = counted(service, &profile, Mode::Digest, outcome)?;
    tracing::info!(agent = agent.name, profile, kid = signed.kid, "signed a digest");
    let issuer = service.issuer.agent_url(&profile, &agent.name);
    Ok(json!({ "signature": signed.signature, "kid": signed.kid, "issuer": issuer }))
}

fn counted<T>(service: &Shared, profile: &str, mode: Mode, outcome: Result<T, IssueError>) -> Result<T, Problem> {
    let outcome = outcome.map_err(Problem::from);
    // Whoever asks for what is not there shall not make up names for the metrics.
    let known = if service.issuer.has_profile(profile) { profile } else { "none" };
    let code = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "issued");
    service.metrics.token(known, mode.as_str(), code);
    outcome
}

fn object(name: &str, text: Option<Box<RawValue>>) -> Result<Map<String, Value>, Problem> {
    let Some(text) = text else { return Ok(Map::new()) };
    let parsed = json::parse_object(text.get().as_bytes());
    parsed.map(|(_, members)| members).map_err(|error| Problem::new(Code::RequestMalformed, format!("{name}: {error}")))
}

async fn issue_one(service: &Shared, agent: &Agent, request: TokenRequest, stamp: Stamp) -> Result<Value, Problem> {
    let TokenRequest { profile, mode, claims, audience, ttl, digest, kid, declared } = request;
    if mode == Mode::Digest {
        let (Some(digest), None, None, None) = (digest, claims, audience, ttl) else {
            let detail = "mode digest takes profile, digest, kid and declared, and nothing else";
            return Err(Problem::new(Code::RequestMalformed, detail));
        };
        return sign_one(service, agent, SignatureRequest { profile, digest, kid, declared }).await;
    }
    if digest.is_some() || kid.is_some() || declared.is_some() {
        return Err(Problem::new(Code::RequestMalformed, "digest, kid and declared belong to mode digest"));
    }
    let request = Request { mode, claims: object("claims", claims)?, audience: Audience::names(audience), ttl };
    let outcome = service.issuer.issue(agent, &profile, request, stamp).await;
    Ok(told(agent, "issued", counted(service, &profile, mode, outcome)?))
}

/// `jti` and `iat`: fresh ones, or those of the request that came first under the same `Idempotency-Key`.
async fn stamp(service: &Shared, agent: &Agent, headers: &HeaderMap, path: &str, body: &[u8]) -> Result<Stamp, Problem> {
    let fresh = Stamp::now()?;
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(fresh) };
    let key = key.to_str().ok().filter(|key| (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && keys.next().is_none());
    let key = key.ok_or_else(|| {
        let detail = format!("Idempotency-Key comes once, with 1 to {MAX_IDEMPOTENCY_KEY} visible characters");
        Problem::new(Code::RequestMalformed, detail)
    })?;
    let digest = Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize();
    let asked = Repeatable { body: Base64UrlUnpadded::encode_string(&digest), jwt_id: fresh.jwt_id, at: fresh.at };
    let until = fresh.at.plus_secs(REPEATABLE);
    let store = service.agents.store();
    let first = store.repeatable(&agent.name, key, &asked, until).await.map_err(RegistryError::Store)?;
    if first.body != asked.body {
        return Err(Problem::new(Code::IdempotencyMismatch, "this Idempotency-Key came with another request before"));
    }
    Ok(Stamp { jwt_id: first.jwt_id, at: first.at })
}

/// The stamp of one member of a batch: the same whenever the batch is repeated.
fn member(stamp: &Stamp, index: usize) -> Stamp {
    let digest = Sha256::new().chain_update(&stamp.jwt_id).chain_update(index.to_string()).finalize();
    Stamp { jwt_id: Base64UrlUnpadded::encode_string(&digest[..16]), at: stamp.at }
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
    let digest = service.issuer.digest_key(&agent, profile).await?;
    let digest = digest.map(|key| {
        let jwk: Value = serde_json::from_str(&key.jwk).unwrap_or_default();
        json!({ "issuer": key.issuer, "kid": key.kid, "jwk": jwk, "not_after": key.not_after.as_secs() })
    });
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
        "digest": digest,
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
