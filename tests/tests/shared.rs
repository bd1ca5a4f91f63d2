//! Documents of others in the folder that `EDGESEAL_VECTORS` names. Unset, these tests are counted apart as not run; set, nothing
//! may be absent.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

mod judge;
mod presets;

use std::{
    collections::BTreeSet,
    fs, panic,
    path::{Path, PathBuf},
    process::ExitCode,
};

use edgeseal_core::{Jwk, JwkSet, discovery::Discovery};
use edgeseal_tests::{corpus::Expect, shared};

type Test = (&'static str, fn(&Path));

const TESTS: [Test; 6] = [
    ("jwk_sets_have_the_usable_keys_of_the_index", jwk_sets_have_the_usable_keys_of_the_index),
    ("discovery_documents_parse", discovery_documents_parse),
    ("thumbprints_are_the_rfcs", thumbprints_are_the_rfcs),
    ("converted_lines_are_judged_as_they_say", converted_lines_are_judged_as_they_say),
    ("conversion_is_deterministic", conversion_is_deterministic),
    ("presets_take_the_vendors_tokens_and_no_others", presets::presets_take_the_vendors_tokens_and_no_others),
];

/// libtest cannot say "not run", so this file runs its tests itself and prints as libtest does.
fn main() -> ExitCode {
    let Some(root) = shared::root() else {
        println!("{} not run: EDGESEAL_VECTORS is unset", TESTS.len());
        println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        return ExitCode::SUCCESS;
    };
    let root: PathBuf = root;
    let mut failed = 0;
    for (name, test) in TESTS {
        let outcome = panic::catch_unwind(|| test(&root));
        failed += usize::from(outcome.is_err());
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        TESTS.len() - failed
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The names of the JSON documents in a folder, without the ending.
fn documents(root: &Path, folder: &str) -> BTreeSet<String> {
    let path = root.join(folder);
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).filter(|name| name != "INDEX").collect()
}

fn jwk_sets_have_the_usable_keys_of_the_index(root: &Path) {
    let index = shared::json(root, "jwks/INDEX.json").unwrap();
    let index = index.as_array().unwrap();
    assert_eq!(index.len(), 25, "documents in INDEX.json");
    let names: BTreeSet<String> = index.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, documents(root, "jwks"), "INDEX.json and the folder");
    let mut wrong = Vec::new();
    for entry in index {
        let name = entry["name"].as_str().unwrap();
        match JwkSet::from_json(&shared::text(root, &format!("jwks/{name}.json")).unwrap()) {
            Ok(set) => {
                let counts = (set.total() as u64, set.keys().len() as u64);
                let expected = (entry["n_keys"].as_u64().unwrap(), entry["n_usable_for_verify"].as_u64().unwrap());
                if counts != expected {
                    wrong.push(format!(
                        "{name}: {counts:?} keys and usable keys, INDEX.json says {expected:?}; skipped {:?}",
                        set.skipped()
                    ));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn discovery_documents_parse(root: &Path) {
    let names = documents(root, "discovery");
    assert_eq!(names.len(), 12, "discovery documents");
    for name in names {
        let text = shared::text(root, &format!("discovery/{name}.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let issuer = document["issuer"].as_str().unwrap();
        let read = Discovery::from_json(&text, issuer).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.jwks_uri, document["jwks_uri"].as_str().unwrap(), "{name}");
        let other = Discovery::from_json(&text, &format!("{issuer}/"));
        assert_eq!(other.unwrap_err().code().as_str(), "jwks_unavailable", "{name}: an issuer that differs by a slash");
    }
}

fn thumbprints_are_the_rfcs(root: &Path) {
    let entries = shared::json(root, "rfc/thumbprints.json").unwrap();
    let entries = entries.as_array().unwrap();
    assert_eq!(entries.len(), 2, "thumbprints");
    for entry in entries {
        let key = Jwk::from_json(&entry["jwk"].to_string()).unwrap();
        assert_eq!(key.thumbprint(), entry["thumbprint"].as_str().unwrap(), "{}", entry["id"]);
    }
}

fn converted_lines_are_judged_as_they_say(root: &Path) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in shared::convert(root).unwrap().iter().flat_map(|converted| &converted.lines) {
        count += 1;
        let judged = judge::judge(&line.to_bytes());
        let as_expected = match line.expect {
            Expect::Accept => judged.is_none(),
            Expect::Reject(None) => judged.is_some(),
            Expect::Reject(Some(code)) => judged.as_deref() == Some(code),
            Expect::Any => true,
        };
        if !as_expected {
            wrong.push(format!("{}: {judged:?}, expected {:?} ({})", line.id, line.expect, line.why));
        }
    }
    println!("{count} converted lines");
    assert!(wrong.is_empty(), "{} of {count} lines are judged otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

fn conversion_is_deterministic(root: &Path) {
    let lines = || -> Vec<u8> {
        let converted = shared::convert(root).unwrap();
        edgeseal_tests::corpus::to_jsonl(converted.iter().flat_map(|converted| &converted.lines))
    };
    assert!(lines() == lines(), "two conversions differ");
    let converted = shared::convert(root).unwrap();
    let ids: Vec<&str> = converted.iter().flat_map(|converted| &converted.lines).map(|line| line.id.as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "two lines have one id");
}
