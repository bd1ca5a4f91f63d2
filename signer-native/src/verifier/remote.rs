//! The loop around core's key cache: look up, fetch, answer the cache, look up again.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use edgeseal_core::{
    Issuers, Jwk, JwkSet, JwksCache, PolicyError, Timestamp, UnverifiedToken, VerifiedToken, Verifier, VerifyError,
    discovery::{Discovered, Discovery, MAX_DISCOVERY_LEN},
    http::{Refusal, max_age},
    jwk::KeyRules,
    jwk_set::{KeyRequest, MAX_JWKS_LEN},
    jwks_cache::{CacheSettings, FetchResponse, Lookup, Source, Ticket},
    policy::{IssuerSettings, KeySource},
};
use hyper::{Method, header};
use rustls::ClientConfig;
use tokio::sync::Notify;

use crate::{backend::Native, client, error::Failure, http::tls, keys::now};

/// One document, body included.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Discovery and JWK Set together: the cache's lease on them ends after 5 s.
const FETCH_BUDGET: Duration = Duration::from_millis(4_500);
/// How long a token waits for keys: two leases of the cache.
const PATIENCE: Duration = Duration::from_secs(10);

/// Verifies tokens of a closed list of issuers, fetches their keys, and keeps them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RemoteVerifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuers: Issuers<Issuer>,
    backend: Native,
}

#[derive(Debug)]
struct Issuer {
    verifier: Verifier,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Inline(Arc<JwkSet>),
    Remote(Arc<Remote>),
}

#[derive(Debug)]
struct Remote {
    state: Mutex<State>,
    /// Told when a fetch has ended.
    ended: Notify,
    tls: Arc<ClientConfig>,
    location: Location,
    rules: KeyRules,
}

#[derive(Debug)]
struct State {
    cache: JwksCache,
    /// What discovery said last.
    discovered: Option<Discovered>,
    /// The URL of the set at hand. Discovery may have named another one since.
    set_uri: Option<String>,
    /// Why the last fetch failed; `None` once one has succeeded.
    trouble: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Pinned(String),
    Discovered { issuer: String, url: String },
}

impl RemoteVerifier {
    /// A verifier of these issuers, with nothing fetched yet. `authority` is a PEM file of the certificates to trust
    /// instead of the system's.
    ///
    /// # Errors
    /// A setting that cannot be meant, certificates that cannot be used.
    pub fn new(settings: Vec<IssuerSettings>, authority: Option<&Path>) -> Result<Self, Failure> {
        Self::following(None, settings, authority)
    }

    /// The same, with the keys that another one has fetched of issuers that both have, so that these verify while nobody answers.
    pub(crate) fn following(
        before: Option<&Self>,
        settings: Vec<IssuerSettings>,
        authority: Option<&Path>,
    ) -> Result<Self, Failure> {
        let tls = Arc::new(tls::client(authority.map(|path| ("the certificate authority", path)), None)?);
        let issuers = settings.into_iter().map(|settings| {
            let keys = match settings.key_source()? {
                KeySource::Inline(set) => Keys::Inline(Arc::new(set)),
                KeySource::JwksUri(url) => Keys::Remote(Remote::of(before, &settings, Location::Pinned(url), &tls)?),
                KeySource::Discovery(url) => {
                    let issuer = settings.issuer.clone().unwrap_or_default();
                    Keys::Remote(Remote::of(before, &settings, Location::Discovered { issuer, url }, &tls)?)
                }
            };
            Ok((settings.issuer.clone(), Issuer { verifier: Verifier::new(settings.policy()?), keys }))
        });
        let issuers: Result<Vec<_>, PolicyError> = issuers.collect();
        let issuers = issuers.and_then(Issuers::new).map_err(|error| Failure::configuration(error.to_string()))?;
        Ok(Self(Arc::new(Inner { issuers, backend: Native::default() })))
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`Refusal`], under core's codes; `jwks_unavailable` when the keys cannot be had.
    pub async fn verify(&self, compact: &str) -> Result<VerifiedToken, Refusal> {
        let token = UnverifiedToken::parse(compact)?;
        let Issuer { verifier, keys } = self.0.issuers.route(&token)?;
        let set = match keys {
            Keys::Inline(set) => Arc::clone(set),
            Keys::Remote(remote) => {
                let request = verifier.admit(&token)?;
                remote.keys(verifier, Some(&token), request).await?
            }
        };
        Ok(verifier.verify_with(&self.0.backend, token, &set, now())?)
    }

