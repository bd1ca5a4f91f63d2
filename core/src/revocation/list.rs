//! What is revoked, and whether a token is.

use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    string::String,
    vec::Vec,
};
use core::fmt;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{
    error::quoted,
    json::{self, Members},
    time::Timestamp,
    token::{MAX_KID_LEN, encode_base64url},
    verify::VerifiedToken,
};

/// Entries that one list may have. A jti takes some 120 octets of a document; whoever has more to revoke at once revokes the
/// subjects, or the key.
pub const MAX_ENTRIES: usize = 4_096;
/// Entries that an edge keeps: those of a list, and what is not in it any more since the signer went back to a backup.
pub const MAX_KEPT: usize = 3 * MAX_ENTRIES;
/// Octets of an issuer, `kid` or `jti` in a list: those of a `kid`.
const MAX_NAME_LEN: usize = MAX_KID_LEN;
/// Characters of a SHA-256 in base64url.
const HASH_LEN: usize = 43;

/// What is revoked: keys and tokens by issuer, and the tokens that a subject was issued before some moment.
///
/// Subjects stand in it as hashes of issuer and subject, since the signer publishes its documents and a `sub` often is a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    kids: BTreeMap<String, Vec<Listed>>,
    jtis: BTreeMap<String, Vec<Listed>>,
    subs: BTreeMap<String, Cutoff>,
    /// Seconds: the latest [`Cutoff::before`], so that tokens issued since need no hash.
    latest: u64,
}

/// An entry under a name that is the issuer's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    /// `None` is every issuer: the name is unique by itself.
    issuer: Option<String>,
    /// Seconds: when no token that it is about can be valid any more.
    until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cutoff {
    /// Seconds: tokens with an earlier `iat` are revoked.
    before: u64,
    until: u64,
}

/// Why a token is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// Its key is.
    Key(String),
    /// It is, by its `jti`.
    Token(String),
    /// All that its subject was issued so early is: seconds.
    Subject {
        /// What is issued from then on is good.
        before: u64,
    },
    /// It withholds claims, and this one, which it does not show, might say what is revoked.
    Withheld(&'static str),
}

impl fmt::Display for Revoked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(kid) => write!(formatter, "the key {} is revoked", quoted(kid)),
            Self::Token(jti) => write!(formatter, "the token with jti {} is revoked", quoted(jti)),
            Self::Subject { before } => write!(formatter, "what its subject was issued before {before} is revoked"),
            Self::Withheld(name) => write!(formatter, "the token withholds claims, and its {name} may be a revoked one"),
        }
    }
}

impl Revocations {
    /// Revokes the key with this `kid`. Without an issuer it is revoked at every issuer: right for thumbprints alone.
    pub fn add_kid(&mut self, issuer: Option<&str>, kid: &str, until: Timestamp) {
        add(&mut self.kids, issuer, kid, until.as_secs());
    }

    /// Revokes one token.
    pub fn add_jti(&mut self, issuer: &str, jti: &str, until: Timestamp) {
        add(&mut self.jtis, Some(issuer), jti, until.as_secs());
    }

    /// Revokes the tokens that a subject was issued before this second.
    pub fn add_sub(&mut self, issuer: &str, sub: &str, before: Timestamp, until: Timestamp) {
        self.cut(hash_of(issuer, sub), Cutoff { before: before.as_secs(), until: until.as_secs() });
    }

