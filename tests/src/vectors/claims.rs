//! Claims: their types, their times and whom they are for (attacks 19, 20 and 29).

use super::{AUDIENCE, ISSUER, NOW, Suite};
use crate::{
    corpus::json_string,
    keys::{KEYS, jwk_set},
};

pub(super) fn fill(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    types(suite);
    times(suite);
    leeway(suite);
    lifetimes(suite);
    key_expiry(suite);
    issuer(suite);
    audience(suite);
    required(suite);
    proof(suite);
    order(suite);
}

fn types(suite: &mut Suite) {
    for claim in ["iss", "sub", "jti"] {
        for (id, json) in [("number", "1"), ("null", "null"), ("array", r#"["x"]"#), ("object", "{}"), ("false", "false")] {
            suite
                .token(
                    format!("{claim}-{id}"),
                    format!("RFC 7519 section 4.1: {claim} is a string, also where the policy does not look at it"),
                )
                .claim(claim, json)
                .policy("iss", "null")
                .strict()
                .reject("claim_invalid");
        }
    }
    suite
        .token("iss-array-of-issuer", "CVE-2025-30144: iss as an array that holds the issuer")
        .claim("iss", &format!("[{}]", json_string(ISSUER)))
        .reject("claim_invalid");
    for claim in ["exp", "nbf", "iat"] {
        for (id, json) in [
            ("string", json_string(&(NOW + 300).to_string())),
            ("null", "null".into()),
            ("true", "true".into()),
            ("array", format!("[{}]", NOW + 300)),
            ("object", "{}".into()),
            ("date", "\"2025-06-15T15:06:40Z\"".into()),
            ("minus-one", "-1".into()),
            ("1e300", "1e300".into()),
            ("u64-max", u64::MAX.to_string()),
            ("u64-max-plus-one", "18446744073709551616".into()),
            ("i64-max", i64::MAX.to_string()),
            ("i64-min", i64::MIN.to_string()),
            ("two-to-53-plus-1", ((1_u64 << 53) + 1).to_string()),
            ("milliseconds", format!("{NOW}000")),
            ("year-10000", "253402300800".into()),
            ("tiny-negative", "-0.000001".into()),
        ] {
            suite
                .token(
                    format!("{claim}-{id}"),
                    "CVE-2026-25537: a NumericDate is a number between 0 and the end of the year 9999",
                )
                .claim(claim, &json)
                .strict()
                .reject("claim_invalid");
        }
        suite
            .token(format!("{claim}-1e400"), "CVE-2026-25537: a number beyond a double is not JSON that can be kept")
            .claim(claim, "1e400")
            .reject("token_malformed");
    }
    suite.token("exp-year-9999", "the last second of the year 9999").claim("exp", "253402300799").accept();
    suite.token("exp-exponent", "a number written with an exponent").claim("exp", "1.7500003e9").accept();
    suite.token("exp-fraction-of-zero", "a fraction of zero").claim("exp", &format!("{}.0", NOW + 300)).accept();
    suite.token("nbf-zero", "the first second of all").claim("nbf", "0").accept();
    suite.token("iat-zero", "the first second of all").claim("iat", "0").accept();
}

fn times(suite: &mut Suite) {
    for (id, exp, good) in [
        ("one-second-left", "1750000001", true),
        ("now", "1750000000", false),
        ("one-second-ago", "1749999999", false),
        ("half-a-second-left", "1750000000.5", true),
        ("half-a-second-ago", "1749999999.5", false),
        ("zero", "0", false),
        ("long-ago", "1", false),
    ] {
        let case = suite
            .token(format!("exp-{id}"), "RFC 7519 section 4.1.4: on or after exp the token is not accepted")
            .claim("exp", exp);
        if good { case.accept() } else { case.reject("token_expired") }
    }
    for claim in ["nbf", "iat"] {
        for (id, time, good) in [
            ("one-second-ago", "1749999999", true),
            ("now", "1750000000", true),
            ("in-half-a-second", "1750000000.5", false),
            ("in-one-second", "1750000001", false),
            ("in-a-year", "1781536000", false),
            ("at-the-end-of-time", "253402300799", false),
        ] {
            let why =
                if claim == "nbf" { "RFC 7519 section 4.1.5: not before nbf" } else { "a token from the future is nobody's" };
            let case = suite.token(format!("{claim}-{id}"), why).claim(claim, time);
            let case = if claim == "iat" { case.strict() } else { case };
            if good { case.accept() } else { case.reject("token_not_yet_valid") }
        }
        suite.token(format!("{claim}-absent"), "may be absent").without(claim).accept();
    }
    suite.token("exp-missing", "exp is required").without("exp").strict().reject("claim_missing");
    suite
        .token("exp-not-required", "unless the policy says otherwise")
        .without("exp")
        .policy("require_exp", "false")
        .by_policy()
        .accept();
    suite
        .token("exp-not-required-but-past", "an exp that is there counts all the same")
        .claim("exp", "1749999999")
        .policy("require_exp", "false")
        .reject("token_expired");
    suite
        .token("exp-not-required-but-invalid", "and must be a number")
        .claim("exp", "\"never\"")
        .policy("require_exp", "false")
        .reject("claim_invalid");
    suite
        .token("exp-other-case", "EXP is another claim")
        .without("exp")
        .claim("EXP", &(NOW + 300).to_string())
        .strict()
        .reject("claim_missing");
    suite
        .token("exp-before-iat", "exp before iat, both past: expired")
        .claim("exp", "1749999000")
        .claim("iat", "1749999500")
        .reject("token_expired");
    suite.token("at-the-epoch", "the clock at 0").now(0).claim("iat", "0").claim("exp", "1").accept();
    suite
        .token(
            "exp-within-a-millisecond",
            "less than a millisecond before exp: the clock is cut off at milliseconds, on every host",
        )
        .now_json("1750000299.9996")
        .accept();
    suite
        .token("at-the-end", "the clock at the end of the year 9999")
        .now(253_402_300_799)
        .claim("exp", "253402300799")
        .reject("token_expired");
    suite
        .token("at-the-end-leeway", "the clock at the end of the year 9999 with leeway: nothing overflows")
        .now(253_402_300_799)
        .claim("exp", "253402300799")
        .policy("leeway", "300")
        .accept();
}

fn leeway(suite: &mut Suite) {
    for (id, exp, leeway, good) in [
        ("59-ago-60", NOW - 59, "60", true),
        ("60-ago-60", NOW - 60, "60", false),
        ("299-ago-300", NOW - 299, "300", true),
        ("300-ago-300", NOW - 300, "300", false),
        ("1-ago-1", NOW - 1, "1", false),
        ("0-ago-1", NOW, "1", true),
    ] {
        let case = suite
            .token(format!("leeway-exp-{id}"), "now >= exp + leeway is expired")
            .claim("iat", "1749990000")
            .claim("exp", &exp.to_string())
            .policy("leeway", leeway)
            .by_policy();
        if good { case.accept() } else { case.reject("token_expired") }
    }
    for claim in ["nbf", "iat"] {
        for (id, time, leeway, good) in [
            ("in-60-60", NOW + 60, "60", true),
            ("in-61-60", NOW + 61, "60", false),
            ("in-1-0", NOW + 1, "0", false),
            ("in-300-300", NOW + 300, "300", true),
        ] {
            let case = suite
                .token(format!("leeway-{claim}-{id}"), format!("{claim} > now + leeway is not yet valid"))
                .claim(claim, &time.to_string())
                .claim("exp", &(NOW + 3600).to_string())
                .policy("leeway", leeway)
                .by_policy();
            if good { case.accept() } else { case.reject("token_not_yet_valid") }
        }
    }
    suite
        .token("leeway-near-zero", "leeway beyond the epoch does not underflow")
        .now(10)
        .claim("iat", "0")
        .claim("exp", "0")
        .policy("leeway", "300")
        .by_policy()
        .accept();
}

fn lifetimes(suite: &mut Suite) {
    let minute_ago = (NOW - 60).to_string();
    for (id, exp, good) in [("exactly", NOW + 240, true), ("one-more", NOW + 241, false), ("fraction-more", NOW + 240, true)] {
        let case = suite
            .token(format!("lifetime-{id}"), "exp - iat against the policy's longest lifetime of 300 s")
            .claim("iat", &minute_ago)
            .claim("exp", &exp.to_string())
            .policy("max_lifetime", "300")
            .by_policy();
        if good { case.accept() } else { case.reject("lifetime_exceeded") }
    }
    suite
        .token("lifetime-half-a-second-more", "fractions count")
        .claim("iat", &minute_ago)
        .claim("exp", &format!("{}.5", NOW + 240))
        .policy("max_lifetime", "300")
        .by_policy()
        .reject("lifetime_exceeded");
    suite
        .token("lifetime-ten-years", "without the setting any lifetime goes")
        .claim("exp", &(NOW + 315_360_000).to_string())
        .accept();
    suite
        .token("lifetime-without-iat", "a lifetime cannot be told without iat")
        .without("iat")
        .policy("max_lifetime", "300")
        .by_policy()
        .reject("claim_missing");
    for (id, iat, good) in [("exactly", NOW - 600, true), ("one-more", NOW - 601, false)] {
        let case = suite
            .token(format!("age-{id}"), "now - iat against the policy's greatest age of 600 s")
            .claim("iat", &iat.to_string())
            .policy("max_age", "600")
            .by_policy();
        if good { case.accept() } else { case.reject("token_too_old") }
    }
    suite
        .token("age-without-iat", "an age cannot be told without iat")
        .without("iat")
        .policy("max_age", "600")
        .by_policy()
        .reject("claim_missing");
}

/// `exp` of the key itself, where the policy asks for it.
fn key_expiry(suite: &mut Suite) {
    for (id, why, exp, code) in [
        ("good", "a key that is good longer than its token", Some("1750000301"), None),
        ("same", "a key that is good exactly as long", Some("1750000300"), None),
        ("outlived", "a token that outlives its key", Some("1750000299"), Some("lifetime_exceeded")),
        ("now", "a key whose time is up now; no leeway applies to it", Some("1750000000"), Some("key_expired")),
        ("past", "a key whose time was up long ago", Some("1"), Some("key_expired")),
        ("missing", "a key without exp", None, Some("key_expired")),
        ("string", "an exp that is no number", Some("\"1750000300\""), Some("key_expired")),
        ("negative", "an exp that is no NumericDate", Some("-1"), Some("key_expired")),
    ] {
        let key = KEYS.es256.jwk().text("alg", "ES256");
        let key = exp.into_iter().fold(key, |key, exp| key.json("exp", exp));
        let token = suite.token(format!("key-exp-{id}"), why).jwks(jwk_set(&[key.to_json()]));
        let token = token.policy("require_key_exp", "true").policy("leeway", "0").by_policy();
        match code {
            Some(code) => token.reject(code),
            None => token.accept(),
        }
    }
    let expired = KEYS.es256.jwk().text("alg", "ES256").json("exp", "1").to_json();
    suite.token("key-exp-not-asked-for", "exp of a key is nobody's unless the policy asks").jwks(jwk_set(&[expired])).accept();
    suite.token("key-exp-setting", "true or false").policy("require_key_exp", "1").by_policy().reject("policy_invalid");
}

fn issuer(suite: &mut Suite) {
    for (id, why, iss) in [
        ("other", "another issuer", "https://evil.example".to_owned()),
        ("trailing-slash", "a trailing slash makes another issuer", format!("{ISSUER}/")),
        ("case", "case counts", "https://Issuer.example".to_owned()),
        ("prefix", "CVE-2025-30144: a prefix is not the issuer", "https://issuer.exampl".to_owned()),
        ("longer", "CVE-2025-30144: the issuer with something after it", format!("{ISSUER}.evil.example")),
        ("inside", "CVE-2024-53861: the issuer inside another string", format!("https://evil.example/?{ISSUER}")),
        ("scheme", "http is not https", "http://issuer.example".to_owned()),
        ("port", "the default port written out", format!("{ISSUER}:443")),
        ("user", "a user name before the host", "https://issuer.example@evil.example".to_owned()),
        ("space", "a space after it", format!("{ISSUER} ")),
        ("newline", "a newline after it: no pattern with $ is used", format!("{ISSUER}\n")),
        ("nul", "NUL after it", format!("{ISSUER}\u{0}")),
        ("dot-as-any", "a dot is a dot: no regular expression over claims", "https://issuerxexample".to_owned()),
        ("empty", "the empty string", String::new()),
        ("homograph", "a Cyrillic letter", "https://\u{456}ssuer.example".to_owned()),
    ] {
        suite.token(format!("iss-{id}"), format!("iss: {why}")).claim("iss", &json_string(&iss)).reject("issuer_mismatch");
    }
    suite.token("iss-missing", "iss: missing, and the policy names one").without("iss").reject("claim_missing");
    suite
        .token("iss-skipped", "iss: any, when the policy does not look")
        .claim("iss", "\"anybody\"")
        .policy("iss", "null")
        .by_policy()
        .accept();
    suite
        .token("iss-skipped-missing", "iss: none, when the policy does not look")
        .without("iss")
        .policy("iss", "null")
        .by_policy()
        .accept();
    suite
        .token("iss-escaped", "iss: the same string written with escapes")
        .claim("iss", r#""https:\/\/issuer\u002eexample""#)
        .accept();
    suite
        .token("iss-pattern-in-policy", "a policy's issuer is no pattern")
        .policy("iss", "\"https://.*\"")
        .by_policy()
        .reject("issuer_mismatch");
}

fn audience(suite: &mut Suite) {
    let aud = json_string(AUDIENCE);
    for (id, json) in [
        ("alone-in-array", format!("[{aud}]")),
        ("first", format!("[{aud},\"other\"]")),
        ("last", format!("[\"a\",\"b\",{aud}]")),
        ("twice", format!("[{aud},{aud}]")),
    ] {
        suite.token(format!("aud-{id}"), "aud: the audience among several").claim("aud", &json).accept();
    }
    for (id, why, json) in [
        ("other", "another audience", "\"https://other.example\"".to_owned()),
        ("trailing-slash", "a trailing slash makes another audience", json_string(&format!("{AUDIENCE}/"))),
        ("longer", "CVE-2024-53861: the audience with something after it", json_string(&format!("{AUDIENCE}.evil.example"))),
        ("prefix", "CVE-2024-53861: a prefix of the audience", json_string(&AUDIENCE[..12])),
        ("inside", "the audience inside a list in a string", json_string(&format!("other,{AUDIENCE}"))),
        ("space-separated", "a list in a string", json_string(&format!("{AUDIENCE} other"))),
        ("case", "case counts", "\"https://API.example\"".to_owned()),
        ("empty-string", "the empty string", "\"\"".to_owned()),
        ("empty-string-in-array", "an array with the empty string", "[\"\"]".to_owned()),
        ("others", "an array of others", "[\"a\",\"b\"]".to_owned()),
        ("star", "a star is no wildcard", "\"*\"".to_owned()),
    ] {
        suite.token(format!("aud-{id}"), format!("aud: {why}")).claim("aud", &json).reject("audience_mismatch");
    }
    for (id, why, json) in [
        ("empty-array", "an empty array", "[]".to_owned()),
        ("null", "null", "null".to_owned()),
        ("number", "a number", "1".to_owned()),
        ("true", "true", "true".to_owned()),
        ("object", "an object with the audience as a name", format!("{{{aud}:true}}")),
        ("array-like-object", "an object that looks like an array", format!("{{\"0\":{aud},\"length\":1}}")),
        ("number-in-array", "a number in the array", format!("[{aud},1]")),
        ("null-in-array", "null in the array", format!("[null,{aud}]")),
        ("nested-array", "an array in the array", format!("[[{aud}]]")),
    ] {
        for (policy, suffix) in [(None, ""), (Some("null"), "-skipped")] {
            let case = suite
                .token(format!("aud-{id}{suffix}"), format!("aud: {why}; its type counts also where the policy does not look"))
                .claim("aud", &json);
            match policy {
                Some(json) => case.policy("aud", json).strict().reject("claim_invalid"),
                None => case.reject("claim_invalid"),
            }
        }
    }
    suite.token("aud-missing", "aud: missing, and the policy names one").without("aud").reject("claim_missing");
    suite
        .token("aud-skipped", "aud: another, when the policy does not look")
        .claim("aud", "\"other\"")
        .policy("aud", "null")
        .by_policy()
        .accept();
    suite
        .token("aud-skipped-missing", "aud: none, when the policy does not look")
        .without("aud")
        .policy("aud", "null")
        .by_policy()
        .accept();
    suite
        .token("aud-one-of-two", "a policy with two audiences takes either")
        .policy("aud", &format!("[\"https://first.example\",{aud}]"))
        .by_policy()
        .accept();
    suite
        .token("aud-none-of-two", "and no third")
        .policy("aud", "[\"https://first.example\",\"https://second.example\"]")
        .by_policy()
        .reject("audience_mismatch");
    // Issuers whose access tokens have no aud.
    let mut by_client = |id: &str, why: &str, client_id: Option<&str>, code: Option<&'static str>| {
        let mut case = suite
            .token(format!("audience-claim-{id}"), why)
            .policy("audience_claim", "\"client_id\"")
            .policy("aud", "\"app\"")
            .by_policy();
        if let Some(json) = client_id {
            case = case.claim("client_id", json);
        }
        match code {
            Some(code) => case.reject(code),
            None => case.accept(),
        }
    };
    by_client("good", "the audience is read from client_id", Some("\"app\""), None);
    by_client("other", "another client", Some("\"other\""), Some("audience_mismatch"));
    by_client("missing", "no client_id; aud does not stand in for it", None, Some("claim_missing"));
    by_client("number", "client_id of another type", Some("1"), Some("claim_invalid"));
    suite
        .token("audience-claim-aud-does-not-count", "aud holds the name, client_id another")
        .claim("aud", "\"app\"")
        .claim("client_id", "\"other\"")
        .policy("audience_claim", "\"client_id\"")
        .policy("aud", "\"app\"")
        .by_policy()
        .reject("audience_mismatch");
}

fn required(suite: &mut Suite) {
    suite
        .token("required-there", "a claim that the policy requires")
        .claim("scope", "\"read\"")
        .policy("required_claims", r#"["scope"]"#)
        .by_policy()
        .accept();
    suite
        .token("required-missing", "and that is missing")
        .policy("required_claims", r#"["scope"]"#)
        .by_policy()
        .reject("claim_missing");
    suite
        .token("required-one-missing", "one of two is missing")
        .claim("scope", "\"read\"")
        .policy("required_claims", r#"["scope","tenant"]"#)
        .by_policy()
        .reject("claim_missing");
    suite
        .token("required-jti-missing", "jti, when the policy requires it")
        .without("jti")
        .policy("required_claims", r#"["jti"]"#)
        .by_policy()
        .reject("claim_missing");
    suite
        .token("required-nested", "a name inside another claim does not count")
        .claim("x", r#"{"scope":"read"}"#)
        .policy("required_claims", r#"["scope"]"#)
        .by_policy()
        .reject("claim_missing");
    suite
        .token("required-proto", "nor does what every JavaScript object has")
        .policy("required_claims", r#"["toString"]"#)
        .by_policy()
        .reject("claim_missing");
}

fn proof(suite: &mut Suite) {
    for (id, cnf) in [
        ("jkt", r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
        ("x5t", r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#),
        ("jwk", r#"{"jwk":{"kty":"EC"}}"#),
        ("kid", r#"{"kid":"x"}"#),
        ("empty", "{}"),
        ("unknown", r#"{"unknown":true}"#),
    ] {
        suite
            .token(format!("cnf-{id}"), "RFC 7800, RFC 8705, RFC 9449: a token bound to a key is no bearer token")
            .claim("cnf", cnf)
            .strict()
            .reject("proof_required");
    }
    for (id, json) in [("null", "null"), ("string", "\"x\""), ("array", "[]")] {
        suite
            .token(format!("cnf-{id}"), "cnf of another JSON type than object")
            .claim("cnf", json)
            .strict()
            .reject("claim_invalid");
    }
}

/// The first failing check in one fixed order names the code.
fn order(suite: &mut Suite) {
    suite
        .token("order-signature-first", "claims are judged after the signature only")
        .payload("not JSON")
        .edit(|token| format!("{}AAAA", &token[..token.len() - 4]))
        .reject("signature_invalid");
    suite
        .token("order-type-before-issuer", "a wrong type before a wrong issuer")
        .claim("iss", "\"x\"")
        .claim("exp", "\"x\"")
        .reject("claim_invalid");
    suite
        .token("order-proof-before-issuer", "a missing proof before a wrong issuer")
        .claim("iss", "\"x\"")
        .claim("cnf", "{}")
        .strict()
        .reject("proof_required");
    suite
        .token("order-issuer-before-audience", "the issuer before the audience")
        .claim("iss", "\"x\"")
        .claim("aud", "\"x\"")
        .reject("issuer_mismatch");
    suite
        .token("order-audience-before-expiry", "the audience before expiry")
        .claim("aud", "\"x\"")
        .claim("exp", "1")
        .reject("audience_mismatch");
    suite
        .token("order-expiry-before-nbf", "expiry before nbf")
        .claim("exp", "1")
        .claim("nbf", "1750009999")
        .reject("token_expired");
    suite
        .token("order-nbf-before-lifetime", "nbf before the lifetime")
        .claim("nbf", "1750009999")
        .policy("max_lifetime", "1")
        .by_policy()
        .reject("token_not_yet_valid");
    suite
        .token("order-all-wrong", "everything wrong: the issuer is named")
        .claim("iss", "\"x\"")
        .claim("aud", "\"x\"")
        .claim("exp", "1")
        .claim("nbf", "1750009999")
        .reject("issuer_mismatch");
}
