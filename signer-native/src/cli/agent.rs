//! `edgeseal agent`: the daemon beside an application, and how it gets its certificate.

use std::{fs, os::unix::fs::DirBuilderExt as _, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ConfigArguments, block_on, output, read_input};
use crate::{
    agent::{
        AgentConfig,
        local::Daemon,
        renewal::{fresh, write_identity},
    },
    agents::Invitation,
    client,
    config::Override,
    error::{Failure, FailureKind},
    http::tls,
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
    let Enroll { url, out, code_file } = arguments;
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) && code_file.as_os_str() == "-" {
        output::note("The one-time code:");
    }
    let code = read_code(code_file)?;
    let invitation = Invitation::parse(&code).ok_or_else(|| {
        Failure::new(FailureKind::Usage, "this is no one-time code; edgeseal agents invite prints one, all on one line")
    })?;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(out);
    made.map_err(|error| Failure::new(FailureKind::System, format!("--out {} cannot be made: {error}", out.display())))?;
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
    let identity = out.join("agent.pem");
    write_identity(&identity, certificate, &key)?;
    let ca = member("signer_ca").map(|pem| {
        let path = out.join("ca.crt");
        let written = fs::write(&path, pem);
        written.map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display())))?;
        Ok::<_, Failure>(path)
    });
    let ca = ca.transpose()?;
    output::note(format_args!("enrolled as {agent}, until {until}; edgeseal agent renews it. Its settings:"));
    output::line("[agent]");
    output::line("socket = \"/run/edgeseal/agent.sock\"");
    let signers = parsed.get("signers").filter(|signers| signers.as_array().is_some_and(|signers| !signers.is_empty()));
    output::line(format_args!("signers = {}", signers.unwrap_or(&json!(["https://SIGNER:8444"]))));
    if let Some(ca) = ca {
        output::line(format_args!("ca = {}", quoted(&ca)));
    }
    output::line(format_args!("certificate = {}", quoted(&identity)));
    output::line(format_args!("key = {}", quoted(&identity)));
    Ok(ExitCode::SUCCESS)
}

fn quoted(path: &std::path::Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    toml::Value::String(path.display().to_string()).to_string()
}

/// One line; what stands behind it is not waited for.
fn read_code(file: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
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
