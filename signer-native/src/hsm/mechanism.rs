//! The PKCS#11 side of the table of algorithms: mechanisms, templates, curve names and public keys.

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, KeyType, ObjectClass},
    types::Ulong,
};
use edgeseal_core::{
    Algorithm,
    algorithm::{Curve, Hash, Scheme},
};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{HsmError, KeyId, KeyKind, PrivateKey};

/// `namedCurve` of P-256, P-384 and P-521 (RFC 5480 section 2.1.1.1) as DER.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// Ed25519, as the OID of RFC 8410 and as the `curveName` of PKCS#11 3.0: modules know one or the other.
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// `DigestInfo` up to the digest (RFC 8017 section 9.2, note 1).
const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
const SHA384_INFO: &[u8] =
    &[0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30];
const SHA512_INFO: &[u8] =
    &[0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];

/// What `C_Sign` gets: the mechanism, and its input.
pub(super) struct SignInput {
    pub(super) mechanism: Mechanism<'static>,
    pub(super) data: Vec<u8>,
}

/// The mechanism that every module has, over a digest made here: `CKM_ECDSA`, `CKM_RSA_PKCS` with the `DigestInfo`,
/// `CKM_RSA_PKCS_PSS`. Ed25519 takes the whole message, always as pure Ed25519.
pub(super) fn sign_input(algorithm: Algorithm, message: Vec<u8>) -> Result<SignInput, HsmError> {
    match algorithm.scheme() {
        Scheme::Ecdsa(_, hash) | Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => digest_input(algorithm, digest(hash, &message)),
        Scheme::Ed25519 => {
            Ok(SignInput { mechanism: Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)), data: message })
        }
    }
}

/// The same for a digest that was made elsewhere. Ed25519 has none (Ed25519ph is another algorithm, and is never used).
pub(super) fn digest_input(algorithm: Algorithm, digest: Vec<u8>) -> Result<SignInput, HsmError> {
    let (mechanism, hash, prefix) = match algorithm.scheme() {
        Scheme::Ecdsa(_, hash) => (Mechanism::Ecdsa, hash, &[][..]),
        Scheme::RsaPkcs1(hash) => (Mechanism::RsaPkcs, hash, digest_info(hash)),
        Scheme::RsaPss(hash) => (Mechanism::RsaPkcsPss(pss_parameters(hash)?), hash, &[][..]),
        Scheme::Ed25519 => return Err(HsmError::Unsupported(format!("{algorithm} does not sign digests"))),
    };
    if digest.len() != hash.digest_len() {
        return Err(HsmError::Refused(format!("{algorithm} signs {} octets of digest, not {}", hash.digest_len(), digest.len())));
    }
    Ok(SignInput { mechanism, data: if prefix.is_empty() { digest } else { [prefix, &digest].concat() } })
}

/// The mechanism whose presence says that `algorithm` can be signed with.
pub(super) fn mechanism_type(algorithm: Algorithm) -> MechanismType {
    match algorithm.scheme() {
        Scheme::Ecdsa(..) => MechanismType::ECDSA,
        Scheme::RsaPkcs1(_) => MechanismType::RSA_PKCS,
        Scheme::RsaPss(_) => MechanismType::RSA_PKCS_PSS,
        Scheme::Ed25519 => MechanismType::EDDSA,
    }
}

/// The mechanism that generates keys of this kind.
pub(super) fn generation(kind: KeyKind) -> Mechanism<'static> {
    match kind {
        KeyKind::Ec(_) => Mechanism::EccKeyPairGen,
        KeyKind::Rsa(_) => Mechanism::RsaPkcsKeyPairGen,
        KeyKind::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
    }
}

/// The size by which modules state the limits of a mechanism, in bits.
pub(super) fn size_in_bits(kind: KeyKind) -> usize {
    match kind {
        KeyKind::Ec(Curve::P256) => 256,
        KeyKind::Ec(Curve::P384) => 384,
        KeyKind::Ec(Curve::P521) => 521,
        KeyKind::Rsa(bits) => usize::from(bits),
        KeyKind::Ed25519 => 255,
    }
}

