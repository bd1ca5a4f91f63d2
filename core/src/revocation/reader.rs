//! How old an isolate's copy of the list may become.
//!
//! The list lives in one place; every isolate reads it again once R seconds have passed, and judges by its copy meanwhile. So a
//! revocation binds every isolate R seconds after it was stored, and a read's time. Where the place cannot be read, the copy is
//! good until 3 R after the last reading that succeeded; then the gateway answers as it is configured.

use alloc::{rc::Rc, string::String};

use super::{Revocations, WhenStale};
use crate::{http::Refusal, time::Timestamp, verify::VerifiedToken};

/// Milliseconds that a reading may take: a request waits for it, so that R and this bound what a revoked token is good for.
pub const READ_TIMEOUT_MILLIS: u64 = 1_500;
/// Milliseconds after a reading that failed until the next one.
const PAUSE_MILLIS: u64 = 1_000;
/// Milliseconds by which the time may go back before the clock counts as set back: callers come in any order.
const SET_BACK_MILLIS: u64 = 60_000;
/// So many times R after its last reading a copy is stale.
const STALE_AFTER: u64 = 3;

/// An isolate's copy of the list, and how it is kept fresh.
#[derive(Clone, Debug)]
pub struct Reader {
    every_millis: u64,
    when_stale: WhenStale,
    list: Rc<Revocations>,
    sequence: u64,
    /// When the last reading that succeeded was begun.
    read_at: Option<Timestamp>,
    /// When one was begun whose end is not known.
    reading_since: Option<Timestamp>,
    failed_at: Option<Timestamp>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The sequence of the last document.
    pub sequence: u64,
    /// The list; `None` where the sequence is still the one that was known.
    pub list: Option<Revocations>,
}

/// What the list says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is not revoked.
    Good,
    /// It is not revoked as far as an old copy goes, and the configuration wants to go on: a line for the log.
    GoodByOldCopy(String),
    /// Refuse it.
    Refused(Refusal),
}

impl Reader {
    /// A reader that knows nothing yet, for readings every so many seconds.
    pub fn new(every_secs: u64, when_stale: WhenStale) -> Self {
        Self {
            every_millis: every_secs.saturating_mul(1_000),
            when_stale,
            list: Rc::default(),
            sequence: 0,
            read_at: None,
            reading_since: None,
            failed_at: None,
        }
    }

    /// Whether the caller is to read now, before it judges; then it reports [`Reader::on_read`] or [`Reader::on_failure`] with
    /// this `now`.
    ///
    /// While one request reads, others go on with the copy for as long as a reading may take; after a failure, for a second.
    pub fn must_read(&mut self, now: Timestamp) -> bool {
        // A clock that ran ahead vouches for nothing, and may have ended entries that are in force: all is read anew.
        if self.read_at.is_some_and(|at| at.millis_since(now) > SET_BACK_MILLIS) {
            self.read_at = None;
            self.sequence = 0;
        }
        let within = |at: Option<Timestamp>, millis| at.is_some_and(|at| at <= now && now.millis_since(at) < millis);
        let is_fresh = within(self.read_at, self.every_millis);
        let another_reads = within(self.reading_since, READ_TIMEOUT_MILLIS)
            && within(self.read_at, self.every_millis.saturating_add(READ_TIMEOUT_MILLIS));
        let has_failed = within(self.failed_at, PAUSE_MILLIS);
        if is_fresh || another_reads || has_failed {
            return false;
        }
        self.reading_since = Some(now);
        true
    }

    /// The sequence that is known; 0 before the first reading.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A reading that was begun at `begun` succeeded. An isolate only adds, as the list itself does.
    pub fn on_read(&mut self, begun: Timestamp, reading: Reading, now: Timestamp) {
        let Reading { sequence, list } = reading;
        if let Some(list) = list {
            let mine = Rc::make_mut(&mut self.list);
            mine.merge(list);
            mine.forget_ended(now);
        }
        self.sequence = self.sequence.max(sequence);
        self.read_at = self.read_at.max(Some(begun));
        self.reading_since = None;
        self.failed_at = None;
    }

    /// A document passed by here and was stored: its entries count at once. It is no reading, since the place may know more.
    pub fn on_push(&mut self, list: Revocations) {
        Rc::make_mut(&mut self.list).merge(list);
    }

    /// A reading failed.
    pub fn on_failure(&mut self, now: Timestamp) {
        self.reading_since = None;
        self.failed_at = Some(now);
    }

    /// Whether a verified token may be used. A token that the copy lists is refused, however old the copy.
    pub fn judge(&self, token: &VerifiedToken, now: Timestamp) -> Judgement {
        if let Err(revoked) = self.list.judge(token) {
            return Judgement::Refused(Refusal::token_revoked(alloc::format!("{revoked}")));
        }
        let stale_at = self.read_at.map(|at| at.plus_millis(self.every_millis.saturating_mul(STALE_AFTER)));
        if stale_at.is_some_and(|stale_at| now < stale_at) {
            return Judgement::Good;
        }
        let detail = match self.read_at {
            None => "the revocation list could not be read yet".into(),
            Some(at) => alloc::format!("the revocation list was read {} s ago", now.millis_since(at) / 1_000),
        };
        match self.when_stale {
            WhenStale::Continue => Judgement::GoodByOldCopy(detail),
            WhenStale::Refuse => Judgement::Refused(Refusal::revocation_unavailable(detail)),
        }
    }

    /// How many entries the copy has, and when the last reading that succeeded was begun.
    pub fn state(&self) -> (usize, Option<Timestamp>) {
        (self.list.len(), self.read_at)
    }
}

/// When every isolate is bound by what was stored at `stored_at`: those that can read the list, and all of them, since the rest
/// refuses by then; `None` where the configuration lets these go on.
pub fn bound_by(every_secs: u64, when_stale: WhenStale, stored_at: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let reading = stored_at.plus_secs(every_secs).plus_millis(READ_TIMEOUT_MILLIS);
    let all = stored_at.plus_secs(every_secs.saturating_mul(STALE_AFTER));
    (reading, (when_stale == WhenStale::Refuse).then_some(all.max(reading)))
}
