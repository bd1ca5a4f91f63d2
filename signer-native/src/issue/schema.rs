//! JSON Schemas for the claims of a profile: checked by the agent before anything leaves, and by the signer where it sees all.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

/// What a schema says of single claims, whichever others there are, and where it keeps parts of itself.
const OF_SINGLE_CLAIMS: [&str; 8] =
    ["$schema", "$id", "$defs", "definitions", "properties", "patternProperties", "additionalProperties", "propertyNames"];
/// References that are followed from the schema's root, one to the next: a circle has no end.
const MAX_REFERENCES: usize = 16;

/// A schema, ready to check with. References to other documents are refused: nothing is fetched.
pub struct Schema {
    document: Value,
    whole: Validator,
    /// The rules for single claims; none where they refer to a rule for all of them.
    single: Option<Validator>,
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
        // Linear in its input: claims come from others.
        let build = |document| jsonschema::options().with_pattern_options(PatternOptions::regex()).build(document);
        let whole = build(&document).map_err(|error| error.masked().to_string())?;
        let single = build(&of_single_claims(&document, &document, MAX_REFERENCES)).ok();
        Ok(Self { document, whole, single })
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
        judge(&self.whole, claims)
    }

    /// Whether those of the caller's claims that are not hidden fit, each by itself: which others there are, nobody sees here.
    ///
    /// # Errors
    /// The first place where they do not.
    pub fn check_shown(&self, claims: &Map<String, Value>) -> Result<(), SchemaMismatch> {
        let Some(single) = &self.single else {
            let sentence = "the profile's schema has no rules for single claims, so that none can be hidden from it";
            return Err(SchemaMismatch(sentence.to_owned()));
        };
        let shown = claims.iter().filter(|(name, _)| !["_sd", "_sd_alg"].contains(&name.as_str()));
        judge(single, &shown.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

fn judge(validator: &Validator, claims: &Map<String, Value>) -> Result<(), SchemaMismatch> {
    validator.validate(&Value::Object(claims.clone())).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the claims".to_owned() } else { place };
        SchemaMismatch(format!("the profile's schema refuses {place}: {}", error.masked_with("what was given")))
    })
}

/// What remains of a schema for an object of which some members are missing: it takes all that the whole one takes, and whatever
/// else only the missing ones could decide about.
fn of_single_claims(schema: &Value, root: &Value, references: usize) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let mut kept: Map<String, Value> =
        OF_SINGLE_CLAIMS.iter().filter_map(|keyword| Some(((*keyword).to_owned(), keywords.get(*keyword)?.clone()))).collect();
    let parts_of = |keyword: &str| keywords.get(keyword).and_then(Value::as_array).into_iter().flatten();
    let part = |part: &Value| of_single_claims(part, root, references);
    let mut all: Vec<Value> = parts_of("allOf").map(part).collect();
    for keyword in ["anyOf", "oneOf"] {
        let any: Vec<Value> = parts_of(keyword).map(part).collect();
        if !any.is_empty() {
            all.push(json!({ "anyOf": any }));
        }
    }
    let target = keywords.get("$ref").and_then(Value::as_str).and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    if let Some(target) = target
        && references > 0
    {
        all.push(of_single_claims(target, root, references - 1));
    }
    if !all.is_empty() {
        kept.insert("allOf".to_owned(), Value::Array(all));
    }
    Value::Object(kept)
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Schema").field(&self.document).finish()
    }
}

#[cfg(test)]
mod tests {
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
    fn what_is_shown_fits_though_others_are_hidden() {
        let shown = |schema: &Value, claims: Value| {
            let Value::Object(claims) = claims else { panic!("not an object") };
            Schema::new(schema.clone()).unwrap().check_shown(&claims).is_ok()
        };
        let person = json!({
            "type": "object",
            "properties": { "role": { "enum": ["user"] }, "address": { "$ref": "#/$defs/address" }, "age": { "minimum": 0 } },
            "required": ["role", "email"],
            "minProperties": 3,
            "additionalProperties": false,
            "$defs": { "address": { "type": "object", "required": ["country"] } },
        });
        let referred = json!({ "$ref": "#/definitions/person", "definitions": { "person": {
            "properties": { "role": { "enum": ["user"] } }, "required": ["email"],
        } } });
        let combined = json!({
            "allOf": [{ "properties": { "role": { "enum": ["user", "guest"] } }, "required": ["sub"] }],
            "oneOf": [
                { "properties": { "role": { "const": "user" } }, "required": ["email"] },
                { "properties": { "role": { "const": "user" } }, "required": ["phone"] },
            ],
            "not": { "required": ["pin"] },
            "if": { "required": ["x"] }, "else": { "required": ["y"] },
        });
        let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
        let sd = json!(["AAAA"]);
        for schema in [&person, &referred, &combined] {
            assert!(shown(schema, json!({ "_sd": sd, "_sd_alg": "sha-256" })), "{schema}");
            assert!(shown(schema, json!({ "_sd": sd, "role": "user" })), "{schema}");
            assert!(!shown(schema, json!({ "_sd": sd, "role": "admin" })), "{schema}");
        }
        assert!(!shown(&person, json!({ "_sd": sd, "other": 1 })));
        assert!(!shown(&person, json!({ "_sd": sd, "address": {} })), "what is inside a claim is shown with it");
        assert!(shown(&person, json!({ "_sd": sd, "address": { "country": "KR" } })));
        assert!(shown(&circle, json!({ "_sd": sd, "role": "user" })));
        // What says nothing of single claims but refers to what is left out cannot be checked in part.
        let entangled = json!({ "not": { "required": ["pin"] }, "properties": { "a": { "$ref": "#/not" } } });
        assert!(!shown(&entangled, json!({ "_sd": sd })));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(Schema::new(json!({ "type": "nonsense" })).is_err());
        assert!(Schema::new(json!({ "$ref": "https://schemas.example.com/other.json" })).is_err());
    }
}
