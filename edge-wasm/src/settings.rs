//! The settings of `createVerifier`, as the TypeScript face hands them over.

use edgeseal_core::{IssuerSettings, jwks_cache::CacheSettings};
use serde::Deserialize;

use crate::verify::BackendChoice;

/// Issuers and the numbers of their key caches; the names are those of `[vars.EDGESEAL]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierSettings {
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// The key caches.
    #[serde(default)]
    pub cache: CacheSettings,
    /// Who may verify signatures.
    #[serde(default)]
    pub backend: BackendChoice,
    /// Octets of verified tokens to remember.
    #[serde(default = "default_token_cache")]
    pub token_cache: usize,
}

/// Octets of verified tokens that a verifier remembers unless it is told otherwise: some 1500 tokens of ordinary size.
pub const DEFAULT_TOKEN_CACHE: usize = 4 * 1024 * 1024;

const fn default_token_cache() -> usize {
    DEFAULT_TOKEN_CACHE
}

impl VerifierSettings {
    /// The settings from JSON text.
    ///
    /// # Errors
    /// A sentence about the first setting that is unknown, missing or of the wrong type.
    pub fn from_json(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}
