//! Why a token was refused: stable codes, the check that refused it, and the two values that differed.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt::{self, Write as _};

macro_rules! names {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$inner])* $variant,)+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name, the same on every host.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// The stable code of a refusal. The list is closed and frozen by a test; hosts and users match on it.
    ErrorCode {
        /// Not a compact JWS of a JSON object (RFC 7515 section 3.1, RFC 7519 section 7.2).
        TokenMalformed = "token_malformed",
        /// The token, its header or its `kid` is larger than [its limit](crate::token).
        TokenTooLarge = "token_too_large",
        /// A `crit` member, or `b64` other than true: no extension is understood (RFC 7515 section 4.1.11, RFC 7797).
        CriticalHeaderUnsupported = "critical_header_unsupported",
        /// The header's `alg` is not in the policy's list (RFC 8725 section 3.1).
        AlgorithmNotAllowed = "algorithm_not_allowed",
        /// The header's `typ` is not the one that the policy names, or belongs to another kind of token (RFC 8725 section 3.11).
        TypeMismatch = "type_mismatch",
        /// No usable key of the set has the token's `kid`, or fits a token without `kid`.
        KeyNotFound = "key_not_found",
        /// More than one key fits, so none is chosen.
        KeyAmbiguous = "key_ambiguous",
        /// The key with the token's `kid` is not a key of the header's `alg`.
        KeyMismatch = "key_mismatch",
        /// The signature is not this key's signature over this token. Never says more.
        SignatureInvalid = "signature_invalid",
        /// What a holder disclosed does not belong to the token, or the token conveys digests as RFC 9901 does not allow.
        DisclosureInvalid = "disclosure_invalid",
        /// A claim that the policy needs is absent.
        ClaimMissing = "claim_missing",
        /// A registered claim has the wrong JSON type or is out of range, or, in the npm package, your schema refuses the claims.
        ClaimInvalid = "claim_invalid",
        /// `cnf` binds the token to a key, and no proof of possession came with it (RFC 7800, RFC 8705, RFC 9449).
        ProofRequired = "proof_required",
        /// The proof of possession that came with the token is not its holder's, or not for this verifier and this moment
        /// (RFC 9901 section 7.3). Of its signature it never says more.
        ProofInvalid = "proof_invalid",
        /// `iss` is not the policy's issuer, or no configured issuer.
        IssuerMismatch = "issuer_mismatch",
        /// No audience of the token is one of the policy's.
        AudienceMismatch = "audience_mismatch",
        /// `exp` has passed, leeway included.
        TokenExpired = "token_expired",
        /// `nbf` or `iat` lies in the future, leeway included.
        TokenNotYetValid = "token_not_yet_valid",
        /// `iat` is older than the policy's maximum age.
        TokenTooOld = "token_too_old",
        /// `exp - iat` is longer than the policy's maximum lifetime, or `exp` lies beyond the `exp` of the key.
        LifetimeExceeded = "lifetime_exceeded",
        /// The key's own `exp` has come, or it has none where the policy asks for one.
        KeyExpired = "key_expired",
        /// The issuer's keys cannot be had now: a fault of the host's side (HTTP 503), never of the token.
        JwksUnavailable = "jwks_unavailable",
        /// The document is not a JWK Set (RFC 7517 section 5) within [its limits](crate::jwk_set).
        JwksMalformed = "jwks_malformed",
    }
}

names! {
    /// The checks, in the one order in which every host makes them. All before the refusing one have passed; those after it
    /// were not reached.
    Check {
        /// Sizes, three canonical base64url parts, a JOSE header that is a JSON object with members of the right type.
        Structure = "structure",
        /// The unverified `iss` names a configured issuer (only where several are configured, or before keys are fetched).
        Routing = "routing",
        /// No critical extension.
        Critical = "critical",
        /// `alg` is in the policy's list.
        Algorithm = "algorithm",
        /// `typ`.
        Type = "type",
        /// Exactly one key of the set fits.
        Key = "key",
        /// The signature.
        Signature = "signature",
        /// Every disclosure belongs to the token, every digest occurs once (only where an SD-JWT is presented).
        Disclosures = "disclosures",
        /// The claims set is a JSON object whose registered members have the right types; required claims are there.
        Claims = "claims",
        /// Proof of possession where `cnf` or the policy asks for it.
        Proof = "proof",
        /// `iss`.
        Issuer = "issuer",
        /// `aud`, or the claim that the policy reads instead.
        Audience = "audience",
        /// `exp`.
        Expiry = "expiry",
        /// `nbf` and `iat`.
        NotBefore = "not_before",
        /// The key's own `exp` where the policy asks for it, maximum lifetime and maximum age.
        Lifetime = "lifetime",
    }
}

