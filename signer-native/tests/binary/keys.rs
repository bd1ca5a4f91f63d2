//! The life of keys as an operator leads it: the command line beside a running signer, and what time brings about.

use std::{fs, path::Path, process::Command};

use edgeseal_core::Timestamp;
use edgeseal_signer::{
    hsm::KeyId,
    keys::{Change, Mark, State},
    store::{Approval, Guard, Store, StoreSettings},
};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{AUDIENCE, Signer, edgeseal, run, until};

fn key(signer: &Signer, kid: &str) -> Value {
    signer.run(&["keys", "show", kid, "--json"]).json()
}

fn generate(signer: &Signer) -> String {
    signer.run(&["keys", "generate", "--json"]).json()["kid"].as_str().unwrap().to_owned()
}

fn jwks(signer: &Signer) -> String {
    signer.public("/.well-known/jwks.json", &[]).body
}

fn status(signer: &Signer) -> u16 {
    signer.ask(&format!(r#"{{"profile":"default","audience":"{AUDIENCE}"}}"#)).status
}

fn with_store<T>(signer: &Signer, work: impl AsyncFnOnce(Store) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(Store::open(&StoreSettings::Sqlite(signer.path("db"))).await.unwrap()).await })
}

#[test]
fn suspended_compromised_destroyed() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let first = signer.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();

    // As listings show it, it is taken, too.
    let listed = signer.run(&["keys", "list"]).ok();
    let short = listed.split_whitespace().find(|word| word.contains('…') && word.starts_with(&first[..6])).unwrap();
    assert_eq!(key(&signer, short)["kid"], first.as_str());
    signer.run(&["keys", "show", &format!("{}…", &first[..6])]).ok();
    for unknown in [format!("{}…~~", &first[..6]), format!("…{}", &first[first.len() - 2..]), format!("{first}…{first}")] {
        signer.run(&["keys", "show", &unknown]).fails(1, "no key has the kid");
    }

    // Suspended: nothing signs, the JWK Set still shows it.
    signer.run(&["keys", "suspend", &first]).ok();
    until("nothing signs", || status(&signer) == 409);
    assert!(jwks(&signer).contains(&first));
    let second = generate(&signer);
    signer.run(&["keys", "activate", &second]).ok();
    let resumed = signer.run(&["keys", "resume", &first, "--json"]).json();
    assert_eq!(resumed["state"], "retiring", "another signs meanwhile");
    signer.run(&["keys", "suspend", &second]).ok();
    assert_eq!(signer.run(&["keys", "resume", &second, "--json"]).json()["state"], "active");
    until("it signs again", || status(&signer) == 200);

    // Compromised: out of the JWK Set, and the standby signs.
    let standby = generate(&signer);
    signer.run(&["keys", "compromise", &second]).fails(2, "add --yes to mean it");
    let said = signer.run(&["keys", "compromise", &second, "--yes", "--json"]).json();
    assert_eq!((&said["state"], &said["successor"]), (&"compromised".into(), &standby.as_str().into()));
    until("the JWK Set lacks it", || !jwks(&signer).contains(&second));
    until("the standby signs", || {
        let verdict = signer.verify(&signer.issue("default"), "ES256").json();
        verdict["verdict"] == "accept" && verdict["header"]["kid"] == standby.as_str()
    });
    assert_eq!(signer.run(&["keys", "compromise", &first, "--yes", "--json"]).json()["state"], "compromised");
    signer.run(&["keys", "compromise", &first, "--yes"]).fails(1, "is compromised, and only a key that is");

    // Destroyed: two people, and days to think about it.
    signer.run(&["keys", "schedule-destroy", &standby, "--yes"]).fails(1, "is active, and only a key that is retired");
    signer.run(&["keys", "schedule-destroy", &second, "--yes", "--days", "6"]).fails(1, "7 to 30 days");
    let proposal = signer.run(&["keys", "schedule-destroy", &second, "--yes", "--json"]).json();
    assert!(proposal["proposer"].as_str().unwrap().starts_with("local:"), "{proposal}");
    signer.run(&["keys", "schedule-destroy", &second, "--yes"]).fails(1, "one's own approval never counts");
    signer.run(&["keys", "cancel-destroy", &second]).ok();
    with_store(&signer, async |store| {
        let now = edgeseal_signer::keys::now();
        let proposal = Approval {
            id: "another".to_owned(),
            action: "keys.schedule-destroy".to_owned(),
            subject: second.clone(),
            detail: r#"{"days":9}"#.to_owned(),
            proposer: "admin:alice".to_owned(),
            proposed_at: now,
            expires_at: now.plus_secs(60),
            decided: None,
        };
        store.propose(&proposal).await.unwrap();
    });
    // Another number than the first person's is no approval, and who is asked knows whose word it is.
    signer.run(&["keys", "schedule-destroy", &second, "--yes", "--days", "30"]).fails(1, "admin:alice proposed 9 days, not 30");
    signer.run(&["keys", "schedule-destroy", &second]).fails(2, "in 9 days, as admin:alice proposed: this is the second word");
    assert_eq!(key(&signer, &second)["state"], "compromised");
    let scheduled = signer.run(&["keys", "schedule-destroy", &second, "--yes", "--json"]).json();
    assert_eq!(scheduled["state"], "destroy_scheduled", "{scheduled}");
    assert_eq!(signer.run(&["keys", "cancel-destroy", &second, "--json"]).json()["state"], "compromised");
    let id = KeyId::from_hex(scheduled["cka_id"].as_str().unwrap()).unwrap();
    assert_eq!(objects(&signer, id), 2);
    with_store(&signer, async |store| {
        // As if its days were over.
        let set = vec![(Mark::Destroy, Some(Timestamp::from_secs(1)))];
        let change = Change { id, from: State::Compromised, to: State::DestroyScheduled, set };
        store.apply(&[change], &Guard::None).await.unwrap();
    });
    until("it is destroyed", || key(&signer, &second)["state"] == "destroyed");
    assert_eq!(objects(&signer, id), 0, "both halves are gone");
    assert_eq!(status(&signer), 200);
}

