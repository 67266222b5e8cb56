//! Deleting what the head does not reach: left-overs of crashes, of imports that failed, of lost races.

use crate::{
    GcOptions, GcReport, Progress, Vault, VaultError, chain, draft::Draft, session::MOST_PER_COMMIT,
    snapshot::Snapshot,
};
use claviger_types::ObjectId;
use std::{collections::HashSet, time::Duration};

/// Garbage younger than this may be a write under way on another host.
const YOUNG: Duration = Duration::from_hours(24);

impl Vault {
    /// Deletes objects that the head does not reach and that are older than a day. Refuses to while anything that the
    /// head reaches is damaged: what hangs under a damaged object cannot be told from garbage.
    pub fn gc(&self, options: GcOptions, progress: &dyn Progress) -> Result<GcReport, VaultError> {
        progress.begin("collecting garbage", None);
        let snapshot = self.fresh()?;
        let (found, marks) = self.mark(&snapshot, progress)?;
        if let Some(damage) = found.damage.first() {
            if self.fresh()?.digest != snapshot.digest {
                return self.gc(options, progress);
            }
            return Err(VaultError::Object { what: damage.what, object: damage.object, fault: damage.fault });
        }
        let mut report = GcReport { reached: marks.objects, kept_heads: marks.heads, ..GcReport::default() };
        let old_heads: HashSet<_> = marks.old_heads.into_iter().collect();
        let mut doomed = Vec::new();
        marks.all.unmarked(self.store.as_ref(), &mut |listed| {
            if old_heads.contains(&listed.id) {
                if options.now || listed.age >= chain::KEPT_FOR {
                    doomed.push(listed.id);
                } else {
                    report.kept_heads += 1;
                }
            } else if options.now || listed.age >= YOUNG {
                doomed.push(listed.id);
            } else {
                report.young += 1;
            }
            Ok(())
        })?;
        report.deleted = u64::try_from(doomed.len()).unwrap_or(u64::MAX);
        if !options.dry_run {
            self.delete_garbage(&snapshot, &doomed, options, progress)?;
        }
        Ok(report)
    }
    fn delete_garbage(
        &self,
        snapshot: &Snapshot,
        doomed: &[ObjectId],
        options: GcOptions,
        progress: &dyn Progress,
    ) -> Result<(), VaultError> {
        let mut head = snapshot.digest;
        for batch in doomed.chunks(MOST_PER_COMMIT) {
            if options.now {
                // Without the guard of age, an object may be young because a commit has just reached it. Deleting
                // under compare-and-set shows whether there was one, and makes every other writer start again.
                let present = self.fresh()?;
                let mut draft = Draft::default();
                draft.deletes.extend_from_slice(batch);
                if present.digest != head
                    || !self.commit(&present, present.with_index(present.payload.root()?.index), draft)?
                {
                    return Err(VaultError::Contended);
                }
                head = self.fresh()?.digest;
            } else {
                self.store.delete(batch)?;
            }
            progress.advance(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
