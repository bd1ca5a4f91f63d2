//! The WebAssembly inside the npm package. `npm/src/core.ts` is its other side.
//!
//! What every token needs crosses the boundary as octets and numbers in memory that both sides see: JavaScript writes the token
//! into [`Core::input`], calls [`Core::verify`], and reads the outcome's numbers from [`Core::reply`]: addresses and lengths of
//! texts, which hold until the next call. What is rare crosses as strings.
//!
//! Every method takes `&self`, and no borrow of a cell spans a parse or a verification. A trap ends the instance all the same: see
//! [`renew`].

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};

use edgeseal_core::{
    Algorithm, Check, ErrorCode, Jwk, JwkSet, PublicKey, Timestamp, UnverifiedToken, VerifiedToken, VerifyError,
    backend::{
        SignatureInput,
        p256::{HotKeys, PreparedKey},
        rsa_verify,
    },
    http::{Refusal, bearer_token, max_age},
    json::{self, Members},
    sd::MAX_PRESENTATION_LEN,
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    settings::VerifierSettings,
    verify::{
        Answer, Answered, Backend, Fetch, Fetched, HostSettings, IssuerStats, Outcome, Pending, Step, TokenVerifier, own_rsa,
        reference, without_web_crypto,
    },
    webcrypto::KeyImport,
};

/// Octets of a token or `Authorization` field that the face hands over at most: more than is accepted, whatever scheme stands
/// before the token, so that it is refused here.
const INPUT_LEN: usize = MAX_PRESENTATION_LEN + 64;
/// Tokens that wait for WebCrypto at most. A Worker's request that is cancelled meanwhile never asks for its verdict.
const MAX_PENDING: usize = 16_384;
/// Keys that have a number: those of several full sets.
const MAX_NUMBERED_KEYS: usize = 1_024;

/// Verified: the addresses and lengths of claims and header, whether there is a refresh, address and length of the JSON text of what
/// was disclosed (0 for nothing), where in the input the token begins (0 in an answer to WebCrypto's).
const VERIFIED: u32 = 0;
/// Ask WebCrypto: the numbers of pending token and key, addresses and lengths of message and signature, whether there is a
/// refresh, where in the input the token begins.
const SIGNATURE: u32 = 1;
/// Refused: address and length of JSON text, 0, 0, whether there is a refresh.
const REFUSED: u32 = 2;
/// Refused for its signature: as above, always the same text.
const SIGNATURE_INVALID: u32 = 3;
/// Fetch a document: address and length of JSON text.
const FETCH: u32 = 4;
/// Somebody else is fetching.
const WAIT: u32 = 5;
/// No backend of this build and host can verify it: address and length of the algorithm's name.
const UNSUPPORTED: u32 = 6;
/// The number of a pending token is not known: begin again.
const FORGOTTEN: u32 = 7;

thread_local! {
    static INPUT: Rc<[u8]> = vec![0; INPUT_LEN].into();
}

/// The verifier behind one `createVerifier`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Core {
    verifier: TokenVerifier,
    /// What the face writes tokens into, from outside: one for all verifiers, as each token is read at once.
    input: Rc<[u8]>,
    reply: [Cell<u32>; 8],
    /// What the reply's addresses point to.
    text: RefCell<String>,
    token: RefCell<Option<Arc<VerifiedToken>>>,
    signature_invalid: OnceCell<String>,
    refresh: RefCell<Option<Fetch>>,
    /// What the face was told to fetch, by the number that it was told.
    fetches: RefCell<Vec<(u32, Fetch)>>,
    next_fetch: Cell<u32>,
    /// Tokens that wait for WebCrypto, by the number that the face was told.
    pending: RefCell<Vec<(u32, Box<Pending>)>>,
    next_pending: Cell<u32>,
    /// Keys by the number under which the face keeps what it imported.
    keys: RefCell<Vec<(PublicKey, Algorithm, u32)>>,
    next_key: Cell<u32>,
}

