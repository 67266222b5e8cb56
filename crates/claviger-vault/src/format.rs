//! The shapes of what lies in the store, as `docs/format.md` describes them. Pure: bytes in, bytes out.

pub(crate) mod head;
pub(crate) mod job;
pub(crate) mod node;
pub(crate) mod recipients;
pub(crate) mod registry;
pub(crate) mod service;

pub(crate) use head::{Ancestor, AuditSlot, HeadPayload, Restored, Root};
pub(crate) use job::Job;
pub(crate) use node::{Entry, KeyRecord, KeyState, Leaf, Node};
pub(crate) use recipients::{RecipientRecord, SignerRecord};
pub(crate) use registry::{BackupRecord, Registry};
pub(crate) use service::{CredentialRecord, PageRef, ServiceObject, ServicePage, VersionRecord};

use crate::VaultError;
use claviger_envelope::codec;
use serde::{Serialize, de::DeserializeOwned};

/// The format that this program writes, and the only one it reads.
pub(crate) const FORMAT: u64 = 1;

/// Reads one of our own structures. What does not decode hangs under an authenticated head all the same, so it is
/// damage, not an attack on the parser.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, VaultError> {
    codec::from_slice(bytes).map_err(|_| VaultError::Damaged { what: format!("{what} cannot be read") })
}

/// Writes one of our own structures.
pub(crate) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, VaultError> {
    codec::to_vec(value).map_err(|_| VaultError::Invalid { reason: format!("{what} cannot be written") })
}
