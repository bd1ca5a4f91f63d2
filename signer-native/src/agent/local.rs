//! The face towards applications on this machine: a Unix socket whose peers are known by their user id, and, when it is asked
//! for, a loopback listener whose callers show a secret.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    JwkSet, UnverifiedToken, Verifier,
    http::Refusal,
    policy::{DangerousSettings, IssuerSettings, OneOrMany},
    sd::{KeyBinding, MAX_PRESENTATION_LEN, SdJwtSettings},
};
use hyper::{Method, StatusCode};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{
    AgentConfig, Loopback, build,
    profiles::{About, Described, Profiles, Refused, Trusted},
    renewal::{Watched, keep_up},
    signers::{Answer, Signers, random},
};
use crate::{
    error::{Failure, FailureKind},
    http::{
        agents::Audience,
        exchange::{Exchanges, HEAD_TIMEOUT, Requests},
        input::{parse, read},
        problem::{Code, Problem},
        public::{method_not_allowed, not_found},
    },
    issue::{Lifetime, Mode, Request, policy},
    keys::{Moment, now},
    verifier::RemoteVerifier,
};

/// Octets of a request.
const MAX_BODY: usize = 64 * 1024;
/// Octets of a token in a request to verify: a presentation with all its disclosures.
const MAX_PRESENTATION: usize = MAX_PRESENTATION_LEN + 1_024;
/// Connections at a time.
const MAX_CONNECTIONS: usize = 512;
/// How long open requests may take after the process was told to end.
const DRAIN: Duration = Duration::from_secs(5);

/// The daemon, bound and with its certificate, before it serves.
pub struct Daemon {
    shared: Arc<Shared>,
    socket: UnixListener,
    path: PathBuf,
    owner: u32,
    users: Vec<u32>,
    loopback: Option<(TcpListener, SocketAddr, Loopback)>,
    /// The files of certificate, key and authority.
    files: Watched,
    /// The file of certificate and key, where they are one file and can be renewed together.
    identity: Option<PathBuf>,
}

struct Shared {
    signers: Arc<Signers>,
    profiles: Profiles,
    ca: Option<PathBuf>,
    /// For the issuers that were known when it was made.
    verifier: Mutex<Option<(Vec<IssuerSettings>, RemoteVerifier)>>,
}

/// Who is asking, and how.
#[derive(Clone, Debug)]
enum Caller {
    /// A process of this user.
    User(u32),
    /// A process of a user that may not be here.
    Stranger(u32),
    /// A connection to the loopback listener, which is called so.
    Loopback(Arc<Expected>),
}

struct Expected {
    hosts: [String; 2],
    secret: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Expected").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Daemon {
    /// Binds, and reads the certificate. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// A socket or an address in use, certificates that cannot be used.
    pub async fn open(config: AgentConfig) -> Result<Self, Failure> {
        let files = [Some(&config.certificate), Some(&config.key), config.ca.as_ref()];
        let files = Watched::new(files.into_iter().flatten().cloned().collect());
        let signers = Arc::new(Signers::new(&config)?);
        let AgentConfig { socket: path, users, loopback, ca, certificate, key, .. } = config;
        let identity = (certificate == key).then_some(certificate);
        let loopback = match loopback {
            None => None,
            Some(loopback) => {
                let (listener, address) = bind_loopback(loopback.address).await?;
                Some((listener, address, loopback))
            }
        };
        let socket = bind_socket(&path).await?;
        let owner = fs::metadata(&path).map_err(|error| unusable(&path, &error))?.uid();
        let shared = Arc::new(Shared { signers, profiles: Profiles::default(), ca, verifier: Mutex::default() });
        Ok(Self { shared, socket, path, owner, users, loopback, files, identity })
    }

    /// Where the loopback listener really listens.
    pub fn loopback_address(&self) -> Option<SocketAddr> {
        self.loopback.as_ref().map(|(_, address, _)| *address)
    }

