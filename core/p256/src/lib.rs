//! Verifies ECDSA signatures over P-256 (FIPS 186-5 section 6.4.2): per-key tables of multiples, no doublings, no inversion in the field.
//!
//! `u1 * G + u2 * Q` is a sum of 64 table entries at most, as both tables hold all multiples of all windows. The equation compares the
//! x-coordinate modulo `n` with `r`; here `r * z^2`, and `(r + n) * z^2` where `r + n < p`, are compared with a projective `x` instead. A
//! wrong signature takes the same path as a right one.
//!
//! Everything is public data: nothing takes constant time, and nothing here may ever sign. Whether a key is a point of the curve is the
//! caller's affair; tokens and keys are `edgeseal-core`'s. This is a crate of its own so that it alone is built for speed where size
//! counts.
//!
//! ```
//! use edgeseal_p256::{TableBuilder, verify};
//!
//! // One who signs with the secret 1 has the generator for a key.
//! let generator = TableBuilder::of_generator().finish();
//! assert!(!verify(&generator, &generator, &[0; 32], &[1; 64]));
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

// WebAssembly multiplies 32-bit limbs best, machines with 128-bit products 64-bit ones. Tests compile both and compare them;
// `RUSTFLAGS="--cfg edgeseal_field29"` verifies with WebAssembly's field everywhere.
#[cfg(any(test, edgeseal_field29, not(target_pointer_width = "64")))]
mod field;
#[cfg(any(test, all(target_pointer_width = "64", not(edgeseal_field29))))]
mod field64;
mod inverse;
mod limbs;
mod point;
mod scalar;
mod table;

#[cfg(any(edgeseal_field29, not(target_pointer_width = "64")))]
use self::field::{Difference, FieldElement};
#[cfg(all(target_pointer_width = "64", not(edgeseal_field29)))]
use self::field64::{Difference, FieldElement};
pub use self::table::{Table, TableBuilder};

/// Whether `signature` (`r || s`, big-endian) is the key's over the message with this digest. `generator` and `key` are the tables of the
/// generator and of the key.
pub fn verify(generator: &Table, key: &Table, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let [r, s] = signature.as_chunks::<32>().0 else { return false };
    let (r, s) = (scalar::from_bytes(r), scalar::from_bytes(s));
    let is_in_range = |scalar: &scalar::Words| *scalar != [0; 8] && scalar::is_below(scalar, &scalar::ORDER);
    if !is_in_range(&r) || !is_in_range(&s) {
        return false;
    }
    let s_inverse = scalar::inverted(&s);
    let u1 = scalar::times(&scalar::from_bytes(digest), &s_inverse);
    let u2 = scalar::times(&r, &s_inverse);
    let Some(sum) = key.add_multiple(generator.add_multiple(None, &u1), &u2) else { return false };
    if sum.has_x(&FieldElement::from_words(&r)) {
        return true;
    }
    // x = r + n is possible only below p, for one r in 2^128: those below p - n.
    scalar::is_below(&r, &FIELD_MINUS_ORDER) && sum.has_x(&FieldElement::from_words(&scalar::plus_order(&r)))
}

/// `p - n`, in words, the lowest first.
const FIELD_MINUS_ORDER: [u32; 8] = [0x039c_daae, 0x0c46_353d, 0x58e8_617b, 0x4319_0553, 0, 0, 0, 0];

#[cfg(test)]
mod tests;
