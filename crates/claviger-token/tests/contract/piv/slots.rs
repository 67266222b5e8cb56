//! Where keys are made and taken, and that nothing is ever overwritten.

use super::hands::{
    Hands, MAKERS, P256, P384, Person, attended, enrol, kek, point, slot, tool, wish, with_key,
};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{Kek, PivKek, TokenError};
use claviger_types::{OsEntropy, Scheme, SignerId};
use softhsm_fixtures::{At, CardAction, KeySpec, PIN};
use std::sync::Arc;

fn in_slot(lab: &Lab<'_>, slot: &str) -> Result<Arc<dyn Kek>, TokenError> {
    Ok(enrol(lab, wish(Some(slot), "once", "never"))?.0)
}

fn existing(lab: &Lab<'_>, slot: Option<&str>) -> Result<Arc<dyn Kek>, TokenError> {
    let piv = PivKek { slot: slot.map(str::to_owned), existing: true, ..PivKek::default() };
    Ok(enrol(lab, piv)?.0)
}

pub(crate) fn an_occupied_one_is_never_overwritten(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let kept = in_slot(&lab, "9d").unwrap();
    let cek = fresh();
    let wrapped = kept.wrap(&cek, CONTEXT).unwrap();
    let mut hands = Hands::on(&yubikey);
    // Without a certificate; of another kind; imported; and a certificate alone.
    hands.generate(0x82, P256, 2, 1);
    hands.generate(0x83, P384, 2, 1);
    hands.import(0x84);
    hands.put_certificate(0x85, &[0x70, 1, 0, 0x71, 1, 0, 0xfe, 0]);
    let before = (hands.occupied(), [0x9d, 0x82, 0x85].map(|slot| hands.certificate(slot)));
    for occupied in ["9d", "82", "83", "84", "85"] {
        let outcome = in_slot(&lab, occupied);
        let Err(TokenError::SlotOccupied { slot, free }) = outcome else { panic!("{occupied}: {outcome:?}") };
        assert_eq!((slot.as_str(), free.len()), (occupied, 16));
        assert_eq!((free[0].as_str(), free[15].as_str()), ("86", "95"));
    }
    assert_eq!((hands.occupied(), [0x9d, 0x82, 0x85].map(|slot| hands.certificate(slot))), before);
    assert!(key(&kept, &wrapped).same_as(&cek));
    // And nobody comes near them who has no wish.
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x86);
}

pub(crate) fn the_first_free_one_is_taken(lab: &Lab<'_>) {
    let (lab, _, _) = attended(lab);
    let taken = [None, None, Some("90"), None].map(|wish| slot(kek(&lab, wish, "once", "never").as_ref()));
    assert_eq!(taken, [0x9d, 0x82, 0x90, 0x83]);
}

pub(crate) fn those_of_others_are_refused(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    for other in ["9a", "9c", "9e", "9b", "f9", "81", "96", "9D ", "", "x"] {
        for existing in [false, true] {
            let outcome = enrol(&lab, PivKek { existing, ..wish(Some(other), "once", "never") });
            assert!(matches!(outcome, Err(TokenError::SlotUnusable { .. })), "{other}: {outcome:?}");
        }
    }
    for (pin, touch) in [("sometimes", "never"), ("once", "twice")] {
        let outcome = enrol(&lab, wish(None, pin, touch));
        assert!(matches!(outcome, Err(TokenError::SlotUnusable { .. })), "{outcome:?}");
    }
    assert_eq!((Hands::on(&yubikey).occupied(), person.heard()), (vec![], vec![]));
}

pub(crate) fn a_full_card_says_so(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let signer = SignerId::random(&OsEntropy).unwrap();
    let made = lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer").unwrap();
    let mut hands = Hands::on(&yubikey);
    // The last, so that KEKs have the first.
    assert_eq!(hands.occupied().iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [0x95]);
    for slot in [0x9d].into_iter().chain(0x82..=0x94) {
        hands.generate(slot, P256, 2, 1);
    }
    let outcome = enrol(&lab, PivKek::default());
    assert!(matches!(outcome, Err(TokenError::TokenFull)), "{outcome:?}");
    let outcome = lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer");
    assert!(matches!(outcome, Err(TokenError::TokenFull)), "{outcome:?}");
    let outcome = in_slot(&lab, "82");
    assert!(matches!(&outcome, Err(TokenError::SlotOccupied { free, .. }) if free.is_empty()), "{outcome:?}");
    made.destroy_key().unwrap();
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x95);
}

