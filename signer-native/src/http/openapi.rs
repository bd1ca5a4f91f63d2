//! The OpenAPI 3.1 documents of the listeners. Each is made of the handlers that its router serves, so that the two cannot
//! differ; errors are problem documents (RFC 9457) everywhere.
//!
//! A step of a resource stands behind a colon (`/admin/v1/keys/{kid}:activate`). The router tells parameters apart by slashes
//! alone: there it is `/admin/v1/keys/{kid}/@activate`, and `spelled_for_router` is what both paths and requests go through.

use std::{borrow::Cow, sync::OnceLock};

use axum::{
    extract::Request,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use edgeseal_core::Algorithm;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        self, Components, Content, Info, License, OpenApi, Ref, RefOr, Schema, SecurityRequirement,
        path::{Operation, PathItem},
        response::ResponseBuilder,
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{Shared, admin, agents, console, person::Role, problem::Code, public};
use crate::{
    keys::{Origin, Purpose, State},
    revocation::Kind,
};

/// Handlers with their part of the document.
pub type Routes = OpenApiRouter<Shared>;

/// What shows who an administrator is, by its name in the document.
pub const ADMIN_CERTIFICATE: &str = "administrator_certificate";
/// The cookie of the console's session.
pub const SESSION: &str = "session";

/// A listener of the signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Listener {
    /// Keys and discovery, for everybody
    Public,
    /// Tokens, for agents
    Agents,
    /// Keys, profiles, agents and the audit log, for administrators
    Admin,
    /// Sessions of the console, on the administrators' listener: for browsers
    Console,
}

impl Listener {
    fn info(self) -> Info {
        let (title, description) = match self {
            Self::Public => (
                "Edgeseal signer: public listener",
                "JWK Sets and discovery documents stand below the URL of each issuer, which may have a path; the paths here are those of an issuer without one. With one, `/.well-known/oauth-authorization-server` stands before it (RFC 8414 section 3.1).",
            ),
            Self::Agents => (
                "Edgeseal signer: agents' listener",
                "Tokens for applications. Mutual TLS always: the certificate's SAN URI `urn:edgeseal:agent:NAME` says who asks.",
            ),
            Self::Admin => (
                "Edgeseal signer: administrators' listener",
                "The life of keys, who may ask for tokens, and what happened. Each operation's security requirement names the least role that may do it: auditors read, operators run what is there, administrators change what may be. Dangerous acts take, in a session, a passkey shown within `console.reauthenticate_after` (5 minutes by default): importing a key, declaring one compromised (revoking its `kid` is the same), its destruction and the approval of it, activation in an emergency, retiring or deleting a profile, deleting an agent, inviting and changing users. A caller with a certificate needs none, since that is shown with every connection.",
            ),
            Self::Console => (
                "Edgeseal signer: sessions of the console",
                "On the administrators' listener, for its pages. Requests that change something carry the header X-Edgeseal-CSRF with the value that `getSession` says, and come from the console's own origin. Credentials are those of WebAuthn Level 3: `PublicKeyCredential.toJSON()`.",
            ),
        };
        let mut info = Info::new(title, env!("CARGO_PKG_VERSION"));
        info.description = Some(description.to_owned());
        info.license = Some(License::new("Apache-2.0"));
        info
    }
}

/// The document of a listener.
pub fn document(listener: Listener) -> OpenApi {
    let routes = match listener {
        Listener::Public => public::routes(),
        Listener::Agents => agents::routes(),
        Listener::Admin => admin::routes(),
        Listener::Console => console::routes(),
    };
    let mut document = routes.into_openapi();
    document.info = listener.info();
    document.servers = None;
    let components = document.components.get_or_insert_with(Components::default);
    let mut schemas = vec![(PROBLEM.to_owned(), ProblemDocument::schema())];
    ProblemDocument::schemas(&mut schemas);
    components.schemas.extend(schemas);
    match listener {
        Listener::Public | Listener::Console => {}
        Listener::Agents => {
            let what = "A certificate of the agents' authority, with one SAN URI urn:edgeseal:agent:NAME";
            components.security_schemes.insert("agent_certificate".to_owned(), certificate(what).into());
            document.security = Some(vec![SecurityRequirement::new::<_, _, String>("agent_certificate", [])]);
        }
        Listener::Admin => {
            let what = "A certificate of the administrators' authority, with one SAN URI urn:edgeseal:admin:NAME";
            components.security_schemes.insert(ADMIN_CERTIFICATE.to_owned(), certificate(what).into());
            let cookie = ApiKeyValue::with_description("__Host-edgeseal", "The console's session");
            components.security_schemes.insert(SESSION.to_owned(), SecurityScheme::ApiKey(ApiKey::Cookie(cookie)).into());
        }
    }
    let items = std::mem::take(&mut document.paths.paths);
    document.paths.paths = items.into_iter().map(|(path, item)| (spelled_for_people(&path), with_problems(item))).collect();
    document
}

