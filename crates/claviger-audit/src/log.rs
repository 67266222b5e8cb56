//! Appending: under a lock that every writer of every process takes, one write a record.

use crate::{
    AuditError, AuditPublicKey, AuditReader, Entry, Recorded, error::AuditError::Exposed, frame, frame::End,
    segment::Segment,
};
use claviger_types::{Clock, Digest, Entropy, VaultId};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A file that has grown beyond this is followed by a new one.
const MAX_FILE: u64 = 8 << 20;

/// What a record survives once it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The end of the process, however it comes; not a power cut.
    #[default]
    WriteThrough,
    /// A power cut as well: each record waits for the disk.
    Fsync,
}

/// The log as a writer sees it.
pub struct AuditLog {
    directory: PathBuf,
    vault: VaultId,
    public: AuditPublicKey,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    durability: Durability,
    writing: Mutex<Option<Writing>>,
}

/// The segment that this process writes, and the file that holds its key.
struct Writing {
    segment: Segment,
    next: u64,
    file: u64,
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl AuditLog {
    /// Opens the log in this directory, which is made (0700) if it is not there. Others' access is refused.
    pub fn open(
        directory: impl Into<PathBuf>,
        vault: VaultId,
        public: AuditPublicKey,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
        durability: Durability,
    ) -> Result<Self, AuditError> {
        let directory = directory.into();
        let broken = |source| AuditError::Io { path: directory.clone(), action: "written", source };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(broken)?;
        check_private(&directory, &fs::symlink_metadata(&directory).map_err(broken)?, "700")?;
        Ok(Self { directory, vault, public, entropy, clock, durability, writing: Mutex::default() })
    }

    /// The log as a reader sees it.
    pub fn reader(&self) -> AuditReader {
        AuditReader::new(&self.directory, self.vault)
    }

    /// Appends a record. When this returns, it is in the log.
    pub fn append(&self, entry: &Entry) -> Result<(), AuditError> {
        let recorded = Recorded { time: self.clock.now(), entry: entry.clone() };
        // A thread that died here wrote a whole record or a torn one, and the next append looks.
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lock_path = self.directory.join("lock");
        let lock = self.private_file(&lock_path)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| self.broken(&lock_path, error.into()))?;

        let mut tail = self.tail()?;
        let mut bytes = Vec::new();
        if writing.as_ref().is_none_or(|writing| writing.file != tail.number) {
            let (segment, begin) = Segment::begin(self.vault, &self.public, self.entropy.as_ref())?;
            tail.push(&mut bytes, &begin)?;
            *writing = Some(Writing { segment, next: 0, file: tail.number });
        }
        let Some(present) = writing.as_mut() else { return Err(AuditError::Key) };
        let index = present.next;
        // Counted before it is written: an index whose write failed is never used again.
        present.next += 1;
        tail.push(&mut bytes, &present.segment.seal(index, &recorded)?)?;
        let written = tail.file.write_all(&bytes).and_then(|()| match self.durability {
            Durability::WriteThrough => Ok(()),
            Durability::Fsync => tail.file.sync_data(),
        });
        written.map_err(|error| self.broken(&tail.path, error))
    }

    /// The end of the log: the newest file, or a new one if that is full or ends in a torn frame.
    fn tail(&self) -> Result<Tail, AuditError> {
        let numbers = file_numbers(&self.directory)?;
        let Some(&number) = numbers.last() else { return self.tail_at(1, frame::origin(self.vault)) };
        let path = file_path(&self.directory, number);
        let mut file = self.private_file(&path)?;
        let broken = |error| self.broken(&path, error);
        let length = file.metadata().map_err(broken)?.len();
        if length < MAX_FILE
            && let Some(chain) = last_chain(&mut file, length).map_err(broken)?
        {
            return Ok(Tail { file, path, number, chain });
        }
        // The new file carries the chain on from the last whole frame, so nothing is lost between them.
        let (chain, end) = AuditReader::new(&self.directory, self.vault).chain_after(number)?;
        match end {
            End::Broken(offset) => {
                Err(AuditError::Damaged { path, offset: u64::try_from(offset).unwrap_or(u64::MAX) })
            }
            End::Whole | End::Torn(_) => self.tail_at(number + 1, chain),
        }
    }

    fn tail_at(&self, number: u64, chain: Digest) -> Result<Tail, AuditError> {
        let path = file_path(&self.directory, number);
        Ok(Tail { file: self.private_file(&path)?, path, number, chain })
    }

    /// Opens a file to append, made 0600 from the first byte, and refuses one that others may touch.
    fn private_file(&self, path: &Path) -> Result<File, AuditError> {
        let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let file = open.map_err(|error| self.broken(path, error))?;
        check_private(path, &file.metadata().map_err(|error| self.broken(path, error))?, "600")?;
        Ok(file)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: this log is broken")]
    fn broken(&self, path: &Path, source: io::Error) -> AuditError {
        AuditError::Io { path: path.to_owned(), action: "written", source }
    }
}

struct Tail {
    file: File,
    path: PathBuf,
    number: u64,
    chain: Digest,
}

impl Tail {
    fn push(&mut self, bytes: &mut Vec<u8>, body: &frame::Body) -> Result<(), AuditError> {
        let too_large = || AuditError::Io {
            path: self.path.clone(),
            action: "written",
            source: io::Error::new(io::ErrorKind::InvalidInput, "the record is too large"),
        };
        let body = body.encode().ok_or_else(too_large)?;
        self.chain = frame::write(bytes, &self.chain, &body).ok_or_else(too_large)?;
        Ok(())
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
        Read::by_ref(file).take(length - from).read_to_end(&mut end)?;
        if let Some(chain) = frame::last_chain(&end, from == 0) {
            return Ok(Some(chain));
        }
    }
    Ok(None)
}

/// The numbers of a log's files, in order.
pub(crate) fn file_numbers(directory: &Path) -> Result<Vec<u64>, AuditError> {
    let broken = |source| AuditError::Io { path: directory.to_owned(), action: "read", source };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(broken)? {
        let name = entry.map_err(broken)?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(crate) fn file_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.log"))
}

fn check_private(path: &Path, found: &fs::Metadata, mode: &'static str) -> Result<(), AuditError> {
    let exposed = |problem: String, mend: String| Err(Exposed { path: path.to_owned(), problem, mend });
    let me = rustix::process::geteuid().as_raw();
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
