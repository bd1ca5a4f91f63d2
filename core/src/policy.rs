//! What a verifier demands of a token. Issuer, audience and algorithms must be said; what is insecure must be asked for by name.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::marker::PhantomData;

use serde_json::Value;

use crate::{
    algorithm::Algorithm,
    discovery::{self, Discovery},
    error::PolicyError,
    jwk::KeyRules,
    jwk_set::JwkSet,
    sd::SdJwtSettings,
    settings::{Fields, Setting, expected},
};

/// Seconds of clock difference that are forgiven unless the policy says otherwise.
pub const DEFAULT_LEEWAY: u64 = 60;
/// Seconds of clock difference that a policy may forgive at most; the signer's rotation counts on it.
pub const MAX_LEEWAY: u64 = 300;

/// What a [`crate::Verifier`] demands. Made by [`Policy::builder`] or from [`IssuerSettings`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a demand of its own")]
pub struct Policy {
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<Vec<String>>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) typ: Option<String>,
    pub(crate) require_exp: bool,
    pub(crate) leeway: u64,
    pub(crate) max_lifetime: Option<u64>,
    pub(crate) max_age: Option<u64>,
    pub(crate) audience_claim: Cow<'static, str>,
    pub(crate) required_claims: Vec<String>,
    pub(crate) require_key_exp: bool,
    pub(crate) sd_jwt: Option<SdJwtSettings>,
    pub(crate) skip_nonce: bool,
    pub(crate) bound_tokens: bool,
}

impl Policy {
    /// A policy to be completed; [`PolicyBuilder::build`] exists once issuer, audience and algorithms are there.
    ///
    /// ```compile_fail,E0599
    /// # use edgeseal_core::{Algorithm, Policy};
    /// Policy::builder().issuer("https://login.example.com").algorithms([Algorithm::Es256]).build(); // no audience
    /// ```
    pub fn builder() -> PolicyBuilder<Missing, Missing, Missing> {
        PolicyBuilder {
            policy: Self {
                issuer: None,
                audience: None,
                algorithms: Vec::new(),
                typ: None,
                require_exp: true,
                leeway: DEFAULT_LEEWAY,
                max_lifetime: None,
                max_age: None,
                audience_claim: Cow::Borrowed("aud"),
                required_claims: Vec::new(),
                require_key_exp: false,
                sd_jwt: None,
                skip_nonce: false,
                bound_tokens: false,
            },
            state: PhantomData,
        }
    }

    /// The algorithms, none but these.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The same policy, which takes bound tokens as well: see [`PolicyBuilder::bound_tokens`].
    #[must_use]
    pub fn with_bound_tokens(mut self) -> Self {
        self.bound_tokens = true;
        self
    }

    /// The issuer, `None` where the policy was told not to look.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

/// The setting has not been made.
#[derive(Clone, Copy, Debug)]
pub struct Missing;

/// The setting has been made.
#[derive(Clone, Copy, Debug)]
pub struct Given;

/// A policy in the making: `I`, `A` and `G` say whether issuer, audience and algorithms have been given.
#[derive(Clone, Debug)]
#[must_use]
pub struct PolicyBuilder<I, A, G> {
    policy: Policy,
    state: PhantomData<(I, A, G)>,
}

impl<I, A, G> PolicyBuilder<I, A, G> {
    /// `iss` must be exactly this string (RFC 8725 section 3.8).
    pub fn issuer(self, issuer: impl Into<String>) -> PolicyBuilder<Given, A, G> {
        let Self { mut policy, .. } = self;
        policy.issuer = Some(issuer.into());
        policy.into()
    }

    /// One of the token's audiences must be exactly this string (RFC 8725 section 3.9).
    pub fn audience(self, audience: impl Into<String>) -> PolicyBuilder<I, Given, G> {
        self.audiences([audience.into()])
    }

    /// One of the token's audiences must be one of these strings.
    pub fn audiences<const N: usize>(self, audiences: [String; N]) -> PolicyBuilder<I, Given, G> {
        const { assert!(N > 0, "a policy needs an audience") };
        let Self { mut policy, .. } = self;
        policy.audience = Some(audiences.into());
        policy.into()
    }

    /// The header's `alg` must be one of these (RFC 8725 section 3.1).
    pub fn algorithms<const N: usize>(self, algorithms: [Algorithm; N]) -> PolicyBuilder<I, A, Given> {
        const { assert!(N > 0, "a policy needs an algorithm") };
        let Self { mut policy, .. } = self;
        policy.algorithms = algorithms.into();
        policy.into()
    }

