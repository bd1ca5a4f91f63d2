//! What to do next for a token: [`TokenVerifier::begin`] routes it to its issuer, judges its header, asks the key cache, and
//! says whether to verify a signature, to fetch a document, or to wait. It does no I/O and awaits nothing, so the Worker and
//! the npm package share it and each fetches in its own way:
//!
//! ```text
//! loop {
//!     match verifier.begin(token, now) {
//!         Step::Verify(pending) => verifier.verify_signature(&pending), then pending.finish(..)
//!         Step::Fetch(fetch)    => GET fetch.url(), verifier.on_response(..) or on_failure(..), again
//!         Step::Wait            => somebody else is fetching: sleep a little, again
//!         Step::Refused(why)    => answer
//!     }
//! }
//! ```

use std::{cell::RefCell, rc::Rc};

use edgeseal_core::{
    Finished, Issuers, JwkSet, JwksCache, PendingSignature, PolicyError, SignatureInvalid, SignatureValid, Timestamp,
    UnverifiedToken, VerifiedToken, Verifier, VerifyError,
    backend::{SignatureBackend as _, SignatureInput, p256::HotKeys, rustcrypto::RustCrypto},
    discovery::Discovery,
    jwks_cache::{CacheSettings, CacheStats, FetchResponse, Lookup, Ticket},
    policy::{IssuerSettings, KeySource},
};

use crate::{http_cache, refusal::Refusal};

/// Milliseconds that one document may take to arrive, body included.
pub const FETCH_TIMEOUT_MILLIS: u64 = 3_000;
/// Milliseconds that discovery and JWK Set may take together: the cache's lease on them ends after 5 s.
pub const FETCH_BUDGET_MILLIS: u64 = 4_500;
/// Octets of a fetched document, counted while it streams in, after decompression.
pub const MAX_DOCUMENT_LEN: usize = edgeseal_core::jwk_set::MAX_JWKS_LEN;
/// Octets of tables for ES256 keys that have proved hot, some 100 KiB each: a verifier with more active keys than fit goes on
/// without tables for the rest.
const HOT_KEYS_BUDGET: usize = 8 * 1024 * 1024;
/// Valid signatures after which a key is hot: JWKS keys live for months, and a table has paid for itself after some ten tokens.
const HOT_KEYS_THRESHOLD: u32 = 2;
/// Seconds for which a discovered `jwks_uri` is believed; a failure to fetch from it ends that at once.
const DISCOVERY_LIFETIME_SECS: u64 = 86_400;

/// Verifies tokens of a closed list of issuers; keeps their keys.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: Issuers<Rc<Issuer>>,
    hot_keys: RefCell<HotKeys>,
}

#[derive(Debug)]
struct Issuer {
    name: Option<String>,
    verifier: Verifier,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(JwkSet),
    Remote(Box<RefCell<Remote>>),
}

#[derive(Debug)]
struct Remote {
    cache: JwksCache,
    location: Location,
}

#[derive(Debug)]
enum Location {
    Pinned(String),
    Discovered { issuer: String, url: String, jwks_uri: Option<(String, Timestamp)> },
}

/// What to do next for a token.
#[derive(Debug)]
pub enum Step {
    /// Verify this signature.
    Verify(Box<Pending>),
    /// Fetch this document, report it, and begin again.
    Fetch(Fetch),
    /// Another caller is fetching: begin again in some milliseconds.
    Wait,
    /// The token is refused, or the keys cannot be had.
    Refused(Refusal),
}

/// A token whose signature is to be verified.
#[derive(Debug)]
pub struct Pending {
    issuer: Rc<Issuer>,
    signature: PendingSignature,
    /// A fetch to carry out off the request path.
    refresh: Option<Fetch>,
}

