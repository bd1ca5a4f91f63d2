//! Revocation on the signer's side: what commands and administrators revoke reaches an edge, signed by a key that signs nothing
//! else; the edge here is the test's own, and believes what core believes. The real Worker is in tests/e2e/revocation.test.mjs.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
};

use edgeseal_core::{
    JwkSet, SignatureBackend as _,
    backend::rustcrypto::RustCrypto,
    revocation::{Control, Revocations, Statement},
};
use edgeseal_signer::{
    keys::now,
    revocation::{Entry, Kind},
    store::{Store, StoreSettings},
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, ask as ask_as},
    agent::Agent,
    support::{AUDIENCE, Signer, client, request, run, until, write_private},
};

/// An edge that keeps what it is sent, and answers as it is told.
#[derive(Clone)]
struct Edge {
    url: String,
    documents: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<(u16, Option<u64>)>>,
}

impl Edge {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let edge = Self { url, documents: Arc::default(), answer: Arc::new(Mutex::new((200, None))) };
        let own = edge.clone();
        std::thread::spawn(move || listener.incoming().for_each(|stream| own.serve(&stream.unwrap())));
        edge
    }

    fn serve(&self, mut stream: &std::net::TcpStream) {
        let mut reader = BufReader::new(stream);
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.starts_with("POST") {
                assert!(line.starts_with("POST /.edgeseal/revocations "), "{line}");
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let document = body["document"].as_str().unwrap().to_owned();
        let (status, told) = *self.answer.lock().unwrap();
        let seq = told.unwrap_or_else(|| payload(&document)["seq"].as_u64().unwrap());
        self.documents.lock().unwrap().push(document);
        let bound = now().as_secs();
        let body = json!({ "seq": seq, "reread_by": bound + 12, "bound_by": bound + 30, "code": "told" }).to_string();
        let length = body.len();
        let _ = write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    }

    fn answers(&self, status: u16, seq: Option<u64>) {
        *self.answer.lock().unwrap() = (status, seq);
    }

    fn count(&self) -> usize {
        self.documents.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.documents.lock().unwrap().last().unwrap().clone()
    }
}

fn payload(document: &str) -> Value {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(document.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

fn signer(folder: &Path, edge: &Edge) -> Signer {
    let edges = format!("\n[edges.eu]\nurl = \"{}\"\nid = \"edge:eu\"\n", edge.url);
    // Its tokens may be renewed, so that what is revoked can be refused.
    let renewable = "[profiles.default]\nmax_session = \"1d\"";
    Signer::configured(folder, &["--alg", "ES256"], |text| text.replace("[profiles.default]", renewable) + &edges)
}

/// What an edge believes that pins these keys.
fn read(pinned: &Value, document: &str) -> Statement {
    let keys = json!({ "keys": pinned["control_keys"] }).to_string();
    let control = Control::new(pinned["edge"].as_str().unwrap(), JwkSet::from_json(&keys).unwrap()).unwrap();
    let pending = control.begin(document).unwrap();
    let answer = RustCrypto.verify(pending.input());
    control.finish(pending, answer, now()).unwrap()
}

fn with_store<T>(signer: &Signer, work: impl AsyncFnOnce(Store) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(Store::open(&StoreSettings::Sqlite(signer.path("db"))).await.unwrap()).await })
}

fn state(signer: &Signer) -> Value {
    signer.run(&["edges", "list", "--json"]).json()["edges"][0].clone()
}

fn renew(signer: &Signer, token: &str) -> (u16, Value) {
    let body = json!({ "token": token }).to_string();
    let answer = signer.agents("POST", "/v1/tokens/renew", &[("content-type", "application/json")], body.as_bytes());
    (answer.status, answer.json())
}

