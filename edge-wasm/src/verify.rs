//! What to do next for a token: [`TokenVerifier::begin`] routes it to its issuer, judges its header, asks the key cache, and
//! says whether to verify a signature, to fetch a document, or to wait. It does no I/O and awaits nothing, so the Worker and
//! the npm package share it, and each fetches and asks WebCrypto in its own way:
//!
//! ```text
//! loop {
//!     match verifier.begin(token, now) {
//!         Step::Verified(..)    => the same token was verified before, and what may have changed since was judged again
//!         Step::Verify(pending) => verifier.verify_signature(&pending), where that says nothing ask WebCrypto;
//!                                  then verifier.finish(pending, answer, now), which may come to a second signature
//!         Step::Fetch(fetch)    => GET fetch.url(), verifier.on_response(..) or on_failure(..), again
//!         Step::Wait            => somebody else is fetching: sleep a little, again
//!         Step::Refused(..)     => answer
//!     }
//! }
//! ```

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use edgeseal_core::{
    Algorithm, BoundToken, Finished, Issuers, JwkSet, JwksCache, PendingSignature, PolicyError, Possession, SignatureInvalid,
    SignatureValid, Timestamp, TokenCache, UnverifiedToken, VerifiedToken, Verifier, VerifyError,
    algorithm::Scheme,
    backend::{SignatureInput, p256::HotKeys, rsa_verify},
    discovery::{Discovered, Discovery},
    dpop::Confirmation,
    http::Refusal,
    json,
    jwk_set::KeyRequest,
    jwks_cache::{CacheSettings, CacheStats, FetchResponse, Lookup, Snapshot, Source, Ticket},
    policy::{IssuerSettings, KeySource},
    settings::Setting,
    token::SeenHeaders,
    token_cache::Known,
};
use serde_json::Value;

/// Milliseconds that one document may take to arrive, body included.
pub const FETCH_TIMEOUT_MILLIS: u64 = 3_000;
/// Milliseconds that discovery and JWK Set may take together: the cache's lease on them ends after 5 s.
pub const FETCH_BUDGET_MILLIS: u64 = 4_500;
/// Octets of a fetched document, counted while it streams in, after decompression.
pub const MAX_DOCUMENT_LEN: usize = edgeseal_core::jwk_set::MAX_JWKS_LEN;
/// Octets of tables for ES256 keys that have proved hot, 288 KiB each: a verifier with more active keys than fit goes on
/// without tables for the rest.
const HOT_KEYS_BUDGET: usize = 8 * 1024 * 1024;
/// Valid signatures after which a key is hot where pure Rust verified them: a table has paid for itself after some ten tokens.
const HOT_KEYS_THRESHOLD: u32 = 2;
/// The same where WebCrypto did, which is nearly as fast as a table: it pays after some hundreds of tokens, and an isolate that
/// has seen this many will see those too.
const HOT_KEYS_THRESHOLD_WEB_CRYPTO: u32 = 32;

/// Verifies tokens of a closed list of issuers; keeps their keys.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: Issuers<Rc<Issuer>>,
    choice: BackendChoice,
    has_web_crypto: bool,
    hot_keys: RefCell<HotKeys>,
    tokens: RefCell<TokenCache<Owner>>,
    seen_headers: RefCell<SeenHeaders>,
    keeps_tokens: bool,
    counts: Cell<Counts>,
}

/// Who may verify signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// Tables for the ES256 keys that are hot, else WebCrypto, else the pure-Rust reference where the build has it, else core's own RSA.
    #[default]
    Auto,
    /// WebCrypto alone.
    WebCrypto,
    /// The pure-Rust reference alone.
    RustCrypto,
}

impl Setting for BackendChoice {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value.as_str() {
            Some("auto") => Ok(Self::Auto),
            Some("webcrypto") => Ok(Self::WebCrypto),
            Some("rustcrypto") => Ok(Self::RustCrypto),
            _ => Err(PolicyError::new("", "must be \"auto\", \"webcrypto\" or \"rustcrypto\"")),
        }
    }
}

/// What a host gives to its verifier beside the issuers.
#[derive(Clone, Copy, Debug)]
pub struct HostSettings {
    /// Who may verify signatures.
    pub backend: BackendChoice,
    /// Whether the host has WebCrypto.
    pub has_web_crypto: bool,
    /// Octets of verified tokens to remember.
    pub token_cache: usize,
    /// Decides the jitter of refreshes.
    pub seed: u64,
    /// Whether the host brings proofs of possession: tokens bound to a key or a certificate then come out as [`Bound`]. Else they are
    /// refused (`proof_required`).
    pub proves_possession: bool,
}

/// Who verified a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `core`'s tables of hot ES256 keys.
    Tables,
    /// The host's `crypto.subtle`.
    WebCrypto,
    /// The pure-Rust reference.
    RustCrypto,
    /// `core`'s own RSA.
    Rsa,
}

/// A backend's word about one signature.
#[derive(Debug)]
pub struct Answered {
    pub(crate) backend: Backend,
    pub(crate) result: Result<SignatureValid, SignatureInvalid>,
}

impl Answered {
    /// The word itself.
    ///
    /// # Errors
    /// The signature does not verify.
    pub fn into_result(self) -> Result<SignatureValid, SignatureInvalid> {
        self.result
    }
}

/// How many signatures each backend verified, and how many tokens needed none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By [`Backend::Tables`].
    pub tables: u64,
    /// By [`Backend::WebCrypto`].
    pub web_crypto: u64,
    /// By [`Backend::RustCrypto`].
    pub rust_crypto: u64,
    /// By [`Backend::Rsa`].
    pub rsa: u64,
    /// Tokens that the token cache had.
    pub token_hits: u64,
}

#[derive(Debug)]
struct Issuer {
    name: Option<String>,
    verifier: Verifier,
    keys: Keys,
}

/// The issuer as the owner of its tokens in the cache.
#[derive(Clone, Debug)]
struct Owner(Rc<Issuer>);

#[derive(Debug)]
enum Keys {
    Inline(Arc<JwkSet>),
    Remote(Box<RefCell<Remote>>),
}

/// What an issuer has for a token.
enum KeysNow {
    /// Judge by these keys; the fetch is to be carried out off the request path.
    Ready(Arc<JwkSet>, Option<Fetch>),
    /// First this.
    Not(Step),
}

