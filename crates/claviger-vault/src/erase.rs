//! Erasure: what was destroyed leaves no bytes, as far as the engine can help it (`docs/erasure.md`).

use crate::{Silent, Vault, VaultError, session::MOST_PER_COMMIT};
use claviger_store::Erasure;
use claviger_types::ObjectId;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How often a sweep begins again because others write, before the bytes are left to a later one.
const MOST_SWEEPS: usize = 5;

/// Whether deletions after a commit failed, so that what they should have deleted is garbage now.
#[derive(Debug, Default)]
pub(crate) struct LeftBehind(AtomicBool);

impl LeftBehind {
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Vault {
    /// Does work that deletes what must leave no bytes, and has them go. The work counts even where the bytes stay.
    pub(crate) fn erasing<T>(
        &self,
        work: impl FnOnce() -> Result<T, VaultError>,
    ) -> Result<(T, Erasure), VaultError> {
        let left_over = self.store.erasure_pending()?;
        self.store.begin_erasure()?;
        match work() {
            Ok(done) => Ok((done, self.finish_erasure(left_over))),
            Err(error) => {
                // What was deleted before the failure goes too; the failure matters more than how that ends.
                let _ = self.store.erase();
                Err(error)
            }
        }
    }

    /// Has the bytes go. After a crash, what a commit replaced may still lie there as garbage, and goes first.
    fn finish_erasure(&self, left_over: bool) -> Erasure {
        let swept = if left_over || self.left_behind.0.load(Ordering::SeqCst) {
            self.sweep(Duration::ZERO).map(drop)
        } else {
            Ok(())
        };
        let erased = swept.and_then(|()| Ok(self.store.erase()?));
        erased.unwrap_or_else(|error| Erasure::Pending { reason: error.to_string() })
    }

    /// Has the bytes of everything go that was deleted so far, and of everything that was left behind.
    pub fn erase(&self) -> Result<Erasure, VaultError> {
        self.store.begin_erasure()?;
        Ok(self.finish_erasure(true))
    }

    /// Whether bytes of what was destroyed may still lie in the store.
    pub fn erasure_pending(&self) -> Result<bool, VaultError> {
        Ok(self.store.erasure_pending()?)
    }

    /// Deletes what nothing reaches and has lain there for so long. What another process has staged and not committed
    /// goes too: its commit then fails, and nothing is lost by it.
    fn sweep(&self, least: Duration) -> Result<u64, VaultError> {
        for _ in 1..MOST_SWEEPS {
            match self.sweep_once(least) {
                // Others wrote meanwhile.
                Err(VaultError::Contended) => {}
                outcome => return outcome,
            }
        }
        self.sweep_once(least)
    }

    fn sweep_once(&self, least: Duration) -> Result<u64, VaultError> {
        let (snapshot, marks) = self.mark_undamaged(&Silent)?;
        let heads: std::collections::HashSet<ObjectId> = marks.old_heads.into_iter().collect();
        let mut doomed = Vec::new();
        marks.all.unmarked(self.store.as_ref(), &mut |listed| {
            if listed.age >= least && !heads.contains(&listed.id) {
                doomed.push(listed.id);
            }
            Ok(())
        })?;
        let count = u64::try_from(doomed.len()).unwrap_or(u64::MAX);
        self.delete_unreached(&snapshot, &doomed)?;
        Ok(count)
    }

    /// Deletes what this head does not reach, under compare-and-set: an object may be young because a commit has just
    /// reached it, and then the head has moved.
    pub(crate) fn delete_unreached(
        &self,
        snapshot: &crate::snapshot::Snapshot,
        doomed: &[ObjectId],
    ) -> Result<(), VaultError> {
        let mut head = snapshot.digest;
        for batch in doomed.chunks(MOST_PER_COMMIT) {
            let present = self.fresh()?;
            let mut draft = crate::draft::Draft::default();
            draft.deletes.extend_from_slice(batch);
            let payload = Box::new(crate::format::HeadPayload::clone(&present.payload));
            if present.digest != head || !self.commit(&present, payload, draft)? {
                return Err(VaultError::Contended);
            }
            head = self.fresh()?.digest;
        }
        Ok(())
    }
}
