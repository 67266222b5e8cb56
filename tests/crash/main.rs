//! Commands that are killed at any of their writes. A new command that writes gets an entry in [`SCENARIOS`],
//! or in [`keys::SCENARIOS`].
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

mod keys;

use claviger_tests::{
    Run, World,
    crash::{self, Scenario},
    legacy,
};
use rusqlite::Connection;
use serde_json::Value;
use std::fs;

const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: "set-service",
        starts_broken: false,
        prepare: bystanders,
        command: |world| world.line("set new --stdin").stdin("value"),
        readable: |world| {
            bystanders_read(world);
            assert!(matches!(text(world, "get new").as_deref(), None | Some("value")));
        },
        finished: |world| assert_eq!(text(world, "get new").unwrap(), "value"),
    },
    Scenario {
        name: "set-version",
        starts_broken: false,
        prepare: |world| {
            bystanders(world);
            world.set("svc", "old");
        },
        command: |world| world.line("set svc --stdin").stdin("new"),
        readable: |world| {
            bystanders_read(world);
            assert!(matches!(text(world, "get svc").as_deref(), Some("old" | "new")));
            assert_eq!(text(world, "get svc --version 1").unwrap(), "old");
        },
        finished: |world| assert_eq!(text(world, "get svc").unwrap(), "new"),
    },
    Scenario {
        name: "destroy",
        starts_broken: false,
        prepare: |world| {
            bystanders(world);
            world.set("svc/a", "to be destroyed");
            world.set("svc/a", "stays");
            world.set("svc/b", "sealed anew");
        },
        command: |world| world.line("destroy svc/a --versions 1 --yes"),
        readable: |world| {
            bystanders_read(world);
            assert!(matches!(
                text(world, "get svc/a --version 1").as_deref(),
                None | Some("to be destroyed")
            ));
            assert_eq!(text(world, "get svc/a").unwrap(), "stays");
            assert_eq!(text(world, "get svc/b").unwrap(), "sealed anew");
        },
        finished: |world| assert_eq!(text(world, "get svc/a --version 1"), None),
    },
    Scenario {
        name: "import",
        starts_broken: false,
        prepare: |world| {
            bystanders(world);
            let old: Value = serde_json::from_slice(&fs::read(legacy("typical.json")).unwrap()).unwrap();
            world.file("old.key", old["key"].as_str().unwrap());
            world.file("old.enc", fs::read(legacy("typical.enc")).unwrap());
        },
        command: import,
        readable: |world| {
            bystanders_read(world);
            let listed = world.line("list --json").ok().json();
            assert!(matches!(listed.as_array().unwrap().len(), 2 | 12), "half of it: {listed:#}");
        },
        finished: |world| {
            assert_eq!(world.line("list --json").ok().json().as_array().unwrap().len(), 12);
            let old: Value = serde_json::from_slice(&fs::read(legacy("typical.json")).unwrap()).unwrap();
            let (service, key) = old["contents"]["api_keys"].as_object().unwrap().iter().next().unwrap();
            assert_eq!(text(world, &format!("get {service}/api_key")).unwrap(), key.as_str().unwrap());
        },
    },
    Scenario {
        name: "gc",
        starts_broken: false,
        prepare: |world| {
            bystanders(world);
            let junk = "INSERT INTO object (id, created, bytes) VALUES (randomblob(16), 0, randomblob(9000))";
            let store = Connection::open(world.store()).unwrap();
            (0..5).for_each(|_| assert_eq!(store.execute(junk, []).unwrap(), 1));
        },
        command: |world| world.line("gc --now"),
        readable: bystanders_read,
        finished: |world| assert_eq!(world.line("verify --json").ok().json()["garbage"], 0),
    },
];

#[test]
fn a_command_that_is_killed_at_any_write_leaves_the_old_or_the_new() {
    let all: Vec<Scenario> = SCENARIOS.into_iter().chain(keys::SCENARIOS).collect();
    crash::run(&all);
}

/// Credentials that no scenario touches.
fn bystanders(world: &World) {
    world.set("bystander/one", "first");
    world.set("bystander/two", "second");
}

fn bystanders_read(world: &World) {
    assert_eq!(text(world, "get bystander/one").unwrap(), "first");
    assert_eq!(text(world, "get bystander/two").unwrap(), "second");
}

/// What a `get` prints; `None` where it says that there is no such thing. Nothing else is an answer.
#[track_caller]
fn text(world: &World, line: &str) -> Option<String> {
    let outcome = world.line(line).outcome();
    match outcome.code {
        Some(0) => Some(outcome.text().to_owned()),
        Some(3) => None,
        _ => panic!("{line}: {outcome:?}"),
    }
}

fn import(world: &World) -> Run {
    let path = |name: &str| world.home().join(name).display().to_string();
    world.run(["import", "apex", &path("old.enc"), "--key-file", &path("old.key")])
}
