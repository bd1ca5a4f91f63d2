//! Profiles that come and change while the signer runs, beside those of the configuration file.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, BOB, ask},
    drills::sql,
    support::{AUDIENCE, Signer, edgeseal, run_with_input, until},
};

/// A new agent that may use profile `web`, enrolled: the file of its key and certificate.
fn shop(signer: &Signer, folder: &Path) -> PathBuf {
    let policy = json!({ "profiles": ["web"] });
    assert_eq!(ask(signer, ALICE, "POST", "/admin/v1/agents", Some(json!({ "name": "shop", "policy": policy }))).status, 201);
    let invited = ask(signer, BOB, "POST", "/admin/v1/agents/shop:enrol", None).json();
    let out = folder.join("shop");
    let arguments = ["agent", "enroll", "--url", signer.text("issuer"), "--out", out.to_str().unwrap()];
    run_with_input(&arguments, format!("{}\n", invited["code"].as_str().unwrap()).as_bytes()).ok();
    out.join("agent.pem")
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn profiles_are_created_used_changed_and_kept() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let profiles = "/admin/v1/profiles";
    let settings = json!({ "algorithm": "ES256", "audiences": [AUDIENCE], "max_lifetime": "10m" });
    let with = |name: &str, value: Value| {
        let mut settings = settings.clone();
        settings[name] = value;
        settings
    };

    // What cannot be meant is named.
    for (field, wrong) in [
        ("rsa_bits", with("rsa_bits", json!(1_024))),
        ("max_lifetime", with("max_lifetime", json!("2d"))),
        ("default_lifetime", with("default_lifetime", json!("1h"))),
        ("audiences", with("audiences", json!([]))),
        ("modes", with("modes", json!([]))),
        ("max_session", with("max_session", json!("1m"))),
        ("typ", with("typ", json!("at+jwt; charset=utf-8"))),
        ("typ", with("typ", json!(""))),
        ("typ", with("typ", json!("application/Edgeseal-Revocation+JWT"))),
        ("issuer", with("issuer", json!("nobody"))),
    ] {
        let refused = ask(&signer, ALICE, "POST", profiles, Some(json!({ "name": "web", "settings": wrong })));
        let detail = refused.problem(422, "field_invalid");
        assert_eq!((&refused.json()["field"], detail.starts_with(field)), (&json!(field), true), "{detail}");
    }
    for name in ["W!", ".", ".."] {
        ask(&signer, ALICE, "POST", profiles, Some(json!({ "name": name, "settings": settings }))).problem(422, "field_invalid");
    }
    ask(
        &signer,
        ALICE,
        "POST",
        profiles,
        Some(json!({ "name": "web", "settings": { "algorithm": "none", "audiences": ["a"] } })),
    )
    .problem(400, "request_malformed");
    ask(&signer, ALICE, "POST", profiles, Some(json!({ "name": "default", "settings": settings }))).problem(409, "conflict");

    let made = ask(&signer, ALICE, "POST", profiles, Some(json!({ "name": "web", "settings": settings })));
    assert_eq!(
        (made.status, &made.json()["origin"], &made.json()["max_lifetime"]),
        (201, &json!("store"), &json!(600)),
        "{made:?}"
    );
    ask(&signer, ALICE, "POST", profiles, Some(json!({ "name": "web", "settings": settings }))).problem(409, "conflict");

    // A key is made for it (`dev` rotates nothing by itself), an agent may be given it, and tokens are signed.
    assert_eq!(ask(&signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "web" }))).status, 201);
    let identity = shop(&signer, folder.path());
    let token = |signer: &Signer, ttl: &str| {
        let body = json!({ "profile": "web", "claims": { "sub": "alice" }, "ttl": ttl }).to_string();
        signer.agents_as(&identity, &identity, "POST", "/v1/tokens", &[("content-type", "application/json")], body.as_bytes())
    };
    until("a key of the new profile signs", || {
        let keys = ask(&signer, BOB, "GET", "/admin/v1/keys", None).json();
        let standby = keys["keys"].as_array().unwrap().iter().find(|key| key["profile"] == "web" && key["state"] == "published");
        if let Some(standby) = standby {
            let path = format!("/admin/v1/keys/{}:activate", standby["kid"].as_str().unwrap());
            ask(&signer, ALICE, "POST", &path, None);
        }
        token(&signer, "5m").status == 200
    });
    let issued = token(&signer, "5m").json();
    assert_eq!(signer.verify(issued["token"].as_str().unwrap(), "ES256").json()["verdict"], "accept");
    token(&signer, "20m").problem(403, "policy_denied");

    // While its key cannot remember a longer lifetime, no token gets one: the key would leave the JWK Set before it.
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE OF max_lifetime ON keys BEGIN SELECT RAISE(ABORT, 'refused'); END";
    sql(&signer.dir, refuse);
    // Another signer changed it, as far as this one knows.
    sql(&signer.dir, "UPDATE profiles SET settings = replace(settings, '\"10m\"', '\"25m\"') WHERE name = 'web'");
    sql(&signer.dir, "UPDATE versions SET number = number + 1 WHERE name = 'profiles'");
    std::thread::park_timeout(std::time::Duration::from_secs(1));
    token(&signer, "20m").problem(403, "policy_denied");
    sql(&signer.dir, "DROP TRIGGER refuse");
    until("the change is followed", || token(&signer, "20m").status == 200);

    // A change counts at once, and the key remembers the longest lifetime that it ever allowed.
    let changed = ask(&signer, ALICE, "PUT", "/admin/v1/profiles/web", Some(with("max_lifetime", json!("30m"))));
    assert_eq!((changed.status, &changed.json()["max_lifetime"]), (200, &json!(1_800)), "{changed:?}");
    assert_eq!(token(&signer, "20m").status, 200);
    let active = |signer: &Signer| {
        let keys = ask(signer, BOB, "GET", "/admin/v1/keys", None).json();
        let active = keys["keys"].as_array().unwrap().iter().find(|key| key["profile"] == "web" && key["state"] == "active");
        active.cloned().unwrap_or_else(|| panic!("{keys}"))
    };
    assert_eq!(active(&signer)["max_lifetime"], 1_800);
    let refused = ask(&signer, ALICE, "PUT", "/admin/v1/profiles/web", Some(with("max_lifetime", json!("2d"))));
    refused.problem(422, "field_invalid");
    let narrower = ask(&signer, ALICE, "PUT", "/admin/v1/profiles/web", Some(settings.clone()));
    assert_eq!(narrower.json()["max_lifetime"], 600);
    assert_eq!(active(&signer)["max_lifetime"], 1_800, "its tokens may live so long");
    token(&signer, "20m").problem(403, "policy_denied");
    let detail = ask(&signer, ALICE, "PUT", "/admin/v1/profiles/default", Some(settings.clone())).problem(409, "read_only");
    assert!(detail.contains("configuration file"), "{detail}");
    ask(&signer, ALICE, "PUT", "/admin/v1/profiles/nobody", Some(settings)).problem(404, "not_found");

    // The command line says the same, writes the same, and a running signer follows.
    let listed = signer.run(&["profiles", "list", "--json"]).json();
    let names: Vec<(&str, &str)> = listed["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| (profile["name"].as_str().unwrap(), profile["origin"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("default", "configuration"), ("web", "store")]);
    let dir = signer.dir.display().to_string();
    let set =
        |name: &str, input: &str| run_with_input(&["profiles", "set", name, "--settings", "-", "--dir", &dir], input.as_bytes());
    set("web", "{\"algorithm\":\"ES256\",\"audiences\":[]}").fails(2, "audiences is empty");
    set("default", "{\"algorithm\":\"ES256\",\"audiences\":[\"a\"]}").fails(2, "stands in the configuration");
    set("web", "{\"algorithm\":\"ES256\",\"audiences\":[\"https://other.example.com\"]}").ok();
    until("the signer follows", || {
        ask(&signer, BOB, "GET", "/admin/v1/profiles/web", None).json()["audiences"] == json!(["https://other.example.com"])
    });
    let audit = ask(&signer, BOB, "GET", "/admin/v1/audit?action=profiles.*&subject=web", None).json();
    let actions: Vec<&str> = audit["rows"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["profiles.edit", "profiles.edit", "profiles.edit", "profiles.create"], "{audit}");

    // It is there after a restart.
    let (ready, kept) = (signer.ready.clone(), signer.dir.clone());
    assert_eq!(signer.end(), Some(0));
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(kept.join("edgeseal.toml"));
    let again = Signer::serve(command, &folder.path().join("serve.log"), ready, kept);
    let issued = token(&again, "5m");
    assert_eq!(issued.status, 200, "{issued:?}");
}

