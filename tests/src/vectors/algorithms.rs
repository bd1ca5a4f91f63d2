//! Which algorithm verifies, and who decides that (attacks 1 to 4).

use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha384, Sha512};

use super::Suite;
use crate::{
    corpus::json_string,
    keys::{KEYS, jwk_set, pem},
};

/// Every algorithm with a key of it.
pub(super) fn all() -> [(&'static str, &'static crate::keys::Key); 11] {
    let keys = &*KEYS;
    [
        ("ES256", &keys.es256),
        ("ES384", &keys.es384),
        ("ES512", &keys.es512),
        ("RS256", &keys.rsa2048),
        ("RS384", &keys.rsa2048),
        ("RS512", &keys.rsa2048),
        ("PS256", &keys.rsa2048),
        ("PS384", &keys.rsa2048),
        ("PS512", &keys.rsa2048),
        ("EdDSA", &keys.ed25519),
        ("Ed25519", &keys.ed25519),
    ]
}

pub(super) fn fill(suite: &mut Suite) {
    let keys = &*KEYS;
    for (alg, key) in all() {
        suite.token(format!("{alg}-good"), format!("{alg}: the positive control")).key(key).alg(alg).accept();
        suite
            .token(format!("{alg}-jwk-without-alg"), format!("{alg}: a JWK without alg verifies what its type allows"))
            .key(key)
            .alg(alg)
            .jwks(jwk_set(&[key.jwk().to_json()]))
            .accept();
        let other = if alg == "ES256" { "ES384" } else { "ES256" };
        suite
            .token(format!("{alg}-not-in-the-list"), format!("{alg}: good, but the policy's list has only {other}"))
            .key(key)
            .alg(alg)
            .allow(&[other])
            .reject("algorithm_not_allowed");
    }
    for key in [&keys.rsa3072, &keys.rsa4096, &keys.rsa8192] {
        for alg in ["RS256", "RS512", "PS256", "PS384", "PS512"] {
            suite.token(format!("{alg}-{}", key.kid), "every permitted size of modulus").key(key).alg(alg).accept();
        }
    }
    none(suite);
    hmac(suite);
    agreement(suite);
}

