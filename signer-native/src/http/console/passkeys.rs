//! Passkeys and the codes that stand in for them: set-up, invitation, login, proof before dangerous acts, recovery.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{
    MAX_BODY, begun, console, count_refusal, event, give_try_back, may_try, moment, new_session, no_randomness, note_refusal,
    own_proved_session, own_session, record, take_try,
};
use crate::{
    config::check_name,
    console::{
        CEREMONY_LIFETIME, Console, PASSKEY, RECOVERY, RECOVERY_CODE, RECOVERY_CODES, RelyingParty, Try, hash, hash_code,
        hash_recovery_code, new_code, new_secret,
        passkeys::{Begun, new_handle},
    },
    http::{
        Shared,
        access::Visit,
        input::{Json as Input, Named},
        openapi::Routes,
        person::{Credential, Role},
        problem::{AdminProblem, Code, Problem},
    },
    keys::now,
    store::{Ceremony, PasskeyRow, PersonCode, Registration, SessionRow, StoreError, UserRow},
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(look_at_code))
        .routes(routes!(register_start))
        .routes(routes!(register_finish))
        .routes(routes!(login_start))
        .routes(routes!(login_finish))
        .routes(routes!(reauth_start))
        .routes(routes!(reauth_finish))
        .routes(routes!(recover))
        .routes(routes!(new_recovery_codes))
        .routes(routes!(list))
        .routes(routes!(remove))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeAlone {
    /// The one-time code.
    #[schema(value_type = String)]
    code: Zeroizing<String>,
}

/// Show what a code is for
///
/// What a code is for. It is not used up by that.
#[utoipa::path(post, path = "/console/v1/setup", operation_id = "lookAtCode", tag = "console",
    request_body = CodeAlone,
    responses((status = 200, description = "What it is for", body = Object)))]
pub(super) async fn look_at_code(
    State(service): State<Shared>,
    visit: Visit,
    Input(CodeAlone { code }): Input<CodeAlone, MAX_BODY>,
) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let found = good_code(console, &code, &visit).await?;
    let user = user_of(console, &found).await?;
    Ok(Json(json!({
        "kind": found.kind,
        "name": user.as_ref().map(|user| &user.name),
        "display_name": user.as_ref().map(|user| &user.display_name),
        "role": user.as_ref().map_or(Role::Administrator.as_str(), |user| &user.role),
        "expires_at": moment(found.expires_at),
    })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    /// The one-time code of somebody who has no session.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    code: Option<Zeroizing<String>>,
    /// In the first set-up: what the audit and the rule of two people are to know the administrator by.
    #[serde(default)]
    name: Option<String>,
    /// In the first set-up: what people call them; the name when absent.
    #[serde(default)]
    display_name: Option<String>,
}

/// Ask for a new passkey
///
/// Asks for a passkey, for whoever has a code or a session.
#[utoipa::path(post, path = "/console/v1/register/start", operation_id = "startRegistration", tag = "console",
    request_body = Register,
    responses((status = 200, description = "The ceremony and PublicKeyCredentialCreationOptionsJSON", body = Object)))]
pub(super) async fn register_start(
    State(service): State<Shared>,
    visit: Visit,
    Input(request): Input<Register, MAX_BODY>,
) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let Register { code, name, display_name } = request;
    let named = name.is_some() || display_name.is_some();
    let only_setup = || Problem::new(Code::RequestMalformed, "name and display_name belong to the set-up alone").at("name");
    let (user, code, is_new) = if let Some(code) = code {
        let found = good_code(console, &code, &visit).await?;
        match user_of(console, &found).await? {
            Some(_) if named => return Err(only_setup().into()),
            Some(user) => (user, Some(hash_code(&code)), false),
            None => (first_user(console, name, display_name).await?, Some(hash_code(&code)), true),
        }
    } else {
        if named {
            return Err(only_setup().into());
        }
        let (_, person) = own_session(&visit)?;
        if person.credential != Credential::Recovery {
            person.needs_proof()?;
        }
        (known_user(console, &person.name).await?, None, false)
    };
    // With a code all passkeys of before are void, and the authenticator may replace its own.
    let known = if code.is_some() { Vec::new() } else { console.store.passkeys(Some(&user.name)).await? };
    let begun = console.config.relying_party.register(&user, &known).map_err(unlucky)?;
    let detail = if is_new {
        json!({ "name": user.name, "display_name": user.display_name, "handle": user.handle }).to_string()
    } else {
        "{}".to_owned()
    };
    begin(console, &visit, "register", Some(user.name), code, detail, begun).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Finish {
    /// What the start of it answered.
    #[schema(value_type = String)]
    ceremony: Zeroizing<String>,
    /// `PublicKeyCredential.toJSON()` (WebAuthn Level 3).
    #[schema(value_type = Object)]
    credential: Box<RawValue>,
    /// What the passkey is called.
    #[serde(default)]
    label: Option<String>,
}

