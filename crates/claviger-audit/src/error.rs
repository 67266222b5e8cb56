//! What can go wrong with the audit log, by what the caller can do about it.

use std::{io, path::PathBuf};

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The log cannot be written or read.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried: `written`, `read`.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others could read or change the log.
    #[error("{} {problem}; to mend it: {mend}", path.display())]
    Exposed {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// The command that mends it.
        mend: String,
    },
    /// A frame is not what was written, or not where it was written; or a whole file is missing.
    #[error(
        "the log was changed or is damaged: {} at byte {offset}; keep it as it is, and move its directory away to go on \
         with a new log",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where the first bad frame begins.
        offset: u64,
    },
    /// The audit key is none, or not the one that this log is sealed to.
    #[error("the audit key does not open this log")]
    Key,
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] claviger_types::EntropyError),
}
