//! Points of P-256 and the tables of multiples that replace doublings.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use p256::{Scalar, elliptic_curve::PrimeField as _};

use super::FieldElement;

/// Bits of a window: 7 make tables of 167 KiB in WebAssembly; 6 would make them 97 KiB, and a verification there a twelfth slower.
const WINDOW: usize = 7;
/// Windows that cover 256 bits and the carry out of them.
const WINDOWS: usize = 37;
/// Multiples in a window: digits are signed, so 1 to 64.
const MULTIPLES: usize = 1 << (WINDOW - 1);

/// A point other than infinity, by its coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    x: FieldElement,
    y: FieldElement,
}

/// A point in Jacobian coordinates: `(x / z^2, y / z^3)`. `None` stands for infinity wherever it can occur.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jacobian {
    x: FieldElement,
    y: FieldElement,
    z: FieldElement,
}

/// The multiples `k * 128^w * P` of a point `P`, `k` from 1 to 64, for each window `w`.
#[derive(Clone, Debug)]
pub(super) struct Table(Vec<Affine>);

/// A scalar as digits `d`, each from -63 to 64: it is the sum of all `d * 128^w`.
pub(super) struct Digits([i8; WINDOWS]);

impl Affine {
    /// A point that the caller knows to be on the curve.
    pub(super) fn from_coordinates(x: &[u8; 32], y: &[u8; 32]) -> Self {
        Self { x: FieldElement::from_bytes(x), y: FieldElement::from_bytes(y) }
    }

    fn negated(&self) -> Self {
        Self { x: self.x, y: FieldElement::ZERO.minus(&self.y) }
    }
}

impl From<Affine> for Jacobian {
    fn from(Affine { x, y }: Affine) -> Self {
        Self { x, y, z: FieldElement::ONE }
    }
}

impl Jacobian {
    /// `self + other` (Explicit-Formulas Database, g1p/jacobian/addition/madd without its tricks: 8 products, 3 squares).
    fn plus(&self, other: &Affine) -> Option<Self> {
        let z_squared = self.z.squared();
        let other_x = other.x.times(&z_squared);
        let other_y = other.y.times(&self.z).times(&z_squared);
        self.combine(&other_x, &other_y, &self.x, &self.y, &self.z)
    }

    /// `self + other` for two Jacobian points.
    fn plus_jacobian(&self, other: &Self) -> Option<Self> {
        let (z_squared, other_z_squared) = (self.z.squared(), other.z.squared());
        let (own_x, own_y) = (self.x.times(&other_z_squared), self.y.times(&other.z).times(&other_z_squared));
        let (other_x, other_y) = (other.x.times(&z_squared), other.y.times(&self.z).times(&z_squared));
        self.combine(&other_x, &other_y, &own_x, &own_y, &self.z.times(&other.z))
    }

    /// The sum of two points that were brought to the common denominator `z`; `self` is the first of them in its own form.
    #[expect(clippy::many_single_char_names, reason = "the names of the formulas")]
    fn combine(
        &self,
        x2: &FieldElement,
        y2: &FieldElement,
        x1: &FieldElement,
        y1: &FieldElement,
        z: &FieldElement,
    ) -> Option<Self> {
        let h = x2.minus(x1);
        let r = y2.minus(y1);
        if h.is_zero() {
            // The same x: the same point, or opposite ones.
            return if r.is_zero() { Some(self.doubled()) } else { None };
        }
        let h_squared = h.squared();
        let h_cubed = h.times(&h_squared);
        let v = x1.times(&h_squared);
        let x = r.squared().minus_and_twice(&h_cubed, &v);
        let y = r.times(&v.minus(&x)).minus(&y1.times(&h_cubed));
        Some(Self { x, y, z: z.times(&h) })
    }

    /// `2 * self` (Explicit-Formulas Database, g1p/jacobian-3/doubling/dbl-2001-b). No point of P-256 has order 2, so the result
    /// is never infinity.
    fn doubled(&self) -> Self {
        let delta = self.z.squared();
        let gamma = self.y.squared();
        let beta = self.x.times(&gamma);
        // 3 (x - delta) (x + delta)
        let sum = self.x.minus(&FieldElement::ZERO.minus(&delta));
        let alpha = self.x.minus(&delta).times(&sum).scaled::<3>();
        let four_beta = beta.scaled::<4>();
        let x = alpha.squared().minus_and_twice(&FieldElement::ZERO, &four_beta);
        let y = alpha.times(&four_beta.minus(&x)).minus(&gamma.squared().scaled::<8>());
        let z = self.y.times(&self.z).scaled::<2>();
        Self { x, y, z }
    }

    /// Whether the affine x-coordinate is `x`: compared as `x * z^2`, so that no inversion is needed.
    pub(super) fn has_x(&self, x: &FieldElement) -> bool {
        self.x.equals(&x.times(&self.z.squared()))
    }
}

