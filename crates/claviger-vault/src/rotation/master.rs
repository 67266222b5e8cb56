//! A new master key on the same token.

use super::begin::Plan;
use crate::{
    JobKind, JobReport, Progress, Vault, VaultError,
    format::{Job, RecipientRecord, Registry},
    report::RecipientState,
    snapshot::Snapshot,
};
use claviger_token::{NewKey, TokenError};
use claviger_types::{RecipientId, Scheme};

/// How to rotate the master key.
#[derive(Debug, Clone, Copy, Default)]
pub struct RotateMaster {
    /// The new key's scheme; `None` for the old one's.
    pub scheme: Option<Scheme>,
    /// Whether somebody else may have the old key: then everything is sealed anew.
    pub compromised: bool,
    /// Whether the old key is destroyed on the token in the end.
    pub destroy_old: bool,
}

impl RotateMaster {
    /// Whether a job made a new master key as this wants it. A compromised key is not dealt with by one that only wraps
    /// anew.
    fn is_done_by(self, job: &Job, registry: &Registry) -> bool {
        let made = job.made.and_then(|made| registry.recipient(made));
        made.is_some_and(|made| self.scheme.is_none_or(|scheme| made.scheme() == Some(scheme)))
            && (!self.compromised || job.kind == JobKind::Replace)
            && (!self.destroy_old || job.destroy)
    }
}

impl Vault {
    /// Makes a new master key on the token by which the vault is open, and wraps every data key to it instead of the old
    /// one. A rotation of the master key that was left behind is finished first, and is all there is to do if it does what
    /// is asked for now.
    pub fn rotate_master(&self, how: RotateMaster, progress: &dyn Progress) -> Result<JobReport, VaultError> {
        let lock = self.work_lock()?;
        let left_over = self.fresh()?.payload.job()?;
        let finished = self.finish_left_over(&lock, progress)?;
        if let (Some(job), Some(report)) = (left_over, finished)
            && how.is_done_by(&job, &*self.registry()?)
        {
            return Ok(report);
        }
        let (old, scheme) = self.read(|snapshot| {
            let old = self.own_record(snapshot)?;
            let scheme = how.scheme.or_else(|| old.scheme()).unwrap_or(Scheme::EcdhEsA256Kw);
            check_scheme(snapshot, &old, scheme)?;
            Ok((old, scheme))
        })?;

        let token = self.keyring.token();
        if how.destroy_old
            && let Some(scheme) = old.scheme()
            && !token.owns(old.id, scheme)?
        {
            return Err(TokenError::KeyNotOurs { key: old.key_label }.into());
        }
        let asked = RecipientId::random(self.entropy.as_ref())?;
        let new = NewKey { recipient: asked, label: key_label(asked), scheme };
        let key = token.generate_sibling(&new)?;
        // A card names its keys itself.
        let id = key.describe().recipient;
        let mut record = RecipientRecord::of(key.describe(), RecipientState::Active, self.clock.now());
        record.signer = old.signer.filter(|_| !how.compromised);
        self.keyring.learn(key);
        let plan = Plan {
            kind: if how.compromised { JobKind::Replace } else { JobKind::Rewrap },
            retiring: vec![old.id],
            end: match (how.destroy_old, how.compromised) {
                (true, _) => RecipientState::Destroyed,
                (false, true) => RecipientState::Compromised,
                (false, false) => RecipientState::Deactivated,
            },
            destroy: how.destroy_old,
            made: Some(id),
        };
        let done = self.run(&lock, &plan, &|registry, _| registry.add(record.clone()), progress);
        if let Err(error) = &done
            && !error.may_be_done()
            && self.registry()?.recipient(id).is_none()
            && token.destroy_sibling(id, scheme).is_err()
        {
            tracing::warn!(key = new.label, "the unused key stayed on the token");
        }
        done
    }

    /// The active recipient whose key lies on the token by which the vault is open.
    pub(super) fn own_record(&self, snapshot: &Snapshot) -> Result<RecipientRecord, VaultError> {
        for record in snapshot.recipients()? {
            if let Some(scheme) = record.scheme()
                && self.keyring.key_of(record.id, scheme)?.is_some()
            {
                return Ok(record);
            }
        }
        Err(VaultError::NotARecipient)
    }
}

/// A second secret key would be one that not every writer can wrap to.
fn check_scheme(snapshot: &Snapshot, old: &RecipientRecord, scheme: Scheme) -> Result<(), VaultError> {
    let other =
        snapshot.recipients()?.into_iter().find(|record| record.is_symmetric() && record.id != old.id);
    match other.filter(|_| scheme.is_symmetric()) {
        None => Ok(()),
        Some(other) => Err(VaultError::Invalid {
            reason: format!(
                "the key on the token `{}` is a secret key already, and at most one recipient may be that: others \
                 could not wrap to it. Take a key pair: --scheme ECDH-ES+A256KW",
                other.token_label
            ),
        }),
    }
}

/// The label of a key on its token.
pub(crate) fn key_label(recipient: RecipientId) -> String {
    let id = recipient.to_string();
    format!("claviger {}", id.get(..8).unwrap_or(&id))
}
