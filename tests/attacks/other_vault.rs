//! Two vaults under one token: what belongs to one is put into the other.

use crate::{
    tools::{Kind, Store, roots},
    victim::Victim,
};

/// A victim and a second vault that its owner has under the same token, with the same names and other values.
fn two_vaults() -> (Victim, Victim) {
    let victim = Victim::new();
    let world = victim.world.neighbour("second");
    world.init();
    let mut other =
        Victim { store: Store::at(world.store()), world, values: std::collections::BTreeMap::new() };
    for reference in ["twice", "service0", "service1"] {
        other.set(reference, "of the other vault");
    }
    (victim, other)
}

#[test]
fn objects_of_another_vault_are_refused_and_named() {
    let (victim, other) = two_vaults();
    let theirs = other.store.objects();
    for kind in Kind::ALL {
        let Some(foreign) = theirs.iter().find(|object| object.kind == kind) else {
            assert!([Kind::Node, Kind::Page].contains(&kind), "the other vault has no {kind:?}");
            continue;
        };
        let own = victim.of_kind(kind).remove(0);
        eprintln!("{kind:?}: {} gets the bytes of {}", own.id, foreign.id);
        victim.store.put(own.id, &foreign.bytes);
        victim.assert_only(&own, "altered");
        victim.store.put(own.id, &own.bytes);
    }
    victim.assert_whole();
    other.assert_whole();
}

#[test]
fn the_head_or_the_file_of_another_vault_is_refused_by_its_id() {
    let (victim, other) = two_vaults();
    let config = |victim: &Victim| std::fs::read_to_string(victim.world.config()).unwrap();
    let vault = |victim: &Victim| {
        config(victim)
            .lines()
            .find_map(|line| line.strip_prefix("vault = "))
            .unwrap()
            .trim_matches('"')
            .to_owned()
    };
    let says =
        format!("the store holds the vault {}, the configuration names {}", vault(&other), vault(&victim));
    let files = victim.store.files();

    victim.store.set_head(&other.store.head());
    victim.all_refused(7, &[&says, "check `store` in the configuration"]);
    // With all that the head reaches beside it, too.
    for (id, bytes) in other.store.all() {
        victim.store.put(id, &bytes);
    }
    assert!(victim.store.all().contains_key(&roots(&other.store.head()).0));
    victim.all_refused(7, &[&says]);

    victim.store.restore(&other.store.files());
    victim.all_refused(7, &[&says]);
    victim.store.restore(&files);
    victim.assert_whole();
    other.assert_whole();
}
