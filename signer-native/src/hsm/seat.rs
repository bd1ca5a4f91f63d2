//! One thread's session, and what it does when the module answers with a fault.
//!
//! A fault is remedied within the call, each kind once: the key is found again, the session replaced, the login renewed, the
//! module restarted. Only throttling is waited out again and again, as long as the call's deadline allows.

use std::{
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::Function,
    error::{Error, RvError},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, SessionState},
};
use edgeseal_core::PublicKey;

use super::{
    HsmAttribute, HsmError, KeyId, KeyKind, PrivateKey, Protection, StoredKey, attributes,
    handles::Edition,
    mechanism,
    pkcs11::{Module, ThreadSession, explain},
    stats::count,
};

/// The first pause of a throttled call; it doubles up to [`THROTTLED_MAX`], and each is cut by a random part of up to half.
const THROTTLED_MIN: Duration = Duration::from_millis(20);
const THROTTLED_MAX: Duration = Duration::from_secs(1);
/// What a throttled call leaves of its deadline for the attempt itself and the way back.
const MARGIN: Duration = Duration::from_millis(50);

/// What went wrong inside one attempt.
pub(super) enum Fault {
    /// The module's word.
    Module(Error),
    /// Zero objects where one must be: not logged in, or a dead module, or really no key.
    Absent(KeyId),
    /// Ours; final.
    Final(HsmError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        Self::Final(error)
    }
}

/// What a fault asks for before the one more attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The handles are stale: find again by `CKA_ID`.
    FindAgain,
    /// The session is gone, or the login: a new session, the login looked after.
    NewSession,
    /// The module is dead: drain, finalize, initialize.
    Restart,
    /// Throttled: wait a little.
    Wait,
}

/// One thread's session.
pub(super) struct Seat<'a> {
    module: &'a Module,
    session: Option<ThreadSession>,
    /// The context that the session is from, or that gave none.
    epoch: u64,
    /// What its handle was found in.
    edition: Edition,
}

impl<'a> Seat<'a> {
    pub(super) fn new(module: &'a Module) -> Self {
        Self { module, session: None, epoch: 0, edition: Edition::default() }
    }
}

