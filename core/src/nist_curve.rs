//! Which points are points of P-256, P-384 and P-521: the check that a key passes before any backend sees it.
//!
//! One small piece of arithmetic for the three curves instead of three crates': in WebAssembly those were a seventh of the module,
//! for a check that runs once for a key. It handles public values only, so its time may depend on them.

use crate::algorithm::Curve;

/// 32-bit limbs of the longest coordinate, least significant first.
const LIMBS: usize = 17;

type Integer = [u32; LIMBS];

/// One curve `y² = x³ - 3x + b` over the integers modulo `p` (FIPS 186-5, SP 800-186 section 3.2.1).
struct Equation {
    p: Integer,
    b: Integer,
    limbs: usize,
}

/// Whether the coordinates, big-endian and of the curve's exact length, are below the modulus and satisfy the curve's equation.
/// The identity has no such coordinates.
pub(crate) fn is_on_curve(curve: Curve, x: &[u8], y: &[u8]) -> bool {
    let equation = match curve {
        Curve::P256 => &P256,
        Curve::P384 => &P384,
        Curve::P521 => &P521,
    };
    let (Some(x), Some(y)) = (equation.coordinate(x), equation.coordinate(y)) else { return false };
    // `product` leaves a factor 1/R, so each term of y² + 3x = x³ + b is brought to two of them.
    let one = from_u32(1);
    let twice = |value: &Integer| equation.product(&equation.product(value, &one), &one);
    let y_squared = equation.product(&equation.product(&y, &y), &one);
    let x_cubed = equation.product(&equation.product(&x, &x), &x);
    let three_x = equation.sum(&equation.sum(&x, &x), &x);
    equation.sum(&y_squared, &twice(&three_x)) == equation.sum(&x_cubed, &twice(&equation.b))
}

impl Equation {
    fn coordinate(&self, bytes: &[u8]) -> Option<Integer> {
        let value = from_bytes(bytes);
        is_below(&value, &self.p).then_some(value)
    }

    /// `a + b mod p` of two values below `p`; the moduli leave the bits above them free in 17 limbs.
    fn sum(&self, a: &Integer, b: &Integer) -> Integer {
        let mut sum = [0; LIMBS];
        let mut carry = 0;
        for index in 0..LIMBS {
            let wide = u64::from(a[index]) + u64::from(b[index]) + carry;
            sum[index] = low(wide);
            carry = wide >> 32;
        }
        self.reduced(sum)
    }

    /// `a * b / R mod p` of two values below `p`, with `R = 2^(32 * limbs)` (Montgomery 1985). Each of the three
    /// moduli is -1 modulo `2^32`, so the multiple of `p` that clears the lowest limb is that limb itself.
    fn product(&self, a: &Integer, b: &Integer) -> Integer {
        // One limb more: the sum stays below 2p * 2^32 before each shift.
        let mut sum = [0_u32; LIMBS + 2];
        for a in &a[..self.limbs] {
            self.add_multiple(&mut sum, b, *a);
            let digit = sum[0];
            self.add_multiple(&mut sum, &self.p, digit);
            debug_assert_eq!(sum[0], 0);
            sum.copy_within(1.., 0);
            sum[LIMBS + 1] = 0;
        }
        debug_assert_eq!(sum[LIMBS..], [0, 0]);
        let mut product = [0; LIMBS];
        product.copy_from_slice(&sum[..LIMBS]);
        self.reduced(product)
    }

    /// `sum += value * digit`.
    fn add_multiple(&self, sum: &mut [u32; LIMBS + 2], value: &Integer, digit: u32) {
        let mut carry = 0;
        for (index, sum) in sum.iter_mut().enumerate().take(self.limbs + 2) {
            let limb = value.get(index).copied().unwrap_or_default();
            // At most (2^32 - 1)² + 2 (2^32 - 1) = 2^64 - 1.
            let wide = u64::from(*sum) + u64::from(limb) * u64::from(digit) + carry;
            *sum = low(wide);
            carry = wide >> 32;
        }
        debug_assert_eq!(carry, 0);
    }

    /// A value below `2p` brought below `p`.
    fn reduced(&self, mut value: Integer) -> Integer {
        if !is_below(&value, &self.p) {
            let mut borrow = 0;
            for (limb, p) in value.iter_mut().zip(&self.p) {
                let wide = u64::from(*limb).wrapping_sub(u64::from(*p)).wrapping_sub(borrow);
                *limb = low(wide);
                borrow = wide >> 63;
            }
            debug_assert_eq!(borrow, 0);
        }
        debug_assert!(is_below(&value, &self.p));
        value
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn low(wide: u64) -> u32 {
    wide as u32
}

fn from_u32(value: u32) -> Integer {
    let mut integer = [0; LIMBS];
    integer[0] = value;
    integer
}

/// At most 68 octets, big-endian.
fn from_bytes(bytes: &[u8]) -> Integer {
    let mut integer = [0; LIMBS];
    for (limb, chunk) in integer.iter_mut().zip(bytes.rchunks(4)) {
        *limb = chunk.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte));
    }
    integer
}

fn is_below(a: &Integer, b: &Integer) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

const fn integer<const N: usize>(limbs: [u32; N]) -> Integer {
    let mut integer = [0; LIMBS];
    let mut index = 0;
    while index < N {
        // Written most significant first, as the standard prints them.
        integer[index] = limbs[N - 1 - index];
        index += 1;
    }
    integer
}

