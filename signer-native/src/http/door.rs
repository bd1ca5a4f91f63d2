//! A listener and its TLS, which is read again when its files change.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::Router;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::{listener::Bound, tls};
use crate::{agents::AgentRoots, config::ListenConfig, error::Failure};

/// How often it is looked whether a certificate was renewed.
const INTERVAL: Duration = Duration::from_secs(10);

/// Who must show a certificate.
#[derive(Debug)]
pub enum Clients {
    /// Nobody.
    Nobody,
    /// Agents: those of the authorities in a PEM file, if there is one, and of the signer's own.
    Agents {
        /// All of them; what the file says of them is put there.
        roots: Arc<AgentRoots>,
        /// The file.
        client_ca: Option<PathBuf>,
    },
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
        let setting = || format!("{}.client_ca", listen.setting);
        match clients {
            Clients::Nobody => tls::public_server(listen),
            Clients::Agents { roots, client_ca } => {
                let configured = client_ca.as_ref().map(|path| tls::roots(&setting(), path)).transpose()?;
                // A new one, also where that file alone has changed: with a ticket of the one before, whoever it knew would come in again.
                let config = tls::mutual_server(listen, Arc::clone(roots) as _)?;
                roots.configure(configured.unwrap_or_else(RootCertStore::empty));
                Ok(config)
            }
            Clients::Of(client_ca) => tls::mutual_server(listen, tls::clients_of(&setting(), client_ca)?),
        }
    }

    fn changed_at(&self) -> Written {
        let client_ca = match &self.clients {
            Clients::Nobody => None,
            Clients::Agents { client_ca, .. } => client_ca.as_deref(),
            Clients::Of(client_ca) => Some(client_ca.as_path()),
        };
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
                tracing::info!(
                    listener,
                    "new connections get the certificate, and are judged by the authorities, that are there now"
                );
            }
            // Half of a pair may be written by now: the next look says.
            Err(error) => tracing::warn!(listener, %error, "the certificate and the authorities of before stay"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rustls::{pki_types::UnixTime, server::danger::ClientCertVerifier as _};

    use super::*;
    use crate::http::listener::bind;

    fn write(listen: &ListenConfig) {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&pair).unwrap();
        std::fs::write(&listen.certificate, certificate.pem()).unwrap();
        std::fs::write(&listen.key, pair.serialize_pem()).unwrap();
    }

    #[tokio::test]
    async fn authorities_of_agents_that_are_replaced_are_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, client_ca] = ["crt", "key", "ca"].map(|name| folder.path().join(name));
        let listen = ListenConfig { setting: "listen.agents", address: "127.0.0.1:0".parse().unwrap(), certificate, key };
        write(&listen);
        let authority = || {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let agent = |authority: &Issuer<'_, KeyPair>| {
            let mut params = CertificateParams::new(vec!["shop".to_owned()]).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap().der().clone()
        };
        let (before, after) = (authority(), authority());
        let agents = [agent(&before), agent(&after)];
        std::fs::write(&client_ca, before.pem()).unwrap();
        let roots = AgentRoots::new();
        let known = || {
            let at = UnixTime::since_unix_epoch(SystemTime::UNIX_EPOCH.elapsed().unwrap());
            [0, 1].map(|number: usize| roots.verify_client_cert(&agents[number], &[], at).is_ok())
        };
        let clients = Clients::Agents { roots: Arc::clone(&roots), client_ca: Some(client_ca.clone()) };
        let Door { files, seen, tls, .. } = Door::new(bind(&listen).await.unwrap(), &listen, clients).unwrap();
        assert_eq!(known(), [true, false]);
        std::fs::write(&client_ca, "no authority").unwrap();
        assert!(files.read().is_err());
        assert_eq!(known(), [true, false], "what cannot be used changes nothing");
        std::fs::write(&client_ca, after.pem()).unwrap();
        std::fs::write(&listen.key, "half of a pair").unwrap();
        assert!(files.read().is_err());
        assert_eq!(known(), [true, false], "nor does what comes with it");
        write(&listen);
        // What is written twice at one moment looks the same, and here it is the authorities alone that change.
        tokio::time::sleep(Duration::from_millis(20)).await;
        std::fs::write(&client_ca, after.pem()).unwrap();
        let [certificate, key, _] = files.changed_at();
        let mut latest = tls.subscribe();
        let renewal = tokio::spawn(renew(files, [certificate, key, seen[2]], tls));
        tokio::time::timeout(Duration::from_secs(5), latest.changed()).await.unwrap().unwrap();
        assert_eq!(known(), [false, true]);
        renewal.abort();
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
