//! The heart: the order of all decisions about a token.
//!
//! [`Verifier::begin`] decides everything that the header and the key can decide and returns a [`PendingSignature`]; a
//! [backend](crate::backend) does the arithmetic; [`Verifier::finish`] reads the claims and judges them. Nobody can read a
//! claim before that:
//!
//! ```compile_fail,E0599
//! # use edgeseal_core::{JwkSet, PendingSignature, UnverifiedToken, Verifier};
//! # fn peek(verifier: Verifier, token: UnverifiedToken, keys: &JwkSet) {
//! let pending = verifier.begin(token, keys).unwrap();
//! pending.claims(); // no such method: claims belong to a `VerifiedToken`
//! # }
//! ```
//!
//! and nobody but a backend can say that a signature is valid:
//!
//! ```compile_fail,E0423
//! let forged = edgeseal_core::SignatureValid(());
//! ```

use alloc::{borrow::Cow, boxed::Box, string::String, sync::Arc, vec::Vec};

use crate::{
    algorithm::Algorithm,
    backend::{SignatureBackend, SignatureInput, SignatureInvalid, SignatureValid},
    claims::{self, Claims},
    dpop::{Confirmation, Possession},
    error::{Check, ErrorCode, VerifyError, quoted, quoted_list},
    header::Header,
    jwk::Jwk,
    jwk_set::{JwkSet, KeyRequest},
    jwks_cache::{DueFetch, JwksCache, Lookup},
    policy::Policy,
    sd::{self, Disclosed, PendingKeyBinding, Presentation, SdJwtSettings},
    time::Timestamp,
    token::UnverifiedToken,
};

/// Decides about tokens under one [`Policy`].
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: Policy,
}

/// A token that passed every check before a signature; it owns all that the rest needs, so it may cross an `await`.
#[derive(Debug)]
pub struct PendingSignature {
    input: SignatureInput,
    rest: Rest,
}

/// What is to be judged once the signature is verified.
#[derive(Debug)]
enum Rest {
    /// The signature is the issuer's.
    Token(SignedToken),
    /// The signature is the holder's, under a token whose issuer's signature is verified.
    KeyBinding { token: Box<VerifiedToken>, key_binding: PendingKeyBinding },
}

#[derive(Debug)]
struct SignedToken {
    header: Arc<Header>,
    header_json: Arc<str>,
    payload: Vec<u8>,
    presentation: Option<Presentation>,
    nonce: Option<String>,
}

/// What [`Verifier::finish`] comes to.
#[derive(Debug)]
pub enum Finished {
    /// Every check has passed.
    Verified(VerifiedToken),
    /// The presentation carries a second signature, the holder's: a backend verifies it too, and `finish` is called again.
    KeyBinding(PendingSignature),
    /// The token is bound to a key or a certificate, and the policy takes such tokens: [`Verifier::prove`] judges the rest.
    Bound(BoundToken),
}

/// A token with a valid signature that is good only together with a proof of possession: until [`Verifier::prove`] has seen one, it
/// has no claims.
///
/// ```compile_fail,E0599
/// # fn peek(bound: edgeseal_core::verify::BoundToken) {
/// bound.claims();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BoundToken {
    token: Arc<VerifiedToken>,
    confirmation: Confirmation,
}

/// A token that passed every check of its verifier: the only type that has claims.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    header: Arc<Header>,
    header_json: Arc<str>,
    claims: Claims,
    claims_json: String,
    key: Arc<Jwk>,
    disclosed: Vec<String>,
    /// Whether a claim that is not there may be one that the holder withholds.
    withholds: bool,
    holder: Option<Arc<Jwk>>,
    /// What must be proved anew for every request.
    confirmation: Option<Confirmation>,
}

impl Verifier {
    /// A verifier under this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Verifies a token with the pure-Rust backend.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`Check`].
    #[cfg(feature = "rustcrypto")]
    pub fn verify(&self, compact: &str, keys: &JwkSet, now: Timestamp) -> Result<VerifiedToken, VerifyError> {
        use crate::backend::rustcrypto::RustCrypto;

        self.verify_with(&RustCrypto, UnverifiedToken::parse(compact)?, keys, now)
    }

