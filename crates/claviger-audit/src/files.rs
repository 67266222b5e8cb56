//! The files of a log: their names, who may touch them, and how the chain stands at their ends.

use crate::{
    AuditError,
    frame::{self, End},
};
use claviger_types::{Digest, VaultId};
use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
    process::geteuid,
};
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long a writer waits for another one, which needs the lock for microseconds unless it is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sleeps between two tries for the lock, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

/// The directory of one vault's log.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
    vault: VaultId,
}

impl Directory {
    pub(crate) fn new(path: PathBuf, vault: VaultId) -> Self {
        Self { path, vault }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn vault(&self) -> VaultId {
        self.vault
    }

    /// Makes the directory if it is missing, and refuses one that others may enter.
    pub(crate) fn prepare(&self) -> Result<(), AuditError> {
        let failed = |error| written(&self.path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed)?;
        check_private(&self.path, &fs::symlink_metadata(&self.path).map_err(failed)?, "700")
    }

    /// The numbers of the files, in order.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>, AuditError> {
        let failed = |error| read(&self.path, error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
            // Another spelling of a number is none of our files.
            if let Some(number) = number.filter(|number| *name == *file_name(*number)) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(crate) fn file(&self, number: u64) -> PathBuf {
        self.path.join(file_name(number))
    }

    /// Opens a file to append to it, and waits until no one else does. It is made if it is missing.
    pub(crate) fn open(&self, number: u64) -> Result<Locked, AuditError> {
        let path = self.file(number);
        let failed = |error| written(&path, error);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        let locked = Locked { identity: identity(&found), file, path, number };
        locked.lock()?;
        Ok(locked)
    }

    /// The chain hash after the last whole frame of the files up to this number. Only files that are torn, and the one
    /// before them, are read to their end.
    pub(crate) fn chain_after(&self, number: u64) -> Result<(Digest, End), AuditError> {
        let mut torn = Vec::new();
        let mut chain = frame::origin(self.vault);
        for number in (1..=number).rev() {
            let failed = |error| self.unreadable(number, error);
            let mut file = File::open(self.file(number)).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            if let Some(found) = last_chain(&mut file, length).map_err(failed)? {
                chain = found;
                break;
            }
            torn.push(number);
        }
        let mut end = End::Whole;
        for number in torn.into_iter().rev() {
            (chain, end) = frame::walk(&self.contents(number)?, chain, &mut |_| true);
        }
        Ok((chain, end))
    }

    /// All bytes of a file.
    pub(crate) fn contents(&self, number: u64) -> Result<Vec<u8>, AuditError> {
        fs::read(self.file(number)).map_err(|error| self.unreadable(number, error))
    }

    /// A file of the row that is missing was taken out.
    fn unreadable(&self, number: u64, error: io::Error) -> AuditError {
        match error.kind() {
            io::ErrorKind::NotFound => self.damaged(number, 0),
            _ => read(&self.file(number), error),
        }
    }

    /// Makes the name of a new file last through a power failure.
    pub(crate) fn sync(&self) -> Result<(), AuditError> {
        File::open(&self.path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| written(&self.path, error))
    }

    pub(crate) fn damaged(&self, number: u64, offset: usize) -> AuditError {
        AuditError::Damaged { path: self.file(number), offset: u64::try_from(offset).unwrap_or(u64::MAX) }
    }
}

/// A file that this process appends to, while it holds the lock.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    identity: (u64, u64),
}

impl Locked {
    pub(crate) fn lock(&self) -> Result<(), AuditError> {
        let start = Instant::now();
        let (mut pause, longest) = PAUSES;
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => {
                    thread::sleep(pause);
                    pause = (2 * pause).min(longest);
                }
                Err(error) => return Err(written(&self.path, error.into())),
            }
        }
    }

    pub(crate) fn unlock(&self) -> Result<(), AuditError> {
        flock(&self.file, FlockOperation::Unlock).map_err(|error| written(&self.path, error.into()))
    }

    /// The length of the file that the path leads to; `None` when that is not the open one any more.
    pub(crate) fn length(&self) -> Result<Option<u64>, AuditError> {
        let named = fs::symlink_metadata(&self.path).map_err(|error| written(&self.path, error))?;
        check_private(&self.path, &named, "600")?;
        Ok((identity(&named) == self.identity).then_some(named.len()))
    }

    /// The chain hash at the end of the file; `None` for one that is torn.
    pub(crate) fn last_chain(&mut self, length: u64) -> Result<Option<Digest>, AuditError> {
        last_chain(&mut self.file, length).map_err(|error| read(&self.path, error))
    }
}

/// The chain hash at the end of a file; `None` for one that is torn. An empty file is torn too: it says nothing of the
/// chain.
fn last_chain(file: &mut File, length: u64) -> io::Result<Option<Digest>> {
    // Most records are small: a first look at a few hundred bytes nearly always shows a whole frame.
    for most in [1 << 10, frame::LAST_BYTES] {
        let from = length.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        let mut end = Vec::with_capacity(most);
        file.seek(SeekFrom::Start(from))?;
        file.by_ref().take(length - from).read_to_end(&mut end)?;
        if let Some(chain) = frame::last_chain(&end, from == 0) {
            return Ok(Some(chain));
        }
    }
    Ok(None)
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn file_name(number: u64) -> String {
    format!("{number:08}.log")
}

fn check_private(path: &Path, found: &Metadata, mode: &'static str) -> Result<(), AuditError> {
    let exposed =
        |problem: String, mend: String| Err(AuditError::Exposed { path: path.to_owned(), problem, mend });
    let me = geteuid().as_raw();
    if found.uid() != me {
        return exposed(
            format!("belongs to user {}, not to you ({me})", found.uid()),
            format!("chown {me} '{}'", path.display()),
        );
    }
    if found.mode() & 0o077 != 0 {
        return exposed(
            format!("is open to others (mode {:04o})", found.mode() & 0o7777),
            format!("chmod {mode} '{}'", path.display()),
        );
    }
    Ok(())
}

pub(crate) fn written(path: &Path, source: io::Error) -> AuditError {
    AuditError::Io { path: path.to_owned(), action: "written", source }
}

pub(crate) fn read(path: &Path, source: io::Error) -> AuditError {
    AuditError::Io { path: path.to_owned(), action: "read", source }
}
