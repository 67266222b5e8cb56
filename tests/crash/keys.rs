//! Long work on keys, and what brings a vault back: killed anywhere, everything still reads.

use crate::{bystanders, bystanders_read, text};
use claviger_tests::{Run, World, crash::Scenario};
use rusqlite::Connection;
use serde_json::Value;
use std::fs;

pub(crate) const SCENARIOS: [Scenario; 11] = [
    Scenario {
        command: |world| world.line("rotate service --all"),
        ..Scenario::whole("rotate-service", bystanders, bystanders_read, no_job)
    },
    Scenario {
        command: |world| world.line("rotate master"),
        ..Scenario::whole("rotate-master", bystanders, bystanders_read, |world| {
            no_job(world);
            has_some("deactivated", world);
        })
    },
    Scenario {
        command: |world| world.line("rotate master --destroy-old"),
        ..Scenario::whole("rotate-master-destroy", bystanders, bystanders_read, |world| {
            no_job(world);
            has_some("destroyed", world);
        })
    },
    Scenario {
        command: |world| world.line("rotate master --compromised"),
        ..Scenario::whole("rotate-master-compromised", with_fingerprint, bystanders_read, |world| {
            no_job(world);
            has_some("compromised", world);
            assert_ne!(status(world)["fingerprint"].as_str().unwrap(), noted(world, "fingerprint"));
        })
    },
    Scenario {
        command: |world| world.run(["rotate", "master", "--destroy-old", "--token", &second_uri(world)]),
        ..Scenario::whole("rotate-master-move", second_token, bystanders_read, |world| {
            no_job(world);
            has_some("destroyed", world);
            assert_eq!(states(world).iter().filter(|state| *state == "active").count(), 1);
        })
    },
    Scenario {
        command: |world| world.run(["token", "retire", &noted(world, "recipient"), "--destroy", "--yes"]),
        ..Scenario::whole("token-retire-destroy", two_recipients, bystanders_read, |world| {
            no_job(world);
            has_some("destroyed", world);
        })
    },
    Scenario {
        command: enroll,
        ..Scenario::whole("token-enroll", second_token, bystanders_read, |world| {
            no_job(world);
            assert!(states(world).iter().filter(|state| *state == "active").count() >= 2);
        })
    },
    Scenario {
        command: retire,
        ..Scenario::whole("token-retire", two_recipients, bystanders_read, |world| {
            no_job(world);
            has_some("deactivated", world);
            assert_ne!(status(world)["fingerprint"].as_str().unwrap(), noted(world, "fingerprint"));
        })
    },
    Scenario {
        command: |world| {
            // It is there whole, or not at all.
            let file = backup_path(world);
            if fs::exists(&file).unwrap() {
                world.run(["backup", "verify", &file]).ok();
                fs::remove_file(&file).unwrap();
            }
            world.run(["backup", "create", &file])
        },
        ..Scenario::whole("backup-create", bystanders, bystanders_read, |world| {
            world.run(["backup", "verify", &backup_path(world)]).ok();
        })
    },
    Scenario {
        command: |world| world.run(["restore", &backup_path(world), "--accept-rollback"]),
        starts_broken: true,
        ..Scenario::whole(
            "restore",
            |world| {
                bystanders(world);
                world.run(["backup", "create", &backup_path(world)]).ok();
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{suffix}", world.store().display()));
                }
            },
            // Not there yet, or right.
            |world| {
                let got = world.line("get bystander/one").outcome();
                assert!(got.code != Some(0) || got.text() == "first", "{got:?}");
            },
            |world| {
                bystanders_read(world);
                no_job(world);
            },
        )
    },
    Scenario {
        command: |world| world.run(["repair", "--from", &backup_path(world)]),
        starts_broken: true,
        ..Scenario::whole("repair", damaged, bystanders_read, |world| {
            assert_eq!(text(world, "get victim").unwrap().len(), 50_000);
        })
    },
];

fn status(world: &World) -> Value {
    world.line("status --json").ok().json()
}

fn no_job(world: &World) {
    assert!(status(world)["job"].is_null(), "a job is left behind");
}

fn states(world: &World) -> Vec<String> {
    let recipients = world.line("token recipients --json").ok().json();
    recipients.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

fn has_some(state: &str, world: &World) {
    let states = states(world);
    assert!(states.iter().any(|one| one == state) && states.iter().any(|one| one == "active"), "{states:?}");
}

/// Keeps something for later, where a copy of the world has it too.
fn note(world: &World, name: &str, what: &Value) {
    world.file(name, what.as_str().unwrap());
}

fn noted(world: &World, name: &str) -> String {
    fs::read_to_string(world.home().join(name)).unwrap()
}

fn with_fingerprint(world: &World) {
    bystanders(world);
    note(world, "fingerprint", &status(world)["fingerprint"]);
}

fn second_token(world: &World) {
    bystanders(world);
    world.token().add_token("second");
}

fn second_uri(world: &World) -> String {
    world.uri().replace("token=lab", "token=second")
}

fn enroll(world: &World) -> Run {
    world.run(["token", "enroll", "--token", &second_uri(world)])
}

fn two_recipients(world: &World) {
    second_token(world);
    let made = enroll_json(world);
    note(world, "recipient", &made["recipient"]);
    note(world, "fingerprint", &status(world)["fingerprint"]);
}

fn retire(world: &World) -> Run {
    world.run(["token", "retire", &noted(world, "recipient"), "--yes"])
}

fn enroll_json(world: &World) -> Value {
    enroll(world).arg("--json").ok().json()
}

fn backup_path(world: &World) -> String {
    world.home().join("vault.backup").display().to_string()
}

fn damaged(world: &World) {
    bystanders(world);
    world.set("victim", vec![b'v'; 50_000]);
    world.run(["backup", "create", &backup_path(world)]).ok();
    let largest = "SELECT number FROM object ORDER BY length(bytes) DESC LIMIT 1";
    let sql = format!("UPDATE object SET bytes = zeroblob(50000) WHERE number = ({largest})");
    assert_eq!(Connection::open(world.store()).unwrap().execute(&sql, []).unwrap(), 1);
}