/// The document of a listener as it is served: JSON.
pub fn text(listener: Listener) -> &'static str {
    static TEXTS: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
    let place = match listener {
        Listener::Public => 0,
        Listener::Agents => 1,
        Listener::Admin => 2,
        Listener::Console => 3,
    };
    // These types print always: their maps have texts as keys.
    TEXTS[place].get_or_init(|| serde_json::to_string_pretty(&document(listener)).unwrap_or_default())
}

/// The answer to `GET /openapi.json`.
pub(super) fn answer(listener: Listener) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text(listener)).into_response()
}

/// For handlers whose path ends with a step: `/admin/v1/keys/{kid}:activate`.
pub fn step(routes: UtoipaMethodRouter<Shared>) -> UtoipaMethodRouter<Shared> {
    let (schemas, mut paths, handlers) = routes;
    let items = std::mem::take(&mut paths.paths);
    paths.paths = items.into_iter().map(|(path, item)| (spelled_for_router(&path).unwrap_or(path), item)).collect();
    (schemas, paths, handlers)
}

/// Lets requests reach handlers of steps: a layer around the router.
pub(super) async fn find_step(mut request: Request) -> Request {
    if let Some(path) = spelled_for_router(request.uri().path()) {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        if let Ok(changed) = format!("{path}{query}").parse() {
            parts.path_and_query = Some(changed);
            if let Ok(changed) = Uri::from_parts(parts) {
                *request.uri_mut() = changed;
            }
        }
    }
    request
}

fn spelled_for_router(path: &str) -> Option<String> {
    let (before, last) = path.rsplit_once('/')?;
    let (resource, step) = last.rsplit_once(':')?;
    Some(format!("{before}/{resource}/@{step}"))
}

/// A route as people know it.
pub fn spelled_for_people(route: &str) -> String {
    route.replace("/@", ":")
}

/// A schema of these names and no other.
pub fn one_of<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Schema {
    let names: Vec<&str> = names.into_iter().collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).description(Some(what)).into()
}

/// Types of members that are texts in answers: `#[schema(value_type = State)]` refers to them.
macro_rules! names {
    ($($type:ty, $name:literal, $what:literal, $names:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                one_of($what, $names).into()
            }
        }
        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

names! {
    AlgorithmName, "Algorithm", "A digital signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864).", Algorithm::ALL.map(Algorithm::name);
    Code, "ProblemCode", "The stable name of a problem.", Code::ALL.map(Code::as_str);
    Kind, "RevocationKind", "What is revoked: a key, a token, or what a subject was issued.", Kind::ALL.map(Kind::as_str);
    Origin, "KeyOrigin", "Where a key was made: inside the HSM, or elsewhere.", Origin::NAMES;
    Purpose, "KeyPurpose", "What a key signs: tokens, checkpoints of the audit log, the list of what is revoked, certificates of agents.", Purpose::ALL.map(Purpose::as_str);
    Role, "Role", "What somebody may do. Each role may do what those before it may.", Role::ALL.map(Role::as_str);
    State, "KeyState", "Where a key stands. `generating`: the HSM is asked; `published`: in the JWK Set, a standby; `active`: signs; `suspended`: does not sign for now, its tokens live on; `retiring`: signs no more, its tokens still live; `retired`: out of the JWK Set; `destroy_scheduled`: will be destroyed at a known time; `destroyed`: gone from the HSM; `compromised`: somebody else may have it; if it signs tokens, it is out of the JWK Set and on the revocation list; `failed`: was never generated.", State::ALL.map(State::as_str);
}

/// `Algorithm` in a document: `core` knows nothing of OpenAPI.
pub struct AlgorithmName;

/// A span of time as requests and settings say it.
pub struct Span;

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,10}[smhd]?$"));
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let what = "A span of time: seconds, or a text such as `90s`, `10m`, `1h` or `7d`.";
        Schema::OneOf(openapi::OneOfBuilder::new().item(text).item(number).description(Some(what)).build()).into()
    }
}

impl ToSchema for Span {}

const PROBLEM: &str = "Problem";
const PROBLEM_TYPE: &str = "application/problem+json";

/// What went wrong (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:edgeseal:problem:` and the code.
    #[schema(format = "uri")]
    pub r#type: String,
    /// What kind of problem this is, for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong with this request, and what mends it.
    pub detail: String,
    /// Its stable name.
    #[schema(value_type = Code)]
    pub code: &'static str,
    /// The member of the request that is not as it must be, where one is, such as `max_lifetime` or `policy.profiles`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Finds the request in the signer's log.
    pub request_id: String,
}

fn certificate(what: &str) -> SecurityScheme {
    SecurityScheme::MutualTls { description: Some(what.to_owned()), deprecated: None, extensions: None }
}

