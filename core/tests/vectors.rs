//! The committed vectors through core alone, so that mutants of core meet them without building the generator.
//! `tests/tests/vectors.rs` judges more: the large vectors, and that the files are what the generator writes.

#[path = "../../tests/tests/judge/mod.rs"]
mod judge;

use std::{borrow::Cow, fs, path::Path};

/// What a line expects; the rest is the judge's.
#[derive(serde::Deserialize)]
struct Vector<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    expect: &'a str,
    code: Option<&'a str>,
    #[serde(borrow)]
    why: Cow<'a, str>,
}

#[test]
fn core_judges_every_committed_vector_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut judged = 0;
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        // How a line that is none is read is the hosts' affair.
        if path.extension().is_none_or(|ending| ending != "jsonl") || path.file_stem().is_some_and(|name| name == "lines") {
            continue;
        }
        for line in fs::read(&path).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            judged += 1;
            let Vector { id, expect, code: expected, why } = serde_json::from_slice(line).unwrap();
            let code = judge::judge(line);
            let as_expected = match (expect, expected) {
                ("accept", _) => code.is_none(),
                ("reject", Some(expected)) => code.as_deref() == Some(expected),
                ("reject", None) => code.is_some(),
                _ => true,
            };
            assert!(as_expected, "{id}: {code:?}, expected {expect} {expected:?}: {why}");
        }
    }
    assert!(judged >= 400, "only {judged} vectors");
}
