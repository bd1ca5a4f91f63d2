//! Presentations of SD-JWTs, properly signed: what core makes of the disclosures against an independent reading of RFC 9901.
//!
//! Octets: one of policy, then parts between NULs: the claims set, disclosures, and where the policy octet says so the claims of a
//! key-binding JWT. In all of them `"#0"` to `"#9"` stand for the digests of the disclosures, `"#jwk"` for the holder's key and
//! `"#hash"` for the digest of the presentation, so that a fuzzer can write what refers to itself.

use std::{collections::BTreeMap, sync::LazyLock};

use ed25519_dalek::{Signer as _, SigningKey};
use edgeseal_core::{
    Algorithm, IssuerSettings, Jwk, JwkSet, PublicKey, Timestamp, UnverifiedToken, Verifier,
    backend::rustcrypto::RustCrypto,
    policy::{DangerousSettings, OneOrMany},
    sd::{KeyBinding, SdJwtSettings},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::oracle::{Json, member, to_base64url};

const NOW: u64 = 1_750_000_000;
const NEVER: [&str; 8] = ["iss", "aud", "exp", "nbf", "cnf", "vct", "vct#integrity", "status"];

static ISSUER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[9; 32]));
static HOLDER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[5; 32]));
static KEYS: LazyLock<JwkSet> = LazyLock::new(|| {
    let key = PublicKey::ed25519(&ISSUER.verifying_key().to_bytes()).unwrap();
    JwkSet::from_keys([Jwk::new(key, None, None).unwrap()])
});

pub fn run(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let flag = |bit: u8| flags >> bit & 1 == 1;
    let mut parts: Vec<String> = Vec::new();
    for part in rest.split(|octet| *octet == 0) {
        let Ok(part) = std::str::from_utf8(part) else { return };
        parts.push(part.replace("\"#jwk\"", &jwk(&HOLDER)));
    }
    if parts.len() > 12 || rest.len() > 3_000 {
        return;
    }
    let proof = (flag(0) && parts.len() > 1).then(|| parts.pop().unwrap());
    let hash = if parts[0].contains("sha-512") {
        "sha-512"
    } else if parts[0].contains("sha-384") {
        "sha-384"
    } else {
        "sha-256"
    };

    // Later disclosures first, as the earlier ones may refer to them.
    let mut disclosures = vec![String::new(); parts.len() - 1];
    for index in (0..disclosures.len()).rev() {
        disclosures[index] = to_base64url(referring(&parts[index + 1], hash, &disclosures, index + 1).as_bytes());
    }
    let claims = referring(&parts[0], hash, &disclosures, 0);
    if Json::read(claims.as_bytes()).is_none_or(|(_, remarks)| remarks.disputed || remarks.depth > 20) {
        return;
    }
    if parts[1..]
        .iter()
        .any(|part| Json::read(part.as_bytes()).is_some_and(|(_, remarks)| remarks.disputed || remarks.depth > 20))
    {
        return;
    }

    let mut presentation = jws(&ISSUER, "{\"alg\":\"EdDSA\"}", &claims) + "~";
    for disclosure in &disclosures {
        presentation += disclosure;
        presentation.push('~');
    }
    let sd_hash = digest(hash, &presentation);
    let mut compact = presentation;
    let proof = proof.map(|proof| referring(&proof, hash, &disclosures, 0).replace("#hash", &sd_hash));
    if let Some(proof) = &proof {
        compact += &jws(&HOLDER, "{\"alg\":\"EdDSA\",\"typ\":\"kb+jwt\"}", proof);
    }

    let settings = IssuerSettings {
        audience: Some(OneOrMany::One("a".into())),
        algorithms: vec![Algorithm::EdDsa],
        sd_jwt: Some(SdJwtSettings::new(if flag(1) { KeyBinding::Required } else { KeyBinding::WhereBound })),
        dangerous: Some(DangerousSettings { skip_issuer: true, allow_missing_exp: true, ..DangerousSettings::default() }),
        ..IssuerSettings::default()
    };
    let verifier = Verifier::new(settings.policy().unwrap());
    let ours = UnverifiedToken::parse(&compact)
        .and_then(|token| verifier.verify_with(&RustCrypto, token.with_nonce("n"), &KEYS, Timestamp::from_secs(NOW)));
    let expected = disclosed(&claims, &disclosures, hash);
    match (&ours, &expected) {
        (Err(error), Some(_)) => assert_ne!(error.code().as_str(), "disclosure_invalid", "{error}: {compact}"),
        (Ok(_), None) => panic!("disclosures accepted: {claims} {:?}", &parts[1..]),
        (Ok(token), Some(expected)) => {
            assert!(Json::Object(expected.clone()).equals(&Value::Object(token.claims().members().clone())));
            let bound = member(expected, "cnf").is_some();
            assert_eq!(bound, proof.is_some());
            assert!(bound || !flag(1));
            if let Some(proof) = proof {
                let proof = Json::strict_object(proof.as_bytes()).expect("a claims set");
                let text = |name: &str| member(&proof, name).and_then(Json::as_str);
                assert_eq!((text("nonce"), text("aud"), text("sd_hash")), (Some("n"), Some("a"), Some(sd_hash.as_str())));
            }
        }
        (Err(_), None) => {}
    }
}

