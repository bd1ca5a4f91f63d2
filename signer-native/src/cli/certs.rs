//! `edgeseal certs renew`: the agent's certificate, now instead of when a third of its life is left.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use edgeseal_core::Timestamp;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{ConfigArguments, block_on, output};
use crate::{
    agent::{renewal, signers::Signers},
    error::{Failure, FailureKind},
    http::tls::not_after,
    keys::Moment,
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
    let settings = config.load(Vec::new())?;
    let agent = settings.daemon()?;
    if agent.certificate != agent.key {
        return Err(Failure::configuration(
            "agent.certificate and agent.key are two files: such a certificate is of another authority, which has to renew it; edgeseal agent enroll makes one file of both",
        ));
    }
    let path = agent.certificate.clone();
    block_on(async {
        let signers = Signers::new(&agent)?;
        let renewed = renewal::renew(&path, &signers).await;
        renewed.map_err(|why| Failure::new(FailureKind::Refused, format!("{} was not renewed: {why}", path.display())))
    })?;
    let end = CertificateDer::from_pem_file(&path).ok().and_then(|certificate| not_after(&certificate));
    let until = end.map(|end| Moment(Timestamp::from_secs(end)).to_string()).unwrap_or_default();
    output::line(format_args!("{} is good until {until}", path.display()));
    Ok(ExitCode::SUCCESS)
}
