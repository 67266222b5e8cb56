//! What holds for all bytes and all values.

use super::{golden, manifest::Entry};
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyEnvelope, ObjectContext, ObjectKind, UnverifiedHead,
    codec, open_credential, open_object, seal_credential,
};
use claviger_types::{
    CredentialId, FieldValue, Fields, Kind, ObjectId, Scheme, SecretBytes, SeededEntropy, ServiceId, Value,
    VaultId,
};
use proptest::{collection, prelude::*};

const PLACE: CredentialContext = CredentialContext {
    vault: VaultId::from_bytes([1; 16]),
    service: ServiceId::from_bytes([2; 16]),
    credential: CredentialId::from_bytes([3; 16]),
    n: u64::MAX,
};

/// Whatever a single recipient opens, it opens to the truth or not at all; and every bit of every file counts.
#[test]
fn no_flipped_bit_goes_unseen() {
    let manifest = golden::manifest();
    let mut flips = 0;
    for entry in manifest.entries() {
        let bytes = manifest.bytes(entry);
        let mut bits = 8;
        if let Entry::DataKey(_) = entry {
            let recipients = DataKeyEnvelope::parse(&bytes).unwrap().recipients().to_vec();
            match recipients.as_slice() {
                // Only the algorithm differs from the other OAEP file.
                [only] if only.scheme == Scheme::RsaOaepSha1 => continue,
                // Private keys are slow: one bit of every byte will do.
                [only] if !only.scheme.is_symmetric() => bits = 1,
                [_] => {}
                // A changed recipient stops nobody else: COSE does not authenticate the list, the object's hash does.
                _ => continue,
            }
        }
        for index in 0..bytes.len() {
            for bit in 0..bits {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << ((index + bit) % 8);
                let outcome = manifest.open(entry, &changed);
                assert!(outcome.is_err(), "byte {index}, bit {bit} of {:?}", entry.envelope());
                flips += 1;
            }
        }
    }
    assert!(flips > 14_000);
}

fn any_field() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        collection::vec(any::<u8>(), 0..300).prop_map(|bytes| FieldValue::Bytes(SecretBytes::new(bytes))),
        prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            collection::vec(any::<bool>(), 0..40).prop_map(|list| serde_json::to_string(&list).unwrap()),
        ]
        .prop_map(|json| FieldValue::Json(SecretBytes::new(json.into_bytes()))),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let fields = collection::vec((any::<String>(), any_field()), 0..40);
    (0..Kind::ALL.len(), fields).prop_map(|(kind, fields)| Value {
        kind: Kind::ALL[kind],
        fields: fields.into_iter().collect::<Fields>(),
    })
}

proptest! {
    #[test]
    fn a_value_comes_out_as_it_went_in(value in any_value(), chacha: bool, seed: u64) {
        let entropy = SeededEntropy::new(seed);
        let key = DataKey::generate(ContentAlg::ALL[usize::from(chacha)], &entropy).unwrap();
        let sealed = seal_credential(&key, PLACE, &value, &entropy).unwrap();
        prop_assert!(open_credential(&key, PLACE, &sealed).unwrap().same_as(&value));
    }

    #[test]
    fn no_bytes_make_a_reader_panic_or_believe(bytes in collection::vec(any::<u8>(), 0..400)) {
        let key = DataKey::generate(ContentAlg::A256Gcm, &SeededEntropy::new(1)).unwrap();
        let object = ObjectContext { vault: PLACE.vault, kind: ObjectKind::Page, id: ObjectId::from_bytes([4; 16]) };
        prop_assert!(DataKeyEnvelope::parse(&bytes).is_err());
        prop_assert!(open_credential(&key, PLACE, &bytes).is_err());
        prop_assert!(open_object(key.key(), object, &bytes).is_err());
        prop_assert!(UnverifiedHead::parse(&bytes).is_err());
        // A value of its own may well be deterministic; then it is written back the same.
        if let Ok(value) = codec::from_slice::<codec::Value>(&bytes) {
            prop_assert_eq!(codec::to_vec(&value).unwrap(), bytes);
        }
    }
}
