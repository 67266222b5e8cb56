//! What is told of keys: recipients, jobs, hosts, backups, and the state of the vault at large. Nothing here is secret.

use crate::format::{BackupRecord, Job, RecipientRecord, registry::HostRecord};
use claviger_store::Erasure;
use claviger_types::{
    Digest, HostId, RecipientId, Reference, Scheme, ServiceName, SignerId, Timestamp, VaultId,
};
use std::fmt;

/// The state of a recipient's key, as in NIST SP 800-57 part 1, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum RecipientState {
    /// Proposed; nothing is wrapped to it until it has answered its challenge.
    PreActive,
    /// Data keys are wrapped to it.
    Active,
    /// Nothing is wrapped to it any more; it may open what is old.
    Deactivated,
    /// The same, and somebody else may have it.
    Compromised,
    /// Destroyed on its token, and read back as absent.
    Destroyed,
}

impl RecipientState {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }
}

impl From<RecipientState> for u8 {
    fn from(state: RecipientState) -> Self {
        match state {
            RecipientState::PreActive => 0,
            RecipientState::Active => 1,
            RecipientState::Deactivated => 3,
            RecipientState::Compromised => 4,
            RecipientState::Destroyed => 5,
        }
    }
}

impl TryFrom<u8> for RecipientState {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            0 => Ok(Self::PreActive),
            1 => Ok(Self::Active),
            3 => Ok(Self::Deactivated),
            4 => Ok(Self::Compromised),
            5 => Ok(Self::Destroyed),
            _ => Err("no recipient state of this format"),
        }
    }
}

/// A recipient as the vault knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientInfo {
    /// Its id.
    pub id: RecipientId,
    /// How keys are wrapped to it.
    pub scheme: Scheme,
    /// The label of its token.
    pub token_label: String,
    /// The serial number of its token.
    pub token_serial: String,
    /// The label of its key.
    pub key_label: String,
    /// Its state.
    pub state: RecipientState,
    /// When it was proposed, or made by `init`.
    pub created: Timestamp,
    /// When it came into its present state.
    pub changed: Timestamp,
    /// The signer on its token.
    pub signer: Option<SignerId>,
    /// Whether it is the one by which this host opens the vault.
    pub local: bool,
}

impl RecipientInfo {
    /// What there is to tell of a record; `None` for a scheme that this program does not know.
    pub(crate) fn of(record: &RecipientRecord, local: RecipientId) -> Option<Self> {
        Some(Self {
            id: record.id,
            scheme: record.scheme()?,
            token_label: record.token_label.clone(),
            token_serial: record.token_serial.clone(),
            key_label: record.key_label.clone(),
            state: record.state,
            created: record.created,
            changed: record.changed,
            signer: record.signer.map(|signer| signer.id),
            local: record.id == local,
        })
    }
}

/// A proposed recipient, and the challenge that its token must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The recipient.
    pub recipient: RecipientId,
    /// A data-key envelope that it alone can open. No secret.
    pub challenge: Vec<u8>,
}

/// A host that has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// The vault key under which it wrote last.
    pub fingerprint: Digest,
    /// Since when.
    pub since: Timestamp,
}

impl HostInfo {
    pub(crate) fn of(record: &HostRecord) -> Self {
        let HostRecord { id, name, fingerprint, since } = record.clone();
        Self { id, name, fingerprint, since }
    }
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// When.
    pub made: Timestamp,
    /// The name of its file.
    pub file: String,
    /// The head's epoch in it.
    pub epoch: u64,
    /// The vault key in it.
    pub fingerprint: Digest,
    /// Who can open it.
    pub recipients: Vec<RecipientId>,
}

impl BackupInfo {
    pub(crate) fn of(record: &BackupRecord) -> Self {
        let BackupRecord { made, file, epoch, fingerprint, recipients } = record.clone();
        Self { made, file, epoch, fingerprint, recipients }
    }
}

