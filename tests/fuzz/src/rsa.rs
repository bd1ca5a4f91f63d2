//! Core's own RSA against the crate rsa: encodings of a message with faults in them, signed with a private key, and raw signatures.
//! Octets: the algorithm, the modulus, the exponent, the length of the salt's surplus, then faults of three octets each: what is
//! changed and where, and by what. A fault that changes nothing ends them; what follows it, if anything, is a raw signature.

use std::sync::{Arc, LazyLock};

use edgeseal_core::{
    Algorithm, Jwk, PublicKey, SignatureBackend as _,
    backend::{SignatureInput, rsa_verify, rustcrypto::RustCrypto},
};
use num_bigint_dig::{BigUint, ModInverse as _};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

const ALGORITHMS: [Algorithm; 6] =
    [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512];
const EXPONENTS: [u64; 3] = [65_537, 65_539, (1 << 32) + 1];
/// 2048, 2049, 2047 + 1024 and 3072 bits.
const MODULI: [&[&str]; 4] = [&["a", "b"], &["a", "1025"], &["a", "b", "1023"], &["a", "b", "c"]];
const MESSAGE: &[u8] = b"message";

static PRIMES: LazyLock<Vec<(&str, BigUint)>> = LazyLock::new(|| {
    let line = |line: &'static str| line.split_once(' ').unwrap();
    let lines = include_str!("../../src/primes.txt").lines().map(line);
    lines.map(|(name, digits)| (name, BigUint::parse_bytes(digits.as_bytes(), 16).unwrap())).collect()
});

struct Key {
    primes: Vec<BigUint>,
    n: BigUint,
    e: u64,
    jwk: Arc<Jwk>,
}

static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let keys = MODULI.into_iter().flat_map(|names| EXPONENTS.map(|e| Key::new(names, e)));
    keys.collect()
});

impl Key {
    fn new(names: &[&str], e: u64) -> Self {
        let prime = |name: &&str| PRIMES.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let primes: Vec<BigUint> = names.iter().map(prime).collect();
        let n = primes.iter().fold(BigUint::from(1_u8), |product, prime| product * prime);
        let key = PublicKey::rsa(&n.to_bytes_be(), &BigUint::from(e).to_bytes_be()).unwrap();
        Self { primes, n, e, jwk: Arc::new(Jwk::new(key, None, None).unwrap()) }
    }

    fn len(&self) -> usize {
        self.n.bits().div_ceil(8)
    }

    /// The e-th root modulo every prime, put together.
    fn private(&self, encoded: &[u8]) -> Vec<u8> {
        let encoded = BigUint::from_bytes_be(encoded) % &self.n;
        let (mut result, mut modulus) = (BigUint::from(0_u8), BigUint::from(1_u8));
        for prime in &self.primes {
            let exponent = BigUint::from(self.e).mod_inverse(prime - 1_u8).unwrap().to_biguint().unwrap();
            let residue = (&encoded % prime).modpow(&exponent, prime);
            let inverse = (&modulus % prime).mod_inverse(prime).unwrap().to_biguint().unwrap();
            let step = (residue + prime - &result % prime) * inverse % prime;
            result += &modulus * step;
            modulus *= prime;
        }
        left_padded(&result.to_bytes_be(), self.len())
    }
}

pub fn run(data: &[u8]) {
    let [algorithm, modulus, exponent, surplus, rest @ ..] = data else { return };
    let algorithm = ALGORITHMS[usize::from(*algorithm) % ALGORITHMS.len()];
    let key = &KEYS[usize::from(*modulus) % MODULI.len() * EXPONENTS.len() + usize::from(*exponent) % EXPONENTS.len()];
    let (faults, raw) = split(rest);
    if !raw.is_empty() {
        let mut signature = vec![0; key.len()];
        signature.iter_mut().rev().zip(raw.iter().rev()).for_each(|(to, from)| *to = *from);
        judge(key, algorithm, signature);
    }
    let is_pss = algorithm.name().starts_with('P');
    // A salt of a few octets less or more than the hash's.
    let surplus = i8::from_le_bytes([*surplus]).clamp(-32, 32);
    let encoded = if is_pss { pss(algorithm, key, surplus, &faults) } else { pkcs1(algorithm, key, &faults) };
    let mut signature = key.private(&encoded);
    change(&mut signature, &faults, 2);
    let valid = judge(key, algorithm, signature);
    if faults.is_empty() && (!is_pss || surplus == 0) {
        assert!(valid, "a good signature of {algorithm} is refused");
    }
    if is_pss && surplus != 0 && faults.is_empty() {
        assert!(!valid, "{algorithm} with {surplus} octets more of salt than of hash is accepted");
    }
}

