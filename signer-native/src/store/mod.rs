//! What must survive a restart: the registry of keys. One trait; `SQLite` behind it.

mod sqlite;

use std::{fmt, future::Future, pin::Pin};

pub use self::sqlite::SqliteStore;
use crate::{
    hsm::KeyId,
    keys::{Change, Key, Published},
};

/// The answer of a [`Store`], later.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The registry's memory. Every method is one transaction.
pub trait Store: Send + Sync + 'static {
    /// All keys, the oldest first.
    fn keys(&self) -> StoreFuture<'_, Vec<Key>>;

    /// Writes the row of a new key, before the HSM is asked for it.
    fn insert(&self, key: Key) -> StoreFuture<'_, ()>;

    /// Writes transitions, all or none: each only if its key is still in the state it starts from.
    fn apply(&self, changes: Vec<Change>) -> StoreFuture<'_, ()>;

    /// Writes generating -> published together with what was generated.
    fn publish(&self, change: Change, published: Published) -> StoreFuture<'_, ()>;

    /// Raises the longest lifetime ever allowed on this key's tokens to at least `seconds`.
    fn allow_lifetime(&self, id: KeyId, seconds: u64) -> StoreFuture<'_, ()>;
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be reached or written.
    Unavailable(String),
    /// Somebody else changed the key in between; look again.
    Conflict(KeyId),
    /// It holds what no version of this program wrote.
    Corrupt(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(reason) => write!(formatter, "the store cannot be used: {reason}"),
            Self::Conflict(id) => {
                write!(formatter, "the key with CKA_ID {id} was changed by somebody else at the same time; look again")
            }
            Self::Corrupt(reason) => write!(formatter, "the store holds what cannot be: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}
