//! What must survive a restart, on `SQLite` or PostgreSQL: keys, audit, leases, approvals. One [`Store`] over two drivers;
//! every method is one transaction, and the same statements run on both.

mod agents;
mod approvals;
mod audit;
mod database;
mod idempotency;
mod keys;
mod leases;
mod people;
mod profiles;
mod revocations;
mod sessions;

use std::{fmt, path::PathBuf};

use zeroize::Zeroizing;

use self::database::Database;
pub use self::{
    agents::{AgentCertificate, AgentRow, Authority, Grant, Terms},
    approvals::{Approval, Decision},
    idempotency::Repeatable,
    keys::Guard,
    leases::Fence,
    people::{PasskeyRow, PersonCode, Registration, UserRow},
    profiles::ProfileRow,
    revocations::{Acknowledgement, EdgeRow, NextDocument},
    sessions::{Ceremony, SessionRow},
};

/// The memory of the signer. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    database: Database,
}

/// Where the store is.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// A file (`store.path`), for one signer.
    Sqlite(PathBuf),
    /// PostgreSQL (`store.url`), for several signers on one HSM.
    Postgres(PostgresSettings),
}

impl fmt::Display for StoreSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "{}", path.display()),
            Self::Postgres(settings) => formatter.write_str(settings.shown()),
        }
    }
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user@host:port/database?sslmode=…`, without a password.
    pub url: String,
    /// The user's password.
    pub password: Option<Zeroizing<String>>,
}

impl PostgresSettings {
    /// Whether somebody wrote the password into the URL, where logs and process lists would show it.
    pub(crate) fn names_a_password(&self) -> bool {
        let authority = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        user.contains(':')
            || self.url.split_once('?').is_some_and(|(_, query)| query.split('&').any(|one| one.starts_with("password=")))
    }
}

impl PostgresSettings {
    fn shown(&self) -> &str {
        if self.names_a_password() { "(a URL with a password)" } else { &self.url }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresSettings").field("url", &self.shown()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store and brings its tables up to date. A file is made, with mode 0600, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, reached or written.
    pub async fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let database = match settings {
            StoreSettings::Sqlite(path) => Database::sqlite(path).await?,
            StoreSettings::Postgres(settings) => Database::postgres(settings).await?,
        };
        Ok(Self { database })
    }

    /// Ends its connections; what is under way is finished first.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached or written.
    Unavailable(String),
    /// The settings cannot work.
    Misconfigured(String),
    /// Somebody else was faster; look again.
    Conflict(String),
    /// It is there already.
    Exists(String),
    /// It holds what no version of this program wrote.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(formatter, "the store cannot be used: {reason}"),
            Self::Misconfigured(reason) | Self::Exists(reason) => formatter.write_str(reason),
            Self::Conflict(what) => {
                write!(formatter, "somebody else changed the same thing at the same time; look again ({what})")
            }
            Self::Corrupt(reason) => write!(formatter, "the store holds what cannot be: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}
