//! People of the console, their passkeys and their one-time codes. What a code is worth is decided in the transaction that
//! uses it up.

use edgeseal_core::Timestamp;

use super::{
    SessionRow, Store, StoreError,
    database::{Row, Statement, Transaction},
    sessions::insert_session,
};

/// A person. Names are never given a second time: the audit and the rule of two people tell them apart by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// `administrator`, `operator` or `auditor`.
    pub role: String,
    /// The user handle of WebAuthn, 64 random octets as base64url.
    pub handle: String,
    /// When they were invited, or set the console up.
    pub created_at: Timestamp,
    /// Since when they may do nothing.
    pub disabled_at: Option<Timestamp>,
    /// When they logged in last.
    pub last_login_at: Option<Timestamp>,
}

/// A passkey: what the authenticator told when it was made, and at its last use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// The credential id, as base64url.
    pub id: String,
    /// Whose it is.
    pub person: String,
    /// What they call it.
    pub label: String,
    /// The transports, as a set of bits.
    pub transports: u64,
    /// The public key and what never changes, as base64url.
    pub public_key: String,
    /// The signature counter and what changes, as base64url.
    pub state: String,
    /// Whether it lives in more than one place.
    pub backed_up: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
}

/// A one-time code that is still good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonCode {
    /// `setup`, `invitation` or `reset`.
    pub kind: String,
    /// Whom it is for; nobody yet for `setup`.
    pub person: Option<String>,
    /// Its end.
    pub expires_at: Timestamp,
}

/// A passkey to be registered, and what happens with it.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The passkey.
    pub passkey: PasskeyRow,
    /// The hash of the code that allows it; `None` when a session does.
    pub code: Option<String>,
    /// The person to be made, with a `setup` code.
    pub user: Option<UserRow>,
    /// Hashes of recovery codes that replace those of before.
    pub recovery_codes: Vec<String>,
    /// The session that begins.
    pub session: SessionRow,
    /// The session that ends with it; the one that allows it, where no code does.
    pub ends: Option<String>,
}

const USERS: &str = "SELECT name, display_name, role, handle, created_at, disabled_at, last_login_at FROM users";
const PASSKEYS: &str =
    "SELECT id, person, label, transports, public_key, state, backed_up, created_at, last_used_at FROM passkeys";

