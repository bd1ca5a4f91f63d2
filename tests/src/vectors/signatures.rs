//! Signatures that are not quite right (attacks 5 to 7 and the last of 22).

use curve25519_dalek::{EdwardsPoint, Scalar, traits::Identity as _};
use num_bigint_dig::BigUint;

use super::{Bare, Suite, algorithms};
use crate::{
    corpus::{Expect, Tier, base64url},
    keys::{Hash, KEYS, Key, ed25519_challenge, ed25519_secrets, jwk_set, left_padded, torsion_point},
};

/// What is made of `r` and `s`.
type Halves = Box<dyn Fn(&[u8], &[u8]) -> Vec<u8>>;

const INVALID: Expect = Expect::Reject(Some("signature_invalid"));

pub(super) fn fill(suite: &mut Suite) {
    for (alg, key) in algorithms::all() {
        tampered(suite, alg, key);
    }
    ecdsa(suite);
    wrapped(suite);
    pkcs1(suite);
    pss(suite);
    ed25519(suite);
}

/// What every algorithm must notice.
fn tampered(suite: &mut Suite, alg: &'static str, key: &'static Key) {
    let sign = move |input: &[u8]| key.sign(alg, input);
    let mut case = |id: &str, why: &str, change: fn(Vec<u8>) -> Vec<u8>| {
        suite
            .token(format!("{alg}-{id}"), why)
            .key(key)
            .alg(alg)
            .signed(move |input| change(sign(input)))
            .reject("signature_invalid");
    };
    case("first-bit", "one flipped bit at the start of the signature", |mut signature| {
        signature[0] ^= 0x01;
        signature
    });
    case("middle-bit", "one flipped bit in the middle of the signature", |mut signature| {
        let middle = signature.len() / 2;
        signature[middle] ^= 0x10;
        signature
    });
    case("last-bit", "one flipped bit at the end of the signature", |mut signature| {
        *signature.last_mut().expect("not empty") ^= 0x01;
        signature
    });
    case("empty", "no signature under an algorithm that has one", |_| Vec::new());
    case("one-zero", "a signature of one zero octet", |_| vec![0]);
    case("short", "one octet too few", |mut signature| {
        signature.pop();
        signature
    });
    case("long", "one octet too many", |mut signature| {
        signature.push(0);
        signature
    });
    case("leading-zero", "a zero octet before the signature", |mut signature| {
        signature.insert(0, 0);
        signature
    });
    case("zeros", "CVE-2022-21449: all zeros", |signature| vec![0; signature.len()]);
    case("ones", "all bits set", |signature| vec![0xff; signature.len()]);
    case("twice", "the signature twice", |signature| signature.repeat(2));
    case("half", "half of the signature", |mut signature| {
        signature.truncate(signature.len() / 2);
        signature
    });
    case("reversed", "the signature in the other byte order", |mut signature| {
        signature.reverse();
        signature
    });
    case("hex", "the signature in hexadecimal digits", |signature| base16ct::lower::encode_string(&signature).into_bytes());
    case("base64url-twice", "base64url of the base64url of the signature", |signature| base64url(&signature).into_bytes());
    suite
        .token(format!("{alg}-other-payload"), "the signature of another payload")
        .key(key)
        .alg(alg)
        .signed(move |input| sign(&[input, b"x"].concat()))
        .reject("signature_invalid");
    suite
        .token(format!("{alg}-payload-only"), "the signature covers the payload without the header")
        .key(key)
        .alg(alg)
        .signed(move |input| {
            let dot = input.iter().position(|byte| *byte == b'.').expect("a dot");
            sign(&input[dot + 1..])
        })
        .reject("signature_invalid");
    suite
        .token(format!("{alg}-other-header"), "the header was changed after signing")
        .key(key)
        .alg(alg)
        .edit(move |token| {
            let (_, rest) = token.split_once('.').expect("a dot");
            // The same members in another order: a verifier that writes the header anew would not notice.
            let header = format!(r#"{{"typ":"JWT","kid":"{}","alg":"{alg}"}}"#, key.kid);
            format!("{}.{rest}", base64url(header.as_bytes()))
        })
        .reject("signature_invalid");
    let other: &'static Key = match alg {
        "ES256" => &KEYS.es256_other,
        "EdDSA" | "Ed25519" => &KEYS.ed25519_other,
        _ if key.kid == KEYS.rsa2048.kid => &KEYS.rsa2048_other,
        _ => return,
    };
    suite
        .token(format!("{alg}-other-key"), "signed by another key of the same kind")
        .key(key)
        .alg(alg)
        .signed(move |input| other.sign(alg, input))
        .reject("signature_invalid");
}

