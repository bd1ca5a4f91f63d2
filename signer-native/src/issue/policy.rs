//! PURE. The decision: agent, profile, request and time in; the claims set to sign out, or why not.

use std::fmt;

use edgeseal_core::{Algorithm, Timestamp};
use serde_json::{Map, Value};

use super::Lifetime;

/// Claims that the signer writes, or that mean something only with a proof that this mode does not carry: a caller that
/// sets one is refused, never overruled in silence.
pub const RESERVED_CLAIMS: [(&str, &str); 10] = [
    ("iss", "the signer writes it"),
    ("aud", "ask for it by the member audience of the request"),
    ("exp", "the signer writes it; ask for a lifetime by the member ttl of the request"),
    ("nbf", "a token is valid from its iat on"),
    ("iat", "the signer writes it"),
    ("jti", "the signer writes it"),
    ("cnf", "proof-of-possession tokens are not issued in claims mode"),
    ("_sd", "selective disclosure is not issued in claims mode"),
    ("_sd_alg", "selective disclosure is not issued in claims mode"),
    ("...", "selective disclosure is not issued in claims mode"),
];

/// The shortest lifetime that can be asked for.
pub const LEAST_LIFETIME: Lifetime = Lifetime(1);
/// Audiences of one token.
pub const MAX_AUDIENCES: usize = 16;

/// As a profile's only audience: whatever is asked for. For development.
pub const ANY_AUDIENCE: &str = "*";

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
    /// The audiences that may be asked for; with exactly one, it is the default. [`ANY_AUDIENCE`] alone stands for all.
    pub audiences: Vec<String>,
    /// The header's `typ`.
    pub typ: Option<String>,
}

/// What an agent may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name: what stands behind `urn:edgeseal:agent:` in its certificate.
    pub name: String,
    /// The profiles that it may use.
    pub profiles: Vec<String>,
    /// Narrows the profile's audiences.
    pub audiences: Option<Vec<String>>,
    /// Narrows the profile's longest lifetime.
    pub max_lifetime: Option<Lifetime>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The caller's claims.
    pub claims: Map<String, Value>,
    /// The audiences asked for; empty for the profile's only one.
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

/// Why nothing may be signed: for the caller, naming what was asked and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial(String);

impl Denial {
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
    may_use(agent, &profile.name)?;
    let Request { mut claims, audience, ttl } = request;
    if let Some((name, why)) = RESERVED_CLAIMS.into_iter().find(|(name, _)| claims.contains_key(*name)) {
        return Err(Denial(format!("claim {name} may not be set by the caller: {why}")));
    }
    let audience = decide_audience(agent, profile, audience)?;
    let lifetime = decide_lifetime(agent, profile, ttl)?;
    let issued_at = now.as_secs();
    let expires_at = issued_at.saturating_add(lifetime.as_secs());
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

fn decide_audience(agent: &Agent, profile: &Profile, asked: Vec<String>) -> Result<Vec<String>, Denial> {
    let any = profile.audiences == [ANY_AUDIENCE];
    let allowed: Vec<&String> = match &agent.audiences {
        Some(narrower) if any => narrower.iter().collect(),
        Some(narrower) => profile.audiences.iter().filter(|audience| narrower.contains(audience)).collect(),
        None => profile.audiences.iter().collect(),
    };
    let any = any && agent.audiences.is_none();
    if asked.is_empty() {
        return match allowed.as_slice() {
            _ if any => Err(Denial(format!("audience is missing, and profile {} takes any: name one", profile.name))),
            [only] => Ok(vec![(*only).clone()]),
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
    let (most, whose) = match agent.max_lifetime {
        Some(most) if most < profile.max_lifetime => (most, format!("agent {}", agent.name)),
        _ => (profile.max_lifetime, format!("profile {}", profile.name)),
    };
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
        }
    }

    fn agent() -> Agent {
        Agent { name: "app".to_owned(), profiles: vec!["default".to_owned()], audiences: None, max_lifetime: None }
    }

    fn request(claims: &str) -> Request {
        let Value::Object(claims) = serde_json::from_str(claims).unwrap() else { panic!("not an object") };
        Request { claims, audience: vec!["https://api.example.com".to_owned()], ttl: None }
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
        let asked = |agent: &Agent, audience: &[&str]| {
            let audience = audience.iter().map(ToString::to_string).collect();
            let request = Request { audience, ..request("{}") };
            decide("https://signer.example.com", agent, &any, request, NOW, "id").map_err(|denial| denial.to_string())
        };
        assert_eq!(asked(&agent(), &["urn:anything"]).unwrap().audience, ["urn:anything"]);
        assert!(asked(&agent(), &[]).unwrap_err().contains("takes any"));
        assert!(asked(&agent(), &[""]).is_err());
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
}
