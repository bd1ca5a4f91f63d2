//! ES256 with tables against the crate p256, at length. `p256/src/tests.rs` holds the edges that need its inside.
//!
//! A verification by p256 costs some 200 us, so few of a million can be asked of it whole. Instead p256's own arithmetic of
//! points says what the answer must be: any `u1`, `u2` with `R = u1 G + u2 Q` give a valid signature `r = x(R)`, `s = r / u2` of the
//! digest `u1 s`; from one to the next, `R` moves by a fixed step. Every other signature is changed in one bit, and one in 256, valid
//! or not, is given to p256 whole.
//!
//! `EDGESEAL_P256_SIGNATURES` is their number, `EDGESEAL_SEED` where the random numbers begin: `make p256-differential`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::{
    env,
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use edgeseal_core::backend::p256::{GeneratorTable, PreparedKey};
use p256::{
    FieldBytes, NonZeroScalar, ProjectivePoint, PublicKey, Scalar, U256,
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashSigner as _, PrehashVerifier as _},
    },
    elliptic_curve::{PrimeField as _, bigint::Encoding as _, ops::Reduce as _, sec1::ToEncodedPoint as _},
};

/// In the profile of the tests; `make test` also has a million of each field, in a release build.
const SIGNATURES: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Signatures for each key: its table costs as much as fifty of them.
const PER_KEY: u64 = 2_000;
const WHOLE: u64 = 256;
const ORDER: U256 = U256::from_be_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const FIELD: U256 = U256::from_be_hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");

#[path = "../../tests/support/random.rs"]
mod random;
use random::Random;

impl Random {
    fn octets(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        for chunk in octets.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes());
        }
        octets
    }

    fn scalar(&mut self) -> Scalar {
        Scalar::reduce_bytes(&self.octets().into())
    }
}

struct Key {
    reference: VerifyingKey,
    table: PreparedKey,
}

impl Key {
    fn new(generator: &GeneratorTable, point: &ProjectivePoint) -> Self {
        let reference = VerifyingKey::from(PublicKey::from_affine(point.to_affine()).unwrap());
        let table = PreparedKey::new(generator, reference.to_encoded_point(false).as_bytes()).unwrap();
        Self { reference, table }
    }

    fn by_reference(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.reference.verify_prehash(digest, &signature).is_ok())
    }

    /// Both on one input, and what they say.
    #[track_caller]
    fn agree(&self, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
        let reference = self.by_reference(digest, signature);
        assert_eq!(self.table.verify_prehash(digest, signature), reference, "digest {digest:02x?} signature {signature:02x?}");
        reference
    }
}

fn joined(r: &FieldBytes, s: &FieldBytes) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(r);
    signature[32..].copy_from_slice(s);
    signature
}

fn variable(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}, not a number")))
}

#[test]
fn a_million_signatures() {
    let wanted = variable("EDGESEAL_P256_SIGNATURES", SIGNATURES);
    let seed = variable("EDGESEAL_SEED", 1);
    let generator = GeneratorTable::new();
    let (next, valid, invalid) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number * PER_KEY >= wanted {
                        break;
                    }
                    let mut random = Random(seed ^ number << 32);
                    let counts = of_one_key(&generator, &mut random, &format!("EDGESEAL_SEED={seed}, key {number}"));
                    valid.fetch_add(counts.0, Ordering::Relaxed);
                    invalid.fetch_add(counts.1, Ordering::Relaxed);
                }
            });
        }
    });
    let (valid, invalid) = (valid.into_inner(), invalid.into_inner());
    println!("{valid} valid and {invalid} invalid signatures, no difference");
    assert!(valid + invalid >= wanted && valid.abs_diff(invalid) <= 1);
}

