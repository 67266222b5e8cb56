//! A second failure, while the first is mended; functions that are missing; calls that work and say that they did not.

use super::{
    bench::{Bench, Case, Work},
    codes::{self, Code},
    matrix::{frequent, is_passed_over, none},
};
use crate::lab::Lab;
use claviger_token::TokenError;
use claviger_types::Scheme;
use cryptoki_sys::{CKR_DEVICE_REMOVED, CKR_GENERAL_ERROR, CKR_SESSION_HANDLE_INVALID};
use softhsm_fixtures::{Action, At};

/// What is called to mend a loss.
const MENDING: [&str; 13] = [
    "C_CloseSession",
    "C_Finalize",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_FindObjectsInit",
    "C_GetSessionInfo",
    "C_GetSlotInfo",
    "C_GetSlotList",
    "C_GetTokenInfo",
    "C_Initialize",
    "C_Login",
    "C_OpenSession",
    "C_UnwrapKey",
];

const FIRST: [Action; 6] = [
    Action::Return(CKR_SESSION_HANDLE_INVALID),
    Action::Return(CKR_GENERAL_ERROR),
    Action::Logout,
    Action::CloseSessions,
    Action::Reinitialize,
    Action::Remove(CKR_DEVICE_REMOVED),
];

/// An end, one PIN at most, no blame of a good blob; and work goes on.
pub(crate) fn a_second_failure(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let work = Work::Unwrap(Scheme::A256Kw);
    let mut wrong = Vec::new();
    for first in FIRST {
        for function in MENDING {
            for &code in codes::FEW {
                for at in [At::Nth(1), At::From(if function == "C_UnwrapKey" { 2 } else { 1 })] {
                    bench.faults.inject_all(&[
                        ("C_UnwrapKey", At::Nth(1), first),
                        (function, at, Action::Return(code.1)),
                    ]);
                    let seen = bench.seen(work);
                    bench.faults.clear();
                    let after = bench.seen(work);
                    bench.faults.clear();
                    bench.settle();
                    let right = !matches!(seen.outcome, Err(TokenError::CorruptWrappedKey))
                        && seen.logins <= 2
                        && after.outcome.is_ok()
                        && after.logins <= 1;
                    if !right {
                        wrong.push(format!("{first:?}, {function}, {at:?}, {}: {seen:?}, {after:?}", code.0));
                    }
                }
            }
        }
    }
    none(&wrong);
}

/// The call does what it should, and answers that it failed.
pub(crate) fn done_and_denied(lab: &Lab<'_>) {
    deny(&Bench::open(lab.instance), &frequent());
}

pub(crate) fn done_and_denied_in_enrolment(lab: &Lab<'_>) {
    let works = [Work::Generate(Scheme::A256Kw), Work::Generate(Scheme::EcdhEsA256Kw), Work::GenerateSigner];
    deny(&Bench::open(lab.instance), &works);
}

fn deny(bench: &Bench<'_>, works: &[Work]) {
    let mut wrong = Vec::new();
    for &work in works {
        for function in bench.calls(work).keys().filter(|function| !is_passed_over(function)) {
            for &(name, rv) in codes::FEW {
                for at in [At::Nth(1), At::Every] {
                    let case = Case { work, function, at, action: Action::After(rv) };
                    match bench.run(case, function == "C_GetSessionInfo") {
                        Ok(seen) if matches!(seen.outcome, Err(TokenError::CorruptWrappedKey)) => {
                            wrong.push(format!("{case:?}, {name}: the blob is good"));
                        }
                        seen => wrong.extend(seen.err()),
                    }
                }
            }
        }
    }
    none(&wrong);
}

/// A module without one of the functions: said by name, where it is needed.
pub(crate) fn missing_functions(lab: &Lab<'_>) {
    const MISSING: Code = ("CKR_FUNCTION_NOT_SUPPORTED", cryptoki_sys::CKR_FUNCTION_NOT_SUPPORTED);
    let bench = Bench::closed(lab.instance);
    let work = Work::Open(Scheme::A256Kw);
    let mut said = 0;
    for function in bench.calls(work).keys().filter(|function| *function != "C_GetFunctionList") {
        let case = Case { work, function, at: At::Every, action: Action::Null };
        match bench.run(case, false).unwrap().outcome {
            Ok(()) => assert!(["C_CloseSession", "C_Finalize", "C_GetSessionInfo"].contains(&&**function)),
            Err(TokenError::TokenAbsent { .. }) => {
                assert!(["C_GetTokenInfo", "C_GetSlotInfo"].contains(&&**function));
            }
            Err(error) => {
                assert!(codes::says(&error, function, MISSING), "{function}: {error:?}");
                said += 1;
            }
        }
    }
    assert!(said >= 9, "{said}");
}
