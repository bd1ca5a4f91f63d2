//! The gateway's issuers: those of any verifier, and in which claims each says what routes ask for. PURE.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use serde_json::{Map, Value};

use super::{
    presets::{Preset, TENANT},
    require::{ClaimNames, ClaimPath, Requirement},
};
use crate::{
    error::PolicyError,
    policy::IssuerSettings,
    settings::{Fields, Setting, expected},
};

/// Tenants of one entry: each has keys of its own to be kept.
pub const MAX_TENANTS: usize = 500;

/// One issuer of the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayIssuer {
    /// What any verifier asks of its tokens.
    pub settings: IssuerSettings,
    /// Where it says scopes and roles.
    pub names: ClaimNames,
    /// What is asked of every token of it, whatever the route.
    pub require: Requirement,
    /// Its name as the configuration writes it: with `{tenantid}` where it is one of several tenants.
    pub written: String,
    /// Its entry in the configuration, as refusals name it: `issuers[0]`.
    pub place: String,
}

/// All issuers: an entry with tenants is one for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GatewayIssuers(pub(super) Vec<GatewayIssuer>);

impl Setting for GatewayIssuers {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let Value::Array(entries) = value else { return Err(expected("an array", &value)) };
        let mut issuers = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let place = alloc::format!("[{index}]");
            read_entry(entry, &alloc::format!("issuers{place}"), &mut issuers).map_err(|error| error.within(&place))?;
        }
        Ok(Self(issuers))
    }
}

fn read_entry(entry: Value, place: &str, issuers: &mut Vec<GatewayIssuer>) -> Result<(), PolicyError> {
    let Value::Object(mut members) = entry else { return Err(expected("an object", &entry)) };
    if let Some(preset) = members.remove("preset").filter(|preset| !preset.is_null()) {
        let name = String::from_value(preset).map_err(|error| error.within("preset"))?;
        Preset::from_name(&name)?.fill(&mut members)?;
    }
    let tenants = tenants_of(&mut members)?;
    let Some(tenants) = tenants else {
        if let Some((name, _)) = members.iter().find(|(name, value)| *name != "jwks" && holds_tenant(value)) {
            return Err(PolicyError::new(
                name.clone(),
                "holds {tenantid}, and the issuer does not: there are no tenants to put there",
            ));
        }
        issuers.push(read_issuer(members, place)?);
        return Ok(());
    };
    let written = members.get("issuer").and_then(Value::as_str).unwrap_or_default().to_owned();
    for tenant in tenants {
        let mut members = Value::Object(members.clone());
        set_tenant(&mut members, &tenant);
        let Value::Object(members) = members else { continue };
        issuers.push(GatewayIssuer { written: written.clone(), ..read_issuer(members, place)? });
    }
    Ok(())
}

/// The allow-list of tenants; a template without one is refused, as is one without a template.
fn tenants_of(members: &mut Map<String, Value>) -> Result<Option<Vec<String>>, PolicyError> {
    let is_template = members.get("issuer").and_then(Value::as_str).is_some_and(|issuer| issuer.contains(TENANT));
    let tenants = members.remove("tenants").filter(|tenants| !tenants.is_null());
    let tenants = match (tenants, is_template) {
        (None, false) => return Ok(None),
        (None, true) => {
            return Err(PolicyError::new(
                "tenants",
                "is missing: the issuer holds {tenantid}, so name the tenants that may come",
            ));
        }
        (Some(_), false) => {
            return Err(PolicyError::new(
                "tenants",
                "is given, and the issuer has no place for it: write {tenantid} in the issuer",
            ));
        }
        (Some(tenants), true) => Vec::<String>::from_value(tenants).map_err(|error| error.within("tenants"))?,
    };
    if tenants.is_empty() || tenants.len() > MAX_TENANTS {
        return Err(PolicyError::new("tenants", alloc::format!("holds {} of 1 to {MAX_TENANTS} tenants", tenants.len())));
    }
    for (index, tenant) in tenants.iter().enumerate() {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if tenant.is_empty() || tenant.starts_with('.') || !tenant.bytes().all(is_name) {
            let detail = alloc::format!("is {tenant:?}: a tenant is named with letters, digits, and - _ .");
            return Err(PolicyError::new(alloc::format!("tenants[{index}]"), detail));
        }
    }
    Ok(Some(tenants))
}

fn set_tenant(value: &mut Value, tenant: &str) {
    match value {
        Value::String(text) if text.contains(TENANT) => *text = text.replace(TENANT, tenant),
        Value::Array(elements) => elements.iter_mut().for_each(|element| set_tenant(element, tenant)),
        // Keys are taken as they are.
        Value::Object(members) => {
            members.iter_mut().filter(|(name, _)| *name != "jwks").for_each(|(_, member)| set_tenant(member, tenant));
        }
        _ => {}
    }
}

fn holds_tenant(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(TENANT),
        Value::Array(elements) => elements.iter().any(holds_tenant),
        Value::Object(members) => members.values().any(holds_tenant),
        _ => false,
    }
}

fn read_issuer(members: Map<String, Value>, place: &str) -> Result<GatewayIssuer, PolicyError> {
    let mut fields = Fields::from_value(Value::Object(members))?;
    // Named by `finish`, and taken out already.
    let _: Option<Value> = fields.optional("preset")?;
    let _: Option<Value> = fields.optional("tenants")?;
    let defaults = ClaimNames::default();
    let scope: Option<ClaimPath> = fields.optional("scope_claim")?;
    let roles: Option<ClaimPath> = fields.optional("roles_claim")?;
    let require = fields.or("require", Requirement::default())?;
    let settings = IssuerSettings::read(&mut fields);
    fields.finish()?;
    Ok(GatewayIssuer {
        written: settings.issuer.clone().unwrap_or_default(),
        settings,
        names: ClaimNames { scope: scope.unwrap_or(defaults.scope), roles: roles.unwrap_or(defaults.roles) },
        require,
        place: place.to_owned(),
    })
}
