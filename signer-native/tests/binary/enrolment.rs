//! How an agent comes in, stays, and is shown the door.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{
    admin::{ALICE, ask as ask_as},
    agent::Agent,
    faults::Faulty,
    support::{AUDIENCE, HeldDatabase, Said, Signer, client, connect, run_with_input, until, write_private},
};

fn signer(folder: &Path) -> Signer {
    Signer::configured(folder, &["--alg", "ES256"], |text| {
        // The HSM's authority alone: whoever has another's certificate is nobody.
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("client_ca") || line.contains("admin-ca")).collect();
        format!("{}\n[enrolment]\nlifetime = \"1m\"\n", text.join("\n"))
    })
}

pub(crate) fn invite(signer: &Signer, name: &str) -> String {
    let said = signer.run(&["agents", "invite", name, "--profile", "default", "--rate", "100", "--json"]).json();
    said["code"].as_str().unwrap().to_owned()
}

pub(crate) fn enroll(signer: &Signer, code: &str, out: &Path) -> Said {
    enroll_with(signer, code, out, &[])
}

pub(crate) fn enroll_with(signer: &Signer, code: &str, out: &Path, more: &[&str]) -> Said {
    let enroll = ["agent", "enroll", "--url", signer.text("issuer"), "--out", out.to_str().unwrap()];
    run_with_input(&[&enroll, more].concat(), format!("{code}\n").as_bytes())
}

pub(crate) fn ask() -> Value {
    json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice" } })
}

