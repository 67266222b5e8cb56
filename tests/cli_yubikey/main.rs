//! YubiKeys through the program: virtual ones, in readers of a real pcscd.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod card;
mod drill;
mod enroll;
mod existing;
mod info;
mod init;
mod management;
mod others;
mod pins;
mod processes;
mod rotate;
mod standin;
mod trouble;
mod unwraps;

use claviger_tests::{Run, World};
use softhsm_fixtures::{KeySpec, PIN, Provider, SO_PIN, YubiKey};

const NEW_PIN: &str = "24681012";
const NEW_PUK: &str = "97531864";
const WRONG: &str = "99999999";
/// A value in the vault.
const VALUE: &str = "sk-never-said";
/// Management keys of ours: for 3DES or AES-192.
const KEY: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718";
const OTHER_KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978";

/// One YubiKey and no vault yet.
fn empty() -> World {
    World::on(Provider::YubiKey)
}

/// Two, and no vault yet.
fn two() -> World {
    let world = empty();
    world.token().add_yubikey(&KeySpec::default());
    world
}

/// A vault under one YubiKey alone.
fn lone() -> World {
    let world = empty();
    world.run(["init", "--token", world.uri(), "--accept-loss"]).ok();
    world
}

/// The URI of another YubiKey, with the PIN that all have.
fn uri(world: &World, key: &YubiKey) -> String {
    format!("{}&pin-source=file:{}", plain_uri(key), world.token().pin_file().display())
}

/// The same without a PIN.
fn plain_uri(key: &YubiKey) -> String {
    format!("pkcs11:serial={}?module-name=piv", key.serial())
}

/// A vault under two YubiKeys, and the second.
fn pair() -> (World, YubiKey) {
    let world = empty();
    let backup = world.token().add_yubikey(&KeySpec::default());
    world.run(["init", "--token", world.uri(), "--backup", &uri(&world, &backup)]).ok();
    (world, backup)
}

/// Has the configuration name no file with a PIN: whoever is beside it is asked.
fn asking(world: &World) {
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    world.edit_config(|text| text.replace(&source, ""));
}

/// The program with a line of arguments, this on descriptor 3, and more of them from 4 on.
fn given(world: &World, line: &str, secrets: &[&str]) -> Run {
    let files: Vec<_> =
        secrets.iter().enumerate().map(|(at, secret)| world.file(&format!("secret-{at}"), secret)).collect();
    let files: Vec<_> = files.iter().map(std::path::PathBuf::as_path).collect();
    world.line(line).descriptors(&files)
}

/// Panics where a secret was said.
#[track_caller]
fn silent(said: &str) {
    let secrets = [PIN, SO_PIN, NEW_PIN, NEW_PUK, WRONG, VALUE, KEY, OTHER_KEY, "a1b2c3d4", "01020304"];
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} was said:\n{said}");
    }
}

/// What was said on both ways out, after a look that no secret was.
#[track_caller]
fn said(outcome: &claviger_tests::Outcome) -> String {
    let said = format!("{}{}", outcome.text(), outcome.stderr);
    silent(&said);
    said
}
