//! What happens to a request whose token was verified.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{VerifiedToken, gateway::Origin};
use worker::{Env, Fetch, Request, Response, Result, wasm_bindgen::JsCast as _, web_sys};

use super::{answer, gateway::Gateway};
use crate::forward::{origin_url, stripped};

/// Forwards the request with the claims, streaming in both directions, or answers with the claims where there is no origin.
pub(super) async fn forward(gateway: &Gateway, request: Request, token: &VerifiedToken, env: &Env) -> Result<Response> {
    let Some(origin) = &gateway.origin else {
        // Both texts are JSON that core has read to the end.
        let (header, claims) = (token.header_json(), token.claims_json());
        return answer::json(200, &format!(r#"{{"ok":true,"header":{header},"claims":{claims}}}"#));
    };
    let inner = request.inner();
    let url = match origin {
        Origin::Url(origin) => origin_url(origin, &inner.url())?,
        Origin::Service(_) => inner.url(),
    };
    // As a `RequestInit`, a request brings its method, headers, body stream and redirect mode (manual) along.
    let outbound = web_sys::Request::new_with_str_and_init(&url, inner.unchecked_ref())?;
    let headers = outbound.headers();
    let names: Vec<String> = request.headers().keys().collect();
    let connection = request.headers().get("connection")?;
    for name in stripped(names.iter().map(String::as_str), connection.as_deref()) {
        headers.delete(name)?;
    }
    headers.set(&gateway.claims_header, &Base64UrlUnpadded::encode_string(token.claims_json().as_bytes()))?;
    let outbound = Request::from(outbound);
    match origin {
        Origin::Url(_) => Fetch::Request(outbound).send().await,
        Origin::Service(name) => env.service(name)?.fetch_request(outbound).await,
    }
}
