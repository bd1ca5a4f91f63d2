use super::*;
use crate::{
    Algorithm, Jwk, PublicKey,
    backend::{SignatureBackend as _, rustcrypto::RustCrypto},
    jwk::KeyRules,
};
use alloc::sync::Arc;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use rsa::BigUint;

#[path = "../../../../tests/support/random.rs"]
mod random;
use random::Random;

/// RFC 7515 appendix A.2.1.
const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMs\
                 D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV\
                 MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const INPUT: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ\
                         cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-e\
                         OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn decoded(text: &str) -> Vec<u8> {
    crate::token::decode_base64url(text).unwrap()
}

fn input(algorithm: Algorithm, message: &[u8]) -> SignatureInput {
    let key = Jwk::new(PublicKey::rsa(&decoded(N), &[1, 0, 1]).unwrap(), None, None).unwrap();
    SignatureInput::new(algorithm, Arc::new(key), message.into(), decoded(SIGNATURE)).unwrap()
}

#[test]
fn the_example_of_rfc_7515() {
    let judged = |algorithm, message: &str| verify(&input(algorithm, message.as_bytes())).unwrap().is_ok();
    assert!(judged(Algorithm::Rs256, INPUT));
    assert!(!judged(Algorithm::Rs256, &INPUT[1..]));
    for algorithm in [Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512] {
        assert!(!judged(algorithm, INPUT), "{algorithm}");
    }
}

#[test]
fn other_kinds_of_keys_are_for_others() {
    let key = Jwk::from_json(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#).unwrap();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
    let input = SignatureInput::new(Algorithm::EdDsa, Arc::new(key), Vec::new(), signature.into()).unwrap();
    assert!(verify(&input).is_none());
}

/// Every number of limbs and of odd bits, against the arithmetic beneath the reference.
#[test]
fn powers_are_those_of_big_integers() {
    let mut random = Random(1);
    let bits = (2..=66).chain([95, 96, 97, 255, 256, 257, 2048, 2049]);
    for (bits, round) in bits.flat_map(|bits| (0..3).map(move |round| (bits, round))) {
        let n = match round {
            // The extremes: all bits, and the first and the last alone.
            0 => (BigUint::from(1_u8) << bits) - 1_u8,
            1 => (BigUint::from(1_u8) << (bits - 1)) + 1_u8,
            _ => random.number(bits),
        };
        let n = if &n % 2_u8 == BigUint::from(0_u8) { n - 1_u8 } else { n };
        if n.bits() < 2 {
            continue;
        }
        let modulus = Modulus::new(&n.to_bytes_be());
        for exponent in [1, 2, 3, 65_537, (1 << 32) + 1, (1 << 33) - 1, random.next()] {
            for base in [BigUint::from(0_u8), &n - 1_u8, random.number(bits) % &n] {
                let expected = base.modpow(&BigUint::from(exponent), &n).to_bytes_be();
                let power = modulus.power(&base.to_bytes_be(), &exponent.to_be_bytes());
                assert_eq!(power.len(), n.to_bytes_be().len());
                assert_eq!(BigUint::from_bytes_be(&power).to_bytes_be(), expected, "{base} ^ {exponent} mod {n}");
            }
        }
    }
}

/// One fault each, in encodings of 2048 bits and of up to nine more.
#[test]
fn pss_encodings_are_read_strictly() {
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let len = hash.digest_len();
        for em_bits in 2047..=2056 {
            let octets = (em_bits + 1_usize).div_ceil(8);
            let judged = |encoded: &[u8]| is_emsa_pss(hash, b"message", encoded, em_bits);
            let good = pss_encoded(hash, &alloc::vec![7; len], em_bits, |_| {}, 0xbc);
            assert_eq!(good.len(), octets);
            assert!(judged(&good), "{em_bits}");
            assert!(!is_emsa_pss(hash, b"massage", &good, em_bits));
            for salt_len in [0, len - 1, len + 1, len + 8] {
                assert!(!judged(&pss_encoded(hash, &alloc::vec![7; salt_len], em_bits, |_| {}, 0xbc)), "{salt_len}");
            }
            assert!(!judged(&pss_encoded(hash, &alloc::vec![7; len], em_bits, |_| {}, 0xcc)));
            let one = em_bits.div_ceil(8) - 2 * len - 2;
            for (at, bit) in [(one, 0x01), (one, 0x02), (one - 1, 0x01), (0, 0x01)] {
                assert!(!judged(&pss_encoded(hash, &alloc::vec![7; len], em_bits, |block| block[at] ^= bit, 0xbc)), "{at}");
            }
            // Every bit above the encoding must be clear, in the first octet or, where the modulus is one longer, before it.
            for bit in em_bits..8 * octets {
                let mut bad = good.clone();
                bad[octets - 1 - bit / 8] ^= 1 << (bit % 8);
                assert!(!judged(&bad), "bit {bit} of {em_bits}");
            }
            let mut bad = good.clone();
            bad[octets - 2] ^= 1;
            assert!(!judged(&bad));
        }
    }
    for len in 0..70 {
        assert!(!is_emsa_pss(Hash::Sha256, b"", &alloc::vec![0xbc; len], 8 * len), "{len}");
    }
}

