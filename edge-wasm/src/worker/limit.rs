//! Rate limits: the runtime counts, this asks.

use edgeseal_core::{gateway::rate::RateLimitSettings, http::Refusal};
use worker::{
    Env,
    js_sys::{Object, Reflect},
};

use super::{
    bound::{call, text},
    log,
};

/// Asks a rate limiting binding whether the client may come.
///
/// # Errors
/// `rate_limited` (429). A binding that is not there, or fails, limits nobody, and the log says so: an outage of a counter is
/// not one of the API.
pub(super) async fn ask(env: &Env, rate: &RateLimitSettings, key: String) -> Result<(), Refusal> {
    let RateLimitSettings { binding, retry_after, .. } = rate;
    match asked(env, binding, &key).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::rate_limited(format!("rate limit {binding}"), *retry_after)),
        Err(error) => {
            log::error("rate_limit_unavailable", &[("binding", binding), ("reason", &error)]);
            Ok(())
        }
    }
}

async fn asked(env: &Env, binding: &str, key: &str) -> Result<bool, String> {
    let options = Object::new();
    Reflect::set(&options, &"key".into(), &key.into()).map_err(text)?;
    let outcome = call(env, binding, "limit", &[options.into()]).await?;
    Ok(Reflect::get(&outcome, &"success".into()).map_err(text)?.is_truthy())
}
