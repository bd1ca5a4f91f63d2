//! The JOSE header: crit, typ, members with the wrong type, and keys that the token brings along (attacks 8, 9, 11, 12, 21, 28).

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::Suite;
use crate::{
    corpus::{base64url, json_string},
    keys::{KEYS, jwk_set},
};

pub(super) fn fill(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    critical(suite);
    types(suite);
    brought_keys(suite);
    kids(suite);
    typ(suite);
}

fn critical(suite: &mut Suite) {
    for (id, why, crit) in [
        ("unknown", "CVE-2025-59420: an extension that nobody understands", r#"["http://example.com/x"]"#),
        ("exp", "exp as a critical header member (RFC 7515 section 4.1.11's example)", r#"["exp"]"#),
        ("empty", "RFC 7515: must not be an empty list", "[]"),
        ("twice", "a name twice", r#"["exp","exp"]"#),
        ("absent-member", "names a member that is not there", r#"["absent"]"#),
        ("standard-member", "RFC 7515: must not name members of the RFC", r#"["alg"]"#),
        ("crit-itself", "names itself", r#"["crit"]"#),
        ("empty-name", "names the empty name", r#"[""]"#),
        ("string", "a string", r#""exp""#),
        ("null", "null", "null"),
        ("number", "a number", "1"),
        ("object", "an object", r#"{"exp":true}"#),
        ("false", "false", "false"),
        ("number-inside", "a number among the names", "[1]"),
        ("proto", "a name with a meaning for JavaScript", r#"["__proto__"]"#),
        ("to-string", "a name that every JavaScript object has", r#"["toString"]"#),
    ] {
        suite
            .token(format!("crit-{id}"), format!("crit: {why}"))
            .header_member("exp", "1750000300")
            .header_member("http://example.com/x", "true")
            .header_member("crit", crit)
            .reject("critical_header_unsupported");
    }
    suite
        .token("b64-false", "CVE-2025-59420: b64 false with crit, and the payload unencoded in the signature's input")
        .header_member("b64", "false")
        .header_member("crit", r#"["b64"]"#)
        .signed(|input| {
            let text = std::str::from_utf8(input).expect("ASCII");
            let (header, payload) = text.split_once('.').expect("a dot");
            KEYS.es256
                .sign("ES256", &[header.as_bytes(), b".", &Base64UrlUnpadded::decode_vec(payload).expect("base64url")].concat())
        })
        .reject("critical_header_unsupported");
    suite
        .token("b64-false-encoded", "b64 false with crit, and the payload encoded all the same")
        .header_member("b64", "false")
        .header_member("crit", r#"["b64"]"#)
        .reject("critical_header_unsupported");
    suite
        .token("b64-false-without-crit", "RFC 7797 section 6: b64 false must be critical; nobody may ignore it")
        .header_member("b64", "false")
        .strict()
        .reject("critical_header_unsupported");
    suite
        .token("b64-true-critical", "b64 true is no extension, but crit names it")
        .header_member("b64", "true")
        .header_member("crit", r#"["b64"]"#)
        .strict()
        .reject("critical_header_unsupported");
    suite.token("b64-true", "b64 true changes nothing").header_member("b64", "true").accept();
    for (id, json) in [("null", "null"), ("string", r#""false""#), ("zero", "0")] {
        suite
            .token(format!("b64-{id}"), "b64 is a boolean")
            .header_member("b64", json)
            .strict()
            .reject("critical_header_unsupported");
    }
    suite
        .token("crit-before-algorithm", "the order of checks: crit is looked at before alg")
        .header_member("alg", "\"HS256\"")
        .header_member("crit", r#"["x"]"#)
        .reject("critical_header_unsupported");
}

fn types(suite: &mut Suite) {
    for member in ["kid", "typ", "cty"] {
        for (id, json) in [("number", "1"), ("null", "null"), ("array", r#"["x"]"#), ("object", "{}"), ("true", "true")] {
            suite
                .token(format!("{member}-{id}"), format!("{member} of another JSON type than string"))
                .header_member(member, json)
                .reject("token_malformed");
        }
    }
    suite
        .token("kid-number-in-both", "kid 1 in the token and in the key: numbers are no kid")
        .header_member("kid", "1")
        .jwks(jwk_set(&[KEYS.es256.jwk().json("kid", "1").to_json()]))
        .reject("token_malformed");
    for (member, json) in [("zip", r#""DEF""#), ("enc", r#""A256GCM""#)] {
        suite
            .token(member.to_owned(), format!("{member} belongs to a JWE"))
            .header_member(member, json)
            .strict()
            .reject("token_malformed");
    }
    suite.token("cty-jwt", "cty says that the payload is a token; what it is decides").header_member("cty", "\"JWT\"").accept();
    suite
        .token("unknown-members", "RFC 7515 section 4: unknown members are ignored")
        .header_member("x", "[1,{\"y\":null}]")
        .header_member("iss", "\"https://evil.example\"")
        .header_member("exp", "1")
        .accept();
}

/// Keys in the header are never used and never fetched.
fn brought_keys(suite: &mut Suite) {
    let attacker = &KEYS.es256_other;
    let jwk = attacker.jwk().text("alg", "ES256").text("kid", "es256-1").to_json();
    suite
        .token("jwk-signed-by-it", "CVE-2018-0114: signed by the key that the header brings")
        .header_member("jwk", &jwk)
        .signed(|input| KEYS.es256_other.sign("ES256", input))
        .reject("signature_invalid");
    suite
        .token("jwk-without-kid", "CVE-2018-0114: the same without kid")
        .header(format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#))
        .signed(|input| KEYS.es256_other.sign("ES256", input))
        .reject("signature_invalid");
    suite
        .token("jwk-no-keys", "CVE-2018-0114: the same against an empty set")
        .header(format!(r#"{{"alg":"ES256","jwk":{jwk}}}"#))
        .signed(|input| KEYS.es256_other.sign("ES256", input))
        .jwks(r#"{"keys":[]}"#)
        .reject("key_not_found");
    suite.token("jwk-ignored", "a header jwk beside a good signature is ignored").header_member("jwk", &jwk).accept();
    for (id, json) in [("null", "null"), ("string", "\"x\""), ("private", r#"{"kty":"EC","d":"AA"}"#)] {
        suite.token(format!("jwk-{id}-ignored"), "a header jwk is not even looked at").header_member("jwk", json).accept();
    }
    let certificate = json_string(&base64url(b"not a certificate"));
    suite
        .token("x5c-signed-by-it", "x5c is not a way to bring a key")
        .header_member("x5c", &format!("[{certificate}]"))
        .signed(|input| KEYS.es256_other.sign("ES256", input))
        .reject("signature_invalid");
    suite
        .token("x5c-ignored", "x5c beside a good signature is ignored")
        .header_member("x5c", &format!("[{certificate}]"))
        .accept();
    for member in ["jku", "x5u"] {
        for (id, url) in [
            ("https", "https://evil.example/jwks.json"),
            ("metadata", "http://169.254.169.254/latest/meta-data/"),
            ("file", "file:///etc/passwd"),
            ("data", "data:application/json,{\"keys\":[]}"),
        ] {
            suite
                .token(format!("{member}-{id}-ignored"), format!("{member} is never followed, and a good token stays good"))
                .header_member(member, &json_string(url))
                .accept();
            suite
                .token(format!("{member}-{id}"), format!("{member} is never followed: the key is not in the set"))
                .header_member(member, &json_string(url))
                .header_member("kid", "\"theirs\"")
                .signed(|input| KEYS.es256_other.sign("ES256", input))
                .reject("key_not_found");
        }
    }
    suite
        .token("x5t-ignored", "x5t and x5t#S256 do not select keys")
        .header_member("x5t", "\"AAAA\"")
        .header_member("x5t#S256", "\"AAAA\"")
        .accept();
}

/// `kid` is compared, never interpreted.
fn kids(suite: &mut Suite) {
    for (id, kid) in [
        ("traversal", "../../../../dev/null"),
        ("absolute", "/proc/sys/kernel/randomize_va_space"),
        ("sql", "x' UNION SELECT 'key';--"),
        ("nul", "es256-1\u{0}.pem"),
        ("command", "$(id)`id`|id"),
        ("template", "${jndi:ldap://evil.example/a}"),
        ("url", "https://evil.example/key"),
        ("newline", "es256-1\nX-Injected: 1"),
        ("proto", "__proto__"),
        ("constructor", "constructor"),
        ("empty", ""),
        ("space", " "),
        ("right-to-left", "\u{202e}1-652se"),
        ("emoji", "🔑"),
        ("combining", "e\u{301}"),
    ] {
        let json = json_string(kid);
        suite
            .token(format!("kid-{id}-unknown"), "a kid that no key has, whatever it looks like")
            .header_member("kid", &json)
            .reject("key_not_found");
        suite
            .token(format!("kid-{id}-known"), "the same kid, when a key has it")
            .header_member("kid", &json)
            .jwks(jwk_set(&[KEYS.es256.jwk().json("kid", &json).to_json()]))
            .accept();
    }
    for (id, kid, of_key) in [
        ("case", "ES256-1", "es256-1"),
        ("trailing-space", "es256-1 ", "es256-1"),
        ("prefix", "es256", "es256-1"),
        ("longer", "es256-11", "es256-1"),
        ("normal-form", "\u{e9}", "e\u{301}"),
        ("compatibility-form", "\u{212b}", "\u{c5}"),
        ("base64-padding", "abc=", "abc"),
    ] {
        suite
            .token(format!("kid-differs-by-{id}"), "kid is compared byte for byte")
            .header_member("kid", &json_string(kid))
            .jwks(jwk_set(&[KEYS.es256.jwk().text("kid", of_key).to_json()]))
            .reject("key_not_found");
    }
}

fn typ(suite: &mut Suite) {
    for (id, typ) in [
        ("at+jwt", "at+jwt"),
        ("upper", "AT+JWT"),
        ("application", "application/at+jwt"),
        ("application-mixed", "Application/At+Jwt"),
    ] {
        suite
            .token(
                format!("typ-policy-{id}"),
                "RFC 9068, RFC 7515 section 4.1.9: media types have no case, application/ may be left out",
            )
            .header_member("typ", &json_string(typ))
            .policy("typ", "\"at+jwt\"")
            .by_policy()
            .accept();
    }
    suite
        .token("typ-policy-says-application", "the policy may say application/ as well")
        .header_member("typ", "\"at+jwt\"")
        .policy("typ", "\"application/AT+JWT\"")
        .by_policy()
        .accept();
    for (id, typ) in [
        ("jwt", "JWT"),
        ("empty", ""),
        ("application-only", "application/"),
        ("application-twice", "application/application/at+jwt"),
        ("other-tree", "text/at+jwt"),
        ("spaced", " at+jwt"),
        ("parameter", "at+jwt;v=1"),
        ("id-token", "id_token+jwt"),
        ("logout", "logout+jwt"),
        ("long-s", "at+jwt\u{17f}"),
        ("kelvin", "at+\u{212a}wt"),
    ] {
        suite
            .token(format!("typ-not-{id}"), "RFC 8725 section 3.11: a token of another type, under a policy that names one")
            .header_member("typ", &json_string(typ))
            .policy("typ", "\"at+jwt\"")
            .by_policy()
            .reject("type_mismatch");
    }
    suite
        .token("typ-missing", "no typ, under a policy that names one")
        .header(r#"{"alg":"ES256","kid":"es256-1"}"#)
        .policy("typ", "\"at+jwt\"")
        .by_policy()
        .reject("type_mismatch");
    suite.token("typ-absent", "no typ, under a policy that names none").header(r#"{"alg":"ES256","kid":"es256-1"}"#).accept();
    for typ in ["at+jwt", "jwt", "JOSE", "anything/else", ""] {
        suite
            .token(format!("typ-free-{}", typ.replace('/', "-")), "a policy that names no typ takes ordinary ones")
            .header_member("typ", &json_string(typ))
            .accept();
    }
    for typ in [
        "dpop+jwt",
        "kb+jwt",
        "logout+jwt",
        "secevent+jwt",
        "statuslist+jwt",
        "DPOP+JWT",
        "application/logout+jwt",
        "APPLICATION/secevent+jwt",
        "edgeseal-audit+jwt",
        "edgeseal-anything",
        "application/Edgeseal-revocations+jwt",
        "logout+jwt;charset=utf-8",
        "application/Secevent+jwt ; v=1",
        " kb+jwt",
        "statuslist+jwt ",
    ] {
        suite
            .token(
                format!("typ-kept-out-{}", typ.replace(['/', ' ', ';'], "-")),
                "RFC 8725 section 3.11: a token for another purpose, unless the policy names its typ",
            )
            .header_member("typ", &json_string(typ))
            .strict()
            .reject("type_mismatch");
    }
    suite
        .token("typ-logout-named", "logout tokens, when the policy asks for them")
        .header_member("typ", "\"logout+jwt\"")
        .policy("typ", "\"logout+jwt\"")
        .by_policy()
        .accept();
    suite
        .token("typ-after-algorithm", "the order of checks: alg before typ")
        .header_member("typ", "\"dpop+jwt\"")
        .allow(&["ES384"])
        .reject("algorithm_not_allowed");
    suite
        .token("typ-before-key", "the order of checks: typ before the key")
        .header_member("typ", "\"dpop+jwt\"")
        .jwks(r#"{"keys":[]}"#)
        .strict()
        .reject("type_mismatch");
}
