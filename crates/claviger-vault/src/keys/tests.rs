use crate::{
    RotateMaster, Silent, VaultError, Versions, index,
    keys::MOST_USES,
    session::Step,
    testing::{Bench, get, reference, set},
};
use claviger_store::{Fault, StoreError};
use claviger_types::Scheme;

fn seals(vault: &crate::Vault, service: &str) -> u64 {
    let name = reference(service).service;
    vault.fresh().unwrap().leaf(&name).unwrap().unwrap().keys[0].seals
}

fn wraps(vault: &crate::Vault) -> u64 {
    vault.fresh().unwrap().registry().unwrap().recipients.iter().map(|record| record.wraps).max().unwrap()
}

/// Sets the count of a service's data key, as so many writes would have.
fn wear(vault: &crate::Vault, service: &str, seals: u64) {
    let name = reference(service).service;
    vault
        .write(|snapshot, draft, _| {
            let mut leaf = snapshot.leaf(&name)?.unwrap();
            leaf.keys[0].seals = seals;
            let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, vault.entropy.as_ref())?;
            Ok(Step::Commit(snapshot.with_index(index), ()))
        })
        .unwrap();
}

#[test]
fn every_seal_is_counted_across_restarts_and_failures() {
    let (bench, vault) = Bench::new();
    for n in 1..=5 {
        set(&vault, "a", "value").unwrap();
        assert_eq!(seals(&vault, "a"), n);
    }
    let vault = bench.open().unwrap();
    set(&vault, "a", "value").unwrap();
    assert_eq!(seals(&vault, "a"), 6);
    // A write that fails has used the key all the same; the next one that succeeds counts it.
    let full = || StoreError::Unreachable { context: "a test".to_owned(), source: "no more room".into() };
    for _ in 0..3 {
        let before = bench.store.calls();
        for call in 0.. {
            bench.store.inject(call, Fault::Fail(full()));
            if set(&vault, "a", "value").is_ok() {
                break;
            }
            assert!(bench.store.calls() > before);
        }
    }
    bench.store.restart();
    let counted = seals(&vault, "a");
    assert!(counted > 9, "{counted}: those that failed are counted too");
    let newest = vault.history(&reference("a")).unwrap().current;
    assert!(counted > newest, "more seals than versions");
}

#[test]
fn a_worn_out_data_key_seals_no_more_and_says_what_to_rotate() {
    let (bench, vault) = Bench::new();
    set(&vault, "a", "1").unwrap();
    wear(&vault, "a", MOST_USES - 1);
    assert!(vault.status().unwrap().warnings.iter().any(|warning| warning.contains("worn out")));
    set(&vault, "a", "2").unwrap();
    match set(&vault, "a", "3") {
        Err(error @ VaultError::KeyExhausted { .. }) => assert!(error.to_string().contains("rotate")),
        other => panic!("{other:?}"),
    }
    // Across a restart, too; reading goes on, and a rotation helps.
    let vault = bench.open().unwrap();
    assert!(matches!(set(&vault, "a", "3"), Err(VaultError::KeyExhausted { .. })));
    assert_eq!(get(&vault, "a").unwrap(), "2");
    let _ = vault.rotate_service(&reference("a").service).unwrap();
    assert_eq!(seals(&vault, "a"), 2);
    set(&vault, "a", "3").unwrap();
    vault.destroy(&reference("a"), &Versions::These(vec![1])).unwrap();
}

#[test]
fn wraps_by_a_gcm_master_key_are_counted_and_bounded() {
    let (bench, vault) = Bench::with_scheme(Scheme::A256Gcm);
    assert_eq!(wraps(&vault), 1, "the vault key itself");
    for n in 0..10 {
        set(&vault, &format!("service {n}"), "value").unwrap();
    }
    assert_eq!(wraps(&vault), 11);
    let vault = bench.open().unwrap();
    set(&vault, "another", "value").unwrap();
    assert_eq!(wraps(&vault), 12);
    vault
        .change_registry(&|registry| {
            registry.recipients[0].wraps = MOST_USES - 1;
            Ok(())
        })
        .unwrap();
    assert!(vault.status().unwrap().warnings.iter().any(|warning| warning.contains("worn out")));
    set(&vault, "last", "value").unwrap();
    match set(&vault, "one more", "value") {
        Err(error @ VaultError::MasterKeyExhausted { .. }) => assert!(error.to_string().contains("rotate")),
        other => panic!("{other:?}"),
    }
    set(&vault, "last", "a new version needs no wrapping").unwrap();
    let vault = bench.open().unwrap();
    assert!(matches!(set(&vault, "one more", "value"), Err(VaultError::MasterKeyExhausted { .. })));
    vault.rotate_master(RotateMaster::default(), &Silent).unwrap();
    set(&vault, "one more", "value").unwrap();
}