/// Below firmware 5.7 a key is destroyed by another over it, which is marked: that slot is free.
pub(crate) fn an_overwritten_one_is_used_again(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let first = in_slot(&lab, "9d").unwrap();
    let (old, wrapped) = (point(first.as_ref()), first.wrap(&fresh(), CONTEXT).unwrap());
    first.destroy_key().unwrap();
    let mut hands = Hands::on(&yubikey);
    assert!(hands.metadata(0x9d).is_some() && hands.occupied().is_empty());
    let outcome = first.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    let second = kek(&lab, None, "once", "never");
    assert_eq!(slot(second.as_ref()), 0x9d);
    assert_ne!(point(second.as_ref()), old);
    // The mark is of that one key: another that somebody puts there is not free.
    second.destroy_key().unwrap();
    hands.generate(0x9d, P256, 2, 1);
    let outcome = in_slot(&lab, "9d");
    assert!(matches!(outcome, Err(TokenError::SlotOccupied { .. })), "{outcome:?}");
}

pub(crate) fn what_is_there_is_taken_as_it_is(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let outcome = existing(&lab, None);
    assert!(matches!(&outcome, Err(TokenError::SlotUnusable { slot, .. }) if slot == "9d"), "{outcome:?}");
    let mut hands = Hands::on(&yubikey);
    hands.generate(0x9d, P256, 2, 3);
    hands.generate(0x82, P384, 2, 1);
    hands.import(0x83);
    let before = hands.occupied();
    for unusable in ["82", "83", "84"] {
        let outcome = existing(&lab, Some(unusable));
        assert!(
            matches!(&outcome, Err(TokenError::SlotUnusable { slot, .. }) if slot == unusable),
            "{outcome:?}"
        );
    }
    // A key that fails the self-test is not the vault's, but it is its owner's.
    yubikey.inject(0x87, At::Every, CardAction::Flip(40));
    assert!(existing(&lab, None).is_err());
    yubikey.clear();
    assert_eq!(hands.occupied(), before);
    drop(hands);
    // One that another program made, with the means of its maker.
    let make = ["-a", "generate", "-s", "85", "-A", "ECCP256", "--pin-policy=always", "--touch-policy=never"];
    tool(lab.instance, "yubico-piv-tool", &make);
    let anothers = existing(&lab, Some("85")).unwrap();
    assert_eq!(anothers.describe().profile, "piv1 slot=85 pin=always touch=never");
    let mut hands = Hands::on(&yubikey);
    let before = hands.occupied();
    let taken = existing(&lab, None).unwrap();
    assert_eq!(hands.occupied(), before);
    assert_eq!(taken.describe().profile, "piv1 slot=9d pin=once touch=cached");
    let cek = fresh();
    let wrapped = taken.wrap(&cek, CONTEXT).unwrap();
    assert!(key(&lab.open(&taken).unwrap(), &wrapped).same_as(&cek));
    // It is its owner's, and not this program's to destroy.
    for key in [&taken, &lab.open(&taken).unwrap()] {
        let outcome = key.destroy_key();
        assert!(matches!(&outcome, Err(TokenError::KeyNotOurs { key }) if key == "slot 9d"), "{outcome:?}");
    }
    // Nor by another of the same card, whichever way it is opened.
    let own = kek(&lab, Some("86"), "once", "never");
    let (theirs, scheme) = (taken.describe().recipient, Scheme::EcdhEsA256Kw);
    assert!(!own.owns(theirs, scheme).unwrap() && own.owns(own.describe().recipient, scheme).unwrap());
    let outcome = own.destroy_sibling(theirs, scheme);
    assert!(matches!(outcome, Err(TokenError::KeyNotOurs { .. })), "{outcome:?}");
    own.destroy_key().unwrap();
    assert_eq!(hands.occupied(), before);
}

/// A key serves one vault, or signs: not another vault as well, which would lose it with the first.
pub(crate) fn what_is_a_vaults_already_is_refused(lab: &Lab<'_>) {
    let (lab, _, _) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let signer = SignerId::random(&OsEntropy).unwrap();
    lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer").unwrap();
    for slot in ["9d", "95"] {
        let outcome = existing(&lab, Some(slot)).map(drop);
        assert!(
            matches!(&outcome, Err(TokenError::SlotUnusable { reason, .. }) if reason.contains("program's own")),
            "{slot}: {outcome:?}"
        );
    }
    made.self_test().unwrap();
}

