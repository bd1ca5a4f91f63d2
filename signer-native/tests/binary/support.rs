//! What the tests share: a folder with its own `SoftHSM` token, the binary as a user runs it, HTTPS as an agent speaks it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::Value;

pub(crate) const AUDIENCE: &str = "https://api.example.com";
/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn edgeseal() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeseal"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("EDGESEAL_") || name == "SOFTHSM2_CONF") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.trim_end().to_owned()
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// One sentence on standard error, with this exit code, that says this.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let err = self.err.trim_end();
        assert!(err.starts_with("edgeseal: ") && !err.contains('\n') && !err.contains("panicked"), "{self:?}");
        assert!(err.contains(says), "{says:?} is not in {self:?}");
    }
}

pub(crate) fn run(arguments: &[&str]) -> Said {
    Said::of(edgeseal().args(arguments).stdin(Stdio::null()).output().unwrap())
}

pub(crate) fn run_with_input(arguments: &[&str], input: &[u8]) -> Said {
    let mut child =
        edgeseal().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let said = Said::of(child.wait_with_output().unwrap());
    let _ = writer.join().unwrap();
    said
}

/// A running signer; it ends with the test.
pub(crate) struct Signer {
    child: Child,
    pub(crate) ready: Value,
    pub(crate) dir: PathBuf,
}

