//! The rows of keys. A change is written only if the key is still in the state that it starts from.

use edgeseal_core::{Algorithm, Timestamp};
use sqlx::AssertSqlSafe;

use super::{
    Decision, Fence, Store, StoreError, approvals,
    database::{Row, Statement, Transaction},
    leases, revocations,
};
use crate::{
    hsm::KeyId,
    keys::{Change, Key, Origin, Published, Purpose, State},
    revocation::Entry,
};

/// All keys, the oldest first.
const KEYS: &str = "SELECT cka_id, purpose, issuer, profile, agent, algorithm, rsa_bits, origin, state, created_at, published_at, \
                    activated_at, suspended_at, demoted_at, retired_at, destroy_at, destroyed_at, compromised_at, not_after, \
                    max_lifetime, kid, jwk, label FROM keys ORDER BY created_at, cka_id";

/// What else must be true, and stay true until the change is written.
#[derive(Clone, Debug, Default)]
pub enum Guard {
    /// Nothing.
    #[default]
    None,
    /// The writer is still the leader.
    Fence(Fence),
    /// A proposal is open, and this other person approves it now.
    Approval {
        /// The proposal.
        id: String,
        /// Who approves it.
        approver: String,
        /// When.
        at: Timestamp,
    },
}

impl Guard {
    async fn check(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        match self {
            Self::None => Ok(()),
            Self::Fence(fence) => leases::check(transaction, fence).await,
            Self::Approval { id, approver, at } => approvals::decide(transaction, id, Decision::Approved, approver, *at).await,
        }
    }
}

impl Store {
    /// All keys, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<Key>, StoreError> {
        self.database.rows(Statement::new(KEYS)).await?.iter().map(key).collect()
    }

    /// Writes the row of a new key, before the HSM is asked for it.
    ///
    /// # Errors
    /// When the store cannot be written, or the guard does not hold; [`StoreError::Exists`] when there is one of this `CKA_ID`.
    pub async fn insert_key(&self, key: &Key, guard: &Guard) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        guard.check(&mut transaction).await?;
        // An import that did not succeed left its row, and the pair: it may be tried again.
        let failed = Statement::new("DELETE FROM keys WHERE cka_id = $1 AND state = $2 AND origin = $3");
        let failed = failed.bind(key.id.to_string()).bind(State::Failed.as_str()).bind(Origin::Imported.stored());
        transaction.execute(failed).await?;
        let known = Statement::new("SELECT 1 AS one FROM keys WHERE cka_id = $1").bind(key.id.to_string());
        if !transaction.rows(known).await?.is_empty() {
            return Err(StoreError::Exists(format!(
                "the key with CKA_ID {} is known already; edgeseal keys list --all shows it",
                key.id
            )));
        }
        let statement = Statement::new(
            "INSERT INTO keys (cka_id, purpose, issuer, profile, agent, algorithm, rsa_bits, origin, state, created_at, not_after, \
             max_lifetime, label) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        );
        let statement = statement
            .bind(key.id.to_string())
            .bind(key.purpose.as_str())
            .bind(key.issuer.as_str())
            .bind(key.profile.as_str())
            .bind(key.agent.clone())
            .bind(key.algorithm.name())
            .bind(u64::from(key.rsa_bits))
            .bind(key.origin.stored())
            .bind(key.state.as_str())
            .bind(key.created_at)
            .bind(key.not_after)
            .bind(key.max_lifetime)
            .bind(key.label.clone());
        transaction.execute(statement).await?;
        transaction.commit().await
    }

    /// Writes transitions, all or none, in this order: each only if its key is still in the state it starts from.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed one of the keys, or the guard does not hold.
    pub async fn apply(&self, changes: &[Change], guard: &Guard) -> Result<(), StoreError> {
        self.apply_and_revoke(changes, guard, None).await
    }

    /// The same, and puts a key on the revocation list with it.
    ///
    /// # Errors
    /// Those of [`Store::apply`].
    pub async fn apply_and_revoke(&self, changes: &[Change], guard: &Guard, revoked: Option<&Entry>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        guard.check(&mut transaction).await?;
        for change in changes {
            write(&mut transaction, change).await?;
        }
        if let Some(revoked) = revoked {
            revocations::insert(&mut transaction, revoked).await?;
        }
        transaction.commit().await
    }

    /// Writes generating -> published together with what was generated, if it `fits` beside all keys that there are then. Whether it
    /// did is the answer.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the key is not generating any more, or another has its `kid`.
    pub async fn publish(
        &self,
        change: &Change,
        published: &Published,
        origin: Origin,
        fits: impl FnOnce(&[Key]) -> bool + Send,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        // First, since it locks the version: nobody else publishes a key meanwhile.
        let lock = "INSERT INTO versions (name, number) VALUES ('keys', 1) ON CONFLICT (name) DO UPDATE SET number = versions.number + 1";
        transaction.execute(Statement::new(lock)).await?;
        let keys = transaction.rows(Statement::new(KEYS)).await?;
        if !fits(&keys.iter().map(key).collect::<Result<Vec<_>, _>>()?) {
            transaction.rollback().await?;
            return Ok(false);
        }
        write(&mut transaction, change).await?;
        let Published { kid, jwk } = published;
        let statement = Statement::new("UPDATE keys SET kid = $2, jwk = $3, origin = $4 WHERE cka_id = $1");
        let statement = statement.bind(change.id.to_string()).bind(kid.as_str()).bind(jwk.as_str()).bind(origin.stored());
        transaction.execute(statement).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Raises the longest lifetime ever allowed on this key's tokens to at least `seconds`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn allow_lifetime(&self, id: KeyId, seconds: u64) -> Result<(), StoreError> {
        let statement = Statement::new("UPDATE keys SET max_lifetime = $2 WHERE cka_id = $1 AND max_lifetime < $2");
        self.database.execute(statement.bind(id.to_string()).bind(seconds)).await.map(drop)
    }
}

