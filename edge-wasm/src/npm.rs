//! The WebAssembly inside the npm package: strings and numbers in, JSON text out. `npm/src/core.ts` is its other side.
//!
//! Every method takes `&self`, and no borrow of a cell spans a parse or a verification: a trap leaves the instance usable.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Write as _,
};

use edgeseal_core::{Algorithm, Check, ErrorCode, Jwk, JwkSet, Timestamp, UnverifiedToken};
use serde_json::{Value, json};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    authorization::bearer_token,
    refusal::Refusal,
    settings::VerifierSettings,
    verify::{Answer, Fetch, Fetched, IssuerStats, Step, TokenVerifier},
};

/// The verifier behind one `createVerifier`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Core {
    verifier: TokenVerifier,
    /// What the face was told to fetch, by the number that it was told.
    fetches: RefCell<BTreeMap<u32, Fetch>>,
    next_fetch: Cell<u32>,
}

#[wasm_bindgen]
impl Core {
    /// `settings` is the JSON text of [`VerifierSettings`]; `seed` is 0..1.
    ///
    /// # Errors
    /// Throws JSON text: `{setting, message}` for a setting that cannot be meant, a refusal for an inline JWK Set that is not one.
    #[wasm_bindgen(constructor)]
    pub fn new(settings: &str, seed: f64) -> Result<Core, String> {
        let VerifierSettings { issuers, cache } = VerifierSettings::from_json(settings)
            .map_err(|message| json!({ "setting": "options", "message": message }).to_string())?;
        let verifier = TokenVerifier::new(&issuers, cache, seed.to_bits()).map_err(|(index, error)| {
            if error.code() == ErrorCode::JwksMalformed.as_str() {
                return refused(&Refusal::new(ErrorCode::JwksMalformed, Check::Key, error.to_string()), None);
            }
            let parent = match index {
                Some(index) if issuers.len() > 1 => format!("issuers[{index}]."),
                _ => String::new(),
            };
            json!({ "setting": format!("{parent}{}", error.setting()), "message": format!("{parent}{error}") }).to_string()
        })?;
        Ok(Self { verifier, fetches: RefCell::default(), next_fetch: Cell::new(1) })
    }

    /// One step for a compact token; see `Reply` in `core.ts`. `now` is in milliseconds.
    pub fn verify(&self, token: &str, now: f64) -> String {
        let now = timestamp(now);
        match self.verifier.begin(token, now) {
            Step::Verify(mut pending) => {
                let refresh = pending.take_refresh().map(|fetch| self.hand_out(fetch));
                let answer = self.verifier.verify_signature(&pending);
                match pending.finish(answer, now) {
                    Ok(token) => {
                        let (header, claims) = (token.header_json(), token.claims_json());
                        let refresh = refresh.as_deref().unwrap_or("null");
                        let mut reply = String::with_capacity(header.len() + claims.len() + refresh.len() + 20);
                        // Both texts are JSON that core has read to the end.
                        for part in ["[\"verified\",", header, ",", claims, ",", refresh, "]"] {
                            reply.push_str(part);
                        }
                        reply
                    }
                    Err(refusal) => refused(&refusal, refresh.as_deref()),
                }
            }
            Step::Fetch(fetch) => format!("[\"fetch\",{}]", self.hand_out(fetch)),
            Step::Wait => "[\"wait\"]".into(),
            Step::Refused(refusal) => refused(&refusal, None),
        }
    }

    /// As [`Core::verify`], for the value of an `Authorization` field, empty where there is none.
    pub fn authorize(&self, authorization: &str, now: f64) -> String {
        match bearer_token(Some(authorization)) {
            Ok(token) => self.verify(token, now),
            Err(refusal) => refused(&refusal, None),
        }
    }

    /// The answer to a fetch, `cache_control` empty where the field is absent; returns the next document to fetch, if any.
    pub fn fetched(
        &self,
        id: u32,
        status: u16,
        body: &[u8],
        cache_control: &str,
        etag: Option<String>,
        now: f64,
    ) -> Option<String> {
        let fetch = self.fetches.borrow_mut().remove(&id)?;
        let answer = Answer { status, body, cache_control: Some(cache_control), etag };
        match TokenVerifier::on_response(fetch, answer, timestamp(now)) {
            Fetched::Next(next) => Some(self.hand_out(next)),
            Fetched::Keys | Fetched::Failed(_) => None,
        }
    }

