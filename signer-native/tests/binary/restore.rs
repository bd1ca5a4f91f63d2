//! The guide for backup and restore in `RUNBOOKS.md`, done step by step as it stands there.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::{
    drills::sql,
    enrolment::{Open, ask, enroll, enroll_with, invite},
    support::{Said, Signer, edgeseal, run, until, write_private},
};

/// A machine with a signer: its folders stand for those of the guide.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["backup", "elsewhere", "bin", "var"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_edgeseal"), folder.path().join("bin/edgeseal")).unwrap();
        let machine = Self { folder };
        // No systemd here: it is written down that the guide says so, and the test does it.
        machine.stands_in("systemctl", &format!("echo \"$@\" >> {}", machine.path("systemctl").display()));
        machine
    }

    /// A script of this name, in place of what the guide calls.
    fn stands_in(&self, name: &str, does: &str) {
        let file = self.path("bin").join(name);
        let _ = fs::remove_file(&file);
        write_private(&file, &format!("#!/bin/sh\n{does}\n"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("var/edgeseal.db")
    }

    /// A signer whose store is in a folder of its own.
    fn signer(&self) -> Signer {
        Signer::configured(self.folder.path(), &["--alg", "ES256"], |text| {
            assert!(!self.path("dev/edgeseal.db-wal").exists(), "a signer that has ended leaves all of its store in one file");
            for file in ["edgeseal.db", "edgeseal.audit-key"] {
                fs::rename(self.path("dev").join(file), self.path("var").join(file)).unwrap();
            }
            let text = text.replace("path = \"edgeseal.db\"", &format!("path = {:?}", self.store()));
            // A day passes in a few seconds.
            format!("{text}\n[enrolment]\nlifetime = \"1h\"\n")
        })
    }

    fn again(&self, ready: &Value) -> Signer {
        let mut command = edgeseal();
        command.arg("serve").arg("--config").arg(self.path("dev/edgeseal.toml"));
        Signer::serve(command, &self.path("serve.log"), ready.clone(), self.path("dev"))
    }

    /// Does what the guide says under this name, all of it.
    #[track_caller]
    fn follow(&self, name: &str) {
        let said = self.attempt(name);
        assert!(said.status.success(), "{name}: {said:?}");
    }

    /// Does what the guide says under this name. A plain shell: that it stops at the first step that fails is the guide's own doing.
    fn attempt(&self, name: &str) -> Output {
        let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("RUNBOOKS.md")).unwrap();
        let (_, rest) = guide
            .split_once(&format!("<!-- drill: {name} -->\n<!-- tested: signer-native/tests/binary/restore.rs -->\n```sh\n"))
            .unwrap();
        let (steps, _) = rest.split_once("```").unwrap();
        // The configuration's folder has the name `dev` here, in a backup too.
        let mut steps = steps.replace("/backup/edgeseal/", "/backup/dev/");
        for (there, here) in
            [("/var/lib/edgeseal", "var"), ("/etc/edgeseal", "dev"), ("/backup", "backup"), ("/elsewhere", "elsewhere")]
        {
            steps = steps.replace(there, &self.path(here).display().to_string());
        }
        assert!(!steps.contains(" /var/") && !steps.contains(" /etc/"), "nothing of this machine is touched: {steps}");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", &steps]).env("PATH", path).env("EDGESEAL_CONFIG", self.path("dev/edgeseal.toml"));
        command.output().unwrap()
    }

    /// The files that backups have left where the signer cannot write, by what their names begin with: the oldest first.
    fn elsewhere(&self, begins: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("elsewhere")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begins)).collect();
        files.sort();
        files
    }

    /// Exports the log as it is now; gives the export and its last checkpoint.
    fn export(&self, signer: &Signer, name: &str) -> (PathBuf, PathBuf) {
        let files = (self.path("elsewhere").join(format!("{name}.jsonl")), self.path("elsewhere").join(format!("{name}.txt")));
        let (export, checkpoint) = (files.0.to_str().unwrap(), files.1.to_str().unwrap());
        signer.run(&["audit", "export", "--out", export, "--checkpoint", checkpoint]).ok();
        files
    }
}

fn verify(export: &Path, checkpoint: &Path) -> Said {
    run(&["audit", "verify", export.to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()])
}

