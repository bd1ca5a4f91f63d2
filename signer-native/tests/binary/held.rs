//! Requests whose body is held back: who asks is decided when all of it has come.

use std::{
    io::{Read as _, Write as _},
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
    support::{AUDIENCE, Answer, Signer, client, until},
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
        let port: u16 = authority.rsplit_once(':').unwrap().1.parse().unwrap();
        let connection = ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\nexpect: 100-continue\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            said.extend(octet);
        }
        assert!(said.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&said));
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
