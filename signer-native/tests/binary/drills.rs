//! What happens to the process and its machine: killed at every step, a call that hangs for half a minute, a clock that
//! somebody sets. Nothing wrong is signed, no row of the log is lost, nobody starts the signer again but its supervisor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    admin::ALICE,
    audit::Export,
    faults::{Faulty, Prepared},
    support::{Signer, client, connect, run, until},
};

const KILLED: i32 = 9;

/// What somebody else at the database sees: a file, or that of a `dev` folder.
pub(crate) fn sql(place: &Path, statement: &str) -> Vec<Vec<Value>> {
    let database = if place.is_dir() { place.join("edgeseal.db") } else { place.to_owned() };
    let script = "import json, sqlite3, sys\nd = sqlite3.connect(sys.argv[1], timeout=30)\nrows = d.execute(sys.argv[2]).fetchall()\nd.commit()\nprint(json.dumps(rows))\n";
    let said = Command::new("python3").args(["-c", script]).arg(&database).arg(statement).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    serde_json::from_slice(&said.stdout).unwrap()
}

/// `CKA_ID`s in the token, and how many objects have each.
fn objects(ready: &Value) -> BTreeMap<String, usize> {
    let text = |member: &str| ready[member].as_str().unwrap().to_owned();
    let pin = fs::read_to_string(text("pin_file")).unwrap();
    let listed = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", text("softhsm_conf"))
        .arg("--module")
        .arg(text("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", &pin, "--list-objects"])
        .output()
        .expect("pkcs11-tool (Debian: apt install opensc)");
    assert!(listed.status.success(), "{listed:?}");
    let mut found = BTreeMap::new();
    for id in String::from_utf8(listed.stdout).unwrap().lines().filter_map(|line| line.trim().strip_prefix("ID:")) {
        *found.entry(id.trim().to_owned()).or_default() += 1;
    }
    found
}

impl Prepared {
    fn run(&self, arguments: &[&str]) -> Value {
        let file = self.file.to_str().unwrap();
        run(&[arguments, &["--json", "--config", file]].concat()).json()
    }

    /// The steps of a subcommand that comes to its end.
    fn steps(&self, arguments: &[&str]) -> Vec<String> {
        let file = self.folder.path().join("steps");
        let _ = fs::remove_file(&file);
        let said = self.command(arguments, &[("FAULT_MODULE_STEPS", file.to_str().unwrap())]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect()
    }

    /// Runs a subcommand until it is killed before this step of its own.
    fn dies(&self, step: usize, arguments: &[&str]) {
        let said = self.command(arguments, &[("FAULT_MODULE_CRASH", &step.to_string())]).output().unwrap();
        assert_eq!(said.status.signal(), Some(KILLED), "{arguments:?} at step {step}: {said:?}");
    }

    fn in_state(&self, state: &str) -> Vec<String> {
        let rows =
            sql(&self.dir, &format!("SELECT kid FROM keys WHERE purpose = 'token' AND state = '{state}' ORDER BY created_at"));
        rows.iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn one_key_is_active(&self) -> String {
        let active = self.in_state("active");
        assert_eq!(active.len(), 1, "{active:?}");
        active[0].clone()
    }

    /// The log of everybody who was killed here is whole; gives its rows.
    #[track_caller]
    fn log(&self) -> Vec<Value> {
        Export::of(&self.dir, self.folder.path(), "drill").proves()
    }

    /// Starts the signer, which is killed before this step of its own, or lives until `done`.
    fn leads(&self, step: usize, done: impl Fn() -> bool) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("leads.log")).unwrap();
        let mut command = self.command(&["serve"], &[("FAULT_MODULE_CRASH", &step.to_string())]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut killed = false;
        until("it is killed, or has done it", || {
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.signal(), Some(KILLED), "{status}");
                killed = true;
            }
            killed || done()
        });
        let _ = child.kill();
        let _ = child.wait();
        killed
    }
}

