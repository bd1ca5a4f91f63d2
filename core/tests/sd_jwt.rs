//! SD-JWT: the RFC's own example, every rule once, and what may be withheld.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    IssuerSettings, JwkSet, KeyBinding, Policy, SdJwtSettings, Timestamp, TokenCache, UnverifiedToken, VerifiedToken, Verifier,
    VerifyError, backend::rustcrypto::RustCrypto,
};
use p256::ecdsa::{SigningKey, signature::Signer as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

const NOW: u64 = 1_750_000_000;
static ISSUER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[7; 32]).unwrap());
static HOLDER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[8; 32]).unwrap());

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url(signature.to_bytes()))
}

fn jwk(key: &SigningKey) -> Value {
    let point = key.verifying_key().to_encoded_point(false);
    json!({ "kty": "EC", "crv": "P-256", "x": base64url(point.x().unwrap()), "y": base64url(point.y().unwrap()) })
}

fn keys() -> JwkSet {
    JwkSet::from_json(&json!({ "keys": [jwk(&ISSUER)] }).to_string()).unwrap()
}

fn disclosure(content: &Value) -> String {
    base64url(content.to_string())
}

fn digest(disclosure: &str) -> String {
    base64url(Sha256::digest(disclosure))
}

/// The good claims and these.
fn claims(more: &Value) -> Value {
    let mut claims = json!({ "iss": "https://i.example", "aud": "https://a.example", "exp": NOW + 300 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// A presentation of the good claims and these, with these disclosures, without key binding.
fn present(more: &Value, disclosures: &[&str]) -> String {
    let mut text = sign(&ISSUER, &json!({ "alg": "ES256" }), &claims(more)) + "~";
    for one in disclosures {
        text.push_str(one);
        text.push('~');
    }
    text
}

fn verifier(sd_jwt: &Value) -> Verifier {
    let settings = json!({
        "issuer": "https://i.example", "audience": "https://a.example", "algorithms": ["ES256"], "leeway": 0, "sd_jwt": sd_jwt,
    });
    Verifier::new(IssuerSettings::from_json(&settings.to_string()).unwrap().policy().unwrap())
}

fn verify(presentation: &str) -> Result<VerifiedToken, VerifyError> {
    verifier(&json!({ "key_binding": "where_bound" })).verify(presentation, &keys(), Timestamp::from_secs(NOW))
}

#[track_caller]
fn refused(more: &Value, disclosures: &[&str], telling: &str) {
    let error = verify(&present(more, disclosures)).unwrap_err();
    assert_eq!((error.code().as_str(), error.check().as_str()), ("disclosure_invalid", "disclosures"), "{error}");
    assert!(error.detail().contains(telling), "{error}");
}

#[test]
fn claims_take_the_place_of_their_digests() {
    let street = disclosure(&json!(["s", "street", "Main St"]));
    let address = disclosure(&json!(["s", "address", { "_sd": [digest(&street), "decoy"], "country": "US" }]));
    let (us, de) = (disclosure(&json!(["s", "US"])), disclosure(&json!(["s", ["DE", { "...": "decoy of an element" }]])));
    let odd = disclosure(&json!(["s", "a/b~c", null]));
    let more = json!({
        "_sd": [digest(&address), digest(&odd), "decoy of a claim"], "_sd_alg": "sha-256", "empty": { "_sd": [] },
        "nationalities": [{ "...": "withheld" }, { "...": digest(&us) }, "FR", { "...": digest(&de) }],
    });
    let token = verify(&present(&more, &[&de, &street, &address, &us, &odd])).unwrap();
    let expected = claims(&json!({
        "address": { "street": "Main St", "country": "US" }, "nationalities": ["US", "FR", ["DE"]], "a/b~c": null, "empty": {},
    }));
    assert_eq!(serde_json::from_str::<Value>(token.claims_json()).unwrap(), expected);
    assert_eq!(Value::Object(token.claims().members().clone()), expected);
    let disclosed: BTreeSet<&str> = token.disclosed().iter().map(String::as_str).collect();
    let named = ["/a~1b~0c", "/address", "/address/street", "/nationalities/0", "/nationalities/2"];
    assert_eq!(disclosed, BTreeSet::from(named));
    for path in token.disclosed() {
        assert!(expected.pointer(path).is_some(), "{path}");
    }
    assert!(token.holder_key().is_none());
}

#[test]
fn every_hash_of_the_list() {
    let name = disclosure(&json!(["s", "name", "Ada"]));
    for (algorithm, digest) in [
        ("sha-256", base64url(Sha256::digest(&name))),
        ("sha-384", base64url(Sha384::digest(&name))),
        ("sha-512", base64url(Sha512::digest(&name))),
    ] {
        let token = verify(&present(&json!({ "_sd": [digest], "_sd_alg": algorithm }), &[&name])).unwrap();
        assert_eq!(token.claims().get("name"), Some(&json!("Ada")), "{algorithm}");
        assert!(token.claims().get("_sd_alg").is_none());
    }
    for algorithm in [json!("sha-1"), json!("SHA-256"), json!("sha-256-128"), json!(""), json!(null), json!(["sha-256"])] {
        refused(&json!({ "_sd_alg": algorithm }), &[], "_sd_alg is");
    }
    // The digest of another function than the named one is a decoy, and the disclosure belongs to nothing.
    refused(&json!({ "_sd": [base64url(Sha512::digest(&name))] }), &[&name], "whose digest the token does not hold");
}

#[test]
fn disclosures_have_exact_shapes() {
    for (content, telling) in [
        (json!(["s", "name"]), "2 element(s)"),
        (json!(["s", "name", 1, 2]), "4 element(s)"),
        (json!([]), "0 element(s)"),
        (json!([1, "name", "x"]), "salt or name"),
        (json!(["s", 1, "x"]), "salt or name"),
        (json!({ "salt": "s" }), "not a JSON array"),
        (json!("s"), "not a JSON array"),
        (json!(["s", "_sd", []]), "of the name _sd"),
        (json!(["s", "...", "x"]), "of the name ..."),
        (json!(["s", "_sd_alg", "sha-256"]), "of the name _sd_alg"),
    ] {
        let one = disclosure(&content);
        refused(&json!({ "_sd": [digest(&one)] }), &[&one], telling);
    }
    for content in [json!(["s", "name", "x"]), json!(["s"]), json!([1, "x"]), json!(null)] {
        let one = disclosure(&content);
        refused(&json!({ "list": [{ "...": digest(&one) }] }), &[&one], "disclosure");
    }
    let text = r#"["s","name",{"a":1,"a":2}]"#;
    for one in [
        base64url(text),
        base64url(b"[\"s\",\"name\",\"\xff\"]"),
        base64url("\u{feff}[\"s\",\"name\",1]"),
        base64url(r#"["s","name",1] "#) + "=",
        base64url(r#"["s","name",1]x"#),
        base64url(r#"["s","name",1e400]"#),
        base64url(format!(r#"["s","name",{}{}]"#, "[".repeat(128), "]".repeat(128))),
        "WyJz\n".to_owned(),
        String::new(),
        "e30.e30".to_owned(),
    ] {
        refused(&json!({ "_sd": [digest(&one)] }), &[&one], "a disclosure is");
    }
}

#[test]
fn digests_stand_where_they_may_and_once() {
    let name = disclosure(&json!(["s", "name", "Ada"]));
    let element = disclosure(&json!(["s", "Ada"]));
    let outer = disclosure(&json!(["s", "outer", { "_sd": [digest(&name)] }]));
    for (more, disclosures, telling) in [
        (json!({ "_sd": digest(&name) }), vec![], "_sd is not an array"),
        (json!({ "_sd": [1] }), vec![], "a digest is not a string"),
        (json!({ "a": { "_sd": {} } }), vec![], "_sd is not an array, in \"/a\""),
        (json!({ "a": [{ "...": 1 }] }), vec![], "a digest is not a string, in \"/a/0\""),
        (json!({ "a": [{ "...": "x", "b": 1 }] }), vec![], "not the only member"),
        (json!({ "...": "x" }), vec![], "... stands where"),
        (json!({ "a": { "...": "x" } }), vec![], "... stands where"),
        (json!({ "a": { "_sd_alg": "sha-256" } }), vec![], "_sd_alg stands where"),
        (json!({ "_sd": ["x", "x"] }), vec![], "a digest occurs twice"),
        (json!({ "_sd": ["x"], "a": [{ "b": { "_sd": ["x"] } }] }), vec![], "a digest occurs twice"),
        (json!({ "_sd": ["x"], "a": [{ "...": "x" }] }), vec![], "a digest occurs twice"),
        (json!({ "_sd": [digest(&name), digest(&outer)] }), vec![&name, &outer], "a digest occurs twice"),
        (json!({ "_sd": [digest(&name), digest(&outer)] }), vec![&outer], "a digest occurs twice"),
        (json!({ "_sd": [digest(&name)] }), vec![&name, &name], "a disclosure occurs twice"),
        (json!({ "_sd": [digest(&name)] }), vec![&name, &element], "1 disclosure(s)"),
        (json!({}), vec![&name], "1 disclosure(s)"),
        // Withheld, so what is inside it belongs to nothing.
        (json!({ "_sd": [digest(&outer)] }), vec![&name], "1 disclosure(s)"),
        (json!({ "_sd": [digest(&name)], "name": "Eve" }), vec![&name], "there already"),
    ] {
        refused(&more, &disclosures.iter().map(|one: &&String| one.as_str()).collect::<Vec<_>>(), telling);
    }
    let again = disclosure(&json!(["t", "name", "Eve"]));
    refused(&json!({ "_sd": [digest(&name), digest(&again)] }), &[&name, &again], "there already");
    // The value of an array element is no placeholder of its own.
    let nested = disclosure(&json!(["s", { "...": digest(&element) }]));
    refused(&json!({ "a": [{ "...": digest(&nested) }] }), &[&nested, &element], "... stands where");
}

#[test]
fn nesting_is_bounded_after_disclosure_as_well() {
    let chain = |depth: usize| {
        let mut all = vec![disclosure(&json!(["s", "last", "scalar"]))];
        for _ in 1..depth {
            let next = disclosure(&json!(["s", "a", { "_sd": [digest(all.last().unwrap())] }]));
            all.push(next);
        }
        (json!({ "_sd": [digest(all.last().unwrap())] }), all)
    };
    let references = |all: &[String]| all.iter().map(String::clone).collect::<Vec<_>>();
    let (more, all) = chain(128);
    let all = references(&all);
    let token = verify(&present(&more, &all.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    assert_eq!(token.disclosed().len(), 128);
    let (more, all) = chain(129);
    refused(&more, &all.iter().map(String::as_str).collect::<Vec<_>>(), "deeper than 128");
    let lists = |inner: usize| {
        let inner = disclosure(&json!(["s", serde_json::from_str::<Value>(&("[".repeat(inner) + &"]".repeat(inner))).unwrap()]));
        let mut outer = json!([{ "...": digest(&inner) }]);
        for _ in 0..63 {
            outer = json!([outer]);
        }
        verify(&present(&json!({ "a": outer }), &[&inner])).map(drop).map_err(|error| error.code().as_str())
    };
    assert_eq!(lists(63), Ok(()));
    assert_eq!(lists(64), Err("disclosure_invalid"));
}

#[test]
fn what_decides_about_validity_is_never_withheld() {
    for name in ["iss", "aud", "exp", "nbf", "cnf", "vct", "vct#integrity", "status"] {
        let one = disclosure(&json!(["s", name, "x"]));
        refused(&json!({ "_sd": [digest(&one)] }), &[&one], "nobody may withhold it");
    }
    for more in [
        json!({ "cnf": { "_sd": ["x"] } }),
        json!({ "aud": ["https://a.example", { "...": "x" }] }),
        json!({ "status": { "status_list": { "_sd": ["x"] } } }),
        json!({ "status": [[{ "...": "x" }]] }),
    ] {
        refused(&more, &[], "nothing may be withheld");
    }
    // Deeper down the names are nobody's.
    let nested = disclosure(&json!(["s", "exp", "never"]));
    verify(&present(&json!({ "a": { "_sd": [digest(&nested)] } }), &[&nested])).unwrap();
    // Others are judged once they are disclosed.
    for (name, value, code) in
        [("sub", json!(1), "claim_invalid"), ("iat", json!("x"), "claim_invalid"), ("iat", json!(NOW + 1), "token_not_yet_valid")]
    {
        let one = disclosure(&json!(["s", name, value]));
        let error = verify(&present(&json!({ "_sd": [digest(&one)] }), &[&one])).unwrap_err();
        assert_eq!(error.code().as_str(), code, "{name}");
    }
}

#[test]
fn dropping_a_disclosure_only_removes_a_claim() {
    // Every node with its parent; a dropped one takes what is inside it along.
    let leaf = |name: &str| disclosure(&json!(["s", name, name]));
    let (a, b, c) = (leaf("a"), leaf("b"), leaf("c"));
    let element = disclosure(&json!(["s", { "_sd": [digest(&c)] }]));
    let list = disclosure(&json!(["s", "list", [1, { "...": digest(&element) }, 2]]));
    let outer = disclosure(&json!(["s", "outer", { "_sd": [digest(&b), digest(&list)] }]));
    let more = json!({ "_sd": [digest(&a), digest(&outer)] });
    let nodes = [(&a, None), (&outer, None), (&b, Some(1)), (&list, Some(1)), (&element, Some(3)), (&c, Some(4))];
    let full = verify(&present(&more, &nodes.map(|(node, _)| node.as_str()))).unwrap();
    let mut accepted = 0;
    for kept in 0_u32..1 << nodes.len() {
        let is_kept = |index: usize| kept >> index & 1 == 1;
        let whole = nodes.iter().enumerate().all(|(index, (_, parent))| !is_kept(index) || parent.is_none_or(is_kept));
        let presented: Vec<&str> =
            nodes.iter().enumerate().filter(|(index, _)| is_kept(*index)).map(|(_, (node, _))| node.as_str()).collect();
        let outcome = verify(&present(&more, &presented));
        assert_eq!(outcome.is_ok(), whole, "{kept:b}");
        let Ok(token) = outcome else { continue };
        accepted += 1;
        assert_eq!(token.disclosed().len(), presented.len());
        for (name, value) in token.claims().members() {
            assert!(is_part(value, full.claims().get(name).unwrap()), "{kept:b}: {name}");
        }
    }
    // a or not, and outer or not with b or not and list or not with element or not with c or not.
    assert_eq!(accepted, 2 * (1 + 2 * (1 + (1 + 2))));
}

/// Whether `part` is `whole` with members and elements left out.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            let mut rest = whole.iter();
            part.iter().all(|one| rest.any(|whole| is_part(one, whole)))
        }
        _ => part == whole,
    }
}

/// A key-binding JWT and what it is put after.
struct Bound {
    sd_jwt: String,
    header: Value,
    claims: Value,
    nonce: Option<&'static str>,
    sd_jwt_settings: Value,
    skip_nonce: bool,
}

impl Bound {
    fn new() -> Self {
        let name = disclosure(&json!(["s", "name", "Ada"]));
        let mut more = json!({ "_sd": [digest(&name)], "cnf": { "jwk": jwk(&HOLDER) } });
        more["aud"] = Value::Null;
        let mut claims = claims(&more);
        claims.as_object_mut().unwrap().remove("aud");
        let sd_jwt = format!("{}~{name}~", sign(&ISSUER, &json!({ "alg": "ES256" }), &claims));
        let claims = json!({ "aud": "https://a.example", "nonce": "n", "iat": NOW - 1, "sd_hash": digest(&sd_jwt) });
        Self {
            sd_jwt,
            header: json!({ "alg": "ES256", "typ": "kb+jwt" }),
            claims,
            nonce: Some("n"),
            sd_jwt_settings: json!({ "key_binding": "required" }),
            skip_nonce: false,
        }
    }

    fn presentation(&self) -> String {
        self.sd_jwt.clone() + &sign(&HOLDER, &self.header, &self.claims)
    }

    fn verify(&self) -> Result<VerifiedToken, VerifyError> {
        self.verify_text(&self.presentation())
    }

    fn verify_text(&self, text: &str) -> Result<VerifiedToken, VerifyError> {
        let settings = json!({
            "issuer": "https://i.example", "audience": "https://a.example", "algorithms": ["ES256"], "leeway": 0,
            "sd_jwt": self.sd_jwt_settings, "dangerous": { "skip_nonce": self.skip_nonce },
        });
        let verifier = Verifier::new(IssuerSettings::from_json(&settings.to_string()).unwrap().policy().unwrap());
        let mut token = UnverifiedToken::parse(text)?;
        if let Some(nonce) = self.nonce {
            token = token.with_nonce(nonce);
        }
        verifier.verify_with(&RustCrypto, token, &keys(), Timestamp::from_secs(NOW))
    }
}

#[track_caller]
fn is_invalid(outcome: Result<VerifiedToken, VerifyError>, telling: &str) {
    let error = outcome.unwrap_err();
    assert_eq!((error.code().as_str(), error.check().as_str()), ("proof_invalid", "proof"), "{error}");
    assert!(error.detail().contains(telling), "{error}");
}

#[test]
fn the_holder_proves_to_present_it_here_and_now() {
    let good = Bound::new();
    let token = good.verify().unwrap();
    assert_eq!(token.claims().get("name"), Some(&json!("Ada")));
    assert_eq!(
        token.holder_key().unwrap().public_key(),
        edgeseal_core::Jwk::from_json(&jwk(&HOLDER).to_string()).unwrap().public_key()
    );
    for (member, value, telling) in [
        ("typ", json!("jwt"), "typ \"jwt\""),
        ("typ", json!(null), "typ is not a string"),
        ("alg", json!("none"), "the policy allows ES256"),
        ("alg", json!("ES384"), "the policy allows ES256"),
        ("crit", json!(["x"]), "crit"),
        ("zip", json!("DEF"), "JWE"),
    ] {
        let mut bound = Bound::new();
        bound.header[member] = value;
        is_invalid(bound.verify(), telling);
    }
    for (member, value, telling) in [
        ("aud", json!("https://b.example"), "aud \"https://b.example\", the policy says"),
        ("aud", json!(["https://a.example"]), "claim aud"),
        ("nonce", json!("m"), "nonce \"m\", the caller gave \"n\""),
        ("nonce", json!(1), "claim nonce"),
        ("iat", json!(NOW + 1), "of the future"),
        ("iat", json!(NOW - 61), "older than 60 s"),
        ("iat", json!("x"), "claim iat is not a number"),
        ("nbf", json!(NOW + 1), "of the future"),
        ("exp", json!(NOW), "expired"),
        ("sd_hash", json!("x"), "sd_hash"),
        ("sd_hash", json!(null), "claim sd_hash"),
    ] {
        let mut bound = Bound::new();
        bound.claims[member] = value;
        is_invalid(bound.verify(), telling);
    }
    for member in ["aud", "nonce", "iat", "sd_hash"] {
        let mut bound = Bound::new();
        bound.claims.as_object_mut().unwrap().remove(member);
        is_invalid(bound.verify(), member);
    }
    let mut untyped = Bound::new();
    untyped.header.as_object_mut().unwrap().remove("typ");
    is_invalid(untyped.verify(), "no typ");
}

#[test]
fn nobody_else_presents_it() {
    let good = Bound::new();
    let by_another = good.sd_jwt.clone() + &sign(&ISSUER, &good.header, &good.claims);
    is_invalid(good.verify_text(&by_another), "the signature does not verify");
    is_invalid(good.verify_text(&(good.sd_jwt.clone() + "a.b")), "2 part(s)");
    // The hash covers what was presented: a disclosure less is another presentation.
    let (token, rest) = good.sd_jwt.split_once('~').unwrap();
    let proof = sign(&HOLDER, &good.header, &good.claims);
    is_invalid(good.verify_text(&format!("{token}~{proof}")), "sd_hash");
    let twice = format!("{token}~{rest}{rest}{proof}");
    assert_eq!(good.verify_text(&twice).unwrap_err().code().as_str(), "disclosure_invalid");
    // A withheld proof.
    for mode in ["required", "where_bound"] {
        let mut bound = Bound::new();
        bound.sd_jwt_settings = json!({ "key_binding": mode });
        assert_eq!(bound.verify_text(&bound.sd_jwt).unwrap_err().code().as_str(), "proof_required", "{mode}");
        assert!(bound.verify().is_ok(), "{mode}");
    }
    // A token of nobody.
    let unbound = present(&json!({}), &[]);
    let mut bound = Bound::new();
    assert_eq!(bound.verify_text(&unbound).unwrap_err().code().as_str(), "proof_required");
    bound.sd_jwt_settings = json!({ "key_binding": "where_bound" });
    assert!(bound.verify_text(&unbound).is_ok());
    is_invalid(bound.verify_text(&(unbound + &proof)), "names no key");
}

#[test]
fn the_holders_key_is_a_key_like_any_other() {
    let with_cnf = |cnf: Value| {
        let mut bound = Bound::new();
        bound.sd_jwt = present(&json!({ "cnf": cnf }), &[]);
        bound.claims["sd_hash"] = digest(&bound.sd_jwt).into();
        bound.verify()
    };
    assert!(with_cnf(json!({ "jwk": jwk(&HOLDER) })).is_ok());
    for (cnf, telling) in [
        (json!({}), "no jwk"),
        (json!({ "jkt": "x" }), "no jwk"),
        (json!({ "jwk": "x" }), "no jwk"),
        (json!({ "jwk": { "kty": "oct", "k": "AAAA" } }), "shared secret"),
        (json!({ "jwk": { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" } }), "not usable"),
    ] {
        is_invalid(with_cnf(cnf), telling);
    }
    for (member, value) in [("d", json!("AA")), ("use", json!("enc")), ("alg", json!("ES384")), ("key_ops", json!(["sign"]))] {
        let mut key = jwk(&HOLDER);
        key[member] = value;
        is_invalid(with_cnf(json!({ "jwk": key })), "not usable");
    }
    assert_eq!(with_cnf(json!("x")).unwrap_err().code().as_str(), "claim_invalid");
}

#[test]
fn settings_of_key_binding() {
    let mut bound = Bound::new();
    bound.nonce = None;
    is_invalid(bound.verify(), "gave no nonce");
    bound.skip_nonce = true;
    assert!(bound.verify().is_ok());
    bound.claims["iat"] = json!(NOW - 100);
    is_invalid(bound.verify(), "older than");
    bound.sd_jwt_settings = json!({ "key_binding": "required", "max_age": 100 });
    assert!(bound.verify().is_ok());
    bound.sd_jwt_settings = json!({ "key_binding": "required", "max_age": 100, "algorithms": ["EdDSA"] });
    is_invalid(bound.verify(), "the policy allows EdDSA");
    for wrong in [json!({}), json!({ "key_binding": "optional" }), json!({ "key_binding": "required", "x": 1 })] {
        let settings = json!({ "issuer": "i", "audience": "a", "algorithms": ["ES256"], "sd_jwt": wrong });
        assert!(IssuerSettings::from_json(&settings.to_string()).is_err(), "{wrong}");
    }
}

#[test]
fn the_audience_is_said_twice_or_once() {
    // The token's own audience counts beside that of the key-binding JWT; without one, the latter is enough.
    let mut bound = Bound::new();
    for (aud, code) in [(json!("https://a.example"), None), (json!("https://b.example"), Some("audience_mismatch"))] {
        bound.sd_jwt = present(&json!({ "cnf": { "jwk": jwk(&HOLDER) }, "aud": aud }), &[]);
        bound.claims["sd_hash"] = digest(&bound.sd_jwt).into();
        assert_eq!(bound.verify().err().map(|error| error.code().as_str()), code);
    }
    let mut without = claims(&json!({}));
    without.as_object_mut().unwrap().remove("aud");
    let error = verify(&(sign(&ISSUER, &json!({ "alg": "ES256" }), &without) + "~")).unwrap_err();
    assert_eq!(error.code().as_str(), "claim_missing");
    // Proof comes before expiry, and expiry is judged all the same.
    bound.sd_jwt = present(&json!({ "cnf": { "jwk": jwk(&HOLDER) }, "exp": NOW }), &[]);
    bound.claims["sd_hash"] = digest(&bound.sd_jwt).into();
    assert_eq!(bound.verify().unwrap_err().code().as_str(), "token_expired");
    bound.claims["sd_hash"] = "x".into();
    is_invalid(bound.verify(), "sd_hash");
}

#[test]
fn nobody_withholds_the_claim_that_says_the_audience() {
    let settings = json!({
        "issuer": "https://i.example", "audience": "https://a.example", "audience_claim": "client_id", "algorithms": ["ES256"],
        "sd_jwt": { "key_binding": "required" }, "dangerous": { "skip_nonce": true },
    });
    let verifier = Verifier::new(IssuerSettings::from_json(&settings.to_string()).unwrap().policy().unwrap());
    let code = |more: &Value, disclosures: &[&str]| {
        let mut all = claims(&json!({ "cnf": { "jwk": jwk(&HOLDER) } }));
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut sd_jwt = sign(&ISSUER, &json!({ "alg": "ES256" }), &all) + "~";
        for one in disclosures {
            sd_jwt.push_str(one);
            sd_jwt.push('~');
        }
        let proof = json!({ "aud": "https://a.example", "nonce": "n", "iat": NOW - 1, "sd_hash": digest(&sd_jwt) });
        let text = sd_jwt + &sign(&HOLDER, &json!({ "alg": "ES256", "typ": "kb+jwt" }), &proof);
        let verdict = verifier.verify(&text, &keys(), Timestamp::from_secs(NOW));
        verdict.err().map(|error| (error.code().as_str(), error.check().as_str()))
    };
    assert_eq!(code(&json!({ "client_id": "https://a.example" }), &[]), None);
    assert_eq!(code(&json!({ "client_id": "https://b.example" }), &[]), Some(("audience_mismatch", "audience")));
    for audience in ["https://a.example", "https://b.example"] {
        let one = disclosure(&json!(["s", "client_id", audience]));
        let more = json!({ "_sd": [digest(&one)] });
        assert_eq!(code(&more, &[&one]), Some(("disclosure_invalid", "disclosures")), "{audience}");
        assert_eq!(code(&more, &[]), Some(("claim_missing", "audience")), "{audience}, withheld");
    }
    let element = disclosure(&json!(["s", "https://b.example"]));
    let inside = json!({ "client_id": ["https://a.example", { "...": digest(&element) }] });
    assert_eq!(code(&inside, &[]), Some(("disclosure_invalid", "disclosures")));
    // Where nothing can be withheld of the claims set, the token names no audience, and the proof's is enough.
    assert_eq!(code(&json!({}), &[]), None);
    assert_eq!(code(&json!({ "address": { "_sd": ["x"] } }), &[]), None);
    let name = disclosure(&json!(["s", "name", "Ada"]));
    assert_eq!(code(&json!({ "_sd": [digest(&name)] }), &[&name]), None);
    assert_eq!(code(&json!({ "_sd": [digest(&name)] }), &[]), Some(("claim_missing", "audience")));
}

#[test]
fn presentations_only_where_the_policy_says_so() {
    let presentation = present(&json!({}), &[]);
    let plain = presentation.trim_end_matches('~');
    let now = Timestamp::from_secs(NOW);
    let none =
        Policy::builder().issuer("https://i.example").audience("https://a.example").algorithms([edgeseal_core::Algorithm::Es256]);
    let code = |policy: Policy, text: &str| {
        let verdict = Verifier::new(policy).verify(text, &keys(), now);
        verdict.map(drop).map_err(|error| (error.code().as_str(), error.check().as_str()))
    };
    assert_eq!(code(none.clone().build(), plain), Ok(()));
    assert_eq!(code(none.clone().build(), &presentation), Err(("token_malformed", "structure")));
    let only = SdJwtSettings::new(KeyBinding::WhereBound);
    assert_eq!(code(none.clone().sd_jwt(only.clone()).build(), plain), Err(("type_mismatch", "type")));
    assert_eq!(code(none.clone().sd_jwt(only.clone()).build(), &presentation), Ok(()));
    let both = SdJwtSettings { allow_plain: true, ..only };
    assert_eq!(code(none.clone().sd_jwt(both.clone()).build(), plain), Ok(()));
    let bound = sign(&ISSUER, &json!({ "alg": "ES256" }), &claims(&json!({ "cnf": { "jwk": jwk(&HOLDER) } })));
    assert_eq!(code(none.sd_jwt(both).build(), &bound), Err(("proof_required", "proof")));
    // The issuer's signature comes first: nobody's disclosures are looked at.
    let (rest, _) = plain.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}~!~", base64url([1; 64]));
    assert_eq!(verify(&forged).unwrap_err().code().as_str(), "signature_invalid");
}

#[test]
fn presentations_are_bounded() {
    let code = |text: &str| UnverifiedToken::parse(text).map(drop).map_err(|error| error.code().as_str());
    let token = present(&json!({}), &[]);
    assert_eq!(code(&(token.clone() + &"a~".repeat(256))), Ok(()));
    assert_eq!(code(&(token.clone() + &"a~".repeat(257))), Err("token_too_large"));
    let fill = |len: usize| token.clone() + &"a".repeat(len - token.len() - 1) + "~";
    assert_eq!(code(&fill(64 * 1024)), Ok(()));
    assert_eq!(code(&fill(64 * 1024 + 1)), Err("token_too_large"));
    assert_eq!(code(&("a".repeat(16 * 1024 + 1) + "~")), Err("token_too_large"));
    assert_eq!(code(&"~".repeat(1_000_000)), Err("token_too_large"));
    assert_eq!(code("~"), Err("token_malformed"));
    assert_eq!(code(""), Err("token_malformed"));
}

#[test]
fn a_bound_presentation_is_never_cached() {
    let bound = Bound::new();
    let verifier = Arc::new(verifier(&json!({ "key_binding": "where_bound" })));
    let mut cache = TokenCache::new(100_000);
    let text = bound.presentation();
    cache.insert(&text, Arc::clone(&verifier), &Arc::new(bound.verify().unwrap()));
    assert!(cache.is_empty());
    let text = present(&json!({}), &[]);
    cache.insert(&text, verifier, &Arc::new(verify(&text).unwrap()));
    assert!(!cache.is_empty());
}

/// Section 5 of the specification (as of its draft 20): issued, presented with key binding, and what the verifier gets.
#[test]
fn the_example_of_the_specification() {
    let settings = json!({
        "issuer": "https://issuer.example.com", "audience": "https://verifier.example.org", "algorithms": ["ES256"],
        "typ": "example+sd-jwt", "sd_jwt": { "key_binding": "required" },
    });
    let verifier = Verifier::new(IssuerSettings::from_json(&settings.to_string()).unwrap().policy().unwrap());
    let keys = JwkSet::from_json(
        r#"{"keys":[{"kty":"EC","crv":"P-256","x":"b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ","y":"Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"}]}"#,
    )
    .unwrap();
    let verify = |text: &str| {
        let token = UnverifiedToken::parse(text).unwrap().with_nonce("1234567890");
        verifier.verify_with(&RustCrypto, token, &keys, Timestamp::from_secs(1_748_361_950))
    };
    let presentation = include_str!("sd_jwt_example.txt").split_whitespace().collect::<String>();
    let token = verify(&presentation).unwrap();
    let expected = json!({
        "iss": "https://issuer.example.com", "iat": 1_683_000_000, "exp": 1_883_000_000, "sub": "user_42",
        "nationalities": ["US"], "family_name": "Doe", "given_name": "John",
        "address": { "street_address": "123 Main St", "locality": "Anytown", "region": "Anystate", "country": "US" },
        "cnf": { "jwk": {
            "kty": "EC", "crv": "P-256",
            "x": "TCAER19Zvu3OHF4j4W4vfSVoHIP1ILilDls7vCeGemc", "y": "ZxjiWWbZMQGHVWKVQ4hbSIirsVfuecCE6t4jT9F2HZQ",
        } },
    });
    assert_eq!(Value::Object(token.claims().members().clone()), expected);
    let without = presentation[..=presentation.rfind('~').unwrap()].to_owned();
    assert_eq!(verify(&without).unwrap_err().code().as_str(), "proof_required");
}