#[wasm_bindgen]
impl Core {
    /// `settings` is the JSON text of [`VerifierSettings`]; `seed` is 0..1.
    ///
    /// # Errors
    /// Throws JSON text: `{setting, message}` for a setting that cannot be meant, a refusal for an inline JWK Set that is not one.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &str, has_web_crypto: bool, seed: f64) -> Result<Core, String> {
        let VerifierSettings { issuers, cache, backend, token_cache } =
            VerifierSettings::from_json(settings).map_err(|error| mistake(error.setting(), &error.to_string()))?;
        let host = HostSettings { backend, has_web_crypto, token_cache, seed: seed.to_bits(), proves_possession: false };
        let verifier = TokenVerifier::new(&issuers, cache, host).map_err(|(index, error)| {
            if error.code() == ErrorCode::JwksMalformed.as_str() {
                return refused(&Refusal::new(ErrorCode::JwksMalformed, Check::Key, error.to_string()));
            }
            let parent = match index {
                Some(index) if issuers.len() > 1 => format!("issuers[{index}]."),
                _ => String::new(),
            };
            mistake(&format!("{parent}{}", error.setting()), &format!("{parent}{error}"))
        })?;
        let input = INPUT.with(Rc::clone);
        let room = [address(&input), length(&input), 0, 0, 0, 0, 0, 0];
        Ok(Self {
            verifier,
            input,
            reply: room.map(Cell::new),
            text: RefCell::default(),
            token: RefCell::default(),
            signature_invalid: OnceCell::new(),
            refresh: RefCell::default(),
            fetches: RefCell::default(),
            next_fetch: Cell::new(1),
            pending: RefCell::default(),
            next_pending: Cell::new(1),
            keys: RefCell::default(),
            next_key: Cell::new(1),
        })
    }

    /// The address of the eight numbers of a reply. Before the first one they are address and length of the memory to write a token
    /// into, and zeros.
    pub fn reply(&self) -> usize {
        self.reply.as_ptr() as usize
    }

    /// One step for a compact token of `length` octets; gives the kind of the reply. `nonce` is what the caller gave the holder of
    /// an SD-JWT; `now` is in milliseconds.
    #[expect(clippy::needless_pass_by_value, reason = "wasm-bindgen takes no reference to an optional text")]
    pub fn verify(&self, length: usize, nonce: Option<String>, now: f64) -> u32 {
        let Some(octets) = self.input.get(..length) else { return self.refuse_too_large(now) };
        let Ok(compact) = str::from_utf8(octets) else { return FORGOTTEN };
        self.begin(compact, 0, nonce.as_deref(), timestamp(now))
    }

    /// As [`Core::verify`], for the value of an `Authorization` field, empty where there is none.
    #[expect(clippy::needless_pass_by_value, reason = "wasm-bindgen takes no reference to an optional text")]
    pub fn authorize(&self, length: usize, nonce: Option<String>, now: f64) -> u32 {
        let Some(octets) = self.input.get(..length) else { return self.refuse_too_large(now) };
        let Ok(field) = str::from_utf8(octets) else { return FORGOTTEN };
        match bearer_token(Some(field)) {
            Ok(token) => {
                self.begin(token, (address(token.as_bytes()) - address(&self.input)) as usize, nonce.as_deref(), timestamp(now))
            }
            Err(refusal) => self.refuse(&refusal, None),
        }
    }

    /// What `crypto.subtle.verify` said of a pending token.
    pub fn finish(&self, id: u32, valid: bool, now: f64) -> u32 {
        let Some(pending) = self.take_pending(id) else { return FORGOTTEN };
        self.conclude(*pending, Answered::by_web_crypto(valid), 0, timestamp(now))
    }

    /// `crypto.subtle` cannot verify a pending token: another backend does, if there is one.
    pub fn decline(&self, id: u32, now: f64) -> u32 {
        let Some(pending) = self.take_pending(id) else { return FORGOTTEN };
        if let Some(answered) = self.verifier.verify_without_web_crypto(&pending) {
            return self.conclude(*pending, answered, 0, timestamp(now));
        }
        self.reply_text(pending.input().algorithm().name().into());
        UNSUPPORTED
    }

    /// How to import the key of a pending token: the JSON text of [`KeyImport`].
    #[wasm_bindgen(js_name = keyImport)]
    pub fn key_import(&self, id: u32) -> Option<String> {
        self.pending.borrow().iter().find(|(waits, _)| *waits == id).map(|(_, pending)| KeyImport::of(pending.input()).to_json())
    }

    /// The fetch to carry out off the request path, once after a reply that says that there is one.
    #[wasm_bindgen(js_name = takeRefresh)]
    pub fn take_refresh(&self) -> Option<String> {
        let fetch = self.refresh.borrow_mut().take();
        fetch.map(|fetch| self.hand_out(fetch))
    }

    /// The answer to a fetch, `cache_control` empty and `age` 0 where the field is absent. Where none came, `status` is 0 and `body` the
    /// reason, for refusals and counters to tell. Returns the next document to fetch, if any.
    #[expect(
        clippy::too_many_arguments,
        reason = "what an answer has, one by one: an object would be read across the border member by member"
    )]
    pub fn fetched(
        &self,
        id: u32,
        status: u16,
        body: &[u8],
        cache_control: &str,
        age: u32,
        etag: Option<String>,
        now: f64,
    ) -> Option<String> {
        let fetch = self.take_fetch(id)?;
        let answer = Answer { status, body, max_age: max_age(cache_control, age.into()), etag };
        let fetched = match status {
            0 => TokenVerifier::on_failure(fetch, str::from_utf8(body).unwrap_or_default(), timestamp(now)),
            _ => TokenVerifier::on_response(fetch, answer, timestamp(now)),
        };
        match fetched {
            Fetched::Next(next) => Some(self.hand_out(next)),
            Fetched::Keys | Fetched::Failed(_) => None,
        }
    }

    /// The fetched key sets: JSON text of an array of documents, for [`Core::restore`] elsewhere.
    #[wasm_bindgen(js_name = exportState)]
    pub fn export_state(&self) -> String {
        strings(&self.verifier.snapshots())
    }

    /// Takes one document of such an array, or says why not.
    pub fn restore(&self, snapshot: &str, now: f64) -> Option<String> {
        self.verifier.restore(snapshot, timestamp(now)).err()
    }

    /// JSON text of the counters, times in seconds.
    pub fn stats(&self) -> String {
        let mut issuers = Vec::new();
        self.verifier.stats(|stats| {
            let IssuerStats { issuer, keys, fetched_at, trouble, cache, origin: _ } = stats;
            let members = Members::new()
                .with("issuer", &issuer)
                .with("keys", &number(keys))
                .with("fetchedAt", &fetched_at.map(Timestamp::as_secs))
                .with("fetches", &cache.fetches)
                .with("failures", &cache.failures)
                .with("lastFailure", &trouble)
                .with("staleServed", &cache.stale_served)
                .with("suppressed", &cache.suppressed);
            issuers.push(members.end());
        });
        let counts = self.verifier.counts();
        let (tokens, bytes) = self.verifier.cached_tokens();
        let verifications = Members::new()
            .with("p256-tables", &counts.tables)
            .with("webcrypto", &counts.web_crypto)
            .with("rustcrypto", &counts.rust_crypto)
            .with(rsa_verify::NAME, &counts.rsa);
        let cache = Members::new().with("hits", &counts.token_hits).with("tokens", &number(tokens)).with("bytes", &number(bytes));
        Members::new()
            .with("backend", self.verifier.choice().name())
            .with_json("verifications", &verifications.end())
            .with("hotKeys", &number(self.verifier.hot_keys()))
            .with_json("tokenCache", &cache.end())
            .with_json("issuers", &json::array(issuers))
            .end()
    }
}

