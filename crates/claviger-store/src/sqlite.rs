//! The default engine: one SQLite file on this machine.
//!
//! WAL mode with `synchronous = FULL`: a commit is on the disk before it returns, and readers never wait for a writer.
//! Any number of processes and threads may use the file at once; writers take turns and give up after ten seconds.
//! The file, its log (`-wal`), the log's index (`-shm`), the file whose lock is the work lock (`-work`) and the note of
//! an erasure (`-erase`) are 0600, their directory 0700, all owned by the user: this is checked at each opening, and
//! anything else is refused.
//!
//! # What deleting leaves behind
//!
//! `secure_delete` overwrites a deleted row with zeros, in the log first. Until the log's pages have been carried over
//! (a checkpoint), the old page with the old bytes is still in the database file, and earlier copies of it are in the
//! log. A checkpoint carries the newest copy of each page over, but the log keeps its length and its old frames until
//! they are written over by later ones; only a *truncating* checkpoint, or the last writer's closing, which deletes the
//! log, gives them back to the file system. When the tree of ids loses rows, bytes of its former shape can lie in free
//! space of a page; only VACUUM builds all pages anew. So [`Store::delete`] is no erasure. Erasure is VACUUM, then a
//! truncating checkpoint that did not answer "busy", and even then an SSD or a copying file system may keep old blocks:
//! docs/erasure.md.

mod connection;
mod erasure;
mod fault;
mod lock;
mod pool;
mod private;

use crate::files::{Draft, beside, directory_of, unreachable};
use crate::{
    Commit, Erasure, Listed, MAX_HEAD_BYTES, MAX_OBJECT_BYTES, Object, Revision, Store, StoreError, WorkLock,
    limits,
};
use claviger_types::{Clock, ObjectId, SystemClock, Timestamp};
use erasure::Erasures;
use pool::Pool;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, types::ValueRef};
use rustix::fs::FlockOperation;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a writer waits for its turn.
const BUSY: Duration = Duration::from_secs(10);

/// The most objects of one transaction of [`Store::put`] and [`Store::delete`].
const BATCH_OBJECTS: usize = 1000;

/// The most bytes of one transaction of [`Store::put`], so that the log stays short.
const BATCH_BYTES: usize = 16 << 20;

/// The sleeps of a watcher between two looks, from the first to the longest.
const WATCH_FIRST: Duration = Duration::from_millis(2);
const WATCH_LONGEST: Duration = Duration::from_millis(50);

/// What may lie beside the database: SQLite's own files (`-journal` in a mode that we do not use, but would be read), the
/// file whose lock is the work lock, and the note of an erasure.
const SIDE_FILES: [&str; 5] = ["-wal", "-shm", "-journal", WORK, ERASE];
const WORK: &str = "-work";
const ERASE: &str = "-erase";

/// A store in one SQLite file.
pub struct SqliteStore {
    pool: Pool,
    work: PathBuf,
    erasures: Erasures,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Makes a new, empty store in a file that must not exist yet, and its directory if that is missing. The file
    /// appears under its name only when it is complete.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let directory = directory_of(path);
        private::make_directories(directory).map_err(|error| unreachable("making the directory", error))?;
        let path = resolve(path)?;
        // A log that lost its database would be read as the new one's. A lock file, and the note of an erasure that this
        // store will then make too much of, do no harm.
        let harmless = [beside(&path, WORK), beside(&path, ERASE)];
        for taken in files(&path).filter(|file| !harmless.contains(file)) {
            if fs::symlink_metadata(&taken).is_ok() {
                return Err(StoreError::Exists { location: taken });
            }
        }
        let (draft, ()) = Draft::beside(&path, private::make_file)
            .map_err(|error| unreachable("making the database", error))?;
        connection::initialise(draft.path())?;
        draft.publish(&path)?;
        Self::open(&path)
    }

    /// Opens the store in a file. Nothing is read but what shows that it is one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_waiting(path, BUSY)
    }

    /// Puts objects with this clock's time instead of the machine's, and tells ages by it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn open_waiting(path: &Path, busy: Duration) -> Result<Self, StoreError> {
        let path = resolve(path)?;
        if private::check_file(&path)?.is_none() {
            return Err(StoreError::Absent { location: path });
        }
        for file in files(&path) {
            private::check_file(&file)?;
        }
        Ok(Self {
            work: beside(&path, WORK),
            erasures: Erasures::noted_in(beside(&path, ERASE)),
            pool: Pool::open(path, busy)?,
            clock: Arc::new(SystemClock),
        })
    }

    /// One transaction that writes; an error undoes it.
    fn transact<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.pool.write(|connection| {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
                .map_err(|error| fault::of("waiting to write", error))?;
            let result = write(&transaction)?;
            transaction.commit().map_err(fault::of_commit)?;
            Ok(result)
        })
    }
}

