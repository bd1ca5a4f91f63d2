//! Who does the arithmetic. All decisions are made around it: a backend only says whether a signature is valid.

use alloc::{sync::Arc, vec::Vec};

use crate::{algorithm::Algorithm, error::VerifyError, jwk::Jwk, signature};

pub mod p256;
pub mod rsa_verify;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;

/// A signature to verify: the key passed its checks, the algorithm is the key's, the signature has the right length and range.
#[derive(Clone, Debug)]
pub struct SignatureInput {
    algorithm: Algorithm,
    key: Arc<Jwk>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

impl SignatureInput {
    /// A signature over any message, for callers below the level of tokens.
    ///
    /// # Errors
    /// `key_mismatch` when the key is not one of the algorithm; `signature_invalid` when the signature's length or range is wrong.
    pub fn new(algorithm: Algorithm, key: Arc<Jwk>, message: Vec<u8>, signature: Vec<u8>) -> Result<Self, VerifyError> {
        if !key.verifies(algorithm) {
            let detail = alloc::format!("the key is not a key of {algorithm}");
            return Err(VerifyError::new(crate::ErrorCode::KeyMismatch, crate::Check::Key, detail));
        }
        if !signature::is_well_formed(algorithm.scheme(), key.public_key(), &signature) {
            return Err(VerifyError::signature_invalid());
        }
        Ok(Self { algorithm, key, message, signature })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key.
    pub fn key(&self) -> &Jwk {
        &self.key
    }

    /// The signed octets: for a token its JWS Signing Input (RFC 7515 section 2), not hashed.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The signature as JWA writes it.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    pub(crate) fn into_key(self) -> Arc<Jwk> {
        self.key
    }
}

/// Verifies signatures. An implementation is trusted with nothing but the arithmetic.
pub trait SignatureBackend {
    /// Its name in reports: `rustcrypto`, `p256-tables`, `rsa-montgomery`, `webcrypto`, `aws-lc-rs`.
    fn name(&self) -> &'static str;

    /// Whether the signature is valid.
    ///
    /// # Errors
    /// [`SignatureInvalid`], without a reason.
    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid>;
}

/// A backend's word that a signature is valid. Only [`SignatureValid::assertion`] makes one: search for that name to find all
/// who may say so.
#[derive(Debug)]
pub struct SignatureValid(());

impl SignatureValid {
    /// The signature was verified, by the caller, with the input's own key, message and algorithm.
    #[must_use]
    pub fn assertion() -> Self {
        Self(())
    }
}

/// A backend's word that a signature is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureInvalid;

impl core::fmt::Display for SignatureInvalid {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("the signature does not verify")
    }
}

impl core::error::Error for SignatureInvalid {}
