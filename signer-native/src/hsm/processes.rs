//! The [`KeyStore`] over worker processes, each with the module, a login and threads of its own: a module that serializes
//! its callers signs in each of them at once, and a call that hangs is ended with its process.
//!
//! Workers are started one at a time: some modules fail when many processes initialize at once, and a PIN that the token
//! refuses must be presented once. A worker that dies, hangs or is spent is replaced after a pause; what it had not answered
//! is asked another, unless it may have changed something. One that does not find a key may see an older state of the token,
//! and is replaced once.

use std::{
    collections::HashMap,
    os::unix::net::UnixStream as StdStream,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use edgeseal_core::Algorithm;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::{Child, Command},
    sync::{Notify, Semaphore, oneshot},
    task::JoinHandle,
    time::{sleep, timeout, timeout_at},
};
use zeroize::Zeroizing;

use super::{
    HsmAttribute, HsmError, KeyFuture, KeyId, KeyKind, KeyStore, Pkcs11Settings, PrivateKey, StoreDescription, StoreStats,
    StoredKey,
    handles::BEFORE_ALL,
    stats::{Counters, count},
    wire::{self, Frames, Opened, Question, WireKey, WireKind, WireSettings, kind},
    worker::{GENERATION, Gate, Turn},
};

/// The hidden subcommand that a worker process runs.
pub const WORKER_SUBCOMMAND: &str = "hsm-worker";
/// Questions under way in one worker for each of its threads: enough that its threads never wait for the next one, few
/// enough that one that is answered late hangs and does not queue.
const WINDOW: usize = 16;
/// How often a question is asked again whose worker ended over it.
const ATTEMPTS: usize = 3;
/// How long a worker may take to load the module, log in, and read all handles where searching is slow.
const OPENING: Duration = Duration::from_secs(30).saturating_add(BEFORE_ALL);
/// The pause before a worker is replaced; it doubles up to [`PAUSE_MAX`] while workers do not last for [`LASTING`], unless a key
/// was missed.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_mins(1);
const LASTING: Duration = Duration::from_mins(1);
/// How long it is believed that a key is gone: workers are ended over it once in that time, since some modules do not see what another
/// process makes until they are initialized again.
const GONE: Duration = Duration::from_mins(10);
/// Keys that workers may be ended over within [`GONE`]: of a token that lost many keys, one every ten seconds. Those beyond them are
/// taken for gone at once.
const MISSED_MAX: usize = 64;
/// How often a worker is asked for its counters.
const STATS: Duration = Duration::from_secs(5);
/// How long workers have to end when the store is closed.
const FAREWELL: Duration = Duration::from_secs(3);

/// The [`KeyStore`] over worker processes.
pub struct ProcessKeyStore {
    shared: Arc<Shared>,
    description: StoreDescription,
    supports: Vec<(Algorithm, WireKind)>,
    supervisors: Vec<JoinHandle<()>>,
}

struct Shared {
    program: PathBuf,
    settings: Pkcs11Settings,
    gate: Gate,
    turn: Turn,
    slots: Vec<Slot>,
    /// Held while a worker starts.
    starting: tokio::sync::Mutex<()>,
    /// The PIN was refused once: no worker is started any more.
    pin_refused: Mutex<Option<HsmError>>,
    /// Keys that a worker did not find, of the last [`GONE`].
    missed: Mutex<HashMap<KeyId, Missed>>,
    /// Signalled when a worker has come or gone.
    changed: Notify,
    window: Semaphore,
    waiting: AtomicUsize,
    closing: AtomicBool,
    counters: Counters,
}

/// A key that a worker did not find.
struct Missed {
    /// When it was missed first: a worker that was started since then sees the token as it was then.
    since: Instant,
    /// Such a worker did not find it either.
    gone: bool,
}

/// The place of one worker.
struct Slot {
    link: Mutex<Link>,
    /// Octets to be written.
    written: Notify,
    /// Ends the worker at once.
    kill: Notify,
}

