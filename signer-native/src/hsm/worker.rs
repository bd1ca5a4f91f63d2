//! The pool: one OS thread per session, a bounded queue before them, a deadline on every call.
//!
//! PKCS#11 calls block and cannot be cancelled. A call that overruns fails its request; its thread is out of service
//! until the call returns, and when every thread is, requests fail at once instead of queueing up behind them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use cryptoki::{
    error::{Error, RvError},
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
use edgeseal_core::{Algorithm, PublicKey};
use tokio::sync::oneshot;

use super::{
    HsmError, KeyFuture, KeyId, KeyKind, KeyStore, Protection, StoreDescription, StoredKey, mechanism,
    pkcs11::{Module, Pkcs11Settings, ThreadSession, explain},
};

/// How often an idle thread looks whether the module wants its session back.
const IDLE: Duration = Duration::from_millis(500);
/// Generating a large RSA key takes longer than any signature.
const GENERATION: Duration = Duration::from_mins(2);
/// The pause before a throttled call is repeated once (`CloudHSM` throttles with `CKR_FUNCTION_FAILED`).
const THROTTLED: Duration = Duration::from_millis(50);
/// How long the end of the process waits for the threads.
const FAREWELL: Duration = Duration::from_secs(3);
/// Sessions left to others: the anchor, and one that writes.
const RESERVE: u64 = 2;

/// The [`KeyStore`] over a PKCS#11 module.
pub struct Pkcs11KeyStore {
    pool: Arc<Pool>,
    mechanisms: Vec<(MechanismType, usize, usize)>,
}

struct Pool {
    module: Module,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Signalled when a thread ends.
    ended: Condvar,
    threads: usize,
    overrun: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    alive: usize,
}

struct Job {
    work: Box<dyn Work>,
    progress: Arc<Progress>,
}

/// Where a job stands: its caller and its thread agree by compare-and-swap.
#[derive(Default)]
struct Progress(AtomicU8);

impl Progress {
    const WAITING: u8 = 0;
    const RUNNING: u8 = 1;
    const DONE: u8 = 2;
    const ABANDONED: u8 = 3;
    const OVERRUN: u8 = 4;

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

trait Work: Send {
    fn run(&mut self, seat: &mut Seat<'_>);
}

struct Call<T, F> {
    operation: F,
    reply: Option<oneshot::Sender<Result<T, HsmError>>>,
}

impl<T: Send, F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send> Work for Call<T, F> {
    fn run(&mut self, seat: &mut Seat<'_>) {
        let result = seat.recovering(&mut self.operation);
        if let Some(reply) = self.reply.take() {
            // The caller may have gone away; then nobody misses the answer.
            let _ = reply.send(result);
        }
    }
}

impl Pkcs11KeyStore {
    /// Loads the module, logs in, starts the threads.
    ///
    /// # Errors
    /// When the module, the token or the PIN is not what the settings say, each with its mend.
    pub fn open(mut settings: Pkcs11Settings) -> Result<Self, HsmError> {
        let mut threads = settings.threads.max(1);
        let module = Module::open(settings.clone())?;
        if let Some(limit) = module.describe().max_sessions {
            let limit = usize::try_from(limit.saturating_sub(RESERVE)).unwrap_or(usize::MAX);
            threads = threads.min(limit.max(1));
        }
        settings.threads = threads;
        let mechanisms = module.mechanisms()?;
        let pool = Arc::new(Pool {
            module,
            queue: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
            threads,
            overrun: AtomicUsize::new(0),
        });
        let store = Self { pool, mechanisms };
        for index in 0..threads {
            let life = Life::begin(&store.pool);
            thread::Builder::new()
                .name(format!("hsm-{index}"))
                .spawn(move || life.0.serve())
                .map_err(|error| HsmError::Unavailable(format!("hsm.threads: no thread could be started: {error}")))?;
        }
        Ok(store)
    }

    fn call<T, F>(&self, limit: Duration, operation: F) -> KeyFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let submitted = self.pool.submit(Box::new(Call { operation, reply: Some(reply) }));
        Box::pin(async move {
            let progress = submitted?;
            match tokio::time::timeout(limit, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(HsmError::Unavailable("the HSM threads have ended".to_owned())),
                Err(_) => {
                    self.pool.give_up(&progress);
                    Err(HsmError::Deadline(limit))
                }
            }
        })
    }

