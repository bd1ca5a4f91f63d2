//! Numbers for Prometheus (`OpenMetrics` text): what was asked, how long each part took, how the HSM and the keys are.
//!
//! Labels are bounded: profiles, routes and codes of this configuration, never a subject, a `kid` or an address.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text::encode},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};

use tracing::Instrument as _;

use crate::{
    hsm::{BreakerState, StoreStats},
    http::{Shared, openapi::spelled_for_people, problem::request_id, public::Route},
    keys::{self, State as KeyState, now},
    traces,
};

/// Seconds, from a tenth of what a fast HSM takes to the longest that anybody waits.
const BUCKETS: [f64; 14] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Names and values.
type Labels = Vec<(&'static str, String)>;

/// A part of issuing a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Deciding whether, and what.
    Policy,
    /// Until the intent was in the audit log.
    Audit,
    /// The HSM's, waiting for a session included.
    Sign,
    /// Verifying the finished token.
    Check,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Audit => "audit",
            Self::Sign => "sign",
            Self::Check => "check",
        }
    }
}

/// What is counted while the signer works. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    tokens: Family<Labels, Counter>,
    phases: Family<Labels, Histogram, fn() -> Histogram>,
    requests: Family<Labels, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            tokens: Family::default(),
            phases: Family::new_with_constructor(histogram),
            requests: Family::new_with_constructor(histogram),
        }
    }
}

impl Metrics {
    /// A token was asked for; `outcome` is `issued` or why not.
    pub fn token(&self, profile: &str, mode: &str, outcome: &str) {
        let labels = vec![("profile", profile.to_owned()), ("mode", mode.to_owned()), ("outcome", outcome.to_owned())];
        self.tokens.get_or_create(&labels).inc();
    }

    /// A part of issuing took so long.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases.get_or_create(&vec![("phase", phase.as_str().to_owned())]).observe(took.as_secs_f64());
        traces::part(phase.as_str(), took);
    }

    fn request(&self, route: &str, status: u16, took: Duration) {
        let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("tokens", "Tokens asked for, by what came of it", self.tokens.clone());
        let help = "What issuing a token takes, part by part";
        registry.register_with_unit("issue", help, Unit::Seconds, self.phases.clone());
        let help = "Requests, from their head to the answer's head";
        registry.register_with_unit("request", help, Unit::Seconds, self.requests.clone());
    }
}

/// Counts every request of a router, and gives it an id that its answer, its lines in the log and its span have in common.
pub async fn count(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let (method, headers, id) = (request.method().clone(), request.headers().clone(), request_id());
    let span = tracing::info_span!("request", request_id = id);
    let answer = async {
        let response = next.run(request).await;
        let route = route.map(|route| spelled_for_people(&route));
        let elsewhere = response.extensions().get::<Route>().map(|route| route.0.to_owned());
        (elsewhere.or(route).unwrap_or_else(|| "none".to_owned()), response)
    };
    let told = |(route, response): &(String, Response)| (route.clone(), response.status().as_u16());
    let (route, mut response) = service.traces.request(&id, &method, &headers, answer.instrument(span), told).await;
    service.metrics.request(&route, response.status().as_u16(), began.elapsed());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// All numbers, as text.
pub async fn show(State(service): State<Shared>) -> Response {
    let mut registry = Registry::with_prefix("edgeseal");
    service.metrics.register(&mut registry);
    registry.register_collector(Box::new(Now(Arc::clone(&service))));
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut response = text.into_response();
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// What is so at the moment of asking.
struct Now(Shared);

impl fmt::Debug for Now {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let registry = self.0.issuer.registry();
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
            retries,
        } = registry.hsm_stats();
        let snapshot = registry.snapshot();
        let ready = i64::from(self.0.not_ready().is_none());
        let failing = i64::try_from(self.0.health.keys_failing()).unwrap_or(i64::MAX);
        let breaker = match breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let age = snapshot.age().map_or(-1.0, |age| age.as_secs_f64());
        for (name, help, value) in [
            ("ready", "1 when the signer can sign: the same as /readyz", ready),
            ("keys_failing", "Active keys whose last test signature failed while the HSM answered", failing),
            ("hsm_breaker", "0 calls get through, 1 one is let through to see, 2 none", breaker),
            ("hsm_processes", "Worker processes alive", number(processes)),
            ("hsm_threads", "HSM threads in service", number(threads)),
            ("hsm_threads_busy", "HSM threads in a call", number(busy)),
            ("hsm_threads_quarantined", "HSM threads in a call that overran its deadline", number(quarantined)),
            ("hsm_queue", "Calls that wait for an HSM thread", number(queued)),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let gauge = ConstGauge::new(age);
        let help = "How long ago the registry of keys was read; -1 before the first reading";
        gauge.encode(encoder.encode_descriptor("registry_age", help, Some(&Unit::Seconds), gauge.metric_type())?)?;
        for (name, help, value) in [
            ("hsm_signatures", "Signatures that the HSM made", signatures),
            ("hsm_deadlines", "HSM calls that overran their deadline", deadlines),
            ("hsm_overflows", "HSM calls refused because the queue was full", overflows),
            ("hsm_held_back", "HSM calls that the breaker refused", held_back),
            ("hsm_restarts", "The module was finalized and initialized again, or a worker process started again", restarts),
            ("hsm_logins", "The PIN was presented", logins),
            ("hsm_retries_handle", "Keys found again after a stale handle", retries.handle),
            ("hsm_retries_session", "Sessions replaced", retries.session),
            ("hsm_retries_module", "Calls repeated after a restart of the module", retries.module),
            ("hsm_retries_throttled", "Calls repeated after the HSM had too much to do", retries.throttled),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let family: Family<Labels, prometheus_client::metrics::gauge::Gauge> = Family::default();
        for state in KeyState::ALL {
            let count = snapshot.keys.iter().filter(|key| key.state == state).count();
            let gauge = family.get_or_create_owned(&vec![("state", state.as_str().to_owned())]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        family.encode(encoder.encode_descriptor("keys", "Keys by state", None, family.metric_type())?)?;
        let family: Family<Labels, prometheus_client::metrics::gauge::Gauge> = Family::default();
        // Agents' own keys are replaced by their end, not by their age.
        let of_profile = |key: &&keys::Key| key.purpose == keys::Purpose::Token && key.agent.is_none();
        for key in snapshot.keys.iter().filter(of_profile).filter(|key| key.state == KeyState::Active) {
            let Some(since) = key.activated_at else { continue };
            let gauge = family.get_or_create_owned(&vec![("profile", key.profile.clone())]);
            gauge.set(i64::try_from(now().millis_since(since) / 1_000).unwrap_or(i64::MAX));
        }
        let help = "How long the active key of a profile has been signing";
        family.encode(encoder.encode_descriptor("active_key_age", help, Some(&Unit::Seconds), family.metric_type())?)
    }
}
