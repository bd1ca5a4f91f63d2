//! Other PKCS#11 modules than `SoftHSM`: NSS softokn and kryoptic, whose tokens, sizes, attributes and order of things differ.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::tempdir;

use crate::{
    faults::compile,
    support::{AUDIENCE, Signer, edgeseal, run, until, write_private},
};

const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
    "/usr/lib/libsoftokn3.so",
];
const PIN: &str = "Secret-Pin-1234";

/// Where the token is, in the settings' words.
struct Module<'a> {
    name: &'a str,
    library: &'a Path,
    token: &'a str,
    environment: String,
    profiles: &'a [(&'a str, &'a str)],
}

/// Keys are generated there and sign what core accepts; the life of a key comes to its end, in the token too; `doctor` is content;
/// the export of the audit log holds.
fn serves(folder: &Path, module: &Module<'_>) {
    let Module { name, library, token, environment, profiles } = module;
    let algorithms: Vec<&str> = profiles.iter().flat_map(|(_, algorithm)| ["--alg", algorithm]).collect();
    // Certificates and a configuration to start from.
    let dev = Signer::dev(folder, &algorithms);
    let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));
    let pin = folder.join("pin");
    write_private(&pin, PIN);
    let database = dir.join(format!("{name}.db"));
    let replaced = |line: &str| match line.split(" = ").next() {
        Some("module") => format!("module = {library:?}"),
        Some("token") => format!("token = {token:?}"),
        Some("pin_file") => format!("pin_file = {pin:?}"),
        Some("path") => format!("path = {database:?}"),
        Some("environment") => format!("environment = {environment}"),
        _ => line.to_owned(),
    };
    let text: Vec<String> = fs::read_to_string(dir.join("edgeseal.toml")).unwrap().lines().map(replaced).collect();
    let file = dir.join(format!("{name}.toml"));
    fs::write(&file, text.join("\n")).unwrap();
    let on_it = |arguments: &[&str]| run(&[arguments, &["--config", file.to_str().unwrap()]].concat());
    for (profile, _) in *profiles {
        let key = on_it(&["keys", "generate", "--profile", profile, "--json"]).json();
        assert_eq!(key["origin"], "generated");
        on_it(&["keys", "activate", key["kid"].as_str().unwrap()]).ok();
    }
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file);
    let signer = Signer::serve(command, &folder.join(format!("{name}.log")), ready, dir);
    for (profile, algorithm) in *profiles {
        for _ in 0..3 {
            let token = on_it(&["token", "issue", "--profile", profile, "--audience", AUDIENCE]).ok();
            let verdict = signer.verify(&token, algorithm).json();
            assert_eq!((verdict["verdict"].as_str(), verdict["header"]["alg"].as_str()), (Some("accept"), Some(*algorithm)));
        }
    }
    // What did not come to be, and what is not wanted any more, leaves the token.
    let standby = on_it(&["keys", "generate", "--profile", "default", "--json"]).json();
    let kid = standby["kid"].as_str().unwrap();
    on_it(&["keys", "compromise", kid, "--yes"]).ok();
    crate::drills::sql(&database, &format!("UPDATE keys SET state = 'destroy_scheduled', destroy_at = 1 WHERE kid = '{kid}'"));
    let state = || on_it(&["keys", "show", kid, "--json"]).json()["state"].clone();
    until("it is destroyed", || state() == "destroyed");
    on_it(&["keys", "import", "--id", standby["cka_id"].as_str().unwrap()]).fails(4, "holds no key with CKA_ID");
    let report: Value = on_it(&["doctor", "--json"]).json();
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(signer.end(), Some(0));
    let export = crate::audit::Export::with(&["--config", file.to_str().unwrap()], folder, name);
    export.proves();
}

#[test]
fn nss_softokn() {
    let folder = tempdir().unwrap();
    let database = folder.path().join("nss");
    fs::create_dir(&database).unwrap();
    let pin = folder.path().join("nss-pin");
    write_private(&pin, PIN);
    let made =
        Command::new("certutil").args(["-N", "-d"]).arg(format!("sql:{}", database.display())).arg("-f").arg(&pin).status();
    assert!(made.expect("certutil (Debian: apt install libnss3-tools)").success());
    let softokn = PLACES.into_iter().find(|path| Path::new(path).exists()).expect("libsoftokn3 (Debian: apt install libnss3)");
    // Softokn takes its parameters through a pointer of C_Initialize that only C code can set.
    let library = compile(folder.path());
    let parameters = format!("configdir='sql:{}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=", database.display());
    let module = Module {
        name: "nss",
        library: &library,
        token: "NSS Certificate DB",
        environment: format!("{{ FAULT_MODULE_REAL = {softokn:?}, FAULT_MODULE_RESERVED = {parameters:?} }}"),
        profiles: &[("default", "ES256"), ("es384", "ES384"), ("rs256", "RS256"), ("ps256", "PS256")],
    };
    serves(folder.path(), &module);
}

#[test]
fn kryoptic() {
    let folder = tempdir().unwrap();
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kryoptic/libkryoptic_pkcs11.so");
    let library = std::env::var_os("EDGESEAL_KRYOPTIC").map_or(built, PathBuf::from);
    assert!(library.exists(), "{} is not there: make kryoptic", library.display());
    let configuration = folder.path().join("kryoptic.conf");
    let database = folder.path().join("kryoptic.sql");
    fs::write(&configuration, format!("[[slots]]\nslot = 0\ndbtype = \"sqlite\"\ndbargs = {database:?}\n")).unwrap();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("pkcs11-tool");
        command.env("KRYOPTIC_CONF", &configuration).arg("--module").arg(&library).args(arguments);
        let said = command.output().expect("pkcs11-tool (Debian: apt install opensc)");
        assert!(said.status.success(), "{said:?}");
    };
    tool(&["--init-token", "--slot", "0", "--label", "edgeseal", "--so-pin", "Officer-4711"]);
    tool(&["--token-label", "edgeseal", "--login", "--login-type", "so", "--so-pin", "Officer-4711", "--init-pin", "--pin", PIN]);
    let module = Module {
        name: "kryoptic",
        library: &library,
        token: "edgeseal",
        environment: format!("{{ KRYOPTIC_CONF = {configuration:?} }}"),
        profiles: &[
            ("default", "ES256"),
            ("es384", "ES384"),
            ("es512", "ES512"),
            ("rs256", "RS256"),
            ("rs512", "RS512"),
            ("ps256", "PS256"),
        ],
    };
    serves(folder.path(), &module);
}