impl Seat<'_> {
    /// Gives the session back.
    pub(super) fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            self.module.release(session);
        }
    }

    fn sit(&mut self) -> Result<(), Fault> {
        if self.session.is_none() {
            self.epoch = self.module.epoch();
            let session = self.module.session()?;
            self.epoch = session.epoch;
            self.session = Some(session);
        }
        Ok(())
    }

    fn session(&self) -> Result<&ThreadSession, Fault> {
        self.session.as_ref().ok_or_else(no_session)
    }

    /// Runs an operation; each kind of fault is remedied once, throttling until the deadline. Whoever makes a pair pauses no longer than whoever
    /// signs: the thread is missed.
    pub(super) fn recovering<T>(
        &mut self,
        until: Instant,
        operation: &mut impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        let pauses = Pauses::until(until.min(Instant::now() + self.module.settings().deadline));
        let mut tried = Tried { remedies: Vec::new(), pauses };
        loop {
            let attempt = self.sit().and_then(|()| operation(self));
            let mut fault = match attempt {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            // A remedy may meet a fault of its own, which asks for the next one.
            while let Err(another) = self.remedy(fault, &mut tried)? {
                fault = another;
            }
        }
    }

    /// Does what the fault asks for; the outer error is final.
    fn remedy(&mut self, fault: Fault, tried: &mut Tried) -> Result<Result<(), Fault>, HsmError> {
        let remedy = match &fault {
            Fault::Final(_) => return Err(fault.into_error()),
            Fault::Absent(_) if !tried.remedies.contains(&Remedy::NewSession) => Remedy::NewSession,
            // Whether another process may know better is the signer's to say, which sees all of them; a dead module shows nothing at all.
            Fault::Absent(id) if self.module.is_disposable() && self.shows_others_than(*id) => return Err(fault.into_error()),
            Fault::Absent(_) => Remedy::Restart,
            Fault::Module(error) => match remedy(error) {
                Some(remedy) => remedy,
                None => return Err(refused(error)),
            },
        };
        let counters = self.module.counters();
        if remedy == Remedy::Wait {
            let Some(pause) = tried.pauses.next() else {
                return Err(HsmError::Unavailable(format!("the HSM has too much to do ({})", fault.into_error())));
            };
            count(&counters.throttled);
            #[expect(
                clippy::disallowed_methods,
                reason = "a throttling HSM names no condition to wait for, and a pause of this thread is what it asks for"
            )]
            thread::sleep(pause);
            return Ok(Ok(()));
        }
        let remedy = match remedy {
            // What a new session does not cure, the module started anew does.
            Remedy::NewSession if tried.remedies.contains(&remedy) => Remedy::Restart,
            remedy => remedy,
        };
        if tried.remedies.contains(&remedy) {
            return Err(fault.into_error());
        }
        tried.remedies.push(remedy);
        match remedy {
            Remedy::FindAgain => {
                count(&counters.handle);
                self.module.handles().end_of(self.edition);
            }
            Remedy::NewSession => {
                count(&counters.session);
                self.leave();
                let forgot = matches!(fault, Fault::Module(Error::Pkcs11(RvError::UserNotLoggedIn, _)));
                return Ok(self.module.ensure_login(self.epoch, forgot));
            }
            Remedy::Restart => {
                count(&counters.module);
                self.leave();
                let error = fault.into_error();
                if !self.module.restart(self.epoch, &error.to_string())? {
                    return Err(error);
                }
            }
            Remedy::Wait => {}
        }
        Ok(Ok(()))
    }

    fn shows_others_than(&self, id: KeyId) -> bool {
        self.session().and_then(|held| is_absent(&held.session, id)).is_ok()
    }

    pub(super) fn sign(&mut self, id: KeyId, input: &mechanism::SignInput) -> Result<Vec<u8>, Fault> {
        let Some(ThreadSession { session, .. }) = &self.session else { return Err(no_session()) };
        // Half of the deadline, so that the other half is left for the signature.
        let (handle, edition) = self.module.handles().of(id, session, self.module.settings().deadline / 2)?;
        self.edition = edition;
        let signature = session.sign(&input.mechanism, handle, &input.data)?;
        count(&self.module.counters().signatures);
        Ok(signature)
    }

    pub(super) fn generate(&mut self, id: KeyId, kind: KeyKind, label: &str) -> Result<StoredKey, Fault> {
        let _one_at_a_time = self.module.generation()?;
        let session = self.module.writing_session(self.session()?.epoch)?;
        if !session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?.is_empty() {
            return Err(Fault::Final(HsmError::Refused(format!("the token already holds a key with CKA_ID {id}"))));
        }
        let private_template = mechanism::private_template(id, label);
        let mut templates = mechanism::public_templates(id, kind, label)?.into_iter().peekable();
        let (public, private) = loop {
            let Some(template) = templates.next() else {
                return Err(Fault::Final(HsmError::Unsupported(format!("the module cannot generate {kind} keys"))));
            };
            match session.generate_key_pair(&mechanism::generation(kind), &template, &private_template) {
                Ok(pair) => break pair,
                Err(Error::Pkcs11(
                    RvError::CurveNotSupported
                    | RvError::DomainParamsInvalid
                    | RvError::AttributeValueInvalid
                    | RvError::ArgumentsBad
                    | RvError::GeneralError
                    | RvError::FunctionFailed,
                    _,
                )) if templates.peek().is_some() => {}
                Err(Error::Pkcs11(
                    code @ (RvError::MechanismInvalid | RvError::CurveNotSupported | RvError::KeySizeRange),
                    _,
                )) => {
                    return Err(Fault::Final(HsmError::Unsupported(format!(
                        "the module cannot generate {kind} keys ({code:?})"
                    ))));
                }
                Err(error) => return Err(not_made(&session, id, error)),
            }
        };
        let stored = read_pair(&session, public, private, kind, self.module.tells_local());
        match stored {
            Ok(stored) if stored.protection.is_complete() => Ok(stored),
            other => {
                // A key that cannot be proved to be what was asked for does not stay.
                let removed = [private, public].into_iter().try_for_each(|handle| session.destroy_object(handle));
                let why = match other {
                    Ok(stored) => format!("the module does not keep the new {kind} key as asked: {:?}", stored.protection),
                    Err(Fault::Module(error)) => error.to_string(),
                    Err(Fault::Absent(id)) => HsmError::KeyMissing(id).to_string(),
                    Err(Fault::Final(error)) => error.to_string(),
                };
                let rest = if removed.is_ok() { "it was destroyed" } else { "it could not be destroyed" };
                Err(Fault::Final(HsmError::Refused(format!("{why}; {rest}"))))
            }
        }
    }

    pub(super) fn inspect(&mut self, id: KeyId, kind: KeyKind) -> Result<Option<StoredKey>, Fault> {
        let session = &self.session()?.session;
        let private = session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?;
        let public = session.find_objects(&mechanism::search(id, ObjectClass::PUBLIC_KEY))?;
        if private.is_empty() {
            is_absent(session, id)?;
        }
        match (private.as_slice(), public.as_slice()) {
            ([private], [public]) => read_pair(session, *public, *private, kind, self.module.tells_local()).map(Some),
            ([], []) => Ok(None),
            (private, public) if private.len() > 1 || public.len() > 1 => {
                Err(Fault::Final(HsmError::KeyAmbiguous(id, private.len().max(public.len()))))
            }
            _ => Err(Fault::Final(HsmError::Refused(format!("the token holds only half of the pair with CKA_ID {id}")))),
        }
    }

    pub(super) fn attributes(&mut self, id: KeyId) -> Result<Vec<HsmAttribute>, Fault> {
        let session = &self.session()?.session;
        let mut found = Vec::new();
        for (class, object) in [(ObjectClass::PRIVATE_KEY, "private key"), (ObjectClass::PUBLIC_KEY, "public key")] {
            for handle in session.find_objects(&mechanism::search(id, class))? {
                found.extend(attributes::read(session, handle, object));
            }
        }
        if found.is_empty() {
            is_absent(session, id)?;
        }
        Ok(found)
    }

    pub(super) fn import(&mut self, id: KeyId, key: &PrivateKey, label: &str) -> Result<StoredKey, Fault> {
        let _one_at_a_time = self.module.generation()?;
        let session = self.module.writing_session(self.session()?.epoch)?;
        if !session.find_objects(&mechanism::search(id, ObjectClass::PRIVATE_KEY))?.is_empty() {
            return Err(Fault::Final(HsmError::Refused(format!("the token already holds a key with CKA_ID {id}"))));
        }
        let (public, private) = mechanism::import_templates(id, key, label)?;
        // The public half first: what a crash leaves behind then is no secret.
        let public = session.create_object(&public).map_err(|error| not_made(&session, id, error))?;
        let made = session.create_object(&private).map_err(|error| not_made(&session, id, error)).and_then(|private| {
            let stored = read_pair(&session, public, private, key.kind, self.module.tells_local());
            match stored {
                Ok(stored) if stored.protection.value_refused => Ok(stored),
                other => {
                    let removed = session.destroy_object(private);
                    let rest = if removed.is_ok() { "it was destroyed" } else { "it could not be destroyed" };
                    let why = match other {
                        Ok(_) => "the module would give the private key out again".to_owned(),
                        Err(fault) => fault.into_error().to_string(),
                    };
                    Err(Fault::Final(HsmError::Refused(format!("{why}; {rest}"))))
                }
            }
        });
        made.inspect_err(|_| {
            // Why it failed matters more than whether this half, which is public, goes away as well.
            let _ = session.destroy_object(public);
        })
    }

    pub(super) fn destroy(&mut self, id: KeyId) -> Result<(), Fault> {
        self.module.handles().forget(id);
        let session = self.module.writing_session(self.session()?.epoch)?;
        // Who is not logged in sees no private key, and would take it for destroyed.
        can_see(&session)?;
        let mut found = 0;
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for handle in session.find_objects(&mechanism::search(id, class))? {
                session.destroy_object(handle)?;
                found += 1;
            }
            if !session.find_objects(&mechanism::search(id, class))?.is_empty() {
                return Err(Fault::Final(HsmError::Refused(format!("CKA_ID {id} is still there after C_DestroyObject"))));
            }
        }
        if found == 0 { is_absent(&session, id) } else { can_see(&session) }
    }
}