#[derive(Debug)]
struct Remote {
    cache: JwksCache,
    location: Location,
    /// The URL of the set at hand. Discovery may have named another one since.
    set_uri: Option<String>,
    /// Where the set at hand came from.
    origin: KeysOrigin,
    /// Why the last fetch failed; `None` once one has succeeded.
    trouble: Option<String>,
}

#[derive(Debug)]
enum Location {
    Pinned(String),
    /// With what discovery said last.
    Discovered {
        issuer: String,
        url: String,
        said: Option<Discovered>,
    },
}

/// Where a set came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysOrigin {
    /// There is none, or it stands in the settings.
    #[default]
    Settings,
    /// The issuer's endpoint.
    Endpoint,
    /// A layer that other isolates share, of this name.
    Layer(&'static str),
}

impl KeysOrigin {
    /// For people and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Endpoint => "endpoint",
            Self::Layer(name) => name,
        }
    }
}

/// Characters of a reason that are kept: a line of a log.
const MAX_REASON: usize = 300;

/// What to do next for a token.
#[derive(Debug)]
pub enum Step {
    /// It was verified before. The fetch is to be carried out off the request path.
    Verified(Arc<VerifiedToken>, Option<Fetch>),
    /// It was verified before, and is good together with a proof of possession. The fetch is to be carried out off the request path.
    Bound(Box<Bound>, Option<Fetch>),
    /// Verify this signature.
    Verify(Box<Pending>),
    /// Fetch this document, report it, and begin again.
    Fetch(Fetch),
    /// Another caller is fetching: begin again in some milliseconds.
    Wait,
    /// The token is refused, or the keys cannot be had. The fetch is to be carried out off the request path.
    Refused(Refusal, Option<Fetch>),
}

/// What a backend's answer comes to.
#[derive(Debug)]
pub enum Outcome {
    /// Every check has passed.
    Verified(Arc<VerifiedToken>),
    /// There is a second signature, the holder's, to be verified in the same way.
    KeyBinding(Box<Pending>),
    /// The token is good together with a proof of possession: [`TokenVerifier::prove`].
    Bound(Box<Bound>),
}

/// A token with a valid signature that is bound to a key or a certificate.
#[derive(Debug)]
pub struct Bound {
    issuer: Rc<Issuer>,
    token: BoundToken,
    /// The token's text, where it is to be remembered.
    text: Option<Box<str>>,
}

/// A token whose signature is to be verified.
#[derive(Debug)]
pub struct Pending {
    issuer: Rc<Issuer>,
    signature: PendingSignature,
    /// The token's text, where it is to be remembered.
    text: Option<Box<str>>,
    /// Whether the signature is that of a token's holder, not of its issuer.
    is_holders: bool,
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
    /// What [`max_age`](edgeseal_core::http::max_age) says of it.
    pub max_age: Option<u64>,
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
#[derive(Clone, Debug)]
pub struct IssuerStats<'a> {
    /// The issuer, where the policy names one.
    pub issuer: Option<&'a str>,
    /// Usable keys at hand.
    pub keys: usize,
    /// When they were fetched; `None` for inline keys and before the first fetch.
    pub fetched_at: Option<Timestamp>,
    /// Where they came from.
    pub origin: KeysOrigin,
    /// Why the last fetch failed; `None` when none has failed since the last success.
    pub trouble: Option<String>,
    /// The cache's counters; all 0 for inline keys.
    pub cache: CacheStats,
}

impl TokenVerifier {
    /// A verifier with empty caches.
    ///
    /// # Errors
    /// The first setting that cannot be meant, and the position of its issuer.
    pub fn new(
        issuers: &[IssuerSettings],
        cache: CacheSettings,
        host: HostSettings,
    ) -> Result<Self, (Option<usize>, PolicyError)> {
        let HostSettings { backend: choice, has_web_crypto, token_cache, seed, proves_possession } = host;
        cache.check().map_err(|error| (None, error.within("cache")))?;
        host.check().map_err(|error| (None, error))?;
        let mut entries = Vec::with_capacity(issuers.len());
        for (index, settings) in issuers.iter().enumerate() {
            host.check_algorithms(&settings.algorithms).map_err(|error| (Some(index), error))?;
            let mut issuer =
                Issuer::new(settings, cache, seed.wrapping_add(index as u64)).map_err(|error| (Some(index), error))?;
            if proves_possession {
                issuer.verifier = Verifier::new(issuer.verifier.policy().clone().with_bound_tokens());
            }
            entries.push((settings.issuer.clone(), Rc::new(issuer)));
        }
        let issuers = Issuers::new(entries).map_err(|error| (None, error))?;
        let threshold = if has_web_crypto { HOT_KEYS_THRESHOLD_WEB_CRYPTO } else { HOT_KEYS_THRESHOLD };
        Ok(Self {
            issuers,
            choice,
            has_web_crypto,
            hot_keys: RefCell::new(HotKeys::new(HOT_KEYS_BUDGET, threshold)),
            tokens: RefCell::new(TokenCache::new(token_cache)),
            seen_headers: RefCell::default(),
            keeps_tokens: token_cache > 0,
            counts: Cell::default(),
        })
    }

    /// What to do next for this token. `nonce` is what the caller gave the holder of an SD-JWT to prove possession with.
    pub fn begin(&self, compact: &str, nonce: Option<&str>, now: Timestamp) -> Step {
        self.try_begin(compact, nonce, now).unwrap_or_else(|error| Step::Refused(error.into(), None))
    }