impl Core {
    fn begin(&self, compact: &str, start: usize, nonce: Option<&str>, now: Timestamp) -> u32 {
        match self.verifier.begin(compact, nonce, now) {
            Step::Verified(token, refresh) => self.verified(token, start, refresh),
            Step::Bound(_, refresh) => self.refuse(&no_proof(), refresh),
            Step::Verify(pending) => self.proceed(pending, start, now),
            Step::Fetch(fetch) => {
                let text = self.hand_out(fetch);
                self.reply_text(text);
                FETCH
            }
            Step::Wait => WAIT,
            Step::Refused(refusal, refresh) => self.refuse(&refusal, refresh),
        }
    }

    /// A text that has no room: any text of that length is refused alike.
    fn refuse_too_large(&self, now: f64) -> u32 {
        self.begin(&"~".repeat(INPUT_LEN), 0, None, timestamp(now))
    }

    fn proceed(&self, mut pending: Box<Pending>, start: usize, now: Timestamp) -> u32 {
        let Some(answered) = self.verifier.verify_signature(&pending) else { return self.ask(pending, start) };
        let refresh = pending.take_refresh();
        self.refresh.replace(refresh);
        self.conclude(*pending, answered, start, now)
    }

    /// Hands a signature out to WebCrypto.
    #[expect(clippy::cast_possible_truncation, reason = "wasm32: an address has 32 bits")]
    fn ask(&self, mut pending: Box<Pending>, start: usize) -> u32 {
        let refresh = pending.take_refresh();
        let id = self.next_pending.get();
        self.next_pending.set(id.wrapping_add(1));
        let input = pending.input();
        self.set_reply([
            id,
            self.number_of_key(input),
            address(input.message()),
            length(input.message()),
            address(input.signature()),
            length(input.signature()),
            refresh.is_some().into(),
            start as u32,
        ]);
        self.refresh.replace(refresh);
        let mut waiting = self.pending.borrow_mut();
        if waiting.len() == MAX_PENDING {
            waiting.remove(0);
        }
        waiting.push((id, pending));
        SIGNATURE
    }