struct Link {
    up: bool,
    /// When it was started, where it is up.
    began: Instant,
    /// Why it is not.
    down: Option<HsmError>,
    /// It is not because of a key that it did not find, which says nothing against the next one.
    outdated: bool,
    /// Signatures' questions, one behind the other.
    out: Vec<u8>,
    /// Every other question in a frame of its own, zeroized when it is written: a private key may be in it.
    apart: Vec<Zeroizing<Vec<u8>>>,
    next: u64,
    pending: HashMap<u64, oneshot::Sender<Reply>>,
    /// Questions under way that may take long.
    long: usize,
    stats: StoreStats,
    /// What workers before this one had counted.
    past: StoreStats,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            up: false,
            began: Instant::now(),
            down: None,
            outdated: false,
            out: Vec::new(),
            apart: Vec::new(),
            // 0 is for counters.
            next: 1,
            pending: HashMap::new(),
            long: 0,
            stats: StoreStats::default(),
            past: StoreStats::default(),
        }
    }
}

impl Link {
    /// Whether there is a worker, of those that were started `since`.
    fn serves(&self, since: Option<Instant>) -> bool {
        self.up && since.is_none_or(|since| self.began >= since)
    }

    /// Whether everything is with the worker, or on its way.
    fn is_written(&self) -> bool {
        self.out.is_empty() && self.apart.is_empty()
    }

    /// Takes what is to be written: what stands in a row into `octets`, which is empty, and the frames apart.
    fn unwritten(&mut self, octets: &mut Vec<u8>) -> Vec<Zeroizing<Vec<u8>>> {
        std::mem::swap(&mut self.out, octets);
        std::mem::take(&mut self.apart)
    }
}

/// What came of a question.
enum Reply {
    Signature(Vec<u8>),
    Json(Vec<u8>),
    Error(HsmError),
    /// The worker did not find the key, but one that was started since then may.
    Missed(KeyId, Instant),
    /// The worker was spent, or ended before it answered.
    Lost(HsmError),
}

/// What is asked, as often as it takes.
enum Asked {
    Sign {
        kind: u8,
        id: KeyId,
        algorithm: Algorithm,
        data: Vec<u8>,
    },
    /// A question, and whether it may be asked another worker when one ended over it.
    Json {
        body: Zeroizing<Vec<u8>>,
        repeatable: bool,
    },
}

impl ProcessKeyStore {
    /// Starts the workers: `program` is this program, which knows [`WORKER_SUBCOMMAND`].
    ///
    /// # Errors
    /// When the first worker cannot be started, or says that the module, the token or the PIN is not what the settings say.
    pub async fn open(program: PathBuf, settings: Pkcs11Settings) -> Result<Self, HsmError> {
        let processes = settings.processes.max(1);
        let shared = Arc::new(Shared::new(program, settings));
        let mut opened = Vec::new();
        let mut supervisors = Vec::new();
        for index in 0..processes {
            let (worker, about) = match shared.start().await {
                Ok(started) => started,
                Err(error) => {
                    shared.closing.store(true, Ordering::SeqCst);
                    return Err(error);
                }
            };
            if let Some(slot) = shared.slots.get(index) {
                slot.lock().stats = about.stats;
            }
            opened.push(about);
            supervisors.push(tokio::spawn(supervise(Arc::clone(&shared), index, worker)));
        }
        let Some(Opened { description, supports, .. }) = opened.into_iter().next() else {
            return Err(HsmError::Unavailable("no HSM worker".to_owned()));
        };
        let description = StoreDescription { processes, threads: description.threads * processes, ..description };
        Ok(Self { shared, description, supports, supervisors })
    }

    fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        asked: Asked,
        read: impl FnOnce(Reply) -> Result<T, HsmError> + Send + 'static,
    ) -> KeyFuture<'_, T> {
        Box::pin(async move { self.shared.call(limit, &asked, read).await })
    }

    fn question<T: Send + 'static>(
        &self,
        limit: Duration,
        question: &Question,
        read: impl FnOnce(&[u8]) -> Result<T, HsmError> + Send + 'static,
    ) -> KeyFuture<'_, T> {
        let asked = Asked::Json { body: wire::body(question), repeatable: true };
        self.call(limit, asked, |reply| read(&reply.into_json()?))
    }

    /// Has a key pair made, one after the other: else as many would hold every worker while one hangs. What has begun goes on to its
    /// answer or its deadline though its caller goes away, and keeps the turn until then.
    fn pair(&self, limit: Duration, question: &Question) -> KeyFuture<'_, StoredKey> {
        let asked = Asked::Json { body: wire::body(question), repeatable: false };
        Box::pin(async move {
            let turn = self.shared.turn.come().await?;
            let shared = Arc::clone(&self.shared);
            let making = tokio::spawn(async move {
                let made = shared.call(limit, &asked, |reply| wire::json::<WireKey>(&reply.into_json()?)?.key()).await;
                drop(turn);
                made
            });
            making.await.unwrap_or_else(|_| Err(HsmError::Unavailable("the HSM workers have ended".to_owned())))
        })
    }

    fn signature(&self, kind: u8, id: KeyId, algorithm: Algorithm, data: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        let shared = Arc::clone(&self.shared);
        self.call(self.shared.settings.deadline, Asked::Sign { kind, id, algorithm, data }, move |reply| match reply {
            Reply::Signature(signature) => {
                count(&shared.counters.signatures);
                Ok(signature)
            }
            other => Err(other.into_error()),
        })
    }
}

impl KeyStore for ProcessKeyStore {
    fn description(&self) -> StoreDescription {
        self.description.clone()
    }

    fn stats(&self) -> StoreStats {
        let shared = &self.shared;
        let mut stats = shared.counters.stats();
        let waiting = shared.waiting.load(Ordering::Relaxed);
        for slot in &shared.slots {
            let link = slot.lock();
            stats.processes += u64::from(link.up);
            stats = stats.plus_work_of(&link.past).plus_work_of(&link.stats);
            if link.up {
                stats.threads += link.stats.threads;
                stats.busy += u64::try_from(link.pending.len()).unwrap_or(u64::MAX).min(link.stats.threads);
                stats.quarantined += link.stats.quarantined;
            }
        }
        StoreStats { breaker: shared.gate.state(), queued: u64::try_from(waiting).unwrap_or(u64::MAX), ..stats }
    }

    fn supports(&self, algorithm: Algorithm, kind: KeyKind) -> bool {
        self.supports.contains(&(algorithm, kind.into()))
    }

    fn may_generate(&self) -> Result<(), HsmError> {
        // A call that hangs is ended with its process.
        self.shared.gate.may_ask_long()
    }

    fn generate(&self, id: KeyId, kind: KeyKind, label: String) -> KeyFuture<'_, StoredKey> {
        self.pair(GENERATION, &Question::Generate { id, kind: kind.into(), label })
    }

    fn inspect(&self, id: KeyId, kind: KeyKind) -> KeyFuture<'_, Option<StoredKey>> {
        let question = Question::Inspect { id, kind: kind.into() };
        self.question(self.shared.settings.deadline, &question, |body| {
            wire::json::<Option<WireKey>>(body)?.map(WireKey::key).transpose()
        })
    }

    fn attributes(&self, id: KeyId) -> KeyFuture<'_, Vec<HsmAttribute>> {
        self.question(self.shared.settings.deadline, &Question::Attributes { id }, wire::json::<Vec<HsmAttribute>>)
    }

    fn import(&self, id: KeyId, key: PrivateKey, label: String) -> KeyFuture<'_, StoredKey> {
        let question = Question::Import { id, kind: key.kind.into(), parts: key.parts, label };
        self.pair(self.shared.settings.deadline, &question)
    }

    fn sign(&self, id: KeyId, algorithm: Algorithm, message: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.signature(kind::SIGN, id, algorithm, message)
    }

    fn sign_digest(&self, id: KeyId, algorithm: Algorithm, digest: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.signature(kind::SIGN_DIGEST, id, algorithm, digest)
    }

    fn destroy(&self, id: KeyId) -> KeyFuture<'_, ()> {
        // Destroying what is gone is no mistake, so it may be asked again.
        self.question(self.shared.settings.deadline, &Question::Destroy { id }, wire::json::<()>)
    }
}

