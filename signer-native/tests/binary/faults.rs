//! What goes wrong inside the HSM, on a real token behind a module that shows one fault at a time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use edgeseal_core::{Algorithm, Timestamp};
use edgeseal_signer::{
    hsm::KeyId,
    keys::{Key, Purpose},
    store::{Guard, Store, StoreSettings},
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    admin::{ALICE, ask},
    audit::{Export, all_are_there},
    drills::sql,
    enrolment::Open,
    support::{AUDIENCE, Answer, Signer, edgeseal, until},
};

/// A token made by `edgeseal dev`, and a configuration that reaches it through the faulty module.
pub(crate) struct Prepared {
    pub(crate) dir: PathBuf,
    pub(crate) ready: Value,
    /// The configuration.
    pub(crate) file: PathBuf,
    pub(crate) module: PathBuf,
    fault: PathBuf,
    logins: PathBuf,
    pub(crate) folder: TempDir,
}

impl Prepared {
    /// `settings` are lines of `[hsm]`.
    pub(crate) fn new(settings: &str) -> Self {
        let folder = tempdir().unwrap();
        let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
        let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
        let slot = dev.run(&["doctor", "--json"]).json()["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["check"] == "token")
            .and_then(|check| check["detail"].as_str()?.split("slot ").nth(1)?.split(',').next().map(str::to_owned))
            .unwrap();
        assert_eq!(dev.end(), Some(0));

        let module = compile(folder.path());
        let (fault, logins) = (folder.path().join("fault"), folder.path().join("logins"));
        let real = ready["pkcs11_module"].as_str().unwrap();
        let environment = format!(
            "environment = {{ FAULT_MODULE_REAL = {real:?}, FAULT_MODULE_FILE = {fault:?}, FAULT_MODULE_SLOT = {slot:?}, FAULT_MODULE_LOGINS = {logins:?},",
        );
        let text = fs::read_to_string(dir.join("edgeseal.toml")).unwrap();
        let text = text
            .replace(real, module.to_str().unwrap())
            .replace("environment = {", &environment)
            // The default: the second of a dev is too short for a machine with much else to do.
            .replace("lease = \"1s\"", "lease = \"10s\"")
            .replace("[hsm]", &format!("[hsm]\n{settings}"));
        let file = dir.join("faulty.toml");
        fs::write(&file, text).unwrap();
        Self { dir, ready, file, module, fault, logins, folder }
    }

    /// A subcommand on this configuration, in a process that the faulty module is loaded into from its beginning.
    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = edgeseal();
        command.args(arguments).arg("--config").arg(&self.file);
        command.env("LD_PRELOAD", &self.module).envs(environment.iter().copied());
        command
    }

    /// Profiles that the agent may use, each with an active key; gives what was said of the keys.
    pub(crate) fn add_profiles(&self, profiles: &[String]) -> Vec<Value> {
        let mut text = fs::read_to_string(&self.file).unwrap();
        let of_agent = "profiles = [";
        assert!(text.contains(of_agent), "{text}");
        let names: Vec<String> = profiles.iter().map(|name| format!("{name:?}")).collect();
        text = text.replacen(of_agent, &format!("{of_agent}{}, ", names.join(", ")), 1);
        text.extend(profiles.iter().map(|name| format!("\n[profiles.{name}]\nalgorithm = \"ES256\"\naudiences = [\"*\"]\n")));
        fs::write(&self.file, text).unwrap();
        let made = profiles.iter().map(|profile| {
            let made = self.command(&["keys", "generate", "--profile", profile, "--json"], &[]).output().unwrap();
            let made: Value = serde_json::from_slice(&made.stdout).unwrap();
            let activated = self.command(&["keys", "activate", made["kid"].as_str().unwrap()], &[]).output().unwrap();
            assert!(activated.status.success(), "{activated:?}");
            made
        });
        made.collect()
    }

    pub(crate) fn serve(self, environment: &[(&str, &str)]) -> Faulty {
        let command = self.command(&["serve"], environment);
        self.serve_by(command)
    }

