//! The steps of a request. Core decides each of them; here they are carried out, in this order:
//!
//! 1. the path is judged and the routes are found ([`Rules::locate`](edgeseal_core::gateway::Rules::locate));
//! 2. rate limits by address;
//! 3. the token is found, or need not be there ([`Rules::admit`](edgeseal_core::gateway::Rules::admit));
//! 4. the token is verified, with keys fetched where that is needed, and so is the proof of a token that is bound ([`possession`]), and it is
//!    not revoked;
//! 5. what the routes ask of it ([`Rules::authorize`](edgeseal_core::gateway::Rules::authorize));
//! 6. rate limits by subject, of whoever has no token (a preflight has none) by address;
//! 7. the request goes to the origin.
//!
//! A step that refuses ends it: the sender gets the code and the route's CORS headers, the log the whole reason.

use std::sync::Arc;

use edgeseal_core::{
    VerifiedToken,
    gateway::{
        Passage, RequestHead,
        rate::{RateKey, RateLimitSettings},
        routes::Matched,
    },
    http::Refusal,
};
use worker::{Context, Env, web_sys};

use super::{
    analytics, answer, forward,
    gateway::{Gateway, now},
    head::Head,
    limit, log, possession,
};

/// A request on its way.
pub(super) struct Flow<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) request: &'a web_sys::Request,
    pub(super) url: &'a str,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) env: &'a Env,
    pub(super) context: &'a Context,
}

/// Answers a request.
pub(super) async fn run(gateway: &Gateway, written: &Head, env: &Env, context: &Context) -> web_sys::Response {
    let get = |name: &str| written.header(name);
    let method = written.method();
    let head = RequestHead { method, target: written.target(), headers: &get };
    let flow = Flow { gateway, request: written.request(), url: written.url(), head: &head, env, context };
    #[cfg(feature = "fault")]
    super::fault::happen(&head).await;
    let mut matched = None;
    let began = now();
    let count = |code: &str, status: u16| analytics::count(env, code, method, status, now().millis_since(began));
    match steps(&flow, &mut matched).await {
        Ok(response) => {
            if gateway.counts_requests {
                count("passed", response.status());
            }
            response
        }
        Err(refusal) => {
            if gateway.counts_requests {
                count(refusal.code(), refusal.status());
            }
            // The whole reason is for the operator; the sender gets the code. Never the token.
            let target = gateway.rules.target(&head);
            let said = [("method", method), ("target", &target), ("code", refusal.code()), ("detail", refusal.detail())];
            log::warn("refused", &said);
            let mut more = gateway.rules.cors_headers(matched.as_ref(), head.header("origin").as_deref());
            more.extend(possession::challenge(gateway, &refusal, &head));
            answer::refusal(&refusal, &more)
        }
    }
}

async fn steps(flow: &Flow<'_>, located: &mut Option<Matched>) -> Result<web_sys::Response, Refusal> {
    let Flow { gateway, head, .. } = flow;
    let matched: &Matched = located.insert(gateway.rules.locate(head)?);
    let ip = || head.header("cf-connecting-ip").unwrap_or_default();
    for rate in gateway.rules.rate_limits(matched, RateKey::Ip) {
        limit::ask(flow.env, rate, RateLimitSettings::ip_key(&ip())).await?;
    }
    let token: Option<Arc<VerifiedToken>> = match gateway.rules.admit(matched, head)? {
        Passage::Preflight | Passage::Anonymous => None,
        Passage::Token(found) => {
            let token = gateway.verify(flow, &found).await?;
            gateway.check_not_revoked(&token, flow.env).await?;
            gateway.rules.authorize(matched, &token)?;
            Some(token)
        }
    };
    for rate in gateway.rules.rate_limits(matched, RateKey::Subject) {
        let key = RateLimitSettings::subject_key(token.as_deref().map(VerifiedToken::claims), &ip());
        limit::ask(flow.env, rate, key).await?;
    }
    Ok(to_origin(flow, matched, token.as_deref()).await)
}

async fn to_origin(flow: &Flow<'_>, matched: &Matched, token: Option<&VerifiedToken>) -> web_sys::Response {
    match forward::forward(flow, matched, token).await {
        Ok(response) => response,
        Err(error) => {
            log::error("origin_unavailable", &[("reason", &error)]);
            let cors = flow.gateway.rules.cors_headers(Some(matched), flow.head.header("origin").as_deref());
            answer::problem_with("The origin did not answer", 502, "origin_unavailable", &cors)
        }
    }
}
