//! The agents' listener. Whoever comes here has shown a certificate of the agents' authority; the name in it decides.

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::Bytes,
    extract::{self, FromRequest, FromRequestParts, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Timestamp, UnverifiedToken, json};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Shared, enroll,
    input::{self, Named, parse},
    listener::Peer,
    openapi::{self, AlgorithmName, Listener, ProblemDocument, Routes, Span},
    problem::{Code, Problem},
    public::{method_not_allowed, not_found},
};
use crate::{
    agents::Known,
    issue::{Agent, IssueError, Issued, Lifetime, MAX_BATCH, Mode, Renewal, Request, Stamp, policy},
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

/// The resources of agents.
pub fn router(service: Shared) -> axum::Router {
    let (router, _) = routes().split_for_parts();
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(service)
}

/// What is served, and its document.
pub fn routes() -> Routes {
    Routes::default()
        .routes(routes!(issue))
        .routes(routes!(batch))
        .routes(routes!(renew))
        .routes(routes!(sign))
        .routes(routes!(profiles))
        .routes(routes!(profile))
        .routes(routes!(document))
        .merge(enroll::renewal())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    /// The profile that says what the token is like.
    profile: String,
    /// What the signer gets to see; `digest` in a batch alone.
    #[serde(default)]
    mode: Mode,
    /// The application's claims; in mode `sd` with `_sd`, and `_sd_alg` unless it is `sha-256`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    claims: Option<Box<RawValue>>,
    /// Who is to accept the token; may be left out where the profile names exactly one.
    #[serde(default)]
    audience: Option<Audience>,
    /// How long the token is to live; the profile's default when absent.
    #[serde(default)]
    #[schema(value_type = Option<Span>)]
    ttl: Option<Lifetime>,
    /// In mode `digest`: see `SignatureRequest`.
    #[serde(default)]
    digest: Option<String>,
    /// In mode `digest`: see `SignatureRequest`.
    #[serde(default)]
    kid: Option<String>,
    /// In mode `digest`: see `SignatureRequest`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    declared: Option<Box<RawValue>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignatureRequest {
    /// A profile that allows mode `digest`.
    profile: String,
    /// The digest, base64url without padding: of exactly the length of the algorithm's hash.
    digest: String,
    /// The key that must sign it.
    #[serde(default)]
    kid: Option<String>,
    /// What the agent says that it is a digest of: its statement, and no fact.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    declared: Option<Box<RawValue>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    /// Each is answered by itself.
    #[schema(min_items = 1, max_items = 64)]
    requests: Vec<TokenRequest>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RenewRequest {
    /// The token so far: unexpired, and obtained by this agent.
    token: String,
    /// Fewer audiences than before; the same when absent.
    #[serde(default)]
    audience: Option<Audience>,
    /// How long the new token is to live.
    #[serde(default)]
    #[schema(value_type = Option<Span>)]
    ttl: Option<Lifetime>,
}

/// One name or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "audience takes a name, or an array of names")]
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

/// A token and what its caller wants to know of it.
#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    /// The compact token.
    token: String,
    /// Its `exp`.
    #[schema(format = "date-time")]
    expires_at: String,
    /// The key that signed it.
    kid: String,
}

/// A signature over a digest.
#[derive(Serialize, ToSchema)]
struct SignatureAnswer {
    /// base64url without padding, in the form of JWS.
    signature: String,
    /// The agent's own key that signed it.
    kid: String,
    /// The issuer whose JWK Set shows that key, and nothing else.
    issuer: String,
}

/// What came of one request of a batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Outcome {
    Token(TokenAnswer),
    Signature(SignatureAnswer),
    Problem(ProblemDocument),
}

/// In the order of the requests.
#[derive(Serialize, ToSchema)]
struct BatchAnswer {
    /// One for each request, in their order.
    results: Vec<Outcome>,
}

/// Who is asking, as of a moment ago: a revocation counts on open connections too.
pub(super) struct Caller(pub(super) Arc<Agent>);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Shared) -> Result<Self, Problem> {
        let Some(peer) = parts.extensions.get::<Peer>() else {
            return Err(Problem::new(Code::AgentUnknown, "the connection shows no certificate"));
        };
        match service.agents.identify(peer).await.map_err(RegistryError::Store)? {
            Known::Agent { agent, .. } => Ok(Self(agent)),
            Known::Nobody(why) => Err(Problem::new(Code::AgentUnknown, why)),
        }
    }
}

