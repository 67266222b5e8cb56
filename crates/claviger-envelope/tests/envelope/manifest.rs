//! A manifest: envelopes, the keys that open them, and what must come out. The golden files have one, and so has
//! whatever another program writes for us to read (`tests/interop/check.py` describes the form).

use super::software::Kek;
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, DataKeyEnvelope, EnvelopeError, ObjectContext,
    ObjectKind, Succession, UnverifiedHead, UnverifiedSuccession, VaultKeys, open_credential, open_object,
};
use claviger_types::{
    CredentialId, Digest, EcPoint, Entropy, FieldValue, Key256, Link, ObjectId, RecipientId, Scheme,
    ServiceId, SignerId, Value, VaultId, WrappedCek,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Where its files are.
    #[serde(skip)]
    pub(crate) directory: PathBuf,
    pub(crate) comment: String,
    pub(crate) vault: VaultId,
    pub(crate) recipients: Vec<RecipientKey>,
    pub(crate) data_keys: Vec<DataKeyEntry>,
    #[serde(default)]
    pub(crate) credentials: Vec<CredentialEntry>,
    #[serde(default)]
    pub(crate) objects: Vec<ObjectEntry>,
    #[serde(default)]
    pub(crate) heads: Vec<HeadEntry>,
    #[serde(default)]
    pub(crate) successions: Vec<SuccessionEntry>,
}

/// A recipient and its private key, in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientKey {
    pub(crate) recipient: RecipientId,
    pub(crate) scheme: String,
    pub(crate) key: String,
}

impl RecipientKey {
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme.parse().expect("a scheme")
    }

    pub(crate) fn kek(&self) -> Kek {
        Kek::new(self.scheme(), &hex::decode(&self.key).expect("hex"))
    }

    pub(crate) fn wrap(&self, cek: &Key256, context: &[u8], entropy: &dyn Entropy) -> WrappedCek {
        self.kek().wrap(self.recipient, self.scheme(), cek, context, entropy)
    }
}

/// A data-key envelope. Every one of its recipients must open it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataKeyEntry {
    pub(crate) service: ServiceId,
    pub(crate) n: u64,
    pub(crate) alg: String,
    pub(crate) kid: Digest,
    /// The data key itself, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The content-encryption key, where a token unwrapped it and the manifest has no private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cek: Option<String>,
    pub(crate) envelope: Bytes,
}

/// A credential envelope under one of the data keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialEntry {
    pub(crate) service: ServiceId,
    pub(crate) credential: CredentialId,
    pub(crate) n: u64,
    pub(crate) kid: Digest,
    pub(crate) kind: String,
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) envelope: Bytes,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Field {
    /// In hexadecimal.
    Bytes(String),
    /// Verbatim.
    Json(String),
}

/// A sealed object under the metadata key of one of the data keys, which is a vault key then.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectEntry {
    pub(crate) kind: String,
    pub(crate) id: ObjectId,
    pub(crate) vault_key: Digest,
    pub(crate) plaintext: String,
    pub(crate) envelope: Bytes,
}

/// A head under the head key of one of the data keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadEntry {
    pub(crate) fingerprint: Digest,
    pub(crate) payload: String,
    pub(crate) envelope: Bytes,
}

/// A succession record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuccessionEntry {
    pub(crate) signer: SignerId,
    /// The signer's point, uncompressed (SEC 1), and where it is known the private scalar.
    pub(crate) public_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) old: Digest,
    pub(crate) new: Digest,
    pub(crate) epoch: u64,
    pub(crate) head: Digest,
    pub(crate) previous: Option<(ObjectId, Digest)>,
    pub(crate) envelope: Bytes,
}

impl SuccessionEntry {
    pub(crate) fn point(&self) -> EcPoint {
        let bytes = hex::decode(&self.public_key).expect("hex");
        let (x, y) = bytes.strip_prefix(&[4]).expect("an uncompressed point").split_at(32);
        EcPoint { x: x.try_into().expect("32 bytes"), y: y.try_into().expect("32 bytes") }
    }

