//! RSASSA-PKCS1-v1_5 and RSASSA-PSS (RFC 8017 section 8), for keys that a host's own cryptography does not take: workerd's
//! WebCrypto imports the public exponents 3 and 65537 alone.
//!
//! Small rather than fast. Everything is public data: nothing takes constant time, and nothing here may ever sign or decrypt.

use alloc::vec::Vec;

use super::{SignatureInput, SignatureInvalid, SignatureValid};
use crate::{
    algorithm::{Hash, Scheme},
    jwk::KeyMaterial,
};

/// Its name in reports.
pub const NAME: &str = "rsa-montgomery";

/// Whether a signature of RS256 to PS512 is valid; `None` for any other algorithm.
pub fn verify(input: &SignatureInput) -> Option<Result<SignatureValid, SignatureInvalid>> {
    let KeyMaterial::Rsa { n, e } = input.key().public_key().material() else { return None };
    // Both are as long as the modulus (RFC 8017 sections 8.1.2 and 8.2.2, steps 1 and 2): core has compared length and range.
    let encoded = Modulus::new(n).power(input.signature(), e);
    let valid = match input.algorithm().scheme() {
        Scheme::RsaPkcs1(hash) => encoded == emsa_pkcs1(hash, input.message(), n.len()),
        Scheme::RsaPss(hash) => is_emsa_pss(hash, input.message(), &encoded, bit_len(n) - 1),
        Scheme::Ecdsa(..) | Scheme::Ed25519 => return None,
    };
    Some(if valid { Ok(SignatureValid::assertion()) } else { Err(SignatureInvalid) })
}

/// The only encoding of a message (RFC 8017 section 9.2, with the `DigestInfo` of its note 1): it is made and compared, never parsed.
fn emsa_pkcs1(hash: Hash, message: &[u8], len: usize) -> Vec<u8> {
    // The identifiers differ in their last octet, and in the lengths that depend on the digest's.
    let (identifier, octets) = match hash {
        Hash::Sha256 => (1, 32),
        Hash::Sha384 => (2, 48),
        Hash::Sha512 => (3, 64),
    };
    let mut digest_info =
        [0x30, 17 + octets, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, identifier, 5, 0, 4, octets].to_vec();
    digest_info.extend(hash.digest(&[message]));
    let mut encoded = alloc::vec![0x00, 0x01];
    encoded.resize(len.saturating_sub(digest_info.len() + 1), 0xff);
    encoded.push(0x00);
    encoded.append(&mut digest_info);
    encoded
}

/// Whether `encoded` is an encoding of the message in `em_bits` bits (RFC 8017 section 9.1.2), with MGF1 over the same hash and a salt
/// as long as the digest (RFC 7518 section 3.5).
fn is_emsa_pss(hash: Hash, message: &[u8], encoded: &[u8], em_bits: usize) -> bool {
    // A modulus of 8k + 1 bits has one octet more than the encoding; it must be zero.
    let len = em_bits.div_ceil(8);
    let Some((above, encoded)) = encoded.len().checked_sub(len).map(|above| encoded.split_at(above)) else { return false };
    let Some((0xbc, masked_and_digest)) = encoded.split_last() else { return false };
    let Some(masked_len) = masked_and_digest.len().checked_sub(hash.digest_len()) else { return false };
    let (masked, digest) = masked_and_digest.split_at(masked_len);
    let unused = 8 * len - em_bits;
    let mut block = masked.to_vec();
    let Some(first) = block.first_mut() else { return false };
    if above.iter().any(|octet| *octet != 0) || first.leading_zeros() < u32::try_from(unused).unwrap_or(u32::MAX) {
        return false;
    }
    mgf1_xor(hash, digest, &mut block);
    if let Some(first) = block.first_mut() {
        *first &= 0xff >> unused;
    }
    let Some(padding_len) = block.len().checked_sub(hash.digest_len()) else { return false };
    let (padding, salt) = block.split_at(padding_len);
    let Some((1, zeros)) = padding.split_last() else { return false };
    zeros.iter().all(|octet| *octet == 0) && hash.digest(&[&[0; 8], &hash.digest(&[message]), salt]) == digest
}

/// MGF1 (RFC 8017 appendix B.2.1), applied.
fn mgf1_xor(hash: Hash, seed: &[u8], block: &mut [u8]) {
    for (counter, chunk) in (0_u32..).zip(block.chunks_mut(hash.digest_len())) {
        for (octet, mask) in chunk.iter_mut().zip(hash.digest(&[seed, &counter.to_be_bytes()])) {
            *octet ^= mask;
        }
    }
}

/// An odd modulus, for Montgomery's multiplication (Montgomery 1985) with `R = 2^(32 * limbs)`.
struct Modulus {
    /// Least significant first; the last is not zero.
    limbs: Vec<u32>,
    octets: usize,
    bits: usize,
    /// `-1 / n` modulo `2^32`.
    inverse: u32,
}

