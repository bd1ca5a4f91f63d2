//! The isolate's one gateway: its configuration, parsed once, and the keys of its issuers.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use edgeseal_core::{
    DpopSettings, SignatureInvalid, SignatureValid, Timestamp, VerifiedToken,
    backend::SignatureInput,
    gateway::{ConfigurationText, GatewaySettings, Origin, Rules, token::FoundToken},
    http::Refusal,
};
use worker::{Context, Delay, Env, Request, js_sys, web_sys};

use super::{
    analytics,
    bound::{call, is_bound},
    drive, keys, log,
    pipeline::Flow,
    possession, replays,
    revocation::{self, Revocation},
    subtle::Subtle,
};
use crate::{
    settings::DEFAULT_TOKEN_CACHE,
    verify::{Answered, BackendChoice, Fetch, HostSettings, Outcome, Pending, Step, TokenVerifier, without_web_crypto},
};

/// The variable that holds the configuration: an object, its JSON text, or `kv:BINDING/KEY`.
const VARIABLE: &str = "EDGESEAL";
/// Seconds after which a configuration in a KV namespace is read again, off the request path.
const KV_REREAD_SECS: u64 = 60;
/// Milliseconds for which a request waits for keys: two leases of the cache.
const PATIENCE_MILLIS: u64 = 10_000;
/// Seconds after which a client may ask again whose issuer has a key that the runtime does not take.
const UNSUPPORTED_RETRY_SECS: u64 = 60;
/// Milliseconds between two looks at a fetch that another request has begun.
const FIRST_PAUSE_MILLIS: u64 = 5;
const LONGEST_PAUSE_MILLIS: u64 = 100;

/// What an isolate keeps between requests.
pub(super) struct Gateway {
    /// What decides about requests.
    pub(super) rules: Rules,
    /// Where verified requests go; `None` where the gateway echoes.
    pub(super) origin: Option<Origin>,
    /// Which proofs are accepted.
    pub(super) dpop: DpopSettings,
    /// Whether clients that come without a token are told of them.
    pub(super) offers_dpop: bool,
    pub(super) verifier: TokenVerifier,
    pub(super) subtle: Subtle,
    revocation: Option<Revocation>,
    /// Whether there is a data set for requests.
    pub(super) counts_requests: bool,
}

/// The gateway, and what it was made of.
#[derive(Clone)]
struct Made {
    gateway: Result<Rc<Gateway>, String>,
    text: Rc<str>,
    /// When a configuration in a KV namespace is to be read again.
    reread_at: Option<Timestamp>,
}

thread_local! {
    static MADE: RefCell<Option<Made>> = const { RefCell::new(None) };
}

/// The gateway of this isolate. A configuration in variables stays until the next deployment; one in a KV namespace is read again
/// from time to time, and one that cannot be meant then changes nothing.
pub(super) async fn of_isolate(env: &Env, context: &Context) -> Result<Rc<Gateway>, String> {
    let made = MADE.with_borrow(Clone::clone);
    let Some(Made { gateway, reread_at, .. }) = made else {
        return make(env).await;
    };
    if reread_at.is_some_and(|at| now() >= at) {
        if gateway.is_err() {
            return make(env).await;
        }
        // Whoever comes meanwhile need not read it as well.
        MADE.with_borrow_mut(|made| {
            if let Some(made) = made {
                made.reread_at = Some(now().plus_secs(KV_REREAD_SECS));
            }
        });
        let env = env.clone();
        context.wait_until(async move {
            if let Err(error) = make(&env).await {
                log::error("configuration_invalid", &[("reason", &error)]);
            }
        });
    }
    gateway
}

/// The gateway of this isolate for what no request asks: it may wait for the configuration, be it for a newer one.
pub(super) async fn at_work(env: &Env) -> Result<Rc<Gateway>, String> {
    let made = MADE.with_borrow(Clone::clone);
    let Some(Made { gateway: Ok(gateway), reread_at, .. }) = made else { return make(env).await };
    if reread_at.is_none_or(|at| now() < at) {
        return Ok(gateway);
    }
    Ok(make(env).await.unwrap_or_else(|error| {
        log::error("configuration_invalid", &[("reason", &error)]);
        gateway
    }))
}

