//! `edgeseal edge`: the gateway's configuration, checked and explained by the same code that the Worker runs.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use edgeseal_core::gateway::{
    ConfigurationText, GatewaySettings, Origin, RequestHead, Rules, SCHEMA,
    routes::{Access, RouteSettings},
};
use serde_json::{Value, json};

use super::{output, read_input};
use crate::error::{Failure, FailureKind};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what the Worker will say of a configuration, and what it comes to
    Check(Check),
    /// Say which access a request gets
    Explain(Explain),
    /// Print the JSON Schema of the configuration
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    configuration: Configuration,
    /// The method
    method: String,
    /// Path and query, as they stand in the request
    target: String,
}

#[derive(Debug, Args)]
struct Configuration {
    /// wrangler.toml, wrangler.json, or the JSON of EDGESEAL alone; - for standard input
    #[arg(value_name = "CONFIG")]
    file: PathBuf,
    /// The environment of wrangler.toml; without it every one that has an EDGESEAL
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check(Check { configuration, json }) => check(configuration, *json),
        Command::Explain(explain_arguments) => explain(explain_arguments),
        Command::Schema => {
            output::line(SCHEMA.trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A configuration, and the bindings that stand beside it.
struct Found {
    /// Where it stands: `[vars.EDGESEAL]`.
    place: String,
    /// EDGESEAL itself: an object, or text.
    value: Value,
    /// What else wrangler is told there; `None` for a configuration alone.
    beside: Option<Value>,
}

fn check(configuration: &Configuration, as_json: bool) -> Result<ExitCode, Failure> {
    let file = configuration.file.display();
    let mut first_failure = None;
    let mut report = Vec::new();
    for found in configuration.find()? {
        let outcome = judge(&found);
        report.push(json!({ "place": found.place, "ok": outcome.is_ok(), "error": outcome.as_ref().err() }));
        match outcome {
            Ok(lines) if !as_json => {
                output::line(format_args!("  ✓ {file} {}", found.place));
                for line in &lines {
                    output::line(format_args!("    {line}"));
                }
            }
            Ok(_) => {}
            Err(error) => {
                if !as_json {
                    output::line(format_args!("  ✗ {file} {}", found.place));
                }
                first_failure.get_or_insert(error);
            }
        }
    }
    if as_json {
        output::json(&json!({ "ok": first_failure.is_none(), "configurations": report }));
    }
    match first_failure {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(Failure::new(FailureKind::Configuration, error)),
    }
}

/// The whole judgement, in lines for people; the error is the Worker's own sentence.
fn judge(found: &Found) -> Result<Vec<String>, String> {
    let text = match &found.value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match ConfigurationText::parse(&text).map_err(|error| error.to_string())? {
        ConfigurationText::Kv { binding, key } => {
            found.needs("kv_namespaces", "binding", binding, "EDGESEAL")?;
            Ok(vec![format!("the document {key} of the KV namespace {binding}: check that file itself")])
        }
        ConfigurationText::Here(text) => {
            let settings = GatewaySettings::from_json(text).map_err(|error| error.to_string())?;
            found.check_bindings(&settings)?;
            Ok(summary(&settings))
        }
    }
}

fn explain(arguments: &Explain) -> Result<ExitCode, Failure> {
    let Explain { configuration, method, target } = arguments;
    let invalid = |error: String| Failure::new(FailureKind::Configuration, error);
    for found in configuration.find()? {
        let text = match &found.value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let settings = GatewaySettings::from_json(&text).map_err(|error| invalid(error.to_string()))?;
        let rules = Rules::new(&settings).map_err(|error| invalid(error.to_string()))?;
        let head = RequestHead { method, target, headers: &|_| None };
        let told = match rules.locate(&head) {
            Err(refusal) => format!("{} {}: {}", refusal.status(), refusal.code(), refusal.detail()),
            Ok(matched) if matched.routes.is_empty() => "required: no route matches".to_owned(),
            Ok(matched) => {
                let of: Vec<String> = matched
                    .routes
                    .iter()
                    .filter_map(|index| settings.routes.get(*index).map(|route| format!("routes[{index}] {}", route_line(route))))
                    .collect();
                format!("{}: {}", access_name(matched.access), of.join("; "))
            }
        };
        output::line(format_args!("  {method} {target}  {told}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(settings: &GatewaySettings) -> Vec<String> {
    let mut lines = Vec::new();
    let origin = settings.origin.as_deref().unwrap_or("none: verified requests are answered with their claims (echo)");
    lines.push(format!("origin   {origin}"));
    for issuer in &settings.issuers {
        let name = issuer.settings.issuer.as_deref().unwrap_or("(any issuer)");
        let algorithms: Vec<String> = issuer.settings.algorithms.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "issuer   {name}  {}  scopes in {}, roles in {}",
            algorithms.join(" "),
            issuer.names.scope.as_str(),
            issuer.names.roles.as_str()
        ));
    }
    lines.extend(settings.routes.iter().map(|route| format!("route    {}", route_line(route))));
    lines.push("route    all others: required".to_owned());
    lines
}

fn route_line(route: &RouteSettings) -> String {
    let methods = if route.methods.is_empty() { String::new() } else { format!("{} ", route.methods.join(",")) };
    let more = if route.require.is_empty() { "" } else { ", with requirements" };
    format!("{methods}{}: {}{more}", route.patterns.join(" "), access_name(route.access))
}

fn access_name(access: Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::Optional => "optional",
        Access::Required => "required",
    }
}

impl Found {
    fn check_bindings(&self, settings: &GatewaySettings) -> Result<(), String> {
        if let Ok(Some(Origin::Service(name))) = settings.origin() {
            self.needs("services", "binding", &name, "origin")?;
        }
        for (is_set, setting, name) in [
            (settings.revocation.is_some(), "revocation", "EDGESEAL_REVOCATIONS"),
            (settings.dpop.is_some(), "dpop", "EDGESEAL_REPLAYS"),
        ] {
            if is_set {
                self.needs("durable_objects.bindings", "name", name, setting)?;
            }
        }
        if let Some(rate) = &settings.rate_limit {
            self.needs("ratelimits", "name", &rate.binding, "rate_limit.binding")?;
        }
        for (index, route) in settings.routes.iter().enumerate() {
            if let Some(rate) = &route.rate_limit {
                self.needs("ratelimits", "name", &rate.binding, &format!("routes[{index}].rate_limit.binding"))?;
            }
        }
        Ok(())
    }

    /// Whether wrangler is told of a binding; nothing can be said of a configuration alone.
    fn needs(&self, table: &str, member: &str, name: &str, setting: &str) -> Result<(), String> {
        let Some(beside) = &self.beside else { return Ok(()) };
        let is_it = |entry: &Value| entry.get(member).and_then(Value::as_str) == Some(name);
        let entries = table.split('.').try_fold(beside, |of, name| of.get(name));
        if entries.and_then(Value::as_array).is_some_and(|entries| entries.iter().any(is_it)) {
            return Ok(());
        }
        Err(format!("{setting}: needs {name}, and there is no [[{table}]] with {member} = \"{name}\" beside it"))
    }
}

impl Configuration {
    fn find(&self) -> Result<Vec<Found>, Failure> {
        let Self { file, env } = self;
        let failure = |why: String| Failure::new(FailureKind::Configuration, format!("{}: {why}", file.display()));
        let text = String::from_utf8(read_input(file)?).map_err(|_| failure("is not UTF-8".to_owned()))?;
        let document = parse(file, &text).map_err(failure)?;
        if document.get("issuers").is_some() || is_alone(&document) {
            // JSON as the text that it is: comments, and members that occur twice, are refused as the Worker refuses them.
            let value = if is_toml(file) || !text.trim_start().starts_with('{') { document } else { Value::String(text) };
            return Ok(vec![Found { place: "EDGESEAL".to_owned(), value, beside: None }]);
        }
        let mut found = Vec::new();
        let mut add = |place: String, holder: &Value| {
            if let Some(value) = holder.get("vars").and_then(|vars| vars.get("EDGESEAL")) {
                found.push(Found { place, value: value.clone(), beside: Some(holder.clone()) });
            }
        };
        if env.is_none() {
            add("[vars.EDGESEAL]".to_owned(), &document);
        }
        for (name, holder) in document.get("env").and_then(Value::as_object).into_iter().flatten() {
            if env.as_ref().is_none_or(|env| env == name) {
                add(format!("[env.{name}.vars.EDGESEAL]"), holder);
            }
        }
        if found.is_empty() {
            let of = env.as_ref().map_or_else(String::new, |env| format!(" of the environment {env}"));
            return Err(failure(format!(
                "holds no vars.EDGESEAL{of}, and is no configuration of the gateway itself (it has no issuers)"
            )));
        }
        Ok(found)
    }
}

/// Whether a document without issuers is meant as the gateway's configuration all the same: wrangler's always say a name.
fn is_alone(document: &Value) -> bool {
    ["origin", "echo", "routes"].iter().any(|name| document.get(name).is_some()) && document.get("main").is_none()
}

fn parse(file: &Path, text: &str) -> Result<Value, String> {
    let as_toml = || {
        toml::from_str::<toml::Value>(text)
            .map_err(|error| error.to_string())
            .and_then(|value| serde_json::to_value(value).map_err(|error| error.to_string()))
    };
    if is_toml(file) {
        return as_toml();
    }
    match serde_json::from_str(&as_json(text)) {
        Ok(value) => Ok(value),
        Err(error) if text.trim_start().starts_with('{') => Err(format!("is no JSON: {error}")),
        Err(_) => as_toml(),
    }
}

fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// `wrangler.jsonc`: outside of strings comments become spaces, and so does a comma after the last element, as for wrangler.
fn as_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut in_string = false;
    while let Some(character) = rest.next() {
        match (character, rest.peek()) {
            ('"', _) => {
                in_string = !in_string;
                out.push('"');
            }
            ('\\', Some(_)) if in_string => {
                out.push('\\');
                out.extend(rest.next());
            }
            ('/', Some('/')) if !in_string => {
                while rest.peek().is_some_and(|next| *next != '\n') {
                    rest.next();
                }
            }
            ('/', Some('*')) if !in_string => {
                rest.next();
                let mut before = ' ';
                for next in rest.by_ref() {
                    if before == '*' && next == '/' {
                        break;
                    }
                    before = next;
                }
                out.push(' ');
            }
            (']' | '}', _) if !in_string => {
                let last = out.trim_end().strip_suffix(',').filter(|before| !before.trim_end().ends_with(['[', '{', ',']));
                if let Some(comma) = last.map(str::len) {
                    out.replace_range(comma..=comma, " ");
                }
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}
