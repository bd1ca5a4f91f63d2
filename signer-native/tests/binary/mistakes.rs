//! What bad input gets: one sentence that names the setting and the mend, a documented exit code, no panic, no partial state.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
};

use tempfile::tempdir;

use crate::support::{AUDIENCE, Signer, edgeseal, run, run_with_input, write_private};

/// A configuration that works, with its token, and nothing running on it.
fn configured(folder: &Path) -> (String, std::path::PathBuf) {
    let signer = Signer::dev(folder, &["--alg", "ES256"]);
    let dir = signer.dir.clone();
    assert_eq!(signer.end(), Some(0));
    (fs::read_to_string(dir.join("edgeseal.toml")).unwrap(), dir)
}

#[test]
fn configuration_mistakes() {
    let folder = tempdir().unwrap();
    let (text, dir) = configured(folder.path());
    let file = dir.join("mistake.toml");
    write_private(&dir.join("wrong-pin"), "wrong");
    write_private(&dir.join("empty-pin"), "");
    let with = |from: &str, to: &str| {
        let changed: Vec<String> =
            text.lines().map(|line| if line.starts_with(from) { to.to_owned() } else { line.to_owned() }).collect();
        assert_ne!(changed.join("\n"), text.trim_end(), "{from} is not in the file");
        fs::write(&file, changed.join("\n")).unwrap();
        let free = "127.0.0.1:0";
        run(&["serve", "--config", file.to_str().unwrap(), "--public", free, "--agents", free, "--admin", free])
    };
    with("pin_file", r#"pin_file = "wrong-pin""#).fails(3, "refused the PIN from hsm.pin_file");
    with("pin_file", r#"pin_file = "empty-pin""#).fails(3, "is empty; it takes the PIN");
    with("pin_file", r#"pin_file = "no-pin""#).fails(3, "hsm.pin_file");
    with("pin_file", "").fails(3, "hsm.pin_file is not set in");
    with("module", r#"module = "/nonexistent/libhsm.so""#).fails(3, "hsm.module /nonexistent/libhsm.so does not exist");
    with("module", r#"module = "pin""#).fails(3, "is not a PKCS#11 library that can be loaded");
    with("token", r#"token = "other""#).fails(3, "hsm.token \"other\" is not there: the module shows \"edgeseal\"");
    with("token", "slot = 4711").fails(3, "hsm.slot 4711 is not there: the module shows \"edgeseal\"");
    with("environment", r#"environment = { SOFTHSM2_CONF = "/nonexistent/conf" }"#).fails(4, "SOFTHSM2_CONF");
    with("[hsm]", "[hsm").fails(3, "line 4");
    with("[hsm]", "[hms]").fails(3, "unknown field `hms`");
    with("issuer", r#"issuer = "http://localhost""#).fails(3, "does not begin with https://");
    with("certificate", r#"certificate = "pin""#).fails(3, "there is no certificate in it");
    with("key", r#"key = "pin""#).fails(3, "PEM file of a private key");
    with("client_ca", r#"client_ca = "nothing.crt""#).fails(3, "listen.agents.client_ca");
    with("path", r#"path = "/nonexistent/edgeseal.db""#).fails(6, "/nonexistent/edgeseal.db");
    with("algorithm", r#"algorithm = "none""#).fails(3, "unknown algorithm");

    run(&["serve", "--config", "/nonexistent.toml"]).fails(3, "/nonexistent.toml cannot be read");
    run(&["serve", "--config", dir.to_str().unwrap()]).fails(3, "cannot be read");
    run(&["keys", "list", "--config", file.to_str().unwrap(), "--store", "/nonexistent/edgeseal.db"]).fails(3, "");
}

#[test]
fn a_wrong_pin_is_tried_exactly_once() {
    let folder = tempdir().unwrap();
    let (text, dir) = configured(folder.path());
    let log = folder.path().join("spy.log");
    let spy =
        ["/usr/lib/x86_64-linux-gnu/pkcs11-spy.so", "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so", "/usr/lib/pkcs11/pkcs11-spy.so"];
    let spy = spy.into_iter().find(|path| Path::new(path).exists()).expect("pkcs11-spy (Debian: apt install opensc)");
    let module = text.lines().find_map(|line| line.strip_prefix("module = ")).unwrap().trim_matches('"');
    let file = dir.join("spied.toml");
    fs::write(&file, text.replace(module, spy)).unwrap();
    let serve = |pin: &str| {
        let mut command = edgeseal();
        command.args(["keys", "generate", "--config", file.to_str().unwrap()]);
        command.env("PKCS11SPY", module).env("PKCS11SPY_OUTPUT", &log).env("EDGESEAL_HSM_PIN", pin);
        command.output().unwrap()
    };
    let output = serve("wrong");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("refused the PIN from EDGESEAL_HSM_PIN; it was tried once"));
    let logins = fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("C_Login")).count();
    assert_eq!(logins, 1);
    // With the right one, one login serves all threads, and generation asks for what the design says.
    fs::remove_file(&log).unwrap();
    let output = serve(&fs::read_to_string(dir.join("pin")).unwrap());
    assert!(output.status.success(), "{output:?}");
    let calls = fs::read_to_string(&log).unwrap();
    assert_eq!(calls.lines().filter(|line| line.contains("C_Login")).count(), 1);
    let searches = calls.lines().filter(|line| line.contains("C_FindObjectsInit")).count();
    // One at the start, which tells how long a search takes.
    assert!(searches <= 3, "handles are cached: {searches} searches");
}

#[test]
fn busy_ports_and_folders() {
    let folder = tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let dir = folder.path().join("never");
    run(&["dev", "--dir", dir.to_str().unwrap(), "--public", &address, "--agents", "127.0.0.1:0"])
        .fails(5, &format!("--public {address} is in use"));
    run(&["dev", "--dir", dir.to_str().unwrap(), "--public", "127.0.0.1:0", "--agents", &address])
        .fails(5, &format!("--agents {address} is in use"));
    assert!(!dir.exists(), "nothing was begun");

    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let dir = signer.dir.display().to_string();
    run(&["dev", "--dir", &dir, "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0"])
        .fails(5, "is in use by another edgeseal dev");
    signer
        .run(&["serve", "--public", &address, "--agents", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .fails(5, "listen.public.address");
    signer.issue("default");
    run(&["dev", "--dir", &dir, "--module", "/nonexistent.so"]).fails(3, "--module /nonexistent.so does not exist");
}

/// Every command is in them, and a shell that is none is named with those that are.
#[test]
fn completions_for_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok();
        for command in ["schedule-destroy", "audit", "ledger", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(!script.contains("hsm-worker"), "{shell}");
    }
    let other = run(&["completions", "klingon"]);
    assert!(other.code == 2 && other.err.contains("possible values: bash"), "{other:?}");
    let mut bash = std::process::Command::new("bash");
    let checked = bash.args(["-n", "-c", &run(&["completions", "bash"]).ok()]).status().unwrap();
    assert!(checked.success());
}

/// Our own vectors, through every backend: the same verdict and code, line by line.
#[test]
fn backends_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            lines.extend(fs::read(path).unwrap());
        }
    }
    let judged = |backend: &str, more: &[&str]| {
        let arguments = [&["verify", "--jsonl", "--backend", backend], more].concat();
        run_with_input(&arguments, &lines).ok()
    };
    let reference = judged("rustcrypto", &[]);
    assert!(reference.lines().count() > 400);
    for backend in ["auto", "p256-tables", "aws-lc-rs"] {
        let verdicts = judged(backend, &[]);
        let differing: Vec<_> = reference.lines().zip(verdicts.lines()).filter(|(theirs, ours)| theirs != ours).collect();
        assert!(verdicts == reference, "{backend} differs from the reference: {differing:#?}");
    }
    let timed = judged("auto", &["--timing"]);
    for backend in ["aws-lc-rs", "p256-tables"] {
        assert!(timed.contains(&format!("\"backend\":\"{backend}\"")), "{backend} verified nothing");
    }
}

#[test]
fn verifying() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let token = signer.issue("default");
    let (ca, issuer, jwks_uri) = (signer.text("ca"), signer.text("issuer"), signer.text("jwks_uri"));
    let verify = |token: &str, more: &[&str]| {
        let mut arguments = vec!["verify", token, "--alg", "ES256", "--ca", ca];
        arguments.extend(more);
        if !more.contains(&"--issuer") {
            arguments.extend(["--issuer", issuer]);
        }
        if !more.contains(&"--audience") {
            arguments.extend(["--audience", AUDIENCE]);
        }
        run(&arguments)
    };
    let rejected = |said: crate::support::Said, code: &str| {
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.out.starts_with(&format!("✗ {code}: ")), "{said:?}");
    };
    assert!(verify(&token, &["--jwks", jwks_uri]).ok().starts_with("✓ accepted  ES256"));
    // Nonsense of a server is its own mistake, and no verdict about the token.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let nonsense = format!("http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4_096]);
            let page = "<html>";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    verify(&token, &["--jwks", &format!("{nonsense}/jwks")]).fails(7, "cannot be used");
    let jwks = folder.path().join("jwks.json");
    fs::write(&jwks, signer.public("/.well-known/jwks.json", &[]).body).unwrap();
    let keys = ["--jwks", jwks.to_str().unwrap()];
    assert!(verify(&token, &keys).ok().starts_with("✓ accepted  ES256"));
    // A nonce is random, and may begin like an option.
    rejected(verify(&token, &[&keys[..], &["--sd-jwt", "required", "--nonce", "-ah0_WAc"]].concat()), "type_mismatch");
    for (asked, answered) in
        [("auto", "aws-lc-rs"), ("aws-lc-rs", "aws-lc-rs"), ("p256-tables", "p256-tables"), ("rustcrypto", "rustcrypto")]
    {
        let said = verify(&token, &[keys[0], keys[1], "--backend", asked, "--json"]).json();
        assert_eq!(said["backend"], answered, "{asked}: {said}");
    }
    let unknown = verify(&token, &["--backend", "openssl"]);
    assert!(unknown.code == 2 && unknown.err.contains("auto, p256-tables, aws-lc-rs, rustcrypto"), "{unknown:?}");
    rejected(verify(&token, &["--audience", "https://other.example.com"]), "audience_mismatch");
    rejected(verify(&token, &["--now", "4102444800"]), "token_expired");
    rejected(verify(&token, &["--issuer", "https://other.example.com", keys[0], keys[1]]), "issuer_mismatch");
    rejected(verify("x", &keys), "token_malformed");
    let mut flipped = token.clone();
    let last = flipped.pop().unwrap();
    let before = flipped.pop().unwrap();
    flipped.extend([if before == 'A' { 'B' } else { 'A' }, last]);
    rejected(verify(&flipped, &keys), "signature_invalid");
    fs::write(&jwks, r#"{"keys":[]}"#).unwrap();
    rejected(verify(&token, &keys), "key_not_found");
    fs::write(&jwks, "[]").unwrap();
    rejected(verify(&token, &keys), "jwks_malformed");

    let said = run_with_input(
        &["verify", "-", "--issuer", issuer, "--audience", AUDIENCE, "--alg", "ES256", "--ca", ca],
        token.as_bytes(),
    );
    assert!(said.ok().starts_with("✓ accepted"));
    verify(&token, &["--jwks", "https://127.0.0.1:1/jwks.json"]).fails(7, "https://127.0.0.1:1/jwks.json cannot be reached");
    // A token that no key could make good is judged without any: nothing is asked there.
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    for place in [["--jwks", "https://127.0.0.1:1/jwks.json"], ["--issuer", "https://127.0.0.1:1"]] {
        rejected(verify("x", &place), "token_malformed");
        rejected(verify(unsigned, &place), "algorithm_not_allowed");
    }
    verify(&token, &["--jwks", &format!("{issuer}/nothing")]).fails(7, "answered 404");
    verify(&token, &["--jwks", "http://example.com/jwks.json"]).fails(2, "loopback");
    verify(&token, &["--jwks", "/nonexistent.json"]).fails(2, "/nonexistent.json cannot be read");
    run(&[
        "verify",
        &token,
        "--issuer",
        issuer,
        "--audience",
        AUDIENCE,
        "--alg",
        "ES256",
        "--jwks",
        jwks_uri,
        "--ca",
        "/nonexistent.crt",
    ])
    .fails(3, "--ca /nonexistent.crt");
    assert_eq!(run(&["verify", &token]).code, 2, "issuer, audience and algorithms must be named");
}

/// A mistyped place is no empty store: what only reads or refuses there would give false evidence.
#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = tempdir().unwrap();
    let (_, dir) = configured(folder.path());
    let (dir, store, out) = (dir.to_str().unwrap(), folder.path().join("mistyped.db"), folder.path().join("kept.jsonl"));
    fs::write(&out, "the last good export").unwrap();
    let digest = "A".repeat(43);
    let out_flag = out.to_str().unwrap();
    for command in [
        &["audit", "find", "--digest", &digest][..],
        &["audit", "export", "--out", out_flag],
        &["audit", "ledger", "--out", out_flag],
        &["agents", "list"],
        &["agents", "revoke", "demo-app", "--yes"],
        &["users", "list"],
        &["users", "disable", "alice", "--yes"],
        &["users", "enable", "alice"],
    ] {
        run(&[command, &["--dir", dir, "--store", store.to_str().unwrap()]].concat()).fails(6, "mistyped.db does not exist");
        assert!(!store.exists(), "{command:?}");
    }
    assert_eq!(fs::read_to_string(&out).unwrap(), "the last good export");
}

/// What is secret goes over TLS or not at all: a typing mistake sends no one-time code and no token in the clear.
#[test]
fn nothing_is_sent_unencrypted() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let out = folder.path().join("app");
    let code = format!("{}.{}", "A".repeat(22), "A".repeat(43));
    let enroll = ["agent", "enroll", "--url", &url, "--out", out.to_str().unwrap()];
    run_with_input(&enroll, code.as_bytes()).fails(2, "does not begin with https://");
    signer.run(&["token", "issue", "--url", &url, "--audience", AUDIENCE]).fails(2, "does not begin with https://");
    let token = signer.issue("default");
    signer.run(&["token", "renew", &token, "--url", &url]).fails(2, "does not begin with https://");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
}

#[test]
fn asking_for_tokens() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (ca, cert, key) = (signer.text("ca"), signer.text("agent_cert"), signer.text("agent_key"));
    let issue = |url: &str, ca: &str, more: &[&str]| {
        let mut arguments =
            vec!["token", "issue", "--url", url, "--ca", ca, "--cert", cert, "--key", key, "--audience", AUDIENCE];
        arguments.extend(more);
        run(&arguments)
    };
    assert_eq!(issue(signer.text("agent"), ca, &[]).ok().split('.').count(), 3);
    issue("https://localhost:1", ca, &[]).fails(7, "cannot be reached");
    issue(signer.text("issuer"), ca, &[]).fails(1, "not_found");
    issue(signer.text("agent"), cert, &[]).fails(7, "TLS");
    issue(signer.text("agent"), ca, &["--claim", "sub"]).fails(2, "--claim \"sub\" has no =");
    issue(signer.text("agent"), ca, &["--claims-json", r#"{"a":1,"a":2}"#]).fails(2, "twice");
    run(&["token", "issue", "--url", signer.text("agent"), "--cert", "/nonexistent.crt", "--key", key, "--ca", ca])
        .fails(3, "--cert");
    // The authority may stand in the environment or in a file, though flags say the rest; and there need be no file.
    let known_by = |variable: &str, path: &Path| {
        let mut command = edgeseal();
        command.args(["token", "issue", "--url", signer.text("agent"), "--cert", cert, "--key", key, "--audience", AUDIENCE]);
        command.env(variable, path).output().unwrap()
    };
    let file = folder.path().join("client.toml");
    fs::write(&file, format!("[client]\nca = {ca:?}\n")).unwrap();
    for (variable, path) in [("EDGESEAL_CLIENT_CA", Path::new(ca)), ("EDGESEAL_CONFIG", &file)] {
        let output = known_by(variable, path);
        assert!(output.status.success(), "{variable}: {output:?}");
    }
    let output = known_by("EDGESEAL_CLIENT_CA", Path::new(""));
    assert_eq!(output.status.code(), Some(7), "by the system's authorities: {output:?}");

    // Nested as deep as core takes it.
    let deep = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    let token = issue(signer.text("agent"), ca, &["--claims-json", &format!("{{\"deep\":{deep}}}")]).ok();
    let issuer = signer.text("issuer");
    let verified =
        run(&["verify", &token, "--issuer", issuer, "--audience", AUDIENCE, "--alg", "ES256", "--ca", ca, "--json"]).ok();
    let inspected = run(&["token", "inspect", &token, "--json"]).ok();
    for shown in [verified, inspected] {
        assert!(shown.contains(&format!("\"deep\":{deep}")), "{shown}");
    }
    run(&["token", "inspect", "x"]).fails(1, "token_malformed");
    run(&["jwks", "inspect", "/nonexistent.json"]).fails(2, "cannot be read");
}

#[test]
fn names_on_the_command_line() {
    let folder = tempdir().unwrap();
    run(&["agents", "invite", "Shop", "--profile", "default"]).fails(2, "agent \"Shop\": a name has 1 to 64 characters");
    run(&["users", "invite", "Alice", "--role", "auditor"]).fails(2, "user \"Alice\": a name has");
    run(&["profiles", "set", "..", "--settings", "/nonexistent.json"]).fails(2, "profile \"..\": a name has");
    let dir = folder.path().join("never");
    let free = ["--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    run(&[&["dev", "--dir", dir.to_str().unwrap(), "--agent", "Shop"], &free[..]].concat())
        .fails(2, "--agent \"Shop\": a name has");
    assert!(!dir.exists(), "nothing was begun");
    // What is said twice is there once.
    let signer = Signer::dev(folder.path(), &["--alg", "ES384", "--alg", "ES256", "--alg", "ES384"]);
    let profiles = signer.ready["profiles"].as_array().unwrap();
    let names: Vec<&str> = profiles.iter().map(|profile| profile["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["es384", "default"]);
}

/// A one-time code that nobody can read is no success. A reader that has read enough is no failure.
#[test]
fn what_cannot_be_written_is_said() {
    let says = |output: std::process::Stdio, arguments: &[&str]| {
        let output = edgeseal().args(arguments).stdout(output).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into();
    for arguments in [&["openapi", "agents"][..], &["completions", "bash"]] {
        let (code, said) = says(full(), arguments);
        assert_eq!(code, Some(8), "{arguments:?}: {said}");
        assert!(said.starts_with("edgeseal: standard output cannot be written") && said.lines().count() == 1, "{said}");
    }
    assert_eq!(says(full(), &["token", "inspect", "x"]).0, Some(1), "nothing of it is lost");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(says(writer.into(), &["openapi", "agents"]), (Some(0), String::new()));
}

#[test]
fn a_corpus_gets_a_verdict_for_every_line() {
    let lines = b"{\"id\":\"a\",\"token\":\"x\",\"jwks\":{\"keys\":[]},\"alg_allow\":[\"ES256\"],\"now\":1,\"policy\":{}}\n\nnonsense\n\xff\n{\"id\":\"b\"}";
    let said = run_with_input(&["verify", "--jsonl"], lines).ok();
    let verdicts: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = [("a", "token_malformed"), ("", "line_malformed"), ("", "line_malformed"), ("b", "line_malformed")];
    assert_eq!(verdicts.len(), expected.len());
    for (verdict, (id, code)) in verdicts.iter().zip(expected) {
        assert_eq!(verdict["id"].as_str().unwrap_or_default(), id);
        assert_eq!((&verdict["v"], &verdict["code"]), (&"reject".into(), &code.into()));
    }
    let timed = run_with_input(&["verify", "--jsonl", "--timing"], b"x\n").json();
    assert!(timed["ms"].is_number());
}
