//! One PKCS#11 context per module and process: loaded, initialized, logged in, and brought back when it dies.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::MechanismType,
    session::{Session, SessionState, UserType},
    slot::Slot,
    types::AuthPin,
};
use zeroize::Zeroizing;

use super::{
    HsmError, StoreDescription,
    handles::Handles,
    seat::Fault,
    stats::{Counters, count},
};

/// The first pause after a failed attempt to bring the module back; it doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// After this long without a restart, the next one is a first one again.
const RESTART_FORGIVEN: Duration = Duration::from_mins(10);
/// How often at the start, and how soon, a token is looked for again that a module did not show.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long a restart waits for other threads to let go of their sessions.
const DRAIN: Duration = Duration::from_secs(2);

/// How to reach a token.
#[derive(Clone, Debug)]
pub struct Pkcs11Settings {
    /// The PKCS#11 module, a shared library.
    pub module: PathBuf,
    /// Which token.
    pub token: TokenSelector,
    /// The user's PIN.
    pub pin: Pin,
    /// Worker processes, each with the module and threads of its own; 0 has the module in this process.
    pub processes: usize,
    /// Signing threads of each process, one session each.
    pub threads: usize,
    /// Calls that may wait for a thread.
    pub queue: usize,
    /// How long one call may take, waiting included.
    pub deadline: Duration,
}

/// How a token is found among the module's slots.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TokenSelector {
    /// By its label, which must occur once.
    Label(String),
    /// By the number of its slot.
    Slot(u64),
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(formatter, "hsm.token {label:?}"),
            Self::Slot(slot) => write!(formatter, "hsm.slot {slot}"),
        }
    }
}

/// A PIN: zeroized when dropped, never shown.
#[derive(Clone)]
pub struct Pin {
    value: Arc<Zeroizing<String>>,
    origin: Arc<str>,
}

impl Pin {
    /// A PIN and where it came from, such as `hsm.pin_file /etc/edgeseal/pin`, for messages.
    pub fn new(value: Zeroizing<String>, origin: impl Into<Arc<str>>) -> Self {
        Self { value: Arc::new(value), origin: origin.into() }
    }

    pub(super) fn secret(&self) -> Zeroizing<String> {
        Zeroizing::clone(&self.value)
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn auth(&self) -> AuthPin {
        AuthPin::from(self.value.as_str())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pin(from {})", self.origin)
    }
}

/// How often a process may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Whenever the token forgot it, until the PIN is refused.
    Renewed,
    /// When the module is opened. What would need another one ends the process instead: see [`Module::spent`].
    Once,
}

/// The module, shared by all threads.
pub(super) struct Module {
    settings: Pkcs11Settings,
    login: Login,
    spent: AtomicBool,
    state: Mutex<State>,
    /// Signalled when a thread lets go of a session.
    released: Condvar,
    /// Key pairs are generated one at a time: some modules race.
    generation: Mutex<()>,
    handles: Handles,
    /// Set while a restart waits for the threads.
    draining: AtomicBool,
    /// Wakes the threads, so that they see it.
    wake: Option<Arc<Condvar>>,
    /// How many calls hang: a module cannot be finalized around them.
    hanging: AtomicUsize,
    /// The state's epoch, to be read without its lock.
    epoch: AtomicU64,
    counters: Counters,
}

struct State {
    live: Option<Live>,
    /// Counts contexts: a session of an older one is worthless.
    epoch: u64,
    /// Sessions of the threads, open in the present epoch.
    sessions: usize,
    /// Set while a restart waits for the threads; other threads wait for its end.
    restarting: bool,
    retry_at: Option<Instant>,
    backoff: Duration,
    restarted_at: Option<Instant>,
    restart_pause: Duration,
    last_error: Option<HsmError>,
    /// The PIN was refused once: never again in this process.
    pin_refused: Option<HsmError>,
}

struct Live {
    context: Pkcs11,
    slot: Slot,
    /// Holds the login: a token logs out when its last session closes.
    anchor: Session,
}

/// A session of one thread, and the epoch it belongs to.
pub(super) struct ThreadSession {
    pub(super) session: Session,
    pub(super) epoch: u64,
}

