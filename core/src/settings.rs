//! Settings from JSON text: one reader for all of them, so that every refusal names the setting and what it takes.
//!
//! ```
//! use edgeseal_core::settings::Fields;
//! # fn main() -> Result<(), edgeseal_core::PolicyError> {
//! let mut fields = Fields::from_json("settings", r#"{"leeway":30}"#)?;
//! let leeway: Option<u64> = fields.optional("leeway")?;
//! fields.finish()?;
//! assert_eq!(leeway, Some(30));
//! # Ok(())
//! # }
//! ```

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    error::{PolicyError, quoted},
    json,
};

/// The largest whole number that every reader of JSON takes for the same one (RFC 8259 section 6): JavaScript's hosts cannot tell
/// those beyond it apart.
const MAX_WHOLE: u64 = (1 << 53) - 1;

/// The members of a JSON object that holds settings, taken out one by one.
#[derive(Debug)]
pub struct Fields {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    mistake: Option<PolicyError>,
}

/// What a setting can be.
pub trait Setting: Sized {
    /// The setting from its JSON value.
    ///
    /// # Errors
    /// What it must be instead; the path in the error begins within the value.
    fn from_value(value: Value) -> Result<Self, PolicyError>;
}

impl Fields {
    /// The settings in a text; `whole` names the text in a refusal.
    ///
    /// # Errors
    /// When the text is not one JSON object, or has a member twice.
    pub fn from_json(whole: &'static str, text: &str) -> Result<Self, PolicyError> {
        let (_, members) = json::parse_object(text.as_bytes()).map_err(|error| PolicyError::new(whole, error.to_string()))?;
        Ok(Self::of(members))
    }

    /// The settings in a value.
    ///
    /// # Errors
    /// When it is not an object.
    pub fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value {
            Value::Object(members) => Ok(Self::of(members)),
            other => Err(expected("an object", &other)),
        }
    }

    fn of(members: Map<String, Value>) -> Self {
        Self { members, known: Vec::new(), mistake: None }
    }

    /// As [`Fields::optional`]; a mistake waits for [`Fields::finish`]. A dozen settings read one after the other are half the code
    /// when none of them may be the last.
    pub fn take<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        match self.optional(name) {
            Ok(setting) => setting,
            Err(mistake) => {
                self.note(mistake);
                None
            }
        }
    }

    /// As [`Fields::required`]; a mistake waits for [`Fields::finish`], and what is returned then means nothing.
    pub fn demand<T: Setting + Default>(&mut self, name: &'static str) -> T {
        let setting = self.take(name);
        if setting.is_none() {
            self.note(PolicyError::new(name, "is missing"));
        }
        setting.unwrap_or_default()
    }

    /// The first mistake is the one that is told.
    fn note(&mut self, mistake: PolicyError) {
        if self.mistake.is_none() {
            self.mistake = Some(mistake);
        }
    }

    /// A setting that may be absent; `null` is absent.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn optional<T: Setting>(&mut self, name: &'static str) -> Result<Option<T>, PolicyError> {
        self.known.push(name);
        match self.members.get_mut(name).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::from_value(value).map(Some).map_err(|error| error.within(name)),
        }
    }

    /// A setting that has a default.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn or<T: Setting>(&mut self, name: &'static str, default: T) -> Result<T, PolicyError> {
        self.optional(name).map(|setting| setting.unwrap_or(default))
    }

    /// A setting that must be there.
    ///
    /// # Errors
    /// When it is absent or of another type.
    pub fn required<T: Setting>(&mut self, name: &'static str) -> Result<T, PolicyError> {
        self.optional(name)?.ok_or_else(|| PolicyError::new(name, "is missing"))
    }

    /// Refuses what no setting has been made of.
    ///
    /// # Errors
    /// The first mistake that waited; the first unknown name, and the known ones.
    pub fn finish(self) -> Result<(), PolicyError> {
        let Self { members, known, mistake } = self;
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(PolicyError::new(name.clone(), alloc::format!("is not a setting here; there are {}", known.join(", "))))
            }
        }
    }
}

