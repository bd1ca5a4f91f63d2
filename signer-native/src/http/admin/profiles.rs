//! Profiles: what tokens are like.

use axum::{Json, extract::State};
use edgeseal_core::Algorithm;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::ledger;
use crate::{
    http::{Shared, openapi::Routes, person::Auditor, problem::AdminProblem},
    keys::algorithms,
};

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(list))
}

/// A profile.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileView {
    name: String,
    /// `iss` of its tokens.
    issuer: String,
    #[schema(schema_with = algorithms)]
    algorithm: Algorithm,
    /// Seconds.
    max_lifetime: u64,
    /// Seconds; null when it is not rotated by age.
    rotate_after: Option<u64>,
    /// The key that signs now; null when none does.
    kid: Option<String>,
}

/// All profiles.
#[derive(Serialize, ToSchema)]
struct Profiles {
    profiles: Vec<ProfileView>,
}

/// List the profiles
#[utoipa::path(get, path = "/admin/v1/profiles", operation_id = "listProfiles", tag = "profiles",
    responses((status = 200, description = "All profiles", body = Profiles)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Profiles>, AdminProblem> {
    let snapshot = service.issuer.registry().snapshot();
    let shown = ledger(&service).slots().iter().filter(|slot| slot.agent.is_none()).map(|slot| ProfileView {
        name: slot.profile.clone(),
        issuer: service.issuer.url_of(&slot.profile).to_owned(),
        algorithm: slot.algorithm,
        max_lifetime: slot.max_lifetime,
        rotate_after: slot.rotate_after,
        kid: snapshot.active.get(&slot.profile).map(|key| key.kid.clone()),
    });
    Ok(Json(Profiles { profiles: shown.collect() }))
}
