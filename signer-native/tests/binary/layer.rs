//! A native service behind `RequireToken`: a real signer, an axum router with the layer, its keys over HTTPS.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, Request, StatusCode, Uri},
    routing::get,
};
use base64ct::{Base64UrlUnpadded as Base64Url, Encoding as _};
use edgeseal_core::{Algorithm, IssuerSettings, policy::OneOrMany};
use edgeseal_signer::verifier::{RemoteVerifier, RequireToken, Token};
use tempfile::tempdir;
use tower_service::Service as _;

use crate::support::{AUDIENCE, Signer};

fn service(signer: &Signer, audience: &str) -> Router {
    let settings = IssuerSettings {
        issuer: Some(signer.text("issuer").to_owned()),
        audience: Some(OneOrMany::One(audience.to_owned())),
        algorithms: vec![Algorithm::Es256],
        ..IssuerSettings::default()
    };
    let verifier = RemoteVerifier::new(vec![settings], Some(&signer.path("ca"))).unwrap();
    Router::new()
        .route("/me", get(|token: Token| async move { token.claims_json().to_owned() }))
        .layer(RequireToken::new(verifier))
}

/// Status, challenge, retry-after and body of the answer to a request with these Authorization fields.
async fn ask(service: &mut Router, authorization: &[&str]) -> (StatusCode, String, bool, String) {
    let mut request = Request::get("/me");
    for value in authorization {
        request = request.header("authorization", *value);
    }
    let response = service.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let field = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, challenge, retry) = (response.status(), field("www-authenticate"), field("retry-after").is_some());
    let body = to_bytes(response.into_body(), 65_536).await.unwrap();
    (status, challenge.unwrap_or_default(), retry, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_native_service_takes_verified_tokens_and_nothing_else() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let token = signer.issue("default");
    let bearer = format!("Bearer {token}");
    let mut service = service(&signer, AUDIENCE);

    let (status, _, _, body) = ask(&mut service, &[&bearer]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("\"sub\":\"alice\""), "{body}");

    let refused = |answer: (StatusCode, String, bool, String), code: &str| {
        let (status, challenge, _, body) = answer;
        assert!(body.contains(&format!("\"code\":\"{code}\"")) && !body.contains("alice"), "{code}: {body}");
        (status.as_u16(), challenge)
    };
    assert_eq!(refused(ask(&mut service, &[]).await, "token_missing"), (401, "Bearer realm=\"edgeseal\"".to_owned()));
    assert_eq!(refused(ask(&mut service, &["Basic dTpw"]).await, "token_missing").0, 401);
    assert_eq!(refused(ask(&mut service, &[&bearer, &bearer]).await, "authorization_malformed").0, 400);
    // Octets beyond ASCII are for core to judge, as on every host.
    assert_eq!(refused(ask(&mut service, &["Basic \u{e9}"]).await, "token_missing").0, 401);
    assert_eq!(refused(ask(&mut service, &["Bearer \u{e9}.b.c"]).await, "token_malformed").0, 401);
    let mut forged = token.clone().into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = format!("Bearer {}", String::from_utf8(forged).unwrap());
    let (status, challenge) = refused(ask(&mut service, &[&forged]).await, "signature_invalid");
    assert_eq!(status, 401);
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");

    let mut elsewhere = self::service(&signer, "https://elsewhere.example");
    assert_eq!(refused(ask(&mut elsewhere, &[&bearer]).await, "audience_mismatch").0, 401);

    // An issuer that is away is no fault of the token; whoever has its keys goes on.
    let mut late = self::service(&signer, AUDIENCE);
    drop(signer);
    let (status, challenge, retry, body) = ask(&mut late, &[&bearer]).await;
    assert_eq!((status, challenge.as_str(), retry), (StatusCode::SERVICE_UNAVAILABLE, "", true), "{body}");
    assert!(body.contains("jwks_unavailable"), "{body}");
    assert_eq!(ask(&mut service, &[&bearer]).await.0, StatusCode::OK);
}

