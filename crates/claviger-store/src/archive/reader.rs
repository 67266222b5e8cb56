//! Reading an archive, as a store that cannot be changed.

use super::{ArchiveSummary, FORMAT, HEAD, NAME, OBJECT};
use crate::{
    Commit, Erasure, Listed, MAX_HEAD_BYTES, MAX_OBJECT_BYTES, Object, Revision, Store, StoreError, WorkLock,
    files::unreachable,
};
use claviger_types::{Clock as _, Digest, ObjectId, SystemClock, Timestamp};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{BufRead as _, BufReader, ErrorKind},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// The revision that never changes.
const REVISION: Revision = Revision(0);

/// An archive as a store: what is in it can be read, and nothing changed. An index of 32 bytes for each object is in
/// memory; the objects are read from the file one by one.
#[derive(Debug)]
pub struct ArchiveStore {
    path: PathBuf,
    file: File,
    /// In order of id, each id once.
    index: Vec<Entry>,
    head: Vec<u8>,
    written: Timestamp,
    summary: ArchiveSummary,
}

/// Where an object's bytes lie.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: ObjectId,
    length: u32,
    offset: u64,
}

impl ArchiveStore {
    /// Opens an archive: reads it once from end to end and checks its structure and its digest. Who else may read it is
    /// not asked, since it may lie on a file system of another machine; it must be a plain file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = open_plain(path)?;
        let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
        let mut source = Source::of(&file, path);
        source.first_line()?;
        let mut index = Vec::new();
        let (head, objects) = loop {
            let at = source.at;
            match source.array::<1>()? {
                [OBJECT] => index.push(source.object(at)?),
                [HEAD] => break source.head(at)?,
                _ => return Err(damaged(&format!("what begins at byte {at} is no record of an archive"))),
            }
        };
        let counted = u64::try_from(index.len()).unwrap_or(u64::MAX);
        if objects != counted {
            return Err(damaged(&format!("it says that it holds {objects} objects, and holds {counted}")));
        }
        let summary = source.end(objects)?;
        let mut store =
            Self { path: path.to_owned(), file, index, head, written: written(&metadata), summary };
        store.sort()?;
        Ok(store)
    }

    /// What the archive holds.
    pub fn summary(&self) -> ArchiveSummary {
        self.summary
    }

    /// Brings the index into order and takes repetitions out of it.
    fn sort(&mut self) -> Result<(), StoreError> {
        let mut index = std::mem::take(&mut self.index);
        index.sort_unstable_by_key(|entry| (entry.id, entry.offset));
        let mut other = None;
        index.dedup_by(|later, first| {
            if later.id != first.id || other.is_some() {
                return false;
            }
            match self.are_equal(first, later) {
                Ok(true) => true,
                Ok(false) => {
                    let what =
                        format!("object {} stands in it twice, with other bytes the second time", later.id);
                    other = Some(damaged(&what));
                    false
                }
                Err(error) => {
                    other = Some(error);
                    false
                }
            }
        });
        index.shrink_to_fit();
        self.index = index;
        other.map_or(Ok(()), Err)
    }

    fn are_equal(&self, one: &Entry, other: &Entry) -> Result<bool, StoreError> {
        Ok(one.length == other.length && self.read(one)? == self.read(other)?)
    }

    fn read(&self, entry: &Entry) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(entry.length).unwrap_or(usize::MAX)];
        match self.file.read_exact_at(&mut bytes, entry.offset) {
            // It was whole when it was opened.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(cut_off(entry.offset)),
            result => result.map(|()| bytes).map_err(|error| unreadable(&self.path, error)),
        }
    }

    fn read_only<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::ReadOnly { location: self.path.clone() })
    }
}

impl Store for ArchiveStore {
    fn put(&self, _: &[Object]) -> Result<(), StoreError> {
        self.read_only()
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let find = |id: &ObjectId| self.index.binary_search_by_key(id, |entry| entry.id).ok();
        ids.iter()
            .map(|id| find(id).and_then(|at| self.index.get(at)).map(|entry| self.read(entry)).transpose())
            .collect()
    }

    fn delete(&self, _: &[ObjectId]) -> Result<(), StoreError> {
        self.read_only()
    }

    /// The age of every object is the file's, by the time of its last change.
    fn list(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let age = SystemClock.now().since(self.written);
        let skipped = after.map_or(0, |after| self.index.partition_point(|entry| entry.id <= after));
        Ok(self.index.iter().skip(skipped).take(limit).map(|entry| Listed { id: entry.id, age }).collect())
    }

    fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Some(self.head.clone()))
    }

    fn commit(&self, _: Option<&[u8]>, _: &[u8], _: &[Object], _: &[ObjectId]) -> Result<Commit, StoreError> {
        self.read_only()
    }

    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError> {
        if seen == Some(REVISION) {
            std::thread::sleep(timeout);
        }
        Ok(REVISION)
    }

    /// Always given: there is nothing that two could do at once.
    fn work_lock(&self) -> Result<Option<WorkLock>, StoreError> {
        Ok(Some(WorkLock::new(())))
    }

    fn begin_erasure(&self) -> Result<(), StoreError> {
        self.read_only()
    }

    fn erase(&self) -> Result<Erasure, StoreError> {
        Ok(Erasure::Done)
    }

    fn erasure_pending(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// The file from its start, every byte of which goes into the digest.
struct Source<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    hasher: Sha256,
    at: u64,
}

