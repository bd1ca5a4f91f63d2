//! The console's server side: who gets in, with what, for how long, and what a page of another site gets, which is nothing.

mod browser;

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tempfile::tempdir;

pub(crate) use self::browser::Browser;
use self::browser::Flaw;
use crate::support::{Answer, HeldDatabase, Signer, client, request, run, until};

/// `dev`, with these lines in the section `console`.
fn signer(folder: &std::path::Path, console: &str) -> Signer {
    Signer::configured(folder, &["--alg", "ES256"], |text| text + "\n[console]\n" + console)
}

/// The first administrator, in a browser of theirs.
fn set_up(signer: &Signer, name: &str) -> Browser {
    let code = signer.run(&["users", "setup-code"]).ok();
    let mut browser = Browser::new(signer);
    let done = browser.register(&json!({ "code": code, "name": name, "display_name": name.to_uppercase() }));
    assert_eq!(done.status, 201, "{done:?}");
    browser
}

/// Somebody whom an administrator invites, in a browser of theirs.
fn invited(signer: &Signer, by: &mut Browser, name: &str, role: &str) -> Browser {
    let invitation = by.post("/admin/v1/users", &json!({ "name": name, "role": role }));
    assert_eq!(invitation.status, 201, "{invitation:?}");
    let mut browser = Browser::new(signer);
    let done = browser.register(&json!({ "code": invitation.json()["code"] }));
    assert_eq!((done.status, done.json()["user"]["role"].as_str()), (201, Some(role)), "{done:?}");
    browser
}

/// A request with the certificate that `dev` made for this administrator.
fn by_certificate(signer: &Signer, name: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let known = signer.ready["administrators"].as_array().unwrap();
    let identity = known.iter().find(|one| one["name"] == name).unwrap();
    let (certificate, key) = (identity["cert"].as_str().unwrap(), identity["key"].as_str().unwrap());
    let tls = client(&signer.path("ca"), Some((certificate.as_ref(), key.as_ref()))).unwrap();
    request(signer.text("admin"), tls, method, path, headers, b"").unwrap()
}

fn audited(signer: &Signer) -> String {
    signer.run(&["audit", "export"]).ok()
}

#[test]
fn the_first_visit() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let code = fs::read_to_string(dev.path("setup_code_file")).unwrap().trim().to_owned();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dev.path("setup_code_file")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!fs::read_to_string(folder.path().join("ready.log")).unwrap().contains(&code), "codes are in no log");
    let mut alice = Browser::new(&dev);
    let who = alice.who();
    assert_eq!((&who["authenticated"], &who["setup_required"], &who["csrf"]), (&json!(false), &json!(true), &json!("none")));

    // A code is looked at without being used up, however it is typed; a wrong one is a wrong one.
    let typed = code.replace('-', " ").to_lowercase();
    let looked = alice.post("/console/v1/setup", &json!({ "code": typed }));
    assert_eq!((&looked.json()["kind"], &looked.json()["role"]), (&json!("setup"), &json!("administrator")), "{looked:?}");
    alice.post("/console/v1/setup", &json!({ "code": "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA" })).problem(403, "code_refused");
    for (name, field) in [(json!(null), "name"), (json!("Alice Smith"), "name"), (json!("../x"), "name")] {
        let refused = alice.post("/console/v1/register/start", &json!({ "code": code, "name": name }));
        refused.problem(422, "field_invalid");
        assert_eq!(refused.json()["field"], field);
    }
    // What no authenticator of ours says.
    for flaw in [Flaw::Unverified, Flaw::Origin, Flaw::Host] {
        let begun = alice.post("/console/v1/register/start", &json!({ "code": code, "name": "alice" })).json();
        let credential = Browser::new(&dev).create(&begun["publicKey"], flaw);
        let finish = json!({ "ceremony": begun["ceremony"], "credential": credential });
        alice.post("/console/v1/register/finish", &finish).problem(403, "passkey_refused");
        alice.post("/console/v1/register/finish", &finish).problem(403, "passkey_refused");
    }
    assert_eq!(alice.cookie, None);
    let mut slower = Browser::new(&dev);
    let late = slower.post("/console/v1/register/start", &json!({ "code": code, "name": "eve" })).json();

    let done = alice.register(&json!({ "code": code, "name": "alice", "display_name": "Alice <b>Smith</b>" }));
    assert_eq!(done.status, 201, "{done:?}");
    let session = done.json();
    assert_eq!(session["user"], json!({ "name": "alice", "display_name": "Alice <b>Smith</b>", "role": "administrator" }));
    assert_eq!((&session["via"], &session["passkey_required"]), (&json!("passkey"), &json!(false)));
    let codes: Vec<&str> = session["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(codes.len(), 10);
    assert!(session["allowed"].as_array().unwrap().contains(&json!("POST /admin/v1/users")));
    assert_eq!(alice.who()["setup_required"], false);
    assert_eq!(alice.get("/admin/v1/keys").status, 200);

    // Once: neither again nor by whoever was slower.
    alice.post("/console/v1/setup", &json!({ "code": code })).problem(403, "code_refused");
    let credential = slower.create(&late["publicKey"], Flaw::None);
    let finish = json!({ "ceremony": late["ceremony"], "credential": credential });
    slower.post("/console/v1/register/finish", &finish).problem(403, "code_refused");
    slower.get("/admin/v1/keys").problem(401, "session_required");
    let users = alice.get("/admin/v1/users").json();
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    assert_eq!(users["users"][0]["passkeys"], 1);

    // Nothing secret is in the log, in the audit or in the store.
    let cookie = alice.cookie.clone().unwrap();
    let log = fs::read_to_string(folder.path().join("ready.log")).unwrap();
    let store = [dev.path("db"), dev.path("db").with_extension("db-wal")].map(|file| fs::read(file).unwrap_or_default()).concat();
    let store = String::from_utf8_lossy(&store);
    let audit = audited(&dev);
    for secret in codes.iter().copied().chain([code.as_str(), cookie.as_str(), session["csrf"].as_str().unwrap()]) {
        let bare = secret.replace('-', "");
        for (place, text) in [("log", log.as_str()), ("audit", &audit), ("store", &store)] {
            assert!(!text.contains(secret) && !text.contains(&bare), "a secret is in the {place}");
        }
    }
    assert!(audit.contains("users.setup"), "{audit}");
}

