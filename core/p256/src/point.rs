//! Points of P-256, and their sums.

use crate::{Difference, FieldElement};

/// A point other than infinity, by its coordinates; both are canonical.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affine {
    pub(crate) x: FieldElement,
    pub(crate) y: FieldElement,
}

/// A sum of points: `(x / zz, y / zzz)` with `zz^3 = zzz^2` (Explicit-Formulas Database, g1p/shortw/xyzz-3). `None` stands for infinity
/// wherever it can occur.
///
/// In units of `p`: `x` is between -4 and 2, the other three between -0.5 and 1.5. What comes in from a table is canonical, from 0 to 1,
/// and a product `a * b` between `a b / 32` and `a b / 32 + 1` ([`FieldElement`]'s bounds); so [`Sum::plus`] and [`Sum::doubled`] have
/// each of their intermediate values bounded beside it, and end where they began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub(crate) x: FieldElement,
    pub(crate) y: FieldElement,
    pub(crate) zz: FieldElement,
    pub(crate) zzz: FieldElement,
}

impl From<Affine> for Sum {
    fn from(Affine { x, y }: Affine) -> Self {
        Self { x, y, zz: FieldElement::ONE, zzz: FieldElement::ONE }
    }
}

impl Affine {
    /// `-self` on demand.
    pub(crate) fn negated_if(&self, negate: bool) -> Self {
        Self { x: self.x, y: Difference::from(self.y).negated_if(negate).canonical() }
    }
}

impl Sum {
    /// `self + other`, or `self - other` (madd-2008-s: 8 products, two of them reduced together, and 2 squares).
    #[expect(clippy::many_single_char_names, reason = "the names of the formulas")]
    pub(crate) fn plus(&self, other: &Affine, negate: bool) -> Option<Self> {
        // zz and zzz are below 1.5, so these are from -0.05 to 1.05.
        let other_x = other.x.times(&self.zz);
        let other_y = Difference::from(other.y).negated_if(negate).times(&self.zzz);
        // |p| < 5.05 and |r| < 2.6.
        let p = other_x.minus(&self.x);
        let r = other_y.minus(&self.y);
        if p.is_zero() {
            // The same x: the same point, or opposite ones.
            return if r.is_zero() { Some(Self::from(other.negated_if(negate)).doubled()) } else { None };
        }
        // From 0 to 1.8.
        let pp = p.squared();
        // From -0.3 to 1.3.
        let ppp = p.times(&pp);
        // From -0.25 to 1.15.
        let q = self.x.times(&pp);
        // r^2 is from 0 to 1.25: from -3.6 to 2.
        let x = r.squared_minus([&ppp, &q, &q]);
        // |q - x| < 4.8: from -0.5 to 1.5.
        let y = r.times_minus(&q.minus(&x), &self.y, &ppp);
        // From -0.1 to 1.1.
        Some(Self { x, y, zz: self.zz.times(&pp), zzz: self.zzz.times(&ppp) })
    }

    /// `2 * self` (dbl-2008-s-1). No point of P-256 has order 2, so the result is never infinity. Slow: not for a verification.
    #[expect(clippy::many_single_char_names, reason = "the names of the formulas")]
    pub(crate) fn doubled(&self) -> Self {
        // u and m are canonical, v is from 0 to 1.05, w from 0 to 1.05, s from -0.15 to 1.1.
        let u = self.y.scaled::<2>();
        let v = u.squared();
        let w = u.times(&v);
        let s = self.x.times(&v);
        // 3 (x - zz) (x + zz), as a is -3 and zz^2 is z^4.
        let m = Difference::from(self.x.minus(&self.zz).times(&self.x.plus(&self.zz)).scaled::<3>());
        // From -2.2 to 1.35.
        let x = m.squared_minus([&s, &s]);
        // |s - x| < 3.4: from -0.1 to 1.2.
        let y = m.times_minus(&s.minus(&x), &w, &self.y);
        Self { x, y, zz: v.times(&self.zz), zzz: w.times(&self.zzz) }
    }

    /// Whether the affine x-coordinate is `x`: compared as `x * zz`, so that nothing is inverted.
    pub(crate) fn has_x(&self, x: &FieldElement) -> bool {
        self.x.minus(&x.times(&self.zz)).is_zero()
    }
}
