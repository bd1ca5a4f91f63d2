//! Rate limits: the runtime counts, this asks.

use edgeseal_core::{gateway::rate::RateLimitSettings, http::Refusal};
use worker::{Env, console_error};

/// Asks a rate limiting binding whether the client may come.
///
/// # Errors
/// `rate_limited` (429). A binding that is not there, or fails, limits nobody, and the log says so: an outage of a counter is
/// not one of the API.
pub(super) async fn ask(env: &Env, rate: &RateLimitSettings, key: String) -> Result<(), Refusal> {
    let RateLimitSettings { binding, retry_after, .. } = rate;
    let outcome = match env.rate_limiter(binding) {
        Ok(limiter) => limiter.limit(key).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(outcome) if outcome.success => Ok(()),
        Ok(_) => Err(Refusal::rate_limited(format!("rate limit {binding}"), *retry_after)),
        Err(error) => {
            console_error!("rate limit {binding}: {error}");
            Ok(())
        }
    }
}
