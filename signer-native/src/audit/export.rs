//! The log as lines of JSON: first the audit keys, then rows and checkpoints, each checkpoint behind the rows that it signs for.
//!
//! ```text
//! {"edgeseal_audit":1,"keys":[JWK, …]}
//! {"hash":"…","row":{"chain":"…","seq":1,"prev":"…","at":"…","actor":"…","action":"…","subject":"…",…}}
//! {"checkpoint":"eyJ…"}
//! ```
//!
//! Each line can be written in one way only, so that a changed octet is seen wherever it is.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use edgeseal_core::{Jwk, json};
use serde_json::Value;

use super::{AuditRow, checkpoint::Checkpoint};
use crate::store::{Store, StoreError};

const HEAD: (&str, &str) = ("{\"edgeseal_audit\":1,\"keys\":[", "]}");
const ROW: (&str, &str, &str) = ("{\"hash\":\"", "\",\"row\":", "}");
const CHECKPOINT: (&str, &str) = ("{\"checkpoint\":\"", "\"}");
/// Rows read at a time.
const PAGE: u64 = 1_000;

/// A line of an export.
#[derive(Debug)]
pub enum Line<'a> {
    /// The audit keys.
    Head(Vec<Jwk>),
    /// A row and the hash that it says it has.
    Row {
        /// base64url.
        hash: &'a str,
        /// The JSON object.
        body: &'a str,
    },
    /// A compact JWS.
    Checkpoint(&'a str),
}

impl<'a> Line<'a> {
    /// Reads a line, without its end.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn parse(line: &'a str) -> Result<Self, String> {
        if let Some(rest) = line.strip_prefix(ROW.0) {
            let (hash, rest) = rest.split_once(ROW.1).ok_or("it is no row: its hash does not end")?;
            let body = rest.strip_suffix(ROW.2).ok_or("it is no row: it does not end")?;
            return Ok(Self::Row { hash, body });
        }
        if let Some(rest) = line.strip_prefix(CHECKPOINT.0) {
            return rest.strip_suffix(CHECKPOINT.1).map(Self::Checkpoint).ok_or_else(|| "it is no checkpoint".to_owned());
        }
        if line.starts_with(HEAD.0) {
            let (_, members) = json::parse_object(line.as_bytes()).map_err(|error| format!("its keys: {error}"))?;
            let keys = members.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let keys: Result<Vec<Jwk>, _> = keys.iter().map(|key| Jwk::from_json(&json::to_string(key))).collect();
            let keys = keys.map_err(|problem| format!("one of its keys is refused: {}", problem.as_str()))?;
            let whole = keys.iter().all(|key| key.kid() == Some(&key.thumbprint()));
            if !whole || head(&keys) != line {
                return Err("its keys are not as they were written".to_owned());
            }
            return Ok(Self::Head(keys));
        }
        Err("it is no line of an export".to_owned())
    }
}

/// The first line of an export, without its end.
pub fn head(keys: &[Jwk]) -> String {
    let keys: Vec<String> = keys.iter().map(Jwk::to_json).collect();
    format!("{}{}{}", HEAD.0, keys.join(","), HEAD.1)
}

/// The line of a row, without its end.
pub fn row(AuditRow { hash, body, .. }: &AuditRow) -> String {
    format!("{}{hash}{}{body}{}", ROW.0, ROW.1, ROW.2)
}

/// The line of a checkpoint, without its end.
pub fn checkpoint(document: &str) -> String {
    format!("{}{document}{}", CHECKPOINT.0, CHECKPOINT.1)
}

/// Why an export ended early.
#[derive(Debug)]
pub enum ExportError {
    /// The store cannot be read.
    Store(StoreError),
    /// The lines cannot be written.
    Io(io::Error),
    /// The store holds a checkpoint that is none.
    Corrupt(String),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where lines go.
pub trait Lines {
    /// Takes a line, without its end.
    fn line(&mut self, line: &str) -> impl Future<Output = io::Result<()>> + Send;
}

/// Lines into a file.
struct Written<W>(W);

impl<W: Write + Send> Lines for Written<W> {
    async fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.0, "{line}")
    }
}

/// Writes everything up to checkpoint `end`, and gives that checkpoint, to be kept elsewhere. `end` was there before the `keys` were
/// read: a later one may be of a key that is not among them.
///
/// # Errors
/// [`ExportError`].
pub async fn write(store: &Store, keys: &[Jwk], end: u64, out: &mut (impl Write + Send)) -> Result<Option<String>, ExportError> {
    let last = each(store, keys, end, &mut Written(&mut *out)).await?;
    out.flush()?;
    Ok(last)
}

/// The same, line by line.
///
/// # Errors
/// [`ExportError`].
pub async fn each(store: &Store, keys: &[Jwk], end: u64, out: &mut impl Lines) -> Result<Option<String>, ExportError> {
    let mut written: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = None;
    let mut after = None;
    out.line(&head(keys)).await?;
    loop {
        let mut page = store.checkpoints(after, PAGE).await?;
        page.retain(|(id, _)| *id <= end);
        let Some((id, _)) = page.last() else { break };
        after = Some(*id);
        for (_, document) in page {
            let read = Checkpoint::parse(&document).map_err(ExportError::Corrupt)?;
            for statement in &read.chains {
                let from = written.entry(statement.chain.clone()).or_default();
                while *from < statement.seq {
                    let mut rows = store.audit_page(&statement.chain, Some(*from), PAGE).await?;
                    rows.retain(|row| row.seq <= statement.seq);
                    // Rows that are missing are for whoever verifies the export to find.
                    let Some(end) = rows.last().map(|row| row.seq) else { break };
                    for row in &rows {
                        out.line(&self::row(row)).await?;
                    }
                    *from = end;
                }
            }
            out.line(&checkpoint(&document)).await?;
            last = Some(document);
        }
    }
    Ok(last)
}
