//! The audit log: what was asked of the keys, by whom, and what came of it; so kept that nobody can change it unseen.
//!
//! | file | what it does |
//! |---|---|
//! | [`chain`] | PURE: rows, each of which holds the hash of the one before it |
//! | [`checkpoint`] | PURE: statements of how far the chains have come, signed by a key of their own in the HSM |
//! | [`blinding`] | claim values as HMACs, so that the log holds nobody's data |
//! | [`log`] | the only way to a row: durable when it answers, or nothing may be signed |
//! | [`keeper`] | the audit key, and when it signs |
//! | `filter` | PURE: which rows somebody looks for |
//! | [`ledger`] | what auditors ask for each key |
//! | [`export`] | all of it as lines of JSON, and [`verify`], which needs nothing but those lines |
//!
//! Every process writes a chain of its own, so that no signer waits for another; checkpoints tie all chains together and
//! are themselves a chain. An intent is durable before `C_Sign` is called, its outcome follows: an intent without one
//! means that the process ended in between.

pub mod blinding;
pub mod chain;
pub mod checkpoint;
pub mod export;
mod filter;
pub mod keeper;
pub mod ledger;
pub mod log;
pub mod verify;

use std::{borrow::Cow, fmt};

use edgeseal_core::{
    Algorithm, Timestamp,
    algorithm::{Hash, Scheme},
};
use serde_json::{Map, Value};
use sha2::Digest as _;

pub use self::{
    blinding::Blinding,
    chain::{AuditRow, Chain},
    filter::{AuditFilter, AuditPlace},
    keeper::Keeper,
    log::{Log, LogEnd},
};
use crate::store::StoreError;

/// Something to write down.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who: `agent:NAME`, `admin:NAME`, `local:USER` (who opened the store on the signer's own machine), or `system`.
    pub actor: String,
    /// What, as `noun.verb`: `token.intent`, `key.activate`.
    pub action: Cow<'static, str>,
    /// On what: a `kid`, a `CKA_ID`, an agent; empty for nothing in particular.
    pub subject: String,
    /// The rest.
    pub detail: Map<String, Value>,
    /// The hash that a signature is over ([`token_digest`]), to find the row of a token by.
    pub digest: Option<String>,
}

impl Event {
    /// An event without details.
    pub fn new(actor: impl Into<String>, action: impl Into<Cow<'static, str>>, subject: impl Into<String>) -> Self {
        Self { actor: actor.into(), action: action.into(), subject: subject.into(), detail: Map::new(), digest: None }
    }

    /// With one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// About a signature over this hash.
    #[must_use]
    pub fn with_digest(mut self, digest: String) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Whether it announces a signature, of which an outcome follows.
    pub fn is_intent(&self) -> bool {
        self.digest.is_some()
    }
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Its chain.
    pub chain: String,
    /// Its number in the chain, from 1.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "row {} of chain {}", self.seq, self.chain)
    }
}

/// Why nothing was written. Whoever gets this signs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditError {
    /// The store.
    Store(StoreError),
    /// It did not get there in time.
    Deadline(std::time::Duration),
    /// The log has ended with its process.
    Ended,
}

impl fmt::Display for AuditError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(formatter, "the audit log cannot be written: {error}"),
            Self::Deadline(limit) => write!(formatter, "the audit log could not be written within {} ms", limit.as_millis()),
            Self::Ended => formatter.write_str("the audit log has ended"),
        }
    }
}

impl std::error::Error for AuditError {}

/// The name that the signature over this JWS signing input has in the log: base64url of its hash by the algorithm's own
/// hash function (RFC 7518 section 3.1), and by SHA-256 for `EdDSA`, which hashes otherwise.
pub fn token_digest(algorithm: Algorithm, signing_input: &[u8]) -> String {
    match algorithm.scheme() {
        Scheme::Ed25519 | Scheme::Ecdsa(_, Hash::Sha256) | Scheme::RsaPkcs1(Hash::Sha256) | Scheme::RsaPss(Hash::Sha256) => {
            encode(&sha2::Sha256::digest(signing_input))
        }
        Scheme::Ecdsa(_, Hash::Sha384) | Scheme::RsaPkcs1(Hash::Sha384) | Scheme::RsaPss(Hash::Sha384) => {
            encode(&sha2::Sha384::digest(signing_input))
        }
        Scheme::Ecdsa(_, Hash::Sha512) | Scheme::RsaPkcs1(Hash::Sha512) | Scheme::RsaPss(Hash::Sha512) => {
            encode(&sha2::Sha512::digest(signing_input))
        }
    }
}

fn encode(octets: &[u8]) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    Base64UrlUnpadded::encode_string(octets)
}

/// RFC 3339 in UTC, to the millisecond.
fn moment(at: Timestamp) -> String {
    let seconds = crate::keys::Moment(Timestamp::from_secs(at.as_secs())).to_string();
    let whole = seconds.strip_suffix('Z').unwrap_or(&seconds);
    format!("{whole}.{:03}Z", at.as_millis() % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_milliseconds() {
        assert_eq!(moment(Timestamp::from_millis(1_760_000_000_007)), "2025-10-09T08:53:20.007Z");
    }

    #[test]
    fn digests_are_those_of_the_algorithm() {
        for algorithm in [Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256, Algorithm::EdDsa, Algorithm::Ed25519] {
            assert_eq!(token_digest(algorithm, b"abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0", "{algorithm}");
        }
        assert_eq!(token_digest(Algorithm::Es384, b"").len(), 64);
        assert_eq!(token_digest(Algorithm::Es512, b"").len(), 86);
    }
}
