//! More than one key plugged in: the right one is known by the public half.

use super::hands::{FIRST_PIN, Person, enrol, kek, lab_of, wish, with_key};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{TokenError, Uri};
use claviger_types::{Digest, OsEntropy, SignerId};
use softhsm_fixtures::KeySpec;

pub(crate) fn a_key_is_found_on_whichever_it_is(lab: &Lab<'_>) {
    let person = Person::new();
    let (there, second) = with_key(lab, &KeySpec::default(), &person);
    let here = lab_of(lab, &lab.instance.yubikey(0), &person);
    let anywhere = Lab { uri: Uri::default(), ..lab_of(lab, &second, &person) };
    let made = kek(&there, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    let signer = SignerId::random(&OsEntropy).unwrap();
    let signer = lab.driver.generate_signer(&there.uri, &there.access, signer, "signer").unwrap();
    let gone: Uri = "pkcs11:serial=4711".parse().unwrap();
    let elsewhere = Lab { uri: gone, ..lab_of(lab, &second, &person) };
    for lab in [&there, &here, &anywhere, &elsewhere] {
        let opened = lab.open(&made).unwrap();
        assert_eq!(opened.describe().token_serial, second.serial().to_string());
        assert!(key(&opened, &wrapped).same_as(&cek));
        let opened = lab.driver.open_signer(&lab.uri, &lab.access, signer.id()).unwrap();
        opened.sign(&Digest::of(b"text")).unwrap();
    }
    assert_eq!(person.heard(), [FIRST_PIN], "the login is the card's");

    let outcome = enrol(&anywhere, wish(None, "once", "never")).map(drop);
    let Err(TokenError::AmbiguousUri { matches, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(matches.len(), 2);
    for (uri, index) in matches.iter().zip([0, 1]) {
        let serial = lab.instance.yubikey(index).serial().to_string();
        assert!(matches.iter().any(|uri| uri.contains(&format!("serial={serial}"))), "{matches:?}");
        let one = Lab { uri: uri.parse().unwrap(), ..lab_of(lab, &second, &person) };
        kek(&one, None, "once", "never");
    }
    let outcome = enrol(&elsewhere, wish(None, "once", "never")).map(drop);
    let Err(TokenError::TokenAbsent { present, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(present.len(), 2);

    let serials: Vec<_> = lab.driver.list().unwrap().into_iter().map(|token| token.serial).collect();
    assert_eq!(serials.len(), 2);
    assert!(serials.contains(&second.serial().to_string()), "{serials:?}");
}

pub(crate) fn one_is_pulled_while_the_other_works(lab: &Lab<'_>) {
    let person = Person::new();
    let (there, second) = with_key(lab, &KeySpec::default(), &person);
    let here = lab_of(lab, &lab.instance.yubikey(0), &person);
    let [kept, pulled] = [&here, &there].map(|lab| kek(lab, None, "once", "never"));
    let cek = fresh();
    let [to_kept, to_pulled] = [&kept, &pulled].map(|token| token.wrap(&cek, CONTEXT).unwrap());
    person.heard();
    second.remove();
    assert!(key(&kept, &to_kept).same_as(&cek));
    let outcome = pulled.unwrap(&to_pulled, CONTEXT);
    let Err(TokenError::TokenAbsent { present, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(present.len(), 1, "{present:?}");
    assert_eq!(lab.driver.list().unwrap().len(), 1);
    let outcome = there.open(&pulled).map(drop);
    assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
    assert!(key(&kept, &to_kept).same_as(&cek));
    assert_eq!(person.heard(), []);
    second.insert();
    assert!(key(&pulled, &to_pulled).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN]);
}
