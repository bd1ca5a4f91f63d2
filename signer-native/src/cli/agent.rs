//! `edgeseal agent`: the daemon beside an application, and how it gets its certificate.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use edgeseal_core::Timestamp;
use hyper::Method;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ConfigArguments, block_on, output, read_input};
use crate::{
    agent::{
        AgentConfig,
        local::Daemon,
        renewal::{fresh, identity},
    },
    agents::Invitation,
    client,
    config::Override,
    error::{Failure, FailureKind},
    files::{Readers, Unfinished},
    http::tls,
    keys::{Moment, now},
    service::told_to_end,
};

/// Octets of an answer: some certificates.
const MAX_ANSWER: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigArguments,
    /// The Unix socket for applications (agent.socket)
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get a certificate with a one-time code, which is read from standard input: command lines are visible to everybody
    Enroll(Enroll),
}

#[derive(Debug, Args)]
struct Enroll {
    #[arg(long, value_name = "URL", help = "The public listener of the signer, such as https://signer.example.com:8443")]
    url: String,
    /// Where agent.pem and ca.crt go; made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// A file that holds the code [default: standard input]
    #[arg(long, value_name = "FILE", default_value = "-", hide_default_value = true)]
    code_file: PathBuf,
    /// Replace agent.pem and ca.crt, whosever they are: an agent's key stands in agent.pem alone
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if let Some(Command::Enroll(arguments)) = &arguments.command {
        return enroll(arguments);
    }
    let flags = arguments.socket.as_deref().map(|path| Override::path("agent.socket", path));
    let settings = arguments.config.settings(flags.into_iter().collect())?;
    super::log(settings.log());
    block_on(serve(settings.daemon()?))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: AgentConfig) -> Result<(), Failure> {
    let stop = told_to_end()?;
    let socket = config.socket.display().to_string();
    let daemon = Daemon::open(config).await?;
    tracing::info!(socket, loopback = daemon.loopback_address().map(tracing::field::display), "serving");
    daemon.serve(stop).await;
    Ok(())
}

fn enroll(arguments: &Enroll) -> Result<ExitCode, Failure> {
    let Enroll { url, out, code_file, replace } = arguments;
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) && code_file.as_os_str() == "-" {
        output::note("The one-time code:");
    }
    let code = read_code(code_file)?;
    let invitation = Invitation::parse(&code).ok_or_else(|| {
        Failure::new(FailureKind::Usage, "this is no one-time code; edgeseal agents invite prints one, all on one line")
    })?;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(out);
    made.map_err(|error| Failure::new(FailureKind::System, format!("--out {} cannot be made: {error}", out.display())))?;
    let [identity_file, ca_file] = ["agent.pem", "ca.crt"].map(|name| out.join(name));
    if !replace {
        check_free(&identity_file, &ca_file)?;
    }
    // A code is good once: what can fail on this machine fails before it is used.
    let begun = (reserve(&identity_file, Readers::Owner)?, reserve(&ca_file, Readers::AsBefore)?);
    let (key, request) = fresh()?;
    let tls = Arc::new(tls::pinned_client(*invitation.fingerprint())?);
    let resource = format!("{}/v1/agents/enroll", url.trim_end_matches('/'));
    let body = Zeroizing::new(json!({ "code": invitation.secret(), "csr": request }).to_string());
    let answer = client::request(Method::POST, &resource, None, Some(body.to_string()), Some(tls), MAX_ANSWER, TIMEOUT);
    let answer = block_on(answer)?;
    let parsed: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let member = |name: &str| parsed.get(name).and_then(Value::as_str);
    if !answer.status.is_success() {
        let Some((code, detail)) = member("code").zip(member("detail")) else {
            let sentence = format!("{resource} answered {} and no problem document; is it a signer?", answer.status);
            return Err(Failure::new(FailureKind::Remote, sentence));
        };
        let kind = if answer.status.is_server_error() { FailureKind::Remote } else { FailureKind::Refused };
        return Err(Failure::new(kind, format!("{code}: {detail}")));
    }
    let (Some(agent), Some(certificate), Some(until)) = (member("agent"), member("certificate"), member("not_after")) else {
        return Err(Failure::new(FailureKind::Remote, format!("{resource} answered without a certificate; is it a signer?")));
    };
    fill(begun.0, identity(certificate, &key).as_bytes()).map_err(|error| unwritable(&identity_file, &error))?;
    let ca = member("signer_ca");
    if let Some(pem) = ca {
        fill(begun.1, pem.as_bytes()).map_err(|error| unwritable(&ca_file, &error))?;
    }
    output::note(format_args!("enrolled as {agent}, until {until}; edgeseal agent renews it. Its settings:"));
    output::line("[agent]");
    output::line("socket = \"/run/edgeseal/agent.sock\"");
    let signers = parsed.get("signers").filter(|signers| signers.as_array().is_some_and(|signers| !signers.is_empty()));
    output::line(format_args!("signers = {}", signers.unwrap_or(&json!(["https://SIGNER:8444"]))));
    if ca.is_some() {
        output::line(format_args!("ca = {}", quoted(&ca_file)));
    }
    output::line(format_args!("certificate = {}", quoted(&identity_file)));
    output::line(format_args!("key = {}", quoted(&identity_file)));
    Ok(ExitCode::SUCCESS)
}

