//! Certificates and keys from PEM files into rustls, with the setting's name in every failure.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::{config::ListenConfig, error::Failure};

/// What stands before the agent's name in the URI of its certificate.
pub const AGENT_URN: &str = "urn:edgeseal:agent:";

/// TLS for the public listener.
///
/// # Errors
/// When the certificate or the key cannot be used.
pub fn public_server(listen: &ListenConfig) -> Result<ServerConfig, Failure> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    with_identity(builder.with_no_client_auth(), listen)
}

/// Mutual TLS for the agents' listener.
///
/// # Errors
/// When the certificate, the key or the authority cannot be used.
pub fn agents_server(listen: &ListenConfig, client_ca: &Path) -> Result<ServerConfig, Failure> {
    let roots = Arc::new(roots("listen.agents.client_ca", client_ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|error| {
        Failure::configuration(format!("listen.agents.client_ca {} cannot be used: {error}", client_ca.display()))
    })?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    with_identity(builder.with_client_cert_verifier(verifier), listen)
}

/// TLS for this program as a client: this authority or the system's, and this identity or none.
///
/// # Errors
/// When a file cannot be used.
pub fn client(ca: Option<(&str, &Path)>, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, Failure> {
    let roots = if let Some((setting, path)) = ca {
        roots(setting, path)?
    } else {
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            return Err(Failure::configuration(
                "this system has no trusted certificates (Debian: apt install ca-certificates); name an authority with --ca",
            ));
        }
        store
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("client.certificate (--cert)", certificate)?;
    let private = private_key("client.key (--key)", key)?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        Failure::configuration(format!(
            "client.certificate {} and client.key {} do not fit together: {error}",
            certificate.display(),
            key.display()
        ))
    })
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable = |why: &dyn std::fmt::Display| {
        Failure::configuration(format!("{setting} {} cannot be used: {why}; it takes a PEM file of certificates", path.display()))
    };
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unusable(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&error))?;
    if found.is_empty() { Err(unusable(&"there is no certificate in it")) } else { Ok(found) }
}

/// The agent that a certificate names: exactly one SAN URI of ours, and a name that could be configured.
pub fn agent_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    let mut ours = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => uri.as_str().strip_prefix(AGENT_URN),
        _ => None,
    });
    match (ours.next(), ours.next()) {
        (Some(name), None) => Some(name.to_owned()),
        _ => None,
    }
}

/// When a certificate ends, in seconds since 1970.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn with_identity(
    builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    listen: &ListenConfig,
) -> Result<ServerConfig, Failure> {
    let ListenConfig { setting, certificate, key, .. } = listen;
    let chain = certificates(&format!("{setting}.certificate"), certificate)?;
    let private = private_key(&format!("{setting}.key"), key)?;
    let mut config = builder.with_single_cert(chain, private).map_err(|error| {
        Failure::configuration(format!(
            "{setting}.certificate {} and {setting}.key {} do not fit together: {error}",
            certificate.display(),
            key.display()
        ))
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(setting: &str, path: &Path) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        store.add(certificate).map_err(|error| {
            Failure::configuration(format!("{setting} {} holds a certificate that is no authority: {error}", path.display()))
        })?;
    }
    Ok(store)
}

fn private_key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        Failure::configuration(format!(
            "{setting} {} cannot be used: {error}; it takes a PEM file of a private key",
            path.display()
        ))
    })
}

fn internal(error: &rustls::Error) -> Failure {
    Failure::configuration(format!("TLS cannot be set up: {error}"))
}
