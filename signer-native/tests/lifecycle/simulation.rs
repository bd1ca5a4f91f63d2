//! Years of rotations with outages, by the rules alone: signers that come and go, two of them at once, people who act, and
//! verifiers that fetch when they please. `EDGESEAL_SEED=7` runs one seed, `EDGESEAL_SEEDS=100` so many.

use std::collections::BTreeSet;

use edgeseal_core::{Algorithm, Timestamp};
use edgeseal_signer::{
    hsm::KeyId,
    keys::{
        Change, Command, Key, Published, Purpose, Slot, State, Timing, lifecycle,
        rotation::{Due, plan},
    },
};

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

struct Verifier {
    fetched_at: u64,
    set: BTreeSet<KeyId>,
}

struct Token {
    key: KeyId,
    issued_at: u64,
    expires_at: u64,
}

struct World {
    random: Random,
    timing: Timing,
    slots: Vec<Slot>,
    keys: Vec<Key>,
    now: u64,
    made: u64,
    /// Until when the endpoint of the JWK Set cannot be reached.
    dark_until: u64,
    /// Keys that signed before every verifier could know them, and until when that may show.
    emergencies: Vec<(KeyId, u64)>,
    verifiers: Vec<Verifier>,
    tokens: Vec<Token>,
    rotations: u64,
    verified: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let timing = Timing {
            jwks_max_age: [60, 300, 3_600][usize::try_from(random.below(3)).unwrap()],
            stale_window: random.below(24 * 3_600),
            lease: 1 + random.below(10),
            publish_ahead: 0,
            dangerous_activation_delay: None,
        };
        let slot = |profile: &str, valid_for: Option<u64>, random: &mut Random| Slot {
            purpose: Purpose::Token,
            issuer: String::new(),
            profile: profile.to_owned(),
            agent: valid_for.map(|_| "shop".to_owned()),
            algorithm: Algorithm::Es256,
            rsa_bits: 0,
            max_lifetime: 60 + random.below(DAY),
            rotate_after: Some(3 * DAY + random.below(60 * DAY)),
            publish_ahead: random.below(2 * DAY),
            valid_for,
        };
        let slots =
            vec![slot("one", None, &mut random), slot("two", None, &mut random), slot("digest", Some(30 * DAY), &mut random)];
        let verifiers = (0..6).map(|_| Verifier { fetched_at: 0, set: BTreeSet::new() }).collect();
        Self {
            random,
            timing,
            slots,
            keys: Vec::new(),
            now: DAY,
            made: 0,
            dark_until: 0,
            emergencies: Vec::new(),
            verifiers,
            tokens: Vec::new(),
            rotations: 0,
            verified: 0,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_secs(self.now)
    }

    /// As the store does it: each change only from the state it starts from, one active key a slot.
    fn apply(&mut self, changes: &[Change]) -> bool {
        let mut keys = self.keys.clone();
        for change in changes {
            let Some(key) = keys.iter_mut().find(|key| key.id == change.id && key.state == change.from) else { return false };
            *key = change.applied(key);
        }
        for key in keys.iter().filter(|key| key.state == State::Active) {
            let same = keys.iter().filter(|other| other.state == State::Active && other.same_slot(key)).count();
            assert_eq!(same, 1, "two active keys");
        }
        self.keys = keys;
        true
    }

    /// A signer that leads. It looked at the keys a while ago, so that what it wants may not be so any more.
    fn tend(&mut self, seen: &[Key]) {
        let seen_at = self.at();
        for due in plan(seen, &self.slots, &self.timing, seen_at) {
            match due {
                Due::Generate(slot) => self.generate(&slot),
                Due::Step(id, command) => {
                    let keys = self.keys.clone();
                    let Some(key) = keys.iter().find(|key| key.id == id) else { continue };
                    let Some(slot) = self.slots.iter().find(|slot| slot.holds(key)).cloned() else { continue };
                    if let Ok(outcome) = lifecycle::decide(&keys, key, command, &slot.timing(&self.timing), self.at()) {
                        assert_eq!(outcome.window, None, "a rotation is never an emergency");
                        self.rotations += u64::from(matches!(command, Command::Activate { .. }));
                        self.apply(&outcome.changes);
                    }
                }
            }
        }
    }

    fn generate(&mut self, slot: &Slot) {
        self.made += 1;
        let id = KeyId::from_hex(&format!("{:032x}", self.made)).unwrap();
        let key = Key {
            profile: slot.profile.clone(),
            agent: slot.agent.clone(),
            max_lifetime: slot.max_lifetime,
            not_after: slot.valid_for.map(|seconds| self.at().plus_secs(seconds)),
            published: Some(Published { kid: format!("kid-{}", self.made), jwk: String::new() }),
            ..Key::generating(id, Purpose::Token, slot.algorithm, self.at())
        };
        self.keys.push(key.clone());
        // Some generations fail, or their process dies and they are settled later.
        let failed = self.random.one_in(20);
        let change = if failed { lifecycle::fail(&key, self.at()) } else { lifecycle::publish(&key, self.at()) };
        self.apply(&[change.unwrap()]);
    }

