//! The state of the vault at large, and what is due.

use crate::{
    BackupInfo, Due, HostInfo, JobInfo, RecipientInfo, RecipientState, Status, Vault, VaultError,
    format::{CredentialRecord, Registry, head::MILESTONE},
    index,
    keys::MOST_USES,
    pages::Service,
    snapshot::Snapshot,
};
use claviger_types::{CredentialName, Reference, ServiceName, Timestamp};
use std::time::Duration;

/// From this share of the most uses on, a key is warned of.
const WARN_AT: u64 = MOST_USES / 8 * 7;

/// An anchor that is raised to each milestone is never further behind.
const MOST_BEHIND: u64 = 2 * MILESTONE;

impl Vault {
    /// The state of the vault at large.
    pub fn status(&self) -> Result<Status, VaultError> {
        let pending = self.store.erasure_pending()?;
        self.read(|snapshot| {
            let registry = snapshot.registry()?;
            let mut survey = Survey { now: self.clock.now(), registry: &registry, ..Survey::new(&registry) };
            for tree in snapshot.trees() {
                index::leaves(tree, &mut |leaf| {
                    let service = Service::load(tree, &leaf)?;
                    let seals = leaf.keys.iter().map(|key| key.seals).max().unwrap_or_default();
                    survey.service(tree, &service, seals)
                })?;
            }
            survey.masters();
            survey.due.sort_by_key(|due| match due {
                Due::Master { since, .. } | Due::Service { since, .. } | Due::Credential { since, .. } => *since,
            });
            let local = self.keyring.recipient();
            let job = snapshot.payload.job()?;
            let recipients: Vec<RecipientInfo> =
                registry.recipients.iter().filter_map(|record| RecipientInfo::of(record, local)).collect();
            let mut warnings = survey.warnings;
            let active = recipients.iter().filter(|info| info.state == RecipientState::Active).count();
            if active == 1 {
                warnings.push(
                    "one token alone opens this vault: if it is lost, everything in it is lost".to_owned(),
                );
            }
            if let Some(job) = &job {
                let job = JobInfo::of(job);
                warnings.push(format!("a job is under way, or was left behind: {job}; `claviger rotate resume` finishes it"));
            }
            for anchor in &self.anchors {
                let seen = anchor.read()?.map_or(0, |seen| seen.epoch);
                let behind = snapshot.payload.epoch.saturating_sub(seen);
                if behind > MOST_BEHIND {
                    warnings.push(format!(
                        "the anchor {} is {behind} commits behind: is there room left for it?",
                        anchor.location()
                    ));
                }
            }
            if pending {
                warnings.push(
                    "bytes of what was destroyed may still lie in the store; `claviger gc --erase` has them go".to_owned(),
                );
            }
            Ok(Status {
                vault: snapshot.payload.vault,
                fingerprint: snapshot.root.fingerprint,
                epoch: snapshot.payload.epoch,
                head: snapshot.digest,
                services: survey.services,
                credentials: survey.credentials,
                recipients,
                hosts: registry.hosts.iter().map(HostInfo::of).collect(),
                backups: registry.backups.iter().map(BackupInfo::of).collect(),
                job: job.as_ref().map(JobInfo::of),
                due: survey.due,
                intervals: (registry.master_days, registry.service_days),
                warnings,
            })
        })
    }

    /// Sets how many days lie between rotations of the master key, and of a service's data key.
    pub fn set_intervals(&self, master: Option<u32>, service: Option<u32>) -> Result<(), VaultError> {
        self.change_registry(&|registry| {
            registry.master_days = master.unwrap_or(registry.master_days);
            registry.service_days = service.unwrap_or(registry.service_days);
            Ok(())
        })
    }
}

/// What a walk over all services adds up.
struct Survey<'a> {
    now: Timestamp,
    registry: &'a Registry,
    services: u64,
    credentials: u64,
    due: Vec<Due>,
    warnings: Vec<String>,
}

impl<'a> Survey<'a> {
    fn new(registry: &'a Registry) -> Self {
        let (services, credentials) = (0, 0);
        let (due, warnings) = (Vec::new(), Vec::new());
        Self { now: Timestamp::default(), registry, services, credentials, due, warnings }
    }

    fn service(&mut self, tree: &Snapshot, service: &Service, seals: u64) -> Result<(), VaultError> {
        self.services += 1;
        self.credentials += u64::try_from(service.len()).unwrap_or(u64::MAX);
        let (made, days) = service.key_age();
        let since = after_days(made, days.unwrap_or(self.registry.service_days));
        if since <= self.now {
            self.due.push(Due::Service { service: service.name.clone(), since });
        }
        if seals >= WARN_AT {
            let reference = Reference { service: service.name.clone(), name: None };
            self.warnings.push(format!("the data key of `{reference}` is nearly worn out; rotate it"));
        }
        service.each(tree, &mut |record| {
            self.credential(&service.name, record);
            Ok(())
        })
    }

    fn credential(&mut self, service: &ServiceName, record: &CredentialRecord) {
        let Some(since) = record.rotate_by.filter(|since| *since <= self.now) else { return };
        if let Ok(name) = CredentialName::new(record.name.as_str()) {
            let reference = Reference { service: service.clone(), name: Some(name) };
            self.due.push(Due::Credential { reference, since });
        }
    }

    fn masters(&mut self) {
        for record in &self.registry.recipients {
            if record.state != RecipientState::Active {
                continue;
            }
            let since = after_days(record.created, self.registry.master_days);
            if since <= self.now {
                self.due.push(Due::Master { recipient: record.id, since });
            }
            if record.wraps >= WARN_AT {
                self.warnings.push(format!("the master key {} is nearly worn out; rotate it", record.id));
            }
        }
    }
}

/// So many days later.
fn after_days(moment: Timestamp, days: u32) -> Timestamp {
    let later = Duration::from_hours(24) * days;
    Timestamp::from_millis(
        moment.as_millis().saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)),
    )
}