    /// The header's `typ` must be this media type: compared without regard to case and to a leading `application/`
    /// (RFC 7515 section 4.1.9, RFC 8725 section 3.11).
    pub fn typ(mut self, typ: impl Into<String>) -> Self {
        self.policy.typ = Some(typ.into());
        self
    }

    /// Seconds of clock difference to forgive, 60 unless set.
    ///
    /// # Errors
    /// Above [`MAX_LEEWAY`].
    pub fn leeway(mut self, seconds: u64) -> Result<Self, PolicyError> {
        self.policy.leeway = checked_leeway(seconds)?;
        Ok(self)
    }

    /// `exp - iat` must be at most so many seconds; both must be there.
    pub fn max_lifetime(mut self, seconds: u64) -> Self {
        self.policy.max_lifetime = Some(seconds);
        self
    }

    /// `now - iat` must be at most so many seconds, leeway aside; `iat` must be there.
    pub fn max_age(mut self, seconds: u64) -> Self {
        self.policy.max_age = Some(seconds);
        self
    }

    /// Reads the audience from another claim: `client_id`, for issuers whose access tokens have no `aud`.
    pub fn audience_claim(mut self, name: impl Into<String>) -> Self {
        self.policy.audience_claim = Cow::Owned(name.into());
        self
    }

    /// A claim that must be there, whatever it says.
    pub fn required_claim(mut self, name: impl Into<String>) -> Self {
        self.policy.required_claims.push(name.into());
        self
    }

    /// The key's own JWK must have an `exp` that has not come, and no token may outlive it: for issuers whose keys are lent to an
    /// agent for a time. No leeway applies to the key.
    pub fn require_key_exp(mut self) -> Self {
        self.policy.require_key_exp = true;
        self
    }

    /// Accepts presentations of SD-JWTs (RFC 9901). The audience of a presentation with key binding is said by its key-binding
    /// JWT; an `aud` of the token itself, where there is one, must be right as well. With another
    /// [`audience_claim`](Self::audience_claim), the token must have that one unless all its claims are disclosed.
    pub fn sd_jwt(mut self, settings: SdJwtSettings) -> Self {
        self.policy.sd_jwt = Some(settings);
        self
    }

    /// Takes tokens that are bound to a key or a certificate (`cnf` with `jkt` or `x5t#S256`), for a caller who then has the proof
    /// judged: see [`crate::verify::Finished::Bound`].
    pub fn bound_tokens(mut self) -> Self {
        self.policy = self.policy.with_bound_tokens();
        self
    }

    /// The settings that make a verifier accept what it should not.
    pub fn dangerous(self) -> DangerousPolicyBuilder<I, A, G> {
        DangerousPolicyBuilder(self)
    }
}

impl PolicyBuilder<Given, Given, Given> {
    /// The policy.
    #[must_use]
    pub fn build(self) -> Policy {
        self.policy
    }
}

impl<I, A, G> From<Policy> for PolicyBuilder<I, A, G> {
    fn from(policy: Policy) -> Self {
        Self { policy, state: PhantomData }
    }
}

/// Opt-outs, each for callers who check the same thing elsewhere.
#[derive(Clone, Debug)]
#[must_use]
pub struct DangerousPolicyBuilder<I, A, G>(PolicyBuilder<I, A, G>);

impl<I, A, G> DangerousPolicyBuilder<I, A, G> {
    /// Accepts any issuer, or none.
    pub fn skip_issuer(self) -> PolicyBuilder<Given, A, G> {
        self.0.policy.into()
    }

    /// Accepts tokens that were made for somebody else.
    pub fn skip_audience(self) -> PolicyBuilder<I, Given, G> {
        self.0.policy.into()
    }

    /// Accepts tokens that never expire.
    pub fn allow_missing_exp(mut self) -> PolicyBuilder<I, A, G> {
        self.0.policy.require_exp = false;
        self.0
    }

