//! Reading everything that the head reaches, and naming what is damaged. One damaged object ends nothing: the walk goes
//! on with what it can still reach.

use crate::{
    Damage, Fault, Progress, Seen, Vault, VaultError, VerifyReport, chain,
    format::{CredentialRecord, Leaf, PageRef, head::archive_id},
    index,
    marks::Marks,
    pages::{Service, load_page},
    session::BATCH,
    snapshot::{Snapshot, vouched},
    succession,
};
use claviger_envelope::{DataKeyEnvelope, ObjectKind};
use claviger_types::{CredentialName, Digest, Link, ObjectId, RecipientId, ServiceName};
use std::{collections::HashSet, sync::Arc};

/// What a head of the chain is called, whose loss harms nobody but a host that was away.
pub(crate) const PAST_HEAD: &str = "past head";

/// How often a walk is begun again because others write, before that is an error.
const MOST_WALKS: usize = 20;

impl Vault {
    /// Reads everything that the head reaches. The report names every damaged object by service and credential where
    /// what is above it can still be read.
    pub fn verify(&self, progress: &dyn Progress) -> Result<VerifyReport, VaultError> {
        progress.begin("verifying", None);
        self.settled(|snapshot| {
            let rolled_back = match self.anchored(snapshot) {
                Ok(()) => None,
                Err(VaultError::RolledBack { what }) => Some(what),
                Err(error) => return Err(error),
            };
            let (mut report, marks) = self.mark(snapshot, progress)?;
            report.rolled_back = rolled_back;
            report.head = Some(Seen { epoch: snapshot.payload.epoch, digest: snapshot.digest });
            report.kept_heads = marks.heads;
            marks.all.unmarked(self.store.as_ref(), &mut |_| {
                report.garbage += 1;
                Ok(())
            })?;
            Ok((report.damage.is_empty() && report.rolled_back.is_none(), report))
        })
    }

    /// Runs a walk; what it finds wrong counts only if the head stayed the same, since another writer deletes what its
    /// own commit replaced and raises the anchors.
    fn settled<T>(
        &self,
        mut walk: impl FnMut(&Snapshot) -> Result<(bool, T), VaultError>,
    ) -> Result<T, VaultError> {
        for _ in 0..MOST_WALKS {
            let snapshot = self.fresh()?;
            let (sound, outcome) = walk(&snapshot)?;
            if sound || self.fresh()?.digest == snapshot.digest {
                return Ok(outcome);
            }
        }
        Err(VaultError::Contended)
    }

    /// A head of which nothing is damaged, and all that it reaches.
    pub(crate) fn mark_undamaged(
        &self,
        progress: &dyn Progress,
    ) -> Result<(Arc<Snapshot>, Reached), VaultError> {
        for _ in 0..MOST_WALKS {
            let snapshot = self.fresh()?;
            let (found, marks) = self.mark(&snapshot, progress)?;
            match found.damage.first() {
                None => return Ok((snapshot, marks)),
                Some(&Damage { what, object, fault, .. }) if self.fresh()?.digest == snapshot.digest => {
                    return Err(VaultError::Object { what, object, fault });
                }
                Some(_) => {}
            }
        }
        Err(VaultError::Contended)
    }

    fn anchored(&self, snapshot: &Snapshot) -> Result<(), VaultError> {
        self.anchors.iter().try_for_each(|anchor| {
            chain::check(self.store.as_ref(), &snapshot.payload, &snapshot.digest, anchor.as_ref()).map(drop)
        })
    }

