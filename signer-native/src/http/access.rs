//! Who comes in at the administrators' listener, and what each role may do there: the one table of it, and the layers that
//! enforce it before any handler runs.
//!
//! Somebody is known by the session of a browser or by a client certificate; both lead to one person of the store. A route
//! that has no row here is refused to everybody, and a test compares the rows with the OpenAPI document.

use axum::{
    body::{Body, HttpBody as _},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use zeroize::Zeroizing;

use super::{
    Shared, input,
    listener::{Peer, network},
    openapi::spelled_for_people,
    person::{Credential, Person, Role},
    problem::{AdminProblem, Code, Problem},
};
use crate::{
    console::hash,
    keys::{Moment, now},
    store::{SessionRow, StoreError},
};

/// The cookie of a session. Its prefix has browsers insist on `Secure`, `Path=/` and this very host.
pub const COOKIE: &str = "__Host-edgeseal";
/// The header that no other site's page can send.
pub const CSRF: &str = "x-edgeseal-csrf";
/// Its value where there is no session yet.
pub const NO_CSRF: &str = "none";
/// What a page says of a request that nobody asked for: it asks by itself, every few seconds. A window that somebody has left
/// open must not keep its session alive.
pub const BACKGROUND: &str = "x-edgeseal-background";
/// Octets of the largest body that a resource of the API takes.
pub const LARGEST_BODY: usize = 96 * 1024;
/// Milliseconds: how often it is noted that a session is in use; and at least four times in the idle time.
const SEEN_EVERY: u64 = 15_000;

/// What a person has to have done besides having the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Nothing.
    Usual,
    /// Shown a passkey in the last minutes, if they come with a session.
    Dangerous,
}

/// A row: method, path, the least role, and whether it is dangerous.
pub type Rule = (&'static str, &'static str, Role, Care);

use Care::{Dangerous, Usual};
use Role::{Administrator, Auditor, Operator};

/// The table. A role may do what those below it may.
pub const RULES: &[Rule] = &[
    ("GET", "/openapi.json", Auditor, Usual),
    ("GET", "/admin/v1/keys", Auditor, Usual),
    ("GET", "/admin/v1/keys/{kid}", Auditor, Usual),
    ("POST", "/admin/v1/keys", Operator, Usual),
    ("POST", "/admin/v1/keys:import", Administrator, Dangerous),
    ("POST", "/admin/v1/keys/{kid}:activate", Operator, Usual),
    ("POST", "/admin/v1/keys/{kid}:retire", Operator, Usual),
    ("POST", "/admin/v1/keys/{kid}:suspend", Operator, Usual),
    ("POST", "/admin/v1/keys/{kid}:resume", Operator, Usual),
    ("POST", "/admin/v1/keys/{kid}:compromise", Operator, Dangerous),
    ("POST", "/admin/v1/keys/{kid}:schedule-destroy", Administrator, Dangerous),
    ("POST", "/admin/v1/keys/{kid}:cancel-destroy", Administrator, Usual),
    ("GET", "/admin/v1/approvals", Auditor, Usual),
    ("POST", "/admin/v1/approvals/{proposal}:approve", Administrator, Dangerous),
    ("POST", "/admin/v1/approvals/{proposal}:withdraw", Administrator, Usual),
    ("GET", "/admin/v1/issuers", Auditor, Usual),
    ("GET", "/admin/v1/issuers/{issuer}", Auditor, Usual),
    ("GET", "/admin/v1/profiles", Auditor, Usual),
    ("GET", "/admin/v1/profiles/{profile}", Auditor, Usual),
    ("POST", "/admin/v1/profiles", Administrator, Usual),
    ("PUT", "/admin/v1/profiles/{profile}", Administrator, Usual),
    ("POST", "/admin/v1/profiles/{profile}:retire", Administrator, Dangerous),
    ("POST", "/admin/v1/profiles/{profile}:reinstate", Administrator, Usual),
    ("DELETE", "/admin/v1/profiles/{profile}", Administrator, Dangerous),
    ("GET", "/admin/v1/revocations", Auditor, Usual),
    ("POST", "/admin/v1/revocations", Operator, Usual),
    ("GET", "/admin/v1/edges", Auditor, Usual),
    ("GET", "/admin/v1/agents", Auditor, Usual),
    ("GET", "/admin/v1/agents/{agent}", Auditor, Usual),
    ("POST", "/admin/v1/agents", Administrator, Usual),
    ("PUT", "/admin/v1/agents/{agent}", Administrator, Usual),
    ("DELETE", "/admin/v1/agents/{agent}", Administrator, Dangerous),
    ("POST", "/admin/v1/agents/{agent}:enrol", Operator, Usual),
    ("POST", "/admin/v1/agents/{agent}:revoke", Operator, Usual),
    ("GET", "/admin/v1/audit", Auditor, Usual),
    ("POST", "/admin/v1/audit:find", Auditor, Usual),
    ("GET", "/admin/v1/audit/status", Auditor, Usual),
    ("GET", "/admin/v1/audit/export", Auditor, Usual),
    ("GET", "/admin/v1/audit/ledger", Auditor, Usual),
    ("GET", "/admin/v1/activity", Auditor, Usual),
    ("GET", "/admin/v1/activity/events", Auditor, Usual),
    ("GET", "/admin/v1/users", Auditor, Usual),
    ("GET", "/admin/v1/users/{user}", Auditor, Usual),
    ("POST", "/admin/v1/users", Administrator, Dangerous),
    ("POST", "/admin/v1/users/{user}:set-role", Administrator, Dangerous),
    ("POST", "/admin/v1/users/{user}:disable", Administrator, Dangerous),
    ("POST", "/admin/v1/users/{user}:enable", Administrator, Dangerous),
    ("POST", "/admin/v1/users/{user}:invite", Administrator, Dangerous),
    ("POST", "/admin/v1/users/{user}:end-sessions", Administrator, Usual),
];

