//! The registry: keys in the store and in the HSM, brought together.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use edgeseal_core::{Algorithm, Jwk, Timestamp, jwk::KeyMaterial};

pub use super::ledger::{RegistryError, until};
use super::{
    ActiveKey, Actor, Clock, Key, Ledger, Origin, Published, Purpose, Refusal, Slot, Snapshot, State,
    ledger::Done,
    lifecycle::{self, Command, Timing},
    now,
    rotation::{self, Due},
    snapshot,
    waits::Waits,
};
use crate::{
    hsm::{HsmAttribute, HsmError, KeyId, KeyKind, KeyStore, PrivateKey, Protection, StoreStats, StoredKey},
    store::{Fence, Guard, Store, StoreError},
};

/// Seconds: how long one signer leads before it has to say so again.
pub const LEADERSHIP: u64 = 30;
/// What test signatures are over, with a nonce behind it: never a JWS signing input.
pub(crate) const CANARY: &[u8] = b"edgeseal-canary:";
/// The lease of the signer that tends the keys.
const LEASE: &str = "keys";

/// Keys, wherever they are.
pub struct Registry {
    ledger: Ledger,
    store: Store,
    hsm: Arc<dyn KeyStore>,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Who makes keys of a slot that no configuration lists, one at a time: as many as there are such slots.
    keeping: Mutex<HashMap<SlotName, Arc<tokio::sync::Mutex<()>>>>,
    /// What the HSM would not do of what time brings about, for the time being.
    waits: Mutex<Waits>,
    /// The same of slots whose keys are made when they are asked for.
    refused: Mutex<Waits>,
    /// What the time of day is measured by.
    clock: Clock,
}

/// A slot's purpose, profile and agent.
type SlotName = (Purpose, String, Option<String>);

impl Registry {
    /// A registry over these rows and this HSM; nothing is read yet.
    pub fn new(ledger: Ledger, hsm: Arc<dyn KeyStore>) -> Self {
        let clock = Clock::new(Instant::now(), now(), None);
        Self {
            store: ledger.store.clone(),
            ledger,
            hsm,
            snapshot: RwLock::default(),
            keeping: Mutex::default(),
            waits: Mutex::default(),
            refused: Mutex::default(),
            clock,
        }
    }

    /// Whether what is made now may begin by the time of day.
    pub(crate) fn believes_time(&self) -> bool {
        self.clock.believes(Instant::now(), now())
    }

    /// The same, doubting the time whenever whoever has this clock does.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Its rows.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whether the HSM can generate such keys and sign with them.
    pub fn supports(&self, algorithm: Algorithm, rsa_bits: u16) -> bool {
        self.hsm.supports(algorithm, KeyKind::of(algorithm, rsa_bits))
    }

