//! The configuration of the edge gateway. PURE: the Worker runs it, the command line checks it.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{discovery, error::PolicyError, issuers::Issuers, jwks_cache::CacheSettings, policy::IssuerSettings};

/// The gateway's configuration, as it stands in `wrangler.toml` under `[vars.EDGESEAL]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// The URL of the API behind the gateway, without path. Absent, verified requests are answered by the gateway itself with
    /// their claims where `echo` is set, and the configuration is refused where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Answers verified requests with their claims instead of forwarding them: for trying the gateway out.
    #[serde(default)]
    pub echo: bool,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// The header that carries the verified claims to the origin, base64url of their JSON text.
    #[serde(default = "default_claims_header")]
    pub claims_header: String,
    /// The key cache.
    #[serde(default)]
    pub cache: CacheSettings,
}

fn default_claims_header() -> String {
    "edgeseal-claims".into()
}

impl GatewaySettings {
    /// The settings from JSON text.
    ///
    /// # Errors
    /// The first setting that is unknown, missing, of the wrong type, or cannot be meant.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let settings: Self =
            serde_json::from_str(text).map_err(|error| PolicyError::new("EDGESEAL", alloc::format!("{error}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        match (&self.origin, self.echo) {
            (None, false) => {
                return Err(PolicyError::new("origin", "is missing: name the URL of the API behind the gateway"));
            }
            (Some(_), true) => return Err(PolicyError::new("echo", "answers instead of the origin: set one of the two")),
            (Some(origin), false) => discovery::check_setting("origin", origin)?,
            (None, true) => {}
        }
        let name = &self.claims_header;
        let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !name.starts_with("edgeseal-") || !name.bytes().all(is_token) {
            return Err(PolicyError::new(
                "claims_header",
                "must begin with \"edgeseal-\" and hold only a-z, 0-9 and -: the gateway removes such headers from requests",
            ));
        }
        self.cache.check().map_err(|error| error.within("cache"))?;
        Issuers::new(self.issuers.iter().map(|settings| (settings.issuer.clone(), ())).collect())?;
        for (index, settings) in self.issuers.iter().enumerate() {
            settings.check().map_err(|error| error.within(&alloc::format!("issuers[{index}]")))?;
        }
        Ok(())
    }
}
