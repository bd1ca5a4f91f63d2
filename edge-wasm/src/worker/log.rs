//! Structured logs: one JSON object a line, so that a log's own search finds a code, a route or an issuer. Never a token.

use edgeseal_core::json::Members;
use worker::{console_error, console_log, console_warn};

/// What came to pass.
pub(super) fn info(event: &str, members: &[(&str, &str)]) {
    console_log!("{}", line("info", event, members));
}

/// A request that was refused, or a fault that is being lived with.
pub(super) fn warn(event: &str, members: &[(&str, &str)]) {
    console_warn!("{}", line("warn", event, members));
}

/// A fault of the gateway's side.
pub(super) fn error(event: &str, members: &[(&str, &str)]) {
    console_error!("{}", line("error", event, members));
}

fn line(level: &str, event: &str, members: &[(&str, &str)]) -> String {
    let line = Members::new().with("level", level).with("event", event);
    members.iter().fold(line, |line, (name, value)| line.with(name, *value)).end()
}
