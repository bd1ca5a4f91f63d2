//! Revocation at the edge: documents of the signer come by push (`POST /.edgeseal/revocations`) and by the cron trigger, and are
//! verified against the pinned control keys before the Durable Object hears of them; every isolate reads that again every R
//! seconds, and judges each token by its copy, those of the token cache too.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use edgeseal_core::{
    Timestamp, VerifiedToken,
    http::{self, Refusal},
    json::{self, Members},
    revocation::{
        Control, Judgement, MAX_DOCUMENT_LEN, Reader, Reading, RevocationSettings, Statement,
        reader::{READ_TIMEOUT_MILLIS, bound_by},
    },
};
use futures_util::StreamExt as _;
use serde_json::Value;
use worker::{
    AbortController, AbortSignal, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, ResponseBody, Result,
    durable::Stub, web_sys::Response as Answer,
};

use super::{
    answer::{problem, problem_with},
    bound::within,
    gateway::now,
    host, log, revocation_object,
    subtle::Subtle,
};
use crate::verify::without_web_crypto;

/// The binding of the Durable Object.
pub(super) const BINDING: &str = "EDGESEAL_REVOCATIONS";
/// RFC 9457.
const PROBLEM: &str = "application/problem+json";
/// The code of a token that a list names; what else a reader refuses is for want of a list.
const TOKEN_REVOKED: &str = "token_revoked";
/// Octets of a push: a document, and the JSON around it.
const MAX_PUSH_LEN: usize = MAX_DOCUMENT_LEN + 1_024;
/// Milliseconds that a pushed or pulled document may take to arrive.
const ARRIVAL_TIMEOUT_MILLIS: u64 = 5_000;
/// Pushes that may arrive at an isolate at once: anybody can begin one, and what arrives is in memory before it can be checked.
const MAX_ARRIVING: usize = 4;
/// Milliseconds that the Durable Object may take to store a list.
const STORE_TIMEOUT_MILLIS: u64 = 5_000;

/// Seconds after which the signer may push again what could not be stored.
const RETRY_AFTER_SECS: u64 = 10;

/// The isolate's part.
#[derive(Debug)]
pub(super) struct Revocation {
    settings: RevocationSettings,
    control: Control,
    reader: Rc<RefCell<Reader>>,
    /// What was known of this edge's list while the configuration had it read by other rules.
    earlier: Option<Rc<RefCell<Reader>>>,
    /// Until when each place for a push that arrives is taken.
    arriving: Cell<[Timestamp; MAX_ARRIVING]>,
}

/// What became of a document.
enum Taken {
    /// Stored as this sequence, then.
    Stored(u64, Timestamp),
    /// This sequence is known, and the document's is not higher: the difference.
    Known(u64, u64),
    /// Not believed, for this code.
    Refused(&'static str, String),
    /// Believed, and could not be stored.
    Unavailable(String),
}

impl Revocation {
    /// By checked settings. What the one `before` knows of the same edge's list stays known, for the list may not be readable now.
    pub(super) fn new(settings: RevocationSettings, before: Option<&Self>) -> std::result::Result<Self, String> {
        let control = settings.control().map_err(|error| error.within("revocation").to_string())?;
        let before = before.filter(|before| before.settings.edge == settings.edge);
        let (reader, earlier) = match before {
            Some(before) if before.is_read_as(&settings) => (Rc::clone(&before.reader), before.earlier.clone()),
            _ => (Rc::new(RefCell::new(settings.reader())), before.map(Self::informed)),
        };
        Ok(Self { settings, control, reader, earlier, arriving: Cell::default() })
    }

    /// Whether these settings would make the same reader.
    fn is_read_as(&self, settings: &RevocationSettings) -> bool {
        self.settings.refresh == settings.refresh && self.settings.when_stale == settings.when_stale
    }

    /// The copy that has the whole list, as far as one has.
    fn informed(&self) -> Rc<RefCell<Reader>> {
        let (_, read_at) = self.reader.borrow().state();
        match &self.earlier {
            Some(earlier) if read_at.is_none() => Rc::clone(earlier),
            _ => Rc::clone(&self.reader),
        }
    }

    /// Whether a verified token may be used: reads the list first, if R has passed.
    pub(super) async fn judge(&self, token: &VerifiedToken, env: &Env) -> std::result::Result<(), Refusal> {
        let begun = now();
        // No borrow spans an await.
        let must_read = self.reader.borrow_mut().must_read(begun);
        if must_read {
            let known = self.reader.borrow().sequence();
            match self.read(known, env).await {
                Ok(reading) => self.reader.borrow_mut().on_read(begun, reading, now()),
                Err(reason) => {
                    log::error("revocation_unreadable", &[("reason", &reason)]);
                    self.reader.borrow_mut().on_failure(now());
                }
            }
        }
        // What is revoked stays so, whoever read it.
        if let Some(earlier) = &self.earlier
            && let Judgement::Refused(refusal) = earlier.borrow().judge(token, now())
            && refusal.code() == TOKEN_REVOKED
        {
            return Err(refusal);
        }
        match self.reader.borrow().judge(token, now()) {
            Judgement::Good => Ok(()),
            Judgement::GoodByOldCopy(reason) => {
                log::warn("revocation_stale", &[("reason", &reason)]);
                Ok(())
            }
            Judgement::Refused(refusal) => Err(refusal),
        }
    }

