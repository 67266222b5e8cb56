//! The sealed register of who has to do with the vault: recipients, hosts, backups, and how often keys are rotated.

use super::RecipientRecord;
use crate::{Host, VaultError, report::RecipientState};
use claviger_types::{Digest, HostId, RecipientId, Scheme, Timestamp};
use serde::{Deserialize, Serialize};

/// The most recipients that are remembered, gone ones included.
const MOST_RECIPIENTS: usize = 256;
/// The most hosts and backups that are remembered; the oldest are forgotten first.
const MOST_REMEMBERED: usize = 256;

/// Days between rotations of the master key, unless the vault says otherwise.
pub(crate) const MASTER_DAYS: u32 = 365;
/// Days between rotations of a service's data key, unless the service or the vault says otherwise.
pub(crate) const SERVICE_DAYS: u32 = 90;

/// A host that has written: a map with labels 0 to 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostRecord {
    /// Its id.
    pub(crate) id: HostId,
    /// What its people call it.
    pub(crate) name: String,
    /// The vault key under which it wrote last.
    pub(crate) fingerprint: Digest,
    /// When it first wrote under that key.
    pub(crate) since: Timestamp,
}

/// A backup that was made: a map with labels 0 to 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupRecord {
    /// When.
    pub(crate) made: Timestamp,
    /// The name of its file, without directories.
    pub(crate) file: String,
    /// The head's epoch in it.
    pub(crate) epoch: u64,
    /// The vault key in it.
    pub(crate) fingerprint: Digest,
    /// Who can open it.
    pub(crate) recipients: Vec<RecipientId>,
}

/// The register: a map with labels 0 to 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registry {
    /// Everybody who is, was or will be a recipient.
    pub(crate) recipients: Vec<RecipientRecord>,
    /// Hosts that have written.
    pub(crate) hosts: Vec<HostRecord>,
    /// Backups that were made.
    pub(crate) backups: Vec<BackupRecord>,
    /// Days between rotations of the master key.
    pub(crate) master_days: u32,
    /// Days between rotations of a service's data key.
    pub(crate) service_days: u32,
    /// Former vault keys, oldest first.
    pub(crate) former: Vec<Digest>,
}

impl Registry {
    /// The register of a new vault.
    pub(crate) const fn new(first: Vec<RecipientRecord>) -> Self {
        Self {
            recipients: first,
            hosts: Vec::new(),
            backups: Vec::new(),
            master_days: MASTER_DAYS,
            service_days: SERVICE_DAYS,
            former: Vec::new(),
        }
    }

    /// The record of a recipient.
    pub(crate) fn recipient(&self, id: RecipientId) -> Option<&RecipientRecord> {
        self.recipients.iter().find(|record| record.id == id)
    }

    /// The record of a recipient that must be there.
    pub(crate) fn record(&self, id: RecipientId) -> Result<&RecipientRecord, VaultError> {
        self.recipient(id).ok_or_else(|| unknown(id))
    }

    /// The record of a recipient, to be changed.
    pub(crate) fn recipient_mut(&mut self, id: RecipientId) -> Result<&mut RecipientRecord, VaultError> {
        self.recipients.iter_mut().find(|record| record.id == id).ok_or_else(|| unknown(id))
    }

    /// Those that new data keys are wrapped to, apart from the ones on their way out.
    pub(crate) fn writable(&self, retiring: &[RecipientId]) -> Vec<RecipientRecord> {
        let stays = |record: &&RecipientRecord| {
            record.state == RecipientState::Active && !retiring.contains(&record.id)
        };
        self.recipients.iter().filter(stays).cloned().collect()
    }

    /// Adds a recipient, and forgets the oldest one whose key is destroyed when there are too many.
    pub(crate) fn add(&mut self, record: RecipientRecord) -> Result<(), VaultError> {
        if self.recipients.len() >= MOST_RECIPIENTS {
            let gone = self.recipients.iter().position(|record| record.state == RecipientState::Destroyed);
            let Some(gone) = gone else {
                return Err(VaultError::Invalid {
                    reason: format!("a vault remembers at most {MOST_RECIPIENTS} recipients"),
                });
            };
            self.recipients.remove(gone);
        }
        self.recipients.push(record);
        Ok(())
    }

    /// Whether a host is known to have written under this vault key.
    pub(crate) fn knows(&self, id: HostId, fingerprint: Digest) -> bool {
        self.hosts.iter().any(|host| host.id == id && host.fingerprint == fingerprint)
    }

    /// Notes that a host writes under this vault key.
    pub(crate) fn note_host(&mut self, host: &dyn Host, fingerprint: Digest, since: Timestamp) {
        let id = host.id();
        if self.knows(id, fingerprint) {
            return;
        }
        self.hosts.retain(|host| host.id != id);
        self.hosts.push(HostRecord { id, name: host.name(), fingerprint, since });
        let excess = self.hosts.len().saturating_sub(MOST_REMEMBERED);
        self.hosts.drain(..excess);
    }

    /// Counts uses of the master key that took random nonces.
    pub(crate) fn count_wraps(&mut self, wraps: u64) {
        for record in &mut self.recipients {
            if record.scheme() == Some(Scheme::A256Gcm) {
                record.wraps = record.wraps.saturating_add(wraps);
            }
        }
    }

    /// Notes a backup.
    pub(crate) fn note_backup(&mut self, backup: BackupRecord) {
        self.backups.push(backup);
        let excess = self.backups.len().saturating_sub(MOST_REMEMBERED);
        self.backups.drain(..excess);
    }
}

fn unknown(id: RecipientId) -> VaultError {
    VaultError::Invalid {
        reason: format!("the vault has no recipient {id}; `claviger token recipients` lists them"),
    }
}
