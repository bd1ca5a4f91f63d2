//! Edgeseal's own vectors: one failure each, positive controls beside them.
//!
//! The files of `tests/vectors/` are written by `generate-vectors` from these rooms; a test asserts that they are what it writes
//! now. Expectations follow from the RFCs and from the table of defaults in CONTRIBUTING.md, never from running core.

mod algorithms;
mod claims;
pub mod dpop;
mod encoding;
mod header;
mod json;
mod keys;
mod large;
mod lines;
pub mod mutated;
mod policy;
mod sd_jwt;
mod selection;
mod signatures;

use std::borrow::Cow;

use crate::{
    corpus::{Body, Expect, Line, Tier, base64url, json_string},
    keys::{KEYS, Key, jwk_set},
};

/// The time of every vector that says no other: 2025-06-15T15:06:40Z.
pub const NOW: u64 = 1_750_000_000;
/// The issuer of every token that says no other.
pub const ISSUER: &str = "https://issuer.example";
/// The audience of every token that says no other.
pub const AUDIENCE: &str = "https://api.example";

/// A file of vectors and what fills it.
pub type File = (&'static str, fn(&mut Suite));

/// The files in `tests/vectors/`.
pub const FILES: [File; 11] = [
    ("algorithms", algorithms::fill),
    ("claims", claims::fill),
    ("encoding", encoding::fill),
    ("header", header::fill),
    ("json", json::fill),
    ("keys", keys::fill),
    ("lines", lines::fill),
    ("policy", policy::fill),
    ("sd_jwt", sd_jwt::fill),
    ("selection", selection::fill),
    ("signatures", signatures::fill),
];

/// What is too large to be kept, and is written when it is needed.
pub const LARGE: File = ("large", large::fill);

/// The lines of one file.
pub fn lines_of((group, fill): File) -> Vec<Line> {
    let mut suite = Suite { group, lines: Vec::new() };
    fill(&mut suite);
    suite.lines
}

/// The vectors of one group in the making.
pub struct Suite {
    group: &'static str,
    lines: Vec<Line>,
}

impl Suite {
    fn push(&mut self, id: &str, tier: Tier, why: &str, expect: Expect, body: Body) {
        let id = format!("{}-{id}", self.group);
        assert!(self.lines.iter().all(|line| line.id != id), "two vectors are called {id}");
        self.lines.push(Line { id, group: self.group.into(), tier, why: why.into(), expect, body });
    }

    /// A token: good in every respect until something is changed.
    fn token(&mut self, id: impl Into<String>, why: impl Into<String>) -> Token<'_> {
        let key = &KEYS.es256;
        let id = id.into();
        Token {
            tier: Tier::Must,
            why: why.into(),
            key,
            alg: None,
            header: None,
            header_members: Vec::new(),
            payload: None,
            claims: vec![
                ("iss".into(), json_string(ISSUER)),
                ("aud".into(), json_string(AUDIENCE)),
                ("sub".into(), json_string("ada")),
                ("iat".into(), (NOW - 60).to_string()),
                ("exp".into(), (NOW + 300).to_string()),
                ("jti".into(), json_string(&id)),
            ],
            id,
            jwks: None,
            alg_allow: None,
            now: NOW.to_string(),
            policy: vec![
                ("iss".into(), json_string(ISSUER)),
                ("aud".into(), json_string(AUDIENCE)),
                ("leeway".into(), "0".into()),
                ("require_exp".into(), "true".into()),
                ("typ".into(), "null".into()),
            ],
            signer: None,
            parts: None,
            edit: None,
            suite: self,
        }
    }

    /// A bare signature.
    fn signature(&mut self, id: &str, why: &str, tier: Tier, bare: &Bare<'_>, expect: Expect) {
        let Bare { alg, jwk, message, signature } = *bare;
        let body = Body::Signature { alg: alg.into(), jwk: jwk.into(), message: message.into(), signature: signature.into() };
        self.push(id, tier, why, expect, body);
    }
}

/// A signature below the level of tokens.
struct Bare<'a> {
    alg: &'a str,
    /// JSON text.
    jwk: &'a str,
    message: &'a [u8],
    signature: &'a [u8],
}

/// How the third part of a token is made from its first two.
type Signer = Box<dyn Fn(&[u8]) -> Vec<u8>>;
/// What is done to the parts before they are signed.
type Parts = Box<dyn Fn(String, String) -> (String, String)>;
/// What is done to the finished token.
type Edit = Box<dyn Fn(String) -> String>;

/// A token line in the making. Nothing is pushed before `accept` or `reject`.
#[must_use]
struct Token<'s> {
    suite: &'s mut Suite,
    id: String,
    tier: Tier,
    why: String,
    key: &'static Key,
    alg: Option<String>,
    header: Option<Vec<u8>>,
    header_members: Vec<(String, String)>,
    payload: Option<Vec<u8>>,
    claims: Vec<(String, String)>,
    jwks: Option<String>,
    alg_allow: Option<String>,
    now: String,
    policy: Vec<(String, String)>,
    signer: Option<Signer>,
    parts: Option<Parts>,
    edit: Option<Edit>,
}

