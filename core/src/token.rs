//! A compact JWS (RFC 7515 section 7.1) that nobody has verified.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use crate::{
    error::{Check, ErrorCode, VerifyError},
    header::Header,
    json,
    sd::Presentation,
};

/// Octets of a whole token: what the common servers allow for all header fields of a request together.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;
/// Octets of a decoded JOSE header: real ones have under 200.
pub const MAX_HEADER_LEN: usize = 4 * 1024;
/// Octets of a `kid`, in tokens and keys alike: the longest seen in use is a URI of about 100.
pub const MAX_KID_LEN: usize = 256;

/// The parts of a compact JWS: canonical base64url, a JOSE header with members of the right types, a payload and a signature
/// of which nothing is known yet.
///
/// Claims cannot be read from it: only [`crate::VerifiedToken`] has them.
///
/// ```compile_fail,E0599
/// let token = edgeseal_core::UnverifiedToken::parse("a.b.c").unwrap();
/// token.claims();
/// ```
#[derive(Clone, Debug)]
pub struct UnverifiedToken {
    pub(crate) header: Arc<Header>,
    pub(crate) header_json: Arc<str>,
    /// `BASE64URL(header) || '.' || BASE64URL(payload)`.
    pub(crate) signing_input: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) presentation: Option<Presentation>,
    pub(crate) nonce: Option<String>,
}

impl UnverifiedToken {
    /// Splits and decodes a compact JWS, or the presentation of an SD-JWT (RFC 9901 section 4), of which only the issuer-signed
    /// JWT is decoded. Whether a presentation is acceptable is for [`crate::Verifier::admit`] to say.
    ///
    /// # Errors
    /// `token_too_large` above [`MAX_TOKEN_LEN`], [`MAX_HEADER_LEN`], [`MAX_KID_LEN`] or the limits of [`crate::sd`];
    /// `token_malformed` for all else.
    pub fn parse(text: &str) -> Result<Self, VerifyError> {
        let (compact, presentation) =
            Presentation::split(text)?.map_or((text, None), |(compact, presentation)| (compact, Some(presentation)));
        Ok(Self { presentation, ..Self::parse_compact("the token", compact, MAX_TOKEN_LEN, None)? })
    }

    /// As [`UnverifiedToken::parse`], for one who parses many: a header that was seen before is not read again.
    ///
    /// # Errors
    /// As [`UnverifiedToken::parse`].
    pub fn parse_with(text: &str, seen: &mut SeenHeaders) -> Result<Self, VerifyError> {
        let (compact, presentation) =
            Presentation::split(text)?.map_or((text, None), |(compact, presentation)| (compact, Some(presentation)));
        Ok(Self { presentation, ..Self::parse_compact("the token", compact, MAX_TOKEN_LEN, Some(seen))? })
    }

    /// A compact JWS of at most so many octets.
    pub(crate) fn parse_compact(
        what: &str,
        compact: &str,
        most: usize,
        seen: Option<&mut SeenHeaders>,
    ) -> Result<Self, VerifyError> {
        too_large(what, compact.len(), most)?;
        let mut parts = compact.split('.');
        let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifyError::malformed(match compact.split('.').count() {
                5 => "five parts: an encrypted token (JWE), not a signed one".into(),
                count => alloc::format!("{count} part(s) between dots, a compact JWS has three"),
            }));
        };
        let signing_input = compact.as_bytes()[..header.len() + 1 + payload.len()].to_vec();
        let known = seen.as_ref().and_then(|seen| seen.find(header));
        let header_bytes = if known.is_some() { Vec::new() } else { decode("header", header)? };
        too_large("the header", header_bytes.len(), MAX_HEADER_LEN)?;
        let payload = decode("payload", payload)?;
        let signature = decode("signature", signature)?;
        let (header, header_json) = if let Some(known) = known {
            known
        } else {
            let (json, members) =
                json::parse_object(&header_bytes).map_err(|error| VerifyError::malformed(alloc::format!("header: {error}")))?;
            let parsed = (Arc::new(Header::from_members(&members)?), json.into());
            if let Some(seen) = seen {
                seen.keep(header, &parsed);
            }
            parsed
        };
        Ok(Self { header, header_json, signing_input, payload, signature, presentation: None, nonce: None })
    }

    /// The nonce that the caller gave the holder: the one that a key-binding JWT must carry (RFC 9901 section 7.3).
    #[must_use]
    pub fn with_nonce(mut self, nonce: impl Into<String>) -> Self {
        self.nonce = Some(nonce.into());
        self
    }

    /// The JOSE header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header's JSON text.
    pub fn header_json(&self) -> &str {
        &self.header_json
    }

    /// `iss` as the token states it, to find the issuer whose keys and policy apply and for nothing else: the signature is
    /// still to be verified, and `iss` is compared again after it.
    ///
    /// # Errors
    /// `token_malformed` when the payload is not a JSON object, `claim_missing` or `claim_invalid` when `iss` is not a string.
    pub fn unverified_issuer(&self) -> Result<String, VerifyError> {
        let (_, members) = json::parse_object(&self.payload).map_err(|error| {
            VerifyError::new(ErrorCode::TokenMalformed, Check::Routing, alloc::format!("claims set: {error}"))
        })?;
        match members.get("iss") {
            Some(Value::String(issuer)) => Ok(issuer.clone()),
            Some(_) => Err(VerifyError::new(ErrorCode::ClaimInvalid, Check::Routing, "claim iss is not a string")),
            None => Err(VerifyError::new(ErrorCode::ClaimMissing, Check::Routing, "claim iss is missing")),
        }
    }

    /// The payload as text, for a person to look at: nothing in it has been verified. `None` when it is not UTF-8.
    pub fn unverified_payload(&self) -> Option<&str> {
        core::str::from_utf8(&self.payload).ok()
    }
}

