//! The PKCS#11 driver.
//!
//! [`Pkcs11Driver`] finds and makes keys; those that it gives out wrap, unwrap, sign and keep anchors from any number of
//! threads. Every key passes through buffers of ours that are wiped, and every session object that holds one is destroyed on
//! every path.

mod admin;
mod anchor;
mod driver;
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

pub use driver::Pkcs11Driver;
