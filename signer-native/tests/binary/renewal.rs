//! `edgeseal certs renew`: a new certificate before its time, beside a daemon and connections that go on.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};
use serde_json::{Value, json};

use crate::{
    admin::{ALICE, ask as administer},
    agent::Agent,
    enrolment::{Open, ask, enroll, files, invite},
    support::{AUDIENCE, Said, Signer, edgeseal, run, until, write_private},
};

/// A signer whose certificates no daemon renews by itself while a test runs.
fn signer(folder: &Path) -> Signer {
    Signer::configured(folder, &["--alg", "ES256"], |text| format!("{text}\n[enrolment]\nlifetime = \"1h\"\n"))
}

/// Enrols an agent, and writes the configuration of its daemon.
fn enrolled(signer: &Signer, folder: &Path, name: &str) -> PathBuf {
    let out = folder.join(name);
    let settings = enroll(signer, &invite(signer, name), &out).ok();
    let settings = settings
        .replace("/run/edgeseal/agent.sock", folder.join("agent.sock").to_str().unwrap())
        .replace("https://SIGNER:8444", signer.text("agent"));
    fs::write(folder.join("agent.toml"), settings).unwrap();
    out.join("agent.pem")
}

fn renew(configuration: &Path) -> Said {
    run(&["certs", "renew", "--config", configuration.to_str().unwrap()])
}

/// What the doctor says of one thing, or what ails it.
fn doctor(configuration: &Path, check: &str) -> Result<String, String> {
    let said = run(&["doctor", "--json", "--config", configuration.to_str().unwrap()]);
    let found: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    assert_eq!(found["ok"], said.code == 0, "{said:?}");
    let checks = found["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("{said:?}"));
    let detail = found["detail"].as_str().unwrap().to_owned();
    if found["ok"] == true { Ok(detail) } else { Err(detail) }
}

fn renewals(signer: &Signer, name: &str) -> usize {
    let path = format!("/admin/v1/audit?action=agents.renew&subject={name}");
    administer(signer, ALICE, "GET", &path, None).json()["rows"].as_array().unwrap().len()
}

fn certificates(signer: &Signer, name: &str) -> u64 {
    let listed = signer.run(&["agents", "list", "--json"]).json();
    let agents = listed["agents"].as_array().unwrap();
    agents.iter().find(|agent| agent["agent"] == name).unwrap()["certificates"].as_u64().unwrap()
}

#[test]
fn a_certificate_is_renewed_before_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());
    let configuration = folder.path().join("agent.toml");
    let identity = enrolled(&signer, folder.path(), "shop");
    let agent = Agent::configured(folder.path());
    agent.token(&ask());

    // The file is the daemon's, whoever renews; where that is another than this test's (who may give it away), it stays so.
    let _ = Command::new("chown").arg("65534:65534").arg(&identity).output().unwrap();
    let (before, first) = (fs::metadata(&identity).unwrap(), fs::read_to_string(&identity).unwrap());
    let old = folder.path().join("old.pem");
    write_private(&old, &first);
    let mut kept = Open::to(&signer, &identity);
    assert_eq!(kept.post(&ask()).unwrap().0, 200);

    let said = renew(&configuration);
    assert_eq!(said.err, "", "{said:?}");
    let said = said.ok();
    let (path, until_when) = said.split_once(" is good until ").unwrap();
    assert_eq!((Path::new(path), until_when.len() > 16), (identity.as_path(), true), "{said}");
    let (after, second) = (fs::metadata(&identity).unwrap(), fs::read_to_string(&identity).unwrap());
    assert_ne!(first.split("PRIVATE KEY").next(), second.split("PRIVATE KEY").next(), "another certificate");
    assert_ne!(first.split("PRIVATE KEY").nth(1), second.split("PRIVATE KEY").nth(1), "of another key");
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()), "the daemon can read it");
    assert_eq!((renewals(&signer, "shop"), certificates(&signer, "shop")), (1, 2));

    // Connections that are open go on, and so does the certificate of before until its end; the daemon takes up the new one.
    assert_eq!(kept.post(&ask()).unwrap().0, 200);
    for identity in [&old, &identity] {
        assert_eq!(Open::to(&signer, identity).post(&ask()).unwrap().0, 200);
    }
    until("the daemon takes it up", || agent.log().contains("took up the certificate"));
    agent.token(&ask());

    // A link stays one: what it points to is replaced.
    let target = folder.path().join("shop/target.pem");
    fs::rename(&identity, &target).unwrap();
    symlink(&target, &identity).unwrap();
    renew(&configuration).ok();
    assert!(fs::symlink_metadata(&identity).unwrap().is_symlink());
    assert_ne!(fs::read_to_string(&target).unwrap(), second);

    // At once, beside each other: one file is there, whole.
    let running: Vec<_> =
        (0..4).map(|_| edgeseal().args(["certs", "renew", "--config"]).arg(&configuration).spawn().unwrap()).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let names: Vec<PathBuf> = files(&folder.path().join("shop"));
    assert!(names.iter().all(|name| !name.display().to_string().contains(".new")), "{names:?}");
    assert_eq!(Open::to(&signer, &identity).post(&ask()).unwrap().0, 200);
    assert_eq!(renewals(&signer, "shop"), 6);

    // The signer reads its own certificates anew, and begins anew: the agent's is as good as before.
    signer.signal("HUP");
    assert_eq!(Open::to(&signer, &identity).post(&ask()).unwrap().0, 200);
    let (ready, dir) = (signer.ready.clone(), signer.dir.clone());
    assert_eq!(signer.end(), Some(0));
    let unchanged = fs::read_to_string(&identity).unwrap();
    renew(&configuration).fails(7, "no signer answers (https://localhost:");
    assert_eq!(fs::read_to_string(&identity).unwrap(), unchanged);
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(dir.join("edgeseal.toml"));
    let signer = Signer::serve(command, &folder.path().join("serve.log"), ready, dir);
    assert_eq!(Open::to(&signer, &identity).post(&ask()).unwrap().0, 200);
    renew(&configuration).ok();

    doctor(&configuration, "certificate").expect("a fresh certificate");
    doctor(&configuration, "signers").expect("a signer that knows it");

    // Who was shown the door does not come in by renewing.
    signer.run(&["agents", "revoke", "shop", "--yes"]).ok();
    until("it is refused", || Open::to(&signer, &identity).post(&ask()).unwrap().0 == 403);
    renew(&configuration).fails(1, "agent_unknown");
    assert!(doctor(&configuration, "signers").unwrap_err().contains("agent_unknown"));
}

