//! The Worker's own answers.

use edgeseal_core::http::{self, Refusal};
use worker::{Headers, ResponseBuilder, Result, web_sys::Response};

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
#[expect(clippy::unnecessary_wraps, reason = "as every answer to an event is")]
pub(super) fn problem(title: &'static str, status: u16, code: &'static str) -> Result<Response> {
    Ok(problem_with(title, status, code, &[]))
}

/// A problem of the gateway itself, for a script to read.
pub(super) fn problem_with(title: &'static str, status: u16, code: &'static str, more: &More) -> Response {
    problem_text(status, &http::problem(title, status, code), more)
}

/// JSON text.
pub(super) fn json(status: u16, body: &str) -> Result<Response> {
    text(status, "application/json", body, &[])
}

fn problem_text(status: u16, body: &str, more: &[(&str, String)]) -> Response {
    // When not even a header can be set: a status and nothing else.
    text(status, "application/problem+json", body, more)
        .unwrap_or_else(|_| ResponseBuilder::new().with_status(status).empty().into())
}

fn text(status: u16, content_type: &str, body: &str, more: &[(&str, String)]) -> Result<Response> {
    let headers = Headers::new();
    headers.set("content-type", content_type)?;
    headers.set("cache-control", "no-store")?;
    for (name, value) in more {
        // A name may come twice: challenges do.
        headers.append(name, value)?;
    }
    Ok(ResponseBuilder::new().with_status(status).with_headers(headers).fixed(body.into()).into())
}
