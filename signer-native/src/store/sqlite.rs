//! `SQLite`, embedded: write-ahead log, every commit on the disk before it is believed.

use std::{path::Path, time::Duration};

use edgeseal_core::{Algorithm, Timestamp};
use sqlx::{
    AssertSqlSafe, Row, SqlSafeStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{Store, StoreError, StoreFuture};
use crate::{
    hsm::KeyId,
    keys::{Change, Key, Published, State},
};

/// The store in one file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, or makes it with mode 0600, and brings its tables up to date.
    ///
    /// # Errors
    /// When the file cannot be made, opened or written.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await
            .map_err(unavailable)?;
        let keys = include_str!("migrations/0001_keys.sql").into_sql_str();
        Migrator::with_migrations(vec![Migration::new(1, "keys".into(), MigrationType::Simple, keys, false)])
            .run(&pool)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { pool })
    }
}

impl Store for SqliteStore {
    fn keys(&self) -> StoreFuture<'_, Vec<Key>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT cka_id, profile, algorithm, rsa_bits, state, created_at, published_at, activated_at, demoted_at, retired_at, \
                 max_lifetime, kid, jwk FROM keys ORDER BY created_at, cka_id",
            )
            .fetch_all(&self.pool)
            .await
            .map_err(unavailable)?;
            rows.iter().map(key).collect()
        })
    }

    fn insert(&self, key: Key) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO keys (cka_id, profile, algorithm, rsa_bits, state, created_at, max_lifetime) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(key.id.to_string())
            .bind(key.profile)
            .bind(key.algorithm.name())
            .bind(i64::from(key.rsa_bits))
            .bind(key.state.as_str())
            .bind(millis(key.created_at))
            .bind(integer(key.max_lifetime))
            .execute(&self.pool)
            .await
            .map_err(unavailable)?;
            Ok(())
        })
    }

    fn apply(&self, changes: Vec<Change>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
            for Change { id, from, to, at } in changes {
                let moment = match to {
                    State::Active => "activated_at",
                    State::Retiring => "demoted_at",
                    State::Retired | State::Failed => "retired_at",
                    State::Generating | State::Published => return Err(StoreError::Corrupt(format!("no change leads to {to}"))),
                };
                // `moment` is one of the three names above.
                let statement = format!("UPDATE keys SET state = ?, {moment} = ? WHERE cka_id = ? AND state = ?");
                let done = sqlx::query(AssertSqlSafe(statement))
                    .bind(to.as_str())
                    .bind(millis(at))
                    .bind(id.to_string())
                    .bind(from.as_str())
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                if done.rows_affected() != 1 {
                    return Err(StoreError::Conflict(id));
                }
            }
            transaction.commit().await.map_err(unavailable)
        })
    }

    fn publish(&self, change: Change, published: Published) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let Change { id, from, to, at } = change;
            let done =
                sqlx::query("UPDATE keys SET state = ?, published_at = ?, kid = ?, jwk = ? WHERE cka_id = ? AND state = ?")
                    .bind(to.as_str())
                    .bind(millis(at))
                    .bind(published.kid)
                    .bind(published.jwk)
                    .bind(id.to_string())
                    .bind(from.as_str())
                    .execute(&self.pool)
                    .await
                    .map_err(unavailable)?;
            if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Conflict(id)) }
        })
    }

    fn allow_lifetime(&self, id: KeyId, seconds: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            sqlx::query("UPDATE keys SET max_lifetime = max(max_lifetime, ?) WHERE cka_id = ?")
                .bind(integer(seconds))
                .bind(id.to_string())
                .execute(&self.pool)
                .await
                .map_err(unavailable)?;
            Ok(())
        })
    }
}

fn key(row: &SqliteRow) -> Result<Key, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(|error| corrupt(&error));
    let optional = |column: &str| row.try_get::<Option<String>, _>(column).map_err(|error| corrupt(&error));
    let number = |column: &str| {
        let value: i64 = row.try_get(column).map_err(|error| corrupt(&error))?;
        u64::try_from(value).map_err(|_| StoreError::Corrupt(format!("{column} is {value}")))
    };
    let moment = |column: &str| {
        let value: Option<i64> = row.try_get(column).map_err(|error| corrupt(&error))?;
        Ok(value.and_then(|value| u64::try_from(value).ok()).map(Timestamp::from_millis))
    };
    let named = |column: &str, value: &str| StoreError::Corrupt(format!("{column} is {value:?}"));
    let (id, algorithm, state) = (text("cka_id")?, text("algorithm")?, text("state")?);
    let published = match (optional("kid")?, optional("jwk")?) {
        (Some(kid), Some(jwk)) => Some(Published { kid, jwk }),
        _ => None,
    };
    Ok(Key {
        id: KeyId::from_hex(&id).ok_or_else(|| named("cka_id", &id))?,
        profile: text("profile")?,
        algorithm: Algorithm::from_name(&algorithm).ok_or_else(|| named("algorithm", &algorithm))?,
        rsa_bits: u16::try_from(number("rsa_bits")?).map_err(|error| StoreError::Corrupt(format!("rsa_bits: {error}")))?,
        state: State::from_name(&state).ok_or_else(|| named("state", &state))?,
        created_at: Timestamp::from_millis(number("created_at")?),
        published_at: moment("published_at")?,
        activated_at: moment("activated_at")?,
        demoted_at: moment("demoted_at")?,
        retired_at: moment("retired_at")?,
        max_lifetime: number("max_lifetime")?,
        published,
    })
}

