//! Deleting what the head does not reach: left-overs of crashes, of imports that failed, of lost races.

use crate::{GcOptions, GcReport, Progress, Vault, VaultError, chain, session::BATCH, snapshot::Snapshot};
use claviger_types::ObjectId;
use std::{collections::HashSet, time::Duration};

/// Garbage younger than this may be a write under way on another host.
const YOUNG: Duration = Duration::from_hours(24);

impl Vault {
    /// Deletes objects that the head does not reach and that are older than a day. Refuses to while anything that the
    /// head reaches is damaged: what hangs under a damaged object cannot be told from garbage.
    pub fn gc(&self, options: GcOptions, progress: &dyn Progress) -> Result<GcReport, VaultError> {
        progress.begin("collecting garbage", None);
        let (snapshot, marks) = self.mark_undamaged(progress)?;
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
        if options.erase && !options.dry_run {
            report.erasure = Some(self.erase()?);
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
        if options.now {
            // Without the guard of age another writer may just have reached what is deleted here.
            self.delete_unreached(snapshot, doomed)?;
            progress.advance(u64::try_from(doomed.len()).unwrap_or(u64::MAX));
            return Ok(());
        }
        for batch in doomed.chunks(BATCH) {
            self.store.delete(batch)?;
            progress.advance(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
