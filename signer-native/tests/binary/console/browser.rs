//! A browser without a screen: cookies, the headers that pages cannot choose, and an authenticator in software.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use rustls::ClientConfig;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Answer, Signer, client, request};

/// What the authenticator does wrong, where it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The user was there, but nobody checked who it was.
    Unverified,
    /// The page was another one.
    Origin,
    /// A signature over something else.
    Signature,
    /// Another host's.
    Host,
}

pub(crate) struct Browser {
    pub(crate) origin: String,
    tls: Arc<ClientConfig>,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: String,
    passkeys: Vec<Passkey>,
}

struct Passkey {
    id: Vec<u8>,
    handle: String,
    pair: EcdsaKeyPair,
    count: u32,
}

impl Browser {
    pub(crate) fn new(signer: &Signer) -> Self {
        let tls = client(&signer.path("ca"), None).unwrap();
        Self { origin: signer.text("console").to_owned(), tls, cookie: None, csrf: "none".to_owned(), passkeys: Vec::new() }
    }

    /// The same passkeys, in a window of its own.
    pub(crate) fn without_cookie(mut self) -> Self {
        self.cookie = None;
        "none".clone_into(&mut self.csrf);
        self
    }

    /// A request as a page of ours makes it.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let (origin, csrf) = (self.origin.clone(), self.csrf.clone());
        let headers = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin"), ("x-edgeseal-csrf", csrf.as_str())];
        self.ask_with(method, path, body, &headers)
    }

    /// A request with these headers and the cookie; what comes back is kept.
    pub(crate) fn ask_with(&mut self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
        let mut headers = headers.to_vec();
        let cookie = self.cookie.as_ref().map(|cookie| format!("other=1; __Host-edgeseal={cookie}"));
        headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
        let body = body.map(Value::to_string);
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.unwrap_or_default();
        let answer = request(&self.origin, Arc::clone(&self.tls), method, path, &headers, body.as_bytes()).unwrap();
        if let Some(set) = answer.header("set-cookie") {
            let (value, rest) = set.strip_prefix("__Host-edgeseal=").unwrap().split_once(';').unwrap();
            for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
                assert!(rest.split(';').any(|one| one.trim() == attribute), "{set}");
            }
            assert!(!rest.contains("Domain"), "{set}");
            self.cookie = (!value.is_empty()).then(|| value.to_owned());
        }
        if let Ok(Value::Object(members)) = serde_json::from_str(&answer.body)
            && let Some(Value::String(csrf)) = members.get("csrf")
        {
            self.csrf.clone_from(csrf);
        }
        answer
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body))
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    pub(crate) fn who(&mut self) -> Value {
        self.get("/console/v1/session").json()
    }

    /// Registers a passkey with a code, or with a session.
    pub(crate) fn register(&mut self, request: &Value) -> Answer {
        let begun = self.post("/console/v1/register/start", request);
        if begun.status != 200 {
            return begun;
        }
        let begun = begun.json();
        let credential = self.create(&begun["publicKey"], Flaw::None);
        self.post(
            "/console/v1/register/finish",
            &json!({ "ceremony": begun["ceremony"], "credential": credential, "label": "soft" }),
        )
    }

    pub(crate) fn login(&mut self) -> Answer {
        self.login_with(Flaw::None)
    }

    pub(crate) fn login_with(&mut self, flaw: Flaw) -> Answer {
        self.show_passkey("login", flaw)
    }

    pub(crate) fn reauthenticate(&mut self) -> Answer {
        self.show_passkey("reauth", Flaw::None)
    }

    fn show_passkey(&mut self, kind: &str, flaw: Flaw) -> Answer {
        let begun = self.post(&format!("/console/v1/{kind}/start"), &json!({}));
        if begun.status != 200 {
            return begun;
        }
        let begun = begun.json();
        let credential = self.get_assertion(&begun["publicKey"], flaw);
        self.post(&format!("/console/v1/{kind}/finish"), &json!({ "ceremony": begun["ceremony"], "credential": credential }))
    }

    /// `navigator.credentials.create`.
    pub(crate) fn create(&mut self, options: &Value, flaw: Flaw) -> Value {
        assert_eq!(options["rp"]["id"], "localhost", "{options}");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required", "{options}");
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required", "{options}");
        let handle = options["user"]["id"].as_str().unwrap().to_owned();
        let mut id = vec![0; 32];
        getrandom::fill(&mut id).unwrap();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let mut data = authenticator_data(0x41, 0, flaw);
        data.extend([0; 16]);
        data.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
        data.extend(&id);
        // COSE_Key: kty EC2, alg ES256, crv P-256 (RFC 9053).
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 32]);
        data.extend(&point[33..65]);
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(&data);
        let client_data = self.client_data("webauthn.create", options, flaw);
        let credential = json!({
            "id": encode(&id),
            "rawId": encode(&id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client_data.as_bytes()),
                "attestationObject": encode(&object),
                "transports": ["internal"],
            },
        });
        self.passkeys.push(Passkey { id, handle, pair, count: 0 });
        credential
    }

    /// `navigator.credentials.get`: the newest passkey that is asked for.
    pub(crate) fn get_assertion(&mut self, options: &Value, flaw: Flaw) -> Value {
        assert_eq!(options["userVerification"], "required", "{options}");
        let client_data = self.client_data("webauthn.get", options, flaw);
        let allowed: Vec<&str> =
            options["allowCredentials"].as_array().into_iter().flatten().map(|one| one["id"].as_str().unwrap()).collect();
        let fits = |passkey: &&mut Passkey| allowed.is_empty() || allowed.contains(&encode(&passkey.id).as_str());
        let passkey = self.passkeys.iter_mut().rev().find(fits).expect("no passkey fits");
        passkey.count += 1;
        let data = authenticator_data(0x01, passkey.count, flaw);
        let mut signed = data.clone();
        signed.extend(Sha256::digest(client_data.as_bytes()));
        if flaw == Flaw::Signature {
            signed.push(0);
        }
        let signature = passkey.pair.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": encode(&passkey.id),
            "rawId": encode(&passkey.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client_data.as_bytes()),
                "authenticatorData": encode(&data),
                "signature": encode(signature.as_ref()),
                "userHandle": passkey.handle,
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value, flaw: Flaw) -> String {
        let origin = if flaw == Flaw::Origin { "https://localhost:1" } else { self.origin.as_str() };
        let challenge = options["challenge"].as_str().unwrap();
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
    }
}

fn authenticator_data(flags: u8, count: u32, flaw: Flaw) -> Vec<u8> {
    let host = if flaw == Flaw::Host { "example.com" } else { "localhost" };
    let verified = if flaw == Flaw::Unverified { 0 } else { 0x04 };
    let mut data = Sha256::digest(host).to_vec();
    data.push(flags | verified);
    data.extend(count.to_be_bytes());
    data
}

fn encode(octets: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(octets)
}
