//! What becomes of the old file.

use crate::{error::CliError, report};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What becomes of the old file once everything is in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum After {
    /// It stays as it is
    Keep,
    /// It is renamed to FILE.bak
    Bak,
    /// It is overwritten and removed
    Shred,
}

impl After {
    /// Does it. The path where the file is then, if it is anywhere.
    pub(super) fn apply(self, file: &Path) -> Result<Option<PathBuf>, CliError> {
        match self {
            Self::Keep => Ok(Some(file.to_owned())),
            Self::Bak => back_up(file).map(Some).map_err(|source| CliError::file("rename", file, source)),
            Self::Shred => shred(file).map(|()| None).map_err(|source| CliError::file("shred", file, source)),
        }
    }

    /// Says what it means that it was done.
    pub(super) fn tell(self, file: &Path, now: Option<&Path>) {
        match (self, now) {
            (Self::Shred, _) => report::note(&format!(
                "{} was overwritten and removed. An SSD, or a file system that copies on write or keeps snapshots, may \
                 still hold its old bytes, and so may backups; where that matters, replace the credentials at their \
                 issuers",
                file.display()
            )),
            (Self::Keep | Self::Bak, Some(now)) => report::note(&format!(
                "the old file lies at {}: whoever has it and its key has the credentials",
                now.display()
            )),
            (Self::Keep | Self::Bak, None) => {}
        }
    }
}

/// Renames to FILE.bak, or FILE.bak.2 and so on: a backup that is there already is never replaced.
fn back_up(file: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let mut name = OsString::from(file);
        name.push(".bak");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let target = PathBuf::from(name);
        match renameat_with(CWD, file, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(target),
            // A file system that cannot promise it, such as NFS: look first.
            Err(Errno::INVAL | Errno::NOSYS) if target.symlink_metadata().is_err() => {
                return fs::rename(file, &target).map(|()| target);
            }
            Err(Errno::EXIST | Errno::INVAL | Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Overwrites a file with zeros down to the disk, and removes it.
fn shred(file: &Path) -> io::Result<()> {
    const ZEROS: [u8; 8192] = [0; 8192];
    let real = file.canonicalize()?;
    let mut open = OpenOptions::new().write(true).open(&real)?;
    let meta = open.metadata()?;
    let mut left = meta.len();
    while left > 0 {
        let chunk = ZEROS.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
        open.write_all(chunk)?;
        left -= chunk.len() as u64;
    }
    open.sync_all()?;
    if meta.nlink() > 1 {
        report::warning(&format!(
            "{} had more than one name; the others are now full of zeros",
            file.display()
        ));
    }
    fs::remove_file(&real)?;
    if real != file && file.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        fs::remove_file(file)?;
    }
    match real.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
