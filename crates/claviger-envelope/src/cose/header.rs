//! Header parameters in their two buckets (RFC 9052 section 3).

use super::label;
use crate::{EnvelopeError, codec::CodecError, codec::Reader};
use std::cmp::Ordering;

/// One bucket: a map of integer labels, as it was received. Its encoding has been checked once; looking up a label
/// walks over it again, which for a handful of labels is quicker than any index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pairs: u64,
    body: Reader<'a>,
}

impl<'a> Header<'a> {
    /// No parameters at all, as an empty protected bucket is read.
    const EMPTY: Self = Self { pairs: 0, body: Reader::new(&[]) };

    /// Reads a map and leaves the cursor behind it.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        let pairs = reader.map()?;
        let header = Self { pairs, body: *reader };
        let mut previous = None;
        for _ in 0..pairs {
            let label = reader.int()?;
            if previous.is_some_and(|previous| deterministic_order(previous, label) != Ordering::Less) {
                return Err(CodecError);
            }
            previous = Some(label);
            reader.item()?;
        }
        Ok(header)
    }

    /// The labels with the encodings of their values.
    pub(crate) fn entries(self) -> impl Iterator<Item = (i64, &'a [u8])> {
        let mut body = self.body;
        (0..self.pairs).map_while(move |_| Some((body.int().ok()?, body.item().ok()?)))
    }

    /// Whether exactly these labels are there, in deterministic order.
    pub(crate) fn has_exactly(self, labels: &[i64]) -> bool {
        self.entries().map(|(label, _)| label).eq(labels.iter().copied())
    }

    /// The value of a label that is an integer.
    pub(crate) fn int(self, label: i64) -> Option<i64> {
        self.value(label)?.int().ok()
    }

    /// The value of a label that is a byte string.
    pub(crate) fn bytes(self, label: i64) -> Option<&'a [u8]> {
        self.value(label)?.bytes().ok()
    }

    /// The value of a label that is a text string.
    pub(crate) fn text(self, label: i64) -> Option<&'a str> {
        self.value(label)?.text().ok()
    }

    /// The value of a label that is a map with integer labels, such as a `COSE_Key`.
    pub(crate) fn map(self, label: i64) -> Option<Self> {
        Self::read(&mut self.value(label)?).ok()
    }

    fn has(self, label: i64) -> bool {
        self.value(label).is_some()
    }

    fn value(self, wanted: i64) -> Option<Reader<'a>> {
        self.entries().find(|(label, _)| *label == wanted).map(|(_, value)| Reader::new(value))
    }
}

/// The bytewise order of the encodings of two labels: unsigned before negative, then by magnitude.
const fn deterministic_order(a: i64, b: i64) -> Ordering {
    let (a, b) = ((a < 0, if a < 0 { !a } else { a }), (b < 0, if b < 0 { !b } else { b }));
    match (a, b) {
        ((false, _), (true, _)) => Ordering::Less,
        ((true, _), (false, _)) => Ordering::Greater,
        ((_, a), (_, b)) if a < b => Ordering::Less,
        ((_, a), (_, b)) if a == b => Ordering::Equal,
        _ => Ordering::Greater,
    }
}

/// Both buckets of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers<'a> {
    /// The protected bucket's encoding, which is what gets authenticated; empty where there are no parameters.
    pub(crate) protected_bytes: &'a [u8],
    pub(crate) protected: Header<'a>,
    pub(crate) unprotected: Header<'a>,
}

impl<'a> Headers<'a> {
    /// Reads the first two items of a layer.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, EnvelopeError> {
        let protected_bytes = reader.bytes()?;
        let protected = if protected_bytes.is_empty() {
            Header::EMPTY
        } else {
            let mut inner = Reader::new(protected_bytes);
            let header = Header::read(&mut inner)?;
            inner.finish()?;
            if header.pairs == 0 {
                // RFC 9052 section 3: no parameters are a byte string of length zero.
                return Err(EnvelopeError::Malformed("an empty map as protected header"));
            }
            header
        };
        let unprotected = Header::read(reader)?;
        let headers = Self { protected_bytes, protected, unprotected };
        if protected.has(label::CRIT) || unprotected.has(label::CRIT) {
            return Err(EnvelopeError::Malformed("a critical header"));
        }
        if protected.entries().any(|(label, _)| unprotected.has(label)) {
            return Err(EnvelopeError::Malformed("a label in both buckets"));
        }
        Ok(headers)
    }
}
