//! The vault: immutable objects under one authenticated head, the key hierarchy, credentials and their versions.
//!
//! ```text
//! KEK on a token -> CEK (one-time) -> vault key -HKDF-> name-index key, head-MAC key, metadata key
//!                                  -> data key of a service, version n -> its credentials
//! ```
//!
//! Everything that counts is reachable from the head by id and hash (`docs/format.md`), so a changed, missing or
//! swapped object cannot go unseen. The way of the data:
//!
//! - [`Vault::open`] reads the head in a fixed order and trusts nothing before its MAC and the anchors agree (`open`,
//!   `chain`, `anchor`).
//! - A read walks from a verified head (`snapshot`) through the index (`index`) and the service object (`pages`) to an
//!   envelope, and opens it with a data key that the token unwrapped (`keys`).
//! - Long work on keys is a job in the head (`rotation`), which whoever comes next carries on.
//! - A write collects new objects and the ones they replace in a draft (`draft`) and swaps the head by
//!   compare-and-set; whoever loses starts again on the fresh head (`session`).

mod anchor;
mod backup;
mod cache;
mod chain;
mod copy;
mod credentials;
mod draft;
mod erase;
mod error;
mod format;
mod gc;
mod host;
mod import;
mod index;
mod keys;
#[cfg(test)]
mod machine;
mod marks;
mod model;
mod open;
mod pages;
mod progress;
mod repair;
mod report;
mod rotation;
mod session;
mod snapshot;
mod status;
mod succession;
#[cfg(test)]
mod testing;
mod verify;

#[doc(hidden)]
pub mod untrusted;

pub use anchor::{Anchor, FileAnchor, Seen, TokenAnchor};
pub use backup::{BackupReport, RestoreReport, can_restore, restore};
pub use claviger_store::Erasure;
pub use error::{Missing, NoSuccession, VaultError};
pub use host::{Host, MemoryHost, PinnedSigner, Pins};
pub use model::{
    Amend, AmendService, Changed, Credential, CredentialInfo, DEFAULT_MAX_VERSIONS, Damage, Fault, GcOptions,
    GcReport, ImportEntry, ImportOptions, ImportReport, MAX_CREDENTIALS, MOST_VERSIONS, Set, VerifyReport,
    VersionInfo, VersionState, Versions, Written,
};
pub use open::{Accept, Parts, Pinned};
pub use progress::{Progress, Silent};
pub use repair::RepairReport;
pub use report::{
    BackupInfo, Due, HostInfo, JobInfo, JobKind, JobReport, Proposal, RecipientInfo, RecipientState, Status,
};
pub use rotation::{KeyFate, Retire, Rewrapped, RotateMaster, answer_challenge};
pub use session::Vault;