    /// `POST /.edgeseal/revocations`.
    pub(super) async fn pushed(&self, mut request: Request, env: &Env, subtle: &Subtle) -> Answer {
        if request.method() != Method::Post {
            let allow = [("allow", "POST".into())];
            return problem_with("Revocation documents are pushed with POST", 405, "method_not_allowed", &allow);
        }
        let too_large = || problem("The revocation document is too large", 413, "document_too_large");
        let length = request.headers().get("content-length").ok().flatten().and_then(|length| length.parse::<usize>().ok());
        if length.is_some_and(|length| length > MAX_PUSH_LEN) {
            return too_large();
        }
        let Some(place) = self.take_place() else { return unavailable() };
        let arrived = async { read_push(&mut request).await.map_err(|error| error.to_string()) };
        let arrived = within(ARRIVAL_TIMEOUT_MILLIS, arrived).await;
        self.set_place(place, Timestamp::default());
        let body = match arrived {
            Ok(Some(body)) => body,
            Ok(None) => return too_large(),
            Err(_) => return problem("The body did not arrive", 400, "request_malformed"),
        };
        let document = json::parse_object(&body).ok().and_then(|(_, mut members)| members.remove("document"));
        let Some(Value::String(document)) = document else {
            return problem("The body holds no document", 400, "request_malformed");
        };
        match self.take(&document, env, subtle).await {
            Taken::Stored(seq, stored_at) => {
                stored("push", seq);
                let (reread_by, bound_by) = bound_by(self.settings.refresh, self.settings.when_stale, stored_at);
                let second = |at: Timestamp| at.as_millis().div_ceil(1_000);
                let members = Members::new().with("seq", &seq).with("reread_by", &second(reread_by));
                respond(200, "application/json", &members.with("bound_by", &bound_by.map(second)).end())
            }
            Taken::Known(seq, _) => {
                not_rising(seq);
                let problem = http::problem("The sequence does not rise", 409, "sequence_not_rising");
                respond(409, PROBLEM, &format!("{},\"seq\":{seq}}}", problem.trim_end_matches('}')))
            }
            Taken::Refused(code, reason) => {
                log::warn("revocation_refused", &[("code", code), ("reason", &reason)]);
                problem("The revocation document is not accepted", 403, code)
            }
            Taken::Unavailable(reason) => {
                log::error("revocation_not_stored", &[("reason", &reason)]);
                unavailable()
            }
        }
    }

    /// A place for a push that arrives, if one is free. A request that was cancelled never gives its place back, so that each is
    /// free again after twice the time that arriving may take.
    fn take_place(&self) -> Option<usize> {
        let now = now();
        let place = self.arriving.get().iter().position(|until| *until <= now)?;
        self.set_place(place, now.plus_millis(2 * ARRIVAL_TIMEOUT_MILLIS));
        Some(place)
    }

    fn set_place(&self, place: usize, until: Timestamp) {
        let mut arriving = self.arriving.get();
        arriving[place] = until;
        self.arriving.set(arriving);
    }

    /// The cron trigger: fetches the document from the signer.
    pub(super) async fn pull(&self, env: &Env, subtle: &Subtle) {
        let Some(url) = &self.settings.url else { return };
        let controller = AbortController::default();
        let signal = controller.signal();
        let fetched = within(ARRIVAL_TIMEOUT_MILLIS, get(url, &signal)).await;
        let document = match fetched {
            Ok(document) => document,
            Err(reason) => {
                controller.abort();
                log::error("revocation_not_fetched", &[("url", url), ("reason", &reason)]);
                return;
            }
        };
        match self.take(&document, env, subtle).await {
            Taken::Stored(seq, _) => stored("cron", seq),
            // What was pushed is not news; but a signer that fell behind what is known revokes nothing here.
            Taken::Known(_, 0) => {}
            Taken::Known(seq, _) => not_rising(seq),
            Taken::Refused(code, reason) => {
                log::error("revocation_refused", &[("url", url), ("code", code), ("reason", &reason)]);
            }
            Taken::Unavailable(reason) => log::error("revocation_not_stored", &[("reason", &reason)]),
        }
    }

