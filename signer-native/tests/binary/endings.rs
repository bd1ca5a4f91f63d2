//! How profiles and agents end, and what has to be so before; issuers as administrators see them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, BOB, ask},
    drills::sql,
    enrolment::Open,
    support::{AUDIENCE, Answer, Signer, run_with_input, until},
};

const PROFILES: &str = "/admin/v1/profiles";
const WEB: &str = "/admin/v1/profiles/web";

fn settings(modes: &[&str]) -> Value {
    json!({ "algorithm": "ES256", "audiences": [AUDIENCE], "max_lifetime": "10m", "modes": modes })
}

#[track_caller]
fn created(signer: &Signer, path: &str, body: Value) -> Value {
    let answer = ask(signer, ALICE, "POST", path, Some(body));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

/// An agent of the store with its certificate; gives the file.
fn agent(signer: &Signer, folder: &Path, name: &str, profile: &str) -> std::path::PathBuf {
    created(signer, "/admin/v1/agents", json!({ "name": name, "policy": { "profiles": [profile] } }));
    let code = ask(signer, BOB, "POST", &format!("/admin/v1/agents/{name}:enrol"), None).json()["code"].clone();
    enroll(signer, &folder.join(name), code.as_str().unwrap()).ok();
    folder.join(name).join("agent.pem")
}

fn enroll(signer: &Signer, out: &Path, code: &str) -> crate::support::Said {
    let arguments = ["agent", "enroll", "--url", signer.text("issuer"), "--out", out.to_str().unwrap()];
    run_with_input(&arguments, format!("{code}\n").as_bytes())
}

fn token(signer: &Signer, identity: &Path) -> Answer {
    let body = json!({ "profile": "web", "claims": { "sub": "alice" } }).to_string();
    signer.agents_as(identity, identity, "POST", "/v1/tokens", &[("content-type", "application/json")], body.as_bytes())
}

/// The keys of profile `web`, by state.
fn states(signer: &Signer) -> Vec<String> {
    let keys = ask(signer, BOB, "GET", "/admin/v1/keys", None).json();
    let of_web = keys["keys"].as_array().unwrap().iter().filter(|key| key["profile"] == "web");
    of_web.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
}

/// Makes a key of `web` sign: in `dev` no long wait.
fn let_sign(signer: &Signer, identity: &Path) -> String {
    let made = created(signer, "/admin/v1/keys", json!({ "profile": "web" }));
    let path = format!("/admin/v1/keys/{}:activate", made["kid"].as_str().unwrap());
    until("a key signs", || {
        ask(signer, ALICE, "POST", &path, None);
        token(signer, identity).status == 200
    });
    token(signer, identity).json()["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_profile_ends_after_its_keys() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let still_needed = |who, method, path: &str| ask(&signer, who, method, path, None).problem(409, "still_needed");
    created(&signer, PROFILES, json!({ "name": "web", "settings": settings(&["claims"]) }));
    let shop = agent(&signer, folder.path(), "shop", "web");
    let issued = let_sign(&signer, &shop);
    created(&signer, "/admin/v1/keys", json!({ "profile": "web" }));
    until("a standby waits", || states(&signer) == ["active", "published"]);

    // In use, it stays.
    let detail = still_needed(ALICE, "DELETE", WEB);
    assert!(detail.contains("in use; retire it first"), "{detail}");
    still_needed(ALICE, "POST", &format!("{WEB}:reinstate"));

    // What is not this interface's to end, and what is not there.
    for (method, path) in [("POST", "default:retire"), ("POST", "default:reinstate"), ("DELETE", "default")] {
        ask(&signer, ALICE, method, &format!("{PROFILES}/{path}"), None).problem(409, "read_only");
        let unknown = format!("{PROFILES}/{}", path.replace("default", "nobody"));
        ask(&signer, ALICE, method, &unknown, None).problem(404, "not_found");
    }

    // Retired, nothing is signed for it, from now on.
    let retired = ask(&signer, BOB, "POST", &format!("{WEB}:retire"), None);
    assert_eq!((retired.status, retired.json()["retired_at"].is_string()), (200, true), "{retired:?}");
    token(&signer, &shop).problem(403, "policy_denied");
    still_needed(ALICE, "POST", &format!("{WEB}:retire"));
    let changed = ask(&signer, ALICE, "PUT", WEB, Some(settings(&["claims"]))).problem(409, "still_needed");
    assert!(changed.contains("reinstate it first"), "{changed}");
    ask(&signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "web" }))).problem(404, "not_found");
    let policy = json!({ "name": "other", "policy": { "profiles": ["web"] } });
    ask(&signer, ALICE, "POST", "/admin/v1/agents", Some(policy)).problem(422, "field_invalid");
    signer.run(&["keys", "generate", "--profile", "web"]).fails(2, "web");

    // What signed stays in the JWK Set for its tokens, what waited for its turn leaves.
    until("its keys come to their end", || states(&signer) == ["retiring", "retired"]);
    until("the set shows one key less", || {
        let jwks = signer.public("/.well-known/jwks.json", &[]).json();
        jwks["keys"].as_array().unwrap().len() == 2
    });
    assert_eq!(signer.verify(&issued, "ES256").json()["verdict"], "accept");
    std::thread::park_timeout(std::time::Duration::from_secs(3));
    assert_eq!(states(&signer), ["retiring", "retired"], "no standby is made for it");

    // What has to happen before it can go, one after the other.
    let detail = still_needed(ALICE, "DELETE", WEB);
    assert!(detail.contains("stands in the policy of shop"), "{detail}");
    let policy = json!({ "profiles": ["default"] });
    assert_eq!(ask(&signer, ALICE, "PUT", "/admin/v1/agents/shop", Some(policy)).status, 200);
    let detail = still_needed(ALICE, "DELETE", WEB);
    assert!(detail.contains("(retires at 2") && detail.contains("schedule-destroy"), "{detail}");
    signer.run(&["profiles", "delete", "web", "--yes"]).fails(1, "keys that are not destroyed");

    // A mistake is mended with a new key; those of before do not come back.
    let reinstated = ask(&signer, ALICE, "POST", &format!("{WEB}:reinstate"), None);
    assert_eq!((reinstated.status, &reinstated.json()["retired_at"]), (200, &Value::Null), "{reinstated:?}");
    let policy = json!({ "profiles": ["web"] });
    assert_eq!(ask(&signer, ALICE, "PUT", "/admin/v1/agents/shop", Some(policy)).status, 200);
    let_sign(&signer, &shop);
    assert_eq!(states(&signer), ["retiring", "retired", "active"]);

    // By command, beside the running signer.
    signer.run(&["profiles", "retire", "web"]).fails(2, "--yes");
    signer.run(&["profiles", "retire", "default", "--yes"]).fails(2, "stands in the configuration");
    signer.run(&["profiles", "retire", "nobody", "--yes"]).fails(1, "no profile nobody");
    signer.run(&["profiles", "delete", "web", "--yes"]).fails(1, "in use");
    signer.run(&["profiles", "retire", "web", "--yes"]).ok();
    signer.run(&["agents", "invite", "late", "--profile", "web"]).fails(2, "edgeseal profiles reinstate web first");
    let listed = signer.run(&["profiles", "list", "--json"]).json();
    assert!(listed["profiles"][1]["retired_at"].is_string(), "{listed}");
    until("the signer follows", || token(&signer, &shop).status == 403);
    until("its keys come to their end", || states(&signer) == ["retiring", "retired", "retiring"]);

    // The last key is destroyed: time is made to pass.
    assert_eq!(ask(&signer, ALICE, "DELETE", "/admin/v1/agents/shop", None).status, 204);
    sql(&signer.dir, "UPDATE keys SET state = 'destroy_scheduled', retired_at = 1, destroy_at = 1 WHERE profile = 'web'");
    until("its keys are destroyed", || states(&signer) == ["destroyed"; 3]);
    until("every signer knows that it is retired", || {
        let answer = ask(&signer, ALICE, "DELETE", WEB, None);
        answer.status == 204 || !answer.problem(409, "still_needed").contains("not every signer")
    });
    ask(&signer, ALICE, "GET", WEB, None).problem(404, "not_found");
    ask(&signer, ALICE, "DELETE", WEB, None).problem(404, "not_found");

    // What it was is still told, and its name is free.
    assert_eq!(states(&signer), ["destroyed"; 3]);
    let audit = ask(&signer, BOB, "GET", "/admin/v1/audit?action=profiles.*&subject=web", None).json();
    let rows = audit["rows"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["action"].as_str().unwrap(), row["actor"].as_str().unwrap())).collect();
    assert_eq!((told[0], told[4]), (("profiles.delete", "admin:alice"), ("profiles.create", "admin:alice")), "{told:?}");
    assert_eq!((told[2].0, told[3]), ("profiles.reinstate", ("profiles.retire", "admin:bob")), "{told:?}");
    assert!(told[1].0 == "profiles.retire" && told[1].1.starts_with("local:"), "{told:?}");
    let concluded = ask(&signer, BOB, "GET", "/admin/v1/audit?action=keys.conclude", None).json();
    assert_eq!(concluded["rows"].as_array().unwrap().len(), 2, "{concluded}");
    created(&signer, PROFILES, json!({ "name": "web", "settings": settings(&["claims"]) }));
    assert_eq!(states(&signer), ["destroyed"; 3]);
}