    /// The keys of all issuers, fetched if they have to be.
    ///
    /// # Errors
    /// `jwks_unavailable` when an issuer's keys cannot be had.
    pub async fn keys(&self) -> Result<JwkSet, Refusal> {
        let mut all = Vec::new();
        for Issuer { verifier, keys } in self.0.issuers.iter() {
            let set = match (keys, verifier.policy().algorithms()) {
                (Keys::Inline(set), _) => Arc::clone(set),
                (Keys::Remote(remote), [algorithm, ..]) => {
                    let request = KeyRequest { kid: None, algorithm: *algorithm };
                    remote.keys(verifier, None, request).await?
                }
                (Keys::Remote(_), []) => continue,
            };
            all.extend(set.keys().iter().map(|key| Jwk::clone(key)));
        }
        Ok(JwkSet::from_keys(all))
    }
}

impl Remote {
    /// A new one, with the set that another verifier has of this place under the same rules. What that one has asked for in vain is
    /// forgotten: it may be there now.
    fn of(
        before: Option<&RemoteVerifier>,
        settings: &IssuerSettings,
        location: Location,
        tls: &Arc<ClientConfig>,
    ) -> Result<Arc<Self>, PolicyError> {
        let known = before.into_iter().flat_map(|before| before.0.issuers.iter()).find_map(|issuer| match &issuer.keys {
            Keys::Remote(remote) if remote.location == location && remote.rules == settings.key_rules() => Some(remote),
            _ => None,
        });
        let new = Self::new(settings, location, tls)?;
        if let Some(known) = known {
            let issuer = settings.issuer.as_deref();
            let held = known.state();
            let place = (held.discovered.clone(), held.set_uri.clone());
            let snapshot = held.set_uri.as_deref().and_then(|uri| held.cache.snapshot(issuer, uri));
            drop(held);
            let mut state = new.state();
            (state.discovered, state.set_uri) = place;
            // One that is refused is too old: it is fetched anew.
            if let Some(Err(refused)) = snapshot.map(|snapshot| {
                let source = Source { issuer, jwks_uri: Some(snapshot.jwks_uri()) };
                state.cache.restore(&snapshot, source, now())
            }) {
                tracing::debug!(%refused, "keys of another verifier");
                state.set_uri = None;
            }
            drop(state);
        }
        Ok(new)
    }

