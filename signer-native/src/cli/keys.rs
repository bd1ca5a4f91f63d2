//! `edgeseal keys`: the life of keys. They work on the store and the HSM directly, beside a running signer, which reads
//! the store again within its lease.

mod show;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::json;

use super::{ConfigArguments, block_on, consent, existing_store, output, read_input, store_if_made};
use crate::{
    config::Settings,
    error::{Failure, FailureKind, Invalid},
    hsm::{KeyId, PrivateKey},
    issue::catalog,
    keys::{
        Actor, Command as Step, DESTRUCTION_DAYS, Done, Ledger, Moment, Registry, Slot, State, Window, check_label, days_of,
        shares::{self, Share},
    },
    service::open_hsm,
    store::{Approval, Store},
};

/// What the compromise of a key comes to.
pub(super) const COMPROMISE: &str = "out of use at once; if it signs tokens, it leaves the JWK Set and every edge refuses them; a standby, if there is one, signs where it did";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the keys
    List(Listing),
    /// Everything about one key
    Show(OneKey),
    /// Generate a key inside the HSM and publish it as a standby
    Generate(Generate),
    /// Let a standby sign, and its predecessor retire
    Activate(Activate),
    /// Take a key out of the JWK Set whose tokens have all expired, or that never signed
    Retire(OneKey),
    /// Let a key sign no more, for the time being
    Suspend(OneKey),
    /// End a suspension: the key signs again, or retires if another does meanwhile
    Resume(OneKey),
    /// Somebody else may have the key: take it out at once, and let the standby sign
    Compromise(Destructive),
    /// Propose the destruction of a retired or compromised key, or approve what another person proposed
    ScheduleDestroy(Destruction),
    /// Call a destruction off, or a proposal of one
    CancelDestroy(OneKey),
    /// Take in a key from its component shares, or a pair that is in the token already; it is shown as imported for good
    Import(Import),
    /// Split a private key into component shares, for people who bring them together where it is imported
    Split(Split),
}

