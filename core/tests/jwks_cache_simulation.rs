//! Many verifiers, one issuer, simulated time: outages, rotations, revocations, late and malformed answers, callers that vanish,
//! hostile kids; isolates that restart and take over the set that another one has stored.
//!
//! A failure names its seed; `make simulate SEED=n` (`EDGESEAL_SEED=n cargo test -p edgeseal-core --test jwks_cache_simulation`) runs
//! that seed alone, `make simulate SEEDS=n` the first n.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, in its helpers too")]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use edgeseal_core::{
    Algorithm, JwkSet, JwksCache, Timestamp, VerifyError,
    jwk::KeyRules,
    jwk_set::KeyRequest,
    jwks_cache::{CacheSettings, FetchResponse, Lookup, Snapshot, Source, Ticket},
};

const VERIFIERS: usize = 20;
const EVENTS_PER_SEED: usize = 100_000;
const SEEDS: u64 = 10;
const SECOND: u64 = 1_000;
/// The cache's own promise: a caller that never answers blocks nobody for longer.
const LEASE: u64 = 5 * SECOND;
/// The longest pause after a failure, with its jitter, and a minute: for no longer does a failure speak for an outage.
const OUTAGE: u64 = 75 * SECOND + 60 * SECOND;
/// The slowest answer. What it says may be as old when it comes.
const SLOWEST: u64 = 20 * SECOND;

const ISSUER: &str = "https://i.example";
const URI: &str = "https://i.example/jwks";

#[path = "../../tests/support/random.rs"]
mod random;
use random::Random;

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The issuer: which keys are published when, and whether its endpoint answers.
struct Issuer {
    /// Kid to the moments of publishing and of removal.
    keys: HashMap<u64, (u64, Option<u64>)>,
    /// The kids that were revoked, each with the sequence number of its revocation.
    revoked: Vec<u64>,
    current: u64,
    version: u64,
    up: bool,
}

enum Event {
    Request(usize),
    /// Of a verifier in its nth life.
    Answer(usize, usize, Ticket, Outcome),
    Rotate,
    Remove(u64),
    Revoke(u64),
    Toggle,
    Store,
    Restore,
    Restart,
}

enum Outcome {
    Set(String, String),
    Unchanged,
    Malformed,
    Failure,
}

