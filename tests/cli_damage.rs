//! Stores that somebody changed, cut or put an older copy in the place of.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::World;
use rusqlite::Connection;
use serde_json::Value;
use std::fs;

fn database(world: &World) -> Connection {
    Connection::open(world.store()).unwrap()
}

/// A vault with two services; the first one's value is the largest object by far.
fn two_services() -> World {
    let world = World::new();
    world.set("victim", vec![b'v'; 50_000]);
    world.set("bystander", "well");
    world
}

/// Changes the largest object, which is the first service's value.
fn change_largest(world: &World, change: impl FnOnce(&Connection, i64, Vec<u8>)) {
    let database = database(world);
    let (number, bytes) = database
        .query_row("SELECT number, bytes FROM object ORDER BY length(bytes) DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    change(&database, number, bytes);
}

/// `verify` finds one damaged object, names it so, and the other service is still read.
fn assert_one_victim(world: &World, fault: &str) {
    world.line("get victim").fails(7, &["error: ", "help: `claviger verify`"]);
    assert_eq!(world.get("bystander"), b"well");

    let outcome = world.line("verify --json").outcome();
    assert_eq!(outcome.code, Some(7), "{}", outcome.stderr);
    let damage = outcome.json()["damage"].as_array().unwrap().clone();
    assert_eq!(damage.len(), 1, "{damage:#?}");
    let text = |name: &str| damage[0][name].as_str().unwrap().to_owned();
    assert_eq!(
        (text("service"), text("name"), text("fault")),
        ("victim".into(), "api_key".into(), fault.into())
    );
    assert_eq!(damage[0]["version"], 1);

    let shown = world.line("verify").outcome();
    assert!(shown.text().contains("DAMAGED  victim/api_key version 1"), "{}", shown.text());
    assert!(shown.stderr.contains("error: 1 damaged or missing object in the vault"), "{}", shown.stderr);
    assert!(shown.stderr.contains("help: what is not named above is whole"), "{}", shown.stderr);
}

#[test]
fn a_flipped_bit_is_named_and_the_rest_stays_readable() {
    let world = two_services();
    change_largest(&world, |database, number, mut bytes| {
        bytes[25_000] ^= 1;
        database.execute("UPDATE object SET bytes = ?1 WHERE number = ?2", (bytes, number)).unwrap();
    });
    assert_one_victim(&world, "altered");
}

#[test]
fn a_deleted_object_is_named_and_the_rest_stays_readable() {
    let world = two_services();
    change_largest(&world, |database, number, _| {
        database.execute("DELETE FROM object WHERE number = ?1", [number]).unwrap();
    });
    assert_one_victim(&world, "missing");
}

#[test]
fn a_changed_head_opens_nothing() {
    let world = two_services();
    let database = database(&world);
    let mut head: Vec<u8> = database.query_row("SELECT bytes FROM head", [], |row| row.get(0)).unwrap();
    let last = head.len() - 1;
    head[last] ^= 1;
    database.execute("UPDATE head SET bytes = ?1", [head]).unwrap();
    world.line("get bystander").fails(7, &["error: ", "help: "]);
}

#[test]
fn what_nothing_reaches_is_garbage_and_no_error() {
    let world = two_services();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    database(&world)
        .execute(
            "INSERT INTO object (id, created, bytes) VALUES (zeroblob(16), ?1, x'00')",
            [i64::try_from(now).unwrap()],
        )
        .unwrap();
    let outcome = world.line("verify").ok();
    assert!(outcome.text().contains("1 object that nothing reaches"), "{}", outcome.text());
    assert!(outcome.text().ends_with("everything is whole\n"));
    let counts = |line: &str| {
        let report = world.line(line).ok().json();
        (report["deleted"].as_u64().unwrap(), report["young"].as_u64().unwrap())
    };
    assert_eq!(counts("gc --json"), (0, 1));
    assert_eq!(counts("gc --now --dry-run --json"), (1, 0));
    assert_eq!(counts("gc --now --json"), (1, 0));
    assert_eq!(world.line("verify --json").ok().json()["garbage"], 0);
}

/// A vault whose store was replaced by an older copy of itself; the newer one lies beside it.
fn rolled_back() -> World {
    let world = World::new();
    world.set("svc", "old");
    fs::copy(world.store(), world.home().join("older.db")).unwrap();
    world.set("svc", "new");
    fs::rename(world.store(), world.home().join("newer.db")).unwrap();
    fs::copy(world.home().join("older.db"), world.store()).unwrap();
    world
}

#[test]
fn an_older_copy_is_refused_by_every_command() {
    let world = rolled_back();
    for line in ["get svc", "list", "history svc", "status", "gc", "delete svc", "audit show"] {
        world.line(line).fails(8, &["error: the vault was rolled back", "claviger trust --head"]);
    }
    world.line("set svc --stdin").stdin("more").fails(8, &["rolled back"]);
    fs::rename(world.home().join("newer.db"), world.store()).unwrap();
    assert_eq!(world.get("svc"), b"new");
}

#[test]
fn verify_looks_at_an_older_copy_and_trust_accepts_it() {
    let world = rolled_back();
    let outcome = world.line("verify --json").outcome();
    assert_eq!(outcome.code, Some(8), "{}", outcome.stderr);
    let report: Value = outcome.json();
    assert!(
        report["rolled_back"].is_string() && report["damage"].as_array().unwrap().is_empty(),
        "{report:#}"
    );

    let head = report["head"].as_str().unwrap();
    world.run(["trust", "--head", &"0".repeat(64)]).fails(8, &["rolled back"]);
    world.line("get svc").fails(8, &[]);
    let trusted = world.run(["trust", "--head", head]).ok();
    assert!(trusted.text().contains(head), "{}", trusted.text());
    assert_eq!(world.get("svc"), b"old");
    world.set("svc", "newest");
    let records = world.line("audit show --json").ok().json();
    let trust = records.as_array().unwrap().iter().any(|record| record["action"] == "trust");
    assert!(trust, "no record of the trust: {records:#}");

    // Two histories: the copy that was newer before is another branch now.
    fs::copy(world.home().join("newer.db"), world.store()).unwrap();
    world.line("get svc").fails(8, &["rolled back"]);
}

#[test]
fn an_anchor_that_is_gone_is_no_permission() {
    let world = World::new();
    world.set("svc", "value");
    let config = fs::read_to_string(world.config()).unwrap();
    let anchor =
        config.lines().find_map(|line| line.strip_prefix("anchors = [\"")).unwrap().trim_end_matches("\"]");
    fs::remove_file(anchor).unwrap();
    world.line("get svc").fails(8, &["the anchor", "help: "]);
    world.line("doctor").fails(8, &["error: ", "checks failed"]);
}
