//! Certificates for agents: with a one-time code on the public listener, with the certificate so far on the agents' listener.

use std::time::Instant;

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use edgeseal_core::Timestamp;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Shared,
    agents::{agent, parse, read_json},
    listener::Peer,
    problem::{Code, Problem},
    public::method_not_allowed,
};
use crate::{
    agents::{Certified, CertifyError, Known, MAX_REQUEST, check_request, hash},
    audit::Event,
    issue::{Agent, IssueError},
    keys::{Moment, now, registry::RegistryError},
};

/// Octets of a request: a request for a certificate, a code, and room for JSON around them.
const MAX_BODY: usize = 2 * MAX_REQUEST;
/// Codes a second that anybody may try, as an average. A code has 128 random bits: this spares the store, not the code.
const TRIES: u32 = 5;

/// What stands on the public listener.
pub fn public(service: Shared) -> Router {
    Router::new().route("/v1/agents/enroll", post(enroll).fallback(method_not_allowed)).with_state(service)
}

/// What stands on the agents' listener.
pub fn renewal(service: Shared) -> Router {
    Router::new().route("/v1/agents/renew", post(renew).fallback(method_not_allowed)).with_state(service)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrollRequest {
    code: String,
    csr: String,
}

async fn enroll(State(service): State<Shared>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let everybody = Agent { name: String::new(), rate: Some(TRIES), ..Agent::default() };
    service.enrolments.take(&everybody, Instant::now()).map_err(IssueError::RateExceeded)?;
    let EnrollRequest { code, csr } = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    // A request that cannot be granted does not use up the code.
    check_request(&csr).map_err(malformed)?;
    let code = Zeroizing::new(code);
    let invited = service.agents.store().use_invitation(&hash(&code), now()).await.map_err(RegistryError::Store)?;
    let Some(name) = invited else {
        return Err(Problem::new(Code::CodeRefused, "the code is unknown, used or older than 10 minutes; ask for another one"));
    };
    let certified = certify(&service, "agents.enroll", &name, &csr).await?;
    tracing::info!(agent = name, not_after = %Moment(Timestamp::from_secs(certified.not_after)), "enrolled");
    Ok(answer(&service, &name, &certified))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewRequest {
    csr: String,
}

async fn renew(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let agent = agent(&service, &peer).await?;
    let RenewRequest { csr } = parse(&read_json(&headers, body, MAX_BODY).await?)?;
    check_request(&csr).map_err(malformed)?;
    let known = service.agents.identify(&peer).await.map_err(RegistryError::Store)?;
    if !matches!(known, Known::Agent { enrolled: true, .. }) {
        let detail =
            "the certificate is of another authority, which has to renew it; edgeseal agents invite begins with this one";
        return Err(Problem::new(Code::PolicyDenied, detail));
    }
    let certified = certify(&service, "agents.renew", &agent.name, &csr).await?;
    tracing::info!(agent = agent.name, not_after = %Moment(Timestamp::from_secs(certified.not_after)), "renewed a certificate");
    Ok(answer(&service, &agent.name, &certified))
}

/// A certificate, after the audit log knows of it.
async fn certify(service: &Shared, action: &'static str, agent: &str, csr: &str) -> Result<Certified, Problem> {
    let event = Event::new(format!("agent:{agent}"), action, agent);
    service.audit.append(event).await.map_err(RegistryError::Audit)?;
    let certified = service.authorities.certify(agent, csr).await.map_err(problem)?;
    service.agents.refresh().await.map_err(RegistryError::Store)?;
    Ok(certified)
}

fn answer(service: &Shared, agent: &str, certified: &Certified) -> Response {
    let Certified { certificate, authority, not_after } = certified;
    Json(json!({
        "agent": agent,
        "certificate": certificate,
        "authority": authority,
        "not_after": Moment(Timestamp::from_secs(*not_after)).to_string(),
        "signers": service.signers,
        "signer_ca": service.signer_ca,
    }))
    .into_response()
}

fn malformed(why: String) -> Problem {
    Problem::new(Code::RequestMalformed, why)
}

fn problem(error: CertifyError) -> Problem {
    match error {
        CertifyError::Request(why) => malformed(why),
        CertifyError::Registry(error) => error.into(),
        CertifyError::Store(error) => RegistryError::Store(error).into(),
        CertifyError::Unsound(reason) => {
            tracing::error!(reason, "a certificate could not be made");
            Problem::new(Code::SignatureDiscarded, "the certificate could not be made; the signer's log says why")
        }
    }
}
