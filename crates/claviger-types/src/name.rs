//! Names of services and credentials: any UTF-8 up to 1 KiB, compared as bytes.

use std::fmt;

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 1024;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is at most {MAX_NAME_BYTES} bytes of UTF-8; this one has {length}")]
pub struct NameError {
    /// Its length in bytes.
    pub length: usize,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name with exactly this text; nothing is trimmed or folded.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                if text.len() > MAX_NAME_BYTES {
                    return Err(NameError { length: text.len() });
                }
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            // Names never reach a log above debug level; a Debug that prints them would carry them there.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

name! {
    /// The name of a service, such as `openai`.
    ServiceName
}
name! {
    /// The name of a credential within its service, such as `api_key`.
    CredentialName
}
