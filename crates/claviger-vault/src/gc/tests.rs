use crate::{
    GcOptions, Silent,
    testing::{Bench, get, set},
};
use claviger_store::{Object, Store};
use claviger_types::{ObjectId, OsEntropy};

#[test]
fn only_old_garbage_goes() {
    let (bench, vault) = Bench::new();
    for service in 0..20 {
        set(&vault, &service.to_string(), "value").unwrap();
    }
    let garbage = Object { id: ObjectId::random(&OsEntropy).unwrap(), bytes: b"left over".to_vec() };
    bench.store.put(std::slice::from_ref(&garbage)).unwrap();
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 1);

    let report = vault.gc(GcOptions::default(), &Silent).unwrap();
    assert_eq!((report.deleted, report.young), (0, 1));
    let report = vault.gc(GcOptions { now: true, dry_run: true, ..GcOptions::default() }, &Silent).unwrap();
    assert_eq!(report.deleted, 1);
    assert!(bench.store.get(&[garbage.id]).unwrap()[0].is_some(), "a dry run deletes nothing");
    let report = vault.gc(GcOptions { now: true, ..GcOptions::default() }, &Silent).unwrap();
    assert_eq!(report.deleted, 1);
    assert!(bench.store.get(&[garbage.id]).unwrap()[0].is_none());

    let report = vault.verify(&Silent).unwrap();
    assert_eq!((report.garbage, report.damage.len(), report.services), (0, 0, 20));
    assert_eq!(get(&bench.open().unwrap(), "7").unwrap(), "value");
}

#[test]
fn nothing_goes_while_the_vault_is_damaged() {
    let (bench, vault) = Bench::new();
    for service in 0..20 {
        set(&vault, &service.to_string(), "value").unwrap();
    }
    let root = vault.fresh().unwrap().payload.roots[0].index.unwrap();
    bench.store.tamper(root.id, None);
    let before = bench.store.list(None, usize::MAX).unwrap().len();
    assert!(vault.gc(GcOptions { now: true, ..GcOptions::default() }, &Silent).is_err());
    assert_eq!(bench.store.list(None, usize::MAX).unwrap().len(), before);
}
