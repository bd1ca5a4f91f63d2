//! Exactly one key (attacks 23 and 24).

use super::Suite;
use crate::keys::{KEYS, jwk_set};

pub(super) fn fill(suite: &mut Suite) {
    let keys = &*KEYS;
    let first = keys.es256.jwk().text("alg", "ES256");
    let second = keys.es256_other.jwk().text("alg", "ES256");
    let no_kid = r#"{"alg":"ES256"}"#;
    suite.token("by-kid", "the key with the token's kid, among two").jwks(jwk_set(&[second.to_json(), first.to_json()])).accept();
    suite
        .token("other-kid", "no fallback: the token names one key and is signed by the other")
        .header_member("kid", "\"es256-2\"")
        .jwks(jwk_set(&[first.to_json(), second.to_json()]))
        .reject("signature_invalid");
    suite
        .token("unknown-kid", "no fallback: an unknown kid, and a key that would verify")
        .header_member("kid", "\"unknown\"")
        .reject("key_not_found");
    suite
        .token("unknown-kid-key-without-kid", "no fallback to a key without kid either")
        .jwks(jwk_set(&[first.clone().without("kid").to_json()]))
        .reject("key_not_found");
    suite.token("no-kid-one-key", "a token without kid, and one key").header(no_kid).accept();
    suite
        .token("no-kid-key-without-kid", "neither token nor key has a kid")
        .header(no_kid)
        .jwks(jwk_set(&[first.clone().without("kid").to_json()]))
        .accept();
    suite
        .token("no-kid-two-keys", "a token without kid, and two keys that fit: none is tried")
        .header(no_kid)
        .jwks(jwk_set(&[first.to_json(), second.to_json()]))
        .strict()
        .reject("key_ambiguous");
    suite
        .token("no-kid-two-keys-without-alg", "two keys without alg fit as well")
        .header(no_kid)
        .jwks(jwk_set(&[first.clone().without("alg").to_json(), second.clone().without("alg").to_json()]))
        .strict()
        .reject("key_ambiguous");
    suite
        .token("no-kid-one-fits-by-kind", "a token without kid, and one key of the algorithm among others")
        .header(no_kid)
        .jwks(jwk_set(&[keys.rsa2048.jwk().to_json(), keys.es384.jwk().to_json(), first.to_json(), keys.ed25519.jwk().to_json()]))
        .accept();
    suite
        .token("no-kid-one-fits-by-alg", "a token without kid, and two RSA keys of which one says the algorithm")
        .key(&keys.rsa2048)
        .header(r#"{"alg":"RS256"}"#)
        .jwks(jwk_set(&[
            keys.rsa2048_other.jwk().text("alg", "PS256").to_json(),
            keys.rsa2048.jwk().text("alg", "RS256").to_json(),
        ]))
        .accept();
    suite
        .token("no-kid-one-usable", "a token without kid, and a second key that is not usable")
        .header(no_kid)
        .jwks(jwk_set(&[second.clone().text("use", "enc").to_json(), first.to_json()]))
        .accept();
    suite
        .token("no-kid-none-fits", "a token without kid, and no key of its algorithm")
        .header(no_kid)
        .jwks(jwk_set(&[keys.rsa2048.jwk().to_json(), keys.es384.jwk().to_json()]))
        .reject("key_not_found");
    suite
        .token("no-kid-no-keys", "a token without kid, and no keys")
        .header(no_kid)
        .jwks(r#"{"keys":[]}"#)
        .reject("key_not_found");
    let twin = second.clone().text("kid", "es256-1");
    for (id, set) in [("first", [&first, &twin]), ("second", [&twin, &first])] {
        suite
            .token(format!("duplicate-kid-{id}"), "two usable keys of the algorithm with one kid: none is tried")
            .jwks(jwk_set(&set.map(crate::keys::Jwk::to_json)))
            .strict()
            .reject("key_ambiguous");
    }
    suite
        .token("same-key-twice", "the same key twice under one kid")
        .jwks(jwk_set(&[first.to_json(), first.to_json()]))
        .strict()
        .reject("key_ambiguous");
    suite
        .token(
            "duplicate-kid-other-kind",
            "RFC 7517 section 4.5: one kid for keys of different kinds; the one that fits is the one",
        )
        .jwks(jwk_set(&[keys.rsa2048.jwk().text("kid", "es256-1").to_json(), first.to_json()]))
        .accept();
    suite
        .token("duplicate-kid-other-alg", "one kid for two RSA keys of different algorithms")
        .key(&keys.rsa2048)
        .jwks(jwk_set(&[
            keys.rsa2048_other.jwk().text("kid", "rsa2048-1").text("alg", "PS256").to_json(),
            keys.rsa2048.jwk().text("alg", "RS256").to_json(),
        ]))
        .accept();
    suite
        .token("same-key-two-kids", "one key under two kids")
        .jwks(jwk_set(&[first.clone().text("kid", "old").to_json(), first.to_json()]))
        .accept();
    suite.token("removed-key", "the key was removed from the set").jwks(jwk_set(&[second.to_json()])).reject("key_not_found");
    suite
        .token("kid-of-other-kind", "the kid belongs to a key of another kind")
        .header_member("kid", "\"rsa2048-1\"")
        .jwks(jwk_set(&[first.to_json(), keys.rsa2048.jwk().to_json()]))
        .reject("key_mismatch");
    suite.token("empty-kid", "an empty kid is a kid: no key has it").header_member("kid", "\"\"").reject("key_not_found");
    suite
        .token("empty-kid-key-without-kid", "an empty kid is not the absence of one")
        .header_member("kid", "\"\"")
        .jwks(jwk_set(&[first.without("kid").to_json()]))
        .reject("key_not_found");
}
