//! The two encrypted messages (RFC 9052 section 5).

use super::{Body, Context, NewBody};
use crate::{
    EnvelopeError,
    cipher::Cipher,
    codec::{Encode, Reader},
};
use claviger_types::SecretBytes;

/// A message for one key that the reader already has; tag 16 (RFC 9052 section 5.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encrypt0<'a> {
    pub(crate) body: Body<'a>,
}

impl<'a> Encrypt0<'a> {
    const TAG: u64 = 16;
    const ITEMS: usize = 3;

    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, Self::TAG, Self::ITEMS)?;
        let body = Body::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { body })
    }

    pub(crate) fn open(&self, cipher: &Cipher, external_aad: &[u8]) -> Result<SecretBytes, EnvelopeError> {
        self.body.open(cipher, Context::Encrypt0, external_aad)
    }

    pub(crate) fn seal(
        body: &NewBody<'_>,
        cipher: &Cipher,
        plaintext: &(impl Encode + ?Sized),
    ) -> Result<Vec<u8>, EnvelopeError> {
        body.seal((Self::TAG, Self::ITEMS, Context::Encrypt0), cipher, plaintext)
    }
}

/// A message whose key is wrapped to recipients; tag 96 (RFC 9052 section 5.1).
#[derive(Debug, Clone)]
pub(crate) struct Encrypt<'a> {
    pub(crate) body: Body<'a>,
    pub(crate) recipients: Vec<Recipient<'a>>,
}

/// One recipient of a message (RFC 9052 section 5.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipient<'a> {
    /// All of it as it was received.
    pub(crate) encoded: &'a [u8],
    pub(crate) body: Body<'a>,
}

impl<'a> Encrypt<'a> {
    const TAG: u64 = 96;
    const ITEMS: usize = 4;
    pub(crate) const RECIPIENT_ITEMS: usize = 3;

    /// Reads a message of at most `limit` recipients, none of which has recipients of its own.
    pub(crate) fn parse(bytes: &'a [u8], limit: usize) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, Self::TAG, Self::ITEMS)?;
        let body = Body::read(&mut reader)?;
        let count = usize::try_from(reader.array()?).unwrap_or(usize::MAX);
        if count == 0 || count > limit {
            return Err(EnvelopeError::Malformed("no recipients, or too many"));
        }
        let recipients = (0..count)
            .map(|_| {
                let encoded = reader.item()?;
                let mut inner = Reader::new(encoded);
                expect_items(&mut inner, Self::RECIPIENT_ITEMS)?;
                Ok(Recipient { encoded, body: Body::read(&mut inner)? })
            })
            .collect::<Result<_, EnvelopeError>>()?;
        reader.finish()?;
        Ok(Self { body, recipients })
    }

    /// Opens the contents with the key that some recipient unwrapped.
    pub(crate) fn open(&self, cipher: &Cipher, external_aad: &[u8]) -> Result<SecretBytes, EnvelopeError> {
        self.body.open(cipher, Context::Encrypt, external_aad)
    }

    /// Seals the contents; the array of recipients is the caller's to write behind them.
    pub(crate) fn seal(
        body: &NewBody<'_>,
        cipher: &Cipher,
        plaintext: &(impl Encode + ?Sized),
    ) -> Result<Vec<u8>, EnvelopeError> {
        body.seal((Self::TAG, Self::ITEMS, Context::Encrypt), cipher, plaintext)
    }
}

/// Reads the tag and the array's head.
pub(super) fn expect(reader: &mut Reader<'_>, tag: u64, items: usize) -> Result<(), EnvelopeError> {
    if reader.tag()? != tag {
        return Err(EnvelopeError::Malformed("another COSE message"));
    }
    expect_items(reader, items)
}

fn expect_items(reader: &mut Reader<'_>, items: usize) -> Result<(), EnvelopeError> {
    if reader.array()? == items as u64 {
        Ok(())
    } else {
        Err(EnvelopeError::Malformed("another number of parts"))
    }
}
