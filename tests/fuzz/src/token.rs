//! Any text as a compact token: its parts, limits and header by a plain reading.

use edgeseal_core::UnverifiedToken;

use super::oracle::{Json, base64url, member};

/// A token read plainly.
pub struct Plain {
    pub header: Vec<(String, Json)>,
    pub payload: Vec<u8>,
}

/// The parts of a token, or the code of what is wrong.
pub fn read(text: &str) -> Result<Plain, &'static str> {
    const MALFORMED: &str = "token_malformed";
    if text.len() > 16 * 1024 {
        return Err("token_too_large");
    }
    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts[..] else { return Err(MALFORMED) };
    let header = base64url(header).ok_or(MALFORMED)?;
    if header.len() > 4 * 1024 {
        return Err("token_too_large");
    }
    let payload = base64url(payload).ok_or(MALFORMED)?;
    base64url(signature).ok_or(MALFORMED)?;
    let header = Json::strict_object(&header).ok_or(MALFORMED)?;
    if member(&header, "enc").is_some() || member(&header, "zip").is_some() {
        return Err(MALFORMED);
    }
    for name in ["alg", "kid", "typ", "cty"] {
        if member(&header, name).is_some_and(|value| value.as_str().is_none()) {
            return Err(MALFORMED);
        }
    }
    if member(&header, "alg").is_none() {
        return Err(MALFORMED);
    }
    if member(&header, "kid").and_then(Json::as_str).is_some_and(|kid| kid.len() > 256) {
        return Err("token_too_large");
    }
    Ok(Plain { header, payload })
}

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A presentation of an SD-JWT has its own target.
    if text.contains('~') {
        let _ = UnverifiedToken::parse(text);
        return;
    }
    let disputed = |part: &str| base64url(part).and_then(|json| Json::read(&json)).is_some_and(|(_, remarks)| remarks.disputed);
    if text.split('.').any(disputed) {
        return;
    }
    let ours = UnverifiedToken::parse(text);
    match (ours, read(text)) {
        (Ok(ours), Ok(plain)) => {
            let text = |name: &str| member(&plain.header, name).and_then(Json::as_str);
            assert_eq!(text("alg"), Some(ours.header().algorithm()));
            assert_eq!(text("kid"), ours.header().kid());
            assert_eq!(text("typ"), ours.header().typ());
            assert_eq!(ours.unverified_payload(), std::str::from_utf8(&plain.payload).ok());
            let issuer = Json::strict_object(&plain.payload).and_then(|claims| member(&claims, "iss").cloned());
            assert_eq!(ours.unverified_issuer().ok().as_deref(), issuer.as_ref().and_then(Json::as_str));
        }
        (Err(error), Err(code)) => assert_eq!(error.code().as_str(), code, "{error}"),
        (Ok(_), Err(code)) => panic!("accepted, expected {code}"),
        (Err(error), Ok(_)) => panic!("refused: {error}"),
    }
}
