//! Requests to one of several signers: coalesced into batches, over one HTTP/2 connection each, to the next signer when one
//! does not answer, and back to it when it does.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, client::conn::http2, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore, oneshot},
};
use tokio_rustls::TlsConnector;

use super::AgentConfig;
use crate::{
    error::Failure,
    http::{
        problem::{Code, Problem},
        tls,
    },
    issue::MAX_BATCH,
};

/// One attempt with one signer, connecting included.
const ATTEMPT: Duration = Duration::from_secs(8);
/// The pause before a signer that failed is asked whether it is there, while others answer; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long nothing is heard on a connection before it is asked for a sign of life, and how long that may take. A connection that
/// was lost without a word (a host without power, a machine that slept) is known as such within [`ATTEMPT`].
const QUIET: Duration = Duration::from_secs(3);
const SIGN_OF_LIFE: Duration = Duration::from_secs(4);
/// Octets of an answer: a batch of the largest tokens, with room for JSON around them.
const MAX_ANSWER: usize = 2 * 1024 * 1024;
/// Batches under way at once: one is signed while the next fills, and neither waits for the network.
const BATCHES: usize = 4;
/// Octets of a batch, below what a signer takes (`MAX_BATCH` times 32 KiB), so that nobody's large request is everybody's refusal.
const BATCH_OCTETS: usize = MAX_BATCH * 32 * 1024 - 1024;
/// Requests that wait for a batch.
const MAX_WAITING: usize = 4_096;

/// What a signer said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Value,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

/// No signer answered.
#[derive(Clone, Debug, Default)]
pub struct Unanswered {
    /// What one of them said instead, with 503 or for want of a good signature.
    pub unavailable: Option<Answer>,
    /// Each of them, and why.
    pub reasons: Vec<String>,
}

/// The signers, and the requests that wait for a place in a batch.
pub struct Signers {
    /// In the order of preference.
    list: Vec<Signer>,
    identity: Identity,
    tls: RwLock<(usize, Arc<ClientConfig>)>,
    waiting: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
}

struct Identity {
    ca: Option<PathBuf>,
    certificate: PathBuf,
    key: PathBuf,
}

struct Waiting {
    /// JSON.
    item: String,
    reply: oneshot::Sender<Result<Answer, Problem>>,
}

impl Waiting {
    fn answer(self, answer: Result<Answer, Problem>) {
        // Whoever asked may be gone.
        let _ = self.reply.send(answer);
    }
}

impl Answer {
    /// Whether the signer cannot do it at the moment and has handed nothing out, so that asking another one doubles nothing.
    fn is_inability(&self) -> bool {
        let discarded =
            self.status == StatusCode::INTERNAL_SERVER_ERROR && self.body["code"] == Code::SignatureDiscarded.as_str();
        discarded || self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    fn inability(&self) -> String {
        format!("it answered {}", self.status.as_u16())
    }
}

impl Unanswered {
    /// What whoever asked is told. A signer's own answer says more than ours; why the others did not answer is for the log.
    fn told(self) -> Result<Answer, Problem> {
        let nobody = || Problem::new(Code::SignerUnavailable, "no signer answers; the agent's log says why");
        self.unavailable.ok_or_else(nobody)
    }
}

struct Signer {
    url: Uri,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Held while connecting, so that many requests make one connection.
    connecting: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

type Sender = http2::SendRequest<Full<Bytes>>;

struct Connection {
    sender: Sender,
    /// The certificate that it was made with.
    generation: usize,
}

#[derive(Default)]
struct State {
    /// While it is down: when it is asked next whether it is there.
    down_until: Option<Instant>,
    /// How long it was down last; nothing once it has signed.
    pause: Duration,
}

impl Signers {
    /// The signers of a configuration; nothing is connected yet.
    ///
    /// # Errors
    /// A URL that is none, certificates that cannot be used.
    pub fn new(config: &AgentConfig) -> Result<Self, Failure> {
        let signer = |url: &String| {
            let uri: Uri = url
                .trim_end_matches('/')
                .parse()
                .map_err(|error| Failure::configuration(format!("agent.signers holds {url:?}, which is no URL: {error}")))?;
            if uri.scheme_str() != Some("https") || uri.host().is_none() {
                return Err(Failure::configuration(format!(
                    "agent.signers holds {url:?}; it takes URLs such as \"https://signer.example.com:8444\""
                )));
            }
            Ok(Signer::new(uri))
        };
        let list = config.signers.iter().map(signer).collect::<Result<_, _>>()?;
        let identity = Identity { ca: config.ca.clone(), certificate: config.certificate.clone(), key: config.key.clone() };
        let tls = RwLock::new((0, identity.load()?));
        let (waiting, arrived) = (Mutex::default(), Notify::new());
        Ok(Self { list, identity, tls, waiting, arrived })
    }

