//! Several keys on one token behind one login: made, found, destroyed.

use crate::lab::{CONTEXT, Counting, Lab, access, fresh, key};
use claviger_token::{NewKek, NewKey, TokenError, Unwrapped};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use cryptoki::object::ObjectClass;
use softhsm_fixtures::Provider;

pub(crate) fn a_sibling_is_found_without_a_second_pin(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    for &scheme in lab.schemes() {
        let made = lab.generate(scheme);
        let cek = fresh();
        let wrapped = made.wrap(&cek, CONTEXT).unwrap();
        let recipient = made.describe().recipient;
        drop(made);
        let sibling = first.sibling(recipient, scheme).unwrap();
        assert_eq!((sibling.describe().recipient, sibling.describe().scheme), (recipient, scheme));
        assert_eq!(sibling.describe().token_serial, first.describe().token_serial);
        match sibling.unwrap(&wrapped, CONTEXT).unwrap() {
            Unwrapped::Key(key) => assert!(key.same_as(&cek)),
            Unwrapped::NotMine => panic!("{scheme}: not mine"),
        }
        let again = sibling.wrap(&cek, CONTEXT).unwrap();
        assert!(matches!(sibling.unwrap(&again, CONTEXT), Ok(Unwrapped::Key(key)) if key.same_as(&cek)));
        assert!(sibling.sibling(first.describe().recipient, lab.scheme()).is_ok(), "the way back");
    }
    assert_eq!(lab.pin.asked(), 1);
}

pub(crate) fn a_sibling_that_is_not_there_is_missing(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    let absent = RecipientId::random(&OsEntropy).unwrap();
    for scheme in Scheme::ALL {
        let outcome = first.sibling(absent, scheme).map(|_| ());
        assert!(
            matches!(&outcome, Err(TokenError::KeyMissing { key }) if *key == absent.to_string()),
            "{outcome:?}"
        );
    }
    assert_eq!(lab.pin.asked(), 1);
}

/// The URI of the first key names it by label and id, which must not be asked of the second.
pub(crate) fn what_the_uri_says_of_one_key_is_not_said_of_its_sibling(lab: &Lab<'_>) {
    let last = lab.schemes().last().copied().unwrap();
    let (made, other) = (lab.generate(lab.scheme()), lab.generate(last));
    let (recipient, other) = (made.describe().recipient, other.describe().recipient);
    let uri = claviger_token::Uri {
        id: Some(recipient.as_bytes().to_vec()),
        object: Some("claviger".to_owned()),
        object_type: Some(if lab.scheme().is_symmetric() { "secret-key" } else { "private" }.to_owned()),
        ..lab.uri.clone()
    };
    let first = lab.driver.open(&uri, &lab.access, recipient, lab.scheme(), "").unwrap();
    let sibling = first.sibling(other, last).unwrap();
    assert_eq!(sibling.describe().recipient, other);
}

/// The login belongs to the token, not to whoever asked for it first.
pub(crate) fn a_second_enrolment_asks_for_no_pin(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    let silent = Counting::new("000000");
    let new = NewKek {
        recipient: RecipientId::random(&OsEntropy).unwrap(),
        label: "the next one".to_owned(),
        scheme: None,
        allow_sha1: lab.scheme() == Scheme::RsaOaepSha1,
        piv: claviger_token::PivKek::default(),
    };
    let (second, _) = lab.driver.generate(&lab.uri, &access(&silent), &new).unwrap();
    assert_eq!((lab.pin.asked(), silent.asked()), (1, 0));
    let cek = fresh();
    let wrapped = second.wrap(&cek, CONTEXT).unwrap();
    drop(first);
    assert!(key(&second, &wrapped).same_as(&cek));
    assert_eq!(silent.asked(), 0);
}

