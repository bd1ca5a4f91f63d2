//! Every decision about a token, one at a time, on tokens signed here.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::sync::{Arc, LazyLock};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer as _;
use edgeseal_core::{
    Algorithm, ErrorCode, Finished, IssuerSettings, Issuers, Jwk, JwkSet, Policy, Possession, PublicKey, SignatureBackend as _,
    Timestamp, TokenCache, UnsignedToken, UnverifiedToken, VerifiedToken, Verifier, VerifyError, backend::rustcrypto::RustCrypto,
    policy::OneOrMany, token_cache::Known,
};
use p256::ecdsa::SigningKey;

const NOW: u64 = 1_750_000_000;
const CLAIMS: &str = r#"{"iss":"https://i.example","sub":"alice","aud":"https://a.example","iat":1749999900,"exp":1750000100}"#;

static ES256: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_slice(&[7; 32]).unwrap());
static ED25519: LazyLock<ed25519_dalek::SigningKey> = LazyLock::new(|| ed25519_dalek::SigningKey::from_bytes(&[9; 32]));

fn es256_key() -> PublicKey {
    let point = ES256.verifying_key().to_encoded_point(false);
    PublicKey::ec_from_sec1(edgeseal_core::algorithm::Curve::P256, point.as_bytes()).unwrap()
}

fn keys() -> JwkSet {
    JwkSet::from_keys([
        Jwk::new(es256_key(), Some(Algorithm::Es256), Some("es".into())).unwrap(),
        Jwk::new(PublicKey::ed25519(&ED25519.verifying_key().to_bytes()).unwrap(), None, Some("ed".into())).unwrap(),
    ])
}

fn sign(header: &str, claims: &str) -> String {
    let input = [header, claims].map(|part| Base64UrlUnpadded::encode_string(part.as_bytes())).join(".");
    let signature: Vec<u8> = if header.contains("ES256") {
        let signature: p256::ecdsa::Signature = ES256.sign(input.as_bytes());
        signature.to_bytes().to_vec()
    } else {
        ED25519.sign(input.as_bytes()).to_bytes().to_vec()
    };
    format!("{input}.{}", Base64UrlUnpadded::encode_string(&signature))
}

const HEADER: &str = r#"{"alg":"ES256","kid":"es"}"#;

fn settings(more: &str) -> IssuerSettings {
    let text = format!(
        r#"{{"issuer":"https://i.example","audience":"https://a.example","algorithms":["ES256","EdDSA"],"jwks":{{"keys":[]}}{more}}}"#
    );
    IssuerSettings::from_json(&text).unwrap()
}

fn verify(header: &str, claims: &str, more: &str) -> Result<VerifiedToken, VerifyError> {
    let verifier = Verifier::new(settings(more).policy().unwrap());
    verifier.verify(&sign(header, claims), &keys(), Timestamp::from_secs(NOW))
}

#[track_caller]
fn refused(header: &str, claims: &str, more: &str) -> &'static str {
    verify(header, claims, more).unwrap_err().code().as_str()
}

/// The good claims with one member replaced, added or (with an empty value) removed.
fn with(name: &str, value: &str) -> String {
    let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(CLAIMS).unwrap();
    claims.remove(name);
    if value.is_empty() {
        return serde_json::Value::Object(claims).to_string();
    }
    let rest = serde_json::Value::Object(claims).to_string();
    format!("{{\"{name}\":{value},{}", &rest[1..])
}

#[derive(serde::Deserialize)]
struct Mine {
    sub: String,
}

