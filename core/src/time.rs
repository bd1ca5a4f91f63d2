//! Time as an argument: core never asks what time it is.

/// A moment, in milliseconds since 1970-01-01T00:00:00Z without leap seconds (the epoch of `NumericDate`, RFC 7519 section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    millis: u64,
}

impl Timestamp {
    /// A moment in whole seconds since the epoch; saturates instead of overflowing.
    pub const fn from_secs(secs: u64) -> Self {
        Self { millis: secs.saturating_mul(1_000) }
    }

    /// A moment in milliseconds since the epoch, as JavaScript's `Date.now()` gives it.
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.millis / 1_000
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.millis
    }

    /// This moment and `secs` seconds; saturates.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        self.plus_millis(secs.saturating_mul(1_000))
    }

    /// This moment and `millis` milliseconds; saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self { millis: self.millis.saturating_add(millis) }
    }

    /// Milliseconds from `earlier` to this moment, 0 when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.millis.saturating_sub(earlier.millis)
    }

    /// Seconds since the epoch with their fraction, to compare with a `NumericDate`.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay exact below 2^53, the year 287396")]
    pub(crate) fn as_secs_f64(self) -> f64 {
        self.millis as f64 / 1_000.0
    }
}
