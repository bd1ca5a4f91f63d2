//! The settings of `createVerifier`, as the TypeScript face hands them over.

use edgeseal_core::{IssuerSettings, PolicyError, jwks_cache::CacheSettings, settings::Fields};

use crate::verify::BackendChoice;

/// Issuers and the numbers of their key caches; the names are those of `[vars.EDGESEAL]`.
#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// The issuers whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// The key caches.
    pub cache: CacheSettings,
    /// Who may verify signatures.
    pub backend: BackendChoice,
    /// Octets of verified tokens to remember; [`DEFAULT_TOKEN_CACHE`] unless set.
    pub token_cache: usize,
}

/// Octets of verified tokens that a verifier remembers unless it is told otherwise: some 1500 tokens of ordinary size.
pub const DEFAULT_TOKEN_CACHE: usize = 4 * 1024 * 1024;

impl VerifierSettings {
    /// The settings from JSON text.
    ///
    /// # Errors
    /// The first setting that is unknown, missing or of the wrong type.
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_json("options", text)?;
        let token_cache: Option<u64> = fields.optional("token_cache")?;
        let settings = Self {
            issuers: fields.required("issuers")?,
            cache: fields.or("cache", CacheSettings::default())?,
            backend: fields.or("backend", BackendChoice::Auto)?,
            // More than there is memory is as much as there is.
            token_cache: token_cache.map_or(DEFAULT_TOKEN_CACHE, |octets| usize::try_from(octets).unwrap_or(usize::MAX)),
        };
        fields.finish()?;
        Ok(settings)
    }
}
