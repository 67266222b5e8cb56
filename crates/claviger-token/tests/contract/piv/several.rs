//! More than one key plugged in: the right one is known by the public half.

use super::hands::{FIRST_PIN, Hands, Person, enrol, kek, lab_of, wish, with_key};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{TokenError, Uri};
use claviger_types::{Digest, OsEntropy, SignerId};
use softhsm_fixtures::{At, KeySpec, PcscFault};

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

/// Another may fit as well, and cannot be seen.
pub(crate) fn the_only_one_that_is_seen_is_not_taken_for_the_only_one(lab: &Lab<'_>) {
    let person = Person::new();
    let (there, second) = with_key(lab, &KeySpec::default(), &person);
    let first = lab.instance.yubikey(0);
    let here = lab_of(lab, &first, &person);
    let anywhere = Lab { uri: Uri::default(), ..lab_of(lab, &second, &person) };
    let alone = Hands::as_mode(&first, pcsc::ShareMode::Exclusive).unwrap();
    let outcome = enrol(&anywhere, wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::CardHeld { .. })), "{outcome:?}");
    let outcome = enrol(&here, wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::CardHeld { .. })), "{outcome:?}");
    assert_eq!(Hands::on(&second).occupied(), []);
    // Whoever says which one is meant has it, by whatever names it.
    let label = format!("pkcs11:token=YubiKey%20PIV%20%23{}", second.serial());
    let reader = format!("pkcs11:slot-description={}", second.reader().replace(' ', "%20"));
    for uri in [there.uri.clone(), label.parse().unwrap(), reader.parse().unwrap()] {
        let named = Lab { uri, ..lab_of(lab, &second, &person) };
        kek(&named, None, "once", "never").destroy_key().unwrap();
    }
    drop(alone);
    let outcome = enrol(&anywhere, wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::AmbiguousUri { .. })), "{outcome:?}");
    // What cannot be seen for a moment only is waited for.
    first.remove();
    lab.instance.pcsc_faults().inject("connect", At::Nth(1), PcscFault::Instead(0x8010_0067));
    kek(&anywhere, None, "once", "never").destroy_key().unwrap();
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
