//! Many processes at one vault.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::World;
use std::process::{Child, Output};

const WRITERS: usize = 16;

fn all(children: Vec<Child>) -> Vec<Output> {
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

#[test]
fn what_sixteen_processes_write_is_all_there() {
    let world = World::new();
    let writers: Vec<Child> = (0..WRITERS)
        .map(|n| world.run(["set", &format!("svc{n}"), "--stdin"]).stdin(format!("value{n}")).start())
        .collect();
    for output in all(writers) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let readers: Vec<Child> = (0..WRITERS).map(|n| world.run(["get", &format!("svc{n}")]).start()).collect();
    for (n, output) in all(readers).into_iter().enumerate() {
        assert_eq!(
            output.stdout,
            format!("value{n}").into_bytes(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(world.line("list --json").ok().json().as_array().unwrap().len(), WRITERS);
    world.line("verify").ok();
    // Each write is on record, twice, whichever process wrote between.
    let records = world.line("audit show --limit 1000 --json").ok().json();
    let done = records.as_array().unwrap().iter();
    let done = done.filter(|record| record["action"] == "set" && record["outcome"] == "done").count();
    assert_eq!(done, WRITERS);
}

#[test]
fn of_many_that_expect_nothing_one_writes() {
    let world = World::new();
    let writers: Vec<Child> =
        (0..8).map(|n| world.line("set svc --stdin --cas 0").stdin(format!("value{n}")).start()).collect();
    let codes: Vec<_> = all(writers).iter().map(|output| output.status.code().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 9).count(), 7, "{codes:?}");
    assert_eq!(world.line("list --json").ok().json()[0]["version"], 1);
}

#[test]
fn versions_of_one_credential_are_counted_without_gaps() {
    let world = World::new();
    world.set("svc", "first");
    let writers: Vec<Child> =
        (0..8).map(|n| world.line("set svc --stdin").stdin(format!("value{n}")).start()).collect();
    for output in all(writers) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let history = world.line("history svc --json").ok().json();
    let versions: Vec<_> =
        history["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64()).collect();
    assert_eq!(versions, (1..=9).map(Some).collect::<Vec<_>>());
}
