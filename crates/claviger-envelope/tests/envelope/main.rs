//! Envelopes from outside: what the vault sees.

mod smoke;
