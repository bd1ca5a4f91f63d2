//! A request through policy, HSM and verification: the only way to a token.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    Timestamp, UnsignedToken, UnverifiedToken, Verifier,
    policy::{IssuerSettings, OneOrMany},
};

use super::policy::{self, Agent, Denial, Profile, Request};
use crate::backend::Native;
use crate::keys::{ActiveKey, Registry, now, registry::RegistryError};

/// Issues tokens of one issuer.
pub struct Issuer {
    url: String,
    profiles: BTreeMap<String, Profile>,
    registry: Arc<Registry>,
    lease: Duration,
    backend: Native,
}

/// A token and what its caller wants to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The compact token.
    pub token: String,
    /// Its `exp`.
    pub expires_at: Timestamp,
    /// The key that signed it.
    pub kid: String,
    /// Its `jti`.
    pub jwt_id: String,
}

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssueError {
    /// Policy.
    Denied(Denial),
    /// No verifier would accept the claims set.
    ClaimsUnacceptable(String),
    /// The profile has no active key.
    NoActiveKey(String),
    /// The registry was not read within the lease.
    RegistryStale,
    /// The HSM, or a signature that does not hold.
    Registry(RegistryError),
    /// The finished token did not pass our own verification; it was discarded.
    Unsound(String),
}

impl fmt::Display for IssueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(formatter),
            Self::ClaimsUnacceptable(reason) | Self::Unsound(reason) => formatter.write_str(reason),
            Self::NoActiveKey(profile) => write!(
                formatter,
                "profile {profile} has no active key of its algorithm; edgeseal keys generate --profile {profile}, then edgeseal keys activate"
            ),
            Self::RegistryStale => {
                formatter.write_str("the registry of keys could not be read lately, so no key is known to be active")
            }
            Self::Registry(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for IssueError {}

impl Issuer {
    /// An issuer of these profiles. `lease` is how long a snapshot of the registry may be signed by.
    pub fn new(url: String, profiles: BTreeMap<String, Profile>, registry: Arc<Registry>, lease: Duration) -> Self {
        Self { url, profiles, registry, lease, backend: Native::default() }
    }

    /// Its URL, as `iss` says it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The registry of its keys.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// How old a snapshot of the registry may be to sign by it.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// A profile that this agent may use.
    ///
    /// # Errors
    /// The same denial for a profile that is not there as for one that it may not use.
    pub fn profile(&self, agent: &Agent, name: &str) -> Result<&Profile, Denial> {
        policy::may_use(agent, name)?;
        self.profiles.get(name).ok_or_else(|| Denial::of_profile(agent, name))
    }

    /// Issues a token, or says why not. Every token is verified by core, whole, before it is returned.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(&self, agent: &Agent, profile: &str, request: Request) -> Result<Issued, IssueError> {
        let profile = self.profile(agent, profile).map_err(IssueError::Denied)?;
        let moment = now();
        let jwt_id = random_jwt_id()?;
        let grant = policy::decide(&self.url, agent, profile, request, moment, &jwt_id).map_err(IssueError::Denied)?;
        let snapshot = self.registry.snapshot();
        if snapshot.is_expired(self.lease) {
            return Err(IssueError::RegistryStale);
        }
        // A profile whose algorithm was changed has no key until one of the new kind is active.
        let key = snapshot.active.get(&profile.name).filter(|key| key.algorithm == profile.algorithm);
        let key = key.ok_or_else(|| IssueError::NoActiveKey(profile.name.clone()))?;
        let claims = serde_json::Value::Object(grant.claims).to_string();
        let unsigned = UnsignedToken::new(key.algorithm, &key.kid, profile.typ.as_deref(), &claims).map_err(|error| {
            IssueError::ClaimsUnacceptable(format!("no verifier would accept these claims: {}", error.detail()))
        })?;
        let token = self.sign(key, unsigned).await?;
        self.verify(key, profile, grant.audience, &token, moment)?;
        Ok(Issued { token, expires_at: grant.expires_at, kid: key.kid.clone(), jwt_id })
    }

    async fn sign(&self, key: &ActiveKey, unsigned: UnsignedToken) -> Result<String, IssueError> {
        let signature = self.registry.sign_unverified(key.id, key.algorithm, unsigned.signing_input()).await;
        Ok(unsigned.attach(&signature.map_err(IssueError::Registry)?))
    }

    /// What every verifier will do with the token, done here first.
    fn verify(
        &self,
        key: &ActiveKey,
        profile: &Profile,
        audience: Vec<String>,
        token: &str,
        moment: Timestamp,
    ) -> Result<(), IssueError> {
        let unsound = |reason: String| {
            tracing::error!(kid = key.kid, reason, "a signed token was discarded");
            IssueError::Unsound(format!("the signed token did not verify and was discarded ({reason})"))
        };
        let settings = IssuerSettings {
            issuer: Some(self.url.clone()),
            audience: Some(OneOrMany::Many(audience)),
            algorithms: vec![key.algorithm],
            typ: profile.typ.clone(),
            leeway: Some(0),
            max_lifetime: Some(profile.max_lifetime.as_secs()),
            ..IssuerSettings::default()
        };
        let policy = settings.policy().map_err(|error| unsound(error.to_string()))?;
        UnverifiedToken::parse(token)
            .and_then(|token| Verifier::new(policy).verify_with(&self.backend, token, &key.alone, moment))
            .map(drop)
            .map_err(|error| unsound(error.to_string()))
    }
}

/// 128 random bits (RFC 7519 section 4.1.7).
fn random_jwt_id() -> Result<String, IssueError> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| IssueError::Unsound(format!("no randomness: {error}")))?;
    Ok(Base64UrlUnpadded::encode_string(&octets))
}