    /// The signer by this command of [`Prepared::command`].
    pub(crate) fn serve_by(self, command: Command) -> Faulty {
        let Self { dir, ready, fault, logins, folder, .. } = self;
        let signer = Signer::serve(command, &folder.path().join("serve.log"), ready, dir);
        Faulty { signer, fault, logins, tokens: Mutex::default(), folder }
    }
}

/// `edgeseal serve` on a token made by `edgeseal dev`, through the faulty module.
pub(crate) struct Faulty {
    pub(crate) signer: Signer,
    pub(crate) fault: PathBuf,
    /// One line for every `C_Login` that the module saw.
    logins: PathBuf,
    /// All tokens that came.
    tokens: Mutex<Vec<String>>,
    pub(crate) folder: TempDir,
}

impl Faulty {
    pub(crate) fn serve(settings: &str) -> Self {
        Prepared::new(settings).serve(&[])
    }

    /// Shows the fault at the next signature.
    pub(crate) fn show(&self, fault: &str) {
        let new = self.fault.with_extension("new");
        fs::write(&new, fault).unwrap();
        fs::rename(new, &self.fault).unwrap();
    }

    pub(crate) fn ask(&self) -> Answer {
        let answer = self.signer.ask(&json!({ "profile": "default", "audience": AUDIENCE }).to_string());
        if answer.status == 200 {
            self.tokens.lock().unwrap().push(answer.json()["token"].as_str().unwrap().to_owned());
        }
        answer
    }

    /// Ends the signer and looks into its log: the chain is whole, every token that came has its intent there and came to
    /// a signature, and no outcome is without an intent.
    #[track_caller]
    pub(crate) fn proves(self) {
        let Self { signer, tokens, folder, .. } = self;
        let dir = signer.dir.clone();
        assert_eq!(signer.end(), Some(0));
        let rows = Export::of(&dir, folder.path(), "drill").proves();
        all_are_there(&rows, &tokens.into_inner().unwrap());
    }

    /// The fault is over.
    pub(crate) fn end(&self) {
        fs::remove_file(&self.fault).unwrap();
    }

    /// Asks for a token, which must come and be good.
    #[track_caller]
    pub(crate) fn signs(&self) {
        let answer = self.ask();
        assert_eq!(answer.status, 200, "{answer:?}");
        self.is_good(&answer);
    }

    #[track_caller]
    pub(crate) fn is_good(&self, answer: &Answer) {
        let verdict = self.signer.verify(answer.json()["token"].as_str().unwrap(), "ES256").json();
        assert_eq!(verdict["verdict"], "accept", "{verdict}");
    }

    /// Asks until a token comes; every refusal until then is a 503.
    #[track_caller]
    pub(crate) fn signs_again(&self) {
        until("it signs again", || {
            let answer = self.ask();
            let signed = answer.status == 200;
            if signed {
                self.is_good(&answer);
            } else {
                answer.problem(503, "hsm_unavailable");
            }
            signed
        });
    }

    pub(crate) fn ready(&self) -> u16 {
        self.signer.public("/readyz", &[]).status
    }

    /// Ends the signer; gives its exit code.
    pub(crate) fn end_signer(self) -> Option<i32> {
        self.signer.end()
    }

