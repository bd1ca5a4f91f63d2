//! Documents of others, in the folder that `EDGESEAL_VECTORS` names: where they are, and the lines that they become.
//!
//! Payloads there are mostly no JSON ("foo"), so a good signature becomes a signature line that must be accepted and a token line
//! that must be refused for its payload alone; a bad one becomes a token line and, where the token can be taken apart, a signature
//! line, both to be refused.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::corpus::{Body, Expect, Line, Tier};

/// The folder, when `EDGESEAL_VECTORS` names one; a relative path counts from the root of the repository.
pub fn root() -> Option<PathBuf> {
    let named = env::var_os("EDGESEAL_VECTORS").filter(|value| !value.is_empty())?;
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(named))
}

/// A document of the folder as text; the error names the file.
///
/// # Errors
/// When it cannot be read.
pub fn text(root: &Path, name: &str) -> Result<String, String> {
    let path = root.join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A document of the folder as JSON.
///
/// # Errors
/// When it cannot be read or is no JSON.
pub fn json(root: &Path, name: &str) -> Result<Value, String> {
    serde_json::from_str(&text(root, name)?).map_err(|error| format!("{name}: {error}"))
}

/// The lines of one source.
pub struct Converted {
    /// Its name.
    pub source: &'static str,
    /// What was left out, and why.
    pub left_out: Vec<(usize, &'static str)>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// All lines of the folder, in a fixed order.
///
/// # Errors
/// The first document that is missing or not what it was.
pub fn convert(root: &Path) -> Result<Vec<Converted>, String> {
    Ok(vec![
        wycheproof(root, "wycheproof-jws", "wycheproof/json_web_signature_test.json")?,
        wycheproof(root, "wycheproof-jwk", "wycheproof/json_web_key_test.json")?,
        wycheproof(root, "wycheproof-crypto", "wycheproof/json_web_crypto_test.json")?,
        rfc(root)?,
        cookbook(root)?,
    ])
}

const ALL_ALGORITHMS: &str = r#"["ES256","ES384","ES512","RS256","RS384","RS512","PS256","PS384","PS512","EdDSA","Ed25519"]"#;

/// Lines in the making.
struct Lines {
    group: &'static str,
    lines: Vec<Line>,
}

impl Lines {
    /// A token against a set. Every algorithm is allowed and no claim is asked for: what refuses it is the token or the key.
    fn token(&mut self, id: String, why: &str, token: &str, keys: &[Value], now: u64, expect: Expect) {
        let body = Body::Token {
            token: token.into(),
            jwks: json!({ "keys": keys }).to_string(),
            alg_allow: ALL_ALGORITHMS.into(),
            now: now.to_string(),
            policy: r#"{"iss":null,"aud":null,"leeway":0,"require_exp":false,"typ":null}"#.into(),
        };
        self.push(id, why, expect, body);
    }

    /// The signature of a token against a key; nothing when the token cannot be taken apart.
    fn signature(&mut self, id: String, why: &str, token: &str, jwk: &Value, expect: Expect) {
        let Some((alg, message, signature)) = apart(token) else { return };
        self.push(id, why, expect, Body::Signature { alg, jwk: jwk.to_string(), message, signature });
    }

    fn push(&mut self, id: String, why: &str, expect: Expect, body: Body) {
        self.lines.push(Line { id, group: self.group.into(), tier: Tier::Must, why: why.into(), expect, body });
    }
}

/// `alg`, signing input and signature of a compact JWS.
fn apart(token: &str) -> Option<(String, Vec<u8>, Vec<u8>)> {
    let (input, signature) = token.rsplit_once('.')?;
    let (header, payload) = input.split_once('.')?;
    let header: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(header).ok()?).ok()?;
    Base64UrlUnpadded::decode_vec(payload).ok()?;
    Some((header.get("alg")?.as_str()?.into(), input.into(), Base64UrlUnpadded::decode_vec(signature).ok()?))
}

/// Whether the payload is a JSON object, so that the token may be a JWT.
fn is_jwt(token: &str) -> bool {
    let payload = token.split('.').nth(1).and_then(|payload| Base64UrlUnpadded::decode_vec(payload).ok());
    payload.is_some_and(|payload| serde_json::from_slice::<Value>(&payload).is_ok_and(|payload| payload.is_object()))
}

/// Tests that say "valid" and are not: the verifier is right to refuse them.
///
/// - The JWK says PS256 and the token PS384 (RFC 7520 section 4.2 as printed there): the same file's `WrongPrimitive` tests demand that
///   key and header agree.
/// - The JWK says ES521, which is no algorithm.
fn is_trap(group: &str, number: u64) -> Option<&'static str> {
    match (group, number) {
        ("wycheproof-jws", 346 | 350) => Some("key_mismatch"),
        ("wycheproof-jws", 347 | 351) => Some("key_not_found"),
        _ => None,
    }
}

fn wycheproof(root: &Path, group: &'static str, name: &str) -> Result<Converted, String> {
    let document = json(root, name)?;
    let broken = || format!("{name}: not a Wycheproof document of JOSE");
    let mut out = Lines { group, lines: Vec::new() };
    let (mut tests, mut encrypted) = (0, 0);
    for part in document["testGroups"].as_array().ok_or_else(broken)? {
        // A group without a public key is one of a shared secret: the verifier gets the secret, as a careless set would hold it.
        let key = part.get("public").or_else(|| part.get("private")).ok_or_else(broken)?;
        let keys = key.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![key.clone()]);
        for test in part["tests"].as_array().ok_or_else(broken)? {
            tests += 1;
            let number = test["tcId"].as_u64().ok_or_else(broken)?;
            let Some(token) = test.get("jws") else {
                encrypted += 1;
                continue;
            };
            // JSON serializations stand there as objects.
            let token = token.as_str().map_or_else(|| token.to_string(), String::from);
            let (id, why) = (
                format!("{group}-{number}"),
                format!("{}: {}", part["comment"].as_str().unwrap_or(""), test["comment"].as_str().unwrap_or("")),
            );
            let shared_secret = part.get("public").is_none();
            let valid = test["result"] == "valid" && !shared_secret;
            let trap = is_trap(group, number);
            let for_token = match (valid, trap) {
                (true, Some(code)) => Expect::Reject(Some(code)),
                (true, None) if is_jwt(&token) => Expect::Accept,
                (true, None) => Expect::Reject(Some("token_malformed")),
                (false, _) => Expect::Reject(None),
            };
            out.token(format!("{id}-token"), &why, &token, &keys, 1_750_000_000, for_token);
            if let [key] = keys.as_slice() {
                let expect = match (valid, trap) {
                    (true, Some(code)) => Expect::Reject(Some(code)),
                    (true, None) => Expect::Accept,
                    (false, _) => Expect::Reject(None),
                };
                out.signature(format!("{id}-signature"), &why, &token, key, expect);
                if trap == Some("key_not_found") {
                    let mut mended = key.clone();
                    mended["alg"] = json!("ES512");
                    out.signature(
                        format!("{id}-mended"),
                        &format!("{why}, with the JWK's alg mended to ES512"),
                        &token,
                        &mended,
                        Expect::Accept,
                    );
                }
            }
        }
    }
    if document["numberOfTests"].as_u64() != Some(tests) {
        return Err(format!("{name}: {tests} tests, numberOfTests says {}", document["numberOfTests"]));
    }
    let left_out = if encrypted > 0 { vec![(encrypted, "JWE")] } else { Vec::new() };
    Ok(Converted { source: group, left_out, lines: out.lines })
}

