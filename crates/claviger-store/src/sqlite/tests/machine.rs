use super::*;
use crate::contract::{
    disk::{Disk, with_small_files_only},
    processes::{Other, whole_commit},
};
use rustix::process::geteuid;
use std::process::Command;

#[test]
fn a_full_disk_is_an_error_and_no_damage() {
    let head = b"before the disk was full";
    let begin = |path: &Path| {
        let store = SqliteStore::create(path).unwrap();
        assert_eq!(store.commit(None, head, &[contract::object("a")], &[]).unwrap(), Commit::Done);
        store
    };
    let whole = |store: &SqliteStore| {
        assert_eq!(store.head().unwrap().as_deref(), Some(head.as_slice()));
        assert_eq!(store.get(&[contract::id("a")]).unwrap(), [Some(contract::object("a").bytes)]);
    };
    if geteuid().is_root() {
        let disk = Disk::of_bytes(1 << 20);
        let path = disk.directory.path().join("vault.db");
        let store = begin(&path);
        let ballast = disk.directory.path().join("ballast");
        fs::write(&ballast, vec![1; 300_000]).unwrap();
        let large = |number: u8| Object { id: contract::id(number), bytes: vec![number; 100_000] };
        let refused = (0..20).find_map(|number| store.put(&[large(number)]).err()).unwrap();
        assert!(matches!(refused, StoreError::Unreachable { .. }), "{refused:?}");
        let refused = store.commit(Some(head), b"too much", &[large(99)], &[]);
        assert!(
            matches!(refused, Err(StoreError::Unreachable { .. } | StoreError::Ambiguous { .. })),
            "{refused:?}"
        );
        whole(&store);
        // With room again it goes on, in this process and in the next.
        fs::remove_file(ballast).unwrap();
        assert_eq!(store.commit(Some(head), head, &[large(99)], &[]).unwrap(), Commit::Done);
        drop(store);
        whole(&SqliteStore::open(&path).unwrap());
    } else {
        let (_directory, path) = place();
        drop(begin(&path));
        let said = Other::start_by(with_small_files_only(), "fill", &sqlite_url(&path)).hear().unwrap();
        assert!(said.starts_with("Unreachable") || said.starts_with("Ambiguous"), "{said}");
        let store = SqliteStore::open(&path).unwrap();
        whole(&store);
        store.put(&[contract::object("b")]).unwrap();
    }
}

#[test]
fn what_cannot_be_written_can_be_read() {
    let refuses = |path: &Path| {
        let store = SqliteStore::open(path).unwrap();
        assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
        for refused in [
            store.put(&[contract::object("b")]),
            store.delete(&[contract::id("a")]),
            store.commit(Some(b"1"), b"2", &[], &[]).map(|_| ()),
        ] {
            assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
        }
        assert_eq!(contract::all_ids(&store, 10), [contract::id("a")]);
    };
    let begin = |path: &Path| {
        let store = SqliteStore::create(path).unwrap();
        assert_eq!(store.commit(None, b"1", &[contract::object("a")], &[]).unwrap(), Commit::Done);
        store
    };
    let (directory, path) = place();
    let store = begin(&path);
    if geteuid().is_root() {
        let view = Disk::view_of(directory.path());
        refuses(&view.directory.path().join("vault.db"));
    } else {
        drop(store);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        refuses(&path);
    }
}

