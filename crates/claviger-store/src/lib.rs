//! Where a vault's bytes lie: immutable objects under random ids, and one mutable head.
//!
//! The store is not trusted: everything that it hands back is checked by the vault against hashes under an
//! authenticated head. All the vault asks of an engine is this trait, and all the trait asks of an engine is one
//! compare-and-set.
//!
//! Two engines: [`SqliteStore`], one file on this machine, and [`MemoryStore`], for tests. [`open_url`] and
//! [`create_url`] choose the engine by the store's URL. A backup is one file, which [`ArchiveWriter`] writes and
//! [`ArchiveStore`] reads like any store.

mod archive;
#[cfg(test)]
mod contract;
mod error;
mod files;
mod memory;
mod sqlite;
mod url;

pub use archive::{ArchiveStore, ArchiveSummary, ArchiveWriter};
pub use error::{Cause, StoreError};
pub use memory::{Fault, MemoryStore};
pub use sqlite::SqliteStore;
pub use url::{create_url, open_url, sqlite_files, sqlite_url};

use claviger_types::ObjectId;
use std::{any::Any, fmt, sync::Arc, time::Duration};

/// The most bytes of one object; a credential of 1 MiB with its envelope fits well.
pub const MAX_OBJECT_BYTES: usize = 2 << 20;

/// The most bytes of the head.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most objects that one commit puts and deletes together. It is one transaction, and other writers wait for it;
/// a larger change puts its objects beforehand and deletes afterwards.
pub const MAX_COMMIT_OBJECTS: usize = 4096;

/// An object on its way into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its id, random and never used before.
    pub id: ObjectId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One line of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The object's id.
    pub id: ObjectId,
    /// How long ago it was put, by the store's own clock.
    pub age: Duration,
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// The head is the new one, and puts and deletes are done.
    Done,
    /// The head was not the expected one; nothing was changed.
    Conflict,
}

/// The number of a state of the head as [`Store::watch`] counts them; only equality means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub u64);

/// The right to carry on long work on the vault, a rotation for example. It is given back when dropped, and by the death
/// of its process.
pub struct WorkLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl WorkLock {
    /// The right that lasts as long as `held` does.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for WorkLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkLock")
    }
}

/// How an erasure ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Erasure {
    /// The bytes are gone, as far as the engine can tell.
    Done,
    /// They may still be there; the same call later may have more luck.
    Pending {
        /// What stood in the way, as half a sentence.
        reason: String,
    },
}

/// Where a vault's bytes lie. Synchronous; callable from many threads and processes at once.
///
/// Every method either does what it says or returns an error that says why not; none returns "empty" for
/// "could not read".
pub trait Store: Send + Sync {
    /// Puts objects that nothing links to yet, any number of them; a long list may go in several transactions, and what
    /// was put before an error is garbage that `gc` will find. Ten thousand at once go several times faster than one by
    /// one. An id that exists already is an error.
    fn put(&self, objects: &[Object]) -> Result<(), StoreError>;

    /// The bytes of these objects, in the same order; `None` for an id that is not there.
    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Deletes these objects; ids that are not there are passed over.
    fn delete(&self, ids: &[ObjectId]) -> Result<(), StoreError>;

    /// Up to `limit` objects in ascending order of id, from the first one greater than `after`. Fewer than `limit`
    /// means that there are no more.
    fn list(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Listed>, StoreError>;

    /// The head's bytes; `None` in a store that never had one.
    fn head(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// In one transaction: if the head is `expected` (`None`: there never was one), puts `puts`, makes `new` the head and
    /// deletes `deletes`, at most [`MAX_COMMIT_OBJECTS`] in all. After an error nothing was changed, unless it is
    /// [`StoreError::Ambiguous`]: then it may have happened, and the head tells.
    fn commit(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        puts: &[Object],
        deletes: &[ObjectId],
    ) -> Result<Commit, StoreError>;

    /// Waits until the store's revision differs from `seen`, at most `timeout`, and returns the revision then.
    /// `None` asks for the present one; a zero `timeout` never waits. Every commit changes it, this store's own too, and
    /// it may change without one. A revision belongs to the open store that gave it.
    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError>;

    /// The right to carry on long work on the vault; `None` when somebody alive has it, be it this store's own process.
    /// Never waits. It keeps nobody from reading and writing.
    fn work_lock(&self) -> Result<Option<WorkLock>, StoreError>;

    /// Notes, durably, that what is deleted from now on must leave no bytes behind. It comes before the first deletion,
    /// and each one is answered by one [`Store::erase`] of the same open store after the last; should the process die in
    /// between, the note stays.
    fn begin_erasure(&self) -> Result<(), StoreError>;

    /// Makes the bytes of everything deleted so far go away, as far as the engine can, and says if that is still to be
    /// done; the note goes only when it is not. It may take long and hold up other writers, but waits for nobody for more
    /// than a few seconds.
    fn erase(&self) -> Result<Erasure, StoreError>;

    /// Whether an erasure was begun, by anyone, and has not succeeded.
    fn erasure_pending(&self) -> Result<bool, StoreError>;
}

/// A shared store is a store.
impl<S: Store + ?Sized> Store for Arc<S> {
    fn put(&self, objects: &[Object]) -> Result<(), StoreError> {
        (**self).put(objects)
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        (**self).get(ids)
    }

    fn delete(&self, ids: &[ObjectId]) -> Result<(), StoreError> {
        (**self).delete(ids)
    }

    fn list(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        (**self).list(after, limit)
    }

    fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        (**self).head()
    }

    fn commit(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        puts: &[Object],
        deletes: &[ObjectId],
    ) -> Result<Commit, StoreError> {
        (**self).commit(expected, new, puts, deletes)
    }

    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError> {
        (**self).watch(seen, timeout)
    }

    fn work_lock(&self) -> Result<Option<WorkLock>, StoreError> {
        (**self).work_lock()
    }

    fn begin_erasure(&self) -> Result<(), StoreError> {
        (**self).begin_erasure()
    }

    fn erase(&self) -> Result<Erasure, StoreError> {
        (**self).erase()
    }

    fn erasure_pending(&self) -> Result<bool, StoreError> {
        (**self).erasure_pending()
    }
}

/// What every engine refuses before it touches anything.
mod limits {
    use super::{MAX_COMMIT_OBJECTS, MAX_HEAD_BYTES, MAX_OBJECT_BYTES, Object, ObjectId, StoreError};

    pub(crate) fn objects(objects: &[Object]) -> Result<(), StoreError> {
        let largest = objects.iter().map(|object| object.bytes.len()).max().unwrap_or_default();
        size("the object", largest, MAX_OBJECT_BYTES)
    }

    pub(crate) fn head(head: &[u8]) -> Result<(), StoreError> {
        size("the head", head.len(), MAX_HEAD_BYTES)
    }

    pub(crate) fn commit(new: &[u8], puts: &[Object], deletes: &[ObjectId]) -> Result<(), StoreError> {
        head(new)?;
        let count = puts.len() + deletes.len();
        if count > MAX_COMMIT_OBJECTS {
            return Err(StoreError::TooMany { count, limit: MAX_COMMIT_OBJECTS });
        }
        objects(puts)
    }

    fn size(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
        if size > limit { Err(StoreError::TooLarge { what, size, limit }) } else { Ok(()) }
    }
}
