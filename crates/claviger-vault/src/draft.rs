//! What a commit will put and delete.

use crate::{VaultError, snapshot::Snapshot};
use claviger_envelope::{ObjectContext, ObjectKind, seal_object};
use claviger_store::{Object, Store};
use claviger_types::{Digest, Entropy, Link, ObjectId, VaultId};

/// A draft that holds more bytes than this puts some of them into the store ahead of the commit.
const MOST_BYTES_HELD: usize = 16 << 20;

/// How many bytes of their ids the objects of one draft have in common. They are put together, and mostly go together: next
/// to each other in the store's index they touch few of its pages. The other 96 bits are random for each.
const NEIGHBOURHOOD: usize = 4;

/// New objects, and the ones that they replace: what only the old head reaches.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// What is still to be put.
    pub(crate) puts: Vec<Object>,
    /// What the new head will not reach.
    pub(crate) deletes: Vec<ObjectId>,
    /// What is in the store already, and is garbage unless the commit succeeds.
    pub(crate) staged: Vec<ObjectId>,
    /// Uses of data keys that the new head counts.
    pub(crate) seals: Vec<(Digest, u64)>,
    /// Uses of the master key that the new register counts, where the draft has one.
    pub(crate) wraps: Option<u64>,
    held: usize,
    /// How the ids of what is put here begin.
    neighbourhood: Option<[u8; NEIGHBOURHOOD]>,
}

impl Draft {
    /// Puts bytes under a fresh id.
    pub(crate) fn put(&mut self, bytes: Vec<u8>, entropy: &dyn Entropy) -> Result<Link, VaultError> {
        let id = self.fresh_id(entropy)?;
        Ok(self.hold(id, bytes))
    }

    fn fresh_id(&mut self, entropy: &dyn Entropy) -> Result<ObjectId, VaultError> {
        let neighbourhood = if let Some(known) = self.neighbourhood {
            known
        } else {
            let mut fresh = [0; NEIGHBOURHOOD];
            entropy.fill(&mut fresh)?;
            *self.neighbourhood.insert(fresh)
        };
        let mut id = [0; 16];
        entropy.fill(&mut id)?;
        for (byte, common) in id.iter_mut().zip(neighbourhood) {
            *byte = common;
        }
        Ok(ObjectId::from_bytes(id))
    }

    /// Seals metadata under a key of its own and puts it under a fresh id.
    pub(crate) fn put_sealed(
        &mut self,
        snapshot: &Snapshot,
        kind: ObjectKind,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        self.put_sealed_under(&snapshot.keys.metadata, snapshot.payload.vault, kind, plaintext, entropy)
    }

    /// The same where there is no head yet.
    pub(crate) fn put_sealed_under(
        &mut self,
        metadata_key: &claviger_types::Key256,
        vault: VaultId,
        kind: ObjectKind,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        let id = self.fresh_id(entropy)?;
        let bytes = seal_object(metadata_key, ObjectContext { vault, kind, id }, plaintext, entropy)?;
        Ok(self.hold(id, bytes))
    }

    fn hold(&mut self, id: ObjectId, bytes: Vec<u8>) -> Link {
        let link = Link::to(id, &bytes);
        self.held += bytes.len();
        self.puts.push(Object { id, bytes });
        link
    }

    /// Puts what the draft holds into the store if it has grown large, so that no change is bounded by memory.
    pub(crate) fn spill(&mut self, store: &dyn Store) -> Result<(), VaultError> {
        if self.is_large() {
            self.stage(store, self.puts.len())?;
        }
        Ok(())
    }

    /// Whether it holds more bytes than it should.
    pub(crate) const fn is_large(&self) -> bool {
        self.held > MOST_BYTES_HELD
    }

    /// Puts the first `count` objects ahead of the commit.
    pub(crate) fn stage(&mut self, store: &dyn Store, count: usize) -> Result<(), VaultError> {
        let early: Vec<Object> = self.puts.drain(..count.min(self.puts.len())).collect();
        self.held -= early.iter().map(|object| object.bytes.len()).sum::<usize>().min(self.held);
        self.staged.extend(early.iter().map(|object| object.id));
        Ok(store.put(&early)?)
    }

    /// Takes over what another draft holds.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.puts.append(&mut other.puts);
        self.deletes.append(&mut other.deletes);
        self.staged.append(&mut other.staged);
        self.seals.append(&mut other.seals);
        self.held += other.held;
    }

    /// Gives up an object that the new head will not reach.
    pub(crate) fn replace(&mut self, link: &Link) {
        self.deletes.push(link.id);
    }
}

#[cfg(test)]
mod tests;