impl<'a> Source<'a> {
    fn of(file: &'a File, path: &'a Path) -> Self {
        Self { path, reader: BufReader::with_capacity(1 << 17, file), hasher: Sha256::new(), at: 0 }
    }

    fn first_line(&mut self) -> Result<(), StoreError> {
        let none = || damaged("it is no claviger archive");
        let mut line = Vec::new();
        let most = NAME.len() + 21;
        while line.last() != Some(&b'\n') && line.len() < most {
            // Too short for a first line, or for another program's file: no archive.
            line.extend(self.array::<1>().map_err(|error| if is_damage(&error) { none() } else { error })?);
        }
        let digits = line.strip_prefix(NAME).and_then(|rest| rest.strip_suffix(b"\n")).ok_or_else(none)?;
        let number: u64 =
            std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(none)?;
        match number {
            _ if number.to_string().as_bytes() != digits => Err(none()),
            FORMAT => Ok(()),
            found if found > FORMAT => Err(StoreError::NewerFormat { found, supported: FORMAT }),
            _ => Err(none()),
        }
    }

    /// The rest of an object's record that began there.
    fn object(&mut self, at: u64) -> Result<Entry, StoreError> {
        let id = ObjectId::from_bytes(self.array()?);
        let length = self.length(MAX_OBJECT_BYTES, at)?;
        let entry = Entry { id, length, offset: self.at };
        self.each(length.into(), |_| ())?;
        Ok(entry)
    }

    /// The rest of the head's record, with the number of objects.
    fn head(&mut self, at: u64) -> Result<(Vec<u8>, u64), StoreError> {
        let length = self.length(MAX_HEAD_BYTES, at)?;
        let mut head = Vec::new();
        self.each(length.into(), |some| head.extend_from_slice(some))?;
        Ok((head, u64::from_be_bytes(self.array()?)))
    }

    fn end(mut self, objects: u64) -> Result<ArchiveSummary, StoreError> {
        let computed = self.hasher.finalize_reset().into();
        if self.array::<32>()? != computed {
            return Err(damaged("its digest does not fit: bytes of it were changed"));
        }
        if !filled(&mut self.reader, self.path)?.is_empty() {
            return Err(damaged(&format!("something follows its end at byte {}", self.at)));
        }
        Ok(ArchiveSummary { objects, bytes: self.at, digest: Digest::from_bytes(computed) })
    }

    fn length(&mut self, limit: usize, at: u64) -> Result<u32, StoreError> {
        let length = u32::from_be_bytes(self.array()?);
        if usize::try_from(length).is_ok_and(|length| length <= limit) {
            return Ok(length);
        }
        Err(damaged(&format!("the record at byte {at} says that it has {length} bytes; the most is {limit}")))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut array = [0; N];
        let mut rest = array.iter_mut();
        self.each(u64::try_from(N).unwrap_or(u64::MAX), |some| {
            rest.by_ref().zip(some).for_each(|(to, from)| *to = *from);
        })?;
        Ok(array)
    }

    /// Goes through the next bytes, however many, a buffer at a time.
    fn each(&mut self, length: u64, mut on: impl FnMut(&[u8])) -> Result<(), StoreError> {
        let end = self.at.saturating_add(length);
        while self.at < end {
            let at = self.at;
            let some = filled(&mut self.reader, self.path)?;
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let some = some.get(..wanted).unwrap_or(some);
            if some.is_empty() {
                return Err(cut_off(at));
            }
            on(some);
            let read = some.len();
            self.hasher.update(some);
            self.reader.consume(read);
            self.at += u64::try_from(read).unwrap_or(u64::MAX);
        }
        Ok(())
    }
}

/// What is in the buffer; nothing at the end of the file.
fn filled<'a>(reader: &'a mut BufReader<&File>, path: &Path) -> Result<&'a [u8], StoreError> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(path, error)),
            Ok(_) => return Ok(reader.buffer()),
        }
    }
}

fn open_plain(path: &Path) -> Result<File, StoreError> {
    let plain = |found: &Metadata| {
        if found.is_file() { Ok(()) } else { Err(damaged(&format!("{} is no plain file", path.display()))) }
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::Absent { location: path.to_owned() });
        }
        result => plain(&result.map_err(|error| unreadable(path, error))?)?,
    }
    // A pipe that was put there meanwhile must not be waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| unreadable(path, error))?;
    plain(&file.metadata().map_err(|error| unreadable(path, error))?)?;
    Ok(file)
}

/// The time of the file's last change; one before 1970 is none that a clock of ours gave.
fn written(metadata: &Metadata) -> Timestamp {
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let more = u64::try_from(metadata.mtime_nsec()).unwrap_or_default() / 1_000_000;
    Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(more))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged { context: format!("the archive: {what}"), source: None }
}

fn cut_off(at: u64) -> StoreError {
    damaged(&format!("it is cut off at byte {at}"))
}

fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. })
}

fn unreadable(path: &Path, error: std::io::Error) -> StoreError {
    unreachable(&format!("reading the archive {}", path.display()), error)
}
