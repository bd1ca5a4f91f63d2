//! Which keys have proved worth a table, within a budget of memory.

use alloc::{sync::Arc, vec::Vec};
use core::ops::ControlFlow;

use edgeseal_p256::TableBuilder;

use super::{GeneratorTable, PreparedKey, builder};
use crate::{
    algorithm::Algorithm,
    backend::{SignatureBackend, SignatureInput, SignatureInvalid, SignatureValid},
    jwk::{KeyMaterial, PublicKey},
};

/// P-256 keys with a table. The host owns it, as it owns a [`crate::JwksCache`]: one for all
/// issuers, behind a lock where threads share it.
///
/// A key becomes hot by signatures that verified, so tokens that were made up heat nothing. From then on each further one makes a
/// quarter of the generator's table, then of the key's (some 0.3 ms natively): no request pays for whole tables. Where all places are
/// taken it waits for one whose key has not been used for some thousands of signatures: of more hot keys than there is room for, some
/// keep their tables, and none is made over and over.
/// Whether a key may still verify at all is not decided here: the key set decides that before a signature is looked at.
#[derive(Clone, Debug)]
pub struct HotKeys {
    generator: Generator,
    /// Keys with a table, and how many may have one.
    prepared: Vec<Used<Arc<PreparedKey>>>,
    capacity: usize,
    /// Keys whose tables are in the making; each takes the place that its table will have.
    building: Vec<Used<TableBuilder>>,
    /// Keys without a table, with their valid signatures so far.
    warming: Vec<(PublicKey, u32)>,
    threshold: u32,
    /// Signatures so far: by them disuse is measured.
    now: u64,
}

/// What a key has, and when it was of use last.
#[derive(Clone, Debug)]
struct Used<T> {
    key: PublicKey,
    value: T,
    at: u64,
}

#[derive(Clone, Debug)]
enum Generator {
    Absent,
    Building(TableBuilder),
    Ready(GeneratorTable),
}

/// Keys that are counted on their way to a table; a set of the largest size fits.
const MAX_WARMING: usize = crate::jwk_set::MAX_JWKS_KEYS;
/// Signatures of other keys after which a key without any of its own gives up its table, or the one that is in the making.
const DISUSE: u64 = 4_096;

impl HotKeys {
    /// Room for tables of `budget` octets together, the generator's included; a key's table is begun with its `threshold`th valid
    /// signature. A budget below two tables ([`PreparedKey::BYTES`] each) keeps none.
    pub fn new(budget: usize, threshold: u32) -> Self {
        let capacity = (budget / PreparedKey::BYTES).saturating_sub(1);
        let (prepared, building, warming) = (Vec::new(), Vec::new(), Vec::new());
        Self { generator: Generator::Absent, prepared, capacity, building, warming, threshold, now: 0 }
    }

    /// The table of a key, if it is hot.
    pub fn get(&mut self, key: &PublicKey) -> Option<Arc<PreparedKey>> {
        self.now += 1;
        let hot = self.prepared.iter_mut().find(|hot| hot.key == *key)?;
        hot.at = self.now;
        Some(Arc::clone(&hot.value))
    }

    /// The table of a P-256 key, made at once where it has none: some milliseconds, for hosts without another backend. `None` for
    /// other keys, and where the budget is below two tables.
    pub fn get_or_make(&mut self, key: &PublicKey) -> Option<Arc<PreparedKey>> {
        if let Some(prepared) = self.get(key) {
            return Some(prepared);
        }
        let KeyMaterial::Ec { curve: crate::algorithm::Curve::P256, sec1 } = key.material() else { return None };
        if self.capacity == 0 {
            return None;
        }
        let generator = match core::mem::replace(&mut self.generator, Generator::Absent) {
            Generator::Ready(generator) => generator,
            Generator::Building(_) | Generator::Absent => GeneratorTable::new(),
        };
        self.generator = Generator::Ready(generator.clone());
        let prepared = Arc::new(PreparedKey::new(&generator, sec1)?);
        self.building.retain(|building| building.key != *key);
        self.make_room(0);
        self.prepared.push(self.used(key, Arc::clone(&prepared)));
        Some(prepared)
    }

