//! The JOSE header of a JWS (RFC 7515 section 4).

use alloc::string::String;

use serde_json::{Map, Value};

use crate::{
    error::{ErrorCode, VerifyError},
    token::MAX_KID_LEN,
};

/// A JOSE header whose registered members have the right types; nothing in it has been verified.
///
/// `jwk`, `jku`, `x5c` and `x5u` are not read: a token never says which key verifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    algorithm: String,
    kid: Option<String>,
    typ: Option<String>,
    critical: Option<&'static str>,
}

impl Header {
    /// `alg`, whatever it says.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// `kid`: compared byte for byte, never interpreted.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// `typ` as it stands.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// Why the header asks for an extension that nobody here understands.
    pub(crate) fn critical(&self) -> Option<&'static str> {
        self.critical
    }

    pub(crate) fn from_members(members: &Map<String, Value>) -> Result<Self, VerifyError> {
        let string = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.clone())),
            Some(_) => Err(VerifyError::malformed(alloc::format!("header member {name} is not a string"))),
        };
        for name in ["enc", "zip"] {
            if members.contains_key(name) {
                return Err(VerifyError::malformed(alloc::format!("header member {name} belongs to a JWE, not to a JWS")));
            }
        }
        let algorithm = string("alg")?.ok_or_else(|| VerifyError::malformed("header member alg is missing"))?;
        let kid = string("kid")?;
        let typ = string("typ")?;
        string("cty")?;
        if let Some(kid) = &kid
            && kid.len() > MAX_KID_LEN
        {
            return Err(VerifyError::new(
                ErrorCode::TokenTooLarge,
                crate::error::Check::Structure,
                alloc::format!("kid has {} bytes, at most {MAX_KID_LEN} are allowed", kid.len()),
            ));
        }
        // No extension is understood, so any `crit` is refused, well-formed or not. RFC 7797 requires `b64` to be listed in
        // `crit`; a `b64` that changes the signing input is refused even where that rule was broken.
        let critical = if members.contains_key("crit") {
            Some("crit asks for an extension, and none is understood")
        } else if members.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
            Some("b64 is not true: an unencoded payload (RFC 7797) is not understood")
        } else {
            None
        };
        Ok(Self { algorithm, kid, typ, critical })
    }
}
