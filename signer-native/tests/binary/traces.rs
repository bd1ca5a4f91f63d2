//! Spans as a collector gets them (OTLP over HTTP, JSON), and the ids by which a request is found in the log.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{AUDIENCE, Signer, until};

/// A small collector: takes `ExportTraceServiceRequest` in JSON, refuses whatever is none, keeps the spans.
struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<Span>>>,
    answers: Arc<Mutex<u16>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Export {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeSpans {
    scope: Value,
    spans: Vec<Span>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "as OTLP names them")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(default)]
    parent_span_id: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attribute {
    key: String,
    value: BTreeMap<String, String>,
}

impl Span {
    fn attribute(&self, key: &str) -> &str {
        let found = self.attributes.iter().find(|attribute| attribute.key == key);
        found.unwrap_or_else(|| panic!("{key} is not in {self:?}")).value.values().next().unwrap()
    }

    fn times(&self) -> (u64, u64) {
        (self.start_time_unix_nano.parse().unwrap(), self.end_time_unix_nano.parse().unwrap())
    }
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (spans, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(200)));
        let (kept, answer) = (Arc::clone(&spans), Arc::clone(&answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let status = *answer.lock().unwrap();
                if let Some(mut found) = take(stream, status) {
                    kept.lock().unwrap().append(&mut found);
                }
            }
        });
        Self { endpoint, spans, answers }
    }

    fn of_request(&self, id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let is = |span: &&Span| span.kind == 2 && span.attribute("edgeseal.request_id") == id;
        let Some(own) = spans.iter().find(is) else { return Vec::new() };
        let below = spans.iter().filter(|span| span.parent_span_id.as_ref() == Some(&own.span_id));
        std::iter::once(own).chain(below).cloned().collect()
    }
}

/// One export; its spans if it was one and was taken.
fn take(stream: TcpStream, status: u16) -> Option<Vec<Span>> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        head.push(std::mem::take(&mut line).trim().to_ascii_lowercase());
    }
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = vec![0; field("content-length:")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let ours = head[0].starts_with("post /v1/traces ") && field("content-type:") == Some("application/json");
    let export: Option<Export> = serde_json::from_slice(&body).ok().filter(|_| ours);
    let status = if export.is_some() { status } else { 400 };
    write!(reader.get_mut(), "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}").ok()?;
    let mut spans = Vec::new();
    for resource in export.filter(|_| status == 200)?.resource_spans {
        let service = resource.resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        assert_eq!(service.value["stringValue"], "edgeseal-signer");
        for scope in resource.scope_spans {
            assert_eq!(scope.scope["name"], "edgeseal");
            spans.extend(scope.spans);
        }
    }
    Some(spans)
}

fn body() -> String {
    json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice@private.example" } }).to_string()
}

#[test]
fn a_collector_sees_where_time_goes_and_the_log_knows_the_request() {
    let folder = tempdir().unwrap();
    let collector = Collector::start();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        let text = text.replace("level = \"warn\"", "level = \"info\"\nformat = \"json\"");
        format!("{text}\n[traces]\nendpoint = {:?}\n", collector.endpoint)
    });
    let ask = |headers: &[(&str, &str)], body: &str| {
        signer.agents("POST", "/v1/tokens", &[&[("content-type", "application/json")], headers].concat(), body.as_bytes())
    };
    let answer = ask(&[], &body());
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = answer.header("x-request-id").unwrap().to_owned();
    until("its spans are there", || !collector.of_request(&id).is_empty());
    let spans = collector.of_request(&id);
    let (request, parts) = spans.split_first().unwrap();
    assert_eq!((request.name.as_str(), request.parent_span_id.as_deref()), ("POST /v1/tokens", None));
    assert_eq!((request.attribute("http.route"), request.attribute("http.response.status_code")), ("/v1/tokens", "200"));
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["policy", "audit", "sign", "check"]);
    let (begin, end) = request.times();
    let mut before = begin;
    for part in parts {
        assert_eq!((part.kind, &part.trace_id), (1, &request.trace_id));
        let (from, to) = part.times();
        // The clock of days and the one of spans differ by less than that.
        assert!(from + 2_000_000 >= before && from <= to && to <= end + 2_000_000, "{part:?} in {request:?}");
        before = from;
    }
    assert_eq!((request.trace_id.len(), request.span_id.len()), (32, 16));

    // The caller's trace goes on, and the caller may not want it.
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let kept = ask(&[("traceparent", &format!("00-{trace}-{span}-01"))], &body());
    let dropped = ask(&[("traceparent", &format!("00-{trace}-{span}-00"))], &body());
    let id = kept.header("x-request-id").unwrap().to_owned();
    until("the caller's trace is there", || !collector.of_request(&id).is_empty());
    let spans = collector.of_request(&id);
    assert_eq!((spans[0].trace_id.as_str(), spans[0].parent_span_id.as_deref()), (trace, Some(span)));

    // A refusal has the same id in its document, its header, its span and its lines in the log.
    let refused = ask(&[], &json!({ "profile": "none", "audience": AUDIENCE }).to_string());
    let id = refused.json()["request_id"].as_str().unwrap().to_owned();
    assert_eq!(refused.header("x-request-id"), Some(id.as_str()));
    until("the refusal is there", || !collector.of_request(&id).is_empty());
    let refusal = collector.of_request(&id).remove(0);
    assert_eq!(
        (refusal.attribute("http.response.status_code"), refusal.status.clone()),
        ("403", None),
        "the caller's fault is none of ours"
    );
    assert!(collector.of_request(dropped.header("x-request-id").unwrap()).is_empty());
    let log = fs::read_to_string(folder.path().join("serve.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| lines.iter().filter(|line| line["span"]["request_id"] == id).collect::<Vec<_>>();
    assert!(of(&id).iter().any(|line| line["fields"]["message"] == "refused"), "{log}");
    assert!(of(answer.header("x-request-id").unwrap()).iter().any(|line| line["fields"]["message"] == "issued"), "{log}");

    // Nothing of a token or a claim is in a span.
    let all = format!("{:?}", collector.spans.lock().unwrap());
    assert!(!all.contains("alice") && !all.contains("eyJ") && !all.contains(AUDIENCE), "{all}");

    // A collector that refuses holds nobody up, and is told of once.
    *collector.answers.lock().unwrap() = 503;
    for _ in 0..3 {
        assert_eq!(ask(&[], &body()).status, 200);
    }
    let lost = || fs::read_to_string(folder.path().join("serve.log")).unwrap().matches("spans are lost").count();
    until("it is told", || lost() == 1);
    *collector.answers.lock().unwrap() = 200;
    let id = ask(&[], &body()).header("x-request-id").unwrap().to_owned();
    until("spans come again", || !collector.of_request(&id).is_empty());
    assert_eq!(lost(), 1);
}

#[test]
fn settings_of_traces() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let file = signer.dir.join("traces.toml");
    for (settings, says) in [
        ("endpoint = \"127.0.0.1:4318\"", "traces.endpoint is"),
        ("endpoint = \"ftp://localhost\"", "traces.endpoint is"),
        ("endpoint = \"http://localhost:4318\"\nsample = 2.0", "traces.sample is 2"),
        ("endpoint = \"https://localhost:4318\"\nca = \"none.pem\"", "traces.ca"),
        ("url = \"http://localhost\"", "unknown field `url`"),
    ] {
        let text = fs::read_to_string(signer.dir.join("edgeseal.toml")).unwrap();
        crate::support::write_private(&file, &format!("{text}\n[traces]\n{settings}\n"));
        crate::support::run(&["serve", "--config", file.to_str().unwrap()]).fails(3, says);
    }
}
