use crate::{
    ImportEntry, ImportOptions, ImportReport, Progress, RotateMaster, Silent, Vault, VaultError, Versions,
    testing::{Bench, api_key, faults, get, reference, set},
};
use claviger_store::Store;
use claviger_types::{CredentialName, Scheme, ServiceName};
use std::sync::Mutex;

fn entries(names: impl IntoIterator<Item = (String, String)>) -> Vec<ImportEntry> {
    let entry = |(service, value): (String, String)| ImportEntry {
        service: ServiceName::new(service).unwrap(),
        name: CredentialName::new("api_key").unwrap(),
        value: api_key(&value),
    };
    names.into_iter().map(entry).collect()
}

fn many(count: usize, value: &str) -> Vec<ImportEntry> {
    entries((0..count).map(|n| (format!("service {n}"), format!("{value} {n}"))))
}

fn import(vault: &Vault, entries: &[ImportEntry], overwrite: bool) -> Result<ImportReport, VaultError> {
    vault.import(entries, ImportOptions { overwrite, dry_run: false }, &Silent)
}

#[test]
fn everything_comes_in_at_once_and_a_second_time_nothing_changes() {
    let (bench, vault) = Bench::new();
    let before = vault.head().unwrap().epoch;
    let report = import(&vault, &many(700, "value"), false).unwrap();
    assert_eq!((report.applied, report.created.len(), report.verified), (true, 700, 700));
    assert!(report.verified_by_token >= 20);
    assert_eq!(vault.head().unwrap().epoch, before + 1, "one swap of the head");
    let vault = bench.open().unwrap();
    assert_eq!(get(&vault, "service 699").unwrap(), "value 699");
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 0);

    let report = import(&vault, &many(700, "value"), false).unwrap();
    assert_eq!((report.applied, report.unchanged, report.created.len()), (false, 700, 0));
    assert_eq!(vault.head().unwrap().epoch, before + 1);
}

#[test]
fn what_differs_is_listed_and_needs_overwrite() {
    let (_bench, vault) = Bench::new();
    set(&vault, "service 1", "mine").unwrap();
    set(&vault, "service 2", "value 2").unwrap();
    set(&vault, "service 3", "value 3").unwrap();
    vault.delete(&reference("service 3"), &Versions::Newest).unwrap();
    let report = import(&vault, &many(5, "value"), false).unwrap();
    assert!(!report.applied);
    assert_eq!(report.differing, [reference("service 1/api_key"), reference("service 3/api_key")]);
    assert!(get(&vault, "service 0").is_err(), "nothing was written");

    let report = import(&vault, &many(5, "value"), true).unwrap();
    assert_eq!(
        (report.applied, report.updated.len(), report.created.len(), report.unchanged),
        (true, 2, 2, 1)
    );
    assert_eq!(get(&vault, "service 1").unwrap(), "value 1");
    assert_eq!(vault.history(&reference("service 1")).unwrap().current, 2);
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 0);
}

#[test]
fn a_dry_run_writes_nothing() {
    let (bench, vault) = Bench::new();
    let before = bench.store.list(None, usize::MAX).unwrap().len();
    let report =
        vault.import(&many(3, "v"), ImportOptions { overwrite: false, dry_run: true }, &Silent).unwrap();
    assert_eq!((report.applied, report.created.len()), (false, 3));
    assert_eq!(bench.store.list(None, usize::MAX).unwrap().len(), before);
}

#[test]
fn the_same_entry_twice_is_refused() {
    let (_bench, vault) = Bench::new();
    let twice = entries([("s".to_owned(), "1".to_owned()), ("s".to_owned(), "2".to_owned())]);
    assert!(matches!(import(&vault, &twice, false), Err(VaultError::Invalid { .. })));
}

