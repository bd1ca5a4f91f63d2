//! The signer beside the HSM: keys are generated inside and never leave; tokens are signed there, verified by
//! [`edgeseal_core`], and only then given out.
//!
//! | room | what it does |
//! |---|---|
//! | [`hsm`] | the [`hsm::KeyStore`] trait, and the PKCS#11 session pool behind it |
//! | [`keys`] | the life of a key as a pure state machine, and the registry that remembers it |
//! | [`backend`] | who verifies signatures: AWS-LC, tables for hot keys, the reference |
//! | [`issue`] | who may have which token, and the only way to one |
//! | [`agent`] | the daemon beside an application |
//! | [`agents`] | who the agents are: enrolment, their certificates' authority, revocation |
//! | [`store`] | what must survive a restart |
//! | [`revocation`] | what is revoked, and how the edges hear of it |
//! | [`http`] | the public listener and the agents' listener |
//! | [`service`] | the running signer |
//! | [`config`], [`error`] | settings, and how a command ends when it does not end well |
//! | [`verifier`] | tokens verified in a native service: a remote JWK Set, a layer for axum |
//! | [`console`] | people at the console: passkeys, codes, sessions |
//! | [`metrics`], [`traces`] | numbers for Prometheus; spans for OpenTelemetry, and the ids of requests |
//! | [`cli`] | the binary `edgeseal` |
//!
//! The operator's page is this crate's `README.md`.

pub mod activity;
pub mod agent;
pub mod agents;
pub mod audit;
pub mod backend;
pub mod cli;
mod client;
pub mod config;
pub mod console;
pub mod error;
mod files;
pub mod hsm;
pub mod http;
pub mod issue;
pub mod keys;
pub mod metrics;
pub mod revocation;
pub mod service;
pub mod store;
mod telemetry;
pub mod traces;
pub mod verifier;
