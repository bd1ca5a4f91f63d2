//! The field of P-256 in Montgomery form, for machines that multiply 64-bit words: the same face as `field`, which serves
//! WebAssembly. For verification only: nothing here is secret, and nothing takes constant time.
//!
//! An element is four limbs of 64 bits, always below `p`; Montgomery's `R` is `2^256`. Debug builds assert that on every way in.
#![expect(clippy::cast_possible_truncation, reason = "the low half of a 128-bit product is what is wanted")]

use crate::inverse::{self, Modulus};

/// `p = 2^256 - 2^224 + 2^192 + 2^96 - 1` (FIPS 186-4 section D.1.2.3), in limbs.
const P: [u64; 4] = [u64::MAX, 0xffff_ffff, 0, 0xffff_ffff_0000_0001];

/// `R^2 mod p`: multiplying by it enters Montgomery form.
const R_SQUARED: FieldElement = FieldElement::power_of_two(512);

/// A number modulo `p`, in Montgomery form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldElement([u64; 4]);

/// The difference of two numbers: here an element like any other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference(FieldElement);

impl FieldElement {
    const ZERO: Self = Self([0; 4]);
    /// 1 in Montgomery form: `R mod p`.
    pub(crate) const ONE: Self = Self::power_of_two(256);

    /// The number of these 32-bit words, the lowest first; it may be `p` or more.
    pub(crate) fn from_words(words: &[u32; 8]) -> Self {
        // Below 2^256 < 2p.
        Self::below_twice_p(joined(words), false).times(&R_SQUARED)
    }

    /// `self * other`.
    pub(crate) fn times(&self, other: &Self) -> Self {
        self.assert_reduced();
        other.assert_reduced();
        let mut product = [0; 8];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.0.iter().enumerate() {
                (product[i + j], carry) = multiply_add(product[i + j], *a, *b, carry);
            }
            product[i + 4] = carry;
        }
        Self::reduce(product)
    }

    /// `self * self`.
    pub(crate) fn squared(&self) -> Self {
        self.times(self)
    }

    /// `self - other`.
    pub(crate) fn minus(&self, other: &Self) -> Difference {
        Difference(self.less(other))
    }

    fn less(&self, other: &Self) -> Self {
        self.assert_reduced();
        other.assert_reduced();
        let (difference, borrow) = subtract(self.0, other.0);
        if !borrow {
            return Self(difference);
        }
        // The difference is below 0 and above -p: adding p carries the borrow away again.
        Self(add(difference, P).0)
    }

    /// `factor * self`, for a factor up to 3.
    pub(crate) fn scaled<const FACTOR: u8>(&self) -> Self {
        const { assert!(FACTOR <= 3) };
        (1..FACTOR).fold(*self, |sum, _| sum.plus(self))
    }

    /// The representative from 0 to `p - 1`.
    pub(crate) fn canonical(&self) -> Self {
        *self
    }

    /// `1 / self`; 0 for 0. Slow: not for a verification.
    pub(crate) fn inverted(&self) -> Self {
        // R^2 over the number times R is the inverse times R.
        const START: [u32; 8] = split(&R_SQUARED.0);
        const MODULUS: Modulus = Modulus::new(&split(&P));
        Self(joined(&inverse::over(&MODULUS, &START, &split(&self.0))))
    }

    /// `self + other`.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.assert_reduced();
        other.assert_reduced();
        let (sum, carry) = add(self.0, other.0);
        Self::below_twice_p(sum, carry)
    }

    /// `2^exponent mod p` as a plain number, by doubling: used for the two constants above.
    const fn power_of_two(exponent: u32) -> Self {
        let mut value = Self([1, 0, 0, 0]);
        let mut done = 0;
        while done < exponent {
            let (doubled, carry) = add(value.0, value.0);
            value = Self::below_twice_p(doubled, carry);
            done += 1;
        }
        value
    }

    /// A number below `2p`, with its bit 256 in `carry`, as the one below `p`.
    const fn below_twice_p(limbs: [u64; 4], carry: bool) -> Self {
        let (difference, borrow) = subtract(limbs, P);
        // It was below p if the subtraction borrows more than there was above 2^256.
        if borrow && !carry { Self(limbs) } else { Self(difference) }
    }

    /// Montgomery reduction: `product / 2^256 mod p`, for a product below `p^2`.
    ///
    /// As `p` is -1 modulo `2^64`, the multiple of `p` that clears a limb is that limb `m` itself. `m * p` is
    /// `m * 2^96 - m`, which clears the limb and adds `m * 2^96`, and `m * (2^64 - 2^32 + 1)` three limbs on. The sum is below
    /// `p^2 + 2^256 p`, so the result is below `2p`.
    #[inline]
    fn reduce(mut product: [u64; 8]) -> Self {
        let mut above = 0;
        for i in 0..4 {
            let m = product[i];
            let mut carry;
            (product[i + 1], carry) = multiply_add(product[i + 1], m, 1 << 32, 0);
            (product[i + 2], carry) = add_carry(product[i + 2], carry);
            (product[i + 3], carry) = multiply_add(product[i + 3], m, P[3], carry);
            // What the step before carried out belongs to this limb.
            let sum = u128::from(product[i + 4]) + u128::from(carry) + u128::from(above);
            product[i + 4] = sum as u64;
            above = (sum >> 64) as u64;
        }
        debug_assert!(above <= 1);
        let [_, _, _, _, a, b, c, d] = product;
        let reduced = Self::below_twice_p([a, b, c, d], above == 1);
        reduced.assert_reduced();
        reduced
    }

    fn assert_reduced(&self) {
        debug_assert!(subtract(self.0, P).1);
    }
}

