//! `edgeseal completions`: what a shell has to know to complete these commands.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::output;
use crate::error::Failure;

/// What is completed.
const NAME: &str = "edgeseal";

#[derive(Debug, Args)]
#[command(after_help = "bash: edgeseal completions bash > /etc/bash_completion.d/edgeseal\n\
zsh:  edgeseal completions zsh > \"${fpath[1]}/_edgeseal\"\n\
fish: edgeseal completions fish > ~/.config/fish/completions/edgeseal.fish")]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

#[expect(clippy::unnecessary_wraps, reason = "as every command is run")]
pub(super) fn run(Arguments { shell }: &Arguments) -> Result<ExitCode, Failure> {
    let all = super::Arguments::command();
    // What people are not to type is not to be offered either.
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .disable_help_subcommand(true)
        .subcommands(shown);
    let mut script = Vec::new();
    generate(*shell, &mut command, NAME, &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
