//! What the console reads over the administrators' interface: agents, the audit log, the ledger of keys, activity.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, BOB, ask},
    support::{AUDIENCE, Signer, run, run_with_input, until},
};

#[test]
fn agents_are_created_enrolled_edited_and_revoked() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let agents = "/admin/v1/agents";
    let policy = json!({ "profiles": ["default"], "required_claims": ["sub"], "rate": 50 });

    // What cannot be meant is named.
    for (field, body) in [
        ("name", json!({ "name": "No/name", "policy": policy })),
        ("profiles", json!({ "name": "shop", "policy": { "profiles": [] } })),
        ("profiles", json!({ "name": "shop", "policy": { "profiles": ["nope"] } })),
        ("rate", json!({ "name": "shop", "policy": { "profiles": ["default"], "rate": 0 } })),
        ("max_lifetime", json!({ "name": "shop", "policy": { "profiles": ["default"], "max_lifetime": 0 } })),
        ("audiences", json!({ "name": "shop", "policy": { "profiles": ["default"], "audiences": [] } })),
        (
            "forbidden_claims",
            json!({ "name": "shop", "policy": { "profiles": ["default"], "required_claims": ["a"], "forbidden_claims": ["a"] } }),
        ),
    ] {
        let refused = ask(&signer, ALICE, "POST", agents, Some(body));
        let detail = refused.problem(422, "field_invalid");
        assert_eq!(refused.json()["field"], field, "{detail}");
        assert!(detail.starts_with(field), "{detail}");
    }

    let made = ask(&signer, ALICE, "POST", agents, Some(json!({ "name": "shop", "policy": policy })));
    assert_eq!((made.status, &made.json()["origin"]), (201, &json!("store")), "{made:?}");
    ask(&signer, ALICE, "POST", agents, Some(json!({ "name": "shop", "policy": policy }))).problem(409, "conflict");
    ask(&signer, ALICE, "POST", agents, Some(json!({ "name": "demo-app", "policy": policy }))).problem(409, "conflict");

    // The code and the command are enough.
    let invited = ask(&signer, BOB, "POST", "/admin/v1/agents/shop:enrol", None);
    assert_eq!(invited.status, 201, "{invited:?}");
    assert_eq!(invited.header("cache-control"), Some("no-store"));
    let invited = invited.json();
    let (code, command) = (invited["code"].as_str().unwrap(), invited["command"].as_str().unwrap());
    assert!(!command.contains(code), "a command line is visible to everybody");
    let out = folder.path().join("shop");
    let mut arguments: Vec<&str> = command.split(' ').skip(1).collect();
    arguments.extend(["--out", out.to_str().unwrap()]);
    assert!(ask(&signer, BOB, "GET", "/admin/v1/agents/shop", None).json()["invited_until"].is_string());
    run_with_input(&arguments, format!("{code}\n").as_bytes()).ok();
    let shown = ask(&signer, BOB, "GET", "/admin/v1/agents/shop", None).json();
    assert_eq!((shown["certificates"].as_array().unwrap().len(), &shown["invited_until"]), (1, &Value::Null), "{shown}");

    let identity = out.join("agent.pem");
    let body = json!({ "profile": "default", "audience": crate::support::AUDIENCE, "claims": { "sub": "a", "role": "x" } });
    let token = || {
        let headers = [("content-type", "application/json")];
        signer.agents_as(&identity, &identity, "POST", "/v1/tokens", &headers, body.to_string().as_bytes())
    };
    assert_eq!(token().status, 200);
    // A change of the policy counts at once.
    let narrower = json!({ "profiles": ["default"], "forbidden_claims": ["role"] });
    let edited = ask(&signer, ALICE, "PUT", "/admin/v1/agents/shop", Some(narrower));
    assert_eq!(edited.json()["policy"]["forbidden_claims"], json!(["role"]), "{edited:?}");
    std::thread::park_timeout(std::time::Duration::from_millis(150));
    token().problem(403, "policy_denied");
    ask(&signer, ALICE, "PUT", "/admin/v1/agents/nobody", Some(policy.clone())).problem(404, "not_found");
    let detail = ask(&signer, ALICE, "PUT", "/admin/v1/agents/demo-app", Some(policy)).problem(409, "read_only");
    assert!(detail.contains("configuration file"), "{detail}");

    assert!(ask(&signer, BOB, "POST", "/admin/v1/agents/shop:revoke", None).json()["revoked_at"].is_string());
    std::thread::park_timeout(std::time::Duration::from_millis(150));
    token().problem(403, "agent_unknown");
    ask(&signer, BOB, "POST", "/admin/v1/agents/nobody:revoke", None).problem(404, "not_found");
    let listed = ask(&signer, BOB, "GET", agents, None).json();
    let names: Vec<(&str, bool)> = listed["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| (agent["name"].as_str().unwrap(), agent["read_only"].as_bool().unwrap()))
        .collect();
    assert_eq!(names, [("demo-app", true), ("shop", false)]);
    // One of the configuration may be enrolled as well, and keeps what stands there.
    assert_eq!(ask(&signer, BOB, "POST", "/admin/v1/agents/demo-app:enrol", None).status, 201);
    let audit = ask(&signer, BOB, "GET", "/admin/v1/audit?action=agents.*&actor=admin:alice", None).json();
    let actions: Vec<&str> = audit["rows"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["agents.edit", "agents.create"], "{audit}");

    // One of the configuration that was revoked is refused until it enrols, also when it has a code.
    let demo = || ask(&signer, BOB, "GET", "/admin/v1/agents/demo-app", None).json()["must_enrol"].clone();
    assert_eq!(demo(), json!(false));
    assert_eq!(ask(&signer, BOB, "POST", "/admin/v1/agents/demo-app:revoke", None).status, 200);
    let invited = ask(&signer, BOB, "POST", "/admin/v1/agents/demo-app:enrol", None).json();
    assert_eq!(demo(), json!(true));
    let (url, out) = (signer.text("issuer"), folder.path().join("demo"));
    let arguments = ["agent", "enroll", "--url", url, "--out", out.to_str().unwrap()];
    run_with_input(&arguments, format!("{}\n", invited["code"].as_str().unwrap()).as_bytes()).ok();
    assert_eq!(demo(), json!(false));
}

