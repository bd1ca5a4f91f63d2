//! Who may have which token: the policy of agents and profiles, as pure functions; and the signing of what they allow.

pub mod lifetime;
pub mod policy;
mod signer;

pub use self::{
    lifetime::Lifetime,
    policy::{Agent, Denial, Grant, Profile, Request},
    signer::{IssueError, Issued, Issuer},
};
