//! Test keys from seeds, and how they sign. None of them may ever sign anything but tests: their seeds are in this file.
//!
//! RSA is done here on bare integers: the vectors need moduli, exponents and paddings that no library agrees to make.

use std::sync::LazyLock;

use curve25519_dalek::{EdwardsPoint, Scalar};
use num_bigint_dig::{BigUint, ModInverse, prime};
use p256::{
    ecdsa::signature::{RandomizedSigner as _, Signer as _},
    elliptic_curve::rand_core::{self, CryptoRng, RngCore},
};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::corpus::{base64url, json_string};

/// Endless bytes from a label.
pub fn bytes(label: &str, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for block in 0_u32.. {
        if out.len() >= len {
            break;
        }
        out.extend(Sha512::digest(format!("edgeseal test key, never use it: {label}: {block}")));
    }
    out.truncate(len);
    out
}

/// A key that signs.
pub struct Key {
    /// The `kid` of its JWK.
    pub kid: String,
    /// How it signs.
    pub material: Material,
}

/// The private side of a [`Key`].
pub enum Material {
    /// P-256.
    P256(p256::ecdsa::SigningKey),
    /// P-384.
    P384(p384::ecdsa::SigningKey),
    /// P-521.
    P521(p521::ecdsa::SigningKey),
    /// Ed25519, from its seed.
    Ed25519(ed25519_dalek::SigningKey),
    /// RSA on bare integers.
    Rsa(Rsa),
}

/// An RSA key of any number of primes and any exponent.
#[derive(Clone)]
pub struct Rsa {
    /// The modulus.
    pub n: BigUint,
    /// The public exponent.
    pub e: BigUint,
    primes: Vec<BigUint>,
}

/// The hash functions of JOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The hash of a JOSE algorithm by its name's number.
    pub fn of(alg: &str) -> Self {
        match alg.get(2..) {
            Some("384") => Self::Sha384,
            Some("512") => Self::Sha512,
            _ => Self::Sha256,
        }
    }

    /// The digest.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    /// `DigestInfo` up to the digest (RFC 8017 section 9.2, note 1).
    pub fn digest_info(self) -> Vec<u8> {
        let (oid, len) = match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
        };
        let mut info = vec![0x30, 17 + len, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, oid];
        info.extend([0x05, 0x00, 0x04, len]);
        info
    }
}

impl Rsa {
    /// A key of these primes.
    pub fn new(primes: Vec<BigUint>, e: u64) -> Self {
        let n = primes.iter().fold(BigUint::from(1_u8), |product, prime| product * prime);
        Self { n, e: BigUint::from(e), primes }
    }

    /// The same primes under another public exponent.
    #[must_use]
    pub fn with_exponent(&self, e: u64) -> Self {
        Self { e: BigUint::from(e), ..self.clone() }
    }

    /// Octets of the modulus.
    pub fn len(&self) -> usize {
        self.n.bits().div_ceil(8)
    }

    /// Never: a modulus has octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bits of the modulus.
    pub fn bits(&self) -> usize {
        self.n.bits()
    }

    /// `encoded ^ d mod n`, by the Chinese remainder theorem over all primes; `None` when `e` has no inverse and `encoded` no
    /// square root (for even exponents, of which only 2 is supported).
    pub fn private(&self, encoded: &[u8]) -> Option<Vec<u8>> {
        let one = BigUint::from(1_u8);
        let encoded = BigUint::from_bytes_be(encoded);
        let (mut result, mut modulus) = (BigUint::from(0_u8), one.clone());
        for prime in &self.primes {
            let order = prime - &one;
            let exponent = if self.e == BigUint::from(2_u8) {
                // A square root modulo p = 3 mod 4.
                (prime + &one) / 4_u8
            } else {
                (&self.e % &order).mod_inverse(&order)?.to_biguint()?
            };
            let residue = encoded.modpow(&exponent, prime);
            if residue.modpow(&(&self.e % prime), prime) != &encoded % prime {
                return None;
            }
            // result := result + modulus * ((residue - result) / modulus mod prime)
            let inverse = (&modulus % prime).mod_inverse(prime)?.to_biguint()?;
            let difference = (&residue + prime - &result % prime) % prime;
            result += &modulus * (difference * inverse % prime);
            modulus *= prime;
        }
        Some(left_padded(&result.to_bytes_be(), self.len()))
    }

    /// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2) around any `DigestInfo`.
    pub fn pkcs1_encoded(&self, digest_info: &[u8]) -> Vec<u8> {
        let mut encoded = vec![0x00, 0x01];
        encoded.resize(self.len() - digest_info.len() - 1, 0xff);
        encoded.push(0x00);
        encoded.extend(digest_info);
        encoded
    }

