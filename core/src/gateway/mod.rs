//! The edge gateway: its configuration, and everything that it decides about a request. PURE: the Worker carries out what is
//! decided here, and the command line checks and explains the same.
//!
//! ```text
//! Rules::locate     path and method -> routes, or 400      (path.rs, routes.rs)
//! Rules::admit      -> a token to verify, or none needed    (token.rs)
//!   the host verifies the token
//! Rules::authorize  issuers, scopes, roles, claims          (require.rs)
//! Rules::outbound   what of the request reaches the origin  (headers.rs)
//! ```

pub mod cors;
pub mod headers;
mod issuer;
pub mod path;
pub mod presets;
pub mod rate;
pub mod require;
pub mod routes;
mod rules;
pub mod token;

use alloc::{string::String, vec::Vec};

use serde_json::Value;

use self::{
    cors::CorsSettings,
    headers::{ClaimHeaders, OWN_PREFIX},
    issuer::GatewayIssuers,
    rate::RateLimitSettings,
    routes::RouteSettings,
    token::TokenSettings,
};
pub use self::{
    issuer::{GatewayIssuer, MAX_TENANTS},
    rules::{Outbound, Passage, RequestHead, Rules},
};
use crate::{
    discovery,
    dpop::DpopSettings,
    error::{PolicyError, quoted},
    jwks_cache::CacheSettings,
    policy::IssuerSettings,
    revocation::RevocationSettings,
    sd::KeyBinding,
    settings::{Fields, Setting, expected},
};

/// The configuration's JSON Schema (draft 2020-12). A test holds it against the settings that are read.
pub const SCHEMA: &str = include_str!("schema.json");

/// Below this the gateway itself answers, whatever the routes say.
pub const OWN_PATHS: &str = "/.edgeseal/";

/// The gateway's configuration, as it stands in `wrangler.toml` under `[vars.EDGESEAL]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// The API behind the gateway: a URL, or `service:NAME` for a service binding. Exactly one of this and `echo` is given.
    pub origin: Option<String>,
    /// Answers verified requests with their claims instead of forwarding them: for trying the gateway out.
    pub echo: bool,
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<GatewayIssuer>,
    /// Who may come where; where nothing matches, a token is required.
    pub routes: Vec<RouteSettings>,
    /// Where requests carry their tokens.
    pub token: TokenSettings,
    /// The header that carries the verified claims to the origin, base64url of their JSON text; `edgeseal-claims` unless set.
    pub claims_header: String,
    /// Claims that go to the origin in headers of their own.
    pub claim_headers: ClaimHeaders,
    /// Whether the origin gets the token as it came.
    pub forward_token: bool,
    /// What refusals say to browsers' scripts, where the route says nothing else.
    pub cors: Option<CorsSettings>,
    /// How often the same client may come, whatever the route.
    pub rate_limit: Option<RateLimitSettings>,
    /// Which `DPoP` proofs are accepted. They are in any case; what is set here is also offered to clients that come without a token.
    pub dpop: Option<DpopSettings>,
    /// The key cache.
    pub cache: CacheSettings,
    /// Tokens that are refused before their time.
    pub revocation: Option<RevocationSettings>,
}

/// Where verified requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A URL.
    Url(String),
    /// A service binding of the Worker, by its name.
    Service(String),
}

/// Where the configuration itself stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationText<'a> {
    /// It is this JSON text.
    Here(&'a str),
    /// It is a document of a KV namespace: `kv:BINDING/KEY`.
    Kv {
        /// The binding of the namespace.
        binding: &'a str,
        /// The document's key.
        key: &'a str,
    },
}

impl<'a> ConfigurationText<'a> {
    /// Reads the text of the variable `EDGESEAL`.
    ///
    /// # Errors
    /// `kv:` without a binding or a key.
    pub fn parse(text: &'a str) -> Result<Self, PolicyError> {
        let Some(place) = text.strip_prefix("kv:") else { return Ok(Self::Here(text)) };
        match place.split_once('/') {
            Some((binding, key)) if !binding.is_empty() && !key.is_empty() => Ok(Self::Kv { binding, key }),
            _ => Err(PolicyError::new("EDGESEAL", "names no document of a KV namespace: write kv:BINDING/KEY")),
        }
    }
}

