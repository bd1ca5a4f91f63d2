//! Profiles: what tokens are like. Those of the configuration file are shown; those of the store can be created and changed.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{MAX_BODY, Origin, ledger};
use crate::{
    http::{
        Shared,
        input::{Json as Input, Named},
        openapi::{AlgorithmName, Routes, step},
        person::{Administrator, Auditor},
        problem::{AdminProblem, Code, Problem},
    },
    issue::{Known, Lifetime, Mode, ProfileSettings},
    keys::{Actor, Moment, now},
    store::ProfileRow,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(show, edit, delete))
        .routes(step(routes!(retire)))
        .routes(step(routes!(reinstate)))
}

/// A profile: all settings, those that were not given included.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileView {
    /// What requests call it.
    name: String,
    /// Where it is written down: what stands in the configuration is changed there alone.
    origin: Origin,
    /// Whether it can be changed in the configuration alone.
    read_only: bool,
    /// `iss` of its tokens.
    issuer: String,
    /// The issuer's name; empty for the top-level one.
    issuer_name: String,
    /// What its keys sign with.
    #[schema(value_type = AlgorithmName)]
    algorithm: edgeseal_core::Algorithm,
    /// Bits of its RSA keys; null for other algorithms.
    #[schema(required)]
    rsa_bits: Option<u16>,
    /// Seconds: the lifetime when none is asked for.
    default_lifetime: u64,
    /// Seconds: the longest lifetime.
    max_lifetime: u64,
    /// Who may accept its tokens.
    audiences: Vec<String>,
    /// The header's `typ`.
    #[schema(required)]
    typ: Option<String>,
    /// Seconds: the age of a key at which a standby takes over; null where none does by age.
    #[schema(required)]
    rotate_after: Option<u64>,
    /// Seconds: how long before its first signature a key is published at least; 0 for what the rules ask for anyway.
    publish_ahead: u64,
    /// What may be asked for.
    modes: Vec<Mode>,
    /// Seconds: how long after the first token the last renewal may live; null where tokens are not renewed.
    #[schema(required)]
    max_session: Option<u64>,
    /// Whether claims are checked by a JSON Schema of the configuration.
    has_schema: bool,
    /// The key that signs now; null when none does.
    #[schema(required)]
    kid: Option<String>,
    /// Since when nothing is signed for it any more; null while it is in use.
    #[schema(required, format = "date-time")]
    retired_at: Option<String>,
    /// The settings as they were given.
    settings: ProfileSettings,
}

