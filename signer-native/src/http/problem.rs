//! Problem details (RFC 9457): the one place where an error becomes a status.

use std::time::Duration;

use axum::{
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::openapi::ProblemDocument;
use crate::{
    error::Invalid,
    hsm::HsmError,
    issue::IssueError,
    keys::{Refusal, registry::RegistryError},
    store::StoreError,
};

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is not what the resource takes.
    RequestMalformed,
    /// The connection's certificate names no agent, or one that is not known.
    AgentUnknown,
    /// The connection's certificate names no administrator.
    AdminUnknown,
    /// The person's role does not allow it.
    RoleDenied,
    /// A member of the request is not as it must be.
    FieldInvalid,
    /// Nobody is known to ask.
    SessionRequired,
    /// The act is dangerous, and no passkey was shown lately.
    ReauthenticationRequired,
    /// A session that a recovery code began is good for registering a passkey alone.
    PasskeyRequired,
    /// The passkey, or its ceremony, is not good.
    PasskeyRefused,
    /// Another site's page has a browser ask.
    CrossSiteRefused,
    /// Nobody would be left who may do everything.
    LastAdministrator,
    /// Somebody guesses, or hurries.
    TriesExceeded,
    /// What stands in the configuration file is changed there.
    ReadOnly,
    /// Something has to happen before this can go.
    StillNeeded,
    /// One's own approval does not count.
    OwnApproval,
    /// One of two people is here on another's word, and not for long enough.
    SecondPersonNew,
    /// What is there does not allow it: a name that is taken, or what somebody else changed meanwhile.
    Conflict,
    /// A user of this machine asks the agent who may not.
    PeerRefused,
    /// A page in a browser asks the agent.
    OriginRefused,
    /// The agent is called by a name that is not its own.
    HostRefused,
    /// The agent's loopback listener needs its secret.
    SecretRequired,
    /// No signer answers the agent.
    SignerUnavailable,
    /// A one-time code is not good.
    CodeRefused,
    /// Policy says no.
    PolicyDenied,
    /// No such resource.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// The body did not come in time.
    RequestTimeout,
    /// The profile has no key that signs.
    KeyState,
    /// The body is too large.
    BodyTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// No verifier would accept such claims.
    ClaimsUnacceptable,
    /// The profile's schema does not accept the claims.
    SchemaMismatch,
    /// The token to renew does not verify, or was not issued to be renewed.
    TokenNotRenewable,
    /// The digest has not the length of the algorithm's hash.
    DigestLength,
    /// The same idempotency key came with another request.
    IdempotencyMismatch,
    /// The agent asks for more than its rate.
    RateExceeded,
    /// A signature that did not verify was discarded.
    SignatureDiscarded,
    /// The HSM cannot be used now.
    HsmUnavailable,
    /// The registry of keys cannot be read.
    StoreUnavailable,
    /// The audit log cannot be written, so nothing is signed.
    AuditUnavailable,
    /// Not ready to sign.
    NotReady,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 41] = [
        Self::RequestMalformed,
        Self::AgentUnknown,
        Self::AdminUnknown,
        Self::RoleDenied,
        Self::FieldInvalid,
        Self::SessionRequired,
        Self::ReauthenticationRequired,
        Self::PasskeyRequired,
        Self::PasskeyRefused,
        Self::CrossSiteRefused,
        Self::LastAdministrator,
        Self::TriesExceeded,
        Self::ReadOnly,
        Self::StillNeeded,
        Self::OwnApproval,
        Self::SecondPersonNew,
        Self::Conflict,
        Self::PeerRefused,
        Self::OriginRefused,
        Self::HostRefused,
        Self::SecretRequired,
        Self::SignerUnavailable,
        Self::CodeRefused,
        Self::PolicyDenied,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::KeyState,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::ClaimsUnacceptable,
        Self::SchemaMismatch,
        Self::TokenNotRenewable,
        Self::DigestLength,
        Self::IdempotencyMismatch,
        Self::RateExceeded,
        Self::SignatureDiscarded,
        Self::HsmUnavailable,
        Self::StoreUnavailable,
        Self::AuditUnavailable,
        Self::NotReady,
    ];

    /// Its stable name, its status, its title.
    const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::RequestMalformed => ("request_malformed", StatusCode::BAD_REQUEST, "The request cannot be understood"),
            Self::AgentUnknown => ("agent_unknown", StatusCode::FORBIDDEN, "The client certificate belongs to no known agent"),
            Self::AdminUnknown => ("admin_unknown", StatusCode::FORBIDDEN, "The client certificate belongs to no administrator"),
            Self::RoleDenied => ("role_denied", StatusCode::FORBIDDEN, "The person's role does not allow this"),
            Self::FieldInvalid => {
                ("field_invalid", StatusCode::UNPROCESSABLE_ENTITY, "A member of the request is not as it must be")
            }
            Self::SessionRequired => ("session_required", StatusCode::UNAUTHORIZED, "Nobody is known to ask"),
            Self::ReauthenticationRequired => {
                ("reauthentication_required", StatusCode::FORBIDDEN, "A passkey must be shown again for this")
            }
            Self::PasskeyRequired => ("passkey_required", StatusCode::FORBIDDEN, "A passkey must be registered first"),
            Self::PasskeyRefused => ("passkey_refused", StatusCode::FORBIDDEN, "The passkey is not good"),
            Self::CrossSiteRefused => ("cross_site_refused", StatusCode::FORBIDDEN, "The request does not come from the console"),
            Self::LastAdministrator => ("last_administrator", StatusCode::CONFLICT, "An administrator must be left"),
            Self::TriesExceeded => ("tries_exceeded", StatusCode::TOO_MANY_REQUESTS, "There were too many tries"),
            Self::ReadOnly => ("read_only", StatusCode::CONFLICT, "The configuration file says this"),
            Self::StillNeeded => ("still_needed", StatusCode::CONFLICT, "Something else has to happen first"),
            Self::OwnApproval => ("own_approval", StatusCode::FORBIDDEN, "One's own approval never counts"),
            Self::SecondPersonNew => ("second_person_new", StatusCode::FORBIDDEN, "One of the two people is too new"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "What is there already does not allow this"),
            Self::PeerRefused => ("peer_refused", StatusCode::FORBIDDEN, "This user may not use the agent"),
            Self::OriginRefused => ("origin_refused", StatusCode::FORBIDDEN, "Pages in browsers get nothing here"),
            Self::HostRefused => ("host_refused", StatusCode::MISDIRECTED_REQUEST, "The agent is not called so"),
            Self::SecretRequired => ("secret_required", StatusCode::UNAUTHORIZED, "The agent's secret is required"),
            Self::SignerUnavailable => ("signer_unavailable", StatusCode::SERVICE_UNAVAILABLE, "No signer answers"),
            Self::CodeRefused => ("code_refused", StatusCode::FORBIDDEN, "The one-time code is not good"),
            Self::PolicyDenied => ("policy_denied", StatusCode::FORBIDDEN, "Policy denies this token"),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such resource"),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "The resource has no such method"),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "The request did not come in time"),
            Self::KeyState => ("key_state", StatusCode::CONFLICT, "The states of the keys do not allow this"),
            Self::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The request is not JSON")
            }
            Self::ClaimsUnacceptable => {
                ("claims_unacceptable", StatusCode::UNPROCESSABLE_ENTITY, "No verifier would accept these claims")
            }
            Self::SchemaMismatch => {
                ("schema_mismatch", StatusCode::UNPROCESSABLE_ENTITY, "The profile's schema does not accept these claims")
            }
            Self::TokenNotRenewable => ("token_not_renewable", StatusCode::UNPROCESSABLE_ENTITY, "The token cannot be renewed"),
            Self::DigestLength => {
                ("digest_length", StatusCode::UNPROCESSABLE_ENTITY, "The digest has not the length of the algorithm's hash")
            }
            Self::IdempotencyMismatch => {
                ("idempotency_mismatch", StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request")
            }
            Self::RateExceeded => ("rate_exceeded", StatusCode::TOO_MANY_REQUESTS, "More is asked for than is allowed"),
            Self::SignatureDiscarded => {
                ("signature_discarded", StatusCode::INTERNAL_SERVER_ERROR, "The signature did not verify")
            }
            Self::HsmUnavailable => ("hsm_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The HSM cannot sign now"),
            Self::StoreUnavailable => {
                ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The registry of keys cannot be read now")
            }
            Self::AuditUnavailable => {
                ("audit_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The audit log cannot be written now")
            }
            Self::NotReady => ("not_ready", StatusCode::SERVICE_UNAVAILABLE, "The signer is not ready"),
        }
    }

    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// The status that it is answered with.
    pub const fn status(self) -> StatusCode {
        self.parts().1
    }

    /// How one would show who one is, where nobody is known (RFC 9110 section 11.6.1). Browsers open no dialog for a scheme that
    /// they do not know.
    const fn challenge(self) -> Option<&'static str> {
        match self {
            Self::SessionRequired => Some("Passkey realm=\"edgeseal\""),
            Self::SecretRequired => Some("Bearer realm=\"edgeseal\""),
            _ => None,
        }
    }
}

