//! A native service behind `RequireToken`: a real signer, an axum router with the layer, its keys over HTTPS.

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    routing::get,
};
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