    /// What the module answered to each `C_Login`.
    pub(crate) fn logins(&self) -> Vec<String> {
        fs::read_to_string(&self.logins).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// The faulty module, compiled into `folder`.
pub(crate) fn compile(folder: &Path) -> PathBuf {
    let module = folder.join("fault-module.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binary/fault-module.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&module).arg(source).arg("-ldl").status().unwrap();
    assert!(compiled.success());
    module
}

#[test]
fn one_fault_costs_no_request() {
    let faulty = Faulty::serve("");
    for fault in ["object", "session", "failed", "logout", "not-logged-in", "close", "device", "object", "logout"] {
        faulty.show(fault);
        let answer = faulty.ask();
        assert_eq!(answer.status, 200, "{fault}: {answer:?}");
        faulty.is_good(&answer);
        until("the fault was shown", || !faulty.fault.exists());
    }
    // A second restart of the module in a row has to wait, and then it works as well.
    faulty.show("general");
    until("it signs again", || faulty.ask().status == 200 && !faulty.fault.exists());
    faulty.proves();
}

#[test]
fn sessions_that_a_new_one_does_not_cure_are_cured_by_a_restart_of_the_module() {
    let faulty = Faulty::serve("");
    faulty.show("sessions");
    let answer = faulty.ask();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!faulty.fault.exists(), "nothing but a restart ends it");
    faulty.proves();
}

#[test]
fn a_restart_of_the_module_costs_no_other_request() {
    let faulty = Faulty::serve("threads = 4");
    thread::scope(|scope| {
        let askers: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..25).map(|_| faulty.ask().status).collect::<Vec<u16>>())).collect();
        faulty.show("device");
        until("the fault was shown", || !faulty.fault.exists());
        for asker in askers {
            assert_eq!(asker.join().unwrap(), [200; 25]);
        }
    });
    faulty.proves();
}

#[test]
fn a_wrong_signature_never_leaves() {
    let faulty = Faulty::serve("");
    faulty.show("flip");
    let answer = faulty.ask();
    answer.problem(500, "signature_discarded");
    assert!(!answer.body.contains("eyJ"), "{answer:?}");
    fs::remove_file(&faulty.fault).unwrap();
    assert_eq!(faulty.ask().status, 200);
    faulty.proves();
}

#[test]
fn a_hanging_module_fails_requests_and_not_the_signer() {
    let faulty = Faulty::serve("deadline = \"1s\"\nthreads = 2");
    faulty.show("hang");
    let began = Instant::now();
    for _ in 0..2 {
        let detail = faulty.ask().problem(503, "hsm_unavailable");
        assert!(detail.contains("did not answer in time") || detail.contains("cannot be used"), "{detail}");
    }
    until("both threads hang", || faulty.ask().problem(503, "hsm_unavailable").contains("cannot be used now"));
    // From here on nobody waits for the deadline.
    let broken = Instant::now();
    faulty.ask().problem(503, "hsm_unavailable");
    assert!(broken.elapsed() < Duration::from_millis(900), "{:?} after {:?}", broken.elapsed(), began.elapsed());
    // Nor does whoever wants a key leave a row of it, or have it made while signatures wait.
    let rows = || sql(&faulty.signer.dir, "SELECT count(*) FROM keys");
    let before = rows();
    ask(&faulty.signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default" }))).problem(503, "hsm_unavailable");
    assert_eq!(rows(), before);
    assert_eq!(faulty.signer.public("/.well-known/jwks.json", &[]).status, 200);
    assert_eq!(faulty.ready(), 503);
    faulty.end();
    faulty.signs_again();
    until("it is ready again", || faulty.ready() == 200);
    faulty.proves();
}

#[test]
fn one_hanging_call_is_one_failed_request() {
    let faulty = Faulty::serve("deadline = \"1s\"\nthreads = 2");
    for _ in 0..2 {
        // Now and then the canary takes the fault.
        until("a call hangs", || {
            faulty.show("hang-once");
            let answer = faulty.ask();
            answer.status != 200 && answer.problem(503, "hsm_unavailable").contains("did not answer in time")
        });
        // Others take the thread's place: two hanging calls of two leave the breaker open for a second, one does not.
        faulty.signs_again();
    }
    for _ in 0..20 {
        assert_eq!(faulty.ask().status, 200);
    }
    faulty.show("release");
    faulty.signs();
    faulty.proves();
}

#[test]
fn a_generation_that_hangs_keeps_no_signature_waiting() {
    signatures_go_on_beside_a_generation_that_hangs(Faulty::serve("deadline = \"2s\"\nthreads = 2"));
}

/// `faulty` has two threads.
pub(crate) fn signatures_go_on_beside_a_generation_that_hangs(faulty: Faulty) {
    let generate = || ask(&faulty.signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default" })));
    faulty.signs();
    faulty.show("hang-generate");
    thread::scope(|scope| {
        // As many as there are threads, and more.
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(generate)).collect();
        thread::park_timeout(Duration::from_secs(1));
        for _ in 0..10 {
            faulty.signs();
        }
        faulty.end();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 201, "{answer:?}");
        }
    });
    faulty.proves();
}

