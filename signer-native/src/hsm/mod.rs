//! Where private keys live: the [`KeyStore`] trait, and PKCS#11 behind it.
//!
//! Nothing outside this folder knows `cryptoki`. A key is named by its `CKA_ID` ([`KeyId`]), chosen by the signer before
//! the module is asked, so that a crash between the two leaves nothing that cannot be found again.

mod attributes;
mod breaker;
mod child;
mod handles;
mod material;
mod mechanism;
#[cfg(test)]
pub(crate) mod memory;
mod pkcs11;
mod pool;
mod processes;
mod provision;
mod seat;
mod stats;
mod wire;
mod worker;

use std::{fmt, future::Future, time::Duration};

use edgeseal_core::{
    Algorithm, PublicKey,
    algorithm::{Curve, Scheme},
};
use serde::{Deserialize, Serialize};

pub use self::{
    attributes::HsmAttribute,
    breaker::BreakerState,
    child::serve_worker,
    material::PrivateKey,
    pkcs11::{Pin, Pkcs11Settings, TokenSelector},
    processes::{ProcessKeyStore, WORKER_SUBCOMMAND},
    provision::provision_soft_token,
    stats::{Retries, StoreStats},
    worker::Pkcs11KeyStore,
};

/// The longest that [`KeyStore::generate`] takes to answer: it may wait for its turn as long as the making of a pair may take.
pub const LONGEST_GENERATION: Duration = worker::GENERATION.saturating_mul(2);

/// The answer of a [`KeyStore`], later.
pub type KeyFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, HsmError>> + Send + 'a>>;

/// A place that generates keys, signs with them, and never gives them out.
///
/// # Adding another backend
///
/// Implement this trait beside [`Pkcs11KeyStore`] and choose between them where the configuration is read. The rest of
/// the signer asks for nothing else, and relies on these promises:
///
/// - [`generate`](KeyStore::generate) makes the key under exactly the [`KeyId`] it is given, inside the store, not
///   extractable, and fails (leaving nothing behind) where it cannot prove that. A cloud KMS that names keys itself
///   keeps the `KeyId` as a tag or alias, so that [`inspect`](KeyStore::inspect) finds it after a crash.
/// - [`sign`](KeyStore::sign) gives the signature in the JOSE form (`r || s` for ECDSA, RFC 7518 section 3.4) over the
///   whole message; hashing is the store's business. It retries what may be retried by itself and answers before its own
///   deadline. The caller verifies every signature, so a store need not.
/// - Exactly one key or none: two keys under one `KeyId` are [`HsmError::KeyAmbiguous`], never a guess.
/// - A wrong credential is presented once in the life of the process and never again: tokens lock.
pub trait KeyStore: Send + Sync + 'static {
    /// What the store is, for people.
    fn description(&self) -> StoreDescription;

    /// What it is doing and has done, for metrics. Never blocks on the HSM.
    fn stats(&self) -> StoreStats;

    /// Whether keys of this kind can be generated here and sign with this algorithm.
    fn supports(&self, algorithm: Algorithm, kind: KeyKind) -> bool;

    /// Whether key pairs can be made now, or why not: not while the making of one hangs, nor while calls are held back. Never
    /// blocks on the HSM.
    ///
    /// # Errors
    /// What the making of a pair would be refused with.
    fn may_generate(&self) -> Result<(), HsmError>;

    /// Generates a key under `id`. `label` is for people who look at the token with other tools.
    fn generate(&self, id: KeyId, kind: KeyKind, label: String) -> KeyFuture<'_, StoredKey>;

    /// What stands under `id`; `None` when there is nothing.
    fn inspect(&self, id: KeyId, kind: KeyKind) -> KeyFuture<'_, Option<StoredKey>>;

    /// What stands under `id`, attribute by attribute, for people; empty when there is nothing.
    fn attributes(&self, id: KeyId) -> KeyFuture<'_, Vec<HsmAttribute>>;

    /// Takes a private key in that was made elsewhere, as one that never leaves again; fails, leaving nothing behind, where it
    /// would.
    fn import(&self, id: KeyId, key: PrivateKey, label: String) -> KeyFuture<'_, StoredKey>;

    /// The signature of the key `id` over `message`.
    fn sign(&self, id: KeyId, algorithm: Algorithm, message: Vec<u8>) -> KeyFuture<'_, Vec<u8>>;

    /// The signature of the key `id` over a message of which only the digest is known: ECDSA and RSA algorithms alone, and
    /// a digest of exactly the length of the algorithm's hash. What is signed cannot be seen, so this is for keys that are
    /// published for nothing else.
    fn sign_digest(&self, id: KeyId, algorithm: Algorithm, digest: Vec<u8>) -> KeyFuture<'_, Vec<u8>>;

    /// Destroys everything under `id` and proves that it is gone.
    fn destroy(&self, id: KeyId) -> KeyFuture<'_, ()>;
}