#[test]
fn what_is_revoked_reaches_the_edge() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    let signer = signer(folder.path(), &edge);
    // An edge that was never told anything is told the empty list.
    until("the edge is told", || state(&signer)["state"] == "current");
    let pinned = signer.run(&["edges", "pin", "eu", "--json"]).json();
    assert_eq!(pinned["control_keys"].as_array().unwrap().len(), 2, "current and next");
    assert_eq!(read(&pinned, &edge.last()).list, Revocations::default());
    let printed = signer.run(&["edges", "pin"]).ok();
    assert!(printed.contains("edge = \"edge:eu\"") && printed.contains("# next"), "{printed}");
    // Where an edge fetches it, the path of an issuer left out.
    let path = |pinned: &Value| pinned["url"].as_str().unwrap().strip_prefix(signer.text("issuer")).unwrap().to_owned();
    assert_eq!(signer.public(&path(&pinned), &[]).body, edge.last());
    let config = signer.dir.join("tenant.toml");
    let text = std::fs::read_to_string(signer.dir.join("edgeseal.toml")).unwrap();
    let issuer = format!("issuer = \"{}", signer.text("issuer"));
    assert!(text.contains(&issuer), "{text}");
    write_private(&config, &text.replace(&issuer, &format!("{issuer}/tenant")));
    let of_tenant = run(&["edges", "pin", "eu", "--json", "--config", &config.display().to_string()]).json();
    assert_eq!(of_tenant["url"], pinned["url"]);

    // The control keys are in no JWK Set, and no profile has one.
    let jwks = signer.public("/.well-known/jwks.json", &[]).body;
    for key in pinned["control_keys"].as_array().unwrap() {
        assert!(!jwks.contains(key["kid"].as_str().unwrap()));
    }
    let published = signer.public("/.well-known/edgeseal-revocations?edge=edge:eu", &[]);
    assert_eq!((published.status, published.header("content-type")), (200, Some("application/jwt")));
    assert_eq!(published.body, edge.last());
    assert_eq!(published.header("access-control-allow-origin"), None);
    assert_eq!(signer.public("/.well-known/edgeseal-revocations", &[]).body, edge.last(), "there is one edge");
    signer.public("/.well-known/edgeseal-revocations?edge=us", &[]).problem(404, "not_found");
    assert_eq!(signer.public("/.well-known/edgeseal-revocations?edge=edge%3Aeu", &[]).status, 200, "as others write it");

    // A token, by its jti: it is not renewed either, and others are.
    let (token, other) = (signer.issue("default"), signer.issue("default"));
    assert_eq!(renew(&signer, &token).0, 200);
    let jti = payload(&token)["jti"].as_str().unwrap().to_owned();
    let said = signer.run(&["revoke", "jti", &jti, "--json", "--yes"]).json();
    assert_eq!((&said["kind"], &said["edges"][0]["state"]), (&json!("jti"), &json!("current")), "{said}");
    let listed = payload(&edge.last());
    assert_eq!((&listed["jtis"][0]["jti"], &listed["jtis"][0]["iss"]), (&json!(jti), &json!(signer.text("issuer"))));
    let (status, problem) = renew(&signer, &token);
    assert_eq!((status, &problem["code"]), (422, &json!("token_not_renewable")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("jti is revoked"), "{problem}");
    assert_eq!(renew(&signer, &other).0, 200);

    // A subject: what it was issued until now. Its name is not in the public document.
    signer.run(&["revoke", "sub", "alice", "--yes"]).ok();
    assert!(renew(&signer, &other).1["detail"].as_str().unwrap().contains("sub is revoked"));
    assert!(!payload(&edge.last()).to_string().contains("alice"));
    until("a token of the next second is renewed", || renew(&signer, &signer.issue("default")).0 == 200);

    // A key: out of the JWK Set and on the list at once.
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap();
    signer.run(&["revoke", "kid", kid]).fails(2, "add --yes to mean it");
    let said = signer.run(&["revoke", "kid", kid, "--yes", "--json"]).json();
    assert_eq!((&said["state"], &said["edges"][0]["state"]), (&json!("compromised"), &json!("current")), "{said}");
    let listed = payload(&edge.last());
    assert_eq!((&listed["kids"][0]["kid"], &listed["kids"][0]["iss"]), (&json!(kid), &json!(signer.text("issuer"))));
    assert!(read(&pinned, &edge.last()).list.len() >= 3);
    assert!(said["edges"][0]["bound_by"].is_string());

    // Sequences rise strictly, whatever they were for.
    let seqs: Vec<u64> = edge.documents.lock().unwrap().iter().map(|one| payload(one)["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    let kinds: Vec<Value> = signer.run(&["revoke", "list", "--json"]).json()["revocations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    assert_eq!(kinds, [json!("kid"), json!("sub"), json!("jti")]);
    let export = signer.run(&["audit", "export"]).ok();
    for action in ["keys.compromise", "revocations.add", "revocations.sign"] {
        assert!(export.contains(action), "{action}");
    }
}

#[test]
fn a_token_of_a_compromised_key_is_not_renewed_by_what_the_signer_read_before() {
    let folder = tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        // It reads its keys again every quarter of this.
        text.replace("[profiles.default]", "[profiles.default]\nmax_session = \"1d\"")
            .replace("lease = \"1s\"", "lease = \"10s\"")
    });
    let token = signer.issue("default");
    assert_eq!(renew(&signer, &token).0, 200);
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap();
    signer.run(&["keys", "compromise", kid, "--yes"]).ok();
    let (status, problem) = renew(&signer, &token);
    assert_eq!((status, &problem["code"]), (422, &json!("token_not_renewable")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("kid is revoked"), "{problem}");
}

#[test]
fn what_an_agents_own_key_signed_is_revoked_as_such() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    let edges = format!("\n[edges.eu]\nurl = \"{}\"\nid = \"edge:eu\"\n", edge.url);
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| text + &edges);
    // Without a key there is nothing that could be meant.
    let by_agent = |agent: &str| signer.run(&["revoke", "jti", "x", "--agent", agent, "--yes"]);
    by_agent("demo-app").fails(1, "agent demo-app never had a key of its own at this issuer");
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    let request = json!({ "profile": "default", "mode": "digest", "audience": AUDIENCE, "claims": { "sub": "alice" } });
    let claims = payload(&agent.token(&request));
    let issuer = format!("{}/agents/demo-app", signer.text("issuer"));
    assert_eq!(claims["iss"], issuer);
    by_agent("nobody").fails(1, "agent nobody never had a key of its own at this issuer");

    let jti = claims["jti"].as_str().unwrap();
    let said = signer.run(&["revoke", "jti", jti, "--yes"]).ok();
    assert!(said.contains(&format!("the token {jti} of {} is revoked", signer.text("issuer"))), "{said}");
    let said = signer.run(&["revoke", "jti", jti, "--agent", "demo-app", "--yes", "--json"]).json();
    assert_eq!((&said["issuer"], &said["edges"][0]["state"]), (&json!(issuer), &json!("current")), "{said}");
    let listed = payload(&edge.last());
    let entry = listed["jtis"].as_array().unwrap().iter().find(|entry| entry["iss"] == issuer.as_str());
    let entry = entry.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(entry["jti"], jti);
    // The signer did not see the token's `exp`: it ends with its key at the latest.
    let until_then = signer.run(&["revoke", "list", "--json"]).json()["revocations"][0]["until"].clone();
    let month = edgeseal_signer::keys::Moment(now().plus_secs(30 * 86_400)).to_string();
    assert!(until_then.as_str().unwrap() >= month.as_str(), "{until_then} is before {month}");

    // What it was issued in all, over the wire; a key has its issuer by itself.
    let revoke = |body: Value| ask_as(&signer, ALICE, "POST", "/admin/v1/revocations", Some(body));
    let made = revoke(json!({ "kind": "sub", "value": "alice", "agent": "demo-app" }));
    assert_eq!((made.status, &made.json()["issuer"]), (201, &json!(issuer)), "{made:?}");
    revoke(json!({ "kind": "sub", "value": "alice", "agent": "nobody" })).problem(400, "request_malformed");
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap();
    revoke(json!({ "kind": "kid", "value": kid, "agent": "demo-app" })).problem(400, "request_malformed");
}

