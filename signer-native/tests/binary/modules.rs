//! Another PKCS#11 module than `SoftHSM`: NSS softokn, whose tokens, sizes and attributes differ.

use std::{fs, path::Path, process::Command};

use tempfile::tempdir;

use crate::{
    faults::compile,
    support::{AUDIENCE, Signer, edgeseal, run, write_private},
};

const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
    "/usr/lib/libsoftokn3.so",
];

#[test]
fn nss_softokn() {
    let folder = tempdir().unwrap();
    // Certificates and a configuration to start from.
    let dev = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "ES384", "--alg", "RS256", "--alg", "PS256"]);
    let (dir, ready) = (dev.dir.clone(), dev.ready.clone());
    assert_eq!(dev.end(), Some(0));

    let database = folder.path().join("nss");
    fs::create_dir(&database).unwrap();
    let pin = folder.path().join("nss-pin");
    write_private(&pin, "Secret-Pin-1234");
    let made =
        Command::new("certutil").args(["-N", "-d"]).arg(format!("sql:{}", database.display())).arg("-f").arg(&pin).status();
    assert!(made.expect("certutil (Debian: apt install libnss3-tools)").success());

    let softokn = PLACES.into_iter().find(|path| Path::new(path).exists()).expect("libsoftokn3 (Debian: apt install libnss3)");
    // Softokn takes its parameters through a pointer of C_Initialize that only C code can set.
    let module = compile(folder.path());
    let parameters = format!("configdir='sql:{}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=", database.display());
    let replaced = |line: &str| match line.split(" = ").next() {
        Some("module") => format!("module = {module:?}"),
        Some("token") => "token = \"NSS Certificate DB\"".to_owned(),
        Some("pin_file") => format!("pin_file = {pin:?}"),
        Some("path") => "path = \"nss.db\"".to_owned(),
        Some("environment") => {
            format!("environment = {{ FAULT_MODULE_REAL = {softokn:?}, FAULT_MODULE_RESERVED = {parameters:?} }}")
        }
        _ => line.to_owned(),
    };
    let text: Vec<String> = fs::read_to_string(dir.join("edgeseal.toml")).unwrap().lines().map(replaced).collect();
    let file = dir.join("nss.toml");
    fs::write(&file, text.join("\n")).unwrap();
    let on_nss = |arguments: &[&str]| {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--config", file.to_str().unwrap()]);
        run(&arguments)
    };
    let profiles = [("default", "ES256"), ("es384", "ES384"), ("rs256", "RS256"), ("ps256", "PS256")];
    for (profile, _) in profiles {
        let key = on_nss(&["keys", "generate", "--profile", profile, "--json"]).json();
        on_nss(&["keys", "activate", key["kid"].as_str().unwrap()]).ok();
    }
    let mut command = edgeseal();
    command.arg("serve").arg("--config").arg(&file);
    let signer = Signer::serve(command, &folder.path().join("nss.log"), ready, dir);
    for (profile, algorithm) in profiles {
        let token = on_nss(&["token", "issue", "--profile", profile, "--audience", AUDIENCE]).ok();
        let verdict = signer.verify(&token, algorithm).json();
        assert_eq!((&verdict["verdict"], &verdict["header"]["alg"]), (&"accept".into(), &algorithm.into()));
    }
}
