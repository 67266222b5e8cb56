//! What can go wrong with a store, by what the caller can do about it.

use std::path::PathBuf;

/// Boxed cause, printed once by the program as part of the chain.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store there.
    #[error("there is no store at {}", location.display())]
    Absent {
        /// Where it was looked for.
        location: PathBuf,
    },
    /// Someone else could read or change the files.
    #[error("{} {problem}; to mend it: {mend}", path.display())]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// The command that mends it.
        mend: String,
    },
    /// The engine cannot be reached or refuses service: busy, full, read-only, no connection.
    #[error("the store is unreachable: {context}")]
    Unreachable {
        /// What was being done.
        context: String,
        /// The engine's own error.
        #[source]
        source: Cause,
    },
    /// The engine answers, but what lies there is no store of ours, or is damaged.
    #[error("the store is damaged: {context}")]
    Damaged {
        /// What is wrong.
        context: String,
        /// The engine's own error, if it gave one.
        #[source]
        source: Option<Cause>,
    },
    /// The store was written in a format newer than this program reads.
    #[error("the store has format {found}; this program reads up to {supported}: use a newer claviger")]
    NewerFormat {
        /// The store's format.
        found: u64,
        /// The newest this program reads.
        supported: u64,
    },
    /// There is a store, or something else, where a new store or archive was to be made.
    #[error("{} exists already and is not replaced; use another path", location.display())]
    Exists {
        /// Where it was to be made.
        location: PathBuf,
    },
    /// What lies there is never changed: it is an archive.
    #[error("{} is an archive: it can be read, but not changed", location.display())]
    ReadOnly {
        /// The archive.
        location: PathBuf,
    },
    /// The connection was lost, or the disk failed, during a commit: it may have happened or not.
    #[error("it is not known whether the commit happened: the engine failed on the way; read the head")]
    Ambiguous {
        /// The engine's own error.
        #[source]
        source: Cause,
    },
    /// An object or head is larger than the limit.
    #[error("{what} has {size} bytes; the most is {limit}")]
    TooLarge {
        /// Object or head.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A commit carries more objects than one transaction takes; put them beforehand, delete them afterwards.
    #[error("a commit with {count} objects; the most is {limit}: put them beforehand")]
    TooMany {
        /// How many objects it puts and deletes.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// An object id exists already: the random source repeats itself, or two writers share one.
    #[error("an object with this id exists already")]
    IdExists,
    /// The URL names no store that this program can open.
    #[error("`{url}` names no store: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}
