//! Tables of multiples, which replace doublings.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::{
    Difference, FieldElement,
    point::{Affine, Sum},
    scalar::{self, Words},
};

/// Bits of a window: 8 make tables of 288 KiB in WebAssembly; 7 would make them 167 KiB, and a verification there a ninth slower.
const WINDOW: usize = 8;
/// Windows that cover 256 bits.
const WINDOWS: usize = 256 / WINDOW;
/// Multiples in a window: digits are signed, so 1 to 128.
const MULTIPLES: usize = 1 << (WINDOW - 1);

/// The multiples `k * 256^w * P` of a point `P`, `k` from 1 to 128, for each window `w`.
#[derive(Clone, Debug)]
pub struct Table(Vec<Affine>);

/// A [`Table`] in the making, step by step, so that its cost can be spread.
#[derive(Clone, Debug)]
pub struct TableBuilder {
    /// `256^w * P` for the next window `w`.
    base: Sum,
    entries: Vec<Affine>,
}

impl Table {
    /// Octets that a table takes in memory.
    pub const BYTES: usize = WINDOWS * MULTIPLES * size_of::<Affine>();

    /// Adds `scalar * P` to a point.
    pub(crate) fn add_multiple(&self, sum: Option<Sum>, scalar: &Words) -> Option<Sum> {
        // Of the scalar and its opposite one is below 2^255: so no digit carries out of the top window.
        let negate = scalar[7] >> 31 == 1;
        let scalar = if negate { scalar::minus(&scalar::ORDER, scalar) } else { *scalar };
        let mut sum = sum;
        for (window, digit) in self.0.chunks_exact(MULTIPLES).zip(digits(&scalar)) {
            // 0 is no entry of the table.
            let Some(entry) = usize::from(digit.unsigned_abs()).checked_sub(1).and_then(|index| window.get(index)) else {
                continue;
            };
            let negate = negate ^ (digit < 0);
            sum = match sum {
                None => Some(entry.negated_if(negate).into()),
                Some(sum) => sum.plus(entry, negate),
            };
        }
        sum
    }
}

/// A scalar below `2^255` as digits `d`, each from -127 to 128: it is the sum of all `d * 256^w`.
fn digits(scalar: &Words) -> [i16; WINDOWS] {
    let mut digits = [0; WINDOWS];
    let mut carry = 0;
    for (digit, byte) in digits.iter_mut().zip(scalar.iter().flat_map(|word| word.to_le_bytes())) {
        let value = i16::from(byte) + carry;
        carry = i16::from(value > 128);
        *digit = value - (carry << WINDOW);
    }
    // The top octet is at most 127, so that nothing is carried out.
    debug_assert!(carry == 0);
    digits
}

impl TableBuilder {
    /// Calls of [`TableBuilder::advance`] that make a table.
    pub const STEPS: usize = 4;

    /// A table without any window, of a point that the caller knows to be on the curve: its coordinates, big-endian.
    pub fn new(x: &[u8; 32], y: &[u8; 32]) -> Self {
        let coordinate = |bytes| FieldElement::from_words(&scalar::from_bytes(bytes)).canonical();
        Self { base: Affine { x: coordinate(x), y: coordinate(y) }.into(), entries: Vec::new() }
    }

    /// One of the generator (FIPS 186-4 section D.1.2.3).
    pub fn of_generator() -> Self {
        let coordinate = |words: [u32; 8]| FieldElement::from_words(&words).canonical();
        let x = [0xd898_c296, 0xf4a1_3945, 0x2deb_33a0, 0x7703_7d81, 0x63a4_40f2, 0xf8bc_e6e5, 0xe12c_4247, 0x6b17_d1f2];
        let y = [0x37bf_51f5, 0xcbb6_4068, 0x6b31_5ece, 0x2bce_3357, 0x7c0f_9e16, 0x8ee7_eb4a, 0xfe1a_7f9b, 0x4fe3_42e2];
        Self { base: Affine { x: coordinate(x), y: coordinate(y) }.into(), entries: Vec::new() }
    }

