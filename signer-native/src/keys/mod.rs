//! Keys through their life: the pure state machine, and the registry that remembers it.

mod actor;
pub mod clock;
mod endings;
mod ledger;
pub mod lifecycle;
mod pem;
pub mod registry;
pub mod rotation;
pub mod shares;
mod snapshot;
mod view;
mod waits;

use std::fmt;

use edgeseal_core::{Algorithm, Timestamp};

pub use self::{
    actor::Actor,
    clock::Clock,
    ledger::{Done, Ledger, MAX_SECOND_PERSON_AFTER, SECOND_PERSON_AFTER, agent_url, days_of},
    lifecycle::{Change, Command, DESTRUCTION_DAYS, Mark, Outcome, Refusal, State, Timing, Window},
    pem::public_key_pem,
    registry::Registry,
    rotation::Slot,
    snapshot::{ActiveKey, Document, MAX_DOCUMENT, MAX_KEYS, Snapshot},
    view::{ActionView, ApprovalView, DoneView, KeyView, StepView, describe_approval},
};
use crate::hsm::{KeyId, KeyKind};

/// One key of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the HSM.
    pub id: KeyId,
    /// What it signs.
    pub purpose: Purpose,
    /// The issuer whose JWK Set shows it, by its name in the configuration; empty is the top-level one.
    pub issuer: String,
    /// The profile that it signs for; empty unless it signs tokens.
    pub profile: String,
    /// The agent that it belongs to alone; only keys of the `digest` mode have one.
    pub agent: Option<String>,
    /// What people call it.
    pub label: Option<String>,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Bits of an RSA modulus; 0 for other kinds.
    pub rsa_bits: u16,
    /// Where it was made.
    pub origin: Origin,
    /// Where it stands.
    pub state: State,
    /// When its row was written.
    pub created_at: Timestamp,
    /// When it entered the JWK Set.
    pub published_at: Option<Timestamp>,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it was suspended; `None` when it is not.
    pub suspended_at: Option<Timestamp>,
    /// When it stopped signing.
    pub demoted_at: Option<Timestamp>,
    /// When it left the JWK Set.
    pub retired_at: Option<Timestamp>,
    /// When it is to be destroyed, while that is scheduled.
    pub destroy_at: Option<Timestamp>,
    /// When it was destroyed in the HSM.
    pub destroyed_at: Option<Timestamp>,
    /// When it was declared compromised.
    pub compromised_at: Option<Timestamp>,
    /// The `exp` of its JWK, where that is published (`digest` mode).
    pub not_after: Option<Timestamp>,
    /// Seconds: the longest lifetime ever allowed on tokens of this key.
    pub max_lifetime: u64,
    /// What its generation brought; `None` while generating and when that failed.
    pub published: Option<Published>,
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Tokens.
    Token,
    /// Checkpoints of the audit.
    Audit,
    /// Revocation documents.
    Control,
    /// Certificates of agents.
    Ca,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::Token, Self::Audit, Self::Control, Self::Ca];

    /// Its name, in the store and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Audit => "audit",
            Self::Control => "control",
            Self::Ca => "ca",
        }
    }

    /// Whether what it signs lets somebody in: a token, a certificate. Then nothing signs instead of a key that a person
    /// suspended. Checkpoints and revocations let nobody in, and are missed at once.
    pub const fn lets_in(self) -> bool {
        matches!(self, Self::Token | Self::Ca)
    }

    /// The purpose of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// Where a key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Inside the HSM, proved not extractable ever.
    Generated,
    /// Elsewhere, or it cannot be proved otherwise.
    Imported,
    /// Elsewhere, and the signer is putting it into the HSM: what comes of that is its own to take out again, until the key is
    /// published as imported.
    Entering,
}

impl Origin {
    /// Every name for people.
    pub const NAMES: [&str; 2] = ["generated", "imported"];

    /// Its name for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Imported | Self::Entering => "imported",
        }
    }

    /// Its name in the store.
    pub const fn stored(self) -> &'static str {
        match self {
            Self::Entering => "entering",
            other => other.as_str(),
        }
    }

    /// The origin of this name in the store.
    pub fn from_stored(name: &str) -> Option<Self> {
        [Self::Generated, Self::Imported, Self::Entering].into_iter().find(|origin| origin.stored() == name)
    }

    /// What it is once the key is published.
    #[must_use]
    pub const fn published(self) -> Self {
        match self {
            Self::Entering => Self::Imported,
            other => other,
        }
    }
}

/// The public side of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// The public JWK, as it stands in the JWK Set.
    pub jwk: String,
}

impl Key {
    /// A key of which there is nothing yet but the wish.
    pub fn generating(id: KeyId, purpose: Purpose, algorithm: Algorithm, created_at: Timestamp) -> Self {
        Self {
            id,
            purpose,
            issuer: String::new(),
            profile: String::new(),
            agent: None,
            label: None,
            algorithm,
            rsa_bits: 0,
            origin: Origin::Generated,
            state: State::Generating,
            created_at,
            published_at: None,
            activated_at: None,
            suspended_at: None,
            demoted_at: None,
            retired_at: None,
            destroy_at: None,
            destroyed_at: None,
            compromised_at: None,
            not_after: None,
            max_lifetime: 0,
            published: None,
        }
    }

    /// Whether only one of the two may be active: they sign the same.
    pub fn same_slot(&self, other: &Self) -> bool {
        (self.purpose, &self.profile, &self.agent) == (other.purpose, &other.profile, &other.agent)
    }

    /// Whether the same JWK Set shows both.
    pub fn same_set(&self, other: &Self) -> bool {
        (self.purpose, &self.issuer, &self.agent) == (other.purpose, &other.issuer, &other.agent)
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        KeyKind::of(self.algorithm, self.rsa_bits)
    }

    /// Its `kid`, once it has one.
    pub fn kid(&self) -> Option<&str> {
        self.published.as_ref().map(|published| published.kid.as_str())
    }
}

/// Characters of a label: what every module keeps.
const MAX_LABEL: usize = 64;

/// Whether a key may be called so.
///
/// # Errors
/// In words, to stand behind the label's name.
pub fn check_label(label: &str) -> Result<(), String> {
    let count = label.chars().count();
    if !(1..=MAX_LABEL).contains(&count) {
        return Err(format!("has {count} characters; it takes 1 to {MAX_LABEL}"));
    }
    if label.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(())
}

/// A moment for people and for JSON: RFC 3339, in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// Reads what [`Moment`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let date: x509_cert::der::DateTime = text.parse().ok()?;
        Some(Self(Timestamp::from_secs(date.unix_duration().as_secs())))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since_epoch = std::time::Duration::from_secs(self.0.as_secs());
        match x509_cert::der::DateTime::from_unix_duration(since_epoch) {
            Ok(date) => fmt::Display::fmt(&date, formatter),
            Err(_) => write!(formatter, "{} s after 1970", self.0.as_secs()),
        }
    }
}

/// What the clock of this machine says.
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
