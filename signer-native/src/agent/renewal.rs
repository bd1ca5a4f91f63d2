//! The daemon's own certificate: asked for with a one-time code, and renewed by itself before it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
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

/// How often the files are looked at.
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
    files::write_private(path, identity(certificate, key).as_bytes())
        .map_err(|error| Failure::new(FailureKind::System, format!("{} cannot be written: {error}", path.display())))
}

/// What stands in such a file.
pub(crate) fn identity(certificate: &str, key: &KeyPair) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(format!("{certificate}{}", key.serialize_pem()))
}

/// Files that the daemon has read, and when each was written.
#[derive(Debug)]
pub struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Option<SystemTime>>,
}

impl Watched {
    /// Begun before they are read: what is written between the two is seen then.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let seen = written(&files);
        Self { files, seen }
    }

    /// Has them read again when one was written. Half of a pair may be written by now: what cannot be used is looked at next time.
    fn look(&mut self, reload: impl FnOnce() -> Result<(), Failure>) {
        let found = written(&self.files);
        if found == self.seen {
            return;
        }
        match reload() {
            Ok(()) => {
                self.seen = found;
                tracing::info!("took up the certificate, the key and the authority that are there now");
            }
            Err(error) => tracing::warn!(%error, "the certificate, the key and the authority of before stay in use"),
        }
    }
}

fn written(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|file| fs::metadata(file).and_then(|metadata| metadata.modified()).ok()).collect()
}

/// Takes up what is written to the files, and renews the certificate of `identity`, if there is one, when a third of its life is
/// left, until it is dropped.
pub async fn keep_up(
    mut files: Watched,
    identity: Option<PathBuf>,
    signers: Arc<Signers>,
    reload: impl Fn() -> Result<(), Failure>,
) {
    let mut next = Instant::now();
    loop {
        if let Some(path) = &identity
            && next <= Instant::now()
        {
            let pause = renew_when_due(path, &signers).await;
            next = Instant::now() + pause;
        }
        files.look(&reload);
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Gives how long to leave it alone.
async fn renew_when_due(path: &Path, signers: &Signers) -> Duration {
    let life = match validity(path) {
        Ok(life) => life,
        Err(reason) => {
            tracing::warn!(reason, "the certificate cannot be looked at");
            return PAUSE;
        }
    };
    if !is_due(life, now()) {
        return Duration::ZERO;
    }
    match renew(path, signers).await {
        Ok(_) => validity(path).map_or(PAUSE, rest),
        Err(failure) => {
            tracing::warn!(reason = %failure, "the certificate could not be renewed");
            PAUSE
        }
    }
}

fn validity(path: &Path) -> Result<(u64, u64), String> {
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| error.to_string())?;
    tls::validity(&certificate).ok_or_else(|| "its validity cannot be read".to_owned())
}

fn is_due((begin, end): (u64, u64), now: Timestamp) -> bool {
    now.as_secs().saturating_add(end.saturating_sub(begin) / 3) >= end
}

/// By a clock that is ahead each new certificate is due at once.
fn rest((begin, end): (u64, u64)) -> Duration {
    Duration::from_secs(end.saturating_sub(begin) / 10)
}

/// Renews the certificate in `path` now; gives its end.
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
    check(certificate, &pair, now()).map_err(|why| Failure::new(FailureKind::Remote, why))?;
    write_identity(path, certificate, &pair)?;
    tracing::info!(not_after = member("not_after"), "renewed the certificate");
    Ok(member("not_after").to_owned())
}

/// What is no certificate (PEM) of this key, or none that is good now, would lock the agent out in place of the one it has.
fn check(certificate: &str, pair: &KeyPair, now: Timestamp) -> Result<(), String> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).ok();
    let certificate =
        certificate.filter(|certificate| tls::public_key(certificate).is_some_and(|key| key == pair.subject_public_key_info()));
    let certificate = certificate.ok_or("the signer's answer holds no certificate of the key that was sent")?;
    let (begin, end) = tls::validity(&certificate).ok_or("the validity of the new certificate cannot be read")?;
    if (begin..end).contains(&now.as_secs()) {
        return Ok(());
    }
    let [begin, end, now] = [Timestamp::from_secs(begin), Timestamp::from_secs(end), now].map(Moment);
    Err(format!("the new certificate is good from {begin} to {end}, and here it is {now}: one of the two clocks is wrong"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of this key for the hour from 1 000 000 on.
    fn certificate(pair: &KeyPair) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let begin = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
        (params.not_before, params.not_after) = (begin.into(), (begin + Duration::from_hours(1)).into());
        params.self_signed(pair).unwrap().pem()
    }

    #[test]
    fn a_certificate_that_is_not_good_now_replaces_none() {
        let (pair, other) = (fresh().unwrap().0, fresh().unwrap().0);
        let certificate = certificate(&pair);
        let at = |seconds| check(&certificate, &pair, Timestamp::from_secs(seconds));
        assert_eq!((at(1_000_000), at(1_003_599)), (Ok(()), Ok(())));
        for wrong in [999_999, 1_003_600] {
            assert!(at(wrong).unwrap_err().contains("one of the two clocks is wrong"));
        }
        assert!(check(&certificate, &other, Timestamp::from_secs(1_000_000)).unwrap_err().contains("no certificate of the key"));
    }

    #[test]
    fn a_clock_that_is_ahead_does_not_renew_without_end() {
        let life = (1_000_000, 1_086_400);
        assert!(!is_due(life, Timestamp::from_secs(1_057_599)));
        assert!(is_due(life, Timestamp::from_secs(1_057_600)));
        assert_eq!(rest(life), Duration::from_mins(144));
    }

    #[test]
    fn what_cannot_be_used_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("crt"), folder.path().join("key"));
        fs::write(&key, "first").unwrap();
        let mut watched = Watched::new(vec![certificate.clone(), key.clone()]);
        watched.look(|| panic!("nothing was written"));
        fs::write(&certificate, "second").unwrap();
        watched.look(|| Err(Failure::configuration("half of a pair")));
        let mut looked = false;
        watched.look(|| {
            looked = true;
            Ok(())
        });
        assert!(looked);
        watched.look(|| panic!("it was taken up"));
        fs::remove_file(&key).unwrap();
        watched.look(|| Err(Failure::configuration("the key is gone")));
    }
}
