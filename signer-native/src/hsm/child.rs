//! A worker process: the module and its threads, behind a socket. It is disposable: whatever would need another login or
//! another `C_Initialize` ends it, and the signer starts another, one at a time, so that a wrong PIN is presented once. Only over
//! a key that is not found the signer decides itself.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::Algorithm;
use serde::Serialize;

use super::{
    HsmError, KeyKind, KeyStore, PrivateKey, StoreStats, mechanism,
    pkcs11::Login,
    seat::{Fault, Seat},
    wire::{self, Frame, Frames, Opened, Question, SignBody, WireKey, WireKind, kind},
    worker::{GENERATION, Pkcs11KeyStore},
};

/// Calls that may wait in a worker: the signer bounds what it sends.
const QUEUE: usize = 65_536;
/// Answers that leave together at most, so that whoever waits for the first asks again in time.
const TOGETHER: usize = 4;
/// What follows another answer so soon is likely to be followed as soon.
const QUICK: Duration = Duration::from_micros(150);
/// Octets read at once.
const READ: usize = 64 * 1024;

/// Serves the signer at the other end of `socket` until it closes its end.
///
/// # Errors
/// When the socket breaks, or what comes is nothing that a signer says.
pub fn serve_worker(socket: &UnixStream) -> Result<(), HsmError> {
    let broken = |error: std::io::Error| HsmError::Unavailable(format!("the signer's socket: {error}"));
    let mut worker = Worker { answers: Arc::new(Answers::to(socket.try_clone().map_err(broken)?)), store: None };
    let mut frames = Frames::default();
    let mut chunk = zeroize::Zeroizing::new(vec![0; READ]);
    loop {
        let read = match (&*socket).read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(error)),
        };
        frames.room().extend_from_slice(&chunk[..read]);
        while let Some(frame) = frames.next()? {
            worker.take(&frame)?;
        }
    }
}

struct Worker {
    answers: Arc<Answers>,
    store: Option<Pkcs11KeyStore>,
}

impl Worker {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), HsmError> {
        match frame.kind {
            kind::SIGN | kind::SIGN_DIGEST => {
                let SignBody { until, id, algorithm, data } =
                    SignBody::parse(frame.body).ok_or_else(|| HsmError::Unavailable("a question cut short".to_owned()))?;
                let (whole, data) = (frame.kind == kind::SIGN, data.to_vec());
                let sign = move |seat: &mut Seat<'_>| {
                    let prepare = if whole { mechanism::sign_input } else { mechanism::digest_input };
                    seat.sign(id, &prepare(algorithm, data.clone())?)
                };
                self.run(frame.number, until, sign, |signature| Ok(Said::<()>::Signature(signature)));
            }
            kind::ASK => self.answer(frame.number, wire::json(frame.body)?),
            other => return Err(HsmError::Unavailable(format!("a frame of kind {other}"))),
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, question: Question) {
        let soon =
            Instant::now() + self.store.as_ref().map_or(Duration::from_secs(5), |store| store.pool().module.settings().deadline);
        match question {
            Question::Open(settings) => {
                let opened = Pkcs11KeyStore::open_with(settings.settings(QUEUE), Login::Once).map(|store| {
                    let opened = Opened { description: store.description(), supports: supports(&store), stats: store.stats() };
                    let answers = Arc::clone(&self.answers);
                    store.pool().before_idling(move || answers.send_all());
                    self.store = Some(store);
                    opened
                });
                self.reply(number, &opened.map(Said::Json));
            }
            Question::Generate { id, kind, label } => self.run_alone(
                number,
                Instant::now() + GENERATION,
                move |seat| seat.generate(id, kind.into(), &label),
                |key| WireKey::of(key).map(Said::Json),
            ),
            Question::Inspect { id, kind } => self.run_alone(
                number,
                soon,
                move |seat| seat.inspect(id, kind.into()),
                |key| key.map(WireKey::of).transpose().map(Said::Json),
            ),
            Question::Attributes { id } => {
                self.run_alone(number, soon, move |seat| seat.attributes(id), |attributes| Ok(Said::Json(attributes)));
            }
            Question::Import { id, kind, parts, label } => {
                let key = PrivateKey { kind: kind.into(), parts };
                let import = move |seat: &mut Seat<'_>| seat.import(id, &key, &label);
                self.run_alone(number, soon, import, |key| WireKey::of(key).map(Said::Json));
            }
            Question::Destroy { id } => {
                self.run_alone(number, soon, move |seat| seat.destroy(id), |()| Ok(Said::Json(())));
            }
            Question::Stats => {
                let stats = self.store.as_ref().map_or_else(StoreStats::default, KeyStore::stats);
                self.reply(number, &Ok(Said::Json(stats)));
            }
        }
    }

    /// Runs an operation that may take long: nobody's answer waits for it.
    fn run_alone<T: 'static, J: Serialize>(
        &self,
        number: u64,
        until: Instant,
        mut operation: impl FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
        say: impl FnOnce(T) -> Result<Said<J>, HsmError> + Send + 'static,
    ) {
        let answers = Arc::clone(&self.answers);
        let operation = move |seat: &mut Seat<'_>| {
            answers.send_all();
            operation(seat)
        };
        self.run(number, until, operation, say);
    }

    /// Runs an operation on the pool; its thread sends the answer.
    fn run<T: 'static, J: Serialize>(
        &self,
        number: u64,
        until: Instant,
        operation: impl FnMut(&mut Seat<'_>) -> Result<T, Fault> + Send + 'static,
        say: impl FnOnce(T) -> Result<Said<J>, HsmError> + Send + 'static,
    ) {
        let Some(store) = &self.store else {
            return self.reply::<()>(number, &Err(HsmError::Unavailable("the module is not open".to_owned())));
        };
        let (pool, answers) = (Arc::clone(store.pool()), Arc::clone(&self.answers));
        let submitted = store.pool().submit(until, operation, move |result| {
            answers.add(number, &result.and_then(say), pool.module.spent());
        });
        if let Err(error) = submitted {
            self.reply::<()>(number, &Err(error));
        }
    }

    fn reply<J: Serialize>(&self, number: u64, outcome: &Result<Said<J>, HsmError>) {
        self.answers.add(number, outcome, false);
        self.answers.send_all();
    }
}

