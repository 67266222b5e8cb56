//! A verified head, and reading what it reaches.

use crate::{
    Fault, PinnedSigner, RecipientState, VaultError,
    cache::Cache,
    format::{HeadPayload, Leaf, Node, RecipientRecord, Registry, Root, decode},
    index,
    session::BATCH,
};
use claviger_envelope::{ObjectContext, ObjectKind, VaultKeys, name_hmac, open_object};
use claviger_store::Store;
use claviger_types::{Digest, Link, ObjectId, SecretBytes, ServiceName};
use std::{collections::HashMap, sync::Arc};

const INDEX_NODE: &str = "index node";

/// A head whose MAC and anchors were checked, seen through one of its vault keys. Reading through it gives what that
/// head says and nothing else, however the store changes meanwhile.
pub(crate) struct Snapshot {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) keys: Arc<VaultKeys>,
    pub(crate) payload: Arc<HeadPayload>,
    /// The root that these keys belong to.
    pub(crate) root: Root,
    pub(crate) digest: Digest,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// The same head through the vault key that is being replaced: what has not been moved yet.
    pub(crate) elder: Option<Box<Snapshot>>,
}

impl Snapshot {
    /// The bytes that this link vouches for.
    pub(crate) fn read(&self, what: &'static str, link: &Link) -> Result<Vec<u8>, VaultError> {
        vouched(what, link, self.store.get(&[link.id])?.pop().flatten())
    }

    /// The bytes that each of these links vouches for, or the first error.
    pub(crate) fn read_all(&self, what: &'static str, links: &[Link]) -> Result<Vec<Vec<u8>>, VaultError> {
        let mut all = Vec::with_capacity(links.len());
        for batch in links.chunks(BATCH) {
            let ids: Vec<ObjectId> = batch.iter().map(|link| link.id).collect();
            for (link, bytes) in batch.iter().zip(self.store.get(&ids)?) {
                all.push(vouched(what, link, bytes)?);
            }
        }
        Ok(all)
    }

    /// Opens a sealed object that this link vouches for.
    pub(crate) fn read_sealed(
        &self,
        what: &'static str,
        kind: ObjectKind,
        link: &Link,
    ) -> Result<SecretBytes, VaultError> {
        let bytes = self.read(what, link)?;
        let context = ObjectContext { vault: self.payload.vault, kind, id: link.id };
        open_object(&self.keys.metadata, context, &bytes).map_err(|_| VaultError::Object {
            what,
            object: link.id,
            fault: Fault::Unreadable,
        })
    }

    /// The signers of the recipients that stay: not of those that are gone, compromised or on their way out.
    pub(crate) fn signers(&self) -> Result<Vec<PinnedSigner>, VaultError> {
        let retiring = self.payload.job()?.map(|job| job.retiring).unwrap_or_default();
        let stays = |record: &&RecipientRecord| {
            record.state == RecipientState::Active && !retiring.contains(&record.id)
        };
        let registry = self.registry()?;
        let signers = registry.recipients.iter().filter(stays).filter_map(|record| record.signer);
        Ok(signers.map(|signer| PinnedSigner { id: signer.id, public_key: signer.public_key }).collect())
    }

    /// The index node that must lie at `prefix`.
    pub(crate) fn node(&self, link: &Link, prefix: &[u8]) -> Result<Arc<Node>, VaultError> {
        self.node_from(link, prefix, || self.read(INDEX_NODE, link))
    }

    /// Several of them, read at once; an error for each that cannot be had.
    pub(crate) fn nodes(&self, wanted: &[(Link, Vec<u8>)]) -> Vec<Result<Arc<Node>, VaultError>> {
        let unknown = wanted.iter().map(|(link, _)| link).filter(|link| self.cache.nodes.get(link).is_none());
        let ids: Vec<ObjectId> = unknown.map(|link| link.id).collect();
        // Whatever keeps some from being read must not keep the others from it: then each is read by itself.
        let read = self.store.get(&ids).unwrap_or_default();
        let mut read: HashMap<ObjectId, Option<Vec<u8>>> = ids.into_iter().zip(read).collect();
        let one = |(link, prefix): &(Link, Vec<u8>)| match read.remove(&link.id) {
            Some(bytes) => self.node_from(link, prefix, || vouched(INDEX_NODE, link, bytes)),
            None => self.node(link, prefix),
        };
        wanted.iter().map(one).collect()
    }

