//! `claviger man`.

use crate::{args::Cli, error::CliError, output};
use clap::CommandFactory as _;
use clap_mangen::Man;
use std::{fs, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  claviger man | man -l -                     read the first page
  claviger man --dir ~/.local/share/man/man1  write a page for each command";

/// Print or write the manual pages
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), CliError> {
    let mut root = Cli::command();
    root.build();
    let Some(dir) = &args.dir else {
        return output::print(&render("claviger", &root)?);
    };
    fs::create_dir_all(dir).map_err(|source| CliError::file("write", dir, source))?;
    let mut pages = vec![("claviger".to_owned(), root)];
    while let Some((name, command)) = pages.pop() {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, render(&name, &command)?)
            .map_err(|source| CliError::file("write", &path, source))?;
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        pages.extend(below.map(|command| (format!("{name}-{}", command.get_name()), command.clone())));
    }
    Ok(())
}

fn render(name: &str, command: &clap::Command) -> Result<String, CliError> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(name)
        .render(&mut page)
        .map_err(|source| CliError::Stream { action: "write a manual page", source })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