#[test]
fn logging_in_and_out() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "");
    let mut alice = set_up(&signer, "alice");
    let first = alice.cookie.clone().unwrap();
    let mut other = Browser::new(&signer);
    other.cookie = Some(first.clone());
    assert_eq!(other.who()["user"]["name"], "alice");
    assert_eq!(alice.ask("POST", "/console/v1/logout", None).status, 204);
    assert_eq!(alice.cookie, None);
    assert_eq!(other.who()["authenticated"], false, "the session has ended, not only the cookie");
    let nobody = other.get("/admin/v1/keys");
    nobody.problem(401, "session_required");
    assert_eq!(nobody.header("www-authenticate"), Some("Passkey realm=\"edgeseal\""));
    let written = other.post("/keys", &json!({}));
    written.problem(405, "method_not_allowed");
    assert_eq!(written.header("allow"), Some("GET,HEAD"));

    // A session that somebody else chose is never the one that begins.
    let planted = "A".repeat(43);
    alice.cookie = Some(planted.clone());
    alice.csrf = "none".to_owned();
    let done = alice.login();
    assert_eq!(done.status, 200, "{done:?}");
    let second = alice.cookie.clone().unwrap();
    assert!(second != planted && second != first && second.len() == 43);
    other.cookie = Some(planted);
    assert_eq!(other.who()["authenticated"], false);
    // A login ends the browser's session of before, and a proof gives it another name.
    assert_eq!(alice.login().status, 200);
    let third = alice.cookie.clone().unwrap();
    other.cookie = Some(second);
    assert_eq!(other.who()["authenticated"], false);
    let before = alice.who();
    assert_eq!(alice.reauthenticate().status, 200);
    let after = alice.who();
    assert!(alice.cookie != Some(third.clone()) && before["csrf"] != after["csrf"]);
    assert_eq!((&before["session"], &before["expires_at"]), (&after["session"], &after["expires_at"]), "it ends no later");
    other.cookie = Some(third);
    assert_eq!(other.who()["authenticated"], false);

    // What is no good proof is no login, and a ceremony is good once.
    let mut wrong = Browser::new(&signer);
    wrong.register(&json!({})).problem(401, "session_required");
    for flaw in [Flaw::Unverified, Flaw::Origin, Flaw::Host, Flaw::Signature] {
        let mut window = alice.without_cookie();
        window.login_with(flaw).problem(403, "passkey_refused");
        assert_eq!(window.cookie, None);
        alice = window;
    }
    let begun = alice.post("/console/v1/login/start", &json!({})).json();
    let finish = json!({ "ceremony": begun["ceremony"], "credential": alice.get_assertion(&begun["publicKey"], Flaw::None) });
    assert_eq!(alice.post("/console/v1/login/finish", &finish).status, 200);
    let mut thief = Browser::new(&signer);
    thief.post("/console/v1/login/finish", &finish).problem(403, "passkey_refused");
    // An answer to one ceremony is none to another.
    let begun = thief.post("/console/v1/login/start", &json!({})).json();
    let moved = json!({ "ceremony": begun["ceremony"], "credential": finish["credential"] });
    thief.post("/console/v1/login/finish", &moved).problem(403, "passkey_refused");
    // Guessing ends soon.
    until("too many tries", || thief.post("/console/v1/setup", &json!({ "code": "A" })).status == 429);
    let waits = thief.post("/console/v1/setup", &json!({ "code": "A" }));
    waits.problem(429, "tries_exceeded");
    assert!(waits.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);

    // Sessions are listed and ended; nobody ends another one's.
    let listed = alice.get("/console/v1/sessions").json();
    let listed = listed["sessions"].as_array().unwrap();
    assert!(listed.iter().filter(|session| session["current"] == true).count() == 1, "{listed:?}");
    for name in ["nope", "%FF", "%00"] {
        alice.ask("DELETE", &format!("/console/v1/sessions/{name}"), None).problem(404, "not_found");
    }
    assert!(!audited(&signer).contains("session.end\""), "what is not there is not announced");
    let own = alice.who()["session"].as_str().unwrap().to_owned();
    assert_eq!(alice.ask("DELETE", &format!("/console/v1/sessions/{own}"), None).status, 204);
    alice.get("/admin/v1/keys").problem(401, "session_required");
    let audit = audited(&signer);
    for action in ["session.login", "session.logout", "session.reauthenticate", "session.refuse", "session.end"] {
        assert!(audit.contains(action), "{action} is not in the audit");
    }
}

