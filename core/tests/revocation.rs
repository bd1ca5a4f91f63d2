//! Revocation: which documents an edge believes, which tokens they end, and how old a list may become.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    Algorithm, Jwk, JwkSet, KeyBinding, SdJwtSettings, Timestamp, VerifiedToken, Verifier, VerifyError,
    backend::{SignatureBackend as _, rustcrypto::RustCrypto},
    json::Members,
    policy::DangerousSettings,
    revocation::{
        Control, Judgement, MAX_DOCUMENT_LEN, MAX_ENTRIES, Reader, Reading, RevocationSettings, Revocations, Revoked, Statement,
        WhenStale,
        document::Draft,
        reader::{READ_TIMEOUT_MILLIS, bound_by},
    },
    settings::Setting as _,
};
use p256::ecdsa::{SigningKey, signature::Signer as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NOW: u64 = 1_750_000_000;
const SIGNER: &str = "https://signer.example";
const OTHER: &str = "https://other.example";
static CONTROL: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[7; 32]).unwrap());
static NEXT: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[8; 32]).unwrap());
static PROFILE: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[9; 32]).unwrap());

fn now() -> Timestamp {
    Timestamp::from_secs(NOW)
}

fn at(seconds: u64) -> Timestamp {
    now().plus_secs(seconds)
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

fn jwk(key: &SigningKey, kid: &str) -> Value {
    let point = key.verifying_key().to_encoded_point(false);
    let (x, y) = (base64url(point.x().unwrap()), base64url(point.y().unwrap()));
    json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig" })
}

fn settings(more: &Value) -> Result<RevocationSettings, String> {
    let mut settings = json!({ "edge": "eu", "control_keys": [jwk(&CONTROL, "control"), jwk(&NEXT, "next").to_string()] });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let read = RevocationSettings::from_value(settings).and_then(|settings| settings.check().map(|()| settings));
    read.map_err(|error| error.to_string())
}

fn control() -> Control {
    settings(&json!({})).unwrap().control().unwrap()
}

fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
    format!("{input}.{}", base64url(signature.to_bytes()))
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "control", "typ": "edgeseal-revocation+jwt" })
}

