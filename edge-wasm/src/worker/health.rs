//! `/.edgeseal/health`: for everybody whether the gateway can work, for who has the health token also how its keys are.

use std::rc::Rc;

use edgeseal_core::json::{self, Members};
use worker::{Env, web_sys::Response};

use super::{
    answer,
    gateway::{Gateway, now},
    head::Head,
    not_configured,
};
use crate::verify::{IssuerStats, TokenVerifier};

/// The secret that opens the details: `wrangler secret put EDGESEAL_HEALTH_TOKEN`. Without it nobody sees them.
const SECRET: &str = "EDGESEAL_HEALTH_TOKEN";
const SCHEME: &str = "Bearer ";
/// The shortest secret that opens anything.
const MIN_SECRET_LEN: usize = 16;

pub(super) fn answer(gateway: Result<Rc<Gateway>, String>, head: &Head, env: &Env) -> Response {
    match gateway {
        Err(error) => not_configured(&error),
        Ok(gateway) if is_allowed(head, env) => answer::json(&details(&gateway.verifier)),
        Ok(_) => answer::json(r#"{"status":"ok"}"#),
    }
}

fn is_allowed(head: &Head, env: &Env) -> bool {
    let Ok(secret) = env.secret(SECRET).map(|secret| secret.to_string()) else { return false };
    let authorization = head.header("authorization");
    let given = authorization.as_deref().and_then(after_bearer).unwrap_or_default();
    secret.len() >= MIN_SECRET_LEN && is_same(given, &secret)
}

/// What follows the scheme, as it stands: a secret may have a comma in it, or a space.
fn after_bearer(authorization: &str) -> Option<&str> {
    let (scheme, given) = (authorization.get(..SCHEME.len())?, authorization.get(SCHEME.len()..)?);
    scheme.eq_ignore_ascii_case(SCHEME).then_some(given)
}

/// Compared to the end whatever differs, so that the time tells nothing of the secret but its length.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Of this isolate. Times in seconds.
fn details(verifier: &TokenVerifier) -> String {
    let mut issuers = Vec::new();
    verifier.stats(|stats| {
        let IssuerStats { issuer, keys, fetched_at, origin, trouble, cache } = stats;
        let age = fetched_at.map(|at| now().millis_since(at) / 1_000);
        let members = Members::new()
            .with("issuer", &issuer)
            .with("keys", &(keys as u64))
            .with("source", origin.name())
            .with("age", &age)
            .with("fetches", &cache.fetches)
            .with("failures", &cache.failures)
            .with("fetches_suppressed", &cache.suppressed)
            .with("stale_served", &cache.stale_served)
            .with("last_failure", &trouble);
        issuers.push(members.end());
    });
    let counts = verifier.counts();
    let (tokens, bytes) = verifier.cached_tokens();
    let cache = Members::new().with("hits", &counts.token_hits).with("tokens", &(tokens as u64)).with("bytes", &(bytes as u64));
    let signatures = Members::new().with("tables", &counts.tables).with("webcrypto", &counts.web_crypto).with("rsa", &counts.rsa);
    Members::new()
        .with("status", "ok")
        .with_json("issuers", &json::array(issuers))
        .with_json("token_cache", &cache.end())
        .with_json("signatures", &signatures.end())
        .end()
}
