//! The parsers of stored bytes by themselves, for fuzzing: what is read must be written again to the same bytes.

use crate::format::{HeadPayload, Job, Node, Registry, ServiceObject, ServicePage, decode, encode};
use claviger_envelope::codec;
use serde::{Serialize, de::DeserializeOwned};

fn round_trip<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    decode::<T>("input", bytes).is_ok_and(|value| encode("input", &value).is_ok_and(|again| again == bytes))
}

/// A head's payload. Whether it was one.
pub fn head_payload(bytes: &[u8]) -> bool {
    HeadPayload::decode(bytes).is_ok_and(|payload| codec::to_vec(&payload).is_ok_and(|again| again == bytes))
}

/// An index node that stands at the root, or under a prefix of one nibble.
pub fn index_node(bytes: &[u8]) -> bool {
    [&[][..], &[0], &[15]].into_iter().any(|prefix| {
        Node::decode(bytes, prefix).is_ok_and(|node| node.encode().is_ok_and(|again| again == bytes))
    })
}

/// The plaintext of a service object or of a page.
pub fn service(bytes: &[u8]) -> bool {
    round_trip::<ServiceObject>(bytes) || round_trip::<ServicePage>(bytes)
}

/// The plaintext of a recipient list.
pub fn recipients(bytes: &[u8]) -> bool {
    let public_keys =
        |list: Registry| list.recipients.iter().filter(|one| one.public_key().is_some()).count();
    round_trip::<Registry>(bytes) && decode("input", bytes).map(public_keys).is_ok()
}

/// The state of a job in a head.
pub fn job(bytes: &[u8]) -> bool {
    round_trip::<Job>(bytes)
}
