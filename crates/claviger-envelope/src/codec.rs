//! The one door to CBOR: deterministic encoding out, and nothing but deterministic encoding in.
//!
//! Structs travel as maps with integer labels in field order, from 0 (`serde_cbor`'s packed form). What is read is
//! encoded again and compared, so trailing bytes, long integers, indefinite lengths, unsorted or doubled keys and
//! unknown labels are all refused (RFC 8949 section 4.2.1).
//!
//! Envelopes do not go through a tree of values: their layouts are fixed, and some hold keys. They are read and written
//! in place, by a cursor and a writer that know nothing but heads and lengths.

mod reader;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::{Encode, Sink, Writer};

use serde::{Serialize, de::DeserializeOwned};

pub use serde_cbor::Value;

/// The bytes are not the deterministic CBOR of what was expected. Says no more: they are not authenticated yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the deterministic CBOR that was expected")]
pub struct CodecError;

// Major types (RFC 8949 section 3.1).
const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// The simple value null (RFC 8949 section 3.3).
const NULL: u8 = 0xf6;

/// The deterministic CBOR of a value.
pub fn to_vec<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    serde_cbor::ser::to_vec_packed(value).map_err(|_| CodecError)
}

/// Reads a value from its deterministic CBOR, all of it.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let value: T = serde_cbor::from_slice(bytes).map_err(|_| CodecError)?;
    if to_vec(&value)? == bytes { Ok(value) } else { Err(CodecError) }
}

#[cfg(test)]
mod tests;