#[test]
fn accepts_and_gives_the_claims() {
    let token = verify(HEADER, CLAIMS, "").unwrap();
    assert_eq!(token.claims().subject(), Some("alice"));
    assert_eq!(token.claims().audience(), ["https://a.example"]);
    assert_eq!(token.claims().jwt_id(), None);
    assert_eq!(verify(HEADER, &with("jti", r#""7""#), "").unwrap().claims().jwt_id(), Some("7"));
    assert_eq!(token.claims_json(), CLAIMS);
    assert_eq!(token.header_json(), HEADER);
    assert_eq!(token.key().kid(), Some("es"));
    assert_eq!(token.claims().decode::<Mine>().unwrap().sub, "alice");
    assert_eq!(token.claims().decode::<Vec<u8>>().unwrap_err().code(), ErrorCode::ClaimInvalid);
    verify(r#"{"alg":"EdDSA","kid":"ed"}"#, CLAIMS, "").unwrap();
    verify(r#"{"alg":"EdDSA"}"#, CLAIMS, "").unwrap();
}

#[test]
fn the_header_decides_first() {
    assert_eq!(refused(r#"{"alg":"none"}"#, CLAIMS, ""), "algorithm_not_allowed");
    assert_eq!(refused(r#"{"alg":"HS256","kid":"es"}"#, CLAIMS, ""), "algorithm_not_allowed");
    assert_eq!(refused(r#"{"alg":"Ed25519","kid":"ed"}"#, CLAIMS, ""), "algorithm_not_allowed");
    assert_eq!(refused(r#"{"alg":"ES256","kid":"es","crit":["exp"]}"#, CLAIMS, ""), "critical_header_unsupported");
    assert_eq!(refused(r#"{"alg":"ES256","kid":"es","crit":[]}"#, CLAIMS, ""), "critical_header_unsupported");
    assert_eq!(refused(r#"{"alg":"ES256","kid":"es","b64":false}"#, CLAIMS, ""), "critical_header_unsupported");
    assert!(verify(r#"{"alg":"ES256","kid":"es","b64":true}"#, CLAIMS, "").is_ok());
    for typ in ["dpop+jwt", "application/DPoP+JWT", "kb+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt", "edgeseal-x"] {
        assert_eq!(refused(&format!(r#"{{"alg":"ES256","kid":"es","typ":"{typ}"}}"#), CLAIMS, ""), "type_mismatch", "{typ}");
    }
    assert!(verify(r#"{"alg":"ES256","kid":"es","typ":"JWT"}"#, CLAIMS, "").is_ok());
    assert!(verify(r#"{"alg":"ES256","kid":"es","typ":"dpop+jwt"}"#, CLAIMS, r#","typ":"dpop+jwt""#).is_ok());
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
        assert!(verify(&format!(r#"{{"alg":"ES256","kid":"es","typ":"{typ}"}}"#), CLAIMS, r#","typ":"at+jwt""#).is_ok(), "{typ}");
    }
    assert_eq!(refused(HEADER, CLAIMS, r#","typ":"at+jwt""#), "type_mismatch");
    // Twelve other characters in the place of `application/`.
    assert_eq!(
        refused(r#"{"alg":"ES256","kid":"es","typ":"applicatiox/at+jwt"}"#, CLAIMS, r#","typ":"at+jwt""#),
        "type_mismatch"
    );
    assert_eq!(
        refused(r#"{"alg":"ES256","kid":"es","typ":"application/x/at+jwt"}"#, CLAIMS, r#","typ":"at+jwt""#),
        "type_mismatch"
    );
}

#[test]
fn exactly_one_key() {
    assert_eq!(refused(r#"{"alg":"ES256","kid":"other"}"#, CLAIMS, ""), "key_not_found");
    assert_eq!(refused(r#"{"alg":"ES256","kid":""}"#, CLAIMS, ""), "key_not_found");
    assert_eq!(refused(r#"{"alg":"ES256","kid":"ed"}"#, CLAIMS, ""), "key_mismatch");
    assert_eq!(refused(r#"{"alg":"EdDSA","kid":"es"}"#, CLAIMS, ""), "key_mismatch");
    let twice = JwkSet::from_keys(["a", "b"].map(|kid| Jwk::new(es256_key(), None, Some(kid.into())).unwrap()));
    let verifier = Verifier::new(settings("").policy().unwrap());
    let now = Timestamp::from_secs(NOW);
    let code = |header: &str, keys: &JwkSet| verifier.verify(&sign(header, CLAIMS), keys, now).map_err(|error| error.code());
    assert_eq!(code(r#"{"alg":"ES256"}"#, &twice).unwrap_err(), ErrorCode::KeyAmbiguous);
    assert!(code(r#"{"alg":"ES256","kid":"a"}"#, &twice).is_ok());
    let same = JwkSet::from_keys([1, 2].map(|_| Jwk::new(es256_key(), None, Some("es".into())).unwrap()));
    assert_eq!(code(HEADER, &same).unwrap_err(), ErrorCode::KeyAmbiguous);
    assert_eq!(code(HEADER, &JwkSet::default()).unwrap_err(), ErrorCode::KeyNotFound);
    assert_eq!(code(r#"{"alg":"ES256"}"#, &JwkSet::default()).unwrap_err(), ErrorCode::KeyNotFound);
}

#[test]
fn every_bit_of_the_signature_counts() {
    let token = sign(HEADER, CLAIMS);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = Base64UrlUnpadded::decode_vec(signature).unwrap();
    let verifier = Verifier::new(settings("").policy().unwrap());
    let code = |signature: &[u8]| {
        let token = format!("{input}.{}", Base64UrlUnpadded::encode_string(signature));
        verifier.verify(&token, &keys(), Timestamp::from_secs(NOW)).unwrap_err().code()
    };
    for bit in (0..512).step_by(37) {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(code(&flipped), ErrorCode::SignatureInvalid);
    }
    for wrong in [&signature[..63], &[signature.as_slice(), &[0]].concat(), &[0; 64], &[0xff; 64], &[]] {
        assert_eq!(code(wrong), ErrorCode::SignatureInvalid);
    }
}

#[test]
fn registered_claims_have_types() {
    for (name, value) in [
        ("iss", "1"),
        ("iss", r#"["https://i.example"]"#),
        ("sub", "null"),
        ("jti", "{}"),
        ("aud", "[]"),
        ("aud", "1"),
        ("aud", r#"["https://a.example",1]"#),
        ("exp", r#""1750000100""#),
        ("exp", "null"),
        ("exp", "-1"),
        ("exp", "1e300"),
        ("exp", "18446744073709551615"),
        ("exp", "253402300800"),
        ("nbf", "true"),
        ("iat", "[]"),
        ("cnf", "1"),
    ] {
        assert_eq!(refused(HEADER, &with(name, value), ""), "claim_invalid", "{name} {value}");
    }
    for claims in ["[]", "null", "\"x\"", "", "{", "{\"exp\":1e400}", "{\"a\":1,\"a\":1}", "\u{feff}{}"] {
        assert_eq!(refused(HEADER, claims, ""), "token_malformed", "{claims}");
    }
    assert!(verify(HEADER, &with("exp", "253402300799"), "").is_ok());
    assert!(verify(HEADER, &with("exp", "1750000100.5"), "").is_ok());
}

#[test]
fn issuer_and_audience() {
    assert_eq!(refused(HEADER, &with("iss", ""), ""), "claim_missing");
    assert_eq!(refused(HEADER, &with("iss", r#""https://i.example/""#), ""), "issuer_mismatch");
    assert!(verify(HEADER, &with("iss", r#""https://i.example/""#), "").unwrap_err().detail().contains("trailing slash"));
    assert_eq!(refused(HEADER, &with("iss", r#""https://i.exampl""#), ""), "issuer_mismatch");
    // The hint is for those who need it.
    assert!(!verify(HEADER, &with("iss", r#""https://i.exampl""#), "").unwrap_err().detail().contains("slash"));
    assert!(verify(HEADER, &with("aud", r#""https://a.example/""#), "").unwrap_err().detail().contains("trailing slash"));
    assert!(!verify(HEADER, &with("aud", r#""https://b.example""#), "").unwrap_err().detail().contains("slash"));
    // Whichever of the audiences it concerns.
    let mut several = settings("");
    several.audience = Some(OneOrMany::Many(vec!["https://c.example/".into(), "https://a.example".into()]));
    let verifier = Verifier::new(several.policy().unwrap());
    for (aud, is_told) in
        [(r#"["x","https://a.example/"]"#, true), (r#""https://c.example""#, true), (r#"["https://b.example/","y"]"#, false)]
    {
        let refused = verifier.verify(&sign(HEADER, &with("aud", aud)), &keys(), Timestamp::from_secs(NOW)).unwrap_err();
        assert_eq!((refused.code().as_str(), refused.detail().contains("slash")), ("audience_mismatch", is_told), "{aud}");
    }
    assert_eq!(refused(HEADER, &with("aud", ""), ""), "claim_missing");
    assert_eq!(refused(HEADER, &with("aud", r#""https://b.example""#), ""), "audience_mismatch");
    assert_eq!(refused(HEADER, &with("aud", r#"["x","y"]"#), ""), "audience_mismatch");
    assert!(verify(HEADER, &with("aud", r#"["x","https://a.example"]"#), "").is_ok());
    let by_client = r#","audience_claim":"client_id""#;
    assert_eq!(refused(HEADER, CLAIMS, by_client), "claim_missing");
    assert_eq!(refused(HEADER, &with("client_id", "1"), by_client), "claim_invalid");
    assert!(verify(HEADER, &with("client_id", r#""https://a.example""#), by_client).is_ok());
    assert_eq!(refused(HEADER, &with("cnf", "{}"), ""), "proof_required");
    assert_eq!(refused(HEADER, CLAIMS, r#","required_claims":["scope"]"#), "claim_missing");
    assert!(verify(HEADER, &with("scope", "null"), r#","required_claims":["scope"]"#).is_ok());
}

#[test]
fn time() {
    let exact = r#","leeway":0"#;
    assert_eq!(refused(HEADER, &with("exp", ""), ""), "claim_missing");
    assert_eq!(refused(HEADER, &with("exp", "1750000000"), exact), "token_expired");
    let refusal = verify(HEADER, &with("exp", "1749999999.5"), exact).unwrap_err();
    assert_eq!(refusal.to_string(), "token_expired: exp 1749999999.500 and 0 s leeway have passed, it is 1750000000");
    assert!(verify(HEADER, &with("exp", "1750000000.001"), exact).is_ok());
    assert!(verify(HEADER, &with("exp", "1750000001"), exact).is_ok());
    assert_eq!(refused(HEADER, &with("exp", "1749999940"), ""), "token_expired");
    assert!(verify(HEADER, &with("exp", "1749999941"), "").is_ok());
    for name in ["nbf", "iat"] {
        assert!(verify(HEADER, &with(name, "1750000000"), exact).is_ok());
        assert_eq!(refused(HEADER, &with(name, "1750000000.5"), exact), "token_not_yet_valid");
        assert!(verify(HEADER, &with(name, "1750000060"), "").is_ok());
        assert_eq!(refused(HEADER, &with(name, "1750000061"), ""), "token_not_yet_valid");
    }
    assert!(verify(HEADER, CLAIMS, r#","max_lifetime":200"#).is_ok());
    assert_eq!(refused(HEADER, CLAIMS, r#","max_lifetime":199"#), "lifetime_exceeded");
    assert_eq!(refused(HEADER, &with("iat", ""), r#","max_lifetime":200"#), "claim_missing");
    assert!(verify(HEADER, CLAIMS, r#","max_age":100,"leeway":0"#).is_ok());
    assert!(verify(HEADER, CLAIMS, r#","max_age":40"#).is_ok());
    assert_eq!(refused(HEADER, CLAIMS, r#","max_age":39"#), "token_too_old");
    let refusal = verify(HEADER, CLAIMS, r#","max_age":39"#).unwrap_err();
    assert_eq!(refusal.detail(), "issued 100 s ago, the policy allows 39 s and 60 s leeway");
    assert_eq!(refused(HEADER, &with("iat", ""), r#","max_age":39"#), "claim_missing");
}

#[test]
fn a_key_may_expire_before_its_tokens() {
    let verify = |exp: &str, claims: &str, more: &str| {
        let key = Jwk::new(es256_key(), None, Some("es".into())).unwrap().to_json();
        let keys = format!("{{\"keys\":[{}{exp}}}]}}", key.strip_suffix('}').unwrap());
        let verifier = Verifier::new(settings(more).policy().unwrap());
        verifier.verify(&sign(HEADER, claims), &JwkSet::from_json(&keys).unwrap(), Timestamp::from_secs(NOW))
    };
    let refused = |exp: &str, claims: &str| verify(exp, claims, r#","require_key_exp":true"#).unwrap_err().code().as_str();
    verify(r#","exp":1750000100"#, CLAIMS, r#","require_key_exp":true"#).unwrap();
    // The token's exp is 1750000100.
    assert_eq!(refused(r#","exp":1750000099"#, CLAIMS), "lifetime_exceeded");
    assert_eq!(refused(r#","exp":1750000000"#, CLAIMS), "key_expired");
    assert_eq!(refused(r#","exp":"1750000100""#, CLAIMS), "key_expired");
    assert_eq!(refused("", CLAIMS), "key_expired");
    assert_eq!(refused(r#","exp":1750000000"#, &with("exp", "1749999900")), "token_expired");
    for exp in ["", r#","exp":1"#, r#","exp":"never""#] {
        verify(exp, CLAIMS, "").unwrap();
    }
    let lent = JwkSet::from_json(
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","exp":1750000000.5}]}"#,
    );
    assert!(lent.unwrap().to_json().contains(r#""exp":1.7500000005e9"#));
}

#[test]
fn opt_outs_do_what_they_say_and_no_more() {
    let policy = Policy::builder().dangerous().skip_issuer().dangerous().skip_audience().algorithms([Algorithm::Es256]);
    let verify =
        |policy: Policy, claims: &str| Verifier::new(policy).verify(&sign(HEADER, claims), &keys(), Timestamp::from_secs(NOW));
    assert!(verify(policy.clone().build(), r#"{"exp":1750000100}"#).is_ok());
    assert_eq!(verify(policy.clone().build(), "{}").unwrap_err().code(), ErrorCode::ClaimMissing);
    assert_eq!(verify(policy.clone().build(), r#"{"exp":1750000100,"iss":1}"#).unwrap_err().code(), ErrorCode::ClaimInvalid);
    assert!(verify(policy.clone().dangerous().allow_missing_exp().build(), "{}").is_ok());
    assert_eq!(
        verify(policy.dangerous().allow_missing_exp().build(), r#"{"exp":1}"#).unwrap_err().code(),
        ErrorCode::TokenExpired
    );
}

#[test]
fn issuers_are_a_closed_list() {
    let issuers = Issuers::new(vec![(Some("https://i.example".into()), 1), (Some("https://j.example".into()), 2)]).unwrap();
    let route =
        |claims: &str| issuers.route(&UnverifiedToken::parse(&sign(HEADER, claims)).unwrap()).map_err(|error| error.code());
    assert_eq!(route(CLAIMS), Ok(&1));
    assert_eq!(route(&with("iss", r#""https://j.example""#)), Ok(&2));
    assert_eq!(route(&with("iss", r#""https://k.example""#)), Err(ErrorCode::IssuerMismatch));
    assert_eq!(route(&with("iss", "")), Err(ErrorCode::ClaimMissing));
    assert_eq!(route(&with("iss", "[]")), Err(ErrorCode::ClaimInvalid));
    assert_eq!(route("[]"), Err(ErrorCode::TokenMalformed));
    assert!(Issuers::<u8>::new(vec![]).is_err());
    assert!(Issuers::new(vec![(Some("a".into()), 1), (Some("a".into()), 2)]).is_err());
    assert!(Issuers::new(vec![(Some("a".into()), 1), (None, 2)]).is_err());
}

#[test]
fn what_is_issued_is_what_is_accepted() {
    let unsigned = UnsignedToken::new(Algorithm::Es256, "es", Some("at+jwt"), CLAIMS).unwrap();
    let signature: p256::ecdsa::Signature = ES256.sign(unsigned.signing_input());
    let token = unsigned.attach(&signature.to_bytes());
    let verifier = Verifier::new(settings(r#","typ":"at+jwt""#).policy().unwrap());
    verifier.verify(&token, &keys(), Timestamp::from_secs(NOW)).unwrap();
    for claims in ["[]", r#"{"exp":"1"}"#, r#"{"a":1,"a":2}"#] {
        assert!(UnsignedToken::new(Algorithm::Es256, "es", None, claims).is_err(), "{claims}");
    }
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(12_000));
    assert_eq!(UnsignedToken::new(Algorithm::Es256, "es", None, &long).unwrap_err().code(), ErrorCode::TokenTooLarge);
}

#[test]
fn a_cached_token_is_judged_by_what_may_have_changed() {
    let verifier = Arc::new(Verifier::new(settings(r#","max_age":200,"leeway":0"#).policy().unwrap()));
    let mut cache = TokenCache::new(10_000);
    let compact = sign(HEADER, CLAIMS);
    let now = Timestamp::from_secs(NOW);
    let fill = |cache: &mut TokenCache<_>| {
        let token = verifier.verify(&compact, &keys(), now).unwrap();
        cache.insert(&compact, Arc::clone(&verifier), &Arc::new(token));
    };
    let get = |cache: &mut TokenCache<Arc<Verifier>>, keys: &JwkSet, now: Timestamp| {
        let found = cache.find(&compact)?;
        assert_eq!(found.key_request().map(|request| (request.kid, request.algorithm)), Some((Some("es"), Algorithm::Es256)));
        let judged = cache.judge(found, keys, now)?;
        Some(judged.map(|known| match known {
            Known::Verified(token) => token,
            Known::Bound(bound) => panic!("{bound:?} is bound to nothing"),
        }))
    };
    assert!(get(&mut cache, &keys(), now).is_none());
    fill(&mut cache);
    assert_eq!(get(&mut cache, &keys(), now).unwrap().unwrap().claims_json(), CLAIMS);
    // One octet more is another token, and so is one that ends alike.
    assert!(cache.find(&(compact.clone() + "A")).is_none());
    assert!(cache.find(&("A".to_owned() + &compact)).is_none());
    assert!(cache.find(&compact.replacen("ey", "eY", 1)).is_none());
    assert!(cache.find("").is_none());
    // Time goes on: expired, too old, and back before its time.
    let refusal = get(&mut cache, &keys(), Timestamp::from_secs(1_750_000_100)).unwrap().unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TokenExpired);
    assert!(cache.is_empty());
    fill(&mut cache);
    let refusal = get(&mut cache, &keys(), Timestamp::from_secs(1_749_999_899)).unwrap().unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::TokenNotYetValid);
    // The key is gone, has another kid, or is restricted to an algorithm: no hit, and nothing is left to hit again.
    let renamed = JwkSet::from_keys([Jwk::new(es256_key(), Some(Algorithm::Es256), Some("other".into())).unwrap()]);
    let unrestricted = JwkSet::from_keys([Jwk::new(es256_key(), None, Some("es".into())).unwrap()]);
    // Another key has its kid: which of them signed cannot be told any more.
    let other = p256::ecdsa::SigningKey::from_bytes(&[8; 32].into()).unwrap();
    let other =
        PublicKey::ec_from_sec1(edgeseal_core::algorithm::Curve::P256, other.verifying_key().to_encoded_point(false).as_bytes());
    let twins = [es256_key(), other.unwrap()].map(|key| Jwk::new(key, Some(Algorithm::Es256), Some("es".into())).unwrap());
    for changed in [JwkSet::default(), renamed, unrestricted, JwkSet::from_keys(twins)] {
        fill(&mut cache);
        assert!(get(&mut cache, &changed, now).is_none());
        assert!(cache.is_empty() && cache.bytes() == 0);
    }
}

#[test]
fn a_bound_token_is_proved_anew_at_every_hit() {
    let thumbprint = [7; 32];
    let cnf = format!(r#"{{"x5t#S256":"{}"}}"#, Base64UrlUnpadded::encode_string(&thumbprint));
    let compact = sign(HEADER, &with("cnf", &cnf));
    let plain = Verifier::new(settings("").policy().unwrap());
    let now = Timestamp::from_secs(NOW);
    let code = |refused: VerifyError| refused.code();
    assert_eq!(plain.verify(&compact, &keys(), now).map_err(code).unwrap_err(), ErrorCode::ProofRequired);
    let verifier = Arc::new(Verifier::new(settings("").policy().unwrap().with_bound_tokens()));
    assert_eq!(verifier.verify(&compact, &keys(), now).map_err(code).unwrap_err(), ErrorCode::ProofRequired);

    let pending = verifier.begin(UnverifiedToken::parse(&compact).unwrap(), &keys()).unwrap();
    let answer = RustCrypto.verify(pending.input());
    let Finished::Bound(bound) = verifier.finish(pending, answer, now).unwrap() else { panic!("it is bound") };
    let prove = |bound, certificate: Option<&[u8; 32]>, now| {
        verifier.prove(bound, &Possession { key: None, certificate }, now).map_err(code)
    };
    assert_eq!(prove(bound.clone(), None, now).unwrap_err(), ErrorCode::ProofRequired);
    let token = prove(bound, Some(&thumbprint), now).unwrap();
    let mut cache = TokenCache::new(10_000);
    cache.insert(&compact, Arc::clone(&verifier), &token);
    let mut again = || {
        let found = cache.find(&compact).expect("it is remembered");
        match cache.judge(found, &keys(), now).unwrap().unwrap() {
            Known::Bound(bound) => bound,
            Known::Verified(_) => panic!("no proof was judged"),
        }
    };
    assert_eq!(prove(again(), None, now).unwrap_err(), ErrorCode::ProofRequired);
    assert_eq!(prove(again(), Some(&[8; 32]), now).unwrap_err(), ErrorCode::ProofInvalid);
    assert_eq!(prove(again(), Some(&thumbprint), now.plus_secs(86_400)).unwrap_err(), ErrorCode::TokenExpired);
    assert_eq!(prove(again(), Some(&thumbprint), now).unwrap().claims_json(), token.claims_json());
}

#[test]
fn the_token_cache_keeps_to_its_budget() {
    let verifier = Arc::new(Verifier::new(settings("").policy().unwrap()));
    let mut cache = TokenCache::new(10_000);
    let tokens: Vec<String> = (0..50).map(|n| sign(HEADER, &with("n", &n.to_string()))).collect();
    let fill = |cache: &mut TokenCache<Arc<Verifier>>, compact: &str| {
        let token = Arc::new(verifier.verify(compact, &keys(), Timestamp::from_secs(NOW)).unwrap());
        cache.insert(compact, Arc::clone(&verifier), &token);
    };
    for compact in &tokens {
        fill(&mut cache, compact);
        assert!(cache.bytes() <= 10_000 && !cache.is_empty());
    }
    assert!((5..20).contains(&cache.len()), "{}", cache.len());
    assert!(cache.find(&tokens[49]).is_some());
    assert!(cache.find(&tokens[0]).is_none());
    let (len, bytes) = (cache.len(), cache.bytes());
    fill(&mut cache, &tokens[49]);
    assert_eq!((cache.len(), cache.bytes()), (len, bytes));
    // Small objects take many times their text: each has a leaf of its own.
    let many = sign(HEADER, &with("many", &format!("[{}]", vec![r#"{"":0}"#; 1_000].join(","))));
    let mut large = TokenCache::new(10_000_000);
    fill(&mut large, &many);
    assert!(large.bytes() > 1_000 * 11 * size_of::<(String, serde_json::Value)>(), "{}", large.bytes());
    let mut none = TokenCache::new(0);
    fill(&mut none, &tokens[0]);
    assert!(none.is_empty());
}
