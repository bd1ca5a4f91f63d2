//! The life of keys.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use edgeseal_core::Jwk;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{MAX_BODY, ledger};
use crate::{
    hsm::{HsmAttribute, HsmError, KeyKind},
    http::{
        Shared,
        access::LARGEST_BODY,
        input::{Json as Input, Named, OptionalJson},
        openapi::{Routes, step},
        person::{Administrator, Auditor, Operator, Person, Role},
        problem::{AdminProblem, Code, Problem},
    },
    keys::{
        ActionView, ApprovalView, Command, Done, KeyView, Slot, StepView, check_label, public_key_pem,
        registry::RegistryError,
        shares::{Share, combine},
    },
};

/// Octets of all shares of a key of 4096 bits.
const MAX_IMPORT: usize = LARGEST_BODY;

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, generate))
        .routes(routes!(show))
        .routes(step(routes!(import)))
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
    /// The oldest first.
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

/// A key with all that there is to know about it.
#[derive(Serialize, ToSchema)]
struct KeyDetail {
    #[serde(flatten)]
    key: KeyView,
    /// The public JWK, as it stands in the JWK Set.
    #[schema(required, value_type = Option<Object>)]
    jwk: Option<Value>,
    /// The public key as PEM.
    #[schema(required)]
    pem: Option<String>,
    /// The steps that its state leads to.
    actions: Vec<ActionView>,
    /// What the HSM says of it, attribute by attribute; null when it could not be asked.
    #[schema(required)]
    hsm: Option<Vec<HsmAttribute>>,
    /// Why it could not be asked.
    #[schema(required)]
    hsm_trouble: Option<String>,
}

/// Show a key
#[utoipa::path(get, path = "/admin/v1/keys/{kid}", operation_id = "getKey", tag = "keys",
    params(("kid" = String, Path, description = "Its kid, or enough of the beginning")),
    responses((status = 200, description = "The key", body = KeyDetail)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(kid): Named<String>) -> Result<Json<KeyDetail>, AdminProblem> {
    let ledger = ledger(&service);
    let (keys, key) = (ledger.keys().await?, ledger.key(&kid).await?);
    let jwk = key.published.as_ref().map(|published| published.jwk.as_str());
    let pem = jwk.and_then(|jwk| Jwk::from_json(jwk).ok()).and_then(|jwk| public_key_pem(jwk.public_key()));
    // What there is to know elsewhere is shown while the HSM is down.
    let (hsm, hsm_trouble) = match service.issuer.registry().attributes(key.id).await {
        Ok(attributes) => (Some(attributes), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Json(KeyDetail {
        jwk: jwk.and_then(|jwk| serde_json::from_str(jwk).ok()),
        pem,
        actions: ledger.actions(&keys, &key),
        key: ledger.describe(&key),
        hsm,
        hsm_trouble,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportKey {
    /// The profile that the key will sign for.
    profile: String,
    /// What people will call it; it is `CKA_LABEL` in the HSM.
    #[serde(default)]
    #[schema(max_length = 64)]
    label: Option<String>,
    /// All shares of the key, as `edgeseal keys split` made them.
    #[schema(min_items = 2, max_items = 16)]
    shares: Vec<Share>,
}

/// Take in a key from its component shares
///
/// It is shown as imported for good: others may have a copy of it. Inside the HSM it does not leave again.
#[utoipa::path(post, path = "/admin/v1/keys:import", operation_id = "importKey", tag = "keys",
    request_body = ImportKey,
    responses((status = 201, description = "The key", body = KeyView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn import(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Input(ImportKey { profile, label, shares }): Input<ImportKey, MAX_IMPORT>,
) -> Result<Response, AdminProblem> {
    let slot = slot(&service, &profile)?;
    let private = combine(&shares).map_err(Problem::from)?;
    let (found, wanted) = (private.kind(), KeyKind::of(slot.algorithm, slot.rsa_bits));
    if found != wanted {
        let detail = format!("shares make a key that is {found}, and profile {profile} takes {wanted}");
        return Err(Problem::new(Code::FieldInvalid, detail).at("shares").into());
    }
    check(label.as_deref())?;
    let imported = service.issuer.registry().import_private(&slot, private, label.as_deref(), &person.actor()).await;
    let key = imported.map_err(not_made)?;
    follow(&service).await;
    Ok((StatusCode::CREATED, Json(ledger(&service).describe(&key))).into_response())
}

/// What the HSM does not have it will not have by waiting.
fn not_made(error: RegistryError) -> AdminProblem {
    match error {
        RegistryError::Hsm(HsmError::Unsupported(why)) => Problem::new(Code::FieldInvalid, why).at("profile").into(),
        other => other.into(),
    }
}

fn slot(service: &Shared, profile: &str) -> Result<Slot, Problem> {
    let slot = ledger(service).slots().iter().find(|slot| slot.profile == profile && slot.agent.is_none()).cloned();
    slot.ok_or_else(|| Problem::new(Code::NotFound, format!("no profile is called {profile:?}")).at("profile"))
}

fn check(label: Option<&str>) -> Result<(), Problem> {
    let checked = label.map_or(Ok(()), check_label);
    checked.map_err(|why| Problem::new(Code::FieldInvalid, format!("label {why}")).at("label"))
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
    let slot = slot(&service, &profile)?;
    check(label.as_deref())?;
    let generated = service.issuer.registry().generate(&slot, label.as_deref(), &person.actor()).await;
    let key = generated.map_err(not_made)?;
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
    /// Days until it is destroyed. When absent: 7 for a proposal, and for an approval what was proposed, which any other number
    /// is refused beside.
    #[schema(minimum = 7, maximum = 30)]
    days: Option<u64>,
}

/// Nothing can be said beyond the step itself.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Nothing {}

/// Let a standby sign, and its predecessor retire
///
/// In an emergency (`emergency`) it takes an administrator, with a passkey shown within `console.reauthenticate_after`, or a certificate.
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

/// Propose the destruction of a retired or compromised key, or approve what another person proposed
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
    answer(&service, &ledger(&service).schedule_destroy(&kid, days, &person.actor()).await?).await
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
    follow(service).await;
    Ok((status, Json(ledger(service).describe_done(done))).into_response())
}

/// Takes up at once what was changed. The change stands without it, and is followed within the lease.
pub(in crate::http) async fn follow(service: &Shared) {
    if let Err(error) = service.issuer.registry().refresh().await {
        tracing::warn!(%error, "a change of keys is followed later");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_try_again_what_the_hsm_does_not_have() {
        let status_and_wait = |error: HsmError| {
            let answer = not_made(error.into()).into_response();
            (answer.status(), answer.headers().contains_key("retry-after"))
        };
        assert_eq!(status_and_wait(HsmError::Unsupported("EdDSA".to_owned())), (StatusCode::UNPROCESSABLE_ENTITY, false));
        assert_eq!(status_and_wait(HsmError::Busy), (StatusCode::SERVICE_UNAVAILABLE, true));
    }
}
