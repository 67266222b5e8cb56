//! COSE itself (RFC 9052): headers, the structures that are authenticated, `COSE_Encrypt`, `COSE_Encrypt0`, `COSE_Mac0`,
//! `COSE_Sign1`.
//!
//! This layer knows nothing of claviger: types, contexts and labels come as parameters, and labels that it was not
//! asked for are handed on unread. It is stricter than the RFC where the RFC leaves room: tags are required,
//! encoding is deterministic, integers are the only labels, contents are never detached, nothing is critical.

mod body;
mod header;
mod mac0;
mod message;
mod sign1;

pub(crate) use body::{Body, NewBody};
pub(crate) use header::Headers;
pub(crate) use mac0::{HMAC_256_256, Mac0};
pub(crate) use message::{Encrypt, Encrypt0, Recipient};
pub(crate) use sign1::{ES256, SigStructure, Sign1, verify as verify_es256};

use crate::codec::{Encode, Sink, Writer};

/// Labels of header parameters (RFC 9052 section 3.1, RFC 9053 section 6.3.1, RFC 9596).
pub(crate) mod label {
    pub(crate) const ALG: i64 = 1;
    pub(crate) const CRIT: i64 = 2;
    pub(crate) const CONTENT_TYPE: i64 = 3;
    pub(crate) const KID: i64 = 4;
    pub(crate) const IV: i64 = 5;
    pub(crate) const TYP: i64 = 16;
    pub(crate) const EPHEMERAL_KEY: i64 = -1;
}

/// What an `Enc_structure` is for (RFC 9052 section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    Encrypt,
    Encrypt0,
    EncRecipient,
}

/// `[context, protected, external_aad]`: the associated data of a layer (RFC 9052 section 5.3).
pub(crate) struct EncStructure<'a> {
    pub(crate) context: Context,
    pub(crate) protected: &'a [u8],
    pub(crate) external_aad: &'a [u8],
}

impl Encode for EncStructure<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        let context = match self.context {
            Context::Encrypt => "Encrypt",
            Context::Encrypt0 => "Encrypt0",
            Context::EncRecipient => "Enc_Recipient",
        };
        out.array(3).text(context).bytes(self.protected).bytes(self.external_aad);
    }
}

/// `COSE_KDF_Context` with nothing about the parties (RFC 9053 section 5.2): `[alg, [null, null, null],
/// [null, null, null], [key bits, protected]]`.
pub(crate) struct KdfContext<'a> {
    /// The algorithm that the derived key is for.
    pub(crate) alg: i64,
    pub(crate) key_bits: u64,
    /// The recipient's protected header, as bytes.
    pub(crate) protected: &'a [u8],
}

impl Encode for KdfContext<'_> {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(4).int(self.alg);
        for _party in ["U", "V"] {
            out.array(3).null().null().null();
        }
        out.array(2).unsigned(self.key_bits).bytes(self.protected);
    }
}

#[cfg(test)]
mod tests;
