use crate::{
    Fault, Silent, Vault, VaultError,
    testing::{Bench, get, reference, set},
};
use std::path::PathBuf;

const SERVICES: usize = 12;

struct Lab {
    bench: Bench,
    vault: Vault,
    _directory: tempfile::TempDir,
    backup: PathBuf,
}

fn lab() -> Lab {
    let (bench, vault) = Bench::new();
    for n in 0..SERVICES {
        set(&vault, &format!("service {n}/a"), &format!("value {n}")).unwrap();
        set(&vault, &format!("service {n}/b"), "other").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let backup = directory.path().join("vault.backup");
    let report = vault.backup(&backup, &Silent).unwrap();
    assert_eq!(report.services, u64::try_from(SERVICES).unwrap());
    Lab { bench, vault, _directory: directory, backup }
}

fn source(lab: &Lab) -> Vault {
    lab.vault.beside(std::sync::Arc::new(claviger_store::ArchiveStore::open(&lab.backup).unwrap())).unwrap()
}

fn check(vault: &Vault) {
    for n in 0..SERVICES {
        assert_eq!(get(vault, &format!("service {n}/a")).unwrap(), format!("value {n}"));
    }
}

/// Each object in turn, missing or altered, and all kinds at once: exactly those are mended.
#[test]
fn what_the_backup_has_to_the_letter_is_put_back() {
    let lab = lab();
    let whole = lab.bench.copy();
    let mut mended = 0;
    for (at, (id, bytes)) in whole.objects.iter().enumerate() {
        let fault = if at % 2 == 0 { Fault::Missing } else { Fault::Altered };
        let mut changed = bytes.clone().unwrap();
        let middle = changed.len() / 2;
        changed[middle] ^= 4;
        lab.bench.store.tamper(*id, (fault == Fault::Altered).then_some(changed));
        let found = lab.bench.open().map(|vault| vault.verify(&Silent).unwrap().damage.len());
        if let Ok(1) = found {
            let vault = lab.bench.open().unwrap();
            let report = vault.repair(&source(&lab), &Silent).unwrap();
            // What only the backup's own commit wrote (the register that lists it) is not in it.
            if report.left.is_empty() {
                assert_eq!(report.restored.len(), 1);
                assert_eq!((report.restored[0].object, report.restored[0].fault), (*id, fault));
                mended += 1;
                assert_eq!(lab.bench.copy().objects, whole.objects, "nothing else has changed");
            }
        }
        lab.bench.put_back(&whole);
    }
    assert!(mended > SERVICES * 3, "{mended}");
}

#[test]
fn many_damaged_objects_are_mended_at_once() {
    let lab = lab();
    let vault_key = lab.vault.fresh().unwrap().root.envelope.id;
    let whole = lab.bench.copy();
    let register = lab.vault.fresh().unwrap().payload.recipients.id;
    let mut gone = 0;
    for (id, bytes) in &whole.objects {
        let head =
            crate::format::head::archive_id(&claviger_types::Digest::of(bytes.as_ref().unwrap())) == *id;
        if *id != vault_key && *id != register && !head {
            lab.bench.store.tamper(*id, None);
            gone += 1;
        }
    }
    let vault = lab.bench.open().unwrap();
    let report = vault.repair(&source(&lab), &Silent).unwrap();
    assert_eq!((report.restored.len(), report.left.len()), (gone, 0));
    check(&lab.bench.open().unwrap());
}

/// After a rotation no object of the service is the backup's any more; the same version of the same credential is.
#[test]
fn the_same_version_is_sealed_anew_where_no_object_fits() {
    let lab = lab();
    let name = reference("service 3").service;
    let _ = lab.vault.rotate_service(&name).unwrap();
    let snapshot = lab.vault.fresh().unwrap();
    let leaf = snapshot.leaf(&name).unwrap().unwrap();
    let service = crate::pages::Service::load(&snapshot, &leaf).unwrap();
    let record = service.find(&snapshot, "a").unwrap().unwrap();
    lab.bench.store.tamper(record.versions[0].object.unwrap().id, None);
    let vault = lab.bench.open().unwrap();
    let report = vault.repair(&source(&lab), &Silent).unwrap();
    assert_eq!((report.restored.len(), report.resealed.len(), report.left.len()), (0, 1, 0));
    check(&vault);

    // Its data key gone: every version of the service, under a new one.
    let leaf = vault.fresh().unwrap().leaf(&name).unwrap().unwrap();
    lab.bench.store.tamper(leaf.keys[0].envelope.id, None);
    let vault = lab.bench.open().unwrap();
    assert!(matches!(get(&vault, "service 3/a"), Err(VaultError::Object { .. })));
    let report = vault.repair(&source(&lab), &Silent).unwrap();
    assert_eq!((report.resealed.len(), report.left.len()), (1, 0));
    check(&lab.bench.open().unwrap());
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 0);
}

#[test]
fn what_the_backup_does_not_have_is_left_and_named() {
    let lab = lab();
    let name = reference("service 3").service;
    let _ = lab.vault.rotate_service(&name).unwrap();
    set(&lab.vault, "service 3/a", "written later").unwrap();
    let snapshot = lab.vault.fresh().unwrap();
    let leaf = snapshot.leaf(&name).unwrap().unwrap();
    let record =
        crate::pages::Service::load(&snapshot, &leaf).unwrap().find(&snapshot, "a").unwrap().unwrap();
    lab.bench.store.tamper(record.versions[1].object.unwrap().id, None);
    let vault = lab.bench.open().unwrap();
    let report = vault.repair(&source(&lab), &Silent).unwrap();
    assert_eq!((report.restored.len(), report.resealed.len(), report.left.len()), (0, 0, 1));
    assert_eq!(report.left[0].version, Some(2));
    // And a data key: the backup lacks a version, so nothing is given up.
    lab.bench.store.tamper(leaf.keys[0].envelope.id, None);
    let vault = lab.bench.open().unwrap();
    let before = lab.bench.copy().objects;
    let report = vault.repair(&source(&lab), &Silent).unwrap();
    assert_eq!((report.resealed.len(), report.left.len()), (0, 2));
    assert_eq!(lab.bench.copy().objects, before);
}
