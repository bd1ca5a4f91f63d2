//! The isolate's one gateway: its configuration, parsed once, and the keys of its issuers.

use std::{cell::OnceCell, rc::Rc, sync::Arc, time::Duration};

use edgeseal_core::{
    Possession, Timestamp, VerifiedToken,
    gateway::{GatewaySettings, Origin},
    http::Refusal,
};
use worker::{Context, Date, Delay, Env, js_sys};

use super::{keys, subtle::Subtle};
use crate::{
    settings::DEFAULT_TOKEN_CACHE,
    verify::{Answered, BackendChoice, Fetch, HostSettings, Outcome, Pending, Step, TokenVerifier},
};

/// The variable that holds the configuration: an object, or its JSON text.
const VARIABLE: &str = "EDGESEAL";
/// Milliseconds for which a request waits for keys: two leases of the cache.
const PATIENCE_MILLIS: u64 = 10_000;
/// Seconds after which a client may ask again whose issuer has a key that the runtime does not take.
const UNSUPPORTED_RETRY_SECS: u64 = 60;
/// Milliseconds between two looks at a fetch that another request has begun.
const FIRST_PAUSE_MILLIS: u64 = 5;
const LONGEST_PAUSE_MILLIS: u64 = 100;

/// What an isolate keeps between requests.
pub(super) struct Gateway {
    /// Where verified requests go; `None` where the gateway echoes.
    pub(super) origin: Option<Origin>,
    /// The header that carries the claims.
    pub(super) claims_header: String,
    verifier: TokenVerifier,
    subtle: Subtle,
}

thread_local! {
    static GATEWAY: OnceCell<Result<Rc<Gateway>, String>> = const { OnceCell::new() };
}

/// The gateway of this isolate. A configuration that cannot be meant stays so until the next deployment.
pub(super) fn of_isolate(env: &Env) -> Result<Rc<Gateway>, String> {
    GATEWAY.with(|gateway| gateway.get_or_init(|| Gateway::from_env(env).map(Rc::new)).clone())
}

impl Gateway {
    fn from_env(env: &Env) -> Result<Self, String> {
        let settings = GatewaySettings::from_json(&variable(env)?).map_err(|error| error.to_string())?;
        let origin = settings.origin().map_err(|error| error.to_string())?;
        let GatewaySettings { issuers, claims_header, cache, .. } = settings;
        let host = HostSettings {
            backend: BackendChoice::Auto,
            has_web_crypto: true,
            token_cache: DEFAULT_TOKEN_CACHE,
            seed: js_sys::Math::random().to_bits(),
            proves_possession: false,
        };
        let verifier = TokenVerifier::new(&issuers, cache, host).map_err(|(_, error)| error.to_string())?;
        Ok(Self { origin, claims_header, verifier, subtle: Subtle::of_runtime() })
    }

    /// Verifies a token, fetching keys where that is needed.
    pub(super) async fn verify(&self, token: &str, context: &Context) -> Result<Arc<VerifiedToken>, Refusal> {
        let patience_ends = now().plus_millis(PATIENCE_MILLIS);
        let mut pause = FIRST_PAUSE_MILLIS;
        loop {
            match self.verifier.begin(token, None, now()) {
                Step::Verified(token, refresh) => {
                    carry_out(refresh, context);
                    return Ok(token);
                }
                Step::Bound(bound, refresh) => {
                    carry_out(refresh, context);
                    return self.verifier.prove(*bound, &Possession::default(), now());
                }
                Step::Verify(mut pending) => {
                    carry_out(pending.take_refresh(), context);
                    return self.finish(pending).await;
                }
                Step::Fetch(fetch) => keys::fetch_beyond_request(fetch, context).await,
                Step::Wait => {
                    Delay::from(Duration::from_millis(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE_MILLIS);
                }
                Step::Refused(refusal, refresh) => {
                    carry_out(refresh, context);
                    return Err(refusal);
                }
            }
            if now() >= patience_ends {
                return Err(Refusal::keys_unavailable("the keys did not come in time", patience_ends, now()));
            }
        }
    }

    async fn finish(&self, mut pending: Box<Pending>) -> Result<Arc<VerifiedToken>, Refusal> {
        loop {
            let answered = self.answer(&pending).await?;
            match self.verifier.finish(*pending, answered, now())? {
                Outcome::Verified(token) => return Ok(token),
                Outcome::KeyBinding(second) => pending = second,
                Outcome::Bound(bound) => return self.verifier.prove(*bound, &Possession::default(), now()),
            }
        }
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

fn carry_out(refresh: Option<Fetch>, context: &Context) {
    if let Some(refresh) = refresh {
        context.wait_until(keys::fetch(refresh));
    }
}

/// The time, as the runtime tells it: it stands still between I/O.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(Date::now().as_millis())
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
