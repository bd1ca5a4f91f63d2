//! What HTTP says about a token, for every host alike: where it stands in a request, how it is refused (RFC 6750 section 3
//! outside, the whole reason inside), and how long a response is fresh. PURE: text in, text out.

use alloc::string::String;

use crate::{
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Verify(ErrorCode),
    TokenMissing,
    AuthorizationMalformed,
    TokenRevoked,
    RevocationUnavailable,
}

impl Refusal {
    /// A refusal under one of core's codes.
    pub fn new(code: ErrorCode, check: Check, detail: impl Into<String>) -> Self {
        Self { kind: Kind::Verify(code), check: Some(check), detail: detail.into(), retry_after: None }
    }

    /// No token came with the request: the sender may not know that one is needed, so the answer carries no error code.
    pub fn token_missing(detail: impl Into<String>) -> Self {
        Self { kind: Kind::TokenMissing, check: None, detail: detail.into(), retry_after: None }
    }

    /// The `Authorization` field is not one bearer token.
    pub fn authorization_malformed(detail: impl Into<String>) -> Self {
        Self { kind: Kind::AuthorizationMalformed, check: None, detail: detail.into(), retry_after: None }
    }

    /// The issuer's keys cannot be had before `retry_at`.
    pub fn keys_unavailable(detail: impl Into<String>, retry_at: Timestamp, now: Timestamp) -> Self {
        let mut refusal = Self::from(VerifyError::jwks_unavailable(detail.into()));
        refusal.retry_after = Some(retry_at.millis_since(now).div_ceil(1_000).max(1));
        refusal
    }

    /// The token was good, and its key, itself or what its subject had is revoked.
    pub fn token_revoked(detail: impl Into<String>) -> Self {
        Self { kind: Kind::TokenRevoked, check: None, detail: detail.into(), retry_after: None }
    }

    /// Nobody knows what has been revoked lately: no fault of the token.
    pub fn revocation_unavailable(detail: impl Into<String>) -> Self {
        Self { kind: Kind::RevocationUnavailable, check: None, detail: detail.into(), retry_after: Some(1) }
    }

    /// The stable code: one of [`ErrorCode`], `token_missing`, `authorization_malformed`, `token_revoked` or
    /// `revocation_unavailable`.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Verify(code) => code.as_str(),
            Kind::TokenMissing => "token_missing",
            Kind::AuthorizationMalformed => "authorization_malformed",
            Kind::TokenRevoked => "token_revoked",
            Kind::RevocationUnavailable => "revocation_unavailable",
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
            Kind::Verify(ErrorCode::JwksUnavailable | ErrorCode::JwksMalformed) | Kind::RevocationUnavailable => 503,
            Kind::Verify(_) | Kind::TokenMissing | Kind::TokenRevoked => 401,
            Kind::AuthorizationMalformed => 400,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3); none beside a 503.
    pub fn challenge(&self) -> Option<String> {
        match self.kind {
            Kind::Verify(ErrorCode::JwksUnavailable | ErrorCode::JwksMalformed) | Kind::RevocationUnavailable => None,
            // RFC 6750 section 3.1: "revoked" is among the reasons of invalid_token.
            Kind::TokenRevoked => Some("Bearer error=\"invalid_token\", error_description=\"token_revoked\"".into()),
            Kind::Verify(code) => Some(alloc::format!("Bearer error=\"invalid_token\", error_description=\"{code}\"")),
            Kind::TokenMissing => Some("Bearer".into()),
            Kind::AuthorizationMalformed => {
                Some(alloc::format!("Bearer error=\"invalid_request\", error_description=\"{}\"", self.code()))
            }
        }
    }

    /// The body of the answer: a problem document (RFC 9457), `application/problem+json`. It holds no more than the code.
    pub fn problem(&self) -> String {
        let title = match self.status() {
            400 => "The request does not carry exactly one token",
            503 if self.kind == Kind::RevocationUnavailable => "The list of what was revoked is not available",
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

/// The token of an `Authorization` field value, `None` where the request has no such field.
///
/// Fetch API hosts join repeated fields with a comma, so two `Authorization` fields arrive as one value; a comma is never part
/// of a token.
///
/// # Errors
/// `token_missing` without the field or with another scheme; `authorization_malformed` for two fields or anything that is not
/// one token.
pub fn bearer_token(value: Option<&str>) -> Result<&str, Refusal> {
    let Some(value) = value else { return Err(Refusal::token_missing("the request has no Authorization field")) };
    if value.contains(',') {
        return Err(Refusal::authorization_malformed("more than one Authorization field, or a list in it"));
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::token_missing("the scheme of the Authorization field is not Bearer"));
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Refusal::authorization_malformed("the Authorization field does not hold exactly one token"));
    }
    Ok(token)
}

/// The freshness that a `Cache-Control` field grants, in seconds (RFC 9111 section 5.2.2): `max-age`, or 0 for `no-cache` and
/// `no-store`; `None` where it says nothing or cannot be read.
pub fn max_age(cache_control: &str) -> Option<u64> {
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
            // RFC 9111 section 1.2.2: a number too large to represent counts as the largest.
            seconds = (!value.is_empty()).then(|| value.parse().unwrap_or(u64::MAX));
        }
    }
    seconds
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
        assert_eq!((refusal.status(), refusal.challenge().as_deref()), (401, Some("Bearer")));
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
        for value in ["", "Basic dTpw", "DPoP a.b.c", "Bearera.b.c", "a.b.c"] {
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
        ] {
            assert_eq!(code(Some(value)), Some("authorization_malformed"), "{value}");
        }
    }

    #[test]
    fn directives() {
        assert_eq!(max_age("public, max-age=300"), Some(300));
        assert_eq!(max_age("MAX-AGE=\"7\" , must-revalidate"), Some(7));
        assert_eq!(max_age("max-age=99999999999999999999999"), Some(u64::MAX));
        assert_eq!(max_age("max-age=300, no-cache"), Some(0));
        assert_eq!(max_age("no-store"), Some(0));
        for silent in ["", "public", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "s-maxage=5"] {
            assert_eq!(max_age(silent), None, "{silent}");
        }
    }
}