/// Register a passkey
///
/// The passkey is there. A code is used up by this, and a session begins.
#[utoipa::path(post, path = "/console/v1/register/finish", operation_id = "finishRegistration", tag = "console",
    request_body = Finish,
    responses((status = 201, description = "The session, and recovery codes where they are new", body = Object)))]
pub(super) async fn register_finish(
    State(service): State<Shared>,
    visit: Visit,
    Input(request): Input<Finish, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let console = console(&service)?;
    let Finish { ceremony, credential, label } = request;
    let label = label.unwrap_or_else(|| "passkey".to_owned());
    if label.trim().is_empty() || label.chars().count() > 64 || label.chars().any(char::is_control) {
        return Err(Problem::new(Code::FieldInvalid, "label takes 1 to 64 characters, none of them a control character")
            .at("label")
            .into());
    }
    let ceremony = take(console, &visit, "register", &ceremony).await?;
    let person = ceremony.person.clone().unwrap_or_default();
    let mut ends = None;
    if ceremony.code.is_none() {
        let (session, who) = own_session(&visit)?;
        if who.name != person {
            return Err(refused("it was begun by another person").into());
        }
        ends = Some(session.id.clone());
    }
    let made = console.config.relying_party.registered(&ceremony.state, credential.get().as_bytes());
    let made = made.map_err(|why| refused_try(console, &visit, &why))?;
    let user = match ceremony.code {
        Some(_) if ceremony.detail != "{}" => Some(set_up(&ceremony)?),
        _ => None,
    };
    let left = console.store.recovery_codes_left().await?;
    let needs_codes = ceremony.code.is_some() || !left.iter().any(|(name, left)| *name == person && *left > 0);
    let codes = if needs_codes { recovery_codes()? } else { Vec::new() };
    let (mut session, secret) = new_session(&person, PASSKEY, &visit)?;
    if let Some(before) = visit.session.as_ref().filter(|before| before.person == person) {
        session.created_at = before.created_at;
    }
    let passkey = PasskeyRow {
        id: made.id,
        person: person.clone(),
        label: label.clone(),
        transports: made.transports,
        public_key: made.public_key,
        state: made.state,
        backed_up: made.backed_up,
        created_at: now(),
        last_used_at: None,
    };
    let action = if user.is_some() { "users.setup" } else { "users.register_passkey" };
    let row = event(&person, action, &visit).with("passkey", passkey.id.as_str()).with("label", label);
    record(&service, row.with("by_code", ceremony.code.is_some())).await?;
    let refusal = if ceremony.code.is_some() { Code::CodeRefused } else { Code::Conflict };
    let registration = Registration {
        passkey,
        code: ceremony.code,
        user,
        recovery_codes: codes.iter().map(|code| hash_recovery_code(&person, code)).collect(),
        session: session.clone(),
        ends: ends.or_else(|| visit.session.as_ref().map(|session| session.id.clone())),
    };
    match console.store.register(&registration).await {
        Ok(()) => {}
        Err(StoreError::Conflict(why)) => {
            count_refusal(console, &visit);
            return Err(Problem::new(refusal, format!("nothing was registered: {why}")).into());
        }
        Err(error) => return Err(error.into()),
    }
    let codes = needs_codes.then(|| codes.iter().map(|code| code.to_string()).collect());
    begun(&service, StatusCode::CREATED, (session, secret), codes).await
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Ask for a passkey
///
/// Asks for whatever passkey the browser has.
#[utoipa::path(post, path = "/console/v1/login/start", operation_id = "startLogin", tag = "console",
    request_body = Nothing,
    responses((status = 200, description = "The ceremony and PublicKeyCredentialRequestOptionsJSON", body = Object)))]
