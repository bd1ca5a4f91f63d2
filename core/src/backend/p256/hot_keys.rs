//! Which keys have proved worth a table, within a budget of memory.

use alloc::{sync::Arc, vec::Vec};

use super::{GeneratorTable, PreparedKey};
use crate::{
    algorithm::Algorithm,
    backend::{SignatureBackend, SignatureInput, SignatureInvalid, SignatureValid},
    jwk::{KeyMaterial, PublicKey},
};

/// P-256 keys with a table, the least recently used first. The host owns it, as it owns a [`crate::JwksCache`]: one for all
/// issuers, behind a lock where threads share it.
///
/// A key becomes hot by signatures that verified, so tokens that were made up heat nothing. Whether a key may still verify at all
/// is not decided here: the key set decides that before a signature is looked at.
#[derive(Clone, Debug)]
pub struct HotKeys {
    generator: Option<GeneratorTable>,
    /// Keys with a table, and how many may have one.
    prepared: Vec<(PublicKey, Arc<PreparedKey>)>,
    capacity: usize,
    /// Keys without a table, with their valid signatures so far.
    warming: Vec<(PublicKey, u32)>,
    threshold: u32,
}

/// Keys that are counted on their way to a table; a set of the largest size fits.
const MAX_WARMING: usize = crate::jwk_set::MAX_JWKS_KEYS;

impl HotKeys {
    /// Room for tables of `budget` octets together, the generator's included; a key gets its table with its `threshold`th valid
    /// signature. A budget below two tables ([`PreparedKey::BYTES`] each) keeps none.
    pub fn new(budget: usize, threshold: u32) -> Self {
        let capacity = (budget / PreparedKey::BYTES).saturating_sub(1);
        Self { generator: None, prepared: Vec::new(), capacity, warming: Vec::new(), threshold }
    }

    /// The table of a key, if it is hot.
    pub fn get(&mut self, key: &PublicKey) -> Option<Arc<PreparedKey>> {
        let position = self.prepared.iter().position(|(hot, _)| hot == key)?;
        // The last place is that of the most recently used.
        self.prepared[position..].rotate_left(1);
        self.prepared.last().map(|(_, prepared)| Arc::clone(prepared))
    }

    /// Counts a valid signature of a key without a table; makes the table (about a millisecond) when the key has become hot.
    pub fn count_valid(&mut self, key: &PublicKey) {
        let KeyMaterial::Ec { curve: crate::algorithm::Curve::P256, sec1 } = key.material() else { return };
        if self.capacity == 0 || self.prepared.iter().any(|(hot, _)| hot == key) {
            return;
        }
        let position = self.warming.iter().position(|(warming, _)| warming == key).unwrap_or_else(|| {
            if self.warming.len() == MAX_WARMING {
                self.warming.remove(0);
            }
            self.warming.push((key.clone(), 0));
            self.warming.len() - 1
        });
        let count = &mut self.warming[position].1;
        *count += 1;
        if *count < self.threshold {
            return;
        }
        self.warming.remove(position);
        let generator = self.generator.get_or_insert_with(GeneratorTable::new);
        let Some(prepared) = PreparedKey::new(generator, sec1) else { return };
        if self.prepared.len() == self.capacity {
            self.prepared.remove(0);
        }
        self.prepared.push((key.clone(), Arc::new(prepared)));
    }

    /// Octets that the tables take now.
    pub fn bytes(&self) -> usize {
        (self.prepared.len() + usize::from(self.generator.is_some())) * PreparedKey::BYTES
    }

    /// Keys that have a table now.
    pub fn len(&self) -> usize {
        self.prepared.len()
    }

    /// Whether no key has a table.
    pub fn is_empty(&self) -> bool {
        self.prepared.is_empty()
    }

    /// Verifies with the key's table if it has one, else with `otherwise`, and counts.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(
        &mut self,
        input: &SignatureInput,
        otherwise: &impl SignatureBackend,
    ) -> Result<SignatureValid, SignatureInvalid> {
        let key = input.key().public_key();
        if input.algorithm() == Algorithm::Es256
            && let Some(prepared) = self.get(key)
        {
            return prepared.verify_input(input);
        }
        let valid = otherwise.verify(input)?;
        self.count_valid(key);
        Ok(valid)
    }
}

impl PreparedKey {
    /// Whether the input's signature is valid; the caller got this table for the input's own key.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify_input(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        if self.verify(input.message(), input.signature()) { Ok(SignatureValid::assertion()) } else { Err(SignatureInvalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Jwk, algorithm::Curve, backend::rustcrypto::RustCrypto};
    use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};

    fn input(secret: u8, message: &[u8], valid: bool) -> SignatureInput {
        let signer = SigningKey::from_slice(&[secret; 32]).unwrap();
        let key = PublicKey::ec_from_sec1(Curve::P256, signer.verifying_key().to_encoded_point(false).as_bytes()).unwrap();
        let signature: Signature = signer.sign(if valid { message } else { b"another message" });
        let key = Arc::new(Jwk::new(key, None, None).unwrap());
        SignatureInput::new(Algorithm::Es256, key, message.into(), signature.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn keys_become_hot_by_valid_signatures_alone() {
        let mut hot = HotKeys::new(10 * PreparedKey::BYTES, 3);
        for _ in 0..10 {
            hot.verify(&input(1, b"message", false), &RustCrypto).unwrap_err();
        }
        for expected in [0, 0, 1, 1] {
            hot.verify(&input(1, b"message", true), &RustCrypto).unwrap();
            assert_eq!(hot.len(), expected);
        }
        hot.verify(&input(1, b"message", false), &RustCrypto).unwrap_err();
        hot.verify(&input(2, b"message", true), &RustCrypto).unwrap();
        assert_eq!(hot.bytes(), 2 * PreparedKey::BYTES);
    }

    #[test]
    fn the_budget_holds_and_the_least_recently_used_goes() {
        let mut hot = HotKeys::new(3 * PreparedKey::BYTES, 1);
        for secret in [1, 2, 1, 3] {
            hot.verify(&input(secret, b"message", true), &RustCrypto).unwrap();
            assert!(hot.bytes() <= 3 * PreparedKey::BYTES);
        }
        let is_hot = |hot: &mut HotKeys, secret| hot.get(input(secret, b"m", true).key().public_key()).is_some();
        assert!(is_hot(&mut hot, 1) && !is_hot(&mut hot, 2) && is_hot(&mut hot, 3));
        let mut none = HotKeys::new(2 * PreparedKey::BYTES - 1, 1);
        none.verify(&input(1, b"message", true), &RustCrypto).unwrap();
        assert!(none.is_empty() && none.bytes() == 0);
    }
}
