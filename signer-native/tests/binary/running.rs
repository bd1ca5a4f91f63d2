//! The signer as its users meet it: the binary, a real `SoftHSM` token, HTTPS.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use edgeseal_core::{Jwk, JwkSet};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{AUDIENCE, Signer, client, edgeseal, request, run, until, write_private};

/// Every algorithm that `SoftHSM` has, with its profile in `dev`.
const PROFILES: [(&str, &str); 11] = [
    ("default", "ES256"),
    ("es384", "ES384"),
    ("es512", "ES512"),
    ("rs256", "RS256"),
    ("rs384", "RS384"),
    ("rs512", "RS512"),
    ("ps256", "PS256"),
    ("ps384", "PS384"),
    ("ps512", "PS512"),
    ("eddsa", "EdDSA"),
    ("ed25519", "Ed25519"),
];

#[test]
fn every_algorithm_signs_inside_and_verifies() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &[]);
    let told: Vec<(&str, &str)> = signer.ready["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|profile| (profile["name"].as_str().unwrap(), profile["algorithm"].as_str().unwrap()))
        .collect();
    assert_eq!(told, PROFILES);
    for (profile, algorithm) in PROFILES {
        let token = signer.issue(profile);
        let verdict = signer.verify(&token, algorithm).json();
        assert_eq!(verdict["verdict"], "accept", "{algorithm}");
        assert_eq!(verdict["header"]["alg"], algorithm);
        assert_eq!(verdict["header"]["typ"], "JWT");
        let claims = &verdict["claims"];
        assert_eq!(
            (&claims["iss"], &claims["aud"], &claims["sub"]),
            (&signer.ready["issuer"], &json!(AUDIENCE), &json!("alice"))
        );
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    }
    jwk_set_is_in_order(&signer);
    attributes_are_as_asked(&signer);
    assert_eq!(signer.end(), Some(0));
}

/// RSA before EC before OKP; every key with kid, alg, use, and its thumbprint as kid.
fn jwk_set_is_in_order(signer: &Signer) {
    let text = signer.public("/.well-known/jwks.json", &[]).body;
    let set = JwkSet::from_json(&text).unwrap();
    assert_eq!((set.keys().len(), set.skipped().len()), (PROFILES.len(), 0));
    let document: Value = serde_json::from_str(&text).unwrap();
    let types: Vec<&str> = document["keys"].as_array().unwrap().iter().map(|key| key["kty"].as_str().unwrap()).collect();
    assert_eq!(types, [["RSA"; 6].as_slice(), ["EC"; 3].as_slice(), ["OKP"; 2].as_slice()].concat());
    for key in document["keys"].as_array().unwrap() {
        assert_eq!(key["use"], "sig");
        let jwk = Jwk::from_json(&key.to_string()).unwrap();
        assert_eq!(jwk.kid(), Some(jwk.thumbprint().as_str()));
        assert_eq!(jwk.algorithm().unwrap().name(), key["alg"]);
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none());
        }
    }
}

/// What another tool says of the keys.
fn attributes_are_as_asked(signer: &Signer) {
    let pin = std::fs::read_to_string(signer.path("pin_file")).unwrap();
    let listed = std::process::Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", signer.path("softhsm_conf"))
        .arg("--module")
        .arg(signer.path("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", &pin, "--list-objects", "--type", "privkey"])
        .output()
        .expect("pkcs11-tool (Debian: apt install opensc)");
    let text = String::from_utf8(listed.stdout).unwrap();
    let access: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("Access:")).map(str::trim).collect();
    // Those of the profiles, and the signer's own for the audit log.
    assert_eq!(access.len(), PROFILES.len() + 1, "{text}");
    for line in access {
        for word in ["sensitive", "always sensitive", "never extractable", "local"] {
            assert!(line.contains(word), "{line}");
        }
    }
    for usage in text.lines().filter(|line| line.trim_start().starts_with("Usage:")) {
        assert_eq!(usage.split_whitespace().collect::<Vec<_>>(), ["Usage:", "sign"]);
    }
}

