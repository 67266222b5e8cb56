//! Objects of yesterday are put back among those of today.

use crate::{tools::Kind, victim::Victim};

#[test]
fn an_old_object_in_the_place_of_its_successor_is_refused() {
    let mut victim = Victim::new();
    victim.set("service0", "yesterday");
    let before = victim.store.objects();
    let all = victim.store.all();
    victim.set("service0", "today");
    let after = victim.store.since(&all);
    for kind in [Kind::Root, Kind::Service, Kind::Credential] {
        let successor = after.iter().find(|object| object.kind == kind).unwrap();
        // An object of its kind that the newest head no longer reaches; of credentials, the older version's.
        let old = before.iter().find(|old| match kind {
            Kind::Credential => {
                old.kind == kind && old.bytes.len() == "yesterday".len() + credential_overhead(successor)
            }
            _ => old.kind == kind && !victim.store.all().contains_key(&old.id),
        });
        let old = old.unwrap();
        eprintln!("{kind:?} {} for {}", old.id, successor.id);
        victim.store.put(successor.id, &old.bytes);
        victim.assert_only(successor, "altered");
        if kind == Kind::Service {
            let said = victim.refused().remove("service0").unwrap();
            assert!(said.contains(&format!("service object {} is altered", successor.id)), "{said}");
        }
        victim.store.put(successor.id, &successor.bytes);
    }
    victim.assert_whole();
}

/// How much longer an envelope is than its value.
fn credential_overhead(envelope: &crate::tools::Object) -> usize {
    envelope.bytes.len() - "today".len()
}

#[test]
fn an_old_service_object_in_the_place_of_another_services_is_refused() {
    let mut victim = Victim::new();
    let old = victim.made_by_set("service0", "yesterday", Kind::Service);
    victim.set("service0", "today");
    let other = victim.made_by_set("service1", "bystander", Kind::Service);
    victim.store.put(other.id, &old.bytes);
    victim.assert_only(&other, "altered");
    assert_eq!(victim.refused().keys().copied().collect::<Vec<_>>(), ["service1"]);
    victim.store.put(other.id, &other.bytes);
    victim.assert_whole();
}

#[test]
fn an_old_object_under_its_own_id_is_garbage_that_nobody_reads() {
    let mut victim = Victim::new();
    victim.set("service0", "yesterday");
    let before = victim.store.all();
    victim.set("service0", "today");
    let now = victim.store.all();
    let gone: Vec<_> = before.into_iter().filter(|(id, _)| !now.contains_key(id)).collect();
    assert!(gone.len() >= 2, "service object and index root, at least");
    for (id, bytes) in &gone {
        victim.store.put(*id, bytes);
    }
    assert_eq!(victim.world.get("service0"), b"today");
    victim.assert_whole();
    let report = victim.world.line("verify --json").ok().json();
    assert_eq!(report["garbage"], gone.len());
    victim.world.line("gc --now").ok();
    assert!(gone.iter().all(|(id, _)| !victim.store.all().contains_key(id)));
    victim.assert_whole();
}

#[test]
fn a_data_key_from_before_a_destruction_is_refused() {
    let mut victim = Victim::new();
    let old = victim.made_by_set("fresh", "first", Kind::DataKey);
    victim.set("fresh", "second");
    let before = victim.store.all();
    victim.world.line("destroy fresh --versions 1 --yes").ok();
    let mut made = victim.store.since(&before);
    made.retain(|object| object.kind == Kind::DataKey);
    let new = made.remove(0);
    victim.store.put(new.id, &old.bytes);
    victim.assert_only(&new, "altered");
    victim.store.put(new.id, &new.bytes);
    victim.assert_whole();
}
