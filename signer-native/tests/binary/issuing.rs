//! What an agent may ask a signer for: modes, batches, renewals, and the policy that stands before them.

use std::fs;

use edgeseal_core::{JwkSet, Timestamp, UnverifiedToken, Verifier, policy::IssuerSettings};
use edgeseal_signer::keys::Moment;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{AUDIENCE, Answer, Signer, edgeseal, run_with_input, until};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn post(signer: &Signer, path: &str, body: &Value) -> Answer {
    signer.agents("POST", path, JSON, body.to_string().as_bytes())
}

fn payload(token: &str) -> Value {
    let token = UnverifiedToken::parse(token).unwrap();
    serde_json::from_str(token.unverified_payload().unwrap()).unwrap()
}

/// base64url of the SHA-256 of a disclosure, and the disclosure.
fn disclosure(salt: &str, name: &str, value: &str) -> (String, String) {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let disclosure = Base64UrlUnpadded::encode_string(json!([salt, name, value]).to_string().as_bytes());
    (Base64UrlUnpadded::encode_string(&Sha256::digest(&disclosure)), disclosure)
}

fn signer(folder: &std::path::Path) -> Signer {
    with_schema(folder, &json!({ "properties": { "age": { "type": "integer" } } }))
}

fn with_schema(folder: &std::path::Path, of_claims: &Value) -> Signer {
    let schema = folder.join("schema.json");
    fs::write(&schema, of_claims.to_string()).unwrap();
    Signer::configured(folder, &["--alg", "ES256", "--alg", "RS256"], |text| {
        let profile = format!("max_session = \"1h\"\nschema = {schema:?}\n");
        text.replace("modes = [\"claims\", \"sd\"]", "modes = [\"claims\"]")
            .replace("modes = [\"claims\", \"sd\", \"digest\"]", "modes = [\"claims\", \"sd\"]")
            .replace("[profiles.default]\n", &format!("[profiles.default]\n{profile}"))
            .replace("[agents.\"demo-app\"]\n", "[agents.demo-app]\nrequired_claims = [\"sub\"]\nrate = 4\n")
    })
}

#[test]
fn an_agent_s_own_bounds_are_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| {
        let narrow = format!("[agents.demo-app]\nmax_lifetime = \"2m\"\naudiences = [{AUDIENCE:?}]\nrate = 1\n");
        text.replace("[agents.\"demo-app\"]\n", &narrow).replace("automatic = false", "automatic = true")
    });
    let profile = signer.agents("GET", "/v1/profiles/default", &[], b"").json();
    assert_eq!(
        (&profile["max_lifetime"], &profile["default_lifetime"], &profile["audiences"]),
        (&json!(120), &json!(120), &json!([AUDIENCE])),
        "{profile}"
    );
    // It says who signs, and until when by age.
    let active = signer.run(&["keys", "show", profile["kid"].as_str().unwrap(), "--json"]).json();
    let Moment(ends) = Moment::parse(active["rotation"].as_str().unwrap()).unwrap();
    assert_eq!((&active["state"], &profile["not_after"]), (&json!("active"), &json!(ends.as_secs())));
    // What may be repeated is written down, as fast as the agent may ask and no faster, whatever becomes of it.
    let ask = |number: usize| {
        let headers = [("content-type", "application/json"), ("idempotency-key", &*format!("key-{number}"))];
        signer.agents("POST", "/v1/tokens", &headers, json!({ "profile": "none" }).to_string().as_bytes()).status
    };
    // A bucket holds 64 at least; several at once, so that a slow machine does not fill it meanwhile.
    let asked: Vec<u16> = std::thread::scope(|scope| {
        let ask = &ask;
        let askers: Vec<_> =
            (0..8).map(|place| scope.spawn(move || (0..20).map(|one| ask(place * 20 + one)).collect::<Vec<u16>>())).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    assert!(asked.iter().all(|status| [403, 429].contains(status)), "{asked:?}");
    assert!(asked.contains(&403) && asked.contains(&429), "{asked:?}");
}

#[test]
fn a_renewal_is_held_to_the_schema_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let signer = with_schema(folder.path(), &json!({}));
    let ask = |claims: Value| json!({ "profile": "default", "audience": AUDIENCE, "claims": claims });
    let token = |claims: Value| post(&signer, "/v1/tokens", &ask(claims)).json()["token"].as_str().unwrap().to_owned();
    let tokens = [token(json!({ "sub": "alice" })), token(json!({ "sub": "alice", "age": 7 }))];
    let (ready, dir) = (signer.ready.clone(), signer.dir.clone());
    assert_eq!(signer.end(), Some(0));
    fs::write(folder.path().join("schema.json"), json!({ "required": ["age"] }).to_string()).unwrap();
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(dir.join("edgeseal.toml"));
    let signer = Signer::serve(command, &folder.path().join("again.log"), ready, dir);
    let renew = |token: &str| post(&signer, "/v1/tokens/renew", &json!({ "token": token }));
    assert!(renew(&tokens[0]).problem(422, "schema_mismatch").contains("age"));
    assert_eq!(payload(renew(&tokens[1]).json()["token"].as_str().unwrap())["age"], 7);
}

