//! Edgeseal's core at the edge. Two doors, one house:
//!
//! - feature `worker`: a Cloudflare Worker that stands before an API, verifies the bearer token of every request and forwards
//!   it with the verified claims;
//! - feature `npm`: the WebAssembly inside the npm package `edgeseal`, under a TypeScript face (`npm/src`).
//!
//! Both drive [`verify::TokenVerifier`], which knows what to do next but does no I/O; each carries out the fetches its own way.

pub mod certificate;
#[cfg(feature = "npm")]
pub mod npm;
pub mod settings;
pub mod verify;
pub mod webcrypto;
#[cfg(feature = "worker")]
pub mod worker;
