//! What was found out about a module at enrolment, so that later calls need not find it out again: which templates it
//! takes, and a wrapped key by which a bad blob is told from a sick token.
//!
//! The text form is for this driver alone: `1 key=VALUE ...`. A text that cannot be read is no error; the module is probed
//! once more.

use super::template::{ImportAs, PointAs, UnwrapAs};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use claviger_types::{EcPoint, Entropy, EntropyError, Key256, RecipientId, Scheme, WrappedCek};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

const VERSION: &str = "1";

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Profile {
    pub(super) unwrap: UnwrapAs,
    pub(super) import: ImportAs,
    pub(super) point: PointAs,
    pub(super) test: Option<TestBlob>,
}

/// A wrapped key whose plaintext nobody has, and a salted hash of that plaintext.
///
/// With a known plaintext, whoever writes the store could pass the blob off as a wrapped key of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestBlob {
    iv: Option<[u8; 12]>,
    ephemeral: Option<EcPoint>,
    ciphertext: Vec<u8>,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl TestBlob {
    /// What binds the test blob where a scheme binds a context.
    pub(super) const CONTEXT: &'static [u8] = b"claviger/token/test-blob";

    /// The blob for this wrapped key; the caller throws the key away.
    pub(super) fn new(
        wrapped: WrappedCek,
        key: &Key256,
        entropy: &dyn Entropy,
    ) -> Result<Self, EntropyError> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt)?;
        let hash = salted(&salt, key);
        let WrappedCek { iv, ephemeral, ciphertext, .. } = wrapped;
        Ok(Self { iv, ephemeral, ciphertext, salt, hash })
    }

    pub(super) fn wrapped(&self, recipient: RecipientId, scheme: Scheme) -> WrappedCek {
        let Self { iv, ephemeral, ciphertext, .. } = self.clone();
        WrappedCek { recipient, scheme, iv, ephemeral, ciphertext }
    }

    pub(super) fn is_of(&self, key: &Key256) -> bool {
        self.hash.ct_eq(&salted(&self.salt, key)).into()
    }
}

fn salted(salt: &[u8; 16], key: &Key256) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(key.expose()).finalize().into()
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unwrap, import, point, test } = self;
        write!(f, "{VERSION} unwrap={} import={} point={}", unwrap.name(), import.name(), point.name())?;
        let Some(test) = test else { return Ok(()) };
        if let Some(iv) = &test.iv {
            write!(f, " iv={}", BASE64.encode(iv))?;
        }
        if let Some(EcPoint { x, y }) = &test.ephemeral {
            write!(f, " x={} y={}", BASE64.encode(x), BASE64.encode(y))?;
        }
        write!(f, " test={}", BASE64.encode(&test.ciphertext))?;
        write!(f, " salt={} hash={}", BASE64.encode(test.salt), BASE64.encode(test.hash))
    }
}

impl Profile {
    /// The profile in this text, if it is one.
    pub(super) fn parse(profile: &str) -> Option<Self> {
        let mut words = profile.split(' ');
        if words.next() != Some(VERSION) {
            return None;
        }
        let words: Vec<(&str, &str)> = words.map(|word| word.split_once('=')).collect::<Option<_>>()?;
        let value = |key| words.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        let test = match value("test") {
            None => None,
            Some(test) => Some(TestBlob {
                iv: optional(value("iv"))?,
                ephemeral: match (optional(value("x"))?, optional(value("y"))?) {
                    (Some(x), Some(y)) => Some(EcPoint { x, y }),
                    (None, None) => None,
                    _ => return None,
                },
                ciphertext: BASE64.decode(test).ok()?,
                salt: fixed(value("salt")?)?,
                hash: fixed(value("hash")?)?,
            }),
        };
        Some(Self {
            unwrap: UnwrapAs::named(value("unwrap")?)?,
            import: ImportAs::named(value("import")?)?,
            point: PointAs::named(value("point")?)?,
            test,
        })
    }
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[expect(clippy::option_option, reason = "absent, unreadable and present are three things here")]
fn optional<const N: usize>(text: Option<&str>) -> Option<Option<[u8; N]>> {
    text.map_or(Some(None), |text| fixed(text).map(Some))
}

#[cfg(test)]
mod tests;
