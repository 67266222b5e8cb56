use super::*;
use crate::{
    Retire, RotateMaster, Silent, VersionState, Versions,
    report::RecipientState,
    testing::{Bench, check, faults, filled, get, reference, set},
};
use claviger_store::Store;
use claviger_types::Scheme;
use std::sync::atomic::{AtomicBool, Ordering};

const SERVICES: usize = 700;

/// All of it: the cursor, several commits, a reader that opened before, one that opens after.
#[test]
fn the_master_key_is_rotated_on_its_token() {
    for scheme in [Scheme::A256Kw, Scheme::A256Gcm, Scheme::EcdhEsA256Kw] {
        let (bench, vault) = filled(scheme, SERVICES);
        let early = bench.open().unwrap();
        let before = vault.head().unwrap().epoch;
        let report = vault.rotate_master(RotateMaster::default(), &Silent).unwrap();
        assert_eq!(report.job.total, u64::try_from(SERVICES).unwrap());
        let commits = vault.head().unwrap().epoch - before;
        assert!(commits >= 4, "{commits} commits, one could not have been enough");
        assert_eq!(report.retired.len(), 1);
        assert_eq!(report.retired[0].state, RecipientState::Deactivated);
        check(&vault, SERVICES);
        check(&early, SERVICES);
        check(&bench.open().unwrap(), SERVICES);
        assert_eq!(report.fingerprint, bench.fingerprint(), "the vault key stays");

        // Nothing is wrapped to the old key any more.
        let old = report.retired[0].id;
        assert!(vault.keyring.token().destroy_sibling(old, scheme).unwrap());
        let new = report.job.made.unwrap();
        let mut parts = bench.parts();
        parts.token = bench.token.sibling(new, scheme).unwrap();
        parts.pinned.recipient = new;
        check(&Vault::open(parts).unwrap(), SERVICES);
    }
}

#[test]
fn a_destroyed_master_key_opens_no_old_copy() {
    let (bench, vault) = filled(Scheme::A256Kw, 10);
    let old = bench.copy();
    let how = RotateMaster { destroy_old: true, ..RotateMaster::default() };
    let report = vault.rotate_master(how, &Silent).unwrap();
    assert_eq!(report.retired[0].state, RecipientState::Destroyed);
    assert_eq!(report.erasure, Some(crate::Erasure::Done));
    check(&vault, 10);
    let seen = *bench.anchor.0.lock().unwrap();
    bench.put_back(&old);
    *bench.anchor.0.lock().unwrap() = None;
    let mut parts = bench.parts();
    parts.anchors.clear();
    assert!(matches!(Vault::open(parts), Err(VaultError::NotARecipient)), "the old copy opens with nothing");
    *bench.anchor.0.lock().unwrap() = seen;
}

#[test]
fn the_vault_key_is_replaced_when_the_master_key_is_compromised() {
    let (bench, vault) = filled(Scheme::A256Kw, SERVICES);
    vault.delete(&reference("service 3"), &Versions::Newest).unwrap();
    vault.undelete(&reference("service 3"), &Versions::Newest).unwrap();
    let early = bench.open().unwrap();
    let former = bench.fingerprint();
    let audit = vault.audit_key().unwrap();
    let how = RotateMaster { compromised: true, ..RotateMaster::default() };
    let report = vault.rotate_master(how, &Silent).unwrap();
    assert_eq!(report.retired[0].state, RecipientState::Compromised);
    assert_ne!(report.fingerprint, former);
    assert_eq!(bench.fingerprint(), report.fingerprint, "this host pins the new one");
    check(&vault, SERVICES);
    check(&early, SERVICES);
    let fresh = bench.open().unwrap();
    check(&fresh, SERVICES);
    assert!(fresh.audit_key().unwrap().same_as(&audit));
    assert_eq!(fresh.fresh().unwrap().payload.roots.len(), 1);
}

