//! Who the agents are: invited ones in the store, others in the configuration; certificates from an authority whose key is in
//! the HSM; and revocation, which counts for open connections too.

mod authority;
mod directory;
mod invitation;

pub use self::{
    authority::{Authorities, Certified, CertifyError, MAX_REQUEST, check_request},
    directory::{AgentRoots, Directory, Known, REVOCATION_DELAY},
    invitation::{Invitation, LIFETIME, Policy, hash},
};