impl Table {
    /// Octets that a table takes in memory.
    pub(super) const BYTES: usize = WINDOWS * MULTIPLES * size_of::<Affine>();

    /// Adds `scalar * P` to a point.
    pub(super) fn add_multiple(&self, sum: Option<Jacobian>, digits: &Digits) -> Option<Jacobian> {
        let mut sum = sum;
        for (window, digit) in self.0.chunks_exact(MULTIPLES).zip(digits.0) {
            // 0 is no entry of the table.
            let Some(entry) = usize::from(digit.unsigned_abs()).checked_sub(1).and_then(|index| window.get(index)) else {
                continue;
            };
            let entry = if digit < 0 { entry.negated() } else { *entry };
            sum = match sum {
                None => Some(entry.into()),
                Some(sum) => sum.plus(&entry),
            };
        }
        sum
    }
}

/// A [`Table`] in the making, step by step, so that its cost can be spread.
#[derive(Clone, Debug)]
pub(super) struct TableBuilder {
    /// `128^w * P` for the next window `w`.
    base: Jacobian,
    entries: Vec<Affine>,
}

impl TableBuilder {
    /// Calls of [`TableBuilder::advance`] that make a table.
    pub(super) const STEPS: usize = 4;

    /// A table of this point without any window.
    pub(super) fn new(point: Affine) -> Self {
        Self { base: point.into(), entries: Vec::new() }
    }

    /// One step: the table when it has all its windows.
    pub(super) fn advance(mut self) -> ControlFlow<Table, Self> {
        self.entries.reserve_exact(WINDOWS * MULTIPLES - self.entries.len());
        let windows = (WINDOWS - self.entries.len() / MULTIPLES).min(WINDOWS.div_ceil(Self::STEPS));
        let mut multiples = Vec::with_capacity(windows * MULTIPLES);
        for _ in 0..windows {
            let mut multiple = self.base;
            for k in 1..=MULTIPLES {
                multiples.push(multiple);
                // The point has a prime order far above 128, so only the sum of a point with itself needs care, and no sum is
                // infinity; the base stands in for what cannot be.
                let next = if k == 1 { Some(self.base.doubled()) } else { multiple.plus_jacobian(&self.base) };
                multiple = next.unwrap_or(self.base);
            }
            // The last multiple pushed is 64 * base.
            self.base = multiples.last().map_or(self.base, Jacobian::doubled);
        }
        self.entries.extend(normalized(&multiples));
        if self.entries.len() < WINDOWS * MULTIPLES {
            ControlFlow::Continue(self)
        } else {
            ControlFlow::Break(Table(self.entries))
        }
    }

    /// All steps at once.
    pub(super) fn finish(mut self) -> Table {
        loop {
            self = match self.advance() {
                ControlFlow::Continue(builder) => builder,
                ControlFlow::Break(table) => return table,
            };
        }
    }
}

/// All points by their coordinates, with one inversion for all (Montgomery's trick).
fn normalized(points: &[Jacobian]) -> Vec<Affine> {
    let mut products = Vec::with_capacity(points.len());
    let mut product = FieldElement::ONE;
    for point in points {
        products.push(product);
        product = product.times(&point.z);
    }
    let mut inverse = product.inverted();
    let mut affine = Vec::with_capacity(points.len());
    for (point, product) in points.iter().zip(&products).rev() {
        let z_inverse = inverse.times(product);
        inverse = inverse.times(&point.z);
        let z_squared = z_inverse.squared();
        affine.push(Affine { x: point.x.times(&z_squared), y: point.y.times(&z_squared).times(&z_inverse) });
    }
    affine.reverse();
    affine
}

impl From<&Scalar> for Digits {
    fn from(scalar: &Scalar) -> Self {
        let bytes = scalar.to_repr();
        // Little-endian, with room for the last window.
        let mut little = [0_u8; 34];
        for (to, from) in little.iter_mut().zip(bytes.iter().rev()) {
            *to = *from;
        }
        let mut digits = [0; WINDOWS];
        let mut carry = 0;
        for (window, digit) in digits.iter_mut().enumerate() {
            let bit = window * WINDOW;
            let pair = u16::from_le_bytes([little[bit / 8], little[bit / 8 + 1]]);
            let bits = (pair >> (bit % 8)) & ((1 << WINDOW) - 1);
            let value = bits + carry;
            carry = u16::from(value > 1 << (WINDOW - 1));
            // From -63 to 64: wrapping takes 2^WINDOW away where there is a carry.
            *digit = i8::try_from(i32::from(value) - (i32::from(carry) << WINDOW)).unwrap_or(0);
        }
        // The scalar has 256 bits, the windows 259: the last digit is at most 16, and nothing is carried out.
        Self(digits)
    }
}
