//! The arrows of the house (CONTRIBUTING.md, "The house"): what each crate and file may depend on.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Every crate beneath core on a Worker, build-time macros aside, and why it may be there. None of them has a clock, an operating
/// system, a source of randomness or a browser.
const BENEATH_CORE: &[(&str, &str)] = &[
    ("anyhow", "jwt-compact's errors"),
    ("base16ct", "sec1"),
    ("base64ct", "base64url"),
    ("block-buffer", "digest"),
    ("cfg-if", "conditional compilation"),
    ("chrono", "jwt-compact's claims, without its clock"),
    ("const-oid", "digest"),
    ("cpufeatures", "sha2; asks nothing on wasm32"),
    ("crypto-bigint", "elliptic curves"),
    ("crypto-common", "digest"),
    ("curve25519-dalek", "Ed25519"),
    ("der", "sec1"),
    ("digest", "hash functions"),
    ("ecdsa", "ECDSA"),
    ("ed25519", "Ed25519"),
    ("ed25519-dalek", "Ed25519"),
    ("edgeseal-p256", "our own arithmetic of hot ES256 keys; it depends on nothing"),
    ("elliptic-curve", "elliptic curves"),
    ("equivalent", "hashbrown"),
    ("ff", "elliptic curves"),
    ("foldhash", "hashbrown"),
    ("generic-array", "digest"),
    ("group", "elliptic curves"),
    ("hashbrown", "lru"),
    ("hmac", "rfc6979"),
    ("itoa", "serde_json"),
    ("jwt-compact", "the arithmetic of ES256 and EdDSA"),
    ("lazy_static", "num-bigint-dig"),
    ("libm", "num-traits"),
    ("lru", "bounded caches"),
    ("memchr", "serde_json"),
    ("num-bigint-dig", "rsa"),
    ("num-integer", "rsa"),
    ("num-iter", "rsa"),
    ("num-traits", "rsa"),
    ("p256", "P-256"),
    ("p384", "P-384"),
    ("p521", "P-521"),
    ("pkcs1", "rsa"),
    ("pkcs8", "rsa"),
    ("ppv-lite86", "rand_chacha"),
    ("primeorder", "elliptic curves"),
    ("rand", "num-bigint-dig, without a source of randomness"),
    ("rand_chacha", "rand"),
    ("rand_core", "traits for sources of randomness that somebody else has"),
    ("rfc6979", "ecdsa"),
    ("rsa", "RSA"),
    ("sec1", "elliptic curves"),
    ("serde", "JSON"),
    ("serde_core", "JSON"),
    ("serde_json", "JSON"),
    ("serde_path_to_error", "names the setting that is wrong"),
    ("sha2", "hash functions"),
    ("signature", "traits"),
    ("smallvec", "num-bigint-dig"),
    ("spin", "lazy_static without an operating system"),
    ("spki", "rsa"),
    ("subtle", "constant time"),
    ("typenum", "generic-array"),
    ("zerocopy", "ppv-lite86"),
    ("zeroize", "wipes memory"),
    ("zmij", "serde_json"),
];

