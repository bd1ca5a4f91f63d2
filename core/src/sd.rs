//! SD-JWT (RFC 9901): what a holder disclosed of a token, and the proof that it was the holder who presents it.
//!
//! A presentation is `<issuer-signed JWT>~<disclosure>~…~[<key-binding JWT>]`. It is accepted only where
//! [`Policy::sd_jwt`](crate::policy::PolicyBuilder::sd_jwt) says so. Disclosures are looked at once the issuer's signature is
//! verified, and all claims are judged after disclosure, exactly as those of a plain token.
//!
//! Stricter than the RFC has to be: `_sd`, `_sd_alg` and `...` are refused wherever they do not convey digests; what decides
//! about validity ([`NEVER_DISCLOSED`], the audience) may not be hidden (RFC 9901 section 9.7); the processed claims keep the bound on nesting.

use alloc::{
    string::{String, ToString as _},
    sync::Arc,
    vec::Vec,
};

use serde_json::{Map, Value};

use crate::{
    algorithm::{Algorithm, Hash},
    backend::SignatureInput,
    claims::{self, Claims},
    error::{Check, ErrorCode, PolicyError, VerifyError, quoted, quoted_list},
    json::{self, MAX_DEPTH},
    jwk::{Jwk, KeyRules},
    policy::Policy,
    settings::{Fields, Setting},
    time::Timestamp,
    token::{UnverifiedToken, decode_base64url, encode_base64url, too_large},
    verify::is_same_media_type,
};

/// Octets of a whole presentation: disclosures may carry a small portrait. It bounds the digests as well.
pub const MAX_PRESENTATION_LEN: usize = 64 * 1024;
/// Disclosures of a presentation: identity documents have some 30 claims.
pub const MAX_DISCLOSURES: usize = 256;
/// Seconds that a key-binding JWT is good for unless the policy says otherwise; as long as a `DPoP` proof.
pub const DEFAULT_KEY_BINDING_AGE: u64 = 60;
/// Top-level claims that no holder may withhold, as withholding one could make a token valid that is not, or another kind of
/// token (RFC 9901 section 9.7, SD-JWT VC section 2.2.2.2). Nothing inside them may be selectively disclosable either. The claim of
/// [`PolicyBuilder::audience_claim`](crate::policy::PolicyBuilder::audience_claim) is one of them where it is set.
pub const NEVER_DISCLOSED: [&str; 8] = ["iss", "aud", "exp", "nbf", "cnf", "vct", "vct#integrity", "status"];

/// Which presentations are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdJwtSettings {
    /// Which presentations must prove that the holder made them.
    pub key_binding: KeyBinding,
    /// The algorithms of key-binding JWTs; the policy's own when empty.
    pub algorithms: Vec<Algorithm>,
    /// Seconds that a key-binding JWT is good for after its `iat`, leeway aside; [`DEFAULT_KEY_BINDING_AGE`] unless set.
    pub max_age: Option<u64>,
    /// Accepts plain tokens too.
    pub allow_plain: bool,
}

/// Who decides about key binding: never whoever presents the token (RFC 9901 section 7.3 step 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyBinding {
    /// The verifier: every presentation needs it.
    Required,
    /// The issuer: tokens with `cnf` need it, others cannot have it.
    WhereBound,
}

impl SdJwtSettings {
    /// Presentations only, key-binding JWTs of the policy's own algorithms and at most [`DEFAULT_KEY_BINDING_AGE`] old.
    pub const fn new(key_binding: KeyBinding) -> Self {
        Self { key_binding, algorithms: Vec::new(), max_age: None, allow_plain: false }
    }
}

impl Setting for SdJwtSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            key_binding: fields.required("key_binding")?,
            algorithms: fields.take("algorithms").unwrap_or_default(),
            max_age: fields.take("max_age"),
            allow_plain: fields.take("allow_plain").unwrap_or_default(),
        };
        fields.finish()?;
        Ok(settings)
    }
}

impl Setting for KeyBinding {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value.as_str() {
            Some("required") => Ok(Self::Required),
            Some("where_bound") => Ok(Self::WhereBound),
            _ => Err(PolicyError::new("", "must be \"required\" or \"where_bound\"")),
        }
    }
}

