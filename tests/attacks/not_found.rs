//! A lookup of what is there shall be answered with "not found".

use crate::{
    tools::{Kind, index_link},
    tree::{relink, way_to},
    victim::{Victim, service},
};
use claviger_envelope::codec::Value;
use claviger_types::ObjectId;

/// A vault and the object of a service in it that stands in a node below the root.
fn below_the_root() -> (Victim, String, ObjectId) {
    let mut victim = Victim::new();
    let references: Vec<String> =
        victim.values.keys().filter(|line| line.starts_with("service")).cloned().collect();
    for reference in references {
        let object = victim.made_by_set(&reference, "here", Kind::Service).id;
        if way_to(&victim.store, object).len() > 1 {
            return (victim, reference, object);
        }
    }
    // The two that share a node may be those with several values; a third joins them sooner or later.
    for more in 0.. {
        let reference = format!("more{more}");
        let object = victim.made_by_set(&reference, "here", Kind::Service).id;
        if way_to(&victim.store, object).len() > 1 {
            return (victim, reference, object);
        }
    }
    unreachable!("no two names meet in the index")
}

/// The service is refused, never "not found", and neither is it made anew; what the node does not hold can be read.
#[track_caller]
fn assert_denied(victim: &Victim, reference: &str, node: ObjectId, fault: &str) {
    let sentence = format!("the index node object {node} is {fault}");
    let refused = victim.refused();
    assert!(refused[reference].contains(&sentence), "{refused:?}");
    let root = victim.is_root(node);
    assert_eq!(refused.len() == victim.values.len(), root, "{refused:?}");
    victim.world.line(&format!("history {reference}")).fails(7, &[&sentence]);
    victim.world.line(&format!("list {reference}")).fails(7, &[&sentence]);
    victim.world.line("list --json").fails(7, &[&sentence]);
    victim.refuses_to_write(reference, &[&sentence]);
    let damage = victim.damage();
    let found: Vec<_> = damage.iter().map(|found| (found.object.as_str(), found.fault.as_str())).collect();
    assert_eq!(found, [(node.to_string().as_str(), fault)]);
    // Whose way does not lead through the node is not there, and that is still proven.
    let absent = (0..).map(|n| format!("absent{n}")).take(16);
    let codes: Vec<_> = absent.map(|name| victim.world.line(&format!("get {name}")).outcome().code).collect();
    assert!(codes.iter().all(|code| matches!(code, Some(3 | 7))), "{codes:?}");
    assert!(!root || codes.iter().all(|code| *code == Some(7)), "{codes:?}");
}

#[test]
fn a_leaf_that_was_taken_out_is_never_not_found() {
    let (victim, reference, object) = below_the_root();
    let way = way_to(&victim.store, object);
    let (root, last) = (&way[0], &way[way.len() - 1]);
    for (node, bytes) in [
        (last, last.with(Value::Null)),
        (last, last.emptied()),
        (root, root.with(Value::Null)),
        (root, root.emptied()),
        // One level of the tree is left out.
        (root, root.with(last.entry())),
    ] {
        let whole = victim.store.get(node.id);
        victim.store.put(node.id, &bytes);
        assert_denied(&victim, &reference, node.id, "altered");
        victim.store.delete(node.id);
        assert_denied(&victim, &reference, node.id, "missing");
        victim.store.put(node.id, &whole);
    }
    victim.assert_whole();
}

#[test]
fn an_index_that_was_linked_anew_needs_the_head_and_fails_its_mac() {
    let (victim, _, object) = below_the_root();
    let head = victim.store.head();
    let way = way_to(&victim.store, object);
    let without = relink(&victim.store, &way, Value::Null);
    let emptied = way[0].emptied();
    let emptied = crate::bytes::link(victim.store.add(&emptied), &emptied);
    for index in [without, emptied, Value::Null] {
        victim.store.edit_head(|payload| *index_link(payload) = index);
        victim.all_refused(7, &["the vault is damaged or was tampered with: the head's MAC does not fit"]);
        victim.store.set_head(&head);
    }
    victim.assert_whole();
}

#[test]
fn a_credential_that_was_taken_out_of_a_service_is_never_not_found() {
    let mut victim = Victim::new();
    // The attacker has a service object from before the credential was there.
    let before = victim.made_by_set("pair/one", "first again", Kind::Service);
    let after = victim.made_by_set("pair/three", "third of three", Kind::Service);
    victim.store.put(after.id, &before.bytes);
    victim.assert_only(&after, "altered");
    assert!(victim.refused().keys().all(|line| service(line) == "pair"));
    victim.store.put(after.id, &after.bytes);
    victim.assert_whole();
}
