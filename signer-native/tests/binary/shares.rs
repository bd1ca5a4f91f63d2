//! Keys from component shares: split where they were made, taken in where they are used, shown as imported for good.

use std::{fs, path::Path, process::Command};

use edgeseal_core::{Algorithm, Timestamp};
use edgeseal_signer::{
    hsm::KeyId,
    keys::{Change, Key, Mark, Origin, Purpose, State},
    store::{Guard, Store, StoreSettings},
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, BOB, ask},
    faults::generate_with_another_tool,
    support::{Signer, run, until},
};

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A private key of openssl's, split: its files and its public half as PEM.
fn split(folder: &Path, name: &str, options: &[&str], shares: usize) -> (Vec<String>, String) {
    let key = folder.join(format!("{name}.pem"));
    let key = key.to_str().unwrap();
    openssl(&[&["genpkey", "-out", key], options].concat());
    let public = openssl(&["pkey", "-in", key, "-pubout"]);
    let out = folder.join(name);
    fs::create_dir(&out).unwrap();
    run(&["keys", "split", "--key", key, "--shares", &shares.to_string(), "--out", out.to_str().unwrap()]).ok();
    let files = (1..=shares).map(|share| out.join(format!("share-{share}-of-{shares}.json")).display().to_string()).collect();
    (files, public)
}

fn read(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

const EC: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

#[test]
fn shares_make_a_key_that_is_imported_for_good() {
    let folder = tempdir().unwrap();
    // Over the socket of a worker process, and below in a command of its own.
    let signer = Signer::configured(folder.path(), &["--alg", "ES256"], |text| text.replacen("[hsm]", "[hsm]\nprocesses = 1", 1));
    let (files, public) = split(folder.path(), "made-elsewhere", EC, 3);
    let shares: Vec<Value> = files.iter().map(|file| read(file)).collect();
    let import = |shares: &[Value]| {
        ask(
            &signer,
            ALICE,
            "POST",
            "/admin/v1/keys:import",
            Some(json!({ "profile": "default", "label": "ceremony", "shares": shares })),
        )
    };

    // What is missing or wrong is named, and nothing is taken in.
    for (wrong, field, says) in [
        (vec![shares[0].clone(), shares[1].clone()], "shares", "lacks number 3 of 3"),
        (vec![shares[0].clone(), shares[1].clone(), shares[1].clone()], "shares[2]", "as another one has"),
    ] {
        let refused = import(&wrong);
        let detail = refused.problem(422, "field_invalid");
        assert_eq!((&refused.json()["field"], detail.contains(says)), (&json!(field), true), "{detail}");
    }
    let (rsa, _) = split(folder.path(), "of-another-kind", RSA, 2);
    let other: Vec<Value> = rsa.iter().map(|file| read(file)).collect();
    assert!(import(&other).problem(422, "field_invalid").contains("takes P-256"));
    let before = ask(&signer, BOB, "GET", "/admin/v1/keys", None).json()["keys"].as_array().unwrap().len();

    let made = import(&shares);
    assert_eq!((made.status, &made.json()["origin"]), (201, &json!("imported")), "{made:?}");
    let kid = made.json()["kid"].as_str().unwrap().to_owned();
    assert_eq!(shares[0]["key"], kid.as_str());
    import(&shares).problem(409, "conflict");
    assert_eq!(ask(&signer, BOB, "GET", "/admin/v1/keys", None).json()["keys"].as_array().unwrap().len(), before + 1);

    // All that there is to know, the HSM's own words included.
    let shown = ask(&signer, BOB, "GET", &format!("/admin/v1/keys/{kid}"), None).json();
    assert_eq!(shown["pem"], public.as_str());
    assert_eq!((&shown["jwk"]["kid"], &shown["label"]), (&json!(kid), &json!("ceremony")));
    let attribute = |name: &str| {
        let attributes = shown["hsm"].as_array().unwrap_or_else(|| panic!("{shown}"));
        let found = attributes.iter().find(|one| one["object"] == "private key" && one["name"] == name);
        found.unwrap_or_else(|| panic!("{name}: {shown}"))["value"].as_str().unwrap().to_owned()
    };
    for (name, value) in [
        ("CKA_SENSITIVE", "true"),
        ("CKA_EXTRACTABLE", "false"),
        ("CKA_NEVER_EXTRACTABLE", "false"),
        ("CKA_LOCAL", "false"),
        ("CKA_SIGN", "true"),
        ("CKA_LABEL", "ceremony"),
    ] {
        assert_eq!(attribute(name), value, "{name}");
    }
    let actions = shown["actions"].as_array().unwrap();
    assert!(actions.iter().any(|action| action["action"] == "activate" && action["allowed"] == true), "{shown}");

    assert_eq!(ask(&signer, ALICE, "POST", &format!("/admin/v1/keys/{kid}:activate"), None).json()["state"], "active");
    let token = signer.issue("default");
    assert_eq!(signer.verify(&token, "ES256").json()["verdict"], "accept");
    // One that was generated inside says so.
    let generated = signer.run(&["keys", "generate", "--json"]).json()["kid"].as_str().unwrap().to_owned();
    let shown = ask(&signer, BOB, "GET", &format!("/admin/v1/keys/{generated}"), None).json();
    let local = shown["hsm"].as_array().unwrap().iter().find(|one| one["name"] == "CKA_LOCAL" && one["object"] == "private key");
    assert_eq!(local.unwrap()["value"], "true", "{shown}");

    // No share stands in a log.
    let log = fs::read_to_string(folder.path().join("ready.log")).unwrap();
    assert!(!log.is_empty());
    for share in &shares {
        assert!(!log.contains(share["data"].as_str().unwrap()), "a share is in a log");
    }
}

#[test]
fn what_an_import_left_in_the_hsm_is_taken_out_again() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let db = signer.path("db");
    // As if the HSM had gone away between taking the pair in and being asked to take it out.
    let ids = [KeyId::random().unwrap(), KeyId::random().unwrap()];
    for id in ids {
        generate_with_another_tool(&signer, id);
    }
    assert_eq!(signer.end(), Some(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreSettings::Sqlite(db)).await.unwrap();
        for (id, origin) in ids.into_iter().zip([Origin::Entering, Origin::Imported]) {
            let then = Timestamp::from_secs(1_700_000_000);
            let key = Key {
                origin,
                profile: "default".to_owned(),
                max_lifetime: 3_600,
                ..Key::generating(id, Purpose::Token, Algorithm::Es256, then)
            };
            store.insert_key(&key, &Guard::None).await.unwrap();
            let failed = Change { id, from: State::Generating, to: State::Failed, set: vec![(Mark::Retired, Some(then))] };
            store.apply(&[failed], &Guard::None).await.unwrap();
        }
    });
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let shown = |id: KeyId| {
        let keys = signer.run(&["keys", "list", "--all", "--json"]).json();
        keys.as_array().unwrap().iter().find(|key| key["cka_id"] == id.to_string()).unwrap().clone()
    };
    until("the signer's own is gone", || !shown(ids[0])["destroyed_at"].is_null());
    assert_eq!(shown(ids[0])["origin"], "imported");
    // Whoever put the other one there may want it back.
    assert!(shown(ids[1])["destroyed_at"].is_null());
}

