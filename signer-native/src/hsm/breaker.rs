//! PURE: the circuit breaker before an HSM. Time is a span since an instant of the caller's choice.
//!
//! Calls pass while it is closed. After [`TOLERATED`] outages in a row, or when every thread hangs, it opens: calls are
//! refused at once, with the reason, instead of waiting for a deadline each. After a pause that doubles from [`PAUSE_MIN`]
//! to [`PAUSE_MAX`] it lets one call through as a probe: a success closes it, a failure opens it again. A call that may take
//! minutes is that probe only where no other comes: everybody would wait for it.

use core::time::Duration;

use super::HsmError;

/// Outages in a row, without any success between them, that open the breaker: a few more than one request can meet while
/// the module is restarted once, few enough that an outage costs few deadlines.
const TOLERATED: u32 = 5;
/// The first pause: shorter than the `Retry-After` of a refusal would make anybody come back twice.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause: the canary comes every ten seconds and is always there to probe.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a probe may be due before a long call makes it: two rounds of the canary, which is not there as long as no key signs.
const UNPROBED: Duration = Duration::from_secs(20);

/// Whether calls get through to the HSM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do.
    #[default]
    Closed,
    /// None does.
    Open,
    /// One is on its way, to see.
    HalfOpen,
}

/// Leave to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// As usual.
    Call,
    /// The one call that decides whether others may follow.
    Probe,
}

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    state: BreakerState,
    outages: u32,
    pause: Duration,
    /// When open: until when.
    until: Duration,
    reason: HsmError,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed,
            outages: 0,
            pause: PAUSE_MIN,
            until: Duration::ZERO,
            reason: HsmError::Unavailable("the HSM has not answered yet".to_owned()),
        }
    }
}

impl Breaker {
    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    /// Asks leave for a call; a refusal says why and when the next attempt is due.
    pub(super) fn ask(&mut self, now: Duration) -> Result<Leave, HsmError> {
        match self.state {
            BreakerState::Closed => Ok(Leave::Call),
            BreakerState::Open if now >= self.until => {
                self.state = BreakerState::HalfOpen;
                Ok(Leave::Probe)
            }
            BreakerState::Open | BreakerState::HalfOpen => Err(self.refusal(now)),
        }
    }

    /// The same for a call that may take minutes.
    pub(super) fn ask_long(&mut self, now: Duration) -> Result<Leave, HsmError> {
        self.may_ask_long(now)?;
        self.ask(now)
    }

