//! What happens to a request that may pass.

use edgeseal_core::{
    VerifiedToken,
    gateway::{Origin, Outbound, routes::Matched},
};
use worker::{
    Env, js_sys,
    wasm_bindgen::JsCast,
    web_sys::{Request, Response},
};

use super::{
    answer,
    bound::{call, call_on, text},
    pipeline::Flow,
};

/// Forwards the request, with the claims of its token where there is one, streaming in both directions; or answers with the
/// claims where there is no origin.
///
/// # Errors
/// Why the origin did not answer.
pub(super) async fn forward(flow: &Flow<'_>, matched: &Matched, token: Option<&VerifiedToken>) -> Result<Response, String> {
    let Flow { gateway, request, url, head, env, .. } = flow;
    let Some(origin) = &gateway.origin else { return echo(token) };
    let headers = request.headers();
    let names: Vec<String> = headers.keys().into_iter().filter_map(|name| name.ok()?.as_string()).collect();
    let Outbound { remove, set, target } = gateway.rules.outbound(matched, head, names.iter().map(String::as_str), token);
    let base = match origin {
        Origin::Url(origin) => origin.as_str(),
        Origin::Service(_) => &url[..url.len() - head.target.len()],
    };
    // As a `RequestInit`, a request brings its method, headers, body stream and redirect mode (manual) along.
    let outbound = Request::new_with_str_and_init(&format!("{base}{target}"), request.unchecked_ref()).map_err(text)?;
    let headers = outbound.headers();
    for name in remove {
        headers.delete(&name).map_err(text)?;
    }
    for (name, value) in set {
        headers.set(&name, &value).map_err(text)?;
    }
    match origin {
        // The runtime's `fetch`, its response untouched: what the origin sent compressed, or as a WebSocket, stays so.
        Origin::Url(_) => call_on(&js_sys::global(), "fetch", &[outbound.into()]).await.map(JsCast::unchecked_into),
        Origin::Service(name) => fetch_bound(env, name, &outbound).await,
    }
}

/// Asks a service or the assets bound under this name.
///
/// # Errors
/// When nothing is bound under it, or it does not answer.
pub(super) async fn fetch_bound(env: &Env, name: &str, request: &Request) -> Result<Response, String> {
    call(env, name, "fetch", &[request.into()]).await.map(JsCast::unchecked_into)
}

fn echo(token: Option<&VerifiedToken>) -> Result<Response, String> {
    let body = match token {
        // Both texts are JSON that core has read to the end.
        Some(token) => format!(r#"{{"ok":true,"header":{},"claims":{}}}"#, token.header_json(), token.claims_json()),
        None => r#"{"ok":true}"#.into(),
    };
    answer::json(200, &body).map_err(|error| error.to_string())
}
