//! What the console's pages ask besides the API: who somebody is, and how they become that. The pages themselves are in
//! [`super::pages`].

mod passkeys;
mod sessions;

pub(crate) use self::passkeys::check_names;

use axum::{
    Json, Router,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use edgeseal_core::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Shared,
    access::{COOKIE, Care, RULES, Visit, csrf_of, identify_again, session_required, too_often},
    openapi::Routes,
    person::{Credential, Person},
    problem::{AdminProblem, Code, Problem},
    public::method_not_allowed,
};
use crate::{
    audit::Event,
    console::{Console, PASSKEY, Try, hash, new_secret},
    keys::{Moment, now, registry::RegistryError},
    store::{SessionRow, UserRow},
};

/// Octets of a request: an answer of WebAuthn, and room around it.
const MAX_BODY: usize = 16 * 1024;

/// What stands under `/console/v1`.
pub fn router(service: Shared) -> Router {
    let (router, _) = routes().split_for_parts();
    let router = router.route_layer(from_fn_with_state((service.clone(), MAX_BODY), identify_again));
    router.method_not_allowed_fallback(method_not_allowed).with_state(service)
}

/// What is served, and its document.
pub fn routes() -> Routes {
    Routes::default().merge(sessions::routes()).merge(passkeys::routes())
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(session_required)
    }
}

/// A session that somebody has, and whose it is.
fn own_session(visit: &Visit) -> Result<(&SessionRow, &Person), Problem> {
    visit.session.as_ref().zip(visit.person.as_ref()).ok_or_else(session_required)
}

/// The same, where a passkey began it, and was shown a moment ago.
fn own_proved_session(visit: &Visit) -> Result<(&SessionRow, &Person), Problem> {
    let (session, person) = own_session(visit)?;
    if person.credential == Credential::Recovery {
        return Err(Problem::new(Code::PasskeyRequired, "register a passkey first"));
    }
    person.needs_proof()?;
    Ok((session, person))
}

fn console(service: &Shared) -> Result<&Console, Problem> {
    service.console.as_deref().ok_or_else(|| Problem::new(Code::NotFound, "this signer has no console"))
}

/// Refuses whoever has tried too often.
fn may_try(console: &Console, what: Try, who: &str) -> Result<(), Problem> {
    console.tries.may(what, who, std::time::Instant::now()).map_err(too_often)
}

/// Counts a try before it is known what comes of it.
fn take_try(console: &Console, what: Try, who: &str) -> Result<(), Problem> {
    console.tries.take(what, who, std::time::Instant::now()).map_err(too_often)
}

fn give_try_back(console: &Console, what: Try, who: &str) {
    console.tries.give_back(what, who, std::time::Instant::now());
}

fn note_refusal(visit: &Visit) {
    tracing::warn!(address = visit.address, "somebody was refused at the console");
}

/// Counts what was refused, where nothing was counted before.
fn count_refusal(console: &Console, visit: &Visit) {
    note_refusal(visit);
    // An empty bucket gets no emptier.
    let _already_waits = take_try(console, Try::Refused, &visit.network());
}

/// Writes down what is about to happen, or it does not.
async fn record(service: &Shared, event: Event) -> Result<(), AdminProblem> {
    service.audit.append(event).await.map_err(RegistryError::Audit)?;
    Ok(())
}

/// What happens at the console, and from where.
fn event(person: &str, action: &'static str, visit: &Visit) -> Event {
    Event::new(format!("admin:{person}"), action, person).with("address", visit.address.as_str())
}

/// A session that begins now; the secret is the browser's.
fn new_session(person: &str, via: &str, visit: &Visit) -> Result<(SessionRow, Zeroizing<String>), Problem> {
    let secret = new_secret().map_err(no_randomness)?;
    let reference = new_secret().map_err(no_randomness)?;
    let at = now();
    let session = SessionRow {
        id: hash("session", &secret),
        reference: hash("reference", &reference),
        person: person.to_owned(),
        via: via.to_owned(),
        address: visit.address.clone(),
        user_agent: visit.user_agent.clone(),
        created_at: at,
        seen_at: at,
        proved_at: (via == PASSKEY).then_some(at),
    };
    Ok((session, secret))
}