/// One connection for several requests.
pub(crate) struct Open(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Open {
    pub(crate) fn to(signer: &Signer, identity: &Path) -> Self {
        Self::with(signer, identity, identity)
    }

    pub(crate) fn with(signer: &Signer, certificate: &Path, key: &Path) -> Self {
        let tls = client(&signer.path("ca"), Some((certificate, key))).unwrap();
        Self(BufReader::new(connect(signer.text("agent"), tls).unwrap()))
    }

    pub(crate) fn send(&mut self, body: &Value) -> std::io::Result<()> {
        let body = body.to_string();
        let length = body.len();
        let head = format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        write!(self.0.get_mut(), "POST /v1/tokens HTTP/1.1\r\nhost: localhost\r\n{head}")?;
        self.0.get_mut().flush()
    }

    pub(crate) fn post(&mut self, body: &Value) -> std::io::Result<(u16, Value)> {
        self.send(body)?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
            if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap()))
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn an_agent_comes_in_stays_and_is_shown_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());
    let out = folder.path().join("app");
    let identity = out.join("agent.pem");

    // Without any authority in the store, nobody comes in.
    let code = invite(&signer, "new-app");
    let (secret, pin) = code.split_once('.').unwrap();

    // A signer that is another one does not get to see the code, so that it stays good.
    let other = format!("{}{}", if pin.starts_with('A') { "B" } else { "A" }, &pin[1..]);
    enroll(&signer, &format!("{secret}.{other}"), &out).fails(7, "TLS");
    // What is no code, and what was never given out.
    enroll(&signer, "nonsense", &out).fails(2, "one-time code");
    enroll(&signer, &format!("{}.{pin}", "A".repeat(22)), &out).fails(1, "code_refused");
    assert!(!identity.exists());

    let settings = enroll(&signer, &code, &out).ok();
    assert!(settings.contains("certificate = ") && settings.contains("ca = "), "{settings}");
    enroll(&signer, &code, &folder.path().join("thief")).fails(1, "code_refused");

    // A certificate of another authority is nobody's.
    let foreign = (signer.path("agent_cert"), signer.path("agent_key"));
    let tls = client(&signer.path("ca"), Some((&foreign.0, &foreign.1))).unwrap();
    let refused = crate::support::request(signer.text("agent"), tls, "GET", "/v1/profiles/default", &[], b"");
    assert!(refused.is_err(), "{refused:?}");

    // The daemon works with what the command printed, and renews its certificate: a minute is less than a third of its life.
    let socket = folder.path().join("agent.sock");
    let settings = settings
        .replace("/run/edgeseal/agent.sock", socket.to_str().unwrap())
        .replace("https://SIGNER:8444", signer.text("agent"));
    fs::write(folder.path().join("agent.toml"), &settings).unwrap();
    let first = fs::read_to_string(&identity).unwrap();
    let agent = Agent::configured(folder.path());
    let token = agent.token(&ask());
    assert_eq!(agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json()["claims"]["sub"], "alice");
    until("the certificate is renewed", || fs::read_to_string(&identity).unwrap() != first);
    agent.token(&ask());
    let renewed = fs::read_to_string(&identity).unwrap();
    assert_ne!(first.split("PRIVATE KEY").nth(1), renewed.split("PRIVATE KEY").nth(1), "the key is new as well");

    // Who was invited and has not enrolled may not ask; nor may one of the configuration that was revoked, before it has.
    invite(&signer, "later-app");
    signer.run(&["agents", "revoke", "demo-app", "--yes"]).ok();
    let standing = |name: &str| {
        let table = signer.run(&["agents", "list"]).ok();
        let row = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
        ["may ask", "invited until 2", "has to enrol", "not enrolled", "revoked 2"].into_iter().find(|state| row.contains(state))
    };
    assert_eq!(
        [standing("new-app"), standing("later-app"), standing("demo-app")],
        [Some("may ask"), Some("invited until 2"), Some("revoked 2")]
    );
    signer.run(&["agents", "invite", "demo-app"]).ok();
    assert_eq!(standing("demo-app"), Some("invited until 2"));
    let created = json!({ "name": "waiting-app", "policy": { "profiles": ["default"] } });
    assert_eq!(ask_as(&signer, ALICE, "POST", "/admin/v1/agents", Some(created)).status, 201);
    assert_eq!(standing("waiting-app"), Some("not enrolled"));

    let listed = signer.run(&["agents", "list", "--json"]).json();
    let demo = listed["agents"].as_array().unwrap().iter().find(|agent| agent["agent"] == "demo-app").unwrap();
    assert_eq!((&demo["must_enrol"], demo["invited_until"].is_string()), (&json!(true), true), "{demo}");
    let new_app = listed["agents"].as_array().unwrap().iter().find(|agent| agent["agent"] == "new-app").unwrap();
    assert_eq!((&new_app["origin"], &new_app["profiles"]), (&json!("invited"), &json!(["default"])));
    assert!(new_app["certificates"].as_u64().unwrap() >= 2, "{listed}");

    // Revocation ends open connections' rights too, and those of certificates before the present one.
    let old = folder.path().join("old.pem");
    fs::write(&old, &first).unwrap();
    let (mut open, mut older) = (Open::to(&signer, &identity), Open::to(&signer, &old));
    assert_eq!(open.post(&ask()).unwrap().0, 200);
    assert_eq!(older.post(&ask()).unwrap().0, 200);
    signer.run(&["agents", "revoke", "new-app"]).fails(2, "--yes");
    signer.run(&["agents", "revoke", "nobody", "--yes"]).fails(1, "no agent nobody");
    signer.run(&["agents", "revoke", "new-app", "--yes"]).ok();
    std::thread::park_timeout(std::time::Duration::from_millis(150));
    for connection in [&mut open, &mut older] {
        let (status, problem) = connection.post(&ask()).unwrap();
        assert_eq!((status, &problem["code"]), (403, &json!("agent_unknown")), "{problem}");
    }
    agent.post("/v1/tokens", &ask()).problem(403, "agent_unknown");

    // Let in again, with a new certificate alone.
    enroll(&signer, &invite(&signer, "new-app"), &folder.path().join("again")).ok();
    assert_eq!(Open::to(&signer, &folder.path().join("again/agent.pem")).post(&ask()).unwrap().0, 200);
    assert_eq!(Open::to(&signer, &old).post(&ask()).unwrap().0, 403);

    // A certificate is renewed once a day; who does it without end is told to wait.
    let again = folder.path().join("again/agent.pem");
    let renewal = json!({ "csr": edgeseal_signer::agent::renewal::fresh().unwrap().1 }).to_string();
    let renew = || {
        let json = [("content-type", "application/json")];
        signer.agents_as(&again, &again, "POST", "/v1/agents/renew", &json, renewal.as_bytes())
    };
    // One more is allowed each half a minute that this takes, so that only the first refusal is sure to be one.
    let mut accepted = 0;
    let refused = loop {
        let answer = renew();
        if answer.status != 200 || accepted == 20 {
            break answer;
        }
        accepted += 1;
    };
    refused.problem(429, "rate_exceeded");
    // Of the eight the daemon has had one or two.
    assert!(accepted >= 4, "{accepted}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // Under one Idempotency-Key there is one request, whatever came of it.
    let keyed = |body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
        signer.agents_as(&again, &again, "POST", "/v1/agents/renew", &headers, body.as_bytes())
    };
    assert_ne!(keyed(&renewal).status, 422);
    let other = json!({ "csr": edgeseal_signer::agent::renewal::fresh().unwrap().1 }).to_string();
    keyed(&other).problem(422, "idempotency_mismatch");

    // Invited again without a word about its policy, it may do what it might before.
    signer.run(&["agents", "invite", "new-app"]).ok();
    let policy = ask_as(&signer, ALICE, "GET", "/admin/v1/agents/new-app", None).json()["policy"].clone();
    assert_eq!((&policy["profiles"], &policy["rate"]), (&json!(["default"]), &json!(100)), "{policy}");

    // An authority whose key is compromised signs nothing more.
    let authorities = || -> Vec<(String, String)> {
        let keys = signer.run(&["keys", "list", "--all", "--json"]).json();
        let of_agents = keys.as_array().unwrap().iter().filter(|key| key["purpose"] == "ca");
        let mut found: Vec<(String, String)> =
            of_agents.map(|key| (key["state"].as_str().unwrap().to_owned(), key["kid"].as_str().unwrap().to_owned())).collect();
        found.sort_unstable();
        found
    };
    let (state, kid) = authorities().remove(0);
    assert_eq!((authorities().len(), state.as_str()), (1, "active"));
    // One that is suspended neither, and nothing instead of it until a person resumes it; the code stays good.
    let code = invite(&signer, "new-app");
    assert_eq!(ask_as(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:suspend"), None).status, 200);
    enroll(&signer, &code, &folder.path().join("suspended")).fails(1, "is suspended");
    assert_eq!(authorities(), [("suspended".to_owned(), kid.clone())]);
    assert_eq!(ask_as(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:resume"), None).status, 200);
    enroll(&signer, &code, &folder.path().join("resumed")).ok();
    let compromise = format!("/admin/v1/keys/{kid}:compromise");
    assert_eq!(ask_as(&signer, ALICE, "POST", &compromise, None).status, 200);
    enroll(&signer, &invite(&signer, "new-app"), &folder.path().join("later")).ok();
    let after = authorities();
    assert_eq!((after.len(), after[0].0.as_str(), &after[1]), (2, "active", &("compromised".to_owned(), kid)), "{after:?}");

    // A name of the configuration is invited as it stands there.
    signer.run(&["agents", "invite", "demo-app", "--profile", "default"]).fails(2, "stands in the configuration");
    signer.run(&["agents", "invite", "unheard-of"]).fails(2, "--profile");
    // With which it could ask for nothing is no invitation.
    for (flags, says) in [
        (&["--max-lifetime", "0s"][..], "--max-lifetime is 0"),
        (&["--audience", ""], "--audience is empty"),
        (&["--require-claim", "exp"], "--require-claim holds \"exp\", which no caller may set"),
        (&["--require-claim", "x", "--forbid-claim", "x"], "--forbid-claim holds \"x\""),
    ] {
        signer.run(&[&["agents", "invite", "other-app", "--profile", "default"], flags].concat()).fails(2, says);
    }
    signer.run(&["agents", "invite", "Up/per", "--profile", "default"]).fails(2, "agent \"Up/per\": a name has");

    // No code stands in a log or in the store.
    drop(agent);
    assert_eq!(signer.end(), Some(0));
    for file in files(folder.path()) {
        let content = fs::read(&file).unwrap();
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the code is in {}", file.display());
    }
}

#[test]
fn a_code_is_good_again_when_the_hsm_could_not_sign() {
    let faulty = Faulty::serve("deadline = \"1s\"");
    let out = faulty.folder.path().join("app");
    enroll(&faulty.signer, &invite(&faulty.signer, "first-app"), &out.join("first")).ok();
    let code = invite(&faulty.signer, "new-app");
    faulty.show("hang");
    for _ in 0..2 {
        enroll(&faulty.signer, &code, &out).fails(7, "hsm_unavailable");
    }
    faulty.end();
    until("it signs again", || faulty.ask().status == 200);
    enroll(&faulty.signer, &code, &out).ok();
    enroll(&faulty.signer, &code, &out.join("again")).fails(1, "code_refused");
}

#[test]
fn a_code_is_not_used_up_by_who_goes_away_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());
    enroll(&signer, &invite(&signer, "first-app"), &folder.path().join("first")).ok();
    let code = invite(&signer, "new-app");
    let (secret, _) = code.split_once('.').unwrap();
    let body = json!({ "code": secret, "csr": edgeseal_signer::agent::renewal::fresh().unwrap().1 }).to_string();
    // Its connection ends while the store is asked for the code.
    let lock = HeldDatabase::of(&signer);
    let mut connection = connect(signer.text("issuer"), client(&signer.path("ca"), None).unwrap()).unwrap();
    let head = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    write!(connection, "POST /v1/agents/enroll HTTP/1.1\r\n{head}\r\n\r\n{body}").unwrap();
    connection.flush().unwrap();
    std::thread::park_timeout(std::time::Duration::from_millis(500));
    drop(connection);
    std::thread::park_timeout(std::time::Duration::from_millis(500));
    drop(lock);
    let out = folder.path().join("app");
    until("the code is good again", || enroll(&signer, &code, &out).code == 0);
    enroll(&signer, &code, &folder.path().join("again")).fails(1, "code_refused");
}

#[test]
fn a_code_is_not_used_up_for_what_cannot_be_written_or_is_somebodys() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());
    let code = invite(&signer, "new-app");
    let out = folder.path().join("app");
    let (identity, ca) = (out.join("agent.pem"), out.join("ca.crt"));
    // Not even root makes a file there.
    enroll(&signer, &code, Path::new("/proc/self")).fails(8, "/proc/self/agent.pem cannot be written");
    fs::create_dir(&out).unwrap();
    fs::write(&ca, "somebody's").unwrap();
    enroll(&signer, &code, &out).fails(2, "without an agent.pem beside it; set another --out, or --replace to lose it");
    assert_eq!(fs::read_to_string(&ca).unwrap(), "somebody's");
    fs::remove_file(&ca).unwrap();
    enroll(&signer, &code, &out).ok();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2);

    // Of another agent, which would have no key any more.
    let first = fs::read_to_string(&identity).unwrap();
    let code = invite(&signer, "other-app");
    enroll(&signer, &code, &out).fails(2, "the certificate and the key of agent new-app until 2");
    assert_eq!(fs::read_to_string(&identity).unwrap(), first);
    enroll_with(&signer, &code, &out, &["--replace"]).ok();
    assert_ne!(fs::read_to_string(&identity).unwrap(), first);

    // What has ended is of no use, and what is no certificate may be.
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names.push(SanType::URI("urn:edgeseal:agent:old-app".try_into().unwrap()));
    params.not_after = std::time::UNIX_EPOCH.into();
    write_private(&identity, &params.self_signed(&pair).unwrap().pem());
    enroll(&signer, &invite(&signer, "old-app"), &out).ok();
    write_private(&identity, "notes");
    let code = invite(&signer, "old-app");
    enroll(&signer, &code, &out).fails(2, "and no certificate of an agent");
    enroll_with(&signer, &code, &out, &["--replace"]).ok();
}

