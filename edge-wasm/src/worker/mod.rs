//! The Cloudflare Worker: every request is answered here, refused, or forwarded with the claims of its verified token.
//!
//! | request | answer |
//! |---|---|
//! | `/.edgeseal/health` | 200 when the configuration can be meant, 500 when it cannot |
//! | `/.edgeseal/playground/…` | the playground, from the Worker's assets |
//! | any other below `/.edgeseal/` | 404 |
//! | all others | verified, then forwarded to `origin` |

mod answer;
mod forward;
mod gateway;
mod keys;
mod subtle;

use std::sync::Arc;

use edgeseal_core::http::{Refusal, bearer_token};
use worker::{Context, Env, Request, Response, Result, console_error, console_warn, event};

use self::gateway::Gateway;

/// Everything below it belongs to Edgeseal and never reaches the origin.
const OWN_PATHS: &str = "/.edgeseal/";

/// The fetch event.
///
/// # Errors
/// None of a request's making: only when the runtime itself fails.
#[event(fetch)]
pub async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let gateway = gateway::of_isolate(&env);
    let path = request.path();
    if let Some(own) = path.strip_prefix(OWN_PATHS) {
        return own_path(own, request, &env, gateway.is_ok()).await;
    }
    match gateway {
        Ok(gateway) => Ok(answer_request(&gateway, request, &env, &context).await),
        Err(error) => {
            console_error!("configuration: {error}");
            answer::problem("The gateway is not configured", 500, "configuration_invalid")
        }
    }
}

async fn own_path(path: &str, request: Request, env: &Env, configured: bool) -> Result<Response> {
    match path {
        "health" if configured => answer::json(200, r#"{"status":"ok"}"#),
        "health" => answer::problem("The gateway is not configured", 500, "configuration_invalid"),
        _ if path == "playground" || path.starts_with("playground/") => match env.assets("ASSETS") {
            Ok(assets) => assets.fetch_request(request).await,
            Err(_) => answer::problem("The playground is not part of this Worker", 404, "not_found"),
        },
        _ => answer::problem("Edgeseal has nothing here", 404, "not_found"),
    }
}

async fn answer_request(gateway: &Gateway, request: Request, env: &Env, context: &Context) -> Response {
    let answered = match verified(gateway, &request, context).await {
        Ok(token) => forward::forward(gateway, request, &token, env).await,
        Err(refusal) => {
            // The whole reason is for the operator; the sender gets the code. Never the token.
            console_warn!("refused: {}: {}", refusal.code(), refusal.detail());
            answer::refusal(&refusal)
        }
    };
    answered.unwrap_or_else(|error| {
        console_error!("origin: {error}");
        answer::problem("The origin did not answer", 502, "origin_unavailable").unwrap_or_else(|_| answer::bare(502))
    })
}

async fn verified(
    gateway: &Gateway,
    request: &Request,
    context: &Context,
) -> std::result::Result<Arc<edgeseal_core::VerifiedToken>, Refusal> {
    let authorization = request.headers().get("authorization").unwrap_or_default();
    let token = bearer_token(authorization.as_deref())?;
    gateway.verify(token, context).await
}