/// What a thief of the old key and of an old copy can open of what was written later: nothing.
#[test]
fn nothing_written_after_a_replacement_is_under_an_old_key() {
    let (_bench, vault) = filled(Scheme::A256Kw, 20);
    let before = vault.fresh().unwrap();
    let mut kids = Vec::new();
    index::leaves(&before, &mut |leaf| {
        kids.extend(leaf.keys.iter().map(|key| key.kid));
        Ok(())
    })
    .unwrap();
    let how = RotateMaster { compromised: true, ..RotateMaster::default() };
    vault.rotate_master(how, &Silent).unwrap();
    set(&vault, "later", "value").unwrap();
    let after = vault.fresh().unwrap();
    index::leaves(&after, &mut |leaf| {
        assert!(leaf.keys.iter().all(|key| !kids.contains(&key.kid)));
        let service = crate::pages::Service::load(&after, &leaf).unwrap();
        for record in service.all(&after).unwrap() {
            for version in record.versions {
                let bytes = after.read("credential", &version.object.unwrap()).unwrap();
                for kid in &kids {
                    assert!(!bytes.windows(32).any(|window| window == kid.as_bytes()));
                }
            }
        }
        Ok(())
    })
    .unwrap();
    let context = |link: &claviger_types::Link| claviger_envelope::ObjectContext {
        vault: after.payload.vault,
        kind: claviger_envelope::ObjectKind::Recipients,
        id: link.id,
    };
    let link = after.payload.recipients;
    let bytes = after.read("recipients", &link).unwrap();
    assert!(claviger_envelope::open_object(&before.keys.metadata, context(&link), &bytes).is_err());
    assert!(claviger_envelope::open_object(&after.keys.metadata, context(&link), &bytes).is_ok());
}

#[test]
fn a_service_is_rotated_by_itself() {
    let (bench, vault) = filled(Scheme::A256Kw, 3);
    set(&vault, "service 1", "newer").unwrap();
    vault.delete(&reference("service 1"), &Versions::These(vec![1])).unwrap();
    let name = "service 1".parse::<claviger_types::Reference>().unwrap().service;
    let kid = |vault: &Vault| vault.fresh().unwrap().leaf(&name).unwrap().unwrap().keys[0].kid;
    let old = kid(&vault);
    let (sealed, erasure) = vault.rotate_service(&name).unwrap();
    assert_eq!((sealed, erasure), (2, crate::Erasure::Done));
    assert_ne!(kid(&vault), old);
    let fresh = bench.open().unwrap();
    assert_eq!(get(&fresh, "service 1").unwrap(), "newer");
    assert_eq!(fresh.history(&reference("service 1")).unwrap().versions[0].state, VersionState::Deleted);
    fresh.undelete(&reference("service 1"), &Versions::These(vec![1])).unwrap();
    let first = fresh.get(&reference("service 1"), Some(1)).unwrap();
    assert_eq!(first.value.fields["value"].stored().expose(), b"value 1");
    assert_eq!(vault.verify(&Silent).unwrap().garbage, 0);
}

