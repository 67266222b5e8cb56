use crate::{
    Silent, Versions,
    testing::{Bench, get, reference, set},
};
use claviger_envelope::ObjectKind;

#[test]
fn a_large_service_lies_in_pages_and_every_credential_is_found() {
    let (bench, vault) = Bench::new();
    // Long names fill pages quickly.
    let name = |n: usize| format!("big/{n:03}{}", "n".repeat(900));
    for n in 0..130 {
        set(&vault, &name(n), &format!("value {n}")).unwrap();
    }
    let vault = bench.open().unwrap();
    let snapshot = vault.fresh().unwrap();
    let leaf = snapshot.leaf(&reference("big").service).unwrap().unwrap();
    let service = super::Service::load(&snapshot, &leaf).unwrap();
    assert!(service.page_table().len() >= 2, "{} pages", service.page_table().len());
    assert_eq!(service.len(), 130);
    for page in service.page_table() {
        let size = snapshot.read("service page", &page.link).unwrap().len();
        assert!(size <= 64 << 10, "{size}");
        assert!(snapshot.read_sealed("service page", ObjectKind::Page, &page.link).is_ok());
    }
    for n in 0..130 {
        assert_eq!(get(&vault, &name(n)).unwrap(), format!("value {n}"));
    }
    let listed = vault.list(None).unwrap();
    assert_eq!(listed.len(), 130);
    assert!(listed.is_sorted_by_key(|info| info.name.clone()));
    let report = vault.verify(&Silent).unwrap();
    assert_eq!((report.credentials, report.garbage, report.damage.len()), (130, 0, 0));

    for n in 0..130 {
        vault.destroy(&reference(&name(n)), &Versions::All).unwrap();
        if n == 90 {
            assert_eq!(get(&vault, &name(100)).unwrap(), "value 100");
        }
    }
    assert_eq!(vault.list(None).unwrap().len(), 0);
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 0);
}