    /// What the HSM is doing and has done.
    pub fn hsm_stats(&self) -> StoreStats {
        self.hsm.stats()
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The delays it goes by.
    pub fn timing(&self) -> &Timing {
        self.ledger.timing()
    }

    /// Reads the store again and replaces the snapshot.
    ///
    /// # Errors
    /// When the store cannot be read, or holds a JWK that core refuses; then the old snapshot stays.
    pub async fn refresh(&self) -> Result<Arc<Snapshot>, RegistryError> {
        let read_at = Instant::now();
        let keys = self.store.keys().await?;
        let held = self.snapshot();
        if held.is_still(&keys, read_at) {
            return Ok(held);
        }
        Ok(self.hold(Snapshot::of(keys, read_at)?))
    }

    /// Replaces the snapshot, unless a reading that began later has ended sooner: a key that was compromised in between would
    /// sign again. Gives the one that counts.
    fn hold(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let mut held = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if snapshot.is_later_than(&held) {
            *held = Arc::new(snapshot);
        }
        Arc::clone(&held)
    }

    /// Generates a key inside the HSM and publishes it. The row is committed first, so that a crash leaves no key that
    /// nobody knows of.
    ///
    /// # Errors
    /// When the HSM cannot make such a key, or cannot prove that it is kept as asked.
    pub async fn generate(&self, slot: &Slot, label: Option<&str>, actor: &Actor) -> Result<Key, RegistryError> {
        self.generate_guarded(slot, label, actor, &Guard::None).await
    }

    async fn generate_guarded(
        &self,
        slot: &Slot,
        label: Option<&str>,
        actor: &Actor,
        guard: &Guard,
    ) -> Result<Key, RegistryError> {
        let algorithm = slot.algorithm;
        let kind = KeyKind::of(algorithm, slot.rsa_bits);
        if !self.hsm.supports(algorithm, kind) {
            return Err(HsmError::Unsupported(format!(
                "the HSM has no {algorithm} with {kind} keys; `edgeseal doctor` shows what it has"
            ))
            .into());
        }
        // Before there is a row: where the HSM makes no pair now, whoever tries again and again would leave one every time.
        self.hsm.may_generate()?;
        let id = KeyId::random().map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?;
        let moment = now();
        let key = Key {
            issuer: slot.issuer.clone(),
            profile: slot.profile.clone(),
            agent: slot.agent.clone(),
            label: label.map(ToOwned::to_owned),
            rsa_bits: if let KeyKind::Rsa(bits) = kind { bits } else { 0 },
            max_lifetime: slot.max_lifetime,
            not_after: slot.valid_for.map(|seconds| Timestamp::from_secs(moment.plus_secs(seconds).as_secs())),
            ..Key::generating(id, slot.purpose, algorithm, moment)
        };
        // Before the HSM is asked: what could not be published need not be made. Its JWK is of known size.
        let likely = usize::from(key.rsa_bits) / 6 + 256;
        has_room(&self.store.keys().await?, &key, &"x".repeat(likely))?;
        let detail = serde_json::json!({
            "cka_id": id.to_string(), "purpose": slot.purpose.as_str(), "profile": slot.profile, "agent": slot.agent,
            "algorithm": algorithm.name(), "key": kind.to_string(), "label": label,
        });
        self.ledger.record(actor, "keys.generate", &id.to_string(), &detail.to_string()).await?;
        self.store.insert_key(&key, guard).await?;
        let label = label.map_or_else(
            || format!("edgeseal {} {algorithm}", if slot.profile.is_empty() { slot.purpose.as_str() } else { &slot.profile }),
            ToOwned::to_owned,
        );
        let outcome = match self.hsm.generate(id, kind, label).await {
            Ok(stored) => self.publish(&key, stored).await,
            Err(error) => Err(error.into()),
        };
        self.made(&key, outcome).await
    }

    /// What came of a pair that the signer itself put into the HSM.
    async fn made(&self, key: &Key, outcome: Result<Key, RegistryError>) -> Result<Key, RegistryError> {
        // The HSM may still be at it, or have had no time for the test signature, and the store may know more than its answer said:
        // `tend` looks later.
        let unknown = |error: &RegistryError| match error {
            RegistryError::Hsm(error) => matches!(error, HsmError::Deadline(_) | HsmError::Busy),
            RegistryError::Store(error) => matches!(error, StoreError::Unavailable(_)),
            RegistryError::Audit(_) => true,
            _ => false,
        };
        if let Err(error) = &outcome
            && !unknown(error)
        {
            // Where the HSM has not answered, it may be at it all the same.
            let may_come = matches!(error, RegistryError::Hsm(error) if error.is_outage());
            self.abandon(key, error, may_come).await;
        }
        outcome
    }

    /// The active key of a slot that no verifier's JWK Set shows (the audit's, the agents' authority), made if there is none.
    ///
    /// # Errors
    /// The HSM's and the store's; [`Refusal::Suspended`] where a person stopped the key, and nothing is to sign instead.
    pub async fn ensure(&self, slot: &Slot) -> Result<Key, RegistryError> {
        let signing = self.signing(slot).await?;
        signing.ok_or_else(|| StoreError::Conflict(format!("keys for {}", slot.purpose.as_str())).into())
    }

    /// The active key of a slot, made if there is none; nothing as long as the one that is there, or is being made, has to wait.
    async fn signing(&self, slot: &Slot) -> Result<Option<Key>, RegistryError> {
        let command = Command::Activate { emergency: false };
        let stands_in_the_way = |key: &Key| match key.state {
            State::Active => slot.wants(key),
            State::Suspended => slot.holds(key) && slot.purpose.lets_in(),
            _ => false,
        };
        for _ in 0..4 {
            let moment = now();
            let keys = self.store.keys().await?;
            let held = || keys.iter().filter(|key| slot.holds(key));
            if let Some(active) = held().find(|key| key.state == State::Active && slot.wants(key)) {
                return Ok(Some(active.clone()));
            }
            if slot.purpose.lets_in()
                && let Some(suspended) = held().find(|key| key.state == State::Suspended)
            {
                return Err(Refusal::Suspended(suspended.kid().unwrap_or_default().to_owned()).into());
            }
            let standby = rotation::standbys(&keys, slot, moment).min_by_key(|key| key.published_at).cloned();
            let Some(standby) = standby else {
                // Another signer is at it, and verifiers have to know the key first anyway.
                if slot.purpose == Purpose::Token && held().any(|key| rotation::is_being_made(key, moment) && slot.wants(key)) {
                    return Ok(None);
                }
                self.make(slot).await?;
                // Another signer may have made one as well, and let it sign.
                continue;
            };
            let is_still_due = |keys: &[Key]| !keys.iter().any(stands_in_the_way);
            match self.ledger.step(standby.id, command, Guard::None, is_still_due).await {
                Err(RegistryError::Refused(Refusal::TooEarly { .. })) => return Ok(None),
                // Another signer was faster: its key is the one.
                Ok(None) | Err(RegistryError::Store(StoreError::Conflict(_)) | RegistryError::Refused(_)) => {}
                Err(error) => return Err(error),
                Ok(Some(Done::Proposed(_))) => return Err(StoreError::Corrupt("an activation was proposed".to_owned()).into()),
                Ok(Some(Done::Changed { key, .. })) => return Ok(Some(*key)),
            }
        }
        Err(StoreError::Conflict(format!("keys for {}", slot.purpose.as_str())).into())
    }

    /// Makes a key that is asked for and not there. Agents and edges have it asked for again and again: where the HSM answered and made none,
    /// that was its answer for a while. A person may have mended it, and asks at once: so do exports and invitations for the log's and the
    /// authority's.
    async fn make(&self, slot: &Slot) -> Result<Key, RegistryError> {
        let system = Actor::system();
        let made = self.generate(slot, None, &system);
        if slot.agent.is_none() && slot.purpose != Purpose::Control {
            return made.await;
        }
        let due = Due::Generate(slot.clone());
        if let Some(refused) = self.refused().holds(&due, Instant::now()) {
            return Err(refused.clone());
        }
        let made = made.await;
        match &made {
            Err(error) if error.is_of_the_key() => {
                let seconds = self.refused().begin(&due, error, Instant::now()).as_secs();
                let (purpose, profile, agent) = (slot.purpose.as_str(), &slot.profile, &slot.agent);
                tracing::warn!(purpose, profile, agent, seconds, %error, "the HSM made no key; it is asked again after this time, or a restart");
            }
            _ => self.refused().end(&due),
        }
        made
    }

    /// Whether [`Registry::keep`] has something to do for a slot whose active key ends at `not_after`.
    pub fn needs_care(&self, slot: &Slot, not_after: Timestamp) -> bool {
        rotation::ends_soon(slot, not_after, &slot.timing(self.timing()), now())
    }

    /// Makes the first key of a slot that the configuration does not list, and later its standby, and lets that take over: for
    /// keys that are tended only while somebody asks for them. That nothing signs yet, since verifiers have to know the key
    /// first, or since a person suspended it, is no failure. Nor is it that nothing changes for tokens while the time is not
    /// believed, and that a first key waits as well: when it was published and when it ends would be wrong for good.
    ///
    /// # Errors
    /// The HSM's and the store's.
    pub async fn keep(&self, slot: &Slot) -> Result<(), RegistryError> {
        // Each of many that ask at once would make a key.
        let keeping = {
            let mut keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(keeping.entry((slot.purpose, slot.profile.clone(), slot.agent.clone())).or_default())
        };
        let _one_at_a_time = keeping.lock().await;
        if slot.purpose == Purpose::Token && !self.believes_time() {
            return Ok(());
        }
        match self.signing(slot).await {
            Ok(Some(_)) => {}
            Ok(None) | Err(RegistryError::Refused(Refusal::Suspended(_))) => return Ok(()),
            Err(error) => return Err(error),
        }
        let plan = |keys: &[Key]| rotation::plan(keys, std::slice::from_ref(slot), self.timing(), now());
        for due in plan(&self.store.keys().await?) {
            match &due {
                Due::Generate(slot) => drop(self.make(slot).await?),
                Due::Step(id, command @ Command::Activate { .. }) => {
                    // Another signer may have been faster.
                    match self.ledger.step(*id, *command, Guard::None, |keys| plan(keys).contains(&due)).await {
                        Ok(_) | Err(RegistryError::Store(StoreError::Conflict(_)) | RegistryError::Refused(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                // What ends by time alone is the leader's to see to.
                Due::Step(..) => {}
            }
        }
        Ok(())
    }

    /// Marks a pair that somebody else put into the token under this `CKA_ID` as a key of this slot: imported, for good.
    ///
    /// # Errors
    /// When there is no such pair, or it does not sign.
    pub async fn import(&self, slot: &Slot, id: KeyId, actor: &Actor) -> Result<Key, RegistryError> {
        let kind = KeyKind::of(slot.algorithm, slot.rsa_bits);
        let stored = self.hsm.inspect(id, kind).await?.ok_or(HsmError::KeyMissing(id))?;
        // The HSM says no sizes of its own; any other kind it has refused by now.
        let found = if let KeyMaterial::Rsa { n, .. } = stored.public_key.material() { KeyKind::of_modulus(n) } else { kind };
        if found != kind {
            return Err(other_kind(found, slot, kind));
        }
        let key = Key {
            origin: Origin::Imported,
            issuer: slot.issuer.clone(),
            profile: slot.profile.clone(),
            rsa_bits: if let KeyKind::Rsa(bits) = kind { bits } else { 0 },
            max_lifetime: slot.max_lifetime,
            ..Key::generating(id, slot.purpose, slot.algorithm, now())
        };
        if let Ok(jwk) = Jwk::new(stored.public_key.clone(), Some(slot.algorithm), Some(stored.public_key.thumbprint())) {
            has_room(&self.store.keys().await?, &key, &jwk.to_json())?;
        }
        let detail = serde_json::json!({ "cka_id": id.to_string(), "profile": slot.profile, "key": kind.to_string() });
        self.ledger.record(actor, "keys.import", &id.to_string(), &detail.to_string()).await?;
        self.store.insert_key(&key, &Guard::None).await?;
        match self.publish(&key, stored).await {
            Ok(key) => Ok(key),
            Err(error) => {
                // Whoever put it there may want it back: the row fails, the pair stays.
                self.forget(&key, &error).await;
                Err(error)
            }
        }
    }

    /// Takes a private key in that was made elsewhere, under a row that is committed first: imported, for good.
    ///
    /// # Errors
    /// When it is of another kind than the slot's, or the HSM does not take it.
    pub async fn import_private(
        &self,
        slot: &Slot,
        private: PrivateKey,
        label: Option<&str>,
        actor: &Actor,
    ) -> Result<Key, RegistryError> {
        let wanted = KeyKind::of(slot.algorithm, slot.rsa_bits);
        if private.kind() != wanted {
            return Err(other_kind(private.kind(), slot, wanted));
        }
        let kid = private.public_key().map_err(RegistryError::Unsound)?.thumbprint();
        if self.store.keys().await?.iter().any(|key| key.kid() == Some(&kid)) {
            return Err(StoreError::Exists(format!("the key {kid} is known already; edgeseal keys list --all shows it")).into());
        }
        self.hsm.may_generate()?;
        let id = KeyId::random().map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?;
        let key = Key {
            origin: Origin::Entering,
            issuer: slot.issuer.clone(),
            profile: slot.profile.clone(),
            label: label.map(ToOwned::to_owned),
            rsa_bits: if let KeyKind::Rsa(bits) = wanted { bits } else { 0 },
            max_lifetime: slot.max_lifetime,
            ..Key::generating(id, slot.purpose, slot.algorithm, now())
        };
        let detail = serde_json::json!({
            "cka_id": id.to_string(), "profile": slot.profile, "key": wanted.to_string(), "kid": kid, "from": "shares",
        });
        self.ledger.record(actor, "keys.import", &id.to_string(), &detail.to_string()).await?;
        self.store.insert_key(&key, &Guard::None).await?;
        let label = label.map_or_else(|| format!("edgeseal {} {} imported", slot.profile, slot.algorithm), ToOwned::to_owned);
        let outcome = match self.hsm.import(id, private, label).await {
            Ok(stored) => self.publish(&key, stored).await,
            Err(error) => Err(error.into()),
        };
        self.made(&key, outcome).await
    }

    /// What the HSM says of a key, attribute by attribute.
    ///
    /// # Errors
    /// The HSM's.
    pub async fn attributes(&self, id: KeyId) -> Result<Vec<HsmAttribute>, RegistryError> {
        Ok(self.hsm.attributes(id).await?)
    }

    /// What time brings about by itself, if this signer leads or comes to lead: settles rows that a crash left
    /// `generating`, by adopting the key if it is whole and sound, else by removing what there is of it, or comes late; makes
    /// standbys, and rotates, if that is `automatic`; retires, expires and destroys what is due. `holder` names this process.
    /// Whether it leads is the answer.
    ///
    /// # Errors
    /// When the store cannot be read; single keys that do not work out are logged and tried again next time.
    pub async fn tend(&self, holder: &str, automatic: bool) -> Result<bool, RegistryError> {
        let Some(_) = self.lead(holder).await? else { return Ok(false) };
        let moment = now();
        for key in self.store.keys().await? {
            let settled = match key.state {
                State::Generating if rotation::is_orphaned(&key, moment) => self.settle(&key).await,
                State::Failed if key.destroyed_at.is_none() && key.origin != Origin::Imported => self.look_again(&key).await,
                _ => Ok(()),
            };
            if let Err(error) = settled {
                tracing::warn!(key = %key.id, %error, "settling a key");
            }
        }
        let slots = self.ledger.slots();
        // A key that was made while its profile changed has the longest lifetime of before.
        self.allow_lifetimes(&slots.iter().map(|slot| (slot.profile.as_str(), slot.max_lifetime)).collect()).await?;
        let slots = if automatic { slots } else { Arc::default() };
        // Twice, since a first key may sign as soon as it is there.
        for _ in 0..2 {
            let mut generated = false;
            let all_due = self.due(&self.store.keys().await?, &slots);
            self.waits().retain(&all_due);
            for due in all_due {
                if self.waits().holds(&due, Instant::now()).is_some() {
                    continue;
                }
                // Generating may have taken long, and the clock may have been set meanwhile.
                let Some(fence) = self.lead(holder).await? else { return Ok(false) };
                if !self.believes_time() {
                    return Ok(true);
                }
                match self.do_what_is_due(&due, fence).await {
                    Ok(()) => generated |= matches!(due, Due::Generate(_)),
                    Err(error) => tracing::warn!(?due, %error, "tending the keys"),
                }
            }
            if !generated {
                break;
            }
        }
        Ok(true)
    }

    /// Lets another signer lead at once.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn step_down(&self, holder: &str) -> Result<(), RegistryError> {
        if let Some(fence) = self.lead(holder).await? {
            self.store.give_lease_back(&fence).await?;
        }
        Ok(())
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Waits> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lead(&self, holder: &str) -> Result<Option<Fence>, RegistryError> {
        let moment = now();
        Ok(self.store.take_lease(LEASE, holder, moment, moment.plus_secs(LEADERSHIP)).await?)
    }

    fn due(&self, keys: &[Key], slots: &[Slot]) -> Vec<Due> {
        let mut due = rotation::wind_down(keys, &self.ledger.retired(), self.timing(), now());
        due.extend(rotation::plan(keys, slots, self.timing(), now()));
        due
    }

    async fn do_what_is_due(&self, due: &Due, fence: Fence) -> Result<(), RegistryError> {
        match due {
            Due::Generate(slot) => {
                // This signer may have slept since it planned, while another made the key; and the profile may be another.
                let keys = self.store.keys().await?;
                let Some(slot) = rotation::still_wanted(slot, &keys, &self.ledger.slots(), self.timing(), now()) else {
                    return Ok(());
                };
                // Calls that are held back are none that failed.
                self.hsm.may_generate()?;
                let made = self.generate_guarded(&slot, None, &Actor::system(), &Guard::Fence(fence)).await;
                if let Err(error) = &made
                    && is_of_the_hsm(error)
                {
                    let seconds = self.waits().begin(&Due::Generate(slot.clone()), error, Instant::now()).as_secs();
                    tracing::warn!(
                        profile = slot.profile,
                        seconds,
                        "the HSM made no key; rotation asks again after this time, `edgeseal keys generate` at once"
                    );
                }
                let key = made?;
                tracing::info!(kid = key.kid(), profile = slot.profile, "published a standby");
            }
            Due::Step(id, Command::Destroy) => {
                // Calls that are held back are none that failed, and nothing is announced for them. A pair whose making hangs is in nobody's way.
                if let Err(error) = self.hsm.may_generate()
                    && error.is_outage()
                {
                    return Err(error.into());
                }
                // No row, no destruction. Then first in the HSM, where it can be repeated, and in the store, which says that it was
                // proved.
                self.ledger.announce(*id, Command::Destroy).await?;
                // Writing that took its time, and this cannot be taken back.
                if !self.believes_time() {
                    return Ok(());
                }
                if let Err(error) = self.hsm.destroy(*id).await {
                    let error = error.into();
                    if is_of_the_hsm(&error) {
                        let seconds = self.waits().begin(due, &error, Instant::now()).as_secs();
                        tracing::warn!(key = %id, seconds, "the HSM has not destroyed the key; it is told again after this time");
                    }
                    return Err(error);
                }
                self.ledger.step(*id, Command::Destroy, Guard::Fence(fence), |_| true).await?;
            }
            Due::Step(id, command) => {
                // What was due before this one may have taken minutes, in which a person suspended the key that signs.
                let is_still_due = |keys: &[Key]| self.due(keys, &self.ledger.slots()).contains(due);
                self.ledger.step(*id, *command, Guard::Fence(fence), is_still_due).await?;
            }
        }
        Ok(())
    }

    /// Raises what the keys of profiles remember as the longest lifetime of their tokens, to these seconds by profile.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn allow_lifetimes(&self, seconds: &BTreeMap<&str, u64>) -> Result<(), StoreError> {
        for key in self.store.keys().await? {
            let Some(seconds) = seconds.get(key.profile.as_str()) else { continue };
            if key.purpose == Purpose::Token
                && matches!(key.state, State::Generating | State::Published | State::Active | State::Suspended)
                && key.max_lifetime < *seconds
            {
                self.store.allow_lifetime(key.id, *seconds).await?;
            }
        }
        Ok(())
    }

    /// The same for one key, whatever has become of it meanwhile.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(crate) async fn allow_lifetime(&self, id: KeyId, seconds: u64) -> Result<(), RegistryError> {
        self.store.allow_lifetime(id, seconds).await?;
        // Whoever comes next need not write it again.
        self.refresh().await.map(drop)
    }

    /// Signs with a key, and does not check the signature: [`crate::issue::Issuer`] verifies the whole token.
    pub(crate) async fn sign_unverified(
        &self,
        id: KeyId,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, RegistryError> {
        Ok(self.hsm.sign(id, algorithm, message.to_vec()).await?)
    }

    /// Signs a digest, and does not check the signature either.
    pub(crate) async fn sign_digest_unverified(
        &self,
        id: KeyId,
        algorithm: Algorithm,
        digest: Vec<u8>,
    ) -> Result<Vec<u8>, RegistryError> {
        Ok(self.hsm.sign_digest(id, algorithm, digest).await?)
    }

    /// Proves that a key signs: over `edgeseal-canary:` and a nonce, never over anything that could be a token.
    ///
    /// # Errors
    /// The HSM's, or [`RegistryError::Unsound`] when the signature does not verify.
    pub async fn canary(&self, key: &ActiveKey) -> Result<Duration, RegistryError> {
        let [jwk] = key.alone.keys() else { return Err(RegistryError::Unsound("no single key".to_owned())) };
        let began = Instant::now();
        self.prove(key.id, jwk, key.algorithm).await?;
        Ok(began.elapsed())
    }

    /// A test signature that nobody looks at, to measure the HSM alone.
    ///
    /// # Errors
    /// The HSM's.
    pub async fn canary_unverified(&self, key: &ActiveKey) -> Result<(), RegistryError> {
        self.sign_unverified(key.id, key.algorithm, CANARY).await.map(drop)
    }

    async fn prove(&self, id: KeyId, jwk: &Jwk, algorithm: Algorithm) -> Result<(), RegistryError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| HsmError::Unavailable(format!("no randomness: {error}")))?;
        let message = [CANARY, &nonce].concat();
        let signature = self.sign_unverified(id, algorithm, &message).await?;
        jwk.verify_signature(algorithm, &message, &signature)
            .map_err(|error| RegistryError::Unsound(format!("a test signature of key {id} does not verify ({error})")))
    }

    async fn publish(&self, key: &Key, stored: StoredKey) -> Result<Key, RegistryError> {
        let protection = stored.protection;
        let kept = match key.origin {
            Origin::Generated => protection.is_complete(),
            Origin::Entering => protection.value_refused,
            Origin::Imported => true,
        };
        if !kept {
            return Err(RegistryError::Unsound(format!("the key is not kept as asked: {protection:?}")));
        }
        let kid = stored.public_key.thumbprint();
        let jwk = Jwk::new(stored.public_key, Some(key.algorithm), Some(kid.clone()))
            .map_err(|problem| RegistryError::Unsound(format!("the public key is refused: {}", problem.as_str())))?;
        self.prove(key.id, &jwk, key.algorithm).await?;
        let mut text = jwk.to_json();
        if let (Some(not_after), Some(open)) = (key.not_after, text.strip_suffix('}')) {
            text = format!("{open},\"exp\":{}}}", not_after.as_secs());
        }
        let published = Published { kid, jwk: text };
        // The row that ties the `kid`, by which every later one speaks of the key, to the pair that was made, and to what the HSM says of it.
        let Protection { always_sensitive, never_extractable, local, value_refused } = protection;
        let detail = serde_json::json!({
            "cka_id": key.id.to_string(), "profile": key.profile, "agent": key.agent, "always_sensitive": always_sensitive,
            "never_extractable": never_extractable, "local": local, "value_refused": value_refused,
        });
        self.ledger.record(&Actor::system(), "keys.publish", &published.kid, &detail.to_string()).await?;
        let mut room = Ok(());
        // Within the transaction: another process may publish keys of the same set.
        let fits = |keys: &[Key]| {
            room = has_room(keys, key, &published.jwk);
            room.is_ok()
        };
        self.store.publish(&lifecycle::publish(key, now())?, &published, key.origin.published(), fits).await?;
        room?;
        self.ledger.read_back(key.id).await
    }

    /// The pair signs to prove itself, and the row that tells of it was written by whoever crashed, perhaps long ago.
    async fn adopt(&self, key: &Key, stored: StoredKey) -> Result<Key, RegistryError> {
        let kid = stored.public_key.thumbprint();
        // An import whose answer was late, and that was repeated meanwhile. This row has published nothing, so that its pair is
        // not the other one's; and it shall not stay when that is destroyed.
        if self.store.keys().await?.iter().any(|other| other.id != key.id && other.kid() == Some(&kid)) {
            return Err(RegistryError::Unsound(format!("another row has the key {kid}")));
        }
        let detail = serde_json::json!({ "profile": key.profile, "agent": key.agent, "kid": kid });
        self.ledger.record(&Actor::system(), "keys.adopt", &key.id.to_string(), &detail.to_string()).await?;
        self.publish(key, stored).await
    }

    async fn settle(&self, key: &Key) -> Result<(), RegistryError> {
        // A call that hangs may come to its end when nobody waits for it any more.
        let may_come = rotation::may_come(key, now());
        let outcome = match self.hsm.inspect(key.id, key.kind()).await {
            Ok(Some(stored)) => self.adopt(key, stored).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(Some(adopted)) => tracing::warn!(kid = adopted.kid(), "adopted a key whose generation was cut short"),
            Ok(None) => self.abandon(key, &HsmError::KeyMissing(key.id).into(), may_come).await,
            Err(error) if !is_final(&error) => return Err(error),
            // Somebody else may have put it there, and may want it back: the row fails, the pair stays.
            Err(error) if key.origin == Origin::Imported => {
                self.forget(key, &error).await;
            }
            Err(error) => self.abandon(key, &error, may_come).await,
        }
        Ok(())
    }

    /// Says in the store that a key did not come to be, and removes what there is of it. The store first: another signer
    /// may have adopted the pair meanwhile, and then it is not ours to remove. `may_come`: the HSM may still be making it.
    async fn abandon(&self, key: &Key, why: &RegistryError, may_come: bool) {
        if self.forget(key, why).await
            && let Err(error) = self.remove(key, may_come).await
        {
            // The row says failed and not destroyed, so that `tend` tries again.
            tracing::warn!(key = %key.id, %error, "what there is of it could not be removed yet");
        }
    }

    /// Whether the store says now that the key failed.
    async fn forget(&self, key: &Key, why: &RegistryError) -> bool {
        tracing::warn!(key = %key.id, %why, "a key did not come to be");
        let Ok(change) = lifecycle::fail(key, now()) else { return false };
        match self.store.apply(&[change], &Guard::None).await {
            Ok(()) => true,
            Err(StoreError::Conflict(_)) => self.ledger.read_back(key.id).await.is_ok_and(|row| row.state == State::Failed),
            Err(error) => {
                tracing::warn!(key = %key.id, %error, "its failure could not be recorded yet");
                false
            }
        }
    }

    /// Looks for the pair of a key that failed, which may have come by now or could not be removed before. No row leaves that state, so
    /// that nobody else adopts the pair meanwhile.
    async fn look_again(&self, key: &Key) -> Result<(), RegistryError> {
        let may_come = rotation::may_come(key, now());
        match self.hsm.inspect(key.id, key.kind()).await {
            Ok(None) if may_come => return Ok(()),
            Ok(Some(_)) => tracing::warn!(key = %key.id, "the HSM holds the pair of a key that failed; it is destroyed"),
            // Half of a pair, or an outage, of which the next call speaks.
            Ok(None) | Err(_) => {}
        }
        self.remove(key, may_come).await
    }

    /// Removes what there is of a key that failed; for good, unless its pair may still come.
    async fn remove(&self, key: &Key, may_come: bool) -> Result<(), RegistryError> {
        self.hsm.destroy(key.id).await?;
        if may_come {
            return Ok(());
        }
        Ok(self.store.apply(&[lifecycle::removed(key, now())], &Guard::None).await?)
    }
}

/// Whether the JWK Set of this key can show one more.
fn has_room(keys: &[Key], key: &Key, jwk: &str) -> Result<(), RegistryError> {
    match snapshot::overflow(keys, key, jwk) {
        Some((count, octets)) if key.purpose == Purpose::Token => Err(RegistryError::TooManyKeys { count, octets }),
        _ => Ok(()),
    }
}

fn other_kind(found: KeyKind, slot: &Slot, wanted: KeyKind) -> RegistryError {
    HsmError::Refused(format!("the key is {found}, and profile {} takes {wanted}", slot.profile)).into()
}

/// Whether a pair that was left will be no key of its row, however often it is looked at. A conflict in the store is not: it may
/// be with a transaction of that moment.
fn is_final(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unsound(_) | RegistryError::TooManyKeys { .. } => true,
        RegistryError::Hsm(error) => {
            matches!(error, HsmError::Refused(_) | HsmError::Unsupported(_) | HsmError::KeyAmbiguous(..))
        }
        _ => false,
    }
}

/// Whether a key was not made since the HSM would not, or could not make a good one. One that is busy has not been asked.
fn is_of_the_hsm(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unsound(_) => true,
        RegistryError::Hsm(error) => !matches!(error, HsmError::Busy),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hsm::memory::MemoryKeyStore,
        keys::{Change, Mark},
        store::StoreSettings,
    };