impl Module {
    /// Loads the module, finds the token, logs in.
    pub(super) fn open(settings: Pkcs11Settings, login: Login) -> Result<Self, HsmError> {
        let counters = Counters::default();
        let live = Live::open(&settings, &counters, LOOKS)?;
        let handles = Handles::default();
        // What stands in the way will stand in the way of the first signature, and is dealt with there.
        if let Err(fault) = handles.prepare(&live.anchor) {
            tracing::warn!(error = %fault.into_error(), "no search for keys before the first signature");
        }
        Ok(Self {
            settings,
            login,
            spent: AtomicBool::new(false),
            state: Mutex::new(State {
                live: Some(live),
                epoch: 1,
                sessions: 0,
                restarting: false,
                retry_at: None,
                backoff: BACKOFF_MIN,
                restarted_at: None,
                restart_pause: BACKOFF_MIN,
                last_error: None,
                pin_refused: None,
            }),
            released: Condvar::new(),
            generation: Mutex::new(()),
            handles,
            draining: AtomicBool::new(false),
            wake: None,
            hanging: AtomicUsize::new(0),
            epoch: AtomicU64::new(1),
            counters,
        })
    }

    /// What wakes the threads that hold idle sessions.
    pub(super) fn wakes(&mut self, wake: Arc<Condvar>) {
        self.wake = Some(wake);
    }

    /// How many calls hang in the module now.
    pub(super) fn hangs(&self, calls: usize) {
        self.hanging.store(calls, Ordering::SeqCst);
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether this process is ended where another would restart the module.
    pub(super) fn is_disposable(&self) -> bool {
        self.login == Login::Once
    }

    /// Whether this process is of no more use: the module would have to be restarted, or to log in again.
    pub(super) fn spent(&self) -> bool {
        self.spent.load(Ordering::SeqCst)
    }

    /// In a process that may log in once only, what needs another login ends it.
    fn unless_spent(&self, reason: &str) -> Result<(), HsmError> {
        if !self.is_disposable() {
            return Ok(());
        }
        self.spent.store(true, Ordering::SeqCst);
        Err(HsmError::Unavailable(reason.to_owned()))
    }

    /// Counts contexts: a session of an older one is worthless.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(super) fn settings(&self) -> &Pkcs11Settings {
        &self.settings
    }

