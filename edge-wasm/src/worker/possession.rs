//! What the sender of a request proves to hold: the key of its `DPoP` proof (RFC 9449), the certificate of its connection (RFC 8705).
//!
//! It is asked for every request anew. The certificate is the platform's word (`request.cf`), which no client can write.

use std::sync::Arc;

use edgeseal_core::{
    DpopProof, DpopRequest, Possession, ProvenKey, VerifiedToken,
    gateway::{RequestHead, token::FoundToken},
    http::{Refusal, Scheme, presented_token},
};
use worker::{js_sys::Reflect, wasm_bindgen::JsValue, web_sys::Request};

use super::{
    gateway::{Gateway, now},
    pipeline::Flow,
    replays,
};
use crate::{certificate::ClientCertificate, verify::Bound};

/// Judges the proof that came with a bound token. The replay store is asked last: it remembers what is accepted, and nothing else.
pub(super) async fn prove(
    gateway: &Gateway,
    flow: &Flow<'_>,
    found: &FoundToken,
    bound: Bound,
) -> Result<Arc<VerifiedToken>, Refusal> {
    let field = flow.head.header("dpop");
    let key = match found.scheme.proof(field.as_deref())? {
        Some(field) => Some(proven_key(gateway, flow, found, field).await?),
        None => None,
    };
    let certificate = client_certificate(flow.request).fingerprint();
    let possession = Possession { key: key.as_ref(), certificate: certificate.as_ref() };
    let token = gateway.verifier.prove(bound, &possession, now())?;
    if let Some(key) = &key {
        replays::remember(flow.env, key).await?;
    }
    Ok(token)
}

/// The challenge for `DPoP`, beside that for bearer tokens: for a client that uses it, and for one that came with nothing, where the
/// configuration offers it.
pub(super) fn challenge(gateway: &Gateway, refusal: &Refusal, head: &RequestHead<'_>) -> Option<(&'static str, String)> {
    let authorization = head.header("authorization");
    let is_dpop = presented_token(authorization.as_deref()).is_ok_and(|(scheme, _)| scheme == Scheme::Dpop);
    let is_wanted = is_dpop || gateway.offers_dpop || refusal.code() == "proof_required";
    if !is_wanted {
        return None;
    }
    Some(("www-authenticate", refusal.dpop_challenge(&gateway.dpop.algorithms)?))
}

async fn proven_key(gateway: &Gateway, flow: &Flow<'_>, found: &FoundToken, field: &str) -> Result<ProvenKey, Refusal> {
    let proof = DpopProof::begin(field, &gateway.dpop)?;
    let answer = gateway.verify_once(proof.input()).await.map_err(Refusal::dpop_proof_invalid)?;
    let request = DpopRequest { method: flow.head.method, url: flow.url, access_token: &found.text, nonces: &[] };
    proof.finish(answer, &request, now())
}

fn client_certificate(request: &Request) -> ClientCertificate {
    let member = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let told = member(&member(request, "cf"), "tlsClientAuth");
    if !told.is_object() {
        return ClientCertificate::default();
    }
    let text = |name: &str| member(&told, name).as_string().unwrap_or_default();
    ClientCertificate {
        presented: text("certPresented"),
        verified: text("certVerified"),
        revoked: text("certRevoked"),
        fingerprint_sha256: text("certFingerprintSHA256"),
    }
}
