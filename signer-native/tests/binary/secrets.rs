//! Where secrets must not be: a whole run at the most talkative level, and then everything that was written is searched.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    agent::Agent,
    audit::Export,
    console::Browser,
    faults::change_pin,
    support::{AUDIENCE, Signer, run_with_input, until, write_private},
};

/// The words and environment of a process and of all that it started.
fn seen_from_outside(pid: u32, seen: &mut Vec<u8>) {
    for name in ["cmdline", "environ"] {
        seen.extend(fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default());
    }
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for children in tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()) {
        for child in children.split_whitespace() {
            seen_from_outside(child.parse().unwrap(), seen);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn holds(content: &[u8], secret: &str) -> bool {
    content.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// The console: its first code, an invitation that nobody takes, recovery codes used and guessed; a session and its token. What is
/// said about them is kept; gives the codes, and what sessions go by.
fn console_secrets(signer: &Signer, said: &mut Vec<String>) -> (Vec<String>, Vec<String>) {
    let code = signer.run(&["users", "setup-code"]).ok().trim().to_owned();
    let mut alice = Browser::new(signer);
    let done = alice.register(&json!({ "code": code, "name": "alice", "display_name": "Alice" }));
    assert_eq!(done.status, 201, "{done:?}");
    let done = done.json();
    let recovery: Vec<String> =
        done["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    let invitation = alice.post("/admin/v1/users", &json!({ "name": "bob", "role": "operator" }));
    assert_eq!(invitation.status, 201, "{invitation:?}");
    let mut console = vec![code, invitation.json()["code"].as_str().unwrap().to_owned()];
    let mut lost = Browser::new(signer);
    for (name, code) in [("bob", &recovery[0]), ("alice", &console[1]), ("alice", &recovery[1]), ("alice", &recovery[1])] {
        said.push(lost.post("/console/v1/recovery", &json!({ "name": name, "code": code })).body);
    }
    let mut sessions: Vec<String> = [&alice, &lost].into_iter().filter_map(|browser| browser.cookie.clone()).collect();
    assert_eq!(sessions.len(), 2, "a recovery code opens a session");
    // Answers to the browser hold the token that its own requests come with, and nothing else may.
    sessions.extend([alice.csrf.clone()]);
    console.extend(recovery);
    said.extend([alice.get("/admin/v1/users").body, alice.get("/admin/v1/audit?limit=100").body]);
    (console, sessions)
}

#[test]
fn no_secret_is_written_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        let text = text.replace("level = \"warn\"", "level = \"trace\"\nformat = \"json\"");
        let text = text.replace("[hsm]\n", "[hsm]\nprocesses = 1\n");
        let text = text.replace("[profiles.default]\n", "[profiles.default]\nmax_session = \"1h\"\n");
        format!("{text}\n[console]\n[listen.metrics]\naddress = \"{metrics}\"\n[enrolment]\nlifetime = \"1m\"\n")
    });
    let pin = fs::read_to_string(signer.path("pin_file")).unwrap().trim().to_owned();
    let mut seen = Vec::new();
    let mut said = Vec::new();
    let look = |seen: &mut Vec<u8>| {
        seen_from_outside(signer.pid(), seen);
        let mut stream = TcpStream::connect(metrics).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        stream.read_to_end(seen).unwrap();
    };

    // Tokens in every mode, renewed, refused, malformed; keys led through their life; checked by the doctor.
    let loopback = "0123456789abcdef0123456789abcdef";
    write_private(&folder.path().join("loopback"), loopback);
    let more = format!("listen = \"127.0.0.1:0\"\nsecret_file = {:?}", folder.path().join("loopback"));
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], &more);
    for mode in ["claims", "sd", "digest"] {
        let token =
            agent.token(&json!({ "profile": "default", "mode": mode, "audience": AUDIENCE, "claims": { "sub": "alice", "email": "a@example.com" } }));
        if mode != "digest" {
            agent.post("/v1/tokens/renew", &json!({ "token": token }));
        }
    }
    for body in ["{}", "nonsense", r#"{"profile":"none"}"#] {
        said.push(signer.ask(body).body);
    }
    look(&mut seen);
    for arguments in [["keys", "generate"].as_slice(), &["keys", "list"], &["doctor"], &["audit", "export"], &["agents", "list"]]
    {
        let told = signer.run(arguments);
        said.extend([told.out, told.err]);
    }

    // Codes: used, guessed, never used.
    let mut codes = BTreeSet::new();
    for name in ["comes-in", "stays-out"] {
        codes.insert(
            signer.run(&["agents", "invite", name, "--profile", "default", "--json"]).json()["code"].as_str().unwrap().to_owned(),
        );
    }
    let enroll = |code: &str, name: &str| {
        let out = folder.path().join(name);
        run_with_input(&["agent", "enroll", "--url", signer.text("issuer"), "--out", out.to_str().unwrap()], code.as_bytes())
    };
    let code = codes.first().unwrap();
    for name in ["once", "twice"] {
        let told = enroll(code, name);
        said.extend([told.out, told.err]);
    }
    let guessed = format!("{}.{}", "A".repeat(22), code.split_once('.').unwrap().1);
    let told = enroll(&guessed, "guessed");
    said.extend([told.out, told.err]);
    look(&mut seen);

    let (console, sessions) = console_secrets(&signer, &mut said);
    look(&mut seen);

    // The HSM refuses the PIN, and says so everywhere.
    change_pin(&signer, &pin, "another-pin-4711");
    for arguments in [["doctor"].as_slice(), &["keys", "generate"]] {
        let told = signer.run(arguments);
        assert_ne!(told.code, 0, "{told:?}");
        said.extend([told.out, told.err]);
    }
    change_pin(&signer, "another-pin-4711", &pin);
    let database = fs::read(signer.path("db")).unwrap();
    until("the log has something to say", || fs::metadata(folder.path().join("serve.log")).unwrap().len() > 10_000);
    drop(agent);
    let (dir, pin_file) = (signer.dir.clone(), signer.path("pin_file"));
    assert_eq!(signer.end(), Some(0));
    Export::of(&dir, folder.path(), "secrets").proves();

    let mut secrets = vec![("the PIN", pin), ("the loopback secret", loopback.to_owned())];
    // The second half of a code is the fingerprint of a public certificate.
    secrets.extend(codes.iter().map(|code| ("a one-time code", code.split_once('.').unwrap().0.to_owned())));
    // However they are typed.
    for code in console {
        let bare = code.replace('-', "");
        secrets.extend([("a console code", code.to_lowercase()), ("a console code", bare), ("a console code", code)]);
    }
    secrets.extend(sessions.into_iter().map(|session| ("a session", session)));
    let private = |path: &Path| path == pin_file || path == folder.path().join("loopback");
    let mut written = Vec::new();
    files(folder.path(), &mut written);
    assert!(written.len() > 10, "{written:?}");
    for (what, secret) in &secrets {
        assert!(secret.len() >= 8, "{what} is too short to be searched for");
        for path in written.iter().filter(|path| !private(path)) {
            assert!(!holds(&fs::read(path).unwrap(), secret), "{what} is in {}", path.display());
        }
        assert!(!holds(&database, secret), "{what} is in the store");
        assert!(!holds(&seen, secret), "{what} is in arguments, environment or metrics");
        for text in &said {
            assert!(!text.contains(secret.as_str()), "{what} was said: {text}");
        }
    }
    // What is searched is what there is: the log knows the agents, the store their names, the arguments the command.
    assert!(holds(&fs::read(folder.path().join("serve.log")).unwrap(), "demo-app"));
    assert!(holds(&seen, "serve") && holds(&seen, "edgeseal_tokens_total"));
}
