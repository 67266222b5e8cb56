//! Questions to a person. They go to the controlling terminal, past every redirection; where nobody sits there, nothing
//! is asked.

mod hidden;

use crate::{error::CliError, output::text::plain};
use claviger_types::SecretBytes;
use rustix::{stdio, termios::isatty};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
};

/// What is said where the person gave up.
pub(crate) const INTERRUPTED: &str = "interrupted at the question";

/// Whether somebody can be asked: there is a controlling terminal, and at least one of standard input and standard
/// error leads to a terminal. (A program that redirects both runs on its own, whatever it was started from.)
pub(crate) fn possible() -> bool {
    (isatty(stdio::stdin()) || isatty(stdio::stderr())) && open().is_ok()
}

/// Asks for a secret without showing it.
pub(crate) fn secret(question: &str) -> Result<SecretBytes, CliError> {
    let terminal = open().map_err(failed)?;
    hidden::read(&terminal, &format!("{}: ", plain(question))).map_err(failed)
}

/// Asks for a secret twice; the answers must be the same.
pub(crate) fn new_secret(question: &str) -> Result<SecretBytes, CliError> {
    let first = secret(question)?;
    if first.same_as(&secret("the same again")?) {
        return Ok(first);
    }
    Err(CliError::usage(
        "the two answers differ; nothing was written",
        "run it again, or give the value with --file",
    ))
}

/// Asks for a line that may be seen.
pub(crate) fn line(question: &str) -> Result<String, CliError> {
    let mut terminal = open().map_err(failed)?;
    write!(terminal, "{}: ", plain(question)).and_then(|()| terminal.flush()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer).map_err(failed)?;
    answer.truncate(answer.trim_end_matches(['\n', '\r']).len());
    Ok(answer)
}

/// Asks a question that only the whole word `yes` affirms.
pub(crate) fn confirm(question: &str) -> Result<bool, CliError> {
    Ok(line(&format!("{question} Type yes to go on"))?.trim() == "yes")
}

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

fn failed(source: io::Error) -> CliError {
    if source.kind() == io::ErrorKind::Interrupted {
        return CliError::Declined { what: INTERRUPTED };
    }
    CliError::Stream { action: "ask on the terminal", source }
}
