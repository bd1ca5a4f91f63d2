//! `edgeseal users`: the way in to the console for whoever has the signer's machine: the first set-up, and whenever nobody can
//! log in any more. They work on the store directly, beside a running signer, which follows at once.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ConfigArguments, block_on, check_argument, consent, existing_store, output};
use crate::{
    config::Settings,
    console::{CODE, INVITATION_LIFETIME, SETUP_LIFETIME, hash_code, new_code, passkeys::new_handle},
    error::{Failure, FailureKind},
    http::{console::check_names, person::Role},
    issue::Lifetime,
    keys::{Actor, Ledger, Moment, now},
    store::{Store, StoreError, UserRow},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a one-time code with which somebody becomes an administrator of the console
    SetupCode(SetupCode),
    /// Make a one-time code for somebody new, or for somebody who has lost every passkey
    Invite(Invite),
    /// List who may come to the console
    List(Listing),
    /// Refuse a user from now on: sessions, passkeys, codes and client certificates of that name. Who has a certificate alone is
    /// invited first
    Disable(Disable),
    /// Let a disabled user back
    Enable(Named),
}

#[derive(Debug, Args)]
pub(super) struct SetupCode {
    /// How long it is good, at most a day
    #[arg(long, value_name = "SPAN", default_value_t = Lifetime(SETUP_LIFETIME))]
    lifetime: Lifetime,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The user: 1 to 64 characters out of a-z, 0-9, - _ .
    name: String,
    /// What somebody new may do: administrator, operator or auditor
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// How long the code is good, at most a day
    #[arg(long, value_name = "SPAN", default_value_t = Lifetime(INVITATION_LIFETIME))]
    lifetime: Lifetime,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The user
    name: String,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Disable {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    user: Named,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::SetupCode(arguments) => setup_code(arguments),
        Command::Invite(arguments) => invite(arguments),
        Command::List(arguments) => list(arguments),
        Command::Disable(Disable { yes, user }) => change(user, Some(*yes)),
        Command::Enable(arguments) => change(arguments, None),
    }
}

/// A new set-up code, in place of the one of before.
///
/// # Errors
/// When the store cannot be written.
pub(super) async fn new_setup_code(
    store: &Store,
    ledger: &Ledger,
    lifetime: u64,
) -> Result<(Zeroizing<String>, Moment), Failure> {
    let detail = json!({ "lifetime": lifetime }).to_string();
    ledger.record(&Actor::local(), "users.setup_code", "", &detail).await?;
    let (code, at) = (code()?, now());
    let expires_at = at.plus_secs(lifetime);
    store.insert_person_code(&hash_code(&code), "setup", None, at, expires_at).await?;
    Ok((code, Moment(expires_at)))
}

fn setup_code(arguments: &SetupCode) -> Result<ExitCode, Failure> {
    let SetupCode { lifetime, json, config } = arguments;
    let lifetime = at_most_a_day(*lifetime)?;
    let settings = config.load(Vec::new())?;
    let url = url(&settings)?;
    let (code, expires_at) = with_store(&settings, async |store, ledger| new_setup_code(&store, &ledger, lifetime).await)?;
    show(*json, &url, None, &code, expires_at);
    Ok(ExitCode::SUCCESS)
}

