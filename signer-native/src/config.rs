//! The configuration: one TOML file, the environment over it, flags over both; parsed once into types.
//!
//! Every failure names the setting and the mend. Relative paths in the file start at the file's folder, those in the
//! environment and on the command line at the current one.

mod console;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::Algorithm;
use serde::Deserialize;
use toml::{Table, Value};
use zeroize::Zeroizing;

use self::console::RawConsole;

use crate::{
    agent::{AgentConfig, Loopback},
    console::ConsoleConfig,
    error::{Failure, Invalid},
    hsm::{Pin, Pkcs11Settings, TokenSelector},
    http::tls,
    issue::{Agent, Lifetime, Mode, Profile, ProfileSettings, Schema, Surroundings},
    keys::{MAX_SECOND_PERSON_AFTER, SECOND_PERSON_AFTER, Slot, Timing, rotation},
    revocation::{EdgeConfig, RawEdge},
    store::{PostgresSettings, StoreSettings},
    traces::TracesConfig,
};

/// Where the configuration is when neither `--config` nor `EDGESEAL_CONFIG` says so.
pub const DEFAULT_PATH: &str = "/etc/edgeseal/edgeseal.toml";
/// How long certificates of agents may last: long enough to be renewed in time, short enough to be worth little when stolen.
const LEAST_CERTIFICATE: Lifetime = Lifetime(60);
const MOST_CERTIFICATE: Lifetime = Lifetime(90 * 86_400);
/// Seconds: the longest lease on "which key is active".
pub const MAX_LEASE: u64 = 10;
/// Seconds: the longest window in which verifiers may go on with an old JWK Set.
pub const MAX_STALE_WINDOW: u64 = 86_400;

/// Characters of the secret of a loopback listener: 128 bits as base64url.
const LEAST_SECRET: usize = 22;

/// Settings that the environment may set: variable, path in the file, kind.
const ENVIRONMENT: [(&str, &str, Kind); 21] = [
    ("EDGESEAL_ISSUER", "issuer", Kind::Text),
    ("EDGESEAL_HSM_MODULE", "hsm.module", Kind::Path),
    ("EDGESEAL_HSM_TOKEN", "hsm.token", Kind::Text),
    ("EDGESEAL_HSM_SLOT", "hsm.slot", Kind::Number),
    ("EDGESEAL_HSM_PIN_FILE", "hsm.pin_file", Kind::Path),
    ("EDGESEAL_HSM_PROCESSES", "hsm.processes", Kind::Number),
    ("EDGESEAL_HSM_THREADS", "hsm.threads", Kind::Number),
    ("EDGESEAL_STORE_PATH", "store.path", Kind::Path),
    ("EDGESEAL_STORE_URL", "store.url", Kind::Text),
    ("EDGESEAL_STORE_PASSWORD_FILE", "store.password_file", Kind::Path),
    ("EDGESEAL_LISTEN_PUBLIC", "listen.public.address", Kind::Text),
    ("EDGESEAL_LISTEN_AGENTS", "listen.agents.address", Kind::Text),
    ("EDGESEAL_LISTEN_ADMIN", "listen.admin.address", Kind::Text),
    ("EDGESEAL_LOG_LEVEL", "log.level", Kind::Text),
    ("EDGESEAL_LOG_FORMAT", "log.format", Kind::Text),
    ("EDGESEAL_TRACES_ENDPOINT", "traces.endpoint", Kind::Text),
    ("EDGESEAL_CLIENT_URL", "client.url", Kind::Text),
    ("EDGESEAL_CLIENT_CA", "client.ca", Kind::Path),
    ("EDGESEAL_CLIENT_CERTIFICATE", "client.certificate", Kind::Path),
    ("EDGESEAL_CLIENT_KEY", "client.key", Kind::Path),
    ("EDGESEAL_ROTATION_LEASE", "rotation.lease", Kind::Text),
];
/// Secrets: never a flag, since command lines are visible to everybody.
#[derive(Clone, Copy)]
struct Secret {
    /// The variable that holds it.
    variable: &'static str,
    /// Its name among systemd's credentials.
    credential: &'static str,
    /// What it is, for messages.
    what: &'static str,
}

const PIN: Secret = Secret { variable: "EDGESEAL_HSM_PIN", credential: "edgeseal-pin", what: "the PIN of the token's user" };
const STORE_PASSWORD: Secret = Secret {
    variable: "EDGESEAL_STORE_PASSWORD",
    credential: "edgeseal-store-password",
    what: "the password of the database's user",
};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Path,
}

/// A setting given on the command line: its path in the file, and its value.
#[derive(Clone, Debug)]
pub struct Override {
    /// Such as `hsm.module`.
    pub setting: &'static str,
    /// Its value.
    pub value: Value,
}

impl Override {
    /// A text.
    pub fn text(setting: &'static str, value: impl Into<String>) -> Self {
        Self { setting, value: Value::String(value.into()) }
    }

    /// A path, made absolute.
    pub fn path(setting: &'static str, value: &Path) -> Self {
        Self::text(setting, absolute(value).display().to_string())
    }
}

/// The settings as they were read, the file, environment and flags together; sections are checked when they are asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    raw: Raw,
    base: PathBuf,
    origin: String,
}

