//! Two hosts are shown two histories of one vault.

use crate::{tools::Store, victim::Victim};

#[track_caller]
fn assert_refused(victim: &Victim, says: &str) {
    let says = [&format!("the vault was rolled back: {says}"), "`claviger trust"];
    victim.nothing_read(8, &says);
    let outcome = victim.world.line("verify").outcome();
    assert_eq!(outcome.code, Some(8), "{}", outcome.stderr);
    assert!(outcome.text().contains("ROLLED BACK: the "), "{}", outcome.text());
}

/// A host that knows the vault as it is now, and writes on a copy of the store as it is now.
fn second_host(victim: &Victim) -> Victim {
    let world = victim.world.host("second");
    Victim { store: Store::at(world.store()), world, values: victim.values.clone() }
}

#[test]
fn a_branch_that_another_host_wrote_is_refused_where_the_first_was_seen() {
    let mut first = Victim::new();
    let mut second = second_host(&first);
    second.assert_whole();
    first.set("service0", "by the first");
    let ours = first.store.files();
    // As long as ours, then longer, then longer still: never a successor of what this host has seen.
    for value in ["by the second", "again", "and again"] {
        second.set("service0", value);
        let theirs = second.store.files();
        first.store.restore(&theirs);
        assert_refused(&first, "the head of epoch ");
        second.assert_whole();
        first.store.restore(&ours);
        first.assert_whole();
    }
    // The other way round it is an older store.
    let theirs = second.store.files();
    second.store.restore(&ours);
    assert_refused(&second, "the store is at epoch ");
    second.store.restore(&theirs);
    second.assert_whole();
}

#[test]
fn a_branch_under_the_heads_of_the_other_is_refused() {
    let mut first = Victim::new();
    let mut second = second_host(&first);
    first.set("service0", "by the first");
    for value in ["by the second", "again", "and again"] {
        second.set("service0", value);
    }
    let (ours, kept) = (first.store.files(), first.store.all());
    let theirs = second.store.files();
    // Everything that the first host ever wrote lies in the store, its heads among them; the head is of the branch.
    first.store.restore(&theirs);
    for (id, bytes) in &kept {
        first.store.put(*id, bytes);
    }
    assert_refused(&first, "the head of epoch ");
    // A chain that has a gap before it comes to where the two branches part shows nothing either.
    first.store.restore(&theirs);
    let past = first.store.objects();
    for object in past.iter().filter(|object| object.kind == crate::tools::Kind::PastHead) {
        first.store.delete(object.id);
    }
    assert_refused(&first, "the head of epoch ");
    first.store.restore(&ours);
    first.assert_whole();
}

/// What is no fork: a host that saw less follows to the newer head by itself.
#[test]
fn a_host_that_lags_behind_follows_the_one_history() {
    let mut first = Victim::new();
    let second = second_host(&first);
    first.set("service0", "newer");
    first.set("service1", "newer");
    second.store.restore(&first.store.files());
    let second = Victim { values: first.values.clone(), ..second };
    second.assert_whole();
}
