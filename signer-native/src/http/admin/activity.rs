//! What the signer is doing: once, or as it goes on.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use edgeseal_core::Timestamp;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    activity::Issuance,
    hsm::{BreakerState, StoreStats},
    http::{
        Shared,
        input::Asked,
        openapi::Routes,
        person::Auditor,
        problem::{Code, Problem},
    },
    keys::{Moment, now},
};

/// How often it is told.
const EVERY: Duration = Duration::from_secs(1);
/// Seconds that a stream lasts unless it is said otherwise, and at most: whoever wants more asks again, and is looked at again.
const LONGEST: u32 = 300;

/// Becomes true when the process is told to end: a stream would otherwise keep it waiting.
#[derive(Clone)]
pub(crate) struct Ending(pub(crate) watch::Receiver<bool>);

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(snapshot)).routes(routes!(events))
}

/// What the signer is doing.
#[derive(Serialize, ToSchema)]
struct Activity {
    /// Now.
    #[schema(format = "date-time")]
    at: String,
    /// When this process began.
    #[schema(format = "date-time")]
    started_at: String,
    /// The version of this program.
    version: &'static str,
    /// Whether tokens are issued: the same as `/readyz`.
    ready: bool,
    /// Why not, if not.
    #[schema(required)]
    not_ready: Option<String>,
    /// Seconds since the registry of keys was read; above the lease, signing ends.
    #[schema(required)]
    registry_age: Option<f64>,
    /// What was issued, and how fast.
    issuance: Issuance,
    /// What the HSM is doing.
    hsm: HsmActivity,
}

/// What the HSM is doing, and has done since the process began.
#[derive(Serialize, ToSchema)]
struct HsmActivity {
    /// Where the module was loaded from.
    module: String,
    /// Its maker's name and version.
    library: String,
    /// The token's label.
    token: String,
    /// `closed`: calls get through; `half_open`: one is let through to see; `open`: none.
    breaker: Breaker,
    /// Worker processes alive; 0 when the module is in the signer's process.
    processes: u64,
    /// Threads in service, one session each.
    threads: u64,
    /// Threads that are in a call now.
    busy: u64,
    /// Threads in a call that overran its deadline.
    quarantined: u64,
    /// Calls that wait for a thread.
    queued: u64,
    /// Signatures made.
    signatures: u64,
    /// Calls that overran their deadline.
    deadlines: u64,
    /// Calls refused because the queue was full.
    overflows: u64,
    /// Calls that the breaker refused.
    held_back: u64,
    /// How often the module was started again.
    restarts: u64,
    /// How often the PIN was presented.
    logins: u64,
    /// Seconds since the last test signature that succeeded.
    #[schema(required)]
    canary_age: Option<f64>,
}

/// Whether calls get through to the HSM.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Breaker {
    Closed,
    HalfOpen,
    Open,
}

/// What the signer is doing now
#[utoipa::path(get, path = "/admin/v1/activity", operation_id = "getActivity", tag = "activity",
    responses((status = 200, description = "Rates, latencies, refusals and the HSM's state", body = Activity)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn snapshot(State(service): State<Shared>, _: Auditor) -> Json<Activity> {
    Json(look(&service))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Length {
    /// How long the stream lasts; 300 when absent.
    #[param(minimum = 1, maximum = 300)]
    seconds: Option<u32>,
}

/// The same every second
///
/// Server-sent events whose data is an `Activity` each. The stream ends after five minutes at the latest, for the client to ask
/// again.
#[utoipa::path(get, path = "/admin/v1/activity/events", operation_id = "watchActivity", tag = "activity",
    params(Length),
    responses((status = 200, description = "One event a second", content_type = "text/event-stream", body = String)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn events(
    State(service): State<Shared>,
    _: Auditor,
    Extension(Ending(ending)): Extension<Ending>,
    Asked(Length { seconds }): Asked<Length>,
) -> Result<Response, Problem> {
    let seconds = seconds.unwrap_or(LONGEST);
    if !(1..=LONGEST).contains(&seconds) {
        let detail = format!("seconds is {seconds}; it takes 1 to {LONGEST}");
        return Err(Problem::new(Code::RequestMalformed, detail).at("seconds"));
    }
    // Told at once, and then every second.
    let first = (service, ending, Duration::ZERO, seconds + 1);
    let next = async |(service, mut ending, pause, left): (Shared, watch::Receiver<bool>, Duration, u32)| {
        if left == 0 || *ending.borrow() {
            return None;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ending.wait_for(|ending| *ending) => return None,
        }
        let event = format!("data: {}\n\n", serde_json::json!(look(&service)));
        Some((Ok::<_, Infallible>(event), (service, ending, EVERY, left - 1)))
    };
    let body = Body::from_stream(stream::unfold(first, next));
    Ok(([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

fn look(service: &Shared) -> Activity {
    let registry = service.issuer.registry();
    let StoreStats {
        breaker,
        processes,
        threads,
        busy,
        quarantined,
        queued,
        signatures,
        deadlines,
        overflows,
        held_back,
        restarts,
        logins,
        retries: _,
    } = registry.hsm_stats();
    let (not_ready, snapshot) = (service.not_ready(), registry.snapshot());
    let hsm = &service.hsm;
    Activity {
        at: Moment(now()).to_string(),
        started_at: Moment(Timestamp::from_millis(service.activity.began_at())).to_string(),
        version: env!("CARGO_PKG_VERSION"),
        ready: not_ready.is_none(),
        not_ready,
        registry_age: snapshot.age().map(|age| age.as_secs_f64()),
        issuance: service.activity.issuance(),
        hsm: HsmActivity {
            module: hsm.module.clone(),
            library: hsm.library.clone(),
            token: hsm.token.clone(),
            breaker: match breaker {
                BreakerState::Closed => Breaker::Closed,
                BreakerState::HalfOpen => Breaker::HalfOpen,
                BreakerState::Open => Breaker::Open,
            },
            processes,
            threads,
            busy,
            quarantined,
            queued,
            signatures,
            deadlines,
            overflows,
            held_back,
            restarts,
            logins,
            canary_age: service.health.canary_age().map(|age| age.as_secs_f64()),
        },
    }
}
