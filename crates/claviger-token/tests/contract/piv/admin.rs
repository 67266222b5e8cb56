//! PIN and PUK, changed by who knows them.

use super::hands::{FIRST_PIN, Hands, Heard, Meanwhile, Person, attended, kek, with_key};
use crate::lab::Lab;
use claviger_token::{
    Erase, NewToken, PinOwner, PinSource, PinTries, TokenAdmin as _, TokenError, piv::PivDriver,
};
use softhsm_fixtures::{At, CardAction, KeySpec, PIN};
use std::sync::Arc;

const PUK: &str = "12345678";
const NEW: &str = "24681012";
const WRONG: &str = "99999999";

fn who(pin: &'static str) -> Arc<Person> {
    Person::with(pin, None)
}

fn change(lab: &Lab<'_>, whose: PinOwner, old: &dyn PinSource, new: &'static str) -> Result<(), TokenError> {
    PivDriver.change_pin(&lab.uri, whose, old, who(new).as_ref())
}

fn unblock(lab: &Lab<'_>, puk: &dyn PinSource, new: &'static str) -> Result<(), TokenError> {
    PivDriver.set_pin(&lab.uri, puk, who(new).as_ref())
}

fn gives(lab: &Lab<'_>, pin: &str) -> bool {
    Hands::on(&lab.instance.yubikey(0)).give_pin(pin) == 0x9000
}

pub(crate) fn who_knows_them_changes_them(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    change(&lab, PinOwner::User, who(PIN).as_ref(), NEW).unwrap();
    assert!(gives(&lab, NEW));
    person.heard();
    change(&lab, PinOwner::SecurityOfficer, who(PUK).as_ref(), "13579111").unwrap();
    let old = unblock(&lab, who(PUK).as_ref(), PIN);
    assert!(matches!(old, Err(TokenError::PukIncorrect { tries_left: Some(2) })), "{old:?}");
    unblock(&lab, who("13579111").as_ref(), PIN).unwrap();
    assert!(gives(&lab, PIN));
    lab.open(&made).unwrap();
    assert_eq!(Hands::on(&lab.instance.yubikey(0)).tries(0x81), 3);

    let puk = who(PUK);
    let new =
        NewToken { uri: &lab.uri, slot: None, label: "it", so_pin: puk.as_ref(), erase: Erase::Everything };
    let outcome = PivDriver.init_token(&new);
    assert!(matches!(outcome, Err(TokenError::AlreadyInitialised { .. })), "{outcome:?}");
}

pub(crate) fn wrong_ones_are_counted_and_locked_ones_not_asked_for(lab: &Lab<'_>) {
    let (user, officer) = (who(WRONG), who(WRONG));
    let due = [PinTries::Normal, PinTries::Low, PinTries::Final];
    for (left, told) in [3, 2, 1].into_iter().zip(due) {
        let outcome = change(lab, PinOwner::User, user.as_ref(), NEW);
        match outcome {
            Err(TokenError::PinIncorrect { tries_left }) => assert_eq!(tries_left, Some(left - 1)),
            Err(TokenError::PinLocked) => assert_eq!(left, 1),
            outcome => panic!("{outcome:?}"),
        }
        assert_eq!(user.heard(), [Heard::Pin { left: Some(left), tries: told }]);
    }
    let outcome = change(lab, PinOwner::User, user.as_ref(), NEW);
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(user.heard(), []);
    // The PUK mends it.
    unblock(lab, who(PUK).as_ref(), NEW).unwrap();
    assert!(gives(lab, NEW));

    for (left, told) in [3, 2, 1].into_iter().zip(due) {
        // Whichever way it is tried.
        let outcome = if left == 2 {
            change(lab, PinOwner::SecurityOfficer, officer.as_ref(), NEW)
        } else {
            unblock(lab, officer.as_ref(), PIN)
        };
        match outcome {
            Err(TokenError::PukIncorrect { tries_left }) => assert_eq!(tries_left, Some(left - 1)),
            Err(TokenError::PukLocked) => assert_eq!(left, 1),
            outcome => panic!("{outcome:?}"),
        }
        assert_eq!(officer.heard(), [Heard::Pin { left: Some(left), tries: told }]);
    }
    for _ in 0..2 {
        let outcome = unblock(lab, officer.as_ref(), PIN);
        assert!(matches!(outcome, Err(TokenError::PukLocked)), "{outcome:?}");
    }
    assert_eq!(officer.heard(), []);
    assert!(gives(lab, NEW), "the PIN is another matter");
}

pub(crate) fn a_new_one_that_cannot_be_spends_nothing(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    for new in ["12345", "123456789"] {
        for whose in [PinOwner::User, PinOwner::SecurityOfficer] {
            let outcome = change(lab, whose, who(WRONG).as_ref(), new);
            assert!(matches!(outcome, Err(TokenError::NewPinRefused { .. })), "{outcome:?}");
        }
        let outcome = unblock(lab, who(WRONG).as_ref(), new);
        assert!(matches!(outcome, Err(TokenError::NewPinRefused { .. })), "{outcome:?}");
    }
    // An old one that cannot be is not shown, either.
    let outcome = change(lab, PinOwner::User, who("123456789").as_ref(), NEW);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { tries_left: None })), "{outcome:?}");
    assert_eq!([0x80, 0x81].map(|of| Hands::on(&yubikey).tries(of)), [3, 3]);
    // One that the card finds too easy.
    yubikey.inject(0x24, At::Nth(1), CardAction::Status(0x6a80));
    let outcome = change(lab, PinOwner::User, who(PIN).as_ref(), NEW);
    assert!(matches!(outcome, Err(TokenError::NewPinRefused { .. })), "{outcome:?}");
}

