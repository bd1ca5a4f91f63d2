//! Who is known, from the configuration and from the store, as of a moment ago.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use edgeseal_core::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::sync::Mutex;

use super::invitation::Policy;
use crate::{
    http::{
        listener::Peer,
        tls::{self, provider},
    },
    issue::Agent,
    keys::{Moment, now},
    store::{AgentCertificate, Store, StoreError},
};

/// A revocation counts for every request that comes later than this after it, on open connections too. Looking sooner would
/// cost each request a question to the store; this way ten a second ask for all.
pub const REVOCATION_DELAY: Duration = Duration::from_millis(100);

/// How long the store has to say whether anything changed. It says so from memory; else what was read serves, or nobody does.
const ANSWER: Duration = Duration::from_secs(2);
/// For how long one answer that failed is everybody's: each who waited would else wait for another one.
const FAILED: Duration = Duration::from_millis(500);

/// Agents, their certificates, and the authorities that vouch for these.
pub struct Directory {
    configured: BTreeMap<String, Arc<Agent>>,
    store: Store,
    /// How long what was read may be used while the store cannot be asked.
    lease: Duration,
    state: RwLock<State>,
    /// Whoever has it asks the store; and when the last who did was told why not.
    checking: Mutex<Option<(Instant, StoreError)>>,
    roots: Arc<AgentRoots>,
}

#[derive(Clone, Debug, Default)]
struct State {
    checked_at: Option<Instant>,
    version: Option<u64>,
    contents: Arc<Contents>,
}

/// What the store says in one version.
#[derive(Debug, Default)]
struct Contents {
    agents: HashMap<String, Entry>,
    /// Names that were revoked or deleted once.
    barred: BTreeSet<String>,
    certificates: HashMap<String, Certificate>,
    /// The names of the authorities whose certificates must be known here one by one.
    authorities: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    agent: Option<Arc<Agent>>,
    revoked: bool,
}

#[derive(Clone, Debug)]
struct Certificate {
    agent: String,
    revoked: bool,
    not_after: Timestamp,
}

/// What is known about whoever has shown a certificate.
#[derive(Clone, Debug)]
pub enum Known {
    /// An agent that may ask. `enrolled` says that its certificate is one of ours.
    Agent {
        /// Its policy.
        agent: Arc<Agent>,
        /// Whether the signer's own authority issued the certificate.
        enrolled: bool,
    },
    /// Nobody that may ask, and why.
    Nobody(String),
}

impl Directory {
    /// The agents of the configuration and of this store. `roots` come to follow the store's authorities.
    pub fn new(configured: BTreeMap<String, Agent>, roots: Arc<AgentRoots>, store: Store, lease: Duration) -> Self {
        let configured = configured.into_iter().map(|(name, agent)| (name, Arc::new(agent))).collect();
        Self { configured, store, lease, state: RwLock::default(), checking: Mutex::default(), roots }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// When the store could not be asked for longer than the lease.
    pub async fn identify(&self, peer: &Peer) -> Result<Known, StoreError> {
        let contents = self.current().await?;
        let Some(name) = &peer.agent else {
            return Ok(Known::Nobody("the certificate has no single SAN URI of the form urn:edgeseal:agent:NAME".to_owned()));
        };
        let moment = now();
        if let Some(end) = peer.not_after.filter(|end| *end <= moment) {
            return Ok(ended(name, end));
        }
        let ours = peer.issuer.as_ref().is_some_and(|issuer| contents.authorities.contains(issuer));
        let certificate = peer.fingerprint.as_ref().and_then(|fingerprint| contents.certificates.get(fingerprint));
        match certificate {
            Some(certificate) if certificate.revoked || certificate.agent != *name => {
                return Ok(Known::Nobody(format!("the certificate of agent {name} was revoked")));
            }
            Some(certificate) if certificate.not_after <= moment => return Ok(ended(name, certificate.not_after)),
            // Our authority vouches for nothing that is not written down.
            None if ours => return Ok(Known::Nobody("the certificate is not known here".to_owned())),
            _ => {}
        }
        let entry = contents.agents.get(name);
        if entry.is_some_and(|entry| entry.revoked) {
            return Ok(Known::Nobody(format!("agent {name} was revoked")));
        }
        // A certificate of another authority is not written down: it may be the one for which the agent was revoked or deleted.
        if certificate.is_none() && contents.barred.contains(name) {
            let detail = format!(
                "an agent {name} was revoked or deleted before, and this one has to enrol: edgeseal agents invite {name}"
            );
            return Ok(Known::Nobody(detail));
        }
        let configured = self.configured.get(name);
        let invited = entry.and_then(|entry| entry.agent.as_ref()).filter(|_| certificate.is_some());
        Ok(match configured.or(invited) {
            Some(agent) => Known::Agent { agent: Arc::clone(agent), enrolled: certificate.is_some() },
            None => Known::Nobody(format!("no agent {name} is known here")),
        })
    }

    /// Whether the configuration has this agent.
    pub fn is_configured(&self, name: &str) -> bool {
        self.configured.contains_key(name)
    }

    /// The agents of the configuration.
    pub fn configured(&self) -> impl Iterator<Item = &Agent> {
        self.configured.values().map(Arc::as_ref)
    }

    /// Reads the store, if it changed, whatever the time is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.checking.lock().await;
        self.read().await
    }

