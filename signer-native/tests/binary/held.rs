//! Requests whose body is held back: who asks is decided when all of it has come, and a refusal that does not want it is not lost.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;
use tempfile::tempdir;

use crate::{
    admin::{ALICE, BOB, ask},
    agent::Agent,
    support::{AUDIENCE, Answer, Signer, client, connect, until},
};

/// A request that lacks the last octet of its body.
struct Held {
    stream: StreamOwned<ClientConnection, TcpStream>,
    last: String,
}

impl Held {
    /// Returns when the signer has read the head and waits for the body: it says so (RFC 9110 section 10.1.1).
    fn new(base: &str, tls: Arc<ClientConfig>, path: &str, body: &str) -> Self {
        let authority = base.strip_prefix("https://").unwrap();
        let mut stream = connect(base, tls).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        let said = head_of(&mut stream);
        assert!(said.starts_with("HTTP/1.1 100"), "{said}");
        let (first, last) = body.split_at(body.len() - 1);
        stream.write_all(first.as_bytes()).unwrap();
        stream.flush().unwrap();
        Self { stream, last: last.to_owned() }
    }

    fn finish(mut self) -> Answer {
        self.stream.write_all(self.last.as_bytes()).unwrap();
        self.stream.flush().unwrap();
        let mut answer = Vec::new();
        // How the connection ends says nothing about the answer.
        let _ = self.stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

#[test]
fn an_agent_that_is_revoked_meanwhile_gets_nothing() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let request = json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice" } });
    let batch = json!({ "requests": [request] });
    let identity = (signer.path("agent_cert"), signer.path("agent_key"));
    let hold = |path: &str, body: &str| {
        let tls = client(&signer.path("ca"), Some((&identity.0, &identity.1))).unwrap();
        Held::new(signer.text("agent"), tls, path, body)
    };
    assert_eq!(hold("/v1/tokens", &request.to_string()).finish().status, 200, "who is slow is not refused");
    let waiting = [("/v1/tokens", &request), ("/v1/tokens/batch", &batch)].map(|(path, body)| hold(path, &body.to_string()));
    let revoked = ask(&signer, ALICE, "POST", "/admin/v1/agents/demo-app:revoke", None);
    assert_eq!(revoked.status, 200, "{revoked:?}");
    until("the agent is revoked", || signer.ask(&request.to_string()).status == 403);
    for waiting in waiting {
        waiting.finish().problem(403, "agent_unknown");
    }
}

#[test]
fn a_person_whose_role_changes_meanwhile_has_the_new_one() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let alice = &signer.ready["administrators"][ALICE];
    let (certificate, key) = (Path::new(alice["cert"].as_str().unwrap()), Path::new(alice["key"].as_str().unwrap()));
    let hold = |name: &str| {
        let tls = client(&signer.path("ca"), Some((certificate, key))).unwrap();
        let body = json!({ "name": name, "role": "administrator" }).to_string();
        Held::new(signer.text("admin"), tls, "/admin/v1/users", &body)
    };
    let invited = hold("dora").finish();
    assert_eq!(invited.status, 201, "{invited:?}");
    let (one, two) = (hold("eve"), hold("frank"));
    let invitation = ask(&signer, BOB, "POST", "/admin/v1/users", Some(json!({ "name": "alice", "role": "operator" })));
    assert_eq!(invitation.status, 201, "{invitation:?}");
    one.finish().problem(403, "role_denied");
    assert_eq!(ask(&signer, BOB, "POST", "/admin/v1/users/alice:disable", None).status, 200);
    two.finish().problem(403, "admin_unknown");
    let users = ask(&signer, BOB, "GET", "/admin/v1/users", None).json();
    let names: Vec<&str> = users["users"].as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["alice", "dora"]);
}

/// The head of one answer.
fn head_of(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        let said = stream.read(&mut octet).unwrap_or_else(|error| panic!("{error}, after {}", String::from_utf8_lossy(&head)));
        assert_eq!(said, 1, "the connection ended after {:?}", String::from_utf8_lossy(&head));
        head.extend(octet);
    }
    String::from_utf8(head).unwrap()
}

/// The head of one answer, its body read as well.
fn answered(stream: &mut impl Read) -> String {
    let head = head_of(stream);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head
}

/// Refusals of requests whose body comes after the head, on one connection that stays open.
fn not_lost(mut stream: impl Read + Write, host: &str, refused: &[(&str, u16)]) {
    let chunked = format!("1000\r\n{}\r\n0\r\n\r\n", "x".repeat(4_096));
    let whole = "x".repeat(40_000);
    for (head, status) in refused {
        for (framing, body) in [("content-length: 40000", &whole), ("transfer-encoding: chunked", &chunked)] {
            write!(stream, "{head} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\n{framing}\r\n\r\n").unwrap();
            stream.flush().unwrap();
            // Long enough for an answer that does not wait.
            std::thread::park_timeout(Duration::from_millis(200));
            stream.write_all(body.as_bytes()).unwrap();
            stream.flush().unwrap();
            let answer = answered(&mut stream);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}, {framing}: {answer}");
            assert!(!answer.contains("connection: close"), "{head}, {framing}: {answer}");
        }
    }
    // Who asks first whether to send it is not waited for, and is told that nothing more is read.
    let (head, status) = refused[0];
    write!(stream, "{head} HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 40000\r\n\r\n").unwrap();
    stream.flush().unwrap();
    let answer = answered(&mut stream);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn a_refusal_reaches_whoever_still_sends_the_body() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let daemon = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    let connected = |listener: &str, identity: Option<(&str, &str)>| {
        let identity = identity.map(|(certificate, key)| (Path::new(certificate), Path::new(key)));
        connect(signer.text(listener), client(&signer.path("ca"), identity).unwrap()).unwrap()
    };
    let agent = Some((signer.text("agent_cert"), signer.text("agent_key")));
    let nowhere = [("POST /nowhere", 404), ("PUT /.well-known/jwks.json", 405)];
    not_lost(connected("issuer", None), "localhost", &nowhere);
    not_lost(connected("agent", agent), "localhost", &[("POST /nowhere", 404), ("POST /v1/tokens", 415)]);
    not_lost(connected("admin", None), "localhost", &[("POST /console/v1/login/finish", 403), ("POST /nowhere", 405)]);
    not_lost(std::os::unix::net::UnixStream::connect(&daemon.socket).unwrap(), "agent", &nowhere);

    // More than any route takes, of which most never comes.
    let mut stream = connected("issuer", None);
    write!(stream, "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\n\r\nx").unwrap();
    stream.flush().unwrap();
    let answer = answered(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("connection: close\r\n"), "{answer}");
}
