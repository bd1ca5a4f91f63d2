//! Edgeseal's own vectors: the committed files are what the generator writes now, and core, as a library, judges every line as it
//! says. The generator shares no code with core.

mod judge;

use std::{collections::BTreeSet, fs, path::Path};

use edgeseal_core::ErrorCode;
use edgeseal_tests::{
    corpus::{Body, Expect, Line, to_jsonl},
    vectors,
};

#[test]
fn committed_files_are_what_the_generator_writes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut names = BTreeSet::new();
    for file in vectors::FILES {
        let name = format!("{}.jsonl", file.0);
        let committed = fs::read(directory.join(&name)).unwrap_or_else(|error| panic!("tests/vectors/{name}: {error}"));
        let generated = to_jsonl(&vectors::lines_of(file));
        assert!(
            committed == generated,
            "tests/vectors/{name} is not what generate-vectors writes: run `cargo run -p edgeseal-tests` and look at the difference"
        );
        assert!(committed.len() < 1 << 20, "tests/vectors/{name} is larger than 1 MiB");
        names.insert(name);
    }
    let present: BTreeSet<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(present, names, "files in tests/vectors");
}

fn own_lines() -> Vec<Line> {
    vectors::FILES.into_iter().chain([vectors::LARGE]).flat_map(vectors::lines_of).collect()
}

#[test]
fn core_judges_every_vector_as_it_says() {
    let lines = own_lines();
    assert!(lines.len() >= 400, "only {} vectors", lines.len());
    // How a line that is none is read is the hosts' affair.
    let wrong: Vec<String> = lines.iter().filter(|line| !matches!(line.body, Body::Raw(_))).filter_map(difference).collect();
    assert!(wrong.is_empty(), "{} of {} vectors are judged otherwise:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    println!("{} vectors", lines.len());
}

fn difference(line: &Line) -> Option<String> {
    let judged = judge::judge(&line.to_bytes());
    let as_expected = match line.expect {
        Expect::Accept => judged.is_none(),
        Expect::Reject(None) => judged.is_some(),
        Expect::Reject(Some(code)) => judged.as_deref() == Some(code),
        Expect::Any => true,
    };
    (!as_expected).then(|| format!("{}: {judged:?}, expected {:?} ({})", line.id, line.expect, line.why))
}

#[test]
fn ids_are_unique_and_every_code_of_a_verdict_occurs() {
    let lines = own_lines();
    let ids: BTreeSet<&str> = lines.iter().map(|line| line.id.as_str()).collect();
    assert_eq!(ids.len(), lines.len(), "two vectors have one id");
    let codes: BTreeSet<&str> =
        lines.iter().filter_map(|line| if let Expect::Reject(code) = line.expect { code } else { None }).collect();
    let all: BTreeSet<&str> = ErrorCode::ALL
        .iter()
        .map(|code| code.as_str())
        // The keys of a corpus line are always at hand.
        .filter(|code| *code != "jwks_unavailable")
        .chain(["policy_invalid", "line_malformed"])
        .collect();
    assert_eq!(codes, all, "codes that vectors expect, and codes that there are");
    assert!(lines.iter().all(|line| !line.why.is_empty() && !line.group.is_empty()));
}
