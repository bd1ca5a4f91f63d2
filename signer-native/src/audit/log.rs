//! The writer of the log: rows of many requests in one transaction, durable before anybody hears of them.

use std::{fmt, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{AuditError, AuditRow, Blinding, Chain, Event, Position, encode};
use crate::store::{Store, StoreError};

/// Announcements that may wait for the writer; what follows them is as many at most.
const QUEUE: usize = 4_096;
/// Rows of one transaction.
const GROUP: usize = 512;
/// How long outcomes wait for an intent to share a transaction with; and the pause after a failed write.
const LINGER: Duration = Duration::from_millis(100);
/// What came of intents: `{"signed":[[first, last], …]}`, or `{"failed": intent, "error": why}`.
pub const OUTCOME: &str = "token.outcome";
/// Why an intent failed that stands, though whoever announced it never heard so.
const UNTAKEN: &str = "whoever asked had gone away, or was told that it could not be written; nothing was signed";

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
    done: oneshot::Sender<Result<Written, AuditError>>,
    /// Where the outcome goes if nobody takes the answer.
    outcomes: mpsc::UnboundedSender<Entry>,
    /// One of [`QUEUE`], until the writer is done with it, whether or not somebody still waits.
    _place: OwnedSemaphorePermit,
}

/// That a row stands. Where that is an intent's and nobody takes this, nothing is signed, and the log says so: an intent without an
/// outcome is one over which the process ended.
struct Written {
    position: Position,
    /// Of an intent, until it is taken.
    outcomes: Option<mpsc::UnboundedSender<Entry>>,
}

impl Written {
    fn take(mut self) -> Position {
        self.outcomes = None;
        self.position.clone()
    }

    /// What is to be written where nobody takes it.
    fn untaken(mut self) -> Option<Event> {
        self.outcomes.take().map(|_| failed(self.position.seq, UNTAKEN))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // Whoever waited went away between the answer and its taking. Once the log has ended, this is lost with it.
        if let Some(outcomes) = self.outcomes.take() {
            let _ = outcomes.send(Entry::Other(failed(self.position.seq, UNTAKEN)));
        }
    }
}

/// That an intent came to no signature.
fn failed(intent: u64, why: impl Into<serde_json::Value>) -> Event {
    Event::new("system", OUTCOME, "").with("failed", intent).with("error", why)
}

/// Where rows go: the store, and in tests one that answers late.
trait Shelf: Send + Sync + 'static {
    /// Appends rows, all or none. Whoever gives up waiting does not know which, nor whether it is decided yet.
    fn append(&self, rows: Vec<AuditRow>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Where a chain ends, once every append is decided.
    fn end(&self, chain: &str) -> impl Future<Output = Result<Chain, StoreError>> + Send;
}

impl Shelf for Store {
    async fn append(&self, rows: Vec<AuditRow>) -> Result<(), StoreError> {
        self.append_audit(rows).await
    }

    async fn end(&self, chain: &str) -> Result<Chain, StoreError> {
        self.audit_end(chain).await
    }
}

impl Log {
    /// Begins a chain of this process. `limit` is how long anybody waits for a row.
    ///
    /// # Errors
    /// When the first row cannot be written.
    pub async fn begin(store: Store, limit: Duration, blinding: Blinding) -> Result<(Self, LogEnd), AuditError> {
        Self::begin_on(store, limit, blinding).await
    }

    async fn begin_on(shelf: impl Shelf, limit: Duration, blinding: Blinding) -> Result<(Self, LogEnd), AuditError> {
        let mut id = [0; 9];
        getrandom::fill(&mut id)
            .map_err(|error| AuditError::Store(StoreError::Unavailable(format!("no randomness: {error}"))))?;
        let id = encode(&id);
        let (sender, entries) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let chain = Chain::new(id.clone());
        let writer = Writer {
            shelf,
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
            let place = self.places.clone().acquire_owned().await.map_err(|_| AuditError::Ended)?;
            let announced = Announced { event, done, outcomes: self.sender.clone(), _place: place };
            self.sender.send(Entry::Announced(announced)).map_err(|_| AuditError::Ended)?;
            answer.await.map_err(|_| AuditError::Ended)?.map(Written::take)
        };
        tokio::time::timeout(self.limit, written).await.unwrap_or(Err(AuditError::Deadline(self.limit)))
    }

