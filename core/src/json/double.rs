//! The shortest decimal digits that read back as the same double (Steele and White 1990, "Dragon4"), without tables: the standard
//! library's `{:e}` is a ninth of the smallest WebAssembly module, for numbers that claims hardly ever hold.

use alloc::string::String;
use core::{cmp::Ordering, fmt::Write as _};

/// Words of the largest numbers below: `10^324 * 2^54`, times 10, has 1134 bits.
const WORDS: usize = 36;

/// A number from 0 to `2^1152 - 1`, the lowest word first.
#[derive(Clone, Copy)]
struct Big([u32; WORDS]);

/// Appends a finite double as `{:e}` prints it: `-1.5e-7`.
pub(super) fn write(value: f64, out: &mut String) {
    if value.is_sign_negative() {
        out.push('-');
    }
    let bits = value.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    if exponent == 0 && fraction == 0 {
        return out.push_str("0e0");
    }
    // The double is mantissa * 2^exponent.
    let (mantissa, exponent) = match i32::try_from(exponent).unwrap_or_default() {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    };
    let (digits, power) = shortest(mantissa, exponent, fraction == 0 && exponent > -1074);
    let mut digits = digits.chars();
    out.extend(digits.next());
    if !digits.as_str().is_empty() {
        out.push('.');
        out.push_str(digits.as_str());
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "e{}", power - 1);
}

/// The digits `d` of `0.ddd * 10^power`. `is_uneven`: the next double below is half as far away as the one above.
fn shortest(mantissa: u64, exponent: i32, is_uneven: bool) -> (String, i32) {
    // The double is value / scale, and what reads back as it lies less than low / scale below and high / scale above; half a
    // distance to the next double is a whole number when all are doubled, and the lower of uneven ones when they are doubled again.
    let spare = 1 + u32::from(is_uneven);
    let (up, down) = (exponent.max(0).unsigned_abs(), exponent.min(0).unsigned_abs());
    let mut value = Big::shifted(mantissa, up + spare);
    let mut scale = Big::shifted(1, down + spare);
    let mut low = Big::shifted(1, up);
    let mut high = Big::shifted(1, up + spare - 1);
    // Readers round to even, so that the ends themselves read back as an even mantissa.
    let is_even = mantissa.is_multiple_of(2);
    let reaches = |ordering: Ordering| ordering == Ordering::Greater || is_even && ordering == Ordering::Equal;
    // One above the logarithm to base 10 of the highest power of two in it, rounded down (right for all exponents of doubles): the power
    // wanted, or one below it.
    let binary = exponent + i32::try_from(mantissa.ilog2()).unwrap_or_default();
    let mut power = ((binary * 78_913) >> 18) + 1;
    if power >= 0 {
        scale.times_power_of_ten(power.unsigned_abs());
    } else {
        for number in [&mut value, &mut low, &mut high] {
            number.times_power_of_ten(power.unsigned_abs());
        }
    }
    if reaches(value.plus(&high).compare(&scale)) {
        power += 1;
        scale.times(10);
    }
    let mut digits = String::new();
    loop {
        for number in [&mut value, &mut low, &mut high] {
            number.times(10);
        }
        let mut digit = b'0';
        while value.compare(&scale) != Ordering::Less {
            value = value.minus(&scale);
            digit += 1;
        }
        let can_end = reaches(low.compare(&value));
        let can_end_above = reaches(value.plus(&high).compare(&scale));
        let is_nearer_above = value.plus(&value).compare(&scale) != Ordering::Less;
        let ends_above = can_end_above && (!can_end || is_nearer_above);
        digits.push(char::from(digit + u8::from(ends_above)));
        if can_end || can_end_above {
            return (digits, power);
        }
    }
}

impl Big {
    /// `value * 2^shift`.
    fn shifted(value: u64, shift: u32) -> Self {
        let (word, bits) = (shift as usize / 32, shift % 32);
        let (lower, upper) = ((value & 0xffff_ffff) << bits, (value >> 32) << bits);
        let upper = upper + (lower >> 32);
        let mut words = [0; WORDS];
        words[word..word + 3].copy_from_slice(&[low(lower), low(upper), low(upper >> 32)]);
        Self(words)
    }

    fn times(&mut self, factor: u32) {
        let mut carry = 0;
        for word in &mut self.0 {
            let wide = u64::from(*word) * u64::from(factor) + carry;
            *word = low(wide);
            carry = wide >> 32;
        }
        debug_assert_eq!(carry, 0);
    }

    fn times_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.times(1_000_000_000);
        }
        self.times(10_u32.pow(power % 9));
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        Self(core::array::from_fn(|index| {
            let wide = u64::from(self.0[index]) + u64::from(other.0[index]) + carry;
            carry = wide >> 32;
            low(wide)
        }))
    }

    /// The caller knows that `other` is no greater.
    fn minus(&self, other: &Self) -> Self {
        let mut borrow = 0;
        Self(core::array::from_fn(|index| {
            let wide = u64::from(self.0[index]).wrapping_sub(u64::from(other.0[index])).wrapping_sub(borrow);
            borrow = wide >> 63;
            low(wide)
        }))
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64) {
        let mut text = String::new();
        write(value, &mut text);
        assert_eq!(text, std::format!("{value:e}"));
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
    }

    #[test]
    fn powers_and_their_neighbours() {
        for exponent in 0..0x7ff_u64 {
            for fraction in [0, 1, 2, (1 << 51) - 1, 1 << 51, (1 << 52) - 2, (1 << 52) - 1] {
                for sign in [0, 1 << 63] {
                    check(f64::from_bits(sign | exponent << 52 | fraction));
                }
            }
        }
        for power in -330..309 {
            let value: f64 = std::format!("1e{power}").parse().unwrap();
            for near in [value.next_down(), value, value.next_up(), 5.0 * value, value * 9.5] {
                check(if near.is_finite() { near } else { f64::MAX });
            }
        }
    }

    #[test]
    fn numbers_as_people_write_them_and_others() {
        for value in [0.1, 0.3, 0.1 + 0.2, 1.5, 1e23, 9_007_199_254_740_993.0, 5e-324, f64::MAX, f64::MIN_POSITIVE, 123_456.789] {
            check(value);
        }
        let mut random = 1_u64;
        for _ in 0..if cfg!(debug_assertions) { 20_000 } else { 2_000_000 } {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mixed = random ^ (random >> 29);
            let value = f64::from_bits(mixed);
            check(if value.is_finite() { value } else { 0.5 });
            // Few digits, so that many are short.
            let short: f64 = std::format!("{}e{}", mixed % 100_000, (mixed >> 40) % 600).parse::<f64>().unwrap();
            check(if short.is_finite() { short } else { 1.0 / short.next_down() });
        }
    }
}
