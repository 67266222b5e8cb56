//! The bodies of the fuzz targets: plain functions that take any bytes and panic if a parser does what it must not.
#![forbid(unsafe_code)]

mod archive;
mod envelope;
mod host;
mod piv;
mod text;
mod vault;

pub use archive::archive;
pub use envelope::{codec, credential, data_key_envelope, head, sealed_object, succession};
pub use host::token_host;
pub use piv::{attests, piv_answers, piv_attestation};
pub use text::{legacy_file, legacy_key, legacy_plaintext, reference, token_uri};
pub use vault::{head_payload, index_node, job, recipients, service};

/// What takes any bytes and must not panic.
pub type Target = fn(&[u8]);

/// Every target by the name of its program and its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("codec", codec),
    ("credential", credential),
    ("data_key_envelope", data_key_envelope),
    ("head", head),
    ("sealed_object", sealed_object),
    ("succession", succession),
    ("head_payload", head_payload),
    ("index_node", index_node),
    ("job", job),
    ("service", service),
    ("recipients", recipients),
    ("archive", archive),
    ("reference", reference),
    ("token_uri", token_uri),
    ("token_host", token_host),
    ("piv_answers", piv_answers),
    ("piv_attestation", piv_attestation),
    ("legacy_file", legacy_file),
    ("legacy_plaintext", legacy_plaintext),
    ("legacy_key", legacy_key),
];
