//! Wrong PINs until the token locks, or does not.

use crate::lab::{Counting, Lab, access};
use claviger_token::{Access, PinSource, PinTries, TokenError};
use claviger_types::OsEntropy;
use std::{fs, os::unix::fs::OpenOptionsExt as _, sync::Arc};

fn log_in(lab: &Lab<'_>, access: &Access) -> Result<(), TokenError> {
    lab.driver.open_anchors(&lab.uri, access).map(|_| ())
}

fn tries(lab: &Lab<'_>) -> PinTries {
    let tokens = lab.driver.list().unwrap();
    tokens.iter().find(|token| token.label == softhsm_fixtures::LABEL).unwrap().tries
}

/// One wrong PIN, asked for once; how many tries are said to be left.
fn refused(lab: &Lab<'_>) -> Option<u8> {
    let wrong = Counting::new("654321");
    let outcome = log_in(lab, &access(&wrong));
    assert_eq!(wrong.asked(), 1);
    let Err(TokenError::PinIncorrect { tries_left }) = outcome else { panic!("{outcome:?}") };
    tries_left
}

fn is_locked(lab: &Lab<'_>, pin: &Arc<Counting>, asked: usize) {
    let outcome = log_in(lab, &access(pin));
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(pin.asked(), asked);
}

/// A source that nobody sits before.
fn wrong_file(lab: &Lab<'_>) -> Access {
    let path = lab.instance.home().join("wrong");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&path);
    std::io::Write::write_all(&mut file.unwrap(), b"654321\n").unwrap();
    Access::new(Arc::new(claviger_token::PinFile::new(path)) as Arc<dyn PinSource>, Arc::new(OsEntropy))
}

/// The last try is told before it is spent, and no file spends it. A token that is locked is asked nothing.
pub(crate) fn it_locks_at(lab: &Lab<'_>, limit: usize) {
    for spent in 1..limit {
        let last = spent + 1 == limit;
        assert_eq!(refused(lab), last.then_some(1), "after {spent}");
    }
    assert_eq!(tries(lab), PinTries::Final);
    let outcome = log_in(lab, &wrong_file(lab));
    let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("one try left"), "{reason}");
    assert_eq!(tries(lab), PinTries::Final, "the file spent it");
    is_locked(lab, &Counting::new("654321"), 1);
    assert_eq!(tries(lab), PinTries::Locked);
    is_locked(lab, &lab.pin, 0);
}

/// The right one spends nothing, even as the last.
pub(crate) fn the_right_pin_makes_up_for_wrong_ones(lab: &Lab<'_>, limit: usize) {
    for _ in 0..2 {
        for _ in 1..limit {
            refused(lab);
        }
        log_in(lab, &lab.access).unwrap();
    }
    assert_eq!(lab.pin.asked(), 2);
    assert_eq!(tries(lab), PinTries::Normal);
}

/// A TPM shows no tries: the lock is told by the login that meets it, so each spends the PIN that it asked for. It is the
/// whole TPM's, and passes with time.
pub(crate) fn it_locks_without_a_sign_at(lab: &Lab<'_>, limit: usize) {
    for _ in 0..limit {
        assert_eq!(tries(lab), PinTries::Normal);
        assert_eq!(refused(lab), None);
    }
    is_locked(lab, &Counting::new("654321"), 1);
    assert_eq!(tries(lab), PinTries::Normal);
    is_locked(lab, &lab.pin, 1);
}

pub(crate) fn it_never_locks(lab: &Lab<'_>) {
    for _ in 0..20 {
        assert_eq!(refused(lab), None);
    }
    assert_eq!(tries(lab), PinTries::Low);
    log_in(lab, &lab.access).unwrap();
    assert_eq!(tries(lab), PinTries::Normal);
}