#[test]
fn an_edge_that_does_not_answer_is_asked_again() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    edge.answers(503, None);
    let signer = signer(folder.path(), &edge);
    until("a push fails", || state(&signer)["trouble"].is_string());
    let said = signer.run(&["revoke", "jti", "x", "--no-wait", "--yes"]).ok();
    assert!(said.contains("edge eu: not told yet") && said.contains("503"), "{said}");
    let before = edge.count();
    edge.answers(200, None);
    until("it is told", || state(&signer)["state"] == "current");
    assert!(edge.count() > before);
    assert_eq!(payload(&edge.last())["jtis"][0]["jti"], "x");

    // The edge knows a later sequence than the signer can have given out: the next document goes beyond it.
    let known = now().as_secs() + 5_000;
    edge.answers(409, Some(known));
    signer.run(&["revoke", "jti", "y", "--no-wait", "--yes"]).ok();
    until("the signer learns of it", || edge.count() > 0 && payload(&edge.last())["seq"].as_u64().unwrap() > known);
    edge.answers(200, None);
    until("it is told again", || state(&signer)["state"] == "current");
    // And an edge that lies about it moves nothing out of reach.
    edge.answers(409, Some(u64::MAX / 2));
    signer.run(&["revoke", "jti", "z", "--no-wait", "--yes"]).ok();
    until("the push fails", || state(&signer)["trouble"].is_string());
    edge.answers(200, None);
    until("it is told at last", || state(&signer)["state"] == "current");
    assert!(payload(&edge.last())["seq"].as_u64().unwrap() < known + 5_000);
}

