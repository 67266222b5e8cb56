use super::*;
use crate::contract::{all_ids, id, object};
use claviger_types::{Entropy as _, SeededEntropy};

/// A store with a head and 200 objects, all in the database file and closed.
fn written() -> (tempfile::TempDir, PathBuf) {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    let puts: Vec<Object> = (0..200).map(object).collect();
    assert_eq!(store.commit(None, b"the head", &puts, &[]).unwrap(), Commit::Done);
    store.put(&[Object { id: id("large"), bytes: vec![7; 100_000] }]).unwrap();
    drop(store);
    // The writer was the last to leave but for a reader; a plain connection carries the log over.
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(fs::metadata(beside(&path, "-wal")).map_or(0, |log| log.len()), 0);
    (directory, path)
}

/// Changes the database behind the store's back, with nothing forbidden.
fn meddle(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!("PRAGMA writable_schema = ON; PRAGMA ignore_check_constraints = ON; {sql}"))
        .unwrap();
}

#[track_caller]
fn assert_damaged<T>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Damaged { .. }) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("no error"),
    }
}

/// Calls everything; whatever it answers, it must answer, and never that a head that was lost never was.
fn poke(path: &Path) {
    let Ok(store) = SqliteStore::open(path) else { return };
    assert_ne!(store.head().ok(), Some(None));
    let _ = store.list(None, 1000);
    let _ = store.list(Some(id(3)), 1000);
    let _ = store.get(&(0..200).map(id).chain([id("large")]).collect::<Vec<_>>());
    let _ = store.watch(None, Duration::ZERO);
    let _ = store.put(&[object("new")]);
    let _ = store.delete(&[id(5), id("large")]);
    let _ = store.commit(Some(b"the head"), b"another", &[object("newer")], &[id(6)]);
}

#[test]
fn what_is_no_database_of_ours_is_damaged() {
    let (_directory, path) = place();
    let mut noise = vec![0; 8192];
    SeededEntropy::new(1).fill(&mut noise).unwrap();
    for contents in [vec![], b"x".to_vec(), noise, vec![0; 8192], b"SQLite format 3\0".to_vec()] {
        private::make_file(&path).unwrap();
        fs::write(&path, &contents).unwrap();
        assert_damaged(SqliteStore::open(&path));
        // Nor is it changed by looking.
        assert_eq!(fs::read(&path).unwrap(), contents);
        fs::remove_file(&path).unwrap();
    }
    private::make_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE object (a); PRAGMA user_version = 1")
        .unwrap();
    assert_damaged(SqliteStore::open(&path));
}

#[test]
fn a_format_of_the_future_is_named() {
    let (_directory, path) = written();
    meddle(&path, "PRAGMA user_version = 7");
    let refused = SqliteStore::open(&path);
    assert!(matches!(refused, Err(StoreError::NewerFormat { found: 7, supported: 1 })));
    for none in [0, -1] {
        meddle(&path, &format!("PRAGMA user_version = {none}"));
        assert_damaged(SqliteStore::open(&path));
    }
}

#[test]
fn a_file_of_another_program_is_damaged() {
    for other in [0, 1, -1] {
        let (_directory, path) = written();
        meddle(&path, &format!("PRAGMA application_id = {other}"));
        assert_damaged(SqliteStore::open(&path));
    }
}

#[test]
fn a_disk_that_fails_in_the_commit_leaves_it_open_whether_it_happened() {
    let failure = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    let fsync = rusqlite::ffi::SQLITE_IOERR_FSYNC;
    assert!(matches!(fault::of_commit(failure(fsync)), StoreError::Ambiguous { .. }));
    assert!(matches!(fault::of("", failure(fsync)), StoreError::Unreachable { .. }));
    let full = rusqlite::ffi::SQLITE_FULL;
    assert!(matches!(fault::of_commit(failure(full)), StoreError::Unreachable { .. }));
    for damage in [rusqlite::ffi::SQLITE_IOERR_SHORT_READ, rusqlite::ffi::SQLITE_IOERR_CORRUPTFS] {
        assert!(matches!(fault::of("", failure(damage)), StoreError::Damaged { .. }));
    }
}

#[test]
fn a_schema_that_is_not_ours_is_damaged() {
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON object BEGIN DELETE FROM object; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (a)",
        "CREATE INDEX i ON object (created)",
        "DROP TABLE head",
        "DROP TABLE object",
        "DROP TABLE head; CREATE VIEW head AS SELECT 1 AS only, 1 AS commits, x'00' AS bytes",
        "DELETE FROM sqlite_schema",
        "UPDATE sqlite_schema SET sql = 'nonsense' WHERE name = 'head'",
        "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'head'",
    ] {
        let (_directory, path) = written();
        meddle(&path, sql);
        let found = SqliteStore::open(&path).and_then(|store| store.head());
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{sql}: {found:?}");
    }
    // Statistics that somebody had gathered do no harm.
    let (_directory, path) = written();
    meddle(&path, "ANALYZE");
    assert_eq!(SqliteStore::open(&path).unwrap().head().unwrap(), Some(b"the head".to_vec()));
}

#[test]
fn a_head_that_was_lost_is_damage_and_not_none() {
    for sql in [
        "DELETE FROM head",
        "UPDATE head SET bytes = NULL",
        "UPDATE head SET commits = 0",
        "UPDATE head SET commits = -1",
        "UPDATE head SET bytes = zeroblob(65537)",
        "DELETE FROM head; DELETE FROM object",
    ] {
        let (_directory, path) = written();
        meddle(&path, sql);
        let store = SqliteStore::open(&path).unwrap();
        assert_damaged(store.head());
        assert_damaged(store.commit(None, b"new", &[], &[]));
        assert_damaged(store.commit(Some(b"the head"), b"new", &[], &[]));
    }
}

