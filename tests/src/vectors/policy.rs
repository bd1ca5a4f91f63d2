//! Policies that cannot be meant are refused before the token is looked at; those that can be decide.

use super::Suite;

pub(super) fn fill(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    for (id, why, json) in [
        ("empty", "no algorithm", "[]"),
        ("unknown", "an unknown algorithm", r#"["ES256","ES257"]"#),
        ("case", "names are exact", r#"["es256"]"#),
        ("number", "a number", "[256]"),
        ("null-inside", "null", "[null]"),
    ] {
        suite
            .token(format!("algorithms-{id}"), format!("the list of algorithms: {why}"))
            .allow_json(json)
            .by_policy()
            .reject("policy_invalid");
    }
    for (id, why, member, json) in [
        ("leeway-301", "leeway is at most 300 s", "leeway", "301"),
        ("leeway-huge", "leeway is at most 300 s", "leeway", "18446744073709551615"),
        ("leeway-negative", "leeway is not negative", "leeway", "-1"),
        ("leeway-fraction", "leeway is whole seconds", "leeway", "0.5"),
        ("leeway-exponent", "a whole number is written as one", "leeway", "6e1"),
        ("leeway-point-zero", "a whole number is written as one", "leeway", "60.0"),
        ("leeway-vanishing", "a whole number is written as one", "leeway", "1e-4000"),
        ("leeway-minus-zero", "a whole number has no sign", "leeway", "-0"),
        ("leeway-string", "leeway is a number", "leeway", "\"60\""),
        ("iss-empty", "an empty issuer matches nobody", "iss", "\"\""),
        ("iss-number", "the issuer is a string", "iss", "1"),
        ("iss-array", "one issuer", "iss", r#"["https://issuer.example"]"#),
        ("aud-empty-array", "no audience", "aud", "[]"),
        ("aud-empty", "an empty audience", "aud", "\"\""),
        ("aud-empty-inside", "an empty audience among others", "aud", r#"["https://api.example",""]"#),
        ("aud-number", "the audience is a string", "aud", "1"),
        ("aud-number-inside", "audiences are strings", "aud", r#"["https://api.example",1]"#),
        ("aud-object", "the audience is a string", "aud", "{}"),
        ("typ-empty", "an empty typ", "typ", "\"\""),
        ("typ-number", "typ is a string", "typ", "1"),
        ("max-lifetime-negative", "a lifetime is not negative", "max_lifetime", "-1"),
        ("max-lifetime-2-53", "beyond what JavaScript's hosts can tell apart", "max_lifetime", "9007199254740992"),
        ("max-age-string", "an age is a number", "max_age", "\"600\""),
        ("max-age-2-53", "beyond what JavaScript's hosts can tell apart", "max_age", "9007199254740993"),
        ("audience-claim-empty", "an empty name of a claim", "audience_claim", "\"\""),
        ("required-claims-string", "a list of names", "required_claims", "\"scope\""),
        ("unknown-member", "a member that nobody knows, perhaps a misspelt one", "lee_way", "60"),
        ("unknown-member-package", "a name that the npm package alone has", "maxLifetime", "3600"),
        ("require-exp-string", "true or false", "require_exp", "\"false\""),
        ("exponent-3-number", "true or false", "allow_rsa_exponent_3", "1"),
    ] {
        suite
            .token(id, format!("a policy that cannot be meant: {why}"))
            .policy(member, json)
            .by_policy()
            .reject("policy_invalid");
    }
    suite
        .token("before-jwks", "the policy is looked at before the JWK Set")
        .policy("leeway", "301")
        .jwks("[]")
        .by_policy()
        .reject("policy_invalid");
    suite
        .token("before-token", "the policy is looked at before the token")
        .policy("leeway", "301")
        .edit(|_| "not a token".into())
        .by_policy()
        .reject("policy_invalid");
    suite
        .token("jwks-before-token", "the JWK Set is looked at before the token")
        .jwks("[]")
        .edit(|_| "not a token".into())
        .by_policy()
        .reject("jwks_malformed");
    suite
        .token("max-lifetime-2-53-1", "the greatest number that every host can tell from the next")
        .policy("max_lifetime", "9007199254740991")
        .by_policy()
        .accept();
    suite.token("leeway-300", "the greatest leeway").policy("leeway", "300").by_policy().accept();
    suite
        .token("leeway-default", "leeway is 60 s unless the policy says otherwise")
        .policy("leeway", "null")
        .claim("exp", "1749999941")
        .claim("iat", "1749990000")
        .by_policy()
        .accept();
    suite
        .token("leeway-default-over", "and no more")
        .policy("leeway", "null")
        .claim("exp", "1749999940")
        .claim("iat", "1749990000")
        .by_policy()
        .reject("token_expired");
    suite
        .token("nothing-checked", "iss, aud and exp all left out")
        .without("iss")
        .without("aud")
        .without("exp")
        .policy("iss", "null")
        .policy("aud", "null")
        .policy("require_exp", "false")
        .by_policy()
        .accept();
    suite
        .token("nothing-checked-signature", "the signature counts all the same")
        .without("iss")
        .without("aud")
        .without("exp")
        .policy("iss", "null")
        .policy("aud", "null")
        .policy("require_exp", "false")
        .signed(|_| vec![7; 64])
        .reject("signature_invalid");
    suite.token("two-algorithms", "a list of two").allow(&["RS256", "ES256"]).by_policy().accept();
}
