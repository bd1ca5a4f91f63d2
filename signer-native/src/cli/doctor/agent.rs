//! What an agent needs: its settings, a certificate with some life left, a signer that knows it.

use edgeseal_core::Timestamp;
use hyper::{Method, StatusCode};

use super::{Finding, certificate, clock};
use crate::{
    agent::{
        AgentConfig,
        signers::{Signers, Unanswered},
    },
    config::Settings,
    http::tls,
    keys::{Moment, now},
};

pub(super) async fn examine(settings: &Settings) -> Vec<Finding> {
    let config = match settings.daemon() {
        Ok(config) => config,
        Err(failure) => return vec![found("configuration", Err(failure.to_string()))],
    };
    let told = format!("an agent, its socket {}", config.socket.display());
    vec![
        found("configuration", Ok(told)),
        found("certificate", identity(&config)),
        found("signers", signers(&config).await),
        found("clock", clock(None)),
    ]
}

fn found(what: &'static str, outcome: Result<String, String>) -> Finding {
    let fine = outcome.is_ok();
    Finding { what, fine, detail: outcome.unwrap_or_else(|detail| detail) }
}

/// A certificate that the daemon renews should never be near its end.
fn identity(config: &AgentConfig) -> Result<String, String> {
    let path = &config.certificate;
    if *path != config.key {
        return certificate("agent.certificate", path);
    }
    let chain = tls::certificates("agent.certificate", path).map_err(|failure| failure.to_string())?;
    let first = chain.first();
    let (begin, end) = first.and_then(tls::validity).ok_or_else(|| format!("{} cannot be read as X.509", path.display()))?;
    let (shown, moment) = (Moment(Timestamp::from_secs(end)), now().as_secs());
    if end <= moment {
        let name = first.and_then(tls::agent_name).unwrap_or_else(|| "NAME".to_owned());
        return Err(format!(
            "agent.certificate {} ended on {shown}; begin again with a code of: edgeseal agents invite {name}",
            path.display()
        ));
    }
    // The daemon renews when a third is left, and tries again every half a minute.
    if end - moment < (end - begin) / 4 {
        return Err(format!(
            "agent.certificate {} ends on {shown} and was not renewed; mend: edgeseal certs renew, which says why it cannot",
            path.display()
        ));
    }
    Ok(format!("agent.certificate until {shown}"))
}

async fn signers(config: &AgentConfig) -> Result<String, String> {
    let signers = Signers::new(config).map_err(|failure| failure.to_string())?;
    match signers.ask(Method::GET, "/openapi.json", None).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            Ok(format!("one of {} answers, and knows this agent", config.signers.len()))
        }
        Ok(answer) => {
            let member = |name: &str| answer.body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            Err(format!("{}: {}", member("code"), member("detail")))
        }
        Err(Unanswered { reasons, .. }) => Err(format!("none answers ({})", reasons.join("; "))),
    }
}
