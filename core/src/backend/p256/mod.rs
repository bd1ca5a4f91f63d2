//! A fast verifier for ES256: per-key tables of multiples, no doublings, no inversion in the field.
//!
//! `u1 * G + u2 * Q` is a sum of 74 table entries at most, as both tables hold all multiples of all windows. The equation of FIPS
//! 186-5 section 6.4.2 compares the x-coordinate modulo `n` with `r`; here `r * z^2`, and `(r + n) * z^2` where `r + n < p`, are
//! compared with the Jacobian `x` instead. A wrong signature takes the same path as a right one.
//!
//! Everything is public data: nothing takes constant time, and nothing here may ever sign.

// WebAssembly multiplies 32-bit limbs best, machines with 128-bit products 64-bit ones. Tests compile both and compare them;
// `RUSTFLAGS="--cfg edgeseal_field29"` verifies with WebAssembly's field everywhere.
#[cfg(any(test, edgeseal_field29, not(target_pointer_width = "64")))]
mod field;
#[cfg(any(test, all(target_pointer_width = "64", not(edgeseal_field29))))]
mod field64;
mod hot_keys;
mod inverse;
mod point;

use alloc::sync::Arc;

use p256::{
    FieldBytes, Scalar, U256,
    ecdsa::Signature,
    elliptic_curve::{Curve as _, bigint::ArrayEncoding as _, ops::Reduce as _},
};
use sha2::{Digest as _, Sha256};

#[cfg(any(edgeseal_field29, not(target_pointer_width = "64")))]
use self::field::FieldElement;
#[cfg(all(target_pointer_width = "64", not(edgeseal_field29)))]
use self::field64::FieldElement;
pub use self::hot_keys::HotKeys;
use self::point::{Affine, Digits, Table, TableBuilder};

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
    /// Computes the table: some milliseconds. [`HotKeys`] does it in small steps instead.
    #[expect(clippy::new_without_default, reason = "a default that takes milliseconds would hide its cost")]
    pub fn new() -> Self {
        Self(Arc::new(Self::builder().finish()))
    }

    fn builder() -> TableBuilder {
        use p256::elliptic_curve::sec1::ToEncodedPoint as _;

        let generator = p256::AffinePoint::GENERATOR.to_encoded_point(false);
        // The generator has coordinates; zeros stand in for what cannot be.
        let coordinate = |coordinate: Option<&FieldBytes>| coordinate.copied().unwrap_or_default().into();
        TableBuilder::new(Affine::from_coordinates(&coordinate(generator.x()), &coordinate(generator.y())))
    }
}

impl PreparedKey {
    /// Octets of memory of one key, beside the generator's table of the same size.
    pub const BYTES: usize = Table::BYTES;

    /// Computes the key's table: some milliseconds. `sec1` is `0x04 || x || y` of a point on the curve, as
    /// [`crate::jwk::KeyMaterial::Ec`] holds it; `None` for another length.
    pub fn new(generator: &GeneratorTable, sec1: &[u8]) -> Option<Self> {
        Some(Self { generator: generator.clone(), key: Self::builder(sec1)?.finish() })
    }

    fn builder(sec1: &[u8]) -> Option<TableBuilder> {
        let (x, y) = sec1.get(1..)?.split_at_checked(32)?;
        Some(TableBuilder::new(Affine::from_coordinates(x.try_into().ok()?, y.try_into().ok()?)))
    }

    /// Whether `signature` (`r || s`) is the key's over `message`, hashed with SHA-256.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verify_prehash(&Sha256::digest(message).into(), signature)
    }

    /// Whether `signature` (`r || s`) is the key's over the message with this SHA-256 digest.
    pub fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        let (r, s) = signature.split_scalars();
        let s_inverse = inverse::inverted(s.as_ref());
        let u1 = Scalar::reduce_bytes(&(*digest).into()) * s_inverse;
        let u2 = *r.as_ref() * s_inverse;
        let sum = self.generator.0.add_multiple(None, &Digits::from(&u1));
        let Some(sum) = self.key.add_multiple(sum, &Digits::from(&u2)) else { return false };
        let r = U256::from(r.as_ref());
        if sum.has_x(&FieldElement::from_bytes(&r.to_be_byte_array().into())) {
            return true;
        }
        // x = r + n is possible only below p, for one r in 2^128: those below p - n.
        r < FIELD_MINUS_ORDER && {
            let wrapped = r.wrapping_add(&p256::NistP256::ORDER);
            sum.has_x(&FieldElement::from_bytes(&wrapped.to_be_byte_array().into()))
        }
    }
}

/// `p - n`.
const FIELD_MINUS_ORDER: U256 = FIELD_PRIME.wrapping_sub(&p256::NistP256::ORDER);

/// `p` (FIPS 186-4 section D.1.2.3).
const FIELD_PRIME: U256 = U256::from_be_hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");

#[cfg(test)]
mod tests;