#[test]
fn an_agent_is_deleted_for_good() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let path = "/admin/v1/agents/shop";
    created(&signer, PROFILES, json!({ "name": "web", "settings": settings(&["claims"]) }));
    let shop = agent(&signer, folder.path(), "shop", "web");
    let_sign(&signer, &shop);
    let mut kept = Open::to(&signer, &shop);
    let body = json!({ "profile": "web", "claims": { "sub": "alice" } });
    assert_eq!(kept.post(&body).unwrap().0, 200);
    let code = ask(&signer, BOB, "POST", &format!("{path}:enrol"), None).json()["code"].as_str().unwrap().to_owned();

    ask(&signer, ALICE, "DELETE", "/admin/v1/agents/demo-app", None).problem(409, "read_only");
    ask(&signer, ALICE, "DELETE", "/admin/v1/agents/nobody", None).problem(404, "not_found");
    assert_eq!(ask(&signer, ALICE, "DELETE", path, None).status, 204);

    // At once, on open connections too, and a code that was out is good for nothing.
    let (status, problem) = kept.post(&body).unwrap();
    assert_eq!((status, &problem["code"]), (403, &json!("agent_unknown")), "{problem}");
    enroll(&signer, &folder.path().join("late"), &code).fails(1, "code_refused");
    ask(&signer, ALICE, "GET", path, None).problem(404, "not_found");
    ask(&signer, ALICE, "DELETE", path, None).problem(404, "not_found");
    let audit = ask(&signer, BOB, "GET", "/admin/v1/audit?action=agents.delete&subject=shop", None).json();
    assert_eq!(audit["rows"][0]["actor"], "admin:alice", "{audit}");

    // Whoever gets the name is somebody else.
    let again = tempdir().unwrap();
    let another = agent(&signer, again.path(), "shop", "web");
    assert_eq!(token(&signer, &another).status, 200);
    assert_eq!(token(&signer, &shop).problem(403, "agent_unknown"), "the certificate of agent shop was revoked");

    // By command.
    signer.run(&["agents", "delete", "shop"]).fails(2, "--yes");
    signer.run(&["agents", "delete", "demo-app", "--yes"]).fails(2, "stands in the configuration");
    signer.run(&["agents", "delete", "nobody", "--yes"]).fails(1, "no agent nobody");
    signer.run(&["agents", "delete", "shop", "--yes"]).ok();
    until("the signer follows", || token(&signer, &another).status == 403);
}