#[test]
fn an_hsm_that_is_full_or_lets_its_user_make_no_key_is_not_away() {
    for (settings, fault, said) in [
        ("deadline = \"4s\"", "full", "DeviceMemory"),
        ("deadline = \"4s\"", "may-not-generate", "UserNotLoggedIn"),
        ("deadline = \"4s\"\nprocesses = 2\nthreads = 1", "may-not-generate", "UserNotLoggedIn"),
    ] {
        let faulty = Faulty::serve(settings);
        faulty.signs();
        let failed = || sql(&faulty.signer.dir, "SELECT state FROM keys WHERE state = 'failed'").len();
        let logins = faulty.logins();
        faulty.show(fault);
        let began = Instant::now();
        let refused = ask(&faulty.signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default" })));
        assert!(refused.body.contains(said), "{fault}: {refused:?}");
        // An agent's own key is asked for with every description, which is given all the same.
        for _ in 0..5 {
            let described = faulty.signer.agents("GET", "/v1/profiles/default", &[], b"");
            assert_eq!((described.status, &described.json()["digest"]), (200, &Value::Null), "{fault}: {described:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{fault}: nobody waits for it: {:?}", began.elapsed());
        assert_eq!(failed(), 2, "{fault}: one for each of who asked");
        faulty.signs();
        // The PIN is not presented again, nor is the module restarted.
        assert_eq!(faulty.logins(), logins, "{fault}");
        faulty.end();
        let made = ask(&faulty.signer, ALICE, "POST", "/admin/v1/keys", Some(json!({ "profile": "default" })));
        assert_eq!(made.status, 201, "{fault}: {made:?}");
        faulty.proves();
    }
}

#[test]
fn throttling_is_waited_out() {
    let faulty = Faulty::serve("deadline = \"5s\"\nthreads = 2");
    faulty.show("throttle");
    thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| faulty.ask())).collect();
        thread::park_timeout(Duration::from_millis(500));
        faulty.end();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            faulty.is_good(&answer);
        }
    });
    // For ever is another matter: an answer comes before the deadline.
    faulty.show("throttle");
    let began = Instant::now();
    faulty.ask().problem(503, "hsm_unavailable");
    assert!(began.elapsed() < Duration::from_millis(5_500), "{:?}", began.elapsed());
    faulty.end();
    faulty.signs_again();
    faulty.proves();
}

#[test]
fn a_token_that_was_removed_comes_back() {
    signs_again_when_the_token_is_back(Faulty::serve("deadline = \"2s\""));
}

pub(crate) fn signs_again_when_the_token_is_back(faulty: Faulty) {
    // As a module says it.
    faulty.show("removed");
    faulty.ask().problem(503, "hsm_unavailable");
    until("it says that it is not ready", || faulty.ready() == 503);
    assert_eq!(faulty.signer.public("/.well-known/jwks.json", &[]).status, 200);
    faulty.end();
    faulty.signs_again();
    // As SoftHSM does when its folder is gone: no error, and no objects.
    let tokens = softhsm_tokens(&faulty.signer);
    let away = tokens.with_extension("away");
    fs::rename(&tokens, &away).unwrap();
    until("it fails", || faulty.ask().status == 503);
    fs::rename(&away, &tokens).unwrap();
    faulty.signs_again();
    until("it is ready again", || faulty.ready() == 200);
    assert!(faulty.logins().iter().all(|answer| answer == "0"), "{:?}", faulty.logins());
    faulty.proves();
}