#[test]
fn a_profile_that_moves_to_another_issuer_signs_by_a_key_that_is_shown_there() {
    let folder = tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        let issuer = text.lines().find_map(|line| line.strip_prefix("issuer = \"")?.strip_suffix('"')).unwrap().to_owned();
        format!("{text}\n[issuers.tenant]\nurl = \"{issuer}/tenant\"\n")
    });
    let settings = |more: Value| {
        let mut settings = json!({ "algorithm": "ES256", "audiences": [AUDIENCE], "max_lifetime": "10m" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    let web = "/admin/v1/profiles/web";
    let made = json!({ "name": "web", "settings": settings(json!({})) });
    assert_eq!(ask(&signer, ALICE, "POST", "/admin/v1/profiles", Some(made)).status, 201);
    let identity = shop(&signer, folder.path());
    let token = || {
        let body = json!({ "profile": "web", "claims": { "sub": "alice" }, "ttl": "1m" }).to_string();
        signer.agents_as(&identity, &identity, "POST", "/v1/tokens", &[("content-type", "application/json")], body.as_bytes())
    };
    let keys = || {
        let keys = ask(&signer, BOB, "GET", "/admin/v1/keys", None).json();
        keys["keys"].as_array().unwrap().iter().filter(|key| key["profile"] == "web").cloned().collect::<Vec<Value>>()
    };
    let generate = || ask(&signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "web" }))).json();
    let step = |key: &Value, verb: &str| {
        let path = format!("/admin/v1/keys/{}:{verb}", key["kid"].as_str().unwrap());
        assert_eq!(ask(&signer, ALICE, "POST", &path, None).status, 200, "{verb}");
    };
    let first = generate();
    step(&first, "activate");
    until("it signs", || token().status == 200);

    // The longest lifetime is remembered of a key that is suspended too: it may come back.
    step(&first, "suspend");
    assert_eq!(ask(&signer, ALICE, "PUT", web, Some(settings(json!({ "max_lifetime": "20m" })))).status, 200);
    until("the key remembers", || keys()[0]["max_lifetime"] == 1_200);
    step(&first, "resume");
    until("it signs again", || token().status == 200);
    // And of one that was made while the profile changed: whoever tends the keys sees to it.
    sql(&signer.dir, "UPDATE keys SET max_lifetime = 60 WHERE profile = 'web'");
    until("it remembers again", || keys()[0]["max_lifetime"] == 1_200);

    // No verifier of the new issuer would find the key of the old one.
    assert_eq!(ask(&signer, ALICE, "PUT", web, Some(settings(json!({ "issuer": "tenant" })))).status, 200);
    until("the old key signs nothing", || token().status != 200);
    token().problem(409, "key_state");
    let signs = || ask(&signer, BOB, "GET", web, None).json()["kid"].clone();
    assert_eq!(signs(), Value::Null);
    let second = generate();
    step(&second, "activate");
    until("the new issuer's key signs", || token().status == 200);
    let kid = token().json()["kid"].clone();
    assert_eq!((&kid, &signs()), (&second["kid"], &kid));
    let shown = signer.public("/tenant/.well-known/jwks.json", &[]).json();
    assert!(shown["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid), "{shown}");
}