fn jwk(key: &SigningKey) -> String {
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, to_base64url(&key.verifying_key().to_bytes()))
}

fn jws(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", to_base64url(header.as_bytes()), to_base64url(payload.as_bytes()));
    format!("{input}.{}", to_base64url(&key.sign(input.as_bytes()).to_bytes()))
}

fn referring(text: &str, hash: &str, disclosures: &[String], from: usize) -> String {
    let mut text = text.to_owned();
    for (index, disclosure) in disclosures.iter().enumerate().skip(from).take(10) {
        text = text.replace(&format!("\"#{index}\""), &format!("\"{}\"", digest(hash, disclosure)));
    }
    text
}

fn digest(hash: &str, text: &str) -> String {
    match hash {
        "sha-512" => to_base64url(&Sha512::digest(text)),
        "sha-384" => to_base64url(&Sha384::digest(text)),
        _ => to_base64url(&Sha256::digest(text)),
    }
}

/// The claims after disclosure (RFC 9901 section 7.1, as `core/src/sd.rs` narrows it), or `None` where they must be refused.
fn disclosed(claims: &str, disclosures: &[String], guessed: &str) -> Option<Vec<(String, Json)>> {
    let mut members = Json::strict_object(claims.as_bytes())?;
    match take(&mut members, "_sd_alg") {
        None if guessed == "sha-256" => {}
        Some(Json::String(name)) if name == guessed => {}
        // The name stood somewhere else: a token without `_sd_alg` is hashed with SHA-256, and the digests here were not.
        None => return disclosed_with(members, disclosures, "sha-256"),
        Some(Json::String(name)) if ["sha-256", "sha-384", "sha-512"].contains(&name.as_str()) => {
            return disclosed_with(members, disclosures, &name);
        }
        Some(_) => return None,
    }
    disclosed_with(members, disclosures, guessed)
}

fn disclosed_with(members: Vec<(String, Json)>, disclosures: &[String], hash: &str) -> Option<Vec<(String, Json)>> {
    let mut reading = Reading { unused: BTreeMap::new(), seen: Vec::new() };
    for disclosure in disclosures {
        if reading.unused.insert(digest(hash, disclosure), disclosure.clone()).is_some() {
            return None;
        }
    }
    let members = reading.object(members, true, false)?;
    reading.unused.is_empty().then_some(members)
}

struct Reading {
    unused: BTreeMap<String, String>,
    seen: Vec<String>,
}

impl Reading {
    fn object(&mut self, mut members: Vec<(String, Json)>, top: bool, fixed: bool) -> Option<Vec<(String, Json)>> {
        if member(&members, "...").is_some() || member(&members, "_sd_alg").is_some() {
            return None;
        }
        match take(&mut members, "_sd") {
            None => {}
            Some(Json::Array(digests)) => {
                for digest in digests {
                    let Some(content) = self.follow(&digest, fixed)? else { continue };
                    let [Json::String(_), Json::String(name), value] = content.as_slice() else { return None };
                    let reserved = ["_sd", "...", "_sd_alg"].contains(&name.as_str());
                    if reserved || top && NEVER.contains(&name.as_str()) || member(&members, name).is_some() {
                        return None;
                    }
                    members.push((name.clone(), value.clone()));
                }
            }
            Some(_) => return None,
        }
        members
            .into_iter()
            .map(|(name, value)| {
                let fixed = fixed || top && NEVER.contains(&name.as_str());
                Some((name, self.value(value, fixed)?))
            })
            .collect()
    }

    fn value(&mut self, value: Json, fixed: bool) -> Option<Json> {
        match value {
            Json::Object(members) => self.object(members, false, fixed).map(Json::Object),
            Json::Array(elements) => {
                let mut kept = Vec::new();
                for element in elements {
                    match &element {
                        Json::Object(members) if member(members, "...").is_some() => {
                            let [(_, digest)] = members.as_slice() else { return None };
                            let Some(content) = self.follow(digest, fixed)? else { continue };
                            let [Json::String(_), value] = content.as_slice() else { return None };
                            kept.push(self.value(value.clone(), fixed)?);
                        }
                        _ => kept.push(self.value(element, fixed)?),
                    }
                }
                Some(Json::Array(kept))
            }
            plain => Some(plain),
        }
    }

    /// What a digest stands for: `None` to refuse, `Some(None)` where nobody disclosed it.
    #[allow(clippy::option_option, reason = "refused, withheld, disclosed")]
    fn follow(&mut self, digest: &Json, fixed: bool) -> Option<Option<Vec<Json>>> {
        let digest = digest.as_str()?.to_owned();
        if fixed || self.seen.contains(&digest) {
            return None;
        }
        let disclosure = self.unused.remove(&digest);
        self.seen.push(digest);
        let Some(disclosure) = disclosure else { return Some(None) };
        let content = super::oracle::base64url(&disclosure)?;
        match Json::read(&content)? {
            (Json::Array(elements), remarks) if !remarks.duplicate => Some(Some(elements)),
            _ => None,
        }
    }
}

fn take(members: &mut Vec<(String, Json)>, name: &str) -> Option<Json> {
    let position = members.iter().position(|(own, _)| own == name)?;
    Some(members.remove(position).1)
}
