//! The audit log: who asked for what, when, and how it ended.
//!
//! A directory of numbered files, each a row of frames. Every frame carries the hash of all before it, across files, so
//! an edit, a cut or a reordering shows without any key. What a frame says is sealed under the key of its *segment* (one
//! a process start), which is itself sealed to the vault's audit **public** key: whoever can append cannot read what
//! was written before, and appending needs no unlocked vault.
//!
//! ```text
//! file  = frame*
//! frame = length of body (4 bytes, big-endian) || body || chain hash (32 bytes) || length of body again
//! body  = dCBOR [0, segment id, data-key envelope] | [1, segment id, index, ciphertext || tag]
//! chain = SHA-256(chain hash of the frame before || body); before the first frame of all: SHA-256(vault id)
//! ```
//!
//! The ciphertext is AES-256-GCM under the segment key, nonce = index (96 bits, big-endian), AAD = dCBOR
//! `["claviger/audit/v1", vault id, segment id, index]`. Cutting off the newest frames does not show in the log alone;
//! that is what checkpoints elsewhere are for.

mod entry;
mod error;
mod frame;
mod key;
mod log;
mod reader;
mod segment;

pub use entry::{Actor, Entry, Outcome, Recorded};
pub use error::AuditError;
pub use key::{AuditPublicKey, generate_audit_key};
pub use log::{AuditLog, Durability};
pub use reader::{AuditReader, Chain};

#[cfg(test)]
mod tests;