/// What an agent asks for, and who it is when all of it has come: a body may take its time, and meanwhile its agent is revoked.
/// Whoever is nobody to begin with is asked for none.
pub(super) struct Said<const MOST: usize> {
    pub(super) agent: Arc<Agent>,
    /// SHA-256 of the certificate that it showed, as base64url.
    certificate: Option<String>,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl<const MOST: usize> FromRequest<Shared> for Said<MOST> {
    type Rejection = Problem;

    async fn from_request(request: extract::Request, service: &Shared) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        Caller::from_request_parts(&mut parts, service).await?;
        let body = input::read_json(&parts.headers, body, MOST).await?;
        let Caller(agent) = Caller::from_request_parts(&mut parts, service).await?;
        let certificate = parts.extensions.get::<Peer>().and_then(|peer| peer.fingerprint.clone());
        Ok(Self { agent, certificate, headers: parts.headers, body })
    }
}

impl<const MOST: usize> Said<MOST> {
    /// `jti` and `iat`: fresh ones, or those of the request that came first under the same `Idempotency-Key`.
    pub(super) async fn stamp(&self, service: &Shared, path: &str) -> Result<Stamp, Problem> {
        let Self { agent, certificate, headers, body } = self;
        let fresh = Stamp { certificate: certificate.clone(), ..Stamp::now()? };
        let mut keys = headers.get_all("idempotency-key").iter();
        let Some(key) = keys.next() else { return Ok(fresh) };
        let key = key.to_str().ok().filter(|key| (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && keys.next().is_none());
        let key = key.ok_or_else(|| {
            let detail = format!("Idempotency-Key comes once, with 1 to {MAX_IDEMPOTENCY_KEY} visible characters");
            Problem::new(Code::RequestMalformed, detail)
        })?;
        // What one agent may write is bounded, whatever becomes of the request.
        service.repetitions.take(agent, Instant::now()).map_err(IssueError::RateExceeded)?;
        let digest = Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize();
        let asked = Repeatable { body: Base64UrlUnpadded::encode_string(&digest), jwt_id: fresh.jwt_id, at: fresh.at };
        let until = fresh.at.plus_secs(REPEATABLE);
        let store = service.agents.store();
        let first = store.repeatable(&agent.name, key, &asked, until).await.map_err(RegistryError::Store)?;
        if first.body != asked.body {
            return Err(Problem::new(Code::IdempotencyMismatch, "this Idempotency-Key came with another request before"));
        }
        Ok(Stamp { jwt_id: first.jwt_id, at: first.at, certificate: fresh.certificate })
    }
}

/// Issue a token
///
/// Policy decides; the intent is in the audit log before the HSM is asked; the finished token is verified, whole, before it
/// leaves.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "issueToken", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats the request: the same `jti` and `iat`", min_length = 1, max_length = 128)),
    request_body = TokenRequest,
    responses((status = 200, description = "The token", body = TokenAnswer)),
)]
async fn issue(State(service): State<Shared>, said: Said<MAX_BODY>) -> Result<Response, Problem> {
    let request: TokenRequest = parse(&said.body)?;
    if request.mode == Mode::Digest {
        return Err(Problem::new(Code::RequestMalformed, "mode digest is asked for at /v1/signatures, or in a batch"));
    }
    let stamp = said.stamp(&service, "/v1/tokens").await?;
    Ok(uncached(&issue_one(&service, &said.agent, request, stamp).await?))
}