pub(super) async fn login_start(
    State(service): State<Shared>,
    visit: Visit,
    Input(Nothing {}): Input<Nothing, MAX_BODY>,
) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let begun = console.config.relying_party.login().map_err(unlucky)?;
    begin(console, &visit, "login", None, None, "{}".to_owned(), begun).await
}

/// Log in
///
/// A session begins; the browser's of before ends.
#[utoipa::path(post, path = "/console/v1/login/finish", operation_id = "finishLogin", tag = "console",
    request_body = Finish,
    responses((status = 200, description = "The session", body = Object)))]
pub(super) async fn login_finish(
    State(service): State<Shared>,
    visit: Visit,
    Input(Finish { ceremony, credential, .. }): Input<Finish, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let console = console(&service)?;
    let ceremony = take(console, &visit, "login", &ceremony).await?;
    let answer = credential.get().as_bytes();
    let claimed = RelyingParty::claimed(answer).map_err(|why| refused_try(console, &visit, &why))?;
    let user = console.store.user_by_handle(&claimed.handle).await?;
    let passkey = console.store.passkey(&claimed.id).await?;
    let Some((user, passkey)) = user.zip(passkey).filter(|(user, passkey)| user.name == passkey.person) else {
        return Err(refused_try(console, &visit, "it is not known here").into());
    };
    let checked = match user.disabled_at {
        Some(_) => Err("its owner is disabled".to_owned()),
        None => console.config.relying_party.logged_in(&ceremony.state, answer, &user, &passkey),
    };
    let shown = match checked {
        Ok(shown) => shown,
        Err(why) => {
            let problem = refused_try(console, &visit, &why);
            record(&service, event(&user.name, "session.refuse", &visit).with("why", why)).await?;
            return Err(problem.into());
        }
    };
    let session = new_session(&user.name, PASSKEY, &visit)?;
    let row = event(&user.name, "session.login", &visit).with("passkey", passkey.id.as_str());
    record(&service, row.with("session", session.0.reference.as_str())).await?;
    console.store.passkey_used(&passkey.id, &shown.state, shown.backed_up, now()).await?;
    console.store.begin_session(&session.0, None).await?;
    if let Some(before) = &visit.session {
        console.store.end_sessions(&before.person, Some(&before.reference)).await?;
    }
    begun(&service, StatusCode::OK, session, None).await
}

/// Ask for a passkey again
///
/// Asks the session's person for a passkey.
#[utoipa::path(post, path = "/console/v1/reauth/start", operation_id = "startReauthentication", tag = "console",
    request_body = Nothing,
    responses((status = 200, description = "The ceremony and PublicKeyCredentialRequestOptionsJSON", body = Object)))]
pub(super) async fn reauth_start(
    State(service): State<Shared>,
    visit: Visit,
    Input(Nothing {}): Input<Nothing, MAX_BODY>,
) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let (session, person) = own_session(&visit)?;
    let passkeys = console.store.passkeys(Some(&person.name)).await?;
    let begun = console.config.relying_party.prove(&passkeys).map_err(unlucky)?;
    // Bound to the session: its hash, which nobody outside knows.
    begin(console, &visit, "reauth", Some(person.name.clone()), Some(session.id.clone()), "{}".to_owned(), begun).await
}

/// Show a passkey again
///
/// The session goes on under another name, and dangerous acts are open for a while.
#[utoipa::path(post, path = "/console/v1/reauth/finish", operation_id = "finishReauthentication", tag = "console",
    request_body = Finish,
    responses((status = 200, description = "The session, with another name", body = Object)))]
