//! The section `profiles`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use edgeseal_core::Algorithm;
use serde::Deserialize;

use super::{Settings, check_name, one_line};
use crate::{
    error::{Failure, Invalid},
    issue::{Lifetime, Mode, Profile, ProfileSettings, Schema},
    keys::Slot,
};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProfile {
    algorithm: Algorithm,
    #[serde(default)]
    rsa_bits: Option<u16>,
    #[serde(default)]
    default_lifetime: Option<Lifetime>,
    #[serde(default)]
    max_lifetime: Option<Lifetime>,
    audiences: Vec<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default)]
    rotate_after: Option<Lifetime>,
    #[serde(default)]
    publish_ahead: Option<Lifetime>,
    #[serde(default)]
    modes: Option<Vec<Mode>>,
    #[serde(default)]
    max_session: Option<Lifetime>,
    #[serde(default)]
    schema: Option<PathBuf>,
}

impl Settings {
    /// The settings of the profiles by name, as they stand.
    pub fn profile_settings(&self) -> BTreeMap<String, ProfileSettings> {
        self.raw.profiles.iter().map(|(name, raw)| (name.clone(), raw.settings())).collect()
    }

    /// What keys are needed for: one slot a profile.
    ///
    /// # Errors
    /// When a profile cannot be meant.
    pub fn slots(&self) -> Result<Vec<Slot>, Failure> {
        let surroundings = self.surroundings()?;
        let slot = |(name, raw): (&String, &RawProfile)| {
            check_name("profiles", name)?;
            raw.settings().slot(name, &surroundings).map_err(|Invalid { field, sentence }| {
                let common = field == "rotate_after" && raw.rotate_after.is_none();
                let setting = if common { "rotation.after".to_owned() } else { format!("profiles.{name}.{field}") };
                Failure::configuration(format!("{setting} {sentence}"))
            })
        };
        self.raw.profiles.iter().map(slot).collect()
    }

    /// Profiles by name.
    ///
    /// # Errors
    /// When one cannot be meant.
    pub fn profiles(&self) -> Result<BTreeMap<String, Profile>, Failure> {
        self.raw.profiles.iter().map(|(name, raw)| Ok((name.clone(), profile(name, raw)?))).collect()
    }

    pub(super) fn schemas(&self) -> Result<BTreeMap<String, Arc<Schema>>, Failure> {
        let schema = |(name, path): (&String, &PathBuf)| {
            let path = self.base.join(path);
            let unusable = |why: &dyn std::fmt::Display| {
                let path = path.display();
                Failure::configuration(format!(
                    "profiles.{name}.schema {path} cannot be used: {why}; it takes a JSON Schema that refers to no other document"
                ))
            };
            let text = std::fs::read(&path).map_err(|error| unusable(&error))?;
            let document = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
            Ok((name.clone(), Arc::new(Schema::new(document).map_err(|why| unusable(&one_line(&why)))?)))
        };
        let profiles = self.raw.profiles.iter();
        profiles.filter_map(|(name, raw)| raw.schema.as_ref().map(|path| (name, path))).map(schema).collect()
    }
}

fn profile(name: &str, raw: &RawProfile) -> Result<Profile, Failure> {
    check_name("profiles", name)?;
    raw.settings()
        .profile(name)
        .map_err(|Invalid { field, sentence }| Failure::configuration(format!("profiles.{name}.{field} {sentence}")))
}

impl RawProfile {
    /// What may stand in the store as well.
    fn settings(&self) -> ProfileSettings {
        ProfileSettings {
            algorithm: self.algorithm,
            rsa_bits: self.rsa_bits,
            default_lifetime: self.default_lifetime,
            max_lifetime: self.max_lifetime,
            audiences: self.audiences.clone(),
            typ: self.typ.clone(),
            issuer: self.issuer.clone(),
            rotate_after: self.rotate_after,
            publish_ahead: self.publish_ahead,
            modes: self.modes.clone(),
            max_session: self.max_session,
        }
    }
}
