//! CBOR by hand, for what the attacker reads and writes without any key.

use claviger_envelope::codec::{self, Value};
use claviger_types::{Digest, ObjectId};
use std::collections::BTreeMap;

/// What anybody can read of an encoded item.
pub(crate) fn read(bytes: &[u8]) -> Value {
    codec::from_slice(bytes).unwrap()
}

/// The item, encoded as the format wants it.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    codec::to_vec(value).unwrap()
}

/// A byte string.
pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bytes(bytes.as_ref().to_vec())
}

/// What a byte string holds.
pub(crate) fn held(value: &Value) -> &[u8] {
    let Value::Bytes(bytes) = value else { panic!("no bytes: {value:?}") };
    bytes
}

/// The items of an array.
pub(crate) fn items(value: &mut Value) -> &mut Vec<Value> {
    let Value::Array(items) = value else { panic!("no array: {value:?}") };
    items
}

/// The fields of a map with integer labels.
pub(crate) fn fields(value: &mut Value) -> &mut BTreeMap<Value, Value> {
    let Value::Map(fields) = value else { panic!("no map: {value:?}") };
    fields
}

/// The field with this label.
pub(crate) fn field(value: &mut Value, label: i128) -> &mut Value {
    fields(value).get_mut(&Value::Integer(label)).unwrap()
}

/// The id in a link.
pub(crate) fn linked(link: &Value) -> ObjectId {
    let Value::Array(parts) = link else { panic!("no link: {link:?}") };
    ObjectId::try_from(held(&parts[0])).unwrap()
}

/// The link to these bytes under this id.
pub(crate) fn link(id: ObjectId, to: &[u8]) -> Value {
    Value::Array(vec![bytes(id.as_bytes()), bytes(Digest::of(to).as_bytes())])
}
