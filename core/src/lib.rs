//! Edgeseal's core: parses, checks and verifies JWTs (RFC 7519) and JWK Sets (RFC 7517), and decides when to fetch keys.
//!
//! It has no clock, no randomness, no I/O and no async: time and randomness are arguments, a fetch is a value that the
//! host carries out. The same decisions are therefore taken on every host: natively, in workerd, in a browser, in Node.
//!
//! # The paved path
//!
//! ```
//! use edgeseal_core::{Algorithm, JwkSet, Policy, Timestamp, Verifier};
//! # fn main() -> Result<(), edgeseal_core::VerifyError> {
//! # #[derive(serde::Deserialize)]
//! # struct MyClaims {
//! #     sub: String,
//! # }
//! # let compact = concat!(
//! #     "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.",
//! #     "eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwiYXVkIjoiaHR0cHM6Ly9hcG",
//! #     "kuZXhhbXBsZS5jb20iLCJzdWIiOiJhbGljZSIsImV4cCI6MTkwMDAwMDYwMH0.",
//! #     "mHGPCMzbmTLc5dHiix9jv3XxPQXWPUwnB6yp6ue0ISiQnsiHkaAMAUcsL_fuGw8dNpFwHwTTbIYOg1Op5z2c8g",
//! # );
//! # let x = "w-xFAwMKxncFrWv5n8aVUVakwZmc3P821y5e_xzAzO8";
//! # let y = "Gw-xLCv8qxd5I7JVmo11EzOigck0kxTGd_3kVqdhA9U";
//! # let keys = JwkSet::from_json(&format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k1","x":"{x}","y":"{y}"}}]}}"#))?;
//! # let now = Timestamp::from_secs(1_900_000_000);
//! let policy = Policy::builder()
//!     .issuer("https://login.example.com")
//!     .audience("https://api.example.com")
//!     .algorithms([Algorithm::Es256])
//!     .build();
//! let token = Verifier::new(policy).verify(compact, &keys, now)?;
//! let claims: MyClaims = token.claims().decode()?;
//! # assert_eq!(claims.sub, "alice");
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//!
//! | room | what it decides |
//! |---|---|
//! | [`token`], [`header`] | compact serialization and JOSE header of a token that nobody has verified |
//! | [`algorithm`], [`signature`] | which key types, curves and lengths belong to which `alg` |
//! | [`jwk`], [`jwk_set`] | which keys may verify at all, and which one key belongs to a token |
//! | [`policy`], [`claims`] | what the verifier demands, and what the claims set says |
//! | [`sd`] | what a holder disclosed of an SD-JWT, and the proof that the holder presents it |
//! | [`dpop`] | that the sender of a token holds the key that it is bound to |
//! | [`verify`] | the order of all decisions, in two phases around the signature |
//! | [`backend`] | who does the arithmetic |
//! | [`token_cache`] | what a token costs the second time |
//! | [`jwks_cache`], [`discovery`], [`issuers`] | whose keys to use, and when to fetch them |
//! | [`json`], [`settings`], [`time`] | strict JSON; settings that name their mistakes; time as an argument |
//! | [`http`] | where a token stands in a request, and how it is refused |
//! | [`issue`] | the other direction: header and claims to signing input to token |
//! | [`revocation`] | which tokens are refused before their time, and how old a list of them may be |
//! | [`gateway`] | the edge gateway: its configuration, and what it decides about a request |
//!
//! [`manual`] says why the defaults are what they are.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod algorithm;
pub mod backend;
pub mod claims;
pub mod discovery;
pub mod dpop;
pub mod error;
pub mod gateway;
pub mod header;
pub mod http;
pub mod issue;
pub mod issuers;
pub mod json;
pub mod jwk;
pub mod jwk_set;
pub mod jwks_cache;
pub mod manual;
mod nist_curve;
pub mod policy;
pub mod revocation;
pub mod sd;
pub mod settings;
pub mod signature;
pub mod time;
pub mod token;
pub mod token_cache;
pub mod verify;

pub use algorithm::Algorithm;
pub use backend::{SignatureBackend, SignatureInvalid, SignatureValid};
pub use claims::Claims;
pub use dpop::{DpopProof, DpopRequest, DpopSettings, Possession, ProvenKey};
pub use error::{Check, ErrorCode, PolicyError, VerifyError};
pub use issue::UnsignedToken;
pub use issuers::Issuers;
pub use jwk::{Jwk, PublicKey};
pub use jwk_set::JwkSet;
pub use jwks_cache::JwksCache;
pub use policy::{IssuerSettings, Policy};
pub use sd::{KeyBinding, SdJwtSettings};
pub use time::Timestamp;
pub use token::UnverifiedToken;
pub use token_cache::TokenCache;
pub use verify::{BoundToken, Finished, PendingSignature, VerifiedToken, Verifier};
