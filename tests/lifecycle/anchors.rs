//! Anchors: on the token as well as in a file, and raised by whoever reads or writes.

use crate::{copy_store, put_store};
use claviger_tests::World;
use std::{fs, path::PathBuf, process::Child};

fn file_anchor(world: &World) -> PathBuf {
    let config = fs::read_to_string(world.config()).unwrap();
    let line = config.lines().find_map(|line| line.strip_prefix("anchors = [\"")).unwrap();
    PathBuf::from(line.trim_end_matches("\"]"))
}

/// Puts store and file anchor back to what they were.
fn rolled_back(change: impl FnOnce(&World)) -> World {
    let world = World::new();
    world.set("svc", "old");
    let old = world.home().join("old");
    let anchor = fs::read(file_anchor(&world)).unwrap();
    copy_store(&world, &old);
    change(&world);
    put_store(&world, &old);
    fs::write(file_anchor(&world), anchor).unwrap();
    world
}

#[test]
fn a_new_vault_is_anchored_on_its_token() {
    let world = World::new();
    let config = fs::read_to_string(world.config()).unwrap();
    assert!(config.contains("\nanchor = true\n"), "{config}");
}

#[test]
fn the_token_remembers_what_store_and_file_forgot_after_a_rotation() {
    let world = rolled_back(|world| {
        world.line("rotate master --compromised").ok();
    });
    let outcome = world.line("get svc").outcome();
    assert!(matches!(outcome.code, Some(7 | 8)), "{outcome:?}");
}

#[test]
fn the_token_remembers_after_64_commits() {
    let world = rolled_back(|world| (0..65).for_each(|n| world.set("svc", format!("value {n}"))));
    world.line("get svc").fails(8, &["rolled back", "help: "]);
}

#[test]
fn sixteen_processes_raise_anchors_and_lose_none() {
    let world = World::new();
    world.set("read", "value");
    let start = |n: usize| -> Child {
        if n.is_multiple_of(2) {
            world.run(["set", &format!("svc{n}"), "--stdin"]).stdin(format!("value{n}")).start()
        } else {
            world.line("get read").start()
        }
    };
    let children: Vec<Child> = (0..16).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let epoch = world.line("status --json").ok().json()["epoch"].as_u64().unwrap();
    let anchor = fs::read_to_string(file_anchor(&world)).unwrap();
    assert_eq!(anchor.split_whitespace().next().unwrap(), epoch.to_string());
}
