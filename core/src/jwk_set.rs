//! A JWK Set (RFC 7517 section 5) and the choice of exactly one key.

use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    error::{Check, ErrorCode, VerifyError, quoted},
    json,
    jwk::{Jwk, KeyProblem, KeyRules},
};

/// Octets of a JWK Set document: the largest of the 15 public issuers that were looked at has 12 KiB.
pub const MAX_JWKS_LEN: usize = 64 * 1024;
/// Keys of a JWK Set, usable or not: AWS refuses more as well.
pub const MAX_JWKS_KEYS: usize = 100;

/// The usable keys of a JWK Set, and why the others are not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JwkSet {
    keys: Vec<Arc<Jwk>>,
    skipped: Vec<SkippedKey>,
}

/// An entry of the set that may not verify. Its siblings live (RFC 7517 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Position in `keys`, from 0.
    pub index: usize,
    /// Its `kid`, where it has a string there.
    pub kid: Option<String>,
    /// Why.
    pub reason: KeyProblem,
}

/// What a token asks of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRequest<'a> {
    /// The token's `kid`.
    pub kid: Option<&'a str>,
    /// The token's `alg`, which the policy allows.
    pub algorithm: Algorithm,
}

impl JwkSet {
    /// Parses a JWK Set.
    ///
    /// # Errors
    /// `jwks_malformed` when the document as a whole is not one: not a JSON object with an array `keys`, a duplicate member
    /// anywhere, more than [`MAX_JWKS_LEN`] octets or [`MAX_JWKS_KEYS`] entries.
    pub fn from_json(text: &str) -> Result<Self, VerifyError> {
        Self::from_json_with(text, KeyRules::default())
    }

    /// Parses a JWK Set under other rules than the default ones.
    ///
    /// # Errors
    /// As [`JwkSet::from_json`].
    pub fn from_json_with(text: &str, rules: KeyRules) -> Result<Self, VerifyError> {
        check_len(text)?;
        let (_, members) = json::parse_object(text.as_bytes()).map_err(|error| malformed(alloc::format!("JWK Set: {error}")))?;
        Self::from_entries(members.get("keys"), rules)
    }

    /// The set in a configuration, where it stands as a JSON object. Its length is that of its text without spaces.
    pub(crate) fn from_value(value: &Value, rules: KeyRules) -> Result<Self, VerifyError> {
        check_len(&json::to_string(value))?;
        Self::from_entries(value.get("keys"), rules)
    }

    fn from_entries(keys: Option<&Value>, rules: KeyRules) -> Result<Self, VerifyError> {
        let Some(Value::Array(entries)) = keys else {
            return Err(malformed("the JWK Set has no array member \"keys\""));
        };
        if entries.len() > MAX_JWKS_KEYS {
            return Err(malformed(alloc::format!("{} keys, at most {MAX_JWKS_KEYS} are allowed", entries.len())));
        }
        let mut set = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let parsed = entry.as_object().ok_or(KeyProblem::Malformed).and_then(|members| Jwk::from_members(members, rules));
            match parsed {
                Ok(key) => set.keys.push(Arc::new(key)),
                Err(reason) => {
                    let kid = entry.get("kid").and_then(Value::as_str).map(String::from);
                    set.skipped.push(SkippedKey { index, kid, reason });
                }
            }
        }
        Ok(set)
    }

    /// A set of one's own keys.
    pub fn from_keys(keys: impl IntoIterator<Item = Jwk>) -> Self {
        Self { keys: keys.into_iter().map(Arc::new).collect(), skipped: Vec::new() }
    }

    /// The usable keys, in the order of the document.
    pub fn keys(&self) -> &[Arc<Jwk>] {
        &self.keys
    }

    /// The other entries of the document.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Entries of the document, usable or not.
    pub fn total(&self) -> usize {
        self.keys.len() + self.skipped.len()
    }

    /// The set as JSON, public members only.
    pub fn to_json(&self) -> String {
        let mut text = String::from("{\"keys\":[");
        for (index, key) in self.keys.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&key.to_json());
        }
        text.push_str("]}");
        text
    }

    /// The one key for a token: with the same `kid`, byte for byte, and of its algorithm; for a token without `kid`, the only
    /// key of its algorithm. There is no fallback to other keys.
    ///
    /// # Errors
    /// `key_not_found` when no usable key has the `kid` (or none fits), `key_mismatch` when the one that has it is of another
    /// algorithm, `key_ambiguous` when several fit.
    pub fn select(&self, request: KeyRequest<'_>) -> Result<&Arc<Jwk>, VerifyError> {
        let KeyRequest { kid, algorithm } = request;
        let has_kid = |key: &&Arc<Jwk>| kid.is_none() || key.kid() == kid;
        let mut fitting = self.keys.iter().filter(has_kid).filter(|key| key.verifies(algorithm));
        match (fitting.next(), fitting.next(), kid) {
            (Some(key), None, _) => Ok(key),
            (Some(_), Some(_), Some(kid)) => {
                Err(refused(ErrorCode::KeyAmbiguous, alloc::format!("several {algorithm} keys have the kid {}", quoted(kid))))
            }
            (Some(_), Some(_), None) => {
                Err(refused(ErrorCode::KeyAmbiguous, alloc::format!("the token has no kid and several keys fit {algorithm}")))
            }
            (None, _, Some(kid)) => Err(self.no_key(kid, algorithm)),
            (None, _, None) => {
                Err(refused(ErrorCode::KeyNotFound, alloc::format!("the token has no kid and no key fits {algorithm}")))
            }
        }
    }

    /// Whether another version of the set could change the answer of [`JwkSet::select`] for this request: no key, usable or
    /// not, has the `kid`.
    pub(crate) fn is_unknown(&self, request: KeyRequest<'_>) -> bool {
        match request.kid {
            Some(kid) => {
                !self.keys.iter().any(|key| key.kid() == Some(kid))
                    && !self.skipped.iter().any(|key| key.kid.as_deref() == Some(kid))
            }
            None => !self.keys.iter().any(|key| key.verifies(request.algorithm)),
        }
    }

    fn no_key(&self, kid: &str, algorithm: Algorithm) -> VerifyError {
        if let Some(key) = self.keys.iter().find(|key| key.kid() == Some(kid)) {
            let own = match key.algorithm() {
                Some(own) => Cow::Borrowed(own.name()),
                None => Cow::Borrowed("of another type"),
            };
            return refused(
                ErrorCode::KeyMismatch,
                alloc::format!("the token says {algorithm}, the key {} is {own}", quoted(kid)),
            );
        }
        if let Some(skipped) = self.skipped.iter().find(|key| key.kid.as_deref() == Some(kid)) {
            return refused(ErrorCode::KeyNotFound, alloc::format!("the key {} is not usable: {}", quoted(kid), skipped.reason));
        }
        refused(ErrorCode::KeyNotFound, alloc::format!("no key has the kid {}", quoted(kid)))
    }
}

fn check_len(text: &str) -> Result<(), VerifyError> {
    if text.len() > MAX_JWKS_LEN {
        return Err(malformed(alloc::format!("{} bytes, at most {MAX_JWKS_LEN} are allowed", text.len())));
    }
    Ok(())
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> VerifyError {
    VerifyError::new(ErrorCode::JwksMalformed, Check::Key, detail)
}

fn refused(code: ErrorCode, detail: String) -> VerifyError {
    VerifyError::new(code, Check::Key, detail)
}
