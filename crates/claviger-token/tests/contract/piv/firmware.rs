//! The same on each generation of cards, and what they attest.

use super::hands::{FIRST_PIN, Hands, MAKERS, Person, enrol, kek, lab_of, point, slot, tool, wish, with_key};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{
    NewKey, PivKek, TokenError, Unwrapped,
    piv::{
        PinPolicy, PivDriver, TouchPolicy,
        attestation::{Roots, verify},
    },
};
use claviger_types::{Digest, OsEntropy, RecipientId, Scheme, SignerId};
use softhsm_fixtures::{KeySpec, PIN, YubiKey};
use std::fs;

/// The whole life of a key.
pub(crate) fn keys_live_on_it(lab: &Lab<'_>, firmware: &'static str) {
    let person = Person::new();
    let spec = KeySpec { firmware: Some(firmware), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &person);
    let made = kek(&lab, None, "once", "never");
    assert_eq!(person.heard(), [FIRST_PIN], "{firmware}");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    assert!(key(&made, &wrapped).same_as(&cek));
    Hands::on(&yubikey).reset();
    let recipient = made.describe().recipient;
    for profile in [made.describe().profile.as_str(), "", "piv9 of another time"] {
        let opened = lab.open_as(recipient, Scheme::EcdhEsA256Kw, profile).unwrap();
        assert!(key(&opened, &wrapped).same_as(&cek), "{firmware}");
    }
    assert_eq!(person.heard(), [FIRST_PIN], "{firmware}");
    let new = NewKey {
        recipient: RecipientId::random(&OsEntropy).unwrap(),
        label: "the next".to_owned(),
        scheme: Scheme::EcdhEsA256Kw,
    };
    let next = made.generate_sibling(&new).unwrap().describe().recipient;
    let sibling = made.sibling(next, Scheme::EcdhEsA256Kw).unwrap();
    let to_it = sibling.wrap(&cek, CONTEXT).unwrap();
    assert!(matches!(sibling.unwrap(&to_it, CONTEXT), Ok(Unwrapped::Key(key)) if key.same_as(&cek)));
    assert!(made.destroy_sibling(next, Scheme::EcdhEsA256Kw).unwrap());
    let signer = SignerId::random(&OsEntropy).unwrap();
    let signer = lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer").unwrap();
    let again = lab.driver.open_signer(&lab.uri, &lab.access, signer.id()).unwrap();
    again.sign(&Digest::of(b"text")).unwrap();
    signer.destroy_key().unwrap();
    assert!(matches!(again.sign(&Digest::of(b"text")), Err(TokenError::KeyMissing { .. })), "{firmware}");
    assert!(key(&made, &wrapped).same_as(&cek));
    made.destroy_key().unwrap();
    let outcome = made.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{firmware}: {outcome:?}");
    assert_eq!(person.heard(), [], "{firmware}");
    let listed = lab.driver.list().unwrap();
    let listed = listed.iter().find(|token| token.serial == yubikey.serial().to_string()).unwrap();
    assert_eq!(listed.details.firmware, firmware);
    assert!(listed.details.pin_is_due);
    // Its slot is the next one's.
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x9d, "{firmware}");
}

fn roots(yubikey: &YubiKey) -> Roots {
    let pem = fs::read(yubikey.attestation_root()).unwrap();
    Roots::none().with(&der::pem::decode_vec(&pem).unwrap().1).unwrap()
}

pub(crate) fn what_it_attests_is_verified(lab: &Lab<'_>, firmware: &'static str) {
    let spec = KeySpec { firmware: Some(firmware), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let made = kek(&lab, Some("83"), "always", "cached");
    let info = PivDriver.key_info(&lab.uri, made.describe().recipient).unwrap();
    let (statement, by) = info.attestation.unwrap();
    let attested = verify(&statement, &by, &roots(&yubikey)).unwrap();
    assert_eq!(attested.public_key, point(made.as_ref()));
    assert_eq!((attested.slot, attested.serial), (0x83, Some(yubikey.serial())));
    assert_eq!(
        (attested.pin_policy, attested.touch_policy),
        (PinPolicy::Always, TouchPolicy::Cached),
        "{firmware}"
    );
    let (major, minor, patch) = attested.firmware;
    assert_eq!(format!("{major}.{minor}.{patch}"), firmware);
    assert!(verify(&statement, &by, &Roots::yubico()).is_err());
    let recipient = PivDriver.recipient_in(&lab.uri, info.slot).unwrap();
    assert_eq!(recipient, Some(made.describe().recipient));
}

fn older() -> KeySpec {
    KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() }
}

