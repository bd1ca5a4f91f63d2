//! Writes Edgeseal's own vectors.
//!
//! - `generate-vectors DIR`: the files of `tests/vectors/` (DIR defaults to that folder)
//! - `generate-vectors --large FILE`: the lines that are too large to be kept
//! - `generate-vectors --mutated COUNT SEED FILE`: lines changed at random, which the hosts must judge alike
//! - `generate-vectors --primes`: the primes of the RSA keys, to standard output

use std::{env, fs, io, path::Path, process::ExitCode};

use edgeseal_tests::{
    corpus::{Line, to_jsonl},
    keys::{PRIME_NAMES, find_prime},
    vectors,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = match arguments.as_slice() {
        ["--primes"] => {
            for name in PRIME_NAMES {
                println!("{name} {:x}", find_prime(name));
            }
            Ok(())
        }
        ["--large", file] => write(Path::new(file), vectors::LARGE),
        ["--mutated", count, seed, file] => match count.parse() {
            Ok(count) => write_lines(Path::new(file), &vectors::mutated::lines(count, seed)),
            Err(error) => Err(io::Error::other(format!("COUNT {count}: {error}"))),
        },
        [] => all(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors"))),
        [directory] if !directory.starts_with('-') => all(Path::new(directory)),
        _ => {
            eprintln!("usage: generate-vectors [DIR] | --large FILE | --mutated COUNT SEED FILE | --primes");
            return ExitCode::from(2);
        }
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate-vectors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for file in vectors::FILES {
        write(&directory.join(format!("{}.jsonl", file.0)), file)?;
    }
    fs::write(directory.join(vectors::dpop::FILE), vectors::dpop::to_jsonl())
}

fn write(path: &Path, file: vectors::File) -> io::Result<()> {
    write_lines(path, &vectors::lines_of(file))
}

fn write_lines(path: &Path, lines: &[Line]) -> io::Result<()> {
    eprintln!("{}: {} vectors", path.display(), lines.len());
    fs::write(path, to_jsonl(lines))
}
