//! Two objects change places.

use crate::{
    tools::{Kind, Object},
    victim::Victim,
};
use claviger_tests::Dice;
use std::collections::BTreeSet;

#[test]
fn two_objects_that_changed_places_are_refused_and_named() {
    let victim = Victim::with_pages();
    let mut dice = Dice::throw();
    for (number, one) in Kind::ALL.into_iter().enumerate() {
        for other in &Kind::ALL[number..] {
            let (mut ones, mut others) = (victim.of_kind(one), victim.of_kind(*other));
            let a = ones.swap_remove(dice.below(ones.len()));
            others.retain(|object| object.id != a.id);
            if others.is_empty() {
                continue; // There is one of this kind alone.
            }
            let b = others.swap_remove(dice.below(others.len()));
            eprintln!("{:?} {} and {:?} {}", a.kind, a.id, b.kind, b.id);
            check(&victim, &a, &b);
        }
    }
    victim.assert_whole();
}

fn check(victim: &Victim, a: &Object, b: &Object) {
    victim.store.put(a.id, &b.bytes);
    victim.store.put(b.id, &a.bytes);
    if a.kind == Kind::VaultKey {
        let sentence = format!("the vault key object {} is altered", a.id);
        for line in ["verify", "get twice", "list --json"] {
            victim.world.line(line).fails(7, &[&sentence]);
        }
    } else {
        let damage = victim.damage();
        let found: BTreeSet<&str> = damage.iter().map(|damage| damage.object.as_str()).collect();
        let swapped = [a, b].map(|object| object.id.to_string());
        assert!(found.iter().all(|id| swapped.iter().any(|swapped| swapped == id)), "{damage:?}");
        assert!(damage.iter().all(|damage| damage.fault == "altered"), "{damage:?}");
        assert!(!damage.is_empty() || a.kind == Kind::PastHead);
        for (object, other) in [(a, b), (b, a)] {
            // What hangs under the other one cannot be reached, and of heads that are history nothing is read.
            if object.kind != Kind::PastHead && !may_hang_under(object.kind, other.kind) {
                assert!(found.contains(object.id.to_string().as_str()), "{damage:?}");
            }
        }
        let refused = victim.refused();
        for said in refused.values() {
            assert!(swapped.iter().any(|id| said.contains(&format!("object {id} is altered"))), "{said}");
        }
        let root = [a.kind, b.kind].contains(&Kind::Root);
        assert!(root || refused.len() < victim.values.len(), "nothing can be read any more");
    }
    victim.store.put(a.id, &a.bytes);
    victim.store.put(b.id, &b.bytes);
}

fn may_hang_under(object: Kind, other: Kind) -> bool {
    match other {
        Kind::Root => object > Kind::Root,
        Kind::Node => object >= Kind::Node,
        Kind::Service => matches!(object, Kind::Page | Kind::Credential),
        Kind::Page => object == Kind::Credential,
        _ => false,
    }
}