/// The good claims of a document with these laid over them; `null` removes one.
fn claims(more: &Value) -> Value {
    let mut claims =
        json!({ "iss": SIGNER, "aud": "eu", "iat": NOW, "exp": NOW + 600, "seq": 7, "kids": [], "jtis": [], "subs": [] });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

fn read(control: &Control, document: &str, now: Timestamp) -> Result<Statement, VerifyError> {
    let pending = control.begin(document)?;
    let answer = RustCrypto.verify(pending.input());
    control.finish(pending, answer, now)
}

fn refused(document: &str) -> String {
    read(&control(), document, now()).unwrap_err().code().to_string()
}

/// A verified token of an issuer, signed by a key that is called `kid` there.
fn token(issuer: &str, kid: Option<&str>, more: &Value) -> VerifiedToken {
    presented(issuer, kid, more, "")
}

/// The same with this behind it: `~` and disclosures make the presentation of an SD-JWT of it.
fn presented(issuer: &str, kid: Option<&str>, more: &Value, disclosures: &str) -> VerifiedToken {
    let mut claims = json!({ "iss": issuer, "sub": "alice", "jti": "one", "iat": NOW - 10, "exp": NOW + 300 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let mut key = jwk(&PROFILE, kid.unwrap_or("none"));
    if kid.is_none() {
        key.as_object_mut().unwrap().remove("kid");
    }
    let mut header = json!({ "alg": "ES256" });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let policy = edgeseal_core::IssuerSettings {
        algorithms: vec![Algorithm::Es256],
        dangerous: Some(DangerousSettings { skip_issuer: true, skip_audience: true, ..DangerousSettings::default() }),
        jwks: Some(json!({ "keys": [] })),
        sd_jwt: Some(SdJwtSettings { allow_plain: true, ..SdJwtSettings::new(KeyBinding::WhereBound) }),
        ..edgeseal_core::IssuerSettings::default()
    };
    let keys = JwkSet::from_keys([Jwk::from_json(&key.to_string()).unwrap()]);
    let text = sign(&PROFILE, &header, &claims) + disclosures;
    Verifier::new(policy.policy().unwrap()).verify(&text, &keys, now()).unwrap()
}

#[test]
fn what_a_signer_writes_an_edge_reads() {
    let mut list = Revocations::default();
    list.add_kid(Some(SIGNER), "k1", at(100));
    list.add_kid(None, "k2", at(100));
    list.add_jti(SIGNER, "jti \" one", at(200));
    list.add_sub(SIGNER, "alice@example.com", now(), at(300));
    let draft = Draft { issuer: SIGNER, edge: "eu", sequence: 9, issued_at: now(), list: &list };
    let unsigned = draft.unsigned(Algorithm::Es256, "next").unwrap();
    let signature: p256::ecdsa::Signature = NEXT.sign(unsigned.signing_input());
    let document = unsigned.attach(&signature.to_bytes());
    let payload = Base64UrlUnpadded::decode_vec(document.split('.').nth(1).unwrap()).unwrap();
    assert!(!String::from_utf8(payload).unwrap().contains("alice"), "the document is public, and names nobody");
    assert_eq!(read(&control(), &document, now()).unwrap(), Statement { sequence: 9, list });
    // Edges whose clock is a little behind or ahead take it; it ends after ten minutes.
    assert!(read(&control(), &document, Timestamp::from_secs(NOW - 60)).is_ok());
    assert!(read(&control(), &document, at(659)).is_ok());
    assert_eq!(read(&control(), &document, at(660)).unwrap_err().code().as_str(), "token_expired");
}

#[test]
fn documents_that_nobody_should_believe() {
    let good = sign(&CONTROL, &header(), &claims(&json!({})));
    assert_eq!(read(&control(), &good, now()).unwrap(), Statement { sequence: 7, list: Revocations::default() });
    let with = |more: Value| sign(&CONTROL, &header(), &claims(&more));
    let headed = |more: Value| {
        let mut header = header();
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sign(&CONTROL, &header, &claims(&json!({})))
    };
    // By the key of a profile, under its own name and under the control key's.
    assert_eq!(
        refused(&sign(&PROFILE, &json!({ "alg": "ES256", "kid": "p", "typ": "edgeseal-revocation+jwt" }), &claims(&json!({})))),
        "key_not_found"
    );
    assert_eq!(refused(&sign(&PROFILE, &header(), &claims(&json!({})))), "signature_invalid");
    assert_eq!(
        refused(&sign(&CONTROL, &json!({ "alg": "ES256", "typ": "edgeseal-revocation+jwt" }), &claims(&json!({})))),
        "key_not_found"
    );
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 40;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(refused(&String::from_utf8(forged).unwrap()), "signature_invalid");
    for (code, document) in [
        ("type_mismatch", headed(json!({ "typ": "JWT" }))),
        ("type_mismatch", headed(json!({ "typ": "edgeseal-audit-checkpoint+jwt" }))),
        ("algorithm_not_allowed", headed(json!({ "alg": "none" }))),
        ("algorithm_not_allowed", headed(json!({ "alg": "HS256" }))),
        ("critical_header_unsupported", headed(json!({ "crit": ["x"] }))),
        ("audience_mismatch", with(json!({ "aud": "us" }))),
        ("claim_missing", with(json!({ "aud": null }))),
        ("token_expired", with(json!({ "iat": NOW - 700, "exp": NOW - 100 }))),
        ("token_not_yet_valid", with(json!({ "iat": NOW + 61, "exp": NOW + 600 }))),
        ("lifetime_exceeded", with(json!({ "exp": NOW + 601 }))),
        ("claim_missing", with(json!({ "exp": null }))),
        ("claim_missing", with(json!({ "iat": null }))),
        ("claim_missing", with(json!({ "seq": null }))),
        ("claim_invalid", with(json!({ "seq": 0 }))),
        ("claim_invalid", with(json!({ "seq": -1 }))),
        ("claim_invalid", with(json!({ "seq": 1.5 }))),
        ("claim_invalid", with(json!({ "seq": "8" }))),
        ("claim_invalid", with(json!({ "seq": (1_u64 << 53) }))),
        ("claim_invalid", with(json!({ "kids": {} }))),
        ("claim_invalid", with(json!({ "kids": ["k"] }))),
        ("claim_invalid", with(json!({ "kids": [{ "kid": "k" }] }))),
        ("claim_invalid", with(json!({ "kids": [{ "kid": "", "until": 1 }] }))),
        ("claim_invalid", with(json!({ "kids": [{ "iss": 1, "kid": "k", "until": 1 }] }))),
        ("claim_invalid", with(json!({ "kids": [{ "kid": "k".repeat(257), "until": 1 }] }))),
        ("claim_invalid", with(json!({ "jtis": [{ "jti": "j", "until": 1 }] }))),
        ("claim_invalid", with(json!({ "jtis": [{ "iss": "i", "jti": "j", "until": "1" }] }))),
        ("claim_invalid", with(json!({ "subs": [{ "sha256": "short", "before": 1, "until": 1 }] }))),
        ("claim_invalid", with(json!({ "subs": [{ "sha256": "x".repeat(43), "until": 1 }] }))),
        ("proof_required", with(json!({ "cnf": {} }))),
        ("token_malformed", format!("{good}~")),
        ("token_malformed", "x".into()),
        ("token_malformed", String::new()),
        ("token_malformed", "a.".repeat(1000)),
        ("token_too_large", "a".repeat(MAX_DOCUMENT_LEN + 1)),
    ] {
        assert_eq!(refused(&document), code, "{document:.300}");
    }
    // A member that occurs twice.
    let twice = format!("{{\"seq\":9,{}", &claims(&json!({})).to_string()[1..]);
    let input = format!("{}.{}", base64url(header().to_string()), base64url(twice));
    let signature: p256::ecdsa::Signature = CONTROL.sign(input.as_bytes());
    assert_eq!(refused(&format!("{input}.{}", base64url(signature.to_bytes()))), "token_malformed");
}

#[test]
fn a_full_list_fits_and_one_more_does_not() {
    let entries = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!({ "iss": SIGNER, "jti": format!("{index:022}"), "until": NOW + 86_400 })).collect()
    };
    let full = sign(&CONTROL, &header(), &claims(&json!({ "jtis": entries(MAX_ENTRIES) })));
    let Statement { list, .. } = read(&control(), &full, now()).unwrap();
    assert_eq!(list.len(), MAX_ENTRIES);
    assert!(
        Draft { issuer: SIGNER, edge: "eu", sequence: 1, issued_at: now(), list: &list }.unsigned(Algorithm::Es256, "k").is_ok()
    );
    let more =
        sign(&CONTROL, &header(), &claims(&json!({ "jtis": entries(MAX_ENTRIES), "kids": [{ "kid": "k", "until": NOW }] })));
    assert_eq!(refused(&more), "claim_invalid");
    let mut list = list;
    list.add_kid(None, "one more", at(1));
    assert!(
        Draft { issuer: SIGNER, edge: "eu", sequence: 1, issued_at: now(), list: &list }.unsigned(Algorithm::Es256, "k").is_err()
    );
}

#[test]
fn keys_are_revoked_by_issuer() {
    let mut list = Revocations::default();
    list.add_kid(Some(SIGNER), "k", at(100));
    assert_eq!(list.judge(&token(SIGNER, Some("k"), &json!({}))), Err(Revoked::Key("k".into())));
    assert_eq!(list.judge(&token(OTHER, Some("k"), &json!({}))), Ok(()), "another issuer may call its key so too");
    assert_eq!(list.judge(&token(SIGNER, Some("K"), &json!({}))), Ok(()));
    // A token that names no issuer is not let off.
    assert!(list.judge(&token(SIGNER, Some("k"), &json!({ "iss": null }))).is_err());
    let mut everywhere = Revocations::default();
    everywhere.add_kid(None, "k", at(100));
    assert!(everywhere.judge(&token(OTHER, Some("k"), &json!({}))).is_err());
    // A key without a name is known by its thumbprint.
    let thumbprint = Jwk::from_json(&jwk(&PROFILE, "x").to_string()).unwrap().thumbprint();
    let mut by_thumbprint = Revocations::default();
    by_thumbprint.add_kid(Some(SIGNER), &thumbprint, at(100));
    assert!(by_thumbprint.judge(&token(SIGNER, None, &json!({}))).is_err());
    assert!(list.judge(&token(SIGNER, None, &json!({}))).is_ok());
}

#[test]
fn tokens_and_subjects_are_revoked_by_issuer() {
    let mut list = Revocations::default();
    list.add_jti(SIGNER, "one", at(100));
    assert_eq!(list.judge(&token(SIGNER, Some("k"), &json!({}))), Err(Revoked::Token("one".into())));
    for (issuer, more) in [(SIGNER, json!({ "jti": "two" })), (SIGNER, json!({ "jti": null })), (OTHER, json!({}))] {
        assert_eq!(list.judge(&token(issuer, Some("k"), &more)), Ok(()), "{issuer} {more}");
    }
    let mut list = Revocations::default();
    list.add_sub(SIGNER, "alice", now(), at(100));
    list.add_sub(SIGNER, "bob", Timestamp::from_secs(NOW - 50), at(100));
    for (expected, issuer, more) in [
        (false, SIGNER, json!({})),
        (false, SIGNER, json!({ "iat": NOW - 1 })),
        (false, SIGNER, json!({ "iat": f64::from(u32::try_from(NOW).unwrap()) - 0.5 })),
        (false, SIGNER, json!({ "iat": null })),
        (true, SIGNER, json!({ "iat": NOW })),
        (true, SIGNER, json!({ "sub": "Alice" })),
        (true, SIGNER, json!({ "sub": null })),
        (true, OTHER, json!({})),
        (true, SIGNER, json!({ "sub": "bob" })),
        (false, SIGNER, json!({ "sub": "bob", "iat": NOW - 51 })),
    ] {
        assert_eq!(list.judge(&token(issuer, Some("k"), &more)).is_ok(), expected, "{issuer} {more}");
    }
}

#[test]
fn a_withheld_claim_hides_nobody() {
    let mut by_jti = Revocations::default();
    by_jti.add_jti(SIGNER, "one", at(100));
    let mut by_sub = Revocations::default();
    by_sub.add_sub(SIGNER, "alice", now(), at(100));
    let mut by_kid = Revocations::default();
    by_kid.add_kid(Some(SIGNER), "another", at(100));
    for (list, name, revoked, other) in
        [(&by_jti, "jti", Revoked::Token("one".into()), "two"), (&by_sub, "sub", Revoked::Subject { before: NOW }, "bob")]
    {
        let value = if name == "jti" { "one" } else { "alice" };
        let (of_it, of_other) =
            (base64url(json!(["s", name, value]).to_string()), base64url(json!(["s", name, other]).to_string()));
        let judge = |list: &Revocations, issuer: &str, more: Value, digests: &Value, disclosures: &str| {
            let mut claims = json!({ name: null, "_sd": digests });
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            list.judge(&presented(issuer, Some("k"), &claims, disclosures))
        };
        let digest = |disclosure: &str| json!([base64url(Sha256::digest(disclosure))]);
        let hidden = digest(&of_it);
        assert_eq!(judge(list, SIGNER, json!({}), &hidden, &format!("~{of_it}~")), Err(revoked));
        assert_eq!(judge(list, SIGNER, json!({}), &hidden, "~"), Err(Revoked::Withheld(name)), "the same, withheld");
        // What it says is looked at: another's is good. So is a token that has no such claim, and nothing to withhold it by.
        assert_eq!(judge(list, SIGNER, json!({}), &digest(&of_other), &format!("~{of_other}~")), Ok(()));
        assert_eq!(judge(list, SIGNER, json!({ name: other }), &json!(["x"]), "~"), Ok(()));
        assert_eq!(judge(list, SIGNER, json!({ "address": { "_sd": ["x"] } }), &Value::Null, "~"), Ok(()));
        assert_eq!(judge(list, SIGNER, json!({}), &Value::Null, "~"), Ok(()));
        // Nor does a list refuse what it has nothing to say about.
        assert_eq!(judge(&by_kid, SIGNER, json!({}), &hidden, "~"), Ok(()));
        assert_eq!(judge(&Revocations::default(), SIGNER, json!({}), &hidden, "~"), Ok(()));
    }
    // A jti is its issuer's; of a subject only a hash is there, so that the time alone tells.
    let withheld = |issuer: &str, more: Value| presented(issuer, Some("k"), &more, "~");
    assert_eq!(by_jti.judge(&withheld(OTHER, json!({ "jti": null, "_sd": ["x"] }))), Ok(()));
    for (expected, iat) in [(true, json!(NOW)), (false, json!(NOW - 1)), (false, Value::Null)] {
        let token = withheld(SIGNER, json!({ "sub": null, "iat": iat, "_sd": ["x"] }));
        assert_eq!(by_sub.judge(&token).is_ok(), expected, "{iat}");
    }
}

#[test]
fn a_list_only_grows_until_time_ends_its_entries() {
    let mut list = Revocations::default();
    list.add_kid(Some(SIGNER), "k", at(100));
    list.add_jti(SIGNER, "one", at(100));
    list.add_sub(SIGNER, "alice", at(5), at(100));
    let known = list.clone();
    // A shorter list, an earlier end, an earlier cut: nothing gets valid again.
    list.merge(Revocations::default());
    let mut earlier = Revocations::default();
    earlier.add_kid(Some(SIGNER), "k", at(50));
    earlier.add_sub(SIGNER, "alice", at(1), at(50));
    list.merge(earlier);
    assert_eq!(list, known);
    let mut later = Revocations::default();
    later.add_kid(Some(SIGNER), "k", at(200));
    later.add_sub(SIGNER, "alice", at(6), at(50));
    list.merge(later);
    list.forget_ended(at(99));
    assert_eq!(list.len(), 3);
    list.forget_ended(at(100));
    assert_eq!(list.len(), 1, "only what was prolonged is left");
    assert!(list.judge(&token(SIGNER, Some("k"), &json!({}))).is_err());
    list.forget_ended(at(200));
    assert!(list.is_empty());
    assert_eq!(list, Revocations::default());
    // What is written is what is read.
    let text = known.write(Members::new()).end();
    let Value::Object(members) = serde_json::from_str(&text).unwrap() else { unreachable!() };
    assert_eq!(Revocations::read(&members, 3), Ok(known));
}

fn code(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Good => "good",
        Judgement::GoodByOldCopy(_) => "good by an old copy",
        Judgement::Refused(refusal) => refusal.code(),
    }
}

