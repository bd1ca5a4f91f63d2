//! JSON through one visitor that refuses duplicate members at any depth and bounds the nesting.
//!
//! `serde_json` refuses trailing bytes, a byte order mark, invalid UTF-8, lone surrogates and numbers beyond a double.

mod double;
mod number;

use alloc::{string::String, vec::Vec};
use core::{
    cell::Cell,
    fmt::{self, Write as _},
};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The deepest nesting, the outermost value counted as 1: far beyond any real token, and shallow enough for any stack.
pub const MAX_DEPTH: usize = 128;

/// What is wrong with a text that should be a JSON object.
#[derive(Debug)]
pub enum JsonError {
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON, with `serde_json`'s reason.
    Syntax(serde_json::Error),
    /// JSON that is refused by the rules above.
    Refused(Fault),
    /// A JSON value, but not an object.
    NotAnObject,
    /// A JSON value, but not an array.
    NotAnArray,
}

impl core::error::Error for JsonError {}

/// What JSON texts may not be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A member name occurs twice in an object.
    Duplicate,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A number beyond the largest double.
    NotFinite,
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => formatter.write_str("not UTF-8"),
            Self::Syntax(error) => error.fmt(formatter),
            Self::Refused(Fault::Duplicate) => formatter.write_str("a member name occurs twice"),
            Self::Refused(Fault::TooDeep) => write!(formatter, "nested deeper than {MAX_DEPTH}"),
            Self::Refused(Fault::NotFinite) => formatter.write_str("number is not finite"),
            Self::NotAnObject => formatter.write_str("not a JSON object"),
            Self::NotAnArray => formatter.write_str("not a JSON array"),
        }
    }
}

/// Parses exactly one JSON object and gives its text as UTF-8 back with it.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_object(bytes: &[u8]) -> Result<(&str, Map<String, Value>), JsonError> {
    match parse(bytes)? {
        (text, Value::Object(members)) => Ok((text, members)),
        _ => Err(JsonError::NotAnObject),
    }
}

/// Parses exactly one JSON array.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_array(bytes: &[u8]) -> Result<Vec<Value>, JsonError> {
    match parse(bytes)? {
        (_, Value::Array(elements)) => Ok(elements),
        _ => Err(JsonError::NotAnArray),
    }
}

/// A value as compact JSON text.
pub fn to_string(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Appends a value as compact JSON text. `serde_json`'s own writer would bring a table of powers of ten that is an eighth of
/// the smallest WebAssembly module, and the standard library's printing of doubles a ninth.
pub fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

/// Appends an object as compact JSON text.
pub fn write_object(members: &Map<String, Value>, out: &mut String) {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

/// A JSON object written member by member, for values that are at hand: a [`Map`] of them would only be made to be read once.
#[derive(Debug)]
pub struct Members(String);

impl Members {
    /// An object without members.
    #[expect(clippy::new_without_default, reason = "nobody needs an empty one")]
    pub fn new() -> Self {
        Self(String::from("{"))
    }

    /// One more member, whose name is none of those before.
    #[must_use]
    pub fn with<T: Member + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.begin(name);
        value.write_to(&mut self.0);
        self
    }

    /// One more member whose value is JSON text.
    #[must_use]
    pub fn with_json(mut self, name: &str, json: &str) -> Self {
        self.begin(name);
        self.0.push_str(json);
        self
    }

    /// The object's text.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn begin(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_string(name, &mut self.0);
        self.0.push(':');
    }
}

/// What a member's value may be.
pub trait Member {
    /// Appends it as JSON text.
    fn write_to(&self, out: &mut String);
}

impl Member for str {
    fn write_to(&self, out: &mut String) {
        write_string(self, out);
    }
}

impl Member for String {
    fn write_to(&self, out: &mut String) {
        write_string(self, out);
    }
}

impl Member for u64 {
    fn write_to(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{self}");
    }
}

impl<T: Member + ?Sized> Member for &T {
    fn write_to(&self, out: &mut String) {
        (**self).write_to(out);
    }
}

impl<T: Member> Member for Option<T> {
    fn write_to(&self, out: &mut String) {
        match self {
            Some(value) => value.write_to(out),
            None => out.push_str("null"),
        }
    }
}

/// The JSON text of an array of values that are JSON text.
pub fn array(elements: impl IntoIterator<Item = String>) -> String {
    let mut text = String::from("[");
    for element in elements {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&element);
    }
    text.push(']');
    text
}

/// Appends a string as JSON text (RFC 8259 section 7).
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing to a string cannot fail.
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