/// The name of a key inside its store: `CKA_ID`, 16 random octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// A fresh random name.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets)?;
        Ok(Self(octets))
    }

    /// The octets of `CKA_ID`.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }

    /// The name from its hexadecimal form.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let mut octets = [0; 16];
        for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *octet = u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(octets))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(formatter, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What kind of key to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// ECDSA on this curve.
    Ec(Curve),
    /// RSA with a modulus of this many bits: 2048, 3072 or 4096.
    Rsa(u16),
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// The kind of key that `algorithm` signs with; `rsa_bits` matters for RSA only.
    pub fn of(algorithm: Algorithm, rsa_bits: u16) -> Self {
        match algorithm.scheme() {
            Scheme::Ecdsa(curve, _) => Self::Ec(curve),
            Scheme::RsaPkcs1(_) | Scheme::RsaPss(_) => Self::Rsa(rsa_bits),
            Scheme::Ed25519 => Self::Ed25519,
        }
    }

    /// The kind of an RSA key with this modulus, big-endian without leading zero octets.
    pub fn of_modulus(modulus: &[u8]) -> Self {
        let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        Self::Rsa(u16::try_from(modulus.len() * 8 - unused).unwrap_or(u16::MAX))
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ec(curve) => formatter.write_str(curve.name()),
            Self::Rsa(bits) => write!(formatter, "RSA {bits}"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
        }
    }
}

/// A key pair as its store describes it.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The public half.
    pub public_key: PublicKey,
    /// What the store asserts about the private half.
    pub protection: Protection,
}

/// What was asserted about a private key, not merely asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one PKCS#11 attribute or one probe")]
pub struct Protection {
    /// `CKA_SENSITIVE` and `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: bool,
    /// Not `CKA_EXTRACTABLE`, and `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: bool,
    /// `CKA_LOCAL`, where the module tells.
    pub local: bool,
    /// The module refused to give the private value (`CKA_VALUE`, `CKA_PRIVATE_EXPONENT`) when asked.
    pub value_refused: bool,
}

impl Protection {
    /// Whether the key may be called generated inside and never extractable.
    pub fn is_complete(self) -> bool {
        let Self { always_sensitive, never_extractable, local, value_refused } = self;
        always_sensitive && never_extractable && local && value_refused
    }
}

/// What a store is, for people.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoreDescription {
    /// Where it was loaded from.
    pub module: String,
    /// Its maker's name and version.
    pub library: String,
    /// The token's label.
    pub token: String,
    /// The token's slot.
    pub slot: u64,
    /// Slots that hold a token.
    pub slots: usize,
    /// Worker processes; 0 has the module in this process.
    pub processes: usize,
    /// Signing threads of all processes together, one session each.
    pub threads: usize,
    /// Sessions that the token allows; `None` is no limit.
    pub max_sessions: Option<u64>,
}

/// Why a store did not answer with what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HsmError {
    /// The module, the slot or the token cannot be used now. The sentence says why; `setting` and `mend` what to do.
    Unavailable(String),
    /// The configuration cannot work: a module that is no module, a slot that is not there. Never mends by waiting.
    Misconfigured(String),
    /// The token refused the PIN. It is not presented again by this process.
    PinRefused(String),
    /// All threads are at work and the queue is full, or the making of another key pair hangs; nothing was begun.
    Busy,
    /// The call did not return before its deadline.
    Deadline(Duration),
    /// No key has this name.
    KeyMissing(KeyId),
    /// More than one key has this name, so none is used.
    KeyAmbiguous(KeyId, usize),
    /// The store cannot do this with such a key.
    Unsupported(String),
    /// The store refused this one request.
    Refused(String),
}

impl fmt::Display for HsmError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason)
            | Self::Misconfigured(reason)
            | Self::PinRefused(reason)
            | Self::Unsupported(reason)
            | Self::Refused(reason) => formatter.write_str(reason),
            Self::Busy => formatter.write_str("the HSM has too much to do now, or the making of a key pair hangs in it"),
            Self::Deadline(limit) => write!(formatter, "the HSM did not answer within {} ms", limit.as_millis()),
            Self::KeyMissing(id) => write!(formatter, "the token holds no key with CKA_ID {id}"),
            Self::KeyAmbiguous(id, count) => {
                write!(formatter, "the token holds {count} keys with CKA_ID {id}; exactly one is needed")
            }
        }
    }
}

impl std::error::Error for HsmError {}

impl HsmError {
    /// Whether the store as a whole cannot be used, as opposed to this one request.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Misconfigured(_) | Self::PinRefused(_) | Self::Deadline(_) => true,
            Self::Busy | Self::KeyMissing(_) | Self::KeyAmbiguous(..) | Self::Unsupported(_) | Self::Refused(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_id_is_hexadecimal() {
        let id = KeyId([0xab; 16]);
        assert_eq!(KeyId::from_hex(&id.to_string()), Some(id));
        for text in [
            "",
            "ab",
            "zz000000000000000000000000000000",
            "é0000000000000000000000000000000",
            "+10000000000000000000000000000000",
        ] {
            assert!(KeyId::from_hex(text).is_none_or(|id| id.to_string() == text), "{text}");
        }
    }

    #[test]
    fn protection_needs_every_part() {
        let whole = Protection { always_sensitive: true, never_extractable: true, local: true, value_refused: true };
        assert!(whole.is_complete());
        assert!(!Protection { value_refused: false, ..whole }.is_complete());
        assert!(!Protection { local: false, ..whole }.is_complete());
    }
}
