//! What happened: looked through, found by token, exported, and as the ledger that auditors ask for.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Timestamp, UnverifiedToken};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema, openapi::Schema};
use utoipa_axum::routes;

use crate::{
    audit::{
        AuditFilter, AuditPlace, AuditRow,
        chain::Row,
        checkpoint::Checkpoint,
        export::{self, ExportError, Lines},
        ledger::{self, Entry},
        token_digest,
    },
    http::{
        Shared,
        access::LARGEST_BODY,
        input::{Asked, Json as Input},
        openapi::{Routes, one_of, step},
        person::Auditor,
        problem::{AdminProblem, Code, Problem},
    },
    keys::{Moment, registry::RegistryError},
    store::StoreError,
};

/// Rows of one answer unless it is said otherwise, and at most.
const PAGE: u64 = 100;
const MOST: u64 = 1_000;
/// How long one answer looks through the log for rows that fit.
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets of a token that is looked for, and JSON around it.
const MAX_TOKEN: usize = LARGEST_BODY;
/// Octets that are gathered before they are sent.
const CHUNK: usize = 32 * 1024;

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(browse))
        .routes(step(routes!(find)))
        .routes(routes!(status))
        .routes(routes!(export))
        .routes(routes!(compliance))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Who: `agent:NAME`, `admin:NAME`, `local:USER`, `system`.
    actor: Option<String>,
    /// What: `keys.activate`, or with a star at its end all that begins so: `keys.*`.
    action: Option<String>,
    /// On what: a `kid`, a `CKA_ID`, an agent.
    subject: Option<String>,
    /// The hash of a token's signing input, base64url.
    digest: Option<String>,
    /// Not before this moment (RFC 3339).
    #[param(format = "date-time")]
    from: Option<String>,
    /// Before this moment (RFC 3339).
    #[param(format = "date-time")]
    to: Option<String>,
    /// `next` of the answer before.
    cursor: Option<String>,
    /// Rows at most; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

/// A row of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
struct RowView {
    /// The chain of the process that wrote it.
    chain: String,
    /// Its number there.
    seq: u64,
    /// When.
    #[schema(format = "date-time")]
    at: String,
    /// Who.
    actor: String,
    /// What.
    action: String,
    /// On what; empty for nothing in particular.
    subject: String,
    /// The hash that a signature was over.
    #[schema(required)]
    digest: Option<String>,
    /// The rest.
    #[schema(value_type = Object)]
    detail: Value,
    /// SHA-256 over the row and the hash of the row before it.
    hash: String,
}

/// Rows, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRows)]
struct Rows {
    /// The latest first.
    rows: Vec<RowView>,
    /// For the rows before these; null when there are none. A search that takes longer than two seconds answers with what it has found
    /// so far, which may be nothing, and goes on here.
    #[schema(required)]
    next: Option<String>,
}