    /// A fetch failed.
    pub fn failed(&self, id: u32, now: f64) {
        let fetch = self.fetches.borrow_mut().remove(&id);
        if let Some(fetch) = fetch {
            TokenVerifier::on_failure(&fetch, "", timestamp(now));
        }
    }

    /// JSON text of the counters, times in seconds.
    pub fn stats(&self) -> String {
        let mut issuers = Vec::new();
        self.verifier.stats(|stats| {
            let IssuerStats { issuer, keys, fetched_at, cache } = stats;
            issuers.push(json!({
                "issuer": issuer,
                "keys": keys,
                "fetchedAt": fetched_at.map(Timestamp::as_secs),
                "fetches": cache.fetches,
                "failures": cache.failures,
                "staleServed": cache.stale_served,
                "suppressed": cache.suppressed,
            }));
        });
        json!({ "backend": "rustcrypto", "issuers": issuers }).to_string()
    }

    fn hand_out(&self, fetch: Fetch) -> String {
        let id = self.next_fetch.get();
        self.next_fetch.set(id.wrapping_add(1));
        let text = json!({ "id": id, "url": fetch.url(), "etag": fetch.if_none_match() }).to_string();
        self.fetches.borrow_mut().insert(id, fetch);
        text
    }
}

/// A refusal without a token: what the face answers when it gives up waiting for keys.
#[wasm_bindgen(js_name = keysUnavailable)]
pub fn keys_unavailable(detail: &str, now: f64) -> String {
    let now = timestamp(now);
    refused(&Refusal::keys_unavailable(detail, now, now), None)
}

/// A refusal for a caller that has no token at all.
#[wasm_bindgen(js_name = tokenMissing)]
pub fn token_missing(detail: &str) -> String {
    refused(&Refusal::token_missing(detail), None)
}

/// Verifies a signature below the level of tokens: `["verified"]` or a refusal.
#[wasm_bindgen(js_name = verifySignature)]
pub fn verify_signature(algorithm: &str, jwk: &str, message: &[u8], signature: &[u8]) -> String {
    let Some(algorithm) = Algorithm::from_name(algorithm) else {
        let refusal = Refusal::new(ErrorCode::AlgorithmNotAllowed, Check::Algorithm, "not an algorithm that Edgeseal verifies");
        return refused(&refusal, None);
    };
    let key = match Jwk::from_json(jwk) {
        Ok(key) => key,
        Err(problem) => return refused(&Refusal::new(ErrorCode::KeyNotFound, Check::Key, problem.to_string()), None),
    };
    match key.verify_signature(algorithm, message, signature) {
        Ok(()) => "[\"verified\"]".into(),
        Err(error) => refused(&error.into(), None),
    }
}

/// What a JWK Set holds: `["inspected", {keys, usable, skipped}]` or a refusal.
#[wasm_bindgen(js_name = inspectJwks)]
pub fn inspect_jwks(text: &str) -> String {
    match JwkSet::from_json(text) {
        Ok(set) => {
            let skipped: Vec<Value> = set
                .skipped()
                .iter()
                .map(|skipped| json!({ "index": skipped.index, "reason": skipped.reason.as_str() }))
                .collect();
            format!("[\"inspected\",{}]", json!({ "keys": set.total(), "usable": set.keys().len(), "skipped": skipped }))
        }
        Err(error) => refused(&error.into(), None),
    }
}

/// A token's header and claims for a person to look at: `["inspected", {header, claims}]` or a refusal.
#[wasm_bindgen(js_name = inspectToken)]
pub fn inspect_token(text: &str) -> String {
    match UnverifiedToken::parse(text) {
        Ok(token) => {
            // The payload has not been read by core: it goes over as text, and the face parses it.
            let claims = Value::from(token.unverified_payload());
            format!("[\"inspected\",{{\"header\":{},\"claims\":{claims}}}]", token.header_json())
        }
        Err(error) => refused(&error.into(), None),
    }
}

fn refused(refusal: &Refusal, refresh: Option<&str>) -> String {
    let details = json!({
        "code": refusal.code(),
        "check": refusal.check().map(Check::as_str),
        "detail": refusal.detail(),
        "status": refusal.status(),
        "challenge": refusal.challenge(),
        "problem": refusal.problem(),
        "retryAfter": refusal.retry_after(),
    });
    let mut reply = String::from("[\"refused\",");
    // Writing to a string cannot fail.
    let _ = write!(reply, "{details},{}]", refresh.unwrap_or("null"));
    reply
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the face lets only finite times since 1970 through")]
fn timestamp(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis as u64)
}
