//! hsm only for now
pub mod hsm;
