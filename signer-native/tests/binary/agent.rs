//! The daemon beside an application: what it gives, what it keeps, whom it turns away.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixStream,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ClientConnection, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};

use crate::{
    faults::Prepared,
    support::{AUDIENCE, Answer, Signer, client, edgeseal, exchange, until, write_private},
};

/// A running daemon; it ends with the test.
pub(crate) struct Agent {
    child: Child,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// A daemon in front of these signers, with the demonstration agent's certificate.
    pub(crate) fn start(folder: &Path, signer: &Signer, signers: &[&str], more: &str) -> Self {
        let (socket, file) = (folder.join("agent.sock"), folder.join("agent.toml"));
        fs::write(
            &file,
            format!(
                "[agent]\nsocket = {socket:?}\nsigners = {signers:?}\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n{more}\n",
                signer.path("ca"),
                signer.path("agent_cert"),
                signer.path("agent_key"),
            ),
        )
        .unwrap();
        Self::configured(folder)
    }

    /// A daemon on `agent.toml` and `agent.sock` of this folder.
    pub(crate) fn configured(folder: &Path) -> Self {
        let (socket, file, log) = (folder.join("agent.sock"), folder.join("agent.toml"), folder.join("agent.log"));
        let mut command = edgeseal();
        command.arg("agent").arg("--config").arg(&file);
        let output = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut agent = Self { child, socket, log };
        until("the agent listens", || {
            assert!(agent.child.try_wait().unwrap().is_none(), "the agent ended: {}", agent.log());
            UnixStream::connect(&agent.socket).is_ok()
        });
        agent
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let stream = UnixStream::connect(&self.socket).unwrap();
        exchange(stream, method, path, &[&[("host", "agent")], headers].concat(), body.to_string().as_bytes()).unwrap()
    }

