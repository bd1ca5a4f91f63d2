//! PURE. The decision: agent, profile, request and time in; the claims set to sign out, or why not.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Lifetime;

/// Claims that the signer writes, or that mean something only with a proof that no mode carries: a caller that sets one is
/// refused, never overruled in silence.
pub const RESERVED_CLAIMS: [(&str, &str); 8] = [
    ("iss", "the signer writes it"),
    ("aud", "ask for it by the member audience of the request"),
    ("exp", "the signer writes it; ask for a lifetime by the member ttl of the request"),
    ("nbf", "a token is valid from its iat on"),
    ("iat", "the signer writes it"),
    ("jti", "the signer writes it"),
    ("cnf", "proof-of-possession tokens are not issued"),
    (SESSION_CLAIM, "the signer writes it"),
];

/// In tokens that can be renewed: `{"agent": who obtained it, "start": when its first ancestor was issued}`.
pub const SESSION_CLAIM: &str = "edgeseal_session";

/// What conveys digests in an SD-JWT (RFC 9901 section 4.2.4): never a claim of its own.
pub const SD_MEMBERS: [&str; 3] = ["_sd", "_sd_alg", "..."];

/// The shortest lifetime that can be asked for.
pub const LEAST_LIFETIME: Lifetime = Lifetime(1);
/// Audiences of one token.
pub const MAX_AUDIENCES: usize = 16;
/// Digests of one token: as many disclosures as a verifier takes.
pub const MAX_DIGESTS: usize = edgeseal_core::sd::MAX_DISCLOSURES;

/// Among a profile's audiences: whatever is asked for. For development.
pub const ANY_AUDIENCE: &str = "*";

/// What the signer sees of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All claims.
    #[default]
    Claims,
    /// Registered claims in clear, salted digests of the private ones (RFC 9901).
    Sd,
    /// A digest of the whole token; signed by a key of the agent's own.
    Digest,
}

impl Mode {
    /// Its name in requests and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Sd => "sd",
            Self::Digest => "digest",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What tokens of a profile are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What its keys sign with.
    pub algorithm: Algorithm,
    /// Bits of its RSA keys; ignored for other algorithms.
    pub rsa_bits: u16,
    /// The lifetime when none is asked for.
    pub default_lifetime: Lifetime,
    /// The longest lifetime.
    pub max_lifetime: Lifetime,
    /// The audiences that may be asked for; where exactly one is named, it is the default. [`ANY_AUDIENCE`] stands for all.
    pub audiences: Vec<String>,
    /// The header's `typ`.
    pub typ: Option<String>,
    /// The modes that may be asked for; the first is what an agent uses unless told another.
    pub modes: Vec<Mode>,
    /// How long after the first token the last renewal may live; `None` where tokens are not renewed.
    pub max_session: Option<Lifetime>,
}

impl Profile {
    fn takes_any_audience(&self) -> bool {
        self.audiences.iter().any(|audience| audience == ANY_AUDIENCE)
    }
}

/// What an agent may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Its name: what stands behind `urn:edgeseal:agent:` in its certificate.
    pub name: String,
    /// The profiles that it may use.
    pub profiles: Vec<String>,
    /// Narrows the profile's audiences.
    pub audiences: Option<Vec<String>>,
    /// Narrows the profile's longest lifetime.
    pub max_lifetime: Option<Lifetime>,
    /// Claims that each of its tokens must carry, in clear.
    pub required_claims: Vec<String>,
    /// Claims that none of its tokens may carry.
    pub forbidden_claims: Vec<String>,
    /// Tokens a second that it may ask for, as an average; `None` for no limit.
    pub rate: Option<u32>,
}

