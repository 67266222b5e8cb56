//! Files and directories that only their owner may read or change: made so, and refused when they are not.

use crate::StoreError;
use rustix::{fs::Mode, process::geteuid};
use std::{
    fs::{self, DirBuilder, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const STICKY: u32 = Mode::SVTX.bits();

/// Makes a directory and what is missing above it, for their owner alone, whatever the umask.
pub(super) fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        // Another process made it meanwhile; whether it is fit is checked afterwards.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        // A umask takes bits away, even the owner's.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)),
    }
}

/// Makes an empty file for its owner alone; one that exists is an error.
pub(super) fn make_file(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))
}

/// Refuses a directory that others can enter or change.
pub(super) fn check_directory(path: &Path) -> Result<(), StoreError> {
    let found = fs::symlink_metadata(path).map_err(|error| unreadable(path, error))?;
    let exposed =
        |problem: String, mend: String| Err(StoreError::Exposed { path: path.into(), problem, mend });
    if !found.is_dir() {
        return exposed("is no directory".to_owned(), "use another path".to_owned());
    }
    // Advice to close a directory that others need, such as /tmp, would do harm.
    let own =
        format!("give the store a directory of its own: mkdir -m 700 {}", shell(&path.join("claviger")));
    if found.uid() != geteuid().as_raw() {
        return exposed(owner_problem(&found), own);
    }
    if found.mode() & 0o077 != 0 {
        let mend = if found.mode() & STICKY == 0 { format!("chmod 700 {}", shell(path)) } else { own };
        return exposed(mode_problem(&found), mend);
    }
    Ok(())
}

/// Refuses a file that others can read or change, and whatever is no plain file. Says whether it is there.
pub(super) fn check_file(path: &Path) -> Result<Option<Metadata>, StoreError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, error)),
    };
    let exposed =
        |problem: String, mend: String| Err(StoreError::Exposed { path: path.into(), problem, mend });
    if found.is_symlink() {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let mend = format!("name the file itself, {}, or put it there", shell(&target));
        return exposed("is a symbolic link".to_owned(), mend);
    }
    if !found.is_file() {
        return exposed("is no plain file".to_owned(), "use another path".to_owned());
    }
    let uid = geteuid().as_raw();
    if found.uid() != uid {
        let mend = format!("run this as uid {}, or: chown {uid} {}", found.uid(), shell(path));
        return exposed(owner_problem(&found), mend);
    }
    if found.mode() & 0o177 != 0 {
        return exposed(mode_problem(&found), format!("chmod 600 {}", shell(path)));
    }
    Ok(Some(found))
}

fn owner_problem(found: &Metadata) -> String {
    format!("belongs to uid {}, not to uid {}", found.uid(), geteuid().as_raw())
}

fn mode_problem(found: &Metadata) -> String {
    format!("is open to others (mode {:04o})", found.mode() & 0o7777)
}

fn unreadable(path: &Path, error: io::Error) -> StoreError {
    let context = format!("looking at {}", path.display());
    StoreError::Unreachable { context, source: Box::new(error) }
}

/// A path as a word of a shell command.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
