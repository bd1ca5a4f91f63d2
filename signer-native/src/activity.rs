//! What the signer has been doing in the last minutes, for people who look at it: rates, latencies and refusals, second by
//! second. Prometheus has the long view ([`crate::metrics`]).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use utoipa::ToSchema;

use crate::{issue::MAX_BATCH, keys::now};

/// Seconds that are remembered.
pub const REMEMBERED: usize = 300;
/// Seconds of which rates and latencies are told.
pub const WINDOW: usize = 60;
/// Latencies are counted in steps of a quarter of an octave, from 16 µs on: 80 steps reach 16 s.
const STEPS: usize = 80;
const STEPS_PER_OCTAVE: f64 = 4.0;
const LEAST: f64 = 16e-6;

/// What is remembered. Clones count together.
#[derive(Clone, Debug)]
pub struct Activity {
    began: Instant,
    began_at: u64,
    seconds: Arc<Mutex<Vec<Second>>>,
}

/// One second.
#[derive(Clone, Debug)]
struct Second {
    /// Which one, counted from the beginning; what is older than the ring is nothing.
    number: u64,
    issued: u64,
    refused: BTreeMap<&'static str, u64>,
    latencies: [u32; STEPS],
}

impl Default for Second {
    fn default() -> Self {
        Self { number: 0, issued: 0, refused: BTreeMap::new(), latencies: [0; STEPS] }
    }
}

/// Rates, latencies and refusals.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Issuance {
    /// Tokens and signatures a second, over the last minute.
    pub rate: f64,
    /// How long half of them took at most, from the request's arrival to the finished token: milliseconds, over the last
    /// minute. Null when there was none. Steps are a quarter of an octave wide.
    #[schema(required)]
    pub p50_ms: Option<f64>,
    /// The same for 95 of 100.
    #[schema(required)]
    pub p95_ms: Option<f64>,
    /// The same for 99 of 100.
    #[schema(required)]
    pub p99_ms: Option<f64>,
    /// Issued in the last five minutes.
    pub issued: u64,
    /// Refused in the last five minutes, by the problem's code.
    pub refused: BTreeMap<&'static str, u64>,
    /// What was issued in each of the last 60 whole seconds, the oldest first.
    pub issued_by_second: Vec<u64>,
    /// What was refused in each of them.
    pub refused_by_second: Vec<u64>,
}

impl Default for Activity {
    fn default() -> Self {
        let seconds = Arc::new(Mutex::new(vec![Second::default(); REMEMBERED]));
        Self { began: Instant::now(), began_at: now().as_millis(), seconds }
    }
}

impl Activity {
    /// When it began to count, in milliseconds since 1970.
    pub fn began_at(&self) -> u64 {
        self.began_at
    }

    /// A token was issued, or refused with this code; it took so long.
    pub fn token(&self, refused: Option<&'static str>, took: Duration) {
        self.at(self.began.elapsed(), refused, took);
    }

    fn at(&self, moment: Duration, refused: Option<&'static str>, took: Duration) {
        let number = moment.as_secs() + 1;
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(number % REMEMBERED as u64).unwrap_or_default();
        let second = &mut seconds[place];
        if second.number != number {
            *second = Second { number, ..Second::default() };
        }
        match refused {
            None => {
                second.issued += 1;
                let step = &mut second.latencies[step_of(took)];
                *step = step.saturating_add(1);
            }
            Some(code) => *second.refused.entry(code).or_default() += 1,
        }
    }

    /// What is remembered now.
    pub fn issuance(&self) -> Issuance {
        self.issuance_at(self.began.elapsed())
    }

    fn issuance_at(&self, moment: Duration) -> Issuance {
        let current = moment.as_secs() + 1;
        let mut latencies = [0_u64; STEPS];
        let (mut issued, mut refused) = (0, BTreeMap::new());
        let (mut issued_by_second, mut refused_by_second) = (vec![0; WINDOW], vec![0; WINDOW]);
        for second in self.seconds.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let age = current.saturating_sub(second.number);
            if second.number == 0 || age >= REMEMBERED as u64 {
                continue;
            }
            issued += second.issued;
            for (code, count) in &second.refused {
                *refused.entry(*code).or_default() += count;
            }
            // The present second is not over.
            let Ok(age @ 1..=WINDOW) = usize::try_from(age) else { continue };
            issued_by_second[WINDOW - age] = second.issued;
            refused_by_second[WINDOW - age] = second.refused.values().sum();
            for (sum, count) in latencies.iter_mut().zip(second.latencies) {
                *sum += u64::from(count);
            }
        }
        let whole = usize::try_from(current - 1).unwrap_or(WINDOW).clamp(1, WINDOW);
        #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
        let rate = issued_by_second.iter().sum::<u64>() as f64 / whole as f64;
        let quantile = |part: u64| quantile(&latencies, part);
        Issuance {
            rate,
            p50_ms: quantile(50),
            p95_ms: quantile(95),
            p99_ms: quantile(99),
            issued,
            refused,
            issued_by_second,
            refused_by_second,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to a few dozen steps before"
)]
fn step_of(took: Duration) -> usize {
    let step = (took.as_secs_f64() / LEAST).max(1.0).log2() * STEPS_PER_OCTAVE;
    step.min((STEPS - 1) as f64) as usize
}

/// The upper end of the step that so many of a hundred reach at most, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a few dozen steps")]
fn quantile(latencies: &[u64; STEPS], part: u64) -> Option<f64> {
    let total: u64 = latencies.iter().sum();
    let wanted = (total * part).div_ceil(100).max(1);
    let mut seen = 0;
    let step = latencies.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(LEAST * ((step + 1) as f64 / STEPS_PER_OCTAVE).exp2() * 1_000.0)
}

const _: () = assert!(MAX_BATCH < u32::MAX as usize, "a step's counter holds many batches");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_come_and_go() {
        let activity = Activity::default();
        let second = Duration::from_secs;
        for _ in 0..98 {
            activity.at(second(0), None, Duration::from_micros(500));
        }
        activity.at(second(1), None, Duration::from_millis(40));
        activity.at(second(1), None, Duration::from_hours(1));
        activity.at(second(1), Some("policy_denied"), Duration::ZERO);
        let seen = activity.issuance_at(second(2));
        assert_eq!((seen.issued, seen.refused.get("policy_denied")), (100, Some(&1)));
        assert!((seen.rate - 50.0).abs() < 1e-9, "{}", seen.rate);
        assert_eq!((seen.issued_by_second[WINDOW - 2], seen.issued_by_second[WINDOW - 1]), (98, 2));
        let within = |value: Option<f64>, least: f64, most: f64| {
            assert!(value.is_some_and(|value| (least..most).contains(&value)), "{seen:?}");
        };
        within(seen.p50_ms, 0.5, 0.6);
        within(seen.p95_ms, 0.5, 0.6);
        within(seen.p99_ms, 40.0, 48.0);
        // A minute later nothing is told of it but the sums, and five minutes later nothing at all.
        let later = activity.issuance_at(second(62));
        assert_eq!((later.rate, later.p50_ms, later.issued), (0.0, None, 100));
        let much_later = activity.issuance_at(second(301));
        assert_eq!((much_later.issued, much_later.refused.len()), (0, 0));
        activity.at(second(301), None, Duration::ZERO);
        assert_eq!(activity.issuance_at(second(302)).issued, 1, "its place is another second's now");
    }
}
