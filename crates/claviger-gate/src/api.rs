//! What can be asked of claviger.

use crate::{
    Amend, AmendService, ApiError, BackupReport, Changed, Credential, CredentialInfo, Erasure, GcOptions,
    GcReport, ImportEntry, ImportOptions, ImportReport, JobReport, PinnedSigner, Progress, Proposal,
    RepairReport, Retire, Rewrapped, RotateMaster, Set, Status, VerifyReport, Versions, Written,
};
use claviger_token::KeyDescription;
use claviger_types::{Digest, RecipientId, Reference, ServiceName, Timestamp};
use std::path::Path;

/// Everything that can be asked, in one place: the gate answers in this process, the client over the daemon's socket.
///
/// Each call is decided by the policy, and recorded before its answer leaves; a call that cannot be recorded is
/// refused.
pub trait Api: Send + Sync {
    /// Writes a new version of a credential, making service and credential where they are new.
    fn set(&self, set: Set) -> Result<Written, ApiError>;

    /// Reads a version, the newest by default. The newest one being deleted or destroyed is "not found".
    fn get(&self, reference: &Reference, version: Option<u64>) -> Result<Credential, ApiError>;

    /// The credentials of a service, or of all services, in order of service and name (as bytes).
    fn list(&self, service: Option<&ServiceName>) -> Result<Vec<CredentialInfo>, ApiError>;

    /// One credential with all versions that are kept.
    fn history(&self, reference: &Reference) -> Result<CredentialInfo, ApiError>;

    /// Writes an earlier version's value as a new version.
    fn rollback(&self, reference: &Reference, to: u64) -> Result<Written, ApiError>;

    /// Hides versions until they are undeleted.
    fn delete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError>;

    /// Brings deleted versions back.
    fn undelete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError>;

    /// Destroys versions for ever: the service gets a new data key, and what remains is sealed again under it.
    fn destroy(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError>;

    /// Changes what is known about a credential, and nothing of its values.
    fn amend(&self, reference: &Reference, amend: &Amend) -> Result<CredentialInfo, ApiError>;

    /// Changes what is known about a service.
    fn amend_service(&self, service: &ServiceName, amend: &AmendService) -> Result<(), ApiError>;

    /// Lets all but the newest versions go, which is no erasure.
    fn prune(&self, reference: &Reference, keep: u32) -> Result<Written, ApiError>;

    /// Gives services new data keys: the number of versions that were sealed again, and whether the bytes of what was
    /// there before are gone.
    fn rotate_services(
        &self,
        services: &[ServiceName],
        progress: &dyn Progress,
    ) -> Result<(u64, Erasure), ApiError>;

    /// Gives every service a new data key, in one job that survives being cut short.
    fn rotate_all_services(&self, progress: &dyn Progress) -> Result<JobReport, ApiError>;

    /// Makes a new master key on the token by which the vault is open.
    fn rotate_master(&self, how: RotateMaster, progress: &dyn Progress) -> Result<JobReport, ApiError>;

    /// Finishes a job that was left behind; `None` if there is none.
    fn resume(&self, progress: &dyn Progress) -> Result<Option<JobReport>, ApiError>;

    /// Sets how many days lie between rotations of the master key, and of a service's data key.
    fn set_intervals(&self, master: Option<u32>, service: Option<u32>) -> Result<(), ApiError>;

    /// Enters a key pair as a recipient that has still to answer a challenge.
    fn propose(&self, key: &KeyDescription, signer: Option<PinnedSigner>) -> Result<Proposal, ApiError>;

    /// Takes up a recipient that has answered.
    fn activate(
        &self,
        recipient: RecipientId,
        answer: Digest,
        progress: &dyn Progress,
    ) -> Result<JobReport, ApiError>;

    /// Retires a recipient; `None` for one that was only proposed.
    fn retire(
        &self,
        recipient: RecipientId,
        how: &Retire,
        progress: &dyn Progress,
    ) -> Result<Option<JobReport>, ApiError>;

    /// Writes everything into a new file, which is as safe as the store.
    fn backup(&self, file: &Path, progress: &dyn Progress) -> Result<BackupReport, ApiError>;

    /// Reads a backup of this vault from its beginning to its end.
    fn verify_backup(&self, file: &Path, progress: &dyn Progress) -> Result<VerifyReport, ApiError>;

    /// Makes a new backup of an old one, wrapped to the recipients of today.
    fn rewrap_backup(
        &self,
        old: &Path,
        new: &Path,
        progress: &dyn Progress,
    ) -> Result<(BackupReport, Rewrapped), ApiError>;

    /// Takes backups of this name off the record, because they are destroyed; how many there were.
    fn forget_backup(&self, name: &str) -> Result<usize, ApiError>;

    /// Mends from a backup what is damaged.
    fn repair(&self, backup: &Path, progress: &dyn Progress) -> Result<RepairReport, ApiError>;

    /// Takes over credentials from elsewhere: all of them become visible at once, or none.
    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
        progress: &dyn Progress,
    ) -> Result<ImportReport, ApiError>;

    /// The state of the vault at large.
    fn status(&self) -> Result<Status, ApiError>;

    /// Reads everything that the head reaches and names what is damaged.
    fn verify(&self, progress: &dyn Progress) -> Result<VerifyReport, ApiError>;

    /// Deletes objects that the head does not reach.
    fn gc(&self, options: GcOptions, progress: &dyn Progress) -> Result<GcReport, ApiError>;

    /// The newest `limit` audit records, oldest first.
    fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, ApiError>;
}

/// One line of the audit log as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub time: Timestamp,
    /// Who: the principal, such as `Admin::"owner"`.
    pub principal: String,
    /// The user id of the calling process.
    pub uid: u32,
    /// The program that called.
    pub program: String,
    /// What was asked: `read`, `write`, ...
    pub action: String,
    /// About what: a reference, or nothing for the vault at large.
    pub reference: Option<String>,
    /// Which version was meant or made.
    pub version: Option<u64>,
    /// How it ended: `allowed`, `done`, `denied`, `failed`.
    pub outcome: String,
    /// More, in words.
    pub detail: Option<String>,
}

impl From<claviger_audit::Recorded> for AuditRecord {
    fn from(recorded: claviger_audit::Recorded) -> Self {
        let claviger_audit::Entry { actor, action, reference, version, outcome, detail } = recorded.entry;
        Self {
            time: recorded.time,
            principal: actor.principal,
            uid: actor.uid,
            program: actor.program,
            action,
            reference,
            version,
            outcome: outcome.name().to_owned(),
            detail,
        }
    }
}
