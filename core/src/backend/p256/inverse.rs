//! Inverses modulo the order of P-256, for verification only: nothing here is secret, and nothing takes constant time.
//!
//! The division steps of Bernstein and Yang ("Fast constant-time gcd computation and modular inversion", 2019) in batches of 30, in
//! the variable-time form of libsecp256k1's `modinv32`: a third of the time that p256's own inversion takes in WebAssembly, where it
//! would be a quarter of a verification.
//!
//! # Bounds
//!
//! Numbers are nine signed limbs: limbs 0 to 7 from 0 to `2^30 - 1`, limb 8 carries the sign. The rows of a [`Matrix`] have entries
//! whose absolute values sum to at most `2^30`, so that a row times two limbs, a multiple of the modulus' limb and the carry are below
//! `2^62` in 64 bits. `d` and `e` stay between `-2n` and `n`, `f` and `g` between `-n` and `n`. Debug builds assert it.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "limbs are masked to 30 bits before a cast; the bounds stand above and debug builds assert them"
)]

use p256::{
    Scalar,
    elliptic_curve::{PrimeField as _, ops::Reduce as _},
};

/// Bits of a limb, and division steps of a batch.
const BITS: u32 = 30;
const MASK: i32 = (1 << BITS) - 1;
const LIMBS: usize = 9;

type Number = [i32; LIMBS];

/// `n` (FIPS 186-4 section D.1.2.3), in limbs.
const ORDER: Number =
    [0x3c63_2551, 0x0ee7_2b0b, 0x3179_e84f, 0x39be_ab69, 0x3fff_ffbc, 0x3fff_ffff, 0x0000_0fff, 0x3fff_c000, 0x0000_ffff];
