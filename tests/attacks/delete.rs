//! One object is deleted.

use crate::victim::{Victim, sample};
use claviger_tests::Dice;

#[test]
fn a_deleted_object_of_any_kind_is_missed_and_named() {
    let victim = Victim::with_pages();
    let mut dice = Dice::throw();
    for object in sample(&mut dice, victim.store.objects()) {
        eprintln!("{:?} {}", object.kind, object.id);
        victim.store.delete(object.id);
        victim.assert_only(&object, "missing");
        victim.store.put(object.id, &object.bytes);
    }
    victim.assert_whole();
}

#[test]
fn a_deleted_head_is_no_empty_vault() {
    let victim = Victim::new();
    let files = victim.store.files();
    for (sql, says) in [
        ("UPDATE head SET bytes = NULL", "the head was removed"),
        ("UPDATE head SET bytes = NULL, commits = 0", "the store holds no vault"),
        ("UPDATE head SET bytes = x''", "error"),
        ("DELETE FROM head", "the head's row is missing"),
        ("DELETE FROM object", "tampered with: the vault key object"),
        ("DELETE FROM object; UPDATE head SET bytes = NULL, commits = 0", "the store holds no vault"),
        ("DROP TABLE object", "the tables in the file are not those of its format"),
    ] {
        victim.store.run(sql);
        for line in ["get twice", "list --json", "history twice", "status", "gc --now", "verify"] {
            let outcome = victim.world.line(line).outcome();
            assert_eq!((outcome.code, outcome.text()), (Some(7), ""), "{sql}; {line}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(says) && outcome.stderr.contains("help"), "{}", outcome.stderr);
        }
        victim.world.line("set twice --stdin --cas 0").stdin("written").fails(7, &[says]);
        victim.store.restore(&files);
    }
    victim.assert_whole();
}
