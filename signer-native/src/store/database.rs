//! The two drivers under one roof: statements with `$1` placeholders, texts and whole numbers, which both of them take.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    str::FromStr as _,
    sync::Arc,
    time::{Duration, Instant},
};

use edgeseal_core::Timestamp;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqlSafeStr, SqlStr};
use sqlx::{
    ColumnIndex, Decode, Postgres, Sqlite, SqlitePool, Type,
    migrate::{Migration, MigrationType, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use super::{PostgresSettings, StoreError};

/// How long to wait for a connection, and for a lock or a statement.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody may look through the log.
const SEARCHING: Duration = Duration::from_mins(2);
/// PostgreSQL ends a statement itself, and says so. A server that is gone says nothing: after this much more nobody waits for it.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a statement may take in all: on a connection that is there, and with one to be had first; the same for looking through the log.
const STATEMENT: Duration = PATIENCE.saturating_add(SILENCE);
const WITH_CONNECTION: Duration = PATIENCE.saturating_add(STATEMENT);
const SEARCH: Duration = PATIENCE.saturating_add(SEARCHING).saturating_add(SILENCE);

/// Connections to `SQLite` that read.
const READERS: u32 = 3;
/// KiB that the writer keeps of the file, negative as `SQLite` has it.
const WRITER_CACHE: &str = "-32768";

/// Between two turns of moving the write-ahead log into the file.
const MOVING: Duration = Duration::from_millis(250);
/// Pages of 4 KiB in the log above which writers wait until all of it is moved, so that it begins anew.
const LONGEST_LOG: i64 = 16_384;
/// How long they wait for those who read; if that was not enough, the log grows until the next try.
const TURN: Duration = Duration::from_millis(50);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// How long to wait for another process that makes the store or brings its tables up to date, and between two looks.
const MIGRATING: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// Tables by number; a number that was shipped never changes.
const MIGRATIONS: [(i64, &str, &str); 15] = [
    (1, "keys", include_str!("migrations/0001_keys.sql")),
    (2, "audit", include_str!("migrations/0002_audit.sql")),
    (3, "control", include_str!("migrations/0003_control.sql")),
    (4, "agents", include_str!("migrations/0004_agents.sql")),
    (5, "people", include_str!("migrations/0005_people.sql")),
    (6, "revocations", include_str!("migrations/0006_revocations.sql")),
    (10, "labels", include_str!("migrations/0010_labels.sql")),
    (11, "audit_at", include_str!("migrations/0011_audit_at.sql")),
    (12, "profiles", include_str!("migrations/0012_profiles.sql")),
    (20, "vouched", include_str!("migrations/0020_vouched.sql")),
    (21, "profiles_retired", include_str!("migrations/0021_profiles_retired.sql")),
    (22, "audit_digest_blocks", include_str!("migrations/0022_audit_digest_blocks.sql")),
    (23, "agents_barred", include_str!("migrations/0023_agents_barred.sql")),
    (24, "audit_digest_blocks_512", include_str!("migrations/0024_audit_digest_blocks_512.sql")),
    (25, "agents_barred_names", include_str!("migrations/0025_agents_barred_names.sql")),
];

/// Connections to the one or the other.
#[derive(Clone, Debug)]
pub(super) enum Database {
    /// One connection writes, as only one can: what it has prepared and read stays with it. The others read, one of them for those
    /// who look through the log.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        searcher: SqlitePool,
        /// Keeps the log short until the last of us is gone.
        _mover: Arc<JoinSet<()>>,
    },
    Postgres {
        pool: PgPool,
        searcher: PgPool,
    },
}

/// Several statements that happen together or not at all; dropped without [`Transaction::commit`], not at all.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(Lent),
}

/// A connection of PostgreSQL's pool. Where whoever has it gives up, what was asked is still to be answered, and what was begun to be
/// undone: a host that is gone does neither, and the pool alone would wait for it with this connection's place.
pub(super) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    /// A transaction was begun on it.
    has_begun: bool,
}

/// A statement and what stands for its placeholders.
pub(super) struct Statement {
    sql: SqlStr,
    values: Vec<Value>,
}

/// What both databases store alike.
#[derive(Clone)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Runs a statement on either kind of executor.
macro_rules! run {
    ($executor:expr, $statement:expr, $method:ident) => {{
        let mut query = sqlx::query($statement.sql);
        for value in $statement.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        query.$method($executor).await.map_err(failed)
    }};
}

