//! `edgeseal token`: ask a signer for a token as an agent does, and for a fresh one in its place; look into a token without believing it.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use edgeseal_core::{UnverifiedToken, json};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{ConfigArguments, block_on, output, read_input};
use crate::{
    client,
    config::{ClientConfig, Override},
    error::{Failure, FailureKind},
    http::tls,
};

/// Octets of an answer: a token, and room for JSON around it.
const MAX_ANSWER: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask a signer for a token, with an agent's certificate over mutual TLS
    Issue(Box<Issue>),
    /// Ask the signer for a fresh token in place of one that the same agent got and that still lives
    Renew(Box<Renew>),
    /// Show what a token says. Nothing in it is verified
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(super) struct Issue {
    /// The profile
    #[arg(long, default_value = "default")]
    profile: String,
    /// A claim whose value is a string; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// Claims as a JSON object
    #[arg(long, value_name = "JSON")]
    claims_json: Option<String>,
    /// Who may accept the token; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// How long the token lives, such as 10m
    #[arg(long, value_name = "SPAN")]
    ttl: Option<String>,
    #[command(flatten)]
    signer: Signer,
}

#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The token so far, or - for standard input
    #[arg(allow_hyphen_values = true)]
    token: String,
    /// Who may accept the new token: one or more of those of the token so far; all of them by default; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// How long the new token lives, such as 10m
    #[arg(long, value_name = "SPAN")]
    ttl: Option<String>,
    #[command(flatten)]
    signer: Signer,
}

/// Which signer is asked, and as whom.
#[derive(Debug, Args)]
struct Signer {
    /// Print the signer's whole answer as JSON
    #[arg(long)]
    json: bool,
    /// The agents' listener of the signer (client.url)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The authority of the signer's certificate, PEM (client.ca) [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The agent's certificate, PEM (client.certificate)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key, PEM (client.key)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The token, or - for standard input
    token: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Issue(arguments) => issue(arguments),
        Command::Renew(arguments) => renew(arguments),
        Command::Inspect(arguments) => inspect(arguments),
    }
}

fn issue(arguments: &Issue) -> Result<ExitCode, Failure> {
    ask(&arguments.signer, "/v1/tokens", &request_of(arguments)?, None)
}

/// The signer sees the signed part alone: an SD-JWT's disclosures stay here, and fit the renewed token as well.
fn renew(arguments: &Renew) -> Result<ExitCode, Failure> {
    let token = token_text(&arguments.token)?;
    let (signed, disclosures) = token.split_once('~').map_or((token.as_str(), None), |(signed, rest)| (signed, Some(rest)));
    let mut request = json!({ "token": signed });
    narrow(&mut request, &arguments.audience, arguments.ttl.as_deref());
    ask(&arguments.signer, "/v1/tokens/renew", &request, disclosures)
}

