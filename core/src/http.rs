//! What HTTP says about a token, for every host alike: where it stands in a request, how it is refused (RFC 6750 section 3
//! outside, the whole reason inside), and how long a response is fresh. PURE: text in, text out.

use alloc::string::String;

use crate::{
    algorithm::Algorithm,
    dpop::names,
    error::{Check, ErrorCode, VerifyError},
    time::Timestamp,
};

/// A refused request or token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: Kind,
    check: Option<Check>,
    detail: String,
    retry_after: Option<u64>,
    scope: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Verify(ErrorCode),
    TokenMissing,
    AuthorizationMalformed,
    TokenRevoked,
    RevocationUnavailable,
    DpopProof,
    ProofNonceRequired,
    ProofReplayed,
    TokenAmbiguous,
    PathInvalid,
    OriginNotAllowed,
    InsufficientScope,
    AccessDenied,
    RateLimited,
    ReplayStoreUnavailable,
}

impl Refusal {
    /// A refusal under one of core's codes.
    pub fn new(code: ErrorCode, check: Check, detail: impl Into<String>) -> Self {
        Self { check: Some(check), ..Self::of(Kind::Verify(code), detail) }
    }

    /// No token came with the request: the sender may not know that one is needed, so the challenge names no error.
    pub fn token_missing(detail: impl Into<String>) -> Self {
        Self::of(Kind::TokenMissing, detail)
    }

    /// The `Authorization` field is not one bearer token.
    pub fn authorization_malformed(detail: impl Into<String>) -> Self {
        Self::of(Kind::AuthorizationMalformed, detail)
    }

    /// More than one token, or a place for one that holds something else.
    pub fn token_ambiguous(detail: impl Into<String>) -> Self {
        Self::of(Kind::TokenAmbiguous, detail)
    }

    /// A path that servers read in different ways.
    pub fn path_invalid(detail: impl Into<String>) -> Self {
        Self::of(Kind::PathInvalid, detail)
    }

    /// A browser was sent here by a site that may not.
    pub fn origin_not_allowed(detail: impl Into<String>) -> Self {
        Self::of(Kind::OriginNotAllowed, detail)
    }

    /// The token is good, and was not granted these scopes (RFC 6750 section 3.1).
    pub fn insufficient_scope(scope: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { scope: Some(scope.into()), ..Self::of(Kind::InsufficientScope, detail) }
    }

    /// The token is good, and its subject may not do this.
    pub fn access_denied(detail: impl Into<String>) -> Self {
        Self::of(Kind::AccessDenied, detail)
    }