/// Every operation may end with a problem.
fn with_problems(mut item: PathItem) -> PathItem {
    let operations: [&mut Option<Operation>; 5] =
        [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    for operation in operations.into_iter().flatten() {
        let schema: RefOr<Schema> = Ref::from_schema_name(PROBLEM).into();
        let response = ResponseBuilder::new()
            .description("A problem: `code` says which, `detail` what mends it")
            .content(PROBLEM_TYPE, Content::new(Some(schema)));
        operation.responses.responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(response.build()));
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_found() {
        assert_eq!(spelled_for_router("/admin/v1/keys/abc:retire").unwrap(), "/admin/v1/keys/abc/@retire");
        assert_eq!(spelled_for_router("/admin/v1/keys:import").unwrap(), "/admin/v1/keys/@import");
        assert_eq!(spelled_for_router("/admin/v1/keys/abc"), None);
        assert_eq!(spelled_for_router("/a:b/c"), None);
        assert_eq!(spelled_for_people("/admin/v1/keys/{kid}/@retire"), "/admin/v1/keys/{kid}:retire");
    }

    /// What is asked with, and what is written only where it is said.
    const MAY_BE_LEFT_OUT: [&str; 8] =
        ["AgentPolicy", "GenerateKey", "ImportKey", "InviteUser", PROBLEM, "ProfileSettings", "Revoke", "ScheduleDestroy"];

    #[test]
    fn what_answers_always_have_is_required() {
        let document: serde_json::Value = serde_json::from_str(text(Listener::Admin)).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let is_null = |schema: &serde_json::Value| schema["type"] == "null";
        let mut seen = 0;
        for (name, schema) in schemas.iter().filter(|(name, _)| !MAY_BE_LEFT_OUT.contains(&name.as_str())) {
            for part in schema["allOf"].as_array().into_iter().flatten().chain([schema]) {
                let required = part["required"].as_array().map(Vec::as_slice).unwrap_or_default();
                for (member, value) in part["properties"].as_object().into_iter().flatten() {
                    let mut types = value["type"].as_array().into_iter().flatten();
                    let mut either = value["oneOf"].as_array().into_iter().flatten();
                    if types.any(|one| one == "null") || either.any(is_null) {
                        assert!(required.iter().any(|one| one == member.as_str()), "{name}.{member}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 40, "{seen}");
        let user = &schemas["UserView"]["properties"];
        assert_eq!(user["role"]["$ref"], "#/components/schemas/Role");
        assert_eq!(schemas["Role"]["enum"], serde_json::json!(["auditor", "operator", "administrator"]));
        for member in ["created_at", "last_login_at", "second_person_from"] {
            assert_eq!(user[member]["format"], "date-time", "{member}");
        }
    }

    #[test]
    fn every_member_says_what_it_is() {
        for listener in [Listener::Public, Listener::Agents, Listener::Admin, Listener::Console] {
            let document: serde_json::Value = serde_json::from_str(text(listener)).unwrap();
            let schemas = document["components"]["schemas"].as_object().unwrap();
            let referred = text(listener).split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
            referred.for_each(|name| assert!(schemas.contains_key(name), "{listener:?} {name}"));
            for (name, schema) in schemas {
                for part in schema["allOf"].as_array().into_iter().flatten().chain([schema]) {
                    for (member, value) in part["properties"].as_object().into_iter().flatten() {
                        // One that may be null says it of what it is otherwise.
                        let mut either = value["oneOf"].as_array().into_iter().flatten().chain([value]);
                        let said = either.any(|value| value["description"].is_string());
                        assert!(said, "{listener:?} {name}.{member}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_operation_says_what_it_answers() {
        for listener in [Listener::Public, Listener::Agents, Listener::Admin, Listener::Console] {
            let document: serde_json::Value = serde_json::from_str(text(listener)).unwrap();
            assert_eq!(document["openapi"], "3.1.0");
            let mut names = std::collections::BTreeSet::new();
            for (path, item) in document["paths"].as_object().unwrap() {
                for (method, operation) in item.as_object().unwrap() {
                    let place = format!("{listener:?} {method} {path}");
                    assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
                    assert!(names.insert(operation["operationId"].to_string()), "{place}: its operationId is another's too");
                    let problem = &operation["responses"]["default"]["content"][PROBLEM_TYPE]["schema"]["$ref"];
                    assert_eq!(problem, "#/components/schemas/Problem", "{place}");
                    if listener == Listener::Admin {
                        let role = &operation["security"][0][ADMIN_CERTIFICATE][0];
                        assert!(super::super::person::Role::ALL.iter().any(|known| role == known.as_str()), "{place}: {role}");
                        assert_eq!(operation["security"][1][SESSION][0], *role, "{place}");
                    }
                }
            }
            assert!(!names.is_empty());
        }
    }
}
