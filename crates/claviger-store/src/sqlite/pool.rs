//! The connections of one open store: any number of readers, one writer, and one that watches.

use super::connection;
use crate::StoreError;
use rusqlite::Connection;
use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many idle readers are kept; more threads than that open their own and close them again.
const IDLE_READERS: usize = 8;

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

pub(super) struct Pool {
    path: PathBuf,
    identity: Identity,
    busy: Duration,
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Writer>,
    writer_free: Condvar,
    watcher: Mutex<Option<Connection>>,
}

#[derive(Default)]
struct Writer {
    busy: bool,
    idle: Option<Connection>,
}

impl Pool {
    /// Opens the file with one reader, which finds out whether it is a store at all.
    pub(super) fn open(path: PathBuf, busy: Duration) -> Result<Self, StoreError> {
        let identity = identity(&path)?;
        let first = connection::reader(&path, busy)?;
        Ok(Self {
            path,
            identity,
            busy,
            readers: Mutex::new(vec![first]),
            writer: Mutex::default(),
            writer_free: Condvar::new(),
            watcher: Mutex::default(),
        })
    }

    /// Runs `read` on a connection that no one else uses. One that saw an error is not used again.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.readers).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => connection::reader(&self.path, self.busy)?,
        };
        let result = read(&reader)?;
        let mut readers = lock(&self.readers);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        Ok(result)
    }

    /// Runs `write` on the connection that writes, after whoever uses it now, in this process or another.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.busy;
        let slot = lock(&self.writer);
        let (mut slot, waited) = self
            .writer_free
            .wait_timeout_while(slot, self.busy, |slot| slot.busy)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && slot.busy {
            return Err(StoreError::Unreachable {
                context: "another thread has been writing for too long".to_owned(),
                source: Box::new(io::Error::from(io::ErrorKind::TimedOut)),
            });
        }
        slot.busy = true;
        let idle = slot.idle.take();
        drop(slot);

        let mut turn = Turn { pool: self, connection: None };
        self.check_identity()?;
        let left = deadline.saturating_duration_since(Instant::now());
        let writer = match idle {
            Some(writer) => {
                writer.busy_timeout(left).map_err(|error| super::fault::of("waiting to write", error))?;
                writer
            }
            None => connection::writer(&self.path, left)?,
        };
        let result = write(&writer)?;
        turn.connection = Some(writer);
        Ok(result)
    }

    /// Runs `write` on a connection of its own, which waits this long for others, those of this store included.
    pub(super) fn write_apart<T>(
        &self,
        busy: Duration,
        write: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_identity()?;
        write(&connection::writer(&self.path, busy)?)
    }

    /// Runs `look` on the one connection whose `data_version` counts.
    pub(super) fn watch<T>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_identity()?;
        let mut slot = lock(&self.watcher);
        let watcher = match slot.take() {
            Some(watcher) => watcher,
            None => connection::reader(&self.path, self.busy)?,
        };
        let result = look(&watcher);
        // Kept even after an error: another connection would count from another number.
        *slot = Some(watcher);
        result
    }

    /// Whether the path still leads to the file that was opened. Through the open connections one would read and write a
    /// file that nobody else sees any more.
    fn check_identity(&self) -> Result<(), StoreError> {
        if identity(&self.path)? == self.identity {
            return Ok(());
        }
        Err(StoreError::Unreachable {
            context: format!("another file was put in the place of {}; open it again", self.path.display()),
            source: Box::new(io::Error::from(io::ErrorKind::StaleNetworkFileHandle)),
        })
    }
}

/// Gives the right to write back, with the connection if it is still good.
struct Turn<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.pool.writer) = Writer { busy: false, idle: self.connection.take() };
        self.pool.writer_free.notify_one();
    }
}

// No invariant spans a panic here, and none of our code panics: a poisoned lock is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn identity(path: &Path) -> Result<Identity, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Identity { device: found.dev(), inode: found.ino() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(StoreError::Absent { location: path.to_owned() })
        }
        Err(error) => Err(StoreError::Unreachable {
            context: format!("looking at {}", path.display()),
            source: Box::new(error),
        }),
    }
}
