//! `edgeseal keys`: generate, list, activate, retire. They work on the registry and the HSM directly, beside a running
//! signer, which reads the registry again within its lease.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, output};
use crate::{
    config::Settings,
    error::{Failure, FailureKind},
    keys::{Key, Ledger, Moment, Registry, State, Timing, registry},
    service::open_hsm,
    store::{Store, StoreSettings},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Generate a key inside the HSM and publish it as a standby
    Generate(Generate),
    /// List the keys
    List(Listing),
    /// Let a standby sign, and its predecessor retire
    Activate(Step),
    /// Take a key out of the JWK Set whose tokens have all expired
    Retire(Step),
}

#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The profile that the key will sign for
    #[arg(long, default_value = "default")]
    profile: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Also keys that were retired or never came to be
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Step {
    /// The key, or enough of the beginning of its kid
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Generate(arguments) => generate(arguments)?,
        Command::List(arguments) => list(arguments)?,
        Command::Activate(arguments) => step(arguments, Do::Activate)?,
        Command::Retire(arguments) => step(arguments, Do::Retire)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(arguments: &Generate) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let (timing, profiles, hsm, store) = (settings.timing()?, settings.profiles()?, settings.hsm()?, settings.store()?);
    let profile = profiles.get(&arguments.profile).ok_or_else(|| {
        let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
        Failure::new(
            FailureKind::Usage,
            format!("--profile {:?} is not configured; the profiles are {}", arguments.profile, known.join(", ")),
        )
    })?;
    let key = block_on(async {
        let hsm = open_hsm(hsm).await?;
        let store = Store::open(&store).await?;
        let registry = Registry::new(store, hsm, timing);
        Ok(registry.generate(&profile.name, profile.algorithm, profile.rsa_bits, profile.max_lifetime.as_secs()).await?)
    })?;
    if arguments.json {
        output::json(&describe(&key, &timing));
        return Ok(());
    }
    let kid = key.kid().unwrap_or_default();
    output::line(format_args!("published {kid}: {} ({}), generated inside, not extractable", key.algorithm, key.kind()));
    output::line(format_args!(
        "it can sign from {} on: edgeseal keys activate {kid}",
        Moment(timing.earliest_activation(key.published_at.unwrap_or(key.created_at)))
    ));
    Ok(())
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let timing = settings.timing()?;
    let mut keys = block_on(async { Ok(ledger(&settings, timing).await?.keys().await?) })?;
    keys.retain(|key| arguments.all || !matches!(key.state, State::Retired | State::Failed));
    keys.sort_by(|one, other| one.profile.cmp(&other.profile).then(other.created_at.cmp(&one.created_at)));
    if arguments.json {
        output::json(&Value::Array(keys.iter().map(|key| describe(key, &timing)).collect()));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            vec![
                key.profile.clone(),
                key.kid().map_or_else(|| "-".to_owned(), output::short),
                key.algorithm.to_string(),
                key.state.to_string(),
                since(key).to_string(),
                note(key, &timing),
            ]
        })
        .collect();
    output::table(&["PROFILE", "KID", "ALG", "STATE", "SINCE", "UNTIL"], &rows);
    Ok(())
}

#[derive(Clone, Copy)]
enum Do {
    Activate,
    Retire,
}

fn step(arguments: &Step, what: Do) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let timing = settings.timing()?;
    let key = block_on(async {
        let ledger = ledger(&settings, timing).await?;
        Ok(match what {
            Do::Activate => ledger.activate(&arguments.kid).await?,
            Do::Retire => ledger.retire(&arguments.kid).await?,
        })
    });
    let key = key.map_err(|failure: Failure| match failure.kind() {
        FailureKind::Refused => Failure::new(FailureKind::Refused, format!("refused: {failure}")),
        _ => failure,
    })?;
    if arguments.json {
        output::json(&describe(&key, &timing));
    } else {
        let lease = timing.lease;
        output::line(format_args!(
            "{} is {}; a running signer follows within {lease} s",
            key.kid().unwrap_or_default(),
            key.state
        ));
    }
    Ok(())
}

async fn ledger(settings: &Settings, timing: Timing) -> Result<Ledger, Failure> {
    let store = settings.store()?;
    if let StoreSettings::Sqlite(path) = &store
        && !path.exists()
    {
        return Err(Failure::new(
            FailureKind::Store,
            format!("store.path {} does not exist; edgeseal serve or edgeseal keys generate makes it", path.display()),
        ));
    }
    Ok(Ledger::new(Store::open(&store).await?, timing))
}

fn describe(key: &Key, timing: &Timing) -> Value {
    let moment = |at: Option<edgeseal_core::Timestamp>| at.map(|at| Moment(at).to_string());
    json!({
        "kid": key.kid(),
        "profile": key.profile,
        "alg": key.algorithm,
        "key": key.kind().to_string(),
        "state": key.state.as_str(),
        "cka_id": key.id.to_string(),
        "created_at": Moment(key.created_at).to_string(),
        "published_at": moment(key.published_at),
        "activated_at": moment(key.activated_at),
        "demoted_at": moment(key.demoted_at),
        "retired_at": moment(key.retired_at),
        "can_sign_from": (key.state == State::Published).then(|| key.published_at.map(|at| Moment(timing.earliest_activation(at)).to_string())),
        "until": moment(registry::until(key, timing)),
    })
}

fn since(key: &Key) -> Moment {
    let at = match key.state {
        State::Generating => None,
        State::Published => key.published_at,
        State::Active => key.activated_at,
        State::Retiring => key.demoted_at,
        State::Retired | State::Failed => key.retired_at,
    };
    Moment(at.unwrap_or(key.created_at))
}

fn note(key: &Key, timing: &Timing) -> String {
    match key.state {
        State::Published => {
            let from = timing.earliest_activation(key.published_at.unwrap_or(key.created_at));
            if from <= crate::keys::now() { "standby".to_owned() } else { format!("standby, can sign from {}", Moment(from)) }
        }
        _ => registry::until(key, timing).map(|at| format!("{} (last token expires)", Moment(at))).unwrap_or_default(),
    }
}
