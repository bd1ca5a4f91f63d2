//! A fetched set as a document, so that Workers KV, the Cache API or a file can carry it to another process.
//!
//! Nothing in it is believed more than a response would be: the set is parsed and its keys are checked again, its age counts from
//! when it was fetched, and where the keys came from must be where this cache would get them.

use alloc::{
    string::{String, ToString as _},
    sync::Arc,
};
use core::fmt;

use serde_json::Value;

use super::{Current, JwksCache};
use crate::{
    error::{PolicyError, quoted},
    json,
    jwk_set::JwkSet,
    settings::{Fields, Setting},
    time::Timestamp,
};

/// The version of the document that [`Snapshot::to_json`] writes.
const VERSION: u64 = 1;

/// One issuer's set and when it was fetched. Only [`JwksCache::snapshot`] makes one, or its JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    issuer: Option<String>,
    jwks_uri: String,
    /// Whether discovery named that URL, and no configuration.
    discovered: bool,
    /// Milliseconds since the epoch.
    fetched_at: u64,
    max_age: Option<u64>,
    etag: Option<String>,
    /// The last revocation that was known when the set was asked for.
    revocation: u64,
    /// The body, as the endpoint sent it.
    jwks: String,
}

/// Where a set comes from; a snapshot is only restored into a cache of the same source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The issuer, `None` where the policy skips it.
    pub issuer: Option<&'a str>,
    /// The URL of the set; `None` while discovery has not named it yet, and then any URL is accepted that discovery named elsewhere.
    pub jwks_uri: Option<&'a str>,
}

/// Why a snapshot was not restored. The cache is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRefused(String);

impl Snapshot {
    /// The document.
    ///
    /// # Errors
    /// When it is not a snapshot, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, SnapshotRefused> {
        let not_one = |error: PolicyError| SnapshotRefused(alloc::format!("not a snapshot: {error}"));
        Fields::from_json("the document", text).and_then(Self::from_fields).map_err(not_one)
    }

    fn from_fields(mut fields: Fields) -> Result<Self, PolicyError> {
        let version: u64 = fields.required("version")?;
        if version != VERSION {
            return Err(PolicyError::new("version", alloc::format!("is {version}, this is version {VERSION}")));
        }
        let snapshot = Self {
            issuer: fields.take("issuer"),
            jwks_uri: fields.demand("jwks_uri"),
            discovered: fields.take("discovered").unwrap_or_default(),
            fetched_at: fields.demand("fetched_at"),
            max_age: fields.take("max_age"),
            etag: fields.take("etag"),
            revocation: fields.take("revocation").unwrap_or_default(),
            jwks: fields.demand("jwks"),
        };
        fields.finish()?;
        Ok(snapshot)
    }

    /// The document as JSON text: public keys and times, no secret.
    pub fn to_json(&self) -> String {
        let Self { issuer, jwks_uri, discovered, fetched_at, max_age, etag, revocation, jwks } = self;
        json::Members::new()
            .with("version", &VERSION)
            .with("issuer", issuer)
            .with("jwks_uri", jwks_uri)
            .with_json("discovered", if *discovered { "true" } else { "false" })
            .with("fetched_at", fetched_at)
            .with("max_age", max_age)
            .with("etag", etag)
            .with("revocation", revocation)
            .with("jwks", jwks)
            .end()
    }

    /// Says whether discovery named the URL; without it a configuration did.
    #[must_use]
    pub fn with_discovered(self, discovered: bool) -> Self {
        Self { discovered, ..self }
    }

    /// The issuer.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Where the set was fetched.
    pub fn jwks_uri(&self) -> &str {
        &self.jwks_uri
    }

    /// When the set was fetched.
    pub fn fetched_at(&self) -> Timestamp {
        Timestamp::from_millis(self.fetched_at)
    }
}

fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "nobody".into(), quoted)
}

impl Setting for Snapshot {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        Fields::from_value(value).and_then(Self::from_fields)
    }
}

impl JwksCache {
    /// The set as it stands, whatever its age, for [`JwksCache::restore`] elsewhere. `jwks_uri` is where it was fetched.
    pub fn snapshot(&self, issuer: Option<&str>, jwks_uri: &str) -> Option<Snapshot> {
        let current = self.current.as_ref()?;
        Some(Snapshot {
            issuer: issuer.map(String::from),
            jwks_uri: jwks_uri.into(),
            discovered: false,
            fetched_at: current.fetched_at.as_millis(),
            max_age: current.max_age,
            etag: current.etag.clone(),
            revocation: current.revocation,
            jwks: current.body.to_string(),
        })
    }

