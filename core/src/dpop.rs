//! Sender-constrained tokens: `DPoP` proofs (RFC 9449), and tokens bound to a client certificate (RFC 8705 section 3).
//!
//! A token with `cnf` is accepted where the policy says so ([`PolicyBuilder::bound_tokens`](crate::policy::PolicyBuilder::bound_tokens))
//! and only together with a [`Possession`]: the key that a `DPoP` proof of this very request was signed with, or the certificate of
//! this very connection. The token comes out of [`Verifier::finish`](crate::Verifier::finish) as a
//! [`BoundToken`](crate::verify::BoundToken), which has no claims until [`Verifier::prove`](crate::Verifier::prove) has seen one.
//!
//! This is the only place where a key from a token's own header is read, and all that such a key can do is to be compared with `cnf`.
//!
//! The checks of RFC 9449 section 4.3, in the order in which they are made here:
//!
//! 1. at most one `DPoP` field, and in it one well-formed JWT ([`DpopProof::begin`]);
//! 2. no critical extension; `typ` is `dpop+jwt`;
//! 3. `alg` is in the list;
//! 4. `jwk` is there, has no private members, and is a key of that `alg`;
//! 5. the signature verifies with it ([`DpopProof::finish`]);
//! 6. `jti`, `htm`, `htu`, `iat` and `ath` are there and of the right types;
//! 7. `htm`; 8. `htu`; 9. `nonce`, where the server gave one; 10. `iat`, and `exp` and `nbf` where they are there; 11. `ath`;
//! 12. the key is that of the token's `cnf.jkt` ([`Verifier::prove`](crate::Verifier::prove));
//! 13. the host's replay store has not seen [`ProvenKey::replay_id`]: the last check, so that only what would be accepted is stored.

use alloc::{
    string::{String, ToString as _},
    sync::Arc,
    vec::Vec,
};

use serde_json::Value;

use crate::{
    algorithm::{Algorithm, Hash},
    backend::{SignatureBackend, SignatureInput, SignatureInvalid, SignatureValid},
    claims::{Claims, NumericDate},
    error::{Check, ErrorCode, PolicyError, VerifyError, quoted},
    http::Refusal,
    json,
    jwk::{Jwk, KeyRules},
    settings::{Fields, Setting},
    time::Timestamp,
    token::{UnverifiedToken, decode_base64url, encode_base64url},
    verify::is_same_media_type,
};

/// Octets of a proof: one with an RSA key of 8192 bits has under 4 KiB.
pub const MAX_PROOF_LEN: usize = 8 * 1024;
/// Octets of a `jti`: a UUID has 36.
pub const MAX_JTI_LEN: usize = 256;
/// Seconds that a proof's `iat` may lie from now, unless set: before and after (RFC 9449 section 11.1).
pub const DEFAULT_MAX_AGE: u64 = 60;
/// The longest that a setting may allow: replays must be remembered twice as long.
pub const LONGEST_MAX_AGE: u64 = 300;

/// Which proofs are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopSettings {
    /// The algorithms of proofs: `ES256`, `ES384`, `ES512`, `PS256`, `RS256`, `EdDSA` and `Ed25519` unless set. All are asymmetric.
    pub algorithms: Vec<Algorithm>,
    /// Seconds that `iat` may lie from now, before and after; [`DEFAULT_MAX_AGE`] unless set.
    pub max_age: u64,
}

impl Default for DpopSettings {
    fn default() -> Self {
        use Algorithm::{Ed25519, EdDsa, Es256, Es384, Es512, Ps256, Rs256};
        Self { algorithms: alloc::vec![Es256, Es384, Es512, Ps256, Rs256, EdDsa, Ed25519], max_age: DEFAULT_MAX_AGE }
    }
}

impl Setting for DpopSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let default = Self::default();
        let settings =
            Self { algorithms: fields.or("algorithms", default.algorithms)?, max_age: fields.or("max_age", default.max_age)? };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }
}

