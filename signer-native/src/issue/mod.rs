//! Who may have which token: the policy of agents and profiles, as pure functions; and the signing of what they allow.

pub mod catalog;
pub mod digest;
pub mod lifetime;
pub mod policy;
pub mod rate;
mod schema;
pub mod settings;
mod signer;

pub use self::{
    catalog::{Catalog, Known},
    lifetime::Lifetime,
    policy::{Agent, Denial, Grant, Mode, Profile, Renewal, Request},
    schema::{Schema, SchemaMismatch},
    settings::{MAX_LIFETIME, MAX_SESSION, ProfileSettings, Surroundings},
    signer::{IssueError, Issued, Issuer, Stamp},
};

/// Requests in one batch: enough to spread the cost of a round trip, and few enough for the HSM's queue.
pub const MAX_BATCH: usize = 64;