impl Setting for bool {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        value.as_bool().ok_or_else(|| expected("true or false", &value))
    }
}

impl Setting for u64 {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        value.as_u64().filter(|number| *number <= MAX_WHOLE).ok_or_else(|| expected("a whole number from 0 to 2^53 - 1", &value))
    }
}

impl Setting for String {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(expected("a string", &other)),
        }
    }
}

impl Setting for Algorithm {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let name = String::from_value(value)?;
        name.parse().map_err(|error| PolicyError::new("", alloc::format!("is {}: {error}", quoted(&name))))
    }
}

impl Setting for Value {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        Ok(value)
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let Value::Array(elements) = value else { return Err(expected("an array", &value)) };
        let read = |(index, element)| T::from_value(element).map_err(|error| error.within(&alloc::format!("[{index}]")));
        elements.into_iter().enumerate().map(read).collect()
    }
}

/// The refusal of a value of another type.
pub fn expected(what: &str, value: &Value) -> PolicyError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) if what.starts_with("a whole number") => "another number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    PolicyError::new("", alloc::format!("must be {what}, not {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Inner(u64);

    impl Setting for Inner {
        fn from_value(value: Value) -> Result<Self, PolicyError> {
            let mut fields = Fields::from_value(value)?;
            let inner = Self(fields.demand("a"));
            fields.finish()?;
            Ok(inner)
        }
    }

    fn read(text: &str) -> Result<Vec<u64>, String> {
        let read = || {
            let mut fields = Fields::from_json("whole", text)?;
            let inner: Vec<Inner> = fields.or("inner", Vec::new())?;
            let _: Option<bool> = fields.take("switch");
            let _: Option<String> = fields.take("name");
            fields.finish()?;
            Ok(inner.iter().map(|inner| inner.0).collect())
        };
        read().map_err(|error: PolicyError| error.to_string())
    }

    #[test]
    fn a_refusal_names_the_setting() {
        assert_eq!(read(r#"{"inner":[{"a":1},{"a":2}],"switch":true,"name":null}"#), Ok(alloc::vec![1, 2]));
        assert_eq!(read(r#"{"inner":[{"a":9007199254740991}]}"#), Ok(alloc::vec![MAX_WHOLE]));
        for (text, told) in [
            ("[]", "whole: not a JSON object"),
            (r#"{"switch":true,"switch":true}"#, "whole: a member name occurs twice"),
            (r#"{"switch":1}"#, "switch: must be true or false, not a number"),
            (r#"{"name":["x"]}"#, "name: must be a string, not an array"),
            (r#"{"other":1,"name":1,"switch":1}"#, "switch: must be true or false, not a number"),
            (r#"{"inner":{}}"#, "inner: must be an array, not an object"),
            (r#"{"inner":[{"a":1},7]}"#, "inner[1]: must be an object, not a number"),
            (r#"{"inner":[{"a":-1}]}"#, "inner[0].a: must be a whole number from 0 to 2^53 - 1, not another number"),
            (r#"{"inner":[{"a":-0}]}"#, "inner[0].a: must be a whole number from 0 to 2^53 - 1, not another number"),
            (
                r#"{"inner":[{"a":9007199254740992}]}"#,
                "inner[0].a: must be a whole number from 0 to 2^53 - 1, not another number",
            ),
            (r#"{"inner":[{}]}"#, "inner[0].a: is missing"),
            (r#"{"inner":[{"a":1,"b":2}]}"#, "inner[0].b: is not a setting here; there are a"),
            (r#"{"nam":"x"}"#, "nam: is not a setting here; there are inner, switch, name"),
        ] {
            assert!(read(text).unwrap_err().starts_with(told), "{text}: {:?}", read(text));
        }
    }
}
