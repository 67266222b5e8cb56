//! What `COSE_Encrypt`, `COSE_Encrypt0` and `COSE_recipient` have in common: headers and a ciphertext (RFC 9052 section 5).

use super::{Context, EncStructure, Headers, label};
use crate::{
    EnvelopeError,
    cipher::{Cipher, Nonce, TAG_BYTES},
    codec::{Encode, Reader, Writer},
};
use claviger_types::SecretBytes;
use zeroize::Zeroize;

/// Headers and ciphertext of one layer, as they were received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) headers: Headers<'a>,
    pub(crate) ciphertext: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, EnvelopeError> {
        Ok(Self { headers: Headers::read(reader)?, ciphertext: reader.bytes()? })
    }

    /// The nonce, which must stand in the unprotected bucket.
    pub(crate) fn iv(&self) -> Result<Nonce, EnvelopeError> {
        let iv = self.headers.unprotected.bytes(label::IV);
        iv.and_then(|iv| iv.try_into().ok()).ok_or(EnvelopeError::Malformed("no IV of 12 bytes, unprotected"))
    }

    /// Opens the ciphertext under the bytes of the protected header as they were received.
    pub(super) fn open(
        &self,
        cipher: &Cipher,
        context: Context,
        external_aad: &[u8],
    ) -> Result<SecretBytes, EnvelopeError> {
        let iv = self.iv()?;
        let (sealed, tag) = self
            .ciphertext
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(EnvelopeError::Malformed("a ciphertext that is shorter than its tag"))?;
        let aad = EncStructure { context, protected: self.headers.protected_bytes, external_aad }.to_cbor();
        // Decryption is in place and only after the tag was found right: an error leaves no plaintext behind.
        let mut buffer = sealed.to_vec();
        cipher.open(&iv, &aad, &mut buffer, tag)?;
        Ok(SecretBytes::new(buffer))
    }
}

/// What a new message is sealed with: the nonce stands unprotected, where every reader looks for it.
pub(crate) struct NewBody<'a> {
    pub(crate) protected: &'a [u8],
    pub(crate) external_aad: &'a [u8],
    pub(crate) iv: Nonce,
}

impl NewBody<'_> {
    /// Writes `tag([protected, {5: iv}, ciphertext`, the beginning of an array of so many items, with the plaintext
    /// encrypted where it was encoded.
    pub(super) fn seal(
        &self,
        (tag, items, context): (u64, usize, Context),
        cipher: &Cipher,
        plaintext: &(impl Encode + ?Sized),
    ) -> Result<Vec<u8>, EnvelopeError> {
        /// Tag and array, the heads of two byte strings, the map with the nonce.
        const HEADS: usize = 3 + 9 + 9 + 15;
        let Self { protected, external_aad, iv } = *self;
        let aad = EncStructure { context, protected, external_aad }.to_cbor();
        let length = plaintext.encoded_len() + TAG_BYTES;
        // All the room at once, before the plaintext is in it: a buffer that grew would leave a copy behind.
        let mut out = Writer(Vec::with_capacity(HEADS + protected.len() + length));
        out.tag(tag).array(items).bytes(protected).map(1).int(label::IV).bytes(&iv).bytes_head(length);
        let start = out.0.len();
        plaintext.encode(&mut out);
        match cipher.seal(&iv, &aad, out.0.get_mut(start..).unwrap_or_default()) {
            Ok(authentication) => {
                out.raw(&authentication);
                Ok(out.0)
            }
            Err(error) => {
                out.0.zeroize();
                Err(error)
            }
        }
    }
}
