//! Calls to what is bound to the Worker, without a wrapper for each kind of it.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use worker::{
    Delay, Env,
    js_sys::{self, Function, Promise, Reflect},
    wasm_bindgen::{JsCast, JsValue},
    wasm_bindgen_futures::JsFuture,
};

/// Calls a method of what is bound under this name, and waits for its answer.
///
/// # Errors
/// When nothing is bound under it, it has no such method, or the call fails.
pub(super) async fn call(env: &Env, name: &str, method: &str, arguments: &[JsValue]) -> Result<JsValue, String> {
    call_on(&bound(env, name)?, method, arguments).await
}

/// What is bound under this name.
///
/// # Errors
/// When nothing is.
pub(super) fn bound(env: &Env, name: &str) -> Result<JsValue, String> {
    let bound = Reflect::get(env, &name.into()).map_err(text)?;
    if bound.is_object() { Ok(bound) } else { Err(format!("nothing is bound as {name}")) }
}

/// Whether anything is bound under this name.
pub(super) fn is_bound(env: &Env, name: &str) -> bool {
    Reflect::get(env, &name.into()).is_ok_and(|bound| bound.is_object())
}

/// Calls a method, and waits for its answer.
///
/// # Errors
/// When there is no such method, or the call fails.
async fn call_on(whose: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, String> {
    let method: Function = Reflect::get(whose, &method.into()).and_then(JsCast::dyn_into).map_err(text)?;
    let promise: Promise = method.apply(whose, &arguments.iter().collect()).and_then(JsCast::dyn_into).map_err(text)?;
    JsFuture::from(promise).await.map_err(text)
}

/// Gives up after so many milliseconds.
///
/// # Errors
/// Those of the work, and that nothing came.
pub(super) async fn within<T>(millis: u64, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match select(pin!(work), Delay::from(Duration::from_millis(millis))).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => Err(format!("no answer within {millis} ms")),
    }
}

/// What went wrong, in words.
pub(super) fn text(error: JsValue) -> String {
    match error.dyn_into::<js_sys::Error>() {
        Ok(error) => error.message().into(),
        Err(error) => error.as_string().unwrap_or_else(|| "an error without words".into()),
    }
}
