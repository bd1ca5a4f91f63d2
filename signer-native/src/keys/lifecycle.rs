//! PURE. The life of a key as a state machine: who may move where, and not before when.
//!
//! `generating -> published -> active -> retiring -> retired -> destroy_scheduled -> destroyed`; `suspended` beside active,
//! `compromised` from everywhere, `failed` from generating. [`decide`] takes what is known, a command and the time, and
//! answers with the changes to write in one transaction, or with a refusal that says what would have to be true. Nothing
//! here reads a clock or a store.

use std::fmt;

use edgeseal_core::Timestamp;

use super::{Key, Moment, Origin, Purpose};

/// Seconds: the largest leeway that a verifier may have, on both sides of every rule about clocks.
pub const SKEW: u64 = 300;
/// Seconds: verifiers keep a JWK Set at least so long, whatever its `Cache-Control` says.
pub const LEAST_FRESHNESS: u64 = 300;
/// Days between the decision to destroy a key and its destruction: time to notice a mistake.
pub const DESTRUCTION_DAYS: std::ops::RangeInclusive<u64> = 7..=30;
/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its row is written; the HSM is asked, or was.
    Generating,
    /// In the JWK Set, not signing: a standby.
    Published,
    /// Signs.
    Active,
    /// Signs not, for the time being; its tokens live on.
    Suspended,
    /// Signs no more; its tokens still live.
    Retiring,
    /// Out of the JWK Set.
    Retired,
    /// Will be destroyed at a known time.
    DestroyScheduled,
    /// Gone from the HSM.
    Destroyed,
    /// Somebody else may have it: out of the JWK Set, on the revocation list.
    Compromised,
    /// Was never generated.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Generating,
        Self::Published,
        Self::Active,
        Self::Suspended,
        Self::Retiring,
        Self::Retired,
        Self::DestroyScheduled,
        Self::Destroyed,
        Self::Compromised,
        Self::Failed,
    ];

    /// Its name, in the store and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generating => "generating",
            Self::Published => "published",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::DestroyScheduled => "destroy_scheduled",
            Self::Destroyed => "destroyed",
            Self::Compromised => "compromised",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the JWK Set shows a key in this state.
    pub const fn in_jwk_set(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Suspended | Self::Retiring)
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
    /// How long a profile wants its keys shown before they sign, where that is longer than A + S.
    pub publish_ahead: u64,
    /// `edgeseal dev` only: activates after so long instead of A + S.
    pub dangerous_activation_delay: Option<u64>,
}

impl Timing {
    /// A: how long a verifier may go on with the set that it has.
    pub fn freshness(&self) -> u64 {
        self.jwks_max_age.max(LEAST_FRESHNESS).saturating_add(self.stale_window)
    }

    /// A + S: how long after a change of the JWK Set some verifier may go on with the one of before.
    pub fn known_after(&self) -> u64 {
        self.freshness().saturating_add(SKEW)
    }

    /// max(A + S, the profile's wish): how long after its publication a key may be unknown to some verifier.
    pub fn activation_delay(&self) -> u64 {
        self.dangerous_activation_delay.unwrap_or_else(|| self.known_after().max(self.publish_ahead))
    }

    /// When a key in the JWK Set may begin to sign. Keys that no JWK Set shows may at once.
    pub fn earliest_activation(&self, key: &Key) -> Timestamp {
        let published_at = key.published_at.unwrap_or(key.created_at);
        if key.purpose == Purpose::Token { published_at.plus_secs(self.activation_delay()) } else { published_at }
    }

    /// When a demoted key may leave the JWK Set: L + T + S later, or S after the published end of all its tokens.
    pub fn earliest_retirement(&self, key: &Key) -> Option<Timestamp> {
        let demoted_at = key.demoted_at?;
        let last = demoted_at.plus_secs(self.lease).plus_secs(key.max_lifetime);
        // A published `exp` stays readable until nobody can need it, even if no token lives so long.
        Some(key.not_after.map_or(last, |not_after| not_after.max(demoted_at)).plus_secs(SKEW))
    }
}

