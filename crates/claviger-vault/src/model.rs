//! What the vault tells about credentials, and what it is asked to do. Nothing here but [`Credential`], [`Set`] and
//! [`ImportEntry`] holds a secret.

use claviger_store::Erasure;
use claviger_types::{CredentialName, Kind, Reference, ServiceName, Timestamp, Value};
use std::collections::BTreeMap;

/// How many versions a credential keeps unless told otherwise.
pub const DEFAULT_MAX_VERSIONS: u32 = 10;

/// The most versions that a credential may keep: with all of them its record still fits a page.
pub const MOST_VERSIONS: u32 = 100;

/// The most credentials of one service.
pub const MAX_CREDENTIALS: usize = 10_000;

/// The state of one version, as in Vault's KV version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// Readable.
    Live,
    /// Hidden until undeleted.
    Deleted,
    /// Gone for ever.
    Destroyed,
}

impl VersionState {
    /// The word for it in JSON and on a terminal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
        }
    }
}

/// One version without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number, from 1.
    pub n: u64,
    /// Its state.
    pub state: VersionState,
    /// When it was written.
    pub created: Timestamp,
    /// When it was deleted or destroyed.
    pub ended: Option<Timestamp>,
    /// When it ends by itself: from then on it reads as if it were deleted.
    pub expires: Option<Timestamp>,
}

/// A credential's name, kind and versions, without any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialInfo {
    /// Its service.
    pub service: ServiceName,
    /// Its name in the service.
    pub name: CredentialName,
    /// Its kind.
    pub kind: Kind,
    /// The number of the newest version, whatever its state.
    pub current: u64,
    /// How many versions are kept.
    pub max_versions: u32,
    /// The versions that are kept, oldest first.
    pub versions: Vec<VersionInfo>,
    /// When it should have another value at the latest.
    pub rotate_by: Option<Timestamp>,
    /// What its people note about it: metadata of their own.
    pub notes: BTreeMap<String, String>,
    /// The words to find its service by.
    pub tags: Vec<String>,
}

impl CredentialInfo {
    /// The full reference to this credential.
    pub fn reference(&self) -> Reference {
        Reference { service: self.service.clone(), name: Some(self.name.clone()) }
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&VersionInfo> {
        self.versions.last()
    }
}

/// One version of a credential with its value.
#[derive(Debug)]
pub struct Credential {
    /// Its service.
    pub service: ServiceName,
    /// Its name in the service.
    pub name: CredentialName,
    /// Which version.
    pub version: u64,
    /// When that version was written.
    pub created: Timestamp,
    /// Kind and fields.
    pub value: Value,
}

/// A new version to be written.
#[derive(Debug)]
pub struct Set {
    /// Which credential. Without a name: the only one of the service, or for a new service the kind's usual name.
    pub reference: Reference,
    /// Kind and fields.
    pub value: Value,
    /// Check-and-set: write only if this is the newest version's number (0: the credential does not exist).
    pub cas: Option<u64>,
    /// How many versions to keep from now on.
    pub max_versions: Option<u32>,
    /// When the new version ends by itself.
    pub expires: Option<Timestamp>,
    /// When the credential should have yet another value. A new version without this clears the old date.
    pub rotate_by: Option<Timestamp>,
}

impl Set {
    /// A new version of this credential, with nothing else said.
    pub const fn new(reference: Reference, value: Value) -> Self {
        Self { reference, value, cas: None, max_versions: None, expires: None, rotate_by: None }
    }
}

/// A change to what is known about a credential, not to its value. What is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amend {
    /// How many versions to keep.
    pub max_versions: Option<u32>,
    /// When it should have another value; `Some(None)` clears the date.
    pub rotate_by: Option<Option<Timestamp>>,
    /// Notes to write, or with `None` to take out.
    pub notes: BTreeMap<String, Option<String>>,
}

/// A change to what is known about a service. What is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AmendService {
    /// Days between rotations of its data key; `Some(None)` for the vault's default.
    pub rotate_days: Option<Option<u32>>,
    /// Words to find it by, in the place of those that it has.
    pub tags: Option<Vec<String>>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its service.
    pub service: ServiceName,
    /// Its name in the service.
    pub name: CredentialName,
    /// Its kind.
    pub kind: Kind,
    /// The number of the new version.
    pub version: u64,
    /// Older versions that fell out because only so many are kept.
    pub pruned: Vec<u64>,
}

