//! When to fetch an issuer's keys, as a state machine without I/O: time and randomness are arguments, a fetch is a [`Ticket`]
//! that the host carries out and answers with [`JwksCache::on_response`] or [`JwksCache::on_failure`].
//!
//! - A set is fresh for its `max-age`, within bounds; once 70 to 90 % of that time have passed one caller refreshes it off the
//!   request path while all go on using it.
//! - While fetching fails, the old set serves for `stale_if_error` more; after that the answer is `Unavailable` (HTTP 503),
//!   never a refusal of the token. A failure speaks for its pause and a minute more: whoever comes later asks the endpoint first.
//! - A `kid` that the set does not have causes one forced fetch per `unknown_kid_cooldown`, and none for a `kid` that a fetch
//!   has just shown to be absent. A token that says another issuer causes none at all ([`crate::Verifier::look_up`]).
//! - Failures are followed by a growing pause, also when there never was a set.
//! - One caller fetches at a time. Its right is a lease that expires, so a caller that vanishes blocks nobody.
//! - When a clock that ran ahead is set back, what was noted by it is forgotten, and the set that was fetched by it is due.

mod snapshot;

pub use snapshot::{Snapshot, SnapshotRefused, Source};

use alloc::{collections::VecDeque, string::String, sync::Arc};
use core::hash::{BuildHasher, BuildHasherDefault, Hasher};

use serde_json::Value;

use crate::{
    error::{PolicyError, VerifyError},
    jwk::KeyRules,
    jwk_set::{JwkSet, KeyRequest},
    settings::{Fields, Setting},
    time::Timestamp,
};

/// Milliseconds until a fetch whose host never answered counts as failed: the host's own limit is 3 s.
const LEASE_MILLIS: u64 = 5_000;
/// Milliseconds past its pause for which a failure is taken for an outage that goes on. Steady callers retry off the request path in
/// that time; after a quiet one the failure says nothing any more.
const OUTAGE_MILLIS: u64 = 60_000;
/// Milliseconds by which the time may go back before the clock counts as set back: callers come in any order.
const SET_BACK_MILLIS: u64 = 60_000;
/// Unknown kids that are remembered; the oldest goes first. A kid that was forgotten costs at most a forced fetch per cooldown.
const MAX_UNKNOWN_KIDS: usize = 256;

/// The numbers of the cache, all in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long a set is fresh when the response names no `max-age`.
    pub fresh_default: u64,
    /// The least time that a set is fresh, whatever the response says.
    pub fresh_min: u64,
    /// The longest time that a set is fresh: the bound within which a removed key is refused while the endpoint is up.
    pub fresh_max: u64,
    /// How long past its freshness a set may serve while fetching fails: no longer than a minute past the pause after the last failure.
    pub stale_if_error: u64,
    /// The least time between two fetches forced by unknown kids.
    pub unknown_kid_cooldown: u64,
    /// The pause after a first failure; doubled by each further one.
    pub backoff_min: u64,
    /// The longest pause after a failure.
    pub backoff_max: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            fresh_default: 600,
            fresh_min: 300,
            fresh_max: 3_600,
            stale_if_error: 3_600,
            unknown_kid_cooldown: 30,
            backoff_min: 1,
            backoff_max: 60,
        }
    }
}

impl CacheSettings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        const DAY: u64 = 86_400;
        let Self { fresh_default, fresh_min, fresh_max, stale_if_error, unknown_kid_cooldown, backoff_min, backoff_max } = *self;
        let between = |setting: &'static str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(PolicyError::new(setting, alloc::format!("is {value} s, must be {least} s to {most} s")))
        };
        between("fresh_max", fresh_max, 1, DAY)?;
        between("fresh_min", fresh_min, 1, fresh_max)?;
        between("fresh_default", fresh_default, fresh_min, fresh_max)?;
        between("stale_if_error", stale_if_error, 0, DAY)?;
        between("unknown_kid_cooldown", unknown_kid_cooldown, 1, DAY)?;
        between("backoff_max", backoff_max, 1, DAY)?;
        between("backoff_min", backoff_min, 1, backoff_max)
    }
}

impl Setting for CacheSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let default = Self::default();
        let settings = Self {
            fresh_default: fields.take("fresh_default").unwrap_or(default.fresh_default),
            fresh_min: fields.take("fresh_min").unwrap_or(default.fresh_min),
            fresh_max: fields.take("fresh_max").unwrap_or(default.fresh_max),
            stale_if_error: fields.take("stale_if_error").unwrap_or(default.stale_if_error),
            unknown_kid_cooldown: fields.take("unknown_kid_cooldown").unwrap_or(default.unknown_kid_cooldown),
            backoff_min: fields.take("backoff_min").unwrap_or(default.backoff_min),
            backoff_max: fields.take("backoff_max").unwrap_or(default.backoff_max),
        };
        fields.finish()?;
        Ok(settings)
    }
}

/// What a caller that needs a key shall do.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Use this set.
    Use(Arc<JwkSet>),
    /// Use this set, and carry out the fetch off the request path.
    UseAndRefresh(Arc<JwkSet>, Ticket),
    /// Fetch, answer, and look up again.
    Fetch(Ticket),
    /// Somebody else is fetching: look up again soon, and no later than at this moment.
    Wait {
        /// When the other's lease ends.
        until: Timestamp,
    },
    /// The issuer has no such key, as far as may be asked, or the token is of another issuer: judge it by this set, and it will be refused.
    UnknownKid(Arc<JwkSet>),
    /// There are no keys to judge by, and no fetch before this moment.
    Unavailable {
        /// When the next fetch may be made.
        retry_at: Timestamp,
    },
}

/// A fetch that the caller of a lookup has to wait for, and that has not begun.
pub(crate) struct DueFetch {
    /// The set at hand, which may be past its freshness.
    pub(crate) set: Option<Arc<JwkSet>>,
    /// The digest of the kid that it is forced by.
    unknown_kid: Option<u64>,
}

/// The right to make one fetch. Answer it once; unanswered it lapses after five seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    sequence: u64,
    revocation: u64,
    etag: Option<String>,
    forced: bool,
}

impl Ticket {
    /// Whether the fetch is forced: by a `kid` that the set does not have, or by [`JwksCache::refresh`] of a set that is there. What others
    /// keep is then no answer.
    pub fn is_forced(&self) -> bool {
        self.forced
    }