/// Whether a private key that was not found is not there. Neither a session that is not logged in says that it hides it, nor a module
/// whose token is gone: `SoftHSM` then finds nothing at all.
fn is_absent(session: &Session, id: KeyId) -> Result<(), Fault> {
    can_see(session)?;
    if session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])?.is_empty() {
        let reason = format!("the token shows no private key at all, so that nobody knows whether CKA_ID {id} is there");
        return Err(Fault::Final(HsmError::Unavailable(reason)));
    }
    Ok(())
}

/// Whether private objects can be seen: what is not found then is not there.
fn can_see(session: &Session) -> Result<(), Fault> {
    match session.get_session_info()?.session_state() {
        SessionState::RoUser | SessionState::RwUser => Ok(()),
        SessionState::RoPublic | SessionState::RwPublic | SessionState::RwSecurityOfficer => {
            Err(Fault::Module(Error::Pkcs11(RvError::UserNotLoggedIn, Function::GetSessionInfo)))
        }
    }
}

/// Why a pair was not made. A token that is full stays so, and a user who may make no keys is told to log in by some tokens: one that shows
/// private keys knows the login. That is their answer; no waiting, other PIN or restart changes it.
fn not_made(session: &Session, id: KeyId, error: Error) -> Fault {
    let is_their_answer = match &error {
        Error::Pkcs11(RvError::DeviceMemory, _) => true,
        Error::Pkcs11(RvError::UserNotLoggedIn, _) => is_absent(session, id).is_ok(),
        _ => false,
    };
    if is_their_answer { Fault::Final(refused(&error)) } else { error.into() }
}

