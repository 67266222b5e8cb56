//! Deletion that is real: the bytes of what was destroyed are in none of the store's files.

use crate::{check, filled};
use claviger_tests::World;
use rusqlite::Connection;
use std::fs;

/// The bytes of every object, as they lie in the database now.
fn objects(world: &World) -> Vec<Vec<u8>> {
    let store = Connection::open(world.store()).unwrap();
    let mut statement = store.prepare("SELECT bytes FROM object").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Which of these are still in any file of the store, byte by byte. They are told by their end, which is ciphertext and tag
/// or a wrapped key, and recurs nowhere.
fn left(world: &World, gone: &[Vec<u8>]) -> usize {
    let files: Vec<Vec<u8>> = fs::read_dir(world.store().parent().unwrap())
        .unwrap()
        .flatten()
        .map(|entry| fs::read(entry.path()).unwrap())
        .collect();
    let marks: Vec<_> = gone.iter().map(|bytes| bytes[bytes.len() - 24..].to_vec()).collect();
    marks
        .iter()
        .filter(|mark| {
            files.iter().any(|file| file.windows(mark.len()).any(|window| window == mark.as_slice()))
        })
        .count()
}

/// What of that is sealed: credentials, data keys and what is told of them. Index nodes hold only digests, and the same
/// ones stand in their successors.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xd0]) || bytes.starts_with(&[0xd8, 0x60])
}

/// What a command took away.
fn taken(world: &World, line: &str) -> (Vec<Vec<u8>>, String) {
    let before = objects(world);
    let stderr = world.line(line).ok().stderr;
    let after = objects(world);
    (before.into_iter().filter(|bytes| is_sealed(bytes) && !after.contains(bytes)).collect(), stderr)
}

#[test]
fn what_was_destroyed_or_rotated_away_is_in_no_file() {
    let world = filled();
    world.set("large/a", vec![b'x'; 300_000]);
    world.set("large/b", vec![b'y'; 9_000]);
    for (line, least) in [
        ("destroy large/a --all --yes", 4),
        ("destroy svc1 --versions 1 --yes", 3),
        ("rotate service svc2", 3),
        ("rotate service --all", 10),
        ("rotate master --destroy-old", 6),
        ("rotate master --compromised", 12),
    ] {
        let (gone, _) = taken(&world, line);
        assert!(gone.len() >= least, "{line}: {}", gone.len());
        assert_eq!(left(&world, &gone), 0, "{line}: of {} objects", gone.len());
    }
    // The search can find: what merely fell out of the vault still lies in the file while somebody else has it open.
    let reader = Connection::open(world.store()).unwrap();
    reader.query_row("SELECT count(*) FROM object", [], |row| row.get::<_, i64>(0)).unwrap();
    let (gone, _) = taken(&world, "delete svc3");
    assert!(left(&world, &gone) > 0, "the search finds nothing at all");
}

#[test]
fn an_erasure_that_a_reader_holds_up_is_pending_until_it_is_done() {
    let world = filled();
    let reader = Connection::open(world.store()).unwrap();
    let transaction = reader.unchecked_transaction().unwrap();
    transaction.query_row("SELECT count(*) FROM object", [], |row| row.get::<_, i64>(0)).unwrap();
    let done = world.line("destroy svc1 --all --yes").ok();
    assert!(done.stderr.contains("erasure is pending"), "{}", done.stderr);
    let json = world.line("status --json").ok().json();
    assert!(json["warnings"].to_string().contains("gc --erase"), "{json}");
    drop(transaction);
    drop(reader);
    let collected = world.line("gc --erase --json").ok().json();
    assert_eq!(collected["erasure"], "done");
    assert!(!world.line("status --json").ok().json()["warnings"].to_string().contains("gc --erase"));
    world.set("svc1", "value 1");
    check(&world);
}
