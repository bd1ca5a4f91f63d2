//! The daemon beside an application: it holds the client certificate, keeps private claims on this machine, and verifies
//! tokens also while no signer can be reached.
//!
//! | file | what it does |
//! |---|---|
//! | [`build`] | PURE: claims into digests and disclosures, claims into a token that lacks its signature |
//! | [`signers`] | batches to one of several signers over one HTTP/2 connection each |
//! | [`profiles`] | what the signer says about each profile, kept for a while |
//! | [`renewal`] | the daemon's own certificate |
//! | [`local`] | the Unix socket, the loopback listener, and who may use them |

pub mod build;
pub mod local;
pub mod profiles;
pub mod renewal;
pub mod signers;

use std::{net::SocketAddr, path::PathBuf};

use zeroize::Zeroizing;

/// What the daemon needs.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The Unix socket.
    pub socket: PathBuf,
    /// User ids that may use the socket, besides the daemon's own.
    pub users: Vec<u32>,
    /// A loopback listener, and the secret that its callers must show.
    pub loopback: Option<Loopback>,
    /// The agents' listeners of the signers, in the order of preference.
    pub signers: Vec<String>,
    /// The authority of the signers' certificates, PEM; the system's when absent.
    pub ca: Option<PathBuf>,
    /// The agent's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// A loopback listener.
#[derive(Clone)]
pub struct Loopback {
    /// Where it listens: an address of this machine alone.
    pub address: SocketAddr,
    /// What callers show as their bearer token.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loopback").field("address", &self.address).finish_non_exhaustive()
    }
}