    /// EMSA-PSS (RFC 8017 section 9.1.1).
    pub fn pss_encoded(&self, digest: &[u8], salt: &[u8], hash: Hash, mgf: Hash, trailer: u8) -> Vec<u8> {
        let bits = self.bits() - 1;
        let len = bits.div_ceil(8);
        let h = hash.digest(&[&[0; 8], digest, salt].concat());
        let mut block = vec![0; len - h.len() - 1 - salt.len() - 1];
        block.push(0x01);
        block.extend(salt);
        let mut mask = Vec::new();
        for counter in 0_u32.. {
            if mask.len() >= block.len() {
                break;
            }
            mask.extend(mgf.digest(&[h.as_slice(), &counter.to_be_bytes()].concat()));
        }
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
        block[0] &= 0xff >> (8 * len - bits);
        block.extend(h);
        block.push(trailer);
        left_padded(&block, self.len())
    }

    /// A signature of RFC 7518 sections 3.3 and 3.5, with a salt that follows from the message.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let hash = Hash::of(alg);
        let digest = hash.digest(message);
        let encoded = if alg.starts_with('P') {
            let salt = hash.digest(&[b"salt".as_slice(), message].concat());
            self.pss_encoded(&digest, &salt, hash, hash, 0xbc)
        } else {
            self.pkcs1_encoded(&[hash.digest_info(), digest].concat())
        };
        self.private(&encoded).expect("the exponent has an inverse")
    }

    /// `SubjectPublicKeyInfo` in DER (RFC 3279 section 2.3.1).
    pub fn spki(&self) -> Vec<u8> {
        let integer = |value: &BigUint| {
            let bytes = value.to_bytes_be();
            der(0x02, &if bytes[0] & 0x80 == 0 { bytes } else { [vec![0], bytes].concat() })
        };
        let key = der(0x30, &[integer(&self.n), integer(&self.e)].concat());
        let algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        der(0x30, &[algorithm.as_slice(), &der(0x03, &[vec![0], key].concat())].concat())
    }
}

/// "Random" numbers that follow from a label.
struct Repeatable {
    label: String,
    block: u32,
}

impl RngCore for Repeatable {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        self.block += 1;
        out.copy_from_slice(&bytes(&format!("nonce {} {}", self.label, self.block), out.len()));
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Repeatable {}

/// One DER value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len().to_be_bytes();
    let len: Vec<u8> = len.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match len.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).expect("few"));
            out.extend(long);
        }
    }
    out.extend(content);
    out
}

/// `bytes` with zeros before it.
pub fn left_padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut out = vec![0; len - bytes.len()];
    out.extend(bytes);
    out
}