impl Store for SqliteStore {
    fn put(&self, objects: &[Object]) -> Result<(), StoreError> {
        limits::objects(objects)?;
        let sorted = by_id(objects);
        let mut rest = sorted.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_length(rest));
            self.transact(|transaction| insert(transaction, batch, self.clock.now()))?;
            rest = later;
        }
        Ok(())
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.pool.read(|connection| {
            // One look at the database for all ids; for a single one a statement is that by itself.
            let transaction = (ids.len() > 1)
                .then(|| Transaction::new_unchecked(connection, TransactionBehavior::Deferred))
                .transpose()
                .map_err(|error| fault::of("reading objects", error))?;
            let found = ids.iter().map(|id| select(connection, *id)).collect();
            drop(transaction);
            found
        })
    }

    fn delete(&self, ids: &[ObjectId]) -> Result<(), StoreError> {
        for batch in ids.chunks(BATCH_OBJECTS) {
            self.transact(|transaction| remove(transaction, batch))?;
        }
        Ok(())
    }

    fn list(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let failed = |error| fault::of("listing objects", error);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let now = self.clock.now();
        self.pool.read(|connection| {
            let mut statement;
            let mut rows = if let Some(after) = after {
                let sql = "SELECT id, created FROM object WHERE id > ?1 ORDER BY id LIMIT ?2";
                statement = connection.prepare_cached(sql).map_err(failed)?;
                statement.query((after.as_bytes().as_slice(), limit))
            } else {
                let sql = "SELECT id, created FROM object ORDER BY id LIMIT ?1";
                statement = connection.prepare_cached(sql).map_err(failed)?;
                statement.query([limit])
            }
            .map_err(failed)?;
            let mut listed = Vec::new();
            while let Some(row) = rows.next().map_err(failed)? {
                listed.push(listed_row(row, now)?);
            }
            Ok(listed)
        })
    }

    fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.pool.read(select_head)
    }

    fn commit(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        puts: &[Object],
        deletes: &[ObjectId],
    ) -> Result<Commit, StoreError> {
        limits::commit(new, puts, deletes)?;
        self.transact(|transaction| {
            if select_head(transaction)?.as_deref() != expected {
                return Ok(Commit::Conflict);
            }
            insert(transaction, &by_id(puts), self.clock.now())?;
            let updated = transaction
                .prepare_cached("UPDATE head SET commits = commits + 1, bytes = ?1 WHERE only = 1")
                .and_then(|mut statement| statement.execute([new]))
                .map_err(|error| fault::of("writing the head", error))?;
            if updated != 1 {
                return Err(fault::damaged("the head's row is missing"));
            }
            remove(transaction, deletes)?;
            Ok(Commit::Done)
        })
    }

    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut pause = WATCH_FIRST;
        loop {
            let now = self.pool.watch(data_version)?;
            let left = deadline.map_or(WATCH_LONGEST, |end| end.saturating_duration_since(Instant::now()));
            if seen != Some(now) || left.is_zero() {
                return Ok(now);
            }
            std::thread::sleep(pause.min(left));
            pause = (2 * pause).min(WATCH_LONGEST);
        }
    }

    fn work_lock(&self) -> Result<Option<WorkLock>, StoreError> {
        lock::take(&self.work, FlockOperation::NonBlockingLockExclusive).map(|held| held.map(WorkLock::new))
    }

    fn begin_erasure(&self) -> Result<(), StoreError> {
        self.erasures.begin()
    }

    fn erase(&self) -> Result<Erasure, StoreError> {
        self.erasures.erase(&self.pool)
    }

    fn erasure_pending(&self) -> Result<bool, StoreError> {
        self.erasures.pending()
    }
}

/// The database and all that may lie beside it.
pub(crate) fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    std::iter::once("").chain(SIDE_FILES).map(|suffix| beside(path, suffix))
}

