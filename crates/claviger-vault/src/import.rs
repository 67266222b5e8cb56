//! Taking over many credentials at once: everything is staged and checked first, then one swap of the head makes all of
//! it visible, or nothing is.

mod stage;

use crate::{
    ImportEntry, ImportOptions, ImportReport, Missing, Progress, Vault, VaultError, credentials::Found,
    format::Leaf, index, session::Step, snapshot::Snapshot,
};
use claviger_envelope::DataKeyContext;
use claviger_types::{MAX_VALUE_BYTES, Reference, ServiceName};
use stage::Staged;
use std::collections::{BTreeMap, HashSet, btree_map::Entry};

/// How many of the new data keys are unwrapped again by the token before the head is swapped.
const SAMPLE: usize = 32;

/// How often an import begins again because others changed what it had built on.
const MOST_ATTEMPTS: usize = 5;

/// The entries of one service.
struct ServicePlan<'a> {
    name: ServiceName,
    /// The service as it is; what is staged builds on it, so it must be the same when the head is swapped.
    leaf: Option<Leaf>,
    entries: Vec<&'a ImportEntry>,
}

impl Vault {
    /// Takes over credentials. Entries that the vault has with the same value are left alone; if any differ and
    /// `overwrite` is not given, nothing at all is written and they are reported.
    pub fn import(
        &self,
        entries: &[ImportEntry],
        options: ImportOptions,
        progress: &dyn Progress,
    ) -> Result<ImportReport, VaultError> {
        check_entries(entries)?;
        for _ in 1..MOST_ATTEMPTS {
            match self.import_once(entries, options, progress) {
                // What was sealed meanwhile is for a vault that has changed: its services, its keys, or who can open it.
                Err(VaultError::Contended) => {}
                outcome => return outcome,
            }
        }
        self.import_once(entries, options, progress)
    }

    fn import_once(
        &self,
        entries: &[ImportEntry],
        options: ImportOptions,
        progress: &dyn Progress,
    ) -> Result<ImportReport, VaultError> {
        self.move_services(entries.iter().map(|entry| &entry.service))?;
        let snapshot = self.fresh()?;
        let mut report = ImportReport::default();
        let plans = self.plan(&snapshot, entries, &mut report, progress)?;
        let refused = !report.differing.is_empty() && !options.overwrite;
        if options.overwrite {
            report.updated = std::mem::take(&mut report.differing);
        }
        if options.dry_run || refused || plans.is_empty() {
            return Ok(report);
        }
        let mut staged = Staged::default();
        let outcome = staged
            .fill(self, &snapshot, plans, &mut report, progress)
            .and_then(|()| self.sample(&snapshot, &staged, &mut report))
            .and_then(|()| self.publish(&snapshot, &staged));
        if let Err(error) = outcome {
            if error.may_be_done() {
                return Err(error);
            }
            self.discard(&staged.ids);
            return Err(if self.is_overtaken(&snapshot, &error)? { VaultError::Contended } else { error });
        }
        report.applied = true;
        Ok(report)
    }

    /// Sorts entries into new, unchanged and differing, by service. The plans hold what would be written.
    fn plan<'a>(
        &self,
        snapshot: &Snapshot,
        entries: &'a [ImportEntry],
        report: &mut ImportReport,
        progress: &dyn Progress,
    ) -> Result<Vec<ServicePlan<'a>>, VaultError> {
        progress.begin("comparing", Some(u64::try_from(entries.len()).unwrap_or(u64::MAX)));
        let mut plans: BTreeMap<ServiceName, ServicePlan<'a>> = BTreeMap::new();
        for entry in entries {
            progress.advance(1);
            let reference = Reference { service: entry.service.clone(), name: Some(entry.name.clone()) };
            match self.compare(snapshot, &reference, entry)? {
                Some(true) => {
                    report.unchanged += 1;
                    continue;
                }
                Some(false) => report.differing.push(reference),
                None => report.created.push(reference),
            }
            let plan = match plans.entry(entry.service.clone()) {
                Entry::Occupied(present) => present.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(ServicePlan {
                    name: entry.service.clone(),
                    leaf: snapshot.own_leaf(&entry.service)?,
                    entries: Vec::new(),
                }),
            };
            plan.entries.push(entry);
        }
        Ok(plans.into_values().collect())
    }

    /// Whether the vault has this entry with the same value; `None` if it does not have it at all. A credential whose
    /// newest version was deleted or destroyed differs: somebody took it away on purpose.
    fn compare(
        &self,
        snapshot: &Snapshot,
        reference: &Reference,
        entry: &ImportEntry,
    ) -> Result<Option<bool>, VaultError> {
        let found = match Found::at(snapshot, reference) {
            Ok(found) => found,
            Err(VaultError::NotFound { what: Missing::Service | Missing::Credential, .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match found.live(None, self.clock.now()) {
            Ok(version) => {
                let value = self.open_version(found.tree, &found.leaf, &found.record, version)?;
                Ok(Some(value.same_as(&entry.value)))
            }
            Err(VaultError::NotFound { .. }) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Unwraps some of the new data keys again, through the token and from what the store gives back.
    fn sample(
        &self,
        snapshot: &Snapshot,
        staged: &Staged,
        report: &mut ImportReport,
    ) -> Result<(), VaultError> {
        let step = staged.changes.len().div_ceil(SAMPLE).max(1);
        for leaf in staged.changes.iter().step_by(step).filter_map(|(_, leaf)| leaf.as_ref()) {
            let record = leaf.active_key()?;
            let bytes = snapshot.read("data key", &record.envelope)?;
            let context =
                DataKeyContext { vault: snapshot.payload.vault, service: leaf.service, n: record.n };
            self.keyring.unwrap(&bytes, context, &record.kid)?;
            report.verified_by_token += 1;
        }
        Ok(())
    }

    /// Swaps the head. Other writers may have been at work meanwhile, but not on the same services.
    fn publish(&self, base: &Snapshot, staged: &Staged) -> Result<(), VaultError> {
        self.write(|snapshot, draft, _| {
            if snapshot.digest != base.digest {
                staged.still_holds(self, base, snapshot)?;
            }
            draft.deletes.extend_from_slice(&staged.replaced);
            draft.seals.clone_from(&staged.seals);
            let index = index::edit(snapshot, staged.changes.clone(), draft, self.entropy.as_ref())?;
            Ok(Step::Commit(snapshot.with_index(index), ()))
        })
    }
}

fn check_entries(entries: &[ImportEntry]) -> Result<(), VaultError> {
    let mut seen = HashSet::new();
    for entry in entries {
        let reference = || Reference { service: entry.service.clone(), name: Some(entry.name.clone()) };
        if entry.value.size() > MAX_VALUE_BYTES {
            return Err(VaultError::Invalid {
                reason: format!(
                    "`{}` has {} bytes; the most is {MAX_VALUE_BYTES}",
                    reference(),
                    entry.value.size()
                ),
            });
        }
        if !seen.insert((&entry.service, &entry.name)) {
            return Err(VaultError::Invalid { reason: format!("`{}` is there twice", reference()) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
