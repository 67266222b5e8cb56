//! claviger: audit.
