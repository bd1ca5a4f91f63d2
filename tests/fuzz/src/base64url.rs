//! Any octets as the payload and the signature of a token, and as octets to encode.

use edgeseal_core::{Algorithm, UnsignedToken, UnverifiedToken};

use super::oracle::{base64url, to_base64url};

/// `{"alg":"ES256"}`
const HEADER: &str = "eyJhbGciOiJFUzI1NiJ9";

pub fn run(data: &[u8]) {
    if data.len() > 8_000 {
        return;
    }
    if let Ok(text) = std::str::from_utf8(data)
        && !text.contains(['.', '~'])
    {
        let decoded = base64url(text);
        let as_payload = UnverifiedToken::parse(&format!("{HEADER}.{text}."));
        assert_eq!(as_payload.is_ok(), decoded.is_some(), "payload {text:?}");
        let as_signature = UnverifiedToken::parse(&format!("{HEADER}..{text}"));
        assert_eq!(as_signature.is_ok(), decoded.is_some(), "signature {text:?}");
        if let (Ok(token), Some(decoded)) = (as_payload, &decoded) {
            assert_eq!(token.unverified_payload(), std::str::from_utf8(decoded).ok());
            // Canonical: there is one text for these octets.
            assert_eq!(to_base64url(decoded), text);
        }
    }
    let unsigned = UnsignedToken::new(Algorithm::Es256, "k", None, "{}").unwrap();
    let token = unsigned.attach(data);
    let (_, encoded) = token.rsplit_once('.').unwrap();
    assert_eq!(encoded, to_base64url(data));
    assert_eq!(base64url(encoded).unwrap(), data);
}
