//! PURE. What the agent makes of an application's claims before anything leaves the machine.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    Algorithm, Timestamp, UnsignedToken,
    algorithm::{Hash, Scheme},
    sd::NEVER_DISCLOSED,
};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::issue::{
    Agent, Denial, Mode, Profile, Request,
    policy::{self, MAX_DIGESTS, SD_MEMBERS},
};

/// Claims that stay in clear in [`Mode::Sd`] without being asked for: the registered ones that a caller may set.
pub const CLEAR: [&str; 2] = ["sub", "vct"];

/// Claims with the private ones replaced by digests.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    /// What may leave.
    pub claims: Map<String, Value>,
    /// What must not, as RFC 9901 section 4.2.1 writes it; presented together with the token.
    pub disclosures: Vec<String>,
}

/// Replaces every claim by a salted digest that is neither in [`CLEAR`] nor in `clear`. `salt` gives 128 fresh random bits as
/// base64url each time (RFC 9901 section 9.3).
///
/// # Errors
/// When there is nothing to hide, or too much; when a claim, hidden or not, holds what a verifier would take for digests; or
/// `salt`'s.
pub fn hide(
    claims: Map<String, Value>,
    clear: &[String],
    mut salt: impl FnMut() -> Result<String, String>,
) -> Result<Hidden, String> {
    if let Some(name) = claims.keys().find(|name| SD_MEMBERS.contains(&name.as_str())) {
        return Err(format!("claim {name} belongs to selective disclosure itself (RFC 9901 section 4.2)"));
    }
    // Also behind a digest: a verifier looks into what is disclosed as well, and refuses or drops it there.
    if let Some((name, _)) = claims.iter().find(|(_, value)| policy::conveys_digests(value)) {
        return Err(format!(
            "claim {name} holds _sd, _sd_alg or ..., which belong to selective disclosure itself (RFC 9901 section 4.1)"
        ));
    }
    let is_clear = |name: &String| CLEAR.contains(&name.as_str()) || clear.contains(name);
    let (kept, private): (Vec<_>, Vec<_>) = claims.into_iter().partition(|(name, _)| is_clear(name));
    if let Some((name, _)) = private.iter().find(|(name, _)| NEVER_DISCLOSED.contains(&name.as_str())) {
        return Err(format!("claim {name} may not be hidden (RFC 9901 section 9.7); name it in clear"));
    }
    if private.is_empty() {
        return Err("no claim is private, so there is nothing to hide; ask for mode claims".to_owned());
    }
    if private.len() > MAX_DIGESTS {
        return Err(format!("{} claims are private, at most {MAX_DIGESTS} can be", private.len()));
    }
    let mut hidden = Hidden { claims: kept.into_iter().collect(), disclosures: Vec::with_capacity(private.len()) };
    let mut digests = Vec::with_capacity(private.len());
    for (name, value) in private {
        let disclosure = Base64UrlUnpadded::encode_string(json!([salt()?, name, value]).to_string().as_bytes());
        digests.push(Base64UrlUnpadded::encode_string(&Sha256::digest(&disclosure)));
        hidden.disclosures.push(disclosure);
    }
    // RFC 9901 section 4.2.4.1: the order must not tell which digest is whose.
    digests.sort_unstable();
    hidden.claims.insert("_sd".to_owned(), digests.into());
    hidden.claims.insert("_sd_alg".to_owned(), "sha-256".into());
    Ok(hidden)
}

/// A digest key of this agent, as the signer tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestKey {
    /// Its issuer, which is this agent's alone.
    pub issuer: String,
    /// Its `kid`.
    pub kid: String,
    /// Its public JWK, with `exp`.
    pub jwk: String,
    /// When it ends; no token may outlive it.
    pub not_after: Timestamp,
}

/// A token that lacks its signature, and what the signer gets to see of it.
#[derive(Debug)]
pub struct Sealed {
    /// The token.
    pub unsigned: UnsignedToken,
    /// The digest of its signing input.
    pub digest: String,
    /// What is declared about it: no more than registered claims without a subject.
    pub declared: Map<String, Value>,
    /// Its `exp`.
    pub expires_at: Timestamp,
    /// Its audiences.
    pub audience: Vec<String>,
}

/// Builds a token in [`Mode::Digest`] under the profile's rules, which here only this agent can enforce.
///
/// # Errors
/// The rule that the request breaks.
pub fn seal(
    agent: &Agent,
    profile: &Profile,
    key: &DigestKey,
    request: Request,
    now: Timestamp,
    jwt_id: &str,
) -> Result<Sealed, String> {
    let hash = hash_of(profile.algorithm).ok_or_else(|| format!("{} signs no digests", profile.algorithm))?;
    let visible = Profile { modes: vec![Mode::Claims], max_session: None, ..profile.clone() };
    let request = Request { mode: Mode::Claims, ..request };
    let grant =
        policy::decide(&key.issuer, agent, &visible, request, now, jwt_id).map_err(|denial: Denial| denial.to_string())?;
    let (mut claims, mut expires_at) = (grant.claims, grant.expires_at);
    if expires_at > key.not_after {
        expires_at = key.not_after;
        claims.insert("exp".to_owned(), expires_at.as_secs().into());
    }
    if expires_at <= now {
        return Err("the digest key has ended".to_owned());
    }
    let declared = ["aud", "iat", "exp", "jti"].into_iter();
    let declared = declared.filter_map(|name| Some((name.to_owned(), claims.get(name)?.clone()))).collect();
    let claims = Value::Object(claims).to_string();
    let unsigned = UnsignedToken::new(profile.algorithm, &key.kid, profile.typ.as_deref(), &claims)
        .map_err(|error| format!("no verifier would accept these claims: {}", error.detail()))?;
    let digest = Base64UrlUnpadded::encode_string(&digest(hash, unsigned.signing_input()));
    Ok(Sealed { unsigned, digest, declared, expires_at, audience: grant.audience })
}

