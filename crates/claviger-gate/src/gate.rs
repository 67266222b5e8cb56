//! The gate: policy before, audit record before the answer, vault behind.

use crate::{
    Amend, AmendService, Api, ApiError, AuditRecord, BackupReport, Changed, Credential, CredentialInfo,
    Erasure, GcOptions, GcReport, ImportEntry, ImportOptions, ImportReport, JobReport, PinnedSigner,
    Progress, Proposal, RepairReport, Retire, Rewrapped, RotateMaster, Set, Status, VerifyReport, Versions,
    Written,
};
use claviger_audit::{Actor, AuditLog, Entry, Outcome};
use claviger_policy::{Action, Decision, Policy, Principal, Request, Resource};
use claviger_store::{ArchiveStore, SqliteStore, StoreError};
use claviger_token::KeyDescription;
use claviger_types::{Digest, RecipientId, Reference, ServiceName};
use claviger_vault::{Vault, VaultError};
use std::{path::Path, sync::Arc};

/// Who is at the door.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whom the policy knows.
    pub principal: Principal,
    /// The user id of the process.
    pub uid: u32,
    /// The process id.
    pub pid: u32,
    /// The program's path.
    pub program: String,
}

/// The one door to a vault.
pub struct Gate {
    vault: Vault,
    policy: Policy,
    audit: AuditLog,
    caller: Caller,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// What a call is about, for the policy and for the record.
#[derive(Clone, Copy)]
struct Call<'a> {
    action: Action,
    resource: Resource<'a>,
    /// The command's name, which tells `delete` from `undelete`.
    operation: &'static str,
    version: Option<u64>,
}

impl Gate {
    /// Puts a gate before a vault.
    pub const fn new(vault: Vault, policy: Policy, audit: AuditLog, caller: Caller) -> Self {
        Self { vault, policy, audit, caller }
    }

