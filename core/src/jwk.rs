//! A JSON Web Key (RFC 7517) that may verify signatures, the checks that it passed, and its thumbprint (RFC 7638).

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    algorithm::{Algorithm, Curve, Scheme},
    claims::NumericDate,
    error::{Check, ErrorCode, VerifyError},
    json, nist_curve,
    signature::{is_canonical_point, is_small_order_point},
    token::{MAX_KID_LEN, decode_base64url, encode_base64url},
};

/// Bits of an RSA modulus: at least what RFC 7518 section 3.3 demands.
pub const MIN_RSA_BITS: usize = 2048;
/// Bits of an RSA modulus: at most what `BoringSSL` (Chromium, workerd) verifies as well.
pub const MAX_RSA_BITS: usize = 8192;
/// Values of `key_ops`: RFC 7517 section 4.3 registers eight. Whether one is repeated is asked of each pair.
const MAX_KEY_OPS: usize = 16;
/// The smallest public exponent (FIPS 186-5 section A.1.1).
pub const MIN_RSA_EXPONENT: u64 = 65_537;
/// The largest public exponent: 33 bits, the limit of `BoringSSL` and of the `rsa` crate; it bounds the time of a verification.
pub const MAX_RSA_EXPONENT: u64 = (1 << 33) - 1;

/// A public key that passed every check of this module; there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(Material);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Material {
    /// `0x04 || x || y`.
    Ec(Curve, Vec<u8>),
    /// Minimal big-endian integers.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ed25519([u8; 32]),
}

/// The numbers of a [`PublicKey`], for a backend.
#[derive(Clone, Copy, Debug)]
pub enum KeyMaterial<'a> {
    /// An elliptic curve point: on the curve, not the identity.
    Ec {
        /// The curve.
        curve: Curve,
        /// `0x04 || x || y` (SEC 1 section 2.3.3).
        sec1: &'a [u8],
    },
    /// An RSA key, both integers big-endian without leading zero octets.
    Rsa {
        /// The modulus.
        n: &'a [u8],
        /// The public exponent.
        e: &'a [u8],
    },
    /// An Ed25519 point: canonical, on the curve, not of small order.
    Ed25519(&'a [u8; 32]),
}

/// Why a key may not verify. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// The entry is not a JSON object, or a member has the wrong JSON type.
    Malformed,
    /// `kty` is missing or not RSA, EC or OKP.
    UnknownKeyType,
    /// `kty` is `oct`: a shared secret has no place in a set of public keys.
    Symmetric,
    /// The entry has private members.
    Private,
    /// `crv` is missing or unknown.
    UnknownCurve,
    /// `alg` is not an algorithm of Edgeseal.
    UnknownAlgorithm,
    /// `alg` is not an algorithm of this kind of key.
    AlgorithmMismatch,
    /// `use` is not `sig`.
    Use,
    /// `key_ops` is there and does not hold `verify`, repeats a value, or has more than 16 values.
    KeyOps,
    /// `kid` is longer than 256 bytes.
    KidTooLong,
    /// A number is missing, or is not canonical base64url of the right length.
    Encoding,
    /// The point is not on its curve, not canonical, or the identity.
    InvalidPoint,
    /// The point is of small order: everybody's signatures verify under it.
    SmallOrder,
    /// The modulus has fewer than 2048 or more than 8192 bits.
    ModulusSize,
    /// The modulus is even, or carries the ROCA fingerprint (CVE-2017-15361).
    WeakModulus,
    /// The exponent is even, below 65537 or above 33 bits.
    Exponent,
}