#[test]
fn public_documents() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let issuer = signer.text("issuer");

    let jwks = signer.public("/.well-known/jwks.json", &[]);
    assert_eq!(jwks.status, 200);
    assert_eq!(jwks.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(jwks.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(jwks.header("access-control-allow-origin"), Some("*"));
    let etag = jwks.header("etag").unwrap();
    let again = signer.public("/.well-known/jwks.json", &[("if-none-match", &format!("\"other\", W/{etag}"))]);
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(etag)));
    assert_eq!(signer.public("/.well-known/jwks.json", &[("if-none-match", "\"other\"")]).status, 200);

    let discovery = signer.public("/.well-known/openid-configuration", &[]);
    assert_eq!(discovery.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        discovery.json(),
        json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    );
    let metadata = signer.public("/.well-known/oauth-authorization-server", &[]).json();
    assert_eq!((&metadata["issuer"], &metadata["jwks_uri"]), (&json!(issuer), &signer.ready["jwks_uri"]));

    assert_eq!(signer.public("/healthz", &[]).body, "ok\n");
    until("ready", || signer.public("/readyz", &[]).status == 200);
    let health = signer.public("/readyz", &[("origin", "https://evil.example")]);
    assert_eq!(health.header("access-control-allow-origin"), None, "only the documents are for every origin");
    signer.public("/v1/tokens", &[]).problem(404, "not_found");
    // RFC 9110 section 15.5.6: which methods there are.
    for path in ["/healthz", "/.well-known/jwks.json", "/tenant/.well-known/jwks.json"] {
        let tls = client(&signer.path("ca"), None).unwrap();
        let refused = request(issuer, tls, "POST", path, &[], b"").unwrap();
        refused.problem(405, "method_not_allowed");
        assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{path}");
    }
}

#[test]
fn agents_are_known_by_their_certificate() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    // Without a certificate there is no HTTP at all.
    let tls = client(&signer.path("ca"), None).unwrap();
    assert!(request(signer.text("agent"), tls, "GET", "/v1/profiles/default", &[], b"").is_err());
    // A certificate of the right authority for another purpose.
    let server = (signer.dir.join("tls/server.crt"), signer.dir.join("tls/server.key"));
    let tls = client(&signer.path("ca"), Some((&server.0, &server.1))).unwrap();
    assert!(request(signer.text("agent"), tls, "GET", "/v1/profiles/default", &[], b"").is_err());
    // Another authority's agent of the same name.
    let elsewhere = folder.path().join("elsewhere");
    let stranger = Signer::dev(&elsewhere_folder(&elsewhere), &["--alg", "ES256"]);
    let tls = client(&signer.path("ca"), Some((&stranger.path("agent_cert"), &stranger.path("agent_key")))).unwrap();
    assert!(request(signer.text("agent"), tls, "GET", "/v1/profiles/default", &[], b"").is_err());
    // The right one.
    let profile = signer.agents("GET", "/v1/profiles/default", &[], b"").json();
    assert_eq!(profile["kid"], signer.ready["profiles"][0]["kid"]);
    assert_eq!((&profile["algorithm"], &profile["max_lifetime"]), (&json!("ES256"), &json!(3_600)));
    // One whose name is not configured, from the same authority: dev writes another agent's certificate beside.
    let (certificate, key) = (signer.path("agent_cert"), signer.path("agent_key"));
    let kept = (folder.path().join("old.crt"), folder.path().join("old.key"));
    std::fs::copy(certificate, &kept.0).unwrap();
    std::fs::copy(key, &kept.1).unwrap();
    assert_eq!(signer.end(), Some(0));
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--agent", "other-app"]);
    let refused = signer.agents_as(&kept.0, &kept.1, "GET", "/v1/profiles/default", &[], b"");
    assert_eq!(refused.problem(403, "agent_unknown"), "no agent demo-app is known here");
}

fn elsewhere_folder(path: &Path) -> std::path::PathBuf {
    std::fs::create_dir(path).unwrap();
    path.to_owned()
}

