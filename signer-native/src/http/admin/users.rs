//! People: who may come to the console, and as what.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{MAX_BODY, ledger};
use crate::{
    audit::Event,
    console::{CODE, Console, INVITATION_LIFETIME, hash_code, new_code, passkeys::new_handle},
    http::{
        Shared,
        console::check_names,
        input::{Json as Input, Named},
        openapi::{Routes, step},
        person::{Administrator, Auditor, Role},
        problem::{AdminProblem, Code, Problem},
    },
    keys::{Moment, now, registry::RegistryError},
    store::{PasskeyRow, SessionRow, StoreError, UserRow},
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, invite))
        .routes(routes!(show))
        .routes(step(routes!(set_role)))
        .routes(step(routes!(disable)))
        .routes(step(routes!(enable)))
        .routes(step(routes!(invite_again)))
        .routes(step(routes!(end_sessions)))
}

/// A person.
#[derive(Serialize, ToSchema)]
struct UserView {
    /// The name that the audit and the rule of two people know them by; it is never given again.
    name: String,
    /// What people call them.
    display_name: String,
    /// `administrator`, `operator` or `auditor`.
    #[schema(value_type = Role)]
    role: String,
    /// Whether no session, code or certificate of theirs is good.
    disabled: bool,
    /// When they were invited first, or set the signer up.
    #[schema(format = "date-time")]
    created_at: String,
    /// When they logged in last; null is never.
    #[schema(required, format = "date-time")]
    last_login_at: Option<String>,
    /// How many passkeys they have.
    passkeys: usize,
    /// How many recovery codes are unused.
    recovery_codes_left: u64,
    /// How many sessions are open.
    sessions: usize,
    /// Whether a one-time code for them is open.
    invited: bool,
    /// From when on they count as one of two people; null when they do. Whoever is here on another's word waits.
    #[schema(required, format = "date-time")]
    second_person_from: Option<String>,
}

/// Everybody.
#[derive(Serialize, ToSchema)]
struct Users {
    /// By name.
    users: Vec<UserView>,
}