impl Modulus {
    /// A modulus of at least two bits: odd, big-endian, without leading zero octets.
    fn new(n: &[u8]) -> Self {
        let limbs = limbs(n, n.len().div_ceil(4));
        let lowest = limbs.first().copied().unwrap_or_default();
        // An odd number is its own inverse modulo 8; each step doubles the digits that are right: 3, 6, 12, 24, 48 bits.
        let inverse = (0..4).fold(lowest, |inverse, _| inverse.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(inverse))));
        Self { limbs, octets: n.len(), bits: bit_len(n), inverse: inverse.wrapping_neg() }
    }

    /// `base ^ exponent mod n`, all big-endian, as long as the modulus. `base` is below the modulus, `exponent` has 64 bits at most and
    /// is not 0.
    fn power(&self, base: &[u8], exponent: &[u8]) -> Vec<u8> {
        let exponent = exponent.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
        let base = limbs(base, self.limbs.len());
        let base = self.product(&base, &self.r_squared());
        let mut power = base.clone();
        for bit in (0..exponent.checked_ilog2().unwrap_or_default()).rev() {
            power = self.product(&power, &power);
            if exponent >> bit & 1 == 1 {
                power = self.product(&power, &base);
            }
        }
        let power = self.product(&power, &limbs(&[1], self.limbs.len()));
        let octets: Vec<u8> = power.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        octets.get(octets.len() - self.octets..).unwrap_or_default().into()
    }

    /// `R² mod n`, which takes a number into Montgomery's form. With k limbs `R = 2^(32 k)`, so five squarings of `2^k`, in that form,
    /// make it.
    fn r_squared(&self) -> Vec<u32> {
        let len = self.limbs.len();
        let top = self.bits - 1;
        let mut value = alloc::vec![0; len];
        if let Some(limb) = value.get_mut(top / 32) {
            *limb = 1 << (top % 32);
        }
        for _ in top..32 * len + len {
            value = self.doubled(value);
        }
        (0..5).fold(value, |value, _| self.product(&value, &value))
    }

    /// `2 * value mod n` of a value below `n`.
    fn doubled(&self, mut value: Vec<u32>) -> Vec<u32> {
        let mut carry = 0;
        for limb in &mut value {
            (*limb, carry) = (*limb << 1 | carry, *limb >> 31);
        }
        self.reduced(value, carry)
    }

    /// `a * b / R mod n` of two values below `n`.
    fn product(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let len = self.limbs.len();
        // One limb at a time is added and cleared again: what is left of it stays below 2 n * 2^32, so it never reaches beyond the end.
        let mut sum = alloc::vec![0; 2 * len + 1];
        for (index, digit) in a.iter().enumerate() {
            let window = &mut sum[index..];
            add_multiple(window, b, *digit);
            let digit = window[0].wrapping_mul(self.inverse);
            add_multiple(window, &self.limbs, digit);
            debug_assert_eq!(window[0], 0);
        }
        let carry = sum.pop().unwrap_or_default();
        self.reduced(sum.split_off(len), carry)
    }

    /// A value below `2 n`, `carry` above its limbs, brought below `n`.
    fn reduced(&self, mut value: Vec<u32>, carry: u32) -> Vec<u32> {
        if carry != 0 || !value.iter().rev().lt(self.limbs.iter().rev()) {
            let mut borrow = false;
            for (limb, n) in value.iter_mut().zip(&self.limbs) {
                let (difference, first) = limb.overflowing_sub(*n);
                let (difference, second) = difference.overflowing_sub(borrow.into());
                (*limb, borrow) = (difference, first || second);
            }
            debug_assert_eq!(carry, u32::from(borrow));
        }
        debug_assert!(value.iter().rev().lt(self.limbs.iter().rev()));
        value
    }
}

/// `sum += value * digit`, where `sum` has room for it.
fn add_multiple(sum: &mut [u32], value: &[u32], digit: u32) {
    let mut carry = 0;
    for (sum, value) in sum.iter_mut().zip(value.iter().chain(core::iter::repeat_n(&0, 2))) {
        // At most (2^32 - 1)² + 2 (2^32 - 1) = 2^64 - 1.
        let wide = u64::from(*sum) + u64::from(*value) * u64::from(digit) + carry;
        *sum = low(wide);
        carry = wide >> 32;
    }
    debug_assert_eq!(carry, 0);
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(wide: u64) -> u32 {
    wide as u32
}

/// Limbs of a big-endian number, least significant first.
fn limbs(octets: &[u8], len: usize) -> Vec<u32> {
    let mut limbs: Vec<u32> =
        octets.rchunks(4).map(|chunk| chunk.iter().fold(0, |limb, octet| limb << 8 | u32::from(*octet))).collect();
    limbs.resize(len, 0);
    limbs
}

/// Bits of a big-endian number without leading zero octets.
fn bit_len(octets: &[u8]) -> usize {
    octets.first().map_or(0, |first| 8 * octets.len() - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests;
