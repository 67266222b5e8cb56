//! Service objects: a service's name and credentials, sealed. What outgrows one object lies in pages.

use crate::{VersionState, model::CredentialInfo, model::VersionInfo};
use claviger_types::{CredentialId, CredentialName, Digest, Kind, Link, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type VersionTuple = (u64, Option<Link>, u64, u8, Timestamp, Option<Timestamp>, Option<Timestamp>);

/// One version: `[n, object, data key, state, created, ended, expires]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "VersionTuple", into = "VersionTuple")]
pub(crate) struct VersionRecord {
    /// Its number, from 1.
    pub(crate) n: u64,
    /// The credential envelope; null exactly when destroyed.
    pub(crate) object: Option<Link>,
    /// The number of the data key that sealed it.
    pub(crate) key: u64,
    /// Its state: 1 live, 2 deleted, 3 destroyed.
    pub(crate) state: VersionState,
    /// When it was written.
    pub(crate) created: Timestamp,
    /// When it was deleted or destroyed.
    pub(crate) ended: Option<Timestamp>,
    /// When it ends by itself.
    pub(crate) expires: Option<Timestamp>,
}

impl TryFrom<VersionTuple> for VersionRecord {
    type Error = &'static str;

    fn try_from((n, object, key, state, created, ended, expires): VersionTuple) -> Result<Self, Self::Error> {
        let state = match (state, object.is_some()) {
            (1, true) => VersionState::Live,
            (2, true) => VersionState::Deleted,
            (3, false) => VersionState::Destroyed,
            _ => return Err("no version state of this format"),
        };
        Ok(Self { n, object, key, state, created, ended, expires })
    }
}

impl From<VersionRecord> for VersionTuple {
    fn from(version: VersionRecord) -> Self {
        let state = match version.state {
            VersionState::Live => 1,
            VersionState::Deleted => 2,
            VersionState::Destroyed => 3,
        };
        (version.n, version.object, version.key, state, version.created, version.ended, version.expires)
    }
}

impl VersionRecord {
    /// This version as others see it.
    pub(crate) fn info(&self) -> VersionInfo {
        let Self { n, state, created, ended, expires, .. } = *self;
        VersionInfo { n, state, created, ended, expires }
    }
}

/// A credential: a map with labels 0 to 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CredentialRecord {
    /// Its name.
    pub(crate) name: String,
    /// Its kind, by name.
    pub(crate) kind: String,
    /// Its id, which its envelopes are bound to.
    pub(crate) id: CredentialId,
    /// How many versions are kept.
    pub(crate) max_versions: u32,
    /// The number of the newest version ever written.
    pub(crate) newest: u64,
    /// The versions that are kept, oldest first.
    pub(crate) versions: Vec<VersionRecord>,
    /// When it should have another value at the latest.
    pub(crate) rotate_by: Option<Timestamp>,
    /// What its people note about it.
    pub(crate) notes: BTreeMap<String, String>,
}

impl CredentialRecord {
    /// Where this record stands among the others.
    pub(crate) fn place(&self) -> Digest {
        place(&self.name)
    }

    /// The version with this number.
    pub(crate) fn version(&self, n: u64) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.n == n)
    }

    /// This credential as others see it; `None` for a kind or name that this format cannot hold.
    pub(crate) fn info(&self, service: &ServiceName, tags: &[String]) -> Option<CredentialInfo> {
        Some(CredentialInfo {
            service: service.clone(),
            name: CredentialName::new(self.name.as_str()).ok()?,
            kind: self.kind.parse::<Kind>().ok()?,
            current: self.newest,
            max_versions: self.max_versions,
            versions: self.versions.iter().map(VersionRecord::info).collect(),
            rotate_by: self.rotate_by,
            notes: self.notes.clone(),
            tags: tags.to_vec(),
        })
    }
}

/// Credentials stand in the order of this digest: names may be a KiB long, digests keep the page table small.
pub(crate) fn place(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// A page of a large service: `[first place, number of credentials, link]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Digest, u32, Link)", into = "(Digest, u32, Link)")]
pub(crate) struct PageRef {
    /// No credential on this page stands before this place.
    pub(crate) first: Digest,
    /// How many credentials the page holds.
    pub(crate) count: u32,
    /// The sealed page.
    pub(crate) link: Link,
}

impl From<(Digest, u32, Link)> for PageRef {
    fn from((first, count, link): (Digest, u32, Link)) -> Self {
        Self { first, count, link }
    }
}

impl From<PageRef> for (Digest, u32, Link) {
    fn from(page: PageRef) -> Self {
        (page.first, page.count, page.link)
    }
}

/// A service: a map with labels 0 to 5. It holds its credentials itself, or a table of the pages that do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceObject {
    /// Its name.
    pub(crate) name: String,
    /// Words to find it by.
    pub(crate) tags: Vec<String>,
    /// Days between rotations of its data key, where not the vault's default.
    pub(crate) rotate_days: Option<u32>,
    /// Its credentials in order of place, if there are no pages.
    pub(crate) credentials: Vec<CredentialRecord>,
    /// Its pages in order of place.
    pub(crate) pages: Vec<PageRef>,
    /// When its active data key was made.
    pub(crate) key_made: Timestamp,
}

/// A page: a map with label 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePage {
    /// Some of a service's credentials, in order of place.
    pub(crate) credentials: Vec<CredentialRecord>,
}