/// Look through the audit log
#[utoipa::path(get, path = "/admin/v1/audit", operation_id = "browseAudit", tag = "audit",
    params(Filter),
    responses((status = 200, description = "Rows, the latest first", body = Rows)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn browse(State(service): State<Shared>, _: Auditor, Asked(filter): Asked<Filter>) -> Result<Json<Rows>, AdminProblem> {
    let Filter { actor, action, subject, digest, from, to, cursor, limit } = filter;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::new(Code::RequestMalformed, format!("limit is {limit}; it takes 1 to {MOST}")).at("limit").into());
    }
    let filter = AuditFilter {
        actor,
        action,
        subject,
        digest,
        from: moment("from", from)?,
        to: moment("to", to)?,
        before: cursor.map(|cursor| place(&cursor)).transpose()?,
    };
    let (found, next) = service.agents.store().audit_browse(&filter, limit, PATIENCE).await?;
    Ok(Json(Rows { rows: views(&found)?, next: next.as_ref().map(cursor_of) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The token; an SD-JWT with or without its disclosures.
    token: String,
}

/// Find the rows about a token
///
/// By the hash of what its signature is over; the token is kept nowhere.
#[utoipa::path(post, path = "/admin/v1/audit:find", operation_id = "findToken", tag = "audit",
    request_body = Wanted,
    responses((status = 200, description = "The rows; none for a token that was not signed here", body = Rows)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn find(
    State(service): State<Shared>,
    _: Auditor,
    Input(Wanted { token }): Input<Wanted, MAX_TOKEN>,
) -> Result<Json<Rows>, AdminProblem> {
    // An SD-JWT's signature is over its first part; the disclosures are the holder's affair.
    let compact = token.trim().split('~').next().unwrap_or_default();
    let parsed = UnverifiedToken::parse(compact)
        .map_err(|error| Problem::new(Code::FieldInvalid, format!("token is none: {error}")).at("token"))?;
    // A token of another algorithm is none of ours.
    let Some(algorithm) = Algorithm::from_name(parsed.header().algorithm()) else {
        return Ok(Json(Rows { rows: Vec::new(), next: None }));
    };
    let signing_input = compact.rsplit_once('.').map_or(compact, |(input, _)| input).as_bytes();
    let found = service.agents.store().audit_by_digest(&token_digest(algorithm, signing_input)).await?;
    Ok(Json(Rows { rows: views(&found)?, next: None }))
}

/// How the log stands.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditStatus)]
struct Status {
    /// Rows of all chains.
    rows: u64,
    /// Chains: one for each process that wrote, commands included.
    chains: u64,
    /// Rows that no checkpoint speaks of yet.
    rows_after_last_checkpoint: u64,
    /// The number of the last checkpoint; null before the first.
    #[schema(required)]
    last_checkpoint: Option<u64>,
    /// When it was signed.
    #[schema(required, format = "date-time")]
    last_checkpoint_at: Option<String>,
    /// The audit key that signed it.
    #[schema(required)]
    kid: Option<String>,
    /// The last checkpoint itself, a compact JWS: to be kept elsewhere.
    #[schema(required)]
    checkpoint: Option<String>,
}

/// How the audit log stands
#[utoipa::path(get, path = "/admin/v1/audit/status", operation_id = "getAuditStatus", tag = "audit",
    responses((status = 200, description = "Rows, chains and the last checkpoint", body = Status)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn status(State(service): State<Shared>, _: Auditor) -> Result<Json<Status>, AdminProblem> {
    let store = service.agents.store();
    let (rows, chains, later) = store.audit_sums().await?;
    let last = store.last_checkpoint().await?;
    let read = last.as_ref().and_then(|(_, document)| Checkpoint::parse(document).ok());
    Ok(Json(Status {
        rows,
        chains,
        rows_after_last_checkpoint: later,
        last_checkpoint: last.as_ref().map(|(id, _)| *id),
        last_checkpoint_at: read.as_ref().map(|read| read.at.clone()),
        kid: read.map(|read| read.kid),
        checkpoint: last.map(|(_, document)| document),
    }))
}

/// Export the audit log
///
/// Lines of JSON that prove themselves, ending with a fresh checkpoint: `edgeseal audit verify` reads them anywhere. A stream
/// that breaks off has no such end.
#[utoipa::path(get, path = "/admin/v1/audit/export", operation_id = "exportAudit", tag = "audit",
    responses((status = 200, description = "The whole log", content_type = "application/jsonl", body = String)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn export(State(service): State<Shared>, Auditor(person): Auditor) -> Result<Response, AdminProblem> {
    service.issuer.registry().ledger().record(&person.actor(), "audit.export", "", "{}").await?;
    let (end, keys) = service.keeper.conclude().await?;
    let (sender, receiver) = mpsc::channel(4);
    let store = service.agents.store().clone();
    tokio::spawn(async move {
        let mut lines = Chunks { sender: sender.clone(), gathered: String::with_capacity(CHUNK + 1_024) };
        let outcome = export::each(&store, &keys, end, &mut lines).await;
        let sent = match outcome {
            Ok(_) => lines.send().await,
            Err(ExportError::Io(error)) => Err(error),
            Err(error) => {
                tracing::error!(?error, "an export of the audit log broke off");
                // The answer's end is missing, so that nobody takes it for whole.
                let broken = std::io::Error::other("the export broke off");
                sender.send(Err(broken)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
            }
        };
        if sent.is_err() {
            tracing::debug!("whoever asked for an export of the audit log has gone away");
        }
    });
    let body = Body::from_stream(stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Chunk>| {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }));
    Ok(download(body, "application/jsonl", "edgeseal-audit.jsonl"))
}

type Chunk = Result<Bytes, std::io::Error>;

/// Lines on their way to whoever asked.
struct Chunks {
    sender: mpsc::Sender<Chunk>,
    gathered: String,
}

impl Chunks {
    async fn send(&mut self) -> std::io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.gathered));
        self.sender.send(Ok(chunk)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Lines for Chunks {
    async fn line(&mut self, line: &str) -> std::io::Result<()> {
        self.gathered.push_str(line);
        self.gathered.push('\n');
        if self.gathered.len() < CHUNK { Ok(()) } else { self.send().await }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Form {
    /// `json` when absent.
    #[param(schema_with = formats)]
    format: Option<String>,
}

const FORMATS: [&str; 2] = ["json", "csv"];

fn formats() -> Schema {
    one_of("What is answered", FORMATS)
}

/// The life of every key.
#[derive(Serialize, ToSchema)]
struct KeyLedger {
    /// The oldest first.
    keys: Vec<Entry>,
}

/// The ledger of keys
///
/// What ISMS-P 2.7.2 and CSAP 12.3.2 ask for each key: owner, purpose, generation, storage, distribution, validity, recovery
/// and destruction.
#[utoipa::path(get, path = "/admin/v1/audit/ledger", operation_id = "getKeyLedger", tag = "audit",
    params(Form),
    responses((status = 200, description = "One entry for each key", content((KeyLedger = "application/json"), (String = "text/csv")))),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn compliance(
    State(service): State<Shared>,
    Auditor(person): Auditor,
    Asked(Form { format }): Asked<Form>,
) -> Result<Response, AdminProblem> {
    let format = format.as_deref().unwrap_or(FORMATS[0]);
    if !FORMATS.contains(&format) {
        let detail = format!("format is {format:?}; it takes json or csv");
        return Err(Problem::new(Code::RequestMalformed, detail).at("format").into());
    }
    let registry = service.issuer.registry();
    registry.ledger().record(&person.actor(), "audit.ledger", "", "{}").await?;
    let keys = ledger::compile(registry.ledger(), &service.hsm).await?;
    if format == "json" {
        return Ok(Json(KeyLedger { keys }).into_response());
    }
    Ok(download(Body::from(ledger::csv(&keys)), "text/csv; charset=utf-8", "edgeseal-keys.csv"))
}

fn download(body: Body, content_type: &'static str, name: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

fn moment(name: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let read = Moment::parse(&text).map(|Moment(at)| Some(at));
    read.ok_or_else(|| {
        let detail = format!("{name} is {text:?}; it takes RFC 3339 in UTC, such as 2026-11-22T10:10:00Z");
        Problem::new(Code::RequestMalformed, detail).at(name)
    })
}

/// `AT.SEQ.CHAIN`: where to go on.
fn cursor_of(place: &AuditPlace) -> String {
    let AuditPlace { at, chain, seq } = place;
    Base64UrlUnpadded::encode_string(format!("{}.{seq}.{chain}", at.as_millis()).as_bytes())
}

fn place(cursor: &str) -> Result<AuditPlace, Problem> {
    let read = || {
        let text = String::from_utf8(Base64UrlUnpadded::decode_vec(cursor).ok()?).ok()?;
        let mut parts = text.splitn(3, '.');
        let (at, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let chain = parts.next().filter(|chain| !chain.contains('\0'))?.to_owned();
        Some(AuditPlace { at: Timestamp::from_millis(at), chain, seq })
    };
    read().ok_or_else(|| Problem::new(Code::RequestMalformed, "cursor is none that an answer gave").at("cursor"))
}

fn views(rows: &[AuditRow]) -> Result<Vec<RowView>, RegistryError> {
    rows.iter().map(view).collect()
}

fn view(row: &AuditRow) -> Result<RowView, RegistryError> {
    let corrupt = |reason: String| StoreError::Corrupt(format!("row {} of chain {}: {reason}", row.seq, row.chain));
    let read = Row::read(&row.hash, &row.body).map_err(corrupt)?;
    let text = |name: &str| read.text(name).to_owned();
    Ok(RowView {
        chain: row.chain.clone(),
        seq: row.seq,
        at: text("at"),
        actor: text("actor"),
        action: text("action"),
        subject: text("subject"),
        digest: row.digest.clone(),
        detail: read.details().cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        hash: row.hash.clone(),
    })
}
