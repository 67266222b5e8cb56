//! `coset`, a COSE library that is not ours, reads what we write, and we read what it writes.

use super::{golden, manifest::Entry};
use ::coset::{
    AsCborValue as _, CborSerializable as _, CoseEncrypt, CoseEncrypt0, CoseEncrypt0Builder,
    CoseEncryptBuilder, CoseKey, CoseKeyBuilder, CoseMac0, CoseMac0Builder, CoseRecipientBuilder, CoseSign1,
    CoseSign1Builder, HeaderBuilder, Label, TaggedCborSerializable as _, cbor::value::Value as Cbor, iana,
};
use aes_gcm::{
    Aes256Gcm,
    aead::{Aead as _, KeyInit as _, Payload},
};
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, DataKeyEnvelope, Succession, UnverifiedHead,
    UnverifiedSuccession, VaultKeys, open_credential,
};
use claviger_types::{
    CredentialId, Digest, EcPoint, Key256, RecipientId, Scheme, SeededEntropy, ServiceId, SignerId, VaultId,
};
use hmac::{Hmac, Mac as _};
use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer, Verifier as _},
};
use sha2::Sha256;

const FORMAT: i64 = -65537;

fn gcm_open(key: &[u8], iv: &[u8], ciphertext: &[u8], aad: &[u8]) -> Result<Vec<u8>, aes_gcm::Error> {
    let iv: [u8; 12] = iv.try_into().unwrap();
    Aes256Gcm::new_from_slice(key).unwrap().decrypt(&iv.into(), Payload { msg: ciphertext, aad })
}

fn gcm_seal(key: &[u8], iv: [u8; 12], plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
    Aes256Gcm::new_from_slice(key).unwrap().encrypt(&iv.into(), Payload { msg: plaintext, aad }).unwrap()
}

fn external_aad(parts: &[Cbor]) -> Vec<u8> {
    Cbor::Array(parts.to_vec()).to_vec().unwrap()
}

#[test]
fn coset_reads_our_data_keys() {
    let manifest = golden::manifest();
    let mut read = 0;
    for entry in manifest.data_keys.iter().filter(|entry| entry.alg == ContentAlg::A256Gcm.name()) {
        let bytes = manifest.bytes(Entry::DataKey(entry));
        let message = CoseEncrypt::from_tagged_slice(&bytes).unwrap();
        assert_eq!(message.protected.header.key_id, entry.kid.as_bytes());
        let aad = external_aad(&[
            "claviger/dek/v1".into(),
            manifest.vault.as_bytes().as_slice().into(),
            entry.service.as_bytes().as_slice().into(),
            entry.n.into(),
        ]);
        // The CEK comes from our own software keys; what is asked here is whether the message is COSE.
        let context = DataKeyContext { vault: manifest.vault, service: entry.service, n: entry.n };
        let ours = DataKeyEnvelope::parse(&bytes).unwrap();
        for wrapped in ours.recipients() {
            let known =
                manifest.recipients.iter().find(|known| known.recipient == wrapped.recipient).unwrap();
            let cek = known.kek().unwrap(wrapped, &ours.wrap_context(wrapped, context)).unwrap();
            let plaintext = message
                .decrypt_ciphertext(
                    &aad,
                    || "no ciphertext",
                    |ciphertext, aad| {
                        gcm_open(cek.expose(), &message.unprotected.iv, ciphertext, aad)
                            .map_err(|_| "refused")
                    },
                )
                .unwrap();
            let key = CoseKey::from_slice(&plaintext).unwrap();
            assert_eq!(key.key_id, entry.kid.as_bytes());
            let secret = &key.params.iter().find(|(label, _)| *label == Label::Int(-1)).unwrap().1;
            assert_eq!(hex::encode(secret.as_bytes().unwrap()), *entry.key.as_ref().unwrap());
            read += 1;
        }
    }
    assert_eq!(read, 10);
}