    /// The entity tag to send as `If-None-Match`, to the URL that the set at hand came from; elsewhere it means nothing.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// The same right for another URL than that of the set at hand: nothing to send as `If-None-Match`, and a 304 is a failure.
    #[must_use]
    pub fn unconditional(self) -> Self {
        Self { etag: None, ..self }
    }
}

/// What the endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse<'a> {
    /// The HTTP status. Only 200, and 304 to a ticket with an entity tag, are successes.
    pub status: u16,
    /// The body.
    pub body: &'a str,
    /// `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1), in seconds.
    pub max_age: Option<u64>,
    /// `ETag`.
    pub etag: Option<String>,
}

/// Counters for a host's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Tickets given out.
    pub fetches: u64,
    /// Fetches that failed or lapsed.
    pub failures: u64,
    /// Answers from a set past its freshness.
    pub stale_served: u64,
    /// Fetches that a cooldown, a pause or the table of unknown kids prevented.
    pub suppressed: u64,
}

/// The keys of one issuer and the state of fetching them.
#[derive(Clone, Debug)]
pub struct JwksCache {
    settings: CacheSettings,
    rules: KeyRules,
    current: Option<Current>,
    lease: Option<Lease>,
    next_sequence: u64,
    /// Failures since the last success.
    failures: u32,
    /// No fetch before this moment.
    not_before: Timestamp,
    last_forced: Option<Timestamp>,
    /// The kid that the last forced fetch was made for, and that fetch, until it or a later one shows whether the kid exists.
    forced_for: Option<(u64, u64)>,
    /// Kids that a fetch has shown to be absent, and until when that is believed.
    unknown_kids: VecDeque<(u64, Timestamp)>,
    /// The last revocation that this cache was told of.
    revocation: u64,
    random: u64,
    stats: CacheStats,
    /// The latest moment that any call came with.
    seen: Timestamp,
}

#[derive(Clone, Debug)]
struct Current {
    set: Arc<JwkSet>,
    /// The text that `set` was read from, for snapshots.
    body: Arc<str>,
    etag: Option<String>,
    max_age: Option<u64>,
    sequence: u64,
    /// The last revocation that was known when the set was asked for.
    revocation: u64,
    fetched_at: Timestamp,
    window: Window,
}

/// What the age of a set means for its use.
#[derive(Clone, Copy, Debug)]
struct Window {
    refresh_at: Timestamp,
    fresh_until: Timestamp,
    stale_until: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    sequence: u64,
    until: Timestamp,
}

impl JwksCache {
    /// An empty cache. `seed` decides the jitter: give each process another one, and a test always the same.
    ///
    /// # Errors
    /// Those of [`CacheSettings::check`].
    pub fn new(settings: CacheSettings, rules: KeyRules, seed: u64) -> Result<Self, PolicyError> {
        settings.check()?;
        Ok(Self {
            settings,
            rules,
            current: None,
            lease: None,
            next_sequence: 1,
            failures: 0,
            not_before: Timestamp::default(),
            last_forced: None,
            forced_for: None,
            unknown_kids: VecDeque::new(),
            revocation: 0,
            random: seed,
            stats: CacheStats::default(),
            seen: Timestamp::default(),
        })
    }

    /// What to do for a token that asks for this key. Call it only for tokens that [`crate::Verifier::admit`] let through;
    /// [`crate::Verifier::look_up`] looks at their issuer besides.
    pub fn lookup(&mut self, request: KeyRequest<'_>, now: Timestamp) -> Lookup {
        self.decide(request, now).unwrap_or_else(|due| Lookup::Fetch(self.take(&due, now)))
    }

    /// As [`JwksCache::lookup`], but a fetch that the caller would have to wait for is not begun yet.
    pub(crate) fn decide(&mut self, request: KeyRequest<'_>, now: Timestamp) -> Result<Lookup, DueFetch> {
        self.lapse(now);
        let Some(current) = self.current.as_ref().filter(|current| now < current.window.stale_until) else {
            return self.fetch_or_wait(None, now);
        };
        let Window { refresh_at, fresh_until, .. } = current.window;
        let is_stale = now >= fresh_until;
        if is_stale && !self.is_failing(now) {
            // Nor does a set past its freshness say which keys there are not.
            let set = Arc::clone(&current.set);
            return self.fetch_or_wait(Some(set), now);
        }
        let set = Arc::clone(&current.set);
        if set.is_unknown(request) {
            return self.lookup_unknown(request, set, now);
        }
        if now < refresh_at {
            return Ok(Lookup::Use(set));
        }
        if is_stale {
            self.stats.stale_served += 1;
        }
        if self.lease.is_some() || now < self.not_before {
            return Ok(Lookup::Use(set));
        }
        Ok(Lookup::UseAndRefresh(set, self.ticket(now)))
    }

    /// Begins a fetch that is due.
    #[cold]
    pub(crate) fn take(&mut self, due: &DueFetch, now: Timestamp) -> Ticket {
        let Some(digest) = due.unknown_kid else { return self.ticket(now) };
        self.last_forced = Some(now);
        let ticket = self.forced_ticket(now);
        self.forced_for = Some((digest, ticket.sequence));
        ticket
    }

    /// The endpoint answered.
    ///
    /// # Errors
    /// Why the answer is not a JWK Set; it then counts as a failure and the old set stays.
    pub fn on_response(&mut self, ticket: &Ticket, response: FetchResponse<'_>, now: Timestamp) -> Result<(), VerifyError> {
        self.follow_clock(now);
        let FetchResponse { status, body, max_age, etag } = response;
        let refusal = match status {
            200 => match JwkSet::from_json_with(body, self.rules) {
                Ok(set) => {
                    self.succeed(ticket, Some((Arc::new(set), body.into(), etag)), max_age, now);
                    return Ok(());
                }
                Err(error) => error,
            },
            304 if ticket.etag.is_some() && self.current.as_ref().is_some_and(|current| current.etag == ticket.etag) => {
                self.succeed(ticket, None, max_age, now);
                return Ok(());
            }
            _ => VerifyError::jwks_unavailable(alloc::format!("the JWKS endpoint answered with status {status}")),
        };
        self.on_failure(ticket, now);
        Err(refusal)
    }

