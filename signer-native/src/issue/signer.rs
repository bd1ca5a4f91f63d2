//! A request through policy, HSM and verification: the only way to a token.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    Algorithm, Claims, Jwk, JwkSet, Timestamp, UnsignedToken, UnverifiedToken, Verifier,
    claims::NumericDate,
    json,
    policy::{DangerousSettings, IssuerSettings, OneOrMany},
    sd::{KeyBinding, SdJwtSettings},
    verify::is_reserved_type,
};
use serde_json::{Map, Value};

use super::{
    Schema,
    policy::{self, Agent, Denial, Grant, Mode, Profile, Renewal, Request},
    rate::{Exceeded, Limiter},
    schema::SchemaMismatch,
};
use crate::audit::{AuditError, Event, Log, Position, token_digest};
use crate::backend::Native;
use crate::keys::{ActiveKey, Purpose, Registry, Snapshot, State, now, registry::RegistryError};
use crate::metrics::{Metrics, Phase};

/// Issues tokens of one issuer.
pub struct Issuer {
    url: String,
    offer: RwLock<Arc<Offer>>,
    pub(super) registry: Arc<Registry>,
    lease: Duration,
    schemas: BTreeMap<String, Arc<Schema>>,
    pub(super) limiter: Limiter,
    pub(super) backend: Native,
    pub(super) audit: Log,
    pub(super) metrics: Metrics,
}

/// The profiles that there are; they may change while requests are answered.
#[derive(Debug, Default)]
struct Offer {
    profiles: BTreeMap<String, Arc<Profile>>,
    /// The URLs of profiles that belong to another issuer.
    others: BTreeMap<String, String>,
}

/// What is of one request alone: by what two tokens that say the same differ, and what it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// `jti`.
    pub jwt_id: String,
    /// When the token is issued.
    pub at: Timestamp,
    /// SHA-256 of the certificate that its agent showed, as base64url.
    pub certificate: Option<String>,
}

impl Stamp {
    /// Now, and 128 random bits (RFC 7519 section 4.1.7).
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn now() -> Result<Self, IssueError> {
        let mut octets = [0; 16];
        getrandom::fill(&mut octets).map_err(|error| IssueError::Unsound(format!("no randomness: {error}")))?;
        Ok(Self { jwt_id: Base64UrlUnpadded::encode_string(&octets), at: now(), certificate: None })
    }
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
    /// The agent asks for more than its rate.
    RateExceeded(Exceeded),
    /// The claims are not what the profile's schema asks for.
    SchemaMismatch(SchemaMismatch),
    /// The digest has not the length of this algorithm's hash, in octets.
    DigestLength(Algorithm, usize),
    /// The agent has no key of its own for this profile, or another one than it thinks.
    NoDigestKey(String),
    /// The token of a repeated request has expired since it was asked for first.
    TooLate,
    /// The token to renew does not verify.
    NotRenewable(String),
    /// No verifier would accept the claims set.
    ClaimsUnacceptable(String),
    /// The profile has no active key.
    NoActiveKey(String),
    /// This key stopped signing while the request waited.
    KeyStopped(String),
    /// The registry was not read within the lease.
    RegistryStale,
    /// The audit log could not be written, so nothing was signed.
    Audit(AuditError),
    /// The HSM, or a signature that does not hold.
    Registry(RegistryError),
    /// The finished token did not pass our own verification; it was discarded.
    Unsound(String),
}

