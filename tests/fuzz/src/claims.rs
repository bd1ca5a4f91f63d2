//! A header and a claims set, properly signed, under some policy: core's code against that of an independent reading of
//! the defaults in the manual. Octets: two of policy, one of time, one of leeway, then header, NUL, claims.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use edgeseal_core::{
    Algorithm, IssuerSettings, Jwk, JwkSet, PublicKey, Timestamp, Verifier,
    policy::{DangerousSettings, OneOrMany},
};

use super::{
    oracle::{Json, member, to_base64url},
    token,
};

pub const NOW: u64 = 1_750_000_000;
pub const ISSUER: &str = "https://i.example";
pub const AUDIENCE: &str = "https://a.example";

static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_bytes(&[9; 32]));
static KEYS: LazyLock<JwkSet> = LazyLock::new(|| {
    let key = PublicKey::ed25519(&SIGNER.verifying_key().to_bytes()).unwrap();
    JwkSet::from_keys([Jwk::new(key, None, Some("k".into())).unwrap()])
});

pub fn run(data: &[u8]) {
    let Some(([first, second, time, leeway], rest)) = data.split_first_chunk() else { return };
    let Some(middle) = rest.iter().position(|octet| *octet == 0) else { return };
    let (header, claims) = (&rest[..middle], &rest[middle + 1..]);
    let flag = |bit: u32| (u16::from(*first) << 8 | u16::from(*second)) >> bit & 1 == 1;
    let settings = IssuerSettings {
        issuer: (!flag(0)).then(|| ISSUER.into()),
        audience: (!flag(1)).then(|| OneOrMany::One(AUDIENCE.into())),
        algorithms: if flag(2) { vec![Algorithm::EdDsa] } else { vec![Algorithm::Ed25519, Algorithm::EdDsa, Algorithm::Es256] },
        typ: flag(3).then(|| "at+jwt".into()),
        leeway: Some(u64::from(*leeway)),
        max_lifetime: flag(4).then_some(200),
        max_age: flag(5).then_some(50),
        audience_claim: flag(6).then(|| "client_id".into()),
        required_claims: if flag(7) { vec!["scope".into()] } else { Vec::new() },
        dangerous: Some(DangerousSettings {
            skip_issuer: flag(0),
            skip_audience: flag(1),
            allow_missing_exp: flag(8),
            ..DangerousSettings::default()
        }),
        ..IssuerSettings::default()
    };
    let now = NOW - 128 + u64::from(*time);

    let input = format!("{}.{}", to_base64url(header), to_base64url(claims));
    let mut signature = SIGNER.sign(input.as_bytes()).to_bytes();
    signature[17] ^= u8::from(flag(9));
    let compact = format!("{input}.{}", to_base64url(&signature));

    let verifier = Verifier::new(settings.policy().unwrap());
    let ours = verifier.verify(&compact, &KEYS, Timestamp::from_secs(now));
    if Json::read(header).is_some_and(|(_, remarks)| remarks.disputed) {
        return;
    }
    let Some(expected) = expected(&compact, &settings, now, flag(9)) else { return };
    let code = ours.as_ref().err().map(|error| error.code().as_str());
    assert_eq!(code, expected, "{}", ours.as_ref().err().map_or(String::new(), ToString::to_string));
    if let Ok(token) = ours {
        assert_eq!(token.claims_json().as_bytes(), claims);
        assert_eq!(token.header_json().as_bytes(), header);
    }
}