/// An answer of PostgreSQL, which may never come: TCP alone waits for a host that is gone for a quarter of an hour, or for ever.
fn within<'answer, T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, StoreError>> + Send + 'answer,
) -> impl Future<Output = Result<T, StoreError>> + Send + 'answer {
    // Boxed before anything waits, as every statement of every function would else have room for one in its future.
    let answer = tokio::time::timeout(limit, Box::pin(answer));
    async move {
        let late = |_| Err(StoreError::Unavailable(format!("no answer within {} s", limit.as_secs())));
        answer.await.unwrap_or_else(late)
    }
}

impl Lent {
    async fn of(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self { connection: Some(pool.acquire().await.map_err(failed)?), has_begun: false })
    }

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let given_back = || StoreError::Unavailable("the connection was given back".to_owned());
        self.connection.as_deref_mut().ok_or_else(given_back)
    }

    /// Begins, commits or undoes a transaction.
    async fn say(&mut self, word: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(word).execute(self.connection()?).await.map(drop).map_err(failed)
    }

    /// Ends its transaction by this word.
    async fn end(mut self, word: &'static str) -> Result<(), StoreError> {
        within(STATEMENT, self.say(word)).await?;
        self.give_back();
        Ok(())
    }

    /// Nothing is under way on it any more.
    fn give_back(mut self) {
        self.connection = None;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let has_begun = self.has_begun;
        // What a request began that was cut short mostly has its answer in no time, and then no connection is made anew for it.
        tokio::spawn(async move {
            let undone = async {
                if has_begun {
                    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.map(drop)
                } else {
                    connection.ping().await
                }
            };
            if !matches!(tokio::time::timeout(SILENCE, undone).await, Ok(Ok(()))) {
                connection.close_on_drop();
            }
        });
    }
}

/// Runs a statement on a connection of this pool.
macro_rules! run_lent {
    ($pool:expr, $statement:expr, $method:ident) => {{
        let mut lent = Lent::of($pool).await?;
        let answer = run!(lent.connection()?, $statement, $method);
        lent.give_back();
        answer
    }};
}

