//! The sections `listen` and `traces`: where the signer is reached, and whom it tells what it did.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde::Deserialize;

use super::Settings;
use crate::{error::Failure, http::tls, traces::TracesConfig};

/// One TLS listener.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The setting's name, for messages.
    pub setting: &'static str,
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawListen {
    pub(super) public: RawListener,
    pub(super) agents: RawListener,
    pub(super) metrics: RawPlain,
    pub(super) admin: RawListener,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPlain {
    pub(super) address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawListener {
    pub(super) address: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTraces {
    endpoint: Option<String>,
    sample: Option<f64>,
    ca: Option<PathBuf>,
}

impl Settings {
    /// Where spans go.
    pub(super) fn traces(&self) -> Result<Option<TracesConfig>, Failure> {
        let RawTraces { endpoint, sample, ca } = &self.raw.traces;
        let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) else { return Ok(None) };
        let secure = endpoint.starts_with("https://");
        let parsed = endpoint.parse::<hyper::Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none());
        if parsed.is_none() || !(secure || endpoint.starts_with("http://")) {
            return Err(Failure::configuration(format!(
                "traces.endpoint is {endpoint:?}; it takes the base URL of a collector for OTLP over HTTP, such as http://127.0.0.1:4318"
            )));
        }
        let sample = sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            return Err(Failure::configuration(format!("traces.sample is {sample}; it takes a share of requests from 0 to 1")));
        }
        let ca = ca.as_ref().map(|path| self.base.join(path));
        let tls = secure.then(|| tls::client(ca.as_deref().map(|path| ("traces.ca", path)), None)).transpose()?;
        Ok(Some(TracesConfig { endpoint: endpoint.clone(), sample, tls: tls.map(Arc::new) }))
    }

    /// The certificate of the public listener, by which newcomers know the signer.
    ///
    /// # Errors
    /// When it is not given.
    pub fn public_certificate(&self) -> Result<PathBuf, Failure> {
        let certificate = self.raw.listen.public.certificate.as_ref();
        self.file("listen.public.certificate", certificate, "the PEM file of its TLS certificate chain")
    }

    /// Where browsers find the console, if there is one.
    ///
    /// # Errors
    /// When the administrators' listener or the console cannot be meant so.
    pub fn console_url(&self) -> Result<Option<String>, Failure> {
        let Some((listen, _)) = self.admin()? else { return Ok(None) };
        Ok(Some(self.raw.console.check(listen.address)?.relying_party.origin().to_owned()))
    }

    pub(super) fn admin(&self) -> Result<Option<(ListenConfig, PathBuf)>, Failure> {
        let raw = &self.raw.listen.admin;
        if raw.certificate.is_none() && raw.key.is_none() && raw.client_ca.is_none() {
            return Ok(None);
        }
        let what = "the PEM file of the authority of your administrators' certificates";
        Ok(Some((self.listener("admin", raw)?, self.file("listen.admin.client_ca", raw.client_ca.as_ref(), what)?)))
    }

    pub(super) fn listener(&self, which: &'static str, raw: &RawListener) -> Result<ListenConfig, Failure> {
        let (setting, default) = match which {
            "public" => ("listen.public", "127.0.0.1:8443"),
            "agents" => ("listen.agents", "127.0.0.1:8444"),
            _ => ("listen.admin", "127.0.0.1:8445"),
        };
        let address = address(setting, raw.address.as_deref().unwrap_or(default), default)?;
        Ok(ListenConfig {
            setting,
            address,
            certificate: self.file(
                &format!("{setting}.certificate"),
                raw.certificate.as_ref(),
                "the PEM file of its TLS certificate chain",
            )?,
            key: self.file(&format!("{setting}.key"), raw.key.as_ref(), "the PEM file of its TLS private key")?,
        })
    }
}

pub(super) fn address(setting: &str, text: &str, example: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::configuration(format!("{setting}.address is {text:?}; it takes an IP address and a port, such as {example}"))
    })
}
