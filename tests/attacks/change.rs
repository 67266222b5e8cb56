//! One byte of one object is changed.

use crate::victim::{Victim, sample};
use claviger_tests::Dice;

/// In how many places each object is changed, one after the other.
const PLACES: usize = 3;

#[test]
fn a_changed_byte_of_any_object_is_refused_and_named() {
    let victim = Victim::with_pages();
    let mut dice = Dice::throw();
    for object in sample(&mut dice, victim.store.objects()) {
        for place in 0..PLACES {
            let at = dice.below(object.bytes.len());
            let mut changed = object.bytes.clone();
            changed[at] ^= u8::try_from(1 + dice.below(255)).unwrap();
            eprintln!("{:?} {}, byte {at}", object.kind, object.id);
            victim.store.put(object.id, &changed);
            if place == 0 {
                victim.assert_only(&object, "altered");
            } else {
                victim.assert_named(&object, "altered");
            }
        }
        victim.store.put(object.id, &object.bytes);
    }
    victim.assert_whole();
}

#[test]
fn a_changed_byte_of_the_head_is_refused_by_every_command() {
    let victim = Victim::new();
    let mut dice = Dice::throw();
    let head = victim.store.head();
    // Not the format's number: who reads of a newer format is told to look for a newer program.
    let format =
        head.windows(3).position(|bytes| bytes[0] & 0xe0 == 0xa0 && bytes[1..] == [0, 1]).unwrap() + 2;
    for _ in 0..PLACES {
        let at = (format + 1 + dice.below(head.len() - 1)) % head.len();
        let mut changed = head.clone();
        changed[at] ^= u8::try_from(1 + dice.below(255)).unwrap();
        eprintln!("byte {at} of the head");
        victim.store.set_head(&changed);
        victim.nothing_read(7, &["help"]);
        victim.world.line("verify").fails(7, &["error: ", "help: "]);
    }
    victim.store.set_head(&head);
    victim.assert_whole();
}

/// A writer beside the damage neither spreads it nor covers it up.
#[test]
fn damage_is_still_damage_after_others_have_written() {
    let mut victim = Victim::new();
    let object = victim.made_by_set("service0", "under attack", crate::tools::Kind::Service);
    let mut changed = object.bytes.clone();
    changed[100] ^= 1;
    victim.store.put(object.id, &changed);
    victim.set("service1", "written beside it");
    victim.set("twice", "newest");
    assert_eq!(victim.refused().keys().copied().collect::<Vec<_>>(), ["service0"]);
    victim.assert_only(&object, "altered");
    victim.store.put(object.id, &object.bytes);
    victim.assert_whole();
}
