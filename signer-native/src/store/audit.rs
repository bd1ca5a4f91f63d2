//! The audit's rows and checkpoints. What they say is the audit's business; here they are only kept, in order and for good.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use edgeseal_core::Timestamp;
use sqlx::AssertSqlSafe;

use super::{
    Store, StoreError,
    database::{Row, Statement, Value},
};
use crate::audit::{AuditFilter, AuditPlace, AuditRow, Chain};

/// Rows of one INSERT: up to the first of these any number, beyond it only these, so that a connection prepares few statements.
const BATCHES: [usize; 4] = [32, 64, 128, 256];

/// Rows that one statement looks through.
const LOOK: u64 = 10_000;
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
    /// When the store cannot be read, or it is still being written after half a second.
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
        let rows = self.database.search(
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
        let rows = self.database.search(
            Statement::new(
                "WITH RECURSIVE blocks (block) AS (SELECT CAST(0 AS BIGINT) UNION ALL \
                 SELECT block + 1 FROM blocks WHERE block < (SELECT COALESCE(MAX(seq), 0) / 512 FROM chains)) \
                 SELECT chain, seq, hash, digest, at, body FROM blocks JOIN audit ON seq / 512 = block AND digest = $1 \
                 ORDER BY chain, seq",
            )
            .bind(digest),
        );
        rows.await?.iter().map(audit_row).collect()
    }

    /// At most `limit` rows that fit, the latest first, and the place before which there may be more: whoever has looked for longer
    /// than `patience` gets what was found so far.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_browse(
        &self,
        filter: &AuditFilter,
        limit: u64,
        patience: Duration,
    ) -> Result<(Vec<AuditRow>, Option<AuditPlace>), StoreError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let enough = |mut found: Vec<AuditRow>| {
            found.truncate(most);
            let next = found.last().map(AuditRow::place);
            (found, next)
        };
        if let Some(digest) = &filter.digest {
            let mut found = self.audit_by_digest(digest).await?;
            found.retain(|row| filter.fits(row) && filter.before.as_ref().is_none_or(|before| row.place() < *before));
            found.sort_by_key(|row| Reverse(row.place()));
            return Ok(if found.len() < most { (found, None) } else { enough(found) });
        }
        let all_fit = filter.patterns().is_empty();
        let began = Instant::now();
        let mut found = Vec::new();
        let mut before = filter.before.clone();
        loop {
            // Where every row fits, none is looked at in vain.
            let last = if all_fit { None } else { self.last_of_a_look(filter, before.as_ref()).await? };
            let page = self.audit_browse_page(filter, before.as_ref(), last.as_ref(), limit).await?;
            let end_of_page = (page.len() as u64 == limit).then(|| page.last().map(AuditRow::place)).flatten();
            found.extend(page.into_iter().filter(|row| filter.fits(row)));
            if found.len() >= most {
                return Ok(enough(found));
            }
            before = match end_of_page.or(last) {
                Some(place) if began.elapsed() < patience => Some(place),
                end => return Ok((found, end)),
            };
        }
    }

    /// At most `limit` rows that fit, the earliest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn audit_earliest(&self, filter: &AuditFilter, limit: u64) -> Result<Vec<AuditRow>, StoreError> {
        let rows = self.database.search(Look::new(filter, None, None).of_bodies(filter).ordered("ASC", limit, 0)).await?;
        let rows: Result<Vec<AuditRow>, StoreError> = rows.iter().map(audit_row).collect();
        Ok(rows?.into_iter().filter(|row| filter.fits(row)).collect())
    }

    /// The last of [`LOOK`] rows, unless fewer are left: where and when they were written stands in an index, what they say does not.
    async fn last_of_a_look(&self, filter: &AuditFilter, before: Option<&AuditPlace>) -> Result<Option<AuditPlace>, StoreError> {
        let look = Look { columns: "at, chain, seq", ..Look::new(filter, before, None) };
        let rows = self.database.search(look.ordered("DESC", 1, LOOK - 1)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(AuditPlace { at: row.moment("at")?, chain: row.text("chain")?, seq: row.number("seq")? }))
    }

    async fn audit_browse_page(
        &self,
        filter: &AuditFilter,
        before: Option<&AuditPlace>,
        last: Option<&AuditPlace>,
        limit: u64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let look = Look::new(filter, before, last).of_bodies(filter);
        self.database.search(look.ordered("DESC", limit, 0)).await?.iter().map(audit_row).collect()
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
        let rows = self.database.search(
            Statement::new("SELECT id, document FROM checkpoints WHERE id >= $1 ORDER BY id LIMIT $2").bind(from).bind(limit),
        );
        rows.await?.iter().map(|row| Ok((row.number("id")?, row.text("document")?))).collect()
    }
}

/// A statement that looks through the log. Only placeholders and names of columns are put together here.
struct Look {
    columns: &'static str,
    conditions: String,
    values: Vec<Value>,
}

impl Look {
    /// Rows of the filter's time, from before one place down to another.
    fn new(filter: &AuditFilter, before: Option<&AuditPlace>, last: Option<&AuditPlace>) -> Self {
        let mut look = Self { columns: "chain, seq, hash, digest, at, body", conditions: "1 = 1".to_owned(), values: Vec::new() };
        for (comparison, place) in [("<", before), (">=", last)] {
            if let Some(AuditPlace { at, chain, seq }) = place {
                let sql = |place| format!("(at, chain, seq) {comparison} (${place}, ${}, ${})", place + 1, place + 2);
                look.condition(&sql, [(*at).into(), chain.as_str().into(), (*seq).into()]);
            }
        }
        for (comparison, at) in [(">=", filter.from), ("<", filter.to)] {
            if let Some(at) = at {
                look.condition(&|place| format!("at {comparison} ${place}"), [at.into()]);
            }
        }
        look
    }

    /// Of them, those whose body may fit.
    fn of_bodies(mut self, filter: &AuditFilter) -> Self {
        for pattern in filter.patterns() {
            self.condition(&|place| format!("body LIKE ${place} ESCAPE '!'"), [pattern.into()]);
        }
        self
    }

    fn condition(&mut self, sql: &dyn Fn(usize) -> String, values: impl IntoIterator<Item = Value>) {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(&sql(self.values.len() + 1));
        self.values.extend(values);
    }

    fn ordered(self, direction: &'static str, limit: u64, offset: u64) -> Statement {
        let Self { columns, conditions, values } = self;
        let (limit_place, offset_place) = (values.len() + 1, values.len() + 2);
        let sql = format!(
            "SELECT {columns} FROM audit WHERE {conditions} ORDER BY at {direction}, chain {direction}, seq {direction} \
             LIMIT ${limit_place} OFFSET ${offset_place}"
        );
        let values = values.into_iter().chain([limit.into(), offset.into()]);
        values.fold(Statement::new(AssertSqlSafe(sql)), Statement::bind)
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