#[test]
fn killed_at_each_step_of_a_generation_and_of_an_activation() {
    let prepared = Prepared::new("");
    let generate = ["keys", "generate", "--profile", "default"];
    let steps = prepared.steps(&generate);
    for step in ["before C_GenerateKeyPair", "after C_GenerateKeyPair", "before C_Sign", "commit"] {
        assert!(steps.iter().any(|found| found == step), "{steps:?}");
    }
    for step in 1..=steps.len() {
        prepared.dies(step, &generate);
        prepared.one_key_is_active();
    }
    // Whoever looks after the keys does so when nobody can be at it any more, 300 s later, and is certain after an hour that nothing
    // comes.
    sql(&prepared.dir, "UPDATE keys SET created_at = created_at - 3700000 WHERE state = 'generating'");
    let unsettled = "SELECT COUNT(*) FROM keys WHERE state = 'generating' OR (state = 'failed' AND destroyed_at IS NULL)";
    let left = sql(&prepared.dir, unsettled)[0][0].as_u64().unwrap();
    assert!(left >= 3, "{left} rows left by {} crashes", steps.len());
    prepared.leads(0, || sql(&prepared.dir, unsettled)[0][0] == 0);

    // No pair without a row, no row without its pair.
    let rows = sql(&prepared.dir, "SELECT cka_id FROM keys WHERE state NOT IN ('failed', 'destroyed')");
    let rows: BTreeSet<String> = rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
    let found = objects(&prepared.ready);
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), rows);
    assert!(found.values().all(|count| *count == 2), "{found:?}");

    // What was adopted signs; and its activation is cut short at every step.
    let mut standbys = prepared.in_state("published");
    assert!(standbys.len() >= 3, "{standbys:?}");
    let first = prepared.one_key_is_active();
    let steps = prepared.steps(&["keys", "activate", &standbys.remove(0)]);
    assert_ne!(prepared.one_key_is_active(), first);
    for step in 1..=steps.len() {
        let before = prepared.one_key_is_active();
        let standby = match prepared.in_state("published").first() {
            Some(kid) => kid.clone(),
            None => prepared.run(&generate)["kid"].as_str().unwrap().to_owned(),
        };
        prepared.dies(step, &["keys", "activate", &standby]);
        let active = prepared.one_key_is_active();
        let retiring = prepared.in_state("retiring");
        assert!(active == before && !retiring.contains(&before) || active == standby && retiring.contains(&before));
    }
    let rows = prepared.log();
    let announced = |action: &str, subject: &str| rows.iter().any(|row| row["action"] == action && row["subject"] == subject);
    assert!(prepared.in_state("retiring").iter().all(|kid| announced("keys.activate", kid) || *kid == first));
    for row in sql(&prepared.dir, "SELECT cka_id FROM keys WHERE purpose = 'token' AND state <> 'failed'") {
        assert!(announced("keys.generate", row[0].as_str().unwrap()), "{row:?}");
    }
    for row in sql(&prepared.dir, "SELECT kid, cka_id FROM keys WHERE purpose = 'token' AND kid IS NOT NULL") {
        let ties =
            |said: &&Value| said["action"] == "keys.publish" && said["subject"] == row[0] && said["detail"]["cka_id"] == row[1];
        assert!(rows.iter().any(|said| ties(&said)), "{row:?}");
    }
    prepared.serve(&[]).signs();
}

/// Whoever asked for a key goes away while the HSM is at it, and it comes after its row was given up.
#[test]
fn a_pair_that_comes_after_its_row_failed_is_destroyed() {
    for settings in ["threads = 2", "processes = 2\nthreads = 1"] {
        let prepared = Prepared::new(settings);
        let (dir, ready) = (prepared.dir.clone(), prepared.ready.clone());
        let steps = prepared.folder.path().join("late-steps");
        let faulty = prepared.serve(&[("FAULT_MODULE_STEPS", steps.to_str().unwrap())]);
        let made = || fs::read_to_string(&steps).unwrap_or_default().matches("after C_GenerateKeyPair").count();
        let before = made();
        faulty.show("hang-generate");
        let alice = &ready["administrators"][ALICE];
        let identity = (alice["cert"].as_str().unwrap().as_ref(), alice["key"].as_str().unwrap().as_ref());
        let mut asked = connect(faulty.signer.text("admin"), client(&faulty.signer.path("ca"), Some(identity)).unwrap()).unwrap();
        let body = r#"{"profile":"default"}"#;
        let head =
            format!("POST /admin/v1/keys HTTP/1.1\r\nhost: {}\r\n", faulty.signer.text("admin").trim_start_matches("https://"));
        write!(asked, "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let generating = || sql(&dir, "SELECT cka_id FROM keys WHERE state = 'generating'");
        until("the HSM is at it", || !generating().is_empty());
        let id = generating()[0][0].as_str().unwrap().to_owned();
        drop(asked);
        sql(&dir, "UPDATE keys SET created_at = created_at - 400000 WHERE state = 'generating'");
        let row = || sql(&dir, &format!("SELECT state, destroyed_at FROM keys WHERE cka_id = '{id}'")).remove(0);
        until("it is given up", || row()[0] == "failed");
        assert_eq!((made(), objects(&ready).get(&id)), (before, None));
        faulty.end();
        until("the pair is there", || made() > before);
        until("it is destroyed", || !objects(&ready).contains_key(&id));
        let log = fs::read_to_string(faulty.folder.path().join("serve.log")).unwrap();
        assert!(log.contains("the HSM holds the pair of a key that failed"), "{log}");
        // Nobody else's went with it, and another comes.
        let made = faulty.signer.run(&["keys", "generate", "--profile", "default", "--json"]).json();
        let found = objects(&ready);
        assert_eq!(found.get(made["cka_id"].as_str().unwrap()), Some(&2), "{found:?}");
        let rows = sql(&dir, "SELECT cka_id FROM keys WHERE state <> 'failed'");
        let rows: BTreeSet<String> = rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
        assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), rows);
        faulty.signs();
        faulty.proves();
    }
}