/// A PEM file of the given DER.
pub fn pem(der: &[u8]) -> String {
    use base64ct::{Base64, Encoding as _};
    let text = Base64::encode_string(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

impl Key {
    fn ec(kid: &str) -> Self {
        // A scalar with its top byte cleared lies below the order of every curve.
        let scalar = |len: usize| left_padded(&bytes(kid, len - 1), len);
        let material = match &kid[..5] {
            "es256" => Material::P256(p256::ecdsa::SigningKey::from_slice(&scalar(32)).expect("in range")),
            "es384" => Material::P384(p384::ecdsa::SigningKey::from_slice(&scalar(48)).expect("in range")),
            _ => Material::P521(p521::ecdsa::SigningKey::from_slice(&scalar(66)).expect("in range")),
        };
        Self { kid: kid.into(), material }
    }

    fn ed25519(kid: &str) -> Self {
        let seed: [u8; 32] = bytes(kid, 32).try_into().expect("32");
        Self { kid: kid.into(), material: Material::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed)) }
    }

    fn rsa(kid: &str, primes: &[&str], e: u64) -> Self {
        Self { kid: kid.into(), material: Material::Rsa(Rsa::new(primes.iter().map(|name| named_prime(name)).collect(), e)) }
    }

    /// The RSA side of an RSA key.
    pub fn as_rsa(&self) -> &Rsa {
        match &self.material {
            Material::Rsa(rsa) => rsa,
            _ => panic!("{} is not an RSA key", self.kid),
        }
    }

    /// The Ed25519 side of an Ed25519 key.
    pub fn as_ed25519(&self) -> &ed25519_dalek::SigningKey {
        match &self.material {
            Material::Ed25519(key) => key,
            _ => panic!("{} is not an Ed25519 key", self.kid),
        }
    }

    /// The algorithm that vectors use with this key unless they say another.
    pub fn default_alg(&self) -> &'static str {
        match self.material {
            Material::P256(_) => "ES256",
            Material::P384(_) => "ES384",
            Material::P521(_) => "ES512",
            Material::Ed25519(_) => "EdDSA",
            Material::Rsa(_) => "RS256",
        }
    }

    /// Signs as RFC 7518, RFC 8037 and RFC 9864 say. ECDSA with the hash of the curve whatever `alg` says.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        match &self.material {
            Material::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Material::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Material::P521(key) => {
                // p521 has no RFC 6979; its nonce comes from a generator that repeats itself.
                let label = base16ct::lower::encode_string(&Sha512::digest(message));
                let signature: p521::ecdsa::Signature = key.sign_with_rng(&mut Repeatable { label, block: 0 }, message);
                signature.to_bytes().to_vec()
            }
            Material::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Material::Rsa(key) => key.sign(alg, message),
        }
    }

    /// `0x04 || x || y` of an elliptic curve key.
    pub fn sec1(&self) -> Vec<u8> {
        match &self.material {
            Material::P256(key) => key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            Material::P384(key) => key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            Material::P521(key) => p521::ecdsa::VerifyingKey::from(key).to_encoded_point(false).as_bytes().to_vec(),
            _ => panic!("{} is not on a NIST curve", self.kid),
        }
    }

    /// `SubjectPublicKeyInfo` in DER of an RSA or P-256 key (RFC 3279, RFC 5480).
    pub fn spki(&self) -> Vec<u8> {
        if let Material::Rsa(rsa) = &self.material {
            return rsa.spki();
        }
        let of_ec = [0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let algorithm = [of_ec.as_slice(), &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]].concat();
        der(0x30, &[algorithm, der(0x03, &[vec![0], self.sec1()].concat())].concat())
    }

    /// The public JWK, with `kid`, `use` and no `alg`.
    pub fn jwk(&self) -> Jwk {
        let text = |value: &str| json_string(value);
        let number = |value: &[u8]| json_string(&base64url(value));
        let mut members = Vec::new();
        match &self.material {
            Material::Rsa(key) => {
                members.push(("kty", text("RSA")));
                members.push(("n", number(&key.n.to_bytes_be())));
                members.push(("e", number(&key.e.to_bytes_be())));
            }
            Material::Ed25519(key) => {
                members.push(("kty", text("OKP")));
                members.push(("crv", text("Ed25519")));
                members.push(("x", number(key.verifying_key().as_bytes())));
            }
            Material::P256(_) | Material::P384(_) | Material::P521(_) => {
                let point = self.sec1();
                let (x, y) = point[1..].split_at(point.len() / 2);
                members.push(("kty", text("EC")));
                members.push(("crv", text(["P-256", "P-384", "P-521"][(x.len() - 32) / 16])));
                members.push(("x", number(x)));
                members.push(("y", number(y)));
            }
        }
        members.push(("kid", text(&self.kid)));
        members.push(("use", text("sig")));
        Jwk(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// The members of a JWK as JSON texts, in order, to be spoiled one by one.
#[derive(Clone, Debug)]
pub struct Jwk(pub Vec<(String, String)>);

impl Jwk {
    /// Sets a member to a JSON text, in its old place if it has one.
    #[must_use]
    pub fn json(mut self, name: &str, value: &str) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.into(), value.into())),
        }
        self
    }

    /// Sets a member to a string.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.json(name, &json_string(value))
    }

    /// Sets a member to the base64url of octets.
    #[must_use]
    pub fn number(self, name: &str, value: &[u8]) -> Self {
        self.text(name, &base64url(value))
    }

    /// Adds a member again, whether it is there or not.
    #[must_use]
    pub fn twice(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }

    /// Takes a member away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// The JSON text of a member.
    pub fn get(&self, name: &str) -> &str {
        &self.0.iter().find(|(known, _)| known == name).expect("the member is there").1
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(name, value)| format!("{}:{value}", json_string(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A JWK Set of JSON texts.
pub fn jwk_set<T: AsRef<str>>(keys: &[T]) -> String {
    let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

/// Every key of the vectors.
pub struct Keys {
    /// P-256.
    pub es256: Key,
    /// Another of P-256.
    pub es256_other: Key,
    /// P-384.
    pub es384: Key,
    /// P-521.
    pub es512: Key,
    /// Ed25519.
    pub ed25519: Key,
    /// Another of Ed25519.
    pub ed25519_other: Key,
    /// RSA, 2048 bits.
    pub rsa2048: Key,
    /// Another of 2048 bits.
    pub rsa2048_other: Key,
    /// RSA, 3072 bits.
    pub rsa3072: Key,
    /// RSA, 4096 bits.
    pub rsa4096: Key,
    /// RSA, 8192 bits: the largest allowed.
    pub rsa8192: Key,
    /// RSA, 1024 bits.
    pub rsa1024: Key,
    /// RSA, 2047 bits: one too few.
    pub rsa2047: Key,
    /// RSA, 8193 bits: one too many.
    pub rsa8193: Key,
    /// RSA, 16384 bits.
    pub rsa16384: Key,
    /// RSA, 2048 bits, with the structure of CVE-2017-15361.
    pub roca: Key,
    /// RSA, 2048 bits, e = 3.
    pub exponent3: Key,
    /// RSA, 2048 bits, e = 2: signatures are square roots.
    pub exponent2: Key,
    /// RSA, 2048 bits, e = 17.
    pub exponent17: Key,
    /// RSA, 2048 bits, e = 257.
    pub exponent257: Key,
    /// RSA, 2048 bits, e = 65539: the first above the common one that has an inverse.
    pub exponent65539: Key,
    /// RSA, 2048 bits, e = 2^32 + 1: 1 in 32 bits.
    pub exponent33bits: Key,
    /// RSA, 2049 bits: an encoded message of PSS is an octet shorter than the signature.
    pub rsa2049: Key,
    /// RSA, 3071 bits.
    pub rsa3071: Key,
    /// RSA, 2049 bits, e = 65539.
    pub rsa2049_exponent65539: Key,
    /// RSA, 8192 bits, e = 2^32 + 1: the slowest verification there is.
    pub rsa8192_exponent33bits: Key,
}

/// The keys, made once.
pub static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let eight = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let sixteen = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
    Keys {
        es256: Key::ec("es256-1"),
        es256_other: Key::ec("es256-2"),
        es384: Key::ec("es384-1"),
        es512: Key::ec("es512-1"),
        ed25519: Key::ed25519("ed25519-1"),
        ed25519_other: Key::ed25519("ed25519-2"),
        rsa2048: Key::rsa("rsa2048-1", &["a", "b"], 65_537),
        rsa2048_other: Key::rsa("rsa2048-2", &["c", "d"], 65_537),
        rsa3072: Key::rsa("rsa3072-1", &["a", "b", "c"], 65_537),
        rsa4096: Key::rsa("rsa4096-1", &["a", "b", "c", "d"], 65_537),
        rsa8192: Key::rsa("rsa8192-1", &eight, 65_537),
        rsa1024: Key::rsa("rsa1024-1", &["512a", "512b"], 65_537),
        rsa2047: Key::rsa("rsa2047-1", &["a", "1023"], 65_537),
        rsa8193: Key::rsa("rsa8193-1", &["a", "b", "c", "d", "e", "f", "g", "1025"], 65_537),
        rsa16384: Key::rsa("rsa16384-1", &sixteen, 65_537),
        roca: Key::rsa("rsa2048-roca", &["roca-a", "roca-b"], 65_537),
        exponent3: Key::rsa("rsa2048-e3", &["a", "b"], 3),
        exponent2: Key::rsa("rsa2048-e2", &["a", "b"], 2),
        exponent17: Key::rsa("rsa2048-e17", &["a", "b"], 17),
        exponent257: Key::rsa("rsa2048-e257", &["a", "b"], 257),
        exponent65539: Key::rsa("rsa2048-e65539", &["a", "b"], 65_539),
        exponent33bits: Key::rsa("rsa2048-e4294967297", &["a", "b"], (1 << 32) + 1),
        rsa2049: Key::rsa("rsa2049-1", &["a", "1025"], 65_537),
        rsa3071: Key::rsa("rsa3071-1", &["a", "b", "1023"], 65_537),
        rsa2049_exponent65539: Key::rsa("rsa2049-e65539", &["a", "1025"], 65_539),
        rsa8192_exponent33bits: Key::rsa("rsa8192-e4294967297", &eight, (1 << 32) + 1),
    }
});

/// The primes of the RSA keys: a name and hexadecimal digits a line. Finding them takes half a minute, so they are kept; a test
/// finds the first of them again.
const PRIMES: &str = include_str!("primes.txt");

fn named_prime(name: &str) -> BigUint {
    kept_prime(name).expect("the prime is in primes.txt")
}

/// The prime of this name, if it is one of those that are kept.
pub fn kept_prime(name: &str) -> Option<BigUint> {
    let line = PRIMES.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    BigUint::parse_bytes(line.as_bytes(), 16)
}

/// Finds the prime of this name again.
///
/// All are 2 mod 3, so that e = 3 has an inverse, and 3 mod 4, so that square roots are easy; none is 1 mod 65537. Their top eight
/// bits are set, so that a product of sixteen is still as long as it should be.
pub fn find_prime(name: &str) -> BigUint {
    if name.starts_with("roca") {
        return find_roca_prime(name);
    }
    let bits: usize = name.trim_end_matches(|letter: char| letter.is_ascii_lowercase()).parse().unwrap_or(1024);
    let mut start = bytes(&format!("prime {name}"), bits.div_ceil(8));
    start[0] = 0xff;
    let mut candidate = (BigUint::from_bytes_be(&start) >> (start.len() * 8 - bits)) / 12_u8 * 12_u8 + 11_u8;
    while &candidate % 65_537_u32 == BigUint::from(1_u8) || !prime::probably_prime(&candidate, 20) {
        candidate += 12_u8;
    }
    candidate
}

/// `k * M + (65537^a mod M)` of 1024 bits, where M is the product of the first 126 primes: `RSALib`'s form for keys of 2048 bits.
fn find_roca_prime(name: &str) -> BigUint {
    let sieve = (2_u32..710).filter(|number| (2..*number).all(|divisor| number % divisor != 0));
    let product = sieve.take(126).fold(BigUint::from(1_u8), |product, prime| product * prime);
    let room = (BigUint::from(1_u8) << 1024_usize) / &product;
    for attempt in 0_u32.. {
        let seed = bytes(&format!("prime {name} {attempt}"), 24);
        let k = &room - BigUint::from_bytes_be(&seed[..6]) % (&room >> 8_usize) - 1_u8;
        let power = BigUint::from(65_537_u32).modpow(&BigUint::from_bytes_be(&seed[6..]), &product);
        let candidate = k * &product + power;
        if prime::probably_prime(&candidate, 20) {
            return candidate;
        }
    }
    unreachable!("primes do not run out")
}

/// The names of all primes.
pub const PRIME_NAMES: [&str; 22] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "512a", "512b", "1023", "1025", "roca-a",
    "roca-b",
];

/// A point of order eight on the Ed25519 curve.
pub fn torsion_point() -> EdwardsPoint {
    curve25519_dalek::constants::EIGHT_TORSION[1]
}

/// The private scalar and the nonce prefix of an Ed25519 seed (RFC 8032 section 5.1.5).
pub fn ed25519_secrets(key: &ed25519_dalek::SigningKey) -> (Scalar, [u8; 32]) {
    let secret = ed25519_dalek::hazmat::ExpandedSecretKey::from(key.as_bytes());
    (secret.scalar, secret.hash_prefix)
}

/// `SHA-512(R || A || M)` as a scalar (RFC 8032 section 5.1.7).
pub fn ed25519_challenge(r: &[u8; 32], a: &[u8; 32], message: &[u8]) -> Scalar {
    let digest: [u8; 64] = Sha512::digest([r.as_slice(), a, message].concat()).into();
    Scalar::from_bytes_mod_order_wide(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_what_their_names_say() {
        for name in ["a", "512a", "1023"] {
            assert_eq!(find_prime(name), named_prime(name), "{name}");
        }
        for name in PRIME_NAMES {
            assert!(prime::probably_prime(&named_prime(name), 2), "{name}");
        }
    }

    #[test]
    fn moduli_have_the_size_of_their_names() {
        let keys = &*KEYS;
        for (key, bits) in [
            (&keys.rsa2048, 2048),
            (&keys.rsa3072, 3072),
            (&keys.rsa4096, 4096),
            (&keys.rsa8192, 8192),
            (&keys.rsa1024, 1024),
            (&keys.rsa2047, 2047),
            (&keys.rsa8193, 8193),
            (&keys.rsa16384, 16_384),
            (&keys.roca, 2048),
            (&keys.rsa2049, 2049),
            (&keys.rsa3071, 3071),
        ] {
            assert_eq!(key.as_rsa().bits(), bits, "{}", key.kid);
        }
    }

    #[test]
    fn rsa_signatures_open_with_the_public_exponent() {
        let key = KEYS.rsa2048.as_rsa();
        let signature = key.sign("RS256", b"message");
        let opened = BigUint::from_bytes_be(&signature).modpow(&key.e, &key.n);
        let encoded = key.pkcs1_encoded(&[Hash::Sha256.digest_info(), Hash::Sha256.digest(b"message")].concat());
        assert_eq!(opened, BigUint::from_bytes_be(&encoded));
    }
}
