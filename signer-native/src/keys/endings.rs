//! How profiles and agents of the store come to their end: what has to be so before, and what is said where it is not.
//!
//! A profile ends in two steps. Retired, nothing is signed for it, and its keys come to their end one by one, as long as tokens of
//! them live; when the last of them is destroyed, the profile can be deleted. Nothing forgets a key that the HSM still has.

use edgeseal_core::Timestamp;
use serde_json::Value;

use super::{
    Actor, Key, Ledger, Moment, Purpose, State,
    ledger::{RegistryError, until},
    now, rotation,
};
use crate::store::{ProfileRow, StoreError};

/// Keys, agents that are named where some are left; the rest is counted.
const NAMED: usize = 3;

impl Ledger {
    /// Nothing is signed for this profile of the store from now on. The signer that leads sees to its keys.
    ///
    /// # Errors
    /// When there is none such, or it is retired already.
    pub async fn retire_profile(&self, name: &str, actor: &Actor) -> Result<(), RegistryError> {
        if let Some(at) = self.profile(name).await?.retired_at {
            return Err(RegistryError::StillNeeded(format!("profile {name} is retired since {}", Moment(at))));
        }
        self.record(actor, "profiles.retire", name, "{}").await?;
        Ok(self.store.retire_profile(name, Some(now())).await?)
    }

    /// A retired profile is in use again, with new keys: those of before do not come back.
    ///
    /// # Errors
    /// When there is none such, or it is not retired.
    pub async fn reinstate_profile(&self, name: &str, actor: &Actor) -> Result<(), RegistryError> {
        if self.profile(name).await?.retired_at.is_none() {
            return Err(RegistryError::StillNeeded(format!("profile {name} is in use, not retired")));
        }
        self.record(actor, "profiles.reinstate", name, "{}").await?;
        Ok(self.store.retire_profile(name, None).await?)
    }

    /// Deletes a retired profile that nobody names and that has no key left.
    ///
    /// # Errors
    /// [`RegistryError::StillNeeded`] with what has to happen first.
    pub async fn delete_profile(&self, name: &str, actor: &Actor) -> Result<(), RegistryError> {
        let needed = |sentence: String| Err(RegistryError::StillNeeded(sentence));
        let Some(retired_at) = self.profile(name).await?.retired_at else {
            return needed(format!("profile {name} is in use; retire it first, so that its keys come to their end"));
        };
        let agents = self.agents_with(name).await?;
        if !agents.is_empty() {
            let agents = some_of(&agents, "agents");
            return needed(format!("profile {name} stands in the policy of {agents}; take it out there, or delete them, first"));
        }
        let keys = self.keys().await?;
        let left: Vec<String> = keys.iter().filter(|key| is_left(key, name)).map(|key| self.what_it_waits_for(key)).collect();
        if !left.is_empty() {
            return needed(format!("profile {name} has keys that are not destroyed: {}", some_of(&left, "keys")));
        }
        // A signer that has not heard of it yet could make a key meanwhile.
        let heard = self.timing().lease.saturating_mul(2);
        let earliest = retired_at.plus_secs(heard);
        if now() < earliest {
            return needed(format!(
                "not every signer may know yet that profile {name} is retired; they do at {}",
                Moment(earliest)
            ));
        }
        self.record(actor, "profiles.delete", name, "{}").await?;
        Ok(self.store.delete_profile(name, retired_at).await?)
    }

    /// Deletes an agent of the store and refuses its certificates for good, once verifiers believe no key of its own any more.
    ///
    /// # Errors
    /// [`RegistryError::StillNeeded`] with what has to happen first.
    pub async fn delete_agent(&self, name: &str, actor: &Actor) -> Result<(), RegistryError> {
        let keys = self.keys().await?;
        let own = keys.iter().filter(|key| key.agent.as_deref() == Some(name));
        let believed: Vec<String> = own
            .filter(|key| key.state.in_jwk_set() || key.state == State::Generating)
            .map(|key| {
                let end =
                    self.timing_of(key).earliest_retirement(&Key { demoted_at: key.demoted_at.or(Some(now())), ..key.clone() });
                format!("{} until {}", called(key), end.map(|end| Moment(end).to_string()).unwrap_or_default())
            })
            .collect();
        if !believed.is_empty() {
            let believed = some_of(&believed, "keys");
            return Err(RegistryError::StillNeeded(format!(
                "agent {name} has keys of its own that verifiers believe: {believed}. Revoke it, so that it gets nothing more, and delete it \
                 then; edgeseal keys compromise KID ends one at once"
            )));
        }
        self.record(actor, "agents.delete", name, "{}").await?;
        Ok(self.store.delete_agent(name, now()).await?)
    }

    async fn profile(&self, name: &str) -> Result<ProfileRow, RegistryError> {
        let found = self.store.profiles().await?.into_iter().find(|row| row.name == name);
        Ok(found.ok_or_else(|| StoreError::Conflict(format!("profile {name} is gone")))?)
    }

    /// The agents of the store whose policy names a profile, those that are revoked included: they can be let in again.
    async fn agents_with(&self, profile: &str) -> Result<Vec<String>, RegistryError> {
        let names = |policy: &String| {
            let policy: Value = serde_json::from_str(policy).unwrap_or_default();
            policy["profiles"].as_array().is_some_and(|profiles| profiles.iter().any(|one| one == profile))
        };
        let agents = self.store.agents().await?.into_iter();
        Ok(agents.filter(|row| row.policy.as_ref().is_some_and(names)).map(|row| row.name).collect())
    }

    /// What a key of a retired profile waits for.
    fn what_it_waits_for(&self, key: &Key) -> String {
        let at = |moment: Option<Timestamp>| moment.map(|at| format!(" at {}", Moment(at))).unwrap_or_default();
        let name = called(key);
        match key.state {
            State::Generating | State::Published | State::Active | State::Suspended => {
                format!("{name} ({}, which the signer ends within seconds)", key.state)
            }
            State::Failed => {
                let end = key.created_at.plus_secs(rotation::LATE);
                format!("{name} (failed; the signer removes what there is of it, and looks for more until {})", Moment(end))
            }
            State::Retiring => format!("{name} (retires{})", at(until(key, &self.timing_of(key)))),
            State::DestroyScheduled => format!("{name} (is destroyed{})", at(key.destroy_at)),
            State::Retired | State::Compromised | State::Destroyed => {
                format!("{name} ({}; two people have it destroyed: edgeseal keys schedule-destroy)", key.state)
            }
        }
    }
}

/// Whether the HSM may have something of a key of this profile. What failed to come in from elsewhere is its owner's.
fn is_left(key: &Key, profile: &str) -> bool {
    let foreign = key.state == State::Failed && key.origin == super::Origin::Imported;
    key.purpose == Purpose::Token && key.profile == profile && key.destroyed_at.is_none() && !foreign
}

fn called(key: &Key) -> String {
    key.kid().map_or_else(|| key.id.to_string(), ToOwned::to_owned)
}

fn some_of(all: &[String], what: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more == 0 { named } else { format!("{named} and {more} more {what}") }
}
