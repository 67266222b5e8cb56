use super::*;
use crate::{
    MemoryHost, Retire, RotateMaster, Silent, answer_challenge,
    testing::{Bench, MemoryAnchor, get, set},
};
use claviger_store::{MemoryStore, SqliteStore};
use claviger_types::{HostId, OsEntropy, Scheme};
use std::path::PathBuf;

const SERVICES: usize = 30;

fn filled() -> (Bench, Vault, tempfile::TempDir, PathBuf) {
    let (bench, vault) = Bench::with_scheme(Scheme::EcdhEsA256Kw);
    for n in 0..SERVICES {
        set(&vault, &format!("service {n}"), &format!("value {n}")).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vault.backup");
    (bench, vault, directory, file)
}

fn check(vault: &Vault) {
    for n in 0..SERVICES {
        assert_eq!(get(vault, &format!("service {n}")).unwrap(), format!("value {n}"));
    }
    assert_eq!(vault.verify(&Silent).unwrap().damage, []);
}

fn archive(file: &Path) -> Arc<dyn Store> {
    Arc::new(ArchiveStore::open(file).unwrap())
}

/// The bench with an empty store in the place of its own.
fn emptied(bench: Bench) -> Bench {
    Bench { store: Arc::new(MemoryStore::new()), ..bench }
}

#[test]
fn a_backup_that_is_made_while_others_write_is_whole() {
    let (bench, vault, _directory, file) = filled();
    let over = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let vault = bench.open().unwrap();
            let mut n = 0;
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                set(&vault, &format!("service {}", n % SERVICES), &format!("value {}", n % SERVICES))
                    .unwrap();
                n += 1;
            }
        });
        let report = vault.backup(&file, &Silent);
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        report.unwrap()
    });
    let copy = vault.beside(archive(&file)).unwrap();
    check(&copy);
    assert_eq!(copy.head().unwrap(), report.head);
    assert_eq!(vault.status().unwrap().backups.len(), 1);
    assert!(vault.backup(&file, &Silent).is_err(), "an existing file is never replaced");
}

#[test]
fn a_damaged_vault_is_not_backed_up_as_if_it_were_whole() {
    let (bench, vault, _directory, file) = filled();
    let index = vault.fresh().unwrap().root.index.unwrap();
    bench.store.tamper(index.id, None);
    let fresh = bench.open().unwrap();
    assert!(matches!(fresh.backup(&file, &Silent), Err(VaultError::Object { .. })));
    assert_eq!(fresh.fresh().unwrap().registry().unwrap().backups, [], "and none is on record");
    assert!(!file.exists());
}

#[test]
fn a_lost_store_is_restored_and_only_knowingly_where_it_was_newer() {
    let (bench, vault, _directory, file) = filled();
    let backup = vault.backup(&file, &Silent).unwrap();
    assert_eq!(backup.head, vault.head().unwrap(), "nothing is newer than it");
    set(&vault, "later", "value").unwrap();
    let seen = vault.head().unwrap();
    let kid = |vault: &Vault| {
        let name = "service 1".parse::<claviger_types::Reference>().unwrap().service;
        vault.fresh().unwrap().leaf(&name).unwrap().unwrap().keys[0].kid
    };
    let old_kid = kid(&vault);
    let bench = emptied(bench);
    let refused = restore(bench.parts(), &archive(&file), false, &[], &Silent);
    assert!(matches!(refused, Err(VaultError::RolledBack { .. })), "{refused:?}");
    let (restored, report) = restore(bench.parts(), &archive(&file), true, &[], &Silent).unwrap();
    assert_eq!((report.from, report.lost_after), (backup.head, Some(seen.epoch)));
    assert!(report.head.epoch > seen.epoch);
    check(&restored);
    check(&bench.open().unwrap());
    assert!(get(&restored, "later").is_err());
    assert_ne!(kid(&restored), old_kid, "every service has a new data key");
    let again = restore(bench.parts(), &archive(&file), true, &[], &Silent);
    assert!(again.is_ok(), "the same again changes nothing, or goes on: {again:?}");
    check(&bench.open().unwrap());
}

#[test]
fn other_hosts_refuse_a_restored_vault_until_they_trust_it() {
    let (bench, vault, _directory, file) = filled();
    vault.backup(&file, &Silent).unwrap();
    set(&vault, "later", "value").unwrap();
    let elsewhere = MemoryAnchor::default();
    *elsewhere.0.lock().unwrap() = *bench.anchor.0.lock().unwrap();
    let bench = emptied(bench);
    let (restored, report) = restore(bench.parts(), &archive(&file), true, &[], &Silent).unwrap();
    let other = |accept| {
        let mut parts = bench.parts();
        parts.anchors = vec![Box::new(elsewhere.clone())];
        Vault::open_accepting(parts, accept)
    };
    match other(Accept::Anchored) {
        Err(VaultError::RolledBack { what }) => assert!(what.contains("restored from a backup"), "{what}"),
        outcome => panic!("{outcome:?}"),
    }
    set(&restored, "after", "value").unwrap();
    assert!(matches!(other(Accept::Anchored), Err(VaultError::RolledBack { .. })));
    let head = restored.head().unwrap().digest;
    check(&other(Accept::Trust(head)).unwrap());
    check(&other(Accept::Anchored).unwrap());
    let _ = report;
}

