//! The audit's rows and checkpoints. What they say is the audit's business; here they are only kept, in order and for good.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::{
    Store, StoreError,
    database::{Row, Statement},
};
use crate::audit::AuditRow;

/// Rows of one INSERT: a few sizes only, so that a connection prepares few statements.
const BATCHES: [usize; 4] = [256, 32, 4, 1];

impl Store {
    /// Appends rows, all or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a chain already has a row of such a number.
    pub async fn append_audit(&self, rows: Vec<AuditRow>) -> Result<(), StoreError> {
        // Rows of one chain follow each other, so that the last one is the chain's end.
        let ends: BTreeMap<String, (u64, String)> =
            rows.iter().map(|row| (row.chain.clone(), (row.seq, row.hash.clone()))).collect();
        let mut rows = rows.into_iter();
        let mut transaction = self.database.begin().await?;
        while rows.len() > 0 {
            let size = BATCHES.into_iter().find(|size| *size <= rows.len()).unwrap_or(1);
            let places: Vec<String> = (0..size)
                .map(|row| format!("(${}, ${}, ${}, ${}, ${})", row * 5 + 1, row * 5 + 2, row * 5 + 3, row * 5 + 4, row * 5 + 5))
                .collect();
            // Only placeholders are put together here.
            let sql = format!("INSERT INTO audit (chain, seq, hash, digest, body) VALUES {}", places.join(", "));
            let statement = rows.by_ref().take(size).fold(Statement::new(AssertSqlSafe(sql)), |statement, row| {
                let AuditRow { chain, seq, hash, digest, body } = row;
                statement.bind(chain).bind(seq).bind(hash).bind(digest).bind(body)
            });
            transaction.execute(statement).await?;
        }
        for (chain, (seq, hash)) in ends {
            let statement = Statement::new(
                "INSERT INTO chains (chain, seq, hash, stated) VALUES ($1, $2, $3, 0) \
                 ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            );
            transaction.execute(statement.bind(chain).bind(seq).bind(hash)).await?;
        }
        transaction.commit().await
    }

    /// The last row of every chain that grew since the last checkpoint: its name, number and hash.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_tails(&self) -> Result<Vec<(String, u64, String)>, StoreError> {
        let rows = self.database.rows(Statement::new("SELECT chain, seq, hash FROM chains WHERE seq > stated ORDER BY chain"));
        rows.await?.iter().map(|row| Ok((row.text("chain")?, row.number("seq")?, row.text("hash")?))).collect()
    }

    /// At most `limit` rows of a chain behind number `after`; `None` begins at its first row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_page(&self, chain: &str, after: Option<u64>, limit: u64) -> Result<Vec<AuditRow>, StoreError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let rows = self.database.rows(
            Statement::new(
                "SELECT chain, seq, hash, digest, body FROM audit WHERE chain = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
            )
            .bind(chain)
            .bind(from)
            .bind(limit),
        );
        rows.await?.iter().map(audit_row).collect()
    }

    /// The rows about a token, by its digest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_by_digest(&self, digest: &str) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.database.rows(
            Statement::new("SELECT chain, seq, hash, digest, body FROM audit WHERE digest = $1 ORDER BY chain, seq").bind(digest),
        );
        rows.await?.iter().map(audit_row).collect()
    }

    /// Keeps a checkpoint that speaks of these chains, each up to this row.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one of this number.
    pub async fn append_checkpoint(&self, id: u64, document: &str, stated: &[(String, u64)]) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let statement = Statement::new("INSERT INTO checkpoints (id, document) VALUES ($1, $2)").bind(id).bind(document);
        transaction.execute(statement).await?;
        for (chain, seq) in stated {
            let statement = Statement::new("UPDATE chains SET stated = $1 WHERE chain = $2 AND stated < $1");
            transaction.execute(statement.bind(*seq).bind(chain.as_str())).await?;
        }
        transaction.commit().await
    }

    /// The last checkpoint.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn last_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        let rows = self.database.rows(Statement::new("SELECT id, document FROM checkpoints ORDER BY id DESC LIMIT 1")).await?;
        rows.first().map(|row| Ok((row.number("id")?, row.text("document")?))).transpose()
    }

    /// At most `limit` checkpoints behind number `after`; `None` begins at the first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn checkpoints(&self, after: Option<u64>, limit: u64) -> Result<Vec<(u64, String)>, StoreError> {
        let from = after.map_or(0, |after| after.saturating_add(1));
        let rows = self.database.rows(
            Statement::new("SELECT id, document FROM checkpoints WHERE id >= $1 ORDER BY id LIMIT $2").bind(from).bind(limit),
        );
        rows.await?.iter().map(|row| Ok((row.number("id")?, row.text("document")?))).collect()
    }
}

fn audit_row(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        chain: row.text("chain")?,
        seq: row.number("seq")?,
        hash: row.text("hash")?,
        digest: row.optional_text("digest")?,
        body: row.text("body")?,
    })
}
