//! The registry: keys in the store and in the HSM, brought together; and the snapshot that signing and the JWK Set use.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Jwk, JwkSet, Timestamp, algorithm::Scheme};
use sha2::{Digest as _, Sha256};

use super::{
    Key, Origin, Published, Purpose, State,
    lifecycle::{self, Refusal, Timing},
    now,
};
use crate::{
    hsm::{HsmError, KeyId, KeyKind, KeyStore, StoreStats, StoredKey},
    store::{Guard, Store, StoreError},
};

/// A row that has been `generating` for so long was left by a crash: longer than any HSM takes for an RSA key.
pub const ORPHANED_AFTER: Duration = Duration::from_secs(150);
/// What test signatures are over, with a nonce behind it: never a JWS signing input.
const CANARY: &[u8] = b"edgeseal-canary:";

/// The rows of the registry and the rules that they change by: all that works without the HSM.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    timing: Timing,
}

/// Keys, wherever they are.
pub struct Registry {
    ledger: Ledger,
    store: Store,
    hsm: Arc<dyn KeyStore>,
    snapshot: RwLock<Arc<Snapshot>>,
}

/// What is true of the keys, as of one reading of the store.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When it was read; `None` before the first reading.
    pub read_at: Option<Instant>,
    /// The active key of each profile.
    pub active: BTreeMap<String, Arc<ActiveKey>>,
    /// The JWK Set document: RSA keys before EC before OKP, since some clients take the first key's type for all.
    pub jwks: String,
    /// Its strong `ETag`, quotes included.
    pub etag: String,
    /// The algorithms of the keys in the set.
    pub algorithms: Vec<Algorithm>,
    /// All keys.
    pub keys: Vec<Key>,
}

/// A key that signs.
#[derive(Debug)]
pub struct ActiveKey {
    /// Its name in the HSM.
    pub id: KeyId,
    /// Its `kid`.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// A set of this key alone: what every signature is checked against before it leaves.
    pub alone: JwkSet,
}

/// Why the registry did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// The rules of the life cycle.
    Refused(Refusal),
    /// The HSM.
    Hsm(HsmError),
    /// The store.
    Store(StoreError),
    /// The JWK Set would grow beyond what verifiers accept.
    TooManyKeys(usize),
    /// The HSM gave a key or a signature that core does not accept.
    Unsound(String),
}

/// Keys in one JWK Set: AWS refuses more than 100, and half of that leaves room for the standbys.
pub const MAX_KEYS: usize = 50;

