//! `edgeseal jwks inspect`: what a verifier will make of a JWK Set.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use edgeseal_core::JwkSet;
use serde_json::json;

use super::{output, read_input};
use crate::error::{Failure, FailureKind};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Count the keys of a JWK Set, and say why others are not usable
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The file, or - for standard input
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Inspect(Inspect { file, json }) = command;
    let text = String::from_utf8(read_input(file)?)
        .map_err(|_| Failure::new(FailureKind::Refused, format!("jwks_malformed: {} is not UTF-8", file.display())))?;
    let set = JwkSet::from_json(&text).map_err(|error| Failure::new(FailureKind::Refused, error.to_string()))?;
    let skipped: Vec<(usize, String)> = set.skipped().iter().map(|key| (key.index, key.reason.as_str().to_owned())).collect();
    if *json {
        let skipped: Vec<serde_json::Value> =
            skipped.iter().map(|(index, reason)| json!({ "index": index, "reason": reason })).collect();
        output::json(&json!({ "keys": set.total(), "usable": set.keys().len(), "skipped": skipped }));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!("{} keys, {} usable", set.total(), set.keys().len()));
    for key in set.keys() {
        let algorithm = key.algorithm().map_or_else(|| "any of its kind".to_owned(), |algorithm| algorithm.to_string());
        output::line(format_args!("  ✓ {}  {algorithm}", key.kid().unwrap_or("(no kid)")));
    }
    for (index, reason) in skipped {
        output::line(format_args!("  ✗ key {index}: {reason}"));
    }
    Ok(ExitCode::SUCCESS)
}
