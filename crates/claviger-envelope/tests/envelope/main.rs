//! Envelopes from outside, as the vault and other programs see them.

mod golden;
mod manifest;
mod negative;
mod software;