#[test]
fn a_wrong_pin_is_presented_once() {
    let faulty = Faulty::serve("deadline = \"2s\"");
    faulty.signs();
    let pin = fs::read_to_string(faulty.signer.path("pin_file")).unwrap();
    change_pin(&faulty.signer, &pin, "another-pin-1234");
    let before = faulty.logins();
    assert_eq!(before, ["0"]);
    // The module is restarted, and has to log in.
    faulty.show("device");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        faulty.ask().problem(503, "hsm_unavailable");
        thread::park_timeout(Duration::from_millis(100));
    }
    // CKR_PIN_INCORRECT, once.
    assert_eq!(faulty.logins(), ["0", "a0"]);
    assert_eq!(faulty.ready(), 503);
    change_pin(&faulty.signer, "another-pin-1234", &pin);
    faulty.proves();
}

#[test]
fn a_key_made_by_another_process_becomes_usable() {
    let faulty = Faulty::serve("");
    faulty.signs();
    let made = faulty.signer.run(&["keys", "generate", "--profile", "default", "--json"]).json();
    let kid = made["kid"].as_str().unwrap();
    faulty.signer.run(&["keys", "activate", kid]).ok();
    until("the new key signs", || {
        let answer = faulty.ask();
        assert_eq!(answer.status, 200, "{answer:?}");
        faulty.is_good(&answer);
        answer.json()["kid"] == kid
    });
    faulty.proves();
}

