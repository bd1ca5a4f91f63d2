//! Handles of private keys as one session knows them: searched for once each, or read all together where searching is slow.

use std::{
    collections::{HashMap, HashSet},
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

/// What one session has found.
#[derive(Debug, Default)]
pub(super) struct Handles {
    found: HashMap<KeyId, ObjectHandle>,
    searching: Searching,
}

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
    /// The handle of the private key with this `CKA_ID`. Reading all handles takes at most about `patience`.
    pub(super) fn of(&mut self, id: KeyId, session: &Session, patience: Duration) -> Result<ObjectHandle, Fault> {
        if let Some(handle) = self.found.get(&id) {
            return Ok(*handle);
        }
        if self.searching == Searching::Slow {
            self.searching = Searching::Read;
            self.found.extend(read_all(session, patience)?);
            if let Some(handle) = self.found.get(&id) {
                return Ok(*handle);
            }
        }
        let began = Instant::now();
        let found = session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?;
        if self.searching == Searching::Quick && began.elapsed() > SLOW {
            self.searching = Searching::Slow;
        }
        match found.as_slice() {
            [handle] => {
                self.found.insert(id, *handle);
                Ok(*handle)
            }
            [] => Err(Fault::Absent(id)),
            several => Err(Fault::Final(HsmError::KeyAmbiguous(id, several.len()))),
        }
    }

    /// A key that is to be destroyed.
    pub(super) fn forget(&mut self, id: KeyId) {
        self.found.remove(&id);
    }

    /// They are stale, or their session is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
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
