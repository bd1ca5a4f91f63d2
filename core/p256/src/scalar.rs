//! Numbers modulo the order of P-256, for verification only: nothing here is secret, and nothing takes constant time.

use crate::inverse::{self, Modulus};

/// `n` (FIPS 186-4 section D.1.2.3) in words, the lowest first.
pub(crate) const ORDER: [u32; 8] = [0xfc63_2551, 0xf3b9_cac2, 0xa717_9e84, 0xbce6_faad, 0xffff_ffff, 0xffff_ffff, 0, 0xffff_ffff];
/// `2^256 mod n`, which is `2^256 - n`.
const R: [u32; 8] = [0x039c_daaf, 0x0c46_353d, 0x58e8_617b, 0x4319_0552, 0, 0, 0xffff_ffff, 0];

/// A number in words, the lowest first.
pub(crate) type Words = [u32; 8];

/// The number with these big-endian octets.
pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Words {
    let mut words = [0; 8];
    for (word, octets) in words.iter_mut().zip(bytes.as_chunks::<4>().0.iter().rev()) {
        *word = u32::from_be_bytes(*octets);
    }
    words
}

/// Whether `a < b`.
pub(crate) fn is_below(a: &Words, b: &Words) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// The inverse times `2^256`, as [`times`] takes it; 0 for 0.
pub(crate) fn inverted(scalar: &Words) -> Words {
    const MODULUS: Modulus = Modulus::new(&ORDER);
    inverse::over(&MODULUS, &R, scalar)
}

/// `a * b / 2^256 mod n` (Montgomery 1985), for any `a` and a `b` below `n`.
pub(crate) fn times(a: &Words, b: &Words) -> Words {
    // Nine words: after each step the sum is below 2n.
    let mut sum = [0_u32; 9];
    for a in a {
        let (mut product, mut multiple) = (0_u64, 0_u64);
        let clearing = sum[0].wrapping_add(a.wrapping_mul(b[0])).wrapping_mul(MINUS_INVERSE);
        for i in 0..8 {
            // At most (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1, both times.
            product = u64::from(*a) * u64::from(b[i]) + u64::from(sum[i]) + (product >> 32);
            multiple = u64::from(clearing) * u64::from(ORDER[i]) + (product & 0xffff_ffff) + (multiple >> 32);
            if i > 0 {
                sum[i - 1] = low(multiple);
            }
        }
        let top = u64::from(sum[8]) + (product >> 32) + (multiple >> 32);
        (sum[7], sum[8]) = (low(top), low(top >> 32));
    }
    debug_assert!(sum[8] <= 1);
    let mut words = [0; 8];
    words.copy_from_slice(&sum[..8]);
    if sum[8] == 0 && is_below(&words, &ORDER) { words } else { minus(&words, &ORDER) }
}

/// `a - b`, modulo `2^256`.
pub(crate) fn minus(a: &Words, b: &Words) -> Words {
    let mut borrow = false;
    core::array::from_fn(|i| {
        let (partial, first) = a[i].overflowing_sub(b[i]);
        let (word, second) = partial.overflowing_sub(u32::from(borrow));
        borrow = first | second;
        word
    })
}

/// `a + n`, modulo `2^256`.
pub(crate) fn plus_order(a: &Words) -> Words {
    // n is 2^256 - R.
    minus(a, &R)
}

/// `-1 / n mod 2^32`.
const MINUS_INVERSE: u32 = inverse::of_odd(ORDER[0]).wrapping_neg();

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::{
        Scalar,
        elliptic_curve::{Curve as _, PrimeField as _, bigint::ArrayEncoding as _, ops::Reduce as _},
    };
    use sha2::{Digest as _, Sha256};

    fn words(scalar: &Scalar) -> Words {
        from_bytes(&scalar.to_repr().into())
    }

    /// `2^256`.
    fn radix() -> Scalar {
        Scalar::from(2_u64).pow_vartime(&[256, 0, 0, 0])
    }

    fn check_inverse(scalar: Scalar) {
        let expected = Option::<Scalar>::from(scalar.invert()).unwrap_or(Scalar::ZERO) * radix();
        assert_eq!(inverted(&words(&scalar)), words(&expected), "{scalar:?}");
    }

    fn check_product(a: [u8; 32], b: Scalar) {
        let expected = Scalar::reduce_bytes(&a.into()) * b * Option::<Scalar>::from(radix().invert()).unwrap();
        assert_eq!(times(&from_bytes(&a), &words(&b)), words(&expected), "{a:02x?} {b:?}");
    }

    #[test]
    fn the_order_is_the_curves() {
        assert_eq!(from_bytes(&p256::NistP256::ORDER.to_be_byte_array().into()), ORDER);
        assert_eq!(words(&radix()), R);
        assert!(is_below(&R, &ORDER) && !is_below(&ORDER, &ORDER) && !is_below(&ORDER, &R));
        assert_eq!(minus(&[0; 8], &ORDER), R);
    }

    #[test]
    fn inverses_at_the_ends_and_at_powers_of_two() {
        let mut power = Scalar::ONE;
        for _ in 0..256 {
            for scalar in [power, -power, power - Scalar::ONE, power + Scalar::ONE] {
                check_inverse(scalar);
            }
            power = power.double();
        }
        for small in 0..300_u64 {
            check_inverse(Scalar::from(small));
            check_inverse(-Scalar::from(small));
        }
    }

    #[test]
    fn products_and_inverses_of_many_numbers() {
        let ends = [Scalar::ZERO, Scalar::ONE, Scalar::from(u64::MAX), -Scalar::ONE, -Scalar::from(u64::MAX), radix()];
        for a in ends {
            for b in ends {
                check_product(a.to_repr().into(), b);
                check_product([0xff; 32], b);
            }
        }
        for number in 0_u32..20_000 {
            let digest: [u8; 32] = Sha256::digest(number.to_be_bytes()).into();
            let scalar = Scalar::reduce_bytes(&Sha256::digest(digest));
            check_product(digest, scalar);
            // Inverse and product together: the radix is gone.
            assert_eq!(times(&words(&scalar), &inverted(&words(&scalar))), words(&Scalar::ONE), "{number}");
        }
    }
}