impl Database {
    /// Opens the file, or makes it with mode 0600, and brings its tables up to date.
    pub(super) async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        create_private(path)?;
        let alone = alone(path).await?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // Every commit is on the disk before it is believed.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let unusable = |error: &dyn std::fmt::Display| StoreError::Unavailable(format!("store.path {}: {error}", path.display()));
        // A file needs no asking whether it is still there.
        let pool = |most, options| {
            let pool = SqlitePoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).test_before_acquire(false);
            pool.connect_with(options)
        };
        // Nobody's commit waits until the log of others is moved into the file.
        let options = options.pragma("wal_autocheckpoint", "0");
        let writing = options.clone().pragma("cache_size", WRITER_CACHE);
        let writer = pool(1, writing).await.map_err(|error| unusable(&error))?;
        migrations().run(&writer).await.map_err(|error| unusable(&error))?;
        drop(alone);
        let readers = pool(READERS, options.clone()).await.map_err(|error| unusable(&error))?;
        let searcher = pool(1, options).await.map_err(|error| unusable(&error))?;
        let mut mover = JoinSet::new();
        mover.spawn(keep_log_short(writer.clone(), readers.clone()));
        Ok(Self::Sqlite { writer, readers, searcher, _mover: Arc::new(mover) })
    }

    /// Connects, and brings the tables up to date; several signers may do so at once.
    pub(super) async fn postgres(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let malformed = |why: &dyn std::fmt::Display| StoreError::Misconfigured(format!("store.url cannot be used: {why}"));
        if settings.names_a_password() {
            return Err(malformed(&"it holds a password; put that into store.password_file or EDGESEAL_STORE_PASSWORD"));
        }
        let mut options = PgConnectOptions::from_str(&settings.url).map_err(|error| malformed(&error))?;
        if let Some(password) = &settings.password {
            options = options.password(password);
        }
        let local = options.get_socket().is_some()
            || ["localhost", "127.0.0.1", "::1"].contains(&options.get_host())
            || options.get_host().starts_with('/');
        if !local && !settings.url.contains("sslmode=") {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        let place = options
            .get_socket()
            .map_or_else(|| format!("{}:{}", options.get_host(), options.get_port()), |path| path.display().to_string());
        let options = options.application_name("edgeseal").options([("synchronous_commit", "on")]);
        // Also of a signer that froze in the middle of a transaction, which others wait for.
        let limited = |limit: Duration| {
            let limit = limit.as_millis().to_string();
            options.clone().options([("statement_timeout", &limit), ("idle_in_transaction_session_timeout", &limit)])
        };
        let unreachable =
            |error: &dyn std::fmt::Display| StoreError::Unavailable(format!("store.url, PostgreSQL at {place}: {error}"));
        let pool = |most| PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE);
        // Tables of years take their time.
        let migrating = pool(1).connect_with(options.clone()).await;
        let migrating = migrating.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => unreachable(&format_args!("no connection within {} s", PATIENCE.as_secs())),
            other => unreachable(&other),
        })?;
        migrations().run(&migrating).await.map_err(|error| unreachable(&error))?;
        migrating.close().await;
        let searcher = pool(1).connect_lazy_with(limited(SEARCHING));
        Ok(Self::Postgres { pool: pool(8).connect_lazy_with(limited(PATIENCE)), searcher })
    }

    /// Begins to write. On `SQLite` the lock for writing is taken at once, so that nothing read in between gets stale.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?),
            Self::Postgres { pool, .. } => {
                let begun = within(WITH_CONNECTION, async {
                    let mut lent = Lent::of(pool).await?;
                    lent.has_begun = true;
                    lent.say("BEGIN").await?;
                    Ok(lent)
                });
                Transaction::Postgres(begun.await?)
            }
        })
    }

    /// Statements that happen together or not at all, given to the database as one: each way there and back is a wait for
    /// another thread. Whoever gives up waiting for it does not undo it.
    pub(super) async fn together(&self, statements: Vec<Statement>) -> Result<(), StoreError> {
        let Self::Sqlite { writer, .. } = self else {
            let mut transaction = self.begin().await?;
            for statement in statements {
                transaction.execute(statement).await?;
            }
            return transaction.commit().await;
        };
        let whole = Statement::whole(statements);
        let mut connection = writer.acquire().await.map_err(failed)?;
        let written = tokio::spawn(async move {
            let written = run!(&mut *connection, whole, execute).map(drop);
            if written.is_err()
                && let Err(error) = connection.close().await
            {
                // Closed or lost, the connection undoes what it has begun.
                tracing::debug!(%error, "closing a connection to the store");
            }
            written
        });
        written.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    /// One statement as a transaction of its own; gives how many rows it touched.
    pub(super) async fn execute(&self, statement: Statement) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => run!(writer, statement, execute)?.rows_affected(),
            Self::Postgres { pool, .. } => {
                within(WITH_CONNECTION, async { run_lent!(pool, statement, execute) }).await?.rows_affected()
            }
        })
    }

    /// The rows that a statement gives.
    pub(super) async fn rows(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => run!(readers, statement, fetch_all)?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres { pool, .. } => {
                let rows = within(WITH_CONNECTION, async { run_lent!(pool, statement, fetch_all) }).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The same for those who look through the log, one statement at a time: nobody who signs waits for a connection that they have.
    pub(super) async fn search(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { searcher, .. } => run!(searcher, statement, fetch_all)?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres { searcher, .. } => {
                let rows = within(SEARCH, async { run_lent!(searcher, statement, fetch_all) }).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Ends all connections.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, searcher, .. } => {
                searcher.close().await;
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, searcher } => {
                searcher.close().await;
                pool.close().await;
            }
        }
    }
}

impl Transaction {
    /// One statement; gives how many rows it touched.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(transaction) => run!(&mut **transaction, statement, execute)?.rows_affected(),
            Self::Postgres(lent) => {
                within(STATEMENT, async { run!(lent.connection()?, statement, execute) }).await?.rows_affected()
            }
        })
    }

    /// The rows that a statement gives.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(transaction) => run!(&mut **transaction, statement, fetch_all)?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres(lent) => {
                let rows = within(STATEMENT, async { run!(lent.connection()?, statement, fetch_all) }).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Waits for what others have locked no longer than this, and fails then. On `SQLite` nobody else writes by now.
    pub(super) async fn wait_at_most(&mut self, limit: Duration) -> Result<(), StoreError> {
        let Self::Postgres(lent) = self else { return Ok(()) };
        let statement = Statement::new(AssertSqlSafe(format!("SET LOCAL lock_timeout = {}", limit.as_millis())));
        within(STATEMENT, async { run!(lent.connection()?, statement, execute) }).await.map(drop)
    }

    /// Makes it so.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await.map_err(failed),
            Self::Postgres(lent) => lent.end("COMMIT").await,
        }
    }

    /// Undoes it.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await.map_err(failed),
            Self::Postgres(lent) => lent.end("ROLLBACK").await,
        }
    }
}

