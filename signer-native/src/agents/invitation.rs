//! PURE. One-time codes: a secret, and the fingerprint by which the newcomer knows the signer.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use utoipa::ToSchema;

use crate::{
    error::Invalid,
    issue::{Agent, Lifetime, policy::check_claim_rules},
};

/// Seconds for which a code is good.
pub const LIFETIME: u64 = 600;

/// What an invited agent may do: as in `agents.NAME` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentPolicy)]
pub struct Policy {
    /// The profiles that it may use.
    pub profiles: Vec<String>,
    /// Narrows the profiles' audiences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// Seconds; narrows the profiles' longest lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<u64>,
    /// Claims that each token must carry; in mode `digest` the agent's daemon sees to it, as the signer sees no claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_claims: Vec<String>,
    /// Claims that no token may carry: mode `sd` is refused then; in mode `digest` the agent's daemon sees to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_claims: Vec<String>,
    /// Tokens a second as an average, at each signer for itself; a second's worth at once, and 64 in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

impl Policy {
    /// What an agent may do.
    pub fn of(agent: &Agent) -> Self {
        let Agent { name: _, profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate } = agent.clone();
        let max_lifetime = max_lifetime.map(Lifetime::as_secs);
        Self { profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate }
    }

    /// Whether it can be meant; `knows` says which profiles there are.
    ///
    /// # Errors
    /// The first member that cannot.
    pub fn check(&self, knows: impl Fn(&str) -> bool) -> Result<(), Invalid> {
        let Self { profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate } = self;
        if profiles.is_empty() {
            return Err(Invalid::new("profiles", "is empty; name what the agent may use"));
        }
        if let Some(unknown) = profiles.iter().find(|profile| !knows(profile)) {
            return Err(Invalid::new("profiles", format!("names {unknown:?}, and there is no such profile")));
        }
        if audiences.as_ref().is_some_and(|audiences| audiences.is_empty() || audiences.iter().any(String::is_empty)) {
            return Err(Invalid::new("audiences", "is empty; name who may accept the agent's tokens, or leave it away"));
        }
        if *max_lifetime == Some(0) {
            return Err(Invalid::new("max_lifetime", "is 0; it takes seconds, 1 or more"));
        }
        check_claim_rules(required_claims, forbidden_claims).map_err(|(member, why)| Invalid::new(member, why))?;
        if *rate == Some(0) {
            return Err(Invalid::new("rate", "is 0; it takes tokens a second, 1 or more"));
        }
        Ok(())
    }

    /// An agent of this name under the policy.
    pub fn agent(self, name: String) -> Agent {
        let Self { profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate } = self;
        let max_lifetime = max_lifetime.map(Lifetime);
        Agent { name, profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate }
    }
}

/// A one-time code: `<secret>.<fingerprint>`.
pub struct Invitation {
    secret: Zeroizing<String>,
    fingerprint: [u8; 32],
}

impl Invitation {
    /// A fresh code of 128 random bits, for a signer whose public listener shows the certificate with this fingerprint.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new(fingerprint: [u8; 32]) -> Result<Self, getrandom::Error> {
        let mut octets = Zeroizing::new([0; 16]);
        getrandom::fill(octets.as_mut())?;
        Ok(Self { secret: Zeroizing::new(Base64UrlUnpadded::encode_string(octets.as_ref())), fingerprint })
    }

    /// A code as it was written down.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, fingerprint) = text.trim().split_once('.')?;
        let fingerprint = Base64UrlUnpadded::decode_vec(fingerprint).ok()?.try_into().ok()?;
        let mut octets = Zeroizing::new([0; 16]);
        Base64UrlUnpadded::decode(secret, octets.as_mut()).ok()?;
        Some(Self { secret: Zeroizing::new(secret.to_owned()), fingerprint })
    }

    /// What whoever was invited types.
    pub fn code(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}.{}", self.secret.as_str(), Base64UrlUnpadded::encode_string(&self.fingerprint)))
    }

    /// What the signer is told.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// SHA-256 of the certificate that must stand in the chain of the signer's public listener.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Invitation")
    }
}

/// What the store keeps of a secret. It has 128 random bits, so that its hash need not be slow.
pub fn hash(secret: &str) -> String {
    Base64UrlUnpadded::encode_string(&Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_were_written() {
        let invitation = Invitation::new([7; 32]).unwrap();
        let read = Invitation::parse(&format!(" {}\n", invitation.code().as_str())).unwrap();
        assert_eq!((read.secret(), read.fingerprint()), (invitation.secret(), &[7; 32]));
        assert!(!format!("{invitation:?}").contains(invitation.secret()));
        for wrong in ["", ".", "a.b", invitation.secret(), &format!("{}.AAAA", invitation.secret())] {
            assert!(Invitation::parse(wrong).is_none(), "{wrong}");
        }
    }
}
