use crate::{
    Silent, Versions,
    testing::{Bench, faults, get, reference, set},
};
use claviger_store::Store;

#[test]
fn writers_on_many_threads_and_vaults_lose_nothing() {
    let (bench, _vault) = Bench::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                let vault = bench.open().unwrap();
                for n in 0..10 {
                    set(&vault, &format!("own {writer}/{n}"), "value").unwrap();
                    set(&vault, "shared/counter", "value").unwrap();
                }
            });
        }
    });
    let vault = bench.open().unwrap();
    assert_eq!(vault.list(None).unwrap().len(), 81);
    assert_eq!(
        vault.history(&reference("shared")).unwrap().current,
        80,
        "each write is a version of its own"
    );
    let report = vault.verify(&Silent).unwrap();
    assert_eq!((report.damage.len(), report.garbage), (0, 0));
}

#[test]
fn readers_are_never_told_of_damage_while_others_write() {
    let (bench, vault) = Bench::new();
    for n in 0..20 {
        set(&vault, &n.to_string(), "value").unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200 {
                set(&vault, &(n % 20).to_string(), "value").unwrap();
            }
            vault.destroy(&reference("3"), &Versions::All).unwrap();
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let vault = bench.open().unwrap();
                for n in 0..200 {
                    if n % 20 != 3 {
                        assert_eq!(get(&vault, &(n % 20).to_string()).unwrap(), "value");
                    }
                }
                assert_eq!(vault.verify(&Silent).unwrap().damage, []);
            });
        }
    });
}

/// The store fails, or everything after a point is lost, at every call of a few writes: reopened, the vault holds the
/// old version or the new one of each, whole, and goes on working.
#[test]
fn a_crash_at_any_call_leaves_the_old_or_the_new() {
    for fault in faults() {
        for call in 0.. {
            let (bench, vault) = Bench::new();
            set(&vault, "a", "1").unwrap();
            set(&vault, "c", "1").unwrap();
            set(&vault, "c", "2").unwrap();
            let before = bench.store.calls();
            bench.store.inject(call, fault());
            let outcomes = [
                set(&vault, "a", "2").is_ok(),
                set(&vault, "b/x", "1").is_ok(),
                vault.destroy(&reference("c"), &Versions::These(vec![1])).is_ok(),
            ];
            let used = bench.store.calls() - before;
            bench.store.restart();
            let vault = bench.open().unwrap();
            let a = get(&vault, "a").unwrap();
            assert!(a == "2" || (a == "1" && !outcomes[0]), "call {call}");
            assert_eq!(get(&vault, "c").unwrap(), "2", "call {call}");
            assert!(get(&vault, "b").is_ok() || !outcomes[1], "call {call}");
            assert_eq!(vault.verify(&Silent).unwrap().damage, [], "call {call}");
            set(&vault, "a", "3").unwrap();
            assert_eq!(get(&vault, "a").unwrap(), "3");
            if used <= call {
                assert_eq!(outcomes, [true; 3]);
                break;
            }
        }
    }
    assert!(Bench::new().0.store.head().unwrap().is_some());
}

/// A disk that fails at each commit is an error, not another writer to be waited for.
#[test]
fn a_commit_that_fails_in_doubt_is_not_tried_for_ever() {
    let (bench, vault) = Bench::new();
    set(&vault, "a", "before").unwrap();
    let doubt =
        || claviger_store::Fault::Fail(claviger_store::StoreError::Ambiguous { source: "a test".into() });
    let mut failed = 0;
    for call in 0..40 {
        bench.store.inject(call, doubt());
        let outcome = vault.rotate_master(crate::RotateMaster::default(), &crate::Silent);
        bench.store.restart();
        if let Err(error) = outcome {
            assert!(error.may_be_done(), "{error:?}");
            failed += 1;
        }
        assert_eq!(get(&vault, "a").unwrap(), "before");
    }
    assert!(failed > 0);
}

/// What a head links to may be gone when somebody commits on it: that is a race that was lost, and no damage.
#[test]
fn a_commit_on_a_head_that_is_overtaken_is_lost_and_no_damage() {
    let (bench, vault) = Bench::new();
    set(&vault, "a", "1").unwrap();
    // It has read nothing of the register yet.
    let late = bench.open().unwrap();
    let snapshot = late.fresh().unwrap();
    vault.rotate_master(crate::RotateMaster::default(), &crate::Silent).unwrap();
    assert!(
        bench.store.get(&[snapshot.payload.recipients.id]).unwrap()[0].is_none(),
        "the register was replaced"
    );
    let payload = Box::new(crate::format::HeadPayload::clone(&snapshot.payload));
    assert!(!late.commit(&snapshot, payload, crate::draft::Draft::default()).unwrap());
    assert_eq!(get(&late, "a").unwrap(), "1");
}