    /// Judges a token whose signature was answered. A refresh that was found in this call stands ready.
    fn conclude(&self, pending: Pending, answered: Answered, start: usize, now: Timestamp) -> u32 {
        match self.verifier.finish(pending, answered, now) {
            Ok(Outcome::Verified(token)) => {
                let refresh = self.refresh.borrow_mut().take();
                self.verified(token, start, refresh)
            }
            Ok(Outcome::KeyBinding(mut pending)) => {
                pending.set_refresh(self.refresh.borrow_mut().take());
                self.proceed(pending, start, now)
            }
            Ok(Outcome::Bound(_)) => {
                let refresh = self.refresh.borrow_mut().take();
                self.refuse(&no_proof(), refresh)
            }
            Err(refusal) => {
                let refresh = self.refresh.borrow_mut().take();
                self.refuse(&refusal, refresh)
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "wasm32: an address has 32 bits")]
    fn verified(&self, token: Arc<VerifiedToken>, start: usize, refresh: Option<Fetch>) -> u32 {
        // Both texts are JSON that core has read to the end.
        let (claims, header) = (token.claims_json().as_bytes(), token.header_json().as_bytes());
        let has_refresh = refresh.is_some().into();
        let disclosed = match token.disclosed() {
            [] => String::new(),
            paths => strings(paths),
        };
        let (at, len) = (address(disclosed.as_bytes()), length(disclosed.as_bytes()));
        self.set_reply([address(claims), length(claims), address(header), length(header), has_refresh, at, len, start as u32]);
        self.text.replace(disclosed);
        self.refresh.replace(refresh);
        self.token.replace(Some(token));
        VERIFIED
    }

    fn refuse(&self, refusal: &Refusal, refresh: Option<Fetch>) -> u32 {
        let has_refresh = refresh.is_some().into();
        self.refresh.replace(refresh);
        let is_signature = refusal.code() == ErrorCode::SignatureInvalid.as_str();
        if is_signature {
            let text = self.signature_invalid.get_or_init(|| refused(refusal)).as_bytes();
            self.set_reply([address(text), length(text), 0, 0, has_refresh, 0, 0, 0]);
            return SIGNATURE_INVALID;
        }
        self.reply_text(refused(refusal));
        self.reply[4].set(has_refresh);
        REFUSED
    }

    fn reply_text(&self, text: String) {
        self.set_reply([address(text.as_bytes()), length(text.as_bytes()), 0, 0, 0, 0, 0, 0]);
        self.text.replace(text);
    }

    fn set_reply(&self, numbers: [u32; 8]) {
        for (cell, number) in self.reply.iter().zip(numbers) {
            cell.set(number);
        }
    }

    fn take_fetch(&self, id: u32) -> Option<Fetch> {
        let mut fetches = self.fetches.borrow_mut();
        let position = fetches.iter().position(|(told, _)| *told == id)?;
        Some(fetches.swap_remove(position).1)
    }

    fn take_pending(&self, id: u32) -> Option<Box<Pending>> {
        let mut waiting = self.pending.borrow_mut();
        let position = waiting.iter().position(|(waits, _)| *waits == id)?;
        Some(waiting.remove(position).1)
    }

    /// The number under which the face keeps the imported key. A key that is forgotten here gets a new one.
    fn number_of_key(&self, input: &SignatureInput) -> u32 {
        let (key, algorithm) = (input.key().public_key(), input.algorithm());
        let mut keys = self.keys.borrow_mut();
        if let Some((_, _, number)) = keys.iter().find(|(known, of, _)| *of == algorithm && known == key) {
            return *number;
        }
        if keys.len() == MAX_NUMBERED_KEYS {
            keys.remove(0);
        }
        let number = self.next_key.get();
        self.next_key.set(number.wrapping_add(1));
        keys.push((key.clone(), algorithm, number));
        number
    }

    fn hand_out(&self, fetch: Fetch) -> String {
        let id = self.next_fetch.get();
        self.next_fetch.set(id.wrapping_add(1));
        let text = Members::new().with("id", &u64::from(id)).with("url", fetch.url()).with("etag", &fetch.if_none_match()).end();
        self.fetches.borrow_mut().push((id, fetch));
        text
    }
}

/// Ends this instance of the module after a trap, as nothing in its memory is to be believed; no [`Core`] outlives it. With `true` the
/// next call of any function makes a new instance. That call must hand over no text, since the glue would write it into the old one's
/// memory: it is this function's again, with `false`.
#[wasm_bindgen]
pub fn renew(end: bool) {
    if end {
        wasm_bindgen::handler::schedule_reinit();
    }
}

/// A refusal without a token: what the face answers when it gives up waiting for keys.
#[wasm_bindgen(js_name = keysUnavailable)]
pub fn keys_unavailable(detail: &str, now: f64) -> String {
    let now = timestamp(now);
    refused(&Refusal::keys_unavailable(detail, now, now))
}

/// A refusal for a caller that has no token at all.
#[wasm_bindgen(js_name = tokenMissing)]
pub fn token_missing(detail: &str) -> String {
    refused(&Refusal::token_missing(detail))
}

/// A refusal of claims by the caller's own schema.
#[wasm_bindgen(js_name = claimsRefused)]
pub fn claims_refused(detail: &str) -> String {
    refused(&Refusal::new(ErrorCode::ClaimInvalid, Check::Claims, detail))
}

/// A refusal of a signature.
#[wasm_bindgen(js_name = signatureInvalid)]
pub fn signature_invalid() -> String {
    refused(&VerifyError::signature_invalid().into())
}

/// Verifies a signature below the level of tokens with the backend of this name: `["verified"]`, a refusal, or
/// `["import", {jwk, import, verify}]` to ask WebCrypto; `["unsupported"]` where neither can.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(
    algorithm: &str,
    jwk: &str,
    message: &[u8],
    signature: &[u8],
    backend: &str,
    has_web_crypto: bool,
) -> String {
    let Some(algorithm) = Algorithm::from_name(algorithm) else {
        let refusal = Refusal::new(ErrorCode::AlgorithmNotAllowed, Check::Algorithm, "not an algorithm that Edgeseal verifies");
        return refused(&refusal);
    };
    let key = match Jwk::from_json(jwk) {
        Ok(key) => key,
        Err(problem) => return refused(&problem_of_key(&problem.to_string())),
    };
    let input = match SignatureInput::new(algorithm, Arc::new(key), message.into(), signature.into()) {
        Ok(input) => input,
        Err(error) => return refused(&error.into()),
    };
    let may_ask = has_web_crypto && matches!(backend, "auto" | "webcrypto");
    let answered = match backend {
        _ if may_ask => None,
        "auto" => without_web_crypto(&input).or_else(|| by_table(&input)),
        "rustcrypto" => reference(&input),
        "p256-tables" => by_table(&input),
        rsa_verify::NAME => own_rsa(&input),
        _ => None,
    };
    match answered {
        Some(Answered { result: Ok(_), .. }) => "[\"verified\"]".into(),
        Some(Answered { result: Err(_), .. }) => signature_invalid(),
        None if may_ask => format!("[\"import\",{}]", KeyImport::of(&input).to_json()),
        None => "[\"unsupported\"]".into(),
    }
}