    /// Walks from the head, checks every object on the way and marks it as reached.
    pub(crate) fn mark(
        &self,
        snapshot: &Snapshot,
        progress: &dyn Progress,
    ) -> Result<(VerifyReport, Reached), VaultError> {
        // What is in memory already shows nothing of what lies in the store.
        let snapshot = &snapshot.uncached();
        let readers = snapshot.registry().ok();
        let readers = readers.map(|registry| registry.writable(&[]).iter().map(|record| record.id).collect());
        let report = VerifyReport::default();
        let mut walk = Walk { snapshot, report, marks: Marks::new()?, readers, progress };
        let payload = &snapshot.payload;
        for root in &payload.roots {
            walk.key("vault key", &root.envelope, &root.fingerprint, &Place::default())?;
        }
        for (what, kind, link) in [
            ("recipients", ObjectKind::Recipients, Some(&payload.recipients)),
            ("policy", ObjectKind::Policy, payload.policy.as_ref()),
            ("plugins", ObjectKind::Plugins, payload.plugins.as_ref()),
            ("audit key", ObjectKind::AuditKey, Some(&payload.audit.key)),
        ] {
            let Some(link) = link else { continue };
            walk.marks.add(link.id)?;
            if let Err(error) = snapshot.read_sealed(what, kind, link) {
                walk.damaged(what, link, error, &Place::default())?;
            }
            walk.report.objects += 1;
        }
        for link in succession::links(self.store.as_ref(), payload)? {
            walk.object("succession", &link, &Place::default())?;
        }
        for tree in snapshot.trees() {
            walk.tree(tree)?;
        }
        let objects = walk.marks.count();
        let (heads, old_heads) = walk.past_heads()?;
        let Walk { report, marks, .. } = walk;
        Ok((report, Reached { all: marks, objects, heads, old_heads }))
    }
}

/// What a walk reached.
pub(crate) struct Reached {
    /// Everything that must stay.
    pub(crate) all: Marks,
    /// How many objects the head reaches, heads of the chain apart.
    pub(crate) objects: u64,
    /// How many heads of the chain are kept whatever their age.
    pub(crate) heads: u64,
    /// Older heads, which stay for a time.
    pub(crate) old_heads: Vec<ObjectId>,
}

/// Whose object it is, as far as that is known.
#[derive(Default, Clone)]
struct Place {
    service: Option<ServiceName>,
    credential: Option<CredentialName>,
    version: Option<u64>,
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    report: VerifyReport,
    marks: Marks,
    /// Who can open the vault; nobody is known where the register is damaged.
    readers: Option<HashSet<RecipientId>>,
    progress: &'a dyn Progress,
}

impl<'a> Walk<'a> {
    /// Two passes over a tree: leaves are collected by node, so that services are checked with the walk borrowed.
    fn tree(&mut self, tree: &'a Snapshot) -> Result<(), VaultError> {
        self.snapshot = tree;
        let index::Everything { leaves, nodes, broken } = index::everything(tree)?;
        for link in nodes {
            self.marks.add(link.id)?;
            self.report.objects += 1;
        }
        for (link, error) in broken {
            self.damaged("index node", &link, error, &Place::default())?;
        }
        leaves.iter().try_for_each(|leaf| self.service(leaf))
    }

    /// Marks the chain of heads: how many are kept whatever their age, and the older ones. A gap among the former is
    /// damage, because a host that was away needs them; unless it lies before the vault was restored, from where on no
    /// host follows the chain.
    fn past_heads(&mut self) -> Result<(u64, Vec<ObjectId>), VaultError> {
        let payload = &self.snapshot.payload;
        let restored = payload.restored.map_or(0, |restored| restored.at);
        self.marks.add(archive_id(&self.snapshot.digest))?;
        let (mut heads, mut old) = (1, Vec::new());
        let (mut epoch, mut previous) = (payload.epoch, payload.previous);
        while let Some(digest) = previous {
            let link = Link { id: archive_id(&digest), digest };
            let head = match chain::past_head(self.snapshot.store.as_ref(), &digest)? {
                Some(head) => head,
                None if heads >= chain::KEPT_HEADS || epoch <= restored => break,
                None => {
                    let fault = match self.snapshot.read(PAST_HEAD, &link) {
                        Err(VaultError::Object { fault, .. }) => fault,
                        _ => Fault::Unreadable,
                    };
                    let error = VaultError::Object { what: PAST_HEAD, object: link.id, fault };
                    self.damaged(PAST_HEAD, &link, error, &Place::default())?;
                    break;
                }
            };
            if heads < chain::KEPT_HEADS {
                self.marks.add(link.id)?;
                heads += 1;
            } else {
                old.push(link.id);
            }
            (epoch, previous) = (head.epoch, head.previous);
        }
        Ok((heads, old))
    }

