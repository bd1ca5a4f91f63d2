//! The keys of mode `digest`: an agent's own, made when they are asked for.

use std::{fs, path::Path, time::Duration};

use edgeseal_core::Timestamp;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, ask},
    agent::Agent,
    drills::sql,
    faults::Prepared,
    support::{AUDIENCE, Signer, until},
};

fn signer(folder: &Path, change: impl Fn(String) -> String) -> Signer {
    Signer::configured(folder, &["--alg", "ES256", "--alg", "ES384"], |text| {
        let (before, after) =
            ("[profiles.es384]\nmodes = [\"claims\", \"sd\"]", "[profiles.es384]\nmodes = [\"claims\", \"digest\"]");
        assert!(text.contains(before), "{text}");
        change(text.replace(before, after))
    })
}

/// What the signer tells the agent about its own key.
#[track_caller]
fn described(signer: &Signer, profile: &str) -> Value {
    let answer = signer.agents("GET", &format!("/v1/profiles/{profile}"), &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["digest"].clone()
}

/// The agent's own keys of a profile, the oldest first: kid and state.
fn own(signer: &Signer, profile: &str) -> Vec<(String, String)> {
    let listed = ask(signer, ALICE, "GET", "/admin/v1/keys", None).json();
    let keys = listed["keys"].as_array().unwrap().iter();
    let own = keys.filter(|key| key["agent"] == "demo-app" && key["profile"] == profile);
    own.map(|key| (key["kid"].as_str().unwrap().to_owned(), key["state"].as_str().unwrap().to_owned())).collect()
}

fn states(signer: &Signer, profile: &str) -> Vec<String> {
    own(signer, profile).into_iter().map(|(_, state)| state).collect()
}

fn wish(profile: &str, mode: &str) -> Value {
    json!({ "profile": profile, "mode": mode, "audience": AUDIENCE, "claims": { "sub": "alice" } })
}

#[test]
fn a_key_that_has_to_wait_stops_no_other_mode() {
    let folder = tempdir().unwrap();
    // The wait of a real signer: an hour and ten minutes.
    let signer = signer(folder.path(), |text| {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("dangerous_activation_delay")).collect();
        format!("{}\n", lines.join("\n"))
    });
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    // Whoever asks first has a key at once, and as many as ask make one.
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert!(described(&signer, "default")["kid"].is_string()));
        }
    });
    assert_eq!(states(&signer, "default"), ["active"]);
    agent.token(&wish("default", "digest"));

    // The second profile's key stands in the same set, which verifiers have by now: it waits, and nothing else does.
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(described(&signer, "es384"), Value::Null));
        }
    });
    assert_eq!(states(&signer, "es384"), ["published"]);
    agent.token(&wish("es384", "claims"));
    let detail = agent.post("/v1/tokens", &wish("es384", "digest")).problem(409, "key_state");
    assert!(detail.contains("no key of this agent's own"), "{detail}");

    // So does the next one, where the key that signed is compromised; the daemon learns it, and still gives tokens.
    let (kid, _) = own(&signer, "default").remove(0);
    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:compromise"), None).status, 200);
    agent.post("/v1/tokens", &wish("default", "digest")).problem(409, "key_state");
    agent.token(&wish("default", "claims"));
    assert_eq!(states(&signer, "default"), ["compromised", "published"]);
}

#[test]
fn what_a_person_suspended_stays_so() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), |text| text);
    let agent = Agent::start(folder.path(), &signer, &[signer.text("agent")], "");
    agent.token(&wish("default", "digest"));
    let (kid, _) = own(&signer, "default").remove(0);
    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:suspend"), None).status, 200);
    for _ in 0..3 {
        assert_eq!(described(&signer, "default"), Value::Null);
        agent.post("/v1/tokens", &wish("default", "digest")).problem(409, "key_state");
    }
    assert_eq!(own(&signer, "default"), [(kid.clone(), "suspended".to_owned())]);
    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:resume"), None).json()["state"], "active");
    assert_eq!(described(&signer, "default")["kid"], kid.as_str());
}

#[test]
fn a_standby_whose_time_is_over_leaves_and_is_followed() {
    let folder = tempdir().unwrap();
    let signer = signer(folder.path(), |text| text);
    let first = described(&signer, "default")["kid"].clone();
    // As if it had waited for its turn for a month.
    let past = Timestamp::from_secs(1_600_000_000).as_millis();
    let kid = first.as_str().unwrap();
    let update = format!("UPDATE keys SET state = 'published', activated_at = NULL, not_after = {past} WHERE kid = '{kid}'");
    sql(&signer.path("db"), &update);
    // The signer that leads takes it out; and if it has not come to that yet, another key is made all the same.
    until("another key signs", || {
        let found = described(&signer, "default");
        found["kid"].is_string() && found["kid"] != first
    });
    until("the set lacks it", || states(&signer, "default") == ["retired", "active"]);
    until("verifiers no longer get it", || {
        let set = signer.public("/agents/demo-app/.well-known/jwks.json", &[]).json();
        set["keys"].as_array().unwrap().len() == 1
    });
}

#[test]
fn a_clock_that_is_ahead_for_seconds_makes_no_key_and_lets_none_begin() {
    let prepared = Prepared::new("");
    let clock = prepared.folder.path().join("clock");
    let set = |seconds: &str| {
        let new = clock.with_extension("new");
        fs::write(&new, seconds).unwrap();
        fs::rename(new, &clock).unwrap();
    };
    set("0");
    let dir = prepared.dir.clone();
    let faulty = prepared.serve(&[("FAULT_MODULE_CLOCK", clock.to_str().unwrap())]);
    let first = described(&faulty.signer, "default")["kid"].clone();
    assert!(first.is_string());
    // It ends in 40 hours: now there is nothing to be done for it, 20 hours later there is. The certificates of dev are good for a day.
    sql(&dir, "UPDATE keys SET not_after = created_at + 144000000 WHERE agent = 'demo-app'");
    std::thread::park_timeout(Duration::from_secs(4));
    for seconds in ["72000", "0"] {
        set(seconds);
        for _ in 0..5 {
            assert_eq!(described(&faulty.signer, "default")["kid"], first, "at {seconds}");
            std::thread::park_timeout(Duration::from_secs(1));
        }
        assert_eq!(sql(&dir, "SELECT state FROM keys WHERE agent = 'demo-app'"), [["active"]], "at {seconds}");
    }
    faulty.end_signer();
}
