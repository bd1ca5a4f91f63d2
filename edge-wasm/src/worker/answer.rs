//! The Worker's own answers.

use edgeseal_core::http::{self, Refusal};
use worker::{Headers, Response, ResponseBuilder, Result};

/// A refusal, with no more than its code (RFC 6750 section 3, RFC 9457).
pub(super) fn refusal(refusal: &Refusal) -> Result<Response> {
    let headers = headers("application/problem+json")?;
    if let Some(challenge) = refusal.challenge() {
        headers.set("www-authenticate", &challenge)?;
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.set("retry-after", &seconds.to_string())?;
    }
    Ok(text(refusal.status(), headers, &refusal.problem()))
}

/// A problem of the gateway itself.
pub(super) fn problem(title: &'static str, status: u16, code: &'static str) -> Result<Response> {
    Ok(text(status, headers("application/problem+json")?, &http::problem(title, status, code)))
}

/// JSON text.
pub(super) fn json(status: u16, body: &str) -> Result<Response> {
    Ok(text(status, headers("application/json")?, body))
}

/// A status and nothing else, when not even a header can be set.
pub(super) fn bare(status: u16) -> Response {
    ResponseBuilder::new().with_status(status).empty()
}

fn headers(content_type: &str) -> Result<Headers> {
    let headers = Headers::new();
    headers.set("content-type", content_type)?;
    headers.set("cache-control", "no-store")?;
    Ok(headers)
}

fn text(status: u16, headers: Headers, body: &str) -> Response {
    ResponseBuilder::new().with_status(status).with_headers(headers).fixed(body.into())
}
