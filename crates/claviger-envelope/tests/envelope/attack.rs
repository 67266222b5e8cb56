//! What somebody who can write the store tries, and what a caller may do wrong.

use super::golden;
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, DataKeyEnvelope, DataKeySealer, EnvelopeError,
    MAX_RECIPIENTS, ObjectContext, ObjectKind, UnverifiedHead, VaultKeys, mac_head, name_hmac,
    open_credential, open_object, seal_credential, seal_object,
};
use claviger_types::{
    CredentialId, EcPoint, Entropy, EntropyError, FieldValue, Fields, Key256, Kind, MAX_VALUE_BYTES,
    ObjectId, RecipientId, Scheme, SecretBytes, SeededEntropy, ServiceId, ServiceName, Value, VaultId,
    WrappedCek,
};

const VAULT: VaultId = VaultId::from_bytes([1; 16]);
const SERVICE: ServiceId = ServiceId::from_bytes([2; 16]);
const CREDENTIAL: CredentialId = CredentialId::from_bytes([3; 16]);
const OBJECT: ObjectId = ObjectId::from_bytes([4; 16]);

fn entropy() -> SeededEntropy {
    SeededEntropy::new(7)
}

fn key() -> DataKey {
    DataKey::generate(ContentAlg::A256Gcm, &entropy()).unwrap()
}

fn value(bytes: &[u8]) -> Value {
    Value::single(Kind::ApiKey, SecretBytes::copy_of(bytes))
}

/// A wrapped key of the right shape; what it holds does not matter here.
fn wrapped(recipient: u8, scheme: Scheme) -> WrappedCek {
    WrappedCek {
        recipient: RecipientId::from_bytes([recipient; 16]),
        scheme,
        iv: (scheme == Scheme::A256Gcm).then_some([0; 12]),
        ephemeral: (scheme == Scheme::EcdhEsA256Kw).then_some(EcPoint { x: [1; 32], y: [2; 32] }),
        ciphertext: vec![
            0;
            match scheme {
                Scheme::A256Kw | Scheme::EcdhEsA256Kw => 40,
                Scheme::A256Gcm => 48,
                Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => 256,
            }
        ],
    }
}

#[test]
fn a_data_key_opens_in_its_own_place_only() {
    let key = key();
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    let mut sealer = DataKeySealer::begin(&key, place, &entropy()).unwrap();
    let cek = Key256::from_slice(sealer.cek().expose()).unwrap();
    sealer.add(wrapped(1, Scheme::A256Kw)).unwrap();
    let envelope = DataKeyEnvelope::parse(&sealer.finish().unwrap()).unwrap();
    assert!(envelope.open(&cek, place, &key.kid()).unwrap().key().same_as(key.key()));
    for other in [
        DataKeyContext { vault: VaultId::from_bytes([9; 16]), ..place },
        DataKeyContext { service: ServiceId::VAULT_KEY, ..place },
        DataKeyContext { n: 2, ..place },
    ] {
        assert_eq!(envelope.open(&cek, other, &key.kid()).unwrap_err(), EnvelopeError::Unopened, "{other:?}");
    }
}

#[test]
fn a_credential_opens_in_its_own_place_only() {
    let key = key();
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let sealed = seal_credential(&key, place, &value(b"secret"), &entropy()).unwrap();
    assert!(open_credential(&key, place, &sealed).unwrap().same_as(&value(b"secret")));
    for other in [
        CredentialContext { vault: VaultId::from_bytes([9; 16]), ..place },
        CredentialContext { service: ServiceId::from_bytes([9; 16]), ..place },
        CredentialContext { credential: CredentialId::from_bytes([9; 16]), ..place },
        CredentialContext { n: 2, ..place },
    ] {
        assert_eq!(open_credential(&key, other, &sealed).unwrap_err(), EnvelopeError::Unopened, "{other:?}");
    }
}