/// Some headers that were read before: all tokens of an issuer's key have the same. What is in it was well-formed, no more.
#[derive(Debug, Default)]
pub struct SeenHeaders {
    entries: [Option<(Box<str>, ParsedHeader)>; 4],
    /// Where the next one goes.
    next: usize,
}

/// A header and its JSON text.
type ParsedHeader = (Arc<Header>, Arc<str>);

/// Octets of an encoded header that is kept: the longest seen in use has some 300.
const MAX_SEEN_HEADER_LEN: usize = 512;

impl SeenHeaders {
    fn find(&self, encoded: &str) -> Option<ParsedHeader> {
        let mut entries = self.entries.iter().flatten();
        entries.find(|(known, _)| **known == *encoded).map(|(_, (header, json))| (Arc::clone(header), Arc::clone(json)))
    }

    fn keep(&mut self, encoded: &str, parsed: &ParsedHeader) {
        if encoded.len() > MAX_SEEN_HEADER_LEN {
            return;
        }
        if let Some(entry) = self.entries.get_mut(self.next) {
            *entry = Some((encoded.into(), parsed.clone()));
        }
        self.next = (self.next + 1) % self.entries.len();
    }
}

/// Decodes canonical base64url without padding (RFC 7515 section 2): no `=`, no `+` or `/`, no whitespace, no non-zero
/// trailing bits.
///
/// By a table: what is decoded here is public, and in WebAssembly the constant-time decoding of `base64ct` takes 3 us of a token's 10.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    let mut bytes = alloc::vec![0; text.len() / 4 * 3 + rest.len().saturating_sub(1)];
    let (triples, last) = bytes.as_chunks_mut::<3>();
    let mut all = 0;
    for (triple, [a, b, c, d]) in triples.iter_mut().zip(groups) {
        let bits = value(a) << 18 | value(b) << 12 | value(c) << 6 | value(d);
        all |= bits;
        let [_, first, second, third] = bits.to_be_bytes();
        *triple = [first, second, third];
    }
    // What the last octets do not hold must be 0.
    let surplus = match (rest, last) {
        ([], []) => 0,
        ([a, b], [first]) => {
            let bits = value(a) << 18 | value(b) << 12;
            all |= bits;
            [_, *first, ..] = bits.to_be_bytes();
            bits & 0xffff
        }
        ([a, b, c], [first, second]) => {
            let bits = value(a) << 18 | value(b) << 12 | value(c) << 6;
            all |= bits;
            [_, *first, *second, _] = bits.to_be_bytes();
            bits & 0xff
        }
        _ => return None,
    };
    (all >> 24 == 0 && surplus == 0).then_some(bytes)
}

/// Marks an octet outside of the alphabet: shifted by up to 18 bits, it still has bits above the 24 of a group.
const INVALID: i8 = -1;

