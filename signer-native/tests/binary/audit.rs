//! The audit log as an auditor meets it: exports of a running signer, verified by nothing but their lines; and the signer
//! whose log cannot be written.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::Algorithm;
use edgeseal_signer::{
    audit::{
        Blinding, Log, token_digest,
        verify::{self, Expectation, Flaw, VerifyError},
    },
    store::{Store, StoreSettings},
};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{AUDIENCE, HeldDatabase, Said, Signer, edgeseal, run, until, write_private};

pub(crate) struct Export {
    pub(crate) file: PathBuf,
    pub(crate) checkpoint: PathBuf,
}

impl Export {
    pub(crate) fn of(dir: &Path, folder: &Path, name: &str) -> Self {
        Self::with(&["--dir", dir.to_str().unwrap()], folder, name)
    }

    pub(crate) fn with(configuration: &[&str], folder: &Path, name: &str) -> Self {
        let export = Self { file: folder.join(format!("{name}.jsonl")), checkpoint: folder.join(format!("{name}.checkpoint")) };
        let (file, checkpoint) = (export.file.to_str().unwrap(), export.checkpoint.to_str().unwrap());
        run(&[&["audit", "export", "--out", file, "--checkpoint", checkpoint], configuration].concat()).ok();
        export
    }

    /// Verifies it; gives its rows.
    #[track_caller]
    pub(crate) fn proves(&self) -> Vec<Value> {
        let report = verify(&self.file, None);
        assert_eq!(report.code, 0, "{report:?}");
        self.rows()
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        let row = |line: &String| Some(serde_json::from_str::<Value>(line).unwrap().get("row")?.clone());
        self.lines().iter().filter_map(row).collect()
    }
}

/// Every token has its intent, which came to a signature unless its signer was killed over it; and nothing came to one that
/// has no intent.
#[track_caller]
pub(crate) fn all_are_there(rows: &[Value], tokens: &[String]) {
    use std::collections::{HashMap, HashSet};
    let intents: Vec<&Value> = rows.iter().filter(|row| row["action"] == "token.issue").collect();
    let place = |row: &Value| (row["chain"].as_str().unwrap().to_owned(), row["seq"].as_u64().unwrap());
    let others = rows.iter().filter(|row| row["action"] == "revocations.sign");
    let places: HashSet<(String, u64)> = intents.iter().copied().chain(others).map(place).collect();
    let by_digest: HashMap<&str, (String, u64)> =
        intents.iter().map(|row| (row["digest"].as_str().unwrap(), place(row))).collect();
    let ends = rows.iter().filter(|row| row["action"] == "chain.end");
    let ended: HashSet<String> = ends.map(|row| row["chain"].as_str().unwrap().to_owned()).collect();
    let mut came = HashSet::new();
    for row in rows {
        for number in signed(std::slice::from_ref(row)) {
            let place = (row["chain"].as_str().unwrap().to_owned(), number);
            assert!(places.contains(&place), "an outcome without intent: {row}");
            assert!(came.insert(place), "an outcome twice: {row}");
        }
    }
    for token in tokens {
        let digest = token_digest(Algorithm::Es256, token.rsplit_once('.').unwrap().0.as_bytes());
        let place = by_digest.get(digest.as_str()).unwrap_or_else(|| panic!("no intent of {token}"));
        assert!(came.contains(place) || !ended.contains(&place.0), "no outcome of {token}");
    }
}

/// The numbers of the intents that came to signatures.
fn signed(rows: &[Value]) -> Vec<u64> {
    let outcomes = rows.iter().filter(|row| row["action"] == "token.outcome");
    // What failed says so instead.
    let ranges = outcomes.flat_map(|row| row["detail"]["signed"].as_array().into_iter().flatten());
    ranges.flat_map(|range| range[0].as_u64().unwrap()..=range[1].as_u64().unwrap()).collect()
}

fn verify(file: &Path, checkpoint: Option<&Path>) -> Said {
    let mut arguments = vec!["audit", "verify", file.to_str().unwrap(), "--json"];
    arguments.extend(checkpoint.iter().flat_map(|path| ["--checkpoint", path.to_str().unwrap()]));
    run(&arguments)
}

