//! `edgeseal audit`: export the log, verify an export anywhere, find the row of a token.

use std::{
    fs,
    io::{self, BufRead, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use clap::{Args, Subcommand};
use edgeseal_core::{Algorithm, UnverifiedToken};
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, existing_store, output, read_input, refused};
use crate::{
    audit::{
        Keeper,
        chain::Row,
        export::{self, ExportError, Line},
        ledger, token_digest,
        verify::{Expectation, Report, Tail, VerifyError, verify},
    },
    error::{Failure, FailureKind},
    files::{Readers, Unfinished},
    issue::catalog,
    keys::{Actor, Ledger, Registry},
    service::open_hsm,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify an export: every row, every chain, every checkpoint; needs neither signer nor store
    Verify(Verify),
    /// Find the row of a token, by the token or by its hash
    Find(Find),
    /// Write the whole log as lines of JSON, ending with a fresh checkpoint
    Export(Export),
    /// What ISMS-P 2.7.2 and CSAP 12.3.2 ask for each key: owner, purpose, generation, storage, distribution, validity,
    /// recovery, destruction
    Ledger(KeyLedger),
}

#[derive(Debug, Args)]
pub(super) struct KeyLedger {
    /// Where to write it; standard output when absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// CSV instead of JSON
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The export, or - for standard input
    file: PathBuf,
    /// A checkpoint that was kept elsewhere: proves that nothing before it was cut off
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The kid of the audit key, noted elsewhere, once for each that there was: no other key may have signed checkpoints
    #[arg(long = "kid", value_name = "KID", allow_hyphen_values = true)]
    kids: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Find {
    /// The token, or - for standard input
    #[arg(long, allow_hyphen_values = true, required_unless_present = "digest")]
    token: Option<String>,
    /// Its hash instead, as hex or base64url: of all before the last dot, by the hash function of its algorithm
    #[arg(long, allow_hyphen_values = true, conflicts_with = "token", value_name = "HASH")]
    digest: Option<String>,
    /// Look into this export instead of the store
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where to write it; standard output when absent
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the last checkpoint, to be kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Verify(arguments) => verify_export(arguments),
        Command::Find(arguments) => find(arguments),
        Command::Export(arguments) => export_log(arguments),
        Command::Ledger(arguments) => key_ledger(arguments),
    }
}

fn verify_export(arguments: &Verify) -> Result<ExitCode, Failure> {
    let checkpoint = arguments.checkpoint.as_deref().map(text).transpose()?;
    let expected = Expectation { checkpoint, kids: arguments.kids.clone() };
    let report = match verify(open(&arguments.file)?, &expected) {
        Ok(report) => report,
        Err(VerifyError::Io(error)) => {
            return Err(Failure::new(FailureKind::System, format!("{} cannot be read: {error}", arguments.file.display())));
        }
        Err(VerifyError::Flaw(flaw)) => {
            if arguments.json {
                output::json(&json!({ "valid": false, "line": flaw.line, "row": flaw.row, "reason": flaw.reason }));
            } else {
                output::line(format_args!("✗ {flaw}"));
            }
            return Ok(refused());
        }
    };
    if arguments.json {
        let Report { rows, chains, checkpoints, kids, last_checkpoint, unproved, tail } = &report;
        output::json(&json!({
            "valid": true, "rows": rows, "chains": chains, "checkpoints": checkpoints, "kids": kids,
            "last_checkpoint": last_checkpoint, "rows_after_last_checkpoint": unproved, "tail_proved": *tail != Tail::NotProved,
        }));
    } else {
        output::line(sentence(&report));
    }
    Ok(ExitCode::SUCCESS)
}

fn sentence(report: &Report) -> String {
    let Report { rows, chains, checkpoints, kids, last_checkpoint, unproved, tail } = report;
    // Every process that wrote has begun one of its own, and checkpoints bind them together.
    let whole =
        if *chains == 1 { "chain whole".to_owned() } else { format!("chain whole ({} processes)", grouped(*chains as u64)) };
    let keys: Vec<String> = kids.iter().map(|kid| output::short(kid)).collect();
    let signed = match last_checkpoint {
        Some(at) => format!("{} checkpoints signed by key {}, last {at}", grouped(*checkpoints), keys.join(" and ")),
        None => "no checkpoint".to_owned(),
    };
    let later = if *unproved == 0 { String::new() } else { format!(", {} rows after it", grouped(*unproved)) };
    let tail = match tail {
        Tail::NotProved => "tail not proved (compare with a checkpoint kept elsewhere: --checkpoint FILE)".to_owned(),
        Tail::Proved { later: 0 } => "ends with the checkpoint kept elsewhere".to_owned(),
        Tail::Proved { later } => format!("holds the checkpoint kept elsewhere and {} later ones", grouped(*later)),
    };
    format!("{} rows, {whole}, {signed}{later}; {tail}", grouped(*rows))
}

fn find(arguments: &Find) -> Result<ExitCode, Failure> {
    let digests = wanted(arguments)?;
    let found = match &arguments.export {
        Some(file) => in_export(file, &digests)?,
        None => in_store(&arguments.config, &digests)?,
    };
    if arguments.json {
        let rows: Result<Vec<Value>, _> = found.iter().map(|row| serde_json::from_str(row)).collect();
        output::json(&rows.map(Value::Array).unwrap_or_default());
    } else if found.is_empty() {
        output::line("not ours: no signature with this digest");
    }
    if found.is_empty() {
        return Ok(refused());
    }
    if !arguments.json {
        for body in &found {
            output::line(row_sentence(body)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A hash as rows hold it, from base64url or from what `sha256sum` prints. No hash of these lengths is both: sixty-four
/// characters of base64url with none above `f` do not come by chance.
fn digest_of(text: &str) -> Result<String, Failure> {
    let is_hex = [64, 96, 128].contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    if is_hex {
        let octets = (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
        return Ok(Base64UrlUnpadded::encode_string(&octets.collect::<Vec<_>>()));
    }
    let is_base64url = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
    if is_base64url && [43, 64, 86].contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let detail = "--digest is the hash of what was signed (the token up to its last dot): 32, 48 or 64 octets as hex, \
                  or as base64url without padding";
    Err(Failure::new(FailureKind::Usage, detail))
}

/// The digests that the row may have.
fn wanted(arguments: &Find) -> Result<Vec<String>, Failure> {
    if let Some(digest) = &arguments.digest {
        return digest_of(digest).map(|digest| vec![digest]);
    }
    let token = arguments.token.as_deref().unwrap_or("-");
    let token = if token == "-" { text(Path::new("-"))? } else { token.to_owned() };
    let token = token.trim();
    // An SD-JWT's signature is over its first part; the disclosures are the holder's affair.
    let compact = token.split('~').next().unwrap_or_default();
    let parsed = UnverifiedToken::parse(compact)
        .map_err(|error| Failure::new(FailureKind::Refused, format!("--token is no token: {error}")))?;
    let algorithm = Algorithm::from_name(parsed.header().algorithm());
    let signing_input = compact.rsplit_once('.').map_or(compact, |(input, _)| input).as_bytes();
    // A token of another algorithm is none of ours.
    Ok(algorithm.map(|algorithm| token_digest(algorithm, signing_input)).into_iter().collect())
}

/// `row 401 220, agent demo-app, profile default, mode claims, 2026-11-22T09:41:07.123Z, of chain …`
fn row_sentence(body: &str) -> Result<String, Failure> {
    let row =
        Row::read("", body).map_err(|reason| Failure::new(FailureKind::Store, format!("a row of the audit log: {reason}")))?;
    let detail = |name: &str| row.detail(name).and_then(Value::as_str);
    let mut parts = vec![format!("row {}", grouped(row.seq())), row.text("actor").replacen(':', " ", 1)];
    for name in ["profile", "mode", "jti"] {
        parts.extend(detail(name).map(|value| format!("{name} {value}")));
    }
    parts.push(row.text("at").to_owned());
    parts.push(format!("of chain {}", row.chain()));
    Ok(parts.join(", "))
}

fn in_store(config: &ConfigArguments, digests: &[String]) -> Result<Vec<String>, Failure> {
    let settings = config.load(Vec::new())?;
    block_on(async {
        let store = existing_store(&settings).await?;
        let mut found = Vec::new();
        for digest in digests {
            found.extend(store.audit_by_digest(digest).await?.into_iter().map(|row| row.body));
        }
        Ok(found)
    })
}

fn in_export(file: &Path, digests: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for line in open(file)?.lines() {
        let line =
            line.map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be read: {error}", file.display())))?;
        // Lines of which nothing can be made are for `audit verify` to complain about.
        let Ok(Line::Row { hash, body }) = Line::parse(&line) else { continue };
        let Ok(row) = Row::read(hash, body) else { continue };
        if digests.iter().any(|digest| digest == row.text("digest")) {
            found.push(body.to_owned());
        }
    }
    Ok(found)
}

fn export_log(arguments: &Export) -> Result<ExitCode, Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let mut out = Out::begin(arguments.out.as_deref(), "the export")?;
    let last = block_on(async {
        let store = existing_store(&settings).await?;
        let ledger = Ledger::new(store.clone(), settings.timing()?, Vec::new());
        ledger.record(&Actor::local(), "audit.export", "", "{}").await?;
        let registry = Arc::new(Registry::new(ledger, open_hsm(settings.hsm()?).await?));
        let keeper = Keeper::new(store.clone(), registry);
        let (end, keys) = keeper.conclude().await?;
        export::write(&store, &keys, end, &mut out.to).await.map_err(|error| match error {
            ExportError::Store(error) => error.into(),
            ExportError::Io(error) => Failure::new(FailureKind::System, format!("the export cannot be written: {error}")),
            ExportError::Corrupt(reason) => Failure::new(FailureKind::Store, format!("a checkpoint in the store: {reason}")),
        })
    })?;
    out.end()?;
    if let (Some(path), Some(document)) = (&arguments.checkpoint, last) {
        write_out(Some(path), "the checkpoint", &format!("{document}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn key_ledger(arguments: &KeyLedger) -> Result<ExitCode, Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let entries = block_on(async {
        let store = existing_store(&settings).await?;
        // Profiles of the store too, whose keys rotate as well.
        let slots = catalog::slots(&settings.profile_settings(), &settings.surroundings()?, &store).await?;
        let ledger = Ledger::new(store, settings.timing()?, slots).with_issuers(settings.issuers()?);
        // The HSM is opened, not only named: the ledger says where keys are.
        let hsm = open_hsm(settings.hsm()?).await?.description();
        ledger.record(&Actor::local(), "audit.ledger", "", "{}").await?;
        Ok(ledger::compile(&ledger, &hsm).await?)
    })?;
    let text = if arguments.csv { ledger::csv(&entries) } else { format!("{}\n", json!({ "keys": entries })) };
    write_out(arguments.out.as_deref(), "the ledger", &text)?;
    Ok(ExitCode::SUCCESS)
}

fn write_out(path: Option<&Path>, what: &'static str, text: &str) -> Result<(), Failure> {
    let mut out = Out::begin(path, what)?;
    let written = out.to.write_all(text.as_bytes());
    written.map_err(|error| Failure::new(FailureKind::System, format!("{what} cannot be written: {error}")))?;
    out.end()
}

/// What is written for somebody to keep. A file has its name when it is whole: what fails on the way leaves the one of before.
struct Out {
    what: &'static str,
    to: BufWriter<Box<dyn io::Write + Send>>,
    file: Option<Unfinished>,
}

impl Out {
    /// Into this file, or to standard output.
    fn begin(path: Option<&Path>, what: &'static str) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self { what, to: BufWriter::new(Box::new(io::stdout())), file: None });
        };
        if fs::metadata(path).is_ok_and(|before| !before.is_file()) {
            // A pipe or a device is no file that could be replaced.
            let file = fs::OpenOptions::new().write(true).open(path).map_err(|error| unwritable(path, &error))?;
            return Ok(Self { what, to: BufWriter::new(Box::new(file)), file: None });
        }
        let begun = || {
            let unfinished = Unfinished::begin(path, Readers::AsBefore)?;
            Ok((unfinished.file().try_clone()?, unfinished))
        };
        let (to, unfinished) = begun().map_err(|error| unwritable(path, &error))?;
        Ok(Self { what, to: BufWriter::new(Box::new(to)), file: Some(unfinished) })
    }

    /// All is written: now it has its name.
    fn end(mut self) -> Result<(), Failure> {
        let what = self.what;
        let failed = |error: io::Error| Failure::new(FailureKind::System, format!("{what} cannot be written: {error}"));
        self.to.flush().map_err(failed)?;
        self.file.map_or(Ok(()), Unfinished::finish).map_err(failed)
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display()))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = fs::File::open(path);
    let file = file.map_err(|error| Failure::new(FailureKind::Usage, format!("{} cannot be read: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_input(path)?).map_err(|_| Failure::new(FailureKind::Usage, format!("{} is no text", path.display())))
}

/// Thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (412_083, "412 083"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