/// Whose the code is, its answer says, when it is used up: so nobody's good certificate is replaced unasked, nor an authority that is
/// not known to be an agent's. What has ended is of no use to anybody.
fn check_free(identity: &Path, ca: &Path) -> Result<(), Failure> {
    let refused = |path: &Path, what: &str| {
        let sentence = format!("{} is there already, {what}; set another --out, or --replace to lose it", path.display());
        Err(Failure::new(FailureKind::Usage, sentence))
    };
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    match (is_there(identity), is_there(ca)) {
        (true, _) => {
            let certificate = CertificateDer::from_pem_file(identity).ok();
            let certificate = certificate.as_ref().and_then(|found| Some((tls::agent_name(found)?, tls::not_after(found)?)));
            match certificate {
                Some((_, end)) if end <= now().as_secs() => Ok(()),
                Some((name, end)) => {
                    let end = Moment(Timestamp::from_secs(end));
                    refused(identity, &format!("the certificate and the key of agent {name} until {end}"))
                }
                None => refused(identity, "and no certificate of an agent"),
            }
        }
        (false, true) => refused(ca, "without an agent.pem beside it"),
        (false, false) => Ok(()),
    }
}

/// Begins a file, with the room on the disk that its content may take.
fn reserve(path: &Path, readers: Readers) -> Result<Unfinished, Failure> {
    let begun = Unfinished::begin(path, readers).and_then(|begun| {
        begun.file().write_all(&vec![b'\n'; MAX_ANSWER])?;
        Ok(begun)
    });
    begun.map_err(|error| unwritable(path, &error))
}

fn fill(begun: Unfinished, content: &[u8]) -> io::Result<()> {
    begun.file().write_all_at(content, 0)?;
    begun.file().set_len(u64::try_from(content.len()).map_err(io::Error::other)?)?;
    begun.finish()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display()))
}

fn quoted(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    toml::Value::String(path.display().to_string()).to_string()
}

/// One line; what stands behind it is not waited for.
fn read_code(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    if file.as_os_str() == "-" {
        let read = std::io::stdin().read_line(&mut line);
        read.map_err(|error| Failure::new(FailureKind::System, format!("standard input cannot be read: {error}")))?;
        return Ok(line);
    }
    let content = Zeroizing::new(read_input(file)?);
    let text = std::str::from_utf8(&content).unwrap_or_default();
    line.push_str(text.lines().next().unwrap_or_default());
    Ok(line)
}
