//! claviger: envelope.
