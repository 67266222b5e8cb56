use super::*;
use crate::{
    Commit, Erasure, MAX_HEAD_BYTES, MAX_OBJECT_BYTES, Object, Revision, Store, StoreError,
    contract::{all_ids, id, object},
};
use claviger_types::ObjectId;
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

mod hostile;
mod machine;

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vault.backup");
    (directory, path)
}

fn write(path: &Path, objects: &[Object], head: &[u8]) -> ArchiveSummary {
    let mut archive = ArchiveWriter::create(path).unwrap();
    for object in objects {
        archive.put(object).unwrap();
    }
    archive.finish(head).unwrap()
}

/// An archive made by hand, as the format says, of these parts and the digest over them.
fn by_hand(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = parts.concat();
    bytes.extend(Digest::of(&bytes).as_bytes());
    bytes
}

fn record(object: &Object) -> Vec<u8> {
    let length = u32::try_from(object.bytes.len()).unwrap().to_be_bytes();
    [b"O".as_slice(), object.id.as_bytes(), &length, &object.bytes].concat()
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_byte_is_as_the_format_says() {
    let (_directory, path) = place();
    let objects = [object("b"), Object { id: id("empty"), bytes: vec![] }, object("a")];
    let summary = write(&path, &objects, b"the head");
    let records: Vec<u8> = objects.iter().flat_map(record).collect();
    let expected =
        by_hand(&[b"claviger-archive 1\n", &records, b"H\0\0\0\x08the head", b"\0\0\0\0\0\0\0\x03"]);
    let bytes = fs::read(&path).unwrap();
    assert!(bytes == expected);
    assert_eq!(summary.objects, 3);
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.digest.as_bytes(), bytes.last_chunk::<32>().unwrap());
    assert_eq!(ArchiveStore::open(&path).unwrap().summary(), summary);
}

#[test]
fn what_was_written_is_read_back() {
    let (_directory, path) = place();
    let mut objects: Vec<Object> = (0..500).map(object).collect();
    objects.push(Object { id: id("large"), bytes: vec![0xa5; MAX_OBJECT_BYTES] });
    objects.push(Object { id: ObjectId::from_bytes([0; 16]), bytes: vec![] });
    objects.push(Object { id: ObjectId::from_bytes([0xff; 16]), bytes: vec![1] });
    write(&path, &objects, &vec![7; MAX_HEAD_BYTES]);
    let store = ArchiveStore::open(&path).unwrap();
    assert_eq!(store.head().unwrap(), Some(vec![7; MAX_HEAD_BYTES]));
    let mut expected: Vec<ObjectId> = objects.iter().map(|object| object.id).collect();
    assert!(store.get(&expected).unwrap().into_iter().flatten().eq(objects.into_iter().map(|one| one.bytes)));
    assert_eq!(store.get(&[id("nobody"), id(3), id(3)]).unwrap().iter().flatten().count(), 2);
    assert_eq!(store.get(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    expected.sort_unstable();
    for page in [1, 7, 503, 1000] {
        assert_eq!(all_ids(&store, page), expected);
    }
    // From between two ids, and past the end.
    let mut between = *expected[100].as_bytes();
    between[15] ^= 1;
    let after = expected.iter().find(|id| **id > ObjectId::from_bytes(between)).unwrap();
    assert_eq!(store.list(Some(ObjectId::from_bytes(between)), 1).unwrap()[0].id, *after);
    assert_eq!(store.list(Some(ObjectId::from_bytes([0xff; 16])), 5).unwrap(), []);
    assert_eq!(store.list(None, 0).unwrap(), []);
    assert_eq!(store.list(None, usize::MAX).unwrap().len(), expected.len());
}

#[test]
fn an_archive_of_nothing_is_an_archive() {
    let (_directory, path) = place();
    write(&path, &[], b"");
    let store = ArchiveStore::open(&path).unwrap();
    assert_eq!(store.head().unwrap(), Some(vec![]));
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert_eq!(store.get(&[id("a")]).unwrap(), [None]);
}

#[test]
fn an_id_may_stand_twice_with_the_same_bytes_only() {
    let (directory, path) = place();
    write(&path, &[object("a"), object("b"), object("a"), object("a")], b"head");
    let store = ArchiveStore::open(&path).unwrap();
    assert_eq!(store.summary().objects, 4);
    assert_eq!(all_ids(&store, 10).len(), 2);
    assert_eq!(store.get(&[id("a"), id("b")]).unwrap(), [Some(object("a").bytes), Some(object("b").bytes)]);
    let longer = [object("a").bytes.as_slice(), b"!"].concat();
    for (number, bytes) in [object("b").bytes, vec![], longer].into_iter().enumerate() {
        let path = directory.path().join(number.to_string());
        let other = Object { id: id("a"), bytes };
        write(&path, &[object("a"), object("b"), object("a"), other, object("c"), object("c")], b"head");
        let refused = ArchiveStore::open(&path).unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, StoreError::Damaged { .. }) && text.contains("twice"), "{text}");
        assert!(text.contains(&id("a").to_string()), "{text}");
    }
}