#[test]
fn the_log_is_looked_through_found_in_and_exported() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let tokens: Vec<String> = (0..7).map(|_| signer.issue("default")).collect();
    let get = |path: &str| ask(&signer, BOB, "GET", path, None);

    // Page by page it is the same as at once, the latest first.
    let whole = get("/admin/v1/audit?action=token.issue").json();
    let rows = whole["rows"].as_array().unwrap().clone();
    assert_eq!((rows.len(), &whole["next"]), (7, &Value::Null));
    assert!(rows.is_sorted_by(|one, other| one["at"].as_str() >= other["at"].as_str()));
    let (mut pages, mut next) = (Vec::new(), None::<String>);
    loop {
        let cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        let page = get(&format!("/admin/v1/audit?action=token.issue&limit=3{cursor}")).json();
        pages.extend(page["rows"].as_array().unwrap().clone());
        next = page["next"].as_str().map(ToOwned::to_owned);
        if next.is_none() {
            break;
        }
    }
    assert_eq!(pages, rows);
    let moment = rows[3]["at"].as_str().unwrap().split('.').next().unwrap().to_owned() + "Z";
    let parts = [
        get(&format!("/admin/v1/audit?action=token.issue&from={moment}")),
        get(&format!("/admin/v1/audit?action=token.issue&to={moment}")),
    ];
    let counts: Vec<usize> = parts.iter().map(|part| part.json()["rows"].as_array().unwrap().len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 7, "{counts:?}");
    assert_eq!(get("/admin/v1/audit?actor=agent:demo-app&action=token.*").json()["rows"].as_array().unwrap().len(), 7);
    assert_eq!(get("/admin/v1/audit?actor=agent:nobody").json()["rows"], json!([]));
    for (field, wrong) in [("limit", "limit=0"), ("limit", "limit=1001"), ("cursor", "cursor=x"), ("from", "from=yesterday")] {
        let refused = get(&format!("/admin/v1/audit?{wrong}"));
        refused.problem(400, "request_malformed");
        assert_eq!(refused.json()["field"], field);
    }
    get("/admin/v1/audit?colour=red").problem(400, "request_malformed");

    // By the token itself, and by its hash.
    let found = ask(&signer, BOB, "POST", "/admin/v1/audit:find", Some(json!({ "token": tokens[2] }))).json();
    let row = &found["rows"][0];
    assert_eq!((found["rows"].as_array().unwrap().len(), &row["action"]), (1, &json!("token.issue")), "{found}");
    let digest = row["digest"].as_str().unwrap();
    assert_eq!(get(&format!("/admin/v1/audit?digest={digest}")).json()["rows"][0], *row);
    let foreign = ask(&signer, BOB, "POST", "/admin/v1/audit:find", Some(json!({ "token": "eyJhbGciOiJFUzI1NiJ9.e30.AAAA" })));
    assert!([200, 422].contains(&foreign.status) && !foreign.body.contains("token.issue"), "{foreign:?}");
    ask(&signer, BOB, "POST", "/admin/v1/audit:find", Some(json!({ "token": "nonsense" }))).problem(422, "field_invalid");

    // The export proves itself, and the status names the checkpoint that it ends with.
    let exported = get("/admin/v1/audit/export");
    assert_eq!((exported.status, exported.header("content-type")), (200, Some("application/jsonl")), "{}", exported.head);
    let lines: String = unchunked(&exported.body);
    let file = folder.path().join("export.jsonl");
    fs::write(&file, &lines).unwrap();
    let report = run(&["audit", "verify", file.to_str().unwrap(), "--json"]).json();
    assert_eq!((&report["valid"], &report["rows_after_last_checkpoint"]), (&json!(true), &json!(0)), "{report}");
    assert!(lines.contains("audit.export"), "who took it is in it");
    let status = get("/admin/v1/audit/status").json();
    assert!(lines.contains(status["checkpoint"].as_str().unwrap()), "{status}");
    assert_eq!(report["kids"], json!([status["kid"]]));
}

