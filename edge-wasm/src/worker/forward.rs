//! What happens to a request that may pass.

use edgeseal_core::{
    VerifiedToken,
    gateway::{Origin, Outbound, routes::Matched},
};
use worker::{
    Env,
    wasm_bindgen::{JsCast, JsValue},
    web_sys::{Request, Response},
};

use super::{
    answer,
    bound::{bound, call, text},
    drive, host,
    pipeline::Flow,
};

/// Forwards the request, with the claims of its token where there is one, streaming in both directions; or answers with the
/// claims where there is no origin.
///
/// # Errors
/// Why the origin did not answer.
pub(super) async fn forward(flow: &Flow<'_>, matched: &Matched, token: Option<&VerifiedToken>) -> Result<Response, String> {
    let Flow { gateway, request, url, head, env, .. } = flow;
    let Some(origin) = &gateway.origin else { return Ok(echo(token)) };
    let names = host::names(request);
    let Outbound { remove, set, target } = gateway.rules.outbound(matched, head, names.lines(), token);
    let (base, service) = match origin {
        Origin::Url(origin) => (origin.as_str(), JsValue::UNDEFINED),
        Origin::Service(name) => (&url[..url.len() - head.target.len()], bound(env, name)?),
    };
    let mut changes = String::new();
    for name in remove {
        changes.extend(["-", &name, "\n"]);
    }
    for (name, value) in set {
        if value.contains('\n') {
            return Err(format!("header {name} would hold a line break"));
        }
        changes.extend(["+", &name, "\n", &value, "\n"]);
    }
    let answering = host::forward(request, &format!("{base}{target}"), &changes, &service, token.is_some()).map_err(text)?;
    drive::settled(answering).await.map(JsCast::unchecked_into).map_err(text)
}

/// Asks a service or the assets bound under this name.
///
/// # Errors
/// When nothing is bound under it, or it does not answer.
pub(super) async fn fetch_bound(env: &Env, name: &str, request: &Request) -> Result<Response, String> {
    call(env, name, "fetch", &[request.into()]).await.map(JsCast::unchecked_into)
}

fn echo(token: Option<&VerifiedToken>) -> Response {
    match token {
        // Both texts are JSON that core has read to the end.
        Some(token) => {
            answer::json(&[r#"{"ok":true,"header":"#, token.header_json(), r#","claims":"#, token.claims_json(), "}"].concat())
        }
        None => answer::json(r#"{"ok":true}"#),
    }
}
