//! The card, its login, its key or its service goes away, between two uses and in the middle of one.

use super::hands::{FIRST_PIN, Hands, Heard, P256, Person, attended, enrol, kek, wish, with_key};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{Driver as _, TokenError, piv::PivDriver};
use softhsm_fixtures::{At, CardAction, KeySpec, PcscFault};
use std::fs;

const RESET_CARD: u32 = 0x8010_0068;

/// Whatever the card forgets, it is told once more; and that costs one PIN.
pub(crate) fn reset_by_another_program(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    Hands::on(&yubikey).reset();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN]);
    // In the middle of a command, unknown to pcscd; then known to it.
    yubikey.inject(0x87, At::Nth(1), CardAction::Reset);
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN]);
    yubikey.clear();
    for command in ["begin", "transmit"] {
        lab.instance.pcsc_faults().inject(command, At::Nth(1), PcscFault::Instead(RESET_CARD));
        assert!(key(&made, &wrapped).same_as(&cek));
        assert_eq!(person.heard(), [], "the PIN stands");
        lab.instance.pcsc_faults().clear();
    }
    // An enrolment that has not begun begins with that.
    Hands::on(&yubikey).reset();
    kek(&lab, None, "once", "never");
    assert_eq!(person.heard(), [FIRST_PIN]);
}

pub(crate) fn pulled_in_the_middle(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    for action in [CardAction::Remove, CardAction::RemoveAfter] {
        yubikey.inject(0x87, At::Nth(1), action);
        for _ in 0..2 {
            let outcome = made.unwrap(&wrapped, CONTEXT);
            assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
        }
        assert_eq!(person.heard(), []);
        yubikey.clear();
        yubikey.insert();
        assert!(key(&made, &wrapped).same_as(&cek));
        assert_eq!(person.heard(), [FIRST_PIN]);
    }
    // While a key is made: what is there when the card is back is in nobody's way.
    for action in [CardAction::Remove, CardAction::RemoveAfter] {
        yubikey.inject(0x47, At::Nth(1), action);
        let outcome = enrol(&lab, wish(None, "once", "never"));
        assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
        yubikey.clear();
        yubikey.insert();
    }
    assert!(key(&made, &wrapped).same_as(&cek));
    kek(&lab, None, "once", "never");
}

/// Open files of this process.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn the_service_stops_and_starts(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    lab.instance.stop_pcscd();
    let outcome = made.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::CardServiceDown)), "{outcome:?}");
    let outcome = lab.driver.list();
    assert!(matches!(outcome, Err(TokenError::CardServiceDown)), "{outcome:?}");
    let outcome = lab.open(&made).map(drop);
    assert!(matches!(outcome, Err(TokenError::CardServiceDown)), "{outcome:?}");
    assert_eq!(person.heard(), []);
    lab.instance.start_pcscd();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN]);
    let files = open_files();
    for _ in 0..3 {
        lab.instance.restart_pcscd();
        assert!(key(&made, &wrapped).same_as(&cek));
        assert_eq!(person.heard(), [FIRST_PIN]);
    }
    assert_eq!(open_files(), files, "connections are left open");
}

/// For a key that somebody put in its place nobody is asked for anything.
pub(crate) fn another_key_in_its_slot(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() };
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &spec, &person);
    for (policy, other) in [("never", 1), ("always", 1), ("cached", 2), ("always", 2)] {
        for stands in [true, false] {
            let made = kek(&lab, Some("82"), "once", policy);
            let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
            let mut hands = Hands::on(&yubikey);
            hands.generate(0x82, P256, 2, other);
            if stands {
                drop(hands);
            } else {
                hands.reset();
            }
            person.heard();
            yubikey.reset_counts();
            let outcome = made.unwrap(&wrapped, CONTEXT);
            assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{policy}, {stands}: {outcome:?}");
            assert_eq!(person.heard(), [], "{policy}, {stands}");
            let outcome = lab.open(&made).map(drop);
            assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
            assert_eq!(person.heard(), []);
            free(&yubikey);
        }
    }
}

