//! Revocation over HTTP: the signed document for edges, and the list for administrators.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared,
    admin::actor,
    agents::{parse, read_json},
    listener::Peer,
    problem::{AdminProblem, Code, Problem},
};
use crate::{
    keys::{Moment, registry::RegistryError},
    revocation::{EdgeConfig, Kind, Wish},
    store::EdgeRow,
};

/// Octets of a request: a `sub` of the longest kind fits.
const MAX_BODY: usize = 8 * 1024;

/// `GET /.well-known/edgeseal-revocations?edge=ID`: the document of an edge; the name may be left away where there is one edge.
pub(super) async fn document(State(service): State<Shared>, uri: Uri) -> Response {
    // Ids have no character that a query would write otherwise.
    let parameters = uri.query().unwrap_or_default().split('&');
    let edge = parameters.filter_map(|parameter| parameter.strip_prefix("edge=")).next().map(ToOwned::to_owned);
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

/// `GET /admin/v1/revocations`: what is revoked and not ended, the latest first.
pub(super) async fn list(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let entries = service.issuer.registry().ledger().revocations().await?;
    let entries: Vec<Value> = entries.iter().map(crate::revocation::Entry::describe).collect();
    Ok(Json(json!({ "revocations": entries })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// `kid`, `jti` or `sub`.
    kind: String,
    value: String,
    /// The issuer's name in the configuration; the top-level one has none.
    #[serde(default)]
    issuer: String,
    /// Of a subject: RFC 3339; now unless given.
    #[serde(default)]
    before: Option<String>,
}

/// `POST /admin/v1/revocations`: revokes a key (it is compromised thereby), a token, or what a subject was issued.
pub(super) async fn add(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AdminProblem> {
    let actor = actor(&peer)?;
    let malformed = |detail: String| Problem::new(Code::RequestMalformed, detail);
    let Revoke { kind, value, issuer, before } = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    let before = before.map(|text| {
        Moment::parse(&text)
            .ok_or_else(|| malformed(format!("before is {text:?}; it takes RFC 3339, such as 2026-11-22T10:10:00Z")))
    });
    let before = before.transpose()?.map(|Moment(at)| at);
    let kind = Kind::from_name(&kind).ok_or_else(|| malformed(format!("kind is {kind:?}; it takes kid, jti or sub")))?;
    if before.is_some() && kind != Kind::Sub || !issuer.is_empty() && kind == Kind::Kid {
        return Err(malformed("before belongs to kind sub, issuer to jti and sub".to_owned()).into());
    }
    let registry = service.issuer.registry();
    let ledger = registry.ledger();
    let answer = match kind {
        Kind::Kid => ledger.describe_done(&ledger.revoke_key(&value, &actor).await?),
        Kind::Jti => ledger.revoke(&issuer, &Wish::Token(value), &actor).await?.describe(),
        Kind::Sub => ledger.revoke(&issuer, &Wish::Subject(value, before), &actor).await?.describe(),
    };
    service.courier.wake();
    registry.refresh().await?;
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET /admin/v1/edges`: what each edge was told, and what it answered.
pub(super) async fn edges(State(service): State<Shared>, Extension(peer): Extension<Peer>) -> Result<Response, AdminProblem> {
    actor(&peer)?;
    let store = service.agents.store();
    let failed = |error| AdminProblem::from(RegistryError::Store(error));
    let rows = store.edges().await.map_err(failed)?;
    let version = store.revocations_version().await.map_err(failed)?;
    let edges: Vec<Value> = service.courier.edges().map(|edge| describe(edge, &rows, version)).collect();
    Ok(Json(json!({ "edges": edges })).into_response())
}

/// An edge for programs. `version` is the list's now.
pub(crate) fn describe(edge: &EdgeConfig, rows: &[EdgeRow], version: u64) -> Value {
    let row = rows.iter().find(|row| row.name == edge.id);
    let told = row.is_some_and(|row| row.acknowledged_at.is_some() && row.acknowledged_version >= version);
    let moment = |at: fn(&EdgeRow) -> Option<edgeseal_core::Timestamp>| row.and_then(at).map(|at| Moment(at).to_string());
    json!({
        "name": edge.name,
        "id": edge.id,
        "url": edge.url,
        "state": if told { "current" } else { "pending" },
        "seq": row.map(|row| row.acknowledged_seq),
        "acknowledged_at": moment(|row| row.acknowledged_at),
        "reread_by": moment(|row| row.reread_by),
        "bound_by": moment(|row| row.bound_by),
        "attempts": row.map_or(0, |row| row.attempts),
        "trouble": row.and_then(|row| row.trouble.clone()),
    })
}

fn not_found(detail: &str) -> Problem {
    Problem::new(Code::NotFound, detail)
}
