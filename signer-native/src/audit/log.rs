//! The writer of the log: rows of many requests in one transaction, durable before anybody hears of them.

use std::{fmt, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{AuditError, Blinding, Chain, Event, Position, encode};
use crate::store::{Store, StoreError};

/// Announcements that may wait for the writer; what follows them is as many at most.
const QUEUE: usize = 4_096;
/// Rows of one transaction.
const GROUP: usize = 512;
/// How long outcomes wait for an intent to share a transaction with; and the pause after a failed write.
const LINGER: Duration = Duration::from_millis(100);
/// What came of intents: `{"signed":[[first, last], …]}`, or `{"failed": intent, "error": why}`.
pub const OUTCOME: &str = "token.outcome";

/// The way to the writer; cheap to clone.
#[derive(Clone)]
pub struct Log {
    sender: mpsc::UnboundedSender<Entry>,
    places: Arc<Semaphore>,
    limit: Duration,
    blinding: Blinding,
    chain: Arc<str>,
}

enum Entry {
    /// Somebody waits for it to be on the disk.
    Announced(Announced),
    /// The intent with this number came to a signature.
    Signed(u64),
    /// Written when it can be.
    Other(Event),
}

struct Announced {
    event: Event,
    done: oneshot::Sender<Result<Position, AuditError>>,
}

impl Log {
    /// Begins a chain of this process. `limit` is how long anybody waits for a row.
    ///
    /// # Errors
    /// When the first row cannot be written.
    pub async fn begin(store: Store, limit: Duration, blinding: Blinding) -> Result<(Self, LogEnd), AuditError> {
        let mut id = [0; 9];
        getrandom::fill(&mut id)
            .map_err(|error| AuditError::Store(StoreError::Unavailable(format!("no randomness: {error}"))))?;
        let id = encode(&id);
        let (sender, entries) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let chain = Chain::new(id.clone());
        let writer = Writer {
            store,
            entries,
            stopped: Some(stopped),
            chain,
            uncertain: None,
            signed: Vec::new(),
            late: Vec::new(),
            limit,
        };
        let places = Arc::new(Semaphore::new(QUEUE));
        let log = Self { sender, places, limit, blinding, chain: id.into() };
        let end = LogEnd { stop, task: tokio::spawn(writer.run()) };
        let started = Event::new("system", "chain.start", "")
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("process", std::process::id());
        log.append(started).await?;
        Ok((log, end))
    }

    /// The chain of this process.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// How claim values are shown.
    pub fn blinding(&self) -> &Blinding {
        &self.blinding
    }

    /// Writes a row; it is on the disk when this resolves.
    ///
    /// # Errors
    /// When it is not, or nobody knows: then what it was to announce must not be done.
    pub async fn append(&self, event: Event) -> Result<Position, AuditError> {
        let (done, answer) = oneshot::channel();
        let written = async {
            let _place = self.places.acquire().await.map_err(|_| AuditError::Ended)?;
            self.sender.send(Entry::Announced(Announced { event, done })).map_err(|_| AuditError::Ended)?;
            answer.await.map_err(|_| AuditError::Ended)?
        };
        tokio::time::timeout(self.limit, written).await.unwrap_or(Err(AuditError::Deadline(self.limit)))
    }

    /// Writes what came of an intent of this chain, when it can be: the intent stands already, so that a crash in between
    /// shows as an intent without outcome. Intents that came to signatures share a row.
    pub fn outcome(&self, intent: &Position, error: Option<String>) {
        let entry = match error {
            None => Entry::Signed(intent.seq),
            Some(error) => Entry::Other(Event::new("system", OUTCOME, "").with("failed", intent.seq).with("error", error)),
        };
        if self.sender.send(entry).is_err() {
            tracing::error!(%intent, "the audit log has ended before the outcome of an intent could be written");
        }
    }
}

/// Ends a chain.
#[derive(Debug)]
pub struct LogEnd {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl LogEnd {
    /// Waits until all that was given to the log is written, or its store has failed once more. Nothing is taken any more.
    pub async fn end(self) {
        // An error means that the writer has ended before.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the writer of the audit log");
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Log").field("chain", &self.chain).field("limit", &self.limit).finish_non_exhaustive()
    }
}

struct Writer {
    store: Store,
    entries: mpsc::UnboundedReceiver<Entry>,
    /// Resolves when nothing more is to be taken.
    stopped: Option<oneshot::Receiver<()>>,
    chain: Chain,
    /// A write whose end is unknown.
    uncertain: Option<Uncertain>,
    /// Intents that came to signatures, of which no row says so yet.
    signed: Vec<u64>,
    /// Follow-ups that are not written yet; those of an uncertain write come first.
    late: Vec<Event>,
    limit: Duration,
}

/// Resolves once, when nothing more is to be taken.
async fn stopped(signal: &mut Option<oneshot::Receiver<()>>) {
    match signal {
        Some(told) => {
            let _ = told.await;
            *signal = None;
        }
        None => std::future::pending().await,
    }
}

/// A write whose end is unknown: had it succeeded, this would be so.
#[derive(Clone)]
struct Uncertain {
    /// The chain.
    chain: Chain,
    /// How many of the late follow-ups would be written.
    follow_ups: usize,
}

impl Writer {
    async fn run(mut self) {
        let mut received = Vec::with_capacity(GROUP);
        let mut group: Vec<Announced> = Vec::with_capacity(GROUP);
        loop {
            let waiting = !(self.late.is_empty() && self.signed.is_empty());
            let patience = if waiting { LINGER } else { Duration::MAX };
            let more = self.entries.recv_many(&mut received, GROUP);
            tokio::select! {
                () = stopped(&mut self.stopped) => self.entries.close(),
                more = tokio::time::timeout(patience, more) => match more {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => self.write(&mut group).await,
                },
            }
            for entry in received.drain(..) {
                match entry {
                    Entry::Announced(announced) => group.push(announced),
                    Entry::Signed(intent) => self.signed.push(intent),
                    Entry::Other(event) => self.late.push(event),
                }
            }
            if !group.is_empty() {
                self.write(&mut group).await;
            }
        }
        self.gather();
        self.late.push(Event::new("system", "chain.end", ""));
        self.write(&mut group).await;
        if !self.late.is_empty() {
            tracing::error!(rows = self.late.len(), "rows of the audit log could not be written before the process ended");
        }
    }

    /// Puts what was signed into one row.
    fn gather(&mut self) {
        if self.signed.is_empty() {
            return;
        }
        self.signed.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for intent in self.signed.drain(..) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == intent => *last = intent,
                _ => ranges.push((intent, intent)),
            }
        }
        self.late.push(Event::new("system", OUTCOME, "").with("signed", serde_json::json!(ranges)));
    }

    async fn write(&mut self, group: &mut Vec<Announced>) {
        self.gather();
        let at = crate::keys::now();
        let outcome = tokio::time::timeout(self.limit, self.attempt(at, group)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} ms", self.limit.as_millis()))));
        match outcome {
            Ok(positions) => {
                self.late.clear();
                for (Announced { done, .. }, position) in group.drain(..).zip(positions) {
                    // Whoever waited may have given up; the row stands as an intent without outcome.
                    let _ = done.send(Ok(position));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows = group.len(), "the audit log cannot be written");
                for Announced { done, .. } in group.drain(..) {
                    let _ = done.send(Err(AuditError::Store(error.clone())));
                }
            }
        }
    }

    /// One transaction: what is late, then the group. Gives the positions of the group.
    async fn attempt(&mut self, at: Timestamp, group: &[Announced]) -> Result<Vec<Position>, StoreError> {
        self.settle().await?;
        let mut chain = self.chain.clone();
        let mut rows: Vec<_> = self.late.iter().map(|event| chain.append(at, event.clone())).collect();
        let mut positions = Vec::with_capacity(group.len());
        for Announced { event, .. } in group {
            rows.push(chain.append(at, event.clone()));
            positions.push(chain.position());
        }
        // Until the answer is here, nobody knows whether these rows are.
        self.uncertain = Some(Uncertain { chain: chain.clone(), follow_ups: self.late.len() });
        self.store.append_audit(rows).await?;
        self.uncertain = None;
        self.chain = chain;
        Ok(positions)
    }

    /// Finds out what became of a write whose end is unknown.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(Uncertain { chain, follow_ups }) = self.uncertain.clone() else { return Ok(()) };
        if self.store.has_audit_row(self.chain.id(), self.chain.seq() + 1).await? {
            // A transaction is there as a whole or not at all.
            self.chain = chain;
            self.late.drain(..follow_ups.min(self.late.len()));
        }
        self.uncertain = None;
        Ok(())
    }
}
