//! Every route of every listener, from the documents that the binary prints of itself: whoever may not ask is refused. A route
//! cannot be missing here, since the routers are made of what the documents are made of.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::AlertDescription;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Answer, Signer, client, request, run};

/// An operation of a listener.
struct Operation {
    method: String,
    path: String,
    has_body: bool,
}

fn operations(listener: &str) -> Vec<Operation> {
    let document = run(&["openapi", listener]).json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{profile}", "default").replace("{agent}", "demo-app");
        // What else is named stands for something that is not there.
        let path = path.split('{').map(|part| part.split_once('}').map_or(part.to_owned(), |(_, rest)| format!("x{rest}")));
        let path: String = path.collect();
        // A stream would go on for minutes.
        let path = if path.ends_with("/events") { format!("{path}?seconds=1") } else { path };
        for (method, operation) in item.as_object().unwrap() {
            let has_body = operation.get("requestBody").is_some();
            found.push(Operation { method: method.to_uppercase(), path: path.clone(), has_body });
        }
    }
    found
}

/// A client certificate of one of `dev`'s authorities, with this URI in it.
fn certificate(signer: &Signer, authority: &str, uri: Option<&str>) -> (PathBuf, PathBuf) {
    let tls = signer.dir.join("tls");
    let pair = KeyPair::from_pem(&fs::read_to_string(tls.join(format!("{authority}.key"))).unwrap()).unwrap();
    let pem = fs::read_to_string(tls.join(format!("{authority}.crt"))).unwrap();
    let issuer = Issuer::new(authority_params(&pem), pair);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "someone");
    params.subject_alt_names.extend(uri.map(|uri| SanType::URI(uri.try_into().unwrap())));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (SystemTime::now() - Duration::from_mins(5)).into();
    params.not_after = (SystemTime::now() + Duration::from_hours(1)).into();
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let name = uri.unwrap_or("none").replace(':', "-");
    let files = (signer.dir.join(format!("{authority}-{name}.crt")), signer.dir.join(format!("{authority}-{name}.key")));
    fs::write(&files.0, leaf.pem()).unwrap();
    fs::write(&files.1, key.serialize_pem()).unwrap();
    files
}

