//! A data point for each request, where an Analytics Engine data set is bound: what became of it, never whose it was.

use worker::{
    Env,
    js_sys::{Function, JSON, Reflect},
    wasm_bindgen::JsCast as _,
};

use super::log;

/// The binding of the data set; without it nothing is written.
pub(super) const BINDING: &str = "EDGESEAL_ANALYTICS";

/// Writes a point: blob1 is the code of the refusal or `passed`, blob2 the method; double1 the status, double2 the milliseconds that the
/// answer's head took, as far as the runtime's clock tells them. The index is blob1.
pub(super) fn count(env: &Env, code: &str, method: &str, status: u16, millis: u64) {
    let Ok(bound) = Reflect::get(env, &BINDING.into()) else { return };
    if !bound.is_object() {
        return;
    }
    // The code is ours; the method is a token (RFC 9110 section 9.1), so nothing in it needs escaping.
    let method = if method.bytes().all(|byte| byte.is_ascii_alphabetic()) { method } else { "other" };
    let point = format!(r#"{{"indexes":["{code}"],"blobs":["{code}","{method}"],"doubles":[{status},{millis}]}}"#);
    let written = || {
        let write: Function = Reflect::get(&bound, &"writeDataPoint".into())?.dyn_into()?;
        write.call1(&bound, &JSON::parse(&point)?)
    };
    if written().is_err() {
        log::error("analytics_unavailable", &[("binding", BINDING)]);
    }
}
