//! Keys of tokens, in software: one per scheme, so that envelopes can be made and opened without a token.

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead as _, Payload},
};
use aes_kw::{KeyInit as _, KwAes256};
use claviger_types::{EcPoint, Entropy, Key256, RecipientId, Scheme, WrappedCek};
use hkdf::Hkdf;
use p256::{PublicKey, SecretKey, ecdh::diffie_hellman, elliptic_curve::sec1::ToSec1Point as _};
use rsa::{
    PrivateKey,
    pkcs8::DecodePrivateKey as _,
    rand_core::{TryCryptoRng, TryRng},
};
use sha2::Sha256;
use std::convert::Infallible;

/// The private key of a recipient.
pub(crate) enum Kek {
    Aes(Key256),
    P256(SecretKey),
    Rsa(Box<PrivateKey>),
}

impl Kek {
    /// The key in the bytes that a manifest has: 32 for AES, the scalar on P-256, PKCS#8 for RSA.
    pub(crate) fn new(scheme: Scheme, bytes: &[u8]) -> Self {
        match scheme {
            Scheme::A256Kw | Scheme::A256Gcm => Self::Aes(Key256::from_slice(bytes).expect("32 bytes")),
            Scheme::EcdhEsA256Kw => Self::P256(SecretKey::from_slice(bytes).expect("a scalar")),
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                Self::Rsa(Box::new(PrivateKey::from_pkcs8_der(bytes).expect("PKCS#8")))
            }
        }
    }

    /// Wraps a key as a token would.
    pub(crate) fn wrap(
        &self,
        recipient: RecipientId,
        scheme: Scheme,
        cek: &Key256,
        context: &[u8],
        entropy: &dyn Entropy,
    ) -> WrappedCek {
        let mut wrapped = WrappedCek { recipient, scheme, iv: None, ephemeral: None, ciphertext: Vec::new() };
        wrapped.ciphertext = match (self, scheme) {
            (Self::Aes(kek), Scheme::A256Kw) => key_wrap(kek.expose(), cek),
            (Self::Aes(kek), Scheme::A256Gcm) => {
                let mut iv = [0; 12];
                entropy.fill(&mut iv).expect("entropy");
                wrapped.iv = Some(iv);
                let payload = Payload { msg: cek.expose(), aad: context };
                Aes256Gcm::new(kek.expose().into()).encrypt(&iv.into(), payload).expect("short")
            }
            (Self::P256(secret), Scheme::EcdhEsA256Kw) => {
                let scalar = Key256::random(entropy).expect("entropy");
                let ephemeral = SecretKey::from_slice(scalar.expose()).expect("a scalar below the order");
                wrapped.ephemeral = Some(point(&ephemeral.public_key()));
                key_wrap(&agree(&ephemeral, &secret.public_key(), context), cek)
            }
            (Self::Rsa(key), Scheme::RsaOaepSha256) => key
                .as_public_key()
                .oaep_encrypt_with_rng::<Sha256, _>(&mut Rng(entropy), cek.expose())
                .unwrap(),
            (Self::Rsa(key), Scheme::RsaOaepSha1) => key
                .as_public_key()
                .oaep_encrypt_with_rng::<sha1::Sha1, _>(&mut Rng(entropy), cek.expose())
                .unwrap(),
            _ => panic!("a key of another scheme"),
        };
        wrapped
    }

    /// Unwraps a key as a token would; `None` where the token would refuse.
    pub(crate) fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Option<Key256> {
        let ciphertext = &wrapped.ciphertext;
        let cek = match (self, wrapped.scheme) {
            (Self::Aes(kek), Scheme::A256Kw) => key_unwrap(kek.expose(), ciphertext)?,
            (Self::Aes(kek), Scheme::A256Gcm) => {
                let payload = Payload { msg: ciphertext, aad: context };
                Aes256Gcm::new(kek.expose().into()).decrypt(&wrapped.iv?.into(), payload).ok()?
            }
            (Self::P256(secret), Scheme::EcdhEsA256Kw) => {
                let EcPoint { x, y } = wrapped.ephemeral?;
                let sec1 = [&[4], x.as_slice(), y.as_slice()].concat();
                let ephemeral = PublicKey::from_sec1_bytes(&sec1).ok()?;
                key_unwrap(&agree(secret, &ephemeral, context), ciphertext)?
            }
            (Self::Rsa(key), Scheme::RsaOaepSha256) => key.oaep_decrypt::<Sha256>(ciphertext).ok()?,
            (Self::Rsa(key), Scheme::RsaOaepSha1) => key.oaep_decrypt::<sha1::Sha1>(ciphertext).ok()?,
            _ => return None,
        };
        Key256::from_slice(&cek)
    }
}

fn key_wrap(kek: &[u8; 32], cek: &Key256) -> Vec<u8> {
    let mut out = vec![0; 40];
    KwAes256::new(kek.into()).wrap_key(cek.expose(), &mut out).expect("the lengths are right");
    out
}

fn key_unwrap(kek: &[u8; 32], wrapped: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; 32];
    KwAes256::new(kek.into()).unwrap_key(wrapped, &mut out).ok()?;
    Some(out)
}

/// ECDH and HKDF-SHA256 without salt (RFC 9053 section 6.3.1).
fn agree(secret: &SecretKey, public: &PublicKey, context: &[u8]) -> [u8; 32] {
    let shared = diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, shared.raw_secret_bytes()).expand(context, &mut key).expect("32 bytes");
    key
}

fn point(key: &PublicKey) -> EcPoint {
    let point = key.to_sec1_point(false);
    EcPoint { x: (*point.x().unwrap()).into(), y: (*point.y().unwrap()).into() }
}

/// What `rsa` takes its padding from.
struct Rng<'a>(&'a dyn Entropy);

impl TryRng for Rng<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes).expect("entropy");
        Ok(())
    }
}

impl TryCryptoRng for Rng<'_> {}
