//! WebAuthn (Level 3) through `webauthn_rp`: what browsers are asked, and whether their answers are good. User verification
//! is always required, so that a passkey alone is two factors; attestation is not asked for.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthenticationServerState, DiscoverableCredentialRequestOptions,
    NonDiscoverableAuthenticationServerState, NonDiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions,
    Registration, RegistrationServerState,
    bin::{Decode, Encode},
    request::{
        AsciiDomain, Credentials as _, DomainOrigin, PublicKeyCredentialDescriptor, RpId, UserVerificationRequirement,
        auth::{AllowedCredentials, AuthenticationVerificationOptions},
        register::{
            CredProtect, Nickname, PublicKeyCredentialUserEntity, RegistrationVerificationOptions, USER_HANDLE_MAX_LEN,
            UserHandle64, Username,
        },
    },
    response::{
        AuthTransports, Backup, CredentialId,
        auth::{DiscoverableAuthentication64, NonDiscoverableAuthentication64},
        register::{CompressedPubKey, DynamicState, StaticState},
    },
};

use crate::store::{PasskeyRow, UserRow};

/// Who asks: the host that passkeys are bound to, and the one origin that may use them.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    id: RpId,
    origin: String,
}

/// What is sent to the browser, and what its answer is checked against.
#[derive(Debug)]
pub struct Begun {
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub options: Value,
    /// The other half, for the store.
    pub state: String,
}

/// A passkey that was made.
#[derive(Debug)]
pub struct Made {
    /// The credential id, as base64url.
    pub id: String,
    /// The transports, as bits.
    pub transports: u64,
    /// What never changes.
    pub public_key: String,
    /// What changes.
    pub state: String,
    /// Whether it lives in more than one place.
    pub backed_up: bool,
}

/// A passkey that was shown.
#[derive(Debug)]
pub struct Shown {
    /// What changed with it.
    pub state: String,
    /// Whether it lives in more than one place.
    pub backed_up: bool,
}

/// Whose passkey an answer claims to be.
#[derive(Debug)]
pub struct Claimed {
    /// The credential id, as base64url.
    pub id: String,
    /// The user handle, as base64url.
    pub handle: String,
}

type Key = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;

