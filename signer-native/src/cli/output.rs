//! Standard output and error, for people and for programs. A reader that goes away is no failure.

use std::{
    fmt,
    io::{self, Write as _},
    sync::OnceLock,
};

use crate::error::{Failure, FailureKind};

/// Why something is not on standard output that should be there: a command goes on to its end, and then says so.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// One line on standard output.
pub(super) fn line(text: impl fmt::Display) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // The first one counts.
        let _ = LOST.set(error);
    }
}

/// What becomes of the process when something is lost that it said.
pub(super) fn lost() -> Option<Failure> {
    let error = LOST.get()?;
    Some(Failure::new(FailureKind::System, format!("standard output cannot be written, and what stood there is lost: {error}")))
}

/// A remark for people, on standard error: standard output stays what a program wants.
pub(super) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A JSON value on standard output, on one line.
pub(super) fn json(value: &serde_json::Value) {
    line(value);
}

/// How a command ended that did not end well.
pub(super) fn failure(failure: &Failure) {
    let _ = writeln!(io::stderr().lock(), "edgeseal: {failure}");
}

/// A table with columns as wide as they must be.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head.get(column).map_or(0, |cell| cell.chars().count())]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(format_args!("  {}", padded.join("  ").trim_end()));
    };
    print(head.to_vec());
    for row in rows {
        print(row.iter().map(String::as_str).collect());
    }
}

/// A `kid` as people tell keys apart.
pub(super) fn short(kid: &str) -> String {
    let count = kid.chars().count();
    if count <= 12 {
        return kid.to_owned();
    }
    let head: String = kid.chars().take(6).collect();
    let tail: String = kid.chars().skip(count - 2).collect();
    format!("{head}…{tail}")
}
