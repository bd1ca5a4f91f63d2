//! `edgeseal edges`: what the edges were told of revocations, and the control keys that they pin.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use edgeseal_core::Jwk;
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, existing_store, keys, output};
use crate::{
    config::{Settings, origin_of},
    error::{Failure, FailureKind},
    http::revocations::describe,
    keys::{Ledger, registry::RegistryError},
    revocation::{EdgeConfig, courier},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the edges, and what they have acknowledged
    List(Listing),
    /// Print what an edge's configuration says of revocation: its name and the control keys, current and next
    Pin(Pin),
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
pub(super) struct Pin {
    /// The edge (edges.NAME); may be left away where there is one
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list(arguments)?,
        Command::Pin(arguments) => pin(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let edges = settings.edges()?;
    let (rows, version) = block_on(async {
        let store = existing_store(&settings).await?;
        Ok((store.edges().await?, store.revocations_version().await?))
    })?;
    let edges: Vec<Value> = edges.iter().map(|edge| json!(describe(edge, &rows, version))).collect();
    if arguments.json {
        output::json(&json!({ "edges": edges }));
        return Ok(());
    }
    let row = |edge: &Value| {
        let text = |member: &str| edge[member].as_str().unwrap_or("-").to_owned();
        let seq = edge["seq"].as_u64().filter(|seq| *seq > 0).map_or_else(|| "-".to_owned(), |seq| seq.to_string());
        vec![text("name"), text("url"), text("state"), seq, text("acknowledged_at"), text("bound_by"), text("trouble")]
    };
    let rows: Vec<Vec<String>> = edges.iter().map(row).collect();
    output::table(&["EDGE", "URL", "STATE", "SEQUENCE", "ACKNOWLEDGED", "BOUND BY", "TROUBLE"], &rows);
    Ok(())
}

fn pin(arguments: &Pin) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let edge = the_edge(settings.edges()?, arguments.name.as_deref())?;
    let signer = settings.issuers()?.get("").cloned().unwrap_or_default();
    // One document for all issuers: it lies beside no path of theirs.
    let url = format!("{}/.well-known/edgeseal-revocations?edge={}", origin_of(&signer), edge.id);
    let keys = block_on(control_keys(&settings))?;
    let keys: Vec<String> = keys.iter().map(Jwk::to_json).collect();
    if arguments.json {
        let keys: Vec<Value> = keys.iter().map(|key| serde_json::from_str(key).unwrap_or_default()).collect();
        output::json(&json!({ "edge": edge.id, "control_keys": keys, "url": url }));
        return Ok(());
    }
    output::line("[vars.EDGESEAL.revocation]");
    output::line(format_args!("edge = {:?}", edge.id));
    output::line(format_args!("url = {url:?}"));
    output::line("control_keys = [");
    for (key, which) in keys.iter().zip(["current", "next"].into_iter().chain(std::iter::repeat("later"))) {
        output::line(format_args!("  '{key}', # {which}"));
    }
    output::line("]");
    Ok(())
}

/// From the store; the keys are made where there are none, which takes the HSM.
async fn control_keys(settings: &Settings) -> Result<Vec<Jwk>, Failure> {
    let store = existing_store(settings).await?;
    let ledger = Ledger::new(store.clone(), settings.timing()?, settings.slots()?);
    let pinned = courier::pinned(&ledger.keys().await?)?;
    if pinned.len() >= 2 {
        return Ok(pinned);
    }
    let registry = keys::registry(settings).await?;
    courier::control_key(&registry, &store, &format!("pin:{}", std::process::id())).await?;
    let pinned = courier::pinned(&registry.ledger().keys().await?)?;
    if pinned.is_empty() {
        return Err(RegistryError::Unsound("the control key was not made".to_owned()).into());
    }
    Ok(pinned)
}

fn the_edge(mut edges: Vec<EdgeConfig>, name: Option<&str>) -> Result<EdgeConfig, Failure> {
    let known: Vec<String> = edges.iter().map(|edge| edge.name.clone()).collect();
    let refused = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    match name {
        Some(name) => edges
            .into_iter()
            .find(|edge| edge.name == name)
            .ok_or_else(|| refused(format!("no edge is called {name:?}; the configuration has [{}]", known.join(", ")))),
        None if edges.len() == 1 => Ok(edges.remove(0)),
        None if edges.is_empty() => Err(refused("no edge is configured; add [edges.NAME] with its url".to_owned())),
        None => Err(refused(format!("say which edge: {}", known.join(", ")))),
    }
}