#[test]
fn an_object_opens_in_its_own_place_only() {
    let keys = VaultKeys::derive(&key()).unwrap();
    let place = ObjectContext { vault: VAULT, kind: ObjectKind::Policy, id: OBJECT };
    let sealed = seal_object(&keys.metadata, place, b"permit", &entropy()).unwrap();
    assert_eq!(open_object(&keys.metadata, place, &sealed).unwrap().expose(), b"permit");
    for other in [
        ObjectContext { vault: VaultId::from_bytes([9; 16]), ..place },
        ObjectContext { id: ObjectId::from_bytes([9; 16]), ..place },
    ] {
        let refused = open_object(&keys.metadata, other, &sealed).unwrap_err();
        assert_eq!(refused, EnvelopeError::Unopened, "{other:?}");
    }
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != place.kind) {
        let refused = open_object(&keys.metadata, ObjectContext { kind, ..place }, &sealed).unwrap_err();
        assert!(matches!(refused, EnvelopeError::Malformed(_)), "{kind:?}");
    }
    assert_eq!(open_object(&keys.head, place, &sealed).unwrap_err(), EnvelopeError::Unopened);
}

#[test]
fn a_head_verifies_in_its_own_vault_only() {
    let key = key();
    let keys = VaultKeys::derive(&key).unwrap();
    let bytes = mac_head(&keys.head, VAULT, &key.kid(), b"payload").unwrap();
    let head = UnverifiedHead::parse(&bytes).unwrap();
    assert_eq!(head.payload_unverified(), b"payload");
    assert_eq!(head.verify(&keys.head, VAULT).unwrap(), b"payload");
    assert_eq!(head.verify(&keys.head, VaultId::from_bytes([9; 16])), Err(EnvelopeError::Unopened));
    assert_eq!(head.verify(&keys.index, VAULT), Err(EnvelopeError::Unopened));
}

/// Whoever knows a public key can wrap a CEK to it, and put a data key of theirs where ours was.
#[test]
fn a_planted_data_key_is_not_the_one_that_is_expected() {
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    let planted = DataKey::generate(ContentAlg::A256Gcm, &SeededEntropy::new(666)).unwrap();
    let mut sealer = DataKeySealer::begin(&planted, place, &entropy()).unwrap();
    let cek = Key256::from_slice(sealer.cek().expose()).unwrap();
    sealer.add(wrapped(1, Scheme::EcdhEsA256Kw)).unwrap();
    let envelope = DataKeyEnvelope::parse(&sealer.finish().unwrap()).unwrap();
    assert_eq!(envelope.open(&cek, place, &key().kid()).unwrap_err(), EnvelopeError::WrongKey);
}

#[test]
fn a_key_is_for_one_algorithm() {
    let bytes = key().key().expose().to_vec();
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let sealed = seal_credential(&key(), place, &value(b"secret"), &entropy()).unwrap();
    let other = DataKey::new(ContentAlg::ChaCha20Poly1305, Key256::from_slice(&bytes).unwrap()).unwrap();
    assert_eq!(other.kid(), key().kid());
    assert_eq!(open_credential(&other, place, &sealed).unwrap_err(), EnvelopeError::WrongKey);
}

#[test]
fn no_two_envelopes_share_a_nonce_or_a_one_time_key() {
    let (key, entropy) = (key(), entropy());
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let seal = || seal_credential(&key, place, &value(b"secret"), &entropy).unwrap();
    assert_ne!(seal(), seal());
    let keys = VaultKeys::derive(&key).unwrap();
    let object = ObjectContext { vault: VAULT, kind: ObjectKind::Page, id: OBJECT };
    let seal = || seal_object(&keys.metadata, object, b"page", &entropy).unwrap();
    assert_ne!(seal(), seal());
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    let begin = || DataKeySealer::begin(&key, place, &entropy).unwrap();
    assert!(!begin().cek().same_as(begin().cek()));
}

