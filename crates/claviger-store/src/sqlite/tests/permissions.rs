use super::*;
use rustix::{fs::Mode, process::geteuid};
use std::os::unix::fs::{MetadataExt as _, chown, symlink};

/// What the refusal of this path says.
fn refusal(path: &Path) -> (PathBuf, String) {
    match SqliteStore::open(path) {
        Err(error @ StoreError::Exposed { .. }) => {
            let text = error.to_string();
            let StoreError::Exposed { path, .. } = error else { unreachable!() };
            (path, text)
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("opened"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// All files of a store that exist while it is used.
const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-work", "-erase"];

/// An open store with all its files.
fn open_store() -> (tempfile::TempDir, PathBuf, SqliteStore) {
    let (directory, path) = place();
    let store = SqliteStore::create(&path).unwrap();
    store.put(&[contract::object("a")]).unwrap();
    store.begin_erasure().unwrap();
    drop(store.work_lock().unwrap());
    (directory, path, store)
}

#[test]
fn files_and_directories_are_made_for_the_owner_alone() {
    let (directory, _) = place();
    let path = directory.path().join("one/two/vault.db");
    let store = SqliteStore::create(&path).unwrap();
    store.put(&[contract::object("a")]).unwrap();
    store.begin_erasure().unwrap();
    drop(store.work_lock().unwrap());
    for (name, expected) in [
        ("one", 0o700),
        ("one/two", 0o700),
        ("one/two/vault.db", 0o600),
        ("one/two/vault.db-wal", 0o600),
        ("one/two/vault.db-shm", 0o600),
        ("one/two/vault.db-work", 0o600),
        ("one/two/vault.db-erase", 0o600),
    ] {
        assert_eq!(mode(&directory.path().join(name)), expected, "{name}");
    }
}

#[test]
fn the_umask_has_no_say() {
    // The umask belongs to the whole process, so another one carries it.
    for umask in [0, 0o077, 0o377] {
        let (directory, _) = place();
        let made = directory.path().join("one/vault.db");
        let mut other = std::process::Command::new(std::env::current_exe().unwrap());
        other
            .args(["--exact", "sqlite::tests::permissions::other_process_with_a_umask"])
            .env("CLAVIGER_STORE_TEST_UMASK", format!("{umask}"))
            .env("CLAVIGER_STORE_TEST_PATH", &made);
        assert!(other.output().unwrap().status.success(), "umask {umask:o}");
        assert_eq!((mode(&made), mode(made.parent().unwrap())), (0o600, 0o700), "umask {umask:o}");
    }
}

/// No test of its own: runs in the process that the test above starts.
#[test]
fn other_process_with_a_umask() {
    let Ok(umask) = std::env::var("CLAVIGER_STORE_TEST_UMASK") else { return };
    rustix::process::umask(Mode::from_bits_truncate(umask.parse().unwrap()));
    let path = PathBuf::from(std::env::var_os("CLAVIGER_STORE_TEST_PATH").unwrap());
    let store = SqliteStore::create(&path).unwrap();
    store.put(&[contract::object("a")]).unwrap();
    store.begin_erasure().unwrap();
    drop(store.work_lock().unwrap());
    assert_eq!(SUFFIXES.map(|suffix| mode(&beside(&path, suffix))), [0o600; 5]);
}

#[test]
fn a_file_open_to_others_is_refused_with_the_command_that_mends_it() {
    for suffix in SUFFIXES {
        for wide in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o700, 0o666] {
            let (_directory, path, _store) = open_store();
            let file = beside(&path, suffix);
            set_mode(&file, wide);
            let (refused, text) = refusal(&path);
            assert_eq!(refused, file);
            let said =
                format!("is open to others (mode {wide:04o}); to mend it: chmod 600 {}", file.display());
            assert!(text.ends_with(&said), "{text}");
            set_mode(&file, 0o600);
            SqliteStore::open(&path).unwrap();
        }
    }
}

#[test]
fn a_directory_open_to_others_is_refused() {
    for wide in [0o710, 0o701, 0o720, 0o702, 0o740, 0o755, 0o770, 0o777] {
        let (directory, path, _store) = open_store();
        set_mode(directory.path(), wide);
        let (refused, text) = refusal(&path);
        assert_eq!(refused, directory.path());
        assert!(text.ends_with(&format!("; to mend it: chmod 700 {}", directory.path().display())), "{text}");
        assert!(matches!(SqliteStore::create(&directory.path().join("b")), Err(StoreError::Exposed { .. })));
        set_mode(directory.path(), 0o700);
        SqliteStore::open(&path).unwrap();
    }
}

#[test]
fn nobody_is_told_to_close_a_directory_that_all_need() {
    let (directory, path, _store) = open_store();
    set_mode(directory.path(), 0o1777);
    let (_, text) = refusal(&path);
    let own = format!("mkdir -m 700 {}/claviger", directory.path().display());
    assert!(text.ends_with(&own) && !text.contains("chmod"), "{text}");
    set_mode(directory.path(), 0o700);
}

#[test]
fn narrower_than_needed_is_no_exposure() {
    let (directory, path, store) = open_store();
    drop(store);
    set_mode(&path, 0o400);
    set_mode(directory.path(), 0o500);
    let opened = SqliteStore::open(&path);
    assert!(!matches!(opened, Err(StoreError::Exposed { .. })));
    set_mode(directory.path(), 0o700);
}

#[test]
fn a_path_in_the_mending_command_is_quoted() {
    let (directory, _) = place();
    let path = directory.path().join("it's mine.db");
    drop(SqliteStore::create(&path).unwrap());
    set_mode(&path, 0o644);
    let (_, text) = refusal(&path);
    let quoted = format!("chmod 600 '{}/it'\\''s mine.db'", directory.path().display());
    assert!(text.ends_with(&quoted), "{text}");
}

#[test]
fn a_link_in_the_place_of_the_database_is_refused() {
    let (directory, path, _store) = open_store();
    let link = directory.path().join("link.db");
    symlink(&path, &link).unwrap();
    let (refused, text) = refusal(&link);
    assert_eq!(refused, link);
    assert!(text.contains("is a symbolic link") && text.contains(path.to_str().unwrap()), "{text}");
    for suffix in ["-wal", "-shm", "-journal", "-work", "-erase"] {
        let (directory, path, store) = open_store();
        drop(store);
        let _ = fs::remove_file(beside(&path, suffix));
        symlink(directory.path().join("elsewhere"), beside(&path, suffix)).unwrap();
        assert_eq!(refusal(&path).0, beside(&path, suffix));
    }
}

#[test]
fn a_link_above_the_directory_is_followed() {
    let (directory, path, _store) = open_store();
    let (elsewhere, _) = place();
    let link = elsewhere.path().join("link");
    symlink(directory.path(), &link).unwrap();
    let store = SqliteStore::open(&link.join(path.file_name().unwrap())).unwrap();
    assert_eq!(contract::all_ids(&store, 10), [contract::id("a")]);
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let (directory, _) = place();
    let path = directory.path().join("directory.db");
    fs::create_dir(&path).unwrap();
    assert!(refusal(&path).1.contains("is no plain file"));
}

#[test]
fn what_belongs_to_another_is_refused() {
    if !geteuid().is_root() {
        // Only root can give a file away; everyone else has one at hand that is not theirs.
        let (refused, text) = refusal(Path::new("/usr/bin/env"));
        assert!(refused.starts_with("/usr") && text.contains("belongs to uid 0"), "{text}");
        return;
    }
    for suffix in SUFFIXES {
        let (_directory, path, _store) = open_store();
        let file = beside(&path, suffix);
        chown(&file, Some(4242), None).unwrap();
        let (refused, text) = refusal(&path);
        assert_eq!(refused, file);
        let said = format!(
            "belongs to uid 4242, not to uid 0; to mend it: run this as uid 4242, or: chown 0 {}",
            file.display()
        );
        assert!(text.ends_with(&said), "{text}");
    }
    let (directory, path, _store) = open_store();
    chown(directory.path(), Some(4242), None).unwrap();
    let (refused, text) = refusal(&path);
    assert_eq!(refused, directory.path());
    assert!(text.contains("belongs to uid 4242") && text.contains("mkdir -m 700"), "{text}");
}

#[test]
fn what_was_opened_to_others_meanwhile_is_not_locked() {
    for suffix in ["-work", "-erase"] {
        let (directory, path, store) = open_store();
        let file = beside(&path, suffix);
        let refused = || {
            let refused = if suffix == "-work" { store.work_lock().map(drop) } else { store.begin_erasure() };
            assert!(matches!(refused, Err(StoreError::Exposed { path, .. }) if path == file), "{suffix}");
        };
        set_mode(&file, 0o644);
        refused();
        // Nor is what a link leads to made or touched.
        fs::remove_file(&file).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        symlink(&elsewhere, &file).unwrap();
        refused();
        assert!(!elsewhere.exists());
    }
}
