use super::*;
use crate::{
    SqliteStore,
    contract::{
        disk::{Disk, with_small_files_only},
        processes::{Other, archive_beside},
    },
    sqlite_url,
};
use rustix::process::geteuid;

/// A directory with a store, whose URL is how other processes find it.
fn with_store() -> (tempfile::TempDir, String) {
    let private = fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(private).tempdir().unwrap();
    let path = directory.path().join("vault.db");
    SqliteStore::create(&path).unwrap();
    (directory, sqlite_url(&path))
}

#[test]
fn a_killed_writer_leaves_nothing_under_the_name() {
    let (directory, url) = with_store();
    for _ in 0..4 {
        let mut writer = Other::start("write an archive for ever", &url);
        for _ in 0..20 {
            writer.hear().unwrap();
        }
        assert!(!archive_beside(&url).exists());
        writer.kill();
        assert!(!archive_beside(&url).exists());
    }
    // What is left are drafts, and they are in nobody's way.
    assert_eq!(names(directory.path()).iter().filter(|name| name.starts_with("vault.archive.")).count(), 4);
    write(&archive_beside(&url), &[object("a")], b"head");
    ArchiveStore::open(&archive_beside(&url)).unwrap();
}

#[test]
fn a_full_disk_leaves_no_archive() {
    let large = |number: u8| Object { id: id(number), bytes: vec![number; 100_000] };
    if geteuid().is_root() {
        let disk = Disk::of_bytes(1 << 20);
        let path = disk.directory.path().join("vault.backup");
        let mut archive = ArchiveWriter::create(&path).unwrap();
        let ballast = disk.directory.path().join("ballast");
        fs::write(&ballast, vec![1; 500_000]).unwrap();
        let refused = (0..20).find_map(|number| archive.put(&large(number)).err()).unwrap();
        assert!(matches!(refused, StoreError::Unreachable { .. }), "{refused:?}");
        // With room again it is still an archive with a hole.
        fs::remove_file(&ballast).unwrap();
        assert!(matches!(archive.put(&object("a")), Err(StoreError::Unreachable { .. })));
        assert!(matches!(archive.finish(b"head"), Err(StoreError::Unreachable { .. })));
        assert!(names(disk.directory.path()).is_empty());
        // The last bytes may be those that find no room.
        let mut archive = ArchiveWriter::create(&path).unwrap();
        archive.put(&large(1)).unwrap();
        fs::write(&ballast, vec![1; 2 << 20]).unwrap_err();
        assert!(matches!(archive.finish(b"head"), Err(StoreError::Unreachable { .. })));
        assert_eq!(names(disk.directory.path()), ["ballast"]);
    } else {
        let (directory, url) = with_store();
        let mut writer = Other::start_by(with_small_files_only(), "write an archive for ever", &url);
        let said = std::iter::from_fn(|| writer.hear()).last().unwrap();
        assert!(said.contains("Unreachable"), "{said}");
        assert!(names(directory.path()).iter().all(|name| name.starts_with("vault.db")));
    }
}
