//! The end of a job: retired keys destroyed where that was asked, their final state written, the emptied root dropped.

use super::begin::Plan;
use crate::{
    BackupInfo, HostInfo, JobInfo, JobKind, JobReport, RecipientInfo, RecipientState, Vault, VaultError,
    draft::Draft,
    format::{HeadPayload, Job, RecipientRecord, Registry},
    snapshot::Snapshot,
    succession,
};
use claviger_token::TokenError;

/// One that may not be destroyed is not.
fn is_destroyed(done: Result<bool, VaultError>) -> Result<bool, VaultError> {
    match done {
        Err(VaultError::Token(TokenError::KeyNotOurs { key })) => {
            tracing::warn!(key, "it stays: this program did not make it");
            Ok(false)
        }
        done => done,
    }
}

impl Vault {
    /// The payload of the head that no longer has the job. Keys that are to be destroyed are gone before it is written.
    pub(super) fn end(
        &self,
        snapshot: &Snapshot,
        job: &Job,
        draft: &mut Draft,
    ) -> Result<Box<HeadPayload>, VaultError> {
        let mut registry = Registry::clone(&*snapshot.registry()?);
        self.move_on(&registry, job)?;
        let now = self.clock.now();
        for id in &job.retiring {
            // A key on a token that is not here was not destroyed, whatever was asked, nor was one of somebody else's.
            let stays = job.destroy && !is_destroyed(registry.record(*id)?.destroy_on(self.keyring.token()))?;
            let end = if stays { RecipientState::Deactivated } else { job.end };
            registry.recipient_mut(*id)?.become_state(end, now);
        }
        let mut payload = Box::new(HeadPayload::clone(&snapshot.payload));
        payload.rotation = None;
        if job.kind == JobKind::Replace {
            payload.roots.truncate(1);
            if let Some(elder) = snapshot.payload.elder_root() {
                draft.replace(&elder.envelope);
            }
        }
        payload.recipients = self.put_registry(snapshot, &snapshot.keys, registry, draft)?;
        Ok(payload)
    }

    /// Has this host open the vault by the key that follows on the same token, where the one it is told to use is on its
    /// way out.
    fn move_on(&self, registry: &Registry, job: &Job) -> Result<(), VaultError> {
        for former in job.retiring.iter().filter_map(|id| registry.recipient(*id)) {
            let same_token = |record: &RecipientRecord| record.is_on_token_of(former);
            let mut followers: Vec<_> =
                registry.writable(&job.retiring).into_iter().filter(same_token).collect();
            // The one that was made for it, where the token has several.
            followers.sort_by_key(|record| job.made != Some(record.id));
            for record in followers {
                if let Some(scheme) = record.scheme()
                    && let Some(key) = self.keyring.key_of(record.id, scheme)?
                {
                    self.host.adopt(former.id, key.describe())?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// What a job that has ended did, and who could still open what was before it.
    pub(super) fn report(&self, job: &Job) -> Result<JobReport, VaultError> {
        self.read(|snapshot| {
            let registry = snapshot.registry()?;
            let fingerprint = snapshot.root.fingerprint;
            let local = self.keyring.recipient();
            let (mut retired, mut others) = (Vec::new(), Vec::new());
            for record in &registry.recipients {
                let Some(info) = RecipientInfo::of(record, local) else { continue };
                if job.retiring.contains(&record.id) {
                    retired.push(info);
                } else if job.made != Some(record.id)
                    && !matches!(record.state, RecipientState::PreActive | RecipientState::Destroyed)
                {
                    others.push(info);
                }
            }
            Ok(JobReport {
                job: JobInfo::of(job),
                fingerprint,
                retired,
                others,
                backups: registry.backups.iter().map(BackupInfo::of).collect(),
                behind: registry
                    .hosts
                    .iter()
                    .filter(|host| host.fingerprint != fingerprint)
                    .map(HostInfo::of)
                    .collect(),
                vouched: job.kind == JobKind::Replace
                    && succession::is_of(self.store.as_ref(), &snapshot.payload, &fingerprint)?,
                erasure: None,
                resumed: false,
            })
        })
    }

    /// Gives every service a new data key, in bounded commits, and seals what they hold anew.
    pub fn rekey_all(&self, progress: &dyn crate::Progress) -> Result<JobReport, VaultError> {
        let lock = self.work_lock()?;
        self.finish_left_over(&lock, progress)?;
        let plan = Plan {
            kind: JobKind::Rekey,
            retiring: Vec::new(),
            end: RecipientState::Deactivated,
            destroy: false,
            made: None,
        };
        self.run(&lock, &plan, &|_, _| Ok(()), progress)
    }
}