    /// Accepts key binding for which the caller gave no nonce ([`crate::UnverifiedToken::with_nonce`]): within its age, a
    /// presentation can be replayed.
    pub fn skip_nonce(mut self) -> PolicyBuilder<I, A, G> {
        self.0.policy.skip_nonce = true;
        self.0
    }
}

/// One issuer as it stands in a configuration: the Worker's variables, the options of `createVerifier`, the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IssuerSettings {
    /// The issuer, exactly as `iss` says it. May be absent only with `dangerous.skip_issuer`.
    pub issuer: Option<String>,
    /// The audience, or several. May be absent only with `dangerous.skip_audience`.
    pub audience: Option<OneOrMany>,
    /// The algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are; found by discovery when neither this nor `jwks` is given.
    pub jwks_uri: Option<String>,
    /// The keys themselves: a JWK Set, or its JSON text.
    pub jwks: Option<Value>,
    /// See [`PolicyBuilder::typ`].
    pub typ: Option<String>,
    /// Seconds; see [`PolicyBuilder::leeway`].
    pub leeway: Option<u64>,
    /// Seconds; see [`PolicyBuilder::max_lifetime`].
    pub max_lifetime: Option<u64>,
    /// Seconds; see [`PolicyBuilder::max_age`].
    pub max_age: Option<u64>,
    /// See [`PolicyBuilder::audience_claim`].
    pub audience_claim: Option<String>,
    /// See [`PolicyBuilder::required_claim`].
    pub required_claims: Vec<String>,
    /// See [`PolicyBuilder::require_key_exp`].
    pub require_key_exp: bool,
    /// See [`PolicyBuilder::sd_jwt`].
    pub sd_jwt: Option<SdJwtSettings>,
    /// The settings that make a verifier accept what it should not.
    pub dangerous: Option<DangerousSettings>,
}

/// The opt-outs of [`IssuerSettings`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in a configuration file")]
pub struct DangerousSettings {
    /// See [`DangerousPolicyBuilder::skip_issuer`].
    pub skip_issuer: bool,
    /// See [`DangerousPolicyBuilder::skip_audience`].
    pub skip_audience: bool,
    /// See [`DangerousPolicyBuilder::allow_missing_exp`].
    pub allow_missing_exp: bool,
    /// See [`DangerousPolicyBuilder::skip_nonce`].
    pub skip_nonce: bool,
    /// See [`KeyRules::dangerous_allow_rsa_exponent_3`].
    pub allow_rsa_exponent_3: bool,
}

/// A string or an array of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// Given in the configuration.
    Inline(JwkSet),
    /// Fetched from this URL.
    JwksUri(String),
    /// Fetched from the `jwks_uri` of the discovery document at this URL.
    Discovery(String),
}

