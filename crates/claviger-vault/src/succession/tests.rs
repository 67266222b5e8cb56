use crate::{
    Host, MemoryHost, NoSuccession, PinnedSigner, Retire, RotateMaster, Silent, Vault, VaultError,
    answer_challenge,
    testing::{Bench, Other, get, set},
};
use claviger_store::Fault;
use claviger_token::{Signer, software::SoftwareSigner};
use claviger_types::{Digest, HostId, OsEntropy, Scheme, SignerId};
use std::sync::Arc;

fn signer() -> Arc<dyn Signer> {
    Arc::new(SoftwareSigner::generate(SignerId::random(&OsEntropy).unwrap(), &OsEntropy).unwrap())
}

fn pinned(signer: &Arc<dyn Signer>) -> PinnedSigner {
    PinnedSigner { id: signer.id(), public_key: signer.public_key() }
}

/// A vault on two tokens, each with a signer; the host of the bench can use both.
struct Two {
    bench: Bench,
    first: Arc<dyn Signer>,
    second: Arc<dyn Signer>,
    other: Other,
    by_other: Vault,
}

fn two() -> Two {
    let (first, second) = (signer(), signer());
    let (mut bench, _) = Bench::with_scheme(Scheme::EcdhEsA256Kw);
    let pins = bench.host.pins().unwrap();
    bench.host = Arc::new(
        MemoryHost::new(bench.host.id(), pins.fingerprints)
            .with_signers(vec![Arc::clone(&first), Arc::clone(&second)]),
    );
    let vault = bench.open().unwrap();
    set(&vault, "a", "1").unwrap();
    // The first recipient's signer, as `init` would have entered it.
    let record = crate::format::SignerRecord { id: first.id(), public_key: first.public_key() };
    vault
        .change_registry(&|registry| {
            registry.recipients[0].signer = Some(record);
            Ok(())
        })
        .unwrap();
    let other = Bench::beside(Scheme::EcdhEsA256Kw);
    let proposal = vault.propose(other.token.describe(), Some(pinned(&second))).unwrap();
    let answer = answer_challenge(other.token.as_ref(), bench.pinned.vault, &proposal.challenge).unwrap();
    vault.activate(proposal.recipient, answer, &Silent).unwrap();
    let by_other = bench.open_by(&other).unwrap();
    Two { bench, first, second, other, by_other }
}

/// The vault as another host sees it that pins the same vault key and believes these signers.
fn elsewhere(
    two: &Two,
    pin: Digest,
    believed: &[&Arc<dyn Signer>],
) -> (Arc<MemoryHost>, Result<Vault, VaultError>) {
    let host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), vec![pin]));
    host.believe(&believed.iter().map(|signer| pinned(signer)).collect::<Vec<_>>()).unwrap();
    let mut parts = two.bench.parts();
    parts.token = Arc::clone(&two.other.token);
    parts.pinned.recipient = two.other.recipient;
    parts.host = Arc::clone(&host) as Arc<dyn Host>;
    (host, Vault::open(parts))
}

