//! The other direction: header and claims to signing input, signature to token.

use alloc::string::{String, ToString as _};

use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    claims::Claims,
    error::VerifyError,
    token::{MAX_TOKEN_LEN, encode_base64url},
};

/// A token that still needs its signature. Its header and claims pass the same rules that a verifier applies, so that nothing
/// is signed which no verifier would accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedToken {
    algorithm: Algorithm,
    signing_input: String,
}

impl UnsignedToken {
    /// A token of the claims set with this JSON text. The text is signed as it is.
    ///
    /// # Errors
    /// `token_malformed` or `claim_invalid` when a verifier would refuse the claims set whatever its policy;
    /// `token_too_large` when the token would be.
    pub fn new(algorithm: Algorithm, kid: &str, typ: Option<&str>, claims_json: &str) -> Result<Self, VerifyError> {
        Self::within("the token", algorithm, kid, typ, claims_json, MAX_TOKEN_LEN)
    }

    /// The same, of at most so many octets.
    pub(crate) fn within(
        what: &str,
        algorithm: Algorithm,
        kid: &str,
        typ: Option<&str>,
        claims_json: &str,
        most: usize,
    ) -> Result<Self, VerifyError> {
        Claims::parse(claims_json.as_bytes())?;
        let mut header = Map::new();
        header.insert("alg".into(), Value::String(algorithm.name().into()));
        header.insert("kid".into(), Value::String(kid.into()));
        if let Some(typ) = typ {
            header.insert("typ".into(), Value::String(typ.into()));
        }
        let header = Value::Object(header).to_string();
        let mut signing_input = encode_base64url(header.as_bytes());
        signing_input.push('.');
        signing_input.push_str(&encode_base64url(claims_json.as_bytes()));
        // The longest signature is that of an RSA key of 8192 bits.
        let longest = signing_input.len() + 1 + 1024_usize.div_ceil(3) * 4;
        if longest > most {
            return Err(VerifyError::new(
                crate::ErrorCode::TokenTooLarge,
                crate::Check::Structure,
                alloc::format!("{what} would have up to {longest} bytes, verifiers accept {most}"),
            ));
        }
        Ok(Self { algorithm, signing_input })
    }

    /// The algorithm of the signature.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// What is to be signed: the JWS Signing Input (RFC 7515 section 5.1).
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// The compact token with this signature, as JWA writes it.
    #[must_use]
    pub fn attach(self, signature: &[u8]) -> String {
        let mut compact = self.signing_input;
        compact.push('.');
        compact.push_str(&encode_base64url(signature));
        compact
    }
}
