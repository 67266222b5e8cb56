//! Reaching a token: module, URI, PIN, key.

use crate::lab::{CONTEXT, Counting, Lab, access, fresh, key};
use claviger_token::{Driver as _, ModuleSpec, NewKek, PivKek, TokenError, Uri, pkcs11::Pkcs11Driver};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use softhsm_fixtures::{LABEL, Provider};

fn new_kek(scheme: Scheme) -> NewKek {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    NewKek {
        recipient,
        label: "claviger".to_owned(),
        scheme: Some(scheme),
        allow_sha1: false,
        piv: PivKek::default(),
    }
}

pub(crate) fn a_wrong_pin_is_tried_once(lab: &Lab<'_>) {
    let wrong = Counting::new("654321");
    let new = NewKek { scheme: None, ..new_kek(lab.scheme()) };
    let outcome = lab.driver.generate(&lab.uri, &access(&wrong), &new);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    assert_eq!(wrong.asked(), 1);
    // The right one still works: the wrong one did not lock anything here.
    lab.generate(lab.scheme());
}

pub(crate) fn an_absent_token_names_those_present(lab: &Lab<'_>) {
    let uri: Uri = "pkcs11:token=elsewhere".parse().unwrap();
    let outcome = lab.driver.generate(&uri, &lab.access, &new_kek(lab.scheme()));
    let Err(TokenError::TokenAbsent { uri, present }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(uri, "pkcs11:token=elsewhere");
    // NSS shows one token more, of its own.
    let here = present.iter().filter(|uri| match lab.instance.provider() {
        Provider::YubiKey => *uri == "pkcs11:serial=11111111",
        _ => uri.ends_with(&format!(";token={LABEL}")),
    });
    assert_eq!(here.count(), 1, "{present:?}");
    assert_eq!(lab.pin.asked(), 0);
}

pub(crate) fn two_tokens_with_one_label_are_told_apart_by_serial(lab: &Lab<'_>) {
    lab.instance.add_token(LABEL);
    let outcome = lab.try_generate(Some(lab.scheme()));
    let Err(TokenError::AmbiguousUri { matches, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(matches.len(), 2);
    assert_ne!(matches[0], matches[1]);
    assert_eq!(lab.pin.asked(), 0);
    for uri in matches {
        let uri: Uri = uri.parse().unwrap();
        let new = new_kek(lab.scheme());
        let (token, _) = lab.driver.generate(&uri, &lab.access, &new).unwrap();
        assert_eq!(Some(&token.describe().token_serial), uri.serial.as_ref());
    }
}

pub(crate) fn a_missing_key_is_named(lab: &Lab<'_>) {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    for scheme in Scheme::ALL {
        let outcome = lab.open_as(recipient, scheme, "");
        let Err(TokenError::KeyMissing { key }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(key, recipient.to_string());
    }
    // A key of another kind is not it, whatever its id.
    let token = lab.generate(lab.scheme());
    let other = if lab.scheme() == Scheme::EcdhEsA256Kw { Scheme::A256Kw } else { Scheme::EcdhEsA256Kw };
    let outcome = lab.open_as(token.describe().recipient, other, "");
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
}

pub(crate) fn what_is_no_module_is_unusable(lab: &Lab<'_>) {
    let text = lab.instance.pin_file();
    let other_library = "/lib/x86_64-linux-gnu/libm.so.6";
    let not_searched_for = "libsofthsm2.so";
    for path in ["/nowhere/module.so", &text.to_string_lossy(), other_library, not_searched_for] {
        let outcome = Pkcs11Driver::new(ModuleSpec::new(path)).list();
        let Err(TokenError::ModuleUnusable { module, .. }) = outcome else { panic!("{path}: {outcome:?}") };
        assert_eq!(module, path);
    }
    assert_eq!(lab.driver.list().unwrap().iter().filter(|t| t.initialised).count(), 1);
}

pub(crate) fn list_shows_what_selects(lab: &Lab<'_>) {
    lab.instance.add_token("second; token?");
    let tokens = lab.driver.list().unwrap();
    let initialised: Vec<_> = tokens.iter().filter(|token| token.initialised).collect();
    assert_eq!(initialised.len(), 2);
    for token in initialised {
        assert!(token.pin_set && !token.pin_pad && !token.serial.is_empty() && !token.model.is_empty());
        let copied: Uri = token.uri.to_string().parse().unwrap();
        assert_eq!(copied, token.uri);
        let new = new_kek(lab.scheme());
        let (made, _) = lab.driver.generate(&copied, &lab.access, &new).unwrap();
        assert_eq!(made.describe().token_label, token.label);
        assert_eq!(made.describe().token_serial, token.serial);
    }
}

pub(crate) fn a_second_key_asks_for_no_second_pin(lab: &Lab<'_>) {
    let first = lab.generate(lab.scheme());
    let second = lab.generate(lab.second_scheme());
    assert_eq!(lab.pin.asked(), 1);
    let cek = fresh();
    let wrapped = second.wrap(&cek, CONTEXT).unwrap();
    // The end of one key's sessions is not the end of the other's login.
    drop(first);
    assert!(key(&second, &wrapped).same_as(&cek));
    assert_eq!(lab.pin.asked(), 1);
    drop(second);
    let third = lab.generate(lab.scheme());
    // A card has its login of its own, and keeps it for some seconds.
    if lab.instance.provider() != Provider::YubiKey {
        assert_eq!(lab.pin.asked(), 2, "the login outlives the last session");
    }
    drop(third);
}