/// What the signer needs.
#[derive(Clone, Debug)]
pub struct SignerConfig {
    /// `iss`, and the base of the public URLs, by name; the top-level issuer's is empty.
    pub issuers: BTreeMap<String, String>,
    /// What keys are needed for.
    pub slots: Vec<Slot>,
    /// Whether standbys are made and take over by themselves.
    pub rotates: bool,
    /// The HSM.
    pub hsm: Pkcs11Settings,
    /// The store.
    pub store: StoreSettings,
    /// The public listener.
    pub public: ListenConfig,
    /// The agents' listener.
    pub agents: ListenConfig,
    /// Where `/metrics` is shown, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where spans of requests go, if anywhere.
    pub traces: Option<TracesConfig>,
    /// The authority of agents' certificates besides the signer's own.
    pub client_ca: Option<PathBuf>,
    /// How agents get certificates of the signer's own authority.
    pub enrolment: EnrolmentConfig,
    /// The administrators' listener and the authority of their certificates, if it is configured.
    pub admin: Option<(ListenConfig, PathBuf)>,
    /// The console, which the administrators' listener serves.
    pub console: Option<ConsoleConfig>,
    /// Rules of the key life cycle.
    pub timing: Timing,
    /// Seconds after which somebody of whom another vouched counts as one of two people.
    pub second_person_after: u64,
    /// The audit log.
    pub audit: AuditConfig,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Their settings.
    pub profile_settings: BTreeMap<String, ProfileSettings>,
    /// What they, and those of the store, stand in.
    pub surroundings: Surroundings,
    /// The JSON Schemas of those profiles that have one.
    pub schemas: BTreeMap<String, Arc<Schema>>,
    /// Agents by name.
    pub agent_policies: BTreeMap<String, Agent>,
    /// The edges that are told of revocations.
    pub edges: Vec<EdgeConfig>,
}

/// How agents get certificates of the signer's own authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentConfig {
    /// How long a certificate lasts.
    pub lifetime: Duration,
    /// The agents' listeners of all signers, as agents reach them.
    pub signers: Vec<String>,
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// How long a request waits for its row; then nothing is signed.
    pub deadline: Duration,
    /// How often a checkpoint is made, if there are new rows.
    pub checkpoint_interval: Duration,
    /// The file of the key that claim values are hidden by; `None` shows them.
    pub hmac_key_file: Option<PathBuf>,
}

/// One TLS listener.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The setting's name, for messages.
    pub setting: &'static str,
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// How the command line reaches a signer as an agent.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The agents' listener.
    pub url: String,
    /// The authority of the signer's certificate, PEM; the system's when absent.
    pub ca: Option<PathBuf>,
    /// The agent's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// How much is logged, and how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least severity that is shown.
    pub level: LogLevel,
    /// Lines for people or JSON objects.
    pub format: LogFormat,
}