fn millis(at: Timestamp) -> i64 {
    integer(at.as_millis())
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn corrupt(error: &sqlx::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// An empty file that only its owner may read, unless the file is there.
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map(drop).map_err(|error| {
        StoreError::Unavailable(format!(
            "{}: {error}; its folder must exist and this user must be allowed to write there",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, slice::from_ref};

    use super::*;

    fn key(number: u8, profile: &str) -> Key {
        Key {
            id: KeyId::from_hex(&format!("{number:032x}")).unwrap(),
            profile: profile.to_owned(),
            algorithm: Algorithm::Ps384,
            rsa_bits: 3_072,
            state: State::Generating,
            created_at: Timestamp::from_millis(1_750_000_000_123 + u64::from(number)),
            published_at: None,
            activated_at: None,
            demoted_at: None,
            retired_at: None,
            max_lifetime: 600,
            published: None,
        }
    }

    fn change(key: &Key, from: State, to: State) -> Change {
        Change { id: key.id, from, to, at: Timestamp::from_millis(1_760_000_000_456) }
    }

    async fn published(store: &SqliteStore, key: &Key) {
        let published = Published { kid: format!("kid-{}", key.id), jwk: "{}".to_owned() };
        store.insert(key.clone()).await.unwrap();
        store.publish(change(key, State::Generating, State::Published), published).await.unwrap();
    }

    #[tokio::test]
    async fn rows_survive_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let written = key(1, "default");
        let store = SqliteStore::open(&path).await.unwrap();
        store.insert(written.clone()).await.unwrap();
        assert_eq!(store.keys().await.unwrap(), from_ref(&written));
        drop(store);
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.keys().await.unwrap(), from_ref(&written));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn changes_are_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
        let (old, new) = (key(1, "default"), key(2, "default"));
        published(&store, &old).await;
        published(&store, &new).await;
        store.apply(vec![change(&old, State::Published, State::Active)]).await.unwrap();
        // The second change does not hold, so neither is written.
        let refused =
            store.apply(vec![change(&old, State::Active, State::Retiring), change(&new, State::Active, State::Retired)]).await;
        assert_eq!(refused, Err(StoreError::Conflict(new.id)));
        let states: Vec<State> = store.keys().await.unwrap().iter().map(|key| key.state).collect();
        assert_eq!(states, [State::Active, State::Published]);
        store
            .apply(vec![change(&old, State::Active, State::Retiring), change(&new, State::Published, State::Active)])
            .await
            .unwrap();
        let keys = store.keys().await.unwrap();
        assert_eq!(keys[0].demoted_at, Some(Timestamp::from_millis(1_760_000_000_456)));
        assert_eq!(keys[1].kid(), Some(format!("kid-{}", new.id).as_str()));
    }

    #[tokio::test]
    async fn one_active_key_per_profile() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
        let (one, two, other) = (key(1, "default"), key(2, "default"), key(3, "rs256"));
        for key in [&one, &two, &other] {
            published(&store, key).await;
        }
        store.apply(vec![change(&one, State::Published, State::Active)]).await.unwrap();
        store.apply(vec![change(&other, State::Published, State::Active)]).await.unwrap();
        let refused = store.apply(vec![change(&two, State::Published, State::Active)]).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn the_longest_lifetime_only_grows() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store.db")).await.unwrap();
        let key = key(1, "default");
        store.insert(key.clone()).await.unwrap();
        for seconds in [3_600, 60] {
            store.allow_lifetime(key.id, seconds).await.unwrap();
            assert_eq!(store.keys().await.unwrap()[0].max_lifetime, 3_600);
        }
    }

    #[tokio::test]
    async fn a_missing_folder_is_one_sentence() {
        let refused = SqliteStore::open(Path::new("/nonexistent/store.db")).await.unwrap_err();
        assert!(refused.to_string().contains("/nonexistent/store.db"), "{refused}");
    }
}
