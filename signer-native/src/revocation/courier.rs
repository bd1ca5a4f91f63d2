//! Takes revocations to the edges: one task an edge, so that an edge that does not answer holds up no other.
//!
//! An edge's document is signed anew when the list has changed, when the control key has, and every five minutes, since it is good
//! for ten. Each is pushed until the edge has acknowledged it, and lies at `/.well-known/edgeseal-revocations` for the edge's
//! cron trigger to fetch. Of several signers the one that holds the edge's lease does all this.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use edgeseal_core::{
    Algorithm, Jwk, JwkSet, Timestamp, json,
    revocation::{
        Control,
        document::{Draft, MAX_LIFETIME, MAX_SEQUENCE},
    },
};
use hyper::{Method, StatusCode};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{EdgeConfig, list};
use crate::{
    audit::{Event, Log, token_digest},
    backend::Native,
    client,
    error::Failure,
    http::tls,
    keys::{Key, Purpose, Registry, Slot, State, now, registry::RegistryError},
    store::{Acknowledgement, EdgeRow, Fence, NextDocument, Store, StoreError},
};

/// How often the store is asked whether something was revoked: by a command on this machine, or another signer.
const LOOK: Duration = Duration::from_millis(500);
/// Seconds that a signer looks after an edge before it has to say so again.
const LEASE: u64 = 15;
/// How often another signer tries to take an edge over.
const ANOTHERS: Duration = Duration::from_secs(5);
/// Seconds after which a document is signed anew.
const RENEW: u64 = MAX_LIFETIME / 2;
/// Seconds that one process has to make control keys.
const MAKING_LEASE: u64 = 30;
/// How often another looks whether they are made.
const MAKING_LOOKS: usize = 20;
/// How long a push may take.
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// Octets of an answer.
const MAX_ANSWER: usize = 16 * 1024;
/// Seconds between two pushes that failed: doubled each time, at most this.
const LONGEST_PAUSE: u64 = 60;
/// How long a document is given out before the store is asked for a later one.
const MEMORY: Duration = Duration::from_secs(1);
/// Characters of what an edge, the network or the HSM said that are kept.
const MAX_TROUBLE: usize = 300;

/// Takes revocations to the edges.
pub struct Courier {
    store: Store,
    registry: Arc<Registry>,
    audit: Log,
    /// `iss` of the documents.
    issuer: String,
    edges: Vec<Edge>,
    holder: String,
    wake: Notify,
    remembered: Mutex<BTreeMap<String, Remembered>>,
}

struct Edge {
    config: EdgeConfig,
    tls: Arc<ClientConfig>,
}

#[derive(Clone)]
struct Remembered {
    at: Instant,
    document: Option<(String, Timestamp)>,
}

/// What was pushed.
enum Pushed {
    Acknowledged(Acknowledgement),
    /// The edge knows this sequence already.
    Behind(u64),
}

impl Courier {
    /// A courier for these edges. `holder` names this process among signers.
    ///
    /// # Errors
    /// When the certificates of an edge's authority cannot be used.
    pub fn new(
        store: Store,
        registry: Arc<Registry>,
        audit: Log,
        issuer: String,
        edges: Vec<EdgeConfig>,
        holder: String,
    ) -> Result<Self, Failure> {
        let edge = |config: EdgeConfig| {
            let setting = format!("edges.{}.ca", config.name);
            let tls = tls::client(config.ca.as_deref().map(|path| (setting.as_str(), path)), None)?;
            Ok(Edge { config, tls: Arc::new(tls) })
        };
        let edges = edges.into_iter().map(edge).collect::<Result<_, Failure>>()?;
        Ok(Self { store, registry, audit, issuer, edges, holder, wake: Notify::new(), remembered: Mutex::default() })
    }

