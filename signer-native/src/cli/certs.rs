//! `edgeseal certs renew`: the agent's certificate, now instead of when a third of its life is left.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{ConfigArguments, block_on, output};
use crate::{
    agent::{renewal, signers::Signers},
    config::{LogConfig, LogLevel},
    error::Failure,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Renew the agent's certificate, with a fresh key; a running daemon takes it up by itself
    Renew(Renew),
}

#[derive(Debug, Args)]
pub(super) struct Renew {
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Renew(Renew { config }) = command;
    let settings = config.settings(Vec::new())?;
    // What goes wrong is the one sentence that this ends with.
    super::log(LogConfig { level: LogLevel::Error, ..settings.log() });
    let agent = settings.daemon()?;
    if agent.certificate != agent.key {
        return Err(Failure::configuration(
            "agent.certificate and agent.key are two files: such a certificate is of another authority, which has to renew it; edgeseal agent enroll makes one file of both",
        ));
    }
    let path = agent.certificate.clone();
    let until = block_on(async {
        let renewed = renewal::renew(&path, &Signers::new(&agent)?).await;
        renewed.map_err(|why| Failure::new(why.kind(), format!("{} was not renewed: {why}", path.display())))
    })?;
    output::line(format_args!("{} is good until {until}", path.display()));
    Ok(ExitCode::SUCCESS)
}
