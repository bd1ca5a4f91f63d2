//! What the signer says about each profile, kept for a while: mode, schema, rules, the key of the `digest` mode.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::{Algorithm, Timestamp};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    build::DigestKey,
    signers::{Answer, Signers},
};
use crate::{
    config::check_name,
    http::problem::{Code, Problem},
    issue::{Agent, Lifetime, Mode, Profile, Schema},
};

/// How long a description is used without looking again: a new digest key waits longer than that before it signs.
const FRESH: Duration = Duration::from_secs(10);
/// Profiles that are kept.
const MAX_PROFILES: usize = 1_024;

/// A profile, as this agent may use it.
#[derive(Debug)]
pub struct Described {
    /// The rules.
    pub profile: Profile,
    /// Who this agent is, with what the signer asks of it.
    pub agent: Agent,
    /// The profile's issuer.
    pub issuer: String,
    /// The schema of the claims.
    pub schema: Option<Schema>,
    /// The key of the `digest` mode, where the profile has that.
    pub digest: Option<DigestKey>,
}

/// Profiles by name.
#[derive(Default)]
pub struct Profiles {
    known: Mutex<HashMap<String, (Instant, Arc<Described>)>>,
}

#[derive(Deserialize)]
struct Document {
    profile: String,
    agent: String,
    issuer: String,
    algorithm: Algorithm,
    typ: Option<String>,
    audiences: Vec<String>,
    default_lifetime: Lifetime,
    max_lifetime: Lifetime,
    modes: Vec<Mode>,
    required_claims: Vec<String>,
    forbidden_claims: Vec<String>,
    schema: Option<Value>,
    digest: Option<Digest>,
}

#[derive(Deserialize)]
struct Digest {
    issuer: String,
    kid: String,
    jwk: Value,
    not_after: u64,
}

impl Profiles {
    /// A profile's description, asked for when it is not fresh. A signer that does not answer leaves the old one in use.
    ///
    /// # Errors
    /// The signer's own refusal, as it gave it; or that none answers.
    pub async fn get(&self, signers: &Signers, name: &str) -> Result<Arc<Described>, Refused> {
        let known = self.lock().get(name).cloned();
        if let Some((at, described)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(described));
        }
        if check_name("profiles", name).is_err() {
            let detail = "profile is not a name: it has 1 to 64 characters out of a-z, 0-9, - _ .";
            return Err(Problem::new(Code::RequestMalformed, detail).into());
        }
        match signers.request(Method::GET, &format!("/v1/profiles/{name}"), None).await {
            Ok(Answer { status: StatusCode::OK, body, .. }) => {
                let described = Arc::new(describe(body).map_err(|why| {
                    Problem::new(
                        Code::SignerUnavailable,
                        format!("the signer's description of profile {name} cannot be used: {why}"),
                    )
                })?);
                let mut known = self.lock();
                if known.len() >= MAX_PROFILES {
                    known.clear();
                }
                known.insert(name.to_owned(), (Instant::now(), Arc::clone(&described)));
                Ok(described)
            }
            Ok(answer) if answer.status != StatusCode::SERVICE_UNAVAILABLE => Err(Refused::Signer(answer)),
            other => match (known, other) {
                (Some((_, described)), _) => Ok(described),
                (None, Ok(answer)) => Err(Refused::Signer(answer)),
                (None, Err(problem)) => Err(problem.into()),
            },
        }
    }

    /// Asks again next time.
    pub fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Everything that is known now.
    pub fn all(&self) -> Vec<Arc<Described>> {
        self.lock().values().map(|(_, described)| Arc::clone(described)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<Described>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no answer as it was asked for.
#[derive(Debug)]
pub enum Refused {
    /// The agent's own refusal.
    Agent(Problem),
    /// The signer's, passed on.
    Signer(Answer),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Agent(problem)
    }
}

fn describe(body: Value) -> Result<Described, String> {
    let document: Document = serde_json::from_value(body).map_err(|error| error.to_string())?;
    let Document { profile, agent, issuer, algorithm, typ, audiences, modes, schema, digest, .. } = document;
    let agent = Agent {
        name: agent,
        profiles: vec![profile.clone()],
        required_claims: document.required_claims,
        forbidden_claims: document.forbidden_claims,
        ..Agent::default()
    };
    let profile = Profile {
        name: profile,
        algorithm,
        rsa_bits: 0,
        default_lifetime: document.default_lifetime,
        max_lifetime: document.max_lifetime,
        audiences,
        typ,
        modes,
        max_session: None,
    };
    let digest = digest.map(|Digest { issuer, kid, jwk, not_after }| DigestKey {
        issuer,
        kid,
        jwk: jwk.to_string(),
        not_after: Timestamp::from_secs(not_after),
    });
    Ok(Described { profile, agent, issuer, schema: schema.map(Schema::new).transpose()?, digest })
}
