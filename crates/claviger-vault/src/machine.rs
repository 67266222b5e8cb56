//! The state machine: commits, rotations, recipients, crashes, reopenings, backups and stale copies in any order, held
//! against a plain map. No state that can be reached loses a credential or accepts a stale head.
use crate::{
    GcOptions, JobKind, Retire, RotateMaster, Seen, Silent, Vault, VaultError, Versions, answer_challenge,
    testing::{Bench, Copy, Other, faults, get, reference, set},
};
use claviger_types::{Clock as _, Scheme};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Clone)]
enum Op {
    Set(u8, u8),
    Delete(u8),
    Destroy(u8),
    RotateService(u8),
    RotateMaster {
        compromised: bool,
        destroy_old: bool,
    },
    Enroll,
    RetireOther,
    Resume,
    Gc,
    Reopen,
    /// The next operation meets this fault at this call of the store.
    Fault(usize, u64),
    Pass(u32),
    /// Keep a copy of the store, or show an earlier one to the host.
    Copy,
    ShowCopy,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..8_u8, any::<u8>()).prop_map(|(service, value)| Op::Set(service, value)),
        1 => (0..8_u8).prop_map(Op::Delete),
        1 => (0..8_u8).prop_map(Op::Destroy),
        1 => (0..8_u8).prop_map(Op::RotateService),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(compromised, destroy_old)| Op::RotateMaster { compromised, destroy_old }),
        1 => Just(Op::Enroll),
        1 => Just(Op::RetireOther),
        1 => Just(Op::Resume),
        1 => Just(Op::Gc),
        2 => Just(Op::Reopen),
        4 => (0..4_usize, 0..30_u64).prop_map(|(fault, call)| Op::Fault(fault, call)),
        1 => (0..200_u32).prop_map(Op::Pass),
        1 => Just(Op::Copy),
        1 => Just(Op::ShowCopy),
    ]
}

/// What each service may hold now: more than one where a write failed and it is not known whether it happened.
type Model = BTreeMap<u8, Vec<Option<String>>>;

struct Machine {
    bench: Bench,
    vault: Vault,
    model: Model,
    other: Option<Other>,
    copy: Option<(Copy, Seen)>,
    fault: Option<(usize, u64)>,
}

impl Machine {
    fn new() -> Self {
        let (bench, vault) = Bench::with_scheme(Scheme::EcdhEsA256Kw);
        Self { bench, vault, model: Model::new(), other: None, copy: None, fault: None }
    }

    /// Runs an operation with the fault that waits for it, and starts over after a crash. Whether it certainly happened.
    fn run<T>(&mut self, work: impl FnOnce(&Vault) -> Result<T, VaultError>) -> Option<T> {
        let faulty = self.fault.take();
        if let Some((fault, call)) = faulty {
            self.bench.store.inject(call, faults()[fault]());
        }
        let outcome = work(&self.vault);
        self.bench.store.restart();
        if faulty.is_some() {
            self.reopen();
        }
        match outcome {
            Ok(done) => Some(done),
            Err(error) => {
                let allowed = faulty.is_some()
                    || matches!(error, VaultError::NotFound { .. } | VaultError::Invalid { .. });
                assert!(allowed, "without a fault: {error}");
                None
            }
        }
    }

