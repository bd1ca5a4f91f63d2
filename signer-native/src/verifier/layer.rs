//! A layer for axum: no request without a verified bearer token gets past it.

use std::{
    convert::Infallible,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use edgeseal_core::{
    VerifiedToken,
    http::{Refusal, bearer_token},
};
use tower_layer::Layer;
use tower_service::Service;

use super::RemoteVerifier;

/// Lets only requests with a verified bearer token (RFC 6750 section 2.1) through, and gives handlers the [`Token`].
#[derive(Clone, Debug)]
pub struct RequireToken(RemoteVerifier);

impl RequireToken {
    /// A layer that verifies with this verifier.
    pub fn new(verifier: RemoteVerifier) -> Self {
        Self(verifier)
    }
}

impl<S> Layer<S> for RequireToken {
    type Service = RequireTokenService<S>;

    fn layer(&self, inner: S) -> RequireTokenService<S> {
        RequireTokenService { verifier: self.0.clone(), inner }
    }
}

/// A service behind [`RequireToken`].
#[derive(Clone, Debug)]
pub struct RequireTokenService<S> {
    verifier: RemoteVerifier,
    inner: S,
}

impl<S, B> Service<Request<B>> for RequireTokenService<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let verifier = self.verifier.clone();
        // The service that was polled ready is the one to call (tower's documentation of `Service::call`).
        let waiting = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, waiting);
        Box::pin(async move {
            let outcome = match authorization(request.headers()) {
                Ok(token) => verifier.verify(&token).await,
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(token) => {
                    request.extensions_mut().insert(Token(Arc::new(token)));
                    inner.call(request).await
                }
                Err(refusal) => Ok(answer(&refusal)),
            }
        })
    }
}

fn authorization(headers: &HeaderMap) -> Result<String, Refusal> {
    // As on hosts of the Fetch API, whose fields are octets read as ISO 8859-1, and several are one: core judges all hosts' alike.
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect::<String>();
    let fields: Vec<String> = headers.get_all(header::AUTHORIZATION).iter().map(text).collect();
    let joined = (!fields.is_empty()).then(|| fields.join(", "));
    bearer_token(joined.as_deref()).map(ToOwned::to_owned)
}

fn answer(refusal: &Refusal) -> Response {
    tracing::info!(code = refusal.code(), detail = refusal.detail(), "a token was refused");
    let mut response = Response::new(Body::from(refusal.problem()));
    *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let challenge = refusal.challenge().and_then(|challenge| HeaderValue::from_str(&challenge).ok());
    if let Some(challenge) = challenge {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The verified token of a request behind [`RequireToken`], as an argument of its handler.
#[derive(Clone, Debug)]
pub struct Token(Arc<VerifiedToken>);

impl Deref for Token {
    type Target = VerifiedToken;

    fn deref(&self) -> &VerifiedToken {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        // A handler that wants a token and stands behind no layer would otherwise be open to everybody.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a handler takes a Token and has no RequireToken layer before it");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }
}
