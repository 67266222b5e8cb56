//! Mending a damaged vault from a backup: objects whose hash fits are put back; where none does, the same version of the
//! same credential is opened in the backup and sealed anew.

use crate::{
    Damage, Fault, Progress, Vault, VaultError,
    credentials::{count_seals, open_under},
    draft::Draft,
    format::{CredentialRecord, Leaf, VersionRecord},
    index,
    pages::Service,
    session::Step,
    snapshot::Snapshot,
};
use claviger_store::Object;
use claviger_types::{CredentialName, Reference, ServiceName, Value};

/// What was mended and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairReport {
    /// Objects that were put back as they were.
    pub restored: Vec<Damage>,
    /// Versions that were opened in the backup and sealed anew.
    pub resealed: Vec<Damage>,
    /// What is still damaged.
    pub left: Vec<Damage>,
}

impl Vault {
    /// Mends what can be mended from a backup of this vault, and says what is left. Nothing that is whole is changed.
    pub fn repair(&self, backup: &Self, progress: &dyn Progress) -> Result<RepairReport, VaultError> {
        let mut report = RepairReport::default();
        // What hangs under a damaged object shows only when that is mended: again until nothing more comes back.
        loop {
            let found = self.verify(progress)?.damage;
            let mut mended = false;
            for damage in &found {
                if self.put_back(backup, damage)? {
                    report.restored.push(damage.clone());
                    mended = true;
                }
            }
            if mended {
                continue;
            }
            for damage in &found {
                if self.seal_from(backup, damage)? {
                    report.resealed.push(damage.clone());
                    mended = true;
                }
            }
            if !mended {
                report.left = found;
                return Ok(report);
            }
        }
    }

    /// Puts an object back if the backup has it, to the letter.
    fn put_back(&self, backup: &Self, damage: &Damage) -> Result<bool, VaultError> {
        let Some(bytes) = backup.store.get(&[damage.object])?.pop().flatten() else { return Ok(false) };
        if claviger_types::Digest::of(&bytes) != damage.digest {
            return Ok(false);
        }
        if damage.fault != Fault::Missing {
            self.store.delete(&[damage.object])?;
        }
        self.store.put(&[Object { id: damage.object, bytes }])?;
        Ok(true)
    }

    /// Seals a version anew that the backup has under another object, or all versions of a service whose data key is
    /// damaged.
    fn seal_from(&self, backup: &Self, damage: &Damage) -> Result<bool, VaultError> {
        let Some(service) = &damage.service else { return Ok(false) };
        let outcome = match (damage.what, &damage.credential, damage.version) {
            ("credential", Some(name), Some(version)) => {
                self.seal_version_from(backup, service, name, version)
            }
            ("data key", ..) => self.seal_service_from(backup, service),
            _ => return Ok(false),
        };
        match outcome {
            Ok(()) => Ok(true),
            // The backup has no such version, or cannot open it either.
            Err(VaultError::NotFound { .. } | VaultError::Object { .. } | VaultError::Damaged { .. }) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn seal_version_from(
        &self,
        backup: &Self,
        service: &ServiceName,
        name: &CredentialName,
        version: u64,
    ) -> Result<(), VaultError> {
        self.write(|snapshot, draft, _| {
            let mut leaf = own(snapshot, service)?;
            let present = Service::load(snapshot, &leaf)?;
            let missing = || not_found(service);
            let mut record = present.find(snapshot, name.as_str())?.ok_or_else(missing)?;
            let key = self.active_service_key(snapshot, &leaf)?;
            let id = record.id;
            let place = record.versions.iter_mut().find(|one| one.n == version).ok_or_else(missing)?;
            let value = value_from(backup, service, (&record.name, id), place)?;
            if let Some(gone) = place.object.take() {
                draft.replace(&gone);
            }
            place.object = Some(self.seal_version(snapshot, &key, id, version, &value, draft)?);
            place.key = key.n;
            count_seals(&self.keyring, &mut leaf, draft, service)?;
            draft.replace(&leaf.object);
            let (record_name, entropy) = (record.name.clone(), self.entropy.as_ref());
            leaf.object = present.write_one(snapshot, &record_name, Some(record), draft, entropy)?;
            commit_leaf(self, snapshot, leaf, draft)
        })
    }

    /// Every version of a service, as the backup has it, under a new data key. If the backup lacks a single one, nothing
    /// is done: what it lacks would be lost.
    fn seal_service_from(&self, backup: &Self, service: &ServiceName) -> Result<(), VaultError> {
        self.write(|snapshot, draft, _| {
            let mut leaf = own(snapshot, service)?;
            let mut present = Service::load(snapshot, &leaf)?;
            let mut records = present.all(snapshot)?;
            let n = leaf.active_key()?.n + 1;
            let recipients = snapshot.recipients()?;
            let (key, key_record) = self.new_service_key(snapshot, leaf.service, n, &recipients, draft)?;
            for record in &mut records {
                let (name, id) = (record.name.clone(), record.id);
                for version in record.versions.iter_mut().filter(|version| version.object.is_some()) {
                    let value = value_from(backup, service, (&name, id), version)?;
                    if let Some(gone) = version.object.take() {
                        draft.replace(&gone);
                    }
                    version.object = Some(self.seal_version(snapshot, &key, id, version.n, &value, draft)?);
                    version.key = key.n;
                }
            }
            leaf.keys.iter().for_each(|key| draft.replace(&key.envelope));
            draft.replace(&leaf.object);
            leaf.keys = vec![key_record];
            count_seals(&self.keyring, &mut leaf, draft, service)?;
            present.key_is_new(self.clock.now());
            leaf.object = present.write_all(snapshot, records, draft, self.entropy.as_ref())?;
            commit_leaf(self, snapshot, leaf, draft)
        })
    }
}

fn commit_leaf(
    vault: &Vault,
    snapshot: &Snapshot,
    leaf: Leaf,
    draft: &mut Draft,
) -> Result<Step<()>, VaultError> {
    let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, vault.entropy.as_ref())?;
    Ok(Step::Commit(snapshot.with_index(index), ()))
}

fn own(snapshot: &Snapshot, service: &ServiceName) -> Result<Leaf, VaultError> {
    snapshot.own_leaf(service)?.ok_or_else(|| not_found(service))
}

fn not_found(service: &ServiceName) -> VaultError {
    let reference = Reference { service: service.clone(), name: None };
    VaultError::NotFound { what: crate::Missing::Service, reference }
}

/// The value of the same version of the same credential in the backup.
fn value_from(
    backup: &Vault,
    service: &ServiceName,
    (name, id): (&str, claviger_types::CredentialId),
    version: &VersionRecord,
) -> Result<Value, VaultError> {
    let snapshot = backup.fresh()?;
    let (tree, leaf) = snapshot.locate(service)?.ok_or_else(|| not_found(service))?;
    let same = |record: &CredentialRecord| record.id == id;
    let record =
        Service::load(tree, &leaf)?.find(tree, name)?.filter(same).ok_or_else(|| not_found(service))?;
    let old = record.version(version.n).filter(|old| old.created == version.created && old.object.is_some());
    let old = old.ok_or_else(|| not_found(service))?;
    let key = leaf.keys.iter().find(|key| key.n == old.key).ok_or_else(|| not_found(service))?;
    let key = backup.keyring.data_key(tree, leaf.service, key)?;
    open_under(tree, &key, leaf.service, &record, old)
}

#[cfg(test)]
mod tests;
