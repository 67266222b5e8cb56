//! Every function that the driver calls, with every return value that the standard has.

use super::{
    bench::{Bench, Case, SCHEMES, Seen, Work},
    codes::{self, Code},
};
use crate::lab::Lab;
use claviger_token::TokenError;
use claviger_types::Scheme;
use softhsm_fixtures::{Action, At};
use std::collections::BTreeSet;

/// Every function that the driver calls. What is new in it is to be in one of the works, too.
const FUNCTIONS: [&str; 30] = [
    "C_CloseSession",
    "C_CopyObject",
    "C_CreateObject",
    "C_Decrypt",
    "C_DecryptFinal",
    "C_DecryptInit",
    "C_DeriveKey",
    "C_DestroyObject",
    "C_Encrypt",
    "C_EncryptInit",
    "C_Finalize",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_FindObjectsInit",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_GetAttributeValue",
    "C_GetFunctionList",
    "C_GetSessionInfo",
    "C_GetSlotInfo",
    "C_GetSlotList",
    "C_GetTokenInfo",
    "C_Initialize",
    "C_Login",
    "C_OpenSession",
    "C_SetAttributeValue",
    "C_Sign",
    "C_SignInit",
    "C_UnwrapKey",
    "C_WrapKey",
];

pub(crate) fn no_function_is_left_out(lab: &Lab<'_>) {
    let called = |bench: &Bench<'_>, works: &[Work]| {
        works.iter().flat_map(|work| bench.calls(*work).into_keys()).collect::<BTreeSet<_>>()
    };
    let mut all = called(&Bench::closed(lab.instance), &[Work::Open(Scheme::A256Kw), Work::List]);
    all.extend(called(&Bench::open(lab.instance), &works()));
    assert_eq!(all.iter().collect::<Vec<_>>(), FUNCTIONS.iter().collect::<Vec<_>>());
}

fn works() -> Vec<Work> {
    let rare = SCHEMES.into_iter().flat_map(|scheme| [Work::Generate(scheme), Work::Open(scheme)]);
    rare.chain([Work::GenerateSigner, Work::List]).chain(frequent()).collect()
}

/// What is done over and over on handles that stay.
pub(super) fn frequent() -> Vec<Work> {
    let schemes = SCHEMES.into_iter().flat_map(|scheme| [Work::Wrap(scheme), Work::Unwrap(scheme)]);
    schemes.chain([Work::ReadAnchor, Work::WriteAnchor, Work::Sign]).collect()
}

pub(crate) fn opening(lab: &Lab<'_>) {
    matrix(&Bench::closed(lab.instance), Work::Open(Scheme::A256Kw), codes::ALL);
}

pub(crate) fn wrapping(lab: &Lab<'_>, scheme: Scheme) {
    let bench = Bench::open(lab.instance);
    matrix(&bench, Work::Unwrap(scheme), codes::ALL);
    matrix(&bench, Work::Wrap(scheme), codes::ALL);
}

pub(crate) fn anchors_and_signatures(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    for work in [Work::ReadAnchor, Work::WriteAnchor, Work::Sign] {
        matrix(&bench, work, codes::SOME);
    }
}

pub(crate) fn enrolment(lab: &Lab<'_>, scheme: Scheme) {
    matrix(&Bench::open(lab.instance), Work::Generate(scheme), codes::SOME);
}

pub(crate) fn enrolment_of_a_signer(lab: &Lab<'_>) {
    matrix(&Bench::open(lab.instance), Work::GenerateSigner, codes::FEW);
}

fn matrix(bench: &Bench<'_>, work: Work, codes: &[Code]) {
    let mut wrong = Vec::new();
    for function in bench.calls(work).keys() {
        let codes = if is_passed_over(function) { codes::FEW } else { codes };
        for &code in codes {
            for at in [At::Nth(1), At::Every] {
                let case = Case { work, function, at, action: Action::Return(code.1) };
                let judged = bench.run(case, asks(function)).and_then(|seen| judge(case, code, &seen));
                wrong.extend(judged.err());
            }
        }
    }
    none(&wrong);
}

pub(super) fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What says who a token is. How it fails does not matter, and each time the driver is patient for half a second.
pub(super) fn is_passed_over(function: &str) -> bool {
    matches!(function, "C_GetTokenInfo" | "C_GetSlotInfo")
}

/// Without this nobody can see that the login stands; then the PIN is asked for, and the token says that it does.
fn asks(function: &str) -> bool {
    function == "C_GetSessionInfo"
}

fn judge(case: Case<'_>, code: Code, seen: &Seen) -> Result<(), String> {
    let Case { work, function, at, .. } = case;
    let right = match &seen.outcome {
        _ if (seen.logins > 1 || seen.asked > 1) && !asks(function) => false,
        Ok(()) => true,
        Err(TokenError::CorruptWrappedKey) => false,
        Err(_) if at == At::Nth(1) && codes::is_survived(work, code) => false,
        Err(error) => codes::says(error, function, code) || codes::means(error, work, function, code),
    };
    if right { Ok(()) } else { Err(format!("{work:?}, {function}, {at:?}, {}: {seen:?}", code.0)) }
}