/// An issuer on a loopback port that moves its JWK Set. Both places number their versions, as many servers do.
#[derive(Debug, Default)]
struct Moving {
    origin: String,
    has_moved: bool,
    /// The discovery document cannot be had.
    is_silent: bool,
    /// The paths that were asked for, with their `If-None-Match`.
    seen: Vec<(String, Option<String>)>,
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

async fn moving(State(issuer): State<Arc<Mutex<Moving>>>, uri: Uri, headers: HeaderMap) -> Answer {
    let mut issuer = issuer.lock().unwrap();
    let condition = headers.get("if-none-match").map(|value| value.to_str().unwrap().to_owned());
    let is_known = condition.as_deref() == Some("\"1\"");
    issuer.seen.push((uri.path().to_owned(), condition));
    let Moving { origin, has_moved, is_silent, .. } = &*issuer;
    // RFC 7515 appendix A.3.
    let key = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    let (status, body) = match (uri.path(), has_moved) {
        // It goes on answering when its keys have moved.
        ("/old", _) => (StatusCode::OK, format!(r#"{{"keys":[{{{key},"kid":"old"}}]}}"#)),
        ("/new", true) if is_known => (StatusCode::NOT_MODIFIED, String::new()),
        ("/new", true) => (StatusCode::OK, format!(r#"{{"keys":[{{{key},"kid":"new"}}]}}"#)),
        ("/new", false) => (StatusCode::NOT_FOUND, String::new()),
        _ if *is_silent => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        _ => {
            let place = if *has_moved { "new" } else { "old" };
            (StatusCode::OK, format!(r#"{{"issuer":"{origin}","jwks_uri":"{origin}/{place}"}}"#))
        }
    };
    (status, [("etag", "\"1\"")], body)
}

/// An issuer that moves its keys, a verifier that discovers where they are, and what becomes of a token under a `kid`.
async fn discovering() -> (Arc<Mutex<Moving>>, impl AsyncFn(&str) -> &'static str, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let issuer = Arc::new(Mutex::new(Moving { origin: origin.clone(), ..Moving::default() }));
    let server = Router::new().fallback(moving).with_state(Arc::clone(&issuer));
    let task = tokio::spawn(async move { axum::serve(listener, server).await });

    let settings = IssuerSettings {
        issuer: Some(origin.clone()),
        audience: Some(OneOrMany::One(AUDIENCE.to_owned())),
        algorithms: vec![Algorithm::Es256],
        ..IssuerSettings::default()
    };
    let verifier = RemoteVerifier::new(vec![settings], None).unwrap();
    // Whoever is told that the signature is wrong has the key.
    let code = async move |kid: &str| {
        let header = Base64Url::encode_string(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#).as_bytes());
        let claims = Base64Url::encode_string(format!(r#"{{"iss":"{origin}"}}"#).as_bytes());
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        verifier.verify(&format!("{header}.{claims}.{signature}")).await.unwrap_err().code()
    };
    (issuer, code, task)
}

/// The paths that were asked for, with their `If-None-Match`.
fn asked(issuer: &Mutex<Moving>) -> Vec<(String, Option<String>)> {
    issuer.lock().unwrap().seen.clone()
}

const DISCOVERY: (&str, Option<&str>) = ("/.well-known/openid-configuration", None);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entity_tag_of_one_place_is_not_shown_at_another() {
    let (issuer, code, task) = discovering().await;
    assert_eq!(code("old").await, "signature_invalid");
    // The old place answers as before: only discovery knows of the new key.
    issuer.lock().unwrap().has_moved = true;
    assert_eq!(code("new").await, "signature_invalid");
    assert_eq!(code("old").await, "key_not_found");
    let seen = asked(&issuer);
    let seen: Vec<_> = seen.iter().map(|(path, tag)| (path.as_str(), tag.as_deref())).collect();
    assert_eq!(seen[..4], [DISCOVERY, ("/old", None), DISCOVERY, ("/new", None)]);
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_discovery_document_the_keys_are_where_it_said_before() {
    let (issuer, code, task) = discovering().await;
    assert_eq!(code("old").await, "signature_invalid");
    issuer.lock().unwrap().is_silent = true;
    // The set that is there lacks it: that is no outage.
    assert_eq!(code("new").await, "key_not_found");
    let seen = asked(&issuer);
    let seen: Vec<_> = seen.iter().map(|(path, tag)| (path.as_str(), tag.as_deref())).collect();
    assert_eq!(seen, [DISCOVERY, ("/old", None), DISCOVERY, ("/old", Some("\"1\""))]);
    task.abort();
}
