//! The cache machine under any sequence of events: two caches of one issuer that hand each other snapshots, against a model
//! that knows only what was promised. Octets: an event each four.

use std::collections::VecDeque;

use edgeseal_core::{
    Algorithm, JwksCache, Timestamp,
    jwk::KeyRules,
    jwk_set::KeyRequest,
    jwks_cache::{CacheSettings, FetchResponse, Lookup, Snapshot, Source, Ticket},
};

const SECOND: u64 = 1_000;
const LEASE: u64 = 5 * SECOND;
/// So far back goes the time between calls that come in any order; further, and the clock was set back.
const SET_BACK: u64 = 60 * SECOND;
/// The longest pause after a failure, with its jitter, and a minute: for no longer does a failure speak for an outage.
const OUTAGE: u64 = 75 * SECOND + 60 * SECOND;
const SETTINGS: CacheSettings = CacheSettings {
    fresh_default: 600,
    fresh_min: 300,
    fresh_max: 3_600,
    stale_if_error: 3_600,
    unknown_kid_cooldown: 30,
    backoff_min: 1,
    backoff_max: 60,
};
const ISSUER: &str = "https://i.example";
const URI: &str = "https://i.example/jwks";
const KIDS: u8 = 8;

/// A set as the model knows it: a bit for each kid.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Set {
    kids: u8,
    fetched_at: u64,
    fresh: u64,
    max_age: Option<u64>,
    sequence: usize,
    revocation: u64,
    etag: Option<u8>,
}

#[derive(Clone)]
struct Fetch {
    ticket: Ticket,
    until: u64,
    answered: bool,
    revocation: u64,
}

struct Model {
    cache: JwksCache,
    current: Option<Set>,
    fetches: Vec<Fetch>,
    /// The fetch whose lease is out.
    lease: Option<usize>,
    failures: u32,
    failed_at: u64,
    revocation: u64,
    recent: VecDeque<u64>,
    /// The latest moment of any call.
    seen: u64,
}

pub fn run(data: &[u8]) {
    let mut models = [1, 2].map(Model::new);
    let mut snapshots: Vec<(Snapshot, Set)> = Vec::new();
    let mut now = 1_750_000_000 * SECOND;
    for event in data.as_chunks::<4>().0.iter().take(2_000) {
        let [kind, a, b, c] = *event;
        let model = &mut models[usize::from(kind >> 7)];
        match kind & 0x7f {
            0..=31 => model.lookup(a % (KIDS + 1), now),
            32..=55 => now += (u64::from(a) + 1) * [1, 100, SECOND, 20 * SECOND][usize::from(b % 4)],
            56..=95 => model.answer(usize::from(a % 4), b, c, now),
            96..=103 => model.fail(usize::from(a % 4), now),
            104..=111 => {
                let snapshot = model.cache.snapshot(Some(ISSUER), URI);
                assert_eq!(snapshot.is_some(), model.current.is_some());
                if let Some((snapshot, set)) = snapshot.zip(model.current) {
                    assert_eq!(Snapshot::from_json(&snapshot.to_json()).unwrap(), snapshot);
                    snapshots.push((snapshot, set));
                }
            }
            112..=121 => {
                if let Some((snapshot, set)) = snapshots.iter().rev().nth(usize::from(a % 4)) {
                    model.restore(snapshot, *set, b, now);
                }
            }
            122 | 123 => now -= (u64::from(a) + 1) * [1, 100, SECOND, 600 * SECOND][usize::from(b % 4)],
            _ => {
                model.cache.on_revocation(u64::from(a % 4));
                model.revocation = model.revocation.max(u64::from(a % 4));
            }
        }
        let model = &models[usize::from(kind >> 7)];
        assert_eq!(model.cache.fetched_at().map(Timestamp::as_millis), model.current.map(|set| set.fetched_at));
        assert_eq!(model.cache.current().map(|set| kids_of(set)), model.current.map(|set| set.kids));
        assert_eq!(model.cache.stats().fetches, model.fetches.len() as u64);
    }
}