#[test]
fn a_wrapped_key_must_have_the_shape_of_its_scheme() {
    let begin = || {
        let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
        DataKeySealer::begin(&key(), place, &entropy()).unwrap()
    };
    for scheme in Scheme::ALL {
        let good = wrapped(1, scheme);
        let mut sealer = begin();
        sealer.add(good.clone()).unwrap();
        let envelope = DataKeyEnvelope::parse(&sealer.finish().unwrap()).unwrap();
        assert_eq!(envelope.recipients(), std::slice::from_ref(&good));
        let lengths = match scheme {
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => [0, 255, 1025],
            Scheme::A256Gcm => [0, 40, 49],
            _ => [32, 39, 48],
        };
        let unfit = lengths.map(|length| WrappedCek { ciphertext: vec![0; length], ..good.clone() });
        let iv = if good.iv.is_some() { None } else { Some([0; 12]) };
        let point = EcPoint { x: [1; 32], y: [2; 32] };
        let ephemeral = if good.ephemeral.is_some() { None } else { Some(point) };
        let others = [WrappedCek { iv, ..good.clone() }, WrappedCek { ephemeral, ..good.clone() }];
        for wrapped in unfit.into_iter().chain(others) {
            assert_eq!(begin().add(wrapped.clone()), Err(EnvelopeError::UnfitWrappedCek), "{wrapped:?}");
        }
    }
}

#[test]
fn a_data_key_needs_recipients_each_of_them_once_and_not_too_many() {
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    let mut sealer = DataKeySealer::begin(&key(), place, &entropy()).unwrap();
    for recipient in 0..u8::try_from(MAX_RECIPIENTS).unwrap() {
        let mut largest = wrapped(recipient, Scheme::RsaOaepSha256);
        largest.ciphertext.resize(1024, 0);
        sealer.add(largest).unwrap();
        assert_eq!(sealer.add(wrapped(recipient, Scheme::A256Kw)), Err(EnvelopeError::DuplicateRecipient));
    }
    assert_eq!(sealer.add(wrapped(200, Scheme::A256Kw)), Err(EnvelopeError::RecipientCount));
    let envelope = DataKeyEnvelope::parse(&sealer.finish().unwrap()).unwrap();
    assert_eq!(envelope.recipients().len(), MAX_RECIPIENTS);
    let none = DataKeySealer::begin(&key(), place, &entropy()).unwrap().finish();
    assert_eq!(none, Err(EnvelopeError::RecipientCount));
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let largest = value(&vec![0; MAX_VALUE_BYTES]);
    let sealed = seal_credential(&key(), place, &largest, &entropy()).unwrap();
    assert!(open_credential(&key(), place, &sealed).unwrap().same_as(&largest));
    let limit = MAX_VALUE_BYTES;
    let larger = seal_credential(&key(), place, &value(&vec![0; MAX_VALUE_BYTES + 1]), &entropy());
    assert_eq!(larger.unwrap_err(), EnvelopeError::TooLarge { limit });

    let huge = vec![0; 3 << 20];
    let is_too_large = |error| matches!(error, EnvelopeError::TooLarge { .. });
    assert!(is_too_large(open_credential(&key(), place, &huge).unwrap_err()));
    assert!(is_too_large(DataKeyEnvelope::parse(&huge).unwrap_err()));
    assert!(is_too_large(UnverifiedHead::parse(&huge).unwrap_err()));
    assert!(is_too_large(mac_head(key().key(), VAULT, &key().kid(), &huge).unwrap_err()));
    let object = ObjectContext { vault: VAULT, kind: ObjectKind::Page, id: OBJECT };
    assert!(is_too_large(open_object(key().key(), object, &huge).unwrap_err()));
    assert!(is_too_large(seal_object(key().key(), object, &huge, &entropy()).unwrap_err()));
}

