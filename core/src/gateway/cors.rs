//! What a refusal says to a browser's script: without it the script could not tell a 401 from an outage. Preflights and good
//! requests are the origin's to answer. PURE.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

use crate::{
    error::{PolicyError, quoted},
    settings::{Fields, Setting},
};

/// Who may read refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// Values of `Origin`, or `*` for all.
    pub origins: Vec<String>,
    /// Whether the scripts may send cookies.
    pub credentials: bool,
    /// The headers that scripts may read, beside the safe-listed ones.
    pub expose: Vec<String>,
}

/// What scripts may read unless set.
const DEFAULT_EXPOSE: [&str; 2] = ["www-authenticate", "retry-after"];

impl CorsSettings {
    /// The headers that a refusal carries for a request with this `Origin`.
    pub fn headers(&self, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        let any = self.origins.iter().any(|one| one == "*");
        if !any {
            headers.push(("vary", "Origin".into()));
        }
        let Some(origin) = origin.filter(|origin| any || self.origins.iter().any(|one| one == origin)) else { return headers };
        headers.push(("access-control-allow-origin", if any { "*".into() } else { origin.into() }));
        if self.credentials {
            headers.push(("access-control-allow-credentials", "true".into()));
        }
        headers.push(("access-control-expose-headers", self.expose.join(", ")));
        headers
    }

    fn check(&self) -> Result<(), PolicyError> {
        let Self { origins, credentials, expose } = self;
        if origins.is_empty() {
            return Err(PolicyError::new("origins", "is empty: name at least one, such as \"https://app.example.com\""));
        }
        for (index, origin) in origins.iter().enumerate() {
            if origin == "*" {
                if *credentials {
                    return Err(PolicyError::new(
                        "credentials",
                        "is true, and origins holds \"*\": browsers take no such answer",
                    ));
                }
                continue;
            }
            check_origin(origin).map_err(|error| error.within(&alloc::format!("origins[{index}]")))?;
        }
        for (index, name) in expose.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(PolicyError::new(alloc::format!("expose[{index}]"), "is no header's name"));
            }
        }
        Ok(())
    }
}

/// An origin as browsers write it (RFC 6454 section 6.2).
pub(super) fn check_origin(origin: &str) -> Result<(), PolicyError> {
    let refuse = |why: &str| Err(PolicyError::new("", alloc::format!("is {}: {why}", quoted(origin))));
    let Some((scheme, authority)) = origin.split_once("://") else {
        return refuse("write scheme, host and port, such as \"https://app.example.com\"");
    };
    if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ', '*', ',']) {
        return refuse("write scheme, host and port, and nothing else; a * stands for no part of a host");
    }
    if origin.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii_graphic()) {
        return refuse("browsers send it in lower case, international names in Punycode");
    }
    match (scheme, authority.rsplit_once(':')) {
        ("https", Some((_, "443"))) | ("http", Some((_, "80"))) => refuse("browsers leave out the scheme's own port"),
        _ => Ok(()),
    }
}

impl Setting for CorsSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            origins: fields.required("origins")?,
            credentials: fields.or("credentials", false)?,
            expose: fields.or("expose", DEFAULT_EXPOSE.map(String::from).to_vec())?,
        };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }
}
