//! The oracle side of Edgeseal's tests: keys, signatures and corpus lines that are made without Edgeseal's core, so that
//! core cannot agree with itself by mistake.
//!
//! | room | what it holds |
//! |---|---|
//! | [`corpus`] | the lines that every host judges, and how they are written |
//! | [`keys`] | test keys from seeds, good and bad, and how each of them signs |
//! | [`vectors`] | Edgeseal's own vectors, one failure each |
//! | [`shared`] | where the documents of others are, and their conversion into corpus lines |
//! | [`wycheproof`] | the raw signature sets of Project Wycheproof as corpus lines |
#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a tool for tests: an impossible vector must stop the generator"
)]
#![expect(
    clippy::many_single_char_names,
    clippy::maybe_infinite_iter,
    clippy::too_many_lines,
    reason = "tables of vectors are long, their letters are those of the RFCs, and a search ends when it has found"
)]

pub mod corpus;
pub mod keys;
pub mod shared;
pub mod vectors;
pub mod wycheproof;