fn kids_of(set: &edgeseal_core::JwkSet) -> u8 {
    set.keys().iter().fold(0, |kids, key| kids | 1 << key.kid().unwrap().parse::<u8>().unwrap())
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            cache: JwksCache::new(SETTINGS, KeyRules::default(), seed).unwrap(),
            current: None,
            fetches: Vec::new(),
            lease: None,
            failures: 0,
            failed_at: 0,
            revocation: 0,
            recent: VecDeque::new(),
            seen: 0,
        }
    }

    /// `KIDS` itself stands for a token without kid.
    fn lookup(&mut self, kid: u8, now: u64) {
        self.follow_clock(now);
        let name = kid.to_string();
        let request = KeyRequest { kid: (kid < KIDS).then_some(name.as_str()), algorithm: Algorithm::EdDsa };
        if let Some(lease) = self.lease
            && now >= self.fetches[lease].until
        {
            self.failed(lease, self.fetches[lease].until);
        }
        let is_outage = self.failures > 0 && now < self.failed_at + OUTAGE;
        let has = |set: Set| if kid < KIDS { set.kids >> kid & 1 == 1 } else { set.kids != 0 };
        let usable = self.current.filter(|set| now < set.fetched_at + set.fresh + SETTINGS.stale_if_error * SECOND);
        match self.cache.lookup(request, Timestamp::from_millis(now)) {
            Lookup::Use(set) => {
                let current = usable.expect("a set that is past all use is used");
                assert_eq!(kids_of(&set), current.kids);
                assert!(has(current), "used without the key");
                assert!(now < current.fetched_at + current.fresh || is_outage, "used past its freshness without an outage");
            }
            Lookup::UseAndRefresh(_, ticket) => {
                let current = usable.expect("a set that is past all use is used");
                assert!(has(current), "used without the key");
                let age = now - current.fetched_at;
                assert!(age >= current.fresh * 7 / 10, "refreshed after {age} ms of {}", current.fresh);
                assert!(age < current.fresh || is_outage, "used past its freshness without an outage");
                self.fetched(ticket, now);
            }
            Lookup::Fetch(ticket) => {
                if let Some(current) = usable {
                    assert!(!has(current) || now >= current.fetched_at + current.fresh, "fetched for a key at hand");
                }
                self.fetched(ticket, now);
            }
            Lookup::Wait { until } => {
                let lease = self.lease.expect("waiting for nobody");
                assert_eq!(until.as_millis(), self.fetches[lease].until);
            }
            Lookup::UnknownKid(set) => {
                let current = usable.expect("judged by a set that is past all use");
                assert_eq!(kids_of(&set), current.kids);
                assert!(!has(current), "a known key is called unknown");
                assert!(now < current.fetched_at + current.fresh || is_outage, "called unknown by a set past its freshness");
            }
            Lookup::Unavailable { retry_at } => {
                assert!(self.failures > 0, "unavailable without a failure");
                assert!(usable.is_none_or(|set| !has(set)), "unavailable with the key at hand");
                assert!((now + 1..=now.max(self.seen) + 75 * SECOND).contains(&retry_at.as_millis()), "retry at {retry_at:?}");
            }
        }
    }

    fn fetched(&mut self, ticket: Ticket, now: u64) {
        assert!(self.lease.is_none(), "two fetch at once");
        self.lease = Some(self.fetches.len());
        self.fetches.push(Fetch { ticket, until: now + LEASE, answered: false, revocation: self.revocation });
        self.recent.push_back(now);
        while self.recent.front().is_some_and(|first| now.saturating_sub(*first) >= 60 * SECOND) {
            self.recent.pop_front();
        }
        assert!(self.recent.len() <= 12, "{} fetches in a minute", self.recent.len());
    }

    /// What a clock that ran ahead has noted is forgotten, and its set as old as one whose freshness ends now.
    fn follow_clock(&mut self, now: u64) {
        if now + SET_BACK >= self.seen {
            self.seen = self.seen.max(now);
            return;
        }
        self.seen = now;
        self.lease = None;
        self.failures = 0;
        self.recent.clear();
        if let Some(set) = self.current.as_mut().filter(|set| set.fetched_at > now) {
            set.fetched_at = now - set.fresh;
        }
    }

    /// One of the last fetches that nobody has answered.
    fn pending(&mut self, back: usize) -> Option<(usize, Fetch)> {
        let (index, fetch) = self.fetches.iter_mut().enumerate().rev().filter(|(_, fetch)| !fetch.answered).nth(back)?;
        fetch.answered = true;
        Some((index, fetch.clone()))
    }

    fn answer(&mut self, back: usize, kind: u8, detail: u8, now: u64) {
        let Some((index, Fetch { ticket, revocation, .. })) = self.pending(back) else { return };
        self.follow_clock(now);
        let keys: Vec<String> = (0..KIDS)
            .filter(|kid| detail >> kid & 1 == 1)
            .map(|kid| {
                format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#)
            })
            .collect();
        let good = format!("{{\"keys\":[{}]}}", keys.join(","));
        let (status, body) = match kind % 8 {
            0..=4 => (200, good.as_str()),
            5 => (304, ""),
            6 => (200, "<html>"),
            _ => (500, good.as_str()),
        };
        let max_age = [None, Some(0), Some(1_000), Some(1 << 31)][usize::from(kind >> 6)];
        let etag = (kind & 0x20 != 0).then_some(detail);
        let answered = self.cache.on_response(
            &ticket,
            FetchResponse { status, body, max_age, etag: etag.map(|tag| tag.to_string()) },
            Timestamp::from_millis(now),
        );
        let unchanged = status == 304;
        let tag = |set: Set| set.etag.map(|tag| tag.to_string());
        let succeeds = status == 200 && body == good
            || unchanged && ticket.etag().is_some() && self.current.is_some_and(|set| tag(set).as_deref() == ticket.etag());
        assert_eq!(answered.is_ok(), succeeds, "{answered:?}");
        if !succeeds {
            return self.failed(index, now);
        }
        if self.current.is_some_and(|set| set.sequence > index + 1) {
            return;
        }
        if self.lease.is_some_and(|lease| lease <= index) {
            self.lease = None;
        }
        self.failures = 0;
        let Set { kids, etag, max_age, .. } = match self.current.filter(|_| unchanged) {
            Some(current) => Set { max_age: max_age.or(current.max_age), ..current },
            None => Set { kids: detail, etag, max_age, fetched_at: 0, fresh: 0, sequence: 0, revocation },
        };
        let fresh = max_age.unwrap_or(SETTINGS.fresh_default).clamp(SETTINGS.fresh_min, SETTINGS.fresh_max) * SECOND;
        self.current = Some(Set { kids, etag, max_age, fetched_at: now, fresh, sequence: index + 1, revocation });
    }

    fn fail(&mut self, back: usize, now: u64) {
        let Some((index, fetch)) = self.pending(back) else { return };
        self.follow_clock(now);
        self.cache.on_failure(&fetch.ticket, Timestamp::from_millis(now));
        self.failed(index, now);
    }

    fn failed(&mut self, index: usize, at: u64) {
        if self.lease == Some(index) {
            self.lease = None;
            self.failures += 1;
            self.failed_at = at;
        }
    }

    fn restore(&mut self, snapshot: &Snapshot, set: Set, kind: u8, now: u64) {
        let source = Source {
            issuer: (!kind.is_multiple_of(8)).then_some(ISSUER),
            jwks_uri: (kind % 8 != 1).then_some(if kind % 8 == 2 { "https://i.example/other" } else { URI }),
        };
        // A host whose clock is behind must not be taken in by a set of the future.
        let now = if kind % 8 == 3 { now.saturating_sub(u64::from(kind) * 10 * SECOND) } else { now };
        let taken = self.cache.restore(snapshot, source, Timestamp::from_millis(now));
        let expected = !matches!(kind % 8, 0..=2)
            && set.fetched_at <= now
            && self.current.is_none_or(|current| current.fetched_at < set.fetched_at)
            && set.revocation >= self.revocation
            && now < set.fetched_at + set.fresh + SETTINGS.stale_if_error * SECOND;
        assert_eq!(taken.is_ok(), expected, "{taken:?}");
        if expected {
            // It never wins against a fetch that is under way.
            self.current = Some(Set { sequence: self.current.map_or(0, |current| current.sequence), ..set });
        }
    }
}