/// Templates of the public key to try in turn: the same but for the name of the curve.
pub(super) fn public_templates(id: KeyId, kind: KeyKind, label: &str) -> Result<Vec<Vec<Attribute>>, HsmError> {
    let common = || {
        vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Encrypt(false),
            Attribute::Wrap(false),
            Attribute::Id(id.octets().to_vec()),
            Attribute::Label(label.as_bytes().to_vec()),
        ]
    };
    let with = |more: Vec<Attribute>| {
        let mut template = common();
        template.extend(more);
        template
    };
    Ok(match kind {
        KeyKind::Ec(curve) => vec![with(vec![Attribute::EcParams(curve_name(curve).to_vec())])],
        KeyKind::Ed25519 => {
            [ED25519_OID, ED25519_NAME].into_iter().map(|name| with(vec![Attribute::EcParams(name.to_vec())])).collect()
        }
        KeyKind::Rsa(bits) => {
            let bits = Ulong::try_from(usize::from(bits)).map_err(|_| HsmError::Unsupported(format!("RSA {bits}")))?;
            vec![with(vec![Attribute::ModulusBits(bits), Attribute::PublicExponent(vec![0x01, 0x00, 0x01])])]
        }
    })
}

/// The template of the private key: signs, and nothing else; never leaves.
pub(super) fn private_template(id: KeyId, label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Id(id.octets().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// The templates of the public and the private object of a key that was made elsewhere.
pub(super) fn import_templates(id: KeyId, key: &PrivateKey, label: &str) -> Result<(Vec<Attribute>, Vec<Attribute>), HsmError> {
    let mut public = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(key_type(key.kind)),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Id(id.octets().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let mut private = vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(key_type(key.kind))];
    private.extend(private_template(id, label));
    match (key.kind, key.parts.as_slice()) {
        (KeyKind::Ec(_) | KeyKind::Ed25519, [secret, point]) => {
            let curve = if let KeyKind::Ec(curve) = key.kind { curve_name(curve) } else { ED25519_OID };
            public.extend([Attribute::EcParams(curve.to_vec()), Attribute::EcPoint(octet_string(point))]);
            private.extend([Attribute::EcParams(curve.to_vec()), Attribute::Value(secret.to_vec())]);
        }
        (KeyKind::Rsa(_), [modulus, exponent, secret, prime1, prime2, exponent1, exponent2, coefficient]) => {
            public.extend([Attribute::Modulus(modulus.to_vec()), Attribute::PublicExponent(exponent.to_vec())]);
            private.extend([
                Attribute::Modulus(modulus.to_vec()),
                Attribute::PublicExponent(exponent.to_vec()),
                Attribute::PrivateExponent(secret.to_vec()),
                Attribute::Prime1(prime1.to_vec()),
                Attribute::Prime2(prime2.to_vec()),
                Attribute::Exponent1(exponent1.to_vec()),
                Attribute::Exponent2(exponent2.to_vec()),
                Attribute::Coefficient(coefficient.to_vec()),
            ]);
        }
        _ => return Err(HsmError::Refused("the private key lacks parts".to_owned())),
    }
    Ok((public, private))
}

/// A point as PKCS#11 wants it: DER, with a length of one or two octets.
fn octet_string(octets: &[u8]) -> Vec<u8> {
    let length = u8::try_from(octets.len()).unwrap_or(u8::MAX);
    let head: &[u8] = if length < 0x80 { &[0x04, length] } else { &[0x04, 0x81, length] };
    [head, octets].concat()
}

/// What finds one half of the pair `id`.
pub(super) fn search(id: KeyId, class: ObjectClass) -> [Attribute; 3] {
    [Attribute::Token(true), Attribute::Class(class), Attribute::Id(id.octets().to_vec())]
}

/// `CKA_KEY_TYPE` of a kind.
pub(super) fn key_type(kind: KeyKind) -> KeyType {
    match kind {
        KeyKind::Ec(_) => KeyType::EC,
        KeyKind::Rsa(_) => KeyType::RSA,
        KeyKind::Ed25519 => KeyType::EC_EDWARDS,
    }
}

/// The point inside `CKA_EC_POINT`: PKCS#11 asks for a DER OCTET STRING, some modules give the raw point, and for
/// Edwards curves some give a BIT STRING. `length` is that of the raw point, which tells them apart.
pub(super) fn ec_point(value: &[u8], length: usize) -> Option<&[u8]> {
    if value.len() == length {
        return Some(value);
    }
    let body = match value {
        [0x04 | 0x03, long, rest @ ..] if *long == 0x81 => match rest {
            [octets, body @ ..] if usize::from(*octets) == body.len() => body,
            _ => return None,
        },
        [0x04 | 0x03, octets, body @ ..] if *octets < 0x80 && usize::from(*octets) == body.len() => body,
        _ => return None,
    };
    match value.first() {
        Some(0x03) => body.strip_prefix(&[0]).filter(|point| point.len() == length),
        _ => Some(body).filter(|point| point.len() == length),
    }
}

fn curve_name(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => P256,
        Curve::P384 => P384,
        Curve::P521 => P521,
    }
}

fn digest(hash: Hash, message: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => Sha256::digest(message).to_vec(),
        Hash::Sha384 => Sha384::digest(message).to_vec(),
        Hash::Sha512 => Sha512::digest(message).to_vec(),
    }
}