/// One that does not tell what is in its slots: whatever is made there could be over another's key.
pub(crate) fn an_older_card_is_given_no_key(lab: &Lab<'_>) {
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &older(), &person);
    let mut hands = Hands::on(&yubikey);
    // Brought there, and without a certificate: it cannot be seen at all.
    hands.import(0x9d);
    yubikey.reset_counts();
    for slot in [None, Some("82")] {
        let outcome = enrol(&lab, wish(slot, "once", "never")).map(drop);
        let Err(TokenError::FirmwareTooOld { firmware }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(firmware, "5.2.4");
    }
    let signer = SignerId::random(&OsEntropy).unwrap();
    let outcome = lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer").map(drop);
    assert!(matches!(outcome, Err(TokenError::NoScheme { .. })), "{outcome:?}");
    for slot in [None, Some("9d"), Some("82")] {
        let outcome = enrol(&lab, PivKek { existing: true, ..wish(slot, "once", "never") }).map(drop);
        assert!(
            matches!(&outcome, Err(TokenError::SlotUnusable { reason, .. }) if reason.contains("certificate")),
            "{outcome:?}"
        );
    }
    let writing = |ins: &u8| [0x47, 0xdb, 0xfe, 0xf6].contains(ins);
    assert!(!yubikey.counts().keys().any(writing), "{:x?}", yubikey.counts());
    assert_eq!(person.heard(), [], "and nobody was asked for a PIN in vain");
}

/// A key that its owner made, with a certificate: it is used as it is, and stays.
pub(crate) fn an_older_card_lends_the_key_that_it_shows(lab: &Lab<'_>) {
    let person = Person::new();
    let (lab, yubikey) = with_key(lab, &older(), &person);
    let serial = yubikey.serial().to_string();
    let public = tempfile::NamedTempFile::new().unwrap();
    let public = public.path().to_str().unwrap();
    let ykman = |more: &[&str]| tool(lab.instance, "ykman", &[&["--device", &serial, "piv"], more].concat());
    let how = ["-a", "ECCP256", "--pin-policy", "ONCE", "--touch-policy", "NEVER", "9d", public];
    ykman(&[&["keys", "generate", "-m", MAKERS], &how[..]].concat());
    ykman(&["certificates", "generate", "-m", MAKERS, "-P", PIN, "-s", "its owner", "9d", public]);
    let existing =
        || enrol(&lab, PivKek { existing: true, ..wish(None, "once", "never") }).map(|(key, _)| key);
    let made = existing().unwrap();
    assert_eq!(made.describe().profile, "piv1 slot=9d pin=once touch=never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    let recipient = made.describe().recipient;
    for profile in [made.describe().profile.as_str(), "", "piv9 of another time"] {
        let opened = lab.open_as(recipient, Scheme::EcdhEsA256Kw, profile).unwrap();
        assert!(key(&opened, &wrapped).same_as(&cek));
        let outcome = opened.destroy_key();
        assert!(matches!(outcome, Err(TokenError::KeyNotOurs { .. })), "`{profile}`: {outcome:?}");
    }
    let info = PivDriver.key_info(&lab.uri, recipient).unwrap();
    let (statement, by) = info.attestation.unwrap();
    let attested = verify(&statement, &by, &roots(&yubikey)).unwrap();
    assert_eq!(attested.public_key, point(made.as_ref()));
    assert_eq!(attested.firmware, (5, 2, 4));
    let listed = lab.driver.list().unwrap();
    let listed = listed.iter().find(|token| token.serial == serial).unwrap();
    assert!(!listed.details.pin_is_due, "it does not tell whose its PIN is");
    let outcome = made.destroy_sibling(recipient, Scheme::EcdhEsA256Kw);
    assert!(matches!(outcome, Err(TokenError::KeyNotOurs { .. })), "{outcome:?}");
    assert!(key(&made, &wrapped).same_as(&cek), "and it stays");
    // Somebody takes the certificate away: the key is not to be found any more, but it was known; and it is not gone.
    Hands::on(&yubikey).put_certificate(0x9d, &[]);
    let info = PivDriver.key_info(&lab.uri, recipient).map(drop);
    for outcome in [lab.open(&made).map(drop), made.destroy_key(), info] {
        let Err(error @ TokenError::CardFailed { .. }) = outcome else { panic!("{outcome:?}") };
        assert!(error.to_string().contains("5.2.4") && error.to_string().contains("not known"), "{error}");
    }
    let outcome = made.destroy_sibling(recipient, Scheme::EcdhEsA256Kw);
    assert!(matches!(outcome, Err(TokenError::KeyNotOurs { .. })), "{outcome:?}");
    assert!(!made.owns(recipient, Scheme::EcdhEsA256Kw).unwrap());
    // To whoever looks for one to use it has none; and a card that tells what it has is no other than before.
    let outcome = made.sibling(recipient, Scheme::EcdhEsA256Kw).map(drop);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    let outcome = lab_of(&lab, &lab.instance.yubikey(0), &person).open(&made).map(drop);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    assert!(key(&made, &wrapped).same_as(&cek));
}
