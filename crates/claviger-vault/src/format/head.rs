//! The head's payload: the one mutable thing, readable without a key, authenticated by a MAC under the vault key.

use super::{FORMAT, Job};
use crate::{Seen, VaultError};
use claviger_envelope::codec;
use claviger_types::{Digest, Link, ObjectId, VaultId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// How many epochs lie between two milestones.
pub(crate) const MILESTONE: u64 = 64;

/// The vault key and the tree under it: `[fingerprint, vault-key envelope, index root]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Digest, Link, Option<Link>)", into = "(Digest, Link, Option<Link>)")]
pub(crate) struct Root {
    /// The vault key's kid.
    pub(crate) fingerprint: Digest,
    /// The envelope that the recipients open.
    pub(crate) envelope: Link,
    /// The index; null while there is no service.
    pub(crate) index: Option<Link>,
}

impl From<(Digest, Link, Option<Link>)> for Root {
    fn from((fingerprint, envelope, index): (Digest, Link, Option<Link>)) -> Self {
        Self { fingerprint, envelope, index }
    }
}

impl From<Root> for (Digest, Link, Option<Link>) {
    fn from(root: Root) -> Self {
        (root.fingerprint, root.envelope, root.index)
    }
}

/// What the head says of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditSlot {
    /// The sealed private key by which the log is read.
    pub(crate) key: Link,
    /// The newest checkpoints, as signed notes.
    pub(crate) checkpoints: Vec<ByteBuf>,
}

/// That the vault came from a backup: `[epoch of the restored head, epoch of the backup, digest of its head]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, Digest)", into = "(u64, u64, Digest)")]
pub(crate) struct Restored {
    /// The epoch at which the chain begins anew.
    pub(crate) at: u64,
    /// The epoch of the backup's head.
    pub(crate) from: u64,
    /// The digest of the backup's head.
    pub(crate) head: Digest,
}

impl From<(u64, u64, Digest)> for Restored {
    fn from((at, from, head): (u64, u64, Digest)) -> Self {
        Self { at, from, head }
    }
}

impl From<Restored> for (u64, u64, Digest) {
    fn from(restored: Restored) -> Self {
        (restored.at, restored.from, restored.head)
    }
}

/// An ancestor: `[epoch, digest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, Digest)", into = "(u64, Digest)")]
pub(crate) struct Ancestor(pub(crate) Seen);

impl From<(u64, Digest)> for Ancestor {
    fn from((epoch, digest): (u64, Digest)) -> Self {
        Self(Seen { epoch, digest })
    }
}

impl From<Ancestor> for (u64, Digest) {
    fn from(Ancestor(seen): Ancestor) -> Self {
        (seen.epoch, seen.digest)
    }
}

/// The head's payload: a map with labels 0 to 12.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadPayload {
    /// The format of the whole vault.
    pub(crate) format: u64,
    /// Which vault this is.
    pub(crate) vault: VaultId,
    /// The number of commits, from 1.
    pub(crate) epoch: u64,
    /// SHA-256 of the previous head's bytes; null in the first.
    pub(crate) previous: Option<Digest>,
    /// One root; two while the vault key is being replaced.
    pub(crate) roots: Vec<Root>,
    /// The sealed list of recipients.
    pub(crate) recipients: Link,
    /// The sealed policy set.
    pub(crate) policy: Option<Link>,
    /// The sealed list of plugins.
    pub(crate) plugins: Option<Link>,
    /// The audit log's key and checkpoints.
    pub(crate) audit: AuditSlot,
    /// The job under way.
    pub(crate) rotation: Option<ByteBuf>,
    /// The newest record of how one vault key followed another.
    pub(crate) succession: Option<Link>,
    /// Whether, and whence, the vault was restored.
    pub(crate) restored: Option<Restored>,
    /// The newest ancestor whose epoch is a multiple of 64, or at which the chain begins; null in a head at which it does.
    /// By these an old anchor is reached in few steps, and over a damaged head between.
    pub(crate) milestone: Option<Ancestor>,
}

impl HeadPayload {
    /// Reads a payload. The format is looked at first, so that a newer one is named and not called damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, VaultError> {
        if let Ok(codec::Value::Map(map)) = codec::from_slice::<codec::Value>(bytes)
            && let Some(&codec::Value::Integer(format)) = map.get(&codec::Value::Integer(0))
            && format > i128::from(FORMAT)
        {
            let found = u64::try_from(format).unwrap_or(u64::MAX);
            return Err(VaultError::NewerFormat { found, supported: FORMAT });
        }
        let payload: Self = super::decode("the head", bytes)?;
        if payload.format == FORMAT {
            Ok(payload)
        } else {
            Err(VaultError::Damaged { what: format!("the head has the unknown format {}", payload.format) })
        }
    }

    /// The milestone of a successor of this head, whose own digest this is.
    pub(crate) fn next_milestone(&self, digest: Digest) -> Ancestor {
        match self.milestone {
            Some(milestone) if !self.epoch.is_multiple_of(MILESTONE) => milestone,
            _ => Ancestor(Seen { epoch: self.epoch, digest }),
        }
    }

    /// The root that is written to.
    pub(crate) fn root(&self) -> Result<&Root, VaultError> {
        self.roots
            .first()
            .filter(|_| self.roots.len() <= 2)
            .ok_or_else(|| VaultError::Damaged { what: "the head names no root".to_owned() })
    }

    /// The root that is being emptied, while the vault key is replaced.
    pub(crate) fn elder_root(&self) -> Option<&Root> {
        self.roots.get(1)
    }

    /// The same as long as anything hangs under it: then its vault key is not needed any more, and may be gone.
    pub(crate) fn elder_tree(&self) -> Option<&Root> {
        self.elder_root().filter(|root| root.index.is_some())
    }

    /// The job under way.
    pub(crate) fn job(&self) -> Result<Option<Job>, VaultError> {
        self.rotation.as_ref().map(|bytes| Job::decode(bytes)).transpose()
    }
}

/// Where a head is kept as an object once it is history: under the first half of its own digest, which never recurs
/// because each head names its predecessor.
pub(crate) fn archive_id(digest: &Digest) -> ObjectId {
    let mut id = [0; 16];
    id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    ObjectId::from_bytes(id)
}