pub(super) async fn reauth_finish(
    State(service): State<Shared>,
    visit: Visit,
    Input(Finish { ceremony, credential, .. }): Input<Finish, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let console = console(&service)?;
    let (before, person) = own_session(&visit)?;
    let ceremony = take(console, &visit, "reauth", &ceremony).await?;
    if ceremony.code.as_deref() != Some(before.id.as_str()) {
        return Err(refused("it was begun by another session").into());
    }
    let user = known_user(console, &person.name).await?;
    let passkeys = console.store.passkeys(Some(&person.name)).await?;
    let answer = credential.get().as_bytes();
    let proved = console.config.relying_party.proved(&ceremony.state, answer, &user, &passkeys);
    let (passkey, shown) = match proved {
        Ok(proved) => proved,
        Err(why) => {
            let problem = refused_try(console, &visit, &why);
            record(&service, event(&user.name, "session.refuse", &visit).with("why", why)).await?;
            return Err(problem.into());
        }
    };
    let (session, secret) = new_session(&user.name, PASSKEY, &visit)?;
    let session = SessionRow { created_at: before.created_at, reference: before.reference.clone(), ..session };
    let row = event(&user.name, "session.reauthenticate", &visit).with("passkey", passkey.id.as_str());
    record(&service, row.with("session", session.reference.as_str())).await?;
    console.store.passkey_used(&passkey.id, &shown.state, shown.backed_up, now()).await?;
    console.store.begin_session(&session, Some(&before.id)).await?;
    begun(&service, StatusCode::OK, (session, secret), None).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recovery {
    /// Who it is.
    name: String,
    /// One of their unused recovery codes.
    #[schema(value_type = String)]
    code: Zeroizing<String>,
}

/// Log in with a recovery code
///
/// A session that is good for registering a passkey alone.
#[utoipa::path(post, path = "/console/v1/recovery", operation_id = "recover", tag = "console",
    request_body = Recovery,
    responses((status = 200, description = "A session for registering a passkey", body = Object)))]
pub(super) async fn recover(
    State(service): State<Shared>,
    visit: Visit,
    Input(Recovery { name, code }): Input<Recovery, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    let console = console(&service)?;
    let name = name.trim();
    take_try(console, Try::Refused, &visit.network())?;
    if let Err(problem) = take_try(console, Try::Recovery, name) {
        give_try_back(console, Try::Refused, &visit.network());
        return Err(problem.into());
    }
    let refuse = || {
        note_refusal(&visit);
        // The same for a name that nobody has.
        AdminProblem::from(Problem::new(Code::CodeRefused, "the code is unknown, was used, or belongs to another name"))
    };
    if console.store.user(name).await?.is_none() {
        return Err(refuse());
    }
    let session = new_session(name, RECOVERY, &visit)?;
    match console.store.recover(&hash_recovery_code(name, &code), &session.0).await {
        Ok(()) => {
            give_try_back(console, Try::Refused, &visit.network());
            give_try_back(console, Try::Recovery, name);
        }
        Err(StoreError::Conflict(_)) => {
            let problem = refuse();
            record(&service, event(name, "session.refuse", &visit).with("why", "recovery code")).await?;
            return Err(problem);
        }
        Err(error) => return Err(error.into()),
    }
    // The code is used up by now: without its row the session ends before anybody has it.
    let row = event(name, "session.recover", &visit).with("session", session.0.reference.as_str());
    if let Err(problem) = record(&service, row).await {
        console.store.end_sessions(name, Some(&session.0.reference)).await?;
        return Err(problem);
    }
    if let Some(before) = &visit.session {
        console.store.end_sessions(&before.person, Some(&before.reference)).await?;
    }
    begun(&service, StatusCode::OK, session, None).await
}

/// Make new recovery codes
///
/// New ones; those of before are void.
#[utoipa::path(post, path = "/console/v1/recovery-codes", operation_id = "newRecoveryCodes", tag = "console",
    responses((status = 200, description = "The codes, shown this once", body = Object)))]
