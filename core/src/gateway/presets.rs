//! Issuers as they are. A preset fills ordinary settings that are not given, and nothing else; what it asks for can be seen with
//! `edgeseal edge check`. PURE.

use alloc::{string::String, vec::Vec};

use serde_json::{Map, Value};

use crate::{
    error::{PolicyError, quoted},
    json,
};

/// A vendor's issuers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Microsoft Entra ID, one tenant or several.
    Entra,
    /// Auth0.
    Auth0,
    /// Okta, custom authorization servers.
    Okta,
    /// Amazon Cognito user pools, access tokens.
    Cognito,
    /// Google, ID tokens.
    Google,
    /// GitHub Actions.
    GithubActions,
    /// Kubernetes service accounts.
    Kubernetes,
    /// Cloudflare Access, application tokens.
    CloudflareAccess,
    /// Keycloak, access tokens.
    Keycloak,
    /// inTandem by vcita.
    Intandem,
}

/// In an issuer's name, the place of the tenant.
pub const TENANT: &str = "{tenantid}";

impl Preset {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Entra,
        Self::Auth0,
        Self::Okta,
        Self::Cognito,
        Self::Google,
        Self::GithubActions,
        Self::Kubernetes,
        Self::CloudflareAccess,
        Self::Keycloak,
        Self::Intandem,
    ];

    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Auth0 => "auth0",
            Self::Okta => "okta",
            Self::Cognito => "cognito",
            Self::Google => "google",
            Self::GithubActions => "github-actions",
            Self::Kubernetes => "kubernetes",
            Self::CloudflareAccess => "cloudflare-access",
            Self::Keycloak => "keycloak",
            Self::Intandem => "intandem",
        }
    }

    /// The preset of a name.
    ///
    /// # Errors
    /// When there is none, with those that there are.
    pub fn from_name(name: &str) -> Result<Self, PolicyError> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|preset| preset.name()).collect();
            PolicyError::new("preset", alloc::format!("is {}: there are {}", quoted(name), names.join(", ")))
        })
    }

    /// Fills what is not given, and refuses what cannot be meant with this vendor.
    ///
    /// # Errors
    /// The setting, and what the vendor's issuers look like.
    pub fn fill(self, settings: &mut Map<String, Value>) -> Result<(), PolicyError> {
        let issuer = settings.get("issuer").and_then(Value::as_str).unwrap_or_default();
        let defaults = match tenant_of(issuer) {
            Some(tenant) => self.defaults().replace(TENANT, tenant),
            None => self.defaults().into(),
        };
        let (_, mut defaults) = json::parse_object(defaults.as_bytes())
            .map_err(|error| PolicyError::new("preset", alloc::format!("{}: {error}", self.name())))?;
        if self == Self::CloudflareAccess && !issuer.is_empty() {
            defaults.insert("jwks_uri".into(), Value::String(alloc::format!("{issuer}/cdn-cgi/access/certs")));
        }
        fill(settings, defaults);
        self.check(settings)
    }

    /// The settings that it fills, as they would stand in a configuration.
    pub const fn defaults(self) -> &'static str {
        match self {
            Self::Entra => {
                r#"{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","algorithms":["RS256"],"scope_claim":"scp","require":{"claims":{"tid":"{tenantid}"}}}"#
            }
            Self::Auth0 => r#"{"algorithms":["RS256"],"roles_claim":"permissions"}"#,
            Self::Okta => r#"{"algorithms":["RS256"],"scope_claim":"scp","roles_claim":"groups"}"#,
            Self::Cognito => {
                r#"{"algorithms":["RS256"],"audience_claim":"client_id","roles_claim":"cognito:groups","require":{"claims":{"token_use":"access"}}}"#
            }
            Self::Google => r#"{"issuer":"https://accounts.google.com","algorithms":["RS256"]}"#,
            Self::GithubActions => r#"{"issuer":"https://token.actions.githubusercontent.com","algorithms":["RS256"]}"#,
            Self::Kubernetes => r#"{"algorithms":["RS256"],"required_claims":["kubernetes.io"]}"#,
            // And jwks_uri, below the issuer.
            Self::CloudflareAccess => r#"{"algorithms":["RS256"],"require":{"claims":{"type":"app"}}}"#,
            Self::Keycloak => {
                r#"{"algorithms":["RS256"],"roles_claim":"/realm_access/roles","require":{"claims":{"typ":"Bearer"}}}"#
            }
            Self::Intandem => r#"{"algorithms":["RS256"]}"#,
        }
    }

    fn check(self, settings: &Map<String, Value>) -> Result<(), PolicyError> {
        let issuer = settings.get("issuer").and_then(Value::as_str).unwrap_or_default();
        let refuse = |setting: &'static str, why: &str| Err(PolicyError::new(setting, String::from(why)));
        match self {
            Self::Entra if issuer.contains(TENANT) => {
                let Some(Value::Array(tenants)) = settings.get("tenants") else {
                    return refuse("tenants", "is missing: name the tenants' ids; anybody's tokens would be good without");
                };
                match tenants.iter().find(|tenant| !tenant.as_str().is_some_and(is_guid)) {
                    Some(tenant) => Err(PolicyError::new(
                        "tenants",
                        alloc::format!(
                            "holds {}, which is no tenant's id: 8-4-4-4-12 hexadecimal digits in lower case",
                            json::to_string(tenant)
                        ),
                    )),
                    None => Ok(()),
                }
            }
            Self::Entra if ["/common/", "/organizations/", "/consumers/"].iter().any(|open| issuer.contains(open)) => {
                refuse("issuer", "is no token's issuer: leave it out, and name the tenants' ids in tenants")
            }
            Self::Entra if tenant_of(issuer).is_none() => {
                refuse("issuer", "names no tenant's id: leave it out, and name the tenants' ids in tenants")
            }
            Self::Auth0 if !issuer.is_empty() && !issuer.ends_with('/') => {
                refuse("issuer", "does not end with a slash: Auth0's do, such as \"https://TENANT.eu.auth0.com/\"")
            }
            Self::Okta if !issuer.is_empty() && !issuer.contains("/oauth2/") => refuse(
                "issuer",
                "is no custom authorization server's, such as \"https://ORG.okta.com/oauth2/default\": the org server's access tokens are for Okta alone",
            ),
            Self::Cognito if !issuer.is_empty() && !issuer.starts_with("https://cognito-idp.") => {
                refuse("issuer", "is no user pool's: write \"https://cognito-idp.REGION.amazonaws.com/POOL\"")
            }
            Self::CloudflareAccess if issuer.ends_with('/') => {
                refuse("issuer", "ends with a slash: write \"https://TEAM.cloudflareaccess.com\"")
            }
            Self::Keycloak if !issuer.is_empty() && !issuer.contains("/realms/") => {
                refuse("issuer", "is no realm's: write \"https://HOST/realms/REALM\"")
            }
            Self::GithubActions => {
                const BINDING: [&str; 8] = [
                    "repository",
                    "repository_id",
                    "repository_owner",
                    "repository_owner_id",
                    "enterprise",
                    "enterprise_id",
                    "job_workflow_ref",
                    "sub",
                ];
                let claims = settings.get("require").and_then(|require| require.get("claims")).and_then(Value::as_object);
                if claims.is_some_and(|claims| BINDING.iter().any(|name| claims.contains_key(*name))) {
                    return Ok(());
                }
                refuse(
                    "require.claims",
                    "says nothing of whose workflows may come, and anybody's can ask for your audience: name repository, repository_owner or sub",
                )
            }
            _ => Ok(()),
        }
    }
}

/// Sets what is absent, in objects within too.
fn fill(settings: &mut Map<String, Value>, defaults: Map<String, Value>) {
    // Two sources of keys would be refused.
    let has_keys = settings.contains_key("jwks");
    for (name, default) in defaults {
        match (settings.get_mut(&name), default) {
            (Some(Value::Object(given)), Value::Object(default)) => fill(given, default),
            (None | Some(Value::Null), default) if name != "jwks_uri" || !has_keys => {
                settings.insert(name, default);
            }
            _ => {}
        }
    }
}

/// The tenant of a concrete issuer of Entra's: the first segment of its path. Others' defaults have no place for it.
fn tenant_of(issuer: &str) -> Option<&str> {
    issuer.split('/').nth(3).filter(|tenant| is_guid(tenant))
}

fn is_guid(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let mut lengths = [8, 4, 4, 4, 12].into_iter();
    let mut parts = text.split('-');
    parts.all(|part| lengths.next() == Some(part.len()) && part.bytes().all(is_digit)) && lengths.next().is_none()
}