struct Simulation {
    seed: u64,
    random: Random,
    now: u64,
    order: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, Event>,
    issuer: Issuer,
    verifiers: Vec<JwksCache>,
    /// How often each verifier has been started anew, and the last revocation that it was told of.
    lives: Vec<usize>,
    told: Vec<u64>,
    /// What the verifiers share: a snapshot, with the revocation that was known when it was fetched.
    stored: Option<String>,
    /// When each verifier fetched, for the budget of any minute.
    fetches: Vec<VecDeque<u64>>,
    /// Since when each verifier has told every caller to wait.
    waiting_since: Vec<Option<u64>>,
    /// The last fetch that each verifier began, until it succeeds.
    last_fetch: Vec<Option<Ticket>>,
    /// When each verifier began its last fetch, and when its last failure was.
    began: Vec<u64>,
    failed: Vec<u64>,
    /// When each verifier's last forced fetch was, and how many failures it had had by then.
    forced: Vec<Option<(u64, u64)>>,
    /// The newest version of the issuer's set that each verifier has used.
    newest: Vec<u64>,
    seen: HashMap<&'static str, usize>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let start = 1_750_000_000 * SECOND;
        let mut simulation = Self {
            seed,
            random: Random(seed),
            now: start,
            order: 0,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            issuer: Issuer { keys: HashMap::from([(0, (start, None))]), revoked: Vec::new(), current: 0, version: 0, up: true },
            verifiers: (0..VERIFIERS).map(|index| empty(seed * 100 + index as u64)).collect(),
            lives: vec![0; VERIFIERS],
            told: vec![0; VERIFIERS],
            stored: None,
            fetches: vec![VecDeque::new(); VERIFIERS],
            waiting_since: vec![None; VERIFIERS],
            last_fetch: vec![None; VERIFIERS],
            began: vec![0; VERIFIERS],
            failed: vec![0; VERIFIERS],
            forced: vec![None; VERIFIERS],
            newest: vec![0; VERIFIERS],
            seen: HashMap::new(),
        };
        for verifier in 0..VERIFIERS {
            simulation.after(0, Event::Request(verifier));
        }
        simulation.after(3_600 * SECOND, Event::Rotate);
        simulation.after(1_800 * SECOND, Event::Toggle);
        for event in [Event::Store, Event::Restore, Event::Restart] {
            simulation.after(SECOND, event);
        }
        simulation
    }

    fn after(&mut self, millis: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((self.now + millis, self.order)));
        self.events.insert(self.order, event);
    }

    fn run(&mut self) {
        for _ in 0..EVENTS_PER_SEED {
            let Reverse((time, order)) = self.queue.pop().unwrap();
            self.now = time;
            match self.events.remove(&order).unwrap() {
                Event::Request(verifier) => self.request(verifier),
                // Nobody is there any more to take the answer to an earlier life.
                Event::Answer(verifier, life, ..) if life != self.lives[verifier] => {}
                Event::Answer(verifier, _, ticket, outcome) => self.answer(verifier, &ticket, outcome),
                Event::Store => self.store(),
                Event::Restore => self.restore_somewhere(),
                Event::Restart => self.restart(),
                Event::Revoke(sequence) => self.revoke(sequence),
                Event::Rotate => self.rotate(),
                Event::Remove(kid) => {
                    self.issuer.keys.get_mut(&kid).unwrap().1 = Some(self.now);
                    self.issuer.version += 1;
                    if self.random.chance(30) {
                        self.issuer.revoked.push(kid);
                        let delay = self.random.below(10 * SECOND);
                        self.after(delay, Event::Revoke(self.issuer.revoked.len() as u64));
                    }
                }
                Event::Toggle => self.toggle(),
            }
        }
    }

    fn rotate(&mut self) {
        let (old, new) = (self.issuer.current, self.issuer.current + 1);
        self.issuer.keys.insert(new, (self.now, None));
        self.issuer.current = new;
        self.issuer.version += 1;
        // Retired after its tokens have expired, or compromised at once.
        // Every second seed rotates so fast that answers overtake each other.
        let scale = if self.seed % 2 == 1 { SECOND / 100 } else { SECOND };
        let keep = if self.random.chance(50) { 0 } else { 7_200 * scale };
        self.after(keep, Event::Remove(old));
        let next = 1_800 * scale + self.random.below(14_400 * scale);
        self.after(next, Event::Rotate);
    }

    /// Most verifiers hear of it.
    fn revoke(&mut self, sequence: u64) {
        for verifier in 0..VERIFIERS {
            if self.random.chance(90) {
                self.verifiers[verifier].on_revocation(sequence);
                self.told[verifier] = self.told[verifier].max(sequence);
            }
        }
    }

    fn any_verifier(&mut self) -> usize {
        self.random.below(VERIFIERS as u64).try_into().unwrap()
    }

    fn store(&mut self) {
        let pause = 1 + self.random.below(600 * SECOND);
        self.after(pause, Event::Store);
        let verifier = self.any_verifier();
        if let Some(snapshot) = self.verifiers[verifier].snapshot(Some(ISSUER), URI) {
            self.stored = Some(snapshot.to_json());
        }
    }

    fn restore_somewhere(&mut self) {
        let pause = 1 + self.random.below(300 * SECOND);
        self.after(pause, Event::Restore);
        let verifier = self.any_verifier();
        self.restore(verifier);
    }

    /// The isolate was evicted: a new one begins with nothing but what is stored, and hears of the last revocation.
    fn restart(&mut self) {
        let pause = 1 + self.random.below(600 * SECOND);
        self.after(pause, Event::Restart);
        let verifier = self.any_verifier();
        self.verifiers[verifier] = empty(self.random.next());
        self.lives[verifier] += 1;
        self.fetches[verifier].clear();
        self.waiting_since[verifier] = None;
        self.last_fetch[verifier] = None;
        (self.began[verifier], self.failed[verifier], self.forced[verifier]) = (0, 0, None);
        self.newest[verifier] = 0;
        self.verifiers[verifier].on_revocation(self.told[verifier]);
        self.restore(verifier);
    }

    /// What is restored is no younger than it was, not older than what was there, and holds no key whose revocation is known.
    fn restore(&mut self, verifier: usize) {
        let Some(stored) = &self.stored else { return };
        let snapshot = Snapshot::from_json(stored).unwrap();
        let source = Source { issuer: Some(ISSUER), jwks_uri: Some(URI) };
        let cache = &mut self.verifiers[verifier];
        let (before, now) = (cache.fetched_at(), Timestamp::from_millis(self.now));
        if cache.restore(&snapshot, source, now).is_err() {
            assert_eq!(cache.fetched_at(), before);
            *self.seen.entry("refused snapshot").or_default() += 1;
            return;
        }
        *self.seen.entry("restored snapshot").or_default() += 1;
        assert_eq!(cache.fetched_at(), Some(snapshot.fetched_at()), "seed {}", self.seed);
        assert!(
            before < Some(snapshot.fetched_at()) && snapshot.fetched_at() <= now,
            "seed {}: an older set restored",
            self.seed
        );
        let set = cache.current().unwrap();
        for kid in self.issuer.revoked.iter().take(self.told[verifier].try_into().unwrap()) {
            let there = set.keys().iter().any(|key| key.kid() == Some(&kid.to_string()));
            assert!(!there, "seed {}: {kid} was revoked and restored", self.seed);
        }
        // A slow answer may have brought an older version later than a quick one.
        self.newest[verifier] = version_of(set);
    }

    fn toggle(&mut self) {
        self.issuer.up = !self.issuer.up;
        let longest = if self.issuer.up { 10_800 } else { 28_800 };
        let next = SECOND + self.random.below(longest * SECOND);
        self.after(next, Event::Toggle);
    }

    fn request(&mut self, verifier: usize) {
        // Now and then nobody asks for hours: what was true before may have ended meanwhile.
        let longest = match self.random.below(1_000) {
            0..10 => 7_200 * SECOND,
            10..200 => 60 * SECOND,
            _ => SECOND,
        };
        let pause = 1 + self.random.below(longest);
        self.after(pause, Event::Request(verifier));
        // A token of the current key, of an older one, or of a kid that an attacker made up.
        // In every third seed there is no attacker, so that nothing but age refreshes a set.
        let kid = match self.random.below(10) {
            0 | 1 if !self.seed.is_multiple_of(3) => format!("hostile-{}", self.random.below(1 << 40)),
            // A guess of the next key's kid must not keep that key out later.
            2 if !self.seed.is_multiple_of(3) => (self.issuer.current + 1).to_string(),
            3 | 4 => self.issuer.current.saturating_sub(1).to_string(),
            _ => self.issuer.current.to_string(),
        };
        let request = KeyRequest { kid: Some(&kid), algorithm: Algorithm::EdDsa };
        let failures = self.failures(verifier);
        let lookup = self.verifiers[verifier].lookup(request, Timestamp::from_millis(self.now));
        if self.failures(verifier) > failures {
            // A caller vanished, or is late: its lease ended then, not now.
            self.failed[verifier] = self.began[verifier] + LEASE;
        }
        if !matches!(lookup, Lookup::Wait { .. }) {
            self.waiting_since[verifier] = None;
        }
        let name = match lookup {
            Lookup::Use(set) => {
                self.used(verifier, &kid, &set);
                "use"
            }
            Lookup::UseAndRefresh(set, ticket) => {
                self.used(verifier, &kid, &set);
                self.fetch(verifier, ticket);
                "use and refresh"
            }
            Lookup::Fetch(ticket) => {
                self.fetch(verifier, ticket);
                "fetch"
            }
            Lookup::Wait { until } => {
                let since = *self.waiting_since[verifier].get_or_insert(self.now);
                assert!(self.now - since < LEASE, "seed {}: starved since {since}", self.seed);
                assert!(
                    until.as_millis() > self.now && until.as_millis() <= self.now + LEASE,
                    "seed {}: lease {until:?}",
                    self.seed
                );
                "wait"
            }
            Lookup::UnknownKid(_) => {
                self.unknown(&kid);
                "unknown kid"
            }
            Lookup::Unavailable { retry_at } => {
                assert!(retry_at.as_millis() > self.now, "seed {}: retry in the past", self.seed);
                assert!(retry_at.as_millis() <= self.now + 75 * SECOND, "seed {}: retry too late", self.seed);
                self.unavailable(verifier);
                "unavailable"
            }
        };
        *self.seen.entry(name).or_default() += 1;
    }

    fn failures(&self, verifier: usize) -> u64 {
        self.verifiers[verifier].stats().failures
    }

    /// A key that was removed is refused within the bound of its set's life, which a failure prolongs for as long as it speaks for an
    /// outage.
    fn used(&mut self, verifier: usize, kid: &str, set: &JwkSet) {
        let version = version_of(set);
        assert!(version >= self.newest[verifier], "seed {}: version {version} after {}", self.seed, self.newest[verifier]);
        self.newest[verifier] = version;
        assert!(set.keys().iter().any(|key| key.kid() == Some(kid)), "seed {}: used a set without {kid}", self.seed);
        let CacheSettings { fresh_max, stale_if_error, .. } = CacheSettings::default();
        let is_outage = self.now - self.failed[verifier] < OUTAGE;
        let bound = fresh_max * SECOND + if is_outage { stale_if_error * SECOND } else { 0 };
        let age = self.now - self.verifiers[verifier].fetched_at().unwrap().as_millis();
        assert!(
            age < bound,
            "seed {}: used at an age of {age} ms, {} ms after a failure",
            self.seed,
            self.now - self.failed[verifier]
        );
        let Some((_, Some(removed))) = kid.parse().ok().and_then(|kid: u64| self.issuer.keys.get(&kid)) else { return };
        // An answer may have been on its way when the key was removed.
        let since = self.now - removed;
        assert!(since < bound + SLOWEST, "seed {}: {kid} used {since} ms after its removal", self.seed);
    }

    /// No token is blamed for an outage, nor for long for being the first of its key.
    fn unknown(&self, kid: &str) {
        let Some((published, removed)) = kid.parse().ok().and_then(|kid: u64| self.issuer.keys.get(&kid)) else { return };
        let CacheSettings { unknown_kid_cooldown, fresh_min, .. } = CacheSettings::default();
        // The kids here can be guessed, and are: until then a verifier may believe that the key does not exist.
        let grace = (fresh_min + unknown_kid_cooldown) * SECOND + LEASE;
        let known = self.now - published > grace && removed.is_none();
        assert!(!known, "seed {}: {kid} is unknown {} ms after it was published", self.seed, self.now - published);
    }

    /// Keys are unavailable only to a verifier whose last fetch failed, or was never answered.
    fn unavailable(&self, verifier: usize) {
        assert!(self.last_fetch[verifier].is_some(), "seed {}: unavailable without a failure", self.seed);
    }

    fn fetch(&mut self, verifier: usize, ticket: Ticket) {
        self.last_fetch[verifier] = Some(ticket.clone());
        self.began[verifier] = self.now;
        if ticket.is_forced() {
            let failures = self.failures(verifier);
            if let Some((last, before)) = self.forced[verifier].replace((self.now, failures)) {
                let cooldown = CacheSettings::default().unknown_kid_cooldown * SECOND;
                let held = self.now - last >= cooldown || failures > before;
                assert!(held, "seed {}: two forced fetches within {} ms", self.seed, self.now - last);
            }
        }
        let window = &mut self.fetches[verifier];
        window.push_back(self.now);
        while window.front().is_some_and(|first| self.now - first > 60 * SECOND) {
            window.pop_front();
        }
        // In any minute: two forced by kids and one by age, or those of the pauses 1 + 2 + 4 + 8 + 16 + 32 s, or a mix of both
        // where the endpoint comes back in between.
        assert!(window.len() <= 10, "seed {}: {} fetches in a minute", self.seed, window.len());
        let outcome = self.outcome(&ticket);
        if self.random.chance(2) {
            // The caller vanished, and its answer with it.
            return;
        }
        let latency = if self.random.chance(5) { self.random.below(20 * SECOND) } else { 1 + self.random.below(300) };
        self.after(latency, Event::Answer(verifier, self.lives[verifier], ticket, outcome));
    }

    fn outcome(&mut self, ticket: &Ticket) -> Outcome {
        if !self.issuer.up {
            return if self.random.chance(30) { Outcome::Malformed } else { Outcome::Failure };
        }
        if self.random.chance(5) {
            return Outcome::Malformed;
        }
        let etag = self.issuer.version.to_string();
        if ticket.etag() == Some(&etag) {
            return Outcome::Unchanged;
        }
        let entries: Vec<String> = self
            .issuer
            .keys
            .iter()
            .filter(|(_, (_, removed))| removed.is_none())
            .map(|(kid, _)| kid.to_string())
            .chain([format!("version-{etag}")])
            .map(|kid| {
                format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#)
            })
            .collect();
        Outcome::Set(format!("{{\"keys\":[{}]}}", entries.join(",")), etag)
    }

    fn answer(&mut self, verifier: usize, ticket: &Ticket, outcome: Outcome) {
        let now = Timestamp::from_millis(self.now);
        let failures = self.failures(verifier);
        let cache = &mut self.verifiers[verifier];
        let max_age = Some(self.random.below(10_000));
        let answered = match outcome {
            Outcome::Set(body, etag) => {
                cache.on_response(ticket, FetchResponse { status: 200, body: &body, max_age, etag: Some(etag) }, now)
            }
            Outcome::Unchanged => cache.on_response(ticket, FetchResponse { status: 304, body: "", max_age, etag: None }, now),
            Outcome::Malformed => {
                let body = "<html>a friendly page</html>";
                cache.on_response(ticket, FetchResponse { status: 200, body, max_age, etag: None }, now)
            }
            Outcome::Failure => {
                cache.on_failure(ticket, now);
                Err(VerifyError::jwks_unavailable("down"))
            }
        };
        if self.failures(verifier) > failures {
            self.failed[verifier] = self.now;
        }
        if answered.is_ok() && self.last_fetch[verifier].as_ref() == Some(ticket) {
            self.last_fetch[verifier] = None;
        }
    }
}

fn empty(seed: u64) -> JwksCache {
    JwksCache::new(CacheSettings::default(), KeyRules::default(), seed).unwrap()
}

fn version_of(set: &JwkSet) -> u64 {
    set.keys().iter().find_map(|key| key.kid()?.strip_prefix("version-")?.parse().ok()).unwrap()
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, not a number")))
}

#[test]
fn invariants_hold_over_a_million_events() {
    let seeds = match variable("EDGESEAL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("EDGESEAL_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = HashMap::new();
    for seed in seeds {
        let mut simulation = Simulation::new(seed);
        simulation.run();
        for (answer, count) in simulation.seen {
            *seen.entry(answer).or_insert(0) += count;
        }
    }
    println!("{seen:?}");
    // The simulations reached every answer, else they prove nothing.
    for answer in
        ["use", "use and refresh", "fetch", "wait", "unknown kid", "unavailable", "restored snapshot", "refused snapshot"]
    {
        assert!(seen.contains_key(answer), "never {answer}: {seen:?}");
    }
}