/// The value of an octet of the alphabet, [`INVALID`] with its sign for others.
#[expect(clippy::cast_sign_loss, reason = "a sign is bits that no value has")]
#[expect(clippy::inline_always, reason = "all is built for size, and this runs for every octet of every token")]
#[inline(always)]
fn value(octet: &u8) -> u32 {
    i32::from(VALUES[usize::from(*octet)]) as u32
}

/// The alphabet of RFC 4648 section 5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The values of the alphabet.
const VALUES: [i8; 256] = {
    let mut values = [INVALID; 256];
    let (mut index, mut value) = (0, 0);
    while index < ALPHABET.len() {
        values[ALPHABET[index] as usize] = value;
        (index, value) = (index + 1, value + 1);
    }
    values
};

/// Encodes base64url without padding. What is encoded here is as public.
pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 0x3f) as usize]));
        }
    }
    text
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, VerifyError> {
    decode_base64url(text).ok_or_else(|| VerifyError::malformed(alloc::format!("the {part} is not canonical base64url")))
}

pub(crate) fn too_large(what: &str, len: usize, max: usize) -> Result<(), VerifyError> {
    if len <= max {
        return Ok(());
    }
    Err(VerifyError::new(
        ErrorCode::TokenTooLarge,
        Check::Structure,
        alloc::format!("{what} has {len} bytes, at most {max} are allowed"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use std::string::ToString;

    fn code(token: &str) -> &'static str {
        UnverifiedToken::parse(token).unwrap_err().code().as_str()
    }

    fn with_header(json: &str) -> String {
        std::format!("{}.e30.AA", encode_base64url(json.as_bytes()))
    }

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(decode_base64url("Zm9v").unwrap(), b"foo");
        assert_eq!(decode_base64url("_-8").unwrap(), [0xff, 0xef]);
        assert_eq!(decode_base64url("").unwrap(), b"");
        for text in
            ["Zm9v=", "Zg==", "Zm9vZh", "Zm9vZm9", "+/8", "/-8", "Zm9 v", "Zm9v\n", "\nZm9v", "Zm9!", "A", "AAAAA", "Zm9vé"]
        {
            assert_eq!(decode_base64url(text), None, "{text:?}");
        }
    }

    #[test]
    fn base64url_is_what_base64ct_decodes() {
        let mut random = 1_u64;
        let mut text = String::new();
        for length in 0..70 {
            for _ in 0..if cfg!(miri) { 2 } else { 200 } {
                text.clear();
                for _ in 0..length {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let index = (random >> 58) as usize;
                    text.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[index]));
                }
                let decoded = Base64UrlUnpadded::decode_vec(&text).ok();
                assert_eq!(decode_base64url(&text), decoded, "{text}");
                assert_eq!(encode_base64url(text.as_bytes()), Base64UrlUnpadded::encode_string(text.as_bytes()));
                if let Some(decoded) = decoded {
                    assert_eq!(encode_base64url(&decoded), text);
                }
            }
        }
        for position in 0..8 {
            for octet in 0..128_u8 {
                let mut text = *b"QUJDREVG";
                text[position] = octet;
                let text = core::str::from_utf8(&text).unwrap();
                for text in [text, &text[..7], &text[..6], &text[..5]] {
                    assert_eq!(decode_base64url(text), Base64UrlUnpadded::decode_vec(text).ok(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn headers_that_were_seen_are_read_as_they_were() {
        let mut seen = SeenHeaders::default();
        for round in 0..3 {
            for kid in 0..7 {
                let token = with_header(&std::format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
                let (alone, with) =
                    (UnverifiedToken::parse(&token).unwrap(), UnverifiedToken::parse_with(&token, &mut seen).unwrap());
                assert_eq!((alone.header(), alone.header_json()), (with.header(), with.header_json()), "{round} {kid}");
                assert_eq!(
                    (alone.signing_input, alone.payload, alone.signature),
                    (with.signing_input, with.payload, with.signature)
                );
                let again = Arc::clone(&UnverifiedToken::parse_with(&token, &mut seen).unwrap().header);
                assert!(Arc::ptr_eq(&again, &with.header), "{round} {kid}");
                // A known header excuses nothing else.
                for wrong in [
                    token.replace(".e30.", ".e3.."),
                    token.replace(".AA", ".A"),
                    token.replace(".e30.", ".e3*."),
                    token.clone() + "=",
                    token.clone() + ".AA",
                ] {
                    let told = |result: Result<UnverifiedToken, VerifyError>| result.unwrap_err().to_string();
                    assert_eq!(
                        told(UnverifiedToken::parse_with(&wrong, &mut seen)),
                        told(UnverifiedToken::parse(&wrong)),
                        "{wrong}"
                    );
                }
            }
        }
        let long = with_header(&std::format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(MAX_SEEN_HEADER_LEN)));
        assert!(UnverifiedToken::parse_with(&long, &mut seen).is_ok());
        assert!(seen.entries.iter().flatten().all(|(encoded, _)| encoded.len() <= MAX_SEEN_HEADER_LEN));
        for refused in [r#"{"alg":1}"#, "{}", "[]"] {
            assert!(UnverifiedToken::parse_with(&with_header(refused), &mut seen).is_err());
            assert!(UnverifiedToken::parse_with(&with_header(refused), &mut seen).is_err());
        }
    }

    #[test]
    fn four_headers_are_kept_and_the_oldest_goes_first() {
        let mut seen = SeenHeaders::default();
        let headers: Vec<String> = (0..6).map(|kid| with_header(&std::format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#))).collect();
        let kept = |seen: &SeenHeaders| -> Vec<bool> {
            headers.iter().map(|token| seen.find(token.split('.').next().unwrap()).is_some()).collect()
        };
        for (newest, token) in headers.iter().enumerate() {
            UnverifiedToken::parse_with(token, &mut seen).unwrap();
            let expected: Vec<bool> = (0..6).map(|kid| kid <= newest && newest - kid < 4).collect();
            assert_eq!(kept(&seen), expected, "{newest}");
        }
        // The longest that is kept, and one octet more.
        for (octets, is_kept) in [(MAX_SEEN_HEADER_LEN / 4 * 3, true), (MAX_SEEN_HEADER_LEN / 4 * 3 + 1, false)] {
            let token = with_header(&std::format!("{{\"alg\":\"ES256\"{}}}", " ".repeat(octets - 15)));
            UnverifiedToken::parse_with(&token, &mut seen).unwrap();
            assert_eq!(seen.find(token.split('.').next().unwrap()).is_some(), is_kept, "{octets}");
        }
    }

    #[test]
    fn structure() {
        for token in ["", ".", "..", "...", "a.b", "e30", "e30.e30", "e30.e30.AA.AA", "e30.e30.AA.AA.AA", &".".repeat(16_384)] {
            assert_eq!(code(token), "token_malformed", "{token:.20}");
        }
        assert_eq!(code(&".".repeat(1_000_000)), "token_too_large");
        assert_eq!(code(&"a".repeat(MAX_TOKEN_LEN)), "token_malformed");
        assert_eq!(code(&"a".repeat(MAX_TOKEN_LEN + 1)), "token_too_large");
        assert!(UnverifiedToken::parse(&with_header(r#"{"alg":"ES256"}"#)).is_ok());
        assert_eq!(code(&(" ".to_string() + &with_header(r#"{"alg":"ES256"}"#))), "token_malformed");
        assert_eq!(code(&(with_header(r#"{"alg":"ES256"}"#) + "\n")), "token_malformed");
    }

    #[test]
    fn header_rules() {
        for json in [
            "{}",
            "[]",
            "null",
            r#"{"alg":null}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","typ":[]}"#,
            r#"{"alg":"ES256","cty":{}}"#,
            r#"{"alg":"ES256","alg":"ES256"}"#,
            r#"{"alg":"ES256","zip":"DEF"}"#,
            r#"{"alg":"ES256","enc":"A128GCM"}"#,
        ] {
            assert_eq!(code(&with_header(json)), "token_malformed", "{json}");
        }
        let kid = |len: usize| with_header(&std::format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(len)));
        assert!(UnverifiedToken::parse(&kid(MAX_KID_LEN)).is_ok());
        assert_eq!(code(&kid(MAX_KID_LEN + 1)), "token_too_large");
        let padded = |len: usize| with_header(&std::format!("{{\"alg\":\"ES256\"{}}}", " ".repeat(len - 15)));
        assert!(UnverifiedToken::parse(&padded(MAX_HEADER_LEN)).is_ok());
        assert_eq!(code(&padded(MAX_HEADER_LEN + 1)), "token_too_large");
    }
}
