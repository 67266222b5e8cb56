//! Making tokens, and their PINs.

use crate::lab::{Counting, Lab, access, objects};
use claviger_token::{
    Erase, Kek, ModuleSpec, NewKek, NewToken, PinOwner, PinTries, TokenAdmin, TokenError, TokenSummary, Uri,
    pkcs11::Pkcs11Driver,
};
use claviger_types::{OsEntropy, RecipientId};
use cryptoki::object::ObjectClass;
use softhsm_fixtures::{LABEL, PIN, Provider, SO_PIN};
use std::sync::Arc;

/// The SO PIN that openCryptoki's fixture leaves as its maker gave it.
const FACTORY_SO_PIN: &str = "87654321";
const NEW_PIN: &str = "24681012";
/// One that is long enough for kryoptic, and short enough for openCryptoki.
const LONG_PIN: &str = "12345678";
const WRONG: &str = "99999999";

fn admin(lab: &Lab<'_>) -> Pkcs11Driver {
    Pkcs11Driver::new(ModuleSpec::new(lab.instance.module()))
}

fn so_pin(lab: &Lab<'_>) -> Arc<Counting> {
    Counting::new(if lab.instance.provider() == Provider::OpenCryptoki { FACTORY_SO_PIN } else { SO_PIN })
}

fn token(lab: &Lab<'_>) -> TokenSummary {
    let tokens = lab.driver.list().unwrap();
    tokens.into_iter().find(|token| token.initialised && token.label == LABEL).unwrap()
}

fn init(lab: &Lab<'_>, so: &Counting, label: &str, erase: Erase) -> Result<TokenSummary, TokenError> {
    let uri = if label == LABEL { lab.uri.clone() } else { Uri::default() };
    admin(lab).init_token(&NewToken { uri: &uri, slot: None, label, so_pin: so, erase })
}

/// Whether a key can be made with this PIN.
fn works(lab: &Lab<'_>, uri: &Uri, pin: &'static str) -> Result<(), TokenError> {
    generate(lab, uri, pin).map(drop)
}

fn generate(lab: &Lab<'_>, uri: &Uri, pin: &'static str) -> Result<Arc<dyn Kek>, TokenError> {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let new = NewKek {
        recipient,
        label: "claviger".to_owned(),
        scheme: None,
        allow_sha1: false,
        piv: claviger_token::PivKek::default(),
    };
    Ok(lab.driver.generate(uri, &access(&Counting::new(pin)), &new)?.0)
}

pub(crate) fn a_token_is_made_and_found_again(lab: &Lab<'_>) {
    if lab.instance.provider() == Provider::Kryoptic {
        lab.instance.add_slot();
    }
    let so = Counting::new(SO_PIN);
    let before = lab.driver.list().unwrap();
    assert_eq!(before.iter().filter(|token| !token.initialised).count(), 1, "{before:#?}");
    let made = init(lab, &so, "a new one", Erase::Nothing).unwrap();
    assert_eq!((made.label.as_str(), made.initialised), ("a new one", true));
    assert_eq!(so.asked(), 1);
    assert!(before.iter().all(|token| token.uri != made.uri), "the URI is another token's");
    let listed = lab.driver.list().unwrap();
    assert!(listed.contains(&made), "{made:#?} is not in {listed:#?}");
    // tpm2-pkcs11 says that there is one, and a wrong one costs the whole TPM a try.
    if lab.instance.provider() != Provider::Tpm {
        assert!(!made.pin_set);
        let outcome = works(lab, &made.uri, NEW_PIN);
        assert!(matches!(outcome, Err(TokenError::PinUnavailable { .. })), "{outcome:?}");
    }

    let new = Counting::new(NEW_PIN);
    admin(lab).set_pin(&made.uri, so.as_ref(), new.as_ref()).unwrap();
    assert_eq!((so.asked(), new.asked()), (2, 1));
    works(lab, &made.uri, NEW_PIN).unwrap();
    assert!(token(lab).pin_set, "the other token was touched");
}

pub(crate) fn an_initialised_token_is_not_erased_unasked(lab: &Lab<'_>) {
    let (kek, _) = lab.try_generate(None).unwrap();
    let so = so_pin(lab);
    let outcome = init(lab, &so, LABEL, Erase::Nothing);
    assert!(
        matches!(&outcome, Err(TokenError::AlreadyInitialised { token }) if token == LABEL),
        "{outcome:?}"
    );
    // Without a name only what is none yet is meant.
    let outcome = init(lab, &so, "elsewhere", Erase::Nothing);
    if lab.instance.provider() == Provider::OpenCryptoki {
        assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
        assert_eq!(so.asked(), 0);
    }
    kek.self_test().unwrap();
}