    fn new(settings: &IssuerSettings, location: Location, tls: &Arc<ClientConfig>) -> Result<Arc<Self>, PolicyError> {
        let mut seed = [0; 8];
        // Without randomness the jitter of refreshes is that of every other process: no harm to a verdict.
        let _ = getrandom::fill(&mut seed);
        let cache = JwksCache::new(CacheSettings::default(), settings.key_rules(), u64::from_le_bytes(seed))?;
        let state = Mutex::new(State { cache, discovered: None, set_uri: None, trouble: None });
        let rules = settings.key_rules();
        Ok(Arc::new(Self { state, ended: Notify::new(), tls: Arc::clone(tls), location, rules }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keys(
        self: &Arc<Self>,
        verifier: &Verifier,
        token: Option<&UnverifiedToken>,
        request: KeyRequest<'_>,
    ) -> Result<Arc<JwkSet>, Refusal> {
        let waited = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                // From here on no end of a fetch is missed.
                ended.as_mut().enable();
                let lookup = verifier.look_up(&mut self.state().cache, token, request, now())?;
                match lookup {
                    Lookup::Use(set) | Lookup::UnknownKid(set) => return Ok(set),
                    Lookup::UseAndRefresh(set, ticket) => {
                        self.begin(ticket);
                        return Ok(set);
                    }
                    // A task of its own: a caller that goes away does not take the fetch along.
                    Lookup::Fetch(ticket) => {
                        self.begin(ticket);
                        ended.await;
                    }
                    Lookup::Wait { until } => {
                        let left = Duration::from_millis(until.millis_since(now()).max(1));
                        // If nobody ends the fetch, its lease does.
                        let _ = tokio::time::timeout(left, ended).await;
                    }
                    Lookup::Unavailable { retry_at } => return Err(self.unavailable(retry_at)),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(result) => result,
            Err(_) => Err(self.unavailable(now().plus_secs(1))),
        }
    }

    fn unavailable(&self, retry_at: Timestamp) -> Refusal {
        let trouble = self.state().trouble.clone();
        Refusal::keys_unavailable(trouble.unwrap_or_else(|| "the keys have not arrived".to_owned()), retry_at, now())
    }

    fn begin(self: &Arc<Self>, mut ticket: Ticket) {
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH_BUDGET, remote.fetch(&mut ticket)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {} ms", FETCH_BUDGET.as_millis())));
            let mut state = remote.state();
            let outcome = match fetched {
                Ok((url, answer)) => {
                    let age = answer.header(&header::AGE).and_then(|age| age.parse().ok()).unwrap_or_default();
                    let response = FetchResponse {
                        status: answer.status.as_u16(),
                        body: &answer.body,
                        max_age: answer.list(&header::CACHE_CONTROL).as_deref().and_then(|list| max_age(list, age)),
                        etag: answer.header(&header::ETAG).map(ToOwned::to_owned),
                    };
                    state.answered(url, &ticket, response).map_err(|error| error.to_string())
                }
                Err(reason) => {
                    state.cache.on_failure(&ticket, now());
                    Err(reason)
                }
            };
            if let Err(reason) = &outcome {
                tracing::warn!(reason, "the keys of an issuer cannot be fetched");
                if let Some(discovered) = &mut state.discovered {
                    discovered.doubt();
                }
            }
            state.trouble = outcome.err();
            drop(state);
            remote.ended.notify_waiters();
        });
    }

    /// The answer, and the URL that gave it. The entity tag of the set at hand is for the URL that it came from.
    async fn fetch(&self, ticket: &mut Ticket) -> Result<(String, client::Answer), String> {
        let url = self.jwks_uri(ticket.is_forced()).await?;
        if self.state().set_uri.as_ref() != Some(&url) {
            *ticket = ticket.clone().unconditional();
        }
        let answer = self.get(&url, ticket.etag(), MAX_JWKS_LEN).await?;
        Ok((url, answer))
    }

    /// The keys of a forced fetch may be where discovery says by now. While its document cannot be had, they are where it said before.
    async fn jwks_uri(&self, is_forced: bool) -> Result<String, String> {
        let (issuer, url) = match &self.location {
            Location::Pinned(url) => return Ok(url.clone()),
            Location::Discovered { issuer, url } => (issuer, url),
        };
        let before = self.state().discovered.clone();
        if let Some(believed) = before.as_ref().and_then(|before| before.believed(now()))
            && !is_forced
        {
            return Ok(believed.to_owned());
        }
        match self.discover(issuer, url).await {
            Ok(jwks_uri) => {
                self.state().discovered = Some(Discovered::new(jwks_uri.clone(), now()));
                Ok(jwks_uri)
            }
            Err(reason) => {
                let known = before.as_ref().and_then(|before| before.known(now()));
                tracing::warn!(reason, known, "the discovery document of an issuer cannot be had");
                known.map(ToOwned::to_owned).ok_or(reason)
            }
        }
    }

    async fn discover(&self, issuer: &str, url: &str) -> Result<String, String> {
        let answer = self.get(url, None, MAX_DISCOVERY_LEN).await?;
        if answer.status != 200 {
            return Err(format!("{url} answered with status {}", answer.status.as_u16()));
        }
        Discovery::from_json(&answer.body, issuer).map(|discovery| discovery.jwks_uri).map_err(|error| error.to_string())
    }

    async fn get(&self, url: &str, etag: Option<&str>, most: usize) -> Result<client::Answer, String> {
        let condition = etag.map(|etag| (header::IF_NONE_MATCH, etag));
        // What is fetched is public, and core takes http:// for this machine alone.
        let tls = (!url.starts_with("http://")).then(|| Arc::clone(&self.tls));
        client::request(Method::GET, url, condition, None, tls, most, FETCH_TIMEOUT).await.map_err(|failure| failure.to_string())
    }
}

impl State {
    fn answered(&mut self, url: String, ticket: &Ticket, response: FetchResponse<'_>) -> Result<(), VerifyError> {
        let before = self.cache.current().map(Arc::as_ptr);
        self.cache.on_response(ticket, response, now())?;
        // A late answer, and a 304, leave the set that is there.
        if self.cache.current().map(Arc::as_ptr) != before {
            self.set_uri = Some(url);
        }
        Ok(())
    }
}