/// All profiles, by name.
#[derive(Serialize, ToSchema)]
struct Profiles {
    /// By name.
    profiles: Vec<ProfileView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewProfile {
    /// 1 to 64 characters, each one of `a-z`, `0-9`, `.`, `_` and `-`.
    #[schema(pattern = "^[a-z0-9._-]{1,64}$")]
    name: String,
    /// What its tokens are like.
    settings: ProfileSettings,
}

/// List the profiles
#[utoipa::path(get, path = "/admin/v1/profiles", operation_id = "listProfiles", tag = "profiles",
    responses((status = 200, description = "All profiles, by name", body = Profiles)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Profiles>, AdminProblem> {
    let profiles = service.profiles.profiles();
    Ok(Json(Profiles { profiles: profiles.values().map(|known| view(&service, known)).collect() }))
}

/// Show a profile
#[utoipa::path(get, path = "/admin/v1/profiles/{profile}", operation_id = "getProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    responses((status = 200, description = "The profile", body = ProfileView)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(name): Named<String>) -> Result<Json<ProfileView>, AdminProblem> {
    Ok(Json(one(&service, &name)?))
}

/// Create a profile
///
/// Its first key is made by the signer that leads within some seconds, where rotation is automatic.
#[utoipa::path(post, path = "/admin/v1/profiles", operation_id = "createProfile", tag = "profiles",
    request_body = NewProfile,
    responses((status = 201, description = "The profile", body = ProfileView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn create(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Input(NewProfile { name, settings }): Input<NewProfile, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    crate::config::check_name("profiles", &name).map_err(|_| {
        Problem::new(Code::FieldInvalid, "name has 1 to 64 characters out of a-z, 0-9, - _ . and is not . or ..").at("name")
    })?;
    if service.profiles.profiles().contains_key(&name) {
        return Err(Problem::new(Code::Conflict, format!("a profile {name} is there already")).at("name").into());
    }
    let row = checked(&service, &name, &settings, &person.actor(), "profiles.create").await?;
    service.agents.store().create_profile(&row, now()).await?;
    service.profiles.refresh(&service.issuer).await?;
    Ok((StatusCode::CREATED, Json(one(&service, &name)?)).into_response())
}

/// Change a profile
///
/// All its settings at once. Keys remember the longest lifetime that it ever allowed.
#[utoipa::path(put, path = "/admin/v1/profiles/{profile}", operation_id = "editProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    request_body = ProfileSettings,
    responses((status = 200, description = "The profile", body = ProfileView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn edit(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
    Input(settings): Input<ProfileSettings, MAX_BODY>,
) -> Result<Json<ProfileView>, AdminProblem> {
    let ProfileView { retired_at, .. } = changeable(&service, &name, "changed")?;
    if let Some(at) = retired_at {
        let detail = format!("profile {name} is retired since {at}; reinstate it first");
        return Err(Problem::new(Code::StillNeeded, detail).into());
    }
    let row = checked(&service, &name, &settings, &person.actor(), "profiles.edit").await?;
    // Tokens of today's keys may live as long from now on: the keys must know before anybody asks for one.
    let longest = settings.profile(&name).map_err(Problem::from)?.max_lifetime.as_secs();
    service.issuer.registry().allow_lifetimes(&[(name.as_str(), longest)].into()).await?;
    service.agents.store().edit_profile(&row, now()).await?;
    service.profiles.refresh(&service.issuer).await?;
    Ok(Json(one(&service, &name)?))
}

/// Retire a profile
///
/// Nothing is signed for it any more. Its keys come to their end by themselves: what waited for its turn leaves the JWK Set, what
/// signed stays in it as long as tokens of it live. A name is free again when the last key is destroyed and the profile deleted.
#[utoipa::path(post, path = "/admin/v1/profiles/{profile}:retire", operation_id = "retireProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    responses((status = 200, description = "The profile", body = ProfileView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn retire(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
) -> Result<Json<ProfileView>, AdminProblem> {
    changeable(&service, &name, "taken out")?;
    ledger(&service).retire_profile(&name, &person.actor()).await?;
    service.profiles.refresh(&service.issuer).await?;
    Ok(Json(one(&service, &name)?))
}

/// Use a retired profile again
///
/// With new keys: those of before do not sign again.
#[utoipa::path(post, path = "/admin/v1/profiles/{profile}:reinstate", operation_id = "reinstateProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    responses((status = 200, description = "The profile", body = ProfileView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn reinstate(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
) -> Result<Json<ProfileView>, AdminProblem> {
    changeable(&service, &name, "changed")?;
    ledger(&service).reinstate_profile(&name, &person.actor()).await?;
    service.profiles.refresh(&service.issuer).await?;
    Ok(Json(one(&service, &name)?))
}

/// Delete a profile
///
/// Only one that is retired, that no agent's policy names, and whose keys are all destroyed: what is still needed, the problem says.
#[utoipa::path(delete, path = "/admin/v1/profiles/{profile}", operation_id = "deleteProfile", tag = "profiles",
    params(("profile" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn delete(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
) -> Result<StatusCode, AdminProblem> {
    changeable(&service, &name, "taken out")?;
    ledger(&service).delete_profile(&name, &person.actor()).await?;
    service.profiles.refresh(&service.issuer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A profile, if it stands in the store.
fn changeable(service: &Shared, name: &str, what: &str) -> Result<ProfileView, Problem> {
    let found = one(service, name)?;
    if found.read_only {
        let detail = format!("profiles.{name} stands in the signer's configuration file and is {what} there");
        return Err(Problem::new(Code::ReadOnly, detail));
    }
    Ok(found)
}

/// The row of a profile that can be meant, after the audit log knows of it.
async fn checked(
    service: &Shared,
    name: &str,
    settings: &ProfileSettings,
    actor: &Actor,
    action: &str,
) -> Result<ProfileRow, AdminProblem> {
    let slot = settings.slot(name, service.profiles.surroundings()).map_err(Problem::from)?;
    if !service.issuer.registry().supports(slot.algorithm, slot.rsa_bits) {
        let detail = format!("algorithm is {}, and the HSM does not have it", slot.algorithm);
        return Err(Problem::new(Code::FieldInvalid, detail).at("algorithm").into());
    }
    let text = serde_json::json!(settings).to_string();
    ledger(service).record(actor, action, name, &format!("{{\"settings\":{text}}}")).await?;
    Ok(ProfileRow { name: name.to_owned(), settings: text, retired_at: None })
}

fn one(service: &Shared, name: &str) -> Result<ProfileView, Problem> {
    let profiles = service.profiles.profiles();
    let known = profiles.get(name).ok_or_else(|| Problem::new(Code::NotFound, format!("no profile is called {name:?}")))?;
    Ok(view(service, known))
}

fn view(service: &Shared, known: &Known) -> ProfileView {
    let Known { settings, profile, slot, configured, retired_at } = known;
    let snapshot = service.issuer.registry().snapshot();
    ProfileView {
        name: profile.name.clone(),
        origin: if *configured { Origin::Configuration } else { Origin::Store },
        read_only: *configured,
        issuer: service.issuer.url_of(&profile.name),
        issuer_name: slot.issuer.clone(),
        algorithm: profile.algorithm,
        rsa_bits: matches!(crate::hsm::KeyKind::of(profile.algorithm, profile.rsa_bits), crate::hsm::KeyKind::Rsa(_))
            .then_some(profile.rsa_bits),
        default_lifetime: profile.default_lifetime.as_secs(),
        max_lifetime: profile.max_lifetime.as_secs(),
        audiences: profile.audiences.clone(),
        typ: profile.typ.clone(),
        rotate_after: slot.rotate_after,
        publish_ahead: slot.publish_ahead,
        modes: profile.modes.clone(),
        max_session: profile.max_session.map(Lifetime::as_secs),
        has_schema: service.issuer.schema(&profile.name).is_some(),
        kid: snapshot.active.get(&profile.name).filter(|key| service.issuer.signs_for(key, profile)).map(|key| key.kid.clone()),
        retired_at: retired_at.map(|at| Moment(at).to_string()),
        settings: settings.clone(),
    }
}