    fn try_begin(&self, compact: &str, nonce: Option<&str>, now: Timestamp) -> Result<Step, VerifyError> {
        // No borrow of a cell spans a parse or a verification.
        let found = if nonce.is_none() { self.tokens.borrow_mut().find(compact) } else { None };
        let mut keys_now = None;
        if let Some(found) = found
            && let Some(request) = found.key_request()
        {
            let issuer = Rc::clone(&found.owner().0);
            match issuer.keys_now(None, request, now) {
                KeysNow::Ready(keys, refresh) => match self.tokens.borrow_mut().judge(found, &keys, now) {
                    Some(Ok(known)) => {
                        self.count(|counts| counts.token_hits += 1);
                        return Ok(match known {
                            Known::Verified(token) => Step::Verified(token, refresh),
                            Known::Bound(token) => Step::Bound(Box::new(Bound { issuer, token, text: None }), refresh),
                        });
                    }
                    Some(Err(error)) => return Ok(Step::Refused(error.into(), refresh)),
                    None => keys_now = Some(KeysNow::Ready(keys, refresh)),
                },
                KeysNow::Not(step) => return Ok(step),
            }
        }
        let mut seen = self.seen_headers.take();
        let parsed = UnverifiedToken::parse_with(compact, &mut seen);
        self.seen_headers.replace(seen);
        let mut token = parsed?;
        if let Some(nonce) = nonce {
            token = token.with_nonce(nonce);
        }
        let issuer = self.issuers.route(&token)?;
        let request = issuer.verifier.admit(&token)?;
        match keys_now.unwrap_or_else(|| issuer.keys_now(Some(&token), request, now)) {
            KeysNow::Ready(keys, refresh) => Ok(match issuer.verifier.begin(token, &keys) {
                Ok(signature) => {
                    let text = (self.keeps_tokens && nonce.is_none()).then(|| compact.into());
                    let issuer = Rc::clone(issuer);
                    Step::Verify(Box::new(Pending { issuer, signature, text, is_holders: false, refresh }))
                }
                Err(error) => Step::Refused(error.into(), refresh),
            }),
            KeysNow::Not(step) => Ok(step),
        }
    }

    /// Verifies the signature of a pending token, if the backend of choice is in this module; `None` asks for WebCrypto, or
    /// [`TokenVerifier::verify_without_web_crypto`] where that cannot.
    pub fn verify_signature(&self, pending: &Pending) -> Option<Answered> {
        let input = pending.input();
        match self.choice {
            BackendChoice::WebCrypto => return None,
            BackendChoice::RustCrypto => return reference(input),
            BackendChoice::Auto => {}
        }
        // Only ES256 has tables, and a P-256 key that passed core's checks serves no other algorithm.
        let prepared = self.hot_keys.borrow_mut().get(input.key().public_key());
        match prepared {
            Some(prepared) => Some(Answered { backend: Backend::Tables, result: prepared.verify_input(input) }),
            None if self.has_web_crypto => None,
            None => self.verify_without_web_crypto(pending),
        }
    }

    /// Verifies a signature that WebCrypto cannot, because it lacks the algorithm or does not take the key (workerd's takes the RSA
    /// exponents 3 and 65537 alone): in pure Rust where the build has it, else with core's own RSA, or a table that is made at
    /// once. `None` where there is no other backend.
    pub fn verify_without_web_crypto(&self, pending: &Pending) -> Option<Answered> {
        let input = pending.input();
        if self.choice == BackendChoice::WebCrypto {
            return None;
        }
        without_web_crypto(input).or_else(|| {
            let prepared = self.hot_keys.borrow_mut().get_or_make(input.key().public_key())?;
            Some(Answered { backend: Backend::Tables, result: prepared.verify_input(input) })
        })
    }

    /// Takes the backend's answer and judges the claims.
    ///
    /// # Errors
    /// `signature_invalid`, or the first check of the claims that fails.
    pub fn finish(&self, pending: Pending, answered: Answered, now: Timestamp) -> Result<Outcome, Refusal> {
        let Answered { backend, result } = answered;
        self.count(|counts| match backend {
            Backend::Tables => counts.tables += 1,
            Backend::WebCrypto => counts.web_crypto += 1,
            Backend::RustCrypto => counts.rust_crypto += 1,
            Backend::Rsa => counts.rsa += 1,
        });
        // Holders are many, and each seldom comes: their keys take no table from an issuer's.
        let heats = self.choice == BackendChoice::Auto && backend != Backend::Tables && !pending.is_holders;
        if heats && result.is_ok() {
            self.hot_keys.borrow_mut().count_valid(pending.input().key().public_key());
        }
        let Pending { issuer, signature, text, is_holders: _, refresh: _ } = pending;
        match issuer.verifier.finish(signature, result, now)? {
            Finished::Verified(token) => {
                let token = Arc::new(token);
                if let Some(text) = text {
                    self.tokens.borrow_mut().insert(&text, Owner(issuer), &token);
                }
                Ok(Outcome::Verified(token))
            }
            Finished::Bound(token) => Ok(Outcome::Bound(Box::new(Bound { issuer, token, text }))),
            Finished::KeyBinding(signature) => {
                Ok(Outcome::KeyBinding(Box::new(Pending { issuer, signature, text: None, is_holders: true, refresh: None })))
            }
        }
    }

    /// Judges the proof of possession that came with a bound token, and then the rest of its claims.
    ///
    /// # Errors
    /// `proof_required`, `proof_invalid`, or the first check of the claims that fails.
    pub fn prove(&self, bound: Bound, possession: &Possession<'_>, now: Timestamp) -> Result<Arc<VerifiedToken>, Refusal> {
        let Bound { issuer, token, text } = bound;
        let token = issuer.verifier.prove(token, possession, now)?;
        if let Some(text) = text {
            self.tokens.borrow_mut().insert(&text, Owner(issuer), &token);
        }
        Ok(token)
    }

    /// A server answered.
    pub fn on_response(fetch: Fetch, answer: Answer<'_>, now: Timestamp) -> Fetched {
        let Keys::Remote(remote) = &fetch.issuer.keys else {
            return Fetched::Failed("inline keys are never fetched".into());
        };
        let Ok(body) = std::str::from_utf8(answer.body) else {
            return Self::on_failure(fetch, "the body is not UTF-8", now);
        };
        let outcome = match fetch.document {
            Document::Discovery => remote.borrow_mut().discovered(answer.status, body, now).map(Some),
            Document::JwkSet => {
                let Answer { status, max_age, etag, .. } = answer;
                let response = FetchResponse { status, body, max_age, etag };
                remote.borrow_mut().answered(&fetch, response, now).map(|()| None)
            }
        };
        match outcome {
            Ok(Some(url)) => Fetched::Next(Fetch::of(&fetch.issuer, fetch.ticket, Document::JwkSet, url)),
            Ok(None) => {
                let mut remote = remote.borrow_mut();
                (remote.trouble, remote.origin) = (None, KeysOrigin::Endpoint);
                Fetched::Keys
            }
            Err(error) => Self::on_failure(fetch, error.detail(), now),
        }
    }