    /// Whether such a call would get leave now.
    pub(super) fn may_ask_long(&self, now: Duration) -> Result<(), HsmError> {
        match self.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open if now >= self.until + UNPROBED => Ok(()),
            BreakerState::Open | BreakerState::HalfOpen => Err(self.refusal(now)),
        }
    }

    /// A call came to its end. What refuses one request only (a key that is not there) shows that the HSM answers.
    pub(super) fn ended(&mut self, leave: Leave, outage: Option<&HsmError>, now: Duration) {
        match outage {
            None if leave == Leave::Probe || self.state == BreakerState::Closed => *self = Self::default(),
            // A call from before the breaker opened: the probe decides.
            None => {}
            Some(error) => {
                self.reason = error.clone();
                self.outages = self.outages.saturating_add(1);
                if leave == Leave::Probe {
                    self.pause = (self.pause * 2).min(PAUSE_MAX);
                    self.open(now);
                } else if self.state == BreakerState::Closed && self.outages >= TOLERATED {
                    self.open(now);
                }
            }
        }
    }

    /// The caller of a probe went away before it ended: the next call is the probe.
    pub(super) fn abandoned(&mut self, leave: Leave, now: Duration) {
        if leave == Leave::Probe && self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open;
            self.until = now;
        }
    }

    /// Opens at once: every thread hangs.
    pub(super) fn trip(&mut self, reason: HsmError, now: Duration) {
        if self.state == BreakerState::Closed {
            self.reason = reason;
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        self.state = BreakerState::Open;
        self.until = now + self.pause;
    }

    fn refusal(&self, now: Duration) -> HsmError {
        match &self.reason {
            // No waiting mends these, and what they say is for people to act on.
            HsmError::PinRefused(_) | HsmError::Misconfigured(_) => self.reason.clone(),
            other => HsmError::Unavailable(format!(
                "{other}; calls are held back, the next attempt is due in {} ms",
                self.until.saturating_sub(now).as_millis()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTAGE: HsmError = HsmError::Deadline(Duration::from_secs(1));

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn opened(now: Duration) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..TOLERATED {
            let leave = breaker.ask(now).unwrap();
            breaker.ended(leave, Some(&OUTAGE), now);
        }
        breaker
    }

    #[test]
    fn outages_in_a_row_open_it_and_single_ones_do_not() {
        let mut breaker = Breaker::default();
        for _ in 0..10 * TOLERATED {
            breaker.ended(Leave::Call, Some(&OUTAGE), at(0));
            breaker.ended(Leave::Call, None, at(0));
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let mut breaker = opened(at(0));
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.ask(at(999)).unwrap_err().to_string().contains("did not answer"));
    }

    #[test]
    fn one_probe_decides() {
        let mut breaker = opened(at(0));
        assert_eq!(breaker.ask(at(1_000)), Ok(Leave::Probe));
        assert!(breaker.ask(at(1_000)).is_err(), "a second call beside the probe");
        // Calls from before say nothing about now.
        breaker.ended(Leave::Call, None, at(1_001));
        breaker.ended(Leave::Call, Some(&OUTAGE), at(1_001));
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.ended(Leave::Probe, Some(&OUTAGE), at(1_500));
        assert!(breaker.ask(at(3_499)).is_err(), "the pause has doubled");
        assert_eq!(breaker.ask(at(3_500)), Ok(Leave::Probe));
        breaker.ended(Leave::Probe, None, at(3_501));
        assert_eq!((breaker.state(), breaker.ask(at(3_501))), (BreakerState::Closed, Ok(Leave::Call)));
        // And the next outage begins with the short pause.
        breaker.trip(OUTAGE, at(4_000));
        assert_eq!(breaker.ask(at(5_000)), Ok(Leave::Probe));
    }

    #[test]
    fn a_long_call_is_no_probe_unless_nobody_else_is() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.ask_long(at(0)), Ok(Leave::Call));
        let mut breaker = opened(at(0));
        // Due since a second, and for whoever is quick.
        for now in [at(999), at(1_000), at(20_999)] {
            assert!(breaker.ask_long(now).unwrap_err().to_string().contains("did not answer"), "{now:?}");
            assert!(breaker.may_ask_long(now).is_err());
        }
        assert_eq!(breaker.ask(at(20_999)), Ok(Leave::Probe));
        assert!(breaker.ask_long(at(60_000)).is_err(), "beside the probe");
        breaker.ended(Leave::Probe, None, at(60_000));
        assert_eq!(breaker.ask_long(at(60_000)), Ok(Leave::Call));
        let mut breaker = opened(at(0));
        assert_eq!((breaker.may_ask_long(at(21_000)), breaker.ask_long(at(21_000))), (Ok(()), Ok(Leave::Probe)));
    }

    #[test]
    fn a_lost_probe_blocks_nobody() {
        let mut breaker = opened(at(0));
        let leave = breaker.ask(at(1_000)).unwrap();
        breaker.abandoned(leave, at(1_200));
        assert_eq!(breaker.ask(at(1_200)), Ok(Leave::Probe));
    }

    #[test]
    fn the_pause_is_bounded() {
        let mut breaker = opened(at(0));
        let mut now = at(0);
        for _ in 0..20 {
            now += PAUSE_MAX;
            let leave = breaker.ask(now).unwrap();
            breaker.ended(leave, Some(&OUTAGE), now);
        }
        assert!(breaker.ask(now + PAUSE_MAX).is_ok());
    }

    #[test]
    fn what_no_waiting_mends_is_said_as_it_is() {
        let mut breaker = Breaker::default();
        let refused = HsmError::PinRefused("the PIN".to_owned());
        breaker.trip(refused.clone(), at(0));
        assert_eq!(breaker.ask(at(1)), Err(refused));
    }
}