    /// The signers that it talks to.
    pub fn signers(&self) -> &Arc<Signers> {
        &self.shared.signers
    }

    /// Serves until `stop` becomes true, then drains and removes the socket.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let Self { shared, socket, path, owner, users, loopback, files, identity } = self;
        let mut background = JoinSet::new();
        background.spawn(Arc::clone(&shared.signers).send_batches());
        background.spawn(Arc::clone(&shared.signers).look_after());
        let reloaded = Arc::clone(&shared);
        background.spawn(keep_up(files, identity, Arc::clone(&shared.signers), move || reloaded.reload()));
        let router = router(shared);
        let graceful = GracefulShutdown::new();
        // Of its own each: whoever may connect to the loopback address need not be anybody whom the socket would take.
        let (of_socket, of_loopback) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        let expected = loopback.as_ref().map(|(_, address, loopback)| {
            let hosts = [address.to_string(), format!("localhost:{}", address.port())];
            Arc::new(Expected { hosts, secret: loopback.secret.clone() })
        });
        loop {
            let over_tcp = async {
                match &loopback {
                    Some((listener, ..)) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Whom the kernel does not name is nobody.
                        let Ok(user) = stream.peer_cred().map(|peer| peer.uid()) else { continue };
                        serve_one(stream, peer(user, owner, &users), &router, &graceful, &of_socket);
                    }
                    Err(error) => pause_after(&error).await,
                },
                accepted = over_tcp => match (accepted, &expected) {
                    (Ok((stream, _)), Some(expected)) => {
                        let _ = stream.set_nodelay(true);
                        serve_one(stream, Caller::Loopback(Arc::clone(expected)), &router, &graceful, &of_loopback);
                    }
                    (Ok(_), None) => {}
                    (Err(error), _) => pause_after(&error).await,
                },
                // An error means that nobody can tell us any more: the process is ending.
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // Nobody finds the socket from here on; those who did are answered.
        let _ = fs::remove_file(&path);
        drop((socket, loopback));
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end in time");
        }
        background.shutdown().await;
    }
}

/// Out of file descriptors, or the peer was gone already: neither may end the listener.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "accept");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Who is at the other end, as the kernel says. The socket's mode keeps strangers out already, unless somebody loosened it.
fn peer(user: u32, owner: u32, users: &[u32]) -> Caller {
    if user == owner || users.contains(&user) { Caller::User(user) } else { Caller::Stranger(user) }
}

fn serve_one<S>(stream: S, caller: Caller, router: &Router, graceful: &GracefulShutdown, places: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        tracing::warn!("{MAX_CONNECTIONS} connections are open; another one was closed");
        return;
    };
    let requests = Arc::new(Requests::default());
    let service = router.clone().layer(Extension(caller));
    let service = TowerToHyperService::new(Exchanges { service, requests: Arc::clone(&requests) });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let served = graceful.watcher().watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::spawn(async move {
        tokio::select! {
            served = served => if let Err(error) = served {
                tracing::debug!(%error, "connection");
            },
            () = requests.quiet() => tracing::debug!("a connection without requests is closed"),
        }
        drop(place);
    });
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/tokens", post(issue))
        .route("/v1/tokens/renew", post(renew))
        .route("/v1/verify", post(verify))
        .route("/.well-known/jwks.json", get(jwks))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(guard))
        .with_state(shared)
}

