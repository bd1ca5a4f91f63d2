//! PURE. Public keys as PEM (`SubjectPublicKeyInfo`, RFC 5280 section 4.1.2.7), for tools that read no JWK.

use edgeseal_core::{PublicKey, algorithm::Curve, jwk::KeyMaterial};
use x509_cert::{
    der::{
        Any, Encode as _, EncodePem as _,
        asn1::{BitString, Null, ObjectIdentifier, UintRef},
        pem::LineEnding,
    },
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The PEM of a public key.
pub fn public_key_pem(key: &PublicKey) -> Option<String> {
    let (oid, parameters, octets) = match key.material() {
        KeyMaterial::Ec { curve, sec1 } => {
            let curve = match curve {
                Curve::P256 => P256,
                Curve::P384 => P384,
                Curve::P521 => P521,
            };
            (EC, Some(Any::from(curve)), sec1.to_vec())
        }
        KeyMaterial::Rsa { n, e } => {
            // RSAPublicKey (RFC 8017 appendix A.1.1).
            let body = [UintRef::new(n).ok()?.to_der().ok()?, UintRef::new(e).ok()?.to_der().ok()?].concat();
            (RSA, Some(Any::from(Null)), Any::new(x509_cert::der::Tag::Sequence, body).ok()?.to_der().ok()?)
        }
        KeyMaterial::Ed25519(point) => (ED25519, None, point.to_vec()),
    };
    let algorithm = AlgorithmIdentifierOwned { oid, parameters };
    let info = SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(&octets).ok()? };
    info.to_pem(LineEnding::LF).ok()
}
