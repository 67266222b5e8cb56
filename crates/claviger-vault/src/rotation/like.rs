//! Wrapping an old copy of the vault to the recipients of today.

use super::begin::Plan;
use crate::{JobKind, Progress, RecipientState, Vault, VaultError, format::RecipientRecord};
use claviger_types::RecipientId;

/// Whom a copy was wrapped to anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// Recipients that it did not have.
    pub added: Vec<RecipientId>,
    /// Recipients that it had, and that are none any more.
    pub dropped: Vec<RecipientId>,
}

impl Vault {
    /// Wraps every data key of this copy to these recipients and to nobody else.
    pub(crate) fn rewrap_like(
        &self,
        wanted: &[RecipientRecord],
        progress: &dyn Progress,
    ) -> Result<Rewrapped, VaultError> {
        let lock = self.work_lock()?;
        self.finish_left_over(&lock, progress)?;
        let present: Vec<RecipientId> = self.recipients()?.iter().map(|record| record.id).collect();
        let ids: Vec<RecipientId> = wanted.iter().map(|record| record.id).collect();
        let added = ids.iter().filter(|id| !present.contains(id)).copied().collect();
        let dropped: Vec<_> = present.iter().filter(|id| !ids.contains(id)).copied().collect();
        let plan = Plan {
            kind: JobKind::Rewrap,
            retiring: dropped.clone(),
            end: RecipientState::Deactivated,
            destroy: false,
            made: None,
        };
        self.run(
            &lock,
            &plan,
            &|registry, now| {
                for record in wanted {
                    match registry.recipient_mut(record.id) {
                        Ok(present) => present.become_state(RecipientState::Active, now),
                        Err(_) => registry.add(record.clone())?,
                    }
                }
                Ok(())
            },
            progress,
        )?;
        Ok(Rewrapped { added, dropped })
    }
}