    fn has(&self, wanted: MechanismType, bits: usize) -> bool {
        self.mechanisms.iter().any(|(mechanism, least, most)| {
            // Modules that do not tell sizes say 0; sizes of EdDSA are told in anything from bits to nothing.
            *mechanism == wanted && (*most == 0 || bits == 255 || (*least <= bits && bits <= *most))
        })
    }
}

impl KeyStore for Pkcs11KeyStore {
    fn description(&self) -> StoreDescription {
        StoreDescription { threads: self.pool.threads, ..self.pool.module.describe() }
    }

    fn supports(&self, algorithm: Algorithm, kind: KeyKind) -> bool {
        let bits = mechanism::size_in_bits(kind);
        self.has(mechanism::mechanism_type(algorithm), bits) && self.has(mechanism::generation(kind).mechanism_type(), bits)
    }

    fn generate(&self, id: KeyId, kind: KeyKind, label: String) -> KeyFuture<'_, StoredKey> {
        self.call(GENERATION, move |seat| seat.generate(id, kind, &label))
    }

    fn inspect(&self, id: KeyId, kind: KeyKind) -> KeyFuture<'_, Option<StoredKey>> {
        self.call(self.pool.module.settings().deadline, move |seat| seat.inspect(id, kind))
    }

    fn sign(&self, id: KeyId, algorithm: Algorithm, message: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.call(self.pool.module.settings().deadline, move |seat| {
            let input = mechanism::sign_input(algorithm, message.clone())?;
            seat.sign(id, &input)
        })
    }

    fn sign_digest(&self, id: KeyId, algorithm: Algorithm, digest: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.call(self.pool.module.settings().deadline, move |seat| {
            let input = mechanism::digest_input(algorithm, digest.clone())?;
            seat.sign(id, &input)
        })
    }

    fn destroy(&self, id: KeyId) -> KeyFuture<'_, ()> {
        self.call(self.pool.module.settings().deadline, move |seat| seat.destroy(id))
    }
}

impl Drop for Pkcs11KeyStore {
    /// Ends the threads and finalizes the module, so that nothing is inside it when the process unloads it.
    fn drop(&mut self) {
        let mut queue = self.pool.lock();
        queue.closed = true;
        self.pool.wake.notify_all();
        let ended = self.pool.ended.wait_timeout_while(queue, FAREWELL, |queue| queue.alive > 0);
        let (queue, _) = ended.unwrap_or_else(PoisonError::into_inner);
        let alive = queue.alive;
        drop(queue);
        if alive == 0 {
            self.pool.module.close();
        } else {
            tracing::warn!(threads = alive, "HSM threads hang; the module is left as it is");
        }
    }
}

/// A thread's part in the pool, from before it starts until after it ends.
struct Life(Arc<Pool>);

impl Life {
    fn begin(pool: &Arc<Pool>) -> Self {
        pool.lock().alive += 1;
        Self(Arc::clone(pool))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
        self.0.ended.notify_all();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&self, work: Box<dyn Work>) -> Result<Arc<Progress>, HsmError> {
        if self.overrun.load(Ordering::SeqCst) >= self.threads {
            return Err(HsmError::Unavailable("every HSM thread hangs in a call that did not return in time".to_owned()));
        }
        let progress = Arc::new(Progress::default());
        let mut queue = self.lock();
        if queue.jobs.len() >= self.module.settings().queue {
            // Jobs that nobody waits for any more hold no place.
            queue.jobs.retain(|job| job.progress.0.load(Ordering::SeqCst) == Progress::WAITING);
            if queue.jobs.len() >= self.module.settings().queue {
                return Err(HsmError::Busy);
            }
        }
        queue.jobs.push_back(Job { work, progress: Arc::clone(&progress) });
        drop(queue);
        self.wake.notify_one();
        Ok(progress)
    }

    /// The caller's deadline is over.
    fn give_up(&self, progress: &Progress) {
        if !progress.change(Progress::WAITING, Progress::ABANDONED) && progress.change(Progress::RUNNING, Progress::OVERRUN) {
            let stuck = self.overrun.fetch_add(1, Ordering::SeqCst) + 1;
            tracing::error!(
                stuck,
                threads = self.threads,
                "an HSM call overran its deadline; its thread is out of service until it returns"
            );
        }
    }

