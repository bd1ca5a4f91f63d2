//! The runtime's part, in one crossing each: see `host.mjs`.

use worker::{
    js_sys::{JsString, Promise},
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
    web_sys::{Request, Response},
};

use super::drive::Later;

#[wasm_bindgen(module = "/src/worker/host.mjs")]
extern "C" {
    pub(super) fn json(body: &str) -> Response;
    pub(super) fn answer(status: u16, content_type: &str, body: &str, more: Vec<JsString>) -> Response;
    pub(super) fn names(request: &Request) -> String;
    #[wasm_bindgen(catch)]
    pub(super) fn forward(
        request: &Request,
        url: &str,
        changes: &str,
        service: &JsValue,
        is_personal: bool,
    ) -> Result<Promise, JsValue>;
    pub(super) fn wait(promise: &Promise, later: Later);
}