/// A document to fetch with GET: `https`, or `http` to a loopback host; no redirect, no credentials.
#[derive(Debug)]
pub struct Fetch {
    issuer: Rc<Issuer>,
    ticket: Ticket,
    document: Document,
    url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    Discovery,
    JwkSet,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most [`MAX_DOCUMENT_LEN`] octets.
    pub body: &'a [u8],
    /// The `Cache-Control` field.
    pub cache_control: Option<&'a str>,
    /// The `ETag` field.
    pub etag: Option<String>,
}

/// What became of an answer.
#[derive(Debug)]
pub enum Fetched {
    /// There are keys now: begin again.
    Keys,
    /// Discovery said where the keys are: fetch this too.
    Next(Fetch),
    /// The answer was of no use, for this reason; the cache knows.
    Failed(String),
}

/// One issuer's keys, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct IssuerStats<'a> {
    /// The issuer, where the policy names one.
    pub issuer: Option<&'a str>,
    /// Usable keys at hand.
    pub keys: usize,
    /// When they were fetched; `None` for inline keys and before the first fetch.
    pub fetched_at: Option<Timestamp>,
    /// The cache's counters; all 0 for inline keys.
    pub cache: CacheStats,
}

impl TokenVerifier {
    /// A verifier with empty caches. `seed` decides the jitter of their refreshes.
    ///
    /// # Errors
    /// The first setting that cannot be meant, and the position of its issuer.
    pub fn new(issuers: &[IssuerSettings], cache: CacheSettings, seed: u64) -> Result<Self, (Option<usize>, PolicyError)> {
        cache.check().map_err(|error| (None, error))?;
        let mut entries = Vec::with_capacity(issuers.len());
        for (index, settings) in issuers.iter().enumerate() {
            let issuer = Issuer::new(settings, cache, seed.wrapping_add(index as u64)).map_err(|error| (Some(index), error))?;
            entries.push((settings.issuer.clone(), Rc::new(issuer)));
        }
        let issuers = Issuers::new(entries).map_err(|error| (None, error))?;
        Ok(Self { issuers, hot_keys: RefCell::new(HotKeys::new(HOT_KEYS_BUDGET, HOT_KEYS_THRESHOLD)) })
    }

    /// What to do next for this token.
    pub fn begin(&self, compact: &str, now: Timestamp) -> Step {
        self.try_begin(compact, now).unwrap_or_else(|error| Step::Refused(error.into()))
    }

    fn try_begin(&self, compact: &str, now: Timestamp) -> Result<Step, VerifyError> {
        let token = UnverifiedToken::parse(compact)?;
        let issuer = self.issuers.route(&token)?;
        let request = issuer.verifier.admit(&token)?;
        let remote = match &issuer.keys {
            Keys::Inline(keys) => return issuer.pending(token, keys, None),
            Keys::Remote(remote) => remote,
        };
        // The cell is free again before anything is parsed or verified.
        let lookup = remote.borrow_mut().cache.lookup(request, now);
        match lookup {
            Lookup::Use(keys) | Lookup::UnknownKid(keys) => issuer.pending(token, &keys, None),
            Lookup::UseAndRefresh(keys, ticket) => issuer.pending(token, &keys, Some(Fetch::new(issuer, ticket, now))),
            Lookup::Fetch(ticket) => Ok(Step::Fetch(Fetch::new(issuer, ticket, now))),
            Lookup::Wait { .. } => Ok(Step::Wait),
            Lookup::Unavailable { retry_at } => {
                let name = issuer.name.as_deref().unwrap_or("the issuer");
                Ok(Step::Refused(Refusal::keys_unavailable(format!("the keys of {name} cannot be had"), retry_at, now)))
            }
        }
    }

    /// Verifies the signature of a pending token in pure Rust: with a table of its key where there is one.
    ///
    /// # Errors
    /// [`SignatureInvalid`], without a reason.
    pub fn verify_signature(&self, pending: &Pending) -> Result<SignatureValid, SignatureInvalid> {
        let input = pending.input();
        let key = input.key().public_key();
        // Only ES256 has tables, and a P-256 key that passed core's checks serves no other algorithm.
        let prepared = self.hot_keys.borrow_mut().get(key);
        if let Some(prepared) = prepared {
            return prepared.verify_input(input);
        }
        let valid = RustCrypto.verify(input)?;
        self.hot_keys.borrow_mut().count_valid(key);
        Ok(valid)
    }

