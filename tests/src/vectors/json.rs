//! JSON that parsers read differently (attacks 13 to 15 and 18).

use super::{ISSUER, NOW, Suite};
use crate::{
    corpus::json_string,
    keys::{KEYS, jwk_set},
};

pub(super) fn fill(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    duplicates(suite);
    nesting(suite);
    not_objects(suite);
    text(suite);
    numbers(suite);
    names(suite);
    jwks(suite);
}

fn claims() -> String {
    let mut text =
        format!(r#"{{"iss":"{ISSUER}","aud":"https://api.example","sub":"ada","iat":{},"exp":{}"#, NOW - 60, NOW + 300);
    text.push('}');
    text
}

fn header() -> &'static str {
    r#"{"alg":"ES256","kid":"es256-1"}"#
}

fn duplicates(suite: &mut Suite) {
    for (id, member) in [
        ("alg", r#""alg":"ES256""#),
        ("alg-none", r#""alg":"none""#),
        ("kid", r#""kid":"es256-1""#),
        ("escaped-alg", r#""\u0061lg":"none""#),
    ] {
        suite
            .token(
                format!("header-twice-{id}"),
                "RFC 8725 section 2.4: a member twice in the header; parsers disagree on which one counts",
            )
            .header(format!("{},{member}}}", &header()[..header().len() - 1]))
            .reject("token_malformed");
    }
    suite
        .token("header-twice-unknown", "also a member that nobody reads")
        .header(r#"{"alg":"ES256","kid":"es256-1","x":1,"x":1}"#)
        .strict()
        .reject("token_malformed");
    suite
        .token("header-twice-nested", "also inside a member that nobody reads")
        .header(r#"{"alg":"ES256","kid":"es256-1","x":{"y":[{"z":1,"z":2}]}}"#)
        .strict()
        .reject("token_malformed");
    suite
        .token("header-same-name-elsewhere", "the same name at another depth is no duplicate")
        .header(r#"{"alg":"ES256","kid":"es256-1","x":{"alg":"none","kid":"other"}}"#)
        .accept();
    suite
        .token("header-names-differ-in-case", "names are case-sensitive: ALG is another member")
        .header(r#"{"alg":"ES256","ALG":"none","kid":"es256-1"}"#)
        .accept();
    for (id, member) in [
        ("iss", json_string("https://evil.example")),
        ("aud", json_string("https://other.example")),
        ("sub", json_string("admin")),
        ("exp", (NOW + 999_999).to_string()),
        ("nbf", NOW.to_string()),
        ("scope", json_string("admin")),
    ] {
        let first = if matches!(id, "nbf" | "scope") { format!("\"{id}\":{member},") } else { String::new() };
        suite
            .token(
                format!("claims-twice-{id}"),
                "RFC 7519 section 4: claim names are unique; the second one wins here, the first one there",
            )
            .payload(format!("{},{first}\"{id}\":{member}}}", &claims()[..claims().len() - 1]))
            .reject("token_malformed");
    }
    suite
        .token("claims-twice-escaped", "the same name written with an escape")
        .payload(format!(r#"{},"\u0073ub":"admin"}}"#, &claims()[..claims().len() - 1]))
        .reject("token_malformed");
    suite
        .token("claims-twice-equal", "also with the same value")
        .payload(format!(r#"{},"sub":"ada"}}"#, &claims()[..claims().len() - 1]))
        .strict()
        .reject("token_malformed");
    suite
        .token("claims-twice-nested", "also deep inside a private claim")
        .claim("realm_access", r#"{"roles":[{"name":"reader","name":"admin"}]}"#)
        .strict()
        .reject("token_malformed");
    suite
        .token("claims-same-name-elsewhere", "the same name at another depth is no duplicate")
        .claim("act", r#"{"sub":"eve","act":{"sub":"mallory"}}"#)
        .accept();
}

fn nesting(suite: &mut Suite) {
    // The claims set itself is the first level.
    for (id, open, close) in [("arrays", "[", "]"), ("objects", r#"{"a":"#, "}")] {
        let nested = |depth: usize| {
            let inner = if open == "[" { "[]" } else { "{}" };
            format!("{}{inner}{}", open.repeat(depth - 2), close.repeat(depth - 2))
        };
        suite.token(format!("claims-depth-128-{id}"), "as deep as allowed").claim("deep", &nested(128)).accept();
        suite
            .token(format!("claims-depth-129-{id}"), "one deeper")
            .claim("deep", &nested(129))
            .strict()
            .reject("token_malformed");
        suite
            .token(format!("claims-depth-1500-{id}"), "CVE-2025-53864: deep enough for a small stack")
            .claim("deep", &nested(1500))
            .reject("token_malformed");
        suite
            .token(format!("header-depth-129-{id}"), "also in the header")
            .header_member("deep", &nested(129))
            .strict()
            .reject("token_malformed");
        suite.token(format!("header-depth-128-{id}"), "as deep as allowed").header_member("deep", &nested(128)).accept();
    }
    suite
        .token("claims-depth-unclosed", "never closed")
        .payload(format!(r#"{{"deep":{}"#, "[".repeat(10_000)))
        .reject("token_malformed");
}

fn not_objects(suite: &mut Suite) {
    for (id, text) in [
        ("array", "[]".to_owned()),
        ("array-of-claims", format!("[{}]", claims())),
        ("string", r#""{\"sub\":\"ada\"}""#.to_owned()),
        ("null", "null".to_owned()),
        ("number", "1750000000".to_owned()),
        ("true", "true".to_owned()),
        ("text", "foo".to_owned()),
        ("empty", String::new()),
        ("whitespace", " \n".to_owned()),
    ] {
        suite
            .token(format!("claims-{id}"), "RFC 7519 section 7.2: the payload of a JWT is a JSON object")
            .payload(&text)
            .reject("token_malformed");
        if id != "array-of-claims" && id != "empty" {
            suite
                .token(format!("header-{id}"), "RFC 7515 section 4: a JOSE header is a JSON object")
                .header(&text)
                .reject("token_malformed");
        }
    }
    suite
        .token("claims-empty-object", "an object without claims: exp is missing")
        .payload("{}")
        .policy("iss", "null")
        .policy("aud", "null")
        .reject("claim_missing");
    suite.token("header-empty-object", "an object without alg").header("{}").reject("token_malformed");
}

fn text(suite: &mut Suite) {
    let claims = claims();
    let body = &claims[..claims.len() - 1];
    let with = |tail: &[u8]| [body.as_bytes(), tail].concat();
    for (id, why, payload) in [
        ("byte-order-mark", "RFC 8259 section 8.1: no byte order mark", [b"\xef\xbb\xbf", claims.as_bytes()].concat()),
        ("utf-16", "UTF-16", claims.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("trailing-letter", "a letter after the object", [claims.as_bytes(), b"x"].concat()),
        ("trailing-nul", "NUL after the object", [claims.as_bytes(), b"\0"].concat()),
        ("two-objects", "two objects", [claims.as_bytes(), claims.as_bytes()].concat()),
        ("trailing-comma-outside", "a comma after the object", [claims.as_bytes(), b","].concat()),
        ("trailing-comma", "a comma before the brace", with(b",}")),
        ("unclosed", "no closing brace", body.as_bytes().to_vec()),
        ("invalid-utf-8", "an octet that no UTF-8 has", with(b",\"name\":\"\xff\"}")),
        ("overlong", "an overlong form of a slash", with(b",\"name\":\"\xc0\xaf\"}")),
        ("surrogate-octets", "a surrogate in UTF-8 (CESU-8)", with(b",\"name\":\"\xed\xa0\x80\"}")),
        ("truncated-utf-8", "half a character", with(b",\"name\":\"\xc3\"}")),
        ("beyond-unicode", "a code point above U+10FFFF", with(b",\"name\":\"\xf4\x90\x80\x80\"}")),
        ("lone-high-surrogate", "an escaped surrogate without its twin", with(br#","name":"\ud800"}"#)),
        ("lone-low-surrogate", "an escaped low surrogate", with(br#","name":"\udc00"}"#)),
        ("surrogates-swapped", "a pair in the wrong order", with(br#","name":"\udc00\ud800"}"#)),
        ("surrogate-in-name", "a lone surrogate in a name", with(br#","\ud800":1}"#)),
        ("control-character", "a bare newline in a string", with(b",\"name\":\"\n\"}")),
        ("bare-nul", "a bare NUL in a string", with(b",\"name\":\"\0\"}")),
        ("single-quotes", "single quotes", with(b",'name':1}")),
        ("no-quotes", "a name without quotes", with(b",name:1}")),
        ("comment", "a comment", with(b"/**/}")),
        ("line-comment", "a line comment", with(b"//\n}")),
        ("bad-escape", "an unknown escape", with(br#","name":"\x41"}"#)),
        ("short-escape", "an escape of three digits", with(br#","name":"\u041"}"#)),
        ("missing-colon", "no colon", with(br#","name" 1}"#)),
        ("missing-value", "no value", with(br#","name":}"#)),
        ("capital-true", "True", with(br#","name":True}"#)),
        ("undefined", "undefined", with(br#","name":undefined}"#)),
        ("form-feed", "a form feed is no whitespace of JSON", with(b"\x0c}")),
        ("no-break-space", "nor is a no-break space", with(b"\xc2\xa0}")),
    ] {
        suite.token(format!("claims-{id}"), format!("JSON of the claims set: {why}")).payload(payload).reject("token_malformed");
    }
    for (id, why, payload) in [
        ("whitespace-around", "whitespace around and inside", format!(" \r\n\t{body} }}\n").into_bytes()),
        ("emoji", "characters beyond the basic plane", with(",\"name\":\"🦭\"}".as_bytes())),
        ("escaped-pair", "an escaped surrogate pair", with(br#","name":"\ud83e\uddad"}"#)),
        ("escaped-nul", "an escaped NUL is a character like others", with(br#","name":"\u0000"}"#)),
        ("escaped-slash", "an escaped slash", with(br#","name":"https:\/\/x"}"#)),
        ("line-separator", "U+2028 is allowed in JSON strings", with(",\"name\":\"\u{2028}\"}".as_bytes())),
        ("noncharacter", "U+FFFF is a code point like others", with(",\"name\":\"\u{ffff}\"}".as_bytes())),
        ("bom-inside", "U+FEFF inside a string", with(",\"name\":\"\u{feff}\"}".as_bytes())),
        ("empty-name", "the empty name", with(br#","":1}"#)),
    ] {
        suite.token(format!("claims-{id}"), format!("JSON of the claims set: {why}")).payload(payload).accept();
    }
    suite
        .token("claims-escaped-names", "names written with escapes are the same names")
        .payload(claims.replace("iss", "\\u0069ss").replace("exp", "ex\\u0070"))
        .accept();
    let header = header();
    let with = |tail: &[u8]| [&header.as_bytes()[..header.len() - 1], tail].concat();
    for (id, why, header) in [
        ("byte-order-mark", "a byte order mark", [b"\xef\xbb\xbf", header.as_bytes()].concat()),
        ("trailing-letter", "a letter after the object", [header.as_bytes(), b"x"].concat()),
        ("trailing-nul", "NUL after the object", [header.as_bytes(), b"\0"].concat()),
        ("two-objects", "two objects", [header.as_bytes(), br#"{"alg":"none"}"#].concat()),
        ("invalid-utf-8", "an octet that no UTF-8 has", with(b",\"x\":\"\xff\"}")),
        ("lone-surrogate", "a lone surrogate", with(br#","x":"\ud800"}"#)),
        ("lone-surrogate-in-kid", "a lone surrogate in kid", br#"{"alg":"ES256","kid":"\ud800"}"#.to_vec()),
        ("trailing-comma", "a comma before the brace", with(b",}")),
        ("control-character", "a bare newline in a string", with(b",\"x\":\"\n\"}")),
        ("nan", "NaN", with(b",\"x\":NaN}")),
        ("infinite", "a number beyond a double", with(b",\"x\":1e400}")),
        (
            "sum",
            "a number that goes on as none does, which a search for its double must not follow",
            with(b",\"x\":1749999999999999999+9}"),
        ),
        ("two-fractions", "a number with two fractions", with(b",\"x\":1.5000000000000000.25}")),
        ("two-exponents", "a number with two exponents", with(b",\"x\":1e55e55}")),
        ("unclosed", "no closing brace", with(b"")),
    ] {
        suite.token(format!("header-{id}"), format!("JSON of the header: {why}")).header(header).reject("token_malformed");
    }
    suite
        .token("header-whitespace-around", "whitespace around and inside")
        .header(format!(" {}\r\n}}\t", &header[..header.len() - 1]))
        .accept();
    suite
        .token("header-escaped-names", "names and values written with escapes")
        .header(r#"{"\u0061lg":"ES\u003256","kid":"es256\u002d1"}"#)
        .accept();
}

/// 2^1024 - 2^971: the largest double.
const LARGEST: &str = concat!(
    "1797693134862315708145274237317043567980705675258449965989174768031572607800285387605895586327668781715",
    "4045895351438246423432132688946418276846754670353751698604991057655128207624549009038932894407586850845",
    "5133942304583236903222948165808559332123348274797826204144723168738177180919299881250404026184124858368",
);

fn numbers(suite: &mut Suite) {
    for (id, number) in [
        ("nan", "NaN"),
        ("infinity", "Infinity"),
        ("minus-infinity", "-Infinity"),
        ("infinite", "1e400"),
        ("minus-infinite", "-1e400"),
        ("leading-zero", "01"),
        ("plus", "+1"),
        ("hexadecimal", "0x10"),
        ("no-digit-before", ".5"),
        ("no-digit-after", "1."),
        ("no-exponent", "1e"),
        ("underscore", "1_000"),
        ("bare-minus", "-"),
        ("sum", "1749999999999999999+9999999999999999999999"),
        ("difference", "17499999999999999999-9"),
        ("two-fractions", "0.30000000000000004.25"),
        ("two-exponents", "1e55e55"),
        ("sign-at-the-end", "1.5e30-"),
        ("beyond-the-largest", "1.7976931348623158e308"),
        ("beyond-the-largest-whole", "17976931348623158e292"),
        ("beyond-the-largest-by-one", &LARGEST.replace("858368", "858369")),
    ] {
        suite
            .token(format!("claims-number-{id}"), "no number of JSON, or not a finite one")
            .claim("level", number)
            .reject("token_malformed");
    }
    for (id, number) in [
        ("zero", "0"),
        ("minus-zero", "-0"),
        ("fraction", "0.1"),
        ("exponent", "1E+2"),
        ("tiny", "1e-400"),
        ("largest", "1.7976931348623157e308"),
        ("largest-digit-by-digit", LARGEST),
        ("largest-of-two-ways", "-17976931348623157.08e292"),
        ("next-to-the-largest", "1.797693134862315708e308"),
        ("u64-max", "18446744073709551615"),
        ("beyond-u64", "18446744073709551616"),
        ("i64-min", "-9223372036854775808"),
        ("thousand-digits", &"9".repeat(300)),
        ("many-digits", &format!("0.{}1", "30000000000000004".repeat(60))),
        ("subnormal", "2.2250738585072011e-308"),
    ] {
        suite
            .token(format!("claims-number-{id}"), "a finite number in a claim that nobody reads")
            .claim("level", number)
            .accept();
    }
    // Half a unit in the last place beyond now: the nearest double is now, and readers that round twice say the next one.
    let middle = format!("{NOW}.00000011920928955078125");
    suite
        .token("exp-in-the-middle-of-two-doubles", "a number is the nearest double, the even one of two")
        .claim("exp", &middle)
        .policy("leeway", "0")
        .reject("token_expired");
    suite
        .token("exp-above-the-middle-of-two-doubles", "however late the digit comes that decides")
        .claim("exp", &format!("{middle}{}1", "0".repeat(900)))
        .policy("leeway", "0")
        .accept();
}

/// Names with a meaning for some language.
fn names(suite: &mut Suite) {
    for name in ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "$where", "@type", "then", "toJSON"] {
        suite
            .token(format!("claims-name-{name}"), "a name that means something to a language is a name")
            .claim(name, r#"{"admin":true}"#)
            .accept();
    }
    suite
        .token("claims-proto-exp", "exp inherited from __proto__ is not exp")
        .without("exp")
        .claim("__proto__", &format!(r#"{{"exp":{}}}"#, NOW + 300))
        .reject("claim_missing");
    suite
        .token("header-proto-alg", "alg inherited from __proto__ is not alg")
        .header(r#"{"__proto__":{"alg":"ES256"},"kid":"es256-1"}"#)
        .reject("token_malformed");
    suite
        .token("header-proto-crit", "crit inside __proto__ is not crit")
        .header(r#"{"alg":"ES256","kid":"es256-1","__proto__":{"crit":["x"]}}"#)
        .accept();
}

/// The JWK Set as a document.
fn jwks(suite: &mut Suite) {
    let jwk = KEYS.es256.jwk().text("alg", "ES256").to_json();
    let mut bad = |id: &str, why: &str, jwks: String| {
        suite.token(format!("jwks-{id}"), format!("JWK Set: {why}")).jwks(jwks).reject("jwks_malformed");
    };
    bad("no-keys", "no keys member", "{}".into());
    bad("keys-null", "keys is null", r#"{"keys":null}"#.into());
    bad("keys-object", "keys is an object", format!(r#"{{"keys":{jwk}}}"#));
    bad("keys-string", "keys is a string", r#"{"keys":"none"}"#.into());
    bad("array", "an array instead of a set", format!("[{jwk}]"));
    bad("bare-jwk", "a key instead of a set", jwk.clone());
    bad("null", "null", "null".into());
    bad("string", "a string", r#""keys""#.into());
    bad("number", "a number", "42".into());
    bad("keys-twice", "keys twice", format!(r#"{{"keys":[{jwk}],"keys":[]}}"#));
    bad("kid-twice", "kid twice in a key", jwk_set(&[KEYS.es256.jwk().twice("kid", "\"other\"").to_json()]));
    bad("x-twice", "x twice in a key", jwk_set(&[KEYS.es256.jwk().twice("x", KEYS.es256_other.jwk().get("x")).to_json()]));
    bad(
        "nested-twice",
        "a member twice, deep in one that nobody reads",
        jwk_set(&[KEYS.es256.jwk().json("ext", r#"{"a":1,"a":2}"#).to_json()]),
    );
    bad("deep", "nested 129 deep", format!(r#"{{"keys":[{jwk}],"x":{}{}}}"#, "[".repeat(128), "]".repeat(128)));
    let many = |count: usize| {
        let keys: Vec<String> =
            (1..count).map(|number| format!(r#"{{"kty":"EC","kid":"{number}"}}"#)).chain([jwk.clone()]).collect();
        jwk_set(&keys)
    };
    bad("101-keys", "more than 100 keys", many(101));
    bad("65537-octets", "more than 64 KiB", format!(r#"{{"keys":[{jwk}],"x":"{}"}}"#, "x".repeat(65_537 - jwk.len() - 18)));
    let mut good = |id: &str, why: &str, jwks: String| {
        suite.token(format!("jwks-{id}"), format!("JWK Set: {why}")).jwks(jwks).accept();
    };
    good("100-keys", "100 keys, 99 of them unusable", many(100));
    good("65536-octets", "64 KiB", format!(r#"{{"keys":[{jwk}],"x":"{}"}}"#, "x".repeat(65_536 - jwk.len() - 18)));
    good(
        "unknown-members",
        "members that nobody knows",
        format!(r#"{{"issuer":"x","keys":[{jwk}],"ttl":60,"nested":{{"keys":[]}}}}"#),
    );
    good(
        "whitespace",
        "whitespace everywhere",
        format!("\t{{ \"keys\" : [ {} ] }} ", jwk.replace(',', " ,\t").replace(':', " : ")),
    );
    good("junk-siblings", "entries that are no keys at all", format!(r#"{{"keys":[null,1,"x",[],{{}},{jwk},true]}}"#));
    good(
        "escaped-names",
        "names written with escapes",
        jwk_set(&[&jwk]).replace("\"kty\"", "\"k\\u0074y\"").replace("\"keys\"", "\"\\u006beys\""),
    );
    suite.token("jwks-empty", "JWK Set: a valid empty set has no keys").jwks(r#"{"keys":[]}"#).reject("key_not_found");
}
