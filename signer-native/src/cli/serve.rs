//! `edgeseal serve`: the signer.

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Args;

use super::{ConfigArguments, block_on, output, users::new_setup_code};
use crate::{
    config::{Override, SignerConfig},
    console::SETUP_LIFETIME,
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
    let console = config.console.as_ref().map(|console| console.relying_party.origin().to_owned());
    let (profiles, rotates) = (config.profiles.keys().cloned().collect::<Vec<_>>(), config.rotates);
    let mut told = stop.clone();
    let signer = tokio::select! {
        signer = Signer::prepare(config, hsm, doors) => signer?,
        _ = told.wait_for(|stop| *stop) => return Ok(()),
    };
    let snapshot = signer.registry().snapshot();
    for profile in profiles.iter().filter(|profile| !snapshot.active.contains_key(*profile)) {
        if rotates {
            tracing::info!("profile {profile} has no active key; one is made now, unless its key is suspended");
        } else {
            tracing::warn!(
                "profile {profile} has no active key: edgeseal keys generate --profile {profile}, then edgeseal keys activate"
            );
        }
    }
    if let Some(url) = console {
        invite_first(&signer, &url).await?;
    }
    tracing::info!(issuer, %public, %agents, ?admin, "serving");
    signer.serve(stop).await;
    Ok(())
}

/// Shows a set-up code to whoever started this on a terminal. Anything else that reads standard output may keep it: a journal,
/// a log. There the command makes one.
async fn invite_first(signer: &Signer, url: &str) -> Result<(), Failure> {
    let store = signer.store();
    if store.users().await?.iter().any(|user| user.last_login_at.is_some()) {
        return Ok(());
    }
    if std::io::stdout().is_terminal() {
        let (code, expires_at) = new_setup_code(store, signer.registry().ledger(), SETUP_LIFETIME).await?;
        output::line(format_args!(
            "\n  Nobody has set the console up yet. At {url}, with this code, until {expires_at}:  {}\n",
            code.as_str()
        ));
    } else {
        tracing::info!(url, "nobody has set the console up yet: edgeseal users setup-code makes the code that it asks for");
    }
    Ok(())
}
