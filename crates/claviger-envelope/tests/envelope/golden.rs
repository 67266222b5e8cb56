//! Our own files of format 1: made again byte by byte, and read for ever. `CLAVIGER_BLESS=1` writes them; that is for
//! files that are new, never for files that a release has written.

use super::manifest::{
    Bytes, CredentialEntry, DataKeyEntry, HeadEntry, Manifest, ObjectEntry, RecipientKey, SuccessionEntry,
    fields,
};
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, DataKeySealer, ObjectContext, ObjectKind,
    VaultKeys, mac_head, seal_credential, seal_object,
};
use claviger_types::{
    CredentialId, Digest, FieldValue, Fields, Key256, Kind, ObjectId, RecipientId, Scheme, SecretBytes,
    SeededEntropy, ServiceId, SignerId, Value, VaultId,
};
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/golden/format-1")
}

pub(crate) fn manifest() -> Manifest {
    Manifest::read(directory())
}

#[test]
fn every_golden_file_opens_to_what_its_manifest_says() {
    let manifest = manifest();
    let entries = manifest.entries();
    assert_eq!(entries.len(), 19);
    for entry in entries {
        assert_eq!(manifest.open(entry, &manifest.bytes(entry)), Ok(()), "{:?}", entry.envelope());
    }
}

#[test]
fn golden_files_are_made_again_byte_by_byte() {
    let files = Maker::new().make();
    for (name, bytes) in &files {
        let path = directory().join(name);
        if std::env::var_os("CLAVIGER_BLESS").is_some() {
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == *bytes, "{name}");
    }
    assert_eq!(files.len(), std::fs::read_dir(directory()).unwrap().count(), "a file that nothing makes");
}

struct Maker {
    entropy: SeededEntropy,
    files: BTreeMap<String, Vec<u8>>,
    manifest: Manifest,
}

impl Maker {
    fn new() -> Self {
        let entropy = SeededEntropy::new(1);
        let manifest = Manifest {
            directory: directory(),
            comment: "Format 1, made with seeded entropy. Test keys only.".to_owned(),
            vault: VaultId::random(&entropy).unwrap(),
            recipients: Vec::new(),
            data_keys: Vec::new(),
            credentials: Vec::new(),
            objects: Vec::new(),
            heads: Vec::new(),
            successions: Vec::new(),
        };
        Self { entropy, files: BTreeMap::new(), manifest }
    }

    fn make(mut self) -> BTreeMap<String, Vec<u8>> {
        for scheme in Scheme::ALL {
            self.recipient(scheme);
        }
        let gcm = self.service_key(ContentAlg::A256Gcm, "dek-a256kw", &[Scheme::A256Kw]);
        self.service_key(ContentAlg::A256Gcm, "dek-a256gcm", &[Scheme::A256Gcm]);
        self.service_key(ContentAlg::A256Gcm, "dek-ecdh", &[Scheme::EcdhEsA256Kw]);
        self.service_key(ContentAlg::A256Gcm, "dek-oaep-sha256", &[Scheme::RsaOaepSha256]);
        self.service_key(ContentAlg::A256Gcm, "dek-oaep-sha1", &[Scheme::RsaOaepSha1]);
        let chacha =
            self.service_key(ContentAlg::ChaCha20Poly1305, "dek-chacha20-ecdh", &[Scheme::EcdhEsA256Kw]);
        let several = [Scheme::A256Kw, Scheme::EcdhEsA256Kw, Scheme::RsaOaepSha256];
        self.service_key(ContentAlg::A256Gcm, "dek-three-recipients", &several);
        let vault_key = DataKey::generate(ContentAlg::A256Gcm, &self.entropy).unwrap();
        self.data_key(
            "vault-key",
            &vault_key,
            ServiceId::VAULT_KEY,
            1,
            &[Scheme::A256Kw, Scheme::EcdhEsA256Kw],
        );

        let api_key = Value::single(Kind::ApiKey, SecretBytes::copy_of(b"sk-EXAMPLE"));
        self.credential("credential-api-key", &gcm, &api_key);
        self.credential("credential-chacha20", &chacha, &api_key);
        let any_bytes = (0..=255).collect::<Vec<u8>>();
        self.credential("credential-file", &gcm, &Value::single(Kind::File, SecretBytes::new(any_bytes)));
        self.credential("credential-oauth2", &gcm, &oauth2());
        self.credential("credential-empty", &gcm, &Value { kind: Kind::Fields, fields: Fields::new() });

        let keys = VaultKeys::derive(&vault_key).unwrap();
        self.object("object-service", &vault_key, &keys.metadata, ObjectKind::Service, b"a service object");
        self.object("object-audit-key", &vault_key, &keys.metadata, ObjectKind::AuditKey, b"");
        let payload = b"what a head says".as_slice();
        let head = mac_head(&keys.head, self.manifest.vault, &vault_key.kid(), payload).unwrap();
        let envelope = self.file("head", head.clone());
        self.manifest.heads.push(HeadEntry {
            fingerprint: vault_key.kid(),
            payload: hex::encode(payload),
            envelope,
        });
        let empty = mac_head(&keys.head, self.manifest.vault, &vault_key.kid(), b"").unwrap();
        let envelope = self.file("head-empty", empty);
        self.manifest.heads.push(HeadEntry {
            fingerprint: vault_key.kid(),
            payload: String::new(),
            envelope,
        });

        let first = self.succession("succession-first", &vault_key, None);
        self.succession("succession", &vault_key, Some(first));

        let mut json = serde_json::to_vec_pretty(&self.manifest).unwrap();
        json.push(b'\n');
        self.files.insert("manifest.json".to_owned(), json);
        self.files
    }