impl Store {
    /// Everybody.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let rows = self.database.rows(Statement::new(sqlx::AssertSqlSafe(format!("{USERS} ORDER BY name")))).await?;
        rows.iter().map(user).collect()
    }

    /// One person.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError> {
        // PostgreSQL takes no NUL in a text, and nobody is called so.
        if name.contains('\0') {
            return Ok(None);
        }
        let select = Statement::new(sqlx::AssertSqlSafe(format!("{USERS} WHERE name = $1"))).bind(name);
        self.database.rows(select).await?.first().map(user).transpose()
    }

    /// The person with this user handle.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn user_by_handle(&self, handle: &str) -> Result<Option<UserRow>, StoreError> {
        let select = Statement::new(sqlx::AssertSqlSafe(format!("{USERS} WHERE handle = $1"))).bind(handle);
        self.database.rows(select).await?.first().map(user).transpose()
    }

    /// Writes a person who has no passkey yet, and the code that lets them register one.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name was given before.
    pub async fn invite_user(&self, row: &UserRow, code: &str, expires_at: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        insert_user(&mut transaction, row, Some(row.created_at)).await?;
        insert_code(&mut transaction, code, "invitation", Some(&row.name), expires_at).await?;
        transaction.commit().await
    }

    /// Writes a code, which takes the place of those of the same kind for the same person.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn insert_person_code(
        &self,
        code: &str,
        kind: &str,
        person: Option<&str>,
        at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        transaction.execute(Statement::new("DELETE FROM person_codes WHERE expires_at <= $1").bind(at)).await?;
        let earlier = match person {
            Some(person) => Statement::new("DELETE FROM person_codes WHERE person = $1 AND used_at IS NULL").bind(person),
            None => Statement::new("DELETE FROM person_codes WHERE person IS NULL AND used_at IS NULL"),
        };
        transaction.execute(earlier).await?;
        insert_code(&mut transaction, code, kind, person, expires_at).await?;
        transaction.commit().await
    }

    /// What a code is for, if it is good. Looking does not use it up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn person_code(&self, code: &str, at: Timestamp) -> Result<Option<PersonCode>, StoreError> {
        let select = Statement::new(
            "SELECT kind, person, expires_at FROM person_codes WHERE code = $1 AND used_at IS NULL AND expires_at > $2",
        );
        let rows = self.database.rows(select.bind(code).bind(at)).await?;
        let read = |row: &Row| {
            Ok(PersonCode {
                kind: row.text("kind")?,
                person: row.optional_text("person")?,
                expires_at: row.moment("expires_at")?,
            })
        };
        rows.first().map(read).transpose()
    }

    /// People for whom a code is open.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn people_with_codes(&self, at: Timestamp) -> Result<Vec<String>, StoreError> {
        let select = Statement::new(
            "SELECT DISTINCT person FROM person_codes WHERE person IS NOT NULL AND used_at IS NULL AND expires_at > $1",
        );
        self.database.rows(select.bind(at)).await?.iter().map(|row| row.text("person")).collect()
    }

    /// Passkeys: a person's, or everybody's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn passkeys(&self, person: Option<&str>) -> Result<Vec<PasskeyRow>, StoreError> {
        let select = match person {
            Some(person) => {
                Statement::new(sqlx::AssertSqlSafe(format!("{PASSKEYS} WHERE person = $1 ORDER BY created_at, id"))).bind(person)
            }
            None => Statement::new(sqlx::AssertSqlSafe(format!("{PASSKEYS} ORDER BY created_at, id"))),
        };
        self.database.rows(select).await?.iter().map(passkey).collect()
    }

    /// One passkey.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn passkey(&self, id: &str) -> Result<Option<PasskeyRow>, StoreError> {
        let select = Statement::new(sqlx::AssertSqlSafe(format!("{PASSKEYS} WHERE id = $1"))).bind(id);
        self.database.rows(select).await?.first().map(passkey).transpose()
    }

    /// Registers a passkey: uses the code up, makes the person if the code says so, begins the session. All of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the code is not good any more, the session that allows it has ended, the name is taken, or the
    /// person was disabled.
    pub async fn register(&self, registration: &Registration) -> Result<(), StoreError> {
        let Registration { passkey, code, user, recovery_codes, session, ends } = registration;
        let (person, at) = (passkey.person.as_str(), passkey.created_at);
        let mut transaction = self.database.begin().await?;
        if let Some(code) = code {
            let used = Statement::new(
                "UPDATE person_codes SET used_at = $2 WHERE code = $1 AND used_at IS NULL AND expires_at > $2 \
                 AND (person = $3 OR person IS NULL)",
            );
            if transaction.execute(used.bind(code.as_str()).bind(at).bind(person)).await? != 1 {
                return Err(StoreError::Conflict("the code is not good any more".to_owned()));
            }
            if let Some(user) = user {
                // Whoever was the first has nobody's word. Later it is that of whoever made the code, as with an invitation.
                let before = Statement::new("SELECT name FROM users WHERE last_login_at IS NOT NULL LIMIT 1");
                let vouched_at = (!transaction.rows(before).await?.is_empty()).then_some(at);
                insert_user(&mut transaction, user, vouched_at).await?;
                // The first one through closes the door that the set-up was.
                transaction.execute(Statement::new("DELETE FROM person_codes WHERE kind = 'setup' AND used_at IS NULL")).await?;
            } else {
                // Whoever begins anew has lost what was before, or somebody has found it.
                for table in ["passkeys", "recovery_codes", "sessions"] {
                    let delete = Statement::new(sqlx::AssertSqlSafe(format!("DELETE FROM {table} WHERE person = $1")));
                    transaction.execute(delete.bind(person)).await?;
                }
                // Whoever made the code may be the one who uses it.
                let vouched = Statement::new("UPDATE users SET vouched_at = $2 WHERE name = $1");
                transaction.execute(vouched.bind(person).bind(at)).await?;
            }
        }
        let login = Statement::new("UPDATE users SET last_login_at = $2 WHERE name = $1 AND disabled_at IS NULL");
        if transaction.execute(login.bind(person).bind(at)).await? != 1 {
            return Err(StoreError::Conflict(format!("user {person} is disabled")));
        }
        insert_passkey(&mut transaction, passkey).await?;
        if !recovery_codes.is_empty() {
            replace_recovery_codes(&mut transaction, person, recovery_codes).await?;
        }
        if let Some(ends) = ends {
            let ended = transaction.execute(Statement::new("DELETE FROM sessions WHERE id = $1").bind(ends.as_str())).await?;
            // Where no code is used up, the session is: it allows one passkey, while it is there.
            if code.is_none() && ended != 1 {
                return Err(StoreError::Conflict("the session has ended".to_owned()));
            }
        }
        insert_session(&mut transaction, session).await?;
        transaction.commit().await
    }

    /// Writes what a passkey's use has changed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn passkey_used(&self, id: &str, state: &str, backed_up: bool, at: Timestamp) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE passkeys SET state = $2, backed_up = $3, last_used_at = $4 WHERE id = $1");
        self.database.execute(update.bind(id).bind(state).bind(u64::from(backed_up)).bind(at)).await.map(drop)
    }

    /// Removes a passkey, unless it is the person's last.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is, or is not theirs.
    pub async fn delete_passkey(&self, person: &str, id: &str) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        // One after the other, or two might each leave the one that the other takes.
        transaction.execute(Statement::new("UPDATE users SET name = name WHERE name = $1").bind(person)).await?;
        let delete = Statement::new(
            "DELETE FROM passkeys WHERE id = $2 AND person = $1 AND (SELECT COUNT(*) FROM passkeys WHERE person = $1) > 1",
        );
        if transaction.execute(delete.bind(person).bind(id)).await? != 1 {
            return Err(StoreError::Conflict("it is the last passkey, or nobody's of that name".to_owned()));
        }
        transaction.commit().await
    }

    /// How many recovery codes people have left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recovery_codes_left(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let select = "SELECT person, COUNT(*) AS number FROM recovery_codes WHERE used_at IS NULL GROUP BY person";
        let rows = self.database.rows(Statement::new(select)).await?;
        rows.iter().map(|row| Ok((row.text("person")?, row.number("number")?))).collect()
    }

    /// Recovery codes in place of those of before, by their hashes.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn set_recovery_codes(&self, person: &str, codes: &[String]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        replace_recovery_codes(&mut transaction, person, codes).await?;
        transaction.commit().await
    }

    /// Uses up a recovery code, and begins the session that it is good for.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is unknown, was used, or the person is disabled.
    pub async fn recover(&self, code: &str, session: &SessionRow) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        take_turn(&mut transaction).await?;
        let used = Statement::new(
            "UPDATE recovery_codes SET used_at = $3 WHERE code = $1 AND person = $2 AND used_at IS NULL \
             AND EXISTS (SELECT 1 FROM users WHERE name = $2 AND disabled_at IS NULL)",
        );
        if transaction.execute(used.bind(code).bind(session.person.as_str()).bind(session.created_at)).await? != 1 {
            return Err(StoreError::Conflict("the code is not good".to_owned()));
        }
        insert_session(&mut transaction, session).await?;
        transaction.commit().await
    }

    /// Gives a person another role, and ends their sessions.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when nobody who may do everything would be left.
    pub async fn set_role(&self, person: &str, role: &str, at: Timestamp) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE users SET role = $2, vouched_at = $3 WHERE name = $1").bind(person).bind(role);
        self.change_user(person, update.bind(at)).await
    }

    /// Disables a person: no session, no code and no certificate of that name is good any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when nobody who may do everything would be left.
    pub async fn disable_user(&self, person: &str, at: Timestamp) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE users SET disabled_at = $2 WHERE name = $1 AND disabled_at IS NULL");
        self.change_user(person, update.bind(person).bind(at)).await
    }

    /// Lets a disabled person back.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn enable_user(&self, person: &str, at: Timestamp) -> Result<(), StoreError> {
        let update = "UPDATE users SET disabled_at = NULL, vouched_at = $2 WHERE name = $1 AND disabled_at IS NOT NULL";
        self.database.execute(Statement::new(update).bind(person).bind(at)).await.map(drop)
    }

    /// Everybody who stands as they do on another's word, and since when.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn vouched(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let select = Statement::new("SELECT name, vouched_at FROM users WHERE vouched_at IS NOT NULL");
        let rows = self.database.rows(select).await?;
        rows.iter().map(|row| Ok((row.text("name")?, row.moment("vouched_at")?))).collect()
    }

    async fn change_user(&self, person: &str, update: Statement) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        // Two who take the role away from one another at the same time must not both find the other one still there.
        take_turn(&mut transaction).await?;
        let able = "UPDATE users SET name = name WHERE role = 'administrator' AND disabled_at IS NULL \
                    AND EXISTS (SELECT 1 FROM passkeys WHERE person = users.name)";
        let before = transaction.execute(Statement::new(able)).await?;
        transaction.execute(update).await?;
        transaction.execute(Statement::new("DELETE FROM sessions WHERE person = $1").bind(person)).await?;
        let disabled = "DELETE FROM person_codes WHERE person = $1 AND used_at IS NULL \
                        AND EXISTS (SELECT 1 FROM users WHERE name = $1 AND disabled_at IS NOT NULL)";
        transaction.execute(Statement::new(disabled).bind(person)).await?;
        if before > 0 && transaction.execute(Statement::new(able)).await? == 0 {
            return Err(StoreError::Conflict("no administrator who can log in would be left".to_owned()));
        }
        transaction.commit().await
    }
}

