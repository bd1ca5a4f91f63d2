//! `edgeseal openapi`: the OpenAPI document of a listener, made of the handlers that this binary serves.

use std::process::ExitCode;

use clap::Args;

use super::output;
use crate::{
    error::Failure,
    http::openapi::{Listener, text},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose document
    listener: Listener,
}

#[expect(clippy::unnecessary_wraps, reason = "as every command is run")]
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    output::line(text(arguments.listener));
    Ok(ExitCode::SUCCESS)
}
