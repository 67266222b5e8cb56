//! A token made of memory, for tests and fuzzing of what stands on top of [`Token`]. It protects nothing.

use super::{EntropyRng, ecdh, gcm, keywrap, wrap_to_public_key};
use crate::{KeyDescription, PublicKey, Token, TokenError, Unwrapped};
use claviger_types::{Entropy, Key256, RecipientId, Scheme, WrappedCek};
use p256::elliptic_curve::Generate as _;
use rsa::traits::PublicKeyParts as _;
use sha1::Sha1;
use sha2::Sha256;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

const RSA_BITS: usize = 2048;

enum Secret {
    Symmetric(Key256),
    P256(p256::SecretKey),
    Rsa(Box<rsa::PrivateKey>),
}

/// A KEK in memory, for every scheme. Only with the feature `software-token`; never the home of a real master key.
pub struct SoftwareToken {
    description: KeyDescription,
    secret: Secret,
    entropy: Arc<dyn Entropy>,
}

impl SoftwareToken {
    /// A fresh KEK of this scheme.
    pub fn generate(
        recipient: RecipientId,
        scheme: Scheme,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, TokenError> {
        let secret = match scheme {
            Scheme::A256Kw | Scheme::A256Gcm => Secret::Symmetric(Key256::random(entropy.as_ref())?),
            Scheme::EcdhEsA256Kw => {
                Secret::P256(p256::SecretKey::try_generate_from_rng(&mut EntropyRng(entropy.as_ref()))?)
            }
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                let key = rsa::PrivateKey::new(&mut EntropyRng(entropy.as_ref()), RSA_BITS);
                Secret::Rsa(Box::new(key.map_err(|_| claviger_types::EntropyError)?))
            }
        };
        Self::with_secret(recipient, scheme, secret, entropy)
    }

    /// A KEK of a symmetric scheme whose bytes are known, for comparison with other implementations.
    pub fn with_kek(
        recipient: RecipientId,
        scheme: Scheme,
        kek: Key256,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, TokenError> {
        if !scheme.is_symmetric() {
            return Err(TokenError::PublicKeyUnusable { reason: "it is not of the scheme's kind" });
        }
        Self::with_secret(recipient, scheme, Secret::Symmetric(kek), entropy)
    }

    fn with_secret(
        recipient: RecipientId,
        scheme: Scheme,
        secret: Secret,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, TokenError> {
        let public_key = match &secret {
            Secret::Symmetric(_) => None,
            Secret::P256(key) => Some(PublicKey::P256(ecdh::point_of(&key.public_key())?)),
            Secret::Rsa(key) => Some(PublicKey::Rsa {
                modulus: key.n().to_be_bytes().into_vec(),
                exponent: key.e().to_be_bytes_trimmed_vartime().into_vec(),
            }),
        };
        let description = KeyDescription {
            recipient,
            scheme,
            public_key,
            token_label: "software".to_owned(),
            token_serial: recipient.to_string(),
            key_label: "software".to_owned(),
            profile: String::new(),
        };
        Ok(Self { description, secret, entropy })
    }

    fn open(&self, wrapped: &WrappedCek, context: &[u8]) -> Option<Key256> {
        match (&self.secret, wrapped.scheme) {
            (Secret::Symmetric(kek), Scheme::A256Kw) => keywrap::unwrap(kek, &wrapped.ciphertext),
            (Secret::Symmetric(kek), Scheme::A256Gcm) => {
                gcm::unwrap(kek, wrapped.iv.as_ref()?, &wrapped.ciphertext, context)
            }
            (Secret::P256(key), Scheme::EcdhEsA256Kw) => {
                let ephemeral = ecdh::check_point(wrapped.ephemeral.as_ref()?).ok()?;
                let shared = key.diffie_hellman(&ephemeral);
                let shared = Key256::from_slice(shared.raw_secret_bytes())?;
                ecdh::finish_ecdh(&shared, context, &wrapped.ciphertext).ok()
            }
            (Secret::Rsa(key), scheme) => {
                let rng = &mut EntropyRng(self.entropy.as_ref());
                let plain = match scheme {
                    Scheme::RsaOaepSha1 => key.oaep_decrypt_with_rng::<Sha1, _>(rng, &wrapped.ciphertext),
                    _ => key.oaep_decrypt_with_rng::<Sha256, _>(rng, &wrapped.ciphertext),
                };
                Key256::from_slice(&Zeroizing::new(plain.ok()?))
            }
            _ => None,
        }
    }
}

impl Token for SoftwareToken {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        let KeyDescription { recipient, scheme, public_key, .. } = &self.description;
        let (recipient, scheme, entropy) = (*recipient, *scheme, self.entropy.as_ref());
        if let Some(public_key) = public_key {
            return wrap_to_public_key(recipient, scheme, public_key, cek, context, entropy);
        }
        let Secret::Symmetric(kek) = &self.secret else {
            return Err(TokenError::PublicKeyUnusable { reason: "it is missing" });
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
        self.open(wrapped, context).map(Unwrapped::Key).ok_or(TokenError::CorruptWrappedKey)
    }
}

impl fmt::Debug for SoftwareToken {
    // By hand, because the key beside the description must not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareToken").field("description", &self.description).finish_non_exhaustive()
    }
}