#[test]
fn values_that_we_never_write_are_damage() {
    // STRICT guards only against those who keep to it.
    let loosened = |sql: &str| {
        let (directory, path) = written();
        meddle(&path, "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')");
        meddle(&path, sql);
        meddle(&path, "UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE type = 'table'");
        (directory, SqliteStore::open(&path).unwrap())
    };
    for wrong in ["'text'", "12", "1.5"] {
        let (_directory, store) = loosened(&format!("UPDATE object SET bytes = {wrong} WHERE number = 5"));
        assert_damaged(store.get(&(0..200).map(id).collect::<Vec<_>>()));
        let (_directory, store) = loosened(&format!("UPDATE object SET id = {wrong} WHERE number = 5"));
        assert_damaged(store.list(None, 1000));
        let (_directory, store) = loosened(&format!("UPDATE head SET bytes = {wrong}"));
        assert_damaged(store.head());
    }
    let (_directory, store) = loosened("UPDATE object SET created = 'yesterday' WHERE number = 5");
    assert_damaged(store.list(None, 1000));
    let (_directory, store) = loosened("UPDATE head SET commits = 'many'");
    assert_damaged(store.head());
}

#[test]
fn sizes_that_we_never_write_are_damage() {
    let large = |bytes: usize| format!("UPDATE object SET bytes = zeroblob({bytes}) WHERE number = 5");
    let some_id = |path: &Path| -> ObjectId {
        let connection = Connection::open(path).unwrap();
        let read = |row: &Row<'_>| row.get::<_, Vec<u8>>(0);
        let bytes = connection.query_row("SELECT id FROM object WHERE number = 5", [], read).unwrap();
        ObjectId::try_from(bytes.as_slice()).unwrap()
    };
    for bytes in [MAX_OBJECT_BYTES + 1, 64 << 20] {
        let (_directory, path) = written();
        meddle(&path, &large(bytes));
        assert_damaged(SqliteStore::open(&path).unwrap().get(&[some_id(&path)]));
    }
    for (wrong, sql) in [
        ("id", "UPDATE object SET id = x'00' WHERE number = 5"),
        ("id", "UPDATE object SET id = x'' WHERE number = 5"),
        ("time", "UPDATE object SET created = -5 WHERE number = 5"),
    ] {
        let (_directory, path) = written();
        meddle(&path, sql);
        let found = SqliteStore::open(&path).unwrap().list(None, 1000);
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{wrong}: {found:?}");
    }
    // A time in the future is a clock that went back: the object is young.
    let (_directory, path) = written();
    meddle(&path, &format!("UPDATE object SET created = {}", i64::MAX));
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.list(None, 1000).unwrap().iter().all(|listed| listed.age == Duration::ZERO));
}

#[test]
fn a_truncated_database_is_damaged() {
    let (_directory, path) = written();
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 99, 100, 4095, 4096, 8192, whole.len() / 2, whole.len() - 4096] {
        fs::write(&path, &whole[..length]).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&path, suffix));
        }
        let found = SqliteStore::open(&path).and_then(|store| store.head());
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{length}: {found:?}");
        poke(&path);
    }
}

#[test]
fn a_database_overwritten_anywhere_never_panics() {
    let (_directory, path) = written();
    let whole = fs::read(&path).unwrap();
    let random = SeededEntropy::new(2);
    for round in 0..100_usize {
        let mut bytes = [0; 8];
        random.fill(&mut bytes).unwrap();
        let mut damaged = whole.clone();
        // Every second round hits the first pages, where the structure is.
        let reach = if round % 2 == 0 { damaged.len() } else { 5 * 4096 };
        let at = usize::try_from(u64::from_be_bytes(bytes)).unwrap() % reach;
        let length = [1, 4, 64, 4096][round % 4].min(damaged.len() - at);
        random.fill(&mut damaged[at..at + length]).unwrap();
        fs::write(&path, &damaged).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&path, suffix));
        }
        poke(&path);
    }
}

#[test]
fn a_damaged_log_never_panics_and_never_shows_half_a_commit() {
    let random = SeededEntropy::new(3);
    let (_directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    assert_eq!(
        store.commit(None, b"1", &(0..50).map(object).collect::<Vec<_>>(), &[]).unwrap(),
        Commit::Done
    );
    assert_eq!(
        store.commit(Some(b"1"), b"2", &(50..99).map(object).collect::<Vec<_>>(), &[]).unwrap(),
        Commit::Done
    );
    let (database, log) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    assert!(log.len() > 20_000);
    drop(store);
    for round in 0..60_usize {
        let mut damaged = log.clone();
        let mut at = [0; 8];
        random.fill(&mut at).unwrap();
        let at = usize::try_from(u64::from_be_bytes(at)).unwrap() % log.len();
        if round % 2 == 0 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 0x40;
        }
        fs::write(&path, &database).unwrap();
        let _ = fs::remove_file(beside(&path, "-wal"));
        private::make_file(&beside(&path, "-wal")).unwrap();
        fs::write(beside(&path, "-wal"), &damaged).unwrap();
        let _ = fs::remove_file(beside(&path, "-shm"));
        let store = SqliteStore::open(&path).unwrap();
        let expected = match store.head().unwrap().as_deref() {
            None => 0,
            Some(b"1") => 50,
            Some(b"2") => 99,
            Some(other) => panic!("{other:?}"),
        };
        assert_eq!(all_ids(&store, 1000).len(), expected);
    }
}
