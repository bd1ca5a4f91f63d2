//! Fetches discovery documents and JWK Sets: no redirect, no credentials, a limit in time, and one in size that is counted
//! while the body streams in, after decompression.

use std::{pin::pin, time::Duration};

use edgeseal_core::http::max_age;
use futures_channel::oneshot;
use futures_util::{
    StreamExt as _,
    future::{Either, select},
};
use worker::{
    AbortController, AbortSignal, Context, Delay, Env, Fetch as Outbound, Headers, Request, RequestInit, RequestRedirect,
    ResponseBody,
};

use super::{gateway::now, layers::Layers, log};
use crate::verify::{Answer, FETCH_BUDGET_MILLIS, FETCH_TIMEOUT_MILLIS, Fetch, Fetched, MAX_DOCUMENT_LEN, TokenVerifier};

/// A response that came whole.
struct Document {
    status: u16,
    body: Vec<u8>,
    max_age: Option<u64>,
    etag: Option<String>,
}

/// Has keys: from a layer that isolates share, where that has newer ones that are fresh, else from the issuer. What was fetched goes to
/// the layers.
pub(super) async fn fetch_and_share(fetch: Fetch, env: Env) {
    let (keys, layers) = (fetch.shared(), Layers::of(&env));
    if have(fetch, &layers).await {
        layers.store(&keys).await;
    }
}

/// As [`fetch_and_share`], and goes on when the request that needed the keys is gone: others may be waiting for them.
pub(super) async fn fetch_beyond_request(fetch: Fetch, env: &Env, context: &Context) {
    let (done, finished) = oneshot::channel();
    let env = env.clone();
    context.wait_until(async move {
        let (keys, layers) = (fetch.shared(), Layers::of(&env));
        let is_new = have(fetch, &layers).await;
        // The request goes on before the layers are written. Nobody may be listening any more.
        let _ = done.send(());
        if is_new {
            layers.store(&keys).await;
        }
    });
    let _ = finished.await;
}

/// Whether the keys that are there now are new to the layers.
async fn have(first: Fetch, layers: &Layers<'_>) -> bool {
    let deadline = now().plus_millis(FETCH_BUDGET_MILLIS);
    if layers.spare(&first).await {
        return false;
    }
    let mut next = Some(first);
    while let Some(fetch) = next.take() {
        let within = deadline.millis_since(now()).min(FETCH_TIMEOUT_MILLIS);
        let outcome = match get_within(&fetch, within).await {
            Ok(Document { status, body, max_age, etag }) => {
                let answer = Answer { status, body: &body, max_age, etag };
                TokenVerifier::on_response(fetch, answer, now())
            }
            Err(reason) => TokenVerifier::on_failure(fetch, &reason, now()),
        };
        match outcome {
            Fetched::Keys => return true,
            Fetched::Next(document) => next = Some(document),
            Fetched::Failed(reason) => log::error("keys_not_fetched", &[("reason", &reason)]),
        }
    }
    false
}

async fn get_within(fetch: &Fetch, millis: u64) -> Result<Document, String> {
    let controller = AbortController::default();
    let signal = controller.signal();
    let get = pin!(get(fetch, &signal));
    let outcome = match select(get, Delay::from(Duration::from_millis(millis))).await {
        Either::Left((document, _)) => document,
        Either::Right(((), _)) => Err(format!("no answer within {millis} ms")),
    };
    // What is not read to its end would go on holding one of the few connections that an invocation has.
    if !matches!(outcome, Ok(Document { status: 200, .. })) {
        controller.abort();
    }
    outcome
}

async fn get(fetch: &Fetch, signal: &AbortSignal) -> Result<Document, String> {
    let text = |error: worker::Error| error.to_string();
    let headers = Headers::new();
    headers.set("accept", "application/jwk-set+json, application/json").map_err(text)?;
    if let Some(etag) = fetch.if_none_match() {
        headers.set("if-none-match", etag).map_err(text)?;
    }
    let mut init = RequestInit::new();
    init.with_headers(headers).with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(fetch.url(), &init).map_err(text)?;
    let mut response = Outbound::Request(request).send_with_signal(signal).await.map_err(text)?;

    let status = response.status_code();
    let field = |name: &str| response.headers().get(name).map_err(text);
    let age = field("age")?.and_then(|age| age.parse().ok()).unwrap_or_default();
    let max_age = field("cache-control")?.and_then(|cache_control| max_age(&cache_control, age));
    let etag = field("etag")?;
    let mut body = Vec::new();
    if status == 200 && !matches!(response.body(), ResponseBody::Empty) {
        let mut stream = response.stream().map_err(text)?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(text)?;
            if body.len() + chunk.len() > MAX_DOCUMENT_LEN {
                return Err(format!("more than {MAX_DOCUMENT_LEN} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(Document { status, body, max_age, etag })
}