    /// Whether a token is revoked. `iss` has been compared with the policy's: so a `kid` means the key of that issuer.
    ///
    /// The presentation of an SD-JWT that lacks `jti` or `sub` while it withholds claims is revoked as soon as one of its issuer's is by
    /// that claim, since whoever presents a token does not choose what it is judged by. Of subjects the issuer cannot be told, so that
    /// there those of every issuer count; what says that it was issued since the latest moment of the list is good.
    ///
    /// # Errors
    /// By what.
    pub fn judge(&self, token: &VerifiedToken) -> Result<(), Revoked> {
        if self.is_empty() {
            return Ok(());
        }
        let claims = token.claims();
        let issuer = claims.issuer();
        if !self.kids.is_empty() {
            let thumbprint;
            let kid = if let Some(kid) = token.key().kid().or(token.header().kid()) {
                kid
            } else {
                // A key without a name is known by what its name would be (RFC 7638).
                thumbprint = token.key().thumbprint();
                &thumbprint
            };
            if is_listed(&self.kids, issuer, kid) {
                return Err(Revoked::Key(kid.into()));
            }
        }
        match claims.jwt_id() {
            Some(jti) if is_listed(&self.jtis, issuer, jti) => return Err(Revoked::Token(jti.into())),
            None if token.withholds() && self.jtis.values().any(|listed| is_about(listed, issuer)) => {
                return Err(Revoked::Withheld("jti"));
            }
            _ => {}
        }
        // A token that does not say when it was issued may have been issued at any time.
        let issued_at = claims.issued_at().map_or(0.0, crate::claims::NumericDate::seconds);
        if self.subs.is_empty() || !is_before(issued_at, self.latest) {
            return Ok(());
        }
        match (issuer, claims.subject()) {
            (Some(issuer), Some(sub)) => match self.subs.get(&hash_of(issuer, sub)) {
                Some(Cutoff { before, .. }) if is_before(issued_at, *before) => Err(Revoked::Subject { before: *before }),
                _ => Ok(()),
            },
            (_, None) if token.withholds() => Err(Revoked::Withheld("sub")),
            _ => Ok(()),
        }
    }

    /// Adds what another list has. Nothing is taken away, and the later end holds.
    pub fn merge(&mut self, other: Self) {
        let Self { kids, jtis, subs, latest: _ } = other;
        for (mine, theirs) in [(&mut self.kids, kids), (&mut self.jtis, jtis)] {
            for (name, listed) in theirs {
                for Listed { issuer, until } in listed {
                    add(mine, issuer.as_deref(), &name, until);
                }
            }
        }
        for (hash, cutoff) in subs {
            self.cut(hash, cutoff);
        }
    }

    /// Forgets what no valid token can be about any more.
    pub fn forget_ended(&mut self, now: Timestamp) {
        let now = now.as_secs();
        for names in [&mut self.kids, &mut self.jtis] {
            names.retain(|_, listed| {
                listed.retain(|listed| now < listed.until);
                !listed.is_empty()
            });
        }
        self.subs.retain(|_, cutoff| now < cutoff.until);
        self.latest = self.subs.values().map(|cutoff| cutoff.before).max().unwrap_or(0);
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        let listed = |names: &BTreeMap<String, Vec<Listed>>| names.values().map(Vec::len).sum::<usize>();
        listed(&self.kids) + listed(&self.jtis) + self.subs.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.kids.is_empty() && self.jtis.is_empty() && self.subs.is_empty()
    }

    /// The members `kids`, `jtis` and `subs` of a document.
    #[must_use]
    pub fn write(&self, members: Members) -> Members {
        let listed = |names: &BTreeMap<String, Vec<Listed>>, member: &'static str| {
            let entries = names.iter().flat_map(|(name, listed)| listed.iter().map(move |listed| (name, listed)));
            json::array(entries.map(|(name, Listed { issuer, until })| {
                let entry = issuer.iter().fold(Members::new(), |entry, issuer| entry.with("iss", issuer));
                entry.with(member, name).with("until", until).end()
            }))
        };
        let subs = json::array(self.subs.iter().map(|(hash, Cutoff { before, until })| {
            Members::new().with("sha256", hash).with("before", before).with("until", until).end()
        }));
        members
            .with_json("kids", &listed(&self.kids, "kid"))
            .with_json("jtis", &listed(&self.jtis, "jti"))
            .with_json("subs", &subs)
    }

    /// Reads those members, at most so many entries; a member that is absent is empty.
    ///
    /// # Errors
    /// In words, the first entry that cannot be meant.
    pub fn read(members: &Map<String, Value>, most: usize) -> Result<Self, String> {
        let mut list = Self::default();
        let mut left = most;
        for entry in entries(members, "kids", &mut left)? {
            let issuer = if entry.has("iss") { Some(entry.name("iss")?) } else { None };
            add(&mut list.kids, issuer, entry.name("kid")?, entry.second("until")?);
        }
        for entry in entries(members, "jtis", &mut left)? {
            add(&mut list.jtis, Some(entry.name("iss")?), entry.name("jti")?, entry.second("until")?);
        }
        for entry in entries(members, "subs", &mut left)? {
            let hash = entry.name("sha256")?;
            if hash.len() != HASH_LEN {
                return Err(alloc::format!("subs[{}].sha256 has not the {HASH_LEN} characters of a SHA-256", entry.index));
            }
            list.cut(hash.into(), Cutoff { before: entry.second("before")?, until: entry.second("until")? });
        }
        Ok(list)
    }

    fn cut(&mut self, hash: String, cutoff: Cutoff) {
        self.latest = self.latest.max(cutoff.before);
        match self.subs.entry(hash) {
            Entry::Vacant(vacant) => drop(vacant.insert(cutoff)),
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.before = known.before.max(cutoff.before);
                known.until = known.until.max(cutoff.until);
            }
        }
    }
}