    /// One step: the table when it has all its windows.
    // Engines compile a function of WebAssembly when it is called first: what few calls need stays out of those that all need.
    #[inline(never)]
    pub fn advance(mut self) -> ControlFlow<Table, Self> {
        self.entries.reserve_exact(WINDOWS * MULTIPLES - self.entries.len());
        let begin = self.entries.len();
        for point in self.bases() {
            self.entries.resize(self.entries.len() + MULTIPLES, point);
        }
        // The multiples 1 to `known` make those up to twice as many: all sums of a round, in all windows, share an inversion.
        let mut known = 1;
        while known < MULTIPLES {
            double_the_known(&mut self.entries[begin..], known);
            known *= 2;
        }
        if self.entries.len() < WINDOWS * MULTIPLES {
            ControlFlow::Continue(self)
        } else {
            ControlFlow::Break(Table(self.entries))
        }
    }

    /// All steps at once.
    pub fn finish(mut self) -> Table {
        loop {
            self = match self.advance() {
                ControlFlow::Continue(builder) => builder,
                ControlFlow::Break(table) => return table,
            };
        }
    }

    /// `256^w * P` for the windows of the next step, by their coordinates.
    fn bases(&mut self) -> Vec<Affine> {
        let mut bases = Vec::with_capacity(WINDOWS / Self::STEPS);
        for _ in 0..WINDOWS / Self::STEPS {
            bases.push(self.base);
            for _ in 0..WINDOW {
                self.base = self.base.doubled();
            }
        }
        let inverses = inverses(bases.len(), |index| bases[index].zzz.into());
        let affine = |(Sum { x, y, zz, .. }, inverse): (&Sum, &FieldElement)| {
            // zz / zzz is 1 / z.
            let inverse_zz = zz.times(inverse).squared();
            Affine { x: x.times(&inverse_zz).canonical(), y: y.times(inverse).canonical() }
        };
        bases.iter().zip(&inverses).map(affine).collect()
    }
}

/// Of each window the multiples `known + 1` to `2 * known`, as sums of the multiple `known` and all those up to it.
fn double_the_known(windows: &mut [Affine], known: usize) {
    // Where the first term of a sum stands, and the `known`th multiple, which is the second.
    let places = |index: usize| {
        let window = index / known * MULTIPLES;
        (window + index % known, window + known - 1)
    };
    // What the slope is divided by. The point has a prime order far above 256: of two different multiples here the x differ, and no y is 0.
    let denominator = |index| {
        let (one, other) = places(index);
        if one == other { windows[one].y.scaled::<2>().into() } else { windows[other].x.minus(&windows[one].x) }
    };
    let inverses = inverses(windows.len() / MULTIPLES * known, denominator);
    for (index, inverse) in inverses.iter().enumerate() {
        let (at, with) = places(index);
        let (one, other) = (windows[at], windows[with]);
        let numerator = if at == with {
            // 3 x^2 + a, and a is -3.
            one.x.minus(&FieldElement::ONE).times(&one.x.plus(&FieldElement::ONE)).scaled::<3>().into()
        } else {
            other.y.minus(&one.y)
        };
        let slope = numerator.times(inverse);
        // From -2 to 1.2.
        let x = Difference::from(slope).squared_minus([&one.x, &other.x]).canonical();
        let y = one.x.minus(&x).times(&slope).minus(&one.y).canonical();
        windows[at + known] = Affine { x, y };
    }
}

/// One over each of these numbers, none of which is 0, with one inversion for all (Montgomery's trick).
fn inverses(count: usize, number: impl Fn(usize) -> Difference) -> Vec<FieldElement> {
    let mut inverses = Vec::with_capacity(count);
    let mut product = FieldElement::ONE;
    for index in 0..count {
        inverses.push(product);
        product = number(index).times(&product);
    }
    let mut inverse = product.inverted();
    for (index, product) in inverses.iter_mut().enumerate().rev() {
        // One over the numbers up to this one, times those before it.
        *product = inverse.times(product);
        inverse = number(index).times(&inverse);
    }
    inverses
}
