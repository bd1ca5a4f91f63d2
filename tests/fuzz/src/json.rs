//! Any octets: core's strict JSON, serde_json alone, and the plain reader.

use edgeseal_core::json::{parse_object, to_string};
use serde::Deserialize as _;
use serde_json::Value;

use super::oracle::Json;

pub fn run(data: &[u8]) {
    let ours = parse_object(data);
    if let Ok((text, _)) = &ours {
        assert_eq!(text.as_bytes(), data);
    }
    // Without serde_json's own limit of depth, so that only ours is judged.
    let mut deserializer = serde_json::Deserializer::from_slice(data);
    deserializer.disable_recursion_limit();
    let theirs = Value::deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value)).ok();
    let Some((plain, remarks)) = Json::read(data) else {
        assert!(ours.is_err(), "no JSON, and accepted");
        assert!(theirs.is_none(), "no JSON, and accepted by serde_json");
        return;
    };
    if remarks.disputed {
        return;
    }
    // What serde_json accepts and Edgeseal does not is what the manual says: a duplicate, depth, or no object.
    let theirs = theirs.expect("JSON, and refused by serde_json");
    let strict = matches!(plain, Json::Object(_)) && !remarks.duplicate && remarks.depth <= 128;
    match ours {
        Ok((_, members)) => {
            assert!(strict, "accepted with {remarks:?}");
            let ours = Value::Object(members);
            assert_eq!(ours, theirs);
            assert!(plain.equals(&ours), "read otherwise: {ours}");
            // What is written of it is the same value to every reader.
            let written = to_string(&ours);
            let (again, _) = Json::read(written.as_bytes()).expect("JSON is written");
            assert!(again.equals(&ours), "written otherwise: {written}");
            assert!(serde_json::from_str(&written).is_ok_and(|value| again.equals(&value)) || remarks.depth > 120, "{written}");
        }
        Err(error) => assert!(!strict, "refused: {error}"),
    }
}
