use super::*;

fn made(path: &Path) -> Draft {
    let (draft, mut file) = Draft::beside(path, |path| File::create_new(path)).unwrap();
    io::Write::write_all(&mut file, b"new").unwrap();
    draft
}

fn names(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_draft_appears_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(made(&path));
    assert!(names(directory.path()).is_empty());
    let (first, second) = (made(&path), made(&path));
    assert!(!path.exists());
    first.publish(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    drop(second);
    assert_eq!(names(directory.path()), ["file"]);
}

#[test]
fn a_draft_takes_no_name_that_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let take: [&dyn Fn(); 3] = [
        &|| fs::write(&path, b"old").unwrap(),
        &|| std::os::unix::fs::symlink("nowhere", &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
    ];
    for take in take {
        let draft = made(&path);
        take();
        let before = fs::symlink_metadata(&path).unwrap();
        assert!(matches!(draft.publish(&path), Err(StoreError::Exists { location }) if location == path));
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.file_type(), before.len()), (after.file_type(), after.len()));
        assert_eq!(names(directory.path()), ["file"]);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
    }
}