/// The examples of RFC 7515 and RFC 8037.
fn rfc(root: &Path) -> Result<Converted, String> {
    let name = "rfc/jws.jsonl";
    let mut out = Lines { group: "rfc", lines: Vec::new() };
    for line in text(root, name)?.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("{name}: {error}"))?;
        let (Some(id), Some(token), Some([key])) =
            (line["id"].as_str(), line["token"].as_str(), line["jwks"]["keys"].as_array().map(Vec::as_slice))
        else {
            return Err(format!("{name}: a line without id, token or its one key"));
        };
        let why = line["why"].as_str().unwrap_or("");
        out.signature(format!("{id}-signature"), why, token, key, Expect::Accept);
        match line["now"].as_u64() {
            Some(now) => {
                out.token(format!("{id}-token"), why, token, std::slice::from_ref(key), now, Expect::Accept);
                let late = Expect::Reject(Some("token_expired"));
                out.token(
                    format!("{id}-expired"),
                    &format!("{why}, a second later"),
                    token,
                    std::slice::from_ref(key),
                    now + 1,
                    late,
                );
            }
            None => out.token(
                format!("{id}-token"),
                &format!("{why}: as a token it has no claims set"),
                token,
                std::slice::from_ref(key),
                1_750_000_000,
                Expect::Reject(Some("token_malformed")),
            ),
        }
    }
    Ok(Converted { source: "rfc", left_out: Vec::new(), lines: out.lines })
}

