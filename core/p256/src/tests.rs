use std::vec::Vec;

use p256::{
    ProjectivePoint, PublicKey, Scalar, SecretKey, U256,
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashSigner as _, PrehashVerifier as _},
    },
    elliptic_curve::{Curve as _, PrimeField as _, bigint::ArrayEncoding as _, ops::Reduce as _, sec1::ToEncodedPoint as _},
};

use super::*;

#[path = "../../../tests/support/random.rs"]
mod random;
use random::Random;

impl Random {
    fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes());
        }
        bytes
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::reduce_bytes(&self.bytes().into())
    }
}

/// `p`.
const FIELD_PRIME: U256 = U256::from_be_hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");

struct Prepared<'g> {
    generator: &'g Table,
    key: Table,
}

impl Prepared<'_> {
    fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        verify(self.generator, &self.key, digest, signature)
    }
}

fn prepared<'g>(generator: &'g Table, key: &VerifyingKey) -> Prepared<'g> {
    let point = key.to_encoded_point(false);
    let coordinate = |coordinate: Option<&p256::FieldBytes>| (*coordinate.unwrap()).into();
    let key = TableBuilder::new(&coordinate(point.x()), &coordinate(point.y())).finish();
    Prepared { generator, key }
}

fn joined(r: &Scalar, s: &Scalar) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r.to_repr());
    signature[32..].copy_from_slice(&s.to_repr());
    signature
}

/// Both verifiers on one input; what p256 says.
#[track_caller]
fn agree(fast: &Prepared, key: &VerifyingKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let reference = Signature::from_slice(signature).is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok());
    assert_eq!(fast.verify_prehash(digest, signature), reference, "digest {digest:02x?} signature {signature:02x?}");
    reference
}

#[test]
fn random_signatures() {
    let rounds = if cfg!(debug_assertions) { 500 } else { 20_000 };
    let mut random = Random(1);
    let generator = TableBuilder::of_generator().finish();
    for round in 0..rounds {
        let signer = SigningKey::from(SecretKey::new(p256::NonZeroScalar::new(random.scalar()).unwrap().into()));
        let key = *signer.verifying_key();
        // A table costs as much as a hundred verifications: some signatures for each key.
        let fast = prepared(&generator, &key);
        for _ in 0..4 {
            let digest = random.bytes();
            let signature: Signature = signer.sign_prehash(&digest).unwrap();
            let mut signature: [u8; 64] = signature.to_bytes().into();
            assert!(agree(&fast, &key, &digest, &signature), "round {round}");
            let [position, bit, ..] = random.next().to_be_bytes();
            signature[usize::from(position % 64)] ^= 1 << (bit % 8);
            agree(&fast, &key, &digest, &signature);
            agree(&fast, &key, &random.bytes(), &signature);
        }
    }
}

/// Signatures made backwards: any `u1`, `u2` with `R = u1 * G + u2 * Q` give `r = x(R)`, `s = r / u2`, digest `u1 * s`.
fn backwards(q: &ProjectivePoint, u1: &Scalar, u2: &Scalar) -> Option<([u8; 32], [u8; 64])> {
    let point = (ProjectivePoint::GENERATOR * u1 + q * u2).to_affine();
    let encoded = point.to_encoded_point(false);
    let r = Scalar::reduce_bytes(encoded.x()?);
    let s = r * Option::<Scalar>::from(u2.invert())?;
    Some(((u1 * &s).to_repr().into(), joined(&r, &s)))
}

#[test]
fn edges() {
    let generator = TableBuilder::of_generator().finish();
    let mut random = Random(2);
    let small = |value: u64| Scalar::from(value);
    let minus = |value: u64| -Scalar::from(value);
    // Q = G, -G and small multiples: table entries of G and Q coincide, so sums meet equal and opposite points on the way.
    let secrets: Vec<Scalar> = [1, 2, 3, 63, 64, 127, 128, 129, 256, 65_536]
        .into_iter()
        .flat_map(|value| [small(value), minus(value)])
        .chain([random.scalar()])
        .collect();
    let scalars: Vec<Scalar> = [0, 1, 2, 64, 127, 128, 129, 256, 32_768, 65_536]
        .into_iter()
        .flat_map(|value| [small(value), minus(value)])
        .chain([random.scalar()])
        .collect();
    let mut valid = 0;
    for secret in secrets {
        let q = ProjectivePoint::GENERATOR * secret;
        let key = VerifyingKey::from(PublicKey::from_affine(q.to_affine()).unwrap());
        let fast = prepared(&generator, &key);
        for u1 in &scalars {
            for u2 in &scalars {
                if let Some((digest, signature)) = backwards(&q, u1, u2) {
                    valid += usize::from(agree(&fast, &key, &digest, &signature));
                }
            }
        }
        // u1 * G + u2 * Q = infinity: there is no x, so whatever r is, the signature is invalid.
        for u2 in &scalars {
            let u1 = -(secret * u2);
            let Some(inverse) = Option::<Scalar>::from(u2.invert()) else { continue };
            let r = random.scalar();
            let s = r * inverse;
            assert!(!agree(&fast, &key, &(u1 * s).to_repr().into(), &joined(&r, &s)));
        }
        // r and s at the ends of their range.
        let ends = [Scalar::ZERO, Scalar::ONE, minus(1)];
        for r in &ends {
            for s in &ends {
                for digest in [[0; 32], [0xff; 32], small(1).to_repr().into(), random.bytes()] {
                    agree(&fast, &key, &digest, &joined(r, s));
                }
            }
        }
        for half in [0, 32] {
            for value in [p256::NistP256::ORDER.to_be_byte_array().into(), [0xff; 32]] {
                let mut signature = joined(&random.scalar(), &random.scalar());
                signature[half..half + 32].copy_from_slice(&value);
                assert!(!agree(&fast, &key, &random.bytes(), &signature));
            }
        }
    }
    assert!(valid > 4_000, "{valid}");
}

