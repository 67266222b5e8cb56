//! The head's payload: the one mutable thing, readable without a key, authenticated by a MAC under the vault key.

use super::FORMAT;
use crate::VaultError;
use claviger_envelope::codec;
use claviger_types::{Digest, Link, ObjectId, VaultId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

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

/// The head's payload: a map with labels 0 to 9.
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
    /// The state of a rotation under way.
    pub(crate) rotation: Option<ByteBuf>,
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

    /// The root that this program works on. A second one, or a rotation under way, is the business of a newer program.
    pub(crate) fn root(&self) -> Result<&Root, VaultError> {
        match (self.roots.as_slice(), &self.rotation) {
            ([root], None) => Ok(root),
            ([], _) => Err(VaultError::Damaged { what: "the head names no root".to_owned() }),
            _ => Err(VaultError::Invalid {
                reason:
                    "a key rotation is under way that this program cannot carry on; use the one that began it"
                        .to_owned(),
            }),
        }
    }
}

/// Where a head is kept as an object once it is history: under the first half of its own digest, which never recurs
/// because each head names its predecessor.
pub(crate) fn archive_id(digest: &Digest) -> ObjectId {
    let mut id = [0; 16];
    id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
    ObjectId::from_bytes(id)
}
