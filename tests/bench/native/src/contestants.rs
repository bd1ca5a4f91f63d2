//! Who is measured natively. As on the JavaScript hosts each finds the key by the token's kid, verifies the signature, checks issuer,
//! audience, algorithm and times, and returns the claims; `aws-lc-rs` alone only verifies and decodes.

use std::{
    collections::{HashMap, HashSet},
    hint::black_box,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::ParsedPublicKey;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, JwkSet, Policy, Timestamp, UnverifiedToken, Verifier};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk};
use serde_json::{Map, Value};

use crate::{Fixture, backend::Native};

/// Verifies tokens of one issuer.
pub(crate) trait Contestant: Sync {
    /// Says why not; the claims are read and dropped.
    fn verify(&self, token: &str) -> Result<(), String>;
}

pub(crate) fn names(algorithm: &str) -> Vec<&'static str> {
    let mut names = vec!["edgeseal", "aws-lc-rs"];
    if algorithm.parse::<jsonwebtoken::Algorithm>().is_ok() {
        names.push("jsonwebtoken");
    }
    names
}

pub(crate) fn open(name: &str, algorithm: &str, fixture: &Fixture) -> Result<Box<dyn Contestant>, String> {
    match name {
        "edgeseal" => Edgeseal::open(algorithm, fixture),
        "jsonwebtoken" => JsonWebToken::open(algorithm, fixture),
        "aws-lc-rs" => AwsLc::open(algorithm, fixture),
        other => Err(format!("no contestant {other}")),
    }
}

struct Edgeseal {
    verifier: Verifier,
    keys: JwkSet,
    backend: Native,
}

impl Edgeseal {
    fn open(algorithm: &str, fixture: &Fixture) -> Result<Box<dyn Contestant>, String> {
        let algorithm = Algorithm::from_name(algorithm).ok_or("no such algorithm")?;
        let policy = Policy::builder().issuer(&fixture.issuer).audience(&fixture.audience).algorithms([algorithm]).build();
        let keys = JwkSet::from_json(&fixture.jwks.to_string()).map_err(|error| error.to_string())?;
        Ok(Box::new(Self { verifier: Verifier::new(policy), keys, backend: Native::default() }))
    }
}

impl Contestant for Edgeseal {
    fn verify(&self, token: &str) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let token = UnverifiedToken::parse(token).map_err(|error| error.to_string())?;
        let verified = self.verifier.verify_with(&self.backend, token, &self.keys, Timestamp::from_secs(now.as_secs()));
        black_box(verified.map_err(|error| error.to_string())?.claims());
        Ok(())
    }
}

struct JsonWebToken {
    keys: HashMap<String, DecodingKey>,
    validation: Validation,
}

impl JsonWebToken {
    fn open(algorithm: &str, fixture: &Fixture) -> Result<Box<dyn Contestant>, String> {
        let set: jwk::JwkSet = serde_json::from_value(fixture.jwks.clone()).map_err(|error| error.to_string())?;
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let kid = jwk.common.key_id.clone().ok_or("a key without kid")?;
            keys.insert(kid, DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?);
        }
        let mut validation = Validation::new(algorithm.parse().map_err(|_| "no such algorithm")?);
        validation.set_issuer(&[&fixture.issuer]);
        validation.set_audience(&[&fixture.audience]);
        validation.validate_nbf = true;
        validation.required_spec_claims = HashSet::from(["exp", "iss", "aud"].map(str::to_owned));
        Ok(Box::new(Self { keys, validation }))
    }
}

impl Contestant for JsonWebToken {
    fn verify(&self, token: &str) -> Result<(), String> {
        let kid = decode_header(token).map_err(|error| error.to_string())?.kid.ok_or("no kid")?;
        let key = self.keys.get(&kid).ok_or("no key")?;
        let decoded = decode::<Map<String, Value>>(token, key, &self.validation).map_err(|error| error.to_string())?;
        black_box(decoded.claims);
        Ok(())
    }
}

struct AwsLc {
    key: ParsedPublicKey,
}

impl AwsLc {
    fn open(algorithm: &str, fixture: &Fixture) -> Result<Box<dyn Contestant>, String> {
        use aws_lc_rs::signature as aws;

        let jwk = &fixture.jwks["keys"][0];
        let number = |name: &str| Base64UrlUnpadded::decode_vec(jwk[name].as_str().unwrap_or_default()).map_err(|_| "a number of the key");
        let rsa = |parameters| aws::RsaPublicKeyComponents { n: number("n")?, e: number("e")? }.to_parsed_public_key(parameters).map_err(|_| "the key");
        let ec = |parameters| ParsedPublicKey::new(parameters, [vec![4], number("x")?, number("y")?].concat()).map_err(|_| "the key");
        let key = match algorithm {
            "ES256" => ec(&aws::ECDSA_P256_SHA256_FIXED)?,
            "ES384" => ec(&aws::ECDSA_P384_SHA384_FIXED)?,
            "ES512" => ec(&aws::ECDSA_P521_SHA512_FIXED)?,
            "RS256" => rsa(&aws::RSA_PKCS1_2048_8192_SHA256)?,
            "RS512" => rsa(&aws::RSA_PKCS1_2048_8192_SHA512)?,
            "PS256" => rsa(&aws::RSA_PSS_2048_8192_SHA256)?,
            "EdDSA" => ParsedPublicKey::new(&aws::ED25519, number("x")?).map_err(|_| "the key")?,
            _ => return Err("no such algorithm".into()),
        };
        Ok(Box::new(Self { key }))
    }
}

impl Contestant for AwsLc {
    fn verify(&self, token: &str) -> Result<(), String> {
        let (input, signature) = token.rsplit_once('.').ok_or("no signature")?;
        let signature = Base64UrlUnpadded::decode_vec(signature).map_err(|error| error.to_string())?;
        self.key.verify_sig(input.as_bytes(), &signature).map_err(|_| "invalid")?;
        let payload = input.split_once('.').ok_or("no payload")?.1;
        let payload = Base64UrlUnpadded::decode_vec(payload).map_err(|error| error.to_string())?;
        black_box(serde_json::from_slice::<Map<String, Value>>(&payload).map_err(|error| error.to_string())?);
        Ok(())
    }
}
