//! The same on each generation of cards, and what they attest.

use super::hands::{FIRST_PIN, Hands, Person, kek, point, slot, with_key};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{
    NewKey, TokenError, Unwrapped,
    piv::{
        PinPolicy, PivDriver, TouchPolicy,
        attestation::{Roots, verify},
    },
};
use claviger_types::{Digest, OsEntropy, RecipientId, Scheme, SignerId};
use softhsm_fixtures::{KeySpec, YubiKey};
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
    assert_eq!(listed.details.pin_is_due, firmware != "5.2.4");
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

/// A key that was made for another program, on a card that does not tell what is in its slots.
pub(crate) fn an_older_card_shows_a_key_by_its_certificate(lab: &Lab<'_>) {
    let spec = KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() };
    let (lab, yubikey) = with_key(lab, &spec, &Person::new());
    let mut hands = Hands::on(&yubikey);
    // One without a certificate shows by what the card attests of it.
    hands.generate(0x9d, super::hands::P256, 2, 1);
    let made = kek(&lab, None, "once", "never");
    assert_eq!(slot(made.as_ref()), 0x82);
    let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
    // Somebody takes the certificate away: the key is not to be found any more, and is not overwritten either.
    hands.put_certificate(0x82, &[]);
    let outcome = lab.open(&made).map(drop);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    assert!(made.unwrap(&wrapped, CONTEXT).is_ok());
    assert_eq!(slot(kek(&lab, None, "once", "never").as_ref()), 0x83);
}
