//! The layers of key sets that isolates share: the Cache API of the place where a request is served, then Workers KV, where a namespace
//! is bound. An isolate's own memory stands before them, the issuer's endpoint behind them.
//!
//! What a layer holds is validated like a response when it is read (core's snapshots), and is as old as it is: nothing becomes fresher
//! by being passed on. A layer that fails is as good as empty.

use std::{future::Future, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use worker::{Cache, Delay, Env, Headers, ResponseBuilder, js_sys};

use super::{
    bound::{call, is_bound},
    gateway::now,
    log,
};
use crate::verify::{Fetch, SharedKeys};

/// The binding of the KV namespace; without it there is one layer less.
const BINDING: &str = "EDGESEAL_KEYS";
/// No host resolves under this name (RFC 2606 section 2): what is cached under it can be had by this Worker's code alone, never by a request.
const CACHE_HOST: &str = "https://edgeseal.invalid/";
/// Under this name, in both layers; another version of the document gets another.
const PREFIX: &str = "jwks/v1/";
/// Milliseconds that a layer may take while a request waits: asking the endpoint takes about as long.
const PATIENCE_MILLIS: u64 = 400;
/// And while none does: KV takes its time to write.
const STORE_PATIENCE_MILLIS: u64 = 5_000;
/// Octets of a name in KV.
const MAX_KEY_LEN: usize = 512;
/// The shortest time that KV keeps a value, in seconds.
const KV_MIN_SECS: u64 = 60;

/// The layers of this Worker.
pub(super) struct Layers<'a> {
    env: &'a Env,
    has_namespace: bool,
}

impl<'a> Layers<'a> {
    pub(super) fn of(env: &'a Env) -> Self {
        Self { env, has_namespace: is_bound(env, BINDING) }
    }

    /// Takes a set that another isolate fetched in the place of this fetch; `true` when the fetch is no longer needed. A forced fetch is
    /// for what no layer can know.
    pub(super) async fn spare(&self, fetch: &Fetch) -> bool {
        if fetch.is_forced() {
            return false;
        }
        let Some(name) = name_of(fetch.issuer()) else { return false };
        if let Some(text) = within(PATIENCE_MILLIS, from_cache(&name)).await
            && restored(fetch, &text, "cache")
        {
            return true;
        }
        if !self.has_namespace {
            return false;
        }
        let get = async { call(self.env, BINDING, "get", &[name.as_str().into()]).await.ok()?.as_string() };
        match within(PATIENCE_MILLIS, get).await {
            Some(text) if restored(fetch, &text, "kv") => {
                let keys = fetch.shared();
                if let Some((text, seconds)) = keys.snapshot(now()) {
                    to_cache(&name, text, seconds, PATIENCE_MILLIS).await;
                }
                true
            }
            _ => false,
        }
    }

    /// Gives a set that was fetched to other isolates: every layer is overwritten.
    pub(super) async fn store(&self, keys: &SharedKeys) {
        let (Some(name), Some((text, seconds))) = (name_of(keys.issuer()), keys.snapshot(now())) else { return };
        if self.has_namespace {
            let options = format!(r#"{{"expirationTtl":{}}}"#, seconds.max(KV_MIN_SECS));
            let put = async {
                let options = js_sys::JSON::parse(&options).ok()?;
                call(self.env, BINDING, "put", &[name.as_str().into(), text.as_str().into(), options]).await.ok()
            };
            if within(STORE_PATIENCE_MILLIS, put).await.is_none() {
                log::error("keys_not_stored", &[("layer", "kv")]);
            }
        }
        to_cache(&name, text, seconds, STORE_PATIENCE_MILLIS).await;
    }
}

fn restored(fetch: &Fetch, text: &str, layer: &'static str) -> bool {
    // What is not taken is as often as not simply no newer.
    fetch.restore(text, layer, now()).unwrap_or_default()
}

async fn from_cache(name: &str) -> Option<String> {
    let mut response = Cache::default().get(format!("{CACHE_HOST}{name}"), false).await.ok()??;
    response.text().await.ok()
}

async fn to_cache(name: &str, text: String, seconds: u64, patience: u64) {
    let put = async {
        let headers = Headers::new();
        headers.set("content-type", "application/json").ok()?;
        headers.set("cache-control", &format!("max-age={seconds}")).ok()?;
        let response = ResponseBuilder::new().with_headers(headers).fixed(text.into_bytes());
        Cache::default().put(format!("{CACHE_HOST}{name}"), response).await.ok()
    };
    if within(patience, put).await.is_none() {
        log::error("keys_not_stored", &[("layer", "cache")]);
    }
}

async fn within<T>(millis: u64, layer: impl Future<Output = Option<T>>) -> Option<T> {
    match select(pin!(layer), Delay::from(Duration::from_millis(millis))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => None,
    }
}

fn name_of(issuer: Option<&str>) -> Option<String> {
    let encoded: String = js_sys::encode_uri_component(issuer.unwrap_or("")).into();
    let name = format!("{PREFIX}{encoded}");
    (name.len() <= MAX_KEY_LEN).then_some(name)
}
