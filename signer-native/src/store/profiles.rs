//! Profiles that were created while a signer ran.

use edgeseal_core::Timestamp;

use super::{
    Store, StoreError,
    database::{Statement, Transaction},
};

/// A profile of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// Its name.
    pub name: String,
    /// Its settings, as JSON.
    pub settings: String,
    /// Since when nothing is signed for it any more.
    pub retired_at: Option<Timestamp>,
}

impl Store {
    /// A number that rises with every change to profiles.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn profiles_version(&self) -> Result<u64, StoreError> {
        let rows = self.database.rows(Statement::new("SELECT number FROM versions WHERE name = 'profiles'")).await?;
        rows.first().map_or(Ok(0), |row| row.number("number"))
    }

    /// All profiles of the store, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn profiles(&self) -> Result<Vec<ProfileRow>, StoreError> {
        let rows = self.database.rows(Statement::new("SELECT name, settings, retired_at FROM profiles ORDER BY name")).await?;
        rows.iter()
            .map(|row| {
                Ok(ProfileRow {
                    name: row.text("name")?,
                    settings: row.text("settings")?,
                    retired_at: row.optional_moment("retired_at")?,
                })
            })
            .collect()
    }

    /// Writes a new profile.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of this name.
    pub async fn create_profile(&self, row: &ProfileRow, at: Timestamp) -> Result<(), StoreError> {
        let ProfileRow { name, settings, retired_at: _ } = row;
        let insert = Statement::new(
            "INSERT INTO profiles (name, settings, created_at, changed_at) VALUES ($1, $2, $3, $3) ON CONFLICT (name) DO NOTHING",
        );
        let insert = insert.bind(name.as_str()).bind(settings.as_str()).bind(at);
        self.write_profile(insert, &format!("a profile {name} is there already")).await
    }

    /// Changes a profile.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is none of this name.
    pub async fn edit_profile(&self, row: &ProfileRow, at: Timestamp) -> Result<(), StoreError> {
        let ProfileRow { name, settings, retired_at: _ } = row;
        let update = Statement::new("UPDATE profiles SET settings = $2, changed_at = $3 WHERE name = $1 AND retired_at IS NULL");
        let update = update.bind(name.as_str()).bind(settings.as_str()).bind(at);
        self.write_profile(update, &format!("profile {name} is gone, or retired")).await
    }

    /// Nothing is signed for a profile from now on, or it is signed for again where `at` is none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is none of this name, or it is so already.
    pub async fn retire_profile(&self, name: &str, at: Option<Timestamp>) -> Result<(), StoreError> {
        let update = match at {
            Some(at) => {
                let update = Statement::new("UPDATE profiles SET retired_at = $2 WHERE name = $1 AND retired_at IS NULL");
                update.bind(name).bind(at)
            }
            None => Statement::new("UPDATE profiles SET retired_at = NULL WHERE name = $1 AND retired_at IS NOT NULL").bind(name),
        };
        let state = if at.is_some() { "retired" } else { "in use" };
        self.write_profile(update, &format!("profile {name} is gone, or {state} already")).await
    }

    /// Deletes a profile that was retired before this moment, and whose keys are no more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is none such.
    pub async fn delete_profile(&self, name: &str, retired_before: Timestamp) -> Result<(), StoreError> {
        let delete = Statement::new(
            "DELETE FROM profiles WHERE name = $1 AND retired_at <= $2 AND NOT EXISTS \
             (SELECT 1 FROM keys WHERE profile = $1 AND purpose = 'token' AND destroyed_at IS NULL \
             AND NOT (state = 'failed' AND origin = 'imported'))",
        );
        let delete = delete.bind(name).bind(retired_before);
        self.write_profile(delete, &format!("profile {name} is gone, or came into use, or has a key again")).await
    }

    async fn write_profile(&self, statement: Statement, conflict: &str) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        if transaction.execute(statement).await? != 1 {
            return Err(StoreError::Conflict(conflict.to_owned()));
        }
        changed(&mut transaction).await?;
        transaction.commit().await
    }
}

async fn changed(transaction: &mut Transaction) -> Result<(), StoreError> {
    transaction.execute(Statement::new("UPDATE versions SET number = number + 1 WHERE name = 'profiles'")).await.map(drop)
}
