//! PURE. The life of a key as a state machine: who may move where, and not before when.
//!
//! `generating -> published -> active -> retiring -> retired`, and `failed` from generating. Each function takes what is
//! known and the time, and answers with the changes to write in one transaction, or with a refusal that says what would
//! have to be true. Nothing here reads a clock or a store.

use std::fmt;

use edgeseal_core::Timestamp;

use super::{Key, Moment};

/// Seconds: the largest leeway that a verifier may have, on both sides of every rule about clocks.
pub const SKEW: u64 = 300;
/// Seconds: verifiers keep a JWK Set at least so long, whatever its `Cache-Control` says.
pub const LEAST_FRESHNESS: u64 = 300;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its row is written; the HSM is asked, or was.
    Generating,
    /// In the JWK Set, not signing: a standby.
    Published,
    /// Signs.
    Active,
    /// Signs no more; its tokens still live.
    Retiring,
    /// Out of the JWK Set.
    Retired,
    /// Was never generated.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Generating, Self::Published, Self::Active, Self::Retiring, Self::Retired, Self::Failed];

    /// Its name, in the store and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generating => "generating",
            Self::Published => "published",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the JWK Set shows a key in this state.
    pub const fn in_jwk_set(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Retiring)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The delays of the rules, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `max-age` of the JWK Set.
    pub jwks_max_age: u64,
    /// How long verifiers may go on with an old set when they cannot fetch (stale-if-error), as declared.
    pub stale_window: u64,
    /// How long a signer may believe that a key is still the active one.
    pub lease: u64,
    /// `edgeseal dev` only: activates after so long instead of A + S.
    pub dangerous_activation_delay: Option<u64>,
}

impl Timing {
    /// A + S: how long after its publication a key may be unknown to some verifier.
    pub fn activation_delay(&self) -> u64 {
        self.dangerous_activation_delay
            .unwrap_or_else(|| self.jwks_max_age.max(LEAST_FRESHNESS).saturating_add(self.stale_window).saturating_add(SKEW))
    }

    /// When a published key may begin to sign.
    pub fn earliest_activation(&self, published_at: Timestamp) -> Timestamp {
        published_at.plus_secs(self.activation_delay())
    }

    /// When a demoted key may leave the JWK Set: L + T + S later.
    pub fn earliest_retirement(&self, demoted_at: Timestamp, max_lifetime: u64) -> Timestamp {
        demoted_at.plus_secs(self.lease).plus_secs(max_lifetime).plus_secs(SKEW)
    }
}

/// One transition to write: it holds only if the key is still in `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub id: crate::hsm::KeyId,
    /// The state that it must be in.
    pub from: State,
    /// The state that it gets.
    pub to: State,
    /// The moments to write with it.
    pub set: Vec<(Mark, Option<Timestamp>)>,
}

/// A moment in the life of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It entered the JWK Set.
    Published,
    /// It began to sign.
    Activated,
    /// It was suspended.
    Suspended,
    /// It stopped signing.
    Demoted,
    /// It left the JWK Set, or never came into one.
    Retired,
    /// It is to be destroyed.
    Destroy,
    /// It was destroyed.
    Destroyed,
    /// It was declared compromised.
    Compromised,
}

impl Mark {
    /// Its name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published_at",
            Self::Activated => "activated_at",
            Self::Suspended => "suspended_at",
            Self::Demoted => "demoted_at",
            Self::Retired => "retired_at",
            Self::Destroy => "destroy_at",
            Self::Destroyed => "destroyed_at",
            Self::Compromised => "compromised_at",
        }
    }
}