/// Short names of empty fields cost the most CBOR heads for each byte that is counted: two for one.
#[test]
fn the_costliest_value_fits_its_envelope() {
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let letters = || (0..=0x7f_u8).map(char::from);
    let names = letters().flat_map(|a| letters().map(move |b| String::from_iter([a, b])));
    let fields: Fields = names.map(|name| (name, FieldValue::Bytes(SecretBytes::default()))).collect();
    let value = Value { kind: Kind::Fields, fields };
    let sealed = seal_credential(&key(), place, &value, &entropy()).unwrap();
    assert!(sealed.len() < 2 * value.size() + 256, "the envelope's bound rests on this");
    assert!(open_credential(&key(), place, &sealed).unwrap().same_as(&value));
}

#[test]
fn a_field_that_claims_to_be_json_is_json() {
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    let seal = |json: &[u8]| {
        let field = FieldValue::Json(SecretBytes::copy_of(json));
        let value = Value { kind: Kind::Fields, fields: Fields::from([("f".to_owned(), field)]) };
        let sealed = seal_credential(&key(), place, &value, &entropy())?;
        assert!(open_credential(&key(), place, &sealed)?.same_as(&value));
        Ok(())
    };
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    for json in ["null", " 1.50 ", "-0", "1e400", r#"{"b":1,"a":[{"b":1}],"b":2}"#, "\"\\ud83d\\ude00\""] {
        assert_eq!(seal(json.as_bytes()), Ok(()), "{json}");
    }
    assert_eq!(seal(&deep), Ok(()), "depth costs no stack");
    for json in ["", " ", "nul", "1 2", "{\"a\":1", "'a'", "01", "\"\u{1}\"", "NaN"] {
        assert_eq!(seal(json.as_bytes()), Err(EnvelopeError::NotJson), "{json}");
    }
    assert_eq!(seal(b"\"\xff\""), Err(EnvelopeError::NotJson));
}

#[test]
fn without_entropy_nothing_is_sealed() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError)
        }
    }
    let dry = EnvelopeError::Entropy(EntropyError);
    let place = CredentialContext { vault: VAULT, service: SERVICE, credential: CREDENTIAL, n: 1 };
    assert_eq!(DataKey::generate(ContentAlg::A256Gcm, &Dry).unwrap_err(), dry);
    assert_eq!(seal_credential(&key(), place, &value(b"secret"), &Dry).unwrap_err(), dry);
    let object = ObjectContext { vault: VAULT, kind: ObjectKind::Page, id: OBJECT };
    assert_eq!(seal_object(key().key(), object, b"page", &Dry).unwrap_err(), dry);
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    assert_eq!(DataKeySealer::begin(&key(), place, &Dry).unwrap_err(), dry);
}

#[test]
fn debug_shows_no_key() {
    let key = key();
    let place = DataKeyContext { vault: VAULT, service: SERVICE, n: 1 };
    let sealer = DataKeySealer::begin(&key, place, &entropy()).unwrap();
    let keys = VaultKeys::derive(&key).unwrap();
    let shown = format!("{key:?} {sealer:?} {keys:?}");
    for secret in [key.key(), sealer.cek(), &keys.head, &keys.index, &keys.metadata] {
        assert!(!shown.contains(&hex::encode(secret.expose())));
        assert!(!shown.contains(&format!("{:?}", secret.expose())[1..24]));
    }
    assert!(shown.contains(&key.kid().to_string()));
}

#[test]
fn a_name_has_another_place_in_every_vault() {
    let keys = VaultKeys::derive(&key()).unwrap();
    let name = ServiceName::new("openai").unwrap();
    assert_eq!(name_hmac(&keys.index, &name), name_hmac(&keys.index, &name));
    assert_ne!(name_hmac(&keys.index, &name), name_hmac(&keys.head, &name));
    assert_ne!(name_hmac(&keys.index, &name), name_hmac(&keys.index, &ServiceName::new("openai/").unwrap()));
}

/// Nothing that the store shows says what a credential is called or holds.
#[test]
fn an_envelope_shows_no_name_and_no_kind() {
    let bytes = std::fs::read(golden::directory().join("credential-oauth2.cbor")).unwrap();
    for word in ["oauth2", "access_token", "expires_at", "EXAMPLE"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}
