//! What an edge's configuration says of revocation.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

use super::{Control, Reader};
use crate::{
    discovery,
    error::PolicyError,
    jwk::Jwk,
    jwk_set::JwkSet,
    settings::{Fields, Setting, expected},
};

/// Seconds between two readings of the list unless set.
pub const DEFAULT_REFRESH: u64 = 10;
/// Seconds: a revocation that takes longer than this is none.
pub const MAX_REFRESH: u64 = 300;
/// Octets of an edge's name.
const MAX_EDGE_LEN: usize = 128;

/// Revocation at an edge. `edgeseal edges pin` prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct RevocationSettings {
    /// The edge's name: `aud` of the documents.
    pub edge: String,
    /// The control keys, current and next: JWKs, or their JSON texts.
    pub control_keys: Vec<Value>,
    /// Where the cron trigger fetches the document: the signer's `/.well-known/edgeseal-revocations?edge=NAME`. Without it the
    /// list comes by push alone.
    pub url: Option<String>,
    /// R, in seconds: how often every isolate reads the list again; 10 unless set.
    pub refresh: u64,
    /// What is answered when the list has not been readable for 3 R.
    pub when_stale: WhenStale,
}

/// What is answered when nobody knows what has been revoked lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// 503, until the list can be read.
    #[default]
    Refuse,
    /// Tokens are accepted by the old list, and the log says so.
    Continue,
}

impl Setting for WhenStale {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value.as_str() {
            Some("refuse") => Ok(Self::Refuse),
            Some("continue") => Ok(Self::Continue),
            _ => Err(PolicyError::new("", "must be \"refuse\" or \"continue\"")),
        }
    }
}

impl Setting for RevocationSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            edge: fields.required("edge")?,
            control_keys: fields.required("control_keys")?,
            url: fields.optional("url")?,
            refresh: fields.or("refresh", DEFAULT_REFRESH)?,
            when_stale: fields.or("when_stale", WhenStale::default())?,
        };
        fields.finish()?;
        Ok(settings)
    }
}

impl RevocationSettings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        if !(1..=MAX_REFRESH).contains(&self.refresh) {
            let detail = alloc::format!("is {}; it takes 1 to {MAX_REFRESH} seconds", self.refresh);
            return Err(PolicyError::new("refresh", detail));
        }
        if !(1..=MAX_EDGE_LEN).contains(&self.edge.len()) {
            return Err(PolicyError::new("edge", "must be the edge's name at the signer, as `edgeseal edges pin` prints it"));
        }
        if let Some(url) = &self.url {
            discovery::check_setting("url", url)?;
        }
        self.control().map(drop)
    }

    /// The pinned keys.
    ///
    /// # Errors
    /// The first that cannot be meant.
    pub fn control(&self) -> Result<Control, PolicyError> {
        let mut keys = Vec::with_capacity(self.control_keys.len());
        for (index, value) in self.control_keys.iter().enumerate() {
            let here = |error: PolicyError| error.within(&alloc::format!("control_keys[{index}]"));
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Object(_) => crate::json::to_string(value),
                other => return Err(here(expected("a JWK, or its JSON text", other))),
            };
            let problem = |problem: &str| here(PolicyError::new("", alloc::format!("is no usable public key: {problem}")));
            keys.push(Jwk::from_json(&text).map_err(|refused| problem(refused.as_str()))?);
        }
        Control::new(&self.edge, JwkSet::from_keys(keys))
    }

    /// A reader of the list that knows nothing yet.
    pub fn reader(&self) -> Reader {
        Reader::new(self.refresh, self.when_stale)
    }
}
