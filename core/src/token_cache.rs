//! Tokens that have been verified, so that the same token costs a hash the next time.
//!
//! A hit is not a shortcut past a decision: everything that can have changed since is judged again. What cannot change is not:
//! the octets of the token, and with them its signature and claims.

use alloc::sync::Arc;

use lru::LruCache;
use sha2::{Digest, Sha256};

use crate::{
    error::VerifyError,
    jwk_set::JwkSet,
    time::Timestamp,
    verify::{VerifiedToken, Verifier},
};

/// Octets of an entry beside its texts: the key of the map, links, the parsed header, the allocations of an ordinary claims set.
const ENTRY_OVERHEAD: usize = 512;
/// The claims are held as text and parsed; a parsed member takes about three times its text.
const PARSED_FACTOR: usize = 4;

/// Verified tokens of one [`Verifier`], bounded by memory, the least recently used going first.
///
/// It holds its verifier, so entries are never shared between policies. Only successes are cached: what an attacker makes up
/// takes no room. Tokens bound to a key (`cnf`) are never in it, as the proof of possession belongs to the request.
#[derive(Debug)]
pub struct TokenCache {
    verifier: Verifier,
    entries: LruCache<[u8; 32], Arc<VerifiedToken>>,
    budget: usize,
    bytes: usize,
}

/// The place of one token in a [`TokenCache`]: the SHA-256 digest of its whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a compact token.
    pub fn of(compact: &str) -> Self {
        Self(Sha256::digest(compact.as_bytes()).into())
    }
}

impl TokenCache {
    /// An empty cache of at most `budget` octets; 0 caches nothing.
    pub fn new(verifier: Verifier, budget: usize) -> Self {
        Self { verifier, entries: LruCache::unbounded(), budget, bytes: 0 }
    }

    /// The verifier whose tokens these are.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// A token that was verified before, if the key that verified it is still in the issuer's set (same numbers, `kid` and
    /// `alg`). The caller has looked the set up for this request, as for any token: without a set there is no hit.
    ///
    /// # Errors
    /// The claims' times, judged anew: `token_expired` and the other codes of [`Verifier::finish`] that depend on `now`.
    pub fn get(&mut self, digest: TokenDigest, keys: &JwkSet, now: Timestamp) -> Option<Result<Arc<VerifiedToken>, VerifyError>> {
        let token = self.entries.get(&digest.0)?;
        if !keys.keys().iter().any(|key| Arc::ptr_eq(key, token.key()) || key == token.key()) {
            self.remove(digest);
            return None;
        }
        let token = Arc::clone(token);
        match self.verifier.judge_time(token.claims(), token.key(), now) {
            Ok(()) => Some(Ok(token)),
            Err(error) => {
                self.remove(digest);
                Some(Err(error))
            }
        }
    }

    /// Remembers a token that [`TokenCache::verifier`] has just verified under this digest of its text, unless it is bound to a
    /// key.
    pub fn insert(&mut self, digest: TokenDigest, token: Arc<VerifiedToken>) {
        if token.claims().get("cnf").is_some() {
            return;
        }
        let size = size_of_entry(&token);
        if size > self.budget {
            return;
        }
        self.bytes += size;
        if let Some(previous) = self.entries.put(digest.0, token) {
            self.bytes -= size_of_entry(&previous);
        }
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= size_of_entry(&oldest);
        }
    }

    /// Octets that the entries take, by estimate.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tokens in the cache.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the cache holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove(&mut self, digest: TokenDigest) {
        if let Some(token) = self.entries.pop(&digest.0) {
            self.bytes -= size_of_entry(&token);
        }
    }
}

fn size_of_entry(token: &VerifiedToken) -> usize {
    ENTRY_OVERHEAD + token.header_json().len() + PARSED_FACTOR * token.claims_json().len()
}