impl DpopSettings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.algorithms.is_empty() {
            return Err(PolicyError::new("algorithms", "is empty: name at least one, such as \"ES256\""));
        }
        if !(1..=LONGEST_MAX_AGE).contains(&self.max_age) {
            let detail = alloc::format!("is {} s, must be 1 s to {LONGEST_MAX_AGE} s", self.max_age);
            return Err(PolicyError::new("max_age", detail));
        }
        Ok(())
    }
}

/// The request that a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct DpopRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The URL that the client asked for; its query and fragment are ignored.
    pub url: &'a str,
    /// The access token that came with the proof, as it was presented.
    pub access_token: &'a str,
    /// The nonces of which the proof must carry one; empty where the server gives none.
    pub nonces: &'a [String],
}

/// A proof whose signature is still to be verified; it owns all that the rest needs.
#[derive(Debug)]
pub struct DpopProof {
    input: SignatureInput,
    payload: Vec<u8>,
    max_age: u64,
}

/// The key that a proof of this request was signed with. Only [`DpopProof::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    thumbprint: String,
    replay_id: String,
    replay_until: Timestamp,
}

/// How the sender of a request proved to hold a key: what a host knows of this request alone. It is never cached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Possession<'a> {
    /// The key of a `DPoP` proof.
    pub key: Option<&'a ProvenKey>,
    /// SHA-256 of the DER of the client's certificate, which the TLS layer has verified.
    pub certificate: Option<&'a [u8; 32]>,
}

/// What a token is bound to: its `cnf` (RFC 7800 section 3), as far as it can be proved to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    jkt: Option<String>,
    certificate: Option<[u8; 32]>,
}

impl DpopProof {
    /// Verifies a proof with a backend that answers at once. `field` is the value of the `DPoP` header field.
    ///
    /// # Errors
    /// The first check that fails, in the order of this module's documentation; `proof_invalid` whatever it is, or
    /// `proof_nonce_required`.
    pub fn verify(
        backend: &impl SignatureBackend,
        field: &str,
        request: &DpopRequest<'_>,
        settings: &DpopSettings,
        now: Timestamp,
    ) -> Result<ProvenKey, Refusal> {
        let proof = Self::begin(field, settings)?;
        let answer = backend.verify(&proof.input);
        proof.finish(answer, request, now)
    }

    /// Makes every decision before the signature. Hosts that join repeated header fields do so with a comma, which is in no JWT.
    ///
    /// # Errors
    /// `proof_invalid`.
    pub fn begin(field: &str, settings: &DpopSettings) -> Result<Self, Refusal> {
        if field.contains(',') {
            return Err(invalid("more than one DPoP field, or a list in it"));
        }
        if field.len() > MAX_PROOF_LEN {
            return Err(invalid(alloc::format!("the proof has {} bytes, at most {MAX_PROOF_LEN} are allowed", field.len())));
        }
        let token = UnverifiedToken::parse(field.trim_matches(' ')).map_err(|error| of_proof(&error))?;
        if token.presentation.is_some() {
            return Err(invalid("the proof is the presentation of an SD-JWT"));
        }
        let header = token.header();
        if let Some(why) = header.critical() {
            return Err(invalid(why));
        }
        if !header.typ().is_some_and(|typ| is_same_media_type(typ, "dpop+jwt")) {
            let typ = header.typ().map_or_else(|| "no typ".into(), |typ| alloc::format!("typ {}", quoted(typ)));
            return Err(invalid(alloc::format!("the proof has {typ}, not \"dpop+jwt\"")));
        }
        let allowed = &settings.algorithms;
        let algorithm = Algorithm::from_name(header.algorithm()).filter(|algorithm| allowed.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| {
            invalid(alloc::format!("the proof says alg {}, allowed are {}", quoted(header.algorithm()), names(allowed)))
        })?;
        let key = key_of_header(token.header_json())?;
        let UnverifiedToken { signing_input, payload, signature, .. } = token;
        let input = SignatureInput::new(algorithm, Arc::new(key), signing_input, signature).map_err(|error| of_proof(&error))?;
        Ok(Self { input, payload, max_age: settings.max_age })
    }

