//! Which keys may verify, and what they are called.

use edgeseal_core::{
    Algorithm, ErrorCode, Jwk, JwkSet, PublicKey,
    algorithm::Curve,
    jwk::{KeyMaterial, KeyProblem, KeyRules},
    jwk_set::KeyRequest,
    policy::IssuerSettings,
};

const P256: &str = r#""kty":"EC","crv":"P-256","x":"ytH8MlvqTx3X-eL0pdx4ULKUb2YOi2DPnIPpSaIk28M","y":"AO5TMe5lNcjJpuGjjGtHd4gX9POG9dh_vG-8ptp7HJs""#;
const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn reason(members: &str) -> &'static str {
    Jwk::from_json(&format!("{{{members}}}")).map_or_else(KeyProblem::as_str, |_| "usable")
}

#[test]
fn thumbprints_of_the_rfcs() {
    let rsa = Jwk::from_json(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#)).unwrap();
    assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let ed25519 = Jwk::from_json(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#).unwrap();
    assert_eq!(ed25519.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn what_is_published_is_what_is_read() {
    for text in [
        format!("{{{P256},\"kid\":\"a\\\"b\",\"alg\":\"ES256\"}}"),
        format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB","alg":"PS384","kid":"r"}}"#),
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.into(),
    ] {
        let key = Jwk::from_json(&text).unwrap();
        assert_eq!(Jwk::from_json(&key.to_json()).unwrap(), key);
        let set = JwkSet::from_keys([key.clone(), key]);
        assert_eq!(JwkSet::from_json(&set.to_json()).unwrap(), set);
    }
}

#[test]
fn reasons() {
    let ed = r#""kty":"OKP","crv":"Ed25519","x":"#;
    let rsa = |more: &str| format!(r#""kty":"RSA","n":"{RSA_N}","e":"AQAB"{more}"#);
    let operations = |count: u8| (0..count).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(",");
    let point = |last: &str, bytes: &str| format!(r#"{ed}"{bytes}{last}""#);
    for (members, expected) in [
        (P256.to_owned(), "usable"),
        (format!("{P256},\"use\":\"sig\",\"key_ops\":[\"verify\"]"), "usable"),
        (format!("{P256},\"use\":\"enc\""), "use"),
        (format!("{P256},\"use\":1"), "malformed"),
        (format!("{P256},\"key_ops\":[\"sign\"]"), "key_ops"),
        (format!("{P256},\"key_ops\":[]"), "key_ops"),
        (format!("{P256},\"key_ops\":[\"verify\",\"verify\"]"), "key_ops"),
        (format!("{P256},\"key_ops\":[\"verify\",{}]", operations(15)), "usable"),
        (format!("{P256},\"key_ops\":[\"verify\",{}]", operations(16)), "key_ops"),
        (format!("{P256},\"key_ops\":\"verify\""), "malformed"),
        (format!("{P256},\"key_ops\":[\"verify\",1]"), "malformed"),
        (format!("{P256},\"alg\":\"ES384\""), "algorithm_mismatch"),
        (format!("{P256},\"alg\":\"RS256\""), "algorithm_mismatch"),
        (format!("{P256},\"alg\":\"ECDH-ES\""), "unknown_algorithm"),
        (format!("{P256},\"alg\":7"), "malformed"),
        (format!("{P256},\"kid\":7"), "malformed"),
        (format!("{P256},\"kid\":\"{}\"", "k".repeat(257)), "kid_too_long"),
        (format!("{P256},\"d\":\"AA\""), "private"),
        (format!("{P256},\"kid\":\"a\",\"kid\":\"a\""), "malformed"),
        (P256.replace("P-256", "P-384"), "encoding"),
        (P256.replace("P-256", "secp256k1"), "unknown_curve"),
        (P256.replace("ytH8", "ytH9"), "invalid_point"),
        (P256.replace("AO5T", "7lMx"), "invalid_point"),
        (P256.replace("\"AO5", "\"O5"), "encoding"),
        (P256.replace("HJs\"", "HJs=\""), "encoding"),
        (r#""kty":"oct","k":"AAAA""#.into(), "symmetric"),
        (r#""kty":"AKP","alg":"ML-DSA-44","pub":"AA""#.into(), "unknown_key_type"),
        (r#""kty":7"#.into(), "malformed"),
        (String::new(), "unknown_key_type"),
        (rsa(""), "usable"),
        (rsa("").replace("AQAB", "AQ"), "exponent"),
        (rsa("").replace("AQAB", "Aw"), "exponent"),
        (rsa("").replace("AQAB", "AQAA"), "exponent"),
        // 65538: even.
        (rsa("").replace("AQAB", "AQAC"), "exponent"),
        (rsa("").replace("AQAB", "AAEAAQ"), "usable"),
        (rsa("").replace("AQAB", "AgAAAAE"), "exponent"),
        (rsa("").replace("AQAB", "AQAAAAE"), "usable"),
        (rsa("").replace("AQAB", "AQAAAAAAAAAAAQ"), "exponent"),
        (rsa("").replace("DKgw", "DKgg"), "weak_modulus"),
        (rsa("").replace("\"n\":\"0vx7ag", "\"n\":\"ag"), "modulus_size"),
        (rsa("").replace("\"n\":\"0", "\"n\":\"0\",\"x\":\""), "encoding"),
        (rsa(",\"alg\":\"EdDSA\""), "algorithm_mismatch"),
        (point("", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), "usable"),
        (point("", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"), "encoding"),
        (point("AA", &"A".repeat(41)), "small_order"),
        (point("AA", &format!("AQ{}", "A".repeat(39))), "small_order"),
        // y = 2^255 - 19 + 3: the non-canonical name of y = 3.
        (point("", "8P_______________________________________38"), "invalid_point"),
        // y = 2 is not on the curve.
        (point("AA", &format!("Ag{}", "A".repeat(39))), "invalid_point"),
        (format!("{ed}\"AA\"").replace("Ed25519", "Ed448"), "unknown_curve"),
    ] {
        assert_eq!(reason(&members), expected, "{members}");
    }
}

#[test]
fn small_exponents_only_on_request() {
    let text = format!(r#"{{"keys":[{{"kty":"RSA","n":"{RSA_N}","e":"Aw"}},{{"kty":"RSA","n":"{RSA_N}","e":"AQ"}}]}}"#);
    assert_eq!(JwkSet::from_json(&text).unwrap().keys().len(), 0);
    assert_eq!(JwkSet::from_json_with(&text, KeyRules::dangerous_allow_rsa_exponent_3()).unwrap().keys().len(), 1);
}

#[test]
fn a_bad_sibling_is_skipped_and_a_bad_document_refused() {
    let set = JwkSet::from_json(&format!(r#"{{"keys":[null,{{"kty":"oct","kid":"s"}},{{{P256}}}],"extra":1}}"#)).unwrap();
    assert_eq!((set.total(), set.keys().len()), (3, 1));
    let skipped: Vec<_> = set.skipped().iter().map(|key| (key.index, key.kid.as_deref(), key.reason.as_str())).collect();
    assert_eq!(skipped, [(0, None, "malformed"), (1, Some("s"), "symmetric")]);
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"keys":[],"keys":[]}"#, "<html>", r#"{"keys":[]}x"#] {
        assert_eq!(JwkSet::from_json(text).unwrap_err().code(), ErrorCode::JwksMalformed, "{text}");
    }
    let many = |count: usize| format!("{{\"keys\":[{}]}}", vec!["{}"; count].join(","));
    assert!(JwkSet::from_json(&many(100)).is_ok());
    assert_eq!(JwkSet::from_json(&many(101)).unwrap_err().code(), ErrorCode::JwksMalformed);
    let long = |len: usize| format!("{{\"keys\":[]{}}}", " ".repeat(len - 11));
    assert!(JwkSet::from_json(&long(64 * 1024)).is_ok());
    assert!(JwkSet::from_json(&long(64 * 1024 + 1)).is_err());
}

#[test]
fn a_set_in_the_settings_is_as_long_as_a_fetched_one() {
    let inline = |len: usize, is_text: bool| {
        let set = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(len - 18));
        assert_eq!(set.len(), len);
        let set = if is_text { serde_json::Value::from(set).to_string() } else { set };
        let settings = format!(r#"{{"issuer":"https://i.example","audience":"a","algorithms":["ES256"],"jwks":{set}}}"#);
        IssuerSettings::from_json(&settings).unwrap().key_source().map(drop).map_err(|error| (error.code(), error.to_string()))
    };
    for is_text in [false, true] {
        assert_eq!(inline(64 * 1024, is_text), Ok(()));
        let told = "jwks: 65537 bytes, at most 65536 are allowed".to_owned();
        assert_eq!(inline(64 * 1024 + 1, is_text), Err(("jwks_malformed", told)));
    }
}

#[test]
fn a_key_verifies_its_own_algorithms_only() {
    let any = Jwk::from_json(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB"}}"#)).unwrap();
    let fitting: Vec<&str> =
        Algorithm::ALL.into_iter().filter(|algorithm| any.verifies(*algorithm)).map(Algorithm::name).collect();
    assert_eq!(fitting, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
    let one = Jwk::from_json(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB","alg":"PS256"}}"#)).unwrap();
    let fitting: Vec<&str> =
        Algorithm::ALL.into_iter().filter(|algorithm| one.verifies(*algorithm)).map(Algorithm::name).collect();
    assert_eq!(fitting, ["PS256"]);
}

#[test]
fn points_have_one_form() {
    let key = Jwk::from_json(&format!("{{{P256}}}")).unwrap();
    let KeyMaterial::Ec { sec1: point, .. } = key.public_key().material() else { panic!("an EC key") };
    let problem = |octets: &[u8]| PublicKey::ec_from_sec1(Curve::P256, octets).map_err(KeyProblem::as_str).err();
    assert_eq!(problem(point), None);
    // Compressed, hybrid, cut short, too long: another form, not another point.
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let hybrid = [&[6 + (point[64] & 1)], &point[1..]].concat();
    for octets in [compressed.as_slice(), &hybrid, &point[..64], &[point, &[0]].concat(), &[0], &[]] {
        assert_eq!(problem(octets), Some("encoding"), "{octets:x?}");
    }
}

#[test]
fn every_problem_is_told_in_words_of_its_own() {
    use KeyProblem as P;
    let problems = [
        P::Malformed,
        P::UnknownKeyType,
        P::Symmetric,
        P::Private,
        P::UnknownCurve,
        P::UnknownAlgorithm,
        P::AlgorithmMismatch,
        P::Use,
        P::KeyOps,
        P::KidTooLong,
        P::Encoding,
        P::InvalidPoint,
        P::SmallOrder,
        P::ModulusSize,
        P::WeakModulus,
        P::Exponent,
    ];
    let told: std::collections::BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), problems.len());
    assert!(told.iter().all(|words| words.len() > 10));
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_key_that_was_meant() {
    let text =
        format!(r#"{{"keys":[{{{P256},"kid":"es"}},{{{P256},"kid":"own","alg":"ES256"}},{{{P256},"kid":"enc","use":"enc"}}]}}"#);
    let set = JwkSet::from_json(&text).unwrap();
    let detail = |kid: &str, algorithm| set.select(KeyRequest { kid: Some(kid), algorithm }).unwrap_err().detail().to_owned();
    assert!(detail("es", Algorithm::Rs256).ends_with("is of another type"));
    assert!(detail("own", Algorithm::Rs256).ends_with("is ES256"));
    assert!(detail("enc", Algorithm::Es256).ends_with("is not usable: use is not sig"));
    assert!(detail("other", Algorithm::Es256).starts_with("no key has the kid"));
}