#[test]
fn an_edge_that_lost_its_list_is_sent_it_with_the_next_document() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    let signer = signer(folder.path(), &edge);
    signer.run(&["revoke", "jti", "x", "--yes"]).ok();
    until("the edge is told", || state(&signer)["state"] == "current");
    let (before, said) = (edge.count(), state(&signer)["seq"].clone());
    // Nothing is revoked, and five minutes pass.
    let aged = with_store(&signer, async |store| {
        let mut row = store.edges().await.unwrap().remove(0);
        row.signed_at = edgeseal_core::Timestamp::from_secs(row.signed_at.as_secs() - 301);
        store.keep_document(&row).await
    });
    assert_eq!(aged, Ok(()));
    until("it is told again", || edge.count() > before && state(&signer)["seq"] != said);
    assert_eq!(payload(&edge.last())["jtis"][0]["jti"], "x");
    assert_eq!(state(&signer)["seq"], payload(&edge.last())["seq"]);
    // And a store that is restored goes on beyond what it gave out, unless it had given more than one a second.
    assert!(payload(&edge.last())["seq"].as_u64().unwrap() + 60 > now().as_secs());
}

#[test]
fn a_list_is_full_by_its_octets_and_has_room_for_keys() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    let signer = signer(folder.path(), &edge);
    until("the edge is told", || state(&signer)["state"] == "current");
    // JSON writes each of these with six octets: some two hundred fill the list.
    let jti = |number: usize| format!("{number:06}{}", "\u{1}".repeat(250));
    let add = async |store: &Store, number: usize| {
        let entry = Entry {
            kind: Kind::Jti,
            issuer: signer.text("issuer").to_owned(),
            value: jti(number),
            before: None,
            until: now().plus_secs(3_600),
            created_at: now(),
            actor: "test".to_owned(),
        };
        assert_eq!(store.revoke(&entry, |_| true).await, Ok(true));
    };
    with_store(&signer, async |store| {
        for number in 0..180 {
            add(&store, number).await;
        }
    });
    let full = (180..220).find(|number| signer.run(&["revoke", "jti", &jti(*number), "--no-wait", "--yes"]).code != 0).unwrap();
    signer
        .run(&["revoke", "jti", &jti(full), "--no-wait", "--yes"])
        .fails(1, "the list is full, but for what is kept free for keys");
    let listed = || signer.run(&["revoke", "list", "--json"]).json()["revocations"].as_array().unwrap().len();
    assert_eq!(listed(), full, "what was refused is not on it");
    // What was taken reaches the edge, and the compromise of a key does.
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap();
    signer.run(&["revoke", "kid", kid, "--yes", "--no-wait"]).ok();
    until("the edge is told of the key", || payload(&edge.last())["kids"][0]["kid"] == kid);
    assert_eq!(payload(&edge.last())["jtis"].as_array().unwrap().len(), full);

    // A list that no document holds, all the same: whoever asks is told why nobody is told.
    with_store(&signer, async |store| {
        for number in full..260 {
            add(&store, number).await;
        }
    });
    until("it is known why", || state(&signer)["trouble"].as_str().is_some_and(|why| why.contains("cannot be signed")));
    assert!(state(&signer)["trouble"].as_str().unwrap().contains("the document would have up to"), "{}", state(&signer));
}

