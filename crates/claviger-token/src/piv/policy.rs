//! When a YubiKey asks for its PIN and for a touch, fixed for each key when it is made.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// When a key wants the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPolicy {
    /// Never: whoever has the YubiKey uses the key.
    Never,
    /// Once, until the YubiKey is unplugged, reset or used for something else.
    Once,
    /// Before each use.
    Always,
}

/// When a key wants a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TouchPolicy {
    /// Never.
    Never,
    /// At each use.
    Always,
    /// At a use more than 15 seconds after the last touch.
    Cached,
}

impl PinPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Once, Self::Always, Self::Never];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
        }
    }

    /// The byte that a YubiKey knows it by.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Once => 2,
            Self::Always => 3,
        }
    }

    /// The policy of this byte. One that asks for a fingerprint instead asks for the PIN where there is no sensor.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Never),
            2 | 4 => Some(Self::Once),
            3 | 5 => Some(Self::Always),
            _ => None,
        }
    }
}

impl TouchPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cached, Self::Always, Self::Never];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Cached => "cached",
        }
    }

    /// The byte that a YubiKey knows it by.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Always => 2,
            Self::Cached => 3,
        }
    }

    /// The policy of this byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Never),
            2 => Some(Self::Always),
            3 => Some(Self::Cached),
            _ => None,
        }
    }
}

/// It names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy is one of {0}")]
pub struct UnknownPolicy(&'static str);

impl FromStr for PinPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = Self::ALL.into_iter().find(|policy| policy.name() == text);
        named.ok_or(UnknownPolicy("once, always, never"))
    }
}

impl FromStr for TouchPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = Self::ALL.into_iter().find(|policy| policy.name() == text);
        named.ok_or(UnknownPolicy("cached, always, never"))
    }
}

impl fmt::Display for PinPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for TouchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
