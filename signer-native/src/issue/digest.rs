//! The mode in which the signer sees a digest and nothing else. Whoever may ask for a signature over a digest can have anything
//! signed: so the key is the agent's own, is shown by an issuer of its own, and nothing that it signs counts elsewhere.

use std::{sync::Arc, time::Instant};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::Timestamp;
use serde_json::{Map, Value};

use super::{
    IssueError, Issuer, Stamp,
    policy::{self, Agent, Denial, Mode, Profile},
    signer::asked,
};
use crate::{
    agent::build::hash_of,
    keys::{ActiveKey, Slot, Snapshot, agent_url, now, registry::RegistryError},
    metrics::Phase,
};

/// Seconds for which a digest key is published, which its JWK says as `exp` (30 days). What it signed without anybody seeing it
/// ends with it, too.
pub const KEY_LIFETIME: u64 = 30 * 86_400;
/// Octets of what an agent may declare about a token.
pub const MAX_DECLARED: usize = 4 * 1024;

/// A signature over a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDigest {
    /// The signature, as JWA writes it, as base64url.
    pub signature: String,
    /// The key that signed it.
    pub kid: String,
}

/// The key that signs an agent's digests.
#[derive(Clone, Debug)]
pub struct DigestKey {
    /// The issuer that shows it, and no other key.
    pub issuer: String,
    /// Its `kid`.
    pub kid: String,
    /// Its public JWK, with `exp`.
    pub jwk: String,
    /// That `exp`.
    pub not_after: Timestamp,
}

impl Issuer {
    /// The issuer of an agent's own tokens.
    pub fn agent_url(&self, profile: &str, agent: &str) -> String {
        agent_url(&self.url_of(profile), agent)
    }

    /// The agent's own key of a profile that has [`Mode::Digest`]; made when it is asked for first, and followed by another one
    /// in time as long as it is asked for. None where there is no such mode, its first key has to wait, the HSM answers that it makes
    /// none, or the agent's JWK Set is full.
    ///
    /// # Errors
    /// The HSM's, where it does not answer, and the store's.
    pub async fn digest_key(&self, agent: &Agent, profile: &Profile) -> Result<Option<DigestKey>, IssueError> {
        let Some(slot) = self.digest_slot(agent, profile) else { return Ok(None) };
        let snapshot = self.fresh_snapshot()?;
        if let Some((_, key)) = self.found(&snapshot, agent, profile)
            && !self.registry.needs_care(&slot, key.not_after)
        {
            return Ok(Some(key));
        }
        match self.registry.keep(&slot).await {
            Ok(()) => {}
            // What the agent has goes on until it ends, and so do the profile's other modes; the registry has logged it.
            Err(error) if error.is_of_the_key() => {}
            Err(error @ RegistryError::TooManyKeys { .. }) => {
                tracing::warn!(agent = agent.name, profile = profile.name, %error, "the agent's own key has no successor");
            }
            Err(error) => return Err(IssueError::Registry(error)),
        }
        let snapshot = self.registry.refresh().await.map_err(IssueError::Registry)?;
        Ok(self.found(&snapshot, agent, profile).map(|(_, key)| key))
    }

    /// The issuer that shows the agent's own key of a profile, where there is such a key; none is made.
    pub fn digest_issuer(&self, agent: &Agent, profile: &Profile) -> Option<String> {
        self.found(&self.registry.snapshot(), agent, profile).map(|(_, key)| key.issuer)
    }

