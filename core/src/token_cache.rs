//! Tokens that have been verified, so that the same token costs a comparison the next time.
//!
//! A hit is not a shortcut past a decision: everything that can have changed since is judged again. What cannot change is not:
//! the octets of the token, and with them its signature and claims.

use alloc::{boxed::Box, string::String, sync::Arc};

use lru::LruCache;
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    error::VerifyError,
    jwk::Jwk,
    jwk_set::{JwkSet, KeyRequest},
    time::Timestamp,
    verify::{BoundToken, VerifiedToken, Verifier},
};

/// Octets of an entry beside its texts and its claims: the key of the map, links, the parsed header.
const ENTRY_OVERHEAD: usize = 512;
/// How many members a leaf has room for in the tree that an object's members are. Of several leaves each is at least half full.
const LEAF_PLACES: usize = 11;
/// Octets of a leaf.
const LEAF: usize = LEAF_PLACES * (size_of::<String>() + size_of::<Value>()) + 2 * size_of::<usize>();

/// Verified tokens, bounded by memory, the least recently used going first.
///
/// Each entry belongs to an owner, who has the [`Verifier`] that verified it: it is judged again by that one and never serves
/// another policy. Only successes are cached: what an attacker makes up takes no room. A proof of possession belongs to the request
/// and is never in it: a token that is bound to a key (`cnf`) comes out as [`Known::Bound`], to be proved anew, and the presentation
/// of an SD-JWT with key binding is not remembered at all.
///
/// An entry is found by the end of the token, a part of its signature, and then compared with the whole text: equal octets, not
/// equal digests, make a hit. A digest of every token that comes by would cost as much as all other parsing in WebAssembly. The
/// texts are therefore kept in memory, as they are in every request that carries one.
#[derive(Debug)]
pub struct TokenCache<O> {
    entries: LruCache<Tail, Entry<O>>,
    budget: usize,
    bytes: usize,
}

/// The last octets of a token.
type Tail = [u8; 16];

#[derive(Debug)]
struct Entry<O> {
    text: Box<str>,
    owner: O,
    token: Arc<VerifiedToken>,
    /// Octets that it takes, by estimate.
    size: usize,
}

/// A token that was verified before, judged again.
#[derive(Debug)]
pub enum Known {
    /// It is as good as before.
    Verified(Arc<VerifiedToken>),
    /// It is as good as before, once [`Verifier::prove`] has judged the proof that came with this request.
    Bound(BoundToken),
}

/// A token that was verified before and is to be judged again: see [`TokenCache::find`].
#[derive(Debug)]
pub struct Found<O> {
    tail: Tail,
    owner: O,
    token: Arc<VerifiedToken>,
}

impl<O: AsRef<Verifier> + Clone> TokenCache<O> {
    /// An empty cache of at most `budget` octets; 0 caches nothing.
    pub fn new(budget: usize) -> Self {
        Self { entries: LruCache::unbounded(), budget, bytes: 0 }
    }

    /// A token with exactly this text that was verified before. The caller looks up its owner's key set for
    /// [`Found::key_request`], as for any token, and asks [`TokenCache::judge`]: without a set there is no hit.
    pub fn find(&mut self, compact: &str) -> Option<Found<O>> {
        let tail = tail(compact)?;
        let entry = self.entries.get(&tail).filter(|entry| is_same(&entry.text, compact))?;
        Some(Found { tail, owner: entry.owner.clone(), token: Arc::clone(&entry.token) })
    }

    /// The token, if the owner's set still gives it the key that verified it (same numbers, `kid`, `alg` and expiry).
    ///
    /// # Errors
    /// The times, judged anew: `token_expired` and the other codes of [`Verifier::finish`] that depend on `now`.
    pub fn judge(&mut self, found: Found<O>, keys: &JwkSet, now: Timestamp) -> Option<Result<Known, VerifyError>> {
        let is_its_key = |key: &Arc<Jwk>| Arc::ptr_eq(key, found.token.key()) || key == found.token.key();
        let has_its_key = found.key_request().is_some_and(|request| keys.select(request).is_ok_and(is_its_key));
        let Found { tail, owner, token } = found;
        if !has_its_key {
            self.remove(&tail);
            return None;
        }
        if let Some(bound) = BoundToken::again(&token) {
            return Some(Ok(Known::Bound(bound)));
        }
        match owner.as_ref().judge_time(token.claims(), token.key(), now) {
            Ok(()) => Some(Ok(Known::Verified(token))),
            Err(error) => {
                self.remove(&tail);
                Some(Err(error))
            }
        }
    }

    /// Remembers a token that the owner's verifier has just verified from this text.
    pub fn insert(&mut self, compact: &str, owner: O, token: &Arc<VerifiedToken>) {
        let Some(tail) = tail(compact) else { return };
        let size = size_of_entry(compact, token);
        if size > self.budget || token.holder_key().is_some() {
            return;
        }
        self.bytes += size;
        if let Some(previous) = self.entries.put(tail, Entry { text: compact.into(), owner, token: Arc::clone(token), size }) {
            self.bytes -= previous.size;
        }
        while self.bytes > self.budget {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= oldest.size;
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

    fn remove(&mut self, tail: &Tail) {
        if let Some(entry) = self.entries.pop(tail) {
            self.bytes -= entry.size;
        }
    }
}

fn size_of_entry(compact: &str, token: &VerifiedToken) -> usize {
    let texts = compact.len() + token.header_json().len() + token.claims_json().len();
    let disclosed: usize = token.disclosed().iter().map(|path| size_of::<String>() + path.len()).sum();
    ENTRY_OVERHEAD + texts + disclosed + size_of_members(token.claims().members())
}

fn size_of_members(members: &Map<String, Value>) -> usize {
    let each: usize = members.iter().map(|(name, value)| name.len() + size_behind(value)).sum();
    let leaves = match members.len() {
        len @ 0..=LEAF_PLACES => usize::from(len > 0),
        len => len.div_ceil(LEAF_PLACES / 2),
    };
    leaves * LEAF + each
}

/// What a value takes beside its own place.
fn size_behind(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        // An array that grew has up to twice the places that it needs.
        Value::Array(elements) => elements.iter().map(|element| 2 * size_of::<Value>() + size_behind(element)).sum(),
        Value::Object(members) => size_of_members(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

impl<O> Found<O> {
    /// Whose token it is.
    pub fn owner(&self) -> &O {
        &self.owner
    }

    /// What the token asked of its owner's key set; `None` would be a header that no verifier accepts.
    pub fn key_request(&self) -> Option<KeyRequest<'_>> {
        let header = self.token.header();
        Some(KeyRequest { kid: header.kid(), algorithm: Algorithm::from_name(header.algorithm())? })
    }
}

/// Compared to the end whatever differs, so that the time tells nothing of a text that is kept.
fn is_same(a: &str, b: &str) -> bool {
    let (words, rest) = a.as_bytes().as_chunks::<8>();
    let (other_words, other_rest) = b.as_bytes().as_chunks::<8>();
    let words = words.iter().zip(other_words).map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    let rest = rest.iter().zip(other_rest).map(|(a, b)| u64::from(a ^ b));
    a.len() == b.len() && words.chain(rest).fold(0, |difference, one| difference | one) == 0
}

fn tail(compact: &str) -> Option<Tail> {
    compact.as_bytes().last_chunk().copied()
}