fn refused(outcome: Result<Vault, VaultError>, expected: NoSuccession) {
    match outcome {
        Err(VaultError::ForeignFingerprint { why, .. }) => assert_eq!(why, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pinned_signer_that_stays_vouches_for_the_next_vault_key() {
    let two = two();
    let old = two.bench.fingerprint();
    let first = two.bench.pinned.recipient;
    let report = two.by_other.retire(first, &Retire::default(), &Silent).unwrap().unwrap();
    assert!(report.vouched);

    let (host, opened) = elsewhere(&two, old, &[&two.first, &two.second]);
    assert_eq!(get(&opened.unwrap(), "a").unwrap(), "1");
    let pins = host.pins().unwrap();
    assert_eq!(pins.fingerprints, [report.fingerprint], "the pin has moved");
    assert_eq!(pins.signers, [pinned(&two.second)], "the retired signer is believed no more");
    assert_eq!(two.bench.host.pins().unwrap().signers, [pinned(&two.second)]);

    let (host, opened) = elsewhere(&two, old, &[&two.first]);
    refused(opened, NoSuccession::UnknownSigner(two.second.id()));
    assert_eq!(host.pins().unwrap().fingerprints, [old]);
    // By hand, having compared it with what the other host shows.
    host.expect(report.fingerprint).unwrap();
    let mut parts = two.bench.parts();
    parts.token = Arc::clone(&two.other.token);
    parts.pinned.recipient = two.other.recipient;
    parts.host = Arc::clone(&host) as Arc<dyn Host>;
    assert_eq!(get(&Vault::open(parts).unwrap(), "a").unwrap(), "1");
    assert_eq!(host.pins().unwrap().fingerprints, [report.fingerprint]);
}

/// Whoever follows while the job goes on never learns of its end: the pin has moved by then.
#[test]
fn a_signer_on_its_way_out_is_believed_no_more() {
    let mut left_over = 0;
    for call in 0.. {
        let two = two();
        let old = two.bench.fingerprint();
        let before = two.bench.store.calls();
        two.bench.store.inject(call, Fault::CrashAfter);
        let outcome = two.by_other.retire(two.bench.pinned.recipient, &Retire::default(), &Silent);
        let used = two.bench.store.calls() - before;
        two.bench.store.restart();
        let now = two.bench.open_by(&two.other).unwrap();
        if now.fresh().unwrap().payload.job().unwrap().is_some() {
            left_over += 1;
            let (host, opened) = elsewhere(&two, old, &[&two.first, &two.second]);
            opened.unwrap();
            assert_eq!(host.pins().unwrap().signers, [pinned(&two.second)], "call {call}");
        }
        if used <= call {
            outcome.unwrap();
            break;
        }
    }
    assert!(left_over > 0);
}

#[test]
fn several_successions_are_followed_at_once() {
    let two = two();
    let old = two.bench.fingerprint();
    let compromised = RotateMaster { compromised: true, ..RotateMaster::default() };
    let vault = two.bench.open().unwrap();
    // The signer of the token whose key goes never signs; the other one does.
    vault.rotate_master(compromised, &Silent).unwrap();
    vault.rotate_master(compromised, &Silent).unwrap();
    let (_, opened) = elsewhere(&two, old, &[&two.second]);
    assert_eq!(get(&opened.unwrap(), "a").unwrap(), "1");
    // Without a signer that stays, nobody vouches, whatever was vouched for before.
    let silent = Vault::open({
        let mut parts = two.bench.parts();
        parts.host =
            Arc::new(MemoryHost::new(two.bench.host.id(), two.bench.host.pins().unwrap().fingerprints));
        parts
    });
    let silent = silent.unwrap();
    assert!(!silent.rotate_master(compromised, &Silent).unwrap().vouched);
    let (_, opened) = elsewhere(&two, Digest::of(b"no key of this vault"), &[&two.second]);
    refused(opened, NoSuccession::NoPath);
    assert_eq!(silent.verify(&Silent).unwrap().garbage, 0, "the records are reached");
}

#[test]
fn the_signer_of_the_retired_token_is_not_used() {
    let two = two();
    let old = two.bench.fingerprint();
    // The host can use the retired token's signer only.
    let mut parts = two.bench.parts();
    parts.token = Arc::clone(&two.other.token);
    parts.pinned.recipient = two.other.recipient;
    let pins = two.bench.host.pins().unwrap();
    parts.host = Arc::new(
        MemoryHost::new(two.bench.host.id(), pins.fingerprints).with_signers(vec![Arc::clone(&two.first)]),
    );
    let vault = Vault::open(parts).unwrap();
    let report = vault.retire(two.bench.pinned.recipient, &Retire::default(), &Silent).unwrap().unwrap();
    assert!(!report.vouched);
    let (_, opened) = elsewhere(&two, old, &[&two.first, &two.second]);
    refused(opened, NoSuccession::NoRecord);
}

#[test]
fn a_forged_or_damaged_record_leads_nowhere() {
    let two = two();
    let old = two.bench.fingerprint();
    two.by_other.retire(two.bench.pinned.recipient, &Retire::default(), &Silent).unwrap();
    let link = two.by_other.fresh().unwrap().payload.succession.unwrap();
    let whole = two.bench.copy();
    let bytes = two.by_other.fresh().unwrap().read("succession", &link).unwrap();
    for position in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        two.bench.store.tamper(link.id, Some(changed));
        let (host, opened) = elsewhere(&two, old, &[&two.first, &two.second]);
        assert!(opened.is_err(), "byte {position}");
        assert_eq!(host.pins().unwrap().fingerprints, [old]);
    }
    two.bench.put_back(&whole);
    // Signed by somebody whom the host believes under that id, but with another key.
    let impostor = signer();
    let host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), vec![old]));
    host.believe(&[PinnedSigner { id: two.second.id(), public_key: impostor.public_key() }]).unwrap();
    let mut parts = two.bench.parts();
    parts.token = Arc::clone(&two.other.token);
    parts.pinned.recipient = two.other.recipient;
    parts.host = host;
    refused(Vault::open(parts), NoSuccession::BadRecord);
}