#[test]
fn an_isolate_reads_when_r_has_passed_and_refuses_after_3_r() {
    let token = token(SIGNER, Some("k"), &json!({}));
    let mut reader = Reader::new(10, WhenStale::Refuse);
    assert_eq!(code(reader.judge(&token, now())), "revocation_unavailable", "nothing was read yet");
    assert!(reader.must_read(now()));
    assert!(reader.must_read(now()), "without a list, every request reads for itself");
    reader.on_read(now(), Reading { sequence: 3, list: Some(Revocations::default()) }, at(0));
    assert_eq!((reader.sequence(), code(reader.judge(&token, at(9)))), (3, "good"));
    assert!(!reader.must_read(now().plus_millis(9_999)));
    // R has passed: one request reads, the others go on for as long as a reading may take.
    assert!(reader.must_read(at(10)));
    assert!(!reader.must_read(at(10)));
    assert!(!reader.must_read(at(10).plus_millis(READ_TIMEOUT_MILLIS - 1)));
    assert!(reader.must_read(at(10).plus_millis(READ_TIMEOUT_MILLIS)));
    // Nothing answers: after each failure a pause, then 3 R after the last success nothing is accepted any more.
    reader.on_failure(at(12));
    assert!(!reader.must_read(at(12).plus_millis(999)));
    assert!(reader.must_read(at(13)));
    reader.on_failure(at(15));
    assert_eq!(code(reader.judge(&token, now().plus_millis(29_999))), "good");
    assert_eq!(code(reader.judge(&token, at(30))), "revocation_unavailable");
    // It answers again; what counts is when the reading began.
    assert!(reader.must_read(at(40)));
    let mut list = Revocations::default();
    list.add_kid(Some(SIGNER), "k", at(1_000));
    reader.on_read(at(40), Reading { sequence: 4, list: Some(list) }, at(41));
    assert_eq!(code(reader.judge(&token, at(41))), "token_revoked");
    assert!(!reader.must_read(at(49)) && reader.must_read(at(50)));
    // Unchanged, or an older state of the place: what is known stays.
    reader.on_read(at(50), Reading { sequence: 4, list: None }, at(50));
    reader.on_read(at(60), Reading { sequence: 2, list: Some(Revocations::default()) }, at(60));
    assert_eq!((reader.sequence(), code(reader.judge(&token, at(60)))), (4, "token_revoked"));
    // A revoked token is refused by an old copy too, with its own code.
    assert_eq!(code(reader.judge(&token, at(500))), "token_revoked");
}