/// Which policy an agent is judged by under a profile: a hash of all that both say of that, the same until one of them is changed. What
/// else the agent may use does not count: there may be thousands of profiles, and every token has its version.
pub fn version(agent: &Agent, profile: &Profile) -> String {
    let Profile { name, algorithm, rsa_bits, default_lifetime, max_lifetime, audiences, typ, modes, max_session } = profile;
    let of_profile =
        json!([name, algorithm.name(), rsa_bits, default_lifetime, max_lifetime, audiences, typ, modes, max_session]);
    let Agent { name, profiles: _, audiences, max_lifetime, required_claims, forbidden_claims, rate } = agent;
    let of_agent = json!([name, audiences, max_lifetime, required_claims, forbidden_claims, rate]);
    let hash = Sha256::digest(json!([of_profile, of_agent]).to_string());
    Base64UrlUnpadded::encode_string(&hash[..12])
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// What the signer gets to see; [`Mode::Digest`] is not asked for in this way.
    pub mode: Mode,
    /// The caller's claims; in [`Mode::Sd`] with `_sd`, and `_sd_alg` unless it is SHA-256.
    pub claims: Map<String, Value>,
    /// The audiences asked for; empty for the profile's only one.
    pub audience: Vec<String>,
    /// The lifetime asked for.
    pub ttl: Option<Lifetime>,
}

/// What may differ between a token and its renewal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Renewal {
    /// Fewer audiences than before; empty for the same.
    pub audience: Vec<String>,
    /// The lifetime asked for.
    pub ttl: Option<Lifetime>,
}

/// What may be signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The whole claims set.
    pub claims: Map<String, Value>,
    /// The audiences in it.
    pub audience: Vec<String>,
    /// Its `exp`, in whole seconds.
    pub expires_at: Timestamp,
}

/// Why nothing may be signed: for the caller, naming what was asked and what is allowed, and no claim's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(String);

impl Denial {
    pub(super) fn new(sentence: String) -> Self {
        Self(sentence)
    }

