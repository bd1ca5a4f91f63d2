//! Converts the shared vectors into corpus lines: `convert-vectors DIR > corpus.jsonl`. Counts go to standard error.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use edgeseal_tests::{corpus::to_jsonl, shared};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [directory] = arguments.as_slice() else {
        eprintln!("usage: convert-vectors DIR > corpus.jsonl");
        return ExitCode::from(2);
    };
    match convert(Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("convert-vectors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn convert(directory: &Path) -> Result<(), String> {
    let mut total = 0;
    for converted in shared::convert(directory)? {
        total += converted.lines.len();
        eprint!("{}: {} lines", converted.source, converted.lines.len());
        for (count, reason) in converted.left_out {
            eprint!(", {count} tests left out ({reason})");
        }
        eprintln!();
        io::stdout().write_all(&to_jsonl(&converted.lines)).map_err(|error| format!("standard output: {error}"))?;
    }
    eprintln!("total: {total} lines");
    Ok(())
}
