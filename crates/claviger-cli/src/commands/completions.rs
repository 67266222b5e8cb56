//! `claviger completions`.

use crate::{args::Cli, error::CliError, output};
use clap::CommandFactory as _;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  claviger completions bash > /etc/bash_completion.d/claviger
  claviger completions zsh > ~/.zfunc/_claviger
  claviger completions fish > ~/.config/fish/completions/claviger.fish";

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "claviger", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
