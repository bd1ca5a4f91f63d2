//! The rows of the registry and the rules that they change by: all that works without the HSM.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use edgeseal_core::Timestamp;
use serde_json::Value;

use super::{
    Actor, Key, Moment, Purpose, Refusal, Slot, State, Timing,
    lifecycle::{self, Command, DAY, DESTRUCTION_DAYS, Outcome, Window},
    now,
};
use crate::{
    audit::{AuditError, Blinding, Event, Log},
    hsm::{HsmError, KeyId},
    revocation::{self, Entry, Kind, Wish},
    store::{Approval, Guard, Store, StoreError},
};

/// Days in which a second person may approve what a first one proposed.
const APPROVAL_DAYS: u64 = 7;
/// Seconds, a day: how long somebody whom another invited, or gave a role or a new beginning, is no second person yet, unless
/// the setting says otherwise. Everybody comes by the console or the log within that time.
pub const SECOND_PERSON_AFTER: u64 = 86_400;
/// Seconds: the longest such time; a proposal lapses after as long.
pub const MAX_SECOND_PERSON_AFTER: u64 = APPROVAL_DAYS * 86_400;
/// How long a command waits for its row in the audit log.
const AUDIT_PATIENCE: Duration = Duration::from_secs(5);
/// The one action that takes two people.
const SCHEDULE_DESTROY: &str = "keys.schedule-destroy";

/// The rows of the registry and the rules that they change by.
#[derive(Clone)]
pub struct Ledger {
    pub(super) store: Store,
    timing: Timing,
    /// What keys are wanted for; clones share it, since it may change.
    slots: Arc<RwLock<Arc<Vec<Slot>>>>,
    /// The profiles that no keys are wanted for any more.
    retired: Arc<RwLock<Arc<Vec<String>>>>,
    /// URLs by name, to list a revoked key under its issuer's.
    issuers: BTreeMap<String, String>,
    /// Seconds after which somebody of whom another vouched counts as one of two people.
    second_person_after: u64,
    log: Option<Log>,
    /// How a command of its own process shows claim values.
    blinding: Blinding,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is so.
    Changed {
        /// The key as it is now.
        key: Box<Key>,
        /// The key that signs instead, if the command made one do so.
        successor: Option<String>,
        /// Until when edges may not know the key that signs now.
        window: Option<Window>,
    },
    /// It waits for a second person.
    Proposed(Approval),
}

/// Why the registry did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// The rules of the life cycle.
    Refused(Refusal),
    /// The HSM.
    Hsm(HsmError),
    /// The store.
    Store(StoreError),
    /// The JWK Set would grow beyond what verifiers accept.
    TooManyKeys {
        /// Keys that it would have.
        count: usize,
        /// Octets that it would have.
        octets: usize,
    },
    /// The HSM gave a key or a signature that core does not accept.
    Unsound(String),
    /// Who proposed something cannot approve it.
    OwnProposal {
        /// Who proposed it.
        proposer: String,
        /// Until when another may approve it.
        until: Timestamp,
    },
    /// One of the two is here on another's word, and not for long enough.
    SecondPersonNew {
        /// Who.
        person: String,
        /// From when on they count.
        from: Timestamp,
    },
    /// No proposal of this name is open.
    NoProposal(String),
    /// The audit log could not be written, so nothing was done.
    Audit(AuditError),
    /// The revocation cannot be meant.
    NotRevocable(String),
    /// Something else has to happen first.
    StillNeeded(String),
}

