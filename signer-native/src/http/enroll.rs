//! Certificates for agents: with a one-time code on the public listener, with the certificate so far on the agents' listener.

use std::time::Instant;

use axum::{Extension, extract::State};
use edgeseal_core::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{
    Shared,
    agents::Said,
    input::{Json, parse},
    listener::{Peer, network},
    openapi::Routes,
    problem::{Code, Problem},
    tls,
};
use crate::{
    agents::{Certified, CertifyError, Known, MAX_REQUEST, check_request, hash},
    audit::Event,
    console::Try,
    issue::{Agent, rate::Exceeded},
    keys::{Moment, clock::PROBATION, now, registry::RegistryError},
    store::Grant,
};

/// Octets of a request: a request for a certificate, a code, and room for JSON around them.
const MAX_BODY: usize = 2 * MAX_REQUEST;
/// Codes a second that may be tried from one address, as an average. A code has 128 random bits: this spares the store, not the code.
const TRIES: u32 = 5;

/// What stands on the public listener.
pub fn enrolment() -> Routes {
    Routes::default().routes(routes!(enroll))
}

/// What stands on the agents' listener.
pub fn renewal() -> Routes {
    Routes::default().routes(routes!(renew))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EnrollRequest {
    /// The one-time code, without the fingerprint behind its point.
    code: String,
    /// A request for a certificate (PKCS#10, PEM) with a P-256 key; its names count for nothing.
    csr: String,
}

/// A certificate, and what an agent needs to use it.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrolment)]
struct EnrolmentAnswer {
    /// The agent's name.
    agent: String,
    /// The certificate, PEM.
    certificate: String,
    /// Who issued it, PEM.
    authority: String,
    /// When it ends.
    #[schema(format = "date-time")]
    not_after: String,
    /// The agents' listeners of all signers.
    signers: Vec<String>,
    /// The authority of these listeners' certificates, PEM, where it is known.
    signer_ca: Option<String>,
}

/// Enrol an agent
///
/// Uses up a one-time code; a request that cannot be granted does not.
#[utoipa::path(
    post, path = "/v1/agents/enroll", operation_id = "enrollAgent", tag = "agents",
    request_body = EnrollRequest,
    responses((status = 200, description = "The certificate", body = EnrolmentAnswer)),
)]
async fn enroll(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    Json(EnrollRequest { code, csr }): Json<EnrollRequest, MAX_BODY>,
) -> Result<axum::Json<EnrolmentAnswer>, Problem> {
    let anybody = Agent { name: network(peer.address.ip()), rate: Some(TRIES), ..Agent::default() };
    service.enrolments.take(&anybody, Instant::now()).map_err(|Exceeded { wait, .. }| {
        Problem::new(Code::RateExceeded, "too many codes are tried from this address; try again").retry_after(wait)
    })?;
    // A request that cannot be granted does not use up the code.
    check_request(&csr).map_err(malformed)?;
    let signer_ca = signer_ca(&service)?;
    let code = hash(&Zeroizing::new(code));
    let (tell, told) = oneshot::channel();
    // From the code on it comes to its end though nobody waits for it any more: who asks may go away while the store writes, or while
    // the HSM makes the authority's key.
    tokio::spawn(enrolled(service, csr, signer_ca, code, tell));
    told.await.map_err(|_gone| Problem::new(Code::NotReady, "the certificate could not be made; try again"))?
}

