//! Issuers: each has its own URL, JWK Set and discovery.

use axum::{Json, extract::State};
use edgeseal_core::Algorithm;
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, RefOr, Schema},
};
use utoipa_axum::routes;

use crate::{
    http::{Shared, openapi::Routes, person::Auditor, problem::AdminProblem, public::jwks_uri},
    keys::{Moment, algorithms},
};

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(list))
}

/// An issuer.
#[derive(Serialize, ToSchema)]
#[schema(as = Issuer)]
struct IssuerView {
    /// Its name in profiles; empty for the top-level one.
    name: String,
    /// `iss` of its tokens.
    issuer: String,
    /// Where its JWK Set is.
    jwks_uri: String,
    /// The algorithms of the keys that it shows.
    #[schema(schema_with = several_algorithms)]
    algorithms: Vec<Algorithm>,
    /// When its JWK Set changed last: a key came or left. Null while it never had one.
    #[schema(format = "date-time")]
    jwks_changed_at: Option<String>,
    /// By when every verifier that keeps to the declared delays goes by the set as it is now. How old the keys of one
    /// isolate are, the gateway's `/.edgeseal/health` says; nothing of it comes to the signer.
    #[schema(format = "date-time")]
    jwks_known_by: Option<String>,
}

fn several_algorithms() -> Schema {
    ArrayBuilder::new().items(RefOr::T(algorithms())).into()
}

/// All issuers.
#[derive(Serialize, ToSchema)]
struct Issuers {
    issuers: Vec<IssuerView>,
}

/// List the issuers
#[utoipa::path(get, path = "/admin/v1/issuers", operation_id = "listIssuers", tag = "issuers",
    responses((status = 200, description = "All issuers", body = Issuers)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Issuers>, AdminProblem> {
    let snapshot = service.issuer.registry().snapshot();
    let known_after = service.issuer.registry().timing().known_after();
    let shown = service.issuers.iter().map(|(name, url)| {
        let changed_at = snapshot.changed_at(name);
        IssuerView {
            name: name.clone(),
            issuer: url.clone(),
            jwks_uri: jwks_uri(url),
            algorithms: snapshot.document(name, None).map(|document| document.algorithms).unwrap_or_default(),
            jwks_changed_at: changed_at.map(|at| Moment(at).to_string()),
            jwks_known_by: changed_at.map(|at| Moment(at.plus_secs(known_after)).to_string()),
        }
    });
    Ok(Json(Issuers { issuers: shown.collect() }))
}
