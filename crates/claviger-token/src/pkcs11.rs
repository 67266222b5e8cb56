//! The PKCS#11 driver.
//!
//! [`list`] shows a module's tokens, [`generate`] makes a KEK on one, [`open`] opens it again, and [`Pkcs11Token`] wraps and
//! unwraps with it from any number of threads. [`open_anchors`] and [`open_signer`] are for what a token does besides. Every
//! key passes through buffers of ours that are wiped, and every session object that holds one is destroyed on every path.

mod anchor;
mod enrol;
mod fault;
mod ffi;
mod kek;
mod login;
mod module;
mod operation;
mod pool;
mod profile;
mod self_test;
mod signer;
mod slots;
mod template;
mod token;

pub use anchor::{Pkcs11AnchorSlot, open_anchors};
pub use enrol::{Access, NewKek, generate, open};
pub use self_test::{SelfTestCheck, SelfTestReport, self_test};
pub use signer::{Pkcs11Signer, generate_signer, open_signer};
pub use slots::{TokenSummary, list};
pub use token::Pkcs11Token;