impl Statement {
    /// A statement without values yet.
    pub(super) fn new(sql: impl SqlSafeStr) -> Self {
        Self { sql: sql.into_sql_str(), values: Vec::new() }
    }

    /// Statements as one text for `SQLite`. Each names its placeholders once and in turn, so that they need no names here: `SQLite`
    /// looks for each among all, and a group of rows has hundreds.
    fn whole(statements: Vec<Self>) -> Self {
        let (mut sql, mut values) = ("BEGIN IMMEDIATE".to_owned(), Vec::new());
        for statement in statements {
            sql.push_str("; ");
            let mut parts = statement.sql.as_str().split('$');
            sql.extend(parts.next());
            for (place, part) in parts.enumerate() {
                let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
                debug_assert_eq!(part.strip_suffix(rest), Some(&*(place + 1).to_string()), "{}", statement.sql.as_str());
                sql.extend(["?", rest]);
            }
            values.extend(statement.values);
        }
        sql.push_str("; COMMIT");
        // Only statements of ours are put together here.
        Self { sql: AssertSqlSafe(sql).into_sql_str(), values }
    }

    /// The value of the next placeholder.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        at.as_millis().into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Number(None), Into::into)
    }
}

impl Row {
    /// A text that is always there.
    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.get(column)
    }

    /// A text that may be missing.
    pub(super) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    /// A number that is always there, and not negative.
    pub(super) fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        natural(column, self.get(column)?)
    }

    /// A moment that is always there.
    pub(super) fn moment(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.number(column).map(Timestamp::from_millis)
    }

    /// A moment that may be missing.
    pub(super) fn optional_moment(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        let number: Option<i64> = self.get(column)?;
        Ok(number.map(|number| natural(column, number)).transpose()?.map(Timestamp::from_millis))
    }

    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: for<'row> Decode<'row, Sqlite> + Type<Sqlite> + for<'row> Decode<'row, Postgres> + Type<Postgres>,
        &'static str: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        let found = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        found.map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

/// Moves the write-ahead log into the file beside those who write. A commit that did so itself would wait for thousands of pages.
async fn keep_log_short(writer: SqlitePool, mover: SqlitePool) {
    let mut turn = tokio::time::interval(MOVING);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut paused = None;
    while !writer.is_closed() {
        turn.tick().await;
        let answer = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mover).await;
        let outcome = match answer {
            Ok((_, log, _)) if log > LONGEST_LOG && paused.is_none_or(|until| Instant::now() >= until) => {
                begin_log_anew(&writer).await.map(|begun| paused = (!begun).then(|| Instant::now() + PAUSE))
            }
            other => other.map(drop),
        };
        // The next turn tries again, and whoever writes hears of it.
        if let Err(error) = outcome {
            tracing::debug!(%error, "moving the store's log into its file");
        }
    }
}

/// Moves all of the log while nobody writes, so that it begins anew; gives whether it does. `SQLite` keeps everybody from writing
/// while it waits for those who read, which may be a backup of minutes.
async fn begin_log_anew(writer: &SqlitePool) -> Result<bool, sqlx::Error> {
    let mut connection = writer.acquire().await?;
    let patience = |patience: Duration| AssertSqlSafe(format!("PRAGMA busy_timeout = {}", patience.as_millis()));
    sqlx::query(patience(TURN)).execute(&mut *connection).await?;
    let moved = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(RESTART)").fetch_one(&mut *connection).await;
    if let Err(error) = sqlx::query(patience(PATIENCE)).execute(&mut *connection).await {
        connection.close().await?;
        return Err(error);
    }
    moved.map(|(busy, ..)| busy == 0)
}

fn natural(column: &str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt(format!("{column} is {number}")))
}

fn migrations() -> Migrator {
    let migrations = MIGRATIONS
        .map(|(number, name, sql)| Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false));
    Migrator::with_migrations(migrations.to_vec())
}