#[derive(Debug, Args)]
pub(super) struct Split {
    /// The private key: PEM, PKCS#8, not encrypted
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How many shares, 2 to 16: all of them are needed
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=16))]
    shares: u8,
    /// The folder for them, one file each with mode 0600
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The profile that the key will sign for
    #[arg(long, default_value = "default")]
    profile: String,
    /// What people will call it; it is `CKA_LABEL` in the HSM
    #[arg(long)]
    label: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The profile that the key will sign for
    #[arg(long, default_value = "default")]
    profile: String,
    /// The `CKA_ID` of the pair: 32 hexadecimal digits
    #[arg(long, value_name = "HEX", required_unless_present = "shares")]
    id: Option<String>,
    /// The file of a share; all of them are needed
    #[arg(long = "share", value_name = "FILE", conflicts_with = "id")]
    shares: Vec<PathBuf>,
    /// What people will call the key; it is `CKA_LABEL` in the HSM
    #[arg(long, requires = "shares")]
    label: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Also keys that are retired, destroyed or failed
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct OneKey {
    /// The key: its kid, enough of the beginning of that, or what listings make of it
    #[arg(allow_hyphen_values = true)]
    kid: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Activate {
    /// Do not wait until every verifier can know the key: only where no key of its profile signs
    #[arg(long)]
    emergency: bool,
    #[command(flatten)]
    key: OneKey,
}

#[derive(Debug, Args)]
pub(super) struct Destructive {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    key: OneKey,
}

#[derive(Debug, Args)]
pub(super) struct Destruction {
    /// Days until it is destroyed, 7 to 30 [default: 7, or what the first person proposed]
    #[arg(long)]
    days: Option<u64>,
    #[command(flatten)]
    key: Destructive,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::List(arguments) => list(arguments)?,
        Command::Show(arguments) => show(arguments)?,
        Command::Generate(arguments) => generate(arguments)?,
        Command::Import(arguments) => import(arguments)?,
        Command::Split(arguments) => split(arguments)?,
        Command::Activate(Activate { emergency, key }) => step(key, Step::Activate { emergency: *emergency })?,
        Command::Retire(key) => step(key, Step::Retire)?,
        Command::Suspend(key) => step(key, Step::Suspend)?,
        Command::Resume(key) => step(key, Step::Resume)?,
        Command::CancelDestroy(key) => cancel_destroy(key)?,
        Command::Compromise(Destructive { yes, key }) => {
            agreed(*yes, &key.kid, COMPROMISE)?;
            step(key, Step::Compromise)?;
        }
        Command::ScheduleDestroy(arguments) => schedule_destroy(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(arguments: &Listing) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let ledger = block_on(ledger(&settings))?;
    let mut keys = block_on(async { Ok(ledger.keys().await?) })?;
    let gone = [State::Retired, State::Failed, State::Destroyed];
    keys.retain(|key| arguments.all || !gone.contains(&key.state));
    keys.sort_by(|one, other| {
        (&one.issuer, &one.profile, &one.agent)
            .cmp(&(&other.issuer, &other.profile, &other.agent))
            .then(other.created_at.cmp(&one.created_at))
    });
    if arguments.json {
        output::json(&json!(keys.iter().map(|key| ledger.describe(key)).collect::<Vec<_>>()));
    } else {
        show::table(&keys, &ledger);
    }
    Ok(())
}

fn show(arguments: &OneKey) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let ledger = block_on(ledger(&settings))?;
    let key = block_on(async { Ok(ledger.key(&arguments.kid).await?) })?;
    if arguments.json {
        output::json(&json!(ledger.describe(&key)));
    } else {
        show::lines(&key, &ledger);
    }
    Ok(())
}

fn generate(arguments: &Generate) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let slot = slot(&settings, &arguments.profile)?;
    let label = arguments.label.as_deref();
    if let Some(label) = label {
        check_label(label).map_err(|why| Failure::new(FailureKind::Usage, format!("--label {why}")))?;
    }
    let (key, ledger) = block_on(async {
        let registry = registry(&settings).await?;
        Ok((registry.generate(&slot, label, &Actor::local()).await?, registry.ledger().clone()))
    })?;
    if arguments.json {
        output::json(&json!(ledger.describe(&key)));
        return Ok(());
    }
    let kid = key.kid().unwrap_or_default();
    output::line(format_args!("published {kid}: {} ({}), generated inside, not extractable", key.algorithm, key.kind()));
    let from = Moment(ledger.timing_of(&key).earliest_activation(&key));
    output::line(format_args!("it can sign from {from} on: edgeseal keys activate {kid}"));
    Ok(())
}

fn import(arguments: &Import) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let slot = slot(&settings, &arguments.profile)?;
    let label = arguments.label.as_deref();
    if let Some(label) = label {
        check_label(label).map_err(|why| Failure::new(FailureKind::Usage, format!("--label {why}")))?;
    }
    let pair = match &arguments.id {
        Some(id) => Some(
            KeyId::from_hex(&id.to_ascii_lowercase())
                .ok_or_else(|| Failure::new(FailureKind::Usage, format!("--id {id:?} is not 32 hexadecimal digits")))?,
        ),
        None => None,
    };
    let private = if pair.is_none() { Some(read_shares(&arguments.shares)?) } else { None };
    let (key, ledger) = block_on(async {
        let registry = registry(&settings).await?;
        let key = match (pair, private) {
            (Some(id), _) => registry.import(&slot, id, &Actor::local()).await?,
            (None, Some(private)) => registry.import_private(&slot, private, label, &Actor::local()).await?,
            (None, None) => return Err(Failure::new(FailureKind::Usage, "--share or --id says what is taken in")),
        };
        Ok((key, registry.ledger().clone()))
    })?;
    if arguments.json {
        output::json(&json!(ledger.describe(&key)));
        return Ok(());
    }
    let kid = key.kid().unwrap_or_default();
    output::line(format_args!("published {kid}: {} ({}), imported: others may have a copy of it", key.algorithm, key.kind()));
    Ok(())
}