#[test]
fn killed_at_each_step_of_what_the_leader_does() {
    let prepared = Prepared::new("");
    let text = fs::read_to_string(&prepared.file).unwrap();
    // Keys are old from the beginning, and a standby takes over at once.
    let text = text.replace("automatic = false", "automatic = true\nafter = \"1d\"");
    assert!(text.contains("automatic = true"), "{text}");
    fs::write(&prepared.file, text).unwrap();
    let generate = ["keys", "generate", "--profile", "default"];
    let mut doomed: Option<String> = None;
    let mut last = 0;
    for step in 1.. {
        assert!(step < 60, "the leader takes more steps than that");
        // Due: a destruction, and a rotation.
        let kid = if let Some(kid) = doomed.take().filter(|kid| !prepared.in_state("destroyed").contains(kid)) {
            kid
        } else {
            let kid = prepared.run(&generate)["kid"].as_str().unwrap().to_owned();
            prepared.run(&["keys", "compromise", &kid, "--yes"]);
            sql(&prepared.dir, &format!("UPDATE keys SET state = 'destroy_scheduled', destroy_at = 1 WHERE kid = '{kid}'"));
            kid
        };
        if prepared.in_state("published").is_empty() {
            prepared.run(&generate);
        }
        let before = prepared.one_key_is_active();
        sql(&prepared.dir, "UPDATE keys SET activated_at = 1 WHERE state = 'active' AND purpose = 'token'");
        let killed = prepared
            .leads(step, || prepared.in_state("destroyed").contains(&kid) && !prepared.in_state("active").contains(&before));
        let active = prepared.one_key_is_active();
        assert!(active == before || prepared.in_state("retiring").contains(&before), "{active} {before}");
        let id = sql(&prepared.dir, &format!("SELECT cka_id FROM keys WHERE kid = '{kid}'"))[0][0].as_str().unwrap().to_owned();
        let left = objects(&prepared.ready).get(&id).copied().unwrap_or_default();
        if prepared.in_state("destroyed").contains(&kid) {
            assert_eq!(left, 0, "what is called destroyed is gone");
        }
        if left == 0 {
            let said = format!("SELECT 1 FROM audit WHERE body LIKE '%keys.destroy.intent%' AND body LIKE '%{kid}%'");
            assert!(!sql(&prepared.dir, &said).is_empty(), "the log said so before anything was gone");
        }
        // Another signer takes over at once: the dead one's lease is not waited for here.
        sql(&prepared.dir, "UPDATE leases SET expires_at = 0");
        doomed = Some(kid);
        if !killed {
            last = step;
            break;
        }
    }
    assert!(last > 8, "{last} steps");
    let rows = prepared.log();
    for kid in prepared.in_state("destroyed") {
        assert!(rows.iter().any(|row| row["action"] == "keys.destroy" && row["subject"] == kid.as_str()), "{kid}");
    }
    prepared.serve(&[]).signs();
}