/// The cookbook of RFC 7520, with RFC 7797 and RFC 8037.
fn cookbook(root: &Path) -> Result<Converted, String> {
    let mut out = Lines { group: "cookbook", lines: Vec::new() };
    for (id, name) in [
        ("4.1", "jws/4_1.rsa_v15_signature.json"),
        ("4.2", "jws/4_2.rsa-pss_signature.json"),
        ("4.3", "jws/4_3.ecdsa_signature.json"),
        ("4.4", "jws/4_4.hmac-sha2_integrity_protection.json"),
        ("4.5", "jws/4_5.signature_with_detached_content.json"),
        ("4.6", "jws/4_6.protecting_specific_header_fields.json"),
        ("4.7", "jws/4_7.protecting_content_only.json"),
        ("4.8", "jws/4_8.multiple_signatures.json"),
        ("rfc8037", "curve25519/jws.json"),
        ("rfc7797", "rfc7797/hmac-sha2_b64_false.json"),
        ("rfc7797-4.2", "rfc7797/4.2.hmac-sha2_b64_false.json"),
    ] {
        let document = json(root, &format!("cookbook/{name}"))?;
        let title = document["title"].as_str().unwrap_or(name);
        let given = &document["input"]["key"];
        let keys: Vec<Value> = given.as_array().cloned().unwrap_or_else(|| vec![given.clone()]);
        let public: Vec<Value> = keys.iter().map(without_private_members).collect();
        let output = document["output"].as_object().ok_or_else(|| format!("{name}: no output"))?;
        for (form, value) in output {
            let token = value.as_str().map_or_else(|| value.to_string(), String::from);
            let id = format!("cookbook-{id}-{form}");
            let signed = matches!(public.as_slice(), [key] if key["kty"] != "oct") && form == "compact" && !token.contains("..");
            if signed {
                out.signature(format!("{id}-signature"), title, &token, &public[0], Expect::Accept);
                let private = Expect::Reject(Some("key_not_found"));
                out.signature(
                    format!("{id}-private"),
                    &format!("{title}, with the private JWK as printed"),
                    &token,
                    &keys[0],
                    private,
                );
                let no_claims = Expect::Reject(Some("token_malformed"));
                out.token(format!("{id}-token"), title, &token, &public, 1_750_000_000, no_claims);
            } else {
                out.token(format!("{id}-token"), title, &token, &public, 1_750_000_000, Expect::Reject(None));
            }
        }
    }
    Ok(Converted { source: "cookbook", left_out: Vec::new(), lines: out.lines })
}

fn without_private_members(key: &Value) -> Value {
    let mut key = key.clone();
    if let Some(members) = key.as_object_mut()
        && members.get("kty") != Some(&json!("oct"))
    {
        members.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    }
    key
}