#[test]
fn an_export_proves_itself_and_finds_tokens() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "RS384", "--alg", "EdDSA"]);
    let tokens: Vec<String> = ["default", "rs384", "eddsa"].into_iter().map(|profile| signer.issue(profile)).collect();
    let first = Export::of(&signer.dir, folder.path(), "first");
    let report = verify(&first.file, None).json();
    assert_eq!(
        (&report["valid"], &report["tail_proved"], &report["rows_after_last_checkpoint"]),
        (&true.into(), &false.into(), &0.into())
    );
    assert_eq!(report["kids"].as_array().unwrap().len(), 1);
    let said = run(&["audit", "verify", first.file.to_str().unwrap()]).ok();
    // The signer wrote, and so did the process that exported.
    assert!(said.contains(" rows, chain whole") && said.contains("signed by key ") && said.contains("tail not proved"), "{said}");
    let set = signer.public("/.well-known/jwks.json", &[]).body;
    assert!(!set.contains(report["kids"][0].as_str().unwrap()), "the audit key stands in no JWK Set");

    for (token, profile) in tokens.iter().zip(["default", "rs384", "eddsa"]) {
        for more in [vec![], vec!["--export", first.file.to_str().unwrap()]] {
            let mut arguments = vec!["audit", "find", "--token", token.as_str()];
            arguments.extend(more);
            let said = signer.run(&arguments).ok();
            assert!(
                said.starts_with("row ") && said.contains(&format!(", agent demo-app, profile {profile}, mode claims, jti ")),
                "{said}"
            );
        }
    }
    // By its hash alone, where the token itself is not to be shown to anybody.
    let digest = token_digest(Algorithm::Rs384, tokens[1].rsplit_once('.').unwrap().0.as_bytes());
    for more in [vec![], vec!["--export", first.file.to_str().unwrap()]] {
        let said = signer.run(&[&["audit", "find", "--digest", digest.as_str()], more.as_slice()].concat()).ok();
        assert!(said.contains("profile rs384"), "{said}");
    }
    // As other tools print hashes: base64url would be as long, and would be searched for in vain.
    let octets = Base64UrlUnpadded::decode_vec(&digest).unwrap();
    let hex: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let hex = hex.concat();
    assert!(signer.run(&["audit", "find", "--digest", &hex]).ok().contains("profile rs384"));
    signer.run(&["audit", "find", "--digest", "short"]).fails(2, "base64url");
    // A signature of the same key over something else is not ours.
    let (rest, signature) = tokens[0].rsplit_once('.').unwrap();
    let (header, _) = rest.split_once('.').unwrap();
    let said = signer.run(&["audit", "find", "--token", &format!("{header}.e30.{signature}")]);
    assert_eq!((said.code, said.out.trim()), (1, "not ours: no signature with this digest"));

    // No claim's value is in it.
    let rows = first.rows();
    let text = fs::read_to_string(&first.file).unwrap();
    assert!(!text.contains("alice") && !text.contains(AUDIENCE) && text.contains("\"sub\":\"hmac:"), "{text}");
    let intents: Vec<&Value> = rows.iter().filter(|row| row["action"] == "token.issue").collect();
    assert_eq!(intents.len(), 3);
    // By which certificate, and under which policy: three profiles, one agent.
    let said = |name: &str| intents.iter().map(|row| row["detail"][name].as_str().unwrap()).collect::<Vec<_>>();
    assert!(said("certificate").iter().all(|hash| *hash == said("certificate")[0] && hash.len() == 43), "{intents:?}");
    assert_eq!(said("policy").iter().collect::<std::collections::HashSet<_>>().len(), 3, "{intents:?}");
    // Who took the export, and that there is a code for somebody to become an administrator by.
    for action in ["audit.export", "users.setup_code"] {
        assert_eq!(rows.iter().filter(|row| row["action"] == action).count(), 1, "{action}");
    }
    let intents: Vec<u64> = intents.iter().map(|intent| intent["seq"].as_u64().unwrap()).collect();

    signer.issue("default");
    let second = Export::of(&signer.dir, folder.path(), "second");
    let report = verify(&second.file, Some(&first.checkpoint)).json();
    assert_eq!((&report["valid"], &report["tail_proved"]), (&true.into(), &true.into()));
    // The earlier export, shown as if it were today's.
    let cut = verify(&first.file, Some(&second.checkpoint));
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(cut.out.contains("the export ends before checkpoint"), "{cut:?}");

    // Every intent of a token has its outcome.
    let dir = signer.dir.clone();
    assert_eq!(signer.end(), Some(0));
    let came = signed(&Export::of(&dir, folder.path(), "last").rows());
    assert!(intents.iter().all(|intent| came.contains(intent)) && came.len() == 4, "{came:?} {intents:?}");
}

