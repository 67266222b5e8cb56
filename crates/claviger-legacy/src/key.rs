//! Keys as people really stored them: urlsafe or standard base64, with white space or quotes around, sometimes encoded
//! twice.

use crate::LegacyError;
use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use claviger_types::{Key256, SecretBytes};

/// A Fernet key: sixteen bytes to sign, sixteen to encrypt.
#[derive(Debug)]
pub struct LegacyKey(Key256);

/// As lenient as Python was, which reads over the bits that a last character has too many.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Far more than a doubly encoded key has.
const MAX_TEXT: usize = 4096;

impl LegacyKey {
    /// Reads a key from its text.
    pub fn parse(text: &SecretBytes) -> Result<Self, LegacyError> {
        if text.len() > MAX_TEXT {
            return Err(LegacyError::Key("it is far too long"));
        }
        let once = decode(trim(text.expose()))
            .ok_or(LegacyError::Key("it is not base64 (44 characters, as APEX_AGENT_MASTER_KEY held it)"))?;
        let key = Key256::from_slice(once.expose()).or_else(|| {
            let twice = decode(trim(once.expose()))?;
            Key256::from_slice(twice.expose())
        });
        key.map(Self).ok_or(LegacyError::Key("it does not hold 32 bytes"))
    }

    /// The half that signs.
    pub(crate) fn signing(&self) -> &[u8] {
        self.0.expose().split_at(16).0
    }

    /// The half that encrypts.
    pub(crate) fn encryption(&self) -> &[u8] {
        self.0.expose().split_at(16).1
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    for quote in [b"\"", b"'"] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            text = inner.trim_ascii();
        }
    }
    text
}

fn decode(text: &[u8]) -> Option<SecretBytes> {
    [URL_SAFE, STANDARD]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text).ok())
        .map(SecretBytes::new)
}