#[test]
fn what_agents_may_not_ask() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    // The one that is named, where any may be asked for.
    assert_eq!(signer.ask(r#"{"profile":"default"}"#).status, 200);
    for claim in ["iss", "aud", "exp", "nbf", "iat", "jti", "cnf"] {
        let body = json!({ "profile": "default", "audience": AUDIENCE, "claims": { claim: 1 } });
        let detail = signer.ask(&body.to_string()).problem(403, "policy_denied");
        assert!(detail.starts_with(&format!("claim {claim} may not be set by the caller")), "{detail}");
    }
    for (body, status, code, says) in [
        (
            r#"{"profile":"default","audience":"a","ttl":"2h"}"#,
            403,
            "policy_denied",
            "profile default allows at most 1h; 2h was asked",
        ),
        (r#"{"profile":"default","audience":"a","ttl":0}"#, 403, "policy_denied", "at least 1s"),
        (r#"{"profile":"rs256","audience":"a"}"#, 403, "policy_denied", "may not use profile \"rs256\""),
        (r#"{"profile":"default","audience":"a","claims":{"sub":1}}"#, 422, "claims_unacceptable", "sub"),
        (r#"{"profile":"default","audience":"a","claims":{"a":1,"a":2}}"#, 400, "request_malformed", "twice"),
        (r#"{"profile":"default","audience":"a","claims":{"a":{"b":1,"b":2}}}"#, 400, "request_malformed", "twice"),
        (r#"{"profile":"default","profile":"default"}"#, 400, "request_malformed", "duplicate field"),
        (r#"{"profile":"default","audience":"a","extra":1}"#, 400, "request_malformed", "unknown field `extra`"),
        (r#"{"profile":"default","audience":"a","ttl":"soon"}"#, 400, "request_malformed", "span of time"),
        (r#"{"profile":"default","audience":7}"#, 400, "request_malformed", ""),
        (r#"{"audience":"a"}"#, 400, "request_malformed", "missing field `profile`"),
        ("", 400, "request_malformed", ""),
        ("[]", 400, "request_malformed", ""),
    ] {
        let detail = signer.ask(body).problem(status, code);
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let deep = format!(r#"{{"profile":"default","audience":"a","claims":{{"a":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    signer.ask(&deep).problem(400, "request_malformed");
    let large = json!({ "profile": "default", "audience": "a", "claims": { "a": "x".repeat(33_000) } });
    signer.ask(&large.to_string()).problem(413, "body_too_large");
    let beyond = json!({ "profile": "default", "audience": "a", "claims": { "a": "x".repeat(13_000) } });
    signer.ask(&beyond.to_string()).problem(422, "claims_unacceptable");
    signer.agents("POST", "/v1/tokens", &[("content-type", "text/plain")], b"{}").problem(415, "unsupported_media_type");
    signer.agents("GET", "/v1/tokens", &[], b"").problem(405, "method_not_allowed");
    signer.agents("GET", "/v1/profiles/nope", &[], b"").problem(403, "policy_denied");
    signer.agents("GET", "/.well-known/jwks.json", &[], b"").problem(404, "not_found");
    // The same through the command line.
    signer.run(&["token", "issue", "--audience", "a", "--claim", "iss=me"]).fails(1, "policy_denied: claim iss may not be set");
    // And what may be asked.
    let answer =
        signer.ask(&json!({ "profile": "default", "audience": ["a", "b"], "ttl": 1, "claims": { "n": 1.5 } }).to_string());
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let token = answer.json();
    assert_eq!(token["kid"], signer.ready["profiles"][0]["kid"]);
    let shown = run(&["token", "inspect", token["token"].as_str().unwrap(), "--json"]).json();
    assert_eq!(
        (&shown["claims"]["aud"], &shown["claims"]["n"], &shown["verified"]),
        (&json!(["a", "b"]), &json!(1.5), &json!(false))
    );
}

#[test]
fn rotation_is_picked_up_by_the_running_signer() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let first = signer.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();
    let old = signer.issue("default");

    let second = signer.run(&["keys", "generate", "--json"]).json();
    let second = second["kid"].as_str().unwrap();
    let listed = |signer: &Signer| {
        let keys = signer.run(&["keys", "list", "--json"]).json();
        let mut keys: Vec<(String, String)> = keys
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["purpose"] == "token")
            .map(|key| (key["kid"].as_str().unwrap().to_owned(), key["state"].as_str().unwrap().to_owned()))
            .collect();
        keys.sort();
        keys
    };
    let states = |first_is: &str, second_is: &str| {
        let mut keys = vec![(first.clone(), first_is.to_owned()), (second.to_owned(), second_is.to_owned())];
        keys.sort();
        keys
    };
    assert_eq!(listed(&signer), states("active", "published"));
    until("both keys in the JWK Set", || signer.public("/.well-known/jwks.json", &[]).body.contains(second));
    let kid = |token: &str| run(&["token", "inspect", token, "--json"]).json()["header"]["kid"].as_str().unwrap().to_owned();
    assert_eq!(kid(&signer.issue("default")), first, "a standby does not sign");

    signer.run(&["keys", "activate", &second[..8]]).ok();
    until("the new key signs", || kid(&signer.issue("default")) == second);
    assert_eq!(listed(&signer), states("retiring", "active"));
    let jwks = signer.public("/.well-known/jwks.json", &[]).body;
    assert!(jwks.contains(&first) && jwks.contains(second), "the old key stays while its tokens live");
    assert_eq!(signer.verify(&old, "ES256").json()["verdict"], "accept");
    signer.run(&["keys", "retire", &first]).fails(1, "refused: tokens signed with key");
    signer.run(&["keys", "activate", &first]).fails(1, "is retiring, and only a key that is published");
    signer.run(&["keys", "activate", "nope"]).fails(1, "no key has the kid \"nope\"");
    signer.run(&["keys", "activate", "-nope"]).fails(1, "no key has the kid \"-nope\"");
    signer.run(&["keys", "generate", "--profile", "nope"]).fails(2, "the profiles are default");

    // Killed in the middle of everything, it comes back with the same keys.
    signer.kill();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    assert_eq!(signer.ready["profiles"][0]["kid"], second);
    assert_eq!(kid(&signer.issue("default")), second);
}

#[test]
fn a_standby_waits_as_the_rules_say() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--activation-delay", "1h"]);
    let standby = signer.run(&["keys", "generate", "--json"]).json();
    let refused = signer.run(&["keys", "activate", standby["kid"].as_str().unwrap()]);
    refused.fails(1, standby["can_sign_from"].as_str().unwrap());
}

#[test]
fn large_rsa_keys() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "PS256"]);
    let file = signer.dir.join("edgeseal.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for bits in ["3072", "4096"] {
        crate::support::write_private(
            &file,
            &text.replace("algorithm = \"PS256\"", &format!("algorithm = \"PS256\"\nrsa_bits = {bits}")),
        );
        let key = signer.run(&["keys", "generate", "--json"]).json();
        assert_eq!(key["key"], format!("RSA {bits}"));
        signer.run(&["keys", "activate", key["kid"].as_str().unwrap()]).ok();
        until("the key signs", || {
            let verdict = signer.verify(&signer.issue("default"), "PS256").json();
            verdict["verdict"] == "accept" && verdict["header"]["kid"] == key["kid"]
        });
    }
}

#[test]
fn the_token_directory_goes_away_and_comes_back() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    signer.issue("default");
    let (tokens, away) = (signer.dir.join("tokens"), signer.dir.join("away"));
    std::fs::rename(&tokens, &away).unwrap();
    let body = json!({ "profile": "default", "audience": AUDIENCE }).to_string();
    until("the loss is noticed", || signer.ask(&body).status != 200);
    let refused = signer.ask(&body);
    refused.problem(503, "hsm_unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(signer.public("/.well-known/jwks.json", &[]).status, 200, "the JWK Set stays up");
    until("it is not ready", || signer.public("/readyz", &[]).status == 503);
    std::fs::rename(&away, &tokens).unwrap();
    until("it signs again without a restart", || signer.ask(&body).status == 200);
    until("it is ready again", || signer.public("/readyz", &[]).status == 200);
}

#[test]
fn a_first_start_is_ready_as_soon_as_each_profile_has_a_key() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "ES384"]);
    let (ready, dir, file) = (dev.ready.clone(), dev.dir.clone(), dev.dir.join("first.toml"));
    assert_eq!(dev.end(), Some(0));
    // By the rules that hold outside of dev, and with a store that has nothing.
    let text = fs::read_to_string(dir.join("edgeseal.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("dangerous_activation_delay")).collect();
    let text = lines.join("\n").replace("automatic = false", "automatic = true").replace("\"edgeseal.db\"", "\"first.db\"");
    write_private(&file, &text);
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file);
    let (began, log) = (Instant::now(), folder.path().join("first.log"));
    let signer = Signer::serve(command, &log, ready, dir);
    assert!(began.elapsed() < Duration::from_secs(8), "less than a turn of what looks after the keys: {:?}", began.elapsed());
    signer.issue("default");
    signer.issue("es384");
    assert_eq!(signer.end(), Some(0));
    let said = fs::read_to_string(log).unwrap();
    assert!(!said.contains("edgeseal keys generate"), "nobody has anything to do: {said}");
}

#[test]
fn doctor_finds_nothing_wrong() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let found = signer.run(&["doctor", "--json"]);
    // The agents' certificates of dev live long enough, so all is well.
    let report = found.json();
    assert_eq!(report["ok"], true, "{report}");
    let checks: Vec<&str> = report["checks"].as_array().unwrap().iter().map(|check| check["check"].as_str().unwrap()).collect();
    for check in ["configuration", "module", "token", "mechanisms", "store", "clock", "speed", "certificate"] {
        assert!(checks.contains(&check), "{check} is not in {checks:?}");
    }
    // Its test signatures are in the ledger, with what is in them; and without them there is no row.
    let rows = || crate::drills::sql(&signer.path("db"), "SELECT body FROM audit WHERE body LIKE '%\"keys.measure\"%'");
    let said = rows();
    assert_eq!(said.len(), 1, "{said:?}");
    let body = said[0][0].as_str().unwrap();
    assert!(body.contains(signer.ready["profiles"][0]["kid"].as_str().unwrap()) && body.contains("nonce"), "{body}");
    signer.run(&["doctor", "--no-speed"]).ok();
    assert_eq!(rows().len(), 1);
    // A certificate that ended is found, with what mends it.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    fs::write(signer.dir.join("tls/server.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    let said = signer.run(&["doctor"]);
    assert_eq!(said.code, 1, "{said:?}");
    let line = said.out.lines().find(|line| line.contains("listen.agents.certificate")).unwrap();
    assert!(
        line.contains("✗ certificate") && line.contains("ended on 2020-01-02") && line.contains("mend: put a new one there"),
        "{line}"
    );
}
