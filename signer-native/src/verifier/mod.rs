//! Verification of tokens in a native service: core with the issuers' keys fetched over HTTPS and kept, and a layer for axum.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use edgeseal_core::{Algorithm, IssuerSettings, policy::OneOrMany};
//! use edgeseal_signer::verifier::{RemoteVerifier, RequireToken, Token};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = RemoteVerifier::new(
//!     vec![IssuerSettings {
//!         issuer: Some("https://login.example.com".to_owned()),      // discovery finds the keys
//!         audience: Some(OneOrMany::One("https://api.example.com".to_owned())),
//!         algorithms: vec![Algorithm::Es256],
//!         ..IssuerSettings::default()
//!     }],
//!     None,                                                          // the system's certificate authorities
//! )?;
//! let app: Router = Router::new()
//!     .route("/orders", get(|token: Token| async move { token.claims_json().to_owned() }))
//!     .layer(RequireToken::new(verifier));
//! # Ok(())
//! # }
//! ```
//!
//! Verdicts, codes and answers are those of the Worker and of the npm package: the same core decides, and an outage of the
//! issuer is a 503, never a 401.

mod layer;
mod remote;

pub use self::{
    layer::{RequireToken, RequireTokenService, Token},
    remote::RemoteVerifier,
};
