//! ES256 with tables against the crate p256: keys and signatures made of interesting numbers and of the input's own octets.
//! Octets: the key, what is wanted of the signature, and its numbers, each an octet of kind and one to 32 of value.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::LazyLock};

use edgeseal_core::backend::p256::{GeneratorTable, PreparedKey};
use p256::{
    ProjectivePoint, PublicKey, Scalar, U256,
    ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier as _},
    elliptic_curve::{PrimeField as _, bigint::Encoding as _, ops::Reduce as _, sec1::ToEncodedPoint as _},
};

static GENERATOR: LazyLock<GeneratorTable> = LazyLock::new(GeneratorTable::new);

thread_local! {
    /// A key and its table cost as much as many verifications, so there are as many as an octet has values.
    static KEYS: RefCell<BTreeMap<u8, Rc<Key>>> = const { RefCell::new(BTreeMap::new()) };
}

struct Key {
    secret: Scalar,
    point: ProjectivePoint,
    reference: VerifyingKey,
    table: PreparedKey,
}

impl Key {
    /// `Q` is a small multiple of `G` or the opposite of one, so that their tables share entries; or any point.
    fn numbered(number: u8) -> Rc<Self> {
        let small = Scalar::from(u64::from(number % 64) + 1);
        KEYS.with_borrow_mut(|keys| {
            let key = keys.entry(number).or_insert_with(|| {
                let secret = match number / 64 {
                    0 => small,
                    1 => -small,
                    2 => power_of_two(number % 64 * 4),
                    _ => Scalar::reduce_bytes(&[number; 32].into()),
                };
                let point = ProjectivePoint::GENERATOR * secret;
                let reference = VerifyingKey::from(PublicKey::from_affine(point.to_affine()).unwrap());
                let table = PreparedKey::new(&GENERATOR, reference.to_encoded_point(false).as_bytes()).unwrap();
                Rc::new(Self { secret, point, reference, table })
            });
            Rc::clone(key)
        })
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn octets(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.octet())
    }

    /// Small numbers, their opposites, powers of two and neighbours, the order's neighbours, or anything.
    fn scalar(&mut self) -> Scalar {
        let kind = self.octet();
        let small = Scalar::from(u64::from(self.octet()));
        let one = Scalar::ONE;
        match kind % 8 {
            0 => small,
            1 => -small,
            2 => power_of_two(self.octet()),
            3 => power_of_two(self.octet()) - small,
            4 => -power_of_two(self.octet()) + small,
            5 => power_of_two(self.octet()) * small + one,
            _ => Scalar::reduce_bytes(&self.octets().into()),
        }
    }
}

fn power_of_two(exponent: u8) -> Scalar {
    (0..exponent).fold(Scalar::ONE, |power, _| power.double())
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let key = Key::numbered(input.octet());
    let Key { secret, point: q, reference, table } = key.as_ref();

    let (digest, signature) = match input.octet() % 4 {
        // Backwards: any u1 and u2 with R = u1 G + u2 Q give r = x(R), s = r / u2 and the digest u1 s.
        0 | 1 => {
            let (u1, u2) = (input.scalar(), input.scalar());
            let point = (ProjectivePoint::GENERATOR * u1 + *q * u2).to_affine().to_encoded_point(false);
            let r = point.x().map_or(Scalar::ONE, Scalar::reduce_bytes);
            let s = r * Option::<Scalar>::from(u2.invert()).unwrap_or(Scalar::ONE);
            let change = if input.octet() % 4 == 0 { input.scalar() } else { Scalar::ZERO };
            ((u1 * s).to_repr(), joined(&(r + change).to_repr(), &s.to_repr()))
        }
        // u1 G + u2 Q is infinity.
        2 => {
            let (u2, r) = (input.scalar(), input.scalar());
            let s = r * Option::<Scalar>::from(u2.invert()).unwrap_or(Scalar::ONE);
            ((-(*secret * u2) * s).to_repr(), joined(&r.to_repr(), &s.to_repr()))
        }
        _ => (input.octets().into(), joined(&input.octets(), &input.octets())),
    };
    let digest: [u8; 32] = digest.into();
    let expected = Signature::from_slice(&signature).is_ok_and(|signature| reference.verify_prehash(&digest, &signature).is_ok());
    assert_eq!(table.verify_prehash(&digest, &signature), expected);
    // r + n in place of r is out of range, whatever the rest is.
    let r = U256::from_be_slice(&signature[..32]);
    let shifted = r.wrapping_add(&ORDER);
    if shifted > r {
        assert!(!table.verify_prehash(&digest, &joined(&shifted.to_be_bytes(), &signature[32..])));
    }
}

const ORDER: U256 = U256::from_be_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

fn joined(r: &[u8], s: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(r);
    signature[32..].copy_from_slice(s);
    signature
}