/// The key that these files make together.
fn read_shares(files: &[PathBuf]) -> Result<PrivateKey, Failure> {
    let mut shares = Vec::with_capacity(files.len());
    for file in files {
        let text = zeroize::Zeroizing::new(read_input(file)?);
        let share: Share = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(FailureKind::Usage, format!("--share {} is no share: {error}", file.display())))?;
        shares.push(share);
    }
    shares::combine(&shares).map_err(|Invalid { field, sentence }| {
        let place = field.strip_prefix("shares[").and_then(|rest| rest.strip_suffix(']')).and_then(|at| at.parse::<usize>().ok());
        let which = place.and_then(|at| files.get(at)).map_or_else(|| "the shares".to_owned(), |file| file.display().to_string());
        Failure::new(FailureKind::Usage, format!("--share: {which} {sentence}"))
    })
}

fn split(arguments: &Split) -> Result<(), Failure> {
    let Split { key, shares, out } = arguments;
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::new(
            FailureKind::Usage,
            format!("--key {} cannot be split: {why}; it takes an unencrypted PKCS#8 PEM file", key.display()),
        )
    };
    let der = PrivatePkcs8KeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
    let made = shares::split(der.secret_pkcs8_der(), usize::from(*shares)).map_err(|why| unusable(&why))?;
    for share in &made {
        let file = out.join(format!("share-{}-of-{}.json", share.index, share.of));
        let text = zeroize::Zeroizing::new(json!(share).to_string());
        write_private(&file, &text)?;
        output::line(format_args!("{}: share {} of {} of key {}", file.display(), share.index, share.of, share.key));
    }
    output::note("give each to another person; the key file is not needed any more: destroy it");
    Ok(())
}

/// A new file that only its owner may read.
fn write_private(file: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", file.display())))
}

fn step(arguments: &OneKey, command: Step) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let ledger = block_on(ledger(&settings))?;
    let done = block_on(async { Ok(ledger.command(&arguments.kid, command, &Actor::local()).await?) })?;
    tell(arguments, &ledger, done, command == Step::Compromise);
    Ok(())
}

/// The first person's word, or the second's; who is asked for it is told which.
fn schedule_destroy(Destruction { days, key: Destructive { yes, key: arguments } }: &Destruction) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let ledger = block_on(ledger(&settings))?;
    let open = block_on(async {
        let key = ledger.key(&arguments.kid).await?;
        let open = ledger.open_proposals(crate::keys::now()).await?;
        Ok(open.into_iter().find(|open| Some(open.subject.as_str()) == key.kid()))
    })?;
    let what = if let Some(open) = &open {
        let days = days_of(open)?;
        format!(
            "destroyed in the HSM in {days} days, as {} proposed: this is the second word; it cannot come back",
            open.proposer
        )
    } else {
        let days = days.unwrap_or(*DESTRUCTION_DAYS.start());
        format!("destroyed in the HSM {days} days after a second person approves; it cannot come back")
    };
    agreed(*yes, &arguments.kid, &what)?;
    let done = block_on(async { Ok(ledger.schedule_destroy(&arguments.kid, *days, &Actor::local()).await?) })?;
    tell(arguments, &ledger, done, false);
    Ok(())
}

