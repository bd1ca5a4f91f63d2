//! The field of P-256 in Montgomery form, for machines that multiply 64-bit words: the same face as [`super::field`], which serves
//! WebAssembly. For verification only: nothing here is secret, and nothing takes constant time.
//!
//! An element is four limbs of 64 bits, always below `p`; Montgomery's `R` is `2^256`. Debug builds assert that on every way in.
#![expect(clippy::cast_possible_truncation, reason = "the low half of a 128-bit product is what is wanted")]

/// `p = 2^256 - 2^224 + 2^192 + 2^96 - 1` (FIPS 186-4 section D.1.2.3), in limbs.
const P: [u64; 4] = [u64::MAX, 0xffff_ffff, 0, 0xffff_ffff_0000_0001];

/// `R^2 mod p`: multiplying by it enters Montgomery form.
const R_SQUARED: FieldElement = FieldElement::power_of_two(512);

/// A number modulo `p`, in Montgomery form.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldElement([u64; 4]);

impl FieldElement {
    pub(super) const ZERO: Self = Self([0; 4]);
    /// 1 in Montgomery form: `R mod p`.
    pub(super) const ONE: Self = Self::power_of_two(256);

    /// The number with these big-endian octets; it may be `p` or more.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, word) in limbs.iter_mut().zip(bytes.rchunks_exact(8)) {
            *limb = word.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        }
        // Below 2^256 < 2p.
        Self::below_twice_p(limbs, false).times(&R_SQUARED)
    }

    /// `self * other`.
    pub(super) fn times(&self, other: &Self) -> Self {
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
    pub(super) fn squared(&self) -> Self {
        self.times(self)
    }

    /// `self - other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        self.assert_reduced();
        other.assert_reduced();
        let (difference, borrow) = subtract(self.0, other.0);
        if !borrow {
            return Self(difference);
        }
        // The difference is below 0 and above -p: adding p carries the borrow away again.
        Self(add(difference, P).0)
    }

    /// `self - a - 2b`, the shape of the x-coordinate of a sum of points.
    pub(super) fn minus_and_twice(&self, a: &Self, b: &Self) -> Self {
        self.minus(a).minus(&b.plus(b))
    }

    /// `factor * self`, for a small factor.
    pub(super) fn scaled<const FACTOR: u8>(&self) -> Self {
        const { assert!(FACTOR <= 8) };
        let mut sum = Self::ZERO;
        for bit in (0..4).rev() {
            sum = sum.plus(&sum);
            if FACTOR >> bit & 1 == 1 {
                sum = sum.plus(self);
            }
        }
        sum
    }

    /// Whether the number is 0 modulo `p`.
    pub(super) fn is_zero(&self) -> bool {
        self.equals(&Self::ZERO)
    }

    /// Whether two numbers are equal modulo `p`.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.assert_reduced();
        other.assert_reduced();
        self.0 == other.0
    }

    /// `1 / self`, by Fermat; 0 for 0. Slow: once per table.
    pub(super) fn inverted(&self) -> Self {
        // p - 2, from the top bit.
        const EXPONENT: [u64; 4] = [P[3], P[2], P[1], P[0] - 2];
        let mut power = Self::ONE;
        for word in EXPONENT {
            for bit in (0..64).rev() {
                power = power.squared();
                if word >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power
    }

    fn plus(&self, other: &Self) -> Self {
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
        /// The plain number, big-endian.
        fn to_bytes(self) -> [u8; 32] {
            let plain = self.times(&Self([1, 0, 0, 0]));
            let mut bytes = [0; 32];
            for (to, limb) in bytes.rchunks_exact_mut(8).zip(plain.0) {
                to.copy_from_slice(&limb.to_be_bytes());
            }
            bytes
        }
    }

    /// Every operation on both fields: what one says, the other says.
    fn compare(a: &[u8; 32], b: &[u8; 32]) {
        let (wide_a, wide_b) = (FieldElement::from_bytes(a), FieldElement::from_bytes(b));
        let (narrow_a, narrow_b) = (field::FieldElement::from_bytes(a), field::FieldElement::from_bytes(b));
        let same = |wide: FieldElement, narrow: field::FieldElement| {
            assert!(field::FieldElement::from_bytes(&wide.to_bytes()).equals(&narrow), "{a:02x?} {b:02x?}");
            assert_eq!(wide.is_zero(), narrow.is_zero(), "{a:02x?} {b:02x?}");
        };
        same(wide_a, narrow_a);
        same(wide_a.times(&wide_b), narrow_a.times(&narrow_b));
        same(wide_a.squared(), narrow_a.squared());
        same(wide_a.minus(&wide_b), narrow_a.minus(&narrow_b));
        same(wide_a.minus(&wide_a), narrow_a.minus(&narrow_a));
        same(wide_a.minus_and_twice(&wide_b, &wide_a), narrow_a.minus_and_twice(&narrow_b, &narrow_a));
        same(wide_b.minus_and_twice(&wide_a, &wide_b), narrow_b.minus_and_twice(&narrow_a, &narrow_b));
        same(wide_a.scaled::<2>(), narrow_a.scaled::<2>());
        same(wide_a.scaled::<3>(), narrow_a.scaled::<3>());
        same(wide_a.scaled::<8>(), narrow_a.scaled::<8>());
        assert_eq!(wide_a.equals(&wide_b), narrow_a.equals(&narrow_b), "{a:02x?} {b:02x?}");
    }

    /// Octets whose words are 0, 1, all ones and their like: carries, borrows and numbers around `p`.
    fn edges() -> Vec<[u8; 32]> {
        let words = [0_u64, 1, u64::MAX, u64::MAX - 1, 0xffff_ffff, 0xffff_ffff_0000_0001, 0xffff_ffff_0000_0000];
        let mut edges = Vec::new();
        for pattern in 0..words.len().pow(4) {
            let mut bytes = [0; 32];
            let mut rest = pattern;
            for word in bytes.chunks_exact_mut(8) {
                word.copy_from_slice(&words[rest % words.len()].to_be_bytes());
                rest /= words.len();
            }
            edges.push(bytes);
        }
        edges
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
            let digest = |label: u8| Sha256::digest([&[label], number.to_be_bytes().as_slice()].concat()).into();
            compare(&digest(0), &digest(1));
        }
    }

    #[test]
    fn constants_and_inverses() {
        assert!(FieldElement::ONE.to_bytes().iter().rev().eq([1].iter().chain(&[0; 31])));
        assert!(FieldElement::ZERO.inverted().is_zero());
        for number in 1_u8..50 {
            let element = FieldElement::from_bytes(&Sha256::digest([number]).into());
            assert!(element.times(&element.inverted()).equals(&FieldElement::ONE));
        }
    }
}
