//! AWS-LC, through `aws-lc-rs`: every algorithm of the table, natively.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Digest, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, VerificationAlgorithm,
};
use edgeseal_core::{
    Algorithm, PublicKey, SignatureBackend, SignatureInvalid, SignatureValid,
    algorithm::{Hash, Scheme},
    backend::SignatureInput,
    jwk::KeyMaterial,
};
use lru::LruCache;

/// Keys that are kept as AWS-LC wants them: some key sets of the largest size.
const MAX_PARSED_KEYS: usize = 256;

/// The backend over AWS-LC. Keys are parsed once and kept: an RSA modulus is prepared for arithmetic only then.
#[derive(Debug)]
pub struct AwsLc {
    keys: Mutex<LruCache<PublicKey, Parsed>>,
}

/// A key for one algorithm; whoever uses it with another one parses it anew.
#[derive(Debug)]
struct Parsed {
    algorithm: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl Default for AwsLc {
    fn default() -> Self {
        Self::new()
    }
}

impl AwsLc {
    /// A backend that has seen no key yet.
    pub fn new() -> Self {
        let capacity = const { std::num::NonZeroUsize::new(MAX_PARSED_KEYS).unwrap() };
        Self { keys: Mutex::new(LruCache::new(capacity)) }
    }

    fn parsed(&self, algorithm: Algorithm, key: &PublicKey) -> Option<Arc<ParsedPublicKey>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parsed) = keys.get(key)
            && parsed.algorithm == algorithm
        {
            return Some(Arc::clone(&parsed.key));
        }
        let parsed = Arc::new(parse(algorithm, key)?);
        keys.put(key.clone(), Parsed { algorithm, key: Arc::clone(&parsed) });
        Some(parsed)
    }
}

impl AwsLc {
    /// Whether a signature over a message with this digest is valid.
    pub fn verifies_digest(&self, algorithm: Algorithm, key: &PublicKey, digest: &[u8], signature: &[u8]) -> bool {
        let hash = match algorithm.scheme() {
            Scheme::Ecdsa(_, hash) | Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => hash,
            Scheme::Ed25519 => return false,
        };
        let hash = match hash {
            Hash::Sha256 => &SHA256,
            Hash::Sha384 => &SHA384,
            Hash::Sha512 => &SHA512,
        };
        let (Some(key), Ok(digest)) = (self.parsed(algorithm, key), Digest::import_less_safe(digest, hash)) else { return false };
        key.verify_digest_sig(&digest, signature).is_ok()
    }
}

impl SignatureBackend for AwsLc {
    fn name(&self) -> &'static str {
        "aws-lc-rs"
    }

    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        let key = self.parsed(input.algorithm(), input.key().public_key()).ok_or(SignatureInvalid)?;
        match key.verify_sig(input.message(), input.signature()) {
            Ok(()) => Ok(SignatureValid::assertion()),
            Err(aws_lc_rs::error::Unspecified) => Err(SignatureInvalid),
        }
    }
}

fn parse(algorithm: Algorithm, key: &PublicKey) -> Option<ParsedPublicKey> {
    let scheme: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDsa | Algorithm::Ed25519 => &ED25519,
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
            return parse_rsa(algorithm, key);
        }
    };
    match key.material() {
        KeyMaterial::Ec { sec1, .. } => ParsedPublicKey::new(scheme, sec1).ok(),
        KeyMaterial::Ed25519(encoded) => ParsedPublicKey::new(scheme, encoded).ok(),
        KeyMaterial::Rsa { .. } => None,
    }
}

fn parse_rsa(algorithm: Algorithm, key: &PublicKey) -> Option<ParsedPublicKey> {
    let parameters = match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    };
    let KeyMaterial::Rsa { n, e } = key.material() else { return None };
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters).ok()
}
