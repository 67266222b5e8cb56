//! What the log says of one call.

use claviger_types::{ServiceId, Timestamp};
use serde::{Deserialize, Serialize};

/// How a call ended, or stood when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Outcome {
    /// It was allowed, and is about to be done or answered.
    Allowed,
    /// What it asked for was done.
    Done,
    /// The policy did not allow it.
    Denied,
    /// It was allowed and failed.
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Allowed, Self::Done, Self::Denied, Self::Failed];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl From<Outcome> for u8 {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Allowed => 1,
            Outcome::Done => 2,
            Outcome::Denied => 3,
            Outcome::Failed => 4,
        }
    }
}

impl TryFrom<u8> for Outcome {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|outcome| u8::from(*outcome) == number).ok_or("no outcome of this format")
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Whom the policy knows, such as `Admin::"owner"`.
    pub principal: String,
    /// The user id of the calling process.
    pub uid: u32,
    /// Its process id.
    pub pid: u32,
    /// Its program.
    pub program: String,
}

/// One call. The fields follow OCSF's API Activity class: actor, operation, resource, status, message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who asked.
    pub actor: Actor,
    /// For what: `get`, `set`, ...
    pub action: String,
    /// About what: a reference; nothing for the vault at large.
    pub reference: Option<String>,
    /// Which version was meant or made.
    pub version: Option<u64>,
    /// How it ended, or stood.
    pub outcome: Outcome,
    /// More, in words; never a secret.
    pub detail: Option<String>,
}

/// An entry with its time, as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was recorded.
    pub time: Timestamp,
    /// What was recorded.
    pub entry: Entry,
}

/// Which entry of the log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryId {
    /// The id of its segment; segment keys are sealed as a service's data keys are, so the ids are of the same kind.
    pub segment: ServiceId,
    /// Its place in the segment, from 0.
    pub index: u64,
}
