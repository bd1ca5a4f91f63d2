//! Any octets as a JWK Set: which documents are sets, and which keys are usable, by arithmetic of the fuzzer's own.

use std::sync::LazyLock;

use curve25519_dalek::{edwards::CompressedEdwardsY, traits::IsIdentity as _};
use edgeseal_core::{
    Algorithm, JwkSet,
    jwk::{KeyMaterial, KeyProblem},
    jwk_set::KeyRequest,
};
use num_bigint_dig::BigUint;

use super::oracle::{Json, base64url, member};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if Json::read(data).is_some_and(|(_, remarks)| remarks.disputed) {
        return;
    }
    let ours = JwkSet::from_json(text);
    let entries = Json::strict_object(data).and_then(|document| match member(&document, "keys") {
        Some(Json::Array(entries)) if entries.len() <= 100 && text.len() <= 64 * 1024 => Some(entries.clone()),
        _ => None,
    });
    let (set, entries) = match (ours, entries) {
        (Ok(set), Some(entries)) => (set, entries),
        (Err(error), None) => return assert_eq!(error.code().as_str(), "jwks_malformed"),
        (Ok(_), None) => panic!("accepted"),
        (Err(error), Some(_)) => panic!("refused: {error}"),
    };
    assert_eq!(set.total(), entries.len());

    let mut keys = set.keys().iter();
    for (index, entry) in entries.iter().enumerate() {
        let skipped = set.skipped().iter().find(|skipped| skipped.index == index);
        match (usable(entry), skipped) {
            (true, None) => {
                let key = keys.next().unwrap();
                let Json::Object(members) = entry else { unreachable!() };
                assert_eq!(key.kid(), member(members, "kid").and_then(Json::as_str));
            }
            (false, Some(_)) => {}
            (usable, skipped) => panic!("key {index}: usable {usable}, {:?}", skipped.map(|key| key.reason)),
        }
    }
    assert!(keys.next().is_none());
    written_and_read_again(&set);
    chosen(&set);
}

/// What the set writes of itself is the same keys.
fn written_and_read_again(set: &JwkSet) {
    let again = JwkSet::from_json(&set.to_json()).unwrap();
    assert_eq!(again.keys(), set.keys());
    assert!(again.skipped().is_empty());
    for (a, b) in set.keys().iter().zip(again.keys()) {
        assert_eq!(a.thumbprint(), b.thumbprint());
    }
}

/// A key is chosen if and only if it is the only one that fits, in whatever order the set is.
fn chosen(set: &JwkSet) {
    let reversed = JwkSet::from_keys(set.keys().iter().rev().map(|key| key.as_ref().clone()));
    let kids = set.keys().iter().map(|key| key.kid()).chain([None, Some("nobody's")]);
    for kid in kids.take(8) {
        for algorithm in Algorithm::ALL {
            let request = KeyRequest { kid, algorithm };
            let fitting: Vec<_> =
                set.keys().iter().filter(|key| key.verifies(algorithm) && (kid.is_none() || key.kid() == kid)).collect();
            let selected = set.select(request);
            match fitting[..] {
                [only] => assert_eq!(selected.unwrap(), only),
                _ => assert!(selected.is_err()),
            }
            let code = |set: &JwkSet| set.select(request).map_err(|error| error.code()).cloned();
            assert_eq!(code(set), code(&reversed));
        }
    }
    for skipped in set.skipped() {
        assert_ne!(KeyProblem::as_str(skipped.reason), "");
    }
    for key in set.keys() {
        if let KeyMaterial::Rsa { n, e } = key.public_key().material() {
            assert!(n[0] != 0 && e[0] != 0);
        }
    }
}