    /// The client comes too often.
    pub fn rate_limited(detail: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after), ..Self::of(Kind::RateLimited, detail) }
    }

    fn of(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, check: None, detail: detail.into(), retry_after: None, scope: None }
    }

    /// The `DPoP` proof is not one of this request and this moment.
    pub fn dpop_proof_invalid(detail: impl Into<String>) -> Self {
        Self { check: Some(Check::Proof), ..Self::of(Kind::DpopProof, detail) }
    }

    /// The `DPoP` proof lacks the nonce that the server gave.
    pub fn proof_nonce_required(detail: impl Into<String>) -> Self {
        Self { check: Some(Check::Proof), ..Self::of(Kind::ProofNonceRequired, detail) }
    }

    /// The `DPoP` proof was presented before.
    pub fn proof_replayed(detail: impl Into<String>) -> Self {
        Self { check: Some(Check::Proof), ..Self::of(Kind::ProofReplayed, detail) }
    }

    /// Nobody can say whether the `DPoP` proof was presented before: no fault of the token.
    pub fn replay_store_unavailable(detail: impl Into<String>) -> Self {
        Self { check: Some(Check::Proof), retry_after: Some(1), ..Self::of(Kind::ReplayStoreUnavailable, detail) }
    }

    /// The issuer's keys cannot be had before `retry_at`.
    pub fn keys_unavailable(detail: impl Into<String>, retry_at: Timestamp, now: Timestamp) -> Self {
        let mut refusal = Self::from(VerifyError::jwks_unavailable(detail.into()));
        refusal.retry_after = Some(retry_at.millis_since(now).div_ceil(1_000).max(1));
        refusal
    }

    /// The token was good, and its key, itself or what its subject had is revoked.
    pub fn token_revoked(detail: impl Into<String>) -> Self {
        Self::of(Kind::TokenRevoked, detail)
    }

    /// Nobody knows what has been revoked lately: no fault of the token.
    pub fn revocation_unavailable(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::of(Kind::RevocationUnavailable, detail) }
    }

    /// The stable code: one of [`ErrorCode`], or `token_missing`, `authorization_malformed`, `token_ambiguous`, `path_invalid`,
    /// `origin_not_allowed`, `insufficient_scope`, `access_denied`, `rate_limited`, `token_revoked`,
    /// `revocation_unavailable`, `proof_nonce_required`, `proof_replayed`,
    /// `replay_store_unavailable`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Verify(code) => code.as_str(),
            Kind::TokenMissing => "token_missing",
            Kind::AuthorizationMalformed => "authorization_malformed",
            Kind::TokenRevoked => "token_revoked",
            Kind::RevocationUnavailable => "revocation_unavailable",
            Kind::DpopProof => ErrorCode::ProofInvalid.as_str(),
            Kind::ProofNonceRequired => "proof_nonce_required",
            Kind::ProofReplayed => "proof_replayed",
            Kind::TokenAmbiguous => "token_ambiguous",
            Kind::PathInvalid => "path_invalid",
            Kind::OriginNotAllowed => "origin_not_allowed",
            Kind::InsufficientScope => "insufficient_scope",
            Kind::AccessDenied => "access_denied",
            Kind::RateLimited => "rate_limited",
            Kind::ReplayStoreUnavailable => "replay_store_unavailable",
        }
    }

    /// The check that refused, where the token was looked at.
    pub fn check(&self) -> Option<Check> {
        self.check
    }

    /// The sentence for the host's own log.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Seconds after which a retry can succeed.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The HTTP status (RFC 6750 section 3.1): 503 when the keys cannot be had, for that is no fault of the token.
    pub fn status(&self) -> u16 {
        match self.kind {
            Kind::Verify(ErrorCode::JwksUnavailable | ErrorCode::JwksMalformed)
            | Kind::RevocationUnavailable
            | Kind::ReplayStoreUnavailable => 503,
            Kind::Verify(_)
            | Kind::TokenMissing
            | Kind::TokenRevoked
            | Kind::DpopProof
            | Kind::ProofNonceRequired
            | Kind::ProofReplayed => 401,
            Kind::AuthorizationMalformed | Kind::TokenAmbiguous | Kind::PathInvalid => 400,
            Kind::OriginNotAllowed | Kind::InsufficientScope | Kind::AccessDenied => 403,
            Kind::RateLimited => 429,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3); none where another token would change nothing.
    pub fn challenge(&self) -> Option<String> {
        match self.kind {
            Kind::Verify(ErrorCode::JwksUnavailable | ErrorCode::JwksMalformed)
            | Kind::PathInvalid
            | Kind::OriginNotAllowed
            | Kind::RateLimited
            | Kind::RevocationUnavailable
            | Kind::ReplayStoreUnavailable
            // These have their challenge under the other scheme.
            | Kind::DpopProof
            | Kind::ProofNonceRequired
            | Kind::ProofReplayed => None,
            // RFC 6750 section 3.1: "revoked" is among the reasons of invalid_token.
            Kind::TokenRevoked => Some("Bearer error=\"invalid_token\", error_description=\"token_revoked\"".into()),
            Kind::Verify(code) => Some(alloc::format!("Bearer error=\"invalid_token\", error_description=\"{code}\"")),
            // Section 3 asks for one auth-param at least, and section 3.1 for no error where no token came.
            Kind::TokenMissing => Some("Bearer realm=\"edgeseal\"".into()),
            Kind::InsufficientScope | Kind::AccessDenied => {
                let scope = self.scope.as_ref().map_or_else(String::new, |scope| alloc::format!(", scope=\"{scope}\""));
                Some(alloc::format!("Bearer error=\"insufficient_scope\", error_description=\"{}\"{scope}", self.code()))
            }
            Kind::AuthorizationMalformed | Kind::TokenAmbiguous => {
                Some(alloc::format!("Bearer error=\"invalid_request\", error_description=\"{}\"", self.code()))
            }
        }
    }

    /// The value of a second `WWW-Authenticate` for a server that takes `DPoP` proofs of these algorithms (RFC 9449 sections 7.1 and 9):
    /// beside the challenge for bearer tokens where no token came, else that of the scheme that was used.
    pub fn dpop_challenge(&self, algorithms: &[Algorithm]) -> Option<String> {
        let algs = names(algorithms);
        let error = match self.kind {
            Kind::Verify(ErrorCode::JwksUnavailable | ErrorCode::JwksMalformed)
            | Kind::RevocationUnavailable
            | Kind::PathInvalid
            | Kind::OriginNotAllowed
            | Kind::RateLimited
            | Kind::ReplayStoreUnavailable => return None,
            Kind::InsufficientScope | Kind::AccessDenied => "insufficient_scope",
            Kind::TokenMissing => return Some(alloc::format!("DPoP algs=\"{algs}\"")),
            Kind::AuthorizationMalformed | Kind::TokenAmbiguous => "invalid_request",
            Kind::Verify(_) | Kind::TokenRevoked => "invalid_token",
            Kind::DpopProof | Kind::ProofReplayed => "invalid_dpop_proof",
            Kind::ProofNonceRequired => "use_dpop_nonce",
        };
        Some(alloc::format!("DPoP error=\"{error}\", error_description=\"{}\", algs=\"{algs}\"", self.code()))
    }

    /// The body of the answer: a problem document (RFC 9457), `application/problem+json`. It holds no more than the code.
    pub fn problem(&self) -> String {
        let title = match self.status() {
            400 if self.kind == Kind::PathInvalid => "The path of the request can be read in different ways",
            403 if self.kind == Kind::OriginNotAllowed => "The request was sent by a site that may not send it",
            403 => "The token does not permit this request",
            429 => "The client sends too many requests",
            400 => "The request does not carry exactly one token",
            503 if self.kind == Kind::RevocationUnavailable => "The list of what was revoked is not available",
            503 if self.kind == Kind::ReplayStoreUnavailable => "Whether the proof was presented before cannot be told now",
            503 => "The keys to verify the token with are not available",
            _ if self.kind == Kind::TokenMissing => "A bearer token is required",
            _ => "The token is not accepted",
        };
        problem(title, self.status(), self.code())
    }
}

