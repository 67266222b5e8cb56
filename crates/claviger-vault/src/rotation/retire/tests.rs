use super::*;
use crate::{
    Fault, RotateMaster, Silent,
    testing::{Bench, Other, check, filled, set},
};
use claviger_types::Scheme;

const SERVICES: usize = 3;

/// A second token whose key pair has answered its challenge; what is left is to take it up.
fn proposed(bench: &Bench, vault: &Vault) -> (Other, Digest) {
    let other = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(other.token.describe(), None).unwrap();
    let answer = answer_challenge(other.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    (other, answer)
}

fn enrolled(bench: &Bench, vault: &Vault) -> Other {
    let (other, answer) = proposed(bench, vault);
    vault.activate(other.recipient, answer, &Silent).unwrap();
    other
}

fn kids(vault: &Vault) -> Vec<Digest> {
    let snapshot = vault.fresh().unwrap();
    let leaves = crate::index::after(&snapshot, None, usize::MAX).unwrap();
    leaves.iter().flat_map(|leaf| leaf.keys.iter().map(|key| key.kid)).collect()
}

/// Whoever has the token has every key on it, also one that a rotation has left there.
#[test]
fn former_keys_on_a_token_go_with_it_or_open_nothing_written_later() {
    let scheme = Scheme::EcdhEsA256Kw;
    for gone in [false, true] {
        let (bench, vault) = filled(scheme, SERVICES);
        let former = bench.pinned.recipient;
        let present = vault.rotate_master(RotateMaster::default(), &Silent).unwrap().job.made.unwrap();
        let other = enrolled(&bench, &vault);
        let by_other = bench.open_by(&other).unwrap();
        let (kids_before, fingerprint) = (kids(&by_other), bench.fingerprint());
        let on_it = bench.token.sibling(present, scheme).unwrap();
        let key = if gone {
            assert!(bench.token.destroy_sibling(present, scheme).unwrap());
            KeyFate::Gone
        } else {
            KeyFate::DestroyedOn(on_it)
        };
        let how = Retire { compromised: false, key };
        let report = by_other.retire(present, &how, &Silent).unwrap().unwrap();
        check(&bench.open_by(&other).unwrap(), SERVICES);
        let registry = by_other.fresh().unwrap().registry().unwrap();
        let state = |id| registry.recipient(id).unwrap().state;
        assert_eq!(state(present), RecipientState::Destroyed);
        if gone {
            // Nobody has destroyed the former one, which opens old copies: so nothing of them is used any more.
            assert_eq!((report.job.kind, state(former)), (JobKind::Replace, RecipientState::Deactivated));
            assert_ne!(report.fingerprint, fingerprint);
            assert!(kids(&by_other).iter().all(|kid| !kids_before.contains(kid)));
        } else {
            assert_eq!((report.job.kind, state(former)), (JobKind::Rewrap, RecipientState::Destroyed));
            assert!(!bench.token.destroy_sibling(former, scheme).unwrap(), "it is gone already");
        }
    }
}

/// What is stolen may be a key that was given up long ago.
#[test]
fn a_former_key_is_compromised_too() {
    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
    let former = bench.pinned.recipient;
    vault.rotate_master(RotateMaster::default(), &Silent).unwrap();
    let before = kids(&vault);
    let how = Retire { compromised: true, key: KeyFate::Kept };
    let report = vault.retire(former, &how, &Silent).unwrap().unwrap();
    assert_eq!((report.job.kind, report.retired[0].state), (JobKind::Replace, RecipientState::Compromised));
    assert!(kids(&vault).iter().all(|kid| !before.contains(kid)));
    check(&vault, SERVICES);
}

/// As long as an enrolment is not done, the first token is the only one that opens some services.
#[test]
fn no_key_is_destroyed_before_others_open_everything() {
    let (mut refused, mut done) = (0, 0);
    for call in 0.. {
        let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
        let (other, answer) = proposed(&bench, &vault);
        let before = bench.store.calls();
        bench.store.inject(call, claviger_store::Fault::CrashAfter);
        let outcome = vault.activate(other.recipient, answer, &Silent);
        let used = bench.store.calls() - before;
        drop(vault);
        bench.store.restart();
        if let Ok(by_other) = bench.open_by(&other) {
            let key = KeyFate::DestroyedOn(Arc::clone(&bench.token));
            let how = Retire { compromised: false, key };
            if by_other.retire(bench.pinned.recipient, &how, &Silent).is_ok() {
                check(&by_other, SERVICES);
                done += 1;
            } else {
                check(&bench.open().unwrap(), SERVICES);
                refused += 1;
            }
        }
        if used <= call {
            outcome.unwrap();
            break;
        }
    }
    assert!(refused > 0 && done > 0, "{refused} refused, {done} done");
}

/// A job that was to destroy a key is finished where the key is not.
#[test]
fn a_key_on_another_token_does_not_count_as_destroyed() {
    let scheme = Scheme::EcdhEsA256Kw;
    let how = RotateMaster { destroy_old: true, ..RotateMaster::default() };
    let mut left = 0;
    for call in 0.. {
        let (bench, vault) = filled(scheme, SERVICES);
        let other = enrolled(&bench, &vault);
        let former = bench.pinned.recipient;
        let before = bench.store.calls();
        bench.store.inject(call, claviger_store::Fault::CrashAfter);
        let outcome = vault.rotate_master(how, &Silent);
        let used = bench.store.calls() - before;
        drop(vault);
        bench.store.restart();
        let by_other = bench.open_by(&other).unwrap();
        if let Some(report) = by_other.resume(&Silent).unwrap() {
            let retired = &report.retired[0];
            assert_eq!((retired.id, retired.state), (former, RecipientState::Deactivated), "call {call}");
            left += usize::from(bench.token.destroy_sibling(former, scheme).unwrap());
            check(&by_other, SERVICES);
        }
        if used <= call {
            outcome.unwrap();
            break;
        }
    }
    assert!(left > 0, "no job was left behind before its key was destroyed");
}

/// A job that can go on only by the token that is lost goes on when that is retired.
#[test]
fn a_lost_secret_key_blocks_nothing_for_ever() {
    let (bench, vault) = filled(Scheme::A256Kw, SERVICES);
    let other = enrolled(&bench, &vault);
    let by_other = bench.open_by(&other).unwrap();
    let stuck = by_other.rekey_all(&Silent).unwrap_err();
    assert!(matches!(stuck, VaultError::Unwritable { .. }), "{stuck:?}");
    assert!(matches!(by_other.resume(&Silent), Err(VaultError::Unwritable { .. })));
    let before = kids(&by_other);
    let report = by_other.retire(bench.pinned.recipient, &Retire::default(), &Silent).unwrap().unwrap();
    assert_eq!(report.job.kind, JobKind::Replace);
    assert!(kids(&by_other).iter().all(|kid| !before.contains(kid)));
    check(&by_other, SERVICES);
    set(&by_other, "new", "value").unwrap();
    assert!(matches!(bench.open(), Err(VaultError::NotARecipient)));
}

#[test]
fn verify_finds_keys_that_no_recipient_opens() {
    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
    check(&vault, SERVICES);
    let (other, _) = proposed(&bench, &vault);
    // As a fault of the program would leave it.
    let swap = |registry: &mut Registry| {
        for (id, state) in
            [(bench.pinned.recipient, RecipientState::Deactivated), (other.recipient, RecipientState::Active)]
        {
            registry.recipient_mut(id)?.state = state;
        }
        Ok(())
    };
    vault.change_registry(&swap).unwrap();
    let found = vault.verify(&Silent).unwrap().damage;
    let of = |what| found.iter().filter(|damage| damage.what == what).count();
    assert_eq!((of("vault key"), of("data key")), (1, SERVICES));
    assert!(found.iter().all(|damage| damage.fault == Fault::Unopenable));
}

/// The other token may be lost, and then this key is the last one.
#[test]
fn the_key_by_which_the_vault_is_open_is_not_destroyed() {
    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
    enrolled(&bench, &vault);
    let first = bench.pinned.recipient;
    let how = Retire { compromised: false, key: KeyFate::DestroyedOn(Arc::clone(&bench.token)) };
    let refused = vault.retire(first, &how, &Silent);
    assert!(matches!(refused, Err(VaultError::Invalid { .. })), "{refused:?}");
    check(&bench.open().unwrap(), SERVICES);
}

#[test]
fn a_proposed_key_is_destroyed_when_that_is_said() {
    let (bench, vault) = filled(Scheme::EcdhEsA256Kw, SERVICES);
    let (other, _) = proposed(&bench, &vault);
    let wrong = Retire { compromised: false, key: KeyFate::DestroyedOn(Arc::clone(&bench.token)) };
    let refused = vault.retire(other.recipient, &wrong, &Silent);
    assert!(matches!(refused, Err(VaultError::Invalid { .. })), "not on that token: {refused:?}");
    let how = Retire { compromised: false, key: KeyFate::DestroyedOn(Arc::clone(&other.token)) };
    assert!(vault.retire(other.recipient, &how, &Silent).unwrap().is_none());
    assert!(
        !other.token.destroy_sibling(other.recipient, Scheme::EcdhEsA256Kw).unwrap(),
        "it is gone already"
    );
    assert!(vault.fresh().unwrap().registry().unwrap().recipient(other.recipient).is_none());
}
