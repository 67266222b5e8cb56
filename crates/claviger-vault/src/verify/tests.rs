use crate::{
    Damage, Fault, Silent, Vault, VaultError,
    testing::{Bench, get, set},
};
use claviger_types::ObjectId;

fn damage(vault: &Vault) -> Vec<Damage> {
    vault.verify(&Silent).unwrap().damage
}

#[test]
fn a_whole_vault_is_whole() {
    let (_bench, vault) = Bench::new();
    for service in 0..30 {
        set(&vault, &format!("service {service}"), "value").unwrap();
    }
    let report = vault.verify(&Silent).unwrap();
    assert_eq!((report.services, report.credentials, report.garbage), (30, 30, 0));
    assert_eq!(report.damage, []);
    assert_eq!(report.rolled_back, None);
    assert_eq!(report.kept_heads, 31);
}

/// Every object that counts, changed or deleted: it is named, and nothing else in the vault is harmed by it.
#[test]
fn every_changed_or_missing_object_is_noticed_and_the_rest_stays_readable() {
    let (bench, vault) = Bench::new();
    for at in ["a/one", "a/two", "b", "c"] {
        set(&vault, at, at).unwrap();
    }
    let whole = bench.copy();
    let vault_wide = vault.fresh().unwrap().payload.clone();
    let vault_wide = [vault_wide.roots[0].index.unwrap().id, vault_wide.roots[0].envelope.id];
    for (id, bytes) in &whole.objects {
        let bytes = bytes.clone().unwrap();
        let archived = crate::format::head::archive_id(&claviger_types::Digest::of(&bytes)) == *id;
        for fault in [Fault::Missing, Fault::Altered] {
            let mut changed = bytes.clone();
            let middle = changed.len() / 2;
            changed[middle] ^= 0x40;
            bench.store.tamper(*id, (fault == Fault::Altered).then_some(changed));
            if !archived {
                let found = damage(&vault);
                assert_eq!(found.len(), 1, "{found:?}");
                assert_eq!((found[0].object, found[0].fault), (*id, fault));
                check_rest(&vault, &found[0], &vault_wide);
            }
            bench.put_back(&whole);
        }
    }
    assert_eq!(damage(&vault), []);
}

/// A service that the damage does not name reads as before; a lone damaged credential leaves its neighbour readable.
fn check_rest(vault: &Vault, damage: &Damage, vault_wide: &[ObjectId]) {
    if vault_wide.contains(&damage.object) {
        return;
    }
    let readable = ["a/one", "a/two", "b", "c"].iter().filter(|at| get(vault, at).is_ok()).count();
    let least = match damage.what {
        "credential" => 3,
        "data key" | "service" => 2,
        // Names fall where their HMAC puts them: a node below the root may stand before any of them.
        "index node" => 0,
        _ => 4,
    };
    assert!(readable >= least, "{readable} readable beside {damage:?}");
    if damage.what == "credential" {
        assert!(damage.service.is_some() && damage.credential.is_some() && damage.version == Some(1));
    }
}

#[test]
fn two_objects_swapped_are_both_named() {
    let (bench, vault) = Bench::new();
    set(&vault, "a", "same length 1").unwrap();
    set(&vault, "b", "same length 2").unwrap();
    let links: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| {
            vault.fresh().unwrap().leaf(&claviger_types::ServiceName::new(*name).unwrap()).unwrap().unwrap()
        })
        .map(|leaf| leaf.object.id)
        .collect();
    let copy = bench.copy();
    let bytes = |id: &ObjectId| copy.objects.iter().find(|(other, _)| other == id).unwrap().1.clone();
    bench.store.tamper(links[0], bytes(&links[1]));
    bench.store.tamper(links[1], bytes(&links[0]));
    assert_eq!(damage(&vault).len(), 2);
    let fresh = bench.open().unwrap();
    assert!(matches!(get(&fresh, "a"), Err(VaultError::Object { fault: Fault::Altered, .. })));
}

#[test]
fn a_lookup_is_never_answered_with_not_found_because_something_is_missing() {
    let (bench, vault) = Bench::new();
    for service in 0..40 {
        set(&vault, &format!("{service}"), "value").unwrap();
    }
    let whole = bench.copy();
    for (id, _) in &whole.objects {
        bench.store.tamper(*id, None);
        // One that has not read anything before.
        let Ok(vault) = bench.open() else {
            bench.put_back(&whole);
            continue;
        };
        for service in 0..40 {
            let outcome = get(&vault, &service.to_string());
            assert!(!matches!(outcome, Err(VaultError::NotFound { .. })), "{outcome:?}");
        }
        bench.put_back(&whole);
    }
}

#[test]
fn an_anchor_that_cannot_be_read_is_an_error_of_verify_too() {
    use crate::{Accept, FileAnchor};
    let (bench, _vault) = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchor");
    std::fs::write(&path, "no anchor").unwrap();
    let mut parts = bench.parts();
    parts.anchors = vec![Box::new(FileAnchor::new(path))];
    let inspected = Vault::open_accepting(parts, Accept::Inspect).unwrap();
    assert!(matches!(inspected.verify(&Silent), Err(VaultError::Anchor { .. })));
}

#[test]
fn an_inspection_beside_a_writer_sees_no_roll_back() {
    let (bench, vault) = Bench::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..300 {
                set(&vault, &(n % 50).to_string(), "value").unwrap();
            }
        });
        for _ in 0..15 {
            let inspected = Vault::open_accepting(bench.parts(), crate::Accept::Inspect).unwrap();
            match inspected.verify(&Silent) {
                Ok(report) => assert_eq!((report.rolled_back, report.damage), (None, vec![])),
                Err(error) => assert!(matches!(error, VaultError::Contended), "{error}"),
            }
        }
    });
}