/// Reads the configuration and makes a gateway of it, unless it is the one that there is.
async fn make(env: &Env) -> Result<Rc<Gateway>, String> {
    let variable = variable(env)?;
    let source = ConfigurationText::parse(&variable).map_err(|error| error.to_string())?;
    let (text, reread_at): (Rc<str>, _) = match source {
        ConfigurationText::Here(text) => (text.into(), None),
        ConfigurationText::Kv { binding, key } => {
            let text = read_kv(env, binding, key).await?;
            (text.into(), Some(now().plus_secs(KV_REREAD_SECS)))
        }
    };
    let before = MADE.with_borrow(Clone::clone);
    if let Some(before) = &before
        && before.text == text
    {
        MADE.set(Some(Made { reread_at, ..before.clone() }));
        return before.gateway.clone();
    }
    // What serves goes on serving when its successor cannot be meant, and what it knows is its successor's too.
    let serving = before.and_then(|before| before.gateway.ok());
    let gateway = Gateway::from_json(&text, env, serving.as_deref()).map(Rc::new);
    if gateway.is_ok() || serving.is_none() {
        MADE.set(Some(Made { gateway: gateway.clone(), text, reread_at }));
    }
    gateway
}

async fn read_kv(env: &Env, binding: &str, key: &str) -> Result<String, String> {
    let document = call(env, binding, "get", &[key.into()])
        .await
        .map_err(|error| format!("{VARIABLE} is kv:{binding}/{key}, which cannot be read: {error}"))?;
    document.as_string().ok_or_else(|| format!("{VARIABLE} is kv:{binding}/{key}, which is not there"))
}

impl Gateway {
    fn from_json(text: &str, env: &Env, before: Option<&Self>) -> Result<Self, String> {
        let settings = GatewaySettings::from_json(text).map_err(|error| error.to_string())?;
        let origin = settings.origin().map_err(|error| error.to_string())?;
        let rules = Rules::new(&settings).map_err(|error| error.to_string())?;
        needs(env, settings.revocation.is_some(), "revocation", revocation::BINDING)?;
        needs(env, settings.dpop.is_some(), "dpop", replays::BINDING)?;
        let known = before.and_then(|before| before.revocation.as_ref());
        let revocation = settings.revocation.clone().map(|settings| Revocation::new(settings, known)).transpose()?;
        let host = HostSettings {
            backend: BackendChoice::Auto,
            has_web_crypto: true,
            token_cache: DEFAULT_TOKEN_CACHE,
            seed: js_sys::Math::random().to_bits(),
            proves_possession: true,
        };
        let issuers = settings.verifier_issuers();
        let verifier = TokenVerifier::new(&issuers, settings.cache, host).map_err(|(_, error)| error.to_string())?;
        if let Some(before) = before {
            for snapshot in before.verifier.snapshots() {
                // Those of an issuer that is gone, or has its keys elsewhere now, are not taken; nor are pinned ones where discovery decides now.
                let _ = verifier.restore(&snapshot, now());
            }
        }
        let offers_dpop = settings.dpop.is_some();
        let dpop = settings.dpop.unwrap_or_default();
        let counts_requests = is_bound(env, analytics::BINDING);
        Ok(Self { rules, origin, dpop, offers_dpop, verifier, subtle: Subtle::of_runtime(), revocation, counts_requests })
    }

    /// Verifies the token of a request, and the proof of possession where it is bound to a key or a certificate; keys are fetched where
    /// that is needed.
    pub(super) async fn verify(&self, flow: &Flow<'_>, found: &FoundToken) -> Result<Arc<VerifiedToken>, Refusal> {
        let Flow { env, context, .. } = flow;
        let patience_ends = now().plus_millis(PATIENCE_MILLIS);
        let mut pause = FIRST_PAUSE_MILLIS;
        loop {
            match self.verifier.begin(&found.text, None, now()) {
                Step::Verified(token, refresh) => {
                    carry_out(refresh, env, context);
                    return found.scheme.admits_unbound().map(|()| token);
                }
                Step::Bound(bound, refresh) => {
                    carry_out(refresh, env, context);
                    return possession::prove(self, flow, found, *bound).await;
                }
                Step::Verify(mut pending) => {
                    carry_out(pending.take_refresh(), env, context);
                    return self.finish(flow, found, pending).await;
                }
                Step::Fetch(fetch) => keys::fetch_beyond_request(fetch, env, context).await,
                Step::Wait => {
                    Delay::from(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE_MILLIS);
                }
                Step::Refused(refusal, refresh) => {
                    carry_out(refresh, env, context);
                    return Err(refusal);
                }
            }
            if now() >= patience_ends {
                return Err(Refusal::keys_unavailable("the keys did not come in time", patience_ends, now()));
            }
        }
    }