impl KeyProblem {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownKeyType => "unknown_key_type",
            Self::Symmetric => "symmetric",
            Self::Private => "private",
            Self::UnknownCurve => "unknown_curve",
            Self::UnknownAlgorithm => "unknown_algorithm",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::Use => "use",
            Self::KeyOps => "key_ops",
            Self::KidTooLong => "kid_too_long",
            Self::Encoding => "encoding",
            Self::InvalidPoint => "invalid_point",
            Self::SmallOrder => "small_order",
            Self::ModulusSize => "modulus_size",
            Self::WeakModulus => "weak_modulus",
            Self::Exponent => "exponent",
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "a member is missing or has the wrong JSON type",
            Self::UnknownKeyType => "kty is not RSA, EC or OKP",
            Self::Symmetric => "kty oct: a shared secret cannot be a public key",
            Self::Private => "the key has private members",
            Self::UnknownCurve => "crv is not P-256, P-384, P-521 or Ed25519",
            Self::UnknownAlgorithm => "alg is not an algorithm that Edgeseal verifies",
            Self::AlgorithmMismatch => "alg is not an algorithm of this kty and crv",
            Self::Use => "use is not sig",
            Self::KeyOps => "key_ops does not hold verify, repeats a value or has more than 16",
            Self::KidTooLong => "kid is longer than 256 bytes",
            Self::Encoding => "a number is missing or not canonical base64url of the right length",
            Self::InvalidPoint => "the point is not a valid point of the curve",
            Self::SmallOrder => "the point is of small order",
            Self::ModulusSize => "the modulus must have 2048 to 8192 bits",
            Self::WeakModulus => "the modulus is even or carries the ROCA fingerprint",
            Self::Exponent => "the exponent must be odd, at least 65537 and at most 33 bits",
        })
    }
}

impl core::error::Error for KeyProblem {}

impl From<KeyProblem> for VerifyError {
    /// A key that may not verify is no key: `key_not_found`, as when a set skips it.
    fn from(problem: KeyProblem) -> Self {
        Self::new(ErrorCode::KeyNotFound, Check::Key, alloc::format!("the key is not usable: {problem}"))
    }
}

/// Which keys are acceptable beyond the fixed rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    allow_exponent_3: bool,
}

impl KeyRules {
    /// Accepts RSA keys with the public exponent 3 too. Small exponents have made implementation faults exploitable
    /// (CVE-2006-4339); only for an issuer that cannot be moved.
    #[must_use]
    pub const fn dangerous_allow_rsa_exponent_3() -> Self {
        Self { allow_exponent_3: true }
    }
}

impl PublicKey {
    /// A point of a NIST curve, as `0x04 || x || y` (SEC 1 section 2.3.3).
    ///
    /// # Errors
    /// [`KeyProblem::Encoding`] for another length or form, [`KeyProblem::InvalidPoint`] off the curve.
    pub fn ec_from_sec1(curve: Curve, sec1: &[u8]) -> Result<Self, KeyProblem> {
        if sec1.len() != 1 + 2 * curve.coordinate_len() || sec1[0] != 0x04 {
            return Err(KeyProblem::Encoding);
        }
        let (x, y) = sec1[1..].split_at(curve.coordinate_len());
        if nist_curve::is_on_curve(curve, x, y) {
            Ok(Self(Material::Ec(curve, sec1.into())))
        } else {
            Err(KeyProblem::InvalidPoint)
        }
    }

    /// An RSA key of two big-endian integers; leading zero octets are dropped.
    ///
    /// # Errors
    /// [`KeyProblem::ModulusSize`], [`KeyProblem::WeakModulus`], [`KeyProblem::Exponent`].
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyProblem> {
        Self::rsa_with(n, e, KeyRules::default())
    }