    /// Counts a valid signature of a key without a table; makes a quarter of a table when the key is hot.
    pub fn count_valid(&mut self, key: &PublicKey) {
        let KeyMaterial::Ec { curve: crate::algorithm::Curve::P256, sec1 } = key.material() else { return };
        if self.capacity == 0 || self.prepared.iter().any(|hot| hot.key == *key) {
            return;
        }
        let count = self.count(key);
        if count >= self.threshold {
            self.prepare(key, sec1);
        }
    }

    /// Makes a quarter of a table.
    #[inline(never)]
    fn prepare(&mut self, key: &PublicKey, sec1: &[u8]) {
        let generator = match core::mem::replace(&mut self.generator, Generator::Absent) {
            Generator::Absent => return self.advance_generator(TableBuilder::of_generator()),
            Generator::Building(builder) => return self.advance_generator(builder),
            Generator::Ready(generator) => generator,
        };
        self.generator = Generator::Ready(generator.clone());
        let begun = self.building.iter().position(|building| building.key == *key);
        let begun = begun.map(|position| self.building.swap_remove(position).value);
        if begun.is_none() && !self.make_room(DISUSE) {
            return;
        }
        let Some(builder) = begun.or_else(|| builder(sec1)) else { return };
        match builder.advance() {
            ControlFlow::Continue(builder) => self.building.push(self.used(key, builder)),
            ControlFlow::Break(table) => {
                self.warming.retain(|(warming, _)| warming != key);
                self.prepared.push(self.used(key, Arc::new(PreparedKey { generator, key: table })));
            }
        }
    }

    /// Whether there is room for one more table: made if need be of what its key has not used for that many signatures, tables in the
    /// making first.
    fn make_room(&mut self, disuse: u64) -> bool {
        fn oldest<T>(all: &[Used<T>], until: u64) -> Option<usize> {
            let (position, oldest) = all.iter().enumerate().min_by_key(|(_, one)| one.at)?;
            (oldest.at <= until).then_some(position)
        }
        if self.prepared.len() + self.building.len() < self.capacity {
            return true;
        }
        let until = self.now.saturating_sub(disuse);
        if let Some(position) = oldest(&self.building, until) {
            self.building.swap_remove(position);
        } else if let Some(position) = oldest(&self.prepared, until) {
            self.prepared.swap_remove(position);
        } else {
            return false;
        }
        true
    }

    fn used<T>(&self, key: &PublicKey, value: T) -> Used<T> {
        Used { key: key.clone(), value, at: self.now }
    }

    fn advance_generator(&mut self, builder: TableBuilder) {
        self.generator = match builder.advance() {
            ControlFlow::Continue(builder) => Generator::Building(builder),
            ControlFlow::Break(table) => Generator::Ready(GeneratorTable(Arc::new(table))),
        };
    }

    fn count(&mut self, key: &PublicKey) -> u32 {
        let position = self.warming.iter().position(|(warming, _)| warming == key).unwrap_or_else(|| {
            if self.warming.len() == MAX_WARMING {
                self.warming.remove(0);
            }
            self.warming.push((key.clone(), 0));
            self.warming.len() - 1
        });
        let count = &mut self.warming[position].1;
        *count = count.saturating_add(1);
        *count
    }

