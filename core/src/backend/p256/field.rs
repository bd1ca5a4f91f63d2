//! The field of P-256 in Montgomery form, for verification only: nothing here is secret, and nothing takes constant time.
//!
//! An element is nine limbs of 29 bits; Montgomery's `R` is `2^261`. 29 bits leave room for the sum of nine products of limbs and
//! all that reduction adds to it in 64 bits, which WebAssembly multiplies in one instruction (it has no 128-bit product).
//!
//! # Bounds
//!
//! Every element that leaves a function is *tight*: limbs 0 to 7 are below `2^29`, limb 8 below `2^25`, so the value is below
//! `2^257`; it need not be below `p`. [`FieldElement::canonical`] alone gives the one representative below `p`. Debug builds assert
//! tightness on every way in and out of an operation.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "limbs are masked to 29 bits before a cast; the bounds stand beside each operation and debug builds assert them"
)]

/// Bits of a limb.
const BITS: u32 = 29;
const MASK: u64 = (1 << BITS) - 1;
/// Bits of the top limb that belong to a value below `2^256`.
const TOP_BITS: u32 = 24;

/// `p = 2^256 - 2^224 + 2^192 + 2^96 - 1` (FIPS 186-4 section D.1.2.3), in limbs.
const P: [i64; 9] =
    [(1 << 29) - 1, (1 << 29) - 1, (1 << 29) - 1, (1 << 9) - 1, 0, 0, 1 << 18, (1 << 29) - (1 << 21), (1 << 24) - 1];

/// `R^2 mod p`: multiplying by it enters Montgomery form.
const R_SQUARED: FieldElement = FieldElement::power_of_two(2 * 261);

/// A number modulo `p`, in Montgomery form.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldElement([u32; 9]);

impl FieldElement {
    pub(super) const ZERO: Self = Self([0; 9]);
    /// 1 in Montgomery form: `R mod p`.
    pub(super) const ONE: Self = Self::power_of_two(261);

