//! PURE. A profile as settings say it, in the configuration file or in the store; and what it comes to.

use std::collections::BTreeMap;

use edgeseal_core::{Algorithm, algorithm::Scheme, revocation::document};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Lifetime, Mode, Profile};
use crate::{
    error::Invalid,
    http::openapi::{AlgorithmName, Span},
    keys::{Purpose, Slot, Timing},
};

/// The longest lifetime that a profile may allow: what a stolen token is worth must end, and keys stay as long.
pub const MAX_LIFETIME: Lifetime = Lifetime(86_400);
/// The longest session that renewals may make of one token: somebody should have to sign in again each month.
pub const MAX_SESSION: Lifetime = Lifetime(31 * 86_400);
/// The header's `typ` unless the profile says another (RFC 7519 section 5.1).
const DEFAULT_TYP: &str = "JWT";

/// What a profile's settings are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSettings {
    /// What its keys sign with.
    #[schema(value_type = AlgorithmName)]
    pub algorithm: Algorithm,
    /// Bits of its RSA keys: 2048, 3072 or 4096; 2048 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<u16>,
    /// The lifetime when none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub default_lifetime: Option<Lifetime>,
    /// The longest lifetime, up to a day; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub max_lifetime: Option<Lifetime>,
    /// Who may accept its tokens.
    #[schema(min_items = 1)]
    pub audiences: Vec<String>,
    /// The header's `typ`; `JWT` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// The issuer by its name; the top-level one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The age at which a standby takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub rotate_after: Option<Lifetime>,
    /// How long before its first signature a key is published at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub publish_ahead: Option<Lifetime>,
    /// What may be asked for; `claims` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<Vec<Mode>>,
    /// How long after the first token the last renewal may live; no renewals when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub max_session: Option<Lifetime>,
}

/// What profiles stand in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The delays of all keys.
    pub timing: Timing,
    /// Whether standbys take over by themselves.
    pub rotates: bool,
    /// Seconds: the age at which they do, unless a profile says another.
    pub rotate_after: u64,
    /// URLs of issuers by name; the top-level one has none.
    pub issuers: BTreeMap<String, String>,
}

impl ProfileSettings {
    /// The profile of this name.
    ///
    /// # Errors
    /// The first member that cannot be meant.
    pub fn profile(&self, name: &str) -> Result<Profile, Invalid> {
        let rsa_bits = self.rsa_bits.unwrap_or(2_048);
        if ![2_048, 3_072, 4_096].contains(&rsa_bits) {
            return Err(Invalid::new("rsa_bits", format!("is {rsa_bits}; it takes 2048, 3072 or 4096")));
        }
        let max_lifetime = self.max_lifetime.unwrap_or(Lifetime(3_600));
        if !(Lifetime(1)..=MAX_LIFETIME).contains(&max_lifetime) {
            return Err(Invalid::new("max_lifetime", format!("is {max_lifetime}; it takes 1s to {MAX_LIFETIME}")));
        }
        let default_lifetime = self.default_lifetime.unwrap_or(Lifetime(600).min(max_lifetime));
        if !(Lifetime(1)..=max_lifetime).contains(&default_lifetime) {
            let sentence = format!("is {default_lifetime}; it takes 1s to the profile's max_lifetime {max_lifetime}");
            return Err(Invalid::new("default_lifetime", sentence));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(Invalid::new("audiences", "is empty; name who may accept these tokens"));
        }
        let modes = self.modes.clone().unwrap_or_else(|| vec![Mode::default()]);
        if modes.is_empty() {
            return Err(Invalid::new("modes", "is empty; it takes claims, sd and digest"));
        }
        if modes.contains(&Mode::Digest) && self.algorithm.scheme() == Scheme::Ed25519 {
            return Err(Invalid::new("modes", format!("names digest, and {} signs no digests", self.algorithm)));
        }
        if let Some(max_session) = self.max_session.filter(|max_session| !(max_lifetime..=MAX_SESSION).contains(max_session)) {
            let sentence = format!("is {max_session}; it takes the profile's max_lifetime {max_lifetime} to {MAX_SESSION}");
            return Err(Invalid::new("max_session", sentence));
        }
        if let Some(typ) = self.typ.as_deref().filter(|typ| !is_media_type(typ)) {
            return Err(Invalid::new(
                "typ",
                format!("is {typ:?}; it takes a media type without parameters, such as JWT or at+jwt"),
            ));
        }
        if self
            .typ
            .as_deref()
            .is_some_and(|typ| typ.rsplit('/').next().is_some_and(|kind| kind.eq_ignore_ascii_case(document::TYP)))
        {
            return Err(Invalid::new("typ", format!("is {}, which the control key alone signs", document::TYP)));
        }
        Ok(Profile {
            name: name.to_owned(),
            algorithm: self.algorithm,
            rsa_bits,
            default_lifetime,
            max_lifetime,
            audiences: self.audiences.clone(),
            typ: Some(self.typ.clone().unwrap_or_else(|| DEFAULT_TYP.to_owned())),
            modes,
            max_session: self.max_session,
        })
    }

    /// What keys it needs.
    ///
    /// # Errors
    /// The first member that cannot be meant.
    pub fn slot(&self, name: &str, surroundings: &Surroundings) -> Result<Slot, Invalid> {
        let Surroundings { timing, rotates, rotate_after, issuers } = surroundings;
        let Profile { algorithm, rsa_bits, max_lifetime, .. } = self.profile(name)?;
        let issuer = self.issuer.clone().unwrap_or_default();
        if !issuer.is_empty() && !issuers.contains_key(&issuer) {
            return Err(Invalid::new("issuer", format!("names {issuer:?}, and there is no issuers.{issuer}")));
        }
        let after = self.rotate_after.map_or(*rotate_after, Lifetime::as_secs);
        let slot = Slot {
            purpose: Purpose::Token,
            issuer,
            profile: name.to_owned(),
            agent: None,
            algorithm,
            rsa_bits,
            max_lifetime: max_lifetime.as_secs(),
            rotate_after: rotates.then_some(after),
            publish_ahead: self.publish_ahead.map_or(0, Lifetime::as_secs),
            valid_for: None,
        };
        // A standby has to become known before its turn comes.
        let least = slot.timing(timing).activation_delay();
        if after < least {
            let (after, least) = (Lifetime(after), Lifetime(least));
            let sentence =
                format!("is {after}; it takes {least} or more, which is how long a new key must be known before it signs");
            return Err(Invalid::new("rotate_after", sentence));
        }
        Ok(slot)
    }
}

/// Whether it is `type/subtype`, or the subtype alone (RFC 7515 section 4.1.9, names of RFC 6838 section 4.2).
fn is_media_type(typ: &str) -> bool {
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&octet))
    };
    typ.split_once('/').map_or_else(|| is_name(typ), |(kind, subtype)| is_name(kind) && is_name(subtype))
}
