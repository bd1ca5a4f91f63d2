//! The administrators' listener: the life of keys, who may ask for tokens, and what happened. Every handler takes a person whose
//! role allows it ([`super::person`]); the person's name is the actor that the audit keeps.

mod activity;
mod agents;
mod approvals;
mod audit;
mod issuers;
pub(super) mod keys;
mod profiles;
mod users;

use axum::{
    Extension, Router,
    middleware::{from_fn, from_fn_with_state, map_request},
    response::Response,
};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Shared, access, console,
    openapi::{self, Listener, Routes, find_step},
    pages,
    person::Auditor,
    public::method_not_allowed,
    revocations,
};
use crate::{keys::Ledger, metrics};

/// Octets of a request, unless the resource says another limit.
const MAX_BODY: usize = 16 * 1024;

/// Where a profile or an agent is written down: what stands in the configuration is changed there alone.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Origin {
    Configuration,
    Store,
}

/// The resources of administrators.
pub fn router(service: Shared, ending: watch::Receiver<bool>) -> Router {
    let (router, _) = routes().split_for_parts();
    // Each route has the table before it, whoever adds one: before a body is taken, and again when all of it is here.
    let router = router
        .route_layer(from_fn(access::guard))
        .route_layer(from_fn_with_state((service.clone(), access::LARGEST_BODY), access::identify_again))
        .route_layer(from_fn(access::guard))
        .method_not_allowed_fallback(method_not_allowed);
    let router = router.with_state(service.clone()).merge(console::router(service.clone())).merge(pages::router());
    let router = router.layer(Extension(activity::Ending(ending)));
    let router = router.layer(from_fn_with_state(service.clone(), access::identify));
    let router = router.layer(from_fn_with_state(service.clone(), metrics::count));
    let router = router.layer(from_fn_with_state(service, access::seal));
    // Around the router, since what it does to the path comes before the router reads it.
    Router::new().fallback_service(router).layer(map_request(find_step))
}

/// What is served, and its document.
pub fn routes() -> Routes {
    Routes::default()
        .routes(routes!(document))
        .merge(keys::routes())
        .merge(agents::routes())
        .merge(approvals::routes())
        .merge(audit::routes())
        .merge(activity::routes())
        .merge(issuers::routes())
        .merge(profiles::routes())
        .merge(revocations::administered())
        .merge(users::routes())
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi", tag = "about",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn document(_: Auditor) -> Response {
    openapi::answer(Listener::Admin)
}

fn ledger(service: &Shared) -> &Ledger {
    service.issuer.registry().ledger()
}