#[test]
fn an_archive_is_never_changed() {
    let (_directory, path) = place();
    write(&path, &[object("a")], b"head");
    let before = fs::read(&path).unwrap();
    let store = ArchiveStore::open(&path).unwrap();
    for refused in [
        store.put(&[object("b")]),
        store.delete(&[id("a")]),
        store.commit(Some(b"head"), b"2", &[], &[]).map(|_| ()),
        store.begin_erasure(),
    ] {
        assert!(
            matches!(&refused, Err(StoreError::ReadOnly { location }) if *location == path),
            "{refused:?}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    let held = store.work_lock().unwrap();
    assert!(held.is_some() && store.work_lock().unwrap().is_some());
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!store.erasure_pending().unwrap());
}

#[test]
fn watching_sees_no_change_and_times_out() {
    let (_directory, path) = place();
    write(&path, &[], b"head");
    let store = ArchiveStore::open(&path).unwrap();
    let revision = store.watch(None, Duration::from_secs(20)).unwrap();
    assert_eq!(store.watch(Some(revision), Duration::ZERO).unwrap(), revision);
    let start = Instant::now();
    assert_eq!(store.watch(Some(revision), Duration::from_millis(30)).unwrap(), revision);
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(store.watch(Some(Revision(7)), Duration::from_secs(20)).unwrap(), revision);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn ages_are_those_of_the_file() {
    let (_directory, path) = place();
    write(&path, &[object("a"), object("b")], b"head");
    let hour = Duration::from_hours(1);
    let age = |changed: SystemTime| {
        File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
        let listed = ArchiveStore::open(&path).unwrap().list(None, 10).unwrap();
        assert_eq!(listed[0].age, listed[1].age);
        listed[0].age
    };
    let old = age(SystemTime::now() - hour);
    assert!(old >= hour && old < hour + Duration::from_mins(1), "{old:?}");
    assert_eq!(age(SystemTime::now() + hour), Duration::ZERO);
    // A time that no clock of ours gave makes it very old.
    assert!(age(SystemTime::UNIX_EPOCH - hour) > hour * 24 * 365 * 50);
}

#[test]
fn an_archive_appears_when_it_is_finished_and_for_its_owner_alone() {
    let (directory, path) = place();
    let mut archive = ArchiveWriter::create(&path).unwrap();
    let draft = directory.path().join(&names(directory.path())[0]);
    assert_eq!(fs::metadata(&draft).unwrap().permissions().mode() & 0o7777, 0o600);
    for number in 0..5 {
        assert_eq!(archive.count(), number);
        archive.put(&object(number)).unwrap();
    }
    assert!(!path.exists());
    archive.finish(b"head").unwrap();
    assert_eq!(names(directory.path()), ["vault.backup"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    // One that is given up leaves nothing, and two may be on their way at once.
    let other = directory.path().join("other");
    let (mut first, second) =
        (ArchiveWriter::create(&other).unwrap(), ArchiveWriter::create(&other).unwrap());
    first.put(&object("a")).unwrap();
    drop(first);
    second.finish(b"second").unwrap();
    assert_eq!(names(directory.path()).len(), 2);
    assert_eq!(ArchiveStore::open(&other).unwrap().head().unwrap().as_deref(), Some(b"second".as_slice()));
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let (directory, path) = place();
    fs::write(&path, b"precious").unwrap();
    assert!(matches!(ArchiveWriter::create(&path), Err(StoreError::Exists { location }) if location == path));
    fs::remove_file(&path).unwrap();
    // Nor is one that came meanwhile.
    let archive = ArchiveWriter::create(&path).unwrap();
    fs::write(&path, b"precious").unwrap();
    let refused = archive.finish(b"head");
    assert!(matches!(refused, Err(StoreError::Exists { location }) if location == path));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(names(directory.path()), ["vault.backup"]);
    // A link that leads nowhere is there, too.
    fs::remove_file(&path).unwrap();
    symlink(directory.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(ArchiveWriter::create(&path), Err(StoreError::Exists { .. })));
    assert_eq!(names(directory.path()), ["vault.backup"]);
}

#[test]
fn what_is_too_large_is_refused() {
    let (directory, path) = place();
    let mut archive = ArchiveWriter::create(&path).unwrap();
    let large = Object { id: id("large"), bytes: vec![0; MAX_OBJECT_BYTES + 1] };
    assert!(matches!(archive.put(&large), Err(StoreError::TooLarge { limit: MAX_OBJECT_BYTES, .. })));
    // It is as if nobody had asked.
    archive.put(&object("a")).unwrap();
    archive.finish(b"head").unwrap();
    assert_eq!(all_ids(&ArchiveStore::open(&path).unwrap(), 10), [id("a")]);
    let archive = ArchiveWriter::create(&directory.path().join("other")).unwrap();
    let refused = archive.finish(&vec![0; MAX_HEAD_BYTES + 1]);
    assert!(matches!(refused, Err(StoreError::TooLarge { limit: MAX_HEAD_BYTES, .. })));
    assert_eq!(names(directory.path()), ["vault.backup"]);
}

#[test]
fn a_shared_archive_is_a_store() {
    let (_directory, path) = place();
    write(&path, &[object("a")], b"head");
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(ArchiveStore::open(&path).unwrap());
    assert_eq!(store.get(&[id("a")]).unwrap(), [Some(object("a").bytes)]);
    let refused: Result<Commit, StoreError> = store.commit(None, b"", &[], &[]);
    assert!(refused.is_err());
}