    /// Writes what came of an intent of this chain, when it can be: the intent stands already, so that a crash in between
    /// shows as an intent without outcome. Intents that came to signatures share a row.
    pub fn outcome(&self, intent: &Position, error: Option<String>) {
        let entry = match error {
            None => Entry::Signed(intent.seq),
            Some(error) => Entry::Other(failed(intent.seq, error)),
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

struct Writer<S> {
    shelf: S,
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
    /// The intents among the rows. Whoever announced them is told that they are not written, or has gone.
    intents: Vec<u64>,
}

impl<S: Shelf> Writer<S> {
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
        leave_out_those_who_left(group);
        if group.is_empty() && self.late.is_empty() {
            return;
        }
        let at = crate::keys::now();
        let outcome = tokio::time::timeout(self.limit, self.attempt(at, group)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} ms", self.limit.as_millis()))));
        match outcome {
            Ok(positions) => {
                self.late.clear();
                for (Announced { event, done, outcomes, .. }, position) in group.drain(..).zip(positions) {
                    let outcomes = event.is_intent().then_some(outcomes);
                    // Whoever waited may have given up.
                    if let Err(Ok(written)) = done.send(Ok(Written { position, outcomes })) {
                        self.late.extend(written.untaken());
                    }
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
    async fn attempt(&mut self, at: Timestamp, group: &mut Vec<Announced>) -> Result<Vec<Position>, StoreError> {
        self.settle().await?;
        // That may have taken long.
        leave_out_those_who_left(group);
        if group.is_empty() && self.late.is_empty() {
            return Ok(Vec::new());
        }
        let mut chain = self.chain.clone();
        let mut rows: Vec<_> = self.late.iter().map(|event| chain.append(at, event.clone())).collect();
        let mut positions = Vec::with_capacity(group.len());
        let mut intents = Vec::new();
        for Announced { event, .. } in group.iter() {
            rows.push(chain.append(at, event.clone()));
            positions.push(chain.position());
            intents.extend(event.is_intent().then(|| chain.seq()));
        }
        // Until the answer is here, nobody knows whether these rows are.
        self.uncertain = Some(Uncertain { chain: chain.clone(), follow_ups: self.late.len(), intents });
        self.shelf.append(rows).await?;
        self.uncertain = None;
        self.chain = chain;
        Ok(positions)
    }

    /// Finds out what became of a write whose end is unknown. Its commit may still be under way: the shelf answers when it is not,
    /// and until then nothing else is written, or both could come to be, one upon the end that the other was to have.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(Uncertain { chain: hoped, follow_ups, intents }) = self.uncertain.clone() else { return Ok(()) };
        let found = self.shelf.end(self.chain.id()).await?;
        if found == hoped {
            // A transaction is there as a whole or not at all.
            self.chain = hoped;
            self.late.drain(..follow_ups.min(self.late.len()));
            self.late.extend(intents.into_iter().map(|intent| failed(intent, UNTAKEN)));
        } else if found != self.chain {
            // Whatever followed would not prove itself.
            return Err(StoreError::Corrupt(format!(
                "chain {} of the audit log ends with row {}, and this process wrote up to row {} or {}: the store is not the one \
                 that it wrote to; a restart begins another chain",
                found.id(),
                found.seq(),
                self.chain.seq(),
                hoped.seq()
            )));
        }
        self.uncertain = None;
        Ok(())
    }
}

/// Whoever gave up has not done what it announced, and those behind it wait.
fn leave_out_those_who_left(group: &mut Vec<Announced>) {
    group.retain(|announced| !announced.done.is_closed());
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{FutureExt as _, future::join_all};
    use tokio::sync::Mutex;

    use super::*;
    use crate::audit::chain::Row;

    const LIMIT: Duration = Duration::from_millis(150);

    /// What becomes of one append.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Written,
        Refused,
        /// It is written, and nobody hears of it.
        Unanswered,
        /// The commit takes longer than anybody waits, and succeeds.
        Late,
        /// It takes as long, and is undone.
        LateAndUndone,
    }

    /// Rows in memory. Only one transaction is under way at a time, as with any two that write the same row.
    #[derive(Clone, Default)]
    struct Memory {
        rows: Arc<Mutex<Vec<AuditRow>>>,
        fates: Arc<[Fate]>,
        turn: Arc<AtomicUsize>,
    }

    impl Memory {
        fn new(fates: impl IntoIterator<Item = Fate>) -> Self {
            Self { fates: fates.into_iter().collect(), ..Self::default() }
        }

        /// The rows of the one chain, each of which follows the one before.
        async fn whole(&self) -> Vec<AuditRow> {
            let rows = self.rows.lock().await.clone();
            let mut chain = Chain::new(rows[0].chain.clone());
            for row in &rows {
                chain.follow(&Row::read(&row.hash, &row.body).unwrap()).unwrap();
            }
            rows
        }
    }

    impl Shelf for Memory {
        async fn append(&self, new: Vec<AuditRow>) -> Result<(), StoreError> {
            let lost = || StoreError::Unavailable("the connection is gone".to_owned());
            let mut rows = self.rows.clone().lock_owned().await;
            if rows.iter().any(|row| row.seq == new[0].seq) {
                return Err(StoreError::Conflict("audit_pkey".to_owned()));
            }
            let fate = self.fates.get(self.turn.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(Fate::Written);
            match fate {
                Fate::Written => rows.extend(new),
                Fate::Refused => return Err(lost()),
                Fate::Unanswered => {
                    rows.extend(new);
                    return Err(lost());
                }
                Fate::Late | Fate::LateAndUndone => {
                    let commit = tokio::spawn(async move {
                        tokio::time::sleep(LIMIT * 3 / 2).await;
                        if matches!(fate, Fate::Late) {
                            rows.extend(new);
                        }
                    });
                    commit.await.unwrap();
                }
            }
            Ok(())
        }

        async fn end(&self, chain: &str) -> Result<Chain, StoreError> {
            let rows = self.rows.lock().await;
            Ok(rows.last().map_or_else(|| Chain::new(chain), |row| Chain::at(chain, row.seq, row.hash.clone())))
        }
    }

    async fn begin(memory: &Memory) -> (Log, LogEnd) {
        Log::begin_on(memory.clone(), LIMIT, Blinding::none()).await.unwrap()
    }

    fn intent(name: &str) -> Event {
        Event::new("agent:a", "token.intent", name).with_digest("d".to_owned())
    }

    /// Intents, and what came of each: `None` is a signature.
    fn outcomes(rows: &[AuditRow]) -> BTreeMap<u64, Vec<Option<String>>> {
        let mut outcomes: BTreeMap<u64, Vec<Option<String>>> = BTreeMap::new();
        for row in rows {
            let read = Row::read(&row.hash, &row.body).unwrap();
            if read.text("action") == "token.intent" {
                outcomes.entry(row.seq).or_default();
            }
            if let Some(failed) = read.detail("failed").and_then(serde_json::Value::as_u64) {
                let error = read.detail("error").and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
                outcomes.get_mut(&failed).unwrap().push(error);
            }
            let ranges = read.detail("signed").map(|ranges| serde_json::from_value::<Vec<(u64, u64)>>(ranges.clone()).unwrap());
            for intent in ranges.unwrap_or_default().into_iter().flat_map(|(first, last)| first..=last) {
                outcomes.get_mut(&intent).unwrap().push(None);
            }
        }
        outcomes
    }

    /// Announces until it is written, each time under another name.
    async fn written(log: &Log, name: &str) -> Position {
        for turn in 0..100 {
            if let Ok(position) = log.append(intent(&format!("{name} {turn}"))).await {
                return position;
            }
        }
        panic!("{name} is never written");
    }

    #[tokio::test]
    async fn a_commit_that_comes_late_breaks_no_chain() {
        for fate in [Fate::Late, Fate::LateAndUndone, Fate::Unanswered, Fate::Refused] {
            let memory = Memory::new([Fate::Written, fate]);
            let (log, end) = begin(&memory).await;
            log.append(intent("late")).await.unwrap_err();
            // While that one is being committed.
            let _ = log.append(intent("next")).await;
            let position = written(&log, "after").await;
            end.end().await;
            let rows = memory.whole().await;
            let late = rows.iter().filter(|row| row.body.contains("\"late\"")).count();
            assert_eq!(late, usize::from(matches!(fate, Fate::Late | Fate::Unanswered)), "{fate:?}");
            assert!(rows[usize::try_from(position.seq).unwrap() - 1].body.contains("\"after "), "{fate:?}");
            assert!(rows.last().unwrap().body.contains("chain.end"), "{fate:?}");
        }
    }

    #[tokio::test]
    async fn whatever_becomes_of_writes_the_chain_is_whole() {
        let stories = (0_u64..40).map(|seed| async move {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let fates = (0..24).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                match (state >> 33) % 8 {
                    0 => Fate::Refused,
                    1 => Fate::Unanswered,
                    2 => Fate::Late,
                    3 => Fate::LateAndUndone,
                    _ => Fate::Written,
                }
            });
            let memory = Memory::new([Fate::Written].into_iter().chain(fates));
            let (log, end) = begin(&memory).await;
            let mut promised = BTreeMap::new();
            let mut told = BTreeMap::new();
            for turn in 0..16 {
                let names: Vec<String> = (0..3).map(|one| format!("{seed}/{turn}/{one}")).collect();
                let answers = join_all(names.iter().map(|name| log.append(intent(name)))).await;
                for (number, (name, answer)) in names.into_iter().zip(answers).enumerate() {
                    let Ok(position) = answer else { continue };
                    let error = (number == 0).then(|| "why".to_owned());
                    log.outcome(&position, error.clone());
                    told.insert(position.seq, error);
                    promised.insert(position.seq, name);
                }
            }
            let last = written(&log, "last").await;
            end.end().await;
            let rows = memory.whole().await;
            let mut seen = Vec::new();
            for row in &rows {
                let read = Row::read(&row.hash, &row.body).unwrap();
                if read.text("action") == "token.intent" {
                    seen.push(read.text("subject").to_owned());
                    if let Some(name) = promised.remove(&row.seq) {
                        assert_eq!(read.text("subject"), name, "what was promised stands there");
                    }
                }
            }
            assert!(promised.is_empty(), "{promised:?}");
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all, "nothing stands there twice");
            let mut outcomes = outcomes(&rows);
            // All that was to be said by then stands with it.
            assert_eq!(outcomes.remove(&last.seq), Some(Vec::new()));
            for (intent, came) in outcomes {
                let wanted = told.remove(&intent).unwrap_or_else(|| Some(UNTAKEN.to_owned()));
                assert_eq!(came, [wanted], "every intent that stands has one outcome: {seed}, {intent}");
            }
            assert!(told.is_empty(), "{told:?}");
        });
        join_all(stories).await;
    }

    #[tokio::test]
    async fn an_intent_that_nobody_took_has_failed() {
        let failed = [Some(UNTAKEN.to_owned())];
        // Its client goes away while it is being written, or between the answer and its taking.
        for told in [false, true] {
            let memory = Memory::default();
            let (log, end) = Log::begin_on(memory.clone(), 40 * LIMIT, Blinding::none()).await.unwrap();
            let held = memory.rows.clone().lock_owned().await;
            let mut reset = Box::pin(log.append(intent("reset")));
            assert!((&mut reset).now_or_never().is_none());
            tokio::time::sleep(LIMIT / 5).await;
            if told {
                drop(held);
                tokio::time::sleep(LIMIT / 5).await;
                drop(reset);
            } else {
                drop(reset);
                drop(held);
            }
            // What is no intent has no outcome, whoever goes away.
            let mut other = Box::pin(log.append(Event::new("system", "keys.retire", "kid")));
            assert!((&mut other).now_or_never().is_none());
            tokio::time::sleep(LIMIT / 5).await;
            drop(other);
            end.end().await;
            let rows = memory.whole().await;
            assert_eq!(outcomes(&rows).into_values().collect::<Vec<_>>(), [failed.to_vec()], "{told}: {rows:?}");
            assert_eq!(rows.iter().filter(|row| row.body.contains(OUTCOME)).count(), 1);
        }
        // Nobody heard of it, or too late; it turns out later that it stands.
        for fate in [Fate::Unanswered, Fate::Late] {
            let memory = Memory::new([Fate::Written, fate]);
            let (log, end) = begin(&memory).await;
            log.append(intent("late")).await.unwrap_err();
            let after = written(&log, "after").await;
            log.outcome(&after, None);
            end.end().await;
            let mut outcomes = outcomes(&memory.whole().await);
            assert_eq!(outcomes.remove(&after.seq), Some(vec![None]));
            assert_eq!(outcomes.into_values().next(), Some(failed.to_vec()), "{fate:?}");
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_written() {
        let memory = Memory::default();
        let (log, end) = begin(&memory).await;
        let held = memory.rows.clone().lock_owned().await;
        // The writer is at one of them when the others come.
        let first = log.append(intent("under way"));
        let others = async {
            tokio::time::sleep(LIMIT / 2).await;
            let names: Vec<String> = (0..50).map(|number| format!("given up {number}")).collect();
            join_all(names.iter().map(|name| log.append(intent(name)))).await
        };
        let (first, others) = tokio::join!(first, others);
        assert!(first.is_err() && others.iter().all(Result::is_err), "{others:?}");
        drop(held);
        written(&log, "live").await;
        end.end().await;
        let rows = memory.whole().await;
        assert!(!rows.iter().any(|row| row.body.contains("given up")), "{rows:?}");
        assert_eq!(log.places.available_permits(), QUEUE, "every place is free again");
    }

    #[tokio::test]
    async fn nothing_is_written_upon_an_end_that_is_another() {
        let memory = Memory::new([Fate::Written, Fate::Written, Fate::Unanswered]);
        let (log, _end) = begin(&memory).await;
        log.append(intent("one")).await.unwrap();
        log.append(intent("two")).await.unwrap_err();
        // As after a failover to a copy that had not come so far.
        memory.rows.lock().await.truncate(1);
        let refused = log.append(intent("three")).await.unwrap_err();
        assert!(matches!(&refused, AuditError::Store(StoreError::Corrupt(why)) if why.contains("ends with row 1")), "{refused}");
        log.append(intent("four")).await.unwrap_err();
        assert_eq!(memory.rows.lock().await.len(), 1);
    }
}
