use super::*;

fn old_file() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("old.enc");
    fs::write(&file, vec![b'x'; 20_000]).unwrap();
    (home, file)
}

#[test]
fn a_backup_never_replaces_another() {
    let (home, file) = old_file();
    let names = [1, 2, 3].map(|n: u8| {
        fs::write(&file, [n]).unwrap();
        After::Bak.apply(&file).unwrap().unwrap()
    });
    for (n, name) in (1_u8..).zip(&names) {
        assert_eq!(fs::read(name).unwrap(), [n], "{}", name.display());
    }
    assert!(!file.exists());
    assert_eq!(names[2], home.path().join("old.enc.bak.3"));
}

#[test]
fn shredding_overwrites_before_it_removes() {
    let (home, file) = old_file();
    let witness = home.path().join("witness");
    fs::hard_link(&file, &witness).unwrap();
    assert_eq!(After::Shred.apply(&file).unwrap(), None);
    assert!(!file.exists());
    assert_eq!(fs::read(&witness).unwrap(), vec![0; 20_000]);
}

#[test]
fn shredding_follows_a_link_to_the_bytes() {
    let (home, file) = old_file();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    After::Shred.apply(&link).unwrap();
    assert!(!file.exists());
    assert!(link.symlink_metadata().is_err());
}

#[test]
fn what_is_kept_is_not_touched() {
    let (_home, file) = old_file();
    assert_eq!(After::Keep.apply(&file).unwrap().as_deref(), Some(file.as_path()));
    assert_eq!(fs::read(&file).unwrap().len(), 20_000);
}