#[test]
fn the_ledger_of_keys_says_what_auditors_ask() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "RS256"]);
    let made =
        ask(&signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default", "label": "=spring, \"26\"" }))).json();
    let ledger = ask(&signer, BOB, "GET", "/admin/v1/audit/ledger", None).json();
    let keys = ledger["keys"].as_array().unwrap();
    let entry = keys.iter().find(|key| key["kid"] == made["kid"]).unwrap();
    for (member, says) in [
        ("owner", "profile default"),
        ("purpose", "signs tokens"),
        ("generation", "inside the HSM"),
        ("generated_by", "admin:alice"),
        ("storage", "SoftHSM"),
        ("distribution", "JWK Set"),
        ("recovery", "replaced by another"),
        ("destruction", "two people"),
        ("state", "published"),
    ] {
        assert!(entry[member].as_str().unwrap().contains(says), "{member}: {entry}");
    }
    let purposes: BTreeSet<&str> = keys.iter().map(|key| key["purpose"].as_str().unwrap()).collect();
    assert!(purposes.contains("signs checkpoints of the audit log"), "{purposes:?}");
    let csv = ask(&signer, BOB, "GET", "/admin/v1/audit/ledger?format=csv", None);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.body.contains("\"'=spring, \"\"26\"\"\""), "{}", csv.body);
    ask(&signer, BOB, "GET", "/admin/v1/audit/ledger?format=xml", None).problem(400, "request_malformed");
    // The command says the same.
    let said = signer.run(&["audit", "ledger"]).json();
    assert_eq!(said["keys"].as_array().unwrap().len(), keys.len());
    let file = folder.path().join("keys.csv");
    signer.run(&["audit", "ledger", "--csv", "--out", file.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), csv.body.lines().count());
}

#[test]
fn the_command_knows_the_profiles_of_the_store() {
    let folder = tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        text.replace("automatic = false", "automatic = true\nafter = \"1d\"")
    });
    let settings = json!({ "algorithm": "ES256", "audiences": [AUDIENCE], "max_lifetime": "10m" });
    let made = json!({ "name": "web", "settings": settings });
    assert_eq!(ask(&signer, ALICE, "POST", "/admin/v1/profiles", Some(made)).status, 201);
    let of_web = |ledger: &Value| {
        let keys = ledger["keys"].as_array().unwrap();
        keys.iter().find(|key| key["owner"].as_str().unwrap().contains("profile web") && key["state"] == "active").cloned()
    };
    let mut shown = None;
    until("a key of the new profile signs", || {
        shown = of_web(&ask(&signer, BOB, "GET", "/admin/v1/audit/ledger", None).json());
        shown.is_some()
    });
    assert!(shown.as_ref().unwrap()["rotation_at"].as_str().unwrap().starts_with("20"), "{shown:?}");
    assert_eq!(of_web(&signer.run(&["audit", "ledger"]).json()), shown);
}

#[test]
fn activity_is_told_once_and_as_it_goes_on() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    for _ in 0..5 {
        signer.issue("default");
    }
    signer.ask("{\"profile\":\"nope\"}").problem(403, "policy_denied");
    let look = || ask(&signer, BOB, "GET", "/admin/v1/activity", None).json();
    until("the canary was signed", || look()["ready"] == true);
    until("the second is over", || look()["issuance"]["p99_ms"].is_number());
    let seen = look();
    assert_eq!((&seen["issuance"]["issued"], &seen["issuance"]["refused"]["policy_denied"]), (&json!(5), &json!(1)), "{seen}");
    assert_eq!((&seen["hsm"]["breaker"], &seen["not_ready"]), (&json!("closed"), &Value::Null), "{seen}");
    assert!(
        seen["hsm"]["signatures"].as_u64().unwrap() >= 5 && seen["hsm"]["library"].as_str().unwrap().contains("SoftHSM"),
        "{seen}"
    );
    assert!(seen["issuance"]["p50_ms"].as_f64().unwrap() > 0.0 && seen["issuance"]["rate"].as_f64().unwrap() > 0.0, "{seen}");
    // A stream ends when the signer does, and does not hold it up.
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| ask(&signer, BOB, "GET", "/admin/v1/activity/events", None));
        std::thread::park_timeout(std::time::Duration::from_millis(2_500));
        let began = std::time::Instant::now();
        signer.signal("TERM");
        let told = stream.join().unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!((told.status, told.header("content-type")), (200, Some("text/event-stream")));
        let events = unchunked(&told.body);
        let events: Vec<Value> = events
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        assert!(events.len() >= 2 && events.iter().all(|event| event["issuance"]["issued"] == 5), "{events:?}");
    });
}

/// A body without its chunks' lengths.
fn unchunked(body: &str) -> String {
    let (mut rest, mut whole) = (body, String::new());
    while let Some((length, more)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&more[..length]);
        rest = more.get(length + 2..).unwrap_or_default();
        if length == 0 {
            break;
        }
    }
    whole
}
