//! `/metrics` as Prometheus asks for it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use tempfile::tempdir;

use crate::support::{AUDIENCE, Signer, edgeseal, until};

/// Head and body of what is answered.
fn ask(address: &str, what: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn scrape(address: &str) -> String {
    let (head, body) = ask(address, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    body
}

/// The value of the sample that begins so.
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn numbers_for_prometheus() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let file = dir.join("metrics.toml");
    let text = fs::read_to_string(dir.join("edgeseal.toml")).unwrap();
    fs::write(&file, format!("{text}\n[listen.metrics]\naddress = \"{address}\"\n")).unwrap();
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file);
    let signer = Signer::serve(command, &folder.path().join("metrics.log"), ready, dir);

    for _ in 0..3 {
        signer.issue("default");
    }
    let body = format!("{{\"profile\":\"no-such-profile\",\"audience\":{AUDIENCE:?}}}");
    signer.ask(&body).problem(403, "policy_denied");
    let renewal = format!("{{\"token\":{:?}}}", signer.issue("default"));
    let renewed = signer.agents("POST", "/v1/tokens/renew", &[("content-type", "application/json")], renewal.as_bytes());
    renewed.problem(403, "policy_denied");
    until("the canary was counted", || sample(&scrape(&address), "edgeseal_ready ") > 0.0);
    let text = scrape(&address);
    let is = |name: &str, value: f64| assert!((sample(&text, name) - value).abs() < 1e-9, "{name}: {text}");
    is("edgeseal_tokens_total{profile=\"default\",mode=\"claims\",outcome=\"issued\"}", 4.0);
    is("edgeseal_tokens_total{profile=\"default\",mode=\"renewal\",outcome=\"policy_denied\"}", 1.0);
    is("edgeseal_tokens_total{profile=\"none\",mode=\"claims\",outcome=\"policy_denied\"}", 1.0);
    is("edgeseal_hsm_breaker ", 0.0);
    is("edgeseal_keys{state=\"active\"}", 2.0);
    for phase in ["policy", "audit", "sign", "check"] {
        is(&format!("edgeseal_issue_seconds_count{{phase=\"{phase}\"}}"), 4.0);
    }
    is("edgeseal_request_seconds_count{route=\"/v1/tokens\",status=\"200\"}", 4.0);
    assert!(sample(&text, "edgeseal_hsm_signatures_total") >= 3.0, "{text}");
    assert!(sample(&text, "edgeseal_registry_age_seconds") < 60.0, "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for secret in ["no-such-profile", "alice", AUDIENCE, fs::read_to_string(signer.path("pin_file")).unwrap().trim()] {
        assert!(!text.contains(secret), "{secret}");
    }
    // What dashboard and alarms ask for is there.
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for file in ["grafana.json", "alerts.yml"] {
        let wanted = fs::read_to_string(deploy.join(file)).unwrap();
        let mut names: Vec<&str> = wanted
            .split(|character: char| !(character.is_ascii_lowercase() || character == '_'))
            .filter(|word| word.starts_with("edgeseal_"))
            .collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() > 5, "{names:?}");
        for name in names {
            assert!(text.lines().any(|line| line.starts_with(name)), "{file} asks for {name}");
        }
    }
    for (what, status, code) in [("GET /", 404, "not_found"), ("POST /metrics", 405, "method_not_allowed")] {
        let (head, body) = ask(&address, what);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("application/problem+json"), "{head}");
        assert!(body.contains(&format!("\"code\":{code:?}")), "{body}");
    }
    assert_eq!(signer.public("/metrics", &[]).status, 404, "numbers are not for everybody");
}

#[test]
fn dev_says_where_its_numbers_are() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let url = signer.text("metrics");
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{url}");
    signer.issue("default");
    assert!(sample(&scrape(address), "edgeseal_tokens_total{") >= 1.0);
}
