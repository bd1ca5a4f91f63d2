//! What is true of the keys, as of one reading of the store: what signing and the JWK Sets go by.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Jwk, JwkSet, Timestamp, algorithm::Scheme};
use sha2::{Digest as _, Sha256};

use super::{Key, Purpose, State};
use crate::{hsm::KeyId, store::StoreError};

/// Keys in one JWK Set: AWS refuses more than 100, and half of that leaves room for the standbys.
pub const MAX_KEYS: usize = 50;
/// Octets of one JWK Set: verifiers bound what they fetch, core at 64 KiB.
pub const MAX_DOCUMENT: usize = 48 * 1024;

/// Whose JWK Set: the issuer's name, and the agent whose own keys it shows.
type SetName = (String, Option<String>);

/// What is true of the keys, as of one reading of the store.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When the store said so last; `None` before the first reading.
    read_at: RwLock<Option<Instant>>,
    /// The active key of each profile.
    pub active: BTreeMap<String, Arc<ActiveKey>>,
    /// The active keys that belong to one agent alone, by profile and agent.
    pub of_agents: BTreeMap<(String, String), Arc<ActiveKey>>,
    /// The active keys that sign no tokens.
    pub own: BTreeMap<Purpose, Arc<ActiveKey>>,
    /// The JWK Sets by issuer and, for keys that belong to one agent, that agent.
    pub documents: BTreeMap<SetName, Document>,
    /// All keys, the oldest first.
    pub keys: Vec<Key>,
    /// Where each of them stands there.
    by_kid: HashMap<String, usize>,
    by_id: HashMap<KeyId, usize>,
}

/// A key that signs.
#[derive(Debug)]
pub struct ActiveKey {
    /// Its name in the HSM.
    pub id: KeyId,
    /// Its `kid`.
    pub kid: String,
    /// The issuer whose JWK Set shows it, by its name; empty is the top-level one.
    pub issuer: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// A set of this key alone: what every signature is checked against before it leaves.
    pub alone: JwkSet,
}

/// A JWK Set as it is published.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its text: RSA keys before EC before OKP, since some clients take the first key's type for all.
    pub jwks: String,
    /// Its strong `ETag`, quotes included.
    pub etag: String,
    /// The algorithms of its keys.
    pub algorithms: Vec<Algorithm>,
}

impl Snapshot {
    pub(super) fn of(keys: Vec<Key>, read_at: Instant) -> Result<Self, StoreError> {
        let mut snapshot = Self { read_at: RwLock::new(Some(read_at)), ..Self::default() };
        let mut shown: BTreeMap<SetName, Vec<(&Key, Jwk)>> = BTreeMap::new();
        for key in keys.iter().filter(|key| key.state.in_jwk_set()) {
            let Some(published) = &key.published else { continue };
            let jwk = Jwk::from_json(&published.jwk)
                .map_err(|problem| StoreError::Corrupt(format!("the JWK of {}: {}", published.kid, problem.as_str())))?;
            if key.state == State::Active {
                let alone = JwkSet::from_keys([jwk.clone()]);
                let active = Arc::new(ActiveKey {
                    id: key.id,
                    kid: published.kid.clone(),
                    issuer: key.issuer.clone(),
                    algorithm: key.algorithm,
                    alone,
                });
                match (key.purpose, &key.agent) {
                    (Purpose::Token, None) => drop(snapshot.active.insert(key.profile.clone(), active)),
                    (Purpose::Token, Some(agent)) => {
                        drop(snapshot.of_agents.insert((key.profile.clone(), agent.clone()), active));
                    }
                    (purpose, _) => drop(snapshot.own.insert(purpose, active)),
                }
            }
            if key.purpose == Purpose::Token {
                shown.entry((key.issuer.clone(), key.agent.clone())).or_default().push((key, jwk));
            }
        }
        snapshot.documents = shown.into_iter().map(|(name, keys)| (name, Document::of(keys))).collect();
        for (place, key) in keys.iter().enumerate() {
            if let Some(kid) = key.kid() {
                snapshot.by_kid.entry(kid.to_owned()).or_insert(place);
            }
            snapshot.by_id.entry(key.id).or_insert(place);
        }
        snapshot.keys = keys;
        Ok(snapshot)
    }

