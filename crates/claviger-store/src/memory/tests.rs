use super::*;
use crate::contract::{self, Fresh, id, object};

fn fresh() -> Fresh {
    let clock = contract::clock();
    Fresh { store: Arc::new(MemoryStore::with_clock(clock.clone())), clock, _keep: Box::new(()) }
}

contract::suite!(fresh);

#[test]
fn one_call_fails_and_the_next_works() {
    let store = MemoryStore::new();
    store.put(&[object("a")]).unwrap();
    store.inject(1, Fault::Fail(StoreError::IdExists));
    store.put(&[object("b")]).unwrap();
    assert!(matches!(store.put(&[object("c")]), Err(StoreError::IdExists)));
    assert_eq!(store.get(&[id("b"), id("c")]).unwrap(), [Some(object("b").bytes), None]);
    assert_eq!(store.calls(), 4);
}

#[test]
fn a_crash_lasts_until_the_restart() {
    for (fault, happened) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true)] {
        let store = MemoryStore::new();
        store.inject(0, fault);
        assert!(matches!(store.commit(None, b"1", &[], &[]), Err(StoreError::Unreachable { .. })));
        assert!(matches!(store.head(), Err(StoreError::Unreachable { .. })));
        assert!(matches!(store.watch(None, Duration::ZERO), Err(StoreError::Unreachable { .. })));
        store.restart();
        assert_eq!(store.head().unwrap().is_some(), happened);
    }
}

#[test]
fn a_lost_answer_is_ambiguous() {
    let store = MemoryStore::new();
    store.inject(0, Fault::LoseAnswer);
    assert!(matches!(store.commit(None, b"1", &[], &[]), Err(StoreError::Ambiguous { .. })));
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
}

#[test]
fn tampering_shows() {
    let store = MemoryStore::new();
    store.put(&[object("a"), object("b")]).unwrap();
    store.tamper(id("a"), Some(vec![1]));
    store.tamper(id("b"), None);
    store.tamper_head(Some(vec![2]));
    assert_eq!(store.get(&[id("a"), id("b")]).unwrap(), [Some(vec![1]), None]);
    assert_eq!(store.head().unwrap(), Some(vec![2]));
}

#[test]
fn an_erasure_stays_pending_as_long_as_the_test_wants() {
    let store = MemoryStore::new();
    store.begin_erasure().unwrap();
    store.keep_bytes(Some("somebody reads"));
    assert_eq!(store.erase().unwrap(), Erasure::Pending { reason: "somebody reads".to_owned() });
    assert!(store.erasure_pending().unwrap());
    store.keep_bytes(None);
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!store.erasure_pending().unwrap());
}

#[test]
fn a_restart_frees_the_work_lock_and_keeps_the_note_of_an_erasure() {
    let store = MemoryStore::new();
    let of_the_dead = store.work_lock().unwrap().unwrap();
    store.begin_erasure().unwrap();
    store.inject(0, Fault::CrashBefore);
    assert!(store.work_lock().is_err());
    store.restart();
    let held = store.work_lock().unwrap().unwrap();
    // What the dead one left behind frees nothing.
    drop(of_the_dead);
    assert!(store.work_lock().unwrap().is_none());
    drop(held);
    assert!(store.erasure_pending().unwrap());
}
