//! The compact serialization and its base64url (attacks 16, 17 and 28).

use super::Suite;
use crate::corpus::{base64url, json_string};

pub(super) fn fill(suite: &mut Suite) {
    parts(suite);
    base64(suite);
    serializations(suite);
    sizes(suite);
}

fn parts(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    let mut case = |id: &str, why: &str, edit: fn(String) -> String| {
        suite.token(format!("parts-{id}"), why).edit(edit).reject("token_malformed");
    };
    case("empty", "an empty string", |_| String::new());
    case("one-dot", "one dot", |_| ".".into());
    case("two-dots", "two dots and nothing between them", |_| "..".into());
    case("three-dots", "three dots", |_| "...".into());
    case("thousand-dots", "CVE-2025-30204: many dots", |_| ".".repeat(1000));
    case("max-dots", "CVE-2025-30204: as many dots as a token may have octets", |_| ".".repeat(16_384));
    case("no-signature-part", "two parts", |token| token.rsplit_once('.').expect("dots").0.into());
    case("one-part", "one part", |token| token.split('.').next().expect("a part").into());
    case("four-parts", "a part too many", |token| format!("{token}.AA"));
    case("trailing-dot", "a dot too many", |token| format!("{token}."));
    case("leading-dot", "a dot before the header", |token| format!(".{token}"));
    case("empty-header", "no header", |token| format!(".{}", token.split_once('.').expect("dots").1));
    case("five-parts", "a JWE has five parts", |token| format!("{token}.AA.AA"));
    case("jwe", "RFC 7516 appendix A.1: a real JWE", |_| {
        concat!(
            "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe",
            ".48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji.XFBoMYUZodetZdvTiFvSkQ"
        )
        .into()
    });
    case("bearer", "the scheme is not part of the token", |token| format!("Bearer {token}"));
    case("leading-space", "a space before the token", |token| format!(" {token}"));
    case("trailing-space", "a space after the token", |token| format!("{token} "));
    case("trailing-newline", "CVE-2022-25898: a newline after the token", |token| format!("{token}\n"));
    case("leading-newline", "a newline before the token", |token| format!("\n{token}"));
    case("trailing-nul", "NUL after the token", |token| format!("{token}\u{0}"));
    case("byte-order-mark", "a byte order mark before the token", |token| format!("\u{feff}{token}"));
    case("quoted", "quotes around the token", |token| format!("\"{token}\""));
    case("comma", "two tokens in one", |token| format!("{token},{token}"));
    case("semicolon", "parameters after the token", |token| format!("{token};q=1"));
    case("fullwidth-dot", "full-width full stops", |token| token.replace('.', "\u{ff0e}"));
    case("percent-dots", "dots with percent encoding", |token| token.replace('.', "%2E"));
    case("tilde", "the form of SD-JWT, which is another format", |token| format!("{token}~"));
    case("not-ascii", "letters beyond ASCII", |token| format!("é{token}"));
    case("emoji", "characters beyond the basic plane", |_| "🦭.🦭.🦭".into());
    suite
        .token("parts-empty-payload", "an empty payload is no JSON object: known once the signature is verified")
        .payload("")
        .reject("token_malformed");
}