const P256: Equation = Equation {
    p: integer([0xffff_ffff, 1, 0, 0, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff]),
    b: integer([0x5ac6_35d8, 0xaa3a_93e7, 0xb3eb_bd55, 0x7698_86bc, 0x651d_06b0, 0xcc53_b0f6, 0x3bce_3c3e, 0x27d2_604b]),
    limbs: 8,
};

const P384: Equation = Equation {
    p: integer([
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_fffe,
        0xffff_ffff,
        0,
        0,
        0xffff_ffff,
    ]),
    b: integer([
        0xb331_2fa7,
        0xe23e_e7e4,
        0x988e_056b,
        0xe3f8_2d19,
        0x181d_9c6e,
        0xfe81_4112,
        0x0314_088f,
        0x5013_875a,
        0xc656_398d,
        0x8a2e_d19d,
        0x2a85_c8ed,
        0xd3ec_2aef,
    ]),
    limbs: 12,
};

const P521: Equation = Equation {
    p: {
        let mut p = [0xffff_ffff; LIMBS];
        p[LIMBS - 1] = 0x1ff;
        p
    },
    b: integer([
        0x0051,
        0x953e_b961,
        0x8e1c_9a1f,
        0x929a_21a0,
        0xb685_40ee,
        0xa2da_725b,
        0x99b3_15f3,
        0xb8b4_8991,
        0x8ef1_09e1,
        0x5619_3951,
        0xec7e_937b,
        0x1652_c0bd,
        0x3bb1_bf07,
        0x3573_df88,
        0x3d2c_34f1,
        0xef45_1fd4,
        0x6b50_3f00,
    ]),
    limbs: 17,
};

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use p256::elliptic_curve::sec1::{EncodedPoint, FromEncodedPoint, ModulusSize, ToEncodedPoint};
    use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, ScalarPrimitive};

    /// Points with random and small multipliers, and each of their near misses, judged here and by the curve's own crate.
    fn agrees_with<C: CurveArithmetic>(curve: Curve, modulus: &[u8])
    where
        AffinePoint<C>: FromEncodedPoint<C> + ToEncodedPoint<C>,
        FieldBytesSize<C>: ModulusSize,
        C::Scalar: From<ScalarPrimitive<C>>,
    {
        use p256::elliptic_curve::{Group as _, group::Curve as _};

        let len = curve.coordinate_len();
        let theirs = |x: &[u8], y: &[u8]| {
            let sec1 = [&[4], x, y].concat();
            EncodedPoint::<C>::from_bytes(&sec1)
                .is_ok_and(|point| Option::<AffinePoint<C>>::from(AffinePoint::<C>::from_encoded_point(&point)).is_some())
        };
        let mut seen = [0, 0];
        let mut judge = |x: &[u8], y: &[u8]| {
            let ours = is_on_curve(curve, x, y);
            assert_eq!(ours, theirs(x, y), "{x:02x?} {y:02x?}");
            seen[usize::from(ours)] += 1;
        };
        let mut point = C::ProjectivePoint::generator();
        for step in 0..if cfg!(miri) { 2 } else { 200_usize } {
            let encoded = point.to_affine().to_encoded_point(false);
            let (x, y) = (encoded.x().unwrap().to_vec(), encoded.y().unwrap().to_vec());
            judge(&x, &y);
            let mut flipped = y.clone();
            flipped[step % len] ^= 1 << (step % 8);
            judge(&x, &flipped);
            judge(&flipped, &y);
            judge(&y, &x);
            // -y is on the curve, and y + p is not a coordinate.
            let negative = subtract(modulus, &y);
            judge(&x, &negative);
            point += if step % 3 == 0 { point } else { C::ProjectivePoint::generator() };
        }
        let zero = std::vec![0; len];
        let ones = std::vec![0xff; len];
        for edge in [&zero, &ones, &modulus.to_vec(), &subtract(modulus, &from_one(len))] {
            for other in [&zero, &ones, &modulus.to_vec(), &from_one(len)] {
                judge(edge, other);
                judge(other, edge);
            }
        }
        assert!(cfg!(miri) || (seen[0] > 400 && seen[1] > 300), "{seen:?}");
    }

    fn from_one(len: usize) -> Vec<u8> {
        let mut one = std::vec![0; len];
        one[len - 1] = 1;
        one
    }

    fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut borrow = 0_i16;
        let mut difference: Vec<u8> = a
            .iter()
            .zip(b)
            .rev()
            .map(|(a, b)| {
                let digit = i16::from(*a) - i16::from(*b) - borrow;
                borrow = i16::from(digit < 0);
                u8::try_from(digit.rem_euclid(256)).unwrap()
            })
            .collect();
        difference.reverse();
        difference
    }

    fn modulus(equation: &Equation, len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = equation.p.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        bytes[bytes.len() - len..].to_vec()
    }

    #[test]
    fn p256_agrees() {
        agrees_with::<p256::NistP256>(Curve::P256, &modulus(&P256, 32));
    }

    #[test]
    fn p384_agrees() {
        agrees_with::<p384::NistP384>(Curve::P384, &modulus(&P384, 48));
    }

    #[test]
    fn p521_agrees() {
        agrees_with::<p521::NistP521>(Curve::P521, &modulus(&P521, 66));
    }
}
