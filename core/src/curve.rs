//! Whether a point lies on its curve (SEC 1 section 3.2.2.1). Keys are public and checked once, when a set is read: arithmetic that
//! is small and plain serves better here than a library's that is fast.

use crate::{algorithm::Curve, signature::hex};

/// 32-bit limbs, little-endian: room for twice a number of 521 bits.
const LIMBS: usize = 17;

/// A number below the prime of a curve.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Number([u32; LIMBS]);

/// Whether `y^2 = x^3 - 3x + b`, for big-endian coordinates below the prime.
pub(crate) fn is_on_curve(curve: Curve, x: &[u8], y: &[u8]) -> bool {
    let (p, b) = match curve {
        Curve::P256 => (Number::from_bytes(&P256_PRIME), Number::from_bytes(&P256_B)),
        Curve::P384 => (Number::from_bytes(&P384_PRIME), Number::from_bytes(&P384_B)),
        Curve::P521 => (Number::from_bytes(&P521_PRIME), Number::from_bytes(&P521_B)),
    };
    let (x, y) = (Number::from_bytes(x), Number::from_bytes(y));
    if x.minus(&p).is_some() || y.minus(&p).is_some() {
        return false;
    }
    let cube = x.times(&x, &p).times(&x, &p);
    let three_x = x.plus(&x, &p).plus(&x, &p);
    // y^2 + 3x = x^3 + b
    y.times(&y, &p).plus(&three_x, &p) == cube.plus(&b, &p)
}

impl Number {
    const ZERO: Self = Self([0; LIMBS]);

    /// At most 66 octets.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut number = Self::ZERO;
        for (limb, chunk) in number.0.iter_mut().zip(bytes.rchunks(4)) {
            *limb = chunk.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte));
        }
        number
    }

    /// `self - other`, where that is not negative.
    fn minus(&self, other: &Self) -> Option<Self> {
        let mut borrow = false;
        let mut difference = Self::ZERO;
        for ((to, a), b) in difference.0.iter_mut().zip(self.0).zip(other.0) {
            let (once, first) = a.overflowing_sub(b);
            let (twice, second) = once.overflowing_sub(borrow.into());
            (*to, borrow) = (twice, first | second);
        }
        (!borrow).then_some(difference)
    }

    /// `self + other` modulo `p`. Both are below it, so the sum has at most 522 bits.
    fn plus(&self, other: &Self, p: &Self) -> Self {
        let mut carry = false;
        let mut sum = Self::ZERO;
        for ((to, a), b) in sum.0.iter_mut().zip(self.0).zip(other.0) {
            let (once, first) = a.overflowing_add(b);
            let (twice, second) = once.overflowing_add(carry.into());
            (*to, carry) = (twice, first | second);
        }
        sum.minus(p).unwrap_or(sum)
    }

    /// `self * other` modulo `p`, by doubling and adding from the top bit.
    fn times(&self, other: &Self, p: &Self) -> Self {
        let mut product = Self::ZERO;
        for limb in self.0.iter().rev() {
            for bit in (0..32).rev() {
                product = product.plus(&product, p);
                if limb >> bit & 1 == 1 {
                    product = product.plus(other, p);
                }
            }
        }
        product
    }
}

/// `p` and `b` of each curve, big-endian (FIPS 186-4 appendix D.1.2).
const P256_PRIME: [u8; 32] = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
const P256_B: [u8; 32] = hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b");
const P384_PRIME: [u8; 48] =
    hex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff");
const P384_B: [u8; 48] = hex("b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef");
const P521_PRIME: [u8; 66] = hex(concat!(
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
));
const P521_B: [u8; 66] = hex(concat!(
    "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e1",
    "56193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00"
));

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Points of the curve by RustCrypto's arithmetic: multiples of the generator, and their neighbours, which are none.
    fn compare(curve: Curve, points: impl Iterator<Item = Vec<u8>>, accepts: impl Fn(&[u8]) -> bool) {
        let half = curve.coordinate_len();
        let mut seen = 0;
        for point in points {
            assert!(is_on_curve(curve, &point[1..=half], &point[1 + half..]));
            for index in [1, 2, half - 1, half, half + 1, 2 * half - 3, 2 * half] {
                let mut near = point.clone();
                near[index] ^= 1;
                assert_eq!(is_on_curve(curve, &near[1..=half], &near[1 + half..]), accepts(&near), "{near:x?}");
            }
            seen += 1;
        }
        assert!(seen > 0);
        assert!(!is_on_curve(curve, &std::vec![0; half], &std::vec![0; half]));
        assert!(!is_on_curve(curve, &std::vec![0xff; half], &std::vec![0xff; half]));
    }

    macro_rules! agrees {
        ($name:ident, $curve:expr, $krate:ident) => {
            #[test]
            fn $name() {
                use $krate::elliptic_curve::sec1::ToEncodedPoint as _;

                let points = (1..40_u64).map(|n| {
                    let point = $krate::ProjectivePoint::GENERATOR * $krate::Scalar::from(n * n);
                    point.to_affine().to_encoded_point(false).as_bytes().to_vec()
                });
                compare($curve, points, |sec1| $krate::PublicKey::from_sec1_bytes(sec1).is_ok());
            }
        };
    }
    agrees!(p256_agrees, Curve::P256, p256);
    agrees!(p384_agrees, Curve::P384, p384);
    agrees!(p521_agrees, Curve::P521, p521);

    #[test]
    fn a_coordinate_is_below_the_prime() {
        // x = 0 and x = 1 with their y: the same point with x + p must not pass. P-256 leaves room for it in 32 octets.
        for small in 0..50_u8 {
            let mut x = [0; 32];
            x[31] = small;
            let mut compressed = std::vec![2];
            compressed.extend(x);
            use p256::elliptic_curve::sec1::ToEncodedPoint as _;
            let Ok(key) = p256::PublicKey::from_sec1_bytes(&compressed) else { continue };
            let point = key.to_encoded_point(false);
            let y = &point.as_bytes()[33..];
            assert!(is_on_curve(Curve::P256, &x, y));
            let mut beyond = P256_PRIME;
            let mut carry = u16::from(small);
            for byte in beyond.iter_mut().rev() {
                carry += u16::from(*byte);
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            assert!(!is_on_curve(Curve::P256, &beyond, y), "{small}");
        }
    }
}