/// In each part; the signature covers what stands there, so that a lenient decoder would go on to accept.
fn base64(suite: &mut Suite) {
    type Spoil = fn(&str) -> String;
    let spoils: [(&str, &str, Spoil); 14] = [
        ("padded", "padding", |part| format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4))),
        ("padded-always", "an equals sign whatever the length", |part| format!("{part}=")),
        ("newline-inside", "CVE-2022-25898: a newline", |part| format!("{}\n{}", &part[..4], &part[4..])),
        ("crlf-inside", "a line break of MIME", |part| format!("{}\r\n{}", &part[..8], &part[8..])),
        ("space-inside", "a space", |part| format!("{} {}", &part[..4], &part[4..])),
        ("tab-after", "a tab", |part| format!("{part}\t")),
        ("exclamation", "CVE-2022-25898: a character outside the alphabet, dropped by lenient decoders", |part| {
            format!("{}!{}", &part[..4], &part[4..])
        }),
        ("nul-inside", "NUL", |part| format!("{}\u{0}{}", &part[..4], &part[4..])),
        ("not-ascii", "a letter beyond ASCII", |part| format!("{}é{}", &part[..4], &part[4..])),
        ("one-letter-more", "a length that base64 cannot have", |part| format!("{part}{}", "A".repeat((5 - part.len() % 4) % 4))),
        ("percent", "percent encoding", |part| format!("%{:02X}{}", part.as_bytes()[0], &part[1..])),
        ("hyphen-as-minus-sign", "a minus sign of typography", |part| format!("{}\u{2212}{}", &part[..4], &part[4..])),
        ("fullwidth-letter", "a full-width letter", |part| format!("\u{ff45}{}", &part[1..])),
        ("zero-width-space", "a zero-width space", |part| format!("{part}\u{200b}")),
    ];
    for (name, why, spoil) in spoils {
        for (part, is_header) in [("header", true), ("payload", false)] {
            let apply = move |text: String| {
                let changed = spoil(&text);
                if changed == text { format!("{text}====") } else { changed }
            };
            suite
                .token(format!("{part}-{name}"), format!("base64url of the {part}: {why}"))
                .parts(move |header, payload| if is_header { (apply(header), payload) } else { (header, apply(payload)) })
                .reject("token_malformed");
        }
        suite
            .token(format!("signature-{name}"), format!("base64url of the signature: {why}"))
            .edit(move |token| {
                let (input, signature) = token.rsplit_once('.').expect("dots");
                format!("{input}.{}", spoil(signature))
            })
            .reject("token_malformed");
    }
    // Non-zero bits that belong to no octet. The header's and the payload's lengths are chosen so that there are such bits.
    let last_up = |text: &str| {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(text.chars().last().expect("not empty")).expect("in the alphabet");
        format!("{}{}", &text[..text.len() - 1], &alphabet[last + 1..=last + 1])
    };
    for pad in 0..3 {
        let header = format!(r#"{{"alg":"ES256","kid":"es256-1"{}}}"#, " ".repeat(pad));
        if header.len().is_multiple_of(3) {
            continue;
        }
        suite
            .token(format!("header-trailing-bits-{}", header.len() % 3), "a second spelling of the same header")
            .header(&header)
            .parts(move |header, payload| (last_up(&header), payload))
            .reject("token_malformed");
        let length = header.len() % 3;
        suite
            .token(format!("payload-trailing-bits-{length}"), "a second spelling of the same payload")
            .claim("pad", &json_string(&" ".repeat(pad)))
            .parts(move |header, mut payload| {
                // Three letters of whitespace at most bring the payload to a length with spare bits.
                while payload.len() % 4 == 0 {
                    payload.push_str("IA");
                }
                (header, last_up(&payload))
            })
            .reject("token_malformed");
    }
    suite
        .token("signature-trailing-bits", "a second spelling of the same signature")
        .edit(move |token| last_up(&token))
        .reject("token_malformed");
    // The alphabet of ordinary base64 where the two differ.
    for (from, to) in [('-', '+'), ('_', '/')] {
        suite
            .token(
                format!("signature-{}", if to == '+' { "plus" } else { "slash" }),
                format!("{to} of ordinary base64 for {from}"),
            )
            .signed(move |input| signature_with(input, from))
            .edit(move |token| token.replace(from, &to.to_string()))
            .reject("token_malformed");
        suite
            .token(format!("payload-{}", if to == '+' { "plus" } else { "slash" }), format!("{to} of ordinary base64 for {from}"))
            .claim("sub", &json_string(if to == '+' { ">>>>~~~~>>>>" } else { "????\u{7f}\u{7f}????" }))
            .parts(move |header, payload| {
                assert!(payload.contains(from), "the payload has no {from}");
                (header, payload.replace(from, &to.to_string()))
            })
            .reject("token_malformed");
    }
}

/// The twin of the signature (n - s) where the first one has no such letter; vectors need not be prettier than that.
fn signature_with(input: &[u8], letter: char) -> Vec<u8> {
    let signature = crate::keys::KEYS.es256.sign("ES256", input);
    assert!(base64url(&signature).contains(letter), "the signature has no {letter}: change the id of the vector");
    signature
}

