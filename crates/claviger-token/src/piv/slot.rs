//! The places for keys on a card (NIST SP 800-73-4 part 1, tables 3 and 4b), by the byte that names them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A slot for a key of its own: 9a, 9c, 9d, 9e, or one of the twenty retired ones, 82 to 95.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slot(u8);

const FIRST_RETIRED: u8 = 0x82;
const LAST_RETIRED: u8 = 0x95;

impl Slot {
    /// The slot for key management, which is made for what a KEK does.
    pub const KEY_MANAGEMENT: Self = Self(0x9d);

    /// The slot of this byte.
    pub const fn new(byte: u8) -> Option<Self> {
        match byte {
            0x9a | 0x9c..=0x9e | FIRST_RETIRED..=LAST_RETIRED => Some(Self(byte)),
            _ => None,
        }
    }

    /// The byte that names it.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Where a KEK may be made, in the order in which a free one is looked for.
    pub fn homes() -> impl DoubleEndedIterator<Item = Self> {
        std::iter::once(Self::KEY_MANAGEMENT).chain((FIRST_RETIRED..=LAST_RETIRED).map(Self))
    }

    /// Whether a KEK may be made there: the others are for logins, signatures and doors.
    pub fn is_home(self) -> bool {
        Self::homes().any(|home| home == self)
    }

    /// All of them, those first in which a KEK most likely is.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::homes().chain([0x9a, 0x9c, 0x9e].map(Self))
    }

    /// Which of the retired slots it is, counted from 1.
    pub(super) const fn retired_number(self) -> Option<u8> {
        match self.0 {
            FIRST_RETIRED..=LAST_RETIRED => Some(self.0 - FIRST_RETIRED + 1),
            _ => None,
        }
    }

    /// The data object that holds its certificate (SP 800-73-4 part 1, table 3).
    pub(super) const fn certificate(self) -> u32 {
        match self.0 {
            0x9a => 0x5f_c105,
            0x9c => 0x5f_c10a,
            0x9d => 0x5f_c10b,
            0x9e => 0x5f_c101,
            retired => 0x5f_c10d + (retired as u32 - FIRST_RETIRED as u32),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl FromStr for Slot {
    type Err = UnknownSlot;

    fn from_str(text: &str) -> Result<Self, UnknownSlot> {
        let digits = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(text, 16).ok().filter(|_| digits);
        byte.and_then(Self::new).ok_or(UnknownSlot)
    }
}

impl TryFrom<String> for Slot {
    type Error = UnknownSlot;

    fn try_from(text: String) -> Result<Self, UnknownSlot> {
        text.parse()
    }
}

impl From<Slot> for String {
    fn from(slot: Slot) -> Self {
        slot.to_string()
    }
}

/// It names no slot for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a slot is 9a, 9c, 9d, 9e, or 82 to 95")]
pub struct UnknownSlot;

#[cfg(test)]
mod tests;
