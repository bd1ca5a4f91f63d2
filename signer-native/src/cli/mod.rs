//! The command line: arguments, exit codes, one file per subcommand.

mod agent;
mod agents;
mod audit;
mod certs;
mod completions;
mod dev;
mod doctor;
mod edge;
mod edges;
mod jwks;
mod keys;
mod openapi;
mod output;
mod profiles;
mod revoke;
mod serve;
mod token;
mod users;
mod verify;

use std::{
    ffi::OsString,
    future::Future,
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command as Process, ExitCode},
};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{LogConfig, NAME_RULE, Override, Settings, is_name},
    error::{Failure, FailureKind},
    hsm::{WORKER_SUBCOMMAND, serve_worker},
    store::{Store, StoreSettings},
    telemetry,
};

/// Signs JWTs with keys that never leave the HSM; verifies them anywhere.
#[derive(Debug, Parser)]
#[command(name = "edgeseal", version, propagate_version = true, disable_help_subcommand = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or rejected, 2 command line, 3 configuration (a wrong PIN too), \
4 HSM, 5 address in use, 6 store, 7 another machine cannot be reached, 8 this machine";

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything on one machine, to try it: token, keys, certificates, signer
    Dev(dev::Arguments),
    /// Run the signer
    Serve(serve::Arguments),
    /// The daemon beside an application
    Agent(Box<agent::Arguments>),
    /// Who may ask the signer: invite, list, revoke
    #[command(subcommand)]
    Agents(agents::Command),
    /// What tokens are like: list the profiles, create and change those of the store
    #[command(subcommand)]
    Profiles(profiles::Command),
    /// The keys of the signer
    #[command(subcommand)]
    Keys(keys::Command),
    /// Refuse a key, a token or a subject at the edges, before their time
    #[command(subcommand)]
    Revoke(revoke::Command),
    /// The edges that are told of revocations
    #[command(subcommand)]
    Edges(edges::Command),
    /// The audit log: export it, verify an export, find a token in it
    #[command(subcommand)]
    Audit(audit::Command),
    /// Tokens: ask a signer for one, look into one
    #[command(subcommand)]
    Token(token::Command),
    /// Who may come to the console: set it up, invite, list, disable
    #[command(subcommand)]
    Users(users::Command),
    /// Verify a token, or a corpus of them
    Verify(verify::Arguments),
    /// JWK Sets
    #[command(subcommand)]
    Jwks(jwks::Command),
    /// The edge gateway's configuration: check it, explain it
    #[command(subcommand)]
    Edge(edge::Command),
    /// The certificate of the agent on this machine
    #[command(subcommand)]
    Certs(certs::Command),
    /// The OpenAPI document of a listener
    Openapi(openapi::Arguments),
    /// What a shell has to know to complete these commands
    Completions(completions::Arguments),
    /// Look at everything that the signer needs, and say how to mend what is wrong
    Doctor(doctor::Arguments),
    /// A worker process of the signer (hsm.processes)
    #[command(name = WORKER_SUBCOMMAND, hide = true)]
    HsmWorker,
}