    async fn take(&self, document: &str, env: &Env, subtle: &Subtle) -> Taken {
        let refused = |error: edgeseal_core::VerifyError| Taken::Refused(error.code().as_str(), error.detail().into());
        let pending = match self.control.begin(document) {
            Ok(pending) => pending,
            Err(error) => return refused(error),
        };
        let answered = subtle.verify(pending.input()).await;
        let answered = match answered.or_else(|reason| without_web_crypto(pending.input()).ok_or(reason)) {
            Ok(answered) => answered,
            Err(reason) => return Taken::Unavailable(format!("the runtime does not take the control key: {reason}")),
        };
        let Statement { sequence, list } = match self.control.finish(pending, answered.result, now()) {
            Ok(statement) => statement,
            Err(error) => return refused(error),
        };
        let text = list.write(Members::new().with("seq", &sequence)).end();
        match self.store(&text, env).await {
            Ok((200, members)) => {
                let stored_at = members.get("stored_at").and_then(Value::as_u64).map_or_else(now, Timestamp::from_millis);
                self.reader.borrow_mut().on_push(list);
                Taken::Stored(sequence, stored_at)
            }
            Ok((409, members)) => {
                let known = members.get("seq").and_then(Value::as_u64).unwrap_or(sequence);
                Taken::Known(known, known.saturating_sub(sequence))
            }
            Ok((status, _)) => Taken::Unavailable(format!("the Durable Object answered {status}")),
            Err(reason) => Taken::Unavailable(reason),
        }
    }

    async fn store(&self, text: &str, env: &Env) -> std::result::Result<(u16, serde_json::Map<String, Value>), String> {
        let stored = async {
            let mut init = RequestInit::new();
            init.with_method(Method::Post).with_body(Some(text.into()));
            let request = Request::new_with_init("https://edgeseal.invalid/", &init)?;
            let mut response = self.stub(env)?.fetch_with_request(request).await?;
            Ok((response.status_code(), response.text().await?))
        };
        let (status, body) =
            within(STORE_TIMEOUT_MILLIS, async { stored.await.map_err(|error: worker::Error| error.to_string()) }).await?;
        let members = json::parse_object(body.as_bytes()).map(|(_, members)| members).unwrap_or_default();
        Ok((status, members))
    }

    async fn read(&self, known: u64, env: &Env) -> std::result::Result<Reading, String> {
        let read = async {
            let url = format!("https://edgeseal.invalid/?known={known}");
            let mut response = self.stub(env)?.fetch_with_str(&url).await?;
            if response.status_code() != 200 {
                return Err(format!("the Durable Object answered {}", response.status_code()).into());
            }
            let text = response.text().await?;
            let (sequence, list) = revocation_object::parse(&text)?;
            let list = (sequence != known).then_some(list);
            Ok(Reading { sequence, list })
        };
        within(READ_TIMEOUT_MILLIS, async { read.await.map_err(|error: worker::Error| error.to_string()) }).await
    }

    fn stub(&self, env: &Env) -> Result<Stub> {
        env.durable_object(BINDING)?.get_by_name(&self.settings.edge)
    }
}

fn stored(by: &str, seq: u64) {
    log::info("revocation_stored", &[("by", by), ("seq", &seq.to_string())]);
}

fn not_rising(known: u64) {
    log::warn("revocation_refused", &[("code", "sequence_not_rising"), ("seq", &known.to_string())]);
}

fn unavailable() -> Answer {
    let retry_after = [("retry-after", RETRY_AFTER_SECS.to_string())];
    problem_with("The revocation list cannot be stored now", 503, "revocation_unavailable", &retry_after)
}

fn respond(status: u16, content_type: &str, body: &str) -> Answer {
    host::answer(status, content_type, body, Vec::new())
}

/// The body of a push; `None` when it is too large.
async fn read_push(request: &mut Request) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    let mut stream = request.stream()?;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > MAX_PUSH_LEN {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

async fn get(url: &str, signal: &AbortSignal) -> std::result::Result<String, String> {
    let text = |error: worker::Error| error.to_string();
    let headers = Headers::new();
    headers.set("accept", "application/jwt").map_err(text)?;
    let mut init = RequestInit::new();
    init.with_headers(headers).with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(url, &init).map_err(text)?;
    let mut response = Fetch::Request(request).send_with_signal(signal).await.map_err(text)?;
    if response.status_code() != 200 {
        return Err(format!("answered {}", response.status_code()));
    }
    let mut body = Vec::new();
    if !matches!(response.body(), ResponseBody::Empty) {
        let mut stream = response.stream().map_err(text)?;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(text)?;
            if body.len() + chunk.len() > MAX_DOCUMENT_LEN {
                return Err(format!("more than {MAX_DOCUMENT_LEN} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
    }
    String::from_utf8(body).map_err(|_| "not text".into())
}