#[test]
fn sessions_and_proofs_end() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "idle_timeout = \"5s\"\nsession_lifetime = \"15s\"\nreauthenticate_after = \"3s\"\n");
    let began = std::time::Instant::now();
    let mut alice = set_up(&signer, "alice");
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();
    let compromise = format!("/admin/v1/keys/{kid}:compromise");
    until("the proof is too old", || alice.who()["reauthenticated_until"] == Value::Null);
    alice.ask("POST", &compromise, None).problem(403, "reauthentication_required");
    let revoke = |kind: &str, value: &str| json!({ "kind": kind, "value": value });
    alice.post("/admin/v1/revocations", &revoke("kid", &kid)).problem(403, "reauthentication_required");
    assert_eq!(alice.post("/admin/v1/revocations", &revoke("jti", "j-1")).status, 201, "a token is no key");
    alice.post("/admin/v1/users", &json!({ "name": "bob", "role": "auditor" })).problem(403, "reauthentication_required");
    alice.post("/console/v1/recovery-codes", &json!({})).problem(403, "reauthentication_required");
    alice.post("/console/v1/register/start", &json!({})).problem(403, "reauthentication_required");
    assert_eq!(alice.get("/admin/v1/keys").status, 200, "reading goes on");
    assert_eq!(alice.reauthenticate().status, 200);
    assert_eq!(alice.ask("POST", &compromise, None).status, 200);
    // Used all the time, it ends all the same.
    until("its last end", || alice.get("/admin/v1/keys").status == 401);
    assert!(began.elapsed() > Duration::from_secs(14), "{:?}", began.elapsed());
    assert_eq!(alice.login().status, 200);
    // A window that nobody uses asks all the time, and that is no use.
    let login = std::time::Instant::now();
    let background = [("x-edgeseal-background", "1")];
    until("the window that nobody uses", || alice.ask_with("GET", "/admin/v1/keys", None, &background).status == 401);
    assert!(login.elapsed() > Duration::from_secs(4), "{:?}", login.elapsed());
    assert_eq!(alice.who()["authenticated"], false);

    // Codes end as well.
    let code = signer.run(&["users", "setup-code", "--lifetime", "3s"]).ok();
    assert_eq!(alice.post("/console/v1/setup", &json!({ "code": code })).status, 200);
    until("the code is too old", || alice.post("/console/v1/setup", &json!({ "code": code })).status != 200);
    alice.post("/console/v1/setup", &json!({ "code": code })).problem(403, "code_refused");
    run(&["users", "setup-code", "--lifetime", "25h", "--dir", signer.dir.to_str().unwrap()]).fails(2, "1s to 24h");
}

