//! `edgeseal agent`: the daemon beside an application.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{ConfigArguments, block_on};
use crate::{
    agent::{AgentConfig, local::Daemon},
    config::Override,
    error::Failure,
    service::told_to_end,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The Unix socket for applications (agent.socket)
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let flags = arguments.socket.as_deref().map(|path| Override::path("agent.socket", path));
    let settings = arguments.config.settings(flags.into_iter().collect())?;
    super::log(settings.log());
    block_on(serve(settings.daemon()?))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: AgentConfig) -> Result<(), Failure> {
    let stop = told_to_end()?;
    let socket = config.socket.display().to_string();
    let daemon = Daemon::open(config).await?;
    tracing::info!(socket, loopback = daemon.loopback_address().map(tracing::field::display), "serving");
    daemon.serve(stop).await;
    Ok(())
}
