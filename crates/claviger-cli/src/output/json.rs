//! Credentials as JSON. Everything here that holds a value is written into buffers that are wiped.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use claviger_gate::Credential;
use claviger_types::{FieldValue, Fields, SecretBytes};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt, io};

/// The key under which bytes that are not UTF-8 stand, in base64 (RFC 4648 section 4).
const BASE64: &str = "$base64";

/// `{"service", "name", "kind", "version", "value": {fields}}` and a newline.
pub(crate) fn credential(credential: &Credential) -> SecretBytes {
    let mut out = Sink::default();
    out.raw(b"{\"service\":");
    out.text(credential.service.as_str());
    out.raw(b",\"name\":");
    out.text(credential.name.as_str());
    out.raw(b",\"kind\":");
    out.text(credential.value.kind.name());
    out.raw(format!(",\"version\":{},\"value\":", credential.version).as_bytes());
    write_fields(&mut out, &credential.value.fields);
    out.raw(b"}\n");
    out.0
}

/// The fields as one JSON object, without a newline.
pub(crate) fn fields(fields: &Fields) -> SecretBytes {
    let mut out = Sink::default();
    write_fields(&mut out, fields);
    out.0
}

/// One field as it is printed by itself: bytes as they are, a JSON string's text, other JSON verbatim.
pub(crate) fn raw_field(value: &FieldValue) -> SecretBytes {
    match value {
        FieldValue::Bytes(bytes) => SecretBytes::copy_of(bytes.expose()),
        // A string with a lone surrogate is JSON, but no text; then the JSON is all that can be shown.
        FieldValue::Json(json) => serde_json::from_slice::<String>(json.expose())
            .map_or_else(|_| SecretBytes::copy_of(json.expose()), |text| SecretBytes::new(text.into_bytes())),
    }
}

/// Why a text does not spell fields. Never says what stands in it: that is secret, and serde's own messages quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldsError {
    /// It is no JSON.
    #[error("it is not JSON: line {line}, column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 1.
        column: usize,
    },
    /// It is JSON, but not an object that has every member once.
    #[error("it is not a JSON object that names each field once")]
    NotFields,
    /// A `$base64` member is no base64.
    #[error("what stands under `{BASE64}` is not padded base64 (RFC 4648, section 4)")]
    Base64,
}

impl From<serde_json::Error> for FieldsError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            Self::NotFields
        } else {
            Self::NotJson { line: error.line(), column: error.column() }
        }
    }
}

/// The fields that a JSON object spells: each member verbatim, `{"$base64": "..."}` as bytes.
pub(crate) fn parse_fields(json: &SecretBytes) -> Result<Fields, FieldsError> {
    let members: Members = serde_json::from_slice(json.expose())?;
    members.0.into_iter().map(|(name, json)| Ok((name, parse_field(&json)?))).collect()
}

fn parse_field(json: &RawValue) -> Result<FieldValue, FieldsError> {
    let text = json.get();
    if text.starts_with('{')
        && text.contains(BASE64)
        && let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text)
        && members.len() == 1
        && let Some(encoded) = members.get(BASE64)
    {
        let encoded = serde_json::from_str::<String>(encoded.get()).map_err(|_| FieldsError::Base64)?;
        let encoded = SecretBytes::new(encoded.into_bytes());
        let bytes = STANDARD.decode(encoded.expose()).map_err(|_| FieldsError::Base64)?;
        return Ok(FieldValue::Bytes(SecretBytes::new(bytes)));
    }
    Ok(FieldValue::Json(SecretBytes::copy_of(text.as_bytes())))
}

fn write_fields(out: &mut Sink, fields: &Fields) {
    out.raw(b"{");
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            out.raw(b",");
        }
        out.text(name);
        out.raw(b":");
        match value {
            FieldValue::Json(json) => out.raw(json.expose()),
            FieldValue::Bytes(bytes) => write_bytes(out, bytes),
        }
    }
    out.raw(b"}");
}

fn write_bytes(out: &mut Sink, bytes: &SecretBytes) {
    if let Ok(text) = std::str::from_utf8(bytes.expose()) {
        return out.text(text);
    }
    let encoded = SecretBytes::new(STANDARD.encode(bytes.expose()).into_bytes());
    out.raw(format!("{{\"{BASE64}\":\"").as_bytes());
    out.raw(encoded.expose());
    out.raw(b"\"}");
}

/// A buffer that grows without leaving copies behind.
#[derive(Default)]
struct Sink(SecretBytes);

impl Sink {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        // Neither a string nor this sink can fail.
        let _ = serde_json::to_writer(self, text);
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object's members as they are written. A name that stands twice is refused: no reader could tell which one counts.
struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object with the credential's fields")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a field stands in it twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests;