/// Uses an invitation and makes its certificate. It is given back if none came of it, or nobody to take it, or no word whether it is
/// used by now.
async fn enrolled(
    service: Shared,
    csr: String,
    signer_ca: Option<String>,
    code: String,
    tell: oneshot::Sender<Result<axum::Json<EnrolmentAnswer>, Problem>>,
) {
    let (store, used_at) = (service.agents.store(), now());
    let give_back = async || {
        if let Err(error) = store.give_invitation_back(&code, used_at).await {
            tracing::warn!(%error, "a code that gave no certificate may be used up");
        }
    };
    let name = match store.use_invitation(&code, used_at).await {
        Ok(Some(name)) => name,
        Ok(None) => {
            let detail = "the code is unknown, used or older than 10 minutes; ask for another one";
            let _nobody_waits = tell.send(Err(Problem::new(Code::CodeRefused, detail)));
            return;
        }
        Err(error) => {
            give_back().await;
            let _nobody_waits = tell.send(Err(RegistryError::Store(error).into()));
            return;
        }
    };
    match certify(&service, "agents.enroll", &name, &csr, Grant::Invitation(&code)).await {
        Ok(certified) => {
            if tell.send(Ok(answer(&service, &name, &certified, signer_ca))).is_err() {
                give_back().await;
            } else {
                tracing::info!(agent = name, not_after = %Moment(Timestamp::from_secs(certified.not_after)), "enrolled");
            }
        }
        Err(problem) => {
            give_back().await;
            let _nobody_waits = tell.send(Err(problem));
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateRequest)]
struct RenewRequest {
    /// A request for a certificate (PKCS#10, PEM) with a P-256 key.
    csr: String,
}

/// Renew the agent's certificate
///
/// For certificates of the signer's own authority; the one so far stays good until its end.
#[utoipa::path(
    post, path = "/v1/agents/renew", operation_id = "renewCertificate", tag = "agents",
    params(("Idempotency-Key" = Option<String>, Header, description = "Refuses another request under the same key", min_length = 1, max_length = 128)),
    request_body = RenewRequest,
    responses((status = 200, description = "The new certificate", body = EnrolmentAnswer)),
)]
async fn renew(
    State(service): State<Shared>,
    Extension(peer): Extension<Peer>,
    said: Said<MAX_BODY>,
) -> Result<axum::Json<EnrolmentAnswer>, Problem> {
    let RenewRequest { csr } = parse(&said.body)?;
    check_request(&csr).map_err(malformed)?;
    let signer_ca = signer_ca(&service)?;
    // A repetition is another certificate.
    said.stamp(&service, "/v1/agents/renew").await?;
    let agent = &said.agent;
    let known = service.agents.identify(&peer).await.map_err(RegistryError::Store)?;
    if !matches!(known, Known::Agent { enrolled: true, .. }) {
        let detail =
            "the certificate is of another authority, which has to renew it; edgeseal agents invite begins with this one";
        return Err(Problem::new(Code::PolicyDenied, detail));
    }
    // Each is a signature of the HSM, and has every signer read all agents again.
    service.renewals.take(Try::Renewal, &agent.name, Instant::now()).map_err(|wait| {
        Problem::new(Code::RateExceeded, "this agent renews its certificate too often; try again").retry_after(wait)
    })?;
    let before = peer.fingerprint.as_deref().unwrap_or_default();
    let certified = certify(&service, "agents.renew", &agent.name, &csr, Grant::Certificate(before)).await?;
    tracing::info!(agent = agent.name, not_after = %Moment(Timestamp::from_secs(certified.not_after)), "renewed a certificate");
    Ok(answer(&service, &agent.name, &certified, signer_ca))
}

/// A certificate, after the audit log knows of it.
async fn certify(service: &Shared, action: &'static str, agent: &str, csr: &str, grant: Grant<'_>) -> Result<Certified, Problem> {
    // By which certificate: whoever enrols has none yet.
    let by = if let Grant::Certificate(by) = grant { Some(by) } else { None };
    let event = Event::new(format!("agent:{agent}"), action, agent).with("certificate", by);
    service.audit.append(event).await.map_err(RegistryError::Audit)?;
    let certified = service.authorities.certify(agent, csr, grant).await.map_err(problem)?;
    if let Err(error) = service.agents.refresh().await {
        // It stands in the store, and is looked for there with the next request.
        tracing::warn!(agent, %error, "reading the agents after a new certificate");
    }
    Ok(certified)
}

/// The listener takes up a chain that is replaced: what newcomers are told of it is what its file says now.
fn signer_ca(service: &Shared) -> Result<Option<String>, Problem> {
    tls::authority_of(&service.agents_listener).map_err(|failure| {
        tracing::error!(%failure, "the certificate of the agents' listener cannot be read");
        Problem::new(Code::NotReady, "the certificate of the agents' listener cannot be read; try again")
    })
}

fn answer(service: &Shared, agent: &str, certified: &Certified, signer_ca: Option<String>) -> axum::Json<EnrolmentAnswer> {
    let Certified { certificate, authority, not_after } = certified;
    axum::Json(EnrolmentAnswer {
        agent: agent.to_owned(),
        certificate: certificate.clone(),
        authority: authority.clone(),
        not_after: Moment(Timestamp::from_secs(*not_after)).to_string(),
        signers: service.signers.clone(),
        signer_ca,
    })
}

fn malformed(why: String) -> Problem {
    Problem::new(Code::RequestMalformed, why)
}

fn problem(error: CertifyError) -> Problem {
    match error {
        CertifyError::Request(why) => malformed(why),
        CertifyError::Registry(error) => error.into(),
        CertifyError::Store(error) => RegistryError::Store(error).into(),
        CertifyError::Clock => Problem::new(
            Code::NotReady,
            "the clock of this signer was set a moment ago, and the first certificate of an authority would begin by it; try again",
        )
        .retry_after(PROBATION),
        CertifyError::Unsound(reason) => {
            tracing::error!(reason, "a certificate could not be made");
            Problem::new(Code::SignatureDiscarded, "the certificate could not be made; the signer's log says why")
        }
    }
}