#[test]
fn who_wants_to_go_on_is_warned() {
    let token = token(SIGNER, Some("k"), &json!({}));
    let mut reader = Reader::new(1, WhenStale::Continue);
    assert_eq!(code(reader.judge(&token, now())), "good by an old copy");
    reader.on_read(now(), Reading { sequence: 1, list: None }, now());
    assert_eq!(code(reader.judge(&token, at(2))), "good");
    assert_eq!(code(reader.judge(&token, at(3))), "good by an old copy");
}

#[test]
fn a_clock_that_ran_ahead_vouches_for_nothing() {
    const DAY: u64 = 86_400;
    let token = token(SIGNER, None, &json!({ "jti": "t-1" }));
    let list = |until| {
        let mut list = Revocations::default();
        list.add_jti(SIGNER, "t-1", until);
        list
    };
    let mut reader = Reader::new(10, WhenStale::Refuse);
    // What is in force now has ended for a clock that is a day ahead.
    assert!(reader.must_read(at(DAY)));
    reader.on_read(at(DAY), Reading { sequence: 7, list: Some(list(at(3_600))) }, at(DAY));
    assert_eq!(code(reader.judge(&token, at(DAY))), "good");

    // Set right: the copy is none, the whole list is asked for, and one request asks for it.
    assert!(reader.must_read(at(0)));
    assert_eq!((reader.sequence(), code(reader.judge(&token, at(0)))), (0, "revocation_unavailable"));
    reader.on_failure(at(0));
    assert_eq!((reader.must_read(at(0)), code(reader.judge(&token, at(0)))), (false, "revocation_unavailable"));
    assert!(reader.must_read(at(1)));
    reader.on_read(at(1), Reading { sequence: 7, list: Some(list(at(3_600))) }, at(1));
    assert_eq!((reader.must_read(at(2)), reader.sequence(), code(reader.judge(&token, at(2)))), (false, 7, "token_revoked"));

    // Callers come in any order: a minute is not that.
    let mut reader = Reader::new(10, WhenStale::Refuse);
    reader.on_read(at(60), Reading { sequence: 7, list: None }, at(60));
    reader.must_read(at(0));
    assert_eq!((reader.sequence(), code(reader.judge(&token, at(0)))), (7, "good"));
}