fn write_number(number: &Number, out: &mut String) {
    // Writing to a string cannot fail.
    if let Some(number) = number.as_u64() {
        let _ = write!(out, "{number}");
    } else if let Some(number) = number.as_i64() {
        let _ = write!(out, "{number}");
    } else {
        // A number of serde_json is finite.
        double::write(number.as_f64().unwrap_or_default(), out);
    }
}

fn parse(bytes: &[u8]) -> Result<(&str, Value), JsonError> {
    let text = core::str::from_utf8(bytes).map_err(|_| JsonError::NotUtf8)?;
    let value = match read(text, text) {
        Err(JsonError::Syntax(error)) => match number::without_largest(text) {
            Some(readable) => read(&readable, text),
            None => Err(JsonError::Syntax(error)),
        },
        other => other,
    };
    Ok((text, value?))
}

/// `text` says what the numbers are, `readable` all else.
fn read(readable: &str, text: &str) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_str(readable);
    // The visitor below counts the depth itself, so that the bound is ours and is exact.
    deserializer.disable_recursion_limit();
    let fault = Cell::new(None);
    let literals = number::Literals::new(text);
    let value = Strict { depth: 1, fault: &fault, literals: &literals }.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    match (fault.get(), value) {
        (Some(fault), _) => Err(JsonError::Refused(fault)),
        (None, Ok(value)) => Ok(value),
        (None, Err(error)) => Err(JsonError::Syntax(error)),
    }
}

/// A fault is told in the cell, and null in the place of the value: how `serde_json` makes an error of a message is 5 kB of WebAssembly.
/// Whatever it reads on from there, nothing but the fault comes of it.
#[derive(Clone, Copy)]
struct Strict<'text> {
    depth: usize,
    fault: &'text Cell<Option<Fault>>,
    literals: &'text number::Literals<'text>,
}

