//! Everything at rest is COSE (RFC 9052, 9053) in deterministic CBOR (RFC 8949 section 4.2.1): data-key envelopes,
//! credential envelopes, sealed objects and the head's MAC. No I/O; entropy is passed in.

pub mod codec;
