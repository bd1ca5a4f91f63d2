//! The edges of the configuration: `[edges.NAME]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{config::check_name, error::Failure};

/// Where an edge takes documents, below its URL.
const PUSH_PATH: &str = "/.edgeseal/revocations";

/// Characters of an edge's id.
pub(super) const MAX_ID: usize = 128;

/// An edge as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEdge {
    url: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    ca: Option<PathBuf>,
}

/// An edge that is told of revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeConfig {
    /// Its name in the configuration.
    pub name: String,
    /// `aud` of its documents: what the edge's configuration calls `edge`.
    pub id: String,
    /// The gateway's URL.
    pub url: String,
    /// The authority of its certificate, PEM; the system's when absent.
    pub ca: Option<PathBuf>,
}

impl EdgeConfig {
    /// An edge of the file; paths start at `base`.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn new(name: &str, raw: &RawEdge, base: &Path) -> Result<Self, Failure> {
        check_name("edges", name)?;
        let RawEdge { url, id, ca } = raw;
        let wrong = |why: &str| {
            Failure::configuration(format!(
                "edges.{name}.url is {url:?}, and {why}; it takes the gateway's URL such as \"https://api.example.com\""
            ))
        };
        let rest = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => rest,
            (None, Some(rest)) if is_loopback(rest) => rest,
            (None, Some(_)) => return Err(wrong("leads over the network without TLS")),
            (None, None) => return Err(wrong("does not begin with https://")),
        };
        if rest.is_empty() || rest.starts_with([':', '/']) || rest.contains(['?', '#', '@']) || rest.contains(char::is_whitespace)
        {
            return Err(wrong("names no host, or more than a host and a path"));
        }
        let id = id.clone().unwrap_or_else(|| name.to_owned());
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !(1..=MAX_ID).contains(&id.len()) || !id.bytes().all(fine) {
            return Err(Failure::configuration(format!(
                "edges.{name}.id is {id:?}; it takes 1 to {MAX_ID} characters out of A-Z, a-z, 0-9, - _ . :"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            id,
            url: url.trim_end_matches('/').to_owned(),
            ca: ca.as_ref().map(|path| base.join(path)),
        })
    }

    /// Where documents are pushed to.
    pub fn push_url(&self) -> String {
        format!("{}{PUSH_PATH}", self.url)
    }
}

fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.strip_prefix('[').map_or_else(
        || authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        |v6| v6.split(']').next().unwrap_or_default(),
    );
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(text: &str) -> Result<EdgeConfig, String> {
        let raw: RawEdge = toml::from_str(text).map_err(|error| error.to_string())?;
        EdgeConfig::new("eu", &raw, Path::new("/etc/edgeseal")).map_err(|error| error.to_string())
    }

    #[test]
    fn edges_are_reached_over_tls_or_on_this_machine() {
        let read = edge("url = \"https://api.example.com/\"\nca = \"edge.pem\"").unwrap();
        assert_eq!((read.id.as_str(), read.push_url().as_str()), ("eu", "https://api.example.com/.edgeseal/revocations"));
        assert_eq!(read.ca, Some(PathBuf::from("/etc/edgeseal/edge.pem")));
        assert_eq!(edge("url = \"http://127.0.0.1:8787\"\nid = \"x\"").map(|edge| edge.id), Ok("x".to_owned()));
        assert!(edge("url = \"http://[::1]:8787\"").is_ok() && edge("url = \"http://localhost\"").is_ok());
        for (url, told) in [
            ("http://api.example.com", "without TLS"),
            ("http://localhost.example.com", "without TLS"),
            ("http://127.0.0.1.example.com", "without TLS"),
            ("ftp://api.example.com", "does not begin with https://"),
            ("https://", "names no host"),
            ("https://api.example.com?x", "names no host"),
            ("https://a@b", "names no host"),
        ] {
            let refused = edge(&format!("url = {url:?}")).unwrap_err();
            assert!(refused.contains("edges.eu.url is") && refused.contains(told), "{refused}");
        }
        assert!(edge("url = \"https://a\"\nid = \"\"").unwrap_err().contains("edges.eu.id"));
    }
}