#[test]
fn what_cannot_be_written_can_be_read() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "idle_timeout = \"20s\"\n");
    let mut alice = set_up(&signer, "alice");
    let held = HeldDatabase::of(&signer);
    // From now on each request is the session's use, which is to be noted.
    std::thread::park_timeout(Duration::from_secs(6));
    assert_eq!(alice.get("/admin/v1/keys").status, 200);
    drop(held);
    assert_eq!(alice.get("/admin/v1/keys").status, 200);
}

#[test]
fn other_sites_get_nothing() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "");
    let mut alice = set_up(&signer, "alice");
    let (origin, csrf) = (alice.origin.clone(), alice.csrf.clone());
    let ours = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin"), ("x-edgeseal-csrf", csrf.as_str())];
    let foreign: &[&[(&str, &str)]] = &[
        &[],
        &ours[..2],
        &ours[2..],
        &[ours[0], ours[1], ("x-edgeseal-csrf", "none")],
        &[ours[0], ours[1], ("x-edgeseal-csrf", "")],
        &[("origin", "https://evil.example"), ours[1], ours[2]],
        &[("origin", "https://localhost:8787"), ours[1], ours[2]],
        &[("origin", "null"), ours[2]],
        &[("origin", "http://localhost"), ours[2]],
        &[ours[0], ("sec-fetch-site", "cross-site"), ours[2]],
        &[ours[0], ("sec-fetch-site", "same-site"), ours[2]],
        &[("sec-fetch-site", "none"), ours[2]],
    ];
    let unsafe_operations: Vec<(String, String)> =
        operations().into_iter().filter(|(method, ..)| method != "GET").map(|(method, path, _)| (method, path)).collect();
    assert!(unsafe_operations.len() > 10);
    for (method, path) in &unsafe_operations {
        for headers in foreign {
            alice.ask_with(method, path, None, headers).problem(403, "cross_site_refused");
        }
    }
    for path in
        ["logout", "setup", "login/start", "login/finish", "register/start", "register/finish", "reauth/start", "recovery"]
    {
        for headers in foreign {
            alice.ask_with("POST", &format!("/console/v1/{path}"), Some(&json!({})), headers).problem(403, "cross_site_refused");
        }
    }
    // Without a session too, so that nobody is logged in as somebody else.
    let mut nobody = Browser::new(&signer);
    for headers in [&foreign[0], &foreign[1], &foreign[5], &foreign[9]] {
        nobody.ask_with("POST", "/console/v1/login/start", Some(&json!({})), headers).problem(403, "cross_site_refused");
    }
    // A browser that has an administrator's certificate is a browser.
    let path = "/admin/v1/keys/absent-thing:retire";
    for headers in [foreign[1], foreign[5], foreign[9]] {
        by_certificate(&signer, "bob", "POST", path, headers).problem(403, "cross_site_refused");
    }
    by_certificate(&signer, "bob", "POST", path, &[]).problem(404, "not_found");
    assert_eq!(alice.get("/admin/v1/keys").status, 200, "and nothing of that has ended the session");
    // Attempts are what one looks for in the numbers and in the log.
    let attempt = alice.ask_with("POST", path, None, foreign[1]);
    assert!(attempt.header("x-request-id").is_some(), "{attempt:?}");

    // Framing, sniffing, leaking: on pages, on the API, on what is refused. Names that are markup stay JSON.
    let label = "<script>alert(1)</script>";
    let made = alice.post("/admin/v1/users", &json!({ "name": "carol", "role": "auditor", "display_name": label }));
    assert_eq!(made.json()["display_name"], label);
    for path in [
        "/",
        "/keys/deep/link",
        "/admin/v1/users",
        "/admin/v1/nope",
        "/console/v1/session",
        "/console/v1/nope",
        "/assets/nope.js",
    ] {
        let answer = alice.get(path);
        let header = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{path} has no {name}: {answer:?}")).to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert!(header("permissions-policy").contains("camera=()"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert_eq!(is_page, path == "/" || path.starts_with("/keys"), "{path}: {answer:?}");
        if !is_page {
            assert!(header("content-type").ends_with("json"), "{path}: {answer:?}");
            assert_eq!(header("cache-control"), "no-store", "{path}");
        }
    }
    let page = alice.get("/").body;
    assert!(!page.contains(label), "{page}");
    // As build.rs decides: the pages where they were built, else how that is done.
    let built = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/console/dist").is_dir();
    assert_eq!((page.contains("/assets/"), page.contains("make console")), (built, !built), "{page}");
    alice.ask("POST", "/", Some(&json!({}))).problem(405, "method_not_allowed");
}