    /// What a backend has to verify.
    pub fn input(&self) -> &SignatureInput {
        &self.input
    }

    /// Takes the backend's answer and judges the proof's claims against the request.
    ///
    /// # Errors
    /// `proof_invalid`, or `proof_nonce_required` where the proof lacks a nonce that the server gave.
    pub fn finish(
        self,
        answer: Result<SignatureValid, SignatureInvalid>,
        request: &DpopRequest<'_>,
        now: Timestamp,
    ) -> Result<ProvenKey, Refusal> {
        let SignatureValid { .. } = answer.map_err(|SignatureInvalid| of_proof(&VerifyError::signature_invalid()))?;
        let Self { input, payload, max_age } = self;
        let (_, claims) = Claims::parse(&payload).map_err(|error| of_proof(&error))?;
        let jti = string(&claims, "jti")?;
        let (method, uri, token_hash) = (string(&claims, "htm")?, string(&claims, "htu")?, string(&claims, "ath")?);
        let issued_at = claims.issued_at().ok_or_else(|| invalid("claim iat of the proof is missing"))?;
        if jti.is_empty() || jti.len() > MAX_JTI_LEN {
            return Err(invalid(alloc::format!("jti has {} bytes, must have 1 to {MAX_JTI_LEN}", jti.len())));
        }
        if method != request.method {
            return Err(invalid(alloc::format!("htm is {}, the method is {}", quoted(method), quoted(request.method))));
        }
        let (told, asked) = (target(uri), target(request.url));
        if told.is_none() || told != asked {
            // Without the query, in which a token may stand.
            let shown = |target: &Option<String>| target.as_deref().map_or_else(|| "no URL of HTTP".into(), quoted);
            return Err(invalid(alloc::format!("htu is {}, asked was {}", shown(&told), shown(&asked))));
        }
        judge_nonce(&claims, request.nonces)?;
        judge_time(&claims, issued_at, max_age, now)?;
        if token_hash != hash(request.access_token) {
            return Err(invalid("ath is not the hash of the access token"));
        }
        let thumbprint = input.key().thumbprint();
        let replay_id = encode_base64url(&Hash::Sha256.digest(&[thumbprint.as_bytes(), b"\0", jti.as_bytes()]));
        // A proof from the near future is good until its own time has passed.
        let replay_until = Timestamp::from_secs(whole_seconds(issued_at)).plus_secs(max_age + 1);
        Ok(ProvenKey { thumbprint, replay_id, replay_until })
    }
}

impl ProvenKey {
    /// The RFC 7638 thumbprint of the key, SHA-256 in base64url: what `cnf.jkt` says.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What the replay store remembers: a digest of the key and `jti`, base64url.
    pub fn replay_id(&self) -> &str {
        &self.replay_id
    }

    /// Until when it must be remembered: after that the proof's `iat` refuses it.
    pub fn replay_until(&self) -> Timestamp {
        self.replay_until
    }
}

