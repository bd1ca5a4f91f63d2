//! Keys that may not verify (attacks 22 and 23). Wherever that is possible the signature is good under the bad key, so that a
//! verifier without the check accepts.

use num_bigint_dig::BigUint;

use super::Suite;
use crate::{
    corpus::json_string,
    keys::{Hash, Jwk, KEYS, Key, jwk_set, left_padded},
};

pub(super) fn fill(suite: &mut Suite) {
    suite.token("good", "the positive control").accept();
    rsa(suite);
    exponents(suite);
    elliptic(suite);
    octet_pairs(suite);
    members(suite);
    siblings(suite);
}

/// A token signed by `key`, against this one JWK.
fn with_jwk<'s>(suite: &'s mut Suite, id: &str, why: &str, key: &'static Key, jwk: &Jwk) -> super::Token<'s> {
    suite.token(id, why).key(key).jwks(jwk_set(&[jwk.to_json()]))
}

fn rsa(suite: &mut Suite) {
    let keys = &*KEYS;
    for (key, why) in [
        (&keys.rsa1024, "1024 bits can be factored"),
        (&keys.rsa2047, "2047 bits: one too few"),
        (&keys.rsa8193, "8193 bits: one too many, a slow key is a weapon"),
        (&keys.rsa16384, "16384 bits: a verification that takes long"),
    ] {
        suite.token(format!("{}-size", key.kid), why).key(key).reject("key_not_found");
    }
    suite.token("roca", "CVE-2017-15361: a modulus of RSALib can be factored").key(&keys.roca).reject("key_not_found");
    suite
        .token("exponent-2", "an even exponent: signatures are square roots")
        .key(&keys.exponent2)
        .claim("try", &exponent_2_try())
        .reject("key_not_found");
    suite.token("exponent-3", "e = 3 only through dangerous()").key(&keys.exponent3).strict().reject("key_not_found");
    suite
        .token("exponent-3-allowed", "e = 3, when the policy asks for it")
        .key(&keys.exponent3)
        .policy("allow_rsa_exponent_3", "true")
        .by_policy()
        .accept();
    suite
        .token("exponent-3-allowed-65537", "65537 is still good then")
        .key(&keys.rsa2048)
        .policy("allow_rsa_exponent_3", "true")
        .by_policy()
        .accept();
    let jwk = || KEYS.rsa2048.jwk().text("alg", "RS256");
    with_jwk(suite, "exponent-1", "e = 1: every padding is its own signature", &keys.rsa2048, &jwk().number("e", &[1]))
        .signed(|input| {
            let hash = Hash::Sha256;
            KEYS.rsa2048.as_rsa().pkcs1_encoded(&[hash.digest_info(), hash.digest(input)].concat())
        })
        .reject("key_not_found");
    with_jwk(suite, "exponent-1-allowed", "e = 1 stays out when e = 3 is let in", &keys.rsa2048, &jwk().number("e", &[1]))
        .policy("allow_rsa_exponent_3", "true")
        .signed(|input| {
            let hash = Hash::Sha256;
            KEYS.rsa2048.as_rsa().pkcs1_encoded(&[hash.digest_info(), hash.digest(input)].concat())
        })
        .reject("key_not_found");
    for (id, why, e) in [
        ("0", "e = 0", vec![0]),
        ("empty", "an empty e", vec![]),
        ("5", "e = 5 is below 65537", vec![5]),
        ("65535", "e = 65535 is below 65537", vec![0xff, 0xff]),
        ("65536", "e = 65536 is even", vec![1, 0, 0]),
        ("65538", "e = 65538 is in range and even", vec![1, 0, 2]),
        ("2-to-32-plus-2", "an even exponent of 33 bits", vec![1, 0, 0, 0, 2]),
        ("2-to-33-plus-1", "an exponent of 34 bits", vec![2, 0, 0, 0, 1]),
        ("2-to-34-plus-1", "an exponent of 35 bits: BoringSSL and the rsa crate stop at 33", vec![4, 0, 0, 0, 1]),
        ("2-to-64-plus-1", "an exponent that is 1 in 64 bits", vec![1, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("2-to-64-plus-65537", "an exponent that is 65537 in 64 bits", vec![1, 0, 0, 0, 0, 0, 1, 0, 1]),
        ("256-octets", "an exponent as long as the modulus", vec![0xff; 256]),
    ] {
        with_jwk(suite, &format!("exponent-{id}"), why, &keys.rsa2048, &jwk().number("e", &e)).strict().reject("key_not_found");
    }
    let n = keys.rsa2048.as_rsa().n.to_bytes_be();
    with_jwk(
        suite,
        "modulus-leading-zero",
        "a leading zero octet in n is accepted, the bits of the integer count",
        &keys.rsa2048,
        &jwk().number("n", &[&[0], n.as_slice()].concat()),
    )
    .accept();
    with_jwk(
        suite,
        "exponent-leading-zero",
        "a leading zero octet in e is accepted",
        &keys.rsa2048,
        &jwk().number("e", &[0, 1, 0, 1]),
    )
    .accept();
    let mut small = keys.rsa1024.as_rsa().n.to_bytes_be();
    small.splice(0..0, vec![0; 128]);
    with_jwk(
        suite,
        "modulus-1024-padded",
        "1024 bits behind 128 zero octets are still 1024 bits",
        &keys.rsa1024,
        &keys.rsa1024.jwk().number("n", &small),
    )
    .reject("key_not_found");
    with_jwk(
        suite,
        "modulus-even",
        "an even modulus",
        &keys.rsa2048,
        &jwk().number("n", &[&n[..255], &[n[255] & 0xfe]].concat()),
    )
    .reject("key_not_found");
    for (id, bytes) in [("zero", vec![0; 256]), ("one", left_padded(&[1], 256)), ("empty", vec![])] {
        with_jwk(suite, &format!("modulus-{id}"), "a modulus that is none", &keys.rsa2048, &jwk().number("n", &bytes))
            .reject("key_not_found");
    }
    for member in ["n", "e"] {
        with_jwk(suite, &format!("rsa-without-{member}"), "a number is missing", &keys.rsa2048, &jwk().without(member))
            .reject("key_not_found");
        with_jwk(
            suite,
            &format!("rsa-{member}-number"),
            "a JSON number instead of base64url",
            &keys.rsa2048,
            &jwk().json(member, "65537"),
        )
        .reject("key_not_found");
        let text: String = serde_json::from_str(jwk().get(member)).expect("a string");
        for (id, text) in
            [("padded", format!("{text}=")), ("newline", format!("{text}\n")), ("hexadecimal", "0x010001".to_owned())]
        {
            with_jwk(suite, &format!("rsa-{member}-{id}"), "not canonical base64url", &keys.rsa2048, &jwk().text(member, &text))
                .strict()
                .reject("key_not_found");
        }
    }
}

/// Exponents other than 65537, and moduli of odd sizes: not every host's cryptography takes such keys, so that hosts differ on them first.
fn exponents(suite: &mut Suite) {
    let keys = &*KEYS;
    for key in [&keys.exponent17, &keys.exponent257] {
        for alg in ["RS256", "RS512", "PS256", "PS384"] {
            suite
                .token(format!("{alg}-{}", key.kid), "a good signature under an exponent below 65537")
                .key(key)
                .alg(alg)
                .strict()
                .reject("key_not_found");
        }
    }
    for key in [&keys.rsa2049, &keys.rsa3071, &keys.exponent65539, &keys.exponent33bits, &keys.rsa2049_exponent65539] {
        for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            let good = |input: &[u8]| key.as_rsa().sign(alg, input);
            let spoilt: [(&str, &str, Option<super::Signer>); 4] = [
                ("", "a permitted exponent, a permitted size", None),
                (
                    "-other",
                    "one bit of the signature turned",
                    Some(Box::new(move |input| {
                        let mut signature = good(input);
                        signature[100] ^= 0x10;
                        signature
                    })),
                ),
                ("-message", "a signature over something else", Some(Box::new(move |_| good(b"something else")))),
                (
                    "-plus-n",
                    "s + n is s modulo n",
                    Some(Box::new(move |input| (BigUint::from_bytes_be(&good(input)) + &key.as_rsa().n).to_bytes_be())),
                ),
            ];
            for (id, why, signer) in spoilt {
                let token = suite.token(format!("{alg}-{}{id}", key.kid), why).key(key).alg(alg);
                match signer {
                    None => token.accept(),
                    Some(signer) => token.signed(signer).reject("signature_invalid"),
                }
            }
        }
        let padded = |hash: Hash, input: &[u8]| [hash.digest_info(), hash.digest(input)].concat();
        suite
            .token(format!("PS256-{}-salt-0", key.kid), "RFC 7518 section 3.5: the salt is as long as the hash")
            .key(key)
            .alg("PS256")
            .signed(move |input| {
                let rsa = key.as_rsa();
                rsa.private(&rsa.pss_encoded(&Hash::Sha256.digest(input), &[], Hash::Sha256, Hash::Sha256, 0xbc))
                    .expect("an inverse")
            })
            .reject("signature_invalid");
        suite
            .token(format!("RS256-{}-trailing", key.kid), "CVE-2006-4339: octets after the digest")
            .key(key)
            .alg("RS256")
            .signed(move |input| {
                let rsa = key.as_rsa();
                rsa.private(&rsa.pkcs1_encoded(&[padded(Hash::Sha256, input), vec![0; 8]].concat())).expect("an inverse")
            })
            .reject("signature_invalid");
        suite
            .token(format!("RS512-{}-hash", key.kid), "a signature with the digest of another hash")
            .key(key)
            .alg("RS512")
            .signed(move |input| {
                let rsa = key.as_rsa();
                rsa.private(&rsa.pkcs1_encoded(&padded(Hash::Sha256, input))).expect("an inverse")
            })
            .reject("signature_invalid");
    }
    for alg in ["RS256", "PS384"] {
        let key = &keys.rsa8192_exponent33bits;
        suite.token(format!("{alg}-{}", key.kid), "the largest modulus and an exponent of 33 bits").key(key).alg(alg).accept();
    }
}

/// A claim value for which the padded message has a square root modulo both primes.
fn exponent_2_try() -> String {
    (0_u32..)
        .map(|number| number.to_string())
        .find(|number| {
            let mut suite = Suite { group: "keys", lines: Vec::new() };
            let probe = suite.token("exponent-2", "").key(&KEYS.exponent2).claim("try", number);
            let input = probe.signing_input();
            let hash = Hash::Sha256;
            let rsa = KEYS.exponent2.as_rsa();
            rsa.private(&rsa.pkcs1_encoded(&[hash.digest_info(), hash.digest(input.as_bytes())].concat())).is_some()
        })
        .expect("one of four")
}

fn elliptic(suite: &mut Suite) {
    let keys = &*KEYS;
    for (key, len) in [(&keys.es256, 32), (&keys.es384, 48), (&keys.es512, 66)] {
        let alg = key.default_alg();
        let jwk = || key.jwk().text("alg", alg);
        let point = key.sec1();
        let (x, y) = point[1..].split_at(len);
        let mut bad =
            |id: &str, why: &str, jwk: Jwk| with_jwk(suite, &format!("{alg}-{id}"), why, key, &jwk).reject("key_not_found");
        let mut off = y.to_vec();
        off[len - 1] ^= 1;
        bad("off-curve", "a point off the curve", jwk().number("y", &off));
        bad("swapped", "x and y swapped", jwk().number("x", y).number("y", x));
        bad("infinity", "the point at infinity as zeros", jwk().number("x", &vec![0; len]).number("y", &vec![0; len]));
        bad("short-x", "RFC 7518 section 6.2.1.2: x has the full length", jwk().number("x", &x[1..]));
        bad("long-x", "a zero octet before x", jwk().number("x", &[&[0], x].concat()));
        bad("long-y", "a zero octet before y", jwk().number("y", &[&[0], y].concat()));
        bad("empty-y", "an empty y", jwk().number("y", &[]));
        bad("no-y", "no y", jwk().without("y"));
        bad("no-x", "no x", jwk().without("x"));
        bad("no-crv", "no crv", jwk().without("crv"));
        bad("crv-case", "crv in lower case", jwk().text("crv", ["p-256", "p-384", "p-521"][(len - 32) / 16]));
        bad("crv-number", "crv of another JSON type", jwk().json("crv", "256"));
        bad("crv-secp256k1", "a curve of others", jwk().text("crv", "secp256k1"));
        bad(
            "crv-wrong",
            "the name of another curve",
            jwk().text("crv", if len == 32 { "P-384" } else { "P-256" }).without("alg"),
        );
        bad(
            "x-padded",
            "padding after x",
            jwk().text("x", &format!("{}=", serde_json::from_str::<String>(key.jwk().get("x")).expect("a string"))),
        );
        bad("x-all-ones", "x beyond the field", jwk().number("x", &vec![0xff; len]));
        bad("sec1-in-x", "the whole point in x", jwk().number("x", &point));
        bad("compressed", "a compressed point in x", jwk().number("x", &[&[2], x].concat()).without("y"));
    }
    // P-521's field has 521 bits, its octets 528: x + p is another spelling of x.
    let p = (BigUint::from(1_u8) << 521_usize) - 1_u8;
    let point = keys.es512.sec1();
    let (x, y) = point[1..].split_at(66);
    for (name, value) in [("x", x), ("y", y)] {
        let wide = left_padded(&(BigUint::from_bytes_be(value) + &p).to_bytes_be(), 66);
        with_jwk(
            suite,
            &format!("ES512-{name}-plus-p"),
            "a coordinate not below p names the same point for those who reduce it",
            &keys.es512,
            &keys.es512.jwk().number(name, &wide),
        )
        .reject("key_not_found");
    }
    // P-256 with x = 5, whose y exists: x + p still fits into 32 octets.
    let p256 = BigUint::parse_bytes(b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
        .expect("hexadecimal digits");
    let small = p256::PublicKey::from_sec1_bytes(&[&[2], left_padded(&[5], 32).as_slice()].concat()).expect("x = 5 is on P-256");
    let y = p256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(&small, false).as_bytes()[33..].to_vec();
    let jwk = keys.es256.jwk().number("x", &left_padded(&(p256 + 5_u8).to_bytes_be(), 32)).number("y", &y);
    with_jwk(suite, "ES256-x-plus-p", "a coordinate not below p", &keys.es256, &jwk).reject("key_not_found");
    for (id, alg, key) in [
        ("es384-on-p256", "ES384", &keys.es256),
        ("es256-on-p384", "ES256", &keys.es384),
        ("es256-on-p521", "ES256", &keys.es512),
        ("rs256-on-p256", "RS256", &keys.es256),
        ("eddsa-on-p256", "EdDSA", &keys.es256),
        ("es256-on-rsa", "ES256", &keys.rsa2048),
        ("eddsa-on-rsa", "EdDSA", &keys.rsa2048),
        ("es256-on-ed25519", "ES256", &keys.ed25519),
    ] {
        // The token's own alg is the key's natural one, so that only the JWK is wrong.
        with_jwk(suite, &format!("alg-{id}"), "the JWK's alg belongs to another kind of key", key, &key.jwk().text("alg", alg))
            .reject("key_not_found");
    }
}

fn octet_pairs(suite: &mut Suite) {
    let key = &KEYS.ed25519;
    let jwk = || key.jwk().text("alg", "EdDSA");
    let x = key.as_ed25519().verifying_key().to_bytes();
    let mut bad = |id: &str, why: &str, jwk: Jwk| with_jwk(suite, &format!("EdDSA-{id}"), why, key, &jwk).reject("key_not_found");
    bad("short", "31 octets", jwk().number("x", &x[..31]));
    bad("long", "33 octets", jwk().number("x", &[x.as_slice(), &[0]].concat()));
    bad("no-x", "no x", jwk().without("x"));
    bad("no-crv", "no crv", jwk().without("crv"));
    bad("ed448", "Ed448 is not supported", jwk().text("crv", "Ed448").without("alg"));
    bad("x25519", "a key for encryption", jwk().text("crv", "X25519").without("alg"));
    bad("crv-case", "crv in lower case", jwk().text("crv", "ed25519"));
    bad("kty-ec", "Ed25519 is no EC key", jwk().text("kty", "EC"));
    let mut off = [0; 32];
    off[0] = 2;
    bad("off-curve", "y = 2 has no x", jwk().number("x", &off));
    let mut wide = [0xff; 32];
    (wide[0], wide[31]) = (0xee, 0x7f);
    bad("not-canonical-identity", "the identity with y = p + 1", jwk().number("x", &wide));
    // y = p + 3 .. p + 18: the few points with a second spelling that are not of small order.
    for (number, low) in (0xf0..=0xff_u8).enumerate() {
        let mut narrow = [0; 32];
        narrow[0] = u8::try_from(number).expect("few") + 3;
        if curve25519_dalek::edwards::CompressedEdwardsY(narrow).decompress().is_none() {
            continue;
        }
        let mut wide = [0xff; 32];
        (wide[0], wide[31]) = (low, 0x7f);
        bad(&format!("not-canonical-{}", number + 3), "RFC 8032 section 5.1.3: y not below p", jwk().number("x", &wide));
    }
    for (index, point) in curve25519_dalek::constants::EIGHT_TORSION.iter().enumerate() {
        bad(
            &format!("small-order-{index}"),
            "a point of small order is nobody's key",
            jwk().number("x", point.compress().as_bytes()),
        );
    }
    let mut minus_zero = [0; 32];
    (minus_zero[0], minus_zero[31]) = (1, 0x80);
    bad("identity-with-sign", "the identity with the sign bit set", jwk().number("x", &minus_zero));
    let reversed: Vec<u8> = x.iter().rev().copied().collect();
    with_jwk(
        suite,
        "EdDSA-reversed",
        "the octets in big-endian order happen to be another good point",
        key,
        &jwk().number("x", &reversed),
    )
    .reject("signature_invalid");
}

fn members(suite: &mut Suite) {
    let key = &KEYS.es256;
    let jwk = || key.jwk().text("alg", "ES256");
    for (id, why, bad) in [
        ("use-enc", "use says encryption", jwk().text("use", "enc")),
        ("use-unknown", "use says something else", jwk().text("use", "tls")),
        ("use-empty", "use is empty", jwk().text("use", "")),
        ("use-case", "use in capitals", jwk().text("use", "SIG")),
        ("use-array", "use is an array", jwk().json("use", r#"["sig"]"#)),
        ("use-null", "use is null", jwk().json("use", "null")),
        ("key-ops-sign", "key_ops without verify", jwk().json("key_ops", r#"["sign"]"#)),
        ("key-ops-encrypt", "key_ops for encryption", jwk().json("key_ops", r#"["encrypt","wrapKey"]"#)),
        ("key-ops-empty", "key_ops without anything", jwk().json("key_ops", "[]")),
        ("key-ops-string", "key_ops is a string", jwk().json("key_ops", r#""verify""#)),
        ("key-ops-number", "key_ops with a number", jwk().json("key_ops", r#"["verify",1]"#)),
        ("key-ops-null", "key_ops is null", jwk().json("key_ops", "null")),
        ("key-ops-twice", "RFC 7517 section 4.3: no value twice", jwk().json("key_ops", r#"["verify","verify"]"#)),
        ("key-ops-case", "key_ops in capitals", jwk().json("key_ops", r#"["VERIFY"]"#)),
        ("alg-unknown", "an unknown alg", jwk().text("alg", "ES257")),
        ("alg-misspelt", "the misspelt ES521", jwk().text("alg", "ES521")),
        ("alg-none", "alg none", jwk().text("alg", "none")),
        ("alg-hmac", "alg HS256 on an elliptic curve", jwk().text("alg", "HS256")),
        ("alg-encryption", "an alg of encryption", jwk().text("alg", "ECDH-ES")),
        ("alg-null", "alg is null", jwk().json("alg", "null")),
        ("alg-number", "alg is a number", jwk().json("alg", "256")),
        ("kid-number", "kid is a number", jwk().json("kid", "1")),
        ("kty-missing", "no kty", jwk().without("kty")),
        ("kty-unknown", "an unknown kty", jwk().text("kty", "AKP")),
        ("kty-rsa", "the kty of another kind", jwk().text("kty", "RSA")),
        ("kty-case", "kty in lower case", jwk().text("kty", "ec")),
        ("kty-number", "kty is a number", jwk().json("kty", "1")),
        ("private-d", "a private key in a public place", jwk().text("d", "AAAA")),
        ("private-d-null", "also with an empty d", jwk().json("d", "null")),
        ("private-p", "also with members of another kind of key", jwk().text("p", "AAAA")),
        ("private-k", "also with a shared secret beside it", jwk().text("k", "AAAA")),
    ] {
        with_jwk(suite, &format!("member-{id}"), why, key, &bad).strict().reject("key_not_found");
    }
    for (id, why, good) in [
        ("key-ops-verify", "key_ops with verify", jwk().json("key_ops", r#"["verify"]"#)),
        ("key-ops-both", "key_ops with sign and verify", jwk().json("key_ops", r#"["sign","verify"]"#)),
        ("key-ops-unknown", "key_ops with verify and an unknown one", jwk().json("key_ops", r#"["x","verify"]"#)),
        ("no-use", "no use", jwk().without("use")),
        (
            "x5c",
            "certificates beside the key are not read",
            jwk().json("x5c", r#"["AAAA"]"#).text("x5t", "AAAA").text("x5u", "file:///x"),
        ),
        ("unknown", "unknown members", jwk().json("nbf", "99999999999").json("x", key.jwk().get("x")).json("ext", "true")),
    ] {
        with_jwk(suite, &format!("member-{id}"), why, key, &good).accept();
    }
    suite
        .token("oct-named-es256", "a shared secret that calls itself ES256")
        .jwks(jwk_set(&[format!(r#"{{"kty":"oct","kid":"es256-1","alg":"ES256","k":{}}}"#, key.jwk().get("x"))]))
        .reject("key_not_found");
    suite
        .token("oct-with-point", "a shared secret that carries a point as well")
        .jwks(jwk_set(&[key.jwk().text("kty", "oct").text("k", "AAAA").to_json()]))
        .reject("key_not_found");
}

/// A broken key does not take its siblings with it.
fn siblings(suite: &mut Suite) {
    let good = KEYS.es256.jwk().text("alg", "ES256").to_json();
    for (id, why, broken) in [
        ("off-curve", "a point off the curve", KEYS.es256_other.jwk().number("y", &[1; 32]).to_json()),
        ("ml-dsa", "a key of tomorrow", r#"{"kty":"AKP","alg":"ML-DSA-44","kid":"pq","pub":"AAAA"}"#.to_owned()),
        ("oct", "a shared secret", r#"{"kty":"oct","kid":"shared","k":"AAAA"}"#.to_owned()),
        ("private", "a private key", KEYS.es256_other.jwk().text("d", "AAAA").to_json()),
        ("encryption", "a key for encryption", KEYS.rsa2048.jwk().text("use", "enc").to_json()),
        ("small", "an RSA key of 1024 bits", KEYS.rsa1024.jwk().to_json()),
        ("huge", "an RSA key of 16384 bits", KEYS.rsa16384.jwk().to_json()),
        ("no-kty", "no kty", r#"{"kid":"es256-1"}"#.to_owned()),
        (
            "same-kid-broken",
            "a broken key with the same kid",
            KEYS.es256_other.jwk().text("kid", "es256-1").without("y").to_json(),
        ),
        ("null", "no object", "null".to_owned()),
    ] {
        for (order, set) in [("before", [&broken, &good]), ("after", [&good, &broken])] {
            suite.token(format!("sibling-{id}-{order}"), format!("a good key beside {why}")).jwks(jwk_set(&set)).accept();
        }
    }
    let long = KEYS.es256_other.jwk().text("kid", &"k".repeat(257)).to_json();
    suite.token("sibling-long-kid", "a good key beside one whose kid has 257 octets").jwks(jwk_set(&[&long, &good])).accept();
    let many: Vec<String> =
        (0..40).map(|number| KEYS.es256_other.jwk().text("kid", &format!("other-{number}")).to_json()).chain([good]).collect();
    suite.token("sibling-many", "the last of 41 good keys").jwks(jwk_set(&many)).accept();
    suite
        .token("kid-of-skipped", "the kid of a key that was skipped: the others do not stand in")
        .header_member("kid", &json_string("broken"))
        .jwks(jwk_set(&[KEYS.es256.jwk().to_json(), KEYS.es256.jwk().text("kid", "broken").text("use", "enc").to_json()]))
        .reject("key_not_found");
}
