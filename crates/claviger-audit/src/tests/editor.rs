//! What an editor of the files tries who knows the format and computes every hash anew.

use super::*;

/// The bodies of a file.
fn bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut rest = bytes;
    while let Some((front, later)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*front) as usize;
        bodies.push(later[..length].to_vec());
        rest = &later[length + frame::TRAILER..];
    }
    bodies
}

/// Writes a file of these bodies, chained as the program would.
fn forge(bench: &Bench, bodies: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    let mut chain = frame::origin(bench.vault);
    for body in bodies {
        chain = frame::write(&mut bytes, &chain, body).unwrap();
    }
    fs::write(bench.file(), bytes).unwrap();
}

/// Three segments of three entries, one after the other.
fn nine() -> (Bench, Vec<Vec<u8>>) {
    let bench = Bench::new();
    for segment in 0..3 {
        let log = bench.open().unwrap();
        for index in 0..3 {
            log.append(&entry(&format!("{segment}.{index}"))).unwrap();
        }
    }
    let bodies = bodies(&fs::read(bench.file()).unwrap());
    assert_eq!(bodies.len(), 12);
    (bench, bodies)
}

fn all(bench: &Bench) -> Result<Vec<String>, AuditError> {
    let mut actions = Vec::new();
    let chain =
        bench.reader().entries(&bench.private, &mut |_, recorded| actions.push(recorded.entry.action))?;
    assert_eq!(chain.entries, actions.len() as u64);
    Ok(actions)
}

#[test]
fn the_files_as_they_were_written_are_good() {
    let (bench, bodies) = nine();
    forge(&bench, &bodies);
    assert_eq!(all(&bench).unwrap(), ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2", "2.0", "2.1", "2.2"]);
    assert_eq!(bench.reader().verify().unwrap().entries, 9);
}

#[test]
fn no_body_can_be_taken_out() {
    // But the last ones, which is a cut of the tail.
    for out in 0..11 {
        let (bench, mut bodies) = nine();
        bodies.remove(out);
        forge(&bench, &bodies);
        assert!(all(&bench).is_err(), "without body {out}");
        let newest = bench.reader().newest(&bench.private, usize::MAX);
        assert!(newest.is_err(), "without body {out}");
    }
}

#[test]
fn an_entry_missing_in_its_segment_shows_without_a_key() {
    let (bench, mut bodies) = nine();
    bodies.remove(5);
    forge(&bench, &bodies);
    assert!(matches!(bench.reader().verify(), Err(AuditError::Damaged { .. })));
}

#[test]
fn no_segment_can_be_taken_out_whole() {
    let (bench, mut bodies) = nine();
    bodies.drain(4..8);
    forge(&bench, &bodies);
    // Its neighbours have no gap, so only who can open the entries finds that they stand in another place.
    assert_eq!(bench.reader().verify().unwrap().entries, 6);
    assert!(matches!(all(&bench), Err(AuditError::Damaged { .. })));
}

#[test]
fn nothing_can_change_places() {
    for (one, other) in [(1, 2), (1, 5), (0, 4), (5, 9), (10, 11)] {
        let (bench, mut bodies) = nine();
        bodies.swap(one, other);
        forge(&bench, &bodies);
        assert!(all(&bench).is_err(), "{one} and {other} swapped");
    }
}

#[test]
fn nothing_can_stand_twice() {
    for twice in 0..12 {
        let (bench, mut bodies) = nine();
        bodies.insert(twice, bodies[twice].clone());
        forge(&bench, &bodies);
        assert!(bench.reader().verify().is_err(), "body {twice} twice");
    }
}

#[test]
fn an_index_that_is_written_anew_does_not_open() {
    let (bench, mut bodies) = nine();
    bodies.remove(5);
    for body in &mut bodies[5..7] {
        let Some(Body::Entry { segment, index, sealed }) = Body::decode(body) else { panic!("no entry") };
        if index > 0 {
            *body = Body::Entry { segment, index: index - 1, sealed }.encode().unwrap();
        }
    }
    forge(&bench, &bodies);
    assert!(all(&bench).is_err());
}

#[test]
fn nothing_but_bodies_of_ours_is_taken() {
    for junk in [vec![], vec![0xff; 40], b"\x83\x02\x01\x00".to_vec()] {
        let (bench, mut bodies) = nine();
        bodies.push(junk);
        forge(&bench, &bodies);
        assert!(matches!(bench.reader().verify(), Err(AuditError::Damaged { .. })));
        assert!(bench.reader().newest(&bench.private, 1).is_err());
    }
}

#[test]
fn the_log_of_another_vault_is_not_taken() {
    let (bench, _) = nine();
    let other = AuditReader::new(&bench.path(), VaultId::random(&OsEntropy).unwrap());
    assert!(matches!(other.verify(), Err(AuditError::Damaged { .. })));
}
