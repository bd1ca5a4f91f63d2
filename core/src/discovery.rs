//! Which URL an issuer's keys come from: pinned by configuration, or by a discovery document whose `issuer` is the expected
//! one (`OpenID Connect Discovery 1.0` section 4.3, RFC 8414 section 3.3).

use alloc::string::String;

use serde_json::Value;

use crate::{
    error::{PolicyError, VerifyError, quoted},
    json,
    jwk_set::MAX_JWKS_LEN,
    time::Timestamp,
};

/// Octets of a discovery document, the same limit as for a JWK Set.
pub const MAX_DISCOVERY_LEN: usize = MAX_JWKS_LEN;
/// Seconds for which a discovered `jwks_uri` is believed: as long as a key set is fresh at most. A failure to fetch from it ends that
/// at once, and a fetch that is forced asks anew.
const BELIEVED_SECS: u64 = 3_600;
/// Seconds for which it is where the keys are looked for while the discovery document cannot be had.
const KNOWN_SECS: u64 = 86_400;

/// What discovery said last.
#[derive(Clone, Debug)]
pub struct Discovered {
    jwks_uri: String,
    since: Timestamp,
    is_doubted: bool,
}

impl Discovered {
    /// It was said now.
    pub fn new(jwks_uri: String, now: Timestamp) -> Self {
        Self { jwks_uri, since: now, is_doubted: false }
    }

    /// The URL, where discovery need not be asked anew.
    pub fn believed(&self, now: Timestamp) -> Option<&str> {
        self.within(BELIEVED_SECS, now).filter(|_| !self.is_doubted)
    }

    /// The URL, where discovery has been asked and cannot say.
    pub fn known(&self, now: Timestamp) -> Option<&str> {
        self.within(KNOWN_SECS, now)
    }

    /// A fetch from the URL has failed.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// What a clock that ran ahead has noted counts for nothing.
    fn within(&self, seconds: u64, now: Timestamp) -> Option<&str> {
        (self.since..self.since.plus_secs(seconds)).contains(&now).then_some(self.jwks_uri.as_str())
    }
}

/// What Edgeseal reads of a discovery document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// `issuer`.
    pub issuer: String,
    /// `jwks_uri`.
    pub jwks_uri: String,
}

impl Discovery {
    /// Where `OpenID Connect Discovery 1.0` section 4 puts the document of an issuer.
    pub fn url(issuer: &str) -> String {
        alloc::format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
    }

    /// Reads the document of `expected_issuer`.
    ///
    /// # Errors
    /// `jwks_unavailable` when the document is not one, is another issuer's, or names a URL that may not be fetched.
    pub fn from_json(text: &str, expected_issuer: &str) -> Result<Self, VerifyError> {
        let refuse = |detail: String| Err(VerifyError::jwks_unavailable(detail));
        if text.len() > MAX_DISCOVERY_LEN {
            return refuse(alloc::format!("discovery document: {} bytes, at most {MAX_DISCOVERY_LEN} are allowed", text.len()));
        }
        let members = match json::parse_object(text.as_bytes()) {
            Ok((_, members)) => members,
            Err(error) => return refuse(alloc::format!("discovery document: {error}")),
        };
        let (Some(issuer), Some(jwks_uri)) =
            (members.get("issuer").and_then(Value::as_str), members.get("jwks_uri").and_then(Value::as_str))
        else {
            return refuse("discovery document: issuer or jwks_uri is missing or not a string".into());
        };
        if issuer != expected_issuer {
            return refuse(alloc::format!(
                "discovery document: issuer is {}, expected {}",
                quoted(issuer),
                quoted(expected_issuer)
            ));
        }
        if let Err(error) = check_fetch_url(jwks_uri) {
            return refuse(alloc::format!("discovery document: jwks_uri {} {error}", quoted(jwks_uri)));
        }
        Ok(Self { issuer: issuer.into(), jwks_uri: jwks_uri.into() })
    }
}

/// Why a URL may not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlProblem(&'static str);

impl core::fmt::Display for UrlProblem {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.0)
    }
}

impl core::error::Error for UrlProblem {}