/// The flaw of an export, by the verifier itself: some thousand processes would say the same.
#[track_caller]
fn flaw(lines: &[u8], expected: &Expectation) -> Flaw {
    match verify::verify(lines, expected) {
        Err(VerifyError::Flaw(flaw)) => flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tampering_is_named_by_its_first_row() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    // Several chains, each of a process of its own, and several checkpoints.
    for _ in 0..3 {
        signer.issue("default");
    }
    signer.run(&["keys", "generate"]).ok();
    let first = Export::of(&signer.dir, folder.path(), "first");
    signer.issue("default");
    let export = Export::of(&signer.dir, folder.path(), "export");
    let (none, lines) = (Expectation::default(), export.lines());
    let text = lines.join("\n") + "\n";
    assert!(verify::verify(text.as_bytes(), &none).is_ok());

    // The row of each line, if it is one.
    let mut rows: Vec<Option<u64>> = Vec::new();
    for line in &lines {
        let before = rows.iter().flatten().count() as u64;
        rows.push(line.starts_with("{\"hash\"").then_some(before + 1));
    }
    assert!(rows.iter().flatten().count() > 12, "{text}");

    // Any octet, changed in any of its bits.
    let (mut at, mut bit) = (0, 0);
    for (line, row) in lines.iter().zip(&rows) {
        for octet in at..=at + line.len() {
            let mut changed = text.clone().into_bytes();
            changed[octet] ^= 1 << bit;
            bit = (bit + 1) % 8;
            let found = flaw(&changed, &none);
            match row {
                Some(row) => assert_eq!(found.row, Some(*row), "octet {octet}: {found}"),
                // A key that signs for others than it did shows where it is used first.
                None => assert!(found.line > 0, "octet {octet}: {found}"),
            }
        }
        at += line.len() + 1;
    }

    // Any row dropped, moved, repeated, or put where another stood.
    let joined = |lines: &[String]| (lines.join("\n") + "\n").into_bytes();
    let places: Vec<usize> = (0..lines.len()).filter(|at| rows[*at].is_some()).collect();
    for &place in &places {
        let mut dropped = lines.clone();
        dropped.remove(place);
        assert_eq!(flaw(&joined(&dropped), &none).row, rows[place], "dropped {}", lines[place]);
        let mut repeated = lines.clone();
        repeated.insert(place, lines[place].clone());
        assert_eq!(flaw(&joined(&repeated), &none).row, rows[place].map(|row| row + 1), "repeated {}", lines[place]);
        for &other in places.iter().filter(|other| **other > place) {
            let mut moved = lines.clone();
            moved.swap(place, other);
            let found = flaw(&joined(&moved), &none);
            assert_eq!(found.row, rows[place], "{place} and {other}: {found}");
            let mut later = lines.clone();
            let row = later.remove(place);
            later.insert(other, row);
            let found = flaw(&joined(&later), &none);
            assert_eq!(found.row, rows[place], "{place} behind {other}: {found}");
        }
    }
    // A checkpoint dropped: the next one names it. The last one can be cut off, and what was kept elsewhere says so.
    for place in (1..lines.len() - 1).filter(|at| rows[*at].is_none()) {
        let mut dropped = lines.clone();
        dropped.remove(place);
        flaw(&joined(&dropped), &none);
    }
    for (kept, last) in [(&first, first.lines().len()), (&export, lines.len())] {
        let kept = Expectation { checkpoint: Some(fs::read_to_string(&kept.checkpoint).unwrap()), kids: Vec::new() };
        for length in 0..last {
            flaw(&joined(&lines[..length]), &kept);
        }
        assert!(verify::verify(joined(&lines).as_slice(), &kept).is_ok());
    }

    // As a person sees it.
    let changed = folder.path().join("changed.jsonl");
    let place = places[7];
    let mut dropped = lines.clone();
    dropped.remove(place);
    fs::write(&changed, joined(&dropped)).unwrap();
    let said = verify(&changed, None);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &found["valid"], found["row"].as_u64()), (1, &false.into(), rows[place]), "{found}");
    let said = run(&["audit", "verify", changed.to_str().unwrap()]);
    assert!(said.out.starts_with(&format!("✗ row {} (line {}): ", rows[place].unwrap(), place + 1)), "{said:?}");
    run(&["audit", "verify", folder.path().join("none").to_str().unwrap()]).fails(2, "cannot be read");
}

/// An export has its name when it is whole: one that fails leaves the last good one.
#[test]
fn an_export_that_fails_leaves_the_last_one() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    signer.issue("default");
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let (kept, link) = (archive.join("kept.jsonl"), folder.path().join("latest.jsonl"));
    symlink(&kept, &link).unwrap();
    fs::write(&kept, "the last good export").unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o640)).unwrap();
    let wrong = folder.path().join("wrong-pin");
    write_private(&wrong, "wrong");
    let out = ["audit", "export", "--out", link.to_str().unwrap()];
    signer.run(&[&out[..], &["--pin-file", wrong.to_str().unwrap()]].concat()).fails(3, "refused the PIN");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "the last good export");
    let names = || fs::read_dir(&archive).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(), ["kept.jsonl"]);

    // One that comes to its end takes the name, where the link points to, for those who could read it before.
    signer.run(&out).ok();
    assert_eq!(verify(&kept, None).json()["valid"], true);
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(names(), ["kept.jsonl"]);

    // A device is written to, and stays one.
    signer.run(&["audit", "export", "--out", "/dev/stdout"]).ok();
    signer.run(&["audit", "export", "--out", "/dev/null"]).ok();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    signer.run(&["audit", "export", "--out", "/nonexistent/kept.jsonl"]).fails(8, "/nonexistent/kept.jsonl cannot be written");
}

