//! ES256 by per-key tables (`edgeseal-p256`), for keys that have proved worth one.
//!
//! The arithmetic is a crate of its own; here are keys, tokens' inputs and the hash.

mod hot_keys;

use alloc::sync::Arc;

use edgeseal_p256::{Table, TableBuilder};
use sha2::{Digest as _, Sha256};

pub use self::hot_keys::HotKeys;

/// The table of the generator, shared by all keys.
#[derive(Clone, Debug)]
pub struct GeneratorTable(Arc<Table>);

/// A P-256 key with its table.
#[derive(Clone, Debug)]
pub struct PreparedKey {
    generator: GeneratorTable,
    key: Table,
}

impl GeneratorTable {
    /// Computes the table: about a millisecond. [`HotKeys`] does it in small steps instead.
    #[expect(clippy::new_without_default, reason = "a default that takes milliseconds would hide its cost")]
    pub fn new() -> Self {
        Self(Arc::new(TableBuilder::of_generator().finish()))
    }
}

impl PreparedKey {
    /// Octets of memory of one key, beside the generator's table of the same size.
    pub const BYTES: usize = Table::BYTES;

    /// Computes the key's table: about a millisecond. `sec1` is `0x04 || x || y` of a point on the curve, as
    /// [`crate::jwk::KeyMaterial::Ec`] holds it; `None` for another length.
    pub fn new(generator: &GeneratorTable, sec1: &[u8]) -> Option<Self> {
        Some(Self { generator: generator.clone(), key: builder(sec1)?.finish() })
    }

    /// Whether `signature` (`r || s`) is the key's over `message`, hashed with SHA-256.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify_prehash(&Sha256::digest(message).into(), signature)
    }

    /// Whether `signature` (`r || s`) is the key's over the message with this SHA-256 digest.
    pub fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        let Ok(signature) = signature.try_into() else { return false };
        edgeseal_p256::verify(&self.generator.0, &self.key, digest, signature)
    }
}

fn builder(sec1: &[u8]) -> Option<TableBuilder> {
    let [x, y] = sec1.get(1..)?.as_chunks::<32>().0 else { return None };
    (sec1.len() == 65).then(|| TableBuilder::new(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_input_is_invalid() {
        let generator = GeneratorTable::new();
        let key = *p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap().verifying_key();
        let key = PreparedKey::new(&generator, key.to_encoded_point(false).as_bytes()).unwrap();
        for length in [0, 1, 63, 65, 96, 128] {
            assert!(!key.verify(b"message", &alloc::vec![1; length]));
        }
        for length in [0, 1, 64, 66, 97] {
            assert!(PreparedKey::new(&generator, &alloc::vec![4; length]).is_none());
        }
    }
}
