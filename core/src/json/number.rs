//! The double next to a decimal number, whatever `serde_json` made of it. Its reader rounds more than once, unless another crate of the same
//! build asks for its feature `float_roundtrip`, as jsonschema does natively; in WebAssembly the feature would be 13 kB. Verdicts must not
//! depend on that.

use alloc::vec::Vec;
use core::{cell::Cell, cmp::Ordering};

/// Digits that decide: the midpoint of two doubles has 767 at most, so that of further ones it only counts whether there are any.
const MAX_DIGITS: usize = 800;

/// Finds the numbers of a JSON text in their order, while somebody else reads it.
#[derive(Debug)]
pub(super) struct Literals<'text> {
    text: &'text [u8],
    /// Where to look on, and how many numbers stand before that.
    at: Cell<(usize, usize)>,
    /// How many numbers were read.
    read: Cell<usize>,
}

impl<'text> Literals<'text> {
    pub(super) const fn new(text: &'text str) -> Self {
        Self { text: text.as_bytes(), at: Cell::new((0, 0)), read: Cell::new(0) }
    }

    /// A number was read.
    pub(super) fn count(&self) {
        self.read.set(self.read.get() + 1);
    }

    /// A number was read as this double: the one that it should be. `None` for a number beyond the largest.
    pub(super) fn exact(&self, read: f64) -> Option<f64> {
        self.count();
        exact(self.last(), read)
    }

    /// The text of the number that was read last.
    fn last(&self) -> &'text [u8] {
        let (mut at, mut seen) = self.at.get();
        let rest = |at: usize| self.text.get(at..).unwrap_or_default();
        loop {
            match rest(at) {
                [] => return &[],
                [b'"', ..] => at += string_len(rest(at)),
                [b'-' | b'0'..=b'9', ..] => {
                    let is_inside = |octet: &&u8| matches!(octet, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                    let len = rest(at).iter().take_while(is_inside).count();
                    let literal = rest(at).get(..len).unwrap_or_default();
                    at += len;
                    seen += 1;
                    if seen == self.read.get() {
                        self.at.set((at, seen));
                        return literal;
                    }
                }
                _ => at += 1,
            }
        }
    }
}

