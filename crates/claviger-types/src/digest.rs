//! SHA-256 digests, and the link that makes one object vouch for another.

use crate::{IdError, ObjectId};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// A SHA-256 digest (FIPS 180-4) of public bytes; also the shape of a key id (`kid`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The thirty-two bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = IdError;

    fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
        bytes.try_into().map(Self).map_err(|_| IdError)
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        from_hex(text).map(Self).ok_or(IdError)
    }
}

/// Byte strings in CBOR, hexadecimal text where people read.
macro_rules! serde_bytes_or_hex {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    to.collect_str(self)
                } else {
                    to.serialize_bytes(self.as_bytes())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(stringify!($name))
                    }

                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        $name::try_from(bytes).map_err(E::custom)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                if from.is_human_readable() {
                    from.deserialize_str(Visitor)
                } else {
                    from.deserialize_bytes(Visitor)
                }
            }
        }
    };
}
pub(crate) use serde_bytes_or_hex;

serde_bytes_or_hex!(Digest);

/// A reference from one object to another: where it lies, and what its bytes must hash to.
///
/// In CBOR: `[id, digest]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "(ObjectId, Digest)", into = "(ObjectId, Digest)")]
pub struct Link {
    /// Where the object lies.
    pub id: ObjectId,
    /// SHA-256 of the object's bytes.
    pub digest: Digest,
}

impl From<(ObjectId, Digest)> for Link {
    fn from((id, digest): (ObjectId, Digest)) -> Self {
        Self { id, digest }
    }
}

impl From<Link> for (ObjectId, Digest) {
    fn from(link: Link) -> Self {
        (link.id, link.digest)
    }
}

impl Link {
    /// The link to an object with these bytes.
    pub fn to(id: ObjectId, bytes: &[u8]) -> Self {
        Self { id, digest: Digest::of(bytes) }
    }

    /// Whether these bytes are the object that this link means.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        Digest::of(bytes) == self.digest
    }
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        let value = char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}