impl Drop for ProcessKeyStore {
    /// Closes the sockets, upon which the workers log out and end; a runtime that ends as well kills the rest.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        for slot in &self.shared.slots {
            slot.written.notify_one();
        }
        self.supervisors.clear();
    }
}

/// What is to be made of a worker that did not find a key.
enum Miss {
    /// It is right, as far as can be known now.
    Gone,
    /// One that was started since then is to be asked.
    Ask(Instant),
    /// The same, and this one is to be ended.
    End(Instant),
}

enum Unanswered {
    /// No worker had room in time.
    Waiting,
    Failed(HsmError),
}

impl Reply {
    fn into_json(self) -> Result<Vec<u8>, HsmError> {
        match self {
            Self::Json(body) => Ok(body),
            other => Err(other.into_error()),
        }
    }

    fn into_error(self) -> HsmError {
        match self {
            Self::Error(error) | Self::Lost(error) => error,
            Self::Missed(id, _) => HsmError::KeyMissing(id),
            Self::Signature(_) | Self::Json(_) => HsmError::Unavailable("an HSM worker answered another question".to_owned()),
        }
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way; taken back when its caller goes away.
struct UnderWay<'a> {
    slot: &'a Slot,
    number: u64,
    long: bool,
    /// There is one more place in the window afterwards.
    _place: tokio::sync::SemaphorePermit<'a>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut link = self.slot.lock();
        link.pending.remove(&self.number);
        link.long -= usize::from(self.long);
    }
}

impl Shared {
    fn new(program: PathBuf, settings: Pkcs11Settings) -> Self {
        let processes = settings.processes.max(1);
        let threads = settings.threads.max(1);
        Self {
            program,
            settings,
            gate: Gate::default(),
            turn: Turn::default(),
            slots: (0..processes).map(|_| Slot { link: Mutex::default(), written: Notify::new(), kill: Notify::new() }).collect(),
            starting: tokio::sync::Mutex::new(()),
            pin_refused: Mutex::new(None),
            missed: Mutex::default(),
            changed: Notify::new(),
            window: Semaphore::new(processes * threads * WINDOW),
            waiting: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    async fn call<T>(
        &self,
        limit: Duration,
        asked: &Asked,
        read: impl FnOnce(Reply) -> Result<T, HsmError>,
    ) -> Result<T, HsmError> {
        let long = limit > self.settings.deadline;
        let pass = self.gate.ask(long).inspect_err(|_| count(&self.counters.held_back))?;
        match self.ask(limit, asked).await {
            Ok(reply) => pass.ended(read(reply)),
            // Too much to do is no outage.
            Err(Unanswered::Waiting) => Err(HsmError::Deadline(limit)),
            Err(Unanswered::Failed(error)) => pass.ended(Err(error)),
        }
    }

    async fn ask(&self, limit: Duration, asked: &Asked) -> Result<Reply, Unanswered> {
        let until = Instant::now() + limit;
        let mut lost = 0;
        let mut missed: Option<(KeyId, Instant)> = None;
        loop {
            let since = missed.map(|(_, since)| since);
            let place = self.place(until).await?;
            let Some((under_way, answer)) = self.put(asked, until, place, since) else {
                let waited = self.wait_for_a_worker(until, since).await;
                waited.map_err(|error| missed.map_or(error, |(id, _)| Unanswered::Failed(HsmError::KeyMissing(id))))?;
                continue;
            };
            match timeout_at(until.into(), answer).await {
                Ok(Ok(Reply::Missed(id, since))) => missed = Some((id, since)),
                // Another worker, or the next one in its place; a question over which all end is not asked for ever.
                Ok(Ok(Reply::Lost(_))) if asked.may_be_repeated() && lost < ATTEMPTS => lost += 1,
                Ok(Ok(Reply::Lost(error))) => return Err(Unanswered::Failed(error)),
                Ok(Err(_)) => return Err(Unanswered::Failed(HsmError::Unavailable("the HSM workers have ended".to_owned()))),
                Ok(Ok(reply)) => return Ok(reply),
                Err(_) => {
                    count(&self.counters.deadlines);
                    // A key that is being generated may be what keeps the others waiting.
                    if under_way.slot.lock().long == usize::from(under_way.long) {
                        tracing::error!("an HSM call overran its deadline; its worker process is ended");
                        // No permit is left behind for the next worker.
                        under_way.slot.kill.notify_waiters();
                    }
                    return Err(Unanswered::Failed(HsmError::Deadline(limit)));
                }
            }
        }
    }

    async fn place(&self, until: Instant) -> Result<tokio::sync::SemaphorePermit<'_>, Unanswered> {
        if let Ok(place) = self.window.try_acquire() {
            return Ok(place);
        }
        let _waiting = Waiting::of(&self.waiting);
        if self.waiting.load(Ordering::Relaxed) > self.settings.queue {
            count(&self.counters.overflows);
            return Err(Unanswered::Failed(HsmError::Busy));
        }
        match timeout_at(until.into(), self.window.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Unanswered::Failed(HsmError::Unavailable("the HSM workers have ended".to_owned()))),
            Err(_) => Err(Unanswered::Waiting),
        }
    }