impl IssuerSettings {
    /// The settings from JSON text, as the npm package and the Worker receive them.
    ///
    /// # Errors
    /// The first setting that is unknown, missing or of the wrong type.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        Fields::from_json("issuer settings", text).and_then(Self::from_fields)
    }

    fn from_fields(mut fields: Fields) -> Result<Self, PolicyError> {
        let settings = Self::read(&mut fields);
        fields.finish()?;
        Ok(settings)
    }

    /// Takes these settings out of an object that may hold others; a mistake waits for [`Fields::finish`].
    pub(crate) fn read(fields: &mut Fields) -> Self {
        Self {
            issuer: fields.take("issuer"),
            audience: fields.take("audience"),
            algorithms: fields.demand("algorithms"),
            jwks_uri: fields.take("jwks_uri"),
            jwks: fields.take("jwks"),
            typ: fields.take("typ"),
            leeway: fields.take("leeway"),
            max_lifetime: fields.take("max_lifetime"),
            max_age: fields.take("max_age"),
            audience_claim: fields.take("audience_claim"),
            required_claims: fields.take("required_claims").unwrap_or_default(),
            require_key_exp: fields.take("require_key_exp").unwrap_or_default(),
            sd_jwt: fields.take("sd_jwt"),
            dangerous: fields.take("dangerous"),
        }
    }

    /// The policy that these settings describe.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        let Self {
            issuer,
            audience,
            algorithms,
            jwks_uri: _,
            jwks: _,
            typ,
            leeway,
            max_lifetime,
            max_age,
            audience_claim,
            required_claims,
            require_key_exp,
            sd_jwt,
            dangerous,
        } = self;
        let dangerous = dangerous.unwrap_or_default();
        let issuer = match (issuer, dangerous.skip_issuer) {
            (Some(issuer), false) if issuer.is_empty() => return Err(PolicyError::new("issuer", "is empty")),
            (Some(issuer), false) => Some(issuer.clone()),
            (None, true) => None,
            (None, false) => return Err(PolicyError::new("issuer", "is missing: name the exact `iss` of the tokens")),
            (Some(_), true) => return Err(PolicyError::new("issuer", "is given and skipped (dangerous.skip_issuer) at once")),
        };
        let audience = match (audience, dangerous.skip_audience) {
            (Some(OneOrMany::One(one)), false) => Some(alloc::vec![one.clone()]),
            (Some(OneOrMany::Many(many)), false) => Some(many.clone()),
            (None, true) => None,
            (None, false) => return Err(PolicyError::new("audience", "is missing: name the `aud` that means this service")),
            (Some(_), true) => {
                return Err(PolicyError::new("audience", "is given and skipped (dangerous.skip_audience) at once"));
            }
        };
        if audience.as_ref().is_some_and(|names| names.is_empty() || names.iter().any(String::is_empty)) {
            return Err(PolicyError::new("audience", "is empty"));
        }
        if algorithms.is_empty() {
            return Err(PolicyError::new("algorithms", "is empty: name at least one, such as \"ES256\""));
        }
        for (name, value) in [("typ", typ), ("audience_claim", audience_claim)] {
            if value.as_deref() == Some("") {
                return Err(PolicyError::new(name, "is empty"));
            }
        }
        Ok(Policy {
            issuer,
            audience,
            algorithms: algorithms.clone(),
            typ: typ.clone(),
            require_exp: !dangerous.allow_missing_exp,
            leeway: checked_leeway(leeway.unwrap_or(DEFAULT_LEEWAY))?,
            max_lifetime: *max_lifetime,
            max_age: *max_age,
            audience_claim: audience_claim.clone().map_or(Cow::Borrowed("aud"), Cow::Owned),
            required_claims: required_claims.clone(),
            require_key_exp: *require_key_exp,
            sd_jwt: sd_jwt.clone(),
            skip_nonce: dangerous.skip_nonce,
            bound_tokens: false,
        })
    }

    /// Checks what the types cannot say: the policy, and where the keys come from.
    ///
    /// # Errors
    /// The first setting that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.policy()?;
        self.key_source().map(drop)
    }

    /// Where this issuer's keys come from.
    ///
    /// # Errors
    /// Two sources at once, a URL that may not be fetched, an inline set that is not a JWK Set, or no issuer to discover from.
    pub fn key_source(&self) -> Result<KeySource, PolicyError> {
        match (&self.jwks, &self.jwks_uri, &self.issuer) {
            (Some(_), Some(_), _) => Err(PolicyError::new("jwks", "and jwks_uri are both given: one source of keys, not two")),
            (Some(jwks), None, _) => {
                let keys = match jwks {
                    Value::String(text) => JwkSet::from_json_with(text, self.key_rules()),
                    value => JwkSet::from_value(value, self.key_rules()),
                };
                keys.map(KeySource::Inline).map_err(|error| PolicyError::inline_jwks(&error))
            }
            (None, Some(url), _) => {
                discovery::check_setting("jwks_uri", url)?;
                Ok(KeySource::JwksUri(url.clone()))
            }
            (None, None, Some(issuer)) => {
                discovery::check_setting("issuer", issuer).map_err(|error| {
                    PolicyError::new(
                        "jwks_uri",
                        alloc::format!("is missing, and there is no discovery without an https issuer: {error}"),
                    )
                })?;
                Ok(KeySource::Discovery(Discovery::url(issuer)))
            }
            (None, None, None) => Err(PolicyError::new("jwks_uri", "is missing: without an issuer there is no discovery")),
        }
    }

    /// The rules for this issuer's keys.
    pub fn key_rules(&self) -> KeyRules {
        if self.dangerous.is_some_and(|dangerous| dangerous.allow_rsa_exponent_3) {
            KeyRules::dangerous_allow_rsa_exponent_3()
        } else {
            KeyRules::default()
        }
    }
}

impl Setting for IssuerSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        Fields::from_value(value).and_then(Self::from_fields)
    }
}

impl Setting for DangerousSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            skip_issuer: fields.take("skip_issuer").unwrap_or_default(),
            skip_audience: fields.take("skip_audience").unwrap_or_default(),
            allow_missing_exp: fields.take("allow_missing_exp").unwrap_or_default(),
            skip_nonce: fields.take("skip_nonce").unwrap_or_default(),
            allow_rsa_exponent_3: fields.take("allow_rsa_exponent_3").unwrap_or_default(),
        };
        fields.finish()?;
        Ok(settings)
    }
}