impl Difference {
    /// `self * other`.
    pub(crate) fn times(&self, other: &FieldElement) -> FieldElement {
        self.0.times(other)
    }

    /// `self * self`.
    pub(crate) fn squared(&self) -> FieldElement {
        self.0.squared()
    }

    /// `self * self` less all of `others`.
    pub(crate) fn squared_minus<const N: usize>(&self, others: [&FieldElement; N]) -> FieldElement {
        others.into_iter().fold(self.0.squared(), |difference, other| difference.less(other))
    }

    /// `self * factor - a * b`.
    pub(crate) fn times_minus(&self, factor: &Self, a: &FieldElement, b: &FieldElement) -> FieldElement {
        self.0.times(&factor.0).less(&a.times(b))
    }

    /// `-self` on demand.
    pub(crate) fn negated_if(&self, negate: bool) -> Self {
        if negate { FieldElement::ZERO.minus(&self.0) } else { *self }
    }

    /// Whether the number is 0 modulo `p`.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.0 == [0; 4]
    }

    /// The representative from 0 to `p - 1`.
    pub(crate) fn canonical(&self) -> FieldElement {
        self.0
    }
}

impl From<FieldElement> for Difference {
    fn from(element: FieldElement) -> Self {
        Self(element)
    }
}

/// Two 32-bit words in each limb.
const fn joined(words: &[u32; 8]) -> [u64; 4] {
    let mut limbs = [0; 4];
    let mut i = 0;
    while i < 4 {
        limbs[i] = words[2 * i] as u64 | (words[2 * i + 1] as u64) << 32;
        i += 1;
    }
    limbs
}

/// The inverse of [`joined`].
const fn split(limbs: &[u64; 4]) -> [u32; 8] {
    let mut words = [0; 8];
    let mut i = 0;
    while i < 4 {
        words[2 * i] = limbs[i] as u32;
        words[2 * i + 1] = (limbs[i] >> 32) as u32;
        i += 1;
    }
    words
}

/// `sum + a * b + carry` as a low and a high word: at most `(2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1`.
fn multiply_add(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(sum) + u128::from(carry);
    (wide as u64, (wide >> 64) as u64)
}

fn add_carry(sum: u64, carry: u64) -> (u64, u64) {
    let (sum, overflow) = sum.overflowing_add(carry);
    (sum, u64::from(overflow))
}

/// `a + b`, and whether it has a bit 256.
const fn add(a: [u64; 4], b: [u64; 4]) -> ([u64; 4], bool) {
    let mut sum = [0; 4];
    let mut carry = false;
    let mut i = 0;
    while i < 4 {
        let (partial, first) = a[i].overflowing_add(b[i]);
        let (whole, second) = partial.overflowing_add(carry as u64);
        sum[i] = whole;
        carry = first | second;
        i += 1;
    }
    (sum, carry)
}

/// `a - b`, and whether it is below 0.
const fn subtract(a: [u64; 4], b: [u64; 4]) -> ([u64; 4], bool) {
    let mut difference = [0; 4];
    let mut borrow = false;
    let mut i = 0;
    while i < 4 {
        let (partial, first) = a[i].overflowing_sub(b[i]);
        let (whole, second) = partial.overflowing_sub(borrow as u64);
        difference[i] = whole;
        borrow = first | second;
        i += 1;
    }
    (difference, borrow)
}

