//! The daemon's own certificate: asked for with a one-time code, and renewed by itself before it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_core::Timestamp;
use hyper::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::signers::{Signers, Unanswered};
use crate::{
    error::{Failure, FailureKind},
    files,
    http::tls,
    keys::{Moment, now},
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

/// Writes certificate and key into one file, whole or not at all, only for its owner: two files could be of two renewals. The
/// owner of a file that is there stays: root renews for the daemon, which must be able to read it.
///
/// # Errors
/// When the file cannot be written.
pub fn write_identity(path: &Path, certificate: &str, key: &KeyPair) -> Result<(), Failure> {
    let text = zeroize::Zeroizing::new(format!("{certificate}{}", key.serialize_pem()));
    files::write_private(path, text.as_bytes())
        .map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display())))
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
                Ok(()) => {
                    seen = now;
                    tracing::info!(path = %path.display(), "took up the certificate that was written there");
                }
                Err(error) => tracing::warn!(%error, "the certificate of before stays in use"),
            }
        }
        let pause = match due(&path) {
            Ok(false) => INTERVAL,
            Ok(true) => match renew(&path, &signers).await {
                Ok(_) => {
                    seen = written(&path);
                    INTERVAL
                }
                Err(failure) => {
                    tracing::warn!(reason = %failure, "the certificate could not be renewed");
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
    let (begin, end) = tls::validity(&certificate).ok_or("its validity cannot be read")?;
    Ok(now().as_secs().saturating_add((end.saturating_sub(begin)) / 3) >= end)
}

/// Renews the certificate in `path` now, and has the signers asked with the new one; gives its end.
///
/// # Errors
/// When it has ended, when no signer gives another, or when that cannot be written.
pub async fn renew(path: &Path, signers: &Signers) -> Result<String, Failure> {
    let refused = |why: String| Failure::new(FailureKind::Refused, why);
    let before = tls::certificates("agent.certificate", path)?;
    let end = before.first().and_then(tls::not_after).unwrap_or_default();
    if end <= now().as_secs() {
        let name = before.first().and_then(tls::agent_name).unwrap_or_else(|| "NAME".to_owned());
        return Err(refused(format!(
            "it ended on {}, and whoever has none that is good cannot renew it; begin again with a code of: edgeseal agents invite {name}",
            Moment(Timestamp::from_secs(end))
        )));
    }
    let (pair, request) = fresh()?;
    let answer = signers.ask(Method::POST, "/v1/agents/renew", Some(json!({ "csr": request }))).await;
    let answer = answer.map_err(|Unanswered { reasons, .. }| {
        Failure::new(FailureKind::Remote, format!("no signer answers ({})", reasons.join("; ")))
    })?;
    let member = |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default();
    if answer.status != StatusCode::OK {
        return Err(refused(format!("{}: {}", member("code"), member("detail"))));
    }
    let certificate = member("certificate");
    if !is_of(certificate, &pair) {
        return Err(Failure::new(FailureKind::Remote, "the signer's answer holds no certificate of the key that was sent"));
    }
    write_identity(path, certificate, &pair)?;
    signers.reload()?;
    tracing::info!(not_after = member("not_after"), "renewed the certificate");
    Ok(member("not_after").to_owned())
}

/// Whether a certificate, PEM, is of this key: what is not would lock the agent out.
fn is_of(certificate: &str, pair: &KeyPair) -> bool {
    CertificateDer::from_pem_slice(certificate.as_bytes())
        .ok()
        .and_then(|certificate| tls::public_key(&certificate))
        .is_some_and(|public| public == pair.subject_public_key_info())
}