fn free(yubikey: &softhsm_fixtures::YubiKey) {
    let mut hands = Hands::on(yubikey);
    hands.administer();
    hands.must([0xf6, 0xff, 0x82], &[]);
    hands.put_certificate(0x82, &[]);
}

/// The same where the slot is empty, and where another program moved the key.
pub(crate) fn it_is_found_where_it_was_moved(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() };
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &spec, &person);
    for (touch, told) in [("never", vec![]), ("always", vec![Heard::Touch])] {
        let made = kek(&lab, Some("9d"), "once", touch);
        let cek = fresh();
        let wrapped = made.wrap(&cek, CONTEXT).unwrap();
        Hands::on(&yubikey).move_key(0x9d, 0x95);
        person.heard();
        assert!(key(&made, &wrapped).same_as(&cek));
        assert_eq!(person.heard(), told, "{touch}");
        let again = lab.open(&made).unwrap();
        assert_eq!(again.describe().key_label, "slot 95");
        // And another was put where it had been.
        Hands::on(&yubikey).generate(0x9d, P256, 2, 1);
        assert!(key(&made, &wrapped).same_as(&cek));
        Hands::on(&yubikey).move_key(0x95, 0x83);
        assert!(key(&again, &wrapped).same_as(&cek));
        made.destroy_key().unwrap();
        let outcome = again.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
        let mut hands = Hands::on(&yubikey);
        assert_eq!(hands.occupied().iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0x9d]);
        hands.administer();
        hands.must([0xf6, 0xff, 0x9d], &[]);
        hands.put_certificate(0x9d, &[]);
    }
}

/// The certificate that stays where a key was moved from is what says whose the key is: no other key is made there.
pub(crate) fn a_moved_key_stays_known(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() };
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &spec, &person);
    let moved = kek(&lab, Some("9d"), "once", "never");
    Hands::on(&yubikey).move_key(0x9d, 0x95);
    let next = kek(&lab, None, "once", "never");
    assert_eq!(next.describe().key_label, "slot 82");
    moved.destroy_key().unwrap();
    // With the key gone, its certificate is in nobody's way.
    let last = kek(&lab, None, "once", "never");
    assert_eq!(last.describe().key_label, "slot 9d");
}

/// A key that could not be taken out again holds its slot, and whoever is beside it is told.
pub(crate) fn a_key_that_stays_is_spoken_of(lab: &Lab<'_>) {
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &KeySpec { management: Some("3des"), ..KeySpec::default() }, &person);
    // PUT DATA: at its certificate.
    yubikey.inject(0xdb, At::Nth(1), CardAction::Remove);
    let outcome = enrol(&lab, wish(Some("82"), "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
    assert!(person.heard().contains(&Heard::Stayed(0x82)));
    yubikey.clear();
    yubikey.insert();
    assert!(Hands::on(&yubikey).metadata(0x82).is_some());
    // One that goes again is not.
    yubikey.inject(0xdb, At::Nth(1), CardAction::Status(0x6f00));
    let outcome = enrol(&lab, wish(Some("83"), "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::CardFailed { .. })), "{outcome:?}");
    assert!(person.heard().iter().all(|heard| !matches!(heard, Heard::Stayed(_))));
}

/// One that is pulled while it is listed does not hide the others, and one without a PUK shows itself.
pub(crate) fn the_others_are_listed(lab: &Lab<'_>) {
    /// GET METADATA: of a card's PIN, then of its PUK.
    const LOOK: u8 = 0xf7;
    let (first, second) = (lab.instance.yubikey(0), lab.instance.add_yubikey(&KeySpec::default()));
    let list = || PivDriver.list().unwrap();
    let serials = || list().into_iter().map(|token| token.serial).collect::<Vec<_>>();
    assert_eq!(serials(), [first.serial(), second.serial()].map(|serial| serial.to_string()));
    first.inject(LOOK, At::Nth(2), CardAction::Status(0x6a88));
    assert_eq!(list().iter().map(|token| token.details.so_tries_left).collect::<Vec<_>>(), [None, Some(3)]);
    first.clear();
    first.inject(LOOK, At::Nth(1), CardAction::Remove);
    assert_eq!(serials(), [second.serial().to_string()]);
    first.clear();
}
