//! Writes deterministic CBOR into a buffer, or only counts how long it would be, so that a buffer that takes a secret
//! is made once and never grows.

use super::{ARRAY, BYTES, MAP, NEGATIVE, NULL, TAG, TEXT, UNSIGNED};

/// Where encoded bytes go.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A sink that keeps nothing but the count.
impl Sink for usize {
    fn put(&mut self, bytes: &[u8]) {
        *self += bytes.len();
    }
}

/// What can be written as CBOR, and therefore also measured beforehand.
pub trait Encode {
    /// Writes it.
    fn encode<S: Sink>(&self, out: &mut Writer<S>);

    /// The exact number of bytes that [`Encode::encode`] writes.
    fn encoded_len(&self) -> usize {
        let mut count = Writer(0_usize);
        self.encode(&mut count);
        count.0
    }

    /// Its encoding, in a buffer that was made in its size.
    fn to_cbor(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.encoded_len()));
        self.encode(&mut out);
        out.0
    }
}

/// Bytes that are written as they are.
impl Encode for [u8] {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.raw(self);
    }
}

/// Writes heads in their shortest form; the order of map keys is the caller's to keep.
pub struct Writer<S>(
    /// Where it writes.
    pub S,
);

impl<S: Sink> Writer<S> {
    /// An unsigned integer.
    pub fn unsigned(&mut self, number: u64) -> &mut Self {
        self.head(UNSIGNED, number)
    }

    /// An integer.
    pub fn int(&mut self, number: i64) -> &mut Self {
        match u64::try_from(number) {
            Ok(number) => self.head(UNSIGNED, number),
            // In two's complement -1 - n is the complement of n.
            Err(_) => self.head(NEGATIVE, (!number).unsigned_abs()),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes_head(bytes.len()).raw(bytes)
    }

    /// The head of a byte string whose contents the caller writes.
    pub fn bytes_head(&mut self, length: usize) -> &mut Self {
        self.head(BYTES, length as u64)
    }

    /// A text string.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.text_bytes(text.as_bytes())
    }

    /// A text string from bytes that the caller knows to be UTF-8.
    pub fn text_bytes(&mut self, utf8: &[u8]) -> &mut Self {
        self.head(TEXT, utf8.len() as u64).raw(utf8)
    }

    /// The head of an array of so many items, which the caller writes.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(ARRAY, count as u64)
    }

    /// The head of a map of so many pairs, which the caller writes in the order of their keys' encodings.
    pub fn map(&mut self, count: usize) -> &mut Self {
        self.head(MAP, count as u64)
    }

    /// A tag; the item that it stands before is the caller's to write.
    pub fn tag(&mut self, tag: u64) -> &mut Self {
        self.head(TAG, tag)
    }

    /// The simple value null.
    pub fn null(&mut self) -> &mut Self {
        self.raw(&[NULL])
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put(bytes);
        self
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let first = |info: u8| major << 5 | info;
        let [.., b3, b2, b1, b0] = argument.to_be_bytes();
        match argument {
            0..=23 => self.raw(&[first(b0)]),
            24..=0xff => self.raw(&[first(24), b0]),
            0x100..=0xffff => self.raw(&[first(25), b1, b0]),
            0x1_0000..=0xffff_ffff => self.raw(&[first(26), b3, b2, b1, b0]),
            _ => self.raw(&[first(27)]).raw(&argument.to_be_bytes()),
        }
    }
}