/// Who is at the other end, as far as they have shown it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who, if anybody is known.
    pub person: Option<Person>,
    /// The session that says so.
    pub session: Option<SessionRow>,
    /// What a page sends back to show that it is ours.
    pub csrf: String,
    /// Where they come from.
    pub address: String,
    /// What the browser calls itself.
    pub user_agent: String,
}

impl Visit {
    /// Whose tries theirs are counted with.
    pub fn network(&self) -> String {
        self.address.parse().map_or_else(|_| self.address.clone(), network)
    }
}

/// The layer around everything on this listener: finds out who is there, and refuses what another site's page has sent.
pub async fn identify(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match visit(&service, &parts).await {
        Ok(visit) => {
            // Whoever was there when the request began may be there no more.
            parts.extensions.remove::<Person>();
            if let Some(person) = &visit.person
                && person.credential != Credential::Recovery
            {
                parts.extensions.insert(person.clone());
            }
            parts.extensions.insert(visit);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The layer between the table and the table: takes the body of a request, of at most so many octets, and finds out once more who
/// is there. A body may take its time, and meanwhile a session ends and a role changes.
pub async fn identify_again(State((service, most)): State<(Shared, usize)>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match input::read(body, most).await {
        Ok(body) => identify(State(service), Request::from_parts(parts, Body::from(body)), next).await,
        Err(problem) => problem.into_response(),
    }
}

/// The layer around each route of the API: the table.
pub async fn guard(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let path = matched.map(|matched| spelled_for_people(matched.as_str())).unwrap_or_default();
    let visit = request.extensions().get::<Visit>();
    match allow(request.method(), &path, visit) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Puts on every answer what keeps a browser from doing with it what we do not mean.
pub async fn seal(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-embedder-policy"), "require-corp");
    set(
        header::HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), \
         publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-write=(self)",
    );
    // A promise for a host binds all of its ports: not for one that others use as well.
    let relying_party = service.console.as_ref().map(|console| console.config.relying_party.id());
    if relying_party.is_some_and(|host| host != "localhost" && !host.ends_with(".localhost")) {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Decides. Whoever is nobody learns only that.
fn allow(method: &Method, path: &str, visit: Option<&Visit>) -> Result<(), Problem> {
    let person = visit.and_then(|visit| visit.person.as_ref()).ok_or_else(session_required)?;
    if person.credential == Credential::Recovery {
        let detail = "the session began with a recovery code, which is good for registering a passkey alone; register one first";
        return Err(Problem::new(Code::PasskeyRequired, detail));
    }
    let verb = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let Some((.., role, care)) = RULES.iter().find(|(known, place, ..)| *known == verb && *place == path) else {
        return Err(Problem::new(Code::RoleDenied, format!("no role may {verb} {path}")));
    };
    person.needs(*role)?;
    if *care == Dangerous { person.needs_proof() } else { Ok(()) }
}

/// Nobody is known.
pub fn session_required() -> Problem {
    let detail = "nobody is known to ask: log in at the console, or show a client certificate of the administrators' authority";
    Problem::new(Code::SessionRequired, detail)
}

/// What a page of ours sends back, for a session of this secret.
pub fn csrf_of(secret: &str) -> String {
    hash("csrf", secret)
}

async fn visit(service: &Shared, request: &Parts) -> Result<Visit, Response> {
    let store_failed = |error: StoreError| AdminProblem::from(error).into_response();
    let peer = request.extensions.get::<Peer>();
    let address = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
    let headers = &request.headers;
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let user_agent: String = user_agent.chars().filter(|character| !character.is_control()).take(200).collect();
    let mut visit = Visit { person: None, session: None, csrf: NO_CSRF.to_owned(), address, user_agent };
    if let (Some(secret), Some(console)) = (cookie(headers), &service.console)
        && let Some((session, person)) = console.recognize(&secret).await.map_err(store_failed)?
    {
        let at = now();
        let idle = u64::try_from(console.config.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let due = session.seen_at.as_millis().saturating_add(SEEN_EVERY.min(idle / 4)) <= at.as_millis();
        // A stream of events comes back by itself, and its reader cannot say so by a header of its own.
        let stream = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
        if due && !stream && !headers.contains_key(BACKGROUND) {
            // Who cannot be noted is let in: the session ends the earlier for it, and an outage is when the console is opened.
            if let Err(error) = console.store.session_seen(&session.id, at).await {
                tracing::warn!(%error, "a session's use is not noted");
            }
        }
        visit.csrf = csrf_of(&secret);
        visit.person = Some(person);
        visit.session = Some(session);
    } else if let Some(peer) = peer
        && peer.fingerprint.is_some()
    {
        let Some(name) = &peer.admin else {
            let detail = "the certificate has no single SAN URI of the form urn:edgeseal:admin:NAME";
            return Err(Problem::new(Code::AdminUnknown, detail).into_response());
        };
        if let Some(end) = peer.not_after.filter(|end| *end <= now()) {
            let detail = format!("the certificate of {name} ended at {}", Moment(end));
            return Err(Problem::new(Code::AdminUnknown, detail).into_response());
        }
        visit.person = Some(of_certificate(service, name).await.map_err(IntoResponse::into_response)?);
    }
    same_site(service, request, &visit).map_err(IntoResponse::into_response)?;
    Ok(visit)
}

/// The person whom a certificate names: as the store knows them, else as the settings say, else an administrator.
async fn of_certificate(service: &Shared, name: &str) -> Result<Person, AdminProblem> {
    let Some(console) = &service.console else {
        return Ok(Person { name: name.to_owned(), role: Administrator, credential: Credential::Certificate, proved: true });
    };
    let user = console.store.user(name).await?;
    let role = match user {
        Some(user) if user.disabled_at.is_some() => {
            return Err(Problem::new(Code::AdminUnknown, format!("user {name} is disabled, and so is the certificate")).into());
        }
        Some(user) => role_of(&user.role)?,
        None => console.config.certificates.get(name).copied().unwrap_or(Administrator),
    };
    Ok(Person { name: name.to_owned(), role, credential: Credential::Certificate, proved: true })
}

/// The role that the store names.
///
/// # Errors
/// When there is no such role.
pub fn role_of(name: &str) -> Result<Role, StoreError> {
    Role::from_name(name).ok_or_else(|| StoreError::Corrupt(format!("users.role is {name:?}")))
}

/// Refuses what another site's page has a browser send. Programs that are no browsers, and come with a certificate, send
/// neither of the headers that browsers always do.
fn same_site(service: &Shared, request: &Parts, visit: &Visit) -> Result<(), Problem> {
    let (method, headers) = (&request.method, &request.headers);
    let refused = |why: &str| Err(Problem::new(Code::CrossSiteRefused, why));
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let origin = service.console.as_ref().map_or("", |console| console.config.relying_party.origin());
    let (from, site) = (text("origin"), text("sec-fetch-site"));
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if safe {
        return Ok(());
    }
    if from.is_some_and(|from| from != origin) {
        return refused(&format!("the request comes from a page of another origin than {origin}"));
    }
    if site.is_some_and(|site| site != "same-origin") {
        return refused("the request comes from a page of another site");
    }
    let browser = from.is_some() || site.is_some();
    if visit.session.is_some() && !browser {
        return refused("requests with a session need an Origin or Sec-Fetch-Site header, which browsers send by themselves");
    }
    // A program with a certificate needs none of it; and whoever is nobody hears that from the table.
    let by_program = visit.session.is_none() && !browser;
    if by_program && (visit.person.is_some() || !request.uri.path().starts_with("/console/v1/")) {
        return Ok(());
    }
    match text(CSRF) {
        // Compared by their hashes, so that the time it takes says nothing.
        Some(sent) if visit.session.is_none() || hash("compare", sent) == hash("compare", &visit.csrf) => Ok(()),
        Some(_) => refused("X-Edgeseal-CSRF is not this session's; GET /console/v1/session says the right one"),
        None => refused("X-Edgeseal-CSRF is missing; GET /console/v1/session says its value"),
    }
}

fn cookie(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| Zeroizing::new(value.to_owned()))
    });
    match (ours.next(), ours.next()) {
        (Some(secret), None) => Some(secret),
        // Two of one name: somebody else has set one of them.
        _ => None,
    }
}

/// When a wait ends, for whoever asks too often.
pub fn too_often(wait: std::time::Duration) -> Problem {
    Problem::new(Code::TriesExceeded, "too many tries; wait as long as Retry-After says").retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi::{Listener, text};

    /// Method, path and role of every operation of the document.
    fn documented() -> Vec<(String, String, String)> {
        let document: serde_json::Value = serde_json::from_str(text(Listener::Admin)).unwrap();
        let items = document["paths"].as_object().unwrap();
        items
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().iter().map(|(method, operation)| {
                    let role = operation["security"][0]["administrator_certificate"][0].as_str().unwrap().to_owned();
                    (method.to_uppercase(), path.clone(), role)
                })
            })
            .collect()
    }

    #[test]
    fn the_table_is_the_document() {
        let documented = documented();
        for (method, path, role) in &documented {
            let row = RULES.iter().find(|(rule_method, rule_path, ..)| rule_method == method && rule_path == path);
            let (.., found, _) = row.unwrap_or_else(|| panic!("access::RULES has no row for {method} {path}, so nobody may"));
            assert_eq!(found.as_str(), role, "{method} {path}");
        }
        for (index, (method, path, role, care)) in RULES.iter().enumerate() {
            assert!(documented.iter().any(|(known, place, _)| known == method && place == path), "{method} {path} is no route");
            assert!(!RULES[..index].iter().any(|(known, place, ..)| known == method && place == path), "{method} {path} twice");
            if *role == Auditor {
                // A question that holds a token, which belongs into no URL.
                let asks = *method == "GET" || *path == "/admin/v1/audit:find";
                assert!(asks && *care == Usual, "{method} {path}: auditors only read");
            } else {
                assert!(*method != "GET", "{method} {path}: everybody reads");
            }
        }
    }

    #[test]
    fn each_role_and_credential() {
        let visit = |role, credential, proved| Visit {
            person: Some(Person { name: "alice".to_owned(), role, credential, proved }),
            session: None,
            csrf: NO_CSRF.to_owned(),
            address: String::new(),
            user_agent: String::new(),
        };
        for (method, path, role, care) in RULES {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let code = |visit: Option<&Visit>| allow(&method, path, visit).err().map(|problem| problem.code());
            assert_eq!(code(None), Some(Code::SessionRequired), "{path}");
            for who in Role::ALL {
                let allowed = who >= *role;
                let proved = code(Some(&visit(who, Credential::Session, true)));
                assert_eq!(proved, (!allowed).then_some(Code::RoleDenied), "{method} {path} {who:?}");
                let stale = code(Some(&visit(who, Credential::Session, false)));
                let expected = match (allowed, care) {
                    (false, _) => Some(Code::RoleDenied),
                    (true, Dangerous) => Some(Code::ReauthenticationRequired),
                    (true, Usual) => None,
                };
                assert_eq!(stale, expected, "{method} {path} {who:?}");
                assert_eq!(code(Some(&visit(who, Credential::Certificate, true))), proved);
                assert_eq!(code(Some(&visit(who, Credential::Recovery, false))), Some(Code::PasskeyRequired));
            }
        }
        let administrator = visit(Administrator, Credential::Session, true);
        assert!(allow(&Method::GET, "/admin/v1/unheard-of", Some(&administrator)).is_err(), "no row, no access");
        assert!(allow(&Method::DELETE, "/admin/v1/keys", Some(&administrator)).is_err());
    }

    #[test]
    fn one_cookie_of_ours() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::COOKIE, HeaderValue::from_str(value).unwrap());
            }
            cookie(&headers).map(|secret| secret.to_string())
        };
        assert_eq!(with(&["a=b; __Host-edgeseal=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(with(&["a=b", "__Host-edgeseal=x"]).as_deref(), Some("x"), "HTTP/2 may send them apart");
        for none in [&["a=b"][..], &["edgeseal=x"], &["__Host-edgeseal=x; __Host-edgeseal=y"], &[]] {
            assert_eq!(with(none), None, "{none:?}");
        }
    }
}