/// Where the configuration is, and what lies over it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct ConfigArguments {
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration file [default: $EDGESEAL_CONFIG, else /etc/edgeseal/edgeseal.toml]"
    )]
    config: Option<PathBuf>,
    /// The folder of an edgeseal dev: takes the configuration that it wrote there
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
    /// The PKCS#11 library (hsm.module)
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The token's label (hsm.token)
    #[arg(long, value_name = "LABEL")]
    token_label: Option<String>,
    /// The token's slot (hsm.slot)
    #[arg(long, value_name = "NUMBER", conflicts_with = "token_label", value_parser = clap::value_parser!(i64).range(0..))]
    slot: Option<i64>,
    #[arg(long, value_name = "FILE", help = "The file that holds the PIN (hsm.pin_file)")]
    pin_file: Option<PathBuf>,
    /// The file of the registry of keys (store.path)
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl ConfigArguments {
    /// The settings, with the log begun and the module's environment in place.
    fn load(&self, more: Vec<Override>) -> Result<Settings, Failure> {
        let settings = self.settings(more)?;
        telemetry::begin(settings.log());
        with_environment(&settings.environment())?;
        Ok(settings)
    }

    fn settings(&self, more: Vec<Override>) -> Result<Settings, Failure> {
        let Self { config, dir, module, token_label, slot, pin_file, store } = self;
        let mut flags: Vec<Override> = Vec::new();
        let mut path =
            |setting, value: &Option<PathBuf>| flags.extend(value.as_deref().map(|value| Override::path(setting, value)));
        path("hsm.module", module);
        path("hsm.pin_file", pin_file);
        path("store.path", store);
        flags.extend(token_label.as_ref().map(|label| Override::text("hsm.token", label)));
        flags.extend(slot.map(|slot| Override { setting: "hsm.slot", value: slot.into() }));
        flags.extend(more);
        let file = config.clone().or_else(|| dir.as_deref().map(dev::configuration_file));
        Settings::load(file.as_deref(), &flags)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes: clap knows which is which, and where each goes.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FailureKind::Usage.exit_code()));
        }
    };
    let outcome = match arguments.command {
        Command::Dev(arguments) => dev::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Agent(arguments) => agent::run(&arguments),
        Command::Agents(command) => agents::run(&command),
        Command::Profiles(command) => profiles::run(&command),
        Command::Keys(command) => keys::run(&command),
        Command::Revoke(command) => revoke::run(&command),
        Command::Edges(command) => edges::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Users(command) => users::run(&command),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Jwks(command) => jwks::run(&command),
        Command::Edge(command) => edge::run(&command),
        Command::Certs(command) => certs::run(&command),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::HsmWorker => hsm_worker(),
    };
    match outcome.and_then(|code| output::lost().map_or(Ok(code), Err)) {
        Ok(code) => code,
        Err(failure) => {
            output::failure(&failure);
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

/// Serves the signer that started this process, over the socket that is its standard input. It logs nothing: what goes
/// wrong is an answer, and the signer's to log.
fn hsm_worker() -> Result<ExitCode, Failure> {
    let alone = |_| Failure::new(FailureKind::Usage, format!("{WORKER_SUBCOMMAND} is a part of edgeseal serve, which starts it"));
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(alone)?);
    socket.peer_addr().map_err(alone)?;
    serve_worker(&socket)?;
    Ok(ExitCode::SUCCESS)
}

/// A name on the command line.
fn check_argument(argument: &str, name: &str) -> Result<(), Failure> {
    if is_name(name) { Ok(()) } else { Err(Failure::new(FailureKind::Usage, format!("{argument} {name:?}: {NAME_RULE}"))) }
}

/// The command did it, and the answer is no.
fn refused() -> ExitCode {
    ExitCode::from(FailureKind::Refused.exit_code())
}

/// Says what a destructive command will do, and asks a person; scripts say `--yes`.
fn consent(yes: bool, what: &str) -> Result<(), Failure> {
    use std::io::{IsTerminal as _, Write as _};
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(FailureKind::Usage, format!("{what}: add --yes to mean it")));
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "{what}. Type yes to go on: ").and_then(|()| out.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Refused, "nothing was done"))
}

/// Runs a future to its end on this process's runtime.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(FailureKind::System, format!("no threads can be started: {error}")))?.block_on(future)
}

/// Gives these variables to the module. They must be in the environment when it is loaded, and a process must not change
/// its own beside other threads: so it starts itself again, under the same process id.
fn with_environment(variables: &[(&str, &str)]) -> Result<(), Failure> {
    let present = |(name, value): &(&str, &str)| std::env::var_os(name).is_some_and(|present| present == *value);
    if variables.iter().all(present) {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(FailureKind::System, format!("hsm.environment: this program cannot start itself again: {error}"))
    };
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = Process::new(program).args(arguments).envs(variables.iter().copied()).exec();
    Err(failed(&error))
}

/// Begins to log before there are settings.
fn log(config: LogConfig) {
    telemetry::begin(config);
}

/// The contents of a file, or of standard input for `-`.
fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    if path == Path::new("-") {
        let mut content = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut content);
        return read
            .map(|_| content)
            .map_err(|error| Failure::new(FailureKind::System, format!("standard input cannot be read: {error}")));
    }
    std::fs::read(path).map_err(|error| Failure::new(FailureKind::Usage, format!("{} cannot be read: {error}", path.display())))
}

/// The store that a signer or a command made.
async fn existing_store(settings: &Settings) -> Result<Store, Failure> {
    open_store(settings).await?.map_err(|path| {
        Failure::new(
            FailureKind::Store,
            format!("store.path {} does not exist; edgeseal serve or edgeseal keys generate makes it", path.display()),
        )
    })
}

/// The store, unless nobody has made it: before the first start there is what the configuration says.
async fn store_if_made(settings: &Settings) -> Result<Option<Store>, Failure> {
    Ok(open_store(settings).await?.ok())
}

/// The store, or where it would be.
async fn open_store(settings: &Settings) -> Result<Result<Store, PathBuf>, Failure> {
    match settings.store()? {
        StoreSettings::Sqlite(path) if !path.exists() => Ok(Err(path)),
        store => Ok(Ok(Store::open(&store).await?)),
    }
}
