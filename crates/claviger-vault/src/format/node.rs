//! Index nodes: a radix-16 tree over the HMAC of service names. A path of nibbles leads to a leaf, to another name's
//! leaf, or to nothing; either of the last two proves that the name is not there.

use crate::VaultError;
use claviger_types::{Digest, Link, ServiceId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;
use std::fmt;

/// The one type of node there is.
const NODE_TYPE: u8 = 1;

/// The state of a data key, as in NIST SP 800-57 part 1, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub(crate) enum KeyState {
    /// Seals and opens.
    Active,
    /// Opens only.
    Deactivated,
}

impl From<KeyState> for u8 {
    fn from(state: KeyState) -> Self {
        match state {
            KeyState::Active => 1,
            KeyState::Deactivated => 3,
        }
    }
}

impl TryFrom<u8> for KeyState {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::Active),
            3 => Ok(Self::Deactivated),
            _ => Err("no key state of this format"),
        }
    }
}

type KeyTuple = (u64, Digest, KeyState, Link, u64);

/// One data key of a service: `[n, kid, state, envelope, seals]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "KeyTuple", into = "KeyTuple")]
pub(crate) struct KeyRecord {
    /// Its number, from 1.
    pub(crate) n: u64,
    /// Its kid, which the envelope must carry and the key must hash to.
    pub(crate) kid: Digest,
    /// Its state.
    pub(crate) state: KeyState,
    /// The envelope that the recipients open.
    pub(crate) envelope: Link,
    /// How often it has sealed, failed attempts included.
    pub(crate) seals: u64,
}

impl From<KeyTuple> for KeyRecord {
    fn from((n, kid, state, envelope, seals): KeyTuple) -> Self {
        Self { n, kid, state, envelope, seals }
    }
}

impl From<KeyRecord> for KeyTuple {
    fn from(key: KeyRecord) -> Self {
        (key.n, key.kid, key.state, key.envelope, key.seals)
    }
}

/// A service in the index: `[1, HMAC, service id, service object, data keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// HMAC(name-index key, service name), all of it.
    pub(crate) name: Digest,
    /// The service's id, which data keys and credentials are bound to.
    pub(crate) service: ServiceId,
    /// The sealed service object.
    pub(crate) object: Link,
    /// Its data keys, oldest first; the last one is active.
    pub(crate) keys: Vec<KeyRecord>,
}

impl Leaf {
    /// The data key that seals now.
    pub(crate) fn active_key(&self) -> Result<&KeyRecord, VaultError> {
        self.keys
            .last()
            .filter(|key| key.state == KeyState::Active)
            .ok_or_else(|| VaultError::Damaged { what: "a service has no active data key".to_owned() })
    }
}

/// What one of a node's sixteen places holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Another node: `[0, link]`.
    Node(Link),
    /// A service.
    Leaf(Box<Leaf>),
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Node(link) => (0_u8, link).serialize(to),
            Self::Leaf(leaf) => (1_u8, leaf.name, leaf.service, leaf.object, &leaf.keys).serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[0, link] or [1, name, service, object, keys]")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Entry, A::Error> {
                fn next<'de, T: Deserialize<'de>, A: de::SeqAccess<'de>>(
                    items: &mut A,
                ) -> Result<T, A::Error> {
                    items.next_element()?.ok_or_else(|| de::Error::custom("the entry is too short"))
                }
                match next::<u8, A>(&mut items)? {
                    0 => Ok(Entry::Node(next(&mut items)?)),
                    1 => Ok(Entry::Leaf(Box::new(Leaf {
                        name: next(&mut items)?,
                        service: next(&mut items)?,
                        object: next(&mut items)?,
                        keys: next(&mut items)?,
                    }))),
                    _ => Err(de::Error::custom("no entry of this format")),
                }
            }
        }

        from.deserialize_seq(Visitor)
    }
}

/// A node: `[type, prefix, sixteen entries]`, the prefix one byte a nibble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The nibbles that lead here from the root.
    pub(crate) prefix: Vec<u8>,
    /// What lies under each next nibble.
    pub(crate) entries: [Option<Entry>; 16],
}

impl Node {
    /// The node's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, VaultError> {
        let prefix = ByteBuf::from(self.prefix.as_slice());
        super::encode("an index node", &(NODE_TYPE, prefix, self.entries.as_slice().to_vec()))
    }

    /// Reads the node that must lie at `prefix`, and checks that all it holds belongs there.
    pub(crate) fn decode(bytes: &[u8], prefix: &[u8]) -> Result<Self, VaultError> {
        let damaged = |why: &str| VaultError::Damaged { what: format!("an index node {why}") };
        let (kind, found, entries): (u8, ByteBuf, Vec<Option<Entry>>) =
            super::decode("an index node", bytes)?;
        if kind != NODE_TYPE || found.as_slice() != prefix {
            return Err(damaged("stands in another's place"));
        }
        let entries: [Option<Entry>; 16] =
            entries.try_into().map_err(|_| damaged("does not have sixteen entries"))?;
        for (nibble, entry) in (0_u8..).zip(&entries) {
            let Some(Entry::Leaf(leaf)) = entry else { continue };
            let mut path = nibbles(&leaf.name);
            if !prefix.iter().all(|step| path.next() == Some(*step)) || path.next() != Some(nibble) {
                return Err(damaged("holds a service that belongs elsewhere"));
            }
        }
        let mut present = entries.iter().flatten();
        let lone_leaf = matches!((present.next(), present.next()), (Some(Entry::Leaf(_)) | None, None));
        if lone_leaf && !prefix.is_empty() {
            return Err(damaged("should not be there for so little"));
        }
        Ok(Self { prefix: found.into_vec(), entries })
    }
}

/// The path of a name through the tree: the nibbles of its HMAC, high one first.
pub(crate) fn nibbles(name: &Digest) -> impl Iterator<Item = u8> + '_ {
    name.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15])
}

#[cfg(test)]
mod tests;
