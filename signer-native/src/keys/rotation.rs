//! PURE. What time brings about: standbys are made, keys rotate by age, retire, expire and are destroyed.
//!
//! [`plan`] looks at all keys and says what is due. It is asked again and again, by the signer that leads; whoever else
//! acted meanwhile only makes it say less.

use std::cmp::Reverse;

use edgeseal_core::{Algorithm, Timestamp};

use super::{Command, Key, Purpose, State, Timing, lifecycle};
use crate::hsm::{KeyId, KeyKind, LONGEST_GENERATION};

/// Seconds: a row that has been `generating` for so long was left by a crash, or by somebody who gave up: the HSM has had all its
/// time, and a minute is left for the test signature and for the store.
pub const ORPHANED_AFTER: u64 = LONGEST_GENERATION.as_secs() + 60;
/// Seconds, an hour: a pair that is not there so long after its row was written does not come any more. Calls that hang come back,
/// in the module or in an HSM whose connection was lost, long after whoever made them has gone.
pub const LATE: u64 = 3_600;
/// Seconds: how old a key gets unless a profile says otherwise (90 days).
pub const ROTATE_AFTER: u64 = 90 * lifecycle::DAY;

/// The keys that something needs: one that signs, and one behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What they sign.
    pub purpose: Purpose,
    /// The issuer whose JWK Set shows them, by its name; empty is the top-level one.
    pub issuer: String,
    /// The profile.
    pub profile: String,
    /// The agent that they belong to alone.
    pub agent: Option<String>,
    /// What they sign with.
    pub algorithm: Algorithm,
    /// Bits of an RSA modulus.
    pub rsa_bits: u16,
    /// Seconds: the longest lifetime of what they sign.
    pub max_lifetime: u64,
    /// Seconds: how long one signs before its standby takes over; `None` is for ever.
    pub rotate_after: Option<u64>,
    /// Seconds: how long before its first signature a key is published at least.
    pub publish_ahead: u64,
    /// Seconds from generation to the `exp` that the JWK says, where it says one.
    pub valid_for: Option<u64>,
}

impl Slot {
    /// Whether a key is of this slot.
    pub fn holds(&self, key: &Key) -> bool {
        (self.purpose, &self.profile, &self.agent) == (key.purpose, &key.profile, &key.agent)
    }

    /// Whether a key is of the kind that the slot wants now.
    pub fn wants(&self, key: &Key) -> bool {
        self.holds(key)
            && key.issuer == self.issuer
            && key.algorithm == self.algorithm
            && key.kind() == KeyKind::of(self.algorithm, self.rsa_bits)
    }

    /// The delays for its keys.
    pub fn timing(&self, timing: &Timing) -> Timing {
        Timing { publish_ahead: self.publish_ahead, ..*timing }
    }
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A slot has no standby.
    Generate(Slot),
    /// A key is to take this step.
    Step(KeyId, Command),
}

/// What is due now. Keys that retire, expire or are destroyed need no slot: their profile may be gone.
pub fn plan(keys: &[Key], slots: &[Slot], timing: &Timing, now: Timestamp) -> Vec<Due> {
    let mut due = Vec::new();
    let allowed = |key: &Key, command, timing: &Timing| lifecycle::decide(keys, key, command, timing, now).is_ok();
    for key in keys {
        let commands = match key.state {
            State::Active | State::Suspended => Command::Expire,
            State::Retiring => Command::Retire,
            State::DestroyScheduled => Command::Destroy,
            // It never signed, and now it never will.
            State::Published if key.not_after.is_some_and(|end| end <= now) => Command::Retire,
            _ => continue,
        };
        if allowed(key, commands, timing) {
            due.push(Due::Step(key.id, commands));
        }
    }
    for slot in slots {
        let timing = slot.timing(timing);
        let held = || keys.iter().filter(|key| slot.holds(key));
        let active = held().find(|key| key.state == State::Active);
        let command = Command::Activate { emergency: false };
        // A successor has most of its time before it: what was made beside the active key ends with it.
        let half = slot.valid_for.unwrap_or_default() / 2;
        let lasts = |key: &Key| key.not_after.is_none_or(|end| now.plus_secs(half) < end);
        let coming =
            standbys(keys, slot, now).any(lasts) || held().any(|key| is_being_made(key, now) && slot.wants(key) && lasts(key));
        if !coming && standby_is_due(slot, active, &timing, now) {
            due.push(Due::Generate(slot.clone()));
        }
        let turn = match active {
            Some(active) => !slot.wants(active) || is_old(slot, active, now),
            // Whoever suspended the only key did not want another to sign.
            None => held().all(|key| key.state != State::Suspended),
        };
        let standby = standbys(keys, slot, now)
            .filter(|standby| allowed(standby, command, &timing))
            .min_by_key(|standby| (Reverse(standby.not_after), standby.published_at));
        if let (true, Some(standby)) = (turn, standby) {
            due.push(Due::Step(standby.id, command));
        }
    }
    due
}