    async fn current(&self) -> Result<Arc<Contents>, StoreError> {
        let state = self.held();
        let age = |state: &State| state.checked_at.map(|at| at.elapsed());
        if age(&state).is_some_and(|age| age < REVOCATION_DELAY) {
            return Ok(state.contents);
        }
        let mut failed = self.checking.lock().await;
        if age(&self.held()).is_some_and(|age| age < REVOCATION_DELAY) {
            return Ok(self.held().contents);
        }
        let outcome = match &*failed {
            Some((at, error)) if at.elapsed() < FAILED => Err(error.clone()),
            _ => {
                let read = self.read().await;
                *failed = read.clone().err().map(|error| (Instant::now(), error));
                read
            }
        };
        match outcome {
            Ok(()) => Ok(self.held().contents),
            Err(error) => match age(&self.held()) {
                Some(age) if age < self.lease => Ok(self.held().contents),
                _ => Err(error),
            },
        }
    }

    async fn read(&self) -> Result<(), StoreError> {
        let asked_at = Instant::now();
        let late = |_| Err(StoreError::Unavailable(format!("no answer within {} s", ANSWER.as_secs())));
        let version = tokio::time::timeout(ANSWER, self.store.agents_version()).await.unwrap_or_else(late)?;
        let held = self.held();
        let unchanged = held.version == Some(version);
        let contents = if unchanged { Arc::clone(&held.contents) } else { Arc::new(self.read_all().await?) };
        let state = State { checked_at: Some(asked_at), version: Some(version), contents };
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    async fn read_all(&self) -> Result<Contents, StoreError> {
        let mut contents = Contents { barred: self.store.barred_agents().await?, ..Contents::default() };
        for row in self.store.agents().await? {
            let policy: Option<Policy> = row
                .policy
                .map(|policy| serde_json::from_str(&policy))
                .transpose()
                .map_err(|error| StoreError::Corrupt(format!("the policy of agent {}: {error}", row.name)))?;
            let agent = policy.map(|policy| Arc::new(policy.agent(row.name.clone())));
            contents.agents.insert(row.name, Entry { agent, revoked: row.revoked_at.is_some() });
        }
        // Those that have ended as well: by a clock that is ahead, others would be missing when it is right again.
        for row in self.store.agent_certificates(Timestamp::from_secs(0)).await? {
            let AgentCertificate { fingerprint, agent, revoked_at, not_after, .. } = row;
            contents.certificates.insert(fingerprint, Certificate { agent, revoked: revoked_at.is_some(), not_after });
        }
        let mut certificates = Vec::new();
        for authority in self.store.authorities().await? {
            let certificate = CertificateDer::from_pem_slice(authority.certificate.as_bytes())
                .map_err(|error| StoreError::Corrupt(format!("the authority {}: {error}", authority.kid)))?;
            contents.authorities.extend(tls::subject(&certificate));
            certificates.push(certificate);
        }
        self.roots.replace(&certificates);
        Ok(contents)
    }

    fn held(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn ended(name: &str, not_after: Timestamp) -> Known {
    Known::Nobody(format!("the certificate of agent {name} ended at {}", Moment(not_after)))
}

/// Who vouches for agents' certificates: what the configuration's file says, and the authorities in the store. Both may change while
/// this is in use.
///
/// Those of the store sign agents' certificates themselves. What they signed is believed because it is written down, certificate by
/// certificate: an authority beneath them would vouch for certificates that are written down nowhere.
#[derive(Default)]
pub struct AgentRoots {
    configured: RwLock<Option<Arc<dyn ClientCertVerifier>>>,
    ours: RwLock<Option<Arc<dyn ClientCertVerifier>>>,
}

impl std::fmt::Debug for AgentRoots {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AgentRoots").finish_non_exhaustive()
    }
}

impl AgentRoots {
    /// Nobody yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on those of the configuration are these, which may be none.
    pub fn configure(&self, configured: RootCertStore) {
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = verifier(configured);
    }

    fn replace(&self, ours: &[CertificateDer<'static>]) {
        let mut roots = RootCertStore::empty();
        let (_, refused) = roots.add_parsable_certificates(ours.iter().cloned());
        if refused > 0 {
            tracing::error!(refused, "authorities of the store cannot be used");
        }
        *self.ours.write().unwrap_or_else(PoisonError::into_inner) = verifier(roots);
    }
}

/// `None` before the first authority.
fn verifier(roots: RootCertStore) -> Option<Arc<dyn ClientCertVerifier>> {
    if roots.is_empty() {
        return None;
    }
    let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    built.inspect_err(|error| tracing::error!(%error, "the authorities of agents cannot be used")).ok()
}

impl ClientCertVerifier for AgentRoots {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let ours = self.ours.read().unwrap_or_else(PoisonError::into_inner).clone();
        let by_ours = ours.map(|ours| ours.verify_client_cert(end_entity, &[], now));
        let configured = || self.configured.read().unwrap_or_else(PoisonError::into_inner).clone();
        let by_configured = || configured().map(|roots| roots.verify_client_cert(end_entity, intermediates, now));
        match by_ours {
            None | Some(Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))) => {
                let nobody = || rustls::Error::General("no authority of agents is known yet".to_owned());
                by_configured().or(by_ours).unwrap_or_else(|| Err(nobody()))
            }
            Some(answer) => answer,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
        SanType,
    };

    use super::*;
    use crate::store::{Grant, StoreSettings, Terms};

    #[tokio::test]
    async fn a_certificate_ends_on_an_open_connection_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let configured = BTreeMap::from([("shop".to_owned(), Agent { name: "shop".to_owned(), ..Agent::default() })]);
        let directory = Directory::new(configured, AgentRoots::new(), store.clone(), Duration::from_secs(10));
        let peer = |not_after| Peer {
            address: ([127, 0, 0, 1], 1).into(),
            agent: Some("shop".to_owned()),
            fingerprint: Some("one".to_owned()),
            issuer: None,
            not_after,
            admin: None,
        };
        let said = async |not_after| match directory.identify(&peer(not_after)).await.unwrap() {
            Known::Agent { enrolled, .. } => format!("enrolled: {enrolled}"),
            Known::Nobody(why) => why,
        };
        let ended = Timestamp::from_secs(now().as_secs());
        assert_eq!(said(None).await, "enrolled: false");
        assert_eq!(said(Some(now().plus_secs(60))).await, "enrolled: false");
        assert!(said(Some(ended)).await.contains("agent shop ended at 20"));

        // One of the store's: what was read before it ended is not read again when it ends.
        store.create_agent("shop", "{\"profiles\":[]}", now()).await.unwrap();
        let row = AgentCertificate {
            fingerprint: "one".to_owned(),
            agent: "shop".to_owned(),
            issued_at: now(),
            not_after: now().plus_secs(1),
            revoked_at: None,
        };
        store.invite("shop", Terms::Kept, "code", now(), now().plus_secs(60)).await.unwrap();
        store.use_invitation("code", now()).await.unwrap().unwrap();
        store.insert_agent_certificate(&row, Grant::Invitation("code")).await.unwrap();
        directory.refresh().await.unwrap();
        assert_eq!(said(None).await, "enrolled: true");
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        assert!(said(None).await.contains("ended at 20"));
    }

