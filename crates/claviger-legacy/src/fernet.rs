//! Fernet (github.com/fernet/spec): version 0x80, time, IV, AES-128-CBC with PKCS#7 padding, HMAC-SHA256 over all before
//! it; the whole in urlsafe base64.

use crate::{LegacyError, LegacyKey};
use aes::Aes128;
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use claviger_types::SecretBytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

const VERSION: u8 = 0x80;
/// Version, time and IV.
const HEADER: usize = 1 + 8 + 16;
const TAG: usize = 32;
const BLOCK: usize = 16;

/// Opens a token. The age that it carries means nothing for a file.
pub(crate) fn open(text: &[u8], key: &LegacyKey) -> Result<SecretBytes, LegacyError> {
    let token = ENGINE.decode(text.trim_ascii()).map_err(|_| {
        LegacyError::Damaged("it is not the base64 text that the old manager wrote, or was cut short")
    })?;
    if token.first() != Some(&VERSION) {
        return Err(LegacyError::Damaged("it does not begin as a Fernet token does"));
    }
    let cut_short = LegacyError::Damaged("it was cut short");
    let Some(signed_length) = token.len().checked_sub(TAG).filter(|length| *length >= HEADER + BLOCK) else {
        return Err(cut_short);
    };
    let (signed, tag) = token.split_at(signed_length);
    let (header, ciphertext) = signed.split_at(HEADER);
    if !ciphertext.len().is_multiple_of(BLOCK) {
        return Err(cut_short);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key.signing()).map_err(|_| LegacyError::Unopened)?;
    mac.update(signed);
    mac.verify_slice(tag).map_err(|_| LegacyError::Unopened)?;

    let iv = header.split_at(1 + 8).1;
    let cipher =
        cbc::Decryptor::<Aes128>::new_from_slices(key.encryption(), iv).map_err(|_| LegacyError::Unopened)?;
    let mut plain = ciphertext.to_vec();
    let length = cipher.decrypt_padded::<Pkcs7>(&mut plain).map(<[u8]>::len);
    let mut plain = SecretBytes::new(plain);
    let length = length.map_err(|_| LegacyError::Unopened)?;
    plain.truncate(length);
    Ok(plain)
}
