//! The sections `rotation` and `approvals`: the rules of the life cycle of keys.

use serde::Deserialize;

use super::{Settings, issuers::RawIssuer};
use crate::{
    error::Failure,
    issue::{Lifetime, Surroundings},
    keys::{MAX_SECOND_PERSON_AFTER, SECOND_PERSON_AFTER, Timing, rotation},
};

/// Seconds: the longest lease on "which key is active".
pub const MAX_LEASE: u64 = 10;
/// Seconds: the longest window in which verifiers may go on with an old JWK Set.
pub const MAX_STALE_WINDOW: u64 = 86_400;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRotation {
    jwks_max_age: Option<Lifetime>,
    stale_window: Option<Lifetime>,
    lease: Option<Lifetime>,
    dangerous_activation_delay: Option<Lifetime>,
    automatic: Option<bool>,
    after: Option<Lifetime>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawApprovals {
    second_person_after: Option<Lifetime>,
}

impl Settings {
    /// The rules of the key life cycle.
    ///
    /// # Errors
    /// When one is out of bounds.
    pub fn timing(&self) -> Result<Timing, Failure> {
        let RawRotation { jwks_max_age, stale_window, lease, dangerous_activation_delay, automatic: _, after: _ } =
            &self.raw.rotation;
        let jwks_max_age = jwks_max_age.map_or(300, Lifetime::as_secs);
        if jwks_max_age > 86_400 {
            return Err(Failure::configuration("rotation.jwks_max_age is more than 1d; every rotation would wait so long"));
        }
        let stale_window = stale_window.map_or(3_600, Lifetime::as_secs);
        if stale_window > MAX_STALE_WINDOW {
            return Err(Failure::configuration("rotation.stale_window is more than 24h, the longest that verifiers may declare"));
        }
        let lease = lease.map_or(MAX_LEASE, Lifetime::as_secs);
        if !(1..=MAX_LEASE).contains(&lease) {
            return Err(Failure::configuration(format!("rotation.lease is {lease}s; it takes 1s to {MAX_LEASE}s")));
        }
        let dangerous_activation_delay = dangerous_activation_delay.map(Lifetime::as_secs);
        Ok(Timing { jwks_max_age, stale_window, lease, publish_ahead: 0, dangerous_activation_delay })
    }

    /// Seconds after which somebody of whom another vouched counts as one of two people.
    ///
    /// # Errors
    /// When it is out of bounds.
    pub fn second_person_after(&self) -> Result<u64, Failure> {
        let after = self.raw.approvals.second_person_after.map_or(SECOND_PERSON_AFTER, Lifetime::as_secs);
        if after > MAX_SECOND_PERSON_AFTER {
            let sentence = "approvals.second_person_after is more than 7d, and a proposal lapses after so long";
            return Err(Failure::configuration(sentence));
        }
        Ok(after)
    }

    /// Whether standbys are made and take over by themselves.
    pub fn rotates(&self) -> bool {
        self.raw.rotation.automatic.unwrap_or(true)
    }

    /// What profiles stand in.
    ///
    /// # Errors
    /// When a rule of the key life cycle is out of bounds.
    pub fn surroundings(&self) -> Result<Surroundings, Failure> {
        let named = self.raw.issuers.iter().map(|(name, RawIssuer { url })| (name.clone(), url.clone()));
        let top = self.raw.issuer.iter().map(|url| (String::new(), url.clone()));
        Ok(Surroundings {
            timing: self.timing()?,
            rotates: self.rotates(),
            rotate_after: self.raw.rotation.after.map_or(rotation::ROTATE_AFTER, Lifetime::as_secs),
            issuers: named.chain(top).collect(),
        })
    }
}