/// Whoever comes second waits, and then sees all that the first has done.
async fn take_turn(transaction: &mut Transaction) -> Result<(), StoreError> {
    transaction.execute(Statement::new("UPDATE versions SET number = number + 1 WHERE name = 'people'")).await.map(drop)
}

async fn insert_user(transaction: &mut Transaction, row: &UserRow, vouched_at: Option<Timestamp>) -> Result<(), StoreError> {
    let UserRow { name, display_name, role, handle, created_at, disabled_at: _, last_login_at: _ } = row;
    let insert = Statement::new(
        "INSERT INTO users (name, display_name, role, handle, created_at, vouched_at) VALUES ($1, $2, $3, $4, $5, $6)",
    );
    let insert = insert.bind(name.as_str()).bind(display_name.as_str()).bind(role.as_str()).bind(handle.as_str());
    transaction.execute(insert.bind(*created_at).bind(vouched_at)).await.map(drop)
}

async fn insert_code(
    transaction: &mut Transaction,
    code: &str,
    kind: &str,
    person: Option<&str>,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let insert = Statement::new("INSERT INTO person_codes (code, kind, person, expires_at) VALUES ($1, $2, $3, $4)");
    let insert = insert.bind(code).bind(kind).bind(person.map(str::to_owned)).bind(expires_at);
    transaction.execute(insert).await.map(drop)
}