impl fmt::Display for RegistryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(formatter),
            Self::Hsm(error) => error.fmt(formatter),
            Self::Store(error) => error.fmt(formatter),
            Self::TooManyKeys(count) => {
                write!(formatter, "the JWK Set already has {count} keys, and verifiers refuse large sets: retire some first")
            }
            Self::Unsound(reason) => write!(formatter, "the HSM's answer does not hold: {reason}"),
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HsmError> for RegistryError {
    fn from(error: HsmError) -> Self {
        Self::Hsm(error)
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Ledger {
    /// The rows of this store.
    pub fn new(store: Store, timing: Timing) -> Self {
        Self { store, timing }
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<Key>, RegistryError> {
        Ok(self.store.keys().await?)
    }

    /// Makes a standby the active key of its profile. `kid` may be abbreviated as long as it fits one key.
    ///
    /// # Errors
    /// [`Refusal`], with the earliest allowed time where that is the reason.
    pub async fn activate(&self, kid: &str) -> Result<Key, RegistryError> {
        let keys = self.store.keys().await?;
        let key = find(&keys, kid)?;
        let changes = lifecycle::activate(&keys, key, &self.timing, now())?;
        self.store.apply(&changes, &Guard::None).await?;
        self.read_back(key.id).await
    }

    /// Takes a key out of the JWK Set whose tokens have all expired.
    ///
    /// # Errors
    /// [`Refusal`], with the earliest allowed time where that is the reason.
    pub async fn retire(&self, kid: &str) -> Result<Key, RegistryError> {
        let keys = self.store.keys().await?;
        let key = find(&keys, kid)?;
        self.store.apply(&[lifecycle::retire(key, &self.timing, now())?], &Guard::None).await?;
        self.read_back(key.id).await
    }

    async fn read_back(&self, id: KeyId) -> Result<Key, RegistryError> {
        let key = self.store.keys().await?.into_iter().find(|key| key.id == id);
        key.ok_or(RegistryError::Store(StoreError::Conflict(format!("the key with CKA_ID {id} is gone"))))
    }
}

impl Registry {
    /// A registry over this store and this HSM; nothing is read yet.
    pub fn new(store: Store, hsm: Arc<dyn KeyStore>, timing: Timing) -> Self {
        Self { ledger: Ledger::new(store.clone(), timing), store, hsm, snapshot: RwLock::default() }
    }

    /// Its rows.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What the HSM is doing and has done.
    pub fn hsm_stats(&self) -> StoreStats {
        self.hsm.stats()
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The delays it goes by.
    pub fn timing(&self) -> &Timing {
        &self.ledger.timing
    }

    /// Reads the store again and replaces the snapshot.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a JWK that core refuses; then the old snapshot stays.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, RegistryError> {
        let read_at = Instant::now();
        let snapshot = Arc::new(Snapshot { read_at: Some(read_at), ..Snapshot::of(self.store.keys().await?)? });
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        Ok(snapshot)
    }

    /// Generates a key inside the HSM and publishes it. The row is committed first, so that a crash leaves no key that
    /// nobody knows of.
    ///
    /// # Errors
    /// When the HSM cannot make such a key, or cannot prove that it is kept as asked.
    pub async fn generate(
        &self,
        profile: &str,
        algorithm: Algorithm,
        rsa_bits: u16,
        max_lifetime: u64,
    ) -> Result<Key, RegistryError> {
        let kind = KeyKind::of(algorithm, rsa_bits);
        if !self.hsm.supports(algorithm, kind) {
            return Err(HsmError::Unsupported(format!(
                "the HSM has no {algorithm} with {kind} keys; `edgeseal doctor` shows what it has"
            ))
            .into());
        }
        let keys = self.store.keys().await?;
        let published = keys.iter().filter(|key| key.state.in_jwk_set()).count();
        if published >= MAX_KEYS {
            return Err(RegistryError::TooManyKeys(published));
        }
        let id = KeyId::random().map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?;
        let rsa_bits = if let KeyKind::Rsa(bits) = kind { bits } else { 0 };
        let key =
            Key { profile: profile.to_owned(), rsa_bits, max_lifetime, ..Key::generating(id, Purpose::Token, algorithm, now()) };
        self.store.insert_key(&key, &Guard::None).await?;
        let outcome = match self.hsm.generate(id, kind, format!("edgeseal {profile} {algorithm}")).await {
            Ok(stored) => self.publish(&key, stored).await,
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(key) => Ok(key),
            // The HSM may still be at it: `tend` looks later what came of it.
            Err(error @ RegistryError::Hsm(HsmError::Deadline(_))) => Err(error),
            Err(error) => {
                self.abandon(&key, &error).await;
                Err(error)
            }
        }
    }

    /// What time brings about by itself: retires keys whose tokens have all expired, and settles rows that a crash left
    /// `generating`, by adopting the key if it is whole and sound, else by removing what there is of it.
    ///
    /// # Errors
    /// When the store cannot be read; single keys that do not work out are logged and tried again next time.
    pub async fn tend(&self) -> Result<(), RegistryError> {
        let moment = now();
        for key in self.store.keys().await? {
            let outcome = match key.state {
                State::Retiring => match lifecycle::retire(&key, self.timing(), moment) {
                    Ok(change) => self.store.apply(&[change], &Guard::None).await.map_err(RegistryError::from),
                    Err(_) => Ok(()),
                },
                State::Generating if Duration::from_millis(moment.millis_since(key.created_at)) >= ORPHANED_AFTER => {
                    self.settle(&key).await
                }
                _ => Ok(()),
            };
            if let Err(error) = outcome {
                tracing::warn!(key = %key.id, %error, "tending a key");
            }
        }
        Ok(())
    }

    /// Raises what the keys of a profile remember as the longest lifetime of their tokens.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn allow_lifetime(&self, profile: &str, seconds: u64) -> Result<(), RegistryError> {
        for key in self.store.keys().await? {
            if key.profile == profile
                && matches!(key.state, State::Generating | State::Published | State::Active)
                && key.max_lifetime < seconds
            {
                self.store.allow_lifetime(key.id, seconds).await?;
            }
        }
        Ok(())
    }

    /// Signs with a key, and does not check the signature: [`crate::issue::Issuer`] verifies the whole token.
    pub(crate) async fn sign_unverified(
        &self,
        id: KeyId,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RegistryError> {
        Ok(self.hsm.sign(id, algorithm, message.to_vec()).await?)
    }

    /// Proves that a key signs: over `edgeseal-canary:` and a nonce, never over anything that could be a token.
    ///
    /// # Errors
    /// The HSM's, or [`RegistryError::Unsound`] when the signature does not verify.
    pub async fn canary(&self, key: &ActiveKey) -> Result<Duration, RegistryError> {
        let [jwk] = key.alone.keys() else { return Err(RegistryError::Unsound("no single key".to_owned())) };
        let began = Instant::now();
        self.prove(key.id, jwk, key.algorithm).await?;
        Ok(began.elapsed())
    }

    /// A test signature that nobody looks at, to measure the HSM alone.
    ///
    /// # Errors
    /// The HSM's.
    pub async fn canary_unverified(&self, key: &ActiveKey) -> Result<(), RegistryError> {
        self.sign_unverified(key.id, key.algorithm, CANARY).await.map(drop)
    }

    async fn prove(&self, id: KeyId, jwk: &Jwk, algorithm: Algorithm) -> Result<(), RegistryError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?;
        let message = [CANARY, &nonce].concat();
        let signature = self.sign_unverified(id, algorithm, &message).await?;
        jwk.verify_signature(algorithm, &message, &signature)
            .map_err(|error| RegistryError::Unsound(format!("a test signature of key {id} does not verify ({error})")))
    }

    async fn publish(&self, key: &Key, stored: StoredKey) -> Result<Key, RegistryError> {
        if !stored.protection.is_complete() {
            return Err(RegistryError::Unsound(format!("the key is not kept as asked: {:?}", stored.protection)));
        }
        let kid = stored.public_key.thumbprint();
        let jwk = Jwk::new(stored.public_key, Some(key.algorithm), Some(kid.clone()))
            .map_err(|problem| RegistryError::Unsound(format!("the public key is refused: {}", problem.as_str())))?;
        self.prove(key.id, &jwk, key.algorithm).await?;
        let published = Published { kid, jwk: jwk.to_json() };
        self.store.publish(&lifecycle::publish(key, now())?, &published, Origin::Generated).await?;
        self.ledger.read_back(key.id).await
    }

    async fn settle(&self, key: &Key) -> Result<(), RegistryError> {
        let outcome = match self.hsm.inspect(key.id, key.kind()).await {
            Ok(Some(stored)) => self.publish(key, stored).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(Some(adopted)) => tracing::warn!(kid = adopted.kid(), "adopted a key whose generation was cut short"),
            Ok(None) => self.abandon(key, &HsmError::KeyMissing(key.id).into()).await,
            Err(error @ (RegistryError::Unsound(_) | RegistryError::Hsm(HsmError::Refused(_)))) => {
                self.abandon(key, &error).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Removes what there is of a key that did not come to be, and says so in the store.
    async fn abandon(&self, key: &Key, why: &RegistryError) {
        tracing::warn!(key = %key.id, %why, "a key was not generated");
        if let Err(error) = self.hsm.destroy(key.id).await {
            // The row stays `generating`, so that the next `tend` tries again.
            tracing::warn!(key = %key.id, %error, "what there is of it could not be removed yet");
            return;
        }
        let failed = match lifecycle::fail(key, now()) {
            Ok(change) => self.store.apply(&[change], &Guard::None).await,
            Err(_) => Ok(()),
        };
        if let Err(error) = failed {
            tracing::warn!(key = %key.id, %error, "its failure could not be recorded");
        }
    }
}

impl Snapshot {
    fn of(keys: Vec<Key>) -> Result<Self, RegistryError> {
        let mut shown: Vec<(&Key, Jwk)> = Vec::new();
        for key in keys.iter().filter(|key| key.state.in_jwk_set()) {
            let Some(published) = &key.published else { continue };
            let jwk = Jwk::from_json(&published.jwk)
                .map_err(|problem| StoreError::Corrupt(format!("the JWK of {}: {}", published.kid, problem.as_str())))?;
            shown.push((key, jwk));
        }
        shown.sort_by_key(|(key, _)| (family(key.algorithm), key.created_at));
        let mut algorithms: Vec<Algorithm> = shown.iter().map(|(key, _)| key.algorithm).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let active = shown
            .iter()
            .filter(|(key, _)| key.state == State::Active)
            .map(|(key, jwk)| {
                let kid = key.kid().unwrap_or_default().to_owned();
                let alone = JwkSet::from_keys([jwk.clone()]);
                (key.profile.clone(), Arc::new(ActiveKey { id: key.id, kid, algorithm: key.algorithm, alone }))
            })
            .collect();
        let jwks = JwkSet::from_keys(shown.into_iter().map(|(_, jwk)| jwk)).to_json();
        let etag = format!("\"{}\"", Base64UrlUnpadded::encode_string(&Sha256::digest(jwks.as_bytes())));
        Ok(Self { read_at: None, active, jwks, etag, algorithms, keys })
    }

    /// Whether it is older than the lease allows signing with.
    pub fn is_expired(&self, lease: Duration) -> bool {
        self.read_at.is_none_or(|at| at.elapsed() > lease)
    }

    /// When it was read at the latest, for people.
    pub fn age(&self) -> Option<Duration> {
        self.read_at.map(|at| at.elapsed())
    }
}

/// The key with this `kid`, or with a `kid` that begins so.
fn find<'keys>(keys: &'keys [Key], kid: &str) -> Result<&'keys Key, Refusal> {
    if let Some(key) = keys.iter().find(|key| key.kid() == Some(kid)) {
        return Ok(key);
    }
    let mut beginning = keys.iter().filter(|key| !kid.is_empty() && key.kid().is_some_and(|other| other.starts_with(kid)));
    match (beginning.next(), beginning.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Refusal::Ambiguous(kid.to_owned())),
        (None, _) => Err(Refusal::Unknown(kid.to_owned())),
    }
}

fn family(algorithm: Algorithm) -> u8 {
    match algorithm.scheme() {
        Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => 0,
        Scheme::Ecdsa(..) => 1,
        Scheme::Ed25519 => 2,
    }
}

/// When a key's present state ends by itself, if it does.
pub fn until(key: &Key, timing: &Timing) -> Option<Timestamp> {
    match key.state {
        State::Retiring => key.demoted_at.map(|at| timing.earliest_retirement(at, key.max_lifetime)),
        _ => None,
    }
}