impl fmt::Display for IssueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(formatter),
            Self::RateExceeded(Exceeded { rate, wait: _ }) => write!(formatter, "the agent may ask for {rate} tokens a second"),
            Self::SchemaMismatch(mismatch) => mismatch.fmt(formatter),
            Self::DigestLength(algorithm, octets) => {
                write!(formatter, "digest must be {octets} octets as base64url without padding: {algorithm} signs no other")
            }
            Self::NoDigestKey(profile) => write!(
                formatter,
                "the agent's own key for profile {profile} is another one now; GET /v1/profiles/{profile} shows it, and makes the first"
            ),
            Self::TooLate => formatter.write_str("the token that was asked for first under this Idempotency-Key has expired"),
            Self::NotRenewable(reason) => write!(formatter, "the token cannot be renewed: {reason}"),
            Self::ClaimsUnacceptable(reason) | Self::Unsound(reason) => formatter.write_str(reason),
            Self::NoActiveKey(profile) => write!(
                formatter,
                "profile {profile} has no active key of its algorithm; edgeseal keys generate --profile {profile}, then edgeseal keys activate"
            ),
            Self::KeyStopped(kid) => write!(
                formatter,
                "key {kid} stopped signing while the request waited for its turn, so that nothing was handed out; edgeseal keys list shows why"
            ),
            Self::RegistryStale => {
                formatter.write_str("the registry of keys could not be read lately, so no key is known to be active")
            }
            Self::Audit(error) => error.fmt(formatter),
            Self::Registry(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for IssueError {}

impl Issuer {
    /// An issuer of these profiles. `lease` is how long a snapshot of the registry may be signed by; `schemas` are those of
    /// the profiles that have one. Nothing is signed that `audit` does not know of.
    pub fn new(
        url: String,
        profiles: BTreeMap<String, Profile>,
        schemas: BTreeMap<String, Arc<Schema>>,
        registry: Arc<Registry>,
        lease: Duration,
        audit: Log,
        metrics: Metrics,
    ) -> Self {
        let profiles = profiles.into_iter().map(|(name, profile)| (name, Arc::new(profile))).collect();
        let offer = Offer { profiles, others: BTreeMap::new() };
        Self {
            url,
            offer: RwLock::new(Arc::new(offer)),
            registry,
            lease,
            schemas,
            limiter: Limiter::default(),
            backend: Native::default(),
            audit,
            metrics,
        }
    }

    /// From now on there are these profiles; `others` has the URL of each one's issuer, where that is another one.
    pub fn replace_profiles(&self, profiles: BTreeMap<String, Arc<Profile>>, others: BTreeMap<String, String>) {
        *self.offer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Offer { profiles, others });
    }

    fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The URL of a profile's issuer, as `iss` says it.
    pub fn url_of(&self, profile: &str) -> String {
        self.offer().others.get(profile).unwrap_or(&self.url).clone()
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
    pub fn profile(&self, agent: &Agent, name: &str) -> Result<Arc<Profile>, Denial> {
        policy::may_use(agent, name)?;
        self.offer().profiles.get(name).cloned().ok_or_else(|| Denial::of_profile(agent, name))
    }

    /// Whether there is such a profile.
    pub fn has_profile(&self, name: &str) -> bool {
        self.offer().profiles.contains_key(name)
    }

    /// The JSON Schema for the claims of a profile, if it has one.
    pub fn schema(&self, profile: &str) -> Option<&Arc<Schema>> {
        self.schemas.get(profile)
    }

    /// Issues a token, or says why not. Every token is verified by core, whole, before it is returned.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(&self, agent: &Agent, profile: &str, request: Request, stamp: Stamp) -> Result<Issued, IssueError> {
        let began = Instant::now();
        let profile = self.profile(agent, profile).map_err(IssueError::Denied)?;
        self.limiter.take(agent, Instant::now()).map_err(IssueError::RateExceeded)?;
        self.check_schema(&profile, &request.claims, request.mode == Mode::Sd)?;
        let grant = policy::decide(&self.url_of(&profile.name), agent, &profile, request, stamp.at, &stamp.jwt_id)
            .map_err(IssueError::Denied)?;
        self.metrics.phase(Phase::Policy, began.elapsed());
        self.fulfil(agent, &profile, grant, stamp, "token.issue").await
    }

    /// Issues a token like the one that is given, with a later end. The given one must verify now, whole but for its
    /// audience, under a key that is active or retiring.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn renew(&self, agent: &Agent, token: &str, renewal: Renewal, stamp: Stamp) -> Result<Issued, IssueError> {
        let snapshot = self.fresh_snapshot()?;
        let refused = |reason: &dyn fmt::Display| IssueError::NotRenewable(reason.to_string());
        let token = UnverifiedToken::parse(token).map_err(|error| refused(&error))?;
        let kid = token.header().kid().ok_or_else(|| refused(&"it names no kid"))?;
        let key = snapshot.of_kid(kid);
        // What an agent's own key signed, nobody has seen: it could be anything.
        let key = key.filter(|key| key.purpose == Purpose::Token && key.agent.is_none());
        let key = key.filter(|key| matches!(key.state, State::Active | State::Retiring));
        let key = key.ok_or_else(|| refused(&"no active or retiring key of this signer has its kid"))?;
        let profile = self.profile(agent, &key.profile).map_err(IssueError::Denied)?;
        self.limiter.take(agent, Instant::now()).map_err(IssueError::RateExceeded)?;
        let settings = IssuerSettings {
            issuer: Some(self.url_of(&profile.name)),
            algorithms: vec![key.algorithm],
            // Some kinds are accepted by name alone. The profile may have had another one when the token was issued.
            typ: profile.typ.clone().filter(|typ| is_reserved_type(typ) && token.header().typ() == Some(typ)),
            leeway: Some(0),
            dangerous: Some(DangerousSettings { skip_audience: true, ..DangerousSettings::default() }),
            ..IssuerSettings::default()
        };
        let policy = settings.policy().map_err(|error| refused(&error))?;
        let jwk = key.published.as_ref().and_then(|published| Jwk::from_json(&published.jwk).ok());
        let keys = JwkSet::from_keys(jwk);
        let old = Verifier::new(policy).verify_with(&self.backend, token, &keys, stamp.at).map_err(|error| refused(&error))?;
        self.check_not_revoked(key.kid().unwrap_or_default(), old.claims()).await?;
        let claims = old.claims().members();
        self.check_schema(&profile, &policy::of_caller(claims), claims.contains_key("_sd"))?;
        let grant = policy::renew(&self.url_of(&profile.name), agent, &profile, claims, renewal, stamp.at, &stamp.jwt_id);
        self.fulfil(agent, &profile, grant.map_err(IssueError::Denied)?, stamp, "token.renew").await
    }

    /// What is hidden can be checked beside the application alone; what is shown is checked here as well.
    fn check_schema(&self, profile: &Profile, claims: &Map<String, Value>, hides: bool) -> Result<(), IssueError> {
        let Some(schema) = self.schema(&profile.name) else { return Ok(()) };
        let checked = if hides { schema.check_shown(claims) } else { schema.check(claims) };
        checked.map_err(IssueError::SchemaMismatch)
    }

    /// Asks the store itself: a renewal that went by what was read a moment ago would outlive the revocation of its token.
    async fn check_not_revoked(&self, kid: &str, claims: &Claims) -> Result<(), IssueError> {
        let (issuer, jti, sub) = (claims.issuer(), claims.jwt_id(), claims.subject());
        let issued_at = claims.issued_at().map(NumericDate::seconds);
        let revoked = self.registry.ledger().revocations_of(issuer.unwrap_or(""), kid, jti.unwrap_or(""), sub.unwrap_or(""));
        let revoked = revoked.await.map_err(IssueError::Registry)?;
        match revoked.iter().find(|entry| entry.revokes(issued_at)) {
            Some(entry) => Err(IssueError::NotRenewable(format!("its {} is revoked", entry.kind.as_str()))),
            None => Ok(()),
        }
    }

    /// What the registry said lately enough to sign by.
    pub(super) fn fresh_snapshot(&self) -> Result<Arc<Snapshot>, IssueError> {
        let snapshot = self.registry.snapshot();
        if snapshot.is_expired(self.lease) { Err(IssueError::RegistryStale) } else { Ok(snapshot) }
    }

    /// Right before the HSM is asked, and again before what it signed is handed out: the waits until then may have taken longer than the
    /// lease, and somebody may have stopped the key.
    pub(super) fn still_signs(&self, key: &ActiveKey) -> Result<(), IssueError> {
        let snapshot = self.fresh_snapshot()?;
        let signs = snapshot.of_id(key.id).is_some_and(|row| match row.state {
            State::Active => true,
            // Its successor took over a moment ago: its JWK stays for what is signed within the lease.
            State::Retiring => row.demoted_at.is_some_and(|at| u128::from(now().millis_since(at)) < self.lease.as_millis()),
            _ => false,
        });
        if signs { Ok(()) } else { Err(IssueError::KeyStopped(key.kid.clone())) }
    }

    /// Signs what policy allows.
    async fn fulfil(
        &self,
        agent: &Agent,
        profile: &Profile,
        grant: Grant,
        stamp: Stamp,
        action: &'static str,
    ) -> Result<Issued, IssueError> {
        // Only a repetition can be so late.
        if grant.expires_at <= now() {
            return Err(IssueError::TooLate);
        }
        let snapshot = self.fresh_snapshot()?;
        let key = snapshot.active.get(&profile.name).filter(|key| self.signs_for(key, profile));
        let key = key.ok_or_else(|| IssueError::NoActiveKey(profile.name.clone()))?;
        // Before it signs what lives so long: it stays in the JWK Set until that has ended, also if it stops signing at this moment.
        let lifetime = grant.expires_at.millis_since(stamp.at).div_ceil(1_000);
        if snapshot.of_id(key.id).is_some_and(|row| row.max_lifetime < lifetime) {
            self.registry.allow_lifetime(key.id, lifetime).await.map_err(IssueError::Registry)?;
        }
        let sd = grant.claims.contains_key("_sd");
        let shown = self.audit.blinding().claims(&grant.claims);
        let mut claims = String::with_capacity(512);
        json::write_object(&grant.claims, &mut claims);
        let unsigned = UnsignedToken::new(key.algorithm, &key.kid, profile.typ.as_deref(), &claims).map_err(|error| {
            IssueError::ClaimsUnacceptable(format!("no verifier would accept these claims: {}", error.detail()))
        })?;
        let intent = asked(agent, profile, action, &key.kid, stamp.certificate.as_deref())
            .with("mode", if sd { "sd" } else { "claims" })
            .with("jti", stamp.jwt_id.as_str())
            .with("exp", grant.expires_at.as_secs())
            .with("claims", shown)
            .with_digest(token_digest(key.algorithm, unsigned.signing_input()));
        let began = Instant::now();
        let intent = self.announce(intent).await?;
        self.metrics.phase(Phase::Audit, began.elapsed());
        let began = Instant::now();
        let token = match self.sign(key, unsigned).await {
            Ok(token) => {
                self.metrics.phase(Phase::Sign, began.elapsed());
                let began = Instant::now();
                let verified = self.verify(key, profile, grant.audience, &token, sd, stamp.at);
                self.metrics.phase(Phase::Check, began.elapsed());
                verified.map(|()| token)
            }
            Err(error) => Err(error),
        };
        intent.came_to(token.as_ref().err());
        let token = token?;
        Ok(Issued { token, expires_at: grant.expires_at, kid: key.kid.clone(), jwt_id: stamp.jwt_id })
    }

    /// Writes what is about to be signed.
    pub(super) async fn announce(&self, intent: Event) -> Result<Intent<'_>, IssueError> {
        let position = self.audit.append(intent).await.map_err(IssueError::Audit)?;
        Ok(Intent { audit: &self.audit, position: Some(position) })
    }

    /// Whether a key signs for a profile as it is now. One whose algorithm or issuer was changed has no key until one of the new
    /// kind is active: tokens of the old one would stand in no JWK Set of their `iss`.
    pub fn signs_for(&self, key: &ActiveKey, profile: &Profile) -> bool {
        let url = self.registry.ledger().issuers().get(&key.issuer);
        key.algorithm == profile.algorithm && url.is_some_and(|url| *url == self.url_of(&profile.name))
    }

    async fn sign(&self, key: &ActiveKey, unsigned: UnsignedToken) -> Result<String, IssueError> {
        self.still_signs(key)?;
        let signature = self.registry.sign_unverified(key.id, key.algorithm, unsigned.signing_input()).await;
        let signature = signature.map_err(IssueError::Registry)?;
        self.still_signs(key)?;
        Ok(unsigned.attach(&signature))
    }

    /// What every verifier will do with the token, done here first.
    fn verify(
        &self,
        key: &ActiveKey,
        profile: &Profile,
        audience: Vec<String>,
        token: &str,
        sd: bool,
        moment: Timestamp,
    ) -> Result<(), IssueError> {
        let unsound = |reason: String| {
            tracing::error!(kid = key.kid, reason, "a signed token was discarded");
            IssueError::Unsound(format!("the signed token did not verify and was discarded ({reason})"))
        };
        let settings = IssuerSettings {
            issuer: Some(self.url_of(&profile.name)),
            audience: Some(OneOrMany::Many(audience)),
            algorithms: vec![key.algorithm],
            typ: profile.typ.clone(),
            leeway: Some(0),
            max_lifetime: Some(profile.max_lifetime.as_secs()),
            // As it stands without any disclosure: what is hidden is the agent's business.
            sd_jwt: sd.then(|| SdJwtSettings::new(KeyBinding::WhereBound)),
            ..IssuerSettings::default()
        };
        let policy = settings.policy().map_err(|error| unsound(error.to_string()))?;
        let presented = if sd { format!("{token}~") } else { token.to_owned() };
        UnverifiedToken::parse(&presented)
            .and_then(|token| Verifier::new(policy).verify_with(&self.backend, token, &key.alone, moment))
            .map(drop)
            .map_err(|error| unsound(error.to_string()))
    }
}
/// An intent that stands in the audit log. What came of it follows, also when whoever asked goes away before anybody knows.
pub(super) struct Intent<'log> {
    audit: &'log Log,
    position: Option<Position>,
}

