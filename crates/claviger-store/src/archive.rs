//! A backup: one file that holds objects and a head.
//!
//! # Format 1
//!
//! All numbers are big-endian. The file is, from its first byte to its last:
//!
//! ```text
//! "claviger-archive 1\n"                        19 bytes
//! any number of objects, each:
//!     "O"  id: 16 bytes  length: u32  bytes     length <= 2,097,152
//! the head and the end:
//!     "H"  length: u32  bytes                   length <= 65,536
//!     objects: u64                              how many "O" records there are
//!     digest: 32 bytes                          SHA-256 of every byte before it
//! ```
//!
//! A later format has another decimal number in the first line. The objects are in any order. An id may stand twice with
//! the same bytes, and counts twice; with other bytes it is damage. Nothing follows the digest.
//!
//! The digest finds what broke on the way, and no more: who can change the file can change it, too. What the objects and
//! the head say is checked by the vault, as with every store.

mod reader;
mod writer;

pub use reader::ArchiveStore;
pub use writer::ArchiveWriter;

use claviger_types::Digest;

/// What all first lines begin with.
const NAME: &[u8] = b"claviger-archive ";

/// The format that this program writes, and the newest that it reads.
const FORMAT: u64 = 1;

const OBJECT: u8 = b'O';
const HEAD: u8 = b'H';

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// How many objects there are in it; one that stands twice counts twice.
    pub objects: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The digest at its end, which is of all bytes before it.
    pub digest: Digest,
}

#[cfg(test)]
mod tests;