impl Confirmation {
    /// Reads `cnf`: every member must be one that can be proved here. RFC 7800 lets unknown ones be ignored; a binding that is
    /// ignored is none, so they are refused.
    pub(crate) fn from_claim(cnf: &Value) -> Result<Self, VerifyError> {
        let refuse = |code, detail: String| Err(VerifyError::new(code, Check::Proof, detail));
        let Value::Object(members) = cnf else { return refuse(ErrorCode::ClaimInvalid, "claim cnf is not an object".into()) };
        let mut confirmation = Self { jkt: None, certificate: None };
        for (name, value) in members {
            let digest = value.as_str().and_then(|text| Some((text, <[u8; 32]>::try_from(decode_base64url(text)?).ok()?)));
            match (name.as_str(), digest) {
                ("jkt", Some((text, _))) => confirmation.jkt = Some(text.into()),
                ("x5t#S256", Some((_, digest))) => confirmation.certificate = Some(digest),
                ("jkt" | "x5t#S256", None) => {
                    return refuse(ErrorCode::ClaimInvalid, alloc::format!("cnf.{name} is not a SHA-256 digest in base64url"));
                }
                _ => {
                    let detail = alloc::format!("cnf binds the token by {}, which cannot be proved here", quoted(name));
                    return refuse(ErrorCode::ProofRequired, detail);
                }
            }
        }
        if members.is_empty() {
            return refuse(ErrorCode::ClaimInvalid, "claim cnf is empty".into());
        }
        Ok(confirmation)
    }

    /// Whether the token is bound to the key of a `DPoP` proof.
    pub fn wants_dpop(&self) -> bool {
        self.jkt.is_some()
    }

    /// Whether the token is bound to a client certificate.
    pub fn wants_certificate(&self) -> bool {
        self.certificate.is_some()
    }

