use super::*;
use crate::{
    contract::{self, Fresh, processes},
    open_url, sqlite_files, sqlite_url,
};

use std::os::unix::fs::PermissionsExt as _;

mod erasure;
mod hostile;
mod machine;
mod permissions;

/// A directory that only we may enter, with the path of a store in it.
pub(super) fn place() -> (tempfile::TempDir, PathBuf) {
    let private = fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(private).tempdir().unwrap();
    let path = directory.path().join("vault.db");
    (directory, path)
}

fn fresh() -> Fresh {
    let (directory, path) = place();
    let clock = contract::clock();
    let store = SqliteStore::create(&path).unwrap().with_clock(clock.clone());
    Fresh { store: Arc::new(store), clock, _keep: Box::new(directory) }
}

contract::suite!(fresh);

fn on_url(test: impl FnOnce(&str)) {
    let (_directory, path) = place();
    SqliteStore::create(&path).unwrap();
    test(&sqlite_url(&path));
}

#[test]
fn one_of_many_processes_wins_each_round() {
    on_url(processes::one_of_many_processes_wins_each_round);
}

#[test]
fn watching_sees_the_commit_of_another_process() {
    on_url(processes::watching_sees_the_commit_of_another_process);
}

#[test]
fn a_killed_writer_leaves_whole_commits() {
    on_url(processes::a_killed_writer_leaves_whole_commits);
}

#[test]
fn one_of_many_processes_has_the_work_lock() {
    on_url(processes::one_of_many_processes_has_the_work_lock);
}

#[test]
fn an_erasure_of_another_process_stays_noted() {
    on_url(processes::an_erasure_of_another_process_stays_noted);
}

#[test]
fn a_killed_erasure_leaves_whole_commits() {
    on_url(processes::a_killed_erasure_leaves_whole_commits);
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    store.put(&[contract::object("a")]).unwrap();
    assert_eq!(store.commit(None, b"1", &[contract::object("b")], &[]).unwrap(), Commit::Done);
    drop(store);
    let store = open_url(&sqlite_url(&path)).unwrap();
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(contract::all_ids(&*store, 10).len(), 2);
}

#[test]
fn creating_refuses_what_is_there() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    assert_eq!(store.commit(None, b"1", &[], &[]).unwrap(), Commit::Done);
    assert!(matches!(SqliteStore::create(&path), Err(StoreError::Exists { location }) if location == path));
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    // The log of a database that is gone would be taken for the new one's.
    for suffix in ["-wal", "-shm", "-journal"] {
        let other = directory.path().join("other.db");
        let left_over = beside(&other, suffix);
        fs::write(&left_over, b"").unwrap();
        let refused = SqliteStore::create(&other);
        assert!(matches!(refused, Err(StoreError::Exists { location }) if location == left_over));
        fs::remove_file(&left_over).unwrap();
    }
    // What a lost database leaves besides stands in nobody's way.
    for suffix in ["-work", "-erase"] {
        let other = directory.path().join(format!("other{suffix}.db"));
        let left_over = beside(&other, suffix);
        fs::write(&left_over, b"").unwrap();
        fs::set_permissions(&left_over, fs::Permissions::from_mode(0o600)).unwrap();
        SqliteStore::create(&other).unwrap();
    }
}

#[test]
fn creating_leaves_nothing_else_behind() {
    let (directory, path) = place();
    drop(SqliteStore::create(&path).unwrap());
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names
            .iter()
            .all(|name| ["vault.db", "vault.db-wal", "vault.db-shm"].contains(&name.to_str().unwrap()))
    );
}

#[test]
fn all_files_of_a_store_are_named() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    store.put(&[contract::object("a")]).unwrap();
    store.begin_erasure().unwrap();
    let _held = store.work_lock().unwrap();
    let named = sqlite_files(&sqlite_url(&path)).unwrap();
    assert_eq!(named[0], path);
    let found: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|file| named.contains(file)), "{found:?}");
    assert!(sqlite_files("etcd://host/prefix").is_err());
}

#[test]
fn opening_makes_nothing() {
    let (directory, path) = place();
    assert!(
        matches!(SqliteStore::open(&path), Err(StoreError::Absent { location }) if location.ends_with("vault.db"))
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let nowhere = directory.path().join("missing/vault.db");
    assert!(matches!(SqliteStore::open(&nowhere), Err(StoreError::Absent { .. })));
    assert!(SqliteStore::open(Path::new("/")).is_err());
}

#[test]
fn a_writer_waits_for_its_turn_and_then_gives_up() {
    let (_directory, path) = place();
    SqliteStore::create(&path).unwrap();
    let wait = Duration::from_millis(60);
    let store = SqliteStore::open_waiting(&path, wait).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let refused = store.put(&[contract::object("a")]);
    assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
    assert!(start.elapsed() >= wait / 2);
    // Reading goes on meanwhile, and writing afterwards.
    assert_eq!(store.head().unwrap(), None);
    other.execute_batch("ROLLBACK").unwrap();
    store.put(&[contract::object("a")]).unwrap();
}

#[test]
fn a_thread_waits_for_another_and_then_gives_up() {
    let (_directory, path) = place();
    SqliteStore::create(&path).unwrap();
    let store = SqliteStore::open_waiting(&path, Duration::from_millis(60)).unwrap();
    std::thread::scope(|scope| {
        let (entered, inside) = std::sync::mpsc::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let pool = &store.pool;
        scope.spawn(move || {
            pool.write(|_| {
                entered.send(()).unwrap();
                left.recv().unwrap();
                Ok(())
            })
        });
        inside.recv().unwrap();
        assert!(matches!(store.delete(&[contract::id("a")]), Err(StoreError::Unreachable { .. })));
        leave.send(()).unwrap();
    });
    store.put(&[contract::object("a")]).unwrap();
}

#[test]
fn a_file_put_in_the_place_of_the_open_one_is_noticed() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    let revision = store.watch(None, Duration::ZERO).unwrap();
    let other = directory.path().join("other.db");
    drop(SqliteStore::create(&other).unwrap());
    fs::rename(&other, &path).unwrap();
    assert!(matches!(store.watch(Some(revision), Duration::ZERO), Err(StoreError::Unreachable { .. })));
    assert!(matches!(store.put(&[contract::object("a")]), Err(StoreError::Unreachable { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.put(&[contract::object("a")]), Err(StoreError::Absent { .. })));
}

#[test]
fn many_threads_read_and_write_at_once() {
    let (_directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..12 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..10 {
                    let object = contract::object(format!("{thread}/{number}"));
                    store.put(std::slice::from_ref(&object)).unwrap();
                    assert_eq!(store.get(&[object.id]).unwrap(), [Some(object.bytes)]);
                    store.list(None, 5).unwrap();
                }
            });
        }
    });
    assert_eq!(contract::all_ids(&store, 50).len(), 120);
}
