//! The schema of the gateway's configuration judges as the Worker does. Of what a schema cannot say, such as what a pattern of paths is, there
//! is nothing here.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use edgeseal_core::gateway::{GatewaySettings, SCHEMA};
use serde_json::{Value, json};

const CONTROL_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"XmAsScyg314U6t7fJc-qILOz-V4BGOXybXm1JdAIpIg","y":"B-nF-j_htaLdCfoYTi7z0fbkL8AaBKTE3VJHjFMfzxs","alg":"ES256","kid":"KID"}"#;

/// A member of a configuration that is good without it, and whether it is good with it.
fn members() -> Vec<(&'static str, Value, bool)> {
    let issuer = |more: Value| {
        let mut issuer = json!({ "issuer": "https://i.example", "audience": "a", "algorithms": ["ES256"] });
        for (name, value) in more.as_object().unwrap() {
            issuer[name] = value.clone();
        }
        json!([issuer])
    };
    let required = |require: Value| json!([{ "match": "/a", "require": require }]);
    let revocation = |keys: usize, refresh: u64| {
        let keys: Vec<String> = (0..keys).map(|index| CONTROL_KEY.replace("KID", &index.to_string())).collect();
        json!({ "edge": "e", "control_keys": keys, "refresh": refresh })
    };
    let mut members = vec![
        ("echo", json!(true), true),
        ("echo", json!(false), false),
        ("origin", json!("https://o.example"), false),
        ("nonsense", json!(1), false),
        ("issuers", json!([]), false),
        ("issuers", json!([{ "preset": "google", "audience": "a" }]), true),
        ("issuers", json!([{ "preset": "google" }]), false),
        ("issuers", json!([{ "issuer": "https://i.example", "audience": "a" }]), false),
        (
            "issuers",
            json!([{ "issuer": "https://i.example", "algorithms": ["ES256"], "dangerous": { "skip_audience": true } }]),
            true,
        ),
        ("issuers", issuer(json!({ "dangerous": { "skip_audience": true } })), false),
        ("issuers", issuer(json!({ "dangerous": { "skip_audience": false } })), true),
        ("issuers", issuer(json!({ "audience": [] })), false),
        ("issuers", issuer(json!({ "algorithms": [] })), false),
        ("issuers", issuer(json!({ "algorithms": ["HS256"] })), false),
        ("issuers", issuer(json!({ "require_key_exp": true })), true),
        ("issuers", issuer(json!({ "leeway": 300 })), true),
        ("issuers", issuer(json!({ "leeway": 301 })), false),
        ("routes", json!([{ "match": "/a", "methods": [] }]), false),
        ("routes", json!([{ "match": "/a", "methods": ["get"] }]), false),
        ("routes", json!([{ "match": [] }]), false),
        ("routes", required(json!({})), false),
        ("routes", required(json!({ "scope": "a b" })), true),
        ("routes", required(json!({ "roles": "" })), false),
        ("revocation", revocation(0, 10), false),
        ("revocation", revocation(1, 10), true),
        ("revocation", revocation(4, 10), true),
        ("revocation", revocation(5, 10), false),
        ("revocation", revocation(1, 0), false),
        ("revocation", revocation(1, 1), true),
        ("revocation", revocation(1, 300), true),
        ("revocation", revocation(1, 301), false),
        ("dpop", json!({}), true),
        ("dpop", json!({ "algorithms": [] }), false),
        ("dpop", json!({ "max_age": 0 }), false),
        ("dpop", json!({ "max_age": 1 }), true),
        ("dpop", json!({ "max_age": 300 }), true),
        ("dpop", json!({ "max_age": 301 }), false),
        ("cache", json!({ "stale_if_error": 0 }), true),
        ("cache", json!({ "stale_if_error": 86_400 }), true),
        ("cache", json!({ "stale_if_error": 86_401 }), false),
        ("cache", json!({ "unknown_kid_cooldown": 86_400 }), true),
        ("cache", json!({ "fresh_max": 86_400 }), true),
        ("cache", json!({ "backoff_max": 86_400 }), true),
        ("rate_limit", json!(""), false),
        ("rate_limit", json!({ "binding": "B", "retry_after": -1 }), false),
    ];
    for name in ["fresh_default", "fresh_min", "fresh_max", "unknown_kid_cooldown", "backoff_min", "backoff_max"] {
        members.extend([("cache", json!({ name: 0 }), false), ("cache", json!({ name: 86_401 }), false)]);
    }
    for (wanted, is_good) in [
        (json!({ "all": [], "any": ["a"] }), true),
        (json!({ "all": ["a"], "any": [] }), true),
        (json!({ "all": ["a"] }), true),
        (json!({ "all": [], "any": [] }), false),
        (json!({ "any": [] }), false),
        (json!({}), false),
        (json!([]), false),
        (json!(["a", "b"]), true),
        (json!("a"), true),
    ] {
        for what in ["scope", "roles"] {
            members.push(("routes", required(json!({ what: wanted })), is_good));
        }
        members.push(("routes", required(json!({ "claims": { "c": wanted } })), is_good));
    }
    members
}

#[test]
fn the_schema_judges_as_the_worker_does() {
    let schema = jsonschema::validator_for(&serde_json::from_str(SCHEMA).unwrap()).unwrap();
    let mut documents = vec![(json!({ "issuers": [{ "preset": "google", "audience": "a" }] }), false)];
    documents.push((
        json!({ "issuers": [{ "preset": "google", "audience": "a" }], "origin": "https://o.example", "echo": false }),
        true,
    ));
    for (name, value, is_good) in members() {
        let mut document =
            json!({ "echo": true, "issuers": [{ "issuer": "https://i.example", "audience": "a", "algorithms": ["ES256"] }] });
        document[name] = value;
        documents.push((document, is_good));
    }
    for (document, is_good) in documents {
        let read = GatewaySettings::from_json(&document.to_string()).map(drop);
        assert_eq!(read.is_ok(), is_good, "{document}: {read:?}");
        assert_eq!(schema.is_valid(&document), is_good, "the schema, of {document}");
    }
}