/// The code of the first check that fails, `Some(None)` for acceptance, `None` where two readers of doubles may differ.
#[allow(clippy::too_many_lines, reason = "one list of checks in their order")]
fn expected(compact: &str, settings: &IssuerSettings, now: u64, tampered: bool) -> Option<Option<&'static str>> {
    let token = match token::read(compact) {
        Ok(token) => token,
        Err(code) => return Some(Some(code)),
    };
    let refuse = |code| Some(Some(code));
    let header = |name: &str| member(&token.header, name);
    if header("crit").is_some() || header("b64").is_some_and(|b64| *b64 != Json::Bool(true)) {
        return refuse("critical_header_unsupported");
    }
    let alg = header("alg").and_then(Json::as_str).unwrap();
    if !settings.algorithms.iter().any(|algorithm| algorithm.name() == alg) {
        return refuse("algorithm_not_allowed");
    }
    let short = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/") {
            Some(subtype) if !subtype.contains('/') => subtype.to_owned(),
            _ => typ,
        }
    };
    let typ = header("typ").and_then(Json::as_str);
    // Neither parameters nor spaces around it make it another kind.
    let reserved = |typ: &str| {
        let kind = short(typ.split_once(';').map_or(typ, |(kind, _)| kind).trim());
        ["dpop+jwt", "kb+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt"].contains(&&*kind) || kind.starts_with("edgeseal-")
    };
    if match (&settings.typ, typ) {
        (Some(wanted), typ) => typ.map(short).as_ref() != Some(wanted),
        (None, Some(typ)) => reserved(typ),
        (None, None) => false,
    } {
        return refuse("type_mismatch");
    }
    match header("kid").and_then(Json::as_str) {
        Some("k") if alg == "ES256" => return refuse("key_mismatch"),
        Some("k") => {}
        None if alg != "ES256" => {}
        _ => return refuse("key_not_found"),
    }
    if tampered {
        return refuse("signature_invalid");
    }

    let (value, remarks) = match Json::read(&token.payload) {
        Some((Json::Object(members), remarks)) if !remarks.duplicate && remarks.depth <= 128 => (members, remarks),
        _ => return refuse("token_malformed"),
    };
    if remarks.disputed {
        return None;
    }
    let claim = |name: &str| member(&value, name);
    let strings = |value: &Json| match value {
        Json::String(one) => Some(vec![one.clone()]),
        Json::Array(several) if !several.is_empty() => {
            several.iter().map(|one| one.as_str().map(String::from)).collect::<Option<Vec<String>>>()
        }
        _ => None,
    };
    let date = |name: &str| match claim(name) {
        None => Ok(None),
        Some(Json::Number(seconds)) if (0.0..=253_402_300_799.0).contains(seconds) => Ok(Some(*seconds)),
        Some(_) => Err(()),
    };
    let untyped = ["iss", "sub", "jti"].iter().any(|name| claim(name).is_some_and(|value| value.as_str().is_none()))
        || claim("aud").is_some_and(|value| strings(value).is_none())
        || claim("cnf").is_some_and(|value| !matches!(value, Json::Object(_)));
    let (Ok(exp), Ok(nbf), Ok(iat), false) = (date("exp"), date("nbf"), date("iat"), untyped) else {
        return refuse("claim_invalid");
    };
    if settings.required_claims.iter().any(|name| claim(name).is_none()) {
        return refuse("claim_missing");
    }
    if claim("cnf").is_some() {
        return refuse("proof_required");
    }
    if settings.issuer.is_some() {
        match claim("iss").and_then(Json::as_str) {
            None => return refuse("claim_missing"),
            Some(ISSUER) => {}
            Some(_) => return refuse("issuer_mismatch"),
        }
    }
    if settings.audience.is_some() {
        let name = settings.audience_claim.as_deref().unwrap_or("aud");
        match claim(name).map(strings) {
            None => return refuse("claim_missing"),
            Some(None) => return refuse("claim_invalid"),
            Some(Some(names)) if names.iter().any(|name| name == AUDIENCE) => {}
            Some(Some(_)) => return refuse("audience_mismatch"),
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (now, leeway) = (now as f64, settings.leeway.unwrap() as f64);
    // Two readers of a double may differ in its last digit, which matters only beside a boundary.
    let near = |a: f64| a != 0.0 && a.abs() < 1e-3;
    let edges = [
        exp.map(|exp| now - exp - leeway),
        nbf.map(|nbf| nbf - now - leeway),
        iat.map(|iat| iat - now - leeway),
        exp.zip(iat).map(|(exp, iat)| exp - iat - 200.0),
        iat.map(|iat| now - iat - 50.0 - leeway),
    ];
    let whole = |date: Option<f64>| date.is_none_or(|date| date.fract() == 0.0);
    if edges.into_iter().flatten().any(near) || edges.contains(&Some(0.0)) && ![exp, nbf, iat].into_iter().all(whole) {
        return None;
    }
    let required_exp = !settings.dangerous.unwrap().allow_missing_exp;
    match exp {
        None if required_exp => return refuse("claim_missing"),
        Some(exp) if now >= exp + leeway => return refuse("token_expired"),
        _ => {}
    }
    if [nbf, iat].into_iter().flatten().any(|date| date > now + leeway) {
        return refuse("token_not_yet_valid");
    }
    if settings.max_lifetime.is_some() {
        let (Some(iat), Some(exp)) = (iat, exp) else { return refuse("claim_missing") };
        if exp - iat > 200.0 {
            return refuse("lifetime_exceeded");
        }
    }
    if settings.max_age.is_some() {
        let Some(iat) = iat else { return refuse("claim_missing") };
        if now - iat > 50.0 + leeway {
            return refuse("token_too_old");
        }
    }
    Some(None)
}