/// Orders of the groups (FIPS 186-4 appendix D.1.2).
fn order(alg: &str) -> BigUint {
    let digits = match alg {
        "ES256" => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "ES384" => "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        _ => concat!(
            "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa",
            "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"
        ),
    };
    BigUint::parse_bytes(digits.as_bytes(), 16).expect("hexadecimal digits")
}

/// A DER `INTEGER`, as short as it goes.
fn der_integer(bytes: &[u8]) -> Vec<u8> {
    let mut integer: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if integer.first().is_none_or(|first| first & 0x80 != 0) {
        integer.insert(0, 0);
    }
    let len = u8::try_from(integer.len()).expect("short");
    [vec![0x02, len], integer].concat()
}

fn ecdsa(suite: &mut Suite) {
    for (alg, key, len) in [("ES256", &KEYS.es256, 32), ("ES384", &KEYS.es384, 48), ("ES512", &KEYS.es512, 66)] {
        let n = order(alg);
        let number = move |value: &BigUint| left_padded(&value.to_bytes_be(), len);
        let (zero, one) = (BigUint::from(0_u8), BigUint::from(1_u8));
        let below = &n - &one;
        let above = &n + &one;
        let values = [("zero", &zero), ("one", &one), ("n-1", &below), ("n", &n), ("n+1", &above)];
        for (name_r, r) in values {
            for (name_s, s) in values {
                if [name_r, name_s].iter().all(|name| ["one", "n-1"].contains(name)) && alg != "ES256" {
                    continue;
                }
                let signature = [number(r), number(s)].concat();
                suite
                    .token(format!("{alg}-r-{name_r}-s-{name_s}"), "CVE-2022-21449: r and s at the edges of their range")
                    .key(key)
                    .alg(alg)
                    .signed(move |_| signature.clone())
                    .reject("signature_invalid");
            }
        }
        let mut half = |id: &str, why: &str, change: Halves, good: bool| {
            let case = suite.token(format!("{alg}-{id}"), why).key(key).alg(alg).signed(move |input| {
                let signature = key.sign(alg, input);
                change(&signature[..len], &signature[len..])
            });
            if good { case.accept() } else { case.reject("signature_invalid") }
        };
        let zeros = vec![0; len];
        half(
            "r-kept-s-zero",
            "s alone is zero",
            {
                let zeros = zeros.clone();
                Box::new(move |r, _| [r, &zeros].concat())
            },
            false,
        );
        half("r-zero-s-kept", "r alone is zero", Box::new(move |_, s| [&zeros, s].concat()), false);
        half("swapped", "s before r", Box::new(|r, s| [s, r].concat()), false);
        half(
            "der",
            "the DER form of X9.62 is not the JOSE form",
            Box::new(|r, s| {
                let body = [der_integer(r), der_integer(s)].concat();
                let len = u8::try_from(body.len()).expect("short");
                if len < 0x80 { [vec![0x30, len], body].concat() } else { [vec![0x30, 0x81, len], body].concat() }
            }),
            false,
        );
        half("padded-halves", "a zero octet before r and before s", Box::new(|r, s| [&[0], r, &[0], s].concat()), false);
        half("stripped-r", "r one octet short, s one octet long", Box::new(|r, s| [&r[1..], s, &[0]].concat()), false);
        let order = n.clone();
        half(
            "other-s",
            "RFC 7518 allows both s and n - s; a raw token is therefore not an identity",
            Box::new(move |r, s| [r, &number(&(&order - BigUint::from_bytes_be(s)))].concat()),
            true,
        );
        let order = n.clone();
        half(
            "negative-r",
            "n - r is another r",
            Box::new(move |r, s| [&number(&(&order - BigUint::from_bytes_be(r))), s].concat()),
            false,
        );
        if alg == "ES512" {
            // Only here does r + n fit into the octets of r.
            let order = n.clone();
            half(
                "r-plus-n",
                "r + n is r modulo n, but out of range",
                Box::new(move |r, s| [&number(&(&order + BigUint::from_bytes_be(r))), s].concat()),
                false,
            );
            let order = n.clone();
            half(
                "s-plus-n",
                "s + n is s modulo n, but out of range",
                Box::new(move |r, s| [r, &number(&(&order + BigUint::from_bytes_be(s)))].concat()),
                false,
            );
        }
    }
}

