//! `COSE_recipient` for each scheme (RFC 9052 section 5.1; RFC 9053 section 6; RFC 8230 section 3).

use crate::{
    EnvelopeError,
    codec::{Encode, Sink, Writer},
    cose::{Encrypt, Recipient, label},
    profile::RecipientHeader,
};
use claviger_types::{EcPoint, RecipientId, Scheme, WrappedCek};

/// A wrapped key as it stands in an envelope: `[protected, unprotected, ciphertext]`.
pub(super) struct NewRecipient<'a>(pub(super) &'a WrappedCek);

impl Encode for NewRecipient<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        let wrapped = self.0;
        let header = RecipientHeader { recipient: wrapped.recipient, scheme: wrapped.scheme };
        out.array(Encrypt::RECIPIENT_ITEMS).bytes(&header.protected());
        if !header.is_protected() {
            header.encode(out);
        } else if let Some(iv) = &wrapped.iv {
            out.map(1).int(label::IV).bytes(iv);
        } else if let Some(point) = &wrapped.ephemeral {
            out.map(1).int(label::EPHEMERAL_KEY);
            EphemeralKey(point).encode(out);
        }
        out.bytes(&wrapped.ciphertext);
    }
}

/// `{1: 2, -1: 1, -2: x, -3: y}`: a public key on P-256 (RFC 9053 section 7.1.1).
struct EphemeralKey<'a>(&'a EcPoint);

const EC2: i64 = 2;
const P256: i64 = 1;

impl Encode for EphemeralKey<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.map(4).int(1).int(EC2).int(-1).int(P256).int(-2).bytes(&self.0.x).int(-3).bytes(&self.0.y);
    }
}

/// Whether a wrapped key has the parts and lengths of its scheme, which are the same for every CEK.
pub(super) fn fits_scheme(wrapped: &WrappedCek) -> bool {
    let parts = (wrapped.iv.is_some(), wrapped.ephemeral.is_some());
    match wrapped.scheme {
        // Eight bytes more than the key. `aes-kw` itself takes other lengths.
        Scheme::A256Kw => parts == (false, false) && wrapped.ciphertext.len() == 40,
        Scheme::EcdhEsA256Kw => parts == (false, true) && wrapped.ciphertext.len() == 40,
        Scheme::A256Gcm => parts == (true, false) && wrapped.ciphertext.len() == 48,
        // As long as the modulus: 2048 to 8192 bits.
        Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
            parts == (false, false) && (256..=1024).contains(&wrapped.ciphertext.len())
        }
    }
}

/// Reads a recipient. What it holds is taken out and written again: only the one spelling that we write gets through.
pub(super) fn read_recipient(received: &Recipient<'_>) -> Result<WrappedCek, EnvelopeError> {
    let headers = &received.body.headers;
    let header = if headers.protected_bytes.is_empty() { headers.unprotected } else { headers.protected };
    let alg = header.int(label::ALG).ok_or(EnvelopeError::Malformed("a recipient without algorithm"))?;
    let scheme = Scheme::from_cose_alg(alg).ok_or(EnvelopeError::UnsupportedAlgorithm(alg))?;
    let recipient = header
        .bytes(label::KID)
        .and_then(|id| RecipientId::try_from(id).ok())
        .ok_or(EnvelopeError::Malformed("a recipient without id of 16 bytes"))?;
    let iv = headers.unprotected.bytes(label::IV).and_then(|iv| iv.try_into().ok());
    let ephemeral = headers.unprotected.map(label::EPHEMERAL_KEY).and_then(|key| {
        Some(EcPoint { x: key.bytes(-2)?.try_into().ok()?, y: key.bytes(-3)?.try_into().ok()? })
    });
    let wrapped =
        WrappedCek { recipient, scheme, iv, ephemeral, ciphertext: received.body.ciphertext.to_vec() };
    if !fits_scheme(&wrapped) {
        return Err(EnvelopeError::Malformed("a wrapped key without the shape of its scheme"));
    }
    if NewRecipient(&wrapped).to_cbor() != received.encoded {
        return Err(EnvelopeError::Malformed("unknown labels in a recipient"));
    }
    Ok(wrapped)
}
