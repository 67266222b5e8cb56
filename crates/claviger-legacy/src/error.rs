//! Why an old file could not be read, by what its owner can do about it. Service names appear where they are needed to
//! find the entry; values never do.

use claviger_types::NameError;
use std::fmt;

/// A place in the plaintext, for people: it may name a service.
pub struct Place(String);

impl Place {
    pub(crate) const fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Place {
    // Names never reach a log; a Debug that prints them would carry them there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

/// Why an old file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// The key is no Fernet key.
    #[error("the key is not one that the old manager used: {0}")]
    Key(&'static str),
    /// The file is no Fernet token: cut short, or changed where that shows without the key.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// The token does not open. Fernet cannot tell these apart.
    #[error("the file does not open: the key is not the one it was written with, or the file was changed")]
    Unopened,
    /// The file is larger than any that the old manager could have written.
    #[error("the file is larger than {} MiB", crate::MAX_FILE_BYTES >> 20)]
    TooLarge,
    /// What was encrypted is not JSON.
    #[error(
        "the file opens, but what is in it is not JSON (line {line}, column {column}): another program wrote it"
    )]
    NotJson {
        /// Where it stops being JSON.
        line: usize,
        /// Where it stops being JSON.
        column: usize,
    },
    /// What was encrypted is JSON of another shape.
    #[error("the file opens, but {place} is not what the old manager wrote: {problem}")]
    Shape {
        /// Where in the JSON.
        place: Place,
        /// What is wrong there.
        problem: &'static str,
    },
    /// One entry cannot be kept as it is.
    #[error("{place} cannot be taken over: {problem}; set it anew with the old program, or delete it there")]
    Entry {
        /// Which entry.
        place: Place,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A service's name is too long to be one here.
    #[error("the name of a service is too long (it begins `{beginning}`)")]
    Name {
        /// Its first characters.
        beginning: String,
        /// How long it is.
        #[source]
        source: NameError,
    },
}
