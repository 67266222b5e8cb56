//! Where a vault's bytes lie: immutable objects under random ids, and one mutable head.
//!
//! The store is not trusted: everything that it hands back is checked by the vault against hashes under an
//! authenticated head. All the vault asks of an engine is this trait, and all the trait asks of an engine is one
//! compare-and-set.

mod error;

pub use error::StoreError;

use claviger_types::ObjectId;
use std::time::Duration;

/// The most bytes of one object; a credential of 1 MiB with its envelope fits well.
pub const MAX_OBJECT_BYTES: usize = 2 << 20;

/// The most bytes of the head.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

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

/// Where a vault's bytes lie. Synchronous; callable from many threads and processes at once.
///
/// Every method either does what it says or returns an error that says why not; none returns "empty" for
/// "could not read".
pub trait Store: Send + Sync {
    /// Puts objects that nothing links to yet. All of them or none where the engine can; where it cannot, what was put
    /// before an error is garbage that `gc` will find. An id that exists already is an error.
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

    /// In one transaction: if the head is `expected` (`None`: there is none), puts `puts`, makes `new` the head and
    /// deletes `deletes`. After an error that is [`StoreError::Ambiguous`] it may have happened: read the head.
    fn commit(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        puts: &[Object],
        deletes: &[ObjectId],
    ) -> Result<Commit, StoreError>;

    /// Waits until the store's revision differs from `seen`, at most `timeout`, and returns the revision then.
    /// `None` asks for the present one; a zero `timeout` never waits. A revision may change without the head.
    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError>;
}
