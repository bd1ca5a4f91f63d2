//! What a store has been doing: counters for metrics and for people.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::BreakerState;

/// What a store is doing and has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Whether calls get through.
    pub breaker: BreakerState,
    /// Worker processes alive; 0 when the module is in this process.
    pub processes: u64,
    /// Threads in service, one session each.
    pub threads: u64,
    /// Of these, in a call now.
    pub busy: u64,
    /// Threads in a call that overran its deadline: out of service until it returns.
    pub quarantined: u64,
    /// Calls that wait for a thread.
    pub queued: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Calls that overran their deadline.
    pub deadlines: u64,
    /// Calls refused because the queue was full.
    pub overflows: u64,
    /// Calls that the breaker refused.
    pub held_back: u64,
    /// The module was finalized and initialized again, or a worker process started again.
    pub restarts: u64,
    /// The PIN was presented.
    pub logins: u64,
    /// What was done about faults inside calls.
    pub retries: Retries,
}

/// Remedies within a call, each followed by one more attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// A handle was stale: the key was found again by `CKA_ID`.
    pub handle: u64,
    /// A session or the login was gone: another session, logged in.
    pub session: u64,
    /// The module lost its objects or its device: finalized and initialized.
    pub module: u64,
    /// The HSM had too much to do: waited.
    pub throttled: u64,
}

impl StoreStats {
    /// With what a worker process did besides: its signatures are counted where they arrive, its login where it was started.
    pub(super) fn plus_work_of(mut self, worker: &Self) -> Self {
        let Retries { handle, session, module, throttled } = worker.retries;
        self.retries.handle += handle;
        self.retries.session += session;
        self.retries.module += module;
        self.retries.throttled += throttled;
        self
    }
}

/// The counters behind [`StoreStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) signatures: AtomicU64,
    pub(super) deadlines: AtomicU64,
    pub(super) overflows: AtomicU64,
    pub(super) held_back: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) logins: AtomicU64,
    pub(super) handle: AtomicU64,
    pub(super) session: AtomicU64,
    pub(super) module: AtomicU64,
    pub(super) throttled: AtomicU64,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The counters as they stand; what is not counted is left at its default.
    pub(super) fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            signatures: read(&self.signatures),
            deadlines: read(&self.deadlines),
            overflows: read(&self.overflows),
            held_back: read(&self.held_back),
            restarts: read(&self.restarts),
            logins: read(&self.logins),
            retries: Retries {
                handle: read(&self.handle),
                session: read(&self.session),
                module: read(&self.module),
                throttled: read(&self.throttled),
            },
            ..StoreStats::default()
        }
    }
}
