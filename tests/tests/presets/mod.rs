//! The gateway's presets against the vendors' real documents: their JWK Sets, a test key added, and tokens of the vendors' shape
//! that it signed. Discovery documents name the issuer that the preset expects.

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{
    JwkSet, Timestamp, Verifier,
    discovery::Discovery,
    gateway::{GatewaySettings, RequestHead, Rules},
};
use edgeseal_tests::{keys, shared};
use serde_json::{Value, json};

const NOW: u64 = 1_750_000_000;
const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const OTHER_TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// A vendor: the issuer's settings, the documents, a token of its shape, and what makes it bad.
struct Vendor {
    settings: Value,
    documents: &'static str,
    discovery: bool,
    claims: Value,
    role: &'static str,
    bad: Vec<(&'static str, Value, &'static str)>,
}

pub(crate) fn presets_take_the_vendors_tokens_and_no_others(root: &Path) {
    let vendors = vendors();
    let named: Vec<&str> = vendors.iter().map(|vendor| vendor.settings["preset"].as_str().unwrap()).collect();
    assert_eq!(named.len(), 10, "every preset: {named:?}");
    for vendor in vendors {
        let name = vendor.settings["preset"].as_str().unwrap();
        let jwks = jwks_with_test_key(root, vendor.documents);
        let judge = |claims: &Value| judge(&vendor, &jwks, claims);
        assert_eq!(judge(&vendor.claims), Ok(()), "{name}");
        for (claim, value, code) in &vendor.bad {
            let mut claims = vendor.claims.clone();
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(*claim);
            } else {
                claims[*claim] = value.clone();
            }
            assert_eq!(judge(&claims), Err((*code).to_owned()), "{name} with {claim} = {value}");
        }
        for (claim, value, code) in [("iss", json!("https://evil.example"), ""), ("exp", json!(NOW - 3600), "token_expired")] {
            let mut claims = vendor.claims.clone();
            claims[claim] = value;
            let refused = judge(&claims).unwrap_err();
            assert!(code.is_empty() && refused == "issuer_mismatch" || refused == code, "{name}: {claim}: {refused}");
        }
        if vendor.discovery {
            let text = shared::text(root, &format!("discovery/{}.json", vendor.documents)).unwrap();
            let issuer = vendor.settings.get("issuer").and_then(Value::as_str).unwrap_or(match name {
                "entra" => "https://login.microsoftonline.com/{tenantid}/v2.0",
                _ => vendor.claims["iss"].as_str().unwrap(),
            });
            Discovery::from_json(&text, issuer).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

fn judge(vendor: &Vendor, jwks: &Value, claims: &Value) -> Result<(), String> {
    let mut issuer = vendor.settings.clone();
    issuer["jwks"] = jwks.clone();
    let routes = json!([{ "match": "/roles", "require": { "roles": vendor.role } }]);
    let text = json!({ "echo": true, "issuers": [issuer], "routes": if vendor.role.is_empty() { json!([]) } else { routes } });
    let settings = GatewaySettings::from_json(&text.to_string()).map_err(|error| error.to_string())?;
    let rules = Rules::new(&settings).map_err(|error| error.to_string())?;
    // As the Worker does: the issuer that `iss` names, or none.
    let issuers = settings.verifier_issuers();
    let named = match issuers.as_slice() {
        [only] => Some(only),
        several => several.iter().find(|issuer| issuer.issuer.as_deref() == claims["iss"].as_str()),
    };
    let Some(issuer) = named else { return Err("issuer_mismatch".to_owned()) };
    let keys = JwkSet::from_json(&jwks.to_string()).map_err(|error| error.to_string())?;
    let verifier = Verifier::new(issuer.policy().map_err(|error| error.to_string())?);
    let token =
        verifier.verify(&signed(claims), &keys, Timestamp::from_secs(NOW)).map_err(|error| error.code().as_str().to_owned())?;
    let head = RequestHead { method: "GET", target: "/roles", headers: &|_| None };
    let matched = rules.locate(&head).map_err(|refusal| refusal.code().to_owned())?;
    rules.authorize(&matched, &token).map_err(|refusal| refusal.code().to_owned())
}

fn signed(claims: &Value) -> String {
    let key = &keys::KEYS.rsa2048;
    let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let input = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT", "kid": key.kid })), part(claims));
    format!("{input}.{}", Base64UrlUnpadded::encode_string(&key.sign("RS256", input.as_bytes())))
}

fn jwks_with_test_key(root: &Path, name: &str) -> Value {
    let mut set = match name {
        "" => json!({ "keys": [] }),
        name => shared::json(root, &format!("jwks/{name}.json")).unwrap(),
    };
    let test: Value = serde_json::from_str(&keys::KEYS.rsa2048.jwk().to_json()).unwrap();
    set["keys"].as_array_mut().unwrap().push(test);
    set
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn vendors() -> Vec<Vendor> {
    let times = json!({ "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600 });
    let claims = |mut claims: Value| {
        for (name, value) in times.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let entra = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let cognito = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf";
    vec![
        Vendor {
            settings: json!({ "preset": "entra", "audience": "api", "tenants": [TENANT, OTHER_TENANT] }),
            documents: "entra-common",
            discovery: true,
            claims: claims(
                json!({ "iss": entra, "tid": TENANT, "aud": "api", "sub": "s", "oid": "o", "scp": "read write", "roles": ["admin"], "ver": "2.0" }),
            ),
            role: "admin",
            bad: vec![
                ("tid", json!(OTHER_TENANT), "access_denied"),
                ("tid", Value::Null, "access_denied"),
                ("iss", json!("https://login.microsoftonline.com/99999999-2222-3333-4444-555555555555/v2.0"), "issuer_mismatch"),
                ("iss", json!("https://login.microsoftonline.com/{tenantid}/v2.0"), "issuer_mismatch"),
                ("iss", json!("https://login.microsoftonline.com/common/v2.0"), "issuer_mismatch"),
                ("roles", json!(["reader"]), "access_denied"),
                ("aud", json!("other"), "audience_mismatch"),
            ],
        },
        Vendor {
            settings: json!({ "preset": "auth0", "issuer": "https://common.auth0.com/", "audience": "https://api.example.com" }),
            documents: "auth0-dockyard",
            discovery: true,
            claims: claims(
                json!({ "iss": "https://common.auth0.com/", "sub": "auth0|1", "aud": ["https://api.example.com", "https://common.auth0.com/userinfo"], "azp": "app", "scope": "openid", "permissions": ["read:orders"] }),
            ),
            role: "read:orders",
            bad: vec![("iss", json!("https://common.auth0.com"), "issuer_mismatch"), ("permissions", json!([]), "access_denied")],
        },
        Vendor {
            settings: json!({ "preset": "okta", "issuer": "https://org.okta.com/oauth2/default", "audience": "api://default" }),
            documents: "",
            discovery: false,
            claims: claims(
                json!({ "iss": "https://org.okta.com/oauth2/default", "ver": 1, "aud": "api://default", "cid": "0oa", "uid": "00u", "scp": ["orders"], "sub": "a@example.com", "groups": ["Everyone", "ops"] }),
            ),
            role: "ops",
            bad: vec![("groups", json!(["Everyone"]), "access_denied")],
        },
        Vendor {
            settings: json!({ "preset": "cognito", "issuer": cognito, "audience": "client1" }),
            documents: "",
            discovery: false,
            claims: claims(
                json!({ "iss": cognito, "sub": "u", "client_id": "client1", "token_use": "access", "scope": "openid", "cognito:groups": ["admins"], "username": "u", "version": 2 }),
            ),
            role: "admins",
            bad: vec![
                ("client_id", json!("client2"), "audience_mismatch"),
                ("client_id", Value::Null, "claim_missing"),
                ("token_use", json!("id"), "access_denied"),
                ("token_use", Value::Null, "access_denied"),
            ],
        },
        Vendor {
            settings: json!({ "preset": "google", "audience": "app.apps.googleusercontent.com" }),
            documents: "google",
            discovery: true,
            claims: claims(
                json!({ "iss": "https://accounts.google.com", "azp": "x", "aud": "app.apps.googleusercontent.com", "sub": "1", "email": "a@example.com", "email_verified": true }),
            ),
            role: "",
            bad: vec![
                ("aud", json!("x.apps.googleusercontent.com"), "audience_mismatch"),
                ("iss", json!("accounts.google.com"), "issuer_mismatch"),
            ],
        },
        Vendor {
            settings: json!({ "preset": "github-actions", "audience": "https://api.example.com", "require": { "claims": { "repository_owner": "octo", "environment": "production" } } }),
            documents: "github-actions",
            discovery: false,
            claims: claims(
                json!({ "iss": "https://token.actions.githubusercontent.com", "sub": "repo:octo/app:environment:production", "aud": "https://api.example.com", "repository": "octo/app", "repository_owner": "octo", "environment": "production" }),
            ),
            role: "",
            bad: vec![("repository_owner", json!("evil"), "access_denied"), ("environment", Value::Null, "access_denied")],
        },
        Vendor {
            settings: json!({ "preset": "kubernetes", "issuer": "https://kubernetes.default.svc.cluster.local", "audience": "api" }),
            documents: "kubernetes",
            discovery: false,
            claims: claims(
                json!({ "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["api"], "sub": "system:serviceaccount:ns:app", "kubernetes.io": { "namespace": "ns", "serviceaccount": { "name": "app" } } }),
            ),
            role: "",
            bad: vec![
                ("aud", json!(["https://kubernetes.default.svc"]), "audience_mismatch"),
                ("kubernetes.io", Value::Null, "claim_missing"),
            ],
        },
        Vendor {
            settings: json!({ "preset": "cloudflare-access", "issuer": "https://team.cloudflareaccess.com", "audience": "aud-tag" }),
            documents: "",
            discovery: false,
            claims: claims(
                json!({ "iss": "https://team.cloudflareaccess.com", "aud": ["aud-tag"], "type": "app", "sub": "u", "email": "a@example.com", "identity_nonce": "n", "country": "DE" }),
            ),
            role: "",
            bad: vec![("aud", json!(["other-tag"]), "audience_mismatch"), ("type", json!("org"), "access_denied")],
        },
        Vendor {
            settings: json!({ "preset": "keycloak", "issuer": "http://localhost:8080/realms/master", "audience": "account" }),
            documents: "keycloak-dockyard",
            discovery: true,
            claims: claims(
                json!({ "iss": "http://localhost:8080/realms/master", "aud": "account", "sub": "u", "typ": "Bearer", "azp": "app", "realm_access": { "roles": ["editor"] }, "scope": "openid" }),
            ),
            role: "editor",
            bad: vec![
                ("typ", json!("ID"), "access_denied"),
                ("typ", json!("Refresh"), "access_denied"),
                ("realm_access", json!({ "roles": ["viewer"] }), "access_denied"),
            ],
        },
        Vendor {
            settings: json!({ "preset": "intandem", "issuer": "https://app.intandem.example", "audience": "directory", "jwks_uri": null }),
            documents: "intandem",
            discovery: false,
            claims: claims(json!({ "iss": "https://app.intandem.example", "aud": "directory", "sub": "business-1" })),
            role: "",
            bad: vec![("aud", json!("other"), "audience_mismatch")],
        },
    ]
}