    /// Everything that the token is bound to must be proved.
    pub(crate) fn judge(&self, possession: &Possession<'_>) -> Result<(), VerifyError> {
        let refuse = |code, detail: &'static str| Err(VerifyError::new(code, Check::Proof, detail));
        match (&self.jkt, possession.key) {
            (Some(_), None) => {
                return refuse(ErrorCode::ProofRequired, "the token is bound to a key (cnf.jkt), and no DPoP proof came with it");
            }
            (None, Some(_)) => return refuse(ErrorCode::ProofInvalid, "a DPoP proof came with a token that has no cnf.jkt"),
            (Some(jkt), Some(key)) if *jkt != key.thumbprint => {
                return refuse(ErrorCode::ProofInvalid, "the DPoP proof is signed with another key than that of cnf.jkt");
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        match (&self.certificate, possession.certificate) {
            (Some(_), None) => {
                let detail = "the token is bound to a certificate (cnf.x5t#S256), and the client presented none that is verified";
                refuse(ErrorCode::ProofRequired, detail)
            }
            (Some(bound), Some(presented)) if bound != presented => {
                refuse(ErrorCode::ProofInvalid, "the client's certificate is another than that of cnf.x5t#S256")
            }
            (None, _) | (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// The names of algorithms, as the `algs` of a challenge lists them (RFC 9449 section 5.1).
pub fn names(algorithms: &[Algorithm]) -> String {
    let names: Vec<&str> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
    names.join(" ")
}

fn key_of_header(header_json: &str) -> Result<Jwk, Refusal> {
    let (_, members) = json::parse_object(header_json.as_bytes()).map_err(|error| invalid(error.to_string()))?;
    let Some(Value::Object(members)) = members.get("jwk") else {
        return Err(invalid("header member jwk is missing or not an object"));
    };
    Jwk::from_members(members, KeyRules::default()).map_err(|problem| invalid(alloc::format!("jwk is not usable: {problem}")))
}

fn judge_nonce(claims: &Claims, nonces: &[String]) -> Result<(), Refusal> {
    if nonces.is_empty() {
        return Ok(());
    }
    match claims.get("nonce") {
        Some(Value::String(nonce)) if nonces.contains(nonce) => Ok(()),
        Some(Value::String(_)) => Err(Refusal::proof_nonce_required("nonce is none that this server gave of late")),
        Some(_) => Err(invalid("claim nonce of the proof is not a string")),
        None => Err(Refusal::proof_nonce_required("claim nonce of the proof is missing")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "configured seconds, at most 300")]
fn judge_time(claims: &Claims, issued_at: NumericDate, max_age: u64, now: Timestamp) -> Result<(), Refusal> {
    let (now, window) = (now.as_secs_f64(), max_age as f64);
    if (issued_at.seconds() - now).abs() > window {
        return Err(invalid(alloc::format!("iat is more than {max_age} s from now")));
    }
    if claims.expires_at().is_some_and(|exp| now >= exp.seconds()) {
        return Err(invalid("exp of the proof has passed"));
    }
    if claims.not_before().is_some_and(|nbf| nbf.seconds() > now + window) {
        return Err(invalid("nbf of the proof lies in the future"));
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a NumericDate is between 0 and the year 9999")]
fn whole_seconds(date: NumericDate) -> u64 {
    date.seconds() as u64
}

fn hash(access_token: &str) -> String {
    encode_base64url(&Hash::Sha256.digest(&[access_token.as_bytes()]))
}

fn string<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, Refusal> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| invalid(alloc::format!("claim {name} of the proof is missing or not a string")))
}

/// An HTTP URL without query and fragment, normalized by syntax and scheme (RFC 3986 sections 6.2.2 and 6.2.3): cases, the default
/// port, an empty path, percent-encoding, dot segments. `None` for what is no such URL, or has user information.
fn target(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.is_empty() || authority.contains('@') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let authority = authority.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon of an IPv6 address is inside its brackets.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.trim_start_matches('0')),
        _ => (authority.as_str(), ""),
    };
    let mut target = alloc::format!("{scheme}://{host}");
    if !port.is_empty() && port != default_port {
        target.push(':');
        target.push_str(port);
    }
    target.push_str(&without_dot_segments(&unescaped(path)?));
    Some(target)
}

/// Percent-encoding with upper-case digits, and only where it is needed. `None` where it is broken.
fn unescaped(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut out = String::from(parts.next()?);
    for part in parts {
        let code = part.get(..2).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let octet = u8::from_str_radix(code, 16).ok()?;
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push_str(&code.to_ascii_uppercase());
        }
        out.push_str(part.get(2..)?);
    }
    Some(out)
}

/// RFC 3986 section 5.2.4, of an absolute path; the empty one is `/`.
fn without_dot_segments(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut names = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        match name {
            "." | ".." => {
                if name == ".." {
                    segments.pop();
                }
                if is_last {
                    segments.push("");
                }
            }
            _ => segments.push(name),
        }
    }
    alloc::format!("/{}", segments.join("/"))
}

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::dpop_proof_invalid(detail)
}

/// A refusal of the proof, which is a token itself: one code, whatever is wrong with it.
fn of_proof(error: &VerifyError) -> Refusal {
    invalid(alloc::format!("the proof: {}", error.detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalized() {
        for (told, asked) in [
            ("https://API.example/a", "HTTPS://api.example:443/a?q=1#f"),
            ("https://api.example", "https://api.example/"),
            ("https://api.example:/a", "https://api.example/a"),
            ("http://api.example:80/", "http://api.example"),
            ("https://api.example/%7eada/%2f%C3%a9", "https://api.example/~ada/%2F%c3%A9"),
            ("https://api.example/a/./b/../c", "https://api.example/a/c"),
            ("https://api.example/a/..", "https://api.example/"),
            ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
            ("https://[2001:db8::1]/", "https://[2001:db8::1]:443/"),
        ] {
            assert!(target(told).is_some() && target(told) == target(asked), "{told} {:?} {:?}", target(told), target(asked));
        }
        for (told, asked) in [
            ("https://api.example/a", "https://api.example/A"),
            ("https://api.example/a", "https://api.example/a/"),
            ("https://api.example/a", "http://api.example/a"),
            ("https://api.example/a", "https://api.example:8443/a"),
            ("https://api.example/a", "https://api.example.evil/a"),
            ("https://api.example/a%2Fb", "https://api.example/a/b"),
            ("https://api.example/a//b", "https://api.example/a/b"),
            ("http://api.example:443/", "http://api.example/"),
        ] {
            assert!(target(told).is_some() && target(told) != target(asked), "{told}");
        }
        for url in [
            "",
            "/a",
            "api.example/a",
            "ftp://api.example/",
            "https:///a",
            "https://ada@api.example/",
            "https://api.example/%4",
            "https://api.example/%zz",
            "https://api.example/a b",
            "https://api.example/é",
            "https://",
        ] {
            assert_eq!(target(url), None, "{url}");
        }
    }

    #[test]
    fn what_a_token_is_bound_to_must_be_known() {
        let read = |text: &str| Confirmation::from_claim(&serde_json::from_str(text).unwrap()).map_err(|error| error.code());
        let digest = encode_base64url(&[7; 32]);
        assert!(read(&alloc::format!(r#"{{"jkt":"{digest}"}}"#)).unwrap().wants_dpop());
        assert!(read(&alloc::format!(r#"{{"x5t#S256":"{digest}"}}"#)).unwrap().wants_certificate());
        for text in [r#""x""#, "{}", r#"{"jkt":1}"#, r#"{"jkt":""}"#, r#"{"jkt":"AAAA"}"#, r#"{"x5t#S256":[]}"#, "null"] {
            assert_eq!(read(text), Err(ErrorCode::ClaimInvalid), "{text}");
        }
        assert_eq!(read(r#"{"jwk":{}}"#), Err(ErrorCode::ProofRequired));
        assert_eq!(read(&alloc::format!(r#"{{"jkt":"{digest}","kid":"a"}}"#)), Err(ErrorCode::ProofRequired));
    }

    #[test]
    fn everything_that_a_token_is_bound_to_is_asked_for() {
        let key = |byte: u8| ProvenKey {
            thumbprint: encode_base64url(&[byte; 32]),
            replay_id: String::new(),
            replay_until: Timestamp::default(),
        };
        let confirmation = |jkt: bool, certificate: bool| Confirmation {
            jkt: jkt.then(|| encode_base64url(&[1; 32])),
            certificate: certificate.then_some([2; 32]),
        };
        let (own, other) = (key(1), key(9));
        let judged = |jkt, certificate, key, presented| {
            let possession = Possession { key, certificate: presented };
            confirmation(jkt, certificate).judge(&possession).map_err(|error| error.code())
        };
        let (required, invalid) = (Err(ErrorCode::ProofRequired), Err(ErrorCode::ProofInvalid));
        assert_eq!(judged(true, false, Some(&own), None), Ok(()));
        assert_eq!(judged(true, false, None, None), required);
        assert_eq!(judged(true, false, None, Some(&[2; 32])), required);
        assert_eq!(judged(true, false, Some(&other), None), invalid);
        assert_eq!(judged(false, true, None, Some(&[2; 32])), Ok(()));
        assert_eq!(judged(false, true, None, None), required);
        assert_eq!(judged(false, true, Some(&own), Some(&[2; 32])), invalid);
        assert_eq!(judged(false, true, None, Some(&[3; 32])), invalid);
        assert_eq!(judged(true, true, Some(&own), Some(&[2; 32])), Ok(()));
        assert_eq!(judged(true, true, Some(&own), None), required);
        assert_eq!(judged(true, true, None, Some(&[2; 32])), required);
    }

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        let read = |text: &str| DpopSettings::from_value(serde_json::from_str(text).unwrap()).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(DpopSettings::default()));
        for (text, told) in [
            (r#"{"algorithms":[]}"#, "algorithms: is empty"),
            (r#"{"algorithms":["HS256"]}"#, "algorithms[0]: is \"HS256\""),
            (r#"{"max_age":0}"#, "max_age: is 0 s"),
            (r#"{"max_age":301}"#, "max_age: is 301 s"),
            (r#"{"window":1}"#, "window: is not a setting here"),
        ] {
            assert!(read(text).unwrap_err().starts_with(told), "{text}: {:?}", read(text));
        }
    }
}