    /// The number with these big-endian octets; it may be `p` or more.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0; 9];
        for (index, byte) in bytes.iter().rev().enumerate() {
            let (limb, shift) = (index * 8 / BITS as usize, index as u32 * 8 % BITS);
            let spread = u64::from(*byte) << shift;
            limbs[limb] |= low(spread);
            if let Some(next) = limbs.get_mut(limb + 1) {
                *next |= low(spread >> BITS);
            }
        }
        Self(limbs).times(&R_SQUARED)
    }

    /// `self * other`.
    pub(super) fn times(&self, other: &Self) -> Self {
        self.assert_tight();
        other.assert_tight();
        // A column is at most 9 products below 2^58, so below 2^61.2.
        let mut columns = [0_u64; 18];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                columns[i + j] += u64::from(*a) * u64::from(*b);
            }
        }
        Self::reduce(columns)
    }

    /// `self * self`.
    #[expect(clippy::many_single_char_names, reason = "limbs, from the lowest")]
    pub(super) fn squared(&self) -> Self {
        self.assert_tight();
        // Doubled once here instead of in each product; the columns are the same as in `times`. Written out, since the compiler
        // does not unroll a triangle.
        let [a, b, c, d, e, f, g, h, i] = self.0.map(u64::from);
        let [a2, b2, c2, d2, e2, f2, g2, h2] = [a, b, c, d, e, f, g, h].map(|limb| limb << 1);
        let columns = [
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
        ];
        Self::reduce(columns)
    }

    /// `self - other`.
    pub(super) fn minus(&self, other: &Self) -> Self {
        self.assert_tight();
        other.assert_tight();
        // Both are below 2^257 < 4p: with 4p added the value is positive, and below 2^257 + 4p < 2^260.
        Self::carry(core::array::from_fn(|i| i64::from(self.0[i]) - i64::from(other.0[i]) + 4 * P[i]))
    }

    /// `self - a - 2b`, the shape of the x-coordinate of a sum of points.
    pub(super) fn minus_and_twice(&self, a: &Self, b: &Self) -> Self {
        self.assert_tight();
        a.assert_tight();
        b.assert_tight();
        // a + 2b is below 3 * 2^257 < 8p: with 8p added the value is positive, and below 2^257 + 8p < 2^260.
        Self::carry(core::array::from_fn(|i| i64::from(self.0[i]) - i64::from(a.0[i]) - 2 * i64::from(b.0[i]) + 8 * P[i]))
    }

    /// `factor * self`, for a small factor.
    pub(super) fn scaled<const FACTOR: u8>(&self) -> Self {
        const { assert!(FACTOR <= 8) };
        self.assert_tight();
        // Below 8 * 2^257 = 2^260.
        Self::carry(core::array::from_fn(|i| i64::from(FACTOR) * i64::from(self.0[i])))
    }

    /// Whether the number is 0 modulo `p`.
    pub(super) fn is_zero(&self) -> bool {
        // A tight value that is 0 modulo p is 0, p or 2p: three low limbs, which spare nearly every call the full reduction.
        matches!(u64::from(self.0[0]), 0 | MASK) | (u64::from(self.0[0]) == MASK - 1) && self.canonical() == [0; 9]
    }

    /// Whether two numbers are equal modulo `p`.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }

    /// `1 / self`, by Fermat; 0 for 0. Slow: once per table.
    pub(super) fn inverted(&self) -> Self {
        // p - 2, from the top bit.
        const EXPONENT: [u32; 8] = [0xffff_ffff, 0x0000_0001, 0, 0, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_fffd];
        let mut power = Self::ONE;
        for word in EXPONENT {
            for bit in (0..32).rev() {
                power = power.squared();
                if word >> bit & 1 == 1 {
                    power = power.times(self);
                }
            }
        }
        power
    }

    /// `2^exponent mod p` as a plain number, by doubling: used for the two constants above.
    const fn power_of_two(exponent: u32) -> Self {
        let mut value = [0_i64; 9];
        value[0] = 1;
        let mut done = 0;
        while done < exponent {
            let mut i = 0;
            while i < 9 {
                value[i] *= 2;
                i += 1;
            }
            let carried = Self::carry(value);
            i = 0;
            while i < 9 {
                value[i] = carried.0[i] as i64;
                i += 1;
            }
            done += 1;
        }
        let mut limbs = [0; 9];
        let mut i = 0;
        while i < 9 {
            limbs[i] = value[i] as u32;
            i += 1;
        }
        Self(limbs)
    }

    /// Makes limbs of a value between 0 and `2^261` tight again; single limbs may be negative, none beyond `2^33`.
    const fn carry(mut limbs: [i64; 9]) -> Self {
        let mut carry = 0;
        let mut i = 0;
        while i < 9 {
            debug_assert!(-(1 << 33) < limbs[i] && limbs[i] < 1 << 33);
            i += 1;
        }
        i = 0;
        while i < 8 {
            let sum = limbs[i] + carry;
            limbs[i] = sum & MASK as i64;
            carry = sum >> BITS;
            i += 1;
        }
        limbs[8] += carry;
        // What stands above 2^256 is replaced by q * (2^224 - 2^192 - 2^96 + 1), as 2^256 is that modulo p. The value was not
        // negative, so neither is q, which is below 2^5; the new value is below 2^256 + 2^229.
        let q = limbs[8] >> TOP_BITS;
        debug_assert!(q >= 0 && q < 32);
        limbs[8] &= (1 << TOP_BITS) - 1;
        limbs[0] += q;
        limbs[3] -= q << 9;
        limbs[6] -= q << 18;
        limbs[7] += q << 21;
        let mut tight = [0; 9];
        carry = 0;
        i = 0;
        while i < 8 {
            let sum = limbs[i] + carry;
            tight[i] = (sum & MASK as i64) as u32;
            carry = sum >> BITS;
            i += 1;
        }
        debug_assert!(limbs[8] + carry >= 0 && limbs[8] + carry < 1 << (TOP_BITS + 1));
        tight[8] = (limbs[8] + carry) as u32;
        Self(tight)
    }

    /// Montgomery reduction: `columns / 2^261 mod p`, tight.
    ///
    /// As `p` is -1 modulo `2^29`, the multiple of `p` that clears a column is the column's own low limb `m`. Adding `m * p` one
    /// limb of `p` after the other leaves, beside the carry to the next column, `m * 2^9` three columns on, `m * 2^18` six,
    /// `m * (2^29 - 2^21)` seven and `m * (2^24 - 1)` eight columns on; the rest cancels.
    ///
    /// Each column is below `2^61.2` and grows by less than `2^59`. The value is below `2^514 + 2^261 p`, so the result is below
    /// `2^253 + p`.
    #[expect(
        clippy::inline_always,
        reason = "a call would send the columns through memory: a fifth of a verification in WebAssembly"
    )]
    #[inline(always)]
    fn reduce(mut columns: [u64; 18]) -> Self {
        debug_assert!(columns.iter().all(|column| *column < 9 << (2 * BITS)));
        for i in 0..9 {
            // What came from lower columns: a carry below 2^33, and m times the limbs of p, below 2^59 together.
            debug_assert!(columns[i] < (9 << (2 * BITS)) + (1 << 59));
            let m = columns[i] & MASK;
            columns[i + 1] += columns[i] >> BITS;
            columns[i + 3] += m << 9;
            columns[i + 6] += m << 18;
            columns[i + 7] += (m << 29) - (m << 21);
            columns[i + 8] += (m << 24) - m;
        }
        let mut limbs = [0; 9];
        let mut carry = 0;
        for i in 0..8 {
            let sum = columns[9 + i] + carry;
            limbs[i] = low(sum);
            carry = sum >> BITS;
        }
        debug_assert!(columns[17] + carry < 1 << 25);
        limbs[8] = low(columns[17] + carry);
        let reduced = Self(limbs);
        reduced.assert_tight();
        reduced
    }

    /// The limbs of the representative below `p`.
    fn canonical(&self) -> [u32; 9] {
        self.assert_tight();
        // Below 2^256 + 2^229 < 2p after the carry, so one subtraction is enough.
        let Self(limbs) = Self::carry(self.0.map(i64::from));
        let mut difference = [0; 9];
        let mut borrow = 0;
        for i in 0..9 {
            let sum = i64::from(limbs[i]) - P[i] + borrow;
            difference[i] = if i < 8 { (sum & MASK as i64) as u32 } else { sum as u32 };
            borrow = sum >> BITS;
        }
        if borrow < 0 { limbs } else { difference }
    }

    fn assert_tight(&self) {
        debug_assert!(self.0[..8].iter().all(|limb| u64::from(*limb) <= MASK) && self.0[8] < 1 << 25);
    }
}

