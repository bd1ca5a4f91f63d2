//! Connections to requests, over TLS but for the numbers: bounded, timed, and drained when the process is told to end.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::Request, response::Response};
use edgeseal_core::Timestamp;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::{
    exchange::{Exchanges, HEAD_TIMEOUT, Requests},
    tls,
};
use crate::{
    config::ListenConfig,
    error::{Failure, FailureKind},
};

/// Connections of one listener at a time.
const MAX_CONNECTIONS: usize = 1_024;
/// A TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may take after the process was told to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The agent that its certificate names.
    pub agent: Option<String>,
    /// SHA-256 of its certificate, as base64url.
    pub fingerprint: Option<String>,
    /// Who issued its certificate (RFC 4514).
    pub issuer: Option<String>,
    /// When its certificate ends: TLS looks at the beginning of a connection alone.
    pub not_after: Option<Timestamp>,
    /// The administrator that its certificate names.
    pub admin: Option<String>,
}

/// Whose tries are counted together, so that nobody keeps others out: an address, and of IPv6 the 64 bits that one customer has.
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// A bound socket, not yet served.
#[derive(Debug)]
pub struct Bound {
    socket: TcpListener,
    address: SocketAddr,
}

/// Binds, so that a busy port is known before anything else is done.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(listen: &ListenConfig) -> Result<Bound, Failure> {
    bind_address(&format!("{}.address", listen.setting), listen.address).await
}

/// [`bind`], for an address that has no certificate, or none yet.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind_address(setting: &str, address: SocketAddr) -> Result<Bound, Failure> {
    let failed = |error: &io::Error| {
        let sentence = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{setting} {address} is in use by another process; stop that one (ss -ltnp shows it) or set another address"
            ),
            io::ErrorKind::PermissionDenied => {
                format!("{setting} {address} may not be listened on by this user; set a port above 1023")
            }
            _ => format!("{setting} {address} cannot be listened on ({error}); set an address of this machine"),
        };
        Failure::new(FailureKind::Address, sentence)
    };
    let socket = TcpListener::bind(address).await.map_err(|error| failed(&error))?;
    let address = socket.local_addr().map_err(|error| failed(&error))?;
    Ok(Bound { socket, address })
}

impl Bound {
    /// Where it listens; the port is known even if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` becomes true, then drains. Each connection begins with the latest of `tls`, or is in the clear without.
    pub async fn serve(self, tls: Option<watch::Receiver<Arc<ServerConfig>>>, router: Router, mut stop: watch::Receiver<bool>) {
        let Self { socket, address: listens } = self;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = told_to_stop(&mut stop) => break,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = told_to_stop(&mut stop) => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    let watcher = graceful.watcher();
                    let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())));
                    let (router, stop) = (router.clone(), stop.clone());
                    tokio::spawn(async move {
                        connection(stream, address, acceptor, router, watcher, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, or the peer was gone already: neither may end the listener.
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        // Whoever comes now is refused at once, and asks another signer, instead of waiting for nobody.
        drop(socket);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(address = %listens, "some requests did not end in time");
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can tell us any more: the process is ending.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        let peer = Peer { address, agent: None, fingerprint: None, issuer: None, not_after: None, admin: None };
        return requests(stream, peer, router, watcher).await;
    };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => handshake,
        () = told_to_stop(&mut stop) => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake");
            return;
        }
        Err(_) => {
            tracing::debug!(%address, "TLS handshake timed out");
            return;
        }
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| chain.first());
    let (agent, admin) = (certificate.and_then(tls::agent_name), certificate.and_then(tls::admin_name));
    let (fingerprint, issuer) = (certificate.map(tls::fingerprint), certificate.and_then(tls::issuer));
    let not_after = certificate.and_then(tls::not_after).map(Timestamp::from_secs);
    let peer = Peer { address, agent, fingerprint, issuer, not_after, admin };
    requests(stream, peer, router, watcher).await;
}

/// Answers what comes, for as long as something does.
async fn requests<S>(stream: S, peer: Peer, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let requests = Arc::new(Requests::default());
    let service = TowerToHyperService::new(Exchanges { service: WithPeer { router, peer }, requests: Arc::clone(&requests) });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    let served = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%address, %error, "connection");
        },
        () = requests.quiet() => tracing::debug!(%address, "a connection without requests is closed"),
    }
}

/// Tells the router who is asking.
#[derive(Clone)]
struct WithPeer {
    router: Router,
    peer: Peer,
}

impl Service<Request> for WithPeer {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        <Router as Service<Request>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.router.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_one_network() {
        let network = |address: &str| network(address.parse().unwrap());
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }
}
