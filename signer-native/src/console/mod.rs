//! People at the console: who they are, what they prove it with, and for how long that counts.

pub mod code;
pub mod passkeys;
pub mod tries;

use std::{collections::BTreeMap, time::Duration};

use edgeseal_core::Timestamp;

pub use self::{
    code::{hash, hash_code, hash_recovery_code, new_code, new_secret},
    passkeys::RelyingParty,
    tries::{Tries, Try},
};
use crate::{
    http::{
        access::role_of,
        person::{Credential, Person, Role},
    },
    keys::now,
    store::{SessionRow, Store, StoreError},
};

/// How a session began that is good for registering a passkey alone.
pub const RECOVERY: &str = "recovery";
/// How every other session began.
pub const PASSKEY: &str = "passkey";

/// Characters of set-up and invitation codes: 125 bits.
pub const CODE: usize = 25;
/// Characters of recovery codes: 100 bits, and only for the name that they belong to.
pub const RECOVERY_CODE: usize = 20;
/// How many recovery codes a person has.
pub const RECOVERY_CODES: usize = 10;
/// Seconds for which a set-up code is good.
pub const SETUP_LIFETIME: u64 = 1_800;
/// Seconds for which an invitation is good.
pub const INVITATION_LIFETIME: u64 = 86_400;
/// Seconds that a WebAuthn ceremony may take.
pub const CEREMONY_LIFETIME: u64 = 300;

/// How the console is to be.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Where browsers find it.
    pub relying_party: RelyingParty,
    /// A session that is not used for so long has ended.
    pub idle_timeout: Duration,
    /// A session ends after so long whatever happens.
    pub session_lifetime: Duration,
    /// For so long a passkey that was shown counts for dangerous acts.
    pub proof_lifetime: Duration,
    /// Roles of administrators' certificates by name, where the store knows no such person.
    pub certificates: BTreeMap<String, Role>,
}

/// The console's share of the running signer.
#[derive(Debug)]
pub struct Console {
    /// How it is to be.
    pub config: ConsoleConfig,
    /// Where people are.
    pub store: Store,
    /// How often somebody may try.
    pub tries: Tries,
}

impl Console {
    /// The session of this cookie and its person, unless it has ended or the person is disabled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recognize(&self, secret: &str) -> Result<Option<(SessionRow, Person)>, StoreError> {
        let at = now();
        let Some(session) = self.store.session(&hash("session", secret)).await? else { return Ok(None) };
        if at >= self.idle_end(&session) || at >= self.last_end(&session) {
            return Ok(None);
        }
        let Some(user) = self.store.user(&session.person).await?.filter(|user| user.disabled_at.is_none()) else {
            return Ok(None);
        };
        let credential = if session.via == RECOVERY { Credential::Recovery } else { Credential::Session };
        let proved = self.proof_end(&session).is_some_and(|end| at < end);
        Ok(Some((session, Person { name: user.name, role: role_of(&user.role)?, credential, proved })))
    }

    /// When the session ends if it is not used any more.
    pub fn idle_end(&self, session: &SessionRow) -> Timestamp {
        session.seen_at.plus_secs(self.config.idle_timeout.as_secs())
    }

    /// When it ends whatever happens.
    pub fn last_end(&self, session: &SessionRow) -> Timestamp {
        session.created_at.plus_secs(self.config.session_lifetime.as_secs())
    }

    /// Until when the passkey that was shown counts for dangerous acts.
    pub fn proof_end(&self, session: &SessionRow) -> Option<Timestamp> {
        session.proved_at.map(|at| at.plus_secs(self.config.proof_lifetime.as_secs()))
    }

    /// Sessions that have not ended: a person's, or everybody's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn sessions(&self, person: Option<&str>) -> Result<Vec<SessionRow>, StoreError> {
        let (idle, begun) = self.ends(now());
        self.store.sessions(person, idle, begun).await
    }

    /// Forgets what has ended.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget(&self) -> Result<(), StoreError> {
        let at = now();
        let (idle, begun) = self.ends(at);
        self.store.forget_sessions(at, idle, begun).await
    }

    /// Sessions used and begun no later than these have ended.
    fn ends(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let before = |span: Duration| Timestamp::from_millis(at.as_millis().saturating_sub(span.as_secs() * 1_000));
        (before(self.config.idle_timeout), before(self.config.session_lifetime))
    }
}