impl RegistryError {
    /// Whether a signature, or the making of a key, failed for what this one key is, as opposed to the HSM, which answered.
    pub fn is_of_the_key(&self) -> bool {
        match self {
            Self::Hsm(error) => !error.is_outage() && !matches!(error, HsmError::Busy),
            Self::Unsound(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(formatter),
            Self::Hsm(error) => error.fmt(formatter),
            Self::Store(error) => error.fmt(formatter),
            Self::TooManyKeys { count, octets } => write!(
                formatter,
                "the JWK Set would have {count} keys and {octets} octets, and verifiers refuse sets above {} keys or {} octets: retire some first",
                super::snapshot::MAX_KEYS,
                super::snapshot::MAX_DOCUMENT
            ),
            Self::Unsound(reason) => write!(formatter, "the HSM's answer does not hold: {reason}"),
            Self::OwnProposal { proposer, until } => write!(
                formatter,
                "{proposer} proposed this, and one's own approval never counts: another person must do the same before {}",
                Moment(*until)
            ),
            Self::SecondPersonNew { person, from } => write!(
                formatter,
                "{person} was invited, or given a role or a new passkey, by another a short while ago, and counts as one of two \
                 people from {} on",
                Moment(*from)
            ),
            Self::Audit(error) => error.fmt(formatter),
            Self::NotRevocable(reason) | Self::StillNeeded(reason) => formatter.write_str(reason),
            Self::NoProposal(id) => write!(formatter, "no open proposal is called {id:?}"),
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HsmError> for RegistryError {
    fn from(error: HsmError) -> Self {
        Self::Hsm(error)
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Ledger {
    /// The rows of this store. `slots` are what the configuration wants keys for.
    pub fn new(store: Store, timing: Timing, slots: Vec<Slot>) -> Self {
        Self {
            store,
            timing,
            slots: Arc::new(RwLock::new(Arc::new(slots))),
            retired: Arc::default(),
            issuers: BTreeMap::new(),
            second_person_after: SECOND_PERSON_AFTER,
            log: None,
            blinding: Blinding::none(),
        }
    }

    /// The same, knowing the URLs of issuers by name; a revoked key of an issuer that is not known is listed for all.
    #[must_use]
    pub fn with_issuers(self, issuers: BTreeMap<String, String>) -> Self {
        Self { issuers, ..self }
    }

    /// The same, with another time than [`SECOND_PERSON_AFTER`].
    #[must_use]
    pub fn with_second_person_after(self, second_person_after: u64) -> Self {
        Self { second_person_after, ..self }
    }

    /// The same, writing into the log of this process instead of beginning one for every command.
    #[must_use]
    pub fn with_log(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The same, showing claim values like this in logs of its own.
    #[must_use]
    pub fn with_blinding(self, blinding: Blinding) -> Self {
        Self { blinding, ..self }
    }

    /// All keys, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn keys(&self) -> Result<Vec<Key>, RegistryError> {
        Ok(self.store.keys().await?)
    }

    /// The key with this `kid`, or with one that begins so as long as that fits one key.
    ///
    /// # Errors
    /// When there is none, or several fit.
    pub async fn key(&self, kid: &str) -> Result<Key, RegistryError> {
        Ok(find(&self.store.keys().await?, kid)?.clone())
    }

    /// Where its rows are.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The URLs of issuers by name, as far as they are known here.
    pub fn issuers(&self) -> &BTreeMap<String, String> {
        &self.issuers
    }

    /// The delays it goes by.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The delays for one key: those of its profile.
    pub fn timing_of(&self, key: &Key) -> Timing {
        // An agent's own keys are of their profile too, though no slot lists them.
        let slots = self.slots();
        let of_it = slots.iter().find(|slot| (slot.purpose, &slot.profile) == (key.purpose, &key.profile));
        of_it.map_or(self.timing, |slot| slot.timing(&self.timing))
    }

    /// What the configuration wants keys for.
    pub fn slots(&self) -> Arc<Vec<Slot>> {
        Arc::clone(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The profiles that no keys are wanted for any more.
    pub fn retired(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.retired.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on keys are wanted for these, and not for those profiles any more, in every clone.
    pub fn replace_slots(&self, slots: Vec<Slot>, retired: Vec<String>) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(slots);
        *self.retired.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(retired);
    }

    /// Takes a step on a person's word; destruction takes two people, see [`Ledger::schedule_destroy`]. `kid` may be abbreviated
    /// as long as it fits one key.
    ///
    /// # Errors
    /// [`Refusal`], with the earliest allowed time where that is the reason.
    pub async fn command(&self, kid: &str, command: Command, actor: &Actor) -> Result<Done, RegistryError> {
        if let Command::ScheduleDestroy { days } = command {
            return self.schedule_destroy(kid, Some(days), actor).await;
        }
        let keys = self.store.keys().await?;
        let key = find(&keys, kid)?;
        let outcome = lifecycle::decide(&keys, key, command, &self.timing_of(key), now())?;
        self.carry_out(&keys, key, command, outcome, actor, Guard::None).await
    }

    /// Has a key destroyed after so many days, on the word of two people: the first one's is a proposal, of seven days unless
    /// they say another number; the second's does what was proposed.
    ///
    /// # Errors
    /// [`Refusal`]; [`RegistryError::StillNeeded`] when the second person says another number than the first.
    pub async fn schedule_destroy(&self, kid: &str, days: Option<u64>, actor: &Actor) -> Result<Done, RegistryError> {
        let keys = self.store.keys().await?;
        let key = find(&keys, kid)?;
        let moment = now();
        let kid = key.kid().unwrap_or_default();
        let open = self.open_proposals(moment).await?.into_iter().find(|open| open.subject == kid);
        let proposed = open.as_ref().map(days_of).transpose()?;
        let days = days.or(proposed).unwrap_or(*DESTRUCTION_DAYS.start());
        lifecycle::decide(&keys, key, Command::ScheduleDestroy { days }, &self.timing_of(key), moment)?;
        if let (Some(open), Some(proposed)) = (&open, proposed)
            && days != proposed
        {
            let first = &open.proposer;
            return Err(RegistryError::StillNeeded(format!(
                "{first} proposed {proposed} days, not {days}: say {proposed} to approve that, or call it off first \
                 (edgeseal keys cancel-destroy {kid}) and propose {days}"
            )));
        }
        let Some(open) = open else {
            let approval = Approval {
                id: KeyId::random().map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?.to_string(),
                action: SCHEDULE_DESTROY.to_owned(),
                subject: kid.to_owned(),
                detail: serde_json::json!({ "days": days }).to_string(),
                proposer: actor.name().to_owned(),
                proposed_at: moment,
                expires_at: moment.plus_secs(APPROVAL_DAYS * DAY),
                decided: None,
            };
            self.record(actor, "keys.propose-destroy", kid, &approval.detail).await?;
            self.store.propose(&approval).await?;
            return Ok(Done::Proposed(approval));
        };
        self.approve(&open.id, actor).await
    }

    /// Proposals that wait for a second person.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_proposals(&self, moment: Timestamp) -> Result<Vec<Approval>, RegistryError> {
        let mut approvals = self.store.approvals().await?;
        approvals.retain(|approval| approval.decided.is_none() && moment < approval.expires_at);
        Ok(approvals)
    }

    /// Approves what another proposed, and does it.
    ///
    /// # Errors
    /// When it is one's own, or not open, or the rules forbid it by now; [`RegistryError::StillNeeded`] when whoever proposed it
    /// could not by now.
    pub async fn approve(&self, id: &str, actor: &Actor) -> Result<Done, RegistryError> {
        let moment = now();
        let open = self.open_proposals(moment).await?.into_iter().find(|open| open.id == id);
        let open = open.ok_or_else(|| RegistryError::NoProposal(id.to_owned()))?;
        // The same person with another credential is the same person.
        if Actor::person(&open.proposer) == Actor::person(actor.name()) {
            return Err(RegistryError::OwnProposal { proposer: open.proposer, until: open.expires_at });
        }
        self.still_may_propose(&open).await?;
        // Nor is one whom the other has made a moment ago, whichever of the two proposes.
        let new = self.second_person_from(moment).await?;
        for person in [&open.proposer, actor.name()].map(Actor::person) {
            if let Some(&from) = new.get(person) {
                return Err(RegistryError::SecondPersonNew { person: person.to_owned(), from });
            }
        }
        let days = days_of(&open)?;
        let keys = self.store.keys().await?;
        let key = find(&keys, &open.subject)?;
        let command = Command::ScheduleDestroy { days };
        let outcome = lifecycle::decide(&keys, key, command, &self.timing_of(key), moment)?;
        let guard = Guard::Approval { id: open.id, approver: actor.name().to_owned(), at: moment };
        self.carry_out(&keys, key, command, outcome, actor, guard).await
    }

    /// Whether the word of whoever proposed is still that of an administrator. On the signer's own machine nobody has a role, and whom
    /// the store does not know comes by a certificate, which is asked for with every connection.
    async fn still_may_propose(&self, open: &Approval) -> Result<(), RegistryError> {
        let Approval { subject, proposer, .. } = open;
        let person = Actor::person(proposer);
        if *proposer != Actor::administrator(person).name() {
            return Ok(());
        }
        let why = match self.store.user(person).await? {
            Some(user) if user.disabled_at.is_some() => "is disabled",
            Some(user) if user.role != "administrator" => "is no administrator",
            _ => return Ok(()),
        };
        Err(RegistryError::StillNeeded(format!(
            "{person} proposed it and {why} by now: call it off (edgeseal keys cancel-destroy {subject}) and propose it anew"
        )))
    }

    /// Who does not count as one of two people yet, and from when on they do. One administrator can invite a second account, or
    /// take over another's by giving it a new beginning: that shall at least take longer than the others need to see it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn second_person_from(&self, moment: Timestamp) -> Result<BTreeMap<String, Timestamp>, RegistryError> {
        let vouched = self.store.vouched().await?;
        let from = vouched.into_iter().map(|(name, at)| (name, at.plus_secs(self.second_person_after)));
        Ok(from.filter(|(_, from)| moment < *from).collect())
    }

    /// Takes a proposal back; anybody may.
    ///
    /// # Errors
    /// When it is not open.
    pub async fn withdraw(&self, id: &str, actor: &Actor) -> Result<(), RegistryError> {
        let open = self.open_proposals(now()).await?.into_iter().find(|open| open.id == id);
        let open = open.ok_or_else(|| RegistryError::NoProposal(id.to_owned()))?;
        self.record(actor, "keys.withdraw-proposal", &open.subject, &open.detail).await?;
        Ok(self.store.withdraw(id, actor.name(), now()).await?)
    }

    /// Revokes a token, or what a subject was issued: by the name of the issuer, and of the agent where an agent's own key
    /// signed, since its issuer is another one.
    ///
    /// # Errors
    /// When the issuer is not known, the agent never had such a key, or it cannot be meant.
    pub async fn revoke(&self, issuer: &str, agent: Option<&str>, wish: &Wish, actor: &Actor) -> Result<Entry, RegistryError> {
        let refused = |reason: String| RegistryError::NotRevocable(reason);
        let url = self.issuers.get(issuer).ok_or_else(|| {
            let known: Vec<&str> = self.issuers.keys().map(String::as_str).filter(|name| !name.is_empty()).collect();
            refused(format!("no issuer is called {issuer:?}; beside the top-level one there are [{}]", known.join(", ")))
        })?;
        let keys = self.store.keys().await?;
        let of_keys = keys.iter().filter(|key| key.purpose == Purpose::Token && key.issuer == issuer).map(|key| key.max_lifetime);
        let slots = self.slots();
        let of_slots = slots.iter().filter(|slot| slot.issuer == issuer).map(|slot| slot.max_lifetime);
        let longest = of_keys.chain(of_slots).max().unwrap_or_default();
        let (url, longest) = match agent {
            None => (url.clone(), longest),
            Some(agent) => {
                let own = keys.iter().filter(|key| key.agent.as_deref() == Some(agent) && key.issuer == issuer);
                // Nobody saw how long they live; they end with their key.
                let spans = own.filter_map(|key| Some(key.not_after?.millis_since(key.created_at).div_ceil(1_000)));
                let span = spans.max().ok_or_else(|| {
                    refused(format!("agent {agent} never had a key of its own at this issuer, so that there are no such tokens"))
                })?;
                (agent_url(url, agent), longest.max(span))
            }
        };
        let entry = Entry::of_wish(wish, &url, longest, now(), actor.name()).map_err(refused)?;
        self.write_revocation(&entry, revocation::has_room, actor).await?;
        Ok(entry)
    }

    /// Revokes a key: compromises it, or lists it once more if it is compromised already.
    ///
    /// # Errors
    /// When no key has this `kid`, or it is none that signs tokens.
    pub async fn revoke_key(&self, kid: &str, actor: &Actor) -> Result<Done, RegistryError> {
        let key = self.key(kid).await?;
        if key.purpose != Purpose::Token {
            let purpose = key.purpose.as_str();
            let reason =
                format!("key {kid} signs no tokens ({purpose}), so that no edge knows it; edgeseal keys compromise takes it out");
            return Err(RegistryError::NotRevocable(reason));
        }
        if key.state != State::Compromised {
            return self.command(kid, Command::Compromise, actor).await;
        }
        if let Some(entry) = self.entry_of(&key, actor) {
            self.write_revocation(&entry, |_| true, actor).await?;
        }
        Ok(Done::Changed { key: Box::new(key), successor: None, window: None })
    }

    /// What is revoked of a token of this key with this `jti` and `sub`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revocations_of(&self, issuer: &str, kid: &str, jti: &str, sub: &str) -> Result<Vec<Entry>, RegistryError> {
        Ok(self.store.revocations_of(issuer, kid, jti, sub).await?)
    }

    /// What is revoked and not ended, the latest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revocations(&self) -> Result<Vec<Entry>, RegistryError> {
        Ok(self.store.revocations(now()).await?)
    }

    async fn write_revocation(&self, entry: &Entry, fits: fn(&[Entry]) -> bool, actor: &Actor) -> Result<(), RegistryError> {
        // A subject is a claim's value: the log shows it as it shows those.
        let blinding = self.log.as_ref().map_or(&self.blinding, Log::blinding);
        let mut shown = entry.view();
        if entry.kind == Kind::Sub {
            shown.value = blinding.text("sub", &entry.value);
        }
        self.record(actor, "revocations.add", &shown.value, &serde_json::json!(shown).to_string()).await?;
        if self.store.revoke(entry, fits).await? {
            return Ok(());
        }
        let reason = "the list is full, but for what is kept free for keys: edges would take no longer one; revoke the subject \
                      instead, or the key";
        Err(RegistryError::NotRevocable(reason.to_owned()))
    }

    /// What the list says of a revoked key.
    fn entry_of(&self, key: &Key, actor: &Actor) -> Option<Entry> {
        let url = self.issuers.get(&key.issuer).map_or("", String::as_str);
        let url = match &key.agent {
            Some(agent) if !url.is_empty() => agent_url(url, agent),
            _ => url.to_owned(),
        };
        Entry::of_key(key, url, &self.timing_of(key), now(), actor.name())
    }

    /// Takes a step that was due, if the keys that it is decided by say that it still is.
    pub(super) async fn step(
        &self,
        id: KeyId,
        command: Command,
        guard: Guard,
        is_still_due: impl FnOnce(&[Key]) -> bool + Send,
    ) -> Result<Option<Done>, RegistryError> {
        let keys = self.store.keys().await?;
        if !is_still_due(&keys) {
            return Ok(None);
        }
        let Some(key) = keys.iter().find(|key| key.id == id) else { return Err(gone(id)) };
        let outcome = lifecycle::decide(&keys, key, command, &self.timing_of(key), now())?;
        self.carry_out(&keys, key, command, outcome, &Actor::system(), guard).await.map(Some)
    }

    /// Enters into the audit log that a step will be taken which changes the HSM before it changes the store.
    pub(super) async fn announce(&self, id: KeyId, command: Command) -> Result<(), RegistryError> {
        let keys = self.store.keys().await?;
        let Some(key) = keys.iter().find(|key| key.id == id) else { return Err(gone(id)) };
        lifecycle::decide(&keys, key, command, &self.timing_of(key), now())?;
        let kid = key.kid().map_or_else(|| key.id.to_string(), ToOwned::to_owned);
        let detail = serde_json::json!({ "from": key.state.as_str() }).to_string();
        self.record(&Actor::system(), &format!("keys.{}.intent", command.as_str()), &kid, &detail).await
    }

    async fn carry_out(
        &self,
        keys: &[Key],
        key: &Key,
        command: Command,
        outcome: Outcome,
        actor: &Actor,
        guard: Guard,
    ) -> Result<Done, RegistryError> {
        let Outcome { changes, window } = outcome;
        let kid = key.kid().map_or_else(|| key.id.to_string(), ToOwned::to_owned);
        let mut detail = serde_json::json!({ "from": key.state.as_str() });
        if let Command::ScheduleDestroy { days } = command {
            detail["days"] = days.into();
        }
        if let Some(Window { kid, until }) = &window {
            detail["key_not_found_possible"] = serde_json::json!({ "kid": kid, "until": Moment(*until).to_string() });
        }
        let revoked =
            (command == Command::Compromise && key.purpose == Purpose::Token).then(|| self.entry_of(key, actor)).flatten();
        if let Some(revoked) = &revoked {
            detail["revoked_until"] = Moment(revoked.until).to_string().into();
        }
        self.record(actor, &format!("keys.{}", command.as_str()), &kid, &detail.to_string()).await?;
        self.store.apply_and_revoke(&changes, &guard, revoked.as_ref()).await?;
        let changed = |id| changes.iter().find(|change| change.id == id);
        let successor =
            keys.iter().find(|other| other.id != key.id && changed(other.id).is_some_and(|change| change.to == State::Active));
        let successor = successor.and_then(Key::kid).map(ToOwned::to_owned);
        Ok(Done::Changed { key: Box::new(self.read_back(key.id).await?), successor, window })
    }

    /// The one place where a transition enters the audit log: before it is made, and it is not made without.
    pub(crate) async fn record(&self, actor: &Actor, action: &str, subject: &str, detail: &str) -> Result<(), RegistryError> {
        tracing::info!(%actor, action, subject, detail, "key");
        let mut event = Event::new(actor.name(), action.to_owned(), subject);
        if let Ok(Value::Object(members)) = serde_json::from_str(detail) {
            event.detail = members;
        }
        if let Some(log) = &self.log {
            return log.append(event).await.map(drop).map_err(RegistryError::Audit);
        }
        // A command of its own process: a chain of three rows.
        let (log, end) =
            Log::begin(self.store.clone(), AUDIT_PATIENCE, self.blinding.clone()).await.map_err(RegistryError::Audit)?;
        let written = log.append(event).await;
        end.end().await;
        written.map(drop).map_err(RegistryError::Audit)
    }

    pub(super) async fn read_back(&self, id: KeyId) -> Result<Key, RegistryError> {
        self.store.keys().await?.into_iter().find(|key| key.id == id).ok_or_else(|| gone(id))
    }
}

impl Ledger {
    /// When a key's standby takes over by age.
    pub fn rotation(&self, key: &Key) -> Option<Timestamp> {
        let slots = self.slots();
        let slot = slots.iter().find(|slot| slot.holds(key))?;
        let active = (key.state == State::Active).then_some(key.activated_at).flatten()?;
        slot.rotate_after.map(|after| active.plus_secs(after))
    }
}

/// The issuer of an agent's own tokens, beside the one of its profile.
pub fn agent_url(issuer: &str, agent: &str) -> String {
    format!("{issuer}/agents/{agent}")
}

/// After how many days a proposal has its key destroyed.
///
/// # Errors
/// When it says none, which no version of this program wrote.
pub fn days_of(proposal: &Approval) -> Result<u64, StoreError> {
    let detail: Value = serde_json::from_str(&proposal.detail).unwrap_or_default();
    detail["days"].as_u64().ok_or_else(|| StoreError::Corrupt(format!("proposal {} says no days", proposal.id)))
}

fn gone(id: KeyId) -> RegistryError {
    RegistryError::Store(StoreError::Conflict(format!("the key with CKA_ID {id} is gone")))
}

/// The key with this `kid`, with a `kid` that begins so, or with one that listings shorten so: `k4ZtX2…9Q`.
pub(super) fn find<'keys>(keys: &'keys [Key], kid: &str) -> Result<&'keys Key, Refusal> {
    if let Some(key) = keys.iter().find(|key| key.kid() == Some(kid)) {
        return Ok(key);
    }
    let (head, tail) = kid.split_once('…').unwrap_or((kid, ""));
    let is_meant = |other: &str| other.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail));
    let mut beginning = keys.iter().filter(|key| !head.is_empty() && key.kid().is_some_and(is_meant));
    match (beginning.next(), beginning.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Refusal::Ambiguous(kid.to_owned())),
        (None, _) => Err(Refusal::Unknown(kid.to_owned())),
    }
}

