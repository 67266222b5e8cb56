//! What can go wrong with a vault, by what the caller can do about it.

use crate::Fault;
use claviger_envelope::EnvelopeError;
use claviger_store::StoreError;
use claviger_token::TokenError;
use claviger_types::{Digest, EntropyError, ObjectId, RecipientId, Reference, SignerId};

/// Why the vault could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// No such service, credential or version.
    #[error("{}", what.sentence(reference))]
    NotFound {
        /// What was looked for.
        what: Missing,
        /// Under which reference.
        reference: Reference,
    },
    /// The reference names a service with several credentials.
    #[error("`{reference}` has several credentials: {}", list(names))]
    NameNeeded {
        /// The service.
        reference: Reference,
        /// Its credentials.
        names: Vec<Reference>,
    },
    /// Check-and-set found another version.
    #[error("`{reference}` is at version {current}, not {expected}")]
    CasMismatch {
        /// Which credential.
        reference: Reference,
        /// The version it is at (0: it does not exist).
        current: u64,
        /// The version that was expected.
        expected: u64,
    },
    /// What was asked cannot be.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// Other writers kept winning for thirty seconds.
    #[error("other writers changed the vault again and again; nothing was done")]
    Contended,
    /// The store holds another vault than the configuration names.
    #[error("the store holds the vault {found}, the configuration names {expected}")]
    ForeignVault {
        /// The vault that lies there.
        found: String,
        /// The vault that was expected.
        expected: String,
    },
    /// The vault key is none that this host pins, and nobody whom it believes vouches for it.
    #[error("the vault's fingerprint is {found}, this host pins {pinned}{}", why.sentence())]
    ForeignFingerprint {
        /// The fingerprint that lies there.
        found: Digest,
        /// The pinned one.
        pinned: Digest,
        /// Why no succession leads from one to the other.
        why: NoSuccession,
    },
    /// The token's key is no recipient of this vault.
    #[error("this token's key is no recipient of this vault")]
    NotARecipient,
    /// There is a store, but no vault in it.
    #[error("the store holds no vault")]
    NoVault,
    /// There is a vault already.
    #[error("the store holds a vault already")]
    VaultExists,
    /// The vault was written in a newer format.
    #[error("the vault has format {found}; this program reads {supported}: use a newer claviger")]
    NewerFormat {
        /// The vault's format.
        found: u64,
        /// The format this program reads.
        supported: u64,
    },
    /// The head or the vault key's envelope cannot be read or opened: without them nothing can.
    #[error("the vault is damaged or was tampered with: the {what} cannot be opened")]
    Root {
        /// The `head` or the `vault key`.
        what: &'static str,
        /// Why not.
        #[source]
        source: EnvelopeError,
    },
    /// Something that the head vouches for is missing or altered.
    #[error("the vault is damaged or was tampered with: {what}")]
    Damaged {
        /// What, and how.
        what: String,
    },
    /// An object that the head vouches for is missing or altered.
    #[error("the vault is damaged or was tampered with: the {what} object {object} is {}", fault.name())]
    Object {
        /// What the object is.
        what: &'static str,
        /// Its id in the store.
        object: ObjectId,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The head is older than, or no successor of, the newest one that this host has seen.
    #[error("the vault was rolled back: {what}")]
    RolledBack {
        /// How that shows.
        what: String,
    },
    /// An anchor cannot be read or written.
    #[error("the anchor {location} cannot be {action}")]
    Anchor {
        /// Where it lies.
        location: String,
        /// What was tried: `read`, `raised`.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The change was made, but an anchor does not remember it.
    #[error("the change was written, but the anchor {location} could not be raised")]
    Unanchored {
        /// Where the anchor lies.
        location: String,
        /// Why not.
        #[source]
        source: Box<VaultError>,
    },
    /// A temporary file failed.
    #[error("a temporary file cannot be used")]
    Scratch(#[source] std::io::Error),
    /// Somebody else carries on long work on the vault.
    #[error("another process is at work on the vault's keys{}", since_text(job.as_deref()))]
    WorkUnderWay {
        /// What it is doing, as far as the head tells.
        job: Option<String>,
    },
    /// New data keys cannot be wrapped to one of the recipients.
    #[error(
        "new data keys must be wrapped to the recipient {recipient} (token `{token}`), whose key only its own token holds"
    )]
    Unwritable {
        /// The recipient.
        recipient: RecipientId,
        /// The label of its token.
        token: String,
    },
    /// The answer to a recipient's challenge is wrong.
    #[error("that is not the answer to the challenge of the recipient {recipient}; it stays pre-active")]
    WrongAnswer {
        /// The recipient.
        recipient: RecipientId,
    },
    /// The service has to be moved to the new vault key before it can be changed. Never leaves this crate.
    #[error("the service is still under the vault key that is being replaced")]
    NotMoved {
        /// The service.
        service: claviger_types::ServiceName,
    },
    /// A host's own record cannot be read or written.
    #[error("what this host remembers of the vault cannot be {action}")]
    Host {
        /// What was tried: `read`, `written`.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The master key has wrapped as often as one may.
    #[error("the master key {recipient} has wrapped as often as one key may; rotate the master key")]
    MasterKeyExhausted {
        /// The recipient that it is.
        recipient: RecipientId,
    },
    /// A data key has sealed as often as one may.
    #[error("the data key of `{reference}` has sealed as often as one key may; rotate the service's key")]
    KeyExhausted {
        /// The service.
        reference: Reference,
    },
    /// The token failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An envelope could not be made or opened.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

impl VaultError {
    /// Whether what failed may have been done all the same, so that nothing of it may be cleared away.
    pub const fn may_be_done(&self) -> bool {
        matches!(self, Self::Unanchored { .. } | Self::Store(StoreError::Ambiguous { .. }))
    }
}

/// Why a host finds no way from the vault key that it pins to the one that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSuccession {
    /// The head names no record of a succession.
    NoRecord,
    /// The records do not lead back to the pinned key.
    NoPath,
    /// A record is signed by nobody whom this host believes.
    UnknownSigner(SignerId),
    /// A record is damaged, or its signature does not fit.
    BadRecord,
}

impl NoSuccession {
    fn sentence(self) -> String {
        match self {
            Self::NoRecord => String::new(),
            Self::NoPath => "; the records of succession do not lead from one to the other".to_owned(),
            Self::UnknownSigner(signer) => {
                format!("; its succession is signed by {signer}, whom this host does not believe")
            }
            Self::BadRecord => "; a record of its succession is damaged or forged".to_owned(),
        }
    }
}

fn since_text(job: Option<&str>) -> String {
    job.map_or_else(String::new, |job| format!(" ({job})"))
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No service of that name.
    Service,
    /// No credential of that name.
    Credential,
    /// No such version, or none at all.
    Version(u64),
    /// The version was deleted; `undelete` brings it back.
    Deleted(u64),
    /// The version has ended by itself.
    Expired(u64),
    /// The version was destroyed.
    Destroyed(u64),
}

impl Missing {
    fn sentence(self, reference: &Reference) -> String {
        match self {
            Self::Service => format!("there is no service `{reference}`"),
            Self::Credential => format!("there is no credential `{reference}`"),
            Self::Version(n) => format!("there is no version {n} of `{reference}`"),
            Self::Deleted(n) => format!("version {n} of `{reference}` is deleted"),
            Self::Expired(n) => format!("version {n} of `{reference}` has expired"),
            Self::Destroyed(n) => format!("version {n} of `{reference}` is destroyed, for ever"),
        }
    }
}

fn list(references: &[Reference]) -> String {
    references.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
