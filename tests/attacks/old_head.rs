//! The head alone is rolled back.

use crate::victim::Victim;

const SAYS: [&str; 3] =
    ["the vault was rolled back: the store is at epoch ", "this host has seen epoch ", "`claviger trust"];

#[test]
fn an_older_head_is_refused_by_every_command() {
    let mut victim = Victim::new();
    let mut heads = Vec::new();
    for value in ["one", "two", "three"] {
        heads.push(victim.store.head());
        victim.set("service0", value);
    }
    let newest = victim.store.head();
    for head in &heads {
        victim.store.set_head(head);
        victim.nothing_read(8, &SAYS);
        // The objects of then are gone, so there is damage besides; both are said.
        let outcome = victim.world.line("verify").outcome();
        assert_eq!(outcome.code, Some(8), "{}", outcome.stderr);
        assert!(outcome.text().contains("ROLLED BACK: the store is at epoch "), "{}", outcome.text());
        assert!(outcome.text().contains("DAMAGED  ?"), "{}", outcome.text());
        victim.store.set_head(&newest);
    }
    victim.assert_whole();
}

#[test]
fn an_older_head_with_all_its_objects_is_refused_by_every_command() {
    let mut victim = Victim::new();
    let (head, objects) = (victim.store.head(), victim.store.all());
    let epoch = victim.world.line("verify --json").ok().json()["epoch"].as_u64().unwrap();
    victim.set("service0", "newer");
    let newest = victim.store.head();
    // Nothing is taken away: the objects of then lie beside those of now.
    for (id, bytes) in &objects {
        victim.store.put(*id, bytes);
    }
    victim.store.set_head(&head);
    victim.nothing_read(8, &SAYS);
    let outcome = victim.world.line("verify --json").outcome();
    assert_eq!(outcome.code, Some(8), "{}", outcome.stderr);
    let report = outcome.json();
    let said = report["rolled_back"].as_str().unwrap();
    assert!(
        said.starts_with(&format!("the store is at epoch {epoch}, this host has seen epoch {}", epoch + 1))
    );
    assert_eq!(report["damage"].as_array().unwrap().len(), 0);
    victim.store.set_head(&newest);
    victim.assert_whole();
}
