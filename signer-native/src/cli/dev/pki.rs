//! Certificates for one machine: an authority that stays, and short-lived ones for the signer and one agent.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

use super::{make_folder, write_private};
use crate::{
    error::{Failure, FailureKind},
    http::tls::{ADMIN_URN, AGENT_URN, not_after},
    keys::now,
};

const DAY: Duration = Duration::from_hours(24);

/// Where the certificates are.
pub(super) struct Certificates {
    pub(super) ca: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) agent_certificate: PathBuf,
    pub(super) agent_key: PathBuf,
    pub(super) admin_ca: PathBuf,
    /// Name, certificate and key of each administrator.
    pub(super) administrators: Vec<(&'static str, PathBuf, PathBuf)>,
}

/// Two, since some things take two people.
const ADMINISTRATORS: [&str; 2] = ["alice", "bob"];

/// The authority in `folder`, made if it is not there or ends soon; and fresh certificates from it.
pub(super) fn issue(folder: &Path, agent: &str) -> Result<Certificates, Failure> {
    make_folder(folder)?;
    let files = Certificates {
        ca: folder.join("ca.crt"),
        server_certificate: folder.join("server.crt"),
        server_key: folder.join("server.key"),
        agent_certificate: folder.join(format!("{agent}.crt")),
        agent_key: folder.join(format!("{agent}.key")),
        admin_ca: folder.join("admin-ca.crt"),
        administrators: ADMINISTRATORS
            .iter()
            .map(|name| (*name, folder.join(format!("admin-{name}.crt")), folder.join(format!("admin-{name}.key"))))
            .collect(),
    };
    let authority = authority(&files.ca, &folder.join("ca.key"))?;

    let mut server =
        CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]).map_err(failed)?;
    server.distinguished_name.push(DnType::CommonName, "Edgeseal dev signer");
    leaf(&mut server, ExtendedKeyUsagePurpose::ServerAuth, DAY * 30);
    sign(&server, &authority, &files.server_certificate, &files.server_key)?;
    // The whole chain, so that newcomers can know the signer by its authority.
    let chain = [&files.server_certificate, &files.ca].map(fs::read_to_string);
    let chain: String = chain
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(FailureKind::System, format!("the development certificates cannot be read: {error}")))?;
    write_private(&files.server_certificate, &chain)?;

    let client = client(agent, AGENT_URN)?;
    sign(&client, &authority, &files.agent_certificate, &files.agent_key)?;
    let authority = self::authority(&files.admin_ca, &folder.join("admin-ca.key"))?;
    for (name, certificate, key) in &files.administrators {
        sign(&self::client(name, ADMIN_URN)?, &authority, certificate, key)?;
    }
    Ok(files)
}

fn client(name: &str, urn: &str) -> Result<CertificateParams, Failure> {
    let mut client = CertificateParams::new(Vec::new()).map_err(failed)?;
    client.distinguished_name.push(DnType::CommonName, name);
    client.subject_alt_names.push(SanType::URI(format!("{urn}{name}").try_into().map_err(failed)?));
    leaf(&mut client, ExtendedKeyUsagePurpose::ClientAuth, DAY);
    Ok(client)
}

fn authority(certificate: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    if let (Ok(()), Ok(pem)) = (still_good(certificate), fs::read_to_string(key)) {
        let pair = KeyPair::from_pem(&pem).map_err(failed)?;
        return Ok(Issuer::new(authority_params(&pair)?, pair));
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let params = authority_params(&pair)?;
    let signed = params.self_signed(&pair).map_err(failed)?;
    write_private(key, &pair.serialize_pem())?;
    write_private(certificate, &signed.pem())?;
    Ok(Issuer::new(params, pair))
}

/// The same name for the same key, so that the authority can be put together again from its key.
fn authority_params(pair: &KeyPair) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    let mut name = String::from("Edgeseal dev CA ");
    for octet in Sha256::digest(pair.public_key_raw()).iter().take(4) {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(name, "{octet:02x}");
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, DAY * 365);
    Ok(params)
}

fn leaf(params: &mut CertificateParams, purpose: ExtendedKeyUsagePurpose, lifetime: Duration) {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    validity(params, lifetime);
}

fn validity(params: &mut CertificateParams, lifetime: Duration) {
    let moment = SystemTime::now();
    // Clocks of containers and hosts differ a little.
    params.not_before = (moment - Duration::from_mins(5)).into();
    params.not_after = (moment + lifetime).into();
}

fn sign(params: &CertificateParams, authority: &Issuer<'static, KeyPair>, certificate: &Path, key: &Path) -> Result<(), Failure> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let signed = params.signed_by(&pair, authority).map_err(failed)?;
    write_private(key, &pair.serialize_pem())?;
    write_private(certificate, &signed.pem())
}

fn still_good(certificate: &Path) -> Result<(), ()> {
    let certificate = CertificateDer::from_pem_file(certificate).map_err(drop)?;
    let week = now().plus_secs(7 * DAY.as_secs()).as_secs();
    not_after(&certificate).filter(|end| *end > week).map(drop).ok_or(())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: rcgen::Error) -> Failure {
    Failure::new(FailureKind::System, format!("the development certificates cannot be made: {error}"))
}