    fn recipient(&mut self, scheme: Scheme) {
        let key = match scheme {
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/rsa-2048.pk8")).unwrap()
            }
            _ => Key256::random(&self.entropy).unwrap().expose().to_vec(),
        };
        self.manifest.recipients.push(RecipientKey {
            recipient: RecipientId::random(&self.entropy).unwrap(),
            scheme: scheme.name().to_owned(),
            key: hex::encode(key),
        });
    }

    fn service_key(&mut self, alg: ContentAlg, name: &str, schemes: &[Scheme]) -> (DataKey, ServiceId) {
        let key = DataKey::generate(alg, &self.entropy).unwrap();
        let service = ServiceId::random(&self.entropy).unwrap();
        self.data_key(name, &key, service, 24, schemes);
        (key, service)
    }

    fn data_key(&mut self, name: &str, key: &DataKey, service: ServiceId, n: u64, schemes: &[Scheme]) {
        let context = DataKeyContext { vault: self.manifest.vault, service, n };
        let mut sealer = DataKeySealer::begin(key, context, &self.entropy).unwrap();
        for &scheme in schemes {
            let known = self.manifest.recipients.iter().find(|known| known.scheme() == scheme).unwrap();
            let wrapped =
                known.wrap(sealer.cek(), &sealer.wrap_context(known.recipient, scheme), &self.entropy);
            sealer.add(wrapped).unwrap();
        }
        let envelope = self.file(name, sealer.finish().unwrap());
        self.manifest.data_keys.push(DataKeyEntry {
            service,
            n,
            alg: key.alg().name().to_owned(),
            kid: key.kid(),
            key: Some(hex::encode(key.key().expose())),
            cek: None,
            envelope,
        });
    }

    fn credential(&mut self, name: &str, (key, service): &(DataKey, ServiceId), value: &Value) {
        let credential = CredentialId::random(&self.entropy).unwrap();
        let context = CredentialContext { vault: self.manifest.vault, service: *service, credential, n: 7 };
        let envelope = self.file(name, seal_credential(key, context, value, &self.entropy).unwrap());
        self.manifest.credentials.push(CredentialEntry {
            service: *service,
            credential,
            n: 7,
            kid: key.kid(),
            kind: value.kind.name().to_owned(),
            fields: fields(value),
            envelope,
        });
    }

    fn object(
        &mut self,
        name: &str,
        vault_key: &DataKey,
        metadata_key: &Key256,
        kind: ObjectKind,
        plain: &[u8],
    ) {
        let id = ObjectId::random(&self.entropy).unwrap();
        let context = ObjectContext { vault: self.manifest.vault, kind, id };
        let envelope = self.file(name, seal_object(metadata_key, context, plain, &self.entropy).unwrap());
        self.manifest.objects.push(ObjectEntry {
            kind: kind.name().to_owned(),
            id,
            vault_key: vault_key.kid(),
            plaintext: hex::encode(plain),
            envelope,
        });
    }

    /// The record that the vault key took the place of another; the link to it.
    fn succession(
        &mut self,
        name: &str,
        vault_key: &DataKey,
        previous: Option<(ObjectId, Digest)>,
    ) -> (ObjectId, Digest) {
        let key = Key256::random(&self.entropy).unwrap();
        let signing = SigningKey::from_slice(key.expose()).unwrap();
        let mut entry = SuccessionEntry {
            signer: SignerId::random(&self.entropy).unwrap(),
            public_key: hex::encode(signing.verifying_key().to_sec1_point(false).as_bytes()),
            key: Some(hex::encode(key.expose())),
            old: DataKey::generate(ContentAlg::A256Gcm, &self.entropy).unwrap().kid(),
            new: vault_key.kid(),
            epoch: 300,
            head: Digest::of(name.as_bytes()),
            previous,
            envelope: Bytes::Hex(String::new()),
        };
        let record = entry.record(self.manifest.vault);
        // The signature is the same each time (RFC 6979).
        let signature: Signature =
            signing.sign_prehash(record.to_be_signed(entry.signer).as_bytes()).unwrap();
        let bytes = record.signed(entry.signer, &signature.to_bytes().into());
        let link = (ObjectId::random(&self.entropy).unwrap(), Digest::of(&bytes));
        entry.envelope = self.file(name, bytes);
        self.manifest.successions.push(entry);
        link
    }

    fn file(&mut self, name: &str, bytes: Vec<u8>) -> Bytes {
        let name = format!("{name}.cbor");
        self.files.insert(name.clone(), bytes);
        Bytes::File(name)
    }
}

/// What JSON must survive: numbers that no float holds, nesting, order of keys, text outside ASCII.
fn oauth2() -> Value {
    let json = |text: &str| FieldValue::Json(SecretBytes::copy_of(text.as_bytes()));
    Value {
        kind: Kind::Oauth2,
        fields: Fields::from([
            ("access_token".to_owned(), FieldValue::Bytes(SecretBytes::copy_of(b"at-EXAMPLE"))),
            ("refresh_token".to_owned(), FieldValue::Bytes(SecretBytes::copy_of("rt-\u{e9}".as_bytes()))),
            ("expires_at".to_owned(), json("1700000000.5")),
            ("big".to_owned(), json("12345678901234567890")),
            ("extra".to_owned(), json(r#"{"z": [1, null, true], "a": {"\u00fc": "ü"}}"#)),
        ]),
    }
}