/// Method, path with `absent-thing` for what is named (a key may be called by the beginning of its kid), and least role of every operation of administrators.
fn operations() -> Vec<(String, String, String)> {
    let document = run(&["openapi", "admin"]).json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let parts =
            path.split('{').map(|part| part.split_once('}').map_or(part.to_owned(), |(_, rest)| format!("absent-thing{rest}")));
        let path: String = parts.collect();
        // A stream that somebody waits for.
        let path = if path.ends_with("/events") { format!("{path}?seconds=1") } else { path };
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["administrator_certificate"][0].as_str().unwrap().to_owned();
            found.push((method.to_uppercase(), path.clone(), role));
        }
    }
    found
}

#[test]
fn every_route_and_role() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "[console.certificates]\nbob = \"auditor\"\n");
    let mut alice = set_up(&signer, "alice");
    let people = [
        ("auditor", invited(&signer, &mut alice, "carol", "auditor")),
        ("operator", invited(&signer, &mut alice, "oscar", "operator")),
        ("administrator", invited(&signer, &mut alice, "dave", "administrator")),
    ];
    let operations = operations();
    // A stream of events does not end; whoever may not read it is refused below like everywhere.
    let ends = |path: &str| path != "/admin/v1/activity/events";
    let mut refused = 0;
    for (role, mut person) in people {
        let rank = |name: &str| ["auditor", "operator", "administrator"].iter().position(|known| *known == name).unwrap();
        for (method, path, least) in operations.iter().filter(|(_, path, _)| ends(path)) {
            let answer = person.ask(method, path, None);
            let place = format!("{role} {method} {path}: {answer:?}");
            if rank(role) >= rank(least) {
                assert!(![401, 403].contains(&answer.status), "{place}");
            } else {
                assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("role_denied")), "{place}");
                assert!(answer.json()["detail"].as_str().unwrap().contains(least), "it says who may: {place}");
                refused += 1;
            }
            // A step that a role may take, in other letters, is no step.
            if path.starts_with("/admin/") {
                assert_eq!(person.ask(method, &format!("{path}%00"), None).status / 100, 4, "{place}");
            }
        }
        let allowed = person.who()["allowed"].as_array().unwrap().len();
        assert_eq!(allowed, operations.iter().filter(|(.., least)| rank(role) >= rank(least)).count());
    }
    assert!(refused > 10);
    let mut nobody = Browser::new(&signer);
    for (method, path, _) in &operations {
        nobody.ask(method, path, None).problem(401, "session_required");
    }
    // Certificates have roles as well: by the settings, and by the store where it knows the person.
    assert_eq!(by_certificate(&signer, "bob", "GET", "/admin/v1/keys", &[]).status, 200);
    by_certificate(&signer, "bob", "POST", "/admin/v1/keys/absent-thing:retire", &[]).problem(403, "role_denied");
    by_certificate(&signer, "alice", "POST", "/admin/v1/keys/absent-thing:retire", &[]).problem(404, "not_found");

    // A role that was taken away is gone at once, with the sessions.
    let mut eve = invited(&signer, &mut alice, "eve", "administrator");
    assert_eq!(alice.post("/admin/v1/users/eve:set-role", &json!({ "role": "auditor" })).status, 200);
    eve.get("/admin/v1/keys").problem(401, "session_required");
    assert_eq!(eve.login().status, 200);
    eve.ask("POST", "/admin/v1/keys/absent-thing:retire", None).problem(403, "role_denied");
    assert_eq!(alice.ask("POST", "/admin/v1/users/eve:disable", None).status, 200);
    eve.get("/admin/v1/keys").problem(401, "session_required");
    eve.login().problem(403, "passkey_refused");
    assert_eq!(alice.ask("POST", "/admin/v1/users/eve:enable", None).json()["disabled"], false);
    assert_eq!(eve.login().status, 200);
    assert_eq!(alice.ask("POST", "/admin/v1/users/eve:end-sessions", None).json()["sessions"], 0);
    eve.get("/admin/v1/keys").problem(401, "session_required");
    alice.post("/admin/v1/users", &json!({ "name": "eve", "role": "auditor" })).problem(409, "conflict");
    alice.post("/admin/v1/users", &json!({ "name": "zoe", "role": "emperor" })).problem(422, "field_invalid");
    alice.ask("POST", "/admin/v1/users/nobody:disable", None).problem(404, "not_found");
    // Somebody is left who may do everything.
    assert_eq!(alice.ask("POST", "/admin/v1/users/dave:disable", None).status, 200);
    alice.ask("POST", "/admin/v1/users/alice:disable", None).problem(409, "last_administrator");
    alice.post("/admin/v1/users/alice:set-role", &json!({ "role": "operator" })).problem(409, "last_administrator");
    assert_eq!(alice.get("/admin/v1/keys").status, 200);
    signer.run(&["users", "disable", "alice"]).fails(2, "user alice will be refused at once");
    signer.run(&["users", "disable", "alice", "--yes"]).fails(1, "no administrator who can log in would be left");
    let listed = signer.run(&["users", "list", "--json"]).json();
    assert!(
        listed["users"].as_array().unwrap().iter().any(|user| user["name"] == "dave" && user["disabled"] == true),
        "{listed}"
    );
    let audit = audited(&signer);
    for action in ["users.invite", "users.set_role", "users.disable", "users.enable", "users.end_sessions"] {
        assert!(audit.contains(action), "{action} is not in the audit");
    }
}