    pub(crate) fn record(&self, vault: VaultId) -> Succession {
        Succession {
            vault,
            old: self.old,
            new: self.new,
            epoch: self.epoch,
            head: self.head,
            previous: self.previous.map(Link::from),
        }
    }
}

/// Where an envelope's bytes are: in a file beside the manifest, or in the manifest, in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Bytes {
    File(String),
    Hex(String),
}

impl Bytes {
    pub(crate) fn is_file(&self, name: &str) -> bool {
        matches!(self, Self::File(file) if file == name)
    }

    fn read(&self, directory: &Path) -> Vec<u8> {
        match self {
            Self::File(name) => std::fs::read(directory.join(name)).expect("a file of the manifest"),
            Self::Hex(text) => hex::decode(text).expect("hex"),
        }
    }
}

/// One envelope of a manifest.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    DataKey(&'a DataKeyEntry),
    Credential(&'a CredentialEntry),
    Object(&'a ObjectEntry),
    Head(&'a HeadEntry),
    Succession(&'a SuccessionEntry),
}

impl Entry<'_> {
    pub(crate) fn envelope(&self) -> &Bytes {
        match self {
            Self::DataKey(entry) => &entry.envelope,
            Self::Credential(entry) => &entry.envelope,
            Self::Object(entry) => &entry.envelope,
            Self::Head(entry) => &entry.envelope,
            Self::Succession(entry) => &entry.envelope,
        }
    }
}

/// Why an envelope did not open to what the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Our reader refused it.
    Envelope(EnvelopeError),
    /// A recipient's key does not unwrap what is there for it.
    NotUnwrapped,
    /// None of the keys of the manifest is for this envelope.
    NoKey,
    /// It opens, to something else.
    Different,
}

impl From<EnvelopeError> for Failure {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl Failure {
    /// The class that tables of negative vectors name.
    pub(crate) fn class(self) -> String {
        let text = match self {
            Self::Envelope(error) => format!("{error:?}"),
            other => format!("{other:?}"),
        };
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
}

impl Manifest {
    /// The manifest of this directory.
    pub(crate) fn read(directory: PathBuf) -> Self {
        let json = std::fs::read(directory.join("manifest.json")).expect("a manifest");
        Self { directory, ..serde_json::from_slice(&json).expect("of the form of manifests") }
    }

    /// The bytes of an envelope as the manifest has them.
    pub(crate) fn bytes(&self, entry: Entry<'_>) -> Vec<u8> {
        entry.envelope().read(&self.directory)
    }

    pub(crate) fn entries(&self) -> Vec<Entry<'_>> {
        let data_keys = self.data_keys.iter().map(Entry::DataKey);
        let credentials = self.credentials.iter().map(Entry::Credential);
        let objects = self.objects.iter().map(Entry::Object);
        let heads = self.heads.iter().map(Entry::Head);
        let successions = self.successions.iter().map(Entry::Succession);
        data_keys.chain(credentials).chain(objects).chain(heads).chain(successions).collect()
    }

    /// Opens these bytes in the place of an entry, and compares with what the entry says.
    pub(crate) fn open(&self, entry: Entry<'_>, bytes: &[u8]) -> Result<(), Failure> {
        match entry {
            Entry::DataKey(entry) => self.open_data_key(entry, bytes).map(|_| ()),
            Entry::Credential(entry) => self.open_credential(entry, bytes),
            Entry::Object(entry) => self.open_object(entry, bytes),
            Entry::Head(entry) => self.open_head(entry, bytes),
            Entry::Succession(entry) => self.open_succession(entry, bytes),
        }
    }

    /// Every recipient that the manifest has a key for must lead to the same data key.
    fn open_data_key(&self, entry: &DataKeyEntry, bytes: &[u8]) -> Result<DataKey, Failure> {
        let context = DataKeyContext { vault: self.vault, service: entry.service, n: entry.n };
        let envelope = DataKeyEnvelope::parse(bytes)?;
        let mut ceks: Vec<Key256> = entry.cek.iter().map(|cek| key(cek)).collect();
        for wrapped in envelope.recipients() {
            let Some(known) = self.recipients.iter().find(|known| known.recipient == wrapped.recipient)
            else {
                continue;
            };
            let context = envelope.wrap_context(wrapped, context);
            ceks.push(known.kek().unwrap(wrapped, &context).ok_or(Failure::NotUnwrapped)?);
        }
        let mut opened = Err(Failure::NoKey);
        for cek in &ceks {
            let key = envelope.open(cek, context, &entry.kid)?;
            let same = entry.key.as_ref().is_none_or(|expected| *expected == hex::encode(key.key().expose()));
            if !same || key.alg().name() != entry.alg {
                return Err(Failure::Different);
            }
            opened = Ok(key);
        }
        opened
    }

    fn open_credential(&self, entry: &CredentialEntry, bytes: &[u8]) -> Result<(), Failure> {
        let context = CredentialContext {
            vault: self.vault,
            service: entry.service,
            credential: entry.credential,
            n: entry.n,
        };
        let value = open_credential(&self.data_key(entry.kid)?, context, bytes)?;
        same(value.kind.name() == entry.kind && fields(&value) == entry.fields)
    }

    fn open_object(&self, entry: &ObjectEntry, bytes: &[u8]) -> Result<(), Failure> {
        let kind =
            ObjectKind::ALL.into_iter().find(|kind| kind.name() == entry.kind).ok_or(Failure::Different)?;
        let context = ObjectContext { vault: self.vault, kind, id: entry.id };
        let keys = VaultKeys::derive(&self.data_key(entry.vault_key)?)?;
        same(hex::encode(open_object(&keys.metadata, context, bytes)?.expose()) == entry.plaintext)
    }

    fn open_head(&self, entry: &HeadEntry, bytes: &[u8]) -> Result<(), Failure> {
        let head = UnverifiedHead::parse(bytes)?;
        let keys = VaultKeys::derive(&self.data_key(entry.fingerprint)?)?;
        let payload = head.verify(&keys.head, self.vault)?;
        same(head.fingerprint() == entry.fingerprint && hex::encode(payload) == entry.payload)
    }

    fn open_succession(&self, entry: &SuccessionEntry, bytes: &[u8]) -> Result<(), Failure> {
        let record = UnverifiedSuccession::parse(bytes)?;
        if record.signer() != entry.signer {
            return Err(Failure::NoKey);
        }
        same(record.verify(&entry.point())? == entry.record(self.vault))
    }

    /// The data key with this id: as the manifest says, or else by opening its envelope.
    fn data_key(&self, kid: Digest) -> Result<DataKey, Failure> {
        let entry = self.data_keys.iter().find(|entry| entry.kid == kid).ok_or(Failure::NoKey)?;
        let Some(hex) = &entry.key else {
            return self.open_data_key(entry, &self.bytes(Entry::DataKey(entry)));
        };
        let alg = ContentAlg::ALL.into_iter().find(|alg| alg.name() == entry.alg);
        Ok(DataKey::new(alg.ok_or(Failure::Different)?, key(hex))?)
    }
}

fn same(yes: bool) -> Result<(), Failure> {
    if yes { Ok(()) } else { Err(Failure::Different) }
}

fn key(text: &str) -> Key256 {
    Key256::from_slice(&hex::decode(text).expect("hex")).expect("32 bytes")
}

/// The fields of a value as a manifest states them.
pub(crate) fn fields(value: &Value) -> BTreeMap<String, Field> {
    let field = |field: &FieldValue| match field {
        FieldValue::Bytes(bytes) => Field::Bytes(hex::encode(bytes.expose())),
        FieldValue::Json(json) => Field::Json(String::from_utf8(json.expose().to_vec()).unwrap()),
    };
    value.fields.iter().map(|(name, value)| (name.clone(), field(value))).collect()
}