/// When a key's present state ends by itself, if it does.
pub fn until(key: &Key, timing: &Timing) -> Option<Timestamp> {
    match key.state {
        State::Retiring => timing.earliest_retirement(key),
        State::DestroyScheduled => key.destroy_at,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use edgeseal_core::Algorithm;

    use super::*;
    use crate::store::StoreSettings;

    const TIMING: Timing =
        Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, publish_ahead: 60, dangerous_activation_delay: None };

    #[tokio::test]
    async fn the_delays_of_a_profile_are_those_of_agents_own_keys_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
        let slot = Slot {
            purpose: Purpose::Token,
            issuer: String::new(),
            profile: "web".to_owned(),
            agent: None,
            algorithm: Algorithm::Es256,
            rsa_bits: 0,
            max_lifetime: 3_600,
            rotate_after: None,
            publish_ahead: DAY,
            valid_for: None,
        };
        let ledger = Ledger::new(store, TIMING, vec![slot]);
        let id = KeyId::random().unwrap();
        let key = |purpose, profile: &str, agent: Option<&str>| Key {
            profile: profile.to_owned(),
            agent: agent.map(ToOwned::to_owned),
            ..Key::generating(id, purpose, Algorithm::Es256, now())
        };
        let ahead = |key: &Key| ledger.timing_of(key).publish_ahead;
        assert_eq!(ahead(&key(Purpose::Token, "web", None)), DAY);
        assert_eq!(ahead(&key(Purpose::Token, "web", Some("shop"))), DAY);
        assert_eq!(ahead(&key(Purpose::Token, "other", None)), 60);
        assert_eq!(ahead(&key(Purpose::Audit, "", None)), 60);
    }
}