/// What may be asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A standby signs from now on; its predecessor retires. In an emergency it does not wait until it is known.
    Activate {
        /// Only where no key of its slot signs.
        emergency: bool,
    },
    /// Leaves the JWK Set: no token of it lives, or it never signed.
    Retire,
    /// Signs not, for the time being.
    Suspend,
    /// Ends a suspension: it signs again, or retires if another does meanwhile.
    Resume,
    /// Somebody else may have it.
    Compromise,
    /// Is destroyed so many days from now.
    ScheduleDestroy {
        /// [`DESTRUCTION_DAYS`].
        days: u64,
    },
    /// Is not destroyed after all.
    CancelDestroy,
    /// Was destroyed in the HSM, and that is proved. Time brings it about, never a person.
    Destroy,
    /// Its published `exp` has come. Time brings it about, never a person.
    Expire,
    /// Its profile was retired: it signs no more, and nothing signs instead. Never on a person's word about the key itself.
    Conclude,
}

impl Command {
    /// Its name, for people, paths and the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activate { .. } => "activate",
            Self::Retire => "retire",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Compromise => "compromise",
            Self::ScheduleDestroy { .. } => "schedule-destroy",
            Self::CancelDestroy => "cancel-destroy",
            Self::Destroy => "destroy",
            Self::Expire => "expire",
            Self::Conclude => "conclude",
        }
    }

    /// The states that it starts from.
    pub const fn starts_from(self) -> &'static [State] {
        match self {
            Self::Activate { .. } => &[State::Published],
            Self::Retire => &[State::Published, State::Retiring],
            Self::Suspend => &[State::Active],
            Self::Expire | Self::Conclude => &[State::Active, State::Suspended],
            Self::Resume => &[State::Suspended],
            Self::Compromise => &[
                State::Published,
                State::Active,
                State::Suspended,
                State::Retiring,
                State::Retired,
                State::DestroyScheduled,
                State::Destroyed,
            ],
            Self::ScheduleDestroy { .. } => &[State::Retired, State::Compromised],
            Self::CancelDestroy | Self::Destroy => &[State::DestroyScheduled],
        }
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

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to write, all or none, in this order.
    pub changes: Vec<Change>,
    /// Set when a key signs before every verifier can know it.
    pub window: Option<Window>,
}