    fn rsa_with(n: &[u8], e: &[u8], rules: KeyRules) -> Result<Self, KeyProblem> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyProblem::ModulusSize);
        }
        if n.last().is_none_or(|last| last % 2 == 0) || has_roca_fingerprint(n) {
            return Err(KeyProblem::WeakModulus);
        }
        let exponent = if e.len() <= 8 { e.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)) } else { u64::MAX };
        let in_range = (MIN_RSA_EXPONENT..=MAX_RSA_EXPONENT).contains(&exponent) || (exponent == 3 && rules.allow_exponent_3);
        if exponent % 2 == 0 || !in_range {
            return Err(KeyProblem::Exponent);
        }
        Ok(Self(Material::Rsa { n: n.into(), e: e.into() }))
    }

    /// An Ed25519 key, encoded as RFC 8032 section 5.1.2 says.
    ///
    /// # Errors
    /// [`KeyProblem::SmallOrder`], [`KeyProblem::InvalidPoint`].
    pub fn ed25519(encoded: &[u8; 32]) -> Result<Self, KeyProblem> {
        if is_small_order_point(encoded) {
            return Err(KeyProblem::SmallOrder);
        }
        if !is_canonical_point(encoded) || ed25519_dalek::VerifyingKey::from_bytes(encoded).is_err() {
            return Err(KeyProblem::InvalidPoint);
        }
        Ok(Self(Material::Ed25519(*encoded)))
    }

    /// The numbers, for a backend.
    pub fn material(&self) -> KeyMaterial<'_> {
        match &self.0 {
            Material::Ec(curve, sec1) => KeyMaterial::Ec { curve: *curve, sec1 },
            Material::Rsa { n, e } => KeyMaterial::Rsa { n, e },
            Material::Ed25519(encoded) => KeyMaterial::Ed25519(encoded),
        }
    }

    /// Whether `algorithm` is an algorithm of this kind of key.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        match (algorithm.scheme(), &self.0) {
            (Scheme::Ecdsa(curve, _), Material::Ec(of_key, _)) => curve == *of_key,
            (Scheme::RsaPkcs1(_) | Scheme::RsaPss(_), Material::Rsa { .. }) | (Scheme::Ed25519, Material::Ed25519(_)) => true,
            _ => false,
        }
    }

    /// The thumbprint of RFC 7638 section 3 (and RFC 8037 section 2), SHA-256, base64url: the `kid` of Edgeseal's own keys.
    pub fn thumbprint(&self) -> String {
        let mut text = String::from("{");
        for (index, (name, value)) in self.required_members().iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            // Names and values are base64url or fixed names: nothing needs an escape.
            text.extend(["\"", name, "\":\"", value, "\""]);
        }
        text.push('}');
        encode_base64url(&Sha256::digest(text.as_bytes()))
    }

    /// The members that RFC 7638 section 3.2 requires, in lexicographic order.
    fn required_members(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let encoded = |bytes: &[u8]| Cow::Owned(encode_base64url(bytes));
        match &self.0 {
            Material::Ec(curve, sec1) => {
                let (x, y) = sec1[1..].split_at(curve.coordinate_len());
                alloc::vec![("crv", curve.name().into()), ("kty", "EC".into()), ("x", encoded(x)), ("y", encoded(y))]
            }
            Material::Rsa { n, e } => alloc::vec![("e", encoded(e)), ("kty", "RSA".into()), ("n", encoded(n))],
            Material::Ed25519(x) => alloc::vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", encoded(x))],
        }
    }
}

/// A key that may verify signatures.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwk {
    key: PublicKey,
    kid: Option<String>,
    algorithm: Option<Algorithm>,
    expires_at: Option<NumericDate>,
}