#[test]
fn many_processes_between_two_checkpoints() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (dir, db) = (signer.dir.clone(), signer.path("db"));
    let said = signer.run(&["revoke", "sub", "alice@example.com", "--no-wait", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(signer.end(), Some(0));
    // Each command that writes is a process, and so a chain of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreSettings::Sqlite(db)).await.unwrap();
        for _ in 0..350 {
            let (_, end) = Log::begin(store.clone(), std::time::Duration::from_secs(10), Blinding::none()).await.unwrap();
            end.end().await;
        }
    });
    for name in ["first", "second"] {
        let export = Export::of(&dir, folder.path(), name);
        let chains: std::collections::BTreeSet<String> =
            export.proves().iter().map(|row| row["chain"].as_str().unwrap().to_owned()).collect();
        assert!(chains.len() > 350, "{}", chains.len());
        let text = fs::read_to_string(&export.file).unwrap();
        // A subject is a claim's value.
        assert!(!text.contains("alice@") && text.contains("\"action\":\"revocations.add\",\"subject\":\"hmac:"), "{text}");
    }
}

#[test]
fn a_killed_signer_leaves_its_chain_whole() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let token = signer.issue("default");
    signer.kill();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    signer.issue("default");
    let export = Export::of(&signer.dir, folder.path(), "after");
    let report = verify(&export.file, None).json();
    // Those of both signers, and of the process that exports.
    assert_eq!((&report["valid"], &report["chains"]), (&true.into(), &3.into()));
    assert!(signer.run(&["audit", "find", "--token", &token]).ok().starts_with("row "));
    assert_eq!(signer.end(), Some(0));
}

/// Another process holds the database: no row, no signature, and afterwards everything goes on by itself.
#[test]
fn without_the_log_nothing_is_signed() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    signer.issue("default");
    let held = HeldDatabase::of(&signer);
    let body = format!("{{\"profile\":\"default\",\"audience\":{AUDIENCE:?}}}");
    let answer = signer.ask(&body);
    answer.problem(503, "audit_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(held);
    until("it signs again", || signer.ask(&body).status == 200);
    let dir = signer.dir.clone();
    assert_eq!(signer.end(), Some(0));
    let export = Export::of(&dir, folder.path(), "after");
    assert_eq!(verify(&export.file, None).json()["valid"], true);
    let rows = export.rows();
    assert_eq!(signed(&rows).len(), 2, "what was not announced has no outcome, and no outcome was lost");
}

/// The disk of the store is full, and then it is not.
#[test]
fn a_full_disk_stops_signatures_and_nothing_else() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" && cp \"$2\"/edgeseal.db* \"$1\" && exec \"$3\" serve --config \"$2\"/edgeseal.toml --store \"$1\"/edgeseal.db";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.args([&small, &dir]).arg(edgeseal().get_program());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("EDGESEAL_"))) {
        command.env_remove(name);
    }
    let signer = Signer::serve(command, &folder.path().join("serve.log"), ready, dir);
    let body = format!("{{\"profile\":\"default\",\"audience\":{AUDIENCE:?}}}");
    assert_eq!(signer.ask(&body).status, 200);
    let inside = PathBuf::from(format!("/proc/{}/root", signer.pid())).join(small.strip_prefix("/").unwrap());
    let filler = inside.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // What SQLite has reserved already may take some rows more.
    until("the log cannot be written", || {
        let answer = signer.ask(&body);
        if answer.status != 200 {
            answer.problem(503, "audit_unavailable");
        }
        answer.status == 503
    });
    assert_eq!(signer.public("/.well-known/jwks.json", &[]).status, 200);
    drop(file);
    fs::remove_file(&filler).unwrap();
    until("it signs again", || signer.ask(&body).status == 200);
    let out = folder.path().join("full.jsonl");
    let mut export = Command::new("nsenter");
    export.args(["--target", &signer.pid().to_string(), "--user", "--mount", "--preserve-credentials"]);
    export.arg(edgeseal().get_program()).args(["audit", "export", "--out"]).arg(&out);
    let exported = export.arg("--dir").arg(&signer.dir).arg("--store").arg(small.join("edgeseal.db")).output().unwrap();
    assert!(exported.status.success(), "{exported:?}");
    assert_eq!(verify(&out, None).json()["valid"], true);
}