#[test]
fn coset_reads_our_credentials_heads_and_successions() {
    let manifest = golden::manifest();
    let secret = |kid: Digest| {
        let entry = manifest.data_keys.iter().find(|entry| entry.kid == kid).unwrap();
        (hex::decode(entry.key.as_ref().unwrap()).unwrap(), entry.alg == ContentAlg::A256Gcm.name())
    };
    let mut read = 0;
    for entry in manifest.entries() {
        let bytes = manifest.bytes(entry);
        match entry {
            Entry::Credential(entry) if secret(entry.kid).1 => {
                let message = CoseEncrypt0::from_tagged_slice(&bytes).unwrap();
                let aad = external_aad(&[
                    "claviger/cred/v1".into(),
                    manifest.vault.as_bytes().as_slice().into(),
                    entry.service.as_bytes().as_slice().into(),
                    entry.credential.as_bytes().as_slice().into(),
                    entry.n.into(),
                ]);
                let plaintext = message
                    .decrypt_ciphertext(
                        &aad,
                        || "no ciphertext",
                        |ciphertext, aad| {
                            gcm_open(&secret(entry.kid).0, &message.unprotected.iv, ciphertext, aad)
                                .map_err(|_| "refused")
                        },
                    )
                    .unwrap();
                let map = Cbor::from_slice(&plaintext).unwrap();
                assert_eq!(map.as_map().unwrap()[0].1.as_text(), Some(entry.kind.as_str()));
                read += 1;
            }
            Entry::Head(entry) => {
                let message = CoseMac0::from_tagged_slice(&bytes).unwrap();
                let vault_key = Key256::from_slice(&secret(entry.fingerprint).0).unwrap();
                let keys = VaultKeys::derive(&DataKey::new(ContentAlg::A256Gcm, vault_key).unwrap()).unwrap();
                let aad =
                    external_aad(&["claviger/head/v1".into(), manifest.vault.as_bytes().as_slice().into()]);
                let verify = |tag: &[u8], data: &[u8]| hmac(&keys.head, data).verify_slice(tag);
                message.verify_payload_tag(&aad, || panic!("no payload"), verify).unwrap();
                assert_eq!(hex::encode(message.payload.unwrap()), entry.payload);
                read += 1;
            }
            Entry::Succession(entry) => {
                let message = CoseSign1::from_tagged_slice(&bytes).unwrap();
                assert_eq!(message.protected.header.key_id, entry.signer.as_bytes());
                let aad = external_aad(&[
                    "claviger/succession/v1".into(),
                    manifest.vault.as_bytes().as_slice().into(),
                ]);
                let public = hex::decode(&entry.public_key).unwrap();
                let public = VerifyingKey::from_sec1_bytes(&public).unwrap();
                let verify = |signature: &[u8], data: &[u8]| {
                    public.verify(data, &Signature::from_slice(signature).unwrap())
                };
                message.verify_signature(&aad, verify).unwrap();
                message.verify_signature(b"", verify).unwrap_err();
                let map = Cbor::from_slice(&message.payload.unwrap()).unwrap();
                let map = map.as_map().unwrap();
                assert_eq!(map[2].1.as_bytes().unwrap(), entry.new.as_bytes());
                assert_eq!(map[5].1.is_null(), entry.previous.is_none());
                read += 1;
            }
            _ => {}
        }
    }
    assert_eq!(read, 8);
}

fn hmac(key: &Key256, data: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose()).unwrap();
    mac.update(data);
    mac
}

