//! What the signer says about each profile, kept for a while: mode, schema, rules, the key of the `digest` mode.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::{Algorithm, Timestamp, header::Header, verify::is_reserved_type};
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

/// An issuer whose tokens this agent verifies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trusted {
    /// The profile that it was heard of with.
    pub profile: String,
    /// Whether it is the agent's own, which shows keys of the `digest` mode alone.
    pub is_own: bool,
    /// Its URL.
    pub issuer: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The `typ` of its tokens, where verifiers accept it by name alone.
    pub reserved_type: Option<String>,
}

/// What a token says of itself: only to know whom to ask about.
#[derive(Debug, Default)]
pub struct About {
    issuer: String,
    algorithm: String,
    reserved_type: Option<String>,
}

impl About {
    /// Its `typ`, if verifiers accept that by name alone.
    pub fn reserved_type(&self) -> Option<&str> {
        self.reserved_type.as_deref()
    }

    /// Of a token of this issuer.
    pub fn new(issuer: String, header: &Header) -> Self {
        Self { issuer, algorithm: header.algorithm().to_owned(), reserved_type: reserved(header.typ()) }
    }
}

/// Profiles by name.
#[derive(Default)]
pub struct Profiles {
    known: Mutex<HashMap<String, (Instant, Arc<Described>)>>,
    /// The issuers that the signer listed last.
    listed: Mutex<Vec<Trusted>>,
    /// When it was asked for them last. Held meanwhile: others wait for its answer.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Deserialize)]
struct Listed {
    profile: String,
    issuer: String,
    algorithm: Algorithm,
    #[serde(default)]
    typ: Option<String>,
    digest_issuer: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    profiles: Vec<Listed>,
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
                drop(known);
                // It is newer than the list.
                let reserved_type = reserved(described.profile.typ.as_deref());
                for listed in self.listed().iter_mut().filter(|listed| listed.profile == name) {
                    listed.reserved_type.clone_from(&reserved_type);
                }
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

    /// The issuers of all profiles that this agent may use, by the names of these. The signer is asked for them while the issuer,
    /// the `alg` and the kind of `token` are not known together, or where it has never been asked if there is no `token`; not
    /// again within 10 s. A signer that does not answer leaves those that are known.
    ///
    /// # Errors
    /// The signer's refusal, or that none answers, while no issuer is known.
    pub async fn issuers(&self, signers: &Signers, token: Option<&About>) -> Result<Vec<Trusted>, Refused> {
        let is_enough = |known: &[Trusted]| match token {
            Some(token) => known.iter().any(|known| {
                known.issuer == token.issuer
                    && known.algorithm.name() == token.algorithm
                    && known.reserved_type == token.reserved_type
            }),
            None => !self.listed().is_empty(),
        };
        let known = self.known_issuers();
        if is_enough(&known) {
            return Ok(known);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked meanwhile.
        let known = self.known_issuers();
        if is_enough(&known) || !known.is_empty() && asked.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(known);
        }
        let answer = signers.request(Method::GET, "/v1/profiles", None).await;
        *asked = Some(Instant::now());
        drop(asked);
        let refused = match answer {
            Ok(Answer { status: StatusCode::OK, body, .. }) => match serde_json::from_value::<Listing>(body) {
                Ok(Listing { profiles }) => {
                    let listed: Vec<Trusted> = profiles.into_iter().flat_map(Listed::issuers).collect();
                    // It is newer than the descriptions.
                    self.lock().retain(|name, (_, described)| {
                        let reserved_type = reserved(described.profile.typ.as_deref());
                        listed.iter().all(|listed| listed.profile != *name || listed.reserved_type == reserved_type)
                    });
                    *self.listed() = listed;
                    None
                }
                Err(error) => {
                    let detail = format!("the signer's list of profiles cannot be used: {error}");
                    Some(Problem::new(Code::SignerUnavailable, detail).into())
                }
            },
            Ok(answer) => Some(Refused::Signer(answer)),
            Err(problem) => Some(problem.into()),
        };
        let known = self.known_issuers();
        match refused {
            Some(refused) if known.is_empty() => Err(refused),
            None if known.is_empty() => {
                let detail = "this agent may use no profile, so there is no issuer whose tokens it verifies";
                Err(Problem::new(Code::PolicyDenied, detail).into())
            }
            _ => Ok(known),
        }
    }

    /// Those of profiles that were used, and those that were listed.
    fn known_issuers(&self) -> Vec<Trusted> {
        let mut known: Vec<Trusted> = self.lock().values().flat_map(|(_, described)| described.issuers()).collect();
        known.extend(self.listed().iter().cloned());
        known.sort_unstable();
        known.dedup();
        known
    }

    fn listed(&self) -> std::sync::MutexGuard<'_, Vec<Trusted>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<Described>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Described {
    fn issuers(&self) -> impl Iterator<Item = Trusted> {
        let Self { profile, issuer, digest, .. } = self;
        let digest_issuer = digest.as_ref().map(|digest| digest.issuer.clone());
        let Profile { name, algorithm, typ, .. } = profile;
        Listed { profile: name.clone(), issuer: issuer.clone(), algorithm: *algorithm, typ: typ.clone(), digest_issuer }.issuers()
    }
}

impl Listed {
    fn issuers(self) -> impl Iterator<Item = Trusted> {
        let Self { profile, issuer, algorithm, typ, digest_issuer } = self;
        let reserved_type = reserved(typ.as_deref());
        let one = move |(issuer, is_own)| Trusted {
            profile: profile.clone(),
            is_own,
            issuer,
            algorithm,
            reserved_type: reserved_type.clone(),
        };
        [Some((issuer, false)), digest_issuer.map(|own| (own, true))].into_iter().flatten().map(one)
    }
}

fn reserved(typ: Option<&str>) -> Option<String> {
    typ.filter(|typ| is_reserved_type(typ)).map(ToOwned::to_owned)
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
