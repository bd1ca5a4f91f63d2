//! The configuration of the edge gateway. PURE: the Worker runs it, the command line checks it.

use alloc::{string::String, vec::Vec};

use crate::{
    discovery, error::PolicyError, issuers::Issuers, jwks_cache::CacheSettings, policy::IssuerSettings, sd::KeyBinding,
    settings::Fields,
};

/// The gateway's configuration, as it stands in `wrangler.toml` under `[vars.EDGESEAL]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// The API behind the gateway: a URL, or `service:NAME` for a service binding. Exactly one of this and `echo` is given.
    pub origin: Option<String>,
    /// Answers verified requests with their claims instead of forwarding them: for trying the gateway out.
    pub echo: bool,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// The header that carries the verified claims to the origin, base64url of their JSON text; `edgeseal-claims` unless set.
    pub claims_header: String,
    /// The key cache.
    pub cache: CacheSettings,
}

/// Where verified requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A URL.
    Url(String),
    /// A service binding of the Worker, by its name.
    Service(String),
}

impl GatewaySettings {
    /// The settings from JSON text.
    ///
    /// # Errors
    /// The first setting that is unknown, missing, of the wrong type, or cannot be meant.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_json("EDGESEAL", text)?;
        let settings = Self {
            origin: fields.optional("origin")?,
            echo: fields.or("echo", false)?,
            issuers: fields.required("issuers")?,
            claims_header: fields.or("claims_header", "edgeseal-claims".into())?,
            cache: fields.or("cache", CacheSettings::default())?,
        };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }

    /// Where verified requests go; `None` where the gateway answers itself (`echo`).
    ///
    /// # Errors
    /// A URL that is neither https nor loopback, or a service without a name.
    pub fn origin(&self) -> Result<Option<Origin>, PolicyError> {
        let Some(origin) = &self.origin else { return Ok(None) };
        match origin.strip_prefix("service:") {
            Some("") => Err(PolicyError::new("origin", "names no service binding: write service:NAME")),
            Some(name) => Ok(Some(Origin::Service(name.into()))),
            None => {
                discovery::check_setting("origin", origin)?;
                Ok(Some(Origin::Url(origin.clone())))
            }
        }
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
            (Some(_), false) | (None, true) => {}
        }
        self.origin()?;
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
            let place = alloc::format!("issuers[{index}]");
            settings.check().map_err(|error| error.within(&place))?;
            let skip_nonce = settings.dangerous.is_some_and(|dangerous| dangerous.skip_nonce);
            if settings.sd_jwt.as_ref().is_some_and(|sd_jwt| sd_jwt.key_binding == KeyBinding::Required) && !skip_nonce {
                let detail =
                    "is \"required\", and the gateway hands out no nonce to compare with: set dangerous.skip_nonce as well";
                return Err(PolicyError::new("sd_jwt.key_binding", detail).within(&place));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn key_binding_without_a_nonce_is_asked_for_by_name() {
        let check = |issuer: &str| {
            let issuer = alloc::format!(
                r#"{{"issuer":"https://i.example","audience":"a","algorithms":["ES256"],"sd_jwt":{{"key_binding":{issuer}}}"#
            );
            GatewaySettings::from_json(&alloc::format!(r#"{{"echo":true,"issuers":[{issuer}]}}"#)).map(drop)
        };
        let refused = check(r#""required"}"#).unwrap_err().to_string();
        assert!(refused.starts_with("issuers[0].sd_jwt.key_binding: is \"required\", and"), "{refused}");
        assert_eq!(check(r#""required"},"dangerous":{"skip_nonce":true}"#), Ok(()));
        assert_eq!(check(r#""where_bound"}"#), Ok(()));
    }
}