/// Issue up to 64 tokens
///
/// Each request has its own outcome: a token, a signature, or a problem document.
#[utoipa::path(
    post, path = "/v1/tokens/batch", operation_id = "issueTokens", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats the requests", min_length = 1, max_length = 128)),
    request_body = BatchRequest,
    responses((status = 200, description = "What came of each", body = BatchAnswer)),
)]
async fn batch(State(service): State<Shared>, said: Said<MAX_BATCH_BODY>) -> Result<Response, Problem> {
    let BatchRequest { requests } = parse(&said.body)?;
    if !(1..=MAX_BATCH).contains(&requests.len()) {
        let detail = format!("requests has {} members; it takes 1 to {MAX_BATCH}", requests.len());
        return Err(Problem::new(Code::RequestMalformed, detail).at("requests"));
    }
    let stamp = said.stamp(&service, "/v1/tokens/batch").await?;
    let one = |(index, request)| issue_one(&service, &said.agent, request, member(&stamp, index));
    let outcomes = join_all(requests.into_iter().enumerate().map(one)).await;
    let outcome = |outcome: Result<Outcome, Problem>| outcome.unwrap_or_else(|problem| Outcome::Problem(problem.document()));
    Ok(uncached(&BatchAnswer { results: outcomes.into_iter().map(outcome).collect() }))
}

/// Renew a token
///
/// Under today's policy, by the agent that obtained it; audience and claims cannot widen, and the session has an end.
#[utoipa::path(
    post, path = "/v1/tokens/renew", operation_id = "renewToken", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeats the request", min_length = 1, max_length = 128)),
    request_body = RenewRequest,
    responses((status = 200, description = "The new token", body = TokenAnswer)),
)]
async fn renew(State(service): State<Shared>, said: Said<MAX_BODY>) -> Result<Response, Problem> {
    let RenewRequest { token, audience, ttl } = parse(&said.body)?;
    let renewal = Renewal { audience: Audience::names(audience), ttl };
    let stamp = said.stamp(&service, "/v1/tokens/renew").await?;
    let began = Instant::now();
    let snapshot = service.issuer.registry().snapshot();
    let kid = UnverifiedToken::parse(&token).ok().and_then(|token| token.header().kid().map(ToOwned::to_owned));
    let profile = kid.and_then(|kid| snapshot.of_kid(&kid)).map_or("", |key| key.profile.as_str());
    let outcome = service.issuer.renew(&said.agent, &token, renewal, stamp).await;
    let issued = counted(&service, profile, "renewal", began, outcome)?;
    Ok(uncached(&told(&said.agent, "renewed", issued)))
}

/// Sign a digest
///
/// With a key of the agent's own, which is published for nothing but what this agent says.
#[utoipa::path(
    post, path = "/v1/signatures", operation_id = "signDigest", tag = "tokens",
    params(("Idempotency-Key" = Option<String>, Header, description = "Refuses another request under the same key", min_length = 1, max_length = 128)),
    request_body = SignatureRequest,
    responses((status = 200, description = "The signature", body = SignatureAnswer)),
)]
async fn sign(State(service): State<Shared>, said: Said<MAX_BODY>) -> Result<Response, Problem> {
    let request = parse(&said.body)?;
    // A repetition is signed again: there is nothing to remember, but that the body must be the same.
    let stamp = said.stamp(&service, "/v1/signatures").await?;
    Ok(uncached(&sign_one(&service, &said.agent, request, &stamp).await?))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn document(_: Caller) -> Response {
    openapi::answer(Listener::Agents)
}

async fn sign_one(service: &Shared, agent: &Agent, request: SignatureRequest, stamp: &Stamp) -> Result<SignatureAnswer, Problem> {
    let SignatureRequest { profile, digest, kid, declared } = request;
    let declared = object("declared", declared)?;
    let began = Instant::now();
    let outcome = service.issuer.sign_digest(agent, &profile, &digest, kid.as_deref(), &declared, stamp).await;
    let signed = counted(service, &profile, Mode::Digest.as_str(), began, outcome)?;
    tracing::info!(agent = agent.name, profile, kid = signed.kid, "signed a digest");
    let issuer = service.issuer.agent_url(&profile, &agent.name);
    Ok(SignatureAnswer { signature: signed.signature, kid: signed.kid, issuer })
}

fn counted<T>(service: &Shared, profile: &str, mode: &str, began: Instant, outcome: Result<T, IssueError>) -> Result<T, Problem> {
    let outcome = outcome.map_err(Problem::from);
    // Whoever asks for what is not there shall not make up names for the metrics.
    let known = if service.issuer.has_profile(profile) { profile } else { "none" };
    let code = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "issued");
    service.metrics.token(known, mode, code);
    service.activity.token(outcome.as_ref().err().map(|_| code), began.elapsed());
    outcome
}

