//! Revocation over HTTP: the signed document for edges, and the list for administrators.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Shared,
    admin::keys::follow,
    input::{Asked, Json as Input},
    openapi::Routes,
    person::{Auditor, Operator},
    problem::{AdminProblem, Code, Problem},
};
use crate::{
    keys::{DoneView, Moment},
    revocation::{EdgeConfig, EntryView, Kind, Wish},
    store::EdgeRow,
};

/// Octets of a request: a `sub` of the longest kind fits.
const MAX_BODY: usize = 8 * 1024;

/// What stands on the public listener.
pub fn published() -> Routes {
    Routes::default().routes(routes!(document))
}

/// What stands on the administrators' listener.
pub fn administered() -> Routes {
    Routes::default().routes(routes!(list, add)).routes(routes!(edges))
}

#[derive(Deserialize)]
struct OfEdge {
    edge: Option<String>,
}

/// The signed revocation document of an edge
#[utoipa::path(get, path = "/.well-known/edgeseal-revocations", operation_id = "getRevocations", tag = "keys",
    params(("edge" = Option<String>, Query, description = "The edge's id; may be left away where there is one edge")),
    responses((status = 200, description = "A JWT of typ edgeseal-revocation+jwt", content_type = "application/jwt", body = String)))]
async fn document(State(service): State<Shared>, Asked(OfEdge { edge }): Asked<OfEdge>) -> Response {
    let courier = &service.courier;
    let mut edges = courier.edges();
    let id = match (edge, edges.next(), edges.next()) {
        (Some(id), ..) => id,
        (None, Some(only), None) => only.id.clone(),
        (None, None, _) => return not_found("no edge is configured").into_response(),
        (None, Some(_), Some(_)) => {
            return Problem::new(Code::RequestMalformed, "there are several edges: add ?edge=ID").into_response();
        }
    };
    match courier.document(&id).await {
        None => not_found("no edge has this id").into_response(),
        Some(None) => Problem::new(Code::NotReady, "the edge's document is not signed yet").into_response(),
        Some(Some(document)) => {
            let mut response = Response::new(Body::from(document));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwt"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }
    }
}

/// What is revoked and not ended.
#[derive(Serialize, ToSchema)]
struct Revocations {
    /// The latest first.
    revocations: Vec<EntryView>,
}

/// List what is revoked
#[utoipa::path(get, path = "/admin/v1/revocations", operation_id = "listRevocations", tag = "revocations",
    responses((status = 200, description = "What is revoked and not ended, the latest first", body = Revocations)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Revocations>, AdminProblem> {
    let entries = service.issuer.registry().ledger().revocations().await?;
    Ok(Json(Revocations { revocations: entries.iter().map(crate::revocation::Entry::view).collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// What is revoked: a key, a token, or what a subject was issued.
    #[schema(value_type = Kind)]
    kind: String,
    /// The `kid`, the `jti` or the `sub`.
    value: String,
    /// The issuer's name in the configuration; the top-level one has none.
    #[serde(default)]
    issuer: String,
    /// The agent whose own key signed (mode `digest`): its tokens are of another issuer, `{issuer}/agents/{agent}`.
    #[serde(default)]
    agent: Option<String>,
    /// Of a subject: RFC 3339; now unless given.
    #[serde(default)]
    #[schema(format = "date-time")]
    before: Option<String>,
}

/// A key as it is now, or what the list says of a token or a subject. It is never a proposal: no second person is asked.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Revoked {
    Key(DoneView),
    Entry(EntryView),
}

/// Revoke a key (it is compromised thereby), a token, or what a subject was issued
#[utoipa::path(post, path = "/admin/v1/revocations", operation_id = "revoke", tag = "revocations",
    request_body = Revoke,
    responses((status = 201, description = "It is on the list", body = Revoked)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn add(
    State(service): State<Shared>,
    Operator(person): Operator,
    Input(Revoke { kind, value, issuer, agent, before }): Input<Revoke, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let actor = person.actor();
    let malformed = |detail: String| Problem::new(Code::RequestMalformed, detail);
    let before = before.map(|text| {
        Moment::parse(&text)
            .ok_or_else(|| malformed(format!("before is {text:?}; it takes RFC 3339, such as 2026-11-22T10:10:00Z")))
    });
    let before = before.transpose()?.map(|Moment(at)| at);
    let kind = Kind::from_name(&kind).ok_or_else(|| malformed(format!("kind is {kind:?}; it takes kid, jti or sub")))?;
    if before.is_some() && kind != Kind::Sub || (!issuer.is_empty() || agent.is_some()) && kind == Kind::Kid {
        return Err(malformed("before belongs to kind sub, issuer and agent to jti and sub".to_owned()).into());
    }
    // Whichever way it is asked for, a compromise is a dangerous act.
    if kind == Kind::Kid {
        person.needs_proof()?;
    }
    let registry = service.issuer.registry();
    let ledger = registry.ledger();
    let agent = agent.as_deref();
    let answer = match kind {
        Kind::Kid => Revoked::Key(ledger.describe_done(&ledger.revoke_key(&value, &actor).await?)),
        Kind::Jti => Revoked::Entry(ledger.revoke(&issuer, agent, &Wish::Token(value), &actor).await?.view()),
        Kind::Sub => Revoked::Entry(ledger.revoke(&issuer, agent, &Wish::Subject(value, before), &actor).await?.view()),
    };
    service.courier.wake();
    follow(&service).await;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// An edge: what it was told, and what it answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Edge)]
pub(crate) struct EdgeView {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// `aud` of its documents.
    pub(crate) id: String,
    /// Where it is told.
    pub(crate) url: String,
    /// `current`: it has stored the list as it is now; `pending`: not yet.
    pub(crate) state: EdgeState,
    /// The sequence that it stored last.
    #[schema(required)]
    pub(crate) seq: Option<u64>,
    /// When it said so.
    #[schema(required, format = "date-time")]
    pub(crate) acknowledged_at: Option<String>,
    /// When each of its isolates that can read the list has read it.
    #[schema(required, format = "date-time")]
    pub(crate) reread_by: Option<String>,
    /// When every isolate is bound by it, whatever it could read.
    #[schema(required, format = "date-time")]
    pub(crate) bound_by: Option<String>,
    /// How often telling it failed since.
    pub(crate) attempts: u64,
    /// Why, the last time.
    #[schema(required)]
    pub(crate) trouble: Option<String>,
}

/// Whether an edge has what is revoked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EdgeState {
    Current,
    Pending,
}

/// All edges.
#[derive(Serialize, ToSchema)]
struct Edges {
    /// By name.
    edges: Vec<EdgeView>,
}

/// List the edges: what each was told, and what it answered
#[utoipa::path(get, path = "/admin/v1/edges", operation_id = "listEdges", tag = "revocations",
    responses((status = 200, description = "All edges", body = Edges)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn edges(State(service): State<Shared>, _: Auditor) -> Result<Json<Edges>, AdminProblem> {
    let store = service.agents.store();
    let (rows, version) = (store.edges().await?, store.revocations_version().await?);
    Ok(Json(Edges { edges: service.courier.edges().map(|edge| describe(edge, &rows, version)).collect() }))
}

/// An edge for programs. `version` is the list's now.
pub(crate) fn describe(edge: &EdgeConfig, rows: &[EdgeRow], version: u64) -> EdgeView {
    let row = rows.iter().find(|row| row.name == edge.id);
    let told = row.is_some_and(|row| row.acknowledged_at.is_some() && row.acknowledged_version >= version);
    let moment = |at: fn(&EdgeRow) -> Option<edgeseal_core::Timestamp>| row.and_then(at).map(|at| Moment(at).to_string());
    EdgeView {
        name: edge.name.clone(),
        id: edge.id.clone(),
        url: edge.url.clone(),
        state: if told { EdgeState::Current } else { EdgeState::Pending },
        seq: row.map(|row| row.acknowledged_seq),
        acknowledged_at: moment(|row| row.acknowledged_at),
        reread_by: moment(|row| row.reread_by),
        bound_by: moment(|row| row.bound_by),
        attempts: row.map_or(0, |row| row.attempts),
        trouble: row.and_then(|row| row.trouble.clone()),
    }
}

fn not_found(detail: &str) -> Problem {
    Problem::new(Code::NotFound, detail)
}
