//! `edgeseal dev`: everything on one machine, under one folder, to try it and to develop against it.

mod pki;
mod softhsm;

use std::{
    fmt::Write as _,
    fs,
    io::IsTerminal as _,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use clap::Args;
use edgeseal_core::Algorithm;
use serde_json::json;

use super::{block_on, check_argument, log, output, users::new_setup_code, with_environment};
use crate::{
    agent::build,
    config::{LogConfig, LogLevel, Settings},
    console::SETUP_LIFETIME,
    error::{Failure, FailureKind},
    files,
    hsm::{KeyKind, KeyStore},
    http::{
        listener::{Bound, bind_address},
        public::jwks_uri,
    },
    keys::{Actor, Command, Slot, State},
    service::{Doors, Signer, open_hsm, told_to_end},
};

/// Where the administrators' listener listens if nobody else does.
const ADMIN_PORT: u16 = 8_445;
/// The file of the code that the console asks for at the first visit.
const SETUP_CODE: &str = "setup-code";
/// The label of the token.
const TOKEN: &str = "edgeseal";
/// Bits of RSA keys here: the smallest that verifiers accept, since a demonstration should not wait for primes.
const RSA_BITS: u16 = 2_048;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where everything is kept; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "edgeseal-dev")]
    dir: PathBuf,
    /// Where the public listener listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    public: SocketAddr,
    /// Where the agents' listener listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    agents: SocketAddr,
    /// Where the administrators' listener listens [default: 127.0.0.1:8445, or a free port if that is in use]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Where /metrics is shown, in the clear; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    metrics: SocketAddr,
    #[arg(long, value_name = "FILE", help = "The SoftHSM library [default: where distributions install it]")]
    module: Option<PathBuf>,
    /// An algorithm to have a profile and a key for; may be repeated [default: all that the module has]
    #[arg(long = "alg", value_name = "ALG")]
    algorithms: Vec<Algorithm>,
    /// The name of the agent that gets a certificate
    #[arg(long, value_name = "NAME", default_value = "demo-app")]
    agent: String,
    /// How long a new key waits before it may sign; a real signer goes by the rules instead
    #[arg(long, value_name = "SPAN", default_value = "0s")]
    activation_delay: crate::issue::Lifetime,
    /// A file to write as JSON when everything runs: addresses, certificates, profiles
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// The configuration that `dev` writes into its folder.
pub(super) fn configuration_file(dir: &Path) -> PathBuf {
    dir.join("edgeseal.toml")
}

/// Everything in the folder, by absolute paths.
struct Layout {
    dir: PathBuf,
}

impl Layout {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    check_argument("--agent", &arguments.agent)?;
    let level = match std::env::var("EDGESEAL_LOG_LEVEL").as_deref() {
        Ok("error") => LogLevel::Error,
        Ok("info") => LogLevel::Info,
        Ok("debug") => LogLevel::Debug,
        Ok("trace") => LogLevel::Trace,
        _ => LogLevel::Warn,
    };
    log(LogConfig { level, ..LogConfig::default() });
    let dir = std::path::absolute(&arguments.dir)
        .map_err(|error| Failure::new(FailureKind::System, format!("--dir {}: {error}", arguments.dir.display())))?;
    let layout = Layout { dir };
    let module = softhsm::find(arguments.module.as_deref())?;
    with_environment(&[("SOFTHSM2_CONF", &layout.shown("softhsm2.conf"))])?;
    block_on(develop(arguments, &layout, &module))?;
    Ok(ExitCode::SUCCESS)
}