/// The numbers of valid and of invalid signatures.
fn of_one_key(generator: &GeneratorTable, random: &mut Random, name: &str) -> (u64, u64) {
    let q = ProjectivePoint::GENERATOR * random.scalar();
    let key = Key::new(generator, &q);
    let (mut u1, mut u2, step1, step2) = (random.scalar(), random.scalar(), random.scalar(), random.scalar());
    let mut point = ProjectivePoint::GENERATOR * u1 + q * u2;
    let step = ProjectivePoint::GENERATOR * step1 + q * step2;
    let (mut points, mut scalars) = (Vec::new(), Vec::new());
    for _ in 0..PER_KEY {
        points.push(point);
        scalars.push((u1, u2));
        (point, u1, u2) = (point + step, u1 + step1, u2 + step2);
    }
    // The walk ended where it had to.
    assert_eq!(point, ProjectivePoint::GENERATOR * u1 + q * u2);
    let inverses = inverses(&scalars.iter().map(|(_, u2)| *u2).collect::<Vec<_>>());

    let mut counts = (0, 0);
    for (number, ((point, (u1, _)), inverse)) in (0..).zip(points.iter().zip(&scalars).zip(&inverses)) {
        let r = Scalar::reduce_bytes(point.to_affine().to_encoded_point(false).x().unwrap());
        let s = r * inverse;
        let mut digest: [u8; 32] = (u1 * &s).to_repr().into();
        let mut signature = joined(&r.to_repr(), &s.to_repr());
        let changed = number % 2 == 1;
        if changed {
            let [kind, position, bit, ..] = random.next().to_be_bytes();
            let bit = 1 << (bit % 8);
            if kind % 3 == 0 {
                digest[usize::from(position % 32)] ^= bit;
            } else {
                signature[usize::from(position % 64)] ^= bit;
            }
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        assert_eq!(key.table.verify_prehash(&digest, &signature), !changed, "{name}, signature {number}");
        if number % WHOLE < 2 {
            assert_eq!(key.by_reference(&digest, &signature), !changed, "{name}, signature {number}: p256");
        }
    }
    counts
}

/// The inverses of scalars that are not 0, with one inversion (Montgomery's trick).
fn inverses(scalars: &[Scalar]) -> Vec<Scalar> {
    let mut product = Scalar::ONE;
    let mut inverses: Vec<Scalar> = scalars
        .iter()
        .map(|scalar| {
            let before = product;
            product *= scalar;
            before
        })
        .collect();
    let mut inverse = product.invert().unwrap();
    for (result, scalar) in inverses.iter_mut().zip(scalars).rev() {
        *result *= inverse;
        inverse *= scalar;
    }
    inverses
}

/// Signatures made by p256 for random keys and messages.
#[test]
fn real_signatures() {
    let generator = GeneratorTable::new();
    let mut random = Random(2);
    for _ in 0..50 {
        let secret = NonZeroScalar::new(random.scalar()).unwrap();
        let key = Key::new(&generator, &(ProjectivePoint::GENERATOR * *secret));
        let signer = SigningKey::from(secret);
        for _ in 0..10 {
            let digest = random.octets();
            let signature: Signature = signer.sign_prehash(&digest).unwrap();
            let signature: [u8; 64] = signature.to_bytes().into();
            assert!(key.agree(&digest, &signature));
            assert!(!key.agree(&random.octets(), &signature));
        }
    }
}

/// `r` and `s` around the ends of their range, as bare octets, under keys whose tables share entries with the generator's.
#[test]
fn ends_of_the_range() {
    let generator = GeneratorTable::new();
    let mut random = Random(3);
    let around = |number: &U256| [number.wrapping_sub(&U256::ONE), *number, number.wrapping_add(&U256::ONE)];
    let ends: Vec<FieldBytes> = [U256::ZERO, U256::ONE, U256::MAX]
        .into_iter()
        .chain(around(&ORDER))
        .chain(around(&FIELD))
        .map(|number| number.to_be_bytes().into())
        .collect();
    let (mut valid, mut invalid) = (0, 0);
    for secret in [1_u64, 2, 3, 32, 33, 64].map(Scalar::from).into_iter().flat_map(|secret| [secret, -secret]) {
        let q = ProjectivePoint::GENERATOR * secret;
        let key = Key::new(&generator, &q);
        let any = random.scalar().to_repr();
        for r in ends.iter().chain([&any]) {
            for s in ends.iter().chain([&any]) {
                // Digests of 0 and n make u1 0; those of -r * secret make the sum infinity.
                let opposite = -(Scalar::reduce_bytes(r) * secret);
                for digest in [[0; 32], ORDER.to_be_bytes(), [0xff; 32], opposite.to_repr().into(), random.octets()] {
                    if key.agree(&digest, &joined(r, s)) { valid += 1 } else { invalid += 1 }
                }
            }
        }
        // u1 and u2 of 0, 1, -1 and the key's own secret: points that are equal, opposite, or the point at infinity.
        let scalars = [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, secret, -secret, Scalar::from(2_u64)];
        for u1 in scalars {
            for u2 in scalars {
                let point = (ProjectivePoint::GENERATOR * u1 + q * u2).to_affine().to_encoded_point(false);
                let r = point.x().map_or(Scalar::ONE, Scalar::reduce_bytes);
                let s = Option::<Scalar>::from(u2.invert()).map_or(Scalar::ONE, |inverse| r * inverse);
                let holds = key.agree(&(u1 * s).to_repr().into(), &joined(&r.to_repr(), &s.to_repr()));
                // With u2 = 0 there is no such s.
                assert_eq!(holds, point.x().is_some() && u2 != Scalar::ZERO);
                if holds { valid += 1 } else { invalid += 1 }
            }
        }
    }
    assert!(valid > 200 && invalid > 4_000, "{valid} valid, {invalid} invalid");
}

/// `R` whose x-coordinate is `n` or more: `r = x - n` is tiny, and only `r + n < p` matches.
#[test]
fn x_beyond_the_order() {
    let generator = GeneratorTable::new();
    let mut random = Random(4);
    let mut found = 0;
    for above in 0..200_u64 {
        let x = if above < 100 { ORDER.wrapping_add(&U256::from(above)) } else { FIELD.wrapping_sub(&U256::from(above - 99)) };
        let compressed = [&[2], x.to_be_bytes().as_slice()].concat();
        let Ok(point) = PublicKey::from_sec1_bytes(&compressed) else { continue };
        let point = ProjectivePoint::from(*point.as_affine());
        let r = Scalar::reduce_bytes(&x.to_be_bytes().into());
        let (u1, u2) = (random.scalar(), random.scalar());
        let inverse = u2.invert().unwrap();
        // Q = (R - u1 G) / u2 makes any u1, u2 a signature with this R.
        let key = Key::new(&generator, &((point - ProjectivePoint::GENERATOR * u1) * inverse));
        let s = r * inverse;
        let digest = (u1 * s).to_repr().into();
        // r = 0, of x = n itself, is no r.
        assert_eq!(key.agree(&digest, &joined(&r.to_repr(), &s.to_repr())), above != 0);
        // r + n, as it stands in R, is out of range.
        assert!(!key.agree(&digest, &joined(&x.to_be_bytes().into(), &s.to_repr())));
        // The smallest r for which r + n is no x: p - n and beyond.
        let beyond = Scalar::reduce_bytes(&FIELD.wrapping_sub(&ORDER).wrapping_add(&U256::from(above)).to_be_bytes().into());
        assert!(!key.agree(&digest, &joined(&beyond.to_repr(), &s.to_repr())));
        found += 1;
    }
    assert!(found > 60, "{found}");
}
