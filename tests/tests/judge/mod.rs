//! Judges a corpus line with core as a library, in this process, for `cargo test` alone. `make conformance` asks the real hosts;
//! how a line is read is described in `tests/conformance/README.md`.
#![expect(clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

use std::{collections::BTreeMap, sync::Arc};

use edgeseal_core::{
    Algorithm, IssuerSettings, Jwk, JwkSet, SignatureBackend, SignatureInvalid, SignatureValid, Timestamp, UnverifiedToken,
    Verifier, VerifyError,
    backend::{SignatureInput, rsa_verify, rustcrypto::RustCrypto},
};
use serde_json::{Map, Value, json, value::RawValue};

/// The code of the refusal, or `None` for acceptance.
pub(crate) fn judge(line: &[u8]) -> Option<String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(line).expect("a line of ours is JSON");
    let value = |name: &str| members.get(name).map(|raw| serde_json::from_str::<Value>(raw.get()).expect("JSON"));
    let judged = match value("token") {
        Some(token) => judge_token(token.as_str().expect("a token"), members["jwks"].get(), &value),
        None => judge_signature(members["jwk"].get(), &value).map_err(|error| error.code().as_str().into()),
    };
    judged.err()
}

fn judge_token(token: &str, jwks: &str, value: &impl Fn(&str) -> Option<Value>) -> Result<(), String> {
    let code = |error: VerifyError| error.code().as_str().to_owned();
    let mut dangerous = Map::new();
    let mut settings = Map::from_iter([("algorithms".to_owned(), value("alg_allow").expect("alg_allow"))]);
    let policy = value("policy").expect("policy");
    let mut nonce = None;
    for (name, value) in policy.as_object().expect("an object") {
        match (name.as_str(), value) {
            ("require_exp", Value::Bool(required)) => drop(dangerous.insert("allow_missing_exp".into(), json!(!required))),
            ("require_exp", value) => drop(dangerous.insert("allow_missing_exp".into(), value.clone())),
            ("nonce", Value::String(expected)) => nonce = Some(expected.clone()),
            ("allow_rsa_exponent_3" | "skip_nonce", value) => drop(dangerous.insert(name.clone(), value.clone())),
            ("iss", Value::Null) => drop(dangerous.insert("skip_issuer".into(), json!(true))),
            ("aud", Value::Null) => drop(dangerous.insert("skip_audience".into(), json!(true))),
            (_, Value::Null) => {}
            ("iss", value) => drop(settings.insert("issuer".into(), value.clone())),
            ("aud", value) => drop(settings.insert("audience".into(), value.clone())),
            (_, value) => drop(settings.insert(name.clone(), value.clone())),
        }
    }
    settings.insert("dangerous".into(), Value::Object(dangerous));
    let refused = |error: edgeseal_core::PolicyError| error.code().to_owned();
    let settings = IssuerSettings::from_json(&Value::Object(settings).to_string()).map_err(refused)?;
    let policy = settings.policy().map_err(refused)?;
    let keys = JwkSet::from_json_with(jwks, settings.key_rules()).map_err(code)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the vectors are ours")]
    let now = Timestamp::from_millis((value("now").and_then(|now| now.as_f64()).expect("now") * 1_000.0) as u64);
    let mut token = UnverifiedToken::parse(token).map_err(code)?;
    if let Some(nonce) = nonce {
        token = token.with_nonce(nonce);
    }
    Verifier::new(policy).verify_with(&Both, token, &keys, now).map(drop).map_err(code)
}

fn judge_signature(jwk: &str, value: &impl Fn(&str) -> Option<Value>) -> Result<(), VerifyError> {
    let text = |name: &str| value(name).and_then(|value| value.as_str().map(String::from)).expect("a string");
    let octets = |name: &str| base16ct::lower::decode_vec(text(name)).expect("hexadecimal digits");
    let Some(algorithm) = Algorithm::from_name(&text("alg")) else {
        // What the policy would say of it: no list of algorithms can hold this name.
        return Verifier::new(edgeseal_core::Policy::builder().issuer("i").audience("a").algorithms([Algorithm::Es256]).build())
            .verify("eyJhbGciOiJub25lIn0.e30.", &JwkSet::default(), Timestamp::from_secs(0))
            .map(drop);
    };
    let key = Arc::new(Jwk::from_json(jwk)?);
    let input = SignatureInput::new(algorithm, key, octets("msg_hex"), octets("sig_hex"))?;
    Both.verify(&input).map(drop).map_err(|SignatureInvalid| VerifyError::signature_invalid())
}

/// The reference, and core's own RSA beside it, which must say the same.
struct Both;

impl SignatureBackend for Both {
    fn name(&self) -> &'static str {
        "both"
    }

    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        let reference = RustCrypto.verify(input);
        if let Some(own) = rsa_verify::verify(input) {
            assert_eq!(own.is_ok(), reference.is_ok(), "core's own RSA says otherwise than the reference of {input:?}");
        }
        reference
    }
}
