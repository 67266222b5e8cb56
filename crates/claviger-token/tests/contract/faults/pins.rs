//! PINs that are wrong, locked, or not to be risked.

use super::bench::{Bench, Work};
use crate::lab::{Lab, access};
use claviger_token::{
    Access, Driver as _, ModuleSpec, PinPrompt, PinSource, PinTries, TokenError, pkcs11::Pkcs11Driver,
};
use claviger_types::{OsEntropy, Pin, Scheme, SecretBytes};
use cryptoki_sys::{
    CKF_PROTECTED_AUTHENTICATION_PATH, CKF_USER_PIN_COUNT_LOW, CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_INITIALIZED, CKF_USER_PIN_LOCKED, CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE,
};
use softhsm_fixtures::{Action, At, Faults, PIN};
use std::sync::{Arc, Mutex};

/// A PIN source that keeps what it was told.
#[derive(Default)]
struct Told(Mutex<Vec<PinTries>>);

impl PinSource for Told {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        self.0.lock().unwrap().push(prompt.tries);
        Ok(Pin::new(SecretBytes::copy_of(PIN.as_bytes())))
    }
}

const fn flags(set: u64, clear: u64) -> (&'static str, At, Action) {
    ("C_GetTokenInfo", At::Every, Action::Flags { set, clear })
}

/// What the token says of its PIN is looked at before a try is spent.
pub(crate) fn the_token_warns(lab: &Lab<'_>) {
    let faults = Faults::of(lab.instance);
    let driver = Pkcs11Driver::new(ModuleSpec::new(faults.module()));
    let told = Arc::new(Told::default());
    let attempt = |fault: (&str, At, Action)| {
        faults.inject_all(&[fault]);
        let access = Access::new(Arc::clone(&told) as _, Arc::new(OsEntropy));
        let outcome = driver.open_anchors(&lab.uri, &access).map(|_| ());
        (outcome, told.0.lock().unwrap().split_off(0), faults.count("C_Login"))
    };
    for (set, tries) in [
        (0, PinTries::Normal),
        (CKF_USER_PIN_COUNT_LOW, PinTries::Low),
        (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW, PinTries::Final),
    ] {
        let (outcome, told, logins) = attempt(flags(set, 0));
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!((told, logins), (vec![tries], 1));
    }
    let (outcome, told, logins) = attempt(flags(CKF_USER_PIN_LOCKED, 0));
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!((told, logins), (vec![], 0));
    let (outcome, told, logins) = attempt(flags(0, CKF_USER_PIN_INITIALIZED));
    assert!(matches!(outcome, Err(TokenError::PinUnavailable { .. })), "{outcome:?}");
    assert_eq!((told, logins), (vec![], 0));
    // The reader asks, and not this program; SoftHSM has none that could.
    let (outcome, told, logins) = attempt(flags(CKF_PROTECTED_AUTHENTICATION_PATH, 0));
    assert!(
        matches!(&outcome, Err(TokenError::ModuleFailed { function, .. }) if function == "C_Login"),
        "{outcome:?}"
    );
    assert_eq!((told, logins), (vec![], 1));
}

/// A PIN that was refused is not given again, by this handle or another of the same login, whatever else fails.
pub(crate) fn a_refused_pin_is_never_given_again(lab: &Lab<'_>) {
    for rv in [CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE] {
        for (set, left) in [(0, None), (CKF_USER_PIN_FINAL_TRY, Some(1))] {
            let bench = Bench::open(lab.instance);
            let unwrap = Work::Unwrap(Scheme::A256Kw);
            bench.faults.inject_all(&[
                ("C_UnwrapKey", At::Nth(1), Action::Logout),
                ("C_Login", At::Every, Action::Return(rv)),
                flags(set, 0),
            ]);
            for asked in [1, 0, 0] {
                let seen = bench.seen(unwrap);
                let Err(TokenError::PinIncorrect { tries_left }) = seen.outcome else { panic!("{seen:?}") };
                assert_eq!((seen.asked, seen.logins), (asked, asked));
                assert!(asked == 0 || tries_left == left, "{tries_left:?}");
            }
            // Even when the token would take it: this login's source is not to be trusted any more.
            bench.faults.clear();
            let seen = bench.seen(unwrap);
            assert!(matches!(seen.outcome, Err(TokenError::PinIncorrect { .. })), "{seen:?}");
            assert_eq!((seen.asked, seen.logins), (0, 0));
            // A new opening may ask.
            let seen = bench.seen(Work::Open(Scheme::A256Kw));
            assert!(seen.outcome.is_ok() && seen.logins == 1, "{seen:?}");
            // Then the login stands, for the refused handle, too.
        }
    }
}

/// The last try was spent: the token says that it is locked.
pub(crate) fn the_last_try_locks(lab: &Lab<'_>) {
    let faults = Faults::of(lab.instance);
    let driver = Pkcs11Driver::new(ModuleSpec::new(faults.module()));
    // The first two look at the flags before the login: one to choose the token, one whether it wants a login.
    faults.inject_all(&[
        ("C_Login", At::Every, Action::Return(CKR_PIN_INCORRECT)),
        (
            "C_GetTokenInfo",
            At::From(last_look(&driver, &faults, lab)),
            Action::Flags { set: CKF_USER_PIN_LOCKED, clear: 0 },
        ),
    ]);
    let outcome = driver.open_anchors(&lab.uri, &access(&lab.pin)).map(|_| ());
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(faults.count("C_Login"), 1);
}

/// The number of the first `C_GetTokenInfo` after a login that failed.
fn last_look(driver: &Pkcs11Driver, faults: &Faults, lab: &Lab<'_>) -> u64 {
    faults.inject("C_Login", At::Every, Action::Return(CKR_PIN_INCORRECT));
    driver.open_anchors(&lab.uri, &access(&lab.pin)).map(|_| ()).unwrap_err();
    let calls = faults.calls();
    let before = calls.iter().take_while(|call| call.function != "C_Login");
    before.filter(|call| call.function == "C_GetTokenInfo").count() as u64 + 1
}