impl Jwk {
    /// A key of one's own, to be published or to verify with.
    ///
    /// # Errors
    /// [`KeyProblem::AlgorithmMismatch`], [`KeyProblem::KidTooLong`].
    pub fn new(key: PublicKey, algorithm: Option<Algorithm>, kid: Option<String>) -> Result<Self, KeyProblem> {
        if algorithm.is_some_and(|algorithm| !key.fits(algorithm)) {
            return Err(KeyProblem::AlgorithmMismatch);
        }
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_LEN) {
            return Err(KeyProblem::KidTooLong);
        }
        Ok(Self { key, kid, algorithm, expires_at: None })
    }

    /// One JWK as JSON text.
    ///
    /// # Errors
    /// The [`KeyProblem`] that makes the key unusable.
    pub fn from_json(text: &str) -> Result<Self, KeyProblem> {
        let (_, members) = json::parse_object(text.as_bytes()).map_err(|_| KeyProblem::Malformed)?;
        Self::from_members(&members, KeyRules::default())
    }

    pub(crate) fn from_members(members: &Map<String, Value>, rules: KeyRules) -> Result<Self, KeyProblem> {
        let string = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.as_str())),
            Some(_) => Err(KeyProblem::Malformed),
        };
        let kty = string("kty")?.ok_or(KeyProblem::UnknownKeyType)?;
        match kty {
            "oct" => return Err(KeyProblem::Symmetric),
            "RSA" | "EC" | "OKP" => {}
            _ => return Err(KeyProblem::UnknownKeyType),
        }
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| members.contains_key(*name)) {
            return Err(KeyProblem::Private);
        }
        if string("use")?.is_some_and(|value| value != "sig") {
            return Err(KeyProblem::Use);
        }
        check_key_ops(members)?;
        let kid = string("kid")?;
        let algorithm = string("alg")?.map(|name| Algorithm::from_name(name).ok_or(KeyProblem::UnknownAlgorithm)).transpose()?;
        let number = |name: &str| string(name)?.and_then(decode_base64url).ok_or(KeyProblem::Encoding);
        let key = match kty {
            "RSA" => PublicKey::rsa_with(&number("n")?, &number("e")?, rules)?,
            "EC" => {
                let curve = string("crv")?.and_then(Curve::from_name).ok_or(KeyProblem::UnknownCurve)?;
                let (x, y) = (number("x")?, number("y")?);
                if x.len() != curve.coordinate_len() || y.len() != curve.coordinate_len() {
                    return Err(KeyProblem::Encoding);
                }
                PublicKey::ec_from_sec1(curve, &[&[0x04], x.as_slice(), &y].concat())?
            }
            _ => {
                if string("crv")? != Some("Ed25519") {
                    return Err(KeyProblem::UnknownCurve);
                }
                let x = number("x")?.try_into().map_err(|_| KeyProblem::Encoding)?;
                PublicKey::ed25519(&x)?
            }
        };
        // Most verifiers do not know a JWK's `exp`: one that is no NumericDate makes the key unusable only where it is asked for.
        let expires_at = members.get("exp").and_then(NumericDate::from_value);
        Ok(Self { expires_at, ..Self::new(key, algorithm, kid.map(String::from))? })
    }

    /// `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// `alg`: the one algorithm that the key may verify; without it, each that fits the key and that the policy allows.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// `exp` of the key itself (`OpenID` Federation 1.0 section 8.7.2), judged where the policy asks for it
    /// ([`crate::policy::PolicyBuilder::require_key_exp`]).
    pub fn expires_at(&self) -> Option<NumericDate> {
        self.expires_at
    }

    /// The public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The thumbprint of the public key (RFC 7638).
    pub fn thumbprint(&self) -> String {
        self.key.thumbprint()
    }

    /// Whether the key may verify tokens of this algorithm: by its type and curve, and by its own `alg` if it has one.
    pub fn verifies(&self, algorithm: Algorithm) -> bool {
        self.key.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The public members: the numbers, and `alg`, `exp`, `kid` and `use`.
    pub fn to_json(&self) -> String {
        let mut members = json::Members::new();
        for (name, value) in self.key.required_members() {
            members = members.with(name, &*value);
        }
        if let Some(algorithm) = self.algorithm {
            members = members.with("alg", algorithm.name());
        }
        if let Some(expires_at) = self.expires_at {
            members = members.with_json("exp", &json::to_string(&expires_at.to_value()));
        }
        if let Some(kid) = &self.kid {
            members = members.with("kid", kid);
        }
        members.with("use", "sig").end()
    }
}

/// `key_ops` (RFC 7517 section 4.3): an array of distinct strings, `verify` among them, and at most [`MAX_KEY_OPS`].
fn check_key_ops(members: &Map<String, Value>) -> Result<(), KeyProblem> {
    let Some(value) = members.get("key_ops") else { return Ok(()) };
    let Value::Array(operations) = value else { return Err(KeyProblem::Malformed) };
    if operations.iter().any(|operation| !operation.is_string()) {
        return Err(KeyProblem::Malformed);
    }
    let repeats = || operations.iter().enumerate().any(|(index, operation)| operations[..index].contains(operation));
    if operations.len() > MAX_KEY_OPS || repeats() || !operations.iter().any(|operation| operation == "verify") {
        return Err(KeyProblem::KeyOps);
    }
    Ok(())
}

fn without_leading_zeros(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    &integer[zeros..]
}

/// Whether the modulus was made by Infineon's `RSALib` (CVE-2017-15361, "The Return of Coppersmith's Attack", Nemec et al. 2017):
/// its primes are `k * M + (65537^a mod M)`, so modulo each prime factor of the primorial `M` the modulus is a power of 65537.
/// A random modulus passes all 38 tests with a probability below 2^-27.
fn has_roca_fingerprint(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
        127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let residue = n.iter().fold(0, |value, byte| (value << 8 | u32::from(*byte)) % prime);
        let generator = 65_537 % prime;
        let mut power = 1;
        // The powers repeat within `prime` steps.
        (0..*prime).any(|_| {
            power = power * generator % prime;
            power == residue
        })
    })
}