#[test]
fn two_credentials_are_one_person() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "");
    let mut alice = set_up(&signer, "alice");
    let mut carol = invited(&signer, &mut alice, "carol", "administrator");
    let kid = signer.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();
    let path = |verb: &str| format!("/admin/v1/keys/{kid}:{verb}");
    assert_eq!(alice.ask("POST", &path("compromise"), None).status, 200);
    let proposed = alice.ask("POST", &path("schedule-destroy"), None);
    assert_eq!((proposed.status, proposed.json()["proposer"].as_str()), (202, Some("admin:alice")), "{proposed:?}");
    let approve = format!("/admin/v1/approvals/{}:approve", proposed.json()["proposal"].as_str().unwrap());
    alice.ask("POST", &approve, None).problem(403, "own_approval");
    by_certificate(&signer, "alice", "POST", &approve, &[]).problem(403, "own_approval");
    by_certificate(&signer, "alice", "POST", &path("schedule-destroy"), &[]).problem(403, "own_approval");
    let second = alice.register(&json!({}));
    assert_eq!(second.status, 201, "another passkey: {second:?}");
    assert!(second.json().get("recovery_codes").is_none(), "the codes stay");
    alice.ask("POST", &approve, None).problem(403, "own_approval");
    let approved = carol.ask("POST", &approve, None);
    assert_eq!((approved.status, approved.json()["state"].as_str()), (200, Some("destroy_scheduled")), "{approved:?}");
    // The word of somebody who may not propose any more counts no more.
    let mut dora = invited(&signer, &mut alice, "dora", "administrator");
    assert_eq!(carol.ask("POST", &path("cancel-destroy"), None).status, 200);
    let proposed = dora.ask("POST", &path("schedule-destroy"), None).json();
    let approve = format!("/admin/v1/approvals/{}:approve", proposed["proposal"].as_str().unwrap());
    assert_eq!(carol.post("/admin/v1/users/dora:set-role", &json!({ "role": "operator" })).status, 200);
    let detail = alice.ask("POST", &approve, None).problem(409, "still_needed");
    assert!(detail.starts_with("dora proposed it and is no administrator by now"), "{detail}");
    assert_eq!(carol.ask("POST", "/admin/v1/users/dora:disable", None).status, 200);
    let detail = alice.ask("POST", &path("schedule-destroy"), None).problem(409, "still_needed");
    assert!(detail.starts_with("dora proposed it and is disabled by now"), "{detail}");
    assert_eq!(alice.ask("POST", &approve.replace(":approve", ":withdraw"), None).status, 204);
    assert_eq!(alice.ask("POST", &path("schedule-destroy"), None).status, 202);
    // Whoever is disabled is so with every credential.
    assert_eq!(carol.ask("POST", "/admin/v1/users/alice:disable", None).status, 200);
    by_certificate(&signer, "alice", "GET", "/admin/v1/keys", &[]).problem(403, "admin_unknown");
    alice.get("/admin/v1/keys").problem(401, "session_required");
    alice.login().problem(403, "passkey_refused");
}