    /// A document did not come: no connection, a redirect, too slow, too long. While that of discovery cannot be had, the keys are where it
    /// said before.
    pub fn on_failure(fetch: Fetch, reason: &str, now: Timestamp) -> Fetched {
        if let (Keys::Remote(remote), Document::Discovery) = (&fetch.issuer.keys, fetch.document) {
            let known = remote.borrow().location.said().and_then(|said| said.known(now)).map(ToOwned::to_owned);
            if let Some(known) = known {
                return Fetched::Next(Fetch::of(&fetch.issuer, fetch.ticket, Document::JwkSet, known));
            }
        }
        // What a server sent may be in it.
        let reason: String = reason.chars().filter(|char| !char.is_control()).take(MAX_REASON).collect();
        let reason = format!("{}: {reason}", fetch.url);
        if let Keys::Remote(remote) = &fetch.issuer.keys {
            let mut remote = remote.borrow_mut();
            remote.cache.on_failure(&fetch.ticket, now);
            if let Location::Discovered { said: Some(said), .. } = &mut remote.location {
                said.doubt();
            }
            remote.trouble = Some(reason.clone());
        }
        Fetched::Failed(reason)
    }

    /// The fetched sets of all issuers, each as a document for [`TokenVerifier::restore`] elsewhere.
    pub fn snapshots(&self) -> Vec<String> {
        self.issuers.iter().filter_map(|issuer| issuer.snapshot()).map(|snapshot| snapshot.to_json()).collect()
    }

