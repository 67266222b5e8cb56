//! The one door to the vault. [`Api`] is what every command and every client is written against; [`Gate`] implements
//! it over a vault, with the policy asked first and the audit record written before the answer leaves.

mod api;
mod error;
mod gate;

pub use api::{Api, AuditRecord};
pub use claviger_vault::{
    Amend, AmendService, BackupInfo, BackupReport, Changed, Credential, CredentialInfo, Damage, Due, Erasure,
    Fault, GcOptions, GcReport, HostInfo, ImportEntry, ImportOptions, ImportReport, JobInfo, JobKind,
    JobReport, KeyFate, PinnedSigner, Progress, Proposal, RecipientInfo, RecipientState, RepairReport,
    Retire, Rewrapped, RotateMaster, Set, Silent, Status, VerifyReport, VersionInfo, VersionState, Versions,
    Written,
};
pub use error::{ApiError, ErrorClass};
pub use gate::{Caller, Gate};