#[test]
fn a_second_token_opens_alone_and_the_first_is_retired() {
    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
    let second = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(second.token.describe(), None).unwrap();
    assert!(matches!(bench.open_by(&second), Err(VaultError::NotARecipient)), "not before its challenge");
    let wrong = claviger_types::Digest::of(b"a guess");
    let refused = vault.activate(proposal.recipient, wrong, &Silent);
    assert!(matches!(refused, Err(VaultError::WrongAnswer { .. })));
    let answer = answer_challenge(second.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();

    let by_second = bench.open_by(&second).unwrap();
    check(&by_second, SERVICES);
    check(&bench.open().unwrap(), SERVICES);
    set(&by_second, "new by the second", "value").unwrap();
    assert_eq!(get(&bench.open().unwrap(), "new by the second").unwrap(), "value");
    by_second.destroy(&reference("new by the second"), &Versions::All).unwrap();

    let first = bench.pinned.recipient;
    let kept = vault.retire(first, &Retire::default(), &Silent);
    assert!(matches!(kept, Err(VaultError::Invalid { .. })), "not by the one that goes");
    let report = by_second.retire(first, &Retire::default(), &Silent).unwrap().unwrap();
    assert_eq!(report.retired[0].id, first);
    check(&by_second, SERVICES);
    check(&bench.open_by(&second).unwrap(), SERVICES);
    assert!(matches!(bench.open(), Err(VaultError::NotARecipient)));
    assert!(matches!(get(&vault, "service 1"), Err(VaultError::NotARecipient)));
    let last = by_second.retire(proposal.recipient, &Retire::default(), &Silent);
    assert!(matches!(last, Err(VaultError::Invalid { .. })), "the last one stays");
}

#[test]
fn at_most_one_recipient_is_a_secret_key() {
    let (bench, vault) = filled(Scheme::A256Kw, 3);
    let secret = Bench::beside(Scheme::A256Kw);
    let refused = vault.propose(secret.token.describe(), None);
    assert!(matches!(refused, Err(VaultError::Invalid { .. })), "{refused:?}");
    let pair = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(pair.token.describe(), None).unwrap();
    let again = vault.propose(pair.token.describe(), None);
    assert!(matches!(again, Err(VaultError::Invalid { .. })), "the same key twice");
    let answer = answer_challenge(pair.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();

    // By the second token alone no new data key can be wrapped to the first, which is a secret key.
    let by_pair = bench.open_by(&pair).unwrap();
    check(&by_pair, 3);
    assert!(matches!(set(&by_pair, "new", "value"), Err(VaultError::Unwritable { .. })));
    // The move that is offered: the first becomes a key pair, and then it works.
    let how = RotateMaster { scheme: Some(Scheme::EcdhEsA256Kw), ..RotateMaster::default() };
    vault.rotate_master(how, &Silent).unwrap();
    set(&by_pair, "new", "value").unwrap();
    assert_eq!(get(&bench.open().unwrap(), "new").unwrap(), "value");
    let how = RotateMaster { scheme: Some(Scheme::A256Kw), ..RotateMaster::default() };
    by_pair.rotate_master(how, &Silent).unwrap();
    let refused = vault.rotate_master(how, &Silent);
    assert!(matches!(refused, Err(VaultError::Invalid { .. })), "{refused:?}");
}

/// The store fails, or the process dies, at every call of a rotation: reopened, everything reads, and the same command
/// again ends it.
#[test]
fn a_crash_at_any_call_of_a_rotation_loses_nothing() {
    const FEW: usize = 5;
    for compromised in [false, true] {
        for fault in faults() {
            for call in 0.. {
                let (bench, vault) = filled(Scheme::A256Kw, FEW);
                let before = bench.store.calls();
                bench.store.inject(call, fault());
                let how = RotateMaster { compromised, destroy_old: call % 2 == 0, ..RotateMaster::default() };
                let outcome = vault.rotate_master(how, &Silent);
                let used = bench.store.calls() - before;
                drop(vault);
                bench.store.restart();
                let vault = bench.open().unwrap_or_else(|error| panic!("call {call} {how:?}: {error}"));
                for n in 0..FEW {
                    assert_eq!(get(&vault, &format!("service {n}")).unwrap(), format!("value {n}"));
                }
                assert_eq!(vault.verify(&Silent).unwrap().damage, [], "call {call}");
                let left_over = vault.fresh().unwrap().payload.job().unwrap().is_some();
                let again = vault.rotate_master(how, &Silent).unwrap();
                assert_eq!(again.resumed, left_over, "call {call}");
                assert!(vault.fresh().unwrap().payload.job().unwrap().is_none());
                for n in 0..FEW {
                    assert_eq!(
                        get(&bench.open().unwrap(), &format!("service {n}")).unwrap(),
                        format!("value {n}")
                    );
                }
                if used <= call {
                    outcome.unwrap();
                    break;
                }
            }
        }
    }
}

/// A rotation that was cut short and only wraps anew is no answer to a key that somebody else may have.
#[test]
fn a_left_over_rotation_does_not_pass_for_a_stronger_one() {
    let compromised = RotateMaster { compromised: true, ..RotateMaster::default() };
    let destroyed = RotateMaster { destroy_old: true, ..RotateMaster::default() };
    let pair = RotateMaster { scheme: Some(Scheme::EcdhEsA256Kw), ..RotateMaster::default() };
    for how in [compromised, destroyed, pair] {
        let mut left_over = 0;
        for call in 0.. {
            let (bench, vault) = filled(Scheme::A256Kw, 2);
            let before = bench.store.calls();
            bench.store.inject(call, claviger_store::Fault::CrashAfter);
            let outcome = vault.rotate_master(RotateMaster::default(), &Silent);
            let used = bench.store.calls() - before;
            drop(vault);
            bench.store.restart();
            let vault = bench.open().unwrap();
            let former = vault.fingerprint().unwrap();
            left_over += usize::from(vault.fresh().unwrap().payload.job().unwrap().is_some());
            let report = vault.rotate_master(how, &Silent).unwrap();
            assert!(!report.resumed, "call {call} {how:?}");
            assert_eq!(report.fingerprint != former, how.compromised, "call {call}");
            assert_eq!(report.retired[0].state == RecipientState::Destroyed, how.destroy_old, "call {call}");
            check(&vault, 2);
            if used <= call {
                outcome.unwrap();
                break;
            }
        }
        assert!(left_over > 0);
    }
}

/// The same retirement again finishes what was cut short, and reports it.
#[test]
fn a_retirement_that_was_cut_short_is_finished_by_asking_again() {
    let mut left_over = 0;
    for call in 0.. {
        let (bench, vault) = filled(Scheme::EcdhEsA256Kw, 2);
        let other = Bench::beside(Scheme::EcdhEsA256Kw);
        let proposal = vault.propose(other.token.describe(), None).unwrap();
        let answer =
            crate::answer_challenge(other.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
        vault.activate(proposal.recipient, answer, &Silent).unwrap();
        let before = bench.store.calls();
        bench.store.inject(call, claviger_store::Fault::CrashAfter);
        let outcome = vault.retire(proposal.recipient, &Retire::default(), &Silent);
        let used = bench.store.calls() - before;
        drop(vault);
        bench.store.restart();
        let vault = bench.open().unwrap();
        if vault.fresh().unwrap().payload.job().unwrap().is_some() {
            left_over += 1;
            let report = vault.retire(proposal.recipient, &Retire::default(), &Silent).unwrap().unwrap();
            assert!(report.resumed && report.retired[0].id == proposal.recipient, "call {call}");
        }
        if used <= call {
            outcome.unwrap();
            break;
        }
    }
    assert!(left_over > 0);
}

#[test]
fn readers_and_writers_go_on_while_keys_are_rotated() {
    for compromised in [false, true] {
        let (bench, vault) = filled(Scheme::A256Kw, 300);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (bench, over) = (&bench, &over);
                scope.spawn(move || {
                    let vault = bench.open().unwrap();
                    let mut n = 0;
                    while !over.load(Ordering::SeqCst) {
                        set(&vault, &format!("written {writer}/{}", n % 40), "value").unwrap();
                        set(&vault, &format!("service {}", n % 300), &format!("value {}", n % 300)).unwrap();
                        n += 1;
                    }
                });
            }
            let (bench, over) = (&bench, &over);
            scope.spawn(move || {
                let vault = bench.open().unwrap();
                let mut n = 0;
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(
                        get(&vault, &format!("service {}", n % 300)).unwrap(),
                        format!("value {}", n % 300)
                    );
                    n += 7;
                }
            });
            let how = RotateMaster { compromised, ..RotateMaster::default() };
            let outcome = vault.rotate_master(how, &Silent);
            over.store(true, Ordering::SeqCst);
            outcome.unwrap();
        });
        let fresh = bench.open().unwrap();
        for n in 0..300 {
            assert_eq!(get(&fresh, &format!("service {n}")).unwrap(), format!("value {n}"));
        }
        assert_eq!(fresh.verify(&Silent).unwrap().damage, []);
    }
}

