//! A token made of memory, for tests and fuzzing of what stands on top of [`Token`]. It protects nothing.

use super::{EntropyRng, ecdh, gcm, keywrap, wrap_to_public_key};
use crate::{KeyDescription, NewKey, PublicKey, Token, TokenError, Unwrapped};
use claviger_types::{Entropy, Key256, RecipientId, Scheme, WrappedCek};
use p256::elliptic_curve::Generate as _;
use rsa::traits::PublicKeyParts as _;
use sha1::Sha1;
use sha2::Sha256;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

const RSA_BITS: usize = 2048;

enum Secret {
    Symmetric(Key256),
    P256(p256::SecretKey),
    Rsa(Box<rsa::PrivateKey>),
}

impl Secret {
    fn generate(scheme: Scheme, entropy: &dyn Entropy) -> Result<Self, TokenError> {
        Ok(match scheme {
            Scheme::A256Kw | Scheme::A256Gcm => Self::Symmetric(Key256::random(entropy)?),
            Scheme::EcdhEsA256Kw => {
                Self::P256(p256::SecretKey::try_generate_from_rng(&mut EntropyRng(entropy))?)
            }
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                let key = rsa::PrivateKey::new(&mut EntropyRng(entropy), RSA_BITS);
                Self::Rsa(Box::new(key.map_err(|_| claviger_types::EntropyError)?))
            }
        })
    }

    fn open(&self, wrapped: &WrappedCek, context: &[u8], entropy: &dyn Entropy) -> Option<Key256> {
        match (self, wrapped.scheme) {
            (Self::Symmetric(kek), Scheme::A256Kw) => keywrap::unwrap(kek, &wrapped.ciphertext),
            (Self::Symmetric(kek), Scheme::A256Gcm) => {
                gcm::unwrap(kek, wrapped.iv.as_ref()?, &wrapped.ciphertext, context)
            }
            (Self::P256(key), Scheme::EcdhEsA256Kw) => {
                let ephemeral = ecdh::check_point(wrapped.ephemeral.as_ref()?).ok()?;
                let shared = key.diffie_hellman(&ephemeral);
                let shared = Key256::from_slice(shared.raw_secret_bytes())?;
                ecdh::finish_ecdh(&shared, context, &wrapped.ciphertext).ok()
            }
            (Self::Rsa(key), scheme) => {
                let rng = &mut EntropyRng(entropy);
                let plain = match scheme {
                    Scheme::RsaOaepSha1 => key.oaep_decrypt_with_rng::<Sha1, _>(rng, &wrapped.ciphertext),
                    _ => key.oaep_decrypt_with_rng::<Sha256, _>(rng, &wrapped.ciphertext),
                };
                Key256::from_slice(&Zeroizing::new(plain.ok()?))
            }
            _ => None,
        }
    }

    fn public_key(&self) -> Result<Option<PublicKey>, TokenError> {
        Ok(match self {
            Self::Symmetric(_) => None,
            Self::P256(key) => Some(PublicKey::P256(ecdh::point_of(&key.public_key())?)),
            Self::Rsa(key) => Some(PublicKey::Rsa {
                modulus: key.n().to_be_bytes().into_vec(),
                exponent: key.e().to_be_bytes_trimmed_vartime().into_vec(),
            }),
        })
    }
}

/// What the keys of one token have in common: they find each other here.
struct Drawer {
    serial: String,
    keys: Mutex<BTreeMap<RecipientId, (KeyDescription, Arc<Secret>)>>,
}

impl Drawer {
    /// A token of its own, whose serial number is its first key's.
    fn new(first: RecipientId) -> Arc<Self> {
        Arc::new(Self { serial: first.to_string(), keys: Mutex::default() })
    }

    /// Puts a key in.
    fn with(
        self: Arc<Self>,
        recipient: RecipientId,
        scheme: Scheme,
        secret: Secret,
        entropy: Arc<dyn Entropy>,
    ) -> Result<SoftwareToken, TokenError> {
        let description = KeyDescription {
            recipient,
            scheme,
            public_key: secret.public_key()?,
            token_label: "software".to_owned(),
            token_serial: self.serial.clone(),
            key_label: "software".to_owned(),
            profile: String::new(),
        };
        match self.keys().entry(recipient) {
            Entry::Vacant(place) => place.insert((description.clone(), Arc::new(secret))),
            Entry::Occupied(_) => {
                return Err(TokenError::Refused { finding: "it has a key of this recipient".to_owned() });
            }
        };
        Ok(SoftwareToken { description, drawer: self, entropy })
    }

