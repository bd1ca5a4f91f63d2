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
#[cfg(feature = "fault")]
mod fault;
mod forward;
mod gateway;
mod health;
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

use futures_util::future::join_all;
use worker::{Context, Env, Result, ScheduleContext, ScheduledEvent, event, web_sys};

use self::gateway::Gateway;

/// Seconds after which the cron trigger fetches keys anew: less than the shortest time that they are fresh unless set.
const WARM_AFTER_SECS: u64 = 240;
/// Everything below it belongs to Edgeseal and never reaches the origin.
const OWN_PATHS: &str = "/.edgeseal/";

/// The fetch event. The response goes out as the origin gave it: its body and its WebSocket stay the runtime's.
///
/// # Errors
/// None of a request's making: only when the runtime itself fails.
#[event(fetch)]
pub async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    let gateway = gateway::of_isolate(&env, &context).await;
    let url = request.url();
    let path = pipeline::target_of(&url).split(['?', '#']).next().unwrap_or_default();
    if let Some(own) = path.strip_prefix(OWN_PATHS) {
        return own_path(own, &request, &env, gateway).await;
    }
    match gateway {
        Ok(gateway) => Ok(pipeline::run(&gateway, &request, &url, &env, &context).await),
        Err(error) => {
            log::error("configuration_invalid", &[("reason", &error)]);
            answer::problem("The gateway is not configured", 500, "configuration_invalid")
        }
    }
}

/// The cron trigger: what is revoked is asked for, and keys are fetched and shared before an isolate needs them.
#[event(scheduled)]
pub async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    match gateway::at_work(&env).await {
        Ok(gateway) => {
            gateway.pull_revocations(&env).await;
            let fetches = gateway.verifier.refresh(WARM_AFTER_SECS, gateway::now());
            join_all(fetches.into_iter().map(|fetch| keys::fetch_and_share(fetch, env.clone()))).await;
        }
        Err(error) => log::error("configuration_invalid", &[("reason", &error)]),
    }
}

async fn own_path(
    path: &str,
    request: &web_sys::Request,
    env: &Env,
    gateway: std::result::Result<Rc<Gateway>, String>,
) -> Result<web_sys::Response> {
    match path {
        "health" => health::answer(gateway, request, env),
        "revocations" => {
            let Ok(gateway) = gateway else {
                return answer::problem("The gateway is not configured", 500, "configuration_invalid");
            };
            match gateway.revocations_pushed(request.clone()?.into(), env).await {
                Some(answer) => answer.map(Into::into),
                None => answer::problem("Revocation is not configured", 404, "not_found"),
            }
        }
        // Landing page, documentation, playground and the configuration's schema.
        _ if matches!(request.method().as_str(), "GET" | "HEAD") => match forward::fetch_bound(env, "ASSETS", request).await {
            Ok(response) if response.status() != 404 => Ok(response),
            Ok(_) => answer::problem("Edgeseal has nothing here", 404, "not_found"),
            Err(_) => answer::problem("The site is not part of this Worker", 404, "not_found"),
        },
        _ => answer::problem("Edgeseal has nothing here", 404, "not_found"),
    }
}
