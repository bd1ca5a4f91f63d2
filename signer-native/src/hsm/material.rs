//! PURE. Private keys that were made elsewhere: out of PKCS#8, for a store that takes them in.

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};
use edgeseal_core::{PublicKey, algorithm::Curve};
use pkcs1::RsaPrivateKey;
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::KeyKind;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A private key outside of any store.
pub struct PrivateKey {
    pub(super) kind: KeyKind,
    /// EC: scalar, point. RSA: n, e, d, p, q, dP, dQ, qInv. Ed25519: seed, point. All big-endian.
    pub(super) parts: Vec<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PrivateKey({})", self.kind)
    }
}

impl PrivateKey {
    /// Reads PKCS#8 (RFC 5958) in DER. Its parts must fit together.
    ///
    /// # Errors
    /// In words, why it is no key that can be taken in.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let info = PrivateKeyInfo::try_from(der).map_err(|error| format!("it is no PKCS#8 private key ({error})"))?;
        let unsound = |error: aws_lc_rs::error::KeyRejected| format!("its parts do not fit together ({error})");
        match info.algorithm.oid {
            EC => Self::ec(der),
            ED25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(unsound)?;
                // CurvePrivateKey (RFC 8410 section 7): an OCTET STRING in the OCTET STRING.
                let seed = info.private_key.strip_prefix(&[0x04, 32]).filter(|seed| seed.len() == 32);
                let seed = seed.ok_or("its seed is not 32 octets")?;
                Ok(Self { kind: KeyKind::Ed25519, parts: vec![secret(seed), secret(pair.public_key().as_ref())] })
            }
            RSA => {
                RsaKeyPair::from_pkcs8(der).map_err(unsound)?;
                let key = RsaPrivateKey::try_from(info.private_key).map_err(|error| format!("its RSA key is none ({error})"))?;
                let bits = u16::try_from(key.modulus.as_bytes().len() * 8).unwrap_or_default();
                if ![2_048, 3_072, 4_096].contains(&bits) {
                    return Err(format!("it is an RSA key of {bits} bits; it takes 2048, 3072 or 4096"));
                }
                let parts = [
                    key.modulus,
                    key.public_exponent,
                    key.private_exponent,
                    key.prime1,
                    key.prime2,
                    key.exponent1,
                    key.exponent2,
                    key.coefficient,
                ];
                Ok(Self { kind: KeyKind::Rsa(bits), parts: parts.map(|part| secret(part.as_bytes())).to_vec() })
            }
            other => Err(format!("its algorithm is {other}; it takes RSA, EC and Ed25519 keys")),
        }
    }

    fn ec(der: &[u8]) -> Result<Self, String> {
        let curves = [
            (Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ];
        for (curve, algorithm) in curves {
            let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, der) else { continue };
            let scalar = pair.private_key().as_be_bytes().map_err(|_| "its number cannot be read")?;
            let parts = vec![secret(scalar.as_ref()), secret(pair.public_key().as_ref())];
            return Ok(Self { kind: KeyKind::Ec(curve), parts });
        }
        Err("it is no key on P-256, P-384 or P-521, or its parts do not fit together".to_owned())
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its public half.
    ///
    /// # Errors
    /// In words, why core would refuse it.
    pub fn public_key(&self) -> Result<PublicKey, String> {
        let key = match (self.kind, self.parts.as_slice()) {
            (KeyKind::Ec(curve), [_, point]) => PublicKey::ec_from_sec1(curve, point),
            (KeyKind::Ed25519, [_, point]) => {
                let point: &[u8; 32] = point.as_slice().try_into().map_err(|_| "its point is not 32 octets")?;
                PublicKey::ed25519(point)
            }
            (KeyKind::Rsa(_), [modulus, exponent, ..]) => PublicKey::rsa(modulus, exponent),
            _ => return Err("its parts are missing".to_owned()),
        };
        key.map_err(|problem| problem.as_str().to_owned())
    }
}

fn secret(octets: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(octets.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_their_halves_fit() {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = PrivateKey::from_pkcs8(p256.as_ref()).unwrap();
        assert_eq!((key.kind(), key.parts[0].len(), key.parts[1].len()), (KeyKind::Ec(Curve::P256), 32, 65));
        key.public_key().unwrap();
        let p521 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, &random).unwrap();
        let key = PrivateKey::from_pkcs8(p521.as_ref()).unwrap();
        assert_eq!((key.kind(), key.parts[0].len()), (KeyKind::Ec(Curve::P521), 66));
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let read = PrivateKey::from_pkcs8(edwards.as_ref());
        // The newer form of RFC 8410 has the public key beside the seed; both forms are read.
        assert_eq!(read.unwrap().parts[0].len(), 32);
        let mut broken = p256.as_ref().to_vec();
        let last = broken.len() - 1;
        broken[last] ^= 1;
        assert!(PrivateKey::from_pkcs8(&broken).is_err());
        assert!(PrivateKey::from_pkcs8(b"nonsense").is_err());
    }
}
