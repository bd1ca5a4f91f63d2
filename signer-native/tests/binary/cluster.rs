//! Two signers on one token and one PostgreSQL, an agent before both: one key signs at any time, either signer may die, and so
//! may the database.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    agent::Agent,
    audit::{Export, all_are_there},
    enrolment::{Open, enroll},
    postgres::{Cluster, PASSWORD},
    support::{AUDIENCE, Answer, Signer, edgeseal, run, until, write_private},
};

/// Seconds: how long a key signs here.
const ROTATE_AFTER: u64 = 20;

/// What starts one of the two.
struct Place {
    folder: PathBuf,
    file: PathBuf,
    ready: Value,
    dir: PathBuf,
    name: &'static str,
}

impl Place {
    fn new(folder: &Path, dev: &Value, dir: &Path, url: &str, name: &'static str) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (public, agents) = (free(), free());
        let mut section = String::new();
        let lines = fs::read_to_string(dir.join("edgeseal.toml")).unwrap();
        let lines = lines.lines().map(|line| {
            if line.starts_with('[') {
                section = line.to_owned();
            }
            match (section.as_str(), line.split(" = ").next().unwrap()) {
                ("[store]", "path") => format!("url = {url:?}\npassword_file = \"store-password\""),
                ("[listen.public]", "address") => format!("address = {public:?}"),
                ("[listen.agents]", "address") => format!("address = {agents:?}"),
                ("[listen.admin]", "address") => "address = \"127.0.0.1:0\"".to_owned(),
                ("[rotation]", "lease") => "lease = \"5s\"".to_owned(),
                ("[rotation]", "automatic") => format!("automatic = true\nafter = \"{ROTATE_AFTER}s\""),
                // The keys that are counted are those of the profile.
                ("[profiles.default]", "modes") => "modes = [\"claims\"]".to_owned(),
                ("[log]", "level") => "level = \"info\"".to_owned(),
                _ => line.to_owned(),
            }
        });
        let text = lines.collect::<Vec<String>>().join("\n");
        let file = dir.join(format!("{name}.toml"));
        fs::write(&file, format!("{text}\n[audit]\nhmac_key_file = \"audit-key\"\n")).unwrap();
        let mut ready = dev.clone();
        let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
        ready["issuer"] = format!("https://localhost:{}", port(&public)).into();
        ready["agent"] = format!("https://localhost:{}", port(&agents)).into();
        Self { folder: folder.to_owned(), file, ready, dir: dir.to_owned(), name }
    }

    fn start(&self) -> Signer {
        let mut command = edgeseal();
        command.arg("serve").arg("--config").arg(&self.file);
        Signer::serve(command, &self.folder.join(format!("{}.log", self.name)), self.ready.clone(), self.dir.clone())
    }
}

fn body() -> Value {
    json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "alice" } })
}

