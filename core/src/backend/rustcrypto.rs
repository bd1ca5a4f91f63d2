//! The reference backend: pure Rust, every algorithm, on every host.
//!
//! ES256 and Ed25519 go through jwt-compact's [`Algorithm`](jwt_compact::Algorithm), over `p256` and `ed25519-dalek`; ES384,
//! ES512, RS* and PS* call `p384`, `p521` and `rsa`, which jwt-compact has not, or not without an operating system.

use alloc::sync::Arc;

use jwt_compact::{
    AlgorithmSignature,
    alg::{Ed25519, Es256, VerifyingKey},
};
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey, traits::SignatureScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{SignatureBackend, SignatureInput, SignatureInvalid, SignatureValid, rsa_verify};
use crate::{
    algorithm::{Algorithm, Curve, Hash, Scheme},
    error::VerifyError,
    jwk::{Jwk, KeyMaterial, MAX_RSA_BITS},
};

/// The pure-Rust backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl SignatureBackend for RustCrypto {
    fn name(&self) -> &'static str {
        "rustcrypto"
    }

    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        let (message, signature) = (input.message(), input.signature());
        let valid = match (input.algorithm().scheme(), input.key().public_key().material()) {
            (Scheme::Ecdsa(Curve::P256, Hash::Sha256), KeyMaterial::Ec { sec1, .. }) => {
                through_jwt_compact(&Es256, sec1, message, signature)
            }
            (Scheme::Ecdsa(Curve::P384, hash), KeyMaterial::Ec { sec1, .. }) => {
                match (p384::ecdsa::VerifyingKey::from_sec1_bytes(sec1), p384::ecdsa::Signature::from_slice(signature)) {
                    (Ok(key), Ok(signature)) => prehashed(&key, hash, message, &signature),
                    _ => false,
                }
            }
            (Scheme::Ecdsa(Curve::P521, hash), KeyMaterial::Ec { sec1, .. }) => {
                match (p521::ecdsa::VerifyingKey::from_sec1_bytes(sec1), p521::ecdsa::Signature::from_slice(signature)) {
                    (Ok(key), Ok(signature)) => prehashed(&key, hash, message, &signature),
                    _ => false,
                }
            }
            (Scheme::RsaPkcs1(hash), KeyMaterial::Rsa { n, e }) => match hash {
                Hash::Sha256 => rsa::<Sha256>(n, e, Pkcs1v15Sign::new::<Sha256>(), message, signature),
                Hash::Sha384 => rsa::<Sha384>(n, e, Pkcs1v15Sign::new::<Sha384>(), message, signature),
                Hash::Sha512 => rsa::<Sha512>(n, e, Pkcs1v15Sign::new::<Sha512>(), message, signature),
            },
            // Of a modulus of 8k + 1 bits `rsa` does not look at the octet above the encoding, which must be zero (RFC 8017 section
            // 8.1.2 step 2c).
            (Scheme::RsaPss(_), KeyMaterial::Rsa { n, .. }) if n.first() == Some(&1) => {
                return rsa_verify::verify(input).unwrap_or(Err(SignatureInvalid));
            }
            (Scheme::RsaPss(hash), KeyMaterial::Rsa { n, e }) => match hash {
                Hash::Sha256 => rsa::<Sha256>(n, e, Pss::new::<Sha256>(), message, signature),
                Hash::Sha384 => rsa::<Sha384>(n, e, Pss::new::<Sha384>(), message, signature),
                Hash::Sha512 => rsa::<Sha512>(n, e, Pss::new::<Sha512>(), message, signature),
            },
            (Scheme::Ed25519, KeyMaterial::Ed25519(key)) => through_jwt_compact(&Ed25519, key, message, signature),
            // A `SignatureInput` holds a key of its algorithm; the table has no other pairs.
            _ => false,
        };
        if valid { Ok(SignatureValid::assertion()) } else { Err(SignatureInvalid) }
    }
}

impl Jwk {
    /// Verifies a signature over any message with the pure-Rust backend, below the level of tokens.
    ///
    /// # Errors
    /// `key_mismatch` or `signature_invalid`.
    pub fn verify_signature(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let input = SignatureInput::new(algorithm, Arc::new(self.clone()), message.into(), signature.into())?;
        RustCrypto.verify(&input).map(drop).map_err(|SignatureInvalid| VerifyError::signature_invalid())
    }
}

fn through_jwt_compact<A>(algorithm: &A, key: &[u8], message: &[u8], signature: &[u8]) -> bool
where
    A: jwt_compact::Algorithm,
    A::VerifyingKey: VerifyingKey<A>,
{
    match (A::VerifyingKey::from_slice(key), A::Signature::try_from_slice(signature)) {
        (Ok(key), Ok(signature)) => algorithm.verify_signature(&signature, &key, message),
        _ => false,
    }
}

fn prehashed<S>(key: &impl PrehashVerifier<S>, hash: Hash, message: &[u8], signature: &S) -> bool {
    let verified = match hash {
        Hash::Sha256 => key.verify_prehash(&Sha256::digest(message), signature),
        Hash::Sha384 => key.verify_prehash(&Sha384::digest(message), signature),
        Hash::Sha512 => key.verify_prehash(&Sha512::digest(message), signature),
    };
    verified.is_ok()
}

fn rsa<D: Digest>(n: &[u8], e: &[u8], scheme: impl SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
    RsaPublicKey::new_with_max_size(BigUint::from_bytes_be(n), BigUint::from_bytes_be(e), MAX_RSA_BITS)
        .is_ok_and(|key| key.verify(scheme, &D::digest(message), signature).is_ok())
}
