//! Staging: every object of an import is sealed, opened again, put, and read back before the head hears of it.

use super::ServicePlan;
use crate::{
    ImportEntry, ImportReport, Progress, Vault, VaultError, VersionState,
    credentials::{ServiceKey, count_seals},
    draft::Draft,
    format::{CredentialRecord, Leaf, RecipientRecord, VersionRecord},
    index::{self, Change},
    session::BATCH,
    snapshot::Snapshot,
};
use claviger_store::{Object, Store};
use claviger_types::{Digest, ObjectId, RecipientId};
use std::{
    collections::{HashMap, HashSet},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

/// How many objects go to the store at once. It puts them in order of id, and the more there are, the fewer pages of
/// its index each of them touches.
const PER_PUT: usize = 10_000;

/// How many batches may wait for the store while the next ones are sealed.
const WAITING: usize = 2;

/// What lies in the store and waits for the head.
#[derive(Default)]
pub(super) struct Staged {
    /// The new leaves.
    pub(super) changes: Vec<Change>,
    /// Everything that was put; garbage unless the head is swapped.
    pub(super) ids: Vec<ObjectId>,
    /// What the new leaves replace.
    pub(super) replaced: Vec<ObjectId>,
    /// Uses of data keys that the new leaves count.
    pub(super) seals: Vec<(Digest, u64)>,
    /// The leaves that the new ones build on.
    before: HashMap<Digest, Option<Leaf>>,
}

impl Staged {
    /// Seals and puts everything. Sealing (which waits for the token) and putting (which waits for the disk) overlap.
    pub(super) fn fill(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        plans: Vec<ServicePlan<'_>>,
        report: &mut ImportReport,
        progress: &dyn Progress,
    ) -> Result<(), VaultError> {
        let total = plans.iter().map(|plan| plan.entries.len()).sum::<usize>();
        progress.begin("importing", Some(u64::try_from(total).unwrap_or(u64::MAX)));
        let recipients = snapshot.recipients()?;
        let store = vault.store.as_ref();
        thread::scope(|scope| {
            let (send, receive) = sync_channel::<Vec<Object>>(WAITING);
            let writer = scope
                .spawn(move || receive.into_iter().try_for_each(|batch| put_and_read_back(store, &batch)));
            let built = self.build(vault, snapshot, plans, &recipients, &send, report, progress);
            drop(send);
            // When the writer fails, the builder notices only that nobody listens: the writer knows why.
            let written =
                writer.join().map_err(|_| VaultError::Damaged { what: "the writer died".to_owned() })?;
            written.and(built)
        })
    }

    #[expect(clippy::too_many_arguments, reason = "one loop, named apart from the threads around it")]
    fn build(
        &mut self,
        vault: &Vault,
        snapshot: &Snapshot,
        plans: Vec<ServicePlan<'_>>,
        recipients: &[RecipientRecord],
        send: &SyncSender<Vec<Object>>,
        report: &mut ImportReport,
        progress: &dyn Progress,
    ) -> Result<(), VaultError> {
        let mut draft = Draft::default();
        for plan in plans {
            let entries = u64::try_from(plan.entries.len()).unwrap_or(u64::MAX);
            let before = plan.leaf.clone();
            let leaf = vault.stage_service(snapshot, plan, recipients, &mut draft)?;
            report.verified += entries;
            self.before.insert(leaf.name, before);
            self.changes.push((leaf.name, Some(leaf)));
            if draft.puts.len() >= PER_PUT || draft.is_large() {
                self.send(&mut draft, send)?;
            }
            progress.advance(entries);
        }
        self.send(&mut draft, send)
    }

    fn send(&mut self, draft: &mut Draft, send: &SyncSender<Vec<Object>>) -> Result<(), VaultError> {
        let batch = std::mem::take(draft);
        self.ids.extend(batch.puts.iter().map(|object| object.id));
        self.replaced.extend(batch.deletes);
        self.seals.extend(batch.seals);
        let gone = |_| VaultError::Damaged { what: "the writer stopped".to_owned() };
        send.send(batch.puts).map_err(gone)
    }

    /// Whether what was staged on `base` is right under a newer head too: sealed under its vault key, for all who can open
    /// it and nobody else, on services that are as they were; and still in the store.
    pub(super) fn still_holds(
        &self,
        vault: &Vault,
        base: &Snapshot,
        snapshot: &Snapshot,
    ) -> Result<(), VaultError> {
        let readers = |recipients: Vec<RecipientRecord>| -> HashSet<RecipientId> {
            recipients.into_iter().map(|record| record.id).collect()
        };
        if snapshot.root.fingerprint != base.root.fingerprint
            || readers(snapshot.recipients()?) != readers(base.recipients()?)
        {
            return Err(VaultError::Contended);
        }
        for (name, before) in &self.before {
            if index::find(snapshot, name)? != *before {
                return Err(VaultError::Contended);
            }
        }
        for batch in self.ids.chunks(BATCH) {
            if vault.store.get(batch)?.iter().any(Option::is_none) {
                return Err(VaultError::Contended);
            }
        }
        Ok(())
    }
}

fn put_and_read_back(store: &dyn Store, batch: &[Object]) -> Result<(), VaultError> {
    store.put(batch)?;
    for batch in batch.chunks(BATCH) {
        let ids: Vec<ObjectId> = batch.iter().map(|object| object.id).collect();
        for (object, found) in batch.iter().zip(store.get(&ids)?) {
            if found.as_ref() != Some(&object.bytes) {
                return Err(VaultError::Damaged {
                    what: "the store gave back other bytes than it was given".to_owned(),
                });
            }
        }
    }
    Ok(())
}

impl Vault {
    /// Seals one service's entries into the draft, on top of what the service has.
    fn stage_service(
        &self,
        snapshot: &Snapshot,
        plan: ServicePlan<'_>,
        recipients: &[RecipientRecord],
        draft: &mut Draft,
    ) -> Result<Leaf, VaultError> {
        let (mut leaf, service, key) =
            self.service_for(snapshot, draft, &plan.name, plan.leaf, recipients)?;
        let mut records = service.all(snapshot)?;
        for entry in plan.entries {
            self.stage_entry(snapshot, &key, &mut records, entry, draft)?;
        }
        count_seals(&self.keyring, &mut leaf, draft, &plan.name)?;
        records.sort_unstable_by_key(CredentialRecord::place);
        leaf.object = service.write_all(snapshot, records, draft, self.entropy.as_ref())?;
        Ok(leaf)
    }

    fn stage_entry(
        &self,
        snapshot: &Snapshot,
        key: &ServiceKey,
        records: &mut Vec<CredentialRecord>,
        entry: &ImportEntry,
        draft: &mut Draft,
    ) -> Result<(), VaultError> {
        let present = records.iter().position(|record| record.name == entry.name.as_str());
        let mut record = match present {
            Some(position) => records.swap_remove(position),
            None => CredentialRecord::new(entry.name.as_str(), entry.value.kind, self.entropy.as_ref())?,
        };
        let n = record.newest + 1;
        let object = self.seal_version(snapshot, key, record.id, n, &entry.value, draft)?;
        entry.value.kind.name().clone_into(&mut record.kind);
        record.newest = n;
        record.versions.push(VersionRecord {
            n,
            object: Some(object),
            key: key.n,
            state: VersionState::Live,
            created: self.clock.now(),
            ended: None,
            expires: None,
        });
        record.prune(record.max_versions, draft);
        records.push(record);
        Ok(())
    }
}