/// In order of id the pages of the index are met one after the other: the longer the list, the fewer times each page is
/// written.
fn by_id(objects: &[Object]) -> Vec<&Object> {
    let mut sorted: Vec<&Object> = objects.iter().collect();
    sorted.sort_unstable_by_key(|object| object.id);
    sorted
}

/// How many of these objects go into one transaction: at least one, for there is one.
fn batch_length(objects: &[&Object]) -> usize {
    let mut bytes = 0_usize;
    let fits = objects.iter().take(BATCH_OBJECTS).take_while(|object| {
        bytes = bytes.saturating_add(object.bytes.len());
        bytes <= BATCH_BYTES
    });
    fits.count().max(1)
}

fn insert(transaction: &Transaction<'_>, objects: &[&Object], now: Timestamp) -> Result<(), StoreError> {
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut statement = transaction
        .prepare_cached("INSERT INTO object (id, created, bytes) VALUES (?1, ?2, ?3)")
        .map_err(fault::of_insert)?;
    for object in objects {
        statement
            .execute((object.id.as_bytes().as_slice(), now, object.bytes.as_slice()))
            .map_err(fault::of_insert)?;
    }
    Ok(())
}

fn remove(transaction: &Transaction<'_>, ids: &[ObjectId]) -> Result<(), StoreError> {
    let failed = |error| fault::of("deleting objects", error);
    let mut statement = transaction.prepare_cached("DELETE FROM object WHERE id = ?1").map_err(failed)?;
    for id in ids {
        statement.execute([id.as_bytes().as_slice()]).map_err(failed)?;
    }
    Ok(())
}

fn select(connection: &Connection, id: ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error| fault::of("reading an object", error);
    let mut statement =
        connection.prepare_cached("SELECT bytes FROM object WHERE id = ?1").map_err(failed)?;
    let mut rows = statement.query([id.as_bytes().as_slice()]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    match row.get_ref(0).map_err(failed)? {
        ValueRef::Blob(bytes) if bytes.len() <= MAX_OBJECT_BYTES => Ok(Some(bytes.to_vec())),
        _ => Err(fault::damaged(&format!("object {id} is no byte string of an object's size"))),
    }
}

fn select_head(connection: &Connection) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |error| fault::of("reading the head", error);
    let mut statement =
        connection.prepare_cached("SELECT commits, bytes FROM head WHERE only = 1").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else {
        return Err(fault::damaged("the head's row is missing"));
    };
    match (row.get_ref(0).map_err(failed)?, row.get_ref(1).map_err(failed)?) {
        (ValueRef::Integer(0), ValueRef::Null) => Ok(None),
        (ValueRef::Integer(1..), ValueRef::Blob(bytes)) if bytes.len() <= MAX_HEAD_BYTES => {
            Ok(Some(bytes.to_vec()))
        }
        _ => Err(fault::damaged("the head was removed, or is no byte string of a head's size")),
    }
}

fn listed_row(row: &Row<'_>, now: Timestamp) -> Result<Listed, StoreError> {
    let failed = |error| fault::of("listing objects", error);
    let (id, created) = (row.get_ref(0).map_err(failed)?, row.get_ref(1).map_err(failed)?);
    let (ValueRef::Blob(id), ValueRef::Integer(created)) = (id, created) else {
        return Err(fault::damaged("an object's row holds what no row of ours does"));
    };
    let id = ObjectId::try_from(id).map_err(|_| fault::damaged("an object's id is not 16 bytes long"))?;
    let created = u64::try_from(created).map_err(|_| fault::damaged("an object's time is negative"))?;
    Ok(Listed { id, age: now.since(Timestamp::from_millis(created)) })
}

/// SQLite's own count of commits by other connections, as this connection sees it.
fn data_version(connection: &Connection) -> Result<Revision, StoreError> {
    connection
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)).optional())
        .map_err(|error| fault::of("watching the database", error))?
        .map(|version| Revision(version.cast_unsigned()))
        .ok_or_else(|| fault::damaged("the database has no version"))
}

/// The path with every link above the file followed, in a directory that is the user's alone.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    let directory = match fs::canonicalize(directory_of(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Absent { location: path.to_owned() });
        }
        result => result.map_err(|error| unreachable("looking at the directory", error))?,
    };
    private::check_directory(&directory)?;
    let name = path.file_name().ok_or_else(|| StoreError::Absent { location: path.to_owned() })?;
    Ok(directory.join(name))
}

#[cfg(test)]
mod tests;
