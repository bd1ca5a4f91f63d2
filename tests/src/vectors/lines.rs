//! Corpus lines that are none, and some that look like none: every host must read them alike.

use super::Suite;
use crate::corpus::{Body, Expect, Tier};

const GOOD: &str = r#""token":"a.b.c","jwks":{"keys":[]},"alg_allow":["ES256"],"now":1750000000,"policy":{}"#;
const SIGNATURE: &str = r#""alg":"ES256","jwk":{"kty":"EC"},"msg_hex":"00","sig_hex":"00""#;

pub(super) fn fill(suite: &mut Suite) {
    malformed(suite);
    odd(suite);
}

fn malformed(suite: &mut Suite) {
    let mut raw = |id: &str, line: &[u8]| {
        let line = line.to_vec();
        suite.push(id, Tier::Strict, "a line that is none", Expect::Reject(Some("line_malformed")), Body::Raw(line));
    };
    raw("word", b"hello");
    raw("number", b"42");
    raw("null", b"null");
    raw("array", b"[]");
    raw("string", b"\"token\"");
    raw("unclosed", br#"{"id":"lines-unclosed","token":"a.b.c""#);
    raw("closed-twice", br#"{"id":"lines-closed-twice"}}"#);
    raw("two-objects", br#"{"id":"a"} {"id":"b"}"#);
    raw("trailing-comma", br#"{"id":"a",}"#);
    raw("nan", format!(r#"{{"id":"lines-nan",{}}}"#, GOOD.replace("1750000000", "NaN")).as_bytes());
    raw("byte-order-mark", format!("\u{feff}{{\"id\":\"lines-byte-order-mark\",{GOOD}}}").as_bytes());
    raw("invalid-utf-8", b"{\"id\":\"lines-\xff\"}");
    raw("nul", b"\0");
    raw("control-character", b"{\"id\":\"lines-\x01\"}");
    raw("empty-object", b"{}");
    raw("deep", "[".repeat(50_000).as_bytes());
    raw("deep-closed", format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)).as_bytes());
    for (id, members) in [
        ("no-id", GOOD.to_owned()),
        ("id-number", format!(r#""id":1,{GOOD}"#)),
        ("id-null", format!(r#""id":null,{GOOD}"#)),
        ("id-lone-surrogate", format!(r#""id":"\ud800",{GOOD}"#)),
        ("token-twice", format!(r#""id":"lines-token-twice","token":"a.b.c",{GOOD}"#)),
        ("id-twice", format!(r#""id":"lines-id-twice","id":"lines-id-twice",{GOOD}"#)),
        ("id-twice-escaped", format!(r#""id":"lines-id-twice","\u0069d":"lines-id-twice",{GOOD}"#)),
        ("nothing-to-judge", r#""id":"lines-nothing-to-judge","expect":"reject""#.to_owned()),
        ("token-number", format!(r#""id":"lines-token-number",{}"#, GOOD.replace(r#""a.b.c""#, "1"))),
        ("token-null", format!(r#""id":"lines-token-null",{}"#, GOOD.replace(r#""a.b.c""#, "null"))),
        ("token-lone-surrogate", format!(r#""id":"lines-token-lone-surrogate",{}"#, GOOD.replace("a.b.c", "\\udc00"))),
        ("no-jwks", format!(r#""id":"lines-no-jwks",{}"#, GOOD.replace(r#""jwks":{"keys":[]},"#, ""))),
        ("no-now", format!(r#""id":"lines-no-now",{}"#, GOOD.replace(r#""now":1750000000,"#, ""))),
        ("now-string", format!(r#""id":"lines-now-string",{}"#, GOOD.replace("1750000000", "\"1750000000\""))),
        ("now-negative", format!(r#""id":"lines-now-negative",{}"#, GOOD.replace("1750000000", "-1"))),
        ("now-late", format!(r#""id":"lines-now-late",{}"#, GOOD.replace("1750000000", "253402300800"))),
        ("msg-odd", format!(r#""id":"lines-msg-odd",{}"#, SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":"000""#))),
        ("msg-letters", format!(r#""id":"lines-msg-letters",{}"#, SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":"0g""#))),
        (
            "msg-prefixed",
            format!(r#""id":"lines-msg-prefixed",{}"#, SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":"0x00""#)),
        ),
        ("msg-number", format!(r#""id":"lines-msg-number",{}"#, SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":0"#))),
        ("no-sig", format!(r#""id":"lines-no-sig",{}"#, SIGNATURE.replace(r#","sig_hex":"00""#, ""))),
        ("no-jwk", format!(r#""id":"lines-no-jwk",{}"#, SIGNATURE.replace(r#""jwk":{"kty":"EC"},"#, ""))),
        ("alg-number", format!(r#""id":"lines-alg-number",{}"#, SIGNATURE.replace(r#""ES256""#, "256"))),
    ] {
        raw(id, format!("{{{members}}}").as_bytes());
    }
}

/// Lines that are lines, whatever they look like.
fn odd(suite: &mut Suite) {
    let mut raw = |id: &str, code: &'static str, members: &str| {
        let line = format!(r#"{{"id":"lines-{id}",{members},"expect":"reject","code":"{code}"}}"#);
        suite.push(id, Tier::Strict, "a line, whatever it looks like", Expect::Reject(Some(code)), Body::Raw(line.into_bytes()));
    };
    raw("control", "token_malformed", GOOD);
    raw("whitespace", "token_malformed", &GOOD.replace(',', " ,\t").replace(':', " : "));
    raw("no-policy", "token_malformed", &GOOD.replace(r#","policy":{}"#, ""));
    raw("now-fraction", "token_malformed", &GOOD.replace("1750000000", "1750000000.25"));
    raw("now-exponent", "token_malformed", &GOOD.replace("1750000000", "1.75e9"));
    raw("escaped-names", "token_malformed", &GOOD.replace("token", "\\u0074oken").replace("jwks", "jwk\\u0073"));
    raw("both-kinds", "token_malformed", &format!("{GOOD},{SIGNATURE}"));
    raw("brackets-in-strings", "token_malformed", &format!(r#""x":"}}]{{[\"\\","y":[{{"}}":"]"}}],{GOOD}"#));
    raw("unknown-members", "token_malformed", &format!(r#""policy_":{{}},"JWKS":1,"":null,"__proto__":{{"token":1}},{GOOD}"#));
    raw("deep-member", "token_malformed", &format!("\"x\":{}{},{GOOD}", "[".repeat(20_000), "]".repeat(20_000)));
    raw("jwks-null", "jwks_malformed", &GOOD.replace(r#"{"keys":[]}"#, "null"));
    raw("jwks-text", "jwks_malformed", &GOOD.replace(r#"{"keys":[]}"#, r#""{\"keys\":[]}""#));
    raw("jwks-number", "jwks_malformed", &GOOD.replace(r#"{"keys":[]}"#, "1e3"));
    raw("policy-array", "policy_invalid", &GOOD.replace(r#""policy":{}"#, r#""policy":[]"#));
    raw("policy-null", "policy_invalid", &GOOD.replace(r#""policy":{}"#, r#""policy":null"#));
    for (id, policy) in [
        ("issuer", r#""issuer":"https://issuer.example""#),
        ("algorithms", r#""algorithms":["RS256"]"#),
        ("clock", r#""clock":1750000000"#),
        ("jwks", r#""jwks":{"keys":[]}"#),
        ("sd-jwt-twice", r#""sd_jwt":{"key_binding":"required","key_binding":"where_bound"}"#),
    ] {
        raw(&format!("policy-{id}"), "policy_invalid", &GOOD.replace(r#""policy":{}"#, &format!(r#""policy":{{{policy}}}"#)));
    }
    raw("no-alg-allow", "policy_invalid", &GOOD.replace(r#""alg_allow":["ES256"],"#, ""));
    raw("alg-allow-text", "policy_invalid", &GOOD.replace(r#"["ES256"]"#, r#""ES256""#));
    raw("jwk-null", "key_not_found", &SIGNATURE.replace(r#"{"kty":"EC"}"#, "null"));
    raw("jwk-twice", "key_not_found", &SIGNATURE.replace(r#"{"kty":"EC"}"#, r#"{"kty":"EC","kty":"EC"}"#));
    raw("alg-none", "algorithm_not_allowed", &SIGNATURE.replace("ES256", "none"));
    raw("upper-case-hex", "key_not_found", &SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":"AbCdEF""#));
    raw("empty-hex", "key_not_found", &SIGNATURE.replace(r#""msg_hex":"00""#, r#""msg_hex":"""#));
}
