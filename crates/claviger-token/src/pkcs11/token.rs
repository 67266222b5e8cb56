//! [`Pkcs11Token`]: one KEK behind one module, as the vault sees it.

use super::{
    fault::{Failure, Fault},
    operation::Operation,
    pool::Pool,
    profile::{Profile, TestBlob},
    self_test::self_test,
};
use crate::{
    AnchorSlot, Kek, KeyDescription, NewKey, SelfTestReport, Token, TokenError, Unwrapped, software,
};
use claviger_types::{Entropy, Key256, RecipientId, Scheme, WrappedCek};
use cryptoki::error::RvError;
use std::sync::Arc;

/// How often a blob and the test blob are tried in turn, where other threads' losses come between.
const JUDGE_ROUNDS: usize = 4;

/// One KEK on one PKCS#11 token.
#[derive(Debug)]
pub(super) struct Pkcs11Token {
    pub(super) pool: Pool,
    pub(super) description: KeyDescription,
    pub(super) profile: Profile,
    pub(super) entropy: SharedEntropy,
}

/// Randomness that a derived Debug may pass over.
#[derive(Clone)]
pub(super) struct SharedEntropy(pub(super) Arc<dyn Entropy>);

impl std::fmt::Debug for SharedEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

impl Token for Pkcs11Token {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        Ok(self.pool.retried(|| self.wrap_with(&self.profile, cek, context))?)
    }

    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError> {
        if (wrapped.recipient, wrapped.scheme) != (self.description.recipient, self.description.scheme) {
            return Ok(Unwrapped::NotMine);
        }
        if !self.is_well_formed(wrapped) {
            return Err(TokenError::CorruptWrappedKey);
        }
        match self.unwrap_with(&self.profile, wrapped, context) {
            Ok(key) => Ok(Unwrapped::Key(key)),
            Err(Failure::Call(fault)) if !fault.may_be_bad_blob() => Err(fault.into()),
            Err(Failure::Token(error)) => Err(error),
            Err(failure) => self.judge(wrapped, context, failure),
        }
    }

    fn sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<Arc<dyn Token>, TokenError> {
        Ok(Arc::new(self.sibling_key(recipient, scheme)?))
    }

    fn generate_sibling(&self, new: &NewKey) -> Result<Arc<dyn Token>, TokenError> {
        Ok(Arc::new(self.make_sibling(new)?))
    }

    fn destroy_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        self.end_sibling(recipient, scheme)
    }
}

impl Kek for Pkcs11Token {
    fn self_test(&self) -> Result<SelfTestReport, TokenError> {
        self_test(self)
    }

    fn anchors(&self) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        Ok(Arc::new(self.anchor_slot()?))
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        self.destroy()
    }
}

