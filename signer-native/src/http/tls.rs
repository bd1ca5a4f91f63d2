//! Certificates and keys from PEM files into rustls, with the setting's name in every failure.

use std::{path::Path, sync::Arc};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::{ParsedCertificate, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest as _, Sha256};
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _, EncodePem as _, pem::LineEnding},
    ext::pkix::{BasicConstraints, SubjectAltName, name::GeneralName},
};

use crate::{config::ListenConfig, error::Failure};

/// What stands before the agent's name in the URI of its certificate.
pub const AGENT_URN: &str = "urn:edgeseal:agent:";
/// What stands before the administrator's name in the URI of its certificate.
pub const ADMIN_URN: &str = "urn:edgeseal:admin:";

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

/// Mutual TLS; `verifier` says whose certificates are good.
///
/// # Errors
/// When the certificate or the key cannot be used.
pub fn mutual_server(listen: &ListenConfig, verifier: Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, Failure> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    with_identity(builder.with_client_cert_verifier(verifier), listen)
}

/// Whose certificates are good: those of the authorities in a PEM file. Whoever shows none comes in as nobody: a browser, which
/// has a session instead.
///
/// # Errors
/// When the file cannot be used.
pub fn clients_of(setting: &str, client_ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let roots = Arc::new(roots(setting, client_ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).allow_unauthenticated().build();
    let verifier =
        verifier.map_err(|error| Failure::configuration(format!("{setting} {} cannot be used: {error}", client_ca.display())))?;
    Ok(verifier)
}

/// A client's certificate and its key, PEM, each with what its setting is called.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate.
    pub certificate: (&'a str, &'a Path),
    /// Its private key.
    pub key: (&'a str, &'a Path),
}

/// TLS for this program as a client: this authority or the system's, and this identity or none.
///
/// # Errors
/// When a file cannot be used.
pub fn client(ca: Option<(&str, &Path)>, identity: Option<Identity<'_>>) -> Result<ClientConfig, Failure> {
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
    let Some(Identity { certificate, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate.0, certificate.1)?;
    let private = private_key(key.0, key.1)?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        let named = |(setting, path): (&str, &Path)| format!("{setting} {}", path.display());
        Failure::configuration(format!("{} and {} do not fit together: {error}", named(certificate), named(key)))
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
    name_under(AGENT_URN, certificate)
}

/// The administrator that a certificate names.
pub fn admin_name(certificate: &CertificateDer<'_>) -> Option<String> {
    name_under(ADMIN_URN, certificate).filter(|name| !name.is_empty())
}

fn name_under(urn: &str, certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    let mut ours = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => uri.as_str().strip_prefix(urn),
        _ => None,
    });
    match (ours.next(), ours.next()) {
        (Some(name), None) => Some(name.to_owned()),
        _ => None,
    }
}

/// SHA-256 of a certificate, as base64url: what tells it apart from all others.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Base64UrlUnpadded::encode_string(&Sha256::digest(certificate))
}

/// Whom a certificate is about, in the form of RFC 4514.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    Some(Certificate::from_der(certificate).ok()?.tbs_certificate.subject.to_string())
}

/// Who issued a certificate, in the form of RFC 4514.
pub fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    Some(Certificate::from_der(certificate).ok()?.tbs_certificate.issuer.to_string())
}

/// The public key of a certificate, as `SubjectPublicKeyInfo` (DER).
pub fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Certificate::from_der(certificate).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// When a certificate begins and ends, in seconds since 1970.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
    Some((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()))
}

/// When a certificate ends, in seconds since 1970.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    validity(certificate).map(|(_, end)| end)
}

/// The cryptography of all TLS here.
pub(crate) fn provider() -> Arc<CryptoProvider> {
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

/// The topmost certificate of a listener's chain, PEM, where it is an authority's: what a client needs to know it by.
///
/// # Errors
/// When the file cannot be read.
pub fn authority_of(listen: &ListenConfig) -> Result<Option<String>, Failure> {
    let chain = certificates(&format!("{}.certificate", listen.setting), &listen.certificate)?;
    let top = chain.last().filter(|top| is_authority(top)).and_then(|top| Certificate::from_der(top).ok());
    Ok(top.and_then(|top| top.to_pem(LineEnding::LF).ok()))
}

fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let certificate = Certificate::from_der(certificate).ok();
    let constraints = certificate.and_then(|certificate| certificate.tbs_certificate.get::<BasicConstraints>().ok().flatten());
    constraints.is_some_and(|(_, constraints)| constraints.ca)
}

/// TLS for a newcomer, who knows of a server no more than the SHA-256 of one certificate in its chain: the server's own, or one
/// that vouches for it.
///
/// # Errors
/// When TLS cannot be set up.
pub fn pinned_client(fingerprint: [u8; 32]) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(&error))?;
    let verifier = Arc::new(Pinned(fingerprint));
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Believes a chain that shows the pinned certificate; names, dates and signatures below it are checked as always.
#[derive(Debug)]
struct Pinned([u8; 32]);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_pinned = |certificate: &CertificateDer<'_>| Sha256::digest(certificate)[..] == self.0;
        if is_pinned(end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            let (begin, end) = validity(end_entity).ok_or(CertificateError::BadEncoding)?;
            if !(begin..=end).contains(&now.as_secs()) {
                return Err(CertificateError::Expired.into());
            }
            return Ok(ServerCertVerified::assertion());
        }
        let pinned = intermediates.iter().find(|certificate| is_pinned(certificate)).ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The authorities of a PEM file.
///
/// # Errors
/// When the file cannot be read, or holds what is no authority.
pub fn roots(setting: &str, path: &Path) -> Result<RootCertStore, Failure> {
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
