//! The signed revocation document: a compact JWS of type [`TYP`] by a control key.
//!
//! ```text
//! header  {"alg":"ES256","kid":CONTROL KEY,"typ":"edgeseal-revocation+jwt"}
//! claims  {"iss":SIGNER,"aud":EDGE,"iat":…,"exp":iat + 600 at most,"seq":rising with every document of this edge,
//!          "kids":[{"iss":ISSUER,"kid":…,"until":…}],
//!          "jtis":[{"iss":ISSUER,"jti":…,"until":…}],
//!          "subs":[{"sha256":HASH,"before":…,"until":…}]}
//! ```
//!
//! Every document holds the whole list. HASH is base64url of SHA-256 over the octets of the issuer's length (64 bits,
//! big-endian), the issuer and the `sub`; tokens of it with an `iat` below `before` are revoked. All times are seconds since 1970.

use alloc::{borrow::Cow, string::String};

use serde_json::Value;

use super::Revocations;
use crate::{
    algorithm::Algorithm,
    backend::{SignatureInvalid, SignatureValid},
    error::{Check, ErrorCode, PolicyError, VerifyError},
    issue::UnsignedToken,
    json::Members,
    jwk_set::JwkSet,
    policy::Policy,
    time::Timestamp,
    token::UnverifiedToken,
    verify::{Finished, PendingSignature, Verifier},
};

/// `typ` of a document: no verifier of tokens takes it for one.
pub const TYP: &str = "edgeseal-revocation+jwt";
/// Octets of a document: a full list, with room for long names.
pub const MAX_DOCUMENT_LEN: usize = 512 * 1024;
/// Seconds between `iat` and `exp`: whoever holds a document back can use it no longer.
pub const MAX_LIFETIME: u64 = 600;
/// The largest `seq`: what every JSON parser reads exactly (RFC 8259 section 6).
pub const MAX_SEQUENCE: u64 = (1 << 53) - 1;
/// Control keys of one edge: the current and the next one, of two signers perhaps.
pub const MAX_KEYS: usize = 4;

/// What a verified document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `seq`.
    pub sequence: u64,
    /// The whole list.
    pub list: Revocations,
}

/// Who may revoke at this edge: the pinned control keys.
#[derive(Clone, Debug)]
pub struct Control {
    verifier: Verifier,
    keys: JwkSet,
}

impl Control {
    /// The control keys that documents for the edge of this name may be signed with.
    ///
    /// # Errors
    /// When a key has no `kid` or `alg`, two share a `kid`, or there are none or more than [`MAX_KEYS`].
    pub fn new(edge: &str, keys: JwkSet) -> Result<Self, PolicyError> {
        let wrong = |detail: Cow<'static, str>| Err(PolicyError::new("control_keys", detail));
        if !(1..=MAX_KEYS).contains(&keys.keys().len()) {
            return wrong(alloc::format!("has {} usable keys; it takes 1 to {MAX_KEYS}", keys.keys().len()).into());
        }
        let mut policy = Policy::builder()
            .audience(edge)
            .algorithms([Algorithm::Es256])
            .typ(TYP)
            .max_lifetime(MAX_LIFETIME)
            .required_claim("seq")
            // The key says who it is: it is pinned.
            .dangerous()
            .skip_issuer()
            .build();
        policy.algorithms.clear();
        for (index, key) in keys.keys().iter().enumerate() {
            let (Some(algorithm), Some(kid)) = (key.algorithm(), key.kid()) else {
                return wrong("holds a key without kid or alg: take them as `edgeseal edges pin` prints them".into());
            };
            if keys.keys()[..index].iter().any(|other| other.kid() == Some(kid)) {
                return wrong("holds two keys with one kid".into());
            }
            if !policy.algorithms.contains(&algorithm) {
                policy.algorithms.push(algorithm);
            }
        }
        Ok(Self { verifier: Verifier::new(policy), keys })
    }

    /// Makes every decision before the signature.
    ///
    /// # Errors
    /// As for a token: `token_too_large`, `token_malformed`, `algorithm_not_allowed`, `type_mismatch`, `key_not_found`, ….
    pub fn begin(&self, document: &str) -> Result<PendingSignature, VerifyError> {
        let token = UnverifiedToken::parse_compact("the document", document, MAX_DOCUMENT_LEN, None)?;
        if token.header().kid().is_none() {
            let detail = "the document names no control key (kid)";
            return Err(VerifyError::new(ErrorCode::KeyNotFound, Check::Key, detail));
        }
        self.verifier.begin(token, &self.keys)
    }

    /// Takes the backend's answer and reads the list. Whether `seq` rises is for whoever knows the last one to say.
    ///
    /// # Errors
    /// `signature_invalid`, `audience_mismatch`, `token_expired`, `token_not_yet_valid`, `lifetime_exceeded`, `claim_missing`,
    /// and `claim_invalid` for a list that cannot be meant: then nothing of it is taken.
    pub fn finish(
        &self,
        pending: PendingSignature,
        answer: Result<SignatureValid, SignatureInvalid>,
        now: Timestamp,
    ) -> Result<Statement, VerifyError> {
        let invalid = |detail: String| VerifyError::new(ErrorCode::ClaimInvalid, Check::Claims, detail);
        let Finished::Verified(token) = self.verifier.finish(pending, answer, now)? else {
            return Err(invalid("the document carries another signature".into()));
        };
        let members = token.claims().members();
        let sequence = members.get("seq").and_then(Value::as_u64).filter(|sequence| (1..=MAX_SEQUENCE).contains(sequence));
        let sequence = sequence.ok_or_else(|| invalid(alloc::format!("seq is no whole number from 1 to {MAX_SEQUENCE}")))?;
        let list = Revocations::read(members, super::MAX_ENTRIES).map_err(invalid)?;
        Ok(Statement { sequence, list })
    }
}

/// A document to be signed.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// `iss`: the signer, for people.
    pub issuer: &'a str,
    /// `aud`: the edge.
    pub edge: &'a str,
    /// `seq`: higher than that of any document of this edge before.
    pub sequence: u64,
    /// `iat`.
    pub issued_at: Timestamp,
    /// The whole list.
    pub list: &'a Revocations,
}

impl Draft<'_> {
    /// The document without its signature.
    ///
    /// # Errors
    /// `token_too_large` when no edge would take it.
    pub fn unsigned(&self, algorithm: Algorithm, kid: &str) -> Result<UnsignedToken, VerifyError> {
        let Self { issuer, edge, sequence, issued_at, list } = self;
        let entries = list.len();
        if entries > super::MAX_ENTRIES {
            let detail = alloc::format!("the list has {entries} entries, edges take {}", super::MAX_ENTRIES);
            return Err(VerifyError::new(ErrorCode::TokenTooLarge, Check::Structure, detail));
        }
        let issued_at = issued_at.as_secs();
        let members = Members::new()
            .with("iss", *issuer)
            .with("aud", *edge)
            .with("iat", &issued_at)
            .with("exp", &issued_at.saturating_add(MAX_LIFETIME))
            .with("seq", sequence);
        UnsignedToken::within("the document", algorithm, kid, Some(TYP), &list.write(members).end(), MAX_DOCUMENT_LEN)
    }
}
