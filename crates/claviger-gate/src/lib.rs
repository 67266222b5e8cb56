//! claviger: gate.