impl Intent<'_> {
    pub(super) fn came_to(mut self, error: Option<&IssueError>) {
        if let Some(position) = self.position.take() {
            self.audit.outcome(&position, error.map(ToString::to_string));
        }
    }
}

impl Drop for Intent<'_> {
    fn drop(&mut self) {
        if let Some(position) = self.position.take() {
            self.audit.outcome(&position, Some("whoever asked went away; nothing was handed out".to_owned()));
        }
    }
}

/// That an agent asks for a signature: by which certificate, and under which version of what it may ask for.
pub(super) fn asked(agent: &Agent, profile: &Profile, action: &'static str, kid: &str, certificate: Option<&str>) -> Event {
    Event::new(format!("agent:{}", agent.name), action, kid)
        .with("certificate", certificate)
        .with("profile", profile.name.as_str())
        .with("policy", policy::version(agent, profile))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        audit::{Blinding, LogEnd},
        hsm::{HsmError, KeyId, memory::MemoryKeyStore},
        issue::Lifetime,
        keys::{Actor, Command, Key, Ledger, Slot, Timing},
        store::{Guard, Store, StoreSettings},
    };

    const URL: &str = "https://signer.example.com";
    const TIMING: Timing =
        Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, publish_ahead: 0, dangerous_activation_delay: Some(0) };
    const ACTIVATE: Command = Command::Activate { emergency: false };

    struct World {
        issuer: Issuer,
        hsm: Arc<MemoryKeyStore>,
        store: Store,
        end: LogEnd,
        kid: String,
        _folder: tempfile::TempDir,
    }

    /// An issuer whose key is from when tokens of the profile lived a minute at most.
    async fn world(lease: Duration) -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let profile = Profile {
            name: "default".to_owned(),
            algorithm: Algorithm::Es256,
            rsa_bits: 0,
            default_lifetime: Lifetime(60),
            max_lifetime: Lifetime(3_600),
            audiences: vec!["https://api.example.com".to_owned()],
            typ: None,
            modes: vec![Mode::Claims, Mode::Digest],
            max_session: None,
        };
        let slot = Slot {
            purpose: Purpose::Token,
            issuer: String::new(),
            profile: profile.name.clone(),
            agent: None,
            algorithm: profile.algorithm,
            rsa_bits: 0,
            max_lifetime: 60,
            rotate_after: None,
            publish_ahead: 0,
            valid_for: None,
        };
        let ledger = Ledger::new(store.clone(), TIMING, vec![slot.clone()]);
        let hsm = Arc::new(MemoryKeyStore::default());
        let registry = Registry::new(ledger.with_issuers([(String::new(), URL.to_owned())].into()), hsm.clone());
        let registry = Arc::new(registry);
        let key = registry.generate(&slot, None, &Actor::system()).await.unwrap();
        let kid = key.kid().unwrap().to_owned();
        registry.ledger().command(&kid, ACTIVATE, &Actor::local()).await.unwrap();
        registry.generate(&slot, None, &Actor::system()).await.unwrap();
        let (log, end) = Log::begin(store.clone(), Duration::from_secs(5), Blinding::none()).await.unwrap();
        registry.refresh().await.unwrap();
        let profiles = [(profile.name.clone(), profile)].into();
        let issuer = Issuer::new(URL.to_owned(), profiles, BTreeMap::new(), registry, lease, log, Metrics::default());
        World { issuer, hsm, store, end, kid, _folder: folder }
    }

    fn agent() -> Agent {
        Agent { name: "app".to_owned(), profiles: vec!["default".to_owned()], ..Agent::default() }
    }

    fn request(ttl: u64) -> Request {
        Request { ttl: Some(Lifetime(ttl)), ..Request::default() }
    }

    #[tokio::test]
    async fn a_key_remembers_the_longest_of_its_tokens_before_it_signs_it() {
        let World { issuer, store, end, .. } = world(Duration::from_mins(1)).await;
        let remembered = async || store.keys().await.unwrap().iter().map(|key| key.max_lifetime).max();
        for (ttl, longest) in [(60, 60), (3_600, 3_600), (60, 3_600)] {
            issuer.issue(&agent(), "default", request(ttl), Stamp::now().unwrap()).await.unwrap();
            assert_eq!(remembered().await, Some(longest));
        }
        end.end().await;
    }

    #[tokio::test]
    async fn an_hsm_that_makes_no_key_of_an_agent_s_own_takes_no_other_mode_with_it() {
        let World { issuer, hsm, end, _folder, .. } = world(Duration::from_mins(1)).await;
        let agent = agent();
        let profile = issuer.profile(&agent, "default").unwrap();
        hsm.fails(HsmError::Refused("CKR_DEVICE_MEMORY".to_owned()));
        assert!(issuer.digest_key(&agent, &profile).await.unwrap().is_none());
        issuer.issue(&agent, "default", request(60), Stamp::now().unwrap()).await.unwrap();
        // It is made when it is asked for later.
        hsm.works();
        assert!(issuer.digest_key(&agent, &profile).await.unwrap().is_none());
        end.end().await;
        // One that does not answer makes the agent ask another signer.
        for away in [HsmError::Unavailable("gone".to_owned()), HsmError::Deadline(Duration::from_secs(1)), HsmError::Busy] {
            let World { issuer, hsm, end, _folder, .. } = world(Duration::from_mins(1)).await;
            hsm.fails(away.clone());
            assert_eq!(issuer.digest_key(&agent, &profile).await.unwrap_err(), IssueError::Registry(away.into()));
            end.end().await;
        }
    }

    #[tokio::test]
    async fn a_key_that_is_stopped_while_a_request_waits_signs_nothing() {
        let lease = Duration::from_secs(2);
        // What happens while the audit log is written: a command, or nothing for longer than the lease.
        let successor = Some(ACTIVATE);
        for (command, signs) in
            [(Some(Command::Suspend), false), (Some(Command::Compromise), false), (successor, true), (None, false)]
        {
            let World { issuer, hsm: _, store, end, kid, _folder } = world(lease).await;
            let agent = agent();
            let mut issuing = Box::pin(issuer.issue(&agent, "default", request(60), Stamp::now().unwrap()));
            assert!(issuing.as_mut().now_or_never().is_none());
            if let Some(command) = command {
                let keys = store.keys().await.unwrap();
                let other = keys.iter().find(|key| key.state == State::Published).and_then(Key::kid).unwrap();
                let of = if matches!(command, Command::Activate { .. }) { other } else { &kid };
                issuer.registry().ledger().command(of, command, &Actor::local()).await.unwrap();
                issuer.registry().refresh().await.unwrap();
            } else {
                tokio::time::sleep(lease + Duration::from_millis(50)).await;
            }
            let issued = issuing.await;
            let expected = match command {
                _ if signs => None,
                Some(_) => Some(IssueError::KeyStopped(kid)),
                None => Some(IssueError::RegistryStale),
            };
            assert_eq!(issued.as_ref().err(), expected.as_ref(), "{command:?}");
            end.end().await;
            let rows = store.audit_page(issuer.audit.chain(), None, 100).await.unwrap();
            if let Some(refusal) = expected {
                let said = refusal.to_string();
                assert!(rows.iter().any(|row| row.body.contains(&said)), "{command:?}: {rows:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_a_key_signs_that_is_stopped_meanwhile_is_handed_to_nobody() {
        for command in [Command::Suspend, Command::Compromise] {
            let World { issuer, hsm, store, end, kid, _folder } = world(Duration::from_mins(1)).await;
            let registry = Arc::clone(issuer.registry());
            let stopped = kid.clone();
            hsm.while_signing(move || {
                let (registry, stopped) = (Arc::clone(&registry), stopped.clone());
                async move {
                    registry.ledger().command(&stopped, command, &Actor::local()).await.unwrap();
                    registry.refresh().await.unwrap();
                }
            });
            let issued = issuer.issue(&agent(), "default", request(60), Stamp::now().unwrap()).await;
            let refused = IssueError::KeyStopped(kid);
            assert_eq!(issued.as_ref().err(), Some(&refused), "{command:?}");
            end.end().await;
            let rows = store.audit_page(issuer.audit.chain(), None, 100).await.unwrap();
            assert!(rows.iter().any(|row| row.body.contains(&refused.to_string())), "{rows:?}");
        }
    }

    #[tokio::test]
    async fn a_full_set_of_an_agent_takes_no_other_mode_with_it() {
        let World { issuer, store, end, _folder, .. } = world(Duration::from_mins(1)).await;
        let agent = agent();
        let profile = issuer.profile(&agent, "default").unwrap();
        let keys = store.keys().await.unwrap();
        for number in 0..crate::keys::MAX_KEYS {
            let (id, profile) = (KeyId::random().unwrap(), format!("other-{number}"));
            let mut own = Key { id, profile, agent: Some(agent.name.clone()), ..keys[0].clone() };
            own.published.as_mut().unwrap().kid = id.to_string();
            store.insert_key(&own, &Guard::None).await.unwrap();
        }
        issuer.registry().refresh().await.unwrap();
        assert!(issuer.digest_key(&agent, &profile).await.unwrap().is_none());
        end.end().await;
    }
}