/// Asks the signer for a token, and prints it with these disclosures.
fn ask(signer: &Signer, path: &str, request: &Value, disclosures: Option<&str>) -> Result<ExitCode, Failure> {
    let client = client_of(signer)?;
    let body = request.to_string();
    let ca = client.ca.as_deref().map(|path| ("client.ca (--ca)", path));
    let identity = tls::Identity {
        certificate: ("client.certificate (--cert)", &client.certificate),
        key: ("client.key (--key)", &client.key),
    };
    let tls = Arc::new(tls::client(ca, Some(identity))?);
    let url = format!("{}{path}", client.url.trim_end_matches('/'));
    let answer = block_on(client::request(Method::POST, &url, None, Some(body), Some(tls), MAX_ANSWER, TIMEOUT))?;
    let mut parsed: Option<Value> = serde_json::from_str(&answer.body).ok();
    if let Some(disclosures) = disclosures
        && let Some(Value::String(token)) = parsed.as_mut().and_then(|answer| answer.get_mut("token"))
    {
        token.push('~');
        token.push_str(disclosures);
    }
    let member = |name: &str| parsed.as_ref().and_then(|value| value.get(name)).and_then(Value::as_str);
    if answer.status.is_success() {
        let Some(token) = member("token") else {
            return Err(Failure::new(FailureKind::Remote, format!("{url} answered without a token; is it a signer?")));
        };
        match (&parsed, signer.json) {
            (Some(whole), true) => output::json(whole),
            _ => output::line(token),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some((code, detail)) = member("code").zip(member("detail")) else {
        return Err(Failure::new(
            FailureKind::Remote,
            format!("{url} answered {} and no problem document; is it a signer?", answer.status),
        ));
    };
    let kind = if answer.status.is_server_error() { FailureKind::Remote } else { FailureKind::Refused };
    Err(Failure::new(kind, format!("{code}: {detail}")))
}

/// From flags alone when they say all, so that an application's machine needs no configuration file. The authority may stand there,
/// or in the environment, though they say the rest.
fn client_of(signer: &Signer) -> Result<ClientConfig, Failure> {
    let Signer { url, ca, cert, key, config, json: _ } = signer;
    if let (Some(url), Some(ca), Some(certificate), Some(key), None, None) = (url, ca, cert, key, &config.config, &config.dir) {
        return Ok(ClientConfig { url: url.clone(), ca: Some(ca.clone()), certificate: certificate.clone(), key: key.clone() });
    }
    let mut flags: Vec<Override> = Vec::new();
    flags.extend(url.as_ref().map(|url| Override::text("client.url", url)));
    for (setting, value) in [("client.ca", ca), ("client.certificate", cert), ("client.key", key)] {
        flags.extend(value.as_deref().map(|path| Override::path(setting, path)));
    }
    config.settings(flags)?.client()
}

fn request_of(arguments: &Issue) -> Result<Value, Failure> {
    let usage = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    let mut claims = match &arguments.claims_json {
        Some(text) => json::parse_object(text.as_bytes()).map_err(|error| usage(format!("--claims-json: {error}")))?.1,
        None => Map::new(),
    };
    for claim in &arguments.claims {
        let (name, value) =
            claim.split_once('=').ok_or_else(|| usage(format!("--claim {claim:?} has no =; write NAME=VALUE")))?;
        if claims.insert(name.to_owned(), value.into()).is_some() {
            return Err(usage(format!("claim {name} is given twice")));
        }
    }
    let mut request = json!({ "profile": arguments.profile, "claims": claims });
    narrow(&mut request, &arguments.audience, arguments.ttl.as_deref());
    Ok(request)
}

/// For whom a token is to be, and how long: what is not said is the signer's to choose.
fn narrow(request: &mut Value, audience: &[String], ttl: Option<&str>) {
    match audience {
        [] => {}
        [one] => request["audience"] = one.as_str().into(),
        several => request["audience"] = several.into(),
    }
    if let Some(ttl) = ttl {
        request["ttl"] = ttl.into();
    }
}

fn inspect(arguments: &Inspect) -> Result<ExitCode, Failure> {
    let text = token_text(&arguments.token)?;
    let token = UnverifiedToken::parse(&text).map_err(|error| Failure::new(FailureKind::Refused, error.to_string()))?;
    // As core reads it, which goes one level deeper; a text that core refuses is shown all the same.
    let parse = |text: &str| {
        json::parse_object(text.as_bytes())
            .map(|(_, members)| Value::Object(members))
            .or_else(|_| serde_json::from_str(text))
            .ok()
    };
    let header = parse(token.header_json()).unwrap_or(Value::Null);
    let claims = token.unverified_payload().and_then(parse);
    if arguments.json {
        output::json(&json!({ "verified": false, "header": header, "claims": claims }));
        return Ok(ExitCode::SUCCESS);
    }
    output::line("not verified: anybody can write this");
    output::line(format_args!("header  {header:#}"));
    match claims {
        Some(claims) => output::line(format_args!("claims  {claims:#}")),
        None => output::line("claims  not JSON"),
    }
    Ok(ExitCode::SUCCESS)
}

/// A token from the command line, or from standard input, where nobody else sees it.
pub(super) fn token_text(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let text = String::from_utf8(read_input(std::path::Path::new("-"))?)
        .map_err(|_| Failure::new(FailureKind::Refused, "token_malformed: standard input is not text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