/// What a command that prints a token makes of this one, in words and as JSON.
fn in_both_forms(command: &[&str], token: &str) -> [String; 2] {
    let whole = run_with_input(&[command, &["--json"]].concat(), token.as_bytes()).json();
    [run_with_input(command, token.as_bytes()).ok(), whole["token"].as_str().unwrap().to_owned()]
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn sd_renewals_batches_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());

    // The signer shows what it will ask for.
    let profile = signer.agents("GET", "/v1/profiles/default", &[], b"").json();
    assert_eq!(
        (&profile["modes"], &profile["not_after"]),
        (&json!(["claims", "sd"]), &Value::Null),
        "it rotates nothing by itself"
    );
    assert_eq!((&profile["required_claims"], &profile["max_session"]), (&json!(["sub"]), &json!(3_600)));
    assert_eq!(profile["schema"]["properties"]["age"]["type"], "integer");

    // sd: what the signer gets and what it signs hold a digest, and core discloses what belongs to it.
    let (digest, disclosed) = disclosure("2GLC42sKQveCfGfryNRN9w", "email", "alice@example.com");
    let claims = json!({ "sub": "alice", "_sd": [digest], "_sd_alg": "sha-256" });
    let request = json!({ "profile": "default", "mode": "sd", "audience": AUDIENCE, "claims": claims });
    let answer = post(&signer, "/v1/tokens", &request);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(payload(&token)["_sd"], json!([digest]));
    let keys = JwkSet::from_json(&signer.public("/.well-known/jwks.json", &[]).body).unwrap();
    let issuer = signer.text("issuer");
    let settings = json!({
        "issuer": issuer, "audience": AUDIENCE, "algorithms": ["ES256"], "sd_jwt": { "key_binding": "where_bound" },
    });
    let verifier = Verifier::new(IssuerSettings::from_json(&settings.to_string()).unwrap().policy().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let presented = verifier.verify(&format!("{token}~{disclosed}~"), &keys, Timestamp::from_secs(now)).unwrap();
    assert_eq!(presented.claims().get("email"), Some(&json!("alice@example.com")));
    assert!(
        verifier
            .verify(&format!("{token}~{}~", disclosure("x", "email", "eve@example.com").1), &keys, Timestamp::from_secs(now))
            .is_err()
    );
    // What is not hidden has to fit the schema, what is hidden may be missing.
    let shown = json!({ "sub": "alice", "age": "thirty", "_sd": [digest] });
    let shown =
        post(&signer, "/v1/tokens", &json!({ "profile": "default", "mode": "sd", "audience": AUDIENCE, "claims": shown }));
    assert_eq!((shown.status, &shown.json()["code"]), (422, &json!("schema_mismatch")), "{shown:?}");
    let hidden = json!({ "profile": "rs256", "mode": "sd", "audience": AUDIENCE, "claims": claims });
    assert!(post(&signer, "/v1/tokens", &hidden).problem(403, "policy_denied").contains("allows the modes claims; sd was asked"));

    // A renewal is a new token that says the same, and the session is the first one's.
    let first = payload(&token);
    let renewed = post(&signer, "/v1/tokens/renew", &json!({ "token": token, "ttl": "5m" })).json();
    let second = payload(renewed["token"].as_str().unwrap());
    for same in ["iss", "aud", "sub", "_sd", "edgeseal_session"] {
        assert_eq!(first[same], second[same], "{same}");
    }
    assert_ne!(first["jti"], second["jti"]);
    let wider = json!({ "token": token, "audience": [AUDIENCE, "https://other.example.com"] });
    assert!(post(&signer, "/v1/tokens/renew", &wider).problem(403, "policy_denied").contains("cannot widen"));
    // The same from the command line, where the token may come by standard input.
    let command = ["token", "renew", "-", "--ttl", "4m", "--dir", signer.dir.to_str().unwrap()];
    let by_command = payload(run_with_input(&command, token.as_bytes()).ok().trim());
    assert_eq!(
        (&by_command["edgeseal_session"], by_command["exp"].as_u64().unwrap() - by_command["iat"].as_u64().unwrap()),
        (&second["edgeseal_session"], 240)
    );
    // An SD-JWT's disclosures stay here, and stand behind the new token.
    for renewed in in_both_forms(&command, &format!("{token}~{disclosed}~")) {
        let claims = verifier.verify(&renewed, &keys, Timestamp::from_secs(now + 60)).unwrap();
        assert_eq!(claims.claims().get("email"), Some(&json!("alice@example.com")));
    }
    signer.run(&["token", "renew", &token, "--audience", "https://other.example"]).fails(1, "cannot widen");
    signer.run(&["token", "renew", "a.b.c"]).fails(1, "token_not_renewable");
    let mut tampered = token.clone().into_bytes();
    let last = tampered.len() - 10;
    tampered[last] = if tampered[last] == b'A' { b'B' } else { b'A' };
    let tampered = json!({ "token": String::from_utf8(tampered).unwrap() });
    post(&signer, "/v1/tokens/renew", &tampered).problem(422, "token_not_renewable");
    post(&signer, "/v1/tokens/renew", &json!({ "token": "a.b.c" })).problem(422, "token_not_renewable");

    // The same request under the same key is the same token, signed again; another request is not.
    let keyed = |key: &str, path: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        signer.agents("POST", path, &headers, body.to_string().as_bytes())
    };
    let plain = json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice" } });
    let (once, again) = (keyed("one", "/v1/tokens", &plain).json(), keyed("one", "/v1/tokens", &plain).json());
    assert_eq!(payload(once["token"].as_str().unwrap()), payload(again["token"].as_str().unwrap()));
    assert_ne!(once["token"], again["token"], "ECDSA signs with a new nonce");
    let other = json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "bob" } });
    keyed("one", "/v1/tokens", &other).problem(422, "idempotency_mismatch");
    keyed("one", "/v1/tokens/batch", &json!({ "requests": [plain] })).problem(422, "idempotency_mismatch");
    let batch = json!({ "requests": [plain, plain] });
    let (once, again) = (keyed("two", "/v1/tokens/batch", &batch).json(), keyed("two", "/v1/tokens/batch", &batch).json());
    let ids = |answer: &Value| [0, 1].map(|index| payload(answer["results"][index]["token"].as_str().unwrap())["jti"].clone());
    assert_eq!(ids(&once), ids(&again));
    assert_ne!(ids(&once)[0], ids(&once)[1]);
    keyed("", "/v1/tokens", &plain).problem(400, "request_malformed");
    keyed(&"x".repeat(129), "/v1/tokens", &plain).problem(400, "request_malformed");

    // Policy: what must be there, what the schema says, what a batch may hold.
    let ask = |claims: Value| json!({ "profile": "default", "audience": AUDIENCE, "claims": claims });
    assert!(post(&signer, "/v1/tokens", &ask(json!({}))).problem(403, "policy_denied").contains("must set claim sub"));
    let wrong = post(&signer, "/v1/tokens", &ask(json!({ "sub": "alice", "age": "a-secret" }))).problem(422, "schema_mismatch");
    assert!(wrong.contains("/age") && !wrong.contains("a-secret"), "{wrong}");
    let batch = json!({ "requests": [ask(json!({ "sub": "alice" })), ask(json!({})), ask(json!({ "sub": "bob" }))] });
    let results = post(&signer, "/v1/tokens/batch", &batch).json()["results"].clone();
    assert_eq!(payload(results[0]["token"].as_str().unwrap())["sub"], "alice");
    assert_eq!((&results[1]["code"], &results[1]["status"]), (&json!("policy_denied"), &json!(403)));
    assert_eq!(payload(results[2]["token"].as_str().unwrap())["sub"], "bob");
    for requests in [json!([]), Value::Array(vec![ask(json!({ "sub": "alice" })); 65])] {
        post(&signer, "/v1/tokens/batch", &json!({ "requests": requests })).problem(400, "request_malformed");
    }

    // 4 a second: two batches at once are more than a full bucket.
    let batch = json!({ "requests": vec![ask(json!({ "sub": "alice" })); 64] });
    let results = post(&signer, "/v1/tokens/batch", &batch).json()["results"].clone();
    assert!(results.as_array().unwrap().iter().any(|result| result["code"] == "rate_exceeded"), "{results}");
    // On a slow machine the bucket gets a token back between two requests, never two.
    let mut answer = post(&signer, "/v1/tokens", &ask(json!({ "sub": "alice" })));
    until("the bucket is empty", || {
        answer = post(&signer, "/v1/tokens", &ask(json!({ "sub": "alice" })));
        answer.status == 429
    });
    assert!(answer.problem(429, "rate_exceeded").contains("4 tokens a second"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
}