    /// Asks the worker that has least to do, of those that were started `since`.
    fn put<'a>(
        &'a self,
        asked: &Asked,
        until: Instant,
        place: tokio::sync::SemaphorePermit<'a>,
        since: Option<Instant>,
    ) -> Option<(UnderWay<'a>, oneshot::Receiver<Reply>)> {
        let load = |slot: &Slot| {
            let link = slot.lock();
            link.serves(since).then_some((link.long, link.pending.len()))
        };
        let loads = self.slots.iter().filter_map(|slot| Some((load(slot)?, slot)));
        let (_, slot) = loads.min_by_key(|(load, _)| *load)?;
        let (reply, answer) = oneshot::channel();
        let mut link = slot.lock();
        if !link.serves(since) {
            return None;
        }
        let number = link.next;
        link.next += 1;
        let idle = link.is_written();
        match asked {
            Asked::Sign { kind, id, algorithm, data } => {
                let left = until.saturating_duration_since(Instant::now());
                wire::push(&mut link.out, number, *kind, [&wire::sign_head(left, *id, *algorithm), data]);
            }
            Asked::Json { body, .. } => {
                let mut frame = Zeroizing::new(Vec::new());
                wire::push(&mut frame, number, kind::ASK, [body, &[]]);
                link.apart.push(frame);
            }
        }
        link.pending.insert(number, reply);
        let long = !asked.may_be_repeated();
        link.long += usize::from(long);
        drop(link);
        if idle {
            slot.written.notify_one();
        }
        Some((UnderWay { slot, number, long, _place: place }, answer))
    }

    async fn wait_for_a_worker(&self, until: Instant, since: Option<Instant>) -> Result<(), Unanswered> {
        let changed = self.changed.notified();
        if let Some(refused) = self.pin_refused() {
            return Err(Unanswered::Failed(refused));
        }
        if self.slots.iter().any(|slot| slot.lock().serves(since)) {
            return Ok(());
        }
        if timeout_at(until.into(), changed).await.is_ok() {
            return Ok(());
        }
        let reason = self.slots.iter().find_map(|slot| slot.lock().down.clone());
        Err(Unanswered::Failed(reason.unwrap_or_else(|| HsmError::Unavailable("no HSM worker is up".to_owned()))))
    }

    /// What is to be made of a worker that did not find a key. It is ended over it at most once in [`GONE`], never while it makes a key
    /// pair, and never as the last of several that is up and makes none: the key may as well be gone, and the signatures of others need
    /// that worker.
    fn missed(&self, slot: &Slot, id: KeyId) -> Miss {
        let now = Instant::now();
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.retain(|_, missed| now.duration_since(missed.since) < GONE);
        if missed.len() >= MISSED_MAX && !missed.contains_key(&id) {
            return Miss::Gone;
        }
        // Two that miss keys at once are judged one after the other: each would take the other for the one that stays.
        let key = missed.entry(id).or_insert(Missed { since: now, gone: false });
        let others = self.slots.iter().filter(|other| !std::ptr::eq(*other, slot)).any(|other| {
            let link = other.lock();
            link.up && link.long == 0
        });
        let mut link = slot.lock();
        key.gone |= link.began >= key.since;
        let since = key.since;
        if key.gone || link.long > 0 {
            return Miss::Gone;
        }
        if !others && self.slots.len() > 1 {
            return Miss::Ask(since);
        }
        // Before it is asked again, this worker must not be found.
        (link.up, link.outdated) = (false, true);
        Miss::End(since)
    }

    fn pin_refused(&self) -> Option<HsmError> {
        self.pin_refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a worker, alone, and has it open the module.
    async fn start(&self) -> Result<(Worker, Opened), HsmError> {
        let _alone = self.starting.lock().await;
        if let Some(refused) = self.pin_refused() {
            return Err(refused);
        }
        let failed = |error: std::io::Error| HsmError::Unavailable(format!("hsm.processes: a worker cannot be started: {error}"));
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let mut command = Command::new(&self.program);
        // The PIN goes over the socket alone, and no other secret is a worker's business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"EDGESEAL_")) {
            command.env_remove(name);
        }
        let child = command
            .arg(WORKER_SUBCOMMAND)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A terminal's Ctrl-C is the signer's to hear: its workers end with it, once the last request has its signature.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut worker = Worker { child, socket: UnixStream::from_std(ours).map_err(failed)?, frames: Frames::default() };
        count(&self.counters.logins);
        let opened = match timeout(OPENING, worker.open(&self.settings)).await {
            Ok(opened) => opened,
            Err(_) => Err(HsmError::Unavailable("an HSM worker did not open the module in time".to_owned())),
        };
        if let Err(refused @ HsmError::PinRefused(_)) = &opened {
            *self.pin_refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
        }
        opened.map(|opened| (worker, opened))
    }
}

