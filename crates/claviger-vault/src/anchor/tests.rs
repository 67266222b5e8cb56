use super::*;

fn seen(epoch: u64) -> Seen {
    Seen { epoch, digest: Digest::of(&epoch.to_be_bytes()) }
}

#[test]
fn is_raised_and_never_lowered() {
    let directory = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::new(directory.path().join("deep/er/anchor"));
    assert_eq!(anchor.read().unwrap(), None);
    anchor.raise(seen(3), true).unwrap();
    assert_eq!(anchor.read().unwrap(), Some(seen(3)));
    anchor.raise(seen(2), false).unwrap();
    assert_eq!(anchor.read().unwrap(), Some(seen(3)));
    anchor.raise(seen(4), false).unwrap();
    assert_eq!(anchor.read().unwrap(), Some(seen(4)));
    anchor.reset(seen(1)).unwrap();
    assert_eq!(anchor.read().unwrap(), Some(seen(1)), "an administrator may");
}

#[test]
fn a_missing_anchor_is_not_made_again_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::new(directory.path().join("anchor"));
    assert!(matches!(anchor.raise(seen(1), false), Err(VaultError::RolledBack { .. })));
    assert_eq!(anchor.read().unwrap(), None);
}

#[test]
fn a_damaged_anchor_is_an_error_and_not_a_missing_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor");
    for text in ["", "3", "3 abc\n", "x 00\n", &"9".repeat(1000)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(FileAnchor::new(&path).read(), Err(VaultError::Anchor { .. })), "{text:?}");
    }
}

#[test]
fn sixteen_raisers_leave_the_highest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor");
    FileAnchor::new(&path).raise(seen(1), true).unwrap();
    std::thread::scope(|scope| {
        for raiser in 0..16 {
            let path = &path;
            scope.spawn(move || {
                for epoch in (raiser..160).step_by(16) {
                    FileAnchor::new(path).raise(seen(epoch), false).unwrap();
                }
            });
        }
    });
    assert_eq!(FileAnchor::new(&path).read().unwrap(), Some(seen(159)));
}