fn no_session() -> Fault {
    Fault::Final(HsmError::Unavailable("no HSM session".to_owned()))
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Fault {
    pub(super) fn into_error(self) -> HsmError {
        match self {
            Self::Module(error) => explain("the HSM", &error),
            Self::Absent(id) => HsmError::KeyMissing(id),
            Self::Final(error) => error,
        }
    }
}

/// What was tried within one call.
struct Tried {
    remedies: Vec<Remedy>,
    pauses: Pauses,
}

/// The pauses of a throttled call, each about twice the one before, until the deadline leaves no room for another.
struct Pauses {
    until: Instant,
    next: Duration,
}

impl Pauses {
    fn until(until: Instant) -> Self {
        Self { until, next: THROTTLED_MIN }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Many callers are throttled at once: without a random part they would come back at once, too.
        let part = 512 + getrandom::u32().unwrap_or(0) % 512;
        let pause = self.next * part / 1_024;
        self.next = (self.next * 2).min(THROTTLED_MAX);
        (Instant::now() + pause + MARGIN < self.until).then_some(pause)
    }
}

fn remedy(error: &Error) -> Option<Remedy> {
    let Error::Pkcs11(code, _) = error else { return None };
    Some(match code {
        RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => Remedy::FindAgain,
        RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::UserNotLoggedIn
        | RvError::OperationActive
        | RvError::OperationNotInitialized => Remedy::NewSession,
        RvError::DeviceError
        | RvError::DeviceRemoved
        | RvError::GeneralError
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized
        | RvError::SlotIdInvalid
        | RvError::CryptokiNotInitialized
        // Network HSMs say a lost connection in words of their own.
        | RvError::VendorDefined(_) => Remedy::Restart,
        // CloudHSM throttles with FUNCTION_FAILED; the others say that sessions or memory are taken at the moment: but see `not_made`.
        RvError::FunctionFailed | RvError::SessionCount | RvError::DeviceMemory => Remedy::Wait,
        _ => return None,
    })
}

fn refused(error: &Error) -> HsmError {
    match error {
        Error::Pkcs11(
            code @ (RvError::MechanismInvalid | RvError::MechanismParamInvalid | RvError::KeyTypeInconsistent),
            function,
        ) => HsmError::Unsupported(format!("the module cannot do this with the key ({function:?}: {code:?})")),
        Error::Pkcs11(code, function) => HsmError::Refused(format!("the HSM refused ({function:?}: {code:?})")),
        other => HsmError::Refused(other.to_string()),
    }
}

/// The public key and what the module asserts about the private one.
fn read_pair(
    session: &Session,
    public: ObjectHandle,
    private: ObjectHandle,
    kind: KeyKind,
    tells_local: bool,
) -> Result<StoredKey, Fault> {
    Ok(StoredKey {
        public_key: read_public(session, public, kind)?,
        protection: read_protection(session, private, kind, tells_local)?,
    })
}

fn read_public(session: &Session, handle: ObjectHandle, kind: KeyKind) -> Result<PublicKey, Fault> {
    let wanted = [AttributeType::KeyType, AttributeType::EcPoint, AttributeType::Modulus, AttributeType::PublicExponent];
    let (mut point, mut modulus, mut exponent, mut key_type) = (None, None, None, None);
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::EcPoint(value) => point = Some(value),
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            Attribute::KeyType(value) => key_type = Some(value),
            _ => {}
        }
    }
    if key_type != Some(mechanism::key_type(kind)) {
        return Err(unreadable(kind, "CKA_KEY_TYPE is another"));
    }
    let key = match (kind, point, modulus, exponent) {
        (KeyKind::Ec(curve), Some(point), _, _) => {
            let raw = mechanism::ec_point(&point, 1 + 2 * curve.coordinate_len())
                .ok_or_else(|| unreadable(kind, "CKA_EC_POINT is malformed"))?;
            PublicKey::ec_from_sec1(curve, raw)
        }
        (KeyKind::Ed25519, Some(point), _, _) => {
            let raw = mechanism::ec_point(&point, 32).and_then(|raw| <&[u8; 32]>::try_from(raw).ok());
            PublicKey::ed25519(raw.ok_or_else(|| unreadable(kind, "CKA_EC_POINT is malformed"))?)
        }
        (KeyKind::Rsa(_), _, Some(modulus), Some(exponent)) => PublicKey::rsa(&modulus, &exponent),
        _ => return Err(unreadable(kind, "its public attributes are missing")),
    };
    key.map_err(|problem| unreadable(kind, problem.as_str()))
}

