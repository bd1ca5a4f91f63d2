//! The Worker's own answers.

use edgeseal_core::http::{self, Refusal};
use worker::{js_sys::JsString, web_sys::Response};

use super::host;

/// Headers beside those of every answer.
pub(super) type More = [(&'static str, String)];

/// A refusal, with no more than its code (RFC 6750 section 3, RFC 9457).
pub(super) fn refusal(refusal: &Refusal, more: &More) -> Response {
    let challenge = refusal.challenge().map(|challenge| ("www-authenticate", challenge));
    let retry_after = refusal.retry_after().map(|seconds| ("retry-after", seconds.to_string()));
    let more: Vec<(&str, String)> = challenge.into_iter().chain(retry_after).chain(more.iter().cloned()).collect();
    problem_text(refusal.status(), &refusal.problem(), &more)
}

/// A problem of the gateway itself.
pub(super) fn problem(title: &'static str, status: u16, code: &'static str) -> Response {
    problem_with(title, status, code, &[])
}

/// A problem of the gateway itself, for a script to read.
pub(super) fn problem_with(title: &'static str, status: u16, code: &'static str, more: &More) -> Response {
    problem_text(status, &http::problem(title, status, code), more)
}

/// JSON text, with status 200.
pub(super) fn json(body: &str) -> Response {
    host::json(body)
}

fn problem_text(status: u16, body: &str, more: &[(&str, String)]) -> Response {
    let more = more.iter().flat_map(|(name, value)| [JsString::from(*name), value.as_str().into()]).collect();
    host::answer(status, "application/problem+json", body, more)
}