async fn develop(arguments: &Arguments, layout: &Layout, module: &Path) -> Result<(), Failure> {
    let stop = told_to_end()?;
    // Ports before anything is made: a busy one leaves no trace.
    let public = bind_address("--public", arguments.public).await?;
    let agents = bind_address("--agents", arguments.agents).await?;
    let admin = match arguments.admin {
        Some(address) => bind_address("--admin", address).await?,
        None => match bind_address("--admin", SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT))).await {
            Ok(bound) => bound,
            Err(_) => bind_address("--admin", SocketAddr::from(([127, 0, 0, 1], 0))).await?,
        },
    };
    let metrics = bind_address("--metrics", arguments.metrics).await?;
    let metrics_url = format!("http://{}/metrics", metrics.address());
    make_folder(&layout.dir)?;
    let _lock = lock(layout)?;
    if let Some(stale) = &arguments.ready_file {
        let _ = fs::remove_file(stale);
    }

    let began = Instant::now();
    let issuer = format!("https://localhost:{}", public.address().port());
    let agents_url = format!("https://localhost:{}", agents.address().port());
    let admin_url = format!("https://localhost:{}", admin.address().port());
    let hsm = token(layout, module, began).await?;
    let profiles = profiles(arguments, hsm.as_ref())?;
    let certificates = pki::issue(&layout.path("tls"), &arguments.agent)?;
    let file = configuration_file(&layout.dir);
    let text = configuration(arguments, &issuer, &agents_url, module, [&public, &agents, &admin], &profiles, &certificates);
    write_private(&file, &text)?;

    let config = Settings::load(Some(&file), &[])?.signer()?;
    let doors = Doors::with_sockets(&config, public, agents, Some(admin), Some(metrics))?;
    let signer = Signer::prepare(config, hsm, doors).await?;
    let kids = keys(&signer, &profiles).await?;
    let agent_line = format!("{agents_url}   mutual TLS, certificate {} for 24 h", arguments.agent);
    step("Signer", &format!("{issuer}   JWKS, discovery, health"), None);
    step("Agents", &agent_line, None);
    let names: Vec<&str> = certificates.administrators.iter().map(|(name, ..)| *name).collect();
    step("Administrators", &format!("{admin_url}   mutual TLS, certificates {} for 24 h", names.join(", ")), None);

    step("Console", &format!("{admin_url}   {}", first_visit(&signer, layout).await?), None);
    step("Metrics", &metrics_url, None);

    let ready = json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri(&issuer),
        "ca": certificates.ca,
        "agent": agents_url,
        "agent_name": arguments.agent,
        "agent_cert": certificates.agent_certificate,
        "agent_key": certificates.agent_key,
        "agent_socket": layout.path("agent.sock"),
        "admin": admin_url,
        "console": admin_url,
        "metrics": metrics_url,
        "setup_code_file": layout.path(SETUP_CODE),
        "administrators": certificates.administrators.iter().map(|(name, certificate, key)| {
            json!({ "name": name, "cert": certificate, "key": key })
        }).collect::<Vec<_>>(),
        "pid": std::process::id(),
        "profiles": kids,
        "config": file,
        "db": layout.path("edgeseal.db"),
        "pkcs11_module": module,
        "softhsm_conf": layout.path("softhsm2.conf"),
        "token_label": TOKEN,
        "pin_file": layout.path("pin"),
    });
    output::line(format_args!(
        "\n  Try it:  edgeseal token issue --dir {} --audience https://api.example.com --claim sub=alice",
        arguments.dir.display()
    ));
    output::line(format_args!(
        "           edgeseal agent --dir {}      the daemon beside an application, on a Unix socket there",
        arguments.dir.display()
    ));
    let serving = tokio::spawn(signer.serve(stop));
    if let Some(path) = &arguments.ready_file {
        write_private(path, &format!("{ready}\n"))?;
    }
    serving.await.map_err(|error| Failure::new(FailureKind::System, format!("the signer ended: {error}")))?;
    if let Some(path) = &arguments.ready_file {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// What to do at the console first. The code is in a file of its owner's alone: what is printed may end up in a log.
async fn first_visit(signer: &Signer, layout: &Layout) -> Result<String, Failure> {
    let path = layout.path(SETUP_CODE);
    if signer.store().users().await?.iter().any(|user| user.last_login_at.is_some()) {
        let _ = fs::remove_file(&path);
        return Ok(format!("trust {} in your browser", relative(&layout.path("tls/ca.crt"))));
    }
    let (code, _) = new_setup_code(signer.store(), signer.registry().ledger(), SETUP_LIFETIME).await?;
    write_private(&path, &format!("{}\n", code.as_str()))?;
    if std::io::stdout().is_terminal() {
        return Ok(format!("set-up code {} (30 min)", code.as_str()));
    }
    Ok(format!("set-up code in {} (0600, 30 min)", relative(&path)))
}

/// The token, made if it is not there, and a session on it.
async fn token(layout: &Layout, module: &Path, began: Instant) -> Result<Arc<dyn KeyStore>, Failure> {
    make_folder(&layout.path("tokens"))?;
    let conf = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        layout.shown("tokens")
    );
    write_private(&layout.path("softhsm2.conf"), &conf)?;
    let settings = softhsm::provision(layout, module, TOKEN).await?;
    let hsm = open_hsm(settings).await?;
    let description = hsm.description();
    let detail = format!("{}, slot {}, PIN in {} (0600)", description.library, description.slot, relative(&layout.path("pin")));
    step("HSM token", &detail, Some(began));
    Ok(hsm)
}