#[cfg(test)]
mod tests {
    use super::{super::field, *};
    use alloc::vec::Vec;
    use sha2::{Digest as _, Sha256};

    impl FieldElement {
        /// The plain number.
        fn to_words(self) -> [u32; 8] {
            split(&self.times(&Self([1, 0, 0, 0])).0)
        }

        fn equals(&self, other: &Self) -> bool {
            self.minus(other).is_zero()
        }
    }

    /// Every operation on both fields: what one says, the other says.
    fn compare(a: &[u32; 8], b: &[u32; 8]) {
        let (wide_a, wide_b) = (FieldElement::from_words(a), FieldElement::from_words(b));
        let (narrow_a, narrow_b) = (field::FieldElement::from_words(a), field::FieldElement::from_words(b));
        let same = |wide: FieldElement, narrow: field::FieldElement| {
            let difference = field::FieldElement::from_words(&wide.to_words()).minus(&narrow);
            assert!(difference.is_zero(), "{a:02x?} {b:02x?}");
            let is_zero = field::Difference::from(narrow).is_zero();
            assert_eq!(Difference::from(wide).is_zero(), is_zero, "{a:02x?} {b:02x?}");
        };
        same(wide_a, narrow_a);
        same(wide_a.times(&wide_b), narrow_a.times(&narrow_b));
        same(wide_a.squared(), narrow_a.squared());
        same(wide_a.plus(&wide_b), narrow_a.plus(&narrow_b));
        same(wide_a.scaled::<2>(), narrow_a.scaled::<2>());
        same(wide_a.scaled::<3>(), narrow_a.scaled::<3>());
        let (wide, narrow) = (wide_a.minus(&wide_b), narrow_a.minus(&narrow_b));
        assert_eq!(wide.is_zero(), narrow.is_zero(), "{a:02x?} {b:02x?}");
        assert!(wide_a.minus(&wide_a).is_zero() && narrow_a.minus(&narrow_a).is_zero());
        same(wide.canonical(), narrow.canonical());
        same(wide.squared(), narrow.squared());
        same(wide.times(&wide_b), narrow.times(&narrow_b));
        same(wide.squared_minus([&wide_a]), narrow.squared_minus([&narrow_a]));
        same(wide.squared_minus([&wide_a, &wide_b, &wide_b]), narrow.squared_minus([&narrow_a, &narrow_b, &narrow_b]));
        let (wide_back, narrow_back) = (wide_b.minus(&wide_a), narrow_b.minus(&narrow_a));
        same(wide.times_minus(&wide_back, &wide_a, &wide_b), narrow.times_minus(&narrow_back, &narrow_a, &narrow_b));
        for negate in [true, false] {
            same(wide.negated_if(negate).canonical(), narrow.negated_if(negate).canonical());
        }
    }

    /// Numbers whose double words are 0, 1, all ones and their like: carries, borrows and numbers around `p`.
    fn edges() -> Vec<[u32; 8]> {
        let words = [0_u64, 1, u64::MAX, u64::MAX - 1, 0xffff_ffff, 0xffff_ffff_0000_0001, 0xffff_ffff_0000_0000];
        (0..words.len().pow(4))
            .map(|pattern| {
                let mut rest = pattern;
                split(&core::array::from_fn(|_| {
                    let word = words[rest % words.len()];
                    rest /= words.len();
                    word
                }))
            })
            .collect()
    }

    fn digest(octets: &[u8]) -> [u32; 8] {
        crate::scalar::from_bytes(&Sha256::digest(octets).into())
    }

    #[test]
    fn both_fields_agree_on_edges() {
        let edges = edges();
        for (index, a) in edges.iter().enumerate() {
            // Each with itself, and with some forty others.
            for b in edges.iter().skip(index % 61).step_by(61).chain([a]) {
                compare(a, b);
            }
        }
    }

    #[test]
    fn both_fields_agree_on_many_numbers() {
        for number in 0_u32..5_000 {
            let of = |label: u8| digest(&[&[label], number.to_be_bytes().as_slice()].concat());
            compare(&of(0), &of(1));
        }
    }

    #[test]
    fn constants_and_inverses() {
        assert_eq!(FieldElement::ONE.to_words(), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Difference(FieldElement::ZERO.inverted()).is_zero());
        for number in 1_u8..50 {
            let element = FieldElement::from_words(&digest(&[number]));
            assert!(element.times(&element.inverted()).equals(&FieldElement::ONE));
            let element = field::FieldElement::from_words(&digest(&[number]));
            assert!(element.times(&element.inverted()).minus(&field::FieldElement::ONE).is_zero());
        }
    }
}