    /// Signs a digest with the agent's own key.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn sign_digest(
        &self,
        agent: &Agent,
        profile: &str,
        digest: &str,
        kid: Option<&str>,
        declared: &Map<String, Value>,
        stamp: &Stamp,
    ) -> Result<SignedDigest, IssueError> {
        let profile = self.profile(agent, profile).map_err(IssueError::Denied)?;
        policy::may_ask(&profile, Mode::Digest).map_err(IssueError::Denied)?;
        self.limiter.take(agent, Instant::now()).map_err(IssueError::RateExceeded)?;
        let hash = hash_of(profile.algorithm)
            .ok_or_else(|| IssueError::Denied(Denial::new(format!("{} signs no digests", profile.algorithm))))?;
        let octets = Base64UrlUnpadded::decode_vec(digest).ok().filter(|octets| octets.len() == hash.digest_len());
        let octets = octets.ok_or(IssueError::DigestLength(profile.algorithm, hash.digest_len()))?;
        if Value::Object(declared.clone()).to_string().len() > MAX_DECLARED {
            return Err(IssueError::Denied(Denial::new(format!("declared has more than {MAX_DECLARED} bytes"))));
        }
        let snapshot = self.fresh_snapshot()?;
        let found = self.found(&snapshot, agent, &profile);
        let found = found.filter(|(_, key)| key.not_after > now() && kid.is_none_or(|kid| kid == key.kid));
        let (active, key) = found.ok_or_else(|| IssueError::NoDigestKey(profile.name.clone()))?;
        let intent = asked(agent, &profile, "token.sign_digest", &key.kid, stamp.certificate.as_deref())
            .with("mode", "digest")
            // The agent's statement: nobody else can know.
            .with("declared", self.audit.blinding().claims(declared))
            .with_digest(Base64UrlUnpadded::encode_string(&octets));
        let began = Instant::now();
        let intent = self.announce(intent).await?;
        self.metrics.phase(Phase::Audit, began.elapsed());
        let signature = self.signature(&active, &octets).await;
        intent.came_to(signature.as_ref().err());
        Ok(SignedDigest { signature: Base64UrlUnpadded::encode_string(&signature?), kid: key.kid })
    }

    async fn signature(&self, key: &ActiveKey, digest: &[u8]) -> Result<Vec<u8>, IssueError> {
        self.still_signs(key)?;
        let began = Instant::now();
        let signature = self.registry.sign_digest_unverified(key.id, key.algorithm, digest.to_vec()).await;
        let signature = signature.map_err(IssueError::Registry)?;
        self.still_signs(key)?;
        self.metrics.phase(Phase::Sign, began.elapsed());
        let began = Instant::now();
        let [jwk] = key.alone.keys() else { return Err(IssueError::Unsound("no single key".to_owned())) };
        let verifies = self.backend.verifies_digest(key.algorithm, jwk, digest, &signature);
        self.metrics.phase(Phase::Check, began.elapsed());
        if !verifies {
            tracing::error!(kid = key.kid, "a signature over a digest was discarded");
            return Err(IssueError::Unsound("the signature did not verify and was discarded".to_owned()));
        }
        Ok(signature)
    }

    fn digest_slot(&self, agent: &Agent, profile: &Profile) -> Option<Slot> {
        let slots = self.registry.ledger().slots();
        let slot = slots.iter().find(|slot| slot.profile == profile.name && slot.agent.is_none())?;
        let agent = Some(agent.name.clone());
        profile.modes.contains(&Mode::Digest).then(|| Slot {
            agent,
            rotate_after: None,
            valid_for: Some(KEY_LIFETIME),
            ..slot.clone()
        })
    }

    fn found(&self, snapshot: &Snapshot, agent: &Agent, profile: &Profile) -> Option<(Arc<ActiveKey>, DigestKey)> {
        let active = snapshot.of_agents.get(&(profile.name.clone(), agent.name.clone()))?;
        if !self.signs_for(active, profile) {
            return None;
        }
        let key = snapshot.of_id(active.id)?;
        let (published, not_after) = (key.published.as_ref()?, key.not_after?);
        let issuer = self.agent_url(&profile.name, &agent.name);
        let key = DigestKey { issuer, kid: published.kid.clone(), jwk: published.jwk.clone(), not_after };
        Some((Arc::clone(active), key))
    }
}