impl RelyingParty {
    /// For a console at `https://{host}[:{port}]`.
    ///
    /// # Errors
    /// Why passkeys cannot be bound to it.
    pub fn new(origin: &str) -> Result<Self, String> {
        let host = origin.strip_prefix("https://").ok_or("it takes the form https://HOST:PORT")?;
        let parsed = DomainOrigin::try_from(origin).map_err(|error| error.to_string())?;
        if parsed.host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
            return Err("browsers bind passkeys to a host name, never to an address".to_owned());
        }
        if parsed.host.contains(['/', '?', '#', '@']) || host.ends_with('/') || parsed.host.is_empty() {
            return Err("it takes the form https://HOST:PORT, with nothing behind the port".to_owned());
        }
        let id = AsciiDomain::try_from(parsed.host.to_owned()).map_err(|error| error.to_string())?;
        Ok(Self { id: RpId::Domain(id), origin: origin.to_owned() })
    }

    /// The host.
    pub fn id(&self) -> &str {
        self.id.as_ref()
    }

    /// The origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether these can be somebody's names.
    ///
    /// # Errors
    /// Which member is wrong, and why.
    pub fn check_names(name: &str, display_name: &str) -> Result<(), (&'static str, String)> {
        Username::try_from(name).map_err(|error| ("name", error.to_string()))?;
        Nickname::try_from(display_name).map_err(|error| ("display_name", error.to_string()))?;
        Ok(())
    }

    /// Asks for a new passkey of this person, in no authenticator that has one of `known`.
    ///
    /// # Errors
    /// Why it cannot be asked for.
    pub fn register(&self, user: &UserRow, known: &[PasskeyRow]) -> Result<Begun, String> {
        let handle = handle(&user.handle)?;
        let name = Username::try_from(user.name.as_str()).map_err(|error| error.to_string())?;
        let display_name = Nickname::try_from(user.display_name.as_str()).map_err(|error| error.to_string())?;
        let known = known.iter().map(descriptor).collect::<Result<_, _>>()?;
        let entity = PublicKeyCredentialUserEntity { name, id: &handle, display_name: Some(display_name) };
        let mut options = PublicKeyCredentialCreationOptions::passkey(&self.id, entity, known);
        // Browsers refuse authenticators that do not know credProtect where it is asked for, and most that are built in do not.
        // User verification is required at every use anyway.
        options.extensions.cred_protect = CredProtect::None;
        let (server, client) = options.start_ceremony().map_err(|error| error.to_string())?;
        let state = server.encode().map_err(|error| error.to_string())?;
        Ok(Begun { options: public_key(&client)?, state: text(&state) })
    }

    /// Whether the answer (`RegistrationResponseJSON`) is good.
    ///
    /// # Errors
    /// Why not.
    pub fn registered(&self, state: &str, answer: &[u8]) -> Result<Made, String> {
        let state = octets(state)?;
        let server = RegistrationServerState::<USER_HANDLE_MAX_LEN>::decode(&state).map_err(|error| error.to_string())?;
        let answer = Registration::from_json_relaxed(answer).map_err(|error| error.to_string())?;
        let origins = [self.origin.as_str()];
        let options = RegistrationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..RegistrationVerificationOptions::default()
        };
        let credential = server.verify(&self.id, &answer, &options).map_err(|error| error.to_string())?;
        let public_key = credential.static_state().encode().map_err(|error| error.to_string())?;
        let Ok(state) = credential.dynamic_state().encode();
        let Ok(transports) = credential.transports().encode();
        Ok(Made {
            id: text(credential.id().as_ref()),
            transports: u64::from(transports),
            public_key: text(&public_key),
            state: text(&state),
            backed_up: is_backed_up(credential.dynamic_state()),
        })
    }

    /// Asks for whatever passkey of ours the browser has.
    ///
    /// # Errors
    /// Why it cannot be asked for.
    pub fn login(&self) -> Result<Begun, String> {
        let options = DiscoverableCredentialRequestOptions::passkey(&self.id);
        let (server, client) = options.start_ceremony().map_err(|error| error.to_string())?;
        let state = server.encode().map_err(|error| error.to_string())?;
        Ok(Begun { options: public_key(&client)?, state: text(&state) })
    }

    /// Whose passkey an answer to [`Self::login`] claims to be.
    ///
    /// # Errors
    /// When it is no such answer.
    pub fn claimed(answer: &[u8]) -> Result<Claimed, String> {
        let answer = DiscoverableAuthentication64::from_json_relaxed(answer).map_err(|error| error.to_string())?;
        Ok(Claimed { id: text(answer.raw_id().as_ref()), handle: text(answer.response().user_handle().as_ref()) })
    }

    /// Whether an answer (`AuthenticationResponseJSON`) to [`Self::login`] is good for this passkey.
    ///
    /// # Errors
    /// Why not.
    pub fn logged_in(&self, state: &str, answer: &[u8], user: &UserRow, passkey: &PasskeyRow) -> Result<Shown, String> {
        let state = octets(state)?;
        let server = DiscoverableAuthenticationServerState::decode(&state).map_err(|error| error.to_string())?;
        let answer = DiscoverableAuthentication64::from_json_relaxed(answer).map_err(|error| error.to_string())?;
        let (id, handle) = (octets(&passkey.id)?, handle(&user.handle)?);
        let mut credential = credential(&id, &handle, passkey)?;
        let origins = [self.origin.as_str()];
        let options = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..AuthenticationVerificationOptions::default()
        };
        server.verify(&self.id, &answer, &mut credential, &options).map_err(|error| error.to_string())?;
        Ok(shown(credential.dynamic_state()))
    }

    /// Asks a person who is known for one of their passkeys.
    ///
    /// # Errors
    /// Why it cannot be asked for.
    pub fn prove(&self, passkeys: &[PasskeyRow]) -> Result<Begun, String> {
        let mut allowed = AllowedCredentials::with_capacity(passkeys.len());
        for passkey in passkeys {
            allowed.push(descriptor(passkey)?.into());
        }
        let options = NonDiscoverableCredentialRequestOptions::second_factor(&self.id, allowed);
        let mut options = options.map_err(|error| error.to_string())?;
        options.options().user_verification = UserVerificationRequirement::Required;
        let (server, client) = options.start_ceremony().map_err(|error| error.to_string())?;
        let state = server.encode().map_err(|error| error.to_string())?;
        Ok(Begun { options: public_key(&client)?, state: text(&state) })
    }

    /// Whether an answer to [`Self::prove`] is good for one of these passkeys, and for which.
    ///
    /// # Errors
    /// Why not.
    pub fn proved<'a>(
        &self,
        state: &str,
        answer: &[u8],
        user: &UserRow,
        passkeys: &'a [PasskeyRow],
    ) -> Result<(&'a PasskeyRow, Shown), String> {
        let state = octets(state)?;
        let server = NonDiscoverableAuthenticationServerState::decode(&state).map_err(|error| error.to_string())?;
        let answer = NonDiscoverableAuthentication64::from_json_relaxed(answer).map_err(|error| error.to_string())?;
        let id = text(answer.raw_id().as_ref());
        let passkey = passkeys.iter().find(|passkey| passkey.id == id).ok_or("it is none of this person's passkeys")?;
        let (id, handle) = (octets(&passkey.id)?, handle(&user.handle)?);
        let mut credential = credential(&id, &handle, passkey)?;
        let origins = [self.origin.as_str()];
        let options = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &origins,
            error_on_unsolicited_extensions: false,
            ..AuthenticationVerificationOptions::default()
        };
        server.verify(&self.id, &answer, &mut credential, &options).map_err(|error| error.to_string())?;
        Ok((passkey, shown(credential.dynamic_state())))
    }
}