#[test]
fn a_job_that_somebody_alive_carries_on_is_left_to_them() {
    let (bench, vault) = filled(Scheme::A256Kw, 3);
    let lock = bench.store.work_lock().unwrap().unwrap();
    let refused = vault.rotate_master(RotateMaster::default(), &Silent);
    assert!(matches!(refused, Err(VaultError::WorkUnderWay { .. })), "{refused:?}");
    drop(lock);
    vault.rotate_master(RotateMaster::default(), &Silent).unwrap();
}

/// What a host is told to use is only replaced by a key on the same token.
#[test]
fn a_retirement_moves_no_host_to_another_token() {
    use crate::{Host, PinnedSigner, Pins};
    use claviger_token::{KeyDescription, Signer};
    use claviger_types::{Digest, HostId, RecipientId};
    use std::sync::{Arc, Mutex};

    struct Noting(Arc<crate::MemoryHost>, Mutex<Vec<(RecipientId, RecipientId)>>);

    impl Host for Noting {
        fn id(&self) -> HostId {
            self.0.id()
        }
        fn name(&self) -> String {
            self.0.name()
        }
        fn pins(&self) -> Result<Pins, VaultError> {
            self.0.pins()
        }
        fn expect(&self, fingerprint: Digest) -> Result<(), VaultError> {
            self.0.expect(fingerprint)
        }
        fn settle(&self, fingerprint: Digest) -> Result<(), VaultError> {
            self.0.settle(fingerprint)
        }
        fn adopt(&self, former: RecipientId, key: &KeyDescription) -> Result<(), VaultError> {
            self.1.lock().unwrap().push((former, key.recipient));
            Ok(())
        }
        fn believe(&self, signers: &[PinnedSigner]) -> Result<(), VaultError> {
            self.0.believe(signers)
        }
        fn signers(&self) -> Vec<Arc<dyn Signer>> {
            Vec::new()
        }
    }

    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, 3);
    let second = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(second.token.describe(), None).unwrap();
    let answer = answer_challenge(second.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();
    let host = Arc::new(Noting(Arc::clone(&bench.host), Mutex::default()));
    let open = |token: &Arc<dyn claviger_token::Token>, recipient| {
        let mut parts = bench.parts();
        parts.token = Arc::clone(token);
        parts.pinned.recipient = recipient;
        parts.host = Arc::clone(&host) as Arc<dyn Host>;
        Vault::open(parts).unwrap()
    };
    let first = bench.pinned.recipient;
    let report = open(&bench.token, first).rotate_master(RotateMaster::default(), &Silent).unwrap();
    let made = report.job.made.unwrap();
    assert_eq!(*host.1.lock().unwrap(), [(first, made)]);
    open(&second.token, second.recipient).retire(made, &Retire::default(), &Silent).unwrap();
    assert_eq!(host.1.lock().unwrap().len(), 1);
}