/// Whether keys may be fetched from `url`: `https`, or `http` to a loopback host, with a host, without user information,
/// fragment, whitespace or control characters.
///
/// # Errors
/// What is wrong with it.
pub fn check_fetch_url(url: &str) -> Result<(), UrlProblem> {
    if url.chars().any(|character| character.is_whitespace() || character.is_control() || character == '\\') {
        return Err(UrlProblem("holds whitespace, a control character or a backslash"));
    }
    if url.contains('#') {
        return Err(UrlProblem("has a fragment"));
    }
    let (secure, rest) = if let Some(rest) = url.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = url.strip_prefix("http://") {
        (false, rest)
    } else {
        return Err(UrlProblem("is not an https URL"));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UrlProblem("has user information"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').unwrap_or_default();
            (host, if rest.is_empty() { "" } else { rest.strip_prefix(':').unwrap_or("none") })
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    if host.is_empty() {
        return Err(UrlProblem("has no host"));
    }
    if !is_port(port) {
        return Err(UrlProblem("has something else than a port of at most 65535 after its host"));
    }
    if secure || is_loopback(host) { Ok(()) } else { Err(UrlProblem("is http, which is allowed to a loopback host only")) }
}

/// As [`check_fetch_url`], for a setting.
pub(crate) fn check_setting(setting: &'static str, url: &str) -> Result<(), PolicyError> {
    check_fetch_url(url).map_err(|problem| PolicyError::new(setting, alloc::format!("{} {problem}", quoted(url))))
}

/// A port's digits, of which there may be none (RFC 3986 section 3.2.3).
fn is_port(digits: &str) -> bool {
    digits.is_empty() || (digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok())
}

fn is_loopback(host: &str) -> bool {
    let is_v4_loopback = || host.parse::<core::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    host.eq_ignore_ascii_case("localhost") || host == "::1" || is_v4_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_is_believed_for_an_hour_and_known_for_a_day() {
        let since = Timestamp::from_secs(1_750_000_000);
        let mut discovered = Discovered::new("u".into(), since);
        for (seconds, is_believed, is_known) in
            [(0, true, true), (3_599, true, true), (3_600, false, true), (86_399, false, true), (86_400, false, false)]
        {
            let now = since.plus_secs(seconds);
            assert_eq!(
                (discovered.believed(now).is_some(), discovered.known(now).is_some()),
                (is_believed, is_known),
                "{seconds}"
            );
        }
        // A clock that ran ahead.
        let ahead = Discovered::new("u".into(), since.plus_secs(1));
        assert_eq!((ahead.believed(since), ahead.known(since)), (None, None));
        discovered.doubt();
        assert_eq!((discovered.believed(since), discovered.known(since)), (None, Some("u")));
    }

    #[test]
    fn urls() {
        for url in [
            "https://a.example/jwks",
            "https://a.example:8443/jwks?x=1",
            "http://localhost:1/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:80/jwks",
            "https://[2001:db8::1]/jwks",
            "https://a.example:65535/jwks",
            "https://a.example:/jwks",
        ] {
            assert_eq!(check_fetch_url(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "https://",
            "https:///jwks",
            "https://:8443/",
            "http://a.example/jwks",
            "http://localhost.example/jwks",
            "http://127.0.0.1.example/",
            "http://localhost@a.example/",
            "https://user@a.example/",
            "file:///etc/passwd",
            "data:application/json,{}",
            "HTTPS://a.example/",
            "https://a.example/#x",
            "https://a.example/ x",
            "https://a.example\\@b.example/",
            "ftp://a.example/",
            "https://a.example:65536/",
            "https://a.example:+1/",
            "https://a.example:x/",
            "https://a.example:1:2/",
            "https://[::1]x/",
            "https://[::1]:99999/",
        ] {
            assert!(check_fetch_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn issuer_must_be_the_expected_one() {
        let document = r#"{"issuer":"https://a.example/","jwks_uri":"https://a.example/jwks"}"#;
        assert!(Discovery::from_json(document, "https://a.example/").is_ok());
        assert!(Discovery::from_json(document, "https://a.example").is_err());
        let evil = r#"{"issuer":"https://a.example","jwks_uri":"http://a.example/jwks"}"#;
        assert!(Discovery::from_json(evil, "https://a.example").is_err());
        assert_eq!(Discovery::url("https://a.example/x/"), "https://a.example/x/.well-known/openid-configuration");
    }
}