#[test]
fn newcomers_are_told_of_the_authority_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        fs::copy(folder.path().join("dev/tls/server.crt"), folder.path().join("dev/tls/agents.crt")).unwrap();
        let (before, agents) = text.split_once("[listen.agents]").unwrap();
        format!("{before}[listen.agents]{}", agents.replacen("server.crt", "agents.crt", 1))
    });
    let tls = signer.dir.join("tls");
    let authority = |name: &str| {
        let out = folder.path().join(name);
        enroll(&signer, &invite(&signer, name), &out).ok();
        fs::read_to_string(out.join("ca.crt")).unwrap()
    };
    assert_eq!(authority("early").trim(), fs::read_to_string(tls.join("ca.crt")).unwrap().trim());
    let (chain, other) = (tls.join("agents.crt"), fs::read_to_string(tls.join("admin-ca.crt")).unwrap());
    let listener = fs::read_to_string(&chain).unwrap();
    let (leaf, _) = listener.split_at(listener.rfind("-----BEGIN").unwrap());
    fs::write(&chain, format!("{leaf}{other}")).unwrap();
    assert_eq!(authority("late").trim(), other.trim());
    // No code is used up while it cannot be said.
    let code = invite(&signer, "later");
    fs::write(&chain, "").unwrap();
    enroll(&signer, &code, &folder.path().join("later")).fails(7, "not_ready");
    fs::write(&chain, listener).unwrap();
    enroll(&signer, &code, &folder.path().join("later")).ok();
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).filter(|path| path.is_file()).collect()
}
