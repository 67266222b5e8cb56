use crate::{
    Accept, Anchor, Vault, VaultError,
    testing::{Bench, get, set},
};

#[expect(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn rolled_back<T: std::fmt::Debug>(outcome: Result<T, VaultError>) {
    assert!(matches!(outcome, Err(VaultError::RolledBack { .. })), "{outcome:?}");
}

#[test]
fn an_older_store_is_refused() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "old").unwrap();
    let old = bench.copy();
    set(&vault, "s", "new").unwrap();
    bench.put_back(&old);
    rolled_back(get(&vault, "s"));
    rolled_back(bench.open());
}

#[test]
fn an_older_head_alone_is_refused() {
    let (bench, vault) = Bench::new();
    let old = bench.copy();
    set(&vault, "s", "new").unwrap();
    bench.store.tamper_head(old.head);
    rolled_back(bench.open());
}

#[test]
fn a_fork_is_refused_where_the_other_branch_was_seen() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "common").unwrap();
    let common = bench.copy();
    let seen = bench.anchor.read().unwrap();
    set(&vault, "s", "ours").unwrap();
    let ours = bench.anchor.read().unwrap();

    // Another host that never saw our commit goes on from the older store, further than we did.
    bench.put_back(&common);
    *bench.anchor.0.lock().unwrap() = seen;
    let other = bench.open().unwrap();
    set(&other, "s", "theirs 1").unwrap();
    set(&other, "s", "theirs 2").unwrap();

    *bench.anchor.0.lock().unwrap() = ours;
    rolled_back(bench.open());
}

#[test]
fn a_newer_head_is_followed_through_the_chain_and_raises_the_anchor() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "1").unwrap();
    let far = bench.anchor.read().unwrap();
    for n in 2..=6 {
        set(&vault, "s", &n.to_string()).unwrap();
    }
    let newest = bench.anchor.read().unwrap();
    *bench.anchor.0.lock().unwrap() = far;
    assert_eq!(get(&bench.open().unwrap(), "s").unwrap(), "6");
    assert_eq!(bench.anchor.read().unwrap(), newest, "reads raise it too");
}

#[test]
fn a_chain_with_a_gap_is_refused() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "1").unwrap();
    let far = bench.anchor.read().unwrap();
    set(&vault, "s", "2").unwrap();
    let between = bench.anchor.read().unwrap().unwrap();
    set(&vault, "s", "3").unwrap();
    set(&vault, "s", "4").unwrap();
    bench.store.tamper(crate::format::head::archive_id(&between.digest), None);
    *bench.anchor.0.lock().unwrap() = far;
    rolled_back(bench.open());
}

#[test]
fn a_missing_anchor_is_refused_and_trust_is_the_way_through() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "value").unwrap();
    let head = vault.head().unwrap();
    *bench.anchor.0.lock().unwrap() = None;
    rolled_back(bench.open());

    let inspected = Vault::open_accepting(bench.parts(), Accept::Inspect).unwrap();
    assert!(inspected.verify(&crate::Silent).unwrap().rolled_back.is_some());
    assert!(
        matches!(set(&inspected, "s", "x"), Err(VaultError::Invalid { .. })),
        "inspection writes nothing"
    );

    let other = claviger_types::Digest::of(b"another head");
    rolled_back(Vault::open_accepting(bench.parts(), Accept::Trust(other)));
    let trusted = Vault::open_accepting(bench.parts(), Accept::Trust(head.digest)).unwrap();
    assert_eq!(get(&trusted, "s").unwrap(), "value");
    assert_eq!(get(&bench.open().unwrap(), "s").unwrap(), "value");
}

/// An anchor that lies far behind is reached over milestones, and over damage between them.
#[test]
fn an_old_anchor_is_reached_over_milestones() {
    let (bench, vault) = Bench::new();
    for n in 0..200 {
        set(&vault, "s", &n.to_string()).unwrap();
    }
    let newest = bench.anchor.read().unwrap();
    let head = vault.fresh().unwrap();
    let mut chain = vec![crate::Seen { epoch: head.payload.epoch, digest: head.digest }];
    let mut previous = head.payload.previous;
    while let Some(digest) = previous {
        let past = super::past_head(bench.store.as_ref(), &digest).unwrap().unwrap();
        chain.push(crate::Seen { epoch: past.epoch, digest });
        previous = past.previous;
    }
    for seen in &chain {
        *bench.anchor.0.lock().unwrap() = Some(*seen);
        bench.open().unwrap();
    }
    // Without the head before the newest, what lies before the last milestone is still reached; what lies after is not.
    bench.store.tamper(crate::format::head::archive_id(&chain[1].digest), None);
    for seen in &chain {
        *bench.anchor.0.lock().unwrap() = Some(*seen);
        let near = seen.epoch > 192 && seen.epoch < chain[1].epoch;
        assert_eq!(bench.open().is_err(), near, "epoch {}", seen.epoch);
    }
    // A milestone of another branch is none.
    let other = crate::Seen { epoch: 128, digest: claviger_types::Digest::of(b"another branch") };
    *bench.anchor.0.lock().unwrap() = Some(other);
    rolled_back(bench.open());
    *bench.anchor.0.lock().unwrap() = newest;
}