    /// Takes a set that was fetched elsewhere: see [`JwksCache::restore`].
    ///
    /// # Errors
    /// Why it was not taken; everything is as it was then.
    pub fn restore(&self, snapshot: &str, now: Timestamp) -> Result<(), String> {
        let snapshot = Snapshot::from_json(snapshot).map_err(|refused| refused.to_string())?;
        let name = snapshot.issuer();
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.name.as_deref() == name) else {
            let mut told = String::new();
            json::write_string(name.unwrap_or_default(), &mut told);
            return Err(format!("of the issuer {told}, which is not configured"));
        };
        issuer.restore(&snapshot, now)
    }

    /// A fetch for every issuer whose set is older than so many seconds or not there: for a host that warms the layers which its isolates
    /// share. None while another is under way or an endpoint that failed has its pause. Each is due, and its time runs, from when it is
    /// taken: a host that carries out few at once takes no more than these.
    pub fn refresh(&self, older_than: u64, now: impl Fn() -> Timestamp) -> impl Iterator<Item = Fetch> {
        self.issuers.iter().filter_map(move |issuer| {
            let Keys::Remote(remote) = &issuer.keys else { return None };
            let now = now();
            let ticket = remote.borrow_mut().cache.refresh(older_than, now)?;
            Some(Fetch::new(issuer, ticket, now))
        })
    }

    /// Who verified how much.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Who may verify.
    pub fn choice(&self) -> BackendChoice {
        self.choice
    }

    /// Tokens in the token cache, and the octets that they take.
    pub fn cached_tokens(&self) -> (usize, usize) {
        let tokens = self.tokens.borrow();
        (tokens.len(), tokens.bytes())
    }

    /// ES256 keys that have a table.
    pub fn hot_keys(&self) -> usize {
        self.hot_keys.borrow().len()
    }

    fn count(&self, one: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        one(&mut counts);
        self.counts.set(counts);
    }

    /// Every issuer's keys, in the order of the settings.
    pub fn stats(&self, mut visit: impl FnMut(IssuerStats<'_>)) {
        for issuer in self.issuers.iter() {
            let name = issuer.name.as_deref();
            visit(match &issuer.keys {
                Keys::Inline(keys) => IssuerStats {
                    issuer: name,
                    keys: keys.keys().len(),
                    fetched_at: None,
                    origin: KeysOrigin::Settings,
                    trouble: None,
                    cache: CacheStats::default(),
                },
                Keys::Remote(remote) => {
                    let Remote { cache, trouble, origin, .. } = &*remote.borrow();
                    IssuerStats {
                        issuer: name,
                        keys: cache.current().map_or(0, |keys| keys.keys().len()),
                        fetched_at: cache.fetched_at(),
                        origin: *origin,
                        trouble: trouble.clone(),
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
                return Ok(Self { name: settings.issuer.clone(), verifier, keys: Keys::Inline(Arc::new(keys)) });
            }
            KeySource::JwksUri(url) => Location::Pinned(url),
            KeySource::Discovery(url) => {
                Location::Discovered { issuer: settings.issuer.clone().unwrap_or_default(), url, said: None }
            }
        };
        let cache = JwksCache::new(cache, settings.key_rules(), seed)?;
        let keys = Keys::Remote(Box::new(RefCell::new(Remote {
            cache,
            location,
            set_uri: None,
            origin: KeysOrigin::default(),
            trouble: None,
        })));
        Ok(Self { name: settings.issuer.clone(), verifier, keys })
    }

    /// `token` is absent where it was verified before.
    fn keys_now(self: &Rc<Self>, token: Option<&UnverifiedToken>, request: KeyRequest<'_>, now: Timestamp) -> KeysNow {
        let remote = match &self.keys {
            Keys::Inline(keys) => return KeysNow::Ready(Arc::clone(keys), None),
            Keys::Remote(remote) => remote,
        };
        let lookup = match self.verifier.look_up(&mut remote.borrow_mut().cache, token, request, now) {
            Ok(lookup) => lookup,
            Err(error) => return KeysNow::Not(Step::Refused(error.into(), None)),
        };
        match lookup {
            Lookup::Use(keys) | Lookup::UnknownKid(keys) => KeysNow::Ready(keys, None),
            Lookup::UseAndRefresh(keys, ticket) => KeysNow::Ready(keys, Some(Fetch::new(self, ticket, now))),
            Lookup::Fetch(ticket) => KeysNow::Not(Step::Fetch(Fetch::new(self, ticket, now))),
            Lookup::Wait { .. } => KeysNow::Not(Step::Wait),
            Lookup::Unavailable { retry_at } => {
                let name = self.name.as_deref().unwrap_or("the issuer");
                let mut detail = format!("the keys of {name} cannot be had");
                if let Some(trouble) = &remote.borrow().trouble {
                    detail = format!("{detail}: {trouble}");
                }
                let refusal = Refusal::keys_unavailable(detail, retry_at, now);
                KeysNow::Not(Step::Refused(refusal, None))
            }
        }
    }
}

impl Issuer {
    fn snapshot(&self) -> Option<Snapshot> {
        let Keys::Remote(remote) = &self.keys else { return None };
        let Remote { cache, location, set_uri, .. } = &*remote.borrow();
        let snapshot = cache.snapshot(self.name.as_deref(), set_uri.as_deref()?)?;
        Some(snapshot.with_discovered(matches!(location, Location::Discovered { .. })))
    }

    fn restore(&self, snapshot: &Snapshot, now: Timestamp) -> Result<(), String> {
        let Keys::Remote(remote) = &self.keys else { return Err("its issuer's keys are given in the settings".into()) };
        let Remote { cache, location, set_uri, origin, .. } = &mut *remote.borrow_mut();
        let source = Source { issuer: self.name.as_deref(), jwks_uri: location.jwks_uri(now) };
        cache.restore(snapshot, source, now).map_err(|refused| refused.to_string())?;
        // Unless whoever calls knows better.
        *origin = KeysOrigin::Endpoint;
        *set_uri = Some(snapshot.jwks_uri().into());
        Ok(())
    }
}

impl AsRef<Verifier> for Owner {
    fn as_ref(&self) -> &Verifier {
        &self.0.verifier
    }
}

impl HostSettings {
    fn check(&self) -> Result<(), PolicyError> {
        match self.backend {
            BackendChoice::WebCrypto if !self.has_web_crypto => {
                Err(PolicyError::new("backend", "is webcrypto, and this host has no crypto.subtle"))
            }
            BackendChoice::RustCrypto if !HAS_REFERENCE => {
                Err(PolicyError::new("backend", "is rustcrypto, which is not in this build: import edgeseal/reference"))
            }
            _ => Ok(()),
        }
    }

    /// Without WebCrypto and the reference there are ES256, by its tables, and RSA.
    fn check_algorithms(&self, algorithms: &[Algorithm]) -> Result<(), PolicyError> {
        let is_own = |algorithm: &Algorithm| {
            *algorithm == Algorithm::Es256 || matches!(algorithm.scheme(), Scheme::RsaPkcs1(_) | Scheme::RsaPss(_))
        };
        let unserved = algorithms.iter().find(|algorithm| !is_own(algorithm));
        match unserved {
            Some(algorithm) if !self.has_web_crypto && !HAS_REFERENCE => {
                let message = format!("{algorithm} needs crypto.subtle, which this host has not: import edgeseal/reference");
                Err(PolicyError::new("algorithms", message))
            }
            _ => Ok(()),
        }
    }
}

impl BackendChoice {
    /// The name in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::WebCrypto => "webcrypto",
            Self::RustCrypto => "rustcrypto",
        }
    }
}

impl Bound {
    /// What it is bound to.
    pub fn confirmation(&self) -> &Confirmation {
        self.token.confirmation()
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

    /// Gives a fetch that was taken to the token's second signature.
    pub fn set_refresh(&mut self, refresh: Option<Fetch>) {
        self.refresh = refresh;
    }
}

/// Whether the pure-Rust reference is part of this build.
pub const HAS_REFERENCE: bool = cfg!(feature = "rustcrypto");

/// The pure-Rust reference, where the build has it.
#[cfg(feature = "rustcrypto")]
#[expect(clippy::unnecessary_wraps, reason = "a build without it has none")]
pub(crate) fn reference(input: &SignatureInput) -> Option<Answered> {
    use edgeseal_core::backend::{SignatureBackend as _, rustcrypto::RustCrypto};

    Some(Answered { backend: Backend::RustCrypto, result: RustCrypto.verify(input) })
}

#[cfg(not(feature = "rustcrypto"))]
pub(crate) fn reference(_: &SignatureInput) -> Option<Answered> {
    None
}

/// For a key that WebCrypto does not take: the reference, or core's own RSA.
pub(crate) fn without_web_crypto(input: &SignatureInput) -> Option<Answered> {
    reference(input).or_else(|| own_rsa(input))
}

/// Core's own RSA; `None` for other algorithms.
pub(crate) fn own_rsa(input: &SignatureInput) -> Option<Answered> {
    rsa_verify::verify(input).map(|result| Answered { backend: Backend::Rsa, result })
}

impl Fetch {
    fn new(issuer: &Rc<Issuer>, ticket: Ticket, now: Timestamp) -> Self {
        let (document, url) = match &issuer.keys {
            Keys::Remote(remote) => remote.borrow().location.next(ticket.is_forced(), now),
            Keys::Inline(_) => (Document::JwkSet, String::new()),
        };
        Self::of(issuer, ticket, document, url)
    }

    /// The entity tag of the set at hand is for the URL that it came from.
    fn of(issuer: &Rc<Issuer>, ticket: Ticket, document: Document, url: String) -> Self {
        let issuer = Rc::clone(issuer);
        let is_conditional = match (&issuer.keys, document) {
            (Keys::Remote(remote), Document::JwkSet) => remote.borrow().set_uri.as_ref() == Some(&url),
            // Whether its answer names that URL is not known yet.
            _ => true,
        };
        let ticket = if is_conditional { ticket } else { ticket.unconditional() };
        Self { issuer, ticket, document, url }
    }

    /// Where from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The issuer whose keys are fetched; `None` where the policy skips it.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.name.as_deref()
    }

    /// Whether only the endpoint can answer: the set at hand is good and lacks the key that is asked for.
    pub fn is_forced(&self) -> bool {
        self.ticket.is_forced()
    }

    /// Takes a set that another isolate fetched, from the shared layer of this name, in the place of this fetch: validated like a
    /// response, as old as it is. `true` when no fetch is needed any more.
    ///
    /// # Errors
    /// Why the set was not taken; the fetch is then still to be made.
    pub fn restore(&self, snapshot: &str, layer: &'static str, now: Timestamp) -> Result<bool, String> {
        let snapshot = Snapshot::from_json(snapshot).map_err(|refused| refused.to_string())?;
        self.issuer.restore(&snapshot, now)?;
        let Keys::Remote(remote) = &self.issuer.keys else { return Ok(false) };
        let mut remote = remote.borrow_mut();
        remote.origin = KeysOrigin::Layer(layer);
        Ok(remote.cache.spare(&self.ticket, now))
    }

    /// The keys that the fetch is for, to be shared with other isolates once they are there.
    pub fn shared(&self) -> SharedKeys {
        SharedKeys(Rc::clone(&self.issuer))
    }

    /// The value of `If-None-Match` to send.
    pub fn if_none_match(&self) -> Option<&str> {
        match self.document {
            Document::JwkSet => self.ticket.etag(),
            Document::Discovery => None,
        }
    }
}

/// An issuer's keys, as they stand in shared layers.
#[derive(Clone, Debug)]
pub struct SharedKeys(Rc<Issuer>);

impl SharedKeys {
    /// The issuer; `None` where the policy skips it.
    pub fn issuer(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// The set at hand as a document for [`Fetch::restore`] elsewhere, and the seconds for which it is of any use.
    pub fn snapshot(&self, now: Timestamp) -> Option<(String, u64)> {
        let snapshot = self.0.snapshot()?;
        let Keys::Remote(remote) = &self.0.keys else { return None };
        let until = remote.borrow().cache.usable_until()?;
        Some((snapshot.to_json(), until.millis_since(now) / 1_000))
    }
}

impl Remote {
    fn discovered(&mut self, status: u16, body: &str, now: Timestamp) -> Result<String, VerifyError> {
        let Location::Discovered { issuer, said, .. } = &mut self.location else {
            return Err(VerifyError::jwks_unavailable("the location of the keys is pinned"));
        };
        if status != 200 {
            return Err(VerifyError::jwks_unavailable(format!("the discovery endpoint answered with status {status}")));
        }
        let document = Discovery::from_json(body, issuer)?;
        *said = Some(Discovered::new(document.jwks_uri.clone(), now));
        Ok(document.jwks_uri)
    }

    fn answered(&mut self, fetch: &Fetch, response: FetchResponse<'_>, now: Timestamp) -> Result<(), VerifyError> {
        let before = self.cache.current().map(Arc::as_ptr);
        self.cache.on_response(&fetch.ticket, response, now)?;
        // A late answer, and a 304, leave the set that is there.
        if self.cache.current().map(Arc::as_ptr) != before {
            self.set_uri = Some(fetch.url.clone());
        }
        Ok(())
    }
}

impl Location {
    /// The keys of a forced fetch may be where discovery says by now.
    fn next(&self, is_forced: bool, now: Timestamp) -> (Document, String) {
        match (self, self.jwks_uri(now)) {
            (Self::Discovered { url, .. }, known) if is_forced || known.is_none() => (Document::Discovery, url.clone()),
            (_, known) => (Document::JwkSet, known.unwrap_or_default().into()),
        }
    }

    /// Where the set is, as far as that is known.
    fn jwks_uri(&self, now: Timestamp) -> Option<&str> {
        match self {
            Self::Pinned(url) => Some(url),
            Self::Discovered { .. } => self.said()?.believed(now),
        }
    }

    fn said(&self) -> Option<&Discovered> {
        match self {
            Self::Pinned(_) => None,
            Self::Discovered { said, .. } => said.as_ref(),
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

    const HOST: HostSettings = HostSettings {
        backend: BackendChoice::Auto,
        has_web_crypto: false,
        token_cache: 10_000,
        seed: 1,
        proves_possession: false,
    };

    fn verifier(more: &str) -> TokenVerifier {
        let settings = format!(r#"{{"issuer":"https://i.example","audience":"a","algorithms":["ES256"]{more}}}"#);
        TokenVerifier::new(&[IssuerSettings::from_json(&settings).unwrap()], CacheSettings::default(), HOST).unwrap()
    }

    fn jwks() -> String {
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","x":"{X}","y":"{Y}"}}]}}"#)
    }

    fn token(header: &str) -> String {
        token_of(header, r#"{"iss":"https://i.example"}"#)
    }

    fn of_another(header: &str) -> String {
        token_of(header, r#"{"iss":"https://other.example"}"#)
    }

    fn token_of(header: &str, claims: &str) -> String {
        use base64ct::{Base64UrlUnpadded as Base64Url, Encoding as _};
        format!("{}.{}.{SIGNATURE}", Base64Url::encode_string(header.as_bytes()), Base64Url::encode_string(claims.as_bytes()))
    }

    fn fetch(step: Step) -> Fetch {
        match step {
            Step::Fetch(fetch) => fetch,
            other => panic!("expected a fetch, got {other:?}"),
        }
    }

    fn answer(body: &str) -> Answer<'_> {
        Answer { status: 200, body: body.as_bytes(), max_age: None, etag: Some("\"1\"".into()) }
    }

    #[test]
    fn discovery_then_keys_then_a_signature() {
        assert!(Jwk::from_json(&jwks()[9..jwks().len() - 2]).is_ok());
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let discovery = fetch(verifier.begin(&token, None, START));
        assert_eq!(discovery.url(), "https://i.example/.well-known/openid-configuration");
        assert!(matches!(verifier.begin(&token, None, START), Step::Wait));
        let keys = discovered(discovery, "jwks", START);
        assert_eq!((keys.url(), keys.if_none_match()), ("https://i.example/jwks", None));
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let Step::Verify(pending) = verifier.begin(&token, None, START) else { panic!("keys are there") };
        let refused = pending_answer(&verifier, pending).unwrap_err();
        assert_eq!(refused.code(), "signature_invalid");

        // The next document is the JWK Set at once, and conditional.
        let later = START.plus_secs(601);
        let again = fetch(verifier.begin(&token, None, later));
        assert_eq!((again.url(), again.if_none_match()), ("https://i.example/jwks", Some("\"1\"")));
        // A failure ends the belief in the discovered URL.
        assert!(matches!(TokenVerifier::on_failure(again, "down", later), Fetched::Failed(_)));
        let Step::Verify(mut pending) = verifier.begin(&token, None, later.plus_secs(5)) else { panic!("stale keys serve") };
        let refresh = pending.take_refresh().unwrap();
        assert_eq!(refresh.url(), "https://i.example/.well-known/openid-configuration");
    }

    /// The code of a refusal that asks for no fetch.
    fn refused(step: Step) -> String {
        match step {
            Step::Refused(refusal, None) => refusal.code().to_owned(),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// The fetch of the keys that discovery says to be there.
    fn discovered(fetch: Fetch, path: &str, now: Timestamp) -> Fetch {
        let document = format!(r#"{{"issuer":"https://i.example","jwks_uri":"https://i.example/{path}"}}"#);
        match TokenVerifier::on_response(fetch, answer(&document), now) {
            Fetched::Next(keys) => keys,
            other => panic!("expected the keys, got {other:?}"),
        }
    }

    fn pending_answer(verifier: &TokenVerifier, pending: Box<Pending>) -> Result<Outcome, Refusal> {
        let answer = verifier.verify_signature(&pending).unwrap();
        verifier.finish(*pending, answer, START)
    }

    #[test]
    fn a_set_keeps_the_url_that_it_came_from() {
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let urls = |verifier: &TokenVerifier| -> Vec<String> {
            let read = |text: &String| Snapshot::from_json(text).unwrap().jwks_uri().to_owned();
            verifier.snapshots().iter().map(read).collect()
        };
        let keys = discovered(fetch(verifier.begin(&token, None, START)), "old", START);
        assert!(urls(&verifier).is_empty());
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));

        // Elsewhere discovery has not said anything, and need not.
        let second = super::tests::verifier("");
        second.restore(&verifier.snapshots()[0], START.plus_secs(1)).unwrap();
        assert_eq!(second.snapshots(), verifier.snapshots());
        assert_eq!(
            fetch(second.begin(&token, None, START.plus_secs(601))).url(),
            "https://i.example/.well-known/openid-configuration"
        );

        // A failure ends the belief in what was discovered, not the set.
        let mut now = START.plus_secs(601);
        let failing = fetch(verifier.begin(&token, None, now));
        assert!(matches!(TokenVerifier::on_failure(failing, "down", now), Fetched::Failed(_)));
        assert_eq!(urls(&verifier), ["https://i.example/old"]);

        // The entity tag of the old URL says nothing at the new one, and the set is the old one's until the new one has given another.
        for status in [304, 200] {
            now = now.plus_secs(600);
            let keys = discovered(fetch(verifier.begin(&token, None, now)), "new", now);
            assert_eq!((keys.url(), keys.if_none_match()), ("https://i.example/new", None));
            assert_eq!(urls(&verifier), ["https://i.example/old"]);
            let fetched = TokenVerifier::on_response(keys, Answer { status, ..answer(&jwks()) }, now);
            assert_eq!(matches!(fetched, Fetched::Keys), status == 200, "{fetched:?}");
        }
        assert_eq!(urls(&verifier), ["https://i.example/new"]);
        assert_eq!(fetch(verifier.begin(&token, None, now.plus_secs(601))).if_none_match(), Some("\"1\""));
    }

    const DISCOVERY: &str = "https://i.example/.well-known/openid-configuration";

    #[test]
    fn a_set_that_was_pinned_is_not_restored_where_discovery_decides() {
        let pinned = |path: &str| verifier(&format!(r#","jwks_uri":"https://i.example/{path}""#));
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let old = pinned("old");
        let keys = fetch(old.begin(&token, None, START));
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let was_pinned = old.snapshots().remove(0);
        let discovering = verifier("");
        let refused = discovering.restore(&was_pinned, START).unwrap_err();
        assert!(refused.contains("where discovery says"), "{refused}");

        // Another cold isolate takes what discovery has named, and so does one that is pinned to just that.
        let keys = discovered(fetch(discovering.begin(&token, None, START)), "new", START);
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let was_discovered = discovering.snapshots().remove(0);
        verifier("").restore(&was_discovered, START).unwrap();
        pinned("new").restore(&was_discovered, START).unwrap();
        assert!(pinned("old").restore(&was_discovered, START).is_err());
    }

    #[test]
    fn a_forced_fetch_asks_discovery_anew() {
        let verifier = verifier("");
        let known = token(r#"{"alg":"ES256","kid":"k"}"#);
        let keys = discovered(fetch(verifier.begin(&known, None, START)), "old", START);
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let now = START.plus_secs(60);
        let forced = fetch(verifier.begin(&token(r#"{"alg":"ES256","kid":"new"}"#), None, now));
        assert_eq!((forced.url(), forced.is_forced()), (DISCOVERY, true));
        let keys = discovered(forced, "new", now);
        assert_eq!((keys.url(), keys.if_none_match()), ("https://i.example/new", None));
        let moved = jwks().replace(r#""kid":"k""#, r#""kid":"new""#);
        assert!(matches!(TokenVerifier::on_response(keys, answer(&moved), now), Fetched::Keys));
        // Those two requests are all that made-up kids get within the cooldown.
        for kid in 0..3 {
            let unknown = token(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
            assert_eq!(refused(verifier.begin(&unknown, None, now)), "key_not_found");
        }
    }

    #[test]
    fn without_its_discovery_document_the_keys_are_where_it_said_before() {
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let keys = discovered(fetch(verifier.begin(&token, None, START)), "jwks", START);
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        // Both fail once, and the document goes on failing.
        let mut now = START.plus_secs(601);
        assert!(matches!(TokenVerifier::on_failure(fetch(verifier.begin(&token, None, now)), "down", now), Fetched::Failed(_)));
        let evil = r#"{"issuer":"https://evil.example","jwks_uri":"https://evil.example/jwks"}"#;
        for status in [503, 200, 0] {
            now = now.plus_secs(4_000);
            let discovery = fetch(verifier.begin(&token, None, now));
            assert_eq!(discovery.url(), DISCOVERY);
            let fetched = match status {
                0 => TokenVerifier::on_failure(discovery, "down", now),
                _ => TokenVerifier::on_response(discovery, Answer { status, ..answer(evil) }, now),
            };
            let Fetched::Next(keys) = fetched else { panic!("{fetched:?}") };
            assert_eq!((keys.url(), keys.if_none_match()), ("https://i.example/jwks", Some("\"1\"")));
            assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), now), Fetched::Keys));
            assert!(matches!(verifier.begin(&token, None, now), Step::Verify(_)));
        }
        // A day after it was named it is known no more.
        now = START.plus_secs(86_400);
        let discovery = fetch(verifier.begin(&token, None, now));
        assert!(matches!(TokenVerifier::on_failure(discovery, "down", now), Fetched::Failed(_)));
    }

    #[test]
    fn another_issuers_discovery_document_is_an_outage() {
        let verifier = verifier("");
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let discovery = fetch(verifier.begin(&token, None, START));
        let evil = r#"{"issuer":"https://evil.example","jwks_uri":"https://i.example/jwks"}"#;
        let Fetched::Failed(reason) = TokenVerifier::on_response(discovery, answer(evil), START) else { panic!("believed") };
        assert!(reason.contains("evil.example") && reason.contains("https://i.example/.well-known/"), "{reason}");
        let Step::Refused(refusal, None) = verifier.begin(&token, None, START) else { panic!("no pause") };
        assert_eq!((refusal.code(), refusal.status()), ("jwks_unavailable", 503));
        assert!(refusal.retry_after().is_some());
    }

    #[test]
    fn what_the_policy_refuses_is_never_fetched_for() {
        let verifier = verifier("");
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"RS256","kid":"k"}"#, r#"{"alg":"ES256","crit":["x"]}"#] {
            assert!(matches!(verifier.begin(&token(header), None, START), Step::Refused(..)), "{header}");
        }
        assert!(matches!(verifier.begin("a.b.c", None, START), Step::Refused(..)));
        assert_eq!(refused(verifier.begin(&of_another(r#"{"alg":"ES256","kid":"k"}"#), None, START)), "issuer_mismatch");
        verifier.stats(|stats| assert_eq!(stats.cache.fetches, 0));
    }

    #[test]
    fn another_issuers_tokens_take_no_fetch_from_its_own() {
        let verifier = verifier("");
        let known = token(r#"{"alg":"ES256","kid":"k"}"#);
        let keys = discovered(fetch(verifier.begin(&known, None, START)), "jwks", START);
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        for kid in 0..3 {
            let unknown = of_another(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
            assert_eq!(refused(verifier.begin(&unknown, None, START)), "key_not_found");
        }
        verifier.stats(|stats| assert_eq!(stats.cache.fetches, 1));
        // Of a known key the signature decides, and past the set's freshness too.
        for now in [START, START.plus_secs(601)] {
            assert!(matches!(verifier.begin(&of_another(r#"{"alg":"ES256","kid":"k"}"#), None, now), Step::Verify(_)));
        }
        // The key that the issuer has just begun to use is asked for at once.
        assert!(fetch(verifier.begin(&token(r#"{"alg":"ES256","kid":"new"}"#), None, START)).is_forced());
    }

    #[test]
    fn a_set_from_a_layer_spares_the_fetch() {
        let token = token(r#"{"alg":"ES256","kid":"k"}"#);
        let first = verifier("");
        let keys = discovered(fetch(first.begin(&token, None, START)), "jwks", START);
        let shared = keys.shared();
        assert!(shared.snapshot(START).is_none(), "there is no set yet");
        assert!(matches!(TokenVerifier::on_response(keys, answer(&jwks()), START), Fetched::Keys));
        let (text, seconds) = shared.snapshot(START.plus_secs(100)).unwrap();
        assert_eq!((shared.issuer(), seconds), (Some("https://i.example"), 4_100));

        let second = verifier("");
        let cold = fetch(second.begin(&token, None, START.plus_secs(200)));
        assert!(!cold.is_forced());
        assert!(cold.restore("{}", "kv", START.plus_secs(200)).is_err());
        assert_eq!(cold.restore(&text, "kv", START.plus_secs(200)), Ok(true));
        assert!(matches!(second.begin(&token, None, START.plus_secs(200)), Step::Verify(_)));
        // And goes on to the layers before that one.
        assert_eq!(cold.shared().snapshot(START.plus_secs(200)), Some((text.clone(), 4_000)));
        second.stats(|stats| {
            assert_eq!((stats.origin, stats.fetched_at), (KeysOrigin::Layer("kv"), Some(START)));
            assert_eq!((stats.cache.fetches, stats.cache.suppressed), (0, 1));
        });
        // What is past its freshness is kept, and the fetch is made.
        let third = verifier("");
        let late = fetch(third.begin(&token, None, START.plus_secs(700)));
        assert_eq!(late.restore(&text, "kv", START.plus_secs(700)), Ok(false));
        assert!(matches!(TokenVerifier::on_failure(late, "down", START.plus_secs(700)), Fetched::Failed(_)));
        assert!(matches!(third.begin(&token, None, START.plus_secs(700)), Step::Verify(_)), "stale keys serve in an outage");
        // A key that no layer has is asked of the endpoint.
        let unknown = fetch(second.begin(&super::tests::token(r#"{"alg":"ES256","kid":"new"}"#), None, START.plus_secs(300)));
        assert!(unknown.is_forced());
        let warmed: Vec<Fetch> = verifier("").refresh(240, || START).collect();
        assert!(warmed.len() == 1 && !warmed[0].is_forced());
        assert!(first.refresh(240, || START.plus_secs(100)).next().is_none());
        assert!(first.refresh(240, || START.plus_secs(300)).next().unwrap().is_forced());
    }

    #[test]
    fn an_issuers_refresh_begins_when_it_is_taken() {
        let issuer = |name: &str| {
            let settings = format!(r#"{{"issuer":"https://{name}.example","audience":"a","algorithms":["ES256"]}}"#);
            IssuerSettings::from_json(&settings).unwrap()
        };
        let verifier = TokenVerifier::new(&[issuer("i"), issuer("j")], CacheSettings::default(), HOST).unwrap();
        let fetches = || {
            let mut all = Vec::new();
            verifier.stats(|stats| all.push(stats.cache.fetches));
            all
        };
        let clock = Cell::new(START);
        let mut due = verifier.refresh(240, || clock.get());
        assert_eq!(fetches(), [0, 0]);
        let hanging = due.next().unwrap();
        assert_eq!(fetches(), [1, 0]);
        // The first one has had its time, and its failure is nobody else's.
        clock.set(START.plus_secs(10));
        assert!(matches!(TokenVerifier::on_failure(hanging, "no answer", clock.get()), Fetched::Failed(_)));
        let second = due.next().unwrap();
        assert_eq!((second.issuer(), fetches()), (Some("https://j.example"), vec![1, 1]));
        assert!(due.next().is_none());
        let document = r#"{"issuer":"https://j.example","jwks_uri":"https://j.example/jwks"}"#;
        assert!(matches!(TokenVerifier::on_response(second, answer(document), clock.get()), Fetched::Next(_)));
    }

    #[test]
    fn inline_keys_need_no_fetch() {
        let verifier = verifier(&format!(r#","jwks":{}"#, jwks()));
        assert!(matches!(verifier.begin(&token(r#"{"alg":"ES256","kid":"k"}"#), None, START), Step::Verify(_)));
        let Step::Refused(refusal, None) = verifier.begin(&token(r#"{"alg":"ES256","kid":"x"}"#), None, START) else {
            panic!("found")
        };
        assert_eq!(refusal.code(), "key_not_found");
        verifier.stats(|stats| assert_eq!((stats.issuer, stats.keys), (Some("https://i.example"), 1)));
    }
}
