//! Revocation: what is revoked, and how the edges hear of it.
//!
//! | file | what it does |
//! |---|---|
//! | this one | PURE: what may be revoked, and how long it stays listed |
//! | [`courier`] | signs each edge's document with the control key, pushes it, and keeps what the edge answered |
//! | [`settings`] | the edges of the configuration |
//!
//! A revocation is a row of the store, written with its row in the audit log; the compromise of a key writes one in the same
//! transaction. From there the running signer that holds an edge's lease takes it to the edge.

pub mod courier;
pub mod settings;

use edgeseal_core::{
    Algorithm, Timestamp,
    revocation::{
        Revocations,
        document::{Draft, MAX_SEQUENCE},
    },
};
use serde_json::{Value, json};

pub use self::{
    courier::Courier,
    settings::{EdgeConfig, RawEdge},
};
use crate::keys::{
    Key, Moment,
    lifecycle::{DAY, SKEW, Timing},
};

/// Keys whose revocations have a place on the list, however full it is of tokens and subjects.
const KEYS_KEPT_FREE: usize = 256;
/// Octets of a `kid`: a thumbprint (RFC 7638).
const KID_LEN: usize = 43;
/// Seconds that a key stays listed at least. Whoever has a stolen key writes any `exp`, and an edge that was given the key by
/// hand needs somebody to take it away.
pub const KEY_LISTED: u64 = 30 * DAY;
/// Octets of a `jti` or an issuer in a list.
const MAX_NAME: usize = 256;
/// Octets of a `sub`, of which the list has a hash only.
const MAX_SUBJECT: usize = 1_024;

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key.
    Kid,
    /// A token.
    Jti,
    /// What a subject was issued before some moment.
    Sub,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Kid, Self::Jti, Self::Sub];

    /// Its name: the claim that says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kid => "kid",
            Self::Jti => "jti",
            Self::Sub => "sub",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub kind: Kind,
    /// The issuer's URL; empty is every issuer (of a key, whose `kid` is a thumbprint).
    pub issuer: String,
    /// The `kid`, `jti` or `sub`.
    pub value: String,
    /// Of a subject: tokens with an `iat` before are revoked.
    pub before: Option<Timestamp>,
    /// When no token that it is about can be valid any more.
    pub until: Timestamp,
    /// When it was revoked first.
    pub created_at: Timestamp,
    /// By whom.
    pub actor: String,
}

/// What somebody wants revoked beside keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The token with this `jti`.
    Token(String),
    /// What this subject was issued before that moment; `None` is now.
    Subject(String, Option<Timestamp>),
}

impl Entry {
    /// The entry of a compromised key: listed for the longest of its tokens' lifetimes, for as long as verifiers may go on with
    /// an old JWK Set, and for 30 days at least.
    pub fn of_key(key: &Key, issuer: String, timing: &Timing, now: Timestamp, actor: &str) -> Option<Self> {
        let listed = key.max_lifetime.max(timing.freshness()).saturating_add(timing.lease).saturating_add(SKEW);
        let issuer = if issuer.len() > MAX_NAME { String::new() } else { issuer };
        Some(Self {
            kind: Kind::Kid,
            issuer,
            value: key.kid()?.to_owned(),
            before: None,
            until: now.plus_secs(listed.max(KEY_LISTED)),
            created_at: now,
            actor: actor.to_owned(),
        })
    }