/// The keys of a slot that could sign next.
pub(super) fn standbys<'keys>(keys: &'keys [Key], slot: &'keys Slot, now: Timestamp) -> impl Iterator<Item = &'keys Key> {
    let lives = move |key: &&Key| key.not_after.is_none_or(|end| now < end);
    keys.iter().filter(|key| key.state == State::Published && slot.wants(key)).filter(lives)
}

/// Whether somebody may still be at it. A row that was left is settled by whoever leads, and holds nobody up until then.
pub(super) fn is_being_made(key: &Key, now: Timestamp) -> bool {
    key.state == State::Generating && !is_orphaned(key, now)
}

/// Whether whoever wrote this row is not at it any more.
pub(super) fn is_orphaned(key: &Key, now: Timestamp) -> bool {
    key.created_at.plus_secs(ORPHANED_AFTER) <= now
}

/// Whether the HSM may still come to have the pair of a row that nobody is at any more.
pub(super) fn may_come(key: &Key, now: Timestamp) -> bool {
    now < key.created_at.plus_secs(LATE)
}

/// The slot as it is now, if a key is still to be made for it: between [`plan`] and its execution others may have made one.
pub fn still_wanted(planned: &Slot, keys: &[Key], slots: &[Slot], timing: &Timing, now: Timestamp) -> Option<Slot> {
    let same = |slot: &Slot| (slot.purpose, &slot.profile, &slot.agent) == (planned.purpose, &planned.profile, &planned.agent);
    plan(keys, slots, timing, now).into_iter().find_map(|due| match due {
        Due::Generate(slot) if same(&slot) => Some(slot),
        _ => None,
    })
}

/// What the end of profiles brings about: what signs for them comes to its end, and what waits for its turn will have none.
pub fn wind_down(keys: &[Key], retired: &[String], timing: &Timing, now: Timestamp) -> Vec<Due> {
    let may_go = |key: &Key| lifecycle::decide(keys, key, Command::Retire, timing, now).is_ok();
    let of_them = |key: &&Key| key.purpose == Purpose::Token && retired.contains(&key.profile);
    keys.iter()
        .filter(of_them)
        .filter_map(|key| match key.state {
            State::Active | State::Suspended => Some(Due::Step(key.id, Command::Conclude)),
            State::Published if may_go(key) => Some(Due::Step(key.id, Command::Retire)),
            _ => None,
        })
        .collect()
}

/// Whether a key has signed long enough, or can sign no whole lifetime any more.
fn is_old(slot: &Slot, active: &Key, now: Timestamp) -> bool {
    let by_age = slot.rotate_after.is_some_and(|after| active.activated_at.unwrap_or(active.created_at).plus_secs(after) <= now);
    by_age || active.not_after.is_some_and(|end| end <= now.plus_secs(slot.max_lifetime))
}

/// A standby waits for its turn from the beginning, in case its predecessor is compromised; but one whose `exp` is
/// published would age meanwhile, and comes only when it is needed.
fn standby_is_due(slot: &Slot, active: Option<&Key>, timing: &Timing, now: Timestamp) -> bool {
    active.and_then(|active| active.not_after).is_none_or(|end| ends_soon(slot, end, timing, now))
}

/// Whether a key that ends then needs its successor by now.
pub(super) fn ends_soon(slot: &Slot, end: Timestamp, timing: &Timing, now: Timestamp) -> bool {
    let ahead = timing.activation_delay().saturating_add(slot.max_lifetime).saturating_add(lifecycle::DAY);
    end <= now.plus_secs(ahead)
}