impl GatewaySettings {
    /// The settings from JSON text.
    ///
    /// # Errors
    /// The first setting that is unknown, missing, of the wrong type, or cannot be meant.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_json("EDGESEAL", text)?;
        let GatewayIssuers(issuers) = fields.required("issuers")?;
        let settings = Self {
            origin: fields.optional("origin")?,
            echo: fields.or("echo", false)?,
            issuers,
            routes: fields.or("routes", Vec::new())?,
            token: fields.or("token", TokenSettings::default())?,
            claims_header: fields.or("claims_header", "edgeseal-claims".into())?,
            claim_headers: fields.or("claim_headers", ClaimHeaders::default())?,
            forward_token: fields.or("forward_token", false)?,
            cors: fields.optional("cors")?,
            rate_limit: fields.optional("rate_limit")?,
            dpop: fields.optional("dpop")?,
            cache: fields.or("cache", CacheSettings::default())?,
            revocation: fields.optional("revocation")?,
        };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }

    /// Where verified requests go; `None` where the gateway answers itself (`echo`).
    ///
    /// # Errors
    /// A URL that is neither https nor loopback, or has more than scheme, host and port; a service without a name.
    pub fn origin(&self) -> Result<Option<Origin>, PolicyError> {
        let Some(origin) = &self.origin else { return Ok(None) };
        match origin.strip_prefix("service:") {
            Some("") => Err(PolicyError::new("origin", "names no service binding: write service:NAME")),
            Some(name) if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')) => {
                let detail = alloc::format!("is {}: a binding is named with letters, digits, _ - $", quoted(origin));
                Err(PolicyError::new("origin", detail))
            }
            Some(name) => Ok(Some(Origin::Service(name.into()))),
            None => {
                discovery::check_setting("origin", origin)?;
                let url = origin.strip_suffix('/').unwrap_or(origin);
                if url.split_once("://").is_some_and(|(_, authority)| authority.contains(['/', '?'])) {
                    return Err(PolicyError::new("origin", "must be scheme, host and port, without a path or a query"));
                }
                Ok(Some(Origin::Url(url.into())))
            }
        }
    }

    /// What verifies the tokens: the issuers, one for each tenant.
    pub fn verifier_issuers(&self) -> Vec<IssuerSettings> {
        self.issuers.iter().map(|issuer| issuer.settings.clone()).collect()
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
        if !name.starts_with(OWN_PREFIX) || !name.bytes().all(is_token) {
            return Err(PolicyError::new(
                "claims_header",
                "must begin with \"edgeseal-\" and hold only a-z, 0-9 and -: the gateway removes such headers from requests",
            ));
        }
        self.cache.check().map_err(|error| error.within("cache"))?;
        self.check_issuers()?;
        self.check_revocation()?;
        self.check_routes()?;
        Rules::new(self).map(drop)
    }

    fn check_issuers(&self) -> Result<(), PolicyError> {
        if self.issuers.is_empty() {
            return Err(PolicyError::new("issuers", "is empty: name at least one issuer"));
        }
        let takes_presentations = self.routes.iter().any(|route| route.sd_jwt);
        for (index, GatewayIssuer { settings, place, .. }) in self.issuers.iter().enumerate() {
            settings.check().map_err(|error| error.within(place))?;
            let within = |setting: &'static str, detail: &'static str| Err(PolicyError::new(setting, detail).within(place));
            match &settings.issuer {
                None if self.issuers.len() > 1 => return within("issuer", "may be skipped only where it is the only issuer"),
                name if self.issuers[..index].iter().any(|earlier| earlier.settings.issuer == *name) => {
                    return within("issuer", "is configured twice");
                }
                _ => {}
            }
            let Some(sd_jwt) = &settings.sd_jwt else { continue };
            let skip_nonce = settings.dangerous.is_some_and(|dangerous| dangerous.skip_nonce);
            if sd_jwt.key_binding == KeyBinding::Required && !skip_nonce {
                let detail =
                    "is \"required\", and the gateway hands out no nonce to compare with: set dangerous.skip_nonce as well";
                return within("sd_jwt.key_binding", detail);
            }
            if !takes_presentations {
                return within("sd_jwt", "is given, and no route takes presentations: set sd_jwt = true on those that should");
            }
        }
        Ok(())
    }

    fn check_revocation(&self) -> Result<(), PolicyError> {
        let Some(revocation) = &self.revocation else { return Ok(()) };
        // What is revoked is named by its issuer, and nobody would have compared that.
        if self.issuers.iter().any(|issuer| issuer.settings.issuer.is_none()) {
            return Err(PolicyError::new("revocation", "needs the name of every issuer: one of them has dangerous.skip_issuer"));
        }
        revocation.check().map_err(|error| error.within("revocation"))
    }

    fn check_routes(&self) -> Result<(), PolicyError> {
        for (index, route) in self.routes.iter().enumerate() {
            let place = alloc::format!("routes[{index}]");
            for (position, name) in route.issuers.iter().enumerate() {
                if !self.issuers.iter().any(|issuer| issuer.is_named(name)) {
                    let detail = alloc::format!("is {name:?}, which is none of the issuers");
                    return Err(PolicyError::new(alloc::format!("issuers[{position}]"), detail).within(&place));
                }
            }
            if route.sd_jwt && !self.issuers.iter().any(|issuer| issuer.settings.sd_jwt.is_some()) {
                let detail = "is true, and no issuer's presentations are accepted: set sd_jwt on an issuer";
                return Err(PolicyError::new("sd_jwt", detail).within(&place));
            }
        }
        Ok(())
    }
}

/// A table of settings under names of the configuration's own.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Setting> Setting for Named<T> {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let Value::Object(members) = value else { return Err(expected("an object", &value)) };
        let read = |(name, value): (String, Value)| match T::from_value(value) {
            Ok(setting) => Ok((name, setting)),
            Err(error) => Err(error.within(&name)),
        };
        members.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests;
