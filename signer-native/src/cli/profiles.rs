//! `edgeseal profiles`: what tokens are like. Those of the configuration file are changed there; others stand in the store, which
//! a running signer follows within its lease.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, keys::existing_store, output, read_input};
use crate::{
    error::{Failure, FailureKind, Invalid},
    issue::{Catalog, ProfileSettings},
    keys::{Actor, Ledger, now},
    store::{ProfileRow, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the profiles
    List(Listing),
    /// Create a profile in the store, or change one there
    Set(Set),
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
pub(super) struct Set {
    /// Its name
    name: String,
    /// All its settings as JSON, the members as in profiles.NAME of the configuration, or - for standard input
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list(arguments)?,
        Command::Set(arguments) => set(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let (configured, surroundings) = (settings.profile_settings(), settings.surroundings()?);
    let profiles = block_on(async {
        let rows = match existing_store(&settings).await {
            Ok(store) => store.profiles().await?,
            // Before the first start there is what the configuration says.
            Err(_) => Vec::new(),
        };
        Ok(Catalog::known(&configured, &surroundings, rows))
    })?;
    if arguments.json {
        let shown: Vec<Value> = profiles
            .iter()
            .map(|(name, known)| {
                let origin = if known.configured { "configuration" } else { "store" };
                let issuer = surroundings.issuers.get(&known.slot.issuer);
                json!({ "name": name, "origin": origin, "issuer": issuer, "settings": known.settings })
            })
            .collect();
        output::json(&json!({ "profiles": shown }));
        return Ok(());
    }
    let row = |(name, known): (&String, &crate::issue::Known)| {
        let modes: Vec<&str> = known.profile.modes.iter().map(|mode| mode.as_str()).collect();
        vec![
            name.clone(),
            known.profile.algorithm.to_string(),
            known.profile.audiences.join(", "),
            known.profile.max_lifetime.to_string(),
            modes.join(", "),
            if known.configured { "configuration" } else { "store" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = profiles.iter().map(row).collect();
    output::table(&["PROFILE", "ALG", "AUDIENCES", "UP TO", "MODES", "FROM"], &rows);
    Ok(())
}

fn set(arguments: &Set) -> Result<(), Failure> {
    let Set { name, settings: file, config } = arguments;
    let settings = config.load(Vec::new())?;
    crate::config::check_name("profiles", name)?;
    let usage = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    if settings.profile_settings().contains_key(name) {
        return Err(usage(format!("profiles.{name} stands in the configuration and is changed there")));
    }
    let wanted: ProfileSettings =
        serde_json::from_slice(&read_input(file)?).map_err(|error| usage(format!("--settings {}: {error}", file.display())))?;
    let slot = wanted
        .slot(name, &settings.surroundings()?)
        .map_err(|Invalid { field, sentence }| usage(format!("--settings {}: {field} {sentence}", file.display())))?;
    let (store, timing) = (settings.store()?, settings.timing()?);
    let created = block_on(async {
        let store = Store::open(&store).await?;
        let there = store.profiles().await?.iter().any(|row| row.name == *name);
        let ledger = Ledger::new(store.clone(), timing, vec![slot.clone()]);
        let action = if there { "profiles.edit" } else { "profiles.create" };
        ledger.record(&Actor::local(), action, name, &json!({ "settings": wanted }).to_string()).await?;
        let row = ProfileRow { name: name.clone(), settings: json!(wanted).to_string() };
        if there {
            // Tokens of today's keys may live as long from now on: the keys must know before anybody asks for one.
            for key in store.keys().await?.iter().filter(|key| slot.holds(key)) {
                store.allow_lifetime(key.id, slot.max_lifetime).await?;
            }
            store.edit_profile(&row, now()).await?;
        } else {
            store.create_profile(&row, now()).await?;
        }
        Ok(!there)
    })?;
    let what = if created { "created" } else { "changed" };
    output::line(format_args!("profile {name} is {what}; a running signer follows within {} s", timing.lease));
    Ok(())
}
