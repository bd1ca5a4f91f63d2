//! The section `console`.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde::Deserialize;

use super::check_name;
use crate::{
    console::{ConsoleConfig, RelyingParty},
    error::Failure,
    http::person::Role,
    issue::Lifetime,
};

/// A session that is not used for so long has ended, unless the setting says otherwise.
const IDLE: Lifetime = Lifetime(900);
/// The longest idle time: half a day, or an evening's open window would be open in the morning.
const MOST_IDLE: Lifetime = Lifetime(43_200);
/// A session ends after so long whatever happens, unless the setting says otherwise.
const SESSION: Lifetime = Lifetime(43_200);
/// The longest session: somebody has to show a passkey every day.
const MOST_SESSION: Lifetime = Lifetime(86_400);
/// For so long a passkey that was shown counts for dangerous acts, unless the setting says otherwise.
const PROOF: Lifetime = Lifetime(300);
/// The longest time that it may count.
const MOST_PROOF: Lifetime = Lifetime(900);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConsole {
    url: Option<String>,
    idle_timeout: Option<Lifetime>,
    session_lifetime: Option<Lifetime>,
    reauthenticate_after: Option<Lifetime>,
    certificates: BTreeMap<String, String>,
}

impl RawConsole {
    /// Checked, for a listener at this address.
    pub(super) fn check(&self, address: SocketAddr) -> Result<ConsoleConfig, Failure> {
        let Self { url, idle_timeout, session_lifetime, reauthenticate_after, certificates } = self;
        let url = url.clone().unwrap_or_else(|| format!("https://localhost:{}", address.port()));
        // Browsers leave the scheme's own port away.
        let origin = url.strip_suffix(":443").unwrap_or(&url);
        let relying_party = RelyingParty::new(origin).map_err(|why| {
            Failure::configuration(format!("console.url is {url:?}, and {why}; an example is https://localhost:8445"))
        })?;
        let session_lifetime = span("session_lifetime", *session_lifetime, SESSION, MOST_SESSION)?;
        let idle_timeout = span("idle_timeout", *idle_timeout, IDLE, MOST_IDLE)?;
        let proof_lifetime = span("reauthenticate_after", *reauthenticate_after, PROOF, MOST_PROOF)?;
        let role = |(name, role): (&String, &String)| {
            check_name("console.certificates", name)?;
            let found = Role::from_name(role).ok_or_else(|| {
                let known = Role::ALL.map(Role::as_str).join(", ");
                Failure::configuration(format!("console.certificates.{name} is {role:?}; it takes one of {known}"))
            })?;
            Ok((name.clone(), found))
        };
        let certificates = certificates.iter().map(role).collect::<Result<_, Failure>>()?;
        Ok(ConsoleConfig { relying_party, idle_timeout, session_lifetime, proof_lifetime, certificates })
    }
}

fn span(name: &str, given: Option<Lifetime>, default: Lifetime, most: Lifetime) -> Result<Duration, Failure> {
    let span = given.unwrap_or(default);
    if !(Lifetime(1)..=most).contains(&span) {
        return Err(Failure::configuration(format!("console.{name} is {span}; it takes 1s to {most}")));
    }
    Ok(Duration::from_secs(span.as_secs()))
}
