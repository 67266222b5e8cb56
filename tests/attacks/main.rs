//! The attacks of docs/threat-model.md, carried out: somebody who can write the store, and knows the format, tries each
//! of them on a real file under a real token, and must lose.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod bytes;
mod damage;
mod forge;
mod tools;
mod tree;
mod victim;

mod change;
mod delete;
mod fork;
mod not_found;
mod old_head;
mod old_object;
mod old_store;
mod other_vault;
mod plant_key;
mod plant_vault;
mod swap;