/// A problem document (RFC 9457) with a code of ours. `title` and `code` must not need escaping in JSON.
pub fn problem(title: &'static str, status: u16, code: &'static str) -> String {
    alloc::format!(r#"{{"type":"urn:edgeseal:problem:{code}","title":"{title}","status":{status},"code":"{code}"}}"#)
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        Self::new(error.code(), error.check(), error.detail())
    }
}

/// The scheme of an `Authorization` field with a token in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RFC 6750: whoever has the token may use it.
    Bearer,
    /// RFC 9449: with a proof of the key that the token is bound to.
    Dpop,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 2] = [Self::Bearer, Self::Dpop];

    /// The scheme of this name, which has no case (RFC 9110 section 11.1).
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("bearer") {
            Some(Self::Bearer)
        } else if name.eq_ignore_ascii_case("dpop") {
            Some(Self::Dpop)
        } else {
            None
        }
    }

    /// The proof to verify, of the request's `DPoP` field; none beside a bearer token, whatever the field holds.
    ///
    /// # Errors
    /// `proof_required` where the scheme is `DPoP` and the field is missing.
    pub fn proof(self, field: Option<&str>) -> Result<Option<&str>, Refusal> {
        match (self, field) {
            (Self::Bearer, _) => Ok(None),
            (Self::Dpop, Some(field)) => Ok(Some(field)),
            (Self::Dpop, None) => {
                Err(Refusal::new(ErrorCode::ProofRequired, Check::Proof, "the scheme is DPoP, and the request has no DPoP field"))
            }
        }
    }

    /// Whether a token may come so that is bound to no key.
    ///
    /// # Errors
    /// `proof_invalid` for `DPoP`: the client believes that the token is of no use without its key.
    pub fn admits_unbound(self) -> Result<(), Refusal> {
        match self {
            Self::Bearer => Ok(()),
            Self::Dpop => {
                let detail = "the scheme is DPoP, and the token is bound to no key (cnf.jkt)";
                Err(Refusal::new(ErrorCode::ProofInvalid, Check::Proof, detail))
            }
        }
    }
}

