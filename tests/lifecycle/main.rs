//! The life of keys, by the whole program on real tokens and a real SQLite file.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod anchors;
mod backups;
mod erasure;
mod faults;
mod hosts;
mod mixed;
mod tokens;

use claviger_tests::World;
use std::{fs, path::Path};

/// A vault with a few credentials.
fn filled() -> World {
    let world = World::new();
    fill(&world);
    world
}

/// The same under a key pair.
fn filled_under_a_pair() -> World {
    let world = World::empty();
    world.run(["init", "--scheme", "ECDH-ES+A256KW", "--token", world.uri()]).ok();
    fill(&world);
    world
}

fn fill(world: &World) {
    for n in 0..5 {
        world.set(&format!("svc{n}"), format!("value {n}"));
    }
}

#[track_caller]
fn check(world: &World) {
    for n in 0..5 {
        assert_eq!(world.get(&format!("svc{n}")), format!("value {n}").into_bytes());
    }
    world.line("verify").ok();
}

fn fingerprint(world: &World) -> String {
    world.line("status --json").ok().json()["fingerprint"].as_str().unwrap().to_owned()
}

/// The store's file and what lies beside it, copied away.
fn copy_store(world: &World, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(world.store().parent().unwrap()).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Puts a copy in the store's place.
fn put_store(world: &World, from: &Path) {
    let directory = world.store().parent().unwrap().to_owned();
    for entry in fs::read_dir(&directory).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
    for entry in fs::read_dir(from).unwrap().flatten() {
        let path = directory.join(entry.file_name());
        fs::copy(entry.path(), &path).unwrap();
        claviger_tests::mode(&path, 0o600);
    }
}