    #[tokio::test]
    async fn who_was_revoked_comes_back_by_a_certificate_of_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let configured = BTreeMap::from([("shop".to_owned(), Agent { name: "shop".to_owned(), ..Agent::default() })]);
        let roots = AgentRoots::new();
        let directory = Directory::new(configured, roots, store.clone(), Duration::from_secs(10));
        let elsewhere = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            agent: Some("shop".to_owned()),
            fingerprint: Some("of another authority".to_owned()),
            issuer: None,
            not_after: None,
            admin: None,
        };
        let enrolled = Peer { fingerprint: Some("ours".to_owned()), ..elsewhere.clone() };
        let comes = async |peer: &Peer| {
            directory.refresh().await.unwrap();
            matches!(directory.identify(peer).await.unwrap(), Known::Agent { .. })
        };
        assert!(comes(&elsewhere).await);
        store.revoke_agent("shop", now()).await.unwrap();
        assert!(!comes(&elsewhere).await);
        store.invite("shop", Terms::Configured, "code", now(), now().plus_secs(60)).await.unwrap();
        assert!(!comes(&elsewhere).await, "the one for which it was revoked");
        store.use_invitation("code", now()).await.unwrap().unwrap();
        let row = AgentCertificate {
            fingerprint: "ours".to_owned(),
            agent: "shop".to_owned(),
            issued_at: now(),
            not_after: now().plus_secs(60),
            revoked_at: None,
        };
        store.insert_agent_certificate(&row, Grant::Invitation("code")).await.unwrap();
        assert!(comes(&enrolled).await);
        assert!(!comes(&elsewhere).await);
        // Taken out of the configuration, deleted, and in it again as somebody else: nothing of before lets anybody in.
        store.delete_agent("shop", now()).await.unwrap();
        assert!(!comes(&elsewhere).await, "the certificate outlives the agent");
        assert!(!comes(&enrolled).await);
        store.create_agent("shop", "{\"profiles\":[]}", now()).await.unwrap();
        assert!(!comes(&elsewhere).await);
    }

    #[test]
    fn an_authority_of_ours_has_no_other_beneath_it() {
        let authority = |name: &str, below| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params
        };
        let agent = |issuer: &Issuer<'_, KeyPair>| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.subject_alt_names = vec![SanType::URI("urn:edgeseal:agent:shop".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
        };
        let made = |params| CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (ours, theirs) = (made(authority("ours", 0)), made(authority("theirs", 1)));
        let beneath = |root: &Issuer<'_, KeyPair>| {
            CertifiedIssuer::signed_by(authority("beneath", 0), KeyPair::generate().unwrap(), root).unwrap()
        };
        let mut configured = RootCertStore::empty();
        configured.add(theirs.der().clone()).unwrap();
        let at = UnixTime::since_unix_epoch(SystemTime::UNIX_EPOCH.elapsed().unwrap());
        for with_configured in [true, false] {
            let roots = AgentRoots::new();
            roots.configure(if with_configured { configured.clone() } else { RootCertStore::empty() });
            let knows =
                |leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]| roots.verify_client_cert(leaf, chain, at).is_ok();
            assert!(!knows(&agent(&ours), &[]), "before it is there");
            roots.replace(&[ours.der().clone()]);
            assert!(knows(&agent(&ours), &[]));
            let below = beneath(&ours);
            assert!(!knows(&agent(&below), &[below.der().clone()]));
            let below = beneath(&theirs);
            assert_eq!(knows(&agent(&below), &[below.der().clone()]), with_configured, "as its owners like");
            assert!(!knows(&agent(&made(authority("a third", 0))), &[]));
        }
    }
}