    /// A server answered.
    pub fn on_response(fetch: Fetch, answer: Answer<'_>, now: Timestamp) -> Fetched {
        let Keys::Remote(remote) = &fetch.issuer.keys else {
            return Fetched::Failed("inline keys are never fetched".into());
        };
        let Ok(body) = std::str::from_utf8(answer.body) else {
            return Self::on_failure(&fetch, "the body is not UTF-8", now);
        };
        let outcome = match fetch.document {
            Document::Discovery => remote.borrow_mut().discovered(answer.status, body, now).map(Some),
            Document::JwkSet => {
                let Answer { status, cache_control, etag, .. } = answer;
                let response = FetchResponse { status, body, max_age: cache_control.and_then(http_cache::max_age), etag };
                remote.borrow_mut().cache.on_response(&fetch.ticket, response, now).map(|()| None)
            }
        };
        match outcome {
            Ok(Some(url)) => Fetched::Next(Fetch { document: Document::JwkSet, url, ..fetch }),
            Ok(None) => Fetched::Keys,
            Err(error) => Self::on_failure(&fetch, error.detail(), now),
        }
    }

    /// A document did not come: no connection, a redirect, too slow, too long.
    pub fn on_failure(fetch: &Fetch, reason: &str, now: Timestamp) -> Fetched {
        if let Keys::Remote(remote) = &fetch.issuer.keys {
            let mut remote = remote.borrow_mut();
            remote.cache.on_failure(&fetch.ticket, now);
            remote.location.forget();
        }
        Fetched::Failed(format!("{}: {reason}", fetch.url))
    }

    /// Every issuer's keys, in the order of the settings.
    pub fn stats(&self, mut visit: impl FnMut(IssuerStats<'_>)) {
        for issuer in self.issuers.iter() {
            let name = issuer.name.as_deref();
            visit(match &issuer.keys {
                Keys::Inline(keys) => {
                    IssuerStats { issuer: name, keys: keys.keys().len(), fetched_at: None, cache: CacheStats::default() }
                }
                Keys::Remote(remote) => {
                    let Remote { cache, .. } = &*remote.borrow();
                    IssuerStats {
                        issuer: name,
                        keys: cache.current().map_or(0, |keys| keys.keys().len()),
                        fetched_at: cache.fetched_at(),
                        cache: cache.stats(),
                    }
                }
            });
        }
    }
}

impl Issuer {
    fn new(settings: &IssuerSettings, cache: CacheSettings, seed: u64) -> Result<Self, PolicyError> {
        let verifier = Verifier::new(settings.policy()?);
        let location = match settings.key_source()? {
            KeySource::Inline(keys) => {
                return Ok(Self { name: settings.issuer.clone(), verifier, keys: Keys::Inline(keys) });
            }
            KeySource::JwksUri(url) => Location::Pinned(url),
            KeySource::Discovery(url) => {
                Location::Discovered { issuer: settings.issuer.clone().unwrap_or_default(), url, jwks_uri: None }
            }
        };
        let cache = JwksCache::new(cache, settings.key_rules(), seed)?;
        let keys = Keys::Remote(Box::new(RefCell::new(Remote { cache, location })));
        Ok(Self { name: settings.issuer.clone(), verifier, keys })
    }

    fn pending(self: &Rc<Self>, token: UnverifiedToken, keys: &JwkSet, refresh: Option<Fetch>) -> Result<Step, VerifyError> {
        let signature = self.verifier.begin(token, keys)?;
        Ok(Step::Verify(Box::new(Pending { issuer: Rc::clone(self), signature, refresh })))
    }
}

impl Pending {
    /// What a backend has to verify.
    pub fn input(&self) -> &SignatureInput {
        self.signature.input()
    }