/// One administrator who invites a second account, or takes over another's, does not play both of two people at once.
#[test]
fn nobody_makes_their_own_second_person() {
    let folder = tempdir().unwrap();
    let waiting = |text: String| text.replace("second_person_after = \"0s\"", "second_person_after = \"20s\"");
    let signer = Signer::configured(folder.path(), &["--alg", "ES256", "--alg", "RS256"], |text| waiting(text) + "\n[console]\n");
    let mut alice = set_up(&signer, "alice");
    let mut carol = invited(&signer, &mut alice, "carol", "administrator");
    assert!(alice.get("/admin/v1/users/alice").json()["second_person_from"].is_null(), "who set it up has nobody's word");
    assert!(alice.get("/admin/v1/users/carol").json()["second_person_from"].is_string());
    let kid = |profile: usize| signer.ready["profiles"][profile]["kid"].as_str().unwrap().to_owned();
    let approval = |answer: &Answer| format!("/admin/v1/approvals/{}:approve", answer.json()["proposal"].as_str().unwrap());
    for profile in [0, 1] {
        assert_eq!(alice.ask("POST", &format!("/admin/v1/keys/{}:compromise", kid(profile)), None).status, 200);
    }

    // Whichever of the two proposes, by whichever credential.
    let path = format!("/admin/v1/keys/{}:schedule-destroy", kid(0));
    let first = approval(&alice.ask("POST", &path, None));
    let detail = carol.ask("POST", &first, None).problem(403, "second_person_new");
    assert!(detail.starts_with("carol was invited"), "{detail}");
    carol.ask("POST", &path, None).problem(403, "second_person_new");
    let other = format!("/admin/v1/keys/{}:schedule-destroy", kid(1));
    let second = approval(&carol.ask("POST", &other, None));
    alice.ask("POST", &second, None).problem(403, "second_person_new");
    by_certificate(&signer, "alice", "POST", &second, &[]).problem(403, "second_person_new");
    // Nor by a set-up code, which whoever has the machine can make: others have logged in before.
    let code = signer.run(&["users", "setup-code"]).ok();
    let mut mallory = Browser::new(&signer);
    assert_eq!(mallory.register(&json!({ "code": code, "name": "mallory" })).status, 201);
    assert!(mallory.get("/admin/v1/users/mallory").json()["second_person_from"].is_string());
    mallory.ask("POST", &first, None).problem(403, "second_person_new");
    // Nobody's account but theirs is new: bob, whom no administrator of the console made, counts.
    let keys = alice.get("/admin/v1/keys").json();
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["state"] != "destroy_scheduled"), "{keys}");
    assert_eq!(by_certificate(&signer, "bob", "POST", &first, &[]).status, 200);

    // Later she counts.
    until("carol counts", || alice.get("/admin/v1/users/carol").json()["second_person_from"].is_null());
    assert_eq!(alice.ask("POST", &second, None).json()["state"], "destroy_scheduled");

    // A new beginning, another role, and coming back begin it anew: each could be for somebody else.
    assert_eq!(carol.ask("POST", &format!("/admin/v1/keys/{}:cancel-destroy", kid(1)), None).status, 200);
    let third = approval(&alice.ask("POST", &other, None));
    let code = alice.ask("POST", "/admin/v1/users/carol:invite", None).json()["code"].clone();
    let mut taken_over = Browser::new(&signer);
    assert_eq!(taken_over.register(&json!({ "code": code })).status, 201);
    taken_over.ask("POST", &third, None).problem(403, "second_person_new");
    until("carol counts again", || alice.get("/admin/v1/users/carol").json()["second_person_from"].is_null());
    // The role that she has is no other one.
    let same = alice.post("/admin/v1/users/carol:set-role", &json!({ "role": "administrator" }));
    assert_eq!((same.status, &same.json()["second_person_from"]), (200, &Value::Null), "{same:?}");
    assert_eq!(taken_over.get("/admin/v1/keys").status, 200, "her session goes on");
    assert!(!audited(&signer).contains("users.set_role"), "nothing happened");
    for role in ["operator", "administrator"] {
        assert_eq!(alice.post("/admin/v1/users/carol:set-role", &json!({ "role": role })).status, 200);
    }
    assert_eq!(taken_over.login().status, 200);
    taken_over.ask("POST", &third, None).problem(403, "second_person_new");
}

