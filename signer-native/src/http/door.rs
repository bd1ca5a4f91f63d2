//! A listener and its TLS, which is read again when its files change.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use rustls::{ServerConfig, server::danger::ClientCertVerifier};
use tokio::sync::watch;

use super::{listener::Bound, tls};
use crate::{config::ListenConfig, error::Failure};

/// How often it is looked whether a certificate was renewed.
const INTERVAL: Duration = Duration::from_secs(10);

/// Who must show a certificate.
#[derive(Debug)]
pub enum Clients {
    /// Nobody.
    Nobody,
    /// Those whom this verifier knows.
    Known(Arc<dyn ClientCertVerifier>),
    /// Nobody must, and those of the authorities in this PEM file may.
    Of(PathBuf),
}

/// One listener.
#[derive(Debug)]
pub struct Door {
    bound: Bound,
    files: Files,
    /// When they were written, as far as they have been read.
    seen: Written,
    tls: watch::Sender<Arc<ServerConfig>>,
}

type Written = [Option<SystemTime>; 3];

/// What its TLS is made of.
#[derive(Debug)]
struct Files {
    listen: ListenConfig,
    clients: Clients,
}

impl Door {
    /// A door around a bound socket.
    ///
    /// # Errors
    /// When the certificate, the key or the authority cannot be used.
    pub fn new(bound: Bound, listen: &ListenConfig, clients: Clients) -> Result<Self, Failure> {
        let files = Files { listen: listen.clone(), clients };
        // Before they are read: what is written from here on, while the signer starts, is seen when it serves.
        let seen = files.changed_at();
        let (tls, _) = watch::channel(Arc::new(files.read()?));
        Ok(Self { bound, files, seen, tls })
    }

    /// Where it really listens.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Serves until `stop` becomes true, then drains.
    pub async fn serve(self, router: Router, stop: watch::Receiver<bool>) {
        let Self { bound, files, seen, tls } = self;
        let latest = tls.subscribe();
        let renewal = tokio::spawn(renew(files, seen, tls));
        bound.serve(Some(latest), router, stop).await;
        renewal.abort();
    }
}

impl Files {
    fn read(&self) -> Result<ServerConfig, Failure> {
        let Self { listen, clients } = self;
        match clients {
            Clients::Nobody => tls::public_server(listen),
            Clients::Known(verifier) => tls::mutual_server(listen, Arc::clone(verifier)),
            Clients::Of(client_ca) => {
                tls::mutual_server(listen, tls::clients_of(&format!("{}.client_ca", listen.setting), client_ca)?)
            }
        }
    }

    fn changed_at(&self) -> Written {
        let client_ca = if let Clients::Of(client_ca) = &self.clients { Some(client_ca.as_path()) } else { None };
        let changed = |file: &Path| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        [Some(self.listen.certificate.as_path()), Some(self.listen.key.as_path()), client_ca].map(|file| file.and_then(changed))
    }
}

/// Reads the files again on SIGHUP and when one has changed. What cannot be used changes nothing.
async fn renew(files: Files, mut seen: Written, tls: watch::Sender<Arc<ServerConfig>>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = signal(SignalKind::hangup()).ok();
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            _ = interval.tick() => false,
            Some(()) = hangup => true,
        };
        let found = files.changed_at();
        if !asked && found == seen {
            continue;
        }
        let listener = files.listen.setting;
        match files.read() {
            Ok(config) => {
                seen = found;
                tls.send_replace(Arc::new(config));
                tracing::info!(listener, "new connections get the certificate that is there now");
            }
            // Half of a pair may be written by now: the next look says.
            Err(error) => tracing::warn!(listener, %error, "the certificate of before stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::listener::bind;

    fn write(listen: &ListenConfig) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
        std::fs::write(&listen.certificate, certificate.pem()).unwrap();
        std::fs::write(&listen.key, pair.serialize_pem()).unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_is_replaced_while_the_signer_starts_is_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["crt", "key"].map(|name| folder.path().join(name));
        let listen = ListenConfig { setting: "listen.public", address: "127.0.0.1:0".parse().unwrap(), certificate, key };
        write(&listen);
        let Door { files, seen, tls, .. } = Door::new(bind(&listen).await.unwrap(), &listen, Clients::Nobody).unwrap();
        let mut latest = tls.subscribe();
        write(&listen);
        let renewal = tokio::spawn(renew(files, seen, tls));
        tokio::time::timeout(Duration::from_secs(5), latest.changed()).await.unwrap().unwrap();
        renewal.abort();
    }
}
