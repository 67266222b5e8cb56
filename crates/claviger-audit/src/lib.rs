//! The audit log: who asked for what, when, and how it ended.
//!
//! A directory of numbered files, each a row of frames. Every frame carries the hash of all before it, across files, so
//! damage, an edit, a cut or a reordering shows without any key. What a frame says is sealed under the key of its
//! *segment* (one a process start and file), which is itself sealed to the vault's audit **public** key: whoever can
//! append cannot read what was written before, and appending needs no unlocked vault.
//!
//! ```text
//! file  = frame*
//! frame = length of body (4 bytes, big-endian) || body || chain hash (32 bytes) || length of body again
//! body  = dCBOR [0, segment id, data-key envelope] | [1, segment id, index, ciphertext || tag]
//! chain = SHA-256(chain hash of the frame before || body); before the first frame of all: SHA-256(vault id)
//! ```
//!
//! The ciphertext is AES-256-GCM under the segment key, nonce = index (96 bits, big-endian), AAD = dCBOR
//! `["claviger/audit/v1", vault id, segment id, index, chain hash of the frame before]`. So an editor who computes all
//! later chain hashes anew passes [`AuditReader::verify`], but not [`AuditReader::entries`], which has the private key:
//! no entry opens in another place than its own.
//!
//! What the log alone cannot show: that its newest frames were cut off, or replaced by others which the editor sealed
//! anew to the public key. That is what checkpoints elsewhere are for.
//!
//! A record is one `write` under a lock on the newest file. A record that a crash cut short stays where it is, and the
//! next one begins a new file.

mod entry;
mod error;
mod files;
mod frame;
mod key;
mod log;
mod reader;
mod segment;

pub use entry::{Actor, Entry, EntryId, Outcome, Recorded};
pub use error::AuditError;
pub use key::{AuditPublicKey, generate_audit_key, public_of};
pub use log::{AuditLog, Durability};
pub use reader::{AuditReader, Chain};

#[cfg(test)]
mod tests;