/// Octets of a detail at most. It may repeat what was asked, and a batch holds many of them.
const MAX_DETAIL: usize = 2 * 1024;

/// A problem document.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this code; the detail is for the caller, holds no secret, and is cut after 2 KiB.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: shortened(detail.into()), field: None, retry_after: None }
    }

    /// The same, about this member of the request.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// The same, until when it makes no sense to ask again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What to tell.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The document itself, and a line about it in the log.
    pub fn document(&self) -> ProblemDocument {
        let (code, status, title) = self.code.parts();
        let request_id = request_id();
        tracing::info!(code, status = status.as_u16(), detail = self.detail, request_id, "refused");
        ProblemDocument {
            r#type: format!("urn:edgeseal:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.clone(),
            code,
            field: self.field.clone(),
            request_id,
        }
    }
}

fn shortened(mut detail: String) -> String {
    if detail.len() > MAX_DETAIL {
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL - '…'.len_utf8()));
        detail.push('…');
    }
    detail
}

impl From<Invalid> for Problem {
    fn from(Invalid { field, sentence }: Invalid) -> Self {
        Self::new(Code::FieldInvalid, format!("{field} {sentence}")).at(field)
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        IssueError::Registry(error).into()
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        let code = match &error {
            IssueError::Denied(_) => Code::PolicyDenied,
            IssueError::RateExceeded(_) => Code::RateExceeded,
            IssueError::SchemaMismatch(_) => Code::SchemaMismatch,
            IssueError::NotRenewable(_) => Code::TokenNotRenewable,
            IssueError::TooLate => Code::IdempotencyMismatch,
            IssueError::DigestLength(..) => Code::DigestLength,
            IssueError::ClaimsUnacceptable(_) => Code::ClaimsUnacceptable,
            IssueError::RegistryStale | IssueError::Registry(RegistryError::Store(_)) => Code::StoreUnavailable,
            IssueError::Unsound(_) | IssueError::Registry(RegistryError::Unsound(_)) => Code::SignatureDiscarded,
            IssueError::NoActiveKey(_)
            | IssueError::NoDigestKey(_)
            | IssueError::KeyStopped(_)
            | IssueError::Registry(
                RegistryError::Refused(_)
                | RegistryError::TooManyKeys { .. }
                | RegistryError::OwnProposal { .. }
                | RegistryError::SecondPersonNew { .. }
                | RegistryError::NotRevocable(_)
                | RegistryError::StillNeeded(_)
                | RegistryError::NoProposal(_),
            ) => Code::KeyState,
            IssueError::Audit(_) | IssueError::Registry(RegistryError::Audit(_)) => Code::AuditUnavailable,
            IssueError::Registry(RegistryError::Hsm(_)) => Code::HsmUnavailable,
        };
        let detail = match &error {
            // What ails the HSM is for the log; the agent learns that it may try again.
            IssueError::Registry(RegistryError::Hsm(reason)) => {
                tracing::error!(%reason, "the HSM did not sign");
                match reason {
                    HsmError::Busy => "every HSM session is busy; try again in a second".to_owned(),
                    HsmError::Deadline(_) => "the HSM did not answer in time; try again".to_owned(),
                    _ => "the HSM cannot be used now; try again".to_owned(),
                }
            }
            IssueError::Audit(reason) | IssueError::Registry(RegistryError::Audit(reason)) => {
                tracing::error!(%reason, "nothing is signed without the audit log");
                "the audit log cannot be written now, so nothing was signed; try again".to_owned()
            }
            IssueError::Registry(RegistryError::Store(reason)) => {
                tracing::error!(%reason, "the store cannot be used");
                "the registry of keys cannot be read now; try again".to_owned()
            }
            other => other.to_string(),
        };
        let retry_after = if let IssueError::RateExceeded(exceeded) = &error { Some(exceeded.wait) } else { None };
        Self { retry_after, ..Self::new(code, detail) }
    }
}