fn set(members: &mut Vec<(String, String)>, name: &str, value: Cow<'_, str>) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value.into(),
        None => members.push((name.into(), value.into())),
    }
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json_string(name))).collect();
    format!("{{{}}}", members.join(","))
}

impl Token<'_> {
    /// Stricter than the letter of the RFC.
    fn strict(mut self) -> Self {
        self.tier = Tier::Strict;
        self
    }

    /// The answer follows from the policy.
    fn by_policy(mut self) -> Self {
        self.tier = Tier::Policy;
        self
    }

    /// Signed by this key, which is alone in the set.
    fn key(mut self, key: &'static Key) -> Self {
        self.key = key;
        self
    }

    /// Under this `alg`, which the policy allows.
    fn alg(mut self, alg: &str) -> Self {
        self.alg = Some(alg.into());
        self
    }

    /// With these octets as the header.
    fn header(mut self, header: impl AsRef<[u8]>) -> Self {
        self.header = Some(header.as_ref().into());
        self
    }

    /// With this header member.
    fn header_member(mut self, name: &str, json: &str) -> Self {
        set(&mut self.header_members, name, json.into());
        self
    }

    /// With these octets as the payload.
    fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = Some(payload.as_ref().into());
        self
    }

    /// With this claim.
    fn claim(mut self, name: &str, json: &str) -> Self {
        set(&mut self.claims, name, json.into());
        self
    }

    /// Without this claim.
    fn without(mut self, name: &str) -> Self {
        self.claims.retain(|(known, _)| known != name);
        self
    }

    /// Against this JWK Set.
    fn jwks(mut self, json: impl Into<String>) -> Self {
        self.jwks = Some(json.into());
        self
    }

    /// With these algorithms in the policy.
    fn allow(self, algs: &[&str]) -> Self {
        let algs: Vec<String> = algs.iter().map(|alg| json_string(alg)).collect();
        self.allow_json(&format!("[{}]", algs.join(",")))
    }

    /// With this JSON text as the list of algorithms.
    fn allow_json(mut self, json: &str) -> Self {
        self.alg_allow = Some(json.into());
        self
    }

    /// With this policy member.
    fn policy(mut self, name: &str, json: &str) -> Self {
        set(&mut self.policy, name, json.into());
        self
    }

    /// At this time.
    fn now(self, now: u64) -> Self {
        self.now_json(&now.to_string())
    }

    /// At this time, as it is written.
    fn now_json(mut self, json: &str) -> Self {
        self.now = json.into();
        self
    }

    /// With this in place of the key's signature.
    fn signed(mut self, signer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.signer = Some(Box::new(signer));
        self
    }

    /// With other text in the first two parts, and the signature over that text.
    fn parts(mut self, parts: impl Fn(String, String) -> (String, String) + 'static) -> Self {
        self.parts = Some(Box::new(parts));
        self
    }

    /// With the finished token changed.
    fn edit(mut self, edit: impl Fn(String) -> String + 'static) -> Self {
        self.edit = Some(Box::new(edit));
        self
    }

    /// The header of the token as it stands.
    fn header_bytes(&self) -> Vec<u8> {
        self.header.clone().unwrap_or_else(|| {
            let alg = self.alg.as_deref().unwrap_or_else(|| self.key.default_alg());
            let mut members = vec![
                ("alg".into(), json_string(alg)),
                ("kid".into(), json_string(&self.key.kid)),
                ("typ".into(), json_string("JWT")),
            ];
            for (name, value) in &self.header_members {
                set(&mut members, name, value.into());
            }
            object(&members).into_bytes()
        })
    }

    /// The first two parts as they stand.
    fn signing_input(&self) -> String {
        let payload = self.payload.clone().unwrap_or_else(|| object(&self.claims).into_bytes());
        let (mut first, mut second) = (base64url(&self.header_bytes()), base64url(&payload));
        if let Some(parts) = &self.parts {
            (first, second) = parts(first, second);
        }
        format!("{first}.{second}")
    }

    fn accept(self) {
        self.finish(Expect::Accept);
    }

    fn reject(self, code: &'static str) {
        self.finish(Expect::Reject(Some(code)));
    }

    fn finish(self, expect: Expect) {
        let input = self.signing_input();
        let Self { suite, id, tier, why, key, alg, jwks, alg_allow, now, policy, .. } = self;
        let alg = alg.unwrap_or_else(|| key.default_alg().into());
        let signature = match self.signer {
            Some(signer) => signer(input.as_bytes()),
            None => key.sign(&alg, input.as_bytes()),
        };
        let mut token = format!("{input}.{}", base64url(&signature));
        if let Some(edit) = self.edit {
            token = edit(token);
        }
        let body = Body::Token {
            token,
            jwks: jwks.unwrap_or_else(|| jwk_set(&[key.jwk().text("alg", &alg).to_json()])),
            alg_allow: alg_allow.unwrap_or_else(|| format!("[{}]", json_string(&alg))),
            now,
            policy: object(&policy),
        };
        suite.push(&id, tier, &why, expect, body);
    }
}
