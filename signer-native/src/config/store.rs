//! The sections `store` and `audit`: what is kept, and where.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Settings, secrets::STORE_PASSWORD};
use crate::{
    error::Failure,
    issue::Lifetime,
    store::{PostgresSettings, StoreSettings},
};

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// How long a request waits for its row; then nothing is signed.
    pub deadline: Duration,
    /// How often a checkpoint is made, if there are new rows.
    pub checkpoint_interval: Duration,
    /// The file of the key that claim values are hidden by; `None` shows them.
    pub hmac_key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    path: Option<PathBuf>,
    url: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAudit {
    deadline: Option<Lifetime>,
    checkpoint_interval: Option<Lifetime>,
    claims: AuditClaims,
    hmac_key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuditClaims {
    #[default]
    Hmac,
    Plain,
}

impl Settings {
    /// The store.
    ///
    /// # Errors
    /// When neither a file nor a database is given, or both.
    pub fn store(&self) -> Result<StoreSettings, Failure> {
        let RawStore { path, url, password_file } = &self.raw.store;
        match (path, url) {
            (Some(_), Some(_)) => Err(Failure::configuration("store.path and store.url are both set; keep one")),
            (_, None) => self
                .file(
                    "store.path",
                    path.as_ref(),
                    "the file of the registry of keys, such as /var/lib/edgeseal/edgeseal.db, or store.url a PostgreSQL database",
                )
                .map(StoreSettings::Sqlite),
            (None, Some(url)) if !url.starts_with("postgres://") && !url.starts_with("postgresql://") => Err(
                Failure::configuration("store.url does not begin with postgres://; for a file of SQLite set store.path instead"),
            ),
            (None, Some(url)) => {
                let password = self.secret("store.password_file", password_file.as_ref(), STORE_PASSWORD)?;
                let password = password.map(|(password, _)| password);
                Ok(StoreSettings::Postgres(PostgresSettings { url: url.clone(), password }))
            }
        }
    }

    /// The audit log.
    ///
    /// # Errors
    /// When one is out of bounds, or nobody says where the key of the HMACs is.
    pub fn audit(&self) -> Result<AuditConfig, Failure> {
        let RawAudit { deadline, checkpoint_interval, claims, hmac_key_file } = &self.raw.audit;
        let span = |setting: &str, value: Option<Lifetime>, default: u64, most: u64| {
            let seconds = value.map_or(default, Lifetime::as_secs);
            if (1..=most).contains(&seconds) {
                return Ok(Duration::from_secs(seconds));
            }
            Err(Failure::configuration(format!("audit.{setting} is {seconds}s; it takes 1s to {most}s")))
        };
        let hmac_key_file = match (claims, hmac_key_file, &self.raw.store.path) {
            (AuditClaims::Plain, ..) => None,
            (AuditClaims::Hmac, Some(path), _) => Some(self.base.join(path)),
            (AuditClaims::Hmac, None, Some(store)) => Some(self.base.join(store).with_extension("audit-key")),
            (AuditClaims::Hmac, None, None) => {
                return Err(self.missing(
                    "audit.hmac_key_file",
                    "the file of 32 random bytes that claim values in the audit log are hidden by, the same for all signers of one store (it is made if it is not there), or set audit.claims = \"plain\"",
                ));
            }
        };
        Ok(AuditConfig {
            deadline: span("deadline", *deadline, 2, 30)?,
            checkpoint_interval: span("checkpoint_interval", *checkpoint_interval, 60, 86_400)?,
            hmac_key_file,
        })
    }
}
