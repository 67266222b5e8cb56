//! The parsers of `claviger-envelope`.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, DataKeyEnvelope, EnvelopeError, ObjectContext,
    ObjectKind, UnverifiedHead, UnverifiedSuccession, codec as cbor, mac_head, open_credential, open_object,
    seal_credential,
};
use claviger_types::{
    CredentialId, EcPoint, Fields, Key256, Kind, ObjectId, SeededEntropy, ServiceId, Value, VaultId,
};

const VAULT: VaultId = VaultId::from_bytes([1; 16]);
const SERVICE: ServiceId = ServiceId::from_bytes([2; 16]);

fn key() -> DataKey {
    let key = Key256::build(|bytes| {
        bytes.fill(7);
        Ok::<_, EnvelopeError>(())
    });
    DataKey::new(ContentAlg::A256Gcm, key.expect("a key")).expect("a data key")
}

/// A value that is read is written back the same: there is one spelling only.
pub fn codec(data: &[u8]) {
    if let Ok(value) = cbor::from_slice::<cbor::Value>(data) {
        assert_eq!(cbor::to_vec(&value).expect("what was read can be written"), data);
    }
    let _ = cbor::from_slice::<Vec<(u64, Option<String>)>>(data);
}

/// What one parser takes for deterministic CBOR, so does the other.
fn is_deterministic(data: &[u8]) {
    cbor::from_slice::<cbor::Value>(data).expect("an envelope that is deterministic CBOR");
}

/// Whatever parses is deterministic, and opens under no key that did not make it.
pub fn data_key_envelope(data: &[u8]) {
    let Ok(envelope) = DataKeyEnvelope::parse(data) else { return };
    is_deterministic(data);
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    for wrapped in envelope.recipients() {
        envelope.wrap_context(wrapped, place);
    }
    let opened = envelope.open(key().key(), place, &envelope.kid());
    assert_eq!(opened.expect_err("a key that did not seal it"), EnvelopeError::Unopened);
}

/// Bytes as an envelope, and bytes as what an envelope holds: under the right key any plaintext may lie.
pub fn credential(data: &[u8]) {
    let key = key();
    let place = CredentialContext {
        vault: VAULT,
        service: SERVICE,
        credential: CredentialId::from_bytes([3; 16]),
        n: 1,
    };
    if open_credential(&key, place, data).is_ok() {
        is_deterministic(data);
    }
    if let Ok(value) = open_credential(&key, place, &envelope_of(&key, data)) {
        // Sealed again, it is the same: a value has one plaintext.
        is_deterministic(data);
        let again =
            seal_credential(&key, place, &value, &SeededEntropy::new(1)).expect("what opened can be sealed");
        assert!(open_credential(&key, place, &again).expect("its own").same_as(&value));
        assert_eq!(again.len(), envelope_of(&key, data).len());
    }
}

/// A credential envelope with this plaintext, made by hand.
fn envelope_of(key: &DataKey, plaintext: &[u8]) -> Vec<u8> {
    let place = CredentialContext {
        vault: VAULT,
        service: SERVICE,
        credential: CredentialId::from_bytes([3; 16]),
        n: 1,
    };
    let empty = Value { kind: Kind::Fields, fields: Fields::new() };
    let model = seal_credential(key, place, &empty, &SeededEntropy::new(1)).expect("a model");
    // d0 83 58 len protected...: the header of the model serves.
    let protected = &model[4..4 + usize::from(model[3])];
    let context = [
        b"\x85\x70claviger/cred/v1".as_slice(),
        b"\x50",
        &[1; 16],
        b"\x50",
        &[2; 16],
        b"\x50",
        &[3; 16],
        b"\x01",
    ];
    let context = context.concat();
    let byte_string = |bytes: &[u8]| [byte_string_head(bytes.len()), bytes.to_vec()].concat();
    let aad = [b"\x83\x68Encrypt0".to_vec(), byte_string(protected), byte_string(&context)].concat();
    let nonce = [9; 12];
    let sealed = Aes256Gcm::new(key.key().expose().into())
        .encrypt(&nonce.into(), Payload { msg: plaintext, aad: &aad })
        .expect("short enough");
    [&model[..4 + protected.len()], b"\xa1\x05\x4c", &nonce, &byte_string(&sealed)].concat()
}

/// The head of a byte string.
fn byte_string_head(length: usize) -> Vec<u8> {
    let length = u64::try_from(length).expect("a length");
    let [.., b3, b2, b1, b0] = length.to_be_bytes();
    match length {
        0..24 => vec![0x40 | b0],
        24..0x100 => vec![0x58, b0],
        0x100..0x1_0000 => vec![0x59, b1, b0],
        _ => vec![0x5a, b3, b2, b1, b0],
    }
}

/// No bytes are an object under a key that did not make them.
pub fn sealed_object(data: &[u8]) {
    for kind in ObjectKind::ALL {
        let place = ObjectContext { vault: VAULT, kind, id: ObjectId::from_bytes([4; 16]) };
        open_object(key().key(), place, data).expect_err("a key that did not seal it");
    }
}

/// A head that parses shows its payload, and verifies under no key that did not make it; made again, it is the same but
/// for the tag.
pub fn head(data: &[u8]) {
    let Ok(head) = UnverifiedHead::parse(data) else { return };
    is_deterministic(data);
    head.verify(key().key(), VAULT).expect_err("a key that did not make it");
    let again =
        mac_head(key().key(), VAULT, &head.fingerprint(), head.payload_unverified()).expect("small enough");
    assert_eq!(again[..again.len() - 32], data[..data.len() - 32]);
}

/// A succession record that parses is deterministic, is verified by no key that did not sign it, and made again from what
/// it claims it is the same.
pub fn succession(data: &[u8]) {
    let Ok(record) = UnverifiedSuccession::parse(data) else { return };
    is_deterministic(data);
    record.verify(&EcPoint { x: [0; 32], y: [0; 32] }).expect_err("a key that did not sign it");
    let signature = data[data.len() - 64..].try_into().expect("64 bytes");
    assert_eq!(record.claims_unverified().signed(record.signer(), signature), data);
}
