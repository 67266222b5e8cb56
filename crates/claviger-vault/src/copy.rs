//! Copying everything that a head reaches, while others go on writing.

use crate::{
    Fault, Progress, Seen, Vault, VaultError, chain,
    format::{Leaf, head::archive_id},
    index,
    pages::Service,
    session::BATCH,
    snapshot::{Snapshot, vouched},
    succession,
};
use claviger_store::Object;
use claviger_types::{Digest, Link, ObjectId};
use std::collections::HashSet;

/// How often a copy goes on from a fresher head, because what it wanted to read was replaced meanwhile.
const MOST_ROUNDS: usize = 100;

/// What was copied.
pub(crate) struct Copied {
    pub(crate) head: Vec<u8>,
    pub(crate) seen: Seen,
    pub(crate) fingerprint: Digest,
    pub(crate) services: u64,
}

impl Vault {
    /// Hands everything that the newest head reaches to `put`, in batches, each object once. What others replace
    /// meanwhile may be handed out too. Damage ends it: a copy that lacks something is none.
    pub(crate) fn copy(
        &self,
        put: &mut dyn FnMut(Vec<Object>) -> Result<(), VaultError>,
        progress: &dyn Progress,
    ) -> Result<Copied, VaultError> {
        let mut done: HashSet<ObjectId> = HashSet::new();
        progress.begin("copying", None);
        for _ in 0..MOST_ROUNDS {
            let snapshot = self.fresh()?;
            match copy_from(&snapshot, &mut done, put, progress) {
                Err(VaultError::Object { fault: Fault::Missing, .. })
                    if self.fresh()?.digest != snapshot.digest => {}
                outcome => return outcome,
            }
        }
        Err(VaultError::Contended)
    }
}

fn copy_from(
    snapshot: &Snapshot,
    done: &mut HashSet<ObjectId>,
    put: &mut dyn FnMut(Vec<Object>) -> Result<(), VaultError>,
    progress: &dyn Progress,
) -> Result<Copied, VaultError> {
    let mut batch = Batch { snapshot, done, put, progress, wanted: Vec::new() };
    let mut services = 0;
    let payload = &snapshot.payload;
    for root in &payload.roots {
        batch.want("vault key", &root.envelope)?;
    }
    let sealed = [
        ("recipients", Some(payload.recipients)),
        ("policy", payload.policy),
        ("plugins", payload.plugins),
        ("audit key", Some(payload.audit.key)),
    ];
    for (what, link) in sealed {
        link.iter().try_for_each(|link| batch.want(what, link))?;
    }
    for link in succession::links(snapshot.store.as_ref(), payload)? {
        batch.want("succession", &link)?;
    }
    for tree in snapshot.trees() {
        let index::Everything { leaves, nodes, broken } = index::everything(tree)?;
        if let Some((_, error)) = broken.into_iter().next() {
            return Err(error);
        }
        nodes.iter().try_for_each(|link| batch.want("index node", link))?;
        for leaf in &leaves {
            services += 1;
            batch.service(tree, leaf)?;
        }
    }
    let mut head = Some(snapshot.digest);
    let mut kept = 0;
    while let Some(digest) = head.filter(|_| kept < chain::KEPT_HEADS) {
        let Some(past) = chain::past_head(snapshot.store.as_ref(), &digest)? else { break };
        batch.want("head", &Link { id: archive_id(&digest), digest })?;
        head = past.previous;
        kept += 1;
    }
    batch.flush()?;
    Ok(Copied {
        head: snapshot.bytes.as_ref().clone(),
        seen: Seen { epoch: payload.epoch, digest: snapshot.digest },
        fingerprint: snapshot.root.fingerprint,
        services,
    })
}

struct Batch<'a> {
    snapshot: &'a Snapshot,
    done: &'a mut HashSet<ObjectId>,
    put: &'a mut dyn FnMut(Vec<Object>) -> Result<(), VaultError>,
    progress: &'a dyn Progress,
    wanted: Vec<(&'static str, Link)>,
}

impl Batch<'_> {
    fn service(&mut self, tree: &Snapshot, leaf: &Leaf) -> Result<(), VaultError> {
        self.want("service", &leaf.object)?;
        leaf.keys.iter().try_for_each(|key| self.want("data key", &key.envelope))?;
        let service = Service::load(tree, leaf)?;
        service.pages().try_for_each(|page| self.want("service page", page))?;
        service.each(tree, &mut |record| {
            let objects = record.versions.iter().filter_map(|version| version.object.as_ref());
            objects.into_iter().try_for_each(|link| self.want("credential", link))
        })
    }

    fn want(&mut self, what: &'static str, link: &Link) -> Result<(), VaultError> {
        if !self.done.contains(&link.id) {
            self.wanted.push((what, *link));
        }
        if self.wanted.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), VaultError> {
        let wanted = std::mem::take(&mut self.wanted);
        let ids: Vec<ObjectId> = wanted.iter().map(|(_, link)| link.id).collect();
        let mut objects = Vec::with_capacity(ids.len());
        for ((what, link), bytes) in wanted.into_iter().zip(self.snapshot.store.get(&ids)?) {
            objects.push(Object { id: link.id, bytes: vouched(what, &link, bytes)? });
        }
        let count = u64::try_from(objects.len()).unwrap_or(u64::MAX);
        (self.put)(objects)?;
        self.done.extend(ids);
        self.progress.advance(count);
        Ok(())
    }
}
