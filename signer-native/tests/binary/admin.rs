//! The administrators' listener: who may come, what two people do together, certificates that are renewed.

use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Answer, Signer, client, request, until};

/// One request of an administrator of `dev`.
pub(crate) fn ask(signer: &Signer, who: usize, method: &str, path: &str, body: Option<Value>) -> Answer {
    let identity = &signer.ready["administrators"][who];
    let (certificate, key) = (identity["cert"].as_str().unwrap(), identity["key"].as_str().unwrap());
    let tls = client(&signer.path("ca"), Some((certificate.as_ref(), key.as_ref()))).unwrap();
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
    request(signer.text("admin"), tls, method, path, headers, body.as_bytes()).unwrap()
}

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

#[test]
fn the_life_of_keys_over_the_wire() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let first = signer.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();
    let path = |kid: &str, verb: &str| format!("/admin/v1/keys/{kid}:{verb}");

    let made = ask(&signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default", "label": "spring" })));
    assert_eq!((made.status, &made.json()["label"]), (201, &json!("spring")), "{made:?}");
    let second = made.json()["kid"].as_str().unwrap().to_owned();
    assert_eq!(ask(&signer, ALICE, "POST", &path(&second, "activate"), None).json()["state"], "active");
    let listed = ask(&signer, BOB, "GET", "/admin/v1/keys", None).json();
    let states: Vec<&str> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["purpose"] == "token")
        .map(|key| key["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["retiring", "active"]);
    assert_eq!(ask(&signer, BOB, "GET", &format!("/admin/v1/keys/{first}"), None).json()["state"], "retiring");
    assert_eq!(ask(&signer, BOB, "GET", "/admin/v1/profiles", None).json()["profiles"][0]["kid"], second.as_str());
    assert_eq!(ask(&signer, BOB, "GET", "/admin/v1/issuers", None).json()["issuers"][0]["issuer"], signer.ready["issuer"]);

    // What may not be.
    let detail = ask(&signer, BOB, "POST", &path(&first, "retire"), None).problem(409, "key_state");
    assert!(detail.contains("live until 20"), "the earliest allowed time: {detail}");
    ask(&signer, BOB, "POST", &path("nope", "retire"), None).problem(404, "not_found");
    ask(&signer, BOB, "POST", &path(&first, "explode"), None).problem(404, "not_found");
    ask(&signer, BOB, "POST", &format!("/admin/v1/keys/{first}"), None).problem(405, "method_not_allowed");
    let long = Some(json!({ "profile": "default", "label": "x".repeat(65) }));
    let refused = ask(&signer, BOB, "POST", "/admin/v1/keys", long);
    assert_eq!((refused.problem(422, "field_invalid").is_empty(), &refused.json()["field"]), (false, &json!("label")));
    ask(&signer, BOB, "POST", &path(&first, "retire"), Some(json!({ "days": 7 }))).problem(400, "request_malformed");
    ask(&signer, BOB, "POST", &path(&first, "retire"), Some(json!({ "x": 7 }))).problem(400, "request_malformed");
    ask(&signer, BOB, "POST", "/admin/v1/keys", Some(json!({ "profile": "nope" }))).problem(404, "not_found");
    ask(&signer, BOB, "DELETE", "/admin/v1/keys", None).problem(405, "method_not_allowed");
    let emergency = Some(json!({ "emergency": true }));
    let third = signer.run(&["keys", "generate", "--json"]).json()["kid"].as_str().unwrap().to_owned();
    let detail = ask(&signer, BOB, "POST", &path(&third, "activate"), emergency).problem(409, "key_state");
    assert!(detail.contains("need not sign at once"), "{detail}");

    // Two people.
    assert_eq!(ask(&signer, BOB, "POST", &path(&first, "compromise"), None).json()["state"], "compromised");
    ask(&signer, ALICE, "POST", &path(&first, "schedule-destroy"), Some(json!({ "days": 31 }))).problem(400, "request_malformed");
    let proposed = ask(&signer, ALICE, "POST", &path(&first, "schedule-destroy"), Some(json!({ "days": 10 })));
    assert_eq!((proposed.status, proposed.json()["proposer"].as_str()), (202, Some("admin:alice")), "{proposed:?}");
    let approval = proposed.json()["proposal"].as_str().unwrap().to_owned();
    let open = ask(&signer, BOB, "GET", "/admin/v1/approvals", None).json();
    assert_eq!(open["approvals"][0]["proposal"], approval.as_str());
    let approve = format!("/admin/v1/approvals/{approval}:approve");
    let detail = ask(&signer, ALICE, "POST", &approve, None).problem(403, "own_approval");
    assert!(detail.contains("never counts"), "{detail}");
    ask(&signer, ALICE, "POST", &path(&first, "schedule-destroy"), None).problem(403, "own_approval");
    let other = ask(&signer, BOB, "POST", &path(&first, "schedule-destroy"), Some(json!({ "days": 30 })));
    assert!(other.problem(409, "still_needed").contains("proposed 10 days, not 30"), "{other:?}");
    let approved = ask(&signer, BOB, "POST", &approve, None);
    assert_eq!((approved.status, approved.json()["state"].as_str()), (200, Some("destroy_scheduled")), "{approved:?}");
    ask(&signer, BOB, "POST", &approve, None).problem(404, "not_found");
    assert_eq!(ask(&signer, ALICE, "POST", &path(&first, "cancel-destroy"), None).json()["state"], "compromised");
    // A proposal that is taken back cannot be approved.
    let proposed = ask(&signer, ALICE, "POST", &path(&first, "schedule-destroy"), None).json();
    let approval = proposed["proposal"].as_str().unwrap();
    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/approvals/{approval}:withdraw"), None).status, 204);
    ask(&signer, BOB, "POST", &format!("/admin/v1/approvals/{approval}:approve"), None).problem(404, "not_found");
}

#[test]
fn certificates_are_renewed_without_a_restart() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let signer = Signer::dev(one.path(), &["--alg", "ES256"]);
    let other = Signer::dev(two.path(), &["--alg", "ES256"]);
    let answers = |ca: &std::path::Path| {
        let tls = client(ca, None).unwrap();
        request(signer.text("issuer"), tls, "GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
    };
    let (ours, theirs) = (signer.path("ca"), other.path("ca"));
    assert!(answers(&ours) && !answers(&theirs));
    // Half written: the one of before stays.
    fs::write(signer.dir.join("tls/server.crt"), "nonsense").unwrap();
    signer.signal("HUP");
    assert!(answers(&ours));
    for file in ["tls/server.key", "tls/server.crt"] {
        fs::copy(other.dir.join(file), signer.dir.join(file)).unwrap();
    }
    signer.signal("HUP");
    until("the new certificate is shown", || answers(&theirs));
    assert!(!answers(&ours));
}