/// Signatures whose point R has an x-coordinate between n and p, so that r is x - n. No signer meets one in a lifetime: R is chosen
/// first, and the public key is the one that follows from it (SEC 1 section 4.1.6).
fn wrapped(suite: &mut Suite) {
    let n = order("ES256");
    let p = BigUint::parse_bytes(b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
        .expect("hexadecimal digits");
    let gap = &p - &n;
    let one = BigUint::from(1_u8);
    let on_curve = |x: &BigUint| point_with_x(x).is_some();
    let lowest = (0_u8..).map(|step| &n + step).find(|x| x > &n && on_curve(x)).expect("half of all x");
    let highest = (1_u8..).map(|step| &p - step).find(on_curve).expect("half of all x");
    let small = (1_u8..).map(|step| &one * step).find(on_curve).expect("half of all x");
    for (id, why, x, r, good) in [
        ("lowest", "x = n + r with a small r", &lowest, &lowest - &n, true),
        ("highest", "x = n + r just below p", &highest, &highest - &n, true),
        ("unreduced", "r = x where x is not below n", &lowest, lowest.clone(), false),
        ("past-p", "r + n = x + p: reduced modulo p it would be x", &small, &small + &gap, false),
        ("small", "x = r, both small", &small, small.clone(), true),
    ] {
        let input = suite.token("wrapped", "").claim("jti", "\"wrapped\"").signing_input();
        let (key, signature) = key_that_follows(x, &r, input.as_bytes());
        let (x, y) = key[1..].split_at(32);
        let jwks = jwk_set(&[KEYS.es256.jwk().text("alg", "ES256").number("x", x).number("y", y).to_json()]);
        // Several times the same, so that verifiers that are kept see the key often enough to call it hot.
        for time in 1..=4 {
            let signature = signature.clone();
            let case = suite
                .token(
                    format!("ES256-wrapped-{id}-{time}"),
                    format!("FIPS 186-5 section 6.4.2: x modulo n is compared with r; {why}"),
                )
                .claim("jti", "\"wrapped\"")
                .jwks(&jwks)
                .signed(move |_| signature.clone());
            if good { case.accept() } else { case.reject("signature_invalid") }
        }
    }
}

/// A point of P-256 with this x-coordinate.
fn point_with_x(x: &BigUint) -> Option<p256::AffinePoint> {
    let sec1 = [vec![0x02], left_padded(&x.to_bytes_be(), 32)].concat();
    p256::PublicKey::from_sec1_bytes(&sec1).ok().map(|key| *key.as_affine())
}

/// The public key under which `(r, s)` verifies for this message with the point R of this x-coordinate, and the signature.
fn key_that_follows(x: &BigUint, r: &BigUint, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
    use p256::{
        FieldBytes, ProjectivePoint, Scalar,
        elliptic_curve::{ops::Reduce, sec1::ToEncodedPoint as _},
    };
    let scalar = |octets: &[u8]| {
        let octets: [u8; 32] = octets.try_into().expect("32");
        <Scalar as Reduce<p256::U256>>::reduce_bytes(&FieldBytes::from(octets))
    };
    let point = ProjectivePoint::from(point_with_x(x).expect("the caller looked"));
    let r = left_padded(&r.to_bytes_be(), 32);
    let s = left_padded(&crate::keys::bytes("s of wrapped signatures", 31), 32);
    let e = scalar(&Hash::Sha256.digest(message));
    let inverse = Option::<Scalar>::from(scalar(&r).invert()).expect("r is not 0 modulo n");
    let key = (point * scalar(&s) - ProjectivePoint::GENERATOR * e) * inverse;
    (key.to_affine().to_encoded_point(false).as_bytes().to_vec(), [r, s].concat())
}

fn pkcs1(suite: &mut Suite) {
    let key = &KEYS.rsa2048;
    let rsa = key.as_rsa();
    let good = |input: &[u8]| [Hash::Sha256.digest_info(), Hash::Sha256.digest(input)].concat();
    let mut padded = |id: &str, why: &str, encode: super::Signer| {
        suite
            .token(format!("pkcs1-{id}"), why)
            .key(key)
            .signed(move |input| KEYS.rsa2048.as_rsa().private(&encode(input)).expect("odd exponent"))
            .reject("signature_invalid");
    };
    padded(
        "no-null",
        "DigestInfo without the NULL parameters: RFC 8017 section 8.2.2 compares the encoding whole",
        Box::new(move |input| {
            let info = good(input);
            // 30 31 30 0d 06 09 <oid> 05 00 04 20 <digest>
            let mut short = vec![0x30, 0x2f, 0x30, 0x0b];
            short.extend(&info[4..15]);
            short.extend(&info[17..]);
            rsa.pkcs1_encoded(&short)
        }),
    );
    padded(
        "wrong-oid",
        "the digest of SHA-256 under the name of SHA-512",
        Box::new(move |input| {
            let mut info = good(input);
            info[14] = 3;
            rsa.pkcs1_encoded(&info)
        }),
    );
    padded(
        "no-digest-info",
        "the bare digest without DigestInfo",
        Box::new(move |input| rsa.pkcs1_encoded(&Hash::Sha256.digest(input))),
    );
    padded(
        "trailing-garbage",
        "CVE-2006-4339: short padding and octets after the digest",
        Box::new(move |input| {
            let mut encoded = [vec![0x00, 0x01], vec![0xff; 8], vec![0x00], good(input)].concat();
            encoded.resize(rsa.len(), 0x5a);
            encoded
        }),
    );
    padded(
        "padding-octet",
        "a padding octet that is not ff",
        Box::new(move |input| {
            let mut encoded = rsa.pkcs1_encoded(&good(input));
            encoded[10] = 0xfe;
            encoded
        }),
    );
    padded(
        "block-type-2",
        "padding of encryption, not of signatures",
        Box::new(move |input| {
            let mut encoded = rsa.pkcs1_encoded(&good(input));
            encoded[1] = 0x02;
            encoded
        }),
    );
    padded(
        "block-type-0",
        "the old block type 0",
        Box::new(move |input| {
            let mut encoded = rsa.pkcs1_encoded(&good(input));
            encoded[1] = 0x00;
            encoded
        }),
    );
    padded(
        "long-form-length",
        "DigestInfo in BER with a long-form length",
        Box::new(move |input| {
            let info = good(input);
            rsa.pkcs1_encoded(&[&[0x30, 0x81, info[1]], &info[2..]].concat())
        }),
    );
    padded(
        "separator-missing",
        "ff where the zero octet before DigestInfo belongs",
        Box::new(move |input| {
            let mut encoded = rsa.pkcs1_encoded(&good(input));
            let separator = encoded.len() - good(input).len() - 1;
            encoded[separator] = 0xff;
            encoded
        }),
    );
    edges(suite, "RS256");
}

/// Signatures that are integers at the edges of the modulus.
fn edges(suite: &mut Suite, alg: &'static str) {
    let key = &KEYS.rsa2048;
    let rsa = key.as_rsa();
    let one = BigUint::from(1_u8);
    for (id, value) in
        [("is-one", one.clone()), ("is-n-minus-one", &rsa.n - &one), ("is-n", rsa.n.clone()), ("is-n-plus-one", &rsa.n + &one)]
    {
        let signature = left_padded(&value.to_bytes_be(), rsa.len());
        suite
            .token(format!("{alg}-{id}"), "RFC 8017 section 5.2.2: the signature representative lies between 0 and n - 1")
            .key(key)
            .alg(alg)
            .signed(move |_| signature.clone())
            .reject("signature_invalid");
    }
    suite
        .token(format!("{alg}-plus-n"), "s + n is s modulo n, in one octet more")
        .key(key)
        .alg(alg)
        .signed(move |input| (BigUint::from_bytes_be(&KEYS.rsa2048.sign(alg, input)) + &KEYS.rsa2048.as_rsa().n).to_bytes_be())
        .reject("signature_invalid");
}

fn pss(suite: &mut Suite) {
    let key = &KEYS.rsa2048;
    for (alg, hash, len) in [("PS256", Hash::Sha256, 32), ("PS384", Hash::Sha384, 48), ("PS512", Hash::Sha512, 64)] {
        for salt_len in [0, 1, 20, len - 1, len + 1, 256 - len - 2] {
            suite
                .token(
                    format!("{alg}-salt-{salt_len}"),
                    "RFC 7518 section 3.5: the salt is as long as the hash, whatever else verifies",
                )
                .key(key)
                .alg(alg)
                .signed(move |input| {
                    let rsa = KEYS.rsa2048.as_rsa();
                    let encoded = rsa.pss_encoded(&hash.digest(input), &vec![7; salt_len], hash, hash, 0xbc);
                    rsa.private(&encoded).expect("odd exponent")
                })
                .reject("signature_invalid");
        }
        for mgf in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().filter(|mgf| *mgf != hash) {
            suite
                .token(format!("{alg}-mgf-{mgf:?}"), "MGF1 with another hash than the message's")
                .key(key)
                .alg(alg)
                .signed(move |input| {
                    let rsa = KEYS.rsa2048.as_rsa();
                    rsa.private(&rsa.pss_encoded(&hash.digest(input), &vec![7; len], hash, mgf, 0xbc)).expect("odd exponent")
                })
                .reject("signature_invalid");
        }
        suite
            .token(format!("{alg}-trailer"), "the trailer of ISO 9796-2, not bc")
            .key(key)
            .alg(alg)
            .signed(move |input| {
                let rsa = KEYS.rsa2048.as_rsa();
                rsa.private(&rsa.pss_encoded(&hash.digest(input), &vec![7; len], hash, hash, 0xcc)).expect("odd exponent")
            })
            .reject("signature_invalid");
        suite
            .token(format!("{alg}-zero-salt"), "a salt of zeros is a salt")
            .key(key)
            .alg(alg)
            .signed(move |input| {
                let rsa = KEYS.rsa2048.as_rsa();
                rsa.private(&rsa.pss_encoded(&hash.digest(input), &vec![0; len], hash, hash, 0xbc)).expect("odd exponent")
            })
            .accept();
    }
    edges(suite, "PS256");
}

fn ed25519(suite: &mut Suite) {
    let key = KEYS.ed25519.as_ed25519();
    let public = key.verifying_key().to_bytes();
    let jwk = KEYS.ed25519.jwk().to_json();
    let message = b"Edgeseal";
    let good = KEYS.ed25519.sign("EdDSA", message);
    for alg in ["EdDSA", "Ed25519"] {
        suite.signature(
            &format!("{alg}-bare"),
            "the positive control",
            Tier::Must,
            &Bare { alg, jwk: &jwk, message, signature: &good },
            Expect::Accept,
        );
        suite.signature(
            &format!("{alg}-bare-empty-message"),
            "the empty message has a signature too",
            Tier::Must,
            &Bare { alg, jwk: &jwk, message: b"", signature: &KEYS.ed25519.sign(alg, b"") },
            Expect::Accept,
        );
    }
    // S + L is S modulo L: RFC 8032 section 5.1.7 demands S < L.
    let l = BigUint::parse_bytes(b"1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
        .expect("hexadecimal digits");
    for times in [1_u8, 2, 7] {
        let s = BigUint::from_bytes_le(&good[32..]) + &l * times;
        let mut s = s.to_bytes_le();
        s.resize(32, 0);
        suite.signature(
            &format!("ed25519-s-plus-{times}-l"),
            "RFC 8032 section 5.1.7: S + L is no second signature",
            Tier::Must,
            &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &[&good[..32], &s].concat() },
            INVALID,
        );
    }
    let mut s = l.to_bytes_le();
    s.resize(32, 0);
    suite.signature(
        "ed25519-s-is-l",
        "S = L is out of range",
        Tier::Must,
        &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &[&good[..32], &s].concat() },
        INVALID,
    );

    let (a, _) = ed25519_secrets(key);
    let nonce = Scalar::from(0x00ed_6e5e_a15e_ed00_u64);
    let signed = |r: EdwardsPoint, nonce: Scalar, public: &[u8; 32], message: &[u8]| {
        let r = r.compress().to_bytes();
        let s = nonce + ed25519_challenge(&r, public, message) * a;
        [r, s.to_bytes()].concat()
    };
    suite.signature(
        "ed25519-own-nonce",
        "the control for the next ones: the same equation with a nonce of our own",
        Tier::Must,
        &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &signed(EdwardsPoint::mul_base(&nonce), nonce, &public, message) },
        Expect::Accept,
    );
    suite.signature(
        "ed25519-r-identity",
        "R is the identity and the equation holds: R of small order is refused before any backend",
        Tier::Strict,
        &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &signed(EdwardsPoint::identity(), Scalar::ZERO, &public, message) },
        INVALID,
    );
    suite.signature(
        "ed25519-r-torsion",
        "R is of order eight",
        Tier::Strict,
        &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &signed(torsion_point(), Scalar::ZERO, &public, message) },
        INVALID,
    );
    suite.signature(
        "ed25519-cofactored-only",
        "R has a part of small order: the cofactored equation holds, the cofactorless one does not; every host uses the latter",
        Tier::Strict,
        &Bare {
            alg: "EdDSA",
            jwk: &jwk,
            message,
            signature: &signed(EdwardsPoint::mul_base(&nonce) + torsion_point(), nonce, &public, message),
        },
        INVALID,
    );
    // The identity, written with y = 1 + p: the same point under a second name.
    let mut wide = [0xff; 32];
    wide[0] = 0xee;
    wide[31] = 0x7f;
    let s = ed25519_challenge(&wide, &public, message) * a;
    suite.signature(
        "ed25519-r-not-canonical",
        "R is written with y >= p: RFC 8032 section 5.1.3 refuses it",
        Tier::Must,
        &Bare { alg: "EdDSA", jwk: &jwk, message, signature: &[wide, s.to_bytes()].concat() },
        INVALID,
    );

    // A key with a part of small order: A + T. It is canonical and not of small order, so it stays, and only the equation decides.
    let mixed = (EdwardsPoint::mul_base(&a) + torsion_point()).compress().to_bytes();
    let jwk = KEYS.ed25519.jwk().text("kid", "mixed").number("x", &mixed).to_json();
    let r = EdwardsPoint::mul_base(&nonce);
    let found = |multiple_of_eight: bool| {
        (0_u32..)
            .map(|number| format!("message {number}"))
            .find(|text| {
                let k = ed25519_challenge(&r.compress().to_bytes(), &mixed, text.as_bytes()).to_bytes()[0];
                k.is_multiple_of(8) == multiple_of_eight
            })
            .expect("messages do not run out")
    };
    for (id, multiple, expect, why) in [
        (
            "ed25519-mixed-key-holds",
            true,
            Expect::Accept,
            "a key with a part of small order, and a challenge that cancels it: the cofactorless equation holds",
        ),
        ("ed25519-mixed-key-fails", false, INVALID, "a key with a part of small order: only the cofactored equation holds"),
    ] {
        let message = found(multiple);
        suite.signature(
            id,
            why,
            Tier::Strict,
            &Bare {
                alg: "EdDSA",
                jwk: &jwk,
                message: message.as_bytes(),
                signature: &signed(r, nonce, &mixed, message.as_bytes()),
            },
            expect,
        );
    }

    // A key of small order: R = S = 0 verifies every message under the identity.
    for (index, point) in curve25519_dalek::constants::EIGHT_TORSION.iter().enumerate() {
        let x = point.compress().to_bytes();
        let jwk = KEYS.ed25519.jwk().text("kid", "weak").number("x", &x).to_json();
        let nonce = Scalar::from(5_u8);
        let r = EdwardsPoint::mul_base(&nonce);
        // With S = nonce the equation asks k * A = 0: find a message for which it is so.
        let message = (0_u32..)
            .map(|number| format!("anything {number}"))
            .find(|text| (point * ed25519_challenge(&r.compress().to_bytes(), &x, text.as_bytes())) == EdwardsPoint::identity())
            .expect("one message of eight");
        suite.signature(
            &format!("ed25519-small-order-key-{index}"),
            "a public key of small order: nobody's key, and this signature was made without one",
            Tier::Must,
            &Bare {
                alg: "EdDSA",
                jwk: &jwk,
                message: message.as_bytes(),
                signature: &[r.compress().to_bytes(), nonce.to_bytes()].concat(),
            },
            Expect::Reject(Some("key_not_found")),
        );
    }
    suite
        .token("ed25519-small-order-in-set", "the same in a JWK Set: the key is skipped")
        .key(&KEYS.ed25519)
        .header_member("kid", "\"weak\"")
        .jwks(jwk_set(&[KEYS
            .ed25519
            .jwk()
            .text("kid", "weak")
            .number("x", &{
                let mut identity = [0; 32];
                identity[0] = 1;
                identity
            })
            .to_json()]))
        .signed(|_| {
            let mut signature = vec![0; 64];
            signature[0] = 1;
            signature
        })
        .reject("key_not_found");
}