/// What became of a step.
fn tell(arguments: &OneKey, ledger: &Ledger, done: Done, compromised: bool) {
    if arguments.json {
        output::json(&json!(ledger.describe_done(&done)));
        return;
    }
    let lease = ledger.timing().lease;
    match done {
        Done::Proposed(Approval { proposer, expires_at, .. }) => output::line(format_args!(
            "proposed by {proposer}; it is done when another person says the same before {}",
            Moment(expires_at)
        )),
        Done::Changed { key, successor, window } => {
            let kid = key.kid().unwrap_or_default();
            output::line(format_args!("{kid} is {}; a running signer follows within {lease} s", key.state));
            if let Some(at) = key.destroy_at.filter(|at| crate::keys::now() < *at) {
                output::line(format_args!(
                    "it is destroyed at {}; until 5 minutes before: edgeseal keys cancel-destroy {kid}",
                    Moment(at)
                ));
            }
            if let Some(successor) = successor {
                output::line(format_args!("{successor} signs instead"));
            } else if compromised && key.activated_at.is_some() {
                output::line(format_args!(
                    "if nothing signs for {} now: edgeseal keys generate, then edgeseal keys activate --emergency",
                    key.profile
                ));
            }
            if let Some(Window { kid, until }) = window {
                output::line(format_args!("until {} edges may answer key_not_found to tokens of {kid}", Moment(until)));
            }
        }
    }
}

/// A scheduled destruction, or one that was only proposed.
fn cancel_destroy(arguments: &OneKey) -> Result<(), Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let ledger = block_on(ledger(&settings))?;
    let withdrawn = block_on(async {
        let key = ledger.key(&arguments.kid).await?;
        let open = ledger.open_proposals(crate::keys::now()).await?;
        let Some(open) = open.into_iter().find(|open| Some(open.subject.as_str()) == key.kid()) else { return Ok(None) };
        ledger.withdraw(&open.id, &Actor::local()).await?;
        Ok(Some(open))
    })?;
    let Some(withdrawn) = withdrawn else { return step(arguments, Step::CancelDestroy) };
    if arguments.json {
        output::json(&json!({ "withdrawn": withdrawn.id, "kid": withdrawn.subject }));
    } else {
        output::line(format_args!("the proposal of {} is withdrawn", withdrawn.proposer));
    }
    Ok(())
}

/// Says what will become of a key, and asks a person; scripts say `--yes`.
pub(super) fn agreed(yes: bool, kid: &str, what: &str) -> Result<(), Failure> {
    consent(yes, &format!("key {kid} will be {what}"))
}

fn slot(settings: &Settings, profile: &str) -> Result<Slot, Failure> {
    let mut slots = settings.slots()?;
    if !slots.iter().any(|slot| slot.profile == profile) {
        // It may stand in the store.
        slots = block_on(async {
            let Some(store) = store_if_made(settings).await? else { return Ok(slots) };
            Ok(catalog::slots(&settings.profile_settings(), &settings.surroundings()?, &store).await?)
        })?;
    }
    if let Some(slot) = slots.iter().find(|slot| slot.profile == profile) {
        return Ok(slot.clone());
    }
    let known: Vec<&str> = slots.iter().map(|slot| slot.profile.as_str()).collect();
    Err(Failure::new(
        FailureKind::Usage,
        format!("--profile {profile:?} is not configured; the profiles are {}", known.join(", ")),
    ))
}

/// The registry, with the HSM.
pub(super) async fn registry(settings: &Settings) -> Result<Registry, Failure> {
    // What cannot be meant is refused before the HSM is asked for anything.
    let (timing, _, store) = (settings.timing()?, settings.slots()?, settings.store()?);
    let hsm = open_hsm(settings.hsm()?).await?;
    let store = Store::open(&store).await?;
    let slots = catalog::slots(&settings.profile_settings(), &settings.surroundings()?, &store).await?;
    let ledger = Ledger::new(store, timing, slots).with_second_person_after(settings.second_person_after()?);
    Ok(Registry::new(ledger, hsm))
}

async fn ledger(settings: &Settings) -> Result<Ledger, Failure> {
    let store = existing_store(settings).await?;
    // Where no issuer is configured, a compromised key is listed for all of them.
    let issuers = settings.issuers().unwrap_or_default();
    settings.slots()?;
    let slots = catalog::slots(&settings.profile_settings(), &settings.surroundings()?, &store).await?;
    let ledger = Ledger::new(store, settings.timing()?, slots).with_second_person_after(settings.second_person_after()?);
    Ok(ledger.with_issuers(issuers))
}
