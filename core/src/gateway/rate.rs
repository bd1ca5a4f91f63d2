//! How often the same client may come: counted by a rate limiting binding of the runtime. PURE.

use alloc::string::String;

use serde_json::Value;

use crate::{
    claims::Claims,
    error::PolicyError,
    settings::{Fields, Setting, expected},
};

/// Seconds after which a client may come again, unless set: the longest period that a binding counts over.
const DEFAULT_RETRY_AFTER: u64 = 60;

/// A rate limit of a route, or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// The rate limiting binding of the Worker, which says how many in which time.
    pub binding: String,
    /// Who is counted together.
    pub key: RateKey,
    /// Seconds that `Retry-After` says.
    pub retry_after: u64,
}

/// Who is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateKey {
    /// The token's issuer and subject, once it is verified; whoever has no token by address.
    #[default]
    Subject,
    /// The client's address, before the token is looked at.
    Ip,
}

impl RateLimitSettings {
    /// What the client is counted by once it is known who it is.
    pub fn subject_key(claims: Option<&Claims>, ip: &str) -> String {
        match claims.and_then(|claims| Some((claims.issuer().unwrap_or_default(), claims.subject()?))) {
            Some((issuer, subject)) => alloc::format!("sub:{issuer} {subject}"),
            None => Self::ip_key(ip),
        }
    }

    /// What the client is counted by before it is known who it is.
    pub fn ip_key(ip: &str) -> String {
        alloc::format!("ip:{ip}")
    }
}

impl Setting for RateLimitSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        // The binding alone is the short form.
        if let Value::String(binding) = value {
            let settings = Self { binding, key: RateKey::default(), retry_after: DEFAULT_RETRY_AFTER };
            return settings.checked();
        }
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            binding: fields.required("binding")?,
            key: fields.or("key", RateKey::default())?,
            retry_after: fields.or("retry_after", DEFAULT_RETRY_AFTER)?,
        };
        fields.finish()?;
        settings.checked()
    }
}

impl RateLimitSettings {
    fn checked(self) -> Result<Self, PolicyError> {
        if self.binding.is_empty() {
            return Err(PolicyError::new("binding", "is empty: name the Worker's rate limiting binding"));
        }
        Ok(self)
    }
}

impl Setting for RateKey {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value.as_str() {
            Some("subject") => Ok(Self::Subject),
            Some("ip") => Ok(Self::Ip),
            _ => Err(expected("\"subject\" or \"ip\"", &value)),
        }
    }
}