    /// A fetch to carry out off the request path; whoever takes it reports it.
    pub fn take_refresh(&mut self) -> Option<Fetch> {
        self.refresh.take()
    }

    /// Takes the backend's answer and judges the claims.
    ///
    /// # Errors
    /// `signature_invalid`, or the first check of the claims that fails.
    pub fn finish(self, answer: Result<SignatureValid, SignatureInvalid>, now: Timestamp) -> Result<VerifiedToken, Refusal> {
        let Self { issuer, signature, .. } = self;
        let mut finished = issuer.verifier.finish(signature, answer, now)?;
        loop {
            match finished {
                Finished::Verified(token) => return Ok(token),
                Finished::KeyBinding(second) => {
                    let answer = RustCrypto.verify(second.input());
                    finished = issuer.verifier.finish(second, answer, now)?;
                }
            }
        }
    }
}

impl Fetch {
    fn new(issuer: &Rc<Issuer>, ticket: Ticket, now: Timestamp) -> Self {
        let (document, url) = match &issuer.keys {
            Keys::Remote(remote) => remote.borrow().location.next(now),
            Keys::Inline(_) => (Document::JwkSet, String::new()),
        };
        Self { issuer: Rc::clone(issuer), ticket, document, url }
    }

    /// Where from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The value of `If-None-Match` to send.
    pub fn if_none_match(&self) -> Option<&str> {
        match self.document {
            Document::JwkSet => self.ticket.etag(),
            Document::Discovery => None,
        }
    }
}

impl Remote {
    fn discovered(&mut self, status: u16, body: &str, now: Timestamp) -> Result<String, VerifyError> {
        let Location::Discovered { issuer, jwks_uri, .. } = &mut self.location else {
            return Err(VerifyError::jwks_unavailable("the location of the keys is pinned"));
        };
        if status != 200 {
            return Err(VerifyError::jwks_unavailable(format!("the discovery endpoint answered with status {status}")));
        }
        let document = Discovery::from_json(body, issuer)?;
        *jwks_uri = Some((document.jwks_uri.clone(), now.plus_secs(DISCOVERY_LIFETIME_SECS)));
        Ok(document.jwks_uri)
    }
}

impl Location {
    fn next(&self, now: Timestamp) -> (Document, String) {
        match self {
            Self::Pinned(url) => (Document::JwkSet, url.clone()),
            Self::Discovered { jwks_uri: Some((url, until)), .. } if now < *until => (Document::JwkSet, url.clone()),
            Self::Discovered { url, .. } => (Document::Discovery, url.clone()),
        }
    }