#[test]
fn an_older_store_that_lies_there_is_gone_on_with_knowingly() {
    let (bench, vault, _directory, _file) = filled();
    let old = bench.copy();
    set(&vault, "later", "value").unwrap();
    bench.put_back(&old);
    assert!(matches!(bench.open(), Err(VaultError::RolledBack { .. })));
    let source = Arc::clone(&bench.store) as Arc<dyn Store>;
    assert!(restore(bench.parts(), &source, false, &[], &Silent).is_err());
    let (accepted, report) = restore(bench.parts(), &source, true, &[], &Silent).unwrap();
    check(&accepted);
    assert!(report.lost_after.is_some());
    check(&bench.open().unwrap());
}

/// The restoring process dies at every call to the new store; the same command again ends it.
#[test]
fn a_restoration_that_was_cut_short_is_gone_on_with() {
    use claviger_store::Fault;
    let (bench, vault, _directory, file) = filled();
    vault.backup(&file, &Silent).unwrap();
    set(&vault, "later", "value").unwrap();
    let seen = *bench.anchor.0.lock().unwrap();
    let mut bench = bench;
    for fault in [|| Fault::CrashBefore, || Fault::CrashAfter] {
        for call in 0.. {
            bench = emptied(bench);
            *bench.anchor.0.lock().unwrap() = seen;
            bench.store.inject(call, fault());
            let outcome = restore(bench.parts(), &archive(&file), true, &[], &Silent);
            let used = bench.store.calls();
            bench.store.restart();
            let (restored, _) = restore(bench.parts(), &archive(&file), true, &[], &Silent)
                .unwrap_or_else(|error| panic!("call {call}: {error}"));
            check(&restored);
            check(&bench.open().unwrap());
            if used <= call {
                outcome.unwrap();
                break;
            }
        }
    }
}

#[test]
fn a_backup_of_an_earlier_vault_key_is_known() {
    let (bench, vault, _directory, file) = filled();
    vault.backup(&file, &Silent).unwrap();
    let how = RotateMaster { compromised: true, ..RotateMaster::default() };
    vault.rotate_master(how, &Silent).unwrap();
    check(&vault.beside(archive(&file)).unwrap());
    let stranger = Bench::new().1;
    assert!(stranger.beside(archive(&file)).is_err());
    drop(bench);
}

#[test]
fn an_old_backup_is_wrapped_to_the_recipients_of_today() {
    let (bench, vault, directory, file) = filled();
    vault.backup(&file, &Silent).unwrap();
    let second = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(second.token.describe(), None).unwrap();
    let answer = answer_challenge(second.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();

    let by_second = |file: &Path, pin| {
        let mut parts = bench.parts();
        parts.store = archive(file);
        parts.token = Arc::clone(&second.token);
        parts.pinned.recipient = second.recipient;
        parts.anchors.clear();
        parts.host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), vec![pin]));
        Vault::open_accepting(parts, Accept::Inspect)
    };
    let pin = bench.fingerprint();
    assert!(matches!(by_second(&file, pin), Err(VaultError::NotARecipient)));
    let new = directory.path().join("new.backup");
    let scratch = Arc::new(SqliteStore::create(&directory.path().join("s/scratch.db")).unwrap());
    let (_, rewrapped) = vault.rewrap_backup(&file, &new, scratch, &Silent).unwrap();
    assert_eq!((rewrapped.added, rewrapped.dropped), (vec![second.recipient], vec![]));
    check(&by_second(&new, pin).unwrap());
    check(&vault.beside(archive(&new)).unwrap());

    // And without one that was retired since.
    let by_second_vault = bench.open_by(&second).unwrap();
    by_second_vault.retire(bench.pinned.recipient, &Retire::default(), &Silent).unwrap();
    let newest = directory.path().join("newest.backup");
    let scratch = Arc::new(SqliteStore::create(&directory.path().join("s/scratch2.db")).unwrap());
    let (_, rewrapped) = by_second_vault.rewrap_backup(&new, &newest, scratch, &Silent).unwrap();
    assert_eq!((rewrapped.added, rewrapped.dropped), (vec![], vec![bench.pinned.recipient]));
    check(&by_second(&newest, pin).unwrap());
    let mut parts = bench.parts();
    parts.store = archive(&newest);
    parts.anchors.clear();
    parts.host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), vec![pin]));
    assert!(matches!(Vault::open_accepting(parts, Accept::Inspect), Err(VaultError::NotARecipient)));
}

/// The usual vault: a secret key on the first token, a key pair on the second, and the first token gone with the machine.
#[test]
fn a_vault_is_restored_without_its_first_token() {
    let (bench, vault) = Bench::with_scheme(Scheme::A256Kw);
    for n in 0..SERVICES {
        set(&vault, &format!("service {n}"), &format!("value {n}")).unwrap();
    }
    let second = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(second.token.describe(), None).unwrap();
    let answer = answer_challenge(second.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vault.backup");
    vault.backup(&file, &Silent).unwrap();
    let (first, fingerprint) = (bench.pinned.recipient, bench.fingerprint());
    drop(vault);

    let bench = emptied(bench);
    let parts = || {
        let mut parts = bench.parts();
        parts.token = Arc::clone(&second.token);
        parts.pinned.recipient = second.recipient;
        parts.anchors.clear();
        parts
    };
    let alone = restore(parts(), &archive(&file), false, &[], &Silent);
    assert!(matches!(alone, Err(VaultError::Unwritable { recipient, .. }) if recipient == first));
    // The same again, knowingly, goes on where that stopped.
    let (restored, report) = restore(parts(), &archive(&file), false, &[first], &Silent).unwrap();
    assert_eq!(report.job.job.kind, JobKind::Replace);
    assert_ne!(restored.fresh().unwrap().root.fingerprint, fingerprint, "which the lost token has");
    check(&restored);
    set(&restored, "new", "value").unwrap();
    check(&Vault::open(parts()).unwrap());
}
