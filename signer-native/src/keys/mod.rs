//! Keys through their life: the pure state machine, and the registry that remembers it.

pub mod lifecycle;
pub mod registry;

use std::fmt;

use edgeseal_core::{Algorithm, Timestamp};

pub use self::{
    lifecycle::{Change, Refusal, State, Timing},
    registry::{ActiveKey, Ledger, Registry, Snapshot},
};
use crate::hsm::{KeyId, KeyKind};

/// One key of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the HSM.
    pub id: KeyId,
    /// The profile that it signs for.
    pub profile: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Bits of an RSA modulus; 0 for other kinds.
    pub rsa_bits: u16,
    /// Where it stands.
    pub state: State,
    /// When its row was written.
    pub created_at: Timestamp,
    /// When it entered the JWK Set.
    pub published_at: Option<Timestamp>,
    /// When it began to sign.
    pub activated_at: Option<Timestamp>,
    /// When it stopped signing.
    pub demoted_at: Option<Timestamp>,
    /// When it left the JWK Set.
    pub retired_at: Option<Timestamp>,
    /// Seconds: the longest lifetime ever allowed on tokens of this key.
    pub max_lifetime: u64,
    /// What its generation brought; `None` while generating and when that failed.
    pub published: Option<Published>,
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
    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        KeyKind::of(self.algorithm, self.rsa_bits)
    }

    /// Its `kid`, once it has one.
    pub fn kid(&self) -> Option<&str> {
        self.published.as_ref().map(|published| published.kid.as_str())
    }
}

/// A moment for people and for JSON: RFC 3339, in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

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
