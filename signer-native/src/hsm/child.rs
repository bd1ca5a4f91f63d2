//! A worker process: the module and its threads, behind a socket. It is disposable: whatever would need another login or
//! another `C_Initialize` ends it, and the signer starts another, one at a time, so that a wrong PIN is presented once.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError},
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
/// Octets read at once.
const READ: usize = 64 * 1024;

/// Serves the signer at the other end of `socket` until it closes its end.
///
/// # Errors
/// When the socket breaks, or what comes is nothing that a signer says.
pub fn serve_worker(socket: &UnixStream) -> Result<(), HsmError> {
    let broken = |error: std::io::Error| HsmError::Unavailable(format!("the signer's socket: {error}"));
    let mut worker = Worker { answers: Arc::new(Mutex::new(socket.try_clone().map_err(broken)?)), store: None };
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
    answers: Arc<Mutex<UnixStream>>,
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
                    self.store = Some(store);
                    opened
                });
                self.reply(number, &opened.map(Said::Json));
            }
            Question::Generate { id, kind, label } => self.run(
                number,
                Instant::now() + GENERATION,
                move |seat| seat.generate(id, kind.into(), &label),
                |key| WireKey::of(key).map(Said::Json),
            ),
            Question::Inspect { id, kind } => self.run(
                number,
                soon,
                move |seat| seat.inspect(id, kind.into()),
                |key| key.map(WireKey::of).transpose().map(Said::Json),
            ),
            Question::Attributes { id } => {
                self.run(number, soon, move |seat| seat.attributes(id), |attributes| Ok(Said::Json(attributes)));
            }
            Question::Import { id, kind, parts, label } => {
                let key = PrivateKey { kind: kind.into(), parts };
                let import = move |seat: &mut Seat<'_>| seat.import(id, &key, &label);
                self.run(number, soon, import, |key| WireKey::of(key).map(Said::Json));
            }
            Question::Destroy { id } => {
                self.run(number, soon, move |seat| seat.destroy(id), |()| Ok(Said::Json(())));
            }
            Question::Stats => {
                let stats = self.store.as_ref().map_or_else(StoreStats::default, KeyStore::stats);
                self.reply(number, &Ok(Said::Json(stats)));
            }
        }
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
            respond(&answers, number, &result.and_then(say), pool.module.spent());
        });
        if let Err(error) = submitted {
            self.reply::<()>(number, &Err(error));
        }
    }

    fn reply<J: Serialize>(&self, number: u64, outcome: &Result<Said<J>, HsmError>) {
        respond(&self.answers, number, outcome, false);
    }
}

/// What an answer carries.
enum Said<J> {
    Signature(Vec<u8>),
    Json(J),
}

fn respond<J: Serialize>(answers: &Mutex<UnixStream>, number: u64, outcome: &Result<Said<J>, HsmError>, spent: bool) {
    let mut out = Vec::new();
    match outcome {
        Ok(Said::Signature(signature)) => wire::push(&mut out, number, kind::SIGNATURE, [signature, &[]]),
        Ok(Said::Json(value)) => wire::push_json(&mut out, number, kind::ANSWER, value),
        Err(error) => wire::push_json(&mut out, number, if spent { kind::SPENT } else { kind::ERROR }, error),
    }
    let mut socket = answers.lock().unwrap_or_else(PoisonError::into_inner);
    // When the signer is gone, reading ends as well, and with it the process.
    let _ = socket.write_all(&out);
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