/// A user handle for a new person.
pub fn new_handle() -> String {
    text(UserHandle64::new().as_ref())
}

fn credential<'cred, 'user>(
    id: &'cred [u8],
    handle: &'user UserHandle64,
    passkey: &PasskeyRow,
) -> Result<AuthenticatedCredential<'cred, 'user, USER_HANDLE_MAX_LEN, Key>, String> {
    let id = CredentialId::<&[u8]>::decode(id).map_err(|error| error.to_string())?;
    let public_key = octets(&passkey.public_key)?;
    let public_key = StaticState::<Key>::decode(&public_key).map_err(|error| error.to_string())?;
    let state: Vec<u8> = octets(&passkey.state)?;
    let state = state.try_into().map_err(|_| "the passkey's state has another length".to_owned())?;
    let state = DynamicState::decode(state).map_err(|error| error.to_string())?;
    AuthenticatedCredential::new(id, handle, public_key, state).map_err(|error| error.to_string())
}

fn descriptor(passkey: &PasskeyRow) -> Result<PublicKeyCredentialDescriptor<Vec<u8>>, String> {
    let id = CredentialId::<Vec<u8>>::decode(octets(&passkey.id)?).map_err(|error| error.to_string())?;
    let transports = u8::try_from(passkey.transports).map_err(|error| error.to_string())?;
    let transports = AuthTransports::decode(transports).map_err(|error| error.to_string())?;
    Ok(PublicKeyCredentialDescriptor { id, transports })
}

fn shown(state: DynamicState) -> Shown {
    let Ok(octets) = state.encode();
    Shown { state: text(&octets), backed_up: is_backed_up(state) }
}

fn is_backed_up(state: DynamicState) -> bool {
    matches!(state.backup, Backup::Exists)
}

fn handle(handle: &str) -> Result<UserHandle64, String> {
    let handle: [u8; USER_HANDLE_MAX_LEN] =
        octets(handle)?.try_into().map_err(|_| "the user handle has another length".to_owned())?;
    let Ok(handle) = UserHandle64::decode(handle);
    Ok(handle)
}

/// The options as browsers take them: what stands under `publicKey`.
fn public_key(client: &impl serde::Serialize) -> Result<Value, String> {
    let mut value = serde_json::to_value(client).map_err(|error| error.to_string())?;
    match value.get_mut("publicKey") {
        Some(inner) => Ok(inner.take()),
        None => Ok(value),
    }
}

fn text(octets: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(octets)
}

fn octets(text: &str) -> Result<Vec<u8>, String> {
    Base64UrlUnpadded::decode_vec(text).map_err(|error| error.to_string())
}
