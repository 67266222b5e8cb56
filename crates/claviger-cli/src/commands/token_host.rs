//! `claviger token-host`: the process that holds a module. The program starts it itself.

use crate::error::CliError;
use claviger_token::host;
use rustix::fs::{FileType, fstat};
use std::os::fd::AsFd as _;

/// Hold a token's module for the program that started this one
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run() -> Result<(), CliError> {
    let input = std::io::stdin();
    let socket = fstat(&input).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if !socket {
        return Err(CliError::usage(
            "`token-host` is started by claviger itself, with a socket as its standard input",
            "where a module is to run in a process of its own, say so in modules.toml: process = \"own\"",
        ));
    }
    host::close_inherited();
    let failed = |source| CliError::file("use", std::path::Path::new("standard input"), source);
    let socket = input.as_fd().try_clone_to_owned().map_err(failed)?;
    host::serve(socket.into()).map_err(failed)
}