fn no_randomness(error: getrandom::Error) -> Problem {
    tracing::error!(%error, "no randomness");
    Problem::new(Code::StoreUnavailable, "this machine gives no randomness now; try again")
}

/// What a page learns that has got a session, and the cookie that it never sees.
async fn begun(
    service: &Shared,
    status: StatusCode,
    (session, secret): (SessionRow, Zeroizing<String>),
    recovery_codes: Option<Vec<String>>,
) -> Result<Response, AdminProblem> {
    let console = console(service)?;
    let Some((session, person)) = console.recognize(&secret).await?.or_else(|| {
        tracing::warn!(session = session.reference, "a session ended as it began");
        None
    }) else {
        return Err(session_required().into());
    };
    let visit = Visit {
        person: Some(person),
        csrf: csrf_of(&secret),
        address: session.address.clone(),
        user_agent: session.user_agent.clone(),
        session: Some(session),
    };
    let mut view = view(console, &visit).await?;
    if let (Some(codes), Some(members)) = (recovery_codes, view.as_object_mut()) {
        members.insert("recovery_codes".to_owned(), json!(codes));
    }
    let cookie = Zeroizing::new(format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", secret.as_str()));
    with_cookie((status, Json(view)).into_response(), &cookie)
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, AdminProblem> {
    let mut value = HeaderValue::from_str(cookie)
        .map_err(|error| Problem::new(Code::StoreUnavailable, format!("the session's cookie cannot be sent: {error}")))?;
    value.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// `GET /console/v1/session`, and what begins a session answers with.
async fn view(console: &Console, visit: &Visit) -> Result<Value, AdminProblem> {
    let users = console.store.users().await?;
    let mut view = json!({
        "authenticated": visit.person.is_some(),
        "setup_required": !users.iter().any(|user| user.last_login_at.is_some()),
        "csrf": visit.csrf,
        "rp_id": console.config.relying_party.id(),
        "origin": console.config.relying_party.origin(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    let (Some(person), Some(members)) = (&visit.person, view.as_object_mut()) else { return Ok(view) };
    let user = users.into_iter().find(|user| user.name == person.name);
    let recovering = person.credential == Credential::Recovery;
    let may = |care: Option<Care>| -> Vec<String> {
        let rules = RULES
            .iter()
            .filter(|(.., role, rule_care)| !recovering && person.role >= *role && care.is_none_or(|care| care == *rule_care));
        rules.map(|(method, path, ..)| format!("{method} {path}")).collect()
    };
    let left = console.store.recovery_codes_left().await?.into_iter().find(|(name, _)| *name == person.name);
    members.extend([
        (
            "user".to_owned(),
            json!({
                "name": person.name,
                "display_name": display_name(user.as_ref(), person),
                "role": person.role.as_str(),
            }),
        ),
        ("via".to_owned(), person.credential.as_str().into()),
        ("passkey_required".to_owned(), recovering.into()),
        ("recovery_codes_left".to_owned(), left.map_or(0, |(_, left)| left).into()),
        ("allowed".to_owned(), may(None).into()),
        ("dangerous".to_owned(), may(Some(Care::Dangerous)).into()),
    ]);
    if let Some(session) = &visit.session {
        let proof = console.proof_end(session).filter(|end| *end > now());
        members.extend([
            ("session".to_owned(), session.reference.as_str().into()),
            ("created_at".to_owned(), moment(session.created_at)),
            ("idle_expires_at".to_owned(), moment(console.idle_end(session).min(console.last_end(session)))),
            ("expires_at".to_owned(), moment(console.last_end(session))),
            ("reauthenticated_until".to_owned(), proof.map_or(Value::Null, moment)),
        ]);
    }
    Ok(view)
}

fn display_name<'a>(user: Option<&'a UserRow>, person: &'a Person) -> &'a str {
    user.map_or(&person.name, |user| &user.display_name)
}

fn moment(at: Timestamp) -> Value {
    Moment(at).to_string().into()
}
