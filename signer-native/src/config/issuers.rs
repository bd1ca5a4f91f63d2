//! The section `issuers`: URLs, each with a JWK Set of its own.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Settings, check_name};
use crate::{error::Failure, keys::agent_url};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    pub(super) url: String,
}

impl Settings {
    /// Issuers by name; the top-level one has none.
    ///
    /// # Errors
    /// When one is no URL, or two would answer under the same path, or one where an agent of another is an issuer of its own.
    pub fn issuers(&self) -> Result<BTreeMap<String, String>, Failure> {
        let top = self.required("issuer", self.raw.issuer.clone(), "the https URL of this signer, as tokens say it in iss")?;
        check_issuer("issuer", &top)?;
        let mut issuers = BTreeMap::from([(String::new(), top)]);
        for (name, RawIssuer { url }) in &self.raw.issuers {
            check_name("issuers", name)?;
            let setting = format!("issuers.{name}.url");
            check_issuer(&setting, url)?;
            let same = issuers.iter().find(|(_, other)| path_of(other) == path_of(url));
            if let Some((_, other)) = same {
                return Err(Failure::configuration(format!(
                    "{setting} is {url:?}, and {other:?} has the same path; issuers are told apart by their paths"
                )));
            }
            issuers.insert(name.clone(), url.clone());
        }
        apart_from_agents(&issuers)?;
        Ok(issuers)
    }
}

/// Agents with keys of their own are issuers below `/agents/`: none of ours may take the place of one, whatever its host.
fn apart_from_agents(issuers: &BTreeMap<String, String>) -> Result<(), Failure> {
    for (name, url) in issuers {
        let above = issuers.values().find(|other| path_of(url).starts_with(&agent_url(path_of(other), "")));
        if let Some(above) = above {
            let setting = if name.is_empty() { "issuer".to_owned() } else { format!("issuers.{name}.url") };
            return Err(Failure::configuration(format!(
                "{setting} is {url:?}, and below {:?} there are the issuers of agents of {above:?}; it takes another path",
                agent_url(above, "")
            )));
        }
    }
    Ok(())
}

fn check_issuer(setting: &str, issuer: &str) -> Result<(), Failure> {
    let refused = |why: &str| {
        Failure::configuration(format!(
            "{setting} is {issuer:?}, and {why}; it takes a URL such as \"https://signer.example.com\""
        ))
    };
    let rest = issuer.strip_prefix("https://").ok_or_else(|| refused("does not begin with https://"))?;
    if rest.is_empty() || rest.starts_with('/') || rest.starts_with(':') {
        return Err(refused("names no host"));
    }
    if issuer.contains(['?', '#']) || issuer.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(refused("has a query, a fragment or blanks (RFC 8414 section 2)"));
    }
    // Verifiers compare it letter by letter, and ask where a URL parser leads them: both must be the same place.
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return Err(refused("holds a user or a password, which everybody would see"));
    }
    if !issuer.is_ascii() || issuer.contains(['%', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return Err(refused("has characters that clients write in another way"));
    }
    if authority.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Err(refused("names the host in capitals, which clients write small"));
    }
    if path.split('/').any(|step| step == "." || step == "..") {
        return Err(refused("has steps . or .., which clients take away"));
    }
    if issuer.ends_with('/') {
        return Err(refused("ends with a slash, which verifiers would have to repeat exactly"));
    }
    Ok(())
}

/// An issuer's URL without its path.
pub(crate) fn origin_of(issuer: &str) -> &str {
    issuer.strip_suffix(path_of(issuer)).unwrap_or(issuer)
}

/// The path of an issuer's URL; empty when there is none.
pub(crate) fn path_of(issuer: &str) -> &str {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}