impl Setting for OneOrMany {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value {
            Value::String(one) => Ok(Self::One(one)),
            Value::Array(_) => Vec::from_value(value).map(Self::Many),
            other => Err(expected("a string or an array of strings", &other)),
        }
    }
}

fn checked_leeway(seconds: u64) -> Result<u64, PolicyError> {
    if seconds > MAX_LEEWAY {
        return Err(PolicyError::new("leeway", alloc::format!("is {seconds} s, at most {MAX_LEEWAY} s are allowed")));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{borrow::ToOwned, format, string::ToString};

    fn refusal(json: &str) -> String {
        IssuerSettings::from_json(json).and_then(|settings| settings.policy()).unwrap_err().to_string()
    }

    #[test]
    fn settings_name_the_field() {
        assert!(refusal(r#"{"issuer":"i","audience":"a","algorithms":[]}"#).starts_with("algorithms:"));
        assert!(refusal(r#"{"audience":"a","algorithms":["ES256"]}"#).starts_with("issuer:"));
        assert!(refusal(r#"{"issuer":"i","algorithms":["ES256"]}"#).starts_with("audience:"));
        assert!(refusal(r#"{"issuer":"i","audience":[],"algorithms":["ES256"]}"#).starts_with("audience:"));
        assert!(refusal(r#"{"issuer":"i","audience":"a","algorithms":["ES256"],"leeway":301}"#).starts_with("leeway:"));
        assert!(refusal(r#"{"issuer":"i","audience":"a","algorithms":["HS256"]}"#).contains("never HMAC"));
        assert!(refusal(r#"{"issuer":"i","audience":"a","algorithms":["ES256"],"lee_way":1}"#).contains("lee_way"));
        assert!(
            refusal(r#"{"issuer":"i","audience":"a","algorithms":["ES256"],"dangerous":{"skip_issuer":true}}"#)
                .contains("at once")
        );
    }

    #[test]
    fn an_inline_set_is_an_object_or_its_text() {
        let source = |jwks: &str| {
            let settings = format!(r#"{{"issuer":"i","audience":"a","algorithms":["EdDSA"],"jwks":{jwks}}}"#);
            IssuerSettings::from_json(&settings).unwrap().key_source()
        };
        // RFC 8037, appendix A.2.
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let text = format!("{set:?}");
        for jwks in [set, &text] {
            let Ok(KeySource::Inline(keys)) = source(jwks) else { panic!("{jwks}") };
            assert_eq!(keys.keys().len(), 1);
        }
        // An issuer among others, as in a gateway's configuration, is read the same.
        let (_, members) = crate::json::parse_object(br#"{"issuer":"i","audience":"a","algorithms":["ES256"]}"#).unwrap();
        assert_eq!(<IssuerSettings as Setting>::from_value(Value::Object(members)).unwrap().issuer.as_deref(), Some("i"));
        for jwks in ["{}", r#""{}""#, "[]"] {
            assert!(source(jwks).unwrap_err().to_string().starts_with("jwks:"), "{jwks}");
        }
    }

    #[test]
    fn settings_and_builder_agree() {
        let settings = IssuerSettings::from_json(r#"{"issuer":"i","audience":"a","algorithms":["ES256"]}"#).unwrap();
        let built = Policy::builder().issuer("i").audience("a").algorithms([Algorithm::Es256]).build();
        assert_eq!(settings.policy().unwrap(), built);
        assert_eq!((built.issuer(), built.algorithms()), (Some("i"), [Algorithm::Es256].as_slice()));
    }
    #[test]
    fn a_check_covers_the_policy_and_where_the_keys_are() {
        let check = |more: &str| {
            let json = format!(r#"{{"issuer":"https://i.example","algorithms":["ES256"]{more}}}"#);
            IssuerSettings::from_json(&json).unwrap().check().map_err(|error| error.setting().to_owned())
        };
        assert_eq!(check(r#","audience":"a""#), Ok(()));
        assert_eq!(check(""), Err("audience".to_owned()));
        assert_eq!(check(r#","audience":"a","jwks_uri":"http://i.example/jwks""#), Err("jwks_uri".to_owned()));
        assert_eq!(check(r#","audience":"a","jwks_uri":"https://i.example/jwks","jwks":{"keys":[]}"#), Err("jwks".to_owned()));
    }
}
