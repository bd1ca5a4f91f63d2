//! The audit's rows and checkpoints. What they say is the audit's business; here they are only kept, in order and for good.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use edgeseal_core::Timestamp;
use sqlx::AssertSqlSafe;

use super::{
    Store, StoreError,
    database::{Row, Statement, Value},
};
use crate::audit::{AuditFilter, AuditPlace, AuditRow, Chain};

/// Rows of one INSERT: up to the first of these any number, beyond it only these, so that a connection prepares few statements.
const BATCHES: [usize; 4] = [32, 64, 128, 256];

/// How long the end of a chain waits for a commit that is under way: less than `audit.deadline`, so that no connection is left waiting.
const DECIDED: Duration = Duration::from_millis(500);

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
        let mut statements = Vec::new();
        while rows.len() > 0 {
            let size = BATCHES.into_iter().rev().find(|size| *size <= rows.len()).unwrap_or(rows.len());
            let places: Vec<String> = (0..size)
                .map(|row| {
                    let places: Vec<String> = (1..=6).map(|place| format!("${}", row * 6 + place)).collect();
                    format!("({})", places.join(", "))
                })
                .collect();
            // Only placeholders are put together here.
            let sql = format!("INSERT INTO audit (chain, seq, hash, digest, at, body) VALUES {}", places.join(", "));
            let statement = rows.by_ref().take(size).fold(Statement::new(AssertSqlSafe(sql)), |statement, row| {
                let AuditRow { chain, seq, hash, digest, at, body } = row;
                statement.bind(chain).bind(seq).bind(hash).bind(digest).bind(at).bind(body)
            });
            statements.push(statement);
        }
        for (chain, (seq, hash)) in ends {
            let statement = Statement::new(
                "INSERT INTO chains (chain, seq, hash, stated) VALUES ($1, $2, $3, 0) \
                 ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            );
            statements.push(statement.bind(chain).bind(seq).bind(hash));
        }
        self.database.together(statements).await
    }

    /// Where a chain ends, once nothing is being written to it any more: what somebody gave up waiting for may be in the middle of
    /// its commit, and PostgreSQL shows that to nobody else.
    ///
    /// # Errors
    /// When the store cannot be read, or it is still being written after [`DECIDED`].
    pub async fn audit_end(&self, chain: &str) -> Result<Chain, StoreError> {
        let mut transaction = self.database.begin().await?;
        transaction.wait_at_most(DECIDED).await?;
        // An append has written this row before it commits: whoever writes it too waits for that commit, and then sees it.
        let statement = Statement::new(
            "INSERT INTO chains (chain, seq, hash, stated) VALUES ($1, 0, $2, 0) \
             ON CONFLICT (chain) DO UPDATE SET seq = chains.seq RETURNING seq, hash",
        );
        let rows = transaction.rows(statement.bind(chain).bind(Chain::new(chain).hash())).await?;
        let row = rows.first().ok_or_else(|| StoreError::Corrupt(format!("no row of chain {chain}")))?;
        let end = Chain::at(chain, row.number("seq")?, row.text("hash")?);
        // It was only asked.
        transaction.rollback().await?;
        Ok(end)
    }

    /// When the last row until then was written, by the clock of whoever wrote it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_written_by(&self, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let last = Statement::new("SELECT at FROM audit WHERE at <= $1 ORDER BY at DESC LIMIT 1").bind(until);
        self.database.rows(last).await?.first().map(|row| row.moment("at")).transpose()
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
                "SELECT chain, seq, hash, digest, at, body FROM audit WHERE chain = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
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
        // PostgreSQL takes no NUL in a text, and no digest holds one.
        if digest.contains('\0') {
            return Ok(Vec::new());
        }
        // Every block of the index: see the migration.
        let rows = self.database.rows(
            Statement::new(
                "WITH RECURSIVE blocks (block) AS (SELECT CAST(0 AS BIGINT) UNION ALL \
                 SELECT block + 1 FROM blocks WHERE block < (SELECT COALESCE(MAX(seq), 0) / 2048 FROM chains)) \
                 SELECT chain, seq, hash, digest, at, body FROM blocks JOIN audit ON seq / 2048 = block AND digest = $1 \
                 ORDER BY chain, seq",
            )
            .bind(digest),
        );
        rows.await?.iter().map(audit_row).collect()
    }

    /// At most `limit` rows that fit, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_browse(&self, filter: &AuditFilter, limit: u64) -> Result<Vec<AuditRow>, StoreError> {
        if let Some(digest) = &filter.digest {
            let mut found = self.audit_by_digest(digest).await?;
            found.retain(|row| filter.fits(row) && filter.before.as_ref().is_none_or(|before| row.place() < *before));
            found.sort_by_key(|row| Reverse(row.place()));
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            return Ok(found);
        }
        let mut found = Vec::new();
        let mut before = filter.before.clone();
        loop {
            let page = self.audit_browse_page(filter, before.as_ref(), limit).await?;
            let (whole, last) = (page.len() as u64 == limit, page.last().map(AuditRow::place));
            found.extend(page.into_iter().filter(|row| filter.fits(row)));
            if !whole || found.len() as u64 >= limit {
                found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(found);
            }
            before = last;
        }
    }

    async fn audit_browse_page(
        &self,
        filter: &AuditFilter,
        before: Option<&AuditPlace>,
        limit: u64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let mut values: Vec<Value> = Vec::new();
        let mut conditions = String::from("1 = 1");
        // Only placeholders and names of columns are put together here.
        let mut condition = |sql: &dyn Fn(usize) -> String, more: Vec<Value>| {
            conditions.push_str(" AND ");
            conditions.push_str(&sql(values.len() + 1));
            values.extend(more);
        };
        if let Some(AuditPlace { at, chain, seq }) = before {
            let sql = |place| format!("(at, chain, seq) < (${place}, ${}, ${})", place + 1, place + 2);
            condition(&sql, vec![(*at).into(), chain.as_str().into(), (*seq).into()]);
        }
        if let Some(from) = filter.from {
            condition(&|place| format!("at >= ${place}"), vec![from.into()]);
        }
        if let Some(to) = filter.to {
            condition(&|place| format!("at < ${place}"), vec![to.into()]);
        }
        for pattern in filter.patterns() {
            condition(&|place| format!("body LIKE ${place} ESCAPE '!'"), vec![pattern.into()]);
        }
        let limit_place = values.len() + 1;
        values.push(limit.into());
        let sql = format!(
            "SELECT chain, seq, hash, digest, at, body FROM audit WHERE {conditions} ORDER BY at DESC, chain DESC, seq DESC LIMIT ${limit_place}"
        );
        let statement = values.into_iter().fold(Statement::new(AssertSqlSafe(sql)), Statement::bind);
        self.database.rows(statement).await?.iter().map(audit_row).collect()
    }

    /// How many rows there are, how many chains, and how many rows no checkpoint speaks of.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_sums(&self) -> Result<(u64, u64, u64), StoreError> {
        let select = Statement::new(
            "SELECT COUNT(*) AS chains, CAST(COALESCE(SUM(seq), 0) AS BIGINT) AS held, \
             CAST(COALESCE(SUM(seq - stated), 0) AS BIGINT) AS later FROM chains",
        );
        let rows = self.database.rows(select).await?;
        let Some(row) = rows.first() else { return Ok((0, 0, 0)) };
        Ok((row.number("held")?, row.number("chains")?, row.number("later")?))
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
        at: row.moment("at")?,
        body: row.text("body")?,
    })
}