    /// The fetch failed: no connection, time-out, redirect, a body that was too long.
    pub fn on_failure(&mut self, ticket: &Ticket, now: Timestamp) {
        self.follow_clock(now);
        if self.lease.is_some_and(|lease| lease.sequence == ticket.sequence) {
            self.lease = None;
            self.fail(now);
        }
    }

    /// A set from elsewhere has been restored while this fetch was due: the fetch is spared, and its right given back, if that set is
    /// fresh. It then counts as suppressed.
    pub fn spare(&mut self, ticket: &Ticket, now: Timestamp) -> bool {
        let is_fresh = self.current.as_ref().is_some_and(|current| now < current.window.fresh_until);
        if !is_fresh || ticket.forced || self.lease.is_none_or(|lease| lease.sequence != ticket.sequence) {
            return false;
        }
        self.lease = None;
        self.stats.fetches -= 1;
        self.stats.suppressed += 1;
        // What another isolate has fetched of late, this one need not wait for.
        self.failures = 0;
        self.not_before = Timestamp::default();
        true
    }

    /// The right to fetch a set that is older than so many seconds, forced, or one that is not there yet; `None` while another has it, or
    /// in the pause after a failure.
    pub fn refresh(&mut self, older_than: u64, now: Timestamp) -> Option<Ticket> {
        self.lapse(now);
        if self.lease.is_some() || now < self.not_before {
            return None;
        }
        match self.fetched_at() {
            None => Some(self.ticket(now)),
            Some(fetched_at) if now >= fetched_at.plus_secs(older_than) => Some(self.forced_ticket(now)),
            Some(_) => None,
        }
    }

    /// Until when the set as it stands may serve, should every fetch fail.
    pub fn usable_until(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|current| current.window.stale_until)
    }

    /// The set as it stands, whatever its age.
    pub fn current(&self) -> Option<&Arc<JwkSet>> {
        self.current.as_ref().map(|current| &current.set)
    }

    /// When the set as it stands was fetched.
    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|current| current.fetched_at)
    }

    /// The counters.
    pub fn stats(&self) -> CacheStats {
        self.stats
    }

    fn lookup_unknown(&mut self, request: KeyRequest<'_>, set: Arc<JwkSet>, now: Timestamp) -> Result<Lookup, DueFetch> {
        let digest = digest(request);
        if self.unknown_kids.iter().any(|(unknown, until)| *unknown == digest && now < *until) {
            self.stats.suppressed += 1;
            return Ok(Lookup::UnknownKid(set));
        }
        if let Some(lease) = self.lease {
            return Ok(Lookup::Wait { until: lease.until });
        }
        if self.failures > 0 {
            // The endpoint is down: whether the key exists cannot be known, so the token must not be blamed.
            if now < self.not_before {
                self.stats.suppressed += 1;
                return Ok(Lookup::Unavailable { retry_at: self.not_before });
            }
        } else {
            let cooldown_until = self.last_forced.map(|forced| forced.plus_secs(self.settings.unknown_kid_cooldown));
            if cooldown_until.is_some_and(|until| now < until) {
                self.stats.suppressed += 1;
                return Ok(Lookup::UnknownKid(set));
            }
        }
        Err(DueFetch { set: Some(set), unknown_kid: Some(digest) })
    }

    /// Believed for the least time that a set is fresh, not until the set changes: whoever guesses the kid of a key to come must
    /// not be able to keep that key out.
    fn remember_unknown(&mut self, digest: u64, now: Timestamp) {
        if self.unknown_kids.len() == MAX_UNKNOWN_KIDS {
            self.unknown_kids.pop_front();
        }
        self.unknown_kids.push_back((digest, now.plus_secs(self.settings.fresh_min)));
    }

    fn fetch_or_wait(&mut self, set: Option<Arc<JwkSet>>, now: Timestamp) -> Result<Lookup, DueFetch> {
        if let Some(lease) = self.lease {
            return Ok(Lookup::Wait { until: lease.until });
        }
        if now < self.not_before {
            self.stats.suppressed += 1;
            return Ok(Lookup::Unavailable { retry_at: self.not_before });
        }
        Err(DueFetch { set, unknown_kid: None })
    }

    fn ticket(&mut self, now: Timestamp) -> Ticket {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.lease = Some(Lease { sequence, until: now.plus_millis(LEASE_MILLIS) });
        self.stats.fetches += 1;
        let etag = self.current.as_ref().and_then(|current| current.etag.clone());
        Ticket { sequence, revocation: self.revocation, etag, forced: false }
    }

    fn forced_ticket(&mut self, now: Timestamp) -> Ticket {
        Ticket { forced: true, ..self.ticket(now) }
    }

    fn succeed(
        &mut self,
        ticket: &Ticket,
        changed: Option<(Arc<JwkSet>, Arc<str>, Option<String>)>,
        max_age: Option<u64>,
        now: Timestamp,
    ) {
        if self.current.as_ref().is_some_and(|current| current.sequence > ticket.sequence) {
            // A later fetch has already answered: the late answer loses.
            return;
        }
        if self.lease.is_some_and(|lease| lease.sequence <= ticket.sequence) {
            self.lease = None;
        }
        let (set, body, etag, max_age) = match (changed, &self.current) {
            (Some((set, body, etag)), _) => (set, body, etag, max_age),
            // What a 304 does not say again stays as it was (RFC 9111 section 3.2).
            (None, Some(Current { set, body, etag, max_age: known, .. })) => {
                (Arc::clone(set), Arc::clone(body), etag.clone(), max_age.or(*known))
            }
            // `on_response` lets a 304 through only where there is a set.
            (None, None) => return,
        };
        let window = self.window(max_age, now);
        let Ticket { sequence, revocation, .. } = *ticket;
        self.replace(Current { set, body, etag, max_age, sequence, revocation, fetched_at: now, window });
        if let Some((digest, _)) = self.forced_for.take_if(|(_, asked)| sequence >= *asked) {
            // Should the new set have the kid after all, the table is not asked.
            self.remember_unknown(digest, now);
        }
        self.failures = 0;
        self.not_before = Timestamp::default();
    }

    fn replace(&mut self, new: Current) {
        if self.current.as_ref().is_none_or(|current| current.set != new.set) {
            self.unknown_kids.clear();
        }
        self.current = Some(new);
    }

    fn window(&mut self, max_age: Option<u64>, fetched_at: Timestamp) -> Window {
        let CacheSettings { fresh_default, fresh_min, fresh_max, stale_if_error, .. } = self.settings;
        let fresh = max_age.unwrap_or(fresh_default).clamp(fresh_min, fresh_max) * 1_000;
        let fresh_until = fetched_at.plus_millis(fresh);
        Window {
            // At 80 % of the freshness, 10 % earlier or later.
            refresh_at: fetched_at.plus_millis(fresh * 7 / 10 + self.random_below(fresh / 5)),
            fresh_until,
            stale_until: fresh_until.plus_secs(stale_if_error),
        }
    }

    /// Whether the endpoint has failed so lately that it cannot be said to be up.
    fn is_failing(&self, now: Timestamp) -> bool {
        self.failures > 0 && now < self.not_before.plus_millis(OUTAGE_MILLIS)
    }

    /// Counts the lease of a caller that never answered as a failure, of the moment at which it ended: nobody may have looked since.
    fn lapse(&mut self, now: Timestamp) {
        self.follow_clock(now);
        if let Some(Lease { until, .. }) = self.lease
            && now >= until
        {
            self.lease = None;
            self.fail(until);
        }
    }

    /// A pause, a lease or a window that a clock far ahead has set would last until that time comes.
    fn follow_clock(&mut self, now: Timestamp) {
        if self.seen.millis_since(now) <= SET_BACK_MILLIS {
            self.seen = self.seen.max(now);
            return;
        }
        self.seen = now;
        self.lease = None;
        self.failures = 0;
        self.not_before = Timestamp::default();
        self.last_forced = None;
        self.forced_for = None;
        self.unknown_kids.clear();
        if let Some(Current { fetched_at, window, .. }) = &mut self.current
            && *fetched_at > now
        {
            let ahead = window.fresh_until.millis_since(now);
            for moment in [fetched_at, &mut window.refresh_at, &mut window.fresh_until, &mut window.stale_until] {
                *moment = Timestamp::from_millis(moment.as_millis().saturating_sub(ahead));
            }
        }
    }

    fn fail(&mut self, now: Timestamp) {
        self.stats.failures += 1;
        self.failures = self.failures.saturating_add(1);
        let CacheSettings { backoff_min, backoff_max, .. } = self.settings;
        let doubled = 1_u64.checked_shl(self.failures - 1).map_or(u64::MAX, |factor| backoff_min.saturating_mul(factor));
        let pause = doubled.min(backoff_max) * 1_000;
        self.not_before = now.plus_millis(pause + self.random_below(pause / 4));
    }

    /// `SplitMix64` (Steele et al. 2014): spreads callers in time, protects nothing.
    fn random_below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        if bound == 0 { 0 } else { mixed % bound }
    }
}