    /// Verifies a token with a backend that answers at once.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`Check`].
    pub fn verify_with(
        &self,
        backend: &impl SignatureBackend,
        token: UnverifiedToken,
        keys: &JwkSet,
        now: Timestamp,
    ) -> Result<VerifiedToken, VerifyError> {
        let mut pending = self.begin(token, keys)?;
        loop {
            let answer = backend.verify(pending.input());
            match self.finish(pending, answer, now)? {
                Finished::Verified(token) => return Ok(token),
                Finished::KeyBinding(next) => pending = next,
                Finished::Bound(bound) => return self.prove(bound, &Possession::default(), now).map(Arc::unwrap_or_clone),
            }
        }
    }

    /// Judges the header and says which key the token asks for. A host does so before it looks for keys: a token that the
    /// policy refuses never causes a fetch.
    ///
    /// # Errors
    /// `token_malformed` for a presentation where the policy takes none; `critical_header_unsupported`,
    /// `algorithm_not_allowed`, `type_mismatch`.
    pub fn admit<'token>(&self, token: &'token UnverifiedToken) -> Result<KeyRequest<'token>, VerifyError> {
        if token.presentation.is_some() && self.policy.sd_jwt.is_none() {
            return Err(VerifyError::malformed("the presentation of an SD-JWT (there is a ~), and the policy accepts none"));
        }
        let header = token.header();
        if let Some(why) = header.critical() {
            return Err(VerifyError::new(ErrorCode::CriticalHeaderUnsupported, Check::Critical, why));
        }
        let algorithm = self.admit_algorithm(header.algorithm())?;
        self.admit_type(header.typ())?;
        if token.presentation.is_none() && self.policy.sd_jwt.as_ref().is_some_and(|settings| !settings.allow_plain) {
            let detail = "a plain token, and the policy asks for the presentation of an SD-JWT (with a ~ after the token)";
            return Err(VerifyError::new(ErrorCode::TypeMismatch, Check::Type, detail));
        }
        Ok(KeyRequest { kid: header.kid(), algorithm })
    }

    /// What to do about the keys for a token that [`Verifier::admit`] let through. Where a fetch would be next, the token's unverified
    /// `iss` is looked at first: one of another issuer causes no fetch and is judged by the set at hand. `None` stands for a token that
    /// was verified before.
    ///
    /// # Errors
    /// `issuer_mismatch` for a token of another issuer while there is no set to judge it by.
    pub fn look_up(
        &self,
        cache: &mut JwksCache,
        token: Option<&UnverifiedToken>,
        request: KeyRequest<'_>,
        now: Timestamp,
    ) -> Result<Lookup, VerifyError> {
        cache.decide(request, now).or_else(|due| self.admit_fetch(cache, token, due, now))
    }

    #[cold]
    fn admit_fetch(
        &self,
        cache: &mut JwksCache,
        token: Option<&UnverifiedToken>,
        due: DueFetch,
        now: Timestamp,
    ) -> Result<Lookup, VerifyError> {
        // One that names none, or cannot be read, may be of any issuer.
        let issuer = token.filter(|_| self.policy.issuer.is_some()).and_then(|token| token.unverified_issuer().ok());
        match issuer.map_or(Ok(()), |issuer| self.compare_issuer(&issuer, Check::Routing)) {
            Ok(()) => Ok(Lookup::Fetch(cache.take(&due, now))),
            Err(refusal) => due.set.map(Lookup::UnknownKid).ok_or(refusal),
        }
    }

    /// Makes every decision before the signature.
    ///
    /// # Errors
    /// Those of [`Verifier::admit`] and [`JwkSet::select`]; `signature_invalid` for a signature whose length or range is wrong.
    pub fn begin(&self, token: UnverifiedToken, keys: &JwkSet) -> Result<PendingSignature, VerifyError> {
        let request = self.admit(&token)?;
        let key = Arc::clone(keys.select(request)?);
        let algorithm = request.algorithm;
        let UnverifiedToken { header, header_json, signing_input, payload, signature, presentation, nonce } = token;
        let input = SignatureInput::new(algorithm, key, signing_input, signature)?;
        Ok(PendingSignature { input, rest: Rest::Token(SignedToken { header, header_json, payload, presentation, nonce }) })
    }

    /// Takes the backend's answer and judges the claims. For a presentation with key binding it comes to a second signature:
    /// [`Finished::KeyBinding`].
    ///
    /// # Errors
    /// `signature_invalid`, then the first check of the disclosures and claims that fails.
    pub fn finish(
        &self,
        pending: PendingSignature,
        answer: Result<SignatureValid, SignatureInvalid>,
        now: Timestamp,
    ) -> Result<Finished, VerifyError> {
        let PendingSignature { input, rest } = pending;
        match rest {
            Rest::Token(token) => {
                let SignatureValid { .. } = answer.map_err(|SignatureInvalid| VerifyError::signature_invalid())?;
                self.finish_token(token, input.into_key(), now)
            }
            Rest::KeyBinding { mut token, key_binding } => {
                let SignatureValid { .. } = answer.map_err(|SignatureInvalid| sd::signature_invalid())?;
                key_binding.judge(&self.policy, now)?;
                token.holder = Some(input.into_key());
                self.judge(&token, now)?;
                Ok(Finished::Verified(*token))
            }
        }
    }

    /// Judges the proof of possession of a bound token, and then all that is judged after it. Call it for every request anew, also
    /// for a token that was verified before.
    ///
    /// # Errors
    /// `proof_required`, `proof_invalid`, or the first check of the claims that fails.
    pub fn prove(
        &self,
        bound: BoundToken,
        possession: &Possession<'_>,
        now: Timestamp,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let BoundToken { token, confirmation } = bound;
        confirmation.judge(possession)?;
        self.judge(&token, now)?;
        Ok(token)
    }

    fn finish_token(&self, mut token: SignedToken, key: Arc<Jwk>, now: Timestamp) -> Result<Finished, VerifyError> {
        if let Some((presentation, settings)) = token.presentation.take().zip(self.policy.sd_jwt.as_ref()) {
            return self.finish_presentation(token, presentation, settings, key, now);
        }
        let SignedToken { header, header_json, payload, .. } = token;
        let (text, claims) = Claims::parse(&payload)?;
        let claims_json = text.into();
        let disclosed = Vec::new();
        let mut token = VerifiedToken {
            header,
            header_json,
            claims,
            claims_json,
            key,
            disclosed,
            withholds: false,
            holder: None,
            confirmation: None,
        };
        self.judge_required(&token.claims)?;
        let Some(cnf) = token.claims.get("cnf") else {
            self.judge(&token, now)?;
            return Ok(Finished::Verified(token));
        };
        if !self.policy.bound_tokens {
            let detail = "the token is bound to a key (cnf), and no proof of possession came with it";
            return Err(VerifyError::new(ErrorCode::ProofRequired, Check::Proof, detail));
        }
        let confirmation = Confirmation::from_claim(cnf)?;
        token.confirmation = Some(confirmation.clone());
        Ok(Finished::Bound(BoundToken { token: Arc::new(token), confirmation }))
    }

    // Out of what every token needs: engines compile a function of WebAssembly as a whole, when it is called first.
    #[inline(never)]
    fn finish_presentation(
        &self,
        token: SignedToken,
        presentation: Presentation,
        settings: &SdJwtSettings,
        key: Arc<Jwk>,
        now: Timestamp,
    ) -> Result<Finished, VerifyError> {
        let SignedToken { header, header_json, payload, nonce, .. } = token;
        let Disclosed { members, paths: disclosed, withholds, hash } =
            presentation.disclose(&payload, &self.policy.audience_claim)?;
        let claims = Claims::from_members(members)?;
        let claims_json = claims.to_json();
        let token = VerifiedToken {
            header,
            header_json,
            claims,
            claims_json,
            key,
            disclosed,
            withholds,
            holder: None,
            confirmation: None,
        };
        self.judge_required(&token.claims)?;
        match PendingKeyBinding::begin(&self.policy, settings, presentation, hash, token.claims.get("cnf"), nonce)? {
            None => {
                self.judge(&token, now)?;
                Ok(Finished::Verified(token))
            }
            Some((input, key_binding)) => {
                let rest = Rest::KeyBinding { token: Box::new(token), key_binding };
                Ok(Finished::KeyBinding(PendingSignature { input, rest }))
            }
        }
    }

    fn admit_algorithm(&self, name: &str) -> Result<Algorithm, VerifyError> {
        Algorithm::from_name(name).filter(|algorithm| self.policy.algorithms.contains(algorithm)).ok_or_else(|| {
            let allowed: Vec<&str> = self.policy.algorithms.iter().map(|algorithm| algorithm.name()).collect();
            let detail = alloc::format!("the token says alg {}, the policy allows {}", quoted(name), allowed.join(", "));
            VerifyError::new(ErrorCode::AlgorithmNotAllowed, Check::Algorithm, detail)
        })
    }

    fn admit_type(&self, typ: Option<&str>) -> Result<(), VerifyError> {
        let mismatch = |detail: String| Err(VerifyError::new(ErrorCode::TypeMismatch, Check::Type, detail));
        match (&self.policy.typ, typ) {
            (Some(expected), Some(typ)) if is_same_media_type(expected, typ) => Ok(()),
            (Some(expected), Some(typ)) => {
                mismatch(alloc::format!("the token says typ {}, the policy asks for {}", quoted(typ), quoted(expected)))
            }
            (Some(expected), None) => mismatch(alloc::format!("the token has no typ, the policy asks for {}", quoted(expected))),
            (None, Some(typ)) if is_reserved_type(typ) => mismatch(alloc::format!(
                "typ {} is another kind of token and only accepted where the policy names it",
                quoted(typ)
            )),
            (None, _) => Ok(()),
        }
    }

    fn judge_required(&self, claims: &Claims) -> Result<(), VerifyError> {
        let absent = self.policy.required_claims.iter().find(|name| claims.get(name).is_none());
        absent.map_or(Ok(()), |name| Err(missing(Check::Claims, name)))
    }

    /// All that is judged after the proof of possession.
    fn judge(&self, token: &VerifiedToken, now: Timestamp) -> Result<(), VerifyError> {
        self.judge_issuer(&token.claims)?;
        // The proof of a key has said the right audience already. In another claim than `aud` the token may say another, and withhold it.
        let is_said = token.holder.is_some() && (self.policy.audience_claim == "aud" || !token.withholds);
        self.judge_audience(&token.claims, is_said)?;
        self.judge_time(&token.claims, &token.key, now)
    }

    fn judge_issuer(&self, claims: &Claims) -> Result<(), VerifyError> {
        if self.policy.issuer.is_none() {
            return Ok(());
        }
        let issuer = claims.issuer().ok_or_else(|| missing(Check::Issuer, "iss"))?;
        self.compare_issuer(issuer, Check::Issuer)
    }

    fn compare_issuer(&self, issuer: &str, check: Check) -> Result<(), VerifyError> {
        let Some(expected) = self.policy.issuer.as_ref().filter(|expected| *expected != issuer) else { return Ok(()) };
        let detail = alloc::format!(
            "the token says {}, the policy says {}{}",
            quoted(issuer),
            quoted(expected),
            slash_hint(issuer, expected)
        );
        Err(VerifyError::new(ErrorCode::IssuerMismatch, check, detail))
    }

    /// `is_said`: the key-binding JWT has said the right audience, and the token need not.
    fn judge_audience(&self, claims: &Claims, is_said: bool) -> Result<(), VerifyError> {
        let Some(expected) = &self.policy.audience else { return Ok(()) };
        let name = &*self.policy.audience_claim;
        let audience = if name == "aud" {
            Cow::Borrowed(claims.audience())
        } else {
            match claims.get(name) {
                None => Cow::Borrowed(&[][..]),
                Some(value) => Cow::Owned(claims::strings(value).ok_or_else(|| {
                    let detail = alloc::format!("claim {name} is neither a string nor a non-empty array of strings");
                    VerifyError::new(ErrorCode::ClaimInvalid, Check::Audience, detail)
                })?),
            }
        };
        if audience.is_empty() {
            return if is_said { Ok(()) } else { Err(missing(Check::Audience, name)) };
        }
        if audience.iter().any(|one| expected.contains(one)) {
            return Ok(());
        }
        let hint_at = |one: &String| expected.iter().map(|expected| slash_hint(one, expected)).find(|hint| !hint.is_empty());
        let hint = audience.iter().find_map(hint_at).unwrap_or_default();
        let told: Vec<String> = audience.iter().take(4).map(|one| quoted(one)).collect();
        let detail = alloc::format!("the token says {}, the policy says {}{hint}", told.join(", "), quoted_list(expected));
        Err(VerifyError::new(ErrorCode::AudienceMismatch, Check::Audience, detail))
    }

    #[expect(clippy::cast_precision_loss, reason = "configured seconds; a u64 beyond 2^53 is beyond any NumericDate too")]
    pub(crate) fn judge_time(&self, claims: &Claims, key: &Jwk, now: Timestamp) -> Result<(), VerifyError> {
        let refuse = |code, check, detail: String| Err(VerifyError::new(code, check, detail));
        let Policy { require_exp, leeway, max_lifetime, max_age, require_key_exp, .. } = &self.policy;
        let (now, leeway_secs) = (now.as_secs_f64(), *leeway as f64);
        let seconds = |date: Option<claims::NumericDate>| date.map(claims::NumericDate::seconds);
        let (exp, nbf, iat) = (seconds(claims.expires_at()), seconds(claims.not_before()), seconds(claims.issued_at()));

        match exp {
            None if *require_exp => return Err(missing(Check::Expiry, "exp")),
            Some(exp) if now >= exp + leeway_secs => {
                let detail = alloc::format!("exp {} and {leeway} s leeway have passed, it is {}", Seconds(exp), Seconds(now));
                return refuse(ErrorCode::TokenExpired, Check::Expiry, detail);
            }
            _ => {}
        }
        for (name, date) in [("nbf", nbf), ("iat", iat)] {
            if let Some(date) = date
                && date > now + leeway_secs
            {
                let detail = alloc::format!("{name} {} lies beyond now {} and {leeway} s leeway", Seconds(date), Seconds(now));
                return refuse(ErrorCode::TokenNotYetValid, Check::NotBefore, detail);
            }
        }
        if *require_key_exp {
            let until = seconds(key.expires_at());
            let Some(until) = until.filter(|until| now < *until) else {
                let detail = match until {
                    Some(until) => alloc::format!("the key was good until {}, it is {}", Seconds(until), Seconds(now)),
                    None => "the key has no exp that is a NumericDate, the policy asks for one".into(),
                };
                return refuse(ErrorCode::KeyExpired, Check::Lifetime, detail);
            };
            if exp.is_none_or(|exp| exp > until) {
                let detail = alloc::format!("the token outlives its key, which is good until {}", Seconds(until));
                return refuse(ErrorCode::LifetimeExceeded, Check::Lifetime, detail);
            }
        }
        if let Some(longest) = max_lifetime {
            let iat = iat.ok_or_else(|| missing(Check::Lifetime, "iat"))?;
            let exp = exp.ok_or_else(|| missing(Check::Lifetime, "exp"))?;
            if exp - iat > *longest as f64 {
                let detail = alloc::format!("exp - iat is {} s, the policy allows {longest} s", Seconds(exp - iat));
                return refuse(ErrorCode::LifetimeExceeded, Check::Lifetime, detail);
            }
        }
        if let Some(oldest) = max_age {
            let iat = iat.ok_or_else(|| missing(Check::Lifetime, "iat"))?;
            if now - iat > *oldest as f64 + leeway_secs {
                let age = Seconds(now - iat);
                let detail = alloc::format!("issued {age} s ago, the policy allows {oldest} s and {leeway} s leeway");
                return refuse(ErrorCode::TokenTooOld, Check::Lifetime, detail);
            }
        }
        Ok(())
    }
}