#[test]
fn whoever_is_logged_out_proves_no_destruction() {
    let prepared = Prepared::new("");
    let kid = prepared.run(&["keys", "generate", "--profile", "default"])["kid"].as_str().unwrap().to_owned();
    prepared.run(&["keys", "compromise", &kid, "--yes"]);
    let id = sql(&prepared.dir, &format!("SELECT cka_id FROM keys WHERE kid = '{kid}'"))[0][0].as_str().unwrap().to_owned();
    assert_eq!(objects(&prepared.ready).get(&id), Some(&2));
    let (dir, ready) = (prepared.dir.clone(), prepared.ready.clone());
    let faulty = prepared.serve(&[]);
    faulty.show("logout-rw");
    sql(&dir, &format!("UPDATE keys SET state = 'destroy_scheduled', destroy_at = 1 WHERE kid = '{kid}'"));
    until("the login was ended", || !faulty.fault.exists());
    let state = || sql(&dir, &format!("SELECT state FROM keys WHERE kid = '{kid}'"))[0][0].clone();
    until("it is destroyed", || state() == "destroyed");
    assert_eq!(objects(&ready).get(&id), None, "what is called destroyed is gone");
    faulty.signs();
}

#[test]
fn half_a_minute_in_c_sign() {
    let faulty = Faulty::serve("deadline = \"1s\"\nthreads = 2");
    faulty.signs();
    let began = Instant::now();
    faulty.show("hang-sign");
    let mut broken = 0;
    while began.elapsed() < Duration::from_secs(30) {
        let asked = Instant::now();
        let detail = faulty.ask().problem(503, "hsm_unavailable");
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        broken += usize::from(detail.contains("cannot be used now"));
        assert_eq!(faulty.signer.public("/.well-known/jwks.json", &[]).status, 200);
        std::thread::park_timeout(Duration::from_millis(200));
    }
    assert!(broken > 10, "the breaker held back {broken} requests");
    assert_eq!(faulty.ready(), 503);
    faulty.end();
    faulty.signs_again();
    until("it is ready again", || faulty.ready() == 200);
    faulty.proves();
}

#[test]
fn the_clock_is_set() {
    let prepared = Prepared::new("");
    let clock = prepared.folder.path().join("clock");
    let set = |seconds: &str| {
        let new = clock.with_extension("new");
        fs::write(&new, seconds).unwrap();
        fs::rename(new, &clock).unwrap();
    };
    // An hour ahead from the beginning, since the certificates of dev begin now.
    set("3600");
    // A key that a wrong clock would have destroyed, and one that it would have retired.
    let kid = |value: &Value| value["kid"].as_str().unwrap().to_owned();
    let generate = ["keys", "generate", "--profile", "default"];
    let (doomed, second) = (kid(&prepared.run(&generate)), kid(&prepared.run(&generate)));
    prepared.run(&["keys", "compromise", &doomed, "--yes"]);
    let in_a_week = "CAST(strftime('%s', 'now') AS INTEGER) * 1000 + 604800000";
    sql(&prepared.dir, &format!("UPDATE keys SET state = 'destroy_scheduled', destroy_at = {in_a_week} WHERE kid = '{doomed}'"));
    let first = prepared.one_key_is_active();
    prepared.run(&["keys", "activate", &second]);
    // An edge that nobody answers for, whose document is signed anew all the time, and what is to stay revoked.
    let text = fs::read_to_string(&prepared.file).unwrap() + "\n[edges.eu]\nurl = \"http://127.0.0.1:9\"\nid = \"edge:eu\"\n";
    fs::write(&prepared.file, text).unwrap();
    prepared.run(&["revoke", "jti", "stolen", "--no-wait", "--yes"]);

    let dir = prepared.dir.clone();
    let faulty = prepared.serve(&[("FAULT_MODULE_CLOCK", clock.to_str().unwrap())]);
    let issued_at = |faulty: &Faulty| {
        let answer = faulty.ask();
        assert_eq!(answer.status, 200, "{answer:?}");
        let shown = run(&["token", "inspect", answer.json()["token"].as_str().unwrap(), "--json"]).json();
        shown["claims"]["iat"].as_u64().unwrap()
    };
    let honest = issued_at(&faulty);
    let log = || fs::read_to_string(faulty.folder.path().join("serve.log")).unwrap();
    let noticed = || log().matches("the clock was set;").count();
    for (times, seconds) in [4_500, 2_700, 3_600].into_iter().enumerate() {
        set(&seconds.to_string());
        let issued = issued_at(&faulty) + 3_600;
        assert!((honest + seconds..honest + seconds + 120).contains(&issued), "{seconds}: {issued} after {honest}");
        until("it is noticed", || noticed() > times);
    }
    issued_at(&faulty);
    // Far into the future, for as long as it takes to look after the keys twice.
    set("3456000");
    until("it is noticed", || noticed() == 4);
    std::thread::park_timeout(Duration::from_secs(21));
    set("3600");
    let states = || {
        let state =
            |kid: &str| sql(&dir, &format!("SELECT state FROM keys WHERE kid = '{kid}'"))[0][0].as_str().unwrap().to_owned();
        [state(&first), state(&second), state(&doomed)]
    };
    assert_eq!(states(), ["retiring", "active", "destroy_scheduled"]);
    assert_eq!(sql(&dir, "SELECT value FROM revocations WHERE value = 'stolen'").len(), 1, "a revoked token stays revoked");
    until("it is noticed again", || noticed() == 5);
    // What that clock signed for the edge lies in the future, and so does its next push.
    let ahead = |column: &str| {
        let hours = "(CAST(strftime('%s', 'now') AS INTEGER) + 2 * 3600) * 1000";
        !sql(&dir, &format!("SELECT 1 FROM edges WHERE {column} > {hours}")).is_empty()
    };
    until("its document is signed and pushed by the right time", || !ahead("signed_at") && !ahead("next_attempt_at"));
    issued_at(&faulty);
    assert_eq!(states(), ["retiring", "active", "destroy_scheduled"]);
    let rows = {
        let folder = faulty.folder.path().to_owned();
        Export::of(&dir, &folder, "clock").proves()
    };
    assert!(rows.iter().filter(|row| row["action"] == "clock.set").count() == 5);
    faulty.proves();
}

