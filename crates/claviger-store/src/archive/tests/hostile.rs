use super::*;
use proptest::{collection::vec, prelude::*, sample::Index};

/// Small, with all kinds of records.
fn small() -> (Vec<Object>, Vec<u8>) {
    let objects = vec![
        Object { id: id("a"), bytes: b"some bytes".to_vec() },
        Object { id: id("empty"), bytes: vec![] },
        Object { id: id("a"), bytes: b"some bytes".to_vec() },
        Object { id: id("b"), bytes: vec![b'H'; 20] },
    ];
    let (_directory, path) = place();
    write(&path, &objects, b"the head");
    (objects, fs::read(&path).unwrap())
}

/// Opens these bytes and reads all that is in them.
fn read(bytes: &[u8]) -> Result<usize, StoreError> {
    let (_directory, path) = place();
    fs::write(&path, bytes).unwrap();
    let store = ArchiveStore::open(&path)?;
    assert!(store.head()?.is_some());
    let ids: Vec<ObjectId> = store.list(None, usize::MAX)?.iter().map(|one| one.id).collect();
    let found = store.get(&ids)?;
    assert!(found.iter().all(Option::is_some));
    Ok(found.len())
}

#[track_caller]
fn assert_damaged(bytes: &[u8], said: &str) {
    match read(bytes) {
        Err(StoreError::Damaged { context, .. }) => assert!(context.contains(said), "{context}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_part_of_an_archive_is_refused() {
    let (_, bytes) = small();
    assert_eq!(read(&bytes).unwrap(), 3);
    for length in 0..bytes.len() {
        let refused = read(&bytes[..length]);
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{length}: {refused:?}");
    }
}

#[test]
fn every_bit_counts() {
    let (_, mut bytes) = small();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let refused = read(&bytes);
            assert!(
                matches!(refused, Err(StoreError::Damaged { .. } | StoreError::NewerFormat { .. })),
                "bit {bit} of byte {at}: {refused:?}"
            );
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let (_, bytes) = small();
    for more in [b"\0".as_slice(), b"\n", &bytes, &vec![0; 200_000]] {
        assert_damaged(&[&bytes, more].concat(), "something follows its end");
    }
}

/// Wrong in structure, and with a digest that fits.
#[test]
fn a_digest_that_fits_excuses_nothing() {
    const NAME: &[u8] = b"claviger-archive 1\n";
    let a = record(&object("a"));
    let head = b"H\0\0\0\x04head".as_slice();
    let count = |objects: u64| objects.to_be_bytes();
    assert_eq!(read(&by_hand(&[NAME, &a, head, &count(1)])).unwrap(), 1);
    for wrong in [0, 2, u64::MAX] {
        assert_damaged(&by_hand(&[NAME, &a, head, &count(wrong)]), "it says that it holds");
    }
    assert_damaged(&by_hand(&[NAME, &a, b"X", head, &count(1)]), "no record");
    assert_damaged(&by_hand(&[NAME, &a, head, head, &count(1)]), "");
    assert_damaged(&by_hand(&[NAME, &a, head, &count(1), &a]), "");
    assert_damaged(&by_hand(&[NAME, &a]), "");
    let too_long = |kind: &[u8], limit: usize| {
        for length in [u32::try_from(limit).unwrap() + 1, 1 << 31, u32::MAX] {
            let parts = [NAME, &a, kind, &length.to_be_bytes(), &vec![0; 100_000]];
            assert_damaged(&by_hand(&parts), &format!("it has {length} bytes; the most is {limit}"));
        }
    };
    too_long(&[b"O".as_slice(), id("b").as_bytes()].concat(), MAX_OBJECT_BYTES);
    too_long(b"H", MAX_HEAD_BYTES);
}

#[test]
fn the_first_line_says_what_it_is() {
    let rest = [b"H\0\0\0\0".as_slice(), &[0; 8]].concat();
    let of = |line: &str| by_hand(&[line.as_bytes(), &rest]);
    read(&of("claviger-archive 1\n")).unwrap();
    for (number, text) in [(2, "2"), (10, "10"), (u64::MAX, "18446744073709551615")] {
        let refused = read(&of(&format!("claviger-archive {text}\n")));
        assert!(
            matches!(refused, Err(StoreError::NewerFormat { found, supported: 1 }) if found == number),
            "{refused:?}"
        );
    }
    for line in [
        "",
        "\n",
        "claviger-archive",
        "claviger-archive \n",
        "claviger-archive 0\n",
        "claviger-archive 01\n",
        "claviger-archive +1\n",
        "claviger-archive 1 \n",
        "claviger-archive 1\r\n",
        "claviger-archive -1\n",
        "claviger-archive 18446744073709551616\n",
        "claviger-archive 99999999999999999999999999999\n",
        "Claviger-archive 1\n",
        "SQLite format 3\0",
    ] {
        assert_damaged(&of(line), "no claviger archive");
        assert_damaged(line.as_bytes(), "no claviger archive");
    }
    assert_damaged(&vec![0; 100_000], "no claviger archive");
}

#[test]
fn what_is_no_plain_file_is_refused_at_once() {
    let (directory, path) = place();
    assert!(matches!(ArchiveStore::open(&path), Err(StoreError::Absent { location }) if location == path));
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for other in [directory.path(), &pipe, Path::new("/dev/zero"), Path::new("/dev/null")] {
        let refused = ArchiveStore::open(other).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
        assert!(refused.to_string().contains("no plain file"), "{refused}");
    }
    // Who else may read it is no matter, nor is a link to it.
    write(&path, &[object("a")], b"head");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(all_ids(&ArchiveStore::open(&link).unwrap(), 10), [id("a")]);
}

#[test]
fn a_file_that_shrinks_while_it_is_open_is_damaged() {
    let (_directory, path) = place();
    write(&path, &[object("a"), object("b")], b"head");
    let store = ArchiveStore::open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    assert!(matches!(store.get(&[id("b")]), Err(StoreError::Damaged { .. })));
    // The head is the one that was checked.
    assert_eq!(store.head().unwrap().as_deref(), Some(b"head".as_slice()));
}

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        (any::<Index>(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let span = |bytes: &[u8], from: &Index, to: &Index| {
        let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
        from.min(to)..from.max(to)
    };
    match change {
        Change::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Set(..) => {}
        Change::Cut(from, to) => drop(bytes.drain(span(bytes, from, to))),
        Change::Insert(at, more) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Repeat(from, to) => bytes.extend_from_within(span(bytes, from, to)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_bytes_are_answered(line in any::<bool>(), bytes in vec(any::<u8>(), 0..300)) {
        let start: &[u8] = if line { b"claviger-archive 1\n" } else { b"" };
        prop_assert!(read(&[start, &bytes].concat()).is_err());
    }

    /// With a digest that fits, so that what is behind it is reached.
    #[test]
    fn any_change_is_answered(changes in vec(change(), 1..5), fits in any::<bool>()) {
        let (_, mut bytes) = small();
        let before = bytes.clone();
        if fits {
            bytes.truncate(bytes.len() - 32);
        }
        for change in &changes {
            apply(&mut bytes, change);
        }
        if fits {
            bytes = by_hand(&[&bytes]);
        }
        match read(&bytes) {
            Ok(count) => prop_assert!(count <= 4 && (fits || bytes == before)),
            Err(StoreError::Damaged { .. } | StoreError::NewerFormat { .. }) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_objects_come_back(contents in vec(vec(any::<u8>(), 0..200), 0..20), head in vec(any::<u8>(), 0..100)) {
        let objects: Vec<Object> =
            contents.into_iter().enumerate().map(|(name, bytes)| Object { id: id(name), bytes }).collect();
        let (_directory, path) = place();
        let summary = write(&path, &objects, &head);
        prop_assert_eq!(summary.objects, objects.len() as u64);
        let store = ArchiveStore::open(&path).unwrap();
        prop_assert_eq!(store.head().unwrap(), Some(head));
        for object in objects {
            prop_assert_eq!(store.get(&[object.id]).unwrap(), [Some(object.bytes)]);
        }
    }
}
