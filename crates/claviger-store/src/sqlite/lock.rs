//! Files beside the database that are there to be locked, by `flock`: the kernel gives the lock back when the holder
//! dies, and each opening of the file is a holder of its own, within one process too.

use super::private;
use crate::{StoreError, files::unreachable};
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// How often a file may vanish between making and locking it before this is no coincidence.
const ATTEMPTS: u32 = 100;

/// Locks a file, which is made if it is missing; `None` when another holder is in the way. With an operation that does
/// not block it never waits.
pub(super) fn take(path: &Path, how: FlockOperation) -> Result<Option<File>, StoreError> {
    for _ in 0..ATTEMPTS {
        match private::make_file(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(path, error)),
            _ => {}
        }
        match take_existing(path, how)? {
            Taken::Held(file) => return Ok(Some(file)),
            Taken::Refused => return Ok(None),
            Taken::Gone => {}
        }
    }
    Err(failed(path, ErrorKind::NotFound.into()))
}

/// What came of locking a file that may be there.
pub(super) enum Taken {
    Held(File),
    /// Another holder is in the way.
    Refused,
    /// There is no such file, or no longer.
    Gone,
}

pub(super) fn take_existing(path: &Path, how: FlockOperation) -> Result<Taken, StoreError> {
    if private::check_file(path)?.is_none() {
        return Ok(Taken::Gone);
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Taken::Gone),
        result => result.map_err(|error| failed(path, error))?,
    };
    match flock(&file, how) {
        Err(Errno::WOULDBLOCK) => return Ok(Taken::Refused),
        result => result.map_err(|error| failed(path, error.into()))?,
    }
    // A lock on a file that was removed meanwhile keeps nobody out.
    let locked = file.metadata().map_err(|error| failed(path, error))?;
    match fs::symlink_metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == (locked.dev(), locked.ino()) => Ok(Taken::Held(file)),
        Ok(_) => Ok(Taken::Gone),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Taken::Gone),
        Err(error) => Err(failed(path, error)),
    }
}

fn failed(path: &Path, error: std::io::Error) -> StoreError {
    unreachable(&format!("locking {}", path.display()), error)
}