    fn find(
        &self,
        recipient: RecipientId,
        scheme: Scheme,
    ) -> Result<(KeyDescription, Arc<Secret>), TokenError> {
        let keys = self.keys();
        let key = keys.get(&recipient).filter(|(description, _)| description.scheme == scheme);
        key.cloned().ok_or_else(|| TokenError::KeyMissing { key: recipient.to_string() })
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<RecipientId, (KeyDescription, Arc<Secret>)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A KEK in memory, for every scheme. Only with the feature `software-token`; never the home of a real master key.
pub struct SoftwareToken {
    description: KeyDescription,
    drawer: Arc<Drawer>,
    entropy: Arc<dyn Entropy>,
}

impl SoftwareToken {
    /// A fresh KEK of this scheme, on a token of its own.
    pub fn generate(
        recipient: RecipientId,
        scheme: Scheme,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, TokenError> {
        let secret = Secret::generate(scheme, entropy.as_ref())?;
        Drawer::new(recipient).with(recipient, scheme, secret, entropy)
    }

    /// A fresh KEK on the same token, which must not have one of this recipient; [`Token::sibling`] finds it.
    pub fn generate_beside(&self, recipient: RecipientId, scheme: Scheme) -> Result<Self, TokenError> {
        let secret = Secret::generate(scheme, self.entropy.as_ref())?;
        Arc::clone(&self.drawer).with(recipient, scheme, secret, Arc::clone(&self.entropy))
    }

    /// Destroys this key or another on the same token: `true`, it was there; `false`, it was absent already. From then on
    /// all its operations answer [`TokenError::KeyMissing`].
    pub fn destroy(&self, recipient: RecipientId) -> bool {
        self.drawer.keys().remove(&recipient).is_some()
    }

    /// A KEK of a symmetric scheme whose bytes are known, for comparison with other implementations.
    pub fn with_kek(
        recipient: RecipientId,
        scheme: Scheme,
        kek: Key256,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, TokenError> {
        if !scheme.is_symmetric() {
            return Err(TokenError::PublicKeyUnusable { reason: "it is not of the scheme's kind".into() });
        }
        Drawer::new(recipient).with(recipient, scheme, Secret::Symmetric(kek), entropy)
    }

    fn secret(&self) -> Result<Arc<Secret>, TokenError> {
        self.drawer.find(self.description.recipient, self.description.scheme).map(|(_, secret)| secret)
    }
}

impl Token for SoftwareToken {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        let KeyDescription { recipient, scheme, public_key, .. } = &self.description;
        let (recipient, scheme, entropy) = (*recipient, *scheme, self.entropy.as_ref());
        // Also before wrapping to a public key, which would not need it: a key that is gone must not get more work.
        let secret = self.secret()?;
        if let Some(public_key) = public_key {
            return wrap_to_public_key(recipient, scheme, public_key, cek, context, entropy);
        }
        let Secret::Symmetric(kek) = secret.as_ref() else {
            return Err(TokenError::PublicKeyUnusable { reason: "it is missing".into() });
        };
        let mut iv = None;
        let ciphertext = if scheme == Scheme::A256Gcm {
            let mut fresh = [0; 12];
            entropy.fill(&mut fresh)?;
            gcm::wrap(kek, iv.insert(fresh), cek, context)
        } else {
            keywrap::wrap(kek, cek)
        };
        let ciphertext = ciphertext.ok_or(TokenError::CorruptWrappedKey)?;
        Ok(WrappedCek { recipient, scheme, iv, ephemeral: None, ciphertext })
    }

    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError> {
        if (wrapped.recipient, wrapped.scheme) != (self.description.recipient, self.description.scheme) {
            return Ok(Unwrapped::NotMine);
        }
        let key = self.secret()?.open(wrapped, context, self.entropy.as_ref());
        key.map(Unwrapped::Key).ok_or(TokenError::CorruptWrappedKey)
    }

    fn sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<Arc<dyn Token>, TokenError> {
        let (description, _) = self.drawer.find(recipient, scheme)?;
        let (drawer, entropy) = (Arc::clone(&self.drawer), Arc::clone(&self.entropy));
        Ok(Arc::new(Self { description, drawer, entropy }))
    }

    fn generate_sibling(&self, new: &NewKey) -> Result<Arc<dyn Token>, TokenError> {
        Ok(Arc::new(self.generate_beside(new.recipient, new.scheme)?))
    }

    fn destroy_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        Ok(self.drawer.find(recipient, scheme).is_ok() && self.destroy(recipient))
    }
}

impl fmt::Debug for SoftwareToken {
    // By hand, because the key beside the description must not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareToken").field("description", &self.description).finish_non_exhaustive()
    }
}
