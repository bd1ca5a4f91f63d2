//! The [`KeyStore`] over a PKCS#11 module in this process: pool and breaker put together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cryptoki::mechanism::MechanismType;
use edgeseal_core::Algorithm;
use tokio::sync::oneshot;

use super::{
    HsmAttribute, HsmError, KeyFuture, KeyId, KeyKind, KeyStore, PrivateKey, StoreDescription, StoreStats, StoredKey,
    breaker::{Breaker, Leave},
    mechanism,
    pkcs11::{Login, Module, Pkcs11Settings},
    pool::{GivenUp, Pool, Progress},
    seat::{Fault, Seat},
    stats::count,
};

/// Generating a large RSA key takes longer than any signature.
pub(super) const GENERATION: Duration = Duration::from_mins(2);
/// Sessions left to others: the anchor, and one that writes.
const RESERVE: usize = 2;

/// The [`KeyStore`] over a PKCS#11 module.
pub struct Pkcs11KeyStore {
    pool: Arc<Pool>,
    gate: Arc<Gate>,
    mechanisms: Vec<(MechanismType, usize, usize)>,
    turn: Turn,
}

impl Pkcs11KeyStore {
    /// Loads the module, logs in, starts the threads.
    ///
    /// # Errors
    /// When the module, the token or the PIN is not what the settings say, each with its mend.
    pub fn open(settings: Pkcs11Settings) -> Result<Self, HsmError> {
        Self::open_with(settings, Login::Renewed)
    }

    pub(super) fn open_with(settings: Pkcs11Settings, login: Login) -> Result<Self, HsmError> {
        let wanted = settings.threads.max(1);
        let module = Module::open(settings, login)?;
        let (threads, most) = sizes(wanted, module.describe().max_sessions);
        if threads < wanted {
            tracing::warn!(wanted, threads, "the token allows fewer sessions than hsm.threads asks for");
        }
        let mechanisms = module.mechanisms()?;
        Ok(Self { pool: Pool::start(module, threads, most)?, gate: Arc::default(), mechanisms, turn: Turn::default() })
    }

    fn call<T, F>(&self, limit: Duration, operation: F) -> KeyFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let pass = match self.gate.ask(limit > self.deadline()) {
            Ok(pass) => pass,
            Err(error) => {
                count(&self.pool.module.counters().held_back);
                return Box::pin(async move { Err(error) });
            }
        };
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + limit;
        let submitted = self.pool.submit(until, operation, move |result| {
            // The caller may have gone away; then nobody misses the answer.
            let _ = reply.send(result);
        });
        Box::pin(async move {
            let progress = match submitted {
                Ok(progress) => progress,
                Err(error) => return pass.ended(Err(error)),
            };
            let mut watch = Watch { pool: &self.pool, gate: &self.gate, progress: &progress, until, limit, over: false };
            let outcome = tokio::time::timeout_at(until.into(), answer).await;
            watch.over = true;
            match outcome {
                Ok(Ok(result)) => pass.ended(result),
                Ok(Err(_)) => pass.ended(Err(HsmError::Unavailable("the HSM threads have ended".to_owned()))),
                Err(_) => {
                    count(&self.pool.module.counters().deadlines);
                    let error = HsmError::Deadline(limit);
                    match self.pool.give_up(&progress) {
                        // Too much to do is no outage.
                        GivenUp::Waiting => Err(error),
                        GivenUp::AllHang => {
                            self.gate.trip(error.clone());
                            pass.ended(Err(error))
                        }
                        GivenUp::Quarantined | GivenUp::Ended => pass.ended(Err(error)),
                    }
                }
            }
        })
    }

    /// The same, one after the other: some modules race. Whoever does not come to it in time has had nothing made.
    fn call_in_turn<T, F>(&self, limit: Duration, operation: F) -> KeyFuture<'_, T>
    where
        T: Send + 'static,
        F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
    {
        Box::pin(async move {
            let turn = self.turn.come().await?;
            let outcome = self.call(limit, operation).await;
            drop(turn);
            outcome
        })
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn deadline(&self) -> Duration {
        self.pool.module.settings().deadline
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
        StoreDescription { threads: self.pool.threads(), ..self.pool.module.describe() }
    }

    fn stats(&self) -> StoreStats {
        let [queued, busy, quarantined, threads] = self.pool.load().map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let breaker = self.gate.state();
        StoreStats { breaker, threads, busy, quarantined, queued, ..self.pool.module.counters().stats() }
    }

    fn supports(&self, algorithm: Algorithm, kind: KeyKind) -> bool {
        let bits = mechanism::size_in_bits(kind);
        self.has(mechanism::mechanism_type(algorithm), bits) && self.has(mechanism::generation(kind).mechanism_type(), bits)
    }

    fn may_generate(&self) -> Result<(), HsmError> {
        self.gate.may_ask_long()?;
        // Whoever has the turn gets on, or is given up at the deadline. What is in the module without a turn was given up.
        let Ok(_turn) = self.turn.0.try_lock() else { return Ok(()) };
        if self.pool.module.may_generate() { Ok(()) } else { Err(HsmError::Busy) }
    }

    fn generate(&self, id: KeyId, kind: KeyKind, label: String) -> KeyFuture<'_, StoredKey> {
        self.call_in_turn(GENERATION, move |seat| seat.generate(id, kind, &label))
    }

    fn inspect(&self, id: KeyId, kind: KeyKind) -> KeyFuture<'_, Option<StoredKey>> {
        self.call(self.deadline(), move |seat| seat.inspect(id, kind))
    }

    fn attributes(&self, id: KeyId) -> KeyFuture<'_, Vec<HsmAttribute>> {
        self.call(self.deadline(), move |seat| seat.attributes(id))
    }

    fn import(&self, id: KeyId, key: PrivateKey, label: String) -> KeyFuture<'_, StoredKey> {
        self.call_in_turn(self.deadline(), move |seat| seat.import(id, &key, &label))
    }

    fn sign(&self, id: KeyId, algorithm: Algorithm, message: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.call(self.deadline(), move |seat| {
            let input = mechanism::sign_input(algorithm, message.clone())?;
            seat.sign(id, &input)
        })
    }

    fn sign_digest(&self, id: KeyId, algorithm: Algorithm, digest: Vec<u8>) -> KeyFuture<'_, Vec<u8>> {
        self.call(self.deadline(), move |seat| {
            let input = mechanism::digest_input(algorithm, digest.clone())?;
            seat.sign(id, &input)
        })
    }

    fn destroy(&self, id: KeyId) -> KeyFuture<'_, ()> {
        self.call(self.deadline(), move |seat| seat.destroy(id))
    }
}