/// As `dev` names its authorities: rcgen takes the name from these parameters, and verifiers compare it.
fn authority_params(pem: &str) -> CertificateParams {
    use x509_cert::der::{DecodePem as _, asn1::Utf8StringRef};
    let certificate = x509_cert::Certificate::from_pem(pem).unwrap();
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let common = names.map(|name| name.value.decode_as::<Utf8StringRef<'_>>().unwrap().as_str().to_owned()).next().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params
}

fn ask(signer: &Signer, listener: &str, who: Option<(&Path, &Path)>, operation: &Operation) -> std::io::Result<Answer> {
    let tls = client(&signer.path("ca"), who).unwrap();
    // As the console's page sends it that has no session yet; nobody else minds it.
    let mut headers = vec![("x-edgeseal-csrf", "none")];
    let mut body = "";
    if operation.has_body {
        headers.push(("content-type", "application/json"));
        body = if operation.path.ends_with("/finish") { r#"{"ceremony":"x","credential":{}}"# } else { "{}" };
    }
    request(signer.text(listener), tls, &operation.method, &operation.path, &headers, body.as_bytes())
}

/// Refused by TLS, which says that it minds the certificate, or by a problem document that says who is not known. A connection that
/// only breaks says nothing, and may have taken TLS's last word with it: such a one is tried again.
#[track_caller]
fn refused(ask: impl Fn() -> std::io::Result<Answer>, codes: &[&str], place: &str) {
    let mut broken = Vec::new();
    while broken.len() < 10 {
        match ask() {
            Ok(answer) => {
                assert!([401, 403].contains(&answer.status), "{place}: {answer:?}");
                let code = answer.json()["code"].as_str().unwrap().to_owned();
                assert!(codes.contains(&code.as_str()), "{place}: {answer:?}");
                return;
            }
            Err(error) if minds_the_certificate(&error) => return,
            Err(error) => broken.push(error),
        }
    }
    panic!("{place}: {broken:?}");
}

fn minds_the_certificate(error: &std::io::Error) -> bool {
    let Some(rustls::Error::AlertReceived(alert)) = error.get_ref().and_then(|inner| inner.downcast_ref()) else { return false };
    [AlertDescription::CertificateRequired, AlertDescription::UnknownCA].contains(alert)
}

/// What the console answers before there is a session.
const BEFORE_A_SESSION: [&str; 8] = [
    "POST /console/v1/setup",
    "POST /console/v1/register/start",
    "POST /console/v1/register/finish",
    "POST /console/v1/login/start",
    "POST /console/v1/login/finish",
    "POST /console/v1/recovery",
    "GET /console/v1/session",
    "POST /console/v1/logout",
];

#[test]
fn every_route_refuses_whoever_may_not_ask() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let stranger = certificate(&signer, "ca", Some("urn:edgeseal:agent:stranger"));
    let nameless = certificate(&signer, "ca", None);
    let posing = certificate(&signer, "ca", Some("urn:edgeseal:admin:alice"));
    let nobody = certificate(&signer, "admin-ca", None);
    let other = certificate(&signer, "admin-ca", Some("urn:edgeseal:agent:demo-app"));
    let alice = &signer.ready["administrators"][0];
    let alice: (PathBuf, PathBuf) = (alice["cert"].as_str().unwrap().into(), alice["key"].as_str().unwrap().into());
    let agent = (signer.path("agent_cert"), signer.path("agent_key"));

    let agents = operations("agents");
    assert!(agents.len() >= 7, "{}", agents.len());
    for operation in &agents {
        let place = format!("{} {}", operation.method, operation.path);
        for who in [None, Some(&stranger), Some(&nameless), Some(&posing), Some(&alice), Some(&other)] {
            let who = who.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            refused(|| ask(&signer, "agent", who, operation), &["agent_unknown"], &format!("{place} by {who:?}"));
        }
        let known = ask(&signer, "agent", Some((&agent.0, &agent.1)), operation).unwrap();
        assert!(known.status < 500 && known.status != 404 && known.status != 405, "{place}: {known:?}");
        if known.status == 403 {
            assert_ne!(known.json()["code"], "agent_unknown", "{place}");
        }
    }

    let admin = operations("admin");
    assert!(admin.len() >= 40, "{}", admin.len());
    for operation in &admin {
        let place = format!("{} {}", operation.method, operation.path);
        for who in [None, Some(&agent), Some(&posing), Some(&nobody), Some(&other)] {
            let who = who.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            let asked = || ask(&signer, "admin", who, operation);
            refused(asked, &["admin_unknown", "session_required"], &format!("{place} by {who:?}"));
        }
    }

    // On the same listener. No certificate is a session, an administrator's neither.
    let console = operations("console");
    assert!(console.len() >= 15, "{}", console.len());
    let mut before = Vec::new();
    for operation in &console {
        let place = format!("{} {}", operation.method, operation.path);
        for who in [&agent, &posing, &nobody, &other] {
            let asked = || ask(&signer, "admin", Some((&who.0, &who.1)), operation);
            refused(asked, &["admin_unknown", "session_required"], &format!("{place} by {who:?}"));
        }
        if BEFORE_A_SESSION.contains(&place.as_str()) {
            let answer = ask(&signer, "admin", None, operation).unwrap();
            assert!(answer.status < 500 && ![404, 405].contains(&answer.status), "{place}: {answer:?}");
            before.push(place);
            continue;
        }
        for who in [None, Some(&alice)] {
            let who = who.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            refused(|| ask(&signer, "admin", who, operation), &["session_required"], &format!("{place} by {who:?}"));
        }
    }
    assert_eq!(before.len(), BEFORE_A_SESSION.len(), "{before:?}");

    // Last, as she changes things: the administrator is heard everywhere.
    for operation in &admin {
        let place = format!("{} {}", operation.method, operation.path);
        let known = ask(&signer, "admin", Some((&alice.0, &alice.1)), operation).unwrap();
        assert!(known.status < 500 && ![401, 403, 405].contains(&known.status), "{place}: {known:?}");
    }

    // What everybody may ask for is there, and nothing else is.
    for operation in operations("public") {
        let place = format!("{} {}", operation.method, operation.path);
        let answer = ask(&signer, "issuer", None, &operation).unwrap();
        assert!(answer.status < 500 && answer.status != 405, "{place}: {answer:?}");
    }
    for path in ["/", "/admin/v1/keys", "/v1/tokens", "/v1/profiles/default", "/metrics"] {
        signer.public(path, &[]).problem(404, "not_found");
    }
}

#[test]
fn each_listener_serves_its_document() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let alice = &signer.ready["administrators"][0];
    let alice: (PathBuf, PathBuf) = (alice["cert"].as_str().unwrap().into(), alice["key"].as_str().unwrap().into());
    let agent = (signer.path("agent_cert"), signer.path("agent_key"));
    for (listener, member, who) in
        [("public", "issuer", None), ("agents", "agent", Some(&agent)), ("admin", "admin", Some(&alice))]
    {
        let tls = client(&signer.path("ca"), who.map(|(certificate, key)| (certificate.as_path(), key.as_path()))).unwrap();
        let served: Value = request(signer.text(member), tls, "GET", "/openapi.json", &[], b"").unwrap().json();
        assert_eq!(served, run(&["openapi", listener]).json(), "{listener}");
        assert_eq!(served["openapi"], "3.1.0");
    }
    run(&["openapi", "nobody"]).code.eq(&2).then_some(()).unwrap();
}