/// Objects with this `CKA_ID` in the token, as another tool sees them.
fn objects(signer: &Signer, id: KeyId) -> usize {
    let listed = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", signer.path("softhsm_conf"))
        .arg("--module")
        .arg(signer.path("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", &fs::read_to_string(signer.path("pin_file")).unwrap()])
        .arg("--list-objects")
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap().matches(&id.to_string()).count()
}

#[test]
fn a_pair_of_somebody_else_is_imported_for_good() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let id = KeyId::random().unwrap();
    crate::faults::generate_with_another_tool(&signer, id);
    let missing = KeyId::random().unwrap().to_string();
    signer.run(&["keys", "import", "--id", &missing]).fails(4, "holds no key with CKA_ID");
    signer.run(&["keys", "import", "--id", "nonsense"]).fails(2, "is not 32 hexadecimal digits");
    let imported = signer.run(&["keys", "import", "--id", &id.to_string(), "--json"]).json();
    assert_eq!((&imported["origin"], &imported["state"]), (&"imported".into(), &"published".into()));
    signer.run(&["keys", "import", "--id", &id.to_string()]).fails(1, "is known already");
    signer.run(&["keys", "activate", imported["kid"].as_str().unwrap()]).ok();
    until("it signs", || signer.verify(&signer.issue("default"), "ES256").json()["header"]["kid"] == imported["kid"]);
}

#[test]
fn a_pair_of_another_size_than_the_profile_s_is_not_imported() {
    let folder = tempdir().unwrap();
    let signer = Signer::configured(folder.path(), &["--alg", "ES256", "--alg", "RS256"], |text| {
        let profile = "[profiles.rs256]\n";
        assert!(text.contains(profile), "{text}");
        text.replace(profile, &format!("{profile}rsa_bits = 3072\n"))
    });
    let id = KeyId::random().unwrap();
    crate::faults::generate_kind_with_another_tool(&signer, id, "rsa:2048");
    let rows = || signer.run(&["keys", "list", "--all", "--json"]).json().as_array().unwrap().len();
    let before = rows();
    let refused = signer.run(&["keys", "import", "--profile", "rs256", "--id", &id.to_string()]);
    refused.fails(4, "the key is RSA 2048, and profile rs256 takes RSA 3072");
    assert_eq!(rows(), before);
}