#[test]
fn what_cannot_be_renewed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let signer = signer(folder.path());
    let configuration = folder.path().join("agent.toml");
    let identity = enrolled(&signer, folder.path(), "shop");
    let settings = fs::read_to_string(&configuration).unwrap();
    let good = fs::read_to_string(&identity).unwrap();

    renew(&folder.path().join("nowhere.toml")).fails(3, "nowhere.toml cannot be read");
    fs::write(&configuration, "[agent]\n").unwrap();
    renew(&configuration).fails(3, "agent.signers is not set");
    fs::write(&configuration, settings.replace("https://localhost", "http://localhost")).unwrap();
    renew(&configuration).fails(3, "agent.signers holds \"http://");
    fs::write(&configuration, settings.replace("key = ", "key = \"/elsewhere.key\" # ")).unwrap();
    renew(&configuration).fails(3, "are two files");
    fs::write(&configuration, &settings).unwrap();

    for (content, code, says) in
        [("nonsense", 3, "agent.certificate"), (good.split("-----BEGIN PRIVATE KEY").next().unwrap(), 3, "agent.key")]
    {
        write_private(&identity, content);
        renew(&configuration).fails(code, says);
        assert_eq!(fs::read_to_string(&identity).unwrap(), content);
    }
    fs::remove_file(&identity).unwrap();
    renew(&configuration).fails(3, "agent.certificate");

    // Another authority's certificate: that one renews it.
    let demo = [signer.path("agent_cert"), signer.path("agent_key")].map(|path| fs::read_to_string(path).unwrap());
    write_private(&identity, &demo.concat());
    renew(&configuration).fails(1, "of another authority, which has to renew it");

    // One that has ended cannot show itself; nobody is asked.
    let asked = renewals(&signer, "shop");
    write_private(&identity, &ended("shop"));
    renew(&configuration).fails(1, "edgeseal agents invite shop");
    assert_eq!(renewals(&signer, "shop"), asked);
    assert!(doctor(&configuration, "certificate").unwrap_err().contains("edgeseal agents invite shop"));

    // A signer that is not the one of agent.ca.
    write_private(&identity, &good);
    let stranger = tempfile::tempdir().unwrap();
    let other = Signer::dev(stranger.path(), &["--alg", "ES256"]);
    fs::write(&configuration, settings.replace(signer.text("agent"), other.text("agent"))).unwrap();
    renew(&configuration).fails(7, "UnknownIssuer");
    assert!(doctor(&configuration, "signers").unwrap_err().contains("UnknownIssuer"));
    assert_eq!(fs::read_to_string(&identity).unwrap(), good);

    fs::write(&configuration, settings).unwrap();
    renew(&configuration).ok();
    let token: Value = json!({ "profile": "default", "audience": AUDIENCE, "claims": { "sub": "bob" } });
    assert_eq!(Open::to(&signer, &identity).post(&token).unwrap().0, 200);
}

/// A certificate of this agent that ended long ago, with its key.
fn ended(name: &str) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(format!("urn:edgeseal:agent:{name}")).unwrap())];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}
