//! The one door to CBOR: deterministic encoding out, and nothing but deterministic encoding in. What lies at rest and what
//! passes between a program and its token's process both go through it.
//!
//! Structs travel as maps with integer labels in field order, from 0 (`serde_cbor`'s packed form). What is read is
//! encoded again and compared, so trailing bytes, long integers, indefinite lengths, unsorted or doubled keys and
//! unknown labels are all refused (RFC 8949 section 4.2.1).
//!
//! Envelopes do not go through a tree of values: their layouts are fixed, and some hold keys. They are read and written
//! in place, by a cursor and a writer that know nothing but heads and lengths.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::{Encode, Sink, Writer};

use serde::{Serialize, de::DeserializeOwned};
use serde_cbor::ser::IoWrite;
use std::io;
use zeroize::Zeroizing;

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

/// The same of a value that holds a secret: in one buffer that is made in its size, never grows, and is wiped.
pub fn to_secret_vec<T: Serialize>(value: &T) -> Result<Zeroizing<Vec<u8>>, CodecError> {
    let mut count = Count(0);
    write(&mut count, value)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.0));
    write(&mut *bytes, value)?;
    Ok(bytes)
}

/// Reads a value from its deterministic CBOR, all of it.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let value: T = serde_cbor::from_slice(bytes).map_err(|_| CodecError)?;
    let mut same = Compare { rest: bytes, same: true };
    write(&mut same, &value)?;
    if same.same && same.rest.is_empty() { Ok(value) } else { Err(CodecError) }
}

fn write<T: Serialize>(out: impl io::Write, value: &T) -> Result<(), CodecError> {
    let mut serializer = serde_cbor::Serializer::new(IoWrite::new(out)).packed_format();
    value.serialize(&mut serializer).map_err(|_| CodecError)
}

/// Counts bytes and keeps none.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compares bytes as they come with those that are expected, so that no second copy of them is made.
struct Compare<'a> {
    rest: &'a [u8],
    same: bool,
}

impl io::Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => self.rest = rest,
            None => self.same = false,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