impl Pkcs11Token {
    /// Wraps with the templates of this profile.
    pub(super) fn wrap_with(
        &self,
        profile: &Profile,
        cek: &Key256,
        context: &[u8],
    ) -> Result<WrappedCek, Failure> {
        let KeyDescription { recipient, scheme, public_key, .. } = &self.description;
        let entropy = self.entropy.0.as_ref();
        let (iv, ciphertext) = match scheme {
            Scheme::A256Kw => (None, self.run(profile, |operation| operation.wrap_by_key_wrap(cek))?),
            Scheme::A256Gcm => {
                let mut iv = [0; 12];
                entropy.fill(&mut iv).map_err(|error| Failure::Token(error.into()))?;
                let (iv, ciphertext) =
                    self.run(profile, |operation| operation.encrypt_by_gcm(iv, cek, context))?;
                (Some(iv), ciphertext)
            }
            Scheme::EcdhEsA256Kw | Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
                let missing = TokenError::PublicKeyUnusable { reason: "the token does not show it".into() };
                let public_key = public_key.as_ref().ok_or(Failure::Token(missing))?;
                return software::wrap_to_public_key(*recipient, *scheme, public_key, cek, context, entropy)
                    .map_err(Failure::Token);
            }
        };
        Ok(WrappedCek { recipient: *recipient, scheme: *scheme, iv, ephemeral: None, ciphertext })
    }

    /// Unwraps with the templates of this profile.
    pub(super) fn unwrap_with(
        &self,
        profile: &Profile,
        wrapped: &WrappedCek,
        context: &[u8],
    ) -> Result<Key256, Failure> {
        let bytes = wrapped.ciphertext.as_slice();
        match (wrapped.scheme, wrapped.iv, &wrapped.ephemeral) {
            (Scheme::A256Kw, ..) => self.run(profile, |operation| operation.unwrap_by_key_wrap(bytes)),
            (Scheme::A256Gcm, Some(iv), _) => {
                self.run(profile, |operation| operation.decrypt_by_gcm(iv, bytes, context))
            }
            (Scheme::EcdhEsA256Kw, _, Some(ephemeral)) => {
                let shared = self.run(profile, |operation| operation.derive(ephemeral))?;
                software::finish_ecdh(&shared, context, bytes).map_err(|_| Failure::Unverified)
            }
            (scheme @ (Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1), ..) => {
                self.run(profile, |operation| operation.decrypt_by_oaep(scheme, bytes))
            }
            _ => Err(Failure::Unverified),
        }
    }

    /// Runs one operation on a session of its own.
    fn run<T>(
        &self,
        profile: &Profile,
        operation: impl Fn(&Operation<'_>) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        self.pool.run(|session, key| {
            Ok(operation(&Operation { module: self.pool.module(), session, key: key?, profile })?)
        })
    }

    /// Whether it has the parts and sizes of its scheme. What has not is never shown to the token.
    fn is_well_formed(&self, wrapped: &WrappedCek) -> bool {
        let length = wrapped.ciphertext.len();
        match wrapped.scheme {
            Scheme::A256Kw => length == software::KW_BYTES,
            Scheme::A256Gcm => length == software::GCM_BYTES && wrapped.iv.is_some(),
            // A point off the curve would leak the private key bit by bit from a module that does not check.
            Scheme::EcdhEsA256Kw => {
                length == software::KW_BYTES
                    && wrapped.ephemeral.as_ref().is_some_and(|point| software::check_point(point).is_ok())
            }
            Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => match &self.description.public_key {
                Some(crate::PublicKey::Rsa { modulus, .. }) => length == modulus.len(),
                _ => true,
            },
        }
    }

    /// An unwrap failed in a way that a bad blob and a sick token have in common. The test blob tells them apart: the blob is
    /// bad if it fails between two openings of the test blob. If the test blob does not open, everything is set up anew
    /// once, because the failure may have been a loss that the module could not name.
    fn judge(
        &self,
        wrapped: &WrappedCek,
        context: &[u8],
        mut seen: Failure,
    ) -> Result<Unwrapped, TokenError> {
        let Some(test) = &self.profile.test else { return Err(TokenError::CorruptWrappedKey) };
        let (mut set_up_anew, mut revived) = (false, false);
        for _ in 0..JUDGE_ROUNDS {
            let version = self.pool.version();
            if self.opens(test) {
                match self.unwrap_with(&self.profile, wrapped, context) {
                    Ok(key) => return Ok(Unwrapped::Key(key)),
                    Err(Failure::Token(error)) => return Err(error),
                    Err(again) => seen = again,
                }
                if self.opens(test) && self.pool.version() == version {
                    return Err(TokenError::CorruptWrappedKey);
                }
            } else if set_up_anew {
                if revived || !self.pool.revive()? {
                    break;
                }
                revived = true;
            } else {
                self.pool.rebuild(self.pool.version(), None)?;
                set_up_anew = true;
            }
        }
        Err(match seen {
            // The calls went well, what they gave did not verify, and the same holds for the test blob.
            Failure::Unverified => Fault { function: "C_DeriveKey", rv: RvError::FunctionFailed }.into(),
            seen => seen.into(),
        })
    }

    fn opens(&self, test: &TestBlob) -> bool {
        let KeyDescription { recipient, scheme, .. } = self.description;
        self.unwrap_with(&self.profile, &test.wrapped(recipient, scheme), TestBlob::CONTEXT)
            .is_ok_and(|key| test.is_of(&key))
    }
}