fn unreadable(kind: KeyKind, why: &str) -> Fault {
    Fault::Final(HsmError::Refused(format!("the module's {kind} public key cannot be used: {why}")))
}

fn read_protection(session: &Session, handle: ObjectHandle, kind: KeyKind, tells_local: bool) -> Result<Protection, Fault> {
    let wanted = [
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    let (mut sensitive, mut always, mut extractable, mut never, mut local) = (false, false, true, false, false);
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Sensitive(value) => sensitive = value,
            Attribute::AlwaysSensitive(value) => always = value,
            Attribute::Extractable(value) => extractable = value,
            Attribute::NeverExtractable(value) => never = value,
            Attribute::Local(value) => local = value,
            _ => {}
        }
    }
    let secret = match kind {
        KeyKind::Rsa(_) => AttributeType::PrivateExponent,
        KeyKind::Ec(_) | KeyKind::Ed25519 => AttributeType::Value,
    };
    let value_refused = match session.get_attributes(handle, &[secret]) {
        Ok(values) => values.is_empty(),
        Err(Error::Pkcs11(RvError::AttributeSensitive, _)) => true,
        Err(error) => return Err(error.into()),
    };
    Ok(Protection {
        always_sensitive: sensitive && always,
        never_extractable: !extractable && never,
        local: local || !tells_local,
        value_refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_before_the_deadline() {
        let until = Instant::now() + Duration::from_mins(10);
        let pauses: Vec<Duration> = Pauses::until(until).take(12).collect();
        for (pause, full) in pauses.iter().zip([20, 40, 80, 160, 320, 640, 1_000, 1_000]) {
            let full = Duration::from_millis(full);
            assert!((full / 2..=full).contains(pause), "{pause:?} of {full:?}");
        }
        assert_eq!(Pauses::until(Instant::now() + MARGIN).next(), None);
    }
}