async fn write(transaction: &mut Transaction, change: &Change) -> Result<(), StoreError> {
    let Change { id, from, to, set } = change;
    let mut sql = "UPDATE keys SET state = $1".to_owned();
    for (place, (mark, _)) in set.iter().enumerate() {
        // Names of columns from a closed list, and placeholders.
        sql.extend([", ", mark.as_str(), " = $", &(place + 4).to_string()]);
    }
    sql.push_str(" WHERE cka_id = $2 AND state = $3");
    let statement = Statement::new(AssertSqlSafe(sql)).bind(to.as_str()).bind(id.to_string()).bind(from.as_str());
    let statement = set.iter().fold(statement, |statement, (_, at)| statement.bind(*at));
    let done = transaction.execute(statement).await?;
    if done == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("the key with CKA_ID {id} is not {from} any more"))) }
}

fn key(row: &Row) -> Result<Key, StoreError> {
    let named = |column: &str, value: &str| StoreError::Corrupt(format!("{column} is {value:?}"));
    let (id, algorithm, state) = (row.text("cka_id")?, row.text("algorithm")?, row.text("state")?);
    let (purpose, origin) = (row.text("purpose")?, row.text("origin")?);
    let published = match (row.optional_text("kid")?, row.optional_text("jwk")?) {
        (Some(kid), Some(jwk)) => Some(Published { kid, jwk }),
        _ => None,
    };
    Ok(Key {
        id: KeyId::from_hex(&id).ok_or_else(|| named("cka_id", &id))?,
        purpose: Purpose::from_name(&purpose).ok_or_else(|| named("purpose", &purpose))?,
        issuer: row.text("issuer")?,
        profile: row.text("profile")?,
        agent: row.optional_text("agent")?,
        label: row.optional_text("label")?,
        algorithm: Algorithm::from_name(&algorithm).ok_or_else(|| named("algorithm", &algorithm))?,
        rsa_bits: u16::try_from(row.number("rsa_bits")?).map_err(|error| StoreError::Corrupt(format!("rsa_bits: {error}")))?,
        origin: Origin::from_stored(&origin).ok_or_else(|| named("origin", &origin))?,
        state: State::from_name(&state).ok_or_else(|| named("state", &state))?,
        created_at: row.moment("created_at")?,
        published_at: row.optional_moment("published_at")?,
        activated_at: row.optional_moment("activated_at")?,
        suspended_at: row.optional_moment("suspended_at")?,
        demoted_at: row.optional_moment("demoted_at")?,
        retired_at: row.optional_moment("retired_at")?,
        destroy_at: row.optional_moment("destroy_at")?,
        destroyed_at: row.optional_moment("destroyed_at")?,
        compromised_at: row.optional_moment("compromised_at")?,
        not_after: row.optional_moment("not_after")?,
        max_lifetime: row.number("max_lifetime")?,
        published,
    })
}