    /// The edges.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeConfig> {
        self.edges.iter().map(|edge| &edge.config)
    }

    /// Something was revoked here: look at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Works until it is dropped.
    pub async fn run(self: Arc<Self>) {
        if self.edges.is_empty() {
            return;
        }
        let (version, versions) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for place in 0..self.edges.len() {
            tasks.spawn(Arc::clone(&self).attend(place, versions.clone()));
        }
        loop {
            match self.store.revocations_version().await {
                Ok(number) => drop(version.send_if_modified(|known| std::mem::replace(known, number) != number)),
                Err(error) => tracing::warn!(%error, "the revocation list cannot be read"),
            }
            let _ = tokio::time::timeout(LOOK, self.wake.notified()).await;
        }
    }

    /// Lets another signer look after the edges at once.
    pub async fn step_down(&self) {
        for Edge { config, .. } in &self.edges {
            if let Ok(Some(fence)) = self.lease(&config.id).await
                && let Err(error) = self.store.give_lease_back(&fence).await
            {
                tracing::debug!(%error, "giving back an edge's lease");
            }
        }
    }

    /// The document for an edge, from memory where the store was asked a moment ago or does not answer; `None` for an edge that
    /// is not configured, `Some(None)` while none is good.
    pub async fn document(&self, id: &str) -> Option<Option<String>> {
        self.edges().find(|edge| edge.id == id)?;
        let known = {
            let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.get(id).cloned()
        };
        let fresh = known.clone().filter(|known| known.at.elapsed() < MEMORY);
        let Remembered { document, .. } = if let Some(known) = fresh {
            known
        } else {
            let document = match self.row(id).await {
                Ok(EdgeRow { document, signed_at, .. }) => document.map(|text| (text, signed_at.plus_secs(MAX_LIFETIME))),
                Err(error) => {
                    tracing::warn!(%error, edge = id, "the revocation document comes from memory");
                    known.and_then(|known| known.document)
                }
            };
            let read = Remembered { at: Instant::now(), document };
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.insert(id.to_owned(), read.clone());
            read
        };
        Some(document.filter(|(_, until)| now() < *until).map(|(text, _)| text))
    }

    async fn attend(self: Arc<Self>, place: usize, mut versions: watch::Receiver<u64>) {
        let Some(edge) = self.edges.get(place) else { return };
        let mut failing = String::new();
        loop {
            versions.mark_unchanged();
            let next = match self.look_after(edge).await {
                Ok(next) => {
                    failing.clear();
                    next
                }
                Err(error) => {
                    let reason = error.to_string();
                    if failing != reason {
                        tracing::error!(reason, edge = edge.config.name, "its revocation document cannot be signed");
                        self.is_troubled(edge, &reason).await;
                    }
                    failing = reason;
                    Duration::from_secs(1)
                }
            };
            // The poller outlives the edges' tasks; without it there is nothing to wait for but time.
            tokio::select! {
                Ok(()) = versions.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Whoever revokes sees why nobody is told.
    async fn is_troubled(&self, edge: &Edge, reason: &str) {
        let trouble = shortened(&format!("its document cannot be signed: {reason}"));
        if let Err(error) = self.store.edge_troubled(&edge.config.id, &trouble).await {
            tracing::debug!(%error, "writing down an edge's trouble");
        }
    }

    /// Signs and pushes what is due; gives how long nothing will be.
    async fn look_after(&self, edge: &Edge) -> Result<Duration, RegistryError> {
        let id = &edge.config.id;
        let Some(fence) = self.lease(id).await? else { return Ok(ANOTHERS) };
        let outcome = self.serve(edge, &fence).await;
        if outcome.is_err() {
            // Another signer's HSM may be well.
            self.store.give_lease_back(&fence).await?;
        }
        outcome
    }

    async fn serve(&self, edge: &Edge, fence: &Fence) -> Result<Duration, RegistryError> {
        let EdgeConfig { id, name, .. } = &edge.config;
        let version = self.store.revocations_version().await?;
        let mut row = self.row(id).await?;
        let key = control_key(&self.registry, &self.store, &self.holder).await?;
        if !is_current(&row, version, key.kid(), now()) {
            row = self.sign(id, fence, &key, row).await?;
        }
        let mut next = row.signed_at.plus_secs(RENEW);
        // Whatever it says: an edge that was never told anything shall know that it is looked after, and one whose Durable Object
        // is new or lost has no list, and does not know that.
        let is_told = row.acknowledged_seq >= row.document_seq;
        if !is_told && may_push(&row, now()) {
            match self.push(edge, &row).await {
                Ok(Pushed::Acknowledged(acknowledgement)) => {
                    tracing::info!(edge = name, seq = acknowledgement.seq, "the edge has the revocation list");
                    self.store.acknowledge(id, &acknowledgement).await?;
                }
                Ok(Pushed::Behind(known)) => {
                    tracing::warn!(
                        edge = name,
                        known,
                        seq = row.document_seq,
                        "the edge knows a later sequence; going beyond it"
                    );
                    self.store.raise_sequence(id, known).await?;
                    self.store.push_failed(id, &format!("the edge knew sequence {known} already"), now()).await?;
                    return Ok(Duration::from_millis(100));
                }
                Err(trouble) => {
                    let trouble = shortened(&trouble);
                    let pause = (1 << row.attempts.min(6)).min(LONGEST_PAUSE);
                    tracing::warn!(edge = name, trouble, pause, "the edge did not take the revocation list");
                    let again = now().plus_secs(pause);
                    self.store.push_failed(id, &trouble, again).await?;
                    next = next.min(again);
                }
            }
        } else if !is_told {
            next = next.min(row.next_attempt_at);
        }
        // The lease has to be renewed, and another signer may have changed something.
        Ok(Duration::from_millis(next.millis_since(now())).clamp(Duration::from_millis(100), Duration::from_secs(LEASE / 3)))
    }

    async fn lease(&self, id: &str) -> Result<Option<Fence>, StoreError> {
        let moment = now();
        self.store.take_lease(&format!("revocations:{id}"), &self.holder, moment, moment.plus_secs(LEASE)).await
    }

    async fn row(&self, id: &str) -> Result<EdgeRow, StoreError> {
        let row = self.store.edges().await?.into_iter().find(|row| row.name == id);
        Ok(row.unwrap_or_else(|| EdgeRow { name: id.to_owned(), ..EdgeRow::default() }))
    }

    async fn sign(&self, id: &str, fence: &Fence, key: &Key, row: EdgeRow) -> Result<EdgeRow, RegistryError> {
        let unsound = |reason: String| RegistryError::Unsound(format!("a revocation document was discarded: {reason}"));
        let issued_at = now();
        let NextDocument { seq, version, entries } = self.store.next_document(id, fence, issued_at).await?;
        let list = list(&entries);
        let kid = key.kid().unwrap_or_default();
        let draft = Draft { issuer: &self.issuer, edge: id, sequence: seq, issued_at, list: &list };
        let unsigned = draft.unsigned(key.algorithm, kid).map_err(|error| unsound(error.to_string()))?;
        let intent = Event::new("system", "revocations.sign", kid)
            .with("edge", id)
            .with("seq", seq)
            .with("entries", list.len())
            .with_digest(token_digest(key.algorithm, unsigned.signing_input()));
        let intent = self.audit.append(intent).await.map_err(RegistryError::Audit)?;
        let document = match self.registry.sign_unverified(key.id, key.algorithm, unsigned.signing_input()).await {
            Ok(signature) => check(id, key, &unsigned.attach(&signature), issued_at).map_err(unsound),
            Err(error) => Err(error),
        };
        self.audit.outcome(&intent, document.as_ref().err().map(ToString::to_string));
        let row = EdgeRow {
            seq,
            document_seq: seq,
            version,
            kid: Some(kid.to_owned()),
            document: Some(document?),
            signed_at: issued_at,
            ..row
        };
        self.store.keep_document(&row).await?;
        Ok(row)
    }

    async fn push(&self, edge: &Edge, row: &EdgeRow) -> Result<Pushed, String> {
        let url = edge.config.push_url();
        let body = serde_json::json!({ "document": row.document }).to_string();
        let tls = url.starts_with("https://").then(|| Arc::clone(&edge.tls));
        let answer = client::request(Method::POST, &url, None, Some(body), tls, MAX_ANSWER, PUSH_LIMIT);
        let answer = answer.await.map_err(|failure| failure.to_string())?;
        let members = json::parse_object(answer.body.as_bytes()).map(|(_, members)| members).unwrap_or_default();
        let number = |name: &str| members.get(name).and_then(Value::as_u64);
        match (answer.status, number("seq")) {
            (StatusCode::OK, Some(seq)) if seq == row.document_seq => Ok(Pushed::Acknowledged(Acknowledgement {
                version: row.version,
                seq,
                at: now(),
                reread_by: number("reread_by").map(Timestamp::from_secs),
                bound_by: number("bound_by").map(Timestamp::from_secs),
            })),
            (StatusCode::CONFLICT, Some(known)) if (row.document_seq..MAX_SEQUENCE / 2).contains(&known) => {
                Ok(Pushed::Behind(known))
            }
            (status, _) => {
                let code = members.get("code").and_then(Value::as_str).unwrap_or("no problem document");
                Err(format!("{url} answered {status}: {code}"))
            }
        }
    }
}

/// What is kept of a trouble.
fn shortened(trouble: &str) -> String {
    trouble.chars().filter(|char| !char.is_control()).take(MAX_TROUBLE).collect()
}

/// What the control key is like: on P-256, or RSA where the HSM has no P-256. It signs until a person lets the next one.
pub fn slot(registry: &Registry) -> Slot {
    let on_curve = registry.supports(Algorithm::Es256, 0);
    Slot {
        purpose: Purpose::Control,
        issuer: String::new(),
        profile: String::new(),
        agent: None,
        algorithm: if on_curve { Algorithm::Es256 } else { Algorithm::Rs256 },
        rsa_bits: if on_curve { 0 } else { 2_048 },
        max_lifetime: MAX_LIFETIME,
        rotate_after: None,
        publish_ahead: 0,
        valid_for: None,
    }
}

/// The key that signs documents, made with the next one behind it where they are not there: by one process at a time.
///
/// # Errors
/// The HSM's and the store's.
pub async fn control_key(registry: &Registry, store: &Store, holder: &str) -> Result<Key, RegistryError> {
    let slot = slot(registry);
    for _ in 0..MAKING_LOOKS {
        let keys = registry.ledger().keys().await?;
        let mut of_slot = keys.into_iter().filter(|key| slot.holds(key));
        let active = of_slot.clone().find(|key| key.state == State::Active);
        let has_next = of_slot.any(|key| key.state == State::Published);
        if let (Some(active), true) = (&active, has_next) {
            return Ok(active.clone());
        }
        let moment = now();
        if let Some(fence) = store.take_lease("control-key", holder, moment, moment.plus_secs(MAKING_LEASE)).await? {
            let kept = registry.keep(&slot).await;
            store.give_lease_back(&fence).await?;
            match (kept, active) {
                (Ok(()), _) => continue,
                (Err(error), Some(active)) => {
                    tracing::warn!(%error, "the next control key could not be made yet");
                    return Ok(active);
                }
                (Err(error), None) => return Err(error),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    registry.ensure(&slot).await
}

/// Whether an edge's document holds what it should. One that was signed in the future was signed by a clock that has been set back
/// since: an edge refuses it, and what had ended by that clock is missing in it.
fn is_current(row: &EdgeRow, version: u64, kid: Option<&str>, now: Timestamp) -> bool {
    row.document.is_some()
        && row.version >= version
        && row.kid.as_deref() == kid
        && row.signed_at <= now
        && now < row.signed_at.plus_secs(RENEW)
}

/// Whether the pause after a push that failed is over, or was written by a clock that has been set back since.
fn may_push(row: &EdgeRow, now: Timestamp) -> bool {
    row.next_attempt_at <= now || row.next_attempt_at > now.plus_secs(LONGEST_PAUSE)
}

/// The control keys that edges pin, the current one first: those that sign or will.
///
/// # Errors
/// When the store holds what no version of this program wrote.
pub fn pinned(keys: &[Key]) -> Result<Vec<Jwk>, RegistryError> {
    let mut pinned: Vec<&Key> = keys
        .iter()
        .filter(|key| key.purpose == Purpose::Control && matches!(key.state, State::Active | State::Published))
        .collect();
    pinned.sort_by_key(|key| (key.state != State::Active, key.created_at));
    pinned.into_iter().map(jwk).collect()
}

fn jwk(key: &Key) -> Result<Jwk, RegistryError> {
    let text = key.published.as_ref().map_or("", |published| &published.jwk);
    Jwk::from_json(text).map_err(|problem| StoreError::Corrupt(format!("the JWK of key {}: {}", key.id, problem.as_str())).into())
}

/// What the edge will do with the document, done here first.
fn check(id: &str, key: &Key, document: &str, at: Timestamp) -> Result<String, String> {
    use edgeseal_core::SignatureBackend as _;
    let keys = JwkSet::from_keys([jwk(key).map_err(|error| error.to_string())?]);
    let control = Control::new(id, keys).map_err(|error| error.to_string())?;
    let pending = control.begin(document).map_err(|error| error.to_string())?;
    let answer = Native::default().verify(pending.input());
    control.finish(pending, answer, at).map_err(|error| error.to_string())?;
    Ok(document.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_leaves_nothing_behind() {
        let at = Timestamp::from_secs;
        let row = EdgeRow {
            document: Some("a.b.c".to_owned()),
            version: 3,
            kid: Some("control".to_owned()),
            signed_at: at(1_000),
            next_attempt_at: at(1_000 + LONGEST_PAUSE),
            ..EdgeRow::default()
        };
        let current = |now| is_current(&row, 3, Some("control"), at(now));
        assert!(current(1_000) && current(1_000 + RENEW - 1) && !current(1_000 + RENEW));
        assert!(!current(999), "signed in the future");
        assert!(!is_current(&row, 4, Some("control"), at(1_000)) && !is_current(&row, 3, Some("next"), at(1_000)));
        assert!(!may_push(&row, at(1_000)) && may_push(&row, at(1_000 + LONGEST_PAUSE)));
        assert!(may_push(&row, at(999)), "no pause is so long");
    }
}
