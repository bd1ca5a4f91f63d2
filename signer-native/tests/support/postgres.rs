//! A PostgreSQL server of one's own: a cluster in a temporary folder, on a Unix socket, with a password. It ends with the
//! process that started it, however that ends, and its folder goes with it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) const USER: &str = "edgeseal";
pub(crate) const PASSWORD: &str = "Store-Secret-4711";
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
pub(crate) struct Cluster {
    folder: PathBuf,
    server: Child,
}

/// The server that the tests of one process share.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

impl Cluster {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // The path of a socket has at most 107 octets, which a folder of the test would exceed.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("edgeseal-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let password = folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        if let Some((user, group)) = unprivileged() {
            chown(&folder, Some(user), Some(group)).unwrap();
            chown(&password, Some(user), Some(group)).unwrap();
        }
        let made = as_its_user(&program("initdb"))
            .args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username", USER, "--pwfile"])
            .arg(&password)
            .arg("--pgdata")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {made:?}");
        let server = serve(&folder);
        let cluster = Self { folder, server };
        cluster.wait();
        cluster
    }

    /// A new database; gives its URL, which has no password.
    pub(crate) fn database(&self, name: &str) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let made = self.client("createdb").arg(&name).output().unwrap();
        assert!(made.status.success(), "createdb: {made:?}");
        format!("postgres://{USER}@localhost/{name}?host={}", self.folder.display())
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn stop(&mut self) {
        self.server.stdin.take().unwrap().write_all(b"keep").unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again after [`Cluster::stop`].
    pub(crate) fn start_again(&mut self) {
        self.server = serve(&self.folder);
        self.wait();
    }

    /// Runs SQL, as somebody else at the same database would; gives what it printed.
    pub(crate) fn sql(&self, url: &str, sql: &str) -> String {
        let said =
            self.client("psql").args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, url]).output().unwrap();
        assert!(said.status.success(), "psql: {said:?}");
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        command.env("PGHOST", &self.folder).env("PGUSER", USER).env("PGPASSWORD", PASSWORD);
        command
    }

    fn wait(&self) {
        let began = Instant::now();
        while !self.client("pg_isready").output().unwrap().status.success() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL did not start in {}", self.folder.display());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The server beneath a shell that waits for the end of its standard input: it comes when this process ends.
fn serve(folder: &Path) -> Child {
    let script = r#"
        "$1" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=60 >"$2/log" 2>&1 & server=$!
        word=$(cat)
        kill -QUIT "$server"; wait "$server"
        [ "$word" = keep ] || rm -rf "$2"
    "#;
    as_its_user(Path::new("/bin/sh"))
        .args(["-c", script, "sh"])
        .arg(program("postgres"))
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

/// PostgreSQL refuses to run as root.
fn as_its_user(program: &Path) -> Command {
    if unprivileged().is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]).arg(program);
    command
}

/// User and group of PostgreSQL, when this is root.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let said = Command::new("id").args(arguments).output().unwrap();
        assert!(said.status.success(), "PostgreSQL is needed (Debian: apt install postgresql): {said:?}");
        String::from_utf8(said.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}

fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.max_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let found = newest.map(|path| path.join("bin").join(name)).filter(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from(name))
}