pub(super) async fn new_recovery_codes(State(service): State<Shared>, visit: Visit) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let (_, person) = own_proved_session(&visit)?;
    let codes = recovery_codes()?;
    record(&service, event(&person.name, "users.new_recovery_codes", &visit)).await?;
    let hashes: Vec<String> = codes.iter().map(|code| hash_recovery_code(&person.name, code)).collect();
    console.store.set_recovery_codes(&person.name, &hashes).await?;
    Ok(Json(json!({ "recovery_codes": codes.iter().map(|code| code.as_str()).collect::<Vec<_>>() })))
}

/// List one's own passkeys
///
/// One's own.
#[utoipa::path(get, path = "/console/v1/passkeys", operation_id = "listPasskeys", tag = "console",
    responses((status = 200, description = "The passkeys", body = Object)))]
pub(super) async fn list(State(service): State<Shared>, visit: Visit) -> Result<Json<Value>, AdminProblem> {
    let console = console(&service)?;
    let (_, person) = own_session(&visit)?;
    let passkeys: Vec<Value> = console
        .store
        .passkeys(Some(&person.name))
        .await?
        .iter()
        .map(|passkey| {
            json!({
                "id": passkey.id,
                "label": passkey.label,
                "created_at": moment(passkey.created_at),
                "last_used_at": passkey.last_used_at.map(moment),
                "backed_up": passkey.backed_up,
            })
        })
        .collect();
    Ok(Json(json!({ "passkeys": passkeys })))
}

/// Remove one of one's own passkeys
///
/// One of one's own, never the last.
#[utoipa::path(delete, path = "/console/v1/passkeys/{passkey}", operation_id = "removePasskey", tag = "console",
    params(("passkey" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(service): State<Shared>,
    visit: Visit,
    Named(id): Named<String>,
) -> Result<StatusCode, AdminProblem> {
    let console = console(&service)?;
    let (_, person) = own_proved_session(&visit)?;
    if !console.store.passkeys(Some(&person.name)).await?.iter().any(|passkey| passkey.id == id) {
        return Err(Problem::new(Code::NotFound, "no passkey of yours has this name").into());
    }
    record(&service, event(&person.name, "users.remove_passkey", &visit).with("passkey", id.as_str())).await?;
    match console.store.delete_passkey(&person.name, &id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::Conflict(why)) => Err(Problem::new(Code::Conflict, format!("nothing was removed: {why}")).into()),
        Err(error) => Err(error.into()),
    }
}

/// What a code is for, if it is good.
async fn good_code(console: &Console, code: &str, visit: &Visit) -> Result<PersonCode, AdminProblem> {
    take_try(console, Try::Refused, &visit.network())?;
    let Some(found) = console.store.person_code(&hash_code(code), now()).await? else {
        note_refusal(visit);
        let detail =
            "the code is unknown, was used, or is too old; edgeseal users setup-code or an administrator makes another one";
        return Err(Problem::new(Code::CodeRefused, detail).at("code").into());
    };
    give_try_back(console, Try::Refused, &visit.network());
    Ok(found)
}

/// Whom a code is for; nobody yet for the set-up.
async fn user_of(console: &Console, code: &PersonCode) -> Result<Option<UserRow>, AdminProblem> {
    match &code.person {
        Some(person) => Ok(Some(known_user(console, person).await?)),
        None => Ok(None),
    }
}

async fn known_user(console: &Console, name: &str) -> Result<UserRow, AdminProblem> {
    let user = console.store.user(name).await?;
    user.ok_or_else(|| Problem::new(Code::NotFound, format!("no user is called {name:?}")).into())
}

