//! `edgeseal verify --jsonl`: one verdict for every line that comes in, in order, whatever the line holds.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use edgeseal_core::{
    Algorithm, ErrorCode, Jwk, JwkSet, PolicyError, SignatureBackend, SignatureInvalid, Timestamp, UnverifiedToken, Verifier,
    VerifyError, backend::SignatureInput, json, policy::IssuerSettings, settings::Setting as _,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::Witness;
use crate::{
    backend::{Choice, Native},
    error::{Failure, FailureKind},
};

/// The code of a line that is no corpus line.
const LINE_MALFORMED: &str = "line_malformed";
/// The code of a policy that cannot be meant, as [`PolicyError::code`] says it.
const POLICY_INVALID: &str = "policy_invalid";
/// The last second of the year 9999, as for every `NumericDate`.
const MAX_NOW: f64 = 253_402_300_799.0;

pub(super) fn run(choice: Choice, timing: bool) -> Result<ExitCode, Failure> {
    // One for all lines, so that keys become hot as they would in a service.
    let native = Native::new(choice);
    let system = |what: &str, error: &io::Error| Failure::new(FailureKind::System, format!("standard {what}: {error}"));
    let mut input = io::BufReader::with_capacity(64 * 1024, io::stdin().lock());
    let mut output = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut line = Vec::new();
    loop {
        // Whoever waits for verdicts gets them before we wait for lines.
        if input.buffer().is_empty() {
            output.flush().map_err(|error| system("output", &error))?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(|error| system("input", &error))? == 0 {
            break;
        }
        if line.iter().all(|byte| b" \t\r\n".contains(byte)) {
            continue;
        }
        let began = Instant::now();
        let backend = Witness::new(&native);
        let verdict = judge(&backend, &line);
        let mut written = serde_json::json!({
            "id": verdict.id,
            "v": if verdict.code.is_none() { "accept" } else { "reject" },
            "code": verdict.code,
        });
        if timing {
            written["ms"] = (began.elapsed().as_secs_f64() * 1_000.0).into();
            written["backend"] = backend.answered().into();
        }
        writeln!(output, "{written}").map_err(|error| system("output", &error))?;
    }
    output.flush().map_err(|error| system("output", &error))?;
    Ok(ExitCode::SUCCESS)
}

struct Verdict {
    id: Option<String>,
    /// `None` accepts.
    code: Option<&'static str>,
}

/// Why a line is not accepted.
struct Rejected(&'static str);

impl From<VerifyError> for Rejected {
    fn from(error: VerifyError) -> Self {
        Self(error.code().as_str())
    }
}

impl From<PolicyError> for Rejected {
    fn from(error: PolicyError) -> Self {
        Self(error.code())
    }
}

fn judge(backend: &impl SignatureBackend, line: &[u8]) -> Verdict {
    let malformed = |id| Verdict { id, code: Some(LINE_MALFORMED) };
    let Some(Members(members)) = core::str::from_utf8(line).ok().and_then(|text| serde_json::from_str(text).ok()) else {
        return malformed(None);
    };
    let line = Line { members };
    let Some(id) = line.text("id") else { return malformed(None) };
    let outcome = if line.members.contains_key("token") { line.token(backend) } else { line.signature(backend) };
    Verdict { id: Some(id), code: outcome.err().map(|Rejected(code)| code) }
}

/// The top-level members with their values as they were written, so that what is wrong inside a JWK Set stays wrong.
struct Members<'line>(BTreeMap<String, &'line RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = entries.next_entry::<String, &'de RawValue>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member name occurs twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Line<'line> {
    members: BTreeMap<String, &'line RawValue>,
}

impl Line<'_> {
    fn raw(&self, name: &str) -> Result<&str, Rejected> {
        self.members.get(name).map(|value| value.get()).ok_or(Rejected(LINE_MALFORMED))
    }

    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.raw(name).ok()?).ok()
    }

    fn needed(&self, name: &str) -> Result<String, Rejected> {
        self.text(name).ok_or(Rejected(LINE_MALFORMED))
    }

    fn token(&self, backend: &impl SignatureBackend) -> Result<(), Rejected> {
        let (token, jwks, now) = (self.needed("token")?, self.raw("jwks")?, self.now()?);
        let (settings, nonce) = self.settings()?;
        let policy = settings.policy()?;
        let keys = JwkSet::from_json_with(jwks, settings.key_rules())?;
        let mut token = UnverifiedToken::parse(&token)?;
        if let Some(nonce) = nonce {
            token = token.with_nonce(nonce);
        }
        Verifier::new(policy).verify_with(backend, token, &keys, now)?;
        Ok(())
    }

    fn now(&self) -> Result<Timestamp, Rejected> {
        let now: f64 = serde_json::from_str(self.raw("now")?).map_err(|_| Rejected(LINE_MALFORMED))?;
        if !(0.0..=MAX_NOW).contains(&now) {
            return Err(Rejected(LINE_MALFORMED));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds were checked")]
        // As the npm package's clock is read: a second begins with its first millisecond, on every host.
        Ok(Timestamp::from_millis((now * 1_000.0) as u64))
    }

    /// The line's policy as [`IssuerSettings`]: the same names but for iss, aud and the opt-outs; null is absent. Beside it the nonce
    /// that a caller would give.
    fn settings(&self) -> Result<(IssuerSettings, Option<String>), Rejected> {
        let invalid = || Rejected(POLICY_INVALID);
        let mut policy = match self.members.get("policy") {
            Some(policy) => json::parse_object(policy.get().as_bytes()).map_err(|_| invalid())?.1,
            None => Map::new(),
        };
        policy.retain(|_, value| !value.is_null());
        let mut dangerous = Map::new();
        let mut settings = Map::new();
        for (name, setting, skip) in [("iss", "issuer", "skip_issuer"), ("aud", "audience", "skip_audience")] {
            match policy.remove(name) {
                Some(value) => settings.insert(setting.to_owned(), value),
                None => dangerous.insert(skip.to_owned(), true.into()),
            };
        }
        match policy.remove("require_exp") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => drop(dangerous.insert("allow_missing_exp".to_owned(), true.into())),
            Some(_) => return Err(invalid()),
        }
        for name in ["allow_rsa_exponent_3", "skip_nonce"] {
            if let Some(value) = policy.remove(name) {
                dangerous.insert(name.to_owned(), value);
            }
        }
        let nonce = match policy.remove("nonce") {
            None => None,
            Some(Value::String(nonce)) => Some(nonce),
            Some(_) => return Err(invalid()),
        };
        for name in ["typ", "leeway", "max_lifetime", "max_age", "audience_claim", "required_claims", "require_key_exp", "sd_jwt"]
        {
            if let Some(value) = policy.remove(name) {
                settings.insert(name.to_owned(), value);
            }
        }
        if !policy.is_empty() {
            return Err(invalid());
        }
        let algorithms = self.raw("alg_allow").map_err(|_| invalid())?;
        settings.insert("algorithms".to_owned(), serde_json::from_str(algorithms).map_err(|_| invalid())?);
        settings.insert("dangerous".to_owned(), Value::Object(dangerous));
        IssuerSettings::from_value(Value::Object(settings)).map(|settings| (settings, nonce)).map_err(|_| invalid())
    }

    fn signature(&self, backend: &impl SignatureBackend) -> Result<(), Rejected> {
        let algorithm = self.needed("alg")?;
        let jwk = self.raw("jwk")?;
        let (message, signature) = (self.octets("msg_hex")?, self.octets("sig_hex")?);
        let algorithm = Algorithm::from_name(&algorithm).ok_or(Rejected(ErrorCode::AlgorithmNotAllowed.as_str()))?;
        let key = Jwk::from_json(jwk).map_err(VerifyError::from)?;
        let input = SignatureInput::new(algorithm, Arc::new(key), message, signature)?;
        backend.verify(&input).map(drop).map_err(|SignatureInvalid| Rejected(ErrorCode::SignatureInvalid.as_str()))
    }

    fn octets(&self, name: &str) -> Result<Vec<u8>, Rejected> {
        let text = self.needed(name)?;
        let digits = |pair: &[u8]| {
            let [high, low] = pair else { return None };
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            Some(value(*high)? << 4 | value(*low)?)
        };
        text.as_bytes().chunks(2).map(digits).collect::<Option<_>>().ok_or(Rejected(LINE_MALFORMED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> (Option<String>, Option<&'static str>) {
        let verdict = judge(&Native::default(), line.as_bytes());
        (verdict.id, verdict.code)
    }

    #[test]
    fn every_line_gets_a_verdict() {
        let malformed = (None, Some(LINE_MALFORMED));
        for line in ["x", "[]", "null", "{}", "{\"id\":1}", "\u{feff}{}", "{\"id\":\"a\",\"id\":\"b\"}", "{\"id\":\"a\"} x"] {
            assert_eq!(code(line), malformed, "{line}");
        }
        assert_eq!(judge(&Native::default(), b"{\"id\":\"\xff\"}").code, Some(LINE_MALFORMED));
        let named = |line: &str| {
            let (id, code) = code(line);
            assert_eq!(id.as_deref(), Some("a"), "{line}");
            code
        };
        assert_eq!(named(r#"{"id":"a"}"#), Some(LINE_MALFORMED));
        assert_eq!(named(r#"{"id":"a","token":"x"}"#), Some(LINE_MALFORMED));
        assert_eq!(named(r#"{"id":"a","token":"x","jwks":{},"now":-1}"#), Some(LINE_MALFORMED));
        assert_eq!(named(r#"{"id":"a","token":"\ud800","jwks":{},"now":1}"#), Some(LINE_MALFORMED));
        assert_eq!(named(r#"{"id":"a","alg":"ES256","jwk":{},"msg_hex":"0","sig_hex":""}"#), Some(LINE_MALFORMED));
    }

    #[test]
    fn settings_come_before_keys_and_keys_before_the_token() {
        let line = |policy: &str, jwks: &str| {
            format!(r#"{{"id":"a","token":"x","jwks":{jwks},"alg_allow":["ES256"],"now":1750000000.5,"policy":{policy}}}"#)
        };
        for policy in [
            r#"{"leeway":-1}"#,
            r#"{"leeway":-0}"#,
            r#"{"max_age":9007199254740992}"#,
            r#"{"unknown":1}"#,
            r#"{"require_exp":1}"#,
            r#"{"iss":1}"#,
            r#"{"typ":1}"#,
            r#"{"nonce":1}"#,
            r#"{"sd_jwt":{}}"#,
            "[]",
            r#"{"leeway":1,"leeway":1}"#,
        ] {
            assert_eq!(code(&line(policy, "[]")).1, Some("policy_invalid"), "{policy}");
        }
        assert_eq!(code(&line("{}", "[]")).1, Some("jwks_malformed"));
        assert_eq!(code(&line("{}", r#"{"keys":[],"keys":[]}"#)).1, Some("jwks_malformed"));
        assert_eq!(code(&line(r#"{"iss":null}"#, r#"{"keys":[]}"#)).1, Some("token_malformed"));
        let allow = line("{}", "{}").replace(r#"["ES256"]"#, r#"["none"]"#);
        assert_eq!(code(&allow).1, Some("policy_invalid"));
    }

    #[test]
    fn signature_lines() {
        let line = |alg: &str, jwk: &str| format!(r#"{{"id":"a","alg":"{alg}","jwk":{jwk},"msg_hex":"0aFF","sig_hex":""}}"#);
        let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(code(&line("none", key)).1, Some("algorithm_not_allowed"));
        assert_eq!(code(&line("EdDSA", r#"{"kty":"oct","k":"AAAA"}"#)).1, Some("key_not_found"));
        assert_eq!(code(&line("ES256", key)).1, Some("key_mismatch"));
        assert_eq!(code(&line("EdDSA", key)).1, Some("signature_invalid"));
    }
}
