//! Every command and every call, with every answer.

use super::{
    bench::{Bench, Seen, Work},
    cases::{ALL, CODES, COMMANDS, Case, FEW, FEW_CODES, Fault, RESET, SHARED, SOME, is_survived, occasions},
};
use crate::lab::Lab;
use claviger_token::TokenError;
use softhsm_fixtures::{At, CardAction, PcscFault};
use std::collections::BTreeSet;

const NEWEST: &str = "5.7.1";
const USUAL: &str = "5.4.3";
const EVERY: [Work; 12] = [
    Work::Unwrap,
    Work::UnwrapAnew,
    Work::UnwrapTouched,
    Work::Sign,
    Work::Open,
    Work::SelfTest,
    Work::Generate,
    Work::GenerateSigner,
    Work::Destroy,
    Work::List,
    Work::ChangePin,
    Work::Unblock,
];

pub(crate) fn no_command_is_left_out(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    let mut sent: BTreeSet<u8> =
        EVERY.into_iter().flat_map(|work| bench.counts(work).0.into_keys()).collect();
    // Of a card of before 5.3, and of a long answer.
    sent.extend([0xf9, 0xc0]);
    assert_eq!(sent.into_iter().collect::<Vec<_>>(), COMMANDS);
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// With this in the environment all cases, and else a part of them, which is another for each command.
const ALL_CASES: &str = "CLAVIGER_TEST_ALL_FAULTS";

/// One of so many, where not all are wanted.
fn share<T>(cases: impl IntoIterator<Item = T>, of: usize) -> impl Iterator<Item = T> {
    let step = if std::env::var_os(ALL_CASES).is_some() { 1 } else { of };
    cases.into_iter().step_by(step)
}

/// What each command answers, at each occasion; of all of it one in so many.
fn answers(bench: &Bench<'_>, work: Work, actions: &[CardAction], of: usize) -> Vec<String> {
    let counts = bench.counts(work).0;
    let faults = counts.into_iter().flat_map(|(ins, count)| {
        let at = move |action: &CardAction| {
            let action = *action;
            occasions(count).into_iter().map(move |at| Fault::Card(ins, at, action))
        };
        actions.iter().flat_map(at)
    });
    share(faults, of).filter_map(|fault| bench.run(&Case { work, fault }).err()).collect()
}

/// These status words instead of an answer, and those after the card did it.
fn statuses(instead: &[u16], after: &[u16]) -> Vec<CardAction> {
    let instead = instead.iter().map(|word| CardAction::Status(*word));
    instead.chain(after.iter().map(|word| CardAction::After(*word))).collect()
}

/// The calls of PC/SC, in the same way; whether one that fails once is to be survived.
fn calls(bench: &Bench<'_>, work: Work, codes: &[u32], survives: bool, of: usize) -> Vec<String> {
    let counts = bench.counts(work).1;
    let with = |code: &u32| [PcscFault::Instead(*code), PcscFault::After(*code)];
    let faults: Vec<_> = codes.iter().flat_map(with).chain([PcscFault::Drop]).collect();
    let cases = counts.into_iter().flat_map(|(call, count)| {
        let call: &'static str = call.leak();
        let at = move |fault: &PcscFault| {
            let fault = *fault;
            occasions(count).into_iter().map(move |at| (call, at, fault))
        };
        faults.iter().flat_map(at).filter(|(call, at, fault)| !is_never(call, *at, *fault))
    });
    share(cases, of)
        .filter_map(|(call, at, fault)| {
            let case = Case { work, fault: Fault::Service(call, at, fault) };
            match bench.run(&case) {
                Ok(Seen { outcome: Err(error), .. }) if survives && goes_on(call, at, fault) => {
                    Some(format!("{case:?}: {error:?}"))
                }
                seen => seen.err(),
            }
        })
        .collect()
}

/// What pcscd does not do: keep a card for somebody to whom it told that it does not. Nor is each code that lasts worth its
/// time: after a loss of the service that is waited for.
fn is_never(call: &str, at: At, fault: PcscFault) -> bool {
    match fault {
        PcscFault::After(RESET | SHARED) if call == "begin" => true,
        // For this the library itself waits.
        PcscFault::Instead(SHARED) if call != "connect" => at == At::Every,
        PcscFault::Instead(code) => at == At::Every && !FEW_CODES.contains(&code),
        PcscFault::After(_) => at == At::Every,
        PcscFault::Drop => false,
    }
}

fn goes_on(call: &str, at: At, fault: PcscFault) -> bool {
    match (call, fault) {
        ("end", PcscFault::Instead(_) | PcscFault::After(_)) => true,
        (_, PcscFault::Instead(code) | PcscFault::After(code)) => at != At::Every && is_survived(code),
        (_, PcscFault::Drop) => at != At::Every,
    }
}

const GARBLED: [CardAction; 8] = [
    CardAction::Length(0),
    CardAction::Length(1),
    CardAction::Length(7),
    CardAction::Length(300),
    CardAction::Flip(0),
    CardAction::Flip(9),
    CardAction::Flip(40),
    CardAction::Flip(200),
];

// Each share has no divisor with the numbers of occasions, so that it takes of each.

pub(crate) fn in_use(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = Vec::new();
    for work in [Work::Unwrap, Work::Sign, Work::UnwrapTouched] {
        wrong.extend(answers(&bench, work, &statuses(&ALL, &ALL), 7));
        wrong.extend(answers(&bench, work, &GARBLED, 3));
    }
    none(&wrong);
}

pub(crate) fn in_a_login(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = answers(&bench, Work::UnwrapAnew, &statuses(&ALL, &FEW), 5);
    wrong.extend(answers(&bench, Work::UnwrapAnew, &GARBLED, 5));
    none(&wrong);
}

pub(crate) fn in_opening(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = answers(&bench, Work::Open, &statuses(&ALL, &FEW), 5);
    wrong.extend(answers(&bench, Work::Open, &GARBLED, 5));
    wrong.extend(answers(&bench, Work::List, &statuses(&SOME, &[]), 1));
    none(&wrong);
}

pub(crate) fn in_a_self_test(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    none(&answers(&bench, Work::SelfTest, &statuses(&SOME, &FEW), 7));
}

pub(crate) fn in_enrolment(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    none(&answers(&bench, Work::Generate, &statuses(&SOME, &FEW), 11));
}

pub(crate) fn of_garbled_answers_in_enrolment(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    none(&answers(&bench, Work::Generate, &GARBLED[..6], 11));
}

pub(crate) fn in_a_signers_enrolment(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    none(&answers(&bench, Work::GenerateSigner, &statuses(&FEW, &FEW), 5));
}

pub(crate) fn in_destruction(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    none(&answers(&bench, Work::Destroy, &statuses(&FEW, &FEW), 7));
}

pub(crate) fn in_changes_of_pins(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = answers(&bench, Work::ChangePin, &statuses(&SOME, &FEW), 1);
    wrong.extend(answers(&bench, Work::Unblock, &statuses(&SOME, &FEW), 1));
    none(&wrong);
}

pub(crate) fn of_the_service_in_use(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = calls(&bench, Work::Unwrap, &CODES, true, 5);
    wrong.extend(calls(&bench, Work::Sign, &FEW_CODES, true, 5));
    wrong.extend(calls(&bench, Work::UnwrapTouched, &FEW_CODES, true, 5));
    none(&wrong);
}

pub(crate) fn of_the_service_in_opening(lab: &Lab<'_>) {
    let bench = Bench::on(lab, USUAL);
    let mut wrong = calls(&bench, Work::Open, &CODES, false, 13);
    wrong.extend(calls(&bench, Work::UnwrapAnew, &FEW_CODES, false, 5));
    none(&wrong);
}

pub(crate) fn of_the_service_in_enrolment(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    none(&calls(&bench, Work::Generate, &FEW_CODES, false, 13));
}

/// Pulled at each command, before the card did it and after.
pub(crate) fn pulled(lab: &Lab<'_>) {
    let bench = Bench::on(lab, NEWEST);
    let mut wrong = Vec::new();
    for work in [Work::UnwrapAnew, Work::Generate] {
        for (ins, _) in bench.counts(work).0 {
            for action in [CardAction::Remove, CardAction::RemoveAfter] {
                let case = Case { work, fault: Fault::Card(ins, At::Nth(1), action) };
                match bench.run(&case) {
                    Ok(Seen {
                        outcome: Err(TokenError::TokenAbsent { .. } | TokenError::PinUnavailable { .. }),
                        ..
                    }) => {}
                    Ok(seen) => wrong.push(format!("{case:?}: {seen:?}")),
                    Err(error) => wrong.push(error),
                }
            }
        }
    }
    none(&wrong);
}
