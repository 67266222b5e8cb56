//! Random 128-bit ids, one type each so that one cannot stand where another is meant.

use crate::{Entropy, EntropyError};
use std::{fmt, str::FromStr};

/// Why a text is no id: it must be 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 hexadecimal digits")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// A fresh id; 128 random bits never recur.
            pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
                let mut bytes = [0; 16];
                entropy.fill(&mut bytes)?;
                Ok(Self(bytes))
            }

            /// The sixteen bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError)
            }
        }

        crate::digest::serde_bytes_or_hex!($name);

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                crate::digest::from_hex(text).map(Self).ok_or(IdError)
            }
        }
    };
}

id! {
    /// Everything under one set of recipients.
    VaultId
}
id! {
    /// What a credential belongs to; sixteen zero bytes stand for the vault key itself.
    ServiceId
}
id! {
    /// A named, versioned secret of a service.
    CredentialId
}
id! {
    /// An immutable object in the store.
    ObjectId
}
id! {
    /// An enrolled token key that data keys are wrapped to.
    RecipientId
}
id! {
    /// A key on a token that signs for the vault.
    SignerId
}
id! {
    /// A machine and user that opens the vault: whoever shares a configuration and its anchors.
    HostId
}

impl ServiceId {
    /// The place of the vault key in external AAD, where a service id would stand.
    pub const VAULT_KEY: Self = Self([0; 16]);
}