/// The token of an `Authorization` field value.
///
/// Fetch API hosts join repeated fields with a comma, so two `Authorization` fields arrive as one value; a comma is never part
/// of a token.
///
/// # Errors
/// `token_missing` without the field or with another scheme; `authorization_malformed` for two fields or anything that is not
/// one token.
pub fn bearer_token(value: Option<&str>) -> Result<&str, Refusal> {
    token_of(value, &[Scheme::Bearer]).map(|(_, token)| token)
}

/// The token of an `Authorization` field value, and the scheme that it came under: `Bearer` or `DPoP`.
///
/// # Errors
/// Those of [`bearer_token`].
pub fn presented_token(value: Option<&str>) -> Result<(Scheme, &str), Refusal> {
    token_of(value, &Scheme::ALL)
}

fn token_of<'value>(value: Option<&'value str>, schemes: &[Scheme]) -> Result<(Scheme, &'value str), Refusal> {
    let Some(value) = value else { return Err(Refusal::token_missing("the request has no Authorization field")) };
    if !holds_scheme(value, schemes) {
        let detail = if schemes.contains(&Scheme::Dpop) { "neither Bearer nor DPoP" } else { "not Bearer" };
        return Err(Refusal::token_missing(alloc::format!("the scheme of the Authorization field is {detail}")));
    }
    if value.contains(',') {
        return Err(Refusal::authorization_malformed("more than one Authorization field, or a list in it"));
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_matches(' ');
    let Some(scheme) = Scheme::from_name(scheme) else {
        return Err(Refusal::authorization_malformed("no space follows the scheme of the Authorization field"));
    };
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Refusal::authorization_malformed("the Authorization field does not hold exactly one token"));
    }
    Ok((scheme, token))
}

/// Whether an `Authorization` value carries a token under one of these schemes, alone or beside others. What is no character of a
/// scheme's name ends it, as some origins take more than spaces for white space. Somebody else's credentials may be a list.
pub(crate) fn holds_scheme(value: &str, schemes: &[Scheme]) -> bool {
    let ends = |character: char| !u8::try_from(character).is_ok_and(is_tchar);
    value.split(',').any(|part| {
        let name = part.trim_start().split(ends).next().unwrap_or_default();
        Scheme::from_name(name).is_some_and(|scheme| schemes.contains(&scheme))
    })
}

/// Whether a token of HTTP, such as the name of a scheme or of a cookie, may hold this (RFC 9110 section 5.6.2).
pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The seconds that a larger number counts as (RFC 9111 section 1.2.2).
const MAX_DELTA: u64 = 1 << 31;

