//! PURE. One-time codes: a secret, and the fingerprint by which the newcomer knows the signer.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::issue::{Agent, Lifetime};

/// Seconds for which a code is good.
pub const LIFETIME: u64 = 600;

/// What an invited agent may do: as in `agents.NAME` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The profiles that it may use.
    pub profiles: Vec<String>,
    /// Narrows the profiles' audiences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// Seconds; narrows the profiles' longest lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<u64>,
    /// Claims that each token must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_claims: Vec<String>,
    /// Claims that no token may carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_claims: Vec<String>,
    /// Tokens a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

impl Policy {
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