/// What an answer carries.
enum Said<J> {
    Signature(Vec<u8>),
    Json(J),
}

/// The way back to the signer. Answers that come quickly after each other leave together: writing one costs half of what a signature
/// does, and its reader as much again.
struct Answers(Mutex<Held>);

struct Held {
    socket: UnixStream,
    octets: Vec<u8>,
    count: usize,
    /// When the last one came.
    last: Instant,
}

impl Answers {
    fn to(socket: UnixStream) -> Self {
        Self(Mutex::new(Held { socket, octets: Vec::new(), count: 0, last: Instant::now() }))
    }

    /// Sends an answer, or holds it for a moment when the next one is likely there by then. Whoever has nothing more to do then says
    /// [`Answers::send_all`].
    fn add<J: Serialize>(&self, number: u64, outcome: &Result<Said<J>, HsmError>, spent: bool) {
        let mut held = self.held();
        let (now, out) = (Instant::now(), &mut held.octets);
        match outcome {
            Ok(Said::Signature(signature)) => wire::push(out, number, kind::SIGNATURE, [signature, &[]]),
            Ok(Said::Json(value)) => wire::push_json(out, number, kind::ANSWER, value),
            Err(error) => wire::push_json(out, number, if spent { kind::SPENT } else { kind::ERROR }, error),
        }
        held.count += 1;
        let quick = now.duration_since(held.last) < QUICK && outcome.is_ok();
        held.last = now;
        if !quick || held.count >= TOGETHER {
            held.send();
        }
    }

    fn send_all(&self) {
        self.held().send();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn send(&mut self) {
        if !self.octets.is_empty() {
            // When the signer is gone, reading ends as well, and with it the process.
            let _ = self.socket.write_all(&self.octets);
            self.octets.clear();
            self.count = 0;
        }
    }
}

/// Every pair of algorithm and kind of key that the module can do.
fn supports(store: &Pkcs11KeyStore) -> Vec<(Algorithm, WireKind)> {
    let pairs = Algorithm::ALL.into_iter().flat_map(|algorithm| {
        let bits: &[u16] = if matches!(KeyKind::of(algorithm, 0), KeyKind::Rsa(_)) { &[2_048, 3_072, 4_096] } else { &[0] };
        bits.iter().map(move |bits| (algorithm, KeyKind::of(algorithm, *bits)))
    });
    pairs
        .filter(|(algorithm, kind)| store.supports(*algorithm, *kind))
        .map(|(algorithm, kind)| (algorithm, kind.into()))
        .collect()
}