    /// Takes a set that was fetched elsewhere. Its freshness is what is left of it; an answer to a fetch that is under way
    /// still replaces it.
    ///
    /// # Errors
    /// Another source; a set that is not newer than this cache's, is past all use, was fetched in the future or before a
    /// revocation that this cache knows of; a body that is not a JWK Set.
    pub fn restore(&mut self, snapshot: &Snapshot, source: Source<'_>, now: Timestamp) -> Result<(), SnapshotRefused> {
        let refuse = |why: String| Err(SnapshotRefused(why));
        let Snapshot { issuer, jwks_uri, discovered, fetched_at, max_age, etag, revocation, jwks } = snapshot;
        if issuer.as_deref() != source.issuer {
            return refuse(alloc::format!("of the issuer {}, not {}", shown(issuer.as_deref()), shown(source.issuer)));
        }
        // What was pinned to a URL says nothing of where discovery would have gone.
        if source.jwks_uri.map_or(!discovered, |expected| expected != jwks_uri) {
            let expected = source.jwks_uri.unwrap_or("where discovery says");
            return refuse(alloc::format!("fetched from {}, not {}", quoted(jwks_uri), quoted(expected)));
        }
        let fetched_at = Timestamp::from_millis(*fetched_at);
        if fetched_at > now {
            return refuse(alloc::format!("fetched at {} s, it is {} s", fetched_at.as_secs(), now.as_secs()));
        }
        if self.current.as_ref().is_some_and(|current| current.fetched_at >= fetched_at) {
            return refuse("not newer than the set at hand".into());
        }
        if *revocation < self.revocation {
            return refuse(alloc::format!("fetched at revocation {revocation}, {} is known", self.revocation));
        }
        let sequence = self.current.as_ref().map_or(0, |current| current.sequence);
        let window = self.window(*max_age, fetched_at);
        if now >= window.stale_until {
            return refuse("past all use".into());
        }
        let set = JwkSet::from_json_with(jwks, self.rules).map_err(|error| SnapshotRefused(error.to_string()))?;
        self.replace(Current {
            set: Arc::new(set),
            body: jwks.as_str().into(),
            etag: etag.clone(),
            max_age: *max_age,
            sequence,
            revocation: *revocation,
            fetched_at,
            window,
        });
        Ok(())
    }

    /// A revocation was published: sets that were fetched before it are no longer restored, in whatever order they come.
    pub fn on_revocation(&mut self, sequence: u64) {
        self.revocation = self.revocation.max(sequence);
    }
}