/// Features that would bring an operating system, a clock, randomness or a browser along.
const FORBIDDEN_FEATURES: [&str; 10] =
    ["std", "clock", "now", "getrandom", "os_rng", "std_rng_os", "js", "js-sys", "wasm-bindgen", "wasmbind"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn core_has_no_operating_system_clock_or_io_beneath_it() {
    let allowed: BTreeMap<&str, &str> = BENEATH_CORE.iter().copied().collect();
    for features in [["--no-default-features"].as_slice(), &[]] {
        let tree =
            ["tree", "--locked", "-p", "edgeseal-core", "--target", "wasm32-unknown-unknown", "-e", "normal,no-proc-macro"];
        let tree = cargo(&[tree.as_slice(), &["--prefix", "none", "-f", "{p} |{f}"], features].concat());
        let mut seen = BTreeSet::new();
        for line in tree.lines() {
            let (package, features) = line.split_once(" |").unwrap();
            let name = package.split(' ').next().unwrap();
            if name == "edgeseal-core" || !seen.insert(name) {
                continue;
            }
            assert!(
                allowed.contains_key(name),
                "{name} is new beneath core: if it has no clock, no randomness, no I/O and no std, add it to tests/tests/house.rs with its reason"
            );
            let features = features.trim_end_matches(" (*)").split(',');
            let forbidden: Vec<&str> = features.filter(|feature| FORBIDDEN_FEATURES.contains(feature)).collect();
            assert!(forbidden.is_empty(), "{name} is built for core with {forbidden:?}");
        }
        assert!(seen.len() > 20, "cargo tree shows only {seen:?}");
    }
}

#[test]
fn core_is_no_std() {
    for name in ["core/src/lib.rs", "core/p256/src/lib.rs"] {
        let library = fs::read_to_string(root().join(name)).unwrap();
        assert!(library.lines().any(|line| line == "#![no_std]"), "{name} has no #![no_std]");
        let lines: Vec<&str> = library.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if line.contains("extern crate std") {
                assert_eq!(lines[index - 1], "#[cfg(test)]", "{name} links std outside its tests");
            }
        }
    }
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"])).unwrap();
    let mut ours = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let dependencies: BTreeSet<String> =
            package["dependencies"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        ours.insert(package["name"].as_str().unwrap().to_owned(), dependencies);
    }
    assert_eq!(ours.len(), 5, "crates of the workspace: {:?}", ours.keys());
    for (from, forbidden) in [
        ("edgeseal-p256", ["edgeseal-core", "edgeseal-edge", "edgeseal-signer", "edgeseal-tests"].as_slice()),
        ("edgeseal-core", &["edgeseal-edge", "edgeseal-signer", "edgeseal-tests"]),
        ("edgeseal-edge", &["edgeseal-signer", "edgeseal-tests", "cryptoki", "sqlx", "tokio"]),
        ("edgeseal-signer", &["edgeseal-edge", "worker", "wasm-bindgen"]),
        ("edgeseal-tests", &["edgeseal-edge"]),
    ] {
        for to in forbidden {
            assert!(!ours[from].contains(*to), "{from} depends on {to}");
        }
    }
}

/// Every Rust file below a folder of the repository, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no Rust files");
    found
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn names_crate(text: &str, name: &str) -> bool {
    let code = code(text);
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
            && !after.is_some_and(|character| character.is_alphanumeric() || character == '_')
            && (code[at + name.len()..].starts_with("::")
                || code[..at].trim_end().ends_with("use")
                || code[..at].trim_end().ends_with("crate"))
    })
}

#[test]
fn only_hsm_names_cryptoki_and_only_store_names_the_database_driver() {
    for (name, text) in sources("signer-native/src") {
        assert!(!names_crate(&text, "cryptoki") || name.starts_with("signer-native/src/hsm"), "{name} names cryptoki");
        assert!(!names_crate(&text, "sqlx") || name.starts_with("signer-native/src/store"), "{name} names sqlx");
    }
    for folder in ["core/src", "edge-wasm/src"] {
        for (name, text) in sources(folder) {
            for forbidden in ["cryptoki", "sqlx", "tokio", "edgeseal_signer"] {
                assert!(!names_crate(&text, forbidden), "{name} names {forbidden}");
            }
        }
    }
}

#[test]
fn pure_files_have_no_async_store_or_clock() {
    let mut pure = BTreeSet::new();
    for folder in ["core/src", "edge-wasm/src", "signer-native/src"] {
        for (name, text) in sources(folder) {
            // A table in the head speaks of other files.
            let head: String =
                text.lines().take_while(|line| line.starts_with("//!")).filter(|line| !line.starts_with("//! |")).collect();
            if !head.contains("PURE") {
                continue;
            }
            let code = code(&text);
            for forbidden in [
                "async ",
                ".await",
                "std::time",
                "SystemTime",
                "Instant",
                "tokio::",
                "sqlx::",
                "crate::store",
                "cryptoki::",
                "std::fs",
                "std::env",
                "rand::",
            ] {
                assert!(!code.contains(forbidden), "{name} is PURE and says {forbidden:?}");
            }
            pure.insert(name);
        }
    }
    for name in [
        "core/src/gateway/mod.rs",
        "core/src/gateway/path.rs",
        "core/src/gateway/routes.rs",
        "signer-native/src/keys/lifecycle.rs",
        "signer-native/src/keys/rotation.rs",
        "signer-native/src/issue/policy.rs",
    ] {
        assert!(pure.contains(name), "{name} is a PURE file: its first comment must say so");
    }
}

#[test]
fn the_check_of_names_tells_code_from_words() {
    assert!(names_crate("use cryptoki::context::Pkcs11;", "cryptoki"));
    assert!(names_crate("fn f() { cryptoki::x() }", "cryptoki"));
    assert!(!names_crate("// cryptoki::x\nfn my_cryptoki() {}", "cryptoki"));
    assert!(!names_crate("#[cfg(test)]\nmod tests { use cryptoki::x; }", "cryptoki"));
}
