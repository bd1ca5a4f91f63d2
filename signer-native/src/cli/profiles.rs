//! `edgeseal profiles`: what tokens are like. Those of the configuration file are changed there; others stand in the store, which
//! a running signer follows within its lease.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, check_argument, consent, existing_store, output, read_input, store_if_made};
use crate::{
    error::{Failure, FailureKind, Invalid},
    issue::{Catalog, Known, ProfileSettings},
    keys::{Actor, Ledger, Moment, now},
    store::{ProfileRow, Store},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the profiles
    List(Listing),
    /// Create a profile in the store, or change one there
    Set(Set),
    /// Sign nothing for a profile of the store any more; its keys come to their end by themselves
    Retire(End),
    /// Use a retired profile again, with new keys
    Reinstate(Named),
    /// Delete a retired profile of the store, once its keys are destroyed and no agent's policy names it
    Delete(End),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name
    name: String,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct End {
    #[command(flatten)]
    named: Named,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
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
        Command::Retire(arguments) => retire(arguments)?,
        Command::Reinstate(arguments) => reinstate(arguments)?,
        Command::Delete(arguments) => delete(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let (configured, surroundings) = (settings.profile_settings(), settings.surroundings()?);
    let profiles = block_on(async {
        let rows = match store_if_made(&settings).await? {
            Some(store) => store.profiles().await?,
            None => Vec::new(),
        };
        Ok(Catalog::known(&configured, &surroundings, rows))
    })?;
    let retired = |known: &Known| known.retired_at.map(|at| Moment(at).to_string());
    if arguments.json {
        let shown: Vec<Value> = profiles
            .iter()
            .map(|(name, known)| {
                let origin = if known.configured { "configuration" } else { "store" };
                let issuer = surroundings.issuers.get(&known.slot.issuer);
                json!({
                    "name": name, "origin": origin, "issuer": issuer, "settings": known.settings, "retired_at": retired(known),
                })
            })
            .collect();
        output::json(&json!({ "profiles": shown }));
        return Ok(());
    }
    let row = |(name, known): (&String, &Known)| {
        let modes: Vec<&str> = known.profile.modes.iter().map(|mode| mode.as_str()).collect();
        vec![
            name.clone(),
            known.profile.algorithm.to_string(),
            known.profile.audiences.join(", "),
            known.profile.max_lifetime.to_string(),
            modes.join(", "),
            if known.configured { "configuration" } else { "store" }.to_owned(),
            retired(known).map_or_else(|| "in use".to_owned(), |at| format!("retired {at}")),
        ]
    };
    let rows: Vec<Vec<String>> = profiles.iter().map(row).collect();
    output::table(&["PROFILE", "ALG", "AUDIENCES", "UP TO", "MODES", "FROM", "STATE"], &rows);
    Ok(())
}

fn set(arguments: &Set) -> Result<(), Failure> {
    let Set { name, settings: file, config } = arguments;
    check_argument("profile", name)?;
    let settings = config.load(Vec::new())?;
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
        let row = store.profiles().await?.into_iter().find(|row| row.name == *name);
        if row.as_ref().is_some_and(|row| row.retired_at.is_some()) {
            let sentence = format!("profile {name} is retired; edgeseal profiles reinstate {name} first");
            return Err(Failure::new(FailureKind::Refused, sentence));
        }
        let there = row.is_some();
        let ledger = Ledger::new(store.clone(), timing, vec![slot.clone()]);
        let action = if there { "profiles.edit" } else { "profiles.create" };
        ledger.record(&Actor::local(), action, name, &json!({ "settings": wanted }).to_string()).await?;
        let row = ProfileRow { name: name.clone(), settings: json!(wanted).to_string(), retired_at: None };
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

fn retire(arguments: &End) -> Result<(), Failure> {
    let End { named: Named { name, config }, yes } = arguments;
    let would = format!("profile {name} will sign nothing more, and its keys will end one by one, which do not come back");
    let ledger = async |ledger: Ledger| Ok(ledger.retire_profile(name, &Actor::local()).await?);
    let lease = with_profile(name, config, Some((*yes, would)), ledger)?;
    output::line(format_args!(
        "profile {name} is retired; running signers follow within {lease} s, and end its keys as their tokens do (edgeseal keys list)"
    ));
    Ok(())
}

fn reinstate(arguments: &Named) -> Result<(), Failure> {
    let Named { name, config } = arguments;
    let ledger = async |ledger: Ledger| Ok(ledger.reinstate_profile(name, &Actor::local()).await?);
    let lease = with_profile(name, config, None, ledger)?;
    output::line(format_args!("profile {name} is in use again, with new keys; running signers follow within {lease} s"));
    Ok(())
}

fn delete(arguments: &End) -> Result<(), Failure> {
    let End { named: Named { name, config }, yes } = arguments;
    let would = format!("profile {name} will be deleted");
    let ledger = async |ledger: Ledger| Ok(ledger.delete_profile(name, &Actor::local()).await?);
    with_profile(name, config, Some((*yes, would)), ledger)?;
    output::line(format_args!("profile {name} is deleted"));
    Ok(())
}

/// Does something about a profile of the store, if that is meant; gives the lease.
fn with_profile(
    name: &str,
    config: &ConfigArguments,
    asked: Option<(bool, String)>,
    act: impl AsyncFnOnce(Ledger) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let settings = config.load(Vec::new())?;
    if settings.profile_settings().contains_key(name) {
        let sentence = format!("profiles.{name} stands in the configuration; take it out there");
        return Err(Failure::new(FailureKind::Usage, sentence));
    }
    let (timing, slots) = (settings.timing()?, Vec::new());
    block_on(async {
        let store = existing_store(&settings).await?;
        if !store.profiles().await?.iter().any(|row| row.name == name) {
            let sentence = format!("no profile {name} is in the store; edgeseal profiles list shows all");
            return Err(Failure::new(FailureKind::Refused, sentence));
        }
        if let Some((yes, would)) = asked {
            consent(yes, &would)?;
        }
        act(Ledger::new(store, timing, slots)).await
    })?;
    Ok(timing.lease)
}