impl fmt::Display for SnapshotRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl core::error::Error for SnapshotRefused {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Algorithm,
        jwk::KeyRules,
        jwk_set::KeyRequest,
        jwks_cache::{CacheSettings, FetchResponse, Lookup, Ticket},
    };

    const T0: Timestamp = Timestamp::from_secs(1_750_000_000);
    const ISSUER: Option<&str> = Some("https://i.example");
    const URI: &str = "https://i.example/jwks";
    const SOURCE: Source<'_> = Source { issuer: ISSUER, jwks_uri: Some(URI) };

    fn at(seconds: u64) -> Timestamp {
        T0.plus_secs(seconds)
    }

    fn body(kid: &str) -> String {
        alloc::format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"{kid}"}}]}}"#
        )
    }

    fn empty() -> JwksCache {
        JwksCache::new(CacheSettings::default(), KeyRules::default(), 3).unwrap()
    }

    fn lookup(cache: &mut JwksCache, kid: &str, now: Timestamp) -> Lookup {
        cache.lookup(KeyRequest { kid: Some(kid), algorithm: Algorithm::EdDsa }, now)
    }

    fn fetch(cache: &mut JwksCache, kid: &str, now: Timestamp) -> Ticket {
        match lookup(cache, kid, now) {
            Lookup::Fetch(ticket) => ticket,
            other => std::panic!("{other:?}"),
        }
    }

    fn answer(cache: &mut JwksCache, ticket: &Ticket, kid: &str, now: Timestamp) {
        let etag = Some(alloc::format!("\"{kid}\""));
        cache.on_response(ticket, FetchResponse { status: 200, body: &body(kid), max_age: Some(1_000), etag }, now).unwrap();
    }

    fn filled(kid: &str, now: Timestamp) -> JwksCache {
        let mut cache = empty();
        let ticket = fetch(&mut cache, kid, now);
        answer(&mut cache, &ticket, kid, now);
        cache
    }

    fn taken(kid: &str, now: Timestamp) -> Snapshot {
        let snapshot = filled(kid, now).snapshot(ISSUER, URI).unwrap();
        let read = Snapshot::from_json(&snapshot.to_json()).unwrap();
        assert_eq!(read, snapshot);
        assert_eq!((read.issuer(), read.jwks_uri(), read.fetched_at()), (ISSUER, URI, now));
        read
    }

    #[track_caller]
    fn refused(cache: &mut JwksCache, snapshot: &Snapshot, source: Source<'_>, now: Timestamp) -> String {
        let before = cache.current().cloned();
        let why = cache.restore(snapshot, source, now).unwrap_err().to_string();
        assert_eq!(cache.current().cloned(), before);
        why
    }

    #[test]
    fn a_restored_set_is_as_old_as_it_is() {
        let mut cache = empty();
        cache.restore(&taken("a", T0), SOURCE, at(300)).unwrap();
        assert_eq!(cache.fetched_at(), Some(T0));
        assert_eq!(cache.stats().fetches, 0);
        assert!(matches!(lookup(&mut cache, "a", at(699)), Lookup::Use(_)));
        assert!(matches!(lookup(&mut cache, "a", at(901)), Lookup::UseAndRefresh(..)));
        // Restoring again and again does not make it younger, neither here nor over a second snapshot.
        let mut second = empty();
        second.restore(&cache.snapshot(ISSUER, URI).unwrap(), SOURCE, at(950)).unwrap();
        let ticket = fetch(&mut second, "a", at(1_000));
        assert_eq!(ticket.etag(), Some("\"a\""));
    }

    #[test]
    fn freshness_is_this_caches_own() {
        let settings = CacheSettings { fresh_max: 400, fresh_default: 400, ..CacheSettings::default() };
        let mut cache = JwksCache::new(settings, KeyRules::default(), 3).unwrap();
        cache.restore(&taken("a", T0), SOURCE, at(300)).unwrap();
        fetch(&mut cache, "a", at(400));
    }

    #[test]
    fn what_is_not_newer_is_not_taken() {
        let (old, new) = (taken("old", T0), taken("new", at(10)));
        let mut cache = empty();
        cache.restore(&new, SOURCE, at(20)).unwrap();
        for snapshot in [&old, &new] {
            assert!(refused(&mut cache, snapshot, SOURCE, at(20)).contains("not newer"));
        }
        assert_eq!(cache.current().unwrap().keys()[0].kid(), Some("new"));
    }

    #[test]
    fn a_fetch_under_way_wins() {
        let mut cache = empty();
        let ticket = fetch(&mut cache, "a", at(5));
        cache.restore(&taken("a", T0), SOURCE, at(5)).unwrap();
        assert!(matches!(lookup(&mut cache, "a", at(5)), Lookup::Use(_)));
        answer(&mut cache, &ticket, "b", at(6));
        assert_eq!(cache.current().unwrap().keys()[0].kid(), Some("b"));
    }

    #[test]
    fn another_source_is_refused() {
        let snapshot = taken("a", T0);
        let mut cache = empty();
        for (other, why) in [
            (
                Source { issuer: Some("https://j.example"), ..SOURCE },
                "of the issuer \"https://i.example\", not \"https://j.example\"",
            ),
            (Source { issuer: None, ..SOURCE }, "of the issuer \"https://i.example\", not nobody"),
            (Source { jwks_uri: Some("https://i.example/other"), ..SOURCE }, ", not \"https://i.example/other\""),
        ] {
            let said = refused(&mut cache, &snapshot, other, at(1));
            assert!(said.contains(why), "{said}");
        }
        // Before discovery has said anything, what it said elsewhere counts, and what was pinned elsewhere does not.
        let anywhere = Source { jwks_uri: None, ..SOURCE };
        assert!(refused(&mut cache, &snapshot, anywhere, at(1)).ends_with(", not \"where discovery says\""));
        let discovered = Snapshot::from_json(&snapshot.with_discovered(true).to_json()).unwrap();
        cache.restore(&discovered, anywhere, at(1)).unwrap();
    }

    #[test]
    fn time_is_not_believed() {
        let snapshot = taken("a", at(100));
        assert!(refused(&mut empty(), &snapshot, SOURCE, at(99)).contains("fetched at"));
        empty().restore(&snapshot, SOURCE, at(100)).unwrap();
        // 1000 s fresh and 3600 s stale.
        assert!(refused(&mut empty(), &snapshot, SOURCE, at(4_700)).contains("past all use"));
        empty().restore(&snapshot, SOURCE, at(4_699)).unwrap();
    }

    #[test]
    fn a_set_from_before_a_revocation_is_refused() {
        let mut source = filled("a", T0);
        source.on_revocation(7);
        // It was asked for before: what it says about the revoked key is not known.
        let before = source.snapshot(ISSUER, URI).unwrap();
        let mut cache = empty();
        cache.on_revocation(7);
        cache.on_revocation(3);
        assert!(refused(&mut cache, &before, SOURCE, at(1)).contains("revocation"));
        let ticket = fetch(&mut source, "a", at(1_000));
        answer(&mut source, &ticket, "b", at(1_000));
        cache.restore(&source.snapshot(ISSUER, URI).unwrap(), SOURCE, at(1_001)).unwrap();
    }

    #[test]
    fn a_document_is_validated_like_a_response() {
        let text = taken("a", T0).to_json();
        for (from, to, why) in [
            ("\"version\":1", "\"version\":2", "version: is 2"),
            ("\"version\":1", "\"version\":1,\"fresh_until\":9", "not a snapshot"),
            ("\"fetched_at\"", "\"fetched\"", "not a snapshot"),
        ] {
            assert!(Snapshot::from_json(&text.replace(from, to)).unwrap_err().to_string().contains(why), "{to}");
        }
        let (_, members) = crate::json::parse_object(text.as_bytes()).unwrap();
        let one_of_several = <Snapshot as Setting>::from_value(Value::Object(members)).unwrap();
        assert_eq!(one_of_several, taken("a", T0));
        let broken = Snapshot::from_json(&text.replace("{\\\"keys\\\"", "{\\\"kees\\\"")).unwrap();
        assert!(refused(&mut empty(), &broken, SOURCE, at(1)).contains("jwks_malformed"));
        assert!(empty().snapshot(ISSUER, URI).is_none());
    }
}
