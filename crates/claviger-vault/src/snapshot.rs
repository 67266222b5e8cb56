//! A verified head, and reading what it reaches.

use crate::{
    Fault, VaultError,
    format::{HeadPayload, Leaf, Node, RecipientRecord, decode},
    index,
};
use claviger_envelope::{ObjectContext, ObjectKind, VaultKeys, name_hmac, open_object};
use claviger_store::Store;
use claviger_types::{Digest, Link, SecretBytes, ServiceName};
use std::sync::Arc;

/// A head whose MAC and anchors were checked, with the keys derived from its vault key. Reading through it gives what
/// that head says and nothing else, however the store changes meanwhile.
pub(crate) struct Snapshot {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<VaultKeys>,
    pub(crate) payload: HeadPayload,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

impl Snapshot {
    /// The bytes that this link vouches for.
    pub(crate) fn read(&self, what: &'static str, link: &Link) -> Result<Vec<u8>, VaultError> {
        let bytes = self.store.get(&[link.id])?.pop().flatten();
        match bytes {
            Some(bytes) if link.fits(&bytes) => Ok(bytes),
            Some(_) => Err(VaultError::Object { what, object: link.id, fault: Fault::Altered }),
            None => Err(VaultError::Object { what, object: link.id, fault: Fault::Missing }),
        }
    }

    /// Opens a sealed object that this link vouches for.
    pub(crate) fn read_sealed(
        &self,
        what: &'static str,
        kind: ObjectKind,
        link: &Link,
    ) -> Result<SecretBytes, VaultError> {
        let bytes = self.read(what, link)?;
        self.open(what, kind, link, &bytes)
    }

    /// Opens a sealed object whose bytes are at hand.
    pub(crate) fn open(
        &self,
        what: &'static str,
        kind: ObjectKind,
        link: &Link,
        bytes: &[u8],
    ) -> Result<SecretBytes, VaultError> {
        let context = ObjectContext { vault: self.payload.vault, kind, id: link.id };
        open_object(&self.keys.metadata, context, bytes).map_err(|_| VaultError::Object {
            what,
            object: link.id,
            fault: Fault::Unreadable,
        })
    }

    /// The index node that must lie at `prefix`.
    pub(crate) fn node(&self, link: &Link, prefix: &[u8]) -> Result<Node, VaultError> {
        Node::decode(&self.read("index node", link)?, prefix)
    }

    /// Where a service stands in the index.
    pub(crate) fn index_name(&self, service: &ServiceName) -> Result<Digest, VaultError> {
        Ok(name_hmac(&self.keys.index, service)?)
    }

    /// The service's place in the index, or the proof that it has none.
    pub(crate) fn leaf(&self, service: &ServiceName) -> Result<Option<Leaf>, VaultError> {
        index::find(self, &self.index_name(service)?)
    }

    /// Who data keys are wrapped to.
    pub(crate) fn recipients(&self) -> Result<Vec<RecipientRecord>, VaultError> {
        let plain = self.read_sealed("recipients", ObjectKind::Recipients, &self.payload.recipients)?;
        decode("the list of recipients", plain.expose())
    }

    /// The payload of a successor that differs in its index only.
    pub(crate) fn with_index(&self, index: Option<Link>) -> Box<HeadPayload> {
        let mut payload = self.payload.clone();
        for root in &mut payload.roots {
            root.index = index;
        }
        Box::new(payload)
    }
}