    /// The agent may not use this profile, or there is none: one sentence for both.
    pub fn of_profile(agent: &Agent, profile: &str) -> Self {
        Self(format!("agent {} may not use profile {profile:?}; its profiles are {}", agent.name, list(&agent.profiles)))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Denial {}

/// Whether an agent's rules on claims can be meant.
///
/// # Errors
/// The member that cannot, and what is wrong with it.
pub fn check_claim_rules(required_claims: &[String], forbidden_claims: &[String]) -> Result<(), (&'static str, String)> {
    for (member, names) in [("required_claims", required_claims), ("forbidden_claims", forbidden_claims)] {
        if names.iter().any(String::is_empty) {
            return Err((member, "holds an empty name".to_owned()));
        }
        if let Some((name, why)) = RESERVED_CLAIMS.iter().find(|(name, _)| names.iter().any(|one| one == name)) {
            return Err((member, format!("holds {name:?}, which no caller may set: {why}")));
        }
    }
    match required_claims.iter().find(|name| forbidden_claims.contains(name)) {
        Some(both) => Err(("forbidden_claims", format!("holds {both:?}, which required_claims holds too"))),
        None => Ok(()),
    }
}

/// Decides on one request.
///
/// # Errors
/// The first rule that the request breaks.
pub fn decide(
    issuer: &str,
    agent: &Agent,
    profile: &Profile,
    request: Request,
    now: Timestamp,
    jwt_id: &str,
) -> Result<Grant, Denial> {
    let session = profile.max_session.map(|most| Session { start: now.as_secs(), most });
    grant(issuer, agent, profile, request, now, jwt_id, session)
}

/// Decides whether the token with these claims may live on: verified, unexpired, and signed by a key that still may.
///
/// # Errors
/// The first rule that the renewal breaks, today's policy included.
pub fn renew(
    issuer: &str,
    agent: &Agent,
    profile: &Profile,
    old: &Map<String, Value>,
    renewal: Renewal,
    now: Timestamp,
    jwt_id: &str,
) -> Result<Grant, Denial> {
    may_use(agent, &profile.name)?;
    let Some(most) = profile.max_session else {
        return Err(Denial(format!("tokens of profile {} are not renewed: it has no max_session", profile.name)));
    };
    let session = old.get(SESSION_CLAIM);
    let start = session.and_then(|session| session.get("start")).and_then(Value::as_u64);
    let obtained_by = session.and_then(|session| session.get("agent")).and_then(Value::as_str);
    let (Some(start), Some(obtained_by)) = (start, obtained_by) else {
        return Err(Denial(format!("the token was not issued to be renewed: it has no {SESSION_CLAIM}")));
    };
    if obtained_by != agent.name {
        return Err(Denial(format!("another agent obtained this token; agent {} may renew its own", agent.name)));
    }
    let Renewal { audience, ttl } = renewal;
    let held: Vec<&str> = match old.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(wider) = audience.iter().find(|audience| !held.contains(&audience.as_str())) {
        return Err(Denial(format!(
            "a renewal cannot widen the audience: the token is for {}; {wider:?} was asked",
            list(&held)
        )));
    }
    let audience = if audience.is_empty() { held.into_iter().map(str::to_owned).collect() } else { audience };
    let claims = of_caller(old);
    let mode = if claims.contains_key("_sd") { Mode::Sd } else { Mode::Claims };
    let request = Request { mode, claims, audience, ttl };
    grant(issuer, agent, profile, request, now, jwt_id, Some(Session { start, most }))
}

/// The claims of a token that its caller set.
pub fn of_caller(claims: &Map<String, Value>) -> Map<String, Value> {
    let reserved = |name: &String| RESERVED_CLAIMS.iter().any(|(reserved, _)| reserved == name);
    claims.iter().filter(|(name, _)| !reserved(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[derive(Clone, Copy)]
struct Session {
    start: u64,
    most: Lifetime,
}

fn grant(
    issuer: &str,
    agent: &Agent,
    profile: &Profile,
    request: Request,
    now: Timestamp,
    jwt_id: &str,
    session: Option<Session>,
) -> Result<Grant, Denial> {
    may_use(agent, &profile.name)?;
    let Request { mode, mut claims, audience, ttl } = request;
    may_ask(profile, mode)?;
    decide_claims(agent, mode, &claims)?;
    let audience = decide_audience(agent, profile, audience)?;
    let lifetime = decide_lifetime(agent, profile, ttl)?;
    let issued_at = now.as_secs();
    let mut expires_at = issued_at.saturating_add(lifetime.as_secs());
    if let Some(Session { start, most }) = session {
        let end = start.saturating_add(most.as_secs());
        if end <= issued_at {
            let sentence =
                format!("profile {} allows sessions of at most {most}; this one began {} s ago", profile.name, issued_at - start);
            return Err(Denial(sentence));
        }
        expires_at = expires_at.min(end);
        claims.insert(SESSION_CLAIM.to_owned(), json!({ "agent": agent.name, "start": start }));
    }
    claims.insert("iss".to_owned(), issuer.into());
    claims.insert(
        "aud".to_owned(),
        match audience.as_slice() {
            [one] => one.as_str().into(),
            several => several.into(),
        },
    );
    claims.insert("iat".to_owned(), issued_at.into());
    claims.insert("exp".to_owned(), expires_at.into());
    claims.insert("jti".to_owned(), jwt_id.into());
    Ok(Grant { claims, audience, expires_at: Timestamp::from_secs(expires_at) })
}

/// Whether an agent may use a profile, which need not exist: who may not use it learns nothing of it.
///
/// # Errors
/// When it may not.
pub fn may_use(agent: &Agent, profile: &str) -> Result<(), Denial> {
    if agent.profiles.iter().any(|allowed| allowed == profile) {
        return Ok(());
    }
    Err(Denial::of_profile(agent, profile))
}

/// Whether a profile has this mode.
///
/// # Errors
/// When it has not.
pub fn may_ask(profile: &Profile, mode: Mode) -> Result<(), Denial> {
    if profile.modes.contains(&mode) {
        return Ok(());
    }
    let modes: Vec<&str> = profile.modes.iter().map(|mode| mode.as_str()).collect();
    Err(Denial(format!("profile {} allows the modes {}; {mode} was asked", profile.name, list(&modes))))
}

/// Whether none of these claims is the signer's to write.
///
/// # Errors
/// The first that is.
pub fn check_callers(claims: &Map<String, Value>) -> Result<(), Denial> {
    match RESERVED_CLAIMS.into_iter().find(|(name, _)| claims.contains_key(*name)) {
        Some((name, why)) => Err(Denial(format!("claim {name} may not be set by the caller: {why}"))),
        None => Ok(()),
    }
}

fn decide_claims(agent: &Agent, mode: Mode, claims: &Map<String, Value>) -> Result<(), Denial> {
    check_callers(claims)?;
    if mode == Mode::Sd {
        check_digests(claims)?;
        // Whoever hides a claim hides its name as well.
        if !agent.forbidden_claims.is_empty() {
            let forbidden = list(&agent.forbidden_claims);
            return Err(Denial(format!("agent {} has forbidden claims ({forbidden}), which mode sd could hide", agent.name)));
        }
    } else if let Some(name) = SD_MEMBERS.into_iter().find(|name| claims.contains_key(*name)) {
        return Err(Denial(format!("claim {name} may not be set by the caller: selective disclosure needs mode sd")));
    } else if let Some((name, _)) = claims.iter().find(|(_, value)| conveys_digests(value)) {
        let reason = "holds _sd, _sd_alg or ..., behind which claims could hide: selective disclosure needs mode sd";
        return Err(Denial(format!("claim {name} {reason}")));
    }
    if let Some(missing) = agent.required_claims.iter().find(|name| !claims.contains_key(*name)) {
        let clear = if mode == Mode::Sd { ", in clear" } else { "" };
        return Err(Denial(format!("agent {} must set claim {missing}{clear}", agent.name)));
    }
    if let Some(found) = agent.forbidden_claims.iter().find(|name| claims.contains_key(*name)) {
        return Err(Denial(format!("agent {} may not set claim {found}", agent.name)));
    }
    Ok(())
}

/// `_sd` holds what can be digests, at the top level alone, where the agent puts them.
fn check_digests(claims: &Map<String, Value>) -> Result<(), Denial> {
    let length = match claims.get("_sd_alg") {
        None => 43,
        Some(Value::String(name)) if name == "sha-256" => 43,
        Some(Value::String(name)) if name == "sha-384" => 64,
        Some(Value::String(name)) if name == "sha-512" => 86,
        Some(_) => return Err(Denial("_sd_alg takes sha-256, sha-384 or sha-512".to_owned())),
    };
    let Some(Value::Array(digests)) = claims.get("_sd") else {
        return Err(Denial("mode sd takes a claim _sd: an array of digests (RFC 9901 section 4.2.4.1)".to_owned()));
    };
    if !(1..=MAX_DIGESTS).contains(&digests.len()) {
        return Err(Denial(format!("_sd has {} digests; it takes 1 to {MAX_DIGESTS}", digests.len())));
    }
    let is_digest =
        |text: &str| text.len() == length && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    let mut seen: Vec<&str> = digests.iter().filter_map(Value::as_str).filter(|text| is_digest(text)).collect();
    if seen.len() != digests.len() {
        return Err(Denial(format!("_sd holds what is no digest: each has {length} characters of base64url")));
    }
    seen.sort_unstable();
    seen.dedup();
    if seen.len() != digests.len() {
        return Err(Denial("_sd holds a digest twice (RFC 9901 section 7.1 refuses that)".to_owned()));
    }
    let nested =
        |(name, value): (&String, &Value)| name == "..." || (!SD_MEMBERS.contains(&name.as_str()) && conveys_digests(value));
    if claims.iter().any(nested) {
        return Err(Denial("digests may stand at the top level of the claims alone".to_owned()));
    }
    Ok(())
}

/// Whether a verifier would take something inside a claim for selective disclosure: [`SD_MEMBERS`] at any depth.
pub fn conveys_digests(value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            members.iter().any(|(name, value)| SD_MEMBERS.contains(&name.as_str()) || conveys_digests(value))
        }
        Value::Array(elements) => elements.iter().any(conveys_digests),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The audiences that an agent may ask for of a profile.
pub fn audiences<'a>(agent: &'a Agent, profile: &'a Profile) -> Vec<&'a String> {
    match &agent.audiences {
        Some(narrower) if profile.takes_any_audience() => narrower.iter().collect(),
        Some(narrower) => profile.audiences.iter().filter(|audience| narrower.contains(audience)).collect(),
        None => profile.audiences.iter().collect(),
    }
}

/// The longest lifetime that an agent may ask for of a profile.
pub fn longest(agent: &Agent, profile: &Profile) -> Lifetime {
    agent.max_lifetime.map_or(profile.max_lifetime, |most| most.min(profile.max_lifetime))
}

fn decide_audience(agent: &Agent, profile: &Profile, asked: Vec<String>) -> Result<Vec<String>, Denial> {
    let allowed = audiences(agent, profile);
    let any = profile.takes_any_audience() && agent.audiences.is_none();
    if asked.is_empty() {
        let named: Vec<&String> = allowed.into_iter().filter(|audience| *audience != ANY_AUDIENCE).collect();
        return match named.as_slice() {
            [only] => Ok(vec![(*only).clone()]),
            _ if any => Err(Denial(format!("audience is missing, and profile {} takes any: name one", profile.name))),
            several => {
                Err(Denial(format!("audience is missing, and profile {} allows several: {}", profile.name, list(several))))
            }
        };
    }
    if asked.len() > MAX_AUDIENCES {
        return Err(Denial(format!("{} audiences were asked for, at most {MAX_AUDIENCES} are allowed", asked.len())));
    }
    if asked.iter().any(String::is_empty) {
        return Err(Denial("an audience is empty".to_owned()));
    }
    if let Some(other) = asked.iter().find(|audience| !any && !allowed.contains(audience)) {
        return Err(Denial(format!("profile {} allows the audiences {}; {other:?} was asked", profile.name, list(&allowed))));
    }
    Ok(asked)
}

fn decide_lifetime(agent: &Agent, profile: &Profile, asked: Option<Lifetime>) -> Result<Lifetime, Denial> {
    let most = longest(agent, profile);
    let whose = if most < profile.max_lifetime { format!("agent {}", agent.name) } else { format!("profile {}", profile.name) };
    match asked {
        None => Ok(profile.default_lifetime.min(most)),
        Some(asked) if asked > most => Err(Denial(format!("{whose} allows at most {most}; {asked} was asked"))),
        Some(asked) if asked < LEAST_LIFETIME => {
            Err(Denial(format!("a token lives at least {LEAST_LIFETIME}; {asked} was asked")))
        }
        Some(asked) => Ok(asked),
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_750_000_000_999);

    fn profile() -> Profile {
        Profile {
            name: "default".to_owned(),
            algorithm: Algorithm::Es256,
            rsa_bits: 2_048,
            default_lifetime: Lifetime(600),
            max_lifetime: Lifetime(900),
            audiences: vec!["https://api.example.com".to_owned(), "https://other.example.com".to_owned()],
            typ: None,
            modes: vec![Mode::Claims],
            max_session: None,
        }
    }

    fn agent() -> Agent {
        Agent { name: "app".to_owned(), profiles: vec!["default".to_owned()], ..Agent::default() }
    }

    fn request(claims: &str) -> Request {
        let Value::Object(claims) = serde_json::from_str(claims).unwrap() else { panic!("not an object") };
        Request { claims, audience: vec!["https://api.example.com".to_owned()], ..Request::default() }
    }

    fn decide_here(agent: &Agent, request: Request) -> Result<Grant, String> {
        decide("https://signer.example.com", agent, &profile(), request, NOW, "id").map_err(|denial| denial.to_string())
    }

    #[test]
    fn the_signer_writes_its_claims() {
        let grant = decide_here(&agent(), request(r#"{"sub":"alice","scope":"read"}"#)).unwrap();
        assert_eq!(grant.expires_at, Timestamp::from_secs(1_750_000_600));
        assert_eq!(
            Value::Object(grant.claims),
            serde_json::json!({
                "iss": "https://signer.example.com", "sub": "alice", "aud": "https://api.example.com", "scope": "read",
                "iat": 1_750_000_000, "exp": 1_750_000_600, "jti": "id",
            })
        );
    }

    #[test]
    fn reserved_claims_are_refused() {
        for (name, _) in RESERVED_CLAIMS {
            let refused = decide_here(&agent(), request(&format!("{{\"{name}\":1}}"))).unwrap_err();
            assert!(refused.starts_with(&format!("claim {name} may not be set")), "{refused}");
        }
    }

    #[test]
    fn lifetimes_are_bounded() {
        let ttl = |agent: &Agent, seconds| decide_here(agent, Request { ttl: Some(Lifetime(seconds)), ..request("{}") });
        assert!(ttl(&agent(), 900).is_ok());
        assert_eq!(ttl(&agent(), 3_600).unwrap_err(), "profile default allows at most 15m; 1h was asked");
        assert_eq!(ttl(&agent(), 0).unwrap_err(), "a token lives at least 1s; 0s was asked");
        let narrow = Agent { max_lifetime: Some(Lifetime(60)), ..agent() };
        assert_eq!(ttl(&narrow, 61).unwrap_err(), "agent app allows at most 1m; 61s was asked");
        assert_eq!(decide_here(&narrow, request("{}")).unwrap().expires_at, Timestamp::from_secs(1_750_000_060));
    }

    #[test]
    fn audiences_are_a_closed_list() {
        let asked = |agent: &Agent, audience: &[&str]| {
            let audience = audience.iter().map(ToString::to_string).collect();
            decide_here(agent, Request { audience, ..request("{}") })
        };
        let several = asked(&agent(), &["https://other.example.com", "https://api.example.com"]).unwrap();
        assert_eq!(several.claims["aud"], serde_json::json!(["https://other.example.com", "https://api.example.com"]));
        assert!(asked(&agent(), &["https://api.example.com/"]).unwrap_err().contains("\"https://api.example.com/\" was asked"));
        assert!(asked(&agent(), &[]).unwrap_err().contains("audience is missing"));
        let narrow = Agent { audiences: Some(vec!["https://other.example.com".to_owned()]), ..agent() };
        assert!(asked(&narrow, &["https://api.example.com"]).is_err());
        assert_eq!(asked(&narrow, &[]).unwrap().audience, ["https://other.example.com"]);
    }

    #[test]
    fn any_audience_is_for_development() {
        let any = Profile { audiences: vec![ANY_AUDIENCE.to_owned()], ..profile() };
        let asked_of = |profile: &Profile, agent: &Agent, audience: &[&str]| {
            let audience = audience.iter().map(ToString::to_string).collect();
            let request = Request { audience, ..request("{}") };
            decide("https://signer.example.com", agent, profile, request, NOW, "id").map_err(|denial| denial.to_string())
        };
        let asked = |agent: &Agent, audience: &[&str]| asked_of(&any, agent, audience);
        assert_eq!(asked(&agent(), &["urn:anything"]).unwrap().audience, ["urn:anything"]);
        assert!(asked(&agent(), &[]).unwrap_err().contains("takes any"));
        assert!(asked(&agent(), &[""]).is_err());
        let named = Profile { audiences: vec!["urn:first".to_owned(), ANY_AUDIENCE.to_owned()], ..profile() };
        assert_eq!(asked_of(&named, &agent(), &[]).unwrap().audience, ["urn:first"]);
        assert_eq!(asked_of(&named, &agent(), &["urn:anything"]).unwrap().audience, ["urn:anything"]);
        let narrow = Agent { audiences: Some(vec!["urn:one".to_owned()]), ..agent() };
        assert!(asked(&narrow, &["urn:two"]).is_err());
        assert_eq!(asked(&narrow, &[]).unwrap().audience, ["urn:one"]);
    }

    #[test]
    fn profiles_are_a_closed_list() {
        let other = Agent { profiles: vec![], ..agent() };
        assert_eq!(
            decide_here(&other, request("{}")).unwrap_err(),
            "agent app may not use profile \"default\"; its profiles are none"
        );
    }

    #[test]
    fn the_version_of_a_policy_is_that_of_one_profile() {
        let of = |agent: &Agent| version(agent, &profile());
        let more = Agent { profiles: vec!["default".to_owned(), "other".to_owned()], ..agent() };
        assert_eq!(of(&more), of(&agent()), "another profile changes nothing under this one");
        let narrow = Agent { max_lifetime: Some(Lifetime(60)), ..agent() };
        let named = Agent { name: "other".to_owned(), ..agent() };
        let strict = Agent { required_claims: vec!["sub".to_owned()], ..agent() };
        let forbidding = Agent { forbidden_claims: vec!["sub".to_owned()], ..agent() };
        let slow = Agent { rate: Some(1), ..agent() };
        let audience = Agent { audiences: Some(vec!["https://api.example.com".to_owned()]), ..agent() };
        let longer = version(&agent(), &Profile { max_lifetime: Lifetime(901), ..profile() });
        let mut versions: Vec<String> = [agent(), narrow, named, strict, forbidding, slow, audience].iter().map(of).collect();
        versions.push(longer);
        let count = versions.len();
        versions.sort();
        versions.dedup();
        assert_eq!(versions.len(), count);
    }

    fn digest(letter: char) -> String {
        letter.to_string().repeat(43)
    }

    fn sd(agent: &Agent, claims: &Value) -> Result<Grant, String> {
        let profile = Profile { modes: vec![Mode::Sd], ..profile() };
        let request = Request { mode: Mode::Sd, ..request(&claims.to_string()) };
        decide("https://signer.example.com", agent, &profile, request, NOW, "id").map_err(|denial| denial.to_string())
    }

    #[test]
    fn sd_carries_digests_and_nothing_else_that_hides() {
        let grant = sd(&agent(), &json!({ "sub": "alice", "_sd": [digest('a'), digest('b')], "_sd_alg": "sha-256" })).unwrap();
        assert_eq!(grant.claims["_sd"], json!([digest('a'), digest('b')]));
        for (claims, says) in [
            (json!({}), "takes a claim _sd"),
            (json!({ "_sd": [] }), "0 digests"),
            (json!({ "_sd": ["short"] }), "no digest"),
            (json!({ "_sd": [digest('+')] }), "no digest"),
            (json!({ "_sd": [1] }), "no digest"),
            (json!({ "_sd": [digest('a')], "_sd_alg": "sha-512" }), "86 characters"),
            (json!({ "_sd": [digest('a')], "_sd_alg": "md5" }), "_sd_alg takes"),
            (json!({ "_sd": [digest('a'), digest('a')] }), "twice"),
            (json!({ "_sd": [digest('a')], "address": { "_sd": [digest('b')] } }), "top level"),
            (json!({ "_sd": [digest('a')], "list": [{ "...": digest('b') }] }), "top level"),
            (json!({ "_sd": [digest('a')], "...": digest('b') }), "top level"),
            (json!({ "_sd": [digest('a')], "exp": 1 }), "claim exp may not be set"),
        ] {
            let refused = sd(&agent(), &claims).unwrap_err();
            assert!(refused.contains(says), "{claims}: {refused}");
        }
    }

    #[test]
    fn modes_are_a_closed_list() {
        assert_eq!(
            decide_here(&agent(), Request { mode: Mode::Sd, ..request("{}") }).unwrap_err(),
            "profile default allows the modes claims; sd was asked"
        );
        for hiding in
            [r#"{"_sd":[]}"#, r#"{"address":{"_sd":[]}}"#, r#"{"list":[[{"...":"x"}]]}"#, r#"{"a":[{"b":{"_sd_alg":"x"}}]}"#]
        {
            assert!(decide_here(&agent(), request(hiding)).unwrap_err().contains("needs mode sd"), "{hiding}");
        }
    }

    #[test]
    fn required_and_forbidden_claims() {
        let strict = Agent { required_claims: vec!["sub".to_owned()], forbidden_claims: vec!["admin".to_owned()], ..agent() };
        assert!(decide_here(&strict, request(r#"{"sub":"alice"}"#)).is_ok());
        assert_eq!(decide_here(&strict, request("{}")).unwrap_err(), "agent app must set claim sub");
        assert_eq!(
            decide_here(&strict, request(r#"{"sub":"alice","admin":true}"#)).unwrap_err(),
            "agent app may not set claim admin"
        );
        let hiding = sd(&strict, &json!({ "sub": "alice", "_sd": [digest('a')] })).unwrap_err();
        assert!(hiding.contains("mode sd could hide"), "{hiding}");
        let required = Agent { forbidden_claims: vec![], ..strict };
        assert!(sd(&required, &json!({ "_sd": [digest('a')] })).unwrap_err().contains("must set claim sub, in clear"));
    }

    fn renewable() -> Profile {
        Profile { max_session: Some(Lifetime(1_000)), ..profile() }
    }

    fn first() -> Map<String, Value> {
        let request = Request {
            audience: vec!["https://other.example.com".to_owned(), "https://api.example.com".to_owned()],
            ..request(r#"{"sub":"alice"}"#)
        };
        decide("https://signer.example.com", &agent(), &renewable(), request, NOW, "first").unwrap().claims
    }

    fn renew_at(agent: &Agent, profile: &Profile, seconds: u64, renewal: Renewal) -> Result<Grant, String> {
        let now = NOW.plus_secs(seconds);
        renew("https://signer.example.com", agent, profile, &first(), renewal, now, "next").map_err(|denial| denial.to_string())
    }

    #[test]
    fn a_renewal_is_the_same_token_later() {
        let grant = renew_at(&agent(), &renewable(), 300, Renewal::default()).unwrap();
        assert_eq!(
            Value::Object(grant.claims),
            json!({
                "iss": "https://signer.example.com", "sub": "alice",
                "aud": ["https://other.example.com", "https://api.example.com"],
                "iat": 1_750_000_300, "exp": 1_750_000_900, "jti": "next",
                "edgeseal_session": { "agent": "app", "start": 1_750_000_000 },
            })
        );
        let narrower = Renewal { audience: vec!["https://api.example.com".to_owned()], ttl: Some(Lifetime(60)) };
        let grant = renew_at(&agent(), &renewable(), 300, narrower).unwrap();
        assert_eq!((&grant.claims["aud"], &grant.claims["exp"]), (&json!("https://api.example.com"), &json!(1_750_000_360)));
    }

    #[test]
    fn a_session_ends() {
        let late = renew_at(&agent(), &renewable(), 900, Renewal::default()).unwrap();
        assert_eq!(late.expires_at, Timestamp::from_secs(1_750_001_000), "no longer than the session");
        let over = renew_at(&agent(), &renewable(), 1_000, Renewal::default()).unwrap_err();
        assert_eq!(over, "profile default allows sessions of at most 1000s; this one began 1000 s ago");
    }

    #[test]
    fn renewals_go_by_todays_policy_and_widen_nothing() {
        let refused = |agent: &Agent, profile: &Profile, renewal| renew_at(agent, profile, 10, renewal).unwrap_err();
        let wider = Renewal { audience: vec!["https://third.example.com".to_owned()], ttl: None };
        assert!(refused(&agent(), &renewable(), wider).contains("cannot widen the audience"));
        assert!(refused(&agent(), &profile(), Renewal::default()).contains("has no max_session"));
        let other = Agent { name: "other".to_owned(), ..agent() };
        assert!(refused(&other, &renewable(), Renewal::default()).contains("another agent obtained this token"));
        let strict = Agent { required_claims: vec!["tenant".to_owned()], ..agent() };
        assert!(refused(&strict, &renewable(), Renewal::default()).contains("must set claim tenant"));
        let closed = Profile { audiences: vec!["https://api.example.com".to_owned()], ..renewable() };
        assert!(refused(&agent(), &closed, Renewal::default()).contains("https://other.example.com"));
        let sd_only = Profile { modes: vec![Mode::Sd], ..renewable() };
        assert!(refused(&agent(), &sd_only, Renewal::default()).contains("claims was asked"));
        let long = Renewal { audience: vec![], ttl: Some(Lifetime(3_600)) };
        assert!(refused(&agent(), &renewable(), long).contains("1h was asked"));
    }
}