    /// Takes up a certificate that was renewed; connections made with the old one are not used again.
    ///
    /// # Errors
    /// When the files cannot be used; then the old certificate stays.
    pub fn reload(&self) -> Result<(), Failure> {
        let config = self.identity.load()?;
        let mut tls = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        *tls = (tls.0 + 1, config);
        Ok(())
    }

    /// One request that goes out in the next batch.
    ///
    /// # Errors
    /// When no signer answers, or too many requests wait already.
    pub async fn issue(&self, item: Value) -> Result<Answer, Problem> {
        let (reply, answer) = oneshot::channel();
        let item = item.to_string();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MAX_WAITING {
                return Err(Problem::new(Code::SignerUnavailable, format!("{MAX_WAITING} requests wait already")));
            }
            waiting.push_back(Waiting { item, reply });
        }
        self.arrived.notify_one();
        answer.await.unwrap_or_else(|_| Err(Problem::new(Code::SignerUnavailable, "the agent is ending")))
    }

    /// Sends batches until it is dropped: whatever waits when a place is free goes together, and nothing waits for company.
    pub async fn send_batches(self: Arc<Self>) {
        let places = Arc::new(Semaphore::new(BATCHES));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let batch = loop {
                let arrived = self.arrived.notified();
                let batch = self.next_batch();
                if !batch.is_empty() {
                    break batch;
                }
                arrived.await;
            };
            // What did not fit goes with the next place.
            self.arrived.notify_one();
            let signers = Arc::clone(&self);
            tokio::spawn(async move {
                signers.send(batch).await;
                drop(place);
            });
        }
    }

