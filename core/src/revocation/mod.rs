//! Revocation: tokens that are refused before their `exp`. PURE: documents come in as text, time is an argument.
//!
//! | room | what it decides |
//! |---|---|
//! | [`list`](Revocations) | whether a verified token is revoked: by its key, its `jti`, or its `sub` and `iat` |
//! | [`document`] | whether a signed list is the signer's, for this edge, and of this moment; and how the signer writes one |
//! | [`reader`] | how old an isolate's copy of the list may become, and what is answered after that |
//! | [`settings`] | what an edge's configuration says of it |
//!
//! A signer's *control key* signs the documents. It is in no issuer's JWK Set and signs no token; an edge knows it from its own
//! configuration. An edge only ever adds what a document lists, and forgets an entry when its `until` has come: whoever could make
//! a token valid again by sending a shorter list would need nothing but an old document.

pub mod document;
mod list;
pub mod reader;
pub mod settings;

pub use self::{
    document::{Control, MAX_DOCUMENT_LEN, Statement, TYP},
    list::{MAX_ENTRIES, MAX_KEPT, Revocations, Revoked},
    reader::{Judgement, Reader, Reading},
    settings::{RevocationSettings, WhenStale},
};
