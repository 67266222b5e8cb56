//! Making the bytes of deleted objects go away, and the note that this is still to be done.
//!
//! The note is an empty file beside the database. Whoever begins an erasure holds a shared lock on it until the last
//! deletion, and no one removes the note of those who still delete. Nor does anyone remove it to whose rewriting of the
//! database another commit came in between: that may have been the deletion of one who has died, or has to try again.

use super::{
    fault,
    lock::{self, Taken},
    pool::{self, Pool},
    private,
};
use crate::{
    Erasure, StoreError,
    files::{directory_of, sync_directory, unreachable},
};
use rusqlite::Connection;
use rustix::fs::FlockOperation;
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// How long one erasure waits for others in all; its own work is not counted.
const PATIENCE: Duration = Duration::from_millis(2500);

/// How long to wait for one who removes the note, which is a matter of one call.
const REMOVAL: Duration = Duration::from_secs(10);

/// The erasures of one open store.
pub(super) struct Erasures {
    note: PathBuf,
    /// A shared lock on the note for each one that was begun.
    begun: Mutex<Vec<File>>,
}

impl Erasures {
    pub(super) fn noted_in(note: PathBuf) -> Self {
        Self { note, begun: Mutex::default() }
    }

    pub(super) fn begin(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + REMOVAL;
        let note = loop {
            match lock::take(&self.note, FlockOperation::NonBlockingLockShared)? {
                Some(note) => break note,
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
                None => return Err(unreachable("noting an erasure", io::ErrorKind::TimedOut.into())),
            }
        };
        note.sync_all()
            .and_then(|()| sync_directory(directory_of(&self.note)))
            .map_err(|error| unreachable("noting an erasure", error))?;
        pool::lock(&self.begun).push(note);
        Ok(())
    }

    pub(super) fn pending(&self) -> Result<bool, StoreError> {
        private::check_file(&self.note).map(|found| found.is_some())
    }

    pub(super) fn erase(&self, pool: &Pool) -> Result<Erasure, StoreError> {
        drop(pool::lock(&self.begun).pop());
        let deadline = Instant::now() + PATIENCE;
        let result = pool.write_apart(PATIENCE, |connection| self.erase_on(connection, deadline));
        match result {
            Err(error) => fault::obstacle(&error).map(pending).ok_or(error),
            done => done,
        }
    }

    fn erase_on(&self, connection: &Connection, deadline: Instant) -> Result<Erasure, StoreError> {
        loop {
            let before = super::data_version(connection)?;
            wait_until(connection, deadline)?;
            connection.execute_batch("VACUUM").map_err(|error| fault::of("writing the store anew", error))?;
            // VACUUM writes to the log, whose older part holds the old bytes: it has to be emptied afterwards.
            wait_until(connection, deadline)?;
            if !truncate_log(connection)? {
                return Ok(pending("another program is reading an older state of the store"));
            }
            if self.remove_note(|| Ok(super::data_version(connection)? == before))? {
                return Ok(Erasure::Done);
            }
            if Instant::now() >= deadline {
                return Ok(pending("others wrote to the store meanwhile"));
            }
        }
    }

    /// Removes the note unless someone else still deletes, who will do it then. `false`: it had to stay, since what was
    /// deleted meanwhile may be what it speaks of.
    pub(super) fn remove_note(
        &self,
        unchanged: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        let taken = lock::take_existing(&self.note, FlockOperation::NonBlockingLockExclusive)?;
        let Taken::Held(_note) = taken else { return Ok(true) };
        // Nobody begins while this lock is held; whoever began and deleted before it was taken has left a commit behind.
        if !unchanged()? {
            return Ok(false);
        }
        fs::remove_file(&self.note)
            .and_then(|()| sync_directory(directory_of(&self.note)))
            .map_err(|error| unreachable("removing the note of an erasure", error))?;
        Ok(true)
    }
}

fn pending(reason: &str) -> Erasure {
    Erasure::Pending { reason: reason.to_owned() }
}

/// Lets the next statement wait for others until then. Once the time is up it does not wait at all.
fn wait_until(connection: &Connection, deadline: Instant) -> Result<(), StoreError> {
    let left = deadline.saturating_duration_since(Instant::now());
    connection.busy_timeout(left).map_err(|error| fault::of("waiting to erase", error))
}

/// Carries the log over and cuts it to nothing. `false` is SQLite's answer "busy", which is a row and no error.
fn truncate_log(connection: &Connection) -> Result<bool, StoreError> {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
        .map_err(|error| fault::of("emptying the log", error))
}