/// The name of a subject in a list: SHA-256 of the issuer's length in octets (64 bits, big-endian), the issuer and the subject.
fn hash_of(issuer: &str, sub: &str) -> String {
    let length = (issuer.len() as u64).to_be_bytes();
    encode_base64url(&Sha256::new().chain_update(length).chain_update(issuer).chain_update(sub).finalize())
}

#[expect(clippy::cast_precision_loss, reason = "seconds; beyond 2^53 is beyond any NumericDate too")]
fn is_before(issued_at: f64, second: u64) -> bool {
    issued_at < second as f64
}

fn add(names: &mut BTreeMap<String, Vec<Listed>>, issuer: Option<&str>, name: &str, until: u64) {
    let listed = names.entry(name.into()).or_default();
    match listed.iter_mut().find(|listed| listed.issuer.as_deref() == issuer) {
        Some(known) => known.until = known.until.max(until),
        None => listed.push(Listed { issuer: issuer.map(Into::into), until }),
    }
}

fn is_listed(names: &BTreeMap<String, Vec<Listed>>, issuer: Option<&str>, name: &str) -> bool {
    names.get(name).is_some_and(|listed| is_about(listed, issuer))
}

fn is_about(listed: &[Listed], issuer: Option<&str>) -> bool {
    // A token that names no issuer could be of any.
    listed.iter().any(|listed| listed.issuer.is_none() || issuer.is_none() || listed.issuer.as_deref() == issuer)
}

struct Raw<'a> {
    list: &'static str,
    index: usize,
    members: &'a Map<String, Value>,
}

fn entries<'a>(members: &'a Map<String, Value>, list: &'static str, left: &mut usize) -> Result<Vec<Raw<'a>>, String> {
    let Some(value) = members.get(list) else { return Ok(Vec::new()) };
    let elements = value.as_array().ok_or_else(|| alloc::format!("{list} is not an array"))?;
    *left = left.checked_sub(elements.len()).ok_or_else(|| String::from("more entries than edges take"))?;
    let raw = |(index, element): (usize, &'a Value)| {
        let members = element.as_object().ok_or_else(|| alloc::format!("{list}[{index}] is not an object"))?;
        Ok(Raw { list, index, members })
    };
    elements.iter().enumerate().map(raw).collect()
}

impl<'a> Raw<'a> {
    fn has(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    fn name(&self, member: &str) -> Result<&'a str, String> {
        let name = self.members.get(member).and_then(Value::as_str).filter(|name| (1..=MAX_NAME_LEN).contains(&name.len()));
        name.ok_or_else(|| alloc::format!("{}[{}].{member} is no text of 1 to {MAX_NAME_LEN} octets", self.list, self.index))
    }

    fn second(&self, member: &str) -> Result<u64, String> {
        let second = self.members.get(member).and_then(Value::as_u64);
        second.ok_or_else(|| alloc::format!("{}[{}].{member} is no whole number of seconds", self.list, self.index))
    }
}