#[test]
fn no_route_stands_beside_the_documents() {
    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }
    let http = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    for file in sources(&http) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains(".route(\""),
            "{}: routes are added by routes!, which puts them into the document",
            file.display()
        );
    }
}

#[test]
fn who_connects_and_asks_for_nothing_keeps_no_place() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let port: u16 = signer.text("issuer").rsplit_once(':').unwrap().1.parse().unwrap();
    let ends = |says: &'static [u8], protocol: &'static [u8]| {
        let mut tls = client(&signer.path("ca"), None).unwrap();
        std::sync::Arc::make_mut(&mut tls).alpn_protocols = vec![protocol.to_vec()];
        std::thread::spawn(move || {
            let connection = rustls::ClientConnection::new(tls, "localhost".try_into().unwrap()).unwrap();
            let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            stream.write_all(says).unwrap();
            stream.flush().unwrap();
            let began = std::time::Instant::now();
            let mut octets = [0; 1_024];
            // The end, or that there is none to be read any more; not our own patience.
            while let Ok(1..) = stream.read(&mut octets) {}
            began.elapsed()
        })
    };
    // Nothing; the beginning of a preface (RFC 9113 section 3.4); a whole one with SETTINGS.
    let asked = [
        ends(b"", b"http/1.1"),
        ends(b"PRI * HTTP/2.0", b"h2"),
        ends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"h2"),
    ];
    // Nor where everything is in the clear.
    let metrics = signer.text("metrics").strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap().0.to_owned();
    let ends_in_the_clear = |says: &'static [u8]| {
        let mut stream = std::net::TcpStream::connect(&metrics).unwrap();
        std::thread::spawn(move || {
            stream.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
            stream.write_all(says).unwrap();
            let began = std::time::Instant::now();
            let mut octets = [0; 1_024];
            while let Ok(1..) = stream.read(&mut octets) {}
            began.elapsed()
        })
    };
    let in_the_clear = [
        ends_in_the_clear(b""),
        ends_in_the_clear(b"GET /metrics HTTP/1.1\r\nhost: x\r\n"),
        ends_in_the_clear(b"PRI * HTTP/2.0"),
        ends_in_the_clear(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        // And whoever has asked, and asks no more.
        ends_in_the_clear(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    for silent in asked.into_iter().chain(in_the_clear) {
        let held = silent.join().unwrap();
        assert!((std::time::Duration::from_secs(25)..std::time::Duration::from_secs(55)).contains(&held), "{held:?}");
    }
}