/// The store fails or dies at every call in turn: afterwards the vault is as it was, or has everything.
#[test]
fn a_failure_anywhere_leaves_all_or_nothing() {
    for (kind, fault) in faults().into_iter().enumerate() {
        for call in 0.. {
            let (bench, vault) = Bench::new();
            set(&vault, "service 1", "value 1").unwrap();
            let present = bench.store.list(None, usize::MAX).unwrap().len();
            let before = bench.store.calls();
            bench.store.inject(call, fault());
            let outcome = import(&vault, &many(40, "value"), false);
            let used = bench.store.calls() - before;
            bench.store.restart();
            let vault = bench.open().unwrap();
            let there = (0..40).filter(|n| get(&vault, &format!("service {n}")).is_ok()).count();
            assert!(there == 1 || there == 40, "{there} services after a fault at call {call}");
            assert_eq!(vault.verify(&Silent).unwrap().damage, []);
            if outcome.is_ok() {
                assert_eq!(there, 40);
            } else if kind == 0 && there == 1 {
                assert_eq!(
                    bench.store.list(None, usize::MAX).unwrap().len(),
                    present,
                    "staged objects are deleted"
                );
            }
            if used <= call {
                assert!(outcome.is_ok());
                break;
            }
        }
    }
}

#[test]
fn an_anchor_that_cannot_be_raised_loses_nothing() {
    use std::sync::atomic::Ordering;
    for (stage, written) in [(1, false), (2, true)] {
        let (bench, vault) = Bench::new();
        set(&vault, "service 1", "mine").unwrap();
        bench.anchor.1.store(stage, Ordering::SeqCst);
        let error = import(&vault, &many(40, "value"), true).unwrap_err();
        assert_eq!(matches!(error, VaultError::Unanchored { .. }), written, "{error}");
        let outcome = set(&vault, "other", "value");
        assert!(outcome.is_err());
        bench.anchor.1.store(0, Ordering::SeqCst);
        let vault = bench.open().unwrap();
        assert_eq!(get(&vault, "service 1").unwrap(), if written { "value 1" } else { "mine" });
        assert_eq!(get(&vault, "service 39").is_ok(), written);
        assert_eq!(get(&vault, "other").is_ok(), written);
        let report = vault.verify(&Silent).unwrap();
        assert_eq!((report.damage.len(), report.garbage), (0, 0));
    }
}

/// Does something else to the vault when the import has staged its first service.
struct Meanwhile<'a> {
    stage: Mutex<&'static str>,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl Progress for Meanwhile<'_> {
    fn begin(&self, stage: &'static str, _total: Option<u64>) {
        *self.stage.lock().unwrap() = stage;
    }

    fn advance(&self, _steps: u64) {
        let now = *self.stage.lock().unwrap() == "importing";
        let what = if now { self.what.lock().unwrap().take() } else { None };
        if let Some(what) = what {
            what();
        }
    }
}

/// An import seals for those who can open the vault when it begins. When it is done they may be others.
#[test]
fn keys_that_change_meanwhile_leave_nothing_behind_that_nobody_opens() {
    let destroying = RotateMaster { destroy_old: true, ..RotateMaster::default() };
    let compromised = RotateMaster { compromised: true, ..RotateMaster::default() };
    let scheme = Some(Scheme::EcdhEsA256Kw);
    for how in [destroying, compromised, RotateMaster { scheme, ..destroying }] {
        let (bench, vault) = Bench::new();
        set(&vault, "here before", "value").unwrap();
        let other = bench.open().unwrap();
        let rotate = || drop(other.rotate_master(how, &Silent).unwrap());
        let meanwhile = Meanwhile { stage: Mutex::new(""), what: Mutex::new(Some(Box::new(rotate))) };
        let report = vault.import(&many(300, "value"), ImportOptions::default(), &meanwhile).unwrap();
        assert!(meanwhile.what.lock().unwrap().is_none(), "it was rotated meanwhile");
        assert_eq!((report.applied, report.created.len()), (true, 300));
        for n in 0..300 {
            assert_eq!(get(&other, &format!("service {n}")).unwrap(), format!("value {n}"), "{how:?}");
        }
        let report = other.verify(&Silent).unwrap();
        assert_eq!((report.damage, report.garbage, report.services), (vec![], 0, 301));
    }
}