/// The power of a signature may have an octet above the encoding, where the modulus has 8k + 1 bits: both backends look at it. The
/// exponent is 3, so that a modulus can be made for a signature and what it is to become.
#[test]
fn what_is_above_a_pss_encoding_must_be_zero() {
    for (algorithm, hash) in
        [(Algorithm::Ps256, Hash::Sha256), (Algorithm::Ps384, Hash::Sha384), (Algorithm::Ps512, Hash::Sha512)]
    {
        let encoded = BigUint::from_bytes_be(&pss_encoded(hash, &alloc::vec![7; hash.digest_len()], 2048, |_| {}, 0xbc));
        let top = BigUint::from(1_u8) << 2048;
        for (expected, power) in [(true, encoded.clone()), (false, &encoded + &top)] {
            // The first odd root whose cube leaves a modulus above `power`, and of 2049 bits.
            let least = &power + if expected { &top } else { &power };
            let mut root = BigUint::from(0_u8);
            for bit in (0..684).rev() {
                let next = &root + (BigUint::from(1_u8) << bit);
                root = if &next * &next * &next <= least { next } else { root };
            }
            root += if &root % 2_u8 == BigUint::from(0_u8) { 1_u8 } else { 2_u8 };
            let n = (&root * &root * &root - power).to_bytes_be();
            assert_eq!((n.len(), n[0]), (257, 1));
            let text = alloc::format!(r#"{{"kty":"RSA","e":"Aw","n":"{}"}}"#, Base64UrlUnpadded::encode_string(&n));
            let (_, members) = crate::json::parse_object(text.as_bytes()).unwrap();
            let key = Jwk::from_members(&members, KeyRules::dangerous_allow_rsa_exponent_3()).unwrap();
            let mut signature = alloc::vec![0; 257 - root.to_bytes_be().len()];
            signature.extend(root.to_bytes_be());
            let input = SignatureInput::new(algorithm, Arc::new(key), b"message".to_vec(), signature).unwrap();
            assert_eq!(verify(&input).unwrap().is_ok(), expected, "{algorithm}");
            assert_eq!(RustCrypto.verify(&input).is_ok(), expected, "{algorithm} of the reference");
        }
    }
}

#[test]
fn pkcs1_encodings_are_those_of_the_standard() {
    let encoded = emsa_pkcs1(Hash::Sha256, b"", 64);
    let expected = "0001ffffffffffffffffffff003031300d060960864801650304020105000420e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(base16ct::lower::encode_string(&encoded), expected);
    for (hash, digest_info) in
        [(Hash::Sha384, "003041300d060960864801650304020205000430"), (Hash::Sha512, "003051300d060960864801650304020305000440")]
    {
        let encoded = base16ct::lower::encode_string(&emsa_pkcs1(hash, b"message", 256));
        let (padding, rest) = encoded.split_at(2 * (256 - 20 - hash.digest_len()));
        assert_eq!(padding.strip_prefix("0001").map(|padding| padding.trim_matches('f')), Some(""));
        assert_eq!(&rest[..40], digest_info);
        assert_eq!(&rest[40..], base16ct::lower::encode_string(&hash.digest(&[b"message"])));
    }
}

/// RFC 8017 section 9.1.1, with a fault in the block before it is masked.
fn pss_encoded(hash: Hash, salt: &[u8], em_bits: usize, spoil: impl Fn(&mut [u8]), trailer: u8) -> Vec<u8> {
    let len = em_bits.div_ceil(8);
    let digest = hash.digest(&[&[0; 8], &hash.digest(&[b"message"]), salt]);
    let mut block = alloc::vec![0; len - hash.digest_len() - 1];
    let at = block.len() - salt.len();
    block[at..].copy_from_slice(salt);
    block[at - 1] = 1;
    spoil(&mut block);
    mgf1_xor(hash, &digest, &mut block);
    block[0] &= 0xff >> (8 * len - em_bits);
    let mut encoded = alloc::vec![0; (em_bits + 1).div_ceil(8) - len];
    encoded.extend(block);
    encoded.extend(digest);
    encoded.push(trailer);
    encoded
}

impl Random {
    /// A number of exactly so many bits.
    fn number(&mut self, bits: usize) -> BigUint {
        let words: Vec<u8> = (0..bits.div_ceil(64)).flat_map(|_| self.next().to_be_bytes()).collect();
        let one = BigUint::from(1_u8);
        BigUint::from_bytes_be(&words) % (&one << (bits - 1)) + (one << (bits - 1))
    }
}