    /// The life of one thread.
    fn serve(&self) {
        let mut seat = Seat { module: &self.module, session: None, handles: HashMap::new() };
        loop {
            let mut queue = self.lock();
            let job = loop {
                if queue.closed {
                    return;
                }
                if let Some(job) = queue.jobs.pop_front() {
                    break Some(job);
                }
                let (again, waited) = self.wake.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
                queue = again;
                if waited.timed_out() {
                    break None;
                }
            };
            drop(queue);
            if self.module.draining() {
                seat.leave();
            }
            let Some(mut job) = job else { continue };
            if !job.progress.change(Progress::WAITING, Progress::RUNNING) {
                continue;
            }
            job.work.run(&mut seat);
            if !job.progress.change(Progress::RUNNING, Progress::DONE) {
                self.overrun.fetch_sub(1, Ordering::SeqCst);
                seat.leave();
                tracing::warn!("an HSM thread is back in service");
            }
        }
    }
}

/// What went wrong inside one attempt.
enum Fault {
    /// The module's word.
    Module(Error),
    /// Zero objects where one must be: not logged in, or a dead module, or really no key.
    Absent(KeyId),
    /// Ours; final.
    Final(HsmError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        Self::Final(error)
    }
}

/// What a fault asks for before the one more attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The handles are stale: find again by `CKA_ID`.
    FindAgain,
    /// The session is gone, or the login: a new session, the login looked after.
    NewSession,
    /// The module is dead: drain, finalize, initialize.
    Restart,
    /// Throttled: wait a little.
    Wait,
}

/// One thread's session and the handles found in it.
struct Seat<'a> {
    module: &'a Module,
    session: Option<ThreadSession>,
    handles: HashMap<KeyId, ObjectHandle>,
}

