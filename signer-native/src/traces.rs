//! What one request is known by: its id in every line of the log, and, where `traces.endpoint` says so, its spans for
//! OpenTelemetry (OTLP over HTTP, in JSON).
//!
//! A request's span has a child for each part of issuing a token. The caller's `traceparent` (W3C Trace Context) is its parent,
//! and decides whether it is kept; where there is none, `traces.sample` does. Nothing of a token or a claim is in a span.

use std::{
    cell::RefCell,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::http::{HeaderMap, HeaderValue};
use hyper::Method;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client;

/// Requests that wait to be exported; what comes beyond is dropped, since tracing may hold nobody up.
const QUEUE: usize = 1_024;
/// Requests of one export, and how long the first of them waits for others.
const GROUP: usize = 256;
const LINGER: Duration = Duration::from_secs(1);
/// One export.
const LIMIT: Duration = Duration::from_secs(10);
/// Octets of an answer that nobody reads.
const MAX_ANSWER: usize = 64 * 1024;
/// Children of one request: the parts of a whole batch.
const MAX_PARTS: usize = 4 * 128;

/// Where spans go, and how many of them.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// The base URL of a collector; spans go to `/v1/traces` below it.
    pub endpoint: String,
    /// The share of requests without a caller's decision that is kept, 0 to 1.
    pub sample: f64,
    /// TLS towards the collector, where the endpoint is `https`.
    pub tls: Option<Arc<ClientConfig>>,
}

/// The way to the exporter; without one nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    to: Option<(mpsc::Sender<Finished>, f64)>,
}

tokio::task_local! {
    static CURRENT: Current;
}

/// The request that this task answers.
struct Current {
    id: String,
    /// When and how long; none of a request that is not kept.
    parts: Option<RefCell<Vec<Part>>>,
}

struct Part {
    name: &'static str,
    ended: SystemTime,
    took: Duration,
}

/// What the caller said of its trace, or what was drawn for it.
struct Context {
    trace: [u8; 16],
    parent: Option<[u8; 8]>,
}

struct Finished {
    context: Context,
    name: String,
    route: String,
    method: Method,
    status: u16,
    id: String,
    began: SystemTime,
    took: Duration,
    parts: Vec<Part>,
}

/// The id of the request that this task answers.
pub(crate) fn request_id() -> Option<String> {
    CURRENT.try_with(|current| current.id.clone()).ok()
}

/// A part of the present request has just ended.
pub(crate) fn part(name: &'static str, took: Duration) {
    let _ = CURRENT.try_with(|current| {
        if let Some(parts) = &current.parts {
            let mut parts = parts.borrow_mut();
            if parts.len() < MAX_PARTS {
                parts.push(Part { name, ended: SystemTime::now(), took });
            }
        }
    });
}

impl Traces {
    /// Begins to export; must be called within a runtime.
    pub fn begin(config: TracesConfig) -> Self {
        let (sender, finished) = mpsc::channel(QUEUE);
        let sample = config.sample;
        tokio::spawn(export(config, finished));
        Self { to: Some((sender, sample)) }
    }

    /// Answers a request under this id. `told` gives its route and status afterwards.
    pub(crate) async fn request<T>(
        &self,
        id: &str,
        method: &Method,
        headers: &HeaderMap,
        answer: impl Future<Output = T>,
        told: impl FnOnce(&T) -> (String, u16),
    ) -> T {
        let kept = self.to.as_ref().and_then(|(sender, sample)| Some((sender, context(headers, *sample)?)));
        let (began, started) = (SystemTime::now(), Instant::now());
        let current = Current { id: id.to_owned(), parts: kept.is_some().then(RefCell::default) };
        let scope = Box::pin(CURRENT.scope(current, async {
            let answer = answer.await;
            let parts = CURRENT.with(|current| current.parts.as_ref().map(RefCell::take).unwrap_or_default());
            (answer, parts)
        }));
        let (answer, parts) = scope.await;
        if let Some((sender, context)) = kept {
            let (route, status) = told(&answer);
            let name = format!("{method} {route}");
            let (method, id, took) = (method.clone(), id.to_owned(), started.elapsed());
            // A full queue drops it.
            let _ = sender.try_send(Finished { context, name, route, method, status, id, began, took, parts });
        }
        answer
    }
}

/// The trace that a request belongs to, if it is kept.
fn context(headers: &HeaderMap, sample: f64) -> Option<Context> {
    let given = headers.get("traceparent").and_then(parent);
    if let Some((trace, parent, sampled)) = given {
        return sampled.then_some(Context { trace, parent: Some(parent) });
    }
    let (trace, drawn) = (random::<16>()?, random::<8>()?);
    // 53 bits are what a double holds.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = (u64::from_be_bytes(drawn) >> 11) as f64 / (1_u64 << 53) as f64;
    (share < sample).then_some(Context { trace, parent: None })
}