async fn insert_passkey(transaction: &mut Transaction, row: &PasskeyRow) -> Result<(), StoreError> {
    let PasskeyRow { id, person, label, transports, public_key, state, backed_up, created_at, last_used_at: _ } = row;
    let insert = Statement::new(
        "INSERT INTO passkeys (id, person, label, transports, public_key, state, backed_up, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let insert = insert.bind(id.as_str()).bind(person.as_str()).bind(label.as_str()).bind(*transports);
    let insert = insert.bind(public_key.as_str()).bind(state.as_str()).bind(u64::from(*backed_up)).bind(*created_at);
    transaction.execute(insert).await.map(drop)
}

async fn replace_recovery_codes(transaction: &mut Transaction, person: &str, codes: &[String]) -> Result<(), StoreError> {
    transaction.execute(Statement::new("DELETE FROM recovery_codes WHERE person = $1").bind(person)).await?;
    for code in codes {
        let insert = Statement::new("INSERT INTO recovery_codes (code, person) VALUES ($1, $2)");
        transaction.execute(insert.bind(code.as_str()).bind(person)).await?;
    }
    Ok(())
}

fn user(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        name: row.text("name")?,
        display_name: row.text("display_name")?,
        role: row.text("role")?,
        handle: row.text("handle")?,
        created_at: row.moment("created_at")?,
        disabled_at: row.optional_moment("disabled_at")?,
        last_login_at: row.optional_moment("last_login_at")?,
    })
}

fn passkey(row: &Row) -> Result<PasskeyRow, StoreError> {
    Ok(PasskeyRow {
        id: row.text("id")?,
        person: row.text("person")?,
        label: row.text("label")?,
        transports: row.number("transports")?,
        public_key: row.text("public_key")?,
        state: row.text("state")?,
        backed_up: row.number("backed_up")? != 0,
        created_at: row.moment("created_at")?,
        last_used_at: row.optional_moment("last_used_at")?,
    })
}
