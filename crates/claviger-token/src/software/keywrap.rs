//! AES-256 key wrap (RFC 3394) of exactly one 256-bit key.
//!
//! The `aes-kw` crate takes every multiple of eight bytes, down to an empty key. Here the sizes are fixed: 32 bytes in, 40 out.

use super::KW_BYTES;
use aes_kw::{KeyInit as _, KwAes256};
use claviger_types::Key256;

/// The wrapped key, [`KW_BYTES`] long; `None` never happens for these fixed sizes.
pub(super) fn wrap(kek: &Key256, key: &Key256) -> Option<Vec<u8>> {
    let mut wrapped = vec![0; KW_BYTES];
    KwAes256::new(kek.expose().into()).wrap_key(key.expose(), &mut wrapped).ok()?;
    Some(wrapped)
}

/// The key; `None` when the wrapped key is not [`KW_BYTES`] long or its integrity check fails.
pub(super) fn unwrap(kek: &Key256, wrapped: &[u8]) -> Option<Key256> {
    if wrapped.len() != KW_BYTES {
        return None;
    }
    let cipher = KwAes256::new(kek.expose().into());
    Key256::build(|key| cipher.unwrap_key(wrapped, key).map(|_| ())).ok()
}