/// A store of some 600,000 bytes with an erasure to do.
fn to_be_erased(path: &Path) -> SqliteStore {
    let store = SqliteStore::create(path).unwrap();
    let objects: Vec<Object> =
        (0..6).map(|name| Object { id: contract::id(name), bytes: vec![name; 100_000] }).collect();
    assert_eq!(store.commit(None, b"1", &objects, &[]).unwrap(), Commit::Done);
    store.begin_erasure().unwrap();
    store.delete(&[contract::id(0)]).unwrap();
    Connection::open(path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    store
}

#[test]
fn a_full_disk_keeps_an_erasure_pending() {
    let whole = |store: &SqliteStore| {
        assert!(store.erasure_pending().unwrap());
        assert_eq!(store.get(&[contract::id(5)]).unwrap(), [Some(vec![5; 100_000])]);
        assert_eq!(contract::all_ids(store, 10).len(), 5);
    };
    if geteuid().is_root() {
        let disk = Disk::of_bytes(2 << 20);
        let path = disk.directory.path().join("vault.db");
        let store = to_be_erased(&path);
        let ballast = disk.directory.path().join("ballast");
        fs::write(&ballast, vec![1; 1_000_000]).unwrap();
        let ended = store.erase().unwrap();
        assert!(matches!(&ended, Erasure::Pending { reason } if reason.contains("room")), "{ended:?}");
        whole(&store);
        fs::remove_file(ballast).unwrap();
        assert_eq!(store.erase().unwrap(), Erasure::Done);
        assert!(!store.erasure_pending().unwrap());
        // The same where SQLite writes the new shape first, in the directory for temporary files.
        let (_directory, path) = place();
        let store = to_be_erased(&path);
        // More than it keeps in memory.
        let more = |name| Object { id: contract::id(name), bytes: vec![1; MAX_OBJECT_BYTES] };
        store.put(&(6..16).map(more).collect::<Vec<_>>()).unwrap();
        let small = Disk::of_bytes(100_000);
        let mut other = Command::new(std::env::current_exe().unwrap());
        other.env("SQLITE_TMPDIR", small.directory.path());
        let said = Other::start_by(other, "erase", &sqlite_url(&path)).hear().unwrap();
        assert!(said.contains("Pending") && said.contains("room"), "{said}");
        assert!(store.erasure_pending().unwrap());
    } else {
        let (_directory, path) = place();
        drop(to_be_erased(&path));
        // A limit on files is no full disk, and no obstacle that passes.
        let said = Other::start_by(with_small_files_only(), "erase", &sqlite_url(&path)).hear().unwrap();
        assert!(said.contains("Unreachable"), "{said}");
        whole(&SqliteStore::open(&path).unwrap());
    }
}

#[test]
fn on_a_disk_that_became_read_only_nothing_changes() {
    if !geteuid().is_root() {
        // Only root can mount one; for everyone else there is the test above, with a file that may not be written.
        return;
    }
    let contents = |directory: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        // By another program: if this one closed the file, SQLite would lose its locks on it.
        entries.map(|path| (path.clone(), Command::new("cat").arg(path).output().unwrap().stdout)).collect()
    };
    // With the log and its index beside it the database can be read.
    let (directory, path) = place();
    let elsewhere = to_be_erased(&path);
    let view = Disk::view_of(directory.path());
    let before = contents(view.directory.path());
    let store = SqliteStore::open(&view.directory.path().join("vault.db")).unwrap();
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    assert!(store.erasure_pending().unwrap());
    for refused in [
        store.put(&[contract::object("b")]),
        store.commit(Some(b"1"), b"2", &[], &[contract::id(5)]).map(|_| ()),
        store.work_lock().map(|_| ()),
        store.begin_erasure(),
        store.erase().map(|_| ()),
    ] {
        assert!(matches!(refused, Err(StoreError::Unreachable { .. })), "{refused:?}");
    }
    assert_eq!(contract::all_ids(&store, 10).len(), 5);
    assert_eq!(contents(view.directory.path()), before);
    assert_eq!(elsewhere.erase().unwrap(), Erasure::Done);

    // Without them SQLite would have to make them, and says that it cannot.
    let disk = Disk::of_bytes(4 << 20);
    let path = disk.directory.path().join("vault.db");
    drop(to_be_erased(&path));
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    disk.make_read_only();
    let before = contents(disk.directory.path());
    assert_eq!(before.len(), 2, "{:?}", before.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let refused = SqliteStore::open(&path).err().unwrap();
    assert!(matches!(refused, StoreError::Unreachable { .. }), "{refused:?}");
    assert_eq!(contents(disk.directory.path()), before);
}

#[test]
fn a_copy_made_while_writing_is_whole_or_refused() {
    let (directory, path) = place();
    SqliteStore::create(&path).unwrap();
    let mut writer = Other::start("commit for ever", &sqlite_url(&path));
    writer.hear().unwrap();
    let mut whole = 0;
    for number in 0..12 {
        let copy = directory.path().join(format!("copy{number}.db"));
        // By another program: if this one closed the file, SQLite would lose its locks on it. The log is copied first:
        // then no checkpoint can take from the database what the copy of the log lacks.
        for suffix in ["-wal", ""] {
            let status =
                Command::new("cp").arg(beside(&path, suffix)).arg(beside(&copy, suffix)).status().unwrap();
            assert!(status.success());
            fs::set_permissions(beside(&copy, suffix), fs::Permissions::from_mode(0o600)).unwrap();
        }
        // A copy can be torn in any way; then a call says so, or the vault will find objects that do not fit.
        let Ok(store) = SqliteStore::open(&copy) else { continue };
        let Ok(head) = store.head() else { continue };
        assert_eq!(head.unwrap().len(), 4);
        let _ = store.list(None, 1000);
        whole += u32::from(whole_commit(&store).is_ok());
        writer.hear().unwrap();
    }
    drop(writer);
    // The original never suffers.
    whole_commit(&SqliteStore::open(&path).unwrap()).unwrap();
    println!("{whole} of 12 copies were whole");
}
