//! What a credential envelope holds: `{1: kind, 2: {field name: content}}`. Bytes are byte strings; JSON is a text
//! string with its text verbatim, so that big integers, nesting and key order survive exactly.

use crate::{
    EnvelopeError,
    codec::{CodecError, Encode, Reader, Sink, Writer},
};
use claviger_types::{FieldValue, Fields, MAX_VALUE_BYTES, SecretBytes, Value};
use serde::de::IgnoredAny;

/// A value in the order in which it is written; it borrows, so that no secret is copied.
pub(super) struct Plaintext<'a> {
    kind: &'static str,
    /// In deterministic order: shorter names first, then bytewise (RFC 8949 section 4.2.1).
    fields: Vec<(&'a str, &'a FieldValue)>,
}

impl<'a> Plaintext<'a> {
    pub(super) fn of(value: &'a Value) -> Result<Self, EnvelopeError> {
        if value.size() > MAX_VALUE_BYTES {
            return Err(EnvelopeError::TooLarge { limit: MAX_VALUE_BYTES });
        }
        if !value.fields.values().all(is_storable) {
            return Err(EnvelopeError::NotJson);
        }
        let mut fields: Vec<_> = value.fields.iter().map(|(name, field)| (name.as_str(), field)).collect();
        fields.sort_unstable_by_key(|(name, _)| order(name));
        Ok(Self { kind: value.kind.name(), fields })
    }
}

const KIND: u64 = 1;
const FIELDS: u64 = 2;

impl Encode for Plaintext<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.map(2).unsigned(KIND).text(self.kind).unsigned(FIELDS).map(self.fields.len());
        for (name, field) in &self.fields {
            out.text(name);
            match field {
                FieldValue::Bytes(bytes) => out.bytes(bytes.expose()),
                FieldValue::Json(json) => out.text_bytes(json.expose()),
            };
        }
    }
}

/// Reads a plaintext. Whatever is wrong with it, the envelope just does not open.
pub(super) fn read(plaintext: &[u8]) -> Result<Value, EnvelopeError> {
    read_value(plaintext)
        .ok()
        .filter(|value| value.size() <= MAX_VALUE_BYTES && value.fields.values().all(is_storable))
        .ok_or(EnvelopeError::Unopened)
}

fn read_value(plaintext: &[u8]) -> Result<Value, CodecError> {
    let mut reader = Reader::new(plaintext);
    if reader.map()? != 2 || reader.unsigned()? != KIND {
        return Err(CodecError);
    }
    let kind = reader.text()?.parse().map_err(|_| CodecError)?;
    if reader.unsigned()? != FIELDS {
        return Err(CodecError);
    }
    let mut fields = Fields::new();
    let mut previous = None;
    for _ in 0..reader.map()? {
        let name = reader.text()?;
        if previous.is_some_and(|previous| order(previous) >= order(name)) {
            return Err(CodecError);
        }
        previous = Some(name);
        let field = if reader.is_text() {
            FieldValue::Json(SecretBytes::copy_of(reader.text()?.as_bytes()))
        } else {
            FieldValue::Bytes(SecretBytes::copy_of(reader.bytes()?))
        };
        fields.insert(name.to_owned(), field);
    }
    reader.finish()?;
    Ok(Value { kind, fields })
}

/// The deterministic order of text strings as map keys: their heads come first, and those hold the lengths.
const fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// Whether a field that claims to be JSON is the text of exactly one JSON value.
fn is_storable(field: &FieldValue) -> bool {
    match field {
        FieldValue::Bytes(_) => true,
        FieldValue::Json(json) => std::str::from_utf8(json.expose())
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()),
    }
}

#[cfg(test)]
mod tests;