fn digest_info(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha256 => SHA256_INFO,
        Hash::Sha384 => SHA384_INFO,
        Hash::Sha512 => SHA512_INFO,
    }
}

fn pss_parameters(hash: Hash) -> Result<PkcsPssParams, HsmError> {
    let (hash_alg, mgf) = match hash {
        Hash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        Hash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        Hash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    };
    let s_len = Ulong::try_from(hash.digest_len()).map_err(|_| HsmError::Unsupported("PSS salt length".to_owned()))?;
    Ok(PkcsPssParams { hash_alg, mgf, s_len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ec_point_in_each_form() {
        let raw = [0x04_u8; 65];
        let mut der = vec![0x04, 65];
        der.extend_from_slice(&raw);
        assert_eq!(ec_point(&raw, 65), Some(&raw[..]));
        assert_eq!(ec_point(&der, 65), Some(&raw[..]));
        let long = [0x04_u8; 133];
        let mut der = vec![0x04, 0x81, 133];
        der.extend_from_slice(&long);
        assert_eq!(ec_point(&der, 133), Some(&long[..]));
        let edwards = [0x11_u8; 32];
        let mut bits = vec![0x03, 33, 0];
        bits.extend_from_slice(&edwards);
        assert_eq!(ec_point(&bits, 32), Some(&edwards[..]));
        for broken in [&[][..], &[0x04], &[0x04, 65], &[0x05, 32, 1], &[0x04, 0x81], &[0x04, 3, 1, 2, 3]] {
            assert_eq!(ec_point(broken, 65), None, "{broken:x?}");
        }
    }

    #[test]
    fn a_digest_is_signed_as_its_message_would_be() {
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| algorithm.scheme() != Scheme::Ed25519) {
            let (Scheme::Ecdsa(_, hash) | Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash)) = algorithm.scheme() else { continue };
            let whole = sign_input(algorithm, b"message".to_vec()).unwrap();
            let ready = digest_input(algorithm, digest(hash, b"message")).unwrap();
            assert_eq!(whole.data, ready.data, "{algorithm}");
            assert!(digest_input(algorithm, vec![0; hash.digest_len() - 1]).is_err(), "{algorithm}");
        }
        assert!(digest_input(Algorithm::EdDsa, vec![0; 64]).is_err());
    }

    #[test]
    fn digest_info_lengths_add_up() {
        for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let info = digest_info(hash);
            assert_eq!(usize::from(info[1]), info.len() - 2 + hash.digest_len());
            assert_eq!(usize::from(info[info.len() - 1]), hash.digest_len());
        }
    }
}