/// A refusal: its stable [`ErrorCode`], the [`Check`] that refused, and one sentence that carries the compared values.
///
/// The sentence is for the caller's logs; a client of the caller gets no more than the code (RFC 6750 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    code: ErrorCode,
    check: Check,
    detail: Cow<'static, str>,
}

impl VerifyError {
    pub(crate) fn new(code: ErrorCode, check: Check, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, check, detail: detail.into() }
    }

    pub(crate) fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::TokenMalformed, Check::Structure, detail)
    }

    /// The refusal of a signature, without a reason.
    pub fn signature_invalid() -> Self {
        Self::new(ErrorCode::SignatureInvalid, Check::Signature, "the signature does not verify")
    }

    /// The issuer's keys cannot be had: what a host reports when [`crate::jwks_cache::Lookup::Unavailable`] is its answer.
    pub fn jwks_unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::JwksUnavailable, Check::Key, detail)
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The check that refused.
    pub fn check(&self) -> Check {
        self.check
    }

    /// The sentence without the code.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.detail)
    }
}

impl core::error::Error for VerifyError {}

/// A mistake of the caller, not of a token: a policy that cannot be meant. Names the setting and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    code: &'static str,
    setting: Cow<'static, str>,
    detail: Cow<'static, str>,
}

impl PolicyError {
    /// A mistake in a setting, of core's or of a host's own.
    pub fn new(setting: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code: "policy_invalid", setting: setting.into(), detail: detail.into() }
    }

    /// An inline JWK Set that is not one.
    pub(crate) fn inline_jwks(error: &VerifyError) -> Self {
        Self { code: error.code().as_str(), setting: "jwks".into(), detail: error.detail.clone() }
    }

    /// The stable code: `policy_invalid`, or `jwks_malformed` for an inline JWK Set that is not one.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The same error, of the setting inside `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        let dot = if self.setting.is_empty() || self.setting.starts_with('[') { "" } else { "." };
        self.setting = alloc::format!("{parent}{dot}{}", self.setting).into();
        self
    }

    /// The setting, as a path such as `issuers[1].leeway`.
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.detail)
    }
}

impl core::error::Error for PolicyError {}

/// A value from a token for a message: quoted, escaped, and cut at 128 characters so that hostile input cannot flood a log.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN: usize = 128;
    let mut quoted = String::from("\"");
    for (index, character) in value.chars().enumerate() {
        if index == SHOWN {
            quoted.push('…');
            break;
        }
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            _ if is_invisible(character) => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Several, as [`quoted`] writes each.
pub(crate) fn quoted_list(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    alloc::format!("[{}]", quoted.join(", "))
}

/// Controls, and what changes the direction or the place of what stands beside it. `{:?}` escapes more, by tables of 3 kB.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_frozen() {
        let names: alloc::vec::Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(
            names,
            [
                "token_malformed",
                "token_too_large",
                "critical_header_unsupported",
                "algorithm_not_allowed",
                "type_mismatch",
                "key_not_found",
                "key_ambiguous",
                "key_mismatch",
                "signature_invalid",
                "disclosure_invalid",
                "claim_missing",
                "claim_invalid",
                "proof_required",
                "proof_invalid",
                "issuer_mismatch",
                "audience_mismatch",
                "token_expired",
                "token_not_yet_valid",
                "token_too_old",
                "lifetime_exceeded",
                "key_expired",
                "jwks_unavailable",
                "jwks_malformed",
            ]
        );
    }

    #[test]
    fn hostile_values_are_escaped_and_cut() {
        assert_eq!(quoted("a\n\u{1b}[31m"), "\"a\\n\\u{1b}[31m\"");
        assert!(quoted(&"x".repeat(10_000)).chars().count() < 140);
        assert_eq!(quoted(&"é".repeat(128)), alloc::format!("\"{}\"", "é".repeat(128)));
        assert_eq!(quoted(&"é".repeat(129)), alloc::format!("\"{}…\"", "é".repeat(128)));
        assert_eq!(quoted("\\\"\u{202e}\u{9b}\u{feff}"), r#""\\\"\u{202e}\u{9b}\u{feff}""#);
        // Nothing that a terminal obeys is left, and what `{:?}` leaves readable stays readable.
        for character in (0..=0xffff).step_by(if cfg!(miri) { 101 } else { 1 }).filter_map(char::from_u32) {
            let text = quoted(&String::from(character));
            assert!(!text.chars().any(char::is_control), "{character:?}");
            assert_eq!(text.contains(character), !is_invisible(character) || text.len() < 3, "{character:?}");
        }
        assert_eq!(quoted_list(&["a".into(), "b\n".into()]), r#"["a", "b\n"]"#);
    }
}
