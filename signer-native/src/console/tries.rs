//! How often somebody may try what could be guessed: one bucket for each address and each name, in this process. Codes and
//! passkeys are too long to be guessed anyway: this spares the store and the log, and shows an attack early.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Buckets that are kept; more at once make room by dropping full ones.
const MAX_BUCKETS: usize = 16_384;

/// What is tried: how much a bucket holds, and how long one more takes to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Try {
    /// Ceremonies begun from one address.
    Ceremony,
    /// Refused logins, codes and recoveries from one address.
    Refused,
    /// Refused recoveries of one person, from wherever.
    Recovery,
}

impl Try {
    const fn limits(self) -> (f64, Duration) {
        match self {
            Self::Ceremony => (60.0, Duration::from_secs(1)),
            Self::Refused => (10.0, Duration::from_secs(6)),
            Self::Recovery => (5.0, Duration::from_mins(1)),
        }
    }
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Tries {
    buckets: Mutex<HashMap<(Try, String), (f64, Instant)>>,
}

impl Tries {
    /// Whether somebody may try once more.
    ///
    /// # Errors
    /// How long they have to wait.
    pub fn may(&self, what: Try, who: &str, now: Instant) -> Result<(), Duration> {
        let (_, pace) = what.limits();
        let level = self.level(what, who, now);
        if level >= 1.0 { Ok(()) } else { Err(pace.mul_f64(1.0 - level)) }
    }

    /// Counts a try.
    pub fn count(&self, what: Try, who: &str, now: Instant) {
        let level = (self.level(what, who, now) - 1.0).max(0.0);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS {
            // A bucket that is full again is as good as none.
            buckets.retain(|(what, _), (level, at)| {
                let (most, pace) = what.limits();
                let gained = now.saturating_duration_since(*at).as_secs_f64() / pace.as_secs_f64();
                *level + gained < most
            });
        }
        buckets.insert((what, who.to_owned()), (level, now));
    }

    fn level(&self, what: Try, who: &str, now: Instant) -> f64 {
        let (most, pace) = what.limits();
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.get(&(what, who.to_owned())).map_or(most, |(level, at)| {
            let gained = now.saturating_duration_since(*at).as_secs_f64() / pace.as_secs_f64();
            (level + gained).min(most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fails_often_waits() {
        let (tries, began) = (Tries::default(), Instant::now());
        for _ in 0..5 {
            tries.may(Try::Recovery, "alice", began).unwrap();
            tries.count(Try::Recovery, "alice", began);
        }
        assert_eq!(tries.may(Try::Recovery, "alice", began), Err(Duration::from_mins(1)));
        tries.may(Try::Recovery, "bob", began).unwrap();
        tries.may(Try::Refused, "alice", began).unwrap();
        let later = began + Duration::from_secs(61);
        tries.may(Try::Recovery, "alice", later).unwrap();
        tries.count(Try::Recovery, "alice", later);
        assert!(tries.may(Try::Recovery, "alice", later).is_err(), "one came, one went");
    }
}
