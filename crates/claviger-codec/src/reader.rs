//! A cursor over deterministic CBOR that borrows what it reads: no allocation, no recursion but a bounded one, and no
//! copy of a secret that would have to be wiped.

use super::{ARRAY, BYTES, CodecError, MAP, NEGATIVE, NULL, SIMPLE, TAG, TEXT, UNSIGNED};

/// How deep an item that is only skipped may nest.
const MAX_DEPTH: u8 = 8;

/// Reads items one after the other; every head must have its shortest form and a definite length (RFC 8949 section
/// 4.2.1).
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// That nothing is left.
    pub const fn finish(self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError) }
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self) -> Result<u64, CodecError> {
        self.head(UNSIGNED)
    }

    /// An integer of either sign that fits 64 bits.
    pub fn int(&mut self) -> Result<i64, CodecError> {
        let (major, argument) = self.any_head()?;
        let argument = i64::try_from(argument).map_err(|_| CodecError)?;
        match major {
            UNSIGNED => Ok(argument),
            NEGATIVE => Ok(-1 - argument),
            _ => Err(CodecError),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.head(BYTES)?;
        self.take(length)
    }

    /// A text string.
    pub fn text(&mut self) -> Result<&'a str, CodecError> {
        let length = self.head(TEXT)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CodecError)
    }

    /// The number of items that follow. It is hostile: nothing may be reserved by it.
    pub fn array(&mut self) -> Result<u64, CodecError> {
        self.head(ARRAY)
    }

    /// The number of pairs that follow; their order is the caller's to check.
    pub fn map(&mut self) -> Result<u64, CodecError> {
        self.head(MAP)
    }

    /// A tag's number; the item that it stands before comes next.
    pub fn tag(&mut self) -> Result<u64, CodecError> {
        self.head(TAG)
    }

    /// Whether the next item is a text string.
    pub fn is_text(&self) -> bool {
        self.rest.first().is_some_and(|first| first >> 5 == TEXT)
    }

    /// Whether the next item is null, which is then read.
    pub fn null(&mut self) -> bool {
        let after = self.rest.strip_prefix(&[NULL]);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    /// The encoding of the next item, whatever it is, once it is known to be deterministic.
    pub fn item(&mut self) -> Result<&'a [u8], CodecError> {
        let start = self.rest;
        self.skip(MAX_DEPTH)?;
        start.get(..start.len() - self.rest.len()).ok_or(CodecError)
    }

    fn skip(&mut self, depth: u8) -> Result<(), CodecError> {
        let deeper = || depth.checked_sub(1).ok_or(CodecError);
        match self.any_head()? {
            // Of the simple values false, true and null; nothing at rest holds others, or floats.
            (UNSIGNED | NEGATIVE, _) | (SIMPLE, 20..=22) => Ok(()),
            (BYTES, length) => self.take(length).map(|_| ()),
            (TEXT, length) => std::str::from_utf8(self.take(length)?).map(|_| ()).map_err(|_| CodecError),
            (ARRAY, count) => {
                let depth = deeper()?;
                (0..count).try_for_each(|_| self.skip(depth))
            }
            (MAP, count) => {
                let depth = deeper()?;
                let mut previous: &[u8] = &[];
                (0..count).try_for_each(|_| {
                    let key = self.item_within(depth)?;
                    if key <= previous {
                        return Err(CodecError);
                    }
                    previous = key;
                    self.skip(depth)
                })
            }
            (TAG, _) => self.skip(deeper()?),
            _ => Err(CodecError),
        }
    }

    fn item_within(&mut self, depth: u8) -> Result<&'a [u8], CodecError> {
        let start = self.rest;
        self.skip(depth)?;
        start.get(..start.len() - self.rest.len()).ok_or(CodecError)
    }

    fn head(&mut self, expected: u8) -> Result<u64, CodecError> {
        match self.any_head()? {
            (major, argument) if major == expected => Ok(argument),
            _ => Err(CodecError),
        }
    }

    fn any_head(&mut self) -> Result<(u8, u64), CodecError> {
        let (&first, rest) = self.rest.split_first().ok_or(CodecError)?;
        self.rest = rest;
        let (argument, least) = match first & 0x1f {
            short @ 0..=23 => (u64::from(short), 0),
            24 => (u64::from(u8::from_be_bytes(self.array_of()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array_of()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array_of()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array_of()?), 1 << 32),
            _ => return Err(CodecError),
        };
        if argument < least { Err(CodecError) } else { Ok((first >> 5, argument)) }
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(CodecError)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(length).map_err(|_| CodecError)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CodecError)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