/// A problem for administrators, who may know what ails the HSM and the store.
#[derive(Clone, Debug)]
pub struct AdminProblem(Problem);

impl From<Problem> for AdminProblem {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for AdminProblem {
    fn from(error: StoreError) -> Self {
        RegistryError::Store(error).into()
    }
}

impl IntoResponse for AdminProblem {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

impl From<RegistryError> for AdminProblem {
    fn from(error: RegistryError) -> Self {
        let code = match &error {
            RegistryError::Refused(Refusal::Unknown(_)) | RegistryError::NoProposal(_) => Code::NotFound,
            RegistryError::Refused(Refusal::Days(_)) | RegistryError::NotRevocable(_) => Code::RequestMalformed,
            RegistryError::Refused(_) | RegistryError::TooManyKeys { .. } => Code::KeyState,
            RegistryError::StillNeeded(_) => Code::StillNeeded,
            RegistryError::OwnProposal { .. } => Code::OwnApproval,
            RegistryError::SecondPersonNew { .. } => Code::SecondPersonNew,
            RegistryError::Store(StoreError::Conflict(_) | StoreError::Exists(_)) => Code::Conflict,
            RegistryError::Store(_) => Code::StoreUnavailable,
            RegistryError::Audit(_) => Code::AuditUnavailable,
            RegistryError::Unsound(_) => Code::SignatureDiscarded,
            RegistryError::Hsm(_) => Code::HsmUnavailable,
        };
        Self(Problem::new(code, error.to_string()))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let status = self.code.status();
        let body = self.document();
        let mut response = Response::new(axum::body::Body::from(serde_json::json!(body).to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.code.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        let retry_after =
            self.retry_after.or_else(|| (status == StatusCode::SERVICE_UNAVAILABLE).then(|| Duration::from_secs(1)));
        if let Some(retry_after) = retry_after {
            // Whole seconds, and never sooner than it makes sense.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The id of the present request, to find it in the log; 72 random bits.
pub(crate) fn request_id() -> String {
    if let Some(id) = crate::traces::request_id() {
        return id;
    }
    let mut octets = [0; 9];
    // Without randomness the answer still goes out; it only cannot be told apart from others.
    let _ = getrandom::fill(&mut octets);
    Base64UrlUnpadded::encode_string(&octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_401_says_how_one_would_be_known() {
        for code in Code::ALL {
            let response = Problem::new(code, "").into_response();
            let has_challenge = response.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(has_challenge, response.status() == StatusCode::UNAUTHORIZED, "{}", code.as_str());
        }
    }

    #[test]
    fn a_detail_does_not_repeat_all_that_was_asked() {
        let document = Problem::new(Code::PolicyDenied, "é".repeat(60_000)).document();
        assert_eq!(document.detail, format!("{}…", "é".repeat(MAX_DETAIL / 2 - 2)));
        assert_eq!(Problem::new(Code::PolicyDenied, "é".repeat(MAX_DETAIL / 2)).detail().len(), MAX_DETAIL);
    }

    #[test]
    fn codes_are_frozen() {
        let names: Vec<(&str, u16)> = Code::ALL.iter().map(|code| (code.as_str(), code.status().as_u16())).collect();
        assert_eq!(
            names,
            [
                ("request_malformed", 400),
                ("agent_unknown", 403),
                ("admin_unknown", 403),
                ("role_denied", 403),
                ("field_invalid", 422),
                ("session_required", 401),
                ("reauthentication_required", 403),
                ("passkey_required", 403),
                ("passkey_refused", 403),
                ("cross_site_refused", 403),
                ("last_administrator", 409),
                ("tries_exceeded", 429),
                ("read_only", 409),
                ("still_needed", 409),
                ("own_approval", 403),
                ("second_person_new", 403),
                ("conflict", 409),
                ("peer_refused", 403),
                ("origin_refused", 403),
                ("host_refused", 421),
                ("secret_required", 401),
                ("signer_unavailable", 503),
                ("code_refused", 403),
                ("policy_denied", 403),
                ("not_found", 404),
                ("method_not_allowed", 405),
                ("request_timeout", 408),
                ("key_state", 409),
                ("body_too_large", 413),
                ("unsupported_media_type", 415),
                ("claims_unacceptable", 422),
                ("schema_mismatch", 422),
                ("token_not_renewable", 422),
                ("digest_length", 422),
                ("idempotency_mismatch", 422),
                ("rate_exceeded", 429),
                ("signature_discarded", 500),
                ("hsm_unavailable", 503),
                ("store_unavailable", 503),
                ("audit_unavailable", 503),
                ("not_ready", 503),
            ]
        );
    }
}