    /// A call that shows something: it is done, then recorded, then answered. An answer that cannot be recorded is
    /// dropped.
    fn show<T>(
        &self,
        call: Call<'_>,
        run: impl FnOnce(&Vault) -> Result<T, VaultError>,
        version: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<T, ApiError> {
        self.decide(call)?;
        match run(&self.vault) {
            Ok(answer) => {
                let version = version(&answer);
                self.record(Call { version: version.or(call.version), ..call }, Outcome::Allowed, None)?;
                Ok(answer)
            }
            Err(error) => self.failed(call, error),
        }
    }

    /// A call that changes something: it is recorded, then done, then recorded again with what came of it.
    fn change<T>(
        &self,
        call: Call<'_>,
        run: impl FnOnce(&Vault) -> Result<T, VaultError>,
        version: impl FnOnce(&T) -> Option<u64>,
    ) -> Result<T, ApiError> {
        self.decide(call)?;
        self.record(call, Outcome::Allowed, None)?;
        match run(&self.vault) {
            Ok(answer) => {
                let version = version(&answer);
                self.record(Call { version, ..call }, Outcome::Done, None)?;
                Ok(answer)
            }
            Err(error) => self.failed(call, error),
        }
    }

    fn decide(&self, call: Call<'_>) -> Result<(), ApiError> {
        let request =
            Request { principal: &self.caller.principal, action: call.action, resource: call.resource };
        if self.policy.decide(&request) == Decision::Allow {
            return Ok(());
        }
        self.record(call, Outcome::Denied, None)?;
        Err(ApiError::Denied {
            principal: self.caller.principal.to_string(),
            action: call.action.name().to_owned(),
            resource: call.resource.to_string(),
        })
    }

    /// Records a failure. Where that cannot be done the caller hears of the log instead: even a failure tells something.
    fn failed<T>(&self, call: Call<'_>, error: VaultError) -> Result<T, ApiError> {
        let error = ApiError::from(error);
        self.record(call, Outcome::Failed, Some(error.class().name()))?;
        Err(error)
    }

    fn record(&self, call: Call<'_>, outcome: Outcome, detail: Option<&str>) -> Result<(), ApiError> {
        let reference = match call.resource {
            Resource::Vault => None,
            Resource::Service(name) => Some(Reference { service: name.clone(), name: None }.to_string()),
            Resource::Credential(reference) => Some(reference.to_string()),
        };
        let entry = Entry {
            actor: Actor {
                principal: self.caller.principal.to_string(),
                uid: self.caller.uid,
                pid: self.caller.pid,
                program: self.caller.program.clone(),
            },
            action: call.operation.to_owned(),
            reference,
            version: call.version,
            outcome,
            detail: detail.map(str::to_owned),
        };
        self.audit.append(&entry).map(drop).map_err(ApiError::Audit)
    }
}

const fn at<'a>(operation: &'static str, action: Action, reference: &'a Reference) -> Call<'a> {
    Call { action, resource: Resource::Credential(reference), operation, version: None }
}

const fn overall(operation: &'static str, action: Action) -> Call<'static> {
    Call { action, resource: Resource::Vault, operation, version: None }
}

impl Api for Gate {
    fn set(&self, set: Set) -> Result<Written, ApiError> {
        self.change(
            at("set", Action::Write, &set.reference),
            |vault| vault.set(&set),
            |done| Some(done.version),
        )
    }

    fn get(&self, reference: &Reference, version: Option<u64>) -> Result<Credential, ApiError> {
        let call = Call { version, ..at("get", Action::Read, reference) };
        self.show(call, |vault| vault.get(reference, version), |credential| Some(credential.version))
    }

    fn list(&self, service: Option<&ServiceName>) -> Result<Vec<CredentialInfo>, ApiError> {
        let resource = service.map_or(Resource::Vault, Resource::Service);
        let call = Call { resource, ..overall("list", Action::List) };
        self.show(call, |vault| vault.list(service), |_| None)
    }

    fn history(&self, reference: &Reference) -> Result<CredentialInfo, ApiError> {
        self.show(at("history", Action::List, reference), |vault| vault.history(reference), |_| None)
    }

    fn rollback(&self, reference: &Reference, to: u64) -> Result<Written, ApiError> {
        // The value is read and written again, so both must be allowed.
        self.decide(at("rollback", Action::Read, reference))?;
        let call = Call { version: Some(to), ..at("rollback", Action::Write, reference) };
        self.change(call, |vault| vault.rollback(reference, to), |done| Some(done.version))
    }

    fn delete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError> {
        let call = at("delete", Action::Delete, reference);
        self.change(call, |vault| vault.delete(reference, versions), newest_changed)
    }

    fn undelete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError> {
        let call = at("undelete", Action::Delete, reference);
        self.change(call, |vault| vault.undelete(reference, versions), newest_changed)
    }

    fn destroy(&self, reference: &Reference, versions: &Versions) -> Result<Changed, ApiError> {
        let call = at("destroy", Action::Delete, reference);
        self.change(call, |vault| vault.destroy(reference, versions), newest_changed)
    }

    fn amend(&self, reference: &Reference, amend: &Amend) -> Result<CredentialInfo, ApiError> {
        self.change(at("amend", Action::Write, reference), |vault| vault.amend(reference, amend), |_| None)
    }

    fn amend_service(&self, service: &ServiceName, amend: &AmendService) -> Result<(), ApiError> {
        let call = Call { resource: Resource::Service(service), ..overall("amend", Action::Write) };
        self.change(call, |vault| vault.amend_service(service, amend), |()| None)
    }

    fn prune(&self, reference: &Reference, keep: u32) -> Result<Written, ApiError> {
        self.change(at("prune", Action::Delete, reference), |vault| vault.prune(reference, keep), |_| None)
    }

    fn rotate_services(
        &self,
        services: &[ServiceName],
        progress: &dyn Progress,
    ) -> Result<(u64, Erasure), ApiError> {
        let call = match services {
            [one] => Call { resource: Resource::Service(one), ..overall("rotate service", Action::Rotate) },
            _ => overall("rotate services", Action::Rotate),
        };
        self.change(call, |vault| vault.rotate_services(services, progress), |_| None)
    }

    fn rotate_all_services(&self, progress: &dyn Progress) -> Result<JobReport, ApiError> {
        let call = overall("rotate services", Action::Rotate);
        self.change(call, |vault| vault.rekey_all(progress), |_| None)
    }

    fn rotate_master(&self, how: RotateMaster, progress: &dyn Progress) -> Result<JobReport, ApiError> {
        let call = overall("rotate master", Action::Rotate);
        self.change(call, |vault| vault.rotate_master(how, progress), |_| None)
    }

    fn resume(&self, progress: &dyn Progress) -> Result<Option<JobReport>, ApiError> {
        self.change(overall("rotate resume", Action::Rotate), |vault| vault.resume(progress), |_| None)
    }

    fn set_intervals(&self, master: Option<u32>, service: Option<u32>) -> Result<(), ApiError> {
        let call = overall("rotate intervals", Action::Admin);
        self.change(call, |vault| vault.set_intervals(master, service), |()| None)
    }

    fn propose(&self, key: &KeyDescription, signer: Option<PinnedSigner>) -> Result<Proposal, ApiError> {
        self.change(overall("token enroll", Action::Admin), |vault| vault.propose(key, signer), |_| None)
    }

    fn activate(
        &self,
        recipient: RecipientId,
        answer: Digest,
        progress: &dyn Progress,
    ) -> Result<JobReport, ApiError> {
        let call = overall("token activate", Action::Admin);
        self.change(call, |vault| vault.activate(recipient, answer, progress), |_| None)
    }

    fn retire(
        &self,
        recipient: RecipientId,
        how: &Retire,
        progress: &dyn Progress,
    ) -> Result<Option<JobReport>, ApiError> {
        let call = overall("token retire", Action::Admin);
        self.change(call, |vault| vault.retire(recipient, how, progress), |_| None)
    }

    fn backup(&self, file: &Path, progress: &dyn Progress) -> Result<BackupReport, ApiError> {
        self.change(overall("backup create", Action::Admin), |vault| vault.backup(file, progress), |_| None)
    }

    fn verify_backup(&self, file: &Path, progress: &dyn Progress) -> Result<VerifyReport, ApiError> {
        let call = overall("backup verify", Action::Admin);
        self.show(call, |vault| vault.verify_backup(file, progress), |_| None)
    }

    fn rewrap_backup(
        &self,
        old: &Path,
        new: &Path,
        progress: &dyn Progress,
    ) -> Result<(BackupReport, Rewrapped), ApiError> {
        let call = overall("backup rewrap", Action::Admin);
        self.change(call, |vault| rewrap_in_scratch(vault, old, new, progress), |_| None)
    }

    fn forget_backup(&self, name: &str) -> Result<usize, ApiError> {
        self.change(overall("backup forget", Action::Admin), |vault| vault.forget_backup(name), |_| None)
    }

    fn repair(&self, backup: &Path, progress: &dyn Progress) -> Result<RepairReport, ApiError> {
        let mend = |vault: &Vault| {
            let backup = vault.beside(Arc::new(ArchiveStore::open(backup)?))?;
            vault.repair(&backup, progress)
        };
        self.change(overall("repair", Action::Admin), mend, |_| None)
    }

    fn import(
        &self,
        entries: Vec<ImportEntry>,
        options: ImportOptions,
        progress: &dyn Progress,
    ) -> Result<ImportReport, ApiError> {
        self.change(
            overall("import", Action::Write),
            |vault| vault.import(&entries, options, progress),
            |_| None,
        )
    }

    fn status(&self) -> Result<Status, ApiError> {
        self.show(overall("status", Action::Admin), Vault::status, |_| None)
    }

    fn verify(&self, progress: &dyn Progress) -> Result<VerifyReport, ApiError> {
        self.show(overall("verify", Action::Admin), |vault| vault.verify(progress), |_| None)
    }

    fn gc(&self, options: GcOptions, progress: &dyn Progress) -> Result<GcReport, ApiError> {
        self.change(overall("gc", Action::Admin), |vault| vault.gc(options, progress), |_| None)
    }

    fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, ApiError> {
        let call = overall("audit", Action::Admin);
        self.decide(call)?;
        self.record(call, Outcome::Allowed, None)?;
        let key = self.vault.audit_key()?;
        let newest = self.audit.reader().newest(&key, limit).map_err(ApiError::AuditUnreadable)?;
        Ok(newest.into_iter().map(AuditRecord::from).collect())
    }
}

/// Rewraps a backup in a store that lies beside the new file for as long as it takes: nothing in it is in clear.
fn rewrap_in_scratch(
    vault: &Vault,
    old: &Path,
    new: &Path,
    progress: &dyn Progress,
) -> Result<(BackupReport, Rewrapped), VaultError> {
    let beside = new.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch =
        tempfile::Builder::new().prefix(".claviger-rewrap-").tempdir_in(beside).map_err(|error| {
            StoreError::Unreachable {
                context: "making a place to work in".to_owned(),
                source: Box::new(error),
            }
        })?;
    let store = SqliteStore::create(&scratch.path().join("copy.db"))?;
    vault.rewrap_backup(old, new, Arc::new(store), progress)
}

fn newest_changed(changed: &Changed) -> Option<u64> {
    changed.versions.iter().max().copied()
}

#[cfg(test)]
mod tests;
