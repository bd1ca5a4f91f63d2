//! The configuration: one TOML file, the environment over it, flags over both; parsed once into types.
//!
//! Every failure names the setting and the mend. Relative paths in the file start at the file's folder, those in the
//! environment and on the command line at the current one.

mod agents;
mod client;
mod console;
mod hsm;
mod issuers;
mod listen;
mod log;
mod profiles;
mod rotation;
mod secrets;
mod store;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use toml::{Table, Value};

pub(crate) use self::issuers::{origin_of, path_of};
pub use self::{
    agents::EnrolmentConfig,
    client::ClientConfig,
    listen::ListenConfig,
    log::{LogConfig, LogFormat, LogLevel},
    rotation::{MAX_LEASE, MAX_STALE_WINDOW},
    store::AuditConfig,
};
use self::{
    agents::{RawAgent, RawEnrolment},
    client::{RawClient, RawDaemon},
    console::RawConsole,
    hsm::RawHsm,
    issuers::RawIssuer,
    listen::{RawListen, RawTraces, address},
    profiles::RawProfile,
    rotation::{RawApprovals, RawRotation},
    store::{RawAudit, RawStore},
};
use crate::{
    console::ConsoleConfig,
    error::Failure,
    hsm::Pkcs11Settings,
    issue::{Agent, Profile, ProfileSettings, Schema, Surroundings},
    keys::{Slot, Timing},
    revocation::{EdgeConfig, RawEdge},
    store::StoreSettings,
    traces::TracesConfig,
};

/// Where the configuration is when neither `--config` nor `EDGESEAL_CONFIG` says so.
pub const DEFAULT_PATH: &str = "/etc/edgeseal/edgeseal.toml";

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

/// A name that is a setting of the configuration.
pub(crate) fn check_name(section: &str, name: &str) -> Result<(), Failure> {
    if is_name(name) { Ok(()) } else { Err(Failure::configuration(format!("{section}.{name:?}: {NAME_RULE}"))) }
}

/// What a name is, for people.
pub(crate) const NAME_RULE: &str = "a name has 1 to 64 characters out of a-z, 0-9, - _ . and is not . or ..";

/// Names stand in URLs, URNs and labels.
pub(crate) fn is_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    // Clients take dots alone for steps in a path, and would ask for something else.
    (1..=64).contains(&name.len()) && name.bytes().all(fine) && name != "." && name != ".."
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
    let line = error.span().map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
    let message = one_line(error.message());
    // An unknown one is named already.
    let setting = line.filter(|_| !message.starts_with("unknown field")).map(|line| setting_at(text, line)).unwrap_or_default();
    let place = line.map(|line| format!(", line {}{setting}", line + 1)).unwrap_or_default();
    Failure::configuration(format!("{origin}{place}: {message}"))
}