#[test]
fn a_clock_that_was_never_right_destroys_nothing_at_once() {
    // As if all this had been two hours ago, by the machine's own clock.
    a_start_far_from_the_last_row_destroys_nothing("at - 7200000");
}

#[test]
fn a_clock_that_is_behind_is_not_believed_at_once() {
    // As if all this came in five hours. Of what is written from now on, some was long enough ago for a start to go by it.
    a_start_far_from_the_last_row_destroys_nothing("CASE WHEN seq % 2 = 0 THEN at + 18000000 ELSE at - 400000 END");
}

fn a_start_far_from_the_last_row_destroys_nothing(at: &str) {
    let prepared = Prepared::new("");
    let text = fs::read_to_string(&prepared.file).unwrap();
    // Not a dev's delay: nothing is left alone for its sake.
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("dangerous_activation_delay")).collect();
    fs::write(&prepared.file, text.join("\n")).unwrap();
    let kid = prepared.run(&["keys", "generate", "--profile", "default"])["kid"].as_str().unwrap().to_owned();
    prepared.run(&["keys", "compromise", &kid, "--yes"]);
    sql(&prepared.dir, &format!("UPDATE keys SET state = 'destroy_scheduled', destroy_at = 1 WHERE kid = '{kid}'"));
    sql(&prepared.dir, &format!("UPDATE audit SET at = {at}"));
    let dir = prepared.dir.clone();
    let state = || sql(&dir, &format!("SELECT state FROM keys WHERE kid = '{kid}'"))[0][0].clone();
    let faulty = prepared.serve(&[]);
    let log = || fs::read_to_string(faulty.folder.path().join("serve.log")).unwrap();
    until("it says so", || log().contains("far from the audit log's last row"));
    std::thread::park_timeout(Duration::from_secs(12));
    assert_eq!(state(), "destroy_scheduled");
    faulty.signs();
}

/// What has begun is finished, what comes is refused, and the process ends with exit code 0.
#[test]
fn told_to_end_it_finishes_what_it_began() {
    let faulty = Faulty::serve("deadline = \"20s\"");
    faulty.show("throttle");
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| faulty.ask())).collect();
        std::thread::park_timeout(Duration::from_secs(1));
        faulty.signer.signal("TERM");
        std::thread::park_timeout(Duration::from_millis(500));
        assert!(std::net::TcpStream::connect(address(&faulty.signer)).is_err(), "nobody comes in any more");
        faulty.end();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    faulty.proves();
}

fn address(signer: &Signer) -> (&str, u16) {
    ("127.0.0.1", signer.text("agent").rsplit_once(':').unwrap().1.parse().unwrap())
}
