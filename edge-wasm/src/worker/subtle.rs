//! The runtime's WebCrypto: keys are imported once, and asked for each signature.

use std::cell::RefCell;

use edgeseal_core::{Algorithm, PublicKey, backend::SignatureInput};
use web_sys::{CryptoKey, SubtleCrypto};
use worker::{
    js_sys::{self, JSON, Object, Reflect},
    wasm_bindgen::{JsCast as _, JsValue},
};

use super::drive::settled;
use crate::{verify::Answered, webcrypto::KeyImport};

/// Keys that are kept imported: those of several full sets.
const MAX_KEYS: usize = 1_024;

/// `crypto.subtle` and the keys that it has imported.
#[derive(Debug)]
pub(super) struct Subtle {
    subtle: Result<SubtleCrypto, String>,
    keys: RefCell<Vec<(PublicKey, Algorithm, Imported)>>,
}

#[derive(Clone, Debug)]
struct Imported {
    key: CryptoKey,
    verify: Object,
}

impl Subtle {
    /// The runtime's.
    pub(super) fn of_runtime() -> Self {
        let subtle = Reflect::get(&js_sys::global(), &"crypto".into())
            .and_then(|crypto| Reflect::get(&crypto, &"subtle".into()))
            .map(JsValue::unchecked_into)
            .map_err(|error| text(&error));
        Self { subtle, keys: RefCell::default() }
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// Why WebCrypto cannot: it does not take the key.
    pub(super) async fn verify(&self, input: &SignatureInput) -> Result<Answered, String> {
        let subtle = self.subtle.as_ref().map_err(Clone::clone)?;
        ask(subtle, &self.imported(subtle, input).await?, input).await
    }

    /// As [`Subtle::verify`], for a key that will hardly come again.
    pub(super) async fn verify_once(&self, input: &SignatureInput) -> Result<Answered, String> {
        let subtle = self.subtle.as_ref().map_err(Clone::clone)?;
        let imported = import(subtle, &KeyImport::of(input)).await.map_err(|error| text(&error))?;
        ask(subtle, &imported, input).await
    }

    async fn imported(&self, subtle: &SubtleCrypto, input: &SignatureInput) -> Result<Imported, String> {
        let (key, algorithm) = (input.key().public_key(), input.algorithm());
        let is_it = |(known, of, _): &&(PublicKey, Algorithm, Imported)| *of == algorithm && known == key;
        if let Some((_, _, imported)) = self.keys.borrow().iter().find(is_it) {
            return Ok(imported.clone());
        }
        let imported = import(subtle, &KeyImport::of(input)).await.map_err(|error| text(&error))?;
        let mut keys = self.keys.borrow_mut();
        if keys.len() == MAX_KEYS {
            keys.remove(0);
        }
        keys.push((key.clone(), algorithm, imported.clone()));
        Ok(imported)
    }
}

async fn ask(subtle: &SubtleCrypto, Imported { key, verify }: &Imported, input: &SignatureInput) -> Result<Answered, String> {
    let answer = subtle
        .verify_with_object_and_u8_array_and_u8_array(verify, key, input.signature(), input.message())
        .map_err(|error| text(&error))?;
    let valid = settled(answer).await.map_err(|error| text(&error))?;
    Ok(Answered::by_web_crypto(valid.is_truthy()))
}

async fn import(subtle: &SubtleCrypto, KeyImport { jwk, import, verify }: &KeyImport) -> Result<Imported, JsValue> {
    let object = |text: &str| JSON::parse(text).map(Object::from);
    let usages = js_sys::Array::of1(&"verify".into());
    let imported = subtle.import_key_with_object("jwk", &object(jwk)?, &object(import)?, false, &usages)?;
    Ok(Imported { key: settled(imported).await?.unchecked_into(), verify: object(verify)? })
}

fn text(error: &JsValue) -> String {
    format!("{error:?}")
}
