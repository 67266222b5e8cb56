//! The whole store is rolled back.

use crate::victim::Victim;
use std::fs;

const SAYS: [&str; 3] =
    ["the vault was rolled back: the store is at epoch ", "this host has seen epoch ", "`claviger trust"];

#[track_caller]
fn assert_refused(victim: &Victim) {
    victim.nothing_read(8, &SAYS);
    let outcome = victim.world.line("verify").outcome();
    assert_eq!(outcome.code, Some(8), "{}", outcome.stderr);
    assert!(outcome.text().contains("ROLLED BACK: the store is at epoch "), "{}", outcome.text());
    assert!(!outcome.text().contains("whole"), "{}", outcome.text());
}

#[test]
fn an_older_copy_of_all_files_is_refused_by_every_command() {
    let mut victim = Victim::new();
    let older = victim.store.files();
    victim.set("service0", "newer");
    victim.world.line("delete service1").ok();
    victim.world.line("undelete service1").ok();
    let newest = victim.store.files();
    victim.store.restore(&older);
    assert_refused(&victim);
    // Neither refusals nor inspections lowered the anchor.
    assert_refused(&victim);
    victim.store.restore(&newest);
    victim.assert_whole();
}

/// SQLite's log holds what a writer that was killed had committed: without it the file is an older one.
#[test]
fn a_store_without_its_log_is_an_older_one() {
    let mut victim = Victim::new();
    let older = victim.store.files();
    // A reader that stays keeps the log from being carried over.
    let reader = rusqlite::Connection::open(victim.world.store()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM object").unwrap();
    victim.set("service0", "newer");
    let newest = victim.store.files();
    drop(reader);
    victim.store.restore(&newest);
    let log = victim.world.store().with_file_name("vault.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    for gone in ["vault.db-wal", "vault.db-shm"] {
        fs::remove_file(victim.world.store().with_file_name(gone)).unwrap();
    }
    assert_refused(&victim);
    victim.store.restore(&older);
    assert_refused(&victim);
    victim.store.restore(&newest);
    victim.assert_whole();
}