pub(crate) fn keys_of_a_vault_are_not_erased_without_a_word_for_it(lab: &Lab<'_>) {
    let (kek, _) = lab.try_generate(None).unwrap();
    let (uri, so) = (lab.uri.clone(), so_pin(lab));
    let description = kek.describe().clone();
    drop(kek);
    let checked = Erase::UnlessKeys(Arc::clone(&lab.pin) as _);
    let outcome = init(lab, &so, LABEL, checked.clone());
    let Err(TokenError::KeysOnToken { token, keys }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((token.as_str(), keys), (LABEL, vec!["claviger".to_owned()]));
    assert_eq!(so.asked(), 0, "asked for what is not needed");
    let kek = lab.open_as(description.recipient, description.scheme, &description.profile).unwrap();
    kek.destroy_key().unwrap();
    drop(kek);

    let made = init(lab, &so, LABEL, checked).unwrap();
    assert!(made.initialised && !made.pin_set, "{made:?}");
    admin(lab).set_pin(&uri, so.as_ref(), Counting::new(NEW_PIN).as_ref()).unwrap();
    works(lab, &uri, NEW_PIN).unwrap();
}

pub(crate) fn everything_goes_where_that_is_said(lab: &Lab<'_>) {
    let (kek, _) = lab.try_generate(None).unwrap();
    drop(kek);
    let so = so_pin(lab);
    init(lab, &so, LABEL, Erase::Everything).unwrap();
    assert_eq!(so.asked(), 1);
    admin(lab).set_pin(&lab.uri, so.as_ref(), Counting::new(LONG_PIN).as_ref()).unwrap();
    works(lab, &lab.uri, LONG_PIN).unwrap();
    let kept = generate(lab, &lab.uri, LONG_PIN).unwrap();
    let session = lab.beside();
    let keys =
        objects(&session, ObjectClass::SECRET_KEY).len() + objects(&session, ObjectClass::PRIVATE_KEY).len();
    assert_eq!(keys, 2, "a key of the old token stayed");
    drop(kept);
}

pub(crate) fn a_token_in_use_is_not_initialised(lab: &Lab<'_>) {
    let kek = generate(lab, &lab.uri, PIN).unwrap();
    let outcome = init(lab, &so_pin(lab), LABEL, Erase::Everything);
    assert!(matches!(outcome, Err(TokenError::TokenBusy)), "{outcome:?}");
    let outcome = admin(lab).set_pin(&lab.uri, so_pin(lab).as_ref(), Counting::new(NEW_PIN).as_ref());
    assert!(matches!(outcome, Err(TokenError::TokenBusy)), "{outcome:?}");
    kek.self_test().unwrap();
}

pub(crate) fn pins_are_changed_by_who_knows_them(lab: &Lab<'_>) {
    let (uri, admin, so) = (&lab.uri, admin(lab), so_pin(lab));
    let new = Counting::new(NEW_PIN);
    // A login that others stand on is left alone.
    let kek = generate(lab, uri, PIN).unwrap();
    admin.change_pin(uri, PinOwner::User, lab.pin.as_ref(), new.as_ref()).unwrap();
    assert_eq!((lab.pin.asked(), new.asked()), (1, 1));
    let silent = Counting::new(WRONG);
    let description = kek.describe().clone();
    lab.driver.open(uri, &access(&silent), description.recipient, description.scheme, "").unwrap();
    assert_eq!(silent.asked(), 0, "the login is gone");
    drop(kek);
    works(lab, uri, NEW_PIN).unwrap();

    let new_so = Counting::new("13579111");
    admin.change_pin(uri, PinOwner::SecurityOfficer, so.as_ref(), new_so.as_ref()).unwrap();
    admin.set_pin(uri, new_so.as_ref(), Counting::new(LONG_PIN).as_ref()).unwrap();
    works(lab, uri, LONG_PIN).unwrap();
    assert_eq!(so.asked(), 1);
}

/// Not on a TPM, which a few wrong ones lock as a whole.
pub(crate) fn old_pins_are_refused_and_tried_once(lab: &Lab<'_>) {
    let (uri, admin, so) = (&lab.uri, admin(lab), so_pin(lab));
    let (wrong, new) = (Counting::new(WRONG), Counting::new(NEW_PIN));
    let outcome = admin.change_pin(uri, PinOwner::User, wrong.as_ref(), new.as_ref());
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    let outcome = admin.set_pin(uri, wrong.as_ref(), new.as_ref());
    assert!(matches!(outcome, Err(TokenError::SoPinIncorrect { .. })), "{outcome:?}");
    assert_eq!(wrong.asked(), 2);
    works(lab, uri, PIN).unwrap();
    let outcome = init(lab, &wrong, LABEL, Erase::Everything);
    assert!(matches!(outcome, Err(TokenError::SoPinIncorrect { .. })), "{outcome:?}");
    works(lab, uri, PIN).unwrap();

    admin.change_pin(uri, PinOwner::User, lab.pin.as_ref(), new.as_ref()).unwrap();
    let outcome = works(lab, uri, PIN);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    let other = Counting::new("13579111");
    admin.change_pin(uri, PinOwner::SecurityOfficer, so.as_ref(), other.as_ref()).unwrap();
    let outcome = admin.set_pin(uri, so.as_ref(), new.as_ref());
    assert!(matches!(outcome, Err(TokenError::SoPinIncorrect { .. })), "{outcome:?}");
}

/// A new PIN that the token does not take spends no try of the old one.
pub(crate) fn a_new_pin_of_a_wrong_length_is_refused_first(lab: &Lab<'_>) {
    let TokenSummary { details, .. } = token(lab);
    let short = usize::try_from(details.shortest_pin).unwrap() - 1;
    let short = Counting::new(LONG_PIN.get(..short).unwrap());
    let wrong = Counting::new(WRONG);
    for whose in [PinOwner::User, PinOwner::SecurityOfficer] {
        let outcome = admin(lab).change_pin(&lab.uri, whose, wrong.as_ref(), short.as_ref());
        assert!(matches!(outcome, Err(TokenError::NewPinRefused { .. })), "{outcome:?}");
    }
    let outcome = admin(lab).set_pin(&lab.uri, wrong.as_ref(), short.as_ref());
    assert!(matches!(outcome, Err(TokenError::NewPinRefused { .. })), "{outcome:?}");
    let after = token(lab);
    assert_eq!((after.tries, after.details.so_tries), (PinTries::Normal, PinTries::Normal));
    works(lab, &lab.uri, PIN).unwrap();
}

/// Of a module that locks: what it shows on the way, and that the SO's PIN mends it.
pub(crate) fn a_locked_pin_is_unblocked(lab: &Lab<'_>) {
    let (admin, wrong, new) = (admin(lab), Counting::new(WRONG), Counting::new(NEW_PIN));
    let mut seen = Vec::new();
    while token(lab).tries != PinTries::Locked {
        assert!(seen.len() < 20, "it never locks: {seen:?}");
        let outcome = admin.change_pin(&lab.uri, PinOwner::User, wrong.as_ref(), new.as_ref());
        assert!(
            matches!(outcome, Err(TokenError::PinIncorrect { .. } | TokenError::PinLocked)),
            "{outcome:?}"
        );
        seen.push(token(lab).tries);
    }
    assert!(seen.contains(&PinTries::Final), "the last try is not announced: {seen:?}");
    let asked = wrong.asked();
    let outcome = admin.change_pin(&lab.uri, PinOwner::User, wrong.as_ref(), new.as_ref());
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(wrong.asked(), asked, "a PIN was asked for that cannot be tried");
    admin.set_pin(&lab.uri, so_pin(lab).as_ref(), new.as_ref()).unwrap();
    assert_eq!(token(lab).tries, PinTries::Normal);
    works(lab, &lab.uri, NEW_PIN).unwrap();
}

/// The same of the SO's, which nobody can mend.
pub(crate) fn a_locked_so_pin_is_told_before_it_is_asked_for(lab: &Lab<'_>) {
    let (admin, wrong, new) = (admin(lab), Counting::new(WRONG), Counting::new(NEW_PIN));
    for tries in 0.. {
        assert!(tries < 20, "it never locks");
        match admin.set_pin(&lab.uri, wrong.as_ref(), new.as_ref()) {
            Err(TokenError::SoPinLocked) => break,
            outcome => assert!(matches!(outcome, Err(TokenError::SoPinIncorrect { .. })), "{outcome:?}"),
        }
    }
    assert_eq!(token(lab).details.so_tries, PinTries::Locked);
    let asked = wrong.asked();
    for erase in [Erase::Everything, Erase::Nothing] {
        let outcome = init(lab, &wrong, LABEL, erase);
        assert!(
            matches!(outcome, Err(TokenError::SoPinLocked | TokenError::AlreadyInitialised { .. })),
            "{outcome:?}"
        );
    }
    assert_eq!(wrong.asked(), asked);
    works(lab, &lab.uri, PIN).unwrap();
}

/// Of a module that initialises a token once and never again.
pub(crate) fn what_cannot_be_erased_is_told(lab: &Lab<'_>) {
    let outcome = init(lab, &so_pin(lab), LABEL, Erase::Everything);
    assert!(matches!(&outcome, Err(TokenError::EraseRefused { token }) if token == LABEL), "{outcome:?}");
    works(lab, &lab.uri, PIN).unwrap();
}
