//! The pool: one OS thread per session, a bounded queue before them, a deadline on every call.
//!
//! PKCS#11 calls block and cannot be cancelled. A thread whose call overruns is in quarantine until the call returns; as many
//! others as there are threads may take such places, so that the pool keeps its size while single calls hang.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    HsmError,
    pkcs11::Module,
    seat::{Fault, Seat},
    stats::count,
};

/// How often an idle thread looks whether the module wants its session back, should it have missed the call.
const IDLE: Duration = Duration::from_millis(500);
/// How long the end of the process waits for the threads.
const FAREWELL: Duration = Duration::from_secs(3);

pub(super) struct Pool {
    pub(super) module: Module,
    queue: Mutex<Queue>,
    wake: Arc<Condvar>,
    /// Signalled when a thread ends.
    ended: Condvar,
    /// Threads in service when nothing hangs.
    threads: usize,
    /// Threads at most, those in quarantine included: the token allows no more sessions.
    most: usize,
    busy: AtomicUsize,
    /// What a thread does before it waits for a job.
    before_idling: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Threads that have not ended.
    alive: usize,
    /// Of these, in quarantine.
    quarantined: usize,
    /// Threads that wait for a job.
    idle: usize,
    /// Threads ever started, for their names.
    started: usize,
}

struct Job {
    work: Box<dyn Work>,
    progress: Arc<Progress>,
    until: Instant,
}

/// Where a job stands: its caller and its thread agree by compare-and-swap.
#[derive(Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const WAITING: u8 = 0;
    const RUNNING: u8 = 1;
    const DONE: u8 = 2;
    const ABANDONED: u8 = 3;
    const OVERRUN: u8 = 4;

    /// The caller went away. Whether the call had not begun, and will not.
    pub(super) fn abandon(&self) -> bool {
        self.change(Self::WAITING, Self::ABANDONED)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// What became of a call that its caller gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// It had not begun: too much else was to be done.
    Waiting,
    /// It had ended at this very moment.
    Ended,
    /// Its thread is in quarantine; others are in service.
    Quarantined,
    /// Its thread is in quarantine, and as many hang as there should be in service.
    AllHang,
}

trait Work: Send {
    fn run(&mut self, seat: &mut Seat<'_>, until: Instant);
}

struct Call<F, R> {
    operation: F,
    reply: Option<R>,
}

impl<T, F, R> Work for Call<F, R>
where
    F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send,
    R: FnOnce(Result<T, HsmError>) + Send,
{
    fn run(&mut self, seat: &mut Seat<'_>, until: Instant) {
        let result = seat.recovering(until, &mut self.operation);
        if let Some(reply) = self.reply.take() {
            reply(result);
        }
    }
}

impl Pool {
    /// Starts `threads` threads; `most` is how many there may be while some hang.
    pub(super) fn start(mut module: Module, threads: usize, most: usize) -> Result<Arc<Self>, HsmError> {
        let wake = Arc::new(Condvar::new());
        module.wakes(Arc::clone(&wake));
        let pool = Arc::new(Self {
            module,
            queue: Mutex::default(),
            wake,
            ended: Condvar::new(),
            threads,
            most: most.max(threads),
            busy: AtomicUsize::new(0),
            before_idling: OnceLock::new(),
        });
        for _ in 0..threads {
            if let Err(error) = pool.hire(&mut pool.lock()) {
                pool.close();
                return Err(HsmError::Unavailable(format!("hsm.threads: no thread could be started: {error}")));
            }
        }
        Ok(pool)
    }

    /// From now on each thread does this whenever there is no job for it. Set once.
    pub(super) fn before_idling(&self, act: impl Fn() + Send + Sync + 'static) {
        // A second one would be a mistake of the program, and changes nothing.
        let _ = self.before_idling.set(Box::new(act));
    }

    /// Threads in service when nothing hangs.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Jobs waiting, threads in a call, threads in quarantine, threads in service.
    pub(super) fn load(&self) -> [usize; 4] {
        let queue = self.lock();
        let busy = self.busy.load(Ordering::Relaxed).saturating_sub(queue.quarantined);
        [queue.jobs.len(), busy, queue.quarantined, queue.alive - queue.quarantined]
    }

