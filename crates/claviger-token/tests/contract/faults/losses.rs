//! What the driver stands on is taken away in the middle of a call: login, sessions, module, token.

use super::{
    bench::{Bench, Case, SCHEMES, Seen, Work},
    matrix::{frequent, none},
};
use crate::lab::{CONTEXT, Lab, fresh};
use claviger_token::TokenError;
use claviger_types::Scheme;
use cryptoki_sys::{CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT};
use softhsm_fixtures::{Action, At};
use std::{thread, time::Duration};

const UNDERNEATH: [Action; 4] =
    [Action::Logout, Action::CloseSessions, Action::Finalize, Action::Reinitialize];

/// What went away is there again when the work ends, and it took one PIN at most.
pub(crate) fn lost_underneath(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let mut wrong = Vec::new();
    for work in frequent() {
        for function in bench.calls(work).keys() {
            for action in UNDERNEATH {
                let case = Case { work, function, at: At::Nth(1), action };
                wrong.extend(bench.run(case, true).and_then(|seen| is_mended(case, &seen)).err());
            }
        }
    }
    none(&wrong);
}

fn is_mended(case: Case<'_>, seen: &Seen) -> Result<(), String> {
    let right = seen.outcome.is_ok() && seen.logins <= 1 && seen.asked <= 1;
    if right { Ok(()) } else { Err(format!("{case:?}: {seen:?}")) }
}

/// While a key is opened or made, the work may fail; but not for good, and what was made is not left behind.
pub(crate) fn lost_while_opening(lab: &Lab<'_>) {
    let bench = Bench::closed(lab.instance);
    lose_all(&bench, Work::Open(Scheme::A256Kw));
}

pub(crate) fn lost_while_enrolling(lab: &Lab<'_>, scheme: Scheme) {
    let bench = Bench::open(lab.instance);
    lose_all(&bench, Work::Generate(scheme));
}

fn lose_all(bench: &Bench<'_>, work: Work) {
    let mut wrong = Vec::new();
    for function in bench.calls(work).keys() {
        for action in UNDERNEATH {
            let case = Case { work, function, at: At::Nth(1), action };
            match bench.run(case, true) {
                Ok(Seen {
                    outcome: Err(TokenError::CorruptWrappedKey | TokenError::PinIncorrect { .. }),
                    ..
                }) => {
                    wrong.push(format!("{case:?}: the wrong error"));
                }
                Ok(seen) if seen.logins > 2 => wrong.push(format!("{case:?}: {seen:?}")),
                seen => wrong.extend(seen.err()),
            }
        }
    }
    none(&wrong);
}

/// Pulled in the middle of each call: away while it is away, and one PIN after it was put back.
pub(crate) fn pulled_in_the_middle(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let mut wrong = Vec::new();
    for work in frequent() {
        // With the closing of its session a work is done.
        for function in bench.calls(work).keys().filter(|function| *function != "C_CloseSession") {
            for rv in [CKR_DEVICE_REMOVED, CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT] {
                wrong.extend(pull(&bench, work, function, rv).err());
            }
        }
    }
    none(&wrong);
}

fn pull(bench: &Bench<'_>, work: Work, function: &str, rv: u64) -> Result<(), String> {
    bench.faults.inject(function, At::Nth(1), Action::Remove(rv));
    let away = [bench.seen(work), bench.seen(work)];
    bench.faults.clear();
    let back = bench.seen(work);
    let again = bench.seen(work);
    bench.faults.clear();
    bench.settle();
    let absent = |seen: &Seen| matches!(seen.outcome, Err(TokenError::TokenAbsent { .. })) && seen.asked == 0;
    let right = away.iter().all(absent)
        && back.outcome.is_ok()
        && (back.logins, back.asked) == (1, 1)
        && again.outcome.is_ok()
        && (again.logins, again.asked) == (0, 0);
    if right { Ok(()) } else { Err(format!("{work:?}, {function}, {rv:#x}: {away:?}, {back:?}, {again:?}")) }
}

/// Several threads meet one loss, on a module that takes its time: one of them logs in.
pub(crate) fn lost_by_threads(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let lab = &bench.lab;
    let token = bench.token(Scheme::A256Kw);
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    for action in [Action::Logout, Action::CloseSessions, Action::Remove(CKR_DEVICE_REMOVED)] {
        let late = Action::Delay(Duration::from_millis(5));
        bench.faults.inject_all(&[
            ("C_UnwrapKey", At::Nth(9), action),
            ("C_Login", At::Every, late),
            ("C_OpenSession", At::Every, late),
            ("C_DestroyObject", At::Every, late),
        ]);
        let asked = lab.pin.asked();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let outcome = token.unwrap(&wrapped, CONTEXT);
                        let away = matches!(outcome, Err(TokenError::TokenAbsent { .. }));
                        assert!(
                            outcome.is_ok() || away && matches!(action, Action::Remove(_)),
                            "{outcome:?}"
                        );
                    }
                });
            }
        });
        bench.faults.clear();
        assert!(bench.seen(Work::Unwrap(Scheme::A256Kw)).outcome.is_ok());
        assert_eq!(lab.pin.asked() - asked, 1, "{action:?}");
        bench.settle();
    }
}

/// A slow module is waited for.
pub(crate) fn delays(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    for scheme in SCHEMES {
        for function in bench.calls(Work::Unwrap(scheme)).keys() {
            let action = Action::Delay(Duration::from_millis(30));
            let case = Case { work: Work::Unwrap(scheme), function, at: At::Every, action };
            assert!(bench.run(case, false).unwrap().outcome.is_ok(), "{case:?}");
        }
    }
}