#[test]
fn shares_are_taken_in_by_the_command_line() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "RS256"]);
    let profile =
        signer.ready["profiles"][0]["profile"].as_str().or(signer.ready["profiles"][0]["name"].as_str()).unwrap().to_owned();
    let (files, _) = split(folder.path(), "rsa", RSA, 2);
    let import = |files: &[&str]| {
        let mut arguments = vec!["keys", "import", "--profile", &profile, "--json"];
        for file in files {
            arguments.extend(["--share", file]);
        }
        signer.run(&arguments)
    };
    import(&[&files[0]]).fails(2, "lacks number 2 of 2");
    import(&[&files[0], "/dev/null"]).fails(2, "/dev/null is no share");
    let made = import(&[&files[1], &files[0]]).json();
    assert_eq!((&made["origin"], &made["state"]), (&json!("imported"), &json!("published")));
    signer.run(&["keys", "activate", made["kid"].as_str().unwrap()]).ok();
    crate::support::until("it signs", || {
        let token = signer.issue(&profile);
        run(&["token", "inspect", &token, "--json"]).json()["header"]["kid"] == made["kid"]
    });
    run(&["keys", "split", "--key", "/dev/null", "--out", "/tmp"]).fails(2, "PKCS#8");
    // A file is never written over.
    let (again, out) = (folder.path().join("rsa.pem"), folder.path().join("rsa"));
    run(&["keys", "split", "--key", again.to_str().unwrap(), "--out", out.to_str().unwrap()]).fails(8, "cannot be written");
}
