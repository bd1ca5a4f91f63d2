//! What is revoked, and what each edge was told of it and has acknowledged.

use edgeseal_core::Timestamp;

use super::{
    Fence, Store, StoreError,
    database::{Row, Statement, Transaction},
    leases,
};
use crate::revocation::{Entry, Kind};

/// What an edge was told, and what it said to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRow {
    /// Its name: `aud` of its documents.
    pub name: String,
    /// The last sequence that was taken for it.
    pub seq: u64,
    /// The sequence of its document; 0 while there is none.
    pub document_seq: u64,
    /// The version of the list in it.
    pub version: u64,
    /// The control key that signed it; `None` while there is none.
    pub kid: Option<String>,
    /// The document.
    pub document: Option<String>,
    /// When it was signed.
    pub signed_at: Timestamp,
    /// The version of the list that the edge has stored.
    pub acknowledged_version: u64,
    /// The sequence under which it did.
    pub acknowledged_seq: u64,
    /// When it said so.
    pub acknowledged_at: Option<Timestamp>,
    /// When each of its isolates that can read the list has read it.
    pub reread_by: Option<Timestamp>,
    /// When each of its isolates is bound; `None` where the edge promises no such time.
    pub bound_by: Option<Timestamp>,
    /// Pushes that failed since the last that did not.
    pub attempts: u64,
    /// When the next one may be made.
    pub next_attempt_at: Timestamp,
    /// Why the last one failed.
    pub trouble: Option<String>,
}

/// What a document is to say: its number is taken and is nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextDocument {
    /// Its sequence.
    pub seq: u64,
    /// The version of the list.
    pub version: u64,
    /// The list.
    pub entries: Vec<Entry>,
}

/// What an edge answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The version of the list that it has now.
    pub version: u64,
    /// The sequence that it stored.
    pub seq: u64,
    /// When it answered.
    pub at: Timestamp,
    /// See [`EdgeRow::reread_by`].
    pub reread_by: Option<Timestamp>,
    /// See [`EdgeRow::bound_by`].
    pub bound_by: Option<Timestamp>,
}

/// The columns of an entry, from the rows that `rest` chooses.
macro_rules! entries {
    ($rest:literal) => {
        concat!("SELECT kind, issuer, value, before_at, until, created_at, actor FROM revocations ", $rest)
    };
}

impl Store {
    /// Revokes something; of what is revoked already the later end holds. `false` when the list would not fit then, and nothing
    /// was done.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn revoke(&self, new: &Entry, fits: impl FnOnce(&[Entry]) -> bool) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        // First, since it locks the version: nobody else adds anything meanwhile.
        insert(&mut transaction, new).await?;
        let listed = transaction.rows(Statement::new(entries!("WHERE until > $1")).bind(new.created_at)).await?;
        let listed = listed.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        if !fits(&listed) {
            return Ok(false);
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// What is revoked and not ended, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revocations(&self, now: Timestamp) -> Result<Vec<Entry>, StoreError> {
        let select = Statement::new(entries!("WHERE until > $1 ORDER BY created_at DESC, kind, issuer, value"));
        self.database.rows(select.bind(now)).await?.iter().map(entry).collect()
    }