fn object(name: &str, text: Option<Box<RawValue>>) -> Result<Map<String, Value>, Problem> {
    let Some(text) = text else { return Ok(Map::new()) };
    let parsed = json::parse_object(text.get().as_bytes());
    parsed.map(|(_, members)| members).map_err(|error| Problem::new(Code::RequestMalformed, format!("{name}: {error}")))
}

async fn issue_one(service: &Shared, agent: &Agent, request: TokenRequest, stamp: Stamp) -> Result<Outcome, Problem> {
    let TokenRequest { profile, mode, claims, audience, ttl, digest, kid, declared } = request;
    if mode == Mode::Digest {
        let (Some(digest), None, None, None) = (digest, claims, audience, ttl) else {
            let detail = "mode digest takes profile, digest, kid and declared, and nothing else";
            return Err(Problem::new(Code::RequestMalformed, detail));
        };
        let request = SignatureRequest { profile, digest, kid, declared };
        return sign_one(service, agent, request, &stamp).await.map(Outcome::Signature);
    }
    if digest.is_some() || kid.is_some() || declared.is_some() {
        return Err(Problem::new(Code::RequestMalformed, "digest, kid and declared belong to mode digest"));
    }
    let request = Request { mode, claims: object("claims", claims)?, audience: Audience::names(audience), ttl };
    let began = Instant::now();
    let outcome = service.issuer.issue(agent, &profile, request, stamp).await;
    Ok(Outcome::Token(told(agent, "issued", counted(service, &profile, mode.as_str(), began, outcome)?)))
}

/// The stamp of one member of a batch: the same whenever the batch is repeated.
fn member(stamp: &Stamp, index: usize) -> Stamp {
    let digest = Sha256::new().chain_update(&stamp.jwt_id).chain_update(index.to_string()).finalize();
    Stamp { jwt_id: Base64UrlUnpadded::encode_string(&digest[..16]), at: stamp.at, certificate: stamp.certificate.clone() }
}

fn told(agent: &Agent, what: &'static str, issued: Issued) -> TokenAnswer {
    let Issued { token, expires_at, kid, jwt_id } = issued;
    let expires_at = Moment(expires_at).to_string();
    tracing::info!(agent = agent.name, kid, jti = jwt_id, expires_at, "{what}");
    TokenAnswer { token, expires_at, kid }
}

/// RFC 6749 section 5.1: tokens are not to be cached.
fn uncached(answer: &impl Serialize) -> Response {
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What the calling agent may use.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentProfiles)]
struct ProfilesAnswer {
    /// Those that the agent may use.
    profiles: Vec<ListedProfile>,
}

/// Whose tokens those of a profile are.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedProfile)]
struct ListedProfile {
    /// Its name.
    profile: String,
    /// `iss` of its tokens.
    issuer: String,
    /// What its keys sign with.
    #[schema(value_type = AlgorithmName)]
    algorithm: Algorithm,
    /// The header's `typ`.
    #[schema(required)]
    typ: Option<String>,
    /// `iss` of the agent's own tokens (mode `digest`), where the agent has a key of its own; else null.
    #[schema(required)]
    digest_issuer: Option<String>,
}

/// The profiles
///
/// What an agent needs to verify tokens before it has asked for any; makes no key.
#[utoipa::path(
    get, path = "/v1/profiles", operation_id = "getProfiles", tag = "profiles",
    responses((status = 200, description = "The profiles that the agent may use", body = ProfilesAnswer)),
)]
async fn profiles(State(service): State<Shared>, Caller(agent): Caller) -> Response {
    let issuer = &service.issuer;
    // A policy may name what is not there any more.
    let profiles = agent.profiles.iter().filter_map(|name| issuer.profile(&agent, name).ok());
    let profiles = profiles.map(|profile| ListedProfile {
        profile: profile.name.clone(),
        issuer: issuer.url_of(&profile.name),
        algorithm: profile.algorithm,
        typ: profile.typ.clone(),
        digest_issuer: issuer.digest_issuer(&agent, &profile),
    });
    uncached(&ProfilesAnswer { profiles: profiles.collect() })
}

