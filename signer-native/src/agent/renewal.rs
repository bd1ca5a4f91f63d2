//! The daemon's own certificate: asked for with a one-time code, and renewed by itself before it ends.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::signers::Signers;
use crate::{
    error::{Failure, FailureKind},
    http::tls::validity,
    keys::now,
};

/// How often the certificate is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a renewal that failed.
const PAUSE: Duration = Duration::from_secs(30);

/// A fresh key, and a request for a certificate of it (PKCS#10, PEM). The signer writes the name.
///
/// # Errors
/// When this machine gives no randomness.
pub fn fresh() -> Result<(KeyPair, String), Failure> {
    let failed = |error: rcgen::Error| Failure::new(FailureKind::System, format!("a key cannot be made: {error}"));
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let params = CertificateParams::new(Vec::new()).map_err(failed)?;
    let request = params.serialize_request(&pair).and_then(|request| request.pem()).map_err(failed)?;
    Ok((pair, request))
}

/// Writes certificate and key into one file, whole or not at all, only for its owner: two files could be of two renewals.
///
/// # Errors
/// When the file cannot be written.
pub fn write_identity(path: &Path, certificate: &str, key: &KeyPair) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display()));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let text = zeroize::Zeroizing::new(format!("{certificate}{}", key.serialize_pem()));
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// Renews the certificate in `path` when a third of its life is left, until it is dropped.
pub async fn keep_renewed(path: PathBuf, signers: Arc<Signers>) {
    let written = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let mut seen = written(&path);
    loop {
        // `edgeseal certs renew` may have written another one.
        let now = written(&path);
        if now != seen {
            match signers.reload() {
                Ok(()) => seen = now,
                Err(error) => tracing::warn!(%error, "the certificate of before stays in use"),
            }
        }
        let pause = match due(&path) {
            Ok(false) => INTERVAL,
            Ok(true) => match renew(&path, &signers).await {
                Ok(()) => INTERVAL,
                Err(reason) => {
                    tracing::warn!(reason, "the certificate could not be renewed");
                    PAUSE
                }
            },
            Err(reason) => {
                tracing::warn!(reason, "the certificate cannot be looked at");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn due(path: &Path) -> Result<bool, String> {
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| error.to_string())?;
    let (begin, end) = validity(&certificate).ok_or("its validity cannot be read")?;
    Ok(now().as_secs().saturating_add((end.saturating_sub(begin)) / 3) >= end)
}

/// Renews the certificate in `path` now, and has the signers asked with the new one.
///
/// # Errors
/// In words, when no signer gives one, or it cannot be written.
pub async fn renew(path: &Path, signers: &Signers) -> Result<(), String> {
    let (pair, request) = fresh().map_err(|failure| failure.to_string())?;
    let answer = signers.request(Method::POST, "/v1/agents/renew", Some(json!({ "csr": request }))).await;
    let answer = answer.map_err(|problem| problem.document().detail)?;
    let member = |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default();
    if answer.status != StatusCode::OK {
        return Err(format!("{}: {}", member("code"), member("detail")));
    }
    write_identity(path, member("certificate"), &pair).map_err(|failure| failure.to_string())?;
    signers.reload().map_err(|failure| failure.to_string())?;
    tracing::info!(not_after = member("not_after"), "renewed the certificate");
    Ok(())
}
