//! Data keys and vaults that an attacker makes with nothing but the public key of the victim's token.

use crate::{bytes, tools::payload, victim::Victim};
use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut as _, KeyInit as _},
};
use claviger_envelope::codec::{self, Value};
use claviger_envelope::{ContentAlg, DataKey, DataKeyContext, DataKeyEnvelope, DataKeySealer};
use claviger_token::{KeyDescription, PublicKey, Token, TokenError, Unwrapped, software::wrap_to_public_key};
use claviger_types::{
    Digest, EcPoint, Key256, OsEntropy, RecipientId, Scheme, ServiceId, VaultId, WrappedCek,
};
use std::{process::Command, sync::Mutex};

/// The one scheme with a public key that these attacks use.
pub(crate) const SCHEME: Scheme = Scheme::EcdhEsA256Kw;

/// What anybody can find out about the victim: from the store, and from the token without its PIN.
pub(crate) struct Known {
    pub(crate) vault: VaultId,
    pub(crate) fingerprint: Digest,
    pub(crate) recipient: RecipientId,
    pub(crate) public_key: PublicKey,
}

impl Known {
    pub(crate) fn of(victim: &Victim) -> Self {
        let head = victim.store.head();
        let mut said = bytes::read(payload(&head));
        let (vault_key, _) = crate::tools::roots(&head);
        let envelope = DataKeyEnvelope::parse(&victim.store.get(vault_key)).unwrap();
        Self {
            vault: VaultId::try_from(bytes::held(bytes::field(&mut said, 1))).unwrap(),
            fingerprint: envelope.kid(),
            recipient: envelope.recipients()[0].recipient,
            public_key: public_key(victim),
        }
    }

    /// An envelope that the victim's token opens, holding a key of the attacker's; and the key by which it is sealed.
    pub(crate) fn envelope(&self, key: &DataKey, service: ServiceId, n: u64) -> (Vec<u8>, [u8; 32]) {
        let context = DataKeyContext { vault: self.vault, service, n };
        let mut sealer = DataKeySealer::begin(key, context, &OsEntropy).unwrap();
        let binding = sealer.wrap_context(self.recipient, SCHEME);
        sealer.add(self.wrap(sealer.cek(), &binding).unwrap()).unwrap();
        let cek = *sealer.cek().expose();
        (sealer.finish().unwrap(), cek)
    }

    /// The same, but the envelope says from within and without that the key is the one with another id.
    pub(crate) fn envelope_as(&self, kid: &Digest, key: &DataKey, service: ServiceId, n: u64) -> Vec<u8> {
        let (honest, cek) = self.envelope(key, service, n);
        let place = Value::Array(vec![
            Value::Text("claviger/dek/v1".into()),
            bytes::bytes(self.vault.as_bytes()),
            bytes::bytes(service.as_bytes()),
            Value::Integer(n.into()),
        ]);
        reseal(&honest, &cek, &bytes::write(&place), kid, key)
    }

    fn wrap(&self, cek: &Key256, binding: &[u8]) -> Result<WrappedCek, TokenError> {
        wrap_to_public_key(self.recipient, SCHEME, &self.public_key, cek, binding, &OsEntropy)
    }
}

/// The public half of the victim's key, as every user of the machine can read it from the token.
fn public_key(victim: &Victim) -> PublicKey {
    let token = victim.world.token();
    let mut tool = Command::new("pkcs11-tool");
    tool.arg("--module").arg(token.module()).args(["--list-objects", "--type", "pubkey"]).envs(token.env());
    let output = tool.output().unwrap_or_else(|error| panic!("{error}: apt-get install -y opensc"));
    let shown = String::from_utf8(output.stdout).unwrap();
    // The token's signer is on the same curve.
    let master = shown.split("Public Key Object").find(|key| {
        key.lines()
            .any(|line| line.trim().strip_prefix("label:").is_some_and(|label| !label.contains("sign")))
    });
    let point = master.unwrap().lines().find_map(|line| line.trim().strip_prefix("EC_POINT:")).unwrap();
    let point = point.trim().strip_prefix("044104").unwrap();
    let half = |digits: &str| *digits.parse::<Digest>().unwrap().as_bytes();
    PublicKey::P256(EcPoint { x: half(&point[..64]), y: half(&point[64..]) })
}

/// Seals an envelope's content anew, by the layout in docs/format.md: another kid in the header and in the key.
fn reseal(envelope: &[u8], cek: &[u8; 32], place: &[u8], kid: &Digest, key: &DataKey) -> Vec<u8> {
    const PROTECTED: std::ops::Range<usize> = 5..88;
    const IV: std::ops::Range<usize> = 91..103;
    const SEALED: std::ops::Range<usize> = 105..196;
    let mut forged = envelope.to_vec();
    let at = forged.windows(32).position(|part| part == key.kid().as_bytes()).unwrap();
    forged[at..at + 32].copy_from_slice(kid.as_bytes());

    let cose_key = [
        (1, Value::Integer(4)),
        (2, bytes::bytes(kid.as_bytes())),
        (3, Value::Integer(ContentAlg::A256Gcm.cose_alg().into())),
        (-1, bytes::bytes(key.key().expose())),
    ];
    let cose_key = Value::Map(cose_key.map(|(label, value)| (Value::Integer(label), value)).into());
    let mut content = codec::to_vec(&cose_key).unwrap();
    let associated = Value::Array(vec![
        Value::Text("Encrypt".into()),
        bytes::bytes(&forged[PROTECTED]),
        bytes::bytes(place),
    ]);
    let iv: [u8; 12] = forged[IV].try_into().unwrap();
    let cipher = Aes256Gcm::new(cek.into());
    let tag = cipher
        .encrypt_inout_detached((&iv).into(), &bytes::write(&associated), content.as_mut_slice().into())
        .unwrap();
    content.extend_from_slice(&tag);
    forged[SEALED].copy_from_slice(&content);
    forged
}

/// The victim's token as the attacker can play it: it wraps to the public key, and unwraps what it wrapped itself.
pub(crate) struct Impostor {
    known: Known,
    description: KeyDescription,
    wrapped: Mutex<Vec<(Vec<u8>, [u8; 32])>>,
}

impl Impostor {
    pub(crate) fn of(victim: &Victim) -> Self {
        let known = Known::of(victim);
        let description = KeyDescription {
            recipient: known.recipient,
            scheme: SCHEME,
            public_key: None, // So that the vault asks this token to wrap.
            token_label: "lab".into(),
            token_serial: String::new(),
            key_label: String::new(),
            profile: String::new(),
        };
        Self { known, description, wrapped: Mutex::default() }
    }
}

impl Token for Impostor {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        let wrapped = self.known.wrap(cek, context)?;
        self.wrapped.lock().unwrap().push((wrapped.ciphertext.clone(), *cek.expose()));
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &WrappedCek, _: &[u8]) -> Result<Unwrapped, TokenError> {
        let known = self.wrapped.lock().unwrap();
        let cek = known.iter().find(|(ciphertext, _)| *ciphertext == wrapped.ciphertext);
        Ok(Unwrapped::Key(Key256::from_slice(&cek.unwrap().1).unwrap()))
    }
}
