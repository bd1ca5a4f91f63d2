//! The signer's listeners: the public one, the agents' and the administrators', where mutual TLS is mandatory.

pub mod access;
pub mod admin;
pub mod agents;
pub mod console;
pub mod door;
pub mod enroll;
pub(crate) mod exchange;
pub mod input;
pub mod listener;
pub mod openapi;
pub mod pages;
pub mod person;
pub mod problem;
pub mod public;
pub mod revocations;
pub mod tls;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::{
    activity::Activity,
    agents::{Authorities, Directory},
    audit::{Keeper, Log},
    config::ListenConfig,
    console::{Console, Tries},
    hsm::{BreakerState, StoreDescription},
    issue::{Catalog, Issuer, rate::Limiter},
    metrics::Metrics,
    revocation::Courier,
    traces::Traces,
};

/// What the listeners share.
pub struct Service {
    /// Issues tokens.
    pub issuer: Issuer,
    /// URLs of issuers by name; the top-level one has none.
    pub issuers: std::collections::BTreeMap<String, String>,
    /// Who the agents are.
    pub agents: Directory,
    /// Who issues their certificates.
    pub authorities: Authorities,
    /// How often one-time codes may be tried.
    pub enrolments: Limiter,
    /// Certificates that agents may renew.
    pub renewals: Tries,
    /// How fast each agent may begin what can be repeated.
    pub repetitions: Limiter,
    /// What enrolled agents are told: the agents' listeners of all signers.
    pub signers: Vec<String>,
    /// What enrolled agents are told: the authority of the agents' listener, where its chain shows one.
    pub agents_listener: ListenConfig,
    /// People at the console, where there is an administrators' listener.
    pub console: Option<Arc<Console>>,
    /// How the signer feels.
    pub health: Health,
    /// What happens is written here.
    pub audit: Log,
    /// And counted here.
    pub metrics: Metrics,
    /// The profiles of the configuration and of the store.
    pub profiles: Catalog,
    /// What newcomers are told of this signer.
    pub newcomers: Newcomers,
    /// Signs checkpoints of the audit log.
    pub keeper: Keeper,
    /// What was done lately.
    pub activity: Activity,
    /// What the HSM is.
    pub hsm: StoreDescription,
    /// Spans of requests go here.
    pub traces: Traces,
    /// Who tells the edges of revocations.
    pub courier: Arc<Courier>,
}

impl Service {
    /// Why tokens are not issued now, if they are not.
    pub fn not_ready(&self) -> Option<String> {
        let registry = self.issuer.registry();
        let held_back = registry.hsm_stats().breaker != BreakerState::Closed;
        held_back
            .then(|| "the HSM does not answer; calls to it are held back".to_owned())
            .or_else(|| self.health.not_ready())
            .or_else(|| {
                let stale = registry.snapshot().is_expired(self.issuer.lease());
                stale.then(|| "the registry of keys could not be read lately".to_owned())
            })
    }
}

/// What newcomers are told of this signer.
#[derive(Clone, Debug)]
pub struct Newcomers {
    /// The public listener, as agents reach it.
    pub url: String,
    /// The PEM file of its certificate chain, by which they know it.
    pub certificate: PathBuf,
}

/// The outcome of the latest canary signature.
#[derive(Debug, Default)]
pub struct Health {
    canary: RwLock<Canary>,
}

#[derive(Clone, Debug, Default)]
struct Canary {
    succeeded_at: Option<Instant>,
    failure: Option<String>,
    /// Active keys whose last test signature failed while the HSM answered.
    failing: BTreeSet<String>,
}

/// A canary older than this proves nothing about now.
pub const CANARY_FRESH: Duration = Duration::from_secs(30);

impl Health {
    /// A canary was signed by this key, and verified.
    pub fn canary_succeeded(&self, kid: &str) {
        let mut canary = self.canary.write().unwrap_or_else(PoisonError::into_inner);
        canary.succeeded_at = Some(Instant::now());
        canary.failure = None;
        canary.failing.remove(kid);
    }

    /// A canary was not signed.
    pub fn canary_failed(&self, reason: &str) {
        self.canary.write().unwrap_or_else(PoisonError::into_inner).failure = Some(reason.to_owned());
    }

    /// This key signed no canary, though the HSM answers: others may.
    pub fn key_failed(&self, kid: &str) {
        self.canary.write().unwrap_or_else(PoisonError::into_inner).failing.insert(kid.to_owned());
    }

    /// Of keys that are not active any more nothing is asked.
    pub fn only<'a>(&self, active: impl Iterator<Item = &'a str>) {
        let active: BTreeSet<&str> = active.collect();
        self.canary.write().unwrap_or_else(PoisonError::into_inner).failing.retain(|kid| active.contains(kid.as_str()));
    }

    /// How many active keys cannot sign, though the HSM answers.
    pub fn keys_failing(&self) -> usize {
        self.canary.read().unwrap_or_else(PoisonError::into_inner).failing.len()
    }

    /// How long ago a canary was signed.
    pub fn canary_age(&self) -> Option<Duration> {
        let canary = self.canary.read().unwrap_or_else(PoisonError::into_inner);
        canary.succeeded_at.map(|at| at.elapsed())
    }

    /// Why the signer is not ready, if it is not.
    pub fn not_ready(&self) -> Option<String> {
        let Canary { succeeded_at, failure, .. } = self.canary.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(failure) = failure {
            return Some(failure);
        }
        match succeeded_at {
            Some(at) if at.elapsed() <= CANARY_FRESH => None,
            Some(at) => Some(format!("the last test signature was {} s ago", at.elapsed().as_secs())),
            None => Some("no test signature has been made yet".to_owned()),
        }
    }
}

/// The service as handlers get it.
pub type Shared = Arc<Service>;
