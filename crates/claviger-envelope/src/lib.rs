//! Everything at rest is COSE (RFC 9052, 9053) in deterministic CBOR (RFC 8949 section 4.2.1): data-key envelopes,
//! credential envelopes, sealed objects, the head's MAC and signed succession records. No I/O, no callback, no token;
//! entropy is passed in.
//!
//! Two layers: `cose` is the standard, made strict; above it stands claviger's profile, which fixes every label, type
//! and context. `docs/format.md` has the bytes.

mod cipher;
mod context;
mod cose;
mod credential;
mod data_key;
mod data_key_envelope;
mod derive;
mod error;
mod head;
mod object;
mod profile;
mod succession;

pub use cipher::ContentAlg;
pub use claviger_codec as codec;
pub use context::{CredentialContext, DataKeyContext, ObjectContext, ObjectKind};
pub use credential::{open_credential, seal_credential};
pub use data_key::DataKey;
pub use data_key_envelope::{DataKeyEnvelope, DataKeySealer, MAX_RECIPIENTS};
pub use derive::{VaultKeys, answer, name_hmac};
pub use error::EnvelopeError;
pub use head::{MAX_HEAD_PAYLOAD_BYTES, UnverifiedHead, mac_head};
pub use object::{MAX_OBJECT_PLAINTEXT_BYTES, open_object, seal_object};
pub use profile::FORMAT;
pub use succession::{Succession, UnverifiedSuccession};