/// The least severity that is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    issuer: Option<String>,
    hsm: RawHsm,
    store: RawStore,
    listen: RawListen,
    rotation: RawRotation,
    approvals: RawApprovals,
    issuers: BTreeMap<String, RawIssuer>,
    audit: RawAudit,
    profiles: BTreeMap<String, RawProfile>,
    agents: BTreeMap<String, RawAgent>,
    edges: BTreeMap<String, RawEdge>,
    client: RawClient,
    agent: RawDaemon,
    enrolment: RawEnrolment,
    console: RawConsole,
    log: LogConfig,
    traces: RawTraces,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawTraces {
    endpoint: Option<String>,
    sample: Option<f64>,
    ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawEnrolment {
    lifetime: Option<Lifetime>,
    signers: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawHsm {
    module: Option<PathBuf>,
    token: Option<String>,
    slot: Option<u64>,
    pin_file: Option<PathBuf>,
    processes: Option<usize>,
    threads: Option<usize>,
    queue: Option<usize>,
    deadline: Option<Lifetime>,
    environment: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStore {
    path: Option<PathBuf>,
    url: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawListen {
    public: RawListener,
    agents: RawListener,
    metrics: RawPlain,
    admin: RawListener,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawPlain {
    address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawListener {
    address: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawRotation {
    jwks_max_age: Option<Lifetime>,
    stale_window: Option<Lifetime>,
    lease: Option<Lifetime>,
    dangerous_activation_delay: Option<Lifetime>,
    automatic: Option<bool>,
    after: Option<Lifetime>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawApprovals {
    second_person_after: Option<Lifetime>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIssuer {
    url: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawAudit {
    deadline: Option<Lifetime>,
    checkpoint_interval: Option<Lifetime>,
    claims: AuditClaims,
    hmac_key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AuditClaims {
    #[default]
    Hmac,
    Plain,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    algorithm: Algorithm,
    #[serde(default)]
    rsa_bits: Option<u16>,
    #[serde(default)]
    default_lifetime: Option<Lifetime>,
    #[serde(default)]
    max_lifetime: Option<Lifetime>,
    audiences: Vec<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default)]
    rotate_after: Option<Lifetime>,
    #[serde(default)]
    publish_ahead: Option<Lifetime>,
    #[serde(default)]
    modes: Option<Vec<Mode>>,
    #[serde(default)]
    max_session: Option<Lifetime>,
    #[serde(default)]
    schema: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAgent {
    profiles: Vec<String>,
    #[serde(default)]
    audiences: Option<Vec<String>>,
    #[serde(default)]
    max_lifetime: Option<Lifetime>,
    #[serde(default)]
    required_claims: Vec<String>,
    #[serde(default)]
    forbidden_claims: Vec<String>,
    #[serde(default)]
    rate: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawClient {
    url: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawDaemon {
    socket: Option<PathBuf>,
    users: Vec<u32>,
    listen: Option<String>,
    secret_file: Option<PathBuf>,
    signers: Vec<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Settings {
    /// Reads `path`, or `EDGESEAL_CONFIG`, or [`DEFAULT_PATH`] if it is there, and lays environment and flags over it.
    ///
    /// # Errors
    /// When the file cannot be read or is no such TOML.
    pub fn load(path: Option<&Path>, flags: &[Override]) -> Result<Self, Failure> {
        let named = path.map(Path::to_owned).or_else(|| env::var_os("EDGESEAL_CONFIG").map(PathBuf::from));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Failure::configuration(format!(
                    "the configuration {} cannot be read ({error}); name another with --config or EDGESEAL_CONFIG",
                    path.display()
                )));
            }
        };
        let origin = text.as_ref().map_or_else(
            || format!("any configuration: {DEFAULT_PATH} does not exist (name another file with --config or EDGESEAL_CONFIG)"),
            |_| path.display().to_string(),
        );
        let base = absolute(&path).parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text.unwrap_or_default(), base, origin, flags, |name| env::var(name).ok())
    }

    fn parse(
        text: &str,
        base: PathBuf,
        origin: String,
        flags: &[Override],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        // Once as it stands, for messages with line numbers; then with what lies over it.
        toml::from_str::<Raw>(text).map_err(|error| malformed(&origin, text, &error))?;
        let mut table: Table = toml::from_str(text).map_err(|error| malformed(&origin, text, &error))?;
        for (name, setting, kind) in ENVIRONMENT {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
            let value = match kind {
                Kind::Text => Value::String(value),
                Kind::Path => Value::String(absolute(Path::new(&value)).display().to_string()),
                Kind::Number => Value::Integer(
                    value.parse().map_err(|_| Failure::configuration(format!("{name} is {value:?}; it takes a whole number")))?,
                ),
            };
            lay_over(&mut table, setting, value);
        }
        for Override { setting, value } in flags {
            lay_over(&mut table, setting, value.clone());
        }
        let raw = table.try_into().map_err(|error| {
            Failure::configuration(format!("{origin}, environment and flags together: {}", one_line(error.message())))
        })?;
        Ok(Self { raw, base, origin })
    }

    /// How much is logged, and how.
    pub fn log(&self) -> LogConfig {
        self.raw.log
    }

    /// Variables that the module needs in its environment.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.raw.hsm.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Everything that the signer needs.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be meant.
    pub fn signer(&self) -> Result<SignerConfig, Failure> {
        let listen = &self.raw.listen;
        let issuers = self.issuers()?;
        let profiles = self.profiles()?;
        let client_ca = listen.agents.client_ca.as_ref().map(|path| self.base.join(path));
        let admin = self.admin()?;
        let console = admin.as_ref().map(|(listen, _)| self.raw.console.check(listen.address)).transpose()?;
        Ok(SignerConfig {
            issuers,
            slots: self.slots()?,
            rotates: self.rotates(),
            hsm: Pkcs11Settings { processes: self.processes()?, ..self.hsm()? },
            store: self.store()?,
            public: self.listener("public", &listen.public)?,
            agents: self.listener("agents", &listen.agents)?,
            traces: self.traces()?,
            metrics: listen
                .metrics
                .address
                .as_deref()
                .map(|text| address("listen.metrics", text, "127.0.0.1:9464"))
                .transpose()?,
            client_ca,
            enrolment: self.enrolment()?,
            admin,
            console,
            timing: self.timing()?,
            second_person_after: self.second_person_after()?,
            audit: self.audit()?,
            agent_policies: self.agents(&profiles)?,
            edges: self.edges()?,
            schemas: self.schemas()?,
            profile_settings: self.profile_settings(),
            surroundings: self.surroundings()?,
            profiles,
        })
    }

    /// Where spans go.
    fn traces(&self) -> Result<Option<TracesConfig>, Failure> {
        let RawTraces { endpoint, sample, ca } = &self.raw.traces;
        let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !endpoint.is_empty()) else { return Ok(None) };
        let secure = endpoint.starts_with("https://");
        let parsed = endpoint.parse::<hyper::Uri>().ok().filter(|uri| uri.host().is_some() && uri.query().is_none());
        if parsed.is_none() || !(secure || endpoint.starts_with("http://")) {
            return Err(Failure::configuration(format!(
                "traces.endpoint is {endpoint:?}; it takes the base URL of a collector for OTLP over HTTP, such as http://127.0.0.1:4318"
            )));
        }
        let sample = sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            return Err(Failure::configuration(format!("traces.sample is {sample}; it takes a share of requests from 0 to 1")));
        }
        let ca = ca.as_ref().map(|path| self.base.join(path));
        let tls = secure.then(|| tls::client(ca.as_deref().map(|path| ("traces.ca", path)), None)).transpose()?;
        Ok(Some(TracesConfig { endpoint: endpoint.clone(), sample, tls: tls.map(Arc::new) }))
    }

    /// Worker processes of a signer; single commands have the module in their own.
    fn processes(&self) -> Result<usize, Failure> {
        let processes = self.raw.hsm.processes.unwrap_or(0);
        if processes > 64 {
            return Err(Failure::configuration(format!(
                "hsm.processes is {processes}; it takes 0 (none beside the signer) to 64"
            )));
        }
        Ok(processes)
    }

    /// The HSM, with the module in this process.
    ///
    /// # Errors
    /// When the module, the token or the PIN is not given.
    pub fn hsm(&self) -> Result<Pkcs11Settings, Failure> {
        let RawHsm { module, token, slot, pin_file, processes: _, threads, queue, deadline, environment: _ } = &self.raw.hsm;
        let module = self.file("hsm.module", module.as_ref(), "the PKCS#11 library of your HSM")?;
        let token = match (token, slot) {
            (Some(label), None) => TokenSelector::Label(label.clone()),
            (None, Some(slot)) => TokenSelector::Slot(*slot),
            (Some(_), Some(_)) => return Err(Failure::configuration("hsm.token and hsm.slot are both set; keep one")),
            (None, None) => return Err(self.missing("hsm.token", "the label of your token, or hsm.slot")),
        };
        let threads = threads.unwrap_or(2);
        if !(1..=256).contains(&threads) {
            return Err(Failure::configuration(format!("hsm.threads is {threads}; it takes 1 to 256")));
        }
        let queue = queue.unwrap_or(256);
        if !(1..=65_536).contains(&queue) {
            return Err(Failure::configuration(format!("hsm.queue is {queue}; it takes 1 to 65536")));
        }
        let deadline = deadline.unwrap_or(Lifetime(5)).as_secs();
        if !(1..=60).contains(&deadline) {
            return Err(Failure::configuration(format!("hsm.deadline is {deadline}s; it takes 1s to 60s")));
        }
        let pin = self.pin(pin_file.as_ref())?;
        Ok(Pkcs11Settings { module, token, pin, processes: 0, threads, queue, deadline: Duration::from_secs(deadline) })
    }

    /// The store.
    ///
    /// # Errors
    /// When neither a file nor a database is given, or both.
    pub fn store(&self) -> Result<StoreSettings, Failure> {
        let RawStore { path, url, password_file } = &self.raw.store;
        match (path, url) {
            (Some(_), Some(_)) => Err(Failure::configuration("store.path and store.url are both set; keep one")),
            (_, None) => self
                .file(
                    "store.path",
                    path.as_ref(),
                    "the file of the registry of keys, such as /var/lib/edgeseal/edgeseal.db, or store.url a PostgreSQL database",
                )
                .map(StoreSettings::Sqlite),
            (None, Some(url)) if !url.starts_with("postgres://") && !url.starts_with("postgresql://") => Err(
                Failure::configuration("store.url does not begin with postgres://; for a file of SQLite set store.path instead"),
            ),
            (None, Some(url)) => {
                let password = self.secret("store.password_file", password_file.as_ref(), STORE_PASSWORD)?;
                let password = password.map(|(password, _)| password);
                Ok(StoreSettings::Postgres(PostgresSettings { url: url.clone(), password }))
            }
        }
    }

    /// The rules of the key life cycle.
    ///
    /// # Errors
    /// When one is out of bounds.
    pub fn timing(&self) -> Result<Timing, Failure> {
        let RawRotation { jwks_max_age, stale_window, lease, dangerous_activation_delay, automatic: _, after: _ } =
            &self.raw.rotation;
        let jwks_max_age = jwks_max_age.map_or(300, Lifetime::as_secs);
        if jwks_max_age > 86_400 {
            return Err(Failure::configuration("rotation.jwks_max_age is more than 1d; every rotation would wait so long"));
        }
        let stale_window = stale_window.map_or(3_600, Lifetime::as_secs);
        if stale_window > MAX_STALE_WINDOW {
            return Err(Failure::configuration("rotation.stale_window is more than 24h, the longest that verifiers may declare"));
        }
        let lease = lease.map_or(MAX_LEASE, Lifetime::as_secs);
        if !(1..=MAX_LEASE).contains(&lease) {
            return Err(Failure::configuration(format!("rotation.lease is {lease}s; it takes 1s to {MAX_LEASE}s")));
        }
        let dangerous_activation_delay = dangerous_activation_delay.map(Lifetime::as_secs);
        Ok(Timing { jwks_max_age, stale_window, lease, publish_ahead: 0, dangerous_activation_delay })
    }

    /// Seconds after which somebody of whom another vouched counts as one of two people.
    ///
    /// # Errors
    /// When it is out of bounds.
    pub fn second_person_after(&self) -> Result<u64, Failure> {
        let after = self.raw.approvals.second_person_after.map_or(SECOND_PERSON_AFTER, Lifetime::as_secs);
        if after > MAX_SECOND_PERSON_AFTER {
            let sentence = "approvals.second_person_after is more than 7d, and a proposal lapses after so long";
            return Err(Failure::configuration(sentence));
        }
        Ok(after)
    }

    /// Whether standbys are made and take over by themselves.
    pub fn rotates(&self) -> bool {
        self.raw.rotation.automatic.unwrap_or(true)
    }

    /// What profiles stand in.
    ///
    /// # Errors
    /// When a rule of the key life cycle is out of bounds.
    pub fn surroundings(&self) -> Result<Surroundings, Failure> {
        let named = self.raw.issuers.iter().map(|(name, RawIssuer { url })| (name.clone(), url.clone()));
        let top = self.raw.issuer.iter().map(|url| (String::new(), url.clone()));
        Ok(Surroundings {
            timing: self.timing()?,
            rotates: self.rotates(),
            rotate_after: self.raw.rotation.after.map_or(rotation::ROTATE_AFTER, Lifetime::as_secs),
            issuers: named.chain(top).collect(),
        })
    }

    /// The settings of the profiles by name, as they stand.
    pub fn profile_settings(&self) -> BTreeMap<String, ProfileSettings> {
        self.raw.profiles.iter().map(|(name, raw)| (name.clone(), raw.settings())).collect()
    }

    /// What keys are needed for: one slot a profile.
    ///
    /// # Errors
    /// When a profile cannot be meant.
    pub fn slots(&self) -> Result<Vec<Slot>, Failure> {
        let surroundings = self.surroundings()?;
        let slot = |(name, raw): (&String, &RawProfile)| {
            check_name("profiles", name)?;
            raw.settings().slot(name, &surroundings).map_err(|Invalid { field, sentence }| {
                let common = field == "rotate_after" && raw.rotate_after.is_none();
                let setting = if common { "rotation.after".to_owned() } else { format!("profiles.{name}.{field}") };
                Failure::configuration(format!("{setting} {sentence}"))
            })
        };
        self.raw.profiles.iter().map(slot).collect()
    }

    /// Issuers by name; the top-level one has none.
    ///
    /// # Errors
    /// When one is no URL, or two would answer under the same path.
    pub fn issuers(&self) -> Result<BTreeMap<String, String>, Failure> {
        let top = self.required("issuer", self.raw.issuer.clone(), "the https URL of this signer, as tokens say it in iss")?;
        check_issuer("issuer", &top)?;
        let mut issuers = BTreeMap::from([(String::new(), top)]);
        for (name, RawIssuer { url }) in &self.raw.issuers {
            check_name("issuers", name)?;
            let setting = format!("issuers.{name}.url");
            check_issuer(&setting, url)?;
            let same = issuers.iter().find(|(_, other)| path_of(other) == path_of(url));
            if let Some((_, other)) = same {
                return Err(Failure::configuration(format!(
                    "{setting} is {url:?}, and {other:?} has the same path; issuers are told apart by their paths"
                )));
            }
            issuers.insert(name.clone(), url.clone());
        }
        Ok(issuers)
    }

    /// The audit log.
    ///
    /// # Errors
    /// When one is out of bounds, or nobody says where the key of the HMACs is.
    pub fn audit(&self) -> Result<AuditConfig, Failure> {
        let RawAudit { deadline, checkpoint_interval, claims, hmac_key_file } = &self.raw.audit;
        let span = |setting: &str, value: Option<Lifetime>, default: u64, most: u64| {
            let seconds = value.map_or(default, Lifetime::as_secs);
            if (1..=most).contains(&seconds) {
                return Ok(Duration::from_secs(seconds));
            }
            Err(Failure::configuration(format!("audit.{setting} is {seconds}s; it takes 1s to {most}s")))
        };
        let hmac_key_file = match (claims, hmac_key_file, &self.raw.store.path) {
            (AuditClaims::Plain, ..) => None,
            (AuditClaims::Hmac, Some(path), _) => Some(self.base.join(path)),
            (AuditClaims::Hmac, None, Some(store)) => Some(self.base.join(store).with_extension("audit-key")),
            (AuditClaims::Hmac, None, None) => {
                return Err(self.missing(
                    "audit.hmac_key_file",
                    "the file of 32 random bytes that claim values in the audit log are hidden by, the same for all signers of one store (it is made if it is not there), or set audit.claims = \"plain\"",
                ));
            }
        };
        Ok(AuditConfig {
            deadline: span("deadline", *deadline, 2, 30)?,
            checkpoint_interval: span("checkpoint_interval", *checkpoint_interval, 60, 86_400)?,
            hmac_key_file,
        })
    }

    /// Profiles by name.
    ///
    /// # Errors
    /// When one cannot be meant.
    pub fn profiles(&self) -> Result<BTreeMap<String, Profile>, Failure> {
        self.raw.profiles.iter().map(|(name, raw)| Ok((name.clone(), profile(name, raw)?))).collect()
    }

    fn schemas(&self) -> Result<BTreeMap<String, Arc<Schema>>, Failure> {
        let schema = |(name, path): (&String, &PathBuf)| {
            let path = self.base.join(path);
            let unusable = |why: &dyn std::fmt::Display| {
                let path = path.display();
                Failure::configuration(format!(
                    "profiles.{name}.schema {path} cannot be used: {why}; it takes a JSON Schema that refers to no other document"
                ))
            };
            let text = std::fs::read(&path).map_err(|error| unusable(&error))?;
            let document = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
            Ok((name.clone(), Arc::new(Schema::new(document).map_err(|why| unusable(&one_line(&why)))?)))
        };
        let profiles = self.raw.profiles.iter();
        profiles.filter_map(|(name, raw)| raw.schema.as_ref().map(|path| (name, path))).map(schema).collect()
    }

    fn enrolment(&self) -> Result<EnrolmentConfig, Failure> {
        let RawEnrolment { lifetime, signers } = &self.raw.enrolment;
        let lifetime = lifetime.unwrap_or(Lifetime(86_400));
        if !(LEAST_CERTIFICATE..=MOST_CERTIFICATE).contains(&lifetime) {
            return Err(Failure::configuration(format!(
                "enrolment.lifetime is {lifetime}; it takes {LEAST_CERTIFICATE} to {MOST_CERTIFICATE}"
            )));
        }
        Ok(EnrolmentConfig { lifetime: Duration::from_secs(lifetime.as_secs()), signers: signers.clone() })
    }

    /// The certificate of the public listener, by which newcomers know the signer.
    ///
    /// # Errors
    /// When it is not given.
    pub fn public_certificate(&self) -> Result<PathBuf, Failure> {
        let certificate = self.raw.listen.public.certificate.as_ref();
        self.file("listen.public.certificate", certificate, "the PEM file of its TLS certificate chain")
    }

    /// The edges that are told of revocations.
    ///
    /// # Errors
    /// When one cannot be meant, or two are called alike.
    pub fn edges(&self) -> Result<Vec<EdgeConfig>, Failure> {
        let edges = self.raw.edges.iter().map(|(name, raw)| EdgeConfig::new(name, raw, &self.base));
        let edges = edges.collect::<Result<Vec<_>, _>>()?;
        for (place, edge) in edges.iter().enumerate() {
            if let Some(other) = edges.iter().take(place).find(|other| other.id == edge.id) {
                let (name, id, other) = (&edge.name, &edge.id, &other.name);
                return Err(Failure::configuration(format!(
                    "edges.{name}.id is {id:?}, and so is that of edges.{other}; documents are told apart by it"
                )));
            }
        }
        Ok(edges)
    }

    /// Where browsers find the console, if there is one.
    ///
    /// # Errors
    /// When the administrators' listener or the console cannot be meant so.
    pub fn console_url(&self) -> Result<Option<String>, Failure> {
        let Some((listen, _)) = self.admin()? else { return Ok(None) };
        Ok(Some(self.raw.console.check(listen.address)?.relying_party.origin().to_owned()))
    }

    /// Agents by name.
    ///
    /// # Errors
    /// When one cannot be meant.
    pub fn agents(&self, profiles: &BTreeMap<String, Profile>) -> Result<BTreeMap<String, Agent>, Failure> {
        let agent = |(name, raw): (&String, &RawAgent)| {
            check_name("agents", name)?;
            if let Some(unknown) = raw.profiles.iter().find(|profile| !profiles.contains_key(*profile)) {
                return Err(Failure::configuration(format!(
                    "agents.{name}.profiles names {unknown:?}, and there is no profiles.{unknown}"
                )));
            }
            if let Some(both) = raw.required_claims.iter().find(|claim| raw.forbidden_claims.contains(claim)) {
                return Err(Failure::configuration(format!("agents.{name} both requires and forbids the claim {both:?}")));
            }
            if raw.rate == Some(0) {
                return Err(Failure::configuration(format!("agents.{name}.rate is 0; it takes tokens a second, 1 or more")));
            }
            let agent = Agent {
                name: name.clone(),
                profiles: raw.profiles.clone(),
                audiences: raw.audiences.clone(),
                max_lifetime: raw.max_lifetime,
                required_claims: raw.required_claims.clone(),
                forbidden_claims: raw.forbidden_claims.clone(),
                rate: raw.rate,
            };
            Ok((name.clone(), agent))
        };
        self.raw.agents.iter().map(agent).collect()
    }

    /// What the agent's daemon needs.
    ///
    /// # Errors
    /// The first setting that is missing or cannot be meant.
    pub fn daemon(&self) -> Result<AgentConfig, Failure> {
        let RawDaemon { socket, users, listen, secret_file, signers, ca, certificate, key } = &self.raw.agent;
        if signers.is_empty() {
            return Err(self.missing(
                "agent.signers",
                "the agents' listeners of your signers, such as [\"https://signer.example.com:8444\"]",
            ));
        }
        let loopback = listen.as_ref().map(|address| {
            let parsed: Option<SocketAddr> = address.parse().ok();
            let parsed = parsed.filter(|address| address.ip().is_loopback()).ok_or_else(|| {
                Failure::configuration(format!(
                    "agent.listen is {address:?}; it takes an address of this machine alone and a port, such as 127.0.0.1:8446"
                ))
            })?;
            let file =
                self.file("agent.secret_file", secret_file.as_ref(), "a file with mode 0600 that holds what callers must show")?;
            let origin = format!("agent.secret_file {}", file.display());
            let secret = read_secret(&file, &origin, "what callers of agent.listen must show")?;
            if secret.len() < LEAST_SECRET {
                return Err(Failure::configuration(format!(
                    "{origin} holds fewer than {LEAST_SECRET} characters; make one with: openssl rand -base64 32"
                )));
            }
            Ok(Loopback { address: parsed, secret })
        });
        Ok(AgentConfig {
            socket: self.file(
                "agent.socket",
                socket.as_ref(),
                "the Unix socket for applications, such as /run/edgeseal/agent.sock",
            )?,
            users: users.clone(),
            loopback: loopback.transpose()?,
            signers: signers.clone(),
            ca: ca.as_ref().map(|path| self.base.join(path)),
            certificate: self.file("agent.certificate", certificate.as_ref(), "the PEM file of the agent's certificate")?,
            key: self.file("agent.key", key.as_ref(), "the PEM file of its private key")?,
        })
    }

    /// How to reach a signer as an agent.
    ///
    /// # Errors
    /// When a part is not given.
    pub fn client(&self) -> Result<ClientConfig, Failure> {
        let RawClient { url, ca, certificate, key } = &self.raw.client;
        Ok(ClientConfig {
            url: self.required("client.url", url.clone(), "the agents' listener of your signer (or --url)")?,
            ca: ca.as_ref().map(|path| self.base.join(path)),
            certificate: self.file(
                "client.certificate",
                certificate.as_ref(),
                "the PEM file of the agent's certificate (or --cert)",
            )?,
            key: self.file("client.key", key.as_ref(), "the PEM file of its private key (or --key)")?,
        })
    }

    fn admin(&self) -> Result<Option<(ListenConfig, PathBuf)>, Failure> {
        let raw = &self.raw.listen.admin;
        if raw.certificate.is_none() && raw.key.is_none() && raw.client_ca.is_none() {
            return Ok(None);
        }
        let what = "the PEM file of the authority of your administrators' certificates";
        Ok(Some((self.listener("admin", raw)?, self.file("listen.admin.client_ca", raw.client_ca.as_ref(), what)?)))
    }

    fn listener(&self, which: &'static str, raw: &RawListener) -> Result<ListenConfig, Failure> {
        let (setting, default) = match which {
            "public" => ("listen.public", "127.0.0.1:8443"),
            "agents" => ("listen.agents", "127.0.0.1:8444"),
            _ => ("listen.admin", "127.0.0.1:8445"),
        };
        let address = address(setting, raw.address.as_deref().unwrap_or(default), default)?;
        Ok(ListenConfig {
            setting,
            address,
            certificate: self.file(
                &format!("{setting}.certificate"),
                raw.certificate.as_ref(),
                "the PEM file of its TLS certificate chain",
            )?,
            key: self.file(&format!("{setting}.key"), raw.key.as_ref(), "the PEM file of its TLS private key")?,
        })
    }

    fn pin(&self, pin_file: Option<&PathBuf>) -> Result<Pin, Failure> {
        let found = self.secret("hsm.pin_file", pin_file, PIN)?;
        let (pin, origin) = found.ok_or_else(|| {
            let Secret { variable, credential, .. } = PIN;
            self.missing(
                "hsm.pin_file",
                &format!("a file with mode 0600 that holds the PIN, or {variable}, or the systemd credential {credential}"),
            )
        })?;
        Ok(Pin::new(pin, origin))
    }

    /// A secret and where it is from: the environment, else a file, else systemd's credentials.
    fn secret(
        &self,
        setting: &str,
        file: Option<&PathBuf>,
        secret: Secret,
    ) -> Result<Option<(Zeroizing<String>, String)>, Failure> {
        let Secret { variable, credential, what } = secret;
        let (value, origin) = if let Ok(value) = env::var(variable) {
            (Zeroizing::new(value), variable.to_owned())
        } else if let Some(path) = file {
            let path = self.base.join(path);
            let origin = format!("{setting} {}", path.display());
            (read_secret(&path, &origin, what)?, origin)
        } else {
            let Some(folder) = env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
            let path = PathBuf::from(folder).join(credential);
            if !path.exists() {
                return Ok(None);
            }
            let origin = format!("the systemd credential {credential}");
            (read_secret(&path, &origin, what)?, origin)
        };
        if value.is_empty() {
            return Err(Failure::configuration(format!("{origin} is empty; it takes {what}")));
        }
        Ok(Some((value, origin)))
    }

    fn required<T>(&self, setting: &str, value: Option<T>, what: &str) -> Result<T, Failure> {
        value.ok_or_else(|| self.missing(setting, what))
    }

    fn file(&self, setting: &str, value: Option<&PathBuf>, what: &str) -> Result<PathBuf, Failure> {
        self.required(setting, value, what).map(|path| self.base.join(path))
    }

    fn missing(&self, setting: &str, what: &str) -> Failure {
        Failure::configuration(format!("{setting} is not set in {}; it takes {what}", self.origin))
    }
}

fn profile(name: &str, raw: &RawProfile) -> Result<Profile, Failure> {
    check_name("profiles", name)?;
    raw.settings()
        .profile(name)
        .map_err(|Invalid { field, sentence }| Failure::configuration(format!("profiles.{name}.{field} {sentence}")))
}

impl RawProfile {
    /// What may stand in the store as well.
    fn settings(&self) -> ProfileSettings {
        ProfileSettings {
            algorithm: self.algorithm,
            rsa_bits: self.rsa_bits,
            default_lifetime: self.default_lifetime,
            max_lifetime: self.max_lifetime,
            audiences: self.audiences.clone(),
            typ: self.typ.clone(),
            issuer: self.issuer.clone(),
            rotate_after: self.rotate_after,
            publish_ahead: self.publish_ahead,
            modes: self.modes.clone(),
            max_session: self.max_session,
        }
    }
}

fn address(setting: &str, text: &str, example: &str) -> Result<SocketAddr, Failure> {
    text.parse().map_err(|_| {
        Failure::configuration(format!("{setting}.address is {text:?}; it takes an IP address and a port, such as {example}"))
    })
}

/// Names stand in URLs, URNs and labels.
pub(crate) fn check_name(section: &str, name: &str) -> Result<(), Failure> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(fine) {
        return Ok(());
    }
    Err(Failure::configuration(format!("{section}.{name:?}: a name has 1 to 64 characters out of a-z, 0-9, - _ .")))
}

fn check_issuer(setting: &str, issuer: &str) -> Result<(), Failure> {
    let refused = |why: &str| {
        Failure::configuration(format!(
            "{setting} is {issuer:?}, and {why}; it takes a URL such as \"https://signer.example.com\""
        ))
    };
    let rest = issuer.strip_prefix("https://").ok_or_else(|| refused("does not begin with https://"))?;
    if rest.is_empty() || rest.starts_with('/') || rest.starts_with(':') {
        return Err(refused("names no host"));
    }
    if issuer.contains(['?', '#']) || issuer.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(refused("has a query, a fragment or blanks (RFC 8414 section 2)"));
    }
    if issuer.ends_with('/') {
        return Err(refused("ends with a slash, which verifiers would have to repeat exactly"));
    }
    Ok(())
}

/// An issuer's URL without its path.
pub(crate) fn origin_of(issuer: &str) -> &str {
    issuer.strip_suffix(path_of(issuer)).unwrap_or(issuer)
}

/// The path of an issuer's URL; empty when there is none.
pub(crate) fn path_of(issuer: &str) -> &str {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

fn read_secret(path: &Path, origin: &str, what: &str) -> Result<Zeroizing<String>, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |error: std::io::Error| {
        Failure::configuration(format!("{origin} cannot be read ({error}); it takes a file that holds {what}"))
    };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(Failure::configuration(format!(
            "{origin} is open to everybody on this machine; chmod 600 {}",
            path.display()
        )));
    }
    let mut content = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let kept = content.trim_end_matches(['\r', '\n']).len();
    content.truncate(kept);
    Ok(content)
}

fn lay_over(table: &mut Table, setting: &str, value: Value) {
    if let Some((section, rest)) = setting.split_once('.') {
        let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(inner) = entry {
            lay_over(inner, rest, value);
        }
    } else {
        // Two ways to name one thing: the one that lies over replaces the other.
        match setting {
            "slot" => table.remove("token"),
            "token" => table.remove("slot"),
            "path" => table.remove("url"),
            "url" => table.remove("path"),
            _ => None,
        };
        table.insert(setting.to_owned(), value);
    }
}

fn malformed(origin: &str, text: &str, error: &toml::de::Error) -> Failure {
    let line = error.span().map(|span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
    let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
    Failure::configuration(format!("{origin}{place}: {}", one_line(error.message())))
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', "; ")
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const WHOLE: &str = r#"
        issuer = "https://signer.example.com"
        [hsm]
        module = "/usr/lib/softhsm/libsofthsm2.so"
        token = "edgeseal"
        [store]
        path = "edgeseal.db"
        [listen.public]
        certificate = "server.crt"
        key = "server.key"
        [listen.agents]
        address = "0.0.0.0:9444"
        certificate = "server.crt"
        key = "server.key"
        client_ca = "ca.crt"
        [profiles.default]
        algorithm = "ES256"
        audiences = ["https://api.example.com"]
        [agents.app]
        profiles = ["default"]
    "#;

    fn load(text: &str, environment: &[(&str, &str)], flags: &[Override]) -> Result<SignerConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let pin = folder.path().join("pin");
        std::fs::write(&pin, "1234\n").unwrap();
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
        let pin = pin.display().to_string();
        environment.entry("EDGESEAL_HSM_PIN_FILE").or_insert(&pin);
        let variable = |name: &str| environment.get(name).map(ToString::to_string);
        let settings = Settings::parse(text, PathBuf::from("/etc/edgeseal"), "edgeseal.toml".to_owned(), flags, variable);
        settings.and_then(|settings| settings.signer()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = load(WHOLE, &[], &[]).unwrap();
        assert_eq!(config.public.address, "127.0.0.1:8443".parse().unwrap());
        assert_eq!(config.agents.address, "0.0.0.0:9444".parse().unwrap());
        assert!(matches!(config.store, StoreSettings::Sqlite(path) if path == Path::new("/etc/edgeseal/edgeseal.db")));
        assert_eq!(config.profiles["default"].default_lifetime, Lifetime(600));
        assert_eq!(config.timing.activation_delay(), 300 + 3_600 + 300);
    }

    #[test]
    fn flags_over_environment_over_file() {
        let environment = [("EDGESEAL_HSM_SLOT", "7"), ("EDGESEAL_LISTEN_PUBLIC", "127.0.0.1:1")];
        let config = load(WHOLE, &environment, &[Override::text("listen.public.address", "127.0.0.1:2")]).unwrap();
        assert_eq!(config.hsm.token, TokenSelector::Slot(7), "the slot replaces the file's label");
        assert_eq!(config.public.address.port(), 2);
    }

    #[test]
    fn each_mistake_is_one_sentence_that_names_the_setting() {
        let edit = |from: &str, to: &str| load(&WHOLE.replace(from, to), &[], &[]).unwrap_err();
        for (from, to, says) in [
            ("token = \"edgeseal\"", "tokn = \"edgeseal\"", "line 5: unknown field `tokn`"),
            ("token = \"edgeseal\"", "", "hsm.token is not set in edgeseal.toml"),
            ("token = \"edgeseal\"", "token = \"a\"\nslot = 1", "hsm.token and hsm.slot are both set"),
            ("\"ES256\"", "\"HS256\"", "unknown algorithm"),
            ("https://signer", "http://signer", "does not begin with https://"),
            ("example.com\"\n        [hsm]", "example.com/\"\n        [hsm]", "ends with a slash"),
            ("0.0.0.0:9444", "localhost", "listen.agents.address is \"localhost\""),
            ("[\"https://api.example.com\"]", "[]", "profiles.default.audiences is empty"),
            ("profiles = [\"default\"]", "profiles = [\"other\"]", "agents.app.profiles names \"other\""),
            ("[agents.app]", "[agents.\"a/b\"]", "a name has 1 to 64 characters"),
            (
                "path = \"edgeseal.db\"",
                "path = \"edgeseal.db\"\nurl = \"postgres://db/edgeseal\"",
                "store.path and store.url are both set",
            ),
            ("path = \"edgeseal.db\"", "url = \"sqlite://edgeseal.db\"", "store.url does not begin with postgres://"),
            ("[hsm]", "[hsm", "line 3"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nissuer = \"b\"", "profiles.default.issuer names \"b\""),
            (
                "algorithm = \"ES256\"",
                "algorithm = \"ES256\"\nrotate_after = \"1h\"",
                "profiles.default.rotate_after is 1h; it takes 70m",
            ),
            (
                "[hsm]",
                "[issuers.b]\nurl = \"https://b.example.com\"\n[hsm]",
                "issuers.b.url is \"https://b.example.com\", and \"https://signer",
            ),
            (
                "[hsm]",
                "[issuers.b]\nurl = \"http://b.example.com/b\"\n[hsm]",
                "issuers.b.url is \"http://b.example.com/b\", and does not",
            ),
            ("[hsm]", "[enrolment]\nlifetime = \"10s\"\n[hsm]", "enrolment.lifetime is 10s"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmax_lifetime = \"2d\"", "profiles.default.max_lifetime is 2d"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmodes = []", "profiles.default.modes is empty"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmodes = [\"clams\"]", "unknown variant `clams`"),
            ("\"ES256\"", "\"EdDSA\"\nmodes = [\"digest\"]", "EdDSA signs no digests"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmax_session = \"1m\"", "profiles.default.max_session is 1m"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nschema = \"/nonexistent\"", "profiles.default.schema /nonexistent"),
            ("profiles = [\"default\"]", "profiles = [\"default\"]\nrate = 0", "agents.app.rate is 0"),
            (
                "profiles = [\"default\"]",
                "profiles = [\"default\"]\nrequired_claims = [\"a\"]\nforbidden_claims = [\"a\"]",
                "requires and forbids the claim \"a\"",
            ),
        ] {
            let message = edit(from, to);
            assert!(message.contains(says), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
        assert!(load(WHOLE, &[("EDGESEAL_HSM_SLOT", "x")], &[]).unwrap_err().contains("EDGESEAL_HSM_SLOT"));
    }

    #[test]
    fn a_pin_is_never_shown() {
        let config = load(WHOLE, &[], &[]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("1234") && shown.contains("Pin(from hsm.pin_file"), "{shown}");
    }

    #[test]
    fn an_open_pin_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pin = folder.path().join("pin");
        std::fs::write(&pin, "1234").unwrap();
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o644)).unwrap();
        let message = load(WHOLE, &[("EDGESEAL_HSM_PIN_FILE", pin.to_str().unwrap())], &[]).unwrap_err();
        assert!(message.contains("chmod 600"), "{message}");
    }
}