fn by_table(input: &SignatureInput) -> Option<Answered> {
    // Room for the generator's table and one key's.
    let mut tables = HotKeys::new(2 * PreparedKey::BYTES, 1);
    let prepared = tables.get_or_make(input.key().public_key())?;
    Some(Answered { backend: Backend::Tables, result: prepared.verify_input(input) })
}

/// This face brings no proofs, and its verifier takes no bound tokens.
fn no_proof() -> Refusal {
    Refusal::new(ErrorCode::ProofRequired, Check::Proof, "the token is bound to a key (cnf)")
}

fn problem_of_key(problem: &str) -> Refusal {
    Refusal::new(ErrorCode::KeyNotFound, Check::Key, problem)
}

/// What a JWK Set holds: `["inspected", {keys, usable, skipped}]` or a refusal.
#[wasm_bindgen(js_name = inspectJwks)]
pub fn inspect_jwks(text: &str) -> String {
    match JwkSet::from_json(text) {
        Ok(set) => {
            let skipped = set.skipped().iter().map(|skipped| {
                Members::new().with("index", &number(skipped.index)).with("reason", skipped.reason.as_str()).end()
            });
            let inspection = Members::new()
                .with("keys", &number(set.total()))
                .with("usable", &number(set.keys().len()))
                .with_json("skipped", &json::array(skipped));
            format!("[\"inspected\",{}]", inspection.end())
        }
        Err(error) => refused(&error.into()),
    }
}

