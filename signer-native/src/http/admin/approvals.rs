//! What one person proposed, and another has to approve.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{keys::answer, ledger};
use crate::{
    http::{
        Shared,
        input::Named,
        openapi::{Routes, step},
        person::{Administrator, Auditor},
        problem::AdminProblem,
    },
    keys::{ApprovalView, StepView, describe_approval, now},
};

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(list)).routes(step(routes!(approve))).routes(step(routes!(withdraw)))
}

/// Proposals that wait for a second person.
#[derive(Serialize, ToSchema)]
struct Approvals {
    /// The oldest first.
    approvals: Vec<ApprovalView>,
}

/// List what waits for a second person
#[utoipa::path(get, path = "/admin/v1/approvals", operation_id = "listApprovals", tag = "approvals",
    responses((status = 200, description = "Open proposals, the oldest first", body = Approvals)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Approvals>, AdminProblem> {
    let open = ledger(&service).open_proposals(now()).await?;
    Ok(Json(Approvals { approvals: open.iter().map(describe_approval).collect() }))
}

/// Approve what another person proposed, and do it
#[utoipa::path(post, path = "/admin/v1/approvals/{proposal}:approve", operation_id = "approve", tag = "approvals",
    params(("proposal" = String, Path, description = "Its name")),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn approve(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(proposal): Named<String>,
) -> Result<Response, AdminProblem> {
    answer(&service, &ledger(&service).approve(&proposal, &person.actor()).await?).await
}

/// Take a proposal back
#[utoipa::path(post, path = "/admin/v1/approvals/{proposal}:withdraw", operation_id = "withdrawApproval", tag = "approvals",
    params(("proposal" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is not open any more")),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn withdraw(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(proposal): Named<String>,
) -> Result<StatusCode, AdminProblem> {
    ledger(&service).withdraw(&proposal, &person.actor()).await?;
    Ok(StatusCode::NO_CONTENT)
}
