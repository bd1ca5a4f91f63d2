//! The life of keys.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{MAX_BODY, ledger};
use crate::{
    http::{
        Shared,
        input::{Json as Input, Named, OptionalJson},
        openapi::{Routes, step},
        person::{Administrator, Auditor, Operator, Person, Role},
        problem::{AdminProblem, Code, Problem},
    },
    keys::{ApprovalView, Command, Done, KeyView, StepView, check_label},
};

/// Days until a destruction unless the request says others.
const DAYS: u64 = 7;

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, generate))
        .routes(routes!(show))
        .routes(step(routes!(activate)))
        .routes(step(routes!(retire)))
        .routes(step(routes!(suspend)))
        .routes(step(routes!(resume)))
        .routes(step(routes!(compromise)))
        .routes(step(routes!(schedule_destroy)))
        .routes(step(routes!(cancel_destroy)))
}

/// All keys, the oldest first.
#[derive(Serialize, ToSchema)]
struct Keys {
    keys: Vec<KeyView>,
}

/// List the keys
#[utoipa::path(get, path = "/admin/v1/keys", operation_id = "listKeys", tag = "keys",
    responses((status = 200, description = "All keys, the oldest first", body = Keys)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Keys>, AdminProblem> {
    let ledger = ledger(&service);
    Ok(Json(Keys { keys: ledger.keys().await?.iter().map(|key| ledger.describe(key)).collect() }))
}

/// Show a key
#[utoipa::path(get, path = "/admin/v1/keys/{kid}", operation_id = "getKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    responses((status = 200, description = "The key", body = KeyView)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(kid): Named<String>) -> Result<Json<KeyView>, AdminProblem> {
    let ledger = ledger(&service);
    Ok(Json(ledger.describe(&ledger.key(&kid).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GenerateKey {
    /// The profile that the key will sign for.
    profile: String,
    /// What people will call it; it is `CKA_LABEL` in the HSM.
    #[serde(default)]
    #[schema(max_length = 64)]
    label: Option<String>,
}

/// Generate a key
///
/// Inside the HSM; it is published as a standby, and can sign when every verifier may know it.
#[utoipa::path(post, path = "/admin/v1/keys", operation_id = "generateKey", tag = "keys",
    request_body = GenerateKey,
    responses((status = 201, description = "The key", body = KeyView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn generate(
    State(service): State<Shared>,
    Operator(person): Operator,
    Input(GenerateKey { profile, label }): Input<GenerateKey, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let slot = ledger(&service).slots().iter().find(|slot| slot.profile == profile);
    let slot = slot.ok_or_else(|| Problem::new(Code::NotFound, format!("no profile is called {profile:?}")).at("profile"))?;
    if let Some(label) = &label {
        check_label(label).map_err(|why| Problem::new(Code::FieldInvalid, format!("label {why}")).at("label"))?;
    }
    let key = service.issuer.registry().generate(slot, label.as_deref(), &person.actor()).await?;
    Ok((StatusCode::CREATED, Json(ledger(&service).describe(&key))).into_response())
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Activate {
    /// Do not wait until every verifier can know the key: only where no key of its profile signs.
    emergency: bool,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct ScheduleDestroy {
    /// Days until it is destroyed; 7 when absent.
    #[schema(minimum = 7, maximum = 30)]
    days: Option<u64>,
}

/// Nothing can be said beyond the step itself.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// Let a standby sign, and its predecessor retire
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:activate", operation_id = "activateKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Activate>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn activate(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(kid): Named<String>,
    OptionalJson(Activate { emergency }): OptionalJson<Activate, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    if emergency {
        // Verifiers may not know the key yet: what the table says of the step is not enough.
        person.needs(Role::Administrator)?;
        person.needs_proof()?;
    }
    take(&service, &kid, Command::Activate { emergency }, &person).await
}

/// Take a key out of the JWK Set whose tokens have all expired, or that never signed
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:retire", operation_id = "retireKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn retire(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(kid): Named<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::Retire, &person).await
}

/// Let a key sign no more, for the time being
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:suspend", operation_id = "suspendKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn suspend(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(kid): Named<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::Suspend, &person).await
}

/// End a suspension: the key signs again, or retires if another does meanwhile
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:resume", operation_id = "resumeKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn resume(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(kid): Named<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::Resume, &person).await
}

/// Somebody else may have the key: take it out at once, and let the standby sign
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:compromise", operation_id = "compromiseKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn compromise(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(kid): Named<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::Compromise, &person).await
}

/// Propose the destruction of a retired key, or approve what another person proposed
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:schedule-destroy", operation_id = "scheduleKeyDestruction", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<ScheduleDestroy>),
    responses((status = 200, description = "The second person's word: it is scheduled", body = StepView),
        (status = 202, description = "The first person's word: it waits for another person", body = ApprovalView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn schedule_destroy(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(kid): Named<String>,
    OptionalJson(ScheduleDestroy { days }): OptionalJson<ScheduleDestroy, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::ScheduleDestroy { days: days.unwrap_or(DAYS) }, &person).await
}

/// Call a destruction off
#[utoipa::path(post, path = "/admin/v1/keys/{kid}:cancel-destroy", operation_id = "cancelKeyDestruction", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    request_body(content = Option<Nothing>),
    responses((status = 200, description = "The key as it is now", body = StepView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn cancel_destroy(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(kid): Named<String>,
    OptionalJson(Nothing {}): OptionalJson<Nothing, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    take(&service, &kid, Command::CancelDestroy, &person).await
}

async fn take(service: &Shared, kid: &str, command: Command, person: &Person) -> Result<Response, AdminProblem> {
    answer(service, &ledger(service).command(kid, command, &person.actor()).await?).await
}

/// 202 for what waits for a second person. What changed is followed here at once, and elsewhere within the lease.
pub(super) async fn answer(service: &Shared, done: &Done) -> Result<Response, AdminProblem> {
    let status = if matches!(done, Done::Proposed(_)) { StatusCode::ACCEPTED } else { StatusCode::OK };
    // A compromised key is on the list now.
    service.courier.wake();
    service.issuer.registry().refresh().await?;
    Ok((status, Json(ledger(service).describe_done(done))).into_response())
}
