//! Corpus lines: what a verifier is given, and what it must say.

use std::fmt::Write as _;

use base64ct::{Base64UrlUnpadded, Encoding};

/// What the verifier must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The token or signature is good.
    Accept,
    /// It is not, with this code where the code is known.
    Reject(Option<&'static str>),
    /// The specifications leave it open; the hosts must agree all the same.
    Any,
}

/// How far a vector reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Every verifier must answer so, or it has a hole.
    Must,
    /// Edgeseal is stricter than the letter of the RFC.
    Strict,
    /// The answer follows from the line's policy.
    Policy,
}

impl Tier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Strict => "strict",
            Self::Policy => "policy",
        }
    }
}

/// What a line gives to the verifier. Members named `json` hold JSON text that is written as it stands, so that a line can
/// carry duplicate members.
#[derive(Clone, Debug)]
pub enum Body {
    /// A token to verify.
    Token {
        /// The compact serialization, or whatever is sent in its place.
        token: String,
        /// JSON text of the JWK Set.
        jwks: String,
        /// JSON text of the array of algorithm names.
        alg_allow: String,
        /// JSON text of the time, in seconds.
        now: String,
        /// JSON text of the policy.
        policy: String,
    },
    /// A bare signature to verify.
    Signature {
        /// `alg`.
        alg: String,
        /// JSON text of the JWK.
        jwk: String,
        /// The message.
        message: Vec<u8>,
        /// The signature.
        signature: Vec<u8>,
    },
    /// A line that is not a corpus line at all.
    Raw(Vec<u8>),
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Unique in the corpus.
    pub id: String,
    /// The subject.
    pub group: String,
    /// How far it reaches.
    pub tier: Tier,
    /// Why it exists.
    pub why: String,
    /// What the verifier must answer.
    pub expect: Expect,
    /// What it is given.
    pub body: Body,
}

impl Line {
    /// The line, without the newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut line = String::from("{\"id\":");
        line.push_str(&json_string(&self.id));
        match &self.body {
            Body::Token { token, jwks, alg_allow, now, policy } => {
                let token = json_string(token);
                write!(line, ",\"token\":{token},\"jwks\":{jwks},\"alg_allow\":{alg_allow},\"now\":{now},\"policy\":{policy}")
            }
            Body::Signature { alg, jwk, message, signature } => write!(
                line,
                ",\"alg\":{},\"jwk\":{jwk},\"msg_hex\":\"{}\",\"sig_hex\":\"{}\"",
                json_string(alg),
                base16ct::lower::encode_string(message),
                base16ct::lower::encode_string(signature)
            ),
            Body::Raw(bytes) => return bytes.clone(),
        }
        .expect("a String takes all");
        let (expect, code) = match self.expect {
            Expect::Accept => ("accept", None),
            Expect::Reject(code) => ("reject", code),
            Expect::Any => ("any", None),
        };
        write!(line, ",\"expect\":\"{expect}\"").expect("a String takes all");
        if let Some(code) = code {
            write!(line, ",\"code\":\"{code}\"").expect("a String takes all");
        }
        let (group, why) = (json_string(&self.group), json_string(&self.why));
        write!(line, ",\"tier\":\"{}\",\"group\":{group},\"why\":{why}}}", self.tier.as_str()).expect("a String takes all");
        line.into_bytes()
    }
}

/// All lines, each with its newline.
pub fn to_jsonl<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        text.extend(line.to_bytes());
        text.push(b'\n');
    }
    text
}

/// A JSON string.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Base64url without padding (RFC 7515 section 2).
pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}
