//! Issuers: each has its own URL, JWK Set and discovery. They stand in the configuration alone: an issuer is a URL that
//! listeners, proxies and verifiers must know as well, the same for all signers of a store.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use edgeseal_core::{Algorithm, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    http::{
        Shared,
        input::Named,
        openapi::{AlgorithmName, Routes},
        person::Auditor,
        problem::{AdminProblem, Code, Problem},
        public::jwks_uri,
    },
    keys::{Key, Moment, Purpose, Snapshot},
};

/// What the top-level issuer is called in a path: a name has no such character.
const TOP: &str = "~";

pub(super) fn routes() -> Routes {
    Routes::default().routes(routes!(list)).routes(routes!(show))
}

/// An issuer.
#[derive(Serialize, ToSchema)]
#[schema(as = Issuer)]
struct IssuerView {
    /// Its name in profiles; empty for the top-level one.
    name: String,
    /// `iss` of its tokens.
    issuer: String,
    /// Where its JWK Set is.
    jwks_uri: String,
    /// The algorithms of the keys that it shows.
    #[schema(value_type = Vec<AlgorithmName>)]
    algorithms: Vec<Algorithm>,
    /// When its JWK Set changed last: a key came or left. Null while it never had one.
    #[schema(required, format = "date-time")]
    jwks_changed_at: Option<String>,
    /// By when every verifier that keeps to the declared delays goes by the set as it is now. How old the keys of one
    /// isolate are, the gateway's `/.edgeseal/health` says; nothing of it comes to the signer.
    #[schema(required, format = "date-time")]
    jwks_known_by: Option<String>,
    /// The profiles whose tokens it issues.
    profiles: Vec<String>,
    /// How many keys of these profiles there are, by state; those that belong to one agent are not among them.
    keys: BTreeMap<&'static str, usize>,
    /// How many agents have an issuer of their own beneath it, which shows keys.
    agent_issuers: usize,
}

/// An issuer, and those of its agents.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuerDetail)]
struct DetailView {
    #[serde(flatten)]
    issuer: IssuerView,
    /// The agents with an issuer of their own beneath it: what mode `digest` signs is believed there alone.
    of_agents: Vec<AgentIssuerView>,
}

/// One agent's own issuer.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentIssuer)]
struct AgentIssuerView {
    /// Whose issuer it is.
    agent: String,
    /// `iss` of its tokens.
    issuer: String,
    /// Where its JWK Set is.
    jwks_uri: String,
    /// How many keys that shows.
    keys: usize,
    /// The `exp` of the one that ends last; null where none has one.
    #[schema(required, format = "date-time")]
    not_after: Option<String>,
}

/// All issuers.
#[derive(Serialize, ToSchema)]
struct Issuers {
    /// By name, the top-level one first.
    issuers: Vec<IssuerView>,
}

/// List the issuers
#[utoipa::path(get, path = "/admin/v1/issuers", operation_id = "listIssuers", tag = "issuers",
    responses((status = 200, description = "All issuers", body = Issuers)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn list(State(service): State<Shared>, _: Auditor) -> Result<Json<Issuers>, AdminProblem> {
    let snapshot = service.issuer.registry().snapshot();
    let issuers = service.issuers.iter().map(|(name, url)| view(&service, &snapshot, name, url)).collect();
    Ok(Json(Issuers { issuers }))
}

/// Show an issuer, and those of its agents
#[utoipa::path(get, path = "/admin/v1/issuers/{issuer}", operation_id = "getIssuer", tag = "issuers",
    params(("issuer" = String, Path, description = "Its name; `~` for the top-level one")),
    responses((status = 200, description = "The issuer", body = DetailView)),
    security(("administrator_certificate" = ["auditor"]), ("session" = ["auditor"])))]
async fn show(State(service): State<Shared>, _: Auditor, Named(name): Named<String>) -> Result<Json<DetailView>, AdminProblem> {
    let wanted = if name == TOP { "" } else { &name };
    let found = service.issuers.iter().find(|(known, _)| *known == wanted && !name.is_empty());
    let (name, url) = found.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            format!("no issuer is called {name:?}; the top-level one is {TOP}, others stand in issuers.NAME"),
        )
    })?;
    let snapshot = service.issuer.registry().snapshot();
    let of_agents = shown_to_agents(&snapshot, name).into_iter().map(|(agent, (keys, not_after))| {
        let issuer = format!("{url}/agents/{agent}");
        AgentIssuerView {
            agent: agent.to_owned(),
            jwks_uri: jwks_uri(&issuer),
            issuer,
            keys,
            not_after: not_after.map(|at| Moment(at).to_string()),
        }
    });
    let of_agents = of_agents.collect();
    Ok(Json(DetailView { issuer: view(&service, &snapshot, name, url), of_agents }))
}

fn view(service: &Shared, snapshot: &Snapshot, name: &str, url: &str) -> IssuerView {
    let changed_at = snapshot.changed_at(name);
    let known_after = service.issuer.registry().timing().known_after();
    let profiles = service.profiles.profiles();
    let profiles = profiles.values().filter(|known| known.slot.issuer == name && known.retired_at.is_none());
    let mut keys = BTreeMap::new();
    for key in of_issuer(snapshot, name).filter(|key| key.agent.is_none()) {
        *keys.entry(key.state.as_str()).or_default() += 1;
    }
    IssuerView {
        name: name.to_owned(),
        issuer: url.to_owned(),
        jwks_uri: jwks_uri(url),
        algorithms: snapshot.document(name, None).map(|document| document.algorithms).unwrap_or_default(),
        jwks_changed_at: changed_at.map(|at| Moment(at).to_string()),
        jwks_known_by: changed_at.map(|at| Moment(at.plus_secs(known_after)).to_string()),
        profiles: profiles.map(|known| known.profile.name.clone()).collect(),
        keys,
        agent_issuers: shown_to_agents(snapshot, name).len(),
    }
}

fn of_issuer<'both>(snapshot: &'both Snapshot, issuer: &'both str) -> impl Iterator<Item = &'both Key> {
    snapshot.keys.iter().filter(move |key| key.purpose == Purpose::Token && key.issuer == issuer)
}

/// The agents whose own keys verifiers can see: how many, and when the last of them ends.
fn shown_to_agents<'both>(snapshot: &'both Snapshot, issuer: &'both str) -> BTreeMap<&'both str, (usize, Option<Timestamp>)> {
    let mut agents: BTreeMap<&str, (usize, Option<Timestamp>)> = BTreeMap::new();
    for key in of_issuer(snapshot, issuer).filter(|key| key.state.in_jwk_set()) {
        if let Some(agent) = &key.agent {
            let (count, end) = agents.entry(agent).or_default();
            *count += 1;
            *end = (*end).max(key.not_after);
        }
    }
    agents
}
