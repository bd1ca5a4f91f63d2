//! What a route or an issuer asks of a verified token's claims. PURE.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use serde_json::Value;

use crate::{
    claims::Claims,
    error::PolicyError,
    http::Refusal,
    json,
    settings::{Fields, Setting, expected},
};

/// The claim that holds scopes unless the issuer says otherwise (RFC 8693 section 4.2, RFC 9068 section 2.2.3).
pub const DEFAULT_SCOPE_CLAIM: &str = "scope";
/// The claim that holds roles unless the issuer says otherwise (RFC 9068 section 2.2.3.1).
pub const DEFAULT_ROLES_CLAIM: &str = "roles";

/// Everything that must hold of a token's claims.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requirement {
    /// Scopes that the token was granted.
    pub scope: Option<Wanted>,
    /// Roles that its subject has.
    pub roles: Option<Wanted>,
    /// Claims, by name or JSON Pointer, and the values that they must have or hold.
    pub claims: Vec<(ClaimPath, Wanted)>,
}

/// Values of which all, or at least one, must be there: `"a"`, `["a", "b"]` (all), `{all = […], any = […]}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// All of these.
    pub all: Vec<Value>,
    /// And at least one of these, where there are any.
    pub any: Vec<Value>,
}

/// Where a claim is: its name, or a JSON Pointer (RFC 6901) for one inside another, such as `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

/// The claims in which an issuer says scopes and roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// A string of scopes separated by spaces, or an array of them.
    pub scope: ClaimPath,
    /// A role, or an array of them.
    pub roles: ClaimPath,
}

impl Requirement {
    /// Judges verified claims.
    ///
    /// # Errors
    /// `insufficient_scope` with the scopes that would do, `access_denied` for roles and other claims.
    pub fn judge(&self, claims: &Claims, names: &ClaimNames) -> Result<(), Refusal> {
        if let Some(wanted) = &self.scope {
            let granted = scopes(names.scope.find(claims));
            wanted.judge(|value| value.as_str().is_some_and(|scope| granted.contains(&scope))).map_err(|lacking| {
                let detail = alloc::format!("claim {} lacks {lacking}", names.scope.0);
                Refusal::insufficient_scope(wanted.scope_text(), detail)
            })?;
        }
        if let Some(wanted) = &self.roles {
            judge_claim(wanted, &names.roles, claims)?;
        }
        self.claims.iter().try_for_each(|(path, wanted)| judge_claim(wanted, path, claims))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn judge_claim(wanted: &Wanted, path: &ClaimPath, claims: &Claims) -> Result<(), Refusal> {
    let value = path.find(claims);
    let holds = |wanted: &Value| match value {
        Some(Value::Array(elements)) => elements.iter().any(|element| is_same(element, wanted)),
        Some(value) => is_same(value, wanted),
        None => false,
    };
    wanted.judge(holds).map_err(|lacking| Refusal::access_denied(alloc::format!("claim {} lacks {lacking}", path.0)))
}

fn scopes(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(elements)) => elements.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Strings, numbers, booleans: equal in type and value.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64() == b.as_f64() && a.as_i64().is_none() != b.as_i64().is_none())
        }
        _ => a == b,
    }
}

impl Wanted {
    fn judge(&self, holds: impl Fn(&Value) -> bool) -> Result<(), String> {
        if let Some(lacking) = self.all.iter().find(|value| !holds(value)) {
            return Err(json::to_string(lacking));
        }
        if !self.any.is_empty() && !self.any.iter().any(holds) {
            let any: Vec<String> = self.any.iter().map(json::to_string).collect();
            return Err(alloc::format!("any of {}", any.join(", ")));
        }
        Ok(())
    }

    /// The scopes for a challenge (RFC 6750 section 3): all of them, and of a choice the first.
    fn scope_text(&self) -> String {
        let scopes: Vec<&str> = self.all.iter().chain(self.any.first()).filter_map(Value::as_str).collect();
        scopes.join(" ")
    }

    fn check(&self) -> Result<(), PolicyError> {
        if self.all.is_empty() && self.any.is_empty() {
            return Err(PolicyError::new("", "is empty: name at least one value, or leave it out"));
        }
        let is_scalar = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
        match self.all.iter().chain(&self.any).find(|value| !is_scalar(value)) {
            Some(value) => Err(expected("strings, numbers or booleans", value)),
            None => Ok(()),
        }
    }

