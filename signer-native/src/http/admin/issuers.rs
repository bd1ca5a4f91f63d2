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
    keys::algorithms,
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
    let shown = service.issuers.iter().map(|(name, url)| IssuerView {
        name: name.clone(),
        issuer: url.clone(),
        jwks_uri: jwks_uri(url),
        algorithms: snapshot.document(name, None).map(|document| document.algorithms).unwrap_or_default(),
    });
    Ok(Json(Issuers { issuers: shown.collect() }))
}