#[test]
fn administrators_revoke_too() {
    let folder = tempdir().unwrap();
    let edge = Edge::start();
    let signer = signer(folder.path(), &edge);
    let ask = |method: &str, path: &str, body: Option<Value>| {
        let identity = &signer.ready["administrators"][0];
        let (certificate, key) = (identity["cert"].as_str().unwrap(), identity["key"].as_str().unwrap());
        let tls = client(&signer.path("ca"), Some((certificate.as_ref(), key.as_ref()))).unwrap();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        request(signer.text("admin"), tls, method, path, headers, body.as_bytes()).unwrap()
    };
    let revoke = |body: Value| ask("POST", "/admin/v1/revocations", Some(body));
    let made = revoke(json!({ "kind": "sub", "value": "alice", "before": "2026-01-01T00:00:00Z" }));
    made.problem(400, "request_malformed");
    let made = revoke(json!({ "kind": "jti", "value": "j-1" }));
    assert_eq!((made.status, &made.json()["value"]), (201, &json!("j-1")), "{made:?}");
    until("the edge is told", || edge.count() > 0 && payload(&edge.last())["jtis"][0]["jti"] == "j-1");
    assert_eq!(ask("GET", "/admin/v1/revocations", None).json()["revocations"][0]["value"], "j-1");
    until("it has acknowledged", || ask("GET", "/admin/v1/edges", None).json()["edges"][0]["state"] == "current");
    // What cannot be meant.
    for body in [
        json!({ "kind": "aud", "value": "x" }),
        json!({ "kind": "jti", "value": "" }),
        json!({ "kind": "jti", "value": "x", "issuer": "nope" }),
        json!({ "kind": "jti", "value": "x", "before": "2026-01-01T00:00:00Z" }),
        json!({ "kind": "sub", "value": "x", "before": "yesterday" }),
        json!({ "kind": "sub", "value": "x", "before": "2999-01-01T00:00:00Z" }),
        json!({ "value": "x" }),
        json!({ "kind": "jti", "value": "x", "more": 1 }),
    ] {
        let answer = revoke(body.clone());
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    revoke(json!({ "kind": "kid", "value": "nope" })).problem(404, "not_found");
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap();
    assert_eq!(revoke(json!({ "kind": "kid", "value": kid })).json()["state"], "compromised");
    until("the edge is told of the key", || payload(&edge.last())["kids"][0]["kid"] == kid);
}

#[test]
fn mistakes_are_named() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    signer.run(&["edges", "pin"]).fails(2, "no edge is configured; add [edges.NAME]");
    signer.run(&["edges", "pin", "eu"]).fails(2, "no edge is called \"eu\"");
    signer.run(&["revoke", "jti", "x", "--issuer", "nope", "--yes"]).fails(1, "no issuer is called \"nope\"");
    signer.run(&["revoke", "jti", &"x".repeat(300), "--yes"]).fails(1, "a jti has 1 to 256 octets");
    signer.run(&["revoke", "sub", "x", "--before", "2999-01-01T00:00:00Z", "--yes"]).fails(1, "is to come");
    signer.run(&["revoke", "sub", "x", "--before", "2001-01-01T00:00:00Z", "--yes"]).fails(1, "every token issued before");
    signer
        .run(&["revoke", "jti", "x"])
        .fails(2, "the token x will be refused at every edge, which cannot be taken back: add --yes");
    signer.run(&["revoke", "sub", "x"]).fails(2, "what x was issued before now will be refused at every edge");
    assert_eq!(signer.run(&["revoke", "list", "--json"]).json()["revocations"], json!([]), "nothing was done");
    signer.run(&["revoke", "kid", "nope", "--yes"]).fails(1, "no key has the kid \"nope\"");
    let keys = signer.run(&["keys", "list", "--json"]).json();
    let audit = keys.as_array().unwrap().iter().find(|key| key["purpose"] == "audit").unwrap();
    signer.run(&["revoke", "kid", audit["kid"].as_str().unwrap(), "--yes"]).fails(1, "signs no tokens (audit)");
    signer.public("/.well-known/edgeseal-revocations", &[]).problem(404, "not_found");
    let said = signer.run(&["revoke", "jti", "x", "--yes"]);
    assert!(said.err.contains("no edge is configured"), "{said:?}");
}
