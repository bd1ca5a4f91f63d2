//! Inputs too large to be kept in a repository (attacks 15, 16, 24 and 25): written when they are needed.

use super::{Suite, Token};
use crate::{
    corpus::json_string,
    keys::{KEYS, jwk_set},
};

pub(super) fn fill(suite: &mut Suite) {
    suite.token("million-dots", "CVE-2025-30204: a million dots").edit(|_| ".".repeat(1_000_000)).reject("token_too_large");
    suite.token("million-letters", "a megabyte without a dot").edit(|_| "A".repeat(1 << 20)).reject("token_too_large");
    suite.token("megabyte-signature", "a signature of a megabyte").signed(|_| vec![7; 1 << 20]).reject("token_too_large");
    let megabyte = |case: Token<'_>| case.claim("pad", &json_string(&"x".repeat(1 << 20))).reject("token_too_large");
    megabyte(suite.token("megabyte-claims", "a good token of more than a megabyte"));
    suite
        .token("megabyte-header", "CVE-2025-27144: a header of a megabyte")
        .header_member("pad", &json_string(&"x".repeat(1 << 20)))
        .reject("token_too_large");
    suite
        .token("kid-megabyte", "a kid of a megabyte")
        .header_member("kid", &json_string(&"k".repeat(1 << 20)))
        .reject("token_too_large");
    suite
        .token("depth-100000", "CVE-2025-53864: nested 100 000 deep")
        .claim("deep", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)))
        .reject("token_too_large");
    let jwk = KEYS.es256.jwk().text("alg", "ES256").to_json();
    suite.token("jwks-20000-keys", "a set of 20 000 keys").jwks(jwk_set(&vec![jwk.clone(); 20_000])).reject("jwks_malformed");
    suite
        .token("jwks-megabyte", "a set with a megabyte of nothing")
        .jwks(format!(r#"{{"keys":[{jwk}],"x":"{}"}}"#, "x".repeat(1 << 20)))
        .reject("jwks_malformed");
    suite
        .token("jwks-depth-100000", "a set that is nested 100 000 deep")
        .jwks(format!(r#"{{"keys":[{jwk}],"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)))
        .reject("jwks_malformed");
    suite.token("control-afterwards", "a good token after all that: nothing was poisoned").accept();
}