    /// What is revoked of one token: by its key, by its `jti`, or by its `sub`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revocations_of(&self, issuer: &str, kid: &str, jti: &str, sub: &str) -> Result<Vec<Entry>, StoreError> {
        // PostgreSQL takes no NUL in a text, and no entry holds one.
        let [kid, jti, sub] = [kid, jti, sub].map(|text| if text.contains('\0') { "" } else { text });
        // A key may be listed for whatever issuer.
        let select = Statement::new(entries!(
            "WHERE (issuer = $1 AND ((kind = 'jti' AND value = $2) OR (kind = 'sub' AND value = $3))) \
             OR (kind = 'kid' AND value = $4 AND issuer IN ('', $1))"
        ));
        self.database.rows(select.bind(issuer).bind(jti).bind(sub).bind(kid)).await?.iter().map(entry).collect()
    }

    /// A number that rises with every revocation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revocations_version(&self) -> Result<u64, StoreError> {
        let rows = self.database.rows(Statement::new(VERSION)).await?;
        rows.first().map_or(Ok(0), |row| row.number("number"))
    }

    /// What all edges were told.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn edges(&self) -> Result<Vec<EdgeRow>, StoreError> {
        let rows = self.database.rows(Statement::new(
            "SELECT name, seq, document_seq, version, kid, document, signed_at, acknowledged_version, acknowledged_seq, acknowledged_at, \
             reread_by, bound_by, attempts, next_attempt_at, trouble FROM edges ORDER BY name",
        ));
        rows.await?.iter().map(edge).collect()
    }

    /// Takes the next sequence of an edge, and the list as it is from then on: whoever takes a higher one sees no less. It is the
    /// second of now at least, so that a store that was restored from a backup goes on beyond what the edge knows.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease is another's by now.
    pub async fn next_document(&self, name: &str, fence: &Fence, now: Timestamp) -> Result<NextDocument, StoreError> {
        let mut transaction = self.database.begin().await?;
        leases::check(&mut transaction, fence).await?;
        let taken = Statement::new(
            "INSERT INTO edges (name, seq, document_seq, version, signed_at, acknowledged_version, acknowledged_seq, attempts, \
             next_attempt_at) VALUES ($1, $2, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT (name) DO UPDATE SET \
             seq = CASE WHEN edges.seq < $2 THEN $2 ELSE edges.seq + 1 END RETURNING seq",
        );
        let seq = transaction.rows(taken.bind(name).bind(now.as_secs())).await?.first().map_or(Ok(0), |row| row.number("seq"))?;
        let version = transaction.rows(Statement::new(VERSION)).await?;
        let version = version.first().map_or(Ok(0), |row| row.number("number"))?;
        let rows = transaction.rows(Statement::new(entries!("WHERE until > $1 ORDER BY kind, issuer, value")).bind(now)).await?;
        let entries = rows.iter().map(entry).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(NextDocument { seq, version, entries })
    }

    /// Forgets what has ended; whoever asks must believe the time.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_revocations(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.database.execute(Statement::new("DELETE FROM revocations WHERE until <= $1").bind(now)).await
    }

    /// Keeps a document that was signed, unless a later one was begun.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one was.
    pub async fn keep_document(&self, row: &EdgeRow) -> Result<(), StoreError> {
        let update = Statement::new(
            "UPDATE edges SET document_seq = $2, version = $3, kid = $4, document = $5, signed_at = $6 WHERE name = $1 AND seq = $2",
        );
        let EdgeRow { name, document_seq, version, kid, document, signed_at, .. } = row;
        let update = update.bind(name.as_str()).bind(*document_seq).bind(*version);
        let done = self.database.execute(update.bind(kid.clone()).bind(document.clone()).bind(*signed_at)).await?;
        if done == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("a later document of edge {name} was begun"))) }
    }

    /// An edge has stored a document.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn acknowledge(&self, name: &str, acknowledgement: &Acknowledgement) -> Result<(), StoreError> {
        let Acknowledgement { version, seq, at, reread_by, bound_by } = acknowledgement;
        let update = Statement::new(
            "UPDATE edges SET acknowledged_version = $2, acknowledged_seq = $3, acknowledged_at = $4, reread_by = $5, \
             bound_by = $6, attempts = 0, next_attempt_at = 0, trouble = NULL WHERE name = $1 AND acknowledged_seq < $3",
        );
        let update = update.bind(name).bind(*version).bind(*seq).bind(*at).bind(*reread_by).bind(*bound_by);
        self.database.execute(update).await.map(drop)
    }

    /// A push failed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn push_failed(&self, name: &str, trouble: &str, next_attempt_at: Timestamp) -> Result<(), StoreError> {
        let update =
            Statement::new("UPDATE edges SET attempts = attempts + 1, trouble = $2, next_attempt_at = $3 WHERE name = $1");
        self.database.execute(update.bind(name).bind(trouble).bind(next_attempt_at)).await.map(drop)
    }

    /// Nothing can be told to an edge, for this reason.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn edge_troubled(&self, name: &str, trouble: &str) -> Result<(), StoreError> {
        let upsert = Statement::new(
            "INSERT INTO edges (name, seq, document_seq, version, signed_at, acknowledged_version, acknowledged_seq, attempts, \
             next_attempt_at, trouble) VALUES ($1, 0, 0, 0, 0, 0, 0, 0, 0, $2) ON CONFLICT (name) DO UPDATE SET trouble = $2",
        );
        self.database.execute(upsert.bind(name).bind(trouble)).await.map(drop)
    }

    /// An edge knows a sequence that this store has not given yet, since it was restored from a backup: the next document goes
    /// beyond it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn raise_sequence(&self, name: &str, known: u64) -> Result<(), StoreError> {
        let update = Statement::new("UPDATE edges SET seq = $2, document = NULL, kid = NULL WHERE name = $1 AND seq <= $2");
        self.database.execute(update.bind(name).bind(known)).await.map(drop)
    }
}

const VERSION: &str = "SELECT number FROM versions WHERE name = 'revocations'";

/// Writes an entry and raises the list's version.
pub(super) async fn insert(transaction: &mut Transaction, entry: &Entry) -> Result<(), StoreError> {
    let Entry { kind, issuer, value, before, until, created_at, actor } = entry;
    let upsert = Statement::new(
        "INSERT INTO revocations (kind, issuer, value, before_at, until, created_at, actor) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (kind, issuer, value) DO UPDATE SET \
         until = CASE WHEN excluded.until > revocations.until THEN excluded.until ELSE revocations.until END, \
         before_at = CASE WHEN excluded.before_at > revocations.before_at THEN excluded.before_at ELSE revocations.before_at END",
    );
    let upsert = upsert.bind(kind.as_str()).bind(issuer.as_str()).bind(value.as_str()).bind(*before);
    transaction.execute(upsert.bind(*until).bind(*created_at).bind(actor.as_str())).await?;
    let raise = Statement::new("UPDATE versions SET number = number + 1 WHERE name = 'revocations'");
    transaction.execute(raise).await.map(drop)
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    let kind = row.text("kind")?;
    Ok(Entry {
        kind: Kind::from_name(&kind).ok_or_else(|| StoreError::Corrupt(format!("revocations.kind is {kind:?}")))?,
        issuer: row.text("issuer")?,
        value: row.text("value")?,
        before: row.optional_moment("before_at")?,
        until: row.moment("until")?,
        created_at: row.moment("created_at")?,
        actor: row.text("actor")?,
    })
}

fn edge(row: &Row) -> Result<EdgeRow, StoreError> {
    Ok(EdgeRow {
        name: row.text("name")?,
        seq: row.number("seq")?,
        document_seq: row.number("document_seq")?,
        version: row.number("version")?,
        kid: row.optional_text("kid")?,
        document: row.optional_text("document")?,
        signed_at: row.moment("signed_at")?,
        acknowledged_version: row.number("acknowledged_version")?,
        acknowledged_seq: row.number("acknowledged_seq")?,
        acknowledged_at: row.optional_moment("acknowledged_at")?,
        reread_by: row.optional_moment("reread_by")?,
        bound_by: row.optional_moment("bound_by")?,
        attempts: row.number("attempts")?,
        next_attempt_at: row.moment("next_attempt_at")?,
        trouble: row.optional_text("trouble")?,
    })
}