#[test]
fn we_read_what_coset_writes() {
    let entropy = SeededEntropy::new(3);
    let kek = super::software::Kek::Aes(Key256::random(&entropy).unwrap());
    let (cek, secret) = (Key256::random(&entropy).unwrap(), Key256::random(&entropy).unwrap());
    let (vault, service) = (VaultId::from_bytes([1; 16]), ServiceId::from_bytes([2; 16]));
    let credential = CredentialId::from_bytes([3; 16]);
    let recipient = RecipientId::from_bytes([4; 16]);
    let data_key = DataKey::new(ContentAlg::A256Gcm, Key256::from_slice(secret.expose()).unwrap()).unwrap();
    let kid = data_key.kid();

    let mut key = CoseKeyBuilder::new_symmetric_key(secret.expose().to_vec())
        .algorithm(iana::Algorithm::A256GCM)
        .key_id(kid.as_bytes().to_vec())
        .build()
        .to_cbor_value()
        .unwrap();
    // `coset` writes a key's labels in the order of RFC 8152; ours is the deterministic one.
    key.as_map_mut().unwrap().sort_by_key(|(label, _)| label.clone().to_vec().unwrap());
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::A256GCM)
        .content_format(iana::CoapContentFormat::CoseKey)
        .key_id(kid.as_bytes().to_vec())
        .value(16, "application/vnd.claviger.dek+cose".into())
        .value(FORMAT, 1.into())
        .build();
    let wrapped = kek.wrap(recipient, Scheme::A256Kw, &cek, &[], &entropy);
    let to =
        HeaderBuilder::new().algorithm(iana::Algorithm::A256KW).key_id(recipient.as_bytes().to_vec()).build();
    let aad = external_aad(&[
        "claviger/dek/v1".into(),
        vault.as_bytes().as_slice().into(),
        service.as_bytes().as_slice().into(),
        5.into(),
    ]);
    let bytes = CoseEncryptBuilder::new()
        .protected(protected)
        .unprotected(HeaderBuilder::new().iv(vec![6; 12]).build())
        .create_ciphertext(&key.to_vec().unwrap(), &aad, |plain, aad| {
            gcm_seal(cek.expose(), [6; 12], plain, aad)
        })
        .add_recipient(CoseRecipientBuilder::new().unprotected(to).ciphertext(wrapped.ciphertext).build())
        .build()
        .to_tagged_vec()
        .unwrap();
    let envelope = DataKeyEnvelope::parse(&bytes).unwrap();
    let unwrapped = kek.unwrap(&envelope.recipients()[0], &[]).unwrap();
    let context = DataKeyContext { vault, service, n: 5 };
    assert!(envelope.open(&unwrapped, context, &kid).unwrap().key().same_as(&secret));

    let header = |alg, typ: &str| {
        HeaderBuilder::new()
            .algorithm(alg)
            .key_id(kid.as_bytes().to_vec())
            .value(16, typ.into())
            .value(FORMAT, 1.into())
            .build()
    };
    let plaintext = b"\xa2\x01\x67api-key\x02\xa1\x65value\x43abc";
    let aad = external_aad(&[
        "claviger/cred/v1".into(),
        vault.as_bytes().as_slice().into(),
        service.as_bytes().as_slice().into(),
        credential.as_bytes().as_slice().into(),
        5.into(),
    ]);
    let bytes = CoseEncrypt0Builder::new()
        .protected(header(iana::Algorithm::A256GCM, "application/vnd.claviger.credential+cose"))
        .unprotected(HeaderBuilder::new().iv(vec![7; 12]).build())
        .create_ciphertext(plaintext, &aad, |plain, aad| gcm_seal(secret.expose(), [7; 12], plain, aad))
        .build()
        .to_tagged_vec()
        .unwrap();
    let value =
        open_credential(&data_key, CredentialContext { vault, service, credential, n: 5 }, &bytes).unwrap();
    assert_eq!(value.fields["value"].stored().expose(), b"abc");

    let keys = VaultKeys::derive(&data_key).unwrap();
    let aad = external_aad(&["claviger/head/v1".into(), vault.as_bytes().as_slice().into()]);
    let bytes = CoseMac0Builder::new()
        .protected(header(iana::Algorithm::HMAC_256_256, "application/vnd.claviger.head+cose"))
        .payload(b"payload".to_vec())
        .create_tag(&aad, |data| hmac(&keys.head, data).finalize().into_bytes().to_vec())
        .build()
        .to_tagged_vec()
        .unwrap();
    assert_eq!(UnverifiedHead::parse(&bytes).unwrap().verify(&keys.head, vault).unwrap(), b"payload");
}

#[test]
fn we_read_a_succession_that_coset_writes() {
    let signing = SigningKey::from_slice(&[8; 32]).unwrap();
    let (vault, signer) = (VaultId::from_bytes([1; 16]), SignerId::from_bytes([2; 16]));
    let digests = [Digest::of(b"old"), Digest::of(b"new"), Digest::of(b"head")];
    let [old, new, head] = digests.map(|digest| Cbor::from(digest.as_bytes().as_slice()));
    let payload = Cbor::Map(vec![
        (0.into(), vault.as_bytes().as_slice().into()),
        (1.into(), old),
        (2.into(), new),
        (3.into(), 70_000.into()),
        (4.into(), head),
        (5.into(), Cbor::Null),
    ]);
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES256)
        .key_id(signer.as_bytes().to_vec())
        .value(16, "application/vnd.claviger.succession+cose".into())
        .value(FORMAT, 1.into())
        .build();
    let aad = external_aad(&["claviger/succession/v1".into(), vault.as_bytes().as_slice().into()]);
    let sign = |data: &[u8]| -> Vec<u8> { Signer::<Signature>::sign(&signing, data).to_bytes().to_vec() };
    let bytes = CoseSign1Builder::new()
        .protected(protected)
        .payload(payload.to_vec().unwrap())
        .create_signature(&aad, sign)
        .build()
        .to_tagged_vec()
        .unwrap();
    let record = UnverifiedSuccession::parse(&bytes).unwrap();
    assert_eq!(record.signer(), signer);
    let point = signing.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let point = EcPoint { x: x.try_into().unwrap(), y: y.try_into().unwrap() };
    let [old, new, head] = digests;
    let expected = Succession { vault, old, new, epoch: 70_000, head, previous: None };
    assert_eq!(record.verify(&point).unwrap(), expected);
}
