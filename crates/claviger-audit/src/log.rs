//! Appending: one write a record, under a lock that every writer of every process takes.

use crate::{
    AuditError, AuditPublicKey, AuditReader, Entry, EntryId, Recorded,
    files::{Directory, Locked, written},
    frame::{self, Body, End},
    segment::Segment,
};
use claviger_types::{Clock, Digest, Entropy, VaultId};
use std::{
    fmt,
    io::{self, Write as _},
    path::PathBuf,
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
    directory: Directory,
    public: AuditPublicKey,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    durability: Durability,
    writing: Mutex<Option<Writing>>,
}

/// Where this process writes: the newest file, and the segment whose key lies in it. Dropped after every failure, so
/// that a segment's indices have no gaps but those that someone cut.
struct Writing {
    locked: Locked,
    /// The length and chain hash of the file as this process left it; another may have appended since.
    length: u64,
    chain: Digest,
    segment: Option<(Segment, u64)>,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        let directory = Directory::new(directory.into(), vault);
        directory.prepare()?;
        Ok(Self { directory, public, entropy, clock, durability, writing: Mutex::default() })
    }

    /// The log as a reader sees it.
    pub fn reader(&self) -> AuditReader {
        AuditReader::new(self.directory.path(), self.directory.vault())
    }

    /// Appends a record. When this returns, it is in the log.
    pub fn append(&self, entry: &Entry) -> Result<EntryId, AuditError> {
        let recorded = Recorded { time: self.clock.now(), entry: entry.clone() };
        // A thread that died here left a whole record or a torn one, and took what it knew of the file with it.
        let mut slot = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writing = self.writing(slot.take())?;
        let id = self.write(&mut writing, &recorded)?;
        writing.locked.unlock()?;
        *slot = Some(writing);
        Ok(id)
    }

    /// The end of the log, locked: where this process wrote before, if that is still the end.
    fn writing(&self, before: Option<Writing>) -> Result<Writing, AuditError> {
        if let Some(mut writing) = before {
            writing.locked.lock()?;
            match writing.locked.length()? {
                Some(length) if length == writing.length && length < MAX_FILE => return Ok(writing),
                Some(length) if length < MAX_FILE => {
                    if let Some(chain) = writing.locked.last_chain(length)? {
                        return Ok(Writing { length, chain, ..writing });
                    }
                }
                _ => {}
            }
        }
        loop {
            let newest = self.directory.numbers()?.last().copied().unwrap_or(1);
            let mut locked = self.directory.open(newest)?;
            // A writer that was faster may have gone on to the next file before the lock was free.
            let still = self.directory.numbers()?.last() == Some(&newest);
            if let (true, Some(length)) = (still, locked.length()?) {
                return match locked.last_chain(length)? {
                    Some(chain) if length < MAX_FILE => Ok(Writing { locked, length, chain, segment: None }),
                    Some(chain) => self.follow(&locked, chain),
                    None if length == 0 => {
                        let (chain, _) = self.directory.chain_after(newest)?;
                        Ok(Writing { locked, length, chain, segment: None })
                    }
                    None => self.follow_torn(&locked),
                };
            }
        }
    }

    /// Begins the next file after one that a crash cut short. One that was changed is not written on.
    fn follow_torn(&self, torn: &Locked) -> Result<Writing, AuditError> {
        match self.directory.chain_after(torn.number)? {
            (_, End::Broken(offset)) => Err(self.directory.damaged(torn.number, offset)),
            (chain, End::Whole | End::Torn(_)) => self.follow(torn, chain),
        }
    }

    /// Begins the next file, while the lock on the one before is held. It carries the chain on.
    fn follow(&self, before: &Locked, chain: Digest) -> Result<Writing, AuditError> {
        let locked = self.directory.open(before.number + 1)?;
        Ok(Writing { locked, length: 0, chain, segment: None })
    }

    /// Writes a record, and before it the beginning of a segment where there is none: all in one go.
    fn write(&self, writing: &mut Writing, recorded: &Recorded) -> Result<EntryId, AuditError> {
        let mut frames = Frames { bytes: Vec::with_capacity(1 << 10), chain: writing.chain };
        let too_large = || {
            written(
                &writing.locked.path,
                io::Error::new(io::ErrorKind::InvalidInput, "the record is too large"),
            )
        };
        let (segment, index) = if let Some(present) = writing.segment.take() {
            present
        } else {
            let (segment, begin) =
                Segment::begin(self.directory.vault(), &self.public, self.entropy.as_ref())?;
            frames.push(&begin).ok_or_else(too_large)?;
            (segment, 0)
        };
        let body = segment.seal(index, &frames.chain, recorded)?;
        frames.push(&body).ok_or_else(too_large)?;
        if let Err(error) = self.write_all(writing, &frames.bytes) {
            // Half a frame is as good as none; what cannot be taken back will be found torn.
            let _ = writing.locked.file.set_len(writing.length);
            return Err(error);
        }
        writing.length += u64::try_from(frames.bytes.len()).unwrap_or(u64::MAX);
        writing.chain = frames.chain;
        let id = EntryId { segment: segment.id(), index };
        writing.segment = Some((segment, index + 1));
        Ok(id)
    }

    fn write_all(&self, writing: &mut Writing, bytes: &[u8]) -> Result<(), AuditError> {
        let file = &mut writing.locked.file;
        let outcome = file.write_all(bytes).and_then(|()| match self.durability {
            Durability::WriteThrough => Ok(()),
            Durability::Fsync => file.sync_data(),
        });
        outcome.map_err(|error| written(&writing.locked.path, error))?;
        if self.durability == Durability::Fsync && writing.length == 0 {
            self.directory.sync()?;
        }
        Ok(())
    }
}

/// Frames on their way to the file, and the chain hash after them.
struct Frames {
    bytes: Vec<u8>,
    chain: Digest,
}

impl Frames {
    fn push(&mut self, body: &Body) -> Option<()> {
        self.chain = frame::write(&mut self.bytes, &self.chain, &body.encode()?)?;
        Some(())
    }
}
