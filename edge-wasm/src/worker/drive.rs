//! Answers requests in the call that brings them, where they need not wait: no promise, no task. Of those that wait for one thing at a
//! time ([`settled`]) the shim goes on when it has come; only what waits in other ways becomes a task of wasm-bindgen's.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use worker::{
    js_sys::{Date, Promise, futures::future_to_promise},
    wasm_bindgen::{JsValue, prelude::wasm_bindgen},
    wasm_bindgen_futures::JsFuture,
    web_sys::Response,
};

use super::host;

/// A request under way.
pub(super) struct Answering {
    answer: Pin<Box<dyn Future<Output = Response>>>,
    /// Woken by whatever it waits for. It outlives the polls, since some futures keep the first waker that they see.
    relay: Arc<Relay>,
}

/// Wakes the task that a request has become, where it has.
#[derive(Default)]
struct Relay(Mutex<Option<Waker>>);

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Answering {
    pub(super) fn new(answer: impl Future<Output = Response> + 'static) -> Self {
        Self { answer: Box::pin(answer), relay: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Response> {
        let waker = Waker::from(Arc::clone(&self.relay));
        self.answer.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// As a task, which may wait for anything.
    async fn finish(mut self) -> Response {
        poll_fn(|context| {
            *self.relay.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            self.poll()
        })
        .await
    }
}

thread_local! {
    /// Whether what is being polled is a request of [`drive`]'s.
    static DRIVES: Cell<bool> = const { Cell::new(false) };
    static NOW: Cell<Option<f64>> = const { Cell::new(None) };
    /// What it said that it waits for.
    static ASKED: RefCell<Option<Promise>> = const { RefCell::new(None) };
    /// What came of that.
    static SETTLED: RefCell<Option<Result<JsValue, JsValue>>> = const { RefCell::new(None) };
}

/// A request that waits.
#[wasm_bindgen]
pub struct Later(Answering);

#[wasm_bindgen]
impl Later {
    /// Goes on, with what the promise came to. As [`drive`].
    pub fn resume(self, value: JsValue, is_good: bool) -> JsValue {
        SETTLED.set(Some(if is_good { Ok(value) } else { Err(value) }));
        drive(self.0)
    }
}

impl core::fmt::Debug for Later {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Later").finish_non_exhaustive()
    }
}

/// The response, a promise of it, or `undefined` when the host was told what to wait for.
pub(super) fn drive(mut answering: Answering) -> JsValue {
    DRIVES.set(true);
    NOW.set(None);
    let polled = answering.poll();
    DRIVES.set(false);
    match (polled, ASKED.take()) {
        (Poll::Ready(response), _) => response.into(),
        (Poll::Pending, Some(promise)) => {
            host::wait(&promise, Later(answering));
            JsValue::UNDEFINED
        }
        (Poll::Pending, None) => future_to_promise(async { Ok(answering.finish().await.into()) }).into(),
    }
}

/// The runtime's clock, in milliseconds. It stands still while a request is being polled, so it is read once for that.
pub(super) fn clock() -> f64 {
    if !DRIVES.get() {
        return Date::now();
    }
    let now = NOW.get().unwrap_or_else(Date::now);
    NOW.set(Some(now));
    now
}

/// Waits for a promise. Not beside another future (`select`, `join`), since a request that waits so waits for nothing else.
///
/// # Errors
/// What it was rejected with.
pub(super) async fn settled(promise: Promise) -> Result<JsValue, JsValue> {
    if !DRIVES.get() {
        return JsFuture::from(promise).await;
    }
    ASKED.set(Some(promise));
    let mut asked = false;
    poll_fn(|_| if core::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    SETTLED.take().unwrap_or_else(|| Err("nothing came".into()))
}