fn serializations(suite: &mut Suite) {
    suite
        .token("json-flattened", "the flattened JSON serialization (RFC 7515 section 7.2.2)")
        .edit(|token| {
            let parts: Vec<&str> = token.split('.').collect();
            format!(r#"{{"protected":"{}","payload":"{}","signature":"{}"}}"#, parts[0], parts[1], parts[2])
        })
        .reject("token_malformed");
    suite
        .token("json-general", "the general JSON serialization (RFC 7515 section 7.2.1)")
        .edit(|token| {
            let parts: Vec<&str> = token.split('.').collect();
            format!(r#"{{"payload":"{}","signatures":[{{"protected":"{}","signature":"{}"}}]}}"#, parts[1], parts[0], parts[2])
        })
        .reject("token_malformed");
    suite
        .token("json-with-dots", "a JSON serialization with two dots in it")
        .edit(|token| format!(r#"{{"token":"{token}"}}"#))
        .reject("token_malformed");
    suite
        .token("detached", "a detached payload (RFC 7515 appendix F)")
        .edit(|token| {
            let parts: Vec<&str> = token.split('.').collect();
            format!("{}..{}", parts[0], parts[2])
        })
        .reject("signature_invalid");
    suite
        .token("token-in-token", "a whole token as the payload of another, without cty")
        .payload("eyJhbGciOiJFUzI1NiJ9.e30.AAAA")
        .reject("token_malformed");
}

fn sizes(suite: &mut Suite) {
    // The signature of ES256 is 86 letters long, with its dot 87.
    fn decode(payload: &str) -> Vec<u8> {
        use base64ct::Encoding as _;
        base64ct::Base64UrlUnpadded::decode_vec(payload).expect("base64url")
    }

    let fill = |total: usize| {
        move |header: String, payload: String| {
            let room = total - header.len() - 1 - 87;
            assert!(room % 4 != 1, "no base64url is {room} letters long");
            let mut claims = String::from_utf8(decode(&payload)).expect("JSON");
            claims.insert_str(1, &" ".repeat(room * 3 / 4 - claims.len()));
            (header, base64url(claims.as_bytes()))
        }
    };
    suite.token("size-16384", "a token of exactly 16 KiB").header_member("n", "1").parts(fill(16_384)).accept();
    suite.token("size-16385", "one octet more").header_member("n", "12").parts(fill(16_385)).strict().reject("token_too_large");
    suite
        .token("size-20000", "a good token of 20 000 octets")
        .header_member("n", "1")
        .parts(fill(20_000))
        .strict()
        .reject("token_too_large");
    suite
        .token("size-junk", "16 KiB and one octet of no token at all: the size is looked at first")
        .edit(|_| "a".repeat(16_385))
        .strict()
        .reject("token_too_large");
    let header = |len: usize| format!("{}{}}}", r#"{"alg":"ES256","kid":"es256-1""#, " ".repeat(len - 31));
    suite.token("header-4096", "a header of exactly 4 KiB").header(header(4096)).accept();
    suite.token("header-4097", "one octet more").header(header(4097)).strict().reject("token_too_large");
    let kid = "k".repeat(256);
    let set = |kid: &str| crate::keys::jwk_set(&[crate::keys::KEYS.es256.jwk().text("kid", kid).to_json()]);
    suite.token("kid-256", "a kid of 256 octets").header_member("kid", &json_string(&kid)).jwks(set(&kid)).accept();
    let kid = "k".repeat(257);
    suite
        .token("kid-257", "one octet more")
        .header_member("kid", &json_string(&kid))
        .jwks(set(&kid))
        .strict()
        .reject("token_too_large");
    let kid = "é".repeat(129);
    suite
        .token("kid-258-octets", "129 characters are 258 octets")
        .header_member("kid", &json_string(&kid))
        .jwks(set(&kid))
        .strict()
        .reject("token_too_large");
    suite
        .token("kid-10k", "a kid of 4 000 octets, in a header that is small enough")
        .header_member("kid", &json_string(&"../".repeat(1300)))
        .reject("token_too_large");
}