/// The administrator whom a set-up code makes.
async fn first_user(console: &Console, name: Option<String>, display_name: Option<String>) -> Result<UserRow, AdminProblem> {
    let name = name
        .ok_or_else(|| Problem::new(Code::FieldInvalid, "name is missing: it is what the audit will know you by").at("name"))?;
    let display_name = display_name.filter(|display_name| !display_name.is_empty()).unwrap_or_else(|| name.clone());
    check_names(&name, &display_name)?;
    if console.store.user(&name).await?.is_some() {
        let detail = format!("the name {name} was given before; edgeseal users invite {name} lets its owner back in");
        return Err(Problem::new(Code::Conflict, detail).at("name").into());
    }
    Ok(UserRow {
        name,
        display_name,
        role: Role::Administrator.as_str().to_owned(),
        handle: new_handle(),
        created_at: now(),
        disabled_at: None,
        last_login_at: None,
    })
}

/// Whether somebody can have these names.
pub(crate) fn check_names(name: &str, display_name: &str) -> Result<(), Problem> {
    if check_name("users", name).is_err() {
        return Err(Problem::new(Code::FieldInvalid, "name takes 1 to 64 characters out of a-z, 0-9, - _ . and is not . or ..")
            .at("name"));
    }
    if display_name.chars().count() > 64 || display_name.chars().any(char::is_control) {
        let detail = "display_name takes at most 64 characters, none of them a control character";
        return Err(Problem::new(Code::FieldInvalid, detail).at("display_name"));
    }
    RelyingParty::check_names(name, display_name)
        .map_err(|(field, why)| Problem::new(Code::FieldInvalid, format!("{field} cannot be used: {why}")).at(field))
}

/// The person whom a ceremony of the set-up was begun for.
fn set_up(ceremony: &Ceremony) -> Result<UserRow, AdminProblem> {
    #[derive(Deserialize)]
    struct Detail {
        name: String,
        display_name: String,
        handle: String,
    }
    let Detail { name, display_name, handle } = serde_json::from_str(&ceremony.detail)
        .map_err(|error| AdminProblem::from(StoreError::Corrupt(format!("ceremonies.detail: {error}"))))?;
    let role = Role::Administrator.as_str().to_owned();
    Ok(UserRow { name, display_name, role, handle, created_at: now(), disabled_at: None, last_login_at: None })
}

async fn begin(
    console: &Console,
    visit: &Visit,
    kind: &str,
    person: Option<String>,
    code: Option<String>,
    detail: String,
    begun: Begun,
) -> Result<Json<Value>, AdminProblem> {
    may_try(console, Try::Refused, &visit.network())?;
    take_try(console, Try::Ceremony, &visit.network())?;
    let secret = new_secret().map_err(no_randomness)?;
    let id = hash("ceremony", &secret);
    let expires_at = now().plus_secs(CEREMONY_LIFETIME);
    let ceremony = Ceremony { id, kind: kind.to_owned(), person, code, detail, state: begun.state, expires_at };
    console.store.begin_ceremony(&ceremony).await?;
    Ok(Json(json!({ "ceremony": secret.as_str(), "publicKey": begun.options })))
}

async fn take(console: &Console, visit: &Visit, kind: &str, secret: &str) -> Result<Ceremony, AdminProblem> {
    take_try(console, Try::Refused, &visit.network())?;
    let Some(found) = console.store.take_ceremony(&hash("ceremony", secret), kind, now()).await? else {
        note_refusal(visit);
        return Err(refused("the ceremony is unknown, has ended, or took too long").into());
    };
    give_try_back(console, Try::Refused, &visit.network());
    Ok(found)
}

fn refused(why: &str) -> Problem {
    Problem::new(Code::PasskeyRefused, format!("{why}; begin again"))
}

fn refused_try(console: &Console, visit: &Visit, why: &str) -> Problem {
    count_refusal(console, visit);
    refused(why)
}

/// What cannot be asked for, though nothing is wrong with the request.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unlucky(why: String) -> Problem {
    tracing::error!(why, "a WebAuthn ceremony could not begin");
    Problem::new(Code::PasskeyRefused, format!("no passkey can be asked for: {why}"))
}

fn recovery_codes() -> Result<Vec<Zeroizing<String>>, Problem> {
    (0..RECOVERY_CODES).map(|_| new_code(RECOVERY_CODE).map_err(no_randomness)).collect()
}