pub(crate) fn a_sibling_is_made_without_a_second_pin(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    for &scheme in lab.schemes() {
        let new = NewKey {
            recipient: RecipientId::random(&OsEntropy).unwrap(),
            label: "the next one".to_owned(),
            scheme,
        };
        let made = first.generate_sibling(&new).unwrap();
        let description = made.describe();
        assert_eq!(description.scheme, scheme);
        let recipient = description.recipient;
        // A card has no place for either name.
        if lab.instance.provider() != Provider::YubiKey {
            assert_eq!((recipient, description.key_label.as_str()), (new.recipient, "the next one"));
        }
        let cek = fresh();
        let wrapped = made.wrap(&cek, CONTEXT).unwrap();
        drop(made);
        let again = lab.open_as(recipient, scheme, "").unwrap();
        assert!(key(&again, &wrapped).same_as(&cek));
    }
    assert_eq!(lab.pin.asked(), 1);
}

/// A PIN that one was refused with, the other does not spend a try on.
pub(crate) fn a_refused_pin_is_refused_for_all_siblings(lab: &Lab<'_>) {
    let made = lab.generate(lab.scheme());
    let description = made.describe().clone();
    let wrong = Counting::new("000000");
    let open = |recipient, scheme| {
        lab.driver.open(&lab.uri, &access(&wrong), recipient, scheme, &description.profile)
    };
    let first = open(description.recipient, description.scheme).unwrap();
    let sibling = first.sibling(description.recipient, description.scheme).unwrap();
    let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
    lab.lose_login();
    for token in [first.as_ref() as &dyn claviger_token::Token, sibling.as_ref()] {
        let outcome = token.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    }
    let outcome = first.sibling(description.recipient, description.scheme).map(|_| ());
    if lab.instance.provider() != Provider::YubiKey {
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    }
    assert_eq!(wrong.asked(), 1);
}

pub(crate) fn a_destroyed_sibling_is_gone_and_the_other_stays(lab: &Lab<'_>) {
    let first = lab.generate(lab.second_scheme());
    for &scheme in lab.schemes() {
        let made = lab.generate(scheme);
        let recipient = made.describe().recipient;
        let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
        assert!(first.destroy_sibling(recipient, scheme).unwrap(), "{scheme}");
        assert!(!first.destroy_sibling(recipient, scheme).unwrap(), "{scheme}: twice");
        let outcome = first.sibling(recipient, scheme).map(|_| ());
        assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{scheme}: {outcome:?}");
        let outcome = made.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{scheme}: {outcome:?}");
    }
    let classes = [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];
    let left: usize = classes.into_iter().map(|class| lab.count(class)).sum();
    // A card has pairs alone, and counts them once.
    let whole = first.describe().scheme.is_symmetric() || lab.instance.provider() == Provider::YubiKey;
    let due = if whole { 1 } else { 2 };
    assert_eq!(left, due, "a half stays, or another key went with it");
    let cek = fresh();
    assert!(key(&first, &first.wrap(&cek, CONTEXT).unwrap()).same_as(&cek));
    assert_eq!(lab.pin.asked(), 1);
}

/// After one was destroyed, tpm2-pkcs11 gives the next key a handle that another has. It may then say that it cannot make
/// one, but the other stays.
pub(crate) fn what_is_made_and_destroyed_is_never_anothers(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    let keeper = lab.generate(lab.scheme());
    let cek = fresh();
    let wrapped = keeper.wrap(&cek, CONTEXT).unwrap();
    first.destroy_key().unwrap();
    drop(first);
    for _ in 0..3 {
        match lab.try_generate(Some(lab.scheme())) {
            Ok((next, _)) => next.destroy_key().unwrap(),
            Err(error) => {
                assert_eq!(lab.instance.provider(), Provider::Tpm, "{error}");
                assert!(error.to_string().contains("two objects have one handle"), "{error}");
            }
        }
        assert!(key(&keeper, &wrapped).same_as(&cek));
    }
    assert!(key(&lab.open(&keeper).unwrap(), &wrapped).same_as(&cek));
}

/// Without the login a search shows no private key. That must not pass for its absence.
pub(crate) fn a_lost_login_is_no_proof_of_absence(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    let second = lab.generate(lab.second_scheme()).describe().recipient;
    lab.lose_login();
    assert!(first.destroy_sibling(second, lab.second_scheme()).unwrap());
    // Of a card all may be asked what keys it has.
    let due = if lab.instance.provider() == Provider::YubiKey { 1 } else { 2 };
    assert_eq!(lab.pin.asked(), due);
}