/// Octets of the string that the text begins with, quotes included.
fn string_len(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(octet) = text.get(at) {
        match octet {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// `digits * 10^exponent`, without a sign.
struct Decimal {
    digits: Vec<u8>,
    exponent: i32,
    /// Whether a reader that knows no better rounds once.
    is_short: bool,
}

fn exact(literal: &[u8], read: f64) -> Option<f64> {
    let decimal = Decimal::of(literal);
    if decimal.is_short {
        return Some(read);
    }
    let magnitude = decimal.nearest(read.abs())?;
    Some(if read.is_sign_negative() { -magnitude } else { magnitude })
}

impl Decimal {
    fn of(literal: &[u8]) -> Self {
        let mantissa = literal.split(|octet| matches!(octet, b'e' | b'E')).next().unwrap_or_default();
        let written = literal.get(mantissa.len() + 1..).unwrap_or_default();
        let power = written.iter().filter(|octet| octet.is_ascii_digit()).fold(0_i32, |power, digit| {
            // Far beyond any double, and far below any overflow.
            (power * 10 + i32::from(digit - b'0')).min(1_000_000)
        });
        let mut exponent = if written.first() == Some(&b'-') { -power } else { power };
        let mut digits = Vec::new();
        let mut is_fraction = false;
        let mut has_more = false;
        for octet in mantissa {
            match octet {
                b'.' => is_fraction = true,
                b'0'..=b'9' => {
                    exponent -= i32::from(is_fraction);
                    if digits.len() < MAX_DIGITS {
                        // Leading zeros are none.
                        if *octet != b'0' || !digits.is_empty() {
                            digits.push(octet - b'0');
                        }
                    } else {
                        exponent += 1;
                        has_more |= *octet != b'0';
                    }
                }
                _ => {}
            }
        }
        let is_short = digits.len() <= 15 && exponent.abs() <= 22;
        if has_more {
            digits.push(1);
            exponent -= 1;
        }
        Self { digits, exponent, is_short }
    }

    /// The nearest double, the even one of two, found from one that is near.
    fn nearest(&self, near: f64) -> Option<f64> {
        let Ok(len) = i32::try_from(self.digits.len()) else { return None };
        // The number is below 10^magnitude, and at least a tenth of that.
        let magnitude = len.saturating_add(self.exponent);
        if len == 0 || magnitude < -324 {
            return Some(0.0);
        }
        if magnitude > 309 {
            return None;
        }
        let mut double = near;
        while matches!(self.beside_middle(double), (Ordering::Greater, _) | (Ordering::Equal, true)) {
            double = double.next_up();
            if double.is_infinite() {
                return None;
            }
        }
        while double > 0.0 && matches!(self.beside_middle(double.next_down()), (Ordering::Less, _) | (Ordering::Equal, false)) {
            double = double.next_down();
        }
        let (mantissa, exponent) = parts(double);
        // What is beyond the largest double is so, even where it would be rounded down to it.
        (double < f64::MAX || self.compare(mantissa, exponent) != Ordering::Greater).then_some(double)
    }

    /// On which side of the middle between this double and the next one above the number lies, and whether this one is odd.
    fn beside_middle(&self, double: f64) -> (Ordering, bool) {
        let (mantissa, exponent) = parts(double);
        (self.compare(2 * mantissa + 1, exponent - 1), mantissa % 2 == 1)
    }

    /// Compares the number with `mantissa * 2^exponent`.
    fn compare(&self, mantissa: u64, exponent: i32) -> Ordering {
        let mut left = Big(Vec::new());
        for digits in self.digits.chunks(9) {
            let (mut scale, mut value) = (1, 0);
            for digit in digits {
                scale *= 10;
                value = value * 10 + u32::from(*digit);
            }
            left.times_plus(scale, value);
        }
        let mut right = Big(alloc::vec![low(mantissa), low(mantissa >> 32)]);
        let powered = if self.exponent < 0 { &mut right } else { &mut left };
        powered.times_power_of_ten(self.exponent.unsigned_abs());
        let shifted = if exponent < 0 { &mut left } else { &mut right };
        shifted.shift(exponent.unsigned_abs());
        left.compare(&right)
    }
}

/// `(m, e)` of a finite double `m * 2^e` that is not negative.
fn parts(double: f64) -> (u64, i32) {
    let bits = double.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match i32::try_from(bits >> 52).unwrap_or_default() {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

/// A number in words, the lowest first.
struct Big(Vec<u32>);

impl Big {
    /// `self * factor + term`.
    fn times_plus(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for word in &mut self.0 {
            let wide = u64::from(*word) * u64::from(factor) + carry;
            *word = low(wide);
            carry = wide >> 32;
        }
        if carry > 0 {
            self.0.push(low(carry));
        }
    }

    fn times_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.times_plus(1_000_000_000, 0);
        }
        self.times_plus(10_u32.pow(power % 9), 0);
    }

    /// `self * 2^bits`.
    fn shift(&mut self, bits: u32) {
        self.times_plus(1 << (bits % 32), 0);
        let zeros = alloc::vec![0; bits as usize / 32];
        self.0.splice(0..0, zeros);
    }

    fn compare(&self, other: &Self) -> Ordering {
        let len = self.0.len().max(other.0.len());
        let word = |number: &Self, index: usize| number.0.get(index).copied().unwrap_or_default();
        (0..len)
            .rev()
            .map(|index| word(self, index).cmp(&word(other, index)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(wide: u64) -> u32 {
    wide as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String};

    /// From doubles as far away as `serde_json` may be, and a little farther.
    #[track_caller]
    fn check(literal: &str) {
        let nearest: f64 = literal.parse().unwrap();
        let decimal = Decimal::of(literal.as_bytes());
        let is_beyond = nearest.is_infinite()
            || nearest.abs() >= f64::MAX && {
                let (mantissa, exponent) = parts(f64::MAX);
                decimal.compare(mantissa, exponent) == Ordering::Greater
            };
        let expected = (!is_beyond).then_some(nearest.abs());
        let finite = nearest.abs().min(f64::MAX);
        let (mut above, mut below) = (finite, finite);
        for _ in 0..4 {
            assert_eq!(decimal.nearest(above), expected, "{literal} from {above:e}");
            assert_eq!(decimal.nearest(below), expected, "{literal} from {below:e}");
            above = above.next_up().min(f64::MAX);
            below = if below > 0.0 { below.next_down() } else { 0.0 };
        }
        if let Some(expected) = expected {
            let read = exact(literal.as_bytes(), nearest).unwrap();
            assert_eq!(read.to_bits(), if literal.starts_with('-') { -expected } else { expected }.to_bits(), "{literal}");
        }
    }

    #[test]
    fn numbers_as_people_write_them() {
        for literal in [
            "0.0",
            "-0.0",
            "0e400",
            "1.5",
            "-2.5e-300",
            "0.1",
            "1e22",
            "1e23",
            "8.5e22",
            "9007199254740993.0",
            "9007199254740992.5",
            "9007199254740993",
            "18446744073709551616",
            "123456789012345678901234567890",
            "1749999999.9999999",
            "253402300799.0000001",
            "1e-400",
            "4.9e-324",
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e308",
            "1e309",
            "17976931348623157e292",
            "0.000000000000000000000000000001e30",
        ] {
            check(literal);
        }
    }

    #[test]
    fn middles_and_what_is_beside_them() {
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random ^ (random >> 29)
        };
        for round in 0..400 {
            let double = f64::from_bits(next() >> 1);
            if !double.is_finite() || double >= f64::MAX {
                continue;
            }
            // Of a double below 2^53 that has a fraction, the middle to the next one, digit by digit.
            let small = f64::from_bits((1023 + round % 52) << 52 | next() >> 12);
            let whole = small.trunc();
            let half = (small.next_up() - small) / 2.0;
            let middle = format!("{:.60}", small - whole + half);
            let middle = format!("{whole}{}", middle.trim_start_matches('0'));
            check(&middle);
            check(&format!("{middle}1"));
            check(&format!("{middle}{}1", "0".repeat(1_000)));
            check(&format!("-{middle}e{}", next() % 600 % 300));
            check(&format!("{double:e}"));
            check(&format!("{:e}", double.next_up()));
            check(&format!("{}e-{}", next(), next() % 340));
            check(&format!("{}.{}e{}", next(), next(), next() % 280));
        }
    }

    #[test]
    fn literals_are_found_in_their_order() {
        let text = r#" {"a\"1":[1, -2.5e+1,"3",{"4\\":5e0}],"b":0.25,"c":true,"d":[[]],"e":-7} "#;
        let literals = Literals::new(text);
        let mut found = String::new();
        for skip in [false, true, false, false, true] {
            literals.count();
            if !skip {
                found.push_str(core::str::from_utf8(literals.last()).unwrap());
                found.push(' ');
            }
        }
        assert_eq!(found, "1 5e0 0.25 ");
    }
}
