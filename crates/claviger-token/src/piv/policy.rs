//! When a YubiKey wants its PIN, or a touch, before it uses a key: fixed as the key is made.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// When a key wants the PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinPolicy {
    /// Never.
    Never,
    /// Once, as long as the card has power and no other application is selected.
    Once,
    /// Before every use.
    Always,
    /// As [`PinPolicy::Once`], or a fingerprint in place of the PIN.
    MatchOnce,
    /// As [`PinPolicy::Always`], or a fingerprint in place of the PIN.
    MatchAlways,
}

impl PinPolicy {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Never, Self::Once, Self::Always, Self::MatchOnce, Self::MatchAlways];

    /// Whether each use wants it anew.
    pub const fn is_for_each_use(self) -> bool {
        matches!(self, Self::Always | Self::MatchAlways)
    }

    /// Its name, as Yubico's tools write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
            Self::MatchOnce => "match-once",
            Self::MatchAlways => "match-always",
        }
    }

    /// Its number, in commands to a YubiKey and in what it attests.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Once => 2,
            Self::Always => 3,
            Self::MatchOnce => 4,
            Self::MatchAlways => 5,
        }
    }

    /// The policy of this number. 0, a YubiKey's default for the slot, is none: it never stands in an answer.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.byte() == byte)
    }
}

/// When a key wants a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TouchPolicy {
    /// Never.
    Never,
    /// For every use.
    Always,
    /// For a use, and then not for 15 seconds.
    Cached,
}

impl TouchPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::Always, Self::Cached];

    /// Its name, as Yubico's tools write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Cached => "cached",
        }
    }

    /// Its number, in commands to a YubiKey and in what it attests.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Never => 1,
            Self::Always => 2,
            Self::Cached => 3,
        }
    }

    /// The policy of this number. 0, a YubiKey's default for the slot, is none: it never stands in an answer.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.byte() == byte)
    }
}

/// The text names no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPolicy {
    /// No PIN policy.
    #[error("the PIN policies are never, once, always, match-once and match-always")]
    Pin,
    /// No touch policy.
    #[error("the touch policies are never, always and cached")]
    Touch,
}

impl fmt::Display for PinPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for TouchPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PinPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy::Pin)
    }
}

impl FromStr for TouchPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy::Touch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for policy in PinPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(PinPolicy::from_byte(policy.byte()), Some(policy));
        }
        for policy in TouchPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
            assert_eq!(TouchPolicy::from_byte(policy.byte()), Some(policy));
        }
    }

    #[test]
    fn there_are_no_others() {
        assert_eq!("Once".parse::<PinPolicy>(), Err(UnknownPolicy::Pin));
        assert_eq!("once".parse::<TouchPolicy>(), Err(UnknownPolicy::Touch));
        assert_eq!([0, 6, 255].map(PinPolicy::from_byte), [None; 3]);
        assert_eq!([0, 4, 255].map(TouchPolicy::from_byte), [None; 3]);
    }
}