fn low(value: u64) -> u32 {
    (value & MASK) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(value: u64) -> FieldElement {
        let mut bytes = [0; 32];
        bytes[24..].copy_from_slice(&value.to_be_bytes());
        FieldElement::from_bytes(&bytes)
    }

    const P_BYTES: [u8; 32] = {
        let mut bytes = [0; 32];
        let words: [u32; 8] = [0xffff_ffff, 1, 0, 0, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff];
        let mut i = 0;
        while i < 32 {
            bytes[i] = (words[i / 4] >> (24 - 8 * (i % 4))) as u8;
            i += 1;
        }
        bytes
    };

    #[test]
    fn small_numbers() {
        assert!(element(6).equals(&element(2).times(&element(3))));
        assert!(element(49).equals(&element(7).squared()));
        assert!(element(5).equals(&element(12).minus(&element(7))));
        assert!(element(1).equals(&element(12).minus_and_twice(&element(1), &element(5))));
        assert!(element(24).equals(&element(3).scaled::<8>()));
        assert!(element(1).equals(&FieldElement::ONE));
        assert!(element(0).is_zero() && !element(1).is_zero());
        assert!(FieldElement::from_bytes(&P_BYTES).is_zero());
        assert!(element(0).minus(&element(0)).is_zero());
        assert!(element(9).minus(&element(9)).is_zero());
        assert!(element(12_345).times(&element(12_345).inverted()).equals(&FieldElement::ONE));
        assert!(FieldElement::ZERO.inverted().is_zero());
    }

    #[test]
    fn negative_numbers_and_the_ends_of_the_range() {
        let minus_one = element(0).minus(&element(1));
        assert!(minus_one.squared().equals(&FieldElement::ONE));
        assert!(FieldElement::from_bytes(&[0xff; 32]).minus(&FieldElement::from_bytes(&[0xff; 32])).is_zero());
        let mut below_p = P_BYTES;
        below_p[31] -= 1;
        assert!(FieldElement::from_bytes(&below_p).equals(&minus_one));
        // The largest tight elements: nothing overflows, and (2^257 - 1) is what it is modulo p.
        let largest = FieldElement([
            MASK as u32,
            MASK as u32,
            MASK as u32,
            MASK as u32,
            MASK as u32,
            MASK as u32,
            MASK as u32,
            MASK as u32,
            (1 << 25) - 1,
        ]);
        let product = largest.times(&largest);
        assert!(product.equals(&largest.squared()));
        assert!(largest.minus(&largest).is_zero());
        assert!(largest.minus_and_twice(&largest, &largest).equals(&FieldElement::ZERO.minus(&largest.scaled::<2>())));
        assert!(FieldElement::ZERO.minus_and_twice(&largest, &largest).equals(&FieldElement::ZERO.minus(&largest.scaled::<3>())));
    }
}
