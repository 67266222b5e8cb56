//! AES-256-GCM as key encryption, for [`super::SoftwareToken`] alone: on a real token the cipher is the token's.
#![cfg(any(test, feature = "software-token"))]

use super::GCM_BYTES;
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _, aead::inout::InOutBuf};
use claviger_types::Key256;

pub(super) fn wrap(kek: &Key256, iv: &[u8; 12], cek: &Key256, context: &[u8]) -> Option<Vec<u8>> {
    let mut wrapped = vec![0; GCM_BYTES];
    let (body, tag) = wrapped.split_at_mut_checked(32)?;
    let buffer = InOutBuf::new(cek.expose().as_slice(), body).ok()?;
    let made = Aes256Gcm::new(kek.expose().into()).encrypt_inout_detached(iv.into(), context, buffer).ok()?;
    tag.copy_from_slice(&made);
    Some(wrapped)
}

pub(super) fn unwrap(kek: &Key256, iv: &[u8; 12], wrapped: &[u8], context: &[u8]) -> Option<Key256> {
    let (body, tag) = wrapped.split_at_checked(32)?;
    let tag: &[u8; 16] = tag.try_into().ok()?;
    let cipher = Aes256Gcm::new(kek.expose().into());
    Key256::build(|key| {
        let buffer = InOutBuf::new(body, key.as_mut_slice()).map_err(|_| ())?;
        cipher.decrypt_inout_detached(iv.into(), context, buffer, tag.into()).map_err(|_| ())
    })
    .ok()
}
