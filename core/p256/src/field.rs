//! The field of P-256 in Montgomery form, for verification only: nothing here is secret, and nothing takes constant time.
//!
//! An element is nine limbs of 29 bits; Montgomery's `R` is `2^261`. 29 bits leave room for the sum of eighteen products of limbs and
//! all that reduction adds to it in 64 bits with a sign, which WebAssembly multiplies in one instruction (it has no 128-bit product).
//!
//! # Bounds
//!
//! A [`FieldElement`] has limbs 0 to 7 from 0 to `2^29 - 1`; limb 8 carries the sign. Its value `v` satisfies `|v| < 4p`, so that
//! `|limb 8| <= 2^26`. A [`Difference`] is one element less another, limb by limb and without a carry: limbs 0 to 7 are between
//! `-2^29` and `2^29`, and `|v| < 5.3p`. That products of two of them stay elements follows from `p / 2^261 < 1/32`: reduction takes
//! `T` to a value above `T / 2^261` and below `T / 2^261 + p`, and `5.3 * 5.3 / 32 < 0.9`. Sums of them are the callers' affair:
//! `point.rs` has the proof. [`FieldElement::canonical`] gives the one representative from 0 to `p - 1`. Debug builds assert all of
//! it on every way in and out of an operation.
#![expect(
    clippy::cast_possible_truncation,
    reason = "limbs are masked to 29 bits before a cast; the bounds stand beside each operation and debug builds assert them"
)]
#![expect(
    clippy::inline_always,
    reason = "calls would send limbs and columns through memory: a fifth of a verification in WebAssembly"
)]

use crate::{
    inverse::{self, Modulus},
    limbs::{self, Limbs},
};

/// Bits of a limb.
const BITS: u32 = 29;
const MASK: i64 = (1 << BITS) - 1;
/// Bits of the top limb that belong to a value below `2^256`.
const TOP_BITS: u32 = 24;

/// `p = 2^256 - 2^224 + 2^192 + 2^96 - 1` (FIPS 186-4 section D.1.2.3), in limbs.
const P: [i64; 9] = [MASK, MASK, MASK, (1 << 9) - 1, 0, 0, 1 << 18, (1 << 29) - (1 << 21), (1 << 24) - 1];

/// `R^2 mod p`: multiplying by it enters Montgomery form.
const R_SQUARED: FieldElement = FieldElement::power_of_two(2 * 261);

/// A number modulo `p`, in Montgomery form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldElement(Limbs);

/// The difference of two numbers: a factor, or something to compare with zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference(Limbs);

impl FieldElement {
    /// 1 in Montgomery form: `R mod p`.
    pub(crate) const ONE: Self = Self::power_of_two(261);

    /// The number of these 32-bit words, the lowest first; it may be `p` or more.
    pub(crate) fn from_words(words: &[u32; 8]) -> Self {
        Self(limbs::split::<BITS>(words)).times(&R_SQUARED)
    }

    /// `self * other`.
    pub(crate) fn times(&self, other: &Self) -> Self {
        self.assert_bounds();
        other.assert_bounds();
        product(&self.0, &other.0)
    }

    /// `self * self`.
    pub(crate) fn squared(&self) -> Self {
        self.assert_bounds();
        squared(&self.0)
    }

    /// `self - other`.
    #[inline(always)]
    pub(crate) fn minus(&self, other: &Self) -> Difference {
        self.assert_bounds();
        other.assert_bounds();
        let difference = Difference(core::array::from_fn(|i| self.0[i] - other.0[i]));
        difference.assert_bounds();
        difference
    }

