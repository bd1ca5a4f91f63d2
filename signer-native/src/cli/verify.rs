//! `edgeseal verify`: a token against a policy, or a corpus of lines.

mod corpus;

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use edgeseal_core::{
    Algorithm, JwkSet, KeyBinding, PolicyError, SdJwtSettings, SignatureBackend, SignatureInvalid, SignatureValid, Timestamp,
    UnverifiedToken, Verifier, VerifyError,
    backend::SignatureInput,
    discovery::{Discovery, MAX_DISCOVERY_LEN, check_fetch_url},
    json,
    jwk_set::MAX_JWKS_LEN,
    policy::{DangerousSettings, IssuerSettings, OneOrMany},
};
use hyper::Method;
use serde_json::{Value, json};

use super::{block_on, output, read_input, refused, token::token_text};
use crate::{
    backend::{Choice, Native},
    client,
    error::{Failure, FailureKind},
    http::tls,
    issue::Lifetime,
    keys::now,
};

/// As every host: three seconds for a JWK Set or a discovery document.
const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub(super) struct Arguments {
    /// The token, or - for standard input
    #[arg(required_unless_present = "jsonl", conflicts_with = "jsonl")]
    token: Option<String>,
    /// The issuer, exactly as iss says it; its discovery document finds the keys unless --jwks does
    #[arg(long, value_name = "URL", required_unless_present_any = ["jsonl", "dangerous_skip_issuer"])]
    issuer: Option<String>,
    /// The audience that means you; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE", required_unless_present_any = ["jsonl", "dangerous_skip_audience"])]
    audience: Vec<String>,
    /// An algorithm that you accept; may be repeated
    #[arg(long = "alg", value_name = "ALG", required_unless_present = "jsonl")]
    algorithms: Vec<Algorithm>,
    /// The JWK Set: a file or a URL
    #[arg(long, value_name = "FILE|URL")]
    jwks: Option<String>,
    /// The authority of the server's certificate, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The typ that the header must have, such as at+jwt
    #[arg(long)]
    typ: Option<String>,
    /// Clock difference to forgive [default: 60s]
    #[arg(long, value_name = "SPAN")]
    leeway: Option<Lifetime>,
    /// The longest lifetime (exp - iat)
    #[arg(long, value_name = "SPAN")]
    max_lifetime: Option<Lifetime>,
    /// The greatest age (now - iat)
    #[arg(long, value_name = "SPAN")]
    max_age: Option<Lifetime>,
    /// A claim that must be there; may be repeated
    #[arg(long = "require", value_name = "CLAIM")]
    required_claims: Vec<String>,
    /// The key itself must have an exp that has not come, and the token may not outlive it
    #[arg(long)]
    require_key_exp: bool,
    /// Take presentations of SD-JWTs (RFC 9901): with key binding always, or where the token is bound to a key
    #[arg(long, value_name = "KEY-BINDING", value_enum)]
    sd_jwt: Option<KeyBindingArgument>,
    /// With --sd-jwt: the nonce that the holder was given for the key-binding JWT
    #[arg(long, requires = "sd_jwt", allow_hyphen_values = true)]
    nonce: Option<String>,
    /// Seconds since 1970 instead of this machine's clock
    #[arg(long, value_name = "SECONDS")]
    now: Option<u64>,
    /// Accept any issuer
    #[arg(long, conflicts_with = "issuer")]
    dangerous_skip_issuer: bool,
    /// Accept tokens that were made for somebody else
    #[arg(long, conflicts_with = "audience")]
    dangerous_skip_audience: bool,
    /// Accept key binding without a nonce: a presentation can be replayed
    #[arg(long, requires = "sd_jwt", conflicts_with = "nonce")]
    dangerous_skip_nonce: bool,
    /// Who does the arithmetic; auto is aws-lc-rs, and with --jsonl tables for ES256 keys that come again and again
    #[arg(long, value_name = "NAME", default_value = Choice::Auto.name(), value_parser = backend_parser())]
    backend: Choice,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read corpus lines from standard input and write a verdict for each
    #[arg(long)]
    jsonl: bool,
    /// With --jsonl: add to each verdict its milliseconds, and the backend if it came to a signature
    #[arg(long, requires = "jsonl")]
    timing: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyBindingArgument {
    Required,
    WhereBound,
}

impl From<KeyBindingArgument> for KeyBinding {
    fn from(argument: KeyBindingArgument) -> Self {
        match argument {
            KeyBindingArgument::Required => Self::Required,
            KeyBindingArgument::WhereBound => Self::WhereBound,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.jsonl {
        return corpus::run(arguments.backend, arguments.timing);
    }
    let token = token_text(arguments.token.as_deref().unwrap_or("-"))?;
    let judge = Verifier::new(settings(arguments).policy().map_err(|error| usage(&error))?);
    let read = || {
        let token = UnverifiedToken::parse(&token)?;
        Ok(arguments.nonce.iter().fold(token, UnverifiedToken::with_nonce))
    };
    // Nothing is fetched for a token that no key could make good.
    if let Err(error) = read().and_then(|token| judge.admit(&token).map(drop)) {
        return Ok(reject(arguments, &error, None));
    }
    let keys = match keys(arguments) {
        Ok(keys) => keys,
        Err(NoKeys::Verdict(error)) => return Ok(reject(arguments, &error, None)),
        Err(NoKeys::Failure(failure)) => return Err(failure),
    };
    let moment = arguments.now.map_or_else(now, Timestamp::from_secs);
    let native = Native::new(arguments.backend);
    let backend = Witness::new(&native);
    let began = Instant::now();
    let outcome = read().and_then(|token| judge.verify_with(&backend, token, &keys, moment));
    let elapsed = began.elapsed();
    let verified = match outcome {
        Ok(verified) => verified,
        Err(error) => return Ok(reject(arguments, &error, backend.answered())),
    };
    // As core read it: serde_json by itself takes one level less.
    let parse = |text: &str| json::parse_object(text.as_bytes()).map_or(Value::Null, |(_, members)| Value::Object(members));
    let (header, claims) = (parse(verified.header_json()), parse(verified.claims_json()));
    if arguments.json {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        output::json(&json!({
            "verdict": "accept",
            "header": header,
            "claims": claims,
            "disclosed": verified.disclosed(),
            "backend": backend.answered(),
            "elapsed_us": micros,
        }));
    } else {
        let name = |member: &str| header.get(member).and_then(Value::as_str).unwrap_or("-").to_owned();
        let (micros, by) = (elapsed.as_micros(), backend.answered().unwrap_or("-"));
        output::line(format_args!("✓ accepted  {} {}  in {micros} µs ({by})", name("alg"), output::short(&name("kid"))));
        if !verified.disclosed().is_empty() {
            output::line(format_args!("  disclosed {}", verified.disclosed().join(" ")));
        }
        if let Some(holder) = verified.holder_key() {
            output::line(format_args!("  presented by the holder of {}", holder.thumbprint()));
        }
        output::line(format_args!("{claims:#}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A backend that remembers which of its parts answered.
struct Witness<'backend> {
    backend: &'backend Native,
    answered: Cell<Option<&'static str>>,
}

impl<'backend> Witness<'backend> {
    fn new(backend: &'backend Native) -> Self {
        Self { backend, answered: Cell::new(None) }
    }

    /// Who verified the last signature.
    fn answered(&self) -> Option<&'static str> {
        self.answered.get()
    }
}

impl SignatureBackend for Witness<'_> {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn verify(&self, input: &SignatureInput) -> Result<SignatureValid, SignatureInvalid> {
        let (name, answer) = self.backend.verify_by(input);
        self.answered.set(Some(name));
        answer
    }
}

fn backend_parser() -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(Choice::ALL.map(Choice::name))
        .map(|name| Choice::ALL.into_iter().find(|choice| choice.name() == name).unwrap_or_default())
}

/// `backend` is who verified a signature, if it came to that.
fn reject(arguments: &Arguments, error: &VerifyError, backend: Option<&str>) -> ExitCode {
    if arguments.json {
        output::json(&json!({
            "verdict": "reject",
            "code": error.code().as_str(),
            "check": error.check().as_str(),
            "detail": error.detail(),
            "backend": backend,
        }));
    } else {
        output::line(format_args!("✗ {error}"));
    }
    refused()
}

fn settings(arguments: &Arguments) -> IssuerSettings {
    IssuerSettings {
        issuer: arguments.issuer.clone(),
        audience: (!arguments.audience.is_empty()).then(|| OneOrMany::Many(arguments.audience.clone())),
        algorithms: arguments.algorithms.clone(),
        typ: arguments.typ.clone(),
        leeway: arguments.leeway.map(Lifetime::as_secs),
        max_lifetime: arguments.max_lifetime.map(Lifetime::as_secs),
        max_age: arguments.max_age.map(Lifetime::as_secs),
        required_claims: arguments.required_claims.clone(),
        require_key_exp: arguments.require_key_exp,
        sd_jwt: arguments.sd_jwt.map(|mode| SdJwtSettings::new(mode.into())),
        dangerous: Some(DangerousSettings {
            skip_issuer: arguments.dangerous_skip_issuer,
            skip_audience: arguments.dangerous_skip_audience,
            skip_nonce: arguments.dangerous_skip_nonce,
            ..DangerousSettings::default()
        }),
        ..IssuerSettings::default()
    }
}

enum NoKeys {
    Verdict(VerifyError),
    Failure(Failure),
}

impl From<VerifyError> for NoKeys {
    fn from(error: VerifyError) -> Self {
        Self::Verdict(error)
    }
}

impl From<Failure> for NoKeys {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// From a file, from a URL, or from where the issuer's discovery document says.
fn keys(arguments: &Arguments) -> Result<JwkSet, NoKeys> {
    let text = match (&arguments.jwks, &arguments.issuer) {
        (Some(place), _) if !place.starts_with("https://") && !place.starts_with("http://") => {
            String::from_utf8(read_input(Path::new(place))?)
                .map_err(|_| Failure::new(FailureKind::Usage, format!("--jwks {place} is not UTF-8")))?
        }
        (Some(url), _) => return Ok(fetch_keys(url, "--jwks", arguments.ca.as_deref())?),
        (None, Some(issuer)) => {
            let url = Discovery::url(issuer);
            let document = fetch(&url, "--issuer", MAX_DISCOVERY_LEN, arguments.ca.as_deref())?;
            let discovery = Discovery::from_json(&document, issuer).map_err(|error| nonsense(&url, &error))?;
            return Ok(fetch_keys(&discovery.jwks_uri, "--issuer", arguments.ca.as_deref())?);
        }
        (None, None) => {
            return Err(
                Failure::new(FailureKind::Usage, "--jwks is missing; without --issuer nothing says where the keys are").into()
            );
        }
    };
    Ok(JwkSet::from_json(&text)?)
}

fn fetch_keys(url: &str, flag: &str, ca: Option<&Path>) -> Result<JwkSet, Failure> {
    JwkSet::from_json(&fetch(url, flag, MAX_JWKS_LEN, ca)?).map_err(|error| nonsense(url, &error))
}

/// Of the other side, and not of the token.
fn nonsense(url: &str, error: &VerifyError) -> Failure {
    Failure::new(FailureKind::Remote, format!("{url} answered what cannot be used: {error}"))
}

fn fetch(url: &str, flag: &str, most: usize, ca: Option<&Path>) -> Result<String, Failure> {
    check_fetch_url(url).map_err(|problem| Failure::new(FailureKind::Usage, format!("{flag} {url}: {problem}")))?;
    let tls = if url.starts_with("https://") { Some(Arc::new(tls::client(ca.map(|path| ("--ca", path)), None)?)) } else { None };
    let answer = block_on(client::request(Method::GET, url, None, None, tls, most, TIMEOUT))?;
    if answer.status == hyper::StatusCode::OK {
        return Ok(answer.body);
    }
    Err(Failure::new(
        FailureKind::Remote,
        format!("{url} answered {}; keys come with 200 only, redirects are not followed", answer.status),
    ))
}

fn usage(error: &PolicyError) -> Failure {
    Failure::new(FailureKind::Usage, error.to_string())
}
