//! The bodies of the fuzz targets: plain functions that take any bytes and panic if a parser does what it must not.
#![forbid(unsafe_code)]

mod envelope;

pub use envelope::{codec, credential, data_key_envelope, head, sealed_object};

/// What takes any bytes and must not panic.
pub type Target = fn(&[u8]);

/// Every target by the name of its program and its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("codec", codec),
    ("credential", credential),
    ("data_key_envelope", data_key_envelope),
    ("head", head),
    ("sealed_object", sealed_object),
];
