//! JSON Schemas for the claims of a profile: checked by the agent before anything leaves, and by the signer where it sees all.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// A schema, ready to check with. References to other documents are refused: nothing is fetched.
pub struct Schema {
    document: Value,
    validator: Validator,
}

/// The claims are not what the schema asks for. The sentence names places and rules, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch(String);

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SchemaMismatch {}

impl Schema {
    /// A schema from its document.
    ///
    /// # Errors
    /// Why the document is no schema that can be checked here.
    pub fn new(document: Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            // Linear in its input: claims come from others.
            .with_pattern_options(PatternOptions::regex())
            .build(&document)
            .map_err(|error| error.masked().to_string())?;
        Ok(Self { document, validator })
    }

    /// The schema itself.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Whether the caller's claims fit.
    ///
    /// # Errors
    /// The first place where they do not.
    pub fn check(&self, claims: &Map<String, Value>) -> Result<(), SchemaMismatch> {
        let claims = Value::Object(claims.clone());
        self.validator.validate(&claims).map_err(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the claims".to_owned() } else { place };
            SchemaMismatch(format!("the profile's schema refuses {place}: {}", error.masked_with("what was given")))
        })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Schema").field(&self.document).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mismatch_names_the_place_and_not_the_value() {
        let schema = json!({ "properties": { "age": { "type": "integer" } }, "required": ["sub"] });
        let schema = Schema::new(schema).unwrap();
        let check = |claims: Value| {
            let Value::Object(claims) = claims else { panic!("not an object") };
            schema.check(&claims).map_err(|mismatch| mismatch.to_string())
        };
        assert_eq!(check(json!({ "sub": "alice", "age": 30 })), Ok(()));
        let refused = check(json!({ "sub": "alice", "age": "secret-value" })).unwrap_err();
        assert!(refused.contains("/age") && !refused.contains("secret-value"), "{refused}");
        assert!(check(json!({ "age": 1 })).unwrap_err().contains("sub"));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(Schema::new(json!({ "type": "nonsense" })).is_err());
        assert!(Schema::new(json!({ "$ref": "https://schemas.example.com/other.json" })).is_err());
    }
}
