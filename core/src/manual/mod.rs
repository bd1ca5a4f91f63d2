//! Why the defaults are what they are. Documentation only.

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("attacks.md")]
pub mod attacks {}

#[doc = include_str!("key_rotation.md")]
pub mod key_rotation {}
