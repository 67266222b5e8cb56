//! One connection to the database file: how it is opened, and what it must find there.

use super::fault;
use crate::{MAX_OBJECT_BYTES, StoreError};
use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};
use std::{path::Path, time::Duration};

/// Marks the file as a store of ours: `clvg`.
const APPLICATION_ID: i32 = 0x636c_7667;

/// The format that this program writes, and the newest that it reads.
pub(super) const FORMAT: i32 = 1;

/// Format 1. A plain rowid table takes new rows at its end, so only the index over the random ids is written at random
/// places. The head has its row from the start: without bytes it never was, without the row it was lost.
const SCHEMA: [(&str, &str); 2] = [
    (
        "object",
        "CREATE TABLE object (\
            number INTEGER PRIMARY KEY, \
            id BLOB NOT NULL UNIQUE CHECK (length(id) = 16), \
            created INTEGER NOT NULL, \
            bytes BLOB NOT NULL\
        ) STRICT",
    ),
    (
        "head",
        "CREATE TABLE head (\
            only INTEGER PRIMARY KEY CHECK (only = 1), \
            commits INTEGER NOT NULL, \
            bytes BLOB\
        ) STRICT",
    ),
];

/// How far the write-ahead log grows, in pages, before its pages are carried over. During an import the same pages of
/// the index are written again and again; the longer the log, the fewer times they are carried over.
const CHECKPOINT_PAGES: i32 = 4000;

/// Pages that the writer keeps, in KiB (negative, as SQLite counts): the index of some 500,000 objects.
const WRITER_CACHE: i32 = -16 << 10;

/// Makes the tables in an empty file and leaves it in WAL mode with no log beside it.
pub(super) fn initialise(path: &Path) -> Result<(), StoreError> {
    let failed = |error| fault::of("making the database", error);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let [(_, object), (_, head)] = SCHEMA;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; \
             BEGIN; {object}; {head}; INSERT INTO head VALUES (1, 0, NULL); \
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT; \
             PRAGMA journal_mode = WAL;"
        ))
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// A connection that only reads. When it closes it leaves the log and its index alone, which makes both closing and
/// the next opening cheap.
pub(super) fn reader(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(busy).map_err(|error| fault::of("opening the database", error))?;
    check(&connection)?;
    Ok(connection)
}

/// A connection that writes, each commit on the disk before it returns.
pub(super) fn writer(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(busy).map_err(|error| fault::of("opening the database", error))?;
    check(&connection)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
             PRAGMA cache_size = {WRITER_CACHE}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};"
        ))
        .map_err(|error| fault::of("opening the database for writing", error))?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        // The file is not trusted: nothing in its schema may run, and no value may be larger than what we put.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        let limit = i32::try_from(MAX_OBJECT_BYTES).unwrap_or(i32::MAX).saturating_add(4096);
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, limit)?;
        Ok(connection)
    };
    open().map_err(|error| fault::of("opening the database", error))
}

/// Whether the file is a store of ours, in a format that we read, with our tables and nothing else in it.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let failed = |error| fault::of("opening the database", error);
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0)).map_err(failed);
    if number("application_id")? != APPLICATION_ID {
        return Err(fault::damaged("the file is no claviger store"));
    }
    match number("user_version")? {
        FORMAT => {}
        found if found > FORMAT => {
            let (found, supported) = (found.unsigned_abs().into(), FORMAT.unsigned_abs().into());
            return Err(StoreError::NewerFormat { found, supported });
        }
        _ => return Err(fault::damaged("the format number of the file is none that ever was")),
    }
    // Tables of SQLite's own, as ANALYZE leaves them, do no harm.
    let mut statement = connection
        .prepare(
            "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut expected = SCHEMA.into_iter();
    while let Some(row) = rows.next().map_err(failed)? {
        let found = (row.get::<_, String>(0).map_err(failed)?, row.get::<_, String>(1).map_err(failed)?);
        if expected.next().is_none_or(|(name, sql)| found != (name.to_owned(), sql.to_owned())) {
            return Err(fault::damaged("the tables in the file are not those of its format"));
        }
    }
    if expected.next().is_some() {
        return Err(fault::damaged("a table is missing in the file"));
    }
    Ok(())
}