/// `00-<trace id>-<parent id>-<flags>` (W3C Trace Context, section 3.2); anything else is as if it were not there.
fn parent(value: &HeaderValue) -> Option<([u8; 16], [u8; 8], bool)> {
    let mut parts = value.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let version: [u8; 1] = octets(version)?;
    // Later versions may go on behind the flags.
    if version[0] == 0xff || (version[0] == 0 && parts.next().is_some()) {
        return None;
    }
    let (trace, parent, flags): ([u8; 16], [u8; 8], [u8; 1]) = (octets(trace)?, octets(parent)?, octets(flags)?);
    (trace != [0; 16] && parent != [0; 8]).then_some((trace, parent, flags[0] & 1 == 1))
}

fn octets<const COUNT: usize>(hex: &str) -> Option<[u8; COUNT]> {
    let lower = hex.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    if hex.len() != 2 * COUNT || !lower {
        return None;
    }
    let mut octets = [0; COUNT];
    for (octet, digits) in octets.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(octets)
}

fn random<const COUNT: usize>() -> Option<[u8; COUNT]> {
    let mut octets = [0; COUNT];
    getrandom::fill(&mut octets).ok()?;
    Some(octets)
}

async fn export(config: TracesConfig, mut finished: mpsc::Receiver<Finished>) {
    let url = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
    let instance = random::<8>().map_or_else(String::new, |octets| hex(&octets));
    let (mut group, mut failing) = (Vec::with_capacity(GROUP), false);
    while finished.recv_many(&mut group, GROUP).await > 0 {
        // Others share the way, if they come soon.
        let deadline = tokio::time::Instant::now() + LINGER;
        while group.len() < GROUP {
            let room = GROUP - group.len();
            match tokio::time::timeout_at(deadline, finished.recv_many(&mut group, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let body = document(&instance, group.drain(..)).to_string();
        let sent = client::request(Method::POST, &url, None, Some(body), config.tls.clone(), MAX_ANSWER, LIMIT).await;
        let trouble = match sent {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("{url} answered {}", answer.status)),
            Err(failure) => Some(failure.to_string()),
        };
        match &trouble {
            Some(reason) if !failing => tracing::warn!(reason, "traces.endpoint: spans are lost"),
            None if failing => tracing::info!("traces.endpoint takes spans again"),
            _ => {}
        }
        failing = trouble.is_some();
    }
}

/// `ExportTraceServiceRequest` in the JSON of OTLP 1.x: ids in hexadecimal, 64-bit numbers as texts.
fn document(instance: &str, finished: impl Iterator<Item = Finished>) -> Value {
    let spans: Vec<Value> = finished.flat_map(spans).collect();
    let resource = [
        text("service.name", "edgeseal-signer"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", instance),
    ];
    let scope = json!({ "name": "edgeseal", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceSpans": [{ "resource": { "attributes": resource }, "scopeSpans": [{ "scope": scope, "spans": spans }] }] })
}

fn spans(finished: Finished) -> Vec<Value> {
    const INTERNAL: u8 = 1;
    const SERVER: u8 = 2;
    const ERROR: u8 = 2;
    let Finished { context: Context { trace, parent }, name, route, method, status, id, began, took, parts } = finished;
    let (trace, own) = (hex(&trace), hex(&random::<8>().unwrap_or_default()));
    let mut request = json!({
        "traceId": trace, "spanId": own, "name": name, "kind": SERVER,
        "startTimeUnixNano": nanoseconds(began), "endTimeUnixNano": nanoseconds(began + took),
        "attributes": [
            text("http.request.method", method.as_str()),
            text("http.route", &route),
            json!({ "key": "http.response.status_code", "value": { "intValue": status.to_string() } }),
            text("edgeseal.request_id", &id),
        ],
    });
    if let Some(parent) = parent {
        request["parentSpanId"] = hex(&parent).into();
    }
    if status >= 500 {
        request["status"] = json!({ "code": ERROR });
    }
    let children = parts.into_iter().map(|Part { name, ended, took }| {
        json!({
            "traceId": trace, "spanId": hex(&random::<8>().unwrap_or_default()), "parentSpanId": own, "name": name, "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(ended - took), "endTimeUnixNano": nanoseconds(ended), "attributes": [],
        })
    });
    std::iter::once(request).chain(children.collect::<Vec<_>>()).collect()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_decide_and_nonsense_does_not() {
        let read = |text: &str| parent(&HeaderValue::from_str(text).unwrap());
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        assert!(matches!(read(&format!("00-{trace}-{span}-01")), Some((_, _, true))));
        assert!(matches!(read(&format!("00-{trace}-{span}-00")), Some((_, _, false))));
        assert!(read(&format!("cc-{trace}-{span}-01-more")).is_some(), "a version to come");
        for wrong in [
            String::new(),
            format!("ff-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}0-{span}-01"),
        ] {
            assert!(read(&wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_kept() {
        let kept = |sample: f64| (0..2_000).filter(|_| context(&HeaderMap::new(), sample).is_some()).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 2_000));
        assert!((800..1_200).contains(&kept(0.5)));
    }
}