    /// As `curl -d` asks: with a form's content type.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("content-type", "application/x-www-form-urlencoded")], body)
    }

    pub(crate) fn token(&self, body: &Value) -> String {
        let answer = self.post("/v1/tokens", body);
        assert_eq!(answer.status, 200, "{answer:?}, and the log: {}", self.log());
        answer.json()["token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signer's front that ends TLS, writes down what it hears, and passes it on: what an agent sends before TLS.
pub(crate) struct Recorder {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    pub(crate) fn before(signer: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tls = signer.dir.join("tls");
        let chain = vec![CertificateDer::from_pem_file(tls.join("server.crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(tls.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        let server = Arc::new(server);
        let identity = (signer.path("agent_cert"), signer.path("agent_key"));
        let mut onwards = client(&signer.path("ca"), Some((&identity.0, &identity.1))).unwrap();
        Arc::make_mut(&mut onwards).alpn_protocols = vec![b"h2".to_vec()];
        let port: u16 = signer.text("agent").rsplit_once(':').unwrap().1.parse().unwrap();
        let written = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, onwards, written) = (Arc::clone(&server), Arc::clone(&onwards), Arc::clone(&written));
                std::thread::spawn(move || {
                    let near = StreamOwned::new(ServerConnection::new(server).unwrap(), stream);
                    let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    let far = StreamOwned::new(ClientConnection::new(onwards, "localhost".try_into().unwrap()).unwrap(), far);
                    pass(near, far, &written);
                });
            }
        });
        Self { url, heard }
    }

    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

/// Both directions in turn, each for a moment, until one side is gone.
fn pass(
    mut near: StreamOwned<ServerConnection, TcpStream>,
    mut far: StreamOwned<ClientConnection, TcpStream>,
    heard: &Mutex<Vec<u8>>,
) {
    near.sock.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    far.sock.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut buffer = [0; 16_384];
    loop {
        match near.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                heard.lock().unwrap().extend_from_slice(&buffer[..count]);
                if far.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        match far.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if near.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn ask(mode: &str) -> Value {
    json!({
        "profile": "default", "mode": mode, "audience": AUDIENCE, "ttl": "10m",
        "claims": { "sub": "alice", "email": "alice@private.example", "address": { "city": "Private City" } },
    })
}

#[test]
fn private_claims_stay_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256", "--alg", "RS256"], |text| {
        text.replace("[profiles.default]\n", "[profiles.default]\nmax_session = \"1h\"\n")
    });
    let recorder = Recorder::before(&signer);
    // The first signer is not there: the second one serves.
    let agent = Agent::start(folder.path(), &signer, &["https://localhost:1", &recorder.url], "");

    let token = agent.token(&ask("sd"));
    let heard = recorder.heard();
    assert!(heard.contains("\"_sd\"") && heard.contains("alice"), "the recorder hears: {heard}");
    for private in ["email", "alice@private.example", "address", "Private City"] {
        assert!(!heard.contains(private), "{private} left the machine");
    }

    // The agent verifies, whole, with all disclosures; and knows whom the token is for.
    let verdict = agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json();
    assert_eq!(verdict["claims"]["email"], "alice@private.example", "{verdict}");
    assert_eq!(verdict["claims"]["address"]["city"], "Private City");
    let other = agent.post("/v1/verify", &json!({ "token": token, "audience": "https://other.example.com" }));
    other.problem(401, "audience_mismatch");
    agent.post("/v1/verify", &json!({ "token": "a.b.c", "audience": AUDIENCE }));
    let shown = agent.ask("GET", "/.well-known/jwks.json", &[], &Value::Null).json();
    let kid = &signer.ready["profiles"][0]["kid"];
    assert!(shown["keys"].as_array().unwrap().iter().any(|key| key["kid"] == *kid), "{shown}");

    // A renewal keeps the disclosures, and they still fit.
    let renewed = agent.post("/v1/tokens/renew", &json!({ "token": token })).json();
    let renewed = renewed["token"].as_str().unwrap();
    let verdict = agent.post("/v1/verify", &json!({ "token": renewed, "audience": AUDIENCE })).json();
    assert_eq!(verdict["claims"]["address"]["city"], "Private City", "{verdict}");
    assert!(!recorder.heard().contains("Private City"));

    // In mode claims the signer sees all of it, so the recorder proves itself.
    agent.token(&ask("claims"));
    assert!(recorder.heard().contains("Private City"));

    // Many at once come back each to its own asker, in fewer requests than there were.
    let before = recorder.heard().matches("\"requests\"").count();
    std::thread::scope(|scope| {
        for number in 0..100 {
            let agent = &agent;
            scope.spawn(move || {
                let request =
                    json!({ "profile": "default", "mode": "claims", "audience": AUDIENCE, "claims": { "number": number } });
                let token = agent.token(&request);
                let verdict = agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json();
                assert_eq!(verdict["claims"]["number"], number);
            });
        }
    });
    let batches = recorder.heard().matches("\"requests\"").count() - before;
    assert!(batches < 100, "100 requests went in {batches} batches");

    // A refusal is the signer's, passed on.
    let long = json!({ "profile": "default", "mode": "claims", "audience": AUDIENCE, "ttl": "2h" });
    assert_eq!(agent.post("/v1/tokens", &long).problem(403, "policy_denied"), "profile default allows at most 1h; 2h was asked");
    agent.post("/v1/tokens", &json!({ "profile": "none" })).problem(403, "policy_denied");
    agent.post("/v1/tokens", &json!({ "profile": "../x" })).problem(400, "request_malformed");

    // No name of a profile is longer, and a signer that is asked for it is not down for that.
    agent.post("/v1/tokens", &json!({ "profile": "x".repeat(17_000) })).problem(400, "request_malformed");
    assert!(!agent.log().replacen("a signer does not answer", "", 1).contains("a signer does not answer"), "{}", agent.log());
    // What the signer writes cannot be hidden from it, nor what no verifier takes from a disclosure.
    let hidden = |name: &str| {
        let claims = json!({ "sub": "alice", "email": "x", name: 1 });
        agent.post("/v1/tokens", &json!({ "profile": "default", "mode": "sd", "audience": AUDIENCE, "claims": claims }))
    };
    for name in ["iss", "exp", "nbf", "aud", "iat", "jti", "cnf"] {
        assert!(hidden(name).problem(403, "policy_denied").contains(name));
    }
    for name in ["status", "_sd", "..."] {
        assert!(hidden(name).problem(400, "request_malformed").contains(name));
    }
    // Nor what verifiers would take for digests, or find too long: nothing is handed out that they refuse, or lose something of.
    let in_sd = |claims: Value, clear: Value| {
        let request = json!({ "profile": "default", "mode": "sd", "audience": AUDIENCE, "claims": claims, "clear": clear });
        agent.post("/v1/tokens", &request)
    };
    for doc in [json!({ "_sd": ["x"], "a": 1 }), json!({ "_sd_alg": "x" }), json!(["a", { "...": "x" }])] {
        assert!(in_sd(json!({ "doc": doc }), json!([])).problem(400, "request_malformed").contains("claim doc"));
    }
    in_sd(json!({ "email": "x", "_sd": ["x"] }), json!(["_sd"])).problem(400, "request_malformed");
    let portrait = |octets: usize| in_sd(json!({ "portrait": "x".repeat(octets) }), json!([]));
    assert!(portrait(50_000).problem(422, "claims_unacceptable").contains("verifiers take 65536"));
    let long = portrait(48_000).json();
    let verdict = agent.post("/v1/verify", &json!({ "token": long["token"], "audience": AUDIENCE })).json();
    assert_eq!(verdict["claims"]["portrait"].as_str().unwrap().len(), 48_000);
    // Another profile of the same issuer is heard of: the keys at hand stay.
    let other = json!({ "profile": "rs256", "mode": "claims", "audience": AUDIENCE, "claims": { "sub": "alice" } });
    agent.token(&other);

    // Without any signer there are no tokens, and verification goes on.
    signer.kill();
    agent.post("/v1/tokens", &ask("claims")).problem(503, "signer_unavailable");
    let verdict = agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json();
    assert_eq!(verdict["claims"]["sub"], "alice", "{verdict}");
}

#[test]
fn a_signer_whose_hsm_is_gone_is_passed_by() {
    let prepared = Prepared::new("deadline = \"1s\"");
    // Another signer on the same token and the same store, whose module is well.
    let mut text = fs::read_to_string(prepared.dir.join("edgeseal.toml")).unwrap();
    let mut free = Vec::new();
    for listener in ["issuer", "agent", "admin"] {
        let port = prepared.ready[listener].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        text = text.replace(&format!("address = \"127.0.0.1:{port}\""), &format!("address = {address:?}"));
        free.push((other, address));
    }
    let addresses: Vec<String> = free.into_iter().map(|(_, address)| address).collect();
    let file = prepared.dir.join("healthy.toml");
    write_private(&file, &text);
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let healthy = Agent { child: command.spawn().unwrap(), socket: PathBuf::new(), log: PathBuf::new() };
    until("the other signer serves", || TcpStream::connect(&addresses[1]).is_ok());
    let faulty = prepared.serve(&[]);
    let second = format!("https://localhost:{}", addresses[1].rsplit_once(':').unwrap().1);
    let agent = Agent::start(faulty.folder.path(), &faulty.signer, &[faulty.signer.text("agent"), &second], "");
    let ask = json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice" } });
    agent.token(&ask);
    faulty.show("hang");
    for _ in 0..4 {
        agent.token(&ask);
    }
    assert!(agent.log().contains("nothing for any member of a batch"), "{}", agent.log());
    // Nobody else: then its answer is what there is.
    drop(healthy);
    until("the other signer is gone", || TcpStream::connect(&addresses[1]).is_err());
    agent.post("/v1/tokens", &ask).problem(503, "hsm_unavailable");
    faulty.end();
}

#[test]
fn a_digest_says_nothing_and_counts_nowhere_else() {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use sha2::{Digest as _, Sha256};

    let folder = tempfile::tempdir().unwrap();
    let signer =
        Signer::configured(folder.path(), &["--alg", "ES256", "--alg", "RS256", "--alg", "PS384", "--alg", "EdDSA"], |text| {
            let text = text.replace("[profiles.default]\n", "[profiles.default]\nmax_session = \"1h\"\n");
            let digests_alone = |text: String, profile: &str| {
                let header = format!("[profiles.{profile}]\nmodes = ");
                text.replace(&format!("{header}[\"claims\", \"sd\"]"), &format!("{header}[\"digest\"]"))
            };
            digests_alone(digests_alone(text, "rs256"), "ps384")
        });
    let recorder = Recorder::before(&signer);
    let agent = Agent::start(folder.path(), &signer, &[&recorder.url], "");
    let issuer = format!("{}/agents/demo-app", signer.text("issuer"));

    for (profile, algorithm) in [("default", "ES256"), ("rs256", "RS256"), ("ps384", "PS384")] {
        let mut request = ask("digest");
        request["profile"] = profile.into();
        let token = agent.token(&request);
        let verdict = agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json();
        assert_eq!((&verdict["claims"]["iss"], &verdict["claims"]["sub"]), (&json!(issuer), &json!("alice")), "{verdict}");
        // By the binary, as anybody: the agent's issuer has keys of its own, and the profile's issuer knows nothing of them.
        let verify = |issuer: &str| {
            crate::support::run(&[
                "verify",
                &token,
                "--issuer",
                issuer,
                "--audience",
                AUDIENCE,
                "--alg",
                algorithm,
                "--ca",
                signer.text("ca"),
                "--json",
            ])
        };
        assert_eq!(verify(&issuer).json()["verdict"], "accept");
        assert_eq!(verify(signer.text("issuer")).code, 1);
    }
    let heard = recorder.heard();
    assert!(heard.contains("\"digest\""), "the recorder hears: {heard}");
    for private in ["alice", "email", "address", "Private City"] {
        assert!(!heard.contains(private), "{private} left the machine");
    }

    // The keys say when they end, and stand in no other set.
    let own = signer.public("/agents/demo-app/.well-known/jwks.json", &[]).json();
    assert!(own["keys"].as_array().unwrap().iter().all(|key| key["exp"].is_u64()), "{own}");
    let profiles = signer.public("/.well-known/jwks.json", &[]).json();
    assert_eq!(kids(&own).len(), 3);
    assert!(kids(&own).iter().all(|kid| !kids(&profiles).contains(kid)));
    signer.public("/agents/other/.well-known/jwks.json", &[]).problem(404, "not_found");

    // An agent that lies about what it has signed: a token of the profile's issuer, for everybody, for ever.
    let described = signer.agents("GET", "/v1/profiles/default", &[], b"").json();
    let own_kid = described["digest"]["kid"].as_str().unwrap();
    let forged = |kid: &str| {
        let session = json!({ "agent": "demo-app", "start": 1_900_000_000_u64 });
        let claims = json!({
            "iss": signer.text("issuer"), "aud": AUDIENCE, "sub": "admin", "iat": 1_600_000_000, "exp": 4_000_000_000_u64, "jti": "x",
            "edgeseal_session": session,
        });
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        let input = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": kid, "typ": "JWT" })), part(&claims));
        let digest = Base64UrlUnpadded::encode_string(&Sha256::digest(&input));
        let body = json!({ "profile": "default", "digest": digest, "declared": { "sub": "alice" } });
        let json = [("content-type", "application/json")];
        let answer = signer.agents("POST", "/v1/signatures", &json, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["issuer"], issuer);
        format!("{input}.{}", answer.json()["signature"].as_str().unwrap())
    };
    for kid in [own_kid, signer.ready["profiles"][0]["kid"].as_str().unwrap()] {
        let token = forged(kid);
        assert_eq!(signer.verify(&token, "ES256").code, 1, "{token}");
        let renewal = json!({ "token": token }).to_string();
        let answer = signer.agents("POST", "/v1/tokens/renew", &[("content-type", "application/json")], renewal.as_bytes());
        answer.problem(422, "token_not_renewable");
    }

    // What is no digest, and where none is signed.
    let sign = |body: Value| {
        signer.agents("POST", "/v1/signatures", &[("content-type", "application/json")], body.to_string().as_bytes())
    };
    let short = Base64UrlUnpadded::encode_string(&[7; 31]);
    assert!(sign(json!({ "profile": "default", "digest": short })).problem(422, "digest_length").contains("32 octets"));
    sign(json!({ "profile": "default", "digest": "!" })).problem(422, "digest_length");
    sign(json!({ "profile": "ps384", "digest": Base64UrlUnpadded::encode_string(&[7; 32]) })).problem(422, "digest_length");
    let whole = Base64UrlUnpadded::encode_string(&[7; 32]);
    sign(json!({ "profile": "default", "digest": whole, "kid": "another" })).problem(409, "key_state");
    sign(json!({ "profile": "eddsa", "digest": whole })).problem(403, "policy_denied");
    sign(json!({ "profile": "none", "digest": whole })).problem(403, "policy_denied");
    let in_claims = json!({ "profile": "default", "mode": "digest", "digest": whole });
    signer.ask(&in_claims.to_string()).problem(400, "request_malformed");
    // A profile that has only this mode gives nobody a token of its own issuer.
    signer.ask(&json!({ "profile": "rs256", "audience": AUDIENCE }).to_string()).problem(403, "policy_denied");
}

fn kids(set: &Value) -> Vec<Value> {
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

#[test]
fn who_only_verifies_asks_for_no_token_first() {
    let folder = tempfile::tempdir().unwrap();
    // As `dev` sets it up, in which every mode is there.
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "RS256"]);
    let fresh = |name: &str, signers: &str| {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        Agent::start(&folder, &signer, &[signers], "")
    };
    let verify = |agent: &Agent, token: &str| agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE }));
    let jwks = |agent: &Agent| agent.ask("GET", "/.well-known/jwks.json", &[], &Value::Null);
    let own = || {
        let keys = signer.run(&["keys", "list", "--json"]).json();
        keys.as_array().unwrap().iter().filter(|key| key["agent"].is_string()).count()
    };
    let token = signer.issue("rs256");

    let agent = fresh("verifying", signer.text("agent"));
    assert_eq!(verify(&agent, &token).json()["claims"]["sub"], "alice");
    let (shown, published) = (jwks(&fresh("showing", signer.text("agent"))).json(), signer.public("/.well-known/jwks.json", &[]));
    assert_eq!(kids(&shown).len(), 2);
    assert!(kids(&published.json()).iter().all(|kid| kids(&shown).contains(kid)), "{shown}");
    assert_eq!(own(), 0, "no key is made for whoever only verifies");
    // Nobody's token is still nobody's.
    let forged = token.replacen(&token[..token.find('.').unwrap()], "eyJhbGciOiJub25lIn0", 1);
    assert_eq!(verify(&agent, &forged).status, 401);

    // Of what another daemon of this agent obtained, in each mode.
    let issuing = fresh("issuing", signer.text("agent"));
    let tokens = ["claims", "sd", "digest"].map(|mode| issuing.token(&ask(mode)));
    assert_eq!(own(), 1);
    let later = fresh("later", signer.text("agent"));
    for token in &tokens {
        assert_eq!(verify(&later, token).json()["claims"]["email"], "alice@private.example");
    }

    // Nobody who could say which issuers there are: 503, and no verdict. Who knows them goes on.
    let lonely = fresh("lonely", "https://localhost:1");
    verify(&lonely, &token).problem(503, "signer_unavailable");
    jwks(&lonely).problem(503, "signer_unavailable");
    signer.kill();
    assert_eq!(verify(&agent, &token).json()["claims"]["sub"], "alice");
    for token in &tokens {
        assert_eq!(verify(&later, token).json()["claims"]["email"], "alice@private.example");
    }
}