impl PendingSignature {
    /// What a backend has to verify.
    pub fn input(&self) -> &SignatureInput {
        &self.input
    }
}

impl BoundToken {
    /// What it is bound to.
    pub fn confirmation(&self) -> &Confirmation {
        &self.confirmation
    }

    /// The same token, verified before; `None` when it is not bound, or was proved otherwise (by key binding).
    pub(crate) fn again(token: &Arc<VerifiedToken>) -> Option<Self> {
        let confirmation = token.confirmation.clone()?;
        Some(Self { token: Arc::clone(token), confirmation })
    }
}

impl VerifiedToken {
    /// The JOSE header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The header's JSON text, as signed.
    pub fn header_json(&self) -> &str {
        &self.header_json
    }

    /// The claims' JSON text, as signed (of an SD-JWT: as they are after disclosure): valid under the strict rules, so that any
    /// parser reads the same from it.
    pub fn claims_json(&self) -> &str {
        &self.claims_json
    }

    /// The key that verified it.
    pub fn key(&self) -> &Arc<Jwk> {
        &self.key
    }

    /// What the holder of an SD-JWT disclosed: JSON Pointers (RFC 6901) into the claims.
    pub fn disclosed(&self) -> &[String] {
        &self.disclosed
    }

    /// Whether the holder may have withheld a claim of the claims set: some digest is left whose disclosure did not come. Issuers put
    /// such digests there for nothing too (RFC 9901 section 4.2.5), and nobody can tell them apart.
    pub fn withholds(&self) -> bool {
        self.withholds
    }