/// A token's header and claims for a person to look at: `["inspected", {header, claims}]` or a refusal.
#[wasm_bindgen(js_name = inspectToken)]
pub fn inspect_token(text: &str) -> String {
    match UnverifiedToken::parse(text) {
        Ok(token) => {
            // The payload has not been read by core: it goes over as text, and the face parses it.
            let inspection = Members::new().with_json("header", token.header_json()).with("claims", &token.unverified_payload());
            format!("[\"inspected\",{}]", inspection.end())
        }
        Err(error) => refused(&error.into()),
    }
}

fn refused(refusal: &Refusal) -> String {
    let details = Members::new()
        .with("code", refusal.code())
        .with("check", &refusal.check().map(Check::as_str))
        .with("detail", refusal.detail())
        .with("status", &u64::from(refusal.status()))
        .with("challenge", &refusal.challenge())
        .with("problem", &refusal.problem())
        .with("retryAfter", &refusal.retry_after());
    format!("[\"refused\",{}]", details.end())
}

/// JSON text of an array of strings.
fn strings(texts: &[String]) -> String {
    json::array(texts.iter().map(|text| {
        let mut quoted = String::new();
        json::write_string(text, &mut quoted);
        quoted
    }))
}

/// A mistake in the options, for the face to throw.
fn mistake(setting: &str, message: &str) -> String {
    Members::new().with("setting", setting).with("message", message).end()
}

/// A count, which no `usize` of wasm32 is too large for.
fn number(count: usize) -> u64 {
    count as u64
}

#[expect(clippy::cast_possible_truncation, reason = "wasm32: an address has 32 bits")]
fn address(bytes: &[u8]) -> u32 {
    bytes.as_ptr() as usize as u32
}

#[expect(clippy::cast_possible_truncation, reason = "wasm32: a length has 32 bits")]
fn length(bytes: &[u8]) -> u32 {
    bytes.len() as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the face lets only finite times since 1970 through")]
fn timestamp(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis as u64)
}
