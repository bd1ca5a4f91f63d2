//! Sessions: one's own, seen and ended.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use utoipa_axum::routes;

use super::{console, event, moment, own_session, record, view, with_cookie};
use crate::http::{
    Shared,
    access::{COOKIE, Visit},
    input::Named,
    openapi::Routes,
    problem::{AdminProblem, Code, Problem},
};

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(show)).routes(routes!(list)).routes(routes!(end)).routes(routes!(logout))
}

/// Show who asks
///
/// Who asks.
#[utoipa::path(get, path = "/console/v1/session", operation_id = "getSession", tag = "console",
    responses((status = 200, description = "The session, or that there is none", body = Object)))]
pub(super) async fn show(State(service): State<Shared>, visit: Visit) -> Result<Json<Value>, AdminProblem> {
    Ok(Json(view(console(&service)?, &visit).await?))
}

/// List one's own sessions
///
/// One's own.
#[utoipa::path(get, path = "/console/v1/sessions", operation_id = "listSessions", tag = "console",
    responses((status = 200, description = "The sessions, the latest used first", body = Object)))]
pub(super) async fn list(State(service): State<Shared>, visit: Visit) -> Result<Json<Value>, AdminProblem> {
    let (own, person) = own_session(&visit)?;
    let console = console(&service)?;
    let sessions = console.sessions(Some(&person.name)).await?;
    let sessions: Vec<Value> = sessions
        .iter()
        .map(|session| {
            json!({
                "session": session.reference,
                "current": session.id == own.id,
                "via": session.via,
                "created_at": moment(session.created_at),
                "seen_at": moment(session.seen_at),
                "expires_at": moment(console.last_end(session)),
                "address": session.address,
                "user_agent": session.user_agent,
            })
        })
        .collect();
    Ok(Json(json!({ "sessions": sessions })))
}

/// End one of one's own sessions
///
/// Ends one of one's own.
#[utoipa::path(delete, path = "/console/v1/sessions/{session}", operation_id = "endSession", tag = "console",
    params(("session" = String, Path, description = "Its name")),
    responses((status = 204, description = "It has ended")))]
pub(super) async fn end(
    State(service): State<Shared>,
    visit: Visit,
    Named(reference): Named<String>,
) -> Result<StatusCode, AdminProblem> {
    let (_, person) = own_session(&visit)?;
    let console = console(&service)?;
    let unknown = || Problem::new(Code::NotFound, "no session of yours has this name");
    if !console.sessions(Some(&person.name)).await?.iter().any(|session| session.reference == reference) {
        return Err(unknown().into());
    }
    record(&service, event(&person.name, "session.end", &visit).with("session", reference.as_str())).await?;
    match console.store.end_sessions(&person.name, Some(&reference)).await? {
        0 => Err(unknown().into()),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// Log out
///
/// Ends this one. Whoever has none is logged out already.
#[utoipa::path(post, path = "/console/v1/logout", operation_id = "logout", tag = "console",
    responses((status = 204, description = "The session has ended")))]
pub(super) async fn logout(State(service): State<Shared>, visit: Visit) -> Result<Response, AdminProblem> {
    if let Some(session) = &visit.session {
        record(&service, event(&session.person, "session.logout", &visit).with("session", session.reference.as_str())).await?;
        console(&service)?.store.end_sessions(&session.person, Some(&session.reference)).await?;
    }
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    with_cookie(StatusCode::NO_CONTENT.into_response(), &cookie)
}