    /// The key of the holder who proved to present this SD-JWT, for this verifier and with the caller's nonce.
    pub fn holder_key(&self) -> Option<&Arc<Jwk>> {
        self.holder.as_ref()
    }
}

/// Seconds in a message, to the millisecond: the standard library's own formatting of a double would be a fiftieth of the
/// WebAssembly that browsers download.
struct Seconds(f64);

impl core::fmt::Display for Seconds {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The cast saturates, and what it cuts off no message needs.
        #[expect(clippy::cast_possible_truncation, reason = "for people to read")]
        let millis = (self.0 * 1_000.0) as i64;
        let sign = if millis < 0 { "-" } else { "" };
        let (seconds, rest) = (millis.unsigned_abs() / 1_000, millis.unsigned_abs() % 1_000);
        if rest == 0 { write!(formatter, "{sign}{seconds}") } else { write!(formatter, "{sign}{seconds}.{rest:03}") }
    }
}

/// Kinds of tokens that are never an access token by accident (RFC 8725 section 3.11): accepted only where the policy names
/// them.
pub fn is_reserved_type(typ: &str) -> bool {
    const RESERVED: [&str; 5] = ["dpop+jwt", "kb+jwt", "logout+jwt", "secevent+jwt", "statuslist+jwt"];
    const OURS: &str = "edgeseal-";
    // Parameters and spaces around it do not make it another kind.
    let subtype = without_application(typ.split(';').next().unwrap_or(typ).trim());
    RESERVED.iter().any(|reserved| subtype.eq_ignore_ascii_case(reserved))
        || subtype.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

pub(crate) fn is_same_media_type(a: &str, b: &str) -> bool {
    without_application(a).eq_ignore_ascii_case(without_application(b))
}

/// RFC 7515 section 4.1.9: `application/` may be omitted when nothing else in the value has a slash.
fn without_application(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}

fn slash_hint(a: &str, b: &str) -> &'static str {
    if a != b && a.trim_end_matches('/') == b.trim_end_matches('/') { " (they differ only by a trailing slash)" } else { "" }
}

fn missing(check: Check, name: &str) -> VerifyError {
    VerifyError::new(ErrorCode::ClaimMissing, check, alloc::format!("claim {name} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn seconds_are_written_to_the_millisecond() {
        for (seconds, text) in
            [(0.0, "0"), (7.0, "7"), (7.25, "7.250"), (0.005, "0.005"), (-1.5, "-1.500"), (1e300, "9223372036854775.807")]
        {
            assert_eq!(Seconds(seconds).to_string(), text);
        }
    }
}