    fn reopen(&mut self) {
        self.vault = self.bench.open().expect("every state opens");
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Set(service, value) => {
                let text = format!("{value}");
                let sure = self.run(|vault| set(vault, &format!("s{service}"), &text)).is_some();
                self.note(service, Some(text), sure);
            }
            Op::Delete(service) => {
                let at = reference(&format!("s{service}"));
                let sure = self.run(|vault| vault.delete(&at, &Versions::Newest)).is_some();
                self.note(service, None, sure);
            }
            Op::Destroy(service) => {
                let at = reference(&format!("s{service}"));
                let sure = self.run(|vault| vault.destroy(&at, &Versions::All)).is_some();
                self.note(service, None, sure);
            }
            Op::RotateService(service) => {
                let name = reference(&format!("s{service}")).service;
                self.run(|vault| vault.rotate_service(&name));
            }
            Op::RotateMaster { compromised, destroy_old } => {
                let how = RotateMaster { compromised, destroy_old, scheme: None };
                self.run(|vault| vault.rotate_master(how, &Silent));
                self.follow();
            }
            Op::Enroll if self.other.is_none() => {
                let other = Bench::beside(Scheme::EcdhEsA256Kw);
                let vault_id = self.bench.pinned.vault;
                let done = self.run(|vault| {
                    let proposal = vault.propose(other.token.describe(), None)?;
                    let answer = answer_challenge(other.token.as_ref(), vault_id, &proposal.challenge)?;
                    vault.activate(proposal.recipient, answer, &Silent)
                });
                if done.is_some() {
                    self.other = Some(other);
                }
            }
            Op::RetireOther => {
                if let Some(other) = self.other.take() {
                    self.run(|vault| vault.retire(other.recipient, &Retire::default(), &Silent));
                    // Cut short or not: in the end it opens nothing.
                    self.run(|vault| vault.resume(&Silent));
                    let state = |vault: &Vault| {
                        let registry = vault.fresh().unwrap().registry().unwrap();
                        registry.recipient(other.recipient).unwrap().state
                    };
                    if state(&self.vault) == crate::RecipientState::Active {
                        self.other = Some(other);
                    } else {
                        assert!(matches!(self.bench.open_by(&other), Err(VaultError::NotARecipient)));
                    }
                }
            }
            Op::Resume => {
                self.run(|vault| vault.resume(&Silent));
                self.follow();
            }
            Op::Gc => {
                self.run(|vault| vault.gc(GcOptions { now: true, ..GcOptions::default() }, &Silent));
            }
            Op::Reopen => self.reopen(),
            Op::Fault(fault, call) => self.fault = Some((fault, call)),
            Op::Pass(days) => {
                let before = self.bench.clock.now();
                self.bench.clock.advance(Duration::from_hours(24) * days);
                assert!(self.bench.clock.now() >= before);
                self.vault.status().unwrap();
            }
            Op::Copy => {
                self.copy = Some((self.bench.copy(), self.vault.head().unwrap()));
            }
            Op::ShowCopy => self.show_copy(),
            Op::Enroll => {}
        }
    }

    /// As the configuration would: a rotation may have destroyed the key by which the vault was opened.
    fn follow(&mut self) {
        let registry = self.vault.fresh().unwrap().registry().unwrap();
        let ours = |record: &&crate::format::RecipientRecord| {
            record.state == crate::RecipientState::Active
                && record.scheme().is_some_and(|scheme| self.bench.token.sibling(record.id, scheme).is_ok())
        };
        if let Some(record) = registry.recipients.iter().find(ours) {
            let scheme = record.scheme().unwrap();
            self.bench.token = self.bench.token.sibling(record.id, scheme).unwrap();
            self.bench.pinned.recipient = record.id;
        }
        self.reopen();
    }

    /// An older store is refused; the true one, put back, is not.
    fn show_copy(&mut self) {
        let Some((copy, seen)) = &self.copy else { return };
        let present = self.bench.copy();
        let newest = self.vault.head().unwrap();
        self.bench.put_back(copy);
        let opened = self.bench.open();
        if newest.epoch > seen.epoch {
            assert!(opened.is_err(), "a stale head is accepted");
            assert!(self.vault.list(None).is_err());
        } else {
            opened.unwrap();
        }
        self.bench.put_back(&present);
        self.reopen();
    }

    fn note(&mut self, service: u8, value: Option<String>, sure: bool) {
        let may = self.model.entry(service).or_insert_with(|| vec![None]);
        if sure {
            *may = vec![value];
        } else if !may.contains(&value) {
            may.push(value);
        }
    }

    fn check(&mut self) {
        for (service, may) in &mut self.model {
            let is = match get(&self.vault, &format!("s{service}")) {
                Ok(value) => Some(value),
                Err(VaultError::NotFound { .. }) => None,
                Err(error) => panic!("s{service}: {error}"),
            };
            assert!(may.contains(&is), "s{service} is {is:?}, may be {may:?}");
            *may = vec![is];
        }
        let report = self.vault.verify(&Silent).unwrap();
        assert_eq!((report.damage, report.rolled_back), (vec![], None));
        let job = self.vault.fresh().unwrap().payload.job().unwrap();
        assert_eq!(
            self.vault.fresh().unwrap().payload.roots.len(),
            1 + usize::from(job.is_some_and(|job| job.kind == JobKind::Replace))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_reachable_state_loses_a_credential_or_accepts_a_stale_head(
        ops in proptest::collection::vec(op(), 1..25)
    ) {
        let mut machine = Machine::new();
        for op in &ops {
            machine.step(op);
            machine.check();
        }
    }
}
