//! Envelopes from outside, as the vault and other programs see them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of it is test, shared code too"
)]

mod attack;
mod coset;
mod document;
mod golden;
mod manifest;
mod negative;
mod properties;
mod software;
