//! Agents: who may ask for which tokens, how they come in, and how they are shown the door. Those of the configuration file are
//! shown and can be enrolled and revoked; what they may do is said there alone.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{MAX_BODY, Origin, ledger};
use crate::{
    agents::{Invitation, LIFETIME, Policy, hash},
    http::{
        Shared,
        input::{Json as Input, Named},
        openapi::{Routes, step},
        person::{Administrator, Auditor, Operator},
        problem::{AdminProblem, Code, Problem},
        tls,
    },
    keys::{Moment, now, registry::RegistryError},
    store::{AgentCertificate, AgentRow, Terms},
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(show, edit, delete))
        .routes(step(routes!(enrol)))
        .routes(step(routes!(revoke)))
}

/// An agent.
#[derive(Serialize, ToSchema)]
#[schema(as = Agent)]
struct AgentView {
    /// What it is called in certificates, in requests and in the audit.
    name: String,
    /// Where it is written down: what stands in the configuration is changed there alone.
    origin: Origin,
    /// Whether what it may do can be changed in the configuration alone.
    read_only: bool,
    /// What it may do; null for a name that is only known to be revoked.
    #[schema(required)]
    policy: Option<Policy>,
    /// Since when it is refused.
    #[schema(required, format = "date-time")]
    revoked_at: Option<String>,
    /// Whether its name was revoked or deleted before and it has to enrol: until then it is refused, whatever the configuration says.
    must_enrol: bool,
    /// Until when a one-time code for it is good.
    #[schema(required, format = "date-time")]
    invited_until: Option<String>,
    /// Certificates of the signer's own authority that have not ended, the latest first.
    certificates: Vec<CertificateView>,
}

/// A certificate of an agent.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentCertificate)]
struct CertificateView {
    /// SHA-256 of the certificate, base64url.
    fingerprint: String,
    /// When it was issued.
    #[schema(format = "date-time")]
    issued_at: String,
    /// When it ends.
    #[schema(format = "date-time")]
    not_after: String,
    /// Since when it is refused.
    #[schema(required, format = "date-time")]
    revoked_at: Option<String>,
}