    /// Puts a call into the queue. The operation may run more than once; `reply` gets its outcome on the pool's thread.
    pub(super) fn submit<T, F, R>(&self, until: Instant, operation: F, reply: R) -> Result<Arc<Progress>, HsmError>
    where
        T: 'static,
        F: FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
        R: FnOnce(Result<T, HsmError>) + Send + 'static,
    {
        let progress = Arc::new(Progress::default());
        let work = Box::new(Call { operation, reply: Some(reply) });
        let mut queue = self.lock();
        if queue.alive == queue.quarantined {
            return Err(all_hang());
        }
        let room = self.module.settings().queue;
        if queue.jobs.len() >= room {
            // Jobs that nobody waits for any more hold no place.
            queue.jobs.retain(|job| job.progress.0.load(Ordering::SeqCst) == Progress::WAITING);
            if queue.jobs.len() >= room {
                count(&self.module.counters().overflows);
                return Err(HsmError::Busy);
            }
        }
        queue.jobs.push_back(Job { work, progress: Arc::clone(&progress), until });
        let idle = queue.idle > 0;
        drop(queue);
        // A thread at work looks by itself, and waking is a system call.
        if idle {
            self.wake.notify_one();
        }
        Ok(progress)
    }

    /// The caller's deadline is over.
    pub(super) fn give_up(self: &Arc<Self>, progress: &Progress) -> GivenUp {
        if progress.abandon() {
            return GivenUp::Waiting;
        }
        // Under the lock, so that the thread's return is counted after its quarantine.
        let mut queue = self.lock();
        if !progress.change(Progress::RUNNING, Progress::OVERRUN) {
            return GivenUp::Ended;
        }
        queue.quarantined += 1;
        self.module.hangs(queue.quarantined);
        let hanging = queue.quarantined;
        tracing::error!(hanging, threads = self.threads, "an HSM call overran its deadline; its thread is in quarantine");
        if queue.alive < self.most
            && let Err(error) = self.hire(&mut queue)
        {
            tracing::error!(%error, "no thread could be started in its place");
        }
        if hanging >= self.threads { GivenUp::AllHang } else { GivenUp::Quarantined }
    }

    /// Ends the threads and finalizes the module, so that nothing is inside it when the process unloads it.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.wake.notify_all();
        let ended = self.ended.wait_timeout_while(queue, FAREWELL, |queue| queue.alive > 0);
        let (queue, _) = ended.unwrap_or_else(PoisonError::into_inner);
        let alive = queue.alive;
        drop(queue);
        if alive == 0 {
            self.module.close();
        } else {
            tracing::warn!(threads = alive, "HSM threads hang; the module is left as it is");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hire(self: &Arc<Self>, queue: &mut Queue) -> std::io::Result<()> {
        let pool = Arc::clone(self);
        thread::Builder::new().name(format!("hsm-{}", queue.started)).spawn(move || {
            let life = Life(pool);
            life.0.serve();
        })?;
        queue.started += 1;
        queue.alive += 1;
        Ok(())
    }

    /// The life of one thread.
    fn serve(&self) {
        let mut seat = Seat::new(&self.module);
        loop {
            let Some(job) = self.next(&mut seat) else { return };
            let Job { mut work, progress, until } = job;
            if !progress.change(Progress::WAITING, Progress::RUNNING) {
                continue;
            }
            self.busy.fetch_add(1, Ordering::Relaxed);
            work.run(&mut seat, until);
            self.busy.fetch_sub(1, Ordering::Relaxed);
            if !progress.change(Progress::RUNNING, Progress::DONE) {
                seat.leave();
                if !self.back_from_quarantine() {
                    return;
                }
            }
        }
    }

    /// The next job; lets go of the session meanwhile when the module wants it. `None` at the end.
    fn next(&self, seat: &mut Seat<'_>) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if self.module.draining() {
                drop(queue);
                seat.leave();
                queue = self.lock();
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if let Some(before_idling) = self.before_idling.get() {
                drop(queue);
                before_idling();
                queue = self.lock();
                if !queue.jobs.is_empty() || queue.closed {
                    continue;
                }
            }
            queue.idle += 1;
            (queue, _) = self.wake.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    /// The call returned after all. Whether its thread is needed: another one may have taken its place.
    fn back_from_quarantine(&self) -> bool {
        let mut queue = self.lock();
        queue.quarantined -= 1;
        self.module.hangs(queue.quarantined);
        let needed = queue.alive - queue.quarantined <= self.threads;
        drop(queue);
        tracing::warn!(needed, "an HSM call returned long after its deadline");
        needed
    }
}

fn all_hang() -> HsmError {
    HsmError::Unavailable("every HSM thread hangs in a call that did not return in time".to_owned())
}

/// A thread's part in the pool, until it ends in whatever way.
struct Life(Arc<Pool>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.lock().alive -= 1;
        self.0.ended.notify_all();
    }
}