/// A presentation, split and no more.
#[derive(Clone, Debug)]
pub(crate) struct Presentation {
    /// All up to and including the last `~`: what `sd_hash` covers.
    sd_jwt: String,
    key_binding: Option<String>,
}

/// A claims set after disclosure.
#[derive(Debug)]
pub(crate) struct Disclosed {
    pub(crate) members: Map<String, Value>,
    /// JSON Pointers (RFC 6901) into `members`.
    pub(crate) paths: Vec<String>,
    /// Whether some digest of a claim at the top stayed one: that claim may be withheld, or none is there.
    pub(crate) withholds: bool,
    /// `_sd_alg`.
    pub(crate) hash: Hash,
}

/// A key-binding JWT whose signature is still to be verified.
#[derive(Debug)]
pub(crate) struct PendingKeyBinding {
    payload: Vec<u8>,
    sd_hash: String,
    nonce: Option<String>,
    max_age: u64,
}

impl Presentation {
    /// The issuer-signed JWT and the presentation that it is part of, if the text is one.
    pub(crate) fn split(compact: &str) -> Result<Option<(&str, Self)>, VerifyError> {
        too_large("the token", compact.len(), MAX_PRESENTATION_LEN)?;
        let Some((token, rest)) = compact.split_once('~') else { return Ok(None) };
        let key_binding = rest.rsplit_once('~').map_or(rest, |(_, last)| last);
        let count = rest.matches('~').count();
        if count > MAX_DISCLOSURES {
            let detail = alloc::format!("the presentation has {count} disclosures, at most {MAX_DISCLOSURES} are allowed");
            return Err(VerifyError::new(ErrorCode::TokenTooLarge, Check::Structure, detail));
        }
        let sd_jwt = compact.strip_suffix(key_binding).unwrap_or_default().into();
        let key_binding = (!key_binding.is_empty()).then(|| key_binding.into());
        Ok(Some((token, Self { sd_jwt, key_binding })))
    }

    fn disclosures(&self) -> impl Iterator<Item = &str> {
        self.sd_jwt.split_terminator('~').skip(1)
    }

    /// Puts what was disclosed in the place of its digests (RFC 9901 section 7.1 steps 3 to 5). The claim that is read as the audience
    /// may be withheld as little as `aud`.
    pub(crate) fn disclose(&self, payload: &[u8], audience_claim: &str) -> Result<Disclosed, VerifyError> {
        let (_, mut members) = json::parse_object(payload).map_err(|error| {
            VerifyError::new(ErrorCode::TokenMalformed, Check::Disclosures, alloc::format!("claims set: {error}"))
        })?;
        let hash = match take_member(&mut members, "_sd_alg") {
            None => Hash::Sha256,
            Some(Value::String(name)) => hash_from_name(&name)
                .ok_or_else(|| invalid(alloc::format!("_sd_alg is {}, not sha-256, sha-384 or sha-512", quoted(&name))))?,
            Some(_) => return Err(invalid("_sd_alg is not a string")),
        };
        let mut walk = Walk { audience_claim, digests: Map::new(), paths: Vec::new(), withholds: false };
        for disclosure in self.disclosures() {
            if walk.digests.insert(digest(hash, disclosure), disclosure.into()).is_some() {
                return Err(invalid("a disclosure occurs twice"));
            }
        }
        walk.object(&mut members, "", 1, false)?;
        let unmet = walk.digests.values().filter(|disclosure| disclosure.is_string()).count();
        if unmet > 0 {
            return Err(invalid(alloc::format!("{unmet} disclosure(s) whose digest the token does not hold")));
        }
        Ok(Disclosed { members, paths: walk.paths, withholds: walk.withholds, hash })
    }
}

/// The walk through the claims: every digest is met once, every disclosure is used once.
struct Walk<'a> {
    audience_claim: &'a str,
    /// A disclosure for each digest that was presented and not yet met in the claims, null for each that was met. A map like that
    /// of claims, as another kind would be more WebAssembly.
    digests: Map<String, Value>,
    paths: Vec<String>,
    withholds: bool,
}

/// Takes a member out. Not `Map::remove`, which nothing else needs: how a tree mends itself is 3 kB of WebAssembly.
fn take_member(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if !members.contains_key(name) {
        return None;
    }
    let mut taken = None;
    for (other, value) in core::mem::take(members) {
        if other == name {
            taken = Some(value);
        } else {
            members.insert(other, value);
        }
    }
    taken
}