fn ask(signer: &Signer) -> (u16, String) {
    let answer = signer.ask(&body().to_string());
    (answer.status, if answer.status == 200 { answer.json()["token"].as_str().unwrap().to_owned() } else { answer.body })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn two_signers_one_database_one_token() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (dir, told) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    let mut database = Cluster::start();
    let url = database.database("two");
    write_private(&dir.join("store-password"), PASSWORD);
    let places = ["one", "two"].map(|name| Place::new(folder.path(), &told, &dir, &url, name));
    let issuer = told["issuer"].as_str().unwrap().to_owned();

    // Both at once, on an empty database: the first key signs as soon as somebody has made it.
    let (one, two) = std::thread::scope(|scope| {
        let two = scope.spawn(|| places[1].start());
        (places[0].start(), two.join().unwrap())
    });
    let active = "SELECT COUNT(*) FROM keys WHERE purpose = 'token' AND state = 'active'";
    let activations = "SELECT COUNT(*) FROM keys WHERE purpose = 'token' AND activated_at IS NOT NULL";
    let count = |database: &Cluster, sql: &str| database.sql(&url, sql).parse::<u64>().unwrap();
    until("both sign", || ask(&one).0 == 200 && ask(&two).0 == 200);
    assert_eq!(count(&database, active), 1);

    let agent = Agent::start(folder.path(), &one, &[one.text("agent"), two.text("agent")], "");
    let tokens = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    let keep = |token: String| tokens.lock().unwrap().push(token);
    let at_the_agent = |times: &dyn Fn() -> bool| {
        while !times() {
            let answer = agent.post("/v1/tokens", &body());
            assert_eq!(answer.status, 200, "{answer:?}, and the log: {}", agent.log());
            keep(answer.json()["token"].as_str().unwrap().to_owned());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    };
    let rotated = |database: &Cluster, alive: &[&Signer]| {
        let before = count(database, activations);
        until("a rotation", || {
            let seen = database.sql(&url, &format!("SELECT ({active}) || ' ' || ({activations})"));
            let (active, activations) = seen.split_once(' ').unwrap();
            assert_eq!(active, "1", "exactly one, at every moment");
            for signer in alive {
                let (status, said) = ask(signer);
                assert_eq!(status, 200, "{said}");
                keep(said);
            }
            std::thread::park_timeout(Duration::from_millis(100));
            activations.parse::<u64>().unwrap() > before
        });
    };
    let (one, two) = std::thread::scope(|scope| {
        let asker = scope.spawn(|| at_the_agent(&|| done.load(Ordering::Relaxed)));
        rotated(&database, &[&one, &two]);
        // One dies, whatever it was doing; the other goes on, leads, and rotates.
        one.kill();
        rotated(&database, &[&two]);
        let one = places[0].start();
        two.kill();
        rotated(&database, &[&one]);
        let two = places[1].start();
        done.store(true, Ordering::Relaxed);
        asker.join().unwrap();
        (one, two)
    });

    // Nobody rotated twice: a key signs for its whole time, and every activation has one row.
    let times =
        database.sql(&url, "SELECT activated_at FROM keys WHERE purpose = 'token' AND activated_at IS NOT NULL ORDER BY 1");
    let times: Vec<u64> = times.lines().map(|line| line.parse().unwrap()).collect();
    assert!(times.len() >= 4, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= ROTATE_AFTER * 1_000), "{times:?}");

    // The database is gone and comes back.
    let kept = |shown: &Answer| {
        let seconds = shown.header("cache-control").unwrap().strip_prefix("public, max-age=").unwrap();
        seconds.parse::<u64>().unwrap()
    };
    let whole = kept(&one.public("/.well-known/jwks.json", &[]));
    database.stop();
    for signer in [&one, &two] {
        until("nothing is signed", || {
            let (status, said) = ask(signer);
            if status == 200 {
                keep(said);
                return false;
            }
            let code = serde_json::from_str::<Value>(&said).unwrap()["code"].as_str().unwrap().to_owned();
            assert!(status == 503 && ["audit_unavailable", "store_unavailable"].contains(&code.as_str()), "{said}");
            true
        });
        until("it says so", || signer.public("/readyz", &[]).status == 503);
        // The set of before is shown, and may be kept as if it had been given out then.
        until("its time counts from then", || {
            let shown = signer.public("/.well-known/jwks.json", &[]);
            shown.status == 200 && kept(&shown) < whole
        });
    }
    database.start_again();
    for signer in [&one, &two] {
        until("it signs again", || {
            let (status, said) = ask(signer);
            if status == 200 {
                keep(said);
            }
            status == 200
        });
        until("it is ready again", || signer.public("/readyz", &[]).status == 200);
    }
    at_the_agent(&|| tokens.lock().unwrap().len() % 3 == 0);

    // Tokens of both, under every key, are what verifiers accept.
    let tokens = tokens.into_inner().unwrap();
    let jwks = format!("{}/.well-known/jwks.json", two.text("issuer"));
    let mut by_key: BTreeMap<String, &String> = BTreeMap::new();
    for token in &tokens {
        by_key.entry(token.split('.').next().unwrap().to_owned()).or_insert(token);
    }
    assert!(by_key.len() >= 4, "{}", by_key.len());
    for token in by_key.values() {
        let (ca, token) = (two.text("ca"), token.as_str());
        run(&["verify", token, "--issuer", &issuer, "--audience", AUDIENCE, "--alg", "ES256", "--jwks", &jwks, "--ca", ca]).ok();
    }
    // Who enrols at one, which makes the authority for it, comes in at the other.
    let file = places[0].file.to_str().unwrap();
    let invited = run(&["agents", "invite", "late", "--profile", "default", "--json", "--config", file]).json();
    enroll(&one, invited["code"].as_str().unwrap(), &folder.path().join("late")).ok();
    let late = folder.path().join("late/agent.pem");
    until("the other one knows its authority", || Open::to(&two, &late).post(&body()).is_ok_and(|(status, _)| status == 200));
    drop(agent);
    assert_eq!((one.end(), two.end()), (Some(0), Some(0)));
    let export = Export::with(&["--config", places[0].file.to_str().unwrap()], folder.path(), "two");
    let rows = export.proves();
    all_are_there(&rows, &tokens);
    let activated: Vec<&str> =
        rows.iter().filter(|row| row["action"] == "keys.activate").map(|row| row["subject"].as_str().unwrap()).collect();
    // An announcement may be of a leader that came too late, or died over it; each key was activated by one.
    let by_subject = activated.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(by_subject as u64 >= times.len() as u64, "{activated:?}");
}

#[test]
fn who_is_told_to_end_waits_for_no_lease() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (dir, told) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    let database = Cluster::start();
    let url = database.database("ending");
    write_private(&dir.join("store-password"), PASSWORD);
    let place = Place::new(folder.path(), &told, &dir, &url, "one");
    let signer = place.start();
    std::thread::scope(|scope| {
        scope.spawn(|| database.sql(&url, "BEGIN; LOCK TABLE leases; SELECT pg_sleep(25); COMMIT"));
        until("the leases are locked", || {
            database
                .sql(&url, "SELECT COUNT(*) FROM pg_locks WHERE relation = 'leases'::regclass AND mode = 'AccessExclusiveLock'")
                != "0"
        });
        let began = Instant::now();
        assert_eq!(signer.end(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
    let log = fs::read_to_string(folder.path().join("one.log")).unwrap();
    assert!(!log.contains("no last checkpoint"), "{log}");
}