/// Which versions an operation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// The newest one.
    Newest,
    /// These.
    These(Vec<u64>),
    /// All of them, and with `destroy` the credential itself.
    All,
}

/// What an operation on versions changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its service.
    pub service: ServiceName,
    /// Its name in the service.
    pub name: CredentialName,
    /// The versions whose state changed; those that had it already are left out.
    pub versions: Vec<u64>,
    /// Whether the credential itself is gone.
    pub removed: bool,
    /// Whether the bytes of what was destroyed are gone, where anything was.
    pub erasure: Option<Erasure>,
}

/// One credential to be taken over from elsewhere.
#[derive(Debug)]
pub struct ImportEntry {
    /// Its service.
    pub service: ServiceName,
    /// Its name in the service.
    pub name: CredentialName,
    /// Kind and fields.
    pub value: Value,
}

/// How to import.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// Write new versions of credentials that differ from what the vault has.
    pub overwrite: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// Whether anything was written. With `dry_run`, or while entries differ and may not be overwritten, the rest of
    /// the report says what would be.
    pub applied: bool,
    /// Credentials that were new.
    pub created: Vec<Reference>,
    /// Credentials that got a new version because they differed and `overwrite` was given.
    pub updated: Vec<Reference>,
    /// How many the vault has already, with the same value.
    pub unchanged: u64,
    /// Credentials that differ and may not be overwritten; nothing at all is written while there is one.
    pub differing: Vec<Reference>,
    /// How many were opened again and compared, of what was written.
    pub verified: u64,
    /// How many data keys were unwrapped again by the token to be sure.
    pub verified_by_token: u64,
}

/// What is wrong with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not in the store.
    Missing,
    /// Its bytes are not those that its link vouches for.
    Altered,
    /// Its bytes are those linked to, but make no sense: a fault of the program that wrote it.
    Unreadable,
    /// Nobody who is a recipient now can open it.
    Unopenable,
}

impl Fault {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Unreadable => "unreadable",
            Self::Unopenable => "sealed to nobody who is a recipient",
        }
    }
}

/// A damaged object, named as well as the rest of the vault allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What the object is: `index node`, `service`, `data key`, `credential`, ...
    pub what: &'static str,
    /// Its id in the store.
    pub object: claviger_types::ObjectId,
    /// What its bytes should hash to.
    pub digest: claviger_types::Digest,
    /// What is wrong.
    pub fault: Fault,
    /// The service it belongs to, where that can be told.
    pub service: Option<ServiceName>,
    /// The credential it belongs to, where that can be told.
    pub credential: Option<CredentialName>,
    /// The version it belongs to, where that can be told.
    pub version: Option<u64>,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// The head that was walked from.
    pub head: Option<crate::Seen>,
    /// How many objects the head reaches and were read.
    pub objects: u64,
    /// How many services and credentials they make up.
    pub services: u64,
    /// How many credentials they make up.
    pub credentials: u64,
    /// Every damaged or missing object.
    pub damage: Vec<Damage>,
    /// Objects that the head does not reach; `gc` removes them in time.
    pub garbage: u64,
    /// Heads kept for the chain.
    pub kept_heads: u64,
    /// Why the head is not the one that this host last saw or a successor of it, if so.
    pub rolled_back: Option<String>,
}

/// How to collect garbage.
#[derive(Debug, Clone, Copy, Default)]
pub struct GcOptions {
    /// Ignore ages. Only right while no other host writes.
    pub now: bool,
    /// Have the bytes of what was deleted go away too.
    pub erase: bool,
    /// Only count.
    pub dry_run: bool,
}

/// What `gc` did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Objects deleted, or that would be.
    pub deleted: u64,
    /// Unreached objects left because they are younger than a day.
    pub young: u64,
    /// Objects that the head reaches.
    pub reached: u64,
    /// Heads kept for the chain.
    pub kept_heads: u64,
    /// Whether the bytes are gone, where that was asked.
    pub erasure: Option<Erasure>,
}