/// What is left of the freshness that a `Cache-Control` field grants, in seconds (RFC 9111 section 5.2.2): `max-age`, or 0 for `no-cache`
/// and `no-store`; `None` where it says nothing or cannot be read. `age` is what the response has spent of it in caches on its way, its
/// `Age` field (section 4.2.3), 0 without one.
pub fn max_age(cache_control: &str, age: u64) -> Option<u64> {
    let mut seconds = None;
    for directive in cache_control.split(',') {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim().trim_matches('"')),
            None => (directive.trim(), ""),
        };
        if name.eq_ignore_ascii_case("no-cache") || name.eq_ignore_ascii_case("no-store") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") && seconds.is_none() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // RFC 9111 section 1.2.2: a number too large to represent counts as 2^31.
            seconds = (!value.is_empty()).then(|| value.parse().unwrap_or(MAX_DELTA).min(MAX_DELTA));
        }
    }
    seconds.map(|seconds| seconds.saturating_sub(age))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_never_a_401() {
        let now = Timestamp::from_millis(1_000);
        let refusal = Refusal::keys_unavailable("down", Timestamp::from_millis(2_500), now);
        assert_eq!((refusal.status(), refusal.challenge(), refusal.retry_after()), (503, None, Some(2)));
        assert_eq!(Refusal::keys_unavailable("down", now, now).retry_after(), Some(1));
    }

    #[test]
    fn a_missing_token_gets_no_error_code() {
        let refusal = Refusal::token_missing("none");
        assert_eq!((refusal.status(), refusal.challenge().as_deref()), (401, Some(r#"Bearer realm="edgeseal""#)));
    }

    #[test]
    fn the_sender_learns_the_code_and_no_more() {
        let refusal = Refusal::authorization_malformed("secret detail");
        let problem = refusal.problem();
        assert!(!problem.contains("secret"));
        let parsed: serde_json::Value = serde_json::from_str(&problem).unwrap();
        assert_eq!(parsed["status"], 400);
        assert_eq!(parsed["code"], "authorization_malformed");
        assert_eq!(parsed["type"], "urn:edgeseal:problem:authorization_malformed");
    }

    #[test]
    fn one_token() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(bearer_token(Some(value)).ok(), Some("a.b.c"), "{value}");
        }
    }

    #[test]
    fn refusals() {
        let code = |value| bearer_token(value).err().map(|refusal| refusal.code());
        assert_eq!(code(None), Some("token_missing"));
        for value in ["", "Basic dTpw", "DPoP a.b.c", "Bearera.b.c", "a.b.c", "Digest username=\"a\", realm=\"b\""] {
            assert_eq!(code(Some(value)), Some("token_missing"), "{value}");
        }
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a.b.c, Bearer a.b.c",
            "Bearer a.b.c,",
            "Bearer a b",
            "Basic x, Bearer a.b.c",
            "Bearer a\tb",
            "Bearer\ta.b.c",
            "Bearer\u{a0}a.b.c",
        ] {
            assert_eq!(code(Some(value)), Some("authorization_malformed"), "{value}");
        }
    }

    #[test]
    fn schemes() {
        assert_eq!(presented_token(Some("dpop a.b.c")).ok(), Some((Scheme::Dpop, "a.b.c")));
        assert_eq!(presented_token(Some("Bearer a.b.c")).ok(), Some((Scheme::Bearer, "a.b.c")));
        let code = |value| presented_token(Some(value)).err().map(|refusal| refusal.code());
        assert_eq!(code("Basic a"), Some("token_missing"));
        assert_eq!(code("DPoP"), Some("authorization_malformed"));
        assert_eq!(code("DPoP a, DPoP b"), Some("authorization_malformed"));
    }

    #[test]
    fn challenges_of_rfc_9449() {
        let challenge = |refusal: Refusal| refusal.dpop_challenge(&[Algorithm::Es256, Algorithm::EdDsa]);
        let says = |error: &str, code: &str| {
            Some(alloc::format!("DPoP error=\"{error}\", error_description=\"{code}\", algs=\"ES256 EdDSA\""))
        };
        assert_eq!(challenge(Refusal::token_missing("")), Some("DPoP algs=\"ES256 EdDSA\"".into()));
        assert_eq!(challenge(Refusal::dpop_proof_invalid("")), says("invalid_dpop_proof", "proof_invalid"));
        assert_eq!(challenge(Refusal::proof_replayed("")), says("invalid_dpop_proof", "proof_replayed"));
        assert_eq!(challenge(Refusal::proof_nonce_required("")), says("use_dpop_nonce", "proof_nonce_required"));
        let refusal = Refusal::new(ErrorCode::TokenExpired, Check::Expiry, "");
        assert_eq!(challenge(refusal), says("invalid_token", "token_expired"));
        assert_eq!(challenge(Refusal::keys_unavailable("", Timestamp::default(), Timestamp::default())), None);
    }

    #[test]
    fn directives() {
        assert_eq!(max_age("public, max-age=300", 0), Some(300));
        assert_eq!(max_age("MAX-AGE=\"7\" , must-revalidate", 0), Some(7));
        for much in ["max-age=99999999999999999999999", "max-age=18446744073709551615", "max-age=2147483649"] {
            assert_eq!(max_age(much, 0), Some(1 << 31), "{much}");
        }
        assert_eq!(max_age("max-age=300, no-cache", 0), Some(0));
        assert_eq!(max_age("no-store", 0), Some(0));
        // A cache on the way has had the most of it.
        assert_eq!(max_age("max-age=3600", 3_500), Some(100));
        assert_eq!(max_age("max-age=3600", 3_601), Some(0));
        assert_eq!(max_age("public", 3_500), None);
        for silent in ["", "public", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "s-maxage=5"] {
            assert_eq!(max_age(silent, 0), None, "{silent}");
        }
    }
}
