//! What a credential holds: a kind and a map of named fields.

use crate::SecretBytes;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// The largest value of one credential version, in bytes: the contents of its fields and the names that it chose for
/// them. The fixed name of a kind's single field is not counted.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// The shape of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One field, `value`, of any bytes.
    ApiKey,
    /// `access_token`, `refresh_token`, `expires_at`, `token_type`, `scope`, and any further field.
    Oauth2,
    /// `username` and `password`.
    Basic,
    /// One field, `value`: a file's contents.
    File,
    /// Any fields.
    Fields,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::ApiKey, Self::Oauth2, Self::Basic, Self::File, Self::Fields];

    /// The name in commands, JSON and stored plaintext.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Oauth2 => "oauth2",
            Self::Basic => "basic",
            Self::File => "file",
            Self::Fields => "fields",
        }
    }

    /// The one field of a kind that holds a single value.
    pub const fn single_field(self) -> Option<&'static str> {
        match self {
            Self::ApiKey | Self::File => Some("value"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// The text names no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kinds are api-key, oauth2, basic, file and fields")]
pub struct UnknownKind;

/// One field's content.
#[derive(Debug)]
pub enum FieldValue {
    /// Any bytes, as they are.
    Bytes(SecretBytes),
    /// The UTF-8 text of one JSON value, verbatim: big integers, nesting and key order survive exactly.
    Json(SecretBytes),
}

impl FieldValue {
    /// The bytes as they are stored.
    pub const fn stored(&self) -> &SecretBytes {
        match self {
            Self::Bytes(bytes) | Self::Json(bytes) => bytes,
        }
    }

    /// Whether both are of one sort and hold the same bytes.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(a), Self::Bytes(b)) | (Self::Json(a), Self::Json(b)) => a.same_as(b),
            _ => false,
        }
    }
}

/// The fields of a credential by name.
pub type Fields = BTreeMap<String, FieldValue>;

/// A credential's plaintext: its kind and its fields.
#[derive(Debug)]
pub struct Value {
    /// The shape.
    pub kind: Kind,
    /// The fields.
    pub fields: Fields,
}

impl Value {
    /// A value of a kind with a single field.
    pub fn single(kind: Kind, bytes: SecretBytes) -> Self {
        let name = kind.single_field().unwrap_or("value");
        Self { kind, fields: Fields::from([(name.to_owned(), FieldValue::Bytes(bytes))]) }
    }

    /// The size that [`MAX_VALUE_BYTES`] bounds.
    pub fn size(&self) -> usize {
        let counted = |name: &str| if Some(name) == self.kind.single_field() { 0 } else { name.len() };
        self.fields.iter().map(|(name, value)| counted(name) + value.stored().len()).sum()
    }

    /// Whether both hold the same, field by field.
    pub fn same_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.fields.len() == other.fields.len()
            && self.fields.iter().zip(&other.fields).all(|((name, value), (other_name, other_value))| {
                name == other_name && value.same_as(other_value)
            })
    }
}
