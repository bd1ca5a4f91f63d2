//! The double next to a decimal number, whatever `serde_json` made of it. Its reader rounds more than once, unless another crate of the same
//! build asks for its feature `float_roundtrip`, as jsonschema does natively; in WebAssembly the feature would be 13 kB. Verdicts must not
//! depend on that.

use alloc::{string::String, vec::Vec};
use core::{cell::Cell, cmp::Ordering, ops::Range};

/// Digits that decide: the midpoint of two doubles has 767 at most, so that of further ones it only counts whether there are any.
const MAX_DIGITS: usize = 800;
/// Doubles between what `serde_json` reads and the nearest one, at most: it rounds three times. A text on which it erred further would be
/// refused instead of being searched for: whoever sends it must not decide how long that takes.
const MAX_STEPS: usize = 16;
/// As near to the largest double as `serde_json` reads without rounding beyond it.
const STAND_IN: &str = "-1.7976931348623157e308";

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
        while let Some(place) = next_number(self.text, at) {
            (at, seen) = (place.end, seen + 1);
            if seen == self.read.get() {
                self.at.set((at, seen));
                return self.text.get(place).unwrap_or_default();
            }
        }
        &[]
    }
}

/// The text with [`STAND_IN`] for each number that `serde_json` may take for one beyond the largest double and that is not; `None` where
/// there is none.
pub(super) fn without_largest(text: &str) -> Option<String> {
    let mut readable = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(place) = next_number(text.as_bytes(), at) {
        at = place.end;
        let literal = text.get(place.clone())?;
        if Decimal::of(literal.as_bytes()).is_just_finite() {
            readable.push_str(text.get(copied..place.start)?);
            readable.push_str(if literal.starts_with('-') { STAND_IN } else { STAND_IN.get(1..)? });
            copied = at;
        }
    }
    readable.push_str(text.get(copied..)?);
    (copied > 0).then_some(readable)
}

/// Where the next number stands, from there on, outside of strings.
fn next_number(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        match text.get(at..).unwrap_or_default() {
            [] => return None,
            rest @ [b'"', ..] => at += string_len(rest),
            rest @ [b'-' | b'0'..=b'9', ..] => return Some(at..at + number_len(rest)),
            _ => at += 1,
        }
    }
}

/// Octets of the number that the text begins with, by the grammar (RFC 8259 section 6) and not one more: what follows it may be no JSON,
/// and is missed by `serde_json` only afterwards. A zero that leads, a point and an `e` without digits are left beside it, for
/// [`without_largest`] to leave them in the text.
fn number_len(text: &[u8]) -> usize {
    let sign = past(text, 0, b"-");
    let zero = past(text, sign, b"0");
    let mut end = if zero > sign { zero } else { past_digits(text, sign) };
    if end > sign {
        for (mark, signs) in [(&b"."[..], &b""[..]), (b"eE", b"+-")] {
            let mark = past(text, end, mark);
            let digits = past(text, mark, signs);
            let all = past_digits(text, digits);
            if mark > end && all > digits {
                end = all;
            }
        }
    }
    end
}

/// Behind one of these octets, if one stands here.
#[inline(never)]
fn past(text: &[u8], at: usize, octets: &[u8]) -> usize {
    at + usize::from(text.get(at).is_some_and(|octet| octets.contains(octet)))
}

#[inline(never)]
fn past_digits(text: &[u8], at: usize) -> usize {
    at + text.iter().skip(at).take_while(|octet| octet.is_ascii_digit()).count()
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
        let magnitude = self.magnitude();
        if self.digits.is_empty() || magnitude < -324 {
            return Some(0.0);
        }
        if magnitude > 309 {
            return None;
        }
        let mut double = near;
        let mut steps = 0..MAX_STEPS;
        while matches!(self.beside_middle(double), (Ordering::Greater, _) | (Ordering::Equal, true)) {
            steps.next()?;
            double = double.next_up();
            if double.is_infinite() {
                return None;
            }
        }
        while double > 0.0 && matches!(self.beside_middle(double.next_down()), (Ordering::Less, _) | (Ordering::Equal, false)) {
            steps.next()?;
            double = double.next_down();
        }
        let (mantissa, exponent) = parts(double);
        // What is beyond the largest double is so, even where it would be rounded down to it.
        (double < f64::MAX || self.compare(mantissa, exponent) != Ordering::Greater).then_some(double)
    }

    /// The number is below `10^magnitude`, and at least a tenth of that.
    fn magnitude(&self) -> i32 {
        i32::try_from(self.digits.len()).unwrap_or(i32::MAX).saturating_add(self.exponent)
    }

    /// Whether it is one of the numbers next to the largest double that `serde_json` may round beyond it.
    fn is_just_finite(&self) -> bool {
        let (largest, exponent) = parts(f64::MAX);
        self.magnitude() == 309
            && self.compare(largest, exponent) != Ordering::Greater
            && self.compare(largest - 8, exponent) == Ordering::Greater
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
    fn the_search_ends_where_it_begins_far_away() {
        let decimal = Decimal::of(b"12345678901234567890");
        assert_eq!(decimal.nearest(1e19), None);
        assert_eq!(decimal.nearest(2e19), None);
    }

    /// Natively `serde_json` may be exact by itself, so that no value tells who was trusted.
    #[test]
    fn only_what_is_rounded_once_is_taken_as_it_was_read() {
        for (literal, is_short) in [
            ("1.5", true),
            ("123456789012345", true),
            ("1234567890123456", false),
            ("1e22", true),
            ("1e23", false),
            ("1e-22", true),
            ("1e-23", false),
            ("0.00000000000000000000001", false),
            ("1234567890123456e30", false),
        ] {
            assert_eq!(Decimal::of(literal.as_bytes()).is_short, is_short, "{literal}");
        }
    }

    #[test]
    fn a_literal_ends_where_the_grammar_says_so() {
        for (text, literal) in [
            ("0", "0"),
            ("-0.5e-7,", "-0.5e-7"),
            ("12+99999", "12"),
            ("12-99999", "12"),
            ("1.5.25", "1.5"),
            ("1e5e5", "1e5"),
            ("1E+5+5", "1E+5"),
            ("1e5.5", "1e5"),
            ("1e--5", "1"),
            ("1e+", "1"),
            ("1E", "1"),
            ("1.", "1"),
            ("1.e5", "1"),
            ("-1.5e", "-1.5"),
            ("012", "0"),
            ("-00.5", "-0"),
            ("0.5", "0.5"),
            ("0e5", "0e5"),
            ("--1", "-"),
            ("-", "-"),
            ("-.5", "-"),
        ] {
            assert_eq!(number_len(text.as_bytes()), literal.len(), "{text}");
        }
    }

    #[test]
    fn numbers_next_to_the_largest_are_replaced() {
        let read = "1.797693134862315708e308";
        let beyond = "1.7976931348623157082e308";
        let text = format!(r#"{{"a":[-{read},1,{beyond}],"{read}":17976931348623157{}}}"#, "0".repeat(292));
        let expected = format!(r#"{{"a":[{STAND_IN},1,{beyond}],"{read}":{}}}"#, &STAND_IN[1..]);
        assert_eq!(without_largest(&text), Some(expected));
        for none in ["", "{}", "[1.5,1e308,17976931348623e295]", r#"["1.7976931348623157e308"]"#, "1.797693134862312e308"] {
            assert_eq!(without_largest(none), None, "{none}");
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
