//! The sections `agent` and `client`: this machine as an agent, with its daemon or by single commands.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{Settings, secrets::read_secret};
use crate::{
    agent::{AgentConfig, Loopback},
    error::Failure,
};

/// Characters of the secret of a loopback listener: 128 bits as base64url.
const LEAST_SECRET: usize = 22;

/// How the command line reaches a signer as an agent.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The agents' listener.
    pub url: String,
    /// The authority of the signer's certificate, PEM; the system's when absent.
    pub ca: Option<PathBuf>,
    /// The agent's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawDaemon {
    socket: Option<PathBuf>,
    users: Vec<u32>,
    listen: Option<String>,
    secret_file: Option<PathBuf>,
    signers: Vec<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawClient {
    url: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Settings {
    /// What the agent's daemon needs.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be meant.
    pub fn daemon(&self) -> Result<AgentConfig, Failure> {
        let RawDaemon { socket, users, listen, secret_file, signers, ca, certificate, key } = &self.raw.agent;
        if signers.is_empty() {
            return Err(self.missing(
                "agent.signers",
                "the agents' listeners of your signers, such as [\"https://signer.example.com:8444\"]",
            ));
        }
        let loopback = listen.as_ref().map(|address| {
            let parsed: Option<SocketAddr> = address.parse().ok();
            let parsed = parsed.filter(|address| address.ip().is_loopback()).ok_or_else(|| {
                Failure::configuration(format!(
                    "agent.listen is {address:?}; it takes an address of this machine alone and a port, such as 127.0.0.1:8446"
                ))
            })?;
            let file =
                self.file("agent.secret_file", secret_file.as_ref(), "a file with mode 0600 that holds what callers must show")?;
            let origin = format!("agent.secret_file {}", file.display());
            let secret = read_secret(&file, &origin, "what callers of agent.listen must show")?;
            if secret.len() < LEAST_SECRET {
                return Err(Failure::configuration(format!(
                    "{origin} holds fewer than {LEAST_SECRET} characters; make one with: openssl rand -base64 32"
                )));
            }
            Ok(Loopback { address: parsed, secret })
        });
        Ok(AgentConfig {
            socket: self.file(
                "agent.socket",
                socket.as_ref(),
                "the Unix socket for applications, such as /run/edgeseal/agent.sock",
            )?,
            users: users.clone(),
            loopback: loopback.transpose()?,
            signers: signers.clone(),
            ca: ca.as_ref().map(|path| self.base.join(path)),
            certificate: self.file("agent.certificate", certificate.as_ref(), "the PEM file of the agent's certificate")?,
            key: self.file("agent.key", key.as_ref(), "the PEM file of its private key")?,
        })
    }

    /// Whether this is the configuration of an agent's machine, which has no signer.
    pub fn is_of_agent(&self) -> bool {
        !self.raw.agent.signers.is_empty() && self.raw.issuer.is_none()
    }

    /// How to reach a signer as an agent.
    ///
    /// # Errors
    /// When a part is not given.
    pub fn client(&self) -> Result<ClientConfig, Failure> {
        let RawClient { url, ca, certificate, key } = &self.raw.client;
        Ok(ClientConfig {
            url: self.required("client.url", url.clone(), "the agents' listener of your signer (or --url)")?,
            ca: ca.as_ref().map(|path| self.base.join(path)),
            certificate: self.file(
                "client.certificate",
                certificate.as_ref(),
                "the PEM file of the agent's certificate (or --cert)",
            )?,
            key: self.file("client.key", key.as_ref(), "the PEM file of its private key (or --key)")?,
        })
    }
}