    /// Octets that the tables take now, those in the making counted whole.
    pub fn bytes(&self) -> usize {
        let generator = usize::from(!matches!(self.generator, Generator::Absent));
        (self.prepared.len() + self.building.len() + generator) * PreparedKey::BYTES
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

    /// Valid signatures from the first of a key to its table, with no table of the generator yet and with one.
    const FIRST: usize = 2 * TableBuilder::STEPS;
    const FURTHER: usize = TableBuilder::STEPS;

    fn is_hot(hot: &mut HotKeys, secret: u8) -> bool {
        hot.get(input(secret, b"m", true).key().public_key()).is_some()
    }

    fn heat(hot: &mut HotKeys, secret: u8, times: usize) {
        let input = input(secret, b"message", true);
        for _ in 0..times {
            hot.verify(&input, &RustCrypto).unwrap();
            assert!(hot.bytes() <= (hot.capacity + 1) * PreparedKey::BYTES);
        }
    }

    /// Signatures of a key that nobody counts.
    fn pass(hot: &mut HotKeys, times: u64) {
        let other = input(9, b"m", true);
        for _ in 0..times {
            assert!(hot.get(other.key().public_key()).is_none());
        }
    }

    #[test]
    fn keys_become_hot_by_valid_signatures_alone() {
        let mut hot = HotKeys::new(10 * PreparedKey::BYTES, 3);
        let forged = input(1, b"message", false);
        for _ in 0..10 {
            hot.verify(&forged, &RustCrypto).unwrap_err();
        }
        heat(&mut hot, 1, 2);
        assert_eq!(hot.bytes(), 0);
        heat(&mut hot, 1, FIRST - 1);
        assert!(hot.is_empty());
        heat(&mut hot, 1, 1);
        assert!(is_hot(&mut hot, 1));
        heat(&mut hot, 1, 5);
        hot.verify(&forged, &RustCrypto).unwrap_err();
        heat(&mut hot, 2, 2 + FURTHER);
        assert!(is_hot(&mut hot, 2));
        assert_eq!((hot.len(), hot.bytes()), (2, 3 * PreparedKey::BYTES));
    }

    #[test]
    fn a_table_can_be_made_at_once() {
        let mut hot = HotKeys::new(3 * PreparedKey::BYTES, 1);
        heat(&mut hot, 1, 1);
        for secret in [2, 3, 4] {
            let (valid, forged) = (input(secret, b"message", true), input(secret, b"message", false));
            let prepared = hot.get_or_make(valid.key().public_key()).unwrap();
            prepared.verify_input(&valid).unwrap();
            prepared.verify_input(&forged).unwrap_err();
            assert_eq!(hot.bytes(), 3.min(secret as usize) * PreparedKey::BYTES);
        }
        assert!(!is_hot(&mut hot, 2) && is_hot(&mut hot, 3) && is_hot(&mut hot, 4));
        assert!(HotKeys::new(0, 1).get_or_make(input(1, b"m", true).key().public_key()).is_none());
    }

    #[test]
    fn the_budget_holds_and_the_least_recently_used_goes() {
        let mut hot = HotKeys::new(3 * PreparedKey::BYTES, 1);
        heat(&mut hot, 1, FIRST);
        heat(&mut hot, 2, FURTHER);
        heat(&mut hot, 1, 1);
        // Both are in use.
        heat(&mut hot, 3, FURTHER);
        assert!(hot.len() == 2 && !is_hot(&mut hot, 3));
        pass(&mut hot, DISUSE - 10);
        heat(&mut hot, 1, 1);
        pass(&mut hot, 10);
        heat(&mut hot, 3, FURTHER);
        assert!(is_hot(&mut hot, 1) && !is_hot(&mut hot, 2) && is_hot(&mut hot, 3));
        let mut none = HotKeys::new(2 * PreparedKey::BYTES - 1, 1);
        heat(&mut none, 1, 100);
        assert!(none.is_empty() && none.bytes() == 0);
    }

    #[test]
    fn a_key_that_went_cold_does_not_keep_others_from_their_tables() {
        let mut hot = HotKeys::new(2 * PreparedKey::BYTES, 1);
        heat(&mut hot, 1, FIRST - 1);
        heat(&mut hot, 2, FURTHER);
        assert!(hot.is_empty());
        pass(&mut hot, DISUSE);
        heat(&mut hot, 2, FURTHER);
        assert!(!is_hot(&mut hot, 1) && is_hot(&mut hot, 2));
    }

    #[test]
    fn of_more_hot_keys_than_there_is_room_for_some_keep_their_tables() {
        let mut hot = HotKeys::new(3 * PreparedKey::BYTES, 1);
        let inputs: Vec<SignatureInput> = (1..=4).map(|secret| input(secret, b"message", true)).collect();
        let mut round = || {
            for input in &inputs {
                hot.verify(input, &RustCrypto).unwrap();
            }
            (hot.building.is_empty(), hot.prepared.iter().map(|hot| hot.key.clone()).collect::<Vec<_>>())
        };
        let settled = (0..=FIRST).map(|_| round()).last().unwrap();
        assert_eq!((settled.0, settled.1.len()), (true, 2));
        for _ in 0..8 {
            assert_eq!(round(), settled);
        }
    }
}