/// The hash that an algorithm signs the digest of.
pub fn hash_of(algorithm: Algorithm) -> Option<Hash> {
    match algorithm.scheme() {
        Scheme::Ecdsa(_, hash) | Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => Some(hash),
        Scheme::Ed25519 => None,
    }
}

fn digest(hash: Hash, message: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => Sha256::digest(message).to_vec(),
        Hash::Sha384 => Sha384::digest(message).to_vec(),
        Hash::Sha512 => Sha512::digest(message).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issue::Lifetime;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("not an object") };
        members
    }

    #[test]
    fn nothing_private_leaves() {
        let mut count = 0;
        let salt = || {
            count += 1;
            Ok(format!("salt-{count}"))
        };
        let claims =
            object(json!({ "sub": "alice", "scope": "read", "email": "alice@example.com", "address": { "city": "Seoul" } }));
        let hidden = hide(claims, &["scope".to_owned()], salt).unwrap();
        let leaves = Value::Object(hidden.claims.clone()).to_string();
        for private in ["email", "alice@example.com", "address", "Seoul", "salt"] {
            assert!(!leaves.contains(private), "{leaves}");
        }
        assert_eq!((&hidden.claims["sub"], &hidden.claims["scope"]), (&json!("alice"), &json!("read")));
        let digests: Vec<&str> = hidden.claims["_sd"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        assert!(digests.is_sorted());
        for disclosure in &hidden.disclosures {
            assert!(digests.contains(&Base64UrlUnpadded::encode_string(&Sha256::digest(disclosure)).as_str()));
        }
        assert!(hide(object(json!({ "sub": "alice" })), &[], || Ok(String::new())).is_err());
    }

    #[test]
    fn nothing_is_hidden_that_verifiers_would_take_for_digests() {
        let refusal =
            |claims: Value, clear: &str| hide(object(claims), &[clear.to_owned()], || Ok("salt".to_owned())).unwrap_err();
        for value in [
            json!({ "_sd": ["x"], "a": 1 }),
            json!({ "_sd_alg": "x" }),
            json!({ "...": 1 }),
            json!(["a", { "...": "x" }]),
            json!({ "deeper": [{ "_sd": [] }] }),
        ] {
            for clear in ["", "doc"] {
                let said = refusal(json!({ "email": "x", "doc": value }), clear);
                assert!(said.contains("claim doc"), "{said}");
            }
        }
        for name in SD_MEMBERS {
            assert!(refusal(json!({ "email": "x", name: ["x"] }), name).contains(name));
        }
        // As a value, or as a part of a name, it is a text like any other.
        assert!(hide(object(json!({ "email": "_sd", "doc": { "_sda": "..." } })), &[], || Ok("salt".to_owned())).is_ok());
    }

    #[test]
    fn a_sealed_token_keeps_to_the_profile_and_to_its_key() {
        let now = Timestamp::from_secs(1_750_000_000);
        let profile = Profile {
            name: "default".to_owned(),
            algorithm: Algorithm::Es384,
            rsa_bits: 2_048,
            default_lifetime: Lifetime(600),
            max_lifetime: Lifetime(900),
            audiences: vec!["https://api.example.com".to_owned()],
            typ: Some("JWT".to_owned()),
            modes: vec![Mode::Digest],
            max_session: None,
        };
        let agent = Agent { name: "app".to_owned(), profiles: vec!["default".to_owned()], ..Agent::default() };
        let key = DigestKey {
            issuer: "https://signer.example.com/agents/app".to_owned(),
            kid: "k".to_owned(),
            jwk: String::new(),
            not_after: now.plus_secs(300),
        };
        let request = |claims| Request { claims: object(claims), ..Request::default() };
        let sealed = seal(&agent, &profile, &key, request(json!({ "sub": "alice" })), now, "id").unwrap();
        assert_eq!(sealed.expires_at, now.plus_secs(300), "no longer than the key");
        assert_eq!(
            Value::Object(sealed.declared),
            json!({ "aud": "https://api.example.com", "iat": 1_750_000_000, "exp": 1_750_000_300, "jti": "id" })
        );
        assert_eq!(Base64UrlUnpadded::decode_vec(&sealed.digest).unwrap(), digest(Hash::Sha384, sealed.unsigned.signing_input()));
        let long = Request { ttl: Some(Lifetime(901)), ..request(json!({})) };
        assert!(seal(&agent, &profile, &key, long, now, "id").unwrap_err().contains("at most 15m"));
        assert!(seal(&agent, &profile, &key, request(json!({ "iss": "x" })), now, "id").is_err());
        assert!(seal(&agent, &profile, &key, request(json!({})), now.plus_secs(300), "id").is_err());
    }
}