    /// The key of this `kid`, in whatever state: a renewal asks, and costs the same beside ten thousand keys.
    pub fn of_kid(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).and_then(|place| self.keys.get(*place))
    }

    /// The key of this name in the HSM, in whatever state.
    pub fn of_id(&self, id: KeyId) -> Option<&Key> {
        self.by_id.get(&id).and_then(|place| self.keys.get(*place))
    }

    /// The JWK Set of an issuer, or of one agent's keys there. An issuer without keys has an empty set.
    pub fn document(&self, issuer: &str, agent: Option<&str>) -> Option<Document> {
        let found = self.documents.get(&(issuer.to_owned(), agent.map(ToOwned::to_owned))).cloned();
        found.or_else(|| agent.is_none().then(|| Document::of(Vec::new())))
    }

    /// When the JWK Set of an issuer changed last: a key of it came, left, or was taken out as compromised. Nothing for a set
    /// that never had a key.
    pub fn changed_at(&self, issuer: &str) -> Option<Timestamp> {
        let keys = self.keys.iter().filter(|key| key.purpose == Purpose::Token && key.issuer == issuer && key.agent.is_none());
        keys.filter_map(|key| {
            let came = key.published_at?;
            // What is compromised after it retired was out already.
            let left = key.retired_at.into_iter().chain(key.compromised_at).min();
            Some(left.map_or(came, |left| left.max(came)))
        })
        .max()
    }

    /// Whether it is older than the lease allows signing with.
    pub fn is_expired(&self, lease: Duration) -> bool {
        self.age().is_none_or(|age| age > lease)
    }

    /// When it was read at the latest, for people.
    pub fn age(&self) -> Option<Duration> {
        self.read_at.read().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Takes over another reading that found the same keys: nothing need be parsed again.
    pub(super) fn is_still(&self, keys: &[Key], read_at: Instant) -> bool {
        let same = self.age().is_some() && self.keys == keys;
        if same {
            let mut held = self.read_at.write().unwrap_or_else(PoisonError::into_inner);
            *held = (*held).max(Some(read_at));
        }
        same
    }

    /// Whether the store was read for it later than for another.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        let read_at = |snapshot: &Self| *snapshot.read_at.read().unwrap_or_else(PoisonError::into_inner);
        read_at(self) > read_at(other)
    }
}

impl Document {
    fn of(mut keys: Vec<(&Key, Jwk)>) -> Self {
        keys.sort_by_key(|(key, _)| (family(key.algorithm), key.created_at));
        let mut algorithms: Vec<Algorithm> = keys.iter().map(|(key, _)| key.algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let jwks = JwkSet::from_keys(keys.into_iter().map(|(_, jwk)| jwk)).to_json();
        let etag = format!("\"{}\"", Base64UrlUnpadded::encode_string(&Sha256::digest(jwks.as_bytes())));
        Self { jwks, etag, algorithms }
    }
}

/// Whether one more key may be shown: how many keys and octets its JWK Set would have, if that is too much.
pub(super) fn overflow(keys: &[Key], more: &Key, jwk: &str) -> Option<(usize, usize)> {
    let shown = keys.iter().filter(|key| key.state.in_jwk_set() && key.same_set(more) && key.id != more.id);
    let (mut count, mut octets) = (1, jwk.len() + "{\"keys\":[]}".len());
    for key in shown {
        count += 1;
        octets += key.published.as_ref().map_or(0, |published| published.jwk.len() + 1);
    }
    (count > MAX_KEYS || octets > MAX_DOCUMENT).then_some((count, octets))
}

fn family(algorithm: Algorithm) -> u8 {
    match algorithm.scheme() {
        Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => 0,
        Scheme::Ecdsa(..) => 1,
        Scheme::Ed25519 => 2,
    }
}