/// RFC 7517, RFC 7518 section 6 and RFC 8037 as the manual narrows them.
fn usable(entry: &Json) -> bool {
    let Json::Object(members) = entry else { return false };
    let has = |name: &str| member(members, name).is_some();
    let text = |name: &str| member(members, name).and_then(Json::as_str);
    let number = |name: &str| text(name).and_then(base64url);
    if ["kty", "use", "kid", "alg", "crv"].iter().any(|name| {
        // `crv` is not looked at where the kind of key has none.
        has(name) && text(name).is_none() && (*name != "crv" || text("kty") != Some("RSA"))
    }) {
        return false;
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].into_iter().any(has) {
        return false;
    }
    if text("use").is_some_and(|of| of != "sig") || text("kid").is_some_and(|kid| kid.len() > 256) {
        return false;
    }
    match member(members, "key_ops") {
        None => {}
        Some(Json::Array(operations)) => {
            let repeated = operations.iter().enumerate().any(|(at, one)| operations[at + 1..].contains(one));
            let strings = operations.iter().all(|one| one.as_str().is_some());
            if repeated || !strings || !operations.contains(&Json::String("verify".into())) {
                return false;
            }
        }
        Some(_) => return false,
    }
    let algorithms: &[&str] = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        (Some("EC"), Some("P-256")) => &["ES256"],
        (Some("EC"), Some("P-384")) => &["ES384"],
        (Some("EC"), Some("P-521")) => &["ES512"],
        (Some("OKP"), Some("Ed25519")) => &["EdDSA", "Ed25519"],
        _ => return false,
    };
    if text("alg").is_some_and(|alg| !algorithms.contains(&alg)) {
        return false;
    }
    match algorithms[0] {
        "RS256" => number("n").zip(number("e")).is_some_and(|(n, e)| usable_rsa(&n, &e)),
        "EdDSA" => number("x").is_some_and(|x| usable_ed25519(&x)),
        curve => number("x").zip(number("y")).is_some_and(|(x, y)| on_curve(curve, &x, &y)),
    }
}

fn usable_rsa(n: &[u8], e: &[u8]) -> bool {
    let (n, e) = (BigUint::from_bytes_be(n), BigUint::from_bytes_be(e));
    let odd = |number: &BigUint| number % 2_u8 == BigUint::from(1_u8);
    (2048..=8192).contains(&n.bits()) && odd(&n) && odd(&e) && e >= BigUint::from(65_537_u32) && e.bits() <= 33 && !is_roca(&n)
}

/// Whether the number is a power of 65537 modulo each of the odd primes up to 167.
fn is_roca(n: &BigUint) -> bool {
    let primes = (3..=167_u64).step_by(2).filter(|number| (2..*number).all(|divisor| number % divisor != 0));
    primes.into_iter().all(|prime| {
        let residue = n % BigUint::from(prime);
        (1..=prime).any(|power| BigUint::from(65_537_u32).modpow(&BigUint::from(power), &BigUint::from(prime)) == residue)
    })
}

fn usable_ed25519(x: &[u8]) -> bool {
    let Ok(encoded) = CompressedEdwardsY::from_slice(x) else { return false };
    let Some(point) = encoded.decompress() else { return false };
    // Canonical: the point's own encoding. Not of small order: eight times the point is not the identity.
    point.compress() == encoded && !point.mul_by_cofactor().is_identity()
}

/// `y^2 = x^3 - 3x + b` with coordinates of the exact length, below `p` (FIPS 186-4 section D.1.2).
fn on_curve(algorithm: &str, x: &[u8], y: &[u8]) -> bool {
    type Curve = (usize, BigUint, BigUint);
    static CURVES: LazyLock<[Curve; 3]> = LazyLock::new(|| {
        let hex = |digits: &str| BigUint::parse_bytes(digits.as_bytes(), 16).unwrap();
        [
            (
                32,
                hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
                hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
            ),
            (
                48,
                hex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"),
                hex("b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"),
            ),
            (
                66,
                (BigUint::from(1_u8) << 521) - 1_u8,
                hex(
                    "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
                ),
            ),
        ]
    });
    let (length, p, b) = &CURVES[match algorithm {
        "ES256" => 0,
        "ES384" => 1,
        _ => 2,
    }];
    if x.len() != *length || y.len() != *length {
        return false;
    }
    let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    x < *p && y < *p && (&y * &y) % p == (&x * &x * &x + (p * 3_u8 - &x * 3_u8) + b) % p
}
