//! YubiKeys, through their PIV application.

pub mod attestation;
mod policy;

pub use policy::{PinPolicy, TouchPolicy, UnknownPolicy};
