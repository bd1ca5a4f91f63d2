//! How many tokens an agent may ask for: one bucket for each, in this process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Agent;

/// Buckets that are kept; more agents than that at once make room by dropping full ones.
const MAX_BUCKETS: usize = 65_536;
/// The least that a bucket holds: one batch, so that a small rate does not refuse every batch.
const LEAST_BURST: u32 = 64;

/// The buckets of all agents. A bucket holds one second's worth of tokens, and at least a batch.
#[derive(Debug, Default)]
pub struct Limiter {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

/// The bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Tokens a second that the agent may ask for.
    pub rate: u32,
    /// When one more will be there, at the earliest.
    pub wait: Duration,
}

impl Limiter {
    /// Takes one token out of the agent's bucket.
    ///
    /// # Errors
    /// [`Exceeded`], and then nothing is taken.
    pub fn take(&self, agent: &Agent, now: Instant) -> Result<(), Exceeded> {
        let Some(rate) = agent.rate else { return Ok(()) };
        let (per_second, most) = (f64::from(rate), f64::from(rate.max(LEAST_BURST)));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let level = buckets.get(&agent.name).map_or(most, |bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            since.mul_add(per_second, bucket.level).min(most)
        });
        if level < 1.0 {
            return Err(Exceeded { rate, wait: Duration::from_secs_f64((1.0 - level) / per_second) });
        }
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&agent.name) {
            // A bucket that nobody took from lately is as good as none.
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < Duration::from_mins(1));
        }
        buckets.insert(agent.name.clone(), Bucket { level: level - 1.0, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, rate: Option<u32>) -> Agent {
        Agent { name: name.to_owned(), rate, ..Agent::default() }
    }

    #[test]
    fn a_bucket_runs_dry_and_fills_again() {
        let (limiter, began) = (Limiter::default(), Instant::now());
        let slow = agent("slow", Some(2));
        for _ in 0..LEAST_BURST {
            limiter.take(&slow, began).unwrap();
        }
        let refused = limiter.take(&slow, began).unwrap_err();
        assert_eq!(refused, Exceeded { rate: 2, wait: Duration::from_millis(500) });
        assert!(limiter.take(&slow, began + Duration::from_millis(499)).is_err());
        limiter.take(&slow, began + Duration::from_millis(501)).unwrap();
        limiter.take(&agent("other", Some(2)), began).unwrap();
        let day = began + Duration::from_hours(24);
        let taken = (0..1_000).take_while(|_| limiter.take(&slow, day).is_ok()).count();
        assert_eq!(taken, super::super::MAX_BATCH, "what was not asked for does not pile up");
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        assert!((0..100_000).all(|_| limiter.take(&agent("free", None), now).is_ok()));
    }
}
