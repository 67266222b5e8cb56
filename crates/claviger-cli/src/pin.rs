//! Where the token's PIN comes from.

use crate::{error::CliError, output::Unbuffered};
use claviger_types::{Pin, SecretBytes};
use std::{fs::File, path::PathBuf};

/// No token takes a longer PIN.
const MAX_BYTES: usize = 1024;

/// The descriptor that `--pin-fd` names.
pub(crate) enum PinFd {
    /// Standard input.
    Stdin,
    /// Another one.
    Open(File),
}

impl PinFd {
    /// Opens a descriptor anew by its number, without reading it.
    pub(crate) fn open(number: i32) -> Result<Self, CliError> {
        if number == 0 {
            return Ok(Self::Stdin);
        }
        let path = PathBuf::from(format!("/proc/self/fd/{number}"));
        File::open(&path).map(Self::Open).map_err(|source| CliError::file("read", &path, source))
    }

    /// Reads the PIN to the end; a trailing newline is not part of it.
    pub(crate) fn read(&self) -> Result<Pin, CliError> {
        let failed = |source| CliError::Stream { action: "read the PIN's file descriptor", source };
        let read = match self {
            Self::Stdin => SecretBytes::read_from(&mut Unbuffered(rustix::stdio::stdin()), MAX_BYTES),
            Self::Open(file) => SecretBytes::read_from(&mut Unbuffered(file), MAX_BYTES),
        };
        let mut bytes = read.map_err(failed)?.ok_or_else(|| {
            CliError::usage(
                format!("what --pin-fd names holds more than {MAX_BYTES} bytes"),
                "let it hold the PIN and nothing else",
            )
        })?;
        bytes.trim_newline();
        Ok(Pin::new(bytes))
    }
}
