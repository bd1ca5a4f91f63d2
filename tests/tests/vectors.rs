//! Edgeseal's own vectors: the committed files are what the generator writes now, and core, as a library, judges every line as it
//! says. The generator shares no code with core.

mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use edgeseal_core::{
    Algorithm, ErrorCode, JwkSet, Policy, SignatureBackend as _, UnverifiedToken, Verifier,
    backend::{
        p256::{GeneratorTable, PreparedKey},
        rustcrypto::RustCrypto,
    },
    jwk::KeyMaterial,
};
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
    names.extend(["README.md".to_owned(), "divergences.json".to_owned()]);
    // Requests, with judges of their own: tests/tests/dpop.rs, core/tests/gateway.rs, tests/e2e/gateway.test.mjs.
    names.insert("gateway".to_owned());
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

/// The tables that serve hot keys, on every ES256 signature that any vector brings before a backend.
#[test]
fn tables_of_hot_keys_agree_with_the_reference() {
    let generator = GeneratorTable::new();
    let policy = Policy::builder().issuer("i").audience("a").algorithms([Algorithm::Es256]).build();
    let verifier = Verifier::new(policy);
    let mut tables = BTreeMap::new();
    let mut compared = (0, 0);
    for line in own_lines().into_iter().chain(vectors::mutated::lines(500, "tables")) {
        let Body::Token { token, jwks, .. } = &line.body else { continue };
        let (Ok(token), Ok(keys)) = (UnverifiedToken::parse(token), JwkSet::from_json(jwks)) else { continue };
        let Ok(pending) = verifier.begin(token, &keys) else { continue };
        let input = pending.input();
        let KeyMaterial::Ec { sec1, .. } = input.key().public_key().material() else { panic!("an ES256 key") };
        let prepared = tables.entry(sec1.to_vec()).or_insert_with(|| PreparedKey::new(&generator, sec1).unwrap());
        let by_table = prepared.verify_input(input).is_ok();
        let by_reference = RustCrypto.verify(input).is_ok();
        assert_eq!(by_table, by_reference, "{}: {}", line.id, line.why);
        if by_reference { compared.0 += 1 } else { compared.1 += 1 }
    }
    assert!(compared.0 > 400 && compared.1 > 20, "only {compared:?} valid and invalid signatures");
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

/// The tables of `tests/vectors/README.md`: every default and every attack is shown by something that exists, and every vector shows
/// something.
#[test]
fn every_rule_has_its_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = own_lines();
    let mut unused: BTreeSet<&str> = lines.iter().map(|line| line.id.as_str()).collect();
    let mut named = BTreeSet::new();
    let readme = read("tests/vectors/README.md");
    for row in rows(&readme) {
        let (name, shown_by) = row.split_once(" | ").unwrap();
        let shown: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!shown.is_empty(), "nothing shows: {name}");
        for one in shown {
            if let Some((file, text)) = one.split_once(": ") {
                assert!(read(file).contains(text), "{name}: {file} has nothing called {text:?}");
                continue;
            }
            let ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).filter(|id| matches(one, id)).collect();
            assert!(!ids.is_empty(), "{name}: there is no vector {one}");
            unused.retain(|id| !ids.contains(id));
        }
        assert!(named.insert(name.to_owned()), "{name} is there twice");
    }
    for row in rows(&read("core/src/manual/defaults.md")) {
        let (name, _) = row.split_once(" | ").unwrap();
        assert!(named.contains(name), "the default {name:?} is in no row of tests/vectors/README.md");
    }
    let attacks: Vec<usize> = named.iter().filter_map(|name| name.split(' ').next()?.parse().ok()).collect();
    assert_eq!(BTreeSet::from_iter(attacks), (1..=30).collect(), "attacks");
    assert!(unused.is_empty(), "vectors that are in no row: {unused:?}");
}

/// The rows of the tables of a text, without their outer bars and without heads.
fn rows(text: &str) -> impl Iterator<Item = &str> {
    let all: Vec<&str> = text.lines().collect();
    let is_head = move |index: usize| all.get(index + 1).is_some_and(|next| next.starts_with("|---"));
    text.lines().enumerate().filter_map(move |(index, line)| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        (!is_head(index)).then_some(row)
    })
}

/// Whether `pattern`, in which `*` stands for anything, is the whole of `id`.
fn matches(pattern: &str, id: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == id,
        Some((start, rest)) => id.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).any(|skipped| tail.is_char_boundary(skipped) && matches(rest, &tail[skipped..]))
        }),
    }
}
