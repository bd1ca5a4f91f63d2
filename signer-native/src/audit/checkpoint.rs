//! PURE. Checkpoints: how far each chain has come, signed by the audit key.
//!
//! A checkpoint is a compact JWS (RFC 7515) of [`TYP`]. It names its number, the hash of the checkpoint before it, and for every
//! chain that grew since then the number and the hash of its last row. Whoever keeps one elsewhere can prove of any later
//! export that nothing before it was changed or cut off.

use edgeseal_core::{Algorithm, Jwk, Timestamp, UnsignedToken, UnverifiedToken, json};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{chain, encode, moment};

/// `typ` of a checkpoint: no verifier of tokens takes it for one.
pub const TYP: &str = "edgeseal-audit-checkpoint+jwt";

/// What a checkpoint says of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The chain.
    pub chain: String,
    /// The number of its last row.
    pub seq: u64,
    /// The hash of that row.
    pub hash: String,
}

/// A checkpoint whose signature is not known to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub id: u64,
    /// The hash of the checkpoint before it; [`chain::GENESIS`] for the first.
    pub prev: String,
    /// When it was made, as it says (RFC 3339).
    pub at: String,
    /// The chains that grew since the one before it.
    pub chains: Vec<Statement>,
    /// `kid` of the key that it says signed it.
    pub kid: String,
    algorithm: Algorithm,
}

/// A checkpoint to be signed: the one after the checkpoint with this number and hash.
///
/// # Errors
/// In words, when it would become larger than a token may be.
pub fn unsigned(
    algorithm: Algorithm,
    kid: &str,
    last: Option<(u64, &str)>,
    at: Timestamp,
    chains: &[Statement],
) -> Result<UnsignedToken, String> {
    let mut claims = Map::new();
    claims.insert("id".to_owned(), last.map_or(1, |(id, _)| id + 1).into());
    claims.insert("prev".to_owned(), last.map_or_else(|| chain::GENESIS.to_owned(), |(_, hash)| hash.to_owned()).into());
    claims.insert("at".to_owned(), moment(at).into());
    let chains = chains.iter().map(|Statement { chain, seq, hash }| serde_json::json!([chain, seq, hash])).collect();
    claims.insert("chains".to_owned(), Value::Array(chains));
    UnsignedToken::new(algorithm, kid, Some(TYP), &json::to_string(&Value::Object(claims)))
        .map_err(|error| format!("the checkpoint cannot be written: {error}"))
}

/// The hash by which the next checkpoint names this one.
pub fn hash(document: &str) -> String {
    encode(&Sha256::digest(document.as_bytes()))
}

impl Checkpoint {
    /// Reads one, without a look at its signature.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(document: &str) -> Result<Self, String> {
        let token = UnverifiedToken::parse(document).map_err(|error| error.to_string())?;
        let header = token.header();
        if header.typ() != Some(TYP) {
            return Err(format!("its typ is {:?}, and that of a checkpoint is {TYP}", header.typ().unwrap_or_default()));
        }
        let kid = header.kid().ok_or("its header has no kid")?.to_owned();
        let algorithm = Algorithm::from_name(header.algorithm()).ok_or("its algorithm is not known")?;
        let payload = token.unverified_payload().ok_or("its payload is no text")?;
        let (_, claims) = json::parse_object(payload.as_bytes()).map_err(|error| format!("its payload: {error}"))?;
        let text = |name: &str| {
            let value = claims.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            value.ok_or_else(|| format!("its {name} is no text"))
        };
        let statement = |value: &Value| match value.as_array()?.as_slice() {
            [Value::String(chain), Value::Number(seq), Value::String(hash)] => {
                Some(Statement { chain: chain.clone(), seq: seq.as_u64()?, hash: hash.clone() })
            }
            _ => None,
        };
        let chains = claims.get("chains").and_then(Value::as_array).ok_or("its chains are no array")?;
        Ok(Self {
            id: claims.get("id").and_then(Value::as_u64).ok_or("its id is no number")?,
            prev: text("prev")?,
            at: text("at")?,
            chains: chains.iter().map(statement).collect::<Option<_>>().ok_or("its chains are malformed")?,
            kid,
            algorithm,
        })
    }

    /// Whether this key made the signature of the document that this was read from.
    ///
    /// # Errors
    /// In words, when it did not.
    pub fn verify(&self, document: &str, key: &Jwk) -> Result<(), String> {
        let refused = |reason: &dyn std::fmt::Display| format!("its signature does not verify: {reason}");
        let (signing_input, signature) = document.rsplit_once('.').ok_or("it has no signature")?;
        let signature = {
            use base64ct::{Base64UrlUnpadded, Encoding as _};
            Base64UrlUnpadded::decode_vec(signature).map_err(|error| refused(&error))?
        };
        key.verify_signature(self.algorithm, signing_input.as_bytes(), &signature).map_err(|error| refused(&error))
    }
}