    /// Whether a verified token is revoked, even one that was verified before.
    pub(super) async fn check_not_revoked(&self, token: &VerifiedToken, env: &Env) -> Result<(), Refusal> {
        match &self.revocation {
            Some(revocation) => revocation.judge(token, env).await,
            None => Ok(()),
        }
    }

    /// A signer pushes what is revoked; `None` where revocation is not configured.
    pub(super) async fn revocations_pushed(&self, request: Request, env: &Env) -> Option<web_sys::Response> {
        Some(self.revocation.as_ref()?.pushed(request, env, &self.subtle).await)
    }

    /// The cron trigger: fetches what is revoked.
    pub(super) async fn pull_revocations(&self, env: &Env) {
        if let Some(revocation) = &self.revocation {
            revocation.pull(env, &self.subtle).await;
        }
    }

    async fn finish(
        &self,
        flow: &Flow<'_>,
        found: &FoundToken,
        mut pending: Box<Pending>,
    ) -> Result<Arc<VerifiedToken>, Refusal> {
        loop {
            let answered = self.answer(&pending).await?;
            match self.verifier.finish(*pending, answered, now())? {
                Outcome::Verified(token) => return found.scheme.admits_unbound().map(|()| token),
                Outcome::KeyBinding(second) => pending = second,
                Outcome::Bound(bound) => return possession::prove(self, flow, found, *bound).await,
            }
        }
    }

    /// Verifies a signature of a key that comes with each request anew: no table is made of it and no import kept.
    ///
    /// # Errors
    /// Why nobody here can.
    pub(super) async fn verify_once(&self, input: &SignatureInput) -> Result<Result<SignatureValid, SignatureInvalid>, String> {
        let answered = self.subtle.verify_once(input).await;
        answered.or_else(|reason| without_web_crypto(input).ok_or(reason)).map(Answered::into_result)
    }

    async fn answer(&self, pending: &Pending) -> Result<Answered, Refusal> {
        if let Some(answered) = self.verifier.verify_signature(pending) {
            return Ok(answered);
        }
        match self.subtle.verify(pending.input()).await {
            Ok(answered) => Ok(answered),
            // The key is the issuer's and the runtime does not take it: no fault of the token.
            Err(reason) => self.verifier.verify_without_web_crypto(pending).ok_or_else(|| {
                let detail = format!("the runtime does not take the issuer's key: {reason}");
                Refusal::keys_unavailable(detail, now().plus_secs(UNSUPPORTED_RETRY_SECS), now())
            }),
        }
    }
}

/// Without it every token would be answered with 503.
fn needs(env: &Env, is_set: bool, setting: &str, binding: &str) -> Result<(), String> {
    if is_set && !is_bound(env, binding) {
        return Err(format!("{setting}: needs the Durable Object {binding}, and nothing is bound under this name"));
    }
    Ok(())
}

fn carry_out(refresh: Option<Fetch>, env: &Env, context: &Context) {
    if let Some(refresh) = refresh {
        context.wait_until(keys::fetch_and_share(refresh, env.clone()));
    }
}

/// The time, as the runtime tells it: it stands still between I/O.
pub(super) fn now() -> Timestamp {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds since 1970")]
    Timestamp::from_millis(drive::clock() as u64)
}

fn variable(env: &Env) -> Result<String, String> {
    let value = js_sys::Reflect::get(env, &VARIABLE.into()).map_err(|_| format!("{VARIABLE} cannot be read"))?;
    if let Some(text) = value.as_string() {
        return Ok(text);
    }
    if !value.is_object() {
        return Err(format!("{VARIABLE} is missing: set [vars.{VARIABLE}] in wrangler.toml, an object or its JSON text"));
    }
    js_sys::JSON::stringify(&value).map(String::from).map_err(|_| format!("{VARIABLE} is not JSON"))
}