    /// `self + other`, canonical. Slow: not for a verification.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.assert_bounds();
        other.assert_bounds();
        // Above -8p and below 8p.
        canonical(core::array::from_fn(|i| i64::from(self.0[i]) + i64::from(other.0[i])))
    }

    /// `factor * self` for a factor up to 3, canonical. Slow: not for a verification.
    pub(crate) fn scaled<const FACTOR: u8>(&self) -> Self {
        const { assert!(FACTOR <= 3) };
        self.assert_bounds();
        // Above -12p and below 12p.
        canonical(self.0.map(|limb| i64::from(FACTOR) * i64::from(limb)))
    }

    /// The representative from 0 to `p - 1`.
    pub(crate) fn canonical(&self) -> Self {
        self.scaled::<1>()
    }

    /// `1 / self`; 0 for 0. Slow: not for a verification.
    pub(crate) fn inverted(&self) -> Self {
        // R^2 over the number times R is the inverse times R.
        const START: [u32; 8] = limbs::join::<BITS>(&R_SQUARED.0);
        const MODULUS: Modulus = Modulus::new(&P_WORDS);
        let words = limbs::join::<BITS>(&self.canonical().0);
        Self(limbs::split::<BITS>(&inverse::over(&MODULUS, &START, &words)))
    }

    /// `2^exponent mod p` as a plain number, by doubling: used for the two constants above.
    const fn power_of_two(exponent: u32) -> Self {
        let mut value = Self([1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut done = 0;
        while done < exponent {
            let mut doubled = [0; 9];
            let mut i = 0;
            while i < 9 {
                doubled[i] = 2 * value.0[i] as i64;
                i += 1;
            }
            value = canonical(doubled);
            done += 1;
        }
        value
    }

    fn assert_bounds(&self) {
        debug_assert!(self.0[..8].iter().all(|limb| (0..=MASK).contains(&i64::from(*limb))) && self.0[8].abs() <= 1 << 26);
    }
}

impl Difference {
    /// `self * other`.
    #[inline(always)]
    pub(crate) fn times(&self, other: &FieldElement) -> FieldElement {
        self.assert_bounds();
        other.assert_bounds();
        product(&self.0, &other.0)
    }

    /// `self * self`.
    #[inline(always)]
    pub(crate) fn squared(&self) -> FieldElement {
        self.assert_bounds();
        squared(&self.0)
    }

    /// `self * self` less all of `others`. The caller knows that it stays between `-4p` and `4p`.
    pub(crate) fn squared_minus<const N: usize>(&self, others: [&FieldElement; N]) -> FieldElement {
        self.assert_bounds();
        let mut beside = [0; 9];
        for other in others {
            other.assert_bounds();
            for (limb, other) in beside.iter_mut().zip(other.0) {
                *limb -= i64::from(other);
            }
        }
        squared_and(&self.0, beside)
    }

    /// `self * factor - a * b`, with one reduction.
    #[inline(never)]
    pub(crate) fn times_minus(&self, factor: &Self, a: &FieldElement, b: &FieldElement) -> FieldElement {
        self.assert_bounds();
        factor.assert_bounds();
        a.assert_bounds();
        b.assert_bounds();
        // A column is at most 18 products of absolute values below 2^58: below 2^62.2.
        let mut columns = [0; 18];
        for i in 0..9 {
            for j in 0..9 {
                columns[i + j] += i64::from(self.0[i]) * i64::from(factor.0[j]) - i64::from(a.0[i]) * i64::from(b.0[j]);
            }
        }
        reduce(columns, [0; 9])
    }

    /// `-self` on demand, without a branch that would be guessed wrong half the time.
    #[inline(always)]
    pub(crate) fn negated_if(&self, negate: bool) -> Self {
        let sign = -i32::from(negate);
        Self(self.0.map(|limb| (limb ^ sign) - sign))
    }

    /// Whether the number is 0 modulo `p`.
    #[inline(always)]
    pub(crate) fn is_zero(&self) -> bool {
        self.assert_bounds();
        // Of the multiples of p from -5p to 5p, as p is -1 modulo 2^29, the lowest limb is from -5 to 5: that spares nearly every
        // call the full reduction.
        (i64::from(self.0[0]) + 5) & MASK <= 10 && self.canonical().0 == [0; 9]
    }

    /// The representative from 0 to `p - 1`. Slow: not for a verification.
    pub(crate) fn canonical(&self) -> FieldElement {
        canonical(self.0.map(i64::from))
    }

    fn assert_bounds(&self) {
        debug_assert!(self.0[..8].iter().all(|limb| i64::from(*limb).abs() <= MASK) && self.0[8].abs() < 53 << 21);
    }
}

impl From<FieldElement> for Difference {
    fn from(FieldElement(limbs): FieldElement) -> Self {
        Self(limbs)
    }
}

/// `p` in words.
const P_WORDS: [u32; 8] = [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 1, 0xffff_ffff];

#[inline(never)]
fn product(a: &Limbs, b: &Limbs) -> FieldElement {
    // A column is at most 9 products of absolute values below 2^58: below 2^61.2.
    let mut columns = [0; 18];
    for i in 0..9 {
        for j in 0..9 {
            columns[i + j] += i64::from(a[i]) * i64::from(b[j]);
        }
    }
    reduce(columns, [0; 9])
}

#[inline(never)]
fn squared(a: &Limbs) -> FieldElement {
    reduce(square(a), [0; 9])
}

#[inline(never)]
fn squared_and(a: &Limbs, beside: [i64; 9]) -> FieldElement {
    reduce(square(a), beside)
}

/// The columns of a square: those of the product, with twice a limb where a product occurs twice. Written out, since the compiler does
/// not unroll a triangle.
#[expect(clippy::many_single_char_names, reason = "limbs, from the lowest")]
#[inline(always)]
fn square(limbs: &Limbs) -> [i64; 18] {
    let [a, b, c, d, e, f, g, h, i] = limbs.map(i64::from);
    let [a2, b2, c2, d2, e2, f2, g2, h2] = [a, b, c, d, e, f, g, h].map(|limb| limb << 1);
    [
        a * a,
        a2 * b,
        a2 * c + b * b,
        a2 * d + b2 * c,
        a2 * e + b2 * d + c * c,
        a2 * f + b2 * e + c2 * d,
        a2 * g + b2 * f + c2 * e + d * d,
        a2 * h + b2 * g + c2 * f + d2 * e,
        a2 * i + b2 * h + c2 * g + d2 * f + e * e,
        b2 * i + c2 * h + d2 * g + e2 * f,
        c2 * i + d2 * h + e2 * g + f * f,
        d2 * i + e2 * h + f2 * g,
        e2 * i + f2 * h + g * g,
        f2 * i + g2 * h,
        g2 * i + h * h,
        h2 * i,
        i * i,
        0,
    ]
}

/// Montgomery reduction: `columns / 2^261 + beside`, modulo `p`.
///
/// As `p` is -1 modulo `2^29`, the multiple of `p` that clears a column is the column's own low limb `m`: `m * p` is
/// `m * (2^256 - 2^224 + 2^192 + 2^96) - m`, which takes `m` away and adds `m * 2^9` three columns on, `m * 2^18` six, `-m * 2^21`
/// seven and `m * 2^24` eight columns on.
///
/// Columns come in with absolute values below `2^62.2` and change by less than `2^54`; `beside` has limbs below `2^32`.
#[inline(always)]
fn reduce(mut columns: [i64; 18], beside: [i64; 9]) -> FieldElement {
    for i in 0..9 {
        debug_assert!(columns[i].unsigned_abs() < (18 << (2 * BITS)) + (1 << 54));
        let m = columns[i] & MASK;
        columns[i + 1] += columns[i] >> BITS;
        columns[i + 3] += m << 9;
        columns[i + 6] += m << 18;
        columns[i + 7] -= m << 21;
        columns[i + 8] += m << 24;
    }
    let mut limbs = [0; 9];
    let mut carry = 0;
    for i in 0..8 {
        let sum = columns[9 + i] + beside[i] + carry;
        limbs[i] = (sum & MASK) as i32;
        carry = sum >> BITS;
    }
    let top = columns[17] + beside[8] + carry;
    debug_assert!(top.abs() <= 1 << 26);
    limbs[8] = top as i32;
    FieldElement(limbs)
}

/// The one representative from 0 to `p - 1` of limbs whose value lies between `-16p` and `16p`; single limbs are below `2^33`.
#[inline(never)]
const fn canonical(value: [i64; 9]) -> FieldElement {
    // 16p more: from 0 to 32p, which is below 2^261.
    let mut limbs = [0; 9];
    let mut carry = 0;
    let mut i = 0;
    while i < 9 {
        let sum = value[i] + 16 * P[i] + carry;
        limbs[i] = if i < 8 { sum & MASK } else { sum };
        carry = sum >> BITS;
        i += 1;
    }
    // What stands above 2^256 is replaced by q * (2^224 - 2^192 - 2^96 + 1), as 2^256 is that modulo p: below 2^256 + 2^229 < 2p.
    let q = limbs[8] >> TOP_BITS;
    debug_assert!(q >= 0 && q < 32);
    limbs[8] &= (1 << TOP_BITS) - 1;
    limbs[0] += q;
    limbs[3] -= q << 9;
    limbs[6] -= q << 18;
    limbs[7] += q << 21;
    let mut once = [0; 9];
    let mut less = [0; 9];
    (carry, i) = (0, 0);
    let mut borrow = 0;
    while i < 9 {
        let sum = limbs[i] + carry;
        let of_less = limbs[i] - P[i] + borrow;
        (once[i], less[i]) = if i < 8 { ((sum & MASK) as i32, (of_less & MASK) as i32) } else { (sum as i32, of_less as i32) };
        (carry, borrow) = (sum >> BITS, of_less >> BITS);
        i += 1;
    }
    FieldElement(if less[8] < 0 { once } else { less })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(value: u32) -> FieldElement {
        FieldElement::from_words(&[value, 0, 0, 0, 0, 0, 0, 0])
    }

    fn same(a: &FieldElement, b: &FieldElement) -> bool {
        a.canonical().0 == b.canonical().0
    }

    #[test]
    fn small_numbers() {
        assert!(same(&element(6), &element(2).times(&element(3))));
        assert!(same(&element(49), &element(7).squared()));
        assert!(same(&element(5), &element(12).minus(&element(7)).canonical()));
        assert!(same(&element(1), &element(12).minus(&element(9)).squared_minus([&element(2), &element(3), &element(3)])));
        let (a, b) = (element(9).minus(&element(2)), element(2).minus(&element(9)));
        assert!(same(&element(6), &b.times_minus(&b, &element(43), &element(1))));
        assert!(same(&element(1), &a.times_minus(&b.negated_if(true), &element(6), &element(8))));
        assert!(same(&element(24), &element(12).scaled::<2>()) && same(&element(24), &element(8).scaled::<3>()));
        assert!(same(&element(24), &element(17).plus(&element(7))));
        assert!(same(&element(1), &FieldElement::ONE));
        assert!(element(9).minus(&element(9)).is_zero() && !element(9).minus(&element(8)).is_zero());
        assert!(Difference::from(FieldElement::from_words(&P_WORDS)).is_zero());
        assert!(same(&element(12_345).times(&element(12_345).inverted()), &FieldElement::ONE));
        assert!(same(&FieldElement([0; 9]).inverted(), &FieldElement([0; 9])));
    }

    /// `factor * p`, with all carries made.
    fn multiple_of_p(factor: i64) -> Limbs {
        let mut limbs = [0; 9];
        let mut carry = 0;
        for i in 0..9 {
            let sum = factor * P[i] + carry;
            limbs[i] = if i < 8 { (sum & MASK) as i32 } else { sum as i32 };
            carry = sum >> BITS;
        }
        limbs
    }

    #[test]
    fn all_multiples_of_p_are_zero() {
        for factor in -3..=3 {
            let multiple = FieldElement(multiple_of_p(factor));
            assert!(Difference::from(multiple).is_zero(), "{factor}");
            assert_eq!(multiple.canonical().0, [0; 9]);
            // As a difference, whose limbs have signs.
            for other in -3..=3 {
                if (factor - other).abs() > 5 {
                    continue;
                }
                let difference = multiple.minus(&FieldElement(multiple_of_p(other)));
                assert!(difference.is_zero(), "{factor} {other}");
                let mut near = difference;
                near.0[3] ^= 1;
                assert!(!near.is_zero(), "{factor} {other}");
            }
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let minus_one = element(0).minus(&element(1));
        assert!(same(&minus_one.squared(), &FieldElement::ONE));
        let mut below_p = P_WORDS;
        below_p[0] -= 1;
        assert!(same(&FieldElement::from_words(&below_p), &minus_one.canonical()));
        assert!(same(&FieldElement::from_words(&[u32::MAX; 8]).minus(&FieldElement::from_words(&P_WORDS)).canonical(), &{
            let mut words = [0; 8];
            words[3..].copy_from_slice(&[u32::MAX, u32::MAX, u32::MAX, u32::MAX - 1, 0]);
            FieldElement::from_words(&words)
        }));
        // The elements and differences that are furthest from 0: nothing overflows, and what they are modulo p decides.
        let full = MASK as i32;
        let ends = [1 << 26, -(1 << 26)].map(|top| FieldElement([full, full, full, full, full, full, full, full, top]));
        let top = (53 << 21) - 1;
        let apart = [[full; 9], [-full; 9]].map(|mut limbs| {
            limbs[8] = if limbs[0] > 0 { top } else { -top };
            Difference(limbs)
        });
        for a in ends {
            assert!(same(&a.squared(), &a.canonical().squared()));
            for b in ends {
                assert!(same(&a.times(&b), &a.canonical().times(&b.canonical())));
                assert!(same(&a.plus(&b), &a.canonical().plus(&b.canonical())));
            }
            for b in apart {
                assert!(same(&b.times(&a), &a.canonical().times(&b.canonical())));
                assert!(same(&b.negated_if(true).times(&a), &FieldElement([0; 9]).minus(&b.times(&a).canonical()).canonical()));
                assert!(same(&b.squared(), &b.canonical().squared()));
                for c in apart {
                    for d in ends {
                        let (of_b, of_c) = (Difference::from(b.canonical()), Difference::from(c.canonical()));
                        let (of_a, of_d) = (a.canonical(), d.canonical());
                        assert!(same(&b.times_minus(&c, &a, &d), &of_b.times_minus(&of_c, &of_a, &of_d)));
                    }
                }
            }
        }
    }
}