/// `n^-1 mod 2^30`.
const ORDER_INVERSE: u32 = {
    let order = ORDER[0] as u32;
    // An odd number is its own inverse modulo 8; each step doubles the bits.
    let mut inverse = order;
    let mut bits = 3;
    while bits < BITS {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(order.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse & MASK as u32
};

/// What a batch of division steps does to `(f, g)`, times `2^30`: `f' = u f + v g`, `g' = q f + r g`.
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// `1 / scalar`; 0 for 0.
pub(super) fn inverted(scalar: &Scalar) -> Scalar {
    let (mut d, mut e) = ([0; LIMBS], [0; LIMBS]);
    e[0] = 1;
    let (mut f, mut g) = (ORDER, limbs_of(&scalar.to_repr().into()));
    let mut eta = -1;
    // 741 steps are enough for any 256-bit modulus (section 11 of the paper); g is 0 long before.
    for _ in 0..742_u32.div_ceil(BITS) {
        if g == [0; LIMBS] {
            break;
        }
        let matrix = division_steps(&mut eta, f[0] as u32, g[0] as u32);
        update_inverses(&mut d, &mut e, &matrix);
        update_numbers(&mut f, &mut g, &matrix);
    }
    debug_assert!(g == [0; LIMBS]);
    Scalar::reduce_bytes(&bytes_of(&normalized(d, f[LIMBS - 1] < 0)).into())
}

/// Thirty division steps on the lowest limbs; `eta` is the paper's `-delta`.
#[expect(clippy::many_single_char_names, reason = "the names of the paper")]
fn division_steps(eta: &mut i32, mut f: u32, mut g: u32) -> Matrix {
    let (mut u, mut v, mut q, mut r) = (1_u32, 0_u32, 0_u32, 1_u32);
    let mut left = BITS;
    loop {
        // As many steps that halve an even g as there are left.
        let zeros = (g | u32::MAX << left).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        *eta -= zeros as i32;
        left -= zeros;
        if left == 0 {
            break;
        }
        debug_assert!(f & 1 == 1 && g & 1 == 1);
        if *eta < 0 {
            *eta = -*eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // At most so many of the next steps add f to g without a swap: all at once, by the multiple of f that clears these bits of
        // g. f (f^2 - 2) is -1/f modulo 64.
        let bits = (*eta as u32 + 1).min(left).min(6);
        let mask = u32::MAX >> (32 - bits);
        let multiple = f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & mask;
        g = g.wrapping_add(f.wrapping_mul(multiple));
        q = q.wrapping_add(u.wrapping_mul(multiple));
        r = r.wrapping_add(v.wrapping_mul(multiple));
        debug_assert!(g & mask == 0);
    }
    let [u, v, q, r] = [u, v, q, r].map(|entry| i64::from(entry as i32));
    debug_assert!(u.abs() + v.abs() <= 1 << BITS && q.abs() + r.abs() <= 1 << BITS);
    Matrix { u, v, q, r }
}

/// `(d, e)` times the matrix, over `2^30`, modulo `n`.
fn update_inverses(d: &mut Number, e: &mut Number, matrix: &Matrix) {
    let Matrix { u, v, q, r } = *matrix;
    // n is added where a number is negative, and then so often that the lowest limb of the product is 0.
    let (d_sign, e_sign) = (i64::from(d[LIMBS - 1] >> 31), i64::from(e[LIMBS - 1] >> 31));
    let (mut d_times, mut e_times) = ((u & d_sign) + (v & e_sign), (q & d_sign) + (r & e_sign));
    let (mut d_carry, mut e_carry) = (u * i64::from(d[0]) + v * i64::from(e[0]), q * i64::from(d[0]) + r * i64::from(e[0]));
    let clearing =
        |low: i64, times: i64| i64::from(ORDER_INVERSE.wrapping_mul(low as u32).wrapping_add(times as u32) & MASK as u32);
    d_times -= clearing(d_carry, d_times);
    e_times -= clearing(e_carry, e_times);
    d_carry += i64::from(ORDER[0]) * d_times;
    e_carry += i64::from(ORDER[0]) * e_times;
    debug_assert!(d_carry & i64::from(MASK) == 0 && e_carry & i64::from(MASK) == 0);
    for i in 1..LIMBS {
        let (of_d, of_e, of_order) = (i64::from(d[i]), i64::from(e[i]), i64::from(ORDER[i]));
        d_carry = (d_carry >> BITS) + u * of_d + v * of_e + of_order * d_times;
        e_carry = (e_carry >> BITS) + q * of_d + r * of_e + of_order * e_times;
        debug_assert!(d_carry.unsigned_abs() < 1 << 62 && e_carry.unsigned_abs() < 1 << 62);
        d[i - 1] = d_carry as i32 & MASK;
        e[i - 1] = e_carry as i32 & MASK;
    }
    (d[LIMBS - 1], e[LIMBS - 1]) = top(d_carry, e_carry);
}

/// `(f, g)` times the matrix, over `2^30`: the division is exact.
fn update_numbers(f: &mut Number, g: &mut Number, matrix: &Matrix) {
    let Matrix { u, v, q, r } = *matrix;
    let (mut f_carry, mut g_carry) = (u * i64::from(f[0]) + v * i64::from(g[0]), q * i64::from(f[0]) + r * i64::from(g[0]));
    debug_assert!(f_carry & i64::from(MASK) == 0 && g_carry & i64::from(MASK) == 0);
    for i in 1..LIMBS {
        let (of_f, of_g) = (i64::from(f[i]), i64::from(g[i]));
        f_carry = (f_carry >> BITS) + u * of_f + v * of_g;
        g_carry = (g_carry >> BITS) + q * of_f + r * of_g;
        f[i - 1] = f_carry as i32 & MASK;
        g[i - 1] = g_carry as i32 & MASK;
    }
    (f[LIMBS - 1], g[LIMBS - 1]) = top(f_carry, g_carry);
}

/// The top limbs, with their signs.
fn top(a: i64, b: i64) -> (i32, i32) {
    let (a, b) = (a >> BITS, b >> BITS);
    debug_assert!(a.unsigned_abs() < 1 << 18 && b.unsigned_abs() < 1 << 18);
    (a as i32, b as i32)
}

/// `number`, negated on demand, as the one representative from 0 to `n - 1`; it comes in between `-2n` and `n`.
fn normalized(mut number: Number, negate: bool) -> Number {
    if number[LIMBS - 1] < 0 {
        number = carried(core::array::from_fn(|i| number[i] + ORDER[i]));
    }
    if negate {
        number = carried(number.map(|limb| -limb));
    }
    if number[LIMBS - 1] < 0 {
        number = carried(core::array::from_fn(|i| number[i] + ORDER[i]));
    }
    debug_assert!(number[LIMBS - 1] >= 0);
    number
}

fn carried(mut number: Number) -> Number {
    for i in 0..LIMBS - 1 {
        number[i + 1] += number[i] >> BITS;
        number[i] &= MASK;
    }
    number
}

/// The number with these big-endian octets.
fn limbs_of(bytes: &[u8; 32]) -> Number {
    let mut limbs = [0; LIMBS];
    for (index, byte) in bytes.iter().rev().enumerate() {
        let (limb, shift) = (index * 8 / BITS as usize, index as u32 * 8 % BITS);
        let spread = u64::from(*byte) << shift;
        limbs[limb] |= (spread & MASK as u64) as i32;
        if let Some(next) = limbs.get_mut(limb + 1) {
            *next |= (spread >> BITS) as i32;
        }
    }
    limbs
}

/// The big-endian octets of a number from 0 to `2^256 - 1`.
fn bytes_of(number: &Number) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().rev().enumerate() {
        let (limb, shift) = (index * 8 / BITS as usize, index as u32 * 8 % BITS);
        let next = number.get(limb + 1).copied().unwrap_or(0);
        let pair = i64::from(number[limb]) | i64::from(next) << BITS;
        *byte = (pair >> shift) as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::elliptic_curve::{Curve as _, bigint::ArrayEncoding as _};
    use sha2::{Digest as _, Sha256};

    fn check(scalar: Scalar) {
        let expected = Option::<Scalar>::from(scalar.invert()).unwrap_or(Scalar::ZERO);
        assert_eq!(inverted(&scalar), expected, "{scalar:?}");
    }

    #[test]
    fn the_order_is_the_curves() {
        assert_eq!(bytes_of(&ORDER), *p256::NistP256::ORDER.to_be_byte_array());
        assert_eq!(limbs_of(&bytes_of(&ORDER)), ORDER);
        assert_eq!((ORDER[0] as u32).wrapping_mul(ORDER_INVERSE) & MASK as u32, 1);
    }

    #[test]
    fn inverses_at_the_ends_and_at_powers_of_two() {
        assert_eq!(inverted(&Scalar::ZERO), Scalar::ZERO);
        let mut power = Scalar::ONE;
        for _ in 0..256 {
            for scalar in [power, -power, power - Scalar::ONE, power + Scalar::ONE] {
                check(scalar);
            }
            power = power.double();
        }
        for small in 1..300_u64 {
            check(Scalar::from(small));
            check(-Scalar::from(small));
        }
    }

    #[test]
    fn inverses_of_many_numbers() {
        for number in 0_u32..20_000 {
            let scalar = Scalar::reduce_bytes(&Sha256::digest(number.to_be_bytes()));
            assert_eq!(inverted(&scalar) * scalar, Scalar::ONE, "{number}");
        }
    }
}
