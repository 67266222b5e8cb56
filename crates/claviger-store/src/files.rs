//! Paths, and files that appear under their name only when they are complete.

use crate::StoreError;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(crate) fn unreachable(context: &str, error: io::Error) -> StoreError {
    StoreError::Unreachable { context: context.to_owned(), source: Box::new(error) }
}

/// Makes a new name of a file last through a power failure.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some file systems cannot, and need not.
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        result => result,
    }
}

/// A file on its way to its name; removed when dropped.
pub(crate) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Makes a file beside the one to be, with `make`, which must not take a file that exists.
    pub(crate) fn beside<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        let mut number = 0_u32;
        loop {
            let draft = beside(path, &format!(".{}.{number}.new", std::process::id()));
            match make(&draft) {
                Ok(file) => return Ok((Self { path: draft }, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, for good, and never in the place of another.
    pub(crate) fn publish(self, path: &Path) -> Result<(), StoreError> {
        let failed = |error| unreachable(&format!("making {}", path.display()), error);
        match rename_to_new(&self.path, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists { location: path.to_owned() });
            }
            result => result.map_err(failed)?,
        }
        drop(self);
        sync_directory(directory_of(path)).map_err(failed)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed lies under a name that nobody looks at.
        let _ = fs::remove_file(&self.path);
    }
}

/// Renames a file to a name that nobody has. Not every file system can do that in one step; those that cannot have hard
/// links, which leave the old name to be removed.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(from, to),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests;
