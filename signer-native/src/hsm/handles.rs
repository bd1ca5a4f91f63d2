//! Handles of private keys: searched for once each, or read all together where searching is slow.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cryptoki::{
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};

use super::{HsmError, KeyId, mechanism, seat::Fault};

/// A search that takes longer goes through every object of the token, as that of `SoftHSM` does: with thousands of them, the
/// first use of a hundred keys would be minutes of searching. An HSM that searches by an index stays below it.
const SLOW: Duration = Duration::from_millis(20);
/// How long all handles may be read before there is anybody who waits.
pub(super) const BEFORE_ALL: Duration = Duration::from_mins(1);

/// What the sessions of a module have found: in PKCS #11 a handle of a token's object is good in every session of the application.
#[derive(Debug, Default)]
pub(super) struct Handles {
    known: Mutex<Known>,
    /// Held by the one thread that reads all handles, for itself and for those that wait.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    found: HashMap<KeyId, ObjectHandle>,
    searching: Searching,
    /// Rises with every end of what was found.
    edition: Edition,
}

/// What was found at one time: handles of an older one than the last are stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Searching {
    /// Key by key.
    #[default]
    Quick,
    /// One search was slow: the next one reads all handles first.
    Slow,
    /// That was done, or tried.
    Read,
}

impl Handles {
    /// Reads all handles where searching for one is slow, before there is anybody who waits.
    pub(super) fn prepare(&self, session: &Session) -> Result<(), Fault> {
        let began = Instant::now();
        session.find_objects(&mechanism::search(KeyId([0; 16]), ObjectClass::PRIVATE_KEY))?;
        if began.elapsed() > SLOW {
            self.read(session, BEFORE_ALL)?;
            tracing::info!(keys = self.lock().found.len(), took = ?began.elapsed(), "searching is slow here: all handles were read");
        }
        Ok(())
    }

    /// The handle of the private key with this `CKA_ID`. Reading all handles takes at most about `patience`.
    pub(super) fn of(&self, id: KeyId, session: &Session, patience: Duration) -> Result<(ObjectHandle, Edition), Fault> {
        let (mut found, mut edition) = self.look(id);
        if found.is_none() && self.lock().searching == Searching::Slow {
            let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            if self.lock().searching == Searching::Slow {
                self.read(session, patience)?;
            }
            (found, edition) = self.look(id);
        }
        if let Some(handle) = found {
            return Ok((handle, edition));
        }
        let began = Instant::now();
        let found = session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?;
        let is_slow = began.elapsed() > SLOW;
        match found.as_slice() {
            [handle] => {
                let mut known = self.lock();
                if known.edition == edition {
                    known.found.insert(id, *handle);
                    if known.searching == Searching::Quick && is_slow {
                        known.searching = Searching::Slow;
                    }
                }
                Ok((*handle, edition))
            }
            [] => Err(Fault::Absent(id)),
            several => Err(Fault::Final(HsmError::KeyAmbiguous(id, several.len()))),
        }
    }

    fn look(&self, id: KeyId) -> (Option<ObjectHandle>, Edition) {
        let known = self.lock();
        (known.found.get(&id).copied(), known.edition)
    }

    /// A key that is to be destroyed.
    pub(super) fn forget(&self, id: KeyId) {
        self.lock().found.remove(&id);
    }

    /// Those of this edition are stale; nothing where another thread has said so already.
    pub(super) fn end_of(&self, edition: Edition) {
        let mut known = self.lock();
        if known.edition == edition {
            known.end();
        }
    }

    /// Their login is gone, or the whole module.
    pub(super) fn end(&self) {
        self.lock().end();
    }

    fn read(&self, session: &Session, patience: Duration) -> Result<(), Fault> {
        let edition = {
            let mut known = self.lock();
            known.searching = Searching::Read;
            known.edition
        };
        let found = read_all(session, patience)?;
        let mut known = self.lock();
        if known.edition == edition {
            known.found.extend(found);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn end(&mut self) {
        *self = Self { edition: Edition(self.edition.0 + 1), ..Self::default() };
    }
}

/// The handles of all private keys whose `CKA_ID` is ours in form and no other key's; none when it takes too long, because
/// whether a key is the only one of its name is known at the end.
fn read_all(session: &Session, patience: Duration) -> Result<HashMap<KeyId, ObjectHandle>, Fault> {
    let until = Instant::now() + patience;
    let (mut found, mut twice) = (HashMap::new(), HashSet::new());
    for handle in session.find_objects(&[Attribute::Token(true), Attribute::Class(ObjectClass::PRIVATE_KEY)])? {
        if Instant::now() > until {
            tracing::warn!(?patience, "the handles of all keys could not be read in this time: each is searched for");
            return Ok(HashMap::new());
        }
        let attributes = session.get_attributes(handle, &[AttributeType::Id])?;
        let Some(Attribute::Id(id)) = attributes.first() else { continue };
        let Ok(id) = id.as_slice().try_into().map(KeyId) else { continue };
        if found.insert(id, handle).is_some() {
            twice.insert(id);
        }
    }
    found.retain(|id, _| !twice.contains(id));
    Ok(found)
}
