//! `edgeseal serve`: the signer.

use std::process::ExitCode;

use clap::Args;

use super::{ConfigArguments, block_on};
use crate::{
    config::{Override, SignerConfig},
    error::Failure,
    service::{Doors, Signer, open_hsm, told_to_end},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where the public listener listens (listen.public.address)
    #[arg(long, value_name = "ADDRESS")]
    public: Option<String>,
    /// Where the agents' listener listens (listen.agents.address)
    #[arg(long, value_name = "ADDRESS")]
    agents: Option<String>,
    /// Where the administrators' listener listens (listen.admin.address)
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut flags = Vec::new();
    flags.extend(arguments.public.as_ref().map(|address| Override::text("listen.public.address", address)));
    flags.extend(arguments.agents.as_ref().map(|address| Override::text("listen.agents.address", address)));
    flags.extend(arguments.admin.as_ref().map(|address| Override::text("listen.admin.address", address)));
    let config = arguments.config.load(flags)?.signer()?;
    block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: SignerConfig) -> Result<(), Failure> {
    let stop = told_to_end()?;
    // Ports and certificates first: whatever is wrong with them costs no PIN attempt.
    let doors = Doors::open(&config).await?;
    let hsm = open_hsm(config.hsm.clone()).await?;
    let (issuer, (public, agents, admin)) = (config.issuers.get("").cloned().unwrap_or_default(), doors.addresses());
    let profiles: Vec<String> = config.profiles.keys().cloned().collect();
    let signer = Signer::prepare(config, hsm, doors).await?;
    let snapshot = signer.registry().snapshot();
    for profile in profiles.iter().filter(|profile| !snapshot.active.contains_key(*profile)) {
        tracing::warn!(
            "profile {profile} has no active key: edgeseal keys generate --profile {profile}, then edgeseal keys activate"
        );
    }
    tracing::info!(issuer, %public, %agents, ?admin, "serving");
    signer.serve(stop).await;
    Ok(())
}