/// What both say, which must be the same.
fn judge(key: &Key, algorithm: Algorithm, signature: Vec<u8>) -> bool {
    let below = BigUint::from_bytes_be(&signature) < key.n;
    let Ok(input) = SignatureInput::new(algorithm, Arc::clone(&key.jwk), MESSAGE.into(), signature) else {
        assert!(!below, "core refuses a signature in range");
        return false;
    };
    assert!(below, "core lets a signature out of range through");
    let own = rsa_verify::verify(&input).unwrap().is_ok();
    assert_eq!(own, RustCrypto.verify(&input).is_ok());
    own
}

/// Faults up to one that changes nothing, and what follows that.
fn split(mut data: &[u8]) -> (Vec<[u8; 3]>, &[u8]) {
    let mut faults = Vec::new();
    while let Some((fault, rest)) = data.split_first_chunk::<3>() {
        data = rest;
        if fault[2] == 0 {
            return (faults, data);
        }
        faults.push(*fault);
    }
    (faults, &[])
}

/// Applies the faults of a stage: counted from the end where the position's low bit is set, else from the beginning.
fn change(octets: &mut [u8], faults: &[[u8; 3]], stage: u8) {
    for [what, at, by] in faults.iter().filter(|[what, ..]| what % 3 == stage) {
        let at = usize::from(what / 3 % 2) * 128 + usize::from(at / 2) + usize::from(at % 2) * octets.len().saturating_sub(256);
        if let Some(octet) = octets.get_mut(at) {
            *octet ^= by;
        }
    }
}

/// RFC 8017 section 9.2.
fn pkcs1(algorithm: Algorithm, key: &Key, faults: &[[u8; 3]]) -> Vec<u8> {
    let digest = digest(algorithm, &[MESSAGE]);
    let len = u8::try_from(digest.len()).unwrap();
    let mut info = vec![0x30, 17 + len, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, len / 16 - 1, 5, 0, 4, len];
    info.extend(digest);
    change(&mut info, faults, 0);
    let mut encoded = vec![0, 1];
    encoded.resize(key.len() - info.len() - 1, 0xff);
    encoded.push(0);
    encoded.extend(info);
    change(&mut encoded, faults, 1);
    encoded
}

/// RFC 8017 section 9.1.1.
fn pss(algorithm: Algorithm, key: &Key, surplus: i8, faults: &[[u8; 3]]) -> Vec<u8> {
    let bits = key.n.bits() - 1;
    let hash_len = digest(algorithm, &[]).len();
    let salt = vec![7; hash_len.saturating_add_signed(surplus.into())];
    let h = digest(algorithm, &[&[0; 8], &digest(algorithm, &[MESSAGE]), &salt]);
    let mut block = vec![0; bits.div_ceil(8) - hash_len - 1];
    let at = block.len() - salt.len();
    block[at..].copy_from_slice(&salt);
    block[at - 1] = 1;
    change(&mut block, faults, 0);
    for (counter, chunk) in (0_u32..).zip(block.chunks_mut(hash_len)) {
        let mask = digest(algorithm, &[&h, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
    }
    block[0] &= 0xff >> (bits.div_ceil(8) * 8 - bits);
    block.extend(h);
    block.push(0xbc);
    let mut encoded = left_padded(&block, key.len());
    change(&mut encoded, faults, 1);
    encoded
}

fn digest(algorithm: Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let message = parts.concat();
    match &algorithm.name()[2..] {
        "256" => Sha256::digest(message).to_vec(),
        "384" => Sha384::digest(message).to_vec(),
        _ => Sha512::digest(message).to_vec(),
    }
}

fn left_padded(octets: &[u8], len: usize) -> Vec<u8> {
    [vec![0; len - octets.len()], octets.to_vec()].concat()
}