impl Signer {
    /// `edgeseal dev` in a folder, on free ports.
    pub(crate) fn dev(folder: &Path, more: &[&str]) -> Self {
        let dir = folder.join("dev");
        let ready_file = folder.join("ready.json");
        // A killed signer leaves it behind.
        let _ = fs::remove_file(&ready_file);
        let mut command = edgeseal();
        command.arg("dev").arg("--dir").arg(&dir).arg("--ready-file").arg(&ready_file);
        command.args(["--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(more);
        Self::start(command, &ready_file, dir)
    }

    /// `edgeseal serve` on what a `dev` made; ready when its public listener answers.
    pub(crate) fn serve(mut command: Command, log: &Path, ready: Value, dir: PathBuf) -> Self {
        let log_file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log_file.try_clone().unwrap()).stderr(log_file).spawn().unwrap();
        let mut signer = Self { child, ready, dir };
        let tls = client(&signer.path("ca"), None).unwrap();
        until("it serves", || {
            let said = || fs::read_to_string(log).unwrap_or_default();
            assert!(signer.child.try_wait().unwrap().is_none(), "the signer ended: {}", said());
            request(signer.text("issuer"), Arc::clone(&tls), "GET", "/readyz", &[], b"").is_ok_and(|answer| answer.status == 200)
        });
        signer
    }

    /// `edgeseal serve` on what a `dev` made, with a changed configuration.
    pub(crate) fn configured(folder: &Path, more: &[&str], change: impl FnOnce(String) -> String) -> Self {
        let dev = Self::dev(folder, more);
        let (ready, dir) = (dev.ready.clone(), dev.dir.clone());
        assert_eq!(dev.end(), Some(0));
        let text = change(fs::read_to_string(dir.join("edgeseal.toml")).unwrap());
        write_private(&dir.join("edgeseal.toml"), &text);
        let mut command = edgeseal();
        command.arg("serve").arg("--config").arg(dir.join("edgeseal.toml"));
        Self::serve(command, &folder.join("serve.log"), ready, dir)
    }

    fn start(mut command: Command, ready_file: &Path, dir: PathBuf) -> Self {
        let log = ready_file.with_extension("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let began = Instant::now();
        let ready = loop {
            if let Ok(text) = fs::read_to_string(ready_file) {
                break serde_json::from_str(&text).unwrap();
            }
            let said = || fs::read_to_string(ready_file.with_extension("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "the signer ended: {}", said());
            assert!(began.elapsed() < PATIENCE, "the signer is not ready: {}", said());
            std::thread::park_timeout(Duration::from_millis(20));
        };
        Self { child, ready, dir }
    }

    pub(crate) fn text(&self, member: &str) -> &str {
        self.ready[member].as_str().unwrap()
    }

    pub(crate) fn path(&self, member: &str) -> PathBuf {
        PathBuf::from(self.text(member))
    }

    /// A subcommand on this signer's configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut arguments = arguments.to_vec();
        let dir = self.dir.display().to_string();
        arguments.extend(["--dir", &dir]);
        run(&arguments)
    }

    pub(crate) fn issue(&self, profile: &str) -> String {
        self.run(&["token", "issue", "--profile", profile, "--audience", AUDIENCE, "--claim", "sub=alice"]).ok()
    }

    /// What `edgeseal verify` says, the keys found by discovery.
    pub(crate) fn verify(&self, token: &str, algorithm: &str) -> Said {
        let ca = self.text("ca");
        let issuer = self.text("issuer");
        run(&[
            "verify",
            token,
            "--issuer",
            issuer,
            "--audience",
            AUDIENCE,
            "--alg",
            algorithm,
            "--ca",
            ca,
            "--leeway",
            "0s",
            "--json",
        ])
    }

    /// The public listener.
    pub(crate) fn public(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let tls = client(&self.path("ca"), None).unwrap();
        request(self.text("issuer"), tls, "GET", path, headers, b"").unwrap()
    }

    /// The agents' listener, with the agent's certificate.
    pub(crate) fn agents(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let identity = (self.path("agent_cert"), self.path("agent_key"));
        self.agents_as(&identity.0, &identity.1, method, path, headers, body)
    }

    pub(crate) fn agents_as(
        &self,
        certificate: &Path,
        key: &Path,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let tls = client(&self.path("ca"), Some((certificate, key))).unwrap();
        request(self.text("agent"), tls, method, path, headers, body).unwrap()
    }

    pub(crate) fn ask(&self, body: &str) -> Answer {
        self.agents("POST", "/v1/tokens", &[("content-type", "application/json")], body.as_bytes())
    }

    /// Tells it to end, and waits; gives its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A problem document of this status and code; gives its detail.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["type"], format!("urn:edgeseal:problem:{code}"));
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["request_id"].is_string(), "{self:?}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    let config = match identity {
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// One HTTP/1.1 exchange over TLS.
pub(crate) fn request(
    base: &str,
    tls: Arc<ClientConfig>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let authority = base.strip_prefix("https://").unwrap();
    let mut stream = connect(base, tls)?;
    let headers = [&[("host", authority)], headers].concat();
    exchange(&mut stream, method, path, &headers, body).map_err(|error| last_word(stream).unwrap_or(error))
}

/// What the server said before it closed the connection that could not be written to any more: in TLS 1.3 a client's handshake has ended
/// before the server looks at its certificate.
fn last_word(stream: StreamOwned<ClientConnection, TcpStream>) -> Option<std::io::Error> {
    let StreamOwned { conn: mut connection, sock: mut socket, .. } = stream;
    while connection.read_tls(&mut socket).ok()? > 0 {
        if let Err(error) = connection.process_new_packets() {
            return Some(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        }
    }
    None
}

/// A connection of TLS, on which nothing has been said.
pub(crate) fn connect(base: &str, tls: Arc<ClientConfig>) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let (_, port) = base.rsplit_once(':').unwrap();
    let connection = ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port.parse::<u16>().unwrap()))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(StreamOwned::new(connection, socket))
}

/// One HTTP/1.1 exchange over any stream.
pub(crate) fn exchange(
    mut stream: impl std::io::Read + std::io::Write,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    // A server that refuses a body early closes; what it said is still read.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if answer.is_empty() => return Err(error),
        _ => {}
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// A file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &str) {
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Another process writes to the signer's `SQLite`, and does not end; until this is dropped.
pub(crate) struct HeldDatabase(Child);

impl HeldDatabase {
    pub(crate) fn of(signer: &Signer) -> Self {
        let lock = "import sqlite3, sys\nd = sqlite3.connect(sys.argv[1], isolation_level=None)\nd.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\n";
        let mut holder = Command::new("python3")
            .args(["-c", lock])
            .arg(signer.dir.join("edgeseal.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0; 5];
        holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
        Self(holder)
    }
}

impl Drop for HeldDatabase {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
