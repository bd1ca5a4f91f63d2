//! Sessions of the console and the WebAuthn ceremonies under way. Both are known by hashes of secrets that only the other
//! end has.

use edgeseal_core::Timestamp;

use super::{
    Store, StoreError,
    database::{Row, Statement, Transaction},
};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The hash of the cookie.
    pub id: String,
    /// What it is called in lists; it opens nothing.
    pub reference: String,
    /// Whose it is.
    pub person: String,
    /// `passkey` or `recovery`.
    pub via: String,
    /// Where it began.
    pub address: String,
    /// What the browser calls itself.
    pub user_agent: String,
    /// When the person logged in; a session that takes the place of another keeps its begin.
    pub created_at: Timestamp,
    /// When it was used last.
    pub seen_at: Timestamp,
    /// When a passkey was shown last.
    pub proved_at: Option<Timestamp>,
}

/// A WebAuthn ceremony that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceremony {
    /// The hash of its name.
    pub id: String,
    /// `register`, `login` or `reauth`.
    pub kind: String,
    /// Whose it is, where that is known.
    pub person: Option<String>,
    /// The hash of the code that allows it.
    pub code: Option<String>,
    /// What else its end needs to know, as JSON.
    pub detail: String,
    /// What the answer is checked against, as base64url.
    pub state: String,
    /// Its end.
    pub expires_at: Timestamp,
}

const SESSIONS: &str = "SELECT id, reference, person, via, address, user_agent, created_at, seen_at, proved_at FROM sessions";

impl Store {
    /// The session of a cookie, by its hash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        let select = Statement::new(sqlx::AssertSqlSafe(format!("{SESSIONS} WHERE id = $1"))).bind(id);
        self.database.rows(select).await?.first().map(session).transpose()
    }

    /// Sessions used after `idle_since` that began after `begun_since`: a person's, or everybody's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn sessions(
        &self,
        person: Option<&str>,
        idle_since: Timestamp,
        begun_since: Timestamp,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let select = Statement::new(sqlx::AssertSqlSafe(format!(
            "{SESSIONS} WHERE seen_at > $1 AND created_at > $2 ORDER BY seen_at DESC, reference"
        )));
        let rows = self.database.rows(select.bind(idle_since).bind(begun_since)).await?;
        let sessions: Result<Vec<SessionRow>, StoreError> = rows.iter().map(session).collect();
        Ok(sessions?.into_iter().filter(|session| person.is_none_or(|person| session.person == person)).collect())
    }

    /// Begins a session after a passkey was shown; `ends` is the one that it takes the place of.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the person was disabled, or the session of before has ended.
    pub async fn begin_session(&self, row: &SessionRow, ends: Option<&str>) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let login = Statement::new("UPDATE users SET last_login_at = $2 WHERE name = $1 AND disabled_at IS NULL");
        if transaction.execute(login.bind(row.person.as_str()).bind(row.seen_at)).await? != 1 {
            return Err(StoreError::Conflict(format!("user {} is disabled", row.person)));
        }
        if let Some(ends) = ends
            && transaction.execute(Statement::new("DELETE FROM sessions WHERE id = $1").bind(ends)).await? != 1
        {
            return Err(StoreError::Conflict("the session has ended".to_owned()));
        }
        insert_session(&mut transaction, row).await?;
        transaction.commit().await
    }

    /// Notes that a session is in use.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn session_seen(&self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2");
        self.database.execute(update.bind(id).bind(at)).await.map(drop)
    }

    /// Ends a person's sessions: the one of this reference, or all. Gives how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn end_sessions(&self, person: &str, reference: Option<&str>) -> Result<u64, StoreError> {
        let delete = match reference {
            Some(reference) => {
                Statement::new("DELETE FROM sessions WHERE person = $1 AND reference = $2").bind(person).bind(reference)
            }
            None => Statement::new("DELETE FROM sessions WHERE person = $1").bind(person),
        };
        self.database.execute(delete).await
    }

    /// Forgets sessions and ceremonies that are over.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_sessions(&self, at: Timestamp, idle_since: Timestamp, begun_since: Timestamp) -> Result<(), StoreError> {
        let sessions = Statement::new("DELETE FROM sessions WHERE seen_at <= $1 OR created_at <= $2");
        self.database.execute(sessions.bind(idle_since).bind(begun_since)).await?;
        self.database.execute(Statement::new("DELETE FROM ceremonies WHERE expires_at <= $1").bind(at)).await.map(drop)
    }

    /// Writes a ceremony that begins.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn begin_ceremony(&self, ceremony: &Ceremony) -> Result<(), StoreError> {
        let Ceremony { id, kind, person, code, detail, state, expires_at } = ceremony;
        let insert = Statement::new(
            "INSERT INTO ceremonies (id, kind, person, code, detail, state, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        );
        let insert = insert.bind(id.as_str()).bind(kind.as_str()).bind(person.clone()).bind(code.clone());
        let insert = insert.bind(detail.as_str()).bind(state.as_str()).bind(*expires_at);
        self.database.execute(insert).await.map(drop)
    }

    /// Takes a ceremony away to end it: whoever comes second finds none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn take_ceremony(&self, id: &str, kind: &str, at: Timestamp) -> Result<Option<Ceremony>, StoreError> {
        let delete = Statement::new(
            "DELETE FROM ceremonies WHERE id = $1 AND kind = $2 AND expires_at > $3 \
             RETURNING id, kind, person, code, detail, state, expires_at",
        );
        let rows = self.database.rows(delete.bind(id).bind(kind).bind(at)).await?;
        let read = |row: &Row| {
            Ok(Ceremony {
                id: row.text("id")?,
                kind: row.text("kind")?,
                person: row.optional_text("person")?,
                code: row.optional_text("code")?,
                detail: row.text("detail")?,
                state: row.text("state")?,
                expires_at: row.moment("expires_at")?,
            })
        };
        rows.first().map(read).transpose()
    }
}

pub(super) async fn insert_session(transaction: &mut Transaction, row: &SessionRow) -> Result<(), StoreError> {
    let SessionRow { id, reference, person, via, address, user_agent, created_at, seen_at, proved_at } = row;
    let insert = Statement::new(
        "INSERT INTO sessions (id, reference, person, via, address, user_agent, created_at, seen_at, proved_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    let insert = insert.bind(id.as_str()).bind(reference.as_str()).bind(person.as_str()).bind(via.as_str());
    let insert = insert.bind(address.as_str()).bind(user_agent.as_str()).bind(*created_at).bind(*seen_at).bind(*proved_at);
    transaction.execute(insert).await.map(drop)
}

fn session(row: &Row) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: row.text("id")?,
        reference: row.text("reference")?,
        person: row.text("person")?,
        via: row.text("via")?,
        address: row.text("address")?,
        user_agent: row.text("user_agent")?,
        created_at: row.moment("created_at")?,
        seen_at: row.moment("seen_at")?,
        proved_at: row.optional_moment("proved_at")?,
    })
}