/// A name that begins like this program's is its owner's all the same.
pub(crate) fn what_is_only_named_alike_is_its_owners(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let serial = yubikey.serial().to_string();
    let public = tempfile::NamedTempFile::new().unwrap();
    let public = public.path().to_str().unwrap();
    let certify = |slot: &str, subject: &str| {
        let how = ["--device", &serial, "piv", "certificates", "generate", "-m", MAKERS, "-P", PIN];
        let key = ["--device", &serial, "piv", "keys", "export", slot, public];
        tool(lab.instance, "ykman", &key);
        tool(lab.instance, "ykman", &[&how[..], &["-s", subject, slot, public]].concat());
    };
    for slot in [0x9d, 0x82] {
        Hands::on(&yubikey).generate(slot, P256, 2, 1);
    }
    certify("9d", "claviger mail");
    certify("82", "claviger notes");
    // A certificate without a key.
    let mut hands = Hands::on(&yubikey);
    hands.administer();
    hands.must([0xf6, 0xff, 0x82], &[]);
    drop(hands);
    let outcome = in_slot(&lab, "82");
    assert!(matches!(outcome, Err(TokenError::SlotOccupied { .. })), "{outcome:?}");
    let taken = existing(&lab, None).unwrap();
    let (recipient, scheme) = (taken.describe().recipient, taken.describe().scheme);
    assert!(!taken.owns(recipient, scheme).unwrap());
    for outcome in [taken.destroy_key(), taken.destroy_sibling(recipient, scheme).map(drop)] {
        assert!(matches!(outcome, Err(TokenError::KeyNotOurs { .. })), "{outcome:?}");
    }
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x83);
}

/// What was made over a destroyed key goes with the next, so that it is nobody's to take.
pub(crate) fn what_takes_a_destroyed_ones_place_is_refused(lab: &Lab<'_>) {
    let (lab, _, _) = attended(lab);
    kek(&lab, None, "once", "never").destroy_key().unwrap();
    let outcome = existing(&lab, None);
    assert!(
        matches!(&outcome, Err(TokenError::SlotUnusable { reason, .. }) if reason.contains("destroyed")),
        "{outcome:?}"
    );
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x9d);
}

/// A certificate that this program left behind is in nobody's way.
pub(crate) fn what_is_left_of_a_destroyed_one_is_no_hindrance(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let made = kek(&lab, None, "once", "never");
    let mut hands = Hands::on(&yubikey);
    yubikey.inject(0xdb, At::Every, CardAction::Status(0x6f00));
    assert!(made.destroy_key().is_err(), "not all of it is done");
    yubikey.clear();
    assert_eq!(hands.occupied(), [], "the key is gone first");
    assert!(!hands.certificate(0x9d).is_empty());
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x9d);
    // Somebody else's is in the way.
    hands.put_certificate(0x82, &[0x70, 0x02, 0x30, 0x00, 0x71, 0x01, 0x00, 0xfe, 0x00]);
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x83);
}

/// A key that was made but does not pass is not left behind; and where its slot has another by then, that one is left alone.
pub(crate) fn what_does_not_pass_is_taken_away(lab: &Lab<'_>, firmware: &'static str) {
    let spec = KeySpec { firmware: Some(firmware), management: Some("3des"), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let mut hands = Hands::on(&yubikey);
    for (ins, nth, action) in [
        // Two are the management key's; then come an attack, the agreement, and the signature.
        (0x87, 4, CardAction::Status(0x6f00)),
        (0x87, 6, CardAction::Status(0x6f00)),
        (0x87, 8, CardAction::Status(0x6f00)),
        (0xdb, 1, CardAction::Status(0x6a84)),
        (0x47, 1, CardAction::Length(1)),
        (0x47, 1, CardAction::Flip(100)),
        (0x47, 1, CardAction::After(0x6f00)),
    ] {
        yubikey.inject(ins, At::Nth(nth), action);
        let outcome = enrol(&lab, wish(None, "once", "never"));
        assert!(outcome.is_err(), "{firmware}: {ins:02x}, {action:?}");
        yubikey.clear();
        assert_eq!(hands.occupied(), [], "{firmware}: {ins:02x}, {action:?}: {outcome:?}");
    }
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x9d);
}