/// Name and algorithm of each profile: `default`, and one more for each further algorithm.
fn profiles(arguments: &Arguments, hsm: &dyn KeyStore) -> Result<Vec<(String, Algorithm)>, Failure> {
    let has = |algorithm: Algorithm| hsm.supports(algorithm, KeyKind::of(algorithm, RSA_BITS));
    let wanted: Vec<Algorithm> = if arguments.algorithms.is_empty() {
        Algorithm::ALL.into_iter().filter(|algorithm| has(*algorithm)).collect()
    } else {
        if let Some(missing) = arguments.algorithms.iter().find(|algorithm| !has(**algorithm)) {
            return Err(Failure::new(FailureKind::Usage, format!("--alg {missing}: the module has no such keys")));
        }
        arguments.algorithms.clone()
    };
    let first = if wanted.contains(&Algorithm::Es256) { Some(Algorithm::Es256) } else { wanted.first().copied() };
    let name =
        |algorithm: Algorithm| if Some(algorithm) == first { "default".to_owned() } else { algorithm.name().to_lowercase() };
    let mut profiles: Vec<(String, Algorithm)> = Vec::new();
    for algorithm in wanted {
        if !profiles.iter().any(|(_, known)| *known == algorithm) {
            profiles.push((name(algorithm), algorithm));
        }
    }
    Ok(profiles)
}

/// An active key for every profile.
async fn keys(signer: &Signer, profiles: &[(String, Algorithm)]) -> Result<Vec<serde_json::Value>, Failure> {
    let registry = signer.registry();
    let signer_slots = registry.ledger().slots().to_vec();
    let mut told = Vec::new();
    for (profile, algorithm) in profiles {
        let began = Instant::now();
        let mut made = false;
        let snapshot = registry.refresh().await?;
        let kid = match snapshot.active.get(profile) {
            Some(key) if key.algorithm == *algorithm => key.kid.clone(),
            _ => {
                let standby = snapshot
                    .keys
                    .iter()
                    .find(|key| key.profile == *profile && key.state == State::Published && key.algorithm == *algorithm);
                let key = if let Some(key) = standby {
                    key.clone()
                } else {
                    made = true;
                    registry.generate(slot(&signer_slots, profile)?, None, &Actor::local()).await?
                };
                let kid = key.kid().unwrap_or_default().to_owned();
                registry.ledger().command(&kid, Command::Activate { emergency: false }, &Actor::local()).await?;
                registry.refresh().await?;
                kid
            }
        };
        let detail = format!(
            "{algorithm:<6} {}  {}, not extractable",
            output::short(&kid),
            if made { "generated inside" } else { "in the token" }
        );
        step("Key", &detail, made.then_some(began));
        told.push(json!({ "name": profile, "algorithm": algorithm, "kid": kid }));
    }
    Ok(told)
}

fn slot<'slots>(slots: &'slots [Slot], profile: &str) -> Result<&'slots Slot, Failure> {
    let found = slots.iter().find(|slot| slot.profile == profile);
    found.ok_or_else(|| Failure::configuration(format!("profiles.{profile} is not in the configuration just written")))
}

/// Seconds: the longest lifetime here.
const MAX_LIFETIME: u64 = 3_600;

