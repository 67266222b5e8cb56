//! Anchors: the newest head that was seen, kept where whoever writes the store cannot reach. An anchor is raised and
//! never lowered; a head that is older, or does not descend from it, is a roll-back.

mod token;

pub use token::TokenAnchor;

use crate::VaultError;
use claviger_types::Digest;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A head, by its place in the chain and its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The head's epoch.
    pub epoch: u64,
    /// SHA-256 of the head's bytes.
    pub digest: Digest,
}

impl Seen {
    /// As an anchor keeps it: one line, `EPOCH DIGEST`.
    fn line(&self) -> String {
        format!("{} {}\n", self.epoch, self.digest)
    }

    fn parse(text: &str) -> Option<Self> {
        let (epoch, digest) = text.strip_suffix('\n')?.split_once(' ')?;
        Some(Self { epoch: epoch.parse().ok()?, digest: digest.parse().ok()? })
    }
}

/// A place that remembers the newest head.
pub trait Anchor: Send + Sync {
    /// Where that is, for messages.
    fn location(&self) -> String;

    /// The newest head that was seen; `None` if the anchor was never set or is gone.
    fn read(&self) -> Result<Option<Seen>, VaultError>;

    /// Finds out, before anything is changed, whether the anchor could be raised now.
    fn prepare(&self) -> Result<(), VaultError>;

    /// What it is raised to when this is the newest head, and this the newest milestone before it.
    fn target(&self, newest: Seen, _milestone: Option<Seen>) -> Seen {
        newest
    }

    /// Raises the anchor to `to` if it stands lower, under a lock; one that stands higher already stays. A missing one
    /// is an error unless `create`.
    fn raise(&self, to: Seen, create: bool) -> Result<(), VaultError>;

    /// The same without the patience of an anchor that is not raised each time.
    fn settle(&self, to: Seen) -> Result<(), VaultError> {
        self.raise(to, false)
    }

    /// Sets the anchor to a head that an administrator vouched for, whatever it said before.
    fn reset(&self, to: Seen) -> Result<(), VaultError>;
}

/// An anchor in a file of its own: one line, `EPOCH DIGEST`.
#[derive(Debug)]
pub struct FileAnchor {
    path: PathBuf,
}

/// The longest line that an anchor file may hold.
const MOST_BYTES: u64 = 128;

/// As much space as an anchor takes at most.
const RESERVED: [u8; 128] = [b' '; 128];

impl FileAnchor {
    /// The anchor in this file, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn error(&self, action: &'static str, source: io::Error) -> VaultError {
        VaultError::Anchor { location: self.location(), action, source }
    }

    /// Runs `change` under the lock that all raisers take: a file beside the anchor, since the anchor itself is
    /// replaced.
    fn locked(&self, change: impl FnOnce() -> Result<(), VaultError>) -> Result<(), VaultError> {
        let _lock = lock(&self.path.with_extension("lock")).map_err(|error| self.error("raised", error))?;
        change()
    }

    /// The file that takes the anchor's place; what space it has already is kept.
    fn fresh(&self) -> io::Result<(PathBuf, File)> {
        let fresh = self.path.with_extension("new");
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&fresh)?;
        Ok((fresh, file))
    }

    /// Replaces the file whole: a crash leaves the old line or the new one, and both are heads that were seen.
    fn write(&self, seen: Seen) -> io::Result<()> {
        let line = seen.line();
        let (fresh, mut file) = self.fresh()?;
        file.write_all(line.as_bytes())?;
        file.set_len(u64::try_from(line.len()).unwrap_or(MOST_BYTES))?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

impl Anchor for FileAnchor {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self) -> Result<Option<Seen>, VaultError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("read", error)),
        };
        let mut text = String::new();
        file.take(MOST_BYTES).read_to_string(&mut text).map_err(|error| self.error("read", error))?;
        Seen::parse(&text).map(Some).ok_or_else(|| {
            self.error("read", io::Error::new(io::ErrorKind::InvalidData, "it holds no anchor"))
        })
    }

    fn prepare(&self) -> Result<(), VaultError> {
        let reserve = || self.fresh()?.1.write_all(&RESERVED);
        self.locked(|| reserve().map_err(|error| self.error("raised", error)))
    }

    fn raise(&self, to: Seen, create: bool) -> Result<(), VaultError> {
        self.locked(|| match self.read()? {
            Some(seen) if seen.epoch >= to.epoch => Ok(()),
            None if !create => {
                Err(VaultError::RolledBack { what: format!("the anchor {} is gone", self.location()) })
            }
            _ => self.write(to).map_err(|error| self.error("raised", error)),
        })
    }

    fn reset(&self, to: Seen) -> Result<(), VaultError> {
        self.locked(|| self.write(to).map_err(|error| self.error("raised", error)))
    }
}

/// The lock that all raisers of one anchor take; given back when the file is closed.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

#[cfg(test)]
mod tests;