impl Seat<'_> {
    fn leave(&mut self) {
        self.handles.clear();
        if let Some(session) = self.session.take() {
            self.module.release(session);
        }
    }

    fn sit(&mut self) -> Result<(), HsmError> {
        if self.session.is_none() {
            self.session = Some(self.module.session()?);
        }
        Ok(())
    }

    fn session(&self) -> Result<&ThreadSession, Fault> {
        self.session.as_ref().ok_or_else(|| Fault::Final(HsmError::Unavailable("no HSM session".to_owned())))
    }

    /// Runs an operation; each kind of fault is remedied once.
    fn recovering<T>(&mut self, operation: &mut impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<T, HsmError> {
        let mut tried: Vec<Remedy> = Vec::new();
        loop {
            self.sit()?;
            let fault = match operation(self) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let remedy = match &fault {
                Fault::Final(error) => return Err(error.clone()),
                Fault::Absent(_) if !tried.contains(&Remedy::NewSession) => Remedy::NewSession,
                Fault::Absent(_) => Remedy::Restart,
                Fault::Module(error) => match remedy(error) {
                    Some(remedy) => remedy,
                    None => return Err(refused(error)),
                },
            };
            if tried.contains(&remedy) {
                return Err(fault.into_error());
            }
            tried.push(remedy);
            self.apply(remedy, fault)?;
        }
    }

    fn apply(&mut self, remedy: Remedy, fault: Fault) -> Result<(), HsmError> {
        let epoch = self.session.as_ref().map_or(0, |session| session.epoch);
        match remedy {
            Remedy::FindAgain => self.handles.clear(),
            #[expect(
                clippy::disallowed_methods,
                reason = "CKR_FUNCTION_FAILED names no condition to wait for, and this thread serves nothing else"
            )]
            Remedy::Wait => thread::sleep(THROTTLED),
            Remedy::NewSession => {
                self.leave();
                self.module.ensure_login(epoch)?;
            }
            Remedy::Restart => {
                self.leave();
                let error = fault.into_error();
                if !self.module.restart(epoch, &error.to_string())? {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn sign(&mut self, id: KeyId, input: &mechanism::SignInput) -> Result<Vec<u8>, Fault> {
        let handle = self.private_handle(id)?;
        Ok(self.session()?.session.sign(&input.mechanism, handle, &input.data)?)
    }

    /// The handle of the private key, searched for once per session.
    fn private_handle(&mut self, id: KeyId) -> Result<ObjectHandle, Fault> {
        if let Some(handle) = self.handles.get(&id) {
            return Ok(*handle);
        }
        let found = self.session()?.session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?;
        match found.as_slice() {
            [handle] => {
                self.handles.insert(id, *handle);
                Ok(*handle)
            }
            [] => Err(Fault::Absent(id)),
            several => Err(Fault::Final(HsmError::KeyAmbiguous(id, several.len()))),
        }
    }

    fn generate(&mut self, id: KeyId, kind: KeyKind, label: &str) -> Result<StoredKey, Fault> {
        let _one_at_a_time = self.module.generation();
        let session = self.module.writing_session(self.session()?.epoch)?;
        if !session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?.is_empty() {
            return Err(Fault::Final(HsmError::Refused(format!("the token already holds a key with CKA_ID {id}"))));
        }
        let private_template = mechanism::private_template(id, label);
        let mut templates = mechanism::public_templates(id, kind, label)?.into_iter().peekable();
        let (public, private) = loop {
            let Some(template) = templates.next() else {
                return Err(Fault::Final(HsmError::Unsupported(format!("the module cannot generate {kind} keys"))));
            };
            match session.generate_key_pair(&mechanism::generation(kind), &template, &private_template) {
                Ok(pair) => break pair,
                Err(Error::Pkcs11(
                    RvError::CurveNotSupported
                    | RvError::DomainParamsInvalid
                    | RvError::AttributeValueInvalid
                    | RvError::ArgumentsBad
                    | RvError::GeneralError
                    | RvError::FunctionFailed,
                    _,
                )) if templates.peek().is_some() => {}
                Err(Error::Pkcs11(
                    code @ (RvError::MechanismInvalid | RvError::CurveNotSupported | RvError::KeySizeRange),
                    _,
                )) => {
                    return Err(Fault::Final(HsmError::Unsupported(format!(
                        "the module cannot generate {kind} keys ({code:?})"
                    ))));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let stored = read_pair(&session, public, private, kind, self.module.tells_local());
        match stored {
            Ok(stored) if stored.protection.is_complete() => Ok(stored),
            other => {
                // A key that cannot be proved to be what was asked for does not stay.
                let removed = [private, public].into_iter().try_for_each(|handle| session.destroy_object(handle));
                let why = match other {
                    Ok(stored) => format!("the module does not keep the new {kind} key as asked: {:?}", stored.protection),
                    Err(Fault::Module(error)) => error.to_string(),
                    Err(Fault::Absent(id)) => HsmError::KeyMissing(id).to_string(),
                    Err(Fault::Final(error)) => error.to_string(),
                };
                let rest = if removed.is_ok() { "it was destroyed" } else { "it could not be destroyed" };
                Err(Fault::Final(HsmError::Refused(format!("{why}; {rest}"))))
            }
        }
    }

    fn inspect(&mut self, id: KeyId, kind: KeyKind) -> Result<Option<StoredKey>, Fault> {
        let session = &self.session()?.session;
        let private = session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?;
        let public = session.find_objects(&mechanism::search(id, ObjectClass::PUBLIC_KEY))?;
        match (private.as_slice(), public.as_slice()) {
            ([private], [public]) => read_pair(session, *public, *private, kind, self.module.tells_local()).map(Some),
            ([], []) => Ok(None),
            (private, public) if private.len() > 1 || public.len() > 1 => {
                Err(Fault::Final(HsmError::KeyAmbiguous(id, private.len().max(public.len()))))
            }
            _ => Err(Fault::Final(HsmError::Refused(format!("the token holds only half of the pair with CKA_ID {id}")))),
        }
    }

    fn destroy(&mut self, id: KeyId) -> Result<(), Fault> {
        self.handles.remove(&id);
        let session = self.module.writing_session(self.session()?.epoch)?;
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for handle in session.find_objects(&mechanism::search(id, class))? {
                session.destroy_object(handle)?;
            }
            if !session.find_objects(&mechanism::search(id, class))?.is_empty() {
                return Err(Fault::Final(HsmError::Refused(format!("CKA_ID {id} is still there after C_DestroyObject"))));
            }
        }
        Ok(())
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Fault {
    fn into_error(self) -> HsmError {
        match self {
            Self::Module(error) => explain("the HSM", &error),
            Self::Absent(id) => HsmError::KeyMissing(id),
            Self::Final(error) => error,
        }
    }
}

fn remedy(error: &Error) -> Option<Remedy> {
    let Error::Pkcs11(code, _) = error else { return None };
    Some(match code {
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => Remedy::FindAgain,
        RvError::SessionClosed | RvError::SessionHandleInvalid | RvError::UserNotLoggedIn | RvError::OperationActive => {
            Remedy::NewSession
        }
        RvError::DeviceError
        | RvError::DeviceRemoved
        | RvError::GeneralError
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::CryptokiNotInitialized => Remedy::Restart,
        RvError::FunctionFailed => Remedy::Wait,
        _ => return None,
    })
}

fn refused(error: &Error) -> HsmError {
    match error {
        Error::Pkcs11(
            code @ (RvError::MechanismInvalid | RvError::MechanismParamInvalid | RvError::KeyTypeInconsistent),
            function,
        ) => HsmError::Unsupported(format!("the module cannot do this with the key ({function:?}: {code:?})")),
        Error::Pkcs11(code, function) => HsmError::Refused(format!("the HSM refused ({function:?}: {code:?})")),
        other => HsmError::Refused(other.to_string()),
    }
}

/// The public key and what the module asserts about the private one.
fn read_pair(
    session: &Session,
    public: ObjectHandle,
    private: ObjectHandle,
    kind: KeyKind,
    tells_local: bool,
) -> Result<StoredKey, Fault> {
    Ok(StoredKey {
        public_key: read_public(session, public, kind)?,
        protection: read_protection(session, private, kind, tells_local)?,
    })
}

fn read_public(session: &Session, handle: ObjectHandle, kind: KeyKind) -> Result<PublicKey, Fault> {
    let wanted = [AttributeType::KeyType, AttributeType::EcPoint, AttributeType::Modulus, AttributeType::PublicExponent];
    let (mut point, mut modulus, mut exponent, mut key_type) = (None, None, None, None);
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::EcPoint(value) => point = Some(value),
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            Attribute::KeyType(value) => key_type = Some(value),
            _ => {}
        }
    }
    if key_type != Some(mechanism::key_type(kind)) {
        return Err(unreadable(kind, "CKA_KEY_TYPE is another"));
    }
    let key = match (kind, point, modulus, exponent) {
        (KeyKind::Ec(curve), Some(point), _, _) => {
            let raw = mechanism::ec_point(&point, 1 + 2 * curve.coordinate_len())
                .ok_or_else(|| unreadable(kind, "CKA_EC_POINT is malformed"))?;
            PublicKey::ec_from_sec1(curve, raw)
        }
        (KeyKind::Ed25519, Some(point), _, _) => {
            let raw = mechanism::ec_point(&point, 32).and_then(|raw| <&[u8; 32]>::try_from(raw).ok());
            PublicKey::ed25519(raw.ok_or_else(|| unreadable(kind, "CKA_EC_POINT is malformed"))?)
        }
        (KeyKind::Rsa(_), _, Some(modulus), Some(exponent)) => PublicKey::rsa(&modulus, &exponent),
        _ => return Err(unreadable(kind, "its public attributes are missing")),
    };
    key.map_err(|problem| unreadable(kind, problem.as_str()))
}

fn unreadable(kind: KeyKind, why: &str) -> Fault {
    Fault::Final(HsmError::Refused(format!("the module's {kind} public key cannot be used: {why}")))
}

fn read_protection(session: &Session, handle: ObjectHandle, kind: KeyKind, tells_local: bool) -> Result<Protection, Fault> {
    let wanted = [
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    let (mut sensitive, mut always, mut extractable, mut never, mut local) = (false, false, true, false, false);
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Sensitive(value) => sensitive = value,
            Attribute::AlwaysSensitive(value) => always = value,
            Attribute::Extractable(value) => extractable = value,
            Attribute::NeverExtractable(value) => never = value,
            Attribute::Local(value) => local = value,
            _ => {}
        }
    }
    let secret = match kind {
        KeyKind::Rsa(_) => AttributeType::PrivateExponent,
        KeyKind::Ec(_) | KeyKind::Ed25519 => AttributeType::Value,
    };
    let value_refused = match session.get_attributes(handle, &[secret]) {
        Ok(values) => values.is_empty(),
        Err(Error::Pkcs11(RvError::AttributeSensitive, _)) => true,
        Err(error) => return Err(error.into()),
    };
    Ok(Protection {
        always_sensitive: sensitive && always,
        never_extractable: !extractable && never,
        local: local || !tells_local,
        value_refused,
    })
}
