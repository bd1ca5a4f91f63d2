//! Quotients modulo primes of 256 bits, for verification only: nothing here is secret, and nothing takes constant time.
//!
//! The division steps of Bernstein and Yang ("Fast constant-time gcd computation and modular inversion", 2019) in batches of 30, in
//! the variable-time form of libsecp256k1's `modinv32`: a third of the time that p256's own inversion takes in WebAssembly, where it
//! would be a quarter of a verification.
//!
//! # Bounds
//!
//! Numbers are nine signed limbs: limbs 0 to 7 from 0 to `2^30 - 1`, limb 8 carries the sign. The rows of a [`Matrix`] have entries
//! whose absolute values sum to at most `2^30`, so that a row times two limbs, a multiple of the modulus' limb and the carry are below
//! `2^62` in 64 bits. `d` and `e` stay between -2 and 1 times the modulus, `f` and `g` between -1 and 1. Debug builds assert it.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "limbs are masked to 30 bits before a cast; the bounds stand above and debug builds assert them"
)]

use crate::limbs;

/// Bits of a limb, and division steps of a batch.
const BITS: u32 = 30;
const MASK: i32 = (1 << BITS) - 1;
const LIMBS: usize = 9;

type Number = limbs::Limbs;

/// A modulus.
pub(crate) struct Modulus {
    limbs: Number,
    /// `1 / modulus mod 2^30`.
    inverse: u32,
}

/// What a batch of division steps does to `(f, g)`, times `2^30`: `f' = u f + v g`, `g' = q f + r g`.
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

impl Modulus {
    /// An odd modulus of 256 bits, as words of 32 bits, the lowest first.
    pub(crate) const fn new(words: &[u32; 8]) -> Self {
        Self { limbs: limbs::split::<BITS>(words), inverse: of_odd(words[0]) & MASK as u32 }
    }
}

/// `1 / odd mod 2^32`.
pub(crate) const fn of_odd(odd: u32) -> u32 {
    // An odd number is its own inverse modulo 8; each step doubles the bits.
    let mut inverse = odd;
    let mut bits = 3;
    while bits < 32 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// `dividend / divisor` modulo a prime, in words as [`Modulus::new`] takes them; both are below the modulus. 0 for a divisor of 0.
pub(crate) fn over(modulus: &Modulus, dividend: &[u32; 8], divisor: &[u32; 8]) -> [u32; 8] {
    // Every step is linear in d and e: begun with the dividend instead of 1, they end with the quotient instead of the inverse.
    let (mut d, mut e) = ([0; LIMBS], limbs::split::<BITS>(dividend));
    let (mut f, mut g) = (modulus.limbs, limbs::split::<BITS>(divisor));
    let mut eta = -1;
    // 741 steps are enough for any 256-bit modulus (section 11 of the paper); g is 0 long before.
    for _ in 0..742_u32.div_ceil(BITS) {
        if g == [0; LIMBS] {
            break;
        }
        let matrix = division_steps(&mut eta, f[0] as u32, g[0] as u32);
        update_inverses(modulus, &mut d, &mut e, &matrix);
        update_numbers(&mut f, &mut g, &matrix);
    }
    debug_assert!(g == [0; LIMBS]);
    limbs::join::<BITS>(&normalized(modulus, d, f[LIMBS - 1] < 0))
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

/// `(d, e)` times the matrix, over `2^30`, modulo the modulus.
fn update_inverses(modulus: &Modulus, d: &mut Number, e: &mut Number, matrix: &Matrix) {
    let Matrix { u, v, q, r } = *matrix;
    // The modulus is added where a number is negative, and then so often that the lowest limb of the product is 0.
    let (d_sign, e_sign) = (i64::from(d[LIMBS - 1] >> 31), i64::from(e[LIMBS - 1] >> 31));
    let (mut d_times, mut e_times) = ((u & d_sign) + (v & e_sign), (q & d_sign) + (r & e_sign));
    let (mut d_carry, mut e_carry) = (u * i64::from(d[0]) + v * i64::from(e[0]), q * i64::from(d[0]) + r * i64::from(e[0]));
    let clearing =
        |low: i64, times: i64| i64::from(modulus.inverse.wrapping_mul(low as u32).wrapping_add(times as u32) & MASK as u32);
    d_times -= clearing(d_carry, d_times);
    e_times -= clearing(e_carry, e_times);
    d_carry += i64::from(modulus.limbs[0]) * d_times;
    e_carry += i64::from(modulus.limbs[0]) * e_times;
    debug_assert!(d_carry & i64::from(MASK) == 0 && e_carry & i64::from(MASK) == 0);
    for i in 1..LIMBS {
        let (of_d, of_e, of_modulus) = (i64::from(d[i]), i64::from(e[i]), i64::from(modulus.limbs[i]));
        d_carry = (d_carry >> BITS) + u * of_d + v * of_e + of_modulus * d_times;
        e_carry = (e_carry >> BITS) + q * of_d + r * of_e + of_modulus * e_times;
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

/// `number`, negated on demand, as the one representative from 0 to the modulus less 1; it comes in between `-2` and 1 of it.
fn normalized(modulus: &Modulus, mut number: Number, negate: bool) -> Number {
    if number[LIMBS - 1] < 0 {
        number = carried(core::array::from_fn(|i| number[i] + modulus.limbs[i]));
    }
    if negate {
        number = carried(number.map(|limb| -limb));
    }
    if number[LIMBS - 1] < 0 {
        number = carried(core::array::from_fn(|i| number[i] + modulus.limbs[i]));
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
