//! How often somebody may try what could be guessed, or do what is dear: one bucket for each network and each name, in this process.
//! Codes and passkeys are too long to be guessed anyway: this spares the store and the log, and shows an attack early.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Buckets that are kept; more at once make room by dropping full ones.
const MAX_BUCKETS: usize = 16_384;
/// Octets of a name that tell buckets apart: those of the longest name of a person or an agent.
const MAX_NAME: usize = 64;

/// What is tried: how much a bucket holds, and how long one more takes to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Try {
    /// Ceremonies begun from one network.
    Ceremony,
    /// Refused logins, codes and recoveries from one network.
    Refused,
    /// Refused recoveries of one person, from wherever.
    Recovery,
    /// Certificates that an agent renews. It needs one a day, and one in 40 s where they last a minute; the daemon asks again 30 s after
    /// a failure.
    Renewal,
}

impl Try {
    const fn limits(self) -> (f64, Duration) {
        match self {
            Self::Ceremony => (60.0, Duration::from_secs(1)),
            Self::Refused => (10.0, Duration::from_secs(6)),
            Self::Recovery => (5.0, Duration::from_mins(1)),
            Self::Renewal => (8.0, Duration::from_secs(30)),
        }
    }
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Tries {
    buckets: Mutex<Buckets>,
}

type Buckets = HashMap<(Try, String), (f64, Instant)>;

impl Tries {
    /// Whether somebody may try once more.
    ///
    /// # Errors
    /// How long they have to wait.
    pub fn may(&self, what: Try, who: &str, now: Instant) -> Result<(), Duration> {
        may(what, level(&self.buckets(), &key(what, who), now))
    }

    /// Counts a try, before what is tried is looked at: of many at once none slips past.
    ///
    /// # Errors
    /// How long they have to wait; nothing is counted then.
    pub fn take(&self, what: Try, who: &str, now: Instant) -> Result<(), Duration> {
        let (mut buckets, key) = (self.buckets(), key(what, who));
        let level = level(&buckets, &key, now);
        may(what, level)?;
        if buckets.len() >= MAX_BUCKETS {
            // A bucket that is full again is as good as none.
            buckets.retain(|(what, _), bucket| filled(*what, *bucket, now) < what.limits().0);
        }
        buckets.insert(key, (level - 1.0, now));
        Ok(())
    }

    /// Does not count a try that turned out to be none.
    pub fn give_back(&self, what: Try, who: &str, now: Instant) {
        let (mut buckets, key) = (self.buckets(), key(what, who));
        let level = (level(&buckets, &key, now) + 1.0).min(what.limits().0);
        buckets.insert(key, (level, now));
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose bucket: nobody's name is longer than what is kept of it.
fn key(what: Try, who: &str) -> (Try, String) {
    (what, who[..who.floor_char_boundary(MAX_NAME)].to_owned())
}

fn level(buckets: &Buckets, key: &(Try, String), now: Instant) -> f64 {
    buckets.get(key).map_or(key.0.limits().0, |bucket| filled(key.0, *bucket, now))
}

fn filled(what: Try, (level, at): (f64, Instant), now: Instant) -> f64 {
    let (most, pace) = what.limits();
    (level + now.saturating_duration_since(at).as_secs_f64() / pace.as_secs_f64()).min(most)
}

fn may(what: Try, level: f64) -> Result<(), Duration> {
    if level >= 1.0 { Ok(()) } else { Err(what.limits().1.mul_f64(1.0 - level)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fails_often_waits() {
        let (tries, began) = (Tries::default(), Instant::now());
        for _ in 0..5 {
            // None of those under way at once slips past, before it is known what comes of them.
            tries.take(Try::Recovery, "alice", began).unwrap();
        }
        for refused in [tries.may(Try::Recovery, "alice", began), tries.take(Try::Recovery, "alice", began)] {
            assert_eq!(refused, Err(Duration::from_mins(1)));
        }
        tries.may(Try::Recovery, "bob", began).unwrap();
        tries.may(Try::Refused, "alice", began).unwrap();
        let later = began + Duration::from_secs(61);
        tries.take(Try::Recovery, "alice", later).unwrap();
        assert!(tries.may(Try::Recovery, "alice", later).is_err(), "one came, one went");
        tries.give_back(Try::Recovery, "alice", later);
        tries.take(Try::Recovery, "alice", later).unwrap();
        assert!(tries.take(Try::Recovery, "alice", later).is_err());
    }

    #[test]
    fn a_name_takes_no_more_room_than_a_name_has() {
        let (tries, now) = (Tries::default(), Instant::now());
        let long = format!("{}é", "x".repeat(63));
        for name in [&long, &long.repeat(200)] {
            tries.take(Try::Recovery, name, now).unwrap();
        }
        assert_eq!(tries.buckets().keys().map(|(_, name)| name.len()).collect::<Vec<_>>(), [63]);
    }

    #[test]
    fn an_agent_renews_as_often_as_the_shortest_certificates_need() {
        let (tries, began) = (Tries::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!((0..1_000).all(|number| tries.take(Try::Renewal, "shop", at(number * 36)).is_ok()));
        let taken = (0..3_600).filter(|second| tries.take(Try::Renewal, "desk", at(*second)).is_ok()).count();
        assert_eq!(taken, 8 + 3_599 / 30, "and no more by asking every second");
    }
}
