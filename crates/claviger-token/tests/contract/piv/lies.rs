//! Cards that say yes to what they must refuse, or do not do what they say: none of their keys becomes a vault's.

use super::hands::{FIRST_PIN, Hands, Person, attended, enrol, kek, wish, with_key};
use crate::lab::Lab;
use claviger_token::TokenError;
use softhsm_fixtures::{At, CardAction, KeySpec};

/// GENERAL AUTHENTICATE, PUT DATA, GENERATE ASYMMETRIC KEY PAIR.
const USE: u8 = 0x87;
const WRITE: u8 = 0xdb;
const MAKE: u8 = 0x47;

/// Firmware that can take a key out.
const TIDY: &str = "5.7.1";

fn refused(outcome: Result<impl Sized, TokenError>) -> String {
    match outcome.map(drop) {
        Err(TokenError::Refused { finding }) => finding,
        outcome => panic!("{outcome:?}"),
    }
}

/// The key's policy is that it does.
pub(crate) fn one_that_wants_no_pin_is_refused(lab: &Lab<'_>) {
    let person = Person::new();
    let spec = KeySpec { firmware: Some(TIDY), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &person);
    for policy in ["once", "always"] {
        // Two are for the management key.
        yubikey.inject(USE, At::Nth(3), CardAction::Secret);
        let finding = refused(enrol(&lab, wish(None, policy, "never")));
        yubikey.clear();
        assert!(finding.contains("without the PIN"), "{policy}: {finding}");
        assert_eq!(person.heard(), [FIRST_PIN], "{policy}");
        assert_eq!(Hands::on(&yubikey).occupied(), [], "{policy}");
    }
    kek(&lab, None, "never", "never");
    assert_eq!(person.heard(), []);
}

/// Each such answer would tell a part of the private key.
pub(crate) fn one_that_agrees_with_any_point_is_refused(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    yubikey.reset_counts();
    made.self_test().unwrap();
    // The attack is its last use.
    yubikey.inject(USE, At::Nth(yubikey.counts()[&USE]), CardAction::Secret);
    let finding = refused(made.self_test());
    yubikey.clear();
    assert!(finding.contains("not on the curve"), "{finding}");
    made.self_test().unwrap();
}

/// The certificate by which other programs know that the slot is in use.
pub(crate) fn one_that_only_says_that_it_wrote_is_refused(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some(TIDY), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    yubikey.inject(WRITE, At::Every, CardAction::Status(0x9000));
    let outcome = enrol(&lab, wish(None, "once", "never"));
    assert!(outcome.is_err());
    yubikey.clear();
    assert_eq!(Hands::on(&yubikey).occupied(), []);
}

/// It took the host's word for the management key, and has another.
pub(crate) fn one_that_does_not_prove_its_management_key_gets_none(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    yubikey.reset_counts();
    yubikey.inject(USE, At::Nth(2), CardAction::Flip(40));
    let outcome = enrol(&lab, wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::ManagementKeyIncorrect)), "{outcome:?}");
    assert_eq!(yubikey.counts().get(&MAKE), None);
    assert_eq!(person.heard(), [FIRST_PIN]);
}