/// The card that goes away while it has a PUK is not asked again by itself.
pub(crate) fn a_puk_that_was_on_its_way_is_tried_once(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    yubikey.inject(0x2c, At::Every, CardAction::RemoveAfter);
    let outcome = unblock(lab, who(WRONG).as_ref(), NEW);
    assert!(matches!(&outcome, Err(TokenError::PinInDoubt { which }) if which == "PIN"), "{outcome:?}");
    yubikey.clear();
    yubikey.insert();
    assert_eq!(Hands::on(&yubikey).tries(0x81), 2);
    // Nor one that may be another by now.
    yubikey.inject(0x24, At::Every, CardAction::RemoveAfter);
    let outcome = change(lab, PinOwner::SecurityOfficer, who(PUK).as_ref(), WRONG);
    assert!(matches!(&outcome, Err(TokenError::PinInDoubt { which }) if which == "PUK"), "{outcome:?}");
    yubikey.clear();
    yubikey.insert();
    unblock(lab, who(WRONG).as_ref(), NEW).unwrap();
}

/// Others spend tries while somebody is asked.
pub(crate) fn the_last_one_is_never_spent_unasked(lab: &Lab<'_>) {
    const LAST: Heard = Heard::Pin { left: Some(1), tries: PinTries::Final };
    let spec = KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() };
    let (older, older_key) = with_key(lab, &spec, &Person::new());
    let (lab, yubikey, _) = attended(lab);
    for (lab, yubikey) in [(&lab, &yubikey), (&older, &older_key)] {
        let user = who(PIN);
        let source = Meanwhile::spent(Arc::clone(&user) as _, yubikey, 0x80, 2);
        change(lab, PinOwner::User, &source, PIN).unwrap();
        assert_eq!(user.heard(), [FIRST_PIN, LAST]);
    }
    // It does not count what stands; then it does not stand any more.
    assert_eq!(Hands::on(&older_key).give_pin(PIN), 0x9000);
    let user = who(PIN);
    let source = Meanwhile::spent(Arc::clone(&user) as _, &older_key, 0x80, 2);
    change(&older, PinOwner::User, &source, PIN).unwrap();
    assert_eq!(user.heard(), [Heard::Pin { left: None, tries: PinTries::Normal }, LAST]);

    let officer = who(PUK);
    let source = || Meanwhile::spent(Arc::clone(&officer) as _, &yubikey, 0x81, 2);
    change(&lab, PinOwner::SecurityOfficer, &source(), PUK).unwrap();
    assert_eq!(officer.heard(), [FIRST_PIN, LAST]);
    unblock(&lab, &source(), PIN).unwrap();
    assert_eq!(officer.heard(), [FIRST_PIN, LAST]);
    assert_eq!(Hands::on(&yubikey).tries(0x81), 3);
}

/// One that does not tell its tries.
pub(crate) fn an_older_card_tells_less(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let (wrong, officer) = (who(WRONG), who(WRONG));
    let outcome = change(&lab, PinOwner::User, wrong.as_ref(), NEW);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { tries_left: Some(2) })), "{outcome:?}");
    assert_eq!(wrong.heard(), [Heard::Pin { left: Some(3), tries: PinTries::Normal }]);
    let outcome = unblock(&lab, officer.as_ref(), NEW);
    assert!(matches!(outcome, Err(TokenError::PukIncorrect { tries_left: Some(2) })), "{outcome:?}");
    assert_eq!(officer.heard(), [Heard::Pin { left: None, tries: PinTries::Normal }]);
    let mut hands = Hands::on(&yubikey);
    assert_eq!(hands.give_pin(PIN), 0x9000);
    // While the PIN stands it is not counted.
    let right = who(PIN);
    change(&lab, PinOwner::User, right.as_ref(), NEW).unwrap();
    assert_eq!(right.heard(), [Heard::Pin { left: None, tries: PinTries::Normal }]);
    assert_eq!(hands.give_pin(NEW), 0x9000);
}

/// Nor when the card then fails to say what it is.
pub(crate) fn a_wrong_one_is_tried_once_whatever_else_fails(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    for nth in 1..=5 {
        yubikey.inject(0xfd, At::Nth(nth), CardAction::Status(0x6d00));
        let outcome = change(lab, PinOwner::User, who(WRONG).as_ref(), NEW);
        yubikey.clear();
        assert!(outcome.is_err());
        assert!(Hands::on(&yubikey).tries(0x80) >= 2, "{nth}: {outcome:?}");
        assert!(gives(lab, PIN));
    }
}