fn invite(arguments: &Invite) -> Result<ExitCode, Failure> {
    let Invite { name, role, lifetime, json, config } = arguments;
    let lifetime = at_most_a_day(*lifetime)?;
    check_argument("user", name)?;
    let usage = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    let known = Role::ALL.map(Role::as_str).join(", ");
    let role = role
        .as_deref()
        .map(|role| Role::from_name(role).ok_or_else(|| usage(format!("--role {role:?}: it takes one of {known}"))));
    let role = role.transpose()?;
    check_names(name, name).map_err(|problem| usage(problem.detail().to_owned()))?;
    let settings = config.load(Vec::new())?;
    let url = url(&settings)?;
    let (code, at) = (code()?, now());
    let expires_at = at.plus_secs(lifetime);
    with_store(&settings, async |store, ledger| {
        let user = store.user(name).await?;
        let detail = json!({ "role": role.map(Role::as_str), "expires_at": Moment(expires_at).to_string() }).to_string();
        match (user, role) {
            (Some(user), _) if user.disabled_at.is_some() => Err(Failure::new(
                FailureKind::Refused,
                format!("user {name} is disabled; edgeseal users enable {name} comes first"),
            )),
            (Some(user), Some(role)) if user.role != role.as_str() => {
                Err(usage(format!("user {name} is {}; leave --role away, and give another role at the console", user.role)))
            }
            (Some(_), _) => {
                ledger.record(&Actor::local(), "users.invite_again", name, &detail).await?;
                Ok(store.insert_person_code(&hash_code(&code), "reset", Some(name), at, expires_at).await?)
            }
            (None, None) => Err(usage(format!("no user is called {name}; say by --role what they may do: {known}"))),
            (None, Some(role)) => {
                ledger.record(&Actor::local(), "users.invite", name, &detail).await?;
                let user = UserRow {
                    name: name.clone(),
                    display_name: name.clone(),
                    role: role.as_str().to_owned(),
                    handle: new_handle(),
                    created_at: at,
                    disabled_at: None,
                    last_login_at: None,
                };
                Ok(store.invite_user(&user, &hash_code(&code), expires_at).await?)
            }
        }
    })?;
    show(*json, &url, Some(name), &code, Moment(expires_at));
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &Listing) -> Result<ExitCode, Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let (users, passkeys) = block_on(async {
        let store = existing_store(&settings).await?;
        Ok((store.users().await?, store.passkeys(None).await?))
    })?;
    let count = |name: &str| passkeys.iter().filter(|passkey| passkey.person == name).count();
    if arguments.json {
        let users: Vec<Value> = users
            .iter()
            .map(|user| {
                json!({
                    "name": user.name, "role": user.role, "disabled": user.disabled_at.is_some(), "passkeys": count(&user.name),
                    "last_login_at": user.last_login_at.map(|at| Moment(at).to_string()),
                })
            })
            .collect();
        output::json(&json!({ "users": users }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = users
        .iter()
        .map(|user| {
            let state = match (user.disabled_at, count(&user.name)) {
                (Some(at), _) => format!("disabled {}", Moment(at)),
                (None, 0) => "invited".to_owned(),
                (None, passkeys) => format!("may log in, passkeys: {passkeys}"),
            };
            let login = user.last_login_at.map_or_else(|| "never".to_owned(), |at| Moment(at).to_string());
            vec![user.name.clone(), user.role.clone(), state, login]
        })
        .collect();
    output::table(&["USER", "ROLE", "STATE", "LAST LOGIN"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Disables a user, if that is meant, or enables one.
fn change(Named { name, config }: &Named, disable: Option<bool>) -> Result<ExitCode, Failure> {
    let settings = config.load(Vec::new())?;
    let timing = settings.timing()?;
    block_on(async {
        let store = existing_store(&settings).await?;
        let ledger = Ledger::new(store.clone(), timing, Vec::new());
        if store.user(name).await?.is_none() {
            return Err(Failure::new(
                FailureKind::Refused,
                format!(
                    "no user is called {name}; edgeseal users list shows all, and who comes by a certificate alone is one once invited"
                ),
            ));
        }
        if let Some(yes) = disable {
            consent(yes, &format!("user {name} will be refused at once: sessions, passkeys, codes and client certificates"))?;
        }
        let disable = disable.is_some();
        let action = if disable { "users.disable" } else { "users.enable" };
        ledger.record(&Actor::local(), action, name, "{}").await?;
        let changed = if disable { store.disable_user(name, now()).await } else { store.enable_user(name, now()).await };
        match changed {
            Err(StoreError::Conflict(why)) => Err(Failure::new(FailureKind::Refused, format!("nothing was changed: {why}"))),
            other => Ok(other?),
        }
    })?;
    output::line(if disable.is_some() {
        format!("user {name} is refused from now on; edgeseal users enable {name} lets them back")
    } else {
        format!("user {name} may log in again; edgeseal users invite {name} makes a code if every passkey is lost")
    });
    Ok(ExitCode::SUCCESS)
}

fn with_store<T>(settings: &Settings, work: impl AsyncFnOnce(Store, Ledger) -> Result<T, Failure>) -> Result<T, Failure> {
    let (place, timing) = (settings.store()?, settings.timing()?);
    block_on(async {
        let store = Store::open(&place).await?;
        let ledger = Ledger::new(store.clone(), timing, Vec::new());
        work(store, ledger).await
    })
}

fn url(settings: &Settings) -> Result<String, Failure> {
    settings.console_url()?.ok_or_else(|| {
        Failure::configuration(
            "listen.admin is not configured, and the administrators' listener serves the console; see signer-native/README.md",
        )
    })
}

fn show(json: bool, url: &str, name: Option<&str>, code: &str, expires_at: Moment) {
    if json {
        output::json(&json!({ "user": name, "code": code, "expires_at": expires_at.to_string(), "url": url }));
        return;
    }
    output::line(code);
    output::note(format_args!("good once, until {expires_at}; at {url}, which asks for it"));
}

fn at_most_a_day(lifetime: Lifetime) -> Result<u64, Failure> {
    if (1..=INVITATION_LIFETIME).contains(&lifetime.as_secs()) {
        return Ok(lifetime.as_secs());
    }
    Err(Failure::new(FailureKind::Usage, format!("--lifetime {lifetime}: a code is good for 1s to 24h")))
}

fn code() -> Result<Zeroizing<String>, Failure> {
    new_code(CODE).map_err(|error| Failure::new(FailureKind::System, format!("this machine gives no randomness: {error}")))
}
