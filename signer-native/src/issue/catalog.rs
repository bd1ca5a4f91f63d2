//! The profiles that there are: those of the configuration, and those of the store, which may come and change while the signer
//! runs. A name that the configuration has is the configuration's.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use edgeseal_core::Timestamp;
use tokio::sync::Mutex;

use super::{Issuer, Profile, ProfileSettings, Surroundings};
use crate::{
    keys::Slot,
    store::{ProfileRow, Store, StoreError},
};

/// The profiles that there are.
pub struct Catalog {
    configured: BTreeMap<String, ProfileSettings>,
    surroundings: Surroundings,
    store: Store,
    version: Mutex<Option<u64>>,
    current: RwLock<Arc<BTreeMap<String, Known>>>,
}

/// A profile, and where it stands.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its settings.
    pub settings: ProfileSettings,
    /// What they come to.
    pub profile: Profile,
    /// What keys it needs.
    pub slot: Slot,
    /// Whether it stands in the configuration, where alone it can be changed.
    pub configured: bool,
    /// Since when nothing is signed for it any more.
    pub retired_at: Option<Timestamp>,
}

impl Catalog {
    /// The profiles of a configuration and of this store; the store is not read yet.
    pub fn new(configured: BTreeMap<String, ProfileSettings>, surroundings: Surroundings, store: Store) -> Self {
        let known = Self::known(&configured, &surroundings, Vec::new());
        Self { configured, surroundings, store, version: Mutex::default(), current: RwLock::new(Arc::new(known)) }
    }

    /// What profiles stand in.
    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// All profiles by name.
    pub fn profiles(&self) -> Arc<BTreeMap<String, Known>> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the store, if it changed, and has the issuer and its registry go by what it says.
    ///
    /// # Errors
    /// When the store cannot be read, or its keys cannot be made to remember the longest lifetimes; then nothing has changed.
    pub async fn refresh(&self, issuer: &Issuer) -> Result<(), StoreError> {
        let mut version = self.version.lock().await;
        let latest = self.store.profiles_version().await?;
        if *version == Some(latest) {
            return Ok(());
        }
        let known = Self::known(&self.configured, &self.surroundings, self.store.profiles().await?);
        // One that is retired has no slot, and no token is of it.
        let (in_use, retired): (BTreeMap<&String, &Known>, BTreeMap<_, _>) =
            known.iter().partition(|(_, known)| known.retired_at.is_none());
        let slots = in_use.values().map(|known| known.slot.clone()).collect();
        let others = known.iter().filter(|(_, known)| !known.slot.issuer.is_empty());
        let others =
            others.filter_map(|(name, known)| Some((name.clone(), self.surroundings.issuers.get(&known.slot.issuer)?.clone())));
        let others = others.collect();
        let profiles = in_use.iter().map(|(name, known)| ((*name).clone(), Arc::new(known.profile.clone()))).collect();
        // Before the first longer token: a key that did not remember would leave the JWK Set before it.
        let longest = known.iter().map(|(name, known)| (name.as_str(), known.profile.max_lifetime.as_secs())).collect();
        issuer.registry().allow_lifetimes(&longest).await?;
        issuer.registry().ledger().replace_slots(slots, retired.into_keys().cloned().collect());
        issuer.replace_profiles(profiles, others);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        *version = Some(latest);
        Ok(())
    }

    /// What a configuration and a store come to: what cannot be meant is logged and left out.
    pub fn known(
        configured: &BTreeMap<String, ProfileSettings>,
        surroundings: &Surroundings,
        rows: Vec<ProfileRow>,
    ) -> BTreeMap<String, Known> {
        let of_store = rows.into_iter().filter(|row| !configured.contains_key(&row.name)).filter_map(|row| {
            let read = serde_json::from_str(&row.settings).map_err(|error| error.to_string());
            match read {
                Ok(settings) => Some((row.name, settings, false, row.retired_at)),
                Err(error) => {
                    tracing::error!(profile = row.name, error, "a profile of the store cannot be read");
                    None
                }
            }
        });
        let of_file = configured.iter().map(|(name, settings)| (name.clone(), settings.clone(), true, None));
        let all = of_file.chain(of_store).filter_map(|(name, settings, configured, retired_at)| {
            let made = settings.profile(&name).and_then(|profile| Ok((profile, settings.slot(&name, surroundings)?)));
            match made {
                Ok((profile, slot)) => Some((name, Known { settings, profile, slot, configured, retired_at })),
                // The configuration it stands in may have changed since it was written: then it is not used.
                Err(invalid) => {
                    tracing::error!(
                        profile = name,
                        field = invalid.field,
                        invalid.sentence,
                        "a profile of the store cannot be meant"
                    );
                    None
                }
            }
        });
        all.collect()
    }
}

/// What keys the profiles of a configuration and of a store need.
///
/// # Errors
/// When the store cannot be read.
pub async fn slots(
    configured: &BTreeMap<String, ProfileSettings>,
    surroundings: &Surroundings,
    store: &Store,
) -> Result<Vec<Slot>, StoreError> {
    let known = Catalog::known(configured, surroundings, store.profiles().await?);
    Ok(known.into_values().filter(|known| known.retired_at.is_none()).map(|known| known.slot).collect())
}