    fn service(&mut self, leaf: &Leaf) -> Result<(), VaultError> {
        let mut place = Place::default();
        self.report.services += 1;
        self.marks.add(leaf.object.id)?;
        self.report.objects += 1;
        let service = match Service::load(self.snapshot, leaf) {
            Ok(service) => service,
            Err(error) => {
                for key in &leaf.keys {
                    self.key("data key", &key.envelope, &key.kid, &place)?;
                }
                return self.damaged("service", &leaf.object, error, &place);
            }
        };
        place.service = Some(service.name.clone());
        for key in &leaf.keys {
            self.key("data key", &key.envelope, &key.kid, &place)?;
        }
        self.credentials(service.inline(), &place)?;
        for page in service.page_table() {
            self.page(page, &place)?;
        }
        self.progress.advance(1);
        Ok(())
    }

    fn page(&mut self, page: &PageRef, place: &Place) -> Result<(), VaultError> {
        self.marks.add(page.link.id)?;
        self.report.objects += 1;
        match load_page(self.snapshot, page) {
            Ok(records) => self.credentials(&records.credentials, place),
            Err(error) => self.damaged("service page", &page.link, error, place),
        }
    }

    /// Checks every version's envelope. They are read in batches: there are far more of them than of all else.
    fn credentials(&mut self, records: &[CredentialRecord], place: &Place) -> Result<(), VaultError> {
        self.report.credentials += u64::try_from(records.len()).unwrap_or(u64::MAX);
        let versions: Vec<(&CredentialRecord, u64, Link)> = records
            .iter()
            .flat_map(|record| {
                record.versions.iter().filter_map(move |version| Some((record, version.n, version.object?)))
            })
            .collect();
        for batch in versions.chunks(BATCH) {
            let ids: Vec<ObjectId> = batch.iter().map(|(_, _, link)| link.id).collect();
            for ((record, n, link), bytes) in batch.iter().zip(self.snapshot.store.get(&ids)?) {
                self.marks.add(link.id)?;
                self.report.objects += 1;
                let Err(error) = vouched("credential", link, bytes) else { continue };
                let place = Place {
                    credential: CredentialName::new(record.name.as_str()).ok(),
                    version: Some(*n),
                    ..place.clone()
                };
                self.damaged("credential", link, error, &place)?;
            }
        }
        Ok(())
    }

    /// Checks a key's envelope: that it is that key's, and that somebody who is a recipient can open it.
    fn key(
        &mut self,
        what: &'static str,
        link: &Link,
        kid: &Digest,
        place: &Place,
    ) -> Result<(), VaultError> {
        let Some(bytes) = self.object(what, link, place)? else { return Ok(()) };
        let fault = match DataKeyEnvelope::parse(&bytes) {
            Ok(envelope) if envelope.kid() == *kid => {
                let reads = |readers: &HashSet<RecipientId>| {
                    envelope.recipients().iter().any(|wrapped| readers.contains(&wrapped.recipient))
                };
                if self.readers.as_ref().is_none_or(reads) {
                    return Ok(());
                }
                Fault::Unopenable
            }
            _ => Fault::Unreadable,
        };
        self.damaged(what, link, VaultError::Object { what, object: link.id, fault }, place)
    }

    fn object(
        &mut self,
        what: &'static str,
        link: &Link,
        place: &Place,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        self.marks.add(link.id)?;
        self.report.objects += 1;
        match self.snapshot.read(what, link) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => self.damaged(what, link, error, place).map(|()| None),
        }
    }

    /// Notes damage. What is no damage of this object (the store out of reach, say) ends the walk.
    fn damaged(
        &mut self,
        what: &'static str,
        link: &Link,
        error: VaultError,
        place: &Place,
    ) -> Result<(), VaultError> {
        let fault = match error {
            VaultError::Object { fault, .. } => fault,
            VaultError::Damaged { .. } | VaultError::Envelope(_) => Fault::Unreadable,
            other => return Err(other),
        };
        let Place { service, credential, version } = place.clone();
        let Link { id, digest } = *link;
        self.report.damage.push(Damage { what, object: id, digest, fault, service, credential, version });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