/// All agents, by name.
#[derive(Serialize, ToSchema)]
struct Agents {
    /// By name.
    agents: Vec<AgentView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAgent {
    /// 1 to 64 characters, each one of `a-z`, `0-9`, `.`, `_` and `-`.
    #[schema(pattern = "^[a-z0-9._-]{1,64}$")]
    name: String,
    /// What it may do.
    policy: Policy,
}

/// A one-time code, shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentInvitation)]
struct InvitationView {
    /// The agent that it lets in.
    agent: String,
    /// To be typed where the agent runs; it is good once.
    code: String,
    /// Until when.
    #[schema(format = "date-time")]
    expires_at: String,
    /// SHA-256 of the certificate by which the newcomer knows the signer; it is in the code, too.
    fingerprint: String,
    /// To be run where the agent runs; it asks for the code, since command lines are visible to everybody.
    command: String,
}

/// List the agents
#[utoipa::path(get, path = "/admin/v1/agents", operation_id = "listAgents", tag = "agents",
    responses((status = 200, description = "All agents, by name", body = Agents)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Agents>, AdminProblem> {
    Ok(Json(Agents { agents: all(&service).await?.into_values().collect() }))
}

/// Show an agent
#[utoipa::path(get, path = "/admin/v1/agents/{agent}", operation_id = "getAgent", tag = "agents",
    params(("agent" = String, Path, description = "Its name")),
    responses((status = 200, description = "The agent", body = AgentView)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(agent): Named<String>) -> Result<Json<AgentView>, AdminProblem> {
    Ok(Json(one(&service, &agent).await?))
}

/// Create an agent
///
/// It can come in when it is enrolled.
#[utoipa::path(post, path = "/admin/v1/agents", operation_id = "createAgent", tag = "agents",
    request_body = NewAgent,
    responses((status = 201, description = "The agent", body = AgentView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn create(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Input(NewAgent { name, policy }): Input<NewAgent, MAX_BODY>,
) -> Result<Response, AdminProblem> {
    crate::config::check_name("agents", &name).map_err(|_| {
        Problem::new(Code::FieldInvalid, "name has 1 to 64 characters out of a-z, 0-9, - _ . and is not . or ..").at("name")
    })?;
    check(&service, &policy)?;
    if all(&service).await?.contains_key(&name) {
        return Err(Problem::new(Code::Conflict, format!("an agent {name} is there already")).at("name").into());
    }
    let text = serde_json::json!(policy).to_string();
    ledger(&service).record(&person.actor(), "agents.create", &name, &format!("{{\"policy\":{text}}}")).await?;
    service.agents.store().create_agent(&name, &text, now()).await?;
    service.agents.refresh().await?;
    Ok((StatusCode::CREATED, Json(one(&service, &name).await?)).into_response())
}

/// Change what an agent may do
#[utoipa::path(put, path = "/admin/v1/agents/{agent}", operation_id = "editAgent", tag = "agents",
    params(("agent" = String, Path, description = "Its name")),
    request_body = Policy,
    responses((status = 200, description = "The agent", body = AgentView)),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn edit(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
    Input(policy): Input<Policy, MAX_BODY>,
) -> Result<Json<AgentView>, AdminProblem> {
    let agent = one(&service, &name).await?;
    if agent.read_only {
        let detail = format!("agents.{name} stands in the signer's configuration file; what it may do is changed there");
        return Err(Problem::new(Code::ReadOnly, detail).into());
    }
    check(&service, &policy)?;
    let text = serde_json::json!(policy).to_string();
    ledger(&service).record(&person.actor(), "agents.edit", &name, &format!("{{\"policy\":{text}}}")).await?;
    service.agents.store().edit_agent(&name, &text).await?;
    service.agents.refresh().await?;
    Ok(Json(one(&service, &name).await?))
}

/// Let an agent come in
///
/// Gives a one-time code. An agent that was revoked is let in again; its certificates of before stay refused.
#[utoipa::path(post, path = "/admin/v1/agents/{agent}:enrol", operation_id = "enrolAgent", tag = "agents",
    params(("agent" = String, Path, description = "Its name")),
    responses((status = 201, description = "The one-time code", body = InvitationView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn enrol(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(name): Named<String>,
) -> Result<Response, AdminProblem> {
    let agent = one(&service, &name).await?;
    // A revoked name that stands nowhere else has no policy: it has to be given one first.
    let terms = match (&agent.policy, agent.read_only) {
        (_, true) => Terms::Configured,
        (Some(_), false) => Terms::Kept,
        (None, false) => {
            let detail = format!("nothing says what agent {name} may do; give it a policy first");
            return Err(Problem::new(Code::FieldInvalid, detail).at("policy").into());
        }
    };
    let chain = tls::certificates("listen.public.certificate", &service.newcomers.certificate).map_err(|failure| {
        tracing::error!(%failure, "the public listener's certificate cannot be read");
        Problem::new(Code::NotReady, failure.to_string())
    })?;
    // The last one is the authority, where the file has it: it stays when the listener's own certificate is renewed.
    let fingerprint: [u8; 32] = chain.last().map(|certificate| Sha256::digest(certificate).into()).unwrap_or_default();
    let invitation = Invitation::new(fingerprint)
        .map_err(|error| Problem::new(Code::NotReady, format!("this machine gives no randomness: {error}")))?;
    let expires_at = now().plus_secs(LIFETIME);
    let detail = serde_json::json!({ "policy": null, "expires_at": Moment(expires_at).to_string() }).to_string();
    ledger(&service).record(&person.actor(), "agents.invite", &name, &detail).await?;
    service.agents.store().invite(&name, terms, &hash(invitation.secret()), now(), expires_at).await?;
    service.agents.refresh().await?;
    let url = &service.newcomers.url;
    let shown = InvitationView {
        agent: name,
        code: invitation.code().to_string(),
        expires_at: Moment(expires_at).to_string(),
        fingerprint: Base64UrlUnpadded::encode_string(&fingerprint),
        command: format!("edgeseal agent enroll --url {url}"),
    };
    let mut response = (StatusCode::CREATED, Json(shown)).into_response();
    response.headers_mut().insert("cache-control", axum::http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Refuse an agent and all its certificates
///
/// At once, on open connections too.
#[utoipa::path(post, path = "/admin/v1/agents/{agent}:revoke", operation_id = "revokeAgent", tag = "agents",
    params(("agent" = String, Path, description = "Its name")),
    responses((status = 200, description = "The agent", body = AgentView)),
    security(("administrator_certificate" = ["operator"]), ("session" = ["operator"])))]
async fn revoke(
    State(service): State<Shared>,
    Operator(person): Operator,
    Named(name): Named<String>,
) -> Result<Json<AgentView>, AdminProblem> {
    one(&service, &name).await?;
    ledger(&service).record(&person.actor(), "agents.revoke", &name, "{}").await?;
    service.agents.store().revoke_agent(&name, now()).await?;
    service.agents.refresh().await?;
    Ok(Json(one(&service, &name).await?))
}

/// Delete an agent
///
/// Its certificates are refused at once and for good, also should another agent get its name. Not while verifiers believe a key of
/// its own: revoke it, and wait until the last of them has ended.
#[utoipa::path(delete, path = "/admin/v1/agents/{agent}", operation_id = "deleteAgent", tag = "agents",
    params(("agent" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")),
    security(("administrator_certificate" = ["administrator"]), ("session" = ["administrator"])))]
async fn delete(
    State(service): State<Shared>,
    Administrator(person): Administrator,
    Named(name): Named<String>,
) -> Result<StatusCode, AdminProblem> {
    if one(&service, &name).await?.read_only {
        let detail = format!(
            "agents.{name} stands in the signer's configuration file and is taken out there; revoking it refuses it at once"
        );
        return Err(Problem::new(Code::ReadOnly, detail).into());
    }
    ledger(&service).delete_agent(&name, &person.actor()).await?;
    service.agents.refresh().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(service: &Shared, policy: &Policy) -> Result<(), Problem> {
    Ok(policy.check(|profile| service.issuer.has_profile(profile))?)
}

async fn one(service: &Shared, name: &str) -> Result<AgentView, AdminProblem> {
    let found = all(service).await?.remove(name);
    Ok(found.ok_or_else(|| Problem::new(Code::NotFound, format!("no agent is called {name:?}")))?)
}

async fn all(service: &Shared) -> Result<BTreeMap<String, AgentView>, RegistryError> {
    let store = service.agents.store();
    let (rows, barred) = (store.agents().await?, store.barred_agents().await?);
    let (certificates, invited) = (store.agent_certificates(now()).await?, store.invitations(now()).await?);
    let mut agents: BTreeMap<String, AgentView> = service
        .agents
        .configured()
        .map(|agent| {
            let view = AgentView {
                name: agent.name.clone(),
                origin: Origin::Configuration,
                read_only: true,
                policy: Some(Policy::of(agent)),
                revoked_at: None,
                must_enrol: false,
                invited_until: None,
                certificates: Vec::new(),
            };
            (agent.name.clone(), view)
        })
        .collect();
    for AgentRow { name, policy, revoked_at, .. } in rows {
        let policy = policy.and_then(|policy| serde_json::from_str(&policy).ok());
        let entry = agents.entry(name.clone()).or_insert_with(|| AgentView {
            name,
            origin: Origin::Store,
            read_only: false,
            policy,
            revoked_at: None,
            must_enrol: false,
            invited_until: None,
            certificates: Vec::new(),
        });
        entry.revoked_at = revoked_at.map(|at| Moment(at).to_string());
    }
    // What these show from another authority counts no more.
    for name in barred {
        if let Some(entry) = agents.get_mut(&name) {
            entry.must_enrol = entry.read_only;
        }
    }
    for (name, until) in invited {
        if let Some(entry) = agents.get_mut(&name) {
            entry.invited_until = Some(Moment(until).to_string());
        }
    }
    let mut certificates: Vec<AgentCertificate> = certificates;
    certificates.sort_by_key(|certificate| std::cmp::Reverse(certificate.issued_at));
    for AgentCertificate { fingerprint, agent, issued_at, not_after, revoked_at } in certificates {
        if let Some(entry) = agents.get_mut(&agent) {
            entry.must_enrol &= revoked_at.is_some();
            entry.certificates.push(CertificateView {
                fingerprint,
                issued_at: Moment(issued_at).to_string(),
                not_after: Moment(not_after).to_string(),
                revoked_at: revoked_at.map(|at| Moment(at).to_string()),
            });
        }
    }
    Ok(agents)
}