    fn forget(&mut self) {
        if let Self::Discovered { jwks_uri, .. } = self {
            *jwks_uri = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeseal_core::Jwk;

    // RFC 7515 appendix A.3: an ES256 key and a signature of the right form (here over something else).
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const START: Timestamp = Timestamp::from_secs(1_750_000_000);

    fn verifier(more: &str) -> TokenVerifier {
        let settings = format!(r#"{{"issuer":"https://i.example","audience":"a","algorithms":["ES256"]{more}}}"#);
        TokenVerifier::new(&[IssuerSettings::from_json(&settings).unwrap()], CacheSettings::default(), 1).unwrap()
    }

    fn jwks() -> String {
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","x":"{X}","y":"{Y}"}}]}}"#)
    }

    fn token(header: &str) -> String {
        use base64ct::{Base64UrlUnpadded as Base64Url, Encoding as _};
        format!("{}.{}.{SIGNATURE}", Base64Url::encode_string(header.as_bytes()), Base64Url::encode_string(b"{}"))
    }

    fn fetch(step: Step) -> Fetch {
        match step {
            Step::Fetch(fetch) => fetch,
            other => panic!("expected a fetch, got {other:?}"),
        }
    }

    fn answer(body: &str) -> Answer<'_> {
        Answer { status: 200, body: body.as_bytes(), cache_control: None, etag: Some("\"1\"".into()) }
    }

    #[test]
    fn discovery_then_keys_then_a_signature() {
        assert!(Jwk::from_json(&jwks()[9..jwks().len() - 2]).is_ok());
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let discovery = fetch(verifier.begin(&token, START));
        assert_eq!(discovery.url(), "https://i.example/.well-known/openid-configuration");
        assert!(matches!(verifier.begin(&token, START), Step::Wait));
        let document = r#"{"issuer":"https://i.example","jwks_uri":"https://i.example/jwks"}"#;
        let Fetched::Next(keys) = TokenVerifier::on_response(discovery, answer(document), START) else { panic!("no next") };
        assert_eq!((keys.url(), keys.if_none_match()), ("https://i.example/jwks", None));
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let Step::Verify(pending) = verifier.begin(&token, START) else { panic!("keys are there") };
        let refused = pending_answer(&verifier, pending).unwrap_err();
        assert_eq!(refused.code(), "signature_invalid");

        // The next document is the JWK Set at once, and conditional.
        let later = START.plus_secs(601);
        let again = fetch(verifier.begin(&token, later));
        assert_eq!((again.url(), again.if_none_match()), ("https://i.example/jwks", Some("\"1\"")));
        // A failure ends the belief in the discovered URL.
        assert!(matches!(TokenVerifier::on_failure(&again, "down", later), Fetched::Failed(_)));
        let Step::Verify(mut pending) = verifier.begin(&token, later.plus_secs(5)) else { panic!("stale keys serve") };
        let refresh = pending.take_refresh().unwrap();
        assert_eq!(refresh.url(), "https://i.example/.well-known/openid-configuration");
    }

    fn pending_answer(verifier: &TokenVerifier, pending: Box<Pending>) -> Result<VerifiedToken, Refusal> {
        let answer = verifier.verify_signature(&pending);
        pending.finish(answer, START)
    }

    #[test]
    fn another_issuers_discovery_document_is_an_outage() {
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let discovery = fetch(verifier.begin(&token, START));
        let evil = r#"{"issuer":"https://evil.example","jwks_uri":"https://i.example/jwks"}"#;
        let Fetched::Failed(reason) = TokenVerifier::on_response(discovery, answer(evil), START) else { panic!("believed") };
        assert!(reason.contains("evil.example") && reason.contains("https://i.example/.well-known/"), "{reason}");
        let Step::Refused(refusal) = verifier.begin(&token, START) else { panic!("no pause") };
        assert_eq!((refusal.code(), refusal.status()), ("jwks_unavailable", 503));
        assert!(refusal.retry_after().is_some());
    }

    #[test]
    fn what_the_policy_refuses_is_never_fetched_for() {
        let verifier = verifier("");
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"RS256","kid":"k"}"#, r#"{"alg":"ES256","crit":["x"]}"#] {
            assert!(matches!(verifier.begin(&token(header), START), Step::Refused(_)), "{header}");
        }
        assert!(matches!(verifier.begin("a.b.c", START), Step::Refused(_)));
        verifier.stats(|stats| assert_eq!(stats.cache.fetches, 0));
    }

    #[test]
    fn inline_keys_need_no_fetch() {
        let verifier = verifier(&format!(r#","jwks":{}"#, jwks()));
        assert!(matches!(verifier.begin(&token(r#"{"alg":"ES256","kid":"k"}"#), START), Step::Verify(_)));
        let Step::Refused(refusal) = verifier.begin(&token(r#"{"alg":"ES256","kid":"x"}"#), START) else { panic!("found") };
        assert_eq!(refusal.code(), "key_not_found");
        verifier.stats(|stats| assert_eq!((stats.issuer, stats.keys), (Some("https://i.example"), 1)));
    }
}