/// A one-time code, shown this once.
#[derive(Serialize, ToSchema)]
struct Invited {
    #[serde(flatten)]
    user: UserView,
    /// What the person types at the console.
    code: String,
    /// Until when it is good.
    #[schema(format = "date-time")]
    expires_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InviteUser {
    /// 1 to 64 characters, each one of `a-z`, `0-9`, `.`, `_` and `-`.
    #[schema(max_length = 64)]
    name: String,
    /// `administrator`, `operator` or `auditor`.
    #[schema(value_type = Role)]
    role: String,
    /// The name when absent.
    #[serde(default)]
    #[schema(max_length = 64)]
    display_name: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetRole {
    /// `administrator`, `operator` or `auditor`.
    #[schema(value_type = Role)]
    role: String,
}

/// List the users
#[utoipa::path(get, path = "/admin/v1/users", operation_id = "listUsers", tag = "users",
    responses((status = 200, description = "Everybody, by name", body = Users)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Users>, AdminProblem> {
    let everything = Everything::read(&service).await?;
    Ok(Json(Users { users: everything.users.iter().map(|user| everything.view(user)).collect() }))
}

/// Show a user
#[utoipa::path(get, path = "/admin/v1/users/{user}", operation_id = "getUser", tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(user): Named<String>) -> Result<Json<UserView>, AdminProblem> {
    one(&service, &user).await.map(Json)
}

/// Invite a user
///
/// With a code that is good once, within a day, for registering a passkey.
#[utoipa::path(post, path = "/admin/v1/users", operation_id = "inviteUser", tag = "users",
    request_body = InviteUser,
    responses((status = 201, description = "The user and the code", body = Invited)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn invite(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Input(InviteUser { name, role, display_name }): Input<InviteUser, MAX_BODY>,
) -> Result<(StatusCode, Json<Invited>), AdminProblem> {
    let console = console(&service)?;
    let role = known_role(&role)?;
    let display_name = display_name.filter(|display_name| !display_name.is_empty()).unwrap_or_else(|| name.clone());
    check_names(&name, &display_name)?;
    let taken = || Problem::new(Code::Conflict, format!("the name {name} was given before, and names are given once")).at("name");
    if console.store.user(&name).await?.is_some() {
        return Err(taken().into());
    }
    let code = code()?;
    let expires_at = now().plus_secs(INVITATION_LIFETIME);
    let row = Event::new(person.actor().name(), "users.invite", name.as_str()).with("role", role.as_str());
    record(&service, row.with("expires_at", Moment(expires_at).to_string())).await?;
    let user = UserRow {
        name: name.clone(),
        display_name,
        role: role.as_str().to_owned(),
        handle: new_handle(),
        created_at: now(),
        disabled_at: None,
        last_login_at: None,
    };
    match console.store.invite_user(&user, &hash_code(&code), expires_at).await {
        Err(StoreError::Conflict(_)) => return Err(taken().into()),
        other => other?,
    }
    let user = one(&service, &name).await?;
    Ok((StatusCode::CREATED, Json(Invited { user, code: code.to_string(), expires_at: Moment(expires_at).to_string() })))
}

/// Give a user another role
///
/// Their sessions end, unless it is the role that they have.
#[utoipa::path(post, path = "/admin/v1/users/{user}:set-role", operation_id = "setUserRole", tag = "users",
    params(("user" = String, Path, description = "The name")),
    request_body = SetRole,
    responses((status = 200, description = "The user", body = UserView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn set_role(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(user): Named<String>,
    Input(SetRole { role }): Input<SetRole, MAX_BODY>,
) -> Result<Json<UserView>, AdminProblem> {
    let console = console(&service)?;
    let before = known(console, &user).await?;
    let role = known_role(&role)?;
    // Nothing changes, so that nothing ends and nobody's word is new.
    if before.role == role.as_str() {
        return one(&service, &user).await.map(Json);
    }
    let row = Event::new(person.actor().name(), "users.set_role", user.as_str()).with("role", role.as_str());
    record(&service, row.with("before", before.role)).await?;
    last_administrator(console.store.set_role(&user, role.as_str(), now()).await)?;
    one(&service, &user).await.map(Json)
}

/// Disable a user
///
/// Their sessions end, and neither their passkeys and codes nor a client certificate of that name is good any more.
#[utoipa::path(post, path = "/admin/v1/users/{user}:disable", operation_id = "disableUser", tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn disable(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(user): Named<String>,
) -> Result<Json<UserView>, AdminProblem> {
    let console = console(&service)?;
    known(console, &user).await?;
    record(&service, Event::new(person.actor().name(), "users.disable", user.as_str())).await?;
    last_administrator(console.store.disable_user(&user, now()).await)?;
    one(&service, &user).await.map(Json)
}

/// Let a disabled user back
#[utoipa::path(post, path = "/admin/v1/users/{user}:enable", operation_id = "enableUser", tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn enable(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(user): Named<String>,
) -> Result<Json<UserView>, AdminProblem> {
    let console = console(&service)?;
    known(console, &user).await?;
    record(&service, Event::new(person.actor().name(), "users.enable", user.as_str())).await?;
    console.store.enable_user(&user, now()).await?;
    one(&service, &user).await.map(Json)
}

/// Make another code for a user
///
/// Who has lost every passkey. When the code is used, passkeys, recovery codes and sessions of before are void.
#[utoipa::path(post, path = "/admin/v1/users/{user}:invite", operation_id = "inviteUserAgain", tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, description = "The user and the code", body = Invited)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn invite_again(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(user): Named<String>,
) -> Result<Json<Invited>, AdminProblem> {
    let console = console(&service)?;
    if known(console, &user).await?.disabled_at.is_some() {
        return Err(Problem::new(Code::Conflict, format!("user {user} is disabled; enable them first")).into());
    }
    let (code, at) = (code()?, now());
    let expires_at = at.plus_secs(INVITATION_LIFETIME);
    let row = Event::new(person.actor().name(), "users.invite_again", user.as_str());
    record(&service, row.with("expires_at", Moment(expires_at).to_string())).await?;
    console.store.insert_person_code(&hash_code(&code), "reset", Some(&user), at, expires_at).await?;
    let user = one(&service, &user).await?;
    Ok(Json(Invited { user, code: code.to_string(), expires_at: Moment(expires_at).to_string() }))
}

/// End all sessions of a user
#[utoipa::path(post, path = "/admin/v1/users/{user}:end-sessions", operation_id = "endUserSessions", tag = "users",
    params(("user" = String, Path, description = "The name")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn end_sessions(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(user): Named<String>,
) -> Result<Json<UserView>, AdminProblem> {
    let console = console(&service)?;
    known(console, &user).await?;
    record(&service, Event::new(person.actor().name(), "users.end_sessions", user.as_str())).await?;
    console.store.end_sessions(&user, None).await?;
    one(&service, &user).await.map(Json)
}

/// What a view of people is made of, read at once.
struct Everything {
    users: Vec<UserRow>,
    passkeys: Vec<PasskeyRow>,
    codes_left: Vec<(String, u64)>,
    sessions: Vec<SessionRow>,
    invited: Vec<String>,
    waiting: BTreeMap<String, Timestamp>,
}

impl Everything {
    async fn read(service: &Shared) -> Result<Self, AdminProblem> {
        let console = console(service)?;
        let store = &console.store;
        Ok(Self {
            users: store.users().await?,
            passkeys: store.passkeys(None).await?,
            codes_left: store.recovery_codes_left().await?,
            sessions: console.sessions(None).await?,
            invited: store.people_with_codes(now()).await?,
            waiting: ledger(service).second_person_from(now()).await?,
        })
    }

    fn view(&self, user: &UserRow) -> UserView {
        let UserRow { name, display_name, role, handle: _, created_at, disabled_at, last_login_at } = user;
        UserView {
            name: name.clone(),
            display_name: display_name.clone(),
            role: role.clone(),
            disabled: disabled_at.is_some(),
            created_at: Moment(*created_at).to_string(),
            last_login_at: last_login_at.map(|at| Moment(at).to_string()),
            passkeys: self.passkeys.iter().filter(|passkey| passkey.person == *name).count(),
            recovery_codes_left: self.codes_left.iter().find(|(person, _)| person == name).map_or(0, |(_, left)| *left),
            sessions: self.sessions.iter().filter(|session| session.person == *name).count(),
            invited: self.invited.contains(name),
            second_person_from: self.waiting.get(name).map(|from| Moment(*from).to_string()),
        }
    }
}

async fn one(service: &Shared, name: &str) -> Result<UserView, AdminProblem> {
    let everything = Everything::read(service).await?;
    let found = everything.users.iter().find(|user| user.name == name).map(|user| everything.view(user));
    found.ok_or_else(|| unknown(name).into())
}

async fn known(console: &Console, name: &str) -> Result<UserRow, AdminProblem> {
    console.store.user(name).await?.ok_or_else(|| unknown(name).into())
}

fn unknown(name: &str) -> Problem {
    Problem::new(Code::NotFound, format!("no user is called {name:?}"))
}

fn known_role(name: &str) -> Result<Role, Problem> {
    Role::from_name(name).ok_or_else(|| {
        let known = Role::ALL.map(Role::as_str).join(", ");
        Problem::new(Code::FieldInvalid, format!("role is {name:?}; it takes one of {known}")).at("role")
    })
}

fn last_administrator(changed: Result<(), StoreError>) -> Result<(), AdminProblem> {
    match changed {
        Err(StoreError::Conflict(why)) => {
            Err(Problem::new(Code::LastAdministrator, format!("nothing was changed: {why}")).into())
        }
        other => Ok(other?),
    }
}

fn code() -> Result<Zeroizing<String>, Problem> {
    new_code(CODE).map_err(|error| {
        tracing::error!(%error, "no randomness");
        Problem::new(Code::StoreUnavailable, "this machine gives no randomness now; try again")
    })
}

fn console(service: &Shared) -> Result<&Console, Problem> {
    service.console.as_deref().ok_or_else(|| Problem::new(Code::NotFound, "this signer has no console"))
}

async fn record(service: &Shared, event: Event) -> Result<(), AdminProblem> {
    service.audit.append(event).await.map_err(RegistryError::Audit)?;
    Ok(())
}