    pub(super) fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Held while a key pair is generated. Where another is at it whose caller has given up, this thread does not wait behind it; but in a
    /// process that is ended with what hangs in it.
    pub(super) fn generation(&self) -> Result<MutexGuard<'_, ()>, HsmError> {
        match self.generation.try_lock() {
            Ok(held) => Ok(held),
            Err(TryLockError::Poisoned(held)) => Ok(held.into_inner()),
            Err(TryLockError::WouldBlock) if self.login == Login::Once => {
                Ok(self.generation.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Err(TryLockError::WouldBlock) => Err(HsmError::Busy),
        }
    }

    /// Whether no key pair is being generated.
    pub(super) fn may_generate(&self) -> bool {
        !matches!(self.generation.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// A session for the calling thread; brings the module back first if it is down and its pause is over.
    pub(super) fn session(&self) -> Result<ThreadSession, Fault> {
        let mut state = self.after_restart(self.lock());
        if state.live.is_none() {
            self.revive(&mut state)?;
        }
        let epoch = state.epoch;
        let Some(live) = &state.live else { return Err(state.down().into()) };
        let session = live.context.open_ro_session(live.slot)?;
        state.sessions += 1;
        Ok(ThreadSession { session, epoch })
    }

    /// Another session, which may write: for generating and destroying. It is closed when dropped.
    pub(super) fn writing_session(&self, epoch: u64) -> Result<Session, Error> {
        let state = self.lock();
        match &state.live {
            Some(live) if state.epoch == epoch => live.context.open_rw_session(live.slot),
            _ => Err(Error::Pkcs11(RvError::SessionHandleInvalid, cryptoki::context::Function::OpenSession)),
        }
    }

    /// Takes a session back, whatever its state.
    pub(super) fn release(&self, session: ThreadSession) {
        let ThreadSession { session, epoch } = session;
        drop(session);
        let mut state = self.lock();
        if state.epoch == epoch {
            state.sessions = state.sessions.saturating_sub(1);
        }
        drop(state);
        self.released.notify_all();
    }

    /// Whether threads should let go of idle sessions.
    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Logs in again if the token forgot the login: another session may have logged out. `forgot`: the token has said so itself,
    /// whatever its module, which may keep the state of its sessions on this side of a network, says of them.
    pub(super) fn ensure_login(&self, epoch: u64, forgot: bool) -> Result<(), Fault> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(refused) = &state.pin_refused {
            return Err(refused.clone().into());
        }
        if state.epoch != epoch {
            return Ok(());
        }
        let Some(live) = &mut state.live else { return Err(state.down().into()) };
        let logged_in = if let Ok(info) = live.anchor.get_session_info() {
            !forgot && matches!(info.session_state(), SessionState::RoUser | SessionState::RwUser)
        } else {
            live.anchor = live.context.open_ro_session(live.slot)?;
            false
        };
        if logged_in {
            return Ok(());
        }
        self.unless_spent("the token forgot the login")?;
        let outcome = log_in(&live.context, live.slot, &live.anchor, &self.settings, &self.counters);
        if let Err(Fault::Final(refused @ HsmError::PinRefused(_))) = &outcome {
            state.pin_refused = Some(refused.clone());
        }
        self.handles.end();
        outcome
    }

    /// Drains, finalizes and initializes again: for a module that lost its objects or its device. `false` when it was
    /// done too short a while ago to be worth another try.
    pub(super) fn restart(&self, epoch: u64, reason: &str) -> Result<bool, HsmError> {
        self.unless_spent(reason)?;
        let mut state = self.after_restart(self.lock());
        if state.epoch != epoch {
            return Ok(true); // Another thread has done it.
        }
        if self.hanging.load(Ordering::SeqCst) > 0 {
            return Err(cannot_restart());
        }
        match state.restarted_at.map(|at| at.elapsed()) {
            Some(since) if since < state.restart_pause => return Ok(false),
            Some(since) if since < RESTART_FORGIVEN => state.restart_pause = (state.restart_pause * 2).min(BACKOFF_MAX),
            _ => state.restart_pause = BACKOFF_MIN,
        }
        tracing::warn!(reason, "restarting the PKCS#11 module");
        state.restarted_at = Some(Instant::now());
        count(&self.counters.restarts);
        state.restarting = true;
        self.draining.store(true, Ordering::SeqCst);
        if let Some(wake) = &self.wake {
            wake.notify_all();
        }
        let (mut state, _) =
            self.released.wait_timeout_while(state, DRAIN, |state| state.sessions > 0).unwrap_or_else(PoisonError::into_inner);
        state.restarting = false;
        self.draining.store(false, Ordering::SeqCst);
        if state.sessions > 0 {
            drop(state);
            self.released.notify_all();
            return Err(cannot_restart());
        }
        state.epoch += 1;
        self.epoch.store(state.epoch, Ordering::SeqCst);
        self.handles.end();
        if let Some(Live { context, slot: _, anchor }) = state.live.take() {
            drop(anchor);
            if let Err(error) = context.finalize() {
                tracing::warn!(error = word(&error), "C_Finalize");
            }
        }
        state.last_error = Some(HsmError::Unavailable(reason.to_owned()));
        let revived = self.revive(&mut state).map(|()| true);
        drop(state);
        self.released.notify_all();
        revived
    }

    /// Waits for a restart that another thread is at: it takes milliseconds, or [`DRAIN`] when a call hangs.
    fn after_restart<'state>(&self, state: MutexGuard<'state, State>) -> MutexGuard<'state, State> {
        let waited = self.released.wait_timeout_while(state, DRAIN, |state| state.restarting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Logs out by closing the last session, and finalizes.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        if let Some(Live { context, slot: _, anchor }) = state.live.take() {
            drop(anchor);
            if let Err(error) = context.finalize() {
                tracing::debug!(error = word(&error), "C_Finalize");
            }
        }
    }

    fn revive(&self, state: &mut State) -> Result<(), HsmError> {
        if let Some(refused) = &state.pin_refused {
            return Err(refused.clone());
        }
        if state.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(state.down());
        }
        // One more look: others wait for the lock meanwhile, and whoever comes after the pause looks again.
        match Live::open(&self.settings, &self.counters, 1) {
            Ok(live) => {
                state.backoff = BACKOFF_MIN;
                state.retry_at = None;
                tracing::info!("the PKCS#11 module is back");
                state.live = Some(live);
                state.sessions = 0;
                state.last_error = None;
                Ok(())
            }
            Err(error) => {
                if let HsmError::PinRefused(_) = error {
                    state.pin_refused = Some(error.clone());
                }
                state.retry_at = Some(Instant::now() + state.backoff);
                state.backoff = (state.backoff * 2).min(BACKOFF_MAX);
                state.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// What the module and the token are.
    pub(super) fn describe(&self) -> StoreDescription {
        let state = self.lock();
        let mut description = StoreDescription {
            module: self.settings.module.display().to_string(),
            threads: self.settings.threads,
            ..StoreDescription::default()
        };
        let Some(live) = &state.live else { return description };
        description.slot = live.slot.id();
        if let Ok(info) = live.context.get_library_info() {
            let version = info.library_version();
            description.library = format!("{} {}.{}", info.manufacturer_id().trim(), version.major(), version.minor());
        }
        if let Ok(slots) = live.context.get_slots_with_initialized_token() {
            description.slots = slots.len();
        }
        if let Ok(token) = live.context.get_token_info(live.slot) {
            token.label().trim_end_matches(['\0', ' ']).clone_into(&mut description.token);
            description.max_sessions = token.max_session_count().into();
        }
        description
    }

    /// Mechanisms of the token with their key sizes, as far as they sign or generate pairs.
    pub(super) fn mechanisms(&self) -> Result<Vec<(MechanismType, usize, usize)>, HsmError> {
        let state = self.lock();
        let Some(live) = &state.live else { return Err(state.down()) };
        let list = live.context.get_mechanism_list(live.slot).map_err(|error| explain("hsm.module", &error))?;
        let mut mechanisms = Vec::new();
        for mechanism in list {
            if let Ok(info) = live.context.get_mechanism_info(live.slot, mechanism)
                && (info.sign() || info.generate_key_pair())
            {
                mechanisms.push((mechanism, info.min_key_size(), info.max_key_size()));
            }
        }
        Ok(mechanisms)
    }

    /// Whether `CKA_LOCAL` means something: NSS leaves it false.
    pub(super) fn tells_local(&self) -> bool {
        let state = self.lock();
        let maker = state.live.as_ref().and_then(|live| live.context.get_library_info().ok());
        maker.is_none_or(|info| !info.manufacturer_id().contains("Mozilla"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn down(&self) -> HsmError {
        self.last_error.clone().unwrap_or_else(|| HsmError::Unavailable("the HSM module is down".to_owned()))
    }
}

impl Live {
    fn open(settings: &Pkcs11Settings, counters: &Counters, looks: u32) -> Result<Self, HsmError> {
        let (context, slot) = load_and_find(settings, looks)?;
        match Self::log_in(&context, slot, settings, counters) {
            Ok(anchor) => Ok(Self { context, slot, anchor }),
            Err(error) => {
                // Leave the module as it was found; why it failed matters more than how it ends.
                let _ = context.finalize();
                Err(error.into_error())
            }
        }
    }

    fn log_in(context: &Pkcs11, slot: Slot, settings: &Pkcs11Settings, counters: &Counters) -> Result<Session, Fault> {
        let anchor = context.open_ro_session(slot)?;
        log_in(context, slot, &anchor, settings, counters)?;
        Ok(anchor)
    }
}

/// The initialized module and the token's slot. Modules whose tokens are files (`SoftHSM`) read them when they are
/// initialized, and while another process writes one they answer `GENERAL_ERROR` or leave it out until they are
/// initialized again: they are, `again` times.
fn load_and_find(settings: &Pkcs11Settings, again: u32) -> Result<(Pkcs11, Slot), HsmError> {
    let mut looks = 0;
    loop {
        let context = load(settings)?;
        match find_slot(&context, &settings.token) {
            Ok(slot) => return Ok((context, slot)),
            Err(error) => {
                let _ = context.finalize();
                if looks == again {
                    return Err(error);
                }
            }
        }
        looks += 1;
        std::thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Loads and initializes the module named by the settings.
pub(super) fn load(settings: &Pkcs11Settings) -> Result<Pkcs11, HsmError> {
    let path = &settings.module;
    if !path.exists() {
        return Err(HsmError::Misconfigured(format!(
            "hsm.module {} does not exist; set it to the PKCS#11 library of your HSM (Debian's softhsm2 installs /usr/lib/softhsm/libsofthsm2.so)",
            path.display()
        )));
    }
    let context = Pkcs11::new(path).map_err(|error| {
        HsmError::Misconfigured(format!(
            "hsm.module {} is not a PKCS#11 library that can be loaded ({}); set it to your HSM's",
            path.display(),
            word(&error)
        ))
    })?;
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(context),
        Err(error) => Err(HsmError::Unavailable(format!(
            "hsm.module {} does not start ({}); check its own configuration (SoftHSM: SOFTHSM2_CONF, set by hsm.environment) and that this user may read it",
            path.display(),
            word(&error)
        ))),
    }
}

fn find_slot(context: &Pkcs11, selector: &TokenSelector) -> Result<Slot, HsmError> {
    let slots = context.get_slots_with_initialized_token().map_err(|error| explain("hsm.module", &error))?;
    let mut tokens = Vec::new();
    for slot in slots {
        let info = context.get_token_info(slot).map_err(|error| explain("hsm.module", &error))?;
        tokens.push((slot, info.label().trim_end_matches(['\0', ' ']).to_owned()));
    }
    let mut matching = tokens.iter().filter(|(slot, label)| match selector {
        TokenSelector::Label(wanted) => label == wanted,
        TokenSelector::Slot(wanted) => slot.id() == *wanted,
    });
    match (matching.next(), matching.next()) {
        (Some((slot, _)), None) => Ok(*slot),
        (Some(_), Some(_)) => Err(HsmError::Misconfigured(format!("{selector} names more than one token; name one by hsm.slot"))),
        // Where an HSM of the network is not there yet, its client shows nothing; that mends by waiting.
        (None, _) if tokens.is_empty() => Err(HsmError::Unavailable(format!(
            "{selector} is not there: the module shows no token at all; is the HSM connected and its client running? A new one is initialized by softhsm2-util --init-token, pkcs11-tool --init-token"
        ))),
        (None, _) => {
            let present: Vec<String> = tokens.iter().map(|(slot, label)| format!("{label:?} in slot {}", slot.id())).collect();
            Err(HsmError::Misconfigured(format!(
                "{selector} is not there: the module shows {}; name one of these, or initialize a token (softhsm2-util --init-token, pkcs11-tool --init-token)",
                present.join(", ")
            )))
        }
    }
}

/// Presents the PIN once. "Already logged in" is what we want to hear.
fn log_in(context: &Pkcs11, slot: Slot, anchor: &Session, settings: &Pkcs11Settings, counters: &Counters) -> Result<(), Fault> {
    let origin = &settings.pin.origin;
    let token = &settings.token;
    let info = context.get_token_info(slot)?;
    let refused = |reason: String| Err(Fault::Final(HsmError::PinRefused(reason)));
    if info.user_pin_locked() {
        return refused(format!("the PIN of {token} is locked; the security officer must unlock it (pkcs11-tool --init-pin)"));
    }
    if info.user_pin_final_try() {
        return refused(format!(
            "{token} allows one last PIN attempt and it was not used; log in once with another tool to prove the PIN, then start again"
        ));
    }
    count(&counters.logins);
    match anchor.login(UserType::User, Some(&settings.pin.auth())) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => refused(format!(
            "{token} refused the PIN from {origin}; it was tried once and is not tried again, since tokens lock: put the right PIN there"
        )),
        Err(Error::Pkcs11(RvError::PinLocked | RvError::PinExpired, _)) => {
            refused(format!("the PIN of {token} is locked or expired; the security officer must set a new one"))
        }
        Err(Error::Pkcs11(RvError::UserPinNotInitialized, _)) => {
            refused(format!("{token} has no user PIN yet; set one with pkcs11-tool --init-pin"))
        }
        Err(error) => Err(error.into()),
    }
}

fn cannot_restart() -> HsmError {
    HsmError::Unavailable("the HSM module cannot be restarted while a call hangs in it".to_owned())
}

pub(super) fn explain(what: &str, error: &Error) -> HsmError {
    HsmError::Unavailable(format!("{what}: {}", word(error)))
}

/// The module's answer by its name: the prose that comes with the codes says less.
fn word(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("C_{function:?} answered {code:?}"),
        Error::LibraryLoading(error) => error.to_string(),
        other => other.to_string(),
    }
}