fn none(suite: &mut Suite) {
    for (name, alg) in [("none", "none"), ("nOnE", "nOnE"), ("NONE", "NONE"), ("None", "None"), ("empty", "")] {
        suite
            .token(format!("none-{name}"), "CVE-2015-2951: an unsecured token with an empty signature")
            .header_member("alg", &json_string(alg))
            .signed(|_| Vec::new())
            .reject("algorithm_not_allowed");
        suite
            .token(format!("none-{name}-signed"), "CVE-2022-23540: alg none with a signature that a real key made")
            .header_member("alg", &json_string(alg))
            .reject("algorithm_not_allowed");
    }
    suite
        .token("none-no-keys", "alg none against an empty JWK Set")
        .header(r#"{"alg":"none"}"#)
        .signed(|_| Vec::new())
        .jwks(r#"{"keys":[]}"#)
        .reject("algorithm_not_allowed");
    suite
        .token("none-in-list", "none cannot be put in the policy's list")
        .header(r#"{"alg":"none"}"#)
        .signed(|_| Vec::new())
        .allow(&["none"])
        .reject("policy_invalid");
    suite
        .token("none-key-alg", "CVE-2015-2951: a JWK that says alg none is not a key")
        .header(r#"{"alg":"none","kid":"es256-1"}"#)
        .signed(|_| Vec::new())
        .jwks(jwk_set(&[KEYS.es256.jwk().text("alg", "none").to_json()]))
        .reject("algorithm_not_allowed");
    suite
        .token("alg-missing", "RFC 7515 section 4.1.1: alg is mandatory")
        .header(r#"{"kid":"es256-1"}"#)
        .reject("token_malformed");
    for (name, json) in [
        ("null", "null"),
        ("array", r#"["ES256"]"#),
        ("nested-array", r#"[["ES256","none"]]"#),
        ("number", "256"),
        ("object", r#"{"name":"ES256"}"#),
        ("true", "true"),
    ] {
        suite
            .token(format!("alg-{name}"), "alg of another JSON type is not an algorithm")
            .header_member("alg", json)
            .reject("token_malformed");
    }
}

fn hmac(suite: &mut Suite) {
    fn mac(alg: &'static str, secret: Vec<u8>) -> impl Fn(&[u8]) -> Vec<u8> {
        move |input| match alg {
            "HS384" => {
                Hmac::<Sha384>::new_from_slice(&secret).expect("any length").chain_update(input).finalize().into_bytes().to_vec()
            }
            "HS512" => {
                Hmac::<Sha512>::new_from_slice(&secret).expect("any length").chain_update(input).finalize().into_bytes().to_vec()
            }
            _ => {
                Hmac::<Sha256>::new_from_slice(&secret).expect("any length").chain_update(input).finalize().into_bytes().to_vec()
            }
        }
    }
    for (key, alg) in [(&KEYS.es256, "ES256"), (&KEYS.rsa2048, "RS256")] {
        let pem = pem(&key.spki());
        let jwk = key.jwk().text("alg", alg).to_json();
        for (name, secret) in [
            ("pem", pem.clone().into_bytes()),
            ("pem-trimmed", pem.trim_end().as_bytes().to_vec()),
            ("pem-spaced", format!(" {pem}\n").into_bytes()),
            ("pem-crlf", pem.replace('\n', "\r\n").into_bytes()),
            ("der", key.spki()),
            ("jwk", jwk.clone().into_bytes()),
            ("jwk-set", jwk_set(&[jwk]).into_bytes()),
            ("empty", Vec::new()),
        ] {
            suite
                .token(format!("hmac-{alg}-{name}"), "CVE-2015-9235, CVE-2023-48223: the public key as an HMAC secret")
                .key(key)
                .header_member("alg", "\"HS256\"")
                .signed(mac("HS256", secret))
                .reject("algorithm_not_allowed");
        }
    }
    for alg in ["HS256", "HS384", "HS512"] {
        let secret = b"a shared secret of thirty-two by".to_vec();
        suite
            .token(format!("oct-{alg}"), "an HMAC key in the set, and a token that it made: never")
            .header_member("alg", &json_string(alg))
            .header_member("kid", "\"shared\"")
            .jwks(jwk_set(&[format!(
                r#"{{"kty":"oct","kid":"shared","use":"sig","alg":"{alg}","k":"{}"}}"#,
                crate::corpus::base64url(&secret)
            )]))
            .signed(mac(alg, secret))
            .allow(&["ES256"])
            .reject("algorithm_not_allowed");
        suite
            .token(format!("{alg}-in-list"), "HMAC cannot be put in the policy's list")
            .header_member("alg", &json_string(alg))
            .signed(mac(alg, b"x".to_vec()))
            .allow(&["ES256", alg])
            .reject("policy_invalid");
    }
}

/// The policy's list, the header and the key must name the same algorithm.
fn agreement(suite: &mut Suite) {
    let keys = &*KEYS;
    for name in
        ["es256", "ES256 ", " ES256", "ES256\u{0}", "ES256K", "ES521", "RSA1_5", "dir", "A256GCM", "ES256,none", "ＥＳ256"]
    {
        suite
            .token(
                format!("name-{}", crate::corpus::base64url(name.as_bytes())),
                format!("alg {name:?} is not ES256: names are exact"),
            )
            .header_member("alg", &json_string(name))
            .reject("algorithm_not_allowed");
    }
    for (header, list) in [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA")] {
        suite
            .token(format!("list-{list}-header-{header}"), "RFC 9864: one name in the list does not admit the other")
            .key(&keys.ed25519)
            .alg(header)
            .allow(&[list])
            .reject("algorithm_not_allowed");
        suite
            .token(format!("key-{list}-header-{header}"), "the key's own alg must be the header's, both names allowed")
            .key(&keys.ed25519)
            .alg(header)
            .jwks(jwk_set(&[keys.ed25519.jwk().text("alg", list).to_json()]))
            .allow(&["EdDSA", "Ed25519"])
            .reject("key_mismatch");
    }
    let rsa = &keys.rsa2048;
    for alg in ["RS256", "PS256"] {
        suite
            .token(
                format!("both-allowed-{alg}"),
                "a key without alg and a policy with both: the header chooses among what the policy allows",
            )
            .key(rsa)
            .alg(alg)
            .jwks(jwk_set(&[rsa.jwk().to_json()]))
            .allow(&["RS256", "PS256"])
            .by_policy()
            .accept();
    }
    for (header, of_key) in
        [("PS256", "RS256"), ("RS256", "PS256"), ("PS384", "PS256"), ("RS384", "RS256"), ("RS512", "RS256"), ("PS512", "PS384")]
    {
        suite
            .token(
                format!("key-{of_key}-header-{header}"),
                "CVE-2026-48523: the key's alg differs from the header's; both are allowed, the signature is good",
            )
            .key(rsa)
            .alg(header)
            .jwks(jwk_set(&[rsa.jwk().text("alg", of_key).to_json()]))
            .allow(&[header, of_key])
            .reject("key_mismatch");
        suite
            .token(
                format!("key-{of_key}-list-{of_key}-header-{header}"),
                "CVE-2026-48523: the list and the key agree, the header does not",
            )
            .key(rsa)
            .alg(header)
            .jwks(jwk_set(&[rsa.jwk().text("alg", of_key).to_json()]))
            .allow(&[of_key])
            .reject("algorithm_not_allowed");
    }
    // CVE-2026-22818: the header names the algorithm of another kind of key.
    for (name, header, key) in [
        ("es256-over-rsa", "ES256", &keys.rsa2048),
        ("es256-over-p384", "ES256", &keys.es384),
        ("es384-over-p256", "ES384", &keys.es256),
        ("es512-over-p256", "ES512", &keys.es256),
        ("es256-over-ed25519", "ES256", &keys.ed25519),
        ("eddsa-over-p256", "EdDSA", &keys.es256),
        ("rs256-over-p256", "RS256", &keys.es256),
        ("ps256-over-ed25519", "PS256", &keys.ed25519),
    ] {
        suite
            .token(
                format!("kind-{name}"),
                "CVE-2026-22818: a JWK without alg, and a header that names an algorithm of another kind of key",
            )
            .key(key)
            .alg(header)
            .signed(|input| KEYS.es256.sign("ES256", input))
            .jwks(jwk_set(&[key.jwk().to_json()]))
            .reject("key_mismatch");
    }
    suite
        .token("rs256-signature-under-ps256", "RSASSA-PKCS1-v1_5 is not RSASSA-PSS")
        .key(rsa)
        .alg("PS256")
        .signed(|input| KEYS.rsa2048.sign("RS256", input))
        .reject("signature_invalid");
    suite
        .token("ps256-signature-under-rs256", "RSASSA-PSS is not RSASSA-PKCS1-v1_5")
        .key(rsa)
        .alg("RS256")
        .signed(|input| KEYS.rsa2048.sign("PS256", input))
        .reject("signature_invalid");
    suite
        .token("rs512-signature-under-rs256", "the hash belongs to the algorithm")
        .key(rsa)
        .alg("RS256")
        .signed(|input| KEYS.rsa2048.sign("RS512", input))
        .reject("signature_invalid");
}