impl Strict<'_> {
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }

    fn refused(self, fault: Fault) -> Value {
        self.fault.set(Some(fault));
        Value::Null
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.literals.count();
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.literals.count();
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        let exact = self.literals.exact(value).and_then(Number::from_f64);
        Ok(exact.map_or_else(|| self.refused(Fault::NotFinite), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        if self.depth > MAX_DEPTH {
            return Ok(self.refused(Fault::TooDeep));
        }
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self.inside())? {
            if self.fault.get().is_some() {
                break;
            }
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        if self.depth > MAX_DEPTH {
            return Ok(self.refused(Fault::TooDeep));
        }
        let mut members = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.inside())?;
            if self.fault.get().is_some() {
                break;
            }
            if let Some(_earlier) = members.insert(name, value) {
                return Ok(self.refused(Fault::Duplicate));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn refusal(text: &[u8]) -> String {
        match parse_object(text) {
            Ok(_) => std::panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn duplicates_are_refused_at_any_depth() {
        assert!(refusal(br#"{"a":1,"a":1}"#).contains("twice"));
        assert!(refusal(br#"{"a":[{"b":{"c":1,"d":2,"\u0063":3}}]}"#).contains("twice"));
        assert!(parse_object(br#"{"a":{"a":{"a":1}}}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded_exactly() {
        let nested = |depth: usize| std::format!("{}{}", "{\"a\":".repeat(depth - 1), "{}".to_string() + &"}".repeat(depth - 1));
        assert!(parse_object(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refusal(nested(MAX_DEPTH + 1).as_bytes()).contains("deeper"));
        let arrays = |depth: usize| std::format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(parse_object(arrays(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refusal(arrays(MAX_DEPTH + 1).as_bytes()).contains("deeper"));
        assert!(refusal(arrays(110_000).as_bytes()).contains("deeper"));
        // Never closed: the bound strikes before the end is missed.
        assert!(refusal("{\"a\":".repeat(100_000).as_bytes()).contains("deeper"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = r#"{"":null,"\u0000\"\\\n/é😀":[true,false,0,-7,18446744073709551615,1.5,-2.5e-300,1.7976931348623157e308,0.30000000000000004,[],{}]}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&to_string(&value)).unwrap(), value);
        assert_eq!(to_string(&Value::from("a\"\\\u{1f}")), r#""a\"\\\u001f""#);
        assert_eq!(to_string(&Value::from(1.5)), "1.5e0");
        assert_eq!(to_string(&serde_json::json!({"b": [1, {"a": null}]})), r#"{"b":[1,{"a":null}]}"#);
    }

    #[test]
    fn members_are_written_as_they_come() {
        assert_eq!(Members::new().end(), "{}");
        let inner = Members::new().with("a\"", "\n").end();
        let none: Option<&str> = None;
        let all = Members::new().with("n", &7).with("o", &Some("x")).with("u", &none).with_json("i", &inner);
        let all = all.with_json("e", &array([])).with_json("l", &array([inner.clone(), "1".into()])).end();
        assert_eq!(all, r#"{"n":7,"o":"x","u":null,"i":{"a\"":"\u000a"},"e":[],"l":[{"a\"":"\u000a"},1]}"#);
        assert!(serde_json::from_str::<Value>(&all).is_ok());
    }

    #[test]
    fn numbers_are_the_nearest_doubles() {
        for literal in [
            "1.7976931348623157e308",
            "123456789012345678901234567890",
            "1749999999.99999988",
            "8.41e-300",
            "2.2250738585072011e-308",
        ] {
            let text = std::format!(r#"{{"one":-1,"text":"1.5\"2","list":[2,0.1,{literal}],"last":{literal}}}"#);
            let (_, members) = parse_object(text.as_bytes()).unwrap();
            for number in [&members["list"][2], &members["last"]] {
                assert_eq!(number.as_f64().unwrap().to_bits(), literal.parse::<f64>().unwrap().to_bits(), "{literal}");
            }
        }
    }

    /// What is replaced for the second reading is a number, and what makes it none stays.
    #[test]
    fn what_is_no_number_is_refused_next_to_the_largest_double_too() {
        let zeros = "0".repeat(292);
        let whole = std::format!("17976931348623157{zeros}");
        let good = [
            "17976931348623157e292",
            "17976931348623157E+292",
            "17976931348623157.0e292",
            "1.7976931348623157e308",
            "1.797693134862315708e0308",
            "0.17976931348623157e309",
            "0.00017976931348623157e312",
            &whole,
            &std::format!("{whole}.0"),
            &std::format!("{whole}e0"),
            &std::format!("{whole}.0e-0"),
        ]
        .map(String::from);
        let bad = [
            "17976931348623157.e292",
            "17976931348623157.E+292",
            "0017976931348623157e292",
            "017976931348623157e292",
            "01.7976931348623157e308",
            "00.17976931348623157e309",
            "+17976931348623157e292",
            ".17976931348623157e309",
            " -  17976931348623157e292",
            "--17976931348623157e292",
            "17976931348623157e292e",
            "17976931348623157e292.",
            "17976931348623157e292.5",
            "17976931348623157e292e5",
            "17976931348623157e292-5",
            "17976931348623157e2920",
            "17976931348623157e 292",
            "1 7976931348623157e292",
            "1.7976931348623157e+",
            &std::format!("{whole}e"),
            &std::format!("{whole}E"),
            &std::format!("{whole}e+"),
            &std::format!("{whole}e-"),
            &std::format!("{whole}."),
            &std::format!("{whole}.e0"),
            &std::format!("{whole}.0e"),
            &std::format!("0{whole}"),
            &std::format!("00{whole}"),
        ]
        .map(String::from);
        for literal in &good {
            for sign in ["", "-"] {
                let text = std::format!(r#"{{"a":[{sign}{literal}],"b":{sign}{literal}}}"#);
                let (_, members) = parse_object(text.as_bytes()).unwrap();
                let expected = std::format!("{sign}{literal}").parse::<f64>().unwrap();
                assert_eq!(members["b"].as_f64(), Some(expected), "{sign}{literal}");
                assert_eq!(members["a"][0].as_f64(), Some(expected), "{sign}{literal}");
            }
        }
        for literal in &bad {
            // Beside a good one too, which lets the text be read once more.
            for text in [
                std::format!(r#"{{"a":{literal}}}"#),
                std::format!(r#"{{"a":-{literal}}}"#),
                std::format!(r#"{{"a":[{literal}]}}"#),
                std::format!(r#"{{"a":{whole},"b":{literal},"c":{whole}}}"#),
            ] {
                assert!(parse_object(text.as_bytes()).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn text_rules() {
        for text in [
            &b"\xef\xbb\xbf{}"[..],
            b"{}x",
            b"{} {}",
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\ud800"}"#,
            br#"{"\udc00":1}"#,
            br#"{"a":1e400}"#,
            br#"{"a":1.7976931348623158e308}"#,
            br#"{"a":NaN}"#,
            br#"{"a":01}"#,
            br#"{"a":1,}"#,
            b"{'a':1}",
            b"",
            b"[]",
            b"null",
            b"\"{}\"",
            b"{\"a\":\"\n\"}",
        ] {
            let _ = refusal(text);
        }
        assert!(parse_object(b" {\"a\" :\r\n1e3}\t").is_ok());
        assert!(parse_object(br#"{"a":"\ud83d\ude00"}"#).is_ok());
    }
}
