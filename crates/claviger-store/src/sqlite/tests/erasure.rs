use super::*;
use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

/// Bytes that are found wherever any sixteen of them in a row lie: each sixteen name the object and their place in it.
fn tell_tale(name: u16, length: usize) -> Vec<u8> {
    let piece = |place: usize| format!("~{name:05}:{place:08}~").into_bytes();
    (0..=length / 16).flat_map(piece).take(length).collect()
}

/// From a few bytes through pages of overflow to the largest credential.
const LENGTHS: [usize; 8] = [48, 300, 2000, 4000, 4200, 20_000, 300_000, 1 << 20];

fn telling(name: u16) -> Object {
    Object { id: contract::id(name), bytes: tell_tale(name, LENGTHS[usize::from(name) % LENGTHS.len()]) }
}

const TOLD: u16 = 24;

const NOWHERE: [&str; 0] = [];

/// The files, by their ends of name, in which bytes of the objects are left that `told` names, or these ids.
fn remains(directory: &Path, told: impl Fn(u16) -> bool, ids: &HashSet<ObjectId>) -> Vec<String> {
    let digits = |part: &[u8]| std::str::from_utf8(part).ok()?.parse::<u16>().ok();
    let mut starts = [false; 256];
    for id in ids {
        starts[usize::from(id.as_bytes()[0])] = true;
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        // By another program: if this one closed the file, SQLite would lose its locks on it.
        let bytes = std::process::Command::new("cat").arg(&path).output().unwrap().stdout;
        assert_eq!(bytes.len() as u64, fs::metadata(&path).unwrap().len());
        let left = bytes.windows(16).any(|part| {
            let tell_tale = part[0] == b'~' && part[6] == b':' && part[15] == b'~';
            tell_tale && digits(&part[1..6]).is_some_and(&told)
                || starts[usize::from(part[0])] && ids.contains(&ObjectId::try_from(part).unwrap())
        });
        if left {
            found.push(path.to_str().unwrap().rsplit("vault.db").next().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// A store in which two of three of these objects were deleted after some other traffic; and which they were.
fn deleted() -> (tempfile::TempDir, PathBuf, SqliteStore) {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    for name in 0..TOLD {
        store.put(&[telling(name)]).unwrap();
        let more: Vec<Object> = (0..20).map(|more| contract::object(format!("{name}/{more}"))).collect();
        store.put(&more).unwrap();
    }
    store.begin_erasure().unwrap();
    let ids: Vec<ObjectId> = (0..TOLD).filter(|name| gone(*name)).map(contract::id).collect();
    let (first, rest) = ids.split_at(5);
    store.delete(first).unwrap();
    assert_eq!(store.commit(None, b"1", &[contract::object("new")], rest).unwrap(), Commit::Done);
    (directory, path, store)
}

fn gone(name: u16) -> bool {
    !name.is_multiple_of(3)
}

/// The files in which anything of the deleted objects is left.
fn left_in(directory: &tempfile::TempDir) -> Vec<String> {
    let ids = (0..TOLD).filter(|name| gone(*name)).map(contract::id).collect();
    remains(directory.path(), gone, &ids)
}

#[test]
fn erased_bytes_are_in_no_file() {
    let (directory, path, store) = deleted();
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert_eq!(left_in(&directory), NOWHERE);
    // What was kept is found by the same search, and is whole.
    assert_eq!(remains(directory.path(), |name| !gone(name), &HashSet::new()), [""]);
    for name in (0..TOLD).filter(|name| !gone(*name)) {
        assert!(store.get(&[contract::id(name)]).unwrap() == [Some(telling(name).bytes)]);
    }
    drop(store);
    assert_eq!(left_in(&directory), NOWHERE);
    assert_eq!(SqliteStore::open(&path).unwrap().head().unwrap().as_deref(), Some(b"1".as_slice()));
}

/// The search finds what it looks for: each step less leaves something.
#[test]
fn bytes_that_were_only_deleted_are_found() {
    let (directory, path, store) = deleted();
    assert_eq!(left_in(&directory), ["-wal"]);
    Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
    assert!(left_in(&directory).contains(&"-wal".to_owned()));
    drop(store);
}

/// Why VACUUM: neither `secure_delete` nor an emptied log takes away the former shape of the tree of ids.
#[test]
fn ids_that_were_only_deleted_are_left_in_the_database() {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    let objects: Vec<Object> = (0..3000).map(contract::object).collect();
    // A page that filled up was split, and in its free half lies what moved to the other.
    objects.chunks(100).for_each(|some| store.put(some).unwrap());
    let ids: HashSet<ObjectId> = objects.iter().step_by(2).map(|object| object.id).collect();
    store.delete(&ids.iter().copied().collect::<Vec<_>>()).unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert_eq!(fs::metadata(beside(&path, "-wal")).unwrap().len(), 0);
    assert_eq!(remains(directory.path(), |_| false, &ids), [""]);
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert_eq!(remains(directory.path(), |_| false, &ids), NOWHERE);
}

#[test]
fn a_reader_of_an_older_state_keeps_an_erasure_pending() {
    let (directory, path, store) = deleted();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM object").unwrap();
    let start = Instant::now();
    let ended = store.erase().unwrap();
    let taken = start.elapsed();
    assert!(matches!(&ended, Erasure::Pending { reason } if reason.contains("reading")), "{ended:?}");
    assert!((Duration::from_secs(1)..Duration::from_secs(6)).contains(&taken), "{taken:?}");
    assert!(store.erasure_pending().unwrap());
    // Reading and writing go on, and the note outlives the store that made it.
    store.put(&[contract::object("meanwhile")]).unwrap();
    drop(store);
    let store = open_url(&sqlite_url(&path)).unwrap();
    assert!(store.erasure_pending().unwrap());
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!store.erasure_pending().unwrap());
    assert_eq!(left_in(&directory), NOWHERE);
}

#[test]
fn a_reader_that_ends_in_time_is_waited_for() {
    let (_directory, path, store) = deleted();
    std::thread::scope(|scope| {
        let (reading, begun) = std::sync::mpsc::channel();
        scope.spawn(move || {
            let reader = Connection::open(&path).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM object").unwrap();
            reading.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(400));
        });
        begun.recv().unwrap();
        assert_eq!(store.erase().unwrap(), Erasure::Done);
    });
}

#[test]
fn a_writer_that_does_not_end_keeps_an_erasure_pending() {
    let (_directory, path, store) = deleted();
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let ended = store.erase().unwrap();
    assert!(matches!(&ended, Erasure::Pending { reason } if reason.contains("using")), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(store.erasure_pending().unwrap());
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.erase().unwrap(), Erasure::Done);
}

#[test]
fn idle_connections_of_our_own_keep_nothing_pending() {
    let (directory, path, store) = deleted();
    let second = SqliteStore::open(&path).unwrap();
    let revision = second.watch(None, Duration::ZERO).unwrap();
    for store in [&store, &second] {
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| store.get(&[contract::id(0), contract::id(3)]).unwrap());
            }
        });
        store.put(&[contract::object(std::ptr::from_ref(store).addr())]).unwrap();
    }
    let start = Instant::now();
    assert_eq!(second.erase().unwrap(), Erasure::Done);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // The first store may still be deleting what it noted.
    assert!(second.erasure_pending().unwrap());
    assert_eq!(left_in(&directory), NOWHERE);
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!second.erasure_pending().unwrap());
    // What was open goes on.
    assert_eq!(store.head().unwrap(), second.head().unwrap());
    second.watch(Some(revision), Duration::ZERO).unwrap();
}