/// `edgeseal serve` on what a `dev` made, with other settings.
pub(crate) fn serve(folder: &Path, dev: Signer, name: &str, edit: impl Fn(&str) -> String) -> Signer {
    let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    serve_again(folder, dir, ready, name, edit)
}

pub(crate) fn serve_again(
    folder: &Path,
    dir: std::path::PathBuf,
    ready: Value,
    name: &str,
    edit: impl Fn(&str) -> String,
) -> Signer {
    let file = dir.join(format!("{name}.toml"));
    fs::write(&file, edit(&fs::read_to_string(dir.join("edgeseal.toml")).unwrap())).unwrap();
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file);
    Signer::serve(command, &folder.join(format!("{name}.log")), ready, dir)
}

#[test]
fn keys_rotate_by_age_and_a_standby_is_always_there() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let first = dev.ready["profiles"][0]["kid"].as_str().unwrap().to_owned();
    let signer =
        serve(folder.path(), dev, "rotating", |text| text.replace("automatic = false", "automatic = true\nafter = \"25s\""));
    let keys = || {
        let listed = signer.run(&["keys", "list", "--json"]).json();
        let mut keys = listed.as_array().unwrap().clone();
        keys.retain(|key| key["purpose"] == "token");
        keys
    };
    let in_state = |state: &str| keys().iter().filter(|key| key["state"] == state).count();
    until("a standby", || in_state("published") == 1);
    until("another key signs", || {
        let token = signer.issue("default");
        assert_eq!(signer.verify(&token, "ES256").json()["verdict"], "accept", "at every moment");
        run(&["token", "inspect", &token, "--json"]).json()["header"]["kid"] != first.as_str()
    });
    until("a new standby", || in_state("published") == 1);
    assert_eq!((in_state("active"), key(&signer, &first)["state"].as_str()), (1, Some("retiring")));
}

#[test]
fn issuers_have_paths_of_their_own() {
    let folder = tempdir().unwrap();
    let dev = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "ES384"]);
    let base = dev.text("issuer").to_owned();
    let tenant = format!("{base}/tenant/b");
    let signer = serve(folder.path(), dev, "tenants", |text| {
        format!("{}\n[issuers.b]\nurl = {tenant:?}\n", text.replace("[profiles.es384]", "[profiles.es384]\nissuer = \"b\""))
    });
    // The key of before belongs to the top-level issuer; the profile's new one to its new issuer.
    let generated = run(&["keys", "generate", "--profile", "es384", "--json", "--config", &config(&signer, "tenants")]).json();
    let kid = generated["kid"].as_str().unwrap();
    assert_eq!(generated["issuer"], "b");
    run(&["keys", "activate", kid, "--config", &config(&signer, "tenants")]).ok();
    until("its JWK Set shows it", || signer.public("/tenant/b/.well-known/jwks.json", &[]).body.contains(kid));
    assert!(!jwks(&signer).contains(kid));
    let discovery = signer.public("/.well-known/oauth-authorization-server/tenant/b", &[]).json();
    assert_eq!(
        (&discovery["issuer"], &discovery["jwks_uri"]),
        (&tenant.as_str().into(), &format!("{tenant}/.well-known/jwks.json").into())
    );
    assert_eq!(signer.public("/tenant/b/.well-known/openid-configuration", &[]).json()["issuer"], tenant.as_str());
    signer.public("/tenant/c/.well-known/jwks.json", &[]).problem(404, "not_found");
    signer.public("/agents/demo-app/.well-known/jwks.json", &[]).problem(404, "not_found");
    until("it signs", || {
        let token = signer.run(&["token", "issue", "--profile", "es384", "--audience", AUDIENCE]);
        token.code == 0 && {
            let shown = run(&["token", "inspect", token.out.trim(), "--json"]).json();
            shown["header"]["kid"] == kid && shown["claims"]["iss"] == tenant.as_str()
        }
    });
}

fn config(signer: &Signer, name: &str) -> String {
    signer.dir.join(format!("{name}.toml")).display().to_string()
}
