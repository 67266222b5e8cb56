//! YubiKeys through the program: virtual ones, in readers of a real pcscd.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod drill;
mod others;
mod unwraps;

use claviger_tests::World;
use softhsm_fixtures::{KeySpec, Provider, YubiKey};

/// One YubiKey and no vault yet.
fn empty() -> World {
    World::on(Provider::YubiKey)
}

/// A vault under one YubiKey alone.
fn lone() -> World {
    let world = empty();
    world.run(["init", "--token", world.uri(), "--accept-loss"]).ok();
    world
}

/// The URI of another YubiKey, with the PIN that all have.
fn uri(world: &World, key: &YubiKey) -> String {
    format!(
        "pkcs11:serial={}?module-name=piv&pin-source=file:{}",
        key.serial(),
        world.token().pin_file().display()
    )
}

/// A vault under two YubiKeys, and the second.
fn pair() -> (World, YubiKey) {
    let world = empty();
    let backup = world.token().add_yubikey(&KeySpec::default());
    world.run(["init", "--token", world.uri(), "--backup", &uri(&world, &backup)]).ok();
    (world, backup)
}