fn configuration(
    arguments: &Arguments,
    issuer: &str,
    agents_url: &str,
    module: &Path,
    [public, agents, admin]: [&Bound; 3],
    profiles: &[(String, Algorithm)],
    certificates: &pki::Certificates,
) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let path = |path: &Path| quoted(&path.display().to_string());
    let mut text = String::from(
        "# Written by `edgeseal dev` at every start: changes here do not last. A real one: signer-native/README.md\n",
    );
    let names: Vec<String> = profiles.iter().map(|(name, _)| quoted(name)).collect();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"issuer = {issuer}

[hsm]
module = {module}
token = "{TOKEN}"
pin_file = "pin"
environment = {{ SOFTHSM2_CONF = {conf} }}

[store]
path = "edgeseal.db"

[listen.public]
address = "{public}"
certificate = {server_certificate}
key = {server_key}

[listen.agents]
address = "{agents}"
certificate = {server_certificate}
key = {server_key}
client_ca = {ca}

[listen.admin]
address = "{admin}"
certificate = {server_certificate}
key = {server_key}
client_ca = {admin_ca}

[rotation]
lease = "1s"
automatic = false
dangerous_activation_delay = "{delay}"

[approvals]
second_person_after = "0s"

[log]
level = "warn"

[client]
url = {agents_url}
ca = {ca}
certificate = {agent_certificate}
key = {agent_key}

[agent]
socket = "agent.sock"
signers = [{agents_url}]
ca = {ca}
certificate = {agent_certificate}
key = {agent_key}

[agents.{agent}]
profiles = [{names}]
"#,
        issuer = quoted(issuer),
        module = path(module),
        conf = quoted(&std::env::var("SOFTHSM2_CONF").unwrap_or_default()),
        public = public.address(),
        agents = agents.address(),
        admin = admin.address(),
        admin_ca = path(&certificates.admin_ca),
        server_certificate = path(&certificates.server_certificate),
        server_key = path(&certificates.server_key),
        ca = path(&certificates.ca),
        delay = arguments.activation_delay,
        agents_url = quoted(agents_url),
        agent_certificate = path(&certificates.agent_certificate),
        agent_key = path(&certificates.agent_key),
        agent = quoted(&arguments.agent),
        names = names.join(", "),
    );
    for (name, algorithm) in profiles {
        // Where the signer sees a digest alone, it signs with one more key of the agent's own: of one profile, to show it.
        let shows_digests = name == "default" && build::hash_of(*algorithm).is_some();
        let modes = if shows_digests { r#"["claims", "sd", "digest"]"# } else { r#"["claims", "sd"]"# };
        let _ = write!(
            text,
            "\n[profiles.{name}]\nmodes = {modes}\nalgorithm = \"{algorithm}\"\ndefault_lifetime = \"10m\"\nmax_lifetime = {MAX_LIFETIME}\naudiences = [\"https://api.example.com\", \"*\"]\n"
        );
    }
    text
}

/// Two of us on one folder would fight over its token and its files.
fn lock(layout: &Layout) -> Result<fs::File, Failure> {
    let path = layout.path("lock");
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(FailureKind::System, format!("--dir: {} cannot be locked: {error}", path.display()))
    };
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Failure::new(
            FailureKind::Address,
            format!("--dir {} is in use by another edgeseal dev; stop that one or name another folder", layout.dir.display()),
        )),
        Err(fs::TryLockError::Error(error)) => Err(failed(&error)),
    }
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Failure::new(FailureKind::System, format!("--dir: {} cannot be made: {error}", path.display())))
}

/// Whole or not at all, and only for its owner.
fn write_private(path: &Path, content: &str) -> Result<(), Failure> {
    files::write_private(path, content.as_bytes())
        .map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display())))
}

fn step(what: &str, detail: &str, began: Option<Instant>) {
    let took = began.map(|began| format!("{:.1} s", began.elapsed().as_secs_f64())).unwrap_or_default();
    output::line(format_args!("  ✓ {what:<14}  {detail:<76}  {took}").to_string().trim_end());
}

fn relative(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