    fn node_from(
        &self,
        link: &Link,
        prefix: &[u8],
        read: impl FnOnce() -> Result<Vec<u8>, VaultError>,
    ) -> Result<Arc<Node>, VaultError> {
        let node = self.cache.nodes.get_or(link, || {
            let bytes = read()?;
            Ok::<_, VaultError>((Node::decode(&bytes, prefix)?, bytes.len()))
        })?;
        if node.prefix == prefix {
            return Ok(node);
        }
        Err(VaultError::Damaged { what: "an index node stands in another's place".to_owned() })
    }

    /// Where a service stands in the index.
    pub(crate) fn index_name(&self, service: &ServiceName) -> Result<Digest, VaultError> {
        Ok(name_hmac(&self.keys.index, service)?)
    }

    /// The service's place under this vault key, or the proof that it has none.
    pub(crate) fn leaf(&self, service: &ServiceName) -> Result<Option<Leaf>, VaultError> {
        index::find(self, &self.index_name(service)?)
    }

    /// Where a service is, under this vault key or the one that is being replaced.
    pub(crate) fn locate(&self, service: &ServiceName) -> Result<Option<(&Self, Leaf)>, VaultError> {
        if let Some(leaf) = self.leaf(service)? {
            return Ok(Some((self, leaf)));
        }
        let Some(elder) = &self.elder else { return Ok(None) };
        Ok(elder.leaf(service)?.map(|leaf| (elder.as_ref(), leaf)))
    }

    /// The service's leaf, for whoever will change it: nothing is written under the key that is being replaced, so the
    /// service has to be moved first.
    pub(crate) fn own_leaf(&self, service: &ServiceName) -> Result<Option<Leaf>, VaultError> {
        match self.locate(service)? {
            Some((tree, _)) if !std::ptr::eq(tree, self) => {
                Err(VaultError::NotMoved { service: service.clone() })
            }
            found => Ok(found.map(|(_, leaf)| leaf)),
        }
    }

    /// This head through each of its vault keys, the newer one first.
    pub(crate) fn trees(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.elder.as_deref())
    }

    /// The same head, read from the store only.
    pub(crate) fn uncached(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            cache: Arc::new(Cache::none()),
            keys: Arc::clone(&self.keys),
            payload: Arc::clone(&self.payload),
            root: self.root.clone(),
            digest: self.digest,
            bytes: Arc::clone(&self.bytes),
            elder: self.elder.as_ref().map(|elder| Box::new(elder.uncached())),
        }
    }

    /// Who has to do with the vault.
    pub(crate) fn registry(&self) -> Result<Arc<Registry>, VaultError> {
        let link = &self.payload.recipients;
        self.cache.registries.get_or(link, || {
            let plain = self.read_sealed("recipients", ObjectKind::Recipients, link)?;
            Ok((decode("the list of recipients", plain.expose())?, plain.len()))
        })
    }

    /// Who new data keys are wrapped to.
    pub(crate) fn recipients(&self) -> Result<Vec<RecipientRecord>, VaultError> {
        let retiring = self.payload.job()?.map(|job| job.retiring).unwrap_or_default();
        Ok(self.registry()?.writable(&retiring))
    }

    /// The payload of a successor that differs in the index under this vault key only.
    pub(crate) fn with_index(&self, index: Option<Link>) -> Box<HeadPayload> {
        let mut payload = HeadPayload::clone(&self.payload);
        if let Some(root) = payload.roots.first_mut() {
            root.index = index;
        }
        Box::new(payload)
    }
}

/// The bytes that the store gave for a link, if they are what it vouches for.
pub(crate) fn vouched(
    what: &'static str,
    link: &Link,
    bytes: Option<Vec<u8>>,
) -> Result<Vec<u8>, VaultError> {
    match bytes {
        Some(bytes) if link.fits(&bytes) => Ok(bytes),
        Some(_) => Err(VaultError::Object { what, object: link.id, fault: Fault::Altered }),
        None => Err(VaultError::Object { what, object: link.id, fault: Fault::Missing }),
    }
}