    /// What goes together: of those who still wait as many as a batch takes. Empty only when nobody waits.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut batch, mut octets) = (Vec::new(), 0);
        while let Some(next) = waiting.front() {
            if next.reply.is_closed() {
                waiting.pop_front();
                continue;
            }
            octets += next.item.len() + 1;
            if batch.len() >= MAX_BATCH || (octets > BATCH_OCTETS && !batch.is_empty()) {
                break;
            }
            batch.extend(waiting.pop_front());
        }
        batch
    }

    /// Sends a batch; what a signer cannot do at the moment is asked the next one.
    async fn send(&self, batch: Vec<Waiting>) {
        let mut open: Vec<(Waiting, Option<Answer>)> = batch.into_iter().map(|one| (one, None)).collect();
        let mut unable = Vec::new();
        loop {
            let items: Vec<&str> = open.iter().map(|(one, _)| one.item.as_str()).collect();
            let body = Bytes::from(format!("{{\"requests\":[{}]}}", items.join(",")));
            let outcome = self.ask_others(&unable, &Method::POST, "/v1/tokens/batch", Some(body)).await;
            let (index, answer) = match outcome {
                Ok(answered) => answered,
                Err(unanswered) => {
                    let nobody = unanswered.told();
                    for (one, last) in open {
                        one.answer(last.map_or_else(|| nobody.clone(), Ok));
                    }
                    return;
                }
            };
            let results = match answer {
                Answer { status: StatusCode::OK, body, .. } => {
                    let results = body.get("results").and_then(Value::as_array).filter(|results| results.len() == open.len());
                    let detail = "the signer's answer does not fit the batch";
                    results.map_or_else(
                        || vec![Err(Problem::new(Code::SignerUnavailable, detail)); open.len()],
                        |results| results.iter().map(|one| Ok(of_result(one))).collect(),
                    )
                }
                // The batch as a whole was refused: its answer is everyone's.
                whole => vec![Ok(whole); open.len()],
            };
            let members = open.len();
            let mut left = Vec::new();
            for ((one, _), result) in open.into_iter().zip(results) {
                match result {
                    // Nothing was handed out for it, so that asking again doubles nothing.
                    Ok(answer) if answer.is_inability() => left.push((one, Some(answer))),
                    result => one.answer(result),
                }
            }
            if left.len() < members {
                self.list[index].signed();
            } else {
                self.list[index].failed("it could do nothing for any member of a batch");
            }
            if left.is_empty() {
                return;
            }
            unable.push(index);
            open = left;
        }
    }

    /// Asks signers that are down whether they are there again, until it is dropped: no request waits for one that still is not.
    pub async fn look_after(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PAUSE_MIN).await;
            for signer in self.list.iter().filter(|signer| signer.is_due(Instant::now())) {
                match self.attempt(signer, &Method::GET, "/v1/profiles", None).await {
                    Ok(answer) if !answer.is_inability() => signer.is_back(),
                    Ok(answer) => signer.failed(&answer.inability()),
                    Err(reason) => signer.failed(&reason),
                }
            }
        }
    }

    /// One request to the first signer, or to the next ones when it does not answer. What the first made of it then is a token that
    /// nobody holds.
    ///
    /// # Errors
    /// When no signer answers.
    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Problem> {
        self.ask(method, path, body).await.or_else(Unanswered::told)
    }

    /// As [`Self::request`], for whoever may know why nobody answers.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Unanswered> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let (index, answer) = self.ask_others(&[], &method, path, body).await?;
        if method == Method::POST {
            self.list[index].signed();
        }
        Ok(answer)
    }

    /// The same, of all signers but these; says which of them answered.
    async fn ask_others(
        &self,
        without: &[usize],
        method: &Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(usize, Answer), Unanswered> {
        let order = (0..self.list.len()).filter(|index| !without.contains(index));
        let (ready, pausing): (Vec<usize>, Vec<usize>) = order.partition(|index| self.list[*index].is_ready());
        let mut unanswered = Unanswered::default();
        // Those that pause come last: when nobody else answers, a try costs little.
        for index in ready.into_iter().chain(pausing) {
            let signer = &self.list[index];
            let reason = match self.attempt(signer, method, path, body.clone()).await {
                Ok(answer) if !answer.is_inability() => {
                    signer.is_back();
                    return Ok((index, answer));
                }
                Ok(answer) => {
                    let reason = answer.inability();
                    unanswered.unavailable = Some(answer);
                    reason
                }
                Err(reason) => reason,
            };
            signer.failed(&reason);
            unanswered.reasons.push(format!("{}: {reason}", signer.url));
        }
        Err(unanswered)
    }

    /// One request, and once more on a new connection when the one that was there is lost.
    async fn attempt(&self, signer: &Signer, method: &Method, path: &str, body: Option<Bytes>) -> Result<Answer, String> {
        if let Some(held) = self.held(signer) {
            let deadline = Instant::now() + ATTEMPT;
            match signer.ask(&held, deadline, method, path, body.clone()).await {
                Err(reason) if Instant::now() < deadline => tracing::debug!(signer = %signer.url, reason, "a connection is lost"),
                // What is there and does not answer would not on another connection.
                answered => return answered,
            }
        }
        let deadline = Instant::now() + ATTEMPT;
        let connection = tokio::time::timeout_at(deadline.into(), self.connect(signer)).await.map_err(late)??;
        signer.ask(&connection, deadline, method, path, body).await
    }

    /// The connection that is there, if it can be used.
    fn held(&self, signer: &Signer) -> Option<Arc<Connection>> {
        let generation = self.tls.read().unwrap_or_else(PoisonError::into_inner).0;
        let held = signer.connection().clone();
        held.filter(|held| held.generation == generation && !held.sender.is_closed())
    }

    async fn connect(&self, signer: &Signer) -> Result<Arc<Connection>, String> {
        let _connecting = signer.connecting.lock().await;
        // Somebody else may have made one meanwhile.
        if let Some(held) = self.held(signer) {
            return Ok(held);
        }
        let (generation, tls) = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = Arc::new(Connection { sender: connect(&signer.url, tls).await?, generation });
        *signer.connection() = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

impl Signer {
    fn new(url: Uri) -> Self {
        let (connection, connecting, state) = (Mutex::default(), tokio::sync::Mutex::default(), Mutex::default());
        Self { url, connection, connecting, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        self.state().down_until.is_none()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.state().down_until.is_some_and(|until| until <= now)
    }

    /// It does more than answer.
    fn signed(&self) {
        self.state().pause = Duration::ZERO;
    }

    /// It is there. Whether it can sign is seen when it is asked to.
    fn is_back(&self) {
        if self.state().down_until.take().is_some() {
            tracing::info!(signer = %self.url, "it answers again");
        }
    }

    fn failed(&self, reason: &str) {
        let (mut state, now) = (self.state(), Instant::now());
        let was_ready = match state.down_until {
            // Several requests find so at the same time.
            Some(until) if now < until => return,
            down => down.is_none(),
        };
        state.pause = (state.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        state.down_until = Some(now + state.pause);
        let pause = state.pause.as_secs();
        drop(state);
        if was_ready {
            tracing::warn!(signer = %self.url, reason, pause, "a signer does not answer");
        } else {
            tracing::debug!(signer = %self.url, reason, pause, "a signer does not answer yet");
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request on a connection, which is not used again when it has failed.
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        deadline: Instant,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, String> {
        let uri = format!("{}{path}", self.url.to_string().trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(uri).header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|error| error.to_string())?;
        let exchange = exchange(connection.sender.clone(), request);
        let answered = tokio::time::timeout_at(deadline.into(), exchange).await.map_err(late).flatten();
        answered.inspect_err(|_| self.forget(connection))
    }

    /// Uses a connection no more; one that was made since stays.
    fn forget(&self, lost: &Arc<Connection>) {
        self.connection().take_if(|held| Arc::ptr_eq(held, lost));
    }
}

impl Identity {
    fn load(&self) -> Result<Arc<ClientConfig>, Failure> {
        let ca = self.ca.as_deref().map(|path| ("agent.ca", path));
        let (certificate, key) = (("agent.certificate", &*self.certificate), ("agent.key", &*self.key));
        let mut config = tls::client(ca, Some(tls::Identity { certificate, key }))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

async fn exchange(mut sender: Sender, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    let body = Limited::new(Body::new(response.into_body()), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
    let body = serde_json::from_slice(&body.to_bytes()).map_err(|error| format!("its answer is not JSON: {error}"))?;
    Ok(Answer { status, body, retry_after })
}

fn late(_: tokio::time::error::Elapsed) -> String {
    "no answer in time".to_owned()
}

async fn connect(url: &Uri, tls: Arc<ClientConfig>) -> Result<Sender, String> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(443))).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(QUIET)
        .keep_alive_timeout(SIGN_OF_LIFE)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| chain(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a signer ended");
        }
    });
    Ok(sender)
}

/// A member of `results`: a problem document tells its own status.
fn of_result(result: &Value) -> Answer {
    let status = result.get("status").and_then(Value::as_u64).filter(|_| result.get("code").is_some());
    let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok()).unwrap_or(StatusCode::OK);
    let retry_after = (status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    Answer { status, body: result.clone(), retry_after }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

/// 128 random bits as base64url.
pub(super) fn random() -> Result<String, Problem> {
    use base64ct::{Base64UrlUnpadded, Encoding as _};
    let mut octets = [0; 16];
    getrandom::fill(&mut octets)
        .map_err(|error| Problem::new(Code::SignerUnavailable, format!("this machine gives no randomness: {error}")))?;
    Ok(Base64UrlUnpadded::encode_string(&octets))
}

/// hyper's own words and what is behind them: a TLS alert tells more than "connection error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signers() -> Signers {
        let identity = Identity { ca: None, certificate: PathBuf::new(), key: PathBuf::new() };
        let tls = RwLock::new((0, Arc::new(tls::client(None, None).unwrap())));
        let (waiting, arrived) = (Mutex::default(), Notify::new());
        Signers { list: Vec::new(), identity, tls, waiting, arrived }
    }

    fn wait(signers: &Signers, octets: usize) -> oneshot::Receiver<Result<Answer, Problem>> {
        let (reply, answer) = oneshot::channel();
        signers.waiting.lock().unwrap().push_back(Waiting { item: "x".repeat(octets), reply });
        answer
    }

    #[test]
    fn a_signer_that_is_back_is_asked_again_and_has_less_credit_until_it_signs() {
        let signer = Signer::new("https://localhost:8444".parse().unwrap());
        let pause = |signer: &Signer| {
            signer.failed("no answer in time");
            assert!(!signer.is_ready() && !signer.is_due(Instant::now()));
            let pause = signer.state().pause;
            assert!(signer.is_due(Instant::now() + pause));
            // Who finds so at the same time does not make it longer.
            signer.failed("no answer in time");
            assert_eq!(signer.state().pause, pause);
            signer.state().down_until = Some(Instant::now());
            pause.as_secs()
        };
        assert_eq!((pause(&signer), pause(&signer)), (1, 2));
        signer.is_back();
        assert!(signer.is_ready() && !signer.is_due(Instant::now()));
        assert_eq!(std::array::from_fn(|_| pause(&signer)), [4, 8, 16, 30, 30]);
        signer.is_back();
        signer.signed();
        assert_eq!(pause(&signer), 1);
    }

    #[test]
    fn what_handed_nothing_out_may_be_asked_of_another() {
        let is = |status: StatusCode, code: &str| {
            Answer { status, body: serde_json::json!({ "code": code }), retry_after: None }.is_inability()
        };
        assert!(is(StatusCode::SERVICE_UNAVAILABLE, "hsm_unavailable"));
        assert!(is(StatusCode::INTERNAL_SERVER_ERROR, "signature_discarded"));
        assert!(!is(StatusCode::INTERNAL_SERVER_ERROR, "another") && !is(StatusCode::FORBIDDEN, "signature_discarded"));
    }

    #[test]
    fn who_still_waits_is_found_behind_those_who_left() {
        let signers = signers();
        for _ in 0..3 * MAX_BATCH {
            drop(wait(&signers, 10));
        }
        let _answer = wait(&signers, 10);
        assert_eq!(signers.next_batch().len(), 1);
        assert!(signers.next_batch().is_empty());
    }

    #[test]
    fn a_batch_is_no_larger_than_a_signer_takes() {
        let signers = signers();
        let _large: Vec<_> = (0..40).map(|_| wait(&signers, 60 * 1024)).collect();
        let _small = wait(&signers, 10);
        let batches: Vec<usize> = std::iter::from_fn(|| Some(signers.next_batch().len()).filter(|count| *count > 0)).collect();
        assert_eq!(batches, [34, 7]);
        // Too large alone: the signer's answer is its own.
        let _huge = wait(&signers, BATCH_OCTETS + 1);
        let _next = wait(&signers, 10);
        assert_eq!((signers.next_batch().len(), signers.next_batch().len()), (1, 1));
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_when_no_signer_is_there() {
        let signers = Arc::new(signers());
        for _ in 0..2 * MAX_BATCH {
            drop(wait(&signers, 10));
        }
        let answer = wait(&signers, 10);
        let sending = tokio::spawn(Arc::clone(&signers).send_batches());
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
        assert!(answer.is_err());
        sending.abort();
    }
}
