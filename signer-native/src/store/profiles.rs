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
        let rows = self.database.rows(Statement::new("SELECT name, settings FROM profiles ORDER BY name")).await?;
        rows.iter().map(|row| Ok(ProfileRow { name: row.text("name")?, settings: row.text("settings")? })).collect()
    }

    /// Writes a new profile.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of this name.
    pub async fn create_profile(&self, row: &ProfileRow, at: Timestamp) -> Result<(), StoreError> {
        let ProfileRow { name, settings } = row;
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
        let ProfileRow { name, settings } = row;
        let update = Statement::new("UPDATE profiles SET settings = $2, changed_at = $3 WHERE name = $1");
        let update = update.bind(name.as_str()).bind(settings.as_str()).bind(at);
        self.write_profile(update, &format!("profile {name} is gone")).await
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