impl Drop for Pkcs11KeyStore {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// Looks after a call while its caller waits: who goes away before the deadline leaves the call to be judged by it all the same, since a
/// thread that hangs for nobody is missing to everybody.
struct Watch<'call> {
    pool: &'call Arc<Pool>,
    gate: &'call Arc<Gate>,
    progress: &'call Arc<Progress>,
    until: Instant,
    limit: Duration,
    /// The caller was there to the end.
    over: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.over || self.progress.abandon() {
            return;
        }
        // Without a runtime the process is ending.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (pool, gate, progress) = (Arc::clone(self.pool), Arc::clone(self.gate), Arc::clone(self.progress));
        let (until, limit) = (self.until, self.limit);
        runtime.spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            match pool.give_up(&progress) {
                GivenUp::Waiting | GivenUp::Ended => {}
                GivenUp::Quarantined => count(&pool.module.counters().deadlines),
                GivenUp::AllHang => {
                    count(&pool.module.counters().deadlines);
                    gate.trip(HsmError::Deadline(limit));
                }
            }
        });
    }
}

/// How many threads serve, and how many there may be while some hang, on a token that allows so many sessions.
fn sizes(wanted: usize, sessions: Option<u64>) -> (usize, usize) {
    let room = sessions.map_or(usize::MAX, |sessions| usize::try_from(sessions).unwrap_or(usize::MAX).saturating_sub(RESERVE));
    let threads = wanted.min(room).max(1);
    (threads, (2 * threads).min(room).max(threads))
}

/// Whose turn it is to have a key pair made. Who waits for it takes no thread, so that none is missing to signatures.
#[derive(Default)]
pub(super) struct Turn(Arc<tokio::sync::Mutex<()>>);

impl Turn {
    /// Waits for it; whoever has not come to it in time has had nothing made.
    pub(super) async fn come(&self) -> Result<tokio::sync::OwnedMutexGuard<()>, HsmError> {
        tokio::time::timeout(GENERATION, Arc::clone(&self.0).lock_owned()).await.map_err(|_| HsmError::Busy)
    }
}

/// The breaker as calls meet it.
pub(super) struct Gate {
    breaker: Mutex<Breaker>,
    began: Instant,
}

impl Default for Gate {
    fn default() -> Self {
        Self { breaker: Mutex::default(), began: Instant::now() }
    }
}

impl Gate {
    /// Leave for one call, or why there is none; a long one may take more than a signature's deadline.
    pub(super) fn ask(&self, long: bool) -> Result<Pass<'_>, HsmError> {
        let leave = self.with(if long { Breaker::ask_long } else { Breaker::ask })?;
        Ok(Pass { gate: self, leave: Some(leave) })
    }

    /// Whether a long call would get leave now.
    pub(super) fn may_ask_long(&self) -> Result<(), HsmError> {
        self.with(|breaker, now| breaker.may_ask_long(now))
    }

    pub(super) fn trip(&self, reason: HsmError) {
        self.with(|breaker, now| breaker.trip(reason, now));
    }

    pub(super) fn state(&self) -> super::BreakerState {
        self.with(|breaker, _| breaker.state())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Breaker, Duration) -> T) -> T {
        let now = self.began.elapsed();
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.state();
        let outcome = act(&mut breaker, now);
        let after = breaker.state();
        drop(breaker);
        if before != after {
            tracing::warn!(?before, ?after, "the HSM's circuit breaker");
        }
        outcome
    }
}

/// Leave for one call, given back with its outcome, or without when its caller went away.
pub(super) struct Pass<'gate> {
    gate: &'gate Gate,
    leave: Option<Leave>,
}

impl Pass<'_> {
    pub(super) fn ended<T>(mut self, result: Result<T, HsmError>) -> Result<T, HsmError> {
        if !matches!(result, Err(HsmError::Busy))
            && let Some(leave) = self.leave.take()
        {
            let outage = result.as_ref().err().filter(|error| error.is_outage());
            self.gate.with(|breaker, now| breaker.ended(leave, outage, now));
        }
        result
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take() {
            self.gate.with(|breaker, now| breaker.abandoned(leave, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_bounds_the_pool() {
        assert_eq!(sizes(4, None), (4, 8));
        assert_eq!(sizes(4, Some(100)), (4, 8));
        assert_eq!(sizes(4, Some(8)), (4, 6));
        assert_eq!(sizes(4, Some(5)), (3, 3));
        // A token of two sessions leaves none to others; one thread there must be.
        assert_eq!(sizes(4, Some(1)), (1, 1));
    }
}