fn failed(error: sqlx::Error) -> StoreError {
    let Some(database) = error.as_database_error() else {
        return StoreError::Unavailable(match error {
            sqlx::Error::PoolTimedOut => format!("no connection within {} s", PATIENCE.as_secs()),
            other => other.to_string(),
        });
    };
    // 40001 and 40P01: PostgreSQL gave another transaction the way.
    if database.is_unique_violation() || matches!(database.code().as_deref(), Some("40001" | "40P01")) {
        return StoreError::Conflict(database.message().to_owned());
    }
    StoreError::Unavailable(database.message().to_owned())
}

/// An empty file that only its owner may read, unless the file is there.
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map(drop).map_err(|error| {
        StoreError::Unavailable(format!(
            "store.path {}: {error}; its folder must exist and this user must be allowed to write there",
            path.display()
        ))
    })
}

/// The right to make the store or to bring its tables up to date, which one process has at a time: `SQLite` begins no migration by
/// itself. It is a lock of the folder, as whoever closed the file of the store would end the locks that `SQLite` has on it.
async fn alone(path: &Path) -> Result<Option<File>, StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unusable = |why: &dyn std::fmt::Display| StoreError::Unavailable(format!("store.path {}: {why}", path.display()));
    let folder = File::open(folder).map_err(|error| unusable(&error))?;
    let began = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if began.elapsed() < MIGRATING => tokio::time::sleep(LOOK).await,
            Err(TryLockError::WouldBlock) => return Err(unusable(&"another process has been opening it for a minute")),
            Err(TryLockError::Error(error)) => {
                // A file system without locks: there, as before, one process makes the store first.
                tracing::debug!(%error, "locking the folder of the store");
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;

    /// Puts a row of so many octets into the log.
    async fn write(database: &Database, size: usize) -> Duration {
        let began = Instant::now();
        let statement = Statement::new("INSERT INTO checkpoints (id, document) SELECT COUNT(*), $1 FROM checkpoints");
        database.execute(statement.bind("x".repeat(size))).await.unwrap();
        began.elapsed()
    }

    async fn number(pool: &SqlitePool, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn several_may_make_a_store_at_the_same_time() {
        let folder = tempfile::tempdir().unwrap();
        for turn in 0..5 {
            let path = folder.path().join(format!("{turn}.db"));
            let opened = (0..4).map(|_| {
                let path = path.clone();
                tokio::spawn(async move { Database::sqlite(&path).await.map(drop) })
            });
            for opened in opened.collect::<Vec<_>>() {
                opened.await.unwrap().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn whoever_searches_takes_no_connection_from_those_who_sign() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::sqlite(&folder.path().join("store.db")).await.unwrap();
        let search = || {
            database.search(Statement::new(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) SELECT COUNT(*) AS n FROM n",
            ))
        };
        let first = futures_util::future::select_all([search(), search(), search(), search()].map(Box::pin));
        let reading = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            database.rows(Statement::new("SELECT 1 AS one")).await
        };
        tokio::select! {
            read = reading => assert_eq!(read.unwrap().len(), 1),
            _ = first => panic!("who reads waited for those who search"),
        }
    }

    #[tokio::test]
    async fn nobody_who_reads_keeps_others_from_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let database = Database::sqlite(&path).await.unwrap();
        // A backup, or a search of the log.
        let mut reader = sqlx::SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
        let mut reading = reader.begin().await.unwrap();
        sqlx::query("SELECT COUNT(*) FROM checkpoints").fetch_one(&mut *reading).await.unwrap();
        for _ in 0..70 {
            write(&database, 1 << 20).await;
        }
        let wal = path.with_extension("db-wal");
        assert!(wal.metadata().unwrap().len() > 64 << 20);
        let mut longest = Duration::ZERO;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            longest = longest.max(write(&database, 1 << 10).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        // Once it is gone, the log begins anew.
        reading.rollback().await.unwrap();
        let before = wal.metadata().unwrap().len();
        tokio::time::sleep(PAUSE + MOVING * 4).await;
        write(&database, 1 << 20).await;
        assert_eq!(wal.metadata().unwrap().len(), before, "the log is written from its beginning");
        let Database::Sqlite { writer, .. } = &database else { panic!("{database:?}") };
        assert_eq!(number(writer, "PRAGMA busy_timeout").await, 5_000, "whoever writes waits as long as before");
    }
}