    /// A person does something, sensible or not.
    fn meddle(&mut self) {
        let Some(at) = usize::try_from(self.random.below(self.keys.len() as u64)).ok().filter(|at| *at < self.keys.len()) else {
            return;
        };
        let key = self.keys[at].clone();
        let command = match self.random.below(7) {
            0 => Command::Activate { emergency: self.random.one_in(2) },
            1 => Command::Retire,
            2 => Command::Suspend,
            3 | 4 => Command::Resume,
            5 => Command::ScheduleDestroy { days: 7 },
            _ if self.random.one_in(5) => Command::Compromise,
            _ => Command::CancelDestroy,
        };
        let Some(slot) = self.slots.iter().find(|slot| slot.holds(&key)).cloned() else { return };
        let timing = slot.timing(&self.timing);
        let Ok(outcome) = lifecycle::decide(&self.keys, &key, command, &timing, self.at()) else { return };
        for change in outcome.changes.iter().filter(|change| change.to == State::Active) {
            if let Some(window) = &outcome.window {
                self.emergencies.push((change.id, window.until.as_secs()));
            }
        }
        self.apply(&outcome.changes);
        if command == Command::Compromise {
            // Its tokens are meant to be refused.
            self.tokens.retain(|token| token.key != key.id);
        }
    }

    fn sign(&mut self) {
        let active: Vec<Key> = self.keys.iter().filter(|key| key.state == State::Active).cloned().collect();
        for key in active {
            let delay = lifecycle::SKEW + self.timing.freshness();
            let shown_for = self.now - key.published_at.unwrap().as_secs();
            let first = self
                .keys
                .iter()
                .filter(|other| other.same_set(&key))
                .all(|other| other.published_at.is_none_or(|at| Some(at) >= key.published_at));
            let emergency = self.emergencies.iter().any(|(id, until)| *id == key.id && self.now < *until);
            assert!(shown_for >= delay || first || emergency, "key {} signs {shown_for} s after it was shown", key.id);
            if key.not_after.is_some_and(|end| end.as_secs() < self.now + 60) {
                continue;
            }
            let longest = key.not_after.map_or(key.max_lifetime, |end| key.max_lifetime.min(end.as_secs() - self.now));
            let lifetime = 1 + self.random.below(longest);
            // A signer may believe for a lease that the key is still the active one.
            let issued_at = self.now + self.random.below(self.timing.lease);
            self.tokens.push(Token { key: key.id, issued_at, expires_at: issued_at + lifetime });
        }
    }

    /// Every verifier that honours max-age and the stale window accepts every token that lives.
    fn verify(&mut self) {
        let shown: BTreeSet<KeyId> = self.keys.iter().filter(|key| key.state.in_jwk_set()).map(|key| key.id).collect();
        let max_age = self.timing.jwks_max_age.max(lifecycle::LEAST_FRESHNESS);
        let dark = self.now < self.dark_until;
        for verifier in &mut self.verifiers {
            let age = self.now - verifier.fetched_at;
            // Some refresh early, some as late as they may; none fetches for a kid that it does not know.
            if !dark && (age >= max_age || self.random.one_in(30)) {
                *verifier = Verifier { fetched_at: self.now, set: shown.clone() };
            } else if age > max_age + self.timing.stale_window {
                // It accepts nothing any more; that is the outage, not the rotation.
                continue;
            }
            for token in &self.tokens {
                let lives = token.issued_at <= self.now && self.now < token.expires_at + lifecycle::SKEW;
                let emergency = self.emergencies.iter().any(|(id, until)| *id == token.key && self.now < *until);
                if !lives || emergency || verifier.fetched_at == 0 {
                    continue;
                }
                self.verified += 1;
                let key = self.keys.iter().find(|key| key.id == token.key).unwrap();
                // A set's first keys sign at once: who looked before one was shown, and before any signed, cannot know it.
                let first = self
                    .keys
                    .iter()
                    .all(|other| !other.same_set(key) || other.activated_at.is_none_or(|at| Some(at) >= key.published_at));
                let too_new = first && key.published_at.is_some_and(|at| verifier.fetched_at <= at.as_secs());
                assert!(
                    verifier.set.contains(&token.key) || too_new || key.compromised_at.is_some(),
                    "at {} a set fetched at {} lacks {} ({:?}) of a token from {} to {}",
                    self.now,
                    verifier.fetched_at,
                    token.key,
                    key,
                    token.issued_at,
                    token.expires_at
                );
            }
        }
    }

    fn run(&mut self) {
        let mut down_until = 0;
        let mut seen = Vec::new();
        while self.now < YEAR {
            if self.random.one_in(300) {
                down_until = self.now + self.random.below(10 * DAY);
            }
            if self.random.one_in(200) {
                self.dark_until = self.now + self.random.below(2 * DAY);
            }
            if self.now >= down_until {
                // One signer acts on what it saw before the other one acted.
                let stale = std::mem::replace(&mut seen, self.keys.clone());
                self.tend(&stale.clone());
                self.tend(&self.keys.clone());
                self.sign();
            }
            if self.random.one_in(40) {
                self.meddle();
            }
            self.verify();
            let now = self.now;
            self.tokens.retain(|token| token.expires_at + lifecycle::SKEW > now);
            if self.tokens.len() > 60 {
                let keep = self.tokens.len() - 60;
                self.tokens.drain(..keep);
            }
            self.now += 1 + self.random.below(2 * 3_600);
        }
    }
}

#[test]
fn years_of_rotations() {
    let number =
        |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(|value| value.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match number("EDGESEAL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("EDGESEAL_SEEDS").unwrap_or(8)).collect(),
    };
    for seed in seeds {
        println!("EDGESEAL_SEED={seed}");
        let mut world = World::new(seed);
        world.run();
        let (rotations, verified) = (world.rotations, world.verified);
        println!("{rotations} rotations, {} keys, {verified} verifications", world.keys.len());
        assert!(rotations > 6 && verified > 10_000, "nothing happened");
        // Whatever people did: one standby behind every key that signs, none piled up.
        for slot in world.slots.iter().filter(|slot| slot.valid_for.is_none()) {
            let standbys = world.keys.iter().filter(|key| slot.holds(key) && key.state == State::Published).count();
            assert!(standbys <= 2, "{standbys} standbys of {}", slot.profile);
        }
    }
}