#[test]
fn whoever_has_lost_every_passkey() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), "");
    let code = signer.run(&["users", "setup-code"]).ok();
    let mut alice = Browser::new(&signer);
    let done = alice.register(&json!({ "code": code, "name": "alice" })).json();
    let codes: Vec<String> =
        done["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    let mut carol = invited(&signer, &mut alice, "carol", "operator");
    // With a recovery code: once, for its owner, and for a passkey alone.
    let mut lost = Browser::new(&signer);
    lost.post("/console/v1/recovery", &json!({ "name": "carol", "code": codes[0] })).problem(403, "code_refused");
    lost.post("/console/v1/recovery", &json!({ "name": "nobody", "code": codes[0] })).problem(403, "code_refused");
    let recovered = lost.post("/console/v1/recovery", &json!({ "name": "alice", "code": codes[0].to_lowercase() }));
    assert_eq!(recovered.status, 200, "{recovered:?}");
    let session = recovered.json();
    assert_eq!(
        (&session["via"], &session["passkey_required"], &session["recovery_codes_left"]),
        (&json!("recovery"), &json!(true), &json!(9))
    );
    assert_eq!(session["allowed"], json!([]));
    for (method, path, _) in operations() {
        lost.ask(&method, &path, None).problem(403, "passkey_required");
    }
    lost.post("/console/v1/recovery-codes", &json!({})).problem(403, "passkey_required");
    let before = lost.cookie.clone();
    let done = lost.register(&json!({}));
    assert_eq!((done.status, done.json()["via"].as_str()), (201, Some("passkey")), "{done:?}");
    assert_ne!(lost.cookie, before, "another privilege, another session");
    assert_eq!(lost.get("/admin/v1/keys").status, 200);
    let mut again = Browser::new(&signer);
    again.post("/console/v1/recovery", &json!({ "name": "alice", "code": codes[0] })).problem(403, "code_refused");
    // New codes void those of before.
    let new = lost.post("/console/v1/recovery-codes", &json!({})).json();
    assert_eq!(new["recovery_codes"].as_array().unwrap().len(), 10);
    again.post("/console/v1/recovery", &json!({ "name": "alice", "code": codes[1] })).problem(403, "code_refused");
    // The lost passkey is removed; the last one is not.
    let passkeys = lost.get("/console/v1/passkeys").json();
    let ids: Vec<&str> = passkeys["passkeys"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(lost.ask("DELETE", &format!("/console/v1/passkeys/{}", ids[0]), None).status, 204);
    lost.ask("DELETE", &format!("/console/v1/passkeys/{}", ids[1]), None).problem(409, "conflict");
    carol.ask("DELETE", &format!("/console/v1/passkeys/{}", ids[1]), None).problem(404, "not_found");
    let rows = audited(&signer).matches("users.remove_passkey").count();
    for id in ["nope", "%FF", "%00"] {
        lost.ask("DELETE", &format!("/console/v1/passkeys/{id}"), None).problem(404, "not_found");
    }
    assert_eq!(audited(&signer).matches("users.remove_passkey").count(), rows, "what is not there is not announced");
    alice.without_cookie().login().problem(403, "passkey_refused");

    // By another administrator's code, and by whoever has the machine: what was before is void when it is used.
    let reset = lost.ask("POST", "/admin/v1/users/carol:invite", None).json();
    assert_eq!(carol.get("/admin/v1/keys").status, 200);
    let mut fresh = Browser::new(&signer);
    let looked = fresh.post("/console/v1/setup", &json!({ "code": reset["code"] })).json();
    assert_eq!((&looked["kind"], &looked["name"]), (&json!("reset"), &json!("carol")));
    let hijack = json!({ "code": reset["code"], "name": "mallory" });
    fresh.post("/console/v1/register/start", &hijack).problem(400, "request_malformed");
    let done = fresh.register(&json!({ "code": reset["code"] }));
    assert_eq!((done.status, done.json()["user"]["role"].as_str()), (201, Some("operator")), "{done:?}");
    carol.get("/admin/v1/keys").problem(401, "session_required");
    let code = signer.run(&["users", "invite", "carol"]).ok();
    assert_eq!(Browser::new(&signer).register(&json!({ "code": code })).status, 201);
    fresh.get("/admin/v1/keys").problem(401, "session_required");
    signer.run(&["users", "invite", "zed"]).fails(2, "--role");
    signer.run(&["users", "invite", "zed", "--role", "king"]).fails(2, "auditor, operator, administrator");
    signer.run(&["users", "invite", "alice", "--role", "auditor"]).fails(2, "user alice is administrator");
    // Whoever keeps guessing one person's code waits, whatever the code.
    until("too many tries", || again.post("/console/v1/recovery", &json!({ "name": "alice", "code": "A" })).status == 429);
}