    /// As scopes: strings, of which one may name several with spaces between (RFC 6749 section 3.3).
    fn into_scopes(self) -> Result<Self, PolicyError> {
        let split = |values: Vec<Value>| {
            let mut scopes = Vec::new();
            for value in values {
                let Value::String(text) = &value else { return Err(expected("a string", &value)) };
                for scope in text.split(' ') {
                    let is_scope_byte = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                    if scope.is_empty() || !scope.bytes().all(is_scope_byte) {
                        let detail = alloc::format!(
                            "{text:?} is no scope: visible ASCII without quotes and backslashes, single spaces between"
                        );
                        return Err(PolicyError::new("", detail));
                    }
                    scopes.push(scope.into());
                }
            }
            Ok(scopes)
        };
        Ok(Self { all: split(self.all)?, any: split(self.any)? })
    }

    fn into_strings(self) -> Result<Self, PolicyError> {
        match self.all.iter().chain(&self.any).find(|value| value.as_str().is_none_or(str::is_empty)) {
            Some(Value::String(_)) => Err(PolicyError::new("", "is an empty string: nobody has such a role")),
            Some(value) => Err(expected("a string", value)),
            None => Ok(self),
        }
    }
}

impl ClaimPath {
    /// A claim by its name, or by a JSON Pointer.
    ///
    /// # Errors
    /// Empty, or a pointer with a `~` that escapes nothing.
    pub fn new(text: impl Into<String>) -> Result<Self, PolicyError> {
        let text = text.into();
        if text.is_empty() || text == "/" {
            return Err(PolicyError::new("", "names no claim"));
        }
        let is_pointer = text.starts_with('/');
        if is_pointer && text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(PolicyError::new("", "is no JSON Pointer: in one, ~ is written ~0"));
        }
        Ok(Self(text))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim's value.
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        let Some(pointer) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let unescape = |token: &str| token.replace("~1", "/").replace("~0", "~");
        let mut value = claims.get(&unescape(first))?;
        for token in rest.into_iter().flat_map(|rest| rest.split('/')) {
            value = match value {
                Value::Object(members) => members.get(&unescape(token))?,
                Value::Array(elements) => elements.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { scope: ClaimPath(DEFAULT_SCOPE_CLAIM.to_owned()), roles: ClaimPath(DEFAULT_ROLES_CLAIM.to_owned()) }
    }
}

impl Setting for Requirement {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let scope: Option<Wanted> = fields.optional("scope")?;
        let roles: Option<Wanted> = fields.optional("roles")?;
        let claims: Option<super::Named<Wanted>> = fields.optional("claims")?;
        fields.finish()?;
        let requirement = Self {
            scope: scope.map(Wanted::into_scopes).transpose().map_err(|error| error.within("scope"))?,
            roles: roles.map(Wanted::into_strings).transpose().map_err(|error| error.within("roles"))?,
            claims: claims
                .unwrap_or_default()
                .0
                .into_iter()
                .map(read_claim)
                .collect::<Result<_, PolicyError>>()
                .map_err(|error| error.within("claims"))?,
        };
        if requirement.is_empty() {
            return Err(PolicyError::new("", "asks for nothing: set scope, roles or claims, or leave it out"));
        }
        Ok(requirement)
    }
}

fn read_claim((name, wanted): (String, Wanted)) -> Result<(ClaimPath, Wanted), PolicyError> {
    ClaimPath::new(name.as_str()).map(|path| (path, wanted)).map_err(|error| error.within(&name))
}

impl Setting for Wanted {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let wanted = match value {
            Value::Array(all) => Self { all, any: Vec::new() },
            Value::Object(_) => {
                let mut fields = Fields::from_value(value)?;
                let wanted = Self { all: fields.or("all", Vec::new())?, any: fields.or("any", Vec::new())? };
                fields.finish()?;
                wanted
            }
            one => Self { all: alloc::vec![one], any: Vec::new() },
        };
        wanted.check()?;
        Ok(wanted)
    }
}

impl Setting for ClaimPath {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        Self::new(String::from_value(value)?)
    }
}