/// Why a transition may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No key has this `kid`.
    Unknown(String),
    /// The `kid` was abbreviated and fits several keys.
    Ambiguous(String),
    /// The key is in another state than the transition starts from.
    WrongState {
        /// Which key.
        kid: String,
        /// Where it stands.
        state: State,
        /// What the transition needs.
        needed: State,
    },
    /// Some verifier may not know the key yet.
    TooEarlyToActivate {
        /// Which key.
        kid: String,
        /// The earliest allowed time.
        earliest: Timestamp,
    },
    /// Tokens of the key may still live.
    TooEarlyToRetire {
        /// Which key.
        kid: String,
        /// The earliest allowed time.
        earliest: Timestamp,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(kid) => write!(formatter, "no key has the kid {kid:?}; `edgeseal keys list` shows them"),
            Self::Ambiguous(kid) => write!(formatter, "{kid:?} fits several keys; give more of the kid"),
            Self::WrongState { kid, state, needed } => {
                write!(formatter, "key {kid} is {state}, and only a key that is {needed} can take this step")
            }
            Self::TooEarlyToActivate { kid, earliest } => write!(
                formatter,
                "verifiers may not know key {kid} before {}: until then their cached JWK Sets can lack it, and they would refuse its tokens",
                Moment(*earliest)
            ),
            Self::TooEarlyToRetire { kid, earliest } => {
                write!(formatter, "tokens signed with key {kid} live until {}", Moment(*earliest))
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// generating -> published: the pair is in the HSM, its attributes are asserted, a test signature was verified.
///
/// # Errors
/// When it is not generating any more.
pub fn publish(key: &Key, now: Timestamp) -> Result<Change, Refusal> {
    step(key, State::Generating, State::Published, [Mark::Published], now)
}

/// generating -> failed: there is no such pair, and there will not be.
///
/// # Errors
/// When it is not generating any more.
pub fn fail(key: &Key, now: Timestamp) -> Result<Change, Refusal> {
    step(key, State::Generating, State::Failed, [Mark::Retired], now)
}

/// published -> active, and the profile's active key -> retiring, in one transaction and in this order of writing: the
/// old one first, since only one key of a profile may be active.
///
/// The very first key that an issuer shows is exempt from the delay: no verifier can hold a set without it that was ever
/// good for anything.
///
/// # Errors
/// When the key is not a standby, or some verifier may not know it yet.
pub fn activate(keys: &[Key], key: &Key, timing: &Timing, now: Timestamp) -> Result<Vec<Change>, Refusal> {
    let change = step(key, State::Published, State::Active, [Mark::Activated], now)?;
    let first = keys.iter().all(|other| other.id == key.id || !other.same_set(key) || other.published_at.is_none());
    if !first {
        let published_at = key.published_at.unwrap_or(key.created_at);
        let earliest = timing.earliest_activation(published_at);
        if now < earliest {
            return Err(Refusal::TooEarlyToActivate { kid: name(key), earliest });
        }
    }
    let demoted = keys.iter().filter(|other| other.same_slot(key) && other.state == State::Active);
    let demoted = demoted.map(|other| step(other, State::Active, State::Retiring, [Mark::Demoted], now));
    let mut changes = demoted.collect::<Result<Vec<Change>, Refusal>>()?;
    changes.push(change);
    Ok(changes)
}

/// retiring -> retired: no token of the key can still be accepted anywhere.
///
/// # Errors
/// When the key still signs or its tokens may still live.
pub fn retire(key: &Key, timing: &Timing, now: Timestamp) -> Result<Change, Refusal> {
    let change = step(key, State::Retiring, State::Retired, [Mark::Retired], now)?;
    let demoted_at = key.demoted_at.unwrap_or(now);
    let earliest = timing.earliest_retirement(demoted_at, key.max_lifetime);
    if now < earliest {
        return Err(Refusal::TooEarlyToRetire { kid: name(key), earliest });
    }
    Ok(change)
}

fn step<const N: usize>(key: &Key, from: State, to: State, marks: [Mark; N], at: Timestamp) -> Result<Change, Refusal> {
    if key.state != from {
        return Err(Refusal::WrongState { kid: name(key), state: key.state, needed: from });
    }
    Ok(Change { id: key.id, from, to, set: marks.map(|mark| (mark, Some(at))).to_vec() })
}

fn name(key: &Key) -> String {
    key.kid().map_or_else(|| key.id.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use edgeseal_core::Algorithm;

    use super::*;
    use crate::{
        hsm::KeyId,
        keys::{Published, Purpose},
    };

    const TIMING: Timing = Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, dangerous_activation_delay: None };

    fn key(number: u8, state: State) -> Key {
        let id = KeyId::from_hex(&format!("{number:032x}")).unwrap();
        let began = Timestamp::from_secs(1_000_000);
        let reached = |least: State| (state == least).then_some(began);
        Key {
            profile: "default".to_owned(),
            state,
            published_at: state.in_jwk_set().then_some(began),
            activated_at: reached(State::Active),
            demoted_at: reached(State::Retiring),
            max_lifetime: 3_600,
            published: Some(Published { kid: format!("kid-{number}"), jwk: "{}".to_owned() }),
            ..Key::generating(id, Purpose::Token, Algorithm::Es256, began)
        }
    }

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_standby_waits_until_every_verifier_can_know_it() {
        let keys = [key(1, State::Active), key(2, State::Published)];
        let delay = 300 + 3_600 + 300;
        let refused = activate(&keys, &keys[1], &TIMING, after(delay - 1)).unwrap_err();
        assert_eq!(refused, Refusal::TooEarlyToActivate { kid: "kid-2".to_owned(), earliest: after(delay) });
        assert!(refused.to_string().contains("1970-01-12T14:56:40Z"), "{refused}");
        let changes = activate(&keys, &keys[1], &TIMING, after(delay)).unwrap();
        assert_eq!(
            changes,
            [
                Change {
                    id: keys[0].id,
                    from: State::Active,
                    to: State::Retiring,
                    set: vec![(Mark::Demoted, Some(after(delay)))]
                },
                Change {
                    id: keys[1].id,
                    from: State::Published,
                    to: State::Active,
                    set: vec![(Mark::Activated, Some(after(delay)))]
                },
            ]
        );
    }

    #[test]
    fn a_short_max_age_shortens_nothing() {
        let timing = Timing { jwks_max_age: 1, ..TIMING };
        assert_eq!(timing.activation_delay(), TIMING.activation_delay());
        let timing = Timing { jwks_max_age: 3_600, ..TIMING };
        assert_eq!(timing.activation_delay(), 3_600 + 3_600 + 300);
    }

    #[test]
    fn dev_shortens_the_wait() {
        let timing = Timing { dangerous_activation_delay: Some(0), ..TIMING };
        let keys = [key(1, State::Active), key(2, State::Published)];
        assert!(activate(&keys, &keys[1], &timing, after(0)).is_ok());
    }

    #[test]
    fn the_first_key_ever_is_active_at_once() {
        let keys = [key(1, State::Published), key(2, State::Generating), key(3, State::Failed)];
        assert_eq!(activate(&keys, &keys[0], &TIMING, after(0)).unwrap().len(), 1);
        let keys = [key(1, State::Published), Key { published_at: Some(after(0)), ..key(2, State::Retired) }];
        assert!(activate(&keys, &keys[0], &TIMING, after(0)).is_err(), "the issuer has shown a key before");
    }

    #[test]
    fn another_profile_is_left_alone() {
        let other = Key { profile: "rs256".to_owned(), ..key(3, State::Active) };
        let keys = [other, key(2, State::Published)];
        assert_eq!(activate(&keys, &keys[1], &TIMING, after(10_000)).unwrap().len(), 1);
    }

    #[test]
    fn a_key_stays_as_long_as_its_tokens() {
        let retiring = key(1, State::Retiring);
        let span = 10 + 3_600 + 300;
        assert_eq!(
            retire(&retiring, &TIMING, after(span - 1)),
            Err(Refusal::TooEarlyToRetire { kid: "kid-1".to_owned(), earliest: after(span) })
        );
        assert!(retire(&retiring, &TIMING, after(span)).is_ok());
    }

    #[test]
    fn every_other_step_is_refused() {
        for state in State::ALL {
            let keys = [key(1, state)];
            let late = after(1_000_000);
            assert_eq!(publish(&keys[0], late).is_ok(), state == State::Generating, "{state}");
            assert_eq!(fail(&keys[0], late).is_ok(), state == State::Generating, "{state}");
            assert_eq!(activate(&keys, &keys[0], &TIMING, late).is_ok(), state == State::Published, "{state}");
            assert_eq!(retire(&keys[0], &TIMING, late).is_ok(), state == State::Retiring, "{state}");
        }
    }

    #[test]
    fn names_round_trip() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
        assert_eq!(State::from_name("Active"), None);
    }
}
