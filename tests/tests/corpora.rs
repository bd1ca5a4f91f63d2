//! The fuzz targets on their committed corpora: what fuzzing has once reached is reached in every test run, without libFuzzer.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::{collections::BTreeSet, fs, panic, path::Path};

#[test]
fn every_committed_input_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let folders: BTreeSet<String> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets, "folders in tests/fuzz/corpus, and targets");
    let mut total = 0;
    for (name, run) in fuzz::TARGETS {
        for file in fs::read_dir(corpus.join(name)).unwrap() {
            let path = file.unwrap().path();
            let input = fs::read(&path).unwrap();
            total += input.len();
            assert!(panic::catch_unwind(|| run(&input)).is_ok(), "{name}: {}", path.display());
        }
    }
    assert!(total < 300 * 1024, "{total} octets: `node tests/scripts/fuzz.mjs --minimize`");
}