    const TIMING: Timing =
        Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, publish_ahead: 0, dangerous_activation_delay: Some(0) };

    struct World {
        registry: Arc<Registry>,
        hsm: Arc<MemoryKeyStore>,
        store: Store,
        folder: tempfile::TempDir,
    }

    impl World {
        async fn new(slots: Vec<Slot>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&StoreSettings::Sqlite(folder.path().join("store.db"))).await.unwrap();
            let hsm = Arc::new(MemoryKeyStore::default());
            let registry = Arc::new(Registry::new(Ledger::new(store.clone(), TIMING, slots), hsm.clone()));
            Self { registry, hsm, store, folder }
        }

        async fn key(&self, id: KeyId) -> Key {
            self.store.keys().await.unwrap().into_iter().find(|key| key.id == id).unwrap()
        }

        /// As if a process had written it and died long ago.
        async fn left(&self, origin: Origin) -> KeyId {
            self.left_at(origin, Timestamp::from_secs(1_700_000_000)).await
        }

        async fn left_at(&self, origin: Origin, then: Timestamp) -> KeyId {
            let id = KeyId::random().unwrap();
            let key = Key { origin, profile: "web".to_owned(), ..Key::generating(id, Purpose::Token, Algorithm::Es256, then) };
            self.store.insert_key(&key, &Guard::None).await.unwrap();
            id
        }
    }

    fn slot(purpose: Purpose, profile: &str) -> Slot {
        Slot {
            purpose,
            issuer: String::new(),
            profile: profile.to_owned(),
            agent: None,
            algorithm: Algorithm::Es256,
            rsa_bits: 0,
            max_lifetime: 3_600,
            rotate_after: None,
            publish_ahead: 0,
            valid_for: None,
        }
    }

    #[tokio::test]
    async fn a_second_pair_of_a_key_that_is_known_is_taken_out_again() {
        let world = World::new(Vec::new()).await;
        let pair = MemoryKeyStore::pair();
        // An import whose answer was late, and that was repeated.
        let (late, repeated) = (world.left(Origin::Entering).await, KeyId::random().unwrap());
        let of_another = world.left(Origin::Imported).await;
        for id in [late, repeated, of_another] {
            world.hsm.put(id, &pair);
        }
        world.registry.import(&slot(Purpose::Token, "web"), repeated, &Actor::system()).await.unwrap();
        world.registry.tend("holder", false).await.unwrap();
        let (late_row, other_row) = (world.key(late).await, world.key(of_another).await);
        assert_eq!((late_row.state, late_row.destroyed_at.is_some(), world.hsm.holds(late)), (State::Failed, true, false));
        // Whoever put that one there may want it back.
        assert_eq!((other_row.state, world.hsm.holds(of_another)), (State::Failed, true));
        assert_eq!((world.key(repeated).await.state, world.hsm.holds(repeated)), (State::Published, true));
        let rows = world.store.audit_sums().await.unwrap();
        world.registry.tend("holder", false).await.unwrap();
        assert_eq!(world.store.audit_sums().await.unwrap(), rows, "nothing is adopted, again and again");
    }

    #[tokio::test]
    async fn a_pair_is_given_up_for_what_it_is_and_not_for_an_outage() {
        let world = World::new(Vec::new()).await;
        let id = world.left(Origin::Generated).await;
        world.hsm.put(id, &MemoryKeyStore::pair());
        for fault in [
            HsmError::Unavailable("gone".to_owned()),
            HsmError::Deadline(Duration::from_secs(1)),
            HsmError::Busy,
            HsmError::KeyMissing(id),
        ] {
            world.hsm.show(Some(fault.clone()));
            world.registry.tend("holder", false).await.unwrap();
            assert_eq!((world.key(id).await.state, world.hsm.holds(id)), (State::Generating, true), "{fault:?}");
        }
        for fault in [
            HsmError::KeyAmbiguous(id, 2),
            HsmError::Unsupported("PSS".to_owned()),
            HsmError::Refused("half of a pair".to_owned()),
        ] {
            let id = world.left(Origin::Generated).await;
            world.hsm.put(id, &MemoryKeyStore::pair());
            world.hsm.show(Some(fault.clone()));
            world.registry.tend("holder", false).await.unwrap();
            assert_eq!((world.key(id).await.state, world.hsm.holds(id)), (State::Failed, false), "{fault:?}");
        }
    }

    #[tokio::test]
    async fn a_pair_that_comes_after_its_row_failed_is_taken_out_again() {
        let world = World::new(Vec::new()).await;
        let ago = |seconds| Timestamp::from_secs(now().as_secs() - seconds);
        let late = world.left_at(Origin::Generated, ago(rotation::ORPHANED_AFTER)).await;
        // Its row is new: somebody is at it.
        let in_time = world.left_at(Origin::Generated, ago(10)).await;
        let long_ago = world.left(Origin::Generated).await;
        world.registry.tend("holder", false).await.unwrap();
        assert_eq!((world.key(late).await.state, world.key(in_time).await.state), (State::Failed, State::Generating));
        let long_ago = world.key(long_ago).await;
        assert_eq!((long_ago.state, long_ago.destroyed_at.is_some()), (State::Failed, true), "nothing comes any more");
        for id in [late, in_time] {
            world.hsm.put(id, &MemoryKeyStore::pair());
        }
        world.registry.tend("holder", false).await.unwrap();
        assert_eq!((world.hsm.holds(late), world.hsm.holds(in_time)), (false, true));
        assert_eq!((world.key(late).await.destroyed_at, world.key(in_time).await.state), (None, State::Generating));
    }

    #[tokio::test]
    async fn a_pair_that_comes_after_the_hsm_went_away_is_taken_out_again() {
        let world = World::new(Vec::new()).await;
        world.hsm.fails(HsmError::Unavailable("an HSM worker ended".to_owned()));
        world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::system()).await.unwrap_err();
        let lost = world.store.keys().await.unwrap()[0].clone();
        assert_eq!((lost.state, lost.destroyed_at), (State::Failed, None));
        world.hsm.put(lost.id, &MemoryKeyStore::pair());
        world.registry.tend("holder", false).await.unwrap();
        assert!(!world.hsm.holds(lost.id));
        // Where the HSM said no, nothing comes.
        world.hsm.fails(HsmError::Refused("CKR_DEVICE_MEMORY".to_owned()));
        world.registry.generate(&slot(Purpose::Token, "app"), None, &Actor::system()).await.unwrap_err();
        let refused = world.store.keys().await.unwrap().into_iter().find(|key| key.profile == "app").unwrap();
        assert_eq!((refused.state, refused.destroyed_at.is_some()), (State::Failed, true));
    }

    #[tokio::test]
    async fn whoever_still_waits_when_a_pair_comes_late_takes_it_out_again() {
        let world = World::new(Vec::new()).await;
        let store = world.store.clone();
        world.hsm.meanwhile(move || {
            let store = store.clone();
            async move {
                let key = store.keys().await.unwrap().remove(0);
                store.apply(&[lifecycle::fail(&key, now()).unwrap()], &Guard::None).await.unwrap();
            }
        });
        world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::system()).await.unwrap_err();
        let late = world.store.keys().await.unwrap().remove(0);
        assert_eq!((late.state, world.hsm.holds(late.id)), (State::Failed, false));
    }

    #[tokio::test]
    async fn nothing_is_written_for_a_key_that_the_hsm_would_not_make() {
        let world = World::new(vec![slot(Purpose::Token, "web")]).await;
        world.hsm.makes_none(HsmError::Unavailable("calls are held back".to_owned()));
        let refused = world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::system()).await.unwrap_err();
        assert!(refused.to_string().contains("held back"), "{refused}");
        world.registry.tend("holder", true).await.unwrap();
        assert_eq!(world.store.keys().await.unwrap(), []);
        assert_eq!(world.store.audit_sums().await.unwrap().0, 0);
    }

    #[tokio::test]
    async fn an_hsm_that_makes_no_key_is_not_asked_again_and_again() {
        let world = World::new(vec![slot(Purpose::Token, "web")]).await;
        world.hsm.fails(HsmError::Refused("CKR_USER_NOT_LOGGED_IN".to_owned()));
        for _ in 0..5 {
            world.registry.tend("holder", true).await.unwrap();
        }
        let states = async || world.store.keys().await.unwrap().iter().map(|key| key.state).collect::<Vec<_>>();
        assert_eq!(states().await, [State::Failed]);
        // People are not held back, and once there is a key nothing waits.
        world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::local()).await.unwrap_err();
        assert_eq!(states().await, [State::Failed, State::Failed]);
        world.hsm.works();
        world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::local()).await.unwrap();
        for _ in 0..2 {
            world.registry.tend("holder", true).await.unwrap();
        }
        let mut states = states().await;
        states.sort_by_key(|state| state.as_str());
        assert_eq!(states, [State::Active, State::Failed, State::Failed, State::Published]);
    }

    #[tokio::test]
    async fn an_hsm_that_destroys_no_key_is_not_told_again_and_again() {
        let world = World::new(Vec::new()).await;
        let key = world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::system()).await.unwrap();
        let set = vec![(Mark::Destroy, Some(Timestamp::from_secs(1)))];
        let change = Change { id: key.id, from: State::Published, to: State::DestroyScheduled, set };
        world.store.apply(&[change], &Guard::None).await.unwrap();
        let rows = async || world.store.audit_sums().await.unwrap();
        // Held back: nothing is announced.
        let before = rows().await;
        world.hsm.makes_none(HsmError::Unavailable("calls are held back".to_owned()));
        world.registry.tend("holder", true).await.unwrap();
        assert_eq!(rows().await, before);
        world.hsm.works();
        world.hsm.keeps(Some(HsmError::Refused("CKR_ACTION_PROHIBITED".to_owned())));
        world.registry.tend("holder", true).await.unwrap();
        let announced = rows().await;
        assert_ne!(announced, before);
        for _ in 0..5 {
            world.registry.tend("holder", true).await.unwrap();
        }
        assert_eq!((rows().await, world.key(key.id).await.state), (announced, State::DestroyScheduled));
        // When it is told again, it does so.
        world.hsm.keeps(None);
        world.registry.waits().end(&Due::Step(key.id, Command::Destroy));
        world.registry.tend("holder", true).await.unwrap();
        assert_eq!((world.key(key.id).await.state, world.hsm.holds(key.id)), (State::Destroyed, false));
    }

    #[tokio::test]
    async fn whoever_asks_for_a_key_of_their_own_asks_an_hsm_that_makes_none_once() {
        let world = World::new(Vec::new()).await;
        let of = |agent: &str| Slot { agent: Some(agent.to_owned()), ..slot(Purpose::Token, "web") };
        let made = async || world.store.keys().await.unwrap().len();
        world.hsm.fails(HsmError::Refused("CKR_DEVICE_MEMORY".to_owned()));
        for _ in 0..5 {
            let refused = world.registry.keep(&of("app")).await.unwrap_err();
            assert!(refused.to_string().contains("CKR_DEVICE_MEMORY"), "{refused}");
        }
        assert_eq!(made().await, 1);
        world.registry.keep(&of("shop")).await.unwrap_err();
        assert_eq!(made().await, 2);
        // It may be mended, and is asked later; for what a person asks for, at once.
        world.registry.ensure(&slot(Purpose::Ca, "")).await.unwrap_err();
        world.hsm.works();
        world.registry.keep(&of("app")).await.unwrap_err();
        world.registry.ensure(&slot(Purpose::Ca, "")).await.unwrap();
        world.registry.refused().end(&Due::Generate(of("app")));
        world.registry.keep(&of("app")).await.unwrap();
        assert_eq!(made().await, 6, "its key and a standby, the authority's, and three that failed");
    }

    #[tokio::test]
    async fn a_clock_that_is_set_while_a_key_is_made_brings_nothing_about() {
        let World { registry: _, hsm, store, folder: _folder } = World::new(Vec::new()).await;
        let clock = Clock::new(Instant::now(), now(), None);
        let ledger = Ledger::new(store.clone(), TIMING, vec![slot(Purpose::Token, "web")]);
        let registry = Registry::new(ledger, hsm.clone()).with_clock(clock.clone());
        hsm.meanwhile(move || {
            let clock = clock.clone();
            async move {
                assert!(!clock.believes(Instant::now(), now().plus_secs(40 * 86_400)));
            }
        });
        registry.tend("holder", true).await.unwrap();
        let states: Vec<State> = store.keys().await.unwrap().iter().map(|key| key.state).collect();
        assert_eq!(states, [State::Published], "a first key signs at once otherwise");
    }

    #[tokio::test]
    async fn a_standby_does_not_sign_for_a_key_that_was_suspended_while_another_was_made() {
        let mut rotated = slot(Purpose::Token, "web");
        rotated.rotate_after = Some(0);
        let world = World::new(vec![slot(Purpose::Token, "app"), rotated.clone()]).await;
        let active = world.registry.generate(&rotated, None, &Actor::system()).await.unwrap();
        let kid = active.kid().unwrap().to_owned();
        world.registry.ledger().command(&kid, Command::Activate { emergency: true }, &Actor::local()).await.unwrap();
        let standby = world.registry.generate(&rotated, None, &Actor::system()).await.unwrap();
        let ledger = world.registry.ledger().clone();
        // The key of the other profile comes first.
        world.hsm.meanwhile(move || {
            let (ledger, kid) = (ledger.clone(), kid.clone());
            async move { drop(ledger.command(&kid, Command::Suspend, &Actor::local()).await) }
        });
        world.registry.tend("holder", true).await.unwrap();
        assert_eq!((world.key(active.id).await.state, world.key(standby.id).await.state), (State::Suspended, State::Published));
    }

    #[tokio::test]
    async fn of_two_signers_that_start_together_one_makes_the_key_that_signs() {
        let (one, two) = (World::new(Vec::new()).await, Arc::new(MemoryKeyStore::default()));
        let store = Store::open(&StoreSettings::Sqlite(one.folder.path().join("store.db"))).await.unwrap();
        let other = Registry::new(Ledger::new(store, TIMING, Vec::new()), two.clone());
        let slot = slot(Purpose::Audit, "");
        // All that the first one does, while the second one's pair is made.
        let (first, of_first) = (Arc::clone(&one.registry), slot.clone());
        two.meanwhile(move || {
            let (first, slot) = (Arc::clone(&first), of_first.clone());
            async move { drop(first.ensure(&slot).await.unwrap()) }
        });
        let signing = other.ensure(&slot).await.unwrap();
        assert!(one.hsm.holds(signing.id));
        assert_eq!(one.registry.ensure(&slot).await.unwrap().id, signing.id);
        let states: Vec<State> = one.store.keys().await.unwrap().iter().map(|key| key.state).collect();
        assert!(!states.contains(&State::Retiring), "{states:?}");
    }

    #[tokio::test]
    async fn an_older_reading_replaces_no_newer_one() {
        let world = World::new(Vec::new()).await;
        let before = Instant::now();
        let made = world.registry.generate(&slot(Purpose::Token, "web"), None, &Actor::system()).await.unwrap();
        world.registry.refresh().await.unwrap();
        let held = world.registry.hold(Snapshot::of(Vec::new(), before).unwrap());
        assert!(held.of_id(made.id).is_some() && world.registry.snapshot().of_id(made.id).is_some());
        assert!(world.registry.hold(Snapshot::of(Vec::new(), Instant::now()).unwrap()).of_id(made.id).is_none());
        // Nor does an older one that found the same make it seem older.
        let read_at = Instant::now();
        let snapshot = Snapshot::of(Vec::new(), read_at).unwrap();
        assert!(snapshot.is_still(&[], before));
        assert!(!Snapshot::of(Vec::new(), read_at).unwrap().is_later_than(&snapshot));
    }
}
