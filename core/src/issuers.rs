//! The closed list of issuers that a verifier trusts, and which of them a token concerns.

use alloc::{string::String, vec::Vec};

use crate::{
    error::{Check, ErrorCode, PolicyError, VerifyError, quoted},
    token::UnverifiedToken,
};

/// A closed list of issuers with what the host keeps for each (its policy, its key cache).
#[derive(Clone, Debug)]
pub struct Issuers<T> {
    entries: Vec<(Option<String>, T)>,
}

impl<T> Issuers<T> {
    /// A list; an entry without a name is one whose policy skips the issuer.
    ///
    /// # Errors
    /// An empty list; two entries of one issuer; an entry without a name beside others, as no token could be routed to it.
    pub fn new(entries: Vec<(Option<String>, T)>) -> Result<Self, PolicyError> {
        if entries.is_empty() {
            return Err(PolicyError::new("issuers", "is empty: name at least one issuer"));
        }
        for (index, (name, _)) in entries.iter().enumerate() {
            let setting = alloc::format!("issuers[{index}].issuer");
            match name {
                None if entries.len() > 1 => {
                    return Err(PolicyError::new(setting, "may be skipped only where it is the only issuer"));
                }
                Some(name) if entries[..index].iter().any(|(earlier, _)| earlier.as_ref() == Some(name)) => {
                    return Err(PolicyError::new(setting, "is configured twice"));
                }
                _ => {}
            }
        }
        Ok(Self { entries })
    }

    /// The entry of the token's issuer: the only one, or the one that the unverified `iss` names exactly. The verifier compares
    /// `iss` again once the signature is verified.
    ///
    /// # Errors
    /// `issuer_mismatch` for an issuer that is not in the list; those of [`UnverifiedToken::unverified_issuer`].
    pub fn route(&self, token: &UnverifiedToken) -> Result<&T, VerifyError> {
        self.position(token).map(|index| &self.entries[index].1)
    }

    /// All entries in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    fn position(&self, token: &UnverifiedToken) -> Result<usize, VerifyError> {
        if self.entries.len() == 1 {
            return Ok(0);
        }
        let issuer = token.unverified_issuer()?;
        self.entries.iter().position(|(name, _)| name.as_deref() == Some(issuer.as_str())).ok_or_else(|| {
            let detail = alloc::format!("{} is not one of the {} configured issuers", quoted(&issuer), self.entries.len());
            VerifyError::new(ErrorCode::IssuerMismatch, Check::Routing, detail)
        })
    }
}