#[test]
fn the_bound_is_when_all_isolates_know_or_refuse() {
    assert_eq!(bound_by(10, WhenStale::Refuse, now()), (at(11).plus_millis(500), Some(at(30))));
    assert_eq!(bound_by(10, WhenStale::Continue, now()), (at(11).plus_millis(500), None));
}

#[test]
fn settings_that_cannot_be_meant_are_named() {
    assert!(settings(&json!({ "url": "https://signer.example/.well-known/edgeseal-revocations?edge=eu", "refresh": 5 })).is_ok());
    let mut no_kid = jwk(&CONTROL, "x");
    no_kid.as_object_mut().unwrap().remove("kid");
    let mut private = jwk(&CONTROL, "x");
    private["d"] = "AA".into();
    for (more, told) in [
        (json!({ "edge": "" }), "edge: must be the edge's name"),
        (json!({ "edge": 1 }), "edge: must be a string"),
        (json!({ "refresh": 0 }), "refresh: is 0; it takes 1 to 300 seconds"),
        (json!({ "refresh": 301 }), "refresh: is 301; it takes 1 to 300 seconds"),
        (json!({ "when_stale": "panic" }), "when_stale: must be \"refuse\" or \"continue\""),
        (json!({ "url": "http://signer.example/x" }), "url: "),
        (json!({ "control_keys": [] }), "control_keys: has 0 usable keys; it takes 1 to 4"),
        (json!({ "control_keys": [1] }), "control_keys[0]: must be a JWK, or its JSON text"),
        (json!({ "control_keys": ["{}"] }), "control_keys[0]: is no usable public key"),
        (json!({ "control_keys": [private] }), "control_keys[0]: is no usable public key"),
        (json!({ "control_keys": [no_kid] }), "control_keys: holds a key without kid or alg"),
        (json!({ "control_keys": [jwk(&CONTROL, "x"), jwk(&NEXT, "x")] }), "control_keys: holds two keys with one kid"),
        (json!({ "nope": 1 }), "nope: is not a setting here"),
    ] {
        let refused = settings(&more).unwrap_err();
        assert!(refused.starts_with(told), "{more}: {refused}");
    }
    let missing = RevocationSettings::from_value(json!({ "edge": "eu" })).unwrap_err().to_string();
    assert_eq!(missing, "control_keys: is missing");
}
