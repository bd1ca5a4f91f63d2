//! `edgeseal revoke`: keys, tokens, subjects. It writes into the store, beside a running signer, which tells the edges.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use edgeseal_core::Timestamp;
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, consent, existing_store, keys, output};
use crate::{
    audit::Blinding,
    config::Settings,
    error::{Failure, FailureKind},
    http::revocations::describe,
    keys::{Actor, Done, Ledger, Moment, Window},
    revocation::{Entry, Kind, Wish},
    store::Store,
};

/// How long the command waits for the edges' answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// A key: it is compromised, leaves the JWK Set, and no edge accepts its tokens any more
    Kid(Key),
    /// One token
    Jti(Token),
    /// All that a subject was issued before some moment
    Sub(Subject),
    /// What is revoked, until no valid token can be about it
    List(Listing),
}

#[derive(Debug, Args)]
pub(super) struct Key {
    /// The key: its kid, enough of the beginning of that, or what listings make of it
    #[arg(allow_hyphen_values = true)]
    kid: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Token {
    /// Its jti
    #[arg(allow_hyphen_values = true)]
    jti: String,
    /// The issuer's name (issuers.NAME) [default: the top-level one]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    issuer: String,
    /// The agent whose own key signed (mode digest); its issuer is the one above and /agents/NAME
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Subject {
    /// Its sub
    #[arg(allow_hyphen_values = true)]
    sub: String,
    /// The issuer's name (issuers.NAME) [default: the top-level one]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    issuer: String,
    /// The agent whose own key signed (mode digest); its issuer is the one above and /agents/NAME
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Tokens issued before this moment, such as 2026-11-22T10:10:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Option<Timestamp>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
struct Common {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not wait for the edges' answers
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Kid(arguments) => {
            keys::agreed(arguments.common.yes, &arguments.kid, keys::COMPROMISE)?;
            revoke(&arguments.common, What::Key(&arguments.kid))?;
        }
        Command::Jti(Token { jti, issuer, agent, common }) => {
            revoke(common, What::Wish(issuer, agent.as_deref(), &Wish::Token(jti.clone())))?;
        }
        Command::Sub(Subject { sub, issuer, agent, before, common }) => {
            revoke(common, What::Wish(issuer, agent.as_deref(), &Wish::Subject(sub.clone(), *before)))?;
        }
        Command::List(arguments) => list(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Clone, Copy)]
enum What<'a> {
    Key(&'a str),
    Wish(&'a str, Option<&'a str>, &'a Wish),
}

fn revoke(common: &Common, what: What<'_>) -> Result<(), Failure> {
    if let What::Wish(_, _, wish) = what {
        consent(common.yes, &would(wish))?;
    }
    let settings = common.config.load(Vec::new())?;
    let edges = settings.edges()?;
    let (mut answer, sentence, edges) = block_on(async {
        let (ledger, store) = open(&settings).await?;
        let (answer, sentence) = match what {
            What::Key(kid) => {
                let done = ledger.revoke_key(kid, &Actor::local()).await?;
                let sentence = match &done {
                    Done::Changed { key, successor, window } => {
                        let kid = key.kid().unwrap_or_default();
                        let next =
                            successor.as_ref().map_or_else(String::new, |successor| format!("; {successor} signs instead"));
                        let wait = window.as_ref().map_or_else(String::new, |Window { kid, until }| {
                            format!("; until {} edges may answer key_not_found to tokens of {kid}", Moment(*until))
                        });
                        format!("key {kid} is {}, and no edge is to accept its tokens{next}{wait}", key.state)
                    }
                    Done::Proposed(_) => String::new(),
                };
                (json!(ledger.describe_done(&done)), sentence)
            }
            What::Wish(issuer, agent, wish) => {
                let entry = ledger.revoke(issuer, agent, wish, &Actor::local()).await?;
                (entry.describe(), sentence_of(&entry))
            }
        };
        let version = store.revocations_version().await?;
        let began = Instant::now();
        loop {
            let rows = store.edges().await?;
            let described: Vec<Value> = edges.iter().map(|edge| json!(describe(edge, &rows, version))).collect();
            let waiting = described.iter().any(|edge| edge["state"] != "current");
            if !waiting || common.no_wait || began.elapsed() >= PATIENCE {
                return Ok((answer, sentence, described));
            }
            tokio::time::sleep(LOOK).await;
        }
    })?;
    if common.json {
        answer["edges"] = Value::Array(edges);
        output::json(&answer);
        return Ok(());
    }
    output::line(sentence);
    if edges.is_empty() {
        output::note("no edge is configured ([edges.NAME]), so that only this signer knows");
    }
    for edge in edges {
        output::line(told(&edge));
    }
    Ok(())
}

fn would(wish: &Wish) -> String {
    match wish {
        Wish::Token(jti) => format!("the token {jti} will be refused at every edge, which cannot be taken back"),
        Wish::Subject(sub, before) => {
            let before = before.map_or_else(|| "now".to_owned(), |before| Moment(before).to_string());
            format!("what {sub} was issued before {before} will be refused at every edge, which cannot be taken back")
        }
    }
}

fn sentence_of(Entry { kind, issuer, value, before, until, .. }: &Entry) -> String {
    let until = Moment(*until);
    match (kind, before) {
        (Kind::Sub, Some(before)) => {
            format!("what {value} was issued by {issuer} before {} is revoked; listed until {until}", Moment(*before))
        }
        _ => format!("the token {value} of {issuer} is revoked; listed until {until}"),
    }
}

/// An edge's standing, as a line.
fn told(edge: &Value) -> String {
    let text = |member: &str| edge[member].as_str().unwrap_or("-").to_owned();
    if edge["state"] == "current" {
        let bound = match edge["bound_by"].as_str() {
            Some(at) => format!("every isolate bound by {at}"),
            None => format!("every isolate that can read the list bound by {}", text("reread_by")),
        };
        return format!("  edge {}: stored as sequence {}, {bound}", text("name"), edge["seq"]);
    }
    let trouble = edge["trouble"].as_str().unwrap_or("is a signer running?");
    format!("  edge {}: not told yet ({trouble}); edgeseal edges list shows when it is", text("name"))
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let entries = block_on(async { Ok(open(&settings).await?.0.revocations().await?) })?;
    if arguments.json {
        output::json(&json!({ "revocations": entries.iter().map(Entry::describe).collect::<Vec<Value>>() }));
        return Ok(());
    }
    let row = |entry: &Entry| {
        vec![
            entry.kind.as_str().to_owned(),
            entry.value.clone(),
            if entry.issuer.is_empty() { "(every issuer)".to_owned() } else { entry.issuer.clone() },
            entry.before.map_or_else(|| "-".to_owned(), |before| Moment(before).to_string()),
            Moment(entry.until).to_string(),
            entry.actor.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    output::table(&["KIND", "VALUE", "ISSUER", "ISSUED BEFORE", "UNTIL", "BY"], &rows);
    Ok(())
}

async fn open(settings: &Settings) -> Result<(Ledger, Store), Failure> {
    let store = existing_store(settings).await?;
    let key = settings.audit()?.hmac_key_file;
    let blinding = key.map(|path| Blinding::open("audit.hmac_key_file", &path)).transpose()?;
    let ledger = Ledger::new(store.clone(), settings.timing()?, settings.slots()?).with_issuers(settings.issuers()?);
    Ok((ledger.with_blinding(blinding.unwrap_or_else(Blinding::none)), store))
}

fn moment(text: &str) -> Result<Timestamp, Failure> {
    let refused = || Failure::new(FailureKind::Usage, "it takes RFC 3339 in UTC, such as 2026-11-22T10:10:00Z");
    Moment::parse(text).map(|Moment(at)| at).ok_or_else(refused)
}
