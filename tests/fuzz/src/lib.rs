//! Fuzz targets as ordinary functions of octets: libFuzzer drives them, and `tests/tests/corpora.rs` runs the committed corpora
//! through them in every test run. Each compares core with a reading of its own that shares no code with core.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    unreachable_pub,
    missing_docs,
    reason = "a finding is a panic; compiled as a library for libFuzzer and as a module of a test"
)]

pub mod base64url;
pub mod claims;
pub mod json;
pub mod jwk_set;
pub mod jwks_cache;
pub mod oracle;
pub mod p256;
pub mod rsa;
pub mod sd_jwt;
pub mod token;

/// What a target does with an input; a finding is a panic.
pub type Run = fn(&[u8]);

/// Every target by the name of its folder in `corpus/`.
pub const TARGETS: [(&str, Run); 9] = [
    ("base64url", base64url::run),
    ("claims", claims::run),
    ("json", json::run),
    ("jwk_set", jwk_set::run),
    ("jwks_cache", jwks_cache::run),
    ("p256", p256::run),
    ("rsa", rsa::run),
    ("sd_jwt", sd_jwt::run),
    ("token", token::run),
];
