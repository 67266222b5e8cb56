//! A job: long work on keys that the head remembers, so that whoever comes next can go on with it.

use crate::{JobKind, VaultError, report::RecipientState};
use claviger_envelope::codec;
use claviger_types::{Digest, ObjectId, RecipientId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A job in the head: a map with labels 0 to 9.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Which job this is.
    pub(crate) id: ObjectId,
    /// What it does.
    pub(crate) kind: JobKind,
    /// When it was begun.
    pub(crate) started: Timestamp,
    /// The last service that is done, by its place in the index; null before the first. Not used while roots change:
    /// there, what is done has left the second root.
    pub(crate) cursor: Option<Digest>,
    /// How many services are done.
    pub(crate) done: u64,
    /// How many there were when it began.
    pub(crate) total: u64,
    /// Recipients on their way out.
    pub(crate) retiring: Vec<RecipientId>,
    /// What becomes of them.
    pub(crate) end: RecipientState,
    /// Whether their keys are destroyed on this host's token before the job ends.
    pub(crate) destroy: bool,
    /// The master key that it introduces, if it rotates that: then asking for no more than that again only finishes this one.
    pub(crate) made: Option<RecipientId>,
}

impl Job {
    /// Reads what the head holds.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, VaultError> {
        super::decode("the state of a rotation", bytes)
    }

    /// What the head shall hold.
    pub(crate) fn encode(&self) -> Result<ByteBuf, VaultError> {
        codec::to_vec(self).map(ByteBuf::from).map_err(|_| VaultError::Invalid {
            reason: "the state of a rotation cannot be written".to_owned(),
        })
    }
}
