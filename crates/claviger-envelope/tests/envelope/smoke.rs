use aes_kw::{KeyInit as _, KwAes256};
use claviger_envelope::*;
use claviger_types::*;

#[test]
fn round_trip() {
    let entropy = SeededEntropy::new(1);
    for alg in ContentAlg::ALL {
        let kek = Key256::random(&entropy).unwrap();
        let (vault, service) = (VaultId::random(&entropy).unwrap(), ServiceId::random(&entropy).unwrap());
        let recipient = RecipientId::random(&entropy).unwrap();
        let dek = DataKey::generate(alg, &entropy).unwrap();
        let context = DataKeyContext { vault, service, n: 3 };
        let mut sealer = DataKeySealer::begin(&dek, context, &entropy).unwrap();
        let mut ciphertext = vec![0; 40];
        KwAes256::new(kek.expose().into()).wrap_key(sealer.cek().expose(), &mut ciphertext).unwrap();
        sealer
            .add(WrappedCek { recipient, scheme: Scheme::A256Kw, iv: None, ephemeral: None, ciphertext })
            .unwrap();
        let cek = Key256::from_slice(sealer.cek().expose()).unwrap();
        let bytes = sealer.finish().unwrap();
        let envelope = DataKeyEnvelope::parse(&bytes).unwrap();
        let opened = envelope.open(&cek, context, &dek.kid()).unwrap();
        assert!(opened.key().same_as(dek.key()));

        let credential = CredentialId::random(&entropy).unwrap();
        let place = CredentialContext { vault, service, credential, n: 1 };
        let value = Value::single(Kind::ApiKey, SecretBytes::copy_of(b"hunter2"));
        let sealed = seal_credential(&dek, place, &value, &entropy).unwrap();
        assert!(open_credential(&opened, place, &sealed).unwrap().same_as(&value));

        let keys = VaultKeys::derive(&dek).unwrap();
        let place = ObjectContext { vault, kind: ObjectKind::Service, id: ObjectId::random(&entropy).unwrap() };
        let sealed = seal_object(&keys.metadata, place, b"page", &entropy).unwrap();
        assert_eq!(open_object(&keys.metadata, place, &sealed).unwrap().expose(), b"page");

        let head = mac_head(&keys.head, vault, &dek.kid(), b"payload").unwrap();
        let parsed = UnverifiedHead::parse(&head).unwrap();
        assert_eq!(parsed.fingerprint(), dek.kid());
        assert_eq!(parsed.verify(&keys.head, vault).unwrap(), b"payload");
        assert!(parsed.verify(&keys.index, vault).is_err());
    }
}
