//! SQLite's result codes, sorted by what the caller can do.

use crate::StoreError;
use rusqlite::{Error, ErrorCode, ffi};

/// The error of an operation: unreachable when the machine is to blame, damaged when the file is.
pub(super) fn of(context: &str, error: Error) -> StoreError {
    match error {
        Error::SqliteFailure(code, _) if is_environment(code) => {
            StoreError::Unreachable { context: context.to_owned(), source: Box::new(error) }
        }
        _ => StoreError::Damaged { context: context.to_owned(), source: Some(Box::new(error)) },
    }
}

/// The error of an insertion, where one more thing can be wrong: the id exists.
pub(super) fn of_insert(error: Error) -> StoreError {
    match error {
        Error::SqliteFailure(code, _) if code.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE => {
            StoreError::IdExists
        }
        _ => of("putting objects", error),
    }
}

/// The error of the COMMIT statement itself. When the disk fails there, the transaction may lie in the log complete,
/// and the next process to open the file would take it.
pub(super) fn of_commit(error: Error) -> StoreError {
    match error {
        Error::SqliteFailure(code, _) if code.code == ErrorCode::SystemIoFailure => {
            StoreError::Ambiguous { source: Box::new(error) }
        }
        _ => of("committing", error),
    }
}

/// What stands in the way, when it is something that passes: others at the database, or a full disk.
pub(super) fn obstacle(error: &StoreError) -> Option<&'static str> {
    let StoreError::Unreachable { source, .. } = error else { return None };
    let Error::SqliteFailure(code, _) = source.downcast_ref()? else { return None };
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Some("another program is using the store"),
        ErrorCode::DiskFull => Some(NO_ROOM),
        // The log's index could not grow.
        ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Some(NO_ROOM),
        _ => None,
    }
}

const NO_ROOM: &str = "the disk has no room to write the store anew";

/// What lies there is wrong by our own rules.
pub(super) fn damaged(context: &str) -> StoreError {
    StoreError::Damaged { context: context.to_owned(), source: None }
}

fn is_environment(code: ffi::Error) -> bool {
    match code.code {
        ErrorCode::SystemIoFailure => !matches!(
            code.extended_code,
            ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA
        ),
        ErrorCode::PermissionDenied
        | ErrorCode::OperationAborted
        | ErrorCode::OperationInterrupted
        | ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::OutOfMemory
        | ErrorCode::ReadOnly
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => true,
        _ => false,
    }
}
