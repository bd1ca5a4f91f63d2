//! What a signature must look like before any backend sees it, so that no two backends can differ on it.

use crate::{
    algorithm::{Curve, Scheme},
    jwk::{KeyMaterial, PublicKey},
};

/// Whether `signature` has the exact length and range that `scheme` and `key` demand.
///
/// - ECDSA (RFC 7518 section 3.4): `r || s` of exactly the curve's length, `0 < r < n`, `0 < s < n`. A high `s` is accepted, as
///   the RFC has no rule against it; a token's text is therefore never an identity.
/// - RSA (RFC 8017 sections 8.1.2, 8.2.2): as long as the modulus and below it.
/// - Ed25519 (RFC 8032 section 5.1.7): `S < L`; `R` canonical and not of small order.
pub(crate) fn is_well_formed(scheme: Scheme, key: &PublicKey, signature: &[u8]) -> bool {
    match (scheme, key.material()) {
        (Scheme::Ecdsa(curve, _), KeyMaterial::Ec { curve: of_key, .. }) => {
            let (half, order) = (curve.coordinate_len(), order(curve));
            curve == of_key
                && signature.len() == 2 * half
                && signature.chunks_exact(half).all(|scalar| scalar < order && scalar.iter().any(|byte| *byte != 0))
        }
        (Scheme::RsaPkcs1(_) | Scheme::RsaPss(_), KeyMaterial::Rsa { n, .. }) => signature.len() == n.len() && signature < n,
        (Scheme::Ed25519, KeyMaterial::Ed25519(_)) => {
            let Some((r, s)) = signature.split_at_checked(32) else { return false };
            s.len() == 32 && s.iter().rev().lt(ED25519_ORDER.iter()) && is_canonical_point(r) && !is_small_order_point(r)
        }
        _ => false,
    }
}

/// Whether the 32 octets are a canonical encoding: `y < p` (RFC 8032 section 5.1.3). The two encodings of `x = 0` with the sign
/// bit set are of small order and refused as such.
pub(crate) fn is_canonical_point(encoded: &[u8]) -> bool {
    let mut y = [0; 32];
    for (to, from) in y.iter_mut().zip(encoded.iter().rev()) {
        *to = *from;
    }
    y[0] &= 0x7f;
    y < ED25519_PRIME
}

/// Whether the 32 octets encode one of the eight points of small order, whatever the sign bit.
pub(crate) fn is_small_order_point(encoded: &[u8]) -> bool {
    ED25519_SMALL_ORDER.iter().any(|point| {
        point.len() == encoded.len()
            && point
                .iter()
                .zip(encoded)
                .enumerate()
                .all(|(index, (a, b))| if index == 31 { a & 0x7f == b & 0x7f } else { a == b })
    })
}

const fn order(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &P256_ORDER,
        Curve::P384 => &P384_ORDER,
        Curve::P521 => &P521_ORDER,
    }
}

/// Orders of the groups, big-endian (FIPS 186-4 appendix D.1.2).
const P256_ORDER: [u8; 32] = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const P384_ORDER: [u8; 48] =
    hex("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973");
const P521_ORDER: [u8; 66] = hex(concat!(
    "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa",
    "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"
));
/// `L` of RFC 8032 section 5.1, big-endian.
const ED25519_ORDER: [u8; 32] = hex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
/// `p = 2^255 - 19`, big-endian.
const ED25519_PRIME: [u8; 32] = hex("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");
/// `y` of the points of order 1, 2, 4 and 8, little-endian as encoded, sign bit clear.
const ED25519_SMALL_ORDER: [[u8; 32]; 5] = [
    hex("0000000000000000000000000000000000000000000000000000000000000000"),
    hex("0100000000000000000000000000000000000000000000000000000000000000"),
    hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
];

/// Constants as the standards print them, decoded at compile time.
#[expect(clippy::panic, reason = "evaluated at compile time only: a wrong constant does not build")]
pub(crate) const fn hex<const N: usize>(text: &str) -> [u8; N] {
    const fn digit(byte: u8) -> u8 {
        match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => panic!("a constant of this file is not lower-case hex"),
        }
    }
    let text = text.as_bytes();
    assert!(text.len() == 2 * N, "a constant of this file has the wrong length");
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = digit(text[2 * index]) << 4 | digit(text[2 * index + 1]);
        index += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_the_curves() {
        use p256::elliptic_curve::{Curve as _, bigint::ArrayEncoding as _};
        assert_eq!(P256_ORDER, *p256::NistP256::ORDER.to_be_byte_array());
        assert_eq!(P384_ORDER, *p384::NistP384::ORDER.to_be_byte_array());
        let order_of_p521 = p521::NistP521::ORDER.to_be_byte_array();
        assert_eq!(P521_ORDER, order_of_p521[order_of_p521.len() - 66..]);
    }

    #[test]
    fn small_order_points_are_all_there() {
        // dalek knows weak keys by arithmetic; the table here by their encodings.
        for point in ED25519_SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut encoded = point;
                encoded[31] |= sign;
                assert!(is_small_order_point(&encoded));
                if let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&encoded) {
                    assert!(key.is_weak(), "{encoded:x?}");
                }
            }
        }
        // y = p, p + 1 (and the sign bits) name points of small order a second time.
        for last in [0xed, 0xee] {
            let mut encoded = [0xff; 32];
            (encoded[0], encoded[31]) = (last, 0x7f);
            assert!(!is_canonical_point(&encoded));
        }
        let mut largest = [0xff; 32];
        (largest[0], largest[31]) = (0xec, 0x7f);
        assert!(is_canonical_point(&largest));
    }
}
