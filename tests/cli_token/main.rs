//! What an administrator does to tokens, through the program: making them, their PINs, and what is wrong with them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod doctor;
mod faults;
mod init;
mod pins;
mod surroundings;

use claviger_tests::{Run, World};
use softhsm_fixtures::{PIN, SO_PIN};
use std::path::PathBuf;

const NEW_PIN: &str = "24681012";
const WRONG: &str = "99999999";

/// A file for each of these PINs.
fn pins<const N: usize>(world: &World, pins: [&str; N]) -> [PathBuf; N] {
    pins.map(|pin| world.file(&format!("pin-{pin}"), pin))
}

/// The module of a world, named.
fn module(world: &World) -> String {
    world.token().module().to_str().unwrap().to_owned()
}

/// `token init` with both PINs on descriptors.
fn init(world: &World, label: &str, more: &[&str]) -> Run {
    let [so, user] = pins(world, [SO_PIN, PIN]);
    let module = module(world);
    let mut line = vec!["token", "init", "--label", label, "--module", &module];
    line.extend(["--so-pin-fd", "3", "--new-pin-fd", "4"]);
    line.extend(more);
    world.run(line).descriptors(&[&so, &user])
}

/// Panics where one of these was said.
fn silent(said: &str) {
    for pin in [PIN, SO_PIN, NEW_PIN, WRONG] {
        assert!(!said.contains(pin), "{pin} was said:\n{said}");
    }
}