/// The setting that stands in a line of the file, and never its value; empty where the line is no setting.
fn setting_at(text: &str, line: usize) -> String {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.\"".contains(letter));
    let section = |line: &str| Some(line.trim().strip_prefix('[')?.split_once(']')?.0.trim().to_owned());
    let Some((name, _)) = text.lines().nth(line).and_then(|line| line.split_once('=')) else { return String::new() };
    let name = name.trim();
    match text.lines().take(line).filter_map(section).last() {
        Some(section) if is_name(&section) && is_name(name) => format!(" ({section}.{name})"),
        None if is_name(name) => format!(" ({name})"),
        _ => String::new(),
    }
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
    use crate::{hsm::TokenSelector, issue::Lifetime};

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
            ("\"ES256\"", "\"HS256\"", "(profiles.default.algorithm): unknown algorithm"),
            ("[store]", "[rotation]\nlease = 5.5\n[store]", "line 7 (rotation.lease): invalid type"),
            ("https://signer", "http://signer", "does not begin with https://"),
            ("example.com\"\n        [hsm]", "example.com/\"\n        [hsm]", "ends with a slash"),
            ("https://signer", "https://user:pass@signer", "a user or a password"),
            ("signer.example.com\"", "signer.example.com/a/../b\"", "steps . or .."),
            ("signer.example.com\"", "signer.example.com/%2e%2e\"", "clients write in another way"),
            ("signer.example.com\"", "signer.example.com/\u{e9}\"", "clients write in another way"),
            ("https://signer", "https://Signer", "in capitals"),
            ("[agents.app]", "[agents.\"..\"]", "is not . or .."),
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
            (
                "[hsm]",
                "[issuers.b]\nurl = \"https://signer.example.com/agents/shop\"\n[hsm]",
                "issuers.b.url is \"https://signer.example.com/agents/shop\", and below \"https://signer.example.com/agents/\" there are",
            ),
            (
                "signer.example.com\"\n        [hsm]",
                "signer.example.com/b/agents/shop\"\n[issuers.b]\nurl = \"https://b.example.com/b\"\n[hsm]",
                "issuer is \"https://signer.example.com/b/agents/shop\", and below \"https://b.example.com/b/agents/\" there are",
            ),
            ("[hsm]", "[enrolment]\nlifetime = \"10s\"\n[hsm]", "enrolment.lifetime is 10s"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmax_lifetime = \"2d\"", "profiles.default.max_lifetime is 2d"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmodes = []", "profiles.default.modes is empty"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmodes = [\"clams\"]", "unknown variant `clams`"),
            ("\"ES256\"", "\"EdDSA\"\nmodes = [\"digest\"]", "EdDSA signs no digests"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nmax_session = \"1m\"", "profiles.default.max_session is 1m"),
            ("algorithm = \"ES256\"", "algorithm = \"ES256\"\nschema = \"/nonexistent\"", "profiles.default.schema /nonexistent"),
            ("profiles = [\"default\"]", "profiles = [\"default\"]\nrate = 0", "agents.app.rate is 0"),
            ("profiles = [\"default\"]", "profiles = []", "agents.app.profiles is empty"),
            ("profiles = [\"default\"]", "profiles = [\"default\"]\naudiences = []", "agents.app.audiences is empty"),
            ("profiles = [\"default\"]", "profiles = [\"default\"]\naudiences = [\"\"]", "agents.app.audiences is empty"),
            ("profiles = [\"default\"]", "profiles = [\"default\"]\nmax_lifetime = \"0s\"", "agents.app.max_lifetime is 0"),
            (
                "profiles = [\"default\"]",
                "profiles = [\"default\"]\nrequired_claims = [\"a\"]\nforbidden_claims = [\"a\"]",
                "agents.app.forbidden_claims holds \"a\", which required_claims holds too",
            ),
            (
                "profiles = [\"default\"]",
                "profiles = [\"default\"]\nrequired_claims = [\"iss\"]",
                "agents.app.required_claims holds \"iss\", which no caller may set: the signer writes it",
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

    /// The members that a section takes, as the parser of the file says; none where it is no section.
    fn members(section: &str) -> Vec<String> {
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let refused = toml::from_str::<Raw>(&format!("{header}no-such-setting = 1\n"));
        let message = refused.map_or_else(|error| error.message().to_owned(), |_| String::new());
        let expected = message.split_once("unknown field `no-such-setting`, expected").map_or("", |(_, expected)| expected);
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Every setting below a section, tables of names as `NAME`.
    fn settings(section: &str) -> Vec<String> {
        let mut found = Vec::new();
        for member in members(section) {
            let path = if section.is_empty() { member } else { format!("{section}.{member}") };
            let named = format!("{path}.NAME");
            let below = [settings(&path), settings(&named)].concat();
            if below.is_empty() { found.push(path) } else { found.extend(below) }
        }
        found
    }

    #[test]
    fn the_readme_names_every_setting_and_no_other() {
        // Taken, and for nothing: whoever comes to the public listener shows no certificate.
        const MEANINGLESS: &str = "listen.public.client_ca";

        let mut named: Vec<String> = Vec::new();
        let mut is_table = false;
        for line in include_str!("../README.md").lines() {
            is_table = line.starts_with("| setting |") || is_table && line.starts_with('|');
            let first = line.split('|').nth(1).filter(|_| is_table).unwrap_or_default();
            for name in first.split('`').skip(1).step_by(2) {
                // What stands beside another one is of the same section.
                let beside = named.last().filter(|_| !first.starts_with(&format!(" `{name}`")));
                let section = beside.and_then(|beside| beside.rsplit_once('.')).map(|(section, _)| section);
                let whole = section.filter(|_| !name.contains('.')).map(|section| format!("{section}.{name}"));
                named.push(whole.unwrap_or_else(|| name.to_owned()));
            }
        }
        // A table of values alone is one setting.
        let mut named: Vec<String> = named.iter().map(|name| name.strip_suffix(".NAME").unwrap_or(name).to_owned()).collect();
        let mut known = settings("");
        known.retain(|name| name != MEANINGLESS);
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
        assert!(known.len() > 80, "{known:?}");
    }
}