/// Core takes tokens of some types by name alone.
#[test]
fn a_reserved_typ_is_issued_renewed_and_verified() {
    let verify = |agent: &Agent, token: &str| agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE }));
    let started = |folder: &Path, algorithms: &[&str]| {
        Signer::configured(folder, algorithms, |text| {
            text.replace("[profiles.default]\n", "[profiles.default]\ntyp = \"logout+jwt\"\nmax_session = \"1h\"\n")
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let signer = started(folder.path(), &["--alg", "ES256"]);
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let other = Agent::start(&other, &signer, &[signer.text("agent")], "");
    for mode in ["claims", "sd", "digest"] {
        let token = agent.token(&ask(mode));
        // Also by who has asked for no token, and knows what the list of profiles says.
        for agent in [&agent, &other] {
            assert_eq!(verify(agent, &token).json()["claims"]["email"], "alice@private.example", "{mode}");
        }
        if mode != "digest" {
            let renewed = agent.post("/v1/tokens/renew", &json!({ "token": token })).json();
            let token = renewed["token"].as_str().unwrap_or_else(|| panic!("{mode}: {renewed}"));
            assert_eq!(verify(&agent, token).json()["claims"]["email"], "alice@private.example", "{mode}");
        }
    }

    // Tokens of another type of the same issuer are verified as ever.
    let folder = tempfile::tempdir().unwrap();
    let signer = started(folder.path(), &["--alg", "ES256", "--alg", "ES384"]);
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    let token = agent.token(&ask("claims"));
    assert_eq!(verify(&agent, &signer.issue("es384")).json()["claims"]["sub"], "alice");
    assert_eq!(verify(&agent, &token).json()["claims"]["email"], "alice@private.example");
}

/// Requests that share a batch, of which each alone is small enough.
#[test]
fn large_requests_are_nobody_else_s_refusal() {
    let prepared = Prepared::new("");
    let text = fs::read_to_string(&prepared.file).unwrap();
    fs::write(&prepared.file, text.replace(", \"*\"]", "]")).unwrap();
    let faulty = prepared.serve(&[]);
    let agent = Agent::start(faulty.folder.path(), &faulty.signer, &[faulty.signer.text("agent")], "");
    let at_once = |body: &Value| {
        std::thread::scope(|scope| {
            let asked: Vec<_> = (0..60).map(|_| scope.spawn(|| agent.post("/v1/tokens", body))).collect();
            asked.into_iter().map(|answer| answer.join().unwrap()).collect::<Vec<_>>()
        })
    };
    // A refusal names it, and writes each of these characters with seven.
    for answer in at_once(&json!({ "profile": "default", "audience": "\u{7f}".repeat(60_000) })) {
        answer.problem(403, "policy_denied");
        assert!(answer.body.len() < 8 * 1024);
    }
    for answer in at_once(&json!({ "profile": "default", "audience": AUDIENCE, "claims": { "large": "x".repeat(10_000) } })) {
        assert_eq!(answer.status, 200);
    }
    assert!(!agent.log().contains("WARN"), "{}", agent.log());
}

#[test]
fn whom_it_turns_away() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let secret = "0123456789abcdef0123456789abcdef";
    write_private(&folder.path().join("secret"), &format!("{secret}\n"));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = format!("listen = \"{free}\"\nsecret_file = {:?}", folder.path().join("secret"));
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], &more);
    assert_eq!(fs::metadata(&agent.socket).unwrap().permissions().mode() & 0o777, 0o660);

    let request = ask("claims");
    agent.token(&request);
    // A page of a browser, also one that DNS rebinding brought to this machine.
    agent.ask("POST", "/v1/tokens", &[("origin", "https://evil.example")], &request).problem(403, "origin_refused");
    agent.ask("POST", "/v1/tokens", &[("origin", "null")], &request).problem(403, "origin_refused");
    agent.ask("PUT", "/v1/tokens", &[], &request).problem(405, "method_not_allowed");
    agent.ask("GET", "/v1/elsewhere", &[], &request).problem(404, "not_found");

    let bearer = format!("Bearer {secret}");
    let tcp = |headers: &[(&str, &str)]| {
        exchange(TcpStream::connect(free).unwrap(), "POST", "/v1/tokens", headers, request.to_string().as_bytes()).unwrap()
    };
    let (host, json) = (free.to_string(), ("content-type", "application/json"));
    let (host, authorized) = (("host", host.as_str()), ("authorization", bearer.as_str()));
    assert_eq!(tcp(&[host, json, authorized]).status, 200);
    let nobody = tcp(&[host, json]);
    nobody.problem(401, "secret_required");
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"edgeseal\""));
    tcp(&[host, json, ("authorization", "Bearer 0123456789abcdef0123456789abcdee")]).problem(401, "secret_required");
    tcp(&[host, json, ("authorization", &format!("Bearer {secret}0"))]).problem(401, "secret_required");
    tcp(&[("host", "evil.example"), json, authorized]).problem(421, "host_refused");
    tcp(&[("host", "127.0.0.1"), json, authorized]).problem(421, "host_refused");
    tcp(&[host, json, authorized, ("origin", "http://localhost")]).problem(403, "origin_refused");
    tcp(&[host, authorized, ("content-type", "text/plain")]).problem(415, "unsupported_media_type");
    assert!(!agent.log().contains(secret), "the secret is in the log");

    // Another user, where the socket's mode was loosened by somebody.
    let owner = fs::metadata(&agent.socket).unwrap().uid();
    assert_eq!(owner, 0, "only root becomes another user: run the tests as root, or behind `unshare --map-root-user --map-auto`");
    fs::set_permissions(&agent.socket, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-s", "--unix-socket"]).arg(&agent.socket).args(["-d", "{}", "http://agent/v1/tokens"]);
    let said = curl.uid(65_534).gid(65_534).current_dir("/").output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(said["code"], "peer_refused", "{said}");

    // Two daemons on one socket, and what is no socket.
    let agent_toml = folder.path().join("agent.toml");
    crate::support::run(&["agent", "--config", agent_toml.to_str().unwrap()]).fails(5, "in use");
    let text = fs::read_to_string(&agent_toml).unwrap();
    let elsewhere = text.replace("127.0.0.1", "0.0.0.0");
    fs::write(&agent_toml, elsewhere).unwrap();
    crate::support::run(&["agent", "--config", agent_toml.to_str().unwrap()]).fails(3, "agent.listen is");
}
