//! A clock that somebody sets: what time brings about waits until the new time has held for a while. Time is an argument.
//!
//! Rules about days are kept by the time of day. A clock that jumps 40 days ahead would retire and destroy keys at once, and
//! that cannot be taken back; a clock that runs on after it was set (or after the machine slept) is believed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::Timestamp;

/// Seconds: what the time of day may differ from what a steady clock counted. NTP slews by 500 ppm at most; leap seconds are one.
pub const TOLERANCE: u64 = 60;
/// How long a clock that was set must run on before it is believed: whoever set it wrong has noticed by then, or not at all.
pub const PROBATION: Duration = Duration::from_mins(5);
/// How long the audit log may have been silent before a start at which the clock is believed at once. A machine's own clock is off
/// by hours where it runs in local time, by years where its battery is empty; signers that run write a row every ten seconds.
pub const SILENCE: Duration = Duration::from_hours(1);

/// Watches the time of day against a clock that nobody can set. Its clones are one: what one of them notices, all doubt.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    steady: Instant,
    wall: Timestamp,
    believed_from: Option<Instant>,
    /// By how many seconds it was set each time that [`Clock::look`] has yet to tell of.
    untold: VecDeque<i64>,
}

impl Clock {
    /// Begins at a start. There is nothing to compare the time with but when something was written last before that
    /// [`PROBATION`]: where that is long ago, nobody was running, or the clock is ahead and nobody has set it right yet. Whoever
    /// begins again by a wrong clock has written by it himself, hence the probation before. A row from later than now tells that one
    /// of the two clocks is wrong, and not which.
    pub fn new(steady: Instant, wall: Timestamp, written: Option<Timestamp>) -> Self {
        let is_behind = written.is_some_and(|at| wall.plus_secs(TOLERANCE) < at);
        let silence = written.map(|at| Duration::from_millis(wall.millis_since(at)));
        let doubted = is_behind || silence.is_some_and(|silence| silence > PROBATION + SILENCE);
        let believed_from = doubted.then(|| steady + PROBATION);
        Self(Arc::new(Mutex::new(Watched { steady, wall, believed_from, untold: VecDeque::new() })))
    }

    /// Looks again. By how many seconds the clock was set, if it was; where it was more than once, the next look tells the next.
    pub fn look(&self, steady: Instant, wall: Timestamp) -> Option<i64> {
        let mut watched = self.watched();
        watched.look(steady, wall);
        watched.untold.pop_front()
    }

    /// Looks again, and says whether what time brings about may be done now. Of what it notices the next [`Clock::look`] tells.
    pub fn believes(&self, steady: Instant, wall: Timestamp) -> bool {
        let mut watched = self.watched();
        watched.look(steady, wall);
        watched.is_believed(steady)
    }

    /// Whether what time brings about may be done now, as far as was looked.
    pub fn is_believed(&self, steady: Instant) -> bool {
        self.watched().is_believed(steady)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn look(&mut self, steady: Instant, wall: Timestamp) {
        let passed = i64::try_from(steady.saturating_duration_since(self.steady).as_millis()).unwrap_or(i64::MAX);
        let shown = millis(wall).saturating_sub(millis(self.wall));
        (self.steady, self.wall) = (steady, wall);
        let difference = shown.saturating_sub(passed) / 1_000;
        if difference.unsigned_abs() >= TOLERANCE {
            self.believed_from = Some(steady + PROBATION);
            self.untold.push_back(difference);
        }
    }

    fn is_believed(&self, steady: Instant) -> bool {
        self.believed_from.is_none_or(|from| from <= steady)
    }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_is_on_probation() {
        let began = Instant::now();
        let at = |seconds: u64| (began + Duration::from_secs(seconds), Timestamp::from_secs(1_000_000 + seconds));
        let (steady, wall) = at(0);
        let clock = Clock::new(steady, wall, None);
        for seconds in [10, 20, 86_400] {
            let (steady, wall) = at(seconds);
            assert_eq!(clock.look(steady, wall.plus_secs(TOLERANCE - 1)), None, "within tolerance");
            clock.look(steady, wall);
            assert!(clock.is_believed(steady));
        }
        let (steady, wall) = at(86_410);
        assert_eq!(clock.look(steady, wall.plus_secs(3_600)), Some(3_600));
        assert!(!clock.is_believed(steady));
        assert!(clock.is_believed(steady + PROBATION));
        // And back: from the beginning.
        let (steady, wall) = at(86_500);
        assert_eq!(clock.look(steady, wall), Some(-3_600));
        assert!(!clock.is_believed(steady + Duration::from_secs(299)));
        assert!(clock.is_believed(steady + PROBATION));
    }

    #[test]
    fn what_one_notices_all_doubt_and_it_is_told_once() {
        let began = Instant::now();
        let at = |seconds: u64| (began + Duration::from_secs(seconds), Timestamp::from_secs(1_000_000 + seconds));
        let (steady, wall) = at(0);
        let clock = Clock::new(steady, wall, None);
        let shared = clock.clone();
        let days = 40 * 86_400;
        // There and back between two looks of the one who tells of it.
        let (steady, wall) = at(3);
        assert!(shared.believes(steady, wall));
        assert!(!shared.believes(steady, wall.plus_secs(days)));
        let (steady, wall) = at(5);
        assert!(!shared.believes(steady, wall));
        let (steady, wall) = at(10);
        assert_eq!(clock.look(steady, wall), Some(40 * 86_400));
        assert!(!clock.is_believed(steady));
        assert_eq!(clock.look(steady, wall), Some(-40 * 86_400));
        assert_eq!(clock.look(steady, wall), None);
        let (steady, wall) = at(5 + PROBATION.as_secs());
        assert!(shared.believes(steady, wall));
    }

    #[test]
    fn a_clock_that_is_far_from_the_last_row_is_on_probation_from_the_beginning() {
        let (steady, wall) = (Instant::now(), Timestamp::from_secs(1_000_000));
        let most = (PROBATION + SILENCE).as_secs();
        for silence in [0, 300, most] {
            assert!(Clock::new(steady, wall, Some(Timestamp::from_secs(1_000_000 - silence))).is_believed(steady), "{silence}");
        }
        let doubted = Clock::new(steady, wall, Some(Timestamp::from_secs(1_000_000 - most - 1)));
        assert!(!doubted.is_believed(steady + Duration::from_secs(299)) && doubted.is_believed(steady + PROBATION));
        assert!(Clock::new(steady, wall, None).is_believed(steady), "a new store has nothing that could end");
        // A clock that is behind what was written by another one.
        for (ahead, believed) in [(TOLERANCE, true), (TOLERANCE + 1, false), (5 * 3_600, false)] {
            let clock = Clock::new(steady, wall, Some(wall.plus_secs(ahead)));
            assert_eq!(clock.is_believed(steady), believed, "{ahead}");
            assert!(clock.is_believed(steady + PROBATION));
        }
    }
}