/// One search for each of these keys would take longer than a call may.
#[test]
fn keys_are_found_in_time_where_searching_is_slow() {
    let prepared = Prepared::new("threads = 1");
    let profiles: Vec<String> = (0..12).map(|number| format!("searched-{number}")).collect();
    prepared.add_profiles(&profiles);
    let faulty = prepared.serve(&[]);
    faulty.show("slow-search");
    thread::scope(|scope| {
        let asked: Vec<_> = profiles
            .iter()
            .map(|profile| {
                let body = json!({ "profile": profile, "audience": AUDIENCE }).to_string();
                let signer = &faulty.signer;
                scope.spawn(move || signer.ask(&body))
            })
            .collect();
        for asked in asked {
            let answer = asked.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    faulty.end();
    faulty.signs();
    faulty.end_signer();
}

/// Where the token's objects are.
fn softhsm_tokens(signer: &Signer) -> PathBuf {
    let text = fs::read_to_string(signer.path("softhsm_conf")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("directories.tokendir")).unwrap();
    PathBuf::from(line.trim_start_matches([' ', '=']).trim())
}

pub(crate) fn change_pin(signer: &Signer, old: &str, new: &str) {
    let changed = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", signer.path("softhsm_conf"))
        .arg("--module")
        .arg(signer.path("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", old, "--change-pin", "--new-pin", new])
        .output()
        .expect("pkcs11-tool (Debian: apt install opensc)");
    assert!(changed.status.success(), "{changed:?}");
}

#[test]
fn a_call_that_hangs_for_nobody_is_missed_all_the_same() {
    let faulty = Faulty::serve("deadline = \"1s\"\nthreads = 2");
    let identity = (faulty.signer.path("agent_cert"), faulty.signer.path("agent_key"));
    for _ in 0..2 {
        faulty.show("hang-once");
        let mut open = Open::with(&faulty.signer, &identity.0, &identity.1);
        open.send(&json!({ "profile": "default", "audience": AUDIENCE })).unwrap();
        until("the call hangs", || !faulty.fault.exists());
        drop(open);
    }
    // Their threads are in quarantine by the deadline, others in their places.
    thread::park_timeout(Duration::from_secs(2));
    faulty.signs_again();
    faulty.show("release");
    faulty.proves();
}

#[test]
fn rows_left_by_a_crash_are_settled() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let db = dev.path("db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As if a process had written the row and died before it asked the HSM.
    let orphan = Key {
        profile: "default".to_owned(),
        max_lifetime: 3_600,
        ..Key::generating(KeyId::random().unwrap(), Purpose::Token, Algorithm::Es256, Timestamp::from_secs(1_700_000_000))
    };
    let insert = |key: Key| {
        runtime.block_on(async {
            let store = Store::open(&StoreSettings::Sqlite(db.clone())).await.unwrap();
            store.insert_key(&key, &Guard::None).await.unwrap();
        });
    };
    insert(orphan.clone());
    // And one that had the pair made, but died before it wrote that down.
    let id = KeyId::random().unwrap();
    generate_with_another_tool(&dev, id);
    insert(Key { id, ..orphan.clone() });
    assert_eq!(dev.end(), Some(0));
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let state = |id: KeyId| {
        let keys = dev.run(&["keys", "list", "--all", "--json"]).json();
        let key = keys.as_array().unwrap().iter().find(|key| key["cka_id"] == id.to_string()).unwrap().clone();
        (key["state"].as_str().unwrap().to_owned(), key["kid"].as_str().map(str::to_owned))
    };
    until("the empty row has failed", || state(orphan.id).0 == "failed");
    until("the whole pair was adopted", || state(id).0 == "published");
    // It signed to prove itself, and no row of this process told of it before.
    let rows = sql(&db, &format!("SELECT body FROM audit WHERE body LIKE '%\"keys.adopt\"%' AND body LIKE '%{id}%'"));
    assert!(!rows.is_empty());
    dev.run(&["keys", "activate", &state(id).1.unwrap()]).ok();
    until("it signs", || {
        let verdict = dev.verify(&dev.issue("default"), "ES256").json();
        verdict["verdict"] == "accept" && verdict["header"]["kid"].as_str() == state(id).1.as_deref()
    });
}

#[test]
fn a_pair_on_a_token_that_is_gone_for_a_while_is_adopted_afterwards() {
    let faulty = Faulty::serve("deadline = \"2s\"");
    faulty.signs();
    let id = KeyId::random().unwrap();
    generate_with_another_tool(&faulty.signer, id);
    // SoftHSM's folder is gone: no error, the login is shown, and no objects.
    let tokens = softhsm_tokens(&faulty.signer);
    let away = tokens.with_extension("away");
    fs::rename(&tokens, &away).unwrap();
    // As if a process had had the pair made and died before it wrote that down.
    let orphan = Key {
        profile: "default".to_owned(),
        max_lifetime: 3_600,
        ..Key::generating(id, Purpose::Token, Algorithm::Es256, Timestamp::from_secs(1_700_000_000))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreSettings::Sqlite(faulty.signer.path("db"))).await.unwrap();
        store.insert_key(&orphan, &Guard::None).await.unwrap();
    });
    let log = || fs::read_to_string(faulty.folder.path().join("serve.log")).unwrap();
    let state = || sql(&faulty.signer.dir, &format!("SELECT state FROM keys WHERE cka_id = '{id}'"))[0][0].clone();
    until("it was looked for", || log().contains("settling a key") || state() != "generating");
    assert_eq!(state(), "generating", "nobody knows whether it is there");
    fs::rename(&away, &tokens).unwrap();
    until("it is adopted", || state() == "published");
    faulty.signs_again();
    faulty.proves();
}

pub(crate) fn generate_with_another_tool(dev: &Signer, id: KeyId) {
    generate_kind_with_another_tool(dev, id, "EC:prime256v1");
}

pub(crate) fn generate_kind_with_another_tool(dev: &Signer, id: KeyId, kind: &str) {
    let pin = fs::read_to_string(dev.path("pin_file")).unwrap();
    let made = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", dev.path("softhsm_conf"))
        .arg("--module")
        .arg(dev.path("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", &pin, "--keypairgen", "--key-type", kind])
        .args(["--sensitive", "--usage-sign", "--id", &id.to_string()])
        .output()
        .expect("pkcs11-tool (Debian: apt install opensc)");
    assert!(made.status.success(), "{made:?}");
}