fn issued(open: &mut Open) -> String {
    let (status, answer) = open.post(&ask()).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

fn kid(token: &str) -> String {
    let header = token.split('.').next().unwrap();
    let header = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::decode_vec(header).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[track_caller]
fn accepted(signer: &Signer, token: &str) {
    let said = signer.verify(token, "ES256").json();
    assert_eq!(said["verdict"], "accept", "{said}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn a_signer_comes_back_from_its_backup() {
    let machine = Machine::new();
    let signer = machine.signer();
    let ready = signer.ready.clone();
    let shop = machine.path("shop/agent.pem");
    enroll(&signer, &invite(&signer, "shop"), &machine.path("shop")).ok();

    // Backed up while tokens are signed as fast as one connection can.
    let (ends, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut open = Open::to(&signer, &shop);
    let busy = {
        let (ends, count) = (Arc::clone(&ends), Arc::clone(&count));
        std::thread::spawn(move || {
            let mut last = issued(&mut open);
            while !ends.load(Ordering::Relaxed) {
                last = issued(&mut open);
                count.fetch_add(1, Ordering::Relaxed);
            }
            last
        })
    };
    until("it signs", || count.load(Ordering::Relaxed) > 20);
    let before = issued(&mut Open::to(&signer, &shop));
    let at_its_beginning = count.load(Ordering::Relaxed);
    // Another backup was broken off.
    fs::write(machine.path("backup/edgeseal.db.new"), "half of it").unwrap();
    machine.follow("backup");
    assert!(count.load(Ordering::Relaxed) > at_its_beginning, "it signed on");
    ends.store(true, Ordering::Relaxed);
    let during = busy.join().unwrap();
    let backup = machine.path("backup/edgeseal.db");
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o077, 0, "nobody else may read it");
    assert_eq!(sql(&backup, "PRAGMA integrity_check"), [["ok"]]);
    assert!(machine.path("backup/dev/edgeseal.toml").exists() && machine.path("backup/dev/pin").exists());

    // What comes after it: a key that signs, an agent, a compromise.
    let old_kid = kid(&before);
    let made = signer.run(&["keys", "generate", "--json"]).json();
    let new_kid = made["kid"].as_str().unwrap().to_owned();
    until("the new key signs", || {
        signer.run(&["keys", "activate", &new_kid]);
        kid(&issued(&mut Open::to(&signer, &shop))) == new_kid
    });
    let after = issued(&mut Open::to(&signer, &shop));
    accepted(&signer, &after);
    enroll(&signer, &invite(&signer, "late"), &machine.path("late")).ok();
    let late = machine.path("late/agent.pem");
    issued(&mut Open::to(&signer, &late));
    let (last_export, last_checkpoint) = machine.export(&signer, "last");
    let (exports, checkpoints) = (machine.elsewhere("audit-2"), machine.elsewhere("checkpoint-2"));
    assert_eq!((exports.len(), checkpoints.len()), (1, 1), "{exports:?} {checkpoints:?}");
    verify(&exports[0], &checkpoints[0]).ok();
    verify(&last_export, &checkpoints[0]).ok();

    // The machine dies, and the folder of the store with it. The HSM is elsewhere.
    signer.kill();
    fs::remove_dir_all(machine.path("var")).unwrap();
    machine.follow("restore");
    assert_eq!(fs::read_to_string(machine.path("systemctl")).unwrap(), "stop edgeseal\nstart edgeseal\n");
    for file in ["edgeseal.db", "edgeseal.audit-key"] {
        assert_eq!(fs::metadata(machine.path("var").join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let signer = machine.again(&ready);

    // Keys and agents of the backup are as they were; tokens of then are good, those from during it as well.
    let token = issued(&mut Open::to(&signer, &shop));
    assert_eq!(kid(&token), old_kid);
    for token in [&token, &before, &during] {
        accepted(&signer, token);
    }

    // A key made since is in no row, until it is taken in again, under the number that the last export tells.
    let refused = signer.verify(&after, "ES256");
    assert!(refused.out.contains("key_not_found"), "{refused:?}");
    let export = fs::read_to_string(&last_export).unwrap();
    let generated = export.lines().rfind(|line| line.contains("keys.generate")).unwrap();
    let id = subject(generated);
    let imported = signer.run(&["keys", "import", "--profile", "default", "--id", &id, "--json"]).json();
    assert_eq!(
        (&imported["kid"], &imported["origin"], &imported["state"]),
        (&json!(new_kid), &json!("imported"), &json!("published"))
    );
    until("its tokens are good again", || signer.verify(&after, "ES256").code == 0);

    // An agent that came since is nobody, until it is let in again.
    let (status, problem) = Open::to(&signer, &late).post(&ask()).unwrap();
    assert_eq!((status, &problem["code"]), (403, &json!("agent_unknown")), "{problem}");
    // Its certificate of before is good as far as this machine can tell.
    let code = invite(&signer, "late");
    enroll(&signer, &code, &machine.path("late")).fails(2, "--replace");
    enroll_with(&signer, &code, &machine.path("late"), &["--replace"]).ok();
    issued(&mut Open::to(&signer, &late));

    // The log is whole, holds what was in the backup, and not what came after it: the last export has that.
    let (now_export, now_checkpoint) = machine.export(&signer, "now");
    verify(&now_export, &now_checkpoint).ok();
    let said = verify(&now_export, &last_checkpoint);
    assert_eq!(said.code, 1, "{said:?}");
    signer.run(&["audit", "find", "--token", &before]).ok();
    signer.run(&["audit", "find", "--token", &token]).ok();
    assert_eq!(signer.run(&["audit", "find", "--token", &after]).code, 1, "its row is lost");
    assert!(export.contains(&new_kid));

    // Once more, over what a signer left that was killed while it signed: its write-ahead log is not read into the restored
    // database.
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut open = Open::to(&signer, &shop);
            // Until nobody answers any more.
            while open.post(&ask()).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        until("it signs", || count.load(Ordering::Relaxed) > 20);
        signer.signal("KILL");
    });
    signer.kill();
    assert!(fs::metadata(machine.path("var/edgeseal.db-wal")).unwrap().len() > 0, "there is something to be read");
    machine.follow("restore");
    assert_eq!(sql(&machine.store(), "PRAGMA integrity_check"), [["ok"]]);
    let signer = machine.again(&ready);
    let known = signer.run(&["keys", "list", "--json"]).json();
    assert!(!known.to_string().contains(&new_kid), "{known}");
    issued(&mut Open::to(&signer, &shop));

    // A pair that is gone from the HSM: another key has to be made.
    delete_pair(&signer, &old_kid);
    until("the signer notices", || {
        let (status, problem) = Open::to(&signer, &shop).post(&ask()).unwrap();
        assert!(status == 200 || problem["code"] == "hsm_unavailable", "{problem}");
        status != 200
    });
    let made = signer.run(&["keys", "generate", "--profile", "default", "--json"]).json();
    until("it may sign", || signer.run(&["keys", "activate", made["kid"].as_str().unwrap()]).code == 0);
    until("tokens are signed again", || Open::to(&signer, &shop).post(&ask()).is_ok_and(|(status, _)| status == 200));
    assert_eq!(kid(&issued(&mut Open::to(&signer, &shop))), made["kid"].as_str().unwrap());
}

#[test]
fn a_step_of_the_guide_that_fails_loses_nothing() {
    let machine = Machine::new();
    machine.stands_in("edgeseal", "true");
    let store = ["var/edgeseal.db", "var/edgeseal.db-wal", "var/edgeseal.db-shm", "var/edgeseal.audit-key"];
    for file in store {
        fs::write(machine.path(file), "of before").unwrap();
    }
    let read = |file: &str| fs::read_to_string(machine.path(file)).unwrap();

    // Nothing is mounted at /backup: the signer is not even stopped.
    let said = machine.attempt("restore");
    assert!(!said.status.success(), "{said:?}");
    assert_eq!(store.map(read), ["of before"; 4]);
    assert!(!machine.path("systemctl").exists(), "{said:?}");

    // With a backup, what lay beside the old database goes, and a configuration that is lost comes back.
    fs::create_dir(machine.path("backup/dev")).unwrap();
    for file in ["backup/edgeseal.db", "backup/edgeseal.audit-key", "backup/dev/edgeseal.toml"] {
        fs::write(machine.path(file), "of the backup").unwrap();
    }
    machine.follow("restore");
    assert_eq!(["var/edgeseal.db", "var/edgeseal.audit-key", "dev/edgeseal.toml"].map(read), ["of the backup"; 3]);
    assert_eq!(fs::read_dir(machine.path("var")).unwrap().count(), 2);
    assert_eq!(read("systemctl"), "stop edgeseal\nstart edgeseal\n");

    // One that is there stays; and what doctor finds is mended before the signer starts.
    fs::write(machine.path("dev/edgeseal.toml"), "of before").unwrap();
    machine.stands_in("edgeseal", "exit 1");
    assert!(!machine.attempt("restore").status.success());
    assert_eq!(read("dev/edgeseal.toml"), "of before");
    assert_eq!(read("systemctl"), "stop edgeseal\nstart edgeseal\nstop edgeseal\n");

    // The database is gone: the backup of before is not replaced by an empty one.
    fs::remove_file(machine.path("var/edgeseal.db")).unwrap();
    assert!(!machine.attempt("backup").status.success());
    assert_eq!(read("backup/edgeseal.db"), "of the backup");
}

/// The subject of an exported row.
fn subject(line: &str) -> String {
    fn find(value: &Value) -> Option<String> {
        match value {
            Value::Object(members) => {
                members.get("subject").and_then(Value::as_str).map(ToOwned::to_owned).or_else(|| members.values().find_map(find))
            }
            Value::String(text) => serde_json::from_str::<Value>(text).ok().as_ref().and_then(find),
            Value::Array(items) => items.iter().find_map(find),
            _ => None,
        }
    }
    find(&serde_json::from_str(line).unwrap()).unwrap_or_else(|| panic!("{line}"))
}

/// Takes both objects of a key out of the token, behind the signer's back.
fn delete_pair(signer: &Signer, kid: &str) {
    let store = signer.dir.parent().unwrap().join("var/edgeseal.db");
    let id = sql(&store, &format!("SELECT cka_id FROM keys WHERE kid = '{kid}'"))[0][0].as_str().unwrap().to_owned();
    let pin = fs::read_to_string(signer.text("pin_file")).unwrap();
    for kind in ["privkey", "pubkey"] {
        let said = Command::new("pkcs11-tool")
            .env("SOFTHSM2_CONF", signer.text("softhsm_conf"))
            .args(["--module", signer.text("pkcs11_module"), "--token-label", "edgeseal", "--login", "--pin", pin.trim()])
            .args(["--delete-object", "--type", kind, "--id", &id])
            .output()
            .unwrap();
        assert!(said.status.success(), "{said:?}");
    }
}
