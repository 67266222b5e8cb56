//! What comes back is wrong: lengths, counts, bits.

use super::{
    bench::{Bench, Case, Seen, Work},
    matrix::{frequent, none},
};
use crate::lab::{CONTEXT, Lab, fresh};
use claviger_token::{TokenError, Unwrapped};
use claviger_types::Scheme;
use softhsm_fixtures::{Action, At};

/// None, too few, too many, beyond every buffer, beyond every address, and `CK_UNAVAILABLE_INFORMATION`.
const LENGTHS: [u64; 12] = [0, 1, 31, 33, 63, 65, 1025, 4097, 1 << 20, 1 << 40, 1 << 63, !0];

const HAVE_A_LENGTH: [&str; 7] = [
    "C_GetSlotList",
    "C_FindObjects",
    "C_GetAttributeValue",
    "C_WrapKey",
    "C_Encrypt",
    "C_Decrypt",
    "C_Sign",
];

const HAVE_AN_OUTPUT: [&str; 16] = [
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_OpenSession",
    "C_GetSessionInfo",
    "C_FindObjects",
    "C_GetAttributeValue",
    "C_CreateObject",
    "C_CopyObject",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_UnwrapKey",
    "C_DeriveKey",
    "C_WrapKey",
    "C_Encrypt",
    "C_Sign",
];

pub(crate) fn wrong_lengths(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let wrong = |work| corrupt(&bench, work, &HAVE_A_LENGTH, &LENGTHS.map(Action::Length));
    none(&frequent().into_iter().flat_map(wrong).collect::<Vec<_>>());
}

pub(crate) fn wrong_lengths_in_enrolment(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let lengths = [1, 33, 4097, 1 << 63, !0].map(Action::Length);
    let works = [Work::Generate(Scheme::A256Kw), Work::Generate(Scheme::EcdhEsA256Kw), Work::GenerateSigner];
    let wrong = |work| corrupt(&bench, work, &HAVE_A_LENGTH, &lengths);
    none(&works.into_iter().flat_map(wrong).collect::<Vec<_>>());
}

pub(crate) fn wrong_lengths_while_opening(lab: &Lab<'_>) {
    let bench = Bench::closed(lab.instance);
    none(&corrupt(&bench, Work::Open(Scheme::A256Kw), &HAVE_A_LENGTH, &LENGTHS.map(Action::Length)));
}

/// A right result or an error, whatever comes back.
fn corrupt(bench: &Bench<'_>, work: Work, functions: &[&str], actions: &[Action]) -> Vec<String> {
    let mut wrong = Vec::new();
    let calls = bench.calls(work);
    for function in calls.keys().filter(|function| functions.contains(&function.as_str())) {
        for &action in actions {
            // Once in the first call, once in the last, and always.
            for at in [At::Nth(1), At::Nth(calls[function]), At::Every] {
                let case = Case { work, function, at, action };
                if is_beyond_the_driver(case) {
                    continue;
                }
                match bench.run(case, matches!(function.as_str(), "C_GetSessionInfo" | "C_OpenSession")) {
                    Ok(Seen { outcome: Err(TokenError::CorruptWrappedKey), .. }) => {
                        wrong.push(format!("{case:?}: the blob is good"));
                    }
                    Ok(Seen { logins: 2.., .. }) => wrong.push(format!("{case:?}: logins")),
                    seen => wrong.extend(seen.err()),
                }
            }
        }
    }
    wrong
}

/// What the driver cannot notice, because nothing that it knows contradicts the module.
///
/// An unwrapped key that the module reads out wrongly is one of these: the envelope's `kid`, which is computed from the key,
/// shows it to the vault.
fn is_beyond_the_driver(Case { work, function, action, .. }: Case<'_>) -> bool {
    let anchors = matches!(work, Work::ReadAnchor | Work::WriteAnchor);
    match (function, action) {
        ("C_GetAttributeValue", Action::Flip(_)) => anchors || work == Work::Unwrap(Scheme::A256Kw),
        // An anchor's value, of another length within its bounds; or an anchor that no search finds.
        ("C_GetAttributeValue", Action::Length(..=4096)) | ("C_FindObjects", Action::Length(_)) => anchors,
        _ => false,
    }
}

pub(crate) fn flipped_bits(lab: &Lab<'_>) {
    let bench = Bench::open(lab.instance);
    let flips = [0, 1, 2, 5, 17, 63].map(Action::Flip);
    let mut wrong = Vec::new();
    for work in [
        Work::Unwrap(Scheme::A256Kw),
        Work::Unwrap(Scheme::EcdhEsA256Kw),
        Work::ReadAnchor,
        Work::Sign,
        Work::Generate(Scheme::A256Kw),
    ] {
        wrong.extend(corrupt(&bench, work, &HAVE_AN_OUTPUT, &flips));
    }
    none(&wrong);
}

/// A bit flips in a wrapped key on its way out: the token refuses it, and nobody gets another key.
pub(crate) fn flipped_wraps(lab: &Lab<'_>, scheme: Scheme) {
    let bench = Bench::open(lab.instance);
    let token = bench.token(scheme);
    let (function, bytes) = if scheme == Scheme::A256Kw { ("C_WrapKey", 40) } else { ("C_Encrypt", 48) };
    for bit in 0..8 * bytes {
        bench.faults.inject(function, At::Every, Action::Flip(bit));
        let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
        bench.faults.clear();
        let outcome = token.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::CorruptWrappedKey)), "{bit}: {outcome:?}");
    }
}

/// The limit: where the module itself flips a bit of the key that it gives out, the driver cannot know.
pub(crate) fn flipped_keys(lab: &Lab<'_>, scheme: Scheme) {
    let bench = Bench::open(lab.instance);
    let (token, cek) = (bench.token(scheme), fresh());
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let function = if scheme == Scheme::A256Kw { "C_GetAttributeValue" } else { "C_Decrypt" };
    bench.faults.inject(function, At::Every, Action::Flip(9));
    let Unwrapped::Key(key) = token.unwrap(&wrapped, CONTEXT).unwrap() else { panic!("not mine") };
    let mut flipped = *cek.expose();
    flipped[1] ^= 2;
    assert_eq!(*key.expose(), flipped);
}
