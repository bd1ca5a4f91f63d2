//! The administrators' listener: the life of keys. Whoever comes here has shown a certificate of the administrators'
//! authority; the name in it is the actor that the audit keeps.

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    agents::{parse, read_json},
    listener::Peer,
    problem::{AdminProblem, Code, Problem},
    public::{jwks_uri, method_not_allowed, not_found},
    revocations,
};
use crate::keys::{Actor, Command, Done, Ledger, describe_approval};

/// Octets of a request.
const MAX_BODY: usize = 4 * 1024;
/// Days until a destruction unless the request says others.
const DAYS: u64 = 7;

/// The resources of administrators.
pub fn router(service: Shared) -> Router {
    Router::new()
        .route("/admin/v1/keys", get(keys).post(generate))
        .route("/admin/v1/keys/{key}", get(key).post(step))
        .route("/admin/v1/approvals", get(approvals))
        .route("/admin/v1/approvals/{approval}", post(decide))
        .route("/admin/v1/issuers", get(issuers))
        .route("/admin/v1/profiles", get(profiles))
        .route("/admin/v1/revocations", get(revocations::list).post(revocations::add))
        .route("/admin/v1/edges", get(revocations::edges))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(service)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    profile: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Parameters {
    emergency: Option<bool>,
    days: Option<u64>,
}

async fn keys(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let ledger = ledger(&service);
    let keys: Vec<Value> = ledger.keys().await?.iter().map(|key| ledger.describe(key)).collect();
    Ok(Json(json!({ "keys": keys })).into_response())
}

async fn key(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(kid): Path<String>,
) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let ledger = ledger(&service);
    Ok(Json(ledger.describe(&ledger.key(&kid).await?)).into_response())
}

async fn generate(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AdminProblem> {
    let actor = actor(&peer)?;
    let Generate { profile } = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    let slot = ledger(&service).slots().iter().find(|slot| slot.profile == profile);
    let slot = slot.ok_or_else(|| Problem::new(Code::NotFound, format!("no profile is called {profile:?}")))?;
    let key = service.issuer.registry().generate(slot, &actor).await?;
    Ok((StatusCode::CREATED, Json(ledger(&service).describe(&key))).into_response())
}

/// `POST /admin/v1/keys/{kid}:{verb}`; a body is needed only for what it says beyond the verb.
async fn step(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AdminProblem> {
    let actor = actor(&peer)?;
    let (kid, verb) = path.rsplit_once(':').ok_or_else(no_verb)?;
    let body = read_optional(&headers, body).await?;
    let Parameters { emergency, days } = body;
    let command = match verb {
        "activate" => Command::Activate { emergency: emergency.unwrap_or(false) },
        "retire" => Command::Retire,
        "suspend" => Command::Suspend,
        "resume" => Command::Resume,
        "compromise" => Command::Compromise,
        "schedule-destroy" => Command::ScheduleDestroy { days: days.unwrap_or(DAYS) },
        "cancel-destroy" => Command::CancelDestroy,
        _ => return Err(no_verb().into()),
    };
    if emergency.is_some() && verb != "activate" || days.is_some() && verb != "schedule-destroy" {
        return Err(Problem::new(Code::RequestMalformed, "emergency belongs to activate alone, days to schedule-destroy").into());
    }
    answer(&service, &ledger(&service).command(kid, command, &actor).await?).await
}

async fn approvals(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let open = ledger(&service).open_proposals(crate::keys::now()).await?;
    let open: Vec<Value> = open.iter().map(describe_approval).collect();
    Ok(Json(json!({ "approvals": open })).into_response())
}

/// `POST /admin/v1/approvals/{id}:approve` and `:withdraw`.
async fn decide(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Path(path): Path<String>,
) -> Result<Response, AdminProblem> {
    let actor = actor(&peer)?;
    match path.rsplit_once(':') {
        Some((id, "approve")) => answer(&service, &ledger(&service).approve(id, &actor).await?).await,
        Some((id, "withdraw")) => {
            ledger(&service).withdraw(id, &actor).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(no_verb().into()),
    }
}

async fn issuers(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let snapshot = service.issuer.registry().snapshot();
    let shown = service.issuers.iter().map(|(name, url)| {
        let algorithms = snapshot.document(name, None).map(|document| document.algorithms).unwrap_or_default();
        json!({ "name": name, "issuer": url, "jwks_uri": jwks_uri(url), "algorithms": algorithms })
    });
    Ok(Json(json!({ "issuers": shown.collect::<Vec<Value>>() })).into_response())
}

async fn profiles(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let snapshot = service.issuer.registry().snapshot();
    let shown = ledger(&service).slots().iter().filter(|slot| slot.agent.is_none()).map(|slot| {
        json!({
            "name": slot.profile,
            "issuer": service.issuer.url_of(&slot.profile),
            "algorithm": slot.algorithm,
            "max_lifetime": slot.max_lifetime,
            "rotate_after": slot.rotate_after,
            "kid": snapshot.active.get(&slot.profile).map(|key| key.kid.as_str()),
        })
    });
    Ok(Json(json!({ "profiles": shown.collect::<Vec<Value>>() })).into_response())
}

/// 202 for what waits for a second person. What changed is followed here at once, and elsewhere within the lease.
async fn answer(service: &Shared, done: &Done) -> Result<Response, AdminProblem> {
    let status = if matches!(done, Done::Proposed(_)) { StatusCode::ACCEPTED } else { StatusCode::OK };
    // A compromised key is on the list now.
    service.courier.wake();
    service.issuer.registry().refresh().await?;
    Ok((status, Json(ledger(service).describe_done(done))).into_response())
}

async fn read_optional(headers: &HeaderMap, body: Body) -> Result<Parameters, Problem> {
    use axum::body::HttpBody as _;
    if body.is_end_stream() { Ok(Parameters::default()) } else { parse(&read_json(headers, body, MAX_BODY).await?) }
}

fn ledger(service: &Shared) -> &Ledger {
    service.issuer.registry().ledger()
}

pub(super) fn actor(peer: &Peer) -> Result<Actor, Problem> {
    let named = peer.admin.as_deref().map(Actor::administrator);
    named.ok_or_else(|| {
        Problem::new(Code::AdminUnknown, "the certificate has no single SAN URI of the form urn:edgeseal:admin:NAME")
    })
}

fn no_verb() -> Problem {
    Problem::new(Code::NotFound, "a step is POST {resource}:{verb}")
}
