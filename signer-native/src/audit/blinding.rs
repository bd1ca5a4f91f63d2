//! Claim values in the log: as HMACs under a key of the log's own, so that the log can answer whether a token held this value
//! and cannot be read for values.

use std::{fmt, fs, path::Path};

use aws_lc_rs::hmac;
use edgeseal_core::json;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::encode;
use crate::{
    error::{Failure, FailureKind},
    files,
};

/// Octets of the key.
const KEY_LEN: usize = 32;
/// Octets of an HMAC that are kept: nobody guesses 128 bits, and rows stay small.
const KEPT: usize = 16;
/// How deep a value may nest to be shown as it is; a deeper one is shown as its JSON text. With the row around it, it stays within what
/// every reader of JSON takes, that of the log among them.
const SHOWN_DEPTH: usize = 64;

/// The key of the HMACs, or that values are written as they are.
#[derive(Clone)]
pub struct Blinding(Option<hmac::Key>);

impl Blinding {
    /// Values are written as they are.
    pub fn none() -> Self {
        Self(None)
    }

    /// Under this key.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Some(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The key in this file (32 octets), which is made with mode 0600 if it is not there.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds something else.
    pub fn open(setting: &str, path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn fmt::Display| {
            Failure::new(FailureKind::Configuration, format!("{setting} {} cannot be used: {error}", path.display()))
        };
        let mut key = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(&mut *key).map_err(|error| failed(&error))?;
        match files::create_private(path, &*key) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let found = Zeroizing::new(fs::read(path).map_err(|error| failed(&error))?);
                if found.len() != KEY_LEN {
                    return Err(failed(&format_args!("it has {} bytes, and takes exactly {KEY_LEN} random ones", found.len())));
                }
                key.copy_from_slice(&found);
            }
            Err(error) => return Err(failed(&error)),
        }
        Ok(Self::new(&key))
    }

    /// Claims as the log shows them: names as they are, values as HMACs over name and value.
    pub fn claims(&self, claims: &Map<String, Value>) -> Map<String, Value> {
        claims.iter().map(|(name, value)| (name.clone(), self.value(name, value))).collect()
    }

    /// One of them that is a text.
    pub fn text(&self, name: &str, value: &str) -> String {
        match self.value(name, &Value::String(value.to_owned())) {
            Value::String(shown) => shown,
            other => other.to_string(),
        }
    }

    fn value(&self, name: &str, value: &Value) -> Value {
        let Some(key) = &self.0 else {
            if nests_within(value, SHOWN_DEPTH) {
                return value.clone();
            }
            let mut text = String::new();
            json::write(value, &mut text);
            return Value::String(text);
        };
        let mut context = hmac::Context::with_key(key);
        // A name's JSON form ends where it ends, so that no other name and value give the same octets.
        let mut text = String::new();
        json::write_string(name, &mut text);
        json::write(value, &mut text);
        context.update(text.as_bytes());
        let tag = context.sign();
        Value::String(format!("hmac:{}", encode(tag.as_ref().get(..KEPT).unwrap_or_default())))
    }
}

fn nests_within(value: &Value, depth: usize) -> bool {
    let within = |value: &Value| depth > 0 && nests_within(value, depth - 1);
    match value {
        Value::Array(elements) => elements.iter().all(within),
        Value::Object(members) => members.values().all(within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Blinding(HMAC)" } else { "Blinding(none)" })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use edgeseal_core::json;
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn values_are_hidden_and_can_be_compared() {
        let blinding = Blinding::new(&[7; KEY_LEN]);
        let shown = blinding.claims(&map(&json!({"sub": "alice", "n": 1})));
        assert_eq!(shown, blinding.claims(&map(&json!({"n": 1, "sub": "alice"}))));
        assert!(!Value::Object(shown.clone()).to_string().contains("alice"));
        assert_ne!(shown["sub"], blinding.claims(&map(&json!({"sub": "bob"})))["sub"]);
        assert_ne!(shown["sub"], blinding.claims(&map(&json!({"sup": "alice"})))["sup"]);
        assert_ne!(shown["sub"], Blinding::new(&[8; KEY_LEN]).claims(&map(&json!({"sub": "alice"})))["sub"]);
        assert_eq!(Blinding::none().claims(&map(&json!({"sub": "alice"})))["sub"], "alice");
    }

    #[test]
    fn what_nests_too_deep_for_a_row_is_shown_as_its_text() {
        let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for (depth, is_text) in [(1, false), (SHOWN_DEPTH + 1, false), (SHOWN_DEPTH + 2, true), (json::MAX_DEPTH - 1, true)] {
            let (_, claims) = json::parse_object(nested(depth).as_bytes()).unwrap();
            let shown = Blinding::none().claims(&claims);
            assert_eq!(shown["x"].is_string(), is_text, "{depth}");
            let row = json!({ "detail": { "claims": shown } }).to_string();
            assert!(json::parse_object(row.as_bytes()).is_ok() && serde_json::from_str::<Value>(&row).is_ok(), "{depth}");
        }
    }

    #[test]
    fn the_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let claims = map(&json!({"sub": "alice"}));
        let first = Blinding::open("audit.hmac_key_file", &path).unwrap().claims(&claims);
        assert_eq!(Blinding::open("audit.hmac_key_file", &path).unwrap().claims(&claims), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        let refused = Blinding::open("audit.hmac_key_file", &path).unwrap_err().to_string();
        assert!(refused.contains("takes exactly 32"), "{refused}");
    }
}