impl Asked {
    fn may_be_repeated(&self) -> bool {
        !matches!(self, Self::Json { repeatable: false, .. })
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process that has been started.
struct Worker {
    child: Child,
    socket: UnixStream,
    frames: Frames,
}

impl Worker {
    async fn open(&mut self, settings: &Pkcs11Settings) -> Result<Opened, HsmError> {
        let ended = |error: std::io::Error| HsmError::Unavailable(format!("an HSM worker ended at its start: {error}"));
        let mut out = Zeroizing::new(Vec::with_capacity(4_096));
        wire::push_json(&mut out, 0, kind::ASK, &Question::Open(WireSettings::of(settings)));
        self.socket.write_all(&out).await.map_err(ended)?;
        loop {
            if let Some(frame) = self.frames.next()? {
                return match frame.kind {
                    kind::ANSWER => wire::json(frame.body),
                    _ => Err(wire::json(frame.body)?),
                };
            }
            if self.socket.read_buf(self.frames.room()).await.map_err(ended)? == 0 {
                return Err(HsmError::Unavailable("an HSM worker ended at its start".to_owned()));
            }
        }
    }
}

/// Keeps one place filled.
async fn supervise(shared: Arc<Shared>, index: usize, first: Worker) {
    let Some(slot) = shared.slots.get(index) else { return };
    let mut pause = PAUSE_MIN;
    let mut next = Some(first);
    loop {
        let began = Instant::now();
        let reason = match next.take() {
            Some(worker) => tend(&shared, slot, worker, began).await,
            None => match shared.start().await {
                Ok((worker, opened)) => {
                    tracing::info!(index, "an HSM worker is back");
                    slot.lock().stats = opened.stats;
                    tend(&shared, slot, worker, began).await
                }
                Err(error) => error,
            },
        };
        let outdated = {
            let mut link = slot.lock();
            link.down = Some(reason.clone());
            std::mem::take(&mut link.outdated)
        };
        shared.changed.notify_waiters();
        if shared.closing.load(Ordering::SeqCst) || matches!(reason, HsmError::PinRefused(_)) {
            return;
        }
        if outdated || began.elapsed() >= LASTING {
            pause = PAUSE_MIN;
        }
        tracing::warn!(index, %reason, pause_ms = pause.as_millis(), "an HSM worker ended; another is started");
        count(&shared.counters.restarts);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Carries questions and answers until the worker ends; says why it did.
async fn tend(shared: &Shared, slot: &Slot, worker: Worker, began: Instant) -> HsmError {
    let Worker { mut child, socket, mut frames } = worker;
    let (mut input, mut output) = socket.into_split();
    {
        let mut link = slot.lock();
        (link.up, link.began) = (true, began);
    }
    shared.changed.notify_waiters();
    let reading = async {
        loop {
            if let Err(error) = take(shared, slot, &mut frames) {
                return error;
            }
            match input.read_buf(frames.room()).await {
                Ok(0) => return HsmError::Unavailable("an HSM worker ended".to_owned()),
                Ok(_) => {}
                Err(error) => return HsmError::Unavailable(format!("an HSM worker ended: {error}")),
            }
        }
    };
    let writing = async {
        let mut octets = Vec::new();
        loop {
            let apart = slot.lock().unwritten(&mut octets);
            if octets.is_empty() && apart.is_empty() {
                if shared.closing.load(Ordering::SeqCst) {
                    return HsmError::Unavailable("the store is closed".to_owned());
                }
                slot.written.notified().await;
            }
            let whole = async {
                for frame in &apart {
                    output.write_all(frame).await?;
                }
                output.write_all(&octets).await
            };
            if let Err(error) = whole.await {
                return HsmError::Unavailable(format!("an HSM worker ended: {error}"));
            }
            octets.clear();
        }
    };
    let counting = async {
        loop {
            sleep(STATS).await;
            let mut link = slot.lock();
            // Number 0 is never given to a call.
            let idle = link.is_written();
            wire::push_json(&mut link.out, 0, kind::ASK, &Question::Stats);
            drop(link);
            if idle {
                slot.written.notify_one();
            }
        }
    };
    let reason = tokio::select! {
        reason = reading => reason,
        reason = writing => reason,
        () = counting => HsmError::Unavailable("an HSM worker is not counted any more".to_owned()),
        () = slot.kill.notified() => HsmError::Unavailable("an HSM worker hung in a call".to_owned()),
    };
    slot.take_down(&reason);
    drop((input, output));
    if shared.closing.load(Ordering::SeqCst) && timeout(FAREWELL, child.wait()).await.is_ok() {
        return reason;
    }
    // It is dead or useless; there is nothing to be done about a failure to kill it.
    let _ = child.kill().await;
    reason
}

impl Slot {
    fn answer(&self, number: u64, reply: Reply) {
        let asked = self.lock().pending.remove(&number);
        if let Some(asked) = asked {
            // Who does not wait any more misses nothing.
            let _ = asked.send(reply);
        }
    }

    /// Nothing more is asked here, and what was is lost.
    fn take_down(&self, reason: &HsmError) {
        let mut link = self.lock();
        link.up = false;
        link.out.clear();
        link.apart.clear();
        let (past, stats) = (link.past, std::mem::take(&mut link.stats));
        link.past = past.plus_work_of(&stats);
        let pending = std::mem::take(&mut link.pending);
        drop(link);
        for reply in pending.into_values() {
            // Who does not wait any more misses nothing.
            let _ = reply.send(Reply::Lost(reason.clone()));
        }
    }
}

/// Hands whole answers to those who asked; an error ends the worker.
fn take(shared: &Shared, slot: &Slot, frames: &mut Frames) -> Result<(), HsmError> {
    while let Some(frame) = frames.next()? {
        let reply = match frame.kind {
            kind::SIGNATURE => Reply::Signature(frame.body.to_vec()),
            kind::ANSWER if frame.number == 0 => {
                slot.lock().stats = wire::json(frame.body)?;
                continue;
            }
            kind::ANSWER => Reply::Json(frame.body.to_vec()),
            kind::ERROR => match wire::json(frame.body)? {
                HsmError::KeyMissing(id) => match shared.missed(slot, id) {
                    Miss::Gone => Reply::Error(HsmError::KeyMissing(id)),
                    Miss::Ask(since) => Reply::Missed(id, since),
                    Miss::End(since) => {
                        slot.answer(frame.number, Reply::Missed(id, since));
                        let reason = format!("an HSM worker found no key with CKA_ID {id}, which the next one may find");
                        return Err(HsmError::Unavailable(reason));
                    }
                },
                error => Reply::Error(error),
            },
            // Before it is asked again, this worker must not be found.
            kind::SPENT => return Err(wire::json(frame.body)?),
            other => return Err(HsmError::Unavailable(format!("an HSM worker's frame of kind {other}"))),
        };
        slot.answer(frame.number, reply);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Pin, TokenSelector},
        *,
    };

    const ID: KeyId = KeyId([1; 16]);

    /// Workers that are up, as far as can be seen.
    fn workers(processes: usize) -> Shared {
        let settings = Pkcs11Settings {
            module: PathBuf::new(),
            token: TokenSelector::Slot(0),
            pin: Pin::new(Zeroizing::new(String::new()), "nowhere"),
            processes,
            threads: 1,
            queue: 1,
            deadline: Duration::from_secs(1),
        };
        let shared = Shared::new(PathBuf::new(), settings);
        for slot in &shared.slots {
            slot.lock().up = true;
        }
        shared
    }

    /// Another worker in this place.
    fn replace(slot: &Slot) {
        let mut link = slot.lock();
        (link.up, link.began) = (true, Instant::now());
    }

    #[test]
    fn a_missed_key_ends_workers_one_by_one_until_one_that_was_started_since_misses_it() {
        let shared = workers(3);
        let [first, second, third] = shared.slots.as_slice() else { panic!("three") };
        assert!(matches!(shared.missed(first, ID), Miss::End(_)));
        assert!(matches!(shared.missed(second, ID), Miss::End(_)));
        assert!(matches!(shared.missed(third, ID), Miss::Ask(_)), "the last that is up");
        assert!(third.lock().up);
        replace(first);
        first.lock().long = 1;
        assert!(matches!(shared.missed(third, ID), Miss::Ask(_)), "the other one makes a key pair");
        first.lock().long = 0;
        assert!(matches!(shared.missed(third, ID), Miss::End(_)));
        assert!(matches!(shared.missed(first, ID), Miss::Gone));
        replace(second);
        // Of another key that one may know less.
        assert!(matches!(shared.missed(second, ID), Miss::Gone));
        assert!(matches!(shared.missed(second, KeyId([2; 16])), Miss::End(_)));
    }

    #[test]
    fn the_only_worker_ends_once_over_a_key_and_none_while_it_makes_a_pair() {
        let shared = workers(1);
        let [only] = shared.slots.as_slice() else { panic!("one") };
        only.lock().long = 1;
        assert!(matches!(shared.missed(only, ID), Miss::Gone));
        only.lock().long = 0;
        assert!(matches!(shared.missed(only, ID), Miss::End(_)));
        replace(only);
        assert!(matches!(shared.missed(only, ID), Miss::Gone));
    }

    #[test]
    fn so_many_missed_keys_are_looked_for_anew() {
        let shared = workers(1);
        let [only] = shared.slots.as_slice() else { panic!("one") };
        for number in 0..u8::try_from(MISSED_MAX).unwrap() {
            assert!(matches!(shared.missed(only, KeyId([number; 16])), Miss::End(_)));
            replace(only);
        }
        assert!(matches!(shared.missed(only, KeyId([0xff; 16])), Miss::Gone));
        assert_eq!(shared.missed.lock().unwrap().len(), MISSED_MAX);
    }
}