/// Unknown kids are attacker's choice; they are remembered by a digest of fixed size. FNV-1a is enough: a collision makes one unknown
/// kid pass for another for as long as that is believed absent, and an attacker who wants it must know a kid of the future.
fn digest(request: KeyRequest<'_>) -> u64 {
    struct Fnv(u64);
    impl Default for Fnv {
        fn default() -> Self {
            Self(0xcbf2_9ce4_8422_2325)
        }
    }
    impl Hasher for Fnv {
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        fn finish(&self) -> u64 {
            self.0
        }
    }
    BuildHasherDefault::<Fnv>::default().hash_one(request.kid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    const T0: Timestamp = Timestamp::from_secs(1_750_000_000);
    const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"#;

    fn at(seconds: u64) -> Timestamp {
        T0.plus_secs(seconds)
    }

    fn before(seconds: u64) -> Timestamp {
        Timestamp::from_secs(T0.as_secs() - seconds)
    }

    fn set(kids: &[&str]) -> String {
        let keys: alloc::vec::Vec<String> = kids.iter().map(|kid| std::format!("{KEY}\"{kid}\"}}")).collect();
        std::format!("{{\"keys\":[{}]}}", keys.join(","))
    }

    fn request(kid: &str) -> KeyRequest<'_> {
        KeyRequest { kid: Some(kid), algorithm: Algorithm::EdDsa }
    }

    fn cache() -> JwksCache {
        JwksCache::new(CacheSettings::default(), KeyRules::default(), 7).unwrap()
    }

    fn ok(body: &str) -> FetchResponse<'_> {
        FetchResponse { status: 200, body, max_age: None, etag: None }
    }

    #[track_caller]
    fn fetch(cache: &mut JwksCache, kid: &str, now: Timestamp) -> Ticket {
        match cache.lookup(request(kid), now) {
            Lookup::Fetch(ticket) => ticket,
            other => std::panic!("{other:?}"),
        }
    }

    fn filled() -> JwksCache {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", T0);
        cache.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
        cache
    }

    #[test]
    fn one_caller_fetches_and_the_others_wait() {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", T0);
        assert!(matches!(cache.lookup(request("a"), T0), Lookup::Wait { .. }));
        cache.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(1)), Lookup::Use(_)));
        assert_eq!(cache.stats().fetches, 1);
    }

    #[test]
    fn a_lease_lapses() {
        let mut cache = cache();
        let lost = fetch(&mut cache, "a", T0);
        assert!(matches!(cache.lookup(request("a"), at(4)), Lookup::Wait { .. }));
        assert!(matches!(cache.lookup(request("a"), at(5)), Lookup::Unavailable { .. }));
        let ticket = fetch(&mut cache, "a", at(7));
        cache.on_response(&ticket, ok(&set(&["b"])), at(7)).unwrap();
        // The late answer of the first fetch loses.
        cache.on_response(&lost, ok(&set(&["a"])), at(8)).unwrap();
        assert_eq!(cache.current().unwrap().keys()[0].kid(), Some("b"));
    }

    #[test]
    fn a_clock_that_ran_ahead_leaves_no_pause_behind() {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", at(90 * 86_400));
        cache.on_failure(&ticket, at(90 * 86_400));
        assert!(matches!(cache.lookup(request("a"), at(90 * 86_400)), Lookup::Unavailable { .. }));
        let ticket = fetch(&mut cache, "a", T0);
        // That one never answered before the clock was set back once more.
        let again = fetch(&mut cache, "a", before(3_600));
        cache.on_failure(&ticket, before(3_600));
        cache.on_response(&again, ok(&set(&["a"])), before(3_600)).unwrap();
        assert!(matches!(cache.lookup(request("a"), before(3_599)), Lookup::Use(_)));
    }

    #[test]
    fn a_set_of_a_clock_that_ran_ahead_is_due() {
        let mut cache = cache();
        let ahead = at(86_400);
        let ticket = fetch(&mut cache, "a", ahead);
        cache.on_response(&ticket, ok(&set(&["a"])), ahead).unwrap();
        // Callers come in any order.
        assert!(matches!(cache.lookup(request("a"), at(86_400 - 60)), Lookup::Use(_)));
        let ticket = fetch(&mut cache, "a", at(10));
        cache.on_failure(&ticket, at(10));
        // It serves for an outage as any set does whose freshness has just ended.
        assert!(matches!(cache.lookup(request("a"), at(10)), Lookup::Use(_)));
        assert_eq!(cache.usable_until(), Some(at(10 + 3_600)));
        assert_eq!(cache.fetched_at(), Some(before(590)));
        let ticket = fetch(&mut cache, "b", at(20));
        cache.on_response(&ticket, ok(&set(&["b"])), at(20)).unwrap();
        assert_eq!(cache.fetched_at(), Some(at(20)));
        // One that was fetched at this very moment is as good as ever.
        assert!(matches!(cache.lookup(request("b"), ahead), Lookup::Fetch(_)));
        assert!(matches!(cache.lookup(request("b"), at(20)), Lookup::Use(_)));
        assert_eq!(cache.fetched_at(), Some(at(20)));
    }

    #[test]
    fn refresh_ahead_is_off_the_request_path() {
        let mut cache = filled();
        assert!(matches!(cache.lookup(request("a"), at(419)), Lookup::Use(_)));
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), at(541)) else { std::panic!() };
        assert!(matches!(cache.lookup(request("a"), at(541)), Lookup::Use(_)));
        cache.on_response(&ticket, ok(&set(&["a"])), at(542)).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(900)), Lookup::Use(_)));
    }

    #[test]
    fn a_removed_key_is_refused_once_the_set_is_no_longer_fresh() {
        let mut cache = filled();
        let ticket = fetch(&mut cache, "a", at(600));
        cache.on_response(&ticket, ok(r#"{"keys":[]}"#), at(600)).unwrap();
        // A valid empty set is a revocation: the kid is unknown, one forced fetch is made, and that is all.
        let ticket = fetch(&mut cache, "a", at(601));
        cache.on_response(&ticket, ok(r#"{"keys":[]}"#), at(601)).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(602)), Lookup::UnknownKid(_)));
        assert!(matches!(cache.lookup(request("a"), at(690)), Lookup::UnknownKid(_)));
    }

    #[test]
    fn an_outage_is_bridged_and_then_named() {
        let mut cache = filled();
        let ticket = fetch(&mut cache, "a", at(600));
        cache.on_failure(&ticket, at(600));
        assert!(matches!(cache.lookup(request("a"), at(600)), Lookup::Use(_)));
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), at(602)) else { std::panic!() };
        cache
            .on_response(&ticket, FetchResponse { status: 200, body: "<html>", max_age: None, etag: None }, at(602))
            .unwrap_err();
        assert!(matches!(cache.lookup(request("a"), at(602)), Lookup::Use(_)));
        // Steady callers retry off the request path, whoever comes after a quiet time does it first.
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), at(662)) else { std::panic!() };
        cache.on_failure(&ticket, at(662));
        let ticket = fetch(&mut cache, "a", at(4_195));
        assert!(matches!(cache.lookup(request("a"), at(4_195)), Lookup::Wait { .. }));
        cache.on_failure(&ticket, at(4_195));
        assert!(matches!(cache.lookup(request("a"), at(4_195)), Lookup::Use(_)));
        assert!(matches!(cache.lookup(request("a"), at(4_199)), Lookup::Use(_)));
        // 600 s fresh + 3600 s stale, then nothing is left; the pause after a fourth failure is 8 s and more.
        assert!(matches!(cache.lookup(request("a"), at(4_200)), Lookup::Unavailable { .. }));
    }

    #[test]
    fn a_failure_of_long_ago_is_no_outage() {
        // It failed while the set was fresh, and nobody has asked since.
        let mut cache = filled();
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), at(545)) else { std::panic!() };
        cache.on_failure(&ticket, at(545));
        let retry_at = cache.not_before;
        let mut steady = cache.clone();
        let ticket = fetch(&mut cache, "a", at(4_199));
        cache.on_response(&ticket, ok(r#"{"keys":[]}"#), at(4_199)).unwrap();
        assert_eq!(cache.stats().stale_served, 0);

        // To the millisecond, where the set is past its freshness in that minute.
        let Lookup::UseAndRefresh(_, ticket) = steady.lookup(request("a"), retry_at) else { std::panic!() };
        steady.on_failure(&ticket, at(599));
        let end = steady.not_before.plus_millis(OUTAGE_MILLIS);
        let mut last = steady.clone();
        assert!(matches!(last.lookup(request("a"), Timestamp::from_millis(end.as_millis() - 1)), Lookup::UseAndRefresh(..)));
        assert_eq!(last.stats().stale_served, 1);
        fetch(&mut steady, "a", end);
    }

    #[test]
    fn without_a_failure_there_is_no_outage_even_in_the_first_minute_of_all() {
        let settings = CacheSettings { fresh_min: 10, fresh_default: 10, fresh_max: 10, ..CacheSettings::default() };
        let mut cache = JwksCache::new(settings, KeyRules::default(), 7).unwrap();
        let ticket = fetch(&mut cache, "a", Timestamp::default());
        cache.on_response(&ticket, ok(&set(&["a"])), Timestamp::default()).unwrap();
        fetch(&mut cache, "a", Timestamp::from_secs(10));
    }

    #[test]
    fn a_caller_that_vanished_long_ago_is_no_outage() {
        let mut cache = filled();
        let Lookup::UseAndRefresh(..) = cache.lookup(request("a"), at(545)) else { std::panic!() };
        let mut soon = cache.clone();
        fetch(&mut cache, "a", at(4_100));
        assert_eq!((cache.stats().failures, cache.stats().stale_served), (1, 0));
        // Its lease ended at 550 s: the pause after it is over at 552 s, whenever that is noticed.
        assert!(matches!(soon.lookup(request("a"), at(552)), Lookup::UseAndRefresh(..)));
    }

    #[test]
    fn a_cold_outage_costs_a_handful_of_fetches() {
        let mut cache = cache();
        for millis in 0..10_000 {
            let now = T0.plus_millis(millis);
            match cache.lookup(request("a"), now) {
                Lookup::Fetch(ticket) => cache.on_failure(&ticket, now),
                Lookup::Unavailable { retry_at } => assert!(retry_at > now),
                other => std::panic!("{other:?}"),
            }
        }
        assert!(cache.stats().fetches <= 4, "{:?}", cache.stats());
    }

    #[test]
    fn unknown_kids_share_one_forced_fetch_per_cooldown() {
        let mut cache = filled();
        for second in 0..300 {
            for attempt in 0..10 {
                let kid = std::format!("random-{second}-{attempt}");
                match cache.lookup(request(&kid), at(second)) {
                    Lookup::Fetch(ticket) => cache.on_response(&ticket, ok(&set(&["a"])), at(second)).unwrap(),
                    Lookup::UnknownKid(_) => {}
                    other => std::panic!("{other:?}"),
                }
            }
        }
        assert_eq!(cache.stats().fetches, 1 + 10);
    }

    #[test]
    fn a_fetch_for_an_unknown_kid_after_a_failure_counts_like_any_other() {
        let mut cache = filled();
        let ticket = fetch(&mut cache, "x", at(100));
        cache.on_failure(&ticket, at(100));
        let ticket = fetch(&mut cache, "y", at(129));
        cache.on_response(&ticket, ok(&set(&["a"])), at(129)).unwrap();
        // This one was shown to be absent, and others wait for the cooldown of that fetch.
        for kid in ["y", "z"] {
            assert!(matches!(cache.lookup(request(kid), at(158)), Lookup::UnknownKid(_)), "{kid}");
        }
        assert!(matches!(cache.lookup(request("y"), at(159)), Lookup::UnknownKid(_)));
        fetch(&mut cache, "z", at(159));
    }

    #[test]
    fn a_set_past_its_freshness_calls_no_kid_unknown() {
        let settings = CacheSettings { fresh_min: 10, fresh_default: 10, fresh_max: 10, ..CacheSettings::default() };
        let mut cache = JwksCache::new(settings, KeyRules::default(), 7).unwrap();
        let ticket = fetch(&mut cache, "a", T0);
        cache.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
        let ticket = fetch(&mut cache, "x", at(1));
        cache.on_response(&ticket, ok(&set(&["a"])), at(1)).unwrap();
        assert!(matches!(cache.lookup(request("new"), at(10)), Lookup::UnknownKid(_)), "within the cooldown");
        let ticket = fetch(&mut cache, "new", at(11));
        assert!(!ticket.is_forced(), "the fetch was due");
        cache.on_response(&ticket, ok(&set(&["a", "new"])), at(11)).unwrap();
        assert!(matches!(cache.lookup(request("new"), at(11)), Lookup::Use(_)));
    }

    #[test]
    fn a_kid_shown_to_be_absent_is_not_asked_for_again() {
        let mut cache = filled();
        let ticket = fetch(&mut cache, "x", at(1));
        cache.on_response(&ticket, ok(&set(&["a"])), at(1)).unwrap();
        for second in 1..301 {
            assert!(matches!(cache.lookup(request("x"), at(second)), Lookup::UnknownKid(_)));
        }
        // Once the set changes, it may be asked for again.
        let ticket = fetch(&mut cache, "y", at(100));
        cache.on_response(&ticket, ok(&set(&["a", "y"])), at(100)).unwrap();
        assert!(matches!(cache.lookup(request("y"), at(100)), Lookup::Use(_)));
        let ticket = fetch(&mut cache, "x", at(131));
        cache.on_response(&ticket, ok(&set(&["a", "y"])), at(131)).unwrap();
        // And it is asked for again when that knowledge is as old as a set may be.
        assert!(matches!(cache.lookup(request("x"), at(430)), Lookup::UnknownKid(_)));
        fetch(&mut cache, "x", at(431));
    }

    #[test]
    fn an_unknown_kid_during_an_outage_is_not_blamed_on_the_token() {
        let mut cache = filled();
        let ticket = fetch(&mut cache, "new", at(10));
        cache.on_failure(&ticket, at(10));
        assert!(matches!(cache.lookup(request("new"), at(10)), Lookup::Unavailable { .. }));
        assert!(matches!(cache.lookup(request("a"), at(10)), Lookup::Use(_)));
        let ticket = fetch(&mut cache, "new", at(12));
        cache.on_response(&ticket, ok(&set(&["a", "new"])), at(12)).unwrap();
        assert!(matches!(cache.lookup(request("new"), at(12)), Lookup::Use(_)));
    }

    #[test]
    fn an_answer_to_an_earlier_fetch_does_not_show_that_a_kid_is_absent() {
        let mut cache = filled();
        let early = fetch(&mut cache, "x", at(100));
        // Its lease lapses, and somebody else asks.
        let late = fetch(&mut cache, "new", at(131));
        cache.on_response(&early, ok(&set(&["a"])), at(132)).unwrap();
        cache.on_failure(&late, at(133));
        assert!(matches!(cache.lookup(request("new"), at(133)), Lookup::Unavailable { .. }));
        let again = fetch(&mut cache, "new", at(162));
        cache.on_response(&again, ok(&set(&["a"])), at(162)).unwrap();
        assert!(matches!(cache.lookup(request("new"), at(163)), Lookup::UnknownKid(_)));
    }

    #[test]
    fn a_fetch_is_spared_by_a_fresh_set_from_elsewhere() {
        let mut elsewhere = cache();
        let ticket = fetch(&mut elsewhere, "a", T0);
        elsewhere.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
        let snapshot = elsewhere.snapshot(None, "https://i.example/jwks").unwrap();
        let source = Source { issuer: None, jwks_uri: Some("https://i.example/jwks") };

        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", at(100));
        assert!(!cache.spare(&ticket, at(100)), "there is nothing yet");
        cache.restore(&snapshot, source, at(100)).unwrap();
        assert_eq!(cache.usable_until(), Some(at(4_200)));
        assert!(cache.spare(&ticket, at(100)));
        assert!(!cache.spare(&ticket, at(100)), "the right was given back");
        assert!(matches!(cache.lookup(request("a"), at(100)), Lookup::Use(_)));
        // Nothing lapses: the fetch has not failed.
        assert!(matches!(cache.lookup(request("a"), at(110)), Lookup::Use(_)));
        assert_eq!(cache.stats(), CacheStats { suppressed: 1, ..CacheStats::default() });

        // A set past its freshness spares nothing, and neither does any set a fetch for a key that it does not have.
        let mut late = super::tests::cache();
        let ticket = fetch(&mut late, "a", at(600));
        late.restore(&snapshot, source, at(600)).unwrap();
        assert!(!late.spare(&ticket, at(600)));
        let forced = fetch(&mut cache, "b", at(200));
        assert!(forced.is_forced() && !cache.spare(&forced, at(200)));
    }

    #[test]
    fn settings_are_read_and_the_rest_is_as_always() {
        let read = |text: &str| CacheSettings::from_value(Value::Object(crate::json::parse_object(text.as_bytes()).unwrap().1));
        let wanted = CacheSettings { fresh_max: 60, backoff_min: 2, ..CacheSettings::default() };
        assert_eq!(read(r#"{"fresh_max":60,"backoff_min":2}"#).unwrap(), wanted);
        assert!(alloc::format!("{}", read(r#"{"fresh_maximum":60}"#).unwrap_err()).starts_with("fresh_maximum:"));
    }

    #[test]
    fn a_refresh_is_a_fetch_at_any_age_and_no_flood() {
        let mut cache = filled();
        assert!(cache.refresh(240, at(239)).is_none(), "it is young");
        let ticket = cache.refresh(240, at(240)).unwrap();
        assert!(ticket.is_forced());
        assert!(cache.refresh(240, at(241)).is_none(), "one fetches at a time");
        cache.on_failure(&ticket, at(242));
        let end = cache.not_before;
        assert!(cache.refresh(240, at(242)).is_none(), "after a failure there is a pause");
        assert!(cache.refresh(240, Timestamp::from_secs(end.as_secs() - 1)).is_none());
        assert!(cache.refresh(240, end).is_some(), "it ends when it is said to end");
        assert!(!super::tests::cache().refresh(240, T0).unwrap().is_forced(), "a layer may have what is not here at all");
    }

    #[test]
    fn max_age_is_clamped_and_304_renews() {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", T0);
        let response = FetchResponse { status: 200, body: &set(&["a"]), max_age: Some(0), etag: Some("\"1\"".into()) };
        cache.on_response(&ticket, response, T0).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(200)), Lookup::Use(_)));
        let ticket = fetch(&mut cache, "a", at(300));
        assert_eq!(ticket.etag(), Some("\"1\""));
        let unchanged = FetchResponse { status: 304, body: "", max_age: Some(1_000_000), etag: None };
        cache.on_response(&ticket, unchanged.clone(), at(300)).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(300 + 2_500)), Lookup::Use(_)));
        fetch(&mut cache.clone(), "a", at(300 + 3_600));
        // One that names no time leaves the one that was named before.
        let ticket = cache.refresh(0, at(300 + 3_599)).unwrap();
        cache.on_response(&ticket, FetchResponse { max_age: None, ..unchanged.clone() }, at(300 + 3_599)).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(300 + 3_599 + 2_500)), Lookup::Use(_)));
        // A 304 that nobody asked for is a failure.
        let mut cold = super::tests::cache();
        let ticket = fetch(&mut cold, "a", T0);
        cold.on_response(&ticket, unchanged, T0).unwrap_err();
    }

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        type Change = fn(&mut CacheSettings, u64);

        let good = CacheSettings::default();
        let changes: [(&str, Change, u64, u64); 7] = [
            ("fresh_max", |settings, value| settings.fresh_max = value, 600, 86_400),
            ("fresh_min", |settings, value| settings.fresh_min = value, 1, 600),
            ("fresh_default", |settings, value| settings.fresh_default = value, 300, 3_600),
            ("stale_if_error", |settings, value| settings.stale_if_error = value, 0, 86_400),
            ("unknown_kid_cooldown", |settings, value| settings.unknown_kid_cooldown = value, 1, 86_400),
            ("backoff_max", |settings, value| settings.backoff_max = value, 1, 86_400),
            ("backoff_min", |settings, value| settings.backoff_min = value, 1, 60),
        ];
        for (name, change, least, most) in changes {
            let check = |value| {
                let mut settings = good;
                change(&mut settings, value);
                JwksCache::new(settings, KeyRules::default(), 0).map(drop)
            };
            assert!(check(least).is_ok() && check(most).is_ok(), "{name}");
            check(most + 1).unwrap_err();
            if least > 0 {
                check(least - 1).unwrap_err();
            }
        }
        for (name, change, ..) in changes {
            let mut settings = good;
            change(&mut settings, 86_401);
            assert_eq!(settings.check().unwrap_err().setting(), name);
        }
    }

    #[test]
    fn boundaries_belong_to_what_follows() {
        let mut cache = filled();
        let refresh_at = cache.current.as_ref().unwrap().window.refresh_at;
        let before = |moment: Timestamp| Timestamp::from_millis(moment.as_millis() - 1);
        assert!(matches!(cache.lookup(request("a"), before(refresh_at)), Lookup::Use(_)));
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), refresh_at) else { std::panic!() };
        cache.on_failure(&ticket, refresh_at);
        let retry_at = cache.not_before;
        assert!(matches!(cache.lookup(request("a"), before(retry_at)), Lookup::Use(_)));
        let Lookup::UseAndRefresh(_, ticket) = cache.lookup(request("a"), retry_at) else { std::panic!() };
        cache.on_response(&ticket, ok(&set(&["a"])), retry_at).unwrap();
        // A forced fetch, and the next one.
        let forced = retry_at.plus_secs(1);
        let ticket = fetch(&mut cache, "x", forced);
        cache.on_response(&ticket, ok(&set(&["a"])), forced).unwrap();
        let allowed = forced.plus_secs(30);
        assert!(matches!(cache.lookup(request("y"), before(allowed)), Lookup::UnknownKid(_)));
        fetch(&mut cache, "y", allowed);
    }

    #[test]
    fn a_304_answers_only_the_entity_tag_that_was_sent() {
        let unchanged = FetchResponse { status: 304, body: "", max_age: None, etag: None };
        // Neither the set nor the ticket has a tag: that they agree on none means nothing.
        let mut cache = filled();
        let ticket = fetch(&mut cache, "a", at(600));
        assert_eq!(ticket.etag(), None);
        cache.on_response(&ticket, unchanged.clone(), at(600)).unwrap_err();
        // The set has been replaced by one with another tag since.
        let tagged = |tag: &str| FetchResponse { etag: Some(tag.into()), ..ok(r#"{"keys":[]}"#) };
        let mut cache = filled();
        let ticket = fetch(&mut cache, "a", at(600));
        cache.on_response(&ticket, tagged("1"), at(600)).unwrap();
        let late = fetch(&mut cache, "a", at(700));
        let Lookup::Unavailable { retry_at } = cache.lookup(request("a"), at(705)) else { std::panic!() };
        let ticket = fetch(&mut cache, "a", retry_at);
        cache.on_response(&ticket, tagged("2"), retry_at).unwrap();
        assert_eq!(late.etag(), Some("1"));
        cache.on_response(&late, unchanged.clone(), retry_at.plus_secs(1)).unwrap_err();
        // It was asked of another URL.
        let ticket = cache.refresh(0, retry_at.plus_secs(2)).unwrap().unconditional();
        assert_eq!(ticket.etag(), None);
        assert!(ticket.is_forced());
        cache.on_response(&ticket, unchanged, retry_at.plus_secs(2)).unwrap_err();
    }

    #[test]
    fn what_happens_is_counted() {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", T0);
        cache.on_failure(&ticket, T0);
        for _ in 0..3 {
            assert!(matches!(cache.lookup(request("a"), T0), Lookup::Unavailable { .. }));
        }
        assert_eq!(cache.stats(), CacheStats { fetches: 1, failures: 1, stale_served: 0, suppressed: 3 });
        let ticket = fetch(&mut cache, "a", at(2));
        cache.on_response(&ticket, ok(&set(&["a"])), at(2)).unwrap();
        // Shown to be absent, believed absent twice, and another one that comes within the cooldown.
        let ticket = fetch(&mut cache, "x", at(3));
        cache.on_response(&ticket, ok(&set(&["a"])), at(3)).unwrap();
        for kid in ["x", "x", "y"] {
            assert!(matches!(cache.lookup(request(kid), at(4)), Lookup::UnknownKid(_)));
        }
        assert_eq!(cache.stats(), CacheStats { fetches: 3, failures: 1, stale_served: 0, suppressed: 6 });
        // An outage past the freshness: the set is stale, and an unknown kid has to wait.
        let ticket = fetch(&mut cache, "a", at(700));
        cache.on_failure(&ticket, at(700));
        for _ in 0..2 {
            assert!(matches!(cache.lookup(request("a"), at(700)), Lookup::Use(_)));
        }
        assert!(matches!(cache.lookup(request("z"), at(700)), Lookup::Unavailable { .. }));
        assert_eq!(cache.stats(), CacheStats { fetches: 4, failures: 2, stale_served: 2, suppressed: 7 });
    }

    #[test]
    #[cfg_attr(miri, ignore = "hundreds of key sets: minutes under Miri")]
    fn as_many_unknown_kids_are_remembered_as_there_is_room_for() {
        let settings =
            CacheSettings { unknown_kid_cooldown: 1, fresh_min: 3_600, fresh_default: 3_600, ..CacheSettings::default() };
        let mut cache = JwksCache::new(settings, KeyRules::default(), 7).unwrap();
        let ticket = fetch(&mut cache, "a", T0);
        cache.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
        let names: alloc::vec::Vec<String> = (0..=MAX_UNKNOWN_KIDS).map(|number| std::format!("x{number}")).collect();
        for (second, name) in (1..).zip(&names) {
            let ticket = fetch(&mut cache, name, at(second));
            cache.on_response(&ticket, ok(&set(&["a"])), at(second)).unwrap();
        }
        assert_eq!(cache.unknown_kids.len(), MAX_UNKNOWN_KIDS);
        for name in &names[1..] {
            assert!(matches!(cache.lookup(request(name), at(400)), Lookup::UnknownKid(_)));
        }
        fetch(&mut cache, &names[0], at(400));
    }

    #[test]
    fn the_kid_of_an_unusable_key_and_a_missing_kid_are_known_when_no_fetch_could_help() {
        let mut cache = cache();
        let ticket = fetch(&mut cache, "a", T0);
        let body = std::format!(r#"{{"keys":[{KEY}"a","use":"enc"}},{KEY}"b"}}]}}"#);
        cache.on_response(&ticket, ok(&body), T0).unwrap();
        assert!(matches!(cache.lookup(request("a"), at(1)), Lookup::Use(_)));
        assert!(matches!(cache.lookup(KeyRequest { kid: None, ..request("") }, at(1)), Lookup::Use(_)));
        let other = KeyRequest { kid: None, algorithm: Algorithm::Es256 };
        assert!(matches!(cache.lookup(other, at(1)), Lookup::Fetch(_)));
    }

    #[test]
    fn jitter_spreads_what_many_processes_do() {
        let (mut refreshes, mut pauses) = (alloc::vec::Vec::new(), alloc::vec::Vec::new());
        for seed in 0..200 {
            let mut cache = JwksCache::new(CacheSettings::default(), KeyRules::default(), seed).unwrap();
            let ticket = fetch(&mut cache, "a", T0);
            cache.on_failure(&ticket, T0);
            pauses.push(cache.not_before.millis_since(T0));
            let ticket = fetch(&mut cache, "a", at(2));
            cache.on_response(&ticket, ok(&set(&["a"])), T0).unwrap();
            refreshes.push(cache.current.unwrap().window.refresh_at.millis_since(T0));
        }
        // 70 to 90 % of 600 s; 1 s and up to a quarter more.
        for (moments, least, most) in [(refreshes, 420_000, 540_000), (pauses, 1_000, 1_250)] {
            let margin = (most - least) / 10;
            let (first, last) = (*moments.iter().min().unwrap(), *moments.iter().max().unwrap());
            assert!((least..least + margin).contains(&first), "{first}");
            assert!((most - margin..most).contains(&last), "{last}");
        }
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of seed 1234567, as Vigna's reference implementation prints them.
        let mut cache = JwksCache::new(CacheSettings::default(), KeyRules::default(), 1_234_567).unwrap();
        for expected in [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert_eq!(cache.random_below(u64::MAX), expected);
        }
        assert_eq!(cache.random_below(0), 0);
    }
}