#[test]
fn readers_and_writers_of_our_own_may_go_on_meanwhile() {
    let (directory, _path, store) = deleted();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, over) = (&store, &over);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    store.get(&[contract::id(0), contract::id(3)]).unwrap();
                    store.put(&[contract::object(format!("{thread}.{number}"))]).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        let ended = store.erase();
        over.store(true, Ordering::Relaxed);
        let pending = store.erasure_pending().unwrap();
        // With commits in between it may have to be said again, but what was deleted before is gone.
        match ended.unwrap() {
            Erasure::Done => assert!(!pending),
            Erasure::Pending { reason } => {
                assert!(reason.contains("wrote") && pending, "{reason}");
            }
        }
    });
    assert_eq!(left_in(&directory), NOWHERE);
}

/// The state of the tree that VACUUM counts up, each time.
fn times_written_anew(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn after_a_commit_in_between_the_store_is_written_anew_once_more() {
    let (directory, path, store) = deleted();
    let before = times_written_anew(&path);
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM object WHERE number = 1").unwrap();
    std::thread::scope(|scope| {
        let erasing = scope.spawn(|| store.erase().unwrap());
        std::thread::sleep(Duration::from_millis(300));
        writer.execute_batch("COMMIT").unwrap();
        assert_eq!(erasing.join().unwrap(), Erasure::Done);
    });
    assert_eq!(times_written_anew(&path), before + 2);
    assert!(!store.erasure_pending().unwrap());
    assert_eq!(left_in(&directory), NOWHERE);
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert_eq!(times_written_anew(&path), before + 3);
}

/// One deletes while another writes the store anew, and dies before it can erase.
#[test]
fn the_note_of_a_deletion_that_came_too_late_stays() {
    let (_directory, path, store) = deleted();
    let eraser = Erasures::noted_in(beside(&path, ERASE));
    store.delete(&[contract::id(0)]).unwrap();
    drop(store);
    let removed = eraser.remove_note(|| Ok(false)).unwrap();
    assert!(!removed && eraser.pending().unwrap());
    assert!(eraser.remove_note(|| Ok(true)).unwrap());
    assert!(!eraser.pending().unwrap());
}
