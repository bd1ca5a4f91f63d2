//! The claims set (RFC 7519 section 4) of a token whose signature has been verified.

use alloc::{string::String, vec::Vec};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    error::{Check, ErrorCode, VerifyError},
    json,
};

/// The last second of the year 9999, which RFC 3339 and every calendar library can still write.
pub const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;

/// A `NumericDate` (RFC 7519 section 2): seconds since the epoch, with a fraction, between 0 and [`MAX_NUMERIC_DATE`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct NumericDate(f64);

impl NumericDate {
    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        self.0
    }

    /// As JSON writes it, whole seconds as an integer.
    pub(crate) fn to_value(self) -> Value {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within MAX_NUMERIC_DATE")]
        let whole = self.0 as u64;
        #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "far below 2^53: whole or not, exactly")]
        let is_whole = whole as f64 == self.0;
        if is_whole { whole.into() } else { self.0.into() }
    }

    /// The number, if it is one and in range.
    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        value.as_f64().filter(|seconds| (0.0..=MAX_NUMERIC_DATE).contains(seconds)).map(Self)
    }
}

/// A claims set whose registered members have the right types.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
    audience: Vec<String>,
    expires_at: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued_at: Option<NumericDate>,
}

impl Claims {
    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.string("iss")
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.string("sub")
    }

    /// `jti`.
    pub fn jwt_id(&self) -> Option<&str> {
        self.string("jti")
    }

    /// `aud`, one or several; empty when absent.
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// `exp`.
    pub fn expires_at(&self) -> Option<NumericDate> {
        self.expires_at
    }

    /// `nbf`.
    pub fn not_before(&self) -> Option<NumericDate> {
        self.not_before
    }

    /// `iat`.
    pub fn issued_at(&self) -> Option<NumericDate> {
        self.issued_at
    }

    /// Any claim by its name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// All claims.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// The claims as a type of one's own.
    ///
    /// # Errors
    /// `claim_invalid` with serde's reason when they do not fit it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, VerifyError> {
        serde_json::from_value(Value::Object(self.members.clone())).map_err(|error| invalid(alloc::format!("claims: {error}")))
    }

    /// Parses the payload of a token and gives its text back with it.
    pub(crate) fn parse(payload: &[u8]) -> Result<(&str, Self), VerifyError> {
        let (text, members) = json::parse_object(payload)
            .map_err(|error| VerifyError::new(ErrorCode::TokenMalformed, Check::Claims, alloc::format!("claims set: {error}")))?;
        Ok((text, Self::from_members(members)?))
    }

    pub(crate) fn from_members(members: Map<String, Value>) -> Result<Self, VerifyError> {
        for name in ["iss", "sub", "jti"] {
            if members.get(name).is_some_and(|value| !value.is_string()) {
                return Err(invalid(alloc::format!("claim {name} is not a string")));
            }
        }
        let audience = match members.get("aud") {
            None => Vec::new(),
            Some(value) => {
                strings(value).ok_or_else(|| invalid("claim aud is neither a string nor a non-empty array of strings"))?
            }
        };
        let [expires_at, not_before, issued_at] = ["exp", "nbf", "iat"].map(|name| numeric_date(&members, name));
        let (expires_at, not_before, issued_at) = (expires_at?, not_before?, issued_at?);
        if members.get("cnf").is_some_and(|value| !value.is_object()) {
            return Err(invalid("claim cnf is not an object"));
        }
        Ok(Self { members, audience, expires_at, not_before, issued_at })
    }

    pub(crate) fn to_json(&self) -> String {
        let mut text = String::new();
        json::write_object(&self.members, &mut text);
        text
    }

    fn string(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }
}

/// A string or a non-empty array of strings, as `aud` is (RFC 7519 section 4.1.3).
pub(crate) fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(alloc::vec![one.clone()]),
        Value::Array(several) if !several.is_empty() => several.iter().map(|one| one.as_str().map(String::from)).collect(),
        _ => None,
    }
}

fn numeric_date(members: &Map<String, Value>, name: &str) -> Result<Option<NumericDate>, VerifyError> {
    let Some(value) = members.get(name) else { return Ok(None) };
    if !value.is_number() {
        return Err(invalid(alloc::format!("claim {name} is not a number")));
    }
    let date = NumericDate::from_value(value)
        .ok_or_else(|| invalid(alloc::format!("claim {name} is out of range: a NumericDate lies between 0 and 253402300799")))?;
    Ok(Some(date))
}

fn invalid(detail: impl Into<alloc::borrow::Cow<'static, str>>) -> VerifyError {
    VerifyError::new(ErrorCode::ClaimInvalid, Check::Claims, detail)
}
