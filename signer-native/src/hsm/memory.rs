//! A [`KeyStore`] in memory, for tests of what stands above it: P-256 alone, one fault at a time.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use edgeseal_core::{
    Algorithm, PublicKey,
    algorithm::{Curve, Scheme},
};

use super::{
    HsmAttribute, HsmError, KeyFuture, KeyId, KeyKind, KeyStore, PrivateKey, Protection, StoreDescription, StoreStats, StoredKey,
};

/// What happens while a call is under way.
type Meanwhile = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The store.
#[derive(Default)]
pub(crate) struct MemoryKeyStore {
    held: Mutex<Held>,
    /// While a pair is made.
    meanwhile: OnceLock<Meanwhile>,
    while_signing: OnceLock<Meanwhile>,
}

#[derive(Default)]
struct Held {
    pairs: BTreeMap<KeyId, Arc<EcdsaKeyPair>>,
    /// What whoever looks at any pair is told.
    fault: Option<HsmError>,
    /// What whoever wants one made is told.
    makes_none: Option<HsmError>,
    /// What whoever has one made is told, and none is there yet.
    fails: Option<HsmError>,
    /// What whoever has one destroyed is told.
    keeps: Option<HsmError>,
}

impl MemoryKeyStore {
    /// A pair that is nowhere yet.
    pub(crate) fn pair() -> Arc<EcdsaKeyPair> {
        Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn put(&self, id: KeyId, pair: &Arc<EcdsaKeyPair>) {
        self.held().pairs.insert(id, Arc::clone(pair));
    }

    pub(crate) fn holds(&self, id: KeyId) -> bool {
        self.held().pairs.contains_key(&id)
    }

    pub(crate) fn show(&self, fault: Option<HsmError>) {
        self.held().fault = fault;
    }

    pub(crate) fn makes_none(&self, why: HsmError) {
        self.held().makes_none = Some(why);
    }

    pub(crate) fn fails(&self, why: HsmError) {
        self.held().fails = Some(why);
    }

    pub(crate) fn keeps(&self, why: Option<HsmError>) {
        self.held().keeps = why;
    }

    pub(crate) fn works(&self) {
        let mut held = self.held();
        (held.makes_none, held.fails) = (None, None);
    }

    /// From now on this happens while a pair is made. Set once.
    pub(crate) fn meanwhile<F: Future<Output = ()> + Send + 'static>(&self, act: impl Fn() -> F + Send + Sync + 'static) {
        assert!(self.meanwhile.set(Box::new(move || Box::pin(act()))).is_ok());
    }

    /// From now on this happens while something is signed. Set once.
    pub(crate) fn while_signing<F: Future<Output = ()> + Send + 'static>(&self, act: impl Fn() -> F + Send + Sync + 'static) {
        assert!(self.while_signing.set(Box::new(move || Box::pin(act()))).is_ok());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: KeyId) -> Result<Arc<EcdsaKeyPair>, HsmError> {
        self.held().pairs.get(&id).cloned().ok_or(HsmError::KeyMissing(id))
    }
}

fn stored(pair: &EcdsaKeyPair) -> StoredKey {
    StoredKey {
        public_key: PublicKey::ec_from_sec1(Curve::P256, pair.public_key().as_ref()).unwrap(),
        protection: Protection { always_sensitive: true, never_extractable: true, local: true, value_refused: true },
    }
}

impl KeyStore for MemoryKeyStore {
    fn description(&self) -> StoreDescription {
        StoreDescription::default()
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    fn supports(&self, algorithm: Algorithm, _kind: KeyKind) -> bool {
        matches!(algorithm.scheme(), Scheme::Ecdsa(Curve::P256, _))
    }

    fn may_generate(&self) -> Result<(), HsmError> {
        self.held().makes_none.clone().map_or(Ok(()), Err)
    }

    fn generate(&self, id: KeyId, _kind: KeyKind, _label: String) -> KeyFuture<'_, StoredKey> {
        Box::pin(async move {
            if let Some(meanwhile) = self.meanwhile.get() {
                meanwhile().await;
            }
            if let Some(fails) = self.held().fails.clone() {
                return Err(fails);
            }
            let pair = Self::pair();
            self.put(id, &pair);
            Ok(stored(&pair))
        })
    }

    fn inspect(&self, id: KeyId, _kind: KeyKind) -> KeyFuture<'_, Option<StoredKey>> {
        Box::pin(async move {
            if let Some(fault) = self.held().fault.clone() {
                return Err(fault);
            }
            Ok(self.find(id).ok().map(|pair| stored(&pair)))
        })
    }

    fn attributes(&self, _id: KeyId) -> KeyFuture<'_, Vec<HsmAttribute>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn import(&self, _id: KeyId, _key: PrivateKey, _label: String) -> KeyFuture<'_, StoredKey> {
        Box::pin(async { Err(HsmError::Unsupported("imports".to_owned())) })
    }

    fn sign(&self, id: KeyId, _algorithm: Algorithm, message: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        Box::pin(async move {
            if let Some(while_signing) = self.while_signing.get() {
                while_signing().await;
            }
            Ok(self.find(id)?.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec())
        })
    }

    fn sign_digest(&self, _id: KeyId, _algorithm: Algorithm, _digest: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        Box::pin(async { Err(HsmError::Unsupported("digests".to_owned())) })
    }

    fn destroy(&self, id: KeyId) -> KeyFuture<'_, ()> {
        Box::pin(async move {
            let mut held = self.held();
            if let Some(keeps) = held.keeps.clone() {
                return Err(keeps);
            }
            held.pairs.remove(&id);
            Ok(())
        })
    }
}