impl Walk<'_> {
    fn is_fixed(&self, name: &str) -> bool {
        NEVER_DISCLOSED.contains(&name) || name == self.audience_claim
    }

    /// `fixed`: inside a claim that may not be withheld.
    fn object(&mut self, members: &mut Map<String, Value>, path: &str, depth: usize, fixed: bool) -> Result<(), VerifyError> {
        check_depth(depth)?;
        for reserved in ["...", "_sd_alg"] {
            if members.contains_key(reserved) {
                return Err(invalid(alloc::format!("{reserved} stands where it conveys nothing, in {}", shown(path))));
            }
        }
        if let Some(digests) = take_member(members, "_sd") {
            let Value::Array(digests) = digests else {
                return Err(invalid(alloc::format!("_sd is not an array, in {}", shown(path))));
            };
            for digest in digests {
                let Some(disclosure) = self.follow(digest, path, fixed)? else {
                    self.withholds |= path.is_empty();
                    continue;
                };
                let (name, value) = named_claim(&disclosure)?;
                if path.is_empty() && self.is_fixed(&name) {
                    return Err(invalid(alloc::format!("claim {name} is selectively disclosable, and nobody may withhold it")));
                }
                let place = pointer(path, &name);
                if members.insert(name, value).is_some() {
                    return Err(invalid(alloc::format!("{} is disclosed and there already", shown(&place))));
                }
                self.paths.push(place);
            }
        }
        for (name, value) in members.iter_mut() {
            let fixed = fixed || path.is_empty() && self.is_fixed(name);
            self.value(value, &pointer(path, name), depth + 1, fixed)?;
        }
        Ok(())
    }

    fn array(&mut self, elements: &mut Vec<Value>, path: &str, depth: usize, fixed: bool) -> Result<(), VerifyError> {
        check_depth(depth)?;
        let mut kept = Vec::with_capacity(elements.len());
        for mut element in core::mem::take(elements) {
            let place = pointer(path, &kept.len().to_string());
            if let Value::Object(members) = &mut element
                && let Some(digest) = take_member(members, "...")
            {
                if !members.is_empty() {
                    return Err(invalid(alloc::format!("... is not the only member of {}", shown(&place))));
                }
                let Some(disclosure) = self.follow(digest, &place, fixed)? else { continue };
                element = array_element(&disclosure)?;
                self.paths.push(place.clone());
            }
            self.value(&mut element, &place, depth + 1, fixed)?;
            kept.push(element);
        }
        *elements = kept;
        Ok(())
    }

    fn value(&mut self, value: &mut Value, path: &str, depth: usize, fixed: bool) -> Result<(), VerifyError> {
        match value {
            Value::Object(members) => self.object(members, path, depth, fixed),
            Value::Array(elements) => self.array(elements, path, depth, fixed),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    /// The disclosure of a digest, if it was presented.
    fn follow(&mut self, digest: Value, path: &str, fixed: bool) -> Result<Option<String>, VerifyError> {
        let Value::String(digest) = digest else {
            return Err(invalid(alloc::format!("a digest is not a string, in {}", shown(path))));
        };
        if fixed {
            return Err(invalid(alloc::format!("a digest where nothing may be withheld, in {}", shown(path))));
        }
        match self.digests.insert(digest, Value::Null) {
            None => Ok(None),
            Some(Value::String(disclosure)) => Ok(Some(disclosure)),
            Some(_) => Err(invalid("a digest occurs twice")),
        }
    }
}

impl PendingKeyBinding {
    /// Makes every decision about the key-binding JWT before its signature (RFC 9901 section 7.3 step 5): `None` where the
    /// policy needs none.
    pub(crate) fn begin(
        policy: &Policy,
        settings: &SdJwtSettings,
        presentation: Presentation,
        hash: Hash,
        cnf: Option<&Value>,
        nonce: Option<String>,
    ) -> Result<Option<(SignatureInput, Self)>, VerifyError> {
        let Presentation { sd_jwt, key_binding } = presentation;
        let (cnf, compact) = match (cnf, key_binding, settings.key_binding) {
            (Some(cnf), Some(compact), _) => (cnf, compact),
            (None, None, KeyBinding::WhereBound) => return Ok(None),
            (None, None, KeyBinding::Required) => {
                return Err(proof_required("the policy asks for key binding, and the token is bound to no key (cnf)"));
            }
            (Some(_), None, _) => {
                return Err(proof_required("the token is bound to a key (cnf), and no key-binding JWT came with it"));
            }
            (None, Some(_), _) => return Err(proof_invalid("the token names no key (cnf) for a key-binding JWT")),
        };
        let key = holder_key(cnf)?;
        let token = UnverifiedToken::parse(&compact).map_err(|error| of_key_binding(&error))?;
        let header = token.header();
        if !header.typ().is_some_and(|typ| is_same_media_type(typ, "kb+jwt")) {
            let typ = header.typ().map_or_else(|| "no typ".into(), |typ| alloc::format!("typ {}", quoted(typ)));
            return Err(proof_invalid(alloc::format!("the key-binding JWT has {typ}, not \"kb+jwt\"")));
        }
        if let Some(why) = header.critical() {
            return Err(proof_invalid(alloc::format!("the key-binding JWT: {why}")));
        }
        let allowed = if settings.algorithms.is_empty() { &policy.algorithms } else { &settings.algorithms };
        let algorithm = Algorithm::from_name(header.algorithm()).filter(|algorithm| allowed.contains(algorithm));
        let algorithm = algorithm.ok_or_else(|| {
            let allowed: Vec<&str> = allowed.iter().map(|algorithm| algorithm.name()).collect();
            let (says, allowed) = (quoted(header.algorithm()), allowed.join(", "));
            proof_invalid(alloc::format!("the key-binding JWT says alg {says}, the policy allows {allowed}"))
        })?;
        let UnverifiedToken { signing_input, payload, signature, .. } = token;
        let input =
            SignatureInput::new(algorithm, Arc::new(key), signing_input, signature).map_err(|error| of_key_binding(&error))?;
        let max_age = settings.max_age.unwrap_or(DEFAULT_KEY_BINDING_AGE);
        Ok(Some((input, Self { payload, sd_hash: digest(hash, &sd_jwt), nonce, max_age })))
    }

    /// Judges the claims of a key-binding JWT whose signature is valid.
    #[inline(never)]
    pub(crate) fn judge(self, policy: &Policy, now: Timestamp) -> Result<(), VerifyError> {
        let Self { payload, sd_hash, nonce, max_age } = self;
        let (_, claims) = Claims::parse(&payload).map_err(|error| of_key_binding(&error))?;
        judge_time(&claims, policy.leeway, max_age, now)?;
        let audience = string(&claims, "aud")?;
        if let Some(expected) = &policy.audience
            && !expected.iter().any(|one| one == audience)
        {
            let says = quoted(audience);
            return Err(proof_invalid(alloc::format!(
                "the key-binding JWT says aud {says}, the policy says {}",
                quoted_list(expected)
            )));
        }
        let says = string(&claims, "nonce")?;
        match nonce {
            Some(expected) if says != expected => {
                let detail =
                    alloc::format!("the key-binding JWT says nonce {}, the caller gave {}", quoted(says), quoted(&expected));
                return Err(proof_invalid(detail));
            }
            None if !policy.skip_nonce => return Err(proof_invalid("the caller gave no nonce to compare with")),
            _ => {}
        }
        if string(&claims, "sd_hash")? != sd_hash {
            return Err(proof_invalid("sd_hash is not the digest of what was presented"));
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "configured seconds; a u64 beyond 2^53 is beyond any NumericDate too")]
fn judge_time(claims: &Claims, leeway: u64, max_age: u64, now: Timestamp) -> Result<(), VerifyError> {
    let (now, leeway) = (now.as_secs_f64(), leeway as f64);
    let seconds = |date: Option<claims::NumericDate>| date.map(claims::NumericDate::seconds);
    let Some(issued) = seconds(claims.issued_at()) else {
        return Err(proof_invalid("the key-binding JWT has no iat"));
    };
    if issued > now + leeway || seconds(claims.not_before()).is_some_and(|nbf| nbf > now + leeway) {
        return Err(proof_invalid("the key-binding JWT is of the future"));
    }
    if now - issued > max_age as f64 + leeway {
        return Err(proof_invalid(alloc::format!("the key-binding JWT is older than {max_age} s, leeway included")));
    }
    if seconds(claims.expires_at()).is_some_and(|exp| now >= exp + leeway) {
        return Err(proof_invalid("the key-binding JWT has expired"));
    }
    Ok(())
}

/// The key of `cnf` (RFC 7800 section 3.2), which must pass the rules of every other key.
fn holder_key(cnf: &Value) -> Result<Jwk, VerifyError> {
    let Some(Value::Object(members)) = cnf.get("jwk") else {
        return Err(proof_invalid("cnf has no jwk, so nobody can tell the holder's key"));
    };
    Jwk::from_members(members, KeyRules::default())
        .map_err(|problem| proof_invalid(alloc::format!("cnf.jwk is not usable: {problem}")))
}

fn string<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, VerifyError> {
    claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| proof_invalid(alloc::format!("claim {name} of the key-binding JWT is missing or not a string")))
}

/// `[salt, name, value]` (RFC 9901 section 4.2.1).
fn named_claim(disclosure: &str) -> Result<(String, Value), VerifyError> {
    match <[Value; 3]>::try_from(elements(disclosure)?) {
        Ok([Value::String(_), Value::String(name), value]) if !["_sd", "...", "_sd_alg"].contains(&name.as_str()) => {
            Ok((name, value))
        }
        Ok([Value::String(_), Value::String(name), _]) => Err(invalid(alloc::format!("a disclosure of the name {name}"))),
        Ok(_) => Err(invalid("salt or name of a disclosure is not a string")),
        Err(other) => {
            Err(invalid(alloc::format!("the disclosure of a claim has {} element(s), not salt, name and value", other.len())))
        }
    }
}

/// `[salt, value]` (RFC 9901 section 4.2.2).
fn array_element(disclosure: &str) -> Result<Value, VerifyError> {
    match <[Value; 2]>::try_from(elements(disclosure)?) {
        Ok([Value::String(_), value]) => Ok(value),
        Ok(_) => Err(invalid("the salt of a disclosure is not a string")),
        Err(other) => {
            Err(invalid(alloc::format!("the disclosure of an array element has {} element(s), not salt and value", other.len())))
        }
    }
}

fn elements(disclosure: &str) -> Result<Vec<Value>, VerifyError> {
    let bytes = decode_base64url(disclosure).ok_or_else(|| invalid("a disclosure is not canonical base64url"))?;
    json::parse_array(&bytes).map_err(|error| invalid(alloc::format!("a disclosure is {error}")))
}

/// The digest of the text as it was presented, never of what it decodes to (RFC 9901 section 4.2.3).
fn digest(hash: Hash, text: &str) -> String {
    encode_base64url(&hash.digest(&[text.as_bytes()]))
}

fn hash_from_name(name: &str) -> Option<Hash> {
    match name {
        "sha-256" => Some(Hash::Sha256),
        "sha-384" => Some(Hash::Sha384),
        "sha-512" => Some(Hash::Sha512),
        _ => None,
    }
}

fn check_depth(depth: usize) -> Result<(), VerifyError> {
    if depth > MAX_DEPTH { Err(invalid(alloc::format!("the claims are nested deeper than {MAX_DEPTH}"))) } else { Ok(()) }
}

/// RFC 6901 section 3.
fn pointer(parent: &str, name: &str) -> String {
    alloc::format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn shown(path: &str) -> String {
    if path.is_empty() { "the claims set".into() } else { quoted(path) }
}

fn invalid(detail: impl Into<alloc::borrow::Cow<'static, str>>) -> VerifyError {
    VerifyError::new(ErrorCode::DisclosureInvalid, Check::Disclosures, detail)
}

fn proof_required(detail: &'static str) -> VerifyError {
    VerifyError::new(ErrorCode::ProofRequired, Check::Proof, detail)
}

fn proof_invalid(detail: impl Into<alloc::borrow::Cow<'static, str>>) -> VerifyError {
    VerifyError::new(ErrorCode::ProofInvalid, Check::Proof, detail)
}

/// The holder's signature is not valid. Never says more.
pub(crate) fn signature_invalid() -> VerifyError {
    of_key_binding(&VerifyError::signature_invalid())
}

/// A refusal of the key-binding JWT, which is a token itself: one code, whatever is wrong with it.
fn of_key_binding(error: &VerifyError) -> VerifyError {
    proof_invalid(alloc::format!("the key-binding JWT: {}", error.detail()))
}