    /// The entry of a wish: `longest` is the longest lifetime ever allowed on tokens of this issuer, in seconds.
    ///
    /// # Errors
    /// In words, when it cannot be meant.
    pub fn of_wish(wish: &Wish, issuer: &str, longest: u64, now: Timestamp, actor: &str) -> Result<Self, String> {
        let sized = |name: &str, value: &str, most: usize| {
            if !(1..=most).contains(&value.len()) {
                return Err(format!("a {name} has 1 to {most} octets, and this one has {}", value.len()));
            }
            if value.contains('\0') {
                return Err(format!("a {name} that holds a NUL cannot be kept"));
            }
            Ok(value.to_owned())
        };
        let issuer = sized("issuer", issuer, MAX_NAME)?;
        let rest = longest.saturating_add(SKEW);
        let (kind, value, before, until) = match wish {
            Wish::Token(jti) => (Kind::Jti, sized("jti", jti, MAX_NAME)?, None, now.plus_secs(rest)),
            Wish::Subject(sub, before) => {
                // `iat` has whole seconds: what was issued in this one may have been issued before.
                let this_second = Timestamp::from_secs(now.as_secs() + 1);
                let before = before.unwrap_or(this_second);
                if before > this_second.plus_secs(SKEW) {
                    return Err(format!("{} is to come: tokens that nobody has yet cannot be revoked", Moment(before)));
                }
                let until = before.plus_secs(rest);
                if until <= now {
                    return Err(format!("every token issued before {} has expired", Moment(before)));
                }
                (Kind::Sub, sized("sub", sub, MAX_SUBJECT)?, Some(before), until)
            }
        };
        Ok(Self { kind, issuer, value, before, until, created_at: now, actor: actor.to_owned() })
    }

    /// Whether it revokes a token of its issuer with this `jti` or `sub`, issued then (seconds).
    pub fn revokes(&self, issued_at: Option<f64>) -> bool {
        let before = self.before.map(|before| f64::from(u32::try_from(before.as_secs()).unwrap_or(u32::MAX)));
        match (self.kind, before, issued_at) {
            (Kind::Sub, Some(before), Some(issued_at)) => issued_at < before,
            _ => true,
        }
    }

    /// For programs.
    pub fn view(&self) -> EntryView {
        let Self { kind, issuer, value, before, until, created_at, actor } = self;
        EntryView {
            kind: kind.as_str(),
            value: value.clone(),
            issuer: Some(issuer.clone()).filter(|issuer| !issuer.is_empty()),
            before: before.map(|before| Moment(before).to_string()),
            until: Moment(*until).to_string(),
            revoked_at: Moment(*created_at).to_string(),
            actor: actor.clone(),
        }
    }

    /// The same as JSON.
    pub fn describe(&self) -> Value {
        json!(self.view())
    }
}

/// An entry of the list, for programs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Revocation)]
pub struct EntryView {
    /// What is revoked.
    #[schema(value_type = Kind)]
    pub kind: &'static str,
    /// The `kid`, the `jti` or the `sub`.
    pub value: String,
    /// The URL of the issuer that it concerns; null is every one.
    #[schema(required)]
    pub issuer: Option<String>,
    /// Of a subject: what was issued before.
    #[schema(required, format = "date-time")]
    pub before: Option<String>,
    /// When the entry ends, since nothing that it concerns can live then.
    #[schema(format = "date-time")]
    pub until: String,
    /// When it was revoked.
    #[schema(format = "date-time")]
    pub revoked_at: String,
    /// By whom.
    pub actor: String,
}

/// Whether edges can be told all these, and of 256 keys, whatever their issuers are called. The octets of a document count as its
/// entries do, so the writing of one is tried.
pub fn has_room(entries: &[Entry]) -> bool {
    // The last second of ten digits, in the year 2286.
    let latest = Timestamp::from_secs(9_999_999_999);
    let longest = |octets: usize| "x".repeat(octets);
    let mut list = list(entries);
    let keys = entries.iter().filter(|entry| entry.kind == Kind::Kid).count();
    for number in keys..KEYS_KEPT_FREE {
        list.add_kid(Some(&longest(MAX_NAME)), &format!("{number:0KID_LEN$}"), latest);
    }
    let (issuer, edge) = (longest(MAX_SUBJECT), longest(settings::MAX_ID));
    let draft = Draft { issuer: &issuer, edge: &edge, sequence: MAX_SEQUENCE, issued_at: latest, list: &list };
    draft.unsigned(Algorithm::Es256, &longest(KID_LEN)).is_ok()
}

/// The list that documents carry.
pub fn list(entries: &[Entry]) -> Revocations {
    let mut list = Revocations::default();
    for Entry { kind, issuer, value, before, until, .. } in entries {
        match kind {
            Kind::Kid => list.add_kid(Some(issuer.as_str()).filter(|issuer| !issuer.is_empty()), value, *until),
            Kind::Jti => list.add_jti(issuer, value, *until),
            Kind::Sub => list.add_sub(issuer, value, before.unwrap_or_default(), *until),
        }
    }
    list
}
