//! The sections `agents` and `enrolment`: who may ask, and how they come in.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Settings, check_name};
use crate::{
    agents::Policy,
    error::{Failure, Invalid},
    issue::{Agent, Lifetime, Profile},
};

/// How long certificates of agents may last: long enough to be renewed in time, short enough to be worth little when stolen.
const LEAST_CERTIFICATE: Lifetime = Lifetime(60);
const MOST_CERTIFICATE: Lifetime = Lifetime(90 * 86_400);

/// How agents get certificates of the signer's own authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentConfig {
    /// How long a certificate lasts.
    pub lifetime: Duration,
    /// The agents' listeners of all signers, as agents reach them.
    pub signers: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgent {
    profiles: Vec<String>,
    #[serde(default)]
    audiences: Option<Vec<String>>,
    #[serde(default)]
    max_lifetime: Option<Lifetime>,
    #[serde(default)]
    required_claims: Vec<String>,
    #[serde(default)]
    forbidden_claims: Vec<String>,
    #[serde(default)]
    rate: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEnrolment {
    lifetime: Option<Lifetime>,
    signers: Vec<String>,
}

impl Settings {
    /// Agents by name.
    ///
    /// # Errors
    /// When one cannot be meant.
    pub fn agents(&self, profiles: &BTreeMap<String, Profile>) -> Result<BTreeMap<String, Agent>, Failure> {
        let agent = |(name, raw): (&String, &RawAgent)| {
            check_name("agents", name)?;
            if let Some(unknown) = raw.profiles.iter().find(|profile| !profiles.contains_key(*profile)) {
                return Err(Failure::configuration(format!(
                    "agents.{name}.profiles names {unknown:?}, and there is no profiles.{unknown}"
                )));
            }
            let agent = Agent {
                name: name.clone(),
                profiles: raw.profiles.clone(),
                audiences: raw.audiences.clone(),
                max_lifetime: raw.max_lifetime,
                required_claims: raw.required_claims.clone(),
                forbidden_claims: raw.forbidden_claims.clone(),
                rate: raw.rate,
            };
            // What the API refuses cannot be meant here either.
            Policy::of(&agent)
                .check(|profile| profiles.contains_key(profile))
                .map_err(|Invalid { field, sentence }| Failure::configuration(format!("agents.{name}.{field} {sentence}")))?;
            Ok((name.clone(), agent))
        };
        self.raw.agents.iter().map(agent).collect()
    }

    pub(super) fn enrolment(&self) -> Result<EnrolmentConfig, Failure> {
        let RawEnrolment { lifetime, signers } = &self.raw.enrolment;
        let lifetime = lifetime.unwrap_or(Lifetime(86_400));
        if !(LEAST_CERTIFICATE..=MOST_CERTIFICATE).contains(&lifetime) {
            return Err(Failure::configuration(format!(
                "enrolment.lifetime is {lifetime}; it takes {LEAST_CERTIFICATE} to {MOST_CERTIFICATE}"
            )));
        }
        Ok(EnrolmentConfig { lifetime: Duration::from_secs(lifetime.as_secs()), signers: signers.clone() })
    }
}
