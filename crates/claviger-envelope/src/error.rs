//! What can go wrong with an envelope, by what the caller can do about it.

use crate::codec::CodecError;
use claviger_types::EntropyError;

/// Why an envelope could not be made, read or opened.
///
/// Everything that is found out after decryption began is [`EnvelopeError::Unopened`], whatever it was: a reader that
/// tells a bad tag from a bad plaintext helps whoever changed the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The bytes are not an envelope of the kind that was asked for; no key was used.
    #[error("this is no such envelope: {0}")]
    Malformed(&'static str),
    /// The envelope is of a format that this version does not know; a newer version may.
    #[error("the envelope's format is not one that this version reads (it reads format {})", crate::FORMAT)]
    UnsupportedFormat,
    /// The envelope names an algorithm that is not one of ours.
    #[error("the envelope's algorithm {0} is not supported")]
    UnsupportedAlgorithm(i64),
    /// The envelope's key id is not that of the key that was expected; no key was used.
    #[error("the envelope is not under the expected key")]
    WrongKey,
    /// The envelope did not open: it was changed, moved from where it belongs, or made with another key.
    #[error("the envelope does not open")]
    Unopened,
    /// The random source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// There are more bytes than any envelope, value or payload of this kind may have.
    #[error("larger than the {limit} bytes that it may have")]
    TooLarge {
        /// The most that is allowed.
        limit: usize,
    },
    /// A field that claims to be JSON is not the text of one JSON value.
    #[error("a field's JSON is not the text of one value")]
    NotJson,
    /// A wrapped key's lengths or parts are not those of its scheme.
    #[error("the wrapped key does not have the shape of its scheme")]
    UnfitWrappedCek,
    /// The key was wrapped to this recipient already.
    #[error("the key was wrapped to this recipient already")]
    DuplicateRecipient,
    /// A data key must be wrapped to one recipient at least, and to [`crate::MAX_RECIPIENTS`] at most.
    #[error("a data key needs 1 to {} recipients", crate::MAX_RECIPIENTS)]
    RecipientCount,
}

impl From<CodecError> for EnvelopeError {
    fn from(_: CodecError) -> Self {
        Self::Malformed("not deterministic CBOR of its shape")
    }
}