/// A profile as the calling agent may use it.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentProfile)]
struct ProfileAnswer {
    /// Its name.
    profile: String,
    /// Who asks.
    agent: String,
    /// `iss` of its tokens.
    issuer: String,
    /// What its keys sign with.
    #[schema(value_type = AlgorithmName)]
    algorithm: Algorithm,
    /// The header's `typ`.
    #[schema(required)]
    typ: Option<String>,
    /// The key that signs now; null when none does.
    #[schema(required)]
    kid: Option<String>,
    /// Seconds since 1970: when that key's turn ends, by age or by the `exp` with which it was published. Another signs then,
    /// once it is ready; null where neither is set.
    #[schema(required)]
    not_after: Option<u64>,
    /// Who may accept its tokens.
    audiences: Vec<String>,
    /// Seconds: the lifetime when none is asked for.
    default_lifetime: u64,
    /// Seconds: the longest lifetime.
    max_lifetime: u64,
    /// Seconds: how long after the first token the last renewal may live; null where tokens are not renewed.
    #[schema(required)]
    max_session: Option<u64>,
    /// The first is what an agent uses unless told another.
    modes: Vec<Mode>,
    /// The agent's own key, where mode `digest` is allowed; null as long as none may sign.
    #[schema(required)]
    digest: Option<DigestAnswer>,
    /// Claims that a request must have.
    required_claims: Vec<String>,
    /// Claims that no request may have.
    forbidden_claims: Vec<String>,
    /// The JSON Schema of the claims, if there is one.
    #[schema(required)]
    schema: Option<Value>,
}

/// The agent's own key.
#[derive(Serialize, ToSchema)]
#[schema(as = DigestKey)]
struct DigestAnswer {
    /// The issuer whose JWK Set shows it.
    issuer: String,
    /// Its RFC 7638 thumbprint.
    kid: String,
    /// The public key (RFC 7517).
    #[schema(value_type = Object)]
    jwk: Value,
    /// Seconds since 1970: no token of this key may outlive it.
    not_after: u64,
}

/// A profile
///
/// What an agent needs to build tokens by itself; makes the agent's first own key where mode `digest` is allowed.
#[utoipa::path(
    get, path = "/v1/profiles/{profile}", operation_id = "getProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    responses((status = 200, description = "The profile", body = ProfileAnswer)),
)]
async fn profile(State(service): State<Shared>, Caller(agent): Caller, Named(name): Named<String>) -> Result<Response, Problem> {
    let profile = service.issuer.profile(&agent, &name).map_err(IssueError::Denied)?;
    let digest = service.issuer.digest_key(&agent, &profile).await?;
    let digest = digest.map(|key| DigestAnswer {
        issuer: key.issuer,
        kid: key.kid,
        jwk: serde_json::from_str(&key.jwk).unwrap_or_default(),
        not_after: key.not_after.as_secs(),
    });
    let snapshot = service.issuer.registry().snapshot();
    let active = snapshot.active.get(&profile.name).filter(|key| service.issuer.signs_for(key, &profile));
    let longest = policy::longest(&agent, &profile);
    Ok(uncached(&ProfileAnswer {
        profile: profile.name.clone(),
        agent: agent.name.clone(),
        issuer: service.issuer.url_of(&profile.name),
        algorithm: profile.algorithm,
        typ: profile.typ.clone(),
        kid: active.map(|key| key.kid.clone()),
        not_after: active.and_then(|key| snapshot.of_id(key.id)).and_then(|key| {
            let by_age = service.issuer.registry().ledger().rotation(key);
            by_age.into_iter().chain(key.not_after).min().map(Timestamp::as_secs)
        }),
        audiences: policy::audiences(&agent, &profile).into_iter().cloned().collect(),
        default_lifetime: profile.default_lifetime.min(longest).as_secs(),
        max_lifetime: longest.as_secs(),
        max_session: profile.max_session.map(Lifetime::as_secs),
        modes: profile.modes.clone(),
        digest,
        required_claims: agent.required_claims.clone(),
        forbidden_claims: agent.forbidden_claims.clone(),
        schema: service.issuer.schema(&name).map(|schema| schema.document().clone()),
    }))
}