/// What a job does to the keys (`docs/adr/0012`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum JobKind {
    /// The same data keys, wrapped to other recipients.
    Rewrap,
    /// New data keys under the same vault key.
    Rekey,
    /// A new vault key, and everything under it anew.
    Replace,
}

impl JobKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewrap => "rewrap",
            Self::Rekey => "rekey",
            Self::Replace => "replace",
        }
    }
}

impl From<JobKind> for u8 {
    fn from(kind: JobKind) -> Self {
        match kind {
            JobKind::Rewrap => 1,
            JobKind::Rekey => 2,
            JobKind::Replace => 3,
        }
    }
}

impl TryFrom<u8> for JobKind {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::Rewrap),
            2 => Ok(Self::Rekey),
            3 => Ok(Self::Replace),
            _ => Err("no job of this format"),
        }
    }
}

/// A job, under way or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// What it does.
    pub kind: JobKind,
    /// The master key that it introduces, if it rotates that.
    pub made: Option<RecipientId>,
    /// When it was begun.
    pub started: Timestamp,
    /// How many services are done.
    pub done: u64,
    /// How many there were when it began.
    pub total: u64,
    /// Recipients on their way out.
    pub retiring: Vec<RecipientId>,
    /// Whether their keys are to be destroyed, where this host's token has them.
    pub destroys: bool,
}

impl JobInfo {
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            kind: job.kind,
            made: job.made,
            started: job.started,
            done: job.done,
            total: job.total,
            retiring: job.retiring.clone(),
            destroys: job.destroy,
        }
    }
}

impl fmt::Display for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = if self.made.is_some() { " of the master key" } else { "" };
        write!(
            f,
            "{}{master}, {} of {} services done",
            self.kind.name(),
            self.done.min(self.total),
            self.total
        )
    }
}

/// What a job that has ended did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The job.
    pub job: JobInfo,
    /// The vault key now.
    pub fingerprint: Digest,
    /// The recipients that it retired.
    pub retired: Vec<RecipientInfo>,
    /// Every other recipient whose key is not known to be destroyed: what was wrapped to it, it still opens in old copies.
    pub others: Vec<RecipientInfo>,
    /// Backups that were made before.
    pub backups: Vec<BackupInfo>,
    /// Hosts that have written and have not yet seen the present vault key.
    pub behind: Vec<HostInfo>,
    /// Whether a signer vouches for the new vault key, so that hosts which believe it need not be told.
    pub vouched: bool,
    /// Whether the bytes of what was replaced are gone, where they had to go.
    pub erasure: Option<Erasure>,
    /// Whether it had been begun earlier, and left behind.
    pub resumed: bool,
}

/// Something whose rotation is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The master key that this recipient is.
    Master {
        /// Which.
        recipient: RecipientId,
        /// Since when.
        since: Timestamp,
    },
    /// A service's data key.
    Service {
        /// Which.
        service: ServiceName,
        /// Since when.
        since: Timestamp,
    },
    /// A credential, which has to be changed where it was issued.
    Credential {
        /// Which.
        reference: Reference,
        /// Since when.
        since: Timestamp,
    },
}

/// The state of the vault at large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The vault.
    pub vault: VaultId,
    /// The vault key's kid, as pinned.
    pub fingerprint: Digest,
    /// The head's epoch: the number of commits.
    pub epoch: u64,
    /// The head's digest.
    pub head: Digest,
    /// How many services there are.
    pub services: u64,
    /// How many credentials there are.
    pub credentials: u64,
    /// Everybody who is, was or will be a recipient.
    pub recipients: Vec<RecipientInfo>,
    /// The hosts that have written.
    pub hosts: Vec<HostInfo>,
    /// The backups that were made.
    pub backups: Vec<BackupInfo>,
    /// The job under way.
    pub job: Option<JobInfo>,
    /// What is due, the longest overdue first.
    pub due: Vec<Due>,
    /// Days between rotations of the master key, and of a service's data key.
    pub intervals: (u32, u32),
    /// What should be seen to.
    pub warnings: Vec<String>,
}
