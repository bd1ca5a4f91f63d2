//! What `crypto.subtle` is asked for a signature (Web Cryptography API, sections 14.3.4 and 14.3.9), and what its answer means.

use edgeseal_core::{
    Algorithm, Jwk, SignatureInvalid, SignatureValid,
    algorithm::{Hash, Scheme},
    backend::SignatureInput,
};

use crate::verify::{Answered, Backend};

/// The arguments of `importKey("jwk", …)` and the algorithm of `verify`, each as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyImport {
    /// The key: its numbers and `use` alone, as hosts differ on what they make of `alg` and `kid`.
    pub jwk: String,
    /// The algorithm that the key is imported for.
    pub import: String,
    /// The algorithm that signatures are verified with.
    pub verify: String,
}

impl KeyImport {
    /// How to import the key of a signature.
    pub fn of(input: &SignatureInput) -> Self {
        // A key without `alg` and `kid` cannot have the faults that those could have.
        let jwk = Jwk::new(input.key().public_key().clone(), None, None).map_or_else(|_| String::new(), |jwk| jwk.to_json());
        let (import, verify) = algorithms(input.algorithm());
        Self { jwk, import, verify }
    }

    /// All three as one JSON text: `{"jwk", "import", "verify"}`.
    pub fn to_json(&self) -> String {
        let Self { jwk, import, verify } = self;
        format!(r#"{{"jwk":{jwk},"import":{import},"verify":{verify}}}"#)
    }
}

impl Answered {
    /// What `crypto.subtle.verify` said of exactly the key, message and signature of a pending token.
    pub fn by_web_crypto(valid: bool) -> Self {
        let result = if valid { Ok(SignatureValid::assertion()) } else { Err(SignatureInvalid) };
        Self { backend: Backend::WebCrypto, result }
    }
}

fn algorithms(algorithm: Algorithm) -> (String, String) {
    match algorithm.scheme() {
        Scheme::Ecdsa(curve, hash) => {
            let (curve, hash) = (curve.name(), hash_name(hash));
            (format!(r#"{{"name":"ECDSA","namedCurve":"{curve}"}}"#), format!(r#"{{"name":"ECDSA","hash":"{hash}"}}"#))
        }
        Scheme::RsaPkcs1(hash) => {
            let hash = hash_name(hash);
            (format!(r#"{{"name":"RSASSA-PKCS1-v1_5","hash":"{hash}"}}"#), r#"{"name":"RSASSA-PKCS1-v1_5"}"#.into())
        }
        Scheme::RsaPss(hash) => {
            let (hash, salt) = (hash_name(hash), hash.digest_len());
            (format!(r#"{{"name":"RSA-PSS","hash":"{hash}"}}"#), format!(r#"{{"name":"RSA-PSS","saltLength":{salt}}}"#))
        }
        Scheme::Ed25519 => (r#"{"name":"Ed25519"}"#.into(), r#"{"name":"Ed25519"}"#.into()),
    }
}

const fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha256 => "SHA-256",
        Hash::Sha384 => "SHA-384",
        Hash::Sha512 => "SHA-512",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_asked_for_as_json() {
        for algorithm in Algorithm::ALL {
            let (import, verify) = algorithms(algorithm);
            let [import, verify] =
                [import, verify].map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default());
            assert!(import["name"].is_string(), "{algorithm}");
            assert_eq!(import["name"], verify["name"], "{algorithm}");
        }
        assert_eq!(
            algorithms(Algorithm::Ps384),
            (r#"{"name":"RSA-PSS","hash":"SHA-384"}"#.to_owned(), r#"{"name":"RSA-PSS","saltLength":48}"#.to_owned())
        );
    }
}