/// What a page in a browser on this machine can do, and another program's user, stops here.
async fn guard(Extension(caller): Extension<Caller>, request: HttpRequest, next: Next) -> Result<Response, Problem> {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(Code::OriginRefused, "the request has an Origin: pages in browsers get no tokens here"));
    }
    match caller {
        Caller::User(user) => tracing::debug!(user, method = %request.method(), path = request.uri().path(), "request"),
        Caller::Stranger(user) => {
            return Err(Problem::new(
                Code::PeerRefused,
                format!("user {user} may not use this agent; agent.users names who may"),
            ));
        }
        Caller::Loopback(expected) => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let (host, more) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next());
            if more.is_some() || !host.is_some_and(|host| expected.hosts.iter().any(|expected| expected == host)) {
                let detail = format!("Host must be {} or {}", expected.hosts[0], expected.hosts[1]);
                return Err(Problem::new(Code::HostRefused, detail));
            }
            let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
            let shown = shown.strip_prefix(b"Bearer ").unwrap_or_default();
            if verify_slices_are_equal(shown, expected.secret.as_bytes()).is_err() {
                return Err(Problem::new(
                    Code::SecretRequired,
                    "Authorization must be Bearer and the secret of agent.secret_file",
                ));
            }
            // A form's content types reach any host without a preflight.
            if request.method() == Method::POST && !crate::http::input::is_json(headers) {
                return Err(Problem::new(Code::UnsupportedMediaType, "content-type must be application/json"));
            }
        }
    }
    Ok(next.run(request).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    profile: String,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    claims: Option<Box<RawValue>>,
    #[serde(default)]
    audience: Option<Audience>,
    #[serde(default)]
    ttl: Option<Lifetime>,
    /// In mode sd: claims that need not be hidden.
    #[serde(default)]
    clear: Vec<String>,
}

