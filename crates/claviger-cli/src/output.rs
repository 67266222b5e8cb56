//! What commands say: results on standard output, everything else on standard error.

pub(crate) mod jobs;
pub(crate) mod json;
pub(crate) mod text;

use crate::error::CliError;
use claviger_types::SecretBytes;
use rustix::{fd::AsFd, io::Errno};
use std::io;

/// Writes a result to standard output.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    write_all(text.as_bytes())
}

/// Writes a result as one line of JSON to standard output.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), CliError> {
    print(&format!("{value}\n"))
}

/// Writes a secret that is whole lines to standard output, past every buffer but its own.
pub(crate) fn print_bytes(secret: &SecretBytes) -> Result<(), CliError> {
    write_all(secret.expose())
}

/// Writes a secret to standard output, past every buffer but its own; adds a newline where a person reads it.
pub(crate) fn print_secret(secret: &SecretBytes) -> Result<(), CliError> {
    write_all(secret.expose())?;
    if rustix::termios::isatty(rustix::stdio::stdout()) { write_all(b"\n") } else { Ok(()) }
}

fn write_all(bytes: &[u8]) -> Result<(), CliError> {
    write_to(rustix::stdio::stdout(), bytes)
        .map_err(|source| CliError::Stream { action: "write to standard output", source })
}

fn write_to(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A file descriptor as a reader without a buffer that would keep what it read.
pub(crate) struct Unbuffered<F>(pub(crate) F);

impl<F: AsFd> io::Read for Unbuffered<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        rustix::io::read(&self.0, buffer).map_err(io::Error::from)
    }
}