/// Until when edges may answer `key_not_found` to tokens of a key, since their JWK Sets can lack it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The key.
    pub kid: String,
    /// The end.
    pub until: Timestamp,
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
        needed: &'static [State],
    },
    /// It is too early.
    TooEarly {
        /// Which key.
        kid: String,
        /// What was asked.
        command: Command,
        /// The earliest allowed time.
        earliest: Timestamp,
    },
    /// An emergency activation beside a key that signs.
    NoEmergency {
        /// Which key.
        kid: String,
        /// The one that signs.
        active: String,
    },
    /// A person suspended this key, and nothing is to sign instead.
    Suspended(String),
    /// The key's published `exp` has passed.
    Expired {
        /// Which key.
        kid: String,
        /// Its `exp`.
        not_after: Timestamp,
    },
    /// The key has no published `exp`.
    Endless(String),
    /// Destruction after an impossible number of days.
    Days(u64),
    /// It was destroyed already.
    Destroyed(String),
    /// It is being destroyed, or is about to be.
    TooLate {
        /// Which key.
        kid: String,
        /// The day of its destruction.
        destroy_at: Timestamp,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(kid) => write!(formatter, "no key has the kid {kid:?}; `edgeseal keys list` shows them"),
            Self::Ambiguous(kid) => write!(formatter, "{kid:?} fits several keys; give more of the kid"),
            Self::WrongState { kid, state, needed } => {
                let needed: Vec<&str> = needed.iter().map(|state| state.as_str()).collect();
                write!(formatter, "key {kid} is {state}, and only a key that is {} can take this step", needed.join(" or "))
            }
            Self::TooEarly { kid, command, earliest } => {
                let earliest = Moment(*earliest);
                match command {
                    Command::Activate { .. } => write!(
                        formatter,
                        "verifiers may not know key {kid} before {earliest}: until then their cached JWK Sets can lack it, and they would refuse its tokens"
                    ),
                    Command::Retire => write!(
                        formatter,
                        "tokens signed with key {kid} live until {earliest}. If it is compromised: edgeseal keys compromise {kid}"
                    ),
                    _ => write!(formatter, "key {kid} cannot {} before {earliest}", command.as_str()),
                }
            }
            Self::NoEmergency { kid, active } => {
                write!(formatter, "key {kid} need not sign at once: key {active} signs. Suspend or compromise that one first")
            }
            Self::Suspended(kid) => {
                write!(
                    formatter,
                    "key {kid} is suspended, and nothing signs instead until it is resumed: edgeseal keys resume {kid}"
                )
            }
            Self::Expired { kid, not_after } => {
                write!(formatter, "key {kid} was published with an exp that has passed ({})", Moment(*not_after))
            }
            Self::Endless(kid) => write!(formatter, "key {kid} was published without an exp"),
            Self::Days(days) => write!(
                formatter,
                "{days} days: a key is destroyed {} to {} days after the decision",
                DESTRUCTION_DAYS.start(),
                DESTRUCTION_DAYS.end()
            ),
            Self::Destroyed(kid) => write!(formatter, "key {kid} was destroyed already"),
            Self::TooLate { kid, destroy_at } => write!(
                formatter,
                "key {kid} is destroyed at {}, and from {SKEW} seconds before nothing calls that off: its pair may be gone already",
                Moment(*destroy_at)
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// generating -> published: the pair is in the HSM, its attributes are asserted, a test signature was verified.
///
/// # Errors
/// When it is not generating any more.
pub fn publish(key: &Key, now: Timestamp) -> Result<Change, Refusal> {
    needs(key, &[State::Generating])?;
    Ok(step(key, State::Published, [(Mark::Published, Some(now))]))
}

/// generating -> failed: there is no such pair, and there will not be.
///
/// # Errors
/// When it is not generating any more.
pub fn fail(key: &Key, now: Timestamp) -> Result<Change, Refusal> {
    needs(key, &[State::Generating])?;
    Ok(step(key, State::Failed, [(Mark::Retired, Some(now))]))
}

/// Nothing is left in the HSM of a key that failed.
pub fn removed(key: &Key, now: Timestamp) -> Change {
    Change { id: key.id, from: State::Failed, to: State::Failed, set: vec![(Mark::Destroyed, Some(now))] }
}

/// What a command comes to, or why not. `keys` are all keys, `key` among them.
///
/// # Errors
/// [`Refusal`], with the earliest allowed time where that is the reason.
pub fn decide(keys: &[Key], key: &Key, command: Command, timing: &Timing, now: Timestamp) -> Result<Outcome, Refusal> {
    needs(key, command.starts_from())?;
    let too_early = |earliest| Refusal::TooEarly { kid: name(key), command, earliest };
    let at = Some(now);
    let change = match command {
        Command::Activate { emergency } => return activate(keys, key, emergency, timing, now),
        Command::Compromise => return Ok(compromise(keys, key, timing, now)),
        Command::Retire => {
            // A standby that never signed has no tokens. One that came from elsewhere may have signed there until then.
            let earliest = match (key.state, key.origin) {
                (State::Retiring, _) => timing.earliest_retirement(key),
                (_, Origin::Imported) => key.published_at.map(|at| at.plus_secs(key.max_lifetime).plus_secs(SKEW)),
                _ => None,
            };
            if let Some(earliest) = earliest.filter(|earliest| now < *earliest) {
                return Err(too_early(earliest));
            }
            step(key, State::Retired, [(Mark::Retired, at)])
        }
        Command::Suspend => step(key, State::Suspended, [(Mark::Suspended, at)]),
        // The timers ran: it has not signed since it was suspended.
        Command::Resume if keys.iter().any(|other| other.same_slot(key) && other.state == State::Active) => conclude(key, now),
        Command::Resume => {
            if let Some(not_after) = key.not_after.filter(|not_after| *not_after <= now) {
                return Err(Refusal::Expired { kid: name(key), not_after });
            }
            step(key, State::Active, [(Mark::Suspended, None)])
        }
        Command::ScheduleDestroy { days } => {
            if !DESTRUCTION_DAYS.contains(&days) {
                return Err(Refusal::Days(days));
            }
            if key.destroyed_at.is_some() {
                return Err(Refusal::Destroyed(name(key)));
            }
            step(key, State::DestroyScheduled, [(Mark::Destroy, Some(now.plus_secs(days * DAY)))])
        }
        Command::CancelDestroy => {
            if let Some(destroy_at) = goes_on(key, now) {
                return Err(Refusal::TooLate { kid: name(key), destroy_at });
            }
            let before = if key.compromised_at.is_some() { State::Compromised } else { State::Retired };
            step(key, before, [(Mark::Destroy, None)])
        }
        Command::Destroy => {
            if let Some(earliest) = key.destroy_at.filter(|earliest| now < *earliest) {
                return Err(too_early(earliest));
            }
            step(key, State::Destroyed, [(Mark::Destroyed, at)])
        }
        Command::Expire => {
            let earliest = key.not_after.ok_or_else(|| Refusal::Endless(name(key)))?;
            if now < earliest {
                return Err(too_early(earliest));
            }
            conclude(key, now)
        }
        Command::Conclude => conclude(key, now),
    };
    Ok(Outcome { changes: vec![change], window: None })
}

/// To retiring, as of its suspension where there was one: since then it has not signed.
fn conclude(key: &Key, now: Timestamp) -> Change {
    step(key, State::Retiring, [(Mark::Demoted, key.suspended_at.or(Some(now))), (Mark::Suspended, None)])
}

/// published -> active, and the slot's active key -> retiring, in one transaction and in this order of writing: the old
/// one first, since only one key of a slot may be active.
///
/// The very first keys that an issuer shows, one for each of its profiles, are exempt from the delay: no verifier can hold a set
/// without them that was ever good for anything.
fn activate(keys: &[Key], key: &Key, emergency: bool, timing: &Timing, now: Timestamp) -> Result<Outcome, Refusal> {
    if let Some(not_after) = key.not_after.filter(|not_after| *not_after <= now) {
        return Err(Refusal::Expired { kid: name(key), not_after });
    }
    let active = keys.iter().find(|other| other.same_slot(key) && other.state == State::Active);
    if let (true, Some(active)) = (emergency, active) {
        return Err(Refusal::NoEmergency { kid: name(key), active: name(active) });
    }
    let window = window(keys, key, timing, now);
    if let (false, Some(Window { kid, until })) = (emergency, &window) {
        return Err(Refusal::TooEarly { kid: kid.clone(), command: Command::Activate { emergency }, earliest: *until });
    }
    let demoted = active.map(|active| step(active, State::Retiring, [(Mark::Demoted, Some(now))]));
    let changes = demoted.into_iter().chain([step(key, State::Active, [(Mark::Activated, Some(now))])]).collect();
    Ok(Outcome { changes, window })
}

/// At once, and where it signed, the standby signs from now on: the one that was published first, for the same issuer and of the same
/// kind if there is one.
fn compromise(keys: &[Key], key: &Key, timing: &Timing, now: Timestamp) -> Outcome {
    let due = goes_on(key, now).filter(|_| key.state == State::DestroyScheduled);
    let to = if due.is_some() { State::DestroyScheduled } else { State::Compromised };
    let mut set = vec![(Mark::Compromised, Some(now)), (Mark::Destroy, due)];
    if matches!(key.state, State::Active | State::Suspended) {
        set.push((Mark::Demoted, key.suspended_at.or(Some(now))));
    }
    if key.state.in_jwk_set() {
        set.push((Mark::Retired, Some(now)));
    }
    let mut changes = vec![Change { id: key.id, from: key.state, to, set }];
    let mut others = keys.iter().filter(|other| other.id != key.id && other.same_slot(key));
    let needs_successor = match key.state {
        // Whoever suspended an older key let this one sign after it.
        State::Active => true,
        // Nothing signs instead of another key that a person suspended, and beside one that signs nothing need.
        State::Suspended => others.clone().all(|other| !matches!(other.state, State::Active | State::Suspended)),
        _ => false,
    };
    let standby = others
        .by_ref()
        .filter(|other| other.state == State::Published && other.not_after.is_none_or(|not_after| now < not_after))
        .min_by_key(|other| {
            let is_of_another_kind = other.kind() != key.kind() || other.algorithm != key.algorithm;
            (other.issuer != key.issuer, is_of_another_kind, other.published_at)
        });
    let standby = standby.filter(|_| needs_successor);
    changes.extend(standby.map(|standby| step(standby, State::Active, [(Mark::Activated, Some(now))])));
    Outcome { changes, window: standby.and_then(|standby| window(keys, standby, timing, now)) }
}

/// The day of a destruction that nothing calls off any more, since the pair may be gone by the time that is written: signers' clocks
/// differ, and a row of the audit log and a transaction come between the decision and its writing.
fn goes_on(key: &Key, now: Timestamp) -> Option<Timestamp> {
    key.destroy_at.filter(|at| *at <= now.plus_secs(SKEW))
}

/// Until when some verifier may not know a key that would sign from now on.
fn window(keys: &[Key], key: &Key, timing: &Timing, now: Timestamp) -> Option<Window> {
    let until = timing.earliest_activation(key);
    (now < until && !is_first(keys, key)).then(|| Window { kid: name(key), until })
}

/// Whether nothing had signed for the set that shows a key before the key was shown, and no other key of its slot signed there ever:
/// one key of each is first. An imported key may have signed elsewhere.
fn is_first(keys: &[Key], key: &Key) -> bool {
    let signed_before = |other: &Key| {
        let counts = |at| other.same_slot(key) || key.published_at.is_none_or(|published_at| at < published_at);
        other.published_at.is_some() && (other.origin == Origin::Imported || other.activated_at.is_some_and(counts))
    };
    !keys.iter().any(|other| other.id != key.id && other.same_set(key) && signed_before(other))
}

fn needs(key: &Key, needed: &'static [State]) -> Result<(), Refusal> {
    if needed.contains(&key.state) { Ok(()) } else { Err(Refusal::WrongState { kid: name(key), state: key.state, needed }) }
}

fn step<const N: usize>(key: &Key, to: State, set: [(Mark, Option<Timestamp>); N]) -> Change {
    Change { id: key.id, from: key.state, to, set: set.to_vec() }
}

fn name(key: &Key) -> String {
    key.kid().map_or_else(|| key.id.to_string(), ToOwned::to_owned)
}

impl Change {
    /// What the key is once this is written.
    pub fn applied(&self, key: &Key) -> Key {
        let mut key = Key { state: self.to, ..key.clone() };
        for (mark, at) in &self.set {
            let moment = match mark {
                Mark::Published => &mut key.published_at,
                Mark::Activated => &mut key.activated_at,
                Mark::Suspended => &mut key.suspended_at,
                Mark::Demoted => &mut key.demoted_at,
                Mark::Retired => &mut key.retired_at,
                Mark::Destroy => &mut key.destroy_at,
                Mark::Destroyed => &mut key.destroyed_at,
                Mark::Compromised => &mut key.compromised_at,
            };
            *moment = *at;
        }
        key
    }
}