#[test]
fn x_beyond_the_order() {
    // Points with n <= x < p exist for x near p - 3 (Wycheproof has one): r = x - n is tiny, and only r + n matches.
    let generator = TableBuilder::of_generator().finish();
    let small = |value: u64| Scalar::from(value);
    let difference = FIELD_PRIME.wrapping_sub(&p256::NistP256::ORDER);
    assert_eq!(scalar::from_bytes(&difference.to_be_byte_array().into()), FIELD_MINUS_ORDER);
    let mut found = 0;
    for below in 1..60_u64 {
        let x = FIELD_PRIME.wrapping_sub(&U256::from(below));
        let mut compressed = [2; 33];
        compressed[1..].copy_from_slice(&x.to_be_byte_array());
        let Ok(point) = PublicKey::from_sec1_bytes(&compressed) else { continue };
        let point = ProjectivePoint::from(*point.as_affine());
        let r = Scalar::reduce_bytes(&x.to_be_byte_array());
        // Choose u1, u2 and solve for Q: Q = (R - u1 * G) / u2.
        for (u1, u2) in [(1, 1), (0, 1), (5, 77), (4096, 31)] {
            let (u1, u2) = (small(u1), small(u2));
            let q = (point - ProjectivePoint::GENERATOR * u1) * u2.invert().unwrap();
            let s = r * u2.invert().unwrap();
            let key = VerifyingKey::from(PublicKey::from_affine(q.to_affine()).unwrap());
            let fast = prepared(&generator, &key);
            assert!(agree(&fast, &key, &(u1 * s).to_repr().into(), &joined(&r, &s)));
            found += 1;
        }
    }
    assert!(found > 50, "{found}");
}

#[test]
fn tables_hold_the_multiples() {
    let generator = TableBuilder::of_generator().finish();
    let mut random = Random(3);
    // A table's every entry alone: the digit k of a window and no other.
    let mut base = Scalar::ONE;
    for window in 0..32 {
        let mut multiple = base;
        for _ in 1..=128 {
            for scalar in [multiple, -multiple] {
                let expected = (ProjectivePoint::GENERATOR * scalar).to_affine().to_encoded_point(false);
                let x = FieldElement::from_words(&scalar::from_bytes(&(*expected.x().unwrap()).into()));
                let sum = generator.add_multiple(None, &scalar::from_bytes(&scalar.to_repr().into())).unwrap();
                assert!(sum.has_x(&x), "window {window}");
                let y = FieldElement::from_words(&scalar::from_bytes(&(*expected.y().unwrap()).into()));
                assert!(sum.y.minus(&y.times(&sum.zzz)).is_zero(), "window {window}");
            }
            multiple += base;
        }
        base *= Scalar::from(256_u64);
    }
    assert!(generator.add_multiple(None, &[0; 8]).is_none());
    for _ in 0..200 {
        // Sums of sums: adding a scalar's multiple and its opposite's is nothing.
        let (scalar, other) = (random.scalar(), random.scalar());
        let words = |scalar: Scalar| scalar::from_bytes(&scalar.to_repr().into());
        let sum = generator.add_multiple(generator.add_multiple(None, &words(scalar)), &words(other)).unwrap();
        let expected = (ProjectivePoint::GENERATOR * (scalar + other)).to_affine().to_encoded_point(false);
        assert!(sum.has_x(&FieldElement::from_words(&scalar::from_bytes(&(*expected.x().unwrap()).into()))));
        assert!(generator.add_multiple(Some(sum), &words(-(scalar + other))).is_none());
    }
}
