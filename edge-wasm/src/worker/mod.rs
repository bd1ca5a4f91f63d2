//! The Cloudflare Worker: every request is answered here, refused, or forwarded with the claims of its verified token.
//!
//! | request | answer |
//! |---|---|
//! | `/.edgeseal/health` | 200 when the configuration can be meant, 500 when it cannot; the state of the keys for who has the health token |
//! | `POST /.edgeseal/revocations` | what the signer revoked: see [`revocation`] |
//! | GET of the rest below `/.edgeseal/` | the site (landing page, documentation, playground, the configuration's schema) from the Worker's assets |
//! | any other below `/.edgeseal/` | 404 |
//! | all others | the steps of [`pipeline`] |

mod analytics;
mod answer;
mod bound;
mod drive;
#[cfg(feature = "fault")]
mod fault;
mod forward;
mod gateway;
mod head;
mod health;
mod host;
mod keys;
mod layers;
mod limit;
mod log;
mod pipeline;
mod possession;
mod replays;
mod revocation;
mod revocation_object;
mod subtle;

use std::rc::Rc;

use edgeseal_core::gateway::OWN_PATHS;
use futures_util::{StreamExt as _, stream};
use worker::{
    Context, Env, ScheduleContext, ScheduledEvent, event,
    wasm_bindgen::{self, JsCast, JsValue, prelude::wasm_bindgen},
    web_sys::{Request, Response},
    worker_sys,
};

pub use self::head::room;
use self::{gateway::Gateway, head::Head};

/// Seconds after which the cron trigger fetches keys anew: less than the shortest time that they are fresh unless set.
const WARM_AFTER_SECS: u64 = 240;
/// Issuers whose keys the cron trigger fetches at once: the runtime lets six connections of an invocation wait for an answer, and queues
/// the rest, whose time would run.
const WARMED_AT_ONCE: usize = 4;
/// And in one run: each costs up to four subrequests (cache, discovery, JWK Set, cache), of which an invocation has 50 on the free plan.
/// The rest are due in the next run.
const WARMED_IN_ALL: usize = 12;

/// The fetch event: see [`drive`] for what it gives. The response goes out as the origin gave it: its body and its WebSocket stay the runtime's.
#[wasm_bindgen]
pub fn fetch(request: Request, env: Env, context: worker_sys::Context, head_length: usize) -> JsValue {
    let head = Head::taken(head_length, request);
    drive::drive(drive::Answering::new(async move { respond(&head, &env, &Context::new(context)).await }))
}

/// Ends this instance of the module after a trap, as nothing in its memory is to be believed. With `true` the next call of any function
/// makes a new instance: that is this function's again, with `false`.
#[wasm_bindgen]
pub fn renew(end: bool) {
    if end {
        wasm_bindgen::handler::schedule_reinit();
    }
}

/// The cron trigger: what is revoked is asked for, and keys are fetched and shared before an isolate needs them.
#[event(scheduled)]
pub async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    match gateway::at_work(&env).await {
        Ok(gateway) => {
            gateway.pull_revocations(&env).await;
            // Twice: what an isolate that has nothing yet takes from the layers may be as old itself.
            let mut left = WARMED_IN_ALL;
            for _ in 0..2 {
                let due = gateway.verifier.refresh(WARM_AFTER_SECS, gateway::now).take(left).inspect(|_| left -= 1);
                stream::iter(due).for_each_concurrent(WARMED_AT_ONCE, |fetch| keys::fetch_and_share(fetch, env.clone())).await;
            }
        }
        Err(error) => log::error("configuration_invalid", &[("reason", &error)]),
    }
}

async fn respond(head: &Head, env: &Env, context: &Context) -> Response {
    let gateway = gateway::of_isolate(env, context).await;
    let path = head.target().split(['?', '#']).next().unwrap_or_default();
    if let Some(own) = path.strip_prefix(OWN_PATHS) {
        return own_path(own, head, env, gateway).await;
    }
    match gateway {
        Ok(gateway) => pipeline::run(&gateway, head, env, context).await,
        Err(error) => not_configured(&error),
    }
}

async fn own_path(path: &str, head: &Head, env: &Env, gateway: Result<Rc<Gateway>, String>) -> Response {
    match path {
        "health" => health::answer(gateway, head, env),
        "revocations" => {
            let gateway = match gateway {
                Ok(gateway) => gateway,
                Err(error) => return not_configured(&error),
            };
            match gateway.revocations_pushed(JsCast::unchecked_into::<Request>(JsValue::from(head.request())).into(), env).await {
                Some(answer) => answer,
                None => answer::problem("Revocation is not configured", 404, "not_found"),
            }
        }
        // Landing page, documentation, playground and the configuration's schema.
        _ if matches!(head.method(), "GET" | "HEAD") => match forward::fetch_bound(env, "ASSETS", head.request()).await {
            Ok(response) if response.status() != 404 => response,
            Ok(_) => answer::problem("Edgeseal has nothing here", 404, "not_found"),
            Err(_) => answer::problem("The site is not part of this Worker", 404, "not_found"),
        },
        _ => answer::problem("Edgeseal has nothing here", 404, "not_found"),
    }
}

fn not_configured(error: &str) -> Response {
    log::error("configuration_invalid", &[("reason", error)]);
    answer::problem("The gateway is not configured", 500, "configuration_invalid")
}