async fn issue(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response, Refused> {
    let TokenRequest { profile, mode, claims, audience, ttl, clear } = parse(&read(body, MAX_BODY).await?)?;
    let claims = match claims {
        Some(claims) => {
            edgeseal_core::json::parse_object(claims.get().as_bytes()).map_err(|error| malformed(format!("claims: {error}")))?.1
        }
        None => Map::new(),
    };
    let described = shared.profiles.get(&shared.signers, &profile).await?;
    let mode = mode.or_else(|| described.profile.modes.first().copied()).unwrap_or_default();
    if let Some(schema) = &described.schema {
        schema.check(&claims).map_err(|mismatch| Problem::new(Code::SchemaMismatch, mismatch.to_string()))?;
    }
    let request = Request { mode, claims, audience: Audience::names(audience), ttl };
    let answer = match mode {
        Mode::Claims => claims_mode(&shared, &described, request).await,
        Mode::Sd => sd_mode(&shared, &described, request, &clear).await,
        Mode::Digest => match digest_mode(&shared, &described, request.clone()).await {
            Err(Refused::Signer(answer)) if answer.status == StatusCode::CONFLICT => {
                let described = shared.profiles.get(&shared.signers, &profile).await?;
                digest_mode(&shared, &described, request).await
            }
            other => other,
        },
    }?;
    Ok(uncached(&answer))
}

async fn claims_mode(shared: &Shared, described: &Described, request: Request) -> Result<Value, Refused> {
    accepted(shared.signers.issue(item(described, request)).await?)
}

async fn sd_mode(shared: &Shared, described: &Described, request: Request, clear: &[String]) -> Result<Value, Refused> {
    // The signer does not see what is hidden.
    policy::check_callers(&request.claims).map_err(|denial| Problem::new(Code::PolicyDenied, denial.to_string()))?;
    let clear = [clear, &described.agent.required_claims].concat();
    let salt = || random().map_err(|_| "this machine gives no randomness".to_owned());
    let build::Hidden { claims, disclosures } = build::hide(request.claims.clone(), &clear, salt).map_err(malformed)?;
    let disclosures = format!("{}~", disclosures.join("~"));
    // What is too long by itself need not be signed.
    present("", &disclosures)?;
    let mut answer = accepted(shared.signers.issue(item(described, Request { claims, ..request })).await?)?;
    answer["token"] = present(answer.get("token").and_then(Value::as_str).unwrap_or_default(), &disclosures)?.into();
    Ok(answer)
}

/// A token with its disclosures, each of which ends with `~`.
fn present(token: &str, disclosures: &str) -> Result<String, Problem> {
    let presentation = format!("{token}~{disclosures}");
    if presentation.len() > MAX_PRESENTATION_LEN {
        let detail =
            format!("with what is hidden the token has {} octets, and verifiers take {MAX_PRESENTATION_LEN}", presentation.len());
        return Err(Problem::new(Code::ClaimsUnacceptable, detail));
    }
    Ok(presentation)
}

async fn digest_mode(shared: &Shared, described: &Described, request: Request) -> Result<Value, Refused> {
    let Described { profile, agent, digest, .. } = described;
    if !profile.modes.contains(&Mode::Digest) {
        return Err(Problem::new(Code::PolicyDenied, format!("profile {} does not allow mode digest", profile.name)).into());
    }
    let key = digest.as_ref().ok_or_else(|| {
        Problem::new(Code::KeyState, format!("profile {} has no key of this agent's own for mode digest yet", profile.name))
    })?;
    let (issued_at, jwt_id) = (now(), random()?);
    let sealed =
        build::seal(agent, profile, key, request, issued_at, &jwt_id).map_err(|why| Problem::new(Code::PolicyDenied, why))?;
    let item = json!({
        "profile": profile.name, "mode": "digest", "digest": sealed.digest, "declared": sealed.declared, "kid": key.kid,
    });
    let answer = shared.signers.issue(item).await?;
    if answer.status == StatusCode::CONFLICT {
        // The key is another one now: whoever asks again gets its description.
        shared.profiles.forget(&profile.name);
    }
    let answer = accepted(answer)?;
    let unusable = |why: &str| Problem::new(Code::SignerUnavailable, format!("the signer's answer cannot be used: {why}"));
    if answer.get("kid").and_then(Value::as_str) != Some(&key.kid) {
        return Err(unusable("it signed with another key; ask again").into());
    }
    let signature = answer.get("signature").and_then(Value::as_str).and_then(|text| Base64UrlUnpadded::decode_vec(text).ok());
    let token = sealed.unsigned.attach(&signature.ok_or_else(|| unusable("it holds no signature"))?);
    // Nobody else saw the token, so nobody else can have checked it.
    let settings = IssuerSettings {
        issuer: Some(key.issuer.clone()),
        audience: Some(OneOrMany::Many(sealed.audience)),
        algorithms: vec![profile.algorithm],
        typ: profile.typ.clone(),
        leeway: Some(0),
        require_key_exp: true,
        ..IssuerSettings::default()
    };
    let policy = settings.policy().map_err(|error| unusable(&error.to_string()))?;
    let keys = JwkSet::from_json_with(&format!("{{\"keys\":[{}]}}", key.jwk), settings.key_rules())
        .map_err(|error| unusable(&error.to_string()))?;
    Verifier::new(policy).verify(&token, &keys, issued_at).map_err(|error| unusable(&error.to_string()))?;
    Ok(json!({ "token": token, "expires_at": Moment(sealed.expires_at).to_string(), "kid": key.kid }))
}

fn item(described: &Described, request: Request) -> Value {
    let Request { mode, claims, audience, ttl } = request;
    let mut item = json!({ "profile": described.profile.name, "mode": mode, "claims": claims });
    if !audience.is_empty() {
        item["audience"] = audience.into();
    }
    if let Some(ttl) = ttl {
        item["ttl"] = ttl.as_secs().into();
    }
    item
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewRequest {
    token: String,
    #[serde(default)]
    audience: Option<Audience>,
    #[serde(default)]
    ttl: Option<Lifetime>,
}

/// The signer sees the signed part alone: disclosures stay here, and fit the renewed token as well.
async fn renew(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response, Refused> {
    let RenewRequest { token, audience, ttl } = parse(&read(body, MAX_PRESENTATION).await?)?;
    let (signed, disclosures) = token.split_once('~').map_or((token.as_str(), None), |(signed, rest)| (signed, Some(rest)));
    let mut request = json!({ "token": signed });
    let audience = Audience::names(audience);
    if !audience.is_empty() {
        request["audience"] = audience.into();
    }
    if let Some(ttl) = ttl {
        request["ttl"] = ttl.as_secs().into();
    }
    let mut answer = accepted(shared.signers.request(Method::POST, "/v1/tokens/renew", Some(request)).await?)?;
    if let Some(disclosures) = disclosures {
        answer["token"] = present(answer.get("token").and_then(Value::as_str).unwrap_or_default(), disclosures)?.into();
    }
    Ok(uncached(&answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest {
    token: String,
    audience: Audience,
    /// A profile whose description is made sure of first.
    #[serde(default)]
    profile: Option<String>,
}

async fn verify(State(shared): State<Arc<Shared>>, body: Body) -> Result<Response, Refused> {
    let VerifyRequest { token, audience, profile } = parse(&read(body, MAX_PRESENTATION).await?)?;
    if let Some(profile) = profile {
        shared.profiles.get(&shared.signers, &profile).await?;
    }
    // Only to know whom to ask about: the verifier decides.
    let about = UnverifiedToken::parse(&token).and_then(|token| Ok(About::new(token.unverified_issuer()?, token.header())));
    let verifier = shared.verifier(Some(&about.unwrap_or_default())).await?;
    let token = match verifier.verify(&token).await {
        Ok(token) => token,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let audience = Audience::names(Some(audience));
    if !token.claims().audience().iter().any(|one| audience.contains(one)) {
        let refusal = Refusal::new(
            edgeseal_core::ErrorCode::AudienceMismatch,
            edgeseal_core::Check::Audience,
            format!("the token is for {:?}, not for {audience:?}", token.claims().audience()),
        );
        return Ok(refused(&refusal));
    }
    Ok(uncached(&json!({ "claims": token.claims().members(), "kid": token.header().kid() })))
}

/// To a program on this machine, the whole reason.
fn refused(refusal: &Refusal) -> Response {
    let mut document: Value = serde_json::from_str(&refusal.problem()).unwrap_or_default();
    document["detail"] = refusal.detail().into();
    document["request_id"] = crate::http::problem::request_id().into();
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = problem(status, &document, refusal.retry_after());
    let challenge = refusal.challenge().and_then(|challenge| HeaderValue::from_str(&challenge).ok());
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Result<Response, Refused> {
    let keys = shared.verifier(None).await?.keys().await;
    let keys = match keys {
        Ok(keys) => keys,
        Err(refusal) => return Ok(refused(&refusal)),
    };
    let mut response = Response::new(Body::from(keys.to_json()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    Ok(response)
}

impl Shared {
    /// Reads certificate, key and authority again, for the verifier too; its keys stay.
    fn reload(&self) -> Result<(), Failure> {
        self.signers.reload()?;
        if let Some((settings, verifier)) = self.verifier.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            *verifier = RemoteVerifier::following(Some(verifier), settings.clone(), self.ca.as_deref())?;
        }
        Ok(())
    }

    /// A verifier of every issuer that is known, with what a token says of itself among them if the signer gives this agent
    /// tokens of such.
    async fn verifier(&self, token: Option<&About>) -> Result<RemoteVerifier, Refused> {
        let mut settings: Vec<IssuerSettings> = Vec::new();
        for trusted in self.profiles.issuers(&self.signers, token).await? {
            add(&mut settings, trusted, token.and_then(About::reserved_type));
        }
        let mut held = self.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, verifier)) = held.as_ref()
            && *known == settings
        {
            return Ok(verifier.clone());
        }
        let before = held.as_ref().map(|(_, verifier)| verifier);
        let verifier = RemoteVerifier::following(before, settings.clone(), self.ca.as_deref())
            .map_err(|failure| Problem::new(Code::SignerUnavailable, failure.to_string()))?;
        *held = Some((settings, verifier.clone()));
        Ok(verifier)
    }
}

/// A reserved `typ` is named for a token that says it, where a profile of the issuer has it: for any other token it is not.
fn add(settings: &mut Vec<IssuerSettings>, trusted: Trusted, asked: Option<&str>) {
    let Trusted { profile: _, is_own, issuer, algorithm, reserved_type } = trusted;
    let typ = reserved_type.filter(|typ| Some(typ.as_str()) == asked);
    if let Some(known) = settings.iter_mut().find(|known| known.issuer.as_ref() == Some(&issuer)) {
        if !known.algorithms.contains(&algorithm) {
            known.algorithms.push(algorithm);
        }
        known.typ = known.typ.take().or(typ);
        return;
    }
    settings.push(IssuerSettings {
        issuer: Some(issuer),
        algorithms: vec![algorithm],
        typ,
        require_key_exp: is_own,
        sd_jwt: Some(SdJwtSettings { allow_plain: true, ..SdJwtSettings::new(KeyBinding::WhereBound) }),
        // Each request names the audience, and it is compared there.
        dangerous: Some(DangerousSettings { skip_audience: true, skip_nonce: true, ..DangerousSettings::default() }),
        ..IssuerSettings::default()
    });
}

/// The body of a signer's yes.
fn accepted(answer: Answer) -> Result<Value, Refused> {
    if answer.status.is_success() && answer.body.is_object() { Ok(answer.body) } else { Err(Refused::Signer(answer)) }
}

fn malformed(why: impl Into<String>) -> Refused {
    Problem::new(Code::RequestMalformed, why).into()
}

fn uncached(answer: &Value) -> Response {
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn problem(status: StatusCode, document: &Value, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Agent(problem) => problem.into_response(),
            Self::Signer(Answer { status, body, retry_after }) => problem(status, &body, retry_after),
        }
    }
}

async fn bind_socket(path: &Path) -> Result<UnixListener, Failure> {
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(unusable(path, &"something that is no socket stands there"));
        }
        if UnixStream::connect(path).await.is_ok() {
            let sentence =
                format!("agent.socket {} is in use by another process; stop that one or set another path", path.display());
            return Err(Failure::new(FailureKind::Address, sentence));
        }
        fs::remove_file(path).map_err(|error| unusable(path, &error))?;
    }
    let socket = UnixListener::bind(path).map_err(|error| unusable(path, &error))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(|error| unusable(path, &error))?;
    Ok(socket)
}

async fn bind_loopback(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let failed = |error: io::Error| {
        Failure::new(FailureKind::Address, format!("agent.listen {address} cannot be listened on ({error}); set another port"))
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    let path = path.display();
    Failure::new(
        FailureKind::Address,
        format!("agent.socket {path} cannot be listened on ({why}); its folder must exist and be writable"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_typ_is_named_where_the_token_says_it_and_a_profile_has_it() {
        let typ_of = |types: &[Option<&str>], asked: Option<&str>| {
            let mut settings = Vec::new();
            for (number, typ) in types.iter().enumerate() {
                add(
                    &mut settings,
                    Trusted {
                        profile: number.to_string(),
                        is_own: false,
                        issuer: "https://signer.example.com".to_owned(),
                        algorithm: edgeseal_core::Algorithm::Es256,
                        reserved_type: typ.map(ToOwned::to_owned),
                    },
                    asked,
                );
            }
            assert_eq!(settings.len(), 1);
            settings.remove(0).typ
        };
        let logout = Some("logout+jwt");
        for types in [&[logout][..], &[None, logout], &[logout, None], &[Some("secevent+jwt"), logout]] {
            assert_eq!(typ_of(types, logout).as_deref(), logout, "{types:?}");
            assert_eq!(typ_of(types, None), None, "{types:?}");
        }
        assert_eq!(typ_of(&[None, Some("secevent+jwt")], logout), None);
    }

    #[test]
    fn strangers_are_known_by_their_user_id() {
        assert!(matches!(peer(7, 7, &[]), Caller::User(7)));
        assert!(matches!(peer(8, 7, &[8]), Caller::User(8)));
        assert!(matches!(peer(9, 7, &[8]), Caller::Stranger(9)));
        assert!(matches!(peer(0, 7, &[8]), Caller::Stranger(0)), "not even root, unless it is named");
    }
}