#[test]
fn issuers_are_shown_with_what_they_show() {
    let folder = tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        let issuer = text.lines().find_map(|line| line.strip_prefix("issuer = \"")).unwrap().trim_end_matches('"').to_owned();
        format!("{text}\n[issuers.tenant]\nurl = \"{issuer}/tenant\"\n")
    });
    let issuer = signer.text("issuer").to_owned();
    let mut wanted = settings(&["claims", "digest"]);
    wanted["issuer"] = json!("tenant");
    created(&signer, PROFILES, json!({ "name": "web", "settings": wanted }));
    let shop = agent(&signer, folder.path(), "shop", "web");
    let_sign(&signer, &shop);
    // Asked for, the agent's own key is made.
    let profile = signer.agents_as(&shop, &shop, "GET", "/v1/profiles/web", &[], b"").json();
    let own = profile["digest"]["kid"].as_str().unwrap().to_owned();

    let top = ask(&signer, BOB, "GET", "/admin/v1/issuers/~", None).json();
    assert_eq!((&top["name"], &top["issuer"], &top["profiles"]), (&json!(""), &json!(issuer), &json!(["default"])), "{top}");
    assert_eq!((&top["keys"]["active"], &top["of_agents"]), (&json!(1), &json!([])), "{top}");
    let expected = format!("{issuer}/tenant/agents/shop");
    until("the set of the agent is shown", || {
        let tenant = ask(&signer, BOB, "GET", "/admin/v1/issuers/tenant", None).json();
        assert_eq!((&tenant["profiles"], &tenant["keys"]), (&json!(["web"]), &json!({ "active": 1 })), "{tenant}");
        assert_eq!(tenant["jwks_uri"], format!("{issuer}/tenant/.well-known/jwks.json"));
        tenant["of_agents"][0]["issuer"] == expected
    });
    let tenant = ask(&signer, BOB, "GET", "/admin/v1/issuers/tenant", None).json();
    let of_agent = &tenant["of_agents"][0];
    assert_eq!((&of_agent["agent"], &of_agent["keys"], of_agent["not_after"].is_string()), (&json!("shop"), &json!(1), true));
    // What it says is there.
    let jwks = signer.public(of_agent["jwks_uri"].as_str().unwrap().strip_prefix(&issuer).unwrap(), &[]).json();
    assert_eq!(jwks["keys"][0]["kid"], own, "{jwks}");
    let listed = ask(&signer, BOB, "GET", "/admin/v1/issuers", None).json();
    let counted: Vec<&Value> = listed["issuers"].as_array().unwrap().iter().map(|issuer| &issuer["agent_issuers"]).collect();
    assert_eq!(counted, [&json!(0), &json!(1)], "{listed}");
    ask(&signer, BOB, "GET", "/admin/v1/issuers/nobody", None).problem(404, "not_found");
    ask(&signer, BOB, "POST", "/admin/v1/issuers", Some(json!({}))).problem(405, "method_not_allowed");

    // An agent whose own key verifiers believe cannot just vanish.
    let path = "/admin/v1/agents/shop";
    let detail = ask(&signer, ALICE, "DELETE", path, None).problem(409, "still_needed");
    assert!(detail.contains(&own) && detail.contains(" until 2"), "{detail}");
    signer.run(&["agents", "delete", "shop", "--yes"]).fails(1, "keys of its own");
    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/keys/{own}:compromise"), None).status, 200);
    assert_eq!(ask(&signer, ALICE, "DELETE", path, None).status, 204);
    let _ = fs::remove_dir_all(folder.path().join("shop"));
}
